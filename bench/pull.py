"""Pull from a real Prometheus, beside `custom_query_range` + `MetricRangeDataFrame` on the same server in the same run.

    python -m bench.pull --tool ../shared/tools/cluster [--containers 500] [--days 14] [--keep DIR]
    python -m bench.pull --prometheus http://127.0.0.1:9090 [--days 14] [--last 2026-11-01]

The first form fills a Prometheus on loopback with the cluster generator in `--tool` (needs numpy, polars, and the servers of `make tools`).
Prints seconds and peak memory of each road over the same CPU and memory questions, of a whole first pull, and of a second. Each part runs
in a process of its own, so that its peak memory is its own; start-up and imports are not counted as seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from bench.machine import describe

GIB = 2**30
END = datetime(2026, 11, 2, tzinfo=UTC)
METRICS = ("cpu_usage", "memory_working_set")


def fill(folder: Path, tool: Path, containers: int, days: int) -> None:
    """A generated cluster of so many running containers as TSDB blocks in `folder`/tsdb."""
    model = [sys.executable, str(tool / "clustergen.py"), "model", "--containers", str(containers), "--days", str(days), "--seed", "1"]
    subprocess.run([*model, "--end", str(int(END.timestamp())), "--out", str(folder)], check=True)
    env = os.environ | {"PYTHON": sys.executable, "PATH": f"{Path('.tools/usr/bin').resolve()}:{os.environ['PATH']}"}
    subprocess.run(["bash", str(tool / "backfill.sh"), str(folder)], check=True, env=env)


@contextlib.contextmanager
def server(folder: Path) -> Iterator[str]:
    """A Prometheus over `folder`/tsdb on a free loopback port."""
    from tests.servers import prometheus_server

    with prometheus_server(folder / "tsdb", "--query.max-samples=500000000", "--query.timeout=10m") as running:
        yield running.url


def ours(url: str, days: int, last: date) -> int:
    """The two metrics through our session into matrices, day by day, two questions in flight as a pull has."""
    from aiops_analysis.core.redact import Redactor
    from aiops_analysis.core.window import DAY, STEP, day_start
    from aiops_analysis.sources import promql
    from aiops_analysis.sources.http import Server
    from aiops_analysis.sources.prometheus import Prometheus

    source = Prometheus(Server(url), Redactor())

    def one(job: tuple[str, date]) -> int:
        start = day_start(job[1])
        answer = source.range(promql.range_query(job[0], promql.Scope()), start + timedelta(seconds=STEP), start + DAY, STEP)
        return int((answer.samples == answer.samples).sum())

    with ThreadPoolExecutor(2) as pool:
        return sum(pool.map(one, [(metric, last - timedelta(days=n)) for metric in METRICS for n in range(days)]))


def peer(url: str, days: int, last: date) -> int:
    """The same questions in one piece each, as the client's own frames are made."""
    from prometheus_api_client import MetricRangeDataFrame, PrometheusConnect

    from aiops_analysis.core.window import DAY, STEP, day_start
    from aiops_analysis.sources import promql

    client = PrometheusConnect(url, timeout=600)
    start, end = day_start(last - timedelta(days=days - 1)) + timedelta(seconds=STEP), day_start(last) + DAY
    points = 0
    for metric in METRICS:
        frame = MetricRangeDataFrame(client.custom_query_range(promql.range_query(metric, promql.Scope()), start, end, str(STEP)))
        points += len(frame)
    return points


def whole(url: str, days: int, last: date, store: Path) -> int:
    """A pull of everything a day of the history holds."""
    from aiops_analysis.core.redact import Redactor
    from aiops_analysis.core.window import Window, day_start
    from aiops_analysis.history.store import open_store
    from aiops_analysis.sources.http import Server
    from aiops_analysis.sources.prometheus import Prometheus
    from aiops_analysis.workflows.pull import pull

    now = day_start(last) + timedelta(days=1, minutes=20)
    pulled = pull(open_store(store, "bench"), Prometheus(Server(url), Redactor()), Window.of_days(last, days), now=now)
    return len(pulled.stored)


def part(args: argparse.Namespace) -> None:
    """One part in this process: seconds, peak memory and answer as JSON on stdout."""
    import prometheus_api_client  # noqa: F401  # imports are not what is measured

    import aiops_analysis.workflows.pull  # noqa: F401

    begin = time.perf_counter()
    if args.part == "whole":
        answer = whole(args.prometheus, args.days, args.last, args.keep)
    else:
        answer = {"ours": ours, "peer": peer}[args.part](args.prometheus, args.days, args.last)
    seconds = time.perf_counter() - begin
    print(json.dumps({"seconds": seconds, "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB, "answer": answer}))


def measure(name: str, url: str, args: argparse.Namespace, store: Path) -> dict:
    command = [sys.executable, "-m", "bench.pull", "--part", name, "--prometheus", url, "--days", str(args.days), "--last", str(args.last)]
    done = subprocess.run([*command, "--keep", str(store)], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def report(url: str, args: argparse.Namespace) -> None:
    print(describe())
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "history"
        got = {name: measure(name, url, args, store) for name in ("peer", "ours")}
        first, second = (measure("whole", url, args, store) for _ in range(2))
        size = sum(p.stat().st_size for p in store.rglob("*.parquet")) / 2**20
    print(f"{got['ours']['answer']:,} points of CPU and memory over {args.days} days (the client's frames: {got['peer']['answer']:,})")
    print(f"custom_query_range + MetricRangeDataFrame {got['peer']['seconds']:7.2f} s  {got['peer']['peak_gib']:5.2f} GiB")
    print(f"this package, the same questions          {got['ours']['seconds']:7.2f} s  {got['ours']['peak_gib']:5.2f} GiB")
    times, memory = got["peer"]["seconds"] / got["ours"]["seconds"], got["peer"]["peak_gib"] / got["ours"]["peak_gib"]
    print(f"faster by {times:.1f} (claimed: at least 3), memory smaller by {memory:.1f} (claimed: at least 5)")
    print(f"a whole first pull  {first['seconds']:7.2f} s  {first['peak_gib']:5.2f} GiB, {first['answer']} days stored, {size:.0f} MiB")
    print(f"a second pull       {second['seconds']:7.3f} s, faster by {first['seconds'] / second['seconds']:.0f} (claimed: at least 50)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", type=Path, default=Path("../shared/tools/cluster"))
    parser.add_argument("--containers", type=int, default=500)
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--last", type=date.fromisoformat, default=(END - timedelta(days=1)).date())
    parser.add_argument("--prometheus")
    parser.add_argument("--keep", type=Path, help="a folder for the generated blocks; reused when it is there")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        part(args)
        return
    if args.prometheus:
        report(args.prometheus, args)
        return
    if not (args.tool / "clustergen.py").is_file():
        sys.exit(f"no cluster generator in {args.tool}: give --tool, or a server with --prometheus")
    with contextlib.ExitStack() as stack:
        folder = args.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if not (folder / "tsdb").is_dir():
            fill(folder, args.tool, args.containers, args.days)
            shutil.rmtree(folder / "om", ignore_errors=True)
        report(stack.enter_context(server(folder)), args)


if __name__ == "__main__":
    main()
