"""Fill the history from a Prometheus: missing days only, oldest first, each committed before the next (design.md section 2)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from aiops_analysis.core.errors import StoreCorrupt
from aiops_analysis.core.schema import METRICS
from aiops_analysis.core.window import DAY, Window, day_start, iso, last_whole_day, steps_of
from aiops_analysis.history.days import commit_matrix, merge, read_day
from aiops_analysis.history.inventory import commit_frame, read_frame
from aiops_analysis.history.store import Manifest, Store, open_store
from aiops_analysis.sources import clusters, promql
from aiops_analysis.sources.flavours import Flavour
from aiops_analysis.sources.prometheus import Prometheus
from aiops_analysis.sources.promql import Scope
from aiops_analysis.sources.samples import Spacing, spacing_of
from aiops_analysis.workflows.daybook import PIECEWISE, pulled_again, united
from aiops_analysis.workflows.measure import ALL_KINDS
from aiops_analysis.workflows.pull_day import DayFrames, Question, Split, day_questions, day_result
from aiops_analysis.workflows.weeks import write_weeks

__all__ = ["MOVED", "History", "Progress", "Pulled", "load", "missing_days", "moved_by_day", "pull", "series_by_day"]

_IN_FLIGHT = 2
_MOST_POINTS = 2_000_000  # of one answer (design.md section 2)
_PROBE_STEP = "1h"
_LATER = ("runs", "bounds")
#: What to say of a family of metrics whose own labels the server has moved aside.
MOVED: Mapping[str, str] = {
    "kube": "kube-state-metrics is scraped without honor_labels: pods are read from exported_namespace, exported_pod, exported_container",
    "container": "cAdvisor is scraped without honor_labels: the namespace of a container is read from exported_namespace",
}


@dataclass(frozen=True)
class Progress:
    """Where a pull is: ``done`` of ``days`` days, the day just stored, its series, and the requests made so far."""

    done: int
    days: int
    day: date | None
    series: int
    requests: int
    status: str = ""


@dataclass
class Pulled:
    """What a pull did; ``stored`` maps each day to its status, ``nothing`` are days of which the server has no data.

    ``marked`` are days whose samples are too far apart, by what is said of them.
    """

    cluster: str
    stored: dict[date, str] = field(default_factory=dict)
    nothing: list[date] = field(default_factory=list)
    kept: int = 0
    requests: int = 0
    series: int = 0
    set_aside: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    marked: dict[str, list[date]] = field(default_factory=dict)
    source: dict[str, str] = field(default_factory=dict)


def missing_days(store: Store, days: Sequence[date], *, retention: timedelta | None, now: datetime) -> list[date]:
    """The days of which something is not committed, or incomplete, not yet asked three times, and still on the server."""
    out = []
    for day in days:
        manifests = {kind: store.manifest(kind, day) for kind in ALL_KINDS}
        kept_there = retention is None or day_start(day) >= now - retention
        # a day of an older version lacks the kinds that came later; they are asked for while the server still has them
        if any(
            (m is None and (kept_there or kind not in _LATER)) or (m is not None and m.open and kept_there) for kind, m in manifests.items()
        ):
            out.append(day)
    return out


def pull(
    store: Store,
    source: Prometheus,
    window: Window,
    *,
    now: datetime,
    scope: Scope | None = None,
    names: Mapping[str, str] | None = None,
    progress: Callable[[Progress], None] | None = None,
    wait: float = 60.0,
) -> Pulled:
    """Store the days of ``window`` that are missing; when none is, the server is not asked anything.

    ``now`` is the time of the pull: days that are not over and settled are left for later.
    Raises SourceError when the server cannot be reached or gives up, SettingsError when it holds several clusters and the scope names
    none, StoreLocked when another pull runs; days already stored stay.
    """
    last = last_whole_day(now)
    wanted = [day for day in window.days() if day <= last]
    result = Pulled(store.cluster)
    before = source.requests_made
    with store.lock(wait, f"pull since {iso(now)}"):
        store.clean()
        result.set_aside = _set_damaged_aside(store, wanted)
        missing = missing_days(store, wanted, retention=None, now=now)
        if missing:
            flavour = source.flavour()
            result.source = {"flavour": flavour.name, "version": flavour.version, "url": source.url}
            if flavour.retention is not None:
                result.source["retention_s"] = str(int(flavour.retention.total_seconds()))
            missing = missing_days(store, wanted, retention=flavour.retention, now=now)
            _Pull(store, source, scope or Scope(), names or {}, now, flavour, result, progress).run(missing)
            write_weeks(store, result.stored)
    result.kept = len(wanted) - len(missing)
    result.requests = source.requests_made - before
    return result


@dataclass(frozen=True)
class History:
    """The history that a notebook works on, shown in one line."""

    store: Store
    pulled: Pulled | None

    def __repr__(self) -> str:
        days = self.store.days("cpu_usage")
        held = f"history of {self.store.cluster}: {len(days)} days" + (f", {days[0]} to {days[-1]}" if days else "")
        if self.pulled is None or not self.pulled.stored:
            return held
        return f"{held}; {len(self.pulled.stored)} of them pulled now from {self.pulled.source['flavour']} {self.pulled.source['version']}"


def load(
    root: Path,
    cluster: str,
    source: Prometheus | None,
    window: Window,
    *,
    now: datetime,
    scope: Scope | None = None,
    names: Mapping[str, str] | None = None,
) -> History:
    """The history of a cluster, its missing days of the window pulled first where there is a server to ask.

    Raises what ``open_store`` and ``pull`` raise.
    """
    store = open_store(root, cluster)
    return History(store, None if source is None else pull(store, source, window, now=now, scope=scope, names=names))


def _set_damaged_aside(store: Store, days: Sequence[date]) -> list[str]:
    """Move days whose files are not what their manifests say out of the way; they are then pulled again."""
    told = []
    for kind in ALL_KINDS:
        for day in days:
            problem = store.damage(kind, day)
            if problem is not None:
                told.append(f"{problem}; moved to {store.set_aside(kind, day)}")
    return told


def series_by_day(source: Prometheus, days: Sequence[date], scope: Scope, names: Mapping[str, str]) -> dict[date, int]:
    """The largest number of containers at each full hour of each day: which of the days the server has, by one instant query."""
    return _largest_by_day(source, days, promql.presence_query(scope, names))


def moved_by_day(source: Prometheus, days: Sequence[date], scope: Scope, names: Mapping[str, str]) -> dict[date, tuple[str, ...]]:
    """The families of metrics whose own labels the server has moved aside on a day, for the days that have any (see Scope)."""
    found = {family: _largest_by_day(source, days, promql.moved_query(family, scope, names)) for family in MOVED}
    return {day: moved for day in days if (moved := tuple(family for family in MOVED if found[family].get(day)))}


def _largest_by_day(source: Prometheus, days: Sequence[date], query: str) -> dict[date, int]:
    """The largest value of a count at each full hour of each day, by one instant query."""
    if not days:
        return {}
    first, last = days[0], days[-1]
    length = (last - first).days + 1
    answer = source.matrix(f"{query}[{length}d:{_PROBE_STEP}]", day_start(last) + DAY)
    found: dict[date, int] = {}
    for stamps, values in answer:
        for stamp, value in zip(stamps, values, strict=True):
            # a mark at midnight belongs to the day that ends there
            day = (stamp - timedelta(seconds=1)).date()
            found[day] = max(found.get(day, 0), int(value))
    return found


@dataclass
class _Pull:
    """One pull under way."""

    store: Store
    source: Prometheus
    scope: Scope
    names: Mapping[str, str]
    now: datetime
    flavour: Flavour
    result: Pulled
    progress: Callable[[Progress], None] | None

    def run(self, missing: Sequence[date]) -> None:
        """Ask and store the days that the server has."""
        if missing:
            end, days = day_start(missing[-1]) + DAY, (missing[-1] - missing[0]).days + 1
            clusters.check(clusters.population_of(self.source, end, days, self.scope, self.names), self.scope)
        series = series_by_day(self.source, missing, self.scope, self.names)
        there = [day for day in missing if series.get(day, 0) > 0]
        self.result.nothing = [day for day in missing if day not in there]
        moved = moved_by_day(self.source, there, self.scope, self.names)
        self.result.warnings += sorted({MOVED[family] for families in moved.values() for family in families})
        if moved:
            self.scope = replace(self.scope, moved=moved.get(there[-1], ()))
        split = self._split(there, max(series.values(), default=0))
        plans = [(day, day_questions(self.source, day, replace(self.scope, moved=moved.get(day, ())), split, self.names)) for day in there]
        self._tell(0, len(there), None)
        for number, (day, questions, answers) in enumerate(_two_ahead(plans)):
            frames = day_result(day, questions, answers)
            status = self._store(day, frames, spacing_of(self.source, day_start(day) + DAY, self.scope, self.names))
            self.result.stored[day] = status
            self.result.series = max(self.result.series, frames.series)
            self._tell(number + 1, len(there), day, status)

    def _tell(self, done: int, days: int, day: date | None, status: str = "") -> None:
        if self.progress is not None:
            self.progress(Progress(done, days, day, self.result.series, self.source.requests_made, status))

    def _split(self, days: Sequence[date], series: int) -> Split:
        """Namespaces in groups of at most two million points a day; known up front, so that a refused query can be split too."""
        if not days:
            return Split()
        at = day_start(days[-1]) + DAY / 2
        counts = self.source.instant(promql.namespaces_query(self.scope, self.names), at)
        sizes = {m.get("namespace", ""): int(v) for m, v in zip(counts.labels, counts.values, strict=True)}
        if series * steps_of() <= _MOST_POINTS:
            # one group without a namespace matcher; a pod in a namespace that came later is then seen too
            return Split(((),), tuple(sorted(sizes)))
        groups: list[list[str]] = [[]]
        room = float(_MOST_POINTS)
        for namespace, size in sorted(sizes.items()):
            points = size * steps_of() * 1.5  # pods come and go during a day
            if groups[-1] and points > room:
                groups.append([])
                room = float(_MOST_POINTS)
            groups[-1].append(namespace)
            room -= points
        return Split(tuple(tuple(group) for group in groups), tuple(sorted(sizes)))

    def _store(self, day: date, frames: DayFrames, spacing: Spacing) -> str:
        """Commit everything of a day, facts first; the day's status is its worst. How far samples are apart marks it, no more."""
        worst, marks = "complete", spacing.texts(self.flavour)
        for kind in ALL_KINDS:
            old = self.store.manifest(kind, day)
            manifest = self._manifest(kind, day, frames, old)
            told = (*manifest.infos, *marks) if kind in METRICS else manifest.infos
            manifest = replace(manifest, source=dict(manifest.source) | spacing.as_source(), infos=told)
            if kind in frames.frames:
                frame = frames.frames[kind]
                if old is not None:
                    before = read_frame(self.store, kind, [day])
                    frame = united(kind, frame, before) if old.road in PIECEWISE else pulled_again(kind, before, frame)
                commit_frame(self.store, manifest, frame)
            else:
                labels, samples = frames.matrices[kind]
                if old is not None:
                    labels, samples = self._merged(kind, day, labels, samples)
                commit_matrix(self.store, manifest, labels, samples)
            if manifest.status != "complete":
                worst = manifest.status
        self.result.warnings += [w for texts in frames.warnings.values() for w in texts if w not in self.result.warnings]
        self.result.marked |= {text: [*self.result.marked.get(text, ()), day] for text in marks}
        return worst

    def _merged(self, metric: str, day: date, labels: pd.DataFrame, samples: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
        try:
            return merge(read_day(self.store, metric, day), (labels, samples))
        except StoreCorrupt as error:
            self.result.set_aside.append(f"{error}; moved to {self.store.set_aside(metric, day)}")
            return labels, samples

    def _manifest(self, kind: str, day: date, frames: DayFrames, old: Manifest | None) -> Manifest:
        holes = frames.holes if kind in METRICS else 0
        whole = not holes and not frames.warnings.get(kind)
        attempts = 1 if old is None else old.attempts + 1
        manifest = Manifest(
            kind,
            day,
            status="complete" if whole else "incomplete",
            attempts=attempts,
            queries=frames.queries.get(kind, {}),
            source=self.result.source,
            warnings=frames.warnings.get(kind, ()),
            infos=frames.infos.get(kind, ()),
            targets=frames.targets if kind == "cpu_usage" else None,
            holes=holes,
            dropped=frames.dropped.get(kind, ()),
            pulled_at=iso(self.now),
        )
        gone = self.flavour.retention is not None and day_start(day) < self.now - self.flavour.retention
        if not whole and (not manifest.open or gone):
            return replace(manifest, status="final_with_holes")
        return manifest


def _two_ahead(plans: Sequence[tuple[date, list[Question]]]) -> Iterator[tuple[date, list[Question], list[object]]]:
    """Answers day by day, with at most two requests in flight or waiting to be used ahead of what is being stored."""
    todo = iter([question for _, questions in plans for question in questions])
    with ThreadPoolExecutor(_IN_FLIGHT, thread_name_prefix="pull") as pool:
        flying: deque[Future[object]] = deque()

        def more() -> None:
            question = next(todo, None)
            if question is not None:
                flying.append(pool.submit(question.ask))

        for _ in range(_IN_FLIGHT):
            more()
        try:
            for day, questions in plans:
                answers = []
                for _ in questions:
                    answers.append(flying.popleft().result())
                    more()
                yield day, questions, answers
        finally:
            for future in flying:
                future.cancel()
