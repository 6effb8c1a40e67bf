"""Sizing policies: every threshold of right-sizing in one frozen object, three presets, and TOML text (methods.md A1-A9)."""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace

from aiops_analysis.core.errors import PolicyError, UsageError
from aiops_analysis.core.units import MIB, parse_cpu, parse_memory

__all__ = ["PERCENTILES", "SizingPolicy", "parse_policy", "policy_of", "preset", "presets"]

#: The quantiles that USAGE holds, each with its column.
PERCENTILES: Mapping[float, str] = {0.5: "p50", 0.9: "p90", 0.95: "p95", 0.99: "p99", 1.0: "max"}
_STATISTICS = ("percentile", "daily_peaks")
_SHARES = ("min_completeness", "warn_completeness", "throttle_warn", "censored", "largest_cut", "hysteresis", "leak_p")
_AT_LEAST_ONE = ("hot_pod_ratio", "burst_factor", "peak_request_factor", "peak_limit_factor", "high_ratio", "medium_ratio")
_POSITIVE = ("cpu_request_factor", "memory_request_factor", "cpu_step", "memory_step")
_OPTIONAL = ("cpu_limit_factor", "memory_limit_factor")
_QUANTITIES = {"cpu_step": parse_cpu, "cpu_floor": parse_cpu, "memory_step": parse_memory, "memory_floor": parse_memory}
_NONE = "none"


@dataclass(frozen=True, slots=True)
class SizingPolicy:
    """The numbers of the sizing rule and of its guards; the defaults are the seed rule. Raises PolicyError for impossible values."""

    name: str = "seed"
    cpu_percentile: float = 0.95  # one of PERCENTILES
    cpu_request_factor: float = 2.0
    cpu_limit_factor: float | None = 6.0  # None recommends no limit
    memory_statistic: str = "percentile"  # or daily_peaks: the percentile of the daily maxima of the last 8 days, newer ones count more
    memory_percentile: float = 0.95  # one of PERCENTILES
    memory_request_factor: float = 1.5
    memory_limit_factor: float | None = 3.0
    keep_limit_ratio: bool = False  # limits follow the request in today's proportion; the factors are not used
    cpu_step: float = 0.025  # [cores] requests and limits are rounded up to a multiple
    memory_step: float = 16 * MIB  # [bytes]
    cpu_floor: float = 0.025  # [cores] smallest request
    memory_floor: float = 32 * MIB  # [bytes]
    min_days: float = 7  # first to last sample; less is refused
    warn_days: float = 14
    min_completeness: float = 0.70  # steps with a sample / steps with a running pod; less is refused
    warn_completeness: float = 0.90
    min_weekdays: int = 5  # distinct weekdays; fewer are refused
    rollout_hours: float = 24  # less time since the last rollout is refused
    rollout_days: float = 7  # less is a warning
    rollout_change: float = 0.25  # change of the median daily P95 at a rollout from which old and new are not one workload
    hot_pod_ratio: float = 1.25  # a pod with a P95 so much above the pool's counts alone
    throttle_warn: float = 0.05  # throttled periods / periods: above, never less
    censored: float = 0.25  # above, what was measured is a lower bound
    burst_factor: float = 1.2  # over the P99.9 of short bursts
    peak_request_factor: float = 1.15  # over the memory peak, for StatefulSets and single replicas
    peak_limit_factor: float = 1.20  # over the memory peak
    leak_per_day: float = 0.02  # rise of the daily memory maximum, as a share of its median
    leak_p: float = 0.05  # Mann-Kendall
    largest_cut: float = 0.5  # of one change, unless the grade is high
    hysteresis: float = 0.10  # smaller changes of both requests are not worth a rollout
    high_ratio: float = 1.15  # upper bound of the P95 / P95
    medium_ratio: float = 1.40
    jvm_cpu_limit: float = 1.0  # [cores] a Java runtime sizes its collector and pools by the CPU limit

    def __post_init__(self) -> None:
        for item in fields(self):
            self._check_kind(item.name, getattr(self, item.name))
        self._check("cpu_percentile", self.cpu_percentile in PERCENTILES, "one of 0.5, 0.9, 0.95, 0.99, 1.0")
        self._check("memory_percentile", self.memory_percentile in PERCENTILES, "one of 0.5, 0.9, 0.95, 0.99, 1.0")
        self._check("memory_statistic", self.memory_statistic in _STATISTICS, "percentile or daily_peaks")
        self._check("min_weekdays", 0 <= self.min_weekdays <= 7, "0 to 7")
        self._check("medium_ratio", self.medium_ratio >= self.high_ratio, f"at least high_ratio ({self.high_ratio})")
        for request, limit in (("cpu_request_factor", "cpu_limit_factor"), ("memory_request_factor", "memory_limit_factor")):
            smallest, factor = getattr(self, request), getattr(self, limit)
            self._check(limit, factor is None or factor >= smallest, f"none, or at least {request} ({smallest})")

    def _check_kind(self, key: str, value: object) -> None:
        if key in ("name", "memory_statistic"):
            self._check(key, isinstance(value, str) and bool(value), "a text")
        elif key == "keep_limit_ratio":
            self._check(key, isinstance(value, bool), "true or false")
        elif not (value is None and key in _OPTIONAL):
            number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            self._check(key, number and float(str(value)) >= 0, "a number that is not negative")
            self._check(key, key not in _SHARES or float(str(value)) <= 1, "a share from 0 to 1")
            self._check(key, key not in _AT_LEAST_ONE or float(str(value)) >= 1, "at least 1")
            self._check(key, key not in _POSITIVE or float(str(value)) > 0, "above 0")

    def _check(self, key: str, good: bool, expected: str) -> None:
        if not good:
            raise PolicyError(f"{key} of a sizing policy is {getattr(self, key)!r}, expected {expected}")

    def as_dict(self) -> dict[str, object]:
        """Plain types for evidence.json."""
        return asdict(self)


def presets() -> dict[str, SizingPolicy]:
    """The policies that can be named: the seed rule, and what KRR and the VPA recommend (methods.md A6 and A10)."""
    krr = SizingPolicy(
        name="krr",
        cpu_request_factor=1.0,
        cpu_limit_factor=None,
        memory_percentile=1.0,
        memory_request_factor=1.15,
        memory_limit_factor=1.15,
        cpu_step=0.001,
        memory_step=MIB,
        cpu_floor=0.010,
        memory_floor=100e6,
    )
    vpa = SizingPolicy(
        name="vpa",
        cpu_percentile=0.9,
        cpu_request_factor=1.15,
        memory_statistic="daily_peaks",
        memory_percentile=0.9,
        memory_request_factor=1.15,
        keep_limit_ratio=True,
        cpu_step=0.001,
        memory_step=MIB,
        memory_floor=250e6,
    )
    return {"seed": SizingPolicy(), "krr": krr, "vpa": vpa}


def preset(name: str) -> SizingPolicy:
    """The preset of that name; raises PolicyError with the nearest name."""
    known = presets()
    if name not in known:
        raise PolicyError(f"there is no sizing policy {name!r}{_nearest(name, list(known))}; expected {', '.join(known)} or a TOML file")
    return known[name]


def policy_of(choice: str, text: str | None = None) -> SizingPolicy:
    """The policy of TOML ``text`` when there is one (``choice`` is its file's name, for messages), else the preset ``choice``.

    An empty choice is the seed rule. Raises PolicyError.
    """
    is_file = bool(text) or choice.endswith(".toml")
    return parse_policy(text or "", where=choice or "the policy") if is_file else preset(choice or "seed")


def parse_policy(text: str, *, where: str = "the policy") -> SizingPolicy:
    """The policy of a TOML text: keys of SizingPolicy, and ``preset`` for the one that it starts from (default seed).

    Steps and floors may be Kubernetes quantities ("25m", "16Mi"); a limit factor "none" recommends no limit.
    Raises PolicyError for other keys, with the nearest one, and for impossible values.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"{where} is not TOML: {error}") from error
    base = data.pop("preset", "seed")
    if not isinstance(base, str):
        raise PolicyError(f"preset of {where} is {base!r}, expected a name")
    start, known = preset(base), [item.name for item in fields(SizingPolicy)]
    for key in data:
        if key not in known:
            raise PolicyError(
                f"{where} has the unknown key {key!r}{_nearest(key, [*known, 'preset'])}; valid keys: preset, {', '.join(known)}"
            )
    values = {key: _value(key, value) for key, value in data.items()}
    return replace(start, **{"name": start.name if not data else f"{start.name}, changed", **values})  # type: ignore[arg-type]  # __post_init__ checks the kinds


def _value(key: str, value: object) -> object:
    if key in _OPTIONAL and value == _NONE:
        return None
    if key in _QUANTITIES and isinstance(value, str):
        try:
            return _QUANTITIES[key](value)
        except UsageError as error:
            raise PolicyError(f"{key} of a sizing policy: {error}") from error
    return value


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f", did you mean {close[0]!r}?" if close else ""
