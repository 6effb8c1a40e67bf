"""Days that are written piece by piece: samples gathered by step, and commits that never take anything away from a day.

What a metrics server measured of a day stays, whatever is added later by another road: its steps are settled and its intervals exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime

import numpy as np
import pandas as pd

from aiops_analysis.core.errors import StoreCorrupt
from aiops_analysis.core.schema import LABELS
from aiops_analysis.core.window import STEP, day_start, iso, steps_of
from aiops_analysis.history.days import commit_matrix, merge, read_day
from aiops_analysis.history.inventory import commit_frame, read_frame
from aiops_analysis.history.store import Manifest, Store
from aiops_analysis.workflows.objects import merge_facts

__all__ = ["PIECEWISE", "Origin", "Samples", "commit_facts", "commit_samples", "later_facts", "pulled_again", "united"]

#: Roads that write a day piece by piece; any other road wrote the whole day from a metrics server.
PIECEWISE = ("kubectl-top", "metrics-api", "kubernetes")
#: What makes a row of a kind the same thing on every road.
_KEYS: dict[str, list[str]] = {
    "inventory": ["namespace", "pod", "container"],
    "nodes": ["node"],
    "hpas": ["namespace", "hpa", "metric"],
    "bounds": ["namespace", "kind", "name", "scope", "resource", "field"],
    "workloads": ["namespace", "workload_kind", "workload"],
}
#: What a node's labels say.
_BY_LABELS = ("pool", "instance_type", "region", "zone", "capacity_type")


@dataclass(frozen=True)
class Origin:
    """Where samples or facts come from: the manifest's road, source and texts."""

    road: str
    source: Mapping[str, str]
    at: datetime
    warnings: tuple[str, ...] = ()
    infos: tuple[str, ...] = ()


@dataclass
class _Series:
    """One container's day: sum and number of its CPU samples in each step, and its largest working set."""

    total: np.ndarray = field(default_factory=lambda: np.zeros(steps_of()))
    count: np.ndarray = field(default_factory=lambda: np.zeros(steps_of(), np.int32))
    largest: np.ndarray = field(default_factory=lambda: np.full(steps_of(), np.nan))


class Samples:
    """Samples of one day, gathered one by one: CPU becomes the mean of a step, memory its maximum."""

    def __init__(self, day: date) -> None:
        self.day = day
        self._rows: dict[tuple[str, ...], _Series] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, labels: tuple[str, str, str, str, str], at: datetime, cpu: float, memory: float) -> None:
        """One sample of a container (LABELS) at a moment of the day [cores, bytes]; NaN is not known."""
        step = int((at - day_start(self.day)).total_seconds()) // STEP
        row = self._rows.setdefault(labels, _Series())
        if not np.isnan(cpu):
            row.total[step] += cpu
            row.count[step] += 1
        row.largest[step] = np.fmax(row.largest[step], memory)

    def matrices(self) -> dict[str, tuple[pd.DataFrame, np.ndarray]]:
        """Labels and samples of cpu_usage and memory_working_set, NaN where nothing was seen."""
        labels = pd.DataFrame(list(self._rows), columns=list(LABELS), dtype="str")
        shape = len(self._rows), steps_of()
        counts = np.array([row.count for row in self._rows.values()]).reshape(shape)
        totals = np.array([row.total for row in self._rows.values()]).reshape(shape)
        cpu = np.where(counts > 0, totals / np.maximum(counts, 1), np.nan).astype(np.float32)
        memory = np.array([row.largest for row in self._rows.values()], np.float32).reshape(shape)
        return {"cpu_usage": (labels, cpu), "memory_working_set": (labels, memory)}


def commit_samples(store: Store, samples: Samples, origin: Origin) -> list[str]:
    """Add the samples to their day, under the store's lock; returns what had to be moved aside.

    Where the day already has a value of the same step, the larger memory stays, and for CPU the value that is now known better: ours over
    an earlier part of a day that is written piece by piece, a metrics server's over ours.
    """
    told: list[str] = []
    for metric, ours in samples.matrices().items():
        old, (labels, values) = store.manifest(metric, samples.day), ours
        if old is not None:
            try:
                labels, values = _joined(metric, old, read_day(store, metric, samples.day), ours)
            except StoreCorrupt as error:
                told.append(f"{error}; moved to {store.set_aside(metric, samples.day)}")
                old = None
        manifest = _manifest(metric, samples.day, origin, old)
        if manifest.road == origin.road:
            holes = int((~np.isfinite(values).any(axis=0)).sum()) if len(values) else steps_of()
            manifest = replace(manifest, holes=holes, status="incomplete" if holes else "complete")
        commit_matrix(store, manifest, labels, values)
    return told


def _joined(
    metric: str, old: Manifest, before: tuple[pd.DataFrame, np.ndarray], ours: tuple[pd.DataFrame, np.ndarray]
) -> tuple[pd.DataFrame, np.ndarray]:
    labels, values = merge(before, ours) if old.road in PIECEWISE else merge(ours, before)
    if metric != "memory_working_set" or old.road not in PIECEWISE:
        return labels, values
    row_of = {key: row for row, key in enumerate(labels.itertuples(index=False, name=None))}
    out = values.copy()
    for key, row in zip(before[0][list(LABELS)].itertuples(index=False, name=None), before[1], strict=True):
        out[row_of[key]] = np.fmax(out[row_of[key]], row)
    return labels, out


def commit_facts(store: Store, day: date, frames: Mapping[str, pd.DataFrame], origin: Origin) -> list[str]:
    """Add frames of facts to their day, under the store's lock; returns what had to be moved aside."""
    told: list[str] = []
    for kind, frame in frames.items():
        old = store.manifest(kind, day)
        both = frame
        if old is not None:
            try:
                before = read_frame(store, kind, [day])
                both = later_facts(kind, before, frame) if old.road in PIECEWISE else united(kind, before, frame)
            except StoreCorrupt as error:
                told.append(f"{error}; moved to {store.set_aside(kind, day)}")
                old = None
        commit_frame(store, _manifest(kind, day, origin, old), both)
    return told


def later_facts(kind: str, before: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """Two looks at one day in one: what a thing says now it says since the last look, if it said something else then."""
    keys = _KEYS.get(kind)
    if keys is None or not len(before) or not len(frame):
        return merge_facts(before, frame)
    facts = [name for name in frame.columns if name not in ("first_seen", "last_seen")]
    known = {tuple(map(str, row)) for row in before[facts].itertuples(index=False, name=None)}
    ended = before.groupby(keys)["last_seen"].max()
    last = frame[keys].join(ended.rename("ended"), on=keys)["ended"]
    new = np.array([tuple(map(str, row)) not in known for row in frame[facts].itertuples(index=False, name=None)], bool)
    since = frame["first_seen"].mask(new & (last > frame["first_seen"]) & (last < frame["last_seen"]), last)
    return merge_facts(before, frame.assign(first_seen=since.astype(frame["first_seen"].dtype)))


def united(kind: str, measured: pd.DataFrame, told: pd.DataFrame) -> pd.DataFrame:
    """The facts of a metrics server, and what only the Kubernetes API told: rows about something the server does not know.

    One thing described by both would count twice, for the two rarely agree in every word. Nodes keep the server's intervals, and get all
    their labels, and taints where the server does not know them.
    """
    measured = _labelled(measured, told) if kind == "nodes" and len(told) else measured
    known = set(measured[_KEYS[kind]].itertuples(index=False, name=None))
    new = [key not in known for key in told[_KEYS[kind]].itertuples(index=False, name=None)]
    added = told[np.array(new, bool)]
    if not len(measured) or not len(added):
        return measured if not len(added) else added.reset_index(drop=True)
    return pd.concat([measured, added], ignore_index=True)


def pulled_again(kind: str, before: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """Two pulls of one day in one: a node has the labels of whichever told more, and taints wherever one of them knew."""
    if kind != "nodes" or not len(before) or not len(frame):
        return merge_facts(before, frame)
    both = pd.concat([before, frame], ignore_index=True)
    order = both["labels"].str.len().sort_values(kind="stable").index
    fullest = both.loc[order].drop_duplicates("node", keep="last").set_index("node")["labels"]
    old, new = (part.assign(labels=part["node"].map(fullest).astype(part["labels"].dtype)) for part in (before, frame))
    return merge_facts(_labelled(old, new), _labelled(new, old))


def _labelled(measured: pd.DataFrame, told: pd.DataFrame) -> pd.DataFrame:
    """Nodes with the labels of ``told``, what those say where they had none, and its taints and cordon where theirs are not known."""
    newest = told.sort_values("last_seen", kind="stable").drop_duplicates("node", keep="last").set_index("node")
    mine = newest.reindex(measured["node"]).set_axis(measured.index)
    labels = mine["labels"].notna() & (mine["labels"] != "")
    taints = mine["taints"].notna() & (mine["taints"] != "") & (measured["taints"] == "")
    taken = {"labels": labels, "taints": taints, "unschedulable": taints}
    taken |= dict.fromkeys(_BY_LABELS, labels & (measured["labels"] == ""))
    return measured.assign(**{name: measured[name].where(~rows, mine[name]).astype(measured[name].dtype) for name, rows in taken.items()})


def _manifest(kind: str, day: date, origin: Origin, old: Manifest | None) -> Manifest:
    """The manifest of a day after an addition; one that a metrics server wrote keeps its own origin."""
    if old is not None and old.road not in PIECEWISE:
        return replace(old, files=(), infos=_texts(old.infos, (f"added to by {origin.road} at {iso(origin.at)}",)))
    return Manifest(
        kind,
        day,
        road=origin.road,
        source=dict(origin.source),
        warnings=_texts(() if old is None else old.warnings, origin.warnings),
        infos=_texts(() if old is None else old.infos, origin.infos),
        pulled_at=iso(origin.at),
    )


def _texts(before: Sequence[str], now: Sequence[str], most: int = 50) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*before, *now)))[-most:]
