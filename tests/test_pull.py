"""Pulls from a real Prometheus that holds the demo: equal numbers, missing days only, and what happens when things break."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from aiops_analysis.core.errors import SourceUnreachable
from aiops_analysis.core.redact import Redactor
from aiops_analysis.core.schema import METRICS
from aiops_analysis.core.window import Window
from aiops_analysis.history.days import read_day
from aiops_analysis.history.inventory import read_frame
from aiops_analysis.history.store import Manifest, open_store
from aiops_analysis.history.weekly import read_weekly
from aiops_analysis.sources.http import Server
from aiops_analysis.sources.prometheus import Prometheus
from aiops_analysis.workflows.doctor import examine
from aiops_analysis.workflows.job_runs import whole_runs
from aiops_analysis.workflows.measure import ALL_KINDS
from aiops_analysis.workflows.pull import load, missing_days, pull
from tests import servers
from tests.demo_fixtures import own_blocks

pytestmark = pytest.mark.server

LAST = date(2026, 11, 1)
NOW = datetime(2026, 11, 2, 0, 20, tzinfo=UTC)
LABELS = ["namespace", "workload_kind", "workload", "pod", "container"]


def source(url, **options):
    return Prometheus(Server(url), Redactor(), **options)


def window(days=2, last=LAST):
    return Window.of_days(last, days)


def contents(store):
    """Every data file and manifest of a store, without the lock."""
    return {str(p.relative_to(store.path)): p.read_bytes() for p in sorted(store.path.rglob("*")) if p.is_file() and ".lock" not in p.name}


@pytest.fixture(scope="session")
def pulled(demo_prometheus, tmp_path_factory):
    """The last eight days pulled once, read-only for all tests here; the first day in the server has no day before it."""
    store = open_store(tmp_path_factory.mktemp("pulled"), "demo")
    result = pull(store, source(demo_prometheus.url), window(8), now=NOW)
    return store, result


def by_labels(labels, samples):
    return dict(zip(labels[LABELS].itertuples(index=False, name=None), samples, strict=True))


@pytest.mark.parametrize("metric", ["cpu_usage", "memory_working_set", "cpu_throttled", "cpu_periods"])
def test_the_server_gives_the_demo_back(pulled, demo_cluster, metric):
    store, _ = pulled
    for day in window(8).days():
        want = by_labels(*demo_cluster.matrices(day)[metric])
        got = by_labels(*read_day(store, metric, day))
        assert got.keys() == want.keys()
        for key, row in want.items():
            np.testing.assert_allclose(got[key], row, rtol=1e-6, atol=1e-9, equal_nan=True, err_msg=f"{metric} {day} {key}")


def test_events_of_the_demo_come_back(pulled, demo_cluster):
    store, _ = pulled
    for metric in ("restarts", "oom_kills"):
        for day in window(8).days():
            labels, samples = demo_cluster.matrices(day)[metric]
            want = {key: np.nansum(row) for key, row in by_labels(labels, samples).items()}
            got = {key: np.nansum(row) for key, row in by_labels(*read_day(store, metric, day)).items()}
            assert got == want, f"{metric} {day}"


def test_facts_of_the_demo_come_back_as_intervals(pulled, demo_cluster):
    store, _ = pulled
    for kind in ("inventory", "nodes", "hpas", "bounds"):
        for day in window(8).days():
            want = getattr(demo_cluster, kind)(day)
            keys = [name for name in want.columns if want[name].dtype == "str"] + ["first_seen"]
            got = read_frame(store, kind, [day]).sort_values(keys, ignore_index=True)
            want = want.sort_values(keys, ignore_index=True)
            assert got.to_dict("list").keys() == want.to_dict("list").keys()
            for name in want.columns:
                if want[name].dtype == "float64":
                    np.testing.assert_allclose(got[name], want[name], rtol=1e-6, err_msg=f"{kind} {day} {name}")
                else:
                    assert got[name].tolist() == want[name].tolist(), f"{kind} {day} {name}"


def test_runs_of_the_demos_jobs_come_back(pulled, demo_cluster):
    store, _ = pulled
    days = list(window(8).days())
    got, want = whole_runs(read_frame(store, "runs", days)), whole_runs(pd.concat([demo_cluster.runs(day) for day in days]))
    assert len(got) == len(want) == 9  # eight nights and one import
    for name in ("namespace", "workload_kind", "workload", "job", "pod", "container", "start", "end", "outcome"):
        assert got[name].tolist() == want[name].tolist()
    # the counter is last scraped half a minute before the end of a run of at least 25 minutes
    np.testing.assert_allclose(got["cpu_seconds"], want["cpu_seconds"], rtol=0.03)
    assert (got["cpu_seconds"] <= want["cpu_seconds"]).all()
    np.testing.assert_allclose(got["memory_max"], want["memory_max"], rtol=1e-6)


def test_bursts_are_not_below_the_means(pulled):
    store, _ = pulled
    burst = read_frame(store, "burst", [LAST]).set_index(LABELS)
    cpu = by_labels(*read_day(store, "cpu_usage", LAST))
    assert set(burst.index) == set(cpu)
    assert all(burst.loc[key, "cpu_max"] >= np.nanmax(row) * 0.999 for key, row in cpu.items() if np.isfinite(row).sum() > 12)
    assert (burst["cpu_p999"] <= burst["cpu_max"] + 1e-12).all()


def test_every_day_is_complete_and_says_where_it_came_from(pulled, demo_prometheus):
    store, result = pulled
    assert set(result.stored.values()) == {"complete"}
    manifest = store.manifest("cpu_usage", LAST)
    assert manifest.source["flavour"] == "prometheus"
    assert manifest.source["url"] == demo_prometheus.url
    assert "rate(container_cpu_usage_seconds_total" in manifest.queries["cpu_usage"]
    assert sum(steps for _, steps in manifest.targets) == 288
    assert set(read_weekly(store, "containers")["week"]) == {"2026-10-19", "2026-10-26"}


def test_a_second_pull_asks_the_server_nothing(pulled, demo_prometheus):
    store, _ = pulled
    again = pull(store, source(demo_prometheus.url), window(8), now=NOW)
    assert (again.requests, again.kept, again.stored) == (0, 8, {})
    # not even whether it is there
    assert load(store.root, "demo", source("http://127.0.0.1:9"), window(8), now=NOW).pulled.requests == 0


def test_days_the_server_does_not_have_are_named_and_not_stored(demo_prometheus, tmp_path):
    store = open_store(tmp_path, "demo")
    result = pull(store, source(demo_prometheus.url), window(3, date(2026, 10, 25)), now=NOW)
    assert result.nothing == [date(2026, 10, 23)]
    assert store.days("cpu_usage") == [date(2026, 10, 24), date(2026, 10, 25)]


def test_a_day_that_is_not_over_is_left_for_later(demo_prometheus, tmp_path):
    noon = datetime(2026, 11, 1, 12, tzinfo=UTC)
    result = pull(open_store(tmp_path, "demo"), source(demo_prometheus.url), window(2), now=noon)
    assert list(result.stored) == [date(2026, 10, 31)]


def test_f33_a_damaged_day_is_named_moved_aside_and_pulled_again(pulled, demo_prometheus, tmp_path):
    good, _ = pulled
    store = open_store(tmp_path, "demo")
    shutil.copytree(good.path, store.path)
    path = next(store.folder("cpu_usage", LAST).glob("bucket-*"))
    path.write_bytes(path.read_bytes()[:-5])
    result = pull(store, source(demo_prometheus.url), window(8), now=NOW)
    assert len(result.set_aside) == 1
    assert "its manifest says" in result.set_aside[0]
    assert list(result.stored) == [LAST]
    np.testing.assert_array_equal(read_day(store, "cpu_usage", LAST)[1], read_day(good, "cpu_usage", LAST)[1])
    assert len(list((store.path / "cpu_usage" / "damaged").iterdir())) == 1


def test_a_day_pulled_again_loses_no_sample(pulled, demo_prometheus, tmp_path):
    good, _ = pulled
    store = open_store(tmp_path, "demo")
    shutil.copytree(good.path, store.path)
    # what the server has forgotten meanwhile: a series that only the store still has
    from dataclasses import replace

    from aiops_analysis.history.days import commit_matrix

    labels, samples = read_day(store, "cpu_usage", LAST)
    labels = labels.copy()
    labels.loc[0, "pod"] = "forgotten"
    with store.lock():
        commit_matrix(store, replace(store.manifest("cpu_usage", LAST), status="incomplete"), labels, samples)
    pull(store, source(demo_prometheus.url), window(1), now=NOW)
    pods = set(read_day(store, "cpu_usage", LAST)[0]["pod"])
    assert "forgotten" in pods
    assert len(pods) == len(set(read_day(good, "cpu_usage", LAST)[0]["pod"])) + 1
    assert store.manifest("cpu_usage", LAST).attempts == 2


def test_f17_a_hole_makes_a_day_incomplete_three_times_then_final(demo_blocks, demo_cluster, tmp_path):
    """A server with half a day of the demo: the day has a hole, is asked for three times, and then left."""
    text, blocks = tmp_path / "half.om", tmp_path / "tsdb"
    blocks.mkdir()
    with text.open("wb") as file:
        demo_cluster.openmetrics(datetime(2026, 11, 1, 12, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC), file)
    servers.create_blocks(text, blocks)
    store = open_store(tmp_path / "history", "demo")
    with servers.prometheus_server(blocks) as running:
        states = []
        for _ in range(4):
            result = pull(store, source(running.url), window(1), now=NOW)
            manifest = store.manifest("cpu_usage", LAST)
            states.append((manifest.status, manifest.attempts, result.stored.get(LAST)))
    assert states == [
        ("incomplete", 1, "incomplete"),
        ("incomplete", 2, "incomplete"),
        ("final_with_holes", 3, "final_with_holes"),
        ("final_with_holes", 3, None),  # not asked again
    ]
    assert manifest.holes == 144
    samples = read_day(store, "cpu_usage", LAST)[1]
    assert np.isnan(samples[:, :143]).all()  # missing, not zero


_KILLED = """
import os, pathlib, sys
from datetime import UTC, date, datetime
from aiops_analysis.core.redact import Redactor
from aiops_analysis.core.window import Window
from aiops_analysis.history.store import Manifest, open_store
from aiops_analysis.sources.http import Server
from aiops_analysis.sources.prometheus import Prometheus
from aiops_analysis.workflows.job_runs import whole_runs
from aiops_analysis.workflows.pull import pull
left = [int(sys.argv[3])]
def counted(real):
    def call(*args):
        left[0] -= 1
        if left[0] == 0:
            os._exit(9)  # as SIGKILL would
        return real(*args)
    return call
os.replace, os.fsync = counted(os.replace), counted(os.fsync)
store = open_store(pathlib.Path(sys.argv[1]), "demo")
pull(store, Prometheus(Server(sys.argv[2]), Redactor()), Window.of_days(date(2026, 11, 1), 1), now=datetime(2026, 11, 2, 0, 20, tzinfo=UTC))
"""


def test_f31_a_pull_killed_at_twenty_moments_loses_nothing(demo_prometheus, tmp_path):
    """The same store is killed again and again at seeded moments; the last pull completes it, equal to one that was never killed."""
    moments = np.random.default_rng(31).integers(1, 45, 20)
    store = open_store(tmp_path / "killed", "demo")
    seen: set[tuple[str, date]] = set()
    killed = 0
    for moment in moments:
        command = [sys.executable, "-c", _KILLED, str(store.root), demo_prometheus.url, str(moment)]
        killed += subprocess.run(command, check=False).returncode == 9
        now = {(kind, day) for kind in ALL_KINDS for day in store.days(kind)}
        assert seen <= now  # what was committed stays
        seen = now
        for metric in METRICS:
            for day in store.days(metric):
                read_day(store, metric, day)  # readable throughout: raises when it is not
    assert killed >= 5
    pull(store, source(demo_prometheus.url), window(1), now=NOW)
    whole = open_store(tmp_path / "whole", "demo")
    pull(whole, source(demo_prometheus.url), window(1), now=NOW)
    assert missing_days(store, [LAST], retention=None, now=NOW) == []
    for metric in METRICS:
        assert by_labels(*read_day(store, metric, LAST)).keys() == by_labels(*read_day(whole, metric, LAST)).keys()
        np.testing.assert_array_equal(read_day(store, metric, LAST)[1], read_day(whole, metric, LAST)[1])
    for kind in ("inventory", "nodes", "hpas", "burst"):
        assert read_frame(store, kind, [LAST]).to_dict("list").__repr__() == read_frame(whole, kind, [LAST]).to_dict("list").__repr__()
    assert not list(store.path.rglob(".tmp-*"))


def test_f34_two_pulls_at_once_both_succeed_and_the_days_are_asked_once(demo_prometheus, tmp_path):
    results = []

    def run():
        results.append(pull(open_store(tmp_path, "demo"), source(demo_prometheus.url), window(2), now=NOW))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(len(r.stored) for r in results) == [0, 2]


def test_f07_a_server_that_dies_and_comes_back_goes_on_and_asks_no_day_again(demo_blocks, tmp_path):
    blocks = own_blocks(demo_blocks, tmp_path / "tsdb")
    port = servers.free_port()
    running = servers.prometheus_server(blocks, port=port)
    running.__enter__()
    revived = []
    one_at_a_time = threading.Lock()

    def after_a_day(progress):
        if progress.done == 1 and not revived:
            running.__exit__(None, None, None)

    def instead_of_waiting(_seconds):
        with one_at_a_time:
            if revived:
                return
            again = servers.prometheus_server(blocks, port=port)
            again.__enter__()
            revived.append(again)

    try:
        asked = source(f"http://127.0.0.1:{port}", sleep=instead_of_waiting)
        result = pull(open_store(tmp_path / "history", "demo"), asked, window(3), now=NOW, progress=after_a_day)
    finally:
        for server in revived or [running]:
            server.__exit__(None, None, None)
    assert revived
    assert len(result.stored) == 3


def test_f07_a_server_that_stays_away_leaves_the_finished_days(demo_blocks, tmp_path):
    running = servers.prometheus_server(own_blocks(demo_blocks, tmp_path / "tsdb"))
    server = running.__enter__()
    store = open_store(tmp_path / "history", "demo")

    def after_a_day(progress):
        if progress.done == 1:
            running.__exit__(None, None, None)

    with pytest.raises(SourceUnreachable, match=r"127\.0\.0\.1"):
        pull(store, source(server.url, sleep=lambda _s: None), window(3), now=NOW, progress=after_a_day)
    assert date(2026, 10, 30) in store.days("cpu_usage")
    assert date(2026, 11, 1) not in store.days("cpu_usage")


def test_f23_an_empty_server_stores_nothing(tmp_path):
    (tmp_path / "tsdb").mkdir()
    with servers.prometheus_server(tmp_path / "tsdb") as running:
        result = pull(open_store(tmp_path / "history", "demo"), source(running.url), window(2), now=NOW)
    assert result.stored == {}
    assert len(result.nothing) == 2


def test_f32_a_history_that_cannot_be_written_is_one_clear_error(demo_prometheus, tmp_path):
    from aiops_analysis.core.errors import StoreError

    (tmp_path / "history").write_text("not a folder")
    with pytest.raises(StoreError, match="history"):
        load(tmp_path / "history", "demo", source(demo_prometheus.url), window(1), now=NOW)
    if os.geteuid() != 0:  # root may write anywhere
        locked = tmp_path / "locked"
        locked.mkdir(mode=0o500)
        with pytest.raises(StoreError, match="cannot write"):
            load(locked, "demo", source(demo_prometheus.url), window(1), now=NOW)


def test_the_doctor_says_what_is_there_and_when_there_is_enough(pulled, demo_prometheus):
    store, _ = pulled
    found = examine(store, source(demo_prometheus.url), now=NOW)
    assert found.server["flavour"] == "prometheus"
    assert len(found.days_stored) == 8
    # the first day that can be had is 24 Oct: 7 days span to 31 Oct, 14 to 7 Nov
    assert found.enough == {"7": "2026-10-31", "14": "2026-11-07"}
    features = {f.name: f.missing for f in found.features}
    assert features["CPU right-sizing"] == ()
    assert found.as_dict()["features"]
    assert found.days_missing == ("2026-10-24",)  # of the nine days that the server has, eight are stored


def test_the_doctor_names_what_a_missing_metric_costs(tmp_path):
    (tmp_path / "tsdb").mkdir()
    with servers.prometheus_server(tmp_path / "tsdb") as running:
        found = examine(open_store(tmp_path / "history", "new"), source(running.url), now=NOW)
    assert any(note.startswith("CPU right-sizing: off, the server has no container_cpu_usage_seconds_total") for note in found.notes)
    assert found.enough["7"] == "2026-11-09"  # nothing stored: the first day is the one that is running


def test_days_are_lost_on_a_date(demo_prometheus, tmp_path):
    asked = source(demo_prometheus.url)
    kept = asked.flavour().retention
    assert kept > timedelta(days=365)
    lost = examine(open_store(tmp_path / "history", "demo"), asked, now=NOW).lost
    assert len(lost) == 9  # what the server does not have cannot be lost
    first = lost[0]
    day = datetime.fromisoformat(first["day"]).replace(tzinfo=UTC)
    assert first["lost_on"] == (day + kept).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_victoriametrics_is_stored_as_it_answers(demo_victoria, demo_cluster, tmp_path):
    """What is promised there: its own PromQL answers, to float32."""
    from aiops_analysis.core.window import DAY, day_start
    from aiops_analysis.sources import promql

    store, asked = open_store(tmp_path, "demo"), source(demo_victoria.url)
    result = pull(store, asked, window(1), now=NOW)
    assert result.source["flavour"] == "victoriametrics"
    for metric in ("cpu_usage", "memory_working_set"):
        start = day_start(LAST)
        answer = asked.range(promql.range_query(metric, promql.Scope()), start + timedelta(minutes=5), start + DAY)
        want = {(m["namespace"], m["pod"], m["container"]): row for m, row in zip(answer.labels, answer.samples, strict=True)}
        labels, samples = read_day(store, metric, LAST)
        assert len(labels) == len(want) > 20
        for key, row in zip(labels[["namespace", "pod", "container"]].itertuples(index=False, name=None), samples, strict=True):
            there = np.isfinite(row)
            np.testing.assert_allclose(row[there], want[key][there], rtol=1e-6)
            assert there.sum() >= np.isfinite(want[key]).sum() - 2  # a lingering value after a pod's end is cut
    facts = ["node", "pool", "labels", "taints", "unschedulable", "cpu_allocatable"]
    nodes = read_frame(store, "nodes", [LAST])[facts].sort_values("node", ignore_index=True)
    assert nodes.to_dict("list") == demo_cluster.nodes(LAST)[facts].sort_values("node", ignore_index=True).to_dict("list")


def test_f36_a_day_of_an_older_version_is_asked_for_its_later_kinds_while_they_are_there(tmp_path):
    day = date(2026, 11, 1)
    store = open_store(tmp_path, "prod")
    with store.lock():
        for kind in ALL_KINDS:
            if kind not in ("runs", "bounds"):
                store.commit(Manifest(kind, day), {})
    now = datetime(2026, 11, 20, tzinfo=UTC)
    assert missing_days(store, [day], retention=timedelta(days=30), now=now) == [day]
    assert missing_days(store, [day], retention=timedelta(days=15), now=now) == []
    shutil.rmtree(store.folder("cpu_usage", day))
    assert missing_days(store, [day], retention=timedelta(days=15), now=now) == [day]
