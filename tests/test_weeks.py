"""Weekly aggregates of pools and containers, by hand (methods.md C1, I-5)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from aiops_analysis.core.schema import INVENTORY, LABELS, NODES
from aiops_analysis.history.days import commit_matrix
from aiops_analysis.history.inventory import commit_frame
from aiops_analysis.history.store import Manifest, open_store
from aiops_analysis.history.weekly import read_weekly
from aiops_analysis.workflows.weeks import week_containers, week_pools, write_weeks

MONDAY = date(2026, 10, 26)
DAY = date(2026, 10, 28)


def at(hour: float) -> datetime:
    return datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC) + timedelta(hours=hour)


def pod(name, node, *, cpu=1.0, first=0.0, last=24.0):
    row = {n: "" if k == "str" else np.nan for n, k in INVENTORY.columns.items()}
    row |= {"namespace": "shop", "pod": name, "uid": name, "container": "app", "workload_kind": "Deployment", "workload": "web"}
    return row | {"node": node, "cpu_request": cpu, "first_seen": at(first), "last_seen": at(last)}


def node(name, pool, cores=4.0):
    row = {n: "" if k == "str" else np.nan for n, k in NODES.columns.items()}
    return row | {"node": name, "pool": pool, "cpu_allocatable": cores, "first_seen": at(0), "last_seen": at(24)}


def put(store, pods, nodes, cpu):
    labels = pd.DataFrame([["shop", "Deployment", "web", name, "app"] for name in cpu], columns=list(LABELS), dtype="str")
    with store.lock():
        commit_frame(store, Manifest("inventory", DAY), pd.DataFrame(pods))
        commit_frame(store, Manifest("nodes", DAY), pd.DataFrame(nodes))
        commit_matrix(store, Manifest("cpu_usage", DAY), labels, np.array(list(cpu.values()), np.float32))
        commit_matrix(store, Manifest("memory_working_set", DAY), labels.iloc[:0], np.empty((0, 288), np.float32))


@pytest.fixture
def store(tmp_path):
    return open_store(tmp_path, "prod")


def test_pools_add_up_pods_of_their_nodes(store):
    # blue: a uses 1, b 2 cores; the 5-minute sum is 3, at step 12 it is 6. Hourly maxima: 3 but one 6 of 24; P95 of them: rank 21.85 -> 3
    cpu = {"a": np.full(288, 1.0), "b": np.full(288, 2.0), "c": np.full(288, 5.0)}
    cpu["b"][12] = 5.0
    put(
        store,
        [pod("a", "n1"), pod("b", "n2"), pod("c", "n3", last=12)],
        [node("n1", "blue"), node("n2", "blue"), node("n3", "red", 8.0)],
        cpu,
    )
    cpu_rows = week_pools(store, MONDAY).query("resource == 'cpu'").set_index("pool")
    blue = cpu_rows.loc["blue"]
    assert (blue["usage_p95"], blue["request_mean"], blue["allocatable_mean"], blue["nodes_mean"], blue["pods_mean"]) == (
        3.0,
        2.0,
        8.0,
        2.0,
        2.0,
    )
    assert blue["usage_mean"] == pytest.approx(3 + 3 / 288)
    # c ran half the day: requests and pods count half, its usage is 5 while it was seen
    red = cpu_rows.loc["red"]
    assert (red["request_mean"], red["pods_mean"], red["usage_mean"]) == (0.5, 0.5, 5.0)
    assert week_pools(store, MONDAY)["week"].unique().tolist() == ["2026-10-26"]


def test_a_step_at_which_more_than_a_tenth_of_the_containers_miss_is_missing(store):
    cpu = {"a": np.full(288, 1.0), "b": np.full(288, 2.0)}
    cpu["b"][:144] = np.nan
    put(store, [pod("a", "n1"), pod("b", "n1")], [node("n1", "blue")], cpu)
    row = week_pools(store, MONDAY).query("resource == 'cpu'").iloc[0]
    assert row["usage_mean"] == 3.0  # not (1 + 3) / 2


def test_containers_have_their_quantiles_request_and_pod_hours(store):
    put(store, [pod("a", "n1", cpu=1.0, last=6), pod("b", "n1", cpu=3.0, first=12)], [node("n1", "blue")], {"a": np.arange(288.0)})
    row = week_containers(store, MONDAY).iloc[0]
    assert row["p95"] == pytest.approx(0.95 * 287)
    # 6 h at 1 core and 12 h at 3 cores: 18 pod-hours, mean request (6 + 36) / 18
    assert (row["pod_hours"], row["days"]) == (18.0, 1)
    assert row["request"] == pytest.approx(42 / 18)


def test_a_pull_writes_its_weeks_and_writing_again_changes_nothing(store):
    put(store, [pod("a", "n1")], [node("n1", "blue")], {"a": np.full(288, 1.0)})
    write_weeks(store, [DAY])
    path = store.path / "weekly" / "containers.parquet"
    before = path.read_bytes()
    assert len(read_weekly(store, "containers")) == 1
    write_weeks(store, [DAY])
    assert path.read_bytes() == before
    write_weeks(store, [])
