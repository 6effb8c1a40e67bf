"""Every public price list beside this checkout: what is one is read, what is not is refused by what it is."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from aiops_analysis.core.errors import UsageError
from aiops_analysis.core.pricing import PriceList, PriceRow
from aiops_analysis.sources.prices import read_prices

PRICES = Path(__file__).resolve().parents[2] / "shared" / "realdata" / "prices"
real = pytest.mark.skipif(not PRICES.is_dir(), reason="the shared real data (../shared/realdata) is not beside this checkout")


def only(prices: PriceList, kind: str, region: str = "", capacity: str = "") -> PriceRow:
    (row,) = [
        row for row in prices.rows if (row.instance_type, row.region) == (kind, region) and (not capacity or row.capacity_type == capacity)
    ]
    return row


@real
def test_the_aws_table_of_karpenter() -> None:
    found = read_prices(PRICES / "aws" / "aws_us-east-1_instance_types.csv")
    assert (found.currency, len(found.rows)) == ("USD", 1345)  # 1363 types, 18 of them without a price
    row = only(found, "m6i.large")
    assert (row.price_hour, row.cpu, row.memory_gib, row.capacity_type) == (0.096, 2.0, 8.0, "on-demand")
    assert found.warnings[0].startswith("18 types of aws_us-east-1_instance_types.csv have no price and are left out: dl2q.24xlarge")
    assert "names no region" in found.warnings[1]
    assert not any(row.instance_type == "p5e.48xlarge" for row in found.rows)


@real
def test_azure_by_region_and_by_size() -> None:
    found = read_prices(PRICES / "azure" / "azure_on_demand_3regions.csv")
    assert len(found.rows) == 1719 + 1567 + 1719 - 30  # 30 of them cost 0.000000, which is no price
    assert found.warnings[0].startswith("30 types")
    assert {row.region for row in found.rows} == {"eastus", "southcentralus", "westeurope"}
    sizes = read_prices(PRICES / "azure" / "azure_southcentralus_sku_caps.csv")
    row = only(sizes, "Standard_D2s_v3")
    assert (row.price_hour, row.cpu, row.memory_gib) == (0.11, 2.0, 8.0)


@real
def test_google_cloud_on_demand_and_spot() -> None:
    found = read_prices(PRICES / "gcp" / "initial-prices.json.gz")
    assert len({row.region for row in found.rows}) == 43
    assert only(found, "a2-highgpu-1g", "us-central1", "on-demand").price_hour == 3.673385
    assert only(found, "a2-highgpu-1g", "us-central1", "spot").price_hour == 1.92802


@real
def test_the_price_files_of_opencost() -> None:
    folder = PRICES / "opencost"
    one = read_prices(folder / "pricing_schema.csv")
    assert [(row.node, row.price_hour) for row in one.rows] == [("gke-standard-cluster-1-pool-1-91dc432d-cg69", 0.1337)]
    assert one.warnings[0] == "2 rows of pricing_schema.csv price GPUs, which node prices leave out"
    regions = read_prices(folder / "pricing_schema_region.csv")
    assert [(row.region, row.price_hour) for row in regions.rows] == [("regionone", 0.1337), ("regiontwo", 0.1338), ("", 0.1339)]
    assert read_prices(folder / "pricing_schema_case.csv").rows[0].provider_id.endswith("virtualMachines/7")
    mixed = read_prices(folder / "pricing_schema_mixed_gpu_ondemand.csv")
    assert [row.label for row in mixed.rows] == [("TestClusterUsage", "Reserved"), ("TestClusterUsage", "OnDemand")]
    # a chat program made a link of the label
    assert read_prices(folder / "pricing_schema_special_char.csv").rows[0].label[0] == "metadata.label.servers.com/label"


UNITS = {
    "default": (0.031611, 0.004237, 0.006655, 0.000892, 0.95),
    "aws": (0.031611, 0.004237, 0.006655, 0.000892, 0.95),
    "gcp": (0.031611, 0.004237, 0.006655, 0.000892, math.nan),
    "azure": (0.039, 0.001917, 0.007764, 0.000382, 0.0428925),
    "alibaba": (0.031611, 0.004237, 0.006655, 0.000892, 0.95),
    "oracle": (0.015, 0.002, math.nan, math.nan, 2.0),
}


@real
@pytest.mark.parametrize("name", UNITS)
def test_unit_prices_of_opencost(name: str) -> None:
    found = read_prices(PRICES / "opencost" / f"{name}.json")
    got = (found.cpu_hour, found.memory_hour, found.spot_cpu_hour, found.spot_memory_hour, found.gpu_hour)
    assert got == pytest.approx(UNITS[name], nan_ok=True)
    assert (found.rows, found.currency) == ((), "USD")


@real
def test_oracles_products() -> None:
    found = read_prices(PRICES / "opencost" / "oracle_prices_usd.json.gz")
    row = only(found, "VM.Standard.E4.Flex")
    assert (row.cpu_hour, row.memory_hour, math.isnan(row.price_hour)) == (0.0125, 0.0015, True)  # 0.025 an OCPU, which is two cores
    arm = only(found, "VM.Standard.A1.Flex")
    assert (arm.cpu_hour, arm.memory_hour) == (0.01, 0.0015)  # one core an OCPU; the first 3000 hours are free, the others are not
    assert len(found.rows) == 6
    assert any("of the 450 products" in text for text in found.warnings)


@real
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gcp/gcp_machine_types.yml", "YAML of machine sizes"),
        ("gcp/LICENSE.txt", "it begins with"),
        ("opencost/gcp_skus_sample.json", "a Google Cloud SKU catalogue: prices of cores and GiB of machine families in IDR, USD"),
        ("opencost/azure_billing_export_template.csv", "an Azure cost export: what was charged, not a price list"),
        ("opencost/pricing_schema_pv.csv", "without a row for nodes (1 rows of pricing_schema_pv.csv price volumes"),
        ("opencost/pricing_schema_pv_storageclass.csv", "without a row for nodes"),
    ],
)
def test_what_is_no_list_of_node_prices_is_refused_by_what_it_is(name: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_prices(PRICES / name)
    assert said in str(caught.value)
    assert str(caught.value).startswith(Path(name).name)


@real
def test_every_file_is_read_or_refused() -> None:
    read = 0
    for path in sorted(PRICES.rglob("*")):
        if path.is_file():
            try:
                read += bool(read_prices(path))
            except UsageError:
                continue
    assert read == 16


def lists(tmp_path: Path, text: str) -> PriceList:
    path = tmp_path / "p"
    path.write_text(text)
    return read_prices(path)


HEAD = "EndTimestamp,InstanceID,Region,AssetClass,InstanceIDField,InstanceType,MarketPriceHourly,Version\n"


def test_f29_wrong_rows_of_public_lists_are_refused_with_their_line(tmp_path: Path) -> None:
    for text, said in (
        ("region,sku,usd_per_hour_on_demand\nx,a,-1\n", "p, line 2: the price is '-1', a price is above 0"),
        ("region,sku,usd_per_hour_on_demand\nx,a,1\nx,A,2\n", "p, line 3: 'A x on-demand' is priced here and in line 2"),
        ("instance_type,usd_per_hour_on_demand\n,1\n", "p, line 2: the type is empty"),
        (HEAD + "2020,n,,node,metadata.name,,0,\n", "p, line 2: MarketPriceHourly is 0"),
        (HEAD + "2020,n,,cloud,metadata.name,,1,\n", "p, line 2: AssetClass is 'cloud'"),
        (HEAD + "2020,n,,node,spec.other,,1,\n", "p, line 2: InstanceIDField is 'spec.other'"),
        (HEAD + "2020,,,node,,,1,\n", "neither an InstanceID nor an InstanceType"),
        (HEAD + "2020,n,,node,metadata.name,,1,\n2020,n,,node,metadata.name,,2,\n", "p, line 3: 'n' is priced here and in line 2"),
    ):
        with pytest.raises(UsageError) as caught:
            lists(tmp_path, text)
        assert said in str(caught.value)


def test_of_two_versions_of_an_opencost_price_the_later_counts(tmp_path: Path) -> None:
    found = lists(tmp_path, HEAD + "2020-01-01,n,,node,metadata.name,,1,\n2021-01-01,n,,node,metadata.name,,2,\n")
    assert [row.price_hour for row in found.rows] == [2.0]


def test_a_type_without_a_price_is_never_zero(tmp_path: Path) -> None:
    found = lists(tmp_path, "instance_type,usd_per_hour_on_demand\na,\nb,0.000\nc,1.5\n")
    assert [(row.instance_type, row.price_hour) for row in found.rows] == [("c", 1.5)]
    assert found.warnings[0] == "2 types of p have no price and are left out: a, b"
