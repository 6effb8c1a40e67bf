"""Tables of what workloads do over time: who is idle when, and which recommendations are not what the last run said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from aiops_analysis.analysis.savings import DEFAULT_PRICES, PriceBook
from aiops_analysis.presentation import formats
from aiops_analysis.presentation.cells import (
    Column,
    Table,
    cell,
    namespace_cell,
    number_cell,
    paragraph,
    records,
    request_text,
    table,
    workload_cell,
)
from aiops_analysis.presentation.escape import Html, element, text

__all__ = ["habits", "stability"]

_FINDINGS = {
    "abandoned": "Abandoned: nothing seems to use it",
    "possibly_abandoned": "Possibly abandoned: next to no CPU; check before deleting",
    "off_hours": "Idle outside working hours",
    "weekend_dip": "Much quieter at weekends",
}
_CHANGED = {
    "reversed": "Turned round",
    "changed": "Another number",
    "new": "New: the last run had no row",
    "gone": "Gone: only the last run had it",
}
_MOST = 200  # rows of one group


def habits(found: pd.DataFrame, prices: PriceBook = DEFAULT_PRICES) -> Table:
    """Workloads that could run less, grouped by finding.

    Columns: namespace, workload_kind, workload, container, finding (abandoned, off_hours, weekend_dip), message, and saving
    [currency / month], NaN when it is not known.
    """
    if found.empty:
        return paragraph("No workload is abandoned, and none is idle at hours that repeat.")
    columns = [Column("Workload", note="kind, container"), Column("Namespace"), Column("What was seen")]
    columns.append(Column("Saving", True, f"{prices.currency} a month"))
    groups = _grouped(found, "finding", _FINDINGS)
    bodies = [_body(_FINDINGS.get(kind, kind), rows, len(columns), _habit_row) for kind, rows in groups.items()]
    title = f"Habits: {formats.count(len(found), 'finding', 'findings')}"
    return Table(table(title, columns, bodies), title)


def stability(changes: pd.DataFrame, last_run: str = "") -> Table:
    """Recommendations that are not what the last run said, grouped by what happened to them.

    Columns: namespace, workload_kind, workload, container, resource, before and now [cores | bytes], stability (new, changed, reversed,
    gone) and message. ``last_run`` names the run that they are compared with, "" when there is none.
    """
    if not last_run:
        return paragraph("There is no earlier run of this cluster to compare with.")
    if changes.empty:
        return paragraph("Nothing changed its mind: every recommendation is what the last run said.")
    columns = [Column("Workload", note="kind, container"), Column("Namespace"), Column("Resource")]
    columns += [Column("Recommended", True, "last run → now"), Column("Why")]
    groups = _grouped(changes, "stability", _CHANGED)
    bodies = [_body(_CHANGED.get(kind, kind), rows, len(columns), _change_row) for kind, rows in groups.items()]
    title = f"Since the run {last_run[:40]}: {formats.count(len(changes), 'change', 'changes')}"
    return Table(table(title, columns, bodies), title)


def _grouped(frame: pd.DataFrame, column: str, order: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
    """Rows by kind: the known kinds in their order, then what else there is."""
    groups: dict[str, list[dict[str, Any]]] = {kind: [] for kind in order}
    for row in records(frame):
        groups.setdefault(str(row[column]), []).append(row)
    return {kind: rows for kind, rows in groups.items() if rows}


def _body(title: str, rows: list[dict[str, Any]], width: int, cells: Any) -> Html:
    head = element("th", {"scope": "rowgroup", "colspan": width, "class": "group"}, f"{title[:80]} ({len(rows):,})")
    lines = [element("tr", None, head), *(element("tr", None, *cells(row)) for row in rows[:_MOST])]
    if len(rows) > _MOST:
        lines.append(element("tr", None, element("td", {"colspan": width}, f"and {len(rows) - _MOST:,} more")))
    return element("tbody", None, *lines)


def _habit_row(row: Mapping[str, Any]) -> list[Html]:
    saving = number_cell(formats.money(row["saving"]), row["saving"])
    return [workload_cell(row), namespace_cell(row), cell(text(str(row["message"])[:400]), kind="reasons"), saving]


def _change_row(row: Mapping[str, Any]) -> list[Html]:
    before, now = (request_text(row, column, formats.UNKNOWN) for column in ("before", "now"))
    move = cell(f"{before} → ", element("strong", None, now), number=True)
    resource = cell(formats.resource_name(str(row["resource"])))
    return [workload_cell(row), namespace_cell(row), resource, move, cell(text(str(row["message"])[:400]), kind="reasons")]
