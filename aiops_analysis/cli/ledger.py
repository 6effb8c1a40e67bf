"""``ledger``: what accepted decisions promised, and what they really saved."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aiops_analysis.cli.session import (
    ClusterOption,
    DebugOption,
    EndOption,
    HistoryOption,
    JsonOption,
    PricesOption,
    Session,
    session_of,
)
from aiops_analysis.core.errors import NotEnoughData, UsageError

if TYPE_CHECKING:
    from datetime import date

    from aiops_analysis.history.store import Store
    from aiops_analysis.workflows.ledger import Ledger

__all__ = ["ledger"]

_WIDTH = 200  # characters of a line that no terminal cuts
_GAP = re.compile(r"gap=(\d{1,4}(?:\.\d+)?)", re.ASCII)


def ledger(
    context: typer.Context,
    cluster: ClusterOption = None,
    history: HistoryOption = None,
    end: EndOption = None,
    adr_dir: Annotated[str | None, typer.Option("--adr-dir", metavar="DIR", help="Folder of the decision records [docs/adr].")] = None,
    prices: PricesOption = None,
    fail_on: Annotated[
        str | None,
        typer.Option("--fail-on", metavar="gap=PERCENT", help="End with 1 when more than this share of the measured promises is missing."),
    ] = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,  # noqa: ARG001 - read before the verb starts
) -> None:
    """Show each accepted decision: promised, when it was applied, what it really saved by node-hours, and why that is less.

    Example: aiops-analysis ledger --cluster demo
    """
    from aiops_analysis.history.store import open_store
    from aiops_analysis.workflows.ledger import ledger_of

    most = _most_missing(fail_on)
    session = session_of(context)
    settings = session.settings(cluster=cluster, history=history, adr_dir=adr_dir, prices=prices)
    store = open_store(settings.history_root, settings.cluster_name)
    found = ledger_of(store, settings.records, _last(store, end), settings.price_list())
    if as_json:
        session.document(_document(found))
    else:
        _show(session, found)
    if most is not None and _missing(found) > most:
        raise typer.Exit(1)


def _most_missing(text: str | None) -> float | None:
    """The percentage of ``--fail-on``; None without one.

    Raises UsageError.
    """
    if text is None:
        return None
    match = _GAP.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"--fail-on is {ascii(text)[:60]}, expected gap=PERCENT such as gap=50")
    return float(match[1])


def _last(store: Store, end: str | None) -> date:
    """The last day that counts: the newest stored one, or the one before ``--end``.

    Raises UsageError, and NotEnoughData without a history.
    """
    from datetime import UTC, datetime, timedelta

    from aiops_analysis.cli.setup import end_of

    stored = store.days("inventory")
    if not stored:
        raise NotEnoughData(
            f"there is no history of cluster {store.cluster!r} in {store.root}; run: aiops-analysis pull --cluster {store.cluster}"
        )
    return end_of(end, datetime.now(UTC)).date() - timedelta(days=1) if end else stored[-1]


def _missing(found: Ledger) -> float:
    """Missing share of the measured promises [percent]; 0 when nothing is measured or promised."""
    promised, gap = found.totals["promised_measured"], found.totals["gap"]
    return 100 * gap / promised if promised > 0 and gap == gap else 0.0


def _document(found: Ledger) -> dict[str, Any]:
    """The whole ledger in JSON types."""
    parts: dict[str, list[dict[str, object]]] = {}
    for part in found.parts.to_dict("records"):
        parts.setdefault(str(part["record"]), []).append({name: part[name] for name in ("part", "what", "amount")})
    return {
        "cluster": found.cluster,
        "end": found.end,
        "currency": found.currency,
        "price_source": found.price_source,
        "unit": f"{found.currency} a month of 730 h",
        "records": [row | {"gap_parts": parts.get(str(row["record"]), [])} for row in found.rows.to_dict("records")],
        "totals": dict(found.totals),
        "counted": dict(found.counted),
        "proposals": list(found.proposals),
        "findings": list(found.findings),
    }


def _show(session: Session, found: Ledger) -> None:
    """The table, the causes, the sums, then what to do; names and titles are shown, never interpreted."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from aiops_analysis.core.names import visible
    from aiops_analysis.presentation.formats import money

    if not len(found.rows):
        session.say(f"no accepted decision about {visible(found.cluster, 60)}; make one with: aiops-analysis adr new ID")
    else:
        title = f"Ledger of {visible(found.cluster, 60)} through {found.end}, {found.currency} a month of 730 h"
        table = Table(title=title, title_justify="left")
        table.add_column("record", no_wrap=True)
        table.add_column("title", overflow="fold")
        for name in ("applied", "outcome"):
            table.add_column(name)
        for name in ("promised", "on paper now", "realised", "30 d", "60 d", "90 d", "gap"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("cause", overflow="fold", min_width=30)
        for row in found.rows.itertuples():
            amounts = (row.promised_paper, row.paper_now, row.realised, row.realised_30, row.realised_60, row.realised_90, row.gap)
            applied = f"{row.applied} {row.applied_on}".strip()
            cells = (row.record, visible(str(row.title), 200), applied, row.outcome, *(money(one) for one in amounts), row.cause)
            table.add_row(*(Text(session.clean(str(cell))) for cell in cells))
        Console(width=None if sys.stdout.isatty() else _WIDTH).print(table)
        for line in _sums(found):
            session.say(line)
    for finding in (*found.proposals, *found.findings):
        session.say(visible(str(finding["message"]), 500))


def _sums(found: Ledger) -> list[str]:
    from aiops_analysis.presentation.formats import money

    totals = found.totals
    other = ", ".join(f"{number} {status}" for status, number in sorted(found.counted.items()) if status != "accepted")
    promised, gap = money(totals["promised_measured"]), money(totals["gap"])
    lines = [
        f"{totals['measured']:.0f} of {totals['records']:.0f} accepted decisions are measured{f'; beside them {other}' if other else ''}",
        f"promised by the measured ones {promised}, realised {money(totals['realised'])}, gap {gap}",
        f"promised by what is not applied {money(totals['promised_not_applied'])}",
    ]
    if totals["cluster_realised"] == totals["cluster_realised"]:
        lines.append(
            f"all nodes of the cluster: {money(totals['cluster_realised'])} less for the same work, of which decisions account for "
            f"{money(totals['cluster_attributed'])} and {money(totals['cluster_not_attributable'])} is not attributable; "
            f"price effect {money(totals['cluster_price_effect'])}, which is no saving"
        )
    return [*lines, f"prices: {found.price_source or 'none'}"]
