"""The collector: what is measured, marked and kept, whatever happens (fault rows 12, 13, 31, 37)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from aiops_analysis.core.errors import NotEnoughData, SourceRefused, SourceUnreachable
from aiops_analysis.core.redact import Redactor
from aiops_analysis.core.schema import INVENTORY, LABELS, NODES, blank
from aiops_analysis.core.window import Window
from aiops_analysis.history.days import read_day
from aiops_analysis.history.inventory import commit_frame, read_frame
from aiops_analysis.history.store import Manifest, open_store
from aiops_analysis.history.weekly import read_weekly
from aiops_analysis.sources.http import Server
from aiops_analysis.sources.kube_api import RESOURCES, Absent, KubeAccess, connect
from aiops_analysis.sources.kube_parts import Objects
from aiops_analysis.sources.prometheus import Prometheus
from aiops_analysis.workflows.collect import Pace, collect, snapshot
from aiops_analysis.workflows.daybook import united
from aiops_analysis.workflows.pull import pull
from tests.kube_server import Cluster, kubeconfig, real_objects, serve, why_no_objects

ROOT = Path(__file__).resolve().parents[1]
DAY = date(2026, 11, 1)
START = datetime(2026, 11, 1, 10, 0, tzinfo=UTC)
MI = 2**20
KEY = ("shop", "Deployment", "web", "web-a-1", "app")


def pod(name="web-a-1", owner=("ReplicaSet", "web-a"), start="2026-11-01T06:00:00Z", phase="Running"):
    return {
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": f"uid-{name}",
            "ownerReferences": [{"kind": owner[0], "name": owner[1], "controller": True}],
        },
        "spec": {"nodeName": "n1", "containers": [{"name": "app", "image": "a:1", "resources": {"requests": {"cpu": "500m"}}}]},
        "status": {"phase": phase, "startTime": start, "qosClass": "Burstable"},
    }


def metrics(at, cpu="100m", memory="50Mi", name="web-a-1", window="0s"):
    stamp = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    usage = {"cpu": cpu, "memory": memory}
    return {
        "metadata": {"name": name, "namespace": "shop"},
        "timestamp": stamp,
        "window": window,
        "containers": [{"name": "app", "usage": usage}],
    }


DEPLOYMENT = [{"kind": "Deployment", "name": "web", "controller": True}]
OBJECTS = {
    "pods": [pod()],
    "replicasets": [{"metadata": {"name": "web-a", "namespace": "shop", "ownerReferences": DEPLOYMENT}}],
    "deployments": [{"metadata": {"name": "web", "namespace": "shop"}, "spec": {"replicas": 2}}],
    "jobs": [],
    "nodes": [{"metadata": {"name": "n1"}, "status": {"capacity": {"cpu": "4"}, "allocatable": {"cpu": "4"}}}],
}


class Fake:
    """A cluster and its clock: each turn of the loop gets the next answer, an exception is raised; the last one stays."""

    host = "http://fake"

    def __init__(self, answers, objects=(), at=START, clock=None):
        self.answers, self.looks, self.at = list(answers), list(objects) or [OBJECTS], at
        self.asked = []
        self.waited = []

    def objects(self, plurals=()):
        self.asked.append(tuple(plurals))
        found = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(found, Exception):
            raise found
        missing = {k: v for k, v in found.items() if isinstance(v, str)}
        return Objects({k: v for k, v in found.items() if not isinstance(v, str)}, missing)

    def pod_metrics(self):
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(found, BaseException):
            raise found
        return found(self.at) if callable(found) else found

    def now(self):
        return self.at

    def wait(self, seconds):
        self.waited.append(seconds)
        self.at += timedelta(seconds=seconds)
        return False


@pytest.fixture
def store(tmp_path):
    return open_store(tmp_path, "prod")


def run(store, fake, minutes=10, every=60, **options):
    pace = Pace(timedelta(seconds=every), timedelta(minutes=minutes))
    return collect(store, fake, pace, now=fake.now, wait=fake.wait, **options)


def rows(store, metric="cpu_usage", day=DAY):
    labels, samples = read_day(store, metric, day)
    return {tuple(key): samples[i] for i, key in enumerate(labels[list(LABELS)].itertuples(index=False, name=None))}


def test_cpu_is_the_mean_and_memory_the_maximum_of_a_step(store):
    # every minute from 10:00 to 10:09: 100m..190m in two steps of five samples; means 120m and 170m, largest 54 and 59 Mi
    fake = Fake([lambda at: [metrics(at, f"{100 + 10 * at.minute}m", f"{50 + at.minute}Mi")]])
    done = run(store, fake)
    cpu, memory = rows(store)[KEY], rows(store, "memory_working_set")[KEY]
    assert np.flatnonzero(np.isfinite(cpu)).tolist() == [120, 121]
    assert cpu[120:122] == pytest.approx([0.12, 0.17])
    assert memory[120:122].tolist() == [54 * MI, 59 * MI]
    assert (done.turns, done.measurements, done.stored, done.warnings) == (10, 10, {DAY: 1}, [])
    manifest = store.manifest("cpu_usage", DAY)
    assert (manifest.road, manifest.status, manifest.holes) == ("metrics-api", "incomplete", 286)
    assert fake.waited == [60.0] * 9


def test_a_measurement_that_is_shown_twice_counts_once(store):
    old = metrics(START)
    done = run(store, Fake([[old], [old], lambda at: [metrics(at, "400m")]]), minutes=3)
    assert done.measurements == 2
    assert rows(store)[KEY][120] == pytest.approx((0.1 + 0.4) / 2)


def test_the_inventory_grows_with_the_day(store):
    run(store, Fake([lambda at: [metrics(at)]]), minutes=12)
    (row,) = read_frame(store, "inventory", [DAY]).to_dict("records")
    # it runs since 06:00; looked at at 10:00, 10:05 and 10:10
    assert (str(row["first_seen"]), str(row["last_seen"])) == ("2026-11-01 06:00:00+00:00", "2026-11-01 10:15:00+00:00")
    assert (row["workload_kind"], row["workload"], row["cpu_request"]) == ("Deployment", "web", 0.5)
    assert read_frame(store, "workloads", [DAY])["replicas"].tolist() == [2.0]
    assert read_frame(store, "nodes", [DAY])["cpu_allocatable"].tolist() == [4.0]
    assert len(read_weekly(store, "containers"))


def test_over_midnight_each_day_gets_its_own(store):
    late = datetime(2026, 11, 1, 23, 58, tzinfo=UTC)
    run(store, Fake([lambda at: [metrics(at)]], at=late), minutes=20)
    assert np.flatnonzero(np.isfinite(rows(store)[KEY])).tolist() == [287]
    assert np.flatnonzero(np.isfinite(rows(store, day=date(2026, 11, 2))[KEY])).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("fault", "says"),
    [(Absent("http://x has no pods.metrics.k8s.io (404)"), "404"), (SourceUnreachable("http://x cannot answer now (503)"), "503")],
)
def test_f12_metrics_server_absent_or_down_is_marked_and_goes_on(store, fault, says):
    told = []
    done = run(store, Fake([lambda at: [metrics(at)], fault, fault, lambda at: [metrics(at)]]), minutes=5, progress=told.append)
    assert [t.measurements for t in told] == [1, 0, 0, 1, 1]
    assert says in told[1].problem
    (warning,) = done.warnings
    assert says in warning
    assert store.manifest("cpu_usage", DAY).warnings == (warning,)


def test_f12_pods_without_metrics_are_marked(store):
    objects = OBJECTS | {"pods": [pod(), pod("web-a-2"), pod("web-a-3", start="2026-11-01T09:59:30Z")]}  # the third is too new to be missed
    done = run(store, Fake([lambda at: [metrics(at)]], [objects]), minutes=1)
    assert done.without_metrics == 1
    assert done.warnings == ["metrics of some running pods were missing at times"]


def test_f12_pods_deleted_between_list_and_metrics_are_marked(store):
    fake = Fake([lambda at: [metrics(at), metrics(at, name="gone-1")]])
    done = run(store, fake, minutes=2)
    assert sorted(rows(store)) == [KEY]
    assert done.gone == 2
    assert done.warnings == ["metrics of some pods that were deleted just then are left out"]
    assert ("pods", "replicasets", "jobs") in fake.asked  # it was looked for once more


def test_f12_a_pod_that_is_newer_than_the_last_look_is_found(store):
    newer = OBJECTS | {"pods": [pod(), pod("web-a-2", start="2026-11-01T10:00:30Z")]}
    fake = Fake([lambda at: [metrics(at)], lambda at: [metrics(at), metrics(at, name="web-a-2")]], [OBJECTS, newer])
    done = run(store, fake, minutes=3)
    assert {key[2:4] for key in rows(store)} == {("web", "web-a-1"), ("web", "web-a-2")}
    assert done.warnings == []


def test_f13_lists_that_may_not_be_read_are_named(store):
    objects = {k: v for k, v in OBJECTS.items() if k != "nodes"} | {"nodes": "the account may not list nodes (403)"}
    done = snapshot(store, Fake([[]], [objects]), now=START)
    assert done.warnings == ["nodes are not known: the account may not list nodes (403)"]
    assert store.manifest("nodes", DAY) is None
    assert store.manifest("inventory", DAY).warnings == tuple(done.warnings)


def test_a_first_look_that_fails_ends_it(store):
    with pytest.raises(SourceRefused):
        run(store, Fake([[]], [SourceRefused("the credentials are not accepted")]))
    assert store.days("inventory") == []


def test_a_later_look_that_fails_is_told(store):
    done = run(store, Fake([lambda at: [metrics(at)]], [OBJECTS, SourceUnreachable("down")]), minutes=12)
    assert done.warnings == ["the objects could not be listed at times: down"]
    assert done.measurements == 12


def test_nothing_measured_is_not_enough(store):
    with pytest.raises(NotEnoughData, match=r"nothing was measured: metrics\.k8s\.io: gone; try: kubectl top pods -A"):
        run(store, Fake([Absent("gone")]), minutes=3)
    assert store.days("inventory") == [DAY]  # what the objects say is kept


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_f37_a_signal_keeps_what_was_measured(store, stop):
    with pytest.raises(stop):
        run(store, Fake([lambda at: [metrics(at)], lambda at: [metrics(at)], stop()]))
    assert np.flatnonzero(np.isfinite(rows(store)[KEY])).tolist() == [120]


def test_f37_running_again_resumes_the_day(store):
    run(store, Fake([lambda at: [metrics(at, "100m", "90Mi")]]), minutes=7)
    run(store, Fake([lambda at: [metrics(at, "300m", "10Mi")]], at=START + timedelta(minutes=7)), minutes=7)
    cpu, memory = rows(store)[KEY], rows(store, "memory_working_set")[KEY]
    assert np.flatnonzero(np.isfinite(cpu)).tolist() == [120, 121, 122]
    assert cpu[120] == pytest.approx(0.1)
    assert cpu[121] == pytest.approx(0.3)  # the later part of a step that two runs share
    assert memory[120:123].tolist() == [90 * MI, 90 * MI, 10 * MI]  # a maximum is never lost


KILLED = """
import os, signal, sys
from datetime import timedelta
from tests.test_collect import Fake, metrics, run
from aiops_analysis.history.store import open_store
from pathlib import Path

class Killed(Fake):
    def wait(self, seconds):
        if len(self.waited) >= int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().wait(seconds)

run(open_store(Path(sys.argv[1]), "prod"), Killed([lambda at: [metrics(at)]]), minutes=60)
"""


@pytest.mark.parametrize(("turns", "steps"), [(3, []), (8, [120]), (13, [120, 121])])
def test_f31_a_killed_collector_loses_the_last_minutes_at_most(tmp_path, turns, steps):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), str(turns)], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True
    )
    assert done.returncode == -signal.SIGKILL
    store = open_store(tmp_path, "prod")
    held = rows(store)
    assert [int(step) for step in np.flatnonzero(np.isfinite(held[KEY]))] == steps if steps else held == {}
    run(store, Fake([lambda at: [metrics(at)]], at=START + timedelta(minutes=20)), minutes=5)
    assert np.flatnonzero(np.isfinite(rows(store)[KEY])).tolist() == [*steps, 124]


def test_a_pod_that_goes_on_ran_until_the_end_of_the_day_before(store):
    # five minutes a day look like five minutes of life, unless the day before is closed
    run(store, Fake([lambda at: [metrics(at)]]), minutes=5)
    run(store, Fake([lambda at: [metrics(at)]], at=START + timedelta(days=1)), minutes=5)
    frame = read_frame(store, "inventory", [DAY])
    assert str(frame["last_seen"].iloc[0]) == "2026-11-02 00:00:00+00:00"
    assert str(read_frame(store, "inventory", [date(2026, 11, 2)])["first_seen"].iloc[0]) == "2026-11-02 00:00:00+00:00"


def test_what_a_server_measured_stays(store):
    before = pd.DataFrame(
        [
            blank(INVENTORY)
            | {
                "namespace": "shop",
                "pod": "web-a-1",
                "uid": "x",
                "container": "app",
                "image": "as the server says",
                "first_seen": START,
                "last_seen": START,
            }
        ]
    )
    nodes = pd.DataFrame([blank(NODES) | {"node": "other", "first_seen": START, "last_seen": START}])
    with store.lock():
        commit_frame(store, Manifest("inventory", DAY, source={"flavour": "Prometheus"}), before)
        commit_frame(store, Manifest("nodes", DAY, source={"flavour": "Prometheus"}), nodes)
    snapshot(store, Fake([[]]), now=START)
    assert read_frame(store, "inventory", [DAY])["image"].tolist() == ["as the server says"]
    assert read_frame(store, "nodes", [DAY])["node"].tolist() == ["n1", "other"]
    manifest = store.manifest("nodes", DAY)
    assert (manifest.road, manifest.source["flavour"]) == ("query_range", "Prometheus")
    assert manifest.infos == ("added to by kubernetes at 2026-11-01T10:00:00Z",)
    assert read_frame(store, "workloads", [DAY])["workload"].tolist() == ["web"]


def test_united_takes_what_the_server_does_not_know():
    row = blank(NODES) | {"first_seen": START, "last_seen": START}
    server = pd.DataFrame([row | {"node": "a", "pool": "default"}])
    api = pd.DataFrame([row | {"node": "a", "pool": "blue"}, row | {"node": "b", "pool": "blue"}])
    assert united("nodes", server, api)[["node", "pool"]].to_numpy().tolist() == [["a", "default"], ["b", "blue"]]
    assert united("nodes", server.iloc[:0], api)["node"].tolist() == ["a", "b"]


@pytest.mark.skipif(bool(why_no_objects()), reason=why_no_objects() or "there")
def test_recorded_objects_become_a_day(store, tmp_path):
    with serve(Cluster(real_objects(), metrics=[])) as cluster:
        done = snapshot(store, connect(KubeAccess(str(kubeconfig(tmp_path, cluster.url))), environ={}), now=START)
    assert done.facts["nodes"] == 9
    assert done.facts["inventory"] == len(read_frame(store, "inventory", [DAY])) == 22
    assert done.notes == []
    # two recorded clusters have a Deployment of that name; the LimitRanges and quotas of the bundle are empty
    assert done.facts["bounds"] == 0
    assert {"coredns", "traefik", "nginx-sts"} <= set(read_frame(store, "workloads", [DAY])["workload"])


def test_the_role_of_the_docs_is_what_is_read():
    (role, *_) = yaml.safe_load_all((ROOT / "deploy" / "rbac.yaml").read_text())
    allowed = {(group, name) for rule in role["rules"] for group in rule["apiGroups"] for name in rule["resources"]}
    assert allowed == {(group, plural) for plural, (group, _) in RESOURCES.items()} | {("metrics.k8s.io", "pods")}
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} == {"get", "list"}


@pytest.fixture
def command(tmp_path):
    """``command(cluster, *arguments)`` starts the command line against a served cluster."""

    def start(cluster, *arguments):
        config = kubeconfig(tmp_path, cluster.url)
        line = [sys.executable, "-m", "aiops_analysis", "collect", "--cluster", "prod", "--kubeconfig", str(config), *arguments]
        environ = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
        return subprocess.Popen(line, cwd=tmp_path, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **heard)

    return start


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_f37_the_command_keeps_the_day_and_says_how_to_go_on(tmp_path, command, number, code):
    item = metrics(START) | {"timestamp": ""}  # without a time stamp the collector's own clock counts
    with serve(Cluster(OBJECTS, metrics=[item])) as cluster, command(cluster, "--every", "10s") as process:
        try:
            while "1 measurements" not in process.stderr.readline():
                assert process.poll() is None
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == code
    assert err == "what was measured is kept in the history; run again to resume\nerror: stopped by a signal\n"
    assert out == ""
    store = open_store(tmp_path / "data" / "history", "prod")
    (day,) = store.days("cpu_usage")
    assert np.isfinite(rows(store, day=day)[KEY]).sum() == 1
    assert cluster.methods == {"GET"}


def test_the_command_once(tmp_path, command):
    with serve(Cluster(OBJECTS, refuse={"nodes": 403})) as cluster, command(cluster, "--once", "--json") as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    document = json.loads(out)
    assert document["facts"] == {"inventory": 1, "workloads": 1}
    assert any(text.startswith("nodes are not known: the account may not list nodes (403") for text in document["warnings"])
    assert "s3cret-token" not in out + err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--every", "1s"], "--every is 1s, expected 0:00:10 to 0:05:00"),
        (["--for", "soon"], "--for is 'soon', expected a duration"),
        (["--context", "prod"], "has no context 'prod' (there: other, test)"),
    ],
)
def test_how_the_command_is_mistyped(command, arguments, says):
    with command(Cluster(url="http://127.0.0.1:9"), *arguments) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert says in err


@pytest.mark.server
def test_a_pull_does_not_count_twice_what_the_api_told_before(demo_prometheus, store):
    source = Prometheus(Server(demo_prometheus.url), Redactor())
    window, now = Window.of_days(DAY, 1), datetime(2026, 11, 2, 0, 20, tzinfo=UTC)
    pull(open_store(store.root, "alone"), source, window, now=now)
    alone = read_frame(open_store(store.root, "alone"), "inventory", [DAY])
    one = alone.iloc[0].to_dict()
    told = pd.DataFrame([one | {"image": "as the API says"}, one | {"pod": "short-lived", "uid": "s"}])
    with store.lock():
        commit_frame(store, Manifest("inventory", DAY, road="kubernetes"), told)
    pull(store, source, window, now=now)
    both = read_frame(store, "inventory", [DAY])
    assert len(both) == len(alone) + 1
    assert both.loc[both["pod"] == "short-lived", "uid"].tolist() == ["s"]
    assert "as the API says" not in set(both["image"])
    assert store.manifest("inventory", DAY).road == "query_range"
