"""Decisions of people beside the recommendations of a window: which rows stay quiet, and what a reader of the report must know."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pandas as pd

from aiops_analysis.analysis.decisions import Heard, heard, quiet
from aiops_analysis.analysis.policy import SizingPolicy
from aiops_analysis.core.names import visible
from aiops_analysis.core.schema import KEY
from aiops_analysis.sources.records import read_folder

__all__ = ["decided", "quiet_until"]

#: The code of the finding by what a decision means today; quiet rows are no finding, the report counts them.
_CODES = {"expired": "decision_expired", "changed": "decision_woken", "waiting": "decision_not_seen", "seen": "decision_seen"}


def decided(
    recommendations: pd.DataFrame, adr_dir: Path, cluster: str, day: date, *, policy: SizingPolicy | None = None
) -> tuple[pd.DataFrame, tuple[Mapping[str, object], ...]]:
    """RECOMMENDATIONS with ``decided`` filled from the records in ``adr_dir``, and the findings about them (code, message, data).

    Only decisions of ``cluster`` count; ``day`` decides what has expired. A folder that is not there decides nothing; a record that is
    not understood decides nothing either, and is a finding.
    """
    folder = read_folder(adr_dir)
    mine = [one for one in folder.decisions if one.cluster == cluster]
    findings: list[Mapping[str, object]] = [
        {"code": "decision_unreadable", "message": f"decision record {problem}", "data": {"file": problem.file, "line": problem.line}}
        for problem in folder.problems
    ]
    heard_of = heard(recommendations, mine, day, policy=policy)
    findings += [_finding(one) for one in heard_of if one.state != "quiet" and not (one.state == "seen" and one.decision.implemented_on)]
    return quiet(recommendations, mine, day, policy=policy), tuple(findings)


def quiet_until(adr_dir: Path) -> dict[str, str]:
    """The last quiet day (ISO date) of each record that has one, by id."""
    guarded = ((one.id, one.guard) for one in read_folder(adr_dir).decisions if one.guard is not None)
    return {record: guard.expires.isoformat() for record, guard in guarded if guard.expires is not None}


def _finding(one: Heard) -> dict[str, object]:
    key = dict(zip(KEY, one.choice.key, strict=True))
    what = "/".join(visible(key[name], 60) for name in ("namespace", "workload_kind", "workload", "container", "resource"))
    verb = "speaks again, " if one.state in ("expired", "changed") else ""
    rejected = f"rejected on {one.decision.decided_on}: " if verb else ""
    return {
        "code": _CODES[one.state],
        "message": f"decision {one.decision.id} on {what}: {verb}{rejected}{one.why}",
        "data": {"id": one.id, "record": one.decision.id, "status": one.decision.status},
    }
