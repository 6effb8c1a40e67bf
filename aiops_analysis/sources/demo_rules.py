"""What the Kubernetes API would have told of the demo's workloads: probes, disruption budgets, and the rules that bind pods to nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiops_analysis.core.compact import compact
from aiops_analysis.sources.demo_model import Workload
from aiops_analysis.sources.demo_story import WORKLOADS
from aiops_analysis.sources.demo_timeline import PodLife

__all__ = ["LOOK", "workload_rows"]

#: The step of a day at which the demo's API was asked: 09:00.
LOOK = 108
_ZONE, _POOL = "topology.kubernetes.io/zone", "eks.amazonaws.com/nodegroup"
_MADE = ("Deployment", "StatefulSet", "DaemonSet", "CronJob")


@dataclass(frozen=True, slots=True)
class _Rules:
    """Rules of one workload; ``probes`` are readiness and liveness, ``allowed`` the pods that its budget lets go at once."""

    probes: tuple[bool, bool] = (True, True)
    allowed: int | None = None
    scheduling: Mapping[str, Any] = field(default_factory=dict)
    priority_class: str = ""


_MEDIA: Mapping[str, Any] = {"node_selector": {_POOL: "media"}, "tolerations": [["dedicated", "Equal", "media", "NoSchedule"]]}
_ANALYTICS: Mapping[str, Any] = {
    "node_selector": {_POOL: "analytics"},
    "tolerations": [["dedicated", "Equal", "analytics", "NoSchedule"]],
}
_HERE = {"zones": ["us-east-1a"]}  # an EBS volume stays in its zone
_RULES: Mapping[tuple[str, str], _Rules] = {
    ("todo", "frontend"): _Rules(allowed=1, scheduling={"spread": [{"topology": _ZONE, "skew": 1}]}),
    ("todo", "backend"): _Rules(
        allowed=1, scheduling={"anti_affinity": [{"topology": "kubernetes.io/hostname", "workloads": ["todo/Deployment/backend"]}]}
    ),
    ("todo", "database"): _Rules(scheduling=_HERE),
    # it works on one thing for hours
    ("todo", "worker"): _Rules(probes=(False, True), scheduling={"safe_to_evict": False}),
    ("todo", "nightly-report"): _Rules(probes=(False, False)),
    ("todo", "legacy-export"): _Rules(probes=(False, False)),
    ("shop", "payments"): _Rules(allowed=1),
    ("shop", "catalog"): _Rules(allowed=1),
    ("shop", "thumbnailer"): _Rules(probes=(True, False), scheduling={"local_storage": True}),
    ("shop", "webhooks"): _Rules(probes=(True, False)),
    # both of two pods must be there: nothing that asks may take either
    ("identity", "keycloak"): _Rules(allowed=0),
    ("platform", "node-agent"): _Rules(probes=(False, True), priority_class="system-node-critical"),
    ("platform", "metrics"): _Rules(scheduling=_HERE),
    ("platform", "warehouse"): _Rules(scheduling={"node_selector": {_POOL: "memory"}, **_HERE}),
    ("kube-system", "coredns"): _Rules(allowed=1, priority_class="system-cluster-critical"),
    ("kube-system", "cluster-autoscaler"): _Rules(probes=(False, True), priority_class="system-cluster-critical"),
    ("media", "transcoder"): _Rules(allowed=2, scheduling=_MEDIA),
    ("media", "packager"): _Rules(allowed=1, scheduling=_MEDIA),
    ("media", "captioner"): _Rules(probes=(True, False), scheduling=_MEDIA),
    ("analytics", "query"): _Rules(allowed=1, scheduling=_ANALYTICS),
    ("analytics", "ingest"): _Rules(allowed=1, scheduling=_ANALYTICS),
    ("staging", "smtp"): _Rules(probes=(False, False)),
}


def workload_rows(pods: tuple[PodLife, ...], step: int) -> Iterator[dict[str, Any]]:
    """Rows of WORKLOADS, without their times, of everything that makes pods and was there at an absolute step."""
    for workload in WORKLOADS:
        if workload.kind not in _MADE:
            continue
        running = sum(p.workload is workload and p.start <= step < p.end for p in pods)
        if running or workload.kind == "CronJob":
            yield _row(workload, running or workload.replicas)


def _row(workload: Workload, replicas: int) -> dict[str, Any]:
    rules = _RULES.get((workload.namespace, workload.name), _Rules())
    if workload.namespace == "staging" and workload.name != "smtp":
        rules = _Rules(probes=(True, False))
    said = rules.scheduling
    return {
        "namespace": workload.namespace,
        "workload_kind": workload.kind,
        "workload": workload.name,
        "replicas": float(replicas),
        "readiness": rules.probes[0],
        "liveness": rules.probes[1],
        "pdb": "" if rules.allowed is None else workload.name,
        "affinity": any(name in said for name in ("node_selector", "anti_affinity")),
        "spread": "spread" in said,
        "priority_class": rules.priority_class,
        "vpa": "",
        "vpa_mode": "",
        "java_flags": "",
        "resize_restart": False,
        "scheduling": compact(said),
        "disruptions": float("nan") if rules.allowed is None else float(rules.allowed),
        # a quarter of the pods, rounded up, as a Deployment does when it says nothing else
        "surge": float(-(-replicas // 4)) if workload.kind == "Deployment" and workload.surge else 0.0,
    }
