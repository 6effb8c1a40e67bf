"""Prices of a cluster in a window: shares, the book, what is said loudly, one currency, and prices of rows by their pools."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from aiops_analysis.analysis.node_prices import node_prices, pool_rates
from aiops_analysis.analysis.savings import DEFAULT_PRICES, paper
from aiops_analysis.core.errors import UsageError
from aiops_analysis.core.pricing import OPENCOST, PriceList, PriceRow
from aiops_analysis.core.schema import FACTS, NODES, blank, check
from aiops_analysis.core.schema_money import BILLED
from aiops_analysis.core.units import GIB, MIB
from aiops_analysis.core.window import Window
from aiops_analysis.history.inventory import commit_frame
from aiops_analysis.history.store import Manifest, Store, open_store
from aiops_analysis.workflows.pricing import Priced, priced, unit_prices
from tests.frames import HOSTILE
from tests.test_savings import change, rows

DAY = date(2026, 11, 1)
START = datetime(2026, 11, 1, tzinfo=UTC)
WINDOW = Window.of_days(DAY, 1)


def node(name: str, kind: str = "m6i.large", hours: float = 24.0, **more: object) -> dict[str, object]:
    """A node of 4 cores and 16 GiB in the pool web."""
    about = {"node": name, "pool": "web", "instance_type": kind, "region": "us-east-1", "capacity_type": "on-demand"}
    sizes = {"cpu_capacity": 4.0, "memory_capacity": 16.0 * GIB}
    return blank(NODES) | about | sizes | {"first_seen": START, "last_seen": START + timedelta(hours=hours)} | more


def stored(folder: Path, *nodes: dict[str, object]) -> Store:
    store = open_store(folder, "prod")
    with store.lock():
        commit_frame(store, Manifest("nodes", DAY), check(pd.DataFrame(nodes, columns=list(NODES.columns)), NODES))
    return store


def sheet(*given: PriceRow, currency: str = "USD", warnings: tuple[str, ...] = (), **units: float) -> PriceList:
    return PriceList("price-sheet", "price sheet p.toml", currency, rows=given, warnings=warnings, **units)


def codes(found: Priced) -> list[object]:
    return [finding["code"] for finding in found.findings]


def message(found: Priced, code: str) -> str:
    return next(str(finding["message"]) for finding in found.findings if finding["code"] == code)


@dataclass(frozen=True)
class Bill:
    """What a reader of bills returns."""

    frame: pd.DataFrame
    match_rate: float = 1.0
    currency: str = "USD"
    source: str = "billing export f.csv"
    findings: tuple[dict[str, object], ...] = field(default=({"code": "bill", "message": "read", "data": {}},))


def billed(**prices: float) -> pd.DataFrame:
    rows = [
        {"node": n, "cost": p * 24, "hours": 24.0, "price_hour": p, "resource_id": n, "matched_by": "instance id"}
        for n, p in prices.items()
    ]
    return check(pd.DataFrame(rows, columns=list(BILLED.columns)), BILLED)


class Reader:
    """Remembers how it was asked."""

    def __init__(self, bill: Bill) -> None:
        self.bill, self.asked = bill, []

    def __call__(self, path: Path, nodes: pd.DataFrame, window: Window, **more: object) -> Bill:
        self.asked.append((path.name, len(nodes), window, more))
        return self.bill


def test_default_prices_alone(tmp_path: Path) -> None:
    found = priced(stored(tmp_path, node("a"), node("b")), WINDOW)
    assert found.findings == ()
    assert found.shares == {"default": 1.0}
    assert (found.book.name, found.book.source, found.currency) == (DEFAULT_PRICES.name, DEFAULT_PRICES.source, "USD")
    assert (found.book.cpu_hour, found.book.memory_hour) == (pytest.approx(0.031611), pytest.approx(0.004237))
    assert found.notes[0] == f"Of the node hours 100 % by default prices are priced. Source: {OPENCOST.source}."
    assert found.figures["priced_by_default"] == 1.0


def test_the_book_is_the_mean_over_what_the_nodes_have_and_how_long(tmp_path: Path) -> None:
    # a for 24 h at 0.192, b for 8 h at the default 0.194236: cores 24 x 4 x 0.0312471 + 8 x 4 x 0.031611 over 128 core hours
    found = priced(stored(tmp_path, node("a"), node("b", "other", hours=8)), WINDOW, sheet(PriceRow(0.192, "m6i.large")))
    assert found.book.cpu_hour == pytest.approx((96 * 0.0312471 + 32 * 0.031611) / 128, abs=1e-7)
    assert found.book.source == f"price sheet p.toml for 75 %, {OPENCOST.source} for 25 % of the node hours"
    assert found.shares == {"sheet": 0.75, "default": 0.25}
    said = "only 75 % of the node hours match price sheet p.toml; it has no row for other, us-east-1, on-demand, pool web"
    assert message(found, "few_nodes_matched") == said
    assert list(found.rates["pool"]) == ["web"]


def test_f29_no_node_matches_is_said_loudly(tmp_path: Path) -> None:
    store = stored(tmp_path, node("a"))
    found = priced(store, WINDOW, sheet(PriceRow(0.2, "m7i.large")))
    assert message(found, "no_node_matches").startswith(
        "NO NODE MATCHES price sheet p.toml: none of its 1 rows is for m6i.large, us-east-1"
    )
    assert message(found, "no_node_matches").endswith("default prices are used instead")
    assert found.book.name == OPENCOST.name
    euros = priced(store, WINDOW, sheet(PriceRow(0.2, "m7i.large"), currency="EUR"))
    assert message(euros, "no_node_matches").endswith("no money is shown")
    assert codes(euros) == ["no_node_matches", "nodes_without_price"]
    assert (math.isnan(euros.book.cpu_hour), euros.currency) == (True, "EUR")
    assert math.isnan(euros.book.unit_price("cpu"))  # never 0


def test_f29_nodes_without_a_price_are_named_and_no_money_is_shown_for_them(tmp_path: Path) -> None:
    store = stored(tmp_path, node("a"), node("b", "other", pool="new"))
    found = priced(store, WINDOW, sheet(PriceRow(0.2, "m6i.large"), currency="EUR"))
    assert found.shares == {"sheet": 0.5, "": 0.5}
    said = "50 % of the node hours have no price and no money is shown for them: other, us-east-1, on-demand, pool new"
    assert message(found, "nodes_without_price") == said
    assert found.book.cpu_hour > 0
    assert found.rates.set_index("pool")["cpu_hour"].isna().to_dict() == {"new": True, "web": False}


def test_f29_a_second_currency_is_refused(tmp_path: Path) -> None:
    store = stored(tmp_path, node("a"))
    with pytest.raises(UsageError, match="is in USD, the report in EUR; a report has one currency"):
        priced(store, WINDOW, currency="EUR")
    euros = Reader(Bill(billed(a=0.1), currency="EUR"))
    with pytest.raises(UsageError, match=r"the billing export f.csv is in EUR, price sheet p.toml in USD; a report has one currency"):
        priced(store, WINDOW, sheet(PriceRow(0.2, "m6i.large")), Path("f.csv"), read=euros)
    # nobody chose the default prices: a bill in another currency speaks alone, and what it leaves out has no price
    two = stored(tmp_path / "two", node("a"), node("b"))
    found = priced(two, WINDOW, billing=Path("f.csv"), read=euros)
    assert (found.currency, found.shares) == ("EUR", {"billing": 0.5, "": 0.5})
    assert priced(two, WINDOW, billing=Path("f.csv"), currency="EUR", read=euros).currency == "EUR"


def test_a_bill_beats_the_sheet_and_says_its_match_rate(tmp_path: Path) -> None:
    reader = Reader(Bill(billed(a=0.1), match_rate=0.95))
    found = priced(stored(tmp_path, node("a"), node("b")), WINDOW, sheet(PriceRow(0.2, "m6i.large")), Path("dir/f.csv"), read=reader)
    assert list(found.nodes["price_hour"]) == [0.1, 0.2]
    assert list(found.nodes["source"]) == ["billing export f.csv", "price sheet p.toml"]
    assert codes(found) == ["bill"]
    assert "The billing export matches 95 % of the node hours." in found.notes
    assert reader.asked == [("f.csv", 2, WINDOW, {"currency": "USD", "cluster": "prod"})]


def test_f29_a_bill_of_another_period_or_account_leaves_the_sheet(tmp_path: Path) -> None:
    reader = Reader(Bill(billed(), match_rate=math.nan, currency=""))
    found = priced(stored(tmp_path, node("a")), WINDOW, billing=Path("f.csv"), read=reader)
    assert found.shares == {"default": 1.0}
    assert "The billing export matches none of the node hours." in found.notes


def test_what_must_be_known_of_the_nodes_is_said(tmp_path: Path) -> None:
    unsized = node("c", cpu_capacity=math.nan)
    nodes = [node("a", capacity_type=""), node("b", capacity_type="spot"), unsized, node("d", "c2d-standard-112", cpu_capacity=56.0)]
    given = sheet(PriceRow(0.2, "m6i.large", capacity_type="on-demand"), warnings=("no region",), cpu_hour=0.03, memory_hour=0.004)
    found = priced(stored(tmp_path, *nodes), WINDOW, given)
    wanted = ["price_list", "spot_as_on_demand", "capacity_type_unknown", "node_size_unknown", "core_difference"]
    assert codes(found) == wanted
    assert message(found, "core_difference").startswith("1 nodes of type c2d-standard-112 report 56 cores, the type is sold with 112")


def test_a_history_without_nodes_has_the_unit_prices(tmp_path: Path) -> None:
    found = priced(open_store(tmp_path, "prod"), WINDOW)
    assert (found.book, codes(found), found.shares) == (DEFAULT_PRICES, ["no_nodes"], {})
    assert "knows no nodes" in found.notes[0]
    assert math.isnan(priced(open_store(tmp_path, "prod"), WINDOW, sheet(PriceRow(1.0, "x"), currency="EUR")).book.cpu_hour)


def test_hostile_names_stay_on_one_line(tmp_path: Path) -> None:
    nodes = [node(f"n{i}", text, pool=text, region=text) for i, text in enumerate(HOSTILE)]
    found = priced(stored(tmp_path, *nodes), WINDOW, sheet(PriceRow(1.0, "x")))
    for finding in found.findings:
        assert "\x00" not in str(finding["message"])
        assert "\u202e" not in str(finding["message"])
        assert len(str(finding["message"])) < 3000


def test_commitments_come_with_the_prices(tmp_path: Path) -> None:
    until = date(2027, 1, 1)
    row = PriceRow(0.2, "m6i.large", committed_nodes=2, committed_until=until)
    assert priced(stored(tmp_path, node("a")), WINDOW, sheet(row)).commitments == {"web": (2, until)}


def facts(*given: tuple[str, list[tuple[str, int]]]) -> pd.DataFrame:
    seen = {"first_seen": START, "last_rollout": START}
    made = [
        blank(FACTS) | seen | {"namespace": "shop", "workload_kind": "Deployment", "workload": w, "container": "app", "pools": p}
        for w, p in given
    ]
    return check(pd.DataFrame(made, columns=list(FACTS.columns)), FACTS)


def test_rows_are_priced_by_the_pools_that_they_run_in() -> None:
    rates = pd.DataFrame(
        {
            "pool": ["web", "spot", "new"],
            "cpu_hour": [0.04, 0.01, math.nan],
            "memory_hour": [0.004, 0.001, math.nan],
            "source": ["", "", ""],
        }
    )
    given = facts(
        ("one", [("web", 2)]),
        ("both", [("spot", 1), ("web", 3)]),
        ("half", [("new", 1), ("web", 1)]),
        ("none", [("new", 1)]),
        ("lost", [("", 2)]),
    )
    unit = unit_prices(given, rates, DEFAULT_PRICES)
    cpu = {key[2]: value for key, value in unit.items() if key[-1] == "cpu"}
    # both: (1 x 0.01 + 3 x 0.04) / 4; a pod in a pool without a price takes the mean of the others; without a known pool the book's
    assert cpu["one"] == 0.04
    assert cpu["both"] == pytest.approx(0.0325)
    assert cpu["half"] == 0.04
    assert math.isnan(cpu["none"])
    assert cpu["lost"] == DEFAULT_PRICES.cpu_hour

    place = {"namespace": "shop", "workload_kind": "Deployment", "container": "app"}
    recommended = rows(*(change(0.5, 0.1, workload=w, **place) for w in ("one", "none", "elsewhere")))
    got = paper(recommended, DEFAULT_PRICES, unit).set_index("workload")
    assert got.loc["one", "paper"] == pytest.approx(0.4 * 0.04 * 730)
    assert math.isnan(got.loc["none", "paper"])
    assert [reason.message for reason in got.loc["none", "reasons"]] == ["Nothing prices the nodes it runs on: no money is shown."]
    assert got.loc["elsewhere", "paper"] == pytest.approx(0.4 * 0.031611 * 730)


def test_the_guides_container_at_the_default_prices(tmp_path: Path) -> None:
    # 500m/1Gi: 14.63 a month; 100m/256Mi: 3.08 (methods.md B3)
    found = priced(stored(tmp_path, node("a")), WINDOW)
    pools = [("web", 1)]
    unit = unit_prices(facts(("w0", pools), ("w1", pools)), found.rates, found.book)
    place = {"namespace": "shop", "workload_kind": "Deployment", "container": "app"}
    got = paper(rows(change(0.5, 0.1, **place), change(GIB, 256 * MIB, resource="memory", **place)), found.book, unit)
    assert got["request_cost"].sum() == pytest.approx(14.63, abs=0.005)
    assert got["request_cost"].sum() - got["paper"].sum() == pytest.approx(3.08, abs=0.005)


def test_a_node_that_tells_only_what_is_allocatable_has_a_price_by_that() -> None:
    """Without kube_node_status_capacity: 4 cores x 0.031611 + 16 GiB x 0.004237 of what pods can get, an hour."""
    node = {**blank(NODES), "node": "n1", "pool": "p", "cpu_allocatable": 4.0, "memory_allocatable": 16.0 * 2**30}
    frame = check(pd.DataFrame([{**node, "first_seen": START, "last_seen": START + timedelta(days=1)}]), NODES)
    table = node_prices(frame, OPENCOST)
    assert table["price_hour"].tolist() == pytest.approx([4 * 0.031611 + 16 * 0.004237])
    rates = pool_rates(table, frame)
    assert rates[["cpu_hour", "memory_hour"]].iloc[0].tolist() == pytest.approx([0.031611, 0.004237])
