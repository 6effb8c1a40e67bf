"""Tables of the report as plain, semantic HTML: caption, scope, values to sort by. They format; every number was computed before.

Own code: great_tables writes no ``<caption>``, no row scope, no ``data-sort``, and 10 kB of styles per table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from aiops_analysis.analysis.savings import DEFAULT_PRICES, PriceBook
from aiops_analysis.presentation import formats
from aiops_analysis.presentation.cells import (
    Column,
    Table,
    body,
    cell,
    number_cell,
    paragraph,
    records,
    table,
)
from aiops_analysis.presentation.escape import Html, element, join, name, text
from aiops_analysis.presentation.habits import habits, stability
from aiops_analysis.presentation.headlines import headline_cards, method_facts, policy_facts
from aiops_analysis.presentation.money import bridge, costs, ledger, matrix, pool_costs, savings
from aiops_analysis.presentation.packed import blockers, mixes, next_nodes, packing
from aiops_analysis.presentation.recommended import biggest, left_alone, recommendations, under_provisioned

if TYPE_CHECKING:
    from aiops_analysis.workflows.review import Review

__all__ = [
    "Table",
    "biggest",
    "blockers",
    "bridge",
    "cards",
    "costs",
    "explanation",
    "findings",
    "habits",
    "headline",
    "ledger",
    "left_alone",
    "matrix",
    "method",
    "mixes",
    "namespaces",
    "next_nodes",
    "packing",
    "paragraph",
    "pool_costs",
    "quality",
    "recommendations",
    "savings",
    "stability",
    "under_provisioned",
]

_STATUS = {
    "complete": "whole",
    "incomplete": "has holes, asked again at the next pull",
    "final_with_holes": "has holes for good",
    "missing": "not stored",
}


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
    items = (element("li", None, _sentence(one)) for one in said)
    return Table(element("ul", {"class": "findings"}, *items), formats.count(len(said), "finding", "findings"))


def _sentence(said: str) -> str:
    """A message as a sentence; a file's name keeps its case."""
    first = said.split(" ", 1)[0]
    return (said if "." in first or "/" in first else said[:1].upper() + said[1:]) + ("" if said.endswith(".") else ".")


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
