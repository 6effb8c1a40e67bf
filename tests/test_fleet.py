"""A cluster at one instant: who runs, who asks for what, and which instant is the busiest."""

from __future__ import annotations

import pandas as pd
import pytest

from aiops_analysis.analysis.allocation import effective, init_extra
from aiops_analysis.analysis.fleet import busiest, changes_of, fleet_of, sizes_of
from aiops_analysis.analysis.node_autoscaler import autoscalers
from aiops_analysis.analysis.pools import pools_of
from aiops_analysis.core.errors import UsageError
from aiops_analysis.core.schema import INVENTORY, blank, check
from aiops_analysis.core.units import GIB
from tests.fleets import DAY, Cluster, decrease, rows

NOON = DAY + pd.Timedelta(hours=12)


def one(**more: object) -> Cluster:
    cluster = Cluster({"n0": ("p", 4.0, 16.0)}, [("n0", "web", 1.0, 1.0)])
    for name, value in more.items():
        setattr(cluster, name, value)
    return cluster


def containers(*given: tuple[str, str, float]) -> pd.DataFrame:
    """One pod of web with these containers: name, role, cores; 0.1 GiB each."""
    base = one().inventory().to_dict("records")[0]
    return check(
        pd.DataFrame([base | {"container": n, "role": r, "cpu_request": c, "memory_request": 0.1 * GIB} for n, r, c in given]), INVENTORY
    )


def test_the_effective_request_is_the_larger_of_running_and_starting() -> None:
    # app 0.2 + sidecar 0.05 run; migrate asks 0.3 beside the sidecar: 0.35
    frame = containers(("app", "app", 0.2), ("agent", "sidecar", 0.05), ("migrate", "init", 0.3))
    fleet = fleet_of(frame, one().node_frame(), one().workload_frame(), NOON)
    assert sizes_of(fleet, {}) == ((350, 214_748_366),)  # memory: app and sidecar 0.1 each, as init and sidecar: 2 x 107374182.4
    assert 0.2 + 0.05 + init_extra(frame)["cpu_request"].iloc[0] == pytest.approx(0.35)
    # the app at 0.1 changes nothing, for the init container asks for more; at 0.4 it does
    assert sizes_of(fleet, {("n", "Deployment", "web", "app", "cpu"): 100})[0][0] == 350
    assert sizes_of(fleet, {("n", "Deployment", "web", "app", "cpu"): 400})[0][0] == 450


def test_effective_of_nothing_is_nothing() -> None:
    assert effective([]) == 0
    assert effective([("app", 0)]) == 0


def test_an_init_container_that_is_over_still_counts() -> None:
    frame = containers(("app", "app", 0.2), ("migrate", "init", 0.3))
    early = frame.assign(last_seen=frame["last_seen"].where(frame["role"] != "init", DAY + pd.Timedelta(minutes=5)))
    assert sizes_of(fleet_of(early, one().node_frame(), one().workload_frame(), NOON), {})[0][0] == 300


def test_best_effort_takes_a_slot_and_a_limit_alone_is_a_request() -> None:
    frame = one().inventory()
    nothing = frame.assign(cpu_request=float("nan"), memory_request=float("nan"))
    fleet = fleet_of(nothing, one().node_frame(), one().workload_frame(), NOON)
    assert sizes_of(fleet, {}) == ((0, 0),)
    assert pools_of(fleet, {})["p"].pods == {0: 1}
    limited = nothing.assign(cpu_limit=0.5, memory_limit=float(GIB))
    assert sizes_of(fleet_of(limited, one().node_frame(), one().workload_frame(), NOON), {}) == ((500, GIB),)


def test_the_overhead_of_a_runtime_class_is_added() -> None:
    cluster = one(rules={"web": {"overhead": {"cpu": 0.25, "memory": 1024.0}}})
    assert sizes_of(cluster.fleet(), {}) == ((1250, GIB + 1024),)


def test_daemonsets_and_static_pods_belong_to_their_node() -> None:
    cluster = one(pods=[("n0", "web", 1.0, 1.0), ("n0", "n/DaemonSet/agent", 0.5, 1.0), ("n0", "kube-system/Node/proxy", 0.1, 0.0)])
    pool = pools_of(cluster.fleet(), {})["p"]
    assert sum(pool.pods.values()) == 1
    (kind,) = pool.kinds(sizes_of(cluster.fleet(), {}))
    assert (kind.cpu, kind.memory, kind.pods) == (3400, 15 * GIB, 18)


def test_pods_without_a_node_or_on_an_unknown_one_are_counted() -> None:
    fleet = one(pods=[("n0", "web", 1.0, 1.0), ("", "web", 1.0, 1.0), ("gone", "web", 1.0, 1.0)]).fleet()
    assert (fleet.pending, fleet.homeless) == (1, 1)
    assert len(fleet.nodes[0].pods) == 1


def test_a_node_without_a_size_is_left_out_and_named() -> None:
    frame = one().node_frame().assign(cpu_allocatable=float("nan"))
    fleet = fleet_of(one().inventory(), frame, one().workload_frame(), NOON)
    assert (fleet.nodes, fleet.unsized) == ((), ("n0",))


def test_the_busiest_instant_is_the_latest_of_the_highest_share() -> None:
    # a job of 2 cores runs from 01:00 to 02:00 beside 1 core of 4: that hour is the busiest, and the job's pod is in it alone
    frame = one(pods=[("n0", "web", 1.0, 1.0), ("n0", "n/CronJob/night", 2.0, 1.0)]).inventory()
    job = frame["workload"] == "night"
    hour = pd.Timedelta(hours=1)
    frame = frame.assign(first_seen=frame["first_seen"].where(~job, DAY + hour), last_seen=frame["last_seen"].where(~job, DAY + 2 * hour))
    nodes = one().node_frame()
    instant = busiest(frame, nodes)
    assert instant == DAY + hour
    assert len(fleet_of(frame, nodes, one().workload_frame(), instant).nodes[0].pods) == 2
    assert len(fleet_of(frame, nodes, one().workload_frame(), DAY + 2 * hour).nodes[0].pods) == 1
    # twice as many nodes in that hour: the share is the same as with one core in four, and later
    second = nodes.assign(node="n1", first_seen=DAY + hour, last_seen=DAY + 2 * hour, cpu_allocatable=100.0, memory_allocatable=1e15)
    assert busiest(frame, pd.concat([nodes, second], ignore_index=True)) == DAY + 2 * hour
    assert busiest(frame.iloc[:0], nodes) is None


def test_only_rows_that_change_something_are_changes() -> None:
    recs = rows(
        decrease("a", "cpu", 1.0, 0.325),
        decrease("b", "memory", 1.0, 0.5),
        decrease("c", "cpu", 1.0, 0.5, decided="ADR-1"),
        decrease("d", "cpu", 1.0, 0.5, grade="refused"),
        decrease("e", "cpu", 1.0, 0.5, change="keep"),
        decrease("f", "cpu", 1.0, float("nan"), change="decrease"),
    )
    assert changes_of(recs) == {("n", "Deployment", "a", "app", "cpu"): 325, ("n", "Deployment", "b", "app", "memory"): GIB // 2}


def test_rules_that_are_empty_or_broken_are_unknown() -> None:
    cluster = one()
    for text, known in (("", False), ("{", False), ("[]", False), ("{}", True)):
        frame = cluster.workload_frame().assign(scheduling=text)
        fleet = fleet_of(cluster.inventory(), cluster.node_frame(), frame, NOON)
        assert (pools_of(fleet, {})["p"].unknown_share == 0.0) is known, text


def test_nodes_that_a_rule_tells_apart_are_two_kinds() -> None:
    cluster = Cluster(
        {"n0": ("p", 4.0, 16.0), "n1": ("p", 4.0, 16.0)}, [("n0", "db", 1.0, 1.0), ("n1", "web", 1.0, 1.0)], {"db": {"zones": ["a"]}}
    )
    cluster.zones = {"n0": "a", "n1": "b"}
    pool = pools_of(cluster.fleet(), {})["p"]
    assert len(pool.bases) == 2
    assert sorted(kind.zones for kind in pool.bases) == [("a",), ("b",)]
    assert [len(shape.kinds or ()) for shape in pool.prototypes.values()] == [1, 0]


def found(cluster: Cluster, given: str = "", **nodes: object) -> str:
    frame = cluster.node_frame().assign(**nodes)
    fleet = fleet_of(cluster.inventory(), frame, cluster.workload_frame(), NOON)
    return autoscalers(fleet.pools().items(), cluster.inventory(), given)["p"]


def test_what_takes_nodes_away() -> None:
    system = ("n0", "kube-system/Deployment/coredns", 0.1, 0.1)
    assert found(one(pods=[system])) == "none"
    assert found(one()) == "unknown"  # kube-system was not looked at
    assert found(one(pods=[system]), provider_id="gce://project/zone/name") == "unknown"  # it runs where no pod shows it
    assert found(one(pods=[system]), provider_id="") == "unknown"
    assert found(one(pods=[system, ("n0", "kube-system/Deployment/aws-cluster-autoscaler", 0.1, 0.1)])) == "cluster-autoscaler"
    assert found(one(pods=[system], labels={"n0": {"karpenter.sh/nodepool": "p"}})) == "karpenter"
    assert found(one(pods=[system], labels={"n0": {"eks.amazonaws.com/compute-type": "auto"}})) == "managed"
    assert found(one(pods=[system, ("n0", "karpenter/Deployment/karpenter", 1.0, 1.0)])) == "none"  # not its node
    assert found(one(pods=[system, ("n0", "karpenter/Deployment/karpenter", 1.0, 1.0)]), labels="") == "unknown"
    assert found(one(pods=[system]), "karpenter") == "karpenter"
    with pytest.raises(UsageError, match="expected one of cluster-autoscaler, karpenter"):
        found(one(), "always")


def test_the_image_tells_the_autoscaler_as_well() -> None:
    base = blank(INVENTORY) | one().inventory().to_dict("records")[0]
    frame = check(pd.DataFrame([base | {"image": "registry.k8s.io/autoscaling/cluster-autoscaler:v1.33.0"}]), INVENTORY)
    assert autoscalers(one().fleet().pools().items(), frame) == {"p": "cluster-autoscaler"}
