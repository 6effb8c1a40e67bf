"""Why a period cost what it did: each cause by hand, parts that add up exactly, and which periods are compared."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aiops_analysis.analysis.bridge import CAUSES, bridge, total_cost
from aiops_analysis.core.contract import blank, check, empty
from aiops_analysis.core.schema_money import BRIDGE, COSTS, NODE_COSTS
from aiops_analysis.core.window import Window
from aiops_analysis.history.store import Store, open_store
from aiops_analysis.workflows.costs import Bridge, bridge_of, costs_of
from tests.money_store import container, demo_prices, node, prices, put, stored

NAN = math.nan
DEMO = Path(__file__).parents[1] / "data" / "demo" / "history"


def row(workload: str, pods: float, request: float, allocated: float, price: float, **more: object) -> dict[str, object]:
    """A row of COSTS: pod hours, CPU hours asked and allocated, price of a core hour; memory costs nothing."""
    out = blank(COSTS) | {"day": "2026-11-03", "namespace": "shop", "workload_kind": "Deployment", "workload": workload, "pool": "general"}
    out |= {"pod_hours": pods, "cpu_request_hours": request, "cpu_allocated_hours": allocated, "cpu_cost": allocated * price}
    out |= {"memory_request_hours": 0.0, "memory_allocated_hours": 0.0, "memory_cost": 0.0}
    return out | {"cost": allocated * price} | more


def costs(*rows: dict[str, object]) -> pd.DataFrame:
    return check(pd.DataFrame(list(rows)), COSTS) if rows else empty(COSTS)


def idle(*of_pool: tuple[str, float, float]) -> pd.DataFrame:
    """NODE_COSTS of (pool, idle CPU cost, idle memory cost)."""
    rows = [
        blank(NODE_COSTS) | {"day": "2026-11-03", "pool": p, "cpu_idle_cost": c, "memory_idle_cost": m, "idle_cost": c + m}
        for p, c, m in of_pool
    ]
    return check(pd.DataFrame(rows), NODE_COSTS) if rows else empty(NODE_COSTS)


def amounts(frame: pd.DataFrame) -> dict[str, float]:
    return {cause: amount for cause, amount in zip(frame["cause"], frame["amount"], strict=True) if abs(amount) > 1e-12}


def test_one_workload_by_hand() -> None:
    # 10 pod hours of 2 cores, 4 core hours above, at 0.10; then 12 pod hours of 1.5 cores, 6 above, at 0.12
    before, after = costs(row("api", 10, 20, 24, 0.10)), costs(row("api", 12, 18, 24, 0.12))
    got = bridge(before, idle(("general", 10.0, 3.0)), after, idle(("general", 15.0, 2.0)))
    assert got["cause"].tolist() == list(CAUSES)
    assert amounts(got) == pytest.approx(
        {
            "before": 2.4 + 13.0,
            "price": 24 * 0.02 + 10.0 * 0.2,  # the old hours and the old idle cores, a fifth dearer
            "replicas": 2 * 2.0 * 0.12,  # two more pod hours of the old two cores
            "requests": 12 * -0.5 * 0.12,
            "usage above requests": 2 * 0.12,
            "idle": 17.0 - 13.0 - 2.0,
            "after": 2.88 + 17.0,
        }
    )
    details = got.set_index("cause")["detail"]
    assert details["price"] == "idle nodes of general +2.00, shop/api +0.48"
    assert details["requests"] == "shop/api -0.72"
    assert details["before"] == details["after"] == details["new workloads"] == ""


def test_new_and_gone_workloads_are_whole() -> None:
    before = costs(row("old", 1, 10, 10, 0.10), row("api", 1, 1, 1, 0.10))
    after = costs(row("new", 1, 30, 30, 0.20), row("api", 1, 1, 1, 0.10))
    got = bridge(before, idle(), after, idle())
    assert amounts(got) == pytest.approx({"before": 1.1, "new workloads": 6.0, "gone workloads": -1.0, "after": 6.1})
    assert got.set_index("cause").loc["gone workloads", "detail"] == "shop/old -1.00"


def test_a_move_to_cheaper_nodes_is_price() -> None:
    before = costs(row("api", 10, 10, 10, 0.10))
    after = costs(row("api", 10, 10, 10, 0.04, pool="spot"))
    got = bridge(before, idle(("general", 1.0, 0.0)), after, idle(("spot", 2.0, 0.0)))
    assert amounts(got) == pytest.approx({"before": 2.0, "price": -0.6, "idle": 1.0, "after": 2.4})


def test_the_largest_are_named_first_and_made_visible() -> None:
    names = ["a", "b\u202e", "c", "d"]
    before = costs(*(row(name, 1, 10, 10, 0.1) for name in names))
    after = costs(*(row(name, 1, 10 * factor, 10 * factor, 0.1) for name, factor in zip(names, (2, 0.5, 4, 1.001), strict=True)))
    got = bridge(before, idle(), after, idle()).set_index("cause")["detail"]
    assert got["requests"] == "shop/c +3.00, shop/a +1.00, shop/b\\u202e -0.50"


def test_random_periods_add_up() -> None:
    rng = np.random.default_rng(11)

    def period(names: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
        rows = []
        for name in names:
            pods, request = rng.choice([0.0, 1.0, 700.0]), rng.choice([0.0, 3.0, 900.0]) * rng.random()
            used = request + rng.choice([0.0, 5.0]) * rng.random()
            one = row(name, pods, request, used, rng.random(), pool=str(rng.choice(["general", "spot"])))
            memory = rng.random() * 100
            memory_cost = memory * rng.random()
            one |= {"memory_request_hours": memory / 2, "memory_allocated_hours": memory, "memory_cost": memory_cost}
            rows.append(one | {"cost": one["cpu_cost"] + memory_cost})
        return costs(*rows), idle(("general", rng.random() * 50, rng.random() * 9), ("spot", rng.random(), 0.0))

    for _ in range(20):
        before, after = period(["a", "b", "c", "d"]), period(["b", "c", "d", "e", "f"])
        got = bridge(*before, *after)
        assert got["amount"].iloc[:-1].sum() == pytest.approx(got["amount"].iloc[-1], abs=1e-9)
        assert got["amount"].iloc[-1] - got["amount"].iloc[0] == pytest.approx(total_cost(*after) - total_cost(*before), abs=1e-9)


def test_what_is_not_known_and_what_is_empty() -> None:
    unknown = costs(row("api", 10, 10, 10, NAN))
    assert math.isnan(total_cost(unknown, idle()))
    assert total_cost(costs(row("api", 1, 1, 1, 2.0)), idle(("general", 1.0, NAN))) == 2.0  # an unknown part
    got = bridge(empty(COSTS), idle(), costs(row("api", 1, 1, 1, 2.0)), idle())
    assert amounts(got) == {"new workloads": 2.0, "after": 2.0}


def test_nothing_is_changed() -> None:
    frames = [costs(row("api", 10, 20, 24, 0.1)), idle(("general", 1.0, 1.0)), costs(row("api", 9, 9, 9, 0.1)), idle(("spot", 1.0, 1.0))]
    copies = [frame.copy() for frame in frames]
    bridge(*frames)
    for frame, copy in zip(frames, copies, strict=True):
        pd.testing.assert_frame_equal(frame, copy)


START = date(2026, 10, 5)  # a Monday


@pytest.fixture
def filled(tmp_path: Path) -> Callable[..., Store]:
    """``filled(days, without)`` is a history from START on whose one pod asks for half a core, and for one core from the 15th day on."""

    def make(days: int, without: tuple[int, ...] = ()) -> Store:
        store = stored(tmp_path)
        for number in range(days):
            day = START + timedelta(days=number)
            if number not in without:
                key = ("shop", "Deployment", "web", "web-0", "app")
                put(store, day, [container(day, cpu=0.5 if number < 14 else 1.0)], [node(day)], {key: 0.1}, {key: 0.1})
        return store

    return make


def bridged(store: Store, last: int, days: int, asked: list[Window] | None = None) -> Bridge:
    window, found = Window.of_days(START + timedelta(days=last), days), prices(n1=(0.03, 0.004))

    def price_of(earlier: Window) -> pd.DataFrame:
        if asked is not None:
            asked.append(earlier)
        return found

    return bridge_of(store, window, costs_of(store, window, found), price_of)


def test_the_window_before(filled: Callable[..., Store]) -> None:
    asked: list[Window] = []
    got = bridged(filled(28), 27, 14, asked)
    assert asked == [Window.of_days(START + timedelta(days=13), 14)]
    assert list(check(got.frame, BRIDGE).columns) == list(BRIDGE.columns)
    assert got.words == "2026-10-19 to 2026-11-01 against 2026-10-05 to 2026-10-18 (UTC), 14 days each, not scaled to a month."
    # half a core more for 14 days, and as much less idle: the node costs what it cost
    freed = 0.5 * 0.03 * 24 * 14
    node_cost = (4 * 0.03 + 16 * 0.004) * 24 * 14
    assert amounts(got.frame) == pytest.approx({"before": node_cost, "requests": freed, "idle": -freed, "after": node_cost})


def test_half_of_the_window_where_nothing_is_stored_before(filled: Callable[..., Store]) -> None:
    asked: list[Window] = []
    got = bridged(filled(30), 29, 30, asked)
    assert asked == []
    assert (got.before[0], got.before[-1]) == (date(2026, 10, 7), date(2026, 10, 20))
    assert (got.after[0], got.after[-1]) == (date(2026, 10, 21), date(2026, 11, 3))
    assert got.words.startswith(
        "Less than half of the 30 days before the window is stored, so its last 14 days stand beside the 14 before."
    )


def test_f17_pairs_of_days_that_are_not_whole_are_left_out(filled: Callable[..., Store]) -> None:
    got = bridged(filled(28, without=(3, 20)), 27, 14)
    assert len(got.before) == len(got.after) == 12
    assert START + timedelta(days=17) not in got.after  # its partner is the fourth day
    assert got.words.endswith("2 pairs of days are left out, because one of the two is not whole in the history.")
    assert got.frame.set_index("cause").loc["requests", "amount"] == pytest.approx(0.5 * 0.03 * 24 * 12)


@pytest.mark.parametrize(("days", "stored_days", "before"), [(13, 13, 0), (6, 6, 6), (28, 10, 0)])
def test_too_short_to_compare(filled: Callable[..., Store], days: int, stored_days: int, before: int) -> None:
    store = filled(stored_days + before)
    got = bridged(store, stored_days + before - 1, days)
    assert (len(got.frame), got.before, got.after) == (0, (), ())
    want = (
        f"No comparison: it needs 7 whole days on each side, and {stored_days} days are stored in this window, {before} in the one before."
    )
    assert got.words == want


def test_f29_without_a_price_there_is_no_bridge(filled: Callable[..., Store]) -> None:
    store, window = filled(28), Window.of_days(START + timedelta(days=27), 14)
    got = bridge_of(store, window, costs_of(store, window, prices(n1=(0.03, 0.004))), lambda _: prices())
    assert (len(got.frame), got.words) == (0, "No comparison: the cost of one of the two periods is not known.")


def test_a_bill_of_one_period_alone_is_no_change_of_price(filled: Callable[..., Store]) -> None:
    store, window = filled(28), Window.of_days(START + timedelta(days=27), 14)
    listed = prices(n1=(0.03, 0.004))
    billed = prices(n1=(0.06, 0.008)).assign(basis="billing")
    want = "No comparison: the billing export prices one of the two periods and not the other; give one that covers both."
    for now, then in ((billed, listed), (listed, billed)):
        got = bridge_of(store, window, costs_of(store, window, now), lambda _, then=then: then)
        assert (len(got.frame), got.words) == (0, want)
    both = bridge_of(store, window, costs_of(store, window, billed), lambda _: billed)
    assert both.frame.set_index("cause").loc["price", "amount"] == pytest.approx(0.0, abs=1e-9)


def test_the_demo_has_a_bridge() -> None:
    store = open_store(DEMO, "demo")
    window = Window.of_days(store.days("cpu_usage")[-1], 28)
    found = demo_prices(store, window)
    got = bridge_of(store, window, costs_of(store, window, found), lambda _: found).frame
    assert got["amount"].iloc[:-1].sum() == pytest.approx(got["amount"].iloc[-1], abs=1e-9)
    assert "shop/assistant" in got.set_index("cause").loc["new workloads", "detail"]
