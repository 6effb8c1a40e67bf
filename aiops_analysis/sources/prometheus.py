"""Questions to a Prometheus API: label sets and float32 matrices, nothing silently partial (reliability.md R3-R5).

Small calls go through ``PrometheusConnect``; query answers go through the same session and are parsed straight into matrices.
"""

from __future__ import annotations

import gc
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import orjson
import requests

from aiops_analysis.core.errors import AiopsError, BadAnswer, QueryTooLarge, SourceRefused
from aiops_analysis.core.names import visible
from aiops_analysis.core.redact import Redactor, strip_credentials
from aiops_analysis.core.window import STEP
from aiops_analysis.sources.http import QueryTimedOut, Server
from aiops_analysis.sources.session import DEADLINE_S, MAX_BYTES, NO_RETRY, PatientSession

__all__ = ["Flavour", "Prometheus", "RangeAnswer", "Vector"]

_SHORTEST = timedelta(hours=1)  # a refused range is halved down to this, then split by its parts
_WHOLE = {"partial_response": "false", "deny_partial_response": "1", "timeout": "110s"}
_TOO_LARGE = ("too many", "exceed", "limit", "would load", "maximum resolution", "memory", "too large", "too long")
_TIMED_OUT = ("timed out", "timeout", "deadline")
_LARGEST = float(np.finfo(np.float32).max)
_DURATION = re.compile(r"(\d+)(ms|[smhdwy])")
_UNIT = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400, "y": 365 * 86_400}


class _Collector:
    """The garbage collector, paused while an answer is parsed: hundreds of thousands of small lists, none of them garbage, wake it for nothing."""

    def __init__(self) -> None:
        self._lock, self._pauses = threading.Lock(), 0

    @contextmanager
    def paused(self) -> Iterator[None]:
        """No collection while at least one thread is inside."""
        with self._lock:
            self._pauses += 1
            gc.disable()
        try:
            yield
        finally:
            with self._lock:
                self._pauses -= 1
                if not self._pauses:
                    gc.enable()


_COLLECTOR = _Collector()


@dataclass(frozen=True, slots=True)
class Flavour:
    """What answers: name, version, and how long it keeps samples (None: it does not say)."""

    name: str
    version: str
    retention: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Vector:
    """Label sets and their values at one moment."""

    labels: list[dict[str, str]]
    values: np.ndarray
    warnings: tuple[str, ...] = ()
    infos: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RangeAnswer:
    """Label sets and samples [rows, steps] from start to end inclusive, NaN missing; ``odd`` counts what was not a plain sample."""

    labels: list[dict[str, str]]
    samples: np.ndarray
    warnings: tuple[str, ...] = ()
    infos: tuple[str, ...] = ()
    odd: dict[str, int] = field(default_factory=dict)


class Prometheus:
    """One server; safe for the two threads of a pull. Raises the SourceErrors of core.errors, each one line, without credentials."""

    def __init__(
        self,
        server: Server,
        redactor: Redactor,
        *,
        sleep: Callable[[float], None] = time.sleep,
        progress: Callable[[str], None] | None = None,
        deadline_s: float = DEADLINE_S,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        from prometheus_api_client import PrometheusConnect

        self._session = PatientSession(server, redactor, sleep=sleep, told=progress, deadline_s=deadline_s, max_bytes=max_bytes)
        self._client = PrometheusConnect(server.url, session=self._session, retry=NO_RETRY, timeout=int(server.read_timeout))
        self._session.keep_policy()
        self._server, self._redactor = server, redactor
        self.url = strip_credentials(server.url)

    @property
    def requests_made(self) -> int:
        """Requests sent so far, retries included."""
        return self._session.requests_made

    def instant(self, query: str, at: datetime) -> Vector:
        """The value of every series of ``query`` at ``at``; NaN stays NaN."""
        body = self._ask("query", {"query": query, "time": _stamp(at)})
        rows = _result(body, "vector", self.url)
        values = np.array([_number(row["value"][1]) for row in rows], np.float64)
        return Vector([row["metric"] for row in rows], values, *_notes(body))

    def matrix(self, query: str, at: datetime) -> list[tuple[list[datetime], list[float]]]:
        """Times and values of each series of an instant query whose result is a range."""
        rows = _result(self._ask("query", {"query": query, "time": _stamp(at)}), "matrix", self.url)
        return [([datetime.fromtimestamp(t, UTC) for t, _ in row["values"]], [_number(v) for _, v in row["values"]]) for row in rows]

    def range(
        self, query: str, start: datetime, end: datetime, step: int = STEP, parts: Sequence[str] = (), *, exact: bool = False
    ) -> RangeAnswer:
        """Samples of ``query`` at start, start + step .. end; float32, or float64 where ``exact`` (requests and limits are).

        A question that is too large is halved in time down to an hour, then asked as ``parts`` that share no series; one that
        takes the server too long is halved once. The numbers are those of the whole question.
        """
        return self._range(query, start, end, step, parts, np.float64 if exact else np.float32, halved=False)

    def _range(
        self, query: str, start: datetime, end: datetime, step: int, parts: Sequence[str], kind: type, *, halved: bool
    ) -> RangeAnswer:
        try:
            return self._range_once(query, start, end, step, kind)
        except QueryTooLarge as error:
            slow = isinstance(error, QueryTimedOut)
            if end - start > _SHORTEST and not (slow and halved):
                middle = start + timedelta(seconds=step) * ((end - start) // timedelta(seconds=step) // 2)
                first = self._range(query, start, middle, step, parts, kind, halved=slow or halved)
                second = self._range(query, middle + timedelta(seconds=step), end, step, parts, kind, halved=slow or halved)
                return _in_time(first, second)
            if not parts:
                raise
            return _side_by_side([self._range(part, start, end, step, (), kind, halved=halved) for part in parts])

    def _range_once(self, query: str, start: datetime, end: datetime, step: int, kind: type) -> RangeAnswer:
        form = {"query": query, "start": _stamp(start), "end": _stamp(end), "step": str(step)}
        body = self._ask("query_range", form)
        rows = _result(body, "matrix", self.url)
        samples, odd = _placed(rows, start.timestamp(), step, int((end - start).total_seconds()) // step + 1, kind)
        return RangeAnswer([row["metric"] for row in rows], samples, *_notes(body), odd)

    def names(self) -> set[str]:
        """The names of all metrics."""
        return set(self.label_values("__name__"))

    def label_values(self, label: str) -> list[str]:
        """The values of a label."""
        from prometheus_api_client.exceptions import PrometheusApiClientException

        try:
            return [str(value) for value in self._client.get_label_values(label)]
        except (PrometheusApiClientException, requests.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise BadAnswer(f"{self.url} does not answer label values as a Prometheus API does ({type(error).__name__})") from error

    def flavour(self) -> Flavour:
        """Which program answers, from its build information; raises as a query does when nothing usable answers."""
        body = self._document(self._session.request("GET", f"{self._server.url}/api/v1/status/buildinfo"))
        data = body.get("data") if isinstance(body.get("data"), dict) else {}
        version = str(data.get("version", ""))
        application = str(data.get("application", "")).lower()
        if "mimir" in application or "cortex" in application:
            return Flavour("mimir", version)
        if not data.get("goVersion"):
            return self._victoria(version)
        if version.startswith("0."):
            return Flavour("thanos", version)
        return Flavour("prometheus", version, self._retention())

    def _victoria(self, version: str) -> Flavour:
        flags = self._text("/flags")
        kept = re.search(r'-?retentionPeriod="?(\w+)"?', flags)
        if kept is None:
            return Flavour("unknown", version)
        own = re.search(r'vm_app_version\{[^}]*short_version="([^"]*)"', self._text("/metrics"))
        # a bare number is months
        text = kept[1] if not kept[1].isdigit() else f"{int(kept[1]) * 31}d"
        return Flavour("victoriametrics", own[1] if own else version, _duration(text))

    def _retention(self) -> timedelta | None:
        response = self._session.request("GET", f"{self._server.url}/api/v1/status/runtimeinfo")
        if response.status_code != 200:
            return None
        data = self._document(response).get("data") or {}
        return _duration(str(data.get("storageRetention", "")).split(" ")[0])

    def _text(self, path: str) -> str:
        response = self._session.request("GET", f"{self._server.url}{path}")
        return response.text if response.status_code == 200 else ""

    def _ask(self, endpoint: str, form: dict[str, str]) -> dict[str, Any]:
        return self._document(self._session.request("POST", f"{self._server.url}/api/v1/{endpoint}", data=form | _WHOLE))

    def _document(self, response: requests.Response) -> dict[str, Any]:
        """The JSON of a good answer; everything else becomes one clear error."""
        try:
            with _COLLECTOR.paused():
                body = orjson.loads(response.content)
        except orjson.JSONDecodeError:
            body = None
        if isinstance(body, dict) and body.get("status") == "success" and response.ok:
            return body
        raise self._error(response, body)

    def _error(self, response: requests.Response, body: Any) -> AiopsError:
        code = response.status_code
        if code in (401, 403, 407):
            return SourceRefused(f"{self.url} refuses access ({code}); {self._server.tried} was sent: check prometheus.auth and its secret")
        if 300 <= code < 400:
            host = strip_credentials(response.headers.get("Location", ""))
            return SourceRefused(
                f"{self.url} redirects to {visible(host)!r}, which is not followed; give the final URL, or log in to the proxy"
            )
        if not isinstance(body, dict) or "status" not in body:
            return self._not_an_api(response)
        kind, text = str(body.get("errorType", "")), self._redactor.clean(visible(str(body.get("error", "")), 300))
        message = f"{self.url} answers {code} {kind}: {text}"
        low = f"{kind} {text}".lower()
        if kind == "timeout" or code in (503, 408, 504) or any(word in low for word in _TIMED_OUT):
            return QueryTimedOut(message)
        if code in (400, 413, 422) and any(word in low for word in _TOO_LARGE):
            return QueryTooLarge(message)
        return BadAnswer(message)

    def _not_an_api(self, response: requests.Response) -> AiopsError:
        code, kind = response.status_code, response.headers.get("Content-Type", "no type").split(";")[0]
        if code in (413, 414):
            return QueryTooLarge(f"{self.url} answers {code}: the question is too large")
        shown = self._redactor.clean(visible(response.content[:400].decode("utf-8", "replace"), 80))
        if code in (408, 500, 502, 503, 504, 429):
            return QueryTimedOut(f"{self.url} goes on answering {code}: {shown!r}")
        return BadAnswer(f"{self.url} is not a Prometheus API (got {code} {visible(kind)}): {shown!r}; check the URL and its path prefix")


def _stamp(moment: datetime) -> str:
    return f"{moment.timestamp():.3f}".rstrip("0").rstrip(".")


def _number(text: Any) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return float("nan")


def _result(body: dict[str, Any], kind: str, url: str) -> list[dict[str, Any]]:
    data = body.get("data")
    if not isinstance(data, dict) or data.get("resultType") != kind or not isinstance(data.get("result"), list):
        got = data.get("resultType") if isinstance(data, dict) else type(data).__name__
        raise BadAnswer(f"{url} answers {visible(str(got))!r} where a {kind} was asked for")
    rows: list[dict[str, Any]] = data["result"]
    if not all(isinstance(row, dict) and isinstance(row.get("metric"), dict) and ("values" in row or "value" in row) for row in rows):
        raise BadAnswer(f"{url} answers series without labels or values")
    return rows


def _notes(body: dict[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Warnings (a partial answer is one) and infos of an answer."""
    warnings = [visible(str(text), 300) for text in body.get("warnings") or ()]
    if body.get("isPartial"):
        warnings.append("the answer is partial")
    return tuple(warnings), tuple(visible(str(text), 300) for text in body.get("infos") or ())


def _placed(rows: list[dict[str, Any]], start: float, step: int, width: int, kind: type = np.float32) -> tuple[np.ndarray, dict[str, int]]:
    """Samples on the grid; counts of what was off the grid, doubled, NaN, infinite, too large or unreadable."""
    out = np.full((len(rows), width), np.nan, kind)
    lengths = [len(row["values"]) for row in rows]
    total = sum(lengths)
    odd = {"nan": 0, "infinite": 0, "unreadable": 0, "off_grid": 0, "duplicate": 0}
    if not total:
        return out, odd
    values, places, at = np.empty(total), np.empty(total), 0
    for row, length in zip(rows, lengths, strict=True):
        if length:
            stamps, texts = zip(*row["values"], strict=True)
            values[at : at + length], unreadable = _numbers(texts)
            places[at : at + length] = stamps
            odd["unreadable"] += unreadable
            at += length
        row["values"] = None  # the parsed text is the larger half of the memory
    places = (places - start) / step
    column = np.rint(places).astype(np.int64)
    good = (np.abs(places - column) < 1e-3 / step + 1e-6) & (column >= 0) & (column < width)
    odd["nan"] = int(np.isnan(values).sum()) - odd["unreadable"]
    large = np.abs(values) > _LARGEST
    odd["infinite"] = int(large.sum())
    odd["off_grid"] = int((~good).sum())
    keep = good & ~large & ~np.isnan(values)
    flat = (np.repeat(np.arange(len(rows)), lengths) * width + column)[keep]
    seen = np.zeros(out.size, bool)
    seen[flat] = True
    odd["duplicate"] = int(keep.sum() - seen.sum())
    out.reshape(-1)[flat] = values[keep]
    return out, odd


def _numbers(texts: Sequence[Any]) -> tuple[Any, int]:
    """The values of sample texts, and how many could not be read.

    orjson reads plain decimals five times faster than ``float``, to the same bit; NaN and infinities are left to ``float``.
    """
    try:
        return orjson.loads(f"[{','.join(texts)}]"), 0
    except (orjson.JSONDecodeError, TypeError):
        numbers = [_number(text) for text in texts]
        return numbers, sum(1 for n, text in zip(numbers, texts, strict=True) if n != n and str(text).lower() != "nan")


def _key(labels: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(labels.items()))


def _in_time(first: RangeAnswer, second: RangeAnswer) -> RangeAnswer:
    """Two halves of a range as one, by label set."""
    rows = {_key(labels): number for number, labels in enumerate(first.labels)}
    labels = list(first.labels)
    for m in second.labels:
        if rows.setdefault(_key(m), len(rows)) == len(labels):
            labels.append(m)
    width = first.samples.shape[1]
    out = np.full((len(labels), width + second.samples.shape[1]), np.nan, first.samples.dtype)
    out[: len(first.labels), :width] = first.samples
    out[[rows[_key(m)] for m in second.labels], width:] = second.samples
    return RangeAnswer(labels, out, *_joined(first, second))


def _side_by_side(answers: Sequence[RangeAnswer]) -> RangeAnswer:
    """Parts that share no series as one answer."""
    labels = [m for answer in answers for m in answer.labels]
    return RangeAnswer(labels, np.concatenate([answer.samples for answer in answers]), *_joined(*answers))


def _joined(*answers: RangeAnswer) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, int]]:
    odd: dict[str, int] = {}
    for answer in answers:
        for kind, count in answer.odd.items():
            odd[kind] = odd.get(kind, 0) + count
    warnings = tuple(dict.fromkeys(text for answer in answers for text in answer.warnings))
    return warnings, tuple(dict.fromkeys(text for answer in answers for text in answer.infos)), odd


def _duration(text: str) -> timedelta | None:
    parts = _DURATION.findall(text)
    seconds = sum(int(count) * _UNIT[unit] for count, unit in parts)
    return timedelta(seconds=seconds) if seconds else None
