"""What a window cost: from the history, day by day, to COSTS and NODE_COSTS, and what is estimated or unknown in them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aiops_analysis.analysis.costs import (
    SHARED,
    NodeBook,
    Pieces,
    allocation_frame,
    costs_frame,
    node_book,
    node_costs_frame,
    over,
    with_shared,
)
from aiops_analysis.analysis.lifetimes import Lives, SeriesKeys, codes_of, lives_of, spans_of
from aiops_analysis.core.schema import LABELS, RESOURCES, check
from aiops_analysis.core.schema_money import NODE_PRICES
from aiops_analysis.core.window import Window, steps_of
from aiops_analysis.history.days import Block, block
from aiops_analysis.history.inventory import read_frame
from aiops_analysis.history.store import Manifest, Store
from aiops_analysis.workflows.cost_words import Counts, said_of
from aiops_analysis.workflows.measure import METRIC_OF

__all__ = ["Costs", "costs_of"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_FILES = 8  # files of a day that are read at once: about 12 000 series
_WORKLOAD = ("namespace", "workload_kind", "workload")


@dataclass(frozen=True)
class Costs:
    """COSTS and NODE_COSTS of a window, the finer ALLOCATION they are of, and how much of them is known.

    shares : plain numbers from 0 to 1, NaN when not known; ``measured_cpu`` and ``measured_memory`` (of container hours, with a usage
    sample), ``unknown_cpu`` and ``unknown_memory`` (with neither request nor sample), ``mean_price`` (of the cost, priced by the
    cluster's mean). days : the UTC days that the sums are of.
    """

    costs: pd.DataFrame
    nodes: pd.DataFrame
    allocation: pd.DataFrame
    days: tuple[date, ...]
    shares: Mapping[str, float]
    notes: tuple[str, ...]
    findings: tuple[Mapping[str, object], ...]


def costs_of(
    store: Store,
    window: Window,
    node_prices: pd.DataFrame,
    *,
    shared: Collection[str] = SHARED,
    rule: str = "proportional",
    inventory: pd.DataFrame | None = None,
    workers: int = 2,
) -> Costs:
    """What the containers and nodes of a window cost by NODE_PRICES: max(request, usage) x price by the step (methods.md B2).

    ``inventory`` is that of the window where it was read before; ``shared`` are the namespaces that everybody carries, by ``rule``
    (proportional, uniform, none). A day of the history is read at a time. Raises StoreCorrupt, UsageError for another rule.
    """
    days = list(window.days())
    inventory = read_frame(store, "inventory", days) if inventory is None else inventory
    nodes, prices = read_frame(store, "nodes", days), check(node_prices, NODE_PRICES)
    manifests = {kind: store.manifests(kind, days) for kind in ("inventory", "nodes", *METRIC_OF.values())}
    stored = {kind: [day in found for day in days] for kind, found in manifests.items()}
    keys = SeriesKeys(inventory)
    lives = lives_of(inventory, keys, window, stored["inventory"])
    measured = _measured(store, days, manifests, lives, keys, workers)
    node_spans = spans_of(nodes, ("node",), window, stored["nodes"])
    book = node_book(nodes, node_spans, prices, len(days))
    waits = _waiting(inventory["node"].to_numpy(object)[lives.spans.row], lives, measured)
    loose = _loose(measured.loose, inventory, lives)
    pieces = _pieces(inventory, lives, measured, loose, np.flatnonzero(~waits), book)
    names = [day.isoformat() for day in days]
    allocation = with_shared(allocation_frame(pieces, book, names), shared, rule)
    node_costs = node_costs_frame(nodes, node_spans, prices, book, allocation, names)
    there = [day for day in days if any(day in manifests[kind] for kind in ("inventory", *METRIC_OF.values()))]
    counts = Counts(
        waiting=len(np.unique(lives.pod[waits])),
        loose=int(loose["steps"].sum()),
        unseen=lives.spans.unseen,
        missing=tuple(day for day in days if day not in there),
        no_inventory=tuple(day for day in there if day not in manifests["inventory"]),
        no_nodes=tuple(day for day in there if day not in manifests["nodes"]),
    )
    shares, notes, findings = said_of(counts, pieces, book, node_costs, shared, rule, allocation)
    return Costs(costs_frame(allocation), node_costs, allocation, tuple(there), shares, notes, findings)


@dataclass(frozen=True)
class _Measured:
    """What was measured: by life, and ``loose`` samples outside every life: LABELS, day, resource, usage [step units], steps."""

    usage: dict[str, Floats]
    excess: dict[str, Floats]
    steps: dict[str, Ints]
    loose: pd.DataFrame


def _measured(
    store: Store, days: Sequence[date], manifests: Mapping[str, Mapping[date, Manifest]], lives: Lives, keys: SeriesKeys, workers: int
) -> _Measured:
    """The samples of every stored day, in a small pool of threads; each day fills its own part of the arrays."""
    many = len(lives.spans.row)
    usage, excess = ({r: np.zeros(many) for r in RESOURCES} for _ in range(2))
    out = _Measured(usage, excess, {r: np.zeros(many, np.int64) for r in RESOURCES}, _LOOSE)
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
    return _Measured(out.usage, out.excess, out.steps, pd.concat(frames, ignore_index=True) if frames else _LOOSE)


_LOOSE = pd.DataFrame({name: pd.Series([], dtype="str") for name in (*LABELS, "resource")}).assign(
    day=np.empty(0, np.int64), usage=np.empty(0), steps=np.empty(0, np.int64)
)


def _of_blocks(blocks: Mapping[str, Block], lives: Lives, keys: SeriesKeys, mine: Ints, out: _Measured, day: int) -> list[pd.DataFrame]:
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


def _pieces(inventory: pd.DataFrame, lives: Lives, measured: _Measured, loose: pd.DataFrame, keep: Ints, book: NodeBook) -> Pieces:
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


def _waiting(node: NDArray[np.object_], lives: Lives, measured: _Measured) -> NDArray[np.bool_]:
    """Lives of pods that no node runs: it has no name on a day that names others, and not one sample."""
    day = lives.spans.day
    many = int(day.max()) + 1 if len(day) else 1
    named = np.bincount(day, node != "", many) > 0
    seen = sum((measured.steps[r] for r in RESOURCES), np.zeros(len(day), np.int64))
    code = lives.pod * many + day
    _, place = np.unique(code, return_inverse=True)
    of_pod = np.bincount(place.ravel(), seen) if len(code) else np.empty(0)
    return (node == "") & named[day] & (of_pod[place.ravel()] == 0)


def _loose(loose: pd.DataFrame, inventory: pd.DataFrame, lives: Lives) -> pd.DataFrame:
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
