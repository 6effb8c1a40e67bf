"""How much work a cluster did: requested core-hours of workloads that did not change, or a volume that a user measured (methods.md B3).

A workload is unchanged when it runs in both periods with the same containers, and the mean request of one of its pods, CPU and memory
of each container, stays within one percent over all slices of both. DaemonSets and static pods are left out, because there are as many
of them as nodes: they would call a freed node less work.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from aiops_analysis.analysis.past import RESOURCES_OF, Past

__all__ = ["follows_nodes", "unchanged", "volume_of", "work_in"]

_SAME = 0.01
_ONE_A_NODE = ("DaemonSet", "Node")
_WORKLOAD = ["namespace", "workload_kind", "workload"]


def follows_nodes(past: Past) -> np.ndarray:
    """Which workload-containers run once on each node [groups]."""
    return np.asarray(past.groups["workload_kind"].isin(_ONE_A_NODE).to_numpy(bool))


def unchanged(past: Past, before: np.ndarray, after: np.ndarray, decided: Collection[int] = ()) -> np.ndarray:
    """Which workload-containers belong to workloads that did not change from some slices to others [groups].

    decided : groups with a decision, whose workloads are left out however little they changed.
    """
    pods = past.totals["pod_hours"]
    both = before | after
    with np.errstate(invalid="ignore", divide="ignore"):
        ran = np.where(pods > 0, 1.0, np.nan)[:, both]
        steady = np.ones(len(pods), bool)
        for name in RESOURCES_OF:
            mean = past.totals[name][:, both] / pods[:, both] * ran
            low, high = _ends(mean)
            steady &= ~(high - low > _SAME * high)
    in_before, in_after = (pods[:, mask].sum(axis=1) > 0 for mask in (before, after))
    never = ~in_before & ~in_after  # a container of another time says nothing
    steady &= ~np.isin(np.arange(len(pods)), list(decided))
    fine = pd.Series((in_before & in_after & steady) | never)
    keys = [past.groups[name] for name in _WORKLOAD]
    whole = fine.groupby(keys).transform("all").to_numpy(bool)
    return np.asarray(whole & ~never & ~follows_nodes(past))


def _ends(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest known value of each row; 0 where none is known."""
    if not values.shape[1]:
        return np.zeros(len(values)), np.zeros(len(values))
    known = np.isfinite(values)
    low = np.where(known, values, np.inf).min(axis=1)
    high = np.where(known, values, -np.inf).max(axis=1)
    seen = known.any(axis=1)
    return np.where(seen, low, 0.0), np.where(seen, high, 0.0)


def work_in(past: Past, same: np.ndarray, pool: int | None) -> np.ndarray:
    """Requested core-hours of the unchanged workloads in a pool, None for all pools [slices]."""
    rows = past.asked
    mask = same[rows["group"].to_numpy()] & ((rows["number"] >= 0) if pool is None else (rows["number"] == pool)).to_numpy(bool)
    return np.bincount(rows["at"].to_numpy()[mask], rows["cpu"].to_numpy()[mask], len(past.start))


def volume_of(past: Past, volume: pd.Series) -> np.ndarray:
    """A daily volume (index: dates) summed over each slice; NaN where a day of it is missing or negative [slices]."""
    daily = {pd.Timestamp(day).date().toordinal(): float(value) for day, value in volume.items()}
    out = np.full(len(past.start), np.nan)
    for i, (start, days) in enumerate(zip(past.start.tolist(), past.days.tolist(), strict=True)):
        found = [daily.get(day, np.nan) for day in range(start, start + days)]
        if all(value >= 0 for value in found):
            out[i] = sum(found)
    return out
