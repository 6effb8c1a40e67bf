"""Which recommendations come first: impact against effort (methods.md F1)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from aiops_analysis.core.contract import Contract
from aiops_analysis.core.reasons import Code, Reason
from aiops_analysis.core.schema import check

__all__ = ["CELLS", "PRIORITIES", "effort_hours", "impact_of", "is_risk", "priorities", "priority_matrix", "priority_of"]

#: Cells of the matrix in their order.
CELLS = ("do first", "plan", "backlog")

#: One row per recommendation that changes something, in the order in which it should be done.
PRIORITIES = Contract(
    "priorities",
    {
        "cell": "str",  # do first | plan | backlog
        "rank": "int64",  # place within the cell, from 1
        "id": "str",
        "namespace": "str",
        "workload_kind": "str",
        "workload": "str",
        "container": "str",
        "resource": "str",
        "change": "str",
        "grade": "str",
        "impact": "float64",  # [currency / month], NaN where nothing prices it
        "impact_basis": "str",  # bankable | if shrunk | paper | "" when unknown
        "risk": "bool",  # the fix of a risk: never below "do first"
        "effort": "float64",  # [h]
        "confidence": "float64",  # 1.0 high, 0.8 medium, 0.5 low
        "score": "float64",  # impact x confidence / effort
    },
    ("id",),
)

_RISKS = frozenset({Code.OOM_KILLED, Code.CENSORED, Code.THROTTLED, Code.UNDER_REQUESTED, Code.PEAK_GUARD})
_MOST_OF_IT = 0.8  # the smallest set that holds this share of all savings is high impact
_LOW_EFFORT = 4.0
_CONFIDENCE = {"high": 1.0, "medium": 0.8, "low": 0.5}
_DEEDS = ("increase", "decrease")


def impact_of(recommendations: pd.DataFrame, if_shrunk: pd.Series | None = None) -> pd.DataFrame:
    """``impact`` [currency / month] and ``impact_basis`` of each row: bankable where it is known, else paper, tagged as such.

    ``if_shrunk``: each row's part of what a person frees by shrinking the pool, as ``split_bankable`` gives it; it counts where nothing
    takes nodes away by itself, for there the reader is who can.
    """
    bankable = recommendations["bankable"].to_numpy(float)
    paper = recommendations["paper"].to_numpy(float)
    shrunk = np.full(len(bankable), np.nan) if if_shrunk is None else if_shrunk.to_numpy(float)
    by_hand = (bankable == 0) & (shrunk > 0)
    amount = np.where(by_hand, shrunk, np.where(np.isnan(bankable), paper, bankable))
    # more requests cost on paper whether or not a node comes with them
    amount = np.where((recommendations["change"] == "increase").to_numpy(), paper, amount)
    basis = np.where(by_hand, "if shrunk", np.where(np.isnan(bankable), "paper", "bankable"))
    basis = np.where((recommendations["change"] == "increase").to_numpy(), "paper", basis)
    return pd.DataFrame({"impact": amount, "impact_basis": np.where(np.isnan(amount), "", basis)}, index=recommendations.index)


def priorities(recommendations: pd.DataFrame, *, high_impact: float = 10.0, if_shrunk: pd.Series | None = None) -> list[str]:
    """``do first``, ``plan`` or ``backlog`` of each row of RECOMMENDATIONS, "" where nothing is to be done.

    Impact is high for an increase because of a risk, and for savings of at least ``high_impact`` [currency / month] in the smallest set
    of rows that holds 80 % of all of them. High impact at no more than 4 hours is done first, at more it is planned; the rest is backlog.
    """
    amounts = _amounts(recommendations, if_shrunk)
    large = _large(amounts, high_impact)
    rows = zip(recommendations["change"], recommendations["reasons"], recommendations["workload_kind"], amounts, strict=True)
    return [priority_of(change, reasons, kind, large=value >= large) for change, reasons, kind, value in rows]


def _amounts(recommendations: pd.DataFrame, if_shrunk: pd.Series | None) -> list[float]:
    if "bankable" not in recommendations.columns:
        return [float(value) for value in recommendations["paper"]]
    return [float(value) for value in impact_of(recommendations, if_shrunk)["impact"]]


def priority_of(change: str, reasons: Sequence[Reason], kind: str, *, large: bool) -> str:
    """The priority of one row; ``large`` says that its saving is of high impact, which is not known before it is priced."""
    if change not in _DEEDS:
        return ""
    if is_risk(change, reasons):
        return "do first"
    if not large:
        return "backlog"
    return "do first" if effort_hours(kind, reasons) <= _LOW_EFFORT else "plan"


def is_risk(change: str, reasons: Iterable[Reason]) -> bool:
    """True for an increase that is the fix of a risk: killed, throttled, censored or asking for less than it uses."""
    return change == "increase" and any(reason.code in _RISKS for reason in reasons)


def effort_hours(kind: str, reasons: Iterable[Reason]) -> float:
    """Hours of one change: 2 for a value and its soak in staging, 4 for a StatefulSet or Java, 8 for a mesh's sidecar."""
    codes = {reason.code for reason in reasons}
    if Code.SIDECAR in codes:
        return 8.0
    return 4.0 if kind == "StatefulSet" or Code.JVM in codes else 2.0


def priority_matrix(recommendations: pd.DataFrame, *, if_shrunk: pd.Series | None = None) -> pd.DataFrame:
    """PRIORITIES of RECOMMENDATIONS: cells in order, rows within a cell by impact x confidence / effort (methods.md F1).

    The fix of a risk stands before all money of its cell. Rows that change nothing, or that a decision keeps quiet, are not in it.
    Raises SchemaError.
    """
    frame = recommendations.assign(**impact_of(recommendations, if_shrunk))
    frame = frame[frame["change"].isin(_DEEDS) & (frame["priority"] != "") & (frame["decided"] == "")]
    risk = [is_risk(change, reasons) for change, reasons in zip(frame["change"], frame["reasons"], strict=True)]
    effort = [effort_hours(kind, reasons) for kind, reasons in zip(frame["workload_kind"], frame["reasons"], strict=True)]
    frame = frame.assign(
        cell=frame["priority"],
        risk=np.array(risk, dtype=bool),
        effort=np.array(effort, dtype=float),
        confidence=frame["grade"].map(_CONFIDENCE).astype(float).fillna(_CONFIDENCE["low"]),
    )
    frame = frame.assign(
        score=frame["impact"] * frame["confidence"] / frame["effort"],
        place=frame["cell"].map({cell: place for place, cell in enumerate(CELLS)}).astype(float),
        last=~frame["risk"],
    )
    frame = frame.sort_values(["place", "last", "score", "id"], ascending=[True, True, False, True], na_position="last", kind="stable")
    return check(frame.assign(rank=frame.groupby("cell").cumcount() + 1), PRIORITIES)


def _large(amounts: Sequence[float], high_impact: float) -> float:
    """The smallest saving that still belongs to the set of high impact."""
    savings = sorted((value for value in amounts if value > 0), reverse=True)
    wanted, held, smallest = _MOST_OF_IT * math.fsum(savings), 0.0, math.inf
    for value in savings:
        if held >= wanted:
            break
        held, smallest = held + value, value
    return max(smallest, high_impact)
