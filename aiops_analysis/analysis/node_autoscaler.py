"""Which program takes empty nodes away, if any: without one a freed node stays on the bill (methods.md B4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from aiops_analysis.analysis.fleet import Node
from aiops_analysis.core.errors import UsageError

__all__ = ["AUTOSCALERS", "autoscalers", "takes_away"]

AUTOSCALERS = ("cluster-autoscaler", "karpenter", "managed", "none", "unknown")
_KARPENTER = ("karpenter.sh/nodepool", "karpenter.sh/provisioner-name")
_EKS_AUTO = ("eks.amazonaws.com/compute-type", "auto")
_AUTOPILOT = "gk3-"  # how nodes of GKE Autopilot are named
#: Clouds that run their autoscaler in the control plane, where no inventory of pods shows it.
_HIDDEN = ("gce://", "azure://")


def takes_away(autoscaler: str) -> bool:
    """True for what removes a node by itself once nothing needs it."""
    return autoscaler in ("cluster-autoscaler", "karpenter", "managed")


def autoscalers(pools: Iterable[tuple[str, Sequence[Node]]], inventory: pd.DataFrame, given: str = "") -> dict[str, str]:
    """The autoscaler of each pool, one of ``AUTOSCALERS``; ``given`` overrides what is found. Raises UsageError for another word.

    Looked for: labels of Karpenter, of EKS Auto Mode and the node names of GKE Autopilot; a workload or image called cluster-autoscaler or
    karpenter. "none" needs sight of kube-system and a cloud whose autoscaler runs as a pod; else a pool without a sign is "unknown".
    """
    if given and given not in AUTOSCALERS:
        raise UsageError(f"the autoscaler is {given[:40]!r}, expected one of {', '.join(AUTOSCALERS)}")
    if given:
        return {pool: given for pool, _ in pools}
    seen = _programs(inventory)
    whole = bool((inventory["namespace"] == "kube-system").any())
    return {pool: _of_pool(nodes, seen, whole) for pool, nodes in pools}


def _programs(inventory: pd.DataFrame) -> frozenset[str]:
    """Autoscalers among the workloads, by name or image."""
    texts = set(inventory["workload"]) | {image.rpartition("/")[2] for image in set(inventory["image"])}
    return frozenset(name for name in ("cluster-autoscaler", "karpenter") if any(name in text.lower() for text in texts))


def _of_pool(nodes: Sequence[Node], seen: frozenset[str], whole: bool) -> str:
    labels = [node.rules.labels for node in nodes if node.rules.labels is not None]
    if any(found.get(_EKS_AUTO[0]) == _EKS_AUTO[1] for found in labels) or any(n.name.startswith(_AUTOPILOT) for n in nodes):
        return "managed"
    if any(name in found for found in labels for name in _KARPENTER):
        return "karpenter"
    if "cluster-autoscaler" in seen:
        return "cluster-autoscaler"
    if "karpenter" in seen:
        # it takes away only nodes that carry its label
        return "unknown" if not labels else "none"
    hidden = any(node.provider_id.startswith(_HIDDEN) for node in nodes)
    known = all(node.provider_id for node in nodes)
    return "none" if whole and known and not hidden else "unknown"
