"""Reasons explain a row: a code from a closed list, one plain sentence, and the data that shows why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Code", "Reason", "refuses"]


class Code(StrEnum):
    """The closed list of reason codes; the comment of each is its meaning in the reference."""

    NO_SAMPLES = "no_samples"  # no usable sample in the window
    SHORT_HISTORY = "short_history"  # first to last sample spans less than the minimum
    THIN_HISTORY = "thin_history"  # enough to recommend, less than the fourteen days that are wished for
    FEW_WEEKDAYS = "few_weekdays"  # fewer than five distinct weekdays were seen
    WEEKEND_UNSEEN = "weekend_unseen"  # a weekend day is missing
    LOW_COMPLETENESS = "low_completeness"  # too many samples are missing
    SOME_MISSING = "some_missing"  # a share of the samples is missing, small enough to recommend
    RECENT_ROLLOUT = "recent_rollout"  # too little data since the last rollout
    SINCE_ROLLOUT = "since_rollout"  # only days after the last rollout are measured; there are enough
    POST_ROLLOUT = "post_rollout"  # usage changed with the last rollout: only the few days after it count
    HPA_MANAGED = "hpa_managed"  # a HorizontalPodAutoscaler scales on this resource
    HPA_TOGETHER = "hpa_together"  # request and target of the HorizontalPodAutoscaler change together
    HPA_OUT_OF_RANGE = "hpa_out_of_range"  # the target that goes with the request is outside 30 to 90 percent
    NO_REQUEST = "no_request"  # no request is set
    ZERO_REQUEST = "zero_request"  # the request is 0
    LIMIT_WITHOUT_REQUEST = "limit_without_request"  # a limit is set, a request is not: Kubernetes uses the limit
    LIMIT_BELOW_REQUEST = "limit_below_request"  # the recorded limit is lower than the request
    OOM_KILLED = "oom_killed"  # killed for memory in the window: never recommend less
    CENSORED = "censored"  # throttled: the true demand is higher than what was measured
    THROTTLED = "throttled"  # throttled between the warning and the censoring share
    BURSTY = "bursty"  # short bursts are higher than the rule's limit
    ORDINAL = "ordinal"  # ordinals of a StatefulSet are roles: the highest counts
    POOL = "pool"  # a DaemonSet is sized by the node pool with the highest usage
    IMBALANCED = "imbalanced"  # one pod is much hotter than the pool of pods
    LEAK_SUSPECTED = "leak_suspected"  # the daily memory maximum rises steadily
    PEAK_GUARD = "peak_guard"  # the measured peak asks for more than the rule
    UPPER_EXCEEDS_REQUEST = "upper_exceeds_request"  # the upper bound of the P95 is above the recommended request
    UNDER_REQUESTED = "under_requested"  # the P95 is above the current request
    JVM = "jvm"  # a Java heap: memory is not cut without the heap flags
    QOS_GUARANTEED = "qos_guaranteed"  # requests equal limits today and stay equal
    FLOOR = "floor"  # raised to the smallest request of the policy
    STEP_CAPPED = "step_capped"  # one change cuts at most half unless the grade is high
    HYSTERESIS = "hysteresis"  # the change is too small to be worth a rollout
    NO_LIMIT = "no_limit"  # no limit is set, so throttling cannot be measured
    SIDECAR = "sidecar"  # injected: set through the mesh, not the workload
    NATIVE_SIDECAR = "native_sidecar"  # an init container that keeps running: it is patched under initContainers
    INIT_CONTAINER = "init_container"  # an init container is never resized
    INIT_DOMINATES = "init_dominates"  # an init container asks for more than the rest of the pod: a lower request saves less
    JOB = "job"  # sized per run, not per step
    FEW_RUNS = "few_runs"  # fewer than ten runs of a job were measured
    CLAMPED = "clamped"  # kept within the LimitRange of the namespace
    QUOTA = "quota"  # the recommendations of the namespace do not fit its ResourceQuota
    LARGER_THAN_NODE = "larger_than_node"  # the rule asks for more than any node that it runs on can give
    OUT_OF_SCOPE = "out_of_scope"  # no owner, static, GPU or Windows
    GONE = "gone"  # the workload does not run any more
    DROPPED_VALUES = "dropped_values"  # impossible values were left out of the statistics
    ANECDOTE = "anecdote"  # from kubectl top texts: nobody measured between them
    DOWNSAMPLED = "downsampled"  # the source keeps averages only, peaks are flattened
    NO_PRICE = "no_price"  # no usable price for this row


#: Codes that leave a row without a recommendation.
_REFUSALS = frozenset(
    {
        Code.NO_SAMPLES,
        Code.SHORT_HISTORY,
        Code.FEW_WEEKDAYS,
        Code.LOW_COMPLETENESS,
        Code.HPA_MANAGED,
        Code.HPA_OUT_OF_RANGE,
        Code.INIT_CONTAINER,
        Code.FEW_RUNS,
        Code.OUT_OF_SCOPE,
        Code.GONE,
    }
)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a row is as it is: ``code``, one plain sentence, and the figures behind it."""

    code: Code
    message: str
    data: Mapping[str, object] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """Plain types for JSON."""
        return {"code": str(self.code), "message": self.message, "data": dict(self.data)}


def refuses(code: Code) -> bool:
    """True for a code that leaves the row without a recommendation."""
    return code in _REFUSALS
