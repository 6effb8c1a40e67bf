"""The report's page: one offline file, our template only, everything else is text."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest

from aiops_analysis.presentation.report import ReportExporter, render
from tests import frames

META = {"cluster": "demo", "window": "2026-10-04 to 2026-11-01"}
_VOID = {"br", "col", "hr", "img", "input", "link", "meta", "wbr"}


class Page(HTMLParser):
    """Elements, ids, texts outside script and style, and whether every element is closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.opened: list[str] = []
        self.wrong: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.opened.append(tag)

    def handle_endtag(self, tag):
        if not self.opened or self.opened.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        if not {"script", "style"} & set(self.opened[-1:]):
            self.text += data

    def count(self, tag: str) -> int:
        return sum(one == tag for one, _ in self.tags)


def rendered(folder: Path, notebook: nbformat.NotebookNode, title: str = "Monthly cost review", **meta: str) -> str:
    source, target = folder / "notebook.ipynb", folder / "report.html"
    nbformat.write(notebook, source)
    assert render(source, target, title=title, meta=META | meta) == target
    return target.read_text(encoding="utf-8")


def with_outputs(*outputs: dict) -> nbformat.NotebookNode:
    made = [nbformat.from_dict(output) for output in outputs]
    cells = [
        nbformat.v4.new_markdown_cell("# T\n\n## Part <script>window.pwned=1</script>"),
        nbformat.v4.new_code_cell("x", outputs=made),
    ]
    return nbformat.v4.new_notebook(cells=cells)


def display(**data: str) -> dict:
    kinds = {kind.replace("__", "/"): value for kind, value in data.items()}
    return {"output_type": "display_data", "data": kinds, "metadata": {}}


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    return rendered(tmp_path_factory.mktemp("calm"), frames.notebook(frames.calm()))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> str:
    words = " ".join(frames.HOSTILE[:-1])
    folder = tmp_path_factory.mktemp("hostile")
    return rendered(folder, frames.notebook(frames.hostile(), words), title=words, hostile=words)


def test_structure(page: str) -> None:
    parsed = Page(page)
    assert page.startswith("<!DOCTYPE html>")
    assert not parsed.wrong
    for tag in ("h1", "header", "nav", "main", "footer", "script", "title"):
        assert parsed.count(tag) == 1, tag
    assert dict(parsed.tags)["html"]["lang"] == "en"
    headings = [attributes["id"] for tag, attributes in parsed.tags if tag == "h2"]
    links = [attributes["href"] for tag, attributes in parsed.tags if tag == "a"]
    assert links == ["#content", *(f"#{one}" for one in headings)]
    assert parsed.count("table") == parsed.count("caption") > 5
    assert all(attributes.get("scope") for tag, attributes in parsed.tags if tag == "th")


@pytest.mark.parametrize("which", ["page", "hostile"])
def test_ids_are_unique_and_references_have_targets(which: str, request: pytest.FixtureRequest) -> None:
    text = request.getfixturevalue(which)
    ids = [str(attributes["id"]) for _, attributes in Page(text).tags if "id" in attributes]
    assert len(ids) == len(set(ids)) > 5
    assert set(re.findall(r'(?:url\(|href=")#([\w-]+)', text)) <= set(ids)


@pytest.mark.parametrize("which", ["page", "hostile"])
def test_the_policy_allows_our_script_and_nothing_else(which: str, request: pytest.FixtureRequest) -> None:
    text = request.getfixturevalue(which)
    policies = [a["content"] for tag, a in Page(text).tags if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"]
    script = text.split("<script>")[-1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert len(script) < 4500
    assert policies == [
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    ]


def test_f55_nothing_is_fetched_and_tables_need_no_script(page: str) -> None:
    for tag, attributes in Page(page).tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
        for name in ("src", "href", "xlink:href", "action", "srcset", "poster"):
            assert str(attributes.get(name) or "#").startswith(("#", "data:image/"))
    assert not re.search(r"@import|url\((?!#)", page)
    assert page.count("<tr") > len(frames.calm())
    assert "hidden" not in {name for _, attributes in Page(page).tags for name in attributes}


def test_f41_hostile_names_are_text(hostile: str) -> None:
    parsed = Page(hostile)
    assert not parsed.wrong
    assert parsed.count("script") == 1
    assert parsed.count("iframe") == parsed.count("img") == 0
    assert not [name for _, attributes in parsed.tags for name in attributes if name.startswith("on")]
    for name in ("<script>window.pwned=1</script>", "javascript:window.pwned=1", "&lt;script&gt;&amp;&#60;", r"\u202egnp.exe"):
        assert name in parsed.text


def test_f49_templates_in_data_are_never_rendered(hostile: str) -> None:
    text = Page(hostile).text
    assert "{{7*7}}" in text
    assert "{% include 'base/null.j2' %}" in text
    assert "${7*7}" in text
    assert "49" not in re.findall(r"\b\d+\b", " ".join(re.findall(r"<h1>(.*?)</h1>", hostile)))


def test_outputs_with_code_are_dropped(tmp_path: Path) -> None:
    kinds = {
        "application/javascript": "window.pwned=1",
        "text/vnd.mermaid": "graph pwned",
        "application/vnd.jupyter.widget-view+json": "{}",
        "text/markdown": "<b>pwned</b>",
        "text/latex": "$pwned$",
    }
    outputs = [{"output_type": "display_data", "data": {kind: value}, "metadata": {}} for kind, value in kinds.items()]
    parsed = Page(rendered(tmp_path, with_outputs(*outputs)))
    assert "pwned" not in parsed.text.replace("<script>window.pwned=1</script>", "")


def test_html_and_svg_of_others_lose_what_runs(tmp_path: Path) -> None:
    bad = '<table onclick="a()"><tr><td style="position:fixed">x</td></tr></table><script>pwned</script><iframe src="x"></iframe>'
    svg = '<svg xmlns="http://www.w3.org/2000/svg" onload="pwned"><script>pwned</script><a href="javascript:x"><text>y</text></a></svg>'
    parsed = Page(rendered(tmp_path, with_outputs(display(text__html=bad), {**display(), "data": {"image/svg+xml": svg}})))
    names = {name for _, attributes in parsed.tags for name in attributes}
    assert not {name for name in names if name.startswith("on")}
    assert parsed.count("script") == 1
    assert parsed.count("iframe") == 0
    assert not [a for _, a in parsed.tags if "fixed" in str(a.get("style"))]
    assert not [a for _, a in parsed.tags if str(a.get("href")).startswith("javascript")]


def test_streams_and_plain_text_are_escaped(tmp_path: Path) -> None:
    stream = {"output_type": "stream", "name": "stdout", "text": "\x1b[31m<b>red</b>\x1b[0m"}
    page = rendered(tmp_path, with_outputs(stream, display(text__plain="<i>plain</i>")))
    assert "&lt;b&gt;red&lt;/b&gt;" in page
    assert "&lt;i&gt;plain&lt;/i&gt;" in page
    assert "\x1b" not in page


def test_planted_templates_are_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("aiops", "lab", "base", "templates/aiops"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        for file in ("index.html.j2", "base.html.j2", "conf.json"):
            (folder / file).write_text("PLANTED", encoding="utf-8")
    notebook = frames.notebook(frames.calm())
    expected = rendered(tmp_path, notebook)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    assert rendered(tmp_path, notebook) == expected
    assert "PLANTED" not in expected


def test_the_exporter_gives_a_page_on_its_own() -> None:
    page, resources = ReportExporter().from_notebook_node(frames.notebook(frames.calm()))
    assert "<h1>Monthly cost review</h1>" in page
    assert resources["output_extension"] == ".html"


def test_code_is_closed_and_kept_from_paper(page: str) -> None:
    assert '<details class="code"><summary>Code</summary>' in page
    paper = page[page.index("@media print") :]
    assert re.search(r"\.code[^{}]*\{ display: none", paper)
