"""The one spelling of facts that are kept as JSON."""

from __future__ import annotations

import json

import pytest

from aiops_analysis.core.compact import compact


def test_equal_facts_are_equal_texts() -> None:
    assert compact({"b": [1, 0.5], "a": {}}) == compact({"a": {}, "b": [1, 0.5]}) == '{"a":{},"b":[1,0.5]}'


@pytest.mark.parametrize("text", ["\u202e", "\ud800", "\x00", '"}', "é", "\n", "</script>"])
def test_any_text_survives_as_ascii(text: str) -> None:
    assert json.loads(compact({text: text})) == {text: text}
    assert compact(text).isascii()


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        compact(float("nan"))
