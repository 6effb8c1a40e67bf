"""One real node (Kubernetes 1.31 and 1.33): cAdvisor and kube-state-metrics as they were scraped, through real servers, into the history.

What must come out is read from the texts and from the kubelet's own list of pods with nothing of the package. The texts hold one moment;
the day is that moment held, with CPU counters that grow at a known rate (tests/real/exporter.py).
"""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest

from aiops_analysis.analysis.policy import policy_of
from aiops_analysis.core.reasons import Code
from aiops_analysis.core.redact import Redactor
from aiops_analysis.core.window import Window
from aiops_analysis.history.days import read_day
from aiops_analysis.history.inventory import read_frame
from aiops_analysis.history.store import Store, open_store
from aiops_analysis.sources.http import Server
from aiops_analysis.sources.prometheus import Prometheus
from aiops_analysis.sources.promql import Scope
from aiops_analysis.workflows.doctor import examine
from aiops_analysis.workflows.facts import facts_of
from aiops_analysis.workflows.pull import MOVED, pull
from aiops_analysis.workflows.pull_day import Split, day_questions, day_result
from aiops_analysis.workflows.review import monthly
from tests import servers
from tests.real import need
from tests.real.exporter import GROWTH, Sample, day_text, read, target

pytestmark = pytest.mark.server

DAY = date(2025, 11, 4)  # when the texts were recorded
NOW = datetime(2025, 11, 5, 0, 20, tzinfo=UTC)
WINDOW = Window.of_days(DAY, 1)
START = int(datetime(2025, 11, 4, tzinfo=UTC).timestamp())
STAMPS = range(START - 600, START + 86_401, 100)  # 100 s divide the step, so that servers agree on increases
CADVISOR = ("container_cpu_usage_seconds_total", "container_cpu_cfs", "container_memory_working_set_bytes", "container_oom_events_total")
KSM = (
    "kube_pod_owner",
    "kube_pod_info",
    "kube_pod_container_",
    "kube_pod_status_phase",
    "kube_node_",
    "kube_replicaset_owner",
    "kube_job_",
    "kube_hor",
)
ALIVE = ("Pending", "Running")
SLOTS = ["cpu_request", "cpu_limit", "memory_request", "memory_limit"]
UNITS = {"m": 1e-3, "": 1.0, "M": 1e6, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30}


def quantity(text: str) -> float:
    """A Kubernetes quantity of the few forms that these pods use."""
    digits = text.rstrip("mMKiG")
    return float(digits) * UNITS[text[len(digits) :]]


@dataclass(frozen=True)
class Node:
    """One recorded node."""

    folder: Path

    @cached_property
    def cadvisor(self) -> list[Sample]:
        return read(self.folder / "cadvisor_metrics.prom.gz")

    @cached_property
    def ksm(self) -> list[Sample]:
        return read(self.folder / "ksm_metrics.prom.gz")

    @cached_property
    def pods(self) -> dict[tuple[str, str], dict]:
        """The kubelet's pods that have not ended."""
        listed = json.loads(gzip.decompress((self.folder / "kubelet_pods.json.gz").read_bytes()))["items"]
        return {(p["metadata"]["namespace"], p["metadata"]["name"]): p for p in listed if p["status"]["phase"] in ALIVE}

    def of(self, name: str) -> dict[tuple[str, str, str], float]:
        """A cAdvisor metric by namespace, pod and container: no aggregate rows, no pause containers."""
        rows = [s for s in self.cadvisor if s.name == name and s.labels["container"] and s.labels["image"]]
        found = {(s.labels["namespace"], s.labels["pod"], s.labels["container"]): s.value for s in rows}
        assert len(found) == len(rows) > 0
        return found

    def settings(self) -> dict[tuple[str, str, str], dict[str, float]]:
        """Requests and limits from the kubelet's list, what is not set left out."""
        out = {}
        for (namespace, pod), spec in self.pods.items():
            for container in spec["spec"]["containers"]:
                given = container.get("resources", {})
                out[namespace, pod, container["name"]] = {
                    f"{resource}_{which[:-1]}": quantity(text)
                    for which in ("requests", "limits")
                    for resource, text in given.get(which, {}).items()
                }
        return out

    def owners(self) -> dict[tuple[str, str], tuple[str, str]]:
        """Workload of each pod: the kubelet's owner references, ReplicaSets by name to their Deployments, static pods by their mark."""
        above = {
            (s.labels["namespace"], s.labels["replicaset"]): (s.labels["owner_kind"], s.labels["owner_name"])
            for s in self.ksm
            if s.name == "kube_replicaset_owner"
        }
        out = {}
        for (namespace, pod), spec in self.pods.items():
            meta = spec["metadata"]
            owner = [(o["kind"], o["name"]) for o in meta.get("ownerReferences", ())]
            static = meta.get("annotations", {}).get("kubernetes.io/config.source") == "file"
            kind, name = owner[0] if owner else ("Node", spec["spec"]["nodeName"]) if static else ("Pod", pod)
            out[namespace, pod] = above[namespace, name] if kind == "ReplicaSet" else (kind, name)
        return out


def asked(samples: list[Sample], names: tuple[str, ...]) -> list[Sample]:
    return [s for s in samples if s.name.startswith(names)]


def moved_aside(sample: Sample) -> Sample:
    """What Prometheus keeps without honor_labels of a target with namespace, pod and container; proven by the live test below."""
    own: dict[str, str] = {(f"exported_{k}" if k in HOME else k): v for k, v in sample.labels.items()}
    return replace(sample, labels=own | HOME)


HOME = {"namespace": "monitoring", "pod": "ksm-0", "container": "kube-state-metrics"}


def lines(node: Node, *, unit: int = 1, aside: bool = False) -> str:
    """The day of a node as text."""
    ksm = asked(node.ksm, KSM)
    up = [Sample("up", {}, 1.0, None)]
    text = day_text(asked(node.cadvisor, CADVISOR) + up, {"job": "cadvisor", "instance": "n:1"}, STAMPS, unit=unit)
    ours = [moved_aside(s) for s in ksm] if aside else ksm
    return text + day_text(ours + up, {"job": "kube-state-metrics", "instance": "k:1"}, STAMPS, unit=unit)


def blocks_of(node: Node, folder: Path, *, aside: bool = False) -> Path:
    text, blocks = folder / "day.om", folder / "tsdb"
    text.write_text(lines(node, aside=aside) + "# EOF\n")
    blocks.mkdir()
    servers.create_blocks(text, blocks, "--max-block-duration=54h")
    text.unlink()
    return blocks


@pytest.fixture(scope="module", params=["1_31", "1_33"])
def node(request: pytest.FixtureRequest) -> Node:
    return Node(need("nri_kubernetes") / request.param)


@pytest.fixture(scope="module")
def new() -> Node:
    return Node(need("nri_kubernetes") / "1_33")


@pytest.fixture(scope="module")
def store(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Store:
    servers.need("promtool")
    folder = tmp_path_factory.mktemp("nri")
    kept = open_store(folder / "history", "nri")
    with servers.prometheus_server(blocks_of(node, folder)) as running:
        pulled = pull(kept, Prometheus(Server(running.url), Redactor()), WINDOW, now=NOW)
    assert pulled.stored == {DAY: "complete"}
    assert pulled.warnings == []
    return kept


def by_container(labels: pd.DataFrame, samples: np.ndarray) -> dict[tuple[str, str, str], np.ndarray]:
    keys = list(labels[["namespace", "pod", "container"]].itertuples(index=False, name=None))
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, samples, strict=True))


def settings_in(inventory: pd.DataFrame) -> dict[tuple[str, str, str], dict[str, float]]:
    keys = list(inventory[["namespace", "pod", "container"]].itertuples(index=False, name=None))
    assert len(set(keys)) == len(keys)
    rows = inventory[SLOTS].to_dict("records")
    return {key: {k: v for k, v in row.items() if v == v} for key, row in zip(keys, rows, strict=True)}


def test_f16_no_container_is_counted_twice(node, store):
    """17 containers; the text has 58 rows of which 41 are cgroups above them, and their sum is several times as much."""
    truth = node.of("container_memory_working_set_bytes")
    found = by_container(*read_day(store, "memory_working_set", DAY))
    assert found.keys() == truth.keys()
    for key, row in found.items():
        np.testing.assert_array_equal(row, np.float32(truth[key]), err_msg=str(key))
    everything = [s.value for s in node.cadvisor if s.name == "container_memory_working_set_bytes"]
    assert len(everything) - len(truth) == 41
    assert sum(everything) > 4 * sum(truth.values())


def test_f15_cpu_is_the_known_rate_of_each_container(node, store):
    truth = node.of("container_cpu_usage_seconds_total")
    found = by_container(*read_day(store, "cpu_usage", DAY))
    assert found.keys() == truth.keys()
    for key, row in found.items():
        np.testing.assert_allclose(row, GROWTH * truth[key], rtol=1e-5, err_msg=str(key))


def test_every_request_and_limit_is_found(node, store):
    inventory = read_frame(store, "inventory", [DAY])
    assert settings_in(inventory) == node.settings()
    assert set(inventory["node"]) == {spec["spec"]["nodeName"] for spec in node.pods.values()}
    qos = {key: spec["status"]["qosClass"] for key, spec in node.pods.items()}
    assert {(r.namespace, r.pod): r.qos for r in inventory.itertuples()} == qos


def test_the_sum_of_requests_is_that_of_pods_that_have_not_ended(node, store):
    """A finished CronJob pod keeps its requests in kube-state-metrics; nobody reserves them any more."""
    inventory = read_frame(store, "inventory", [DAY])
    phases = [s for s in node.ksm if s.name == "kube_pod_status_phase" and s.value == 1]
    alive = {s.labels["uid"] for s in phases if s.labels["phase"] in ALIVE}
    rows = [s for s in node.ksm if s.name == "kube_pod_container_resource_requests"]
    for resource in ("cpu", "memory"):
        of = [s for s in rows if s.labels["resource"] == resource]
        assert inventory[f"{resource}_request"].sum() == pytest.approx(sum(s.value for s in of if s.labels["uid"] in alive), rel=1e-12)
        assert sum(s.value for s in of) > inventory[f"{resource}_request"].sum()


def test_f21_every_pod_has_its_owner(node, store):
    inventory = read_frame(store, "inventory", [DAY])
    assert {(r.namespace, r.pod): (r.workload_kind, r.workload) for r in inventory.itertuples()} == node.owners()
    assert {"Deployment", "StatefulSet", "DaemonSet", "Node", "Pod"} == set(inventory["workload_kind"])


def test_an_image_pulled_by_digest_keeps_its_name(store):
    images = read_frame(store, "inventory", [DAY]).set_index("container")["image"]
    assert images["metrics-server"].startswith("registry.k8s.io/metrics-server/metrics-server")
    assert not images.str.startswith("sha256:").any()


def test_node_and_autoscaler_are_found(node, store):
    nodes, hpas = read_frame(store, "nodes", [DAY]), read_frame(store, "hpas", [DAY])
    capacity = {s.labels["resource"]: s.value for s in node.ksm if s.name == "kube_node_status_capacity"}
    assert nodes[["cpu_capacity", "memory_capacity"]].to_numpy().tolist() == [[capacity["cpu"], capacity["memory"]]]
    assert hpas[["hpa", "target_kind", "target", "metric", "target_value"]].to_numpy().tolist() == [
        ["e2e-hpa", "Deployment", "e2e-hpa", "cpu", 50.0]
    ]


def test_throttling_is_the_ratio_of_the_counters(node, store):
    facts = facts_of(store, WINDOW).set_index(["workload", "container"])
    periods, throttled = node.of("container_cpu_cfs_periods_total"), node.of("container_cpu_cfs_throttled_periods_total")
    owners = node.owners()
    total: dict[tuple[str, str], list[float]] = {}
    for key, value in periods.items():
        sums = total.setdefault((owners[key[:2]][1], key[2]), [0.0, 0.0])
        sums[0] += value
        sums[1] += throttled[key]
    assert total
    for name, (all_of_them, some) in total.items():
        assert facts.loc[name, "throttle_ratio"] == pytest.approx(some / all_of_them, rel=1e-5), name
    assert (facts.loc[~facts.index.isin(total), "throttle_ratio"]).isna().all()


def test_one_day_gets_no_number_and_the_date_when_it_will(store):
    review = monthly(store, WINDOW, policy_of("seed"))
    recs = review.recommendations
    assert set(recs["grade"]) == {"refused"}
    assert recs[["rule_request", "guarded_request", "guarded_limit"]].isna().all().all()
    short = recs[recs["reasons"].map(lambda reasons: reasons[0].code == Code.SHORT_HISTORY)]
    assert short[["p50", "p95", "p99", "max", "upper"]].isna().all().all()
    # the first sample is at the start of 4 November: seven days span to the 11th
    assert set(short["enough_on"]) == {"2025-11-11"}
    assert {"e2e-deployment", "coredns", "kindnet"} <= set(short["workload"])
    others = recs.drop(short.index)
    assert set(others["workload_kind"]) <= {"Pod", "Node"}  # bare and static pods


def scraping(targets: Mapping[str, list[str]], honor: bool) -> str:
    """Scrape jobs; kube-state-metrics gets the labels that service discovery gives it."""
    jobs = "scrape_configs:\n"
    for job, places in targets.items():
        home = f", labels: {json.dumps(HOME)}" if job == "kube-state-metrics" else ""
        jobs += f"- job_name: {job}\n  scrape_interval: 1s\n  honor_labels: {json.dumps(honor)}\n"
        jobs += f"  static_configs: [{{targets: {json.dumps(places)}{home}}}]\n"
    return jobs


def answered(running: servers.Running, query: str) -> list[dict]:
    status, body = running.get(f"/api/v1/query?query={quote(query)}")
    assert status == 200, body
    return json.loads(body)["data"]["result"]


def wait_for_scrapes(running: servers.Running, count: int) -> None:
    """Until every target has been scraped so often."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        seen = [int(row["value"][1]) for row in answered(running, "count_over_time(up[5m])")]
        if len(seen) == 4 and min(seen) >= count:
            return
        time.sleep(0.1)
    pytest.fail("the server did not scrape its targets")


@pytest.mark.parametrize("honor", [True, False])
def test_f16_a_live_scrape_by_two_replicas_of_everything(new, honor, tmp_path):
    """Both exporters behind two addresses each: still every container once, whether or not the server honours labels."""
    with target(new.cadvisor) as one, target(new.cadvisor) as two, target(new.ksm) as three, target(new.ksm) as four:
        config = scraping({"cadvisor": [one, two], "kube-state-metrics": [three, four]}, honor)
        with servers.prometheus_server(tmp_path / "tsdb", scrape=config) as running:
            wait_for_scrapes(running, 3)
            shown = answered(running, "kube_pod_info")
            source = Prometheus(Server(running.url), Redactor())
            day = datetime.now(UTC).date()
            questions = day_questions(source, day, Scope(moved=() if honor else ("kube",)), Split(), {})
            frames = day_result(day, questions, [question.ask() for question in questions])
    want = [s if honor else moved_aside(s) for s in new.ksm if s.name == "kube_pod_info"]
    names = {"namespace", "pod", "container", "exported_namespace", "exported_pod", "exported_container"}
    kept = {tuple(sorted((k, v) for k, v in row["metric"].items() if k in names)) for row in shown}
    assert kept == {tuple(sorted((k, v) for k, v in ({**HOME, **s.labels}).items() if k in names)) for s in want}
    assert settings_in(frames.frames["inventory"]) == new.settings()
    owners = {(r.namespace, r.pod): (r.workload_kind, r.workload) for r in frames.frames["inventory"].itertuples()}
    assert owners == new.owners()
    truth = new.of("container_memory_working_set_bytes")
    found = by_container(*frames.matrices["memory_working_set"])
    assert {key: float(np.nanmax(row)) for key, row in found.items()} == {key: float(np.float32(v)) for key, v in truth.items()}


def test_f16_labels_that_a_server_moves_aside_are_read_where_they_are(new, tmp_path):
    """Without honor_labels every pod's facts would land on the pod of kube-state-metrics; the pull says so and reads them right."""
    servers.need("promtool")
    store = open_store(tmp_path / "history", "nri")
    with servers.prometheus_server(blocks_of(new, tmp_path, aside=True)) as running:
        source = Prometheus(Server(running.url), Redactor())
        told = examine(store, source, now=NOW)
        pulled = pull(store, source, WINDOW, now=NOW)
        again = open_store(tmp_path / "some", "nri")
        pull(again, source, WINDOW, now=NOW, scope=Scope(namespaces=("scraper",)))
    assert pulled.stored == {DAY: "complete"}
    assert pulled.warnings == [MOVED["kube"]]
    assert MOVED["kube"] in told.notes
    inventory = read_frame(store, "inventory", [DAY])
    assert settings_in(inventory) == new.settings()
    assert {(r.namespace, r.pod): (r.workload_kind, r.workload) for r in inventory.itertuples()} == new.owners()
    assert read_frame(store, "hpas", [DAY])["namespace"].tolist() == ["scraper"]
    one = {key: value for key, value in new.settings().items() if key[0] == "scraper"}
    assert settings_in(read_frame(again, "inventory", [DAY])) == one


def test_victoriametrics_gives_the_same_history(new, tmp_path, victoria_server):
    running = victoria_server()
    servers.import_text(running, lines(new, unit=1000).encode())
    store = open_store(tmp_path / "history", "nri")
    pulled = pull(store, Prometheus(Server(running.url), Redactor()), WINDOW, now=NOW)
    assert pulled.source["flavour"] == "victoriametrics"
    assert pulled.stored == {DAY: "complete"}
    inventory = read_frame(store, "inventory", [DAY])
    assert settings_in(inventory) == new.settings()
    assert {(r.namespace, r.pod): (r.workload_kind, r.workload) for r in inventory.itertuples()} == new.owners()
    for metric, name, share in (
        ("memory_working_set", "container_memory_working_set_bytes", 1.0),
        ("cpu_usage", "container_cpu_usage_seconds_total", GROWTH),
        ("cpu_periods", "container_cpu_cfs_periods_total", 300 * GROWTH),
    ):
        truth, found = new.of(name), by_container(*read_day(store, metric, DAY))
        assert found.keys() == truth.keys(), metric
        for key, row in found.items():
            np.testing.assert_allclose(row, share * truth[key], rtol=1e-5, err_msg=f"{metric} {key}")
