"""Reading a folder of decision records: front matter, list and section of each must say the same, or the file is named (fault row 51).

Files are only read here. A Markdown file with a number that is no record of ours (other decisions of a team live in the same folder)
keeps its number and is otherwise left alone.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from aiops_analysis.core.decision import STATUSES, Choice, Decision, Guard, Problem
from aiops_analysis.core.names import visible
from aiops_analysis.core.schema import KEY, RESOURCES, row_id
from aiops_analysis.core.yaml_text import YamlError, read_yaml

__all__ = ["Folder", "Record", "evidence_of", "number_of", "parse", "read_folder"]

_NAME = re.compile(r"(?:ADR-)?(\d{1,5})[-_].*\.md", re.IGNORECASE | re.ASCII)
_EVIDENCE = re.compile(r"(\d{1,5})\.json", re.ASCII)
_LARGEST = 1_000_000  # bytes of one record
_LARGEST_EVIDENCE = 5_000_000
_HEADING = re.compile(r"# (\d{1,5})\. (.+)", re.ASCII)
_ITEM = re.compile(r"[-*] (\w+):\s*(.*)")


@dataclass(frozen=True, slots=True)
class Record:
    """One file: what it decided (None when its header is not understood) and what is wrong with it."""

    file: str
    decision: Decision | None
    problems: tuple[Problem, ...] = ()
    header: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Folder:
    """All records of a folder in the order of their numbers, every problem, and the numbered files that are not ours."""

    path: Path
    records: tuple[Record, ...] = ()
    problems: tuple[Problem, ...] = ()
    others: tuple[str, ...] = ()
    highest: int = 0

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """The decisions that can be relied on: header understood, number used once."""
        return tuple(record.decision for record in self.records if record.decision is not None)


class _Broken(ValueError):
    """The header is not understood; carries the line."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def number_of(name: str) -> int | None:
    """The number that a file name starts with, None for a file that is no record (``0012-slug.md``, ``ADR-012-slug.md``).

    >>> number_of("0012-reduce-cpu.md"), number_of("ADR-7-x.md"), number_of("README.md"), number_of("20261101-by-date.md")
    (12, 7, None, None)
    """
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else None


def read_folder(path: Path) -> Folder:
    """Every record of a folder; one that is not there holds none. Nothing is raised for what is in it, it is a problem by name."""
    if not path.is_dir():
        wrong = (Problem(path.name, 0, "is a file, expected the folder of decision records"),) if path.exists() else ()
        return Folder(path, problems=wrong)
    numbers: dict[int, list[str]] = {}
    try:
        names = sorted(entry.name for entry in path.iterdir())
        proofs = sorted(entry.name for entry in (path / "evidence").iterdir()) if (path / "evidence").is_dir() else []
    except OSError as error:
        return Folder(path, problems=(Problem(path.name, 0, f"cannot be listed ({error.strerror})"),))
    for name in names:
        if (number := number_of(name)) is not None:
            numbers.setdefault(number, []).append(name)
    sealed = {int(match[1]) for name in proofs if (match := _EVIDENCE.fullmatch(name))}
    records, others, problems = [], [], []
    for number, files in sorted(numbers.items()):
        found = [_read(path, name, sealed=number in sealed) for name in files]
        others += [name for name, record in zip(files, found, strict=True) if record is None]
        ours = [record for record in found if record is not None]
        if len(files) > 1 and ours:
            twice = f"the number {number} is used by {' and '.join(visible(name, 120) for name in files)}; renumber one by hand"
            problems.append(Problem(files[0], 0, twice))
            ours = [Record(record.file, None, record.problems, record.header) for record in ours]
        records += ours
    problems = [*(problem for record in records for problem in record.problems), *problems]
    problems += [Problem(f"evidence/{n:04d}.json", 0, "belongs to no record") for n in sorted(sealed - numbers.keys())]
    folder = Folder(path, tuple(records), (), tuple(others), max([0, *numbers, *sealed]))
    problems += _links(folder)
    return Folder(path, folder.records, tuple(problems), folder.others, folder.highest)


def _read(folder: Path, name: str, *, sealed: bool) -> Record | None:
    """One file as a record; None when it is not ours. ``sealed`` says that evidence with its number is there."""
    path = folder / name
    if path.is_symlink() or not path.is_file():
        return Record(name, None, (Problem(name, 0, "is a link or no file, so it is not read"),)) if sealed else None
    try:
        if path.stat().st_size > _LARGEST:
            return Record(name, None, (Problem(name, 0, f"is larger than {_LARGEST} bytes, so it is not read"),)) if sealed else None
        data = path.read_bytes()
    except OSError as error:
        return Record(name, None, (Problem(name, 0, f"cannot be read ({error.strerror})"),))
    if not sealed and b"\nrecommendations:" not in data[:20_000]:
        return None
    record = parse(name, data)
    if record.decision is None:
        return record
    wrong = _evidence_problem(folder, record.decision)
    return Record(name, record.decision, (*record.problems, *wrong), record.header)


def evidence_of(folder: Path, decision: Decision) -> bytes:
    """The bytes of a record's evidence file.

    Raises OSError, and FileNotFoundError for a name that leaves the folder.
    """
    name = decision.evidence_file
    if not re.fullmatch(r"evidence/\d{1,5}\.json", name, re.ASCII):
        raise FileNotFoundError(f"{ascii(name)[:80]} is not the name of an evidence file")
    with (folder / name).open("rb") as file:
        return file.read(_LARGEST_EVIDENCE)


def _evidence_problem(folder: Path, decision: Decision) -> tuple[Problem, ...]:
    try:
        data = evidence_of(folder, decision)
    except OSError:
        return (Problem(decision.file, 0, f"its evidence {visible(decision.evidence_file, 80)} is gone, so its figures cannot be proven"),)
    if hashlib.sha256(data).hexdigest() != decision.evidence_sha256:
        message = f"its evidence {visible(decision.evidence_file, 80)} is not the file that the record was made with (sha256 differs)"
        return (Problem(decision.file, 0, message),)
    return ()


def _links(folder: Folder) -> list[Problem]:
    """Records that say who replaced them, and are wrong: nobody, or in a circle."""
    by_id = {decision.id: decision for decision in folder.decisions}
    wrong = []
    for decision in folder.decisions:
        seen, at = {decision.id}, decision.superseded_by
        while at in by_id and at not in seen:
            seen.add(at)
            at = by_id[at].superseded_by
        if at in seen:
            wrong.append(Problem(decision.file, 0, f"superseded in a circle, through {visible(at, 20)}"))
        elif decision.superseded_by and decision.superseded_by not in by_id:
            wrong.append(Problem(decision.file, 0, f"superseded by {visible(decision.superseded_by, 20)}, which is not there"))
    return wrong


def parse(name: str, data: bytes) -> Record:
    """One record from its bytes; a header that is not understood is a problem with its line, never a guess."""
    header: dict[str, Any] = {}
    lines: list[str] = []
    try:
        lines = _lines(data)
        end = _closing(lines)
        try:
            header = read_yaml("\n".join(lines[1:end]) + "\n")
        except YamlError as error:
            raise _Broken(error.line + 1 if error.line else 1, f"the front matter is not understood: {error}") from error
        decision = _decision(name, header)
        decision = replace(decision, title=_agreed_title(lines, end, decision))
    except _Broken as error:
        field_name = str(error).split(maxsplit=1)[0].split(".")[0]  # a message about one field begins with its name
        line = error.line or next((n for n, line in enumerate(lines, 1) if line.startswith(f"{field_name}:")), 0)
        return Record(name, None, (Problem(name, line, str(error)),), header)
    return Record(name, decision, (), header)


def _lines(data: bytes) -> list[str]:
    if data[:3] == b"\xef\xbb\xbf":
        raise _Broken(1, "begins with a byte order mark; save it as plain UTF-8")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _Broken(data[: error.start].count(b"\n") + 1, "is not UTF-8 text") from error
    lines = text.split("\n")
    if lines[0].endswith("\r"):
        raise _Broken(1, "has Windows line ends; save it with line ends of Unix")
    return lines


def _closing(lines: Sequence[str]) -> int:
    """Index of the line that ends the front matter."""
    if lines[0] != "---":
        raise _Broken(1, "has no front matter: the first line is not ---")
    if "---" not in lines[1:]:
        raise _Broken(1, "has front matter that does not end: there is no second ---")
    end = lines.index("---", 1)
    if lines[end - 1].strip():
        raise _Broken(end + 1, "needs a blank line before the closing ---, or log4brains reads a proposal as accepted")
    return end


def _decision(name: str, header: Mapping[str, Any]) -> Decision:
    number = number_of(name)
    promised, evidence = _mapping(header, "promised"), _mapping(header, "evidence")
    status = _text(header, "status")
    if status not in STATUSES:
        raise _Broken(0, f"status is {_shown(status)}, expected one of {', '.join(STATUSES)}")
    found = Decision(
        id=_text(header, "id"),
        file=name,
        title="",
        status=status,
        cluster=_text(header, "cluster"),
        dated=_date(header, "date") or date.min,
        decided_by=_text(header, "decided_by", optional=True),
        decided_on=_date(header, "decided_on", optional=True),
        implemented_on=_date(header, "implemented_on", optional=True),
        superseded_by=_text(header, "superseded_by", optional=True),
        guard=_guard(header),
        choices=_choices(header),
        paper=_number(promised, "paper"),
        bankable=_number(promised, "bankable"),
        currency=_text(promised, "currency", optional=True),
        price_source=_text(promised, "price_source", optional=True),
        evidence_file=_text(evidence, "file"),
        evidence_sha256=_text(evidence, "sha256"),
    )
    if not re.fullmatch(r"\d{1,5}", found.id, re.ASCII) or int(found.id) != number:
        raise _Broken(0, f"id is {_shown(found.id)}, but the file name says {number}")
    if found.status in ("accepted", "rejected") and not (found.decided_by and found.decided_on):
        raise _Broken(0, f"status is {found.status}, but decided_by or decided_on is empty")
    for choice in found.choices:
        if choice.key[0] != found.cluster:
            raise _Broken(0, f"is of cluster {_shown(found.cluster)}, but a recommendation's key names {_shown(choice.key[0])}")
        if choice.id != row_id(choice.key):
            raise _Broken(0, f"the recommendation {_shown(choice.id)} is not the one of its key")
    return found


def _agreed_title(lines: Sequence[str], end: int, decision: Decision) -> str:
    """The heading's title; raises unless heading, list and section say what the front matter says."""
    body = [(number, line) for number, line in enumerate(lines[end + 1 :], end + 2) if line.strip()]
    heading = _HEADING.fullmatch(body[0][1]) if body else None
    if heading is None or int(heading[1]) != decision.number:
        raise _Broken(body[0][0] if body else end + 1, f"needs the heading # {decision.number}. TITLE below the front matter")
    items: dict[str, list[tuple[int, str]]] = {}
    section = 0
    for at, (number, line) in enumerate(body[1:], 1):
        if line.startswith("## "):
            section = at
            break
        if item := _ITEM.fullmatch(line):
            items.setdefault(item[1], []).append((number, item[2]))
    states = items.get("Status", [])
    if len(states) != 1:
        raise _Broken(body[0][0], f"needs one list item - Status: between heading and first section, has {len(states)}")
    _same(states[0][0], "the list", states[0][1], decision.status)
    if not section or body[section][1].strip() != "## Status" or section + 1 >= len(body):
        raise _Broken(body[section][0] if section else end + 1, "needs ## Status as its first section")
    _same(body[section + 1][0], "the section Status", body[section + 1][1], decision.status)
    return heading[2]


def _same(line: int, where: str, text: str, status: str) -> None:
    said = re.split(r"\W", text.strip().lower(), maxsplit=1)[0]
    if said != status:
        raise _Broken(line, f"{where} says {_shown(said)}, the front matter says {status}")


def _shown(text: object) -> str:
    return visible(str(text), 60) or "nothing"


def _mapping(header: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    if not isinstance(header.get(name), Mapping):
        raise _Broken(0, f"{name} is missing, or no mapping, in the front matter")
    return header[name]


def _text(header: Mapping[str, Any], name: str, *, optional: bool = False) -> str:
    value = header.get(name)
    if value in (None, "") and optional:
        return ""
    if not isinstance(value, str) or not value:
        raise _Broken(0, f"{name} is missing, or no text, in the front matter")
    return value


def _date(header: Mapping[str, Any], name: str, *, optional: bool = False) -> date | None:
    text = _text(header, name, optional=optional)
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise _Broken(0, f"{name} is {_shown(text)}, expected a date such as 2026-11-24") from None


def _number(header: Mapping[str, Any], name: str) -> float:
    value = header.get(name)
    if value is None:
        return math.nan
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.inf
    if not math.isfinite(number):
        raise _Broken(0, f"{name} is {_shown(value)}, expected a number or null")
    return number


def _guard(header: Mapping[str, Any]) -> Guard | None:
    if header.get("guard") is None:
        return None
    guard = _mapping(header, "guard")
    protect = _text(guard, "protect", optional=True) or "false"
    if protect not in ("true", "false"):
        raise _Broken(0, f"guard.protect is {_shown(protect)}, expected true or false")
    return Guard(_text(guard, "reason"), _date(guard, "expires", optional=True), protect == "true")


def _choices(header: Mapping[str, Any]) -> tuple[Choice, ...]:
    rows = header.get("recommendations")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, Mapping) for row in rows):
        raise _Broken(0, "recommendations is missing, or no list of mappings, in the front matter")
    return tuple(_choice(row) for row in rows)


def _choice(row: Mapping[str, Any]) -> Choice:
    key = row.get("key")
    if not isinstance(key, list) or len(key) != len(KEY) or not all(isinstance(part, str) for part in key):
        raise _Broken(0, f"the key of a recommendation is not the {len(KEY)} texts {', '.join(KEY)}")
    if key[-1] not in RESOURCES:
        raise _Broken(0, f"the resource of a recommendation is {_shown(key[-1])}, expected cpu or memory")
    before, after, figures = _mapping(row, "from"), _mapping(row, "to"), _mapping(row, "figures")
    return Choice(
        id=_text(row, "id"),
        key=tuple(key),
        change=_text(row, "change"),
        from_request=_number(before, "request"),
        from_limit=_number(before, "limit"),
        to_request=_number(after, "request"),
        to_limit=_number(after, "limit"),
        p95=_number(figures, "p95"),
        oom_kills=_number(figures, "oom_kills"),
    )
