"""Which samples of a window still speak for what runs today: after a rollout, and after a container started (methods.md A8)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aiops_analysis.core.errors import SchemaError
from aiops_analysis.core.schema import GROUP
from aiops_analysis.core.window import Window, day_start

__all__ = ["Kept", "days_to_keep", "rollout_day_of", "rows_to_keep", "starts_of", "without_startup"]

_MOST_STARTS = 12  # a day; more is a crash loop, whose starts are its life
_SLACK = 1e-9  # a ratio of 1.25 may come out as 1.2500000000000002
_POD = ("namespace", "pod", "container")


@dataclass(frozen=True, slots=True)
class Kept:
    """Which UTC days of a window to measure, and why.

    mask : one bool per day. post_rollout : only days after the rollout are kept, though they are fewer than the settled ones: the grade
    is at most low. ratio : median daily P95 after / before the rollout, NaN when one side has no day. days_after : days with samples
    that lie wholly after the rollout. message : one sentence, "" when nothing is left out.
    """

    mask: tuple[bool, ...]
    post_rollout: bool
    ratio: float
    days_after: int
    message: str = ""
    data: Mapping[str, object] = field(default_factory=dict)


def days_to_keep(
    daily_p95: Sequence[float],
    rollout_day: int | None,
    *,
    settled_days: int = 7,
    tolerance: float = 0.25,
    first_weekday: int | None = None,
) -> Kept:
    """The days that speak for what runs since the last rollout (methods.md A8).

    With at least ``settled_days`` days after the rollout those are taken. With fewer, the whole window is kept while the median of the
    daily P95 after the rollout is within ``tolerance`` of the one before, else only the days after. The day of the rollout belongs to
    neither side; days without a sample (NaN) count for neither.

    rollout_day : index of the UTC day of the last rollout; None, or a day outside the window, keeps everything.
    first_weekday : weekday of the window's first day (Monday is 0). With it a few days after the rollout are compared with the same
    weekdays before, where there are any: a rollout on Friday must not make a weekend look like a change.
    """
    daily = np.asarray(daily_p95, np.float64)
    whole = (True,) * len(daily)
    if rollout_day is None or not 0 <= rollout_day < len(daily):
        return Kept(whole, False, math.nan, 0)
    place = np.arange(len(daily))
    after = np.isfinite(daily) & (place > rollout_day)
    before = np.isfinite(daily) & (place < rollout_day)
    days_after = int(after.sum())
    ratio = _ratio(daily[after], daily[_alike(before, after, first_weekday)])
    data = {"days_after": days_after, "ratio": ratio if math.isfinite(ratio) else None, "rollout_day": rollout_day}
    if days_after == 0 or not before.any():
        return Kept(whole, False, ratio, days_after)
    since = tuple(bool(later) for later in place > rollout_day)
    if days_after >= settled_days:
        message = f"Only the {days_after} days after the last rollout are measured."
        return Kept(since, False, ratio, days_after, message, data)
    if abs(ratio - 1) <= tolerance + _SLACK:
        return Kept(whole, False, ratio, days_after)
    change = f"the daily P95 changed to {ratio:.2f} times" if math.isfinite(ratio) else "the daily P95 was 0 before"
    days = f"{days_after} {'day' if days_after == 1 else 'days'}"
    return Kept(since, True, ratio, days_after, f"Post-rollout, {days}: {change}, so days before are left out.", data)


def _ratio(after: NDArray[np.float64], before: NDArray[np.float64]) -> float:
    """Ratio of the medians: 1 when both are 0, infinite when only the one before is, NaN when one side is empty."""
    if not len(after) or not len(before):
        return math.nan
    new, old = float(np.median(after)), float(np.median(before))
    if old == 0:
        return 1.0 if new == 0 else math.inf
    return new / old


def _alike(before: NDArray[np.bool_], after: NDArray[np.bool_], first_weekday: int | None) -> NDArray[np.bool_]:
    """The days before on weekdays that also lie after, or all of them where there is none or the weekday is not known."""
    if first_weekday is None:
        return before
    weekday = (np.arange(len(before)) + first_weekday) % 7
    same: NDArray[np.bool_] = before & np.isin(weekday, weekday[after])
    return same if same.any() else before


def rollout_day_of(last_rollout: Any, window: Window) -> int | None:
    """Index of the UTC day in which FACTS' ``last_rollout`` lies, None when there was none or it lies outside the window."""
    if pd.isna(last_rollout) or not window.start <= last_rollout < window.end:
        return None
    return int((last_rollout - day_start(next(window.days()))).days)


def rows_to_keep(labels: pd.DataFrame, day: NDArray[np.integer], kept: Mapping[tuple[str, ...], Kept]) -> NDArray[np.bool_]:
    """True for each row of a block whose day is kept for its workload-container; groups that ``kept`` (by GROUP) does not name keep all.

    Raises SchemaError when a mask has fewer days than the rows name.
    """
    out = np.ones(len(labels), bool)
    groups = labels.groupby(list(GROUP), sort=True).indices if len(labels) else {}
    for group, rows in groups.items():
        found = kept.get(tuple(str(part) for part in group))
        if found is None:
            continue
        days = np.asarray(day)[rows]
        if int(days.max()) >= len(found.mask):
            raise SchemaError(f"the mask of {group} has {len(found.mask)} days, its rows name day {int(days.max())}")
        out[rows] = np.asarray(found.mask)[days]
    return out


def starts_of(
    inventory: pd.DataFrame, labels: pd.DataFrame, day: NDArray[np.integer], restarts: NDArray[np.float32], *, window: Window
) -> pd.DataFrame:
    """When containers started in the window: namespace, pod, container, and the step, counted from the window's first day.

    inventory : INVENTORY; a pod that was there in the first step of the window, or of the inventory, started before it.
    labels, day, restarts : the rows of the metric ``restarts``; a step with one is a start.
    """
    steps = restarts.shape[1]
    seen = inventory[inventory["role"] != "init"].groupby([*_POD, "uid"], as_index=False, sort=True)["first_seen"].min()
    step = ((seen["first_seen"] - pd.Timestamp(day_start(next(window.days())))).dt.total_seconds() * steps // 86_400).astype("int64")
    born = seen[list(_POD)].assign(step=step)[step > max(0, step.min() if len(step) else 0)]
    row, place = np.nonzero(np.nan_to_num(restarts) > 0)
    again = labels[list(_POD)].iloc[row].assign(step=np.asarray(day, np.int64)[row] * steps + place)
    out = pd.concat([born, again.astype({"step": "int64"})], ignore_index=True)
    return out.drop_duplicates().sort_values([*_POD, "step"], kind="stable", ignore_index=True)


def without_startup(
    labels: pd.DataFrame, day: NDArray[np.integer], samples: NDArray[np.float32], starts: pd.DataFrame, *, most: int = _MOST_STARTS
) -> NDArray[np.float32]:
    """A copy of CPU samples in which the first 5 minutes of each container start are missing; memory must keep them (methods.md A8).

    A start lies somewhere in its step, so its first 5 minutes touch that step and the next. A pod with more than ``most`` starts on a
    day keeps that day whole. labels, day, samples : of one block, see usage_of_block. starts : as ``starts_of`` gives them.
    """
    out = samples.copy()
    if not len(starts) or not len(labels):
        return out
    steps = samples.shape[1]
    rows = labels[list(_POD)].assign(day=np.asarray(day, np.int64), row=np.arange(len(labels)))
    first = starts[list(_POD)].assign(step=starts["step"].to_numpy(np.int64), day=starts["step"].to_numpy(np.int64) // steps)
    often = first.groupby([*_POD, "day"])["step"].transform("size") > most
    first = first[~often]
    hit = pd.concat([first.drop(columns="day"), first.drop(columns="day").assign(step=first["step"] + 1)], ignore_index=True)
    hit = hit.assign(day=hit["step"] // steps).merge(rows, on=[*_POD, "day"], how="inner")
    out[hit["row"].to_numpy(), (hit["step"] % steps).to_numpy()] = np.nan
    return out
