"""What the namespace and the nodes allow: LimitRange, quota and the largest node, each with its explanation (methods.md A9)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from aiops_analysis.analysis.guards import Draft
from aiops_analysis.analysis.sizing import known
from aiops_analysis.core.reasons import Code, Reason
from aiops_analysis.core.schema import BOUNDS, check
from aiops_analysis.core.units import format_cpu, human_memory
from aiops_analysis.core.window import DAY

__all__ = ["allowed_by", "fit_node", "fit_range", "over_quota"]

_RATIO = "maxLimitRequestRatio"


def allowed_by(bounds: pd.DataFrame) -> dict[tuple[str, str], dict[str, float]]:
    """The strictest newest LimitRange fields for containers by (namespace, resource); of quotas, ``requests.hard`` and ``limits.hard``."""
    frame = check(bounds, BOUNDS).sort_values("last_seen", kind="stable")
    frame = frame[frame["last_seen"] > frame["last_seen"].max() - DAY]  # what was deleted before allows and forbids nothing any more
    newest = frame.drop_duplicates(["namespace", "kind", "name", "scope", "resource", "field"], keep="last")
    out: dict[tuple[str, str], dict[str, float]] = {}
    for row in newest.itertuples():
        if row.scope == "Pod" or row.field.endswith("used") or not known(row.value):
            continue
        mine = out.setdefault((row.namespace, row.resource), {})
        strictest = max if row.field == "min" else min
        mine[row.field] = strictest(mine[row.field], row.value) if row.field in mine else float(row.value)
    return out


def fit_range(draft: Draft) -> None:
    """Request and limit within the namespace's LimitRange: min, max, and the largest ratio of limit to request."""
    case, allowed, scale = draft.case, draft.case.allowed, draft.case.scale
    before, said = (draft.request, draft.limit), []
    if known(allowed.get("min")):
        low = scale.up(allowed["min"])
        draft.raise_request(low)
        said.append(f"at least {scale.human(allowed['min'])}")
    if known(allowed.get("max")):
        high = scale.whole(allowed["max"])
        draft.request = min(draft.request, scale.down(allowed["max"]), high)
        draft.limit = high if draft.limit is None else min(draft.limit, high)
        said.append(f"at most {scale.human(allowed['max'])}")
    ratio = allowed.get(_RATIO)
    if ratio is not None and known(ratio) and draft.limit is not None and draft.limit > ratio * draft.request:
        # a limit that a guard asked for stays, and the request follows it
        draft.raise_request(_whole(-(-min(draft.needed, draft.limit) // max(int(ratio), 1)) + 9))
        # a manifest holds whole units and rounds up, which must not go over the ratio
        draft.limit = min(draft.limit, _whole(int(ratio * draft.request)))
        said.append(f"limit / request at most {ratio:g}")
    draft.close()
    if case.facts["qos"] == "Guaranteed":
        draft.request = draft.limit = max(draft.request, draft.limit or 0)
    if (draft.request, draft.limit) != before:
        message = f"The LimitRange of {case.usage['namespace']} allows {', '.join(said)}: kept within it."
        draft.say(Code.CLAMPED, message, **{name: value for name, value in allowed.items() if "." not in name})


def _whole(tenths: int) -> int:
    """Without what is less than a whole millicore or MiB."""
    return tenths // 10 * 10


def fit_node(draft: Draft) -> None:
    """Never more than the largest node of the pools it runs on can give: such a pod would stay Pending."""
    case, scale = draft.case, draft.case.scale
    size = case.facts["largest_node_memory" if case.memory else "largest_node"]
    if known(size) and draft.request > scale.tenths(size):
        wanted = scale.value(draft.request)
        draft.request = scale.down(size)
        if draft.limit is not None:
            draft.limit = draft.request if case.facts["qos"] == "Guaranteed" else min(draft.limit, scale.down(size))
        message = (
            f"The rule asks for {scale.human(wanted)}, the largest node it runs on gives {scale.human(size)} beside its DaemonSets: "
            "it needs a larger node, or less work in one pod."
        )
        draft.say(Code.LARGER_THAN_NODE, message, wanted=wanted, largest_node=size)


def over_quota(rows: pd.DataFrame, allowed: Mapping[tuple[str, str], Mapping[str, float]]) -> dict[tuple[str, str], Reason]:
    """Of each (namespace, resource) whose recommended requests x replicas do not fit the quota's ``requests.hard``: why.

    rows : namespace, resource, asked (the recommended request, today's where nothing is recommended, times replicas) [cores | bytes].
    """
    out = {}
    for (namespace, resource), asked in rows.groupby(["namespace", "resource"])["asked"].sum().items():
        hard = allowed.get((namespace, resource), {}).get("requests.hard", float("nan"))
        if known(hard) and asked > hard * (1 + 1e-9):
            human = human_memory if resource == "memory" else format_cpu
            message = f"With these requests {namespace} asks for {human(asked)}; its ResourceQuota allows {human(hard)}: raise it first."
            data: dict[str, Any] = {"asked": float(asked), "hard": hard}
            out[str(namespace), str(resource)] = Reason(Code.QUOTA, message, data)
    return out
