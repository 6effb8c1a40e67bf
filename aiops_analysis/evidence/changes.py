"""What a reviewer would change, workload by workload, and what is left out of the files and why (methods.md A9).

Only rows with a change count. Rows that a decision keeps quiet, injected sidecars and init containers never reach a patch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from aiops_analysis.core.reasons import Code, Reason
from aiops_analysis.core.schema import RECOMMENDATIONS, check
from aiops_analysis.core.units import format_cpu, format_memory

__all__ = ["KINDS", "Container", "Kind", "LeftOut", "Plan", "Roles", "Scaler", "Size", "Workload", "amount", "plan", "roles_of", "written"]

#: Role of a container (app | sidecar | init) by namespace, workload kind, workload and container; absent is app.
Roles = Mapping[tuple[str, str, str, str], str]


@dataclass(frozen=True, slots=True)
class Kind:
    """How a workload kind is written: its API, its name for kubectl, and where its pod template stands."""

    api: str
    resource: str
    template: tuple[str, ...] = ("spec", "template", "spec")
    custom: bool = False  # a custom resource knows no strategic merge


KINDS: Mapping[str, Kind] = {
    "Deployment": Kind("apps/v1", "deployment.apps"),
    "StatefulSet": Kind("apps/v1", "statefulset.apps"),
    "DaemonSet": Kind("apps/v1", "daemonset.apps"),
    "ReplicaSet": Kind("apps/v1", "replicaset.apps"),
    "CronJob": Kind("batch/v1", "cronjob.batch", ("spec", "jobTemplate", "spec", "template", "spec")),
    "Rollout": Kind("argoproj.io/v1alpha1", "rollout.argoproj.io", custom=True),
}
_KIND_REFUSED = {
    "Job": "a Job's pod template cannot be changed; change what creates the Job",
    "Pod": "a pod without owner is changed where it was created",
}


@dataclass(frozen=True, slots=True)
class Size:
    """One resource of one container [cores | bytes]; NaN is "not set"."""

    id: str
    resource: str
    request_now: float
    request: float
    limit_now: float
    limit: float
    p95: float
    grade: str
    change: str
    paper: float
    reasons: tuple[Reason, ...]
    takes_effect: str
    hpa: str
    hpa_target: float
    hpa_target_new: float
    changes: bool  # belongs into a file


@dataclass(frozen=True, slots=True)
class Container:
    """One container with what is known of its resources."""

    name: str
    role: str  # app | sidecar (a native one, under initContainers)
    sizes: tuple[Size, ...]

    @property
    def changed(self) -> tuple[Size, ...]:
        """The resources that belong into a file."""
        return tuple(size for size in self.sizes if size.changes)


@dataclass(frozen=True, slots=True)
class Scaler:
    """The target of a HorizontalPodAutoscaler that changes together with a request [percent of request]."""

    name: str
    resource: str
    now: int
    new: int
    metrics: int  # resource metrics that this autoscaler is known to have
    raises: bool  # the request goes up


@dataclass(frozen=True, slots=True)
class Workload:
    """One workload with at least one change."""

    cluster: str
    namespace: str
    kind: str
    name: str
    containers: tuple[Container, ...]  # that change or are measured beside one that does
    injected: tuple[str, ...] = ()
    scalers: tuple[Scaler, ...] = ()

    @property
    def changed(self) -> tuple[Container, ...]:
        """The containers that belong into a file."""
        return tuple(one for one in self.containers if one.changed)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A change that is in no file, and why; ``resource`` is "" for a whole workload in one format."""

    namespace: str
    kind: str
    workload: str
    container: str
    resource: str
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that the files are made of."""

    workloads: tuple[Workload, ...]
    left_out: tuple[LeftOut, ...]
    unknown: int  # rows without a recommendation


def amount(resource: str, value: float) -> str | None:
    """A recommended amount as a manifest says it, rounded up to millicores and Mi; None is "not set"."""
    if not math.isfinite(value):
        return None
    return format_memory(value) if resource == "memory" else format_cpu(value)


def written(resource: str, value: float) -> str | None:
    """A present amount exactly as the API server spells it (canonical quantity); None is "not set".

    Memory of whole Ki is taken to be written in binary units; one amount has one spelling in each family, and only the cluster knows which.

    >>> written("cpu", 0.5), written("cpu", 2), written("memory", 2**30), written("memory", 94.701), written("memory", 5e8)
    ('500m', '2', '1Gi', '94701m', '500M')
    """
    if not math.isfinite(value):
        return None
    if resource == "memory" and value >= 1024 and value % 1024 == 0:
        number, at = int(value) // 1024, 0
        while number % 1024 == 0 and at < 5:
            number, at = number // 1024, at + 1
        return f"{number}{('Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei')[at]}"
    nano = round(value * 10**9)
    for power, suffix in ((18, "G"), (15, "M"), (12, "k"), (9, ""), (6, "m"), (3, "u")):
        if nano and nano % 10**power == 0:
            return f"{nano // 10**power}{suffix}"
    return f"{nano}n" if nano else "0"


def roles_of(inventory: pd.DataFrame) -> dict[tuple[str, str, str, str], str]:
    """Role of each container of an INVENTORY frame, the newest row of each; app is left out."""
    columns = ("namespace", "workload_kind", "workload", "container", "role")
    newest = inventory.sort_values("last_seen", kind="stable")[list(columns)].itertuples(index=False, name=None)
    found = {(namespace, kind, workload, container): role for namespace, kind, workload, container, role in newest}
    return {key: role for key, role in found.items() if role in ("sidecar", "init")}


def plan(recommendations: pd.DataFrame, roles: Roles | None = None) -> Plan:
    """The changes of a RECOMMENDATIONS frame by workload, in the order of their names; nothing is lost: what is no change says why.

    Raises SchemaError for another frame.
    """
    frame = check(recommendations, RECOMMENDATIONS)
    rows: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in frame.to_dict("records"):
        rows.setdefault((row["namespace"], row["workload_kind"], row["workload"]), []).append(row)
    workloads, left = [], []
    for key in sorted(rows):
        workload, refused = _workload(rows[key], roles or {})
        left += refused
        if workload is not None:
            workloads.append(workload)
    return Plan(tuple(workloads), tuple(left), int((frame["change"] == "undetermined").sum()))


def _workload(rows: list[dict[str, Any]], roles: Roles) -> tuple[Workload | None, list[LeftOut]]:
    first = rows[0]
    key = (first["namespace"], first["workload_kind"], first["workload"])
    left = []
    sizes: dict[str, list[Size]] = {}
    injected = set()
    clash = _clashing(rows)
    for row in sorted(rows, key=lambda r: (r["container"], r["resource"])):
        role = roles.get((*key, row["container"]), "app")
        why = _refusal(row, role, clash)
        wanted = row["change"] in ("decrease", "increase")
        if wanted and why:
            left.append(LeftOut(*key, row["container"], row["resource"], why))
        if _is(row, Code.SIDECAR):
            injected.add(row["container"])
        elif role != "init":
            size = _size(row, changes=wanted and not why)
            sizes.setdefault(row["container"], []).append(size if not size.changes or _differs(size) else replace(size, changes=False))
    containers = tuple(Container(name, roles.get((*key, name), "app"), tuple(of)) for name, of in sorted(sizes.items()))
    if not any(container.changed for container in containers):
        return None, left
    return Workload(first["cluster"], *key, containers, tuple(sorted(injected)), tuple(_scalers(containers))), left


def _refusal(row: Mapping[str, Any], role: str, clash: frozenset[tuple[str, str]]) -> str:
    """Why a change of this row goes into no file; "" when it does."""
    kind, target = row["workload_kind"], row["hpa_target"]
    scaled = bool(row["hpa"]) and math.isfinite(target)
    reasons = (
        (kind not in KINDS, _KIND_REFUSED.get(kind, "this kind of workload cannot be patched by us")),
        (bool(row["decided"]), f"kept quiet by the decision record {row['decided']}"),
        (_is(row, Code.SIDECAR), "injected: set it through the mesh's injector or annotation, not the workload"),
        (role == "init", "an init container is never resized"),
        (not math.isfinite(row["guarded_request"]), "no request is recommended"),
        (row["guarded_limit"] < row["guarded_request"], "the recommended limit is below the recommended request"),
        (
            scaled and not math.isfinite(row["hpa_target_new"]),
            "an autoscaler scales on it, and no target is known that goes with the request",
        ),
        (scaled and (row["hpa"], row["resource"]) in clash, "its containers need different targets of one autoscaler"),
    )
    return next((why for holds, why in reasons if holds), "")


def _clashing(rows: Iterable[Mapping[str, Any]]) -> frozenset[tuple[str, str]]:
    """Autoscaler and resource for which two rows want different targets."""
    wanted: dict[tuple[str, str], set[float]] = {}
    for row in rows:
        if row["hpa"] and math.isfinite(row["hpa_target_new"]):
            wanted.setdefault((row["hpa"], row["resource"]), set()).add(round(row["hpa_target_new"]))
    return frozenset(key for key, targets in wanted.items() if len(targets) > 1)


def _is(row: Mapping[str, Any], code: Code) -> bool:
    return any(reason.code == code for reason in row["reasons"])


def _size(row: Mapping[str, Any], *, changes: bool) -> Size:
    keeps = {"request": row["current_request"], "limit": row["current_limit"]}
    new = {"request": row["guarded_request"], "limit": row["guarded_limit"]} if changes else keeps
    same = ("id", "resource", "p95", "grade", "change", "paper", "takes_effect", "hpa", "hpa_target", "hpa_target_new")
    now = {"request_now": row["current_request"], "limit_now": row["current_limit"]}
    return Size(**{name: row[name] for name in same}, **now, **new, reasons=tuple(row["reasons"]), changes=changes)


def _differs(size: Size) -> bool:
    """False when the change is too small to be written in millicores or Mi."""
    pairs = ((size.request_now, size.request), (size.limit_now, size.limit))
    return any(amount(size.resource, now) != amount(size.resource, new) for now, new in pairs)


def _scalers(containers: Iterable[Container]) -> Iterator[Scaler]:
    sizes = [size for container in containers for size in container.sizes]
    known = {(size.hpa, size.resource) for size in sizes if size.hpa and math.isfinite(size.hpa_target)}
    seen = set()
    for size in sizes:
        key = (size.hpa, size.resource)
        if not size.changes or key not in known or key in seen or round(size.hpa_target) == round(size.hpa_target_new):
            continue
        seen.add(key)
        count = sum(name == size.hpa for name, _ in known)
        raises = not size.request_now >= size.request
        yield Scaler(size.hpa, size.resource, round(size.hpa_target), round(size.hpa_target_new), count, raises)
