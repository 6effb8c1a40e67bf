"""The lower bound: never above the optimum of a tiny case found by trying every way, and each of its parts by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aiops_analysis.analysis.packing import pack
from aiops_analysis.analysis.packing_bounds import lower_bound
from aiops_analysis.core.bins import NodeKind, PodShape
from tests.packing_checker import fewest_nodes, random_case

NODE = NodeKind("n", 1000, 1000, 10)
SMALL = replace(NODE, name="small", cpu=500, memory=500)


@pytest.mark.parametrize(
    ("shapes", "kinds", "bound"),
    [
        ([PodShape("a", 21, 100, 10)], [NODE], 3),  # 2.1 nodes of cpu
        ([PodShape("a", 21, 1, 100)], [NODE], 3),  # of memory
        ([PodShape("a", 21, 1, 1)], [NODE], 3),  # of slots
        ([PodShape("a", 3, 1, 1, gpu=1)], [NODE, replace(NODE, name="g", gpu=2)], 2),
        ([PodShape("a", 5, 1, 1, most_per_node=2)], [NODE], 3),
        ([PodShape("a", 3, 510, 1), PodShape("b", 3, 1, 510)], [NODE], 3),  # no two large ones of a kind share
        ([PodShape("a", 4, 510, 1), PodShape("b", 1, 400, 1), PodShape("c", 1, 495, 1)], [NODE], 5),  # 495 goes beside no 510
        ([PodShape("a", 4, 340, 1)], [NODE], 2),  # 1.36 nodes, but 2 a node
        ([PodShape("a", 5, 340, 1)], [NODE], 3),
        (
            [
                PodShape("a", 1, 10, 1, apart=frozenset({"b", "c"})),
                PodShape("b", 1, 10, 1, apart=frozenset({"c"})),
                PodShape("c", 11, 1, 1),
            ],
            [NODE],
            4,
        ),
        ([PodShape("a", 5, 1, 1, skew=1)], [replace(NODE, zones=("x", "y", "z"))], 3),
        ([PodShape("a", 5, 1, 1, most_per_zone=2)], [replace(NODE, zones=("x", "y", "z"))], 3),
        # 2 of the large nodes there are, the rest on small ones: 2 x 1000 + 2 x 500 for 2600
        ([PodShape("a", 26, 100, 1)], [replace(NODE, most=2), SMALL], 4),
        # each kind for its own pods: 2 + 2; together 1500 + 750 would be 3 of the larger
        ([PodShape("a", 15, 100, 1, kinds=frozenset({"n"})), PodShape("b", 15, 50, 1, kinds=frozenset({"small"}))], [NODE, SMALL], 4),
        ([PodShape("a", 1, 2000, 1)], [NODE], 0),  # fits nowhere: left out
        ([PodShape("a", 1, 1, 1)], [], 0),
        ([], [NODE], 0),
        ([PodShape("a", 100, 500, 1)], [replace(NODE, most=3)], 3),  # there is no packing of all: at most the nodes there are
    ],
)
def test_bounds_by_hand(shapes: list[PodShape], kinds: list[NodeKind], bound: int) -> None:
    assert lower_bound(shapes, kinds) == bound


def test_the_bound_is_never_above_the_optimum() -> None:
    seen = tight = 0
    for seed in range(250):
        shapes, kinds = random_case(seed, workloads=4, pods=3)
        if not 0 < sum(shape.count for shape in shapes) <= 5:
            continue
        packing = pack(shapes, kinds)
        if packing.unplaced:
            continue
        best = fewest_nodes(shapes, kinds, packing.count())
        assert best is not None
        bound = lower_bound(shapes, kinds)
        assert bound <= best, f"seed {seed}"
        seen, tight = seen + 1, tight + (bound == best)
    assert seen > 20
    assert tight > 0.8 * seen


def test_the_bound_is_never_above_what_was_packed() -> None:
    for seed in range(300):
        shapes, kinds = random_case(seed)
        packing = pack(shapes, kinds)
        if not packing.unplaced:
            assert lower_bound(shapes, kinds) <= packing.count(), f"seed {seed}"
