"""What the labels of a node say about it, and which of them a metrics server tells by a name that is known for certain.

kube-state-metrics writes ``topology.kubernetes.io/zone`` as ``label_topology_kubernetes_io_zone``: the way back is not unique, so only
well-known labels are taken back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

__all__ = ["described", "original_labels"]

_POOLS = (
    "karpenter.sh/nodepool",
    "eks.amazonaws.com/nodegroup",
    "cloud.google.com/gke-nodepool",
    "kubernetes.azure.com/agentpool",
    "agentpool",
    "doks.digitalocean.com/node-pool",
)
_SPOT = (
    "karpenter.sh/capacity-type",
    "eks.amazonaws.com/capacityType",
    "cloud.google.com/gke-provisioning",
    "cloud.google.com/gke-spot",
    "kubernetes.azure.com/scalesetpriority",
)
_TYPE = ("node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type")
_REGION = ("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region")
_ZONE = ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone")
_MACHINE = ("kubernetes.io/arch", "kubernetes.io/os", "beta.kubernetes.io/arch", "beta.kubernetes.io/os", "kubernetes.io/hostname")
_WELL_KNOWN = (*_POOLS, *_SPOT, *_TYPE, *_REGION, *_ZONE, *_MACHINE)


def described(labels: Mapping[str, str]) -> dict[str, str]:
    """Pool, instance type, region, zone and capacity type of a node by its labels; "" is not said, a pool is its type or ``default``."""

    def first(names: Sequence[str]) -> str:
        return next((labels[name] for name in names if labels.get(name)), "")

    spot, kind = first(_SPOT).lower(), first(_TYPE)
    return {
        "pool": first(_POOLS) or kind or "default",
        "instance_type": kind,
        "region": first(_REGION),
        "zone": first(_ZONE),
        "capacity_type": "spot" if spot in ("spot", "true", "preemptible") else ("on-demand" if spot else ""),
    }


def _shown(name: str) -> tuple[str, str]:
    """A label's names on kube_node_labels: what is not allowed is ``_``; newer releases also turn camelCase into snake_case."""
    allowed = "label_" + re.sub(r"[^a-zA-Z0-9_]", "_", name)
    return allowed, re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", allowed).lower()


_ORIGINAL = {shown: name for name in _WELL_KNOWN for shown in _shown(name)}


def original_labels(metric: Mapping[str, str]) -> dict[str, str]:
    """The well-known labels of a node from the labels of its kube_node_labels series, under their own names.

    >>> original_labels({"node": "n1", "label_topology_kubernetes_io_zone": "eu-1a", "label_team_a_b": "x"})
    {'topology.kubernetes.io/zone': 'eu-1a'}
    """
    return {_ORIGINAL[name]: value for name, value in metric.items() if name in _ORIGINAL and value}
