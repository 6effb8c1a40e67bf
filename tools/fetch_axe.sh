#!/bin/sh
# Fetch axe-core (MPL-2.0) from npm into .tools/axe for the accessibility test: one pinned file, checked by its sha512, never installed and
# never shipped. What cannot be had is said and is no error here: the test skips, or fails under CI=true where there is npm.
set -eu

version=4.14.1
sum=1477dafa598d8d065f273d6af302aa203c02e83131707b7fa648cd41bd3d6b734f8c22a0dab86ee6a6f64b8afbe804b214d36db85a2826965edfb3a0b9d546b5
root=$(cd "$(dirname "$0")/.." && pwd)
target=$root/.tools/axe/axe-$version.min.js
[ -f "$target" ] && exit 0

leave() {
  echo "fetch_axe: $1; the accessibility test will skip" >&2
  exit 0
}
command -v npm > /dev/null || leave "no npm here"
mkdir -p "$root/.tools/axe"
work=$(mktemp -d "$root/.tools/axe/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

cd "$work"
npm pack --silent --cache "$work/cache" "axe-core@$version" > log 2>&1 || leave "npm pack failed: $(tail -n 1 log)"
echo "$sum  axe-core-$version.tgz" | sha512sum --check --status || leave "the archive is not the one that was pinned"
tar -xzf "axe-core-$version.tgz" package/axe.min.js package/LICENSE
mv package/LICENSE "$root/.tools/axe/LICENSE"
mv package/axe.min.js "$target"
echo "fetch_axe: axe-core $version is in .tools/axe" >&2
