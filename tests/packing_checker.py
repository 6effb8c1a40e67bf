"""An independent judge of packings: reads the answer only, in plain Python, and shares no code with what packs.

``faults_of(shapes, kinds, packing)`` lists every broken rule in words; an empty list is a valid packing. ``fewest_nodes`` is the optimum of
a tiny case by trying every way, ``random_case`` makes cases of which some are cruel.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence

from aiops_analysis.core.bins import NodeKind, Packing, Placed, PodShape

__all__ = ["faults_of", "fewest_nodes", "random_case"]


def faults_of(
    shapes: Sequence[PodShape], kinds: Sequence[NodeKind], packing: Packing, *, held: Mapping[str, Mapping[str, int]] | None = None
) -> list[str]:
    """Everything that is wrong with a packing; with ``held`` each kind is one node that has those pods already."""
    by_key = {shape.key: shape for shape in shapes}
    by_name = {kind.name: kind for kind in kinds}
    wrong = _counts(shapes, packing, held or {})
    nodes: list[Placed] = []
    for node in packing.nodes:
        if node.kind not in by_name:
            wrong.append(f"a node of unknown kind {node.kind}")
        elif node.zone not in by_name[node.kind].zones:
            wrong.append(f"a node of {node.kind} in zone {node.zone}")
        elif set(node.pods) - set(by_key):
            wrong.append(f"unknown pods {set(node.pods) - set(by_key)}")
        else:
            nodes.append(node)
    wrong += _supply(by_name, nodes)
    for node in nodes:
        wrong += _node(by_key, by_name[node.kind], node, dict((held or {}).get(node.kind, {})))
    return wrong + _companions(by_key, nodes, held or {}) + _zones(by_key, by_name, nodes, held or {})


def _counts(shapes: Sequence[PodShape], packing: Packing, held: Mapping[str, Mapping[str, int]]) -> list[str]:
    placed: Counter[str] = Counter()
    for node in packing.nodes:
        placed.update(node.pods)
    wrong = []
    standing = {key for pods in held.values() for key in pods}
    for shape in shapes:
        got = placed[shape.key] + packing.unplaced.get(shape.key, 0)
        if got != shape.count and not (shape.key in standing and got == 0):
            wrong.append(f"{shape.key} has {shape.count} pods, {placed[shape.key]} placed and {packing.unplaced.get(shape.key, 0)} not")
    if any(pods <= 0 for node in packing.nodes for pods in node.pods.values()) or any(pods <= 0 for pods in packing.unplaced.values()):
        wrong.append("a count that is not above 0")
    if set(packing.why) != set(packing.unplaced) or not all(packing.why.values()):
        wrong.append("unplaced pods without a reason")
    return wrong


def _supply(kinds: Mapping[str, NodeKind], nodes: Sequence[Placed]) -> list[str]:
    wrong = []
    for name, kind in kinds.items():
        if kind.most is None:
            continue
        zones = list(dict.fromkeys(kind.zones))
        there = Counter(zones[at % len(zones)] for at in range(kind.most))
        used = Counter(node.zone for node in nodes if node.kind == name)
        wrong += [f"{used[zone]} nodes of {name} in {zone}, there are {there[zone]}" for zone in used if used[zone] > there[zone]]
    return wrong


def _node(shapes: Mapping[str, PodShape], kind: NodeKind, node: Placed, standing: dict[str, int]) -> list[str]:
    wrong = []
    for what, need in (("cpu", "cpu"), ("memory", "memory"), ("gpu", "gpu")):
        used = sum(getattr(shapes[key], need) * pods for key, pods in node.pods.items())
        if used > max(getattr(kind, what), 0):
            wrong.append(f"{used} {what} on a node of {kind.name} with {getattr(kind, what)}")
    if sum(node.pods.values()) > kind.pods:
        wrong.append(f"{sum(node.pods.values())} pods on {kind.pods} slots of {kind.name}")
    everyone = Counter(standing) + Counter(node.pods)
    for key, pods in node.pods.items():
        shape = shapes[key]
        if shape.kinds is not None and kind.name not in shape.kinds:
            wrong.append(f"{key} on {kind.name}")
        if shape.most_per_node and everyone[key] > shape.most_per_node:
            wrong.append(f"{everyone[key]} pods of {key} on one node")
        if key in shape.apart and everyone[key] > 1:
            wrong.append(f"{pods} pods of {key} on one node, which keeps apart from itself")
        around = [other for other in everyone if other != key]
        wrong += [f"{key} and {o} on one node" for o in around if o in shape.apart or (o in shapes and key in shapes[o].apart)]
    return wrong


def _companions(shapes: Mapping[str, PodShape], nodes: Sequence[Placed], held: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Each pod beside one it asks for; a shape that names itself may begin once, on one node (the scheduler's exception)."""
    wrong = []
    for key, shape in shapes.items():
        if not shape.beside:
            continue
        alone = 0
        for node in nodes:
            if key not in node.pods:
                continue
            around = set(node.pods) | set(held.get(node.kind, {}))
            if (around - {key}) & shape.beside or (key in shape.beside and held.get(node.kind, {}).get(key)):
                continue
            alone += 1
            if key not in shape.beside:
                wrong.append(f"{key} on a node without any of {sorted(shape.beside)}")
        if alone > 1 or (alone and any(key in pods for pods in held.values())):
            wrong.append(f"{key} begins on {alone} nodes")
    return wrong + _order(shapes, nodes, held)


def _order(shapes: Mapping[str, PodShape], nodes: Sequence[Placed], held: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Whether a scheduler could have reached this: on each node somebody comes first who needs nobody, or begins his own group."""
    wrong = []
    for node in nodes:
        present = set(held.get(node.kind, {}))
        waiting = set(node.pods) - present
        while waiting:
            free = {k for k in waiting if not shapes[k].beside or shapes[k].beside & present}
            free = free or {k for k in waiting if k in shapes[k].beside}
            if not free:
                wrong.append(f"{sorted(waiting)} wait for each other")
                break
            present |= free
            waiting -= free
    return wrong


def _zones(
    shapes: Mapping[str, PodShape], kinds: Mapping[str, NodeKind], nodes: Sequence[Placed], held: Mapping[str, Mapping[str, int]]
) -> list[str]:
    wrong = []
    for key, shape in shapes.items():
        if not (shape.most_per_zone or shape.skew):
            continue
        count = {zone: 0 for k in kinds.values() if k.most != 0 and (shape.kinds is None or k.name in shape.kinds) for zone in k.zones}
        touched = set()
        for node in nodes:
            if node.pods.get(key):
                count[node.zone] = count.get(node.zone, 0) + node.pods[key]
                touched.add(node.zone)
        for name, pods in held.items():
            zone = kinds[name].zones[0]
            if zone in count:
                count[zone] += pods.get(key, 0)
        for zone in touched:
            if shape.most_per_zone and count[zone] > shape.most_per_zone:
                wrong.append(f"{count[zone]} pods of {key} in zone {zone}")
            if shape.skew and count[zone] - min(count.values()) > shape.skew:
                wrong.append(f"{key} is spread {count} with a skew of {shape.skew}")
    return wrong


def fewest_nodes(shapes: Sequence[PodShape], kinds: Sequence[NodeKind], most: int) -> int | None:
    """The smallest number of nodes that takes all pods, by trying every way; None when ``most`` nodes are too few."""
    pods = [shape for shape in shapes for _ in range(shape.count)]
    by_name = {kind.name: kind for kind in kinds}
    places = [(kind.name, zone) for kind in kinds for zone in dict.fromkeys(kind.zones)]
    best = most + 1

    def too_full(name: str, held: Mapping[str, int]) -> bool:
        sizes = [(shape, held[shape.key]) for shape in shapes if shape.key in held]
        kind = by_name[name]
        return sum(held.values()) > kind.pods or any(
            sum(getattr(shape, what) * count for shape, count in sizes) > getattr(kind, what) for what in ("cpu", "memory", "gpu")
        )

    def go(at: int, nodes: tuple[tuple[str, str, tuple[str, ...]], ...]) -> None:
        nonlocal best
        if len(nodes) >= best:
            return
        if at == len(pods):
            packing = Packing(tuple(Placed(kind, zone, Counter(held)) for kind, zone, held in nodes))
            best = best if faults_of(shapes, kinds, packing) else len(nodes)
            return
        key = pods[at].key
        seen = set()
        for place, (kind, zone, held) in enumerate(nodes):
            if (kind, zone, held) not in seen and not too_full(kind, Counter([*held, key])):
                seen.add((kind, zone, held))
                go(at + 1, (*nodes[:place], (kind, zone, (*held, key)), *nodes[place + 1 :]))
        for kind, zone in places:
            if not too_full(kind, {key: 1}) and (pods[at].kinds is None or kind in pods[at].kinds):
                go(at + 1, (*nodes, (kind, zone, (key,))))

    go(0, ())
    return best if best <= most else None


def random_case(seed: int, *, workloads: int = 12, pods: int = 8) -> tuple[list[PodShape], list[NodeKind]]:
    """A case with all rules at once, some of them impossible: giants, circles of affinity, kinds that do not exist, zones without nodes."""
    rng = random.Random(seed)
    zones = [("",), ("a",), ("a", "b"), ("a", "b", "c")]
    kinds = [
        NodeKind(
            f"kind-{n}",
            rng.choice([1000, 2000, 4000]),
            rng.choice([1000, 4000, 8000]),
            rng.choice([3, 8, 50]),
            rng.choice([0, 0, 2]),
            rng.choice(zones),
            rng.choice([0.5, 1.0, 1.0, 3.0, float("nan")]),
            rng.choice([None, None, 0, 1, 5]),
            rng.choice([0, 0, 0, 2]),
        )
        for n in range(rng.choice([0, 1, 1, 2, 3, 4]) if rng.random() < 0.9 else 9)
    ]
    keys = [f"w{n}" for n in range(rng.randint(1, workloads))]
    names = [*(kind.name for kind in kinds), "gone"]

    def some(share: float) -> frozenset[str]:
        return frozenset(rng.sample([*keys, "ghost"], rng.randint(1, min(2, len(keys))))) if rng.random() < share else frozenset()

    busy = rng.choice([0.0, 0.1, 0.4])  # how many shapes have rules
    shapes = [
        PodShape(
            key,
            rng.randint(0, pods),
            rng.choice([0, 50, 100, 300, 333, 900, 1500, 5000 if rng.random() < 0.2 else 700]),
            rng.choice([0, 64, 100, 500, 999, 2000]),
            rng.choice([0, 0, 0, 0, 1]),
            frozenset(rng.sample(names, rng.randint(1, len(names)))) if rng.random() < busy else None,
            rng.choice([1, 2]) if rng.random() < busy else 0,
            rng.choice([1, 3]) if rng.random() < busy else 0,
            rng.choice([1, 1, 2]) if rng.random() < busy else 0,
            some(busy),
            some(busy),
        )
        for key in keys
    ]
    return shapes, kinds
