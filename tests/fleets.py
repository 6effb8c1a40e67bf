"""Tiny clusters as frames of the contracts: a few nodes, a few pods, whole cores and GiB, for the tests of what can be banked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from aiops_analysis.analysis.fleet import Fleet, changes_of, fleet_of, sizes_of
from aiops_analysis.analysis.pool_need import Need, Terms
from aiops_analysis.analysis.pools import pools_of
from aiops_analysis.core.schema import INVENTORY, NODES, RECOMMENDATIONS, WORKLOADS, blank, check, empty
from aiops_analysis.core.units import GIB

__all__ = ["DAY", "Cluster", "decrease", "rows"]

DAY = pd.Timestamp("2026-11-01", tz="UTC")
_SPAN = {"first_seen": DAY, "last_seen": DAY + pd.Timedelta(days=1)}


@dataclass
class Cluster:
    """``nodes``: name -> (pool, cores, GiB); ``pods``: (node, workload, cores, GiB), the workload as name or namespace/kind/name.

    ``rules``: workload -> scheduling; a cluster with ``rules=None`` was never asked. ``zones``, ``labels``: by node.
    """

    nodes: Mapping[str, tuple[str, float, float]]
    pods: Sequence[tuple[str, str, float, float]]
    rules: Mapping[str, Mapping[str, object]] | None = field(default_factory=dict)
    zones: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    slots: int = 20

    def node_frame(self) -> pd.DataFrame:
        """NODES of one day."""
        out = []
        for name, (pool, cpu, gib) in self.nodes.items():
            size = {"cpu_allocatable": cpu, "cpu_capacity": cpu, "memory_allocatable": gib * GIB, "memory_capacity": gib * GIB}
            about = {"labels": json.dumps(dict(self.labels.get(name, {}))), "taints": "[]", "pods_allocatable": float(self.slots)}
            zone = {"zone": self.zones.get(name, "a"), "instance_type": f"t{cpu:g}", "provider_id": f"aws:///a/{name}"}
            out.append(blank(NODES) | {"node": name, "pool": pool, **size, **about, **zone, **_SPAN})
        return check(pd.DataFrame(out), NODES) if out else empty(NODES)

    def inventory(self) -> pd.DataFrame:
        """INVENTORY of one day, a container a pod."""
        out = []
        for number, (node, workload, cpu, gib) in enumerate(self.pods):
            namespace, kind, name = key_of(workload)
            row = {"namespace": namespace, "pod": f"{name}-{number}", "uid": f"u{number}", "container": "app", "role": "app", "node": node}
            row |= {"workload_kind": kind, "workload": name, "cpu_request": cpu, "memory_request": gib * GIB, **_SPAN}
            out.append(blank(INVENTORY) | row)
        return check(pd.DataFrame(out), INVENTORY) if out else empty(INVENTORY)

    def workload_frame(self) -> pd.DataFrame:
        """WORKLOADS; every workload is known unless ``rules`` is None, with no surge."""
        if self.rules is None:
            return empty(WORKLOADS)
        out = []
        for workload in dict.fromkeys(pod[1] for pod in self.pods):
            namespace, kind, name = key_of(workload)
            row = {"namespace": namespace, "workload_kind": kind, "workload": name, "surge": 0.0, **_SPAN}
            row |= {"scheduling": json.dumps(dict(self.rules.get(workload, {})))} | dict(self.settings.get(workload, {}))
            out.append(blank(WORKLOADS) | row)
        return check(pd.DataFrame(out), WORKLOADS) if out else empty(WORKLOADS)

    def fleet(self) -> Fleet:
        """The fleet at noon."""
        return fleet_of(self.inventory(), self.node_frame(), self.workload_frame(), DAY + pd.Timedelta(hours=12))

    def needs(self, terms: Terms | None = None) -> dict[str, Need]:
        """What each pool needs, measured against today."""
        fleet = self.fleet()
        today = sizes_of(fleet, {})
        return {name: Need(pool, today, terms or Terms("karpenter", node_month=100.0)) for name, pool in pools_of(fleet, {}).items()}

    def after(self, recommendations: pd.DataFrame) -> tuple[tuple[int, int], ...]:
        """Sizes after the recommendations."""
        return sizes_of(self.fleet(), changes_of(recommendations))


def key_of(workload: str) -> tuple[str, str, str]:
    """A bare name is a Deployment of the namespace n."""
    parts = workload.split("/")
    return (parts[0], parts[1], parts[2]) if len(parts) == 3 else ("n", "Deployment", workload)


def decrease(workload: str, resource: str, now: float, then: float, **more: object) -> dict[str, object]:
    """A row that lowers (or raises) a request, in cores or GiB."""
    namespace, kind, name = key_of(workload)
    unit = 1 if resource == "cpu" else GIB
    row = {"namespace": namespace, "workload_kind": kind, "workload": name, "container": "app", "resource": resource, "cluster": "c"}
    row |= {"current_request": now * unit, "guarded_request": then * unit, "change": "decrease" if then < now else "increase"}
    return row | {"id": f"{name}-{resource}", "grade": "high", "replicas": 1.0, "paper": 1000.0} | more


def rows(*given: dict[str, object]) -> pd.DataFrame:
    """RECOMMENDATIONS of these rows."""
    return check(pd.DataFrame([blank(RECOMMENDATIONS) | row for row in given], columns=list(RECOMMENDATIONS.columns)), RECOMMENDATIONS)
