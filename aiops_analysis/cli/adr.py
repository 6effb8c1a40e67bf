"""``adr``: decision records, made from a recommendation, decided by a person, listed."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aiops_analysis.cli.session import (
    ClusterOption,
    DaysOption,
    DebugOption,
    EndOption,
    HistoryOption,
    JsonOption,
    PolicyOption,
    Session,
    session_of,
)
from aiops_analysis.core.errors import UsageError

if TYPE_CHECKING:
    from aiops_analysis.core.decision import Decision, Problem
    from aiops_analysis.evidence.adr import Listed
    from aiops_analysis.evidence.adr_basis import Basis
    from aiops_analysis.evidence.adr_change import Verdict
    from aiops_analysis.settings import Settings
    from aiops_analysis.sources.records import Folder

__all__ = ["app"]

_DAYS = 28  # as the notebook's own window
_WIDTH = 200  # characters of a line that no terminal cuts
_LONGEST_ADVICE = 200_000  # bytes

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

DirOption = Annotated[str | None, typer.Option("--adr-dir", metavar="DIR", help="Folder of the decision records [docs/adr].")]
ByOption = Annotated[str, typer.Option("--by", metavar="NAME", help="Who decides; several names with commas.")]
OnOption = Annotated[str | None, typer.Option("--on", metavar="DATE", help="Date of the decision [today].")]
NumberArgument = Annotated[int, typer.Argument(metavar="N", min=0, help="Number of the record.")]


class FailOn(StrEnum):
    """What ``adr list`` may fail on."""

    problems = "problems"


@app.callback(invoke_without_command=True)
def _root(context: typer.Context) -> None:
    """Decision records: make one from a recommendation, accept or reject it, list all.

    Example: aiops-analysis adr list
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)


@app.command()
def new(
    context: typer.Context,
    target: Annotated[str, typer.Argument(help="Id of a recommendation, or NAMESPACE/KIND/NAME/CONTAINER[/RESOURCE].")],
    run: Annotated[str | None, typer.Option("--run", metavar="FOLDER", help="Folder of a run; without it the history is asked.")] = None,
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Author of the proposal.")] = "",
    on: Annotated[str | None, typer.Option("--on", metavar="DATE", help="Date of the proposal [today].")] = None,
    tool: Annotated[str, typer.Option("--tool", metavar="NAME", help="Who advised, such as kagent.")] = "",
    advice: Annotated[str | None, typer.Option("--advice", metavar="FILE", help="Its words, quoted as they are; - reads them.")] = None,
    cluster: ClusterOption = None,
    history: HistoryOption = None,
    end: EndOption = None,
    days: DaysOption = None,
    policy: PolicyOption = None,
    adr_dir: DirOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,  # noqa: ARG001 - read before the verb starts
) -> None:
    """Write a proposed record with its evidence; the boxes stay open and nobody has decided.

    Example: aiops-analysis adr new todo/Deployment/frontend/frontend/cpu
    """
    from aiops_analysis import __version__
    from aiops_analysis.evidence.adr import propose
    from aiops_analysis.evidence.adr_basis import subject_of
    from aiops_analysis.evidence.adr_header import Proposal, title_of

    session = session_of(context)
    settings = session.settings(cluster=cluster, history=history, policy=policy, adr_dir=adr_dir)
    quote = session.clean(_advice(advice)) if advice else ""
    basis = _basis(settings, run, end, days)
    subject = subject_of(basis, target)
    proposal = Proposal(basis, subject, _day(on, "--on") or _today(), session.clean(by), session.clean(tool), quote)
    if settings.records != settings.adr_dir and not settings.adr_dir.exists():
        from shutil import copytree

        copytree(settings.records, settings.adr_dir)
        session.tell(f"the demo's own records were copied into {settings.adr_dir}")
    made = propose(settings.adr_dir, proposal, package_version=__version__)
    if as_json:
        session.document({"record": f"{made.number:04d}", "status": "proposed", "file": made.path, "evidence": made.evidence})
        return
    session.tell(f"record {made.number:04d}, proposed: {title_of(proposal)}")
    session.say(str(made.path))


def _basis(settings: Settings, run: str | None, end: str | None, days: str | None) -> Basis:
    """The recommendations of a run's folder, or of the history's window."""
    from aiops_analysis.evidence.adr_basis import basis_of_review, basis_of_run

    if run is not None:
        if end or days:
            raise UsageError("--run has its own window; leave out --end and --days")
        return basis_of_run(settings.home / Path(run).expanduser())
    from aiops_analysis.cli.recommend import reviewed

    return basis_of_review(reviewed(settings, days=days, end=end, decisions=False)[1])


def _advice(name: str) -> str:
    """The words of an adviser, from a file or from standard input; what is no UTF-8 is marked in them.

    Raises UsageError for a file that cannot be read or is too long.
    """
    try:
        if name == "-":
            data = sys.stdin.buffer.read(_LONGEST_ADVICE + 1)
        else:
            with Path(name).expanduser().open("rb") as file:
                data = file.read(_LONGEST_ADVICE + 1)
    except OSError as error:
        raise UsageError(f"--advice {name} cannot be read ({error.strerror})") from error
    if len(data) > _LONGEST_ADVICE:
        raise UsageError(f"--advice {name} is longer than {_LONGEST_ADVICE} bytes; quote the part that matters")
    return data.decode("utf-8-sig", "replace").strip()


@app.command()
def accept(
    context: typer.Context,
    number: NumberArgument,
    by: ByOption,
    on: OnOption = None,
    adr_dir: DirOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,  # noqa: ARG001 - read before the verb starts
) -> None:
    """Set a proposed record to accepted; everything that people wrote in it stays.

    Example: aiops-analysis adr accept 1 --by "A. Person"
    """
    from aiops_analysis.evidence.adr_change import Verdict

    session = session_of(context)
    _decide(session, number, Verdict("accepted", session.clean(by), _day(on, "--on") or _today()), adr_dir, as_json=as_json)


@app.command()
def reject(
    context: typer.Context,
    number: NumberArgument,
    by: ByOption,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; the review shows it.")],
    until: Annotated[str | None, typer.Option("--until", metavar="DATE", help="Last quiet day [until the data changes].")] = None,
    protect: Annotated[bool, typer.Option("--protect", help="Quiet also when the data changes, unless it becomes a risk.")] = False,
    on: OnOption = None,
    adr_dir: DirOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,  # noqa: ARG001 - read before the verb starts
) -> None:
    """Set a proposed record to rejected; its rows stay quiet in the review until --until, or until the data changes.

    Example: aiops-analysis adr reject 1 --by "A. Person" --reason "load test first" --until 2027-03-31
    """
    from aiops_analysis.core.decision import Guard
    from aiops_analysis.evidence.adr_change import Verdict

    session = session_of(context)
    day, last = _day(on, "--on") or _today(), _day(until, "--until")
    why = " ".join(session.clean(reason).split())
    if not why:
        raise UsageError("--reason is empty; a rejection says why")
    if protect and last is None:
        raise UsageError("--protect needs --until DATE, because a change of the data does not end it")
    if last is not None and last < day:
        raise UsageError(f"--until is {last}, before the decision on {day}")
    verdict = Verdict("rejected", session.clean(by), day, Guard(why, last, protect))
    _decide(session, number, verdict, adr_dir, as_json=as_json)


def _decide(session: Session, number: int, verdict: Verdict, adr_dir: str | None, *, as_json: bool) -> None:
    from aiops_analysis.evidence.adr import decide

    settings = session.settings(adr_dir=adr_dir)
    decision = decide(settings.adr_dir, number, verdict)
    if as_json:
        session.document(_plain(decision))
        return
    session.say(f"record {decision.id} is {decision.status}: {decision.title}")
    session.tell(str(settings.adr_dir / decision.file))


@app.command("list")
def list_(
    context: typer.Context,
    cluster: Annotated[str | None, typer.Option("--cluster", metavar="NAME", help="Only decisions about this cluster.")] = None,
    adr_dir: DirOption = None,
    fail_on: Annotated[FailOn | None, typer.Option("--fail-on", help="End with 1 when a record has a problem.")] = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,  # noqa: ARG001 - read before the verb starts
) -> None:
    """Show every record: status, guard, what people wrote in it, and what is wrong; without records of your own, the demo's.

    Example: aiops-analysis adr list
    """
    from aiops_analysis.evidence.adr import listed
    from aiops_analysis.sources.records import read_folder

    session = session_of(context)
    found = read_folder(session.settings(adr_dir=adr_dir).records)
    all_rows = listed(found)
    rows = [row for row in all_rows if cluster in (None, row.decision.cluster)]
    problems = [*found.problems, *(problem for row in all_rows for problem in row.problems)]
    if as_json:
        session.document(_document(found, rows, problems))
    else:
        _show(session, found, rows, problems)
    if problems and fail_on is FailOn.problems:
        raise typer.Exit(1)


def _document(found: Folder, rows: list[Listed], problems: list[Problem]) -> dict[str, Any]:
    records = []
    for row in rows:
        hand = {"changed_by_hand": list(row.by_hand), "boxes_ticked": row.boxes[0], "boxes": row.boxes[1]}
        records.append(_plain(row.decision) | hand)
    return {
        "folder": found.path,
        "records": records,
        "problems": [{"file": one.file, "line": one.line, "message": one.message} for one in problems],
        "other_files": list(found.others),
    }


def _plain(decision: Decision) -> dict[str, Any]:
    """A decision in JSON types."""
    guard = decision.guard
    rows = [{"id": one.id, "key": list(one.key), "from": one.from_request, "to": one.to_request} for one in decision.choices]
    return {
        "record": decision.id,
        "file": decision.file,
        "title": decision.title,
        "status": decision.status,
        "cluster": decision.cluster,
        "date": decision.dated,
        "decided_by": decision.decided_by,
        "decided_on": decision.decided_on,
        "implemented_on": decision.implemented_on,
        "guard": None if guard is None else {"reason": guard.reason, "expires": guard.expires, "protect": guard.protect},
        "recommendations": rows,
        "paper": decision.paper,
        "currency": decision.currency,
    }


def _show(session: Session, found: Folder, rows: list[Listed], problems: list[Problem]) -> None:
    """The table, then the problems; names and titles are shown, never interpreted."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from aiops_analysis.core.names import visible

    if rows:
        table = Table(title=f"Decision records in {found.path}", title_justify="left")
        table.add_column("record", no_wrap=True)
        for name in ("status", "decided", "cluster", "title", "guard", "boxes", "changed by hand"):
            table.add_column(name, overflow="fold")
        for row in rows:
            one = row.decision
            decided = f"{one.decided_on} {visible(one.decided_by, 60)}" if one.decided_on else ""
            status = one.status + (f", implemented {one.implemented_on}" if one.implemented_on else "")
            boxes = f"{row.boxes[0]} of {row.boxes[1]} ticked" if row.boxes[1] else ""
            cells = (one.id, status, decided, visible(one.cluster, 60), visible(one.title, 300), _guard(one), boxes, ", ".join(row.by_hand))
            table.add_row(*(Text(session.clean(cell)) for cell in cells))
        Console(width=None if sys.stdout.isatty() else _WIDTH).print(table)
    else:
        session.say(f"no decision record in {found.path}; make one with: aiops-analysis adr new ID")
    if found.others:
        session.say(f"{len(found.others)} other numbered files are left alone")
    for problem in problems:
        session.say(f"problem: {visible(str(problem), 500)}")


def _guard(decision: Decision) -> str:
    """How long a rejection keeps its rows quiet."""
    guard = decision.guard
    if guard is None:
        return ""
    until = f"through {guard.expires}" if guard.expires else "until the data changes"
    over = " (over)" if guard.expires is not None and guard.expires < _today() else ""
    return f"{'protected' if guard.protect else 'quiet'} {until}{over}"


def _today() -> date:
    return datetime.now(UTC).date()


def _day(text: str | None, option: str) -> date | None:
    """The date of an option.

    Raises UsageError.
    """
    if text is None:
        return None
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(f"{option} is {ascii(text)[:60]}, expected a date such as 2026-11-24") from None
