"""One workload-container and resource as plain numbers: what was measured and what the cluster says, side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import pandas as pd

from aiops_analysis.core.units import human_memory
from aiops_analysis.core.window import STEP

__all__ = ["Case", "Sizes", "case_of", "shown"]

_NAN = math.nan


@dataclass(frozen=True, slots=True)
class Sizes:
    """A request and a limit [cores | bytes], limit NaN is "no limit"; ``urgent`` when too little today is a risk, not a matter of cost."""

    request: float
    limit: float
    urgent: bool = False

    def at_least(self, request: float, limit: float) -> Sizes:
        """The larger of each; no limit on either side means no limit (NaN stays NaN)."""
        larger = _NAN if math.isnan(self.limit) or math.isnan(limit) else max(self.limit, limit)
        return replace(self, request=max(self.request, request), limit=larger)


@dataclass(frozen=True, slots=True)
class Case:
    """One row of RECOMMENDATIONS before anything is decided; units and NaN as in USAGE and FACTS, times None when unknown."""

    workload_kind: str
    resource: str
    # measured
    days: int = 0
    steps: int = 0
    weekdays: int = 0
    samples: int = 0
    dropped: int = 0
    first_sample: datetime | None = None
    last_sample: datetime | None = None
    p50: float = _NAN
    p90: float = _NAN
    p95: float = _NAN
    p99: float = _NAN
    max: float = _NAN
    upper: float = _NAN
    saturated: bool = False
    hot_pod: str = ""
    hot_p95: float = _NAN
    daily_p95: Sequence[float] = ()
    daily_max: Sequence[float] = ()
    # what the cluster says
    known: bool = False
    request: float = _NAN
    limit: float = _NAN
    qos: str = ""
    running: bool = True
    replicas: float = _NAN
    replicas_max: float = _NAN
    first_seen: datetime | None = None
    expected_steps: float = _NAN
    last_rollout: datetime | None = None
    hpa: str = ""
    hpa_managed: bool = False
    hpa_target: float = _NAN
    throttle_ratio: float = _NAN
    burst_p999: float = _NAN
    oom_kills: float = _NAN
    mem_at_oom: float = _NAN
    jvm: bool = False
    sidecar: bool = False
    out_of_scope: str = ""

    @property
    def reserved(self) -> float:
        """What the scheduler reserves today: the request, else the limit (Kubernetes copies it), else 0 [cores | bytes]."""
        return next((value for value in (self.request, self.limit) if math.isfinite(value)), 0.0)

    @property
    def completeness(self) -> float:
        """Steps with a sample / steps with a running pod; without an inventory, / steps from the first to the last sample. 0-1."""
        if self.expected_steps > 0:
            return min(1.0, self.steps / self.expected_steps)
        if self.first_sample is None or self.last_sample is None:
            return _NAN
        return min(1.0, self.steps * STEP / (self.last_sample - self.first_sample).total_seconds())


_MEASURED = (
    "days", "steps", "weekdays", "samples", "dropped", "p50", "p90", "p95", "p99", "max", "upper", "saturated",
    "hot_pod", "hot_p95", "daily_p95", "daily_max",
)  # fmt: skip
_SAID = (
    "qos", "running", "replicas", "replicas_max", "expected_steps", "hpa", "throttle_ratio", "burst_p999", "oom_kills",
    "mem_at_oom", "jvm", "sidecar", "out_of_scope",
)  # fmt: skip


def case_of(kind: str, resource: str, usage: Mapping[str, object] | None, facts: Mapping[str, object] | None) -> Case:
    """The case of a row of USAGE and a row of FACTS, either of which may be missing."""
    values: dict[str, object] = {}
    if usage is not None:
        values |= {name: usage[name] for name in _MEASURED}
        values |= {name: _moment(usage[name]) for name in ("first_sample", "last_sample")}
    if facts is not None:
        values |= {name: facts[name] for name in _SAID}
        values |= {name: _moment(facts[name]) for name in ("first_seen", "last_rollout")}
        values |= {"request": facts[f"{resource}_request"], "limit": facts[f"{resource}_limit"], "known": True}
        values |= {"hpa_managed": facts[f"hpa_{resource}"], "hpa_target": facts[f"hpa_{resource}_target"]}
    return Case(kind, resource, **values)  # type: ignore[arg-type]


def _moment(value: object) -> datetime | None:
    return value.to_pydatetime() if isinstance(value, pd.Timestamp) else None


def shown(value: float, resource: str) -> str:
    """An amount for people: 250m, 1.5 GiB.

    >>> shown(0.25, "cpu"), shown(0.0004, "cpu"), shown(256 * 2**20, "memory")
    ('250m', '0.4m', '256 MiB')
    """
    if not math.isfinite(value):
        return "none"
    return human_memory(value) if resource == "memory" else f"{round(value * 1000, 1):.10g}m"
