"""Label selectors of Kubernetes, and which workloads they match today."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from aiops_analysis.core.compact import compact
from aiops_analysis.sources.kube_parts import Look, Objects, controller_of, items_of, key_of, mapping_at, text_at

__all__ = ["MAKERS", "Population", "makers_of", "selects", "template_of"]

#: Kinds that make pods, and the list in which they stand.
MAKERS = {
    "Deployment": "deployments",
    "StatefulSet": "statefulsets",
    "DaemonSet": "daemonsets",
    "ReplicaSet": "replicasets",
    "CronJob": "cronjobs",
    "Job": "jobs",
}
_NAME_OF_NAMESPACE = "kubernetes.io/metadata.name"  # a label that every namespace has, set by the API itself
_OF_A_REVISION = frozenset(("pod-template-hash", "controller-revision-hash"))
_HERE = ("Pending", "Running", "")
Workload = tuple[str, str, str]


def selects(selector: object, labels: Mapping[str, Any]) -> bool:
    """Whether a label selector matches: an empty one matches every pod, a missing one none, an unknown operator none."""
    if not isinstance(selector, Mapping):
        return False
    if any(labels.get(name) != value for name, value in mapping_at(selector, "matchLabels").items()):
        return False
    return all(_holds(rule, labels) for rule in items_of(selector, "matchExpressions"))


def _holds(rule: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    name, given = text_at(rule, "key"), rule.get("values")
    values = given if isinstance(given, list) else []
    match text_at(rule, "operator"):
        case "In":
            return name in labels and labels[name] in values
        case "NotIn":
            return name not in labels or labels[name] not in values
        case "Exists":
            return name in labels
        case "DoesNotExist":
            return name not in labels
    return False


def template_of(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """The pod template of anything that makes pods."""
    return mapping_at(item, "spec", "jobTemplate", "spec", "template") or mapping_at(item, "spec", "template")


def makers_of(objects: Objects) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Kind and object of everything that makes pods and that nothing else makes."""
    for kind, plural in MAKERS.items():
        for item in objects.of(plural):
            if controller_of(item) is None and key_of(item)[1]:
                yield kind, item


class Population:
    """The workloads of a cluster and the labels of their pods: of their template, and of the pods that are there now.

    ``owners`` are kind and name of the workload of every pod, by namespace and name.
    """

    def __init__(self, objects: Objects, owners: Mapping[tuple[str, str], tuple[str, str]], look: Look) -> None:
        self._look = look
        self._labels: dict[str, dict[Workload, dict[str, Mapping[str, Any]]]] = {}
        self._with: dict[tuple[str, str, str], dict[Workload, None]] = {}  # namespace, name and value of a label
        self._found: dict[str, list[str]] = {}
        for kind, item in makers_of(objects):
            self._add((key_of(item)[0], kind, key_of(item)[1]), mapping_at(template_of(item), "metadata", "labels"))
        for pod in objects.of("pods"):
            if text_at(pod, "status", "phase") in _HERE:
                self._add((key_of(pod)[0], *owners[key_of(pod)]), mapping_at(pod, "metadata", "labels"))

    def _add(self, workload: Workload, labels: Mapping[str, Any]) -> None:
        plain = {name: value for name, value in labels.items() if isinstance(value, str)}
        self._labels.setdefault(workload[0], {}).setdefault(workload, {})[compact(plain)] = plain
        for name, value in plain.items():
            self._with.setdefault((workload[0], name, value), {})[workload] = None

    def matched(self, term: Mapping[str, Any], own: Workload, labels: Mapping[str, Any]) -> list[str]:
        """The workloads, as namespace/kind/name, whose pods a pod affinity term of ``own`` (its pods have ``labels``) matches."""
        chosen, alike = term.get("labelSelector"), _texts(term.get("matchLabelKeys"))
        if _OF_A_REVISION.intersection(alike):  # no other workload's pods have this one's hash
            mine = self._labels.get(own[0], {}).get(own, {}).values()
            return ["/".join(own)] if any(selects(chosen, there) for there in mine) else []
        unlike = _texts(term.get("mismatchLabelKeys"))
        same, other = (tuple((name, labels[name]) for name in names if isinstance(labels.get(name), str)) for names in (alike, unlike))
        namespaces = self._namespaces(term, own)
        cached = compact([_plain(chosen), namespaces, same, other])
        if cached not in self._found:
            self._found[cached] = [
                "/".join(workload)
                for namespace in namespaces
                for workload in self._candidates(namespace, chosen)
                if any(_matches(chosen, there, same, other) for there in self._labels[namespace][workload].values())
            ]
        return sorted(self._found[cached])

    def _candidates(self, namespace: str, selector: object) -> Iterable[Workload]:
        """Workloads of a namespace that a selector can match: those with the first label it asks for, all where it asks for none."""
        for name, value in mapping_at(selector, "matchLabels").items():
            if isinstance(value, str):
                return self._with.get((namespace, name, value), {})
        return self._labels.get(namespace, {})

    def _namespaces(self, term: Mapping[str, Any], own: Workload) -> list[str]:
        """Namespaces of a term: those named and those selected; its own where it says neither."""
        named, selector = _texts(term.get("namespaces")), term.get("namespaceSelector")
        if not isinstance(selector, Mapping):
            return sorted(set(named)) or [own[0]]
        asked = {*mapping_at(selector, "matchLabels"), *(text_at(rule, "key") for rule in items_of(selector, "matchExpressions"))}
        if asked <= {_NAME_OF_NAMESPACE}:
            return sorted({*named, *(n for n in self._labels if selects(selector, {_NAME_OF_NAMESPACE: n}))})
        # namespaces are not listed; a rule that holds for too many pods is the careful reading
        self._look.note(f"{'/'.join(own)} chooses namespaces by labels, which are not read: its rule is taken to hold in all of them")
        return sorted(self._labels)


def _matches(selector: object, labels: Mapping[str, Any], same: Iterable[tuple[str, Any]], other: Iterable[tuple[str, Any]]) -> bool:
    """Whether a term's selector holds, with its matchLabelKeys and mismatchLabelKeys."""
    return (
        selects(selector, labels)
        and all(labels.get(name) == value for name, value in same)
        and all(name in labels and labels[name] != value for name, value in other)
    )


def _texts(value: object) -> Sequence[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def _plain(selector: object) -> object:
    """A selector as far as it can decide anything, for a key."""
    if not isinstance(selector, Mapping):
        return None
    return [repr(mapping_at(selector, "matchLabels")), [repr(rule) for rule in items_of(selector, "matchExpressions")]]
