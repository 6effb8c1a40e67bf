"""The text of a pull request: short enough, harmless, the same for the same history."""

from __future__ import annotations

import re
from datetime import date

import mistune
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiops_analysis.core.reasons import Code, Reason
from aiops_analysis.core.window import Window
from aiops_analysis.evidence.markdown import code, details, fitted, words
from aiops_analysis.evidence.patchset import patch_files
from aiops_analysis.evidence.pull_request import MOST, Heading, pull_request
from tests.frames import HOSTILE, NAN
from tests.patching import both, planned, reason, row

ABOUT = Heading("demo", Window.of_days(date(2026, 11, 1), 28), "f" * 64, "seed", "USD", "All is well.", "0.1.0")
FORGE = (
    "@org/team",
    "![x](http://evil/x.png)",
    "</details><img src=x>",
    "[a](javascript:x)",
    "a|b",
    "`",
    "``a``",
    "<!-- -->",
    "#12",
    "x\\",
    "\\|",
)
TEXT = st.one_of(st.sampled_from([*HOSTILE, *FORGE]), st.text(st.characters(exclude_categories=["Cs"]), max_size=30))


def body(*rows: dict[str, object], about: Heading = ABOUT) -> str:
    plan = planned(*rows)
    return pull_request(plan, patch_files(plan, about.cluster, formats=["strategic"]), about)


def test_the_text_by_example() -> None:
    lines = body(*both(reasons=[reason(Code.STEP_CAPPED)]), row("cpu", workload="quiet", decided="0003")).splitlines()
    assert lines[:10] == [
        "<!-- aiops-analysis:rightsizing-2a97516c354b -->",  # sha256 of "demo"
        "",
        "## Right-sizing of `demo`",
        "",
        # 18.00 + 6.96
        (
            "**1 workload changes in 2 rows; together they save 24.96 USD a month on paper "
            "(requests times price; it is money only when nodes go; "
            "the review's total also holds what is in no file).** 1 change is left out of the files; why is below."
        ),
        "",
        "All is well.",
        "",
        "| workload | container | resource | request | limit | P95 | grade | on paper a month | why |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    assert lines[10] == (
        "| `todo/backend` Deployment | `app` | cpu | 500m → **100m** | 2000m → 300m | 50m | high | 18.00 USD | `step_capped` |"
    )
    assert "cd patches/strategic" in lines
    assert "- `todo/quiet` `app` cpu: kept quiet by the decision record 0003" in lines
    assert "- without a recommendation: 0 rows" in lines
    assert "- window: 2026-10-05 to 2026-11-01 (UTC days)" in lines


def test_rows_come_by_money_and_a_loss_counts_as_well() -> None:
    rows = [row("cpu", workload="a", paper=1.0), row("cpu", workload="b", paper=-30.0), row("cpu", workload="c", paper=NAN)]
    found = re.findall(r"^\| `todo/(\w)`", body(*rows), re.MULTILINE)
    assert found == ["b", "a", "c"]
    assert "together they cost 29.00 USD" in body(*rows)


def test_nothing_to_change_is_said() -> None:
    text = body(row("cpu", change="keep"))
    assert "**Nothing is to be changed by a file.**" in text
    assert "| workload |" not in text


def test_a_long_text_is_cut_and_says_how_much() -> None:
    rows = [line for i in range(300) for line in both(workload=f"service-{i:04}", reasons=[Reason(Code.JVM, "m" * 200)])]
    text = body(*rows)
    assert len(text) <= MOST
    shown = len(re.findall(r"^\| `todo/", text, re.MULTILINE))
    assert f"{600 - shown:,} more rows are in the report." in text
    assert 100 < shown < 600


@pytest.mark.parametrize("name", ["a" * 10_000, "@" * 10_000])
def test_f42_endless_names_do_not_make_it_longer(name: str) -> None:
    rows = [line for i in range(20) for line in both(workload=f"{i}{name}", reasons=[Reason(Code.JVM, name)])]
    assert len(body(*rows, about=Heading(name, ABOUT.window, "f", name, "USD", name))) <= MOST


@settings(max_examples=60, deadline=None)
@given(TEXT)
def test_f41_a_forge_sees_no_mention_no_image_no_markup(name: str) -> None:
    about = Heading(name, ABOUT.window, "f" * 64, name, "USD", f"Of {name} this is said.")
    rows = both(workload=name, namespace=name, container=name, reasons=[Reason(Code.JVM, name)])
    text = body(*rows, row("cpu", workload=name + "2", decided=name), about=about)
    assert "@" not in text
    outside = re.sub(r"^<!-- aiops-analysis:[\w-]+ -->", "", text)
    outside = re.sub(r"</?details>|</?summary>", "", outside).replace("diff -u <(kubectl", "").replace(" <(kubectl patch", "")
    assert "<" not in outside
    page = mistune.create_markdown(escape=True, plugins=["table", "url", "strikethrough", "task_lists"])(text)
    assert not re.findall(r"<(?:img|a|script|del|input|h[13-6])\b", page)
    rows_of_page = re.findall(r"<tr>.*?</tr>", page, re.DOTALL)
    assert {row.count("<td") + row.count("<th") for row in rows_of_page} == {9}


@settings(max_examples=60, deadline=None)
@given(TEXT)
def test_f41_a_code_span_holds_its_name(name: str) -> None:
    page = mistune.create_markdown(escape=True, plugins=["table", "url"])(f"x {code(name)} y")
    assert page.startswith("<p>x <code>") or code(name) == "–"
    assert page.rstrip().endswith(" y</p>")
    assert "\n" not in code(name)


@pytest.mark.parametrize(
    "text", ["*a* _b_ ~~c~~", "<b>", "http://evil.example", "www.evil.example", "@org", "a\n# b", "&lt;", "$x$", "- [ ] a"]
)
def test_words_stay_words(text: str) -> None:
    page = mistune.create_markdown(escape=True, plugins=["url", "strikethrough", "table", "task_lists"])(f"x {words(text)}")
    assert page.count("<") == 2  # the paragraph alone


def test_lines_that_fit() -> None:
    assert fitted(["ab", "cd", "ef"], 6) == (["ab", "cd"], 1)
    assert fitted([], 0) == ([], 0)
    assert details("t", "b") == "<details><summary>t</summary>\n\nb\n\n</details>"
