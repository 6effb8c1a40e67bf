"""``collect``: the history of a cluster without Prometheus, and what only the Kubernetes API knows; ``pull --source kubectl-top`` too."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from aiops_analysis.cli.session import (
    ClusterOption,
    DebugOption,
    HistoryOption,
    InsecureOption,
    JsonOption,
    Session,
    session_of,
)
from aiops_analysis.core.errors import SettingsError, UsageError

if TYPE_CHECKING:
    from datetime import timedelta

    from aiops_analysis.history.store import Store
    from aiops_analysis.settings import Settings
    from aiops_analysis.sources.kube_api import KubeApi
    from aiops_analysis.workflows.collect import Collected, Sampled

__all__ = ["SourceOption", "collect", "pull_folder", "span_of"]

SourceOption = Annotated[
    tuple[str, str] | None, typer.Option("--source", metavar="kubectl-top DIR", help="Texts of kubectl top instead of a metrics server.")
]

_SECONDS = re.compile(r"(\d{1,5})\s*s", re.ASCII)
_SHOWN = 20  # lines of noise on stderr; --json holds them all


def collect(
    context: typer.Context,
    cluster: ClusterOption = None,
    every: Annotated[str, typer.Option("--every", metavar="TIME", help="Time between two samples, 10s to 5m.")] = "60s",
    length: Annotated[str, typer.Option("--for", metavar="TIME", help="How long to sample, such as 30m or 7d.")] = "24h",
    once: Annotated[bool, typer.Option("--once", help="No samples: only the inventory and settings that the API knows.")] = False,
    kubeconfig: Annotated[
        str, typer.Option("--kubeconfig", metavar="FILE", help="As kubectl takes it [$KUBECONFIG, ~/.kube/config].")
    ] = "",
    kube_context: Annotated[str, typer.Option("--context", metavar="NAME", help="Context of the kubeconfig [the current one].")] = "",
    namespace: Annotated[list[str] | None, typer.Option("--namespace", "-n", metavar="NAME", help="Only this; may be repeated.")] = None,
    history: HistoryOption = None,
    insecure: InsecureOption = False,
    as_json: JsonOption = False,
    debug: DebugOption = False,  # noqa: ARG001 - read before the verb starts
) -> None:
    """Sample metrics.k8s.io into today's history; reads only, safe to stop and to run again.

    Example: aiops-analysis collect --cluster prod --for 7d
    """
    session = session_of(context)
    settings = session.settings(cluster=cluster, history=history, insecure=insecure, namespaces=namespace or None)
    store = _store(settings)
    pace = span_of(every, "--every", 10, 300), span_of(length, "--for", 60, 400 * 86_400)
    from aiops_analysis.sources.kube_api import KubeAccess, connect

    api = connect(KubeAccess(kubeconfig, kube_context, insecure), settings.namespaces)
    _report(session, _gathered(session, store, api, pace, once=once), as_json)


def _gathered(session: Session, store: Store, api: KubeApi, pace: tuple[timedelta, timedelta], *, once: bool) -> Collected:
    from datetime import UTC, datetime
    from threading import Event

    from aiops_analysis.workflows import collect as workflow

    def now() -> datetime:
        return datetime.now(UTC)

    if once:
        return workflow.snapshot(store, api, now=now())

    def told(at: Sampled) -> None:
        if not session.json:
            session.tell(f"{at.at:%H:%M:%S}: {at.measurements} measurements" + (f"; {at.problem}" if at.problem else ""))

    try:
        return workflow.collect(store, api, workflow.Pace(*pace), now=now, wait=Event().wait, progress=told)
    except KeyboardInterrupt:
        session.tell("what was measured is kept in the history; run again to resume")
        raise


def _store(settings: Settings) -> Store:
    """The history to write to; the demo's own is never written."""
    from aiops_analysis.history.store import open_store

    if settings.demo:
        raise SettingsError("no cluster is named; use --cluster NAME for the history that this becomes")
    return open_store(settings.history_root, settings.cluster_name)


def span_of(text: str, flag: str, least: int, most: int) -> timedelta:
    """A duration such as 60s, 5m, 24h or 7d, from ``least`` to ``most`` seconds.

    Raises UsageError with the flag for anything else.
    """
    from datetime import timedelta

    from aiops_analysis.core.window import parse_duration

    seconds = _SECONDS.fullmatch(text.strip())
    try:
        span = timedelta(seconds=int(seconds[1])) if seconds is not None else parse_duration(text)
    except UsageError:
        raise UsageError(f"{flag} is {text!r}, expected a duration such as 60s, 5m, 24h or 7d") from None
    if not timedelta(seconds=least) <= span <= timedelta(seconds=most):
        raise UsageError(f"{flag} is {text}, expected {timedelta(seconds=least)} to {timedelta(seconds=most)}")
    return span


def _report(session: Session, done: Collected, as_json: bool) -> None:
    if as_json:
        session.document(dict(vars(done)) | {"stored": {day.isoformat(): series for day, series in done.stored.items()}})
        return
    for line in (*done.warnings, *done.notes):
        session.tell(f"warning: {line}")
    facts = ", ".join(f"{kind} {count}" for kind, count in done.facts.items())
    session.say(f"{done.cluster}: {done.measurements} measurements in {done.turns} turns kept for {len(done.stored)} days; {facts}")


def pull_folder(session: Session, source: tuple[str, str], as_json: bool, *, cluster: str | None, history: str | None) -> None:
    """``pull --source kubectl-top DIR``. Raises UsageError for another source, NotEnoughData when no line is usable."""
    from datetime import UTC, datetime
    from pathlib import Path

    from aiops_analysis.workflows.top import pull_top

    name, folder = source
    if name != "kubectl-top":
        raise UsageError(f"--source {name!r} is not known; expected kubectl-top DIR, or no --source for a metrics server")
    settings = session.settings(cluster=cluster, history=history)
    store = _store(settings)
    only = settings.namespaces[0] if len(settings.namespaces) == 1 else ""
    done = pull_top(store, Path(folder), now=datetime.now(UTC), namespace=only)
    if as_json:
        session.document(dict(vars(done)) | {"stored": {day.isoformat(): steps for day, steps in done.stored.items()}})
        return
    for line in (*done.left, *done.warnings, *done.noise[:_SHOWN]):
        session.tell(f"warning: {line}")
    if done.passed_over > _SHOWN:
        session.tell(f"warning: {done.passed_over} lines were not used; --json names them")
    session.say(
        f"{done.cluster}: {done.readings} lines of {done.files} texts kept as {sum(done.stored.values())} steps of {len(done.stored)} days "
        f"(anecdote: nobody measured in between)"
    )
