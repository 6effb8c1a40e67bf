"""Where a server is and how it is spoken to; secrets stay out of every ``repr``."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

from aiops_analysis.core.errors import QueryTooLarge, SettingsError
from aiops_analysis.core.names import visible
from aiops_analysis.core.redact import looks_secret, strip_credentials

__all__ = ["AwsKeys", "BrokenBody", "Params", "QueryTimedOut", "Server"]

_AUTHS = ("none", "basic", "bearer", "sigv4")
_ORG = "X-Scope-OrgID"
_OWN_PARAMS = frozenset({"query", "time", "start", "end", "step", "limit", "match[]"})  # limit= would cut answers silently
#: Further fields of every request: a text, or several of one name.
Params = Mapping[str, "str | tuple[str, ...]"]


class QueryTimedOut(QueryTooLarge):
    """The server gave up on the query for its duration; a half of the range is tried once."""


class BrokenBody(Exception):
    """A body that is not whole; asking again may help."""


@dataclass(frozen=True, slots=True)
class AwsKeys:
    """Keys of an AWS account that are given by value."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Server:
    """Where a Prometheus API is and how to speak to it; secrets stay out of its ``repr``.

    Raises SettingsError for credentials in a URL, another scheme, an unknown or incomplete ``auth``, an unreadable certificate, and
    query parameters that are ours or look like a secret.
    """

    url: str
    auth: str = "none"
    username: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    token_file: str = ""
    token_command: tuple[str, ...] = field(default=(), repr=False)  # a program and its arguments, run without a shell
    ca_file: str = ""
    client_cert_file: str = ""
    client_key_file: str = ""  # "" where the certificate's file holds the key too
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    org_id: str = ""  # the tenant of Mimir and Cortex
    query_params: Params = field(default_factory=dict, repr=False)
    proxy: str = ""  # "": what the environment says
    proxy_username: str = ""
    proxy_password: str = field(default="", repr=False)
    region: str = ""
    aws_keys: AwsKeys | None = None  # None: botocore finds them
    insecure: bool = False
    connect_timeout: float = 5.0  # [s]
    read_timeout: float = 130.0  # [s] between two pieces of an answer

    def __post_init__(self) -> None:
        _check_url(self.url)
        object.__setattr__(self, "url", self.url.rstrip("/"))
        self._check_auth()
        for name, value in (*self.headers.items(), ("org_id", self.org_id), ("token", self.token)):
            if not f"{name}{value}".isprintable() or not f"{name}{value}".isascii():
                raise SettingsError(
                    f"the header or token {visible(name)!r} holds a line break or another character that no header may hold"
                )
        if self.org_id and _ORG.lower() in {name.lower() for name in self.headers}:
            raise SettingsError(f"the tenant is given twice: as org_id and as the header {_ORG}")
        if self.ca_file:
            _check_ca(self.ca_file)
        self._check_client_certificate()
        _check_params(self.query_params)
        self._check_proxy()

    def _check_auth(self) -> None:
        if self.auth not in _AUTHS:
            raise SettingsError(f"auth {visible(self.auth)!r} is unknown; expected one of {', '.join(_AUTHS)}")
        if self.auth == "basic" and not (self.username and self.password):
            raise SettingsError("auth basic needs a username and a password")
        if self.auth == "bearer" and bool(self.token) + bool(self.token_file) + bool(self.token_command) != 1:
            raise SettingsError("auth bearer needs either a token or a token_file or a token_command")
        if self.auth == "sigv4" and not self.region:
            raise SettingsError("auth sigv4 needs a region (prometheus.region), for example eu-central-1")

    def _check_client_certificate(self) -> None:
        if not self.client_cert_file:
            if self.client_key_file:
                raise SettingsError("client_key_file is set without client_cert_file")
            return
        if not self.url.startswith("https:"):
            raise SettingsError("client_cert_file needs an https URL: over plain http no certificate is shown")
        _check_chain(self.client_cert_file, self.client_key_file)

    def _check_proxy(self) -> None:
        if not self.proxy:
            if self.proxy_username or self.proxy_password:
                raise SettingsError("a user or password for a proxy is set, but no proxy (prometheus.proxy)")
            return
        _check_url(self.proxy, "a proxy", "http://proxy:3128")
        if bool(self.proxy_username) != bool(self.proxy_password):
            raise SettingsError("the proxy needs a user and a password, or neither")

    @property
    def tried(self) -> str:
        """The credentials that are sent, in words, without them."""
        shown = f" and the client certificate {visible(self.client_cert_file)!r}" if self.client_cert_file else ""
        if self.auth == "basic":
            return f"basic auth as {visible(self.username)!r}{shown}"
        if self.auth == "sigv4":
            return f"AWS SigV4 for region {visible(self.region)!r}{shown}"
        if self.auth == "bearer":
            if self.token_command:
                return f"a bearer token from the command {visible(self.token_command[0])!r}{shown}"
            return f"a bearer token from the file {visible(self.token_file)!r}{shown}" if self.token_file else f"a bearer token{shown}"
        return shown.removeprefix(" and ") or "no credentials"

    @property
    def all_headers(self) -> dict[str, str]:
        """The headers that go along with every request, the tenant among them."""
        return dict(self.headers) | ({_ORG: self.org_id} if self.org_id else {})

    @property
    def proxy_url(self) -> str:
        """The configured proxy with its credentials, for the client only; "" without one."""
        if not self.proxy_username:
            return self.proxy
        scheme, _, rest = self.proxy.partition("://")
        return f"{scheme}://{quote(self.proxy_username, safe='')}:{quote(self.proxy_password, safe='')}@{rest}"


def _check_url(url: str, what: str = "a server", example: str = "http://127.0.0.1:9090") -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0 and url.isprintable() and " " not in url
    except ValueError:
        raise SettingsError(f"the URL of {what.replace('a ', 'the ')} cannot be read; expected for example {example}") from None
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise SettingsError(
            f"the URL {visible(strip_credentials(url))} must not hold credentials, a query or a fragment; give a username, password or "
            "token from the environment or a file"
        )
    if not good:
        raise SettingsError(f"{visible(strip_credentials(url))!r} is not the URL of {what}; expected for example {example}")


def _check_ca(path: str) -> None:
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:  # ssl.SSLError is one
        what = "holds no certificate in PEM form" if isinstance(error, ssl.SSLError) else (error.strerror or "cannot be read").lower()
        raise SettingsError(f"ca_file {visible(path)!r}: {what}") from error


def _check_chain(certificate: str, key: str) -> None:
    """Read the client certificate once, so that an unreadable one is named and OpenSSL never asks a terminal for a passphrase."""

    def refused() -> str:
        raise SettingsError(f"the key of client_cert_file {visible(certificate)!r} has a passphrase; give a key without one")

    for name, path in (("client_cert_file", certificate), ("client_key_file", key)):
        try:
            if path:
                Path(path).open("rb").close()
        except OSError as error:
            raise SettingsError(f"{name} {visible(path)!r}: {(error.strerror or 'cannot be read').lower()}") from error
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key or None, password=refused)
    except ssl.SSLError as error:
        why = "do not belong together" if error.reason == "KEY_VALUES_MISMATCH" else "are no certificate and key in PEM form"
        shown = f" and client_key_file {visible(key)!r}" if key else " (which must hold the key too, without a client_key_file)"
        raise SettingsError(f"client_cert_file {visible(certificate)!r}{shown} {why}") from error


def _check_params(params: Params) -> None:
    for name, value in params.items():
        texts = (value,) if isinstance(value, str) else value
        if name in _OWN_PARAMS:
            raise SettingsError(f"query_params cannot set {name}, which each question sets itself")
        if looks_secret(name.lower().replace("-", "_")) or any(looks_secret("", text) for text in texts):
            raise SettingsError(f"query_params.{visible(name)} looks like a secret, which would stand in URLs; use headers_env or auth")
        if not name or not "".join((name, *texts)).isprintable():
            raise SettingsError(f"query_params.{visible(name)} holds a line break or another character that is not printable")
