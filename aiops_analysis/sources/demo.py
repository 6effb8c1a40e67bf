"""A small cluster that never was, told by its history: the same numbers as frames of the store and as a server's raw samples.

Nothing here is random or asks the clock: a seed and a last day give the same bytes on every machine. ``openmetrics`` writes what
cAdvisor and kube-state-metrics would have shown, so that a real server filled with it answers with the numbers of ``matrices``.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from functools import cached_property
from typing import BinaryIO, TypeVar

import numpy as np
import pandas as pd

from aiops_analysis.core.compact import compact
from aiops_analysis.core.errors import UsageError
from aiops_analysis.core.schema import BOUNDS, BURST, HPAS, INVENTORY, LABELS, METRICS, NODES, RUNS, WORKLOADS, Contract, check
from aiops_analysis.core.window import STEP, Window, day_start, steps_of
from aiops_analysis.sources import demo_openmetrics, demo_places
from aiops_analysis.sources.demo_objects import VERSION, Scrapes, image_of, labels_of
from aiops_analysis.sources.demo_rules import LOOK, workload_rows
from aiops_analysis.sources.demo_signal import CPU_QUANTUM, MEMORY_QUANTUM
from aiops_analysis.sources.demo_timeline import Clock, NodeLife, PodLife, node_lives, pod_lives, qos_of, resources_of
from aiops_analysis.sources.demo_usage import WEIGHTS, Track, tracks_of

__all__ = ["DemoCluster"]

_STEPS = steps_of()
_SLOTS = ("cpu_request", "cpu_limit", "memory_request", "memory_limit")
_Labels = tuple[str, str, str, str, str]
_Life = TypeVar("_Life", PodLife, NodeLife)


class DemoCluster:
    """The demo's cluster over ``days`` whole UTC days, the last of which is ``end``.

    What happens is counted back from the end, so a shorter demo is a shorter memory of a similar story; usage is scaled over the
    days there are. Raises UsageError for less than one day.
    """

    def __init__(self, seed: int = 7, end: date = date(2026, 11, 1), days: int = 28) -> None:
        self.window = Window.of_days(end, days)
        first = round(self.window.start.timestamp()) // STEP
        self._clock = Clock(seed, first, first + days * _STEPS)

    @property
    def days(self) -> tuple[date, ...]:
        """The UTC days of the demo, in order."""
        return tuple(self.window.days())

    @cached_property
    def _tracks(self) -> tuple[Track, ...]:
        return tracks_of(self._clock)

    @cached_property
    def _nodes(self) -> tuple[NodeLife, ...]:
        return node_lives(self._clock)

    @cached_property
    def _pods(self) -> tuple[PodLife, ...]:
        return pod_lives(self._clock)

    def matrices(self, day: date) -> dict[str, tuple[pd.DataFrame, np.ndarray]]:
        """Labels and float32 samples [rows, 288] of every metric of core.schema.METRICS; NaN where a container did not run.

        cpu_throttled and cpu_periods have containers with a cpu limit only, restarts and oom_kills those with an event.
        """
        start = self._begin(day)
        rows: dict[str, dict[_Labels, np.ndarray]] = {name: {} for name in METRICS}
        for track in self._tracks:
            begin, end = max(track.first, start), min(track.last, start + _STEPS)
            if begin >= end:
                continue
            here, there = slice(begin - track.first, end - track.first), slice(begin - start, end - start)
            for metric, values in _measured(track).items():
                _row(rows[metric], _labels(track))[there] = values[here]
            for metric, steps in (("restarts", track.pod.restarts), ("oom_kills", track.pod.kills)):
                happened = [step - start for step in steps if begin <= step < end] if track.index == 0 else []
                if happened:
                    row = _row(rows[metric], _labels(track))
                    row[there if metric == "restarts" else slice(None)] = 0
                    row[happened] = 1
        return {metric: _matrix(found) for metric, found in rows.items()}

    def burst(self, day: date) -> pd.DataFrame:
        """BURST of a day: largest value and P99.9 of the 2-minute rate at each minute in ``(00:00, 24:00]``."""
        start = self._begin(day)
        rows: dict[_Labels, np.ndarray] = {}
        for track in self._tracks:
            begin, end = max(track.first, start), min(track.last, start + _STEPS)
            if begin < end:
                points = _minute_rates(track)[begin - track.first : end - track.first]
                _row(rows, _labels(track), 5)[(begin - start) * 5 : (end - start) * 5] = points.reshape(-1)
        found = sorted(rows.items())
        return check(
            pd.DataFrame([labels for labels, _ in found], columns=list(LABELS), dtype="str").assign(
                cpu_max=[float(np.nanmax(row)) for _, row in found],
                # to 2^-20 cores, so that a processor that fuses the interpolation's product and sum gives the same bytes
                cpu_p999=[round(float(np.nanquantile(row.astype(np.float64), 0.999)) * 2**20) / 2**20 for _, row in found],
            ),
            BURST,
        )

    def inventory(self, day: date) -> pd.DataFrame:
        """INVENTORY of a day: one row per container of each pod that ran, while it ran."""
        rows = [
            {
                "namespace": pod.workload.namespace,
                "pod": pod.name,
                "uid": pod.uid,
                "container": container.name,
                "role": container.role,
                "scope": "",
                "revision": pod.owner_name,
                "workload_kind": pod.workload.kind,
                "workload": pod.workload.name,
                "node": pod.node.name,
                "image": image_of(pod, index),
                "qos": qos_of(pod),
                **dict.fromkeys(_SLOTS, np.nan),
                **resources_of(pod, index),
                **span,
            }
            for pod, span in self._on(day, self._pods)
            for index, container in enumerate(pod.workload.containers)
        ]
        return _frame(rows, ["namespace", "pod", "uid", "container"], INVENTORY)

    def nodes(self, day: date) -> pd.DataFrame:
        """NODES of a day; one node was replaced in the story."""
        rows = [
            {
                "node": node.name,
                "pool": node.spec.pool,
                "instance_type": node.spec.instance_type,
                "region": node.spec.zone[:-1],
                "zone": node.spec.zone,
                "capacity_type": node.spec.capacity_type,
                "provider_id": node.provider_id,
                "version": VERSION,
                "cpu_capacity": node.spec.cpu[0] / 1000,
                "cpu_allocatable": node.spec.cpu[1] / 1000,
                "memory_capacity": float(node.spec.memory[0] * 2**20),
                "memory_allocatable": float(node.spec.memory[1] * 2**20),
                "pods_allocatable": float(node.spec.pods),
                "labels": compact(labels_of(node)),
                "taints": compact(sorted(node.spec.taints)),
                "unschedulable": False,
                **span,
            }
            for node, span in self._on(day, self._nodes)
        ]
        return _frame(rows, ["node"], NODES)

    def hpas(self, day: date) -> pd.DataFrame:
        """HPAS of a day."""
        start = self._begin(day)
        rows = [
            {
                "namespace": hpa.namespace,
                "hpa": hpa.name,
                "target_kind": "Deployment",
                "target": hpa.target,
                "metric": "cpu",
                "target_value": float(hpa.utilization),
                "target_type": "utilization",
                "min_replicas": float(hpa.min_replicas),
                "max_replicas": float(hpa.max_replicas),
                **_span(start, start + _STEPS),
            }
            for hpa in demo_places.HPAS
        ]
        return _frame(rows, ["namespace", "hpa"], HPAS)

    def runs(self, day: date) -> pd.DataFrame:
        """RUNS of a day: one row per container of each Job's pod, what its counters show at its end."""
        start = self._begin(day)
        rows = [
            {
                "namespace": track.pod.workload.namespace,
                "workload_kind": track.pod.workload.kind,
                "workload": track.pod.workload.name,
                "job": track.pod.owner_name,
                "pod": track.pod.name,
                "container": track.container.name,
                "start": pd.Timestamp(track.pod.start * STEP, unit="s", tz="UTC"),
                "end": pd.Timestamp(track.pod.end * STEP, unit="s", tz="UTC"),
                "cpu_seconds": float(track.cpu.sum()) * CPU_QUANTUM * STEP,
                "memory_max": float(track.memory.max()) * MEMORY_QUANTUM,
                "outcome": "succeeded",
            }
            for track in self._tracks
            if track.pod.owner_kind == "Job" and start < track.last and track.first < start + _STEPS
        ]
        return _frame(rows, ["namespace", "pod", "container"], RUNS)

    def bounds(self, day: date) -> pd.DataFrame:
        """BOUNDS of a day."""
        start = self._begin(day)
        rows = [
            {name: getattr(bound, name) for name in ("namespace", "kind", "name", "scope", "resource", "field")}
            | {"value": bound.plain, **_span(start, start + _STEPS)}
            for bound in demo_places.BOUNDS
        ]
        return _frame(rows, ["namespace", "kind", "name", "field", "resource"], BOUNDS)

    def workloads(self, day: date) -> pd.DataFrame:
        """WORKLOADS as one look at the Kubernetes API on that day would tell them."""
        look = self._begin(day) + LOOK
        rows = [row | _span(look, look + 1) for row in workload_rows(self._pods, look)]
        return _frame(rows, ["namespace", "workload_kind", "workload"], WORKLOADS)

    def targets(self, day: date) -> np.ndarray:
        """Scrape targets that were up in each step, int64 [288]: a kubelet per node, and kube-state-metrics."""
        start = self._begin(day)
        step = np.arange(start, start + _STEPS)
        return 1 + np.sum([(node.start <= step) & (step < node.end) for node in self._nodes], axis=0)

    def openmetrics(self, start: datetime, end: datetime, file: BinaryIO, interval: int = 60) -> None:
        """Write the raw samples in ``[start, end)`` as OpenMetrics text for ``promtool tsdb create-blocks-from openmetrics``.

        Containers are scraped every ``interval`` seconds, in the middle of each interval. Raises UsageError for times outside the
        demo or off its steps, and for an interval that does not divide a step or is over a minute.
        """
        demo_openmetrics.write(self._scrapes(start, end, interval), file, milliseconds=False)

    def prometheus_text(self, start: datetime, end: datetime, file: BinaryIO, interval: int = 60) -> None:
        """The same samples with millisecond times, for VictoriaMetrics' ``/api/v1/import/prometheus``; raises UsageError alike."""
        demo_openmetrics.write(self._scrapes(start, end, interval), file, milliseconds=True)

    def _scrapes(self, start: datetime, end: datetime, interval: int) -> Scrapes:
        if interval not in (10, 12, 20, 30, 50, 60):
            raise UsageError(f"a scrape interval of {interval} s does not suit the demo; expected 10, 12, 20, 30, 50 or 60")
        if not self.window.start <= start < end <= self.window.end:
            raise UsageError(f"{start} to {end} is not within the demo ({self.window.start} to {self.window.end})")
        edges = [moment.timestamp() for moment in (start, end)]
        if any(edge % STEP for edge in edges):
            raise UsageError(f"{start} to {end} does not begin and end with a step of {STEP} s")
        first, last = (round(edge) // STEP for edge in edges)
        return Scrapes(self._clock, first, last, interval, self._tracks, self._pods, self._nodes)

    def _begin(self, day: date) -> int:
        if not self.window.start <= day_start(day) < self.window.end:
            raise UsageError(f"{day} is not a day of the demo ({self.days[0]} to {self.days[-1]})")
        return round(day_start(day).timestamp()) // STEP

    def _on(self, day: date, lives: Iterable[_Life]) -> list[tuple[_Life, dict[str, pd.Timestamp]]]:
        """Whoever was there on a day, and the part of the day."""
        start = self._begin(day)
        spans = [(life, max(life.start, start), min(life.end, start + _STEPS)) for life in lives]
        return [(life, _span(begin, end)) for life, begin, end in spans if begin < end]


def _labels(track: Track) -> _Labels:
    workload = track.pod.workload
    return workload.namespace, workload.kind, workload.name, track.pod.name, track.container.name


def _measured(track: Track) -> dict[str, np.ndarray]:
    """The dense metrics of a track; exact in float32."""
    found = {"cpu_usage": track.cpu * CPU_QUANTUM, "memory_working_set": track.memory.astype(np.float64) * MEMORY_QUANTUM}
    if track.periods is not None and track.throttled is not None:
        found |= {"cpu_throttled": track.throttled, "cpu_periods": track.periods}
    return found


def _row(rows: dict[_Labels, np.ndarray], labels: _Labels, points: int = 1) -> np.ndarray:
    return rows.setdefault(labels, np.full(_STEPS * points, np.nan, np.float32))


def _matrix(rows: dict[_Labels, np.ndarray]) -> tuple[pd.DataFrame, np.ndarray]:
    keys = sorted(rows)
    samples = np.stack([rows[key] for key in keys]) if keys else np.empty((0, _STEPS), np.float32)
    return pd.DataFrame(keys, columns=list(LABELS), dtype="str"), samples


def _minute_rates(track: Track) -> np.ndarray:
    """rate[2m] at the end of each minute, float64 [steps, 5]: at the first of a step it is between this step's mean and the last one's.

    A process that just began, and the demo's first step, have one scrape in their first two minutes, so no rate at the first.
    """
    mean = track.cpu * CPU_QUANTUM
    points = np.empty((len(mean), 5))
    points[1:, 0] = (mean[:-1] + mean[1:]) / 2
    points[[0, *(step - track.first for step in track.pod.restarts)], 0] = np.nan
    points[:, 1:] = mean[:, None] * WEIGHTS[track.pattern] / 4
    return points


def _span(begin: int, end: int) -> dict[str, pd.Timestamp]:
    return {
        "first_seen": pd.Timestamp(begin * STEP, unit="s", tz="UTC"),
        "last_seen": pd.Timestamp(end * STEP, unit="s", tz="UTC"),
    }


def _frame(rows: list[dict[str, object]], order: list[str], contract: Contract) -> pd.DataFrame:
    return check(pd.DataFrame(rows, columns=list(contract.columns)).sort_values(order, kind="stable"), contract)
