"""From a history to profile, week and what is idle: read once, any number of workers, and the demo."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aiops_analysis.analysis.hours import HoursPolicy
from aiops_analysis.analysis.idle import IDLE
from aiops_analysis.analysis.policy import policy_of
from aiops_analysis.analysis.profile import PROFILE, WEEK
from aiops_analysis.core.errors import StoreCorrupt
from aiops_analysis.core.schema import INVENTORY, LABELS, RECOMMENDATIONS, blank, check
from aiops_analysis.core.window import Window
from aiops_analysis.history.days import commit_matrix
from aiops_analysis.history.inventory import commit_frame
from aiops_analysis.history.store import Manifest, Store, open_store
from aiops_analysis.workflows.facts import facts_of
from aiops_analysis.workflows.habits import Habits, habits_of, idle_of, with_business
from aiops_analysis.workflows.review import monthly, review_window

WINDOW = Window.of_days(date(2026, 11, 15), 14)  # Monday 2 to Sunday 15 November
DEMO = Path(__file__).parents[1] / "data" / "demo" / "history"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two workloads for a fortnight: `web` of team-dev works in office hours, `api` of shop always."""
    made = open_store(tmp_path, "tiny")
    names = pd.DataFrame(
        [("team-dev", "Deployment", "web", "web-0", "app"), ("shop", "Deployment", "api", "api-0", "app")], columns=list(LABELS)
    ).astype("str")
    with made.lock():
        for day in WINDOW.days():
            samples = np.full((2, 288), 0.5, np.float32)
            samples[0] = 0.001
            if day.weekday() < 5:
                samples[0, 96:216] = 0.25
            commit_matrix(made, Manifest("cpu_usage", day), names, samples)
            commit_matrix(made, Manifest("memory_working_set", day), names, np.full((2, 288), 2.0**28, np.float32))
            commit_frame(made, Manifest("inventory", day), inventory(day))
    return made


def inventory(day: date) -> pd.DataFrame:
    """Both containers all day; an init container; the second container asks for half a core more from 9 November on."""
    span = {
        "first_seen": datetime(day.year, day.month, day.day, tzinfo=UTC),
        "last_seen": datetime.fromordinal(day.toordinal() + 1).replace(tzinfo=UTC),
    }
    rows = []
    for namespace, workload, container, role, request in (
        ("team-dev", "web", "app", "app", 1.0),
        ("shop", "api", "app", "app", 0.5 if day < date(2026, 11, 9) else 1.0),
        ("shop", "api", "setup", "init", 4.0),
    ):
        about = {"namespace": namespace, "workload": workload, "container": container, "role": role, "workload_kind": "Deployment"}
        pod = {"pod": f"{workload}-0", "uid": workload, "cpu_request": request, "memory_request": 2.0**29}
        rows.append(blank(INVENTORY) | about | pod | span)
    return check(pd.DataFrame(rows), INVENTORY)


def test_a_profile_and_a_week_of_a_history(store: Store) -> None:
    got = habits_of(store, WINDOW)
    assert list(check(got.profile, PROFILE).columns) == list(PROFILE.columns)
    web = got.profile[(got.profile["workload"] == "web") & (got.profile["resource"] == "cpu")].iloc[0]
    assert (web["business_p95"], web["off_p95"], web["weekends"]) == (0.25, pytest.approx(0.001), 2)
    assert len(check(got.week, WEEK)) == 336
    cell = got.week[(got.week["resource"] == "cpu") & (got.week["weekday"] == 0)].set_index("hour")
    assert cell.loc[9, "p95"] == pytest.approx(0.75)
    assert cell.loc[3, "p95"] == pytest.approx(0.501)
    # Monday 2 November asks for 1.5 cores, Monday 9 for 2; the init container is not added
    assert cell.loc[9, "requested"] == 1.75
    memory = got.week[got.week["resource"] == "memory"]
    assert memory["requested"].unique().tolist() == [2.0**30]


def test_workers_and_runs_do_not_matter(store: Store) -> None:
    one, two = habits_of(store, WINDOW, workers=1), habits_of(store, WINDOW, workers=2)
    pd.testing.assert_frame_equal(one.profile, two.profile)
    pd.testing.assert_frame_equal(one.week, two.week)


def test_days_that_are_missing_are_not_zero(store: Store) -> None:
    longer = Window.of_days(date(2026, 11, 29), 28)  # two weeks of which nothing is stored
    got = habits_of(store, longer)
    pd.testing.assert_frame_equal(got.profile, habits_of(store, WINDOW).profile)
    pd.testing.assert_frame_equal(got.week, habits_of(store, WINDOW).week)
    nothing = habits_of(store, Window.of_days(date(2026, 12, 15), 7))
    assert (len(nothing.profile), nothing.week["p95"].isna().all(), nothing.week["requested"].isna().all()) == (0, True, True)


def test_a_damaged_day_is_reported(store: Store) -> None:
    (path,) = store.folder("cpu_usage", date(2026, 11, 3)).glob("*.parquet")
    path.write_bytes(b"damaged")
    with pytest.raises(StoreCorrupt):
        habits_of(store, WINDOW)


def test_f18_office_hours_of_another_zone(store: Store) -> None:
    # 08:00 to 18:00 UTC is 09:00 to 19:00 in Berlin in November: the first of ten business hours is quiet
    got = habits_of(store, WINDOW, HoursPolicy(zone="Europe/Berlin"))
    web = got.profile[(got.profile["workload"] == "web") & (got.profile["resource"] == "cpu")].iloc[0]
    assert (web["business_p95"], web["off_p95"]) == (0.25, pytest.approx(0.001))  # 600 busy of 17 640 samples outside: less than 5 %
    cell = got.week[(got.week["resource"] == "cpu") & (got.week["weekday"] == 0)].set_index("hour")
    assert [round(cell.loc[hour, "p95"], 3) for hour in (8, 9, 18, 19)] == [0.501, 0.75, 0.75, 0.501]


def reviewed(store: Store) -> tuple[Habits, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    review = monthly(store, WINDOW, policy_of("seed"))
    return habits_of(store, WINDOW), review.recommendations, review.usage, facts_of(store, WINDOW)


def test_the_findings_of_a_run(store: Store) -> None:
    got = idle_of(*reviewed(store), currency="USD")
    assert got.workloads[["workload", "finding"]].to_numpy().tolist() == [["web", "off_hours"]]
    # 1 core and half a GiB asked for, in 118 of 168 hours
    saving = (0.031611 + 0.004237 / 2) * 730 * 118 / 168
    assert got.workloads["saving"].iloc[0] == pytest.approx(saving)
    (finding,) = got.findings
    assert finding["code"] == "off_hours"
    assert finding["message"] == (
        "idle outside business hours, in namespaces that look like non-production: 1 workload, team-dev/web. "
        f"On paper {saving:,.2f} USD a month, not to be added to right-sizing"
    )
    assert finding["data"] == {"workloads": ["team-dev/web"], "saving_month": pytest.approx(saving)}


def test_business_hours_beside_all_hours(store: Store) -> None:
    habits, recommendations, _, _ = reviewed(store)
    got = with_business(recommendations, habits).set_index(["workload", "container", "resource"])
    assert got.loc[("web", "app", "cpu"), "business_p95"] == 0.25
    assert got.loc[("api", "app", "memory"), "business_p95"] == 2.0**28
    assert list(check(got.reset_index(), RECOMMENDATIONS)["id"]) == list(recommendations["id"])
    thin = recommendations.assign(pooled_p95=np.nan)
    assert with_business(thin, habits)["business_p95"].isna().all()  # a refused row shows no quantile (methods.md A4)


def test_the_demo_has_possibly_abandoned_workloads() -> None:
    store = open_store(DEMO, "demo")
    window = review_window(store, days=28)
    review = monthly(store, window, policy_of("seed"))
    habits = habits_of(store, window)
    got = idle_of(habits, review.recommendations, review.usage, facts_of(store, window), currency="USD")
    assert list(check(got.workloads, IDLE).columns) == list(IDLE.columns)
    assert set(got.workloads["finding"]) <= {"possibly_abandoned", "off_hours", "weekend_dip"}
    named = got.workloads[got.workloads["finding"] == "possibly_abandoned"]
    assert {"legacy-export", "smtp"} <= set(named["workload"])
    assert got.workloads.loc[got.workloads["finding"] == "off_hours", "workload"].tolist() == ["preview"]
    assert habits.week["p95"].notna().all()
    assert habits.week["requested"].gt(0).all()
