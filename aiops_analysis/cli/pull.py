"""``pull``: the days of the history that are missing, from a metrics server."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from aiops_analysis.cli.collect import SourceOption, pull_folder
from aiops_analysis.cli.session import (
    ClusterOption,
    DaysOption,
    DebugOption,
    HistoryOption,
    InsecureOption,
    JsonOption,
    PrometheusOption,
    Session,
    session_of,
)
from aiops_analysis.core.errors import NotEnoughData, SettingsError

if TYPE_CHECKING:
    from aiops_analysis.workflows.pull import Progress, Pulled

__all__ = ["pull"]


def pull(
    context: typer.Context,
    cluster: ClusterOption = None,
    prometheus: PrometheusOption = None,
    history: HistoryOption = None,
    days: DaysOption = None,
    insecure: InsecureOption = False,
    source: SourceOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,  # noqa: ARG001 - read before the verb starts
) -> None:
    """Fetch the days that are missing; safe to stop and to run again.

    Example: aiops-analysis pull --cluster prod --prometheus http://prometheus:9090
    """
    from datetime import UTC, datetime

    from aiops_analysis.cli.setup import days_of
    from aiops_analysis.core.window import Window, last_whole_day
    from aiops_analysis.history.store import open_store
    from aiops_analysis.sources.prometheus import Prometheus
    from aiops_analysis.workflows import pull as workflow

    session = session_of(context)
    if source is not None:
        return pull_folder(session, source, as_json, cluster=cluster, history=history)
    settings = session.settings(cluster=cluster, prometheus=prometheus, history=history, days=days_of(days), insecure=insecure)
    server = settings.server()
    if server is None:
        raise SettingsError("no metrics server is named; set AIOPS_PROMETHEUS_URL, or use --prometheus URL")
    now = datetime.now(UTC)
    store = open_store(settings.history_root, settings.cluster_name)
    with _shown(session) as progress:
        done = workflow.pull(
            store,
            Prometheus(server, session.redactor or settings.redactor()),
            Window.of_days(last_whole_day(now), settings.days),
            now=now,
            scope=settings.scope(),
            names=settings.prometheus.names,
            progress=progress,
        )
    return _report(session, done, as_json, settings.days)


def _report(session: Session, done: Pulled, as_json: bool, asked: int) -> None:
    if not done.stored and not done.kept:
        raise NotEnoughData(f"the server has no container metrics of the last {asked} days; see: aiops-analysis doctor")
    days = {day.isoformat(): status for day, status in done.stored.items()}
    if as_json:
        marked = {text: [day.isoformat() for day in of] for text, of in done.marked.items()}
        session.document(dict(vars(done)) | {"stored": days, "marked": marked})
        return
    marks = (f"{of[0]}{f' and {len(of) - 1} more days' if len(of) > 1 else ''}: {text}" for text, of in done.marked.items())
    for line in (*done.set_aside, *done.warnings, *marks):
        session.tell(f"warning: {line}")
    holes = sum(status != "complete" for status in days.values())
    session.say(
        f"{done.cluster}: {len(days)} days stored ({holes} with holes), {done.kept} were there already, "
        f"{len(done.nothing)} without data; {done.requests} requests"
    )


@contextmanager
def _shown(session: Session) -> Iterator[Callable[[Progress], None]]:
    """Progress on stderr: a bar with the time left on a terminal, else a line a day."""
    if session.json or not sys.stderr.isatty():
        yield lambda at: None if session.json or at.day is None else session.tell(_line(at))
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("days"), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("looking for days", total=None)

        def show(at: Progress) -> None:
            bar.update(task, description=f"{at.series:,} series", completed=at.done, total=at.days)

        yield show


def _line(at: Progress) -> str:
    return f"{at.day}: {at.status} ({at.done} of {at.days}), {at.series} series"
