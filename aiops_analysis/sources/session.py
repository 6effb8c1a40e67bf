"""One HTTP policy for every question: retries also for POST, a total deadline, bounded bodies, one-line errors (reliability.md R1-R5).

``PatientSession`` is a ``requests.Session``: ``PrometheusConnect`` is built over it and keeps the same policy. Redirects are not
followed. A body counts only when its reader accepts it; a cut one is asked for again.
"""

from __future__ import annotations

import io
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import orjson
import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.exceptions import RequestException
from requests.utils import get_environ_proxies, select_proxy
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, MaxRetryError

from aiops_analysis.core.errors import AiopsError, BadAnswer, QueryTooLarge
from aiops_analysis.core.names import visible
from aiops_analysis.core.redact import Redactor, strip_credentials
from aiops_analysis.sources.credentials import auth_of, renewed
from aiops_analysis.sources.http import BrokenBody, Params, QueryTimedOut, Server
from aiops_analysis.sources.refusals import RETRIED, Again, Answer, Refusals

__all__ = ["DEADLINE_S", "MAX_BYTES", "NO_RETRY", "PatientSession", "Tally"]

DEADLINE_S = 300.0  # [s] for one answer, its retries and waits included
MAX_BYTES = 64 * 2**20  # [bytes] of one decoded answer
NO_RETRY = urllib3.Retry(0, redirect=0, raise_on_status=False)  # for adapters: the session itself is the one that tries again
_CHUNK = 2**18
_LONGEST_WAIT = 60  # [s] that a server may make us wait at once; the default of urllib3 is six hours
_PATIENCE = urllib3.Retry(
    total=4,
    backoff_factor=1,
    backoff_jitter=1,
    status_forcelist=RETRIED,
    allowed_methods=None,
    raise_on_status=False,
    retry_after_max=_LONGEST_WAIT,
)
_FIRST_CONTACT = 2  # tries of a connection that never worked: a wrong URL should be told soon
T = TypeVar("T")
_ATTEMPT = threading.local()


class _Watch:
    """Shuts the sockets of one attempt down when its time is over; a read time-out alone never stops one byte a second."""

    def __init__(self, seconds: float) -> None:
        self.over = False
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._timer = threading.Timer(max(seconds, 0.0), self._cut)
        self._timer.daemon = True

    def add(self, live: socket.socket) -> None:
        """Watch a socket through a copy of its descriptor, which wrapping in TLS and closing do not take away from us."""
        with self._lock:
            self._sockets.append(socket.socket(fileno=os.dup(live.fileno())))
        if self.over:
            self._cut()

    def _cut(self) -> None:
        with self._lock:
            self.over = True
            for live in self._sockets:
                try:
                    live.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # not connected any more

    def __enter__(self) -> _Watch:
        _ATTEMPT.watch = self
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        _ATTEMPT.watch = None
        self._timer.cancel()
        with self._lock:
            for live in self._sockets:
                live.close()
            self._sockets.clear()


class _Watched:
    """Mixed into connections: hands the socket to the watch of the attempt that runs in this thread."""

    sock: Any

    def _new_conn(self) -> socket.socket:
        live: socket.socket = super()._new_conn()  # type: ignore[misc]
        _ATTEMPT.watch.add(live)
        return live

    def getresponse(self) -> Any:
        if self.sock is not None:  # a connection that is used again did not pass through _new_conn
            _ATTEMPT.watch.add(self.sock)
        return super().getresponse()  # type: ignore[misc]


class _Plain(_Watched, HTTPConnection):
    pass


class _Tls(_Watched, HTTPSConnection):
    pass


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _Tls


class _Adapter(HTTPAdapter):
    """The adapter of requests with watched connections, direct and through a proxy."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        manager = super().proxy_manager_for(*args, **options)
        manager.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}
        return manager


@dataclass(slots=True)
class Tally:
    """What one question cost: requests sent, and bytes of bodies received."""

    requests: int = 0
    bytes: int = 0


class PatientSession(requests.Session):
    """Asks one server politely; ``sleep``, ``clock`` and ``wall`` are arguments so that a test need not wait.

    ``told`` hears one line before each wait. Safe for several threads.
    """

    def __init__(
        self,
        server: Server,
        redactor: Redactor,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        told: Callable[[str], None] | None = None,
        deadline_s: float = DEADLINE_S,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        super().__init__()
        self.server, self.url = server, visible(strip_credentials(server.url))
        self.tally = Tally()
        self.server_date: datetime | None = None  # the Date header of the last answer
        self._redactor, self._sleep, self._clock, self._told = redactor, sleep, clock, told
        self._deadline_s, self._max_bytes = deadline_s, max_bytes
        self.refusals = Refusals(server, redactor, lambda: self.proxy)
        self._lock = threading.Lock()
        self._reached = False
        self.auth = auth_of(server, redactor, wall=wall)
        self.verify = False if server.insecure else (server.ca_file or True)
        self.cert = (server.client_cert_file, server.client_key_file or server.client_cert_file) if server.client_cert_file else None
        ours = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "aiops-analysis"}
        self.headers.update(ours | server.all_headers)
        self.keep_policy()
        if server.insecure:  # asked for on the command line and shown in the report; not said again for each request
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)

    def keep_policy(self) -> None:
        """Mount our adapter again; PrometheusConnect replaces it for its URL when it is made."""
        for prefix in ("http://", "https://", self.server.url):
            self.mount(prefix, _Adapter(max_retries=NO_RETRY))

    @property
    def proxy(self) -> str:
        """The proxy that requests go through, ours or that of the environment, without credentials, or ""."""
        return self.server.proxy or strip_credentials(select_proxy(self.server.url, get_environ_proxies(self.server.url)) or "")

    def say(self, text: str) -> None:
        """One line of progress."""
        if self._told is not None:
            self._told(f"{self.url}: {text}")

    def request(self, method: str, url: str, *_: Any, **options: Any) -> requests.Response:  # type: ignore[override]
        """What PrometheusConnect calls: the same policy, and an answer that is checked to be a success."""
        response = requests.Response()
        response.status_code, response.encoding = 200, "utf-8"
        response.raw = io.BytesIO(self.exchange(method, url, self._checked, params=options.get("params"), form=options.get("data")))
        return response

    def _checked(self, body: bytearray) -> bytes:
        self.refusals.document(orjson.loads(body))
        return bytes(body)

    def exchange(
        self,
        method: str,
        url: str,
        read: Callable[[bytearray], T],
        *,
        params: Params | None = None,
        form: Params | None = None,
        tally: Tally | None = None,
    ) -> T:
        """What ``read`` makes of the body of a good answer; asked again, after a wait, while that may help and the time allows it.

        Raises SourceUnreachable, SourceRefused, BadAnswer, QueryTooLarge; AiopsError when the query itself is wrong. ``read`` raises
        BrokenBody or ValueError for a body that is not whole.
        """
        end, patience, query = self._clock() + self._deadline_s, _PATIENCE, str((form or {}).get("query", ""))
        costs = (self.tally,) if tally is None else (self.tally, tally)
        last: AiopsError | None = None
        fresh = False  # a refused token is renewed once for one answer
        if form is None:
            params = {**(params or {}), **self.server.query_params}
        else:
            form = {**form, **self.server.query_params}
        while True:
            left = end - self._clock()
            if left <= 0:
                raise last if isinstance(last, QueryTimedOut) else self.refusals.overdue(self._deadline_s)
            try:
                return self._taken(self._attempt(method, url, params, form, left, costs), read, query, fresh)
            except Again as again:
                fresh = fresh or again.renewed
                last, patience = again.final, self._patience_after(patience, again, end)

    def _attempt(
        self,
        method: str,
        url: str,
        params: Params | None,
        form: Params | None,
        left: float,
        costs: tuple[Tally, ...],
    ) -> Answer:
        """One request and its whole body, within the time that is left."""
        timeout = (min(self.server.connect_timeout, left), min(self.server.read_timeout, left))
        with self._lock:
            for tally in costs:
                tally.requests += 1
        with _Watch(left) as watch:
            try:
                response = super().request(
                    method,
                    url,
                    params=params,
                    data=form,
                    verify=self.verify,
                    cert=self.cert,
                    proxies=dict.fromkeys(("http", "https"), self.server.proxy_url) if self.server.proxy else None,
                    timeout=timeout,
                    stream=True,
                    allow_redirects=False,
                )
                with response:
                    self._note(response.headers)
                    body = self._body(response)
            except (RequestException, HTTPError, OSError) as error:
                if watch.over:
                    raise self.refusals.overdue(self._deadline_s) from error
                raise self.refusals.fault(error) from error
        if watch.over:  # a body without a length looks whole when we cut it
            raise self.refusals.overdue(self._deadline_s)
        with self._lock:
            for tally in costs:
                tally.bytes += len(body)
        return Answer(response.status_code, response.headers, body, response.raw, response.request.headers.get("Authorization", ""))

    def _note(self, headers: Mapping[str, str]) -> None:
        self._reached = True
        try:
            self.server_date = parsedate_to_datetime(headers["Date"])
        except (KeyError, ValueError):
            return

    def _body(self, response: requests.Response) -> bytearray:
        """The whole decoded body; raises QueryTooLarge when it is larger than allowed."""
        body = bytearray()
        for part in response.raw.stream(_CHUNK, decode_content=True):
            body += part
            if len(body) > self._max_bytes:
                raise QueryTooLarge(f"{self.url} sends more than {self._max_bytes / 2**20:g} MiB in one answer; ask for less")
        return body

    def _taken(self, answer: Answer, read: Callable[[bytearray], T], query: str, fresh: bool) -> T:
        """What the reader makes of a good answer; raises what a bad one means. ``fresh`` says that the token was just renewed."""
        if answer.status == 401 and not fresh and renewed(self.auth, answer.sent):  # the token was replaced, or has expired
            raise Again("the token was renewed", self.refusals.refusal(answer, query), renewed=True)
        if answer.status in RETRIED:
            raise Again(f"it answers {answer.status}", self.refusals.refusal(answer, query), answer)
        if not 200 <= answer.status < 300:
            raise self.refusals.refusal(answer, query)
        try:
            return read(answer.body)
        except (BrokenBody, ValueError) as error:
            final = BadAnswer(f"{self.url}: the answer is broken ({self.refusals.shown(str(error), 80)}), again and again")
            kind = answer.headers.get("Content-Type", "")
            if isinstance(error, BrokenBody) or not answer.body or "json" in kind or answer.body.lstrip()[:1] == b"{":
                raise Again("the answer is broken", final) from error
            raise self.refusals.not_an_api(answer) from error

    def _patience_after(self, patience: urllib3.Retry, again: Again, end: float) -> urllib3.Retry:
        """Wait as the server asks or as patience says; raises the final error when tries or time are used up."""
        tries = len(patience.history) + 1
        if again.connecting and not self._reached and tries >= _FIRST_CONTACT:
            raise again.final from again
        try:
            patience = patience.increment("POST", self.url, error=HTTPError(again.words))
        except MaxRetryError:
            raise again.final from again
        asked = _retry_after(again.answer)
        wait = min(asked, _LONGEST_WAIT) if asked is not None else patience.get_backoff_time()
        if wait >= end - self._clock():
            raise again.final from again
        if asked is not None and again.answer is not None:
            cut = f"; waiting {wait:.0f} s" if wait < asked else ""
            self.say(f"server asks to wait {asked:.0f} s ({again.answer.status}){cut}")
        elif wait > 0:
            self.say(f"{again.words}; trying again in {wait:.0f} s (try {tries + 1} of {_PATIENCE.total + 1})")  # type: ignore[operator]
        if wait > 0:
            self._sleep(wait)
        return patience


def _retry_after(answer: Answer | None) -> float | None:
    """The seconds that a server asks to wait; a date counts from the server's own clock."""
    text = answer.headers.get("Retry-After", "").strip() if answer is not None else ""
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, (parsedate_to_datetime(text) - parsedate_to_datetime(answer.headers["Date"])).total_seconds())  # type: ignore[union-attr]
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
