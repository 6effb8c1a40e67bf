"""How many nodes pods need at least: a certificate that no packing can beat (methods.md B4).

The largest of several bounds, each of which holds by itself: demand over the largest nodes there are, of all pods and of those that only
some kinds take; large pods that cannot share a node (dual feasible functions: Martello and Toth 1990, Fekete and Schepers 2001); pods of
one shape alone; shapes that keep apart; zones that must be used; and a linear programme over the kinds. All but the last count in integers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from aiops_analysis.analysis.packing_rules import NO_BOUND, Bools, Ints, Problem, problem_of
from aiops_analysis.core.bins import NodeKind, PodShape

__all__ = ["lower_bound"]

_SETS = 64  # sets of kinds that are looked at, each alone and in the linear programme
_THRESHOLDS = 200  # sizes at which pods are split into large and small
_SLACK = 1e-6  # of the linear programme's answer: a solver's tolerance must not become a node


def lower_bound(shapes: Sequence[PodShape], kinds: Sequence[NodeKind]) -> int:
    """Nodes that no packing of all these pods can beat.

    Pods that no empty node takes are left out. Where nodes run out for other pods there is no packing of all of them to bound: the answer
    is then at most the number of nodes there are.
    """
    problem = problem_of(shapes, kinds)
    counts = {shape.key: shape.count for shape in shapes}
    count = np.array([counts[shape.key] for shape in problem.shapes], dtype=np.int64)
    count[~problem.allowed.any(axis=1)] = 0
    if not count.any():
        return 0
    groups = _groups(problem, count)
    bounds = [_by_demand(problem, count, members, nodes) for members, nodes in groups]
    bounds += [_by_large_pods(problem, count, members, nodes) for members, nodes in groups]
    alone = _alone(problem, count)
    bounds += [int(alone.max()), _apart(problem, alone), _by_zones(problem, count)]
    if len(problem.kinds) > 1:
        bounds.append(_by_programme(problem, count, groups))
    return min(max(bounds), _all_nodes(problem))


def _all_nodes(problem: Problem) -> int:
    return sum(NO_BOUND if kind.most is None else kind.most for kind in problem.kinds)


def _groups(problem: Problem, count: Ints) -> list[tuple[Bools, Bools]]:
    """(shapes that only these kinds take, these kinds): all together, and each distinct set of kinds with what it holds."""
    there = count > 0
    sets = {tuple(row) for row in problem.allowed[there].tolist()}
    every: Bools = np.asarray(problem.allowed[there].any(axis=0))
    chosen = sorted(sets - {tuple(every.tolist())}, key=lambda row: (sum(row), row))[:_SETS]
    groups = [(there, every)]
    for row in chosen:
        nodes = np.array(row, dtype=bool)
        groups.append((there & ~(problem.allowed & ~nodes).any(axis=1), nodes))
    return groups


def _by_demand(problem: Problem, count: Ints, members: Bools, nodes: Bools) -> int:
    """The fewest nodes whose room adds up to the demand, the largest first, for each resource."""
    bound = 0
    for resource in range(4):
        need = int((problem.size[members, resource] * count[members]).sum())
        taken = 0
        for kind in sorted(np.flatnonzero(nodes).tolist(), key=lambda k: -int(problem.room[k, resource])):
            room, most = int(problem.room[kind, resource]), problem.kinds[kind].most
            if need <= 0 or room <= 0:
                break
            used = -(-need // room) if most is None else min(most, -(-need // room))
            need, taken = need - used * room, taken + used
        bound = max(bound, taken)
    return bound


def _by_large_pods(problem: Problem, count: Ints, members: Bools, nodes: Bools) -> int:
    """Demand after sizes were rounded so that what fits a node still does: above a half they count whole, tiny ones nothing."""
    bound = 0
    for resource in (0, 1, 3):
        room = int(problem.room[nodes, resource].max(initial=0))
        size, pods = problem.size[members, resource], count[members]
        if room <= 0 or not size.any():
            continue
        small = np.unique(size[(size > 0) & (2 * size <= room)])
        for threshold in [1, *small[np.linspace(0, len(small) - 1, min(len(small), _THRESHOLDS)).astype(int)].tolist()]:
            rounded = np.where(size > room - threshold, room, np.where(size < threshold, 0, size))
            bound = max(bound, -(-int((rounded * pods).sum()) // room))
        for parts in range(1, 12):
            whole = size * (parts + 1) % room == 0
            rounded = np.where(whole, size * parts, size * (parts + 1) // room * room)
            bound = max(bound, -(-int((rounded.astype(object) * pods).sum()) // (room * parts)))
    return bound


def _alone(problem: Problem, count: Ints) -> Ints:
    """Nodes that each shape needs if there were nothing else."""
    size = np.maximum(problem.size, 1)[:, None, :]
    each = np.where(problem.size[:, None, :] > 0, np.maximum(problem.room, 0)[None, :, :] // size, NO_BOUND).min(axis=2)
    each = np.where(problem.allowed, each, 0).max(axis=1, initial=0)
    each = np.maximum(np.minimum(each, problem.per_node), 1)
    return np.asarray(-(-count // each), dtype=np.int64)


def _apart(problem: Problem, alone: Ints) -> int:
    """Shapes that all keep apart from one another share no node: their nodes add up."""
    best = 0
    for first in sorted(problem.rivals, key=lambda shape: (-int(alone[shape]), shape))[:_THRESHOLDS]:
        group, total = {first}, int(alone[first])
        for other in sorted(problem.rivals[first], key=lambda shape: (-int(alone[shape]), shape)):
            if alone[other] and group <= set(problem.rivals[other]):
                group.add(other)
                total += int(alone[other])
        best = max(best, total)
    return best


def _by_zones(problem: Problem, count: Ints) -> int:
    """Zones that must have a pod: with one left empty no other may have more than the skew."""
    bound = 0
    for at in problem.zoned:
        shape, pods = problem.shapes[at], int(count[at])
        if pods and shape.most_per_zone:
            bound = max(bound, -(-pods // shape.most_per_zone))
        if pods and shape.skew:
            bound = max(bound, min(len(problem.domains[at]), -(-pods // shape.skew)))
    return bound


def _by_programme(problem: Problem, count: Ints, groups: list[tuple[Bools, Bools]]) -> int:
    """The fewest nodes, in fractions, whose kinds together have room for every group that only they take."""
    from scipy.optimize import linprog

    rows, needs = [], []
    for members, nodes in groups:
        for resource in range(4):
            need = float((problem.size[members, resource] * count[members]).sum())
            if need > 0:
                rows.append(-np.where(nodes, np.maximum(problem.room[:, resource], 0), 0).astype(np.float64) / need)
                needs.append(-1.0)
    alone = _alone(problem, count)
    for members, nodes in groups:
        most = int(alone[members].max(initial=0))
        rows.append(-nodes.astype(np.float64) / max(most, 1))
        needs.append(-1.0 if most else 0.0)
    limits = [(0, None if kind.most is None else kind.most) for kind in problem.kinds]
    found = linprog(np.ones(len(problem.kinds)), A_ub=np.array(rows), b_ub=np.array(needs), bounds=limits, method="highs")
    return math.ceil(found.fun * (1 - _SLACK) - _SLACK) if found.status == 0 else 0
