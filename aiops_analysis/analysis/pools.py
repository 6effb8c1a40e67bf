"""One node pool as packing input: kinds of nodes, shapes of pods, and what is unknown about the rules that bind them (methods.md B4)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from aiops_analysis.analysis.fleet import Fleet, Key, Node, Settings, Size, Template, counted, key_text
from aiops_analysis.analysis.scheduling import Rules, port_conflicts, refusal, shape_of
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
_NO_RULES = Rules()


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
    pinned = settings.rules.pinned if settings.rules is not None else ()
    if template.key[1] == "Pod":
        return "no_controller", "has no controller: nothing starts it again on another node"
    if settings.pdb and settings.disruptions == 0:
        return "pdb", f"its PodDisruptionBudget {settings.pdb} allows no disruption"
    if "safe_to_evict" in pinned:
        return "safe_to_evict", "is marked as not safe to evict"
    if "local_storage" in pinned and autoscaler != "karpenter":
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
    taken = port_conflicts({key_text(key): setting.rules for key, setting in fleet.settings.items() if setting.rules is not None})
    return {name: _pool(name, nodes, fleet, prices, _Names(texts, by_workload, taken)) for name, nodes in fleet.pools().items()}


@dataclass(frozen=True, slots=True)
class _Names:
    """Texts that stand for templates: of each one, of the templates of each workload, and who wants the same port of a node."""

    texts: Sequence[str]
    by_workload: Mapping[str, Sequence[str]]
    ports: Mapping[str, frozenset[str]]


def _keys(fleet: Fleet) -> tuple[str, ...]:
    """A unique text for each template: its workload, numbered where that has more than one."""
    seen: Counter[Key] = Counter()
    out = []
    for template in fleet.templates:
        seen[template.key] += 1
        out.append(key_text(template.key) + (f"#{seen[template.key]}" if seen[template.key] > 1 else ""))
    return tuple(out)


def _pool(name: str, nodes: tuple[Node, ...], fleet: Fleet, prices: Mapping[str, float], names: _Names) -> Pool:
    pods = counted(pod for node in nodes for pod in node.pods)
    known = {place: fleet.templates[place] for place in sorted({p.template for n in nodes for p in (*n.pods, *n.own)})}
    settings = {template.key: fleet.setting(template.key) for template in known.values()}
    groups = _alike(nodes, fleet)
    allowed = {place: _allowed(settings[known[place].key], groups) for place in sorted(pods)}
    kind_of, bases = _kinds(name, nodes, allowed, prices, {place: known[place].gpu for place in pods})
    prototypes = {}
    for place, count in sorted(pods.items()):
        kinds = frozenset(kind_of[node] for node in allowed[place])
        key = known[place].key
        prototypes[place] = shape_of(
            names.texts[place],
            count,
            0,
            0,
            settings[key].rules or _NO_RULES,
            kinds=kinds if len(kinds) < len(bases) else None,
            nodes=len(allowed[place]),
            workload=key_text(key),
            shapes=names.by_workload,
            conflicts=names.ports.get(key_text(key), frozenset()),
        )
    missing = {text for place in pods for text in (settings[known[place].key].rules or _NO_RULES).unknown}
    missing |= {text for node in nodes for text in node.rules.unknown}
    if any(setting.pdb and math.isnan(setting.disruptions) for setting in settings.values()):
        missing.add("how many pods disruption budgets let go")
    sizes = {place: template.size({}) for place, template in known.items()}
    share = max(_unknown_share(pods, known, fleet, [size[r] for size in _dense(sizes)]) for r in (0, 1)) if pods else 0.0
    unknown = (*(UNKNOWN_RULES if share > 0 else ()), *sorted(missing))
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


def _alike(nodes: Sequence[Node], fleet: Fleet) -> list[tuple[Node, ...]]:
    """Nodes that no rule of the fleet can tell apart: rules name few of the labels, so a rule is asked about few nodes."""
    named = {key for setting in fleet.settings.values() if setting.rules is not None for key in _labels_named(setting.rules)}
    each = "metadata.name" in named
    groups: dict[tuple[Any, ...], list[Node]] = {}
    for node in nodes:
        labels = node.rules.labels
        told = None if labels is None else tuple(sorted((k, v) for k, v in labels.items() if k in named))
        groups.setdefault((told, node.rules.taints, node.zone, node.name if each else ""), []).append(node)
    return [tuple(group) for group in groups.values()]


def _labels_named(rules: Rules) -> set[str]:
    return {*rules.node_selector, *(requirement[0] for term in rules.node_affinity or () for requirement in term)}


def _allowed(settings: Settings, groups: Sequence[Sequence[Node]]) -> frozenset[str]:
    """Nodes of the pool where the rules let a pod run; all of them where nobody knows the rules, for it runs in this pool."""
    good = [group for group in groups if settings.rules is None or not refusal(settings.rules, group[0].rules)]
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
    return all(not group[0].rules.unknown for group in groups)


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
