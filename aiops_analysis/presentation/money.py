"""Tables of money: the three numbers with their sources, what was promised and realised, what things cost and why that moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from aiops_analysis.presentation import formats
from aiops_analysis.presentation.cells import Column, Table, body, cell, namespace_cell, number_cell, paragraph, records, table
from aiops_analysis.presentation.escape import Html, element, name, text

__all__ = ["bridge", "costs", "ledger", "matrix", "pool_costs", "savings"]

_NUMBERS = {"paper": "Paper", "bankable": "Bankable", "realised": "Realised"}
_APPLIED = {"whole": "as decided", "partly": "partly", "not": "not yet", "reverted": "taken back", "unknown": "not known"}
_CELLS = {
    "do first": "Do first: much to gain, little to do",
    "plan": "Plan: much to gain, more to do",
    "backlog": "Backlog: little to gain on the bill",
}
_MOST = 15  # rows of one cell of the matrix; the table of recommendations has them all
_COSTLIEST = 25


def savings(found: pd.DataFrame) -> Table:
    """The three numbers of the cluster (SAVINGS): amount a month, price source, and what would make each true."""
    whole = found[found["scope"] == "cluster"]
    if whole.empty:
        return paragraph("No saving can be computed: no price is known.")
    currency = str(whole["currency"].iloc[0])
    columns = [Column("Number"), Column("Amount", True, f"{currency} a month"), Column("What would make it true"), Column("Prices")]
    rows = [
        [
            cell(_NUMBERS.get(str(row["number"]), str(row["number"])), head=True),
            number_cell(formats.money(row["amount"]), row["amount"], f"grade {row['grade']}" if row["grade"] else ""),
            cell(text(str(row["condition"])), kind="reasons"),
            cell(text(str(row["price_source"])), kind="reasons"),
        ]
        for row in records(whole)
    ]
    title = "Three numbers that are never added"
    return Table(table(title, columns, [body(rows)]), title)


def ledger(found: pd.DataFrame) -> Table:
    """What accepted decisions promised, and what they really saved (LEDGER), the newest first."""
    if found.empty:
        return paragraph("No decision of this cluster is accepted yet, so nothing was promised and nothing realised.")
    currency = str(found["currency"].iloc[0])
    columns = [Column("Decision"), Column("Promised", True, f"{currency} a month, on paper"), Column("Applied")]
    columns += [Column("Realised", True, f"{currency} a month"), Column("Gap", True), Column("Why")]
    ordered = found.sort_values(["decided_on", "record"], ascending=[False, False], kind="stable")
    rows = [_ledger_row(row) for row in records(ordered)]
    title = f"Promised and realised: {formats.count(len(found), 'decision', 'decisions')}"
    note = "Realised is counted from node hours, never from requests. What was not measured is not shown as 0."
    return Table(table(title, columns, [body(rows)], note=note), title)


def _ledger_row(row: Mapping[str, Any]) -> list[Html]:
    when = formats.day(str(row["applied_on"])) if row["applied_on"] else ""
    applied = _APPLIED.get(str(row["applied"]), str(row["applied"]))
    shown = formats.money(row["realised"]) if formats.known(row["realised"]) else str(row["outcome"])
    over = f"over {formats.count(int(row['days_after']), 'day', 'days')}" if formats.known(row["realised"]) else ""
    decided = element("small", None, f"decision {row['record']}, {formats.day(str(row['decided_on']))}")
    return [
        cell(text(str(row["title"])[:160]), decided, sort=str(row["record"]), head=True),
        number_cell(formats.money(row["promised_paper"]), row["promised_paper"]),
        cell(applied, element("small", None, when) if when else ""),
        number_cell(shown, row["realised"], over),
        number_cell(formats.money(row["gap"]), row["gap"]),
        cell(text(str(row["cause"])[:600]), kind="reasons"),
    ]


def bridge(parts: pd.DataFrame, words: str, currency: str = "") -> Table:
    """Why the cost of this period is not that of the period before (BRIDGE); ``words`` names the two periods, or says why there is none."""
    if parts.empty:
        return paragraph(words)
    columns = [Column("Cause"), Column("Amount", True, f"{currency} of the period"), Column("Largest parts")]
    rows = [
        [
            cell(formats.CAUSE_WORDS.get(str(row["cause"]), str(row["cause"])), head=True),
            number_cell(formats.money(row["amount"]), row["amount"]),
            cell(text(str(row["detail"])[:400]), kind="reasons"),
        ]
        for row in records(parts)
    ]
    title = "What moved the cost, by name"
    return Table(table(title, columns, [body(rows)], note=words), title)


def costs(found: pd.DataFrame, by: Sequence[str], currency: str = "") -> Table:
    """What namespaces or workloads cost in the window, the costliest first.

    Columns: those of ``by``, cost, shared_cost [currency], share (of the workload cost), cpu_efficiency and memory_efficiency (usage /
    request), pod_hours.
    """
    if found.empty:
        return paragraph("No cost can be computed: no node or no price is known.")
    heads = {"namespace": "Namespace", "workload": "Workload", "workload_kind": "Kind", "pool": "Node pool"}
    named = [column for column in by if column != "workload_kind"]
    columns = [*(Column(heads.get(column, column)) for column in named), Column("Cost", True, f"{currency} in the window")]
    columns += [Column("Share", True), Column("Shared cost carried", True), Column("CPU efficiency", True, "usage / request")]
    columns += [Column("Memory efficiency", True, "usage / request")]
    ordered = records(found.sort_values(["cost", *by], ascending=[False, *(True for _ in by)], kind="stable"))
    rows = [_cost_row(row, named) for row in ordered[:_COSTLIEST]]
    title = f"Cost by {' and '.join(heads.get(column, column).lower() for column in named)}"
    left = len(ordered) - _COSTLIEST
    note = "max(request, usage) x price of the node it ran on. Idle nodes are apart." + (
        f" {left:,} cheaper rows are left out." * (left > 0)
    )
    return Table(table(title, columns, [body(rows)], sortable=True, note=note), title)


def _cost_row(row: Mapping[str, Any], named: Sequence[str]) -> list[Html]:
    first, *rest = named
    small = [element("small", None, name(row["workload_kind"]))] if first == "workload" and "workload_kind" in row else []
    return [
        cell(element("bdi", None, name(row[first])), *small, head=True),
        *(namespace_cell(row) if column == "namespace" else cell(element("bdi", None, name(row[column]))) for column in rest),
        number_cell(formats.money(row["cost"]), row["cost"]),
        number_cell(formats.share(row["share"]), row["share"]),
        number_cell(formats.money(row["shared_cost"]), row["shared_cost"]),
        *(number_cell(formats.share(row[column]), row[column]) for column in ("cpu_efficiency", "memory_efficiency")),
    ]


def pool_costs(found: pd.DataFrame, currency: str = "") -> Table:
    """What node pools cost in the window, and what of it nobody asked for.

    Columns: pool, nodes (mean), node_hours, cost, workload_cost, idle_cost [currency], idle_share, price_basis.
    """
    if found.empty:
        return paragraph("No node is known, so nothing can be said about idle cost.")
    columns = [Column("Node pool"), Column("Nodes", True, "mean"), Column("Cost", True, f"{currency} in the window")]
    columns += [Column("Workloads", True), Column("Idle", True), Column("Idle share", True), Column("Price")]
    rows = [
        [
            cell(element("bdi", None, name(row["pool"])), head=True),
            number_cell(f"{row['nodes']:.1f}", row["nodes"]),
            *(number_cell(formats.money(row[column]), row[column]) for column in ("cost", "workload_cost", "idle_cost")),
            number_cell(formats.share(row["idle_share"]), row["idle_share"]),
            cell(text(str(row["price_basis"]))),
        ]
        for row in records(found)
    ]
    title = "Cost by node pool"
    return Table(
        table(
            title,
            columns,
            [body(rows)],
            sortable=True,
            note="Idle is what nodes cost beyond their containers, at least 0 on each day: usage above requests can exceed a node.",
        ),
        title,
    )


def matrix(found: pd.DataFrame, currency: str = "") -> Table:
    """What to do first (PRIORITIES): cells of impact and effort, each in the order of gain by confidence and hours."""
    if found.empty:
        return paragraph("Nothing is to be done.")
    columns = [Column("Workload", note="container"), Column("Namespace"), Column("Resource"), Column("Gain", True, f"{currency} a month")]
    columns += [Column("Effort", True, "hours"), Column("Grade")]
    bodies = []
    for priority, title in _CELLS.items():
        rows = records(found[found["cell"] == priority])
        if rows:
            head = element("th", {"scope": "rowgroup", "colspan": len(columns), "class": "group"}, f"{title} ({len(rows):,})")
            lines = [element("tr", None, head), *(element("tr", None, *_matrix_row(row)) for row in rows[:_MOST])]
            if len(rows) > _MOST:
                lines.append(element("tr", None, element("td", {"colspan": len(columns)}, f"and {len(rows) - _MOST:,} more, smaller ones")))
            bodies.append(element("tbody", None, *lines))
    title = "Priorities"
    note = "Risks come first whatever they cost. A gain is bankable where nodes are known, else paper, and says which."
    return Table(table(title, columns, bodies, note=note), title)


def _matrix_row(row: Mapping[str, Any]) -> list[Html]:
    small = element("small", None, name(row["container"])) if row["container"] != row["workload"] else ""
    risk = row["risk"]
    gain = cell("risk", sort="inf", number=True) if risk else number_cell(formats.money(row["impact"]), row["impact"], row["impact_basis"])
    return [
        cell(element("bdi", None, name(row["workload"])), small, head=True),
        namespace_cell(row),
        cell(formats.resource_name(str(row["resource"]))),
        gain,
        number_cell(f"{row['effort']:g}", row["effort"]),
        cell(str(row["grade"])),
    ]
