"""Quantiles, Woodruff interval and daily series of a large history, beside reading and summing the same files, pandas and DuckDB.

    python -m bench.usage [--containers 10000] [--days 30] [--pods 4] [--rows-share 0.2] [--keep DIR]

Prints the machine, the sizes, each time, and the ratios that are claimed: at most 4x read-and-sum, at most 0.5 GB resident.
Each part runs in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from aiops_analysis.core.window import Window
from aiops_analysis.history.days import commit_matrix
from aiops_analysis.history.store import Manifest, open_store
from bench.machine import describe

LAST = date(2026, 11, 1)
METRICS = {"cpu": "cpu_usage", "memory": "memory_working_set"}
GIB = 2**30


def make(root: Path, containers: int, days: int, pods: int) -> None:
    """A history of so many running containers, `pods` of them to a workload, log-normal with a daily wave (methods.md A5)."""
    store = open_store(root, "bench")
    rng = np.random.default_rng(7)
    number = np.arange(containers)
    labels = pd.DataFrame(
        {
            "namespace": [f"team-{n // pods % 40:02d}" for n in number],
            "workload_kind": "Deployment",
            "workload": [f"service-{n // pods:05d}" for n in number],
            "pod": [f"service-{n // pods:05d}-{n % pods}" for n in number],
            "container": "app",
        }
    ).astype("str")
    level = rng.lognormal(np.log(0.12), 0.8, containers)[:, None]
    wave = np.exp(0.5 * np.sin(np.arange(288) / 288 * 2 * np.pi))[None, :]
    with store.lock():
        for day in Window.of_days(LAST, days).days():
            cpu = level * wave * rng.lognormal(0, 0.3, (containers, 288))
            commit_matrix(store, Manifest("cpu_usage", day), labels, cpu.astype(np.float32))
            memory = np.floor(level * 2e9 * rng.lognormal(0, 0.05, (containers, 288)) / 4096) * 4096
            commit_matrix(store, Manifest("memory_working_set", day), labels, memory.astype(np.float32))


def files(root: Path, metric: str) -> list[Path]:
    return sorted(root.glob(f"bench/{metric}/day=*/bucket-*.parquet"))


def read_and_sum(root: Path) -> dict[str, float]:
    """The bar: every sample read and added up, two threads, nothing else."""
    import pyarrow.parquet as pq

    def one(path: Path) -> float:
        column = pq.ParquetFile(path, memory_map=False).read(["samples"], use_threads=False).column(0).combine_chunks()
        return float(np.nansum(column.flatten().to_numpy(), dtype=np.float64))

    with ThreadPoolExecutor(2) as pool:
        return {m: sum(pool.map(one, files(root, m))) for m in METRICS.values()}


def ours(root: Path, days: int) -> dict[str, float]:
    """What the review calls: USAGE of every workload-container, Woodruff, hot pods and daily series included."""
    from aiops_analysis.workflows.measure import usage_of

    store, window = open_store(root, "bench"), Window.of_days(LAST, days)
    return {resource: float(usage_of(store, window, resource)["p95"].sum()) for resource in METRICS}


def quantiles_only(root: Path, days: int) -> dict[str, float]:
    """The matrices without interval, pods and days: P50, P95, P99 and max of each workload, as pandas and DuckDB do it below."""
    from aiops_analysis.history.days import Block
    from aiops_analysis.workflows.measure import over_buckets

    store, window = open_store(root, "bench"), list(Window.of_days(LAST, days).days())

    def one(part: Block) -> float:
        codes = part.labels["workload"].factorize()[0]
        edges = np.flatnonzero(np.diff(codes, prepend=-1, append=-1))
        return sum(p95(part.samples[start:end].ravel()) for start, end in itertools.pairwise(edges))

    def p95(values: np.ndarray) -> float:
        ranks = np.array([0.5, 0.95, 0.99]) * (len(values) - 1)
        low = ranks.astype(int)
        ordered = np.partition(values, np.unique([*low, *(low + 1), len(values) - 1]))
        found = ordered[low] + (ordered[low + 1].astype(np.float64) - ordered[low]) * (ranks - low)
        return float(found[1])

    return {resource: sum(over_buckets(store, metric, window, one)) for resource, metric in METRICS.items()}


def long_rows(root: Path, days: int, share: float) -> pd.DataFrame:
    """The CPU samples of a share of the workloads as one row a sample: what the peers' frames look like."""
    from aiops_analysis.history.days import block

    store, window = open_store(root, "bench"), list(Window.of_days(LAST, days).days())
    part = block(store, "cpu_usage", window)
    names = part.labels["workload"]
    keep = names.isin(sorted(names.unique())[: int(names.nunique() * share)]).to_numpy()
    return pd.DataFrame({"workload": pd.Categorical(np.repeat(names[keep].to_numpy(), 288)), "value": part.samples[keep].ravel()})


def with_pandas(root: Path, days: int, share: float) -> tuple[float, float]:
    frame = long_rows(root, days, share)
    begin = time.perf_counter()
    grouped = frame.groupby("workload", observed=True)["value"]
    result = grouped.quantile([0.5, 0.95, 0.99]).unstack().assign(max=grouped.max())
    return time.perf_counter() - begin, float(result[0.95].sum())


def with_duckdb(root: Path, days: int, share: float) -> tuple[float, float]:
    import duckdb

    frame = long_rows(root, days, share).astype({"workload": "str"})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.parquet"
        frame.to_parquet(path, index=False)
        connection = duckdb.connect()
        connection.execute("set threads to 2")
        query = f"select workload, quantile_cont(value, [0.5, 0.95, 0.99]) q, max(value) m from '{path}' group by workload"
        begin = time.perf_counter()
        rows = connection.execute(query).fetchall()
        return time.perf_counter() - begin, float(sum(row[1][1] for row in rows))


def part(name: str, root: Path, days: int, share: float) -> None:
    """One part in this process: its seconds, its peak memory and its answer as JSON on stdout."""
    import pyarrow.parquet  # noqa: F401  # start-up is not what is measured

    import aiops_analysis.workflows.measure  # noqa: F401

    begin = time.perf_counter()
    if name in ("pandas", "duckdb"):
        seconds, answer = {"pandas": with_pandas, "duckdb": with_duckdb}[name](root, days, share)
    else:
        answer = read_and_sum(root) if name == "read" else {"ours": ours, "quantiles": quantiles_only}[name](root, days)
        seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB
    print(json.dumps({"seconds": seconds, "peak_gib": peak, "answer": answer}))


def measure(name: str, root: Path, days: int, share: float, runs: int) -> dict:
    """Median seconds and largest memory of some runs, each in a fresh process."""
    command = [sys.executable, "-m", "bench.usage", "--part", name, "--keep", str(root), "--days", str(days), "--rows-share", str(share)]
    results = [json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]) for _ in range(runs)]
    return {
        "seconds": float(np.median([r["seconds"] for r in results])),
        "peak_gib": max(r["peak_gib"] for r in results),
        "answer": results[0]["answer"],
    }


def report(root: Path, args: argparse.Namespace) -> None:
    print(describe())
    samples = args.containers * args.days * 288
    stored = sum(p.stat().st_size for m in METRICS.values() for p in files(root, m))
    size = f"{args.containers} containers x {args.days} days x 288 steps x 2 metrics"
    print(f"{size} = {2 * samples / 1e6:.1f} M samples, {stored / GIB:.2f} GiB on disk")
    got = {name: measure(name, root, args.days, args.rows_share, args.runs) for name in ("read", "ours", "quantiles")}
    for name, what in (("read", "read and sum"), ("quantiles", "quantiles only"), ("ours", "usage with Woodruff, pods, days")):
        print(f"{what:34s} {got[name]['seconds']:7.2f} s  {got[name]['peak_gib']:5.2f} GiB")
    print(f"usage / read-and-sum: {got['ours']['seconds'] / got['read']['seconds']:.2f} (claimed: at most 4)")
    print(f"peak memory of usage: {got['ours']['peak_gib']:.2f} GiB (claimed: at most 0.5)")
    for name in ("pandas", "duckdb"):
        peer = measure(name, root, args.days, args.rows_share, 1)
        full = peer["seconds"] / args.rows_share * 2
        print(
            f"{name} on long rows of {args.rows_share:.0%} of the CPU samples: {peer['seconds']:.2f} s, {peer['peak_gib']:.2f} GiB; "
            f"scaled to both metrics {full:.1f} s = {full / got['quantiles']['seconds']:.1f} x quantiles only"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--containers", type=int, default=10_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--pods", type=int, default=4)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rows-share", type=float, default=0.2)
    parser.add_argument("--keep", type=Path, help="a folder for the history; reused when it is there")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        part(args.part, args.keep, args.days, args.rows_share)
        return
    with tempfile.TemporaryDirectory() as folder:
        root = args.keep or Path(folder)
        if not (root / "bench").is_dir():
            make(root, args.containers, args.days, args.pods)
        report(root, args)


if __name__ == "__main__":
    main()
