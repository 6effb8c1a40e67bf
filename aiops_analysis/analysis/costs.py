"""What containers and nodes cost: max(request, usage) x price by the step, idle apart, shared cost by a named rule (methods.md B2).

Frames are summed over UTC days of 24 h. Nothing is scaled to a month: a pod that lived an hour costs an hour.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aiops_analysis.analysis.lifetimes import Spans, codes_of
from aiops_analysis.analysis.node_prices import node_sizes
from aiops_analysis.core.contract import Contract, check, empty
from aiops_analysis.core.errors import UsageError
from aiops_analysis.core.schema import RESOURCES
from aiops_analysis.core.schema_money import COSTS, NODE_COSTS
from aiops_analysis.core.units import GIB
from aiops_analysis.core.window import STEP

__all__ = [
    "ALLOCATION",
    "PLACE",
    "RULES",
    "SHARED",
    "NodeBook",
    "Pieces",
    "allocation_frame",
    "costs_frame",
    "node_book",
    "node_costs_frame",
    "over",
    "with_shared",
]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Where a container ran, as far as costs are kept apart by it.
PLACE = ("pool", "zone", "instance_type", "capacity_type")
#: Namespaces whose cost everybody carries, unless the settings say otherwise.
SHARED = ("kube-system", "monitoring")
#: How the cost of shared namespaces is spread over the others.
RULES = ("proportional", "uniform", "none")

_MEASURED = {f"{r}_{name}_hours": "float64" for r in RESOURCES for name in ("measured", "asked", "unknown")}
#: COSTS, finer: by zone, instance type and capacity type as well, with what was measured of it.
#: measured : container hours with a usage sample. asked : request in those [core | GiB hours], what efficiency divides by.
#: unknown : container hours with neither a request nor a sample, which cost nobody knows what. container : hours of all containers.
ALLOCATION = Contract(
    "allocation",
    {
        "day": "str",
        "namespace": "str",
        "workload_kind": "str",
        "workload": "str",
        **dict.fromkeys(PLACE, "str"),
        **{name: kind for name, kind in COSTS.columns.items() if name not in (*COSTS.key, *PLACE)},
        "container_hours": "float64",
        **_MEASURED,
    },
    ("day", "namespace", "workload_kind", "workload", *PLACE),
)

_CHUNK = 512  # rows of a day at once, as float64 in the cache
_HOURS = STEP / 3600
_UNIT = {"cpu": 1.0, "memory": 1 / GIB}
_MEAN = "cluster mean"


def over(samples: NDArray[np.float32], rows: Ints, first: Ints, last: Ints, above: Floats) -> tuple[Floats, Floats, Ints]:
    """Usage, usage above a level, and steps with a sample of some stretches of a day, summed over steps.

    rows : row of ``samples`` [rows, steps] of each stretch. first, last : its half-open steps. above : its level [cores | bytes].
    Negative and infinite samples are missing. max(request, usage) summed is request x steps + usage above the request.
    """
    steps = samples.shape[1]
    usage, excess, measured = np.zeros(len(rows)), np.zeros(len(rows)), np.zeros(len(rows), np.int64)
    at = np.arange(steps)
    for start in range(0, len(rows), _CHUNK):
        these = slice(start, start + _CHUNK)
        part = samples[rows[these]].astype(np.float64)
        valid = (part >= 0) & (part < np.inf)
        begin, end = first[these, None], last[these, None]
        if (end - begin < steps).any():
            valid &= (at >= begin) & (at < end)
        if not valid.all():
            part[~valid] = 0.0
        usage[these], measured[these] = part.sum(axis=1), np.count_nonzero(valid, axis=1)
        part -= above[these, None]
        excess[these] = np.maximum(part, 0.0, out=part).sum(axis=1)
    return usage, excess, measured


@dataclass(frozen=True, slots=True)
class NodeBook:
    """Where each node is and what its core and GiB cost an hour.

    places : frame of PLACE; number 0 is "not known". place : [days, nodes]. unit : resource -> price of each node [currency per core and
    hour | GiB and hour], the cluster's mean where nothing prices it. mean : of the cluster. known : priced by its own.
    """

    names: pd.Index
    places: pd.DataFrame
    place: Ints
    unit: Mapping[str, Floats]
    mean: Mapping[str, float]
    known: Bools

    def find(self, nodes: pd.Series) -> Ints:
        """The number of each node, -1 where neither NODES nor the prices know it."""
        part, unique = pd.factorize(nodes)
        return np.asarray(self.names.get_indexer(pd.Index(unique))[part], np.int64) if len(self.names) else np.full(len(nodes), -1)

    def place_of(self, node: Ints, day: Ints) -> Ints:
        """Number of the place of each node on each day."""
        return np.where(node >= 0, self.place[day, np.maximum(node, 0)], 0) if len(self.names) else np.zeros(len(node), np.int64)

    def price_of(self, node: Ints, resource: str) -> Floats:
        """Unit price of each node, the mean where it is not known."""
        price = np.append(self.unit[resource], self.mean[resource])  # -1 is the last
        return price[node]

    def priced(self, node: Ints) -> Bools:
        """True where a node is priced by its own."""
        found: Bools = np.append(self.known, False)[node]
        return found


def node_book(nodes: pd.DataFrame, spans: Spans, prices: pd.DataFrame, days: int) -> NodeBook:
    """Places and prices of the nodes of NODES, whose lives are ``spans``, and of NODE_PRICES.

    The mean weighs each node by its core hours or GiB hours in the window (a ratio of sums).
    """
    names = pd.Index(pd.unique(pd.concat([nodes["node"], prices["node"]], ignore_index=True)))
    beside = prices[~prices["node"].isin(nodes["node"])]
    blank = dict.fromkeys(PLACE, "")
    rows = pd.concat(
        [pd.DataFrame([blank]), nodes[list(PLACE)], beside[["pool"]].assign(zone="", instance_type="", capacity_type="")], ignore_index=True
    ).astype("str")
    code = codes_of(rows, PLACE)
    places = rows.iloc[np.unique(code, return_index=True)[1]].reset_index(drop=True)
    number = names.get_indexer(nodes["node"])
    ever = np.zeros(len(names), np.int64)
    ever[number] = code[1 : 1 + len(nodes)]
    ever[names.get_indexer(beside["node"])] = code[1 + len(nodes) :]
    place = np.tile(ever, (days, 1))
    place[spans.day, number[spans.row]] = code[1:][spans.row]
    at = names.get_indexer(prices["node"])
    unit, mean = {}, {}
    for r in RESOURCES:
        own = np.full(len(names), np.nan)
        found = prices[f"{r}_hour"].to_numpy(np.float64)
        own[at] = np.where(np.isfinite(found) & (found > 0), found, np.nan)
        weight = (
            np.bincount(number[spans.row], _size(nodes, r)[spans.row] * spans.steps, len(names)) if len(nodes) else np.zeros(len(names))
        )
        mean[r] = _mean(own, np.nan_to_num(weight))
        unit[r] = own
    known = np.isfinite(unit["cpu"]) & np.isfinite(unit["memory"])
    return NodeBook(names, places, place, {r: np.where(known, unit[r], mean[r]) for r in RESOURCES}, mean, known)


def _size(nodes: pd.DataFrame, resource: str) -> Floats:
    """Capacity, or what is allocatable where that is not known [cores | GiB]."""
    size = node_sizes(nodes, resource).to_numpy(np.float64)
    return np.asarray(size * _UNIT[resource], np.float64)


def _mean(price: Floats, weight: Floats) -> float:
    priced = np.isfinite(price)
    if not priced.any():
        return float("nan")
    heavy = weight[priced]
    return float(np.average(price[priced], weights=heavy if heavy.sum() > 0 else None))


@dataclass(frozen=True, slots=True)
class Pieces:
    """Stretches of containers with what they asked for and used, in steps; arrays of one length.

    names : namespace, workload_kind, workload of each ``group``. steps : container steps; 0 for what an init container asks beyond.
    request, usage, excess : summed over steps [core | byte steps]. asked : of the request, where usage was measured. unknown : steps with
    neither.
    """

    names: pd.DataFrame
    group: Ints
    day: Ints
    node: Ints
    steps: Ints
    pod_steps: Ints
    request: Mapping[str, Floats]
    usage: Mapping[str, Floats]
    excess: Mapping[str, Floats]
    measured: Mapping[str, Ints]
    asked: Mapping[str, Floats]
    unknown: Mapping[str, Ints]


def allocation_frame(pieces: Pieces, book: NodeBook, days: list[str]) -> pd.DataFrame:
    """ALLOCATION without shared cost: allocated = max(request, usage) by the step, priced by the node it ran on.

    Usage is NaN where no step was measured. What has neither a request nor a sample costs nothing that is known: where that is all there
    is, allocated and cost are NaN.
    """
    if not len(pieces.group):
        return empty(ALLOCATION)
    place = book.place_of(pieces.node, pieces.day)
    code = (pieces.day * len(pieces.names) + pieces.group) * len(book.places) + place
    unique, example, row = np.unique(code, return_index=True, return_inverse=True)
    row = row.ravel()

    def total(values: NDArray[np.float64] | NDArray[np.int64]) -> Floats:
        return np.bincount(row, values, len(unique)).astype(np.float64)

    out: dict[str, object] = {"day": np.array(days)[pieces.day[example]]}
    out |= {name: pieces.names[name].to_numpy()[pieces.group[example]] for name in ("namespace", "workload_kind", "workload")}
    out |= {name: book.places[name].to_numpy()[place[example]] for name in PLACE}
    steps = total(pieces.steps)
    out |= {"container_hours": steps * _HOURS, "pod_hours": total(pieces.pod_steps) * _HOURS}
    for r in RESOURCES:
        measured, unknown, hours = total(pieces.measured[r]), total(pieces.unknown[r]), _HOURS * _UNIT[r]
        wholly = (unknown > 0) & (unknown == steps)
        allocated = pieces.request[r] + pieces.excess[r]
        cost = total(allocated * book.price_of(pieces.node, r)) * hours
        out |= {
            f"{r}_request_hours": total(pieces.request[r]) * hours,
            f"{r}_usage_hours": np.where(measured > 0, total(pieces.usage[r]) * hours, np.nan),
            f"{r}_allocated_hours": np.where(wholly, np.nan, total(allocated) * hours),
            f"{r}_cost": np.where(wholly, np.nan, cost),
            f"{r}_measured_hours": measured * _HOURS,
            f"{r}_asked_hours": total(pieces.asked[r]) * hours,
            f"{r}_unknown_hours": unknown * _HOURS,
        }
    frame = pd.DataFrame(out)
    cost = frame[["cpu_cost", "memory_cost"]].sum(axis=1, min_count=1)
    frame = frame.assign(cost=cost, shared=False, shared_cost=0.0).sort_values(list(ALLOCATION.key), kind="stable")
    return check(frame, ALLOCATION)


def with_shared(costs: pd.DataFrame, shared: Collection[str] = SHARED, rule: str = "proportional") -> pd.DataFrame:
    """COSTS or ALLOCATION with the cost of shared namespaces spread over the other workloads, day by day.

    proportional : to their own cost. uniform : the same to every namespace, in it to its workloads' cost. none : nobody carries it.
    A day on which nothing else ran leaves it where it is. Raises UsageError for another rule.
    """
    if rule not in RULES:
        raise UsageError(f"shared cost can be spread {', '.join(RULES)}, got {rule!r}")
    mine = costs["namespace"].isin(list(shared)).to_numpy(bool)
    out = costs.assign(shared=mine, shared_cost=0.0)
    if rule == "none" or not mine.any() or mine.all():
        return out
    own = out["cost"].fillna(0.0)
    pot = own.where(mine, 0.0).groupby(out["day"]).transform("sum")
    others = own.where(~mine, 0.0)
    by = [out["day"]] if rule == "proportional" else [out["day"], out["namespace"]]
    total = others.groupby(by).transform("sum")
    count = pd.Series(~mine, index=out.index).groupby(by).transform("sum")
    part = (others / total.where(total > 0)).fillna(1.0 / count.where(count > 0))
    if rule == "uniform":
        part = part / out["namespace"].where(~mine).groupby(out["day"]).transform("nunique")
    return out.assign(shared_cost=(pot * part).where(~mine, 0.0).fillna(0.0))


def costs_frame(allocation: pd.DataFrame) -> pd.DataFrame:
    """COSTS of an ALLOCATION: summed over the zones and machines of a pool."""
    if not len(allocation):
        return empty(COSTS)
    amounts = [name for name, kind in COSTS.columns.items() if kind == "float64"]
    grouped = allocation.groupby(list(COSTS.key), sort=True)
    summed = grouped[amounts].sum(min_count=1).assign(shared=grouped["shared"].first())
    return check(summed.reset_index(), COSTS)


def node_costs_frame(
    nodes: pd.DataFrame, spans: Spans, prices: pd.DataFrame, book: NodeBook, allocation: pd.DataFrame, days: list[str]
) -> pd.DataFrame:
    """NODE_COSTS: node hours x price, and what of it no container asked for or used.

    idle = asset cost - workload cost per resource, at least 0 (usage above requests can exceed a pool). An unpriced node costs its
    capacity at the cluster's mean prices. Where a price cannot be split into cores and GiB, idle is of the whole.
    """
    if not len(spans.row):
        return empty(NODE_COSTS)
    node = book.find(nodes["node"])
    hours = spans.steps * _HOURS
    asset = {r: (_size(nodes, r) * book.price_of(node, r))[spans.row] * hours for r in RESOURCES}
    about = prices.drop_duplicates("node").set_index("node").reindex(nodes["node"])
    price = about["price_hour"].to_numpy(np.float64)
    whole = np.isfinite(price) & (price > 0)
    basis = np.where(book.priced(node) | whole, about["basis"].fillna("").to_numpy(object), _MEAN)
    table = pd.DataFrame(
        {
            "day": np.array(days)[spans.day],
            "pool": nodes["pool"].to_numpy()[spans.row],
            "node_hours": hours,
            "cost": np.where(whole[spans.row], price[spans.row] * hours, asset["cpu"] + asset["memory"]),
            **asset,
            "basis": basis[spans.row],
        }
    )
    grouped = table.groupby(["day", "pool"], sort=True)
    out = grouped["node_hours"].sum().to_frame()
    for name in ("cost", *RESOURCES):
        # one node whose cost nobody knows makes the pool's unknown, not smaller
        out[name] = grouped[name].sum().where(grouped[name].count() == grouped.size())
    out["price_basis"] = grouped["basis"].agg(lambda found: ", ".join(sorted({str(one) for one in found if one})))
    by_pool = allocation.groupby(["day", "pool"])[["cost", "cpu_cost", "memory_cost"]].sum(min_count=1)
    spent = by_pool.reindex(out.index, fill_value=0.0)  # a pool without pods costs nothing but idle
    idle = {r: (out[r] - spent[f"{r}_cost"]).clip(lower=0.0) for r in RESOURCES}
    split = idle["cpu"] + idle["memory"]
    out = out.assign(
        workload_cost=spent["cost"],
        cpu_idle_cost=idle["cpu"],
        memory_idle_cost=idle["memory"],
        idle_cost=split.fillna((out["cost"] - spent["cost"]).clip(lower=0.0)),
    )
    return check(out.reset_index(), NODE_COSTS)
