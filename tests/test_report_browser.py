"""The page in a real browser without a network: nothing of the data runs, sorting and filtering do, everyone can read and reach it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from aiops_analysis.presentation.report import render
from tests import browser, frames, report_kinds

pytestmark = pytest.mark.browser
TABLE = "[...document.querySelectorAll('table.sortable')].find(t => t.caption.textContent.startsWith('Recommendations'))"
ROWS = f"[...{TABLE}.tBodies[0].rows].filter(r => r.className !== 'more')"
BOX = f"{TABLE}.closest('.filtered').querySelector('input')"
AXE = Path(__file__).resolve().parents[1] / ".tools" / "axe" / "axe-4.14.1.min.js"
OPEN = "for (const one of document.querySelectorAll('details')) one.open = true"


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
        values = tab.run(f"{ROWS}.map(r => r.cells[{place}].dataset.sort)")
        assert isinstance(values, list)
        known = [float(value) for value in values if value]
        assert known == sorted(known, reverse=direction == "descending")
        assert all(not value for value in values[len(known) :])
        assert tab.run(f"{TABLE}.tHead.rows[0].cells[{place}].getAttribute('aria-sort')") == direction


def test_filter_shows_rows_with_every_word(tab: browser.Page, tmp_path: Path) -> None:
    tab.open(report(tmp_path, frames.notebook(frames.many())))
    tab.run(f"{BOX}.value = 'Billing memory'; {BOX}.dispatchEvent(new Event('input'))")
    rows = tab.run(f"{ROWS}.filter(r => !r.hidden).map(r => r.textContent.toLowerCase())")
    assert isinstance(rows, list)
    assert 0 < len(rows) < len(frames.many())
    assert all("billing" in row and "memory" in row for row in rows)
    assert tab.run(f"{BOX}.closest('.filter').querySelector('output').textContent") == f"{len(rows)} of {len(frames.many())} rows"
    apart = f"[...{TABLE}.querySelectorAll('.more')].filter(m => m.hidden !== m.previousElementSibling.hidden).length"
    assert tab.run(apart) == 0  # the line below a row goes where the row goes


def size(tab: browser.Page, width: int, scheme: str = "light", media: str = "") -> None:
    tab.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    tab.call("Emulation.setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": scheme}])


@pytest.fixture
def plain(tab: browser.Page) -> Iterator[browser.Page]:
    """The tab, given back with the window that it had."""
    yield tab
    size(tab, 1280)


@pytest.mark.parametrize("which", ["hostile", "kinds", "many"])
def test_the_page_is_never_wider_than_the_window(plain: browser.Page, tmp_path: Path, which: str) -> None:
    made = {"hostile": lambda: frames.notebook(frames.hostile(), "a" * 5000), "kinds": report_kinds.notebook}
    file = report(tmp_path, made.get(which, lambda: frames.notebook(frames.many()))())
    for width in (360, 768, 1280):
        size(plain, width)
        plain.open(file)
        plain.run(OPEN)
        assert plain.run("document.scrollingElement.scrollWidth <= innerWidth"), width


def test_on_a_narrow_screen_rows_are_cards(plain: browser.Page, tmp_path: Path) -> None:
    size(plain, 360)
    plain.open(report(tmp_path, report_kinds.notebook()))
    for table in ("recommended", "short"):
        box = f"document.querySelector('table.{table}').closest('.wide')"
        assert plain.run(f"{box}.scrollWidth <= {box}.clientWidth"), table  # nothing to scroll sideways
    over = "[...document.querySelectorAll('.cards td, .cards th')].filter(c => c.getBoundingClientRect().right > innerWidth).length"
    assert plain.run(over) == 0


@pytest.fixture(scope="module")
def axe() -> str:
    if not AXE.is_file():
        reason = f"axe-core is not in {AXE.parent.name}; tools/fetch_axe.sh fetches it"
        if os.environ.get("CI") == "true" and shutil.which("npm"):
            pytest.fail(reason)
        pytest.skip(reason)
    return AXE.read_text(encoding="utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_axe_finds_nothing_against_wcag_aa(plain: browser.Page, tmp_path: Path, axe: str, width: int, scheme: str) -> None:
    size(plain, width, scheme)
    plain.open(report(tmp_path, report_kinds.notebook()))
    plain.run(OPEN)
    plain.run(f"{axe};0")
    rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
    found = json.loads(str(plain.run(f"axe.run({{runOnly: {rules}}}).then(r => JSON.stringify([r.passes.length, r.violations]))")))
    assert found[0] > 15  # rules that were looked at
    assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found[1]] == []


def test_axe_would_find_a_fault(plain: browser.Page, tmp_path: Path, axe: str) -> None:
    file = report(tmp_path, report_kinds.notebook())
    pale = "<p style='color:#ccc'>pale</p><footer>"
    file.write_text(file.read_text(encoding="utf-8").replace("<footer>", pale).replace('lang="en"', ""), encoding="utf-8")
    plain.open(file)
    plain.run(f"{axe};0")
    found = plain.run("axe.run({runOnly: ['wcag2a', 'wcag2aa']}).then(r => r.violations.map(v => v.id))")
    assert found == ["color-contrast", "html-has-lang"]


def test_everything_is_reached_by_keyboard_and_shows_where_it_is(tab: browser.Page, tmp_path: Path) -> None:
    tab.open(report(tmp_path, report_kinds.notebook()))
    seen, bare = [], []
    for _ in range(400):
        for kind in ("rawKeyDown", "keyUp"):
            tab.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        at = "(e => e === document.body ? null : [e.className || e.localName, e.innerText.slice(0, 20), getComputedStyle(e).outlineStyle])"
        found = tab.run(f"{at}(document.activeElement)")
        if found is None or (seen and found == seen[0]):
            break
        assert isinstance(found, list)
        seen.append(found)
        bare += [found] if found[2] == "none" else []
    assert seen[0][:2] == ["skip", "Skip to the content"]
    assert bare == []
    reached = [one[0] for one in seen]
    assert {"button", "input", "summary", "wide", "chart"} <= set(reached)
    assert reached.count("button") == tab.run("document.querySelectorAll('thead button').length")
    shown = "[...document.querySelectorAll('summary')].filter(e => e.checkVisibility({contentVisibilityAuto: true})).length"
    assert reached.count("summary") == tab.run(shown)


def test_enter_opens_a_row_and_sorts_by_a_column(tab: browser.Page, tmp_path: Path) -> None:
    tab.open(report(tmp_path, report_kinds.notebook()))
    for focus, expected in (
        (f"{TABLE}.querySelector('summary')", f"{TABLE}.querySelector('details').open"),
        (f"{TABLE}.tHead.querySelector('button')", f"{TABLE}.tHead.querySelector('th').getAttribute('aria-sort') === 'ascending'"),
    ):
        tab.run(f"{focus}.focus()")
        for kind in ("keyDown", "keyUp"):
            tab.call("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")
        assert tab.run(expected) is True


def test_a_row_that_is_sorted_takes_its_series_along(tab: browser.Page, tmp_path: Path) -> None:
    tab.open(report(tmp_path, report_kinds.notebook()))
    tab.run(f"{TABLE}.tHead.rows[0].cells[1].querySelector('button').click()")
    pairs = tab.run(
        f"[...{TABLE}.querySelectorAll('.more summary')].map(s => [s.closest('tr').previousElementSibling.cells[1], s])"
        ".map(([c, s]) => [c.querySelector('bdi').textContent, s.textContent])"
    )
    assert isinstance(pairs, list)
    assert [name for name, _ in pairs] == sorted(name for name, _ in pairs)
    assert len(pairs) == 10
    assert all(f" of {name}, " in said for name, said in pairs)


def test_one_filter_for_the_table_and_its_list(tab: browser.Page, tmp_path: Path) -> None:
    tab.open(report(tmp_path, frames.notebook(frames.large(3000))))
    assert tab.run("document.querySelectorAll('.filtered .filter').length") == 1
    tab.run(f"{BOX}.value = 'team-07'; {BOX}.dispatchEvent(new Event('input'))")
    said = str(tab.run(f"{BOX}.closest('.filter').querySelector('output').textContent"))
    shown = tab.run("[...document.querySelectorAll('table.lines tbody tr')].filter(r => !r.hidden).map(r => r.cells[0].textContent)")
    assert isinstance(shown, list)
    assert set(shown) == {"team-07-staging"}
    assert said.endswith(f"{len(shown)} of {tab.run('document.querySelectorAll(`table.lines tbody tr`).length'):,} rows in the list below")
    tab.run("[...document.querySelectorAll('table.lines thead button')].at(-1).click()")
    money = tab.run("[...document.querySelectorAll('table.lines tbody tr')].map(r => r.cells[4].textContent)")
    assert isinstance(money, list)
    known = [float(one.replace("−", "-").replace(",", "")) for one in money if one != "–"]
    assert known == sorted(known, reverse=True)
    assert all(one == "–" for one in money[len(known) :])


def test_f55_the_page_is_complete_with_scripts_off(tab: browser.Page, tmp_path: Path) -> None:
    file = report(tmp_path, frames.notebook(frames.many()))
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        tab.open(file)
        root = tab.call("DOM.getDocument")["root"]["nodeId"]
        rows = tab.call("DOM.querySelectorAll", nodeId=root, selector="table.sortable td.spark")["nodeIds"]
        series = tab.call("DOM.querySelectorAll", nodeId=root, selector="details.row svg.series")["nodeIds"]
        dead = tab.call("DOM.querySelectorAll", nodeId=root, selector="button, input, [hidden]")["nodeIds"]
    finally:
        tab.call("Emulation.setScriptExecutionDisabled", value=False)
    assert len(rows) == sum(any(value == value for value in values) for values in frames.many()["daily_p95"])
    assert dead == []  # controls exist only where they work
    assert len(series) == sum(row["change"] == "increase" for row in frames.many().to_dict("records")) + len(frames.many())
    assert tab.asked == [file.as_uri()]


def test_f55_on_paper_there_are_rows_heads_and_opened_rows_but_no_controls(tab: browser.Page, tmp_path: Path) -> None:
    tab.open(report(tmp_path, frames.notebook(frames.many())))
    tab.call("Emulation.setEmulatedMedia", media="print")
    try:
        shown = "(selector) => [...new Set([...document.querySelectorAll(selector)].map(e => getComputedStyle(e).display))]"
        assert tab.run(f"({shown})('nav, .skip, .filter, .code')") == ["none"]
        assert tab.run(f"({shown})('thead')") == ["table-header-group"]
        assert tab.run(f"({shown})('thead button')") == ["contents"]  # Chromium repeats no head with a button's box in it
        assert tab.run("getComputedStyle(document.querySelector('.wide')).overflowX") == "visible"
        assert tab.run(f"{ROWS}.length") == len(frames.many())
        folded = "[...document.querySelectorAll('details:not(.code) > :not(summary)')].map(e => e.checkVisibility() && e.offsetHeight > 40)"
        assert tab.run(f"[...new Set({folded})]") == [True]  # though none is open
        assert tab.run("document.querySelectorAll('details[open]').length") == 0
        for event, opened in (("beforeprint", True), ("afterprint", False)):  # for browsers that cannot do it by style
            tab.run(f"dispatchEvent(new Event('{event}'))")
            assert (tab.run("document.querySelectorAll('details:not(.code):not([open])').length") == 0) is opened
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
