"""From the Kubernetes API to NODES, HPAS and BOUNDS: what a cluster offers, scales and allows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from aiops_analysis.core.compact import compact
from aiops_analysis.core.errors import UsageError
from aiops_analysis.core.names import visible
from aiops_analysis.core.schema import BOUNDS, HPAS, NODES, Contract, check, empty
from aiops_analysis.core.units import parse_quantity
from aiops_analysis.sources.kube_parts import Look, Objects, controller_of, items_of, key_of, mapping_at, moment_of, quantity, text_at
from aiops_analysis.sources.node_labels import described

__all__ = ["bounds_of", "hpas_of", "nodes_of"]

_KEDA = "scaledobject.keda.sh/name"
_LIMITS = ("min", "max", "default", "defaultRequest", "maxLimitRequestRatio")


def _frame(rows: list[dict[str, Any]], contract: Contract) -> pd.DataFrame:
    return check(pd.DataFrame(rows), contract) if rows else empty(contract)


def nodes_of(objects: Objects, look: Look) -> pd.DataFrame:
    """NODES of the look; a node is there since its creation within the day."""
    rows = []
    for node in objects.of("nodes"):
        name = key_of(node)[1]
        sizes = {
            f"{resource}_{field}": quantity(
                mapping_at(node, "status", field).get(resource), resource, f"node {name} {field} {resource}", look
            )
            for field in ("capacity", "allocatable")
            for resource in ("cpu", "memory", "pods")
        }
        del sizes["pods_capacity"]
        first, last = look.span(moment_of(text_at(node, "metadata", "creationTimestamp")))
        labels = {k: v for k, v in mapping_at(node, "metadata", "labels").items() if isinstance(v, str)}
        rows.append(
            {
                "node": name,
                **described(labels),
                "provider_id": text_at(node, "spec", "providerID"),
                "version": text_at(node, "status", "nodeInfo", "kubeletVersion"),
                **sizes,
                "labels": compact(labels),
                "taints": compact(_taints(node)),
                "unschedulable": mapping_at(node, "spec").get("unschedulable") is True,
                "first_seen": first,
                "last_seen": last,
            }
        )
    return _frame([row for row in rows if row["node"]], NODES)


def _taints(node: Mapping[str, Any]) -> list[list[str]]:
    return sorted([text_at(taint, name) for name in ("key", "value", "effect")] for taint in items_of(node, "spec", "taints"))


def hpas_of(objects: Objects, look: Look) -> pd.DataFrame:
    """HPAS of the look, one row a metric; ContainerResource counts as its resource, a KEDA ScaledObject's own HPA is noted as such."""
    first, last = look.span()
    rows = []
    for hpa in objects.of("horizontalpodautoscalers"):
        namespace, name = key_of(hpa)
        spec = mapping_at(hpa, "spec")
        scaled = text_at(hpa, "metadata", "labels", _KEDA) or _scaled_object(hpa)
        if scaled:
            look.note(f"HorizontalPodAutoscaler {namespace}/{name} is made by KEDA: change its ScaledObject {scaled} instead")
        for metric, value, kind in list(_metrics(spec, f"HPA {namespace}/{name}", look)) or [("", math.nan, "")]:
            rows.append(
                {
                    "namespace": namespace,
                    "hpa": name,
                    "target_kind": text_at(spec, "scaleTargetRef", "kind"),
                    "target": text_at(spec, "scaleTargetRef", "name"),
                    "metric": metric,
                    "target_value": value,
                    "target_type": kind,
                    "min_replicas": _number(spec.get("minReplicas"), 1.0),  # the API's own default
                    "max_replicas": _number(spec.get("maxReplicas"), math.nan),
                    "first_seen": first,
                    "last_seen": last,
                }
            )
    return _frame(rows, HPAS)


def _scaled_object(hpa: Mapping[str, Any]) -> str:
    owner = controller_of(hpa)
    return owner[1] if owner is not None and owner[0] == "ScaledObject" else ""


def _number(value: object, otherwise: float) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else otherwise


def _metrics(spec: Mapping[str, Any], where: str, look: Look) -> Iterator[tuple[str, float, str]]:
    """Name, target and kind of target of every metric; autoscaling/v1 knows CPU utilisation alone."""
    if "targetCPUUtilizationPercentage" in spec:
        yield "cpu", _number(spec["targetCPUUtilizationPercentage"], math.nan), "utilization"
    for metric in items_of(spec, "metrics"):
        kind = text_at(metric, "type")
        part = mapping_at(metric, kind[:1].lower() + kind[1:])
        name = text_at(part, "name") or text_at(part, "metric", "name")
        target = mapping_at(part, "target")
        if text_at(target, "type") == "Utilization":
            yield name, _number(target.get("averageUtilization"), math.nan), "utilization"
        elif text_at(target, "type") == "AverageValue":
            yield name, _plain(target.get("averageValue"), where, look), "average"
        else:
            yield name, _plain(target.get("value"), where, look), "value" if "value" in target else ""


def _plain(value: object, where: str, look: Look) -> float:
    """A quantity without a unit of ours, such as requests a second."""
    if value is None:
        return math.nan
    try:
        return float(parse_quantity(str(value)))
    except UsageError as error:
        look.note(f"{visible(where)}: {error}")
        return math.nan


def bounds_of(objects: Objects, look: Look) -> pd.DataFrame:
    """BOUNDS of the look, from LimitRanges and ResourceQuotas; a quota for some pods only is noted and left out."""
    first, last = look.span()
    found = [*_limit_ranges(objects, look), *_quotas(objects, look)]
    names = ("namespace", "kind", "name", "scope", "resource", "field", "value")
    rows = [dict(zip(names, row, strict=True)) | {"first_seen": first, "last_seen": last} for row in found if not math.isnan(row[-1])]
    return _frame(rows, BOUNDS)


def _limit_ranges(objects: Objects, look: Look) -> Iterator[tuple[str, str, str, str, str, str, float]]:
    for item in objects.of("limitranges"):
        namespace, name = key_of(item)
        for limit in items_of(item, "spec", "limits"):
            scope = text_at(limit, "type")
            if scope not in ("Container", "Pod"):
                continue
            for field in _LIMITS:
                for resource in ("cpu", "memory"):
                    raw = mapping_at(limit, field).get(resource)
                    where = f"LimitRange {namespace}/{name} {field} {resource}"
                    value = _plain(raw, where, look) if field == "maxLimitRequestRatio" else quantity(raw, resource, where, look)
                    yield namespace, "LimitRange", name, scope, resource, field, value


def _quotas(objects: Objects, look: Look) -> Iterator[tuple[str, str, str, str, str, str, float]]:
    for item in objects.of("resourcequotas"):
        namespace, name = key_of(item)
        if items_of(item, "spec", "scopeSelector", "matchExpressions") or mapping_at(item, "spec").get("scopes"):
            look.note(f"ResourceQuota {namespace}/{name} holds for some pods only (scopes) and is left out")
            continue
        for field, values in (("hard", mapping_at(item, "spec", "hard")), ("used", mapping_at(item, "status", "used"))):
            for resource in ("cpu", "memory"):
                for side in ("requests", "limits"):
                    raw = values.get(f"{side}.{resource}")
                    if raw is None and side == "requests":
                        raw = values.get(resource)  # the short name of the same
                    where = f"ResourceQuota {namespace}/{name} {side}.{resource}"
                    yield namespace, "ResourceQuota", name, "", resource, f"{side}.{field}", quantity(raw, resource, where, look)
