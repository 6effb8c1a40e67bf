"""What the review measures: after rollouts, without start-ups, by node pool and by run (methods.md A8, A9; fault row 22)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from aiops_analysis.analysis.policy import SizingPolicy
from aiops_analysis.core.schema import INVENTORY, LABELS, NODES, RUNS, blank
from aiops_analysis.core.window import Window
from aiops_analysis.history.days import commit_matrix
from aiops_analysis.history.inventory import commit_frame
from aiops_analysis.history.store import Manifest, open_store
from aiops_analysis.workflows.facts import facts_of
from aiops_analysis.workflows.measured import usage_in

LAST = date(2026, 11, 14)
WINDOW = Window.of_days(LAST, 14)
DAYS = list(WINDOW.days())
GIB = 2**30


def at(day: date, hour: float = 0) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=hour)


def pod(name, first, last, *, kind="Deployment", workload="web", revision="web-a", node="n1", image="web:1", **more):
    """INVENTORY rows by day of a pod that lived from ``first`` to ``last``."""
    row = blank(INVENTORY) | {"namespace": "shop", "pod": name, "uid": name, "container": "app", "role": "app", "workload_kind": kind}
    row |= {
        "workload": workload,
        "revision": revision,
        "node": node,
        "image": image,
        "cpu_request": 1.0,
        "memory_request": 1.0 * GIB,
    } | more
    spans = [(day, max(first, at(day)), min(last, at(day, 24))) for day in DAYS]
    return [(day, row | {"first_seen": begin, "last_seen": end}) for day, begin, end in spans if begin < end]


def history(tmp_path, pods, value, *, nodes=(), runs=(), restarts=()):
    """A store in which each pod uses ``value(pod, moment)`` cores, and as many GiB, while it lives."""
    store = open_store(tmp_path, "prod")
    with store.lock():
        for day in DAYS:
            mine = [row for when, row in pods if when == day]
            labels = pd.DataFrame([[row[name] for name in LABELS] for row in mine], columns=list(LABELS), dtype="str")
            samples = np.full((len(mine), 288), np.nan, np.float32)
            for number, row in enumerate(mine):
                for step in range(288):
                    moment = at(day) + timedelta(minutes=5 * step)
                    if row["first_seen"] <= moment < row["last_seen"]:
                        samples[number, step] = value(row["pod"], moment)
            frames = {
                "inventory": (INVENTORY, mine),
                "nodes": (NODES, nodes),
                "runs": (RUNS, [r for r in runs if r["start"].date() == day]),
            }
            for kind, (contract, rows) in frames.items():
                commit_frame(store, Manifest(kind, day), pd.DataFrame(list(rows), columns=list(contract.columns)))
            commit_matrix(store, Manifest("cpu_usage", day), labels, samples)
            commit_matrix(store, Manifest("memory_working_set", day), labels, samples * np.float32(GIB))
            again = np.zeros_like(samples)
            for name, moment in restarts:
                if moment.date() == day:
                    again[[row["pod"] for row in mine].index(name), int((moment - at(day)).total_seconds() // 300)] = 1
            commit_matrix(store, Manifest("restarts", day), labels, again)
    return store


def measured(store, policy=None):
    usage = usage_in(store, WINDOW, facts_of(store, WINDOW), policy or SizingPolicy())
    return usage.set_index("resource")


def rolled(ago, image="web:2"):
    """One pod until ``ago`` days before the end of the window, then one of another template."""
    when = at(LAST, 24) - timedelta(days=ago)
    return when, [*pod("a", at(DAYS[0]), when), *pod("b", when, at(LAST, 24), revision="web-b", image=image)]


def test_f22_seven_days_after_a_rollout_speak_for_themselves(tmp_path):
    # 0.2 cores before, 0.5 after; 9 days ago at midnight: that day belongs to neither side, so 8 days count
    when, pods = rolled(9)
    got = measured(history(tmp_path, pods, lambda _, moment: 0.5 if moment >= when else 0.2)).loc["cpu"]
    assert (got["cut"], got["days"], got["rollout_ratio"]) == ("settled", 8, pytest.approx(2.5))
    assert got["p50"] == pytest.approx(0.5)
    assert len(got["daily_p95"]) == 14
    assert got["daily_p95"][0] == pytest.approx(0.2)  # the report still shows the days before


@pytest.mark.parametrize(("after", "cut", "days"), [(0.5, "changed", 3), (0.24, "", 14), (0.26, "changed", 3)])
def test_f22_few_days_count_alone_only_when_usage_changed(tmp_path, after, cut, days):
    # the rollout was 4 days ago: 3 whole days after it. 0.24 is 1.2 times, within the quarter; 0.26 is 1.3 times
    when, pods = rolled(4)
    got = measured(history(tmp_path, pods, lambda _, moment: after if moment >= when else 0.2)).loc["cpu"]
    assert (got["cut"], got["days"]) == (cut, days)
    assert got["rollout_ratio"] == pytest.approx(after / 0.2)


def test_f22_a_new_template_with_the_same_image_is_a_rollout_too(tmp_path):
    when, pods = rolled(4, image="web:1")
    got = measured(history(tmp_path, pods, lambda _, moment: 0.5 if moment >= when else 0.2)).loc["cpu"]
    assert got["cut"] == "changed"


def test_f22_a_history_that_learns_of_templates_half_way_saw_no_rollout(tmp_path):
    # the first week was stored by an older version, which did not keep the ReplicaSet
    pods = [(day, row | ({"revision": ""} if day < DAYS[7] else {})) for day, row in pod("a", at(DAYS[0]), at(LAST, 24))]
    got = measured(history(tmp_path, pods, lambda *_: 0.2)).loc["cpu"]
    assert (got["cut"], np.isnan(got["rollout_ratio"])) == ("", True)


def test_the_first_minutes_of_a_container_count_for_memory_only(tmp_path):
    # a restart at noon of the third day; the step it lies in and the next are at 10 cores and 10 GiB
    noon = at(DAYS[2], 12)
    busy = (noon, noon + timedelta(minutes=5))
    store = history(
        tmp_path, pod("a", at(DAYS[0]), at(LAST, 24)), lambda _, moment: 10.0 if moment in busy else 0.2, restarts=[("a", noon)]
    )
    got = measured(store)
    assert got.loc["cpu", "max"] == pytest.approx(0.2)
    assert got.loc["memory", "max"] == pytest.approx(10 * GIB)
    assert (got.loc["cpu", "samples"], got.loc["memory", "samples"]) == (14 * 288 - 2, 14 * 288)


def test_a_daemonset_knows_its_hottest_pool(tmp_path):
    spans = {"first_seen": at(DAYS[0]), "last_seen": at(LAST, 24)}
    nodes = [blank(NODES) | spans | {"node": node, "pool": pool} for node, pool in (("n1", "small"), ("n2", "small"), ("n3", "large"))]
    pods = [
        row for n in (1, 2, 3) for row in pod(f"agent-{n}", at(DAYS[0]), at(LAST, 24), kind="DaemonSet", revision="agent", node=f"n{n}")
    ]
    got = measured(history(tmp_path, pods, lambda name, _: {"agent-1": 0.1, "agent-2": 0.2, "agent-3": 0.4}[name], nodes=nodes)).loc["cpu"]
    # 0.1 and 0.2 make the pool of small nodes, 0.4 the other
    assert (got["pool"], got["pool_p95"], got["max"]) == ("large", pytest.approx(0.4), pytest.approx(0.4))
    about = facts_of(open_store(tmp_path, "prod"), WINDOW).iloc[0]
    assert about["pools"] == [("large", 1), ("small", 2)]


def test_a_job_is_measured_by_its_runs(tmp_path):
    pods, runs = [], []
    for day in DAYS:
        name, start = f"night-{day.day}", at(day, 2)
        pods += pod(name, start, start + timedelta(minutes=10), kind="CronJob", workload="night", revision=name)
        about = {"namespace": "shop", "workload_kind": "CronJob", "workload": "night", "job": name, "pod": name, "container": "app"}
        figures = {"cpu_seconds": 120.0, "memory_max": 2.0 * GIB, "outcome": "succeeded"}
        runs.append(blank(RUNS) | about | figures | {"start": start, "end": start + timedelta(minutes=4)})
    got = measured(history(tmp_path, pods, lambda *_: 0.2, runs=runs))
    # 120 core seconds in four minutes are 500m; the steps of five minutes would say 200m
    assert (got.loc["cpu", "samples"], got.loc["cpu", "p95"]) == (14, pytest.approx(0.5))
    assert got.loc["memory", "p95"] == 2.0 * GIB
    assert facts_of(open_store(tmp_path, "prod"), WINDOW)["running"].tolist() == [True]  # between two runs it is still there


def test_f22_a_renamed_workload_and_an_added_container_are_not_mixed(tmp_path):
    # "old" is renamed to "new" after a week; then a second container joins
    half = at(DAYS[7])
    pods = [*pod("old-1", at(DAYS[0]), half, workload="old"), *pod("new-1", half, at(LAST, 24), workload="new")]
    pods += [(day, row | {"container": "proxy"}) for day, row in pod("new-1", at(DAYS[10]), at(LAST, 24), workload="new")]
    got = measured(history(tmp_path, pods, lambda name, _: 0.2 if name == "old-1" else 0.4)).loc["cpu"]
    days = {(row.workload, row.container): (row.days, row.p50) for row in got.itertuples()}
    assert days == {
        ("old", "app"): (7, pytest.approx(0.2)),
        ("new", "app"): (7, pytest.approx(0.4)),
        ("new", "proxy"): (4, pytest.approx(0.4)),
    }
