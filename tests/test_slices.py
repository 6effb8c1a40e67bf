"""The history as slices: days where they are stored, weekly rows where they are not, damaged and unmeasured days left out."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aiops_analysis.core.schema import WEEKLY_CONTAINERS, WEEKLY_POOLS, blank
from aiops_analysis.history.store import Store
from aiops_analysis.history.weekly import replace_weeks, week_of
from aiops_analysis.workflows.ledger import ledger_from, ledger_of
from aiops_analysis.workflows.slices import read_slices
from tests.ledger_history import CORE, CUT, GIB, cut, day_of, decision, folder_of, history, nodes, run

# the cut is a Tuesday; Monday 7 September is day 6
MONDAY = week_of(CUT)
WEB = cut("web", 2.0, 1.0)


def week_rows(week, web: float, count: float, pool_nodes: float, days: int = 7) -> tuple[list[dict], list[dict]]:
    """Weekly rows of 4 pods of web and 4 of api, on ``pool_nodes`` nodes of 4 cores."""
    hours = days * 24.0
    containers, pools = [], []
    for resource in ("cpu", "memory"):
        for workload, asked, pods in (("web", web, count), ("api", 1.0, 4.0)):
            row = {"week": week.isoformat(), "namespace": "shop", "workload_kind": "Deployment", "workload": workload, "container": "app"}
            row |= {"resource": resource, "days": days, "pod_hours": pods * hours, "request": asked if resource == "cpu" else np.nan}
            containers.append(blank(WEEKLY_CONTAINERS) | row)
        size = 4.0 if resource == "cpu" else 16.0 * GIB
        row = {"week": week.isoformat(), "pool": "blue", "resource": resource, "days": days}
        pools.append(blank(WEEKLY_POOLS) | row | {"nodes_mean": pool_nodes, "allocatable_mean": pool_nodes * size})
    return containers, pools


def put_weeks(store: Store, weeks: list[tuple]) -> None:
    made = [week_rows(*week) for week in weeks]
    with store.lock():
        for name, part in (("containers", 0), ("pools", 1)):
            rows = [row for both in made for row in both[part]]
            replace_weeks(store, name, [week[0] for week in weeks], pd.DataFrame(rows))


@pytest.fixture
def pruned(tmp_path: Path) -> Store:
    """Days from day 6 on; the five weeks before and the cut's own are known by weekly rows."""
    store = history(tmp_path, range(6, 27), lambda _: [run("web", 4, 1.0), run("api", 4, 1.0)], lambda _: nodes(2))
    weeks = [(MONDAY - timedelta(weeks=n), 2.0, 4.0, 3.0) for n in range(1, 6)]
    # the cut's week: one day of 2.0 and six of 1.0; 3 nodes for two of seven days
    put_weeks(store, [*weeks, (MONDAY, (2.0 + 6 * 1.0) / 7, 4.0, 2 + 2 / 7)])
    return store


def test_pruned_days_are_taken_from_weekly_rows(pruned: Store) -> None:
    found = ledger_from(
        lambda first, last: read_slices(pruned, first, last), "prod", folder_of(decision(1, WEB, paper=4.0)), day_of(26), CORE
    )
    row = found.rows.iloc[0]
    # known to the week: it begins with Monday 31 August; four whole weeks before it and 21 days after it are measured
    assert (row["applied"], row["applied_on"], row["days_before"], row["days_after"]) == ("whole", "2026-08-31", 28, 21)
    assert row[["realised", "nodes_before", "nodes_after", "work_ratio"]].tolist() == pytest.approx([4.0, 3.0, 2.0, 1.0])
    assert found.findings[0]["message"].startswith("6 weeks from 2026-07-27 on are known by their weekly rows alone")


def test_weeks_that_were_not_measured_whole_do_not_count(tmp_path: Path) -> None:
    store = history(tmp_path, range(6, 8), lambda _: [run("api", 4, 1.0)], lambda _: nodes(2))
    put_weeks(store, [(MONDAY, 2.0, 4.0, 3.0, 6), (MONDAY - timedelta(weeks=1), 2.0, 4.0, 3.0, 7)])
    raw = read_slices(store, day_of(-30), day_of(7))
    assert raw.weeks == (MONDAY - timedelta(weeks=1),)
    assert raw.slices["days"].sum() == 9


def test_a_week_of_which_a_day_is_stored_is_read_by_days(pruned: Store, tmp_path: Path) -> None:
    history(tmp_path, [0], lambda _: [run("web", 4, 1.0), run("api", 4, 1.0)], lambda _: nodes(3))
    raw = read_slices(pruned, day_of(-40), day_of(26))
    assert MONDAY not in raw.weeks
    assert CUT.toordinal() in set(raw.slices["start"])


def test_weekly_rows_are_spread_over_the_pools_of_the_stored_days(tmp_path: Path) -> None:
    def machines(_: int):
        return [*nodes(1), *nodes(1, "red")]

    def pods(_: int):
        return [run("web", 3, 1.0), run("web", 1, 1.0, node="red-1")]

    store = history(tmp_path, range(6, 8), pods, machines)
    put_weeks(store, [(MONDAY, 2.0, 4.0, 3.0)])
    raw = read_slices(store, day_of(-7), day_of(7))
    mine = raw.asked[(raw.asked["start"] == MONDAY.toordinal())].set_index(["workload", "pool"])["cpu"]
    # 4 pods of 2 cores for 168 h: three quarters of web in blue; api was never placed, so it follows the nodes of the week
    assert mine.to_dict() == pytest.approx({("web", "blue"): 1008.0, ("web", "red"): 336.0, ("api", "blue"): 672.0})


def test_a_damaged_day_is_named_and_left_out(tmp_path: Path) -> None:
    store = history(tmp_path, range(3), lambda _: [run("api", 4, 1.0)], lambda _: nodes(2))
    next(store.folder("nodes", day_of(1)).glob("*.parquet")).write_bytes(b"no")
    raw = read_slices(store, day_of(0), day_of(2))
    assert raw.slices["start"].tolist() == [day_of(0).toordinal(), day_of(2).toordinal()]
    assert len(raw.damaged) == 1
    found = ledger_of(store, tmp_path / "adr", day_of(2), CORE)
    assert len(found.rows) == 0


def test_damaged_weekly_rows_are_named_and_left_out(pruned: Store, tmp_path: Path) -> None:
    whole = read_slices(pruned, day_of(-40), day_of(26))
    assert whole.weeks
    (pruned.path / "weekly" / "pools.parquet").write_bytes(b"no")
    raw = read_slices(pruned, day_of(-40), day_of(26))
    assert raw.weeks == ()
    assert raw.slices["start"].tolist() == [start for start in whole.slices["start"] if date.fromordinal(start) not in whole.weeks]
    assert len(raw.damaged) == 1
    assert "pools.parquet" in raw.damaged[0]


def test_init_containers_ask_for_nothing_here_and_pods_without_a_node_are_in_no_pool(tmp_path: Path) -> None:
    def pods(_: int):
        return [run("web", 1, 1.0), run("web", 1, 9.0, container="setup", role="init"), run("late", 1, 1.0, node="")]

    raw = read_slices(history(tmp_path, [0], pods, lambda _: nodes(1)), day_of(0), day_of(0))
    rows = raw.asked[["pool", "workload", "container", "pod_hours", "cpu"]].values.tolist()
    assert rows == [["", "late", "app", 24.0, 24.0], ["blue", "web", "app", 24.0, 24.0]]


def test_the_store_gives_what_the_tests_hand_in(tmp_path: Path) -> None:
    # as test_ledger's first case, but through the files, with the end as a time
    from datetime import UTC, datetime

    store = history(
        tmp_path,
        range(-28, 21),
        lambda day: [run("web", 4, 2.0 if day < 0 else 1.0), run("api", 4, 1.0)],
        lambda day: nodes(3 if day < 1 else 2),
    )
    end = datetime(2026, 9, 22, 6, tzinfo=UTC)  # day 21
    found = ledger_from(lambda first, last: read_slices(store, first, last), "prod", folder_of(decision(1, WEB, paper=4.0)), end, CORE)
    assert found.rows.iloc[0][["realised", "days_before", "days_after"]].tolist() == [pytest.approx(4.0), 28, 20]
    assert found.end == day_of(20)
