"""Tables: what they say about literal rows, in plain HTML with captions, scopes and values to sort by."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from aiops_analysis.core.reasons import Code, Reason
from aiops_analysis.presentation import tables
from tests import frames

FIGURES = {
    "paper_month": 27.0,
    "request_cost_month": 120.5,
    "currency": "USD",
    "price_source": "OpenCost defaults",
    "cpu_overprovision": 0.53,
    "memory_overprovision": None,
    "containers_short": 2,
    "days_stored": 27,
    "window_days": 28,
    "completeness": 0.96,
    "grade_high": 31,
    "grade_medium": 14,
    "grade_low": 9,
    "grade_refused": 6,
}


class Elements(HTMLParser):
    """Every start tag with its attributes, and all text."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(markup)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def every_table(recs) -> list[tables.Table]:
    spaces = frames.namespaces(recs)
    return [
        tables.under_provisioned(recs),
        tables.recommendations(recs),
        tables.biggest(recs),
        tables.namespaces(spaces),
        tables.left_alone(recs),
        tables.quality(frames.day_rows()),
    ]


def words(table: tables.Table) -> str:
    return " ".join(Elements(str(table.html)).text.replace("\u00a0", " ").split())


def test_cards_say_the_figures() -> None:
    said = words(tables.headline(FIGURES))
    for part in ("27.00 USD", "OpenCost defaults", "CPU 53 %, memory not known", "2 containers", "27 of 28 days", "96 % complete"):
        assert part in said
    assert "31 high, 14 medium, 9 low, 6 refused" in said


def test_a_figure_that_is_not_known_is_never_zero() -> None:
    said = words(tables.headline(dict.fromkeys(FIGURES)))
    assert "not known" in said
    assert not re.search(r"\d", said.replace("P95", ""))


@pytest.mark.parametrize("place", range(6))
def test_every_table_has_caption_and_scopes(place: int) -> None:
    markup = str(every_table(frames.calm())[place].html)
    tags = Elements(markup).tags
    assert sum(tag == "table" for tag, _ in tags) == sum(tag == "caption" for tag, _ in tags) > 0
    assert all(attributes.get("scope") in ("col", "row", "rowgroup") for tag, attributes in tags if tag == "th")


def test_numbers_are_sorted_by_their_value_and_the_unknown_is_empty() -> None:
    recs = frames.recommendations(
        [frames.recommendation("api", "cpu", now=0.25, then=0.1, p95=0.05, paper=float("nan"), change="decrease")]
    )
    tags = Elements(str(tables.recommendations(recs).html)).tags
    values = [attributes["data-sort"] for tag, attributes in tags if tag == "td" and "number" in (attributes.get("class") or "")]
    assert "0.1" in values  # the recommended request, in cores
    assert "0.05" in values  # its P95
    assert "" in values  # the saving that is not known


def test_left_alone_names_the_first_reason_that_refuses() -> None:
    why = [Reason(Code.JVM, "It is Java."), Reason(Code.HPA_MANAGED, "An HPA scales it."), Reason(Code.JOB, "It is a job.")]
    row = frames.recommendation("api", "cpu", change="undetermined", grade="refused", reasons=why, enough_on="2026-11-05")
    kept = frames.recommendation("kept", "cpu", change="keep")
    said = words(tables.left_alone(frames.recommendations([row, kept])))
    assert "Scaled by a HorizontalPodAutoscaler (1)" in said
    assert "5 November 2026" in said
    assert "kept" not in said


def test_short_rows_that_hurt_come_first() -> None:
    hurt = [Reason(Code.UNDER_REQUESTED, "The P95 is above the request.")]
    rows = [
        frames.recommendation("roomy", "cpu", now=0.1, then=0.4, change="increase", reasons=[]),
        frames.recommendation("hurting", "cpu", now=0.1, then=0.2, change="increase", reasons=hurt),
    ]
    said = words(tables.under_provisioned(frames.recommendations(rows)))
    assert said.index("hurting") < said.index("roomy")
    assert "less room above the P95" in said


def test_empty_frames_are_one_plain_sentence() -> None:
    none = frames.recommendations([frames.recommendation("api", "cpu")]).iloc[:0]
    for table in (tables.under_provisioned(none), tables.biggest(none), tables.left_alone(none), tables.findings([])):
        assert words(table).endswith(".")
        assert "<table" not in str(table.html)


def test_a_huge_table_keeps_what_it_has_no_room_for_as_lines() -> None:
    why = [Reason(Code.SOME_MISSING, f"{place} " + "x" * 380) for place in range(20)]
    rows = [frames.recommendation(f"w{place}", "cpu", change="keep", reasons=why) for place in range(300)]
    shown = tables.recommendations(frames.recommendations(rows))
    assert len(shown.html) < 2_000_000
    left = re.search(r"(\d+) more rows, one line for each of (\d+) containers", words(shown))
    assert left is not None
    assert left[1] == left[2]
    assert str(shown.html).count('class="spark"') == 300 - int(left[1])
    assert str(shown.html).count("Deployment") == 300


@pytest.mark.parametrize("place", range(5))
def test_f41_hostile_names_are_text(place: int) -> None:
    shown = every_table(frames.hostile())[place]._repr_html_()
    known = {"div", "style", "table", "caption", "thead", "tbody", "tr", "th", "td", "small", "bdi", "ul", "li", "strong", "time", "svg"}
    parsed = Elements(shown)
    known |= {"details", "summary", "dl", "dt", "dd", "line", "polyline", "g", "text", "p"}
    assert {tag for tag, _ in parsed.tags} <= known
    assert not [name for _, attributes in parsed.tags for name in attributes if name.startswith("on")]
    assert "<svg onload=" in parsed.text or "<script>" in parsed.text
