"""Text of decision records: hostile names and quotes that cannot change the structure of a Markdown file, and amounts for people.

Nothing here is a template: texts are put together, never rendered, so ``{{ }}`` in a name stays what it is (fault row 49).
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aiops_analysis.core.names import encode_path, visible
from aiops_analysis.core.units import GIB, MIB, cpu_tenths, human_memory

__all__ = ["amount", "code", "digest", "fenced", "inline", "known", "money", "percent", "sections", "slug", "table", "ticked"]

_ACTIVE = re.compile(r"[\\`*_{}\[\]<>#|!~$&@]")
_LINK = re.compile(r"(?i)(:)(?=//)|(?<=www)(\.)")
_LONGEST_QUOTE = 20_000  # characters of a quoted text that are kept
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")


def inline(text: str, longest: int = 300) -> str:
    """Any text as Markdown text of one line that means itself: no emphasis, link, mention, HTML, table cell or code.

    >>> print(inline("a*b* <i> x|y"))
    a\\*b\\* \\<i\\> x\\|y
    """
    shown = _ACTIVE.sub(lambda match: "\\" + match[0], visible(" ".join(text.split()), longest))
    return _LINK.sub(lambda match: "\\" + match[0], shown)


def code(text: str, longest: int = 120) -> str:
    """A name in a code span whose marks are longer than any in it; not for a table cell.

    >>> code("api"), code("a`b"), code("")
    ('`api`', '``a`b``', '(empty)')
    """
    shown = visible(text, longest)
    if not shown.strip():
        return "(empty)" if not shown else "(blank)"
    marks = "`" * (1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    pad = " " if shown[0] in "` " or shown[-1] in "` " else ""
    return f"{marks}{pad}{shown}{pad}{marks}"


def fenced(text: str, info: str = "text", prefix: str = "") -> list[str]:
    """Lines of a fenced block that no text can end; each begins with ``prefix`` ("> " makes it a quote that line readers pass over).

    Control characters become visible escapes, and what is longer than 20,000 characters is cut with a mark.
    """
    cut = text[:_LONGEST_QUOTE]
    lines = [visible(line.expandtabs(4), len(cut) + 1) for line in cut.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    if len(text) > _LONGEST_QUOTE:
        lines.append(f"... ({len(text)} characters)")
    while lines and not lines[-1].strip():
        lines.pop()
    marks = "`" * max(3, 1 + max((len(run) for line in lines for run in re.findall("`+", line)), default=0))
    return [f"{prefix}{line}".rstrip() for line in (f"{marks}{info}", *lines, marks)]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table; the cells are Markdown already."""
    return ["| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *rows)]


def known(value: Any) -> float | None:
    """The number if it is one, else None."""
    number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    return number if math.isfinite(number) else None


def amount(resource: str, value: Any, unset: str = "not set") -> str:
    """CPU in millicores, memory in MiB or whole GiB [cores | bytes].

    >>> amount("cpu", 0.5), amount("memory", 2**30), amount("memory", 1360 * 2**20), amount("cpu", None)
    ('500m', '1 GiB', '1360 MiB', 'not set')
    """
    number = known(value)
    if number is None:
        return unset
    if resource == "cpu":
        return f"{cpu_tenths(number) / 10:g}m"
    if number % GIB == 0 and number:
        return f"{number / GIB:.0f} GiB"
    return f"{number / MIB:.0f} MiB" if number % MIB == 0 else human_memory(number)


def money(value: Any, currency: str) -> str:
    """Money a month, "not known" without a number.

    >>> money(27.691, "USD"), money(-3, "USD"), money(None, "USD")
    ('27.69 USD', '-3.00 USD', 'not known')
    """
    number = known(value)
    return "not known" if number is None else f"{number + 0.0:,.2f} {inline(currency, 12)}".rstrip()


def percent(value: Any) -> str:
    """A share 0-1 in percent.

    >>> percent(0.9), percent(0.9996), percent(1), percent(None)
    ('90 %', '99.9 %', '100 %', 'not known')
    """
    number = known(value)
    if number is None:
        return "not known"
    return f"{min(number * 100, 99.9):.1f} %" if 0.995 <= number < 1 else f"{number * 100:.0f} %"


def slug(*words: str) -> str:
    """The part of a file name after the number: lower-case letters, digits, hyphens and ``%xx``, never a path (fault row 42).

    >>> slug("reduce", "todo", "front end"), slug("../x")
    ('reduce-todo-front%20end', '%2e.%2fx')
    """
    return encode_path("-".join(word for word in words if word).replace("\n", " "))[:120]


def sections(text: str) -> Mapping[str, str]:
    """The body of a record by section: what stands under each ``## NAME``, and under "" what stands before the first one.

    Headings inside of fenced blocks are text.
    """
    found: dict[str, list[str]] = {"": []}
    name = ""
    for line, inside in _unfenced(text):
        if not inside and line.startswith("## "):
            name = line[3:].strip()
            found.setdefault(name, [])
        else:
            found[name].append(line)
    return {name: "\n".join(lines).strip() for name, lines in found.items()}


def _unfenced(text: str) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it stands in a fenced block."""
    marks = ""
    for line in text.split("\n"):
        match = _FENCE.match(line)
        yield line, bool(marks)
        if match and not marks:
            marks = match[1]
        elif match and match[1][0] == marks[0] and len(match[1]) >= len(marks) and not line.strip(" `~"):
            marks = ""


def digest(text: str) -> str:
    """16 hex digits that tell whether a section is still the one that was written; blanks at line ends do not count."""
    plain = "\n".join(line.rstrip() for line in text.strip().split("\n"))
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def ticked(text: str) -> tuple[int, int]:
    """How many boxes of a section are ticked, and how many there are.

    >>> ticked("- [x] one" + chr(10) + "- [ ] two")
    (1, 2)
    """
    boxes = re.findall(r"(?m)^\s*[-*] \[([ xX])\] ", text)
    return sum(box != " " for box in boxes), len(boxes)
