"""Recommendations: the plain rule, the numbers after guards, grade and reasons, one row per container and resource (methods.md A)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from aiops_analysis.analysis.guards import Draft, censoring, guard
from aiops_analysis.analysis.policy import SizingPolicy
from aiops_analysis.analysis.priority import priority_of
from aiops_analysis.analysis.sizing import Case, comparator, known, rule_of
from aiops_analysis.analysis.sufficiency import completeness_of, enough_on, grade_of, refusals, settings_reasons, warnings_of
from aiops_analysis.core.reasons import Code, Reason
from aiops_analysis.core.schema import FACTS, GROUP, KEY, RECOMMENDATIONS, RESOURCES, USAGE, blank, check, empty, row_id
from aiops_analysis.core.window import Window

__all__ = ["recommend"]


def recommend(usage: pd.DataFrame, facts: pd.DataFrame, policy: SizingPolicy, *, cluster: str, window: Window) -> pd.DataFrame:
    """RECOMMENDATIONS of USAGE and FACTS, not priced: both resources of every container that either frame names, sorted by key.

    A refused row has no number of its own, only reasons and, where time alone is missing, the date ``enough_on``. The arguments are not
    changed. Raises SchemaError for a frame that breaks its contract.
    """
    rows = [_row(case, cluster, window) for case in _cases(check(usage, USAGE), check(facts, FACTS), policy)]
    if not rows:
        return empty(RECOMMENDATIONS)
    return check(pd.DataFrame(rows).sort_values(list(KEY), kind="stable"), RECOMMENDATIONS)


def _cases(usage: pd.DataFrame, facts: pd.DataFrame, policy: SizingPolicy) -> Iterator[Case]:
    measured = {(*(row[name] for name in GROUP), row["resource"]): row for row in usage.to_dict("records")}
    stated = {tuple(row[name] for name in GROUP): row for row in facts.to_dict("records")}
    for group in sorted({key[:-1] for key in measured} | set(stated)):
        labels = dict(zip(GROUP, group, strict=True))
        about = stated.get(group) or blank(FACTS) | labels | {"running": True}  # unknown is not gone
        for resource in RESOURCES:
            seen = measured.get((*group, resource)) or blank(USAGE) | labels | {"resource": resource}
            yield Case(resource, seen, about, policy)


def _row(case: Case, cluster: str, window: Window) -> dict[str, Any]:
    key = (cluster, *(str(case.usage[name]) for name in GROUP), case.resource)
    shown = blank(RECOMMENDATIONS) | dict(zip(KEY, key, strict=True)) | {"id": row_id(key)} | _measured(case)
    odd = settings_reasons(case)
    refused = refusals(case)
    if refused:
        return shown | _refused(case, refused, odd)
    reasons = [*odd, *warnings_of(case, window), *censoring(case)]
    grade, rule = grade_of(case, reasons), rule_of(case)
    draft = guard(case, rule, grade, reasons)
    kept = _hysteresis(draft)
    scale = case.scale
    request = case.request if kept else scale.value(draft.request)
    limit = case.limit if kept else _limit(draft.limit, case)
    change = _change(draft, request, limit)
    if case.usage["upper"] > request:
        message = f"The upper bound of the P95, {scale.human(case.usage['upper'])}, is above the recommended {scale.human(request)}."
        draft.say(Code.UPPER_EXCEEDS_REQUEST, message, upper=case.usage["upper"], request=request)
    return shown | {
        "rule_request": scale.value(rule.request),
        "rule_limit": _limit(rule.limit, case),
        "guarded_request": request,
        "guarded_limit": limit,
        "grade": grade,
        "overprovision": np.nan if odd else 1 - case.p95 / case.request,
        "change": change,
        "priority": priority_of(change, draft.reasons, case.usage["workload_kind"], large=False),
        "reasons": draft.reasons,
        "enough_on": "",
    }


def _refused(case: Case, refused: list[Reason], odd: list[Reason]) -> dict[str, Any]:
    """The columns of a row without a recommendation."""
    nothing = dict.fromkeys(("rule_request", "rule_limit", "guarded_request", "guarded_limit", "overprovision"), np.nan)
    if any(reason.code in _TOO_THIN for reason in refused):
        nothing |= dict.fromkeys(_STATISTICS, np.nan)  # a quantile of too little is not shown either (methods.md A4)
    when = enough_on(case, refused)
    return nothing | {"grade": "refused", "change": "undetermined", "priority": "", "reasons": [*refused, *odd], "enough_on": when}


def _measured(case: Case) -> dict[str, Any]:
    """What is shown of every row, recommended or not."""
    usage, facts = case.usage, case.facts
    return {
        "current_request": case.request,
        "current_limit": case.limit,
        **{name: usage[name] for name in ("p50", "p99", "max", "upper", "hot_p95", "days", "daily_p95")},
        "p95": case.p95,
        "pooled_p95": usage["p95"],
        "completeness": completeness_of(usage, facts),
        "replicas": facts["replicas"],
        "krr_request": comparator("krr", usage),
        "vpa_request": comparator("vpa", usage),
        "throttle_ratio": np.nan if case.memory else facts["throttle_ratio"],
        "oom_kills": facts["oom_kills"] if case.memory else np.nan,
    }


_TOO_THIN = (Code.NO_SAMPLES, Code.SHORT_HISTORY, Code.FEW_WEEKDAYS, Code.LOW_COMPLETENESS, Code.RECENT_ROLLOUT)
_STATISTICS = ("p50", "p95", "p99", "max", "upper", "hot_p95", "pooled_p95")


def _limit(tenths: int | None, case: Case) -> float:
    return np.nan if tenths is None else case.scale.value(tenths)


def _hysteresis(draft: Draft) -> bool:
    """True when the request would change too little to be worth a rollout, and no guard asks for a higher limit than today's."""
    case, scale = draft.case, draft.case.scale
    if not known(case.request) or draft.must_rise or case.limit < case.request:
        return False
    if known(case.limit) and draft.needed > scale.tenths(case.limit):
        return False
    now = scale.tenths(case.request)
    if abs(draft.request - now) >= max(case.policy.hysteresis * now, scale.step):
        return False
    if draft.request != now or _limit(draft.limit, case) != case.limit:
        share = case.policy.hysteresis
        message = f"The request would change by less than {share:.0%} or one step: not worth a rollout, request and limit stay."
        draft.say(Code.HYSTERESIS, message, request=scale.value(draft.request))
    return True


def _change(draft: Draft, request: float, limit: float) -> str:
    """Which way the request goes; kills and throttling that raise a limit are an increase too."""
    case = draft.case
    if any(reason.code == Code.CENSORED for reason in draft.reasons):
        return "increase"
    today = case.request if known(case.request) else case.limit  # Kubernetes uses the limit as request where only that is set
    if not known(today):
        return "increase"  # from nothing
    if request == today:
        return "increase" if draft.must_rise and limit > case.limit else "keep"
    return "increase" if request > today else "decrease"
