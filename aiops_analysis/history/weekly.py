"""Weekly aggregates, kept forever: what trends and forecasts read after days are pruned (design.md section 2)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

import pandas as pd

from aiops_analysis.core.schema import WEEKLY_CONTAINERS, WEEKLY_POOLS, Contract, empty
from aiops_analysis.history.inventory import pack_frame, unpack_frame
from aiops_analysis.history.store import Store, write_file

__all__ = ["FRAMES", "read_weekly", "replace_weeks", "week_of"]

FRAMES: dict[str, Contract] = {"containers": WEEKLY_CONTAINERS, "pools": WEEKLY_POOLS}


def week_of(day: date) -> date:
    """The Monday of the UTC ISO week of a day.

    >>> week_of(date(2026, 11, 1))
    datetime.date(2026, 10, 26)
    """
    return day - timedelta(days=day.weekday())


def read_weekly(store: Store, name: str) -> pd.DataFrame:
    """The whole weekly frame ``containers`` or ``pools``; empty when nothing was pulled yet. Raises StoreCorrupt."""
    path = store.path / "weekly" / f"{name}.parquet"
    if not path.is_file():
        return empty(FRAMES[name])
    return unpack_frame(path.read_bytes(), FRAMES[name], str(path))


def replace_weeks(store: Store, name: str, weeks: Iterable[date], frame: pd.DataFrame) -> None:
    """Put the rows of some weeks in the place of what was stored for them; all other weeks stay as they are."""
    contract = FRAMES[name]
    gone = {week.isoformat() for week in weeks}
    old = read_weekly(store, name)
    kept = old[~old["week"].isin(gone)]
    parts = [part for part in (kept, frame) if len(part)]
    merged = pd.concat(parts, ignore_index=True) if parts else empty(contract)
    write_file(store.path / "weekly" / f"{name}.parquet", pack_frame(merged.sort_values(list(contract.key), kind="stable"), contract))
