"""The smallest set of changes that frees a node: by hand, and against every set there is on small random clusters."""

from __future__ import annotations

import itertools
import random

import pandas as pd
import pytest

from aiops_analysis.analysis.fleet import changes_of, sizes_of
from aiops_analysis.analysis.next_node import next_nodes
from aiops_analysis.analysis.pool_need import Terms
from tests.fleets import Cluster, decrease, rows

KARPENTER = Terms("karpenter", node_month=100.0)


def found(cluster: Cluster, recommendations: pd.DataFrame, terms: Terms = KARPENTER, most: int = 5) -> pd.DataFrame:
    return next_nodes(cluster.needs(terms), cluster.fleet(), recommendations, most=most)


def five() -> Cluster:
    """Five nodes of 4 cores, full with two pods of 2 cores each, two workloads of three pods and four of one."""
    names = ["big", "big", "big", "mid", "mid", "mid", "s1", "s2", "s3", "s4"]
    return Cluster({f"n{i}": ("p", 4.0, 16.0) for i in range(5)}, [(f"n{i // 2}", name, 2.0, 1.0) for i, name in enumerate(names)])


def test_one_workload_frees_the_first_node_and_two_the_next() -> None:
    # 20 cores in 5 nodes. A node is kept free, so for one node to go the pods must pack into 3 nodes: big and mid at 0.5 leave
    # 4 x 2 + 6 x 0.5 = 11 cores, 3 nodes. One of them alone leaves 15.5, 4 nodes; with a small one still 14.
    lower = rows(*(decrease(name, "cpu", 2.0, 0.5) for name in ("big", "mid", "s1", "s2", "s3", "s4")))
    got = found(five(), lower)
    assert got.loc[0, "workloads"] == ["n/big", "n/mid"]
    assert got.loc[0, "changes"] == ["big-cpu", "mid-cpu"]
    # for two nodes 2 x 4 cores: 11 - 1.5 - 1.5 = 8, packed without a gap. All changed, 5 cores need 2 nodes as well: no third goes
    assert got["node"].tolist() == [1, 2]
    assert got["total_changes"].tolist() == [2, 4]
    assert got["exact"].tolist() == [True, True]
    assert got["at_least"].tolist() == [2, 4]
    assert got["saves"].tolist() == [100.0, 100.0]


def test_nothing_goes_and_nothing_is_said() -> None:
    assert len(found(five(), rows())) == 0
    assert len(found(five(), rows(decrease("s1", "cpu", 2.0, 1.0)))) == 0
    assert len(next_nodes({}, five().fleet(), rows())) == 0


def test_increases_count_as_done() -> None:
    # s1 to s4 grow to 4 cores and stand alone: 4 nodes, so that no decrease of the others frees one
    grow = [decrease(f"s{i}", "cpu", 2.0, 4.0) for i in (1, 2, 3, 4)]
    assert len(found(five(), rows(decrease("big", "cpu", 2.0, 0.5), decrease("mid", "cpu", 2.0, 0.5), *grow))) == 0


def test_a_node_that_is_free_today_needs_no_change() -> None:
    cluster = Cluster({f"n{i}": ("p", 4.0, 16.0) for i in range(8)}, [(f"n{i}", "web", 0.5, 1.0) for i in range(8)])
    got = found(cluster, rows(decrease("web", "cpu", 0.5, 0.25)), most=2)
    assert got["total_changes"].tolist() == [0, 0]
    assert got["changes"].tolist() == [[], []]
    assert got["exact"].tolist() == [True, True]


def test_a_committed_node_saves_nothing() -> None:
    lower = rows(*(decrease(name, "cpu", 2.0, 0.5) for name in ("big", "mid", "s1", "s2", "s3", "s4")))
    # 5 - 1 = 4 nodes left after the first: 4 are committed, so the first saves; after the second 3 are left and 4 paid for
    got = found(five(), lower, Terms("karpenter", node_month=100.0, committed=4, until="2027-01-01"))
    assert got["saves"].tolist()[:2] == [100.0, 0.0]


def test_two_resources_of_one_workload_are_one_change() -> None:
    cluster = Cluster({f"n{i}": ("p", 4.0, 4.0) for i in range(4)}, [(f"n{i}", "web", 3.0, 3.0) for i in range(4)])
    got = found(cluster, rows(decrease("web", "cpu", 3.0, 1.0), decrease("web", "memory", 3.0, 1.0)))
    assert got["total_changes"].tolist() == [1, 1]
    assert got.loc[0, "changes"] == ["web-cpu", "web-memory"]
    assert got.loc[1, "changes"] == []


def _random_cluster(seed: int) -> tuple[Cluster, pd.DataFrame]:
    """Pods on the first node with room, and as many nodes as that takes, so that cuts free nodes."""
    rng = random.Random(seed)
    room: list[list[float]] = []
    pods, changed = [], []
    for number in range(rng.randint(3, 6)):
        cpu, gib = rng.choice([1.0, 1.5, 2.0, 3.0]), rng.choice([0.5, 1.0, 2.0, 3.0])
        for _ in range(rng.randint(1, 4)):
            place = next((i for i, have in enumerate(room) if have[0] >= cpu and have[1] >= gib), len(room))
            if place == len(room):
                room.append([4.0, 8.0])
            room[place] = [room[place][0] - cpu, room[place][1] - gib]
            pods.append((f"n{place}", f"w{number}", cpu, gib))
        changed.append(decrease(f"w{number}", "cpu", cpu, rng.choice([0.1, 0.25, 0.5, cpu * 1.2])))
        if rng.random() < 0.6:
            changed.append(decrease(f"w{number}", "memory", gib, rng.choice([0.125, 0.25, gib * 1.2])))
    return Cluster({f"n{i}": ("p", 4.0, 8.0) for i in range(len(room) + 1)}, pods), rows(*changed)


def every_set(cluster: Cluster, recs: pd.DataFrame, terms: Terms) -> dict[tuple[str, ...], int]:
    """Each set of workloads with a decrease -> nodes that go with it and with all increases."""
    fleet, need, changes = cluster.fleet(), cluster.needs(terms)["p"], changes_of(recs)
    lower = set(recs.loc[recs["change"] == "decrease", "id"])
    falls = {key for key in changes if f"{key[2]}-{key[4]}" in lower}
    names = sorted({key[2] for key in falls})
    out = {}
    for some in (some for size in range(len(names) + 1) for some in itertools.combinations(names, size)):
        sizes = sizes_of(fleet, {key: value for key, value in changes.items() if key not in falls or key[2] in some})
        out[some] = need.removed(sizes, need.freed(sizes))
    return out


@pytest.mark.parametrize("autoscaler", ["karpenter", "cluster-autoscaler"])
def test_against_every_set_of_changes(autoscaler: str) -> None:
    terms = Terms(autoscaler, node_month=1.0)
    seen = 0
    for seed in range(24):
        cluster, recs = _random_cluster(seed)
        truth = every_set(cluster, recs, terms)
        got = found(cluster, recs, terms)
        for row in got.itertuples():
            fewest = min(len(some) for some, count in truth.items() if count >= row.node)
            assert row.at_least <= fewest <= row.total_changes, seed
            assert row.exact == (row.at_least == row.total_changes), seed
            seen += 1
        # the first node of so small a cluster is always exact, and none is missed
        assert got["exact"].head(1).all(), seed
        assert len(got) == min(5, truth[max(truth, key=len)]), seed
    assert seen > 20


def test_a_large_pool_is_honest_about_what_is_not_proved() -> None:
    rng = random.Random(5)
    pods = [(f"n{rng.randrange(40)}", f"w{n}", rng.choice([0.2, 0.4, 0.6]), 0.5) for n in range(120) for _ in range(3)]
    cluster = Cluster({f"n{i}": ("p", 4.0, 16.0) for i in range(45)}, pods)
    lower = rows(*(decrease(f"w{n}", "cpu", cpu, cpu / 2) for n, cpu in {int(p[1][1:]): p[2] for p in pods}.items()))
    got = found(cluster, lower)
    assert len(got) >= 2
    assert (got["at_least"] <= got["total_changes"]).all()
    assert (got["exact"] == (got["at_least"] == got["total_changes"])).all()
    assert got["total_changes"].is_monotonic_increasing
    # a bound by sums is near what was found
    assert got["total_changes"].iloc[-1] <= got["at_least"].iloc[-1] * 1.5 + 2
