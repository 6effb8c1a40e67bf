"""One day from a Prometheus: which questions are asked, and how the answers become the day's frames and matrices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import partial
from typing import Protocol

import numpy as np
import pandas as pd

from aiops_analysis.core.errors import QueryTooLarge
from aiops_analysis.core.schema import LABELS, METRICS
from aiops_analysis.core.window import DAY, STEP, day_start
from aiops_analysis.sources import promql
from aiops_analysis.sources.promql import Scope
from aiops_analysis.workflows.bounds import bounds_frame
from aiops_analysis.workflows.events import bursts, events, owned
from aiops_analysis.workflows.job_runs import runs_frame
from aiops_analysis.workflows.objects import Answer, Apart, Owners, hpas_frame, inventory_frame, nodes_frame, owners_of

__all__ = ["DayFrames", "Question", "RangeSource", "Split", "day_questions", "day_result"]

_ABOVE_CAPACITY = 1.05  # methods.md I-11
_TWO_IN_ONE = 0.05  # share of a day's steps with a sample too many
_OWNERS = ("owner", "replicaset_owner", "job_owner", "workload_relabel")
_FACTS = (*_OWNERS, "images", "init_images", "gpus", "pod_info", "node_labels", "node_info", "hpa_info")
_PODS = ("requests", "limits", "init_requests", "init_limits", "phase")
_NODES = ("node_allocatable", "node_capacity", "node_taints", "node_cordoned")
_RUNS = (*_PODS, "limit_ranges", "quotas", *_NODES, "hpa_min", "hpa_max", "hpa_target", "targets")
_RAW = ("restarts", "oom_reason", "oom_events")
_DENSE = tuple(name for name, metric in METRICS.items() if not metric.sparse)
_UNIT = {"cpu_usage": "cpu", "memory_working_set": "memory"}


class RangeSource(Protocol):
    """What a pull needs of a source."""

    def instant(self, query: str, at: datetime) -> object:
        """Label sets and values at one moment."""

    def range(
        self, query: str, start: datetime, end: datetime, step: int = STEP, parts: Sequence[str] = (), *, exact: bool = False
    ) -> object:
        """Label sets and samples at every step from start to end."""


@dataclass(frozen=True)
class Split:
    """The namespaces of a server in groups whose answers stay within the size of one answer."""

    groups: tuple[tuple[str, ...], ...] = ((),)
    namespaces: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question:
    """One request of a day: ``ask`` performs it and returns the source's answer."""

    name: str
    query: str
    ask: Callable[[], object]


@dataclass
class DayFrames:
    """What one day became: matrices by metric, frames by kind, and what was noticed."""

    matrices: dict[str, tuple[pd.DataFrame, np.ndarray]] = field(default_factory=dict)
    frames: dict[str, pd.DataFrame] = field(default_factory=dict)
    queries: dict[str, dict[str, str]] = field(default_factory=dict)
    warnings: dict[str, tuple[str, ...]] = field(default_factory=dict)
    infos: dict[str, tuple[str, ...]] = field(default_factory=dict)
    dropped: dict[str, tuple[Mapping[str, object], ...]] = field(default_factory=dict)
    targets: tuple[tuple[int, int], ...] | None = None
    holes: int = 0
    series: int = 0


def day_questions(source: RangeSource, day: date, scope: Scope, split: Split, names: Mapping[str, str]) -> list[Question]:
    """Every request of one day, facts first; large metrics are asked for by groups of namespaces."""
    start, end = day_start(day), day_start(day) + DAY
    first = start + timedelta(seconds=STEP)
    parts = [scope.within((namespace,)) for namespace in split.namespaces]

    def each(build: Callable[[Scope], str]) -> list[str]:
        return [build(part) for part in parts]

    questions = [
        _instant(source, kind, promql.fact_query(kind, scope, names=names), end, each(partial(promql.fact_query, kind, names=names)))
        for kind in _FACTS
    ]
    for kind in _RUNS:
        by_namespace = each(partial(promql.runs_query, kind, names=names)) if kind in _PODS else []
        questions.append(_range(source, kind, promql.runs_query(kind, scope, names), first, end, by_namespace, exact=True))
    # one step more than the day holds: events are differences
    questions += [
        _range(source, kind, promql.range_query(kind, scope, names), start, end, each(partial(promql.range_query, kind, names=names)))
        for kind in _RAW
    ]
    for kind in promql.JOB_PODS:
        questions.append(
            _instant(source, kind, promql.job_query(kind, scope, names=names), end, each(partial(promql.job_query, kind, names=names)))
        )
    for which, query in promql.burst_queries(scope, names).items():
        questions.append(_instant(source, f"burst_{which}", query, end, [promql.burst_queries(p, names)[which] for p in parts]))
    for metric in _DENSE:
        for group in split.groups:
            part = scope.within(group) if group else scope
            inner = [promql.range_query(metric, scope.within((n,)), names) for n in (group or split.namespaces)]
            questions.append(_range(source, metric, promql.range_query(metric, part, names), first, end, inner))
    return questions


def _range(
    source: RangeSource, name: str, query: str, start: datetime, end: datetime, parts: Sequence[str], *, exact: bool = False
) -> Question:
    return Question(name, query, lambda: source.range(query, start, end, STEP, parts, exact=exact))


def _instant(source: RangeSource, name: str, query: str, at: datetime, parts: Sequence[str]) -> Question:
    def ask() -> object:
        try:
            return source.instant(query, at)
        except QueryTooLarge:
            if not parts:
                raise
            return _Joined.of([source.instant(part, at) for part in parts])

    return Question(name, query, ask)


@dataclass(frozen=True)
class _Joined:
    labels: list[dict[str, str]]
    values: np.ndarray
    warnings: tuple[str, ...]
    infos: tuple[str, ...]

    @classmethod
    def of(cls, answers: Sequence[object]) -> _Joined:
        labels = [m for a in answers for m in a.labels]  # type: ignore[attr-defined]
        values = np.concatenate([a.values for a in answers])  # type: ignore[attr-defined]
        return cls(labels, values, _texts(answers, "warnings"), _texts(answers, "infos"))


def _texts(answers: Sequence[object], name: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for a in answers for text in getattr(a, name)))


def day_result(day: date, questions: Sequence[Question], answers: Sequence[object]) -> DayFrames:
    """The frames and matrices of one day from the answers to its questions."""
    by_name: dict[str, list[object]] = {}
    query_of: dict[str, dict[str, str]] = {}
    for question, answer in zip(questions, answers, strict=True):
        by_name.setdefault(question.name, []).append(answer)
        texts = query_of.setdefault(question.name, {})
        texts[question.name if not texts else f"{question.name}.{len(texts)}"] = question.query
    one = {name: _one(found) for name, found in by_name.items()}
    owners = owners_of(*(one[kind].labels for kind in _OWNERS))
    out = DayFrames(frames=_frames(day, one, owners))
    ceiling = _Ceiling.of(out.frames["inventory"], out.frames["nodes"])
    out.frames["burst"], out.dropped["burst"] = _possible(out.frames["burst"], ceiling)
    ended = _ended(day, out.frames["inventory"])
    for metric in _DENSE:
        labels, samples = owned(one[metric], owners)
        samples, dropped = _at_the_door(metric, labels, samples, ceiling, _odd(by_name[metric], owners))
        out.matrices[metric] = labels, _cut_after_end(labels, samples, ended)
        out.dropped[metric] = dropped
    restarts, kills = events(one["restarts"], one["oom_reason"], one["oom_events"], owners)
    out.matrices |= {"restarts": restarts, "oom_kills": kills}
    out.targets, out.holes = _targets(one["targets"], out.matrices["cpu_usage"][1])
    out.series = sum(len(m[0]) for m in out.matrices.values())
    _describe(out, by_name, query_of)
    return out


def _frames(day: date, one: Mapping[str, _Whole], owners: Owners) -> dict[str, pd.DataFrame]:
    """The day's facts by kind."""
    windows = {m.get("node", "") for m in one["node_info"].labels if "windows" in m.get("os_image", "").lower()}
    apart = Apart(one["init_images"].labels, one["init_requests"], one["init_limits"], _positive(one["gpus"]), frozenset(windows))
    asked = (one["requests"], one["limits"], one["phase"], one["images"].labels, one["pod_info"].labels)
    inventory = inventory_frame(day, *asked, owners, one["memory_working_set"].labels, apart)
    return {
        "inventory": inventory,
        "nodes": nodes_frame(
            day,
            one["node_capacity"],
            one["node_allocatable"],
            one["node_labels"].labels,
            one["node_info"].labels,
            taints=one["node_taints"],
            cordoned=one["node_cordoned"],
        ),
        "hpas": hpas_frame(day, one["hpa_info"].labels, {"min": one["hpa_min"], "max": one["hpa_max"]}, one["hpa_target"]),
        "burst": bursts(one["burst_max"], one["burst_p999"], owners),
        "runs": runs_frame(day, one, owners, inventory),
        "bounds": bounds_frame(day, one["limit_ranges"], one["quotas"]),
    }


def _positive(answer: _Whole) -> list[dict[str, str]]:
    return [m for m, value in zip(answer.labels, answer.values, strict=True) if value > 0]


@dataclass(frozen=True)
class _Whole:
    labels: list[dict[str, str]]
    samples: np.ndarray
    values: np.ndarray


def _one(answers: Sequence[object]) -> _Whole:
    labels = [m for a in answers for m in a.labels]  # type: ignore[attr-defined]
    samples = [a.samples for a in answers if hasattr(a, "samples")]
    values = [a.values for a in answers if hasattr(a, "values")]
    return _Whole(labels, np.concatenate(samples) if samples else np.empty((0, 0)), np.concatenate(values) if values else np.empty(0))


@dataclass(frozen=True)
class _Ceiling:
    """The largest value that is possible: 1.05 times the capacity of the pod's node, of the largest node where that is unknown."""

    by_pod: Mapping[tuple[str, str], str]
    node: Mapping[str, Mapping[str, float]]

    @classmethod
    def of(cls, inventory: pd.DataFrame, nodes: pd.DataFrame) -> _Ceiling:
        pods = dict(zip(zip(inventory["namespace"], inventory["pod"], strict=True), inventory["node"], strict=True))
        capacity = {}
        for resource in ("cpu", "memory"):
            size = nodes[f"{resource}_capacity"].fillna(nodes[f"{resource}_allocatable"])
            capacity[resource] = size.groupby(nodes["node"]).max().dropna().to_dict()
        return cls(pods, capacity)

    def of_rows(self, resource: str, labels: pd.DataFrame) -> np.ndarray:
        known = self.node[resource]
        if not known:
            return np.full(len(labels), np.inf)
        largest = max(known.values())
        pods = zip(labels["namespace"], labels["pod"], strict=True)
        return _ABOVE_CAPACITY * np.array([known.get(self.by_pod.get(pod, ""), largest) for pod in pods])


def _at_the_door(
    metric: str, labels: pd.DataFrame, samples: np.ndarray, ceiling: _Ceiling, odd: Sequence[Mapping[str, object]]
) -> tuple[np.ndarray, tuple[Mapping[str, object], ...]]:
    """Impossible values become missing and are counted by kind and series (methods.md I-11)."""
    top = ceiling.of_rows(_UNIT[metric], labels) if metric in _UNIT else np.full(len(labels), np.inf)
    with np.errstate(invalid="ignore"):
        bad = {"negative": samples < 0, "above_capacity": samples > top[:, None]}
    if any(entry["kind"] == "crowded" for entry in odd):
        bad["two_in_one"] = _two_in_one(labels, samples, odd)[:, None] & np.isfinite(samples)
    dropped = list(odd)
    out = samples
    for kind, mask in bad.items():
        counts = mask.sum(axis=1)
        if counts.any():
            out = np.where(mask, np.float32(np.nan), out)
            dropped += [
                {"kind": kind, "count": int(counts[row]), **{name: str(labels[name].iloc[row]) for name in LABELS}}
                for row in np.flatnonzero(counts)
            ]
    return out, tuple(dropped)


def _two_in_one(labels: pd.DataFrame, samples: np.ndarray, odd: Sequence[Mapping[str, object]]) -> np.ndarray:
    """Which series have so many samples too many that they are two things under one name: neither can be told from the other."""
    crowded = {
        tuple(entry[name] for name in LABELS): int(str(entry["count"])) for entry in odd if entry["kind"] == "crowded" and "pod" in entry
    }
    counts = np.array([crowded.get(key, 0) for key in labels[list(LABELS)].itertuples(index=False, name=None)])
    return counts > _TWO_IN_ONE * np.isfinite(samples).sum(axis=1)


def _odd(answers: Sequence[object], owners: Owners) -> list[Mapping[str, object]]:
    """What the source could not take as it came, by kind; and by series where that is one of ours."""
    total: Counter[str] = Counter()
    named: list[Mapping[str, object]] = []
    for answer in answers:
        total.update(getattr(answer, "odd", {}))
        for key, counts in getattr(answer, "named", {}).items():
            m = dict(key)
            namespace, pod, container = (m.get(name, "") for name in ("namespace", "pod", "container"))
            if pod and container:
                labels = dict(zip(LABELS, (namespace, *owners.of(namespace, pod), pod, container), strict=True))
                named += [{"kind": kind, "count": int(count), **labels} for kind, count in sorted(counts.items())]
                total.subtract(counts)
    return [{"kind": kind, "count": int(count)} for kind, count in sorted(total.items()) if count > 0] + named


def _ended(day: date, inventory: pd.DataFrame) -> dict[tuple[str, str], int]:
    """The step after a pod's last, for pods that ended while others were still seen (methods.md I-4)."""
    if not len(inventory):
        return {}
    base = pd.Timestamp(day_start(day))
    seconds = (inventory["last_seen"] - base).dt.total_seconds() // STEP
    last = seconds.groupby([inventory["namespace"], inventory["pod"]]).max()
    return {key: int(step) for key, step in last[last < last.max()].items()}


def _cut_after_end(labels: pd.DataFrame, samples: np.ndarray, ended: Mapping[tuple[str, str], int]) -> np.ndarray:
    """Without what a server still returns for a container that is gone: its last value lingers for five minutes."""
    cut = [(row, ended[pod]) for row, pod in enumerate(zip(labels["namespace"], labels["pod"], strict=True)) if pod in ended]
    if not any(np.isfinite(samples[row, step:]).any() for row, step in cut):
        return samples
    out = samples.copy()
    for row, step in cut:
        out[row, step:] = np.nan
    return out


def _possible(burst: pd.DataFrame, ceiling: _Ceiling) -> tuple[pd.DataFrame, tuple[Mapping[str, object], ...]]:
    """Bursts without those above what the pod's node has; where the largest is impossible, so is the quantile that it is in."""
    bad = burst["cpu_max"].to_numpy() > ceiling.of_rows("cpu", burst)
    named = burst.loc[bad, list(LABELS)].to_dict("records")
    kept = burst.assign(**{name: burst[name].mask(bad) for name in ("cpu_max", "cpu_p999")})
    return kept, tuple({"kind": "above_capacity", "count": 1, **labels} for labels in named)


def _targets(answer: Answer, cpu: np.ndarray) -> tuple[tuple[tuple[int, int], ...] | None, int]:
    """Runs of the number of targets that were up, and the number of steps that are holes.

    A step is a hole when a job that is up at some time of the day is wholly missing; without ``up``, when no container has a sample.
    """
    if not len(answer.labels):
        return None, int((~np.isfinite(cpu).any(axis=0)).sum()) if len(cpu) else 0
    up = np.nan_to_num(answer.samples)
    total = up.sum(axis=0).astype(int)
    edges = np.flatnonzero(np.diff(total)) + 1
    parts = np.split(total, edges)
    return tuple((int(part[0]), len(part)) for part in parts), int((up == 0).any(axis=0).sum())


def _describe(out: DayFrames, by_name: Mapping[str, Sequence[object]], query_of: Mapping[str, dict[str, str]]) -> None:
    """File queries, warnings and infos under the metric or kind that they belong to."""
    belongs = {
        "inventory": (*_OWNERS, "images", "init_images", "gpus", "pod_info", *_PODS),
        "runs": promql.JOB_PODS,
        "bounds": ("limit_ranges", "quotas"),
        "nodes": ("node_labels", "node_info", *_NODES),
        "hpas": ("hpa_info", "hpa_min", "hpa_max", "hpa_target"),
        "burst": ("burst_max", "burst_p999"),
        "restarts": ("restarts",),
        "oom_kills": ("oom_reason", "oom_events", "restarts"),
        **{metric: (metric,) for metric in _DENSE},
    }
    for kind, names in belongs.items():
        asked = (*names, "targets") if kind == "cpu_usage" else names
        out.queries[kind] = {key: text for name in asked for key, text in query_of[name].items()}
        answers = [a for name in asked for a in by_name[name]]
        out.warnings[kind] = _texts(answers, "warnings")
        out.infos[kind] = _texts(answers, "infos")
