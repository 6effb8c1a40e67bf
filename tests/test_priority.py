"""Impact against effort."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from aiops_analysis.analysis.priority import PRIORITIES, effort_hours, impact_of, priorities, priority_matrix
from aiops_analysis.core.reasons import Code, Reason
from tests.fleets import decrease, rows

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


def test_impact_is_bankable_where_it_is_known_and_paper_else() -> None:
    recs = rows(
        decrease("known", "cpu", 1.0, 0.5, paper=50.0, bankable=20.0),
        decrease("blind", "cpu", 1.0, 0.5, paper=50.0),
        decrease("by-hand", "cpu", 1.0, 0.5, paper=50.0, bankable=0.0),
        decrease("stuck", "cpu", 1.0, 0.5, paper=50.0, bankable=0.0),
        decrease("unpriced", "cpu", 1.0, 0.5, paper=NAN),
        decrease("more", "cpu", 1.0, 2.0, paper=-9.0, bankable=0.0),
    )
    got = impact_of(recs, pd.Series([20.0, NAN, 30.0, 0.0, NAN, 0.0]))
    assert got["impact_basis"].tolist() == ["bankable", "paper", "if shrunk", "bankable", "", "paper"]
    assert got["impact"].tolist()[:4] == [20.0, 50.0, 30.0, 0.0]
    assert math.isnan(got["impact"].iloc[4])
    assert got["impact"].iloc[5] == -9.0
    # 80 % of 20 + 50 + 30 is 80: 50 and 30 hold it; what frees no node is backlog, whatever it is on paper
    assert priorities(recs, if_shrunk=pd.Series([20.0, NAN, 30.0, 0.0, NAN, 0.0])) == [
        "backlog",
        "do first",
        "do first",
        "backlog",
        "backlog",
        "backlog",
    ]


def test_the_matrix_orders_cells_risks_and_scores() -> None:
    risk = [Reason(Code.OOM_KILLED, "")]
    recs = rows(
        decrease("medium", "cpu", 1.0, 0.5, paper=120.0, grade="medium", priority="do first"),  # 120 x 0.8 / 2 = 48
        decrease("high", "cpu", 1.0, 0.5, paper=100.0, priority="do first"),  # 100 x 1.0 / 2 = 50
        decrease("late", "cpu", 1.0, 0.5, paper=5.0, priority="backlog"),
        decrease("low", "cpu", 1.0, 0.5, paper=180.0, grade="low", priority="do first"),  # 180 x 0.5 / 2 = 45
        decrease("killed", "memory", 1.0, 2.0, paper=-40.0, priority="do first", reasons=risk),
        decrease("mesh", "cpu", 1.0, 0.5, paper=300.0, priority="plan", reasons=[Reason(Code.SIDECAR, "")]),
        decrease("quiet", "cpu", 1.0, 0.5, paper=300.0, priority="do first", decided="ADR-1"),
        decrease("kept", "cpu", 1.0, 0.5, paper=0.0, change="keep", priority=""),
    )
    got = priority_matrix(recs)
    assert list(got.columns) == list(PRIORITIES.columns)
    assert list(zip(got["cell"], got["rank"], got["workload"], strict=True)) == [
        ("do first", 1, "killed"),
        ("do first", 2, "high"),
        ("do first", 3, "medium"),
        ("do first", 4, "low"),
        ("plan", 1, "mesh"),
        ("backlog", 1, "late"),
    ]
    assert got["score"].tolist()[1:] == [50.0, 48.0, 45.0, 300 / 8, 2.5]
    assert got["confidence"].tolist() == [1.0, 1.0, 0.8, 0.5, 1.0, 1.0]
    assert len(priority_matrix(rows())) == 0
