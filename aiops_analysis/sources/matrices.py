"""Range answers as matrices: the body is read series by series, so that a large answer never becomes a million small objects.

Measured, 500 series of 288 steps (5 MB): 0.03 s and less than 1 MB beside body and matrix, against 0.13 s and 90 MB for the whole
answer as Python objects. Every number is the float64 nearest to its text before it is rounded to the type of the matrix.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import orjson

from aiops_analysis.sources.http import BrokenBody

__all__ = ["Grid", "Matrix", "joined", "lenient", "number", "read_matrix", "text_labels"]

_RESULT, _SERIES, _VALUES, _END = b'"result":[', b'{"metric":', b',"values":[[', b"]]}"
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_BROKEN_UTF8 = re.compile("[\udc80-\udcff]")
_TOLERANCE = 1e-3  # [s] servers give milliseconds
Labels = dict[str, str]
Key = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """Columns at start, start + step, ...: Unix seconds and seconds."""

    start: float
    step: int
    count: int

    def part(self, first: int, count: int) -> Grid:
        """Some of the columns."""
        return Grid(self.start + first * self.step, self.step, count)


@dataclass(slots=True)
class Matrix:
    """Label sets, their samples [rows, columns] with NaN for missing, and counts of what was not a plain sample on the grid.

    Kinds: ``nan``, ``infinite`` (and larger than the type of the matrix holds), ``unreadable``, ``off_grid`` (put on the nearest step),
    ``outside`` (dropped), ``unsorted`` (put in order), ``crowded`` (more than one sample of a series in a step; the nearest counts, then
    the first), ``duplicate`` (the same series twice; the first counts), ``histogram``, ``bad_text``.
    ``named`` are the same counts by label set, for the series that have any.
    """

    labels: list[Labels]
    samples: np.ndarray
    odd: Counter[str] = field(default_factory=Counter)
    named: dict[Key, Counter[str]] = field(default_factory=dict)

    def note(self, labels: Labels, odd: Counter[str]) -> None:
        """Count what was odd about one series, in all and by its name."""
        if odd.total():
            self.odd.update(+odd)
            self.named.setdefault(_key(labels), Counter()).update(+odd)


def read_matrix(body: bytearray, grid: Grid, kind: type) -> tuple[dict[str, Any], Matrix]:
    """The document of a range answer without its series, and the series as a matrix.

    Raises ValueError or BrokenBody when the body is not whole.
    """
    pieces = _pieces(body)
    odd: Counter[str] = Counter()
    if pieces is None:
        document, bad = lenient(body)
        rows = _rows(document)
        parsed = (_series_of(row, odd) for row in rows)
        count = len(rows)
    else:
        (document, edges), bad = pieces, 0
        count = len(edges) - 1
        parsed = (_series(body[a : b - 1], odd) for a, b in pairwise(edges))
    out = Matrix([], np.full((count, grid.count), np.nan, kind), +Counter(bad_text=bad))
    columns = grid.start + grid.step * np.arange(grid.count, dtype=np.float64)
    largest = float(np.finfo(kind).max)
    for row, (metric, times, found) in enumerate(parsed):
        out.labels.append(metric)
        large = np.abs(found) > largest
        odd["infinite"] += int(large.sum())
        values = np.where(large, np.nan, found) if large.any() else found
        if np.array_equal(times, columns):
            out.samples[row] = values
        elif len(times):
            _place(out.samples[row], times, values, grid, odd)
        out.note(metric, odd)
        odd.clear()
    return document, _merged(out)


def _pieces(body: bytearray) -> tuple[dict[str, Any], list[int]] | None:
    """The document without its series, and where each series starts (the last edge is behind the last one).

    The marks cannot stand inside a JSON string, whose quotes would be escaped. None when the body is not written as servers write it;
    then it is read as a whole.
    """
    first = body.find(_RESULT) + len(_RESULT)
    edges, at = [], body.find(_SERIES, first)
    if first < len(_RESULT) or at != first:
        return None
    while at >= 0:
        edges.append(at)
        at = body.find(_SERIES, at + 1)
    end = body.find(_END, body.find(_VALUES, edges[-1])) + len(_END)
    if end < len(_END) or any(body[edge - 1 : edge] != b"," for edge in edges[1:]):
        return None
    try:
        document = orjson.loads(body[: edges[0]] + body[end:])
    except orjson.JSONDecodeError:
        return None
    return (document, [*edges, end + 1]) if isinstance(document, dict) else None


def lenient(body: bytearray | bytes) -> tuple[Any, int]:
    """The JSON of a body, and the number of bytes that are no UTF-8, which become visible escapes; raises ValueError."""
    try:
        return orjson.loads(body), 0
    except orjson.JSONDecodeError:
        text, count = _BROKEN_UTF8.subn(lambda m: f"\\\\x{ord(m[0]) - 0xDC00:02x}", body.decode("utf-8", "surrogateescape"))
        if not count:
            raise
        return orjson.loads(text), count


def _rows(document: Any) -> list[Any]:
    """The series of a document as a list; anything else is for the caller to refuse."""
    data = document.get("data") if isinstance(document, dict) else None
    rows = data.get("result") if isinstance(data, dict) else None
    return rows if isinstance(rows, list) and data is not None and data.get("resultType") == "matrix" else []


def _series(piece: bytearray, odd: Counter[str]) -> tuple[Labels, np.ndarray, np.ndarray]:
    """Labels, times and values of one series; numbers are read by orjson in one go where all of them are plain."""
    at = piece.find(_VALUES)
    if at > 0 and piece.endswith(_END):
        raw = piece[at + len(_VALUES) - 2 : -1]
        flat = raw.translate(None, b'[]"')
        if b"u" not in flat and b"s" not in flat:  # true, false and null would become numbers
            try:
                both = orjson.loads(b"[" + flat + b"]")
                if len(both) == 2 * (raw.count(b"[") - 1):
                    pairs = np.array(both, np.float64).reshape(-1, 2)
                    return text_labels(orjson.loads(piece[:at] + b"}")["metric"], odd), pairs[:, 0], pairs[:, 1]
            except (orjson.JSONDecodeError, TypeError):
                pass  # broken text in a label, or a number that JSON does not know: the slow way decides
    row, count = lenient(piece)
    odd["bad_text"] += count
    return _series_of(row, odd)


def _series_of(row: Any, odd: Counter[str]) -> tuple[Labels, np.ndarray, np.ndarray]:
    """The same from a parsed series, value by value."""
    if not isinstance(row, dict) or not isinstance(row.get("metric"), dict):
        raise BrokenBody("a series without labels")
    odd["histogram"] += len(row.get("histograms", ()))
    times, values = [], []
    for pair in row.get("values", ()):
        if not isinstance(pair, list) or len(pair) != 2 or isinstance(pair[0], bool) or not isinstance(pair[0], (int, float)):
            odd["unreadable"] += 1
            continue
        times.append(float(pair[0]))
        values.append(number(pair[1], odd))
    return text_labels(row["metric"], odd), np.array(times, np.float64), np.array(values, np.float64)


def number(text: Any, odd: Counter[str]) -> float:
    """The value of a sample text; NaN, infinities and what is no number are NaN and counted."""
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        text = repr(text)
    if isinstance(text, str) and _NUMBER.fullmatch(text):
        value = float(text)
        if np.isfinite(value):
            return value
        odd["infinite"] += 1
    elif text == "NaN":
        odd["nan"] += 1
    else:
        odd["infinite" if text in ("+Inf", "-Inf", "Inf") else "unreadable"] += 1
    return float("nan")


def text_labels(metric: Mapping[str, Any], odd: Counter[str]) -> Labels:
    """Labels as text; a NUL, which no file format likes, becomes a visible escape."""
    if any(not isinstance(value, str) or "\0" in value for value in metric.values()):
        odd["bad_text"] += 1
        return {name: str(value).replace("\0", "\\x00") for name, value in metric.items()}
    return dict(metric)


def _place(row: np.ndarray, times: np.ndarray, values: np.ndarray, grid: Grid, odd: Counter[str]) -> None:
    """Put samples on their steps: outside dropped, the others on the nearest; of two on one step the nearer, then the first."""
    inside = (times >= grid.start - _TOLERANCE) & (times <= grid.start + grid.step * (grid.count - 1) + _TOLERANCE)
    odd["outside"] += int((~inside).sum())
    times, values = times[inside], values[inside]
    odd["unsorted"] += int((np.diff(times) < 0).sum())
    exact = (times - grid.start) / grid.step
    column = np.rint(exact).astype(np.int64)
    away = np.abs(exact - column) * grid.step
    away[away <= _TOLERANCE] = 0.0
    odd["off_grid"] += int((away > 0).sum())
    order = np.lexsort((away, column))
    steps, first = np.unique(column[order], return_index=True)
    odd["crowded"] += len(column) - len(steps)
    row[steps] = values[order[first]]


def _key(labels: Labels) -> Key:
    return tuple(sorted(labels.items()))


def _merged(whole: Matrix) -> Matrix:
    """Rows in the order of their labels; a label set that came twice is one row."""
    keys = [_key(labels) for labels in whole.labels]
    if all(a < b for a, b in pairwise(keys)):
        return whole
    if len(set(keys)) == len(keys):
        order = sorted(range(len(keys)), key=keys.__getitem__)
        return Matrix([whole.labels[i] for i in order], whole.samples[order], whole.odd, whole.named)
    return joined([(0, whole)], whole.samples.shape[1], whole.samples.dtype.type)


def joined(pieces: Sequence[tuple[int, Matrix]], count: int, kind: type) -> Matrix:
    """Pieces at their first columns as one matrix of ``count`` columns, by label set; where two have a sample the first counts."""
    rows: dict[Key, int] = {}
    for key in sorted({_key(labels) for _, piece in pieces for labels in piece.labels}):
        rows[key] = len(rows)
    labels: list[Labels] = [dict(key) for key in rows]
    out = Matrix(labels, np.full((len(rows), count), np.nan, kind))
    for first, piece in pieces:
        out.odd.update(piece.odd)
        for key, counts in piece.named.items():
            out.named.setdefault(key, Counter()).update(counts)
        for source, values in _with_samples(piece):
            target = out.samples[rows[_key(source)], first : first + len(values)]
            free = np.isnan(target)
            out.note(source, Counter(duplicate=int((~free & ~np.isnan(values)).sum())))
            target[free] = values[free]
    return out


def _with_samples(piece: Matrix) -> Iterator[tuple[Labels, np.ndarray]]:
    return zip(piece.labels, piece.samples, strict=True)
