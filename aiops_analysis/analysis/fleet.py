"""A cluster at one instant as plain data: nodes with their pods, pods by template, and what a template would ask for after changes.

CPU in millicores rounded up, memory in bytes, as in core.bins: whole numbers decide whether a pod fits (methods.md B4).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from aiops_analysis.analysis.allocation import effective
from aiops_analysis.analysis.scheduling import NodeRules, Rules, node_rules, rules_of
from aiops_analysis.core.schema import INVENTORY, NODES, WORKLOADS, check
from aiops_analysis.core.units import cpu_tenths

__all__ = [
    "Changes",
    "Fleet",
    "Key",
    "Node",
    "Pod",
    "Settings",
    "Size",
    "Template",
    "busiest",
    "changes_of",
    "fleet_of",
    "key_text",
    "sizes_of",
]

#: namespace, workload kind, workload.
Key = tuple[str, str, str]
#: Effective request of a pod: millicores, bytes.
Size = tuple[int, int]
#: (namespace, workload kind, workload, container, resource) -> new request [millicores | bytes].
Changes = Mapping[tuple[str, str, str, str, str], int]

#: What the kubelet allows where nothing is set.
_DEFAULT_SLOTS = 110
#: Pods that every node gets its own of: they are taken off its room and are never moved.
_PER_NODE = frozenset({"DaemonSet", "Node"})


@dataclass(frozen=True, slots=True)
class Part:
    """One container of a template."""

    container: str
    role: str  # app | sidecar | init
    cpu: int  # [millicores]
    memory: int  # [bytes]


@dataclass(frozen=True, slots=True)
class Template:
    """Pods of one workload that ask for the same."""

    key: Key
    parts: tuple[Part, ...]
    overhead: Size = (0, 0)
    gpu: int = 0

    @property
    def per_node(self) -> bool:
        """True for what belongs to its node: DaemonSets and static pods."""
        return self.key[1] in _PER_NODE

    def size(self, changes: Changes) -> Size:
        """The effective request with the changes [millicores, bytes]."""
        cpu = effective((p.role, changes.get((*self.key, p.container, "cpu"), p.cpu)) for p in self.parts)
        memory = effective((p.role, changes.get((*self.key, p.container, "memory"), p.memory)) for p in self.parts)
        return cpu + self.overhead[0], memory + self.overhead[1]


@dataclass(frozen=True, slots=True)
class Pod:
    """A running pod; ``template`` is its place in the fleet's templates."""

    name: str
    template: int


@dataclass(frozen=True, slots=True)
class Node:
    """A node with what runs on it; ``own`` are pods of DaemonSets and static pods, ``pods`` all others."""

    name: str
    pool: str
    instance_type: str
    zone: str
    cpu: int  # [millicores] allocatable; so the next two
    memory: int  # [bytes]
    slots: int
    rules: NodeRules  # labels, and the taints of its pool, without those of the moment
    cordoned: bool = False
    provider_id: str = ""
    pods: tuple[Pod, ...] = ()
    own: tuple[Pod, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """What the Kubernetes API said about a workload; ``rules`` is None where nobody could say what binds its pods to nodes."""

    rules: Rules | None = None
    pdb: str = ""
    disruptions: float = math.nan
    surge: float = math.nan


@dataclass(frozen=True, slots=True)
class Fleet:
    """Nodes, templates and settings of one instant; ``homeless`` pods run on nodes that the history does not know."""

    instant: pd.Timestamp
    nodes: tuple[Node, ...] = ()
    templates: tuple[Template, ...] = ()
    settings: Mapping[Key, Settings] = field(default_factory=dict)
    pending: int = 0
    homeless: int = 0
    unsized: tuple[str, ...] = ()  # nodes whose allocatable resources are unknown: left out

    def pools(self) -> dict[str, tuple[Node, ...]]:
        """Nodes by pool, both in order of their names."""
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            found.setdefault(node.pool, []).append(node)
        return {name: tuple(found[name]) for name in sorted(found)}

    def setting(self, key: Key) -> Settings:
        """What is known of a workload."""
        return self.settings.get(key, _UNKNOWN)


_UNKNOWN = Settings()


def key_text(key: Key) -> str:
    """namespace/kind/workload.

    >>> key_text(("todo", "Deployment", "backend"))
    'todo/Deployment/backend'
    """
    return "/".join(key)


def changes_of(recommendations: pd.DataFrame) -> dict[tuple[str, str, str, str, str], int]:
    """The requests that RECOMMENDATIONS would set [millicores | bytes]: rows that change something and that no decision keeps quiet."""
    frame = recommendations
    wanted = frame["change"].isin(["increase", "decrease"]) & (frame["decided"] == "") & (frame["grade"] != "refused")
    out = {}
    for row in frame[wanted & frame["guarded_request"].notna()].itertuples():
        value = millicores(row.guarded_request) if row.resource == "cpu" else whole_bytes(row.guarded_request)
        out[row.namespace, row.workload_kind, row.workload, row.container, row.resource] = value
    return out


def sizes_of(fleet: Fleet, changes: Changes) -> tuple[Size, ...]:
    """The effective request of each template with the changes, in their order."""
    touched = {key[:3] for key in changes}
    return tuple(template.size(changes if template.key in touched else {}) for template in fleet.templates)


def millicores(cores: float) -> int:
    """CPU rounded up to millicores; "not set" asks for nothing."""
    return 0 if math.isnan(cores) else -(-cpu_tenths(cores) // 10)


def whole_bytes(size: float) -> int:
    """Memory rounded up to bytes; "not set" asks for nothing."""
    return 0 if math.isnan(size) else math.ceil(size)


def busiest(inventory: pd.DataFrame, nodes: pd.DataFrame) -> pd.Timestamp | None:
    """The latest instant at which pods ask for the largest share of what the nodes can give, cpu or memory; None without pods.

    Containers count with their own requests: the excess of an init container, which is there for a moment, decides no instant.
    """
    running = inventory[(inventory["role"] != "init") & (inventory["node"] != "")]
    if not len(running):
        return None
    edges = [frame[edge].to_numpy("datetime64[s]") for frame in (running, nodes) if len(frame) for edge in ("first_seen", "last_seen")]
    times = np.unique(np.concatenate(edges))
    share = np.zeros(len(times))
    for resource in ("cpu", "memory"):
        asked = _sums(running, running[f"{resource}_request"].fillna(running[f"{resource}_limit"]), times)
        given = _sums(nodes, nodes[f"{resource}_allocatable"], times)
        share = np.maximum(share, np.divide(asked, given, out=np.zeros(len(times)), where=given > 0))
    if not share.any():  # nothing is known of the nodes or of requests: the instant with the most containers
        share = _sums(running, pd.Series(1.0, index=running.index), times)
    best = np.flatnonzero(share >= share.max() * (1 - 1e-12))[-1]
    return pd.Timestamp(times[best], tz="UTC")


def _sums(frame: pd.DataFrame, values: pd.Series, times: np.ndarray) -> np.ndarray:
    """Sum of the values whose interval [first_seen, last_seen) holds each of the times."""
    amounts = values.fillna(0.0).to_numpy(float)
    total = np.zeros(len(times) + 1)
    for column, sign in (("first_seen", 1.0), ("last_seen", -1.0)):
        np.add.at(total, np.searchsorted(times, frame[column].to_numpy("datetime64[s]")), sign * amounts)
    return np.cumsum(total)[:-1]


def fleet_of(inventory: pd.DataFrame, nodes: pd.DataFrame, workloads: pd.DataFrame, instant: pd.Timestamp) -> Fleet:
    """The fleet of INVENTORY, NODES and WORKLOADS at an instant.

    Pods without a node are pending: they are counted, not packed. A container without a request asks for its limit, as Kubernetes sets it.
    """
    settings = _settings(check(workloads, WORKLOADS))
    there = _at(check(nodes, NODES), instant).drop_duplicates("node", keep="last")
    templates: dict[tuple[Any, ...], int] = {}
    made: list[Template] = []
    on: dict[str, list[Pod]] = {}
    pending = 0
    for (namespace, kind, workload, pod, node), parts in _pods(check(inventory, INVENTORY), instant):
        if not node:
            pending += 1
            continue
        key = (namespace, kind, workload)
        place = templates.setdefault((key, parts), len(made))
        if place == len(made):
            made.append(_template(key, parts, settings.get(key, _UNKNOWN).rules))
        on.setdefault(node, []).append(Pod(pod, place))
    sized = there[(there["cpu_allocatable"] > 0) & (there["memory_allocatable"] > 0)]
    placed = tuple(_node(row, on.pop(row.node, []), made) for row in sized.sort_values("node").itertuples())
    unsized = tuple(sorted(set(there["node"]) - set(sized["node"])))
    return Fleet(instant, placed, tuple(made), settings, pending, sum(map(len, on.values())), unsized)


def _at(frame: pd.DataFrame, instant: pd.Timestamp) -> pd.DataFrame:
    return frame[(frame["first_seen"] <= instant) & (frame["last_seen"] > instant)].sort_values("last_seen", kind="stable")


def _pods(inventory: pd.DataFrame, instant: pd.Timestamp) -> Iterable[tuple[tuple[str, str, str, str, str], tuple[Part, ...]]]:
    """Each pod of the instant with its containers; an init container that is over still counts, it runs again with the next pod."""
    alive = _at(inventory, instant)
    mine = inventory[(inventory["role"] == "init") & inventory["uid"].isin(set(alive["uid"]) - {""})]
    rows = pd.concat([mine, alive]).drop_duplicates(["namespace", "pod", "uid", "container"], keep="last")
    cpu = rows["cpu_request"].fillna(rows["cpu_limit"])
    memory = rows["memory_request"].fillna(rows["memory_limit"])
    columns = ("namespace", "workload_kind", "workload", "pod", "node", "uid", "container", "role")
    found: dict[tuple[str, ...], list[Part]] = {}
    for *about, container, role, c, m in zip(*(rows[name] for name in columns), cpu, memory, strict=True):
        found.setdefault(tuple(about), []).append(Part(container, role, millicores(c), whole_bytes(m)))
    for (namespace, kind, workload, pod, node, _), parts in sorted(found.items()):
        yield (namespace, kind, workload, pod, node), tuple(sorted(parts, key=lambda part: part.container))


def _template(key: Key, parts: tuple[Part, ...], rules: Rules | None) -> Template:
    if rules is None:
        return Template(key, parts)
    return Template(key, parts, (millicores(rules.overhead_cpu), whole_bytes(rules.overhead_memory)), rules.gpu)


def _node(row: Any, pods: Sequence[Pod], templates: Sequence[Template]) -> Node:
    return Node(
        name=row.node,
        pool=row.pool,
        instance_type=row.instance_type,
        zone=row.zone,
        cpu=math.floor(row.cpu_allocatable * 1000 + 1e-6),
        memory=math.floor(row.memory_allocatable),
        slots=_DEFAULT_SLOTS if math.isnan(row.pods_allocatable) else int(row.pods_allocatable),
        rules=node_rules(row.node, row.labels, row.taints, unschedulable=row.unschedulable, zone=row.zone, new=True),
        cordoned=bool(row.unschedulable),
        provider_id=row.provider_id,
        pods=tuple(pod for pod in pods if not templates[pod.template].per_node),
        own=tuple(pod for pod in pods if templates[pod.template].per_node),
    )


def _settings(workloads: pd.DataFrame) -> dict[Key, Settings]:
    newest = workloads.sort_values("last_seen").drop_duplicates(["namespace", "workload_kind", "workload"], keep="last")
    out = {}
    for row in newest.itertuples():
        key = (row.namespace, row.workload_kind, row.workload)
        rules = rules_of(row.scheduling, key_text(key))
        # a text that is empty or broken says nothing at all
        told = not any(text.startswith("scheduling rules") for text in rules.unknown)
        out[key] = Settings(rules if told else None, row.pdb, row.disruptions, row.surge)
    return out


def counted(pods: Iterable[Pod]) -> Counter[int]:
    """Pods by template."""
    return Counter(pod.template for pod in pods)
