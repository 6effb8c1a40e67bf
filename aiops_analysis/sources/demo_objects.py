"""The Kubernetes objects of the demo as kube-state-metrics shows them, and which targets were up."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from aiops_analysis.core.window import STEP
from aiops_analysis.sources.demo_places import BOUNDS, HPAS
from aiops_analysis.sources.demo_signal import keyed
from aiops_analysis.sources.demo_story import WORKLOADS
from aiops_analysis.sources.demo_timeline import Clock, NodeLife, PodLife, replicasets, resources_of
from aiops_analysis.sources.demo_usage import Track

__all__ = ["KUBE", "VERSION", "Scrapes", "Series", "image_of", "labels_of", "object_families", "text"]

KUBE = STEP  # [s] kube-state-metrics is scraped once a step, in its middle
VERSION = "v1.33.5-eks-113cf36"
_POLICY = {"sidecar": "Always", "init": ""}
_JOB = {"job": "kube-state-metrics", "instance": "10.0.12.40:8080"}
_Families = Iterator[tuple[str, str, Iterable["Series"]]]


@dataclass(frozen=True, slots=True)
class Series:
    """One series over steps ``[begin, end)``: one value for all its scrapes, or an array with one for each."""

    labels: str
    begin: int
    end: int
    values: np.ndarray | float
    slow: bool = False  # scraped every KUBE seconds


@dataclass(frozen=True, slots=True)
class Scrapes:
    """What was scraped: a range of absolute steps, how often, and everything there was in the demo."""

    clock: Clock
    first: int
    last: int
    interval: int
    tracks: tuple[Track, ...]
    pods: tuple[PodLife, ...]
    nodes: tuple[NodeLife, ...]


def text(**labels: str) -> str:
    """Labels between the braces of a series; the demo's own names need no escapes."""
    return ",".join(f'{name}="{value}"' for name, value in labels.items())


def image_of(pod: PodLife, index: int) -> str:
    """The image of a container with its tag."""
    container = pod.workload.containers[index]
    return f"{container.image}:{container.tag or pod.workload.revisions[pod.revision].tag}"


def object_families(scrapes: Scrapes) -> _Families:
    """Every family of kube-state-metrics that the project reads, and ``up``."""
    yield from _pod_families(scrapes.pods)
    yield from _container_families(scrapes.pods)
    yield from _owner_families(scrapes)
    yield from _node_families(scrapes.nodes)
    yield from _scale_families(scrapes)
    yield from _bound_families(scrapes)
    yield "up", "gauge", _up(scrapes)


def _kube(begin: int, end: int, value: np.ndarray | float = 1, /, **labels: str) -> Series:
    return Series(text(**_JOB, **labels), begin, end, value, slow=True)


def _pod(pod: PodLife) -> dict[str, str]:
    return {"namespace": pod.workload.namespace, "pod": pod.name, "uid": pod.uid}


def _pod_families(pods: tuple[PodLife, ...]) -> _Families:
    owner = {"created_by_kind": "<none>", "created_by_name": "<none>"}
    yield (
        "kube_pod_info",
        "gauge",
        (
            _kube(
                p.start,
                p.gone,
                **_pod(p),
                host_ip=p.node.internal_ip,
                node=p.node.name,
                **({"created_by_kind": p.owner_kind, "created_by_name": p.owner_name} if p.owner_kind else owner),
            )
            for p in pods
        ),
    )
    yield (
        "kube_pod_owner",
        "gauge",
        (
            _kube(
                p.start,
                p.gone,
                **_pod(p),
                owner_kind=p.owner_kind or "<none>",
                owner_name=p.owner_name or "<none>",
                owner_is_controller="true" if p.owner_kind else "<none>",
            )
            for p in pods
        ),
    )
    yield "kube_pod_start_time", "gauge", (_kube(p.start, p.gone, p.start * STEP, **_pod(p)) for p in pods)
    yield "kube_pod_completion_time", "gauge", [_kube(p.end, p.gone, p.end * STEP, **_pod(p)) for p in pods if p.gone > p.end]
    yield "kube_pod_status_phase", "gauge", (s for p in pods for s in _phases(p))


def _phases(pod: PodLife) -> Iterator[Series]:
    """Running while it ran; a finished Job's pod is kept a while and no longer runs, though its requests are still shown."""
    yield _kube(pod.start, pod.end, **_pod(pod), phase="Running")
    if pod.gone > pod.end:
        yield _kube(pod.end, pod.gone, 0, **_pod(pod), phase="Running")
        yield _kube(pod.start, pod.end, 0, **_pod(pod), phase="Succeeded")
        yield _kube(pod.end, pod.gone, **_pod(pod), phase="Succeeded")


def _container_families(pods: tuple[PodLife, ...]) -> _Families:
    everyone = [(p, index, container) for p in pods for index, container in enumerate(p.workload.containers)]
    for prefix, mine in (("kube_pod_container", True), ("kube_pod_init_container", False)):
        each = [(p, index, c.name) for p, index, c in everyone if (c.role == "app") == mine]
        yield f"{prefix}_info", "gauge", [_info(p, index, name) for p, index, name in each]
        for kind in ("request", "limit"):
            yield f"{prefix}_resource_{kind}s", "gauge", [s for p, index, name in each for s in _resources(p, index, name, kind)]
    each = [(p, index, c.name) for p, index, c in everyone if c.role == "app"]
    yield "kube_pod_container_status_restarts_total", "counter", (s for p, index, name in each for s in _restarts(p, index, name))
    yield (
        "kube_pod_container_status_last_terminated_reason",
        "gauge",
        (s for p, index, name in each if index == 0 for s in _reasons(p, name)),
    )


def _info(pod: PodLife, index: int, name: str) -> Series:
    image = image_of(pod, index)
    digest = "".join(f"{keyed(image, part):016x}" for part in range(4))
    policy = {} if pod.workload.containers[index].role == "app" else {"restart_policy": _POLICY[pod.workload.containers[index].role]}
    return _kube(
        pod.start,
        pod.gone,
        **_pod(pod),
        container=name,
        image=image,
        image_spec=image,
        image_id=f"{image.rsplit(':', 1)[0]}@sha256:{digest}",
        **policy,
    )


def _resources(pod: PodLife, index: int, name: str, kind: str) -> Iterator[Series]:
    values = resources_of(pod, index)
    for resource, unit in (("cpu", "core"), ("memory", "byte")):
        value = values.get(f"{resource}_{kind}")
        if value is not None:
            shown = value if resource == "cpu" else int(value)
            yield _kube(pod.start, pod.gone, shown, **_pod(pod), container=name, node=pod.node.name, resource=resource, unit=unit)


def _restarts(pod: PodLife, index: int, name: str) -> Iterator[Series]:
    edges = [pod.start, *(pod.restarts if index == 0 else ()), pod.gone]
    for number, (begin, end) in enumerate(pairwise(edges)):
        yield _kube(begin, end, number, **_pod(pod), container=name)


def _reasons(pod: PodLife, name: str) -> Iterator[Series]:
    edges = [*pod.restarts, pod.gone]
    for begin, end in pairwise(edges):
        yield _kube(begin, end, **_pod(pod), container=name, reason="OOMKilled" if begin in pod.kills else "Error")


def _owner_families(scrapes: Scrapes) -> _Families:
    yield (
        "kube_replicaset_owner",
        "gauge",
        (
            _kube(
                start,
                scrapes.last,
                namespace=w.namespace,
                replicaset=name,
                owner_kind=w.kind,
                owner_name=w.name,
                owner_is_controller="true",
            )
            for w, name, start in replicasets(scrapes.clock)
        ),
    )
    yield (
        "kube_job_owner",
        "gauge",
        (
            _kube(
                p.start,
                p.gone,
                namespace=p.workload.namespace,
                job_name=p.owner_name,
                owner_kind="CronJob",
                owner_name=p.workload.name,
                owner_is_controller="true",
            )
            for p in scrapes.pods
            if p.workload.kind == "CronJob"
        ),
    )


def _node_families(nodes: tuple[NodeLife, ...]) -> _Families:
    for which, index in (("capacity", 0), ("allocatable", 1)):
        yield f"kube_node_status_{which}", "gauge", [s for node in nodes for s in _sizes(node, index)]
    yield "kube_node_labels", "gauge", [_kube(n.start, n.end, node=n.name, **_shown(labels_of(n))) for n in nodes]
    yield (
        "kube_node_spec_taint",
        "gauge",
        [_kube(n.start, n.end, node=n.name, key=key, value=value, effect=effect) for n in nodes for key, value, effect in n.spec.taints],
    )
    yield "kube_node_spec_unschedulable", "gauge", [_kube(n.start, n.end, 0, node=n.name) for n in nodes]
    yield (
        "kube_node_info",
        "gauge",
        (_kube(n.start, n.end, node=n.name, kubelet_version=VERSION, provider_id=n.provider_id, internal_ip=n.internal_ip) for n in nodes),
    )


def labels_of(node: NodeLife) -> dict[str, str]:
    """The labels of a node, under their own names."""
    return {
        "eks.amazonaws.com/capacityType": node.spec.capacity_type.upper().replace("-", "_"),
        "eks.amazonaws.com/nodegroup": node.spec.pool,
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": node.name,
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": node.spec.instance_type,
        "topology.kubernetes.io/region": node.spec.zone[:-1],
        "topology.kubernetes.io/zone": node.spec.zone,
    }


def _shown(labels: Mapping[str, str]) -> dict[str, str]:
    """Labels as kube-state-metrics names them."""
    snake = {name: re.sub("([a-z])([A-Z])", r"\1_\2", name).lower() for name in labels}
    return {"label_" + re.sub("[^a-z0-9]", "_", snake[name]): value for name, value in labels.items()}


def _sizes(node: NodeLife, index: int) -> Iterator[Series]:
    sizes = (
        ("cpu", "core", node.spec.cpu[index] / 1000),
        ("memory", "byte", node.spec.memory[index] * 2**20),
        ("pods", "integer", node.spec.pods),
    )
    for resource, unit, value in sizes:
        yield _kube(node.start, node.end, value, node=node.name, resource=resource, unit=unit)


def _scale_families(scrapes: Scrapes) -> _Families:
    first, last = scrapes.clock.first, scrapes.clock.last

    def hpa(value: float, name: str, **labels: str) -> Series:
        h = next(h for h in HPAS if h.name == name)
        return _kube(first, last, value, namespace=h.namespace, horizontalpodautoscaler=h.name, **labels)

    prefix = "kube_horizontalpodautoscaler"
    yield (
        f"{prefix}_info",
        "gauge",
        (
            hpa(1, h.name, scaletargetref_api_version="apps/v1", scaletargetref_kind="Deployment", scaletargetref_name=h.target)
            for h in HPAS
        ),
    )
    yield f"{prefix}_spec_min_replicas", "gauge", (hpa(h.min_replicas, h.name) for h in HPAS)
    yield f"{prefix}_spec_max_replicas", "gauge", (hpa(h.max_replicas, h.name) for h in HPAS)
    yield (
        f"{prefix}_spec_target_metric",
        "gauge",
        (hpa(h.utilization, h.name, metric_name="cpu", metric_target_type="utilization") for h in HPAS),
    )
    for kind, name in (("Deployment", "kube_deployment_spec_replicas"), ("StatefulSet", "kube_statefulset_replicas")):
        yield name, "gauge", [_replicas(scrapes, kind, namespace, workload) for namespace, workload in _named(kind)]


def _bound_families(scrapes: Scrapes) -> _Families:
    first, last = scrapes.clock.first, scrapes.clock.last
    ranges = [b for b in BOUNDS if b.kind == "LimitRange"]
    yield (
        "kube_limitrange",
        "gauge",
        [
            _kube(first, last, b.plain, namespace=b.namespace, limitrange=b.name, resource=b.resource, type=b.scope, constraint=b.field)
            for b in ranges
        ],
    )
    quotas = [(b, b.field.partition(".")) for b in BOUNDS if b.kind == "ResourceQuota"]
    yield (
        "kube_resourcequota",
        "gauge",
        [
            _kube(first, last, b.plain, namespace=b.namespace, resourcequota=b.name, resource=f"{part[0]}.{b.resource}", type=part[2])
            for b, part in quotas
        ],
    )


def _named(kind: str) -> list[tuple[str, str]]:
    return [(w.namespace, w.name) for w in WORKLOADS if w.kind == kind]


def _replicas(scrapes: Scrapes, kind: str, namespace: str, name: str) -> Series:
    """Wanted replicas at each step: the slots that have a pod, a second one of a rollout not counted."""
    first, last = scrapes.clock.first, scrapes.clock.last
    own = [p for p in scrapes.pods if (p.workload.namespace, p.workload.kind, p.workload.name) == (namespace, kind, name)]
    begin = max(min((p.start for p in own), default=last), first)
    filled = np.zeros((max((p.slot for p in own), default=0) + 1, last - first), bool)
    for pod in own:
        filled[pod.slot, max(pod.start - first, 0) : max(pod.end - first, 0)] = True
    came = dict(own[0].workload.later) if own else {}
    for slot in range(own[0].workload.replicas if own else 0):
        since = max(scrapes.clock.at(came[slot]), begin) if slot in came else begin
        filled[slot, since - first :] = True  # a moment without its pod is still wanted
    return _kube(begin, last, filled.sum(axis=0)[begin - first :], namespace=namespace, **{kind.lower(): name})


def _up(scrapes: Scrapes) -> Iterator[Series]:
    for node in scrapes.nodes:
        yield Series(
            text(job="kubelet", instance=f"{node.internal_ip}:10250", metrics_path="/metrics/cadvisor", node=node.name),
            node.start,
            node.end,
            1,
        )
    for job, instance in (("kube-state-metrics", _JOB["instance"]), ("apiserver", "172.31.0.1:443")):
        yield Series(text(job=job, instance=instance), scrapes.clock.first, scrapes.clock.last, 1)
