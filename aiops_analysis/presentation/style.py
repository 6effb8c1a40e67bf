"""Colours and type of reports and charts: one palette that colour-blind readers tell apart (Okabe and Ito), light and dark."""

from __future__ import annotations

__all__ = ["CHART", "CHART_MARKS", "DARK", "GRAPHICS", "HEAT", "LAB_CSS", "LIGHT", "PAIRS", "contrast", "variables"]

#: Custom properties of the page in light mode and on paper.
LIGHT = {
    "page": "#ffffff",
    "panel": "#f6f7f9",
    "ink": "#1b1f24",
    "quiet": "#57606a",
    "line": "#d5dae0",
    "link": "#0060a0",
    "good": "#00684a",
    "warn": "#9a4a00",
    "bad": "#b02a00",
    "mark": "#fff4e5",
}
#: The same in dark mode.
DARK = {
    "page": "#15181c",
    "panel": "#1e2227",
    "ink": "#e6e8eb",
    "quiet": "#a5adb8",
    "line": "#3a4048",
    "link": "#79c0ff",
    "good": "#56d4a4",
    "warn": "#f0b060",
    "bad": "#ff9a76",
    "mark": "#3a2a12",
}
#: Text and the ground it stands on; each pair keeps a contrast of 4.5 in both modes.
PAIRS = tuple((ink, ground) for ink in ("ink", "quiet", "link", "good", "warn", "bad") for ground in ("page", "panel", "mark"))
#: Lines that carry meaning (series, borders of inputs, focus) and the ground below them; 3 in both modes is enough for those.
GRAPHICS = tuple((line, ground) for line in ("ink", "quiet", "link", "good", "warn", "bad") for ground in ("page", "panel"))

#: Charts stand on a light card in every mode. Fills are Okabe-Ito; what is written in colour is darker, to be read.
CHART = {
    "card": "#ffffff",
    "ink": "#1b1f24",
    "quiet": "#57606a",
    "line": "#d5dae0",
    "used": "#0072b2",  # blue: what is used, what is recommended
    "spare": "#e69f00",  # orange: what is requested and not used
    "short": "#d55e00",  # vermilion: what is missing
    "before": "#8a929c",  # grey: today
    "tint": "#cfe3f1",
    "spare_edge": "#8f5f00",  # outline and hatch of orange, which is too light to stand on white alone
}
#: What is drawn in charts and has to be told from the card without a word beside it; each keeps 3.
CHART_MARKS = ("used", "short", "before", "spare_edge")
#: Steps of a heat map, from little to much: ground and the ink of the number on it.
HEAT = (("#f1f6fb", "#1b1f24"), ("#cfe3f1", "#1b1f24"), ("#8fc0e0", "#1b1f24"), ("#0072b2", "#ffffff"), ("#004a7c", "#ffffff"))

#: For JupyterLab, which has no style sheet of ours; the report leaves it out.
LAB_CSS = (
    ".aiops table{border-collapse:collapse;font-size:13px}.aiops caption{text-align:left;font-weight:600;padding:4px 0}"
    ".aiops th,.aiops td{text-align:left;vertical-align:top;padding:3px 8px}.aiops .number{text-align:right;white-space:nowrap;"
    "font-variant-numeric:tabular-nums}.aiops small{opacity:.75;display:block}.aiops ul{margin:0;padding-left:1.1em}"
    ".aiops .wide{overflow-x:auto}.aiops .headline{display:flex;flex-wrap:wrap;gap:24px;margin:8px 0}.aiops .headline>div{max-width:260px}"
    ".aiops dt{font-weight:400;opacity:.75}.aiops dd{margin:0}.aiops p{max-width:75ch}.aiops .label,.aiops .note{opacity:.75}"
    ".aiops .value{font-size:22px;margin:0}.aiops .numbers{display:flex;flex-wrap:wrap;gap:2px 20px;margin:6px 0}"
    ".aiops summary{cursor:pointer}"
)


def variables(colours: dict[str, str]) -> str:
    """The palette as CSS custom properties."""
    return "".join(f"--{name}:{value};" for name, value in colours.items())


def contrast(first: str, second: str) -> float:
    """Contrast ratio of two ``#rrggbb`` colours, 1 to 21 (WCAG 2.2, relative luminance)."""
    light, dark = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
