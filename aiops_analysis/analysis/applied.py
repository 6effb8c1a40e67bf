"""When and how far an accepted change was applied, found in the requests that the history saw (design.md section 3).

A change moves a request from one value to another; ``progress`` is how much of that way the time-weighted mean request of all pods has
gone in a slice: 0 before, 1 when every pod has the new request, more when it was changed further than decided.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from aiops_analysis.analysis.past import Past
from aiops_analysis.core.decision import Choice, Decision
from aiops_analysis.core.schema import GROUP
from aiops_analysis.core.units import GIB

__all__ = ["GONE_AFTER", "Applied", "Step", "applied_of", "wanted"]

_NEAR = 0.02  # of the way: mean requests of mixed days are no exact numbers
_FULL = 0.95  # of the way: a change in the first hour of a day has that day nearly to itself, and the day counts as after
_TRACE = 0.001  # of the way: what a slice in which the change began late still shows
GONE_AFTER = 14  # days without a pod, after which a workload counts as gone


@dataclass(frozen=True, slots=True)
class Step:
    """One choice in the history: amounts in cores or GiB for one pod, slices by number, -1 when there is none."""

    choice: Choice
    state: str  # whole | partly | not | reverted | unknown
    begin: int  # the slice in which the change began
    undone: int  # the slice from which the old request was back
    last: int  # the last slice with a pod
    now: float  # mean request at the end
    progress: float  # at the end
    full: bool = False  # the slice in which it began has it throughout

    @property
    def gone(self) -> bool:
        """True when nothing is known of the workload-container any more."""
        return self.state == "unknown"


@dataclass(frozen=True, slots=True)
class Applied:
    """A record in the history; ordinals of days, 0 when there is none.

    ``begin`` is the first day of the first change, ``settled`` the first day that has all of it: the day after the slice in which the last
    change began, or that slice's own first day where the change has it throughout. ``until`` is the day from which its workloads are gone.
    """

    decision: Decision
    state: str
    steps: tuple[Step, ...]
    begin: int
    on: date | None  # when the last of its changes began
    settled: int
    until: int


def wanted(choice: Choice) -> tuple[float, float]:
    """Request before and after [cores | GiB]; a request that is not set asks for nothing. NaN where the new one is not known."""
    unit = GIB if choice.resource == "memory" else 1.0
    before = 0.0 if math.isnan(choice.from_request) else choice.from_request / unit
    return before, choice.to_request / unit


def applied_of(decision: Decision, past: Past) -> Applied:
    """Find a record's changes in the history from the day it was written on; a change that was there by then is followed back.

    whole: every request as decided, or changed further; partly: another value, or only some of the changes or pods; reverted: it was
    there and the old request is back; unknown: no pod of its workloads is in the history since, or for the last two weeks.
    """
    since = min(decision.dated, decision.decided_on or decision.dated).toordinal()
    changes = [one for one in decision.choices if math.isfinite(wanted(one)[1]) and not math.isclose(*wanted(one), rel_tol=1e-6)]
    steps = tuple(_step(choice, past, since) for choice in changes)
    begun = [one for one in steps if one.begin >= 0]
    begin = min((int(past.start[one.begin]) for one in begun), default=0)
    last = max((one.begin for one in begun), default=-1)
    at_once = all(one.full for one in begun if one.begin == last)
    until = _until(begun, past)
    return Applied(
        decision=decision,
        state=_together(steps),
        steps=steps,
        begin=begin,
        on=past.day(last) if last >= 0 else None,
        settled=int(past.start[last] + (0 if at_once else past.days[last])) if last >= 0 else 0,
        until=until,
    )


def _together(steps: Sequence[Step]) -> str:
    """One word for all changes of a record."""
    states = {one.state for one in steps}
    if not states:
        return "unknown"
    if len(states) == 1:
        return states.pop()
    return "reverted" if states <= {"reverted", "not", "unknown"} and "reverted" in states else _some(states)


def _some(states: set[str]) -> str:
    return "not" if states == {"not", "unknown"} else "partly"


def _until(steps: Sequence[Step], past: Past) -> int:
    """The day after the last pod of a record whose workloads are all gone, 0 while one is there."""
    if not steps or not all(one.gone for one in steps):
        return 0
    last = max(one.last for one in steps)
    return int(past.start[last] + past.days[last])


def _step(choice: Choice, past: Past, since: int) -> Step:
    at, request = _requests(choice, past)
    before, after = wanted(choice)
    progress = (request - before) / (after - before)
    later = past.start[at] + past.days[at] > since if len(at) else np.zeros(0, bool)
    over = int(past.start[-1] + past.days[-1]) if len(past.start) else 0
    if not later.any() and not (len(at) and over <= since and progress[-1] > _NEAR):  # the record may be younger than the history
        return Step(choice, "unknown", -1, -1, int(at[-1]) if len(at) else -1, math.nan, math.nan)
    last = len(at) - 1
    first = int(np.argmax(later)) if later.any() else last
    peak = float(progress[first:].max())
    end = float(progress[last])
    gone = over - int(past.start[at[last]] + past.days[at[last]]) >= GONE_AFTER
    begin, undone, state = -1, -1, "not"
    if peak > _NEAR:
        begin = int(at[_begin(progress, first, peak)])
        state = "whole" if end >= 1 - _NEAR else "partly" if end > _NEAR else "reverted"
    if state == "reverted":
        undone = int(at[int(np.flatnonzero(progress > _NEAR)[-1]) + 1])
    full = begin >= 0 and float(progress[int(np.searchsorted(at, begin))]) >= _FULL * min(peak, 1.0)
    return Step(choice, "unknown" if gone else state, begin, undone, int(at[last]), float(request[last]), end, full)


def _begin(progress: np.ndarray, first: int, peak: float) -> int:
    """Position of the slice in which the change began: the first with half of what was reached, or the one before when it shows a trace."""
    half = min(peak, 1.0) / 2
    at = first + int(np.argmax(progress[first:] >= half))
    while at == first and at > 0 and progress[at - 1] >= half:  # it was there before the record
        at, first = at - 1, first - 1
    return at - 1 if at > 0 and progress[at - 1] > _TRACE else at


def _requests(choice: Choice, past: Past) -> tuple[np.ndarray, np.ndarray]:
    """The slices in which the container ran, and its mean request of one pod there [cores | GiB]."""
    rows = past.asked
    mine = np.ones(len(rows), bool)
    for name, part in zip(GROUP, choice.key[1:-1], strict=True):
        mine &= (rows[name] == part).to_numpy()
    found: pd.DataFrame = rows.loc[mine & (rows["pod_hours"] > 0).to_numpy()].groupby("at")[["pod_hours", choice.resource]].sum()
    return found.index.to_numpy(np.int64), (found[choice.resource] / found["pod_hours"]).to_numpy(np.float64)
