"""How long containers and nodes lived, in steps of a day: cut at midnight, carried over steps in which nobody was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aiops_analysis.analysis.allocation import init_extra
from aiops_analysis.core.schema import RESOURCES
from aiops_analysis.core.window import STEP, Window, day_start, steps_of

__all__ = ["Lives", "SeriesKeys", "Spans", "codes_of", "lives_of", "spans_of"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_POD = ("namespace", "pod", "uid")


def codes_of(frame: pd.DataFrame, names: Sequence[str]) -> Ints:
    """One number for each row, equal where all named columns are equal: 0, 1, ... in the order in which they appear."""
    code: Ints = np.zeros(len(frame), np.int64)
    for name in names:
        part, unique = pd.factorize(frame[name])
        code = np.asarray(pd.factorize(code * len(unique) + part)[0], np.int64)
    return code


@dataclass(frozen=True, slots=True)
class Spans:
    """Stretches of rows of a frame within one UTC day: the row, the day of the window, and half-open steps of that day.

    unseen : steps of stored days in which nothing at all was seen, and nothing that was seen before was seen again.
    """

    row: Ints
    day: Ints
    first: Ints
    last: Ints
    unseen: int

    @property
    def steps(self) -> Ints:
        """Length of each stretch."""
        return self.last - self.first


def spans_of(frame: pd.DataFrame, names: Sequence[str], window: Window, stored: Sequence[bool]) -> Spans:
    """The life of each row of a frame with ``first_seen`` and ``last_seen`` on the stored days of a window.

    ``names`` tell one thing from another. Where in some steps nothing at all was seen (the server was blind), a thing that was there
    before and is there again was there in between: a hole must not make its cost vanish. stored : one flag a day of the window.
    """
    steps, days = steps_of(), len(stored)
    base = pd.Timestamp(day_start(next(window.days())))
    seconds = [(frame[name] - base).dt.total_seconds() for name in ("first_seen", "last_seen")]
    first, last = (np.clip((since // STEP).to_numpy(np.int64), 0, days * steps) for since in seconds)
    known = np.repeat(np.asarray(stored, bool), steps)
    covered = _covered(first, last, days * steps)
    if not covered[known].all():
        last = _carried(codes_of(frame, names), first, last, covered)
        covered = _covered(first, last, days * steps)
    row, day, first, last = _by_day(first, last, steps)
    keep = np.asarray(stored, bool)[day]
    return Spans(row[keep], day[keep], first[keep], last[keep], int(np.count_nonzero(known & ~covered)))


def _covered(first: Ints, last: Ints, steps: int) -> Bools:
    edges = np.bincount(first, minlength=steps + 1) - np.bincount(last, minlength=steps + 1)
    covered: Bools = np.cumsum(edges)[:steps] > 0
    return covered


def _carried(code: Ints, first: Ints, last: Ints, covered: Bools) -> Ints:
    """The ends of stretches, moved to the next one of the same thing where in between nothing at all was seen."""
    order = np.lexsort((first, code))
    blind = np.concatenate([[0], np.cumsum(~covered)])
    ends, begins = last[order][:-1], first[order][1:]
    same = (code[order][1:] == code[order][:-1]) & (begins > ends)
    bridged = same & (blind[np.maximum(begins, ends)] - blind[ends] == begins - ends)
    out = last.copy()
    out[order[:-1][bridged]] = begins[bridged]
    return out


def _by_day(first: Ints, last: Ints, steps: int) -> tuple[Ints, Ints, Ints, Ints]:
    """Row, day, first and last step in the day of each stretch, cut at midnight and in the order of days."""
    there = np.flatnonzero(last > first)
    number = (last[there] - 1) // steps - first[there] // steps + 1
    row = np.repeat(there, number)
    nth = np.arange(len(row)) - np.repeat(np.cumsum(number) - number, number)
    day = first[row] // steps + nth
    order = np.argsort(day, kind="stable")
    row, day = row[order], day[order]
    return row, day, np.maximum(first[row] - day * steps, 0), np.minimum(last[row] - day * steps, steps)


class SeriesKeys:
    """The series (namespace, pod, container) of an inventory as numbers, and the numbers of other labels."""

    _NAMES = ("namespace", "pod", "container")

    def __init__(self, inventory: pd.DataFrame) -> None:
        self._values: list[pd.Index] = []
        code: Ints = np.zeros(len(inventory), np.int64)
        for name in self._NAMES:
            part, unique = pd.factorize(inventory[name])
            self._values.append(pd.Index(unique))
            code = code * max(len(unique), 1) + part
        self._known, number = np.unique(code, return_inverse=True)
        self.code: Ints = np.asarray(number, np.int64).ravel()

    def __len__(self) -> int:
        return len(self._known)

    def find(self, labels: pd.DataFrame) -> Ints:
        """The number of each row of labels, -1 where the inventory never saw it."""
        code: Ints = np.zeros(len(labels), np.int64)
        known = np.full(len(labels), len(self._known) > 0)
        for name, values in zip(self._NAMES, self._values, strict=True):
            part, unique = pd.factorize(labels[name])
            at = values.get_indexer(pd.Index(unique))[part] if len(values) else np.full(len(labels), -1)
            known &= at >= 0
            code = code * max(len(values), 1) + np.maximum(at, 0)
        place = np.searchsorted(self._known, code)
        place = np.minimum(place, max(len(self._known) - 1, 0))
        known &= self._known[place] == code if len(self._known) else False
        return np.where(known, place, -1)


@dataclass(frozen=True, slots=True)
class Lives:
    """Stretches of equal facts of containers, and one more for each pod whose init containers ask for more than the rest of it.

    spans : rows are those of the inventory. series : number of SeriesKeys, -1 where nothing is measured. pod : number of the pod.
    runs : False for init containers and the added rows, which do not run beside the others.
    request : resource -> [cores | bytes], NaN not set; an init container asks for nothing that its pod's added row does not ask for.
    above : resource -> usage above this costs [cores | bytes].
    """

    spans: Spans
    series: Ints
    pod: Ints
    runs: Bools
    request: dict[str, Floats]
    above: dict[str, Floats]

    def pod_steps(self) -> Ints:
        """Steps that a pod lived on a day, on one of its rows; 0 on the others."""
        code = self.pod * (int(self.spans.day.max()) + 1) + self.spans.day if len(self.pod) else self.pod
        _, row, place = np.unique(code, return_index=True, return_inverse=True)
        begin, end = np.full(len(row), steps_of()), np.zeros(len(row), np.int64)
        np.minimum.at(begin, place.ravel(), self.spans.first)
        np.maximum.at(end, place.ravel(), self.spans.last)
        out: Ints = np.zeros(len(self.pod), np.int64)
        out[row] = end - begin
        return out


def lives_of(inventory: pd.DataFrame, keys: SeriesKeys, window: Window, stored: Sequence[bool]) -> Lives:
    """The lives of the containers of an INVENTORY; a request that is not set is the limit, as Kubernetes does."""
    spans = spans_of(inventory, (*_POD, "container"), window, stored)
    asked = {r: inventory[f"{r}_request"].fillna(inventory[f"{r}_limit"]).to_numpy(np.float64) for r in RESOURCES}
    pod = codes_of(inventory, _POD)
    runs = (inventory["role"] != "init").to_numpy(bool)[spans.row]
    request = {r: np.where(runs, asked[r][spans.row], 0.0) for r in RESOURCES}
    above = {r: np.nan_to_num(request[r]) for r in RESOURCES}
    lives = Lives(spans, keys.code[spans.row], pod[spans.row], runs, request, above)
    return lives if runs.all() else _with_init(lives, inventory, asked, pod)


def _with_init(lives: Lives, inventory: pd.DataFrame, asked: dict[str, Floats], pod: Ints) -> Lives:
    """A row for what a pod's init containers ask for beyond the rest of it, while the pod lives (methods.md A9)."""
    spans = lives.spans
    with_init = np.zeros(int(pod.max()) + 1, bool)
    with_init[lives.pod[~lives.runs]] = True
    mine = np.flatnonzero(with_init[lives.pod])
    filled = inventory.assign(**{f"{r}_request": asked[r] for r in RESOURCES}).iloc[spans.row[mine]].reset_index(drop=True)
    # a day of a pod is a pod of its own; no name holds a NUL
    frame = filled.assign(uid=filled["uid"] + "\x00" + pd.Series(spans.day[mine]).astype("str"))
    extra = init_extra(frame).set_index(list(_POD))
    place = extra.index.get_indexer(pd.MultiIndex.from_frame(frame[list(_POD)]))
    runs = lives.runs[mine]
    running = _running(frame, runs, place, len(extra))
    beyond = {r: extra[f"{r}_request"].to_numpy(np.float64) for r in RESOURCES}
    above = {r: lives.above[r].copy() for r in RESOURCES}
    for r in RESOURCES:
        # an init container runs alone: all that the pod asks for is there for it
        above[r][mine[~runs]] = (running[r] + beyond[r])[place[~runs]]
    first, last, row = np.full(len(extra), steps_of()), np.zeros(len(extra), np.int64), np.zeros(len(extra), np.int64)
    np.minimum.at(first, place, spans.first[mine])
    np.maximum.at(last, place, spans.last[mine])
    row[place] = mine
    return Lives(
        Spans(
            np.concatenate([spans.row, spans.row[row]]),
            np.concatenate([spans.day, spans.day[row]]),
            np.concatenate([spans.first, first]),
            np.concatenate([spans.last, last]),
            spans.unseen,
        ),
        np.concatenate([lives.series, np.full(len(row), -1)]),
        np.concatenate([lives.pod, lives.pod[row]]),
        np.concatenate([lives.runs, np.zeros(len(row), bool)]),
        {r: np.concatenate([lives.request[r], beyond[r]]) for r in RESOURCES},
        {r: np.concatenate([above[r], np.full(len(row), np.inf)]) for r in RESOURCES},
    )


def _running(frame: pd.DataFrame, runs: Bools, place: Ints, pods: int) -> dict[str, Floats]:
    """What the running containers of each pod ask for together, the largest request of one that was resized."""
    columns = [f"{r}_request" for r in RESOURCES]
    each = frame.loc[runs, columns].fillna(0.0).groupby([place[runs], frame.loc[runs, "container"].to_numpy()]).max()
    total = each.groupby(level=0).sum().reindex(range(pods)).fillna(0.0)
    return {r: total[f"{r}_request"].to_numpy(np.float64) for r in RESOURCES}
