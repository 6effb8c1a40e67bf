"""Whether a few pods fit into given nodes, with proof: every way is tried, the same way once, up to a number of steps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from aiops_analysis.analysis.packing_rules import Node, State

__all__ = ["place_all", "too_much"]


def too_much(state: State) -> bool:
    """Whether the pods ask for more than all nodes they may run on have, or one of them fits nowhere: a proof without search."""
    problem = state.problem
    left = np.flatnonzero(state.remaining > 0)
    if not len(left):
        return False
    free = np.maximum(np.array([node.free for node in state.nodes], dtype=np.int64).reshape(-1, 4), 0)
    kinds = np.array([node.kind for node in state.nodes], dtype=np.int64)
    size = problem.size[left]
    fit = problem.by_rules[left][:, kinds] & (size[:, None, :] <= free[None, :, :]).all(axis=2)
    if not fit.any(axis=1).all():
        return True
    useful = fit.any(axis=0)
    return bool(((size * state.remaining[left, None]).sum(axis=0) > free[useful].sum(axis=0)).any())


def place_all(state: State, valid: Callable[[State], bool], steps: int) -> bool | None:
    """Place all pods of the state; False when no way does, None when ``steps`` did not suffice. ``valid`` judges a finished state.

    The rules that only grow stricter with each pod are kept on the way: size, slots, pods per node, apart. Companions and zones, which a
    later pod can mend, are judged at the end.
    """
    search = _Search(state, valid, steps)
    pods = [shape for shape in np.flatnonzero(state.remaining > 0).tolist() for _ in range(int(state.remaining[shape]))]
    size = state.problem.size
    most = np.maximum(state.problem.room.max(axis=0, initial=1), 1)
    pods.sort(key=lambda shape: (-float((size[shape] / most).max()), shape))
    found = search.go(pods, 0, 0)
    return None if not found and search.steps <= 0 else found


class _Search:
    def __init__(self, state: State, valid: Callable[[State], bool], steps: int) -> None:
        self._state, self._valid, self.steps = state, valid, steps
        self._plain = not state.problem.zoned and not state.problem.beside

    def go(self, pods: list[int], at: int, start: int) -> bool:
        """Place the pods from ``at`` on; equal pods go to nodes in order, from ``start``."""
        if at == len(pods):
            return self._plain or self._valid(self._state)
        shape, seen = pods[at], set()
        again = at + 1 < len(pods) and pods[at + 1] == shape
        for place in range(start, len(self._state.nodes)):
            node = self._state.nodes[place]
            mark = (node.kind, tuple(sorted(node.pods.items()))) if node.pods else (tuple(node.free), node.zone, *self._rules(node.kind))
            if mark in seen or not self._room(shape, node):
                continue
            seen.add(mark)
            self.steps -= 1
            if self.steps <= 0:
                return False
            self._move(shape, node, 1)
            if self.go(pods, at + 1, place if again else 0):
                return True
            self._move(shape, node, -1)
        return False

    def _rules(self, kind: int) -> tuple[bool, ...]:
        return tuple(self._state.problem.by_rules[:, kind].tolist())

    def _room(self, shape: int, node: Node) -> bool:
        problem = self._state.problem
        if not problem.by_rules[shape, node.kind] or node.pods.get(shape, 0) >= problem.per_node[shape]:
            return False
        if any(rival in node.pods for rival in problem.rivals.get(shape, ())):
            return False
        return all(need <= free for need, free in zip(problem.size[shape].tolist(), node.free, strict=True) if need)

    def _move(self, shape: int, node: Node, pods: int) -> None:
        state = self._state
        node.pods[shape] = node.pods.get(shape, 0) + pods
        if not node.pods[shape]:
            del node.pods[shape]
        for resource, need in enumerate(state.problem.size[shape].tolist()):
            node.free[resource] -= need * pods
        state.remaining[shape] -= pods
        if state.problem.domains[shape]:
            state.zone_count[shape, node.zone] += pods
