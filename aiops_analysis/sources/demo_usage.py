"""What each container of the demo used at every step: integers, scaled so that the pooled P95 is the story's."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from aiops_analysis.sources.demo_model import Container
from aiops_analysis.sources.demo_signal import CPU_QUANTUM, MEMORY_QUANTUM, keyed, noise, p95_of, scaled, shaped, smooth
from aiops_analysis.sources.demo_timeline import Clock, PodLife, pod_lives, resources_of

__all__ = ["WEIGHTS", "Track", "counter_marks", "tracks_of"]

#: How the CPU time of a step falls on its four inner minutes, in quarters of the mean; the half minutes at both ends have the mean.
WEIGHTS = np.array([(4, 4, 4, 4), (5, 3, 4, 4), (4, 4, 5, 3), (6, 2, 5, 3), (3, 5, 4, 4), (1, 13, 1, 1)], np.int64)
_BURST, _BURST_HEIGHT = 5, 6
_SURGE_HEIGHT = 22  # in tenths
_WARM = 12  # steps until a new process has filled its memory
_RISE = 30  # steps in which memory climbs to its limit before a kill
_FULL_PERIODS = 3000  # CFS periods of 100 ms in a step; all counts are multiples of 20, so that each minute has whole ones
_GRAIN = 20


@dataclass(frozen=True, slots=True)
class Track:
    """One container of one pod, over the steps ``[first, first + len(cpu))`` of the window in which it ran."""

    pod: PodLife
    index: int  # of the container in its pod
    first: int
    cpu: np.ndarray  # int64 [steps] in CPU_QUANTUM
    memory: np.ndarray  # int64 [steps] in MEMORY_QUANTUM
    pattern: np.ndarray  # int64 [steps], row of WEIGHTS
    periods: np.ndarray | None = None  # int64 [steps], None without a cpu limit
    throttled: np.ndarray | None = None

    @property
    def container(self) -> Container:
        """The container's own part of the story."""
        return self.pod.workload.containers[self.index]

    @property
    def last(self) -> int:
        """The step after its last one."""
        return self.first + len(self.cpu)


def tracks_of(clock: Clock) -> tuple[Track, ...]:
    """Every container of every pod of the window, in the story's order."""
    groups: dict[tuple[str, str, int, int], list[Track]] = {}
    order = []
    for pod in pod_lives(clock):
        for index, container in enumerate(pod.workload.containers):
            if container.role == "init":  # ends before it is scraped
                continue
            track = _demand(clock, pod, index)
            key = (pod.workload.namespace, pod.workload.name, index, pod.revision)
            order.append((key, len(groups.setdefault(key, []))))
            groups[key].append(track)
    done = {key: _to_scale(clock, tracks) for key, tracks in groups.items()}
    return tuple(done[key][number] for key, number in order)


def _demand(clock: Clock, pod: PodLife, index: int) -> Track:
    """The track in arbitrary units."""
    container = pod.workload.containers[index]
    first = max(pod.start, clock.first)
    step = np.arange(first, min(pod.end, clock.last), dtype=np.int64)
    whole = keyed(clock.seed, pod.workload.namespace, pod.workload.name, container.name)
    own = keyed(clock.seed, pod.uid, container.name)
    level = shaped(container.shape, step)
    daily = container.days * smooth(whole ^ 4, step, 288)
    wobble = 1000 + (daily + container.slow * smooth(whole, step, 30) + container.fast * noise(own, step)) // 2048
    cpu = level * np.maximum(wobble, 100) * pod.hot // 1000
    surging = (noise(whole ^ 5, step // container.surge_steps) + 2048) % 1000 < container.surges
    cpu = np.where(surging, cpu * _SURGE_HEIGHT // 10, cpu)
    hit = (noise(own ^ 1, step) + 2048) % 1000
    bursting = hit < container.bursts
    cpu = np.where(bursting, cpu * _BURST_HEIGHT, cpu)
    age = _age(pod, step)
    cpu = np.where(age == 0, cpu * container.startup // 1000, cpu)
    follow = 1_000_000 - container.follow * 1000 + container.follow * level // 10
    drift = 100_000 + (20 * daily + 35 * container.slow * smooth(own ^ 2, step, 48) + 900 * noise(own ^ 3, step)) // 2048
    grown = 1000 + container.leak * age // 288
    memory = follow * drift // 100_000 * grown // 1000 * (700 + 300 * np.minimum(age, _WARM) // _WARM) // 1000
    return Track(pod, index, first, cpu, memory, np.where(bursting, _BURST, hit % 16 % 5 * (hit % 3 == 0)))


def _age(pod: PodLife, step: np.ndarray) -> np.ndarray:
    """Steps since the container's process began."""
    starts = np.array([pod.start, *pod.restarts], np.int64)
    return step - starts[np.searchsorted(starts, step, side="right") - 1]


def _to_scale(clock: Clock, tracks: list[Track]) -> list[Track]:
    """All pods of one revision of a container, scaled together; then the limits bite."""
    container, revision = tracks[0].container, tracks[0].pod.workload.revisions[tracks[0].pod.revision]
    cpu95 = p95_of(np.concatenate([t.cpu for t in tracks]))
    memory95 = p95_of(np.concatenate([t.memory for t in tracks]))
    cores = container.cpu_p95 * revision.level * round(1 / CPU_QUANTUM)
    mebibytes = container.memory_p95 * 2**20 // MEMORY_QUANTUM
    return [
        _limited(clock, replace(t, cpu=scaled(t.cpu, cpu95, cores, 1_000_000), memory=scaled(t.memory, memory95, mebibytes)))
        for t in tracks
    ]


def _limited(clock: Clock, track: Track) -> Track:
    """Usage under the limits: cpu stays below its limit and is throttled, memory ends at its limit before a kill."""
    limits = resources_of(track.pod, track.index)
    memory = _killed(track, int(limits["memory_limit"]) // MEMORY_QUANTUM) if "memory_limit" in limits else track.memory
    if "cpu_limit" not in limits:
        return replace(track, memory=memory)
    limit = int(limits["cpu_limit"] / CPU_QUANTUM)
    step = np.arange(track.first, track.last, dtype=np.int64)
    spare = limit * (noise(keyed(clock.seed, track.pod.uid, "spare"), step) + 2048) // (4096 * 80)
    cpu = np.minimum(track.cpu, limit - spare)
    share = track.cpu * 1000 // limit  # demand in thousandths of the limit
    periods = np.select([share >= 300, share >= 50], [_FULL_PERIODS, _FULL_PERIODS * 2 // 3], _FULL_PERIODS // 3)
    throttled = periods * np.clip((share - 700) * 2, 0, 940) // 1000 // _GRAIN * _GRAIN
    pattern = np.where(cpu * WEIGHTS.max(axis=1)[track.pattern] > limit * 4, 0, track.pattern)
    return replace(track, cpu=cpu, memory=memory, pattern=pattern, periods=periods, throttled=throttled)


def _killed(track: Track, limit: int) -> np.ndarray:
    memory = np.minimum(track.memory, limit * 99 // 100)
    for kill in track.pod.kills:
        for back in range(min(_RISE, kill - track.first)):
            at = kill - track.first - 1 - back
            memory[at] = max(memory[at], limit * (1000 - 11 * back) // 1000 - 1)
    return memory


def counter_marks(cpu: np.ndarray, pattern: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Seconds of a step and the CPU time used since its begin at each of them, int64 [steps, marks] in CPU_QUANTUM / 4 seconds."""
    seconds = np.array([0, 30, 90, 150, 210, 270, 300], np.int64)
    width = np.diff(seconds)
    weight = np.concatenate([np.full((len(cpu), 1), 4, np.int64), WEIGHTS[pattern], np.full((len(cpu), 1), 4, np.int64)], axis=1)
    used = np.zeros((len(cpu), len(seconds)), np.int64)
    used[:, 1:] = np.cumsum(weight * width, axis=1) * cpu[:, None]
    return seconds, used
