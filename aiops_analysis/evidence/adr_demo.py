"""The demo's own decision records, one of each kind and one that was carried out, made from the demo history: the same bytes every time."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from aiops_analysis.analysis.policy import PRESETS
from aiops_analysis.core.decision import Guard
from aiops_analysis.evidence.adr import decide, propose
from aiops_analysis.evidence.adr_basis import Basis, basis_of_review, subject_of
from aiops_analysis.evidence.adr_change import Verdict
from aiops_analysis.evidence.adr_header import Proposal
from aiops_analysis.history.store import Store
from aiops_analysis.workflows.review import monthly, review_window

__all__ = ["DEMO_RECORDS", "DemoRecord", "write_demo_records"]

_DAYS = 28  # the window of the demo's report
_DAY = date(2026, 11, 2)  # the day after the demo history
_TEAM = "Demo team"
_VERSION = "demo"  # a release alone does not change the demo's records


@dataclass(frozen=True, slots=True)
class DemoRecord:
    """One record of the demo: what it is about, what was decided (None: nothing yet), of which days, and when the cluster got it."""

    target: str
    verdict: Verdict | None = None
    tool: str = ""
    advice: str = ""
    day: date = _DAY
    days: int = _DAYS  # the window of the review that it was made of, which ends with the day before
    implemented_on: date | None = None


DEMO_RECORDS = (
    DemoRecord(
        "media/Deployment/transcoder/transcoder",
        Verdict("accepted", _TEAM, date(2026, 10, 15)),
        day=date(2026, 10, 15),
        days=10,
        implemented_on=date(2026, 10, 19),
    ),
    DemoRecord("todo/Deployment/frontend/frontend/cpu", tool="Kagent", advice="Reduce frontend CPU from 200m to 100m"),
    DemoRecord("todo/Deployment/backend/backend", Verdict("accepted", _TEAM, _DAY)),
    DemoRecord(
        "kube-system/Deployment/coredns/coredns/cpu",
        Verdict("rejected", _TEAM, _DAY, Guard("every service depends on name resolution; wait for a load test", date(2027, 1, 31))),
    ),
    DemoRecord(
        "todo/Deployment/backend/istio-proxy",
        Verdict("rejected", _TEAM, _DAY, Guard("set through the mesh's injector, not here", date(2027, 4, 30), protect=True)),
    ),
)


def write_demo_records(store: Store, folder: Path) -> tuple[Path, ...]:
    """Write the demo's records from its history into ``folder``, in place of what is there; returns their files."""
    bases: dict[tuple[date, int], Basis] = {}
    for record in DEMO_RECORDS:
        if (record.day, record.days) not in bases:
            bases[record.day, record.days] = _basis(store, record)
    shutil.rmtree(folder, ignore_errors=True)
    written = []
    for record in DEMO_RECORDS:
        basis = bases[record.day, record.days]
        proposal = Proposal(basis, subject_of(basis, record.target), record.day, _TEAM, record.tool, record.advice)
        made = propose(folder, proposal, package_version=_VERSION)
        written.append(made.path)
        if record.verdict is not None:
            decide(folder, made.number, record.verdict)
        if record.implemented_on is not None:
            _implemented(made.path, record.implemented_on)
    return tuple(written)


def _basis(store: Store, record: DemoRecord) -> Basis:
    window = review_window(store, days=record.days, last=record.day - timedelta(days=1))
    return basis_of_review(monthly(store, window, PRESETS["seed"]))


def _implemented(path: Path, on: date) -> None:
    """What a person writes into the front matter on the day the cluster got the change."""
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("\nimplemented_on: null\n", f'\nimplemented_on: "{on.isoformat()}"\n', 1), encoding="utf-8")
