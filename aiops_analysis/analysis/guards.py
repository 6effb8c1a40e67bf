"""Guards: where the plain rule would hurt, the numbers that are recommended instead, each with its reason (methods.md A3 to A9)."""

from __future__ import annotations

import statistics

from aiops_analysis.analysis.java import heap_need
from aiops_analysis.analysis.sizing import Case, Pair, known
from aiops_analysis.analysis.statistics import mann_kendall, theil_sen
from aiops_analysis.core.reasons import Code, Reason

__all__ = ["Draft", "censoring", "guard"]


_JVM_BETTER = 2.0  # [cores] below, the JVM picks the serial collector and few threads


class Draft:
    """The numbers of one row while guards change them; ``needed`` is the largest limit that a guard asked for."""

    def __init__(self, case: Case, rule: Pair, reasons: list[Reason]) -> None:
        self.case = case
        self.request = rule.request
        self.limit = rule.limit
        self.needed = 0
        self.must_rise = False  # the demand is known to be higher than what was granted
        self.reasons = list(reasons)

    def say(self, code: Code, message: str, **data: object) -> None:
        """Add a reason."""
        self.reasons.append(Reason(code, message, data))

    def raise_request(self, tenths: int) -> bool:
        """At least this request; True when it changed."""
        before, self.request = self.request, max(self.request, tenths)
        return self.request > before

    def raise_limit(self, tenths: int) -> bool:
        """At least this limit, where there is one; True when it changed."""
        if self.limit is None:
            return False
        self.needed = max(self.needed, tenths)
        before, self.limit = self.limit, max(self.limit, tenths)
        return self.limit > before

    def not_below_today(self) -> bool:
        """Neither request nor limit below today's; True when that changed one."""
        case, changed = self.case, False
        asked = case.request if known(case.request) else case.limit  # Kubernetes uses the limit as request where only that is set
        if known(asked):
            changed = self.raise_request(case.scale.tenths(asked))
        if known(case.limit):
            # the limit of today is no new need: it must not switch the hysteresis off
            needed = self.needed
            changed = self.raise_limit(case.scale.tenths(case.limit)) or changed
            self.needed = needed
        return changed

    def close(self) -> None:
        """The limit is not below the request."""
        if self.limit is not None:
            self.limit = max(self.limit, self.request)


def censoring(case: Case) -> list[Reason]:
    """What throttling says about the samples of CPU: above the policy's share the true demand is unknown."""
    ratio, policy = case.facts["throttle_ratio"], case.policy
    if case.memory:
        return []
    if not known(ratio):
        if known(case.request) and not known(case.limit):
            return [Reason(Code.NO_LIMIT, "No CPU limit is set, so throttling cannot be measured.")]
        return []
    if ratio > policy.censored:
        message = f"It was throttled in {ratio:.0%} of its CPU periods: the true demand is higher, so it needs at least this much."
        return [Reason(Code.CENSORED, message, {"throttle_ratio": ratio})]
    if ratio > policy.throttle_warn:
        return [Reason(Code.THROTTLED, f"It was throttled in {ratio:.0%} of its CPU periods.", {"throttle_ratio": ratio})]
    return []


def guard(case: Case, rule: Pair, grade: str, reasons: list[Reason]) -> Draft:
    """The rule after all guards."""
    draft = Draft(case, rule, reasons)
    _imbalance(draft)
    if case.facts["sidecar"]:
        draft.say(Code.SIDECAR, "This container is injected: set it through the mesh, not in the workload.")
    if case.facts["role"] == "sidecar":
        draft.say(Code.NATIVE_SIDECAR, "A native sidecar: an init container that keeps running, so its patch stands under initContainers.")
    _under_request(draft)
    _guarantee(draft)
    if case.memory:
        _peak(draft)
        _killed(draft)
        _leak(draft)
    else:
        _throttle(draft)
    _java(draft)
    _floor(draft)
    _largest_cut(draft, grade)
    draft.close()
    if case.facts["qos"] == "Guaranteed":
        _equal(draft)
    return draft


def _imbalance(draft: Draft) -> None:
    case = draft.case
    usage, human = case.usage, case.scale.human
    if case.stateful and usage["hot_p95"] > usage["p95"]:
        message = f"Ordinal {usage['hot_pod']} has the highest P95, {human(usage['hot_p95'])}; ordinals are roles, so the highest counts."
        draft.say(Code.ORDINAL, message, pod=usage["hot_pod"], hot_p95=usage["hot_p95"], pooled_p95=usage["p95"])
        return
    if usage["pool_p95"] > usage["p95"] and human(usage["pool_p95"]) != human(usage["p95"]):
        message = (
            f"Pods in node pool {usage['pool']} use the most (P95 {human(usage['pool_p95'])}; {human(usage['p95'])} over all pools): "
            "that pool decides."
        )
        draft.say(Code.POOL, message, pool=usage["pool"], pool_p95=usage["pool_p95"], pooled_p95=usage["p95"])
    if case.imbalanced:
        message = (
            f"Pod {usage['hot_pod']} has a P95 of {human(usage['hot_p95'])}, all pods together {human(usage['p95'])}; the hottest counts."
        )
        draft.say(Code.IMBALANCED, message, pod=usage["hot_pod"], hot_p95=usage["hot_p95"], pooled_p95=usage["p95"])


def _under_request(draft: Draft) -> None:
    case = draft.case
    if known(case.request) and case.p95 > case.request:
        human = case.scale.human
        message = f"The P95 of {human(case.p95)} is above the request of {human(case.request)}."
        draft.say(Code.UNDER_REQUESTED, message, p95=case.p95, request=case.request)


def _guarantee(draft: Draft) -> None:
    if draft.case.facts["qos"] == "Guaranteed":
        _equal(draft)
        draft.say(Code.QOS_GUARANTEED, "Request and limit are equal today (QoS Guaranteed) and stay so: both take the rule's limit.")


def _equal(draft: Draft) -> None:
    draft.request = draft.limit = max(draft.request, draft.limit or 0)


def _peak(draft: Draft) -> None:
    case, policy = draft.case, draft.case.policy
    peak = case.usage["max"]
    alone = case.stateful or case.facts["replicas_max"] <= 1
    raised = alone and draft.raise_request(case.scale.up(peak, policy.peak_request_factor))
    if draft.raise_limit(case.scale.up(peak, policy.peak_limit_factor)) or raised:
        draft.say(Code.PEAK_GUARD, f"The largest memory seen, {case.scale.human(peak)}, asks for more than the rule.", max=peak)


def _killed(draft: Draft) -> None:
    """Memory at a kill is at least what was granted: the container reached its limit (methods.md A6)."""
    case, policy = draft.case, draft.case.policy
    kills = case.facts["oom_kills"]
    if not kills > 0:
        return
    seen = [v for v in (case.limit, case.request, case.facts["mem_at_oom"], case.usage["max"]) if known(v)]
    at_kill = max(seen)
    draft.must_rise = True
    draft.not_below_today()
    scale = case.scale
    draft.raise_limit(max(scale.up(at_kill + policy.oom_add), scale.up(at_kill, policy.oom_factor)))
    message = f"It was killed for memory {kills:.0f} times; about {scale.human(at_kill)} did not suffice, so nothing is taken away."
    draft.say(Code.OOM_KILLED, message.replace(" 1 times", " once"), oom_kills=kills, mem_at_oom=at_kill)


def _leak(draft: Draft) -> None:
    case, policy = draft.case, draft.case.policy
    peaks = case.usage["daily_max"]
    seen = [value for value in peaks if known(value)]
    middle = statistics.median(seen) if seen else 0.0
    if middle <= 0 or max(seen) - min(seen) <= policy.leak_slope * middle:  # no pair of days rises faster than all of them spread
        return
    slope = theil_sen(peaks) / middle
    if slope > policy.leak_slope and mann_kendall(peaks)[1] < policy.leak_p:
        draft.not_below_today()
        draft.say(
            Code.LEAK_SUSPECTED, f"The largest memory of a day rises by {slope:.1%} a day: a leak? Nothing is taken away.", slope=slope
        )


def _throttle(draft: Draft) -> None:
    case, policy = draft.case, draft.case.policy
    burst = case.facts["burst_p999"]
    codes = {reason.code for reason in draft.reasons}
    if codes & {Code.CENSORED, Code.THROTTLED}:
        draft.must_rise = True
        draft.not_below_today()
    if Code.CENSORED in codes:
        if known(burst):
            draft.raise_request(case.scale.up(burst, policy.burst_factor))
        if known(case.limit) and draft.request <= case.scale.tenths(case.request if known(case.request) else case.limit):
            draft.raise_limit(case.scale.up(case.limit, policy.burst_factor))  # it ran into this limit, so the demand lies above
    if known(burst) and draft.limit is not None and case.scale.tenths(burst) > draft.limit:
        allowed = case.scale.human(case.scale.value(draft.limit))
        draft.raise_limit(case.scale.up(burst, policy.burst_factor))
        message = f"Bursts of two minutes reach {case.scale.human(burst)} (P99.9), above a limit of {allowed}."
        draft.say(Code.BURSTY, message, burst_p999=burst)


def _java(draft: Draft) -> None:
    case = draft.case
    if not case.facts["jvm"]:
        return
    if case.memory:
        _heap(draft)
        return
    draft.raise_limit(case.scale.up(case.policy.jvm_cpu_limit))
    if draft.limit is not None and draft.limit < case.scale.tenths(_JVM_BETTER):
        allowed = case.scale.human(case.scale.value(draft.limit))
        draft.say(Code.JVM, f"A Java runtime sizes its threads and collector by the CPU limit; {allowed} is below the 2 CPUs that suit it.")


def _heap(draft: Draft) -> None:
    """Memory is cut only where the heap's flags are known, and never below the heap and what stands beside it."""
    case, scale = draft.case, draft.case.scale
    need = heap_need(str(case.facts["java_flags"]), case.limit)
    if not known(need):
        draft.not_below_today()
        draft.say(Code.JVM, "A Java heap follows the memory limit at its start: nothing is cut while the heap flags are unknown.")
        return
    least = scale.up(need)
    today = scale.tenths(case.request) if known(case.request) else least
    raised = draft.raise_request(min(least, today))
    if draft.raise_limit(least) or raised:
        draft.say(Code.JVM, f"Its heap flags need {scale.human(need)} with a quarter for what is not heap.", need=need)


def _floor(draft: Draft) -> None:
    scale = draft.case.scale
    if draft.raise_request(scale.floor):
        draft.say(Code.FLOOR, f"Raised to the smallest request of the policy, {scale.human(scale.value(scale.floor))}.")


def _largest_cut(draft: Draft, grade: str) -> None:
    case, cut = draft.case, draft.case.policy.largest_cut
    if grade == "high":
        return
    raised = known(case.request) and draft.raise_request(case.scale.up(case.request, 1 - cut))
    if known(case.limit) and draft.limit is not None:
        needed = draft.needed
        raised = draft.raise_limit(case.scale.up(case.limit, 1 - cut)) or raised
        draft.needed = needed
    if raised:
        draft.say(Code.STEP_CAPPED, f"One change cuts at most {cut:.0%} while the grade is {grade}.", largest_cut=cut)
