"""The formula and its split against a plain sum over node-hours, and what keeps a frame as it is (methods.md B3)."""

from __future__ import annotations

import math

import numpy as np
import pytest

from aiops_analysis.analysis.applied import applied_of
from aiops_analysis.analysis.node_prices import node_prices
from aiops_analysis.analysis.realised import cluster_line, shares_of
from aiops_analysis.core.schema_money import NODE_PRICES
from aiops_analysis.workflows.ledger import ledger_from
from aiops_analysis.workflows.slices import to_past
from tests.ledger_history import CORE, NodeOf, Run, cut, day_of, decision, folder_of, in_memory, run

DAYS = range(-28, 41)
RNG = np.random.default_rng(4)
#: By day: hour at which the last node of each pool goes or comes, and pods of the two workloads that tell the work.
HOURS = {day: [int(h) for h in RNG.integers(1, 24, 2)] for day in DAYS}
COUNT = {day: [int(n) for n in RNG.integers(2, 7, 2)] for day in DAYS}
AFTER = {"web": 0, "app": 12}


def machines(day: int) -> list[NodeOf]:
    """Two pools; in each the last node comes at some hour of the day. Nodes of red are larger."""
    blue = [NodeOf(f"b{n}", "blue", 4.0) for n in range(5 if day < 3 else 4)]
    red = [NodeOf(f"r{n}", "red", 8.0) for n in range(3)]
    more = [NodeOf("b-last", "blue", 4.0, first=HOURS[day][0]), NodeOf("r-last", "red", 8.0, first=HOURS[day][1])]
    return [*blue, *red, *more]


def pods(day: int) -> list[Run]:
    web, app = 1.0 if day >= AFTER["web"] else 2.5, 0.5 if day >= AFTER["app"] else 2.0
    work = [run("api", COUNT[day][0], 0.75, node="b0"), run("cart", COUNT[day][1], 0.5, node="r0")]
    return [run("web", 2, web, node="b1"), run("web", 1, web, node="r1"), run("app", 2, app, node="b1"), *work]


def brute(pool: str, days: range) -> tuple[float, float]:
    """(node-hours, core-hours of the work) of a pool, hour by hour."""
    nodes = work = 0.0
    for day in days:
        for hour in range(24):
            up = {node.name for node in machines(day) if node.pool == pool and node.first <= hour < node.last}
            nodes += len(up)
            where = {node.name for node in machines(day) if node.pool == pool}
            work += sum(one.count * one.cpu for one in pods(day) if one.workload in ("api", "cart") and one.node in where)
    return nodes, work


def prices(pool: str) -> float:
    return {"blue": 4.0, "red": 8.0}[pool] / 730


def past_and_applied():
    read = in_memory(DAYS, pods, machines)
    raw = read(day_of(-28), day_of(40))
    past = to_past(raw, node_prices(raw.machines, CORE))
    two = (decision(1, cut("web", 2.5, 1.0)), decision(2, cut("app", 2.0, 0.5), on=day_of(10)))
    return past, [applied_of(one, past) for one in two]


def test_the_formula_is_a_plain_sum_over_node_hours() -> None:
    past, applied = past_and_applied()
    shares = shares_of(past, applied)
    for part in shares["0001"].parts:
        pool = past.pools[part.terms.pool]
        n0, w0 = brute(pool, range(-28, 0))
        n1, w1 = brute(pool, range(1, 41))
        expected = (n0 / w0 * w1 - n1) * prices(pool)
        assert float(part.terms.saved[shares["0001"].reporting].sum()) == pytest.approx(expected), pool


def test_the_split_is_by_freed_requests_and_hours() -> None:
    # blue: web frees 2 x 1.5 = 3 cores from day 1 on, app 2 x 1.5 = 3 cores from day 12 on: all of it, then half of it, is web's
    past, applied = past_and_applied()
    shares = shares_of(past, applied)
    blue = next(part for part in shares["0001"].parts if past.pools[part.terms.pool] == "blue")
    assert blue.terms.drop.tolist() == [0.0, 0.0]
    n0, w0 = brute("blue", range(-28, 0))
    expected = 0.0
    for day in range(1, 41):
        n1, w1 = brute("blue", range(day, day + 1))
        expected += (n0 / w0 * w1 - n1) * prices("blue") * (1.0 if day < AFTER["app"] else 0.5)
    assert float(blue.part[shares["0001"].reporting].sum()) == pytest.approx(expected)
    # both shares share one baseline, so no hour of a node is given away twice
    app = next(part for part in shares["0002"].parts if past.pools[part.terms.pool] == "blue")
    both = shares["0002"].reporting
    assert (blue.part + app.part)[both].sum() == pytest.approx(blue.terms.saved[both].sum())


def test_realised_never_exceeds_paper_and_what_is_left_is_not_attributable() -> None:
    past, applied = past_and_applied()
    shares = shares_of(past, applied)
    for share in shares.values():
        assert 0 <= share.realised <= share.paper + 1e-9
    line = cluster_line(past, list(shares.values()))
    assert line is not None
    n0 = sum(brute(pool, range(-28, 0))[0] for pool in ("blue", "red")) / (28 * 24)
    assert line.nodes_before == pytest.approx(n0)


def test_paper_now_is_freed_requests_times_price() -> None:
    # web: 3 pods x 1.5 cores; app: 2 pods x 1.5 cores; a core costs 1 a month in both pools
    past, applied = past_and_applied()
    shares = shares_of(past, applied)
    assert (shares["0001"].paper, shares["0002"].paper) == (pytest.approx(4.5), pytest.approx(3.0))


def test_nothing_is_changed_that_was_handed_in() -> None:
    raw = in_memory(DAYS, pods, machines)(day_of(-28), day_of(40))
    before = [frame.copy(deep=True) for frame in (raw.slices, raw.asked, raw.standing, raw.machines)]
    ledger_from(lambda *_: raw, "prod", folder_of(decision(1, cut("web", 2.5, 1.0), paper=4.0)), day_of(40), CORE)
    for one, then in zip((raw.slices, raw.asked, raw.standing, raw.machines), before, strict=True):
        assert one.equals(then)


def test_a_frame_of_node_prices_is_taken_as_it_is() -> None:
    import pandas as pd

    rows = [("b0", "blue", 4 / 730), ("r0", "red", math.nan)]
    frame = pd.DataFrame(
        [
            {"node": node, "pool": pool, "price_hour": price, "cpu_hour": price / 4, "memory_hour": 0.0, "basis": "sheet"}
            | {"source": "a sheet", "matched_by": "node"}
            for node, pool, price in rows
        ],
        columns=list(NODE_PRICES.columns),
    )
    read = in_memory(DAYS, pods, machines)
    only_blue = cut("app", 2.0, 0.5)
    found = ledger_from(read, "prod", folder_of(decision(1, only_blue, paper=3.0, on=day_of(10))), day_of(40), frame)
    row = found.rows.iloc[0]
    # nodes without a price of their own cost what their pool's do
    assert (found.price_source, row["outcome"], row["paper_now"]) == ("a sheet", "measured", pytest.approx(3.0))
    both = ledger_from(read, "prod", folder_of(decision(1, cut("web", 2.5, 1.0), paper=4.0)), day_of(40), frame)
    assert both.rows.iloc[0]["cause"] == "the nodes of its pool have no price"
