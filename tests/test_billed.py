"""What an hour of a node really cost: shares of charges, scale sets, the basis (methods.md B6)."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from aiops_analysis.analysis.billed import Basis, Matched, basis_of, billed_nodes
from aiops_analysis.analysis.provider_ids import machines_of
from aiops_analysis.core.errors import UsageError
from tests import focus

BEGIN = int(focus.START.timestamp())


def charges(*rows: tuple[int, float, float, float]) -> pd.DataFrame:
    """Key, from hour, to hour, cost."""
    frame = pd.DataFrame(rows, columns=["key", "start", "end", "cost"])
    for name in ("start", "end"):
        frame[name] = BEGIN + (frame[name] * 3600).astype("int64")
    return frame


def bill(nodes: pd.DataFrame, *rows: tuple[int, float, float, float], covered: tuple[float, float] = (0, 24), hours: int = 24) -> Matched:
    spans = tuple(np.array([BEGIN + hour * 3600]) for hour in covered)
    return billed_nodes(charges(*rows), machines_of(nodes), nodes, focus.window(hours), spans, {0: "res"})


def aws(*lives: tuple[float, float]) -> pd.DataFrame:
    return focus.nodes(*(focus.node(f"n{n}", f"aws:///z/i-{n}", *life) for n, life in enumerate(lives)))


def test_hours_of_one_machine() -> None:
    # 24 hours of 0.10 on a node that lived all of them; nothing of the second node
    got = bill(aws((0, 24), (0, 24)), *((0, hour, hour + 1, 0.10) for hour in range(24)))
    assert got.frame.to_dict("records") == [
        {
            "node": "n0",
            "cost": pytest.approx(2.4),
            "hours": 24.0,
            "price_hour": pytest.approx(0.10),
            "resource_id": "res",
            "matched_by": "instance id",
        }
    ]
    assert (got.node_hours, got.covered_hours, got.matched_hours, got.rate) == (48, 48, 24, 0.5)


def test_a_part_of_an_hour_is_a_part_of_its_price() -> None:
    # 20 minutes of life, charged 0.34 for that hour: the machine's price is 0.34 / (1/3) = 1.02, as nobody else used the hour
    got = bill(aws((0, 24), (5, 5 + 1 / 3)), *((0, h, h + 1, 1.0) for h in range(24)), (1, 5, 6, 0.34))
    assert got.frame.loc[1, ["cost", "hours", "price_hour"]].tolist() == [pytest.approx(v) for v in (0.34, 1 / 3, 1.02)]


def test_a_period_longer_than_the_window_is_cut() -> None:
    # a month of 720 h for 72.0, a window of one day: 24 h for 2.4, as the node was there at both ends of the history
    got = bill(aws((0, 24)), (0, -100, 620, 72.0))
    assert got.frame.loc[0, ["cost", "hours", "price_hour"]].tolist() == [pytest.approx(2.4), 24.0, pytest.approx(0.1)]
    # one that came in hour 12 was not there before: of the period only 12 h and the 596 h after the window are its own
    late = bill(aws((0, 24), (12, 24)), (1, -100, 620, 60.8))
    assert late.frame.loc[0, ["cost", "hours"]].tolist() == [pytest.approx(60.8 * 12 / 608), 12.0]


def test_a_scale_set_is_shared_by_the_hours_of_its_nodes() -> None:
    path = "azure:///subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachineScaleSets/x/virtualMachines"
    nodes = focus.nodes(focus.node("a", f"{path}/0"), focus.node("b", f"{path}/1", 0, 12), focus.node("c", f"{path}/2", 12, 24))
    # one day for 9.6: 24 + 12 + 12 = 48 node hours, 0.20 each
    got = bill(nodes, (0, 0, 24, 9.0), (0, 0, 24, 0.6))
    assert got.frame[["node", "cost", "hours", "price_hour"]].to_numpy().tolist() == [
        ["a", pytest.approx(4.8), 24.0, pytest.approx(0.2)],
        ["b", pytest.approx(2.4), 12.0, pytest.approx(0.2)],
        ["c", pytest.approx(2.4), 12.0, pytest.approx(0.2)],
    ]
    assert set(got.frame["matched_by"]) == {"scale set"}


def test_charges_of_hours_in_which_the_node_was_not_there_are_not_its_own() -> None:
    got = bill(aws((0, 24), (6, 12)), *((1, hour, hour + 1, 0.5) for hour in range(24)))
    assert got.frame.loc[0, ["cost", "hours"]].tolist() == [pytest.approx(3.0), 6.0]


def test_a_hole_in_the_history_is_no_hole_in_the_bill() -> None:
    nodes = focus.nodes(focus.node("n", "aws:///z/i-0", 0, 4), focus.node("n", "aws:///z/i-0", 20, 24))
    got = bill(nodes, (0, 0, 24, 2.4))
    assert got.frame.loc[0, ["hours", "price_hour"]].tolist() == [24.0, pytest.approx(0.1)]


def test_a_node_that_came_back_as_another_machine() -> None:
    nodes = focus.nodes(focus.node("n", "aws:///z/i-0", 0, 10), focus.node("n", "aws:///z/i-1", 10, 24))
    got = bill(nodes, *((0, h, h + 1, 0.1) for h in range(10)), *((1, h, h + 1, 0.3) for h in range(10, 24)))
    assert got.frame.loc[0, ["cost", "hours"]].tolist() == [pytest.approx(1.0 + 4.2), 24.0]


def test_f29_a_correction_lowers_its_own_period_and_nothing_else() -> None:
    got = bill(aws((0, 24)), *((0, h, h + 1, 0.1) for h in range(24)), (0, 3, 4, -0.1), (0, 30, 31, -5.0))
    assert got.frame.loc[0, ["cost", "hours"]].tolist() == [pytest.approx(2.3), 24.0]


def test_f29_billed_at_nothing_is_no_price() -> None:
    got = bill(aws((0, 24), (0, 24), (0, 24)), (0, 0, 24, 0.0), (1, 0, 24, -1.0), (2, 0, 24, 2.4))
    assert got.frame["node"].tolist() == ["n2"]
    assert got.free == ("n0", "n1")
    assert got.rate == pytest.approx(1 / 3)  # their hours are not matched


def test_only_hours_that_the_export_covers_are_asked_for() -> None:
    got = bill(aws((0, 24)), *((0, h, h + 1, 0.1) for h in range(6)), covered=(0, 6))
    assert (got.node_hours, got.covered_hours, got.matched_hours, got.rate) == (24, 6, 6, 1.0)


def test_nothing_covered_is_no_rate() -> None:
    assert math.isnan(bill(aws((0, 24)), covered=(0, 0)).rate)
    assert math.isnan(bill(focus.nodes()).rate)


def test_no_argument_is_changed() -> None:
    nodes, rows = aws((0, 24)), charges((0, 0, 24, 1.0))
    before = nodes.copy(deep=True), rows.copy(deep=True)
    billed_nodes(rows, machines_of(nodes), nodes, focus.window(), (np.array([BEGIN]), np.array([BEGIN + 86400])))
    pd.testing.assert_frame_equal(nodes, before[0])
    pd.testing.assert_frame_equal(rows, before[1])


def costs(effective: list[float], billed: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"EffectiveCost": effective, "BilledCost": billed})


def test_f29_the_gate_of_effective_cost() -> None:
    assert basis_of(costs([0.6, 0.6], [1, 1])) == Basis("EffectiveCost")
    low = basis_of(costs([0.4, 0.4], [1, 1]))  # 0.8 of 2: 40 %
    assert (low.name, low.why) == ("BilledCost", "EffectiveCost adds up to 0.80 where BilledCost is 2.00")
    rounded = basis_of(costs([0, 0, 2], [0.4, 0.4, 1.6]))  # 83 % of the sum, but two of three rows have none
    assert (rounded.name, rounded.why) == ("BilledCost", "2 of 3 billed charges have an EffectiveCost of 0")
    assert basis_of(costs([2.0], [1.6]), charged=658, charged_without=610).name == "BilledCost"
    assert basis_of(costs([2.0], [1.6]), charged=658, charged_without=300).name == "EffectiveCost"
    assert basis_of(costs([0.5], [0.0])) == Basis("EffectiveCost")  # used commitments: nothing billed, a share amortised
    assert basis_of(costs([], [])) == Basis("EffectiveCost")


def test_f29_with_purchases_the_gate_only_doubts() -> None:
    said = basis_of(costs([0.0], [1.0]), purchases=1)
    assert said.name == "EffectiveCost"
    assert "commitments are bought" in said.why


def test_f29_a_basis_is_never_mixed_by_row() -> None:
    nan = float("nan")
    some = basis_of(costs([1.0, nan], [1.0, 1.0]))
    assert (some.name, some.why) == ("BilledCost", "1 of 2 charges have no EffectiveCost")
    assert basis_of(costs([1.0, 1.0], [1.0, nan])).name == "EffectiveCost"
    with pytest.raises(UsageError, match="without EffectiveCost and without BilledCost"):
        basis_of(costs([1.0, nan], [nan, 1.0]))
