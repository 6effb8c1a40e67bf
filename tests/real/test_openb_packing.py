"""CPU-only pods of Alibaba's openb trace on its real node list (Weng et al., ATC 2023): within 2 % of the lower bound, every pod verified.

What runs at an instant is defined in tests/real/openb.py. Under 10 s of processor time, which other tests do not lengthen.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from aiops_analysis.analysis.packing import pack
from aiops_analysis.analysis.packing_bounds import lower_bound
from tests.packing_checker import faults_of
from tests.real import need
from tests.real.openb import busiest_instant, cpu_only, ever_together, node_kinds, shapes_of


@pytest.fixture(scope="module")
def folder() -> Path:
    return need("alibaba_openb_2023")


def test_the_busiest_instant_is_packed_on_the_real_nodes(folder: Path) -> None:
    instant, running, refused = busiest_instant(folder)
    # 36 Pending and 1 Failed are counted; 1,088 CPU-only pods in all
    assert refused == {"Failed": 1, "Pending": 36}
    assert len(cpu_only(folder)) == 1_088
    assert len(running) == 15
    # by hand: no second has more; each running pod covers the instant
    ran = ever_together(folder)
    assert max(int(((ran["scheduled_time"] <= t) & (ran["deletion_time"] > t)).sum()) for t in ran["scheduled_time"]) == 15
    assert ((running["scheduled_time"] <= instant) & (instant < running["deletion_time"])).all()
    shapes, nodes = shapes_of(running), node_kinds(folder)
    packing = pack(shapes, nodes)
    assert faults_of(shapes, nodes, packing) == []
    assert not packing.unplaced
    # 190.5 cores on nodes of at most 128: 2 is the least
    assert lower_bound(shapes, nodes) == packing.count() == 2


@pytest.mark.parametrize("order", ["dot", "cpu"])
def test_all_pods_that_ever_ran_together_are_within_two_percent(folder: Path, order: str) -> None:
    shapes, nodes = shapes_of(ever_together(folder)), node_kinds(folder)
    begin = time.process_time()
    packing = pack(shapes, nodes, order=order)
    assert time.process_time() - begin < 10
    assert faults_of(shapes, nodes, packing) == []
    assert sum(shape.count for shape in shapes) == 1_051
    assert not packing.unplaced
    bound = lower_bound(shapes, nodes)
    assert bound <= packing.count() <= 1.02 * bound


def test_too_few_real_nodes_leave_pods_over_and_say_so(folder: Path) -> None:
    # the 310 nodes without a GPU have 18,496 cores, the 1,051 pods ask for 18,630.6
    shapes, nodes = shapes_of(ever_together(folder)), node_kinds(folder, gpu=False)
    assert sum(kind.most for kind in nodes) == 310
    assert sum(kind.most * kind.cpu for kind in nodes) == 18_496_000
    assert sum(shape.count * shape.cpu for shape in shapes) == 18_630_600
    packing = pack(shapes, nodes)
    assert faults_of(shapes, nodes, packing) == []
    assert packing.unplaced
    assert all("none of the" in sentence for sentence in packing.why.values())
