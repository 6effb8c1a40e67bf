"""The cheapest mix of instance types for a set of pods (methods.md B5): an integer programme proposes, the packing proves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from aiops_analysis.analysis.packing import pack
from aiops_analysis.core.bins import NodeKind, Packing, PodShape
from aiops_analysis.core.errors import SchemaError

__all__ = ["Mix", "cheapest_mix"]

_RAISE, _RAISES = 1.02, 10
_COLUMNS = ("type", "cpu", "memory", "pods", "price")
_SECONDS = 10.0  # at most for one programme


@dataclass(frozen=True, slots=True)
class Mix:
    """Nodes of at most a few types that take all pods, and the price below which no mix can go."""

    nodes: Mapping[str, int] = field(default_factory=dict)  # instance type -> nodes
    price_hour: float = math.nan  # [currency / hour], NaN when there is no mix
    bound_hour: float = math.nan  # [currency / hour] of the same demand if nodes and pods could be cut as needed
    packing: Packing = field(default_factory=lambda: Packing(()))
    raised: int = 0  # times that the demand was raised by 2 % before the pods really fitted
    why: str = ""  # why there is no mix, "" when there is one


def cheapest_mix(
    shapes: Sequence[PodShape],
    types: pd.DataFrame,
    *,
    daemons: tuple[int, int, int] = (0, 0, 0),
    zones: tuple[str, ...] = ("",),
    most_types: int = 3,
) -> Mix:
    """The cheapest mix of at most ``most_types`` types for these pods.

    ``types`` has the columns type, cpu [millicores], memory [bytes], pods [slots] (allocatable) and price [currency / hour]; those without
    a price above 0 or too small for the largest pod are no candidates. ``daemons``: (cpu, memory, pods) that DaemonSets take of each node.
    Minimises sum price_t n_t with sum n_t room_t,r >= demand_r; packs by the dot product; where a pod is left over the demand is raised by
    2 %, at most 10 times. The types it chooses, and those of fewer types, are also packed with as many nodes as it takes; the cheapest of
    these packings is the answer. Rules of the shapes about kinds are of another pool and left out. Raises SchemaError for a missing column.
    """
    missing = [name for name in _COLUMNS if name not in types.columns]
    if missing:
        raise SchemaError(f"a frame of instance types lacks the columns {', '.join(missing)}")
    wanted = [shape for shape in shapes if shape.count]
    if not wanted:
        return Mix(price_hour=0.0, bound_hour=0.0)
    if any(shape.gpu for shape in wanted):
        return Mix(why="pods that ask for GPUs are not planned: the list of types does not say which have them")
    kinds = _candidates(wanted, types, daemons, zones)
    if not kinds:
        return Mix(why=_none(wanted, types))
    free = [replace(shape, kinds=None) for shape in wanted]
    demand = np.array([sum(s.count * size for s, size in zip(wanted, sizes, strict=True)) for sizes in _sizes(wanted)], dtype=np.float64)
    least = max(-(-s.count // s.most_per_node) for s in wanted if s.most_per_node) if any(s.most_per_node for s in wanted) else 1
    bound = _bound(kinds, demand, least)
    mixes: list[Mix] = []
    for few in range(1, min(most_types, len(kinds)) + 1):
        chosen = _programme(kinds, demand, few, least)
        if chosen is not None:
            mixes.append(_mix(free, [replace(kind, most=None) for kind in chosen], bound, 0))
    mixes += _as_proposed(free, kinds, demand, most_types, least, bound)
    good = [mix for mix in mixes if not mix.why]
    if good:
        return min(good, key=lambda mix: (mix.price_hour, len(mix.nodes)))
    return mixes[-1] if mixes else Mix(bound_hour=bound, why="no mix of so few types was found in time")


def _as_proposed(
    shapes: Sequence[PodShape], kinds: Sequence[NodeKind], demand: npt.NDArray[np.float64], most_types: int, least: int, bound: float
) -> list[Mix]:
    """The mix with just the nodes that the programme proposes, the demand raised until the pods fit; empty when they never do."""
    for raised in range(_RAISES + 1):
        chosen = _programme(kinds, demand * _RAISE**raised, most_types, least)
        mix = _mix(shapes, chosen, bound, raised) if chosen is not None else None
        if mix is not None and not mix.why:
            return [mix]
    return []


def _mix(shapes: Sequence[PodShape], kinds: Sequence[NodeKind], bound: float, raised: int) -> Mix:
    packing = pack(shapes, kinds)
    if packing.unplaced:
        key, sentence = next(iter(packing.why.items()))
        return Mix(bound_hour=bound, packing=packing, raised=raised, why=f"pods of {key} fit on no mix: {sentence}")
    nodes = {kind.name: packing.count(kind.name) for kind in kinds if packing.count(kind.name)}
    price = math.fsum(kind.price_hour * nodes.get(kind.name, 0) for kind in kinds)
    return Mix(nodes, price, bound, packing, raised)


def _sizes(shapes: Sequence[PodShape]) -> list[list[int]]:
    return [[s.cpu for s in shapes], [s.memory for s in shapes], [1 for _ in shapes]]


def _candidates(shapes: Sequence[PodShape], types: pd.DataFrame, daemons: tuple[int, int, int], zones: tuple[str, ...]) -> list[NodeKind]:
    """Types with a price that take the largest pod, the cheapest of each name; one that costs more and has no more is left out."""
    cpu, memory = max(s.cpu for s in shapes), max(s.memory for s in shapes)
    kinds: dict[str, NodeKind] = {}
    for row in types.loc[:, list(_COLUMNS)].itertuples(index=False):
        numbers = (row.cpu, row.memory, row.pods, row.price)
        if not all(math.isfinite(float(number)) for number in numbers) or row.price <= 0:
            continue
        room = [int(have) - taken for have, taken in zip(numbers[:3], daemons, strict=True)]
        if room[0] < cpu or room[1] < memory or room[2] < 1:
            continue
        known = kinds.get(str(row.type))
        if known is None or row.price < known.price_hour:
            kinds[str(row.type)] = NodeKind(str(row.type), room[0], room[1], room[2], zones=zones, price_hour=float(row.price))
    ordered = sorted(kinds.values(), key=lambda kind: (kind.price_hour, -kind.cpu, -kind.memory, -kind.pods, kind.name))
    kept: list[NodeKind] = []
    for kind in ordered:
        if not any(k.cpu >= kind.cpu and k.memory >= kind.memory and k.pods >= kind.pods for k in kept):
            kept.append(kind)
    return kept


def _none(shapes: Sequence[PodShape], types: pd.DataFrame) -> str:
    prices = pd.to_numeric(types["price"], errors="coerce")
    if not ((prices > 0) & (prices < math.inf)).any():
        return "none of the instance types has a price"
    largest = max(shapes, key=lambda s: (s.cpu, s.memory))
    return f"no instance type with a price takes the largest pod of {largest.key} beside its DaemonSets"


def _room(kinds: Sequence[NodeKind]) -> npt.NDArray[np.float64]:
    return np.array([[k.cpu for k in kinds], [k.memory for k in kinds], [k.pods for k in kinds]], dtype=np.float64)


def _scaled(kinds: Sequence[NodeKind], demand: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Room over demand: a solver's tolerance is for numbers near 1, not for bytes."""
    return _room(kinds) / np.maximum(demand, 1.0)[:, None]


def _bound(kinds: Sequence[NodeKind], demand: npt.NDArray[np.float64], least: int) -> float:
    """The price of the linear programme over all candidates, DaemonSets off; no mix of whole nodes is cheaper."""
    from scipy.optimize import linprog

    needs = np.where(demand > 0, 1.0, 0.0)
    # a rule of so many pods a node asks for nodes, whatever their size
    rows, needs = np.vstack([_scaled(kinds, demand), np.full(len(kinds), 1.0 / least)]), np.append(needs, 1.0)
    found = linprog([k.price_hour for k in kinds], A_ub=-rows, b_ub=-needs, bounds=(0, None), method="highs")
    return float(found.fun) if found.status == 0 else math.nan


def _programme(kinds: Sequence[NodeKind], demand: npt.NDArray[np.float64], most_types: int, least: int) -> list[NodeKind] | None:
    """The cheapest whole nodes with room for the demand, at most so many types; ``most`` says how many. None without an answer."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    count = len(kinds)
    # a large node is full when its slots are: it holds no more of anything than its slots times the mean pod
    mean = demand / max(float(demand[2]), 1.0)
    room = np.minimum(_room(kinds), _room(kinds)[2] * mean[:, None])
    scaled = np.vstack([room / np.maximum(demand, 1.0)[:, None], np.full(count, 1.0 / least)])
    needs = np.append(np.where(demand > 0, 1.0, 0.0), 1.0)
    # so many nodes of one type alone would be enough
    alone = np.ceil((needs[:, None] / scaled).max(axis=0))
    rules = [LinearConstraint(np.hstack([scaled, np.zeros_like(scaled)]), lb=needs)]
    rules.append(LinearConstraint(np.hstack([np.eye(count), -np.diag(alone)]), ub=0.0))  # nodes only of types that are chosen
    rules.append(LinearConstraint(np.hstack([np.zeros(count), np.ones(count)])[None, :], ub=float(max(most_types, 1))))
    found = milp(
        np.hstack([[k.price_hour for k in kinds], np.zeros(count)]),
        constraints=rules,
        integrality=np.ones(2 * count),
        bounds=Bounds(0, np.hstack([alone, np.ones(count)])),
        options={"time_limit": _SECONDS},
    )
    if found.x is None:
        return None
    return [
        NodeKind(k.name, k.cpu, k.memory, k.pods, zones=k.zones, price_hour=k.price_hour, most=round(nodes))
        for k, nodes in zip(kinds, found.x[:count], strict=True)
        if round(nodes) > 0
    ]
