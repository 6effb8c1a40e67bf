"""The only way text gets into Markdown that a forge renders: names in code spans, words with their punctuation escaped (X09).

A code span alone stops mentions, images, links and HTML; what could end a span or a table cell, or looks like any of them to a
reader that is no Markdown parser, is shown as an escape on top. Kubernetes has no name with such a character.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from aiops_analysis.core.names import visible

__all__ = ["code", "details", "fitted", "row", "words"]

_ACTIVE = re.compile(r"[`|@#<>\[\]]")
_PUNCTUATION = re.compile(r"([\\*_{}()!~&$])")
_EMPTY = "–"


def _shown(match: re.Match[str]) -> str:
    return f"\\x{ord(match[0]):02x}"


def code(text: str, longest: int = 80) -> str:
    """A name as a code span, also inside a table cell.

    >>> code("backend"), code("a`|@org"), code("")
    ('`backend`', '`a\\\\x60\\\\x7c\\\\x40org`', '–')
    """
    inside = _ACTIVE.sub(_shown, visible(text, longest)).strip()
    return f"`{inside}`" if inside else _EMPTY


def words(text: str, longest: int = 400) -> str:
    """A sentence that may hold a name, as plain text on one line.

    >>> words("a *b* <i> @org 1.5 GiB")
    'a \\\\*b\\\\* \\\\\\\\x3ci\\\\\\\\x3e \\\\\\\\x40org 1.5 GiB'
    """
    plain = visible(" ".join(text.replace("\u00a0", " ").split()), longest)
    return _PUNCTUATION.sub(r"\\\1", _ACTIVE.sub(_shown, plain)).replace("://", ":\u200b//").replace("www.", "www\u200b.")


def row(cells: Sequence[str]) -> str:
    """One line of a table; the cells are Markdown already."""
    return f"| {' | '.join(cells)} |"


def details(title: str, body: str) -> str:
    """A block that opens on a click; title and body are Markdown already."""
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"


def fitted(lines: Iterable[str], budget: int) -> tuple[list[str], int]:
    """As many lines as fit into ``budget`` characters with their line ends, and how many were left."""
    kept: list[str] = []
    everything = list(lines)
    for line in everything:
        budget -= len(line) + 1
        if budget < 0:
            break
        kept.append(line)
    return kept, len(everything) - len(kept)
