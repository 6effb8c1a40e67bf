"""What a window cost, from a history: by hand, by an independent loop over every step, and the demo; holes, strangers and missing days."""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aiops_analysis.analysis.savings import split_node_price
from aiops_analysis.core.contract import check
from aiops_analysis.core.errors import StoreCorrupt, UsageError
from aiops_analysis.core.schema_money import COSTS, NODE_COSTS
from aiops_analysis.core.window import Window, day_start
from aiops_analysis.history.days import read_day
from aiops_analysis.history.inventory import read_frame
from aiops_analysis.history.store import Store, open_store
from aiops_analysis.workflows.costs import Costs, costs_of
from tests.money_store import GIB, container, demo_prices, node, prices, put, stored

DAY = date(2026, 11, 3)
WEB = ("shop", "Deployment", "web", "web-0", "app")
DEMO = Path(__file__).parents[1] / "data" / "demo" / "history"
NAN = math.nan


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return stored(tmp_path)


def one_day(store: Store, found: pd.DataFrame, **more) -> Costs:
    return costs_of(store, Window.of_days(DAY, 1), found, **more)


def steps(*parts: tuple[int, float]) -> np.ndarray:
    return np.concatenate([np.full(number, value) for number, value in parts])


def codes(costs: Costs) -> list[object]:
    return [finding["code"] for finding in costs.findings]


def test_opencosts_worked_words(store: Store) -> None:
    # 4 vCPU and 16 GiB at 0.192 an hour: 0.0312471 a core, 0.0041882 a GiB (methods.md B1)
    cpu, gib = split_node_price(0.192, 4, 16)
    put(store, DAY, [container(DAY, cpu=1, gib=2)], [node(DAY)], {WEB: 2.0}, {WEB: 1.0})
    got = one_day(store, prices(n1=(cpu, gib)))
    (row,) = got.costs.to_dict("records")
    # max(1, 2) cores and max(2, 1) GiB for 24 h
    assert row["cpu_cost"] == pytest.approx(2 * 0.0312471 * 24, rel=1e-5)
    assert row["memory_cost"] == pytest.approx(2 * 0.0041882 * 24, rel=1e-5)
    assert (row["cpu_request_hours"], row["cpu_usage_hours"], row["cpu_allocated_hours"]) == (24, 48, 48)
    assert (row["memory_request_hours"], row["memory_usage_hours"], row["memory_allocated_hours"]) == (48, 24, 48)
    assert (row["pod_hours"], row["pool"]) == (24, "general")
    (pool,) = got.nodes.to_dict("records")
    assert pool["cost"] == pytest.approx(0.192 * 24)
    assert pool["cpu_idle_cost"] == pytest.approx(2 * 0.0312471 * 24, rel=1e-5)
    assert pool["idle_cost"] + row["cost"] == pytest.approx(0.192 * 24, abs=1e-9)
    assert list(check(got.costs, COSTS).columns) == list(COSTS.columns)
    assert list(check(got.nodes, NODE_COSTS).columns) == list(NODE_COSTS.columns)


def test_every_step_counts_by_itself(store: Store) -> None:
    # a mean would say max(0.5, 0.55) = 0.55; by the step it is (1 + 0.5) / 2 = 0.75
    put(store, DAY, [container(DAY)], [node(DAY)], {WEB: steps((144, 1.0), (144, 0.1))}, {WEB: 0.5})
    (row,) = one_day(store, prices(n1=(0.03, 0.004))).costs.to_dict("records")
    assert row["cpu_allocated_hours"] == pytest.approx(0.75 * 24)
    assert row["cpu_usage_hours"] == pytest.approx(0.55 * 24)


def test_a_daily_job_is_never_scaled_to_a_month(store: Store) -> None:
    # one core at 0.20 and one GiB at 0.04, an hour a day: 0.24
    key = ("shop", "CronJob", "report", "report-0", "app")
    hour = steps((24, NAN), (12, 0.9), (252, NAN))
    for number in range(31):
        day = DAY + timedelta(days=number)
        job = container(day, "report", 24, 36, 1.0, 1.0, workload_kind="CronJob")
        put(store, day, [job, container(day)], [node(day)], {key: hour, WEB: 0.1}, {key: hour, WEB: 0.1})
    for days in (1, 31):
        got = costs_of(store, Window.of_days(DAY + timedelta(days=days - 1), days), prices(n1=(0.2, 0.04)))
        job = got.costs[got.costs["workload"] == "report"]
        assert job["cost"].sum() == pytest.approx(0.24 * days)  # 7.44 in 31 days, not 372
        assert job["pod_hours"].sum() == pytest.approx(days)


def test_f17_steps_without_samples_do_not_make_cost_vanish(store: Store) -> None:
    # 6 h unmeasured: the request counts there; measured steps use twice the request
    put(store, DAY, [container(DAY)], [node(DAY)], {WEB: steps((216, 1.0), (72, NAN))}, {WEB: 1.0})
    got = one_day(store, prices(n1=(0.03, 0.004)))
    (row,) = got.costs.to_dict("records")
    assert row["cpu_allocated_hours"] == pytest.approx(18 * 1.0 + 6 * 0.5)
    assert row["cpu_usage_hours"] == pytest.approx(18)
    assert got.shares["measured_cpu"] == pytest.approx(0.75)
    assert got.shares["measured_memory"] == 1.0
    assert codes(got) == ["cost_unmeasured"]
    # efficiency is of the steps that were measured
    assert got.allocation["cpu_asked_hours"].tolist() == [pytest.approx(18 * 0.5)]


def test_neither_request_nor_sample_is_unknown_not_free(store: Store) -> None:
    rows = [container(DAY, cpu=NAN, gib=NAN), container(DAY, "api")]
    put(store, DAY, rows, [node(DAY)], {}, {})
    got = one_day(store, prices(n1=(0.03, 0.004)))
    web = got.costs.set_index("workload").loc["web"]
    assert math.isnan(web["cpu_cost"])
    assert math.isnan(web["cost"])
    assert (got.shares["unknown_cpu"], got.shares["unknown_memory"]) == (0.5, 0.5)
    assert "cost_unknown" in codes(got)
    # what is known still adds up
    assert got.nodes["workload_cost"].tolist() == [pytest.approx((0.5 * 0.03 + 0.004) * 24)]


def test_without_a_request_usage_counts_and_a_limit_is_a_request(store: Store) -> None:
    lim = ("shop", "Deployment", "lim", "lim-0", "app")
    rows = [container(DAY, cpu=NAN, gib=NAN), container(DAY, "lim", cpu=NAN, gib=NAN, cpu_limit=0.4)]
    put(store, DAY, rows, [node(DAY)], {WEB: steps((144, 0.25), (144, NAN)), lim: 0.1}, {WEB: 1.0, lim: 1.0})
    got = one_day(store, prices(n1=(0.03, 0.004)))
    rows = got.costs.set_index("workload")
    assert rows.loc["web", "cpu_allocated_hours"] == pytest.approx(0.25 * 12)
    assert rows.loc["lim", "cpu_allocated_hours"] == pytest.approx(0.4 * 24)
    assert got.shares["unknown_cpu"] == pytest.approx(0.25)  # 12 of 48 container hours


def test_an_init_container_asks_for_the_pods_effective_request(store: Store) -> None:
    # app 0.5 + native sidecar 0.1; the init container asks for 0.9 beside the sidecar: 1.0 is held all day (methods.md A9)
    rows = [
        container(DAY),
        container(DAY, cpu=0.1, gib=0.0, container="proxy", role="sidecar"),
        container(DAY, cpu=0.9, gib=0.0, container="setup", role="init"),
    ]
    proxy, setup = (*WEB[:4], "proxy"), (*WEB[:4], "setup")
    put(store, DAY, rows, [node(DAY)], {WEB: 0.2, proxy: 0.1, setup: steps((12, 1.6), (276, NAN))}, {WEB: 1.0, proxy: 0.0})
    got = one_day(store, prices(n1=(0.03, 0.004)))
    (row,) = got.costs.to_dict("records")
    assert row["cpu_request_hours"] == pytest.approx(24.0)
    # for an hour it used 0.6 more than the pod asks for
    assert row["cpu_allocated_hours"] == pytest.approx(24.0 + 0.6)
    assert row["pod_hours"] == 24
    assert got.shares["measured_cpu"] == 1.0  # an init container is not expected to be measured all day


def test_f29_a_price_that_is_missing_is_the_clusters_mean_and_said(store: Store) -> None:
    rows = [container(DAY), container(DAY, "api", node="n2"), container(DAY, "far", node="elsewhere")]
    nodes = [node(DAY), node(DAY, "n2", pool="spot"), node(DAY, "n3", last=144), node(DAY, "n4", last=144)]
    put(store, DAY, rows, nodes, {}, {})
    found = prices(n1=(0.03, 0.004), n2=(NAN, NAN), n3=(0.06, 0.008), n4=(0.0, -1.0))
    got = one_day(store, found)
    # n1 has 96 core hours, n3 48: (0.03 x 96 + 0.06 x 48) / 144 = 0.04 a core, 0.016 / 3 a GiB
    cost = got.costs.set_index("workload")["cost"]
    assert cost["web"] == pytest.approx((0.5 * 0.03 + 0.004) * 24)
    assert cost["api"] == cost["far"] == pytest.approx((0.5 * 0.04 + 0.016 / 3) * 24)
    assert got.costs.set_index("workload")["pool"].to_dict() == {"web": "general", "api": "spot", "far": ""}
    (finding,) = [f for f in got.findings if f["code"] == "cost_mean_price"]
    assert finding["data"]["nodes"] == ["n2"]
    assert got.shares["mean_price"] == pytest.approx(2 * cost["api"] / cost.sum())
    pool = got.nodes.set_index("pool").loc["spot"]
    assert (pool["cost"], pool["price_basis"]) == (pytest.approx((4 * 0.04 + 16 * 0.016 / 3) * 24), "cluster mean")


def test_f29_no_price_at_all_is_not_free(store: Store) -> None:
    put(store, DAY, [container(DAY)], [node(DAY)], {WEB: 0.1}, {WEB: 0.1})
    for found in (prices(), prices(n1=(NAN, NAN))):
        got = one_day(store, found)
        assert got.costs["cost"].isna().all()
        assert got.nodes[["cost", "workload_cost", "idle_cost"]].isna().all(axis=None)
        assert codes(got) == ["cost_no_price"]
        assert got.costs["cpu_allocated_hours"].tolist() == [12.0]


def test_a_node_without_pods_is_idle(store: Store) -> None:
    put(store, DAY, [container(DAY)], [node(DAY), node(DAY, "n2", pool="empty", first=144)], {WEB: 0.1}, {WEB: 0.1})
    got = one_day(store, prices(n1=(0.03, 0.004), n2=(0.03, 0.004)))
    pool = got.nodes.set_index("pool").loc["empty"]
    assert (pool["node_hours"], pool["workload_cost"]) == (12, 0)
    assert pool["idle_cost"] == pool["cost"] == pytest.approx((4 * 0.03 + 16 * 0.004) * 12)


def test_idle_is_never_negative(store: Store) -> None:
    # 5 cores used on a node of 4
    put(store, DAY, [container(DAY)], [node(DAY)], {WEB: 5.0}, {WEB: 1.0})
    (pool,) = one_day(store, prices(n1=(0.03, 0.004))).nodes.to_dict("records")
    assert pool["cpu_idle_cost"] == 0.0
    assert pool["idle_cost"] == pool["memory_idle_cost"] == pytest.approx(15 * 0.004 * 24)


def test_a_pod_over_midnight_costs_on_both_days(store: Store) -> None:
    after = DAY + timedelta(days=1)
    put(store, DAY, [container(DAY, first=276)], [node(DAY)], {WEB: steps((276, NAN), (12, 1.0))}, {WEB: steps((276, NAN), (12, 1.0))})
    put(store, after, [container(after, last=24)], [node(after)], {WEB: steps((24, 1.0), (264, NAN))}, {WEB: steps((24, 1.0), (264, NAN))})
    got = costs_of(store, Window.of_days(after, 2), prices(n1=(0.03, 0.004)))
    assert got.costs["pod_hours"].tolist() == [pytest.approx(1.0), pytest.approx(2.0)]
    assert got.costs["cost"].tolist() == [pytest.approx(0.034), pytest.approx(0.068)]


def test_f17_a_server_that_was_blind_over_midnight_hides_no_cost(store: Store) -> None:
    # seen until 22:00 and again from 02:00, pod and node: they were there in between; api is never seen again
    after = DAY + timedelta(days=1)
    put(store, DAY, [container(DAY, last=264), container(DAY, "api", last=264)], [node(DAY, last=264)], {}, {})
    put(store, after, [container(after, first=24)], [node(after, first=24)], {}, {})
    got = costs_of(store, Window.of_days(after, 2), prices(n1=(0.03, 0.004)))
    hours = got.costs.set_index(["workload", "day"])["pod_hours"]
    assert hours.to_dict() == {("web", "2026-11-03"): 24, ("web", "2026-11-04"): 24, ("api", "2026-11-03"): 22}
    assert got.nodes["node_hours"].tolist() == [24, 24]
    assert not any("no container was seen" in note for note in got.notes)


def test_what_nobody_saw_again_is_said(store: Store) -> None:
    put(store, DAY, [container(DAY, last=264)], [node(DAY)], {}, {})
    got = one_day(store, prices(n1=(0.03, 0.004)))
    assert got.costs["pod_hours"].tolist() == [22]
    assert "In 2.0 hours of the stored days no container was seen at all: what ran then is in no sum." in got.notes


def test_f17_a_missing_day_is_missing_and_not_filled(store: Store) -> None:
    put(store, DAY, [container(DAY)], [node(DAY)], {WEB: 0.1}, {WEB: 0.1})
    last = DAY + timedelta(days=2)
    put(store, last, [container(last)], [node(last)], {WEB: 0.1}, {WEB: 0.1})
    got = costs_of(store, Window.of_days(last, 3), prices(n1=(0.03, 0.004)))
    assert got.costs["day"].tolist() == got.nodes["day"].tolist() == ["2026-11-03", "2026-11-05"]
    assert got.days == (DAY, last)
    (finding,) = got.findings
    assert (finding["code"], finding["data"]["days"]) == ("cost_days_missing", ["2026-11-04"])
    assert finding["message"] == "1 day is not stored: their cost is in no sum, pull them again (2026-11-04)"


def test_days_without_inventory_or_nodes_are_said(store: Store) -> None:
    put(store, DAY, None, None, {WEB: 0.3}, {WEB: 2.0})
    after = DAY + timedelta(days=1)
    put(store, after, [container(after)], [node(after)], None, None)
    got = costs_of(store, Window.of_days(after, 2), prices(n1=(0.03, 0.004)))
    first, second = got.costs.to_dict("records")
    # usage alone at the mean price, in no pool; then the request alone
    assert (first["pool"], first["cost"]) == ("", pytest.approx((0.3 * 0.03 + 2 * 0.004) * 24, rel=1e-6))
    assert first["pod_hours"] == 24
    assert (second["pool"], second["cost"]) == ("general", pytest.approx((0.5 * 0.03 + 0.004) * 24))
    assert math.isnan(second["cpu_usage_hours"])
    assert got.nodes["day"].tolist() == ["2026-11-04"]
    assert {"cost_no_inventory", "cost_no_nodes", "cost_unmeasured", "cost_mean_price"} == set(codes(got))


def test_samples_outside_the_inventory_cost_their_usage(store: Store) -> None:
    # measured from midnight, seen from 01:00; an unknown pod beside it for two hours; a negative sample is none
    other = ("shop", "Deployment", "ghost", "ghost-0", "app")
    cpu = {WEB: steps((12, 0.2), (276, 0.1)), other: steps((24, 0.4), (1, -1.0), (263, NAN))}
    put(store, DAY, [container(DAY, first=12)], [node(DAY)], cpu, {WEB: steps((12, NAN), (276, 0.5))})
    got = one_day(store, prices(n1=(0.03, 0.004)))
    rows = got.costs.set_index("workload")
    assert rows.loc["web", "cpu_allocated_hours"] == pytest.approx(23 * 0.5 + 0.2)
    assert (rows.loc["web", "pod_hours"], rows.loc["ghost", "pod_hours"]) == (23, 2)
    assert (rows.loc["ghost", "pool"], rows.loc["web", "pool"]) == ("", "general")
    assert rows.loc["ghost", "cpu_allocated_hours"] == pytest.approx(0.8)
    assert math.isnan(rows.loc["ghost", "memory_cost"])
    assert any(note.startswith("3.0 container hours were measured outside") for note in got.notes)


def test_a_pod_that_waits_for_a_node_costs_nothing(store: Store) -> None:
    put(store, DAY, [container(DAY), container(DAY, "stuck", node="")], [node(DAY)], {WEB: 0.1}, {WEB: 0.1})
    got = one_day(store, prices(n1=(0.03, 0.004)))
    assert got.costs["workload"].tolist() == ["web"]
    assert any(note.startswith("1 pods waited for a node") for note in got.notes)
    # where no pod's node is known, nothing is said to wait
    put(store, DAY, [container(DAY, "stuck", node="")], [node(DAY)], {}, {})
    assert one_day(store, prices(n1=(0.03, 0.004))).costs["workload"].tolist() == ["stuck"]


def test_a_gpu_is_in_neither_workload_nor_idle(store: Store) -> None:
    put(store, DAY, [container(DAY)], [node(DAY)], {WEB: 0.1}, {WEB: 0.1})
    found = prices(n1=(0.03, 0.004)).assign(price_hour=4 * 0.03 + 16 * 0.004 + 0.95)
    got = one_day(store, found)
    assert got.nodes["cost"].tolist() == [pytest.approx((4 * 0.03 + 16 * 0.004 + 0.95) * 24)]
    assert any(note.startswith("22.80 of the node cost is for neither CPU nor memory") for note in got.notes)


def test_shared_cost_of_a_history(store: Store) -> None:
    dns = container(DAY, "dns", namespace="kube-system")
    put(store, DAY, [container(DAY), container(DAY, "api", cpu=1.0, gib=2.0), dns], [node(DAY)], {}, {})
    found = prices(n1=(0.03, 0.004))
    got = one_day(store, found).costs.set_index("workload")
    assert got["shared"].to_dict() == {"web": False, "api": False, "dns": True}
    assert got.loc["api", "shared_cost"] == pytest.approx(2 * got.loc["web", "shared_cost"])
    assert got["shared_cost"].sum() == pytest.approx(got.loc["dns", "cost"])
    assert one_day(store, found, rule="none").costs["shared_cost"].tolist() == [0, 0, 0]
    alone = one_day(store, found, shared=["shop", "kube-system"])
    assert alone.costs["shared_cost"].tolist() == [0, 0, 0]
    assert any(note.endswith("nobody carries their cost.") for note in alone.notes)
    with pytest.raises(UsageError, match="'even'"):
        one_day(store, found, rule="even")


def test_f41_hostile_names_are_made_visible(store: Store) -> None:
    name = "n\u202e1\x1b[31m"
    put(store, DAY, [container(DAY, node=name), container(DAY, "api")], [node(DAY, name), node(DAY)], {}, {})
    got = one_day(store, prices(n1=(0.03, 0.004)))
    (finding,) = [f for f in got.findings if f["code"] == "cost_mean_price"]
    assert "\\u202e" in str(finding["message"])
    assert "\x1b" not in str(finding["message"])


def test_workers_do_not_matter_and_nothing_is_changed(store: Store) -> None:
    put(store, DAY, [container(DAY)], [node(DAY)], {WEB: 0.7}, {WEB: 0.1})
    found, days = prices(n1=(0.03, 0.004)), [DAY]
    inventory = read_frame(store, "inventory", days)
    before = inventory.copy(), found.copy()
    one, two = one_day(store, found, workers=1, inventory=inventory), one_day(store, found, workers=2)
    pd.testing.assert_frame_equal(one.costs, two.costs)
    pd.testing.assert_frame_equal(one.nodes, two.nodes)
    pd.testing.assert_frame_equal(inventory, before[0])
    pd.testing.assert_frame_equal(found, before[1])


def test_a_damaged_day_is_reported(store: Store) -> None:
    put(store, DAY, [container(DAY)], [node(DAY)], {WEB: 0.7}, {WEB: 0.1})
    (path,) = store.folder("cpu_usage", DAY).glob("*.parquet")
    path.write_bytes(b"damaged")
    with pytest.raises(StoreCorrupt):
        one_day(store, prices(n1=(0.03, 0.004)))


def test_an_empty_history(store: Store) -> None:
    got = one_day(store, prices(n1=(0.03, 0.004)))
    assert (len(got.costs), len(got.nodes), got.days, codes(got)) == (0, 0, (), ["cost_days_missing"])
    assert math.isnan(got.shares["measured_cpu"])


def test_the_demo_adds_up() -> None:
    store = open_store(DEMO, "demo")
    window = Window.of_days(store.days("cpu_usage")[-1], 28)
    got = costs_of(store, window, demo_prices(store, window))
    assert got.findings == ()
    assert got.nodes[["cpu_idle_cost", "memory_idle_cost"]].gt(0).all(axis=None)  # nothing is clamped
    workloads = got.costs.groupby(["day", "pool"])["cost"].sum()
    pools = got.nodes.set_index(["day", "pool"])
    assert sorted(workloads.index) == sorted(pools.index)
    assert (workloads + pools["idle_cost"] - pools["cost"]).abs().max() < 1e-6
    assert got.costs["shared_cost"].sum() == pytest.approx(got.costs.loc[got.costs["shared"], "cost"].sum())
    # 4 c6i.xlarge nodes all month, priced by core and GiB
    assert pools.xs("general", level="pool")["node_hours"].tolist() == [96.0] * 28


def test_the_demo_by_an_independent_loop() -> None:
    """Two days of the demo, every container and step looked at one by one."""
    store = open_store(DEMO, "demo")
    days = store.days("cpu_usage")[13:15]
    window = Window.of_days(days[-1], 2)
    found = demo_prices(store, window)
    unit = found.set_index("node")[["cpu_hour", "memory_hour"]].to_dict("index")
    want: dict[tuple[str, str, str, str], float] = defaultdict(float)
    for day in days:
        usage: dict[tuple[str, ...], list[float]] = {}
        for metric in ("cpu_usage", "memory_working_set"):
            labels, samples = read_day(store, metric, day)
            for key, row in zip(labels.itertuples(index=False), samples.astype(float), strict=True):
                usage[metric, key.namespace, key.pod, key.container] = row.tolist()
        pools = read_frame(store, "nodes", [day]).set_index("node")["pool"].to_dict()
        for (namespace, _, _), rows in read_frame(store, "inventory", [day]).groupby(["namespace", "pod", "uid"]):
            containers = rows.to_dict("records")
            where, workload = containers[0]["node"], containers[0]["workload"]
            for metric, asks, price, scale in (
                ("cpu_usage", "cpu_request", "cpu_hour", 1.0),
                ("memory_working_set", "memory_request", "memory_hour", GIB),
            ):
                spent = sum(spent_in(step, day, containers, usage, metric, asks) for step in range(288))
                want[day.isoformat(), namespace, workload, pools[where]] += spent / scale * unit[where][price] / 12
    got = costs_of(store, window, found).costs.set_index(["day", "namespace", "workload", "pool"])["cost"]
    assert sorted(got.index) == sorted(want)
    assert max(abs(got[key] - cost) for key, cost in want.items()) < 1e-6


def spent_in(step: int, day: date, containers: list[dict], usage: dict[tuple[str, ...], list[float]], metric: str, asks: str) -> float:
    """What a pod is allocated in one step [cores | bytes]."""
    now = (day_start(day) + timedelta(minutes=5 * step)).timestamp()
    running = init = sidecar = spent = 0.0
    for row in containers:
        if not row["first_seen"].timestamp() <= now < row["last_seen"].timestamp():
            continue
        asked = 0.0 if math.isnan(row[asks]) else row[asks]
        if row["role"] == "init":
            init = max(init, asked)
            continue
        seen = usage.get((metric, row["namespace"], row["pod"], row["container"]), [NAN] * 288)[step]
        running, spent = running + asked, spent + max(asked, 0.0 if math.isnan(seen) else seen)
        sidecar += asked if row["role"] == "sidecar" else 0.0
    return spent + (max(0.0, init + sidecar - running) if init else 0.0)
