"""Which nodes a workload's pods may run on, and beside whom: WORKLOADS.scheduling, labels and taints, as the scheduler reads them.

Only required rules count. What is not known (an empty text, a broken one) or has no place in a PodShape is named in ``unknown`` and
left out: a figure made without it is a grade lower, never silently right.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiops_analysis.core.bins import PodShape

__all__ = ["NodeRules", "Rules", "classes", "kinds_for", "node_rules", "port_conflicts", "refusal", "rules_of", "shape_of"]

Requirement = tuple[str, str, tuple[str, ...]]
_HOST = "kubernetes.io/hostname"
_ZONES = ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone")
_CORDONED = ("node.kubernetes.io/unschedulable", "", "NoSchedule")
#: What a required affinity asks for whose selector matches no workload today: no key is like it, and the pods stay pending.
_NOBODY = "a workload that is not there"
#: Taints of a node's moment, not of its pool: a new node of the same pool comes without them.
_PASSING = (
    *(f"node.kubernetes.io/{what}" for what in ("not-ready", "unreachable", "unschedulable", "network-unavailable", "out-of-service")),
    *(f"node.kubernetes.io/{what}-pressure" for what in ("memory", "disk", "pid")),
    "node.cloudprovider.kubernetes.io/uninitialized",
    "ToBeDeletedByClusterAutoscaler",
    "DeletionCandidateOfClusterAutoscaler",
    "karpenter.sh/disrupted",
    "karpenter.sh/disruption",
)
_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")


@dataclass(frozen=True, slots=True)
class Rules:
    """What binds a workload's pods to nodes; an empty one binds nothing."""

    unknown: tuple[str, ...] = ()  # what is not known or not kept, in words
    node_selector: Mapping[str, str] = field(default_factory=dict)
    node_affinity: tuple[tuple[Requirement, ...], ...] | None = None  # one of these terms must hold whole; None: no such rule
    tolerations: tuple[tuple[str, str, str, str], ...] = ()  # key, operator, value, effect
    apart: tuple[str, ...] = ()  # workloads on no common node, possibly itself
    beside: tuple[str, ...] = ()  # workloads of which one is on the node
    one_per_zone: bool = False
    zone_skew: int = 0
    node_skew: int = 0
    host_ports: tuple[int, ...] = ()
    zones: tuple[str, ...] | None = None  # zones its volumes are bound to
    gpu: int = 0
    overhead_cpu: float = 0.0  # [cores]
    overhead_memory: float = 0.0  # [bytes]
    pinned: tuple[str, ...] = ()  # safe_to_evict | local_storage: an autoscaler does not evict it


@dataclass(frozen=True, slots=True)
class NodeRules:
    """What of a node decides who may run on it."""

    name: str
    zone: str = ""
    labels: Mapping[str, str] | None = None  # None: unknown
    taints: tuple[tuple[str, str, str], ...] | None = None  # key, value, effect
    unknown: tuple[str, ...] = ()


class _BrokenError(Exception):
    """A part of the text is not what it should be."""


def rules_of(text: str, key: str = "") -> Rules:
    """Rules from a WORKLOADS.scheduling text; ``key`` is the workload's own namespace/kind/name.

    An empty text is unknown; a broken one too, with what is wrong with it. A broken text binds nothing rather than half of it.
    """
    if not text:
        return Rules(unknown=("scheduling rules",))
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError) as error:
        return Rules(unknown=(f"scheduling rules (not valid JSON: {str(error)[:80]})",))
    try:
        return _parse(_typed(whole, dict, "the text"), key)
    except _BrokenError as error:
        return Rules(unknown=(f"scheduling rules ({error})",))


def node_rules(name: str, labels: str, taints: str, *, unschedulable: bool = False, zone: str = "", new: bool = False) -> NodeRules:
    """What a row of NODES says; ``new``: of a node like it that is yet to come, without the taints of the moment and not cordoned."""
    unknown = []
    found = _json_or_none(labels, dict)
    if found is None:
        unknown.append("node labels")
    rows = _json_or_none(taints, list)
    if rows is None or not all(isinstance(row, list) and len(row) == 3 for row in rows):
        unknown.append("node taints")
        rows = None
    known = None if rows is None else [(str(row[0]), str(row[1] or ""), str(row[2])) for row in rows]
    if unschedulable and not new:
        known = [*(known or []), _CORDONED]
    if new and known is not None:
        known = [taint for taint in known if taint[0] not in _PASSING]
    whole = None if found is None else {str(key): str(value) for key, value in found.items()}
    return NodeRules(name, zone, whole, None if known is None else tuple(known), tuple(unknown))


def refusal(rules: Rules, node: NodeRules) -> str:
    """Why the pods may not run on the node: node_selector | node_affinity | taint | zone; "" when they may, or nobody knows."""
    if node.labels is not None:
        if any(node.labels.get(key) != value for key, value in rules.node_selector.items()):
            return "node_selector"
        if rules.node_affinity is not None and not any(_term(term, node) for term in rules.node_affinity):
            return "node_affinity"
    for taint in node.taints or ():
        if taint[2] in ("NoSchedule", "NoExecute") and not any(_tolerates(one, taint) for one in rules.tolerations):
            return "taint"
    if rules.zones is not None and node.zone and node.zone not in rules.zones:
        return "zone"
    return ""


def classes(nodes: Sequence[NodeRules], rules: Sequence[Rules]) -> dict[str, int]:
    """Nodes by name -> a number that is equal for nodes on which the same workloads may run: nodes of one kind have the same."""
    distinct = list({_bound(one): one for one in rules}.values())
    seen: dict[tuple[bool, ...], int] = {}
    found = {}
    for node in nodes:
        marks = tuple(not refusal(one, node) for one in distinct)
        found[node.name] = seen.setdefault(marks, len(seen))
    return found


def kinds_for(rules: Rules, kinds: Mapping[str, Sequence[NodeRules]]) -> tuple[frozenset[str] | None, bool]:
    """(the kinds of which a node takes the pods, None for all; whether a kind takes them on part of its nodes only)."""
    takes = {name: [not refusal(rules, node) for node in nodes] for name, nodes in kinds.items()}
    allowed = frozenset(name for name, marks in takes.items() if any(marks) or not marks)
    partly = any(any(marks) and not all(marks) for marks in takes.values())
    return (None if len(allowed) == len(kinds) else allowed), partly


def port_conflicts(rules: Mapping[str, Rules]) -> dict[str, frozenset[str]]:
    """Workload -> the others that want the same port of a node: not on one node with it."""
    users: dict[int, set[str]] = {}
    for key, one in rules.items():
        for port in one.host_ports:
            users.setdefault(port, set()).add(key)
    return {key: frozenset(set().union(*(users[p] for p in one.host_ports)) - {key}) for key, one in rules.items() if one.host_ports}


def shape_of(
    key: str,
    count: int,
    cpu: int,
    memory: int,
    rules: Rules,
    *,
    kinds: frozenset[str] | None = None,
    nodes: int = 0,
    workload: str = "",
    shapes: Mapping[str, Sequence[str]] | None = None,
    conflicts: frozenset[str] = frozenset(),
) -> PodShape:
    """A PodShape of these rules; cpu [millicores] and memory [bytes] of one pod, the overhead included.

    ``kinds``: from ``kinds_for``; ``nodes``: how many nodes it may run on today, for a spread over nodes: the scheduler counts from the
    node with the fewest pods, so a node may have ceil(count / nodes) + skew - 1. ``shapes``: workload -> keys of its shapes where
    they differ from the workload's name; ``workload``: the own one then; ``conflicts``: from ``port_conflicts``.
    """
    own = workload or key

    def keys(names: Sequence[str] | frozenset[str]) -> frozenset[str]:
        return frozenset(found for name in names for found in (shapes or {}).get(name, (name,)))

    bounds = [1] if own in rules.apart or rules.host_ports else []
    if rules.node_skew:
        bounds.append((-(-count // nodes) if nodes else 1) + rules.node_skew - 1)
    apart = keys([*rules.apart, *conflicts, *((own,) if rules.host_ports else ())]) - {key}
    return PodShape(
        key,
        count,
        cpu,
        memory,
        gpu=rules.gpu,
        kinds=kinds,
        most_per_node=max(min(bounds), 1) if bounds else 0,
        most_per_zone=1 if rules.one_per_zone else 0,
        skew=rules.zone_skew,
        apart=apart,
        beside=keys(rules.beside),
    )


def _bound(rules: Rules) -> tuple[object, ...]:
    return tuple(sorted(rules.node_selector.items())), rules.node_affinity, tuple(sorted(rules.tolerations)), rules.zones


def _term(term: tuple[Requirement, ...], node: NodeRules) -> bool:
    """A term without a requirement matches no node, as in the scheduler."""
    return bool(term) and all(_holds(requirement, node) for requirement in term)


def _holds(requirement: Requirement, node: NodeRules) -> bool:
    key, operator, values = requirement
    value = node.name if key == "metadata.name" else (node.labels or {}).get(key)
    if operator == "In":
        return value is not None and value in values
    if operator == "NotIn":
        return value is None or value not in values  # a node without the label matches
    if operator in ("Exists", "DoesNotExist"):
        return (value is not None) == (operator == "Exists")
    have, bound = _whole(value), _whole(values[0] if len(values) == 1 else None)
    if have is None or bound is None:
        return False
    return have > bound if operator == "Gt" else have < bound


def _whole(text: str | None) -> int | None:
    """An int64 as Go's ParseInt reads it: digits with a sign at most, no space, no underscore."""
    if text is None or not text.lstrip("+-").isascii() or not text.lstrip("+-").isdigit() or len(text) - len(text.lstrip("+-")) > 1:
        return None
    value = int(text) if len(text) <= 20 else None
    return value if value is not None and -(2**63) <= value < 2**63 else None


def _tolerates(toleration: tuple[str, str, str, str], taint: tuple[str, str, str]) -> bool:
    key, operator, value, effect = toleration
    if effect and effect != taint[2]:
        return False
    if key and key != taint[0]:
        return False
    if operator == "Exists":
        return True
    return operator in ("", "Equal") and bool(key) and value == taint[1]


def _parse(whole: dict[str, Any], key: str) -> Rules:
    unknown: list[str] = []
    apart, one_per_zone = _anti_affinity(whole, key, unknown)
    zone_skew, node_skew = _spread(whole, unknown)
    overhead = _typed(whole.get("overhead", {}), dict, "overhead")
    terms = whole.get("node_affinity")
    zones = whole.get("zones")
    pinned = ["safe_to_evict"] if whole.get("safe_to_evict") is False else []
    # an autoscaler evicts a pod with local storage when it is told that this is safe
    pinned += ["local_storage"] if whole.get("local_storage") is True and whole.get("safe_to_evict") is not True else []
    return Rules(
        node_selector=_texts_by_key(whole.get("node_selector", {}), "node_selector"),
        node_affinity=None if terms is None else tuple(_requirements(term) for term in _typed(terms, list, "node_affinity")),
        tolerations=tuple(_toleration(row) for row in _typed(whole.get("tolerations", []), list, "tolerations")),
        apart=apart,
        one_per_zone=one_per_zone,
        beside=_affinity(whole, unknown),
        zone_skew=zone_skew,
        node_skew=node_skew,
        host_ports=tuple(_number(port, "host_ports") for port in _typed(whole.get("host_ports", []), list, "host_ports")),
        zones=None if zones is None else tuple(_texts(zones, "zones")),
        gpu=_number(whole.get("gpu", 0), "gpu"),
        overhead_cpu=_amount(overhead.get("cpu", 0.0), "overhead.cpu"),
        overhead_memory=_amount(overhead.get("memory", 0.0), "overhead.memory"),
        pinned=tuple(pinned),
        unknown=tuple(unknown),
    )


def _anti_affinity(whole: dict[str, Any], key: str, unknown: list[str]) -> tuple[tuple[str, ...], bool]:
    apart: list[str] = []
    one_per_zone = False
    for row in _terms(whole, "anti_affinity"):
        topology, names = row
        if topology == _HOST:
            apart += names
        elif topology in _ZONES:
            one_per_zone |= key in names
            if set(names) - {key}:
                unknown.append("anti-affinity to other workloads over zones")
        elif names:
            unknown.append("anti-affinity over other topologies")
    return tuple(dict.fromkeys(apart)), one_per_zone


def _affinity(whole: dict[str, Any], unknown: list[str]) -> tuple[str, ...]:
    """The workloads of which one must be on the node; of several rules those that satisfy all, else the first rule."""
    rows = _terms(whole, "affinity")
    if any(topology != _HOST for topology, _ in rows):
        unknown.append("affinity over zones or other topologies")
    sets = [names or [_NOBODY] for topology, names in rows if topology == _HOST]
    if not sets:
        return ()
    common = [name for name in sets[0] if all(name in names for names in sets)]
    if len(sets) > 1:
        unknown.append("several affinity rules at once")
    return tuple(common or sets[0])


def _spread(whole: dict[str, Any], unknown: list[str]) -> tuple[int, int]:
    zone: list[int] = []
    node: list[int] = []
    for row in _typed(whole.get("spread", []), list, "spread"):
        topology = _typed(_typed(row, dict, "spread").get("topology", ""), str, "spread.topology")
        skew = max(_number(row.get("skew", 1), "spread.skew"), 1)
        if topology in _ZONES:
            zone.append(skew)
        elif topology == _HOST:
            node.append(skew)
        else:
            unknown.append("spread over other topologies")
    return min(zone, default=0), min(node, default=0)


def _terms(whole: dict[str, Any], part: str) -> list[tuple[str, list[str]]]:
    rows = [_typed(row, dict, part) for row in _typed(whole.get(part, []), list, part)]
    return [(_typed(row.get("topology", ""), str, f"{part}.topology"), _texts(row.get("workloads", []), part)) for row in rows]


def _requirements(term: object) -> tuple[Requirement, ...]:
    found = []
    for row in _typed(term, list, "node_affinity"):
        if not isinstance(row, list) or len(row) != 3:
            raise _BrokenError("node_affinity needs key, operator and values")
        if row[1] not in _OPERATORS:
            raise _BrokenError(f"node_affinity has the operator {ascii(row[1])[:40]}")
        found.append((_typed(row[0], str, "node_affinity"), row[1], tuple(_texts(row[2] or [], "node_affinity"))))
    return tuple(found)


def _toleration(row: object) -> tuple[str, str, str, str]:
    texts = [str(part or "") for part in _typed(row, list, "tolerations")]
    if len(texts) != 4:
        raise _BrokenError("tolerations need key, operator, value and effect")
    return texts[0], texts[1], texts[2], texts[3]


def _texts(value: object, where: str) -> list[str]:
    return [_typed(one, str, where) for one in _typed(value, list, where)]


def _texts_by_key(value: object, where: str) -> dict[str, str]:
    return {key: _typed(one, str, where) for key, one in _typed(value, dict, where).items()}


def _number(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _BrokenError(f"{where} has {ascii(value)[:40]}, expected a whole number of at least 0")
    return value


def _amount(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise _BrokenError(f"{where} has {ascii(value)[:40]}, expected a number of at least 0")
    return float(value)


def _typed(value: object, kind: type, where: str) -> Any:
    if not isinstance(value, kind):
        raise _BrokenError(f"{where} is {type(value).__name__}, expected {kind.__name__}")
    return value


def _json_or_none(text: str, kind: type) -> Any:
    try:
        found = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, kind) else None
