"""The demo's story of a saving: requests that were lowered by a decision, what grew into the room, and one node of three that went."""

from __future__ import annotations

import json
from datetime import date, timedelta
from itertools import product
from pathlib import Path

import pandas as pd
import pytest

from aiops_analysis.core.schema import NODES, WORKLOADS, check
from aiops_analysis.history.store import open_store
from aiops_analysis.sources.demo import DemoCluster

MI = 2**20
FIRST, CHANGED, WENT = date(2026, 10, 5), date(2026, 10, 19), date(2026, 10, 26)
#: Allocatable of a c6i.xlarge [millicores, MiB].
NODE = (3920, 6584)


@pytest.fixture(scope="module")
def inventory(demo_cluster: DemoCluster) -> pd.DataFrame:
    found = pd.concat([demo_cluster.inventory(day) for day in demo_cluster.days], ignore_index=True)
    return found[found["namespace"] == "media"]


def nodes_of(cluster: DemoCluster, day: date) -> pd.DataFrame:
    nodes = cluster.nodes(day)
    return nodes[nodes["pool"] == "media"]


def at(inventory: pd.DataFrame, moment: str) -> pd.DataFrame:
    time = pd.Timestamp(moment, tz="UTC")
    return inventory[(inventory["first_seen"] <= time) & (inventory["last_seen"] > time)]


def sizes(pods: pd.DataFrame) -> list[tuple[int, int]]:
    """Requests [millicores, MiB], the largest first."""
    both = zip((pods["cpu_request"] * 1000).round().astype(int), (pods["memory_request"] / MI).round().astype(int), strict=True)
    return sorted(both, reverse=True)


def fit(pods: list[tuple[int, int]], nodes: int) -> bool:
    """Whether the pods fit on so many empty nodes: every split of the few sizes there are is tried, so a no is a proof."""
    kinds = sorted(set(pods), reverse=True)
    states = {tuple(pods.count(kind) for kind in kinds)}
    for _ in range(nodes):
        after = set()
        for left in states:
            for taken in product(*(range(n + 1) for n in left)):
                used = [sum(n * kind[resource] for n, kind in zip(taken, kinds, strict=True)) for resource in (0, 1)]
                if used[0] <= NODE[0] and used[1] <= NODE[1]:
                    after.add(tuple(a - b for a, b in zip(left, taken, strict=True)))
        states = after
    return (0,) * len(kinds) in states


def test_the_pool_has_three_nodes_and_two_from_the_26th_on(demo_cluster: DemoCluster) -> None:
    for day in demo_cluster.days:
        nodes = nodes_of(demo_cluster, day)
        assert len(nodes) == (3 if day <= WENT else 2)
        assert set(nodes["instance_type"]) == {"c6i.xlarge"}
        assert set(nodes["taints"]) == {'[["dedicated","media","NoSchedule"]]'}
        assert {json.loads(labels)["eks.amazonaws.com/nodegroup"] for labels in nodes["labels"]} == {"media"}
    went = nodes_of(demo_cluster, WENT).sort_values("last_seen")["last_seen"].iloc[0]
    assert went == pd.Timestamp("2026-10-26T09:50Z")
    others = demo_cluster.nodes(FIRST).query("pool not in ('media', 'analytics')")
    assert set(others["taints"]) == {"[]"}  # they are known to have none


def test_node_hours_before_and_after(demo_cluster: DemoCluster) -> None:
    hours = {}
    for day in demo_cluster.days:
        nodes = nodes_of(demo_cluster, day)
        hours[day] = (nodes["last_seen"] - nodes["first_seen"]).dt.total_seconds().sum() / 3600
    before, after = (sum(h for day, h in hours.items() if (day >= CHANGED) == later) for later in (False, True))
    assert before == 14 * 24 * 3
    # two nodes all the time, the third for seven days and 9:50
    assert after == pytest.approx(14 * 24 * 2 + 7 * 24 + 9 + 5 / 6)


def test_requests_change_at_midnight_of_the_19th(inventory: pd.DataFrame) -> None:
    mine = inventory[inventory["workload"] == "transcoder"]
    old, new = mine[mine["cpu_request"] == 1.6], mine[mine["cpu_request"] == 0.6]
    assert len(old) + len(new) == len(mine)
    assert new["first_seen"].min() == pd.Timestamp(CHANGED, tz="UTC")
    assert old["last_seen"].max() == pd.Timestamp("2026-10-19T00:25Z")  # one after the other
    of = ["cpu_request", "cpu_limit", "memory_request", "memory_limit"]
    assert old[of].drop_duplicates().to_numpy().tolist() == [[1.6, 3.2, 3072 * MI, 4096 * MI]]
    assert new[of].drop_duplicates().to_numpy().tolist() == [[0.6, 1.775, 1024 * MI, 2048 * MI]]
    assert old["image"].unique().tolist() == new["image"].unique().tolist()
    assert set(old["revision"]).isdisjoint(new["revision"])
    # what is unchanged is unchanged
    packager = inventory[inventory["workload"] == "packager"]
    assert packager[of].drop_duplicates().to_numpy().tolist() == [[0.15, 0.45, 192 * MI, 384 * MI]]


@pytest.mark.parametrize(
    ("moment", "transcoders", "captioners"),
    [
        ("2026-10-05", 6, 0),
        ("2026-10-18 23:59", 6, 0),
        ("2026-10-19 00:30", 6, 0),
        ("2026-10-20 08:25", 7, 0),
        ("2026-10-21 05:15", 8, 0),
        ("2026-10-21 07:35", 8, 1),
        ("2026-10-26 09:50", 8, 1),
        ("2026-11-01 23:59", 8, 1),
    ],
)
def test_pods_of_each_moment(inventory: pd.DataFrame, moment: str, transcoders: int, captioners: int) -> None:
    there = at(inventory, moment)["workload"].value_counts().to_dict()
    assert there == {"transcoder": transcoders, "packager": 2, **({"captioner": captioners} if captioners else {})}


def test_how_many_nodes_the_pods_really_need(inventory: pd.DataFrame) -> None:
    before, now = sizes(at(inventory, "2026-10-18 12:00")), sizes(at(inventory, "2026-11-01 12:00"))
    assert before == [(1600, 3072)] * 6 + [(150, 192)] * 2
    assert (fit(before, 3), fit(before, 2)) == (True, False)
    assert now == [(600, 1024)] * 8 + [(250, 256)] + [(150, 192)] * 2
    assert (fit(now, 2), fit(now, 1)) == (True, False)
    # without what came later, one node would do: that is why one went and not two
    assert fit(sizes(at(inventory, "2026-10-19 00:30")), 1)


def test_pods_of_the_node_that_went_moved_at_once(demo_cluster: DemoCluster, inventory: pd.DataFrame) -> None:
    (gone,) = set(nodes_of(demo_cluster, WENT)["node"]) - set(nodes_of(demo_cluster, WENT + timedelta(days=1))["node"])
    there = inventory[inventory["node"] == gone]
    assert there["last_seen"].max() == pd.Timestamp("2026-10-26T09:50Z")
    assert set(there["workload"]) == {"transcoder"}
    for moment in ("2026-10-26 09:45", "2026-10-26 09:50"):
        assert len(at(inventory, moment)) == 11
    assert at(inventory, "2026-10-26 09:50")["node"].value_counts().tolist() == [6, 5]


def test_usage_is_a_fifth_of_what_was_asked_for(demo_cluster: DemoCluster) -> None:
    labels, samples = demo_cluster.matrices(FIRST)["cpu_usage"]
    rows = samples[(labels["workload"] == "transcoder").to_numpy()]
    assert 0.25 < rows.max() < 0.35
    assert rows.shape == (6, 288)


def test_an_autoscaler_is_there(demo_cluster: DemoCluster) -> None:
    found = demo_cluster.inventory(FIRST).query("workload == 'cluster-autoscaler'")
    assert found[["namespace", "workload_kind"]].to_numpy().tolist() == [["kube-system", "Deployment"]]
    assert "cluster-autoscaler" in found["image"].iloc[0]


# --- what the Kubernetes API would have told --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def told(demo_cluster: DemoCluster) -> pd.DataFrame:
    return demo_cluster.workloads(demo_cluster.days[-1])


def test_the_look_is_at_nine_and_keeps_the_contract(demo_cluster: DemoCluster, told: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(told, check(told, WORKLOADS))
    assert set(told["first_seen"]) == {pd.Timestamp("2026-11-01T09:00Z")}
    assert set(told["last_seen"]) == {pd.Timestamp("2026-11-01T09:05Z")}
    there = at(demo_cluster.inventory(demo_cluster.days[-1]), "2026-11-01 09:00")
    makers = there[there["workload_kind"].isin(["Deployment", "StatefulSet", "DaemonSet"])]
    pods = makers.drop_duplicates("uid").groupby(["namespace", "workload_kind", "workload"]).size()
    known = told[told["workload_kind"] != "CronJob"].set_index(["namespace", "workload_kind", "workload"])["replicas"]
    assert known.to_dict() == pods.to_dict()


def test_each_rule_has_a_workload(told: pd.DataFrame) -> None:
    rules = {f"{r.namespace}/{r.workload}": json.loads(r.scheduling) for r in told.itertuples()}
    media = {"node_selector": {"eks.amazonaws.com/nodegroup": "media"}, "tolerations": [["dedicated", "Equal", "media", "NoSchedule"]]}
    assert rules["media/transcoder"] == rules["media/packager"] == media
    assert [name for name, said in rules.items() if said.get("safe_to_evict") is False] == ["todo/worker"]
    assert [name for name, said in rules.items() if said.get("local_storage")] == ["shop/thumbnailer"]
    assert [name for name, said in rules.items() if "spread" in said] == ["todo/frontend"]
    assert rules["todo/backend"] == {"anti_affinity": [{"topology": "kubernetes.io/hostname", "workloads": ["todo/Deployment/backend"]}]}
    assert told.loc[told["disruptions"] == 0, "workload"].tolist() == ["keycloak"]
    assert told.set_index("workload").loc[["transcoder", "packager", "database"], "surge"].tolist() == [0.0, 1.0, 0.0]
    assert (told["pdb"] != "").tolist() == told["disruptions"].notna().tolist()


def test_the_pods_keep_the_rules(demo_cluster: DemoCluster, told: pd.DataFrame) -> None:
    """Where pods run is where they may: selectors, tolerations, zones of volumes, apart from each other, spread over zones."""
    day = demo_cluster.days[-1]
    nodes = check(demo_cluster.nodes(day), NODES).set_index("node")
    pods = at(demo_cluster.inventory(day), "2026-11-01 09:00").drop_duplicates("uid")
    rules = {(r.namespace, r.workload): json.loads(r.scheduling) for r in told.itertuples()}
    for (namespace, workload), mine in pods.groupby(["namespace", "workload"]):
        said = rules.get((namespace, workload), {})
        for node in mine["node"]:
            labels, taints = json.loads(nodes.loc[node, "labels"]), json.loads(nodes.loc[node, "taints"])
            assert said.get("node_selector", {}).items() <= labels.items()
            assert not taints or "tolerations" in said
            assert nodes.loc[node, "zone"] in said.get("zones", [nodes.loc[node, "zone"]])
        if "anti_affinity" in said:
            assert mine["node"].is_unique
        if "spread" in said:
            counts = nodes.loc[mine["node"], "zone"].value_counts().reindex(nodes["zone"].unique(), fill_value=0)
            assert counts.max() - counts.min() <= 1


def test_the_history_holds_two_looks() -> None:
    store = open_store(Path(__file__).parents[1] / "data" / "demo" / "history", "demo")
    assert store.days("workloads") == [date(2026, 10, 31), date(2026, 11, 1)]
