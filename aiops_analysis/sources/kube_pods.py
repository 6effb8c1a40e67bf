"""From pods as the Kubernetes API lists them to INVENTORY: owners, roles, images, exact requests and limits (methods.md A9)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from aiops_analysis.core.schema import INVENTORY, check, empty
from aiops_analysis.sources.kube_parts import (
    Look,
    Objects,
    controller_of,
    items_of,
    key_of,
    mapping_at,
    moment_of,
    quantity,
    text_at,
)

__all__ = ["inventory_of", "owners_of_pods", "role_containers"]

_ALIVE = ("Pending", "Running", "")  # as the phases of a metrics server: a finished pod reserves nothing
_MIRROR = "kubernetes.io/config.mirror"
#: Owners that have an owner of their own, and the list in which they stand.
_BETWEEN = {"ReplicaSet": "replicasets", "Job": "jobs"}


def owners_of_pods(objects: Objects) -> dict[tuple[str, str], tuple[str, str]]:
    """Kind and name of the workload of every pod, by namespace and name.

    A ReplicaSet counts for its Deployment (or Rollout) and a Job for its CronJob. A static pod belongs to its node, kind ``Node``; a pod
    that nobody controls is its own workload of kind ``Pod``.
    """
    above = _above(objects)
    return {key_of(pod): _owner(pod, above) for pod in objects.of("pods")}


def _above(objects: Objects) -> dict[tuple[str, str, str], tuple[str, str]]:
    found = {}
    for kind, plural in _BETWEEN.items():
        for item in objects.of(plural):
            owner = controller_of(item)
            if owner is not None:
                found[kind, *key_of(item)] = owner
    return found


def _owner(pod: Mapping[str, Any], above: Mapping[tuple[str, str, str], tuple[str, str]]) -> tuple[str, str]:
    namespace, name = key_of(pod)
    direct = controller_of(pod)
    if _MIRROR in mapping_at(pod, "metadata", "annotations") and (direct is None or direct[0] != "Node"):
        return "Node", text_at(pod, "spec", "nodeName") or name
    if direct is None:
        return "Pod", name
    known = above.get((direct[0], namespace, direct[1]))
    if known is not None:
        return known
    # a ReplicaSet that is not listed any more: the label that its Deployment's controller sets on it names the Deployment
    template = text_at(pod, "metadata", "labels", "pod-template-hash")
    if direct[0] == "ReplicaSet" and template and direct[1].endswith(f"-{template}"):
        return "Deployment", direct[1].removesuffix(f"-{template}")
    return direct


def role_containers(spec: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Role and container of everything in a pod's spec; an init container that always restarts is a native sidecar."""
    for container in items_of(spec, "initContainers"):
        yield ("sidecar" if container.get("restartPolicy") == "Always" else "init"), container
    for container in items_of(spec, "containers"):
        yield "app", container


def inventory_of(objects: Objects, look: Look) -> pd.DataFrame:
    """INVENTORY of the pods that are pending or running; since their start within the day, until the end of the look's step."""
    owners = owners_of_pods(objects)
    rows: list[dict[str, Any]] = []
    for pod in objects.of("pods"):
        if text_at(pod, "status", "phase") in _ALIVE and key_of(pod)[1]:
            rows += _rows(pod, owners[key_of(pod)], look)
    return check(pd.DataFrame(rows), INVENTORY) if rows else empty(INVENTORY)


def _asked(container: Mapping[str, Any], title: str, look: Look) -> dict[str, float]:
    """Requests and limits [cores | bytes], NaN where not set or refused by name."""
    return {
        f"{resource}_{field}": quantity(
            mapping_at(container, "resources", f"{field}s").get(resource), resource, f"{title} {resource} {field}", look
        )
        for resource in ("cpu", "memory")
        for field in ("request", "limit")
    }


def _scope(pod: Mapping[str, Any], container: Mapping[str, Any]) -> str:
    """Why a container is not sized: it asks for a GPU, or its pod runs on Windows."""
    asked = {**mapping_at(container, "resources", "limits"), **mapping_at(container, "resources", "requests")}
    if any("gpu" in str(name).lower() and str(amount) not in ("", "0") for name, amount in asked.items()):
        return "GPU"
    system = text_at(pod, "spec", "os", "name") or text_at(pod, "spec", "nodeSelector", "kubernetes.io/os")
    return "Windows" if system.lower() == "windows" else ""


def _rows(pod: Mapping[str, Any], owner: tuple[str, str], look: Look) -> Iterator[dict[str, Any]]:
    namespace, name = key_of(pod)
    direct = controller_of(pod)
    started = text_at(pod, "status", "startTime") or text_at(pod, "metadata", "creationTimestamp")
    first, last = look.span(moment_of(started))
    running = {
        text_at(status, "name"): text_at(status, "image")
        for part in ("initContainerStatuses", "containerStatuses")
        for status in items_of(pod, "status", part)
    }
    if mapping_at(pod, "spec", "resources"):
        look.note(f"{namespace}/{name} sets resources for the whole pod; they are not part of its containers' requests")
    for role, container in role_containers(mapping_at(pod, "spec")):
        title = text_at(container, "name")
        yield {
            "namespace": namespace,
            "pod": name,
            "uid": text_at(pod, "metadata", "uid"),
            "container": title,
            "role": role,
            "scope": _scope(pod, container),
            "workload_kind": owner[0],
            "workload": owner[1],
            "revision": direct[1] if direct is not None else "",
            "node": text_at(pod, "spec", "nodeName"),
            "image": running.get(title) or text_at(container, "image"),
            "qos": text_at(pod, "status", "qosClass"),
            **_asked(container, f"{namespace}/{name} {title}", look),
            "first_seen": first,
            "last_seen": last,
        }
