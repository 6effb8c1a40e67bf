"""Which recommendations come first: impact against effort (methods.md F1). Thin: money is paper until nodes are packed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import pandas as pd

from aiops_analysis.core.reasons import Code, Reason

__all__ = ["effort_hours", "priorities", "priority_of"]

_RISKS = frozenset({Code.OOM_KILLED, Code.CENSORED, Code.THROTTLED, Code.UNDER_REQUESTED, Code.PEAK_GUARD})
_MOST_OF_IT = 0.8  # the smallest set that holds this share of all savings is high impact
_LOW_EFFORT = 4.0


def priorities(recommendations: pd.DataFrame, *, high_impact: float = 10.0) -> list[str]:
    """``do first``, ``plan`` or ``backlog`` of each row of RECOMMENDATIONS, "" where nothing is to be done.

    Impact is high for an increase because of a risk, and for savings of at least ``high_impact`` [currency / month] in the smallest set
    of rows that holds 80 % of all of them. High impact at no more than 4 hours is done first, at more it is planned; the rest is backlog.
    """
    paper = [float(value) for value in recommendations["paper"]]
    large = _large(paper, high_impact)
    rows = zip(recommendations["change"], recommendations["reasons"], recommendations["workload_kind"], paper, strict=True)
    return [priority_of(change, reasons, kind, large=value >= large) for change, reasons, kind, value in rows]


def priority_of(change: str, reasons: Sequence[Reason], kind: str, *, large: bool) -> str:
    """The priority of one row; ``large`` says that its saving is of high impact, which is not known before it is priced."""
    if change not in ("increase", "decrease"):
        return ""
    if change == "increase" and any(reason.code in _RISKS for reason in reasons):
        return "do first"
    if not large:
        return "backlog"
    return "do first" if effort_hours(kind, reasons) <= _LOW_EFFORT else "plan"


def effort_hours(kind: str, reasons: Iterable[Reason]) -> float:
    """Hours of one change: 2 for a value and its soak in staging, 4 for a StatefulSet or Java, 8 for a mesh's sidecar."""
    codes = {reason.code for reason in reasons}
    if Code.SIDECAR in codes:
        return 8.0
    return 4.0 if kind == "StatefulSet" or Code.JVM in codes else 2.0


def _large(paper: Sequence[float], high_impact: float) -> float:
    """The smallest saving that still belongs to the set of high impact."""
    savings = sorted((value for value in paper if value > 0), reverse=True)
    wanted, held, smallest = _MOST_OF_IT * math.fsum(savings), 0.0, math.inf
    for value in savings:
        if held >= wanted:
            break
        held, smallest = held + value, value
    return max(smallest, high_impact)
