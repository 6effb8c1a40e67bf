"""Tables of the report as plain, semantic HTML: caption, scope, values to sort by. They format; every number was computed before.

Own code: great_tables writes no ``<caption>``, no row scope, no ``data-sort``, and 10 kB of styles per table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from aiops_analysis.analysis.savings import DEFAULT_PRICES, PriceBook
from aiops_analysis.core.reasons import Code, refuses
from aiops_analysis.presentation import formats
from aiops_analysis.presentation.cells import (
    Column,
    Table,
    body,
    cell,
    daily_cell,
    measured_cell,
    move_cell,
    namespace_cell,
    number_cell,
    paper_cell,
    reasons_of,
    records,
    request_text,
    sentences,
    table,
    workload_cell,
)
from aiops_analysis.presentation.escape import Html, element, join, name, text
from aiops_analysis.presentation.headlines import headline_cards, method_facts, policy_facts

if TYPE_CHECKING:
    from aiops_analysis.workflows.review import Review

__all__ = [
    "Table",
    "biggest",
    "cards",
    "explanation",
    "findings",
    "headline",
    "left_alone",
    "method",
    "namespaces",
    "paragraph",
    "quality",
    "recommendations",
    "under_provisioned",
]

_CHANGES = {"decrease": "▼ decrease", "increase": "▲ increase", "keep": "= keep", "undetermined": "? not sized"}
_STATUS = {
    "complete": "whole",
    "incomplete": "has holes, asked again at the next pull",
    "final_with_holes": "has holes for good",
    "missing": "not stored",
}
_WRONG = (Code.OOM_KILLED, Code.CENSORED, Code.UNDER_REQUESTED, Code.THROTTLED, Code.UPPER_EXCEEDS_REQUEST, Code.PEAK_GUARD, Code.BURSTY)
_MOST = 200  # rows of one group; the table of recommendations has them all
_LARGEST = 1_500_000  # characters of rows; the runner leaves out an output of 2 MB
_GROUPS = {
    Code.HPA_MANAGED: "Scaled by a HorizontalPodAutoscaler",
    Code.SHORT_HISTORY: "History too short",
    Code.FEW_WEEKDAYS: "Too few weekdays seen",
    Code.NO_SAMPLES: "No usage measured",
    Code.LOW_COMPLETENESS: "Too many samples missing",
    Code.JOB: "Jobs, which are sized per run",
    Code.OUT_OF_SCOPE: "Out of scope",
    Code.GONE: "Does not run any more",
}


def paragraph(words: str) -> Table:
    """One or more plain paragraphs (an empty line parts them)."""
    return Table(join(element("p", {"class": "lead"}, part) for part in words.split("\n\n") if part.strip()), words[:80])


def cards(items: Sequence[tuple[str, str, str, str]]) -> Table:
    """Figures side by side: (label, value, note, tone), tone one of "", good, warn, bad.

    Raises ValueError for another tone.
    """
    cards = []
    for label, value, note, tone in items:
        if tone not in ("", "good", "warn", "bad"):
            raise ValueError(f"{tone!r} is not a tone; expected good, warn, bad or nothing")
        parts = (
            element("p", {"class": "label"}, label),
            element("p", {"class": f"value {tone}".strip()}, element("strong", None, value)),
            element("p", {"class": "note"}, note),
        )
        cards.append(element("div", None, *parts))
    return Table(element("div", {"class": "headline"}, *cards), "; ".join(f"{label}: {value}" for label, value, _, _ in items))


def headline(figures: Mapping[str, float | int | str | None]) -> Table:
    """The figures of a review that a reader takes away: paper saving, over-provisioning, shortage, data."""
    return cards(headline_cards(figures))


def findings(found: Sequence[Mapping[str, object]]) -> Table:
    """What a reader must know before trusting the numbers: each finding's ``message``."""
    if not found:
        return paragraph("Nothing stands out: every day of the window is stored and whole.")
    said = [str(one["message"])[:600] for one in found]
    items = (element("li", None, one[:1].upper() + one[1:] + ("" if one.endswith(".") else ".")) for one in said)
    return Table(element("ul", {"class": "findings"}, *items), formats.count(len(said), "finding", "findings"))


def under_provisioned(recs: pd.DataFrame) -> Table:
    """Containers that need more (RECOMMENDATIONS with change ``increase``): what is wrong, how much to add."""
    found = [row for row in records(recs) if row["change"] == "increase"]
    if not found:
        return paragraph("No container is short of CPU or memory in this window.")
    found.sort(key=lambda row: (not row["oom_kills"] > 0, not _hurts(row), -_growth(row), str(row["namespace"]), str(row["workload"])))
    columns = [
        Column("Namespace"),
        Column("Workload", note="kind, container"),
        Column("Resource"),
        Column("What is wrong"),
        Column("Request", True, "limit below; now → then"),
        Column("Add per pod", True),
        Column("Replicas", True),
        Column("P95", True),
        Column("Grade"),
    ]
    rows = [_short_row(row) for row in found]
    title = f"Requests to raise: {formats.count(len(found), 'row', 'rows')}"
    return Table(table(title, columns, [body(rows)], sortable=True), title)


def _hurts(row: Mapping[str, Any]) -> bool:
    """True when something is wrong already, and not only the room above the P95 is small."""
    return any(reason.code in (Code.UNDER_REQUESTED, Code.CENSORED, Code.OOM_KILLED) for reason in reasons_of(row))


def _growth(row: Mapping[str, Any]) -> float:
    """How many times the request grows, to put the worst first."""
    now, then = row["current_request"], row["guarded_request"]
    return then / now if formats.known(then) and formats.known(now) and now > 0 else 0.0


def _short_row(row: Mapping[str, Any]) -> list[Html]:
    resource = str(row["resource"])
    wrong = [reason for reason in reasons_of(row) if reason.code in _WRONG] or reasons_of(row)
    said = sentences(wrong) if wrong else "The request leaves less room above the P95 than the rule asks for."
    add = row["guarded_request"] - (row["current_request"] if formats.known(row["current_request"]) else 0.0)
    return [
        namespace_cell(row),
        workload_cell(row),
        cell(formats.resource_name(resource)),
        cell(said, kind="reasons"),
        move_cell(row),
        number_cell(("+" if add > 0 else "") + formats.amount(resource, add), add),
        number_cell(f"{row['replicas']:.3g}" if formats.known(row["replicas"]) else formats.UNKNOWN, row["replicas"]),
        measured_cell(row, "p95"),
        cell(row["grade"]),
    ]


def recommendations(recs: pd.DataFrame, prices: PriceBook = DEFAULT_PRICES) -> Table:
    """Every row of RECOMMENDATIONS, largest paper saving first, with the reasons in full."""
    found = records(
        recs.sort_values(["paper", "namespace", "workload", "container", "resource"], ascending=[False, *[True] * 4], na_position="last")
    )
    columns = [
        Column("Namespace"),
        Column("Workload", note="kind, container"),
        Column("Resource"),
        Column("Change", note="confidence"),
        Column("Request", True, "limit below; now → then"),
        Column("P95", True, "max below"),
        Column("Daily P95", note="dashed: request"),
        Column("Over", True, "1 − P95/request"),
        Column("Paper saving", True, f"{prices.currency} a month"),
        Column("Reasons"),
    ]
    title = f"Recommendations: {formats.count(len(found), 'row', 'rows')}"
    note = (
        "Below each saving: amount freed per pod × price of a unit for a month × mean replicas. A dash is not known, never zero. "
        f"Prices: {prices.source}."
    )
    return Table(table(title, columns, [*_as_many_as_fit(found, len(columns))], sortable=True, note=note), title)


def _as_many_as_fit(found: Sequence[Mapping[str, Any]], width: int) -> Iterator[Html]:
    """The rows, and below them how many stand in the file beside the report only."""
    rows: list[Html] = []
    size = 0
    for row in found:
        rows.append(element("tr", None, *_full_row(row)))
        size += len(rows[-1])
        if size > _LARGEST:
            break
    yield element("tbody", None, *rows)
    if left := len(found) - len(rows):
        said = f"{formats.count(left, 'more row is', 'more rows are')} in recommendations.csv beside this report."
        yield element("tbody", None, element("tr", None, element("td", {"colspan": width}, said)))


def _full_row(row: Mapping[str, Any]) -> list[Html]:
    change, resource = str(row["change"]), str(row["resource"])
    grade = element("small", None, str(row["grade"]))
    return [
        namespace_cell(row),
        workload_cell(row),
        cell(formats.resource_name(resource)),
        cell(_CHANGES.get(change, change), grade, sort=change, kind=f"change-{change}" if change in _CHANGES else ""),
        move_cell(row),
        number_cell(formats.amount(resource, row["p95"]), row["p95"], f"max {formats.amount(resource, row['max'])}"),
        daily_cell(row),
        number_cell(formats.share(row["overprovision"]), row["overprovision"]),
        paper_cell(row),
        cell(sentences(reasons_of(row)), kind="reasons"),
    ]


def biggest(recs: pd.DataFrame, prices: PriceBook = DEFAULT_PRICES, top: int = 8) -> Table:
    """Before and after of the largest paper savings, beside what other rules would say (plain rule, KRR-like, VPA-like)."""
    found = records(recs[recs["change"] == "decrease"].sort_values(["paper", "id"], ascending=[False, True]).head(top))
    if not found:
        return paragraph("No request is to be lowered in this window.")
    columns = [
        Column("Workload", note="kind, container"),
        Column("Namespace"),
        Column("Resource"),
        Column("Request now", True),
        Column("Recommended", True),
    ]
    columns += [
        Column("Plain rule", True),
        Column("KRR-like", True),
        Column("VPA-like", True),
        Column("Paper saving", True, f"{prices.currency} a month"),
    ]
    values = ("current_request", "guarded_request", "rule_request", "krr_request", "vpa_request")
    rows = [
        [
            workload_cell(row),
            namespace_cell(row),
            cell(formats.resource_name(str(row["resource"]))),
            *(measured_cell(row, v) for v in values),
            paper_cell(row),
        ]
        for row in found
    ]
    title = f"Before and after: the {formats.count(len(found), 'largest saving', 'largest savings')}"
    return Table(
        table(title, columns, [body(rows)], note="KRR-like and VPA-like are shown to compare; only 'recommended' is meant."), title
    )


def namespaces(frame: pd.DataFrame, prices: PriceBook = DEFAULT_PRICES) -> Table:
    """Over-provisioning by namespace and resource (``review.namespaces``)."""
    columns = [Column("Namespace"), Column("Resource"), Column("Requested", True), Column("P95 usage", True)]
    columns += [Column("Over-provisioned", True, "1 − P95/request"), Column("Paper saving", True, f"{prices.currency} a month")]
    rows = []
    for row in records(frame):
        resource = str(row["resource"])
        rows.append(
            [
                cell(element("bdi", None, name(row["namespace"])), head=True),
                cell(formats.resource_name(resource)),
                *(number_cell(formats.total(resource, row[column]), row[column]) for column in ("request", "p95")),
                number_cell(formats.share(row["overprovision"]), row["overprovision"]),
                number_cell(formats.money(row["paper"]), row["paper"]),
            ]
        )
    title = "Requests and P95 usage by namespace"
    return Table(table(title, columns, [body(rows)], sortable=True, note="Sums over containers and their mean replicas."), title)


def left_alone(recs: pd.DataFrame) -> Table:
    """Rows without a recommendation, grouped by the first reason that refuses one, with the date when there will be enough data."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in records(recs):
        if row["change"] == "undetermined" or row["grade"] == "refused":
            groups.setdefault(_group(row), []).append(row)
    if not groups:
        return paragraph("Nothing was left alone: every row has a recommendation.")
    columns = [
        Column("Workload", note="kind, container"),
        Column("Namespace"),
        Column("Resource"),
        Column("Request", True),
        Column("Why"),
        Column("Enough data on"),
    ]
    bodies = [_group_body(title, groups[title], len(columns)) for title in sorted(groups, key=lambda title: (-len(groups[title]), title))]
    rows = sum(len(group) for group in groups.values())
    title = f"Left alone: {formats.count(rows, 'row', 'rows')}, by reason"
    return Table(table(title, columns, bodies), title)


def _group(row: Mapping[str, Any]) -> str:
    first = next((reason.code for reason in reasons_of(row) if refuses(reason.code)), None)
    return "No recommendation" if first is None else _GROUPS.get(first, str(first).replace("_", " "))


def _group_body(title: str, rows: Sequence[Mapping[str, Any]], width: int) -> Html:
    head = element("th", {"scope": "rowgroup", "colspan": width, "class": "group"}, f"{title} ({len(rows):,})")
    lines = [element("tr", None, head)]
    for row in rows[:_MOST]:
        when = element("time", {"datetime": row["enough_on"]}, formats.day(str(row["enough_on"]))) if row["enough_on"] else formats.UNKNOWN
        cells = [
            workload_cell(row),
            namespace_cell(row),
            cell(formats.resource_name(str(row["resource"]))),
            cell(request_text(row, "current_request", "not set"), number=True),
        ]
        lines.append(element("tr", None, *cells, cell(sentences(reasons_of(row)), kind="reasons"), cell(when)))
    if len(rows) > _MOST:
        more = f"and {len(rows) - _MOST:,} more, in the table of recommendations"
        lines.append(element("tr", None, element("td", {"colspan": width}, more)))
    return element("tbody", None, *lines)


def quality(days: pd.DataFrame) -> Table:
    """Data quality (``review.days``): one row per metric, then every day that is not whole."""
    columns = [
        Column("Metric"),
        Column("Days stored", True),
        Column("Whole", True),
        Column("Completeness", True),
        Column("Lowest day", True),
    ]
    columns += [Column("Series", True, "most in a day"), Column("Left out", True, "impossible values")]
    rows = []
    for metric, part in days.groupby("metric", sort=False):
        stored, whole = int((part["status"] != "missing").sum()), int((part["status"] == "complete").sum())
        shares = [
            number_cell(formats.share(value), value) for value in (float(part["completeness"].mean()), float(part["completeness"].min()))
        ]
        counts = [number_cell(f"{int(value):,}", value) for value in (part["series"].max(), part["dropped"].sum())]
        of = [number_cell(f"{number} of {len(part)}", number) for number in (stored, whole)]
        rows.append([cell(formats.metric_name(str(metric)), head=True), *of, *shares, *counts])
    title = "Data quality by metric"
    return Table(join([table(title, columns, [body(rows)]), _not_whole(days)]), title)


def _not_whole(days: pd.DataFrame) -> Html:
    found = records(days[(days["status"] != "complete") | (days["completeness"] < 1) | (days["warnings"] != "")])
    if not found:
        return element("p", None, "Every day of every metric is whole.")
    rows = [
        [
            cell(element("time", {"datetime": row["day"]}, formats.day(str(row["day"]))), sort=row["day"], head=True),
            cell(formats.metric_name(str(row["metric"]))),
            cell(_STATUS.get(str(row["status"]), row["status"])),
            number_cell(formats.share(row["completeness"]), row["completeness"]),
            cell(text(str(row["warnings"])[:400])),
        ]
        for row in found
    ]
    columns = [Column("Day"), Column("Metric"), Column("State"), Column("Completeness", True), Column("The server warned")]
    return table(f"Days with holes or warnings: {formats.count(len(found), 'row', 'rows')}", columns, [body(rows)], sortable=True)


def method(review: Review) -> Table:
    """How a review was computed: its notes, window, source, prices, fingerprint, policy and query texts."""
    return explanation(method_facts(review), notes=review.notes, policy=policy_facts(review.policy.as_dict()), queries=review.queries)


def explanation(
    facts: Mapping[str, object],
    *,
    notes: Sequence[str] = (),
    policy: Mapping[str, object] | None = None,
    queries: Mapping[str, str] | None = None,
) -> Table:
    """Notes in sentences, then facts by label, policy values by setting, query texts by name."""
    parts = [element("ul", {"class": "findings"}, *(element("li", None, note) for note in notes))] if notes else []
    parts.append(_pairs("Where the numbers come from", ("What", "Value"), facts))
    if policy:
        parts.append(_pairs("Sizing policy", ("Setting", "Value"), policy))
    if queries:
        parts.append(
            _pairs("Queries, as sent to the server", ("Name", "PromQL"), {k: element("code", None, v) for k, v in queries.items()})
        )
    return Table(join(parts), "How it was computed")


def _pairs(caption: str, heads: tuple[str, str], values: Mapping[str, Any]) -> Html:
    rows = [[cell(key.replace("_", " "), head=True), cell("none" if value is None else value)] for key, value in values.items()]
    return table(caption, [Column(head) for head in heads], [body(rows)])
