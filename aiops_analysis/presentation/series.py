"""Daily values as small SVG written by hand: the sparkline of a table cell, and the series of an opened row with its levels and events.

No matplotlib: a report may hold hundreds of these. Colours come from the page (``currentColor`` and the classes ``series-*``); the
lines differ by dash and width too, and everything that is drawn is said in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aiops_analysis.presentation import formats
from aiops_analysis.presentation.escape import Html, element

__all__ = ["Level", "Marks", "series", "sparkline"]

_WIDE, _PLOT, _TOP, _HIGH = 420, 268, 8, 104  # drawing units, about pixels: whole width, width and bottom of the plot
_LINE = 12  # height of one line of text
_LOOKS = {"now": "5 3", "new": None, "p95": "1.5 2.5"}  # dash of each kind of level


@dataclass(frozen=True)
class Level:
    """A horizontal line: ``kind`` is now, new or p95 (its look), ``label`` stands at its right end."""

    kind: str
    value: float  # [cores | bytes]
    label: str


@dataclass(frozen=True)
class Marks:
    """Events of one kind below the series: the places of their days, counted from 0, and what they are."""

    label: str
    places: tuple[int, ...]


def sparkline(values: Sequence[float], request: float = float("nan"), label: str = "") -> Html:
    """A small SVG of daily values with the request as a dashed line; days without a value are gaps (no matplotlib)."""
    wide, high = 96, 24
    seen = [v for v in values if formats.known(v)]
    largest = max([*seen, request if formats.known(request) else 0.0], default=0.0) or 1.0
    x = [2 + i * (wide - 4) / max(len(values) - 1, 1) for i in range(len(values))]
    y = [high - 2 - value / largest * (high - 4) for value in values]
    parts = []
    if formats.known(request):
        level = f"{high - 2 - request / largest * (high - 4):.1f}"
        dashed = {"x1": 0, "x2": wide, "y1": level, "y2": level, "stroke": "currentColor", "stroke-dasharray": "3 2", "opacity": 0.75}
        parts.append(element("line", dashed))
    frame = {"xmlns": "", "viewBox": f"0 0 {wide} {high}", "width": wide, "height": high, "role": "img"}
    return element("svg", frame | {"aria-label": label or "daily values"}, *parts, *_lines(x, y))


def _lines(x: Sequence[float], y: Sequence[float]) -> list[Html]:
    """One line for each run of days with a value; a lone day is a dot, because its line has round caps."""
    runs: list[list[str]] = [[]]
    for across, down in zip(x, y, strict=True):
        if formats.known(down):
            runs[-1].append(f"{across:.1f},{down:.1f}")
        elif runs[-1]:
            runs.append([])
    look = {"fill": "none", "stroke": "currentColor", "stroke-width": 1.6, "stroke-linecap": "round"}
    return [element("polyline", {"points": " ".join(run if len(run) > 1 else run * 2)} | look) for run in runs if run]


def series(values: Sequence[float], levels: Sequence[Level], marks: Sequence[Marks], ends: tuple[str, str], alt: str) -> Html:
    """Daily values from 0 up, with labelled levels, one strip of marks per kind of event below, and the first and the last day.

    ``ends`` are the words for the first and the last day; ``alt`` says all of it for those who do not see it.
    """
    drawn = [level for level in levels if formats.known(level.value)]
    largest = max([*(v for v in values if formats.known(v)), *(level.value for level in drawn)], default=0.0) or 1.0
    x = [_place(place, len(values)) for place in range(len(values))]
    y = [_down(value, largest) for value in values]
    bottom = _HIGH + len(marks) * _LINE
    parts = [element("line", {"class": "series-axis", "x1": 0, "x2": _PLOT, "y1": _HIGH, "y2": _HIGH, "stroke": "currentColor"})]
    parts += _levels(drawn, largest)
    parts.append(element("g", {"class": "series-days"}, *_lines(x, y)))
    for row, one in enumerate(marks):
        parts += _strip(one, _HIGH + row * _LINE, len(values))
    parts.append(_word(0, bottom + _LINE, ends[0]))
    parts.append(_word(_PLOT, bottom + _LINE, ends[1], end=True))
    frame = {"xmlns": "", "viewBox": f"0 0 {_WIDE} {bottom + _LINE + 4}", "width": _WIDE, "height": bottom + _LINE + 4}
    return element("svg", frame | {"class": "series", "role": "img", "aria-label": alt}, *parts)


def _place(place: int, days: int) -> float:
    return 3 + place * (_PLOT - 6) / max(days - 1, 1)


def _down(value: float, largest: float) -> float:
    return _HIGH - value / largest * (_HIGH - _TOP)


def _word(x: float, y: float, words: str, *, end: bool = False, kind: str | None = None) -> Html:
    about = {"class": kind, "x": f"{x:g}", "y": f"{y:.1f}", "font-size": 11, "fill": "currentColor"}
    return element("text", about | ({"text-anchor": "end"} if end else {}), words)


def _levels(levels: Sequence[Level], largest: float) -> list[Html]:
    """The lines, and their labels pushed apart so that none covers another."""
    ordered = sorted(levels, key=lambda level: -level.value)
    at = [_down(level.value, largest) + 4 for level in ordered]
    for place in range(1, len(at)):
        at[place] = max(at[place], at[place - 1] + _LINE)
    over = at[-1] - (_HIGH + 4) if at else 0.0
    for place in range(len(at) - 1, -1, -1):  # from below: back up what was pushed out
        at[place] -= max(over, 0.0)
        over = at[place - 1] + _LINE - at[place] if place else 0.0
    parts = []
    for level, label in zip(ordered, at, strict=True):
        y = f"{_down(level.value, largest):.1f}"
        look = {
            "x1": 0,
            "x2": _PLOT,
            "y1": y,
            "y2": y,
            "stroke": "currentColor",
            "stroke-width": 1.5,
            "stroke-dasharray": _LOOKS[level.kind],
        }
        kind = f"series-{level.kind}"
        parts += [element("line", {"class": kind} | look), _word(_PLOT + 6, label, level.label, kind=kind)]
    return parts


def _strip(marks: Marks, top: float, days: int) -> list[Html]:
    """One bar for each day with such an event, and at the right what it is."""
    bars = " ".join(f"M{_place(place, days):.1f} {top + 3:g}v8" for place in marks.places if 0 <= place < days)
    path = [element("path", {"class": "series-marks", "d": bars, "stroke": "currentColor", "stroke-width": 3})] if bars else []
    return [*path, _word(_PLOT + 6, top + 11, marks.label)]
