"""The smallest ordered set of recommendations that frees the next node, and the next (methods.md B4).

Each step is judged by the same packing as the pool's own figure: calibration, headroom and floor included. Increases count as done: they
are the fix of a risk, and a node that goes only while they wait would not stay gone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from aiops_analysis.analysis.fleet import Fleet, Key, Size, changes_of, sizes_of
from aiops_analysis.analysis.pool_need import Need
from aiops_analysis.core.schema import check, empty
from aiops_analysis.core.schema_money import NEXT_NODES

__all__ = ["next_nodes"]

#: Work that may be spent on one pool, in pods and shapes packed; packings are counted, not seconds, so that two runs agree.
_WORK = 24_000
_FEWEST, _MOST = 12, 120
#: Sets that are looked at without packing them.
_LOOKS = 5_000


@dataclass(frozen=True, slots=True)
class _Change:
    """The decreases of one workload; ``frees`` is what its pods of the pool would give back, at least 0 [millicores, bytes]."""

    key: Key
    ids: tuple[str, ...]
    frees: Size


@dataclass(frozen=True, slots=True)
class _Step:
    """The changes added for one node, and what is proved about them."""

    added: tuple[int, ...]
    at_least: int


def next_nodes(needs: Mapping[str, Need], fleet: Fleet, recommendations: pd.DataFrame, *, most: int = 5) -> pd.DataFrame:
    """NEXT_NODES: for each pool up to ``most`` nodes that can go, one after another, with the fewest changed workloads.

    ``exact``: no set with fewer workloads frees as many nodes, by trying them or by a bound. Else ``at_least`` is what is proved: the
    largest sums of freed cpu and memory that so many workloads can give must reach what has to be freed.
    """
    plan = _plan(fleet, recommendations)
    rows = [row for name in sorted(needs) for row in _Search(needs[name], plan).rows(most)]
    return check(pd.DataFrame(rows), NEXT_NODES) if rows else empty(NEXT_NODES)


@dataclass(frozen=True, slots=True)
class _Plan:
    """Sizes of the fleet's templates with the increases alone and with everything, and the ids of each workload's decreases."""

    base: tuple[Size, ...]
    full: tuple[Size, ...]
    ids: Mapping[Key, tuple[str, ...]]
    keys: tuple[Key, ...]  # of the templates


def _plan(fleet: Fleet, recommendations: pd.DataFrame) -> _Plan:
    changes = changes_of(recommendations)
    lower = recommendations[recommendations["change"] == "decrease"]
    rows = list(zip(*(lower[c] for c in ("namespace", "workload_kind", "workload", "container", "resource", "id")), strict=True))
    falls = {row[:5]: row[5] for row in sorted(rows) if row[:5] in changes}
    ids: dict[Key, tuple[str, ...]] = {}
    for key, identity in falls.items():
        ids[key[:3]] = (*ids.get(key[:3], ()), identity)
    rises = {key: value for key, value in changes.items() if key not in falls}
    return _Plan(sizes_of(fleet, rises), sizes_of(fleet, changes), ids, tuple(template.key for template in fleet.templates))


class _Search:
    def __init__(self, need: Need, plan: _Plan) -> None:
        self.need = need
        self.base, self.full = plan.base, plan.full
        self.of: dict[Key, list[int]] = {}
        for place in need.pool.templates:
            if self.base[place] != self.full[place]:
                self.of.setdefault(plan.keys[place], []).append(place)
        self.cap = self._capacity()
        found = [_Change(key, plan.ids[key], self._frees(key)) for key in sorted(self.of)]
        self.changes = sorted(found, key=lambda c: (-sum(f / s for f, s in zip(c.frees, self.cap, strict=True)), c.key))
        self.demand = tuple(sum(count * self.base[place][r] for place, count in need.pool.pods.items()) for r in (0, 1))
        # a pod that fits on no node by itself is in no packed node: then sums prove nothing
        self.sums_prove = not need.packed_now.unplaced and all(self.base[p][r] <= self.cap[r] for p in need.pool.pods for r in (0, 1))
        self.seen: dict[frozenset[int], int] = {}
        work = sum(need.pool.pods.values()) // 8 + 8 * len(need.pool.pods) + 1
        self.left = max(_FEWEST, min(_MOST, _WORK // work))

    def _frees(self, key: Key) -> Size:
        pods = self.need.pool.pods
        given = [[pods.get(p, 0) * max(0, self.base[p][r] - self.full[p][r]) for p in self.of[key]] for r in (0, 1)]
        return sum(given[0]), sum(given[1])

    def _capacity(self) -> Size:
        """The largest node that any set of the changes leaves, DaemonSets at their smallest."""
        small = [(min(a[0], b[0]), min(a[1], b[1])) for a, b in zip(self.base, self.full, strict=True)]
        kinds = self.need.pool.kinds(small)
        return max(k.cpu for k in kinds) or 1, max(k.memory for k in kinds) or 1

    def sizes(self, chosen: frozenset[int]) -> list[Size]:
        """Sizes with the increases and these changes."""
        out = list(self.base)
        for number in chosen:
            for place in self.of[self.changes[number].key]:
                out[place] = self.full[place]
        return out

    def gone(self, chosen: frozenset[int]) -> int:
        """Nodes that go with these changes; counts a packing unless the set was seen before."""
        if chosen not in self.seen:
            self.left -= 1
            sizes = self.sizes(chosen)
            self.seen[chosen] = self.need.removed(sizes, self.need.freed(sizes))
        return self.seen[chosen]

    def rows(self, most: int) -> Iterator[dict[str, object]]:
        """The rows of NEXT_NODES of this pool."""
        chosen: tuple[int, ...] = ()
        everything = self.gone(frozenset(range(len(self.changes))))
        for node in range(1, min(most, everything) + 1):
            step = self._step(node, chosen)
            if step is None:
                return
            chosen = (*chosen, *step.added)
            added = [self.changes[n] for n in step.added]
            yield {
                "pool": self.need.pool.name,
                "node": node,
                "changes": [identity for change in added for identity in change.ids],
                "workloads": [f"{change.key[0]}/{change.key[2]}" for change in added],
                "total_changes": len(chosen),
                "saves": self.need.saves(node),
                "exact": step.at_least == len(chosen),
                "at_least": step.at_least,
            }

    def _step(self, node: int, chosen: tuple[int, ...]) -> _Step | None:
        """What to add to the chosen so that ``node`` nodes go, None when the work is used up before a set is found."""
        held = frozenset(chosen)
        if self.gone(held) >= node:
            return _Step((), self._proved(node, len(held)))
        bound = self._bound(node)
        rest = [n for n in range(len(self.changes)) if n not in held]
        for size in range(max(1, bound - len(held)), len(rest) + 1):
            found, tried = self._try_all(node, size, rest, held)
            if found is not None:
                # every smaller size was tried; when nothing was chosen before, that is proof
                return _Step(found, self._proved(node, len(held) + size) if held else size)
            if not tried:
                greedy = self._greedy(node, rest, held)
                proved = bound if held else size
                return None if greedy is None else _Step(greedy, min(max(bound, proved), len(held) + len(greedy)))
        return None

    def _try_all(self, node: int, size: int, among: Sequence[int], held: frozenset[int]) -> tuple[tuple[int, ...] | None, bool]:
        """A set of this size that frees the node with the held ones, and whether every set was tried; too many are not begun."""
        if math.comb(len(among), size) > _LOOKS:
            return None, False
        likely = [some for some in combinations(among, size) if self._enough(node, held | set(some))]
        if sum(held | set(some) not in self.seen for some in likely) > self.left // 2:
            return None, False
        return next((some for some in likely if self.gone(held | set(some)) >= node), None), True

    def _proved(self, node: int, total: int) -> int:
        """The fewest workloads with which so many nodes go, as far as that can be proved; never more than ``total``."""
        for size in range(self._bound(node), total):
            found, tried = self._try_all(node, size, range(len(self.changes)), frozenset())
            if found is not None or not tried:
                return size
        return total

    def _enough(self, node: int, chosen: Iterable[int], fill: float = 1.0) -> bool:
        """What any packing needs: the demand that is left fits into the nodes that are left, filled to ``fill``."""
        target = self.need.largest_model(node)
        if target < 0 or not self.sums_prove:
            return target >= 0
        frees = [self.changes[n].frees for n in chosen]
        return all(self.demand[r] - sum(f[r] for f in frees) <= target * self.cap[r] * fill for r in (0, 1))

    def _bound(self, node: int) -> int:
        """No set with fewer workloads can free so many nodes: its largest sums do not reach what must be given back."""
        target = self.need.largest_model(node)
        if not self.sums_prove or target < 0:
            return 0
        fewest = 0
        for resource in (0, 1):
            must = self.demand[resource] - target * self.cap[resource]
            for count, change in enumerate(sorted((c.frees[resource] for c in self.changes), reverse=True), 1):
                if must <= 0:
                    break
                must, fewest = must - change, max(fewest, count)
        return fewest

    def _greedy(self, node: int, rest: Sequence[int], held: frozenset[int]) -> tuple[int, ...] | None:
        """Changes by what they give back of what is missing, as few as are found: a first guess by sums, then packings."""
        target = max(self.need.largest_model(node), 0)
        missing = [max(0, self.demand[r] - sum(self.changes[n].frees[r] for n in held) - target * self.cap[r]) for r in (0, 1)]
        weigh = [1 / m if m else 1e-6 / c for m, c in zip(missing, self.cap, strict=True)]
        gain = {n: sum(min(f, m or f) * w for f, m, w in zip(self.changes[n].frees, missing, weigh, strict=True)) for n in rest}
        ranked = sorted(rest, key=lambda n: (-gain[n], self.changes[n].key))
        low, high = self._between(node, ranked, held)
        if high > len(ranked):
            return None
        while high - low > 1 and self.left > 0:
            middle = (low + high) // 2
            if self.gone(held | set(ranked[:middle])) >= node:
                high = middle
            else:
                low = middle
        return self._without(node, ranked[:high], held)

    def _between(self, node: int, ranked: Sequence[int], held: frozenset[int]) -> tuple[int, int]:
        """How many of the ranked changes are too few and how many do, found in growing steps from where sums say; high is past the end
        when the work is used up."""
        fill = max((d / (self.need.model_now * c) for d, c in zip(self.demand, self.cap, strict=True)), default=1.0)
        first = self._prefix(node, ranked, held, 1.0)
        guess, step = self._prefix(node, ranked, held, min(1.0, fill)), 1
        if self.gone(held | set(ranked[:guess])) >= node:
            low, high = guess - 1, guess
            while low >= first and self.left > 0 and self.gone(held | set(ranked[:low])) >= node:
                low, high, step = low - step, low, 2 * step
            return max(low, first - 1), high
        low, high = guess, min(len(ranked), guess + 1)
        while self.left > 0 and low < len(ranked):
            if self.gone(held | set(ranked[:high])) >= node:
                return low, high
            low, high, step = high, min(len(ranked), high + 2 * step), 2 * step
        return low, len(ranked) + 1

    def _prefix(self, node: int, ranked: Sequence[int], held: frozenset[int], fill: float) -> int:
        return next((k for k in range(len(ranked) + 1) if self._enough(node, held | set(ranked[:k]), fill)), len(ranked))

    def _without(self, node: int, added: Sequence[int], held: frozenset[int]) -> tuple[int, ...]:
        """The set without what it does not need, the least useful first; few are tried, for each is a packing."""
        kept = list(added)
        for number in list(reversed(added))[1:3]:
            fewer = [n for n in kept if n != number]
            if self.left <= 0:
                break
            if self._enough(node, held | set(fewer)) and self.gone(held | set(fewer)) >= node:
                kept = fewer
        return tuple(kept)
