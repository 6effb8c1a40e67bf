"""The only way text gets into YAML files and the shell lines in their comments: quoted, whatever it says (faults.md row 44).

Strings are double-quoted ASCII: ``1e3``, ``y`` and ``0o7`` stay text for every parser (kubectl read a bare ``12e3`` as a number).
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from aiops_analysis.core.names import visible

__all__ = ["comments", "dump", "one_line", "shell"]

_KEY = re.compile(r"[a-z][A-Za-z]+", re.ASCII)  # our own keys; of those that fit, YAML 1.1 and 1.2 take none of _WORDS for text
_WORDS = frozenset({"yes", "no", "on", "off", "true", "false", "null", "nan", "inf"})
_PLAIN = re.compile(r"[ -~]*", re.ASCII)
_WIDTH = 2**30  # no folding: a long name stays on its line
# libyaml where PyYAML was built with it: ten times as quick, and the tests hold it equal to the Python emitter.
_BASE: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Dumper(_BASE):  # type: ignore[misc]
    """Quotes every string; only keys that are plain words in every YAML stand bare."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - an anchor is for machines, these files are read by people
        return True


def _quoted(dumper: Any, value: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"')


def _mapping(dumper: Any, value: Mapping[str, Any]) -> yaml.Node:
    node = dumper.represent_mapping("tag:yaml.org,2002:map", value.items())
    for key, _ in node.value:
        if _KEY.fullmatch(key.value) and key.value.lower() not in _WORDS:
            key.style = None
    return node


_Dumper.add_representer(str, _quoted)
_Dumper.add_representer(dict, _mapping)


def dump(value: Any) -> str:
    """The value as block YAML of one document: insertion order, strings quoted, no anchor, no folded line.

    >>> print(dump({"name": "1e3", "cpu": None, "n": [1, "yes"]}), end="")
    name: "1e3"
    cpu: null
    "n":
    - 1
    - "yes"
    """
    return str(yaml.dump(value, Dumper=_Dumper, allow_unicode=False, default_flow_style=False, sort_keys=False, width=_WIDTH))


def comments(lines: Iterable[str]) -> str:
    """YAML comment lines; whatever could end one is shown as an escape.

    >>> comments(["a", "", "b" + chr(10) + "kind: Secret"])
    '# a\\n#\\n# b\\\\nkind: Secret\\n'
    """
    return "".join(f"# {line if _PLAIN.fullmatch(line) else visible(line, len(line))}".rstrip() + "\n" for line in lines)


def shell(word: str) -> str:
    r"""One argument for a POSIX shell, on one line; text outside of printable ASCII in the ``$'...'`` form of bash, ksh and zsh.

    >>> shell("backend"), shell("a b; rm -rf /"), shell("a\nb")
    ('backend', "'a b; rm -rf /'", "$'a\\x0ab'")
    """
    if _PLAIN.fullmatch(word):
        return shlex.quote(word)
    shown = (chr(b) if chr(b) not in "\\'" and 32 <= b < 127 else f"\\x{b:02x}" for b in word.encode("utf-8", "surrogatepass"))
    return f"$'{''.join(shown)}'"


def one_line(value: Any) -> str:
    """The value as JSON on one line, quoted for a shell: what ``kubectl patch --patch=`` takes."""
    return shlex.quote(json.dumps(value, ensure_ascii=True, separators=(",", ":")))
