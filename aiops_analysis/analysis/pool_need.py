"""How many nodes a pool needs for given requests: the packing, calibrated against today's real count, with headroom (methods.md B4)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from aiops_analysis.analysis.drain import drained
from aiops_analysis.analysis.fleet import Size
from aiops_analysis.analysis.packing import pack
from aiops_analysis.analysis.packing_bounds import lower_bound
from aiops_analysis.analysis.pools import Pool, fixed
from aiops_analysis.core.bins import NodeKind, Packing, PodShape

__all__ = ["Need", "Terms", "shares"]

_MOST_CALIBRATED = 3
#: What a Deployment's rollout adds where maxSurge is not known: Kubernetes' own default, rounded up.
_DEFAULT_SURGE = 0.25


@dataclass(frozen=True, slots=True)
class Terms:
    """What a pool is held to beside its pods, and what its nodes cost."""

    autoscaler: str = "unknown"
    minimum: int = 0  # its own smallest size, 0 unknown
    committed: int = 0  # nodes paid for until ``until``, used or not
    until: str = ""  # ISO date
    node_month: float = math.nan  # [currency / month] of one node
    price_source: str = ""
    day: tuple[tuple[float, int], ...] = ()  # (share of the day, nodes): how many there were


class Need:
    """Answers for one pool how many nodes it needs with given sizes, always measured against the same today."""

    def __init__(self, pool: Pool, today: Sequence[Size], terms: Terms) -> None:
        self.pool, self.terms = pool, terms
        self.now = len(pool.nodes)
        self.today = today
        self.packed_now = self.packed(today)
        self.model_now = self.count(self.packed_now)
        self.pinned = self._pinned()

    def packed(self, sizes: Sequence[Size], *, surge: bool = False, order: str = "dot") -> Packing:
        """The packing of the pool's pods, with those of a rollout of its largest workload where ``surge`` is true."""
        kinds = self.pool.kinds(sizes)
        shapes = self._with_surge(self.pool.shapes(sizes), kinds) if surge else self.pool.shapes(sizes)
        found = pack(shapes, kinds, order=order)
        if found.unplaced and any(kind.most is not None for kind in kinds):
            # the pods run today: what the nodes of each size cannot hold together in this packing is not held against them
            free = pack(shapes, [replace(kind, most=None) for kind in kinds], order=order)
            found = free if sum(free.unplaced.values()) < sum(found.unplaced.values()) else found
        return found

    def count(self, packing: Packing) -> int:
        """Nodes of a packing; pods that fit nowhere keep the nodes on which they run today."""
        stuck = sum(packing.unplaced.values())
        return packing.count() + (min(stuck, len(self.pool.hosts(list(packing.unplaced)))) if stuck else 0)

    def bound(self, sizes: Sequence[Size]) -> int:
        """Nodes that no packing can beat."""
        return lower_bound(self.pool.shapes(sizes), self.pool.kinds(sizes)) if self.pool.pods else 0

    @property
    def ratio(self) -> tuple[int, int]:
        """Nodes now / model now as a fraction, clipped to 1 to 3."""
        if self.model_now <= 0 or self.now <= self.model_now:
            return 1, 1
        return (_MOST_CALIBRATED, 1) if self.now >= _MOST_CALIBRATED * self.model_now else (self.now, self.model_now)

    @property
    def spare(self) -> int:
        """Nodes kept free for a failure: the largest one, or one a zone where a workload must be spread over zones."""
        if not self.pool.pods:
            return 0
        return max(1, len(self.pool.zones) if self.pool.spread else 1)

    @property
    def floor(self) -> int:
        """Nodes below which the pool cannot go whatever its pods ask for: its minimum, one a zone, nodes whose pods must stay."""
        zones = len(self.pool.zones) if self.pool.spread else 0
        return max(self.terms.minimum, zones, len(self.pinned), 1 if self.pool.pods else 0)

    def _pinned(self) -> frozenset[str]:
        held = {
            place: bool(fixed(self.pool.templates[place], self.pool.settings[self.pool.templates[place].key], self.terms.autoscaler)[0])
            for place in self.pool.pods
        }
        return frozenset(node.name for node in self.pool.nodes if any(held[pod.template] for pod in node.pods))

    def surge_nodes(self, sizes: Sequence[Size], model: int) -> int:
        """Nodes that a rollout of the largest workload needs beside ``model``, at most one for each pod more."""
        shapes = self.pool.shapes(sizes)
        pods = sum(shape.count for shape in self._with_surge(shapes, self.pool.kinds(sizes))) - sum(shape.count for shape in shapes)
        if not pods or model + self.spare + pods <= self.calibrated(model):
            return 0  # the free room that the calibration leaves is enough
        return min(pods, max(0, self.count(self.packed(sizes, surge=True)) - model))

    def calibrated(self, model: int) -> int:
        """ceil(e x model), in whole numbers."""
        up, down = self.ratio
        return -(-up * model // down)

    def kept(self, model: int, surge: int) -> int:
        """Nodes that the pool must keep: calibrated, and never less than the packing with headroom, nor than the floor.

        Today's free room is in the calibration, so headroom is not added to it again: it only bounds how far the pool may shrink.
        """
        return max(self.calibrated(model), model + self.spare + surge, self.floor)

    def freed(self, sizes: Sequence[Size]) -> int:
        """Nodes that can go with these sizes, at least 0."""
        model = self.count(self.packed(sizes))
        if self.kept(model, 0) >= self.now:
            return 0
        return max(0, self.now - self.kept(model, self.surge_nodes(sizes, model)))

    def removed(self, sizes: Sequence[Size], freed: int) -> int:
        """Of nodes that can go, those that Cluster Autoscaler would take by its own rule; all of them where something else decides."""
        autoscaler = self.terms.autoscaler
        return drained(self.pool, sizes, autoscaler, freed) if autoscaler == "cluster-autoscaler" and freed else freed

    def present(self, number: int) -> float:
        """Share of the day in which the node that is freed as the ``number``-th was there: one that ran an hour saves an hour."""
        if not self.terms.day:
            return 1.0
        return math.fsum(share for share, nodes in self.terms.day if nodes > self.now - number)

    def paid(self, number: int) -> bool:
        """True when the ``number``-th freed node is one that is paid for anyway."""
        return self.now - number < self.terms.committed

    def saves(self, number: int) -> float:
        """What the ``number``-th freed node saves [currency / month]; 0 under a commitment, NaN without a price."""
        return 0.0 if self.paid(number) else self.terms.node_month * self.present(number)

    def largest_model(self, wanted: int) -> int:
        """The largest packing with which ``wanted`` nodes can go; below 0 when none does."""
        target = self.now - wanted
        if target < self.floor:
            return -1
        up, down = self.ratio
        return min(target * down // up, target - self.spare)

    def _with_surge(self, shapes: tuple[PodShape, ...], kinds: Sequence[NodeKind]) -> tuple[PodShape, ...]:
        """The shapes with the extra pods of the rollout that asks for most."""
        if not shapes:
            return shapes
        cpu, memory = max((k.cpu for k in kinds), default=0) or 1, max((k.memory for k in kinds), default=0) or 1
        extra = {shape.key: self._surge(place, shape.count) for shape, place in zip(shapes, self.pool.prototypes, strict=True)}
        largest = max(shapes, key=lambda s: (extra[s.key] * max(s.cpu / cpu, s.memory / memory), s.key))
        return tuple(replace(s, count=s.count + extra[s.key]) if s.key == largest.key else s for s in shapes)

    def _surge(self, place: int, count: int) -> int:
        key = self.pool.templates[place].key
        told = self.pool.settings[key].surge
        if not math.isnan(told):
            return min(int(told), count) if told > 0 else 0
        return math.ceil(_DEFAULT_SURGE * count) if key[1] in ("Deployment", "Rollout") else 0


def shares(pool: Pool, sizes: Sequence[Size]) -> Mapping[str, float]:
    """Share of what the pool's nodes can give its pods that is asked for: cpu, memory, pods."""
    room = {kind.name: kind for kind in pool.kinds(sizes)}
    nodes = [room[pool.kind_of[node.name]] for node in pool.nodes]
    asked = (
        sum(n * sizes[place][0] for place, n in pool.pods.items()),
        sum(n * sizes[place][1] for place, n in pool.pods.items()),
        sum(pool.pods.values()),
    )
    given = (sum(n.cpu for n in nodes), sum(n.memory for n in nodes), sum(n.pods for n in nodes))
    return {name: a / g if g else math.inf for name, a, g in zip(("cpu", "memory", "pods"), asked, given, strict=True)}
