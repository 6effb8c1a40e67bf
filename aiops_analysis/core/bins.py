"""Words of node packing: pods that are alike, nodes that are alike, and what was put where (methods.md B4). Whole numbers only.

CPU in millicores rounded up, memory in bytes: a sum of floats must not decide whether a pod fits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["NodeKind", "Packing", "Placed", "PodShape"]


@dataclass(frozen=True, slots=True)
class PodShape:
    """Pods with one size and one set of rules; a workload's pods are one shape, or more when they differ."""

    key: str  # unique, such as namespace/kind/workload
    count: int
    cpu: int  # [millicores] effective request: containers and native sidecars, or an init container that needs more, and the overhead
    memory: int  # [bytes]
    gpu: int = 0
    kinds: frozenset[str] | None = None  # names of the node kinds its rules allow; None: any
    most_per_node: int = 0  # 1 for required anti-affinity against itself on the host name, or host ports; 0: no bound
    most_per_zone: int = 0
    skew: int = 0  # maxSkew of a DoNotSchedule spread over zones; 0: none
    apart: frozenset[str] = frozenset()  # keys that must not be on the same node (required anti-affinity)
    beside: frozenset[str] = frozenset()  # keys of which one must be on the same node (required affinity)


@dataclass(frozen=True, slots=True)
class NodeKind:
    """Nodes with one size in one pool; what DaemonSets take is already off."""

    name: str  # unique
    cpu: int  # [millicores]
    memory: int  # [bytes]
    pods: int  # slots
    gpu: int = 0
    zones: tuple[str, ...] = ("",)  # new nodes are spread over them in turn
    price_hour: float = 1.0  # [currency / hour] decides which kind is opened first
    most: int | None = None  # nodes of this kind that there are; None: as many as needed
    least: int = 0  # smallest size of the pool


@dataclass(frozen=True, slots=True)
class Placed:
    """One node of a packing."""

    kind: str
    zone: str
    pods: Mapping[str, int]  # shape key -> pods


@dataclass(frozen=True, slots=True)
class Packing:
    """Nodes with what is on them, the pods that fit nowhere and why."""

    nodes: tuple[Placed, ...]
    unplaced: Mapping[str, int] = field(default_factory=dict)  # shape key -> pods
    why: Mapping[str, str] = field(default_factory=dict)  # shape key -> one sentence

    def count(self, kind: str | None = None) -> int:
        """Nodes with at least one pod, of a kind or of all."""
        return sum(1 for node in self.nodes if node.pods and kind in (None, node.kind))
