"""``recommend``: the recommendations of a window, from the history alone."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from aiops_analysis.cli.session import (
    BillingOption,
    ClusterOption,
    DaysOption,
    DebugOption,
    EndOption,
    HistoryOption,
    JsonOption,
    PolicyOption,
    PricesOption,
    session_of,
)
from aiops_analysis.core.errors import SettingsError, UsageError

if TYPE_CHECKING:
    from aiops_analysis.history.store import Store
    from aiops_analysis.settings import Settings
    from aiops_analysis.workflows.review import Review

__all__ = ["policy_text", "recommend", "reviewed"]

_TABLE, _KRR, _KRR_CSV = "table", "krr", "krr-csv"
_DAYS = 28  # as the notebook's own window
_WIDTH = 200  # characters of a line that no terminal cuts


def recommend(
    context: typer.Context,
    cluster: ClusterOption = None,
    history: HistoryOption = None,
    end: EndOption = None,
    days: DaysOption = None,
    policy: PolicyOption = None,
    prices: PricesOption = None,
    billing: BillingOption = None,
    layout: Annotated[
        str, typer.Option("--format", metavar="NAME", help="table; krr or krr-csv: JSON or csv-raw of Robusta KRR, for what reads that.")
    ] = _TABLE,
    as_json: JsonOption = False,
    debug: DebugOption = False,  # noqa: ARG001 - read before the verb starts
) -> None:
    """Show what should change, by how much and why; --json prints the document of recommendations.json.

    Example: aiops-analysis recommend --cluster demo
    """
    from aiops_analysis.evidence.krr import krr_csv, krr_json
    from aiops_analysis.evidence.record import recommendations_json
    from aiops_analysis.workflows.pricing import LOUD

    session = session_of(context)
    if layout not in (_TABLE, _KRR, _KRR_CSV):
        raise UsageError(f"--format is {layout!r}, expected {_TABLE}, {_KRR} or {_KRR_CSV} (--json for our own)")
    settings = session.settings(cluster=cluster, history=history, policy=policy, prices=prices, billing=billing)
    _, found = reviewed(settings, days=days, end=end)
    for one in found.findings:
        if one["code"] in LOUD:
            session.tell(str(one["message"]))
    if layout != _TABLE or as_json:
        written = {
            _KRR: lambda: krr_json(found.recommendations, found.policy.as_dict()),
            _KRR_CSV: lambda: krr_csv(found.recommendations),
            _TABLE: lambda: recommendations_json(found.cluster, found.recommendations, found.frames),
        }
        session.say(written[layout]().decode("utf-8").rstrip("\r\n").replace("\r\n", "\n"))
        return
    _table(found)
    session.say(found.summary)


def reviewed(settings: Settings, *, days: str | None, end: str | None, decisions: bool = True) -> tuple[Store, Review]:
    """The history of the settings' cluster, and its review over a window as it was typed, beside its decision records or not.

    Raises UsageError, SettingsError and NotEnoughData.
    """
    from datetime import UTC, datetime, timedelta

    from aiops_analysis.analysis.policy import policy_of
    from aiops_analysis.cli.setup import days_of, end_of
    from aiops_analysis.history.store import open_store
    from aiops_analysis.workflows.review import Beside, monthly, review_window

    chosen = policy_of(settings.policy, policy_text(settings))
    store = open_store(settings.history_root, settings.cluster_name)
    last = end_of(end, datetime.now(UTC)).date() - timedelta(days=1) if end else None
    window = review_window(store, days=days_of(days) or _DAYS, last=last)
    return store, monthly(store, window, chosen, settings.money(), Beside(adr_dir=settings.records if decisions else None))


def policy_text(settings: Settings) -> str:
    """The text of the policy's file; "" for a preset. Raises SettingsError when it cannot be read."""
    from pathlib import Path

    if not settings.policy.endswith(".toml"):
        return ""
    path = settings.home / Path(settings.policy).expanduser()
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the policy file {path} cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8'})") from error


def _table(found: Review) -> None:
    """Rows that change first, as a table that fits the terminal; names are shown, never interpreted."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from aiops_analysis.core.names import visible
    from aiops_analysis.presentation.formats import amount, money

    table = Table(title=f"Recommendations for {visible(found.cluster, 60)}", title_justify="left")
    for name in ("namespace", "workload", "container", "resource"):
        table.add_column(name, overflow="fold")
    for name in ("now", "recommended", "on paper/month"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("change", "grade", "reasons"):
        table.add_column(name)
    changed = found.recommendations["change"].isin(["increase", "decrease"])
    for row in found.recommendations.assign(rest=~changed).sort_values("rest", kind="stable").itertuples():
        cells = [
            *(visible(str(text), 80) for text in (row.namespace, row.workload, row.container, row.resource)),
            amount(row.resource, row.current_request),
            amount(row.resource, row.guarded_request),
            money(row.paper),
            row.change,
            row.grade,
            " ".join([*(str(reason.code) for reason in row.reasons), *([f"decided:{row.decided}"] if row.decided else [])]),
        ]
        table.add_row(*(Text(str(cell)) for cell in cells))
    Console(width=None if sys.stdout.isatty() else _WIDTH).print(table)
