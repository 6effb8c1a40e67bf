"""Credentials as auth objects, which ``~/.netrc`` cannot replace; tokens are read, fetched and signed anew where they expire."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
from requests.auth import AuthBase, HTTPBasicAuth

from aiops_analysis.core.errors import SettingsError, SourceRefused
from aiops_analysis.core.names import visible
from aiops_analysis.core.redact import Redactor, looks_secret
from aiops_analysis.sources.http import AwsKeys, Server

__all__ = ["COMMAND_S", "auth_of", "renewed"]

COMMAND_S = 30.0  # [s] that a token command may take
_EARLY_S = 10.0  # [s] before its end that a token is renewed
_LONGEST_TOKEN = 64 * 2**10  # [characters]
#: What a kubeconfig hands its exec plugins.
_EXEC_INFO = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "spec": {"interactive": False}}
_SERVICE = "aps"  # Amazon Managed Service for Prometheus


class _NoAuth(AuthBase):
    """No credentials; being an object it also keeps those of ``~/.netrc`` away."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class _Bearer(AuthBase):
    """A bearer token by value, or from a file that is read for each request: Kubernetes replaces service account tokens."""

    def __init__(self, server: Server, redactor: Redactor) -> None:
        self._server, self._redactor = server, redactor

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
        if not _is_token(token):
            raise SettingsError(f"token_file {shown!r} holds no token, or more than one line")
        return token

    def renewed(self, sent: str) -> bool:
        """True when the file now holds another token than the one that was sent."""
        return bool(self._server.token_file) and f"Bearer {self._read()}" != sent

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._read()}"
        return request


class _Command(AuthBase):
    """A bearer token that a program prints, plain or as an ExecCredential; kept until it expires or is refused."""

    def __init__(self, server: Server, redactor: Redactor, wall: Callable[[], float], seconds: float) -> None:
        self._command, self._redactor, self._wall, self._seconds = server.token_command, redactor, wall, seconds
        self._lock = threading.Lock()
        self._token = ""
        self._expires: float | None = None  # [Unix s]; None: the program does not say

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        with self._lock:
            if not self._token or (self._expires is not None and self._wall() >= self._expires - _EARLY_S):
                self._fetch()
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def renewed(self, sent: str) -> bool:
        """Run the program once more for a token that was refused; True when there is another one now."""
        with self._lock:
            if sent == f"Bearer {self._token}":  # another thread may have renewed it already
                self._fetch()
            return sent != f"Bearer {self._token}"

    def _fetch(self) -> None:
        out = self._run()
        token, expires = self._parsed(out.strip())
        self._redactor.add(token)
        if not _is_token(token):
            raise self._failed("printed no token, or more than one line")
        self._token, self._expires = token, expires

    def _run(self) -> str:
        environ = os.environ | {"KUBERNETES_EXEC_INFO": json.dumps(_EXEC_INFO)}
        try:
            # a session of its own, so that whatever it starts ends with it and nobody is asked for a password
            process = subprocess.Popen(
                list(self._command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environ,
                start_new_session=True,
            )
        except OSError as error:
            raise SettingsError(
                f"token_command {visible(self._command[0])!r} cannot be run: {(error.strerror or 'unknown reason').lower()}"
            ) from error
        with process:
            try:
                out, said = process.communicate(timeout=self._seconds)
            except BaseException as error:
                os.killpg(process.pid, signal.SIGKILL)
                if isinstance(error, subprocess.TimeoutExpired):
                    raise self._failed(f"did not end within {self._seconds:g} s") from error
                raise
        if process.returncode:
            raise self._failed(f"ended with {process.returncode}{self._words(said)}")
        if len(out) > _LONGEST_TOKEN:
            raise self._failed("printed far more than a token")
        return out.decode("utf-8", "replace")

    def _words(self, said: bytes) -> str:
        """The last line that a failed program said, unless it may hold a secret."""
        lines = [line.strip() for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
        if not lines or any(looks_secret("", line) for line in lines):
            return ""
        return f" and says {visible(self._redactor.clean(lines[-1]))!r}"

    def _parsed(self, text: str) -> tuple[str, float | None]:
        """The token of a program's output and when it ends."""
        if not text.startswith("{"):
            return text, None
        try:
            status = json.loads(text)["status"]
            token, expires = status.get("token"), status.get("expirationTimestamp")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise self._failed("printed JSON that is no ExecCredential with a status") from None
        if not isinstance(token, str) or not token:
            raise self._failed("printed an ExecCredential without status.token (client certificates from a command are not read)")
        self._redactor.add(token)
        if expires is None:
            return token, None
        try:
            end = datetime.fromisoformat(expires)
        except (TypeError, ValueError):
            raise self._failed("printed an ExecCredential whose expirationTimestamp is no time") from None
        return token, (end if end.tzinfo else end.replace(tzinfo=UTC)).timestamp()

    def _failed(self, words: str) -> SourceRefused:
        return SourceRefused(f"token_command {visible(self._command[0])!r} {words}; run it by hand to see why")


class _SigV4(AuthBase):
    """Requests signed for Amazon Managed Service for Prometheus, with keys given by value or found by botocore."""

    def __init__(self, server: Server, redactor: Redactor) -> None:
        self._redactor, self._lock = redactor, threading.Lock()
        try:
            from requests_aws4auth import AWS4Auth

            self._keys = server.aws_keys or _chain()
        except ImportError as error:
            raise SettingsError(
                f'auth sigv4 needs a package that is not installed ({error.name}): pip install "aiops-analysis[aws]"'
            ) from error
        self._signer = AWS4Auth(region=server.region, service=_SERVICE, refreshable_credentials=self)

    def get_frozen_credentials(self) -> _Frozen:
        """The keys of this moment, known to the redactor before they are used; the signer asks for them at each request."""
        keys = self._keys if isinstance(self._keys, AwsKeys) else _frozen(self._keys)
        for secret in (keys.secret_key, keys.session_token):
            self._redactor.add(secret)
        return _Frozen(keys)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        with self._lock:  # the signer keeps the day's key in itself
            signed: requests.PreparedRequest = self._signer(request)
        return signed


class _Frozen:
    """Keys under the names that the signer reads."""

    def __init__(self, keys: AwsKeys) -> None:
        self.access_key, self.secret_key, self.token = keys.access_key, keys.secret_key, keys.session_token or None


def _chain() -> Any:
    """The credentials that botocore finds: profile, web identity, container, instance."""
    from botocore.exceptions import BotoCoreError
    from botocore.session import get_session

    try:
        found = get_session().get_credentials()
    except BotoCoreError as error:
        raise SettingsError(f"auth sigv4: the AWS credentials cannot be read ({type(error).__name__}); check AWS_PROFILE") from error
    if found is None:
        raise SettingsError("auth sigv4 finds no AWS credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a role")
    return found


def _frozen(found: Any) -> AwsKeys:
    from botocore.exceptions import BotoCoreError

    try:
        keys = found.get_frozen_credentials()
    except BotoCoreError as error:
        raise SourceRefused(f"auth sigv4: the AWS credentials could not be renewed ({type(error).__name__}); log in again") from error
    return AwsKeys(keys.access_key, keys.secret_key, keys.token or "")


def _is_token(text: str) -> bool:
    return bool(text) and text.isprintable() and text.isascii() and " " not in text


def auth_of(server: Server, redactor: Redactor, *, wall: Callable[[], float], command_s: float = COMMAND_S) -> AuthBase:
    """The auth object of a server; its secrets become known to the redactor. ``wall`` gives the time [Unix s].

    Raises SettingsError when a package or the credentials of SigV4 are missing.
    """
    pairs = ((server.username, server.password), (server.proxy_username, server.proxy_password))
    joined = [f"{user}:{word}" for user, word in pairs if word]
    for secret in (server.password, server.proxy_password, server.token, *joined):
        redactor.add(secret)
    for name, value in server.headers.items():
        plain = name.lower().replace("-", "_")
        if looks_secret(plain) or plain in ("authorization", "proxy_authorization", "cookie"):
            redactor.add(value)
            redactor.add(value.rpartition(" ")[2])  # the credential without its scheme
    if server.auth == "basic":
        return HTTPBasicAuth(server.username.encode(), server.password.encode())
    if server.auth == "sigv4":
        return _SigV4(server, redactor)
    if server.auth == "bearer":
        return _Command(server, redactor, wall, command_s) if server.token_command else _Bearer(server, redactor)
    return _NoAuth()


def renewed(auth: object, sent: str) -> bool:
    """True when this auth object has another token now than the one in the Authorization header that was sent."""
    return isinstance(auth, (_Bearer, _Command)) and auth.renewed(sent)
