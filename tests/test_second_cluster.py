"""A second generated cluster (another seed, size, length and end: 40 containers, 8 days over a new year) goes through like the first.

Usage, requests, owners, replicas and the plain rule are compared with the generator's model and with numpy on its raw samples. Its seed
happens to hold what a broken counter looks like: bursts of a DaemonSet far above what its nodes have.
"""

from __future__ import annotations

import math
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock

from aiops_analysis.analysis.policy import policy_of
from aiops_analysis.core.reasons import Code
from aiops_analysis.core.redact import Redactor
from aiops_analysis.core.schema import GROUP
from aiops_analysis.core.window import Window
from aiops_analysis.history.inventory import read_frame
from aiops_analysis.history.store import Store, open_store
from aiops_analysis.sources.http import Server
from aiops_analysis.sources.prometheus import Prometheus
from aiops_analysis.workflows.measure import usage_of
from aiops_analysis.workflows.pull import pull
from aiops_analysis.workflows.review import Review, monthly
from tests import servers
from tests.cluster_history import Truth, build_blocks, why_not

pytestmark = pytest.mark.server

END = datetime(2027, 1, 3, tzinfo=UTC)
WINDOW = Window.of_days(date(2027, 1, 2), 8)
SHARES = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))
MIB = 2**20


@pytest.fixture(scope="session")
def second_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model and the blocks, made once for all workers (about 35 s)."""
    if why_not():
        pytest.skip(why_not())
    promtool = servers.need("promtool")
    servers.need("prometheus")
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "second-cluster"
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "tsdb").exists():
            build_blocks(folder, promtool, containers=40, days=8, seed=11, end=END)
    return folder


@pytest.fixture(scope="module")
def truth(second_folder: Path) -> Truth:
    return Truth(second_folder)


@pytest.fixture(scope="module")
def store(second_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    kept = open_store(tmp_path_factory.mktemp("history"), "second")
    with servers.prometheus_server(second_folder / "tsdb") as running:
        pulled = pull(kept, Prometheus(Server(running.url), Redactor()), WINDOW, now=END + timedelta(minutes=20))
    assert set(pulled.stored.values()) == {"complete"}
    assert len(pulled.stored) == 8
    return kept


@pytest.fixture(scope="module")
def review(store: Store) -> Review:
    return monthly(store, WINDOW, policy_of("seed"))


def rows(frame: pd.DataFrame, resource: str) -> pd.DataFrame:
    return frame[frame["resource"] == resource].set_index(list(GROUP))


def samples_of(truth: Truth, resource: str) -> dict[tuple[str, ...], np.ndarray]:
    """Samples [pods, steps] of each workload's container."""
    of = truth.cpu if resource == "cpu" else truth.memory
    return {key: np.stack(pods) for key, pods in of.items()}


@pytest.mark.parametrize("resource", ["cpu", "memory"])
def test_usage_equals_numpy_on_the_raw_samples(store, truth, resource):
    usage, samples = rows(usage_of(store, WINDOW, resource), resource), samples_of(truth, resource)
    assert set(usage.index) == set(samples)
    for key, row in usage.iterrows():
        pooled = samples[key][np.isfinite(samples[key])]
        assert row["samples"] == len(pooled), key
        for name, share in SHARES:
            np.testing.assert_allclose(row[name], np.quantile(pooled, share), rtol=1e-6, err_msg=f"{key} {name}")


def test_f14_impossible_values_are_left_out_and_named(review, truth, store):
    wild = {key: count for key, count in truth.dropped.items() if count}
    assert wild  # else this seed no longer shows it
    usage = rows(review.usage, "cpu")
    assert {key: usage.loc[key, "dropped"] for key in wild} == wild
    top = 1.05 * max(node["cpu"] for node in truth.model["nodes"])
    assert read_frame(store, "burst", WINDOW.days())["cpu_max"].max() <= top
    limits = review.recommendations.loc[review.recommendations["resource"] == "cpu", "guarded_limit"]
    assert limits.max() < policy_of("seed").burst_factor * top


def test_requests_limits_and_owners_are_the_models(review, truth):
    want = {(w["ns"], w["kind"], w["name"], c["name"]): c for w in truth.model["workloads"] for c in w["containers"]}
    for resource, short in (("cpu", "cpu"), ("memory", "mem")):
        recs = rows(review.recommendations, resource)
        assert set(recs.index) == set(want)
        for key, row in recs.iterrows():
            for column, name in (("current_request", f"req_{short}"), ("current_limit", f"lim_{short}")):
                given = want[key][name]
                np.testing.assert_allclose(row[column], np.nan if given is None else given, rtol=1e-9, err_msg=f"{key} {column}")


def test_replicas_are_the_models(review, truth):
    """A rollout shows the old pod and its successor for a moment, so the mean may be a little above."""
    want = {(w["ns"], w["kind"], w["name"], c["name"]): w["replicas"] for w in truth.model["workloads"] for c in w["containers"]}
    for key, row in rows(review.recommendations, "cpu").iterrows():
        assert row["replicas"] == pytest.approx(want[key], rel=0.01), key


@pytest.mark.parametrize("resource", ["cpu", "memory"])
def test_the_rule_is_worked_out_from_the_raw_samples(review, truth, resource):
    """CPU 2 x P95 up to 25m, memory 1.5 x P95 up to 16Mi; of ordinals, and of a pod far above the pool, the hottest P95.

    Where the review measures fewer samples (after a rollout, or without a start-up), and for DaemonSets, whose pools are their nodes'
    sizes, the rule is checked against the P95 that the row shows.
    """
    samples, checked, whole, measured = samples_of(truth, resource), 0, 0, rows(review.usage, resource)["samples"]
    unit, factor, step = (1e-4, 2.0, 250) if resource == "cpu" else (MIB / 10, 1.5, 160)
    for key, row in rows(review.recommendations, resource).iterrows():
        if row["grade"] == "refused":
            continue
        pods = samples[key]
        p95 = np.quantile(pods[np.isfinite(pods)], 0.95)
        hot = max((np.nanquantile(pod, 0.95) for pod in pods if np.isfinite(pod).sum() >= 288), default=p95)
        if len(pods) > 1 and (key[1] == "StatefulSet" or hot > policy_of("seed").hot_pod_ratio * p95):
            p95 = max(p95, hot)
        if measured[key] == np.isfinite(pods).sum() and key[1] != "DaemonSet":
            np.testing.assert_allclose(row["p95"], p95, rtol=1e-6, err_msg=str(key))
            whole += 1
        p95 = row["p95"]
        rule = math.ceil(factor * round(p95 / unit) / step - 1e-9) * step * unit
        assert row["rule_request"] == pytest.approx(rule, rel=1e-9), key
        assert row["guarded_request"] >= row["p95"], key
        checked += 1
    assert checked > 5
    assert whole >= 1


def test_what_is_refused_has_a_reason_in_the_model(review, truth):
    """Nothing but a rollout in the last two days may keep a row of this cluster from its number."""
    newest = {(w["ns"], w["kind"], w["name"]): w["revs"][-1]["start"] for w in truth.model["workloads"]}
    recs = review.recommendations
    for row in recs[recs["grade"] == "refused"].itertuples():
        assert {reason.code for reason in row.reasons} == {Code.RECENT_ROLLOUT}
        assert END.timestamp() - newest[row.namespace, row.workload_kind, row.workload] < 48 * 3600
    assert (recs["grade"] != "refused").mean() > 0.5


def test_the_three_numbers_have_sources_and_unknown_rules_lower_the_grade(review):
    """This exporter shows no capacity of nodes: what is allocatable is priced, and bankable is packed all the same."""
    savings = review.money.savings
    whole = savings[savings["scope"] == "cluster"].set_index("number")
    assert np.isfinite(whole.loc[["paper", "bankable"], "amount"]).all()
    assert whole["price_source"].str.contains("OpenCost default prices").all()
    assert np.isnan(whole.loc["realised", "amount"])
    packing = review.money.packed.packing
    assert len(packing)
    assert (packing["unknown"] != "").all()
    assert set(packing["grade"]) <= {"medium", "low"}
    assert review.figures["cost_window"] == pytest.approx(review.money.costs.nodes["cost"].sum())
