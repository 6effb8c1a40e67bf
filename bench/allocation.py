"""What the containers and nodes of a large history cost, beside the usage of the same history.

    python -m bench.allocation [--containers 10000] [--days 30] [--pods 4] [--runs 3] [--keep DIR]

Prints the machine, the sizes, each time, and the ratio that is claimed: at most 2 x usage. Each part runs in a process of its own. The
inventory (a row per container and day, one pod in fifty replaced every day) and the nodes are part of what is read.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from aiops_analysis.core.schema import INVENTORY, NODES, blank, check
from aiops_analysis.core.schema_money import NODE_PRICES
from aiops_analysis.core.window import Window
from aiops_analysis.history.days import read_day
from aiops_analysis.history.inventory import commit_frame
from aiops_analysis.history.store import Manifest, open_store
from bench.machine import describe
from bench.usage import GIB, LAST, make

PODS_A_NODE = 40
_CPU, _MEMORY = 0.031611, 0.004237


def add_facts(root: Path, days: int) -> None:
    """Inventory and nodes beside the matrices of ``bench.usage``: every container asks for half a core and a GiB; some pods are short."""
    store = open_store(root, "bench")
    with store.lock():
        for number, day in enumerate(Window.of_days(LAST, days).days()):
            labels, _ = read_day(store, "cpu_usage", day)
            frame = labels.assign(**{name: value for name, value in blank(INVENTORY).items() if name not in labels.columns})
            place = np.arange(len(frame))
            start, end = datetime(day.year, day.month, day.day, tzinfo=UTC), datetime(day.year, day.month, day.day, tzinfo=UTC)
            late = (place + number) % 50 == 0
            first = np.where(late, start + timedelta(hours=8), start)
            facts = frame.assign(
                uid=frame["pod"],
                role="app",
                node=[f"node-{n // PODS_A_NODE:04d}" for n in place],
                cpu_request=0.5,
                memory_request=float(GIB),
                first_seen=pd.to_datetime(first, utc=True),
                last_seen=pd.Timestamp(end + timedelta(days=1)),
            )
            commit_frame(store, Manifest("inventory", day), check(facts, INVENTORY))
            commit_frame(store, Manifest("nodes", day), nodes(day, len(frame)))


def nodes(day: date, containers: int) -> pd.DataFrame:
    """The nodes of one day in four pools and three zones."""
    start = pd.Timestamp(datetime(day.year, day.month, day.day, tzinfo=UTC))
    rows = [
        blank(NODES)
        | {"node": f"node-{n:04d}", "pool": f"pool-{n % 4}", "zone": f"zone-{n % 3}", "cpu_capacity": 32.0, "memory_capacity": 128.0 * GIB}
        for n in range(-(-containers // PODS_A_NODE))
    ]
    return check(pd.DataFrame(rows).assign(first_seen=start, last_seen=start + pd.Timedelta(days=1)), NODES)


def prices(containers: int) -> pd.DataFrame:
    frame = nodes(LAST, containers)[["node", "pool"]]
    whole = 32 * _CPU + 128 * _MEMORY
    return check(
        frame.assign(price_hour=whole, cpu_hour=_CPU, memory_hour=_MEMORY, basis="default", source="bench", matched_by=""), NODE_PRICES
    )


def part(name: str, root: Path, args: argparse.Namespace) -> None:
    """One part in this process: its seconds by the clock and of the processor, peak memory and an answer as JSON on stdout."""
    import pyarrow.parquet  # noqa: F401  # start-up is not what is measured

    from aiops_analysis.workflows.costs import costs_of
    from aiops_analysis.workflows.measure import usage_of

    store, window = open_store(root, "bench"), Window.of_days(LAST, args.days)
    book = prices(args.containers)
    begin, work = time.perf_counter(), time.process_time()
    if name == "usage":
        answer = sum(float(usage_of(store, window, resource)["p95"].sum()) for resource in ("cpu", "memory"))
    else:
        answer = float(costs_of(store, window, book).costs["cost"].sum())
    wall, work = time.perf_counter() - begin, time.process_time() - work
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB
    print(json.dumps({"wall": wall, "work": work, "peak_gib": peak, "answer": answer}))


def once(name: str, root: Path, args: argparse.Namespace) -> dict[str, float]:
    """One part in a fresh process."""
    sizes = ["--days", str(args.days), "--containers", str(args.containers)]
    command = [sys.executable, "-m", "bench.allocation", "--part", name, "--keep", str(root), *sizes]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def report(root: Path, args: argparse.Namespace) -> None:
    print(describe())
    samples = 2 * args.containers * args.days * 288
    print(f"{args.containers} containers x {args.days} days x 288 steps x 2 metrics = {samples / 1e6:.1f} M samples")
    turns = [{name: once(name, root, args) for name in ("usage", "costs")} for _ in range(args.runs)]  # by turns: other work hits both
    for name, what in (("usage", "usage with Woodruff, pods, days"), ("costs", "costs of containers and nodes")):
        wall, work, peak = (np.median([turn[name][key] for turn in turns]) for key in ("wall", "work", "peak_gib"))
        print(f"{what:34s} {wall:7.2f} s  {work:7.2f} s of processor  {peak:5.2f} GiB")
    ratio = np.median([turn["costs"]["work"] / turn["usage"]["work"] for turn in turns])
    print(f"costs / usage, processor time: {ratio:.2f} (claimed: at most 2)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--containers", type=int, default=10_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--pods", type=int, default=4)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="a folder for the history; reused when it is there")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        part(args.part, args.keep, args)
        return
    with tempfile.TemporaryDirectory() as folder:
        root = args.keep or Path(folder)
        if not (root / "bench").is_dir():
            make(root, args.containers, args.days, args.pods)
        if not (root / "bench" / "inventory").is_dir():
            add_facts(root, args.days)
        report(root, args)


if __name__ == "__main__":
    main()
