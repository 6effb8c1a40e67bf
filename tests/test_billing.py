"""A FOCUS export for the nodes of a window: three clouds, what is left out, what is refused, the official sample (methods.md B6)."""

from __future__ import annotations

import csv
import gzip
import math
import subprocess
import sys
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from aiops_analysis.core.errors import UsageError
from aiops_analysis.core.schema import NODES, blank, check
from aiops_analysis.core.schema_money import BILLED
from aiops_analysis.core.window import Window
from aiops_analysis.workflows.billing import Billing, read_billed
from tests import focus
from tests.focus import charge, hourly, node

SAMPLE = Path(__file__).resolve().parents[2] / "shared" / "realdata" / "focus_billing" / "focus_sample.csv.gz"
ARM = "/subscriptions/s-1/resourceGroups/MC_shop/providers/Microsoft.Compute/virtualMachineScaleSets/aks-Blue-vmss"
TWO = focus.nodes(node("n1", "aws:///z/i-a"), node("n2", "aws:///z/i-b"))


def both(cost: float = 0.10, hours: int = 24) -> list[dict[str, str]]:
    """All hours of both nodes of TWO."""
    return hourly(hours, cost) + hourly(hours, cost, ResourceId="i-b")


@pytest.fixture
def read(tmp_path: Path):
    def read(rows: list[dict[str, str]], nodes: pd.DataFrame = TWO, hours: int = 24, **more) -> Billing:
        return read_billed(focus.write(tmp_path / "focus.csv", rows), nodes, focus.window(hours), **more)

    return read


def codes(billing: Billing) -> list[str]:
    return [str(finding["code"]) for finding in billing.findings]


def message(billing: Billing, code: str) -> str:
    (said,) = [str(finding["message"]) for finding in billing.findings if finding["code"] == code]
    return said


def test_amazon(read) -> None:
    # i-a 24 x 0.10, i-b by its ARN 24 x 0.20; another machine of the account 24 x 0.30: our nodes are 7.2 of 14.4
    arn = "arn:aws:ec2:eu-west-1:123456789012:instance/i-b"
    billing = read(hourly(24) + hourly(24, 0.2, ResourceId=arn) + hourly(24, 0.3, ResourceId="i-x"))
    assert billing.frame[["node", "cost", "hours", "price_hour", "resource_id"]].to_numpy().tolist() == [
        ["n1", pytest.approx(2.4), 24.0, pytest.approx(0.10), "i-a"],
        ["n2", pytest.approx(4.8), 24.0, pytest.approx(0.20), arn],
    ]
    assert (billing.match_rate, billing.cost_match_rate, billing.covered) == (1.0, pytest.approx(7.2 / 14.4), 1.0)
    assert (billing.basis, billing.currency, billing.unused_commitment, billing.credits) == ("EffectiveCost", "USD", 0.0, 0.0)
    assert codes(billing) == ["billing_matched"]
    assert message(billing, "billing_matched") == (
        "focus.csv: 100.0 % of the node hours and 50.0 % of its cost of computers matched, by EffectiveCost"
    )
    assert billing.source == (
        "billing export focus.csv, EffectiveCost, 2026-10-05T00:00:00Z to 2026-10-06T00:00:00Z, 100.0 % of node hours matched"
    )
    pd.testing.assert_frame_equal(billing.frame, check(billing.frame, BILLED))


def test_azure_scale_sets_in_a_daily_export(read) -> None:
    nodes = focus.nodes(*(node(f"vm{n}", f"azure://{ARM}/virtualMachines/{n}", 0, 24 if n else 12) for n in range(3)))
    azure = {"ProviderName": "Microsoft", "ServiceName": "Virtual Machines", "ResourceId": ARM.lower()}
    # 60 node hours (12 + 24 + 24) for 12.0: 0.20 an hour
    billing = read([charge(0, 12.0, hours=24, PricingQuantity="60", PricingUnit="Hours", **azure)], nodes)
    assert billing.frame["price_hour"].tolist() == pytest.approx([0.2, 0.2, 0.2])
    assert billing.frame["hours"].tolist() == [12, 24, 24]
    assert set(billing.frame["matched_by"]) == {"scale set"}


def test_google_cores_and_memory_are_added(read) -> None:
    nodes = focus.nodes(node("gke-1", "gce://shop/europe-west1-b/gke-1"))
    google = {
        "ProviderName": "Google Cloud",
        "ServiceName": "Compute Engine",
        "ResourceId": "//compute.googleapis.com/projects/12/zones/europe-west1-b/instances/987654321",
        "ResourceName": "gke-1",
    }
    rows = hourly(24, 0.08, PricingUnit="hour", SkuPriceId="core", PricingQuantity="4", **google)
    rows += hourly(24, 0.05, PricingUnit="gibibyte hour", SkuPriceId="ram", PricingQuantity="16", **google)
    billing = read(rows, nodes)
    assert billing.frame.loc[0, ["cost", "hours", "price_hour"]].tolist() == [pytest.approx(3.12), 24.0, pytest.approx(0.13)]
    assert billing.frame.loc[0, "matched_by"] == "instance name"


def test_another_provider_by_tags_of_cluster_and_pool(read) -> None:
    nodes = focus.nodes(node("a", "own://1", pool="blue"), node("b", "own://2", pool="blue"))
    tags = '{"cluster": "shop", "pool": "blue"}'
    rows = [charge(h, 0.2, ResourceId=f"vm-{n}", ProviderName="Own", Tags=tags) for h in range(24) for n in (7, 8)]
    rows += hourly(24, 9.0, ResourceId="vm-9", ProviderName="Own", Tags='{"cluster": "other", "pool": "blue"}')
    billing = read(rows, nodes, cluster="shop")
    assert billing.frame[["node", "price_hour", "matched_by"]].to_numpy().tolist() == [
        ["a", pytest.approx(0.2), "tags"],
        ["b", pytest.approx(0.2), "tags"],
    ]
    assert codes(read(rows, nodes)) == ["billing_other_account"]  # a pool of some cluster is no proof


def test_f29_what_is_on_no_node(read) -> None:
    rows = both()
    rows += [charge(1, 7.0, ChargeCategory="Tax"), charge(1, -0.5, ChargeCategory="Credit", ResourceId="NULL", ServiceCategory="Other")]
    rows += [charge(2, 0.25, ChargeCategory="Adjustment"), charge(-5, -9.0, ChargeCategory="Credit")]  # the last is before the window
    rows += [charge(3, 1.5, ResourceId="arn:aws:ec2:1:2:reserved-instances/r-1", CommitmentDiscountStatus="Unused")]
    rows += [charge(3, 0.9, CommitmentDiscountStatus="Unused", ServiceCategory="Databases")]  # of no computer
    rows += [charge(4, 100.0, ChargeCategory="Purchase") | {"EffectiveCost": "0"}]
    rows += [
        charge(4, 3.0, PricingUnit="GB"),
        charge(4, 5.0, ServiceCategory="Storage"),
        charge(5, 6.0, PricingUnit="GB", ResourceId="i-x"),
    ]
    billing = read(rows)
    assert billing.frame["cost"].tolist() == pytest.approx([2.4, 2.4])
    assert billing.credits == pytest.approx(-0.25)
    assert billing.unused_commitment == pytest.approx(1.5)
    assert codes(billing) == ["billing_matched", "billing_other_units", "billing_unused_commitment", "billing_credits"]
    assert "1 rows of matched nodes are no hours (such as transfer in GB): 3.00 USD" in message(billing, "billing_other_units")
    assert "-0.25 USD; they lower no node's price" in message(billing, "billing_credits")


def test_a_month_of_credit_counts_for_its_days_in_the_window(read) -> None:
    # 720 h for -72.0, of which 24 h lie in the window
    assert read([*both(), charge(-24, -72.0, hours=720, ChargeCategory="Credit")]).credits == pytest.approx(-2.4)


def test_f29_corrections_and_refunds_stay_in_their_own_period(read) -> None:
    rows = both()
    rows += [
        charge(3, -0.1, ChargeClass="Correction"),
        charge(3, 0.04, ChargeClass="Correction", PricingUnit="NULL", PricingQuantity="NULL"),
    ]
    rows += [charge(-30, -50.0, ChargeClass="Correction")]  # of a day before the window
    assert read(rows).frame["cost"].tolist() == pytest.approx([2.4 - 0.1 + 0.04, 2.4])


def test_f29_an_export_of_another_account(read) -> None:
    rows = hourly(24, ResourceId="i-far-1") + hourly(24, ResourceId="i-\u202efar-2")
    billing = read(rows)
    assert codes(billing) == ["billing_other_account"]
    assert message(billing, "billing_other_account") == (
        "none of 2 nodes is billed in focus.csv, which bills for i-far-1, i-\\u202efar-2; is it the export of another account?"
    )
    assert billing.frame.empty
    assert list(billing.frame.columns) == list(BILLED.columns)
    assert billing.match_rate == 0
    assert billing.source == "billing export focus.csv, no node matched"


def test_f29_a_period_that_does_not_cover_the_window(read) -> None:
    part = read(both(hours=6))
    assert part.covered == 0.25
    assert part.match_rate == 1.0
    assert part.frame["hours"].tolist() == [6.0, 6.0]
    assert "covers 12 of 48 node hours of the window (2026-10-05T00:00:00Z to 2026-10-05T06:00:00Z)" in message(part, "billing_partial")
    before = read([charge(hour - 48) for hour in range(24)])
    assert codes(before) == ["billing_no_overlap"]
    assert message(before, "billing_no_overlap") == (
        "focus.csv covers 2026-10-03T00:00:00Z to 2026-10-04T00:00:00Z and the window is 2026-10-05T00:00:00Z to 2026-10-06T00:00:00Z: "
        "no hour of it is billed there, so no node has a billed price"
    )
    assert math.isnan(before.match_rate)
    assert math.isnan(before.cost_match_rate)
    assert before.frame.empty


def test_f29_below_ninety_percent_of_the_node_hours_the_sheet_is_used(read) -> None:
    nodes = focus.nodes(*(node(f"n{n}", f"aws:///z/i-{n}") for n in range(10)))
    rows = [row for n in range(9) for row in hourly(24, ResourceId=f"i-{n}")]
    assert len(read(rows, nodes).frame) == 9  # 90 % is enough
    few = read(rows[24:], nodes)
    assert few.match_rate == pytest.approx(0.8)
    assert few.frame.empty
    assert len(few.matched) == 8
    assert message(few, "billing_low_match").endswith("that is below 90.0 %, so no node is priced by it")


def test_f29_history_without_nodes_or_ids(read) -> None:
    assert codes(read(both(), focus.nodes())) == ["billing_no_nodes"]
    for cluster in ("", "shop"):
        assert codes(read(both(), focus.nodes(node("n1", "")), cluster=cluster)) == ["billing_no_ids"]


def test_f29_an_export_without_computers(read) -> None:
    assert codes(read([charge(ServiceCategory="Storage")])) == ["billing_no_hours"]
    assert codes(read([charge(PricingUnit="GB")])) == ["billing_no_hours"]


def test_f29_two_currencies_of_our_nodes_are_refused(read) -> None:
    rows = hourly(24) + hourly(24, ResourceId="i-b", BillingCurrency="EUR")
    with pytest.raises(UsageError, match=r"in two currencies \(24 rows in USD, 24 rows in EUR\)"):
        read(rows)
    foreign = (
        both() + hourly(24, 99.0, ResourceId="i-x", BillingCurrency="JPY") + [charge(1, -9, ChargeCategory="Credit", BillingCurrency="JPY")]
    )
    billing = read(foreign)  # another account's money is no reason to stop, and in no sum
    assert (billing.currency, billing.cost_match_rate, billing.credits) == ("USD", pytest.approx(1.0), 0.0)
    assert "billed in JPY; they are left out of every sum" in message(billing, "billing_other_currency")


def test_f29_a_currency_column_that_is_none(read) -> None:
    rows = [charge(1, BillingCurrency=f"x{n}", ResourceId="i-x") for n in range(600)]
    with pytest.raises(UsageError, match="BillingCurrency holds hundreds of different texts"):
        read([*rows, *rows], chunk=20_000)


def test_f29_a_bill_in_another_currency_than_the_report_is_refused(read) -> None:
    assert read(both(), currency="USD").currency == "USD"
    with pytest.raises(UsageError, match="in USD and the report is in EUR"):
        read(both(), currency="EUR")


def test_f29_identical_rows_are_added_and_named(read) -> None:
    billing = read([*both(), charge(7), charge(7)])
    assert billing.frame["cost"].tolist() == pytest.approx([2.6, 2.4])
    assert "2 rows repeat a row of their file, the first of i-a" in message(billing, "billing_identical")


def test_f29_files_that_overlap(tmp_path: Path) -> None:
    focus.write(tmp_path / "out" / "1.csv", both(hours=16))
    focus.write(tmp_path / "out" / "2.csv.gz", both())
    focus.write(tmp_path / "out" / "3.parquet", both())
    billing = read_billed(tmp_path / "out", TWO, focus.window())
    assert billing.frame["cost"].tolist() == pytest.approx([2.4, 2.4])
    assert message(billing, "billing_delivered_twice") == "out: 80 rows are in more than one file of the folder; each is counted once"
    assert "billing_identical" not in codes(billing)


def test_f29_a_restated_export_beside_the_old_one_is_refused(tmp_path: Path) -> None:
    focus.write(tmp_path / "out" / "1.csv", both(0.10))
    focus.write(tmp_path / "out" / "2.csv", both(0.12))
    with pytest.raises(
        UsageError, match=r"2\.csv has 48 charges of resources and hours that another file of the folder has with other amounts"
    ):
        read_billed(tmp_path / "out", TWO, focus.window())
    focus.write(tmp_path / "out" / "2.csv", [charge(3, 0.02)])  # one hour in two parts may be right
    billing = read_billed(tmp_path / "out", TWO, focus.window())
    assert billing.frame["cost"].tolist() == pytest.approx([2.42, 2.4])
    assert "1 charges are in more than one file" in message(billing, "billing_restated")


def test_f29_effective_cost_that_means_nothing(read) -> None:
    rows = [row | {"EffectiveCost": "0"} for row in both()]
    billing = read(rows)
    assert billing.basis == "BilledCost"
    assert billing.frame["cost"].tolist() == pytest.approx([2.4, 2.4])
    assert message(billing, "billing_basis") == (
        "focus.csv: EffectiveCost adds up to 0.00 where BilledCost is 4.80; BilledCost is used for every row"
    )
    bought = read([*rows, charge(0, 50.0, ChargeCategory="Purchase", CommitmentDiscountId="sp-1") | {"EffectiveCost": "0"}])
    assert bought.basis == "EffectiveCost"
    assert bought.frame.empty
    assert "EffectiveCost is used, with doubt" in message(bought, "billing_basis")
    assert "billing_free" in codes(bought)  # and no price of 0


def test_names_of_files_are_hostile(tmp_path: Path) -> None:
    path = focus.write(tmp_path / "a\x1b[31m.csv", both())
    assert "a\\x1b[31m.csv" in read_billed(path, TWO, focus.window()).source


def sample_by_hand() -> tuple[dict[str, float], int, int, float]:
    """By the csv module alone: billed cost of each instance in hours, billed rows, those without EffectiveCost, credits."""
    cost: dict[str, float] = defaultdict(float)
    charged = without = 0
    apart = 0.0
    with gzip.open(SAMPLE, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            billed = float(row["BilledCost"])
            if row["ChargeCategory"] == "Usage" and billed > 0:
                charged, without = charged + 1, without + (float(row["EffectiveCost"]) == 0)
            if row["ChargeCategory"] in ("Credit", "Adjustment"):
                apart += billed
            if row["ServiceCategory"] == "Compute" and row["ResourceId"].startswith("i-") and row["PricingUnit"] == "Hours":
                cost[row["ResourceId"]] += billed
    return cost, charged, without, apart


@pytest.mark.skipif(not SAMPLE.is_file(), reason="the official FOCUS sample is not here")
def test_the_gate_trips_on_the_official_sample() -> None:
    cost, charged, without, apart = sample_by_hand()
    assert (len(cost), charged, without) == (26, 656, 608)
    window = Window(datetime(2024, 9, 1, tzinfo=UTC), datetime(2024, 10, 1, tzinfo=UTC))
    life = {"first_seen": pd.Timestamp(window.start), "last_seen": pd.Timestamp(window.end)}
    nodes = [blank(NODES) | life | {"node": name, "provider_id": f"aws:///us-west-2a/{name}"} for name in cost]
    billing = read_billed(SAMPLE, check(pd.DataFrame(nodes), NODES), window)
    assert billing.basis == "BilledCost"
    assert "13 of 23 billed charges have an EffectiveCost of 0" in message(billing, "billing_basis")
    assert billing.matched.set_index("node")["cost"].to_dict() == pytest.approx({name: paid for name, paid in cost.items() if paid})
    assert billing.matched["hours"].tolist() == [1.0] * 23  # one hour each: far below 90 % of a month
    assert billing.frame.empty
    assert "3 nodes are billed at nothing or less" in message(billing, "billing_free")
    assert billing.credits == pytest.approx(apart)


@pytest.mark.skipif(not SAMPLE.is_file(), reason="the official FOCUS sample is not here")
def test_the_gate_trips_for_two_machines_whose_own_amounts_look_right() -> None:
    # both have an EffectiveCost of 2.00 where 1.624 was billed: rounded, which only the rest of the file tells
    window = Window(datetime(2024, 9, 1, tzinfo=UTC), datetime(2024, 10, 1, tzinfo=UTC))
    life = {"first_seen": pd.Timestamp(window.start), "last_seen": pd.Timestamp(window.end)}
    names = ("i-006flle71l19b488a", "i-0834le5b437l856a8")
    nodes = check(pd.DataFrame([blank(NODES) | life | {"node": name, "provider_id": f"aws:///z/{name}"} for name in names]), NODES)
    billing = read_billed(SAMPLE, nodes, window)
    assert "608 of 656 billed rows of the export have an EffectiveCost of 0" in message(billing, "billing_basis")
    assert billing.matched["cost"].tolist() == pytest.approx([1.624, 1.624])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="needs the high-water mark that Linux keeps of a process")
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Ten times the rows of other machines: a file that is 65 MB longer, and no 40 MB more memory in the process that reads it."""
    # VmHWM and not ru_maxrss, which a child begins with at its parent's
    code = (
        "import sys; from pathlib import Path; from tests import focus; from aiops_analysis.workflows.billing import read_billed\n"
        "nodes = focus.nodes(focus.node('n', 'aws:///z/i-a'))\n"
        "read_billed(Path(sys.argv[1]), nodes, focus.window(), chunk=1 << 18)\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    head, rows = focus.text([*hourly(24), *(charge(n % 24, ResourceId=f"i-x{n}") for n in range(2000))]).split(b"\r\n", 1)
    peaks = []
    for times in (20, 200):
        path = tmp_path / f"{times}.csv"
        path.write_bytes(head + b"\r\n" + rows * times)
        done = subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True)
        peaks.append(int(done.stdout) / 1024)
    assert path.stat().st_size > 70e6
    assert peaks[1] - peaks[0] < 40
