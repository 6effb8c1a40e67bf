"""How many nodes pods need at least: a certificate that no packing can beat (methods.md B4)."""

from __future__ import annotations

from collections.abc import Sequence

from aiops_analysis.core.bins import NodeKind, PodShape

__all__ = ["lower_bound"]


def lower_bound(shapes: Sequence[PodShape], kinds: Sequence[NodeKind]) -> int:
    """Nodes that no packing of these pods can beat, max over resources of ceil(demand / largest capacity) (methods.md B4)."""
    bound = max((-(-shape.count // shape.most_per_node) for shape in shapes if shape.most_per_node), default=0)
    for resource in ("cpu", "memory", "gpu"):
        demand = sum(shape.count * getattr(shape, resource) for shape in shapes)
        largest = max((getattr(kind, resource) for kind in kinds), default=0)
        if largest:
            bound = max(bound, -(-demand // largest))
    slots = max((kind.pods for kind in kinds), default=0)
    return max(bound, -(-sum(shape.count for shape in shapes) // slots)) if slots else bound
