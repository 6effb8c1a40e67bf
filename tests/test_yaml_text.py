"""YAML: what is written comes back as the same text in any reader, and reading takes nothing but plain data."""

from __future__ import annotations

import contextlib

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from aiops_analysis.core.yaml_text import YamlError, quoted, read_yaml

ACTIVE = (
    "yes",
    "on",
    "null",
    "~",
    "1e3",
    "12e3",
    "0o7",
    "a: b",
    "- x",
    "*x",
    "&x",
    "!!python/object",
    "'",
    "#",
    "---",
    "...",
    "{{7*7}}",
    "",
)


@given(st.text())
def test_f44_any_text_comes_back_and_stays_on_one_line(text: str) -> None:
    written = quoted(text)
    assert len(written.splitlines()) == 1
    assert yaml.safe_load(f"a: {written}\nb: [{written}, {{c: {written}}}]") == {"a": text, "b": [text, {"c": text}]}
    assert read_yaml(f"a: {written}") == {"a": text}


@pytest.mark.parametrize("text", ACTIVE)
def test_f44_active_text_is_written_as_a_text(text: str) -> None:
    assert yaml.safe_load(quoted(text)) == text


def test_f44_a_lone_surrogate_is_replaced() -> None:
    assert yaml.safe_load(quoted("a\ud800b")) == "a\ufffdb"


def test_plain_scalars_stay_texts() -> None:
    text = "a: yes\nb: 2026-11-01\nc: 1e3\nd: null\ne:\nf: 'null'\ng: [no, ~, 0x10]\n"
    expected = {"a": "yes", "b": "2026-11-01", "c": "1e3", "d": None, "e": None, "f": "null", "g": ["no", None, "0x10"]}
    assert read_yaml(text) == expected


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}, *{a}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True))


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (BOMB, 1, "anchors and aliases"),
        ("b: 1\na: *b\n", 2, "anchors and aliases"),
        ("a: !!python/object/apply:os.system ['true']\n", 1, "tags are not read"),
        ("a: !x 1\n", 1, "tags are not read"),
        ("x: 1\na: " + "[" * 200, 2, "nested deeper"),
        ("x: 1\na: " + "[" * 30_000, 2, "nest"),
        ("a: " * 20_000, 1, "broken YAML"),
        ("a: [" + "x, " * 6_000 + "]", 1, "more than 5000"),
        ("a: " + "x" * 70_000, 0, "at most 65536"),
        ("a: 1\nb: [1\n", 3, "broken YAML"),
        ("a: 1\na: 2\n", 2, "comes twice"),
        ("a: 1\n[1]: 2\n", 2, "not a text"),
        ("- a\n", 1, "not a mapping"),
        ("just text", 1, "not a mapping"),
        ("", 1, "not a mapping"),
        ("a: 1\n---\nb: 1\n", 2, "more than one"),
        ("a: \x00\n", 0, "broken YAML"),
        ("a: \x07\n", 0, "broken YAML"),
    ],
)
def test_f44_what_is_more_than_plain_data_is_refused(text: str, line: int, says: str) -> None:
    with pytest.raises(YamlError, match=says) as caught:
        read_yaml(text)
    assert caught.value.line == line


@given(st.text(alphabet="ab:-[]{}&*!|>'\"\n #%@`,?0~", max_size=60))
def test_f44_any_text_is_read_or_refused_by_name(text: str) -> None:
    with contextlib.suppress(YamlError):  # nothing else may come out
        assert isinstance(read_yaml(text), dict)
