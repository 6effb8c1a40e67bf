"""A real Prometheus and a real VictoriaMetrics filled with the demo's raw samples answer with the demo's own numbers.

The queries are those of methods.md K, written out here, so that neither the generator nor the builders of PromQL are their own judge.
"""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from urllib.parse import urlencode

import numpy as np
import pandas as pd
import pytest

from aiops_analysis.sources.demo import DemoCluster
from tests import servers
from tests.demo_fixtures import DAYS, VICTORIA_DAYS, window

pytestmark = pytest.mark.server

#: Selector and grouping of methods.md K; the demo has no cluster label.
S = '{container!="",container!="POD",image!=""}'
G = "by (namespace,pod,container)"
QUERIES = {
    "cpu_usage": f"max {G} (rate(container_cpu_usage_seconds_total{S}[5m]))",
    "memory_working_set": f"max {G} (max_over_time(container_memory_working_set_bytes{S}[5m]))",
    "cpu_throttled": f"max {G} (increase(container_cpu_cfs_throttled_periods_total{S}[5m]))",
    "cpu_periods": f"max {G} (increase(container_cpu_cfs_periods_total{S}[5m]))",
}
Key = tuple[str, ...]


def ask(server: servers.Running, path: str, **arguments: object) -> list[dict]:
    status, body = server.get(f"/api/v1/{path}?{urlencode(arguments)}")
    assert status == 200, body[:300]
    return json.loads(body)["data"]["result"]


def instant(server: servers.Running, query: str, at: datetime) -> dict[Key, float]:
    rows = ask(server, "query", query=query, time=at.timestamp())
    return {tuple(value for _, value in sorted(row["metric"].items())): float(row["value"][1]) for row in rows}


def day_of(server: servers.Running, query: str, day: date, *by: str) -> dict[Key, np.ndarray]:
    """One row of 288 for each label set: sample k is asked for at the end of step k."""
    start = datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp()
    rows = ask(server, "query_range", query=query, start=start + 300, end=start + 86_400, step=300)
    out = {}
    for row in rows:
        series = np.full(288, np.nan)
        for time, value in row["values"]:
            series[round((time - start) / 300) - 1] = float(value)
        out[tuple(row["metric"].get(label, "") for label in by)] = series
    return out


def measured(server: servers.Running, metric: str, day: date) -> dict[Key, np.ndarray]:
    return day_of(server, QUERIES[metric], day, "namespace", "pod", "container")


def expected(cluster: DemoCluster, metric: str, day: date) -> dict[Key, np.ndarray]:
    labels, samples = cluster.matrices(day)[metric]
    keys = labels[["namespace", "pod", "container"]].itertuples(index=False, name=None)
    return dict(zip(keys, samples.astype(np.float64), strict=True))


@pytest.fixture(scope="module")
def last_days(demo_cluster: DemoCluster) -> tuple[date, ...]:
    return demo_cluster.days[-DAYS:]


@pytest.mark.parametrize("metric", QUERIES)
def test_prometheus_gives_the_numbers_back(demo_prometheus: servers.Running, demo_cluster: DemoCluster, last_days, metric: str) -> None:
    for day in last_days:
        got, want = measured(demo_prometheus, metric, day), expected(demo_cluster, metric, day)
        assert got.keys() == want.keys()
        for key, row in want.items():
            # missing exactly where the container did not run, and within 1e-6 elsewhere (1e-9 is reached: no rounding on the way)
            np.testing.assert_allclose(got[key], row, rtol=1e-9, atol=1e-9, err_msg=f"{metric} {day} {key}")


def test_a_month_of_p95_is_the_same_from_the_server(demo_prometheus: servers.Running, demo_cluster: DemoCluster, last_days) -> None:
    # quantile over all pods and steps of one container, by the server's own quantile on one day's subquery
    query = 'quantile(0.95, max_over_time(container_memory_working_set_bytes{container="backend",namespace="todo"}[5m]))'
    at = datetime.fromisoformat(f"{last_days[-1]}T12:00:00+00:00")
    labels, samples = demo_cluster.matrices(last_days[-1])["memory_working_set"]
    rows = (labels["namespace"] == "todo") & (labels["container"] == "backend")
    assert instant(demo_prometheus, query, at)[()] == pytest.approx(np.quantile(samples[rows, 143].astype(float), 0.95), rel=1e-12)


def test_pod_and_node_cgroups_are_there_to_be_left_out(demo_prometheus: servers.Running, last_days) -> None:
    at = datetime.fromisoformat(f"{last_days[0]}T12:00:00+00:00")
    by_container = instant(demo_prometheus, "count by (container) (container_memory_working_set_bytes)", at)
    root = instant(demo_prometheus, 'sum(container_memory_working_set_bytes{id="/"})', at)[()]
    containers = instant(demo_prometheus, f"sum(container_memory_working_set_bytes{S})", at)[()]
    pods = instant(demo_prometheus, 'sum(container_memory_working_set_bytes{container="",pod!=""})', at)[()]
    assert by_container[("POD",)] > 30
    assert pods == containers  # so that a sum over everything counts each byte twice
    assert root > containers


def test_events_come_back_as_differences(demo_prometheus: servers.Running, demo_cluster: DemoCluster, last_days) -> None:
    restarts = f"max {G} (kube_pod_container_status_restarts_total)"
    killed = f'max {G} (kube_pod_container_status_last_terminated_reason{{reason="OOMKilled"}})'
    kills = 0
    for day in last_days:
        start = datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp()
        for metric in ("restarts", "oom_kills"):
            want = {key: list(np.flatnonzero(row > 0)) for key, row in expected(demo_cluster, metric, day).items()}
            got: dict[Key, list[int]] = {}
            oom = {tuple(row["metric"].values()) for row in ask(demo_prometheus, "query", query=killed, time=start + 86_400)}
            for key, row in day_of(demo_prometheus, restarts, day, "namespace", "pod", "container").items():
                steps = [int(step) + 1 for step in np.flatnonzero(np.diff(row) > 0)]
                if steps and (metric == "restarts" or tuple(sorted(key)) in {tuple(sorted(o)) for o in oom}):
                    got[key] = steps
            assert got == want
            kills += sum(map(len, want.values())) if metric == "oom_kills" else 0
    assert kills == 4  # of the six of the story, those of the last nine days: 9, 5, 3 and 2 days ago


@pytest.mark.parametrize("kind", ["request", "limit"])
def test_requests_come_back_for_running_pods(demo_prometheus: servers.Running, demo_cluster: DemoCluster, last_days, kind: str) -> None:
    labels = ("namespace", "pod", "uid", "container", "node", "resource")
    query = f'max by ({",".join(labels)}) (kube_pod_container_resource_{kind}s{{unit=~"core|byte"}})'
    query += ' * on (namespace,pod,uid) group_left () max by (namespace,pod,uid) (kube_pod_status_phase{phase=~"Pending|Running"} == 1)'
    for day in (last_days[0], last_days[6]):  # the first, and one on which pods began
        got = day_of(demo_prometheus, query, day, *labels)
        inventory = demo_cluster.inventory(day)
        midnight = pd.Timestamp(day, tz="UTC")
        for resource in ("cpu", "memory"):
            rows = inventory[inventory[f"{resource}_{kind}"].notna() & (inventory["role"] == "app")]
            assert len(rows) > 30
            for row in rows.itertuples():
                series = got.pop((row.namespace, row.pod, row.uid, row.container, row.node, resource))
                seen = np.flatnonzero(~np.isnan(series))
                assert set(series[seen]) == {getattr(row, f"{resource}_{kind}")}
                assert midnight + pd.Timedelta(seconds=300 * int(seen[0])) == row.first_seen
                assert midnight + pd.Timedelta(seconds=300 * (int(seen[-1]) + 1)) == row.last_seen
        assert got == {}


def test_owners_come_back_for_pods_that_are_gone(demo_prometheus: servers.Running, demo_cluster: DemoCluster, last_days) -> None:
    day = last_days[5]
    at = datetime.fromisoformat(f"{day}T00:00:00+00:00") + timedelta(days=1)

    def fact(metric: str, *labels: str) -> list[Key]:
        rows = ask(demo_prometheus, "query", query=f"max by ({','.join(labels)}) (max_over_time({metric}[86400s]))", time=at.timestamp())
        return [tuple(row["metric"].get(label, "") for label in labels) for row in rows]

    above = {
        (ns, "ReplicaSet", rs): (kind, name)
        for ns, rs, kind, name in fact("kube_replicaset_owner", "namespace", "replicaset", "owner_kind", "owner_name")
    }
    above |= {
        (ns, "Job", job): (kind, name)
        for ns, job, kind, name in fact("kube_job_owner", "namespace", "job_name", "owner_kind", "owner_name")
    }
    owner_of = {}
    for namespace, pod, kind, name in fact('kube_pod_owner{owner_is_controller="true"}', "namespace", "pod", "owner_kind", "owner_name"):
        owner_of[namespace, pod] = above.get((namespace, kind, name), (kind, name))
    inventory = demo_cluster.inventory(day)
    assert {"CronJob", "DaemonSet", "Deployment", "Pod", "StatefulSet"} == set(inventory["workload_kind"])
    for row in inventory.itertuples():
        assert owner_of.get((row.namespace, row.pod), ("Pod", row.pod)) == (row.workload_kind, row.workload)
    inventory = inventory[inventory["role"] == "app"]
    images = dict(zip(zip(inventory["pod"], inventory["container"], strict=True), inventory["image"], strict=True))
    shown = {(pod, container): image for pod, container, image in fact("kube_pod_container_info", "pod", "container", "image")}
    assert images.items() <= shown.items()


def test_nodes_hpas_and_targets_come_back(demo_prometheus: servers.Running, demo_cluster: DemoCluster, last_days) -> None:
    day = last_days[0]
    at = datetime.fromisoformat(f"{day}T12:00:00+00:00")
    nodes = demo_cluster.nodes(day).set_index("node")
    for which in ("capacity", "allocatable"):
        got = instant(demo_prometheus, f'max by (node,resource) (kube_node_status_{which}{{resource=~"cpu|memory"}})', at)
        want = {(node, r): nodes.at[node, f"{r}_{which}"] for node in nodes.index for r in ("cpu", "memory")}
        assert got == want
    (row,) = demo_cluster.hpas(day).itertuples()
    assert instant(demo_prometheus, "kube_horizontalpodautoscaler_spec_target_metric", at) != {}
    assert set(
        instant(demo_prometheus, "max by (horizontalpodautoscaler) (kube_horizontalpodautoscaler_spec_max_replicas)", at).items()
    ) == {((row.hpa,), row.max_replicas)}
    up = day_of(demo_prometheus, 'count by (job) (up{job=~"kubelet|kube-state-metrics"} == 1)', day, "job")
    np.testing.assert_array_equal(up[("kubelet",)] + up[("kube-state-metrics",)], demo_cluster.targets(day))


def test_bursts_come_back(demo_prometheus: servers.Running, demo_cluster: DemoCluster, last_days) -> None:
    day = last_days[-1]
    at = datetime.fromisoformat(f"{day}T00:00:00+00:00") + timedelta(days=1)
    rate = f"(max {G} (rate(container_cpu_usage_seconds_total{S}[2m])))[1d:1m]"
    burst = demo_cluster.burst(day)
    keys = list(zip(burst["container"], burst["namespace"], burst["pod"], strict=True))
    largest = instant(demo_prometheus, f"max_over_time({rate})", at)
    p999 = instant(demo_prometheus, f"quantile_over_time(0.999, {rate})", at)
    assert set(largest) == set(keys)
    np.testing.assert_allclose([largest[key] for key in keys], burst["cpu_max"], rtol=1e-9)
    # Prometheus 2 also counts the point at the range's left edge, so its rank is a hair off
    np.testing.assert_allclose([p999[key] for key in keys], burst["cpu_p999"], rtol=0.02)


def test_victoria_metrics_is_sane(demo_victoria: servers.Running, demo_cluster: DemoCluster) -> None:
    # its rate() reaches back to the sample before the range and does not extrapolate (methods.md I-2)
    ratios, equal, total = [], 0, 0
    for day in demo_cluster.days[-VICTORIA_DAYS + 1 :]:
        memory = measured(demo_victoria, "memory_working_set", day)
        for key, row in expected(demo_cluster, "memory_working_set", day).items():
            seen = ~np.isnan(row)
            np.testing.assert_array_equal(memory[key][seen], row[seen], err_msg=str(key))
        cpu = measured(demo_victoria, "cpu_usage", day)
        for key, row in expected(demo_cluster, "cpu_usage", day).items():
            both = ~np.isnan(row) & ~np.isnan(cpu[key])
            total += int((~np.isnan(row)).sum())
            equal += int(both.sum())
            ratios.append(np.median(cpu[key][both] / row[both]))
            assert 0.88 < cpu[key][both].sum() / row[both].sum() < 1.12, key
    assert equal > 0.99 * total
    assert 0.97 < np.median(ratios) < 1.03


def test_the_fixtures_hold_what_they_say(demo_prometheus: servers.Running) -> None:
    start, end = window()
    query = "count(container_memory_working_set_bytes)"
    assert instant(demo_prometheus, query, start + timedelta(minutes=5))
    assert instant(demo_prometheus, query, end)
    assert not instant(demo_prometheus, query, start - timedelta(minutes=1))
    assert not instant(demo_prometheus, query, end + timedelta(minutes=6))
