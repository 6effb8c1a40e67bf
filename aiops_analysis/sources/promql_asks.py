"""Facts that are asked of kube-state-metrics (methods.md K): each one's metric, the labels to keep and what is selected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["FACTS", "JOB_PODS", "RUNS", "Ask"]

_RELABEL = "namespace_workload_pod:kube_pod_owner:relabel"


@dataclass(frozen=True, slots=True)
class Ask:
    """One fact: its metric, the labels to keep (none: all), fixed matchers, whether it has a namespace, and what it is compared with."""

    metric: str
    keep: tuple[str, ...]
    matchers: tuple[str, ...] = ()
    namespaced: bool = True
    compare: str = ""


_CONTROLLER = ('owner_is_controller="true"',)
_HPA = ("namespace", "horizontalpodautoscaler")
#: Facts of a day, each one instant query over it.
FACTS: Mapping[str, Ask] = MappingProxyType(
    {
        "owner": Ask("kube_pod_owner", ("namespace", "pod", "uid", "owner_kind", "owner_name"), _CONTROLLER),
        "replicaset_owner": Ask("kube_replicaset_owner", ("namespace", "replicaset", "owner_kind", "owner_name"), _CONTROLLER),
        "job_owner": Ask("kube_job_owner", ("namespace", "job_name", "owner_kind", "owner_name"), _CONTROLLER),
        "workload_relabel": Ask(_RELABEL, ("namespace", "pod", "workload", "workload_type")),
        "images": Ask("kube_pod_container_info", ("namespace", "pod", "uid", "container", "image", "image_spec", "image_id")),
        "init_images": Ask("kube_pod_init_container_info", ("namespace", "pod", "uid", "container", "image", "restart_policy")),
        "gpus": Ask("kube_pod_container_resource_requests", ("namespace", "pod", "uid", "container"), ('resource=~".*gpu.*"',)),
        "pod_info": Ask("kube_pod_info", ("namespace", "pod", "uid", "node")),
        "node_labels": Ask("kube_node_labels", (), namespaced=False),
        "node_info": Ask("kube_node_info", ("node", "provider_id", "kubelet_version", "os_image"), namespaced=False),
        "hpa_info": Ask("kube_horizontalpodautoscaler_info", (*_HPA, "scaletargetref_kind", "scaletargetref_name")),
    }
)
#: What only pods of Jobs are asked, each one instant query over a day; they are kept short by the owner (methods.md A9).
JOB_PODS = ("run_cpu", "run_memory", "run_start", "run_end", "run_outcome")
_UNIT = ('unit=~"core|byte"',)
_RESOURCES = ("namespace", "pod", "uid", "container", "node", "resource")
_NODE = (("node", "resource", "unit"), ('resource=~"cpu|memory|pods"',))
#: Facts that change within a day, each one range query.
RUNS: Mapping[str, Ask] = MappingProxyType(
    {
        "requests": Ask("kube_pod_container_resource_requests", _RESOURCES, _UNIT),
        "limits": Ask("kube_pod_container_resource_limits", _RESOURCES, _UNIT),
        "init_requests": Ask("kube_pod_init_container_resource_requests", _RESOURCES, _UNIT),
        "init_limits": Ask("kube_pod_init_container_resource_limits", _RESOURCES, _UNIT),
        "limit_ranges": Ask("kube_limitrange", ("namespace", "limitrange", "resource", "type", "constraint"), ('resource=~"cpu|memory"',)),
        "quotas": Ask("kube_resourcequota", ("namespace", "resourcequota", "resource", "type"), ('resource=~"(.+[.])?(cpu|memory)"',)),
        "phase": Ask("kube_pod_status_phase", ("namespace", "pod", "uid"), ('phase=~"Pending|Running"',), compare=" == 1"),
        "node_allocatable": Ask("kube_node_status_allocatable", *_NODE, namespaced=False),
        "node_capacity": Ask("kube_node_status_capacity", *_NODE, namespaced=False),
        "node_taints": Ask("kube_node_spec_taint", ("node", "key", "value", "effect"), namespaced=False),
        "node_cordoned": Ask("kube_node_spec_unschedulable", ("node",), namespaced=False),
        "hpa_min": Ask("kube_horizontalpodautoscaler_spec_min_replicas", _HPA),
        "hpa_max": Ask("kube_horizontalpodautoscaler_spec_max_replicas", _HPA),
        "hpa_target": Ask("kube_horizontalpodautoscaler_spec_target_metric", (*_HPA, "metric_name", "metric_target_type")),
        "targets": Ask("up", ("job",), namespaced=False, compare=" == 1"),
    }
)
