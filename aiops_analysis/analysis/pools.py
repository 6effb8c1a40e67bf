"""One node pool as packing input: kinds of nodes, shapes of pods, and what is unknown about the rules that bind them (methods.md B4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from aiops_analysis.analysis.fleet import Fleet, Key, Node, Settings, Size, Template, counted, key_text
from aiops_analysis.analysis.node_rules import may_run
from aiops_analysis.core.bins import NodeKind, PodShape

__all__ = ["UNKNOWN_RULES", "Pool", "fixed", "may_move", "own_size", "pools_of"]

#: What nobody knows where the rules of a workload were never collected.
UNKNOWN_RULES = (
    "node selectors and affinity",
    "tolerations",
    "anti-affinity between pods",
    "topology spread",
    "disruption budgets",
    "local storage and volumes bound to a zone",
)
_HOST = "kubernetes.io/hostname"
_ZONES = ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone")


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool's nodes and pods; sizes come as an argument, so that one pool serves for today and for every set of changes."""

    name: str
    nodes: tuple[Node, ...]
    templates: Mapping[int, Template]  # of its pods and of what belongs to its nodes
    pods: Mapping[int, int]  # template -> pods, without what belongs to its nodes
    prototypes: Mapping[int, PodShape]  # template -> its shape, but for the size
    bases: tuple[NodeKind, ...]  # nothing taken off
    kind_of: Mapping[str, str]  # node -> kind
    allowed: Mapping[int, frozenset[str]]  # template -> nodes of this pool where its rules let it run
    settings: Mapping[Key, Settings]
    unknown: tuple[str, ...]
    unknown_share: float  # of the requests whose rules are unknown, the larger of cpu and memory
    spread: bool  # a workload must be spread over zones

    @property
    def zones(self) -> tuple[str, ...]:
        """Zones in which it has nodes."""
        return tuple(sorted({node.zone for node in self.nodes}))

    def shapes(self, sizes: Sequence[Size]) -> tuple[PodShape, ...]:
        """Its pods with these sizes of the fleet's templates."""
        return tuple(replace(shape, cpu=sizes[place][0], memory=sizes[place][1]) for place, shape in self.prototypes.items())

    def kinds(self, sizes: Sequence[Size]) -> tuple[NodeKind, ...]:
        """Its kinds of nodes, less what DaemonSets and static pods take on the node of the kind where they take most."""
        taken = {base.name: [0, 0, 0] for base in self.bases}
        for node in self.nodes:
            most = taken[self.kind_of[node.name]]
            for place, value in enumerate(own_size(node, sizes)):
                most[place] = max(most[place], value)
        return tuple(
            replace(b, cpu=max(b.cpu - t[0], 0), memory=max(b.memory - t[1], 0), pods=max(b.pods - t[2], 0))
            for b in self.bases
            for t in (taken[b.name],)
        )

    def hosts(self, keys: Sequence[str]) -> frozenset[str]:
        """Nodes that hold a pod of one of these shapes today."""
        wanted = {place for place, shape in self.prototypes.items() if shape.key in set(keys)}
        return frozenset(node.name for node in self.nodes if any(pod.template in wanted for pod in node.pods))


def own_size(node: Node, sizes: Sequence[Size]) -> tuple[int, int, int]:
    """What DaemonSets and static pods take of a node: millicores, bytes, slots."""
    return sum(sizes[pod.template][0] for pod in node.own), sum(sizes[pod.template][1] for pod in node.own), len(node.own)


def fixed(template: Template, settings: Settings, autoscaler: str) -> tuple[str, str]:
    """Code and sentence of what keeps a pod where it is, whatever room there is elsewhere; two empty texts when nothing does.

    A pod without a controller is not made again elsewhere. Local storage and safe-to-evict are Cluster Autoscaler's rules; Karpenter
    evicts pods with local storage.
    """
    rules = settings.rules or {}
    if template.key[1] == "Pod":
        return "no_controller", "has no controller: nothing starts it again on another node"
    if settings.pdb and settings.disruptions == 0:
        return "pdb", f"its PodDisruptionBudget {settings.pdb} allows no disruption"
    if rules.get("safe_to_evict") is False:
        return "safe_to_evict", "is marked as not safe to evict"
    if rules.get("local_storage") is True and autoscaler != "karpenter":
        return "local_storage", "keeps data on its node"
    if autoscaler == "cluster-autoscaler" and template.key[0] == "kube-system" and settings.rules is not None and not settings.pdb:
        return "pdb", "is a kube-system pod without a PodDisruptionBudget, which Cluster Autoscaler leaves where it is"
    return "", ""


def pools_of(fleet: Fleet, prices: Mapping[str, float]) -> dict[str, Pool]:
    """The pools of a fleet; ``prices`` are those of its nodes [currency / hour], missing where there is none."""
    texts = _keys(fleet)
    by_workload: dict[str, list[str]] = {}
    for template, text in zip(fleet.templates, texts, strict=True):
        by_workload.setdefault(key_text(template.key), []).append(text)
    return {name: _pool(name, nodes, fleet, prices, texts, by_workload) for name, nodes in fleet.pools().items()}


def _keys(fleet: Fleet) -> tuple[str, ...]:
    """A unique text for each template: its workload, numbered where that has more than one."""
    seen: Counter[Key] = Counter()
    out = []
    for template in fleet.templates:
        seen[template.key] += 1
        out.append(key_text(template.key) + (f"#{seen[template.key]}" if seen[template.key] > 1 else ""))
    return tuple(out)


def _pool(
    name: str,
    nodes: tuple[Node, ...],
    fleet: Fleet,
    prices: Mapping[str, float],
    texts: Sequence[str],
    by_workload: Mapping[str, Sequence[str]],
) -> Pool:
    pods = counted(pod for node in nodes for pod in node.pods)
    known = {place: fleet.templates[place] for place in sorted({p.template for n in nodes for p in (*n.pods, *n.own)})}
    settings = {template.key: fleet.setting(template.key) for template in known.values()}
    groups = _alike(nodes, fleet)
    allowed = {place: _allowed(fleet.setting(known[place].key), groups) for place in sorted(pods)}
    kind_of, bases = _kinds(name, nodes, allowed, prices, {place: known[place].gpu for place in pods})
    prototypes = {}
    missing: set[str] = set()
    for place, count in sorted(pods.items()):
        kinds = frozenset(kind_of[node] for node in allowed[place])
        shape = PodShape(texts[place], count, 0, 0, known[place].gpu, kinds if len(kinds) < len(bases) else None)
        prototypes[place], unsaid = _bound(shape, known[place].key, fleet, by_workload, len(nodes))
        missing |= unsaid
    sizes = {place: template.size({}) for place, template in known.items()}
    share = max(_unknown_share(pods, known, fleet, [size[r] for size in _dense(sizes)]) for r in (0, 1)) if pods else 0.0
    unknown = (*(UNKNOWN_RULES if share > 0 else ()), *sorted(missing), *_taints_unknown(nodes))
    spread = any(shape.skew for shape in prototypes.values())
    return Pool(name, nodes, known, dict(sorted(pods.items())), prototypes, bases, kind_of, allowed, settings, unknown, share, spread)


def _dense(sizes: Mapping[int, Size]) -> list[Size]:
    return [sizes.get(place, (0, 0)) for place in range(max(sizes, default=-1) + 1)]


def _unknown_share(pods: Mapping[int, int], templates: Mapping[int, Template], fleet: Fleet, sizes: Sequence[int]) -> float:
    total = sum(count * sizes[place] for place, count in pods.items())
    blind = sum(count * sizes[place] for place, count in pods.items() if fleet.setting(templates[place].key).rules is None)
    if total:
        return blind / total
    return float(any(fleet.setting(templates[place].key).rules is None for place in pods))


def _taints_unknown(nodes: Sequence[Node]) -> tuple[str, ...]:
    return ("labels and taints of nodes",) if any(node.labels is None or node.taints is None for node in nodes) else ()


def _alike(nodes: Sequence[Node], fleet: Fleet) -> list[tuple[Node, ...]]:
    """Nodes that no rule of the fleet can tell apart: rules name few of the labels, so a rule is asked about few nodes."""
    named = {key for setting in fleet.settings.values() for key in _labels_named(setting.rules or {})}
    each = _HOST in named or "metadata.name" in named
    groups: dict[tuple[Any, ...], list[Node]] = {}
    for node in nodes:
        told = None if node.labels is None else tuple(sorted((k, v) for k, v in node.labels.items() if k in named))
        groups.setdefault((told, node.taints, node.zone, node.name if each else ""), []).append(node)
    return [tuple(group) for group in groups.values()]


def _labels_named(rules: Mapping[str, Any]) -> set[str]:
    terms = [rule[0] for term in rules.get("node_affinity") or () for rule in term]
    return {str(key) for key in (*(rules.get("node_selector") or {}), *terms)}


def _allowed(settings: Settings, groups: Sequence[Sequence[Node]]) -> frozenset[str]:
    """Nodes of the pool where the rules let a pod run; all of them where nobody knows the rules, for it runs in this pool."""
    rules = settings.rules
    good = [g for g in groups if rules is None or may_run(rules, g[0].labels, g[0].taints, name=g[0].name, zone=g[0].zone)]
    return frozenset(node.name for group in good for node in group)


def may_move(pools: Mapping[str, Pool], fleet: Fleet) -> dict[str, str]:
    """For each pool with pods that their rules would let run in others: a sentence that says so; they are not moved here."""
    groups = {name: _alike(pool.nodes, fleet) for name, pool in pools.items()}
    out = {}
    for name, pool in pools.items():
        counts: Counter[str] = Counter()
        for place, count in pool.pods.items():
            setting = pool.settings[pool.templates[place].key]
            if setting.rules is not None:
                counts.update({other: count for other, them in groups.items() if other != name and _told(them) and _allowed(setting, them)})
        if counts:
            named = ", ".join(f"{count} in {other}" for other, count in sorted(counts.items()))
            out[name] = f"By their rules some of its pods could run in other pools ({named}): they are packed here, none is moved."
    return out


def _told(groups: Sequence[Sequence[Node]]) -> bool:
    return all(group[0].labels is not None and group[0].taints is not None for group in groups)


def _kinds(
    pool: str, nodes: Sequence[Node], allowed: Mapping[int, frozenset[str]], prices: Mapping[str, float], gpus: Mapping[int, int]
) -> tuple[dict[str, str], tuple[NodeKind, ...]]:
    """Nodes that no pod of the pool can tell apart, in groups: the kind of each node, and the kinds."""
    everywhere = frozenset(node.name for node in nodes)
    picky = [places for places in allowed.values() if places != everywhere]
    groups: dict[tuple[Any, ...], list[Node]] = {}
    for node in nodes:
        size = (node.instance_type, node.cpu, node.memory, node.slots)
        groups.setdefault((*size, *(node.name in places for places in picky)), []).append(node)
    priced = all(node.name in prices for node in nodes)
    kind_of: dict[str, str] = {}
    kinds = []
    for number, key in enumerate(sorted(groups), 1):
        group = groups[key]
        text = pool if len(groups) == 1 else f"{pool}#{number}"
        kind_of |= {node.name: text for node in group}
        # without a price for each, a larger node is dearer in the ratio of the default prices
        dear = sum(prices[n.name] for n in group) / len(group) if priced else group[0].cpu * 3.2e-5 + group[0].memory * 4e-12
        # nodes of a kind beside others are not made at will: there are as many as there are
        most = None if len(groups) == 1 else len(group)
        gpu = max(sum(gpus.get(pod.template, 0) for pod in node.pods) for node in group)  # nothing else says how many there are
        zones = tuple(sorted({node.zone for node in group}))
        kinds.append(NodeKind(text, group[0].cpu, group[0].memory, group[0].slots, gpu, zones, dear, most))
    return kind_of, tuple(kinds)


def _bound(
    shape: PodShape, key: Key, fleet: Fleet, by_workload: Mapping[str, Sequence[str]], nodes: int
) -> tuple[PodShape, frozenset[str]]:
    """The shape with the rules between pods, and what of them a packing cannot hold."""
    rules = fleet.setting(key).rules or {}
    mine = key_text(key)
    unsaid: set[str] = set()
    per_node, per_zone, skew = 0, 0, 0
    apart: set[str] = set()
    beside: set[str] = set()
    for rule in rules.get("anti_affinity") or ():
        others, topology = set(rule.get("workloads") or ()), rule.get("topology")
        if mine in others and topology == _HOST:
            per_node = 1
        elif mine in others and topology in _ZONES:
            per_zone = 1
        if topology != _HOST and (others - {mine} or topology not in _ZONES):
            unsaid.add(f"anti-affinity across {topology}")
        # what must not share a zone must not share a node of it either
        apart |= {text for other in others for text in by_workload.get(other, ())} - {shape.key}
    for rule in rules.get("affinity") or ():
        if rule.get("topology") == _HOST:
            beside |= {text for other in rule.get("workloads") or () for text in by_workload.get(other, ())}
        else:
            unsaid.add(f"affinity across {rule.get('topology')}")
    for rule in rules.get("spread") or ():
        most = max(int(rule.get("skew") or 1), 1)
        if rule.get("topology") in _ZONES:
            skew = min(skew, most) if skew else most
        elif rule.get("topology") == _HOST:
            bound = shape.count // max(nodes, 1) + most  # fewer nodes would allow more
            per_node = min(per_node, bound) if per_node else bound
        else:
            unsaid.add(f"spread over {rule.get('topology')}")
    if rules.get("host_ports"):
        per_node = 1
        apart |= _same_ports(rules["host_ports"], fleet, by_workload) - {shape.key}
    bound_shape = replace(
        shape, most_per_node=per_node, most_per_zone=per_zone, skew=skew, apart=frozenset(apart), beside=frozenset(beside)
    )
    return bound_shape, frozenset(unsaid)


def _same_ports(ports: Sequence[int], fleet: Fleet, by_workload: Mapping[str, Sequence[str]]) -> set[str]:
    """Shapes of workloads that take one of these ports of the node."""
    taken = set(ports)
    others = [key for key, setting in fleet.settings.items() if taken & set((setting.rules or {}).get("host_ports") or ())]
    return {text for key in others for text in by_workload.get(key_text(key), ())}
