"""From a pod template to the rules that bind its pods to nodes, as one JSON text (WORKLOADS.scheduling); preferences are left out.

A rule that cannot be kept word for word is kept as the stricter one, so that no node is promised that cannot go.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiops_analysis.core.compact import compact
from aiops_analysis.sources.kube_parts import Look, Objects, items_of, key_of, mapping_at, quantity, text_at
from aiops_analysis.sources.kube_pods import owners_of_pods, role_containers
from aiops_analysis.sources.kube_selectors import Population, selects
from aiops_analysis.sources.kube_volumes import Volumes

__all__ = ["Scheduling"]

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict"
_EVICT_VOLUMES = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"
Workload = tuple[str, str, str]


@dataclass(frozen=True)
class Scheduling:
    """What is needed of a cluster to read the rules of any of its workloads."""

    population: Population
    volumes: Volumes
    overheads: Mapping[Workload, Mapping[str, Any]]  # set by a runtime class on the pods, not on their template
    look: Look

    @classmethod
    def of(cls, objects: Objects, look: Look) -> Scheduling:
        """From the lists of one look."""
        owners = owners_of_pods(objects)
        pods = ((key_of(pod), mapping_at(pod, "spec", "overhead")) for pod in objects.of("pods"))
        overheads = {(key[0], *owners[key]): overhead for key, overhead in pods if overhead}
        return cls(Population(objects, owners, look), Volumes.of(objects), overheads, look)

    def rules(self, own: Workload, template: Mapping[str, Any], claims: Sequence[str] = ()) -> str:
        """The rules of a workload; ``claims`` are the names of its volumeClaimTemplates, ``{}`` says that nothing binds it."""
        spec = mapping_at(template, "spec")
        labels = mapping_at(template, "metadata", "labels")
        annotations = mapping_at(template, "metadata", "annotations")
        zones, bound = self.volumes.of_pods(own, spec, claims)
        found = {
            "node_selector": {k: v for k, v in mapping_at(spec, "nodeSelector").items() if isinstance(v, str)},
            "node_affinity": list(_node_terms(mapping_at(spec, "affinity", "nodeAffinity", _REQUIRED))),
            "tolerations": [_toleration(item) for item in items_of(spec, "tolerations")],
            "anti_affinity": self._beside(own, items_of(spec, "affinity", "podAntiAffinity", _REQUIRED), labels),
            "affinity": self._beside(own, items_of(spec, "affinity", "podAffinity", _REQUIRED), labels),
            "spread": list(_spread(spec, labels)),
            "host_ports": sorted(set(_host_ports(spec))),
            "local_storage": bound or _local_storage(spec, text_at(annotations, _EVICT_VOLUMES)),
            "zones": zones,
            "overhead": self._overhead(own, spec),
            "gpu": _gpus(spec, f"{'/'.join(own)} gpu", self.look),
        }
        said = {name: value for name, value in found.items() if value}
        if text_at(annotations, _EVICT) in ("true", "false"):
            said["safe_to_evict"] = text_at(annotations, _EVICT) == "true"
        return compact(said)

    def _beside(self, own: Workload, terms: Sequence[Mapping[str, Any]], labels: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [{"topology": text_at(term, "topologyKey"), "workloads": self.population.matched(term, own, labels)} for term in terms]

    def _overhead(self, own: Workload, spec: Mapping[str, Any]) -> dict[str, float]:
        asked = mapping_at(spec, "overhead") or self.overheads.get(own, {})
        sizes = {name: quantity(asked.get(name), name, f"{'/'.join(own)} overhead {name}", self.look) for name in ("cpu", "memory")}
        return {name: size for name, size in sizes.items() if size > 0}


def _texts(value: object) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def _node_terms(required: Mapping[str, Any]) -> Iterator[list[list[Any]]]:
    """Required node terms, one of which must hold; a term that says nothing holds nowhere."""
    for term in items_of(required, "nodeSelectorTerms"):
        rules = [(text_at(rule, "key"), rule) for rule in items_of(term, "matchExpressions")]
        rules += [(f"metadata.{text_at(rule, 'key').removeprefix('metadata.')}", rule) for rule in items_of(term, "matchFields")]
        said = [[key, text_at(rule, "operator"), _texts(rule.get("values"))] for key, rule in rules]
        yield said or [["metadata.name", "In", []]]


def _toleration(item: Mapping[str, Any]) -> list[str]:
    return [text_at(item, "key"), text_at(item, "operator") or "Equal", text_at(item, "value"), text_at(item, "effect")]


def _spread(spec: Mapping[str, Any], labels: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Constraints that keep a pod from being scheduled, as far as they count the workload's own pods."""
    for item in items_of(spec, "topologySpreadConstraints"):
        if text_at(item, "whenUnsatisfiable") == "DoNotSchedule" and selects(item.get("labelSelector"), labels):
            skew = item.get("maxSkew")
            yield {"topology": text_at(item, "topologyKey"), "skew": skew if isinstance(skew, int) and skew > 0 else 1}


def _host_ports(spec: Mapping[str, Any]) -> Iterator[int]:
    """Ports of the node itself; with the host's network every port of a container is one."""
    names = ("hostPort", "containerPort") if spec.get("hostNetwork") is True else ("hostPort",)
    for role, container in role_containers(spec):
        for port in items_of(container, "ports") if role != "init" else ():
            number = next((port[name] for name in names if isinstance(port.get(name), int) and port[name] > 0), None)
            if number is not None:
                yield int(number)


def _local_storage(spec: Mapping[str, Any], exempt: str) -> bool:
    """Whether a volume lives on the node, as Cluster Autoscaler sees it: a directory there, or an emptyDir that is not in memory."""
    let_go = {name.strip() for name in exempt.split(",")}
    return any(
        "hostPath" in volume or ("emptyDir" in volume and text_at(volume, "emptyDir", "medium") != "Memory")
        for volume in items_of(spec, "volumes")
        if text_at(volume, "name") not in let_go
    )


def _gpus(spec: Mapping[str, Any], where: str, look: Look) -> int:
    """GPUs of one pod: those of its containers and native sidecars together, or of an init container that wants more."""
    running, starting = 0.0, 0.0
    for role, container in role_containers(spec):
        asked = {**mapping_at(container, "resources", "requests"), **mapping_at(container, "resources", "limits")}
        sizes = [quantity(amount, "gpu", f"{where} {name}", look) for name, amount in asked.items() if "gpu" in str(name).lower()]
        wanted = sum(size for size in sizes if not math.isnan(size))
        running, starting = (running, max(starting, wanted)) if role == "init" else (running + wanted, starting)
    return math.ceil(max(running, starting))
