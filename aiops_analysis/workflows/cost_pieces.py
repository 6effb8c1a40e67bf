"""From the samples of a history and the lives of its containers to pieces that have a cost; a day is read at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aiops_analysis.analysis.costs import NodeBook, Pieces, over
from aiops_analysis.analysis.lifetimes import Lives, SeriesKeys, codes_of
from aiops_analysis.core.schema import LABELS, RESOURCES
from aiops_analysis.core.window import steps_of
from aiops_analysis.history.days import Block, block
from aiops_analysis.history.store import Manifest, Store
from aiops_analysis.workflows.measure import METRIC_OF

__all__ = ["Measured", "loose_of", "measured_of", "pieces_of", "waiting"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_FILES = 8  # files of a day that are read at once: about 12 000 series
_WORKLOAD = ("namespace", "workload_kind", "workload")


@dataclass(frozen=True)
class Measured:
    """What was measured: by life, and ``loose`` samples outside every life: LABELS, day, resource, usage [step units], steps."""

    usage: dict[str, Floats]
    excess: dict[str, Floats]
    steps: dict[str, Ints]
    loose: pd.DataFrame


def measured_of(
    store: Store, days: Sequence[date], manifests: Mapping[str, Mapping[date, Manifest]], lives: Lives, keys: SeriesKeys, workers: int
) -> Measured:
    """The samples of every stored day, in a small pool of threads; each day fills its own part of the arrays."""
    many = len(lives.spans.row)
    usage, excess = ({r: np.zeros(many) for r in RESOURCES} for _ in range(2))
    out = Measured(usage, excess, {r: np.zeros(many, np.int64) for r in RESOURCES}, _LOOSE)
    order = np.argsort(lives.spans.day, kind="stable")
    edges = np.searchsorted(lives.spans.day[order], np.arange(len(days) + 1))

    def one(number: int) -> list[pd.DataFrame]:
        mine = order[edges[number] : edges[number + 1]]
        found = {r: manifests[metric] for r, metric in METRIC_OF.items() if days[number] in manifests[metric]}
        parts = max((-(-of_day[days[number]].buckets // _FILES) for of_day in found.values()), default=0)
        loose = []
        for part in range(parts):
            blocks = {r: block(store, METRIC_OF[r], [days[number]], part, parts, of_day) for r, of_day in found.items()}
            loose += _of_blocks(blocks, lives, keys, mine, out, number)
        return loose

    if workers == 1:
        frames = [frame for number in range(len(days)) for frame in one(number)]
    else:
        with ThreadPoolExecutor(workers, thread_name_prefix="day") as pool:
            frames = [frame for found in pool.map(one, range(len(days))) for frame in found]
    return Measured(out.usage, out.excess, out.steps, pd.concat(frames, ignore_index=True) if frames else _LOOSE)


_LOOSE = pd.DataFrame({name: pd.Series([], dtype="str") for name in (*LABELS, "resource")}).assign(
    day=np.empty(0, np.int64), usage=np.empty(0), steps=np.empty(0, np.int64)
)


def _of_blocks(blocks: Mapping[str, Block], lives: Lives, keys: SeriesKeys, mine: Ints, out: Measured, day: int) -> list[pd.DataFrame]:
    """Fill in the lives of a day from some of its series; returns the samples that belong to none."""
    loose, series, labels = [], np.empty(0, np.int64), None
    for r, part in blocks.items():
        if labels is None or not labels.equals(part.labels):  # both metrics mostly have the same series
            labels, series = part.labels, keys.find(part.labels)
        row_of = np.full(len(keys) + 1, -1)  # the last is for lives without a series
        row_of[series] = np.arange(len(series))
        row_of[-1] = -1
        row = row_of[lives.series[mine]]
        at = mine[row >= 0]
        row = row[row >= 0]
        first, last = lives.spans.first[at], lives.spans.last[at]
        usage, excess, steps = over(part.samples, row, first, last, lives.above[r][at])
        out.usage[r][at], out.excess[r][at], out.steps[r][at] = usage, excess, steps
        rest = _rest(part, row, last - first, usage, steps)
        if len(rest):
            loose.append(rest.assign(resource=r, day=day))
    return loose


def _rest(part: Block, row: Ints, length: Ints, usage: Floats, steps: Ints) -> pd.DataFrame:
    """Samples of rows that no life, or none that lasts all day, has taken."""
    many, whole = len(part.samples), steps_of()
    rows = np.setdiff1d(np.arange(many), row[length == whole])
    if not len(rows):
        return _LOOSE
    span = np.zeros(len(rows), np.int64), np.full(len(rows), whole)
    total, _, seen = over(part.samples, rows, *span, np.zeros(len(rows)))
    left = seen - np.bincount(row, steps, many).astype(np.int64)[rows]
    some = left > 0
    amount = np.maximum(total - np.bincount(row, usage, many)[rows], 0.0)
    return part.labels.iloc[rows[some]].assign(usage=amount[some], steps=left[some])


def pieces_of(inventory: pd.DataFrame, lives: Lives, measured: Measured, loose: pd.DataFrame, keep: Ints, book: NodeBook) -> Pieces:
    """The lives that cost something, and the loose samples, as pieces of workloads."""
    names = pd.concat([inventory[list(_WORKLOAD)], loose[list(_WORKLOAD)]], ignore_index=True)
    group = codes_of(names, _WORKLOAD)
    row, runs, length = lives.spans.row[keep], lives.runs[keep], lives.spans.steps[keep]
    seen = {r: np.where(runs, measured.steps[r][keep], 0) for r in RESOURCES}
    asked = {r: np.nan_to_num(lives.request[r][keep]) for r in RESOURCES}
    unset = {r: np.isnan(lives.request[r][keep]) for r in RESOURCES}

    def joined(mine: NDArray[Any], theirs: pd.Series | float) -> NDArray[Any]:
        return np.concatenate([mine, np.broadcast_to(np.asarray(theirs, mine.dtype), len(loose))])

    return Pieces(
        names=names.iloc[np.unique(group, return_index=True)[1]].reset_index(drop=True),
        group=np.concatenate([group[row], group[len(inventory) :]]),
        day=joined(lives.spans.day[keep], loose["day"]),
        node=np.concatenate([book.find(inventory["node"])[row], book.find(loose["node"])]),
        steps=joined(np.where(runs, length, 0), loose["steps"]),
        pod_steps=joined(lives.pod_steps()[keep], loose["pod_steps"]),
        request={r: joined(asked[r] * length, 0.0) for r in RESOURCES},
        usage={r: joined(measured.usage[r][keep], loose[r]) for r in RESOURCES},
        excess={r: joined(measured.excess[r][keep], loose[r]) for r in RESOURCES},
        measured={r: joined(seen[r], loose[f"{r}_steps"]) for r in RESOURCES},
        asked={r: joined(asked[r] * seen[r], 0.0) for r in RESOURCES},
        unknown={r: joined(np.where(unset[r] & runs, length - seen[r], 0), loose["steps"] - loose[f"{r}_steps"]) for r in RESOURCES},
    )


def waiting(node: NDArray[np.object_], lives: Lives, measured: Measured) -> NDArray[np.bool_]:
    """Lives of pods that no node runs: it has no name on a day that names others, and not one sample."""
    day = lives.spans.day
    many = int(day.max()) + 1 if len(day) else 1
    named = np.bincount(day, node != "", many) > 0
    seen = sum((measured.steps[r] for r in RESOURCES), np.zeros(len(day), np.int64))
    code = lives.pod * many + day
    _, place = np.unique(code, return_inverse=True)
    of_pod = np.bincount(place.ravel(), seen) if len(code) else np.empty(0)
    return (node == "") & named[day] & (of_pod[place.ravel()] == 0)


def loose_of(loose: pd.DataFrame, inventory: pd.DataFrame, lives: Lives) -> pd.DataFrame:
    """Loose samples, one row a series-day: usage and steps of both resources, its pod's node, and its pod's steps where that is new."""
    on = [*LABELS, "day"]
    wide = loose.drop_duplicates(on)[on].reset_index(drop=True)
    for r in RESOURCES:
        mine = loose.loc[loose["resource"] == r, [*on, "usage", "steps"]].rename(columns={"usage": r, "steps": f"{r}_steps"})
        wide = wide.merge(mine.groupby(on, as_index=False).sum(), on=on, how="left")
    wide = wide.fillna({name: 0 for r in RESOURCES for name in (r, f"{r}_steps")})
    wide = wide.assign(steps=wide[[f"{r}_steps" for r in RESOURCES]].max(axis=1).astype(np.int64))
    if not len(wide):
        return wide.assign(node=pd.Series([], dtype="str"), pod_steps=np.empty(0, np.int64))
    pods = inventory.iloc[lives.spans.row][["namespace", "pod", "node"]].assign(day=lives.spans.day)
    pods = pods.drop_duplicates(["namespace", "pod", "day"], keep="last")
    wide = wide.merge(pods, on=["namespace", "pod", "day"], how="left")
    new = wide["node"].isna()
    by_pod = [wide[name] for name in ("namespace", "pod", "day")]
    largest = wide["steps"].groupby(by_pod).transform("max")
    first = ~wide.duplicated(["namespace", "pod", "day"])
    return wide.assign(node=wide["node"].fillna(""), pod_steps=np.where(new & first, largest, 0))
