"""A large FOCUS export read for a cluster's nodes: seconds and the memory of the process that reads it.

    python -m bench.billing [--gigabytes 1] [--nodes 200] [--runs 3] [--kinds csv,gz,parquet] [--keep DIR]

Makes a made-up month of an account (about 20 % of the rows are hours of computers, half of those of our nodes), then reads it in a
process of its own. Claimed: a 1 GB CSV under 500 MB resident (ru_maxrss of the child). A tenth of it shows what grows with the file.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from bench.machine import describe

START, HOURS = datetime(2026, 10, 1, tzinfo=UTC), 744
COLUMNS = (
    "AvailabilityZone,BilledCost,BillingAccountId,BillingAccountName,BillingCurrency,BillingPeriodEnd,BillingPeriodStart,ChargeCategory,"
    "ChargeClass,ChargeDescription,ChargeFrequency,ChargePeriodEnd,ChargePeriodStart,CommitmentDiscountId,CommitmentDiscountStatus,"
    "ContractedCost,EffectiveCost,ListCost,PricingCategory,PricingQuantity,PricingUnit,ProviderName,PublisherName,RegionId,ResourceId,"
    "ResourceName,ResourceType,ServiceCategory,ServiceName,SkuId,SkuPriceId,SubAccountId,SubAccountName,Tags"
)
TAGS = '"{""application"": ""shop"", ""environment"": ""prod"", ""cost_center"": ""CC-1234"", ""owner"": ""team-""}"'


def line(rng: np.random.Generator, number: int, nodes: int) -> str:
    """One row: in each five an hour of a computer, by turns ours and another's, then transfer, storage, requests."""
    hour = number // 7 % HOURS
    start, end = ((START + timedelta(hours=h)).strftime("%Y-%m-%d %H:%M:%S") for h in (hour, hour + 1))
    place = number % 5
    who = f"i-{number // 10 % nodes:017x}" if number % 10 == 0 else f"i-f{number // 5 % 5000:016x}"
    kind, unit, service = (
        ("Compute", "Hours", "Amazon Elastic Compute Cloud"),
        ("Compute", "GB", "Amazon Elastic Compute Cloud"),
        ("Storage", "GB-Months", "Amazon Simple Storage Service"),
        ("Networking", "Requests", "Elastic Load Balancing"),
        ("Databases", "Hours", "Amazon Relational Database Service"),
    )[place]
    cost = f"{0.05 + rng.random():.11f}"
    resource_id = who if kind == "Compute" else f"arn:aws:service:eu-west-1:123456789012:thing/{number % 90001:08d}"
    return (
        f"eu-west-1a,{cost},123456789012,Example,USD,2026-11-01 00:00:00,2026-10-01 00:00:00,Usage,NULL,"
        f'"$0.34 per On Demand Linux c5.2xlarge Instance Hour, in the region of {service}",Usage-Based,{end},{start},NULL,NULL,'
        f"{cost},{cost},{cost},Standard,1.00000000000,{unit},AWS,Amazon Web Services Inc.,eu-west-1,{resource_id},NULL,instance,{kind},"
        f"{service},{place:016d},{place:016d}.JRTCKXETXF.6YS6EN2CT7,234567890123,Example,{TAGS}\n"
    )


def make(path: Path, size: int, nodes: int) -> int:
    """A CSV of ``size`` bytes; its number of rows."""
    rng, number = np.random.default_rng(1), 0
    with path.open("w", encoding="utf-8") as file:
        file.write(COLUMNS + "\n")
        while file.tell() < size:
            file.write("".join(line(rng, n, nodes) for n in range(number, number + 5000)))
            number += 5000
    return number


def compress(source: Path, target: Path) -> None:
    with source.open("rb") as file, gzip.open(target, "wb", compresslevel=1) as out:
        shutil.copyfileobj(file, out, 1 << 20)


def to_parquet(source: Path, target: Path) -> None:
    """The same rows, costs as decimals and times as timestamps, in one large row group a million rows."""
    import pyarrow as pa
    import pyarrow.csv as arrow_csv
    import pyarrow.parquet as pq

    costs = dict.fromkeys(("BilledCost", "EffectiveCost", "ListCost", "ContractedCost"), pa.decimal128(20, 11))
    texts = dict.fromkeys((name for name in COLUMNS.split(",") if name not in costs), pa.string())
    options = arrow_csv.ConvertOptions(column_types=costs | texts)
    with arrow_csv.open_csv(source, convert_options=options) as reader, pq.ParquetWriter(target, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch, row_group_size=1_000_000)


def part(path: Path, nodes: int) -> None:
    """One reading in this process: seconds, peak memory [MB] and what came out, as JSON on stdout."""
    import pandas as pd

    from aiops_analysis.core.schema import NODES, blank, check
    from aiops_analysis.core.window import Window
    from aiops_analysis.workflows.billing import read_billed

    window = Window(START, START + timedelta(hours=HOURS))
    life = {"first_seen": pd.Timestamp(window.start), "last_seen": pd.Timestamp(window.end)}
    made = [blank(NODES) | life | {"node": f"n{n}", "provider_id": f"aws:///eu-west-1a/i-{n:017x}"} for n in range(nodes)]
    frame = check(pd.DataFrame(made), NODES)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    begin = time.perf_counter()
    billing = read_billed(path, frame, window)
    wall = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(
        json.dumps(
            {"wall": wall, "peak": peak, "before": before, "cost": float(billing.matched["cost"].sum()), "nodes": len(billing.matched)}
        )
    )


def once(path: Path, nodes: int) -> dict[str, float]:
    """One reading in a fresh process; ``peak`` is its ru_maxrss as the parent is told."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen([sys.executable, "-m", "bench.billing", "--part", str(path), "--nodes", str(nodes)], stdout=said)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"the reading of {path.name} ended with {process.returncode}")
        said.seek(0)
        return json.loads(said.read().splitlines()[-1]) | {"peak": used.ru_maxrss / 1000}


def report(folder: Path, args: argparse.Namespace) -> None:
    print(describe())
    kinds = args.kinds.split(",")
    print(f"{'file':28s} {'rows':>10s} {'size':>9s} {'seconds':>8s} {'resident':>10s} {'at start':>9s} {'nodes':>6s} {'cost':>14s}")
    for size in (args.gigabytes / 10, args.gigabytes):
        source = folder / f"focus-{size:g}.csv"
        rows = make(source, int(size * 1e9), args.nodes)
        for kind in kinds:
            path = source if kind == "csv" else source.with_suffix({"gz": ".csv.gz", "parquet": ".parquet"}[kind])
            if kind != "csv":
                # in a process of its own: a child's ru_maxrss begins at what its parent has
                subprocess.run([sys.executable, "-m", "bench.billing", "--convert", str(source), str(path)], check=True)
            got = [once(path, args.nodes) for _ in range(args.runs)]
            wall, peak = float(np.median([one["wall"] for one in got])), max(one["peak"] for one in got)
            size_mb, one = path.stat().st_size / 1e6, got[0]
            print(
                f"{path.name:28s} {rows:10,d} {size_mb:6,.0f} MB {wall:8.2f} {peak:7,.0f} MB {one['before']:6,.0f} MB "
                f"{one['nodes']:6.0f} {one['cost']:14,.4f}"
            )
            if path != source:
                path.unlink()
        source.unlink()
    print("claimed: 1 GB of CSV under 500 MB resident")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--kinds", default="csv,gz,parquet")
    parser.add_argument("--keep", type=Path, help="a folder for the files while they are read")
    parser.add_argument("--part", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--convert", type=Path, nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.convert:
        (compress if args.convert[1].name.endswith(".gz") else to_parquet)(*args.convert)
        return
    if args.part:
        part(args.part, args.nodes)
        return
    with tempfile.TemporaryDirectory(dir=args.keep) as folder:
        report(Path(folder), args)


if __name__ == "__main__":
    main()
