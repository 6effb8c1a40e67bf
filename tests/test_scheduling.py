"""Scheduling rules: each of the scheduler's rules by hand, and texts that are unknown, broken or hostile."""

from __future__ import annotations

import json

import pytest

from aiops_analysis.analysis.packing import pack
from aiops_analysis.analysis.scheduling import (
    NodeRules,
    Rules,
    classes,
    kinds_for,
    node_rules,
    port_conflicts,
    refusal,
    rules_of,
    shape_of,
)
from aiops_analysis.core.bins import NodeKind

HOST, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
OWN = "todo/Deployment/backend"


def parsed(**parts: object) -> Rules:
    return rules_of(json.dumps(parts), OWN)


def node(labels: dict[str, str] | None = None, taints: list[list[str]] | None = None, **other: object) -> NodeRules:
    return node_rules("n1", json.dumps(labels or {}), json.dumps(taints or []), **other)


def test_no_rules_bind_nothing() -> None:
    assert rules_of("{}") == Rules()
    assert refusal(Rules(), node({"a": "b"})) == ""
    assert shape_of(OWN, 2, 100, 5, Rules()).most_per_node == 0


def test_the_node_selector_needs_every_label() -> None:
    rules = parsed(node_selector={"disk": "ssd", "arch": "arm64"})
    assert refusal(rules, node({"disk": "ssd", "arch": "arm64", "more": ""})) == ""
    assert refusal(rules, node({"disk": "ssd"})) == "node_selector"
    assert refusal(rules, node({"disk": "ssd", "arch": "ARM64"})) == "node_selector"


@pytest.mark.parametrize(
    ("requirement", "labels", "holds"),
    [
        (["k", "In", ["a", "b"]], {"k": "b"}, True),
        (["k", "In", ["a"]], {"k": "b"}, False),
        (["k", "In", ["a"]], {}, False),
        (["k", "NotIn", ["a"]], {"k": "b"}, True),
        (["k", "NotIn", ["a"]], {"k": "a"}, False),
        (["k", "NotIn", ["a"]], {}, True),  # a node without the label matches
        (["k", "Exists", []], {"k": ""}, True),
        (["k", "Exists", None], {}, False),
        (["k", "DoesNotExist", []], {}, True),
        (["k", "DoesNotExist", []], {"k": "x"}, False),
        (["k", "Gt", ["4"]], {"k": "5"}, True),
        (["k", "Gt", ["4"]], {"k": "4"}, False),
        (["k", "Gt", ["-4"]], {"k": "-3"}, True),
        (["k", "Gt", ["4"]], {"k": "five"}, False),
        (["k", "Gt", ["4"]], {}, False),
        (["k", "Lt", ["4"]], {"k": "3"}, True),
        (["k", "Lt", ["4"]], {"k": "10"}, False),  # numbers, not texts
        (["k", "Lt", ["4", "5"]], {"k": "3"}, False),  # one value only
        (["k", "Gt", ["1"]], {"k": "99999999999999999999"}, False),  # more than an int64
        (["k", "Gt", ["1"]], {"k": "1_0"}, False),
        (["k", "Gt", ["1"]], {"k": "+-3"}, False),
        (["metadata.name", "In", ["n1"]], {}, True),  # matchFields
        (["metadata.name", "In", ["n2"]], {"metadata.name": "n2"}, False),
    ],
)
def test_operators_of_node_affinity(requirement: list[object], labels: dict[str, str], holds: bool) -> None:
    assert refusal(parsed(node_affinity=[[requirement]]), node(labels)) == ("" if holds else "node_affinity")


def test_terms_are_alternatives_and_their_parts_are_not() -> None:
    rules = parsed(node_affinity=[[["a", "Exists", []], ["b", "Exists", []]], [["c", "Exists", []]]])
    assert refusal(rules, node({"a": "", "b": ""})) == ""
    assert refusal(rules, node({"c": ""})) == ""
    assert refusal(rules, node({"a": ""})) == "node_affinity"
    # an empty term, and an empty list of terms, match no node
    assert refusal(parsed(node_affinity=[[]]), node()) == "node_affinity"
    assert refusal(parsed(node_affinity=[]), node()) == "node_affinity"


@pytest.mark.parametrize(
    ("toleration", "taint", "tolerated"),
    [
        (["k", "Equal", "v", "NoSchedule"], ["k", "v", "NoSchedule"], True),
        (["k", "Equal", "v", ""], ["k", "v", "NoExecute"], True),  # no effect: every effect
        (["k", "Equal", "v", "NoSchedule"], ["k", "v", "NoExecute"], False),
        (["k", "Equal", "w", "NoSchedule"], ["k", "v", "NoSchedule"], False),
        (["k", "", "v", ""], ["k", "v", "NoSchedule"], True),  # no operator: Equal
        (["k", "Exists", "", ""], ["k", "v", "NoSchedule"], True),
        (["", "Exists", "", ""], ["any", "v", "NoExecute"], True),  # tolerates everything
        (["", "Exists", "", "NoSchedule"], ["any", "v", "NoExecute"], False),
        (["", "Equal", "", ""], ["any", "", "NoSchedule"], False),  # a key is needed for Equal
        (["k", "Equal", "", ""], ["k", "", "NoSchedule"], True),
        (["k", "Exists", None, None], ["k", "", "NoSchedule"], True),
        (["k", "Like", "v", ""], ["k", "v", "NoSchedule"], False),
        (["other", "Exists", "", ""], ["k", "v", "PreferNoSchedule"], True),  # a preference binds nobody
    ],
)
def test_taints_and_tolerations(toleration: list[str], taint: list[str], tolerated: bool) -> None:
    assert refusal(parsed(tolerations=[toleration]), node(taints=[taint])) == ("" if tolerated else "taint")


def test_every_taint_needs_a_toleration() -> None:
    rules = parsed(tolerations=[["a", "Exists", "", ""]])
    assert refusal(rules, node(taints=[["a", "", "NoSchedule"], ["b", "", "NoSchedule"]])) == "taint"


def test_a_cordoned_node_takes_only_who_tolerates_it() -> None:
    cordoned = node(unschedulable=True)
    assert refusal(Rules(), cordoned) == "taint"
    assert refusal(parsed(tolerations=[["node.kubernetes.io/unschedulable", "Exists", "", "NoSchedule"]]), cordoned) == ""
    # its taints may be unknown: that it is cordoned is known
    assert refusal(Rules(), node_rules("n", "", "", unschedulable=True)) == "taint"


def test_a_new_node_has_none_of_the_taints_of_the_moment() -> None:
    passing = [["node.kubernetes.io/memory-pressure", "", "NoSchedule"], ["dedicated", "gpu", "NoSchedule"]]
    assert node(taints=passing, unschedulable=True, new=True).taints == (("dedicated", "gpu", "NoSchedule"),)


def test_volumes_bind_to_zones() -> None:
    rules = parsed(zones=["a", "b"])
    assert refusal(rules, node(zone="a")) == ""
    assert refusal(rules, node(zone="c")) == "zone"
    assert refusal(rules, node()) == ""  # the zone is not known


def test_what_is_not_known_is_named_and_binds_nothing() -> None:
    assert rules_of("") == Rules(unknown=("scheduling rules",))
    unknown = node_rules("n", "", "")
    assert unknown.unknown == ("node labels", "node taints")
    assert refusal(parsed(node_selector={"a": "b"}, node_affinity=[]), unknown) == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "the text is list, expected dict"),
        ('{"node_selector": ["a"]}', "node_selector is list, expected dict"),
        ('{"node_selector": {"a": 1}}', "node_selector is int, expected str"),
        ('{"node_affinity": [[["k", "In"]]]}', "node_affinity needs key, operator and values"),
        ('{"node_affinity": [[["k", "Matches", ["a"]]]]}', "node_affinity has the operator 'Matches'"),
        ('{"tolerations": [["k", "Exists"]]}', "tolerations need key, operator, value and effect"),
        ('{"spread": [{"topology": "topology.kubernetes.io/zone", "skew": "1"}]}', "spread.skew has '1', expected a whole number"),
        ('{"anti_affinity": {"topology": "x"}}', "anti_affinity is dict, expected list"),
        ('{"host_ports": [true]}', "host_ports has True, expected a whole number"),
        ('{"overhead": {"cpu": NaN}}', "overhead.cpu has nan, expected a number of at least 0"),
        ('{"gpu": -1}', "gpu has -1, expected a whole number of at least 0"),
    ],
)
def test_a_broken_text_is_unknown_and_says_why(text: str, words: str) -> None:
    rules = rules_of(text)
    assert len(rules.unknown) == 1
    assert rules.unknown[0].startswith("scheduling rules (")
    assert words in rules.unknown[0]
    assert rules == Rules(unknown=rules.unknown)  # nothing of it binds


@pytest.mark.parametrize("text", ["{", "5", "null", '[["a", "b"]]', "[5]"])
def test_broken_labels_and_taints_are_unknown(text: str) -> None:
    found = node_rules("n", text, text)
    assert found.labels is None
    assert found.taints is None


def test_anti_affinity_on_the_host_and_in_the_zone() -> None:
    rules = parsed(anti_affinity=[{"topology": HOST, "workloads": [OWN, "todo/Deployment/db"]}, {"topology": ZONE, "workloads": [OWN]}])
    shape = shape_of(OWN, 3, 1, 1, rules)
    assert (shape.most_per_node, shape.most_per_zone, shape.apart) == (1, 1, frozenset({"todo/Deployment/db"}))
    assert rules.unknown == ()
    over_zones = parsed(anti_affinity=[{"topology": ZONE, "workloads": ["x/y/z"]}, {"topology": "rack", "workloads": ["x/y/z"]}])
    assert over_zones.unknown == ("anti-affinity to other workloads over zones", "anti-affinity over other topologies")


def test_affinity() -> None:
    assert shape_of(OWN, 1, 1, 1, parsed(affinity=[{"topology": HOST, "workloads": ["a", "b"]}])).beside == {"a", "b"}
    both = parsed(affinity=[{"topology": HOST, "workloads": ["a", "b"]}, {"topology": HOST, "workloads": ["b", "c"]}])
    assert both.beside == ("b",)  # what is in both satisfies both; that others could do so together is not modelled
    assert both.unknown == ("several affinity rules at once",)
    assert parsed(affinity=[{"topology": ZONE, "workloads": ["a"]}]).unknown == ("affinity over zones or other topologies",)


def test_affinity_that_selects_nobody_is_not_no_affinity() -> None:
    # a required rule whose selector matches no workload today keeps the pods pending
    rules = parsed(affinity=[{"topology": HOST, "workloads": []}])
    packing = pack([shape_of(OWN, 1, 1, 1, rules)], [NodeKind("n", 10, 10, 10)])
    assert packing.unplaced == {OWN: 1}


def test_spread_over_zones_and_nodes() -> None:
    rules = parsed(spread=[{"topology": ZONE, "skew": 2}, {"topology": ZONE, "skew": 1}, {"topology": HOST, "skew": 1}])
    assert shape_of(OWN, 3, 1, 1, rules).skew == 1
    # 20 pods on 8 nodes: 3 on some, as the emptiest has 2; 3 pods on 8 nodes: 1
    assert shape_of(OWN, 20, 1, 1, rules, nodes=8).most_per_node == 3
    assert shape_of(OWN, 3, 1, 1, rules, nodes=8).most_per_node == 1
    assert parsed(spread=[{"topology": "rack"}]).unknown == ("spread over other topologies",)


def test_host_ports_are_one_to_a_node() -> None:
    rules = {OWN: parsed(host_ports=[80, 443]), "b": parsed(host_ports=[443]), "c": parsed(host_ports=[22]), "d": Rules()}
    conflicts = port_conflicts(rules)
    assert conflicts == {OWN: frozenset({"b"}), "b": frozenset({OWN}), "c": frozenset()}
    shape = shape_of(OWN, 2, 1, 1, rules[OWN], conflicts=conflicts[OWN])
    assert (shape.most_per_node, shape.apart) == (1, frozenset({"b"}))


def test_a_workload_of_several_shapes_keeps_apart_from_itself() -> None:
    rules = parsed(anti_affinity=[{"topology": HOST, "workloads": [OWN]}])
    shape = shape_of("backend#1", 2, 1, 1, rules, workload=OWN, shapes={OWN: ("backend#1", "backend#2")})
    assert (shape.most_per_node, shape.apart) == (1, frozenset({"backend#2"}))


def test_pinned_overhead_and_gpu() -> None:
    rules = parsed(safe_to_evict=False, local_storage=True, overhead={"cpu": 0.1, "memory": 1e8}, gpu=1)
    assert rules.pinned == ("safe_to_evict", "local_storage")
    assert (rules.overhead_cpu, rules.overhead_memory, shape_of(OWN, 1, 1, 1, rules).gpu) == (0.1, 1e8, 1)
    assert parsed(safe_to_evict=True, local_storage=True).pinned == ()  # the owner says that it may go


def test_kinds_that_take_a_workload() -> None:
    kinds = {"ssd": [node({"disk": "ssd"})], "mixed": [node({"disk": "ssd"}), node()], "plain": [node()], "new": []}
    assert kinds_for(Rules(), kinds) == (None, False)
    # of `mixed` only a part takes it; a kind without a node to look at is not ruled out
    assert kinds_for(parsed(node_selector={"disk": "ssd"}), kinds) == (frozenset({"ssd", "mixed", "new"}), True)


def test_classes_of_nodes_that_take_the_same_workloads() -> None:
    nodes = [
        node_rules(name, json.dumps(labels), "[]", zone=zone)
        for name, labels, zone in (("a", {"x": "1"}, "z1"), ("b", {"x": "2"}, "z1"), ("c", {"x": "3"}, "z2"))
    ]
    assert classes(nodes, [Rules()]) == {"a": 0, "b": 0, "c": 0}
    assert classes(nodes, [Rules(), parsed(node_selector={"x": "1"})]) == {"a": 0, "b": 1, "c": 1}
    assert classes(nodes, [parsed(zones=["z2"])]) == {"a": 0, "b": 0, "c": 1}
