"""Manifests as a person writes them: what their pods ask for, with the effective request of Kubernetes (methods.md A9, B4)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aiops_analysis.core.errors import UsageError
from aiops_analysis.core.manifest import Asked, Term
from aiops_analysis.core.names import visible
from aiops_analysis.core.units import parse_cpu, parse_memory
from aiops_analysis.core.yaml_text import YamlError, read_documents
from aiops_analysis.sources.kube_parts import items_of, mapping_at, text_at
from aiops_analysis.sources.kube_pods import role_containers
from aiops_analysis.sources.kube_workloads import selects

__all__ = ["KINDS", "Manifests", "read_manifests"]

#: Kinds that make pods and that are read.
KINDS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Rollout", "Job", "CronJob", "Pod")
_MOST_REPLICAS = 100_000
#: What only a template has; other braces in texts are somebody's own, such as those of an alert's description.
_TEMPLATE = re.compile(
    r"\{\{-?\s*(?:\.(?:Values|Release|Chart|Capabilities|Files)\b|(?:include|template|toYaml|if|else|range|with|end|define|tpl)\b)"
)
_RESOURCES = ("cpu", "memory")
_PLAIN = ("ephemeral-storage", *_RESOURCES)


@dataclass(frozen=True, slots=True)
class Manifests:
    """The workloads of some manifests, and the kinds of the other objects in them, which ask for nothing here."""

    asked: tuple[Asked, ...]
    others: Mapping[str, int]


def read_manifests(texts: Mapping[str, str], namespace: str = "default") -> Manifests:
    """The workloads of manifests by the name of their file; ``namespace`` is of an object that names none.

    Raises UsageError of one line for a template, for YAML that is broken or more than plain data, for a quantity that Kubernetes refuses,
    for a workload that is there twice, and for manifests without any workload.
    """
    asked: dict[tuple[str, str, str], Asked] = {}
    others: Counter[str] = Counter()
    for name, text in texts.items():
        for where, item in _objects(name, text):
            kind = text_at(item, "kind")
            if kind not in KINDS:
                others[visible(kind, 60)] += 1
                continue
            one = _asked(item, where, namespace)
            if one.key in asked:
                raise UsageError(f"{where}: {kind} {visible(one.name, 80)} is also in {asked[one.key].where}; give one of them")
            asked[one.key] = one
    if not asked:
        kinds = ", ".join(f"{kind} ({count})" for kind, count in sorted(others.items())) or "nothing"
        raise UsageError(
            f"there is no workload in {', '.join(visible(name, 80) for name in texts)}, only {kinds}; read are {', '.join(KINDS)}"
        )
    return Manifests(tuple(asked.values()), dict(sorted(others.items())))


def _objects(name: str, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Place and object of everything in a file; what stands in a List is taken out of it."""
    shown = visible(name, 80)
    if match := _TEMPLATE.search(text):
        raise _is_template(shown, text.count("\n", 0, match.start()) + 1)
    try:
        documents = read_documents(text)
    except YamlError as error:
        if "{{" in text:
            raise _is_template(shown, error.line) from error
        place = f"{shown}, line {error.line}" if error.line else shown
        raise UsageError(f"{place}: {error}") from error
    for line, document in documents:
        where = f"{shown}, line {line}"
        kind = text_at(document, "kind")
        if not kind:
            raise UsageError(f"{where}: there is no kind; expected a Kubernetes object")
        if kind.endswith("List") and isinstance(document.get("items"), list):
            yield from ((f"{where}, item {number + 1}", item) for number, item in enumerate(items_of(document, "items")))
        else:
            yield where, document


def _is_template(name: str, line: int) -> UsageError:
    place = f"{name}, line {line}" if line else name
    return UsageError(f"{place}: this is a template, not a manifest; render it first: helm template CHART | aiops-analysis predict -")


def _asked(item: Mapping[str, Any], where: str, namespace: str) -> Asked:
    """One workload. Raises UsageError."""
    kind, name = text_at(item, "kind"), text_at(item, "metadata", "name") or text_at(item, "metadata", "generateName")
    where = f"{where} ({kind} {visible(name, 80)})"
    if not name:
        raise UsageError(f"{where}: there is no metadata.name")
    spec = mapping_at(item, "spec")
    if kind == "CronJob":
        spec = mapping_at(spec, "jobTemplate", "spec")
    template = item if kind == "Pod" else mapping_at(spec, "template")
    pod = mapping_at(template, "spec")
    if not items_of(pod, "containers"):
        raise UsageError(f"{where}: there is no container in it; is a template's spec missing?")
    requests = {resource: _effective(pod, resource, where) for resource in _RESOURCES}
    return Asked(
        where=where,
        namespace=text_at(item, "metadata", "namespace") or namespace,
        kind=kind,
        name=name,
        replicas=_replicas(kind, spec, where),
        cpu=requests["cpu"],
        memory=requests["memory"],
        node_selector={key: value for key, value in mapping_at(pod, "nodeSelector").items() if isinstance(value, str)},
        affinity=tuple(_terms(pod)),
        tolerations=tuple(_tolerations(pod)),
        node_name=text_at(pod, "nodeName"),
        alone=_alone(pod, mapping_at(template, "metadata", "labels")),
        unset=tuple(_unset(pod)),
        unchecked=tuple(dict.fromkeys(_unchecked(pod))),
        containers=tuple(text_at(one, "name") for field in ("initContainers", "containers") for one in items_of(pod, field)),
    )


def _replicas(kind: str, spec: Mapping[str, Any], where: str) -> int | None:
    """Pods that the manifest wants at once; None where it does not say, or a DaemonSet's nodes do."""
    if kind in ("Pod", "DaemonSet"):
        return 1 if kind == "Pod" else None
    field = "parallelism" if kind in ("Job", "CronJob") else "replicas"
    text = spec.get(field)
    if text is None:
        return 1 if field == "parallelism" else None
    if not isinstance(text, str) or not re.fullmatch(r"\d{1,7}", text, re.ASCII) or int(text) > _MOST_REPLICAS:
        raise UsageError(f"{where}: {field} is {visible(str(text), 40)!a}, expected a whole number up to {_MOST_REPLICAS}")
    most = spec.get("completions") if field == "parallelism" else None
    # a Job runs no more pods at once than it still has to complete
    return min(int(text), int(most)) if isinstance(most, str) and re.fullmatch(r"\d{1,7}", most, re.ASCII) else int(text)


def _request(holder: Mapping[str, Any], resource: str, where: str) -> float | None:
    """What a container (or a pod as a whole) asks for [cores | bytes]: its request, else its limit; None when neither is set."""
    for field in ("requests", "limits"):
        text = mapping_at(holder, "resources", field).get(resource)
        if text is None or text == "":
            continue
        try:
            if not isinstance(text, str):
                raise UsageError(f"{visible(str(text), 40)!a} is not a Kubernetes quantity")
            return parse_cpu(text) if resource == "cpu" else parse_memory(text)
        except UsageError as error:
            raise UsageError(f"{where}: {field}.{resource} of {visible(text_at(holder, 'name') or 'the pod', 80)}: {error}") from error
    return None


def _effective(pod: Mapping[str, Any], resource: str, where: str) -> float:
    """What the scheduler reserves for a pod [cores | bytes].

    The larger of everything that runs together and of each init container with the native sidecars started before it, plus the overhead
    of the runtime; a request of the pod as a whole stands for its containers.
    """
    running, sidecars, most = 0.0, 0.0, 0.0
    for role, container in role_containers(pod):
        asked = _request(container, resource, where) or 0.0
        if role == "init":
            most = max(most, sidecars + asked)
        else:
            running += asked
            sidecars += asked if role == "sidecar" else 0.0
    whole = _request(pod, resource, where)
    overhead = _request({"resources": {"requests": mapping_at(pod, "overhead")}}, resource, where) or 0.0
    return (max(running, most) if whole is None else whole) + overhead


def _unset(pod: Mapping[str, Any]) -> Iterator[str]:
    for role, container in role_containers(pod):
        for resource in _RESOURCES:
            set_somewhere = any(
                mapping_at(holder, "resources", f).get(resource) for holder in (container, pod) for f in ("requests", "limits")
            )
            if role != "init" and not set_somewhere:
                yield f"{text_at(container, 'name')}/{resource}"


def _terms(pod: Mapping[str, Any]) -> Iterator[tuple[Term, ...]]:
    """The required node affinity: one of its terms must hold."""
    required = mapping_at(pod, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    for term in items_of(required, "nodeSelectorTerms"):
        rules = [*items_of(term, "matchExpressions"), *items_of(term, "matchFields")]
        yield tuple((text_at(rule, "key"), text_at(rule, "operator"), _texts(rule.get("values"))) for rule in rules)


def _texts(value: object) -> tuple[str, ...]:
    return tuple(text for text in value if isinstance(text, str)) if isinstance(value, list) else ()


def _tolerations(pod: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    for one in items_of(pod, "tolerations"):
        yield text_at(one, "key"), text_at(one, "operator") or "Equal", text_at(one, "value"), text_at(one, "effect")


def _required(pod: Mapping[str, Any], kind: str) -> list[Mapping[str, Any]]:
    return items_of(pod, "affinity", kind, "requiredDuringSchedulingIgnoredDuringExecution")


def _on_host(rule: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    return text_at(rule, "topologyKey") == "kubernetes.io/hostname" and selects(rule.get("labelSelector"), labels)


def _alone(pod: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    """Whether two of its pods may not share a node: anti-affinity against itself, or a port of the host."""
    ports = (port for _, container in role_containers(pod) for port in items_of(container, "ports"))
    return any(_on_host(rule, labels) for rule in _required(pod, "podAntiAffinity")) or any(port.get("hostPort") for port in ports)


def _unchecked(pod: Mapping[str, Any]) -> Iterator[str]:
    """Rules that can keep a pod from a node and that are not checked here."""
    if _required(pod, "podAffinity"):
        yield "required pod affinity"
    if _required(pod, "podAntiAffinity"):
        yield "required pod anti-affinity against other workloads"
    if any(text_at(rule, "whenUnsatisfiable") != "ScheduleAnyway" for rule in items_of(pod, "topologySpreadConstraints")):
        yield "topology spread"
    if any("persistentVolumeClaim" in volume or "ephemeral" in volume for volume in items_of(pod, "volumes")):
        yield "zones of its volumes"
    for _, container in role_containers(pod):
        for field in ("requests", "limits"):
            for resource in mapping_at(container, "resources", field):
                if resource not in _PLAIN:
                    yield f"{visible(resource, 60)} on the nodes"
