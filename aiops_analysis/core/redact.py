"""Secrets never reach a log, a report or a URL: what was given is known here and taken out of every text (reliability.md R13)."""

from __future__ import annotations

import base64
import re
from urllib.parse import quote, quote_plus, urlsplit, urlunsplit

__all__ = ["Redactor", "looks_secret", "strip_credentials"]

_MARK = "[redacted]"
_SHORTEST = 4  # a shorter secret would blank ordinary words; it is refused by the settings instead
_NAMES = re.compile(r"(?:^|_)(?:token|password|passwd|secret|api_?key|credentials?|bearer)(?:$|_)|_key$", re.IGNORECASE)
_SHAPES = re.compile(r"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|\bAKIA[0-9A-Z]{16}\b|\bglsa_\w{16,}|\bgh[pousr]_\w{20,}|://[^/\s@:]*:[^/\s@]+@")


class Redactor:
    """Knows the secrets of this process and takes them, plain, base64 and URL-encoded, out of texts."""

    def __init__(self) -> None:
        self._forms: dict[str, None] = {}

    def add(self, secret: str) -> None:
        """Remember a secret; texts shorter than four characters are left alone."""
        if len(secret) < _SHORTEST:
            return
        raw = secret.encode()
        encoded = base64.b64encode(raw).decode()
        for form in (
            secret,
            encoded,
            encoded.rstrip("="),
            base64.urlsafe_b64encode(raw).decode(),
            quote(secret, safe=""),
            quote_plus(secret),
        ):
            self._forms[form] = None

    def forms(self) -> tuple[str, ...]:
        """Every text that must not appear anywhere, longest first."""
        return tuple(sorted(self._forms, key=len, reverse=True))

    def clean(self, text: str) -> str:
        """The text without any known secret."""
        for form in self.forms():
            text = text.replace(form, _MARK)
        return text

    def found(self, data: bytes) -> bool:
        """True if the bytes hold a known secret in any form."""
        return any(form.encode() in data for form in self._forms)


def strip_credentials(url: str) -> str:
    """The URL without user, password, query and fragment, for messages and evidence.

    >>> strip_credentials("https://me:pw@prom.example:9090/x?token=1")
    'https://prom.example:9090/x'
    """
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def looks_secret(name: str, value: object = "") -> bool:
    """True for a parameter that should never be one: by its name, or by the shape of its value (tokens, keys, URLs with a password)."""
    return bool(_NAMES.search(name)) or bool(isinstance(value, str) and _SHAPES.search(value))
