"""The only way text gets into HTML or SVG: everything is escaped unless this module made it (fault row 41).

``Html`` marks text that is markup already. ``element`` builds it, ``clean`` admits markup of others (a notebook's outputs) after
keeping only listed elements and attributes. Adding an ``Html`` to a ``str`` gives a plain ``str``, which is escaped again: the
mistake shows, it does not harm.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Mapping

from aiops_analysis.core.names import visible

__all__ = ["Html", "clean", "element", "join", "name", "text"]


class Html(str):
    """Markup made by this module; templates with autoescape print it as it is."""

    __slots__ = ()

    def __html__(self) -> str:
        return str(self)


def _words(listed: str) -> frozenset[str]:
    return frozenset(re.findall(r"\S+", listed))


_VOID = frozenset({"br", "col", "hr", "img", "wbr"})
_HTML_TAGS = _words(
    """
    a abbr article b bdi blockquote br caption code col colgroup dd del details div dl dt em figcaption figure h2 h3 h4 h5 h6 hr i img
    li ol p pre s section small span strong sub summary sup table tbody td tfoot th thead time tr u ul wbr
    """
)
_SVG_TAGS = _words(
    """
    circle clipPath defs desc ellipse g line path pattern polygon polyline rect svg text title tspan use
    """
)
_TAGS = _HTML_TAGS | _SVG_TAGS
_ATTRIBUTES = _words(
    """
    alt class colspan datetime dir height href id lang open role rowspan scope src style tabindex title width clip-path clip-rule cx
    cy d dx dy fill fill-opacity fill-rule focusable font-family font-size font-style font-weight opacity patternTransform
    patternUnits points preserveAspectRatio r rx ry stroke stroke-dasharray stroke-linecap stroke-linejoin stroke-opacity stroke-width
    text-anchor transform version viewBox x x1 x2 xlink:href xmlns xmlns:xlink y y1 y2
    """
)
_PREFIXED = re.compile(r"(?:aria|data)-[a-z][a-z-]*")
_ID = re.compile(r"[A-Za-z][\w-]*", re.ASCII)
_PICTURE = re.compile(r"data:image/(?:png|jpeg);base64,[A-Za-z0-9+/]+={0,2}")
_STYLES = re.compile(r"(?:fill|stroke|font|opacity|text-anchor|white-space|clip-path|-inkscape-font)[a-z-]*", re.ASCII)
_LOCAL = re.compile(r"url\(#([A-Za-z][\w-]*)\)", re.ASCII)
_NAMESPACES = {"xmlns": "http://www.w3.org/2000/svg", "xmlns:xlink": "http://www.w3.org/1999/xlink"}

# Markup in the shape that this module, matplotlib and pandas write; whatever does not fit is text.
_TOKEN = re.compile(
    r"<(?P<close>/?)(?P<tag>[A-Za-z][A-Za-z0-9]*)(?P<attributes>(?:\s+[A-Za-z_:][\w:.-]*=\"[^\"<>]*\")*)\s*(?P<empty>/?)>", re.ASCII
)
_ATTRIBUTE = re.compile(r"([A-Za-z_:][\w:.-]*)=\"([^\"<>]*)\"", re.ASCII)
_SILENT = re.compile(r"<!--.*?-->|<!DOCTYPE[^>]*>|<\?xml[^>]*\?>|<(script|style|metadata|template)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
_BARE = re.compile(r"&(?!(?:[A-Za-z][A-Za-z0-9]{1,31}|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});)")


def _plain(value: str) -> str:
    """The text with every character that a browser drops or that turns the reading order as a visible escape."""
    if value.isascii() and value.isprintable():
        return value
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Cn") else _code(c) for c in value)


def _code(character: str) -> str:
    return character.encode("unicode_escape").decode()


def text(value: object) -> Html:
    """Any value as HTML text or as the inside of a double-quoted attribute; an ``Html`` is given back as it is."""
    return value if isinstance(value, Html) else Html(html.escape(_plain(str(value)), quote=True))


def name(value: object, longest: int = 80) -> Html:
    """A name from a cluster: invisible characters shown, cut at ``longest`` characters with the true length behind, escaped."""
    return text(visible(str(value), longest))


def join(parts: Iterable[object], separator: str = "") -> Html:
    """Several parts one after another, each escaped unless it is markup."""
    return Html(text(separator).join(text(part) for part in parts))


def element(tag: str, attributes: Mapping[str, object] | None = None, *content: object) -> Html:
    """One element; contents and attribute values are escaped, an attribute that is None is left out.

    Raises ValueError for an element or attribute that is not on the list: event handlers and scripts cannot be written at all.

    >>> element("td", {"class": "number", "title": None}, "a<b")
    '<td class="number">a&lt;b</td>'
    """
    if tag not in _TAGS:
        raise ValueError(f"<{tag}> is not an element that reports use")
    written = ""
    for key, value in (attributes or {}).items():
        if value is None:
            continue
        if (kept := _attribute(tag, key, str(value))) is None:
            raise ValueError(f"{key}={str(value)[:40]!r} is not an attribute that reports use")
        written += f' {key}="{_flat(kept)}"'
    return Html(f"<{tag}{written}>" if tag in _VOID else f"<{tag}{written}>{join(content)}</{tag}>")


def _flat(value: str) -> str:
    """An attribute value, with line breaks that survive."""
    return text(value).replace("\n", "&#10;").replace("\t", "&#9;").replace("\r", "&#13;")


def _attribute(tag: str, key: str, value: str) -> str | None:
    """The value if the attribute is on the list and harmless, else None."""
    if key not in _ATTRIBUTES and not _PREFIXED.fullmatch(key):
        return None
    if key == "id":
        return value if _ID.fullmatch(value) else None
    if key in ("href", "xlink:href"):
        return value if tag in ("a", "use") and value.startswith("#") and _ID.fullmatch(value[1:]) else None
    if key == "src":
        return value if tag == "img" and _PICTURE.fullmatch(value) else None
    if key in _NAMESPACES:
        return _NAMESPACES[key]
    if key == "style":
        return _style(value) if tag in _SVG_TAGS else None
    if "url(" in _LOCAL.sub("", value).lower() and key in ("clip-path", "fill", "stroke"):
        return None
    return value


def _style(value: str) -> str:
    """The drawing properties of an SVG style attribute; nothing that moves, covers or loads."""
    kept = []
    for part in value.split(";"):
        prop, _, setting = part.partition(":")
        harmless = "\\" not in setting and "(" not in _LOCAL.sub("", setting)
        if _STYLES.fullmatch(prop.strip()) and harmless:
            kept.append(f"{prop.strip()}: {setting.strip()}")
    return "; ".join(kept)


def clean(markup: str, prefix: str = "") -> Html:
    """Markup of others with only listed elements and attributes, balanced; every id gets ``prefix``, so that two pictures never share one.

    Elements with code (script, style) vanish with their content; every other unknown tag is shown as the text that it is.
    """
    if isinstance(markup, Html) and not prefix:
        return markup
    out: list[str] = []
    opened: list[str] = []
    markup = _SILENT.sub("", markup)
    place = 0
    for token in _TOKEN.finditer(markup):
        out.append(_loose(markup[place : token.start()]))
        place = token.end()
        out.append(_tag(token, opened, prefix))
    out.append(_loose(markup[place:]))
    out += [f"</{tag}>" for tag in reversed(opened)]
    return Html("".join(out))


def _loose(part: str) -> str:
    """Text between tags: entities stay, everything else is escaped."""
    return _BARE.sub("&amp;", _plain(part)).replace("<", "&lt;").replace(">", "&gt;")


def _tag(token: re.Match[str], opened: list[str], prefix: str) -> str:
    tag = token["tag"]
    if tag not in _TAGS:
        return _loose(token[0])
    if token["close"]:
        if tag not in opened:
            return ""
        closed: list[str] = []
        while not closed or closed[-1] != tag:
            closed.append(opened.pop())
        return "".join(f"</{one}>" for one in closed)
    written = "".join(f' {key}="{value}"' for key, value in _attributes(tag, token["attributes"], prefix).items())
    if tag in _VOID:
        return f"<{tag}{written}>"
    if token["empty"]:
        return f"<{tag}{written}></{tag}>"
    opened.append(tag)
    return f"<{tag}{written}>"


def _attributes(tag: str, written: str, prefix: str) -> dict[str, str]:
    out: dict[str, str] = {}
    for key, raw in _ATTRIBUTE.findall(written):
        value = _attribute(tag, key, html.unescape(raw))
        if value is None:
            continue
        if key == "id" or (prefix and key.startswith("aria-") and key.endswith(("labelledby", "describedby"))):
            value = " ".join(prefix + one for one in value.split())
        elif key in ("href", "xlink:href"):
            value = f"#{prefix}{value[1:]}"
        elif prefix:
            value = _LOCAL.sub(rf"url(#{prefix}\1)", value)
        out.setdefault(key, _flat(value))
    if tag == "img":
        out.setdefault("alt", "")
    return out
