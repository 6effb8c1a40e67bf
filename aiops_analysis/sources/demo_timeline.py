"""From the story of the demo to its timeline: each node's and pod's life, and what each container used at every step.

Times here are absolute steps (epoch seconds / 300); a life is half-open, ``[start, end)``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from aiops_analysis.core.window import STEP
from aiops_analysis.sources.demo_model import Moment, Node, Revision, Workload
from aiops_analysis.sources.demo_places import NODES, RECLAIMED, REMOVED
from aiops_analysis.sources.demo_signal import keyed, letters
from aiops_analysis.sources.demo_story import WORKLOADS

__all__ = ["Clock", "NodeLife", "PodLife", "node_lives", "pod_lives", "qos_of", "replicasets", "resources_of"]

_DAY = 288
_FOREVER = 400 * _DAY
_KEPT_JOBS = 3  # successfulJobsHistoryLimit
_MOVED = 1  # steps until pods of a lost node run on its successor


@dataclass(frozen=True, slots=True)
class Clock:
    """The demo's window ``[first, last)`` in absolute steps, and the seed of everything in it."""

    seed: int
    first: int
    last: int

    def at(self, moment: Moment) -> int:
        """The absolute step of a moment of the story."""
        return self.last - moment.days_ago * _DAY + moment.step


@dataclass(frozen=True, slots=True)
class NodeLife:
    """One node from its start to its end."""

    place: int
    spec: Node
    name: str
    provider_id: str
    internal_ip: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class PodLife:
    """One pod: who owns it, where it ran, and ``gone``, when the API server forgot it."""

    workload: Workload
    slot: int
    revision: int  # index in the workload's revisions
    name: str
    uid: str
    node: NodeLife
    owner_kind: str
    owner_name: str
    start: int
    end: int
    gone: int
    restarts: tuple[int, ...] = ()  # steps at which a container was started again
    kills: tuple[int, ...] = ()  # those of them after a kill for memory

    @property
    def hot(self) -> int:
        """This pod's share of the load, in thousandths of an even one."""
        return self.workload.hot[self.slot % len(self.workload.hot)]


def resources_of(pod: PodLife, index: int) -> dict[str, float]:
    """cpu_request, cpu_limit [cores], memory_request, memory_limit [bytes] of a pod's container, without what is not set."""
    container = pod.workload.containers[index]
    changed = pod.workload.revisions[pod.revision]
    memory = changed.memory if changed.memory is not None and index == 0 else container.memory
    cpu = changed.cpu if changed.cpu is not None and index == 0 else container.cpu
    values = {
        "cpu_request": None if cpu[0] is None else cpu[0] / 1000,
        "cpu_limit": None if cpu[1] is None else cpu[1] / 1000,
        "memory_request": None if memory[0] is None else float(memory[0] * 2**20),
        "memory_limit": None if memory[1] is None else float(memory[1] * 2**20),
    }
    return {name: value for name, value in values.items() if value is not None}


def qos_of(pod: PodLife) -> str:
    """The QoS class that Kubernetes gives to a pod with these requests and limits."""
    each = [resources_of(pod, index) for index in range(len(pod.workload.containers))]
    if not any(each):
        return "BestEffort"
    equal = all(
        f"{resource}_limit" in values and values.get(f"{resource}_request") == values[f"{resource}_limit"]
        for values in each
        for resource in ("cpu", "memory")
    )
    return "Guaranteed" if equal else "Burstable"


def node_lives(clock: Clock) -> tuple[NodeLife, ...]:
    """Every node that was there in the window; one place had two, one lost its node."""
    lives = []
    lost_place, lost_at, old_address = RECLAIMED
    for place, spec in enumerate(NODES):
        born = clock.first - 90 * _DAY
        spans = [(spec.address, born, clock.last + _FOREVER)]
        if place == lost_place:
            lost = clock.at(lost_at)
            spans = [(old_address, born, lost), (spec.address, lost + _MOVED, clock.last + _FOREVER)]
        if place == REMOVED[0]:
            spans = [(spec.address, born, clock.at(REMOVED[1]))]
        for address, start, end in spans:
            if end > clock.first:
                instance = f"i-0{keyed(clock.seed, 'node', address):016x}"
                provider_id = f"aws:///{spec.zone}/{instance}"
                lives.append(NodeLife(place, spec, f"ip-{address}.ec2.internal", provider_id, address.replace("-", "."), start, end))
    return tuple(lives)


def pod_lives(clock: Clock) -> tuple[PodLife, ...]:
    """Every pod that was there in the window, by workload."""
    nodes = node_lives(clock)
    out: list[PodLife] = []
    for workload in WORKLOADS:
        spans = _spans(clock, workload) if workload.runs_at is None else _runs(clock, workload)
        out += [_pod(clock, workload, nodes, *span) for span in spans if max(span[2], clock.first) < min(span[3], clock.last)]
    return tuple(out)


def _rolled(clock: Clock, revision: Revision) -> int:
    return clock.first - _FOREVER if revision.at is None else clock.at(revision.at)


def _spans(clock: Clock, workload: Workload) -> Iterator[tuple[int, str, int, int]]:
    """Slot, name's key, start and end of each pod in each slot, in turn: a rollout, an eviction or a lost node ends one."""
    surge = 1 if workload.kind == "Deployment" and workload.surge else 0
    later = dict(workload.later)
    for slot in range(workload.replicas):
        key = keyed(clock.seed, workload.namespace, workload.name, slot, "born")
        start = clock.first - (20 + key % 40) * _DAY - key % 251 if workload.since is None else clock.at(workload.since) + slot
        start = clock.at(later[slot]) if slot in later else start
        cuts = [(_rolled(clock, r) + slot, surge, 0) for r in workload.revisions if r.at is not None]
        cuts += [(clock.at(moment), 0, 0) for lost, moment in workload.evictions if lost == slot]
        if workload.nodes[slot % len(workload.nodes)] == RECLAIMED[0]:
            cuts.append((clock.at(RECLAIMED[1]), 0, _MOVED))
        if workload.nodes[slot % len(workload.nodes)] == REMOVED[0]:
            cuts.append((clock.at(REMOVED[1]), 0, 0))
        for number, (cut, over, gap) in enumerate(sorted(cuts)):
            yield slot, f"{slot}.{number}", start, cut + over
            start = max(start, cut + gap)
        yield slot, f"{slot}.{len(cuts)}", start, clock.last + _FOREVER
    yield from _added(clock, workload)


def _added(clock: Clock, workload: Workload) -> Iterator[tuple[int, str, int, int]]:
    """Pods that the HPA added for some hours of a day."""
    for day in range(clock.first // _DAY, clock.last // _DAY):
        for number, (weekdays, first, last) in enumerate(workload.extra):
            if (day + 3) % 7 in weekdays:
                key = keyed(clock.seed, workload.name, day, number)
                yield workload.replicas + number, f"{number}@{day}", day * _DAY + first + key % 5, day * _DAY + last + key % 7


def _runs(clock: Clock, workload: Workload) -> Iterator[tuple[int, str, int, int]]:
    """The runs of a CronJob, one a night, or of a Job: 25 to 40 minutes long; those whose pods are still kept count too."""
    assert workload.runs_at is not None
    days = [clock.last // _DAY - ago for ago in workload.runs_on] or range(clock.first // _DAY, clock.last // _DAY)
    for day in days:
        start = day * _DAY + workload.runs_at
        yield 0, str(day), start, start + 5 + keyed(clock.seed, workload.name, day) % 4


def _pod(clock: Clock, workload: Workload, nodes: tuple[NodeLife, ...], slot: int, life: str, start: int, end: int) -> PodLife:
    place = workload.nodes[slot % len(workload.nodes)]
    if place == REMOVED[0] and start >= clock.at(REMOVED[1]):
        place = workload.refuge[slot % len(workload.refuge)]
    node = next(n for n in nodes if n.place == place and n.start <= max(start, clock.first) < n.end)
    late = slot if slot < workload.replicas else 0
    revision = max(i for i, r in enumerate(workload.revisions) if _rolled(clock, r) + late <= start or i == 0)
    owner_kind, owner_name, name = _names(clock, workload, slot, revision, life, start)
    restarts = sorted(clock.at(moment) for hit, moment in (*workload.kills, *workload.crashes) if hit == slot)
    kills = {clock.at(moment) for hit, moment in workload.kills if hit == slot}
    seen = tuple(step for step in restarts if max(start, clock.first) < step < min(end, clock.last))
    return PodLife(
        workload=workload,
        slot=slot,
        revision=revision,
        name=name,
        uid=_uid(clock, workload, life),
        node=node,
        owner_kind=owner_kind,
        owner_name=owner_name,
        start=start,
        end=end,
        gone=end + _KEPT_JOBS * _DAY if workload.runs_at is not None else end,
        restarts=seen,
        kills=tuple(step for step in seen if step in kills),
    )


def _names(clock: Clock, workload: Workload, slot: int, revision: int, life: str, start: int) -> tuple[str, str, str]:
    """Kind and name of the pod's controller, and its own name, as Kubernetes makes them."""
    mine = (clock.seed, workload.namespace, workload.name)
    tail = letters(5, *mine, "pod", life)
    if workload.kind == "Deployment":
        replicaset = _replicaset(clock, workload, revision)
        return "ReplicaSet", replicaset, f"{replicaset}-{tail}"
    if workload.kind == "StatefulSet":
        return "StatefulSet", workload.name, f"{workload.name}-{slot}"
    if workload.kind == "CronJob":
        job = f"{workload.name}-{start * STEP // 60}"
        return "Job", job, f"{job}-{tail}"
    if workload.kind == "Job":
        return "Job", workload.name, f"{workload.name}-{tail}"
    if workload.kind == "DaemonSet":
        return "DaemonSet", workload.name, f"{workload.name}-{tail}"
    return "", "", workload.name


def _replicaset(clock: Clock, workload: Workload, revision: int) -> str:
    return f"{workload.name}-{letters(9, clock.seed, workload.namespace, workload.name, 'replicaset', revision)}"


def replicasets(clock: Clock) -> Iterator[tuple[Workload, str, int]]:
    """Every ReplicaSet with its Deployment and the step at which it appeared; old ones are kept."""
    for workload in WORKLOADS:
        if workload.kind == "Deployment":
            born = clock.first - _DAY if workload.since is None else clock.at(workload.since)
            for number, revision in enumerate(workload.revisions):
                yield workload, _replicaset(clock, workload, number), born if revision.at is None else clock.at(revision.at)


def _uid(clock: Clock, workload: Workload, life: str) -> str:
    digest = hashlib.blake2b(f"{clock.seed}/{workload.namespace}/{workload.name}/{life}".encode(), digest_size=16).hexdigest()
    return "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:]))
