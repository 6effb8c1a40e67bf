"""Sample metrics.k8s.io and the objects of the Kubernetes API into the current UTC day, where no Prometheus keeps a history.

A PodMetrics covers a window (15 s to a minute) that ends at its time stamp and belongs to the step in which the middle of that window
lies; one that was seen before counts once. In each step of 5 minutes CPU is the mean of its samples and memory their maximum: a peak
between two samples is not seen, which is why the manifest's road is ``metrics-api``.

Everything gathered is merged into the store every few minutes under the writer's lock, and once more however the loop ends; a process
that is killed loses the last minutes at most, and the next one goes on with the same day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, Protocol

import pandas as pd

from aiops_analysis.core.errors import NotEnoughData, SourceError, StoreLocked
from aiops_analysis.core.window import DAY, SETTLE, day_start, iso
from aiops_analysis.history.inventory import commit_frame, read_frame
from aiops_analysis.history.store import Store
from aiops_analysis.sources.kube_metrics import Measured, measured_of
from aiops_analysis.sources.kube_objects import frames_of
from aiops_analysis.sources.kube_parts import Look, Objects, key_of, moment_of, text_at
from aiops_analysis.sources.kube_pods import owners_of_pods
from aiops_analysis.workflows.daybook import Origin, Samples, commit_facts, commit_samples, later_facts
from aiops_analysis.workflows.weeks import write_weeks

__all__ = ["Collected", "Pace", "Sampled", "collect", "snapshot"]

_OWNING = ("pods", "replicasets", "jobs")
_NEW = timedelta(minutes=2)  # so long a pod may run before metrics-server has measured it


class Cluster(Protocol):
    """What is needed of a cluster."""

    host: str

    def objects(self, plurals: Sequence[str] = ...) -> Objects:
        """The lists that may be read."""

    def pod_metrics(self) -> list[Mapping[str, Any]]:
        """The newest PodMetrics."""


@dataclass(frozen=True)
class Pace:
    """How often is sampled and for how long; objects are listed and everything is written every ``keep``."""

    every: timedelta = timedelta(seconds=60)
    length: timedelta = timedelta(hours=24)
    keep: timedelta = timedelta(minutes=5)


@dataclass(frozen=True)
class Sampled:
    """One turn of the loop: its time, the measurements it brought, and what went wrong ("" when nothing did)."""

    at: datetime
    measurements: int
    problem: str


@dataclass
class Collected:
    """What was gathered; ``stored`` maps each day written to its containers, ``warnings`` and ``notes`` say what is missing or odd."""

    cluster: str
    stored: dict[date, int] = field(default_factory=dict)
    turns: int = 0
    measurements: int = 0
    without_metrics: int = 0  # running pods at most, in one turn
    gone: int = 0  # measurements of pods that the API did not list
    facts: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def warn(self, text: str) -> None:
        """Remember a warning once."""
        if text not in self.warnings:
            self.warnings.append(text)


@dataclass
class _Day:
    """What is held of one day."""

    samples: Samples
    facts: dict[str, pd.DataFrame] = field(default_factory=dict)
    warnings: dict[str, None] = field(default_factory=dict)


def snapshot(store: Store, cluster: Cluster, *, now: datetime) -> Collected:
    """Write what the Kubernetes API alone knows into the day of ``now``: inventory, nodes, autoscalers, bounds, workload settings.

    On a day that a metrics server has described too, only what it does not know is added. Raises SourceError when the pods cannot be
    listed; lists that may not be read are named in ``warnings``.
    """
    gathering = _Gathering(store, cluster, now)
    gathering.look(now)
    gathering.commit(now)
    return gathering.out


def collect(
    store: Store,
    cluster: Cluster,
    pace: Pace,
    *,
    now: Callable[[], datetime],
    wait: Callable[[float], bool],
    progress: Callable[[Sampled], None] | None = None,
) -> Collected:
    """Sample until ``pace.length`` is over or ``wait`` (given seconds) returns True; what was gathered is kept however this ends.

    Failures after the first look are counted and the loop goes on. Raises SourceError when the first look fails, NotEnoughData when
    nothing was measured in all that time, StoreError when the store cannot be written.
    """
    start = now()
    gathering = _Gathering(store, cluster, start)
    gathering.look(start)
    due, kept = start, start
    try:
        while True:
            moment = now()
            if moment - kept >= pace.keep or moment.date() != kept.date():
                gathering.keep(moment)
                kept = moment
            told = gathering.turn(moment)
            if progress is not None:
                progress(told)
            due = max(due + pace.every, now())
            if due - start >= pace.length or wait(max(0.0, (due - now()).total_seconds())):
                break
    finally:
        gathering.commit(now())
    gathering.weeks()
    if not gathering.out.measurements:
        why = "; ".join(gathering.out.warnings[:3]) or "metrics.k8s.io lists no pod"
        raise NotEnoughData(f"nothing was measured: {why}; try: kubectl top pods -A")
    return gathering.out


class _Gathering:
    """Everything that is held between two commits."""

    def __init__(self, store: Store, cluster: Cluster, start: datetime) -> None:
        self.store, self.cluster, self.start = store, cluster, start
        self.out = Collected(store.cluster)
        self.days: dict[date, _Day] = {}
        self.owners: dict[tuple[str, str], tuple[str, str]] = {}
        self.running: dict[tuple[str, str], datetime] = {}
        self.stamps: dict[tuple[str, str, str], str] = {}
        self.written: set[date] = set()
        self.committed = False

    def day(self, day: date) -> _Day:
        """What is held of a day."""
        return self.days.setdefault(day, _Day(Samples(day)))

    def look(self, now: datetime) -> None:
        """List the objects; raises SourceError."""
        objects = self.cluster.objects()
        look, held = Look(now), self.day(now.date())
        frames = frames_of(objects, look)
        for kind, frame in frames.items():
            before = held.facts.get(kind)
            held.facts[kind] = frame if before is None else later_facts(kind, before, frame)
        self.owners |= owners_of_pods(objects)
        self.running = _running(objects)
        self.out.facts = {kind: len(frame) for kind, frame in frames.items()}
        self._told(held, objects, look)

    def _told(self, held: _Day, objects: Objects, look: Look) -> None:
        for plural, why in objects.missing.items():
            text = f"{plural} are not known: {why}"
            self.out.warn(text)
            held.warnings[text] = None
        self.out.notes += [text for text in look.notes if text not in self.out.notes]

    def turn(self, now: datetime) -> Sampled:
        """Ask metrics.k8s.io once; a failure is told, not raised."""
        self.out.turns += 1
        look = Look(now)
        try:
            found = measured_of(self.cluster.pod_metrics(), look)
        except SourceError as error:
            return self._failed(now, f"metrics.k8s.io: {error}")
        problem = self._listed_again(found, now)
        count = sum(self._add(measured) for measured in found)
        self.out.measurements += count
        self.out.notes += [text for text in look.notes if text not in self.out.notes]
        measured_pods = {(m.namespace, m.pod) for m in found}
        silent = [pod for pod, since in self.running.items() if pod not in measured_pods and now - since > _NEW]
        if silent:
            self.out.without_metrics = max(self.out.without_metrics, len(silent))
            problem = problem or f"{len(silent)} of {len(self.running)} running pods have no metrics"
            self._warn(now.date(), "metrics of some running pods were missing at times")
        return Sampled(now, count, problem)

    def _failed(self, now: datetime, text: str) -> Sampled:
        self._warn(now.date(), text)
        return Sampled(now, 0, text)

    def _warn(self, day: date, text: str) -> None:
        self.out.warn(text)
        self.day(day).warnings[text] = None

    def _listed_again(self, found: Iterable[Measured], now: datetime) -> str:
        """List the pods once more when a measured one is not known: it is newer than the last look, or was deleted just now."""
        if all((m.namespace, m.pod) in self.owners for m in found):
            return ""
        try:
            objects = self.cluster.objects(_OWNING)
        except SourceError as error:
            self._warn(now.date(), f"the objects could not be listed at times: {error}")
            return str(error)
        self.owners |= owners_of_pods(objects)
        self.running = _running(objects)
        return ""

    def _add(self, measured: Measured) -> bool:
        """Take in a measurement; False for one that was seen before or whose pod nobody knows."""
        pod = measured.namespace, measured.pod
        owner = self.owners.get(pod)
        if owner is None:
            self.out.gone += 1
            self._warn(measured.at.date(), "metrics of some pods that were deleted just then are left out")
            return False
        key = (*pod, measured.container)
        if measured.stamp and self.stamps.get(key) == measured.stamp:
            return False
        self.stamps[key] = measured.stamp
        labels = (measured.namespace, *owner, measured.pod, measured.container)
        self.day(measured.at.date()).samples.add(labels, measured.at, measured.cpu, measured.memory)
        return True

    def keep(self, now: datetime) -> None:
        """Write what is held and look at the objects again; whatever fails is told and tried again the next time."""
        try:
            self.commit(now)
        except StoreLocked as error:
            self.out.warn(f"not written at {iso(now)}, kept for the next time: {error}")
        try:
            self.look(now)
        except SourceError as error:
            self._warn(now.date(), f"the objects could not be listed at times: {error}")

    def commit(self, now: datetime) -> None:
        """Merge what is held into the store. Raises StoreLocked and StoreError."""
        with self.store.lock(owner=f"collect since {iso(self.start)}"):
            if not self.committed:
                self.store.clean()
                self._close_earlier(now.date())
                self.committed = True
            for day, held in sorted(self.days.items()):
                facts = Origin("kubernetes", self._source("Kubernetes API"), now, tuple(held.warnings), tuple(self.out.notes))
                usage = Origin("metrics-api", self._source("metrics.k8s.io"), now, tuple(held.warnings), tuple(self.out.notes))
                told = commit_facts(self.store, day, held.facts, facts)
                if len(held.samples):
                    told += commit_samples(self.store, held.samples, usage)
                for text in told:
                    self.out.warn(text)
                self.out.stored[day] = len(held.samples)
                self.written.add(day)
        over = [day for day in self.days if day_start(day) + DAY + SETTLE < now]
        for day in over:
            del self.days[day]
        if over:
            self.weeks()

    def weeks(self) -> None:
        """Make the weekly rows of the written days again."""
        with self.store.lock(owner=f"collect since {iso(self.start)}"):
            write_weeks(self.store, self.written)
        self.written = set(self.days)

    def _source(self, flavour: str) -> dict[str, str]:
        return {"flavour": flavour, "version": "", "url": self.cluster.host}

    def _close_earlier(self, today: date) -> None:
        """Let pods that still run have run until the end of the last day that was collected, as they did.

        Otherwise a few minutes a day would look as if the pods had lived for those minutes only, and as if nothing were missing.
        """
        held = self.days.get(today)
        days = [day for day in self.store.days("inventory") if day < today]
        manifest = self.store.manifest("inventory", days[-1]) if days else None
        if held is None or "inventory" not in held.facts or manifest is None or manifest.road != "kubernetes":
            return
        frame, end = read_frame(self.store, "inventory", [manifest.day]), pd.Timestamp(day_start(manifest.day) + DAY)
        alive = frame["uid"].isin(held.facts["inventory"]["uid"]) & (frame["uid"] != "")
        newest = frame.groupby(["uid", "container"])["last_seen"].transform("max") == frame["last_seen"]
        late = alive & newest & (frame["last_seen"] < end)
        if late.any():
            commit_frame(self.store, replace(manifest, files=()), frame.assign(last_seen=frame["last_seen"].mask(late, end)))
            self.written.add(manifest.day)


def _running(objects: Objects) -> dict[tuple[str, str], datetime]:
    """Start of every running pod."""
    out = {}
    for pod in objects.of("pods"):
        start = moment_of(text_at(pod, "status", "startTime"))
        if text_at(pod, "status", "phase") == "Running" and start is not None:
            out[key_of(pod)] = start
    return out
