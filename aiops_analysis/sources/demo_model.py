"""Words in which the demo's story is told: nodes, workloads, containers, and what happens to them at which moment."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FLAT", "Bound", "Container", "Hpa", "Moment", "Node", "Revision", "Shape", "Workload"]


@dataclass(frozen=True, slots=True)
class Shape:
    """The usual course of a day and a week, in percent of its height: 24 values at full hours UTC, 7 from Monday."""

    hours: tuple[int, ...]
    week: tuple[int, ...] = (100,) * 7


FLAT = Shape((100,) * 24)


@dataclass(frozen=True, slots=True)
class Moment:
    """A step of a day, counted back from the end of the demo: (1, 0) is midnight at which the last day begins."""

    days_ago: int
    step: int = 0


@dataclass(frozen=True, slots=True)
class Container:
    """What one container asks for and uses; pairs are (request, limit), None is "not set". cpu in millicores, memory in MiB.

    ``cpu_p95`` is what it would use without a limit. days, slow and fast are the noise from day to day, hour to hour and step to
    step, in thousandths.
    """

    name: str
    image: str  # without its tag
    cpu: tuple[int | None, int | None]
    memory: tuple[int | None, int | None]
    cpu_p95: int
    memory_p95: int
    shape: Shape = FLAT
    days: int = 40
    slow: int = 120
    fast: int = 60
    follow: int = 120  # how far memory follows the shape, in thousandths
    leak: int = 0  # growth of memory a day of the container's life, in thousandths
    startup: int = 1000  # cpu of a container's first step, in thousandths
    bursts: int = 0  # steps in a thousand with a burst of under a minute
    surges: int = 0  # of a thousand stretches of surge_steps, those with more than twice the load
    surge_steps: int = 12
    tag: str = ""  # a sidecar has its own
    role: str = "app"  # app | sidecar (a native one) | init; an init container ends before it is scraped


@dataclass(frozen=True, slots=True)
class Revision:
    """A rollout: the image's tag from then on, and (request, limit) of the first container where they changed [millicores, MiB]."""

    tag: str
    at: Moment | None = None  # None: since before the demo
    level: int = 1000  # usage after it, in thousandths
    memory: tuple[int, int] | None = None
    cpu: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Workload:
    """One workload. ``nodes`` places its pods in turn, ``hot`` is the share of each in thousandths.

    ``extra`` are pods that an HPA adds: weekdays, first and last step of the day. ``runs_at`` makes it a Job or CronJob. ``kills`` are
    kills for memory and ``crashes`` other restarts, ``evictions`` lost pods, ``later`` pods that came later, each (slot, moment).
    ``refuge`` are the places to which pods of a node that was removed go.
    """

    namespace: str
    kind: str
    name: str
    replicas: int
    containers: tuple[Container, ...]
    nodes: tuple[int, ...]
    revisions: tuple[Revision, ...] = (Revision("1.0.0"),)
    hot: tuple[int, ...] = (1000,)
    since: Moment | None = None
    extra: tuple[tuple[tuple[int, ...], int, int], ...] = ()
    runs_at: int | None = None
    runs_on: tuple[int, ...] = ()  # days ago; every day where it is empty
    kills: tuple[tuple[int, Moment], ...] = ()
    crashes: tuple[tuple[int, Moment], ...] = ()
    evictions: tuple[tuple[int, Moment], ...] = ()
    later: tuple[tuple[int, Moment], ...] = ()
    refuge: tuple[int, ...] = ()
    surge: bool = True  # of a Deployment: a rollout starts the new pod before the old one ends


@dataclass(frozen=True, slots=True)
class Node:
    """One place for a node; cpu in millicores, memory in MiB, allocatable as the provider leaves it."""

    pool: str
    instance_type: str
    zone: str
    capacity_type: str
    cpu: tuple[int, int]  # capacity, allocatable
    memory: tuple[int, int]
    pods: int
    address: str
    taints: tuple[tuple[str, str, str], ...] = ()  # key, value, effect


@dataclass(frozen=True, slots=True)
class Hpa:
    """A HorizontalPodAutoscaler on cpu utilisation [percent of request]."""

    namespace: str
    name: str
    target: str
    utilization: int
    min_replicas: int
    max_replicas: int


@dataclass(frozen=True, slots=True)
class Bound:
    """One field of a LimitRange or ResourceQuota, in millicores or MiB (or a ratio)."""

    namespace: str
    kind: str
    name: str
    scope: str
    resource: str
    field: str
    value: int

    @property
    def plain(self) -> float:
        """The value [cores | bytes], or the ratio."""
        if self.field == "maxLimitRequestRatio":
            return float(self.value)
        return self.value / 1000 if self.resource == "cpu" else float(self.value * 2**20)
