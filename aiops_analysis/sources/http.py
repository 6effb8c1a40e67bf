"""Where a server is and which credentials it gets: auth objects, which ``~/.netrc`` cannot replace, and secrets that no ``repr`` shows."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase, HTTPBasicAuth

from aiops_analysis.core.errors import QueryTooLarge, SettingsError
from aiops_analysis.core.names import visible
from aiops_analysis.core.redact import Redactor, looks_secret, strip_credentials

__all__ = ["BrokenBody", "QueryTimedOut", "Server", "auth_of", "renewed"]

_AUTHS = ("none", "basic", "bearer")


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


def auth_of(server: Server, redactor: Redactor) -> AuthBase:
    """The auth object of a server; its secrets become known to the redactor."""
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


def renewed(auth: object) -> bool:
    """True when the token file of this auth object now holds another token than the one that was sent."""
    return isinstance(auth, _Bearer) and auth.renewed()
