"""Impact against effort."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from aiops_analysis.analysis.priority import effort_hours, priorities
from aiops_analysis.core.reasons import Code, Reason

NAN = math.nan


def frame(*rows: tuple[str, float, str, list[Code]]) -> pd.DataFrame:
    """Rows of (change, paper, kind, codes)."""
    reasons = [[Reason(code, "") for code in codes] for *_, codes in rows]
    columns = {"change": [r[0] for r in rows], "paper": [r[1] for r in rows], "workload_kind": [r[2] for r in rows]}
    return pd.DataFrame(columns).assign(reasons=pd.Series(reasons, dtype="object"))


def savings(*values: float) -> pd.DataFrame:
    return frame(*(("decrease", value, "Deployment", []) for value in values))


def test_the_smallest_set_that_holds_four_fifths_is_done_first() -> None:
    # 60 + 30 of 100 hold 80 %
    assert priorities(savings(8, 60, 2, 30)) == ["backlog", "do first", "backlog", "do first"]


def test_a_small_saving_is_backlog() -> None:
    assert priorities(savings(9.99)) == ["backlog"]
    assert priorities(savings(10.0)) == ["do first"]
    assert priorities(savings(9.99), high_impact=5) == ["do first"]


def test_much_effort_is_planned() -> None:
    rows = frame(
        ("decrease", 50, "Deployment", [Code.SIDECAR]), ("decrease", 50, "StatefulSet", []), ("decrease", 50, "Deployment", [Code.JVM])
    )
    assert priorities(rows) == ["plan", "do first", "do first"]
    assert [
        effort_hours(k, [Reason(c, "")] if c else []) for k, c in (("Deployment", None), ("StatefulSet", None), ("Job", Code.SIDECAR))
    ] == [2, 4, 8]


@pytest.mark.parametrize("code", [Code.OOM_KILLED, Code.CENSORED, Code.THROTTLED, Code.UNDER_REQUESTED, Code.PEAK_GUARD])
def test_a_risk_is_first_whatever_it_costs(code: Code) -> None:
    assert (
        priorities(frame(("increase", -40.0, "StatefulSet", [Code.SIDECAR, code]), ("decrease", 900.0, "Deployment", [])))
        == ["do first"] * 2
    )
    assert priorities(frame(("increase", NAN, "Deployment", [code]))) == ["do first"]


def test_nothing_to_do_has_no_priority_and_no_price_is_backlog() -> None:
    rows = frame(("keep", 0.0, "Deployment", []), ("undetermined", NAN, "Deployment", []), ("decrease", NAN, "Deployment", []))
    assert priorities(rows) == ["", "", "backlog"]
    assert priorities(frame(("increase", -3.0, "Deployment", []))) == ["backlog"]
