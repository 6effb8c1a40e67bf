"""A resource that a HorizontalPodAutoscaler scales on: request and target are one change (methods.md A9).

An HPA keeps usage near target x request. A rule that makes the request a multiple of usage would be followed by other replicas, which
change usage again; only at a target of 100 / (request factor) percent does that come to rest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from aiops_analysis.analysis.policy import SizingPolicy
from aiops_analysis.analysis.sizing import known
from aiops_analysis.core.reasons import Code, Reason

__all__ = ["fixed_point", "left_alone", "new_target", "settle"]


def fixed_point(policy: SizingPolicy, resource: str) -> float:
    """The target [percent] at which the rule would not move the request under an HPA: 100 / request factor."""
    return 100 / (policy.memory_request_factor if resource == "memory" else policy.cpu_request_factor)


def new_target(target: float, today: Sequence[float], then: Sequence[float]) -> float:
    """The target [percent] that keeps replicas as they are: target x sum of requests today / sum of requests then, to a whole percent.

    Sums are over the containers of one pod, as the HPA itself divides. NaN when a request or the target is not known.

    >>> new_target(60.0, [0.25], [0.35])
    43.0
    """
    if not known(target) or not today or not all(known(v) and v > 0 for v in (*today, *then)):
        return math.nan
    return float(math.floor(target * math.fsum(today) / math.fsum(then) + 0.5))


def left_alone(name: str, resource: str, target: float, request: str, together: float, policy: SizingPolicy) -> Reason:
    """Why a row is left to its HPA, and what the one change would be; ``request`` is the rule's for people, "" when it has none."""
    message = f"HorizontalPodAutoscaler {name} scales this workload on {resource}"
    message += f" at {target:g} %" if known(target) else ""
    message += ": a new request alone would change its replicas."
    data: dict[str, Any] = {"hpa": name, "target": target if known(target) else None, "fixed_point": fixed_point(policy, resource)}
    if request and known(together):
        at_rest = f"the rule comes to rest only at a target of {fixed_point(policy, resource):g} %"
        message += f" As one change: request {request} with target {together:g} % keeps them; {at_rest}."
        data["target_new"] = together
    return Reason(Code.HPA_MANAGED, message, data)


def settle(name: str, resource: str, target: float, together: float, policy: SizingPolicy) -> Reason:
    """The reason of a row whose request and target change together, or why it is refused: HPA_TOGETHER or HPA_OUT_OF_RANGE."""
    data = {"hpa": name, "target": target, "target_new": together if known(together) else None}
    if not known(together):
        message = f"HorizontalPodAutoscaler {name} scales on {resource}, but its target or a request of the pod is not known."
        return Reason(Code.HPA_OUT_OF_RANGE, message, data)
    if not policy.hpa_lowest <= together <= policy.hpa_highest:
        allowed = f"{policy.hpa_lowest:g} to {policy.hpa_highest:g} %"
        message = f"The target of {name} that goes with the new request, {together:g} %, is outside {allowed}."
        return Reason(Code.HPA_OUT_OF_RANGE, message, data)
    message = f"One change: the target of {name} goes from {target:g} to {together:g} % together with the request, so its replicas stay."
    return Reason(Code.HPA_TOGETHER, message, data)
