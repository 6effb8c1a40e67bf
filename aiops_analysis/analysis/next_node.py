"""The smallest ordered set of recommendations that frees the next node, and the next (methods.md B4).

Each step is judged by the same packing as the pool's own figure: calibration, headroom and floor included. Increases count as done: they
are the fix of a risk, and a node that goes only while they wait would not stay gone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from aiops_analysis.analysis.fleet import Changes, Fleet, Key, Size, changes_of
from aiops_analysis.analysis.pool_need import Need
from aiops_analysis.core.schema import check, empty
from aiops_analysis.core.schema_money import NEXT_NODES

__all__ = ["next_nodes"]

#: Work that may be spent on one pool, in pods and shapes packed; packings are counted, not seconds, so that two runs agree.
_WORK = 24_000
_FEWEST, _MOST = 10, 120
#: Sets that are looked at without packing them.
_LOOKS = 100_000


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
    changes = changes_of(recommendations)
    rows = []
    for name in sorted(needs):
        rows += list(_Search(needs[name], fleet, recommendations, changes).rows(most))
    return check(pd.DataFrame(rows), NEXT_NODES) if rows else empty(NEXT_NODES)


class _Search:
    def __init__(self, need: Need, fleet: Fleet, recommendations: pd.DataFrame, changes: Changes) -> None:
        self.need = need
        lower = recommendations[recommendations["change"] == "decrease"]
        rows = list(zip(*(lower[c] for c in ("namespace", "workload_kind", "workload", "container", "resource", "id")), strict=True))
        ids = {row[:5]: row[5] for row in rows if row[:5] in changes}
        self.base = [t.size({k: v for k, v in changes.items() if k[:3] == t.key and k not in ids}) for t in fleet.templates]
        self.full = [t.size({k: v for k, v in changes.items() if k[:3] == t.key}) for t in fleet.templates]
        self.of: dict[Key, list[int]] = {}
        for place in need.pool.templates:
            if self.base[place] != self.full[place]:
                self.of.setdefault(fleet.templates[place].key, []).append(place)
        found = [_Change(key, tuple(ids[k] for k in sorted(ids) if k[:3] == key), self._frees(key)) for key in sorted(self.of)]
        # what can give nothing back is not looked at, but for DaemonSets, which give back room on every node
        self.cap = self._capacity()
        self.changes = sorted(found, key=lambda c: (-sum(f / s for f, s in zip(c.frees, self.cap, strict=True)), c.key))
        self.seen: dict[frozenset[int], int] = {}
        pool = need.pool
        work = sum(pool.pods.values()) // 8 + 8 * len(pool.pods) + 1
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
        spend = self.left // 2
        rest = [n for n in range(len(self.changes)) if n not in held]
        tried = True
        for size in range(max(1, bound - len(held)), len(rest) + 1):
            found, tried = self._try_all(node, size, rest, held, spend)
            if found is not None:
                total = len(held) + size
                return _Step(found, self._proved(node, total) if held else total)
            if not tried:
                # every smaller size was tried when nothing was chosen before; that is proof
                proved = bound if held else size
                greedy = self._greedy(node, rest, held)
                return None if greedy is None else _Step(greedy, min(max(bound, proved), len(held) + len(greedy)))
        return None

    def _try_all(self, node: int, size: int, among: Sequence[int], held: frozenset[int], spend: int) -> tuple[tuple[int, ...] | None, bool]:
        """A set of this size that frees the node with the held ones, and whether all sets were looked at."""
        if math.comb(len(among), size) > _LOOKS:
            return None, False
        stop = self.left - spend
        for some in combinations(among, size):
            both = held | set(some)
            if not self._enough(node, both):
                continue
            if both not in self.seen and self.left <= max(stop, 0):
                return None, False
            if self.gone(both) >= node:
                return some, True
        return None, True

    def _proved(self, node: int, total: int) -> int:
        """The fewest workloads with which so many nodes go, as far as that can be proved; never more than ``total``."""
        bound = self._bound(node)
        for size in range(bound, total):
            found, tried = self._try_all(node, size, range(len(self.changes)), frozenset(), self.left // 2)
            if found is not None or not tried:
                return size
        return total

    def _enough(self, node: int, chosen: frozenset[int]) -> bool:
        """What any packing needs: the demand that is left fits into the nodes that are left, resource by resource."""
        target = self.need.largest_model(node)
        if target < 0:
            return False
        if self._misfits():
            return True
        return all(self._demand(r) - sum(self.changes[n].frees[r] for n in chosen) <= target * self.cap[r] for r in (0, 1))

    def _bound(self, node: int) -> int:
        """No set with fewer workloads can free so many nodes: its largest sums do not reach what must be given back."""
        target = self.need.largest_model(node)
        if self._misfits() or target < 0:
            return 0
        fewest = 0
        for resource in (0, 1):
            must = self._demand(resource) - target * self.cap[resource]
            for count, change in enumerate(sorted((c.frees[resource] for c in self.changes), reverse=True), 1):
                if must <= 0:
                    break
                must, fewest = must - change, max(fewest, count)
        return fewest

    def _demand(self, resource: int) -> int:
        return sum(count * self.base[place][resource] for place, count in self.need.pool.pods.items())

    def _misfits(self) -> bool:
        """True when a pod fits on no node by itself: it is in no packed node, so sums prove nothing."""
        return any(self.base[p][r] > self.cap[r] for p in self.need.pool.pods for r in (0, 1)) or bool(self.need.packed_now.unplaced)

    def _greedy(self, node: int, rest: Sequence[int], held: frozenset[int]) -> tuple[int, ...] | None:
        """Changes by what they give back of what is missing, as few as are found: a first guess by sums, then packings."""
        target = max(self.need.largest_model(node), 0)
        missing = [max(0, self._demand(r) - sum(self.changes[n].frees[r] for n in held) - target * self.cap[r]) for r in (0, 1)]
        weigh = [1 / m if m else 1e-6 / c for m, c in zip(missing, self.cap, strict=True)]
        gain = {n: sum(min(f, m or f) * w for f, m, w in zip(self.changes[n].frees, missing, weigh, strict=True)) for n in rest}
        ranked = sorted(rest, key=lambda n: (-gain[n], self.changes[n].key))
        low, high = 0, next((k for k in range(len(ranked) + 1) if self._enough(node, held | set(ranked[:k]))), len(ranked))
        step = 1
        while self.gone(held | set(ranked[:high])) < node:
            if high >= len(ranked) or self.left <= 0:
                return None
            low, high, step = high, min(len(ranked), high + step), 2 * step
        while high - low > 1 and self.left > 0:
            middle = (low + high) // 2
            if self.gone(held | set(ranked[:middle])) >= node:
                high = middle
            else:
                low = middle
        return self._without(node, ranked[:high], held)

    def _without(self, node: int, added: Sequence[int], held: frozenset[int]) -> tuple[int, ...]:
        """The set without what it does not need, the least useful first."""
        kept = list(added)
        for number in list(reversed(added))[1:]:
            fewer = [n for n in kept if n != number]
            if self.left <= 0:
                break
            if self._enough(node, held | set(fewer)) and self.gone(held | set(fewer)) >= node:
                kept = fewer
        return tuple(kept)
