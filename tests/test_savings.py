"""Paper savings: prices, the guide's example, priorities, and what has no price."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest

from aiops_analysis.analysis.savings import DEFAULT_PRICES, PriceBook, paper
from aiops_analysis.core.reasons import Code, Reason
from aiops_analysis.core.schema import RECOMMENDATIONS, check
from aiops_analysis.core.units import GIB, MIB

CHEAP = PriceBook(name="own", source="price sheet", currency="EUR", cpu_hour=1 / 730, memory_gib_hour=1 / 730)  # 1 a month


def rows(*given):
    """RECOMMENDATIONS with defaults: ids r0, r1, ... and one replica."""
    out = []
    for number, row in enumerate(given):
        base = {n: "" if k == "str" else [] if k == "object" else 0 if k == "int64" else np.nan for n, k in RECOMMENDATIONS.columns.items()}
        base |= {
            "id": f"r{number}",
            "workload": f"w{number}",
            "resource": "cpu",
            "replicas": 1.0,
            "change": "decrease",
            "priority": "backlog",
        }
        out.append(base | row)
    frame = pd.DataFrame(out, columns=list(RECOMMENDATIONS.columns))
    return check(frame, RECOMMENDATIONS)


def change(current, guarded, **more):
    return {"current_request": current, "guarded_request": guarded, "rule_request": guarded} | more


def test_the_default_prices_of_a_month():
    # 0.031611 x 730 = 23.07603 a core, 0.004237 x 730 = 3.09301 a GiB
    assert DEFAULT_PRICES.per_month("cpu") == pytest.approx(23.07603)
    assert DEFAULT_PRICES.per_month("memory") == pytest.approx(3.09301)
    assert (DEFAULT_PRICES.source, DEFAULT_PRICES.currency) == ("OpenCost default prices", "USD")


def test_the_guides_container():
    # 500m/1Gi costs 11.538 + 3.093 = 14.63; 100m/256Mi costs 2.3076 + 0.77325 = 3.08 a month
    got = paper(rows(change(0.5, 0.1), change(GIB, 256 * MIB, resource="memory")), DEFAULT_PRICES)
    assert got["request_cost"].sum() == pytest.approx(14.63, abs=0.005)
    assert got["request_cost"].sum() - got["paper"].sum() == pytest.approx(3.08, abs=0.005)
    assert got["unit_price"].tolist() == pytest.approx([23.07603, 3.09301])


def test_replicas_multiply_and_an_increase_costs():
    # (0.5 - 0.1) x 2.5 = 1; (0.1 - 0.3) x 2 = -0.4
    got = paper(rows(change(0.5, 0.1, replicas=2.5), change(0.1, 0.3, replicas=2, change="increase")), CHEAP)
    assert got["paper"].tolist() == pytest.approx([1.0, -0.4])


def test_the_plain_rule_is_priced_beside():
    got = paper(rows(change(0.5, 0.25, rule_request=0.1)), CHEAP)
    assert got[["paper", "paper_rule", "request_cost"]].iloc[0].tolist() == pytest.approx([0.25, 0.4, 0.5])


@pytest.mark.parametrize("field", ["current_request", "guarded_request", "replicas"])
def test_what_is_unknown_has_no_saving(field):
    got = paper(rows(change(0.5, 0.1) | {field: np.nan}), CHEAP)
    assert math.isnan(got["paper"].iloc[0])
    assert got["reasons"].iloc[0] == []


@pytest.mark.parametrize("price", [0.0, -1.0, math.nan, math.inf])
def test_f29_a_price_that_is_none_is_not_zero(price):
    kept = Reason(Code.FLOOR, "Kept.")
    frame = rows(change(0.5, 0.1, reasons=[kept]), change(GIB, 0.5 * GIB, resource="memory"))
    got = paper(frame, dataclasses.replace(CHEAP, cpu_hour=price))
    assert got.loc[0, ["paper", "paper_rule", "unit_price", "request_cost"]].isna().all()
    assert [r.code for r in got["reasons"].iloc[0]] == [Code.FLOOR, Code.NO_PRICE]
    assert "price sheet" in got["reasons"].iloc[0][1].message
    assert got["paper"].iloc[1] == pytest.approx(0.5)


def test_priorities_by_paper():
    # savings 60, 30, 8, 2 of 100: 60 + 30 hold 80 %; the increase stays first, the kept row has none
    given = [change(s, 0.0) for s in (8.0, 60.0, 2.0, 30.0)]
    first = change(1.0, 50.0, change="increase", priority="do first")
    kept = change(1.0, 1.0, change="keep", priority="")
    got = paper(rows(*given, first, kept), CHEAP)
    assert got["priority"].tolist() == ["backlog", "plan", "backlog", "plan", "do first", ""]


def test_a_small_saving_is_never_planned_first():
    # 9.99 is all there is to save, but below 10 a month
    assert paper(rows(change(9.99, 0.0)), CHEAP)["priority"].tolist() == ["backlog"]
    assert paper(rows(change(10.0, 0.0)), CHEAP)["priority"].tolist() == ["plan"]


def test_equal_savings_are_ordered_by_id():
    # four of 10: three hold 75 % before the fourth, which is still needed for 80 %; five of 10: four do
    got = paper(rows(*[change(10.0, 0.0) for _ in range(5)]), CHEAP)
    assert got["priority"].tolist() == ["plan"] * 4 + ["backlog"]


def test_no_rows():
    assert len(paper(rows().iloc[:0], CHEAP)) == 0


def test_the_argument_is_not_changed():
    frame = rows(change(0.5, 0.1, reasons=[]))
    before = frame.copy(deep=True)
    paper(frame, dataclasses.replace(CHEAP, cpu_hour=0.0))
    pd.testing.assert_frame_equal(frame, before)
    assert frame["reasons"].iloc[0] == []
