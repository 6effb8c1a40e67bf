"""Text in YAML and in shell lines: it reads back equal, whatever it says."""

from __future__ import annotations

import shlex
import subprocess

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from aiops_analysis.evidence import yamltext
from aiops_analysis.evidence.yamltext import comments, dump, one_line, shell
from tests.frames import HOSTILE

ACTIVE = (
    "yes",
    "on",
    "y",
    "~",
    "null",
    "1e3",
    "12e3",
    "0o7",
    "1_000",
    "0x1f",
    ".nan",
    "a: b",
    "- x",
    "*x",
    "&x",
    "!!python/object",
    "a\nb: c",
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@pytest.mark.parametrize("text", [*ACTIVE, *HOSTILE])
def test_f44_yaml_active_text_is_quoted_and_reads_back(text: str) -> None:
    value = {"metadata": {"name": text, text: [text, None, 1, 0.5, True]}}
    written = dump(value)
    assert yaml.safe_load(written) == value
    assert f'name: "{text}"' in written or "\\" in written
    assert written.isascii()


@given(st.recursive(TEXT | st.none() | st.integers() | st.booleans(), lambda x: st.lists(x) | st.dictionaries(TEXT, x), max_leaves=12))
def test_f44_any_object_reads_back_equal(value: object) -> None:
    assert yaml.safe_load(dump(value)) == value


@given(st.dictionaries(TEXT, TEXT, max_size=4))
def test_the_python_emitter_writes_the_same(value: dict[str, str]) -> None:
    class Slow(yaml.SafeDumper):
        """The pure Python one, for a PyYAML without libyaml."""

    Slow.yaml_representers = dict(yamltext._Dumper.yaml_representers)
    slow = yaml.dump(value, Dumper=Slow, allow_unicode=False, default_flow_style=False, sort_keys=False, width=2**30)
    assert yaml.safe_load(slow) == yaml.safe_load(dump(value)) == value


def test_equal_objects_are_written_twice_not_as_an_anchor() -> None:
    shared = {"cpu": "1"}
    assert dump([shared, shared]) == '- cpu: "1"\n- cpu: "1"\n'


@given(st.lists(TEXT, max_size=5))
def test_f44_a_comment_never_ends_early(lines: list[str]) -> None:
    written = comments(lines)
    assert written.split("\n")[:-1] == written.splitlines()  # no other line end slips in
    assert len(written.splitlines()) == len(lines)
    assert all(line.startswith("#") for line in written.splitlines())
    assert yaml.safe_load(written + "a: 1\n") == {"a": 1}


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40))
def test_printable_words_are_one_argument(word: str) -> None:
    assert shlex.split(shell(word)) == [word]


@pytest.mark.parametrize("word", ["a\nb", "é", "\u202e", "'\n\\", "$(id)", "`id`", "-rf", "a\tb", "🙂"])
def test_every_word_is_one_argument_of_bash(word: str) -> None:
    assert "\n" not in shell(word)
    done = subprocess.run(["bash", "-c", f"printf '%s' {shell(word)}"], capture_output=True, check=True)
    assert done.stdout.decode() == word


def test_json_on_a_line() -> None:
    value = [{"value": "it's \u2028 a\nb"}]
    (word,) = shlex.split(one_line(value))
    assert yaml.safe_load(word) == value
    assert word.isprintable()
    assert word.isascii()
