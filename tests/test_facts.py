"""FACTS of a window from stored inventory, HPAs, events and bursts."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from aiops_analysis.core.schema import BURST, HPAS, INVENTORY, LABELS, NODES, WORKLOADS, blank
from aiops_analysis.core.window import Window
from aiops_analysis.history.days import commit_matrix
from aiops_analysis.history.inventory import commit_frame
from aiops_analysis.history.store import Manifest, open_store
from aiops_analysis.workflows.facts import covered_steps, facts_of

FIRST, SECOND = date(2026, 11, 1), date(2026, 11, 2)
WINDOW = Window.of_days(SECOND, 2)


def at(day: date, hour: float) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=hour)


def pod(name, start, end, *, cpu=0.2, image="registry/web:1", container="app", kind="Deployment", workload="web", **over):
    row = blank(INVENTORY) | {"role": "app"}
    row |= {"namespace": "shop", "pod": name, "uid": name, "container": container, "workload_kind": kind, "workload": workload}
    return row | {"image": image, "cpu_request": cpu, "first_seen": start, "last_seen": end} | over


def series(name, values, container="app", workload="web"):
    labels = pd.DataFrame([["shop", "Deployment", workload, name, container]], columns=list(LABELS), dtype="str")
    samples = np.full((1, 288), np.nan, np.float32)
    samples[0, : len(values)] = values
    return labels, samples


@pytest.fixture
def store(tmp_path):
    return open_store(tmp_path, "prod")


def put(store, day, pods, hpas=(), burst=(), **metrics):
    empty = pd.DataFrame({name: pd.Series([], dtype="str") for name in LABELS}), np.empty((0, 288), np.float32)
    with store.lock():
        for kind, contract, rows in (("inventory", INVENTORY, pods), ("hpas", HPAS, hpas), ("burst", BURST, burst)):
            commit_frame(store, Manifest(kind, day), pd.DataFrame(list(rows), columns=list(contract.columns)))
        for metric in ("cpu_throttled", "cpu_periods", "restarts", "oom_kills"):
            commit_matrix(store, Manifest(metric, day), *metrics.get(metric, empty))


def test_covered_steps_by_hand():
    # group 0: [0,10) and [5,20) cover 20, are 25 pod-steps, 1 to 2 at once; group 1: [3,4); group 2 has none
    got = covered_steps(np.array([0, 0, 1]), np.array([0, 5, 3]), np.array([10, 20, 4]), 3)
    assert [part.tolist() for part in got] == [[20, 1, 0], [25, 1, 0], [1, 1, 0], [2, 1, 0]]


def test_replicas_are_pod_steps_over_the_windows_steps(store):
    # day 1: one pod for 24 h; day 2: the same pod and a second one for 12 h: 60 pod-hours in 48 h = 1.25
    put(store, FIRST, [pod("a", at(FIRST, 0), at(SECOND, 0))])
    put(store, SECOND, [pod("a", at(SECOND, 0), at(SECOND, 24)), pod("b", at(SECOND, 12), at(SECOND, 24))])
    got = facts_of(store, WINDOW).iloc[0]
    assert (got["replicas"], got["replicas_min"], got["replicas_max"], got["expected_steps"]) == (1.25, 1.0, 2.0, 576.0)
    assert bool(got["running"])
    assert pd.isna(got["last_rollout"])


def test_current_values_are_those_of_the_newest_pods(store):
    put(store, FIRST, [pod("a", at(FIRST, 0), at(FIRST, 24), cpu=0.5)])
    newest = [pod(n, at(SECOND, 6), at(SECOND, 24), cpu=c, image="registry/web:2") for n, c in (("b", 0.2), ("c", 0.2), ("d", 0.9))]
    put(store, SECOND, [pod("a", at(SECOND, 0), at(SECOND, 6), cpu=0.5), *newest])
    got = facts_of(store, WINDOW).iloc[0]
    assert got["cpu_request"] == 0.2
    assert got["last_rollout"] == pd.Timestamp(at(SECOND, 6))


def test_a_workload_that_is_gone_is_not_running(store):
    put(store, FIRST, [pod("a", at(FIRST, 0), at(FIRST, 24)), pod("x", at(FIRST, 0), at(FIRST, 3), workload="old")])
    put(store, SECOND, [pod("a", at(SECOND, 0), at(SECOND, 24))])
    got = facts_of(store, WINDOW).set_index("workload")["running"]
    assert got.to_dict() == {"old": False, "web": True}


def hpa(metric="cpu", kind="utilization", value=70.0, target="web"):
    row = {"namespace": "shop", "hpa": "web-hpa", "target_kind": "Deployment", "target": target, "metric": metric, "target_value": value}
    return row | {"target_type": kind, "min_replicas": 1.0, "max_replicas": 5.0, "first_seen": at(SECOND, 0), "last_seen": at(SECOND, 24)}


@pytest.mark.parametrize(
    ("rows", "cpu", "memory", "target"),
    [
        ([hpa()], True, False, 70.0),
        ([hpa("memory")], False, True, np.nan),
        ([hpa("requests_per_second", "average")], False, False, np.nan),
        ([hpa("cpu", "average", 0.5)], True, False, np.nan),  # a plain value, not a share of the request
        ([hpa("", "", np.nan)], True, True, np.nan),  # the server does not say on what it scales
        ([hpa(target="other")], False, False, np.nan),
    ],
)
def test_an_hpa_names_its_resource_and_target(store, rows, cpu, memory, target):
    put(store, SECOND, [pod("a", at(SECOND, 0), at(SECOND, 24))], hpas=rows)
    got = facts_of(store, WINDOW).iloc[0]
    assert (got["hpa_cpu"], got["hpa_memory"]) == (cpu, memory)
    np.testing.assert_equal(got["hpa_cpu_target"], target)
    assert got["hpa"] == ("web-hpa" if rows[0]["target"] == "web" else "")


def test_the_throttle_ratio_is_a_ratio_of_sums_and_not_known_without_periods(store):
    # 10 of 100 and 20 of 900 periods: 30/1000, not the mean of 10 % and 2.2 %
    labels = pd.concat([series(n, [])[0] for n in ("a", "b")], ignore_index=True)

    def two(first, second):
        return labels, np.concatenate([series("a", [first])[1], series("b", [second])[1]])

    pods = [pod(n, at(SECOND, 0), at(SECOND, 24)) for n in ("a", "b")] + [pod("s", at(SECOND, 0), at(SECOND, 24), container="istio-proxy")]
    put(store, SECOND, pods, cpu_throttled=two(10, 20), cpu_periods=two(100, 900), oom_kills=series("a", [0, 2]))
    got = facts_of(store, WINDOW).set_index("container")
    assert got.loc["app", "throttle_ratio"] == pytest.approx(0.03)
    assert np.isnan(got.loc["istio-proxy", "throttle_ratio"])
    assert got.loc["app", ["oom_kills", "restarts"]].tolist() == [2.0, 0.0]
    assert got["sidecar"].to_dict() == {"app": False, "istio-proxy": True}


def test_events_that_were_never_asked_for_are_not_known(store):
    with store.lock():
        commit_frame(store, Manifest("inventory", SECOND), pd.DataFrame([pod("a", at(SECOND, 0), at(SECOND, 24))]))
    got = facts_of(store, WINDOW).iloc[0]
    assert np.isnan(got["oom_kills"])
    assert np.isnan(got["restarts"])
    assert np.isnan(got["burst_max"])


def test_bursts_are_the_hottest_pods_of_the_last_week(store):
    row = {"namespace": "shop", "workload_kind": "Deployment", "workload": "web", "container": "app"}
    burst = [row | {"pod": p, "cpu_max": m, "cpu_p999": q} for p, m, q in (("a", 0.5, 0.4), ("b", 0.9, 0.3))]
    put(store, SECOND, [pod("a", at(SECOND, 0), at(SECOND, 24))], burst=burst)
    got = facts_of(store, WINDOW).iloc[0]
    assert (got["burst_max"], got["burst_p999"]) == (0.9, 0.4)


@pytest.mark.parametrize(
    ("image", "jvm"), [("eclipse-temurin:21", True), ("registry/openjdk@sha256:1", True), ("node:22", False), ("javascript-x", False)]
)
def test_a_java_image_is_known_by_its_name(store, image, jvm):
    put(store, SECOND, [pod("a", at(SECOND, 0), at(SECOND, 24), image=image)])
    assert bool(facts_of(store, WINDOW)["jvm"][0]) is jvm


def test_an_empty_history_has_no_facts(store):
    assert len(facts_of(store, WINDOW)) == 0


def test_init_containers_gpus_and_settings_of_the_api_are_facts(store):
    rows = [pod("a", at(FIRST, 0), at(FIRST, 24)), pod("a", at(FIRST, 0), at(FIRST, 24), container="migrate", role="init")]
    rows += [pod("g", at(FIRST, 0), at(FIRST, 24), workload="train", scope="GPU")]
    put(store, FIRST, rows)
    settings = blank(WORKLOADS) | {"namespace": "shop", "workload_kind": "Deployment", "workload": "web", "java_flags": "-Xmx1g"}
    settings |= {"resize_restart": True, "first_seen": at(FIRST, 0), "last_seen": at(FIRST, 24)}
    with store.lock():
        commit_frame(store, Manifest("workloads", FIRST), pd.DataFrame([settings], columns=list(WORKLOADS.columns)))
    got = facts_of(store, WINDOW).set_index(["workload", "container"])
    assert got["role"].to_dict() == {("train", "app"): "app", ("web", "app"): "app", ("web", "migrate"): "init"}
    assert got.loc[("train", "app"), "out_of_scope"] == "GPU"
    assert got.loc[("web", "app"), ["java_flags", "resize", "jvm"]].tolist() == ["-Xmx1g", "restart", True]


@pytest.mark.parametrize(
    ("versions", "resize"), [(("v1.33.5-eks-1", "v1.35.0"), "in place"), (("v1.33.5", "v1.32.9"), ""), (("v1.33.0", ""), ""), ((), "")]
)
def test_a_running_pod_is_resized_where_every_node_can(store, versions, resize):
    spans = {"first_seen": at(FIRST, 0), "last_seen": at(FIRST, 24)}
    size = {"cpu_allocatable": 4.0, "memory_allocatable": 8e9}
    nodes = [blank(NODES) | spans | size | {"node": f"n{i}", "pool": f"p{i}", "version": v} for i, v in enumerate(versions)]
    put(store, FIRST, [pod("a", at(FIRST, 0), at(FIRST, 24), node="n0")])
    with store.lock():
        commit_frame(store, Manifest("nodes", FIRST), pd.DataFrame(nodes, columns=list(NODES.columns)))
    got = facts_of(store, WINDOW).iloc[0]
    assert got["resize"] == resize
    assert bool(got["largest_node"] == 4.0) is bool(versions)


def test_a_job_is_there_for_eight_days_after_its_run(store):
    days = [FIRST + timedelta(days=n) for n in range(10)]
    for day in days:
        ran = [pod("night", at(FIRST, 1), at(FIRST, 2), kind="CronJob", workload="night")] if day == FIRST else []
        ran += [pod("late", at(day, 1), at(day, 2), kind="CronJob", workload="late")] if day == days[3] else []
        put(store, day, [pod("a", at(day, 0), at(day, 24)), *ran])
    got = facts_of(store, Window.of_days(days[-1], 10)).set_index("workload")
    # the window ends 9 d 22 h after one run and 6 d 22 h after the other
    assert got["running"].to_dict() == {"late": True, "night": False, "web": True}
