"""Sizing policies: how a request and a limit follow from usage, and when data is too thin (methods.md A1 to A9)."""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import PurePath
from types import MappingProxyType
from typing import Any

from aiops_analysis.core.errors import PolicyError, UsageError
from aiops_analysis.core.units import MIB, cpu_tenths, memory_tenths, parse_cpu, parse_memory

__all__ = ["PRESETS", "SizingPolicy", "policy_of"]

#: Percentiles that usage measures, and their columns in USAGE.
_MEASURED = (0.5, 0.9, 0.95, 0.99, 1.0)
_LIMITS = ("factor", "request", "none", "keep")
_BASES = ("samples", "daily_peaks")
_HPA = ("leave", "together")
_CPU_QUANTITIES = ("cpu_step", "cpu_floor", "jvm_cpu_limit")
_MEMORY_QUANTITIES = ("memory_step", "memory_floor", "oom_add")

#: The smallest and the largest sensible value of a number.
_RANGES: Mapping[str, tuple[float, float]] = {
    "cpu_request_factor": (0.1, 100),
    "cpu_limit_factor": (0.1, 1000),
    "cpu_step": (0.0001, 64),
    "cpu_floor": (0, 64),
    "memory_request_factor": (0.1, 100),
    "memory_limit_factor": (0.1, 1000),
    "memory_step": (MIB / 10, 1024 * 1024 * MIB),
    "memory_floor": (0, 1024 * 1024 * MIB),
    "memory_percentile": (0, 1),
    "min_days": (1, 366),
    "warn_days": (1, 366),
    "min_completeness": (0, 1),
    "warn_completeness": (0, 1),
    "min_weekdays": (1, 7),
    "min_runs": (1, 100_000),
    "hpa_lowest": (1, 100),
    "hpa_highest": (1, 1000),
    "rollout_tolerance": (0, 100),
    "min_rollout_hours": (0, 8760),
    "warn_rollout_days": (0, 366),
    "hot_pod_ratio": (1, 1000),
    "censored": (0, 1),
    "throttle_warn": (0, 1),
    "burst_factor": (1, 100),
    "peak_request_factor": (1, 100),
    "peak_limit_factor": (1, 100),
    "oom_factor": (1, 100),
    "oom_add": (0, 1024 * 1024 * MIB),
    "leak_slope": (0, 100),
    "leak_p": (0, 1),
    "jvm_cpu_limit": (0, 64),
    "largest_cut": (0, 1),
    "hysteresis": (0, 1),
    "high_ratio": (1, 1000),
    "medium_ratio": (1, 1000),
}
#: Pairs of which the first must not be above the second.
_ORDERED = (
    ("min_days", "warn_days"),
    ("min_completeness", "warn_completeness"),
    ("throttle_warn", "censored"),
    ("high_ratio", "medium_ratio"),
    ("hpa_lowest", "hpa_highest"),
    ("cpu_request_factor", "cpu_limit_factor"),
    ("memory_request_factor", "memory_limit_factor"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SizingPolicy:
    """Every number that sizing depends on; the defaults are the guide's rule, 2 x P95 of CPU and 1.5 x P95 of memory.

    A limit is ``factor`` times the percentile, equal to the ``request``, ``none``, or today's (``keep``). Raises PolicyError for values
    that are ill-typed or impossible.
    """

    name: str = "seed"
    cpu_percentile: float = 0.95  # one of 0.5, 0.9, 0.95, 0.99, 1
    cpu_request_factor: float = 2.0
    cpu_limit: str = "factor"
    cpu_limit_factor: float = 6.0
    cpu_step: float = 0.025  # [cores] requests and limits are multiples of it
    cpu_floor: float = 0.025  # [cores]
    memory_percentile: float = 0.95  # of samples, or of daily peaks
    memory_basis: str = "samples"  # samples | daily_peaks
    memory_request_factor: float = 1.5
    memory_limit: str = "factor"
    memory_limit_factor: float = 3.0
    memory_step: float = 16.0 * MIB  # [bytes]
    memory_floor: float = 32.0 * MIB  # [bytes]
    min_days: int = 7  # [days] between the first and the last sample, else refused
    warn_days: int = 14
    min_completeness: float = 0.70
    warn_completeness: float = 0.90
    min_weekdays: int = 5
    min_runs: int = 10  # of a Job or CronJob, else refused
    hpa: str = "leave"  # a resource that an HPA scales on: leave it, or change request and target together
    hpa_lowest: float = 30.0  # [percent] a target outside these is refused
    hpa_highest: float = 90.0
    min_rollout_hours: float = 24.0  # [h] of samples after the last rollout, else refused
    warn_rollout_days: float = 7.0
    rollout_tolerance: float = 0.25  # change of the daily P95 at a rollout up to which older samples count too
    hot_pod_ratio: float = 1.25  # a pod's P95 over the pool's, above which it counts alone
    censored: float = 0.25  # throttle ratio above which the demand is unknown
    throttle_warn: float = 0.05
    burst_factor: float = 1.2
    peak_request_factor: float = 1.15  # x the largest memory, for what runs as one pod
    peak_limit_factor: float = 1.20
    oom_factor: float = 1.2
    oom_add: float = 100.0 * MIB  # [bytes]
    leak_slope: float = 0.02  # rise of the daily maximum per day, as a share
    leak_p: float = 0.05
    jvm_cpu_limit: float = 1.0  # [cores]
    largest_cut: float = 0.5  # of one change, unless the grade is high
    hysteresis: float = 0.10
    high_ratio: float = 1.15  # upper bound / P95
    medium_ratio: float = 1.40

    def __post_init__(self) -> None:
        for item in fields(self):
            _check_type(item.name, getattr(self, item.name), item.type)
        for name, (low, high) in _RANGES.items():
            if not low <= getattr(self, name) <= high:  # NaN too
                raise PolicyError(f"{name} of a policy is {getattr(self, name)}, expected {low:g} to {high:g}")
        _check_choices(self)
        for lower, upper in _ORDERED:
            if getattr(self, lower) > getattr(self, upper):
                raise PolicyError(f"{lower} of a policy is {getattr(self, lower)}, above {upper}, which is {getattr(self, upper)}")

    def as_dict(self) -> dict[str, float | int | str]:
        """Plain types for evidence.json."""
        return dict(asdict(self))


def _check_type(name: str, value: object, kind: object) -> None:
    wanted = {"str": (str,), "int": (int,), "float": (int, float)}[str(kind)]
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise PolicyError(f"{name} of a policy is {ascii(value)[:60]}, expected {'a text' if kind == 'str' else 'a number'}")
    if isinstance(value, float) and not math.isfinite(value):
        raise PolicyError(f"{name} of a policy is {value}, expected a finite number")


def _check_choices(policy: SizingPolicy) -> None:
    for name, choices in (("cpu_limit", _LIMITS), ("memory_limit", _LIMITS), ("memory_basis", _BASES), ("hpa", _HPA)):
        value = getattr(policy, name)
        if value not in choices:
            raise PolicyError(f"{name} of a policy is {ascii(value)[:60]}{_nearest(value, choices)}")
    percentiles = [("cpu_percentile", policy.cpu_percentile)]
    if policy.memory_basis == "samples":
        percentiles.append(("memory_percentile", policy.memory_percentile))
    for name, share in percentiles:
        if share not in _MEASURED:
            raise PolicyError(f"{name} of a policy is {share}, expected one of {', '.join(f'{p:g}' for p in _MEASURED)}")
    if not policy.name.strip():
        raise PolicyError("name of a policy is empty")
    for name, tenths in (("cpu_step", cpu_tenths(policy.cpu_step) / 10_000), ("memory_step", memory_tenths(policy.memory_step) * MIB / 10)):
        if not math.isclose(tenths, getattr(policy, name), rel_tol=1e-9):
            raise PolicyError(f"{name} of a policy is {getattr(policy, name)}, expected a multiple of 0.1m CPU or 0.1Mi memory")


_SEED = SizingPolicy()

#: KRR: P95 of CPU without a limit, largest memory + 15 % as request and limit. VPA: P90 of CPU + 15 %, P90 of daily memory peaks + 15 %.
PRESETS: Mapping[str, SizingPolicy] = MappingProxyType(
    {
        "seed": _SEED,
        "krr": SizingPolicy(
            name="krr",
            cpu_request_factor=1.0,
            cpu_limit="none",
            cpu_step=0.001,
            cpu_floor=0.01,
            memory_percentile=1.0,
            memory_request_factor=1.15,
            memory_limit="request",
            memory_step=1.0 * MIB,
            memory_floor=100e6,
        ),
        "vpa": SizingPolicy(
            name="vpa",
            cpu_percentile=0.9,
            cpu_request_factor=1.15,
            cpu_limit="keep",
            cpu_step=0.001,
            cpu_floor=0.025,
            memory_percentile=0.9,
            memory_basis="daily_peaks",
            memory_request_factor=1.15,
            memory_limit="keep",
            memory_step=1.0 * MIB,
            memory_floor=250e6,
        ),
    }
)


def policy_of(name: str, text: str = "") -> SizingPolicy:
    """A preset by name ("" is the seed), or the policy that a TOML ``text`` describes; ``name`` is then the file it came from.

    The top-level keys of the text are fields of SizingPolicy; ``base`` names the preset that they change. Quantities may be written as
    "25m" or "16Mi". Raises PolicyError for unknown names, with the nearest, and for ill-typed or impossible values.
    """
    if not text:
        if (name or "seed") not in PRESETS:
            raise PolicyError(f"there is no policy {ascii(name)[:60]}{_nearest(name, PRESETS)}; or name a .toml file")
        return PRESETS[name or "seed"]
    try:
        data = tomllib.loads(text.removeprefix("\ufeff"))
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"the policy {ascii(name)[:60]} is not valid TOML: {error}") from error
    base = data.pop("base", "seed")
    if not isinstance(base, str) or base not in PRESETS:
        raise PolicyError(f"base of the policy is {ascii(base)[:60]}{_nearest(str(base), PRESETS)}")
    valid = [item.name for item in fields(SizingPolicy)]
    for key in data:
        if key not in valid:
            raise PolicyError(f"unknown key {ascii(key)[:60]} of a policy{_nearest(key, [*valid, 'base'])}")
    data.setdefault("name", PurePath(name).stem or "custom")
    values: dict[str, Any] = {key: _value(key, value) for key, value in data.items()}
    return replace(PRESETS[base], **values)


def _value(key: str, value: object) -> object:
    """A quantity text as a number; everything else as it is."""
    parse = parse_cpu if key in _CPU_QUANTITIES else parse_memory if key in _MEMORY_QUANTITIES else None
    if parse is None or not isinstance(value, str):
        return value
    try:
        return parse(value)
    except UsageError as error:
        raise PolicyError(f"{key} of a policy: {error}") from error


def _nearest(name: str, valid: Iterable[str]) -> str:
    names = sorted(valid)
    close = difflib.get_close_matches(name[:100], names, n=1)
    return (f"; did you mean {close[0]}?" if close else "") + f" (valid: {', '.join(names)})"
