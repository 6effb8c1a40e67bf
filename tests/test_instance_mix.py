"""Mix of instance types: answers by hand, the real AWS list, and what cannot be answered."""

from __future__ import annotations

import pandas as pd
import pytest

from aiops_analysis.analysis.instance_mix import cheapest_mix
from aiops_analysis.core.bins import NodeKind, PodShape
from aiops_analysis.core.errors import SchemaError
from tests.packing_checker import faults_of
from tests.real import need

GI = 2**30


def types(*rows: tuple[str, float, float, float, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["type", "cpu", "memory", "pods", "price"])


LEAN, WIDE = ("lean", 4000, 8 * GI, 50, 0.8), ("wide", 4000, 32 * GI, 50, 1.2)


def test_each_pod_goes_where_it_is_cheap() -> None:
    # 4 pods of 1000m and 2 GiB fill a lean node, 4 of 1000m and 8 GiB a wide one: 0.8 + 1.2
    mix = cheapest_mix([PodShape("cpu", 4, 1000, 2 * GI), PodShape("memory", 4, 1000, 8 * GI)], types(LEAN, WIDE))
    assert dict(mix.nodes) == {"lean": 1, "wide": 1}
    assert mix.price_hour == pytest.approx(2.0)
    # 8000m needs 2 nodes, 40 GiB = 8 a + 32 b with a + b = 2 cores' worth: a = b = 1
    assert mix.bound_hour == pytest.approx(2.0)
    assert (mix.raised, mix.why) == (0, "")


def test_the_bound_is_in_fractions() -> None:
    # 5000m of 4000m: 1.25 lean nodes for 1.0, and really two of them
    mix = cheapest_mix([PodShape("a", 5, 1000, GI)], types(LEAN, WIDE))
    assert (mix.price_hour, mix.bound_hour) == (pytest.approx(1.6), pytest.approx(1.0))


def test_daemon_sets_are_off_each_node() -> None:
    # 4 pods of 1000m on 4000m less 100m: three a node
    assert dict(cheapest_mix([PodShape("a", 4, 1000, GI)], types(LEAN), daemons=(100, 0, 2)).nodes) == {"lean": 2}


def test_demand_is_raised_until_the_pods_fit() -> None:
    # 3 pods of 2500m are 7500m, two nodes of 4000m by the sum and three by the pods
    mix = cheapest_mix([PodShape("a", 3, 2500, GI)], types(LEAN))
    assert dict(mix.nodes) == {"lean": 3}


def test_a_rule_that_asks_for_nodes_is_met() -> None:
    # 40 pods, one a node: no demand would say so
    mix = cheapest_mix([PodShape("a", 40, 10, 1, most_per_node=1)], types(LEAN, WIDE))
    assert dict(mix.nodes) == {"lean": 40}


def test_types_too_small_for_the_largest_pod_are_no_candidates() -> None:
    tiny = ("tiny", 1000, 2 * GI, 10, 0.01)
    mix = cheapest_mix([PodShape("a", 1, 1500, GI), PodShape("b", 9, 100, 1)], types(tiny, LEAN))
    assert dict(mix.nodes) == {"lean": 1}


def test_no_more_types_than_asked_for() -> None:
    shapes = [PodShape("cpu", 40, 1000, 2 * GI), PodShape("memory", 40, 1000, 8 * GI)]
    assert len(cheapest_mix(shapes, types(LEAN, WIDE), most_types=1).nodes) == 1


@pytest.mark.parametrize("price", [0.0, -1.0, float("nan"), float("inf")])
def test_f29_a_type_without_a_price_is_never_free(price: float) -> None:
    assert dict(cheapest_mix([PodShape("a", 1, 1000, GI)], types(LEAN, ("gift", 9000, 64 * GI, 50, price))).nodes) == {"lean": 1}
    mix = cheapest_mix([PodShape("a", 1, 1000, GI)], types(("gift", 9000, 64 * GI, 50, price)))
    assert (mix.why, mix.price_hour) == ("none of the instance types has a price", pytest.approx(float("nan"), nan_ok=True))


def test_what_cannot_be_answered_says_why() -> None:
    assert cheapest_mix([PodShape("a", 1, 9000, GI)], types(LEAN)).why == (
        "no instance type with a price takes the largest pod of a beside its DaemonSets"
    )
    assert "GPU" in cheapest_mix([PodShape("a", 1, 1, 1, gpu=1)], types(LEAN)).why
    waiting = cheapest_mix([PodShape("a", 1, 1, 1, beside=frozenset({"ghost"}))], types(LEAN))
    assert waiting.why == "pods of a fit on no mix: its required affinity asks for ghost, of which there are no pods"
    assert cheapest_mix([], types(LEAN)).price_hour == 0.0


def test_a_missing_column_is_named() -> None:
    with pytest.raises(SchemaError, match="lacks the columns pods, price"):
        cheapest_mix([], pd.DataFrame({"type": [], "cpu": [], "memory": []}))


def test_the_real_list_of_a_provider() -> None:
    raw = pd.read_csv(need("prices") / "aws" / "aws_us-east-1_instance_types.csv")
    frame = real_types(raw)
    # 60 pods of 500m and 1 GiB, 30 of 250m and 4 GiB: 37.5 cores, 180 GiB
    shapes = [PodShape("web", 60, 500, GI, most_per_node=20), PodShape("cache", 30, 250, 4 * GI)]
    mix = cheapest_mix(shapes, frame, daemons=(300, 400 * 2**20, 6))
    assert mix.why == ""
    assert 0 < len(mix.nodes) <= 3
    assert mix.bound_hour <= mix.price_hour <= 1.15 * mix.bound_hour
    rooms = frame.set_index("type")
    kinds = [
        NodeKind(name, int(rooms.cpu[name]) - 300, int(rooms.memory[name]) - 400 * 2**20, int(rooms.pods[name]) - 6) for name in mix.nodes
    ]
    assert faults_of(shapes, kinds, mix.packing) == []
    assert sum(mix.nodes.values()) == mix.packing.count()
    assert mix.price_hour == pytest.approx(sum(rooms.price[name] * count for name, count in mix.nodes.items()))


def real_types(raw: pd.DataFrame) -> pd.DataFrame:
    """x86 types without a GPU, in millicores and bytes."""
    plain = raw[(raw["arch"] == "amd64") & raw["gpu_count"].isna()]
    return pd.DataFrame(
        {
            "type": plain["instance_type"],
            "cpu": plain["allocatable_cpu"].str.removesuffix("m").astype(float),
            "memory": plain["allocatable_memory"].str.removesuffix("Mi").astype(float) * 2**20,
            "pods": plain["max_pods"].astype(float),
            "price": plain["usd_per_hour_on_demand"].astype(float),
        }
    ).reset_index(drop=True)
