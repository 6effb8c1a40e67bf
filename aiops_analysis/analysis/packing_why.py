"""Why a pod fits nowhere, in one sentence that names the resource or the rule and by how much it fails."""

from __future__ import annotations

import numpy as np

from aiops_analysis.analysis.packing_rules import State
from aiops_analysis.core.names import visible
from aiops_analysis.core.units import human_memory

__all__ = ["why_unplaced"]

_NAMED = 3  # kinds or keys by name in a sentence


def why_unplaced(state: State, shape: int) -> str:
    """One sentence about the pods of a shape that were placed nowhere."""
    problem = state.problem
    if not problem.kinds:
        return "there are no nodes"
    if not problem.by_rules[shape].any():
        allowed = problem.shapes[shape].kinds
        there = {kind.name for kind in problem.kinds}
        if allowed is not None and not allowed & there:
            return f"its rules allow {_names(allowed)}, and there are no such nodes" if allowed else "its rules allow none of the nodes"
        return "there are no nodes of the kinds that its rules allow"
    if not problem.allowed[shape].any():
        return _too_large(state, shape)
    return _affinity(state, shape) or _zones(state, shape) or _full(state, shape)


def _names(names: frozenset[str] | set[str] | list[str]) -> str:
    shown = sorted(visible(name, 80) for name in names)
    return ", ".join(shown[:_NAMED]) + (f" and {len(shown) - _NAMED} more" if len(shown) > _NAMED else "")


def _amount(resource: int, value: int) -> str:
    if resource == 0:
        return f"{value / 1000:g} core" + ("" if value == 1000 else "s")
    if resource == 1:
        return human_memory(float(value))
    return f"{value} pod slot" if resource == 2 else f"{value} GPU" + ("s" if value != 1 else "")


def _too_large(state: State, shape: int) -> str:
    """The node that comes nearest, and what the pod needs more than that."""
    problem = state.problem
    kinds = np.flatnonzero(problem.by_rules[shape])
    room = np.maximum(problem.room[kinds], 0)
    over = np.maximum(problem.size[shape] - room, 0)
    nearest = int(np.argmin((over / np.maximum(problem.size[shape], 1)).sum(axis=1)))
    parts = [
        f"{_amount(r, int(problem.size[shape, r]))}, {_amount(r, int(over[nearest, r]))} more than" for r in range(4) if over[nearest, r]
    ]
    name = visible(problem.kinds[int(kinds[nearest])].name, 80) or "the largest node"
    return f"one pod needs {' and '.join(parts)} an empty node of {name} has"


def _affinity(state: State, shape: int) -> str:
    problem = state.problem
    others = problem.beside.get(shape)
    if others is None:
        return ""
    wanted = problem.shapes[shape].beside
    if not others:
        return f"its required affinity asks for {_names(wanted)}, of which there are no pods"
    if shape in others and shape in state.seeded:
        return "its required affinity to itself asks for one node for all its pods, and the node takes no more of them"
    hosts = [node for node in state.nodes if any(other in node.pods for other in others)]
    if not hosts:
        return f"its required affinity asks for {_names(wanted)}, which is placed nowhere, or waits for it in turn"
    return f"its required affinity asks for a node with {_names(wanted)}, and {len(hosts)} such nodes have no room for more"


def _zones(state: State, shape: int) -> str:
    rules, domains = state.problem.shapes[shape], state.problem.domains[shape]
    if not domains:
        return ""
    counts = [int(state.zone_count[shape, zone]) for zone in domains]
    if rules.most_per_zone and min(counts) >= rules.most_per_zone:
        return f"its rules allow {rules.most_per_zone} pods a zone, and there are {len(domains)} zones"
    if rules.skew and max(counts) - min(counts) >= rules.skew:
        least = visible(state.problem.zones[domains[counts.index(min(counts))]], 80) or "without a name"
        return f"its zones may differ by {rules.skew} pods, and zone {least} takes no more"
    return ""


def _full(state: State, shape: int) -> str:
    problem = state.problem
    kinds = set(np.flatnonzero(problem.allowed[shape]).tolist())
    nodes = [node for node in state.nodes if node.kind in kinds]
    most = int(problem.per_node[shape])
    if nodes and most < len(problem.shapes) + 2**31 and all(node.pods.get(shape, 0) >= most for node in nodes):
        return f"its rules allow {most} on a node, and each of the {len(nodes)} nodes it may run on has that"
    rivals = set(problem.rivals.get(shape, ()))
    apart = sum(1 for node in nodes if rivals & node.pods.keys())
    words = f"none of the {len(nodes)} nodes it may run on has {_amount(0, int(problem.size[shape, 0]))} and "
    words += f"{_amount(1, int(problem.size[shape, 1]))} left" if nodes else ""
    if not nodes:
        return "no node of the kinds that its rules allow is left"
    return words + (f", or it has a pod that must be apart from it ({apart} nodes)" if apart else "")
