"""Samples above a level, shared cost by its rules, and prices and places of nodes; all by hand."""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import pandas as pd
import pytest

from aiops_analysis.analysis.costs import node_book, over, with_shared
from aiops_analysis.analysis.lifetimes import spans_of
from aiops_analysis.core.errors import UsageError
from aiops_analysis.core.schema import NODES, blank, check, empty
from aiops_analysis.core.schema_money import COSTS
from aiops_analysis.core.window import Window
from tests.money_store import node, prices

DAY = date(2026, 11, 3)
NAN = math.nan


def costs(*rows: tuple[str, str, float], day: str = "2026-11-03") -> pd.DataFrame:
    """COSTS of (namespace, workload, cost)."""
    made = [blank(COSTS) | {"day": day, "namespace": n, "workload": w, "cost": c, "shared_cost": 0.0} for n, w, c in rows]
    return check(pd.DataFrame(made), COSTS)


def test_usage_above_a_level() -> None:
    samples = np.array([[1, 2, NAN, 4], [-1, np.inf, 3, 0.5]], np.float32)
    whole = np.zeros(2, np.int64), np.full(2, 4)
    usage, excess, measured = over(samples, np.array([0, 1]), *whole, np.array([1.5, 1.0]))
    assert usage.tolist() == [7, 3.5]
    assert excess.tolist() == [0.5 + 2.5, 2.0]
    assert measured.tolist() == [3, 2]
    # part of a row, and the same row twice
    usage, excess, measured = over(samples, np.array([0, 0]), np.array([0, 1]), np.array([1, 4]), np.zeros(2))
    assert usage.tolist() == excess.tolist() == [1, 6]
    assert measured.tolist() == [1, 2]
    assert np.isnan(samples[0, 2])


def test_shared_cost_in_proportion() -> None:
    frame = costs(("kube-system", "dns", 3.0), ("monitoring", "p8s", 1.0), ("a", "x", 30.0), ("a", "y", 10.0), ("b", "z", 40.0))
    got = with_shared(frame)
    assert got["shared"].tolist() == [True, True, False, False, False]
    assert got["shared_cost"].tolist() == pytest.approx([0, 0, 1.5, 0.5, 2.0])
    assert frame["shared"].tolist() == [False] * 5


def test_shared_cost_in_equal_parts() -> None:
    frame = costs(("kube-system", "dns", 4.0), ("a", "x", 30.0), ("a", "y", 10.0), ("b", "z", 0.0))
    assert with_shared(frame, rule="uniform")["shared_cost"].tolist() == pytest.approx([0, 1.5, 0.5, 2.0])
    assert with_shared(frame, rule="none")["shared_cost"].tolist() == [0, 0, 0, 0]
    assert with_shared(frame, ["a", "kube-system"], "uniform")["shared_cost"].tolist() == pytest.approx([0, 0, 0, 44])


def test_shared_cost_stays_within_its_day() -> None:
    alone = costs(("kube-system", "dns", 5.0), day="2026-11-04")
    frame = pd.concat([costs(("kube-system", "dns", 3.0), ("a", "x", 1.0), ("b", "y", NAN)), alone], ignore_index=True)
    for rule in ("proportional", "uniform"):
        got = with_shared(frame, rule=rule)
        assert got["shared_cost"].sum() == pytest.approx(3.0)
        assert got.loc[3, "shared_cost"] == 0.0


def test_a_rule_that_is_not_known() -> None:
    with pytest.raises(UsageError, match="proportional, uniform, none, got 'fair'"):
        with_shared(costs(("a", "x", 1.0)), rule="fair")


def test_a_node_that_changes_its_pool() -> None:
    rows = [node(DAY), node(date(2026, 11, 4), pool="spot")]
    nodes = check(pd.DataFrame(rows), NODES)
    window = Window.of_days(date(2026, 11, 4), 2)
    book = node_book(nodes, spans_of(nodes, ("node",), window, [True, True]), prices(n1=(0.03, 0.004), gone=(0.05, 0.01)), 2)
    node_of, day = book.find(pd.Series(["n1", "n1", "gone", "?"], dtype="str")), np.array([0, 1, 1, 1])
    assert book.places["pool"].to_numpy()[book.place_of(node_of, day)].tolist() == ["general", "spot", "general", ""]
    # a node that never lived has no hours, so it does not move the mean
    assert book.price_of(node_of, "cpu").tolist() == [0.03, 0.03, 0.05, pytest.approx(0.03)]
    assert book.priced(node_of).tolist() == [True, True, True, False]


def test_no_node_is_known() -> None:
    nodes = empty(NODES)
    book = node_book(nodes, spans_of(nodes, ("node",), Window.of_days(DAY, 1), [False]), prices(n1=(0.03, 0.004)), 1)
    assert book.price_of(np.array([-1]), "cpu").tolist() == [0.03]
    nothing = node_book(nodes, spans_of(nodes, ("node",), Window.of_days(DAY, 1), [False]), prices(), 1)
    assert np.isnan(nothing.price_of(nothing.find(pd.Series(["n1"], dtype="str")), "memory")).all()
