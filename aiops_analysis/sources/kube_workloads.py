"""From the Kubernetes API to WORKLOADS: probes, disruption budgets, placement, autoscaling of the pods' size, heap flags."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from aiops_analysis.core.schema import WORKLOADS, check, empty
from aiops_analysis.sources.kube_parts import Look, Objects, items_of, key_of, mapping_at, text_at
from aiops_analysis.sources.kube_pods import role_containers
from aiops_analysis.sources.kube_scheduling import Scheduling
from aiops_analysis.sources.kube_selectors import makers_of, selects, template_of

__all__ = ["heap_flags", "workloads_of"]

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
    scheduling = Scheduling.of(objects, look)
    rows = []
    for kind, item in makers_of(objects):
        namespace, name = key_of(item)
        template = template_of(item)
        vpa = scalers.get((namespace, kind, name))
        mine = _budgets(budgets.get(namespace, ()), mapping_at(template, "metadata", "labels"))
        replicas = _replicas(kind, item)
        claims = [key_of(claim)[1] for claim in items_of(item, "spec", "volumeClaimTemplates")]
        rows.append(
            {
                "namespace": namespace,
                "workload_kind": kind,
                "workload": name,
                "replicas": replicas,
                **_settings(template),
                "pdb": key_of(mine[0])[1] if mine else "",
                "vpa": key_of(vpa)[1] if vpa is not None else "",
                "vpa_mode": text_at(vpa, "spec", "updatePolicy", "updateMode") or ("Auto" if vpa is not None else ""),
                "scheduling": scheduling.rules((namespace, kind, name), template, claims),
                "disruptions": _disruptions(mine),
                "surge": _surge(kind, item, replicas),
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


def _budgets(budgets: Sequence[Mapping[str, Any]], labels: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The PodDisruptionBudgets, by name, that select pods with these labels."""
    return sorted((b for b in budgets if selects(mapping_at(b, "spec").get("selector"), labels)), key=lambda b: key_of(b)[1])


def _disruptions(budgets: Sequence[Mapping[str, Any]]) -> float:
    """Pods that every one of the budgets lets go at once, NaN when none says so."""
    allowed = [mapping_at(budget, "status").get("disruptionsAllowed") for budget in budgets]
    return min((float(n) for n in allowed if isinstance(n, int) and not isinstance(n, bool)), default=math.nan)


def _surge(kind: str, item: Mapping[str, Any], replicas: float) -> float:
    """Pods above the wanted ones during a rollout; a share is rounded up, as the Deployment's controller does, a quarter by default."""
    if kind != "Deployment" or text_at(item, "spec", "strategy", "type") == "Recreate":
        return 0.0
    most = mapping_at(item, "spec", "strategy", "rollingUpdate").get("maxSurge", "25%")
    if isinstance(most, int) and not isinstance(most, bool):
        return float(max(most, 0))
    share = re.fullmatch(r"(\d{1,4})%", most, re.ASCII) if isinstance(most, str) else None
    return float(-(-int(share[1]) * int(replicas) // 100)) if share is not None and not math.isnan(replicas) else math.nan
