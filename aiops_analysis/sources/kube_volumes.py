"""Where the volumes of pods are: zones and nodes that a PersistentVolume is bound to by its node affinity."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiops_analysis.sources.kube_parts import Objects, items_of, text_at

__all__ = ["Volumes"]

_ZONE = re.compile(r"topology\.kubernetes\.io/zone|failure-domain\.beta\.kubernetes\.io/zone|topology\.[\w.-]+/zone", re.ASCII)
_NODE = ("kubernetes.io/hostname",)


@dataclass(frozen=True)
class Volumes:
    """By claim (namespace, name): the zones of its volume, and whether it can be used on one node only."""

    claims: Mapping[tuple[str, str], tuple[frozenset[str], bool]] = field(default_factory=dict)

    @classmethod
    def of(cls, objects: Objects) -> Volumes:
        """From PersistentVolumes, where they could be listed."""
        found = {}
        for volume in objects.of("persistentvolumes"):
            claim = text_at(volume, "spec", "claimRef", "namespace"), text_at(volume, "spec", "claimRef", "name")
            if claim[1]:
                rules = list(_rules(volume))
                zones = frozenset(value for key, values in rules if _ZONE.fullmatch(key) for value in values)
                found[claim] = zones, any(key in _NODE for key, _ in rules)
        return cls(found)

    def of_pods(self, own: tuple[str, str, str], spec: Mapping[str, Any], templates: Sequence[str]) -> tuple[list[str], bool]:
        """Zones in which the pods of a workload may run because of their volumes ([]: any), and whether a volume is a node's own.

        Pods that share a claim must be in its zone; those of a StatefulSet have one claim each, so the zones of all of them count.
        """
        names = [text_at(volume, "persistentVolumeClaim", "claimName") for volume in items_of(spec, "volumes")]
        shared = [self.claims[own[0], name] for name in names if (own[0], name) in self.claims]
        numbered = [re.compile(f"{re.escape(f'{template}-{own[2]}-')}[0-9]+") for template in templates]
        each = [told for (namespace, name), told in self.claims.items() if namespace == own[0] and any(p.fullmatch(name) for p in numbered)]
        allowed = [zones for zones, _ in shared if zones]
        if any(zones for zones, _ in each):
            allowed.append(frozenset().union(*(zones for zones, _ in each)))
        both = frozenset.intersection(*allowed) if allowed else frozenset()
        return sorted(both), any(local for _, local in (*shared, *each))


def _rules(volume: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Keys and values of the node affinity of a volume."""
    for term in items_of(volume, "spec", "nodeAffinity", "required", "nodeSelectorTerms"):
        for rule in items_of(term, "matchExpressions"):
            values = rule.get("values")
            if text_at(rule, "operator") == "In" and isinstance(values, list):
                yield text_at(rule, "key"), [value for value in values if isinstance(value, str)]
