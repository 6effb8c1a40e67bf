"""The plain rule of a policy for one container and resource, in integers of tenths (methods.md A1, A6, I-9)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from aiops_analysis.analysis.policy import PRESETS, SizingPolicy
from aiops_analysis.analysis.statistics import quantile_of_sorted
from aiops_analysis.core.units import (
    MIB,
    ceil_step,
    cpu_from_tenths,
    cpu_tenths,
    format_cpu,
    human_memory,
    memory_from_tenths,
    memory_tenths,
)

__all__ = ["Case", "Pair", "Scale", "comparator", "known", "rule_of"]

_COLUMNS = {0.5: "p50", 0.9: "p90", 0.95: "p95", 0.99: "p99", 1.0: "max"}


def known(value: Any) -> bool:
    """True for a finite number."""
    return value is not None and math.isfinite(value)


@lru_cache(maxsize=256)
def _ratio(factor: float) -> tuple[int, int]:
    """A factor as the fraction of integers that it is written as: 1.15 is 23/20."""
    return Fraction(str(factor)).as_integer_ratio()


@dataclass(frozen=True, slots=True)
class Scale:
    """Numbers of a resource as integers: a tenth of a millicore, or of a MiB; ``step`` and ``floor`` are the policy's."""

    memory: bool
    step: int
    floor: int

    @classmethod
    @lru_cache(maxsize=64)
    def of(cls, resource: str, policy: SizingPolicy) -> Scale:
        """The scale of a resource under a policy; its floor is a multiple of its step."""
        memory = resource == "memory"
        tenths = memory_tenths if memory else cpu_tenths
        step = tenths(policy.memory_step if memory else policy.cpu_step)
        return cls(memory, step, ceil_step(tenths(policy.memory_floor if memory else policy.cpu_floor), step))

    def tenths(self, value: float) -> int:
        """The nearest whole tenth of a value [cores | bytes]."""
        return memory_tenths(value) if self.memory else cpu_tenths(value)

    def up(self, value: float, factor: float = 1.0) -> int:
        """``factor`` times the value rounded to a tenth, rounded up to a step; the factor counts as the decimal number it is written as."""
        times, parts = _ratio(factor)
        return ceil_step(times * self.tenths(value), self.step * parts) // parts

    def whole(self, value: float) -> int:
        """The largest whole millicore or MiB that is not above a value, as manifests hold no less: 1 GB is 953Mi, 954Mi are more."""
        return math.floor(round(value / MIB if self.memory else value * 1000, 6)) * 10

    def down(self, value: float) -> int:
        """The largest whole step that is not above a value, at least one step."""
        return max(self.whole(value) // self.step, 1) * self.step

    def value(self, tenths: int) -> float:
        """[cores | bytes] of tenths."""
        return memory_from_tenths(tenths) if self.memory else cpu_from_tenths(tenths)

    def human(self, value: float) -> str:
        """A value for people."""
        return human_memory(value) if self.memory else format_cpu(value)


@dataclass(frozen=True, slots=True)
class Pair:
    """Request and limit in tenths; None is no limit."""

    request: int
    limit: int | None


@dataclass(frozen=True)
class Case:
    """One container and resource: its rows of USAGE and FACTS as mappings, and the policy."""

    resource: str
    usage: Mapping[str, Any]
    facts: Mapping[str, Any]
    policy: SizingPolicy
    allowed: Mapping[str, float] = field(default_factory=dict)  # fields of the namespace's LimitRange for containers

    @cached_property
    def scale(self) -> Scale:
        """The integers of this resource."""
        return Scale.of(self.resource, self.policy)

    @property
    def memory(self) -> bool:
        """True for memory."""
        return self.resource == "memory"

    @property
    def stateful(self) -> bool:
        """True for ordinals, which are roles and not copies."""
        return bool(self.usage["workload_kind"] == "StatefulSet")

    @property
    def per_run(self) -> bool:
        """True for jobs, whose samples are runs."""
        return self.usage["workload_kind"] in ("Job", "CronJob")

    @property
    def request(self) -> float:
        """The request today [cores | bytes], NaN is not set."""
        return float(self.facts[f"{self.resource}_request"])

    @property
    def limit(self) -> float:
        """The limit today [cores | bytes], NaN is not set."""
        return float(self.facts[f"{self.resource}_limit"])

    @property
    def imbalanced(self) -> bool:
        """True when the hottest pod's P95 is too far above the pool's; of a DaemonSet, above its node pool's."""
        pooled = np.fmax(self.usage["p95"], self.usage["pool_p95"])
        return bool(self.usage["hot_p95"] > self.policy.hot_pod_ratio * pooled)

    @property
    def hot(self) -> float:
        """The P95 of the hottest pod where it counts alone, or of a DaemonSet's hottest node pool, else NaN [cores | bytes]."""
        alone = self.usage["hot_p95"] if self.stateful or self.imbalanced else np.nan
        return float(np.fmax(alone, self.usage["pool_p95"]))

    @property
    def p95(self) -> float:
        """The P95 that the rule uses [cores | bytes]."""
        return float(np.fmax(self.usage["p95"], self.hot))


def _basis(case: Case) -> float:
    """The usage that the policy multiplies [cores | bytes]; a hot pod's P95 counts for every percentile of samples."""
    policy = case.policy
    if case.memory and policy.memory_basis == "daily_peaks":
        return _peaks(case.usage, policy.memory_percentile)
    share = policy.memory_percentile if case.memory else policy.cpu_percentile
    return float(np.fmax(case.usage[_COLUMNS[share]], case.hot))


def _peaks(usage: Mapping[str, Any], share: float) -> float:
    """A quantile of the daily maxima [bytes]."""
    peaks = sorted(value for value in usage["daily_max"] if known(value))
    if not peaks:
        return float(usage["max"])
    return float(quantile_of_sorted(np.array([peaks]), np.array([len(peaks)]), share)[0])


def rule_of(case: Case) -> Pair:
    """The plain policy: ceil_step(factor x usage) for request and limit; a limit is never below the request."""
    policy, scale, basis = case.policy, case.scale, _basis(case)
    mode, factor, limit_factor = (
        (policy.memory_limit, policy.memory_request_factor, policy.memory_limit_factor)
        if case.memory
        else (policy.cpu_limit, policy.cpu_request_factor, policy.cpu_limit_factor)
    )
    request = scale.up(basis, factor)
    if mode == "none" or (mode == "keep" and not known(case.limit)):
        return Pair(request, None)
    limit = request if mode == "request" else scale.tenths(case.limit) if mode == "keep" else scale.up(basis, limit_factor)
    return Pair(request, max(limit, request))


def comparator(name: str, usage: Mapping[str, Any]) -> float:
    """The request that a tool like KRR ("krr") or VPA ("vpa") would set, its floor included [cores | bytes]; NaN without samples.

    VPA's decaying weights and its own window are left out. KRR takes the hottest pod, VPA the pool.
    """
    if not known(usage["p95"]):
        return np.nan
    policy = PRESETS[name]
    scale = Scale.of(usage["resource"], policy)
    if usage["resource"] == "memory":
        basis = _peaks(usage, policy.memory_percentile) if name == "vpa" else usage["max"]
        return scale.value(max(scale.floor, scale.up(basis, policy.memory_request_factor)))
    basis = usage["p90"] if name == "vpa" else float(np.fmax(usage["p95"], usage["hot_p95"]))
    return scale.value(max(scale.floor, scale.up(basis, policy.cpu_request_factor)))
