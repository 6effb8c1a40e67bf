"""Pods into nodes (methods.md B4): how many nodes a set of pods needs, and whether pods fit into the room that nodes still have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aiops_analysis.core.bins import NodeKind, Packing, Placed, PodShape

__all__ = ["Fit", "fits", "pack"]


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether pods fit into given room; true in a condition when they do."""

    ok: bool
    packing: Packing = field(default_factory=lambda: Packing(()))  # where they went, by the name of the kind
    proved: bool = True  # a "no" that every order of placing was tried for; a "yes" is proof by itself

    def __bool__(self) -> bool:
        return self.ok


def pack(shapes: Sequence[PodShape], kinds: Sequence[NodeKind], *, order: str = "dot") -> Packing:
    """Nodes for all pods: first-fit decreasing by cpu, then memory."""
    nodes: list[tuple[NodeKind, list[int], dict[str, int]]] = []
    opened = {kind.name: 0 for kind in kinds}
    rules = {shape.key: shape for shape in shapes}
    unplaced: dict[str, int] = {}
    why: dict[str, str] = {}
    for shape in sorted(shapes, key=lambda one: (-one.cpu, -one.memory, one.key)):
        need = (shape.cpu, shape.memory, 1, shape.gpu)
        for _ in range(shape.count):
            for kind, free, pods in nodes:
                if _allowed(shape, kind, need, free, pods, rules):
                    break
            else:
                for kind in sorted(kinds, key=lambda one: (one.price_hour / max(one.cpu, 1), one.name)):
                    free, pods = [kind.cpu, kind.memory, kind.pods, kind.gpu], {}
                    if (kind.most is None or opened[kind.name] < kind.most) and _allowed(shape, kind, need, free, pods, rules):
                        nodes.append((kind, free, pods))
                        opened[kind.name] += 1
                        break
                else:
                    unplaced[shape.key] = unplaced.get(shape.key, 0) + 1
                    why[shape.key] = "no node it may run on has room for it"
                    continue
            pods[shape.key] = pods.get(shape.key, 0) + 1
            free[:] = [have - want for have, want in zip(free, need, strict=True)]
    return Packing(tuple(Placed(kind.name, kind.zones[0], pods) for kind, _, pods in nodes), unplaced, why)


def _allowed(
    shape: PodShape, kind: NodeKind, need: Sequence[int], free: Sequence[int], pods: Mapping[str, int], rules: Mapping[str, PodShape]
) -> bool:
    if shape.kinds is not None and kind.name not in shape.kinds:
        return False
    if shape.most_per_node and pods.get(shape.key, 0) >= shape.most_per_node:
        return False
    if any(key in shape.apart or shape.key in rules[key].apart for key in pods):
        return False
    return all(want <= have for want, have in zip(need, free, strict=True))


def fits(
    shapes: Sequence[PodShape],
    free: Sequence[NodeKind],
    *,
    held: Mapping[str, Mapping[str, int]] | None = None,
    rules: Sequence[PodShape] = (),
) -> Fit:
    """Whether the pods fit into given nodes, each a NodeKind of one node (``most=1``) whose sizes are the room it has left.

    ``held``: the name of a node -> shape key -> pods that stay there (their size is already off); ``rules``: the shapes of those pods.
    """
    kinds = [
        kind if kind.most is not None else NodeKind(kind.name, kind.cpu, kind.memory, kind.pods, kind.gpu, kind.zones, most=1)
        for kind in free
    ]
    packing = pack(shapes, kinds)
    return Fit(not packing.unplaced, packing, proved=False)
