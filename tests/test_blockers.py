"""What keeps a nearly free node, by name; and emptying nodes one after another."""

from __future__ import annotations

import pandas as pd
import pytest

from aiops_analysis.analysis.blockers import blockers
from aiops_analysis.analysis.drain import Board, drained
from aiops_analysis.analysis.pool_need import Terms
from tests.fleets import Cluster, rows

HOST = "kubernetes.io/hostname"
CA = Terms("cluster-autoscaler", node_month=100.0)


def three(workload: str = "web", cpu: float = 1.0) -> Cluster:
    """Two busy nodes of 4 cores with 3 in use, and n2 with one pod."""
    return Cluster(
        {f"n{i}": ("p", 4.0, 16.0) for i in range(3)},
        [(f"n{i}", name, 1.0, 1.0) for i in (0, 1) for name in ("a", "b", "c")] + [("n2", workload, cpu, 1.0)],
    )


def found(cluster: Cluster, terms: Terms = CA) -> pd.DataFrame:
    return blockers(cluster.needs(terms), cluster.after(rows()))


def codes(cluster: Cluster, terms: Terms = CA) -> set[tuple[str, str, str]]:
    got = found(cluster, terms)
    return set(zip(got["node"], got["workload"], got["code"], strict=True))


def test_nothing_is_in_the_way_of_a_node_that_others_can_hold() -> None:
    assert codes(three()) == set()


@pytest.mark.parametrize(
    ("rules", "settings", "code"),
    [
        ({}, {"pdb": "web", "disruptions": 0.0}, "pdb"),
        ({"safe_to_evict": False}, {}, "safe_to_evict"),
        ({"local_storage": True}, {}, "local_storage"),
        ({"node_selector": {"disk": "ssd"}}, {}, "node_selector"),
        ({"anti_affinity": [{"topology": HOST, "workloads": ["n/Deployment/a"]}]}, {}, "anti_affinity"),
    ],
)
def test_a_rule_in_the_way_is_named(rules: dict, settings: dict, code: str) -> None:
    cluster = three()
    cluster.rules, cluster.settings = {"web": rules}, {"web": settings}
    cluster.labels = {"n2": {"disk": "ssd"}}
    assert codes(cluster) == {("n2", "web", code)}
    got = found(cluster).iloc[0]
    assert (got["namespace"], got["pool"]) == ("n", "p")
    assert got["message"].startswith("n/Deployment/web ")


def test_a_pod_without_a_controller() -> None:
    assert codes(three("n/Pod/shell")) == {("n2", "shell", "no_controller")}


def test_cluster_autoscaler_leaves_pods_of_kube_system_without_a_budget() -> None:
    cluster = three("kube-system/Deployment/dns")
    assert codes(cluster) == {("n2", "dns", "pdb")}
    assert codes(cluster, Terms("karpenter")) == set()


def test_a_pod_larger_than_any_other_node() -> None:
    cluster = three(cpu=1.5)
    cluster.nodes = {"n0": ("p", 1.0, 16.0), "n1": ("p", 1.0, 16.0), "n2": ("p", 4.0, 16.0)}
    cluster.pods = [("n0", "a", 1.0, 1.0), ("n1", "a", 1.0, 1.0), ("n2", "web", 1.5, 1.0)]
    assert codes(cluster) == {("n2", "web", "too_large")}


def test_no_room_alone_and_no_room_together() -> None:
    # n0 and n1 have 1 core left each: a pod of 1.5 fits nowhere though a node could hold it
    assert codes(three(cpu=1.5)) == {("n2", "web", "busy")}
    # three pods of 0.6: each fits alone, 2 + 1 do not: 1 core takes one of them
    cluster = three(cpu=0.6)
    cluster.pods = [*cluster.pods, ("n2", "web", 0.6, 1.0), ("n2", "web", 0.6, 1.0)]
    assert codes(cluster) == {("n2", "", "busy")}
    assert "no room for all of its pods together" in found(cluster)["message"].iloc[0]


def test_a_node_of_which_half_is_requested_is_busy_for_cluster_autoscaler() -> None:
    # every node at 3 of 4 cores: the emptiest is looked at, 75 % of it is requested, and the others have 1 core each
    cluster = three()
    cluster.pods = [(f"n{i}", name, 1.0, 1.0) for i in range(3) for name in ("a", "b", "c")]
    got = found(cluster)
    assert got["code"].tolist() == ["busy", "busy"]
    assert got["message"].iloc[0].startswith("75% of it is requested")


def test_what_holds_the_whole_pool() -> None:
    assert ("", "", "minimum") in codes(three(), Terms("karpenter", minimum=3))
    cluster = Cluster({f"n{i}": ("p", 4.0, 16.0) for i in range(4)}, [("n0", "web", 1.0, 1.0)])
    assert ("", "", "commitment") in codes(cluster, Terms("karpenter", node_month=1.0, committed=4, until="2027-01-01"))
    spread = three()
    spread.rules = {"web": {"spread": [{"topology": "topology.kubernetes.io/zone", "skew": 1}]}}
    spread.zones = {"n0": "a", "n1": "b", "n2": "c"}
    assert ("", "web", "spread") in codes(spread)


def test_the_only_node_of_a_pool() -> None:
    assert codes(Cluster({"n0": ("p", 4.0, 16.0)}, [("n0", "web", 1.0, 1.0)])) == {("n0", "web", "minimum")}


def test_nodes_are_emptied_into_what_is_left() -> None:
    # four nodes with one pod of 1 of 4 cores each: below half; the first three go into one another until one holds all four
    cluster = Cluster({f"n{i}": ("p", 4.0, 16.0) for i in range(4)}, [(f"n{i}", "web", 1.0, 1.0) for i in range(4)])
    need = cluster.needs()["p"]
    # n0 into n1 makes n1 half full: from then on it stays. n2 (25 %) into n1, n3 into n1: one node is left
    assert drained(need.pool, need.today, "cluster-autoscaler", 4) == 3
    assert drained(need.pool, need.today, "cluster-autoscaler", 2) == 2
    board = Board(need.pool, need.today)
    assert board.empty("n0")
    assert sum(sum(pods.values()) for pods in board.pods.values()) == 4
    assert board.utilisation("n1") + board.utilisation("n2") + board.utilisation("n3") == 1.0


def test_no_pod_moves_to_a_cordoned_or_overfull_node() -> None:
    cluster = three()
    frame = cluster.node_frame()
    from aiops_analysis.analysis.fleet import fleet_of, sizes_of
    from aiops_analysis.analysis.pools import pools_of
    from tests.fleets import DAY

    shut = frame.assign(unschedulable=frame["node"].isin(["n0", "n1"]))
    fleet = fleet_of(cluster.inventory(), shut, cluster.workload_frame(), DAY)
    assert Board(pools_of(fleet, {})["p"], sizes_of(fleet, {})).moves("n2") is None
    open_fleet = fleet_of(cluster.inventory(), frame, cluster.workload_frame(), DAY)
    assert Board(pools_of(open_fleet, {})["p"], sizes_of(open_fleet, {})).moves("n2") is not None
