"""Emptying the nodes that there are, one after another: do the pods of a node fit into the room that the others have (methods.md B4)?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from aiops_analysis.analysis.fleet import Node, Size, counted
from aiops_analysis.analysis.packing import fits
from aiops_analysis.analysis.pools import Pool, fixed, own_size
from aiops_analysis.core.bins import NodeKind, PodShape

__all__ = ["HALF", "Board", "drained"]

#: Cluster Autoscaler's scale-down-utilization-threshold as it comes.
HALF = 0.5
#: Nodes that are tried for each node that has to go, the emptiest first.
_TRIES = 6


class Board:
    """A pool's real nodes with their pods at given sizes. ``empty`` moves pods; nothing else changes it."""

    def __init__(self, pool: Pool, sizes: Sequence[Size]) -> None:
        self.pool = pool
        self.sizes = sizes
        self.nodes = {node.name: node for node in pool.nodes}
        self.pods: dict[str, Counter[int]] = {node.name: counted(node.pods) for node in pool.nodes}
        self._taken: dict[str, list[int]] = {node.name: self._sum(node) for node in pool.nodes}
        self._place = {shape.key: place for place, shape in pool.prototypes.items()}
        self._gpus = {kind.name: kind.gpu for kind in pool.bases}

    def _sum(self, node: Node) -> list[int]:
        own = own_size(node, self.sizes)
        mine = [self.sizes[pod.template] for pod in node.pods]
        gpus = sum(self.pool.templates[pod.template].gpu for pod in node.pods)
        return [own[0] + sum(s[0] for s in mine), own[1] + sum(s[1] for s in mine), own[2] + len(mine), gpus]

    def utilisation(self, name: str) -> float:
        """The larger share of cpu and memory that is requested, DaemonSets included, as Cluster Autoscaler counts by default."""
        node, taken = self.nodes[name], self._taken[name]
        return max(taken[0] / node.cpu, taken[1] / node.memory)

    def room(self, name: str) -> tuple[int, int, int, int]:
        """What is left of a node: millicores, bytes, slots, GPUs."""
        node, taken = self.nodes[name], self._taken[name]
        gpu = self._gpus[self.pool.kind_of[name]]
        return node.cpu - taken[0], node.memory - taken[1], node.slots - taken[2], gpu - taken[3]

    def order(self) -> list[str]:
        """Nodes that are left, the emptiest first."""
        return sorted(self.pods, key=lambda name: (self.utilisation(name), name))

    def shape(self, place: int, count: int) -> PodShape:
        """Pods of a template as they are asked for of the other nodes, whose kinds are their own names."""
        allowed = self.pool.allowed[place]
        cpu, memory = self.sizes[place]
        everywhere = len(allowed) == len(self.nodes)
        return replace(self.pool.prototypes[place], count=count, cpu=cpu, memory=memory, kinds=None if everywhere else allowed)

    def moves(self, name: str, pods: Counter[int] | None = None) -> dict[str, Counter[int]] | None:
        """Where the pods of a node would go: node -> template -> pods; None when the others have no room for them.

        ``pods``: these instead of all of the node's.
        """
        wanted = self.pods[name] if pods is None else pods
        if not wanted:
            return {}
        free = {other: kind for other in self.pods if other != name and (kind := self._free(other)) is not None}
        here = sorted({place for other in free for place in self.pods[other]})
        found = fits(
            [self.shape(place, count) for place, count in sorted(wanted.items())],
            list(free.values()),
            held={other: {self.pool.prototypes[p].key: n for p, n in self.pods[other].items()} for other in free},
            rules=[self.shape(place, self.pool.pods[place]) for place in here],
        )
        if not found:
            return None
        return {placed.kind: Counter({self._place[key]: n for key, n in placed.pods.items()}) for placed in found.packing.nodes}

    def _free(self, name: str) -> NodeKind | None:
        cpu, memory, slots, gpu = self.room(name)
        if min(cpu, memory, slots) < 0 or self.nodes[name].cordoned:  # more is asked for than there is, or it takes no pods
            return None
        return NodeKind(name, cpu, memory, slots, max(gpu, 0), (self.nodes[name].zone,), 1.0, 1)

    def empty(self, name: str) -> bool:
        """Move the pods of a node to the others and take the node away, if they fit; False when they do not."""
        moves = self.moves(name)
        if moves is None:
            return False
        for node, pods in moves.items():
            self.pods[node].update(pods)
            for place, count in pods.items():
                more = (*self.sizes[place], 1, self.pool.templates[place].gpu)
                self._taken[node] = [have + count * value for have, value in zip(self._taken[node], more, strict=True)]
        del self.pods[name], self._taken[name]
        return True

    def held(self, name: str, autoscaler: str) -> list[tuple[int, str, str]]:
        """Templates whose pods cannot leave a node, each with code and sentence."""
        out = []
        for place in sorted(self.pods[name]):
            template = self.pool.templates[place]
            code, message = fixed(template, self.pool.settings[template.key], autoscaler)
            if code:
                out.append((place, code, message))
        return out


def drained(pool: Pool, sizes: Sequence[Size], autoscaler: str, most: int) -> int:
    """Nodes, at most ``most``, that Cluster Autoscaler would take away one after another: below half, nothing held, pods fit elsewhere."""
    board = Board(pool, sizes)
    gone = 0
    while gone < most:
        below = [name for name in board.order() if board.utilisation(name) < HALF and not board.held(name, autoscaler)]
        if not any(board.empty(name) for name in below[:_TRIES]):
            break
        gone += 1
    return gone
