"""The hour-of-week profile and the cluster's week of a large history, beside the usage of the same history.

    python -m bench.profile [--containers 10000] [--days 30] [--pods 4] [--runs 3] [--zone Europe/Berlin] [--keep DIR]

Prints the machine, the sizes, each time, and the ratio that is claimed: at most 1.3 x usage. Each part runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from aiops_analysis.core.window import Window
from aiops_analysis.history.store import open_store
from bench.machine import describe
from bench.usage import GIB, LAST, make


def part(name: str, root: Path, days: int, zone: str) -> None:
    """One part in this process: its seconds by the clock and of the processor, peak memory and a sum of its P95s as JSON on stdout."""
    import pyarrow.parquet  # noqa: F401  # start-up is not what is measured

    from aiops_analysis.analysis.hours import HoursPolicy
    from aiops_analysis.workflows.habits import habits_of
    from aiops_analysis.workflows.measure import usage_of

    store, window = open_store(root, "bench"), Window.of_days(LAST, days)
    begin, work = time.perf_counter(), time.process_time()
    if name == "usage":
        answer = sum(float(usage_of(store, window, resource)["p95"].sum()) for resource in ("cpu", "memory"))
    else:
        answer = float(habits_of(store, window, HoursPolicy(zone=zone)).profile["business_p95"].sum())
    wall, work = time.perf_counter() - begin, time.process_time() - work
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB
    print(json.dumps({"wall": wall, "work": work, "peak_gib": peak, "answer": answer}))


def once(name: str, root: Path, args: argparse.Namespace) -> dict[str, float]:
    """One part in a fresh process."""
    command = [sys.executable, "-m", "bench.profile", "--part", name, "--keep", str(root), "--days", str(args.days), "--zone", args.zone]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def report(root: Path, args: argparse.Namespace) -> None:
    print(describe())
    samples = 2 * args.containers * args.days * 288
    print(f"{args.containers} containers x {args.days} days x 288 steps x 2 metrics = {samples / 1e6:.1f} M samples, zone {args.zone}")
    turns = [{name: once(name, root, args) for name in ("usage", "habits")} for _ in range(args.runs)]  # by turns: other work hits both
    for name, what in (("usage", "usage with Woodruff, pods, days"), ("habits", "profile by hours and the week")):
        wall, work, peak = (np.median([turn[name][key] for turn in turns]) for key in ("wall", "work", "peak_gib"))
        print(f"{what:34s} {wall:7.2f} s  {work:7.2f} s of processor  {peak:5.2f} GiB")
    ratio = np.median([turn["habits"]["work"] / turn["usage"]["work"] for turn in turns])
    print(f"profile / usage, processor time: {ratio:.2f} (claimed: at most 1.3)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--containers", type=int, default=10_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--pods", type=int, default=4)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--zone", default="Europe/Berlin")
    parser.add_argument("--keep", type=Path, help="a folder for the history; reused when it is there")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        part(args.part, args.keep, args.days, args.zone)
        return
    with tempfile.TemporaryDirectory() as folder:
        root = args.keep or Path(folder)
        if not (root / "bench").is_dir():
            make(root, args.containers, args.days, args.pods)
        report(root, args)


if __name__ == "__main__":
    main()
