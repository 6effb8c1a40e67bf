"""From the Kubernetes API to WORKLOADS: probes, disruption budgets, placement, autoscaling of the pods' size, heap flags."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from aiops_analysis.core.schema import WORKLOADS, check, empty
from aiops_analysis.sources.kube_parts import Look, Objects, controller_of, items_of, key_of, mapping_at, text_at
from aiops_analysis.sources.kube_pods import role_containers

__all__ = ["heap_flags", "selects", "workloads_of"]

_KINDS = {
    "Deployment": "deployments",
    "StatefulSet": "statefulsets",
    "DaemonSet": "daemonsets",
    "ReplicaSet": "replicasets",
    "CronJob": "cronjobs",
    "Job": "jobs",
}
_HEAP = re.compile(
    r"-Xm[xs]\d+[kKmMgGtT]?(?![\w.])"
    r"|-XX:(?:(?:Max|Min|Initial)RAMPercentage=\d+(?:\.\d+)?|(?:MaxRAM|MaxHeapSize|InitialHeapSize)=\d+[kKmMgGtT]?)(?![\w.])"
)
_LONGEST = 65_536  # characters looked at for flags, of one text


def workloads_of(objects: Objects, look: Look) -> pd.DataFrame:
    """WORKLOADS of everything that makes pods and that nothing else makes."""
    budgets = _by_namespace(objects.of("poddisruptionbudgets"))
    scalers = {
        (key_of(vpa)[0], text_at(vpa, "spec", "targetRef", "kind"), text_at(vpa, "spec", "targetRef", "name")): vpa
        for vpa in objects.of("verticalpodautoscalers")
    }
    first, last = look.span()
    rows = []
    for kind, plural in _KINDS.items():
        for item in objects.of(plural):
            if controller_of(item) is not None or not key_of(item)[1]:
                continue
            namespace, name = key_of(item)
            template = mapping_at(item, "spec", "jobTemplate", "spec", "template") or mapping_at(item, "spec", "template")
            vpa = scalers.get((namespace, kind, name))
            rows.append(
                {
                    "namespace": namespace,
                    "workload_kind": kind,
                    "workload": name,
                    "replicas": _replicas(kind, item),
                    **_settings(template),
                    "pdb": _budget(budgets.get(namespace, ()), mapping_at(template, "metadata", "labels")),
                    "vpa": key_of(vpa)[1] if vpa is not None else "",
                    "vpa_mode": text_at(vpa, "spec", "updatePolicy", "updateMode") or ("Auto" if vpa is not None else ""),
                    "first_seen": first,
                    "last_seen": last,
                }
            )
    return check(pd.DataFrame(rows), WORKLOADS) if rows else empty(WORKLOADS)


def _by_namespace(items: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for item in items:
        found.setdefault(key_of(item)[0], []).append(item)
    return found


def _replicas(kind: str, item: Mapping[str, Any]) -> float:
    """Pods that are wanted; a field that is left out means one."""
    wanted: object
    if kind == "DaemonSet":
        wanted = mapping_at(item, "status").get("desiredNumberScheduled", math.nan)
    elif kind == "CronJob":
        wanted = mapping_at(item, "spec", "jobTemplate", "spec").get("parallelism", 1)
    else:
        wanted = mapping_at(item, "spec").get("parallelism" if kind == "Job" else "replicas", 1)
    return float(wanted) if isinstance(wanted, int | float) else math.nan


def _settings(template: Mapping[str, Any]) -> dict[str, Any]:
    spec = mapping_at(template, "spec")
    apps = [container for role, container in role_containers(spec) if role == "app"]
    affinity = mapping_at(spec, "affinity")
    return {
        "readiness": bool(apps) and all(mapping_at(c, "readinessProbe") for c in apps),
        "liveness": bool(apps) and all(mapping_at(c, "livenessProbe") for c in apps),
        "affinity": bool(mapping_at(spec, "nodeSelector")) or any(affinity.get(part) for part in affinity),
        "spread": bool(items_of(spec, "topologySpreadConstraints")),
        "priority_class": text_at(spec, "priorityClassName"),
        "java_flags": " ".join(dict.fromkeys(flag for c in apps for flag in heap_flags(c))),
        "resize_restart": any(
            rule.get("restartPolicy") == "RestartContainer" for _, c in role_containers(spec) for rule in items_of(c, "resizePolicy")
        ),
    }


def heap_flags(container: Mapping[str, Any]) -> Iterator[str]:
    """Heap flags of a Java container in its command, arguments and environment, in that order; nothing else of those texts is kept.

    Which variable a start script reads is its own business (JAVA_TOOL_OPTIONS, JAVA_OPTS, CATALINA_OPTS, ...), so every one counts.
    """
    texts = [part for name in ("command", "args") for part in _list(container.get(name)) if isinstance(part, str)]
    texts += [text_at(variable, "value") for variable in items_of(container, "env")]
    for text in texts:
        yield from _HEAP.findall(text[:_LONGEST])


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _budget(budgets: Sequence[Mapping[str, Any]], labels: Mapping[str, Any]) -> str:
    """Name of the first PodDisruptionBudget, by name, that selects pods with these labels; "" without."""
    names = sorted(key_of(b)[1] for b in budgets if selects(mapping_at(b, "spec").get("selector"), labels))
    return names[0] if names else ""


def selects(selector: object, labels: Mapping[str, Any]) -> bool:
    """Whether a label selector matches: an empty one matches every pod, a missing one none, an unknown operator none."""
    if not isinstance(selector, Mapping):
        return False
    if any(labels.get(name) != value for name, value in mapping_at(selector, "matchLabels").items()):
        return False
    return all(_holds(rule, labels) for rule in items_of(selector, "matchExpressions"))


def _holds(rule: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    name, values = text_at(rule, "key"), _list(rule.get("values"))
    match text_at(rule, "operator"):
        case "In":
            return name in labels and labels[name] in values
        case "NotIn":
            return name not in labels or labels[name] not in values
        case "Exists":
            return name in labels
        case "DoesNotExist":
            return name not in labels
    return False
