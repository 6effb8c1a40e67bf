"""``predict``: what changed manifests cost and whether their pods fit, for the comment of a pull request."""

from __future__ import annotations

import math
import sys
from pathlib import Path
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
    PricesOption,
    session_of,
)
from aiops_analysis.core.errors import UsageError

if TYPE_CHECKING:
    from aiops_analysis.cli.session import Session
    from aiops_analysis.settings import Settings
    from aiops_analysis.sources.manifest_files import Manifests
    from aiops_analysis.workflows.predict import Prediction

__all__ = ["predict"]

_DAYS = 28  # as the review's own window
_LARGEST = 8 * 2**20  # bytes of one file
_UNSCHEDULABLE = "unschedulable"
_COST = "cost="


def predict(
    context: typer.Context,
    manifests: Annotated[list[str], typer.Argument(metavar="MANIFEST...", help="Files or folders of YAML or JSON, - for standard input.")],
    cluster: ClusterOption = None,
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", metavar="NAME", help="Namespace of an object that names none.")
    ] = "default",
    fail_on: Annotated[
        list[str] | None,
        typer.Option("--fail-on", metavar="WHAT", help="Exit with 1: cost=10 (a month more than 10) or unschedulable; may be repeated."),
    ] = None,
    prices: PricesOption = None,
    billing: BillingOption = None,
    history: HistoryOption = None,
    end: EndOption = None,
    days: DaysOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,  # noqa: ARG001 - read before the verb starts
) -> None:
    """Say what manifests cost a month against what runs now and whether their pods fit on the present nodes, as Markdown or JSON.

    Example: aiops-analysis predict docs/predict.yaml --cluster demo --fail-on unschedulable
    """
    from aiops_analysis.evidence.predicted import predicted_json, predicted_markdown
    from aiops_analysis.sources.manifest_files import read_manifests

    session = session_of(context)
    gates = [_gate(text) for text in fail_on or []]
    settings = session.settings(cluster=cluster, history=history, prices=prices, billing=billing)
    asked = read_manifests(_texts(manifests), namespace)
    found = _predicted(session, settings, asked, days, end)
    held = [text for gate in gates if (text := _held(gate, found))]
    if as_json:
        session.document(predicted_json(found, held))
    else:
        session.say(predicted_markdown(found, held).rstrip("\n"))
    for text in held:
        session.tell(f"failed: {text}")
    if held:
        raise typer.Exit(1)


def _gate(text: str) -> float | None:
    """What ``--fail-on`` names: a cost [currency / month], or None for pods that fit nowhere. Raises UsageError."""
    if text == _UNSCHEDULABLE:
        return None
    number = text.removeprefix(_COST)
    if text.startswith(_COST) and number.replace(".", "", 1).isdecimal() and number.isascii():
        return float(number)
    raise UsageError(f"--fail-on is {text!r}, expected {_UNSCHEDULABLE}, or {_COST}AMOUNT such as {_COST}10")


def _held(gate: float | None, found: Prediction) -> str:
    """What a gate found, "" when all is well. A cost that no price can tell does not pass for a small one."""
    if gate is None:
        return f"{found.unschedulable} pods fit on no present node" if found.unschedulable else ""
    if math.isfinite(found.difference) and found.difference > gate:
        return f"it costs {found.difference:.2f} {found.currency} a month more, the bound is {gate:g}"
    unpriced = [one for one in found.without_cost if one.pods_then != 0]  # 0: a Job that never ran, which is said
    return f"{len(unpriced)} workloads have no price, so that the bound of {gate:g} cannot be checked" if unpriced else ""


def _texts(names: list[str]) -> dict[str, str]:
    """The text of every file by its name; a folder stands for its YAML and JSON files. Raises UsageError."""
    found: dict[str, str] = {}
    for name in names:
        path = Path(name)
        if name == "-":
            found["standard input"] = _decoded(sys.stdin.buffer.read(_LARGEST + 1), "standard input")
        elif path.is_dir():
            inside = sorted(one for one in path.rglob("*") if one.suffix in (".yaml", ".yml", ".json") and one.is_file())
            if not inside:
                raise UsageError(f"the folder {path} holds no .yaml, .yml or .json file")
            found |= {str(one): _read(one) for one in inside}
        else:
            found[str(path)] = _read(path)
    return found


def _read(path: Path) -> str:
    try:
        if not path.is_file():  # a pipe or a device would never end
            raise UsageError(f"the manifest {path} is not {'a file' if path.exists() else 'there'}")
        with path.open("rb") as file:
            return _decoded(file.read(_LARGEST + 1), str(path))
    except OSError as error:
        raise UsageError(f"the manifest {path} cannot be read ({error.strerror})") from error


def _decoded(data: bytes, name: str) -> str:
    if len(data) > _LARGEST:
        raise UsageError(f"{name} is larger than {_LARGEST // 2**20} MiB, which no manifest is")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{name} is not UTF-8 text (byte {error.start})") from error


def _predicted(session: Session, settings: Settings, asked: Manifests, days: str | None, end: str | None) -> Prediction:
    """The prediction of the settings' cluster over a window as it was typed."""
    from datetime import UTC, datetime, timedelta

    from aiops_analysis.cli.setup import days_of, end_of
    from aiops_analysis.history.store import open_store
    from aiops_analysis.workflows.predict import predicted
    from aiops_analysis.workflows.pricing import LOUD, priced
    from aiops_analysis.workflows.review import review_window

    store = open_store(settings.history_root, settings.cluster_name)
    last = end_of(end, datetime.now(UTC)).date() - timedelta(days=1) if end else None
    window = review_window(store, days=days_of(days) or _DAYS, last=last)
    money = priced(store, window, settings.price_list(), settings.billing, currency=settings.currency)
    for one in money.findings:
        if one["code"] in LOUD:
            session.tell(str(one["message"]))
    return predicted(store, window, asked.asked, money, asked.others)
