"""From answers of a Prometheus to one day of facts: owners, containers, nodes, HPAs (methods.md K, I-4 to I-6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol

import numpy as np
import pandas as pd

from aiops_analysis.core.compact import compact
from aiops_analysis.core.schema import HPAS, INVENTORY, NODES, check, empty
from aiops_analysis.core.window import STEP, day_start, steps_of
from aiops_analysis.history.inventory import runs
from aiops_analysis.sources.node_labels import described, original_labels

__all__ = ["Answer", "Apart", "Owners", "hpas_frame", "inventory_frame", "merge_facts", "nodes_frame", "owners_of"]

_SLOTS = ("cpu_request", "cpu_limit", "memory_request", "memory_limit")
_NODE_SLOTS = ("cpu_capacity", "cpu_allocatable", "memory_capacity", "memory_allocatable", "pods_allocatable")


class Answer(Protocol):
    """What this module needs of a range answer: labels and float samples [rows, steps]."""

    @property
    def labels(self) -> list[dict[str, str]]:
        """Label sets, one a row."""

    @property
    def samples(self) -> np.ndarray:
        """Samples [rows, steps]."""


@dataclass(frozen=True)
class Owners:
    """Who owns a pod: (namespace, pod) to (kind, name), with ReplicaSets and Jobs resolved to their own owners; ``direct`` without."""

    pods: Mapping[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    direct: Mapping[tuple[str, str], tuple[str, str]] = field(default_factory=dict)

    def of(self, namespace: str, pod: str) -> tuple[str, str]:
        """Kind and name of the workload of a pod; a pod without an owner is its own workload of kind ``Pod``."""
        return self.pods.get((namespace, pod), ("Pod", pod))

    def revision(self, namespace: str, pod: str) -> str:
        """The name of the pod's direct owner, "" without one: another ReplicaSet is another pod template."""
        return self.direct.get((namespace, pod), ("", ""))[1]


@dataclass(frozen=True)
class Apart:
    """Containers that are not plain ones: init containers with their requests and limits, GPU users, nodes that run Windows."""

    init_images: Sequence[Mapping[str, str]] = ()
    init_requests: Answer | None = None
    init_limits: Answer | None = None
    gpus: Sequence[Mapping[str, str]] = ()
    windows: frozenset[str] = frozenset()

    def roles(self) -> dict[tuple[str, str, str, str], str]:
        """Role of each init container: ``sidecar`` for one that keeps running (restartPolicy Always), else ``init``."""
        found = {_key(m): "init" for answer in (self.init_requests, self.init_limits) if answer is not None for m in answer.labels}
        return found | {_key(m): "sidecar" if m.get("restart_policy") == "Always" else "init" for m in self.init_images}


def owners_of(
    pod_owner: Sequence[Mapping[str, str]],
    replicaset_owner: Sequence[Mapping[str, str]],
    job_owner: Sequence[Mapping[str, str]],
    relabel: Sequence[Mapping[str, str]] = (),
) -> Owners:
    """Owners from the label sets of kube_pod_owner, kube_replicaset_owner, kube_job_owner and the mixin's recording rule."""
    above = {("ReplicaSet", m.get("namespace", ""), m.get("replicaset", "")): _owner(m) for m in replicaset_owner}
    above |= {("Job", m.get("namespace", ""), m.get("job_name", m.get("job", ""))): _owner(m) for m in job_owner}
    pods: dict[tuple[str, str], tuple[str, str]] = {}
    direct: dict[tuple[str, str], tuple[str, str]] = {}
    for m in relabel:
        kind = {k.lower(): k for k in ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "ReplicaSet")}.get(
            m.get("workload_type", ""), ""
        )
        if kind and m.get("workload"):
            pods[m.get("namespace", ""), m.get("pod", "")] = kind, m["workload"]
    for m in pod_owner:
        owner = _owner(m)
        if owner is not None:
            namespace = m.get("namespace", "")
            direct[namespace, m.get("pod", "")] = owner
            pods[namespace, m.get("pod", "")] = above.get((owner[0], namespace, owner[1])) or owner
    return Owners(pods, direct)


def _owner(labels: Mapping[str, str]) -> tuple[str, str] | None:
    kind, name = labels.get("owner_kind", ""), labels.get("owner_name", "")
    return (kind, name) if kind not in ("", "<none>") and name not in ("", "<none>") else None


def _times(day: date, first: np.ndarray, last: np.ndarray) -> dict[str, pd.Series]:
    base = pd.Timestamp(day_start(day)).as_unit("s")
    return {
        "first_seen": pd.Series(base + pd.to_timedelta(first * STEP, unit="s")),
        "last_seen": pd.Series(base + pd.to_timedelta((last + 1) * STEP, unit="s")),
    }


def inventory_frame(
    day: date,
    requests: Answer,
    limits: Answer,
    phase: Answer,
    images: Sequence[Mapping[str, str]],
    pod_info: Sequence[Mapping[str, str]],
    owners: Owners,
    measured: Sequence[Mapping[str, str]] = (),
    apart: Apart | None = None,
) -> pd.DataFrame:
    """INVENTORY of one day: one row per run of equal requests and limits of each container of each pod, init containers too.

    A container is there while its pod's phase is Pending or Running; where the server has no phases, while it has a request or a limit.
    ``measured`` are labels of measured series: a container that sets nothing is known by them where the server does not list containers.
    """
    apart = apart or Apart()
    asked = [("request", requests), ("limit", limits), ("request", apart.init_requests), ("limit", apart.init_limits)]
    answers = [(suffix, answer) for suffix, answer in asked if answer is not None]
    rows, facts = _containers([a for _, a in answers], [*images, *apart.init_images, *_unlisted(measured, images, phase)])
    if not rows:
        return empty(INVENTORY)
    values = _values(rows, answers)
    row, first, last = runs(values, _present(rows, values, phase))
    names = list(rows)
    keys = [names[r] for r in row]
    nodes = {(m.get("namespace", ""), m.get("pod", ""), m.get("uid", "")): m.get("node", "") for m in pod_info}
    node = [nodes.get(key[:3]) or facts[r].get("node", "") for r, key in zip(row, keys, strict=True)]
    at = values[row, :, first]
    frame = pd.DataFrame(keys, columns=["namespace", "pod", "uid", "container"]).assign(
        node=node,
        image=[facts[r].get("image", "") for r in row],
        **_about(keys, node, owners, apart),
        **{slot: at[:, i] for i, slot in enumerate(_SLOTS)},
        **_times(day, first, last),
    )
    return check(frame.assign(qos=_qos(frame)), INVENTORY)


def _about(keys: Sequence[tuple[str, str, str, str]], node: Sequence[str], owners: Owners, apart: Apart) -> dict[str, list[str]]:
    """Owner, role and scope of each container."""
    roles, gpus = apart.roles(), {_key(m) for m in apart.gpus}
    owned = [owners.of(key[0], key[1]) for key in keys]
    return {
        "workload_kind": [kind for kind, _ in owned],
        "workload": [name for _, name in owned],
        "role": [roles.get(key, "app") for key in keys],
        "scope": ["GPU" if key in gpus else "Windows" if n in apart.windows else "" for key, n in zip(keys, node, strict=True)],
        "revision": [owners.revision(key[0], key[1]) for key in keys],
    }


def _values(rows: Mapping[tuple[str, str, str, str], int], answers: Sequence[tuple[str, Answer]]) -> np.ndarray:
    """Requests and limits [rows, slots, steps], NaN where not set."""
    values = np.full((len(rows), len(_SLOTS), steps_of()), np.nan)
    for suffix, answer in answers:
        for labels, series in zip(answer.labels, answer.samples, strict=True):
            slot = f"{labels.get('resource', '')}_{suffix}"
            if slot in _SLOTS:
                values[rows[_key(labels)], _SLOTS.index(slot)] = series
    return values


def _key(labels: Mapping[str, str]) -> tuple[str, str, str, str]:
    return labels.get("namespace", ""), labels.get("pod", ""), labels.get("uid", ""), labels.get("container", "")


def _containers(
    answers: Sequence[Answer], images: Sequence[Mapping[str, str]]
) -> tuple[dict[tuple[str, str, str, str], int], list[dict[str, str]]]:
    """Every container seen, numbered, and its image and node where known."""
    rows: dict[tuple[str, str, str, str], int] = {}
    facts: list[dict[str, str]] = []
    for labels in (*images, *(m for answer in answers for m in answer.labels)):
        number = rows.setdefault(_key(labels), len(rows))
        if number == len(facts):
            facts.append({})
        facts[number] |= {name: labels[name] for name in ("image", "node") if labels.get(name)}
        if facts[number].get("image", "").startswith("sha256:") and labels.get("image_spec"):
            facts[number]["image"] = labels["image_spec"]  # an image pulled by digest has no name of its own
    return rows, facts


def _unlisted(measured: Sequence[Mapping[str, str]], images: Sequence[Mapping[str, str]], phase: Answer) -> list[dict[str, str]]:
    """Measured containers of pods of which the server lists no containers, under each uid that the pod's name had."""
    listed = {(m.get("namespace", ""), m.get("pod", "")) for m in images}
    uids: dict[tuple[str, str], list[str]] = {}
    for m in phase.labels:
        uids.setdefault((m.get("namespace", ""), m.get("pod", "")), []).append(m.get("uid", ""))
    named = [(m, (m.get("namespace", ""), m.get("pod", ""))) for m in measured if m.get("container")]
    return [{**m, "uid": uid} for m, pod in named if pod not in listed for uid in uids.get(pod, ())]


def _present(rows: Mapping[tuple[str, str, str, str], int], values: np.ndarray, phase: Answer) -> np.ndarray:
    seen = ~np.isnan(values).all(axis=1)
    if not len(phase.labels):
        return seen
    alive = {_key(labels)[:3]: ~np.isnan(series) for labels, series in zip(phase.labels, phase.samples, strict=True)}
    for key, number in rows.items():
        # kube-state-metrics goes on showing requests of a pod that has finished
        seen[number] = alive.get(key[:3], False)
    return seen


def _qos(frame: pd.DataFrame) -> pd.Series:
    """QoS class of each row's pod, by the requests and limits of all its containers (Kubernetes' own rule)."""
    limits = frame[["cpu_limit", "memory_limit"]].notna().all(axis=1)
    # Kubernetes sets a missing request to the limit
    equal = limits & (frame["cpu_request"].fillna(frame["cpu_limit"]) == frame["cpu_limit"])
    equal &= frame["memory_request"].fillna(frame["memory_limit"]) == frame["memory_limit"]
    some = frame[list(_SLOTS)].notna().any(axis=1)
    pods = [frame["namespace"], frame["pod"], frame["uid"]]
    guaranteed = equal.groupby(pods).transform("all")
    burstable = some.groupby(pods).transform("any")
    return pd.Series(np.where(guaranteed, "Guaranteed", np.where(burstable, "Burstable", "BestEffort")), index=frame.index)


def nodes_frame(
    day: date,
    capacity: Answer,
    allocatable: Answer,
    labels: Sequence[Mapping[str, str]],
    info: Sequence[Mapping[str, str]],
    *,
    taints: Answer | None = None,
    cordoned: Answer | None = None,
) -> pd.DataFrame:
    """NODES of one day, one row per run of equal capacity, taints and cordon; labels and provider id are the day's.

    A node without a taint has none only where the server answers what kube-state-metrics says of nodes' specs; else nobody knows.
    """
    names = sorted({m.get("node", "") for m in (*capacity.labels, *allocatable.labels)})
    number = dict(zip(names, range(len(names)), strict=True))
    values = np.full((len(names), len(_NODE_SLOTS) + 2, steps_of()), np.nan)
    for suffix, answer in (("capacity", capacity), ("allocatable", allocatable)):
        for m, series in zip(answer.labels, answer.samples, strict=True):
            slot = f"{m.get('resource', '')}_{suffix}"
            if slot in _NODE_SLOTS:
                values[number[m.get("node", "")], _NODE_SLOTS.index(slot)] = series
    present = ~np.isnan(values).all(axis=1)
    told, values[:, -2] = _taints(number, taints, cordoned)
    values[:, -1] = _cordoned(number, cordoned)
    row, first, last = runs(values, present)
    known = {m.get("node", ""): original_labels(m) for m in labels}
    about = {m.get("node", ""): m for m in info}
    at, there = values[row, :, first], [names[r] for r in row]
    mine = [known.get(name, {}) for name in there]
    frame = pd.DataFrame(
        {
            "node": there,
            "provider_id": [about.get(name, {}).get("provider_id", "") for name in there],
            "version": [about.get(name, {}).get("kubelet_version", "") for name in there],
            **{slot: at[:, i] for i, slot in enumerate(_NODE_SLOTS)},
            "labels": [compact(found) if found else "" for found in mine],
            "taints": [told[int(code)] for code in at[:, -2]],
            "unschedulable": at[:, -1] > 0,
            **_times(day, first, last),
        }
    )
    return check(pd.concat([frame, pd.DataFrame([described(found) for found in mine])], axis=1), NODES) if len(frame) else empty(NODES)


def _taints(number: Mapping[str, int], taints: Answer | None, cordoned: Answer | None) -> tuple[list[str], np.ndarray]:
    """The sets of taints that there were, as texts, and which of them each node had at each step [nodes, steps]."""
    codes = np.zeros((len(number), steps_of()))
    if taints is None or not (len(taints.labels) or (cordoned is not None and len(cordoned.labels))):
        return [""], codes
    found: dict[int, list[tuple[list[str], np.ndarray]]] = {}
    for m, series in zip(taints.labels, taints.samples, strict=True):
        if m.get("node", "") in number:
            found.setdefault(number[m["node"]], []).append(([m.get(n, "") for n in ("key", "value", "effect")], series > 0))
    told = {compact([]): 0}
    for node, mine in found.items():
        on = np.stack([there for _, there in mine])
        for pattern in np.unique(on, axis=1).T:
            text = compact(sorted(taint for (taint, _), there in zip(mine, pattern, strict=True) if there))
            codes[node, (on == pattern[:, None]).all(axis=0)] = told.setdefault(text, len(told))
    return list(told), codes


def _cordoned(number: Mapping[str, int], cordoned: Answer | None) -> np.ndarray:
    """1 where a node was cordoned, 0 where it was not or nobody says [nodes, steps]."""
    values = np.zeros((len(number), steps_of()))
    for m, series in zip(cordoned.labels, cordoned.samples, strict=True) if cordoned is not None else ():
        if m.get("node", "") in number:
            values[number[m["node"]]] = np.nan_to_num(series)
    return values


def hpas_frame(day: date, info: Sequence[Mapping[str, str]], bounds: Mapping[str, Answer], targets: Answer) -> pd.DataFrame:
    """HPAS of one day: one row per run of equal bounds and target of each metric of each HorizontalPodAutoscaler."""
    about = {(m.get("namespace", ""), m.get("horizontalpodautoscaler", "")): m for m in info}
    metrics: dict[tuple[str, str], list[tuple[str, str, np.ndarray]]] = {}
    for m, series in zip(targets.labels, targets.samples, strict=True):
        key = m.get("namespace", ""), m.get("horizontalpodautoscaler", "")
        metrics.setdefault(key, []).append((m.get("metric_name", ""), m.get("metric_target_type", ""), series))
    limits = {
        (name, m.get("namespace", ""), m.get("horizontalpodautoscaler", "")): series
        for name, answer in bounds.items()
        for m, series in zip(answer.labels, answer.samples, strict=True)
    }
    keys = sorted(set(about) | set(metrics) | {key[1:] for key in limits})
    nothing = np.full(steps_of(), np.nan)
    series_of = [(key, metric) for key in keys for metric in metrics.get(key, [("", "", nothing)])]
    if not series_of:
        return empty(HPAS)
    values = np.stack([[metric[2], limits.get(("min", *key), nothing), limits.get(("max", *key), nothing)] for key, metric in series_of])
    row, first, last = runs(values, ~np.isnan(values).all(axis=1))
    at = values[row, :, first]
    frame = pd.DataFrame(
        {
            "namespace": [series_of[r][0][0] for r in row],
            "hpa": [series_of[r][0][1] for r in row],
            "target_kind": [about.get(series_of[r][0], {}).get("scaletargetref_kind", "") for r in row],
            "target": [about.get(series_of[r][0], {}).get("scaletargetref_name", "") for r in row],
            "metric": [series_of[r][1][0] for r in row],
            "target_type": [series_of[r][1][1] for r in row],
            "target_value": at[:, 0],
            "min_replicas": at[:, 1],
            "max_replicas": at[:, 2],
            **_times(day, first, last),
        }
    )
    return check(frame, HPAS)


def merge_facts(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Two pulls of one day's facts in one: equal facts span both, no interval is lost."""
    facts = [name for name in new.columns if name not in ("first_seen", "last_seen")]
    if "first_seen" not in new.columns:
        keys = [name for name in facts if new[name].dtype == "str"]
        return pd.concat([new, old], ignore_index=True).drop_duplicates(keys, ignore_index=True)
    both = pd.concat([old, new], ignore_index=True)
    merged = both.groupby(facts, dropna=False, sort=False, as_index=False).agg(
        first_seen=("first_seen", "min"), last_seen=("last_seen", "max")
    )
    return merged[list(new.columns)]
