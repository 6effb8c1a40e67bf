"""What stands folded below the recommendations: a line for each container that the table has no room for, and what is decided already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aiops_analysis.core.schema import GROUP
from aiops_analysis.presentation import formats
from aiops_analysis.presentation.cells import (
    Column,
    cell,
    change_cell,
    move_cell,
    namespace_cell,
    reasons_of,
    request_text,
    sentences,
    table,
    workload_cell,
)
from aiops_analysis.presentation.escape import Html, element, name

__all__ = ["LINE", "MOST", "and_more", "decided", "further"]

LINE = 200  # characters that a container needs in the folded list, about
MOST = 200  # rows of one group; the table of recommendations has them all


def further(rows: Sequence[Mapping[str, Any]], above: Sequence[Mapping[str, Any]], room: int, currency: str) -> Html:
    """One line for each container of the rows that the table has no room for."""
    groups: dict[tuple[str, ...], dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(str(row[part]) for part in GROUP), {})[str(row["resource"])] = row
    if not groups:
        return Html("")
    shown_above = {(*(str(row[part]) for part in GROUP), str(row["resource"])) for row in above}
    lines: list[Html] = []
    for key, group in groups.items():
        lines.append(_line(key, group, shown_above))
        room -= len(lines[-1])
        if room < 0:
            break
    columns = [
        Column("Namespace"),
        Column("Workload"),
        Column("CPU request", plain=True),
        Column("Memory request", plain=True),
        Column("Paper", True, currency),
    ]
    left = len(groups) - len(lines)
    rest = f" {formats.count(left, 'more container is', 'more containers are')} in recommendations.csv beside this report." if left else ""
    title = (
        f"{formats.count(len(rows), 'more row', 'more rows')}, one line for each of {formats.count(len(lines), 'container', 'containers')}"
    )
    note = f"Days, reasons and limits of these rows are in recommendations.csv beside this report.{rest}"
    inside = table("One line for each container", columns, [element("tbody", None, *lines)], sortable=True, note=note, kind="lines")
    return element("details", {"class": "rest"}, element("summary", None, title), inside)


def _line(key: tuple[str, ...], group: Mapping[str, Mapping[str, Any]], above: set[tuple[str, ...]]) -> Html:
    namespace, kind, workload, container = key
    where = kind if container == workload else f"{kind}, {container}"
    moves = [_short_move(group[r]) if r in group else "above" if (*key, r) in above else formats.UNKNOWN for r in ("cpu", "memory")]
    paper = [row["paper"] for row in group.values() if formats.known(row["paper"])]
    head = element("th", {"scope": "row"}, name(workload), element("small", None, name(where)))
    return element(
        "tr", None, cell(name(namespace)), head, *map(cell, moves), cell(formats.money(sum(paper)) if paper else formats.UNKNOWN)
    )


def _short_move(row: Mapping[str, Any]) -> str:
    now, then = request_text(row, "current_request", "not set"), request_text(row, "guarded_request", formats.UNKNOWN)
    return f"{now}, not sized" if row["change"] == "undetermined" else now if now == then else f"{now} → {then}"


def decided(rows: Sequence[Mapping[str, Any]], until: Mapping[str, str]) -> Html:
    """Rows that decision records keep quiet, folded, by record."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(str(row["decided"]), []).append(row)
    if not groups:
        return Html("")
    columns = [Column("Workload", note="kind, container"), Column("Namespace"), Column("Resource"), Column("Change", note="confidence")]
    columns += [Column("Request", True, "limit below; now → then"), Column("Why")]
    bodies = [_decided_body(record, groups[record], until.get(record, ""), len(columns)) for record in sorted(groups)]
    ends = {until.get(record, "") for record in groups}
    when = f"kept quiet until {formats.day(ends.pop())}" if len(ends) == 1 and "" not in ends else "kept quiet by decision records"
    title = f"Decided: {when} ({formats.count(len(rows), 'row', 'rows')})"
    return element(
        "details", {"class": "rest"}, element("summary", None, title), table("Decided rows, by decision record", columns, bodies)
    )


def _decided_body(record: str, rows: Sequence[Mapping[str, Any]], until: str, width: int) -> Html:
    quiet = f", quiet until {formats.day(until)}" if until else ""
    head = element("th", {"scope": "rowgroup", "colspan": width, "class": "group"}, name(record), f"{quiet} ({len(rows):,})")
    lines = [element("tr", None, head)]
    for row in rows[:MOST]:
        cells = [
            workload_cell(row),
            namespace_cell(row),
            cell(formats.resource_name(str(row["resource"]))),
            change_cell(row),
            move_cell(row),
        ]
        lines.append(element("tr", None, *cells, cell(sentences(reasons_of(row)), kind="reasons")))
    return element("tbody", None, *lines, *and_more(len(rows), width, "in recommendations.csv"))


def and_more(count: int, width: int, where: str) -> Iterator[Html]:
    """A last line that says how many rows of a group are not shown."""
    if count > MOST:
        yield element("tr", None, element("td", {"colspan": width}, f"and {count - MOST:,} more, {where}"))
