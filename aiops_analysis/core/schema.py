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
    "CHANGES",
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
        "weekdays": "int64",  # distinct weekdays with samples
        "samples": "int64",
        "dropped": "int64",  # impossible values left out
        "first_sample": _TIME,  # start of the first step with a sample
        "last_sample": _TIME,  # end of the last step with a sample
        "p50": "float64",  # [cores | bytes]
        "p95": "float64",  # pooled over all pods
        "p99": "float64",
        "max": "float64",
        "lower": "float64",  # one-sided 95 % Woodruff bounds of the P95, days as clusters
        "upper": "float64",
        "saturated": "bool",  # the upper bound is the observed maximum
        "hot_pod": "str",  # the hottest pod with at least 24 h of samples, "" when there is one pod
        "hot_p95": "float64",  # its P95
        "daily_p95": "object",  # list of floats, one per UTC day of the window, NaN without samples
        "daily_max": "object",
    },
    ("namespace", "workload_kind", "workload", "container", "resource"),
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
