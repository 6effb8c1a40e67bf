"""``patches``: the recommendations of a window as files to apply and a pull-request text, from the history alone."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aiops_analysis.cli.recommend import reviewed
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
from aiops_analysis.core.errors import RunFailed, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from aiops_analysis.evidence.proposal import Proposal
    from aiops_analysis.history.store import Store
    from aiops_analysis.settings import Settings
    from aiops_analysis.workflows.review import Review

__all__ = ["patches"]

_ALL = "all"

NamespaceOption = Annotated[
    list[str] | None, typer.Option("--namespace", "-n", metavar="NAME", help="Only this namespace; may be repeated.")
]
WorkloadOption = Annotated[list[str] | None, typer.Option("--workload", metavar="NAME", help="Only this workload; may be repeated.")]


def patches(
    context: typer.Context,
    cluster: ClusterOption = None,
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", metavar="NAME", help="strategic, json-patch, kustomize, helm, vpa or all; may be repeated [all]."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write, replaced as a whole.")] = Path("patches"),
    namespace: NamespaceOption = None,
    workload: WorkloadOption = None,
    history: HistoryOption = None,
    end: EndOption = None,
    days: DaysOption = None,
    policy: PolicyOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,  # noqa: ARG001 - read before the verb starts
) -> None:
    """Write a patch for every workload that should change, each with its reasons, its dry run and its roll-back; changes no cluster.

    Example: aiops-analysis patches --cluster demo --format strategic --out /tmp/patches
    """
    from aiops_analysis.cli.target import publish_files
    from aiops_analysis.evidence.proposal import SUMMARY

    session = session_of(context)
    chosen = _formats(formats or [])
    settings = session.settings(cluster=cluster, history=history, policy=policy)
    store, found = reviewed(settings, days=days, end=end)
    made = _made(settings, store, found, _chosen(found.recommendations, namespace, workload), chosen)
    if leaking := [name for name, data in made.files.items() if settings.redactor().found(data)]:
        raise RunFailed(f"{leaking[0]} would hold a secret of the settings; nothing was written")
    publish_files(made.files, out, time.time())
    left = made.patches.left_out
    if as_json:
        about = {"out": str(out), "workloads": made.patches.workloads, "files": sorted(made.files)}
        session.document(about | {"left_out": [asdict(one) for one in left]})
        return
    session.say(f"{made.patches.workloads} workloads, {len(made.files) - 2} files, {len(left)} changes left out")
    session.say(str(out / SUMMARY))


def _formats(asked: list[str]) -> tuple[str, ...]:
    from aiops_analysis.evidence.patchset import FORMATS

    if wrong := sorted(set(asked) - {*FORMATS, _ALL}):
        raise UsageError(f"--format is {wrong[0]!r}, expected {', '.join(FORMATS)} or {_ALL}")
    return FORMATS if not asked or _ALL in asked else tuple(name for name in FORMATS if name in asked)


def _made(settings: Settings, store: Store, found: Review, rows: pd.DataFrame, formats: tuple[str, ...]) -> Proposal:
    """The files of these rows of a review; its own sentence stands in the text when the rows are all of them."""
    import aiops_analysis
    from aiops_analysis.evidence.proposal import proposal, roles_in
    from aiops_analysis.evidence.pull_request import Heading

    about = Heading(
        cluster=found.cluster,
        window=found.window,
        fingerprint=found.fingerprint,
        policy=found.policy.name,
        currency=found.prices.currency,
        summary=found.summary if len(rows) == len(found.recommendations) else "",
        version=aiops_analysis.__version__,
        folder="",
    )
    roles = getattr(found, "roles", None) or roles_in(store, found.window)
    return proposal(rows, about, formats=formats, roles=roles, helm=settings.helm)


def _chosen(rows: pd.DataFrame, namespaces: list[str] | None, workloads: list[str] | None) -> pd.DataFrame:
    """The rows of these namespaces and workloads; raises UsageError for one that is not there."""
    for column, names in (("namespace", namespaces), ("workload", workloads)):
        if not names:
            continue
        if unknown := sorted(set(names) - set(rows[column])):
            raise UsageError(f"--{column} is {unknown[0]!r}, which has no container in the window")
        rows = rows[rows[column].isin(names)]
    return rows
