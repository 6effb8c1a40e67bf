"""The bodies of the files that people apply, as plain objects: nothing in them but names and resources (ecosystem.md section 7).

An amount that is not set any more is an explicit null: a strategic merge, Kustomize and Helm all read it as "delete this key",
where leaving the key out would leave the old value standing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from aiops_analysis.core.errors import SettingsError
from aiops_analysis.core.units import parse_quantity
from aiops_analysis.evidence.changes import KINDS, Container, Scaler, Size, Workload, amount, written

__all__ = ["helm_values", "json_patch", "kustomization", "scaler_patch", "strategic", "vpa", "vpa_name"]

_LISTS = {"app": "containers", "sidecar": "initContainers"}
_PART = re.compile(r"(?:[^.\\\[\]]|\\.)+")
_ACTIVE = re.compile(r"([!-,./:-@\[-^`{-~])")  # punctuation of ASCII, without - and _
_LONGEST_NAME = 253
_METRIC = "/spec/metrics/{}/resource"


def _resources(container: Container, *, reverse: bool = False) -> dict[str, dict[str, str | None]]:
    """``requests`` and ``limits`` of the changed resources; None deletes, and is left out where nothing was set before."""
    out: dict[str, dict[str, str | None]] = {"requests": {}, "limits": {}}
    for size in container.changed:
        for section, now, new in (("requests", size.request_now, size.request), ("limits", size.limit_now, size.limit)):
            before, after = written(size.resource, now), amount(size.resource, new)
            value, other = (before, after) if reverse else (after, before)
            if value is not None or other is not None:
                out[section][size.resource] = value
    return {section: values for section, values in out.items() if values}


def strategic(workload: Workload, order: Sequence[str] = (), *, reverse: bool = False) -> dict[str, Any]:
    """A strategic-merge patch with only names and resources of containers; ``reverse`` sets what was there before.

    ``name`` is the merge key of both lists: what the patch does not name stays as it is, in its place. Several containers of one patch come
    out in the order of the patch, so they follow ``order`` (the containers as they stand in the pod template) where it is known.
    """
    kind = KINDS[workload.kind]
    pod: dict[str, Any] = {}
    for container in sorted(workload.changed, key=lambda one: order.index(one.name) if one.name in order else len(order)):
        pod.setdefault(_LISTS[container.role], []).append({"name": container.name, "resources": _resources(container, reverse=reverse)})
    for key in reversed(kind.template):
        pod = {key: pod}
    return {"apiVersion": kind.api, "kind": workload.kind, "metadata": {"name": workload.name, "namespace": workload.namespace}} | pod


def json_patch(workload: Workload, order: Sequence[str] = (), *, reverse: bool = False) -> list[dict[str, Any]]:
    """A JSON patch that tests every name and old value before it replaces one: on a changed cluster it does nothing (RFC 6902).

    ``order`` are the containers as they stand in the pod template; without it they are taken to stand in the order of their names.
    A test for null holds where the key is absent, as the API server's library does it.
    """
    template = "/" + "/".join(KINDS[workload.kind].template)
    operations: list[dict[str, Any]] = []
    for role, place in _LISTS.items():
        names = list(order) or [one.name for one in workload.containers if one.role == role]
        for container in workload.changed:
            if container.role == role:
                index = names.index(container.name) if container.name in names else 0
                operations += _container(container, f"{template}/{place}/{index}", reverse)
    return operations


def _container(container: Container, at: str, reverse: bool) -> list[dict[str, Any]]:
    operations: list[dict[str, Any]] = [{"op": "test", "path": f"{at}/name", "value": container.name}]
    for section, attribute in (("requests", "request"), ("limits", "limit")):
        old, new = f"{attribute}_now", attribute
        wanted = {size.resource: _pair(size, old, new, reverse) for size in container.changed}
        there = any(math.isfinite(getattr(size, new if reverse and size.changes else old)) for size in container.sizes)
        path = f"{at}/resources/{section}"
        if there:
            for resource, (before, after) in wanted.items():
                operations += _value(f"{path}/{resource}", before, after)
        elif added := {resource: after for resource, (_, after) in wanted.items() if after is not None}:
            operations += [{"op": "test", "path": path, "value": None}, {"op": "add", "path": path, "value": added}]
    return operations


def _pair(size: Size, old: str, new: str, reverse: bool) -> tuple[str | None, str | None]:
    """The text that the server holds before, and the text to write."""
    now, then = getattr(size, old), getattr(size, new)
    if not reverse:
        return written(size.resource, now), amount(size.resource, then)
    text = amount(size.resource, then)
    return (None if text is None else written(size.resource, float(parse_quantity(text)))), written(size.resource, now)


def _value(path: str, before: str | None, after: str | None) -> list[dict[str, Any]]:
    if before is None and after is None:
        return []
    test = {"op": "test", "path": path, "value": before}
    if after is None:
        return [test, {"op": "remove", "path": path}]
    return [test, {"op": "add" if before is None else "replace", "path": path, "value": after}]


def scaler_patch(scaler: Scaler, *, reverse: bool = False) -> list[dict[str, Any]]:
    """A JSON patch of one number of an autoscaling/v2 HorizontalPodAutoscaler, the target utilisation of one resource.

    Not a strategic merge: ``spec.metrics`` is replaced whole by one, and the other metrics would be lost. With two resource metrics
    cpu is taken to stand first; a test refuses where it does not.
    """
    at = _METRIC.format(1 if scaler.metrics > 1 and scaler.resource == "memory" else 0)
    now, new = (scaler.new, scaler.now) if reverse else (scaler.now, scaler.new)
    return [
        {"op": "test", "path": f"{at}/name", "value": scaler.resource},
        {"op": "test", "path": f"{at}/target/averageUtilization", "value": now},
        {"op": "replace", "path": f"{at}/target/averageUtilization", "value": new},
    ]


def vpa_name(workload: Workload) -> str:
    """Name of our VerticalPodAutoscaler object."""
    return f"{workload.name[: _LONGEST_NAME - 12]}-rightsizing"


def vpa(workload: Workload) -> dict[str, Any]:
    """A VerticalPodAutoscaler that changes nothing (mode Off) and recommends within the measured band.

    minAllowed is the measured P95, maxAllowed the recommended limit, or the recommended request where no limit is wanted; the object's
    ``uncappedTarget`` stays a second opinion. An injected container is left to its mesh.
    """
    policies: list[dict[str, Any]] = []
    for container in workload.containers:
        low: dict[str, str] = {}
        high: dict[str, str] = {}
        for size in container.sizes:
            most = max((value for value in (size.request, size.limit) if math.isfinite(value)), default=math.nan)
            least = min(size.p95, most) if math.isfinite(size.p95) else math.nan
            if (text := amount(size.resource, least)) is not None:
                low[size.resource], high[size.resource] = text, str(amount(size.resource, most))
        if low:
            name = {"containerName": container.name, "controlledValues": "RequestsOnly"}
            policies.append(name | {"minAllowed": low, "maxAllowed": high})
    policies += [{"containerName": name, "mode": "Off"} for name in workload.injected]
    return {
        "apiVersion": "autoscaling.k8s.io/v1",
        "kind": "VerticalPodAutoscaler",
        "metadata": {"name": vpa_name(workload), "namespace": workload.namespace},
        "spec": {
            "targetRef": {"apiVersion": KINDS[workload.kind].api, "kind": workload.kind, "name": workload.name},
            "updatePolicy": {"updateMode": "Off"},
            "resourcePolicy": {"containerPolicies": policies},
        },
    }


def helm_values(workload: Workload, paths: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Values for the containers with a path, and plain snippets for those without; a path is never guessed.

    paths : value path of the ``resources`` of a container, by ``namespace/Kind/workload/container``; ``\\.`` is a dot inside a key.
    Raises SettingsError for a path that no values file can hold, and for two containers on one path.
    """
    values: dict[str, Any] = {}
    snippets: dict[str, Any] = {}
    taken: list[list[str]] = []
    for container in workload.changed:
        key = f"{workload.namespace}/{workload.kind}/{workload.name}/{container.name}"
        if key not in paths:
            snippets[container.name] = {"resources": _resources(container)}
            continue
        keys = _keys(paths[key], key)
        if any(keys[: len(other)] == other or other[: len(keys)] == keys for other in taken):
            raise SettingsError(f"[helm] {key!r} is {paths[key]!r}, which holds the resources of another container already")
        taken.append(keys)
        place = values
        for part in keys[:-1]:
            place = place.setdefault(part, {})
        place[keys[-1]] = _resources(container)
    return values, snippets


def _keys(path: str, key: str) -> list[str]:
    parts = _PART.findall(path)
    if not path or ".".join(parts) != path:
        raise SettingsError(f"[helm] {key!r} is {path!r}; expected keys with dots between them, such as frontend.resources (no list index)")
    return [part.replace("\\.", ".") for part in parts]


def kustomization(entries: Sequence[tuple[str, str, str, str]]) -> dict[str, Any]:
    """A Kustomize Component: file, kind, namespace and name of what each patch is for; taken out in one line.

    Kustomize reads the names of a target as regular expressions that must fit whole, so they are escaped.
    """
    patches = [
        {"path": file, "target": {"kind": kind, "name": _pattern(name), "namespace": _pattern(namespace)}}
        for file, kind, namespace, name in entries
    ]
    return {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component", "patches": patches}


def _pattern(name: str) -> str:
    return _ACTIVE.sub(r"\\\1", name)
