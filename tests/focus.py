"""Billing exports for tests: a row with everything usual in it, written as CSV, gzip or Parquet; and nodes to match them with."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd

from aiops_analysis.core.schema import NODES, blank, check
from aiops_analysis.core.window import Window

START = datetime(2026, 10, 5, tzinfo=UTC)
#: One hour of one machine on AWS; a test changes what it is about.
ROW = {
    "BilledCost": "0.10",
    "EffectiveCost": "0.10",
    "BillingCurrency": "USD",
    "ChargeCategory": "Usage",
    "ChargeClass": "NULL",
    "ChargePeriodStart": "2026-10-05 00:00:00",
    "ChargePeriodEnd": "2026-10-05 01:00:00",
    "ServiceCategory": "Compute",
    "ServiceName": "Amazon Elastic Compute Cloud",
    "ResourceId": "i-a",
    "ResourceName": "NULL",
    "PricingQuantity": "1.0",
    "PricingUnit": "Hours",
    "ProviderName": "AWS",
    "SkuPriceId": "SKU.1",
    "CommitmentDiscountId": "NULL",
    "CommitmentDiscountStatus": "NULL",
    "Tags": "NULL",
}


def window(hours: int = 24) -> Window:
    return Window(START, START + timedelta(hours=hours))


def charge(hour: int = 0, cost: float | str = 0.10, *, hours: int = 1, **more: str) -> dict[str, str]:
    """A row of ``hours`` from an hour after START on, both costs alike."""
    start, end = (START + timedelta(hours=h) for h in (hour, hour + hours))
    when = {"ChargePeriodStart": start.strftime("%Y-%m-%d %H:%M:%S"), "ChargePeriodEnd": end.strftime("%Y-%m-%d %H:%M:%S")}
    return ROW | when | {"BilledCost": str(cost), "EffectiveCost": str(cost)} | more


def hourly(hours: int, cost: float = 0.10, **more: str) -> list[dict[str, str]]:
    return [charge(hour, cost, **more) for hour in range(hours)]


def text(rows: Sequence[Mapping[str, str]]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def write(path: Path, rows: Sequence[Mapping[str, str]]) -> Path:
    """An export, in the format that the file's name tells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.endswith(".parquet"):
        frame = pd.DataFrame(rows).replace("NULL", None)
        frame.to_parquet(path, index=False)
    else:
        path.write_bytes(gzip.compress(text(rows)) if path.name.endswith(".gz") else text(rows))
    return path


def node(name: str, provider_id: str, first: float = 0, last: float = 24, pool: str = "pool") -> dict[str, object]:
    """A node that lived between two hours after START."""
    seen = {"first_seen": pd.Timestamp(START + timedelta(hours=first)), "last_seen": pd.Timestamp(START + timedelta(hours=last))}
    return blank(NODES) | {"node": name, "pool": pool, "provider_id": provider_id} | seen


def nodes(*rows: dict[str, object]) -> pd.DataFrame:
    return check(pd.DataFrame(rows, columns=list(NODES.columns)), NODES)
