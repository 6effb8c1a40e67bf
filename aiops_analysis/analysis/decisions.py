"""What people decided about recommendations: which rows their decisions keep quiet, and which speak again (design.md section 3).

A rejected row stays quiet until its last quiet day is over or the data changes. The data changes when

- the request in the cluster is another one than at the decision,
- the recommended request differs from the rejected one by more than the policy's hysteresis and more than one step,
- the P95 is above the request, and was not at the decision, or
- the container was killed for memory, and was not at the decision.

A protected row is woken by the last two only: they are risks, not savings. Only the newest decision about a row counts; proposals and
decisions of other clusters never do.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd

from aiops_analysis.analysis.policy import SizingPolicy
from aiops_analysis.core.decision import Choice, Decision
from aiops_analysis.core.schema import RECOMMENDATIONS, check
from aiops_analysis.core.units import cpu_tenths, human_memory, memory_tenths

__all__ = ["Heard", "heard", "quiet"]

_ACTS = ("increase", "decrease")


@dataclass(frozen=True, slots=True)
class Heard:
    """What the newest decision about one row means today.

    ``state`` is quiet, expired, changed (a rejection that no longer holds, ``why`` says by what), waiting (accepted, not in the cluster
    yet) or seen (accepted, and the cluster has it).
    """

    id: str
    decision: Decision
    choice: Choice
    state: str
    why: str


def quiet(recommendations: pd.DataFrame, decisions: Iterable[Decision], today: date, *, policy: SizingPolicy | None = None) -> pd.DataFrame:
    """RECOMMENDATIONS with ``decided``: the id of the record that keeps a row quiet on ``today``, "" for a row that speaks.

    Raises SchemaError.
    """
    frame = check(recommendations, RECOMMENDATIONS)
    hushed = {one.id: one.decision.id for one in heard(frame, decisions, today, policy=policy) if one.state == "quiet"}
    return frame.assign(decided=pd.Series([hushed.get(one, "") for one in frame["id"]], index=frame.index, dtype="str"))


def heard(
    recommendations: pd.DataFrame, decisions: Iterable[Decision], today: date, *, policy: SizingPolicy | None = None
) -> tuple[Heard, ...]:
    """The rows that would change and that somebody decided about, with what that means on ``today``; in the order of the rows."""
    rules = policy or SizingPolicy()
    newest = _newest(decisions)
    out = []
    for row in recommendations.to_dict("records"):
        found = newest.get(str(row["id"]))
        if found is None or found[0].cluster != row["cluster"]:
            continue
        decision, choice = found
        if decision.status == "rejected" and row["change"] in _ACTS:
            out.append(Heard(row["id"], decision, choice, *_rejected(row, decision, choice, today, rules)))
        elif decision.status == "accepted":
            out.append(Heard(row["id"], decision, choice, *_accepted(row, decision, choice)))
    return tuple(out)


def _newest(decisions: Iterable[Decision]) -> Mapping[str, tuple[Decision, Choice]]:
    """The newest decision by recommendation id; replaced and deprecated ones no longer count."""
    taken: Sequence[Decision] = [one for one in decisions if one.status in ("accepted", "rejected")]
    ordered = sorted(taken, key=lambda one: (one.decided_on or one.dated, one.number))
    return {choice.id: (decision, choice) for decision in ordered for choice in decision.choices}


def _rejected(row: Mapping[str, Any], decision: Decision, choice: Choice, today: date, policy: SizingPolicy) -> tuple[str, str]:
    guard = decision.guard
    if guard is not None and guard.expires is not None and today > guard.expires:
        return "expired", f"kept quiet through {guard.expires}, which is over"
    if risk := _risk(row, choice):
        return "changed", risk
    if guard is not None and guard.protect:
        return "quiet", guard.reason
    if change := _changed(row, choice, policy):
        return "changed", change
    return "quiet", guard.reason if guard is not None else ""


def _risk(row: Mapping[str, Any], choice: Choice) -> str:
    """What hurts now and did not when it was decided; "" when nothing does."""
    request, p95 = _known(row["current_request"]), _known(row["p95"])
    over_then = choice.p95 > choice.from_request  # False when either is not known
    if request is not None and p95 is not None and p95 > request and not over_then:
        return f"the P95 is {_amount(choice, p95)}, above the request of {_amount(choice, request)}"
    kills = _known(row["oom_kills"]) or 0.0
    if kills > 0 and not choice.oom_kills > 0:
        return f"killed for memory {kills:g} times in the window, which it was not then"
    return ""


def _changed(row: Mapping[str, Any], choice: Choice, policy: SizingPolicy) -> str:
    """What is no longer as it was when it was decided; "" when all is."""
    now, then = _tenths(choice, row["current_request"]), _tenths(choice, choice.from_request)
    if now != then:
        return f"the request in the cluster is {_amount(choice, row['current_request'])}, it was {_amount(choice, choice.from_request)}"
    wanted, refused = _tenths(choice, row["guarded_request"]), _tenths(choice, choice.to_request)
    if wanted is None or refused is None:
        return "" if wanted == refused else "a recommended request is known now, which it was not then"
    step = _tenths(choice, policy.memory_step if choice.resource == "memory" else policy.cpu_step) or 0
    if abs(wanted - refused) > max(policy.hysteresis * refused, step):
        return f"the recommended request is {_amount(choice, row['guarded_request'])}, {_amount(choice, choice.to_request)} was rejected"
    return ""


def _accepted(row: Mapping[str, Any], decision: Decision, choice: Choice) -> tuple[str, str]:
    """Whether the cluster has what was accepted."""
    now = (_tenths(choice, row["current_request"]), _tenths(choice, row["current_limit"]))
    then = (_tenths(choice, choice.to_request), _tenths(choice, choice.to_limit))
    accepted = f"accepted on {decision.decided_on}"
    if now == then:
        return "seen", f"{accepted}, and the cluster has it" + ("" if decision.implemented_on else "; set implemented_on")
    return "waiting", f"{accepted}, not seen in the cluster yet"


def _known(value: object) -> float | None:
    number = float(value) if isinstance(value, int | float) else math.nan
    return number if math.isfinite(number) else None


def _tenths(choice: Choice, value: object) -> int | None:
    """The amount in tenths of a millicore or of a MiB, None when it is not set: equal requests compare equal."""
    number = _known(value)
    if number is None:
        return None
    return memory_tenths(number) if choice.resource == "memory" else cpu_tenths(number)


def _amount(choice: Choice, value: object) -> str:
    number = _known(value)
    if number is None:
        return "not set"
    return human_memory(number) if choice.resource == "memory" else f"{cpu_tenths(number) / 10:g}m"
