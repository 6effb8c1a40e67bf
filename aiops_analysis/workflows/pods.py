"""From the history to packing input: the pods and nodes of the busiest instant of the window's last whole day (methods.md B4)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from aiops_analysis.analysis.fleet import Fleet, busiest, fleet_of
from aiops_analysis.core.window import DAY, Window, day_start
from aiops_analysis.history.inventory import read_frame
from aiops_analysis.history.store import Store

__all__ = ["Crew", "crew_of"]


@dataclass(frozen=True)
class Crew:
    """The fleet of the busiest instant, the day it is of, and how many nodes each pool had over that day as (share of it, nodes)."""

    fleet: Fleet
    day: date
    counts: dict[str, tuple[tuple[float, int], ...]]
    inventory: pd.DataFrame  # of that day; so the next
    nodes: pd.DataFrame


def crew_of(store: Store, window: Window, inventory: pd.DataFrame) -> Crew | None:
    """Pods and nodes at the instant of the last day at which most was requested; None where no node or no pod of a day is known.

    ``inventory`` is that of the window. The day is the last whole one of the window with an inventory and nodes. Raises StoreCorrupt.
    """
    stored = set(store.days("nodes"))
    for day in sorted(window.days(), reverse=True):
        if day not in stored:
            continue
        start, end = (pd.Timestamp(day_start(day) + n * DAY) for n in (0, 1))
        mine = inventory[(inventory["first_seen"] < end) & (inventory["last_seen"] > start)]
        nodes = read_frame(store, "nodes", [day])
        instant = busiest(mine, nodes)
        if instant is None or not len(nodes):
            continue
        # what the API said today counts for a window that ended at midnight: rules change less often than a review is read
        workloads = read_frame(store, "workloads", [*window.days(), window.end.date()])
        return Crew(fleet_of(mine, nodes, workloads, instant), day, _counts(nodes, start), mine, nodes)
    return None


def _counts(nodes: pd.DataFrame, start: pd.Timestamp) -> dict[str, tuple[tuple[float, int], ...]]:
    """Of each pool, for which share of the day it had how many nodes."""
    out = {}
    for pool, part in nodes.groupby("pool", sort=True):
        spans = part.groupby("node").agg(first=("first_seen", "min"), last=("last_seen", "max"))
        first = ((spans["first"] - start) / DAY).clip(0, 1).to_numpy(float)
        last = ((spans["last"] - start) / DAY).clip(0, 1).to_numpy(float)
        edges = np.unique(np.concatenate([first, last, [0.0, 1.0]]))
        there = [int(((first <= a) & (last > a)).sum()) for a in edges[:-1]]
        out[str(pool)] = tuple(zip(np.diff(edges).tolist(), there, strict=True))
    return out
