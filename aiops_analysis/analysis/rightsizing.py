"""Recommendations: the plain rule, the numbers after guards, grade and reasons, one row per container and resource (methods.md A)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from aiops_analysis.analysis.allocation import init_floor
from aiops_analysis.analysis.autoscaling import left_alone, new_target, settle
from aiops_analysis.analysis.bounds import allowed_by, fit_node, fit_range, over_quota
from aiops_analysis.analysis.guards import Draft, censoring, guard
from aiops_analysis.analysis.policy import SizingPolicy
from aiops_analysis.analysis.priority import priority_of
from aiops_analysis.analysis.sizing import Case, Pair, comparator, known, rule_of
from aiops_analysis.analysis.sufficiency import completeness_of, enough_on, grade_of, refusals, settings_reasons, warnings_of
from aiops_analysis.core.reasons import Code, Reason
from aiops_analysis.core.schema import BOUNDS, FACTS, GROUP, KEY, RECOMMENDATIONS, RESOURCES, USAGE, blank, check, empty, row_id
from aiops_analysis.core.window import Window

__all__ = ["recommend"]


def recommend(
    usage: pd.DataFrame,
    facts: pd.DataFrame,
    policy: SizingPolicy,
    *,
    cluster: str,
    window: Window,
    bounds: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """RECOMMENDATIONS of USAGE and FACTS, not priced: both resources of every container that either frame names, sorted by key.

    ``bounds`` (BOUNDS) are the LimitRanges and quotas that the requests must fit. A refused row has no number of its own, only reasons
    and, where time alone is missing, the date ``enough_on``. The arguments are not changed. Raises SchemaError for a frame that breaks
    its contract.
    """
    allowed = allowed_by(empty(BOUNDS) if bounds is None else bounds)
    drawn = list(_drawn(check(usage, USAGE), check(facts, FACTS), policy, window, allowed))
    rows = [_row(draft, cluster) for draft in _with_autoscalers(drawn)]
    if not rows:
        return empty(RECOMMENDATIONS)
    frame = pd.DataFrame(rows)
    return check(_within_quota(frame, allowed).sort_values(list(KEY), kind="stable"), RECOMMENDATIONS)


@dataclass
class _Sized:
    """One row under way: its case, why it is refused, or its rule, draft and grade."""

    case: Case
    refused: list[Reason]
    odd: list[Reason]
    grade: str = "refused"
    rule: Pair | None = None
    draft: Draft | None = None
    kept: bool = False
    target: float = np.nan  # of the HPA on this resource [percent]
    together: float = np.nan  # the target that goes with the request

    @property
    def request(self) -> float:
        """What is recommended, today's where nothing is [cores | bytes]."""
        sized = self.draft is not None and not self.kept and not self.refused
        return self.case.scale.value(self.draft.request) if sized and self.draft is not None else self.case.request


def _drawn(
    usage: pd.DataFrame, facts: pd.DataFrame, policy: SizingPolicy, window: Window, allowed: Mapping[tuple[str, str], Mapping[str, float]]
) -> Iterator[_Sized]:
    """Every row of a container with its draft; whether a small change is made is decided for both resources together (methods.md A9)."""
    measured = {(*(row[name] for name in GROUP), row["resource"]): row for row in usage.to_dict("records")}
    stated = {tuple(row[name] for name in GROUP): row for row in facts.to_dict("records")}
    for group in sorted({key[:-1] for key in measured} | set(stated)):
        labels = dict(zip(GROUP, group, strict=True))
        about = stated.get(group) or blank(FACTS) | labels | {"running": True}  # unknown is not gone
        pair = []
        for resource in RESOURCES:
            seen = measured.get((*group, resource)) or blank(USAGE) | labels | {"resource": resource}
            pair.append(_size(Case(resource, seen, about, policy, allowed.get((str(group[0]), resource), {})), window))
        # what is left to an HPA does not change, so it gives the other resource no reason to
        left = [policy.hpa == "leave" and bool(about[f"hpa_{sized.case.resource}"]) for sized in pair]
        small = all(_too_small(sized) for sized, apart in zip(pair, left, strict=True) if sized.draft is not None and not apart)
        for sized, apart in zip(pair, left, strict=True):
            # a request that does not move at all is not touched beside the other's change
            sized.kept = _too_small(sized) and (small or apart or sized.request == sized.case.request)
            yield sized


def _size(case: Case, window: Window) -> _Sized:
    odd, refused = settings_reasons(case), refusals(case)
    if refused:
        return _Sized(case, refused, odd)
    reasons = [*odd, *warnings_of(case, window), *censoring(case)]
    grade, rule = grade_of(case, reasons), rule_of(case)
    draft = guard(case, rule, grade, reasons)
    fit_range(draft)
    fit_node(draft)
    return _Sized(case, [], odd, grade, rule, draft)


def _with_autoscalers(drawn: list[_Sized]) -> list[_Sized]:
    """Rows whose resource an HPA scales on: left alone with the one change named, or request and target changed together."""
    pods: dict[tuple[str, str, str, str], list[_Sized]] = {}
    for sized in drawn:
        if sized.case.facts["role"] != "init":
            seen = sized.case.usage
            pods.setdefault((seen["namespace"], seen["workload_kind"], seen["workload"], sized.case.resource), []).append(sized)
    for rows in pods.values():
        resource, policy = rows[0].case.resource, rows[0].case.policy
        # a container of which nothing is stated stands under the workload's HPA as well
        facts = next((row.case.facts for row in rows if row.case.facts[f"hpa_{resource}"]), None)
        if facts is None:
            continue
        target = facts[f"hpa_{resource}_target"]
        asked = [row for row in rows if known(row.case.request)]
        together = new_target(target, [row.case.request for row in asked], [row.request for row in asked])
        for row in rows:
            row.target = target
            if row.draft is None or (policy.hpa == "together" and row.kept):
                continue
            _autoscaled(row, str(facts["hpa"]), together)
    return drawn


def _autoscaled(row: _Sized, name: str, together: float) -> None:
    """Refuse a row of an HPA, or give it its target."""
    resource, policy, scale = row.case.resource, row.case.policy, row.case.scale
    assert row.draft is not None
    if policy.hpa == "leave":
        request = "" if row.kept else scale.human(scale.value(row.draft.request))
        row.refused = [left_alone(name, resource, row.target, request, together, policy)]
        return
    reason = settle(name, resource, row.target, together, policy)
    if reason.code == Code.HPA_OUT_OF_RANGE:
        row.refused = [reason]
    else:
        row.draft.reasons.append(reason)
        row.together = together


def _within_quota(frame: pd.DataFrame, allowed: Mapping[tuple[str, str], Mapping[str, float]]) -> pd.DataFrame:
    """Increases say when the namespace's quota has no room for them."""
    then = frame["guarded_request"].fillna(frame["current_request"]).fillna(frame["current_limit"])
    by = ["namespace", "workload_kind", "workload", "resource"]
    # what is gone asks for nothing
    gone = np.array([any(reason.code == Code.GONE for reason in said) for said in frame["reasons"]], bool)
    each = frame.assign(then=then)[~gone]
    # a pod is charged its effective request: what runs together, or what its init containers need
    running = each[each["role"] != "init"].groupby(by).agg(then=("then", "sum"), replicas=("replicas", "max"))
    floor = init_floor(each, by, ["then"])["then"].reindex(running.index).fillna(0.0)
    asked = running.assign(asked=running["then"].clip(lower=floor) * running["replicas"]).reset_index()
    found = over_quota(asked, allowed)
    rows = zip(frame["namespace"], frame["resource"], frame["change"], frame["reasons"], strict=True)
    reasons = [
        [*said, found[namespace, resource]] if change == "increase" and (namespace, resource) in found else said
        for namespace, resource, change, said in rows
    ]
    return frame.assign(reasons=pd.Series(reasons, index=frame.index, dtype="object"))


def _row(sized: _Sized, cluster: str) -> dict[str, Any]:
    case = sized.case
    key = (cluster, *(str(case.usage[name]) for name in GROUP), case.resource)
    shown = blank(RECOMMENDATIONS) | dict(zip(KEY, key, strict=True)) | {"id": row_id(key)} | _measured(case)
    shown |= {"hpa_target": sized.target, "hpa_target_new": sized.together}
    if sized.refused or sized.draft is None or sized.rule is None:
        return shown | _refused(case, sized.refused, sized.odd)
    scale, draft, rule = case.scale, sized.draft, sized.rule
    request = case.request if sized.kept else scale.value(draft.request)
    limit = case.limit if sized.kept else _limit(draft.limit, case)
    if sized.kept:
        _say_kept(draft)
    change = _change(draft, request, limit)
    if case.usage["upper"] > request:
        message = f"The upper bound of the P95, {scale.human(case.usage['upper'])}, is above the recommended {scale.human(request)}."
        draft.say(Code.UPPER_EXCEEDS_REQUEST, message, upper=case.usage["upper"], request=request)
    return shown | {
        "rule_request": scale.value(rule.request),
        "rule_limit": _limit(rule.limit, case),
        "guarded_request": request,
        "guarded_limit": limit,
        "grade": sized.grade,
        "overprovision": np.nan if sized.odd else 1 - case.p95 / case.request,
        "change": change,
        "priority": priority_of(change, draft.reasons, case.usage["workload_kind"], large=False),
        "reasons": draft.reasons,
        "takes_effect": _takes_effect(case, request, limit),
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
        **{name: usage[name] for name in ("p50", "p99", "max", "hot_p95", "days", "daily_p95")},
        "upper": usage["upper"] if case.p95 == usage["p95"] else np.nan,  # the interval is of the pool, not of the pod that counts
        "p95": case.p95,
        "pooled_p95": usage["p95"],
        "completeness": completeness_of(usage, facts),
        "role": facts["role"],
        "runs": int(usage["samples"]) if case.per_run else 0,
        "pool": usage["pool"] if usage["pool_p95"] > usage["p95"] else "",
        "hpa": facts["hpa"],
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


def _too_small(sized: _Sized) -> bool:
    """True when the request would change too little to be worth a rollout, and no guard asks for a higher limit than today's."""
    case, draft = sized.case, sized.draft
    if draft is None or not known(case.request) or draft.must_rise or case.limit < case.request:
        return False
    scale = case.scale
    if known(case.limit) and draft.needed > scale.tenths(case.limit):
        return False
    now = scale.tenths(case.request)
    return abs(draft.request - now) < max(case.policy.hysteresis * now, scale.step)


def _say_kept(draft: Draft) -> None:
    """Name the small change that is not made."""
    case, scale = draft.case, draft.case.scale
    if draft.request != scale.tenths(case.request) or _limit(draft.limit, case) != case.limit:
        share = case.policy.hysteresis
        message = f"The request would change by less than {share:.0%} or one step: not worth a rollout, request and limit stay."
        draft.say(Code.HYSTERESIS, message, request=scale.value(draft.request))


def _takes_effect(case: Case, request: float, limit: float) -> str:
    """How the change reaches what runs: a memory cut, or a request or limit where none was (another QoS class), restarts the pod."""
    unchanged = request == case.request and (limit == case.limit or not (known(limit) or known(case.limit)))
    if unchanged:
        return ""
    if case.per_run:
        return "next run"
    appears = known(case.request) != known(request) or known(case.limit) != known(limit)
    # a heap is sized when the process starts
    cut = case.memory and (request < case.request or limit < case.limit or bool(case.facts["jvm"]))
    return "restart" if appears or cut else str(case.facts["resize"])


def _change(draft: Draft, request: float, limit: float) -> str:
    """Which way the request goes; kills and throttling that raise a limit are an increase too."""
    case = draft.case
    today = case.request if known(case.request) else case.limit  # Kubernetes uses the limit as request where only that is set
    if not known(today):
        return "increase"  # from nothing
    if request == today:
        # a limit that goes is more than any
        raised = limit > case.limit or (known(case.limit) and not known(limit))
        return "increase" if draft.must_rise and raised else "keep"
    return "increase" if request > today else "decrease"
