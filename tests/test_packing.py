"""Packing: rule by rule on cases small enough to pack by hand, then on random ones judged by tests/packing_checker.py."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest

from aiops_analysis.analysis.packing import fits, pack
from aiops_analysis.core.bins import NodeKind, Packing, Placed, PodShape
from aiops_analysis.core.errors import SchemaError
from tests.packing_checker import faults_of, fewest_nodes, random_case

GI = 2**30
NODE = NodeKind("n", 4000, 16 * GI, 110)
BOTH = pytest.mark.parametrize("order", ["dot", "cpu"])


def checked(shapes: list[PodShape], kinds: list[NodeKind], order: str = "dot") -> Packing:
    packing = pack(shapes, kinds, order=order)
    assert faults_of(shapes, kinds, packing) == []
    return packing


def placed(packing: Packing, key: str) -> list[int]:
    """Pods of a shape on each node that has some."""
    return sorted(node.pods[key] for node in packing.nodes if key in node.pods)


@BOTH
def test_large_and_small_pods_share_nodes(order: str) -> None:
    # 2 x 3000m + 2 x 1000m on 4000m: one of each on two nodes
    packing = checked([PodShape("large", 2, 3000, GI), PodShape("small", 2, 1000, GI)], [NODE], order)
    assert [dict(node.pods) for node in packing.nodes] == [{"large": 1, "small": 1}] * 2
    assert packing.count() == packing.count("n") == 2


def test_what_needs_cpu_goes_with_what_needs_memory() -> None:
    # 3 pods of 2000m, 2 GiB and 3 of 500m, 12 GiB: on a node 2000m + 500m and 2 + 12 GiB, so 3 nodes; first-fit by cpu puts two of 2000m
    # together (1 node and a half), and the 12 GiB ones fit beside none of two: 4 GiB + 12 GiB = 16 GiB does, 4500m does not
    shapes = [PodShape("cpu", 3, 2000, 2 * GI), PodShape("memory", 3, 500, 12 * GI)]
    assert checked(shapes, [NODE]).count() == 3


def test_whole_numbers_decide() -> None:
    # 40 x 100m is 4000m exactly, one byte more of memory is one too many
    assert checked([PodShape("a", 40, 100, 0)], [NODE]).count() == 1
    assert checked([PodShape("a", 2, 0, 8 * GI)], [NODE]).count() == 1
    assert checked([PodShape("a", 2, 0, 8 * GI + 1)], [NODE]).count() == 2


def test_slots_and_gpus_are_counted() -> None:
    assert checked([PodShape("a", 7, 1, 1)], [replace(NODE, pods=3)]).count() == 3
    assert checked([PodShape("a", 3, 1, 1, gpu=1)], [NODE, replace(NODE, name="gpu", gpu=2)]).count("gpu") == 2


@BOTH
def test_kinds_that_the_rules_allow(order: str) -> None:
    kinds = [NODE, replace(NODE, name="other", price_hour=9.0)]
    packing = checked([PodShape("free", 4, 1000, 0), PodShape("bound", 1, 1000, 0, kinds=frozenset({"other"}))], kinds, order)
    # the dear node is needed for one pod: what else fits goes there, and one pod is left for the cheap kind
    if order == "dot":
        assert (packing.count("other"), packing.count("n")) == (1, 1)
    assert placed(packing, "bound") == [1]


def test_the_cheapest_kind_for_the_demand_is_opened() -> None:
    kinds = [replace(NODE, name="lean", memory=8 * GI, price_hour=0.8), replace(NODE, name="wide", price_hour=1.0)]
    # 4000m with 4 GiB: lean at 0.8; with 16 GiB lean would need two nodes for 1.6
    assert checked([PodShape("a", 4, 1000, GI)], kinds).count("lean") == 1
    assert checked([PodShape("a", 4, 1000, 4 * GI)], kinds).count("wide") == 1


def test_the_last_node_is_of_a_kind_that_is_cheap_enough() -> None:
    kinds = [replace(NODE, name="big", cpu=16000, memory=64 * GI, price_hour=3.5), replace(NODE, name="small", price_hour=1.0)]
    # 20 x 1000m: big is cheaper for 16 of them (3.5 against 4 x 1.0), the last four need one small
    packing = checked([PodShape("a", 20, 1000, GI)], kinds)
    assert (packing.count("big"), packing.count("small")) == (1, 1)


def test_nodes_that_the_pool_keeps_are_filled_first() -> None:
    kinds = [replace(NODE, name="cheap", price_hour=0.1), replace(NODE, name="kept", least=1)]
    packing = checked([PodShape("a", 5, 1000, 0)], kinds)
    assert (packing.count("kept"), packing.count("cheap")) == (1, 1)


@BOTH
def test_a_price_that_is_not_known_counts_as_the_dearest(order: str) -> None:
    kinds = [replace(NODE, name="a", price_hour=float("nan")), replace(NODE, name="b", price_hour=2.0)]
    assert checked([PodShape("x", 4, 1000, 0)], [*kinds, replace(NODE, name="c", price_hour=1.0)], order).count("c") == 1


@BOTH
def test_pods_per_node_and_zone(order: str) -> None:
    assert placed(checked([PodShape("a", 5, 1, 1, most_per_node=2)], [NODE], order), "a") == [1, 2, 2]
    three = replace(NODE, zones=("a", "b", "c"))
    packing = checked([PodShape("a", 7, 1, 1, most_per_zone=2)], [three], order)
    assert placed(packing, "a") == [2, 2, 2]
    assert packing.unplaced == {"a": 1}
    assert packing.why == {"a": "its rules allow 2 pods a zone, and there are 3 zones"}


@BOTH
def test_a_spread_over_zones(order: str) -> None:
    packing = checked([PodShape("a", 5, 100, 1, skew=1)], [replace(NODE, zones=("a", "b", "c"))], order)
    assert placed(packing, "a") == [1, 2, 2]
    # zone b has no node of any size for it: a may be one ahead of none
    kinds = [replace(NODE, name="a", zones=("a",)), replace(NODE, name="b", zones=("b",), cpu=50)]
    packing = checked([PodShape("a", 5, 100, 1, skew=1)], kinds, order)
    assert packing.unplaced == {"a": 4}
    assert packing.why == {"a": "its zones may differ by 1 pods, and zone b takes no more"}


@BOTH
def test_pods_that_keep_apart(order: str) -> None:
    shapes = [PodShape("a", 2, 100, 1, apart=frozenset({"b"})), PodShape("b", 2, 100, 1), PodShape("c", 2, 100, 1)]
    packing = checked(shapes, [NODE], order)
    assert packing.count() == 2  # b does not name a, and is kept away all the same
    assert placed(checked([PodShape("a", 3, 1, 1, apart=frozenset({"a"}))], [NODE], order), "a") == [1, 1, 1]


@BOTH
def test_pods_that_stand_beside_others(order: str) -> None:
    shapes = [PodShape("follower", 3, 3000, 1, beside=frozenset({"leader"})), PodShape("leader", 3, 1000, 1)]
    packing = checked(shapes, [NODE], "dot")
    assert [dict(node.pods) for node in packing.nodes] == [{"follower": 1, "leader": 1}] * 3
    # in Karpenter's order the followers wait until the leaders are placed: all on one node
    assert sum(placed(checked(shapes, [NODE], order), "follower")) == (3 if order == "dot" else 0)


@BOTH
def test_a_group_on_one_node(order: str) -> None:
    packing = checked([PodShape("a", 6, 1000, 1, beside=frozenset({"a"})), PodShape("b", 1, 2000, 1)], [NODE], order)
    assert placed(packing, "a") == [4]
    assert packing.why == {"a": "its required affinity to itself asks for one node for all its pods, and the node takes no more of them"}


@BOTH
def test_affinity_in_a_circle_ends(order: str) -> None:
    # a waits for b and b for a: the scheduler places neither; c begins a group of its own and a friend joins
    shapes = [PodShape("a", 1, 1, 1, beside=frozenset({"b"})), PodShape("b", 2, 1, 1, beside=frozenset({"a"}))]
    shapes += [PodShape("c", 1, 1, 1, beside=frozenset({"c", "d"})), PodShape("d", 1, 1, 1, beside=frozenset({"c"}))]
    packing = checked(shapes, [NODE], order)
    assert packing.unplaced == {"a": 1, "b": 2}
    assert packing.why["a"] == "its required affinity asks for b, which is placed nowhere, or waits for it in turn"
    assert [dict(node.pods) for node in packing.nodes] == [{"c": 1, "d": 1}]


def test_affinity_to_nobody() -> None:
    packing = checked([PodShape("a", 1, 1, 1, beside=frozenset({"ghost"}))], [NODE])
    assert packing.why == {"a": "its required affinity asks for ghost, of which there are no pods"}
    # and one that must be beside what it keeps apart from
    shapes = [PodShape("a", 1, 1, 1, beside=frozenset({"b"}), apart=frozenset({"b"})), PodShape("b", 1, 1, 1)]
    assert checked(shapes, [NODE]).unplaced == {"a": 1}


@pytest.mark.parametrize(
    ("shape", "kinds", "sentence"),
    [
        (PodShape("a", 1, 5000, 0), [NODE], "one pod needs 5 cores, 1 core more than an empty node of n has"),
        (PodShape("a", 1, 1, 17 * GI), [NODE], "one pod needs 17 GiB, 1 GiB more than an empty node of n has"),
        (PodShape("a", 1, 1, 1, gpu=1), [NODE], "one pod needs 1 GPU, 1 GPU more than an empty node of n has"),
        (PodShape("a", 1, 1, 1), [replace(NODE, pods=0)], "one pod needs 1 pod slot, 1 pod slot more than an empty node of n has"),
        (PodShape("a", 1, 1, 1), [], "there are no nodes"),
        (PodShape("a", 1, 1, 1), [replace(NODE, most=0)], "there are no nodes of the kinds that its rules allow"),
        (PodShape("a", 1, 1, 1, kinds=frozenset({"z"})), [NODE], "its rules allow z, and there are no such nodes"),
        (PodShape("a", 1, 1, 1, kinds=frozenset()), [NODE], "its rules allow none of the nodes"),
        (
            PodShape("a", 1, 1, 1, kinds=frozenset({"\x1b[31m\u202e"})),
            [NODE],
            "its rules allow \\x1b[31m\\u202e, and there are no such nodes",
        ),
    ],
)
def test_why_a_pod_fits_nowhere(shape: PodShape, kinds: list[NodeKind], sentence: str) -> None:
    for order in ("dot", "cpu"):
        packing = checked([shape], kinds, order)
        assert packing.unplaced == {"a": 1}
        assert packing.why == {"a": sentence}
        assert packing.count() == 0


def test_nodes_run_out() -> None:
    packing = checked([PodShape("a", 9, 1000, GI)], [replace(NODE, most=2)])
    assert packing.unplaced == {"a": 1}
    assert packing.why == {"a": "none of the 2 nodes it may run on has 1 core and 1 GiB left"}


def test_a_shape_that_needs_every_node_is_not_left_for_the_end() -> None:
    # 10 pods, one a node, and 80 pods that fill 10 nodes but for 0.4 cores: 10 nodes, not 20
    shapes = [PodShape("agent", 10, 400, 1, most_per_node=1), PodShape("big", 80, 450, 1)]
    assert checked(shapes, [NODE]).count() == 10


def test_nothing_to_place() -> None:
    assert pack([], [NODE]) == pack([PodShape("a", 0, 1, 1)], [NODE]) == pack([], []) == Packing(())


@pytest.mark.parametrize(
    ("shapes", "kinds", "words"),
    [
        ([PodShape("a", 1, 1, 1)] * 2, [NODE], "pod shapes of a packing hold 'a' twice"),
        ([PodShape("a", 1, 1, 1)], [NODE, NODE], "node kinds of a packing hold 'n' twice"),
        ([PodShape("a", -1, 1, 1)], [NODE], "the pod shape 'a' has a number below 0"),
        ([PodShape("a", 1, 1, 1)], [replace(NODE, zones=())], "the node kind 'n' has no zone"),
    ],
)
def test_what_is_no_problem_is_refused(shapes: list[PodShape], kinds: list[NodeKind], words: str) -> None:
    with pytest.raises(SchemaError, match=words):
        pack(shapes, kinds)


def test_an_unknown_order_is_refused() -> None:
    with pytest.raises(SchemaError, match="order of a packing is 'best', expected dot or cpu"):
        pack([], [], order="best")


def test_the_order_of_the_input_changes_nothing() -> None:
    for seed in range(30):
        shapes, kinds = random_case(seed)
        again = random.Random(seed)
        first = pack(shapes, kinds)
        again.shuffle(shapes)
        again.shuffle(kinds)
        assert pack(shapes, kinds) == first


def test_random_cases_keep_every_rule() -> None:
    unplaced = 0
    for seed, order in itertools.product(range(400), ("dot", "cpu")):
        shapes, kinds = random_case(seed)
        packing = pack(shapes, kinds, order=order)
        assert faults_of(shapes, kinds, packing) == [], f"seed {seed}"
        unplaced += bool(packing.unplaced)
    assert 200 < unplaced < 700  # of 800: cruel cases and easy ones


def test_many_rules_at_once_on_a_larger_case() -> None:
    for seed in range(1000, 1012):
        shapes, kinds = random_case(seed, workloads=150, pods=20)
        assert faults_of(shapes, kinds, pack(shapes, kinds)) == [], f"seed {seed}"


def test_the_checker_finds_what_is_wrong() -> None:
    shapes = [
        PodShape("a", 2, 3000, 1, most_per_node=1, apart=frozenset({"b"}), skew=1),
        PodShape("b", 1, 1, 1, beside=frozenset({"c"}), kinds=frozenset({"m"})),
        PodShape("c", 1, 1, 1, most_per_zone=1),
    ]
    kinds = [replace(NODE, zones=("x", "y"), most=1)]
    wrong = faults_of(shapes, kinds, Packing((Placed("n", "y", {"a": 2, "b": 1}), Placed("z", "", {"c": 1}), Placed("n", "q", {"c": 1}))))
    said = " | ".join(wrong)
    for words in (
        "6001 cpu on a node",
        "2 pods of a on one node",
        "a and b on one node",
        "b on n",
        "b on a node without any of ['c']",
        "a is spread",
        "unknown kind z",
        "n in zone q",
        "1 nodes of n in y, there are 0",
        "c has 1 pods, 2 placed and 0 not",
    ):
        assert words in said
    assert faults_of([PodShape("a", 1, 1, 1)], kinds, Packing((), {"a": 1})) == ["unplaced pods without a reason"]


# --- fits ------------------------------------------------------------------------------------------------------------


def room(name: str, cpu: int, **other: object) -> NodeKind:
    return replace(NodeKind(name, cpu, 16 * GI, 20, most=1), **other)


def test_pods_go_where_the_room_is() -> None:
    found = fits([PodShape("a", 2, 500, 0), PodShape("b", 1, 300, 0)], [room("x", 300), room("y", 1000)])
    assert found
    assert found.proved
    assert {node.kind: dict(node.pods) for node in found.packing.nodes} == {"x": {"b": 1}, "y": {"a": 2}}


def test_room_that_is_too_little_is_proof() -> None:
    found = fits([PodShape("a", 2, 600, 0)], [room("x", 1000), room("y", 100)])
    assert not found
    assert found.proved
    assert found.packing.unplaced == {"a": 1}


def test_full_nodes_are_passed_over_and_still_count_for_zones() -> None:
    full = [room(f"full-{n}", 5, zones=("b",)) for n in range(3)]
    assert fits([PodShape("a", 1, 10, 0)], [*full, room("x", 10)]).packing.nodes == (Placed("x", "", {"a": 1}),)
    # zone b has nodes, if full ones: with a pod in a already, a second there would be two ahead
    spread = PodShape("a", 1, 10, 0, skew=1)
    assert not fits([spread], [*full, room("x", 100, zones=("a",))], held={"x": {"a": 1}})
    assert fits([spread], [room("x", 100, zones=("a",))], held={"x": {"a": 1}})


def test_the_search_finds_what_the_quick_orders_miss() -> None:
    # 6 + 4 and 5 + 3 + 2 fill 10 and 10; the best fit of 5 after 6 + 4 is fine, so make it hard: 10 and 9 for 5, 4, 4, 3, 3
    shapes = [PodShape("five", 1, 5, 0), PodShape("four", 2, 4, 0), PodShape("three", 2, 3, 0)]
    # 19 of 19: 5 + 4 = 9 and 4 + 3 + 3 = 10 is the only way
    found = fits(shapes, [room("x", 10), room("y", 9)])
    assert found
    assert {node.kind: dict(node.pods) for node in found.packing.nodes} == {"x": {"four": 1, "three": 2}, "y": {"five": 1, "four": 1}}


def test_a_no_without_search_is_no_proof() -> None:
    # 7 + 7 + 6 on 10 and 10: the sum fits, the pods do not
    shapes = [PodShape("seven", 2, 7, 0), PodShape("six", 1, 6, 0)]
    nodes = [room("x", 10), room("y", 10)]
    assert fits(shapes, nodes).proved
    assert not fits(shapes, nodes)
    assert not fits(shapes, nodes, steps=0).proved


def test_pods_that_stay_count_for_the_rules() -> None:
    nodes = [room("x", 1000), room("y", 1000)]
    mover = PodShape("a", 1, 10, 0, most_per_node=1)
    assert fits([mover], nodes, held={"x": {"a": 1}}).packing.nodes == (Placed("y", "", {"a": 1}),)
    assert not fits([mover], nodes, held={"x": {"a": 1}, "y": {"a": 1}})
    # the one that stays keeps others away, and is company
    stays = PodShape("guard", 1, 10, 0, apart=frozenset({"a"}))
    assert fits([mover], nodes, held={"x": {"guard": 1}}, rules=[stays]).packing.nodes[0].kind == "y"
    friend = PodShape("b", 1, 10, 0, beside=frozenset({"guard"}))
    assert fits([friend], nodes, held={"y": {"guard": 1}}).packing.nodes[0].kind == "y"
    assert not fits([friend], nodes)


def test_zones_of_pods_that_stay_count() -> None:
    nodes = [room("x", 1000, zones=("a",)), room("y", 1000, zones=("b",))]
    spread = PodShape("a", 1, 10, 0, skew=1)
    assert fits([spread], nodes, held={"x": {"a": 1}}).packing.nodes == (Placed("y", "b", {"a": 1}),)
    # zone b is two behind already: only there may it go
    assert fits([spread], nodes, held={"x": {"a": 2}}).packing.nodes[0].zone == "b"
    assert not fits([spread], [nodes[0], replace(nodes[1], cpu=5)], held={"x": {"a": 1}})


def test_fits_agrees_with_trying_every_way() -> None:
    answers = []
    for seed in range(250):
        shapes, kinds = random_case(seed, workloads=4, pods=3)
        nodes = [replace(kind, most=1, zones=kind.zones[:1], least=0) for kind in kinds][:3]
        if sum(shape.count for shape in shapes) > 5:
            continue
        found = fits(shapes, nodes)
        assert faults_of(shapes, nodes, found.packing) == []
        assert found.proved
        assert bool(found) == (fewest_nodes(shapes, nodes, 5) is not None), f"seed {seed}"
        answers.append(bool(found))
    assert 20 < sum(answers) < len(answers) - 20
