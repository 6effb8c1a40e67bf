"""Raw samples of the demo as cAdvisor and kube-state-metrics would have shown them, in OpenMetrics or Prometheus text.

Counters rise in a straight line over each half minute at both ends of a step, and over the minutes between them, and a scrape is in
the middle of each interval, never on a step's edge. So the extrapolated ``rate(...[5m])`` at the end of a step is the step's mean,
whether a range includes its left edge (Prometheus 2) or not (Prometheus 3). A process that starts again is a new series from 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, pairwise
from typing import BinaryIO

import numpy as np

from aiops_analysis.core.window import STEP
from aiops_analysis.sources.demo_objects import KUBE, Scrapes, Series, image_of, object_families, text
from aiops_analysis.sources.demo_signal import MEMORY_QUANTUM, keyed
from aiops_analysis.sources.demo_timeline import PodLife
from aiops_analysis.sources.demo_usage import Track, counter_marks

__all__ = ["write"]

_UNIT = 2**16  # counter units in a second: CPU_QUANTUM / 4
_SYSTEM = (983, 9_600)  # [quanta] what the node itself uses: about 60m and 600Mi
_PAUSE = (1, 12)  # [quanta] of a pause container
_PAUSE_IMAGE = "registry.k8s.io/pause:3.10"
_Family = tuple[str, str, Iterable[Series]]


def write(scrapes: Scrapes, file: BinaryIO, *, milliseconds: bool) -> None:
    """Write every family; seconds and OpenMetrics' framing, or milliseconds and bare lines for VictoriaMetrics."""
    grids = {True: _stamps(scrapes, KUBE, milliseconds), False: _stamps(scrapes, scrapes.interval, milliseconds)}
    for name, kind, family in chain(_containers(scrapes), object_families(scrapes)):
        if not milliseconds:
            file.write(f"# TYPE {name.removesuffix('_total')} {kind}\n".encode())
        for series in family:
            per = STEP // (KUBE if series.slow else scrapes.interval)
            begin, end = max(series.begin, scrapes.first), min(series.end, scrapes.last)
            if begin < end:
                stamps = grids[series.slow][(begin - scrapes.first) * per : (end - scrapes.first) * per]
                file.write(_lines(f"{name}{{{series.labels}}} ", series, begin, per, stamps))
    if not milliseconds:
        file.write(b"# EOF\n")


def _stamps(scrapes: Scrapes, interval: int, milliseconds: bool) -> list[str]:
    times = np.arange(scrapes.first * STEP + interval // 2, scrapes.last * STEP, interval) * (1000 if milliseconds else 1)
    return [str(time) for time in times.tolist()]


def _lines(head: str, series: Series, begin: int, per: int, stamps: list[str]) -> bytes:
    if isinstance(series.values, np.ndarray):
        skipped = (begin - series.begin) * per
        values = series.values[skipped : skipped + len(stamps)].tolist()
        return "".join([f"{head}{value} {stamp}\n" for value, stamp in zip(values, stamps, strict=True)]).encode()
    value = f"{head}{series.values} "
    return (value + f"\n{value}".join(stamps) + "\n").encode()


def _containers(scrapes: Scrapes) -> Iterator[_Family]:
    """cAdvisor's families; each also has a node's root, a pod's own cgroup and a pause container, which a sum must leave out."""
    name = "container_cpu_usage_seconds_total"
    yield name, "counter", (s for kind in (_usage(scrapes), _cgroups(scrapes, "cpu")) for s in kind)
    yield "container_memory_working_set_bytes", "gauge", (s for kind in (_memory(scrapes), _cgroups(scrapes, "memory")) for s in kind)
    yield "container_cpu_cfs_periods_total", "counter", _periods(scrapes, "periods")
    yield "container_cpu_cfs_throttled_periods_total", "counter", _periods(scrapes, "throttled")


def _processes(scrapes: Scrapes, track: Track) -> Iterator[tuple[str, slice, int]]:
    """Labels of each process of a track that was scraped, its steps in the track, and its number."""
    edges = [track.first, *track.pod.restarts, track.last]
    for number, (begin, end) in enumerate(pairwise(edges)):
        if max(begin, scrapes.first) < min(end, scrapes.last):
            process = f"{keyed(track.pod.uid, track.container.name, number):016x}"
            labels = _cadvisor(
                track.pod, track.container.name, f"{_cgroup(track.pod)}/{process}", image_of(track.pod, track.index), process
            )
            yield labels, slice(begin - track.first, end - track.first), number


def _cgroup(pod: PodLife) -> str:
    return f"/kubepods/pod{pod.uid}"


def _cadvisor(pod: PodLife, container: str, cgroup: str, image: str, name: str) -> str:
    return text(
        job="kubelet",
        instance=f"{pod.node.internal_ip}:10250",
        metrics_path="/metrics/cadvisor",
        node=pod.node.name,
        namespace=pod.workload.namespace,
        pod=pod.name,
        container=container,
        id=cgroup,
        image=image,
        name=name,
    )


def _before(scrapes: Scrapes, track: Track, number: int) -> int:
    """Seconds that a counter shows when its process is older than the demo, 0 otherwise."""
    old = number == 0 and track.pod.start < scrapes.clock.first
    return keyed(track.pod.uid, track.container.name, "before") % 200_000 if old else 0


def _offsets(interval: int) -> np.ndarray:
    return np.arange(interval // 2, STEP, interval)


def _usage(scrapes: Scrapes) -> Iterator[Series]:
    offsets = _offsets(scrapes.interval)
    for track in scrapes.tracks:
        for labels, steps, number in _processes(scrapes, track):
            seconds, used = counter_marks(track.cpu[steps], track.pattern[steps])
            total = np.concatenate([[0], np.cumsum(used[:-1, -1])]) + _before(scrapes, track, number) * _UNIT
            part = np.searchsorted(seconds, offsets, side="right") - 1
            slope = np.diff(used, axis=1) // np.diff(seconds)
            values = total[:, None] + used[:, part] + slope[:, part] * (offsets - seconds[part])
            yield Series(labels, track.first + steps.start, track.first + steps.stop, values.reshape(-1) / _UNIT)


def _memory(scrapes: Scrapes) -> Iterator[Series]:
    per = STEP // scrapes.interval
    for track in scrapes.tracks:
        for labels, steps, _ in _processes(scrapes, track):
            values = np.repeat(track.memory[steps] * MEMORY_QUANTUM, per)
            yield Series(labels, track.first + steps.start, track.first + steps.stop, values)


def _periods(scrapes: Scrapes, which: str) -> Iterator[Series]:
    offsets = _offsets(scrapes.interval)
    for track in scrapes.tracks:
        counts = track.periods if which == "periods" else track.throttled
        if counts is None:
            continue
        for labels, steps, _ in _processes(scrapes, track):
            values = _straight(counts[steps], offsets)
            yield Series(labels, track.first + steps.start, track.first + steps.stop, values)


def _straight(counts: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """A counter that rises in a straight line over each step; whole numbers where all are."""
    values = ((np.cumsum(counts) - counts)[:, None] * STEP + counts[:, None] * offsets).reshape(-1)
    return values // STEP if not (values % STEP).any() else values / STEP


def _cgroups(scrapes: Scrapes, resource: str) -> Iterator[Series]:
    """What encloses the containers: nodes, pods, and pause containers beside them."""
    sums: dict[str, np.ndarray] = {}
    nodes = {node.name: np.zeros(scrapes.clock.last - scrapes.clock.first, np.int64) for node in scrapes.nodes}
    for track in scrapes.tracks:
        used = track.cpu if resource == "cpu" else track.memory
        sums[track.pod.uid] = sums[track.pod.uid] + used if track.pod.uid in sums else used
        nodes[track.pod.node.name][track.first - scrapes.clock.first : track.last - scrapes.clock.first] += used
    which = 0 if resource == "cpu" else 1
    for pod in scrapes.pods:
        begin = max(pod.start, scrapes.clock.first)
        used = sums[pod.uid]
        yield _enclosing(scrapes, _cadvisor(pod, "", _cgroup(pod), "", ""), begin, used, resource)
        pause = np.full(len(used), _PAUSE[which], np.int64)
        name = f"{keyed(pod.uid, 'pause'):016x}"
        yield _enclosing(scrapes, _cadvisor(pod, "POD", f"{_cgroup(pod)}/{name}", _PAUSE_IMAGE, name), begin, pause, resource)
    for node in scrapes.nodes:
        begin, end = max(node.start, scrapes.clock.first), min(node.end, scrapes.clock.last)
        used = nodes[node.name][begin - scrapes.clock.first : end - scrapes.clock.first] + _SYSTEM[which]
        labels = text(
            job="kubelet",
            instance=f"{node.internal_ip}:10250",
            metrics_path="/metrics/cadvisor",
            node=node.name,
            namespace="",
            pod="",
            container="",
            id="/",
            image="",
            name="",
        )
        yield _enclosing(scrapes, labels, begin, used, resource)


def _enclosing(scrapes: Scrapes, labels: str, begin: int, used: np.ndarray, resource: str) -> Series:
    if resource == "memory":
        return Series(labels, begin, begin + len(used), np.repeat(used * MEMORY_QUANTUM, STEP // scrapes.interval))
    offsets = _offsets(scrapes.interval)
    values = (np.cumsum(used) - used)[:, None] * STEP + used[:, None] * offsets
    return Series(labels, begin, begin + len(used), values.reshape(-1) * 4 / _UNIT)
