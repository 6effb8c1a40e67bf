"""The review of a real Prometheus that holds a generated cluster equals numpy on the raw samples (60 containers x 14 days)."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from aiops_analysis.core.redact import Redactor
from aiops_analysis.core.schema import GROUP
from aiops_analysis.core.window import Window
from aiops_analysis.history.store import Store, open_store
from aiops_analysis.sources.http import Server
from aiops_analysis.sources.prometheus import Prometheus
from aiops_analysis.workflows.measure import usage_of
from aiops_analysis.workflows.pull import pull
from tests import servers
from tests.cluster_history import Truth, build_blocks, why_not

pytestmark = pytest.mark.server

WINDOW = Window.of_days(date(2026, 11, 1), 14)
NOW = datetime(2026, 11, 2, 0, 20, tzinfo=UTC)


@pytest.fixture(scope="session")
def cluster_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model and the blocks, made once for all workers (about 30 s)."""
    if why_not():
        pytest.skip(why_not())
    promtool = servers.need("promtool")
    servers.need("prometheus")
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cluster"
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "tsdb").exists():
            build_blocks(folder, promtool)
    return folder


@pytest.fixture(scope="module")
def truth(cluster_folder: Path) -> Truth:
    return Truth(cluster_folder)


@pytest.fixture(scope="module")
def store(cluster_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    kept = open_store(tmp_path_factory.mktemp("history"), "generated")
    with servers.prometheus_server(cluster_folder / "tsdb") as running:
        pulled = pull(kept, Prometheus(Server(running.url), Redactor()), WINDOW, now=NOW)
    assert len(pulled.stored) == 14
    return kept


@pytest.mark.parametrize("resource", ["cpu", "memory"])
def test_usage_equals_numpy_on_the_raw_samples(store, truth, resource):
    samples = truth.cpu if resource == "cpu" else truth.memory
    usage = usage_of(store, WINDOW, resource).set_index(list(GROUP))
    assert set(usage.index) == {key for key, pods in samples.items() if np.isfinite(np.stack(pods)).any()}
    for key, row in usage.iterrows():
        pods = np.stack(samples[key])
        pooled = pods[np.isfinite(pods)]
        assert row["samples"] == len(pooled), key
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0)):
            np.testing.assert_allclose(row[name], np.quantile(pooled, share), rtol=1e-6, err_msg=f"{key} {name}")
        assert row["steps"] == np.isfinite(pods).any(axis=0).sum(), key


def test_the_woodruff_bound_equals_its_definition(store, truth):
    """f_d, sd, t(0.95, D-1) and the quantile at 0.95 + t*s/sqrt(D), from the raw samples."""
    t13 = 1.770933395986873  # of 13 degrees of freedom, from published tables
    usage = usage_of(store, WINDOW, "cpu").set_index(list(GROUP))
    compared = 0
    for key, row in usage.iterrows():
        days = np.stack(truth.cpu[key]).reshape(len(truth.cpu[key]), 14, 288)
        finite = np.isfinite(days)
        if not finite.any(axis=(0, 2)).all():
            continue
        pooled = days[finite].astype(np.float32).astype(float)
        p95 = np.quantile(pooled, 0.95)
        share = np.array([(days[:, d][finite[:, d]].astype(np.float32) > p95).mean() for d in range(14)])
        bound = min(1.0, 0.95 + t13 * share.std(ddof=1) / np.sqrt(14))
        np.testing.assert_allclose(row["upper"], np.quantile(pooled, bound), rtol=2e-6, err_msg=str(key))
        compared += 1
    assert compared > 5
