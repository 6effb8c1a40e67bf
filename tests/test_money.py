"""The money of a review of the demo at odd prices: what a sum leaves out, and what is still paid for, is said beside it."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from aiops_analysis.analysis.policy import SizingPolicy
from aiops_analysis.core.pricing import PriceList, PriceRow
from aiops_analysis.history.store import open_store
from aiops_analysis.workflows.money import Asked, Money
from aiops_analysis.workflows.review import monthly, review_window

DEMO = Path(__file__).resolve().parents[1] / "data" / "demo" / "history"


@pytest.fixture(scope="module")
def money() -> Money:
    """Only the nodes of one pool have a price, and all four of them are paid for until January."""
    row = PriceRow(pool="analytics", price_hour=0.2, committed_nodes=4, committed_until=date(2027, 1, 31))
    store = open_store(DEMO, "demo")
    return monthly(store, review_window(store, days=14), SizingPolicy(), Asked(PriceList("price-sheet", "sheet", "EUR", rows=(row,)))).money


def condition(money: Money, number: str, scope: str, name: str) -> str:
    found = money.savings
    return str(found.loc[(found["number"] == number) & (found["scope"] == scope) & (found["name"] == name), "condition"].iloc[0])


def test_a_node_under_a_commitment_saves_nothing_and_the_condition_says_so(money: Money) -> None:
    assert (money.figures["bankable_month"], money.figures["nodes_freed"]) == (0.0, 1)
    assert money.figures["committed_month"] == pytest.approx(0.2 * 730)
    want = "1 of 4 nodes go, still paid for until 2027-01-31 under a commitment"
    assert condition(money, "bankable", "pool", "analytics") == want
    assert "analytics, still paid for until 2027-01-31 under a commitment" in condition(money, "bankable", "cluster", "demo")


def test_f29_paper_says_how_many_recommendations_no_price_is_known_for(money: Money) -> None:
    assert condition(money, "paper", "cluster", "demo").endswith("have no price and are not in it")
    assert condition(money, "paper", "namespace", "analytics") == "its recommendations are applied"
    assert condition(money, "paper", "namespace", "staging").endswith("have no price and are not in it")
