"""``demo``: make the bundled demo history again."""

from __future__ import annotations

from typing import Annotated

import typer

from aiops_analysis.cli.session import DebugOption, JsonOption, session_of
from aiops_analysis.core.errors import UsageError

__all__ = ["demo"]


def demo(
    context: typer.Context,
    into: Annotated[
        str | None, typer.Option("--into", metavar="DIR", help="Folder of the history [data/demo/history of a source tree].")
    ] = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,  # noqa: ARG001 - read before the verb starts
) -> None:
    """Write the demo cluster's history and decision records, byte for byte the same every time; with --into the history alone.

    Example: aiops-analysis demo --into /tmp/history
    """
    from pathlib import Path

    from aiops_analysis.settings import bundled
    from aiops_analysis.workflows.demo import build_demo

    session = session_of(context)
    home = bundled("demo")
    if into is None and not (home.parent.parent / "pyproject.toml").is_file():
        raise UsageError("the demo that came with an installed package is not written again; name a folder with --into DIR")
    root = Path(into).expanduser() if into else home / "history"
    store = build_demo(root, told=session.tell)
    if into is None:
        from aiops_analysis.evidence.adr_demo import write_demo_records

        for path in write_demo_records(store, home / "adr"):
            session.tell(f"record {path.name}")
    days = store.days("cpu_usage")
    if as_json:
        session.document({"cluster": store.cluster, "history": str(root), "days": days})
        return
    session.say(f"{store.cluster}: {len(days)} days, {days[0]} to {days[-1]}")
    session.say(str(root))
