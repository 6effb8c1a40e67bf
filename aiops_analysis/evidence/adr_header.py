"""The head of a decision record: what it is made of, its name, its title and its front matter (design.md section 3).

The same basis, day and words give the same bytes (fault row 59).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from aiops_analysis.core.schema import KEY
from aiops_analysis.core.yaml_text import quoted
from aiops_analysis.evidence.adr_basis import Basis, Subject
from aiops_analysis.evidence.adr_words import amount, inline, known, slug
from aiops_analysis.evidence.headers import file_name

__all__ = ["NAMES", "Proposal", "change_of", "front_matter", "name_of", "patch_name", "title_of", "verb_of"]

#: Resources as people write them.
NAMES: Mapping[str, str] = {"cpu": "CPU", "memory": "memory"}
_FIGURES = ("p95", "p99", "max", "upper", "completeness", "replicas", "days", "samples", "throttle_ratio", "oom_kills", "paper")


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a new record is made of; ``author`` and ``tool`` are "" when nobody and nothing is named."""

    basis: Basis
    subject: Subject
    day: date
    author: str = ""
    tool: str = ""
    advice: str = ""

    @property
    def rows(self) -> tuple[Mapping[str, Any], ...]:
        """The rows that the record decides about."""
        return self.subject.rows

    @property
    def paper(self) -> float | None:
        """The paper saving of all rows [currency / month]; None when one is not known."""
        values = [known(row["paper"]) for row in self.rows]
        return None if None in values else sum(value for value in values if value is not None)

    @property
    def place(self) -> Mapping[str, str]:
        """The names of the container."""
        return {name: str(self.rows[0][name]) for name in ("namespace", "workload_kind", "workload", "container")}


def name_of(proposal: Proposal) -> str:
    """The part of the file name after the number."""
    place = proposal.place
    container = "" if place["container"] == place["workload"] else place["container"]
    return slug(verb_of(proposal), place["namespace"], place["workload"], container, *(row["resource"] for row in proposal.rows))


def patch_name(place: Mapping[str, str]) -> str:
    """The name of the workload's patch in a run's folder."""
    return f"patches/strategic/{file_name(place['namespace'], place['workload_kind'], place['workload'])}"


def verb_of(proposal: Proposal) -> str:
    """reduce, raise or change what is there, or set what is not."""
    changes = {row["change"] for row in proposal.rows}
    if all(known(row["current_request"]) is None and known(row["current_limit"]) is None for row in proposal.rows):
        return "set"
    return "reduce" if changes == {"decrease"} else "raise" if changes == {"increase"} else "change"


def title_of(proposal: Proposal) -> str:
    """The decision with its numbers, as one line of Markdown."""
    place = proposal.place
    who = inline(f"{place['namespace']}/{place['workload']}", 120)
    if place["container"] != place["workload"]:
        who += f" ({inline(place['container'], 80)})"
    verb = verb_of(proposal).capitalize()
    parts = [change_of(row) for row in proposal.rows]
    if len(parts) == 1:
        return f"{verb} {who} {parts[0]}"
    return f"{verb} {who}: {' and '.join(parts)}"


def change_of(row: Mapping[str, Any]) -> str:
    """Such as CPU request from 500m to 100m; the limit where only that changes."""
    what = "request" if row["guarded_request"] != row["current_request"] else "limit"
    before, after = (amount(row["resource"], row[f"{when}_{what}"], "no limit") for when in ("current", "guarded"))
    way = f"to {after}" if known(row[f"current_{what}"]) is None else f"from {before} to {after}"
    return f"{NAMES[row['resource']]} {what} {way}"


def front_matter(proposal: Proposal, number: int, evidence: str, sha256: str) -> list[str]:
    """The lines between the two ``---``, the blank one before the second included; every text is quoted."""
    lines = [
        f"id: {quoted(f'{number:04d}')}",
        'status: "proposed"',
        f"date: {quoted(proposal.day.isoformat())}",
        "decision-makers: []",
        "decided_by: null",
        "decided_on: null",
        "implemented_on: null",
        "superseded_by: null",
        "guard: null",
        f"cluster: {quoted(proposal.basis.cluster)}",
        "recommendations:",
    ]
    for row in proposal.rows:
        lines += [
            f"  - id: {quoted(row['id'])}",
            f"    key: [{', '.join(quoted(row[name]) for name in KEY)}]",
            f"    change: {quoted(row['change'])}",
            f"    unit: {quoted('cores' if row['resource'] == 'cpu' else 'bytes')}",
            f"    from: {{request: {_number(row['current_request'])}, limit: {_number(row['current_limit'])}}}",
            f"    to: {{request: {_number(row['guarded_request'])}, limit: {_number(row['guarded_limit'])}}}",
            f"    grade: {quoted(row['grade'])}",
            f"    reasons: [{', '.join(quoted(reason['code']) for reason in row['reasons'])}]",
            f"    figures: {{{', '.join(f'{name}: {_number(row.get(name))}' for name in _FIGURES)}}}",
        ]
    basis = proposal.basis
    prices = f"currency: {quoted(basis.currency)}, price_source: {quoted(basis.price_source)}"
    lines += [
        f"promised: {{paper: {_number(proposal.paper)}, bankable: null, {prices}}}",
        f"window: {{start: {quoted(basis.window['start'])}, end: {quoted(basis.window['end'])}}}",
        f"evidence: {{file: {quoted(evidence)}, sha256: {quoted(sha256)}}}",
    ]
    return [*lines, ""]


def _number(value: Any) -> str:
    """A number that reads back equal; null without one."""
    number = known(value)
    if number is None:
        return "null"
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)
