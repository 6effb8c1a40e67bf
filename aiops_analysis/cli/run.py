"""``run``: a notebook, unattended, to a folder with its report."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aiops_analysis.cli.session import (
    BillingOption,
    ClusterOption,
    DaysOption,
    DebugOption,
    EndOption,
    HistoryOption,
    InsecureOption,
    JsonOption,
    PolicyOption,
    PricesOption,
    PrometheusOption,
    Session,
    session_of,
)
from aiops_analysis.core.errors import UsageError

if TYPE_CHECKING:
    from aiops_analysis.runner import RunResult
    from aiops_analysis.settings import Settings

__all__ = ["check_money", "joined_pairs", "run"]

_PAIR = ("-p", "--parameter")


def run(
    context: typer.Context,
    notebook: Annotated[str, typer.Argument(metavar="NOTEBOOK", help="Its name, or the path of an .ipynb file.")],
    parameter: Annotated[
        list[str] | None, typer.Option(*_PAIR, metavar="NAME VALUE", help="A parameter of the notebook; may be repeated.")
    ] = None,
    cluster: ClusterOption = None,
    prometheus: PrometheusOption = None,
    history: HistoryOption = None,
    reports: Annotated[str | None, typer.Option("--reports", metavar="DIR", help="Where the run's folder goes [reports].")] = None,
    end: EndOption = None,
    days: DaysOption = None,
    policy: PolicyOption = None,
    prices: PricesOption = None,
    billing: BillingOption = None,
    insecure: InsecureOption = False,
    as_json: JsonOption = False,
    debug: DebugOption = False,  # noqa: ARG001 - read before the verb starts
) -> None:
    """Run a notebook and write its report; the last line is the path of report.html.

    Example: aiops-analysis run monthly_cost_review
    """
    from aiops_analysis.runner import run_notebook

    session = session_of(context)
    given = _parameters(parameter or (), {"end": end, "days": days, "policy": policy})
    # a policy or cluster given as -p is as strong as the flag: the settings would otherwise answer for a value that equals the default
    settings = session.settings(
        cluster=cluster,
        prometheus=prometheus,
        history=history,
        reports=reports,
        policy=given.get("policy") or None,
        prices=prices,
        billing=billing,
        insecure=insecure,
    )
    check_money(settings)
    result = run_notebook(notebook, given, settings=settings, progress=sys.stderr.isatty() and not as_json)
    _report(session, result, as_json)


def check_money(settings: Settings) -> None:
    """Raises UsageError for prices that cannot be read and a bill that is not there, before anything else takes its time."""
    settings.price_list()
    if settings.billing is not None and not settings.billing.exists():
        raise UsageError(f"the billing export {settings.billing} is not there")


def _report(session: Session, result: RunResult, as_json: bool) -> None:
    """The result in words, the path of the report last, or all of it as JSON."""
    evidence = result.evidence
    if as_json:
        told = {name: evidence[name] for name in ("run_id", "cluster", "window", "summary", "figures")}
        session.document({"folder": str(result.folder), "report": str(result.report), **told, "seconds": result.seconds})
        return
    if evidence["summary"]:
        session.say(evidence["summary"])
    session.say(str(result.report))


def _parameters(pairs: Sequence[str], flags: Mapping[str, Any]) -> dict[str, Any]:
    """What was given as ``-p`` and as flags; raises UsageError for a name that was given twice."""
    found: dict[str, Any] = {}
    for name, value in [*(pair.split("=", 1) for pair in pairs), *((k, v) for k, v in flags.items() if v is not None)]:
        if name in found:
            raise UsageError(f"the parameter {name} was given twice")
        found[name] = value
    return found


def joined_pairs(args: Sequence[str]) -> list[str]:
    """The command line with papermill's ``-p name value`` as one ``-p name=value``, which typer can repeat.

    Raises UsageError for a name without a value.

    >>> joined_pairs(["run", "x", "-p", "days", "7", "-p", "policy=krr"])
    ['run', 'x', '-p', 'days=7', '-p', 'policy=krr']
    """
    if "run" not in args[:1]:
        return list(args)
    out: list[str] = []
    rest = iter(args)
    for arg in rest:
        out.append(arg)
        if arg in _PAIR:
            name = next(rest, None)
            value = "" if name is None or "=" in name else next(rest, None)
            if name is None or value is None:
                raise UsageError(f"{arg} needs a name and a value, such as: -p days 28")
            out.append(name if "=" in name else f"{name}={value}")
    return out
