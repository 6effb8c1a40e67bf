"""Pod-centric orders: each pod, the largest first, goes to the first node with room, or to the one it fills best (methods.md B4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aiops_analysis.analysis.packing_homes import Homes
from aiops_analysis.analysis.packing_rules import NO_BOUND, Ints, Node, State

__all__ = ["by_cpu", "by_share", "place_in_order"]


def by_cpu(state: State) -> list[int]:
    """Karpenter's order: cpu, then memory, the largest first."""
    size = state.problem.size
    return sorted(range(len(size)), key=lambda shape: (-int(size[shape, 0]), -int(size[shape, 1]), shape))


def by_share(state: State) -> list[int]:
    """The pods with the fewest nodes to go to first, then those with the largest share of a node."""
    problem = state.problem
    most = np.maximum(problem.room.max(axis=0, initial=1), 1)
    share = (problem.size / most).max(axis=1, initial=0.0)
    where = problem.allowed.sum(axis=1)
    return sorted(range(len(share)), key=lambda shape: (int(where[shape]), -float(share[shape]), shape))


def place_in_order(state: State, order: Sequence[int], homes: Homes | None, *, choose: str = "first") -> None:
    """Place the shapes in this order; ``homes`` opens nodes where none takes a pod, None leaves it at the nodes that are there.

    ``choose``: the "first" node with room; the one where the "least" is left; or the one whose room is most "alike" in cpu and memory.

    A pod that waits for a companion comes again once others are placed, as in the scheduler's queue; a round without a pod ends it.
    """
    placer = _Placer(state, homes, choose)
    waiting = [shape for shape in order if state.remaining[shape]]
    while waiting:
        before = int(state.remaining.sum())
        for shape in waiting:
            placer.place(shape)
        waiting = [shape for shape in waiting if state.remaining[shape]]
        if int(state.remaining.sum()) == before:
            break
    for shape in waiting:
        state.give_up(shape)


class _Placer:
    def __init__(self, state: State, homes: Homes | None, choose: str) -> None:
        self._state, self._homes, self._how = state, homes, choose
        self._most = np.maximum(state.problem.room.max(axis=0, initial=1), 1).astype(np.float64)
        size = max(16, 2 * len(state.nodes))
        self._free = np.zeros((size, 4), dtype=np.int64)
        self._kind = np.zeros(size, dtype=np.int64)
        self._hosts: dict[int, set[int]] = {}
        self._known = 0
        self._learn()

    def _learn(self) -> None:
        """Take up nodes that were opened since."""
        nodes = self._state.nodes
        if len(nodes) > len(self._kind):
            self._free = np.concatenate([self._free, np.zeros_like(self._free)])
            self._kind = np.concatenate([self._kind, np.zeros_like(self._kind)])
        for at in range(self._known, len(nodes)):
            self._free[at], self._kind[at] = nodes[at].free, nodes[at].kind
            for shape in nodes[at].pods:
                self._hosts.setdefault(shape, set()).add(at)
        self._known = len(nodes)

    def place(self, shape: int) -> None:
        """Place pods of a shape until none is left or none can go anywhere now."""
        state = self._state
        while state.remaining[shape]:
            room = self._room(shape)
            group = shape in state.problem.beside and not self._companions(shape)
            at = self._choose(shape, room, group)
            if at is None:
                node = self._homes.open_for((shape,), whole=group) if self._homes and self._startable(shape) else None
                if node is None and not room.any():
                    return
                at = self._known if node is not None else int(room.argmax())
                self._learn()
            self._put(shape, at, 1 if self._how != "first" and not group else NO_BOUND)

    def _startable(self, shape: int) -> bool:
        return self._state.may_start(shape)

    def _companions(self, shape: int) -> set[int]:
        return set().union(*(self._hosts.get(other, set()) for other in self._state.problem.beside[shape]))

    def _choose(self, shape: int, room: Ints, group: bool) -> int | None:
        """The node to go to; None when no open one is good enough."""
        if group:
            room = np.where(room >= self._state.remaining[shape], room, 0)  # the whole group on one node, or a new node
        there = np.flatnonzero(room)
        if not len(there):
            return None
        if self._how == "first":
            return int(there[0])
        free = self._free[there] / self._most
        size = self._state.problem.size[shape] / self._most
        if self._how == "alike":
            length = np.sqrt(np.square(free[:, :2]).sum(axis=1))
            return int(there[((free[:, 0] * size[0] + free[:, 1] * size[1]) / np.maximum(length, 1e-9)).argmax()])
        left = free - size
        return int(there[(left[:, 0] + left[:, 1] + left[:, 3]).argmin()])

    def _put(self, shape: int, at: int, most: int) -> None:
        node: Node = self._state.nodes[at]
        pods = min(self._state.takes(shape, node), most)
        if pods:
            self._state.place(shape, node, pods)
            self._free[at] = node.free
            self._hosts.setdefault(shape, set()).add(at)

    def _room(self, shape: int) -> Ints:
        """Pods of the shape that each open node takes now."""
        state, problem = self._state, self._state.problem
        count = self._known
        room = np.full(count, int(state.remaining[shape]), dtype=np.int64)
        for resource, need in enumerate(problem.size[shape].tolist()):
            if need:
                np.minimum(room, self._free[:count, resource] // need, out=room)
        room[~problem.by_rules[shape, self._kind[:count]]] = 0
        for rival in problem.rivals.get(shape, ()):
            room[list(self._hosts.get(rival, ()))] = 0
        if shape in problem.beside and (not state.may_start(shape) or self._companions(shape)):
            there = np.zeros(count, dtype=bool)
            there[list(self._companions(shape))] = True
            room[~there] = 0
        np.maximum(room, 0, out=room)
        if problem.per_node[shape] < NO_BOUND or problem.domains[shape]:
            for at in np.flatnonzero(room):
                room[at] = state.takes(shape, state.nodes[at])
        return room
