"""Workloads that could be switched off: abandoned ones, non-production outside business hours, and services with quiet weekends.

What is found here is for a person to check. Its money is paper of its own: the same requests may be lowered by right-sizing, so the two
are never added.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from aiops_analysis.analysis.hours import HoursPolicy
from aiops_analysis.core.contract import Contract
from aiops_analysis.core.errors import PolicyError
from aiops_analysis.core.schema import check, empty

__all__ = ["IDLE", "IdlePolicy", "idle_workloads"]

#: One row per finding; container is "" where it is about the whole workload.
IDLE = Contract(
    "idle",
    {
        "namespace": "str",
        "workload_kind": "str",
        "workload": "str",
        "container": "str",
        "finding": "str",  # abandoned | possibly_abandoned | off_hours | weekend_dip
        "message": "str",
        "saving": "float64",  # [currency / month] on paper, not to be added to right-sizing's; NaN when it is not known or not claimed
    },
    ("namespace", "workload_kind", "workload", "container", "finding"),
)

_WORKLOAD = ("namespace", "workload_kind", "workload")
_DELETABLE = frozenset({"Deployment", "StatefulSet", "ReplicaSet", "ReplicationController", "Rollout", "DeploymentConfig"})
_SCALABLE = frozenset({"Deployment", "StatefulSet"})
_DAY_STEPS = 288
_FOLLOWS = 0.75  # P95 outside business hours / in them, below which the little that is used has the rhythm of people
_PARTS = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class IdlePolicy:
    """What counts as idle, and what is never called abandoned. Name parts are compared in lower case and without digits at their end.

    A part of a name is what stands between dashes, dots and underscores. Raises PolicyError for values that are impossible.
    """

    cpu_p99: float = 0.010  # [cores] below it a container does nothing
    days: int = 14  # UTC days with samples, and no requests in the window
    min_steps: float = 0.7  # share of the steps of so many days that must have a sample
    work_factor: float = 5.0  # x cpu_p99: a day that reaches it was a day of work
    work_days: int = 1  # such days that are forgiven: a start of the pod is no work
    off_ratio: float = 0.25  # CPU P95 outside business hours / in business hours
    non_production: tuple[str, ...] = (
        "dev",
        "develop",
        "development",
        "test",
        "testing",
        "tests",
        "staging",
        "stage",
        "stg",
        "qa",
        "uat",
        "sandbox",
        "playground",
        "preview",
        "nonprod",
        "preprod",
    )
    production: tuple[str, ...] = ("prod", "production", "prd", "live")  # wins over the parts above
    #: Namespaces of the platform: exact names, and beginnings and ends of names.
    system_names: tuple[str, ...] = ("cert-manager", "monitoring", "logging", "observability", "argocd", "velero")
    system_starts: tuple[str, ...] = ("kube-", "openshift", "istio", "linkerd", "gke-", "aks-", "amazon-", "ingress-")
    system_ends: tuple[str, ...] = ("-system", "-operator", "-operators")
    #: Parts of workload names that wait by design: controllers and standbys use little and get no requests.
    waiting: tuple[str, ...] = (
        "operator",
        "controller",
        "manager",
        "webhook",
        "admission",
        "scheduler",
        "autoscaler",
        "provisioner",
        "csi",
        "agent",
        "exporter",
        "cainjector",
        "reloader",
        "leader",
        "standby",
        "replica",
        "sentinel",
        "arbiter",
        "backup",
        "dns",
        "gateway",
    )

    def __post_init__(self) -> None:
        numbers = {"cpu_p99": (0, 1), "days": (7, 366), "min_steps": (0, 1), "work_factor": (1, 1000), "work_days": (0, 366)}
        for name, (low, high) in {**numbers, "off_ratio": (0, 1)}.items():
            if not low <= getattr(self, name) <= high:  # NaN too
                raise PolicyError(f"{name} of the idle policy is {getattr(self, name)}, expected {low:g} to {high:g}")

    def as_dict(self) -> dict[str, object]:
        """Plain types for evidence.json."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def looks_non_production(self, namespace: str) -> bool:
        """True for a namespace that its name says is not production: team-dev, qa2, non-prod, preview-1234."""
        parts = _parts(namespace.lower().replace("non-prod", "nonprod").replace("pre-prod", "preprod"))
        return bool(parts & set(self.non_production)) and not parts & set(self.production)

    def is_system(self, namespace: str) -> bool:
        """True for a namespace of the platform, whose workloads are never called abandoned."""
        name = namespace.lower()
        return name in self.system_names or name.startswith(self.system_starts) or name.endswith(self.system_ends)

    def waits(self, workload: str) -> bool:
        """True for a workload that waits by design, as its name says."""
        return bool(_parts(workload) & set(self.waiting))


def _parts(name: str) -> set[str]:
    return {part.rstrip("0123456789") for part in _PARTS.split(name.lower())} - {""}


def idle_workloads(
    recommendations: pd.DataFrame,
    usage: pd.DataFrame,
    facts: pd.DataFrame,
    profile: pd.DataFrame,
    *,
    hours: HoursPolicy,
    policy: IdlePolicy | None = None,
    requests: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """IDLE of priced RECOMMENDATIONS, USAGE, FACTS and PROFILE; sorted by finding and key. The arguments are not changed.

    abandoned : every container's CPU P99 is below the policy's for ``days`` days, at most ``work_days`` of them reach ``work_factor``
    times that, and no request came in. Without a count of requests the finding is ``possibly_abandoned``. Only what a controller keeps
    running for ever can be abandoned: no DaemonSet, Job, bare or static pod; nothing in a namespace of the platform; nothing that waits
    by design (operators, webhooks, standbys); injected sidecars are not looked at. Saving: the cost of its requests.
    off_hours : a Deployment or StatefulSet in a namespace whose name is not production's, whose containers all use less than
    ``off_ratio`` of their business P95 outside business hours (or nothing to speak of at any time), on enough weekends and days. One
    that an HPA scales is left out: the schedule would fight with it. Saving: the cost of its requests x the share of the week that is
    outside business hours.
    weekend_dip : a container whose CPU dips at weekends and that is neither of the above; no saving is claimed.
    requests : optional frame of namespace, workload_kind, workload and ``requests``, the requests counted in the window.
    """
    rules = policy or IdlePolicy()
    counted = _counted(requests)
    rows: list[dict[str, Any]] = []
    for place in _places(recommendations, usage, facts, profile):
        for found in (_abandoned(place, rules, counted), _off_hours(place, rules, hours)):
            if found is not None:
                rows.append(found)
                break
        else:
            rows += _weekend_dips(place, rules, hours)
    if not rows:
        return empty(IDLE)
    return check(pd.DataFrame(rows).sort_values(["finding", *_WORKLOAD, "container"], kind="stable"), IDLE)


@dataclass(frozen=True, slots=True)
class _Place:
    """One workload: its CPU usage, facts and CPU profile by container without sidecars, and the cost of its requests."""

    key: tuple[str, str, str]
    usage: Mapping[str, Mapping[str, Any]]
    facts: Mapping[str, Mapping[str, Any]]
    profile: Mapping[str, Mapping[str, Any]]
    cost: float  # [currency / month], NaN without a price or a request

    def row(self, finding: str, message: str, saving: float, container: str = "") -> dict[str, Any]:
        return {
            **dict(zip(_WORKLOAD, self.key, strict=True)),
            "container": container,
            "finding": finding,
            "message": message,
            "saving": saving,
        }

    def runs_throughout(self) -> bool:
        """True when the cluster says of every container that it runs at the end of the window."""
        return bool(self.usage) and all(name in self.facts and self.facts[name]["running"] for name in self.usage)


def _by_workload(frame: pd.DataFrame) -> dict[tuple[str, str, str], dict[str, dict[str, Any]]]:
    out: dict[tuple[str, str, str], dict[str, dict[str, Any]]] = {}
    for row in frame.to_dict("records"):
        out.setdefault((row["namespace"], row["workload_kind"], row["workload"]), {})[row["container"]] = row
    return out


def _places(recommendations: pd.DataFrame, usage: pd.DataFrame, facts: pd.DataFrame, profile: pd.DataFrame) -> Iterator[_Place]:
    costs = recommendations.groupby(list(_WORKLOAD), sort=True)["request_cost"].sum(min_count=1)
    cost_of = {(str(a), str(b), str(c)): float(cost) for (a, b, c), cost in costs.items()}
    stated, habits = _by_workload(facts), _by_workload(profile[profile["resource"] == "cpu"])
    for key, measured in sorted(_by_workload(usage[usage["resource"] == "cpu"]).items()):
        about = stated.get(key, {})
        aside = {name for name, row in about.items() if row["sidecar"] or row["role"] in ("sidecar", "init")}
        own = {name: row for name, row in measured.items() if name not in aside}
        yield _Place(key, own, about, habits.get(key, {}), cost_of.get(key, math.nan))


def _counted(requests: pd.DataFrame | None) -> Mapping[tuple[str, str, str], float]:
    """Requests in the window of each workload that has a count."""
    if requests is None or not len(requests):
        return {}
    total = requests.groupby(list(_WORKLOAD), sort=True)["requests"].sum(min_count=1)
    return {(str(a), str(b), str(c)): float(count) for (a, b, c), count in total.items() if not np.isnan(count)}


def _abandoned(place: _Place, rules: IdlePolicy, counted: Mapping[tuple[str, str, str], float]) -> dict[str, Any] | None:
    namespace, kind, workload = place.key
    if kind not in _DELETABLE or rules.is_system(namespace) or rules.waits(workload) or not place.runs_throughout():
        return None
    if counted.get(place.key, 0.0) > 0 or not all(_does_nothing(row, rules) for row in place.usage.values()):
        return None
    days = min(int(row["days"]) for row in place.usage.values())
    p99 = max(float(row["p99"]) for row in place.usage.values())
    peak = max(float(row["max"]) for row in place.usage.values())
    message = f"99 % of its CPU samples in {days} days are at or below {_milli(p99)}, the largest is {_milli(peak)}."
    if kind == "StatefulSet":
        message += " A StatefulSet keeps its volumes: look at the data before it goes."
    if any(row["off_p95"] < _FOLLOWS * row["business_p95"] for name, row in place.profile.items() if name in place.usage):
        message += " The little it does follows business hours, so somebody may use it."
    if place.key in counted:
        return place.row("abandoned", f"{message} No request was counted.", place.cost)
    return place.row("possibly_abandoned", f"{message} No request metric was read: check before deleting.", place.cost)


def _does_nothing(row: Mapping[str, Any], rules: IdlePolicy) -> bool:
    enough = row["days"] >= rules.days and row["steps"] >= rules.min_steps * rules.days * _DAY_STEPS
    hot = row["hot_p95"]
    if not enough or not row["p99"] < rules.cpu_p99 or hot >= rules.cpu_p99:  # a NaN P99 is not known, a NaN hot pod is none
        return False
    peaks = np.asarray(row["daily_max"], np.float64)
    return int((peaks >= rules.work_factor * rules.cpu_p99).sum()) <= rules.work_days


def _off_hours(place: _Place, rules: IdlePolicy, hours: HoursPolicy) -> dict[str, Any] | None:
    namespace, kind, _ = place.key
    if kind not in _SCALABLE or not rules.looks_non_production(namespace) or not place.runs_throughout():
        return None
    if any(place.facts[name]["hpa"] for name in place.usage) or not place.usage.keys() <= place.profile.keys():
        return None
    if any(row["days"] < rules.days or place.profile[name]["weekends"] < hours.min_weekends for name, row in place.usage.items()):
        return None
    habits = [place.profile[name] for name in place.usage]
    quiet = [row["off_p95"] < rules.off_ratio * row["business_p95"] for row in habits]
    works = [row["business_p95"] >= rules.cpu_p99 for row in habits]
    if not all(row["off_p95"] < rules.cpu_p99 or calm for row, calm in zip(habits, quiet, strict=True)):
        return None
    if not any(calm and work for calm, work in zip(quiet, works, strict=True)):
        return None  # what does nothing at any time is no matter of hours
    off, used = max((row["off_p95"], row["business_p95"]) for row, work in zip(habits, works, strict=True) if work)
    message = (
        f"The namespace looks like non-production, and outside business hours its CPU P95 is {_milli(off)} against {_milli(used)} in them: "
        f"it could be scaled to 0 for {hours.off_share:.0%} of the week ({hours.zone}). On paper, not added to right-sizing."
    )
    return place.row("off_hours", message, place.cost * hours.off_share)


def _weekend_dips(place: _Place, rules: IdlePolicy, hours: HoursPolicy) -> Iterator[dict[str, Any]]:
    if not place.runs_throughout():
        return
    for name in sorted(place.usage.keys() & place.profile.keys()):
        row = place.profile[name]
        if row["weekend_dip"] and row["weekday_p95"] >= rules.cpu_p99:
            used = f"{_milli(row['weekend_p95'])} against {_milli(row['weekday_p95'])} on other days"
            message = f"At weekends its CPU P95 is {used} ({row['weekends']} weekends, {hours.zone})."
            yield place.row("weekend_dip", message, math.nan, name)


def _milli(cores: float) -> str:
    """CPU for people, in millicores: one decimal below 10m."""
    value = cores * 1000
    return f"{value:.1f}m" if value < 10 else f"{value:.0f}m"
