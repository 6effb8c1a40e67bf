"""A folder of ``kubectl top pods`` texts as part of the history, and how little that says (graded anecdote).

Each text is one moment. It becomes one step of 5 minutes of each container, every other step stays missing, so that the checks of every
review (span, weekdays, completeness) see how thin it is: ten texts of four weeks are ten samples of 8,064 and are refused. Where texts
are dense enough to pass, the finding *anecdote* still says that nobody measured between them.

Owners: where the history knows a pod (from ``collect`` or a metrics server) its owner is taken from there. Otherwise a name decides where
it allows one reading only (``sources.pod_names``), and the manifest says so; a name that allows several leaves the pod on its own. A line
that tells of a whole pod goes to its container where the history knows that it has one only, else to the container ``*`` ("all of them").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from aiops_analysis.core.errors import NotEnoughData
from aiops_analysis.core.names import visible
from aiops_analysis.core.window import Window, iso, steps_of
from aiops_analysis.history.inventory import read_frame
from aiops_analysis.history.store import Store
from aiops_analysis.sources.kubectl_top import TOGETHER, Reading, texts_of
from aiops_analysis.sources.pod_names import owners_by_name
from aiops_analysis.workflows.daybook import PIECEWISE, Origin, Samples, commit_samples
from aiops_analysis.workflows.measure import METRIC_OF
from aiops_analysis.workflows.weeks import write_weeks

__all__ = ["ROAD", "Anecdote", "TopPulled", "anecdotal", "pull_top", "sober"]

ROAD = "kubectl-top"
_SOURCE = {"flavour": "kubectl top", "version": ""}
_AHEAD = timedelta(hours=1)  # a clock may be a little ahead, a text of tomorrow is misread
_LOOK_BACK = 62  # days of the inventory in which a pod is looked up
_MOST_TOLD = 1000
_MANY = 200_000  # readings held before they are written


@dataclass
class TopPulled:
    """What became of a folder of texts: ``stored`` maps each day to its steps with samples, ``noise`` names what was not used."""

    cluster: str
    files: int = 0
    readings: int = 0
    stored: dict[date, int] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    noise: list[str] = field(default_factory=list)
    passed_over: int = 0
    guessed: int = 0
    unowned: int = 0
    warnings: list[str] = field(default_factory=list)
    source: dict[str, str] = field(default_factory=lambda: dict(_SOURCE))

    def tell(self, lines: Iterable[str], count: int) -> None:
        """Remember lines of noise, the first thousand of them."""
        self.passed_over += count
        self.noise += list(lines)[: max(0, _MOST_TOLD - len(self.noise))]


def pull_top(
    store: Store,
    folder: Path,
    *,
    now: datetime,
    namespace: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> TopPulled:
    """Add the texts of ``folder`` to the history; reading them again changes nothing.

    ``namespace`` is for texts without that column, "default" (what kubectl itself would take) when it is not given. ``progress`` is told
    files and readings. Raises UsageError for a folder that is not there, NotEnoughData when no line of it is usable.
    """
    out = TopPulled(store.cluster)
    readings: list[Reading] = []
    with store.lock(owner=f"pull of kubectl top since {iso(now)}"):
        store.clean()
        known = _Known(store)
        for text in texts_of(folder, namespace=namespace or "default"):
            out.files += 1
            out.tell(text.noise, text.passed_over)
            usable = [r for r in text.readings if r.at <= now + _AHEAD]
            if len(usable) < len(text.readings):
                out.tell([f"{visible(text.where)}: is of the future"], len(text.readings) - len(usable))
            readings += usable
            out.readings += len(usable)
            if len(readings) > _MANY:
                _write(store, readings, known, out, now)
                readings = []
            if progress is not None:
                progress(out.files, out.readings)
        _write(store, readings, known, out, now)
        write_weeks(store, out.stored)
    if not out.readings:
        first = f"; first: {out.noise[0]}" if out.noise else ""
        raise NotEnoughData(f"{visible(str(folder))}: none of its {out.files} texts has a usable line{first}")
    return out


class _Known:
    """Owners and containers of pods that the history knows."""

    def __init__(self, store: Store) -> None:
        inventory = read_frame(store, "inventory", store.days("inventory")[-_LOOK_BACK:])
        pods = list(zip(inventory["namespace"], inventory["pod"], strict=True))
        self.owner = dict(zip(pods, zip(inventory["workload_kind"], inventory["workload"], strict=True), strict=True))
        running = inventory["role"] != "init"
        names = inventory[running].groupby(["namespace", "pod"])["container"].unique()
        self.only = {key: str(found[0]) for key, found in names.items() if len(found) == 1}


def _write(store: Store, readings: list[Reading], known: _Known, out: TopPulled, now: datetime) -> None:
    """Commit readings by day; a day that a metrics server has measured is left as it is."""
    by_day: dict[date, list[Reading]] = {}
    for reading in readings:
        by_day.setdefault(reading.at.date(), []).append(reading)
    for day, part in sorted(by_day.items()):
        old = store.manifest("cpu_usage", day)
        if old is not None and old.road not in (ROAD, *PIECEWISE):
            out.left.append(f"{day}: a metrics server has measured this day, its {len(part)} lines of kubectl top are left out")
            continue
        if old is not None and old.road != ROAD:
            out.left.append(f"{day}: the metrics API was sampled on this day, its {len(part)} lines of kubectl top are left out")
            continue
        samples, infos = _samples(day, part, known, out)
        out.warnings += commit_samples(store, samples, Origin(ROAD, _SOURCE, now, infos=infos))
        manifest = store.manifest("cpu_usage", day)
        out.stored[day] = steps_of() - (manifest.holes if manifest is not None else steps_of())


def _samples(day: date, readings: list[Reading], known: _Known, out: TopPulled) -> tuple[Samples, tuple[str, ...]]:
    samples = Samples(day)
    pods = {(r.namespace, r.pod) for r in readings}
    named = owners_by_name(pods - known.owner.keys())
    unowned = pods - known.owner.keys() - named.keys()
    for r in readings:
        pod = r.namespace, r.pod
        kind, name = known.owner.get(pod) or named.get(pod) or ("Pod", r.pod)
        container = known.only.get(pod, TOGETHER) if r.container == TOGETHER else r.container
        samples.add((r.namespace, kind, name, r.pod, container), r.at, r.cpu, r.memory)
    out.guessed, out.unowned = max(out.guessed, len(named)), max(out.unowned, len(unowned))
    infos = [f"the owner of {len(named)} pods is read from their names"] if named else []
    infos += [f"the owner of {len(unowned)} pods cannot be told from their names"] if unowned else []
    return samples, tuple(infos)


@dataclass(frozen=True)
class Anecdote:
    """Why a window is an anecdote: its ``days`` from kubectl top, one row each (day, steps with samples, share of the day's steps)."""

    days: pd.DataFrame

    @property
    def finding(self) -> dict[str, object]:
        """The finding for the report: code, one sentence, data."""
        steps, number = int(self.days["steps"].sum()), len(self.days)
        message = (
            f"anecdote: {number} {'day' if number == 1 else 'days'} of the window come from kubectl top, {steps} moments of "
            f"{number * steps_of()} steps; nobody measured in between, so peaks are not in these numbers"
        )
        return {"code": "anecdote", "message": message, "data": {"days": list(self.days["day"]), "steps": steps}}


def anecdotal(store: Store, window: Window) -> Anecdote | None:
    """What of a window comes from ``kubectl top``, None when nothing does."""
    rows: dict[str, int] = {}
    for metric in METRIC_OF.values():
        for day, manifest in store.manifests(metric, window.days()).items():
            if manifest.road == ROAD:
                rows[day.isoformat()] = max(rows.get(day.isoformat(), 0), steps_of() - manifest.holes)
    if not rows:
        return None
    days = pd.DataFrame({"day": sorted(rows), "steps": [rows[day] for day in sorted(rows)]})
    return Anecdote(days.assign(share=days["steps"] / steps_of()))


def sober(store: Store, window: Window, facts: pd.DataFrame) -> pd.DataFrame:
    """FACTS for a window that holds an anecdote: how long a workload ran is then not taken from the inventory.

    An inventory of one day, as ``collect --once`` writes it, would make a few texts of four weeks look complete. Without it completeness
    is counted over the whole time from the first to the last sample. Facts of any other window are given back as they are.
    """
    return facts if anecdotal(store, window) is None else facts.assign(expected_steps=np.nan, settled_steps=np.nan)
