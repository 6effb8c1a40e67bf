"""The tables of what to do: requests to raise, all recommendations, the largest of them, what is decided, what is left alone.

They stay usable with 10,000 rows. A row of the recommendations opens to its days while there is room: ``_OPENED`` rows at most, and all
rows together in ``_LARGEST`` characters. Every further row keeps a line in a folded list; only what does not fit there either is in
recommendations.csv alone, and the table says how many rows that are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from aiops_analysis.analysis.savings import DEFAULT_PRICES, PriceBook
from aiops_analysis.core.reasons import Code, refuses
from aiops_analysis.core.schema import GROUP
from aiops_analysis.core.window import Window
from aiops_analysis.presentation import formats
from aiops_analysis.presentation.cells import (
    Column,
    Table,
    body,
    cell,
    change_cell,
    daily_cell,
    measured_cell,
    move_cell,
    namespace_cell,
    number_cell,
    p95_cell,
    paper_cell,
    paragraph,
    reasons_of,
    records,
    request_text,
    sentences,
    table,
    workload_cell,
)
from aiops_analysis.presentation.escape import Html, element, join
from aiops_analysis.presentation.folded import LINE, MOST, and_more, decided, further
from aiops_analysis.presentation.rows import Around, more, opened

__all__ = ["biggest", "left_alone", "recommendations", "under_provisioned"]

_WRONG = (
    Code.OOM_KILLED,
    Code.CENSORED,
    Code.UNDER_REQUESTED,
    Code.THROTTLED,
    Code.UPPER_EXCEEDS_REQUEST,
    Code.PEAK_GUARD,
    Code.BURSTY,
    Code.NO_REQUEST,
    Code.LARGER_THAN_NODE,
    Code.QUOTA,
    Code.QOS_GUARANTEED,
)
_OPENED = 200  # rows that open to their days, of one table
_LARGEST = 1_800_000  # characters of the recommendations with their list; the runner leaves out an output of 2 MB
_RAISED = 600_000  # the same of the requests to raise, which are all among the recommendations again
_GROUPS = {
    Code.HPA_MANAGED: "Scaled by a HorizontalPodAutoscaler",
    Code.SHORT_HISTORY: "History too short",
    Code.FEW_WEEKDAYS: "Too few weekdays seen",
    Code.NO_SAMPLES: "No usage measured",
    Code.LOW_COMPLETENESS: "Too many samples missing",
    Code.FEW_RUNS: "Too few runs of a job",
    Code.INIT_CONTAINER: "Init containers, never resized",
    Code.HPA_OUT_OF_RANGE: "Autoscaler target out of range",
    Code.OUT_OF_SCOPE: "Out of scope",
    Code.GONE: "Does not run any more",
}
_ORDER = ["namespace", "workload", "container", "resource"]


def _open_to_decide(recs: pd.DataFrame) -> pd.DataFrame:
    """The rows that no decision record keeps quiet."""
    return recs[recs["decided"] == ""]


def under_provisioned(recs: pd.DataFrame, *, events: pd.DataFrame | None = None, window: Window | None = None) -> Table:
    """Containers that need more (RECOMMENDATIONS with change ``increase``): what is wrong, how much to add; each opens to its days.

    ``events`` and ``window`` as in ``recommendations``. Rows that a decision record keeps quiet are not here.
    """
    found = [row for row in records(_open_to_decide(recs)) if row["change"] == "increase"]
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
    around = Around.of(events, window)
    rows: list[Html] = []
    size = shown = 0
    for place, row in enumerate(found):
        if size > _RAISED:
            break
        line = element("tr", None, *_short_row(row)) + more(len(columns), opened(row, around) if place < _OPENED else Html(""))
        rows.append(Html(line))
        size, shown = size + len(line), shown + 1
    left = len(found) - shown
    note = (
        f"{formats.count(left, 'more row is', 'more rows are')} among the recommendations, all of them in recommendations.csv."
        if left
        else ""
    )
    title = f"Requests to raise: {formats.count(len(found), 'row', 'rows')}"
    return Table(table(title, columns, [element("tbody", None, *rows)], sortable=True, note=note, kind="cards short"), title)


def _hurts(row: Mapping[str, Any]) -> bool:
    """True when something is wrong already, and not only the room above the P95 is small."""
    return any(reason.code in (Code.UNDER_REQUESTED, Code.CENSORED, Code.OOM_KILLED) for reason in reasons_of(row))


def _growth(row: Mapping[str, Any]) -> float:
    """How many times the request grows, to put the worst first."""
    now, then = row["current_request"], row["guarded_request"]
    return then / now if formats.known(then) and formats.known(now) and now > 0 else 0.0


def _short_row(row: Mapping[str, Any]) -> list[Html]:
    resource = str(row["resource"])
    wrong = [reason for reason in reasons_of(row) if reason.code in _WRONG]
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


def recommendations(
    recs: pd.DataFrame,
    prices: PriceBook = DEFAULT_PRICES,
    *,
    events: pd.DataFrame | None = None,
    window: Window | None = None,
    until: Mapping[str, str] | None = None,
) -> Table:
    """Every row of RECOMMENDATIONS, largest paper saving first, with the reasons in full; a row opens to its days and numbers.

    ``events`` (columns namespace, workload_kind, workload, container, resource or "" for both, day, kind, count) are drawn at their days
    when ``window`` says which days the series has; kinds are those of ``rows.EVENTS``. ``until`` tells for the id of a decision record the
    ISO date until which it keeps its rows quiet; those stand in a folded group of their own.
    """
    ordered = recs.sort_values(["paper", *_ORDER], ascending=[False, *[True] * 4], na_position="last")
    found, quiet = records(_open_to_decide(ordered)), records(ordered[ordered["decided"] != ""])
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
    ]
    title = f"Recommendations: {formats.count(len(found), 'row', 'rows')}"
    note = (
        "Below each saving: amount freed per pod × price of a unit for a month × mean replicas. A dash is not known, never zero. "
        f"Prices: {prices.source}."
    )
    rows = _as_many_as_fit(found, len(columns), Around.of(events, window, prices.currency))
    parts = [table(title, columns, [element("tbody", None, *rows)], sortable=True, note=note, kind="cards recommended")]
    parts.append(further(found[len(rows) :], found[: len(rows)], _LARGEST - sum(map(len, rows)), prices.currency))
    parts.append(decided(quiet, until or {}))
    return Table(element("div", {"class": "filtered"}, *parts), title)


def _as_many_as_fit(found: Sequence[Mapping[str, Any]], width: int, around: Around) -> list[Html]:
    """The first rows in full, so many that every further row still has room for its line in the folded list."""
    rows: list[Html] = []
    size, after = 0, _containers_after(found)
    for place, row in enumerate(found):
        below = join([sentences(reasons_of(row)), opened(row, around) if place < _OPENED else ""])
        rows.append(Html(element("tr", None, *_full_row(row)) + more(width, below)))
        size += len(rows[-1])
        if size > _LARGEST - LINE * after[place]:
            break
    return rows


def _containers_after(found: Sequence[Mapping[str, Any]]) -> list[int]:
    """For each row, how many containers have a row below it."""
    seen: set[tuple[object, ...]] = set()
    counts = []
    for row in reversed(found):
        counts.append(len(seen))
        seen.add(tuple(row[part] for part in GROUP))
    return counts[::-1]


def _full_row(row: Mapping[str, Any]) -> list[Html]:
    return [
        namespace_cell(row),
        workload_cell(row),
        cell(formats.resource_name(str(row["resource"]))),
        change_cell(row),
        move_cell(row),
        p95_cell(row),
        daily_cell(row),
        number_cell(formats.share(row["overprovision"]), row["overprovision"]),
        paper_cell(row),
    ]


def biggest(recs: pd.DataFrame, prices: PriceBook = DEFAULT_PRICES, top: int = 8) -> Table:
    """Before and after of the largest paper savings, beside what other rules would say (plain rule, KRR-like, VPA-like)."""
    found = records(
        recs[(recs["change"] == "decrease") & (recs["decided"] == "")].sort_values(["paper", "id"], ascending=[False, True]).head(top)
    )
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


def left_alone(recs: pd.DataFrame) -> Table:
    """Rows without a recommendation, grouped by the first reason that refuses one, with the date when there will be enough data."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in records(_open_to_decide(recs)):
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
    for row in rows[:MOST]:
        when = element("time", {"datetime": row["enough_on"]}, formats.day(str(row["enough_on"]))) if row["enough_on"] else formats.UNKNOWN
        cells = [
            workload_cell(row),
            namespace_cell(row),
            cell(formats.resource_name(str(row["resource"]))),
            cell(request_text(row, "current_request", "not set"), number=True),
        ]
        lines.append(element("tr", None, *cells, cell(sentences(reasons_of(row)), kind="reasons"), cell(when)))
    return element("tbody", None, *lines, *and_more(len(rows), width, "in the table of recommendations"))
