"""What the report makes of a notebook's cells, and of machines with settings of their own (fault rows 42, 55; reliability T02, X02)."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from aiops_analysis.presentation.report import ReportExporter, render
from tests import frames


def page(folder: Path, notebook: nbformat.NotebookNode, **given: object) -> str:
    nbformat.write(notebook, folder / "notebook.ipynb")
    about = {"title": "Monthly cost review", "meta": {"Cluster": "demo"}} | given
    return render(folder / "notebook.ipynb", folder / "report.html", **about).read_text(encoding="utf-8")


def of(folder: Path, *cells: nbformat.NotebookNode) -> str:
    return page(folder, new_notebook(cells=list(cells)))


def output(data: dict[str, str], **about: object) -> nbformat.NotebookNode:
    return new_code_cell("x", outputs=[new_output("display_data", data=data, metadata=about)])


@pytest.fixture(scope="module")
def review(tmp_path_factory: pytest.TempPathFactory) -> str:
    return page(tmp_path_factory.mktemp("review"), frames.notebook(frames.many()))


def test_every_figure_has_its_description(review: str) -> None:
    figures = re.findall(r'<figure class="chart" tabindex="0">(.*?)</figure>', review, re.DOTALL)
    assert len(figures) == 4
    for figure in figures:
        alt = re.match(r'<svg [^>]*role="img" aria-label="([^"]{40,})"', figure)
        assert alt
        assert f">{alt[1]}</figcaption>" in figure
    assert len(re.findall(r"<svg ", review)) == len(re.findall(r'<svg [^>]*aria-label="[^"]+"', review))


def test_the_page_is_small_and_the_same_every_time(review: str, tmp_path: Path) -> None:
    assert len(review.encode()) < 1_500_000
    assert page(tmp_path, frames.notebook(frames.many())) == review


def test_t02_jupyter_configuration_is_not_read(review: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wish = "c.TemplateExporter.template_name = 'lab'\nc.HTMLExporter.exclude_output = True\nc.ClearOutputPreprocessor.enabled = True\n"
    for name in ("jupyter_nbconvert_config.py", "jupyter_config.py"):
        (tmp_path / name).write_text(wish)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", str(tmp_path))
    assert page(tmp_path, frames.notebook(frames.many())) == review


def test_the_menu_of_jupyterlab_and_nbconvert_know_the_exporter(tmp_path: Path) -> None:
    nbformat.write(frames.notebook(frames.calm()), tmp_path / "monthly_cost_review.ipynb")
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "index.html.j2").write_text("PLANTED")
    command = [sys.executable, "-m", "nbconvert", "--to", "aiops-report", "monthly_cost_review.ipynb"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, env=os.environ | {"HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    written = (tmp_path / "monthly_cost_review.html").read_text(encoding="utf-8")
    assert "<h1>Monthly cost review</h1>" in written  # from the notebook's own heading
    assert "PLANTED" not in written
    assert "lternative text" not in done.stderr
    assert ReportExporter.export_from_notebook == "AIOps report"


def test_nbconvert_has_nothing_to_warn_about(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    of(tmp_path, output({"image/png": "iVBORw0KGgo="}), output({"image/svg+xml": "<svg></svg>"}))
    assert caplog.records == []


@pytest.mark.parametrize(
    ("data", "shown", "hidden"),
    [
        ({"application/javascript": "window.pwned=1", "text/plain": "<js>"}, '<pre class="said">&lt;js&gt;</pre>', "pwned"),
        ({"application/vnd.jupyter.widget-view+json": json.dumps({"model_id": "m1"})}, "", "m1"),
        ({"text/vnd.mermaid": "graph pwned", "text/plain": "graph"}, '<pre class="said">graph</pre>', "pwned"),
        ({"text/markdown": "**pwned** <b>", "text/plain": "plain"}, '<pre class="said">plain</pre>', "pwned"),
        ({"text/latex": "$pwned$", "text/plain": "plain"}, '<pre class="said">plain</pre>', "pwned"),
        ({"application/pdf": "pwned", "image/jpeg": "pwned"}, "", "pwned"),
        ({"image/png": '"><script>pwned</script>', "text/plain": "plain"}, '<pre class="said">plain</pre>', "pwned"),
        ({"text/html": "<script>pwned</script><b onclick=pwned()>ok</b><b>fine</b>"}, "<b>fine</b>", "<script>pwned"),
        ({"text/html": '<iframe srcdoc="x"></iframe>'}, "&lt;iframe", "<iframe"),
        ({"image/svg+xml": '<svg onload="pwned"><script>pwned</script><foreignObject><b>x</b></foreignObject></svg>'}, "<svg ", "pwned"),
    ],
    ids=lambda one: next(iter(one)) if isinstance(one, dict) else "",
)
def test_x02_only_known_kinds_of_output_are_shown(tmp_path: Path, data: dict[str, str], shown: str, hidden: str) -> None:
    written = of(tmp_path, output(data))
    assert shown in written
    assert hidden not in written


def test_pictures_of_others_get_a_description(tmp_path: Path) -> None:
    written = of(
        tmp_path,
        output({"image/png": "iVBORw0K\nGgo=\n", "text/plain": "<Figure>"}, **{"image/png": {"alt": 'a "picture"'}}),
        output({"image/svg+xml": "<svg><text>a</text></svg>", "text/plain": "<Figure>"}),
    )
    assert '<img src="data:image/png;base64,iVBORw0KGgo=" alt="a &quot;picture&quot;">' in written
    assert '<svg role="img" aria-label="&lt;Figure&gt;"><text>a</text></svg>' in written


def test_the_same_picture_twice_has_different_ids(tmp_path: Path) -> None:
    picture = {"image/svg+xml": '<svg><defs><clipPath id="c"/></defs><g clip-path="url(#c)"></g></svg>', "text/plain": "x"}
    written = of(tmp_path, output(picture), output(picture))
    assert re.findall(r'id="(o\d-c)"', written) == ["o1-c", "o2-c"]
    assert re.findall(r"url\(#(o\d-c)\)", written) == ["o1-c", "o2-c"]


def test_streams_and_errors(tmp_path: Path) -> None:
    said = new_output("stream", name="stdout", text="\x1b[1mwindow\x1b[0m <28 days>\n")
    noise = new_output("stream", name="stderr", text="progress 10 %")
    error = new_output("error", ename="ValueError", evalue="x", traceback=["\x1b[0;31mValueError\x1b[0m: <x>"])
    written = of(tmp_path, new_code_cell("x", outputs=[said, noise, error]))
    assert '<pre class="said">window &lt;28 days&gt;</pre>' in written
    assert '<pre class="error">ValueError: &lt;x&gt;</pre>' in written
    assert "progress" not in written


def test_f42_an_endless_output_is_cut(tmp_path: Path) -> None:
    written = of(tmp_path, new_code_cell("x", outputs=[new_output("stream", name="stdout", text="a" * 300_000)]))
    assert len(written) < 60_000
    assert "(300,000 characters)" in written


def test_markdown_is_read_safely(tmp_path: Path) -> None:
    source = """# A *title*

Text with `code`, **weight**, <script>pwned</script> and [a link](https://x.example "t") and [another](javascript:pwned).

![picture](https://x.example/a.png)

| a | b |
|---|---|
| 1 | <b>2</b> |

```
# not a heading
```

## Second & `last` <i>

### Third"""
    written = of(tmp_path, new_markdown_cell(source))
    assert '<h2 id="part-1">Second &amp; last &lt;i&gt;</h2>' in written
    assert "<code>code</code>, <strong>weight</strong>, &lt;script&gt;pwned&lt;/script&gt;" in written
    assert "# not a heading" in written
    assert "<h3>Third</h3>" in written
    assert 'href="http' not in written
    assert 'src="http' not in written
    assert "javascript:" not in written
    assert written.count("<h1>") == 1
    assert "<td>&lt;b&gt;2&lt;/b&gt;</td>" in written


def test_a_title_comes_from_the_notebook_when_none_is_given(tmp_path: Path) -> None:
    assert "<h1>A title</h1>" in page(tmp_path, new_notebook(cells=[new_markdown_cell("# A *title*")]), title="")
    assert "<h1>notebook</h1>" in page(tmp_path, new_notebook(cells=[]), title="")
