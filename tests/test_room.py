"""Free room by node and what fits into it; every number by hand."""

from __future__ import annotations

import dataclasses
import json
import math
from datetime import UTC, datetime

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiops_analysis.analysis.room import Room, allowed, at_end, place, present, requests_of_pods, rooms, unknown_rules
from aiops_analysis.core.manifest import Asked
from aiops_analysis.core.schema import INVENTORY, NODES, blank, check
from aiops_analysis.core.units import GIB

START, END = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC)
NAN = math.nan


def pod(name: str, cpu: float = 0.5, gib: float = 1.0, node: str = "a", role: str = "app", **more: object) -> dict[str, object]:
    about = {
        "namespace": "shop",
        "pod": name,
        "uid": name,
        "container": role,
        "role": role,
        "workload_kind": "Deployment",
        "workload": "web",
    }
    requests = {"cpu_request": cpu, "memory_request": gib * GIB, "first_seen": START, "last_seen": END}
    return blank(INVENTORY) | about | requests | {"node": node} | more


def inventory(*rows: dict[str, object]) -> pd.DataFrame:
    return check(pd.DataFrame(rows, columns=list(INVENTORY.columns)), INVENTORY)


def node(name: str, cpu: float = 4.0, gib: float = 8.0, **more: object) -> dict[str, object]:
    sizes = {"cpu_allocatable": cpu, "memory_allocatable": gib * GIB, "pods_allocatable": 10.0}
    return blank(NODES) | {"node": name, "pool": "p", "zone": "z1", "first_seen": START, "last_seen": END} | sizes | more


def nodes(*rows: dict[str, object]) -> pd.DataFrame:
    return check(pd.DataFrame(rows, columns=list(NODES.columns)), NODES)


def asked(name: str = "web", cpu: float = 1.0, gib: float = 1.0, **more: object) -> Asked:
    one = Asked("a.yaml", "shop", "Deployment", name, 1, cpu, gib * GIB)
    return dataclasses.replace(one, **more)


def room(name: str = "a", cpu: int = 4000, gib: float = 8.0, **more: object) -> Room:
    one = Room(name, "p", cpu, int(gib * GIB), 10, {"zone": "z1", "cores": "8"}, True, (), False)
    return dataclasses.replace(one, **more)


def test_what_pods_reserve() -> None:
    rows = [
        pod("x", 0.5, 1),
        pod("x", 0.1, 1, role="sidecar"),
        pod("x", 0.9, 0.5, role="init"),  # 0.9 + 0.1 of the sidecar is more than 0.6; 0.5 + 1 GiB is less than 2
        pod("y", NAN, 1, cpu_limit=0.25),
        pod("z", NAN, NAN),
    ]
    got = requests_of_pods(inventory(*rows)).set_index("pod")
    assert got["cpu"].to_dict() == {"x": pytest.approx(1.0), "y": 0.25, "z": 0.0}
    assert (got["memory"] / GIB).to_dict() == {"x": 2.0, "y": 1.0, "z": 0.0}
    assert not len(requests_of_pods(inventory()))


def test_free_is_allocatable_less_what_runs() -> None:
    pods = requests_of_pods(inventory(pod("x", 0.5, 1), pod("y", 1.25, 2, workload="db"), pod("w", 1, 1, node="")))
    there = nodes(node("a"), node("b", pods_allocatable=NAN), node("c", cpu_allocatable=NAN))
    first, second = rooms(there, pods)
    assert (first.node, first.cpu, first.memory, first.slots) == ("a", 2250, 5 * GIB, 8)
    assert (second.node, second.cpu) == ("b", 4000)  # c does not say what it offers
    assert rooms(there, pods, {("shop", "Deployment", "web")})[0].cpu == 2750


def test_only_what_is_there_at_the_end_counts() -> None:
    earlier = {"last_seen": datetime(2026, 11, 1, 12, tzinfo=UTC)}
    assert list(at_end(inventory(pod("x"), pod("old", **earlier)))["pod"]) == ["x"]
    assert list(present(nodes(node("b"), node("a"), node("old", **earlier)))["node"]) == ["a", "b"]


def test_labels_and_taints_of_nodes() -> None:
    told = node("a", labels=json.dumps({"disk": "ssd"}), taints=json.dumps([["gpu", "true", "NoSchedule"]]), unschedulable=True)
    full, bare, odd = rooms(nodes(told, node("b"), node("c", labels="{", taints='[["x"]]')), requests_of_pods(inventory()))
    assert (full.labels, full.all_labels, full.taints, full.cordoned) == ({"disk": "ssd"}, True, (("gpu", "true", "NoSchedule"),), True)
    assert (bare.labels, bare.all_labels, bare.taints) == (
        {"kubernetes.io/hostname": "b", "topology.kubernetes.io/zone": "z1"},
        False,
        None,
    )
    assert (odd.all_labels, odd.taints) == (False, None)


CLOSED = "not matched by the node selector or affinity"


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({}, ""),
        ({"node_selector": {"zone": "z1"}}, ""),
        ({"node_selector": {"zone": "z2"}}, CLOSED),
        ({"node_selector": {"other": "x"}}, CLOSED),
        ({"affinity": ((("zone", "In", ("z1", "z2")),),)}, ""),
        ({"affinity": ((("zone", "NotIn", ("z1",)),),)}, CLOSED),
        ({"affinity": ((("zone", "NotIn", ("z1",)),), (("cores", "Gt", ("4",)),))}, ""),  # one term is enough
        ({"affinity": ((("zone", "Exists", ()), ("cores", "Lt", ("4",))),)}, CLOSED),  # all rules of it must hold
        ({"affinity": ((("other", "DoesNotExist", ()),),)}, ""),
        ({"affinity": ((("zone", "Gt", ("1",)),),)}, CLOSED),
        ({"affinity": ((("zone", "Near", ("1",)),),)}, CLOSED),
        ({"affinity": ((("metadata.name", "In", ("a",)),),)}, ""),
        ({"node_name": "b"}, "not the node that it names"),
    ],
)
def test_rules_on_a_node_whose_labels_are_known(rules: dict[str, object], said: str) -> None:
    assert allowed(asked(**rules), room()) == said


def test_a_label_that_nobody_knows_closes_no_node_and_is_named() -> None:
    some = room(all_labels=False, taints=None)
    assert allowed(asked(node_selector={"disk": "ssd"}), some) == ""
    assert allowed(asked(node_selector={"zone": "z2"}), some) == CLOSED
    assert list(unknown_rules(asked(node_selector={"disk": "ssd"}, unchecked=("topology spread",)), [some])) == [
        "topology spread",
        "labels of the nodes",
        "taints of the nodes",
    ]
    assert list(unknown_rules(asked(node_selector={"disk": "ssd"}), [room()])) == []


@pytest.mark.parametrize(
    ("toleration", "open_to_it"),
    [
        (("gpu", "Equal", "true", "NoSchedule"), True),
        (("gpu", "Equal", "true", ""), True),
        (("gpu", "Exists", "", ""), True),
        (("", "Exists", "", ""), True),
        (("gpu", "Equal", "false", ""), False),
        (("gpu", "Equal", "true", "NoExecute"), False),
        (("other", "Exists", "", ""), False),
        (("", "Equal", "", ""), False),
    ],
)
def test_taints(toleration: tuple[str, str, str, str], open_to_it: bool) -> None:
    tainted = room(taints=(("gpu", "true", "NoSchedule"),))
    assert allowed(asked(), tainted) == "tainted"
    assert (allowed(asked(tolerations=(toleration,)), tainted) == "") == open_to_it
    assert allowed(asked(), room(taints=(("x", "", "PreferNoSchedule"),))) == ""


def test_a_cordoned_node_takes_daemons_alone() -> None:
    cordoned = room(cordoned=True, taints=(("node.kubernetes.io/unschedulable", "", "NoSchedule"),))
    assert allowed(asked(), cordoned) == "cordoned"
    assert allowed(asked(kind="DaemonSet"), cordoned) == ""


def test_the_largest_go_first_and_onto_the_node_that_they_leave_least_on() -> None:
    # 3.5 cores fit on a alone; then one small pod of 1 core on b, where less is left, the others too until b is full
    big, small = asked("big", 3.5), asked("small", 1.0)
    got = place([(small, 3), (big, 1)], [room("a"), room("b", 2000)])
    assert (got[big.key].nodes, got[big.key].placed) == (("a",), 1)
    assert got[small.key].nodes == ("b", "b")
    assert got[small.key].why == "1 of 3 pods fit on none of the 2 nodes (2 too little CPU)"


def test_f29_why_nothing_fits_is_said_by_node() -> None:
    free = [room("a", 500), room("b", gib=0.5), room("c", slots=0), room("d", 10, 0.1), room("e", cordoned=True)]
    (got,) = place([(asked(), 1)], free).values()
    said = "1 cordoned, 1 no pod slot, 1 too little CPU, 1 too little CPU and memory, 1 too little memory"
    assert got.why == f"1 of 1 pods fit on none of the 5 nodes ({said})"
    (nowhere,) = place([(asked(), 2)], []).values()
    assert (nowhere.placed, nowhere.wanted) == (0, 2)


def test_pods_that_may_not_share_a_node() -> None:
    (got,) = place([(asked(cpu=0.1, alone=True), 3)], [room("a"), room("b")]).values()
    assert (got.placed, sorted(got.nodes)) == (2, ["a", "b"])
    assert got.why.endswith("(2 has one of its pods already)")


def test_a_daemon_has_a_pod_on_every_node_that_is_open_to_it() -> None:
    free = [room("a"), room("b", 500), room("c", taints=(("x", "", "NoSchedule"),))]
    (got,) = place([(asked(kind="DaemonSet"), 99)], free).values()
    assert (got.wanted, got.placed, got.nodes) == (2, 1, ("a",))
    assert got.why == "no room for its pod on 1 of 2 nodes (1 too little CPU)"


SIZES = st.tuples(st.integers(1, 3000), st.integers(1, 4096), st.integers(0, 6))


@given(st.lists(SIZES, min_size=1, max_size=6), st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 8192)), max_size=5))
@settings(max_examples=200, deadline=None)
def test_no_node_is_ever_given_more_than_it_has(shapes: list[tuple[int, int, int]], free: list[tuple[int, int]]) -> None:
    wanted = [(asked(f"w{i}", cpu / 1000, mib / 1024), count) for i, (cpu, mib, count) in enumerate(shapes)]
    left = [room(f"n{i}", cpu, mib / 1024) for i, (cpu, mib) in enumerate(free)]
    got = place(wanted, left)
    for number, one in enumerate(left):
        cpu = sum(shapes[i][0] * got[w.key].nodes.count(one.node) for i, (w, _) in enumerate(wanted))
        mib = sum(shapes[i][1] * got[w.key].nodes.count(one.node) for i, (w, _) in enumerate(wanted))
        assert cpu <= free[number][0]
        assert mib <= free[number][1]
        assert sum(got[w.key].nodes.count(one.node) for w, _ in wanted) <= 10
    for w, count in wanted:
        assert got[w.key].placed <= count == got[w.key].wanted
        assert bool(got[w.key].why) == (got[w.key].placed < count)
