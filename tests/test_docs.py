"""The documents are true: links lead somewhere, commands exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")})

LINK = re.compile(r"\[[^\]]*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)
TARGET = re.compile(r"\bmake ([a-z][a-z-]*)\b")


def anchors(text: str) -> set[str]:
    """The anchors a page offers, as the usual hosts make them of headings."""
    found: dict[str, int] = {}
    for heading in HEADING.findall(FENCE.sub("", text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).strip().replace(" ", "-")
        found[slug] = found.get(slug, 0) + 1
    return {slug if n == 0 else f"{slug}-{n}" for slug, times in found.items() for n in range(times)}


def broken(page: Path, text: str) -> list[str]:
    """Relative links of a page that lead nowhere."""
    wrong = []
    for link in LINK.findall(FENCE.sub("", text)):
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue  # another site, not asked from a test
        path, _, anchor = link.partition("#")
        target = page if not path else page.parent / path
        if not target.exists():
            wrong.append(f"{page.name}: {link} does not exist")
        elif anchor and anchor not in anchors(text if target == page else target.read_text(encoding="utf-8")):
            wrong.append(f"{page.name}: {link} has no such heading")
    return wrong


def commands(text: str) -> set[str]:
    """Make targets that a page names in code: a fenced or indented block, or between backticks."""
    blocks = [match[0] for match in FENCE.finditer(text)] + re.findall(r"^ {4}.*$", text, re.MULTILINE) + re.findall(r"`([^`\n]+)`", text)
    return {target for block in blocks for target in TARGET.findall(block.split("#")[0])}


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    assert broken(page, page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_exist(page: Path) -> None:
    assert commands(page.read_text(encoding="utf-8")) - targets() == set()


def test_the_readme_names_both_commands() -> None:
    assert {"report", "test"} <= commands((ROOT / "README.md").read_text(encoding="utf-8"))


def test_every_target_is_told_by_make_help() -> None:
    done = subprocess.run(["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    told = {line.split()[1] for line in done.stdout.splitlines()}
    assert told == targets()


def test_a_planted_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    text = "# Some Heading\n\n[a](#some-heading) [b](#other) [c](gone.md) [d](https://example.org/x)\n\n```\n[e](in-code.md)\n```\n"
    page.write_text(text)
    assert broken(page, text) == ["page.md: #other has no such heading", "page.md: gone.md does not exist"]


def test_anchors_of_equal_headings_are_numbered() -> None:
    assert anchors("# One\n## `Two` & three\n## One\n") == {"one", "one-1", "two--three"}


def test_a_planted_unknown_target_is_found() -> None:
    assert commands("Say `make nothing` and make sense:\n\n    make report  # make this\n") == {"nothing", "report"}
