"""Several clusters and several replicas in one server (rows 11 and 28): refused or told apart, never added up."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from aiops_analysis.cli import main
from aiops_analysis.core.errors import SettingsError
from aiops_analysis.core.redact import Redactor
from aiops_analysis.core.window import DAY, Window, day_start
from aiops_analysis.history.days import read_day
from aiops_analysis.history.inventory import read_frame
from aiops_analysis.history.store import open_store
from aiops_analysis.sources import promql
from aiops_analysis.sources.clusters import Population, check, population_of
from aiops_analysis.sources.http import Server
from aiops_analysis.sources.prometheus import Prometheus
from aiops_analysis.sources.promql import Scope
from aiops_analysis.workflows.doctor import examine
from aiops_analysis.workflows.pull import load, pull
from tests import servers


@dataclass(frozen=True)
class Group:
    labels: dict[str, str]


class Groups:
    """A source that gives these groups and keeps what it was asked."""

    def __init__(self, *groups: dict[str, str]) -> None:
        self.groups, self.asked = groups, ""

    def series(self, query: str, at: datetime) -> list[Group]:
        self.asked = query
        return [Group(labels) for labels in self.groups]


AT = datetime(2026, 11, 2, tzinfo=UTC)


def found(*groups: dict[str, str], scope: Scope | None = None) -> Population:
    return population_of(Groups(*groups), AT, 7, scope or Scope())


def test_one_question_for_all_labels() -> None:
    source = Groups()
    population_of(source, AT, 7, Scope("team_cluster", "a", ("shop",)))
    assert source.asked.startswith("count by (team_cluster,cluster,cluster_name,k8s_cluster,")
    assert source.asked.endswith(',namespace="shop"})[7d:6h]')
    assert 'team_cluster="a"' not in source.asked  # the others are to be seen too


@pytest.mark.parametrize("label", ["cluster", "cluster_name", "k8s_cluster", "prometheus"])
def test_f28_a_label_with_two_values(label: str) -> None:
    with pytest.raises(SettingsError) as caught:
        check(found({label: "prod-b"}, {label: "prod-a"}), Scope())
    text = str(caught.value)
    assert f"the label {label} of its container metrics has 'prod-a', 'prod-b'" in text
    assert f'cluster = "prod-a" and under [prometheus] cluster_label = "{label}"' in text
    assert caught.value.exit_code == 2
    assert "\n" not in text


def test_f28_series_without_the_label_are_another_cluster() -> None:
    with pytest.raises(SettingsError, match="has no value on some series, 'prod'") as caught:
        check(found({"cluster": "prod"}, {}), Scope())
    assert 'cluster = "prod"' in str(caught.value)


@pytest.mark.parametrize(
    "groups",
    [
        [],
        [{}],
        [{"cluster": "prod"}],
        [{"cluster": "prod", "prometheus_replica": "a"}, {"cluster": "prod", "prometheus_replica": "b"}],
        # two scraping servers of one cluster, which the surer label names
        [{"cluster": "prod", "prometheus": "monitoring/a"}, {"cluster": "prod", "prometheus": "monitoring/b"}],
    ],
    ids=["no metrics", "no label", "one", "replicas", "two servers"],
)
def test_one_cluster_goes_on(groups) -> None:
    check(found(*groups), Scope())


def test_a_server_that_is_known_to_hold_one_cluster_is_not_doubted() -> None:
    check(found({"prometheus": "a"}, {"prometheus": "b"}), Scope(single=True))


def test_a_configured_cluster_is_found() -> None:
    both = ({"site": "a"}, {"site": "b"})
    check(found(*both, scope=Scope("site", "a")), Scope("site", "a"))
    with pytest.raises(SettingsError, match=r"no cluster 'c': the label site \(prometheus.cluster_label\) has 'a', 'b'; set cluster in"):
        check(found(*both, scope=Scope("site", "c")), Scope("site", "c"))
    with pytest.raises(SettingsError, match=r"the label site .* is on no container metric; the label cluster has 'a'"):
        check(found({"cluster": "a"}, scope=Scope("site", "a")), Scope("site", "a"))
    check(found(scope=Scope("site", "a")), Scope("site", "a"))  # a server without container metrics is another matter


def test_f45_names_of_clusters_are_hostile_text() -> None:
    with pytest.raises(SettingsError) as caught:
        check(found({"cluster": "a\x1b[2J\u202e"}, {"cluster": "b" * 500}), Scope())
    assert "\x1b" not in str(caught.value)
    assert "\u202e" not in str(caught.value)
    assert len(str(caught.value)) < 800


def test_many_clusters_are_cut() -> None:
    with pytest.raises(SettingsError, match="'c07' and 92 more; name the one"):
        check(found(*({"cluster": f"c{n:02}"} for n in range(100))), Scope())


# --- real servers ----------------------------------------------------------------------------------------------------------------------

YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)
T0 = int(day_start(YESTERDAY).timestamp())
NOW = day_start(YESTERDAY) + DAY + timedelta(hours=1)
MINUTES = np.arange(1441)
REQUESTS = {"cpu": ("core", 0.5), "memory": ("byte", 2e8)}


def cluster_lines(extra: str, minutes: np.ndarray, cores: float, offset: float = 0.0) -> dict[str, list[str]]:
    """Two pods on a node of 4 cores that use ``cores`` each, scraped every minute but for holes; samples by metric."""
    out: dict[str, list[str]] = {}

    def add(metric: str, labels: str, values) -> None:
        rows = out.setdefault(metric, [])
        rows += [f"{metric}{{{labels}{extra}}} {float(v)!r} {T0 + 60 * int(m) + offset:.3f}" for m, v in zip(minutes, values, strict=True)]

    ones = np.ones(len(minutes))
    for pod in ("web-0", "web-1"):
        both = f'namespace="shop",pod="{pod}",uid="u-{pod}"'
        one = f'{both},container="web",node="n1"'
        cadvisor = f'namespace="shop",pod="{pod}",container="web",image="i",id="/{pod}"'
        add("container_cpu_usage_seconds_total", cadvisor, cores * 60.0 * minutes)
        add("container_memory_working_set_bytes", cadvisor, 1e8 * ones)
        add("kube_pod_status_phase", f'{both},phase="Running"', ones)
        add("kube_pod_owner", f'{both},owner_kind="StatefulSet",owner_name="web",owner_is_controller="true"', ones)
        add("kube_pod_info", f'{both},node="n1"', ones)
        for resource, (unit, size) in REQUESTS.items():
            add("kube_pod_container_resource_requests", f'{one},resource="{resource}",unit="{unit}"', size * ones)
        add("kube_pod_container_status_restarts_total", f'{both},container="web"', (minutes >= 900).astype(float))
    for resource, (unit, size) in {"cpu": ("core", 4.0), "memory": ("byte", 8e9)}.items():
        for metric in ("kube_node_status_capacity", "kube_node_status_allocatable"):
            add(metric, f'node="n1",resource="{resource}",unit="{unit}"', size * ones)
    add("kube_node_labels", 'node="n1",label_pool="blue"', ones)
    add("kube_node_info", 'node="n1",provider_id="p"', ones)
    add("up", 'job="cadvisor",instance="n1"', ones)
    return out


def tsdb(folder: Path, *parts: dict[str, list[str]]) -> Path:
    text = []
    for metric in sorted({metric for part in parts for metric in part}):
        text += [f"# TYPE {metric.removesuffix('_total')} {'counter' if metric.endswith('_total') else 'gauge'}"]
        text += [line for part in parts for line in part.get(metric, ())]
    (folder / "all.om").write_text("\n".join([*text, "# EOF\n"]))
    servers.create_blocks(folder / "all.om", folder / "blocks")
    return folder / "blocks"


def of(url: str) -> Prometheus:
    return Prometheus(Server(url), Redactor())


def cpu_of(store) -> np.ndarray:
    labels, samples = read_day(store, "cpu_usage", YESTERDAY)
    assert labels["pod"].tolist() == ["web-0", "web-1"]
    return samples


@pytest.fixture(scope="module")
def two_replicas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cluster scraped by two servers, the second 7 s later; one was away from 02:00 to 03:00, the other from 10:00 to 12:00."""
    a = cluster_lines(',prometheus_replica="a"', np.delete(MINUTES, slice(120, 180)), 0.25)
    b = cluster_lines(',prometheus_replica="b"', np.delete(MINUTES, slice(600, 720)), 0.25, offset=7.0)
    return tsdb(tmp_path_factory.mktemp("replicas"), a, b)


@pytest.fixture(scope="module")
def one_server(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same cluster scraped by one server that was never away."""
    return tsdb(tmp_path_factory.mktemp("one"), cluster_lines("", MINUTES, 0.25))


@pytest.mark.server
def test_f11_replicas_with_holes_in_different_places_are_one(two_replicas, one_server, prometheus_server, tmp_path: Path) -> None:
    source, peer = of(prometheus_server(two_replicas).url), of(prometheus_server(one_server).url)
    first, last = day_start(YESTERDAY) + timedelta(minutes=5), day_start(YESTERDAY) + DAY
    query = promql.range_query("cpu_usage", Scope())
    # each alone has a hole: the steps 02:05 to 03:00, and 10:05 to 12:00, whose five minutes hold no two samples
    for replica, steps in (("a", 12), ("b", 24)):
        alone = source.range(query.replace('image!=""', f'image!="",prometheus_replica="{replica}"'), first, last)
        assert np.isnan(alone.samples).sum(axis=1).tolist() == [steps, steps]
    day, window = YESTERDAY, Window.of_days(YESTERDAY, 1)
    both, whole = open_store(tmp_path, "both"), open_store(tmp_path, "whole")
    assert pull(both, source, window, now=NOW).stored == {day: "complete"}
    assert pull(whole, peer, window, now=NOW).stored == {day: "complete"}
    np.testing.assert_allclose(cpu_of(both), np.full((2, 288), 0.25), rtol=1e-5)  # 0.25 cores each, at every step, once
    np.testing.assert_allclose(cpu_of(whole), cpu_of(both), rtol=1e-5)
    for metric in ("memory_working_set", "restarts"):
        (labels, samples), (expected, values) = read_day(both, metric, day), read_day(whole, metric, day)
        assert labels.equals(expected)
        np.testing.assert_allclose(np.nansum(samples, axis=1), np.nansum(values, axis=1), rtol=1e-6)
    assert np.nansum(read_day(both, "restarts", day)[1]) == 2  # one of each pod, not one of each replica
    inventory = read_frame(both, "inventory", [day])
    assert inventory["pod"].tolist() == ["web-0", "web-1"]
    assert inventory["cpu_request"].tolist() == [0.5, 0.5]
    nodes = read_frame(both, "nodes", [day])
    assert nodes["node"].tolist() == ["n1"]
    assert nodes["cpu_capacity"].tolist() == [4.0]
    source.close()
    peer.close()


@pytest.mark.server
def test_the_doctor_names_replicas_interval_and_auth(two_replicas, prometheus_server, tmp_path: Path) -> None:
    source = of(prometheus_server(two_replicas).url)
    server = examine(open_store(tmp_path, "new"), source, now=NOW).server
    assert server["replicas"] == "prometheus_replica: a, b"
    assert (server["scrape interval"], server["auth"], server["clusters"]) == ("60 s", "no credentials", "")
    source.close()


@pytest.fixture(scope="module")
def two_clusters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clusters with the same namespace and pods, 0.25 and 0.75 cores."""
    parts = (cluster_lines(f',k8s_cluster="{name}"', MINUTES, cores) for name, cores in (("east", 0.25), ("west", 0.75)))
    return tsdb(tmp_path_factory.mktemp("clusters"), *parts)


@pytest.mark.server
def test_f28_two_clusters_with_equal_names(two_clusters, prometheus_server, tmp_path: Path) -> None:
    source, window = of(prometheus_server(two_clusters).url), Window.of_days(YESTERDAY, 1)
    with pytest.raises(SettingsError, match="the label k8s_cluster of its container metrics has 'east', 'west'"):
        load(tmp_path, "any", source, window, now=NOW)
    assert open_store(tmp_path, "any").days("cpu_usage") == []
    with pytest.raises(SettingsError, match=r"no cluster 'north'.* has 'east', 'west'"):
        load(tmp_path, "north", source, window, now=NOW, scope=Scope("k8s_cluster", "north"))
    for name, cores in (("east", 0.25), ("west", 0.75)):
        store = load(tmp_path, name, source, window, now=NOW, scope=Scope("k8s_cluster", name)).store
        np.testing.assert_allclose(cpu_of(store), np.full((2, 288), cores), rtol=1e-5)
        assert read_frame(store, "inventory", [YESTERDAY])["pod"].tolist() == ["web-0", "web-1"]
    source.close()


@pytest.mark.server
def test_f28_on_the_command_line(two_clusters, prometheus_server, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    url = prometheus_server(two_clusters).url
    Path("aiops.toml").write_text(f'[prometheus]\nurl = "{url}"\n')
    assert main(["pull", "--days", "1"]) == 2
    assert "error: the server holds several clusters: the label k8s_cluster" in capsys.readouterr().err
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "clusters: east, west" in said
    assert "a pull is refused: the server holds several clusters" in said
    Path("aiops.toml").write_text(f'cluster = "west"\n[prometheus]\nurl = "{url}"\ncluster_label = "k8s_cluster"\n')
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["server"]["cluster label"] == "k8s_cluster"
    assert not [note for note in found["notes"] if "refused" in note]
    assert main(["pull", "--days", "1", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["stored"]) == [date.isoformat(YESTERDAY)]


@pytest.mark.server
def test_a_store_of_recording_rules_is_pulled_by_its_own_names(prometheus_server, tmp_path: Path, monkeypatch, capsys) -> None:
    lines = cluster_lines("", MINUTES, 0.25)
    rate = "node_namespace_pod_container:container_cpu_usage_seconds_total:sum_irate"
    lines[rate] = [
        f'{rate}{{namespace="shop",pod="{pod}",container="web",node="n1"}} 0.25 {T0 + 60 * int(m)}'
        for pod in ("web-0", "web-1")
        for m in MINUTES
    ]
    del lines["container_cpu_usage_seconds_total"]
    memory = "team:container_memory_working_set_bytes"
    lines[memory] = [
        line.replace("container_memory_working_set_bytes", memory, 1) for line in lines.pop("container_memory_working_set_bytes")
    ]
    url = prometheus_server(tsdb(tmp_path, lines)).url
    monkeypatch.chdir(tmp_path)
    names = f'"container_cpu_usage_seconds_total" = "{rate}"\n"container_memory_working_set_bytes" = "{memory}"\n'
    Path("aiops.toml").write_text(f'cluster = "mapped"\n[prometheus]\nurl = "{url}"\n[prometheus.names]\n{names}')
    assert main(["doctor", "--json"]) == 0
    features = {f["feature"]: f["missing"] for f in json.loads(capsys.readouterr().out)["features"]}
    assert features["CPU right-sizing"] == features["memory right-sizing"] == []
    assert main(["pull", "--days", "1"]) == 0
    store = open_store(tmp_path / "data" / "history", "mapped")
    np.testing.assert_allclose(cpu_of(store), np.full((2, 288), 0.25), rtol=1e-6)
    assert store.manifest("cpu_usage", YESTERDAY).source["scrape_interval_s"] == "60"
