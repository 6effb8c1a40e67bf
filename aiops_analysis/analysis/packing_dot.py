"""Bin-centric dot-product greedy, grouped by shape (Panigrahy et al. 2011; methods.md B4): one node is filled until nothing fits.

On an open node the shape with the largest sum_r w_r * size_r * free_r comes next, w_r being the demand that remains over the node's room.
Pods that must be beside others come first, with their companions; then, on each node, shapes that need every node that is still to come,
shapes whose cheapest kind this is, and what else fits.
"""

from __future__ import annotations

import numpy as np

from aiops_analysis.analysis.packing_homes import Homes
from aiops_analysis.analysis.packing_rules import Bools, Floats, Ints, Node, State

__all__ = ["fill_nodes"]

_SCORED = (0, 1, 3)  # a slot is one for every pod and decides nothing


def fill_nodes(state: State, homes: Homes, *, even: bool = False) -> None:
    """Open and fill nodes until every pod is placed or given up; ``even``: all w_r are 1, so that each node is filled in its own ratio."""
    filler = _Filler(state, homes, even)
    for shape in _deepest_first(state):
        filler.seed(shape)
    for shape in state.problem.beside:
        state.give_up(shape)
    dominant = _dominant(state)
    while (left := state.remaining > 0).any():
        # the pod with the fewest kinds to go to, then the largest: what others leave over would be too little for it
        choices = np.where(left, homes.choices, np.iinfo(np.int64).max)
        hardest = np.flatnonzero(choices == choices.min())
        pivot = int(hardest[np.argmax(dominant[hardest])])
        node = homes.open_for((pivot,))
        if node is None:
            state.give_up(pivot)
        else:
            filler.fill(node)


def _dominant(state: State) -> Floats:
    """The largest share that a pod takes of the largest node."""
    most = np.maximum(state.problem.room.max(axis=0, initial=1), 1).astype(np.float64)
    share: Floats = (state.problem.size / most).max(axis=1, initial=0.0)
    return share


def _deepest_first(state: State) -> list[int]:
    """Shapes that must be beside others, the one with the longest way to a pod that may be the first on a node before the rest."""
    depth: dict[int, int] = {}
    beside = state.problem.beside
    changed = True
    while changed:
        changed = False
        for shape, others in beside.items():
            known = [0] if shape in others else []
            known += [1 + depth.get(other, 0) for other in others if other != shape and (other not in beside or other in depth)]
            if known and shape not in depth:
                depth[shape] = min(known)
                changed = True
    return sorted(depth, key=lambda shape: (-depth[shape], shape))


class _Filler:
    def __init__(self, state: State, homes: Homes, even: bool) -> None:
        self._state, self._homes, self._even = state, homes, even
        self._gpu = bool(state.problem.size[:, 3].any())
        self._columns = tuple(np.ascontiguousarray(state.problem.size[:, r]) for r in range(4))

    def seed(self, shape: int) -> None:
        """Open nodes with the companions that a shape needs and fill them, as long as there are any."""
        state = self._state
        while state.remaining[shape]:
            alone = shape in state.problem.beside[shape] and state.may_start(shape)
            node = None
            for path in self._paths(shape):
                node = self._homes.open_for(path, whole=alone and len(path) == 1)
                if node is not None:
                    break
            if node is None:
                return
            self._add(node, shape, state.takes(shape, node))
            self._whole_groups(node)
            self.fill(node)

    def _paths(self, shape: int) -> list[tuple[int, ...]]:
        """Ways to bring a pod of the shape to an empty node: companions first, each of which may need one before it."""
        found: dict[int, tuple[int, ...] | None] = {}

        def way(at: int, seen: frozenset[int]) -> tuple[int, ...] | None:
            if not self._state.remaining[at]:
                return None
            if self._state.may_start(at):
                return (at,)
            ways = [way(other, seen | {at}) for other in sorted(self._state.problem.beside[at] - seen - {at})]
            best = min((one for one in ways if one is not None), key=len, default=None)
            return None if best is None else (*best, at)

        if self._state.may_start(shape):
            return [(shape,)]
        for other in sorted(self._state.problem.beside[shape] - {shape}):
            found[other] = way(other, frozenset({shape}))
        return sorted(((*path, shape) for path in found.values() if path is not None), key=lambda path: (len(path), path))

    def _whole_groups(self, node: Node) -> None:
        """Groups that must share one node and are small enough for what is left of this one."""
        state = self._state
        for shape, others in state.problem.beside.items():
            left = int(state.remaining[shape])
            if shape in others and left and state.may_start(shape) and state.takes(shape, node) >= left:
                self._add(node, shape, left)

    def fill(self, node: Node) -> None:
        """Fill one node until nothing fits."""
        for shape in self._urgent(node):
            self._add(node, shape, self._state.takes(shape, node))
        if len(self._state.problem.kinds) > 1:
            self._fill(node, self._homes.home() == node.kind)
        self._fill(node, None)

    def _add(self, node: Node, shape: int, pods: int) -> None:
        if pods:
            self._state.place(shape, node, pods)

    def _urgent(self, node: Node) -> list[int]:
        """Shapes bounded per node that need as many nodes as all that remains: left for later, they would open nodes of their own."""
        state = self._state
        left = np.flatnonzero((state.remaining > 0) & state.problem.allowed[:, node.kind])
        bounded = left[state.problem.per_node[left] < state.remaining[left]]
        if not len(bounded):
            return []
        demand = (state.problem.size[left] * state.remaining[left, None]).sum(axis=0)
        room = state.problem.room[node.kind]
        nodes = max(-(-int(need) // int(have)) for need, have in zip(demand, room, strict=True) if have > 0)
        wanted = -(-state.remaining[bounded] // state.problem.per_node[bounded])
        return [int(s) for s in bounded[np.argsort(-wanted, kind="stable")] if -(-state.remaining[s] // state.problem.per_node[s]) >= nodes]

    def _candidates(self, node: Node, among: Bools | None) -> tuple[Ints, Bools]:
        """Shapes that may come onto the node, and which of them may now: the others wait for a companion."""
        state, problem = self._state, self._state.problem
        can = (state.remaining > 0) & problem.allowed[:, node.kind]
        if among is not None:
            can &= among
        if problem.zoned:
            can &= state.zone_room[:, node.zone] > 0
        for shape, pods in node.pods.items():
            can[list(problem.rivals.get(shape, ()))] = False
            can[shape] &= pods < problem.per_node[shape]
        found = np.flatnonzero(can)
        ready = np.ones(len(found), dtype=bool)
        if problem.beside:
            for at, shape in enumerate(found.tolist()):
                ready[at] = shape not in problem.beside or state.has_companion(shape, node)
        return found, ready

    def _fill(self, node: Node, among: Bools | None) -> None:
        state, free = self._state, node.free
        found, ready = self._candidates(node, among)
        if not len(found):
            return
        sizes = [self._columns[r][found] for r in range(4)]
        weighted = self._weighted(node, found, sizes)
        while free[2] > 0:
            fit = (sizes[0] <= free[0]) & (sizes[1] <= free[1]) & ready
            if self._gpu:
                fit &= sizes[3] <= free[3]
            score = weighted[0] * free[0] + weighted[1] * free[1]
            if self._gpu:
                score += weighted[2] * free[3]
            best = int(np.where(fit, score, -1.0).argmax())
            if not fit[best]:
                return
            shape = int(found[best])
            state.place(shape, node, 1)
            self._after(node, shape, best, found, ready)

    def _after(self, node: Node, shape: int, at: int, found: Ints, ready: Bools) -> None:
        """What a placed pod rules out on this node, and whom it lets in."""
        state, problem = self._state, self._state.problem
        first = node.pods[shape] == 1
        if not state.remaining[shape] or node.pods[shape] >= problem.per_node[shape] or state.zone_room[shape, node.zone] <= 0:
            ready[at] = False
        if not first:
            return
        for other in (*problem.followers.get(shape, ()), *problem.rivals.get(shape, ())):
            place = int(np.searchsorted(found, other))
            if other != shape and place < len(found) and found[place] == other:
                ready[place] = state.takes(other, node) > 0

    def _weighted(self, node: Node, found: Ints, sizes: list[Ints]) -> list[Floats]:
        """w_r * size_r / room_r^2 for each scored resource: times free_r it is the score."""
        state, room = self._state, self._state.problem.room[node.kind]
        left = state.remaining[found].astype(np.float64)
        weighted: list[Floats] = []
        for resource in _SCORED:
            have = max(float(room[resource]), 1.0)
            weight = 1.0 if self._even else float((sizes[resource] * left).sum()) / have
            weighted.append(np.asarray(sizes[resource] * (weight / have**2), dtype=np.float64))
        return weighted
