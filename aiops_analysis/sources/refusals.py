"""What a bad answer means: one error with one line that says what was wrong, where, and what to do (reliability.md R3, R5)."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import urllib3
from requests.exceptions import ConnectTimeout, ProxyError, SSLError
from urllib3.exceptions import NameResolutionError, ReadTimeoutError

from aiops_analysis.core.errors import AiopsError, BadAnswer, QueryTooLarge, SourceRefused, SourceUnreachable
from aiops_analysis.core.names import visible
from aiops_analysis.core.redact import Redactor, strip_credentials
from aiops_analysis.sources.http import QueryTimedOut, Server

__all__ = ["RETRIED", "Again", "Answer", "Refusals"]

RETRIED = (408, 429, 500, 502, 503, 504)
_TOO_LARGE = ("too many", "exceed", "limit", "would load", "maximum", "memory", "too large", "too long")
_TIMED_OUT = ("timed out", "timeout", "deadline")
#: Alerts of a server that wants a client certificate, or another one.
_CLIENT_CERTIFICATE = (
    "CERTIFICATE_REQUIRED",
    "ALERT_UNKNOWN_CA",
    "ALERT_BAD_CERTIFICATE",
    "ALERT_CERTIFICATE_EXPIRED",
    "ALERT_CERTIFICATE_UNKNOWN",
    "ALERT_CERTIFICATE_REVOKED",
    "ALERT_ACCESS_DENIED",
)
_WRONG_QUERY = ("parse", "unexpected", "unknown function", "unsupported", "many-to-many", "duplicate series", "multiple matches")


_NOT_CONNECTED = (NameResolutionError, ConnectionRefusedError, urllib3.exceptions.NewConnectionError)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer with its whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytearray
    raw: Any
    sent: str = field(default="", repr=False)  # the Authorization header of the request


class Again(Exception):
    """One attempt failed in a way that another may not; ``final`` is raised when patience or time is over."""

    def __init__(
        self, words: str, final: AiopsError, answer: Answer | None = None, *, connecting: bool = False, renewed: bool = False
    ) -> None:
        super().__init__(words)
        self.words, self.final, self.answer, self.connecting, self.renewed = words, final, answer, connecting, renewed


class Refusals:
    """The errors of one server; foreign text in them is cut, escaped and without secrets."""

    def __init__(self, server: Server, redactor: Redactor, proxy: Callable[[], str]) -> None:
        self.server, self.url, self._redactor, self._proxy = server, visible(strip_credentials(server.url)), redactor, proxy

    def shown(self, text: str, longest: int = 300) -> str:
        """Foreign text in a message: secrets out, control characters escaped, cut."""
        return visible(self._redactor.clean(text), longest)

    def overdue(self, deadline_s: float) -> SourceUnreachable:
        """The time of one answer is used up."""
        return SourceUnreachable(f"{self.url} did not send a whole answer within {deadline_s:g} s")

    def fault(self, error: Exception) -> AiopsError | Again:
        """What a failed attempt means; certificates and proxies that refuse are final."""
        causes = list(_causes(error))
        certificate = next((c for c in causes if isinstance(c, ssl.SSLCertVerificationError)), None)
        if certificate is not None:
            why = self.shown(certificate.verify_message.rstrip("."))
            return SourceUnreachable(f"the certificate of {self.url} is not accepted: {why}; for a private authority set ca_file")
        if any("407" in str(c) for c in causes if isinstance(c, OSError)) and isinstance(error, ProxyError):
            where = self._proxy_settings("HTTPS_PROXY")
            return SourceRefused(f"the proxy {self._proxy()} in front of {self.url} refuses us (407); check {where}")
        if any(word in str(c) for c in causes if isinstance(c, ssl.SSLError) for word in _CLIENT_CERTIFICATE):
            shown = self.server.tried if self.server.client_cert_file else "no client certificate"
            return SourceRefused(f"{self.url} refuses {shown}: set client_cert_file and client_key_file to a pair that it accepts")
        if any("WRONG_VERSION_NUMBER" in str(c) for c in causes):
            return SourceUnreachable(f"{self.url} does not speak TLS; is it an http:// address?")
        way = f" through the proxy {self._proxy()}" if isinstance(error, ProxyError) else ""
        connecting = isinstance(error, (ConnectTimeout, ProxyError, SSLError)) or any(isinstance(c, _NOT_CONNECTED) for c in causes)
        why = self._why(causes)
        hint = (
            "check the URL; is it running, and forwarded to here?" if connecting else "the server or something before it ends answers early"
        )
        return Again(why, SourceUnreachable(f"{self.url} cannot be reached{way}: {why}; {hint}"), connecting=connecting)

    def _proxy_settings(self, variable: str) -> str:
        return "prometheus.proxy, prometheus.proxy_username and AIOPS_PROMETHEUS_PROXY_PASSWORD" if self.server.proxy else variable

    def _why(self, causes: list[BaseException]) -> str:
        kinds = {
            NameResolutionError: "there is no such host",
            ConnectionRefusedError: "the connection is refused",
            ConnectTimeout: f"no connection within {self.server.connect_timeout:g} s",
            ReadTimeoutError: "no answer in time",
            ssl.SSLError: "TLS could not be agreed (does it want a client certificate?)",
            urllib3.exceptions.DecodeError: "the answer's compression is broken",
        }
        found = next((words for kind, words in kinds.items() if any(isinstance(c, kind) for c in causes)), None)
        return found or "the connection broke off"

    def document(self, document: Any, query: str = "") -> dict[str, Any]:
        """The JSON document of a success; raises for an error with status 200, and for the JSON of another API."""
        if not isinstance(document, dict) or document.get("status") not in ("success", "error"):
            shown = self.shown(orjson.dumps(document).decode("utf-8", "replace"), 80)
            raise BadAnswer(f"{self.url} is not a Prometheus API (got JSON of another kind): {shown!r}; check the URL and its path prefix")
        if document["status"] == "error":
            raise self._by_words(200, str(document.get("errorType", "")), str(document.get("error", "")), query)
        return document

    def refusal(self, answer: Answer, query: str) -> AiopsError:
        """The error that a status other than 2xx means."""
        status = answer.status
        if status in (401, 403):
            return SourceRefused(
                f"{self.url} refuses access ({status}) with {self.server.tried}: check auth and its secret in the settings"
            )
        if status == 407:
            where = self._proxy_settings("HTTP_PROXY")
            return SourceRefused(f"the proxy {self._proxy()} in front of {self.url} refuses us (407); check {where} and its credentials")
        if 300 <= status < 400:
            target = self.shown(strip_credentials(answer.headers.get("Location", "")))
            return BadAnswer(
                f"{self.url} is not a Prometheus API: it redirects ({status}) to {target!r}, which is not followed; give the final URL"
            )
        try:
            document = orjson.loads(answer.body)
        except orjson.JSONDecodeError:
            document = None
        if isinstance(document, dict) and document.get("status") == "error":
            return self._by_words(status, str(document.get("errorType", "")), str(document.get("error", "")), query)
        if status in RETRIED or status == 413:
            return self._by_words(status, "", answer.body[:400].decode("utf-8", "replace"), query)
        return self.not_an_api(answer)

    def _by_words(self, status: int, kind: str, text: str, query: str) -> AiopsError:
        """The error that the server's own words mean: too long, too large, wrong, or out of order."""
        low, message = f"{kind} {text}".lower(), f"{self.url} answers {status} {self.shown(kind, 40)}: {self.shown(text)}"
        timed = any(word in low for word in _TIMED_OUT)
        if kind == "timeout" or status in (408, 504) or (timed and status in (200, 422, 503)):
            return QueryTimedOut(message)
        if status == 429 or status >= 500:
            return SourceUnreachable(f"{message}; the server is busy or out of order, try again later")
        wrong = any(word in low for word in _WRONG_QUERY)
        large = any(word in low for word in _TOO_LARGE)
        if status == 413 or (not wrong and (large or status == 422 or kind == "execution")):
            return QueryTooLarge(message)
        if status in (400, 422):
            return AiopsError(f"{message}; the query was {self.shown(query)}")
        return BadAnswer(message)

    def not_an_api(self, answer: Answer) -> BadAnswer:
        """A page, or the text of something else; its first 80 characters are shown."""
        kind = self.shown(answer.headers.get("Content-Type", "no content type").split(";")[0], 40)
        status = "" if answer.status == 200 else f"{answer.status}, "
        shown = visible(self._redactor.clean(answer.body[:400].decode("utf-8", "replace"))[:80], 80)
        return BadAnswer(f"{self.url} is not a Prometheus API (got {status}{kind}): {shown!r}; check the URL and its path prefix")


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
