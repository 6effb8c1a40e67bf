"""Costs by namespace, workload, pool and place; efficiency in OpenCost's words; ratios of sums."""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from aiops_analysis.analysis.cost_groups import by_namespace, by_pool, by_workload, group_costs
from aiops_analysis.core.contract import blank, check, empty
from aiops_analysis.core.errors import UsageError
from aiops_analysis.core.schema_money import COSTS, NODE_COSTS
from aiops_analysis.core.window import Window
from aiops_analysis.workflows.costs import costs_of
from tests.money_store import container, node, prices, put, stored

NAN = math.nan
DAY = date(2026, 11, 3)


def row(workload: str, cpu: tuple[float, float, float], memory: tuple[float, float, float], **more: object) -> dict[str, object]:
    """A row of COSTS: (request hours, usage hours, cost) of both resources."""
    out = blank(COSTS) | {"day": "2026-11-03", "namespace": "shop", "workload_kind": "Deployment", "workload": workload, "pool": "general"}
    for resource, (request, usage, cost) in (("cpu", cpu), ("memory", memory)):
        out |= {f"{resource}_request_hours": request, f"{resource}_usage_hours": usage, f"{resource}_cost": cost}
    return out | {"cost": cpu[2] + memory[2], "shared_cost": 0.0, "pod_hours": 24.0} | more


def costs(*rows: dict[str, object]) -> pd.DataFrame:
    return check(pd.DataFrame(list(rows)), COSTS)


def test_efficiency_in_opencosts_words() -> None:
    frame = costs(
        row("a", (10, 5, 30.0), (10, 9, 10.0)),  # 50 % and 90 %, weighted 3 : 1
        row("b", (0, 2, 8.0), (10, 20, 8.0)),  # nothing asked, something used: 1; twice the request: 2
        row("c", (0, 0, 0.0), (10, NAN, 4.0)),  # neither; not measured
    )
    got = by_workload(frame).set_index("workload")
    assert got.loc["a", ["cpu_efficiency", "memory_efficiency", "efficiency"]].tolist() == pytest.approx([0.5, 0.9, 0.6])
    assert got.loc["b", ["cpu_efficiency", "memory_efficiency", "efficiency"]].tolist() == pytest.approx([1.0, 2.0, 1.5])
    assert got.loc["c", ["cpu_efficiency", "memory_efficiency", "efficiency"]].isna().all()


def test_a_ratio_is_of_sums() -> None:
    # 1 / 10 and 90 / 100: the ratio of sums is 91 / 110, the mean of ratios would be 0.5
    frame = costs(
        row("a", (10, 1, 1.0), (1, 1, 1.0)),
        row("b", (100, 90, 10.0), (1, NAN, 1.0), shared_cost=2.0),
    )
    (got,) = by_namespace(frame).to_dict("records")
    assert got["cpu_efficiency"] == pytest.approx(91 / 110)
    assert got["memory_efficiency"] == 1.0  # what was not measured is on neither side
    assert (got["cost"], got["share"], got["shared_cost"], got["carried"], got["pod_hours"]) == (13, 1.0, 2.0, 15.0, 48)


def test_shared_namespaces_are_carried_by_the_others() -> None:
    frame = costs(row("a", (1, 1, 3.0), (1, 1, 1.0), shared_cost=2.0), row("dns", (1, 1, 1.0), (1, 1, 1.0), namespace="sys", shared=True))
    got = by_namespace(frame).set_index("namespace")
    assert got["carried"].to_dict() == {"shop": 6.0, "sys": 0.0}
    assert got["carried"].sum() == got["cost"].sum()
    assert got["share"].to_dict() == {"shop": pytest.approx(2 / 3), "sys": pytest.approx(1 / 3)}


def test_columns_that_are_not_there() -> None:
    with pytest.raises(UsageError, match="costs are kept by day, namespace, workload_kind, workload, pool, got team; labels of pods"):
        group_costs(costs(row("a", (1, 1, 1.0), (1, 1, 1.0))), ["team"])
    with pytest.raises(UsageError, match="got nothing"):
        group_costs(empty(COSTS), [])


def test_by_zone_and_machine(tmp_path: Path) -> None:
    store = stored(tmp_path)
    rows = [container(DAY, pod="web-0", uid="1"), container(DAY, pod="web-1", uid="2", node="n2", cpu=1.0)]
    put(store, DAY, rows, [node(DAY), node(DAY, "n2", zone="b", instance_type="m6i", capacity_type="spot")], {}, {})
    got = costs_of(store, Window.of_days(DAY, 1), prices(n1=(0.03, 0.004), n2=(0.03, 0.004)))
    assert len(got.costs) == 1
    by_zone = group_costs(got.allocation, ["zone", "capacity_type"])
    assert by_zone[["zone", "capacity_type", "cpu_cost"]].to_numpy().tolist() == [
        ["b", "spot", pytest.approx(0.72)],
        ["a", "", pytest.approx(0.36)],
    ]
    assert group_costs(got.allocation, ["instance_type"])["instance_type"].tolist() == ["m6i", ""]
    with pytest.raises(UsageError, match="got zone"):
        group_costs(got.costs, ["zone"])


def test_holes_do_not_lower_efficiency(tmp_path: Path) -> None:
    store, key = stored(tmp_path), ("shop", "Deployment", "web", "web-0", "app")
    half = [0.5] * 144 + [NAN] * 144
    put(store, DAY, [container(DAY)], [node(DAY)], {key: half}, {key: half})
    got = costs_of(store, Window.of_days(DAY, 1), prices(n1=(0.03, 0.004)))
    assert by_workload(got.allocation)["cpu_efficiency"].tolist() == [1.0]


def test_pools() -> None:
    def day(name: str, pool: str, hours: float, cost: float, idle: float, basis: str = "sheet") -> dict[str, object]:
        split = {"cpu_idle_cost": idle / 2, "memory_idle_cost": idle / 2, "idle_cost": idle, "workload_cost": cost - idle}
        return {"day": name, "pool": pool, "node_hours": hours, "cost": cost, "price_basis": basis} | split

    rows = [day("2026-11-03", "a", 96, 10, 4), day("2026-11-04", "a", 48, 5, 2, "default, sheet"), day("2026-11-03", "b", 24, NAN, NAN)]
    got = by_pool(check(pd.DataFrame(rows), NODE_COSTS)).set_index("pool")
    assert got.loc["a", ["nodes", "node_hours", "cost", "workload_cost", "idle_cost"]].tolist() == [3.0, 144, 15, 9, 6]
    assert (got.loc["a", "idle_share"], got.loc["a", "price_basis"]) == (0.4, "default, sheet")
    assert got.loc["b", ["cost", "idle_share"]].isna().all()
    assert got.loc["b", "nodes"] == 0.5


def test_nothing_to_sum() -> None:
    assert len(by_namespace(empty(COSTS))) == len(by_workload(empty(COSTS))) == len(by_pool(empty(NODE_COSTS))) == 0
    assert "cpu_efficiency" in by_namespace(empty(COSTS)).columns
