"""``recommend``: the recommendations of a window, from the history alone."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from aiops_analysis.cli.session import (
    ClusterOption,
    DaysOption,
    DebugOption,
    EndOption,
    HistoryOption,
    JsonOption,
    PolicyOption,
    session_of,
)
from aiops_analysis.core.errors import SettingsError

if TYPE_CHECKING:
    from aiops_analysis.settings import Settings
    from aiops_analysis.workflows.review import Review

__all__ = ["policy_text", "recommend"]

_DAYS = 28  # as the notebook's own window
_WIDTH = 200  # characters of a line that no terminal cuts


def recommend(
    context: typer.Context,
    cluster: ClusterOption = None,
    history: HistoryOption = None,
    end: EndOption = None,
    days: DaysOption = None,
    policy: PolicyOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,  # noqa: ARG001 - read before the verb starts
) -> None:
    """Show what should change, by how much and why; --json prints the document of recommendations.json.

    Example: aiops-analysis recommend --cluster demo
    """
    from datetime import UTC, datetime, timedelta

    from aiops_analysis.analysis.policy import policy_of
    from aiops_analysis.analysis.savings import DEFAULT_PRICES
    from aiops_analysis.cli.setup import days_of, end_of
    from aiops_analysis.evidence.record import recommendations_json
    from aiops_analysis.history.store import open_store
    from aiops_analysis.workflows.review import monthly, review_window

    session = session_of(context)
    settings = session.settings(cluster=cluster, history=history, policy=policy)
    chosen = policy_of(settings.policy, policy_text(settings))
    store = open_store(settings.history_root, settings.cluster_name)
    last = end_of(end, datetime.now(UTC)).date() - timedelta(days=1) if end else None
    found = monthly(store, review_window(store, days=days_of(days) or _DAYS, last=last), chosen, DEFAULT_PRICES)
    if as_json:
        session.say(recommendations_json(found.cluster, found.recommendations).decode("utf-8").rstrip("\n"))
        return
    _table(found)
    session.say(found.summary)


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
            " ".join(str(reason.code) for reason in row.reasons),
        ]
        table.add_row(*(Text(str(cell)) for cell in cells))
    Console(width=None if sys.stdout.isatty() else _WIDTH).print(table)
