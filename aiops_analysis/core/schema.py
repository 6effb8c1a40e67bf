"""Contracts of the frames that cross a floor: columns, types, unit, key (design.md section 3).

Units are in brackets: cpu in cores, memory in bytes, shares 0-1, money in the report's currency, times in UTC.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from aiops_analysis.core.contract import Contract, Metric, blank, check, empty
from aiops_analysis.core.errors import SchemaError

__all__ = [
    "BOUNDS",
    "BURST",
    "CHANGES",
    "FACTS",
    "GRADES",
    "GROUP",
    "HPAS",
    "INVENTORY",
    "KEY",
    "LABELS",
    "METRICS",
    "NODES",
    "RECOMMENDATIONS",
    "RESOURCES",
    "RUNS",
    "USAGE",
    "WEEKLY_CONTAINERS",
    "WEEKLY_POOLS",
    "WORKLOADS",
    "Contract",
    "Metric",
    "blank",
    "check",
    "empty",
    "row_id",
]

#: Labels of one series-day, in their stored order.
LABELS = ("namespace", "workload_kind", "workload", "pod", "container")
#: What one recommendation is about, without the resource.
GROUP = ("namespace", "workload_kind", "workload", "container")
#: The key of a recommendation; its id is made of it.
KEY = ("cluster", "namespace", "workload_kind", "workload", "container", "resource")
RESOURCES = ("cpu", "memory")
GRADES = ("high", "medium", "low", "refused")
CHANGES = ("keep", "decrease", "increase", "undetermined")

#: Matrices of the history, 288 steps a day.
METRICS: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric("cpu_usage", "cores", "mean CPU of each step"),
        Metric("memory_working_set", "bytes", "largest working set of each step"),
        Metric("cpu_throttled", "periods", "throttled CFS periods in each step"),
        Metric("cpu_periods", "periods", "CFS periods in each step"),
        Metric("restarts", "restarts", "container restarts in each step", sparse=True),
        Metric("oom_kills", "kills", "containers killed for memory in each step", sparse=True),
    )
}

_TIME = "datetime64[s, UTC]"

#: One row per run of equal facts of one container of one pod. Requests and limits: NaN is "not set".
INVENTORY = Contract(
    "inventory",
    {
        "namespace": "str",
        "pod": "str",
        "uid": "str",
        "container": "str",
        "role": "str",  # app | sidecar (a native one: an init container that keeps running) | init
        "workload_kind": "str",
        "workload": "str",
        "scope": "str",  # why the container is not sized at all (GPU, Windows), "" when it is
        "revision": "str",  # the pod's direct owner (ReplicaSet, Job, ...): another one is another pod template; "" when unknown
        "node": "str",
        "image": "str",
        "qos": "str",  # Guaranteed | Burstable | BestEffort | ""
        "cpu_request": "float64",  # [cores]
        "cpu_limit": "float64",  # [cores]
        "memory_request": "float64",  # [bytes]
        "memory_limit": "float64",  # [bytes]
        "first_seen": _TIME,  # start of the first step seen
        "last_seen": _TIME,  # end of the last step seen
    },
)

#: One row per run of equal facts of one node.
NODES = Contract(
    "nodes",
    {
        "node": "str",
        "pool": "str",
        "instance_type": "str",
        "region": "str",
        "zone": "str",
        "capacity_type": "str",  # on-demand | spot | ""
        "provider_id": "str",
        "version": "str",  # of the kubelet, such as v1.33.5, "" when unknown
        "cpu_capacity": "float64",  # [cores]
        "cpu_allocatable": "float64",  # [cores]
        "memory_capacity": "float64",  # [bytes]
        "memory_allocatable": "float64",  # [bytes]
        "pods_allocatable": "float64",
        "labels": "str",  # JSON object of all labels, "" when the source does not tell them
        "taints": "str",  # JSON list of [key, value, effect], "" when unknown
        "unschedulable": "bool",  # cordoned
        "first_seen": _TIME,
        "last_seen": _TIME,
    },
)

#: One row per run of equal facts of one metric of one HorizontalPodAutoscaler.
HPAS = Contract(
    "hpas",
    {
        "namespace": "str",
        "hpa": "str",
        "target_kind": "str",
        "target": "str",
        "metric": "str",  # cpu | memory | another metric's name | "" when the server does not say
        "target_value": "float64",  # utilisation in percent or a plain value
        "target_type": "str",  # utilization | average | value | ""
        "min_replicas": "float64",
        "max_replicas": "float64",
        "first_seen": _TIME,
        "last_seen": _TIME,
    },
)

#: One row per series-day: the short bursts that a 5-minute mean hides (only for the limit guard, methods.md A7).
BURST = Contract(
    "burst",
    {
        "namespace": "str",
        "workload_kind": "str",
        "workload": "str",
        "pod": "str",
        "container": "str",
        "cpu_max": "float64",  # [cores] largest rate[2m] of the day at 1 min
        "cpu_p999": "float64",  # [cores] its P99.9
    },
)

#: One row per container of one pod of a Job: the unit in which jobs are measured (methods.md A9).
RUNS = Contract(
    "runs",
    {
        "namespace": "str",
        "workload_kind": "str",  # CronJob where one owns the Job, else Job
        "workload": "str",
        "job": "str",
        "pod": "str",
        "container": "str",
        "start": _TIME,  # start of the first step seen
        "end": _TIME,  # end of the last step seen
        "cpu_seconds": "float64",  # [core seconds] last value of its counters, summed over restarts
        "memory_max": "float64",  # [bytes] its largest working set
        "outcome": "str",  # succeeded | failed | running | "" when unknown
    },
)

#: What a namespace allows: one row per run of equal values of one field of a LimitRange or ResourceQuota.
BOUNDS = Contract(
    "bounds",
    {
        "namespace": "str",
        "kind": "str",  # LimitRange | ResourceQuota
        "name": "str",
        "scope": "str",  # Container | Pod | "" (quota)
        "resource": "str",  # cpu | memory
        # min | max | default | defaultRequest | maxLimitRequestRatio; of a quota requests.hard | requests.used | limits.hard | limits.used
        "field": "str",
        "value": "float64",  # [cores | bytes], or a ratio
        "first_seen": _TIME,
        "last_seen": _TIME,
    },
)

#: One row per run of equal settings of one workload that only the Kubernetes API tells; a workload without a row is "not assessed".
WORKLOADS = Contract(
    "workloads",
    {
        "namespace": "str",
        "workload_kind": "str",
        "workload": "str",
        "replicas": "float64",  # wanted
        "readiness": "bool",  # every app container has a readiness probe; so the next for liveness
        "liveness": "bool",
        "pdb": "str",  # name of a PodDisruptionBudget that selects its pods, "" without
        "affinity": "bool",  # has node or pod (anti-)affinity or a node selector
        "spread": "bool",  # has topology spread constraints
        "priority_class": "str",
        "vpa": "str",  # name of a VerticalPodAutoscaler that targets it, "" without
        "vpa_mode": "str",  # Off | Initial | Recreate | InPlaceOrRecreate | Auto | ""
        "java_flags": "str",  # heap flags found in command, args or environment (-Xmx, -XX:MaxRAMPercentage), "" without
        "resize_restart": "bool",  # a container's resizePolicy asks for a restart
        "scheduling": "str",  # JSON of the rules that bind its pods to nodes (analysis/scheduling.py), "" when unknown
        "disruptions": "float64",  # pods that its PodDisruptionBudget lets go at once, NaN without one
        "surge": "float64",  # pods above the wanted ones during a rollout
        "first_seen": _TIME,
        "last_seen": _TIME,
    },
)

#: One row per UTC ISO week, workload-container and resource; kept after days are pruned.
WEEKLY_CONTAINERS = Contract(
    "weekly containers",
    {
        "week": "str",  # ISO date of its Monday
        "namespace": "str",
        "workload_kind": "str",
        "workload": "str",
        "container": "str",
        "resource": "str",
        "days": "int64",  # days of the week with samples
        "p50": "float64",  # [cores | bytes]
        "p95": "float64",
        "p99": "float64",
        "max": "float64",
        "request": "float64",  # [cores | bytes] of one pod, time-weighted mean, NaN is "not set"
        "pod_hours": "float64",
    },
    ("week", "namespace", "workload_kind", "workload", "container", "resource"),
)

#: One row per UTC ISO week, node pool and resource: weekly P95 of the hourly maximum of the pool's sum, and its mean (methods.md C1).
WEEKLY_POOLS = Contract(
    "weekly pools",
    {
        "week": "str",
        "pool": "str",
        "resource": "str",
        "days": "int64",
        "usage_p95": "float64",  # [cores | bytes]
        "usage_mean": "float64",
        "request_p95": "float64",
        "request_mean": "float64",
        "allocatable_mean": "float64",
        "nodes_mean": "float64",
        "pods_mean": "float64",
    },
    ("week", "pool", "resource"),
)

#: One row per workload-container and resource: what was measured in the window. The only P95 of the project.
USAGE = Contract(
    "usage",
    {
        "namespace": "str",
        "workload_kind": "str",
        "workload": "str",
        "container": "str",
        "resource": "str",
        "pods": "int64",  # distinct pods with samples
        "days": "int64",  # UTC days with samples
        "steps": "int64",  # distinct steps with a sample of at least one pod
        "weekdays": "int64",  # distinct weekdays with samples
        "samples": "int64",
        "dropped": "int64",  # impossible values left out
        "first_sample": _TIME,  # start of the first step with a sample
        "last_sample": _TIME,  # end of the last step with a sample
        "p50": "float64",  # [cores | bytes]
        "p90": "float64",
        "p95": "float64",  # pooled over all pods
        "p99": "float64",
        "max": "float64",
        "lower": "float64",  # one-sided 95 % Woodruff bounds of the P95, days as clusters
        "upper": "float64",
        "saturated": "bool",  # the upper bound is the observed maximum
        "hot_pod": "str",  # the hottest pod with at least 24 h of samples, "" when there is one pod or none has that
        "hot_p95": "float64",  # its P95, NaN when there is none
        "pool": "str",  # of a DaemonSet: the node pool whose pods have the highest pooled P95, else ""
        "pool_p95": "float64",  # that P95, NaN when there is none
        "daily_p95": "object",  # list of floats, one per UTC day of the window, NaN without samples
        "daily_max": "object",
        "cut": "str",  # only days after the last rollout count, as they are enough (settled) or usage changed with it (changed); else ""
        "rollout_ratio": "float64",  # median daily P95 after / before the last rollout, NaN without one
    },
    ("namespace", "workload_kind", "workload", "container", "resource"),
)

#: One row per workload-container: what the cluster says about it in the window. Joined from inventory, event and burst data.
#: NaN is "not known" or, for requests and limits, "not set"; a group without a row is wholly unknown.
FACTS = Contract(
    "facts",
    {
        "namespace": "str",
        "workload_kind": "str",
        "workload": "str",
        "container": "str",
        "cpu_request": "float64",  # [cores] of the newest running pods (most frequent value), NaN is "not set"; so the next three
        "cpu_limit": "float64",  # [cores]
        "memory_request": "float64",  # [bytes]
        "memory_limit": "float64",  # [bytes]
        "qos": "str",  # Guaranteed | Burstable | BestEffort | ""
        "running": "bool",  # has a pod at the end of the window
        "replicas": "float64",  # mean running pods: pod-steps / steps of the window with known inventory
        "replicas_min": "float64",  # fewest and most pods at once in steps with at least one
        "replicas_max": "float64",
        "first_seen": _TIME,  # start of the first step with a running pod in the window
        "expected_steps": "float64",  # distinct steps with at least one running pod (not pod-steps)
        "settled_steps": "float64",  # those on the days after the last rollout, NaN without one
        "last_rollout": _TIME,  # when the newest image or template appeared in the window, NaT when it did not change
        "hpa": "str",  # name of the HorizontalPodAutoscaler that targets the workload, "" without
        "hpa_cpu": "bool",  # it scales on cpu
        "hpa_memory": "bool",  # it scales on memory
        "hpa_cpu_target": "float64",  # [percent of request], NaN when unknown or not a utilisation
        "hpa_memory_target": "float64",
        "throttle_ratio": "float64",  # throttled periods / periods, a ratio of sums over pods and window; NaN is "not applicable"
        "burst_max": "float64",  # [cores] highest 2-minute rate of a pod in the last 7 days
        "burst_p999": "float64",  # [cores] highest daily P99.9 of 2-minute rates of a pod in the last 7 days
        "oom_kills": "float64",  # in the window, NaN when the server does not report them
        "restarts": "float64",  # in the window, NaN when the server does not report them
        "mem_at_oom": "float64",  # [bytes] last peak before a kill, NaN when unknown
        "jvm": "bool",  # image or command looks like a Java runtime
        "sidecar": "bool",  # injected by a mesh
        "role": "str",  # app | sidecar (native) | init | ""
        "java_flags": "str",  # heap flags where the Kubernetes API was asked, else ""
        "pools": "object",  # list of (pool, pods): where its pods ran at the end of the window
        "largest_node": "float64",  # [cores] largest allocatable CPU of its pools' nodes, less their DaemonSets; NaN when unknown
        "largest_node_memory": "float64",  # [bytes]
        "runs": "int64",  # finished runs of a Job or CronJob in the window
        "resize": "str",  # how a change of its requests takes effect: in place | restart | "" when unknown
        "out_of_scope": "str",  # why the container is not sized at all ("GPU", "Windows"), "" when it is
    },
    ("namespace", "workload_kind", "workload", "container"),
)

#: One row per resource, the columns fixed in design.md section 3, then what the report shows beside them.
RECOMMENDATIONS = Contract(
    "recommendations",
    {
        "id": "str",
        "cluster": "str",
        "namespace": "str",
        "workload_kind": "str",
        "workload": "str",
        "container": "str",
        "resource": "str",
        "current_request": "float64",  # [cores | bytes], NaN is "not set"
        "current_limit": "float64",
        "rule_request": "float64",
        "rule_limit": "float64",
        "guarded_request": "float64",
        "guarded_limit": "float64",  # NaN is "no limit"
        "p50": "float64",
        "p95": "float64",  # the P95 that the rule used (the hottest pod's when imbalanced)
        "p99": "float64",
        "max": "float64",
        "upper": "float64",
        "grade": "str",  # high | medium | low | refused
        "completeness": "float64",
        "replicas": "float64",  # mean running replicas in the window
        "overprovision": "float64",  # 1 - P95/request, a share
        "paper": "float64",  # [currency / month]; positive saves
        "bankable": "float64",  # NaN until nodes are packed
        "priority": "str",
        "change": "str",  # keep | decrease | increase | undetermined
        "reasons": "object",  # list of Reason
        "krr_request": "float64",  # comparators, never acted upon (methods.md A6)
        "vpa_request": "float64",
        "pooled_p95": "float64",
        "hot_p95": "float64",
        "unit_price": "float64",  # [currency per core-month | GiB-month]
        "request_cost": "float64",  # [currency / month] of the current request, NaN without a price
        "paper_rule": "float64",  # [currency / month] the paper saving of the plain rule, beside the guarded one
        "days": "int64",
        "enough_on": "str",  # ISO date when a refused row will have enough data, "" when it has or nobody can say
        "daily_p95": "object",
        "throttle_ratio": "float64",  # cpu rows: throttled/periods; NaN is "not applicable"
        "oom_kills": "float64",  # memory rows: kills in the window
        "role": "str",  # app | sidecar (native) | init | ""
        "runs": "int64",  # runs that were measured of a Job or CronJob, else 0
        "pool": "str",  # the node pool whose pods decided (DaemonSet), else ""
        "hpa": "str",  # the HorizontalPodAutoscaler that scales the workload, "" without
        "hpa_target": "float64",  # [percent of request] its target on this resource, NaN without
        "hpa_target_new": "float64",  # [percent] the target that goes with the recommended request, as one change
        "takes_effect": "str",  # in place | restart | next run | "" where nothing changes
        "business_p95": "float64",  # [cores | bytes] P95 of business hours, beside the all-hours one; NaN when not measured
        "stability": "str",  # against the last run: new | same | changed | reversed | "" when there is none
        "previous_request": "float64",  # [cores | bytes] what the last run recommended
        "decided": "str",  # id of the decision record that keeps this row quiet, "" without
    },
    KEY,
)


def row_id(values: Sequence[str]) -> str:
    """The id of a recommendation: the first 12 hex digits of the sha256 of its key (design.md section 3)."""
    if len(values) != len(KEY):
        raise SchemaError(f"a recommendation's key has {len(KEY)} parts ({', '.join(KEY)}), got {len(values)}")
    return hashlib.sha256("\x00".join(values).encode("utf-8", "surrogatepass")).hexdigest()[:12]
