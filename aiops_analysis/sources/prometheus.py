"""Questions to a Prometheus API: label sets and matrices, nothing silently partial (reliability.md R3-R5).

Small calls go through ``PrometheusConnect``; query answers go through the same session and are parsed straight into matrices.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from aiops_analysis.core.errors import BadAnswer, QueryTooLarge, SourceRefused, UsageError
from aiops_analysis.core.redact import Redactor
from aiops_analysis.core.window import STEP, iso
from aiops_analysis.sources.flavours import Flavour, hosted, named, whole_answers
from aiops_analysis.sources.http import QueryTimedOut, Server
from aiops_analysis.sources.matrices import Grid, Matrix, joined, lenient, number, read_matrix, text_labels
from aiops_analysis.sources.session import DEADLINE_S, MAX_BYTES, NO_RETRY, PatientSession, Tally

__all__ = ["Flavour", "Prometheus", "RangeAnswer", "RawSeries", "Vector"]

_SHORTEST_S = 3600  # a refused range is halved down to this, then split by its parts
_MOST_COLUMNS = 11_000  # Prometheus refuses more points a series
_DURATION = re.compile(r"(?:(?:\d+)(?:ms|[smhdwy]))+")
_UNIT = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400, "y": 365 * 86_400}


@dataclass(frozen=True, slots=True)
class Vector:
    """Label sets and their values at one moment."""

    labels: list[dict[str, str]]
    values: np.ndarray
    warnings: tuple[str, ...] = ()
    infos: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RawSeries:
    """One series of a range vector: its labels, the times [Unix s] and values of its samples as they are stored."""

    labels: dict[str, str]
    times: np.ndarray
    values: np.ndarray


@dataclass(frozen=True, slots=True)
class RangeAnswer:
    """Label sets and samples [rows, steps] from start to end inclusive, NaN missing; ``odd`` counts what was not a plain sample.

    ``named`` has the same counts by label set.
    Rows stand in the order of their labels, so that a split question has the very answer of the whole one. ``requests`` and ``bytes``
    are what it cost.
    """

    labels: list[dict[str, str]]
    samples: np.ndarray
    warnings: tuple[str, ...] = ()
    infos: tuple[str, ...] = ()
    odd: dict[str, int] = field(default_factory=dict)
    requests: int = 0
    bytes: int = 0
    named: Mapping[tuple[tuple[str, str], ...], Mapping[str, int]] = field(default_factory=dict)


@dataclass
class _Asked:
    """One range question while it is answered: what it costs and what the server says beside the samples."""

    kind: type
    tally: Tally = field(default_factory=Tally)
    warnings: dict[str, None] = field(default_factory=dict)
    infos: dict[str, None] = field(default_factory=dict)


class Prometheus:
    """One server; safe for the two threads of a pull. Raises the SourceErrors of core.errors, each one line, without credentials."""

    def __init__(
        self,
        server: Server,
        redactor: Redactor,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        progress: Callable[[str], None] | None = None,
        deadline_s: float = DEADLINE_S,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        from prometheus_api_client import PrometheusConnect

        self._session = PatientSession(
            server, redactor, sleep=sleep, clock=clock, told=progress, deadline_s=deadline_s, max_bytes=max_bytes
        )
        self._client = PrometheusConnect(server.url, session=self._session, retry=NO_RETRY, timeout=int(server.read_timeout))
        self._session.keep_policy()
        self._base, self.url = server.url, self._session.url
        self._flavour: Flavour | None = None
        self._whole = whole_answers(hosted(server.url))

    @property
    def auth(self) -> str:
        """The credentials that are sent, in words, without them."""
        return self._session.server.tried

    @property
    def requests_made(self) -> int:
        """Requests sent so far, retries included."""
        return self._session.tally.requests

    @property
    def proxy(self) -> str:
        """The proxy that requests go through, without credentials, or ""."""
        return self._session.proxy

    @property
    def server_date(self) -> datetime | None:
        """What the server's clock said in its last answer."""
        return self._session.server_date

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def instant(self, query: str, at: datetime) -> Vector:
        """The value of every series of ``query`` at ``at``; what is no finite number is NaN."""
        document = self._ask("query", {"query": query, "time": _stamp(at)}, self._document)
        rows, odd = self._result(document, "vector", "value"), Counter[str]()
        values = np.array([number(row["value"][-1], odd) for row in rows], np.float64)
        return Vector([text_labels(row["metric"], odd) for row in rows], values, *self._notes(document))

    def matrix(self, query: str, at: datetime) -> list[tuple[list[datetime], list[float]]]:
        """Times and values of each series of an instant query whose result is a range."""
        found = self.series(query, at)
        return [([datetime.fromtimestamp(stamp, UTC) for stamp in one.times.tolist()], one.values.tolist()) for one in found]

    def series(self, query: str, at: datetime) -> list[RawSeries]:
        """Labels and samples of each series of an instant query whose result is a range: of a range selector the samples as stored."""
        document = self._ask("query", {"query": query, "time": _stamp(at)}, self._document)
        out, odd = [], Counter[str]()
        for row in self._result(document, "matrix", "values"):
            times = np.array([stamp for stamp, _ in row["values"]], np.float64)
            values = np.array([number(text, odd) for _, text in row["values"]], np.float64)
            out.append(RawSeries(text_labels(row["metric"], odd), times, values))
        return out

    def range(
        self, query: str, start: datetime, end: datetime, step: int = STEP, parts: Sequence[str] = (), *, exact: bool = False
    ) -> RangeAnswer:
        """Samples of ``query`` at start, start + step .. end; float32, or float64 where ``exact`` (requests and limits are).

        A question that is too large is halved in time down to an hour, then asked as ``parts`` that share no series; one that
        takes the server too long is halved once. The numbers are those of the whole question. Raises UsageError for a range that is
        no whole number of steps.
        """
        first, last = float(_stamp(start)), float(_stamp(end))
        if last < first or (last - first) % step:
            raise UsageError(f"{iso(start)} to {iso(end)} is no whole number of {step} s steps")
        grid, asked = Grid(first, step, int((last - first) // step) + 1), _Asked(np.float64 if exact else np.float32)
        pieces = self._pieces(asked, query, grid, parts)
        whole = pieces[0][1] if len(pieces) == 1 else joined(pieces, grid.count, asked.kind)
        notes, cost = (tuple(asked.warnings), tuple(asked.infos)), (asked.tally.requests, asked.tally.bytes)
        return RangeAnswer(whole.labels, whole.samples, *notes, dict(whole.odd), *cost, whole.named)

    def _pieces(self, asked: _Asked, query: str, grid: Grid, parts: Sequence[str]) -> list[tuple[int, Matrix]]:
        try:
            return self._halves(asked, query, grid, 0, grid.count)
        except QueryTooLarge:
            if not parts:
                raise
            self._session.say(f"the question is too large; asking it in {len(parts)} parts")
            return [piece for part in parts for piece in self._halves(asked, part, grid, 0, grid.count)]

    def _halves(self, asked: _Asked, query: str, grid: Grid, first: int, count: int, *, halved: bool = False) -> list[tuple[int, Matrix]]:
        """The matrix of some columns, in as many pieces as the server needs."""
        slow = False
        if count <= _MOST_COLUMNS:
            try:
                return [(first, self._columns(asked, query, grid.part(first, count)))]
            except QueryTooLarge as error:
                slow = isinstance(error, QueryTimedOut)
                if count < 2 or (count - 1) * grid.step <= _SHORTEST_S or (slow and halved):
                    raise
                self._session.say(f"the question is too large; asking for {count // 2 * grid.step / 3600:.3g} h at a time")
        left, once = count // 2, slow or halved
        return self._halves(asked, query, grid, first, left, halved=once) + self._halves(
            asked, query, grid, first + left, count - left, halved=once
        )

    def _columns(self, asked: _Asked, query: str, grid: Grid) -> Matrix:
        """One request for some columns."""
        last = grid.start + grid.step * (grid.count - 1)
        form = {"query": query, "start": _seconds(grid.start), "end": _seconds(last), "step": str(grid.step)}

        def read(body: bytearray) -> tuple[dict[str, Any], Matrix]:
            document, matrix = read_matrix(body, grid, asked.kind)
            return self._session.refusals.document(document, query), matrix

        document, matrix = self._ask("query_range", form, read, asked.tally)
        self._result(document, "matrix", "")
        warnings, infos = self._notes(document)
        asked.warnings |= dict.fromkeys(warnings)
        asked.infos |= dict.fromkeys(infos)
        return matrix

    def names(self) -> set[str]:
        """The names of all metrics."""
        return set(self.label_values("__name__"))

    def label_values(self, label: str) -> list[str]:
        """The values of a label."""
        values = self._client.get_label_values(label)
        if not isinstance(values, list):
            raise BadAnswer(f"{self.url} answers the values of a label with {self._session.refusals.shown(repr(values), 80)}")
        return [str(value) for value in values]

    def flavour(self) -> Flavour:
        """Which program answers, from its host name and build information; one that hides it is ``unknown``, one that is away raises.

        From then on it is asked for whole answers in its own words.
        """
        if self._flavour is None:
            self._flavour = self._look()
            self._whole = whole_answers(self._flavour.name)
        return self._flavour

    def _look(self) -> Flavour:
        build, managed = self._status("buildinfo"), hosted(self._base)
        name, version = managed or named(build), str(build.get("version", ""))
        if not name:
            return self._victoria(version)
        if name != "prometheus":
            return Flavour(name, version)
        retention = self._retention()
        if retention is None and self._status("stores", "/api/v1/"):  # a Prometheus has no stores, and mostly says what it keeps
            return Flavour("thanos", version)
        return Flavour("prometheus", version, retention)

    def _victoria(self, version: str) -> Flavour:
        """VictoriaMetrics says its flags as text; a bare number of its retention is months."""
        kept = re.search(r'^-retentionPeriod="?([\w.]+)', self._text("/flags"), re.MULTILINE)
        if kept is None:  # the select part of a cluster has no such page, but marks each answer as partial or not
            return Flavour("victoriametrics" if version and self._marks_partial() else "unknown", version)
        own = re.search(r'^vm_app_version\{[^}]*short_version="([^"]*)"', self._text("/metrics"), re.MULTILINE)
        retention = timedelta(days=31 * int(kept[1])) if kept[1].isdigit() else _duration(kept[1])
        return Flavour("victoriametrics", own[1] if own else version, retention)

    def _marks_partial(self) -> bool:
        form = {"query": "vector(1)"}
        try:
            return "isPartial" in self._ask("query", form, self._document)
        except (BadAnswer, SourceRefused):
            return False

    def _retention(self) -> timedelta | None:
        """The time that a Prometheus keeps samples; None when only a size bounds it."""
        said = _duration(str(self._status("flags").get("storage.tsdb.retention.time", "")))
        return said or _duration(str(self._status("runtimeinfo").get("storageRetention", "")).split(" ")[0])

    def _status(self, what: str, path: str = "/api/v1/status/") -> Mapping[str, Any]:
        """A status page, empty where the server has none or does not show it to us."""
        try:
            document = self._session.exchange("GET", f"{self._base}{path}{what}", self._document)
        except (BadAnswer, SourceRefused):
            return {}
        data = document.get("data")
        return data if isinstance(data, dict) else {}

    def _text(self, path: str) -> str:
        """A text page, empty where the server has none or does not show it to us."""
        try:
            return self._session.exchange("GET", self._base + path, lambda body: body.decode("utf-8", "replace"))
        except (BadAnswer, SourceRefused):
            return ""

    def _ask(self, endpoint: str, form: Mapping[str, str], read: Callable[[bytearray], Any], tally: Tally | None = None) -> Any:
        return self._session.exchange("POST", f"{self._base}/api/v1/{endpoint}", read, form={**form, **self._whole}, tally=tally)

    def _document(self, body: bytearray) -> dict[str, Any]:
        return self._session.refusals.document(lenient(body)[0])

    def _result(self, document: Mapping[str, Any], kind: str, values: str) -> list[dict[str, Any]]:
        """The series of a document; raises BadAnswer when they are not of the type that was asked for."""
        data = document.get("data")
        got = data.get("resultType") if isinstance(data, dict) else type(data).__name__
        if not isinstance(data, dict) or got != kind or not isinstance(data.get("result"), list):
            raise BadAnswer(f"{self.url} answers {self._session.refusals.shown(str(got), 40)!r} where a {kind} was asked for")
        rows: list[dict[str, Any]] = [
            row for row in data["result"] if not (isinstance(row, dict) and {"histogram", "histograms"} & row.keys())
        ]
        if values and not all(_is_series(row, values) for row in rows):
            raise BadAnswer(f"{self.url} answers series without labels or values")
        return rows

    def _notes(self, document: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Warnings (a partial answer is one) and infos of an answer."""
        shown = self._session.refusals.shown
        warnings = [shown(str(text)) for text in document.get("warnings") or ()]
        if document.get("isPartial"):
            warnings.append("the server marks the answer as partial")
        return tuple(warnings), tuple(shown(str(text)) for text in document.get("infos") or ())


def _is_series(row: Any, values: str) -> bool:
    if not isinstance(row, dict) or not isinstance(row.get("metric"), dict) or not isinstance(row.get(values), list):
        return False
    pairs = row[values] if values == "values" else [row[values]]
    return all(isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], (int, float)) for pair in pairs)


def _stamp(moment: datetime) -> str:
    if moment.tzinfo is None:
        raise UsageError(f"{moment} has no time zone; it would mean local time")
    return _seconds(moment.timestamp())


def _seconds(stamp: float) -> str:
    return f"{stamp:.3f}".rstrip("0").rstrip(".")


def _duration(text: str) -> timedelta | None:
    """A duration as Prometheus writes it; None for anything else and for zero."""
    if _DURATION.fullmatch(text) is None:
        return None
    parts = re.findall(r"(\d+)(ms|[smhdwy])", text)
    return timedelta(seconds=sum(int(count) * _UNIT[unit] for count, unit in parts)) or None
