"""``doctor``: what the server offers and what the history holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from aiops_analysis.cli.session import (
    ClusterOption,
    DebugOption,
    HistoryOption,
    InsecureOption,
    JsonOption,
    PrometheusOption,
    session_of,
)

if TYPE_CHECKING:
    from aiops_analysis.workflows.doctor import Examination

__all__ = ["doctor"]


def doctor(
    context: typer.Context,
    cluster: ClusterOption = None,
    prometheus: PrometheusOption = None,
    history: HistoryOption = None,
    insecure: InsecureOption = False,
    as_json: JsonOption = False,
    debug: DebugOption = False,  # noqa: ARG001 - read before the verb starts
) -> None:
    """Say what the server and the history have, what is missing, and what that costs; changes nothing.

    Example: aiops-analysis doctor
    """
    from datetime import UTC, datetime

    from aiops_analysis.history.store import open_store
    from aiops_analysis.sources.prometheus import Prometheus
    from aiops_analysis.workflows.doctor import examine

    session = session_of(context)
    settings = session.settings(cluster=cluster, prometheus=prometheus, history=history, insecure=insecure)
    server = settings.server()
    source = Prometheus(server, session.redactor or settings.redactor()) if server is not None else None
    store, names = open_store(settings.history_root, settings.cluster_name), settings.prometheus.names
    found = examine(store, source, now=datetime.now(UTC), names=names, scope=settings.scope())
    if as_json:
        session.document(found.as_dict())
        return
    for line in _lines(found):
        session.say(line)


def _lines(found: Examination) -> list[str]:
    """The examination in words, what needs doing last."""
    stored = found.days_stored
    facts = {name: value for name, value in found.server.items() if value}
    server = ", ".join(f"{name} {facts.pop(name)}" for name in ("url", "flavour", "version", "retention") if name in facts)
    lines = [
        f"cluster: {found.cluster}",
        f"server: {server or 'none is named (AIOPS_PROMETHEUS_URL)'}",
        *(f"{name}: {value}" for name, value in facts.items()),
        f"history: {len(stored)} days" + (f", {stored[0]} to {stored[-1]}" if stored else ""),
        *(f"{days} days of history on: {day}" for days, day in found.enough.items()),
    ]
    if found.server and found.days_missing:
        lines.append(f"not pulled yet: {len(found.days_missing)} days; pull them with: aiops-analysis pull --cluster {found.cluster}")
    if found.days_open:
        lines.append(f"with holes, asked again at the next pull: {', '.join(found.days_open)}")
    if found.lost:
        lines.append(f"next to leave the server's retention: {found.lost[0]['day']} on {found.lost[0]['lost_on']}")
    return [*lines, *(f"damaged: {text}" for text in found.damaged), *found.notes]
