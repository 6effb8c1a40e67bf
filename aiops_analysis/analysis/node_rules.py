"""Whether a pod may run on a node by its own rules: selector, required affinity, taints, volumes bound to a zone (methods.md B4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["may_run"]

_ZONES = ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone")
_BLOCKING = ("NoSchedule", "NoExecute")


def may_run(
    rules: Mapping[str, Any], labels: Mapping[str, str] | None, taints: Sequence[tuple[str, str, str]] | None, *, name: str, zone: str
) -> bool:
    """True when nothing that is known forbids it; labels and taints that are unknown forbid nothing, but the zone is known by itself."""
    zones = rules.get("zones") or ()
    if zones and zone and zone not in zones:
        return False
    if taints is not None and not all(_tolerated(taint, rules.get("tolerations") or ()) for taint in taints if taint[2] in _BLOCKING):
        return False
    terms = rules.get("node_affinity") or ()
    named = {"metadata.name": name, **dict.fromkeys(_ZONES, zone)} if zone else {"metadata.name": name}
    told = {**named, **(labels or {})}
    blind = labels is None
    if any(told.get(key) != value for key, value in (rules.get("node_selector") or {}).items() if key in told or not blind):
        return False
    return not terms or any(all(_holds(rule, told, blind) for rule in term) for term in terms)


def _tolerated(taint: tuple[str, str, str], tolerations: Sequence[Sequence[str]]) -> bool:
    key, value, effect = taint
    return any(
        how[3] in ("", effect) and ((how[1] == "Exists" and how[0] in ("", key)) or (how[0] == key and how[2] == value))
        for how in tolerations
    )


def _holds(rule: Sequence[Any], labels: Mapping[str, str], blind: bool) -> bool:
    key, operator, values = rule[0], rule[1], rule[2] if len(rule) > 2 else []
    if blind and key not in labels:
        return True
    has = labels.get(key)
    if operator in ("Gt", "Lt"):
        try:
            left, right = int(has or ""), int(values[0])
        except (ValueError, IndexError):
            return False
        return left > right if operator == "Gt" else left < right
    found = {"In": has in values, "NotIn": has not in values, "Exists": has is not None, "DoesNotExist": has is None}
    return found.get(operator, False)
