"""The demo's own decision records, one of each kind, made from the demo history: the same bytes every time."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from aiops_analysis.analysis.policy import PRESETS
from aiops_analysis.analysis.savings import DEFAULT_PRICES
from aiops_analysis.core.decision import Guard
from aiops_analysis.evidence.adr import decide, propose
from aiops_analysis.evidence.adr_basis import basis_of_review, subject_of
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
    """One record of the demo: what it is about, and what was decided (None: nothing yet)."""

    target: str
    verdict: Verdict | None = None
    tool: str = ""
    advice: str = ""


DEMO_RECORDS = (
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
    basis = basis_of_review(monthly(store, review_window(store, days=_DAYS), PRESETS["seed"], DEFAULT_PRICES))
    shutil.rmtree(folder, ignore_errors=True)
    written = []
    for record in DEMO_RECORDS:
        subject = subject_of(basis, record.target)
        proposal = Proposal(basis, subject, _DAY, _TEAM, record.tool, record.advice)
        made = propose(folder, proposal, package_version=_VERSION)
        written.append(made.path)
        if record.verdict is not None:
            decide(folder, made.number, record.verdict)
    return tuple(written)
