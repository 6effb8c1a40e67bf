"""What changed its mind since the last run: each recommendation beside the one that was made before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from aiops_analysis.analysis.policy import SizingPolicy
from aiops_analysis.core.contract import Contract
from aiops_analysis.core.schema import KEY, check, empty
from aiops_analysis.core.units import format_cpu, human_memory

__all__ = ["PREVIOUS", "STABILITY", "Since", "compare"]

#: What is needed of an earlier run, one row per recommendation.
PREVIOUS = Contract(
    "previous recommendations",
    {
        **dict.fromkeys(KEY, "str"),
        "current_request": "float64",  # [cores | bytes] on the day of that run, NaN is "not set"
        "guarded_request": "float64",  # NaN where it gave no number
        "p95": "float64",
        "grade": "str",
        "change": "str",
        "codes": "object",  # list of reason codes
    },
    KEY,
)

#: One row per row of this run, in its order, and one per row that only the earlier run had.
STABILITY = Contract(
    "stability",
    {
        **dict.fromkeys(KEY, "str"),
        "stability": "str",  # new | same | changed | reversed | gone
        "previous_request": "float64",  # [cores | bytes] what the earlier run recommended, NaN when nothing
        "applied": "bool",  # today's request is what the earlier run recommended, and was not before
        "why": "str",  # what explains it, "" when nothing does or needs to
    },
    KEY,
)

_MOST_NAMED = 5
_OPPOSITE = {("decrease", "increase"), ("increase", "decrease")}
#: Reasons that decide a number; the rest only comment on it.
_DECIDING = frozenset(
    {
        "censored",
        "oom_killed",
        "bursty",
        "imbalanced",
        "leak_suspected",
        "peak_guard",
        "jvm",
        "qos_guaranteed",
        "floor",
        "step_capped",
        "recent_rollout",
        "since_rollout",
        "post_rollout",
        "hpa_managed",
        "hpa_together",
        "hpa_out_of_range",
        "ordinal",
        "pool",
        "clamped",
        "larger_than_node",
        "no_samples",
        "short_history",
        "few_weekdays",
        "low_completeness",
        "job",
        "few_runs",
        "init_container",
        "out_of_scope",
        "gone",
    }
)


@dataclass(frozen=True, slots=True)
class Since:
    """How the earlier run differs from this one as a whole; what is not known is "" or empty.

    run : its name, window_days : [days] of both runs. policy : names of policy values that differ.
    """

    run: str = ""
    window_days: tuple[int, int] | None = None
    policy: tuple[str, ...] = field(default_factory=tuple)

    def sentences(self) -> list[str]:
        """What about the runs themselves may explain a change."""
        out = []
        if self.window_days is not None and self.window_days[0] != self.window_days[1]:
            out.append(f"the window was {self.window_days[0]} days, now {self.window_days[1]}")
        if self.policy:
            more = f" and {len(self.policy) - _MOST_NAMED} more" if len(self.policy) > _MOST_NAMED else ""
            out.append(f"the policy changed: {', '.join(self.policy[:_MOST_NAMED])}{more}")
        return out


def compare(recommendations: pd.DataFrame, previous: pd.DataFrame, policy: SizingPolicy, *, since: Since | None = None) -> pd.DataFrame:
    """STABILITY of RECOMMENDATIONS against the PREVIOUS ones of the same cluster; the arguments are not changed.

    changed : the recommended request moved by at least the policy's hysteresis and one step, or a row has a number now and had none, or
    the other way round. reversed : the direction flipped between decrease and increase. It is not reversed when the recommendation
    stayed and only the request of the workload went to its other side. gone : the earlier run had the row, this one has not.
    ``why`` names what can be told: the request was applied or changed meanwhile, the P95 moved, reasons came or went, the runs differ.
    Raises SchemaError for a frame that breaks its contract.
    """
    before = {tuple(row[name] for name in KEY): row for row in check(previous, PREVIOUS).to_dict("records")}
    context = (since or Since()).sentences()
    rows = []
    for row in recommendations.to_dict("records"):
        key = tuple(row[name] for name in KEY)
        old = before.pop(key, None)
        rows.append(dict(zip(KEY, key, strict=True)) | (_new() if old is None else _moved(row, old, policy, context)))
    gone = {"stability": "gone", "applied": False, "why": "it is not in this run any more"}
    for key, old in sorted(before.items()):
        rows.append(dict(zip(KEY, key, strict=True)) | gone | {"previous_request": old["guarded_request"]})
    return check(pd.DataFrame(rows), STABILITY) if rows else empty(STABILITY)


def _new() -> dict[str, Any]:
    return {"stability": "new", "previous_request": np.nan, "applied": False, "why": ""}


def _moved(row: Mapping[str, Any], old: Mapping[str, Any], policy: SizingPolicy, context: Iterable[str]) -> dict[str, Any]:
    now, then = row["guarded_request"], old["guarded_request"]
    applied = _equal(row["current_request"], then) and not _equal(old["current_request"], then)
    moved = np.isnan(now) != np.isnan(then) or _differs(now, then, row["resource"], policy)
    flipped = (old["change"], row["change"]) in _OPPOSITE
    own = _equal(old["current_request"], row["current_request"])  # nobody touched the workload
    stability = "reversed" if flipped and (moved or own) else "changed" if moved else "same"
    why = _why(row, old, applied=applied) if stability != "same" or applied or not own else []
    if stability != "same":
        why += context
    return {"stability": stability, "previous_request": then, "applied": applied, "why": "; ".join(why)}


def _equal(a: float, b: float) -> bool:
    """Equal to a millionth; what is not set equals what is not set."""
    return bool(np.isclose(a, b, rtol=1e-6, atol=0.0, equal_nan=True))


def _differs(now: float, then: float, resource: str, policy: SizingPolicy) -> bool:
    """True when a recommended request moved so far that a rollout would be worth it (methods.md A9, hysteresis)."""
    step = policy.cpu_step if resource == "cpu" else policy.memory_step
    return bool(abs(now - then) >= max(policy.hysteresis * then, step) * (1 - 1e-9))  # False for NaN


def _why(row: Mapping[str, Any], old: Mapping[str, Any], *, applied: bool) -> list[str]:
    """What can be told about a row that moved, the most telling first."""
    resource, out = row["resource"], []
    if applied:
        out.append(f"the request was set to the recommended {_amount(row['current_request'], resource)}")
    elif not _equal(row["current_request"], old["current_request"]):
        was, is_now = (_amount(r["current_request"], resource) for r in (old, row))
        out.append(f"the request was changed from {was} to {is_now}")
    ratio = row["p95"] / old["p95"] if old["p95"] > 0 else np.nan
    if abs(ratio - 1) > 0.1:
        out.append(f"the P95 went from {_amount(old['p95'], resource)} to {_amount(row['p95'], resource)}")
    codes = {str(reason.code) for reason in row["reasons"]} & _DECIDING
    earlier = set(old["codes"]) & _DECIDING
    if codes - earlier:
        out.append(f"new: {', '.join(sorted(codes - earlier))}")
    if earlier - codes:
        out.append(f"no longer: {', '.join(sorted(earlier - codes))}")
    if row["grade"] != old["grade"]:
        out.append(f"the grade went from {old['grade'] or 'none'} to {row['grade']}")
    return out


def _amount(value: float, resource: str) -> str:
    if np.isnan(value):
        return "nothing"
    return format_cpu(value) if resource == "cpu" else human_memory(value)
