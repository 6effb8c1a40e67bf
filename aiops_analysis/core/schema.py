"""Contracts of the frames that cross a floor: columns, types, unit, key (design.md section 3).

Units are in brackets: cpu in cores, memory in bytes, shares 0-1, money in the report's currency, times in UTC.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aiops_analysis.core.errors import SchemaError

__all__ = [
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
    "USAGE",
    "WEEKLY_CONTAINERS",
    "WEEKLY_POOLS",
    "Contract",
    "Metric",
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


@dataclass(frozen=True, slots=True)
class Metric:
    """One measured series kind of the history.

    ``sparse`` metrics are event counts: only series with an event are stored, and absence means 0 where targets were up.
    """

    name: str
    unit: str
    what: str
    sparse: bool = False


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


@dataclass(frozen=True, slots=True)
class Contract:
    """Columns of a frame with their pandas types, and the columns that make a row unique."""

    name: str
    columns: Mapping[str, str]
    key: tuple[str, ...] = ()


_TIME = "datetime64[s, UTC]"

#: One row per run of equal facts of one container of one pod. Requests and limits: NaN is "not set".
INVENTORY = Contract(
    "inventory",
    {
        "namespace": "str",
        "pod": "str",
        "uid": "str",
        "container": "str",
        "workload_kind": "str",
        "workload": "str",
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
        "cpu_capacity": "float64",  # [cores]
        "cpu_allocatable": "float64",  # [cores]
        "memory_capacity": "float64",  # [bytes]
        "memory_allocatable": "float64",  # [bytes]
        "pods_allocatable": "float64",
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
        "daily_p95": "object",  # list of floats, one per UTC day of the window, NaN without samples
        "daily_max": "object",
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
    },
    KEY,
)


def check(frame: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """The frame with exactly the contract's columns, in order and cast; the argument is not changed.

    Raises SchemaError that names every missing column at once, or the column that cannot be cast, or repeated keys.
    """
    missing = [name for name in contract.columns if name not in frame.columns]
    if missing:
        raise SchemaError(f"a {contract.name} frame lacks the columns {', '.join(missing)}")
    cast = {}
    for name, kind in contract.columns.items():
        try:
            cast[name] = frame[name].astype(kind) if str(frame[name].dtype) != kind else frame[name]
        except (TypeError, ValueError) as error:
            raise SchemaError(f"column {name} of a {contract.name} frame is {frame[name].dtype}, expected {kind}") from error
    out = pd.DataFrame(cast, columns=list(contract.columns)).reset_index(drop=True)
    if contract.key and out.duplicated(list(contract.key)).any():
        row = out.loc[out.duplicated(list(contract.key)), list(contract.key)].iloc[0].to_dict()
        raise SchemaError(f"a {contract.name} frame holds {row} more than once")
    return out


def empty(contract: Contract) -> pd.DataFrame:
    """A frame of the contract without rows."""
    return pd.DataFrame({name: pd.Series(np.empty(0), dtype="float64").astype(kind) for name, kind in contract.columns.items()})


def row_id(values: Sequence[str]) -> str:
    """The id of a recommendation: the first 12 hex digits of the sha256 of its key (design.md section 3)."""
    if len(values) != len(KEY):
        raise SchemaError(f"a recommendation's key has {len(KEY)} parts ({', '.join(KEY)}), got {len(values)}")
    return hashlib.sha256("\x00".join(values).encode("utf-8", "surrogatepass")).hexdigest()[:12]
