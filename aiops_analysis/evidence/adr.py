"""Decision records: made from a recommendation with its evidence, decided by a person, listed with what is wrong or was changed by hand."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiops_analysis.core.decision import Decision, Problem
from aiops_analysis.core.errors import StoreNotWritable, UsageError
from aiops_analysis.core.names import visible
from aiops_analysis.core.schema import KEY
from aiops_analysis.evidence.adr_change import Verdict, changed
from aiops_analysis.evidence.adr_files import create, locked, replace_if
from aiops_analysis.evidence.adr_header import Proposal, front_matter, name_of
from aiops_analysis.evidence.adr_text import body
from aiops_analysis.evidence.adr_words import digest, known, sections, ticked
from aiops_analysis.evidence.reading import SCHEMA
from aiops_analysis.evidence.record import json_bytes, plain
from aiops_analysis.sources.records import Folder, evidence_of, number_of, parse, read_folder

__all__ = ["Listed", "Made", "decide", "listed", "propose", "rendered"]

_LARGEST_NUMBER = 99_999
_NOT_BY_HAND = ("Status",)  # set by accept and reject
_BOXES = ("Validation Performed", "Compliance")


@dataclass(frozen=True, slots=True)
class Made:
    """A record that was written: its number, its file and its evidence file."""

    number: int
    path: Path
    evidence: Path


@dataclass(frozen=True, slots=True)
class Listed:
    """One decision as ``adr list`` shows it: sections that people changed since it was made, and figures that are not the evidence's."""

    decision: Decision
    by_hand: tuple[str, ...] = ()
    boxes: tuple[int, int] = (0, 0)  # ticked, all; a tick is a claim
    problems: tuple[Problem, ...] = ()


def rendered(proposal: Proposal, number: int, package_version: str) -> tuple[str, bytes, bytes]:
    """File name, bytes of the record and bytes of its evidence; the same for the same proposal and number (fault row 59)."""
    evidence = f"evidence/{number:04d}.json"
    text = body(proposal, number, evidence)
    sealed = json_bytes(_evidence(proposal, number, package_version, "\n".join(text)))
    head = front_matter(proposal, number, evidence, hashlib.sha256(sealed).hexdigest())
    whole = "\n".join(["---", *head, "---", "", *text]) + "\n"
    return f"{number:04d}-{name_of(proposal)}.md", whole.encode("utf-8", "replace"), sealed


def _evidence(proposal: Proposal, number: int, package_version: str, text: str) -> dict[str, Any]:
    basis = proposal.basis
    left = [{name: row[name] for name in ("id", *KEY, "change", "grade", "reasons")} for row in proposal.subject.left_out]
    return {
        "schema": SCHEMA,
        "record": f"{number:04d}",
        "proposed": proposal.day,
        "package_version": package_version,
        "run": basis.run,
        "cluster": basis.cluster,
        "window": basis.window,
        "policy": basis.policy,
        "source": basis.source,
        "fingerprint": basis.fingerprint,
        "queries": basis.queries,
        "prices": {"currency": basis.currency, "source": basis.price_source},
        "advice": {"tool": proposal.tool, "untrusted_text": proposal.advice} if proposal.advice or proposal.tool else None,
        "recommendations": list(proposal.rows),
        "left_out": left,
        "sections": _digests(text),
    }


def _digests(text: str) -> dict[str, str]:
    return {name: digest(_own(name, part)) for name, part in sections(text).items() if name not in _NOT_BY_HAND}


def _own(name: str, part: str) -> str:
    """A section without what accept and reject set: above the first heading only the title counts."""
    return part if name else next((line for line in part.split("\n") if line.startswith("# ")), "")


def propose(folder: Path, proposal: Proposal, *, package_version: str, wait: float = 60.0) -> Made:
    """Write a new proposed record and its evidence below ``folder``, with the highest number there plus one.

    Raises StoreLocked, StoreNotWritable, and UsageError when the numbers are used up.
    """
    with locked(folder, wait):
        found = read_folder(folder)
        number = found.highest + 1
        if number > _LARGEST_NUMBER:
            raise UsageError(f"{folder} holds a record with the number {found.highest}; there is no higher one")
        name, whole, sealed = rendered(proposal, number, package_version)
        evidence = folder / "evidence" / f"{number:04d}.json"
        create(evidence, sealed)
        create(folder / name, whole)  # last: a record without its evidence is never seen
    return Made(number, folder / name, evidence)


def decide(folder: Path, number: int, verdict: Verdict, *, wait: float = 60.0) -> Decision:
    """Set the status of the record with this number; returns the decision as it now stands.

    Raises UsageError when there is no such record, its number is used twice, its header is not understood, or the status cannot follow.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder} of decision records; make one with: aiops-analysis adr new")
    with locked(folder, wait):
        found = read_folder(folder)
        decision = _one(found, number)
        path = folder / decision.file
        try:
            data = path.read_bytes()
        except OSError as error:
            raise StoreNotWritable(f"cannot read {path}: {error.strerror or error}") from error
        other = next((one.file for one in found.decisions if one.id == verdict.superseded_by), "")
        if verdict.superseded_by and not other:
            raise UsageError(f"there is no record {visible(verdict.superseded_by, 20)} that could replace record {number}")
        out = changed(data, decision, verdict, other)
        replace_if(path, data, out)
    after = parse(decision.file, out).decision
    assert after is not None, "what was written was read back before"
    return after


def _one(found: Folder, number: int) -> Decision:
    """The decision with this number; raises UsageError with what is wrong when it cannot be decided."""
    records = [record for record in found.records if number_of(record.file) == number]
    if len(records) == 1 and records[0].decision is not None:
        return records[0].decision
    files = {record.file for record in records}
    if wrong := next((problem for problem in found.problems if problem.file in files), None):
        raise UsageError(f"record {number} cannot be decided: {wrong}")
    if other := next((name for name in found.others if number_of(name) == number), ""):
        raise UsageError(f"{visible(other, 120)} is a record of another kind; only records made with adr new are decided here")
    raise UsageError(f"there is no record {number} in {found.path}; see: aiops-analysis adr list")


def listed(found: Folder) -> tuple[Listed, ...]:
    """Every decision of a folder with what people wrote into it since it was made; evidence that is gone tells nothing."""
    return tuple(_listed(found.path, decision) for decision in found.decisions)


def _listed(folder: Path, decision: Decision) -> Listed:
    try:
        sealed = json.loads(evidence_of(folder, decision))
        made, rows = sealed["sections"], {row["id"]: row for row in sealed["recommendations"]}
        text = (folder / decision.file).read_text(encoding="utf-8")
        now = sections(text.partition("\n---\n")[2])
        by_hand = tuple(_by_hand(now, dict(made)))
        wrong = tuple(Problem(decision.file, 0, text) for text in _figures(decision, rows))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):  # evidence that is gone or no evidence of ours
        return Listed(decision)
    boxes = [ticked(now.get(name, "")) for name in _BOXES]
    return Listed(decision, by_hand, (sum(box[0] for box in boxes), sum(box[1] for box in boxes)), wrong)


def _by_hand(now: Mapping[str, str], made: Mapping[str, Any]) -> Iterator[str]:
    """Sections that are not as they were made."""
    for name in now:
        if name not in made and name not in _NOT_BY_HAND:
            yield f"{name} (added)"
        elif name in made and digest(_own(name, now[name])) != made[name]:
            yield name or "title"
    yield from (f"{name} (removed)" for name in made if name not in now)


def _figures(decision: Decision, rows: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """What the front matter says otherwise than the evidence."""
    if {choice.id for choice in decision.choices} != set(rows):
        yield "the front matter names other recommendations than its evidence"
        return
    for choice in decision.choices:
        row = rows[choice.id]
        pairs = (
            ("from.request", choice.from_request, row["current_request"]),
            ("from.limit", choice.from_limit, row["current_limit"]),
            ("to.request", choice.to_request, row["guarded_request"]),
            ("to.limit", choice.to_limit, row["guarded_limit"]),
            ("figures.p95", choice.p95, row["p95"]),
            ("figures.oom_kills", choice.oom_kills, row["oom_kills"]),
        )
        for name, said, proven in pairs:
            if (None if math.isnan(said) else said) != known(proven):
                yield f"{name} of {choice.resource} is {said:g} in the front matter, {plain(proven)} in its evidence"
