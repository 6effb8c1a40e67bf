"""How a chart is drawn: a figure of rows, its key, and an SVG that is the same from the same frame, byte for byte.

Colour is never the only difference (hatch, marker and words say it too). Names from the cluster are drawn as plain text, never as
mathematics, and are cut. matplotlib is imported when a chart is drawn; no global state of pyplot is used.
"""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiops_analysis.presentation.escape import text
from aiops_analysis.presentation.style import CHART

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["EDGES", "ROW", "WIDE", "Picture", "key", "move", "panel", "picture"]

WIDE = 9.4  # [inch] at 72 points: 677 pt, about 900 px
ROW = 0.3  # [inch] height of one row of a chart
_FONTS = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 9.0,
    "font.family": "DejaVu Sans",
    "hatch.linewidth": 0.6,
    "text.parse_math": False,
}
#: Outline and hatch of the fills that are too light to be told from the card.
EDGES = {CHART["card"]: CHART["before"], CHART["spare"]: CHART["spare_edge"], CHART["tint"]: CHART["used"]}


@dataclass(frozen=True)
class Picture:
    """A chart: the SVG, and its message in words and numbers for those who do not see it."""

    svg: str
    alt: str

    def __repr__(self) -> str:
        return f"Picture: {self.alt}"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
        del include, exclude  # both forms are always small
        return {"image/svg+xml": self.svg, "text/plain": self.alt}, {"image/svg+xml": {"alt": self.alt}}


def panel(figure: Figure, high: float, left: float, width: float, rows: int, *, top: float) -> Axes:
    """Axes for rows 0, 1, ... from above, placed in inches from the left and from the top."""
    tall = max(rows, 1) * ROW
    axes = figure.add_axes((left / WIDE, (high - top - tall) / high, width / WIDE, tall / high))
    axes.set_ylim(max(rows, 1) - 0.5, -0.5)
    axes.set_axis_off()
    return axes


def key(figure: Figure, high: float, entries: Sequence[tuple[str, str, str, str]]) -> None:
    """What the marks mean, in one line below the title."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = []
    for kind, colour, hatch, label in entries:
        if kind == "patch":
            edge = EDGES.get(colour, CHART["card"])
            handles.append(Patch(facecolor=colour, hatch=hatch, edgecolor=edge, linewidth=0.6, label=label))
        else:
            hollow = CHART["card"] if kind == "o" else colour
            handles.append(
                Line2D([], [], linestyle="", marker=kind, color=hollow, markeredgecolor=colour, markeredgewidth=1.8, label=label)
            )
    place = (0.006, (high - 0.36) / high)
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=place,
        ncols=len(handles),
        frameon=False,
        borderpad=0,
        handletextpad=0.5,
        borderaxespad=0,
    )


def move(axes: Axes, place: int, now: float | None, then: float | None, tick: float | None) -> None:
    """One row of a change: a circle for today, a diamond for what is recommended, a line between them, a stroke for what bounds it."""
    axes.axhline(place, color=CHART["line"], linewidth=0.6, zorder=0)
    if now is not None and then is not None:
        axes.plot([now, then], [place, place], color=CHART["before"], linewidth=1.6, zorder=1)
    if now is not None:
        hollow: dict[str, Any] = {"color": CHART["card"], "markeredgecolor": CHART["before"]}
        axes.plot([now], [place], marker="o", markersize=7, markeredgewidth=1.8, zorder=2, **hollow)
    if tick is not None:
        axes.plot([tick], [place], marker="|", markersize=12, color=CHART["ink"], markeredgewidth=1.8, zorder=3)
    if then is not None:
        axes.plot([then], [place], marker="D", markersize=6, color=CHART["used"], zorder=4)


def picture(
    title: str, alt: str, rows: int, draw: Callable[[Figure, float], None], note: str = "", *, top: float, extra: float = 0.0
) -> Picture:
    """The figure drawn, saved and made fit to stand in a page with others."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    high = top + max(rows, 1) * ROW + extra + (0.4 if note else 0.14)
    digest = hashlib.sha256(f"{title}\x00{alt}".encode("utf-8", "surrogatepass")).hexdigest()[:8]
    with rc_context(_STYLE | {"svg.hashsalt": digest}), warnings.catch_warnings():
        # the browser has the glyphs that the measuring font lacks
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font", category=UserWarning)
        figure = Figure(figsize=(WIDE, high), facecolor=CHART["card"])
        FigureCanvasSVG(figure)
        figure.text(0.006, (high - 0.08) / high, title, fontsize=11, fontweight="bold", va="top", color=CHART["ink"])
        draw(figure, high)
        if rows == 0:
            figure.text(0.006, (high - 0.4) / high, "Nothing to show.", va="top", color=CHART["quiet"])
        if note:
            figure.text(0.006, 0.1 / high, note, va="bottom", color=CHART["quiet"])
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return Picture(_fit(out.getvalue(), alt, digest), alt)


def _fit(svg: str, alt: str, digest: str) -> str:
    """matplotlib's SVG without prologue and page-wide styles, with ids of its own, a role, and the alt text."""
    svg = svg[svg.index("<svg ") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*|<style[^>]*>.*?</style>\s*|<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    used = set(re.findall(r"(?:url\(|href=\")#([\w-]+)", svg))
    svg = re.sub(r' id="([\w-]+)"', lambda m: f' id="c{digest}-{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r"(url\(|href=\")#([\w-]+)", rf"\1#c{digest}-\2", svg)
    svg = re.sub(r"(font-family: |font: (?:[\w.]+ )*[\d.]+px )[^;\"]*", lambda m: m[1] + _FONTS, svg)
    wide, high = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups()  # type: ignore[union-attr]  # savefig always writes it
    size = f'width="{float(wide) * 4 / 3:.0f}" height="{float(high) * 4 / 3:.0f}"'
    svg = re.sub(r'width="[\d.]+pt" height="[\d.]+pt"|height="[\d.]+pt" |width="[\d.]+pt" ', "", svg, count=2)
    described = f'<svg {size} role="img" aria-label="{text(alt)}" stroke-linejoin="round" stroke-linecap="butt" '
    return described + svg[len("<svg ") :].rstrip("\n")
