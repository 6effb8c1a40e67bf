"""What happened to a workload-container and on which day: rollouts, kills for memory, restarts, for the series of a row."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import pandas as pd

from aiops_analysis.core.schema import GROUP
from aiops_analysis.core.window import Window
from aiops_analysis.history.days import Block
from aiops_analysis.history.inventory import read_frame
from aiops_analysis.history.store import Store
from aiops_analysis.workflows.facts import template_starts
from aiops_analysis.workflows.measure import over_buckets

__all__ = ["events_of"]

_COLUMNS = {**dict.fromkeys(GROUP, "str"), "resource": "str", "day": "str", "kind": "str", "count": "int64"}


def events_of(store: Store, window: Window, inventory: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row per event of a day: GROUP, resource ("" is both), day (ISO date), kind (rollout, oom_kill, restart), count.

    A restart after a kill for memory is the kill. ``inventory`` is that of the window where it was read before. Raises StoreCorrupt.
    """
    days = list(window.days())
    kills, restarts = (_counted(store, metric, days) for metric in ("oom_kills", "restarts"))
    on = [*GROUP, "day"]
    both = restarts.merge(kills, on=on, how="left", suffixes=("", "_killed"))
    others = both.assign(count=(both["count"] - both["count_killed"].fillna(0)).clip(lower=0).astype("int64"))
    frames = [
        _rollouts(read_frame(store, "inventory", days) if inventory is None else inventory),
        kills.assign(kind="oom_kill", resource="memory"),
        others[others["count"] > 0].assign(kind="restart", resource="")[[*on, "count", "kind", "resource"]],
    ]
    full = [frame for frame in frames if len(frame)]
    if not full:
        return pd.DataFrame({name: pd.Series([], dtype=kind) for name, kind in _COLUMNS.items()})
    order = [*GROUP, "day", "kind"]
    return pd.concat(full, ignore_index=True)[list(_COLUMNS)].astype(_COLUMNS).sort_values(order, kind="stable", ignore_index=True)


def _counted(store: Store, metric: str, days: Sequence[date]) -> pd.DataFrame:
    """GROUP, day and count of a sparse metric."""

    def one(part: Block) -> pd.DataFrame:
        totals = np.nansum(part.samples, axis=1, dtype=np.float64)
        return part.labels[list(GROUP)].assign(day=[days[number].isoformat() for number in part.day], count=totals)

    found = pd.concat(over_buckets(store, metric, days, one), ignore_index=True)
    summed = found.groupby([*GROUP, "day"], as_index=False, sort=True)["count"].sum()
    return summed[summed["count"] > 0].astype({"day": "str", "count": "int64"})


def _rollouts(inventory: pd.DataFrame) -> pd.DataFrame:
    """The days on which a template of a workload-container was seen for the first time, but for the first one."""
    if not len(inventory):
        return inventory
    seen = template_starts(inventory)
    began = seen.groupby(list(GROUP))["first_seen"].transform("min")
    later = seen[seen["first_seen"] > began]
    rows = later[list(GROUP)].assign(day=later["first_seen"].dt.strftime("%Y-%m-%d"), kind="rollout", resource="", count=1)
    # each Job is its own template
    return rows[~rows["workload_kind"].isin(["Job", "CronJob"])].groupby([*GROUP, "resource", "day", "kind"], as_index=False)["count"].sum()
