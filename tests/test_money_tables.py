"""The tables and charts of money and nodes: what they say, in words a reader can check, and that no name gets out of its cell."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pandas as pd
import pytest

from aiops_analysis.core.contract import empty
from aiops_analysis.core.schema_money import BLOCKERS, BRIDGE, LEDGER, MIXES, NEXT_NODES, PACKING, SAVINGS
from aiops_analysis.presentation import charts, tables
from tests import money_frames as made

HOSTILE = "<script>alert(1)</script>\u202e$x$"


class _Texts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def words(table: tables.Table) -> str:
    parser = _Texts()
    parser.feed(str(table.html))
    return re.sub(r"\s+", " ", " ".join(parser.words).replace("\xa0", " "))


def everything(word: str = "") -> list[tables.Table]:
    return [
        tables.savings(made.savings()),
        tables.ledger(made.ledger(word)),
        tables.bridge(made.bridge(word), "two periods", "USD"),
        tables.costs(made.costs(word), ["namespace"], "USD"),
        tables.pool_costs(made.pools(word), "USD"),
        tables.matrix(made.matrix(word), "USD"),
        tables.packing(made.packing(word), "USD"),
        tables.next_nodes(made.next_nodes(word), "USD"),
        tables.blockers(made.blockers(word)),
        tables.mixes(made.mixes(word), "USD"),
    ]


def test_the_three_numbers_stand_apart_each_with_its_source_and_condition() -> None:
    said = words(tables.savings(made.savings()))
    for part in ("Paper", "412.50", "Bankable", "115.90", "Realised", "74.20", made.SOURCE, "takes one node away"):
        assert part in said
    assert "602.60" not in said, "they are never added"


def test_what_was_not_measured_is_words_and_never_zero() -> None:
    said = words(tables.ledger(made.ledger()))
    assert "not applied" in said
    assert "85.80" in said
    row = next(part for part in str(tables.ledger(made.ledger()).html).split("<tr") if "todo/backend" in part)
    assert ">0.00<" not in row


def test_a_pool_says_what_limits_it_and_what_is_paid_anyway() -> None:
    said = words(tables.packing(made.packing(), "USD"))
    for part in ("4 → 3", "grade low", "40.00 is paid until 30 June 2027", "Cluster Autoscaler takes nodes away", "disruption budgets"):
        assert part in said


def test_the_next_node_says_whether_a_smaller_set_exists() -> None:
    said = words(tables.next_nodes(made.next_nodes(), "USD"))
    assert "todo/backend, todo/frontend no smaller set does" in said
    assert "greedy; fewer than 2 cannot" in said


def test_risks_have_no_price_in_the_matrix() -> None:
    said = words(tables.matrix(made.matrix(), "USD"))
    assert said.index("Do first") < said.index("checkout") < said.index("risk") < said.index("31.20") < said.index("Plan")


def test_hostile_names_stay_text_in_tables_and_charts() -> None:
    for table in everything(HOSTILE):
        parser = _Texts()
        parser.feed(str(table.html))
        assert "script" not in parser.tags
        assert "\u202e" not in str(table.html)
    for picture in (charts.bridge(made.bridge(HOSTILE), "USD", HOSTILE), charts.node_pools(made.packing(HOSTILE))):
        assert "<script" not in picture.svg
    assert "\u202e" not in charts.node_pools(made.packing(HOSTILE)).svg


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (tables.savings(empty(SAVINGS)), "no price is known"),
        (tables.ledger(empty(LEDGER)), "nothing was promised"),
        (tables.bridge(empty(BRIDGE), "No earlier days are stored."), "No earlier days are stored."),
        (tables.costs(made.costs().iloc[:0], ["namespace"]), "No cost can be computed"),
        (tables.pool_costs(made.pools().iloc[:0]), "nothing can be said"),
        (tables.matrix(made.matrix().iloc[:0]), "Nothing is to be done"),
        (tables.packing(empty(PACKING)), "cannot be computed from requests alone"),
        (tables.next_nodes(empty(NEXT_NODES)), "frees a node"),
        (tables.blockers(empty(BLOCKERS)), "keeps a node"),
        (tables.mixes(empty(MIXES)), "no other machines"),
    ],
)
def test_nothing_to_show_is_said_in_words(table: tables.Table, said: str) -> None:
    assert said in words(table)


def test_the_chart_of_the_three_numbers_keeps_what_is_open_from_what_was_decided() -> None:
    alt = charts.three_numbers(made.FIGURES).alt.replace("\xa0", " ")
    assert "still open: paper 412.50 USD, bankable 115.90 USD, if the pools are shrunk 231.80 USD" in alt
    assert "were applied: promised on paper 160.00 USD, realised 74.20 USD" in alt
    unknown = charts.three_numbers({"currency": "USD", "paper_month": 5.0, "bankable_month": None}).alt
    assert "bankable not known yet" in unknown
    assert "applied" not in unknown


def test_the_bridge_says_its_largest_causes_and_none_without_two_periods() -> None:
    alt = charts.bridge(made.bridge(), "USD", "Two periods.").alt.replace("\xa0", " ")
    assert "400.00 USD before, 370.00 USD after; largest: requests −61.00 USD, new workloads +22.00 USD, replicas +12.00 USD" in alt
    assert "no earlier period" in charts.bridge(empty(BRIDGE)).alt


def test_drawing_twice_gives_the_same_bytes_and_changes_no_frame() -> None:
    frames = {"packing": made.packing(), "bridge": made.bridge()}
    kept = {name: frame.copy(deep=True) for name, frame in frames.items()}
    assert charts.node_pools(frames["packing"]).svg == charts.node_pools(frames["packing"]).svg
    assert charts.bridge(frames["bridge"], "USD").svg == charts.bridge(frames["bridge"], "USD").svg
    for name, frame in frames.items():
        pd.testing.assert_frame_equal(frame, kept[name])


def test_a_mix_stands_beside_the_same_machines_or_says_why_there_is_none() -> None:
    said = words(tables.mixes(made.mixes(), "USD"))
    assert "231.80 1 x m6i.xlarge 139.80 120.50" in said
    assert "no type is large enough" in said


def test_the_cards_say_what_is_paid_anyway_and_what_nobody_takes_away() -> None:
    figures = {**made.FIGURES, "nodes_freed": 2, "nodes_now": 9, "committed_month": 40.0, "decisions_accepted": 2, "decisions_measured": 1}
    said = words(tables.headline(figures))
    assert "2 of 9 nodes can go" in said
    assert "40.00 USD of freed nodes is paid for all the same" in said
    assert "231.80 USD if someone shrinks the pools" in said
    assert "Of 160.00 USD that 1 applied decision promised" in said
    unknown = words(tables.headline({"currency": "USD", "bankable_month": None, "realised_month": None}))
    assert unknown.count("not known") >= 2
    assert "0.00" not in unknown
