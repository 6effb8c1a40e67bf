"""The HTML report: one offline file from an executed notebook, without anything that was not asked for (reliability.md R12).

nbconvert brings the exporter and the menu entry in JupyterLab. The page is ours: the template is looked for in this package and
nowhere else, Jinja escapes everything, outputs are admitted by MIME type and cleaned, and a content policy allows one script, ours.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mistune
import nbformat
from jinja2 import Environment
from nbconvert.exporters import Exporter, HTMLExporter
from traitlets import default
from traitlets.config import Config

from aiops_analysis import __version__
from aiops_analysis.presentation.escape import Html, clean, element, text
from aiops_analysis.presentation.style import DARK, LIGHT, variables

__all__ = ["ReportExporter", "render"]

_TEMPLATES = Path(__file__).parent / "templates"
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\))")
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]+={0,2}\s*")
_LONGEST_TEXT = 20_000  # characters of one plain output; a report is read, not searched for logs


@dataclass
class _Section:
    """What stands under one heading of the second level."""

    title: str = ""
    anchor: str = ""
    blocks: list[Html] = field(default_factory=list)
    code: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Page:
    """All that the template prints; every value is escaped there unless it is Html."""

    title: str
    language: str
    meta: Sequence[tuple[str, str]]
    contents: Sequence[tuple[str, str]]
    sections: Sequence[_Section]
    footer: str
    css: Html
    script: Html
    policy: str


class ReportExporter(HTMLExporter):
    """Executed notebook in, self-contained page out; registered with nbconvert as ``aiops-report``."""

    export_from_notebook = "AIOps report"

    @default("template_name")
    def _template_name_default(self) -> str:
        return "aiops"

    @default("extra_template_basedirs")
    def _default_extra_template_basedirs(self) -> list[str]:
        return [str(_TEMPLATES)]

    @default("template_paths")
    def _template_paths(self, prune: bool = True, root_dirs: Sequence[str] | None = None) -> list[str]:
        del prune, root_dirs  # folders called aiops, lab or base, here or in Jupyter's paths, are not asked
        return [str(_TEMPLATES / "aiops")]

    @default("default_preprocessors")
    def _default_preprocessors_default(self) -> list[str]:
        return []

    def _create_environment(self) -> Environment:
        environment = super()._create_environment()
        environment.autoescape = True  # nbconvert leaves it off
        return environment

    def from_notebook_node(  # type: ignore[override]  # nbconvert annotates a notebook and gives a page
        self, nb: nbformat.NotebookNode, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[str, dict[str, Any]]:
        """The page of a notebook and its resources; ``resources["aiops"]`` may hold ``title`` and ``meta``."""
        # the base class only: HTMLExporter would go over the page with BeautifulSoup
        notebook, resources = Exporter.from_notebook_node(self, nb, resources, **kw)
        given = resources.get("aiops", {})
        named = str(resources.get("metadata", {}).get("name", "Report")).replace("_", " ")
        page = _page_of(notebook, given.get("title", ""), named, dict(given.get("meta", {})), self.language_code)
        return self.template.render(page=page) + "\n", resources


def render(notebook: Path, target: Path, *, title: str, meta: Mapping[str, str]) -> Path:
    """Write the report of an executed notebook to ``target`` and give the path back.

    ``meta`` is shown below the title, label by label. No Jupyter configuration of the machine or the user is read.
    """
    read = nbformat.read(notebook, as_version=4)
    resources = {"aiops": {"title": title, "meta": dict(meta)}, "metadata": {"name": notebook.stem}}
    page, _ = ReportExporter(config=Config()).from_notebook_node(read, resources)
    target.write_text(page, encoding="utf-8", newline="\n")
    return target


def _page_of(notebook: nbformat.NotebookNode, title: str, named: str, meta: Mapping[str, str], language: str) -> _Page:
    sections, own_title = _sections(notebook.cells)
    script = (_TEMPLATES / "aiops" / "tables.js").read_text(encoding="utf-8")
    return _Page(
        title=title or own_title or named,
        language=language,
        meta=[(str(label), str(value)) for label, value in meta.items()],
        contents=[(section.anchor, section.title) for section in sections if section.anchor],
        sections=[section for section in sections if section.blocks or section.code or section.anchor],
        footer=f"Made by aiops-analysis {__version__}. The numbers are in evidence.json and the recommendations files beside this page.",
        css=Html(_css()),
        script=Html(script),
        policy=_policy(script),
    )


def _css() -> str:
    sheet = (_TEMPLATES / "aiops" / "report.css").read_text(encoding="utf-8")
    dark = f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {variables(DARK)} }} }}"
    return f":root {{ color-scheme: light dark; {variables(LIGHT)} }}\n{dark}\n{sheet}".rstrip()


def _policy(script: str) -> str:
    """Nothing loads, nothing is sent, nothing runs but the script with this hash."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def _sections(cells: Iterable[nbformat.NotebookNode]) -> tuple[list[_Section], str]:
    """The notebook's cells by heading of the second level, and the text of its first heading of the first level."""
    sections, title, place = [_Section()], "", 0
    for cell in cells:
        if cell.cell_type == "markdown":
            for kind, shown in _markdown(cell.source):
                if kind == "h1" and not title:
                    title = shown
                elif kind in ("h1", "h2"):
                    sections.append(_Section(shown, f"part-{len(sections)}"))
                else:
                    sections[-1].blocks.append(Html(shown))
        elif cell.cell_type == "code":
            if cell.source.strip():
                sections[-1].code.append(cell.source)
            for output in cell.outputs:
                place += 1
                sections[-1].blocks.extend(_output(output, f"o{place}-"))
    return sections, title


def _markdown(source: str) -> Iterator[tuple[str, str]]:
    """Headings of the first two levels as (h1 | h2, plain text), everything between them as ("html", markup).

    HTML in Markdown is shown as the text that it is; links that leave the page lose their target.
    """
    convert = mistune.create_markdown(escape=True, plugins=["table", "strikethrough"])
    plain = mistune.create_markdown(renderer=None)
    chunk: list[str] = []
    fenced = False
    for line in source.splitlines():
        fenced ^= line.lstrip().startswith(("```", "~~~"))
        heading = None if fenced else re.fullmatch(r"(#{1,2})\s+(.*?)\s*#*", line)
        if heading is None:
            chunk.append(line)
            continue
        if any(one.strip() for one in chunk):
            yield "html", clean(str(convert("\n".join(chunk))))
        chunk = []
        yield f"h{len(heading[1])}", _words(plain(heading[2]))
    if any(one.strip() for one in chunk):
        yield "html", clean(str(convert("\n".join(chunk))))


def _words(tokens: object) -> str:
    """The text of Markdown tokens, without their marks."""
    if isinstance(tokens, list):
        return "".join(_words(token) for token in tokens)
    if isinstance(tokens, dict):
        return str(tokens["raw"]) if "raw" in tokens else _words(tokens.get("children", []))
    return ""


def _output(output: nbformat.NotebookNode, prefix: str) -> Iterator[Html]:
    """One output as markup; of the forms that it has, the first that a report knows."""
    if output.output_type == "stream":
        if output.name == "stdout" and output.text.strip():
            yield _text_block(output.text, "said")
    elif output.output_type == "error":
        yield _text_block("\n".join(output.traceback) or f"{output.ename}: {output.evalue}", "error")
    else:
        data, about = output.data, output.get("metadata", {})
        if "text/html" in data:
            yield clean(_one(data["text/html"]), prefix)
        elif "image/svg+xml" in data:
            yield _figure(clean(_one(data["image/svg+xml"]), prefix), _alt(data, about, "image/svg+xml"))
        elif "image/png" in data and _BASE64.fullmatch(_one(data["image/png"])):
            alt = _alt(data, about, "image/png")
            source = "data:image/png;base64," + re.sub(r"\s", "", _one(data["image/png"]))
            yield _figure(element("img", {"src": source, "alt": alt}), alt)
        elif "text/plain" in data:
            yield _text_block(_one(data["text/plain"]), "said")


def _one(data: object) -> str:
    """The data of an output, which nbformat allows as text or as lines."""
    return "".join(str(part) for part in data) if isinstance(data, list) else str(data)


def _alt(data: Mapping[str, Any], about: Mapping[str, Any], kind: str) -> str:
    """The description that the chart's maker gave, else its plain text."""
    given = about.get(kind, {}).get("alt") if isinstance(about.get(kind), Mapping) else None
    return str(given or _one(data.get("text/plain", "")) or "Picture without a description")


def _figure(picture: Html, alt: str) -> Html:
    if picture.startswith("<svg") and " aria-label=" not in picture[: picture.index(">")]:
        picture = Html(f'<svg role="img" aria-label="{text(alt)}"{picture[4:]}')
    # the caption says what the picture's own description says already
    # on a narrow screen a chart scrolls in its own box, by keyboard too
    return element("figure", {"class": "chart", "tabindex": 0}, picture, element("figcaption", {"aria-hidden": "true"}, alt))


def _text_block(words: str, kind: str) -> Html:
    shown = _ANSI.sub("", words).strip("\n")
    if len(shown) > _LONGEST_TEXT:
        shown = f"{shown[:_LONGEST_TEXT]}\n... ({len(shown):,} characters)"
    return element("pre", {"class": kind}, shown)
