"""Text is text and markup is markup, whatever the text (fault rows 41, 49; reliability X01-X03, X11)."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiops_analysis.presentation import escape
from aiops_analysis.presentation.escape import Html, clean, element, join, name, text
from tests.frames import HOSTILE

ANY = st.text() | st.sampled_from(HOSTILE)
PIECES = st.lists(
    st.sampled_from(
        [
            "<",
            ">",
            "</",
            "/>",
            "script",
            "td",
            "svg",
            "onload",
            "=",
            '"',
            "'",
            " ",
            "style",
            "img",
            "src",
            "a",
            "href",
            "#x",
            "javascript:",
            "&",
            ";",
            "<td>",
            "</td>",
            "<b>",
            '<a href="#x">',
            '<svg style="fill: url(#x)">',
            "<script>",
            "</script>",
            "<!--",
            "-->",
            "\x00",
            "\u202e",
            "&lt;",
            '<p id="x" onclick="y">',
            '<use xlink:href="#p">',
            '<rect style="position: fixed; fill: red"/>',
            "text",
            "&#60;script&#62;",
        ]
    )
).map("".join)


class Seen(HTMLParser):
    """What a parser makes of markup."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.other: list[str] = []
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("br", "hr", "img", "col", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def handle_comment(self, data):
        self.other.append(data)

    handle_decl = unknown_decl = handle_pi = handle_comment


@given(ANY)
def test_f41_text_stays_text(value: str) -> None:
    shown = text(value)
    assert not re.search("[<>\"'\x00\u202e]", shown)
    seen = Seen(f"<p>{shown}</p>")
    assert [tag for tag, _ in seen.tags] == ["p"]
    assert seen.text == html.unescape(shown)
    if value.isascii() and value.isprintable():
        assert html.unescape(shown) == value


@given(ANY, ANY)
def test_f41_attributes_stay_attributes(value: str, inside: str) -> None:
    seen = Seen(element("td", {"title": value, "data-sort": value}, inside))
    ((tag, attributes),) = seen.tags
    assert (tag, set(attributes), seen.open) == ("td", {"title", "data-sort"}, [])
    if value.isascii() and value.isprintable():
        assert attributes == {"title": value, "data-sort": value}


@given(ANY)
def test_f42_names_are_cut_and_shown(value: str) -> None:
    shown = name(value, 20)
    assert not re.search("[<>\"'\x00\u202e\u200b]", shown)
    assert len(html.unescape(shown)) <= 20 * 10 + 30  # an escape is at most ten characters long


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("nul\x00byte", "nul\\x00byte"),
        ("\ud800", "\\ud800"),
        ("a" * 100, "a" * 80 + "... (100 characters)"),
        ("{{7*7}}", "{{7*7}}"),
        ("Straße", "Straße"),
    ],
)
def test_f41_invisible_characters_show(value: str, shown: str) -> None:
    assert name(value) == shown


def test_markup_is_not_escaped_twice_and_sums_are_not_markup() -> None:
    bold = element("b", None, "x<y")
    assert bold == "<b>x&lt;y</b>"
    assert join([bold, "<"]) == "<b>x&lt;y</b>&lt;"
    assert not isinstance(bold + "<i>", Html)  # so it would be escaped when printed
    assert text(bold + "<i>").startswith("&lt;b&gt;")


@pytest.mark.parametrize(
    ("tag", "attributes"),
    [
        ("script", {}),
        ("iframe", {}),
        ("td", {"onclick": "x"}),
        ("td", {"style": "x"}),
        ("a", {"href": "javascript:x"}),
        ("a", {"href": "https://x.example"}),
        ("img", {"src": "https://x.example"}),
        ("img", {"src": "data:image/svg+xml;base64,AAAA"}),
        ("td", {"id": "a b"}),
        ("td", {'data-x"y': "1"}),
    ],
)
def test_f41_what_harms_cannot_be_written(tag: str, attributes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="is not an"):
        element(tag, attributes)


@given(PIECES)
def test_f41_cleaned_markup_is_balanced_and_harmless(markup: str) -> None:
    cleaned = clean(markup, "p-")
    seen = Seen(cleaned)
    assert seen.open == []
    assert seen.other == []
    for tag, attributes in seen.tags:
        assert tag in {one.lower() for one in escape._TAGS}
        for key, value in attributes.items():
            assert not key.startswith("on")
            assert key != "href" or value.startswith("#p-")
            assert key != "style" or "position" not in value
    assert str(clean(str(cleaned))) == str(cleaned)  # nothing new appears the second time


@pytest.mark.parametrize(
    ("markup", "cleaned"),
    [
        ("<script>alert(1)</script>ok", "ok"),
        ("<STYLE>*{}</STYLE >ok", "ok"),
        ('<iframe src="x"></iframe>', '&lt;iframe src="x"&gt;&lt;/iframe&gt;'),
        ('<b onclick="x" class="k">y', '<b class="k">y</b>'),
        ("<b onclick=x>y</b>", "&lt;b onclick=x&gt;y"),
        ("<td>a</b></td>", "<td>a</td>"),
        ("<p><b>a</p>", "<p><b>a</b></p>"),
        ("a & b &amp; &lt;", "a &amp; b &amp; &lt;"),
        ('<a href="javascript:x">y</a>', "<a>y</a>"),
        ('<a href="java&#115;cript:x">y</a>', "<a>y</a>"),
        ('<rect style="fill: red; position: fixed; background: url(http://x)"/>', '<rect style="fill: red"></rect>'),
        ('<g clip-path="url(#c)"><path id="c"/></g>', '<g clip-path="url(#n-c)"><path id="n-c"></path></g>'),
        ('<g fill="url(https://x)"></g>', "<g></g>"),
        ('<img src="data:image/png;base64,AAAA">', '<img src="data:image/png;base64,AAAA" alt="">'),
    ],
)
def test_f41_cleaning_by_example(markup: str, cleaned: str) -> None:
    assert clean(markup, "n-") == cleaned
