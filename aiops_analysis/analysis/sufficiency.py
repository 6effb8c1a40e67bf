"""Is there enough data for a number, and how far can it be trusted (methods.md A4, A5, A8, A9)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from aiops_analysis.analysis.sizing import Case, known
from aiops_analysis.core.reasons import Code, Reason
from aiops_analysis.core.window import STEP, Window

__all__ = ["completeness_of", "enough_on", "grade_of", "refusals", "settings_reasons", "warnings_of"]

_DAY = 86_400.0
_NO_OWNER = {"Pod": "a pod without an owner", "Node": "a static pod of a node"}


def completeness_of(usage: Mapping[str, Any], facts: Mapping[str, Any]) -> float:
    """Steps with a sample / steps with a running pod, at most 1; where those are unknown, / steps from the first to the last sample."""
    expected = facts["settled_steps"] if usage["cut"] else facts["expected_steps"]
    if usage["workload_kind"] in ("Job", "CronJob"):
        return np.nan  # runs are not steps of time
    if not (known(expected) and expected > 0):
        if pd.isna(usage["first_sample"]):
            return np.nan
        expected = _seconds(usage["first_sample"], usage["last_sample"]) / STEP
    return min(1.0, float(usage["steps"]) / float(expected)) if expected > 0 else np.nan


def _seconds(start: Any, end: Any) -> float:
    return float((end - start).total_seconds())


def refusals(case: Case) -> list[Reason]:
    """Why this row gets no number; empty when it does. What it is comes before how much data there is."""
    return _by_nature(case) or _by_data(case)


def _by_nature(case: Case) -> list[Reason]:
    usage, facts = case.usage, case.facts
    kind = usage["workload_kind"]
    scope = facts["out_of_scope"] or _NO_OWNER.get(kind, "")
    if scope:
        return [Reason(Code.OUT_OF_SCOPE, f"Out of scope: {scope}.", {"why": scope})]
    if facts["role"] == "init":
        return [Reason(Code.INIT_CONTAINER, "An init container ends before the pod starts: it is never resized.")]
    if not facts["running"]:
        message = "It did not run in the last eight days." if case.per_run else "No pod of this container runs at the end of the window."
        return [Reason(Code.GONE, message)]
    return []


def _by_data(case: Case) -> list[Reason]:
    usage, policy = case.usage, case.policy
    if case.per_run:
        return _by_runs(case)
    if not known(usage["p95"]):
        return [Reason(Code.NO_SAMPLES, "There is no usable sample in the window.", {"dropped": int(usage["dropped"])})]
    out = []
    span = _seconds(usage["first_sample"], usage["last_sample"]) / _DAY
    if usage["cut"] == "changed" or (usage["cut"] and usage["days"] >= policy.min_days and usage["weekdays"] >= policy.min_weekdays):
        pass  # what counts is how long the last rollout is ago, below; days that begin late or end early are days
    elif span < policy.min_days:
        message = f"The samples span {_floor1(span)} days, fewer than the {policy.min_days} that are needed."
        out.append(Reason(Code.SHORT_HISTORY, message, {"days": span, "needed": policy.min_days}))
    elif usage["weekdays"] < policy.min_weekdays:
        message = f"Samples cover {usage['weekdays']} of the 7 weekdays, fewer than the {policy.min_weekdays} that are needed."
        out.append(Reason(Code.FEW_WEEKDAYS, message, {"weekdays": int(usage["weekdays"])}))
    share = completeness_of(usage, case.facts)
    if share < policy.min_completeness:
        message = f"Only {share:.0%} of the steps in which it ran have a sample, fewer than {policy.min_completeness:.0%}."
        out.append(Reason(Code.LOW_COMPLETENESS, message, {"completeness": share}))
    since = _since_rollout(case)
    if since * 24 < policy.min_rollout_hours:
        message = f"Only {max(since, 0) * 24:.0f} hours of samples since the last rollout, fewer than {policy.min_rollout_hours:g}."
        out.append(Reason(Code.RECENT_ROLLOUT, message, {"days": since}))
    return out


def _by_runs(case: Case) -> list[Reason]:
    """A job needs runs, not days of steps."""
    runs, needed = int(case.usage["samples"]), case.policy.min_runs
    if runs >= needed:
        return []
    seen = {0: "No run was measured", 1: "It ran once"}.get(runs, f"It ran {runs} times")
    return [Reason(Code.FEW_RUNS, f"{seen} in the window; {needed} runs are needed.", {"runs": runs, "needed": needed})]


def _floor1(days: float) -> str:
    """One decimal, rounded down: 6.99 days are not 7.0."""
    return f"{int(days * 10) / 10:g}"


def _since_rollout(case: Case) -> float:
    """Days from the last rollout to the last sample, infinite without a rollout."""
    at = case.facts["last_rollout"]
    return np.inf if pd.isna(at) else _seconds(at, case.usage["last_sample"]) / _DAY


def enough_on(case: Case, reasons: list[Reason]) -> str:
    """The date on which a row that is refused for time alone will have enough data, "" when nobody can say."""
    dates = []
    for reason in reasons:
        if reason.code == Code.SHORT_HISTORY:
            dates.append(case.usage["first_sample"] + timedelta(days=case.policy.min_days))
        elif reason.code == Code.RECENT_ROLLOUT:
            dates.append(case.facts["last_rollout"] + timedelta(hours=case.policy.min_rollout_hours))
        else:
            return ""
    return str(max(dates).date().isoformat()) if dates else ""


def warnings_of(case: Case, window: Window) -> list[Reason]:
    """What is thin about data that is enough."""
    usage, policy, out = case.usage, case.policy, []
    if case.per_run:
        message = f"Measured per run: quantiles are over {usage['samples']} runs."
        return [Reason(Code.JOB, message, {"runs": int(usage["samples"])}), *_dropped(case)]
    out += _rollout(case)
    span = _seconds(usage["first_sample"], usage["last_sample"]) / _DAY
    if span < policy.warn_days and not usage["cut"]:  # a rollout says more than the span that is left
        message = f"The samples span {_floor1(span)} days; {policy.warn_days} are wished for."
        out.append(Reason(Code.THIN_HISTORY, message, {"days": span, "wished": policy.warn_days}))
    days = zip(window.days(), usage["daily_p95"], strict=False) if usage["weekdays"] < 7 else ()
    unseen = sorted({5, 6} - {day.weekday() for day, value in days if known(value)}) if usage["weekdays"] < 7 else []
    if unseen:
        names = " and ".join(("Saturday", "Sunday")[day - 5] for day in unseen)
        out.append(Reason(Code.WEEKEND_UNSEEN, f"No sample of a {names}.", {"weekdays": [day + 1 for day in unseen]}))
    share = completeness_of(usage, case.facts)
    if share < policy.warn_completeness:
        message = f"{share:.0%} of the steps in which it ran have a sample; below {policy.warn_completeness:.0%} peaks may be missed."
        out.append(Reason(Code.SOME_MISSING, message, {"completeness": share}))
    return [*out, *_dropped(case)]


def _rollout(case: Case) -> list[Reason]:
    """What the last rollout means for the samples (methods.md A8)."""
    usage, since = case.usage, _since_rollout(case)
    ratio = usage["rollout_ratio"]
    if usage["cut"] == "settled":
        message = f"Only the {usage['days']} days after the last rollout are measured."
        return [Reason(Code.SINCE_ROLLOUT, message, {"days": int(usage["days"]), "ratio": ratio if known(ratio) else None})]
    if usage["cut"]:
        days = "1 day" if usage["days"] == 1 else f"{usage['days']} days"
        change = f"changed to {ratio:.2f} times" if known(ratio) else "was 0 before"
        message = f"Post-rollout, {days}: the daily P95 {change} with the last rollout, so earlier days are left out."
        return [Reason(Code.POST_ROLLOUT, message, {"days": int(usage["days"]), "ratio": ratio if known(ratio) else None})]
    if since < case.policy.warn_rollout_days:
        message = f"The last rollout was {_floor1(since)} days before the last sample; older samples are of another version."
        return [Reason(Code.RECENT_ROLLOUT, message, {"days": since, "ratio": ratio if known(ratio) else None})]
    return []


def _dropped(case: Case) -> list[Reason]:
    count = int(case.usage["dropped"])
    if count == 0:
        return []
    return [Reason(Code.DROPPED_VALUES, f"{count} impossible {'value was' if count == 1 else 'values were'} left out.", {"dropped": count})]


def settings_reasons(case: Case) -> list[Reason]:
    """What is odd about the request and the limit of today; each makes the over-provisioning unknown."""
    request, limit, human = case.request, case.limit, case.scale.human
    if not known(request) and known(limit):
        message = f"A limit of {human(limit)} is set and no request; Kubernetes then uses the limit as request."
        return [Reason(Code.LIMIT_WITHOUT_REQUEST, message, {"limit": limit})]
    if not known(request):
        return [Reason(Code.NO_REQUEST, f"No {'memory' if case.memory else 'CPU'} request is set or known.")]
    if request <= 0:
        return [Reason(Code.ZERO_REQUEST, "The request is 0, so nothing is reserved.")]
    if limit < request:
        message = f"The recorded limit of {human(limit)} is below the request of {human(request)}; one of them is wrong."
        return [Reason(Code.LIMIT_BELOW_REQUEST, message, {"request": request, "limit": limit})]
    return []


def grade_of(case: Case, reasons: list[Reason]) -> str:
    """How wide the interval of the P95 is: upper bound / P95; censored data and a recent rollout are at most low."""
    usage, policy = case.usage, case.policy
    at_most_low = {Code.CENSORED, Code.RECENT_ROLLOUT, Code.POST_ROLLOUT} & {reason.code for reason in reasons}
    if at_most_low or usage["saturated"] or not known(usage["upper"]):
        return "low"
    upper, p95 = usage["upper"], usage["p95"] * (1 + 1e-9)  # 1.15 x 0.05 is below 0.0575 in floats
    if upper <= policy.high_ratio * p95:
        return "high"
    return "medium" if upper <= policy.medium_ratio * p95 else "low"
