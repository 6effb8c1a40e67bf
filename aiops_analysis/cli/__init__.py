"""The command line. Only typer is imported before a verb is chosen, so that ``--help`` is quick.

Exit codes: 0 ok, 1 a --fail-on holds, 2 usage, 3 source unreachable or refused, 4 not enough data, 5 run failed or internal error,
130 and 143 on signals.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Annotated, Any

import typer

from aiops_analysis.cli import adr, collect, demo, doctor, ledger, patches, predict, pull, recommend, run
from aiops_analysis.cli.session import Session
from aiops_analysis.core.errors import AiopsError, UsageError

__all__ = ["app", "main"]

_NAME = "aiops-analysis"
#: typer has no public name for the base of what a wrong command line raises; its place above BadParameter is the same since 0.1.
_WRONG_USE: type[Any] = typer.BadParameter.__mro__[2]

app = typer.Typer(name=_NAME, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
for _verb in (
    run.run,
    pull.pull,
    collect.collect,
    doctor.doctor,
    recommend.recommend,
    patches.patches,
    ledger.ledger,
    predict.predict,
    demo.demo,
):
    app.command()(_verb)
app.add_typer(adr.app, name="adr")


class _Stopped(KeyboardInterrupt):
    """SIGTERM arrived."""


def _version(asked: bool) -> None:
    if asked:
        from aiops_analysis import __version__

        typer.echo(f"{_NAME} {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")] = False,  # noqa: ARG001
) -> None:
    """What does the measured history of a Kubernetes cluster say? Reads metrics, never changes a cluster.

    Exit codes: 0 ok, 1 a --fail-on holds, 2 usage, 3 source unreachable or refused, 4 not enough data, 5 run failed or internal error,
    130 and 143 stopped by a signal.
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)


def main(argv: Sequence[str] | None = None) -> int:
    """Answer a command line (``sys.argv`` when it is None) and return the exit code; raises nothing."""
    args = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # names from a cluster are any text, a terminal's encoding is not
    with _terminating():
        try:
            code = _answered(args, Session(json="--json" in args, debug="--debug" in args))
            sys.stdout.flush()
            return code
        except BrokenPipeError:  # whoever read the result has seen enough, as `| head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except OSError as error:  # stdout itself is full or gone, so nobody can be told more
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            typer.echo(f"error: the result cannot be written ({error.strerror})", err=True)
            return AiopsError.exit_code


def _answered(args: list[str], session: Session) -> int:
    """Run the verb; every way to end becomes an exit code."""
    try:
        return _invoke(args, session)
    except AiopsError as error:
        return session.failed(str(error), error.exit_code, error)
    except _WRONG_USE as error:
        text = f"{error.format_message()} (see: {_NAME} {args[0] + ' ' if args and args[0].isalpha() else ''}--help)"
        return session.failed(text, UsageError.exit_code, error)
    except KeyboardInterrupt as error:
        # a kind of its own is SIGTERM: ours, or the runner's while a notebook runs
        return session.failed("stopped by a signal", 130 if type(error) is KeyboardInterrupt else 143, error)
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - a bug ends in 5, Python itself would end in 1
        return session.failed(f"internal error: {type(error).__name__}: {error}", AiopsError.exit_code, error)


def _invoke(args: list[str], session: Session) -> int:
    """typer's own ``main`` would turn SIGTERM into 130, so the command is called without it."""
    command = typer.main.get_command(app)
    try:
        with command.make_context(_NAME, run.joined_pairs(args), obj=session) as context:
            command.invoke(context)
    except typer.Exit as done:
        return done.exit_code
    return 0


@contextmanager
def _terminating() -> Iterator[None]:
    """SIGTERM ends a verb as Ctrl-C does, with everything cleaned up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise _Stopped

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
