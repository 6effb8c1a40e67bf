"""One HTTP policy for every question: credentials, certificates, retries, a total deadline, bounded bodies, one-line errors.

``PatientSession`` is a ``requests.Session``; ``PrometheusConnect`` is built over it and thereby keeps the same policy. Decisions R1-R5
of reliability.md: connect and read time-outs plus a clock over the whole answer, retries also for POST with the error body kept,
``Retry-After`` capped at 60 s, redirects not followed, credentials as auth objects, which ``~/.netrc`` cannot replace.
"""

from __future__ import annotations

import io
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import orjson
import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase, HTTPBasicAuth
from requests.exceptions import RequestException
from requests.utils import get_environ_proxies, select_proxy
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, InvalidHeader, MaxRetryError, NameResolutionError, ProtocolError

from aiops_analysis.core.errors import AiopsError, BadAnswer, QueryTooLarge, SettingsError, SourceError, SourceRefused, SourceUnreachable
from aiops_analysis.core.names import visible
from aiops_analysis.core.redact import Redactor, looks_secret, strip_credentials

__all__ = ["DEADLINE_S", "MAX_BYTES", "NO_RETRY", "BrokenBody", "PatientSession", "QueryTimedOut", "Server", "check_document"]

DEADLINE_S = 300.0  # [s] for one answer, its retries and waits included
MAX_BYTES = 64 * 2**20  # [bytes] of one decoded answer
NO_RETRY = urllib3.Retry(0, redirect=0, raise_on_status=False)  # for adapters: the session itself is the one that tries again
_CHUNK = 2**18
_AUTHS = ("none", "basic", "bearer")
_RETRIED = (408, 429, 500, 502, 503, 504)
_PATIENCE = urllib3.Retry(
    total=4,
    backoff_factor=1,
    backoff_jitter=1,
    status_forcelist=_RETRIED,
    allowed_methods=None,
    raise_on_status=False,
    respect_retry_after_header=True,
    retry_after_max=60,
)
_TOO_LARGE = ("too many", "exceed", "limit", "would load", "maximum", "memory", "timed out", "timeout", "deadline", "too large", "too long")
_WRONG_QUERY = ("parse error", "unexpected", "cannot parse", "unknown function", "unsupported", "many-to-many", "duplicate series", "multiple matches")
T = TypeVar("T")


class QueryTimedOut(QueryTooLarge):
    """The server gave up on the query for its duration; a half of the range is tried once."""


class BrokenBody(Exception):
    """A body that is not whole; asking again may help."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where a Prometheus API is and how to speak to it; secrets stay out of its ``repr``.

    Raises SettingsError for credentials in the URL, another scheme, an unknown or incomplete ``auth``, an unreadable ``ca_file``.
    """

    url: str
    auth: str = "none"
    username: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    token_file: str = ""
    ca_file: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    insecure: bool = False
    connect_timeout: float = 5.0  # [s]
    read_timeout: float = 130.0  # [s] between two pieces of an answer

    def __post_init__(self) -> None:
        _check_url(self.url)
        object.__setattr__(self, "url", self.url.rstrip("/"))
        if self.auth not in _AUTHS:
            raise SettingsError(f"auth {visible(self.auth)!r} is unknown; expected one of {', '.join(_AUTHS)}")
        if self.auth == "basic" and not (self.username and self.password):
            raise SettingsError("auth basic needs a username and a password")
        if self.auth == "bearer" and bool(self.token) == bool(self.token_file):
            raise SettingsError("auth bearer needs either a token or a token_file")
        for name, value in (*self.headers.items(), ("token", self.token)):
            if not f"{name}{value}".isprintable() or not f"{name}{value}".isascii():
                raise SettingsError(
                    f"the header or token {visible(name)!r} holds a line break or another character that no header may hold"
                )
        if self.ca_file:
            _check_ca(self.ca_file)

    @property
    def tried(self) -> str:
        """The credentials that are sent, in words, without them."""
        if self.auth == "basic":
            return f"basic auth as {visible(self.username)!r}"
        if self.auth == "bearer":
            return f"a bearer token from the file {visible(self.token_file)!r}" if self.token_file else "a bearer token"
        return "no credentials"


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0 and url.isprintable() and " " not in url
    except ValueError:
        raise SettingsError("the URL of the server cannot be read; expected for example http://127.0.0.1:9090") from None
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise SettingsError(
            f"the URL {strip_credentials(url)} must not hold credentials, a query or a fragment; give a username, password or token "
            "from the environment or a file"
        )
    if not good:
        raise SettingsError(f"{visible(strip_credentials(url))!r} is not the URL of a server; expected for example http://127.0.0.1:9090")


def _check_ca(path: str) -> None:
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:  # ssl.SSLError is one
        what = "holds no certificate in PEM form" if isinstance(error, ssl.SSLError) else (error.strerror or "cannot be read").lower()
        raise SettingsError(f"ca_file {visible(path)!r}: {what}") from error


class _NoAuth(AuthBase):
    """No credentials; being an object it also keeps those of ``~/.netrc`` away."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class _Bearer(AuthBase):
    """A bearer token by value, or from a file that is read for each request: Kubernetes replaces service account tokens."""

    def __init__(self, server: Server, redactor: Redactor) -> None:
        self._server, self._redactor, self._sent = server, redactor, ""

    def _read(self) -> str:
        if not self._server.token_file:
            return self._server.token
        shown = visible(self._server.token_file)
        try:
            token = Path(self._server.token_file).read_text(encoding="ascii").strip()
        except (OSError, UnicodeError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else "not a text"
            raise SettingsError(f"token_file {shown!r}: {why.lower()}") from error
        self._redactor.add(token)
        if not token or not token.isprintable() or " " in token:
            raise SettingsError(f"token_file {shown!r} holds no token, or more than one line")
        return token

    def renewed(self) -> bool:
        """True when the file now holds another token than the one that was sent."""
        return bool(self._server.token_file) and self._read() != self._sent

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        self._sent = self._read()
        request.headers["Authorization"] = f"Bearer {self._sent}"
        return request


def _auth(server: Server, redactor: Redactor) -> AuthBase:
    for secret in (server.password, server.token, f"{server.username}:{server.password}" if server.password else ""):
        redactor.add(secret)
    for name, value in server.headers.items():
        plain = name.lower().replace("-", "_")
        if looks_secret(plain) or plain in ("authorization", "proxy_authorization", "cookie"):
            redactor.add(value)
            redactor.add(value.rpartition(" ")[2])  # the credential without its scheme
    if server.auth == "basic":
        return HTTPBasicAuth(server.username.encode(), server.password.encode())
    return _Bearer(server, redactor) if server.auth == "bearer" else _NoAuth()


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
                    continue  # it was not connected yet, or is not any more

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


class _PlainConnection(_Watched, HTTPConnection):
    pass


class _TlsConnection(_Watched, HTTPSConnection):
    pass


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Adapter(HTTPAdapter):
    """The adapter of requests with watched connections."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        manager = super().proxy_manager_for(*args, **options)
        manager.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}
        return manager


@dataclass(slots=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    body: bytearray
    raw: Any


class _Again(Exception):  # noqa: N818 - a step of the loop of one exchange
    """One attempt failed in a way that another may not; ``final`` is raised when patience or time is over."""

    def __init__(self, words: str, final: AiopsError, raw: Any = None, *, connecting: bool = False) -> None:
        super().__init__(words)
        self.words, self.final, self.raw, self.connecting = words, final, raw, connecting


@dataclass(slots=True)
class Tally:
    """What one question cost: requests sent and body bytes received."""

    requests: int = 0
    bytes: int = 0


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and everything it was made from: requests and urllib3 keep the cause in several places."""
    queue, seen = [error], set()
    while queue:
        current = queue.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        parts = (*current.args, getattr(current, "reason", None), current.__cause__, current.__context__)
        queue += [part for part in parts if isinstance(part, BaseException)]


class PatientSession(requests.Session):
    """A session with one policy for all its requests; ``PrometheusConnect`` uses it through ``request``, we through ``exchange``.

    ``sleep`` and ``clock`` are handed in by tests; ``progress`` hears one line whenever the session waits.
    """

    def __init__(
        self,
        server: Server,
        redactor: Redactor,
        *,
        deadline_s: float = DEADLINE_S,
        max_bytes: int = MAX_BYTES,
        progress: Callable[[str], None] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.server, self.deadline_s, self.max_bytes = server, deadline_s, max_bytes
        self.tally = Tally()
        self.server_date: Any = None  # datetime of the last answer's Date header
        self._redactor, self._progress, self._sleep, self._clock = redactor, progress, sleep, clock
        self._lock = threading.Lock()
        self._reached = False
        self.auth = _auth(server, redactor)
        self.verify = False if server.insecure else (server.ca_file or True)
        self.headers.update({"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "aiops-analysis", **server.headers})
        self.watch_connections("http://", "https://")
        if server.insecure:  # asked for on the command line and shown in the report; not said again for each request
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)

    def watch_connections(self, *prefixes: str) -> None:
        """Put our adapter before any other that is mounted on a shorter prefix."""
        for prefix in prefixes:
            self.mount(prefix, _Adapter(max_retries=NO_RETRY))

    @property
    def proxy(self) -> str:
        """The proxy of the environment that requests go through, without credentials, or ""."""
        url = self.server.url
        return strip_credentials(select_proxy(url, get_environ_proxies(url)) or "")

    def say(self, text: str) -> None:
        """One line of progress."""
        if self._progress is not None:
            self._progress(self._redactor.clean(text))

    def shown(self, text: str, longest: int = 200) -> str:
        """Foreign text in a message: secrets out, control characters escaped, cut."""
        return visible(self._redactor.clean(text), longest)

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **options: Any) -> requests.Response:  # noqa: ARG002
        """What PrometheusConnect calls: the same policy, and an answer that is checked to be a success."""

        def read(body: bytearray) -> bytes:
            self.check_document(orjson.loads(body))
            return bytes(body)

        response = requests.Response()
        response.status_code, response.encoding = 200, "utf-8"
        response.raw = io.BytesIO(self.exchange(str(method), str(url), read, params=options.get("params"), form=options.get("data")))
        return response
