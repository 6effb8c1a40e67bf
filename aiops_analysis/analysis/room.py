"""Free room on the nodes that there are, and which pods of a manifest fit into it (methods.md B4).

Free = allocatable - effective requests of what runs. Whole numbers: millicores rounded up, bytes. Pods are placed one after the other,
the largest first, each on the node that it leaves the least room on; nothing that runs is moved.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from aiops_analysis.analysis.allocation import init_extra
from aiops_analysis.core.manifest import Asked, Term
from aiops_analysis.core.schema import INVENTORY, NODES, check

__all__ = ["Placement", "Room", "allowed", "at_end", "place", "present", "requests_of_pods", "rooms", "unknown_rules"]

_OWNER = ["namespace", "workload_kind", "workload"]
_POD = ["namespace", "pod", "uid"]
_SLOTS = 110  # pods of a node that does not say it: the kubelet's own default
_NO_SELECTION = "not matched by the node selector or affinity"


@dataclass(frozen=True, slots=True)
class Room:
    """What is free on one node, and what binds pods to it."""

    node: str
    pool: str
    cpu: int  # [millicores] free
    memory: int  # [bytes] free
    slots: int  # pods that the kubelet still takes
    labels: Mapping[str, str]
    all_labels: bool  # every label is known, not only those that NODES has columns for
    taints: tuple[tuple[str, str, str], ...] | None  # key, value, effect; None when unknown
    cordoned: bool
    host: frozenset[tuple[str, str, str]] = frozenset()  # workloads of the manifests that have a pod here


@dataclass(frozen=True, slots=True)
class Placement:
    """Where pods of one workload fit."""

    wanted: int
    placed: int
    why: str = ""  # one sentence when some fit nowhere
    nodes: tuple[str, ...] = field(default=())  # of the placed pods


def at_end(inventory: pd.DataFrame) -> pd.DataFrame:
    """INVENTORY of the pods that are there at its newest moment."""
    frame = check(inventory, INVENTORY)
    return frame[frame["last_seen"] == frame["last_seen"].max()].reset_index(drop=True)


def present(nodes: pd.DataFrame) -> pd.DataFrame:
    """NODES at their newest moment, one row a node."""
    frame = check(nodes, NODES)
    newest = frame[frame["last_seen"] == frame["last_seen"].max()]
    return newest.sort_values("first_seen", kind="stable").drop_duplicates("node", keep="last").sort_values("node").reset_index(drop=True)


def requests_of_pods(inventory: pd.DataFrame) -> pd.DataFrame:
    """One row per pod: namespace, workload_kind, workload, pod, uid, node, cpu [cores] and memory [bytes] that it reserves.

    A limit stands for a request that is not set, as Kubernetes does; where neither is set nothing is reserved.
    """
    frame = check(inventory, INVENTORY)
    asked = frame.assign(
        cpu_request=frame["cpu_request"].fillna(frame["cpu_limit"]).fillna(0.0),
        memory_request=frame["memory_request"].fillna(frame["memory_limit"]).fillna(0.0),
    )
    running = asked.assign(cpu=asked["cpu_request"].where(asked["role"] != "init", 0.0))
    running = running.assign(memory=asked["memory_request"].where(asked["role"] != "init", 0.0))
    each = running.groupby([*_OWNER, "pod", "uid", "node"], as_index=False, sort=True)[["cpu", "memory"]].sum()
    extra = init_extra(asked)[[*_POD, "cpu_request", "memory_request"]]
    both = each.merge(extra, on=_POD, how="left")
    return each.assign(
        cpu=both["cpu"] + both["cpu_request"].astype("float64").fillna(0.0),
        memory=both["memory"] + both["memory_request"].astype("float64").fillna(0.0),
    )


def rooms(nodes: pd.DataFrame, pods: pd.DataFrame, without: Collection[tuple[str, str, str]] = ()) -> list[Room]:
    """Free room by node of ``present(nodes)``; pods of the workloads ``without`` (namespace, kind, name) are taken to be gone."""
    gone = set(without)
    stays = [key not in gone for key in zip(*(pods[name] for name in _OWNER), strict=True)]
    there = pods[stays] if len(pods) else pods
    used: dict[str, tuple[int, int, int]] = {}
    for row in there.itertuples():
        cpu, memory, count = used.get(row.node, (0, 0, 0))
        used[row.node] = cpu + _milli(row.cpu), memory + math.ceil(row.memory), count + 1
    found = []
    for row in nodes.itertuples():
        if not (row.cpu_allocatable > 0 and row.memory_allocatable > 0):
            continue  # a node that does not say what it offers offers nothing that could be promised
        cpu, memory, count = used.get(row.node, (0, 0, 0))
        slots = int(row.pods_allocatable) if math.isfinite(row.pods_allocatable) else _SLOTS
        labels, whole = _labels(row)
        found.append(
            Room(
                node=row.node,
                pool=row.pool,
                cpu=math.floor(row.cpu_allocatable * 1000 + 1e-6) - cpu,
                memory=math.floor(row.memory_allocatable) - memory,
                slots=slots - count,
                labels=labels,
                all_labels=whole,
                taints=_taints(row.taints),
                cordoned=bool(row.unschedulable),
            )
        )
    return found


def _milli(cores: float) -> int:
    return math.ceil(cores * 1000 - 1e-6)


def _labels(row: object) -> tuple[dict[str, str], bool]:
    """Labels of a row of NODES, and whether they are all: without them those that have a column."""
    text = str(getattr(row, "labels", ""))
    try:
        found = json.loads(text) if text else None
    except ValueError:
        found = None
    if isinstance(found, dict):
        return {key: value for key, value in found.items() if isinstance(value, str)}, True
    columns = {
        "kubernetes.io/hostname": "node",
        "node.kubernetes.io/instance-type": "instance_type",
        "topology.kubernetes.io/region": "region",
        "topology.kubernetes.io/zone": "zone",
    }
    return {label: value for label, column in columns.items() if (value := str(getattr(row, column)))}, False


def _taints(text: str) -> tuple[tuple[str, str, str], ...] | None:
    try:
        found = json.loads(text) if text else None
    except ValueError:
        return None
    if not isinstance(found, list) or not all(isinstance(one, list) and len(one) == 3 for one in found):
        return None
    return tuple((str(key), str(value), str(effect)) for key, value, effect in found)


def allowed(asked: Asked, room: Room) -> str:
    """Why a node is closed to a pod, "" when it is open or nobody knows."""
    if asked.node_name and asked.node_name != room.node:
        return "not the node that it names"
    if room.cordoned and asked.kind != "DaemonSet":
        return "cordoned"
    if not all(_holds((key, "In", (value,)), room) for key, value in asked.node_selector.items()):
        return _NO_SELECTION
    if asked.affinity and not any(all(_holds(rule, room) for rule in term) for term in asked.affinity):
        return _NO_SELECTION
    for taint in room.taints or ():
        if taint[2] in ("NoSchedule", "NoExecute") and not any(_tolerates(one, taint) for one in _tolerations(asked)):
            return "tainted"
    return ""


def _tolerations(asked: Asked) -> Sequence[tuple[str, str, str, str]]:
    """A DaemonSet's controller adds some of its own."""
    own = ("node.kubernetes.io/unschedulable", "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
    pressure = ("node.kubernetes.io/disk-pressure", "node.kubernetes.io/memory-pressure", "node.kubernetes.io/pid-pressure")
    given = [(key, "Exists", "", "") for key in (*own, *pressure)] if asked.kind == "DaemonSet" else []
    return [*asked.tolerations, *given]


def _tolerates(toleration: tuple[str, str, str, str], taint: tuple[str, str, str]) -> bool:
    key, operator, value, effect = toleration
    if effect and effect != taint[2]:
        return False
    if operator == "Exists":
        return key in ("", taint[0])
    return key == taint[0] and value == taint[1]


def _holds(rule: Term, room: Room) -> bool:
    """Whether a rule holds on a node; one about a label that nobody knows counts as if."""
    key, operator, values = rule
    there = room.node if key == "metadata.name" else room.labels.get(key)
    if there is None and not room.all_labels:
        return True
    match operator:
        case "In":
            return there in values
        case "NotIn":
            return there not in values
        case "Exists":
            return there is not None
        case "DoesNotExist":
            return there is None
        case "Gt" | "Lt":
            return there is not None and _compared(operator, there, values)
    return False


def _compared(operator: str, there: str, values: Sequence[str]) -> bool:
    try:
        mine, given = int(there), int(values[0])
    except (ValueError, IndexError):
        return False
    return mine > given if operator == "Gt" else mine < given


def unknown_rules(asked: Asked, among: Sequence[Room]) -> Iterator[str]:
    """What could keep its pods from a node and is not known, in words."""
    yield from asked.unchecked
    keys = {*asked.node_selector, *(rule[0] for term in asked.affinity for rule in term)} - {"metadata.name"}
    if any(key not in room.labels for room in among if not room.all_labels for key in keys):
        yield "labels of the nodes"
    if any(room.taints is None for room in among):
        yield "taints of the nodes"


def place(asked: Sequence[tuple[Asked, int]], free: Sequence[Room]) -> dict[tuple[str, str, str], Placement]:
    """Placement by workload of so many pods each; a DaemonSet has one on every node that is open to it, whatever the number says."""
    largest = max((room.cpu for room in free), default=1), max((room.memory for room in free), default=1)
    left = list(free)
    found: dict[tuple[str, str, str], Placement] = {}
    for one, count in sorted(asked, key=lambda pair: _order(pair[0], largest)):
        found[one.key] = _everywhere(one, left) if one.kind == "DaemonSet" else _placed(one, count, left)
    return found


def _order(one: Asked, largest: tuple[int, int]) -> tuple[bool, float, tuple[str, str, str]]:
    """DaemonSets first, as they are on every node anyway, then the largest."""
    share = max(_milli(one.cpu) / max(largest[0], 1), one.memory / max(largest[1], 1))
    return one.kind != "DaemonSet", -share, one.key


def _everywhere(one: Asked, left: list[Room]) -> Placement:
    open_to_it = [number for number, room in enumerate(left) if not allowed(one, room)]
    short = [number for number in open_to_it if _lacks(one, left[number])]
    for number in open_to_it:
        if number not in short:
            left[number] = _taken(one, left[number])
    why = f"no room for its pod on {len(short)} of {len(open_to_it)} nodes ({_reasons(one, [left[i] for i in short])})" if short else ""
    names = tuple(left[number].node for number in open_to_it if number not in short)
    return Placement(len(open_to_it), len(names), why, names)


def _placed(one: Asked, count: int, left: list[Room]) -> Placement:
    names: list[str] = []
    closed = [bool(allowed(one, room)) for room in left]
    while len(names) < count:
        fitting = [number for number, room in enumerate(left) if not closed[number] and not _lacks(one, room)]
        if not fitting:
            break
        best = min(fitting, key=lambda number: (_after(one, left[number]), left[number].node))
        names.append(left[best].node)
        left[best] = _taken(one, left[best])
    missing = count - len(names)
    why = f"{missing} of {count} pods fit on none of the {len(left)} nodes ({_reasons(one, left)})" if missing else ""
    return Placement(count, len(names), why, tuple(names))


def _lacks(one: Asked, room: Room) -> str:
    """What a node has too little of for one more pod, "" when it fits."""
    if one.alone and one.key in room.host:
        return "has one of its pods already"
    short = [name for name, asks, has in (("CPU", _milli(one.cpu), room.cpu), ("memory", math.ceil(one.memory), room.memory)) if asks > has]
    if short:
        return f"too little {' and '.join(short)}"
    return "" if room.slots >= 1 else "no pod slot"


def _after(one: Asked, room: Room) -> float:
    """How much of a node's free room a pod leaves."""
    return (room.cpu - _milli(one.cpu)) / max(room.cpu, 1) + (room.memory - one.memory) / max(room.memory, 1)


def _taken(one: Asked, room: Room) -> Room:
    return replace(
        room,
        cpu=room.cpu - _milli(one.cpu),
        memory=room.memory - math.ceil(one.memory),
        slots=room.slots - 1,
        host=room.host | {one.key},
    )


def _reasons(one: Asked, left: Sequence[Room]) -> str:
    counts = Counter(allowed(one, room) or _lacks(one, room) for room in left)
    return ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
