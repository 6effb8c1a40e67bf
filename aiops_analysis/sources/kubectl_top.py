"""Texts of ``kubectl top pods``, as people keep them: every line is read, or named with its file and number (faults.md row 26).

What is understood: a header anywhere (NAMESPACE, POD, NAME, CPU(cores), MEMORY(bytes), other columns are passed over), no header, CRLF,
UTF-8 and UTF-16 with or without a byte order mark, several outputs in one file, and between them lines that are an ISO time with a zone.

The time of a text is, in this order: such a line; the date and time in its path (2026-11-01T10:05:00Z, 20261101-1005, 2026-11-01_10.05,
2026-11-01/10-05, or ten digits of Unix time); noon UTC of a date alone; the file's modification time. A time without a zone is UTC.
"""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

from aiops_analysis.core.errors import UsageError
from aiops_analysis.core.names import visible
from aiops_analysis.core.units import parse_cpu, parse_memory
from aiops_analysis.sources.pod_names import generated

__all__ = ["TOGETHER", "Reading", "TopText", "parse_top", "texts_of", "time_of"]

#: The container of a line that tells of a whole pod; no real container can have this name.
TOGETHER = "*"

_MOST_BYTES = 16 * 2**20  # of one file
_MOST_FILES = 50_000
_LONGEST_LINE = 4096
_MOST_NOISE = 50  # lines named of one file, the rest are counted
_PACKED = (".gz", ".zip", ".bz2", ".xz", ".zst", ".tar", ".tgz", ".7z")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII)
_COLUMNS = {"NAMESPACE": "namespace", "POD": "pod", "NAME": "name", "CPU(CORES)": "cpu", "MEMORY(BYTES)": "memory"}
_OF_NODES = ("CPU%", "MEMORY%", "CPU(%)", "MEMORY(%)")
_STAMP = re.compile(
    r"(?<!\d)(20\d\d)-?(0[1-9]|1[0-2])-?(0[1-9]|[12]\d|3[01])"
    r"(?:[T_/ .-]?([01]\d|2[0-3])[:._h-]?([0-5]\d)(?:[:._m-]?([0-5]\d))?(?:[.,]\d{1,9})?(Z|[+-](?:0\d|1[0-4]):?[0-5]\d)?)?(?!\d)",
    re.ASCII | re.IGNORECASE,
)
_EPOCH = re.compile(r"(?<!\d)1\d{9}(?!\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reading:
    """One line: what a container used [cores | bytes] in the moments before ``at``, NaN where the text says <unknown>."""

    at: datetime
    namespace: str
    pod: str
    container: str
    cpu: float
    memory: float


@dataclass
class TopText:
    """One text: its readings, and what could not be used as ``file:line: text``."""

    where: str
    readings: list[Reading] = field(default_factory=list)
    noise: list[str] = field(default_factory=list)
    passed_over: int = 0

    def note(self, number: int, text: str) -> None:
        """Name a line; the number 0 is the file as a whole."""
        self.passed_over += 1
        if len(self.noise) < _MOST_NOISE:
            self.noise.append(f"{visible(self.where)}:{number}: {visible(text, 80)}" if number else f"{visible(self.where)}: {text}")


def time_of(path: str) -> datetime | None:
    """The time that a path tells, None when it tells none; a date alone is its noon (UTC).

    >>> time_of("top/2026-11-01T10-05.txt"), time_of("20261101.txt").hour, time_of("pods.txt")
    (datetime.datetime(2026, 11, 1, 10, 5, tzinfo=datetime.timezone.utc), 12, None)
    """
    found = list(_STAMP.finditer(path))
    # the last stamp with a time, else the last date: the file's own name comes after its folder's
    for match in (*(m for m in reversed(found) if m[4]), *reversed(found)):
        moment = _moment(match)
        if moment is not None:
            return moment
    seconds = _EPOCH.findall(path)
    return datetime.fromtimestamp(int(seconds[-1]), UTC) if seconds else None


def _moment(match: re.Match[str]) -> datetime | None:
    year, month, day, hour, minute, second, zone = match.groups()
    try:
        naive = datetime(int(year), int(month), int(day), int(hour or 12), int(minute or 0), int(second or 0), tzinfo=UTC)
    except ValueError:  # 31 February
        return None
    if zone is None or zone in "Zz":
        return naive
    away = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:])) * (-1 if zone[0] == "-" else 1)
    return naive.replace(tzinfo=timezone(away)).astimezone(UTC)


def texts_of(folder: Path, *, namespace: str = "") -> Iterator[TopText]:
    """Every text below a folder in the order of their paths, one at a time.

    ``namespace`` is that of texts without the column which stand in no sub-folder; a sub-folder that is not a date names it otherwise.
    Raises UsageError when the folder is not there or cannot be read.
    """
    if not folder.is_dir():
        raise UsageError(f"{visible(str(folder))} is not a folder; expected one with texts of: kubectl top pods -A --containers")
    try:
        paths = sorted(p for p in folder.rglob("*") if not any(part.startswith(".") for part in p.relative_to(folder).parts))
    except OSError as error:
        raise UsageError(f"the folder {visible(str(folder))} cannot be read ({error.strerror})") from error
    files = [p for p in paths if p.is_file() and not p.is_symlink()]
    for path in files[:_MOST_FILES]:
        yield _text(path, folder, namespace)
    if len(files) > _MOST_FILES:
        beyond = TopText(str(folder))
        beyond.note(0, f"{len(files) - _MOST_FILES} files beyond the first {_MOST_FILES} are not read")
        yield beyond


def _text(path: Path, folder: Path, namespace: str) -> TopText:
    inside = path.relative_to(folder)
    where = inside.as_posix()
    out = TopText(where)
    try:
        status = path.stat()
        if path.suffix.lower() in _PACKED:
            out.note(0, "packed; unpack it first")
        elif status.st_size > _MOST_BYTES:
            out.note(0, f"{status.st_size} bytes, more than {_MOST_BYTES // 2**20} MiB for one text; split it")
        else:
            parents = [part for part in inside.parts[:-1] if time_of(part) is None and _NAME.fullmatch(part)]
            at = time_of(where) or datetime.fromtimestamp(status.st_mtime, UTC)
            return parse_top(path.read_bytes(), where=where, at=at, namespace=parents[-1] if parents else namespace)
    except OSError as error:
        out.note(0, f"cannot be read ({error.strerror})")
    return out


def _decoded(data: bytes) -> str:
    """The text of bytes: by their byte order mark, as UTF-16 where every other byte is 0, else as UTF-8; what is neither stays visible."""
    for mark, name in ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if data.startswith(mark):
            return data.decode(name, "replace")
    head = data[:512]
    if head[1::2].count(0) > len(head) // 4:
        return data.decode("utf-16-le", "replace")
    if head[::2].count(0) > len(head) // 4:
        return data.decode("utf-16-be", "replace")
    return data.decode("utf-8", "replace")


def parse_top(data: bytes, *, where: str, at: datetime, namespace: str = "") -> TopText:
    """The readings of one text of ``kubectl top pods``; never raises, whatever the bytes.

    ``where`` names the text in its notes; ``at`` is its time and ``namespace`` its namespace where the text itself tells none.
    """
    out = TopText(where)
    lines = _decoded(data).splitlines()
    columns, told = _guessed(lines)
    for number, line in enumerate(lines, 1):
        words = line.split() if len(line) <= _LONGEST_LINE else []
        if not words and not line.strip():
            continue
        header = _header(words)
        if header is not None:
            columns, told = header, True
            if not header:
                out.note(number, f"{line} (not the columns of kubectl top pods)")
        elif (moment := _time_line(line)) is not None:
            at = moment
        elif columns is None:
            out.note(number, line if told or number > 1 else f"{line} (without a header, and the columns are not clear)")
        else:
            reading = _reading(words, columns, at, namespace)
            if reading is None:
                out.note(number, line)
            else:
                out.readings.append(reading)
    if not out.readings:
        out.note(0, "no usable line")
    return out


def _header(words: Sequence[str]) -> list[str] | None:
    """The columns of a header line, [] of one that is not of pods, None for any other line."""
    upper = [word.upper() for word in words]
    if "CPU(CORES)" not in upper and "MEMORY(BYTES)" not in upper:
        return None
    if any(word in _OF_NODES for word in upper) or "NAME" not in upper:
        return []
    return [_COLUMNS.get(word, "") for word in upper]


def _time_line(line: str) -> datetime | None:
    """The time of a line that is one, as ``date -Is`` writes it."""
    match = _STAMP.fullmatch(line.strip())
    return _moment(match) if match is not None and match[4] and match[7] else None


def _guessed(lines: Sequence[str]) -> tuple[list[str] | None, bool]:
    """The columns of a text without a header: by the number of words, and where four can mean two things, by where the pods' names are."""
    rows = []
    for line in lines:
        words = line.split() if len(line) <= _LONGEST_LINE else []
        if _header(words) is not None:
            return None, False  # what stands before the first header is noise
        if len(words) in (3, 4, 5) and not math.isnan(_value(words[-2], "cpu")) and not math.isnan(_value(words[-1], "memory")):
            rows.append(words)
    widths = {len(words) for words in rows}
    if len(widths) != 1:
        return None, False
    width = widths.pop()
    if width == 3:
        return ["name", "cpu", "memory"], True
    if width == 5:
        return ["namespace", "pod", "name", "cpu", "memory"], True
    first, second = (sum(generated(words[i]) for words in rows) for i in (0, 1))
    if first == second:
        return None, False
    return (["pod", "name", "cpu", "memory"] if first > second else ["namespace", "name", "cpu", "memory"]), True


def _value(text: str, resource: str) -> float:
    """A value [cores | bytes]; NaN when it is none."""
    try:
        return parse_cpu(text) if resource == "cpu" else parse_memory(text)
    except UsageError:
        return math.nan


def _reading(words: Sequence[str], columns: Sequence[str], at: datetime, namespace: str) -> Reading | None:
    if len(words) != len(columns):
        return None
    cells = dict(zip(columns, words, strict=True))
    values = {name: _value(cells[name], name) for name in ("cpu", "memory") if name in cells}
    if any(math.isnan(value) and cells[name] != "<unknown>" for name, value in values.items()):
        return None
    if all(math.isnan(value) for value in values.values()):
        return None
    names = [cells[name] for name in ("namespace", "pod", "name") if name in cells]
    if not all(_NAME.fullmatch(name) for name in names):
        return None
    pod, container = (cells["pod"], cells["name"]) if "pod" in cells else (cells["name"], TOGETHER)
    return Reading(at, cells.get("namespace", namespace), pod, container, values.get("cpu", math.nan), values.get("memory", math.nan))
