"""Pods into nodes (methods.md B4): how many nodes a set of pods needs, and whether pods fit into the room that nodes still have.

Required rules are kept, preferred ones ignored; a pod that fits nowhere is counted and has a sentence of its own. Every size is a whole
number, and the answer does not depend on the order in which shapes and kinds come in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from aiops_analysis.analysis.packing_dot import fill_nodes
from aiops_analysis.analysis.packing_exact import place_all, too_much
from aiops_analysis.analysis.packing_fit import by_cpu, by_share, place_in_order
from aiops_analysis.analysis.packing_homes import Homes
from aiops_analysis.analysis.packing_rules import Node, Problem, State, problem_of
from aiops_analysis.analysis.packing_why import why_unplaced
from aiops_analysis.core.bins import NodeKind, Packing, Placed, PodShape
from aiops_analysis.core.errors import SchemaError

__all__ = ["Fit", "fits", "pack"]


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether pods fit into given room; true in a condition when they do."""

    ok: bool
    packing: Packing  # the nodes that got pods, by the name of the kind, with those pods only
    proved: bool  # True for a yes, and for a no after every way was tried or a bound was passed

    def __bool__(self) -> bool:
        return self.ok


def pack(shapes: Sequence[PodShape], kinds: Sequence[NodeKind], *, order: str = "dot") -> Packing:
    """Nodes for all pods; the nodes of a pool's ``least`` come first but are not in the answer while they are empty.

    ``order``: "dot" fills one node after the other by the dot product and is the smallest; "cpu" takes the pods by cpu, then
    memory, the largest first, to the first node with room, as Karpenter does. "dot" is tried with and without weights of demand; where
    kinds differ, with these ranked by what all pods need and by what each pod needs, and where nodes run out pod by pod as well: the fewest
    unplaced pods, then the lowest price, then the fewest nodes win.

    Raises SchemaError for keys that come twice, numbers below 0 and an unknown order.
    """
    problem = problem_of(shapes, kinds)
    counts = {shape.key: shape.count for shape in shapes}
    if order == "cpu":
        state = State(problem, counts)
        place_in_order(state, by_cpu(state), Homes(state))
        _level(state)
        return _answer(state)
    if order != "dot":
        raise SchemaError(f"the order of a packing is {ascii(order)[:40]}, expected dot or cpu")
    tries = [_by_dot(problem, counts), _by_dot(problem, counts, even=True)]
    if 1 < len(kinds) <= _RANKED:
        tries += [_by_dot(problem, counts, own=True), _by_dot(problem, counts, own=True, even=True)]
    if any(state.unplaced for state in tries) and any(kind.most is not None for kind in kinds):
        tries += [_by_pod(problem, counts, choose) for choose in ("first", "alike")]
    return _answer(min(tries, key=_cost))


_AT_ONCE = 5000  # nodes
_RANKED = 32  # kinds up to which a ranking for every shape is worth its time


def _by_dot(problem: Problem, counts: Mapping[str, int], *, own: bool = False, even: bool = False) -> State:
    state = State(problem, counts)
    fill_nodes(state, Homes(state, own=own), even=even)
    return _finished(state)


def _by_pod(problem: Problem, counts: Mapping[str, int], choose: str) -> State:
    """The hardest pods first; "alike" looks at all nodes there are at once, so that what they lack is shared out."""
    state = State(problem, counts)
    if choose == "alike" and sum(kind.most or 0 for kind in problem.kinds) <= _AT_ONCE:
        for kind, one in enumerate(problem.kinds):
            for _ in range(one.most or 0):
                state.open(kind, state.zones_left(kind)[0])
    place_in_order(state, by_share(state), Homes(state), choose=choose)
    return _finished(state)


def _finished(state: State) -> State:
    _level(state)
    _shrink(state)
    return state


def _cost(state: State) -> tuple[int, float, int]:
    price = math.fsum(float(state.problem.price[node.kind]) for node in state.nodes if node.pods)
    return sum(state.unplaced.values()), price, sum(1 for node in state.nodes if node.pods)


def _level(state: State) -> None:
    """Take pods back from zones that lead by more than the skew, as the others ran out of nodes, and those that stood beside them."""
    changed = True
    while changed:
        changed = False
        for shape in state.problem.zoned:
            skew, domains = state.problem.shapes[shape].skew, state.problem.domains[shape]
            if not skew or not domains:
                continue
            counts = [int(state.zone_count[shape, zone]) for zone in domains]
            lowest = min(counts)
            if max(counts) - lowest <= skew:
                continue
            for node in reversed(state.nodes):
                over = int(state.zone_count[shape, node.zone]) - lowest - skew
                own = node.pods.get(shape, 0) - node.held.get(shape, 0)
                if over > 0 and own > 0:
                    state.take_back(shape, node, min(over, own))
                    changed = True
        changed |= _part(state)


def _part(state: State) -> bool:
    """Take back pods whose companion was taken back; one node may be without, where a group began."""
    changed = False
    for shape, others in state.problem.beside.items():
        began = False
        for node in state.nodes:
            own = node.pods.get(shape, 0) - node.held.get(shape, 0)
            if not own or any(other in node.pods for other in others if other != shape) or node.held.get(shape, 0):
                continue
            if shape in others and not began:
                began = True
                continue
            state.take_back(shape, node, own)
            changed = True
    return changed


def _shrink(state: State) -> None:
    """Give each node the cheapest kind that holds its pods in its zone, as a consolidation would: the last node is often half empty."""
    problem = state.problem
    if len(problem.kinds) < 2 or len(set(problem.price.tolist())) < 2:
        return
    used_of = {id(node): problem.room[node.kind] - np.array(node.free) for node in state.nodes}
    for node in reversed(state.nodes):
        pods = list(node.pods)
        fit = (problem.room >= used_of[id(node)]).all(axis=1) & problem.by_rules[pods].all(axis=0)
        kinds = [
            k for k in np.flatnonzero(fit).tolist() if problem.price[k] < problem.price[node.kind] and node.zone in state.zones_left(k)
        ]
        kept = sum(state.opened[node.kind].values()) <= problem.kinds[node.kind].least
        if kinds and pods and not kept:
            kind = min(kinds, key=lambda k: (float(problem.price[k]), k))
            state.opened[node.kind][node.zone] -= 1
            state.opened[kind][node.zone] += 1
            node.kind, node.free = kind, [int(free) for free in problem.room[kind] - used_of[id(node)]]


def _answer(state: State) -> Packing:
    problem = state.problem
    nodes = []
    for node in state.nodes:
        own = {problem.shapes[s].key: pods - node.held.get(s, 0) for s, pods in node.pods.items() if pods > node.held.get(s, 0)}
        if own:
            nodes.append(Placed(problem.kinds[node.kind].name, problem.zones[node.zone], own))
    unplaced = {problem.shapes[shape].key: pods for shape, pods in sorted(state.unplaced.items()) if pods}
    why = {problem.shapes[shape].key: why_unplaced(state, shape) for shape, pods in sorted(state.unplaced.items()) if pods}
    return Packing(tuple(nodes), unplaced, why)


def fits(
    shapes: Sequence[PodShape],
    free: Sequence[NodeKind],
    *,
    held: Mapping[str, Mapping[str, int]] | None = None,
    rules: Sequence[PodShape] = (),
    steps: int = 2000,
) -> Fit:
    """Whether all pods fit into given nodes, each a NodeKind of one node whose sizes are the room it has left.

    ``held``: name of a node -> shape key -> pods that stay there, whose size is already off; they count for the rules about pods beside,
    apart, per node and per zone. ``rules``: the shapes of those pods, whose own anti-affinity keeps others away. Two quick orders are
    tried, then for at most 12 pods every way, as far as ``steps`` pods moved go: 0 leaves the search out.
    """
    counts = {shape.key: shape.count for shape in shapes}
    there = held or {}
    free = _useful(shapes, free)
    problem = problem_of(shapes, free, [*rules, *_unknown(there, {*counts, *(rule.key for rule in rules)})])
    first = _with_nodes(problem, counts, there)
    hopeless = too_much(first)
    for order, best in ((by_share, True), (by_cpu, False)):
        state = first if best else _with_nodes(problem, counts, there)
        place_in_order(state, order(state), None, choose="least" if best else "first")
        _level(state)
        if not state.unplaced or hopeless:
            return Fit(not state.unplaced, _answer(state), proved=True)
    if steps and sum(counts.values()) <= _SEARCHED:
        full = _with_nodes(problem, counts, there)
        found = place_all(full, _settled, steps)
        if found:
            return Fit(True, _answer(full), proved=True)
        return Fit(False, _answer(state), proved=found is not None)
    return Fit(False, _answer(state), proved=False)


def _useful(shapes: Sequence[PodShape], free: Sequence[NodeKind]) -> Sequence[NodeKind]:
    """The nodes with room for the least of each resource; all of them where zones or companions on the others count."""
    if not shapes or any(shape.skew or shape.most_per_zone or shape.beside for shape in shapes):
        return free
    cpu, memory = min(shape.cpu for shape in shapes), min(shape.memory for shape in shapes)
    return [node for node in free if node.cpu >= cpu and node.memory >= memory and node.pods > 0] or free


_SEARCHED = 12  # pods up to which every way is tried


def _settled(state: State) -> bool:
    """Whether nothing has to be taken back, and a scheduler can get there: on each node somebody needs nobody, or begins a group."""
    copy = State(state.problem, {})
    copy.nodes = [Node(node.kind, node.zone, list(node.free), dict(node.pods), node.held) for node in state.nodes]
    copy.zone_count = state.zone_count.copy()
    _level(copy)
    if copy.unplaced:
        return False
    for at in state.problem.zoned:
        most = state.problem.shapes[at].most_per_zone
        if most and any(state.zone_count[at, n.zone] > most and n.pods.get(at, 0) > n.held.get(at, 0) for n in state.nodes):
            return False
    return all(_reachable(state, node) for node in state.nodes)


def _reachable(state: State, node: Node) -> bool:
    present, waiting = set(node.held), set(node.pods) - set(node.held)
    while waiting:
        beside = state.problem.beside
        free = {s for s in waiting if s not in beside or beside[s] & present} or {s for s in waiting if s in beside[s]}
        if not free:
            return False
        present |= free
        waiting -= free
    return True


def _unknown(held: Mapping[str, Mapping[str, int]], known: set[str]) -> list[PodShape]:
    """Shapes without rules for pods that nobody described: others may still name them."""
    return [PodShape(key, 0, 0, 0) for key in sorted({key for pods in held.values() for key in pods} - known)]


def _with_nodes(problem: Problem, counts: Mapping[str, int], held: Mapping[str, Mapping[str, int]]) -> State:
    state = State(problem, counts)
    index = {shape.key: at for at, shape in enumerate(problem.shapes)}
    for kind, name in enumerate(one.name for one in problem.kinds):
        pods = {index[key]: count for key, count in held.get(name, {}).items() if count > 0}
        state.open(kind, problem.kind_zones[kind][0], pods)
    state.settle()
    return state
