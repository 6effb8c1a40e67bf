"""Node prices: the most specific row, the split into cores and GiB, unit prices, bills, and what has no price."""

from __future__ import annotations

import gzip
import json
import math
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from aiops_analysis.analysis.node_prices import commitments, core_differences, node_prices, pool_rates, priced_share
from aiops_analysis.core.pricing import OPENCOST, PriceList, PriceRow
from aiops_analysis.core.schema import NODES, blank, check
from aiops_analysis.core.schema_money import BILLED
from aiops_analysis.core.units import GIB
from aiops_analysis.sources.prices import read_prices

START = datetime(2026, 11, 1, tzinfo=UTC)
NAN = math.nan
REAL = Path(__file__).resolve().parents[2] / "shared" / "realdata"
real = pytest.mark.skipif(not REAL.is_dir(), reason="the shared real data (../shared/realdata) is not beside this checkout")


def node(name: str, kind: str = "m6i.large", cpu: float = 4.0, gib: float = 16.0, hours: float = 24.0, **more: object) -> dict[str, object]:
    """A node that was there from the start; 4 cores and 16 GiB."""
    about = {
        "node": name,
        "pool": "general",
        "instance_type": kind,
        "region": "us-east-1",
        "cpu_capacity": cpu,
        "memory_capacity": gib * GIB,
    }
    seen = {"first_seen": START, "last_seen": START + timedelta(hours=hours)}
    return blank(NODES) | about | seen | more


def frame(*rows: dict[str, object]) -> pd.DataFrame:
    return check(pd.DataFrame(rows, columns=list(NODES.columns)), NODES)


def prices(*rows: PriceRow, name: str = "price-sheet", currency: str = "USD", **units: float) -> PriceList:
    return PriceList(name, "the sheet", currency, rows=rows, **units)


def one(table: pd.DataFrame, name: str = "a") -> pd.Series:
    return table.set_index("node").loc[name]


def test_the_worked_example_of_the_split() -> None:
    # r = 0.031611/0.004237; ram = 0.192/(4r + 16) = 0.0041882, cpu = r x ram = 0.0312471
    got = one(node_prices(frame(node("a")), prices(PriceRow(0.192, "m6i.large"))))
    assert (got.price_hour, round(got.cpu_hour, 7), round(got.memory_hour, 7)) == (0.192, 0.0312471, 0.0041882)
    assert (got.basis, got.source, got.matched_by) == ("sheet", "the sheet", "type m6i.large")


def test_without_a_list_the_default_unit_prices_are_used() -> None:
    # 4 x 0.031611 + 16 x 0.004237 = 0.194236; spot: 4 x 0.006655 + 16 x 0.000892 = 0.040892
    table = node_prices(frame(node("a"), node("b", capacity_type="spot")), OPENCOST)
    assert one(table).price_hour == pytest.approx(0.194236)
    assert (one(table).basis, one(table).source, one(table).matched_by) == ("default", OPENCOST.source, "")
    assert one(table, "b").price_hour == pytest.approx(0.040892)
    assert one(table, "b").source == "OpenCost default prices (Google Cloud us-central1, spot)"


def test_the_most_specific_row_wins() -> None:
    labels = json.dumps({"team": "web"})
    machine = node("a", zone="us-east-1a", provider_id="aws:///us-east-1a/i-1", labels=labels, capacity_type="on-demand")
    rows = [
        PriceRow(1.0, "M6I.Large", capacity_type="on-demand"),
        PriceRow(2.0, "m6i.LARGE", region="US-EAST-1"),
        PriceRow(3.0, "m6i.large", zone="us-east-1a"),
        PriceRow(4.0, pool="general"),
        PriceRow(5.0, label=("team", "web")),
        PriceRow(6.0, provider_id="i-1"),
        PriceRow(7.0, node="a", region="us-east-1"),
    ]
    for last in range(1, len(rows) + 1):
        got = one(node_prices(frame(machine), prices(*reversed(rows[:last]))))
        assert got.price_hour == last
    assert got.matched_by == "node a, region us-east-1"


@pytest.mark.parametrize(
    "row",
    [
        PriceRow(1.0, "m6i.xlarge"),
        PriceRow(1.0, "m6i.large", region="eu-west-1"),
        PriceRow(1.0, "m6i.large", zone="us-east-1b"),
        PriceRow(1.0, "m6i.large", capacity_type="spot"),
        PriceRow(1.0, pool="other"),
        PriceRow(1.0, node="b"),
        PriceRow(1.0, provider_id="i-2"),
        PriceRow(1.0, label=("team", "api")),
    ],
)
def test_f29_a_row_for_another_machine_does_not_match_and_nothing_is_zero(row: PriceRow) -> None:
    machine = node("a", zone="us-east-1a", provider_id="aws:///us-east-1a/i-1", labels='{"team": "web"}')
    got = one(node_prices(frame(machine), prices(row, currency="EUR")))
    assert (math.isnan(got.price_hour), math.isnan(got.cpu_hour), math.isnan(got.memory_hour)) == (True, True, True)
    assert (got.basis, got.source, got.matched_by) == ("", "", "")
    # in the currency of the default prices these speak
    assert one(node_prices(frame(machine), prices(row))).basis == "default"


def test_a_node_that_does_not_say_its_capacity_type_counts_as_on_demand() -> None:
    got = one(node_prices(frame(node("a")), prices(PriceRow(0.1, "m6i.large", capacity_type="on-demand"))))
    assert got.matched_by == "type m6i.large, on-demand (the node does not say)"


def test_a_spot_node_is_never_priced_by_a_row_for_on_demand() -> None:
    row = PriceRow(0.1, "m6i.large", capacity_type="on-demand")
    own = one(node_prices(frame(node("a", capacity_type="spot")), prices(row, spot_cpu_hour=0.01, spot_memory_hour=0.001)))
    assert (own.price_hour, own.basis, own.source) == (pytest.approx(4 * 0.01 + 16 * 0.001), "sheet", "the sheet, spot")


def test_units_of_a_row_need_no_ratio() -> None:
    got = one(node_prices(frame(node("a")), prices(PriceRow(NAN, pool="general", cpu_hour=0.02, memory_hour=0.003))))
    assert (got.price_hour, got.cpu_hour, got.memory_hour) == (pytest.approx(0.128), 0.02, 0.003)  # 4 x 0.02 + 16 x 0.003
    both = one(node_prices(frame(node("a")), prices(PriceRow(0.56, pool="general", cpu_hour=0.1, memory_hour=0.01))))
    assert (both.cpu_hour, both.memory_hour) == (pytest.approx(0.1), pytest.approx(0.01))  # the row's own ratio 10


def test_the_list_s_own_unit_prices_are_the_ratio() -> None:
    got = one(node_prices(frame(node("a")), prices(PriceRow(0.56, "m6i.large"), cpu_hour=0.2, memory_hour=0.02)))
    assert (got.cpu_hour, got.memory_hour) == (pytest.approx(0.1), pytest.approx(0.01))


def test_a_bill_beats_the_list_and_a_bill_of_nothing_does_not() -> None:
    rows = [
        {"node": n, "cost": p * 24, "hours": 24.0, "price_hour": p, "resource_id": n, "matched_by": "instance id"} for n, p in BILL.items()
    ]
    billed = check(pd.DataFrame(rows), BILLED)
    table = node_prices(frame(*(node(name) for name in (*BILL, "d"))), prices(PriceRow(0.2, "m6i.large")), billed, billed_source="bill.csv")
    assert list(table["basis"]) == ["billing", "sheet", "sheet", "sheet"]
    assert (one(table).price_hour, one(table).source, one(table).matched_by) == (0.15, "bill.csv", "instance id")
    assert one(table).cpu_hour * 4 + one(table).memory_hour * 16 == pytest.approx(0.15)


BILL = {"a": 0.15, "b": 0.0, "c": NAN}


def test_a_node_without_a_size_has_a_price_but_no_price_of_a_core() -> None:
    got = one(node_prices(frame(node("a", cpu=NAN)), prices(PriceRow(0.2, "m6i.large"))))
    assert (got.price_hour, math.isnan(got.cpu_hour)) == (0.2, True)
    assert math.isnan(one(node_prices(frame(node("a", cpu=NAN)), OPENCOST)).price_hour)


def test_the_newest_facts_of_a_node_count() -> None:
    old = node("a", kind="m5.large", first_seen=START - timedelta(days=1), last_seen=START)
    assert one(node_prices(frame(node("a"), old), prices(PriceRow(0.2, "m6i.large"), PriceRow(9.0, "m5.large")))).price_hour == 0.2


@pytest.mark.parametrize(
    ("zone", "provider_id", "region"),
    [
        ("us-east-1c", "", "us-east-1"),
        ("us-gov-west-1a", "", "us-gov-west-1"),
        ("us-central1-a", "", "us-central1"),
        ("eastus2-1", "", "eastus2"),
        ("", "aws:///eu-west-1b/i-1", "eu-west-1"),
        ("", "gce://project/europe-west4-b/name", "europe-west4"),
        ("0", "azure:///subscriptions/eastus-1/x", ""),
        ("rack-7", "", ""),
    ],
)
def test_the_region_of_a_node_that_names_its_zone_alone(zone: str, provider_id: str, region: str) -> None:
    row = PriceRow(1.0, "m6i.large", region=region or "somewhere")
    got = one(node_prices(frame(node("a", region="", zone=zone, provider_id=provider_id)), prices(row)))
    assert (got.basis == "sheet") == bool(region)


@pytest.mark.parametrize(
    ("given", "provider_id"),
    [
        ("i-0abc", "aws:///us-east-1a/i-0abc"),
        ("aws:///us-east-1a/i-0ABC", "aws:///us-east-1a/i-0abc"),
        ("gke-pool-1-91dc432d-cg69", "gce://proj/us-central1-a/gke-pool-1-91dc432d-cg69"),
        (
            "/subscriptions/S/resourceGroups/CASE/providers/Microsoft.Compute/virtualMachineScaleSets/vmss/virtualMachines/7",
            "azure:///subscriptions/s/resourceGroups/case/providers/Microsoft.Compute/virtualMachineScaleSets/vmss/virtualMachines/7",
        ),
    ],
)
def test_provider_ids_are_matched_whole_without_their_scheme_or_by_their_last_part(given: str, provider_id: str) -> None:
    assert one(node_prices(frame(node("a", provider_id=provider_id)), prices(PriceRow(1.0, provider_id=given)))).basis == "sheet"
    assert one(node_prices(frame(node("a")), prices(PriceRow(1.0, provider_id=given)))).basis == "default"


def test_labels_that_are_no_json_match_nothing() -> None:
    for labels in ("", "{", "[]", "null", '{"team": 3}'):
        assert one(node_prices(frame(node("a", labels=labels)), prices(PriceRow(1.0, label=("team", "web"))))).basis == "default"


def test_a_machine_with_half_its_cores_costs_the_same_and_each_core_twice_as_much() -> None:
    # a GKE node without simultaneous multithreading: 112 cores are sold, 56 are there
    kind, row = "c2d-standard-112", PriceRow(5.0, "c2d-standard-112")
    half, whole = node("a", kind, 56.0, 448.0), node("b", kind, 112.0, 448.0)
    table = node_prices(frame(half, whole), prices(row))
    assert list(table["price_hour"]) == [5.0, 5.0]
    assert one(table).cpu_hour * 56 + one(table).memory_hour * 448 == pytest.approx(5.0)
    assert one(table).cpu_hour > one(table, "b").cpu_hour
    found = core_differences(frame(half, whole), prices(row))
    assert found.to_dict("records") == [{"node": "a", "instance_type": kind, "reported": 56.0, "listed": 112.0}]
    listed = core_differences(frame(node("a", "own", 2.0)), prices(PriceRow(1.0, "own", cpu=8.0)))
    assert list(listed["listed"]) == [8.0]
    assert not len(core_differences(frame(node("a", "a2-highgpu-1g", 12.0), node("b", "e2-medium", 2.0)), OPENCOST))


def test_shares_and_rates_are_of_node_hours() -> None:
    nodes = frame(node("a", hours=30), node("b", "other", cpu=2.0, gib=8.0, hours=10), node("c", "other", hours=20, pool="new"))
    table = node_prices(nodes, prices(PriceRow(0.192, "m6i.large"), PriceRow(0.096, node="b"), currency="EUR"))
    assert priced_share(table, nodes) == {"sheet": pytest.approx(40 / 60), "": pytest.approx(20 / 60)}
    rates = pool_rates(table, nodes).set_index("pool")
    general = rates.loc["general"]
    assert general.price_hour == pytest.approx((30 * 0.192 + 10 * 0.096) / 40)
    # what the pool's cores and GiB cost together is what its nodes cost: 30 h x 4 + 10 h x 2 cores, 30 h x 16 + 10 h x 8 GiB
    assert general.cpu_hour * 140 + general.memory_hour * 560 == pytest.approx(30 * 0.192 + 10 * 0.096)
    assert math.isnan(rates.loc["new", "cpu_hour"])
    assert rates.loc["new", "source"] == ""
    assert priced_share(node_prices(frame(), OPENCOST), frame()) == {}


def test_commitments_by_pool() -> None:
    nodes = frame(
        *(node(name, pool=pool) for name, pool in (("a", "x"), ("b", "x"), ("c", "y"), ("d", "z"))), node("gone", hours=1, pool="w")
    )
    until = date(2027, 1, 31)
    by_type = PriceRow(1.0, "m6i.large", committed_nodes=3, committed_until=until)
    # four nodes: x 1.5, y 0.75, z 0.75; floors 1, 0, 0 and the largest remainders get the rest
    assert commitments(prices(by_type), nodes) == {"x": (1, until), "y": (1, until), "z": (1, until)}
    named = PriceRow(1.0, pool="x", committed_nodes=5, committed_until=date(2028, 1, 1))
    assert commitments(prices(by_type, named), nodes)["x"] == (6, date(2028, 1, 1))
    over = PriceRow(1.0, pool="x", committed_nodes=5, committed_until=date(2026, 10, 31))
    assert commitments(prices(over), nodes) == {}
    assert commitments(prices(by_type), frame()) == {}


def test_nothing_is_changed_in_the_arguments() -> None:
    nodes = frame(node("b"), node("a"))
    before = nodes.copy(deep=True)
    table = node_prices(nodes, OPENCOST)
    pool_rates(table, nodes)
    assert list(table["node"]) == ["a", "b"]
    pd.testing.assert_frame_equal(nodes, before)


#: Labels as the managed services set them: EKS, GKE, AKS, Karpenter.
CLOUDS = {
    "eks": (
        {
            "node.kubernetes.io/instance-type": "m6i.large",
            "topology.kubernetes.io/region": "us-east-1",
            "topology.kubernetes.io/zone": "us-east-1a",
            "eks.amazonaws.com/nodegroup": "web",
            "eks.amazonaws.com/capacityType": "ON_DEMAND",
        },
        "aws/aws_us-east-1_instance_types.csv",
        0.096,
    ),
    "karpenter": (
        {"node.kubernetes.io/instance-type": "c6i.xlarge", "karpenter.sh/nodepool": "default", "karpenter.sh/capacity-type": "on-demand"},
        "aws/aws_us-east-1_instance_types.csv",
        0.17,
    ),
    "gke": (
        {
            "node.kubernetes.io/instance-type": "a2-highgpu-1g",
            "topology.kubernetes.io/region": "us-central1",
            "topology.kubernetes.io/zone": "us-central1-a",
            "cloud.google.com/gke-nodepool": "gpu",
            "cloud.google.com/gke-spot": "true",
        },
        "gcp/initial-prices.json.gz",
        1.92802,
    ),
    "aks": (
        {
            "node.kubernetes.io/instance-type": "standard_d2s_v3",  # a node may write it in any case
            "topology.kubernetes.io/region": "southcentralus",
            "topology.kubernetes.io/zone": "0",
            "kubernetes.azure.com/agentpool": "nodepool1",
        },
        "azure/azure_on_demand_3regions.csv",
        0.11,
    ),
}


def nodes_of_objects(items: list[dict[str, object]]) -> pd.DataFrame:
    from aiops_analysis.sources.kube_parts import Look, Objects
    from aiops_analysis.sources.kube_rules import nodes_of

    return nodes_of(Objects({"nodes": items}), Look(START))


@real
@pytest.mark.parametrize("cloud", CLOUDS)
def test_nodes_of_the_managed_services(cloud: str) -> None:
    labels, path, price = CLOUDS[cloud]
    capacity = {"cpu": "2", "memory": "8Gi", "pods": "29"}
    item = {"metadata": {"name": "a", "labels": labels}, "status": {"capacity": capacity, "allocatable": capacity}}
    got = one(node_prices(nodes_of_objects([item]), read_prices(REAL / "prices" / path)))
    assert (got.basis, got.price_hour) == ("list", pytest.approx(price))
    assert got.pool in ("web", "default", "gpu", "nodepool1")


@real
def test_real_nodes_of_other_clouds_have_default_prices_or_those_of_a_sheet() -> None:
    path = REAL / "troubleshoot_bundles" / "analyze" / "nodes.json.gz"
    found = json.loads(gzip.decompress(path.read_bytes()))
    nodes = nodes_of_objects(found if isinstance(found, list) else found["items"])
    assert set(node_prices(nodes, OPENCOST)["basis"]) == {"default"}
    sheet = prices(PriceRow(0.36, "G-8VCPU-32GB", region="sfo2"), PriceRow(0.03, provider_id="219734980"))
    table = node_prices(nodes, sheet)
    assert one(table, "biggernode-3i745").price_hour == 0.36
    assert one(table, "pool-yd23sqk7u-3i7i7").matched_by == "provider id 219734980"
    assert sorted(set(table["basis"])) == ["default", "sheet"]
