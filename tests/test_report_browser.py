"""The page in a real browser without a network: nothing of the data runs, sorting and filtering do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from aiops_analysis.presentation.report import render
from tests import browser, frames

pytestmark = pytest.mark.browser
TABLE = "[...document.querySelectorAll('table.sortable')].find(t => t.caption.textContent.startsWith('Recommendations'))"


@pytest.fixture(scope="module")
def tab(tmp_path_factory) -> Iterator[browser.Page]:
    with browser.browser(tmp_path_factory.mktemp("profile")) as page:
        yield page


def report(folder: Path, notebook: nbformat.NotebookNode, title: str = "Monthly cost review") -> Path:
    nbformat.write(notebook, folder / "notebook.ipynb")
    return render(folder / "notebook.ipynb", folder / "report.html", title=title, meta={"cluster": title})


def test_f41_no_payload_runs(tab: browser.Page, tmp_path: Path) -> None:
    words = " ".join(frames.HOSTILE[:-1])
    file = report(tmp_path, frames.notebook(frames.hostile(), words), title=words)
    tab.open(file)
    assert tab.run("typeof window.pwned") == "undefined"
    assert tab.run("document.querySelectorAll('script').length") == 1
    assert tab.run("document.querySelectorAll('iframe, img, object, embed').length") == 0
    assert tab.console == []
    assert tab.asked == [file.as_uri()]


def test_the_policy_stops_what_would_get_through(tab: browser.Page, tmp_path: Path) -> None:
    file = report(tmp_path, frames.notebook(frames.calm()))
    page = file.read_text(encoding="utf-8")
    planted = '<script>window.pwned=1</script><img src="x" onerror="window.pwned=1"><img src="http://127.0.0.1:9/x">'
    file.write_text(page.replace("<footer>", f"{planted}<footer>"), encoding="utf-8")
    tab.open(file)
    assert tab.run("typeof window.pwned") == "undefined"
    assert tab.console != []  # the violations are told


def test_sorting_by_value_keeps_the_unknown_last(tab: browser.Page, tmp_path: Path) -> None:
    tab.open(report(tmp_path, frames.notebook(frames.many())))
    place = tab.run(f"[...{TABLE}.tHead.rows[0].cells].findIndex(c => c.textContent.startsWith('Paper saving'))")
    for direction in ("descending", "ascending"):
        tab.run(f"{TABLE}.tHead.rows[0].cells[{place}].querySelector('button').click()")
        values = tab.run(f"[...{TABLE}.tBodies[0].rows].map(r => r.cells[{place}].dataset.sort)")
        assert isinstance(values, list)
        known = [float(value) for value in values if value]
        assert known == sorted(known, reverse=direction == "descending")
        assert all(not value for value in values[len(known) :])
        assert tab.run(f"{TABLE}.tHead.rows[0].cells[{place}].getAttribute('aria-sort')") == direction


def test_filter_shows_rows_with_every_word(tab: browser.Page, tmp_path: Path) -> None:
    tab.open(report(tmp_path, frames.notebook(frames.many())))
    box = f"{TABLE}.closest('.wide').previousElementSibling.querySelector('input')"
    tab.run(f"{box}.value = 'Billing memory'; {box}.dispatchEvent(new Event('input'))")
    rows = tab.run(f"[...{TABLE}.tBodies[0].rows].filter(r => !r.hidden).map(r => r.textContent.toLowerCase())")
    assert isinstance(rows, list)
    assert 0 < len(rows) < len(frames.many())
    assert all("billing" in row and "memory" in row for row in rows)


def test_the_page_is_never_wider_than_the_window(tab: browser.Page, tmp_path: Path) -> None:
    file = report(tmp_path, frames.notebook(frames.hostile(), "a" * 5000))
    for width in (400, 1280):
        tab.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        tab.open(file)
        assert tab.run("document.documentElement.scrollWidth") <= width


def test_f55_the_page_is_complete_with_scripts_off(tab: browser.Page, tmp_path: Path) -> None:
    file = report(tmp_path, frames.notebook(frames.many()))
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        tab.open(file)
        root = tab.call("DOM.getDocument")["root"]["nodeId"]
        rows = tab.call("DOM.querySelectorAll", nodeId=root, selector="table.sortable td.spark")["nodeIds"]
        dead = tab.call("DOM.querySelectorAll", nodeId=root, selector="button, input, [hidden]")["nodeIds"]
    finally:
        tab.call("Emulation.setScriptExecutionDisabled", value=False)
    assert len(rows) == sum(any(value == value for value in values) for values in frames.many()["daily_p95"])
    assert dead == []  # controls exist only where they work
    assert tab.asked == [file.as_uri()]


def test_f55_on_paper_there_are_rows_and_heads_but_no_controls(tab: browser.Page, tmp_path: Path) -> None:
    tab.open(report(tmp_path, frames.notebook(frames.many())))
    tab.call("Emulation.setEmulatedMedia", media="print")
    try:
        shown = "(selector) => [...new Set([...document.querySelectorAll(selector)].map(e => getComputedStyle(e).display))]"
        assert tab.run(f"({shown})('nav, .skip, .filter, details')") == ["none"]
        assert tab.run(f"({shown})('thead')") == ["table-header-group"]
        assert tab.run(f"({shown})('thead button')") == ["contents"]  # Chromium repeats no head with a button's box in it
        assert tab.run("getComputedStyle(document.querySelector('.wide')).overflowX") == "visible"
        assert tab.run(f"{TABLE}.tBodies[0].rows.length") == len(frames.many())
    finally:
        tab.call("Emulation.setEmulatedMedia", media="")


def test_colours_follow_the_reader_and_charts_stay_light(tab: browser.Page, tmp_path: Path) -> None:
    tab.open(report(tmp_path, frames.notebook(frames.calm())))
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    card = "getComputedStyle(document.querySelector('.chart > svg')).backgroundColor"
    for scheme, expected in (("light", "rgb(255, 255, 255)"), ("dark", "rgb(21, 24, 28)")):  # style.LIGHT and style.DARK
        tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        assert tab.run(ground) == expected
        assert tab.run(card) == "rgb(255, 255, 255)"
    tab.call("Emulation.setEmulatedMedia", features=[])
