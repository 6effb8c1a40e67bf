"""Which kind of node is opened next for which pods: the cheapest per dominant demand among those that take them (methods.md B4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aiops_analysis.analysis.packing_rules import NO_BOUND, Bools, Floats, Node, Problem, State

__all__ = ["Homes"]


class Homes:
    """The order of node kinds for each shape, as nodes of the kinds run out.

    The nodes that a pool keeps anyway (``least``) cost nothing more and come first. ``own`` ranks by what one pod of the shape takes of the
    node, else by what all pods together would: price x max_r(demand_r / room_r).
    """

    def __init__(self, state: State, *, own: bool = False) -> None:
        self._state = state
        problem = state.problem
        slots = [(k, min(kind.least, _most(kind.most)), 0) for k, kind in enumerate(problem.kinds) if kind.least]
        slots += [(k, NO_BOUND, 1) for k in range(len(problem.kinds))]
        self._kind = np.array([kind for kind, _, _ in slots], dtype=np.int64)
        self._quota = [quota for _, quota, _ in slots]
        paid = np.array([tier for _, _, tier in slots], dtype=np.int64)
        cost = _own_cost(problem) if own else np.broadcast_to(_joint_cost(state), problem.allowed.shape)
        cost = cost[:, self._kind]
        # the cheapest first, then the larger node, then by name; paid-for nodes before all
        larger = -problem.room[self._kind].astype(np.float64)
        rows = range(len(cost)) if own else range(min(1, len(cost)))
        order = [np.lexsort((self._kind, larger[:, 1], larger[:, 0], cost[row], paid)) for row in rows]
        self._order = np.array(order, dtype=np.int64).reshape(len(order), len(slots))
        self._places = np.argsort(self._order, axis=1)
        by_slot = problem.allowed[:, self._kind]
        self._open: Bools = np.take_along_axis(by_slot, np.broadcast_to(self._order, by_slot.shape), axis=1)
        self.choices = self._open.sum(axis=1)  # kinds that still take the shape
        self._home = self._first(np.arange(len(by_slot)))
        for slot in range(len(slots)):
            self._close_if_used_up(slot)

    def home(self) -> np.ndarray:
        """The index of the kind that each shape would open next, -1 where none is left."""
        row = np.broadcast_to(self._order, self._open.shape)
        kinds = self._kind[np.take_along_axis(row, np.maximum(self._home, 0)[:, None], axis=1)[:, 0]] if row.size else self._home
        return np.where(self._home >= 0, kinds, -1)

    def open_for(self, path: Sequence[int], *, whole: bool = False) -> Node | None:
        """A new node for the last shape of a path, with one pod of each shape of the path on it; None when no node takes them.

        ``whole``: the node that takes the most pods of the last shape, the cheapest of these.
        """
        state, pivot = self._state, path[-1]
        row = self._order[pivot if len(self._order) > 1 else 0]
        slots = [int(row[place]) for place in np.flatnonzero(self._open[pivot])]
        if whole:
            slots.sort(key=lambda slot: -self._alone(pivot, int(self._kind[slot])))
        for slot in slots:
            kind = int(self._kind[slot])
            for zone in state.zones_left(kind):
                if all(state.problem.allowed[shape, kind] and state.zone_room[shape, zone] > 0 for shape in path):
                    node = state.open(kind, zone)
                    if self._put(path, node):
                        self._close_if_used_up(slot)
                        return node
                    state.nodes.pop()
                    state.opened[kind][zone] -= 1
        return None

    def _put(self, path: Sequence[int], node: Node) -> bool:
        """One pod of each shape, when all of them go together; a single one is left to who fills the node."""
        if len(path) == 1:
            return True
        state = self._state
        before, seeded = state.remaining.copy(), set(state.seeded)
        for shape in path:
            if not state.takes(shape, node):
                state.remaining[:] = before
                state.seeded = seeded
                for placed, pods in node.pods.items():
                    if state.problem.domains[placed]:
                        state.zone_count[placed, node.zone] -= pods
                state.settle()
                return False
            state.place(shape, node, 1)
        return True

    def _alone(self, shape: int, kind: int) -> int:
        size, room = self._state.problem.size[shape], self._state.problem.room[kind]
        fit = min(int(have // need) for have, need in zip(room, size, strict=True) if need)
        return min(fit, int(self._state.remaining[shape]), int(self._state.problem.per_node[shape]))

    def _close_if_used_up(self, slot: int) -> None:
        kind = int(self._kind[slot])
        opened = sum(self._state.opened[kind].values())
        same = np.flatnonzero(self._kind == kind)
        gone = [int(s) for s in same if opened >= min(self._quota[int(s)], _most(self._state.problem.kinds[kind].most))]
        for each in gone:
            places = np.broadcast_to(self._places[:, each], (len(self._open),))
            rows = np.arange(len(self._open))
            was = self._open[rows, places]
            self._open[rows, places] = False
            self.choices = self.choices - was
            again = np.flatnonzero(was & (self._home == places))
            self._home[again] = self._first(again)

    def _first(self, rows: np.ndarray) -> np.ndarray:
        part = self._open[rows]
        if not part.size:
            return np.full(len(rows), -1)
        return np.where(part.any(axis=1), part.argmax(axis=1), -1)


def _most(most: int | None) -> int:
    return NO_BOUND if most is None else most


def _joint_cost(state: State) -> Floats:
    """Price of serving all pods with one kind alone, if they could be cut as needed; gpus are asked for by few and left out."""
    problem = state.problem
    demand = (problem.size[:, :3] * state.remaining[:, None]).sum(axis=0).astype(np.float64)
    return np.asarray(problem.price * _share(demand[None, :], problem.room[:, :3]).max(axis=2, initial=0.0)[0], dtype=np.float64)


def _own_cost(problem: Problem) -> Floats:
    """Price of the part of a node that one pod of a shape takes, its largest share counting."""
    share = _share(problem.size[:, :3].astype(np.float64), problem.room[:, :3]).max(axis=2, initial=0.0)
    return np.asarray(problem.price[None, :] * share, dtype=np.float64)


def _share(need: Floats, room: np.ndarray) -> Floats:
    """Need / room, shape x kind x resource; as good as infinite where there is no room."""
    have = np.where(room > 0, room, 1).astype(np.float64)[None, :, :]
    share = need[:, None, :] / have
    return np.asarray(np.where((room <= 0)[None, :, :] & (need[:, None, :] > 0), 1e30, share), dtype=np.float64)
