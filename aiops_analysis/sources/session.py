"""One HTTP policy for every question: retries also for POST, a total deadline, bounded bodies, one-line errors (R1, R2, R5).

``PatientSession`` is a ``requests.Session``: ``PrometheusConnect`` is built over it and keeps the same policy. Redirects are not followed.
"""

from __future__ import annotations

import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.exceptions import ConnectionError as NoConnection
from requests.exceptions import RequestException, SSLError, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, NameResolutionError

from aiops_analysis.core.errors import QueryTooLarge, SourceUnreachable
from aiops_analysis.core.names import visible
from aiops_analysis.core.redact import Redactor, strip_credentials
from aiops_analysis.sources.http import BrokenBody, Server
from aiops_analysis.sources.http import _auth as auth_of

__all__ = ["DEADLINE_S", "MAX_BYTES", "NO_RETRY", "PatientSession"]

DEADLINE_S = 300.0  # [s] for one answer, its retries and waits included
MAX_BYTES = 64 * 2**20  # [bytes] of one decoded answer
NO_RETRY = urllib3.Retry(0, redirect=0, raise_on_status=False)  # the session itself is the one that tries again
_TRIES = 5
_LONGEST_WAIT = 60.0
_RETRIED = (408, 429, 500, 502, 503, 504)
_CHUNK = 2**18


class _Watch(threading.local):
    """The connection that this thread waits for, so that a clock can end a wait which no read time-out bounds."""

    sock: Any = None


_watch = _Watch()


class _Plain(HTTPConnection):
    def getresponse(self) -> Any:  # type: ignore[override]
        _watch.sock = self.sock
        return super().getresponse()


class _Tls(HTTPSConnection):
    def getresponse(self) -> Any:  # type: ignore[override]
        _watch.sock = self.sock
        return super().getresponse()


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _Tls


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}


class PatientSession(requests.Session):
    """Asks one server politely; ``sleep`` and ``clock`` are arguments so that a test need not wait.

    Raises SourceUnreachable when there is no whole answer in time; an answer with any status is returned, its body read.
    """

    def __init__(
        self,
        server: Server,
        redactor: Redactor,
        *,
        sleep: Callable[[float], None] = time.sleep,
        told: Callable[[str], None] | None = None,
        deadline_s: float = DEADLINE_S,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        super().__init__()
        self.server, self.redactor = server, redactor
        self.requests_made = 0
        self.auth = auth_of(server, redactor)
        self.verify = False if server.insecure else (server.ca_file or True)
        self.headers.update({"Accept-Encoding": "identity", **server.headers})
        self._sleep, self._told, self._deadline_s, self._max_bytes = sleep, told, deadline_s, max_bytes
        self.keep_policy()

    def keep_policy(self) -> None:
        """Mount our adapter again; PrometheusConnect replaces it for its URL when it is made."""
        for prefix in ("http://", "https://", self.server.url):
            self.mount(prefix, _Adapter(max_retries=NO_RETRY))

    def request(self, method: str, url: str, **options: Any) -> requests.Response:  # type: ignore[override]
        """Ask until there is a whole answer, at most five times and within the deadline; the body is read, redirects are not followed."""
        options |= {"stream": True, "allow_redirects": False}
        options["timeout"] = (self.server.connect_timeout, self.server.read_timeout)
        options["auth"] = options.get("auth") or self.auth
        end = time.monotonic() + self._deadline_s
        for left in range(_TRIES - 1, -1, -1):
            failed: Exception | None = None
            try:
                response = self._once(method, url, end, options)
            except (RequestException, HTTPError, BrokenBody) as error:
                failed = error
            else:
                if response.status_code == 401 and left and getattr(self.auth, "renewed", bool)():
                    continue  # the token file was replaced meanwhile
                if response.status_code not in _RETRIED or not left:
                    return response
            if failed is not None and (not left or not _passing(failed) or time.monotonic() >= end):
                raise self._unreachable(failed, end) from failed
            self._wait(None if failed else response, _TRIES - left, end)
        raise AssertionError("unreachable: the last turn returns or raises")

    def _once(self, method: str, url: str, end: float, options: dict[str, Any]) -> requests.Response:
        self.requests_made += 1
        with self._bounded(end):
            response = super().request(method, url, **options)
            try:
                response._content = self._body(response, end)  # noqa: SLF001 - what requests itself sets after reading
                response._content_consumed = True  # type: ignore[attr-defined]  # noqa: SLF001
            finally:
                response.close()
        return response

    @contextmanager
    def _bounded(self, end: float) -> Iterator[None]:
        """Cut the connection at the deadline: a server that sends a byte a second keeps every read time-out happy."""
        _watch.sock = None
        mine = _watch
        holder: list[Any] = []

        def cut() -> None:
            sock = holder[0].get("sock") if holder else None
            if sock is not None:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

        holder.append(mine.__dict__)  # of this thread; the timer runs in another one
        timer = threading.Timer(max(0.0, end - time.monotonic()), cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _body(self, response: requests.Response, end: float) -> bytes:
        """The whole decoded body; raises BrokenBody when it is cut, QueryTooLarge when it is larger than allowed."""
        parts, size = [], 0
        try:
            for part in response.raw.stream(_CHUNK, decode_content=True):
                size += len(part)
                if size > self._max_bytes:
                    raise QueryTooLarge(f"{self._where()} sent more than {self._max_bytes / 2**20:.0f} MiB in one answer; ask for less")
                if time.monotonic() >= end:
                    raise BrokenBody("the answer was not whole in time")
                parts.append(part)
        except (HTTPError, OSError, ValueError) as error:
            raise BrokenBody(f"the answer broke off ({type(error).__name__})") from error
        length = response.headers.get("Content-Length", "")
        if length.isdigit() and not response.headers.get("Content-Encoding") and size != int(length):
            raise BrokenBody(f"the answer has {size} of the {length} bytes that were announced")
        return b"".join(parts)

    def _wait(self, response: requests.Response | None, tried: int, end: float) -> None:
        """Wait as the server asks, at most a minute, else 1, 2, 4, 8 s with some jitter; never past the deadline."""
        asked = _retry_after(response)
        pause = min(_LONGEST_WAIT, asked) if asked is not None else 2.0 ** (tried - 1) + random.random()  # noqa: S311 - jitter, no secret
        pause = min(pause, max(0.0, end - time.monotonic()))
        if self._told is not None:
            why = f"it answered {response.status_code}" if response is not None else "it could not be reached"
            request = f", it asked for {asked:.0f} s" if asked is not None else ""
            self._told(f"{self._where()}: {why}; waiting {pause:.0f} s{request}")
        self._sleep(pause)

    def _where(self) -> str:
        return visible(strip_credentials(self.server.url))

    def _unreachable(self, error: Exception, end: float) -> SourceUnreachable:
        where = self._where()
        if time.monotonic() >= end:
            return SourceUnreachable(f"{where} did not send a whole answer within {self._deadline_s:.0f} s")
        if isinstance(error, SSLError):
            why = self.redactor.clean(visible(_certificate(error)))
            return SourceUnreachable(f"the certificate of {where} is not accepted: {why}; for a private authority set ca_file")
        return SourceUnreachable(f"cannot reach {where}: {self.redactor.clean(_why(error))}; is it running, and forwarded to here?")


def _retry_after(response: requests.Response | None) -> float | None:
    text = response.headers.get("Retry-After", "") if response is not None else ""
    if text.isdigit():
        return float(text)
    with suppress(TypeError, ValueError):
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    return None


def _passing(error: Exception) -> bool:
    """True for a failure that may be over in a moment: neither a bad certificate nor an unknown name."""
    return not isinstance(error, SSLError) and not any(isinstance(e, NameResolutionError) for e in _causes(error))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    todo = [error]
    while todo:
        current = todo.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        todo += [current.__cause__, current.__context__, getattr(current, "reason", None)]
        todo += [a for a in current.args if isinstance(a, BaseException)]


def _certificate(error: Exception) -> str:
    found = next((e for e in _causes(error) if isinstance(e, ssl.SSLCertVerificationError)), None)
    return found.verify_message if found is not None else "TLS could not be agreed"


def _why(error: Exception) -> str:
    if any(isinstance(e, NameResolutionError) for e in _causes(error)):
        return "there is no such host"
    if any(isinstance(e, ConnectionRefusedError) for e in _causes(error)):
        return "the connection is refused"
    if isinstance(error, Timeout):
        return "no answer in time"
    if isinstance(error, BrokenBody):
        return str(error)
    return "the connection broke off" if isinstance(error, NoConnection) else type(error).__name__
