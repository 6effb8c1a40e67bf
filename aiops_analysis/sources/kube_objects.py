"""One look at the Kubernetes API as the frames of the history; what is allowed is read, what is missing stays out."""

from __future__ import annotations

import pandas as pd

from aiops_analysis.sources.kube_parts import Look, Objects
from aiops_analysis.sources.kube_pods import inventory_of
from aiops_analysis.sources.kube_rules import bounds_of, hpas_of, nodes_of
from aiops_analysis.sources.kube_workloads import workloads_of

__all__ = ["NEEDS", "frames_of"]

#: The kinds of the history that the API tells, and the lists without which a kind is not written at all.
NEEDS: dict[str, tuple[str, ...]] = {
    "inventory": ("pods",),
    "nodes": ("nodes",),
    "hpas": ("horizontalpodautoscalers",),
    "bounds": ("limitranges", "resourcequotas"),
    "workloads": ("deployments", "statefulsets", "daemonsets"),
}
_MAKERS = {"inventory": inventory_of, "nodes": nodes_of, "hpas": hpas_of, "bounds": bounds_of, "workloads": workloads_of}


def frames_of(objects: Objects, look: Look) -> dict[str, pd.DataFrame]:
    """The frames of one look by kind; a kind is left out when none of its lists could be read, so that "not known" never reads as "none".

    What was odd (a quantity that cannot be meant, a quota for some pods) is added to ``look.notes``.
    """
    return {kind: _MAKERS[kind](objects, look) for kind, needs in NEEDS.items() if any(name in objects.lists for name in needs)}
