"""YAML as text: strings are written quoted, always; reading takes plain data only, with limits (fault row 44).

The reader builds mappings, lists and texts from the parser's events. Tags, anchors and aliases are refused, so nothing in a file can
make an object, refer to itself or grow; ``yes``, ``1e3`` and ``2026-11-01`` stay the texts that they are.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from aiops_analysis.core.errors import UsageError

__all__ = ["YamlError", "quoted", "read_documents", "read_yaml"]


@dataclass(frozen=True, slots=True)
class _Limits:
    """What is read at most."""

    longest: int  # characters
    deepest: int
    most: int  # mappings, lists and texts


_PLAIN = _Limits(65_536, 8, 5_000)
#: Kubernetes manifests: an affinity in a CronJob in a List is 16 deep.
_MANIFESTS = _Limits(2 * 2**20, 32, 200_000)


class YamlError(UsageError):
    """A YAML text is broken, too large, or more than plain data; ``line`` is where, counted from 1."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


def quoted(text: str) -> str:
    """The text as a double-quoted YAML scalar in one line; whatever cannot be seen is an escape, a lone surrogate becomes U+FFFD.

    >>> print(quoted("yes"), quoted("1e3"), quoted('say "hi"'), quoted("two" + chr(10) + "lines"))
    "yes" "1e3" "say \\"hi\\"" "two\\nlines"
    """
    return '"' + "".join(_escaped(c) for c in text) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character == "\n":
        return "\\n"
    if character == " " or unicodedata.category(character)[0] not in "CZ":
        return character
    code = ord(character)
    if 0xD800 <= code <= 0xDFFF:
        return "\ufffd"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def read_yaml(text: str) -> dict[str, Any]:
    """The mapping that a YAML text is: values are dicts, lists, str, or None for an empty or ``null`` plain scalar.

    Raises YamlError with the line for broken YAML, anything but one mapping, tags, anchors, aliases, a key that is not a text or comes
    twice, more than 64 K characters, nesting deeper than 8, and more than 5,000 values.
    """
    found = _read(text, _PLAIN)
    if len(found) > 1:
        raise YamlError("more than one YAML document", found[1][0])
    value = found[0][1] if found else None
    if not isinstance(value, dict):
        raise YamlError("the YAML is not a mapping of names to values", 1)
    return value


def read_documents(text: str) -> list[tuple[int, dict[str, Any]]]:
    """The mappings of a text of one or more YAML documents, each with its first line; empty documents are left out.

    Values as in ``read_yaml``, and so are the refusals; at most 2 MiB of characters, nesting 32 deep, and 200,000 values are read.
    """
    found = [(line, value) for line, value in _read(text, _MANIFESTS) if value is not None]
    for line, value in found:
        if not isinstance(value, dict):
            raise YamlError("the YAML document is not a mapping of names to values", line)
    return found


def _read(text: str, limits: _Limits) -> list[tuple[int, Any]]:
    """Line and value of every document."""
    import yaml

    if len(text) > limits.longest:
        raise YamlError(f"{len(text)} characters of YAML, at most {limits.longest} are read")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        events = iter(yaml.parse(text, Loader=loader))
        reader = _Reader(events, limits)
        starts = (event.start_mark.line + 1 for event in events if isinstance(event, yaml.DocumentStartEvent))
        return [(line, reader.value(next(events), 0)) for line in starts]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlError(f"broken YAML ({error.problem or error.context})", mark.line + 1 if mark else 0) from error
    except yaml.YAMLError as error:
        raise YamlError("broken YAML (a character that YAML does not allow)") from error


class _Reader:
    """Builds plain data from events; counts what it builds."""

    def __init__(self, events: Iterator[Any], limits: _Limits) -> None:
        self._events, self._limits = events, limits
        self._built = 0

    def value(self, event: Any, depth: int) -> Any:
        """The value that begins with an event."""
        import yaml

        line = event.start_mark.line + 1
        self._built += 1
        if self._built > self._limits.most:
            raise YamlError(f"more than {self._limits.most} values", line)
        if depth > self._limits.deepest:
            raise YamlError(f"nested deeper than {self._limits.deepest}", line)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise YamlError("anchors and aliases are not read", line)
        if getattr(event, "tag", None):
            raise YamlError(f"tags are not read: {ascii(event.tag)[:60]}", line)
        if isinstance(event, yaml.ScalarEvent):
            plain = event.style in (None, "")
            return None if plain and event.value in ("", "~", "null", "Null", "NULL") else str(event.value)
        if isinstance(event, yaml.SequenceStartEvent):
            return list(self._items(yaml.SequenceEndEvent, depth))
        return self._mapping(depth)

    def _items(self, end: type[Any], depth: int) -> Iterator[Any]:
        while not isinstance(event := next(self._events), end):
            yield self.value(event, depth + 1)

    def _mapping(self, depth: int) -> dict[str, Any]:
        import yaml

        out: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self.value(event, depth + 1)
            line = event.start_mark.line + 1
            if not isinstance(key, str):
                raise YamlError("a name is not a text", line)
            if key in out:
                raise YamlError(f"the name {ascii(key)[:60]} comes twice", line)
            out[key] = self.value(next(self._events), depth + 1)
        return out
