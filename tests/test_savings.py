"""Paper savings: prices, the guide's example, what has no price."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest

from aiops_analysis.analysis.savings import DEFAULT_PRICES, PriceBook, paper, split_node_price
from aiops_analysis.core.errors import UsageError
from aiops_analysis.core.reasons import Code, Reason
from aiops_analysis.core.schema import RECOMMENDATIONS, check
from aiops_analysis.core.units import GIB, MIB

CHEAP = PriceBook(name="own", source="price sheet", currency="EUR", cpu_hour=1 / 730, memory_hour=1 / 730)  # 1 a month


def rows(*given: dict[str, object]) -> pd.DataFrame:
    """RECOMMENDATIONS with defaults: ids r0, r1, ... and one replica."""
    out = []
    for number, row in enumerate(given):
        base = {n: "" if k == "str" else [] if k == "object" else 0 if k == "int64" else np.nan for n, k in RECOMMENDATIONS.columns.items()}
        base |= {"id": f"r{number}", "workload": f"w{number}", "resource": "cpu", "replicas": 1.0, "change": "decrease"}
        out.append(base | row)
    return check(pd.DataFrame(out, columns=list(RECOMMENDATIONS.columns)), RECOMMENDATIONS)


def change(current: float, guarded: float, **more: object) -> dict[str, object]:
    return {"current_request": current, "guarded_request": guarded, "rule_request": guarded, **more}


def test_the_default_prices_of_a_month() -> None:
    # 0.031611 x 730 = 23.07603 a core, 0.004237 x 730 = 3.09301 a GiB
    assert DEFAULT_PRICES.unit_price("cpu") == pytest.approx(23.07603)
    assert DEFAULT_PRICES.unit_price("memory") == pytest.approx(3.09301)
    assert DEFAULT_PRICES.currency == "USD"
    assert "OpenCost" in DEFAULT_PRICES.source


def test_a_node_price_is_split_as_opencost_does() -> None:
    # 4 cores and 16 GiB at 0.192 an hour; 4 x 0.0312471 + 16 x 0.0041882 = 0.1920
    cpu, memory = split_node_price(0.192, 4, 16)
    assert (round(cpu, 7), round(memory, 7)) == (0.0312471, 0.0041882)
    assert 4 * cpu + 16 * memory == pytest.approx(0.192)
    free = dataclasses.replace(DEFAULT_PRICES, memory_hour=0.0)
    cpu, memory = split_node_price(0.56, 4, 16, free)  # without a ratio OpenCost takes 10: 0.56 / (40 + 16) = 0.01
    assert (cpu, memory) == (pytest.approx(0.1), pytest.approx(0.01))
    with pytest.raises(UsageError, match="above 0"):
        split_node_price(0.192, 0, 16)


def test_the_guides_container() -> None:
    # 500m/1Gi costs 11.538 + 3.093 = 14.63; 100m/256Mi costs 2.3076 + 0.77325 = 3.08 a month: 78.9 % less
    got = paper(rows(change(0.5, 0.1), change(GIB, 256 * MIB, resource="memory")), DEFAULT_PRICES)
    assert got["request_cost"].sum() == pytest.approx(14.63, abs=0.005)
    assert got["request_cost"].sum() - got["paper"].sum() == pytest.approx(3.08, abs=0.005)
    assert got["paper"].sum() / got["request_cost"].sum() == pytest.approx(0.789, abs=0.0005)
    assert got["unit_price"].tolist() == pytest.approx([23.07603, 3.09301])


def test_replicas_multiply_and_an_increase_costs() -> None:
    # (0.5 - 0.1) x 2.5 = 1; (0.1 - 0.3) x 2 = -0.4
    got = paper(rows(change(0.5, 0.1, replicas=2.5), change(0.1, 0.3, replicas=2, change="increase")), CHEAP)
    assert got["paper"].tolist() == pytest.approx([1.0, -0.4])


def test_the_plain_rule_is_priced_beside() -> None:
    got = paper(rows(change(0.5, 0.25, rule_request=0.1)), CHEAP)
    assert got[["paper", "paper_rule", "request_cost"]].iloc[0].tolist() == pytest.approx([0.25, 0.4, 0.5])


def test_a_request_that_is_not_set_reserves_what_kubernetes_reserves() -> None:
    # the limit where only that is set: 0.5 - 0.1 = 0.4; nothing where nothing is: 0 - 0.1
    got = paper(rows(change(np.nan, 0.1, current_limit=0.5), change(np.nan, 0.1)), CHEAP)
    assert got["paper"].tolist() == pytest.approx([0.4, -0.1])
    assert got["request_cost"].tolist() == pytest.approx([0.5, 0.0])


@pytest.mark.parametrize("field", ["guarded_request", "replicas"])
def test_what_is_unknown_has_no_saving(field: str) -> None:
    got = paper(rows(change(0.5, 0.1) | {field: np.nan}), CHEAP)
    assert math.isnan(got["paper"].iloc[0])
    assert got["reasons"].iloc[0] == []


@pytest.mark.parametrize("price", [0.0, -1.0, math.nan, math.inf])
def test_f29_a_price_that_is_none_is_not_zero(price: float) -> None:
    kept = Reason(Code.FLOOR, "Kept.")
    frame = rows(change(0.5, 0.1, reasons=[kept]), change(GIB, 0.5 * GIB, resource="memory"))
    got = paper(frame, dataclasses.replace(CHEAP, cpu_hour=price))
    assert got.loc[0, ["paper", "paper_rule", "unit_price", "request_cost"]].isna().all()
    assert [r.code for r in got["reasons"].iloc[0]] == [Code.FLOOR, Code.NO_PRICE]
    assert "price sheet" in got["reasons"].iloc[0][1].message
    assert got["paper"].iloc[1] == pytest.approx(0.5)


def test_no_rows() -> None:
    assert len(paper(rows().iloc[:0], CHEAP)) == 0


def test_the_argument_is_not_changed() -> None:
    frame = rows(change(0.5, 0.1, reasons=[]))
    before = frame.copy(deep=True)
    paper(frame, dataclasses.replace(CHEAP, cpu_hour=0.0))
    pd.testing.assert_frame_equal(frame, before)
    assert frame["reasons"].iloc[0] == []
