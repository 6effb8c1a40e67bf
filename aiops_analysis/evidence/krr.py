"""Recommendations in the JSON of Robusta KRR, for what reads that already (ecosystem.md section 7).

Shape of KRR's ``Result``, without ``config``, which holds secrets there. Values in cores and bytes; null is "not set", "?" is "no
recommendation". Severities by KRR's own thresholds, the score by its own weights.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from aiops_analysis.core.schema import GROUP, RECOMMENDATIONS, RESOURCES, check
from aiops_analysis.core.units import MIB
from aiops_analysis.evidence.record import guard, json_bytes

__all__ = ["krr_csv", "krr_json"]

#: Kinds that KRR's reader knows; another one makes it refuse the whole file.
_KINDS = frozenset({"Deployment", "DaemonSet", "StatefulSet", "Job", "CronJob", "Rollout", "DeploymentConfig", "StrimziPodSet"})
_WORST = ("CRITICAL", "WARNING", "OK", "GOOD", "UNKNOWN")
_COSTS = {"CRITICAL": 1.0, "WARNING": 0.7}
_STEPS = {"cpu": (0.5, 0.25, 0.1), "memory": (500.0 * MIB, 250.0 * MIB, 100.0 * MIB)}


def krr_json(recommendations: pd.DataFrame, policy: Mapping[str, Any] | None = None) -> bytes:
    """The document of a RECOMMENDATIONS frame: one scan a container; ``policy`` becomes the strategy's settings.

    Rows of kinds that KRR does not know are left out and counted in the description.
    """
    groups, found = _scans(recommendations)
    scans = [scan for scan, _ in found]
    omitted = groups - len(scans)
    settings = dict(policy or {})
    return json_bytes(
        {
            "scans": scans,
            "score": _score(scans),
            "resources": list(RESOURCES),
            "description": "aiops-analysis, guarded recommendations"
            + (f"; {omitted} containers of kinds that KRR does not know are left out" if omitted else ""),
            "strategy": {"name": "aiops-analysis", "settings": settings},
            "errors": [],
            "clusterSummary": {},
        }
    )


def krr_csv(recommendations: pd.DataFrame) -> bytes:
    """The same as KRR's ``csv-raw``: one line a container, amounts in cores and bytes.

    "unset" is what is not set, "?" no recommendation. Pods counts the mean running replicas, rounded; names that a spreadsheet could take
    for a formula are guarded with an apostrophe.
    """
    _, found = _scans(recommendations)
    named = {"cpu": "CPU", "memory": "Memory"}
    rows = []
    for scan, replicas in found:
        one, new = scan["object"], scan["recommended"]
        row = {
            "Namespace": guard(one["namespace"]),
            "Name": guard(one["name"]),
            "Pods": f"{replicas:.0f}" if math.isfinite(replicas) else "0",
            "Old Pods": "0",
            "Type": one["kind"],
            "Container": guard(one["container"]),
            "Severity": scan["severity"],
        }
        for resource in RESOURCES:
            for section, title in (("requests", "Requests"), ("limits", "Limits")):
                row[f"{named[resource]} {title} Current"] = _shown(one["allocations"][section][resource])
                row[f"{named[resource]} {title} Recommended"] = _shown(new[section][resource]["value"])
        rows.append(row)
    heads = ["Namespace", "Name", "Pods", "Old Pods", "Type", "Container", "Severity"]
    heads += [f"{n} {t} {w}" for n in named.values() for t in ("Requests", "Limits") for w in ("Current", "Recommended")]
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, heads)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode("utf-8", "backslashreplace")


def _shown(value: float | str | None) -> str:
    if value is None:
        return "unset"
    if isinstance(value, str):
        return value
    return str(int(value)) if value.is_integer() else repr(value)


def _scans(recommendations: pd.DataFrame) -> tuple[int, list[tuple[dict[str, Any], float]]]:
    """How many containers there are; the scan and the mean replicas of each whose kind KRR knows."""
    groups: dict[tuple[str, ...], dict[str, dict[str, Any]]] = {}
    for one in check(recommendations, RECOMMENDATIONS).to_dict("records"):
        groups.setdefault(tuple(one[name] for name in ("cluster", *GROUP)), {})[one["resource"]] = one
    kept = [(key, rows) for key, rows in sorted(groups.items()) if key[2] in _KINDS]
    return len(groups), [(_scan(key, rows), float(next(iter(rows.values()))["replicas"])) for key, rows in kept]


def _scan(key: tuple[str, ...], rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    cluster, namespace, kind, workload, container = key
    allocations: dict[str, Any] = {"requests": {}, "limits": {}, "info": {}}
    recommended: dict[str, Any] = {"requests": {}, "limits": {}, "info": {}}
    for resource in RESOURCES:
        one = rows.get(resource)
        for section, field in (("requests", "request"), ("limits", "limit")):
            now = _number(one[f"current_{field}"]) if one else None
            new = _number(one[f"guarded_{field}"]) if one and math.isfinite(one["guarded_request"]) else "?"
            allocations[section][resource] = now
            recommended[section][resource] = {"value": new, "severity": _severity(resource, now, new)}
        recommended["info"][resource] = " ".join(str(reason.code) for reason in one["reasons"]) or None if one else None
    about: dict[str, Any] = {
        "cluster": cluster,
        "name": workload,
        "container": container,
        "pods": [],
        "hpa": None,
        "namespace": namespace,
        "kind": kind,
    }
    seen = {recommended[section][resource]["severity"] for section in ("requests", "limits") for resource in RESOURCES}
    return {
        "object": about | {"allocations": allocations, "warnings": [], "labels": {}, "annotations": {}},
        "recommended": recommended,
        "severity": next(word for word in _WORST if word in seen),
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _severity(resource: str, now: float | None, new: float | str | None) -> str:
    if isinstance(new, str):
        return "UNKNOWN"
    if now is None or new is None:
        return "GOOD" if now is new else "WARNING"
    steps = zip(_STEPS[resource], ("CRITICAL", "WARNING", "OK"), strict=True)
    return next((word for least, word in steps if abs(now - new) >= least), "GOOD")


def _score(scans: list[dict[str, Any]]) -> int:
    costs = sum(_COSTS.get(scan["severity"], 0.0) for scan in scans)
    return int((len(scans) - costs) / len(scans) * 100) if scans else 0
