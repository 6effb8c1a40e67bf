"""Rows that open to their series, rows of autoscalers, jobs and decisions, and how many rows a page holds."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pandas as pd
import pytest

from aiops_analysis.presentation import charts, tables
from aiops_analysis.presentation.folded import further
from aiops_analysis.presentation.series import Level, Marks, series
from tests import frames, report_kinds
from tests.frames import NAN
from tests.report_kinds import EVENTS, UNTIL


class Cells(HTMLParser):
    """The text of every row of a table, cell by cell, and of every folded part."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(markup)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag in ("small", "dd", "p", "li", "summary"):
            self.handle_data(" ")

    def handle_data(self, data):
        self.text += data.replace("\xa0", " ")
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.replace("\xa0", " ")

    def of(self, workload: str, resource: str) -> list[str]:
        return next(row for row in self.rows if len(row) > 3 and row[1].split(" ")[0] == workload and row[2] == resource)


def shown(table: tables.Table) -> Cells:
    return Cells(str(table.html))


def everything() -> Cells:
    recs = report_kinds.recommendations()
    return shown(tables.recommendations(recs, events=report_kinds.events(), window=frames.window(), until=UNTIL))


def opened(workload: str, resource: str, table: tables.Table) -> str:
    """The folded part of one row as markup."""
    return next(
        part
        for part in re.findall(r'<details class="row">.*?</details>', str(table.html).replace("\xa0", " "))
        if f" of {workload}, {resource}</summary>" in part
    )


def drawing(markup: str) -> ET.Element:
    return ET.fromstring(
        markup[markup.index('<svg class="series"') if '<svg class="series"' in markup else markup.index("<svg ") :].split("</svg>")[0]
        + "</svg>"
    )


def texts(picture: ET.Element) -> list[str]:
    return [element.text or "" for element in picture.iter() if element.tag.endswith("text")]


def test_a_series_has_gaps_levels_and_marks_at_their_days() -> None:
    levels = [Level("now", 4.0, "request now 4"), Level("new", 2.0, "recommended 2"), Level("p95", 1.0, "P95 1")]
    picture = ET.fromstring(series([1.0, 2.0, NAN, 4.0], levels, [Marks("1 rollout", (1, 7))], ("a", "b"), "said"))
    # 268 x 104 with edges of 3 and 8: x = 3 + i x 262/3, y = 104 - v/4 x 96
    lines = [element.get("points") for element in picture.iter() if element.tag.endswith("polyline")]
    assert lines == ["3.0,80.0 90.3,56.0", "265.0,8.0 265.0,8.0"]
    levelled = {e.get("class"): e.get("y1") for e in picture.iter() if e.tag.endswith("}line") and e.get("class") != "series-axis"}
    assert levelled == {"series-now": "8.0", "series-new": "56.0", "series-p95": "80.0"}
    assert texts(picture) == ["request now 4", "recommended 2", "P95 1", "1 rollout", "a", "b"]
    (marks,) = [element.get("d") for element in picture.iter() if element.get("class") == "series-marks"]
    assert marks == "M90.3 107v8"  # the day 7 is not in a series of four
    assert (picture.get("role"), picture.get("aria-label")) == ("img", "said")


@pytest.mark.parametrize(
    ("values", "expected"),
    [((4.0, 4.0), ["12.0", "24.0"]), ((0.0, 0.0), ["96.0", "108.0"]), ((4.0, 2.0), ["12.0", "60.0"])],
    ids=["both at the top", "both at the bottom", "apart"],
)
def test_labels_of_levels_never_cover_each_other(values: tuple[float, float], expected: list[str]) -> None:
    picture = ET.fromstring(series([4.0], [Level("now", values[0], "x"), Level("p95", values[1], "y")], [], ("", ""), "said"))
    assert [e.get("y") for e in picture.iter() if e.tag.endswith("text") and e.text] == expected


def test_a_series_without_values_is_a_frame_only() -> None:
    picture = ET.fromstring(series([NAN, NAN], [Level("now", NAN, "x")], [], ("a", "b"), "said"))
    assert texts(picture) == ["a", "b"]
    assert not [e for e in picture.iter() if e.tag.endswith("polyline")]


def test_a_row_opens_to_its_days_levels_events_and_numbers() -> None:
    recs = report_kinds.recommendations()
    part = opened("search", "memory", tables.recommendations(recs, events=report_kinds.events(), window=frames.window()))
    assert "28 days, 4 kills for memory, 3 restarts of search, memory" in part
    picture = drawing(part)
    assert texts(picture)[:3] == ["recommended 512 MiB", "request now 256 MiB", "P95 250 MiB"]
    assert texts(picture)[3:] == ["4 kills for memory", "3 restarts", "4 October 2026", "31 October 2026"]
    # 8 October is day 4 of the window, 11 October day 7: 3 + i x 262/27
    marks = [element.get("d") for element in picture.iter() if element.get("class") == "series-marks"]
    assert marks == ["M41.8 107v8 M70.9 107v8", "M41.8 119v8"]
    said = picture.get("aria-label") or ""
    assert "1 day without samples" in said
    assert said.endswith("Kills for memory: 3 on 8 October 2026, 11 October 2026. Restarts: 3 on 8 October 2026.")
    words = Cells(f"<table><tr><td>{part}</td></tr></table>").text
    # 250 MiB is the P95; P50, P99, max and upper are 0.6, 1.2, 1.8 and 1.1 of it
    for number in ("P50 150 MiB", "P95 250 MiB", "P99 300 MiB", "Max 450 MiB", "Upper bound of the P95 275 MiB", "Completeness 99 %"):
        assert number in words
    for number in ("Grade high", "KRR-like 250 MiB", "VPA-like 288 MiB", "Plain rule 512 MiB", "Paper saving a month −1.50 USD"):
        assert number in words


def test_what_is_rarely_set_is_named_where_it_is_set() -> None:
    table = tables.recommendations(report_kinds.recommendations())
    for workload, words in {
        "backend": ("P95 in business hours</dt><dd>70m", "Last run recommended</dt><dd>150m", "Takes effect</dt><dd>in place"),
        "web": ("Autoscaler</dt><dd>web", "Its target</dt><dd>70 % → 90 %", "Since the last run</dt><dd>reversed"),
        "nightly": ("Runs</dt><dd>12",),
        "agent": ("Pool that decided</dt><dd>gpu-pool",),
    }.items():
        part = opened(workload, "CPU", table)
        assert all(one in part for one in words), workload
    plain = opened("checkout", "CPU", table)
    for label in ("business", "Autoscaler", "target", "Runs", "Pool", "Takes effect", "last run"):
        assert label not in plain


def test_events_without_a_window_are_said_but_not_placed() -> None:
    recs = report_kinds.recommendations()
    part = opened("search", "memory", tables.recommendations(recs, events=report_kinds.events()))
    assert "series-marks" not in part
    assert "Kills for memory: 3 on 8 October 2026" in part
    assert texts(drawing(part))[-2:] == ["first day", "last day"]


def test_events_belong_to_their_container_and_resource() -> None:
    recs = report_kinds.recommendations()
    table = tables.recommendations(recs, events=report_kinds.events(), window=frames.window())
    assert "1 rollout, 1 decision" in opened("backend", "memory", table)  # of both resources
    assert "kills" not in opened("search", "CPU", table)
    assert "3 restarts" in opened("search", "CPU", table)
    assert opened("web", "CPU", table).count("series-marks") == 0


def test_many_days_of_one_kind_are_cut_in_words_and_marked_all() -> None:
    rows = [("shop", "Deployment", "search", "app", "", f"2026-10-{day:02d}", "restart", 1) for day in range(5, 25)]
    recs = report_kinds.recommendations()
    part = opened("search", "CPU", tables.recommendations(recs, events=pd.DataFrame(rows, columns=EVENTS), window=frames.window()))
    assert "12 October 2026 and on 12 more days." in part  # 5 to 12 October are eight, 20 there are
    assert part.count("v8") == 20


def test_an_autoscaler_and_its_request_are_one_change() -> None:
    assert everything().of("web", "CPU")[4].startswith("200m, target 70 % → 100m, target 90 %")


def test_a_job_says_of_how_many_runs_its_p95_is() -> None:
    cells = everything()
    assert cells.of("nightly", "CPU")[5] == "200m of 12 runs max 360m"
    assert cells.of("checkout", "CPU")[5] == "190m max 342m"


def test_what_changed_since_the_last_run_is_marked_and_the_rest_looks_as_before() -> None:
    cells = everything()
    assert cells.of("backend", "CPU")[3] == "▼ decrease high, resizable in place changed, was 150m"
    assert cells.of("web", "CPU")[3] == "▼ decrease high, resizable in place reversed, was 300m"
    assert cells.of("nightly", "CPU")[3] == "▼ decrease high new"
    assert cells.of("backend", "Memory")[3] == "▼ decrease high, restarts pods"
    assert cells.of("cache", "Memory")[3] == "= keep high"  # "same" is no news
    assert cells.of("checkout", "CPU")[3] == "▲ increase low"


def test_decided_rows_are_folded_apart_with_record_and_date() -> None:
    cells = everything()
    assert "Recommendations: 10 rows" in cells.text
    assert "Decided: kept quiet until 1 March 2027 (2 rows)" in cells.text
    assert ["ADR-0007, quiet until 1 March 2027 (2)"] in cells.rows
    recs = report_kinds.recommendations()
    quiet = shown(tables.recommendations(recs))
    assert "Decided: kept quiet by decision records (2 rows)" in quiet.text
    for table in (tables.under_provisioned(recs), tables.biggest(recs), tables.left_alone(recs)):
        assert "legacy" not in str(table.html)
    assert "legacy" not in charts.before_after(recs).svg + charts.under_provisioned(recs).svg


def test_habits_and_changes_by_kind() -> None:
    cells = shown(tables.habits(report_kinds.habits()))
    heads = [row[0] for row in cells.rows if len(row) == 1]
    assert heads == ["Abandoned: nothing seems to use it (1)", "Idle outside working hours (1)", "Much quieter at weekends (1)"]
    assert ["old-tool Deployment, app", "todo", "P99 CPU of 2m and no requests for 14 days.", "12.30"] in cells.rows
    assert cells.rows[-3][-1] == "–"  # a saving that is not known
    cells = shown(tables.stability(report_kinds.changes(), "20261101T060000Z"))
    assert [row[0] for row in cells.rows if len(row) == 1] == [
        "Turned round (1)",
        "Another number (1)",
        "Gone: only the last run had it (1)",
    ]
    assert ["gone Deployment, app", "shop", "Memory", "256 MiB → –", "It does not run any more."] in cells.rows


def test_no_habits_and_no_changes_are_a_sentence() -> None:
    for table in (tables.habits(report_kinds.habits().iloc[:0]), tables.stability(report_kinds.changes().iloc[:0], "20261101T060000Z")):
        assert "<table" not in str(table.html)
        assert shown(table).text.endswith(".")


def test_the_week_says_when_the_cluster_is_idle() -> None:
    picture = charts.week_profile(report_kinds.profile())
    alt = picture.alt.replace("\xa0", " ")
    # 4 cores in working hours, the first of them Monday 08:00; 1 core else, the last of them Sunday 23:00
    assert "CPU: busiest Monday 08:00 with 4.0 cores, quietest Sunday 23:00 with 1.0 cores (25 % of it); requested 10.0 cores." in alt
    assert "Memory: busiest Monday 00:00 with 9 GiB" in alt
    numbers = re.findall(r">(\d+)</text>", picture.svg)
    assert (numbers.count("100"), numbers.count("25")) == (50 + 167, 117)  # 7 x 24 - 1 hours; 5 x 10 of them busy
    assert charts.week_profile(report_kinds.profile().iloc[:0]).alt.endswith("No hour was measured.")


def test_f23_ten_thousand_rows_keep_a_line_each() -> None:
    recs = frames.large(10_000)
    table = tables.recommendations(recs, events=frames.events(recs), window=frames.window())
    assert len(table._repr_html_()) < 2_000_000  # what the runner keeps of one output
    assert str(table.html).count('<details class="row">') == 200
    full = str(table.html).count('class="spark"')
    lines = str(table.html).count("<tr><td>team-")  # a full row has its namespace in a bdi
    words = shown(table).text
    decided = int((recs["decided"] != "").sum())
    assert decided > 0
    quiet = re.search(r"([\d,]+) more rows, one line for each of ([\d,]+) containers", words)
    assert quiet is not None
    assert int(quiet[1].replace(",", "")) + full + decided == 10_000
    assert f"Recommendations: {10_000 - decided:,} rows" in words
    assert lines == int(quiet[2].replace(",", "")) > 4_800
    assert "more containers" not in words  # no container is left out
    raised = tables.under_provisioned(recs, events=frames.events(recs), window=frames.window())
    assert len(raised._repr_html_()) < 700_000
    assert re.search(r"[\d,]+ more rows are among the recommendations", shown(raised).text)


def test_a_line_of_the_list_says_what_stands_above_and_how_many_are_left_out() -> None:
    rows = [
        frames.recommendation("big", "memory", now=2**30, then=2**29, p95=2**28, paper=1.0),
        frames.recommendation("lone", "cpu", container="lone", change="undetermined", then=NAN, paper=NAN),
        frames.recommendation("lone", "memory", container="lone", now=NAN, then=2**29, paper=NAN, change="increase"),
        frames.recommendation("only", "cpu", now=0.2, then=0.2, paper=-0.5, change="keep"),
    ]
    above = [frames.recommendation("big", "cpu")]
    cells = Cells(further(rows, above, 10_000, "USD"))
    # a container with the name of its workload is not said twice
    assert cells.rows[1:] == [
        ["todo", "big Deployment, app", "above", "1 GiB → 512 MiB", "1.00"],
        [
            "todo",
            "lone Deployment",
            "500m, not sized",
            "not set → 512 MiB",
            "–",
        ],
        ["todo", "only Deployment, app", "200m", "–", "−0.50"],
    ]
    assert "4 more rows, one line for each of 3 containers" in cells.text
    cut = Cells(further(rows, above, 100, "USD"))
    assert len(cut.rows) == 2
    assert "2 more containers are in recommendations.csv beside this report." in cut.text
    assert further([], above, 100, "USD") == ""


@pytest.mark.parametrize("place", range(4))
def test_f41_f42_hostile_text_in_every_new_piece(place: int) -> None:
    bad = [text.encode("utf-8", "replace").decode() for text in frames.HOSTILE]
    recs = frames.hostile()
    named = recs.assign(hpa=bad, pool=bad, takes_effect=bad, stability=bad, hpa_target=70.0, hpa_target_new=80.0, runs=3)
    rows = [(text, text, text, text, "", "2026-10-08", "rollout", 1) for text in bad]
    rows += [(text, text, text, text, "", text, text, NAN) for text in bad]
    seen = {"events": pd.DataFrame(rows, columns=EVENTS), "window": frames.window()}
    change = recs.assign(before=1.0, now=2.0, stability=bad, message=bad)
    habit = recs.assign(finding=bad, message=bad, saving=1.0)
    table = [
        lambda: tables.recommendations(named, **seen),
        lambda: tables.recommendations(named.assign(decided=bad), until=dict.fromkeys(bad, bad[0])),
        lambda: tables.habits(habit),
        lambda: tables.stability(change, "20261101T060000Z"),
    ][place]()
    known = {"div", "style", "table", "caption", "thead", "tbody", "tr", "th", "td", "small", "bdi", "ul", "li", "strong", "svg", "p"}
    known |= {"details", "summary", "dl", "dt", "dd", "line", "polyline", "path", "g", "text"}
    parsed = Cells(table._repr_html_())
    assert {tag for tag, _ in parsed.tags} <= known
    assert not [name for _, attributes in parsed.tags for name in attributes if name.startswith("on")]
    assert "<script>" in parsed.text
    assert "a" * 500 not in parsed.text  # a name of 10,000 letters is cut
