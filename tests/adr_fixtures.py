"""Small proposals of decision records, calm or hostile, and readers of other tools written from their own rules."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from aiops_analysis.core.schema import KEY, row_id
from aiops_analysis.evidence.adr import Made, propose
from aiops_analysis.evidence.adr_basis import Basis, subject_of
from aiops_analysis.evidence.adr_header import Proposal
from aiops_analysis.evidence.record import plain
from tests.frames import MIB, recommendation

DAY = date(2026, 11, 24)
WINDOW = {"start": "2026-10-05T00:00:00Z", "end": "2026-11-02T00:00:00Z"}
#: The guide's sections in its order, with the two of MADR between them.
SECTIONS = [
    "Status",
    "Context",
    "AI Analysis Summary",
    "Validation Performed",
    "Considered Options",
    "Decision",
    "Implementation Details",
    "Consequences",
    "Validation Results",
    "Confirmation",
    "Compliance",
    "References",
    "Notes",
]


def row(**given: object) -> dict[str, object]:
    """One recommendation in JSON types, with its samples."""
    names = {name: given.pop(name) for name in ("unit", "samples", "cluster") if name in given}
    made = recommendation(**given) | {"cluster": names.get("cluster", "demo")}
    made["id"] = row_id([str(made[name]) for name in KEY])
    return plain(made) | {"samples": names.get("samples", 8064)}


def cpu(**given: object) -> dict[str, object]:
    """CPU of todo/Deployment/backend/app: 500m to 100m, P95 50m, 18 a month."""
    return row(**given)


def memory(**given: object) -> dict[str, object]:
    """Its memory: 1 GiB to 256 MiB, P95 170 MiB, 7.5 a month."""
    base = {"resource": "memory", "now": 1024 * MIB, "then": 256 * MIB, "p95": 170 * MIB, "paper": 7.5, "oom_kills": 0.0}
    return row(**(base | given))


def basis(*rows: dict[str, object], **given: object) -> Basis:
    """A basis of these rows, CPU and memory of one container when there are none."""
    values = {
        "cluster": "demo",
        "window": WINDOW,
        "policy": {"name": "seed"},
        "source": {"flavour": "prometheus", "version": "2.53"},
        "fingerprint": "f" * 64,
        "queries": {"cpu_usage": "sum by (pod) (\n  rate(container_cpu_usage_seconds_total[5m]))", "memory_working_set": "max(x)"},
        "currency": "USD",
        "price_source": "a price list",
        "rows": rows or (cpu(), memory()),
    }
    return Basis(**(values | given))


def proposal(target: str = "todo/Deployment/backend/app", of: Basis | None = None, **given: object) -> Proposal:
    """What is written for a target."""
    of = of or basis()
    return Proposal(of, subject_of(of, target), DAY, **given)


def written(folder: Path, **given: object) -> Made:
    """A record in a folder."""
    return propose(folder, proposal(**given), package_version="0")


def madr(text: str) -> dict[str, object]:
    """MADR's tools: the YAML between the first two lines of three dashes."""
    return yaml.safe_load(text.split("\n---\n")[0].removeprefix("---\n"))


def adr_tools_status(text: str) -> list[str]:
    """adr-tools: the lines under ``## Status`` until the next section, by lines alone."""
    out, inside = [], False
    for line in text.splitlines():
        if re.match(r"##[^#]", line):
            inside = line == "## Status"
        elif inside and line:
            out.append(line)
    return out


def log4brains(text: str) -> dict[str, str]:
    """log4brains: Markdown without front matter; the first H1, and the list items before the first H2. No status means accepted."""
    found = {"status": "accepted"}
    tokens = MarkdownIt("commonmark").parse(text)
    for at, token in enumerate(tokens):
        if token.type == "heading_open" and token.tag == "h2":
            break
        if token.type == "heading_open" and token.tag == "h1" and "title" not in found:
            found["title"] = tokens[at + 1].content
        if token.type == "list_item_open" and (match := re.match(r"(\w+):\s*(.*)", tokens[at + 2].content)):
            found[match[1].lower()] = match[2]
    known = ("draft", "proposed", "rejected", "accepted", "deprecated", "superseded")
    if found["status"].split()[0] not in known:
        found["status"] = "draft"
    return found


def tokens(text: str) -> list[Token]:
    """Every token of the body, the inner ones too."""
    outer = MarkdownIt("gfm-like", {"linkify": False}).parse(text.split("\n---\n", 1)[1])
    return [inner for token in outer for inner in (token, *(token.children or ()))]


def headings(text: str, level: str = "h2") -> Sequence[str]:
    """The headings of one level, as Markdown sees them."""
    found = tokens(text)
    return [found[at + 1].content for at, token in enumerate(found) if token.type == "heading_open" and token.tag == level]
