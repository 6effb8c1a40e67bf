"""A decision written into a record: its status lines and its front matter, and not one byte of what people wrote (fault row 51)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from aiops_analysis.core.decision import TRANSITIONS, Decision, Guard
from aiops_analysis.core.errors import UsageError
from aiops_analysis.core.yaml_text import quoted
from aiops_analysis.evidence.adr_words import inline
from aiops_analysis.sources.records import parse

__all__ = ["Verdict", "changed", "people_of"]

#: The lines of the front matter that a decision sets; everything else of it stays.
_SET = ("status", "date", "decision-makers", "decided_by", "decided_on", "superseded_by", "guard")
_ITEM = re.compile(r"[-*] (Status|Deciders|Date):")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What somebody decided: the new status, who, when; a guard with a rejection, the id of the other record with *superseded*."""

    status: str
    by: str
    on: date
    guard: Guard | None = None
    superseded_by: str = ""


def people_of(by: str) -> tuple[str, ...]:
    """The names of ``A. Person, B. Person``.

    Raises UsageError when there is none.
    """
    people = tuple(name for part in by.split(",") if (name := " ".join(part.split())))
    if not people:
        raise UsageError("--by is empty; a decision has the name of a person")
    return people


def changed(data: bytes, decision: Decision, verdict: Verdict, link: str = "") -> bytes:
    """The record with the verdict in its front matter, list and section; ``link`` is the file of a record that replaces it.

    Raises UsageError for a status that cannot follow, and for a header in which a line to set is not as it was written.
    """
    if verdict.status not in TRANSITIONS[decision.status]:
        allowed = " or ".join(TRANSITIONS[decision.status]) or "nothing; make a new record"
        raise UsageError(f"record {decision.id} is {decision.status}, which can become {allowed}, not {verdict.status}")
    people = people_of(verdict.by)
    lines = data.decode("utf-8").split("\n")
    end = lines.index("---", 1)
    _set_header(lines, end, decision, verdict, people)
    _set_list(lines, end, verdict, people, link)
    out = "\n".join(lines).encode("utf-8")
    _check(out, data, decision, verdict)
    return out


def _set_header(lines: list[str], end: int, decision: Decision, verdict: Verdict, people: Sequence[str]) -> None:
    values = {
        "status": quoted(verdict.status),
        "date": quoted(verdict.on.isoformat()),
        "decision-makers": f"[{', '.join(quoted(name) for name in people)}]",
        "decided_by": quoted(", ".join(people)),
        "decided_on": quoted(verdict.on.isoformat()),
        "superseded_by": quoted(verdict.superseded_by) if verdict.superseded_by else "null",
        "guard": _guard(verdict.guard),
    }
    for name in _SET:
        at = [number for number in range(1, end) if re.match(rf"{name}\s*:", lines[number])]
        follows = lines[at[0] + 1] if len(at) == 1 else ""
        if len(at) != 1 or (follows[:1] in (" ", "-") and follows != "---"):
            raise UsageError(f"{decision.file}: {name} of the front matter does not stand in one line of its own; set the status by hand")
        lines[at[0]] = f"{name}: {values[name]}"


def _guard(guard: Guard | None) -> str:
    if guard is None:
        return "null"
    expires = quoted(guard.expires.isoformat()) if guard.expires else "null"
    return f"{{reason: {quoted(guard.reason)}, expires: {expires}, protect: {'true' if guard.protect else 'false'}}}"


def _set_list(lines: list[str], end: int, verdict: Verdict, people: Sequence[str], link: str) -> None:
    """Set the items above the first section and the first line of the section Status; the header was found to be understood."""
    section = next(number for number in range(end, len(lines)) if lines[number].startswith("## "))
    items = {match[1]: number for number in range(end, section) if (match := _ITEM.match(lines[number]))}
    named = f"superseded by [{link.removesuffix('.md')}]({link.replace('%', '%25')})" if link else verdict.status
    said = next(number for number in range(section + 1, len(lines)) if lines[number].strip())
    lines[said] = _sentence(verdict, people, named)
    texts = {"Status": named, "Deciders": ", ".join(inline(name, 120) for name in people), "Date": verdict.on.isoformat()}
    for name, number in items.items():
        lines[number] = f"{lines[number][0]} {name}: {texts[name]}"
    if "Deciders" not in items:
        lines.insert(items["Status"] + 1, f"{lines[items['Status']][0]} Deciders: {texts['Deciders']}")


def _sentence(verdict: Verdict, people: Sequence[str], named: str) -> str:
    text = f"{named[0].upper()}{named[1:]} on {verdict.on.isoformat()} by {' and '.join(inline(name, 120) for name in people)}"
    if verdict.guard is None:
        return f"{text}."
    until = f"through {verdict.guard.expires.isoformat()}" if verdict.guard.expires else ""
    holds = "unless it becomes a risk" if verdict.guard.protect else "until the data changes" if not until else "or until the data changes"
    word = "Protected" if verdict.guard.protect else "Quiet"
    return f"{text}: {inline(verdict.guard.reason, 1000)}. {word} {f'{until}, {holds}' if until else holds}."


def _check(out: bytes, data: bytes, decision: Decision, verdict: Verdict) -> None:
    """Raises UsageError unless the new bytes say the verdict, and all else that the old ones said."""
    old, new = parse(decision.file, data), parse(decision.file, out)
    rest: list[Mapping[str, object]] = [{k: v for k, v in one.header.items() if k not in _SET} for one in (old, new)]
    if new.decision is None or rest[0] != rest[1] or (new.decision.status, new.decision.guard) != (verdict.status, verdict.guard):
        why = f" ({new.problems[0]})" if new.problems else ""
        raise UsageError(f"{decision.file}: the header is not understood{why}; nothing was written, set the status by hand")
