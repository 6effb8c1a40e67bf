"""The rules of a packing as arrays, and its state while nodes are filled (methods.md B4); shared by the orders of packing.

A shape is an index in order of key, a kind an index in order of name: what comes out does not depend on the order of what came in.
Zones in which a spread is counted are the zones of all kinds that the rules of a shape allow, as the scheduler counts the nodes that match.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from aiops_analysis.core.bins import NodeKind, PodShape
from aiops_analysis.core.errors import SchemaError

__all__ = ["NO_BOUND", "Node", "Problem", "State", "problem_of"]

#: More pods than there are anywhere.
NO_BOUND = 2**62

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """Shapes and kinds as arrays; resources are cpu, memory, pod slots and gpu."""

    shapes: tuple[PodShape, ...]
    kinds: tuple[NodeKind, ...]
    size: Ints  # shape x resource
    room: Ints  # kind x resource
    price: Floats  # of each kind
    by_rules: Bools  # shape x kind: allowed by its rules
    allowed: Bools  # and small enough for the empty node
    per_node: Ints
    zones: tuple[str, ...]
    kind_zones: tuple[tuple[int, ...], ...]
    domains: tuple[tuple[int, ...], ...]  # zones of the kinds a shape may run on
    zoned: tuple[int, ...]  # shapes with a rule about zones
    rivals: Mapping[int, tuple[int, ...]]  # not on one node, both ways
    beside: Mapping[int, frozenset[int]]  # one of these on the same node
    followers: Mapping[int, tuple[int, ...]]  # the other way round


@dataclass(slots=True)
class Node:
    """A node while it is filled."""

    kind: int
    zone: int
    free: list[int]
    pods: dict[int, int]  # shape -> pods, those that stay included
    held: Mapping[int, int]  # of these, the ones that were there before


def problem_of(shapes: Sequence[PodShape], kinds: Sequence[NodeKind], bystanders: Sequence[PodShape] = ()) -> Problem:
    """The problem of placing pods; ``bystanders`` are shapes of which pods are there already and none is placed.

    Raises SchemaError for a key or name that is there twice, and for sizes or counts below 0.
    """
    own = {shape.key for shape in shapes}
    ordered = sorted([*shapes, *(one for one in bystanders if one.key not in own)], key=lambda shape: shape.key)
    named = sorted(kinds, key=lambda kind: kind.name)
    _check(ordered, named)
    size = np.array([(s.cpu, s.memory, 1, s.gpu) for s in ordered], dtype=np.int64).reshape(-1, 4)
    room = np.array([(k.cpu, k.memory, k.pods, k.gpu) for k in named], dtype=np.int64).reshape(-1, 4)
    by_rules = np.ones((len(ordered), len(named)), dtype=bool)
    for at, shape in enumerate(ordered):
        if shape.kinds is not None:
            by_rules[at] = [kind.name in shape.kinds for kind in named]
    by_rules &= np.array([kind.most != 0 for kind in named], dtype=bool)
    small = np.ones_like(by_rules)
    for resource in range(4):
        small &= size[:, resource, None] <= np.maximum(room[None, :, resource], 0)
    zones = tuple(sorted({zone for kind in named for zone in kind.zones}))
    kind_zones = tuple(tuple(zones.index(zone) for zone in dict.fromkeys(kind.zones)) for kind in named)
    zoned = tuple(at for at, shape in enumerate(ordered) if shape.most_per_zone or shape.skew)
    domains = [tuple(sorted({z for k in np.flatnonzero(by_rules[at]) for z in kind_zones[k]})) for at in zoned]
    return Problem(
        shapes=tuple(ordered),
        kinds=tuple(named),
        size=size,
        room=room,
        price=_prices(named),
        by_rules=by_rules,
        allowed=by_rules & small,
        per_node=np.array([1 if s.key in s.apart else s.most_per_node or NO_BOUND for s in ordered], dtype=np.int64),
        zones=zones,
        kind_zones=kind_zones,
        domains=tuple(dict(zip(zoned, domains, strict=True)).get(at, ()) for at in range(len(ordered))),
        zoned=zoned,
        **_neighbours(ordered),
    )


def _check(shapes: Sequence[PodShape], kinds: Sequence[NodeKind]) -> None:
    for what, names in (("pod shapes", [s.key for s in shapes]), ("node kinds", [k.name for k in kinds])):
        if len(set(names)) != len(names):
            twice = next(name for name, after in itertools.pairwise(names) if name == after)
            raise SchemaError(f"the {what} of a packing hold {ascii(twice)[:80]} twice")
    for shape in shapes:
        if min(shape.count, shape.cpu, shape.memory, shape.gpu, shape.most_per_node, shape.most_per_zone, shape.skew) < 0:
            raise SchemaError(f"the pod shape {ascii(shape.key)[:80]} has a number below 0")
    for kind in kinds:
        if not kind.zones:
            raise SchemaError(f"the node kind {ascii(kind.name)[:80]} has no zone; one that is not known is the empty text")


def _prices(kinds: Sequence[NodeKind]) -> Floats:
    """Prices to compare kinds by; a kind without one counts as the dearest."""
    finite = [kind.price_hour for kind in kinds if math.isfinite(kind.price_hour)]
    dearest = max(finite, default=1.0)
    return np.array([max(kind.price_hour, 0.0) if math.isfinite(kind.price_hour) else dearest for kind in kinds], dtype=np.float64)


def _neighbours(shapes: Sequence[PodShape]) -> dict[str, Any]:
    index = {shape.key: at for at, shape in enumerate(shapes)}
    rivals: dict[int, set[int]] = {}
    beside: dict[int, frozenset[int]] = {}
    followers: dict[int, list[int]] = {}
    for at, shape in enumerate(shapes):
        for other in shape.apart:
            if other in index and index[other] != at:
                rivals.setdefault(at, set()).add(index[other])
                rivals.setdefault(index[other], set()).add(at)
        if shape.beside:
            beside[at] = frozenset(index[key] for key in shape.beside if key in index)
            for other_at in sorted(beside[at]):
                followers.setdefault(other_at, []).append(at)
    return {
        "rivals": {at: tuple(sorted(others)) for at, others in rivals.items()},
        "beside": beside,
        "followers": {at: tuple(others) for at, others in followers.items()},
    }


class State:
    """What is placed so far, and how much more the rules about zones and companions allow."""

    def __init__(self, problem: Problem, counts: Mapping[str, int]) -> None:
        self.problem = problem
        self.remaining = np.array([counts.get(shape.key, 0) for shape in problem.shapes], dtype=np.int64)
        self.unplaced: dict[int, int] = {}
        self.nodes: list[Node] = []
        self.opened = [dict.fromkeys(zones, 0) for zones in problem.kind_zones]
        self.zone_count = np.zeros((len(problem.shapes), len(problem.zones)), dtype=np.int64)
        self.zone_room = np.full(self.zone_count.shape, NO_BOUND, dtype=np.int64)
        self.seeded: set[int] = set()
        for shape in problem.zoned:
            self._measure_zones(shape)

    def open(self, kind: int, zone: int, held: Mapping[int, int] | None = None) -> Node:
        """A new node; ``held`` pods are on it already, their size is off its kind's."""
        node = Node(kind, zone, [int(amount) for amount in self.problem.room[kind]], dict(held or {}), dict(held or {}))
        self.nodes.append(node)
        self.opened[kind][zone] += 1
        for shape, pods in node.held.items():
            self.zone_count[shape, zone] += pods
            self.seeded.add(shape)
        return node

    def settle(self) -> None:
        """Count the zones again after nodes with pods were opened."""
        for shape in self.problem.zoned:
            self._measure_zones(shape)

    def zones_left(self, kind: int) -> list[int]:
        """Zones in which one more node of the kind can be opened, the one with the fewest first."""
        zones, most, opened = self.problem.kind_zones[kind], self.problem.kinds[kind].most, self.opened[kind]
        if most is not None:
            zones = tuple(z for at, z in enumerate(zones) if opened[z] < most // len(zones) + (at < most % len(zones)))
        return sorted(zones, key=lambda zone: opened[zone])

    def place(self, shape: int, node: Node, pods: int) -> None:
        """Put pods of a shape on a node that has room for them."""
        if shape in self.problem.beside and not self.has_companion(shape, node):
            self.seeded.add(shape)
        node.pods[shape] = node.pods.get(shape, 0) + pods
        for resource, amount in enumerate(self.problem.size[shape].tolist()):
            node.free[resource] -= amount * pods
        self.remaining[shape] -= pods
        if self.problem.domains[shape]:
            self.zone_count[shape, node.zone] += pods
            self._measure_zones(shape)

    def take_back(self, shape: int, node: Node, pods: int) -> None:
        """Undo: the pods are placed nowhere, and not tried again."""
        node.pods[shape] -= pods
        if not node.pods[shape]:
            del node.pods[shape]
        for resource, amount in enumerate(self.problem.size[shape].tolist()):
            node.free[resource] += amount * pods
        self.zone_count[shape, node.zone] -= pods if self.problem.domains[shape] else 0
        self.unplaced[shape] = self.unplaced.get(shape, 0) + pods

    def give_up(self, shape: int) -> None:
        """No more pods of the shape are tried."""
        if self.remaining[shape]:
            self.unplaced[shape] = self.unplaced.get(shape, 0) + int(self.remaining[shape])
            self.remaining[shape] = 0

    def has_companion(self, shape: int, node: Node) -> bool:
        """Whether a pod that the shape must be beside is on the node."""
        return any(other in node.pods for other in self.problem.beside[shape])

    def may_start(self, shape: int) -> bool:
        """Whether a pod may be the first on a node: it needs none beside it, or is its own and none is placed yet, as in the scheduler."""
        others = self.problem.beside.get(shape)
        return others is None or (shape in others and shape not in self.seeded)

    def takes(self, shape: int, node: Node) -> int:
        """Pods of the shape that can be added to a node now."""
        problem = self.problem
        if not problem.by_rules[shape, node.kind] or any(rival in node.pods for rival in problem.rivals.get(shape, ())):
            return 0
        if shape in problem.beside and not self.has_companion(shape, node) and not self.may_start(shape):
            return 0
        pods = min(int(self.remaining[shape]), int(problem.per_node[shape]) - node.pods.get(shape, 0))
        for need, free in zip(problem.size[shape].tolist(), node.free, strict=True):
            pods = min(pods, free // need) if need else pods
        return max(0, min(pods, int(self.zone_room[shape, node.zone])))

    def _measure_zones(self, at: int) -> None:
        """How many pods each zone may still take, so that what remains can level the zones again.

        A zone may also have as many as the smallest zone and the skew, as the scheduler lets it, however uneven the others are.
        """
        shape, domains, left = self.problem.shapes[at], self.problem.domains[at], int(self.remaining[at])
        counts = [int(self.zone_count[at, zone]) for zone in domains]
        for zone, count in zip(domains, counts, strict=True):
            room = shape.most_per_zone - count if shape.most_per_zone else NO_BOUND
            if shape.skew:
                at_once = min(counts) + shape.skew - count
                room = min(room, max(at_once, _levelled(counts, count, left, shape.skew)))
            self.zone_room[at, zone] = max(room, 0)


def _levelled(counts: Sequence[int], count: int, left: int, skew: int) -> int:
    """The most pods that can go to a zone with ``count`` while the rest of ``left`` can still bring the others within the skew."""
    highest, low, high = max(counts), 0, left
    while low < high:
        more = (low + high + 1) // 2
        floor = max(highest, count + more) - skew
        # the zone itself is above the floor, or becomes so with these pods: what it lacks is counted like any other's
        lacking = sum(max(0, floor - other) for other in counts) - max(0, floor - count) + max(0, floor - count - more)
        if lacking <= left - more:
            low = more
        else:
            high = more - 1
    return low
