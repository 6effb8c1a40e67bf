"""Names from a cluster are hostile text: one reversible encoding for paths, one visible form for people (reliability.md H11, X10-X12)."""

from __future__ import annotations

import hashlib
import unicodedata

__all__ = ["decode_path", "encode_path", "visible"]

_SAFE = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")
_RESERVED = frozenset({"con", "prn", "aux", "nul", *(f"com{i}" for i in range(10)), *(f"lpt{i}" for i in range(10))})
_LONGEST = 120  # bytes of one path part, far below the 255 of common file systems, room for suffixes


def encode_path(name: str) -> str:
    """One path part for any text: reversible, never ``.`` or ``..``, no two names equal on a disk that ignores case.

    Everything but lower-case letters, digits, ``-``, ``_`` and inner dots becomes ``%xx`` of its UTF-8 bytes. A part longer than
    120 bytes is cut and ends in ``~`` and a hash; that form alone cannot be decoded.

    >>> encode_path("prod"), encode_path("Prod"), encode_path("../x"), encode_path("con")
    ('prod', '%50rod', '%2e.%2fx', '%63on')
    """
    raw = name.encode("utf-8", "surrogatepass")
    text = "".join(chr(b) if chr(b) in _SAFE else f"%{b:02x}" for b in raw) or "%"
    if text[0] == "." or text.split(".")[0] in _RESERVED:
        text = f"%{ord(text[0]):02x}{text[1:]}"
    if text[-1] == ".":
        text = text[:-1] + "%2e"
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST - 33].rstrip('%.')}~{hashlib.sha256(raw).hexdigest()[:32]}"
    return text


def decode_path(part: str) -> str:
    """The name that ``encode_path`` was given; the part itself when it was cut."""
    if "~" in part:
        return part
    if part == "%":
        return ""
    out, i = bytearray(), 0
    while i < len(part):
        if part[i] == "%":
            out.append(int(part[i + 1 : i + 3], 16))
            i += 3
        else:
            out += part[i].encode()
            i += 1
    return out.decode("utf-8", "surrogatepass")


def visible(text: str, longest: int = 200) -> str:
    """The text with control, format and other invisible characters as escapes, cut at ``longest`` with a mark.

    Keeps a terminal, a log and a reader from being misled by escapes, right-to-left overrides and zero-width characters.
    """
    cut = text[:longest]
    shown = "".join(c if c == " " or unicodedata.category(c)[0] not in "CZ" else c.encode("unicode_escape").decode() for c in cut)
    return shown + (f"... ({len(text)} characters)" if len(text) > longest else "")
