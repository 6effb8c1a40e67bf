"""Nodes that can go, what they are worth, and who would take them away: clusters small enough to pack by hand."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from aiops_analysis.analysis.bankable import packing_frame, split_bankable
from aiops_analysis.analysis.pool_need import Terms
from aiops_analysis.core.schema import FACTS, blank, check
from tests.fleets import DAY, Cluster, decrease, key_of, rows

KARPENTER = Terms("karpenter", node_month=100.0, price_source="sheet")


def four() -> Cluster:
    """Four nodes of 4 cores and 16 GiB, each with two pods of 1.5 cores and 1 GiB: two workloads of four pods."""
    nodes = {f"n{i}": ("p", 4.0, 16.0) for i in range(4)}
    return Cluster(nodes, [(f"n{i}", name, 1.5, 1.0) for i in range(4) for name in ("web", "api")])


def row_of(cluster: Cluster, recommendations: pd.DataFrame, terms: Terms = KARPENTER) -> pd.Series:
    return packing_frame(cluster.needs(terms), cluster.after(recommendations)).iloc[0]


def halved(*names: str, then: float = 0.5) -> pd.DataFrame:
    return rows(*(decrease(name, "cpu", 1.5, then) for name in names))


def test_today_and_after() -> None:
    # today 2 pods of 1.5 a node: 8 pods need 4 nodes; 12 cores / 4 = 3 is the bound by sums. After: 8 x 0.5 = 4 cores: 1 node.
    # calibration 4/4 = 1; one node is kept free for a failure: 4 - (1 + 1) = 2 can go.
    row = row_of(four(), halved("web", "api"))
    assert (row["nodes_now"], row["pods"], row["model_now"], row["model_after"], row["ffd_after"]) == (4, 8, 4, 1, 1)
    assert (row["calibration"], row["headroom"], row["nodes_after"], row["freed"], row["free_today"]) == (1.0, 1, 2, 2, 0)
    assert row["lower_bound_now"] in (3, 4)
    assert row["lower_bound_after"] == 1
    assert (row["bankable"], row["if_shrunk"], row["committed"]) == (200.0, 200.0, 0.0)
    assert (row["binding"], row["cpu_part"], row["grade"], row["unknown"]) == ("cpu", 1.0, "high", "")
    assert "2 nodes can go, and karpenter takes them away." in row["reasons"]


def test_nothing_is_freed_while_headroom_is_missing() -> None:
    # halving one workload: 4 x 1.5 + 4 x 0.5 = 8 cores, 2 nodes; with 1 free 3: one node goes. Nothing changed: 4 + 1 > 4, none.
    assert row_of(four(), halved("web"))["freed"] == 1
    row = row_of(four(), halved())
    assert (row["freed"], row["nodes_after"], row["bankable"]) == (0, 4, 0.0)
    assert any("lacks room for a lost node and a rollout: that takes 5 nodes, and it has 4" in text for text in row["reasons"])


@pytest.mark.parametrize(("autoscaler", "says"), [("none", "nothing removes them"), ("unknown", "is not known")])
def test_without_an_autoscaler_nothing_is_banked(autoscaler: str, says: str) -> None:
    row = row_of(four(), halved("web", "api"), Terms(autoscaler, node_month=100.0))
    assert (row["freed"], row["bankable"], row["if_shrunk"]) == (2, 0.0, 200.0)
    assert any(says in text and "until someone shrinks the pool to 2" in text for text in row["reasons"])


def test_cluster_autoscaler_needs_a_node_below_half() -> None:
    # after: each node has 0.5 + 0.5 of 4 cores = 25 %: two are emptied one after another into the others
    row = row_of(four(), halved("web", "api"), Terms("cluster-autoscaler", node_month=100.0))
    assert (row["freed"], row["bankable"]) == (2, 200.0)
    # web at 0.5, api at 1.5: every node is at exactly half, which is not below it: the packing frees one, the autoscaler none
    row = row_of(four(), halved("web"), Terms("cluster-autoscaler", node_month=100.0))
    assert (row["freed"], row["bankable"], row["if_shrunk"]) == (1, 0.0, 100.0)
    assert any("Cluster Autoscaler would take 0 by itself" in text for text in row["reasons"])


def test_commitments_stay_on_the_bill() -> None:
    # 4 - 2 = 2 nodes stay; 3 are committed: 1 of the 2 freed is still paid for
    row = row_of(four(), halved("web", "api"), Terms("karpenter", node_month=100.0, committed=3, until="2027-06-30"))
    assert (row["freed"], row["bankable"], row["committed"], row["committed_until"]) == (2, 100.0, 100.0, "2027-06-30")
    assert any("1 node under a commitment until 2027-06-30" in text for text in row["reasons"])
    row = row_of(four(), halved("web", "api"), Terms("karpenter", node_month=100.0, committed=2, until="2027-06-30"))
    assert (row["bankable"], row["committed"], row["committed_until"]) == (200.0, 0.0, "")


def test_the_pools_minimum_and_its_zones_hold() -> None:
    assert row_of(four(), halved("web", "api"), Terms("karpenter", minimum=3, node_month=100.0))["freed"] == 1
    spread = {"spread": [{"topology": "topology.kubernetes.io/zone", "skew": 1}]}
    cluster = four()
    cluster.zones, cluster.rules = {"n0": "a", "n1": "b", "n2": "c", "n3": "c"}, {"web": spread}
    # over three zones: a node each is needed and one each is kept free: nothing goes
    row = row_of(cluster, halved("web", "api"))
    assert (row["headroom"], row["freed"]) == (3, 0)


def test_calibration_is_nodes_per_modelled_node() -> None:
    # 6 nodes with a pod of 2 of 4 cores each: the model packs two a node, 3 nodes: e = 2. After at 1 core: 2 nodes (4 + 2), 4 kept.
    cluster = Cluster({f"n{i}": ("p", 4.0, 16.0) for i in range(6)}, [(f"n{i}", "web", 2.0, 1.0) for i in range(6)])
    row = row_of(cluster, rows(decrease("web", "cpu", 2.0, 1.0)))
    assert (row["model_now"], row["model_after"], row["calibration"], row["nodes_after"], row["freed"]) == (3, 2, 2.0, 4, 2)
    # 8 nodes with 0.5 core each: one node in the model, held at 3: 5 of them could go today
    cluster = Cluster({f"n{i}": ("p", 4.0, 16.0) for i in range(8)}, [(f"n{i}", "web", 0.5, 1.0) for i in range(8)])
    row = row_of(cluster, rows())
    assert (row["model_now"], row["calibration"], row["freed"], row["free_today"], row["grade"]) == (1, 3.0, 5, 5, "medium")
    assert any("the calibration is held at 3" in text for text in row["reasons"])
    assert any("5 nodes could go before any change" in text for text in row["reasons"])


def test_the_surge_of_the_largest_workload_is_kept_free() -> None:
    # after: 8 pods of 0.5 fill one node exactly; a rollout of 4 more pods of the largest needs a second: 1 + 1 + 1 = 3
    cluster = four()
    cluster.settings = {"web": {"surge": 4.0}}
    row = row_of(cluster, halved("web", "api"))
    assert (row["model_after"], row["headroom"], row["nodes_after"]) == (1, 2, 3)
    cluster.rules = None  # nobody knows: a quarter, 1 pod, as Kubernetes does by itself
    assert row_of(cluster, halved("web", "api"))["headroom"] == 2


def test_daemonsets_take_their_room_on_every_node_and_give_it_back() -> None:
    # 1 core of a DaemonSet on each of 3 nodes of 4 leaves 3: six pods of 1.5 cores, two a node
    cluster = Cluster(
        {f"n{i}": ("p", 4.0, 16.0) for i in range(3)},
        [(f"n{i}", "web", 1.5, 1.0) for i in range(3) for _ in range(2)] + [(f"n{i}", "n/DaemonSet/agent", 1.0, 1.0) for i in range(3)],
    )
    row = row_of(cluster, rows())
    assert (row["pods"], row["model_now"]) == (6, 3)
    # with 0.4 core the node has 3.6, still two pods; pods of 1.2 then fit three times: 2 nodes
    assert row_of(cluster, rows(decrease("n/DaemonSet/agent", "cpu", 1.0, 0.4), decrease("web", "cpu", 1.5, 1.2)))["model_after"] == 2
    assert row_of(cluster, rows(decrease("web", "cpu", 1.5, 1.2)))["model_after"] == 3


def test_pods_that_cannot_move_keep_their_nodes() -> None:
    cluster = four()
    cluster.settings = {"web": {"pdb": "web", "disruptions": 0.0}}
    row = row_of(cluster, halved("web", "api"))
    assert (row["freed"], row["nodes_after"]) == (0, 4)
    assert "4 nodes hold pods that cannot be moved." in row["reasons"]
    cluster.settings = {"web": {"pdb": "web", "disruptions": 1.0}}
    assert row_of(cluster, halved("web", "api"))["freed"] == 2


def test_local_storage_does_not_stop_karpenter() -> None:
    cluster = four()
    cluster.rules = {"web": {"local_storage": True}}
    assert row_of(cluster, halved("web", "api"))["freed"] == 2
    assert row_of(cluster, halved("web", "api"), Terms("cluster-autoscaler", node_month=100.0))["freed"] == 0


def test_what_is_unknown_is_named_and_grades_down() -> None:
    cluster = four()
    cluster.rules = None
    row = row_of(cluster, halved("web", "api"))
    assert row["grade"] == "low"
    assert "anti-affinity between pods" in row["unknown"]
    assert any("Not known for 100% of its requests" in text for text in row["reasons"])


def test_required_anti_affinity_needs_a_node_for_each_pod() -> None:
    cluster = four()
    alone = {"anti_affinity": [{"topology": "kubernetes.io/hostname", "workloads": ["n/Deployment/web"]}]}
    cluster.rules = {"web": alone}
    row = row_of(cluster, halved("web", "api"))
    assert (row["lower_bound_after"], row["model_after"], row["freed"]) == (4, 4, 0)


def test_a_pod_larger_than_any_node_and_a_circle_of_affinities() -> None:
    cluster = four()
    cluster.pods = [*cluster.pods, ("n0", "huge", 9.0, 1.0)]
    row = row_of(cluster, halved("web", "api"))
    assert row["grade"] == "medium"
    assert any("n/Deployment/huge fits on no node of the model" in text for text in row["reasons"])
    # a needs b beside it and b needs a: on the nodes where both are they stay, nobody crashes and nothing is invented
    ring = four()
    ring.rules = {
        "web": {"affinity": [{"topology": "kubernetes.io/hostname", "workloads": ["n/Deployment/api"]}]},
        "api": {"affinity": [{"topology": "kubernetes.io/hostname", "workloads": ["n/Deployment/web"]}]},
    }
    row = row_of(ring, halved())
    assert row["freed"] == 0
    assert row["model_now"] == 4


def test_more_requests_need_more_nodes_and_free_none() -> None:
    # 4 pods of 3.5 cores and 4 of 1.5: no two fit on a node of 4 but two of 1.5: 4 + 2 = 6, with one free 7; today it would be 5
    row = row_of(four(), rows(decrease("web", "cpu", 1.5, 3.5)))
    assert (row["freed"], row["model_after"], row["nodes_after"]) == (0, 6, 6)
    assert any("After the changes its pods need 6 nodes, 2 more than today." in text for text in row["reasons"])


def test_a_node_that_is_there_for_a_quarter_of_the_day_saves_a_quarter() -> None:
    # for a quarter of the day 4 nodes, else 3: of the two freed, one is there all day and one for a quarter
    row = row_of(four(), halved("web", "api"), Terms("karpenter", node_month=100.0, day=((0.75, 3), (0.25, 4))))
    assert row["freed"] == 2
    assert row["bankable"] == pytest.approx(125.0)
    assert any("1.25 are there on average" in text for text in row["reasons"])


def test_without_a_price_there_is_no_money_but_a_count() -> None:
    row = row_of(four(), halved("web", "api"), Terms("karpenter"))
    assert row["freed"] == 2
    assert math.isnan(row["bankable"])
    assert math.isnan(row["if_shrunk"])
    assert "Nothing prices its nodes: no money is shown." in row["reasons"]


def test_pods_stay_in_their_pool_and_the_text_says_where_else_they_could_run() -> None:
    from aiops_analysis.analysis.pools import may_move, pools_of

    nodes = {"a0": ("big", 8.0, 32.0), "b0": ("small", 4.0, 16.0)}
    cluster = Cluster(nodes, [("a0", "web", 1.0, 1.0), ("b0", "api", 1.0, 1.0)], {"api": {"node_selector": {"size": "s"}}})
    cluster.labels = {"a0": {"size": "b"}, "b0": {"size": "s"}}
    fleet = cluster.fleet()
    said = may_move(pools_of(fleet, {}), fleet)
    assert list(said) == ["big"]
    assert "1 in small" in said["big"]


def test_empty_nodes_can_go_today() -> None:
    row = row_of(Cluster({"n0": ("p", 4.0, 16.0), "n1": ("p", 4.0, 16.0)}, [("n0", "n/DaemonSet/agent", 1.0, 1.0)]), rows())
    assert (row["pods"], row["freed"], row["free_today"]) == (0, 2, 2)
    assert "No pod runs on its 2 nodes but what every node has." in row["reasons"]


def test_quiet_and_refused_rows_change_nothing() -> None:
    cluster = four()
    quiet = rows(decrease("web", "cpu", 1.5, 0.5, decided="ADR-0001"), decrease("api", "cpu", 1.5, 0.5, grade="refused"))
    assert cluster.after(quiet) == cluster.after(rows())
    assert row_of(cluster, quiet)["freed"] == 0


def facts_of(*given: tuple[str, list[tuple[str, int]]]) -> pd.DataFrame:
    out = []
    for workload, pools in given:
        namespace, kind, name = key_of(workload)
        about = {"namespace": namespace, "workload_kind": kind, "workload": name, "container": "app", "pools": pools}
        out.append(blank(FACTS) | about | dict.fromkeys(("first_seen", "last_rollout"), DAY))
    return check(pd.DataFrame(out), FACTS)


def test_a_pools_money_goes_to_the_rows_that_freed_its_binding_resource() -> None:
    # 200 are banked; web frees 4 x 1.0, api 4 x 0.5 cores: 133.33 and 66.67; memory was not what had to fall
    cluster = four()
    recs = rows(
        decrease("web", "cpu", 1.5, 0.5, replicas=4.0),
        decrease("api", "cpu", 1.5, 1.0, replicas=4.0),
        decrease("api", "memory", 1.0, 0.5, replicas=4.0),
        decrease("gone", "cpu", 1.0, 0.5),
    )
    packing = packing_frame(cluster.needs(KARPENTER), cluster.after(recs)).assign(bankable=200.0, freed=2)
    assert packing["cpu_part"].tolist() == [1.0]
    facts = facts_of(("web", [("p", 4)]), ("api", [("p", 4)]), ("gone", [("elsewhere", 1)]))
    got = split_bankable(packing, recs, facts)
    assert got.tolist()[:3] == [pytest.approx(400 / 3), pytest.approx(200 / 3), 0.0]
    assert math.isnan(got.iloc[3])
    # a row gets no more than its paper, and what is cut goes to nobody
    got = split_bankable(packing, recs.assign(paper=[10.0, 1000.0, 1000.0, 1000.0]), facts)
    assert got.tolist()[:3] == [10.0, pytest.approx(200 / 3), 0.0]
    assert split_bankable(packing.assign(freed=2, free_today=2), recs, facts).tolist()[:3] == [0.0, 0.0, 0.0]


def test_both_resources_share_when_both_had_to_fall() -> None:
    # nodes of 4 cores and 4 GiB; two nodes: cpu 8/8, memory 6/8. After: cpu 2/8, memory 4/8. cpu had to fall 1.0 - 0.5, memory 0.25
    pods = [(n, "web", 4.0, 3.0) for n in ("n0", "n1", "n2")]
    cluster = Cluster(dict.fromkeys(("n0", "n1", "n2"), ("p", 4.0, 4.0)), pods)
    recs = rows(decrease("web", "cpu", 4.0, 1.0), decrease("web", "memory", 3.0, 2.0))
    row = row_of(cluster, recs)
    # 2 pods a node: 2 nodes and one free is all three: nothing goes, so nothing is parted
    assert (row["freed"], row["model_after"]) == (0, 2)
    assert math.isnan(row["cpu_part"])
    wide = Cluster({f"n{i}": ("p", 4.0, 4.0) for i in range(6)}, [(f"n{i}", "web", 4.0, 3.0) for i in range(6)])
    row = row_of(wide, recs)
    assert (row["freed"], row["cpu_part"]) == (2, pytest.approx(2 / 3))
