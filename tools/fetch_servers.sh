#!/bin/sh
# Fetch Debian's prometheus (with promtool) and victoria-metrics into .tools/ for the tests: downloaded and unpacked, never installed, never
# started as a service, no root. Lists and cache of apt are private to .tools/, so a stale or missing system list does not matter.
# A server that cannot be had is named with the reason and is no error here: its tests skip, or fail under CI=true.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
tools=$root/.tools

wanted=""
[ -x "$tools/usr/bin/prometheus" ] && [ -x "$tools/usr/bin/promtool" ] || wanted="$wanted prometheus"
[ -x "$tools/usr/bin/victoria-metrics" ] || wanted="$wanted victoria-metrics"
[ -n "$wanted" ] || exit 0

leave() {
  echo "fetch_servers: $1; tests that need$wanted will skip" >&2
  exit 0
}
command -v apt-get > /dev/null || leave "no apt-get here"
command -v dpkg-deb > /dev/null || leave "no dpkg-deb here"

mkdir -p "$tools"
work=$(mktemp -d "$tools/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial"

apt() {
  apt-get -q -o Dir::State="$work/state" -o Dir::State::status=/var/lib/dpkg/status -o Dir::Cache="$work/cache" \
    -o APT::Sandbox::User="$(id -un)" -o Acquire::Retries=3 -o Acquire::Languages=none "$@"
}

if ! apt update > "$work/log" 2>&1; then
  tail -n 3 "$work/log" >&2
  leave "apt-get update failed"
fi
for package in $wanted; do
  mkdir "$work/$package"
  if (cd "$work/$package" && apt download "$package" > "$work/log" 2>&1) && dpkg-deb -x "$work/$package"/*.deb "$work/$package/tree"; then
    mkdir -p "$tools/usr/bin"
    for program in prometheus promtool victoria-metrics; do # the rest of a package is for an installed service
      [ ! -e "$work/$package/tree/usr/bin/$program" ] || mv "$work/$package/tree/usr/bin/$program" "$tools/usr/bin/$program"
    done
    echo "fetch_servers: $package is in .tools/" >&2
  else
    tail -n 3 "$work/log" >&2
    echo "fetch_servers: apt-get download $package failed; its tests will skip" >&2
  fi
done
