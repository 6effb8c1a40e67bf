"""Charts that answer one question each: static SVG, byte for byte the same from the same frame, with the answer as alt text.

Colour is never the only difference (hatch, marker and words say it too). Names from the cluster are drawn as plain text, never as
mathematics, and are cut. matplotlib is imported when a chart is drawn; no global state of pyplot is used.
"""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from aiops_analysis.core.units import GIB
from aiops_analysis.presentation import formats
from aiops_analysis.presentation.escape import text
from aiops_analysis.presentation.style import CHART, HEAT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Picture", "before_after", "completeness", "overprovision_by_namespace", "under_provisioned", "week_profile"]

_WIDE = 9.4  # [inch] at 72 points: 677 pt, about 900 px
_ROW = 0.3  # [inch] height of one row of a chart
_FONTS = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 9.0,
    "font.family": "DejaVu Sans",
    "hatch.linewidth": 0.6,
    "text.parse_math": False,
}
#: Outline and hatch of the fills that are too light to be told from the card.
_EDGES = {CHART["card"]: CHART["before"], CHART["spare"]: CHART["spare_edge"], CHART["tint"]: CHART["used"]}
_WEEK = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


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


def overprovision_by_namespace(namespaces: pd.DataFrame, top: int = 12) -> Picture:
    """How much of what each namespace requests is above its P95 usage (``review.namespaces``), one panel per resource."""
    shown = _largest_namespaces(namespaces, top)
    parts = {resource: part.set_index("namespace") for resource, part in namespaces.groupby("resource", sort=True)}
    sums = {r: (float(part["request"].sum()), float(part["p95"].sum())) for r, part in parts.items()}
    said = [
        f"{formats.resource_name(r)}: {formats.share(1 - used / asked)} of {formats.total(r, asked)} requested is above the P95 usage"
        for r, (asked, used) in sums.items()
        if asked > 0
    ]
    worst = namespaces.loc[namespaces["overprovision"].notna()].sort_values(
        ["overprovision", "namespace", "resource"], ascending=[False, True, True]
    )
    if len(worst):
        first = worst.iloc[0]
        what = f"{formats.resource_name(first['resource'])} in {formats.short(first['namespace'], 40)}"
        said.append(f"largest share: {formats.share(first['overprovision'])} of {what}")

    alt = "Over-provisioned share of requests by namespace. " + ("; ".join(said) + "." if said else "No request is known.")

    def draw(figure: Figure, high: float) -> None:
        for place, resource in enumerate(sorted(parts)):
            axes = _panel(figure, high, 1.75 + place * 3.85, 2.35, len(shown), top=0.98)
            _share_bars(axes, parts[resource], shown, resource, with_names=place == 0)
        _key(figure, high, [("patch", CHART["used"], "", "P95 usage"), ("patch", CHART["spare"], "////", "requested above the P95")])

    title = "Over-provisioned share of requests, by namespace"
    left = namespaces["namespace"].nunique() - len(shown)
    return _picture(title, alt, len(shown), draw, f"{left} more namespaces are in the table" if left > 0 else "", top=0.98)


def _largest_namespaces(frame: pd.DataFrame, top: int) -> list[str]:
    """Namespaces by paper saving, the largest first."""
    sums = frame.assign(paper=frame["paper"].fillna(0)).groupby("namespace", sort=True)["paper"].sum()
    return list(sums.sort_values(ascending=False, kind="stable").index[:top])


def _share_bars(axes: Axes, frame: pd.DataFrame, shown: Sequence[str], resource: str, *, with_names: bool) -> None:
    axes.set_xlim(0, 1)
    axes.text(0, -0.85, formats.resource_name(resource), fontweight="bold", color=CHART["ink"])
    for row, namespace in enumerate(shown):
        if with_names:
            axes.text(-0.03, row, formats.short(namespace, 20), ha="right", va="center", color=CHART["ink"])
        spare = float(frame["overprovision"].get(namespace, float("nan")))
        asked = float(frame["request"].get(namespace, float("nan")))
        if not formats.known(spare):
            axes.text(0, row, "no request, or no data", va="center", color=CHART["quiet"])
            continue
        axes.barh(row, min(1 - spare, 1), height=0.62, color=CHART["used"], linewidth=0)
        if spare > 0:
            edge = CHART["spare_edge"]
            axes.barh(row, spare, left=1 - spare, height=0.62, color=CHART["spare"], hatch="////", edgecolor=edge, linewidth=0.6)
        said = (
            f"{formats.share(spare)} of {formats.total(resource, asked)}"
            if spare >= 0
            else f"P95 is {formats.share(1 - spare)} of {formats.total(resource, asked)}"
        )
        axes.text(1.03, row, said, va="center", color=CHART["ink"])


def before_after(recommendations: pd.DataFrame, top: int = 8, currency: str = "") -> Picture:
    """Which requests to lower first: the largest paper savings of each resource, today and recommended (RECOMMENDATIONS)."""
    quiet = recommendations["decided"] != ""
    found = recommendations[(recommendations["change"] == "decrease") & ~quiet].sort_values(["paper", "id"], ascending=[False, True])
    panels = {r: part.head(top) for r, part in found.groupby("resource", sort=True)}
    saved = float(found["paper"].sum())
    alt = f"Requests to lower. {formats.count(len(found), 'row', 'rows')}, together {formats.money(saved, currency)} a month on paper"
    first = next(iter(found.to_dict("records")), None)
    if first is None:
        alt = "Requests to lower. None in this window"
    else:
        alt += f"; the largest is {_what(first, 40)}, {formats.resource_name(first['resource'])} {_step(first)}"

    def said(row: Mapping[str, Any]) -> str:
        return f"{_step(row)}, saves {formats.money(row['paper'])}" if formats.known(row["paper"]) else _step(row)

    return _moves("Requests to lower: the largest paper savings", alt + ".", panels, said)


def under_provisioned(recommendations: pd.DataFrame, top: int = 10) -> Picture:
    """Which requests to raise, and by how much (RECOMMENDATIONS with change ``increase``)."""
    found = recommendations[(recommendations["change"] == "increase") & (recommendations["decided"] == "")]
    growth = (found["guarded_request"] / found["current_request"]).fillna(0.0)  # from nothing: last, no factor can be said
    found = found.assign(growth=growth).sort_values(["growth", "id"], ascending=[False, True])
    panels = {r: part.head(top) for r, part in found.groupby("resource", sort=True)}
    counted = ", ".join(f"{len(found[found['resource'] == r])} {formats.resource_name(r)}" for r in panels)
    alt = (
        f"Requests to raise. {formats.count(len(found), 'row', 'rows')} ({counted})"
        if len(found)
        else ("Requests to raise. None in this window")
    )
    named = [f"{_what(row, 40)}, {formats.resource_name(row['resource'])} {_step(row)}" for row in found.head(3).to_dict("records")]
    return _moves("Requests to raise: the largest steps", "; ".join([alt, *named]) + ".", panels, _step)


def _what(row: Mapping[str, Any], longest: int) -> str:
    """Workload, and its container when that has another name; then the namespace."""
    who = row["workload"] if row["container"] == row["workload"] else f"{row['workload']}/{row['container']}"
    return f"{formats.short(who, longest)} in {formats.short(row['namespace'], longest)}"


def _step(row: Mapping[str, Any]) -> str:
    now = formats.amount(row["resource"], row["current_request"]) if formats.known(row["current_request"]) else "not set"
    return f"{now} → {formats.amount(row['resource'], row['guarded_request'])}"


def _moves(title: str, alt: str, panels: Mapping[str, pd.DataFrame], said: Callable[[Mapping[str, Any]], str]) -> Picture:
    """One panel per resource, one row per container: request today, recommended request, P95."""

    def draw(figure: Figure, high: float) -> None:
        above = 0.98
        for resource, part in panels.items():
            axes = _panel(figure, high, 2.95, 3.7, len(part), top=above)
            _move_rows(axes, part.to_dict("records"), resource, said)
            above += len(part) * _ROW + 0.62
        marks = [("o", CHART["before"], "", "request today"), ("D", CHART["used"], "", "recommended"), ("|", CHART["ink"], "", "P95 usage")]
        if panels:
            _key(figure, high, marks)

    rows = sum(len(part) for part in panels.values())
    return _picture(title, alt, rows, draw, top=0.98 if panels else 0.5, extra=0.62 * max(len(panels) - 1, 0))


def _move_rows(axes: Axes, rows: Sequence[Mapping[str, Any]], resource: str, said: Callable[[Mapping[str, Any]], str]) -> None:
    unit = GIB if resource == "memory" else 1.0
    columns = ("current_request", "guarded_request", "p95")
    largest = max((row[c] / unit for row in rows for c in columns if formats.known(row[c])), default=1.0)
    axes.set_xlim(0, largest * 1.04)
    axes.text(
        0,
        -0.85,
        f"{formats.resource_name(resource)}, from 0 to {formats.amount(resource, largest * unit)}",
        fontweight="bold",
        color=CHART["ink"],
    )
    for place, row in enumerate(rows):
        now, then, used = (row[c] / unit if formats.known(row[c]) else None for c in columns)
        axes.axhline(place, color=CHART["line"], linewidth=0.6, zorder=0)
        axes.text(-largest * 0.025, place, _what(row, 18), ha="right", va="center", color=CHART["ink"])
        if now is not None and then is not None:
            axes.plot([now, then], [place, place], color=CHART["before"], linewidth=1.6, zorder=1)
        if now is not None:
            axes.plot(
                [now],
                [place],
                marker="o",
                markersize=7,
                color=CHART["card"],
                markeredgecolor=CHART["before"],
                markeredgewidth=1.8,
                zorder=2,
            )
        if used is not None:
            axes.plot([used], [place], marker="|", markersize=12, color=CHART["ink"], markeredgewidth=1.8, zorder=3)
        if then is not None:
            axes.plot([then], [place], marker="D", markersize=6, color=CHART["used"], zorder=4)
        axes.text(largest * 1.07, place, said(row), va="center", color=CHART["ink"])


def completeness(days: pd.DataFrame) -> Picture:
    """On which days each metric was measured (``review.days``): whole, with holes, or not stored."""
    metrics, names = list(dict.fromkeys(days["metric"])), sorted(set(days["day"]))
    whole, gone = int((days["status"] == "complete").sum()), int((days["status"] == "missing").sum())
    mean = float(days["completeness"].mean()) if len(days) else float("nan")
    alt = (
        f"Measured days by metric. {whole} of {len(days)} metric days are whole, {gone} are not stored; completeness {formats.share(mean)}."
    )

    def draw(figure: Figure, high: float) -> None:
        axes = _panel(figure, high, 1.75, 5.6, len(metrics), top=0.78)
        axes.set_xlim(0, max(len(names), 1))
        for row, metric in enumerate(metrics):
            part = days[days["metric"] == metric].sort_values("day")
            _day_runs(axes, row, list(part["day"]), list(part["completeness"]), list(part["status"]), names)
            axes.text(-0.012 * len(names), row, formats.metric_name(metric), ha="right", va="center", color=CHART["ink"])
            axes.text(len(names) * 1.012, row, _days_said(part), va="center", color=CHART["ink"])
        for place, align in ((0, "left"), (len(names), "right")) if names else ():
            day = formats.day(names[0 if place == 0 else -1])
            axes.text(place, len(metrics) - 0.25, day, ha=align, va="top", color=CHART["quiet"])
        marks = [
            ("patch", CHART["tint"], "", "whole day"),
            ("patch", CHART["spare"], "////", "day with holes"),
            ("patch", CHART["card"], "xxxx", "not stored"),
        ]
        _key(figure, high, marks)

    return _picture("Measured days, by metric", alt, len(metrics), draw, top=0.78, extra=0.22)


def _days_said(part: pd.DataFrame) -> str:
    whole = int((part["status"] == "complete").sum())
    return f"{whole} of {len(part)} days, {formats.share(float(part['completeness'].mean()))}"


def _day_runs(axes: Axes, row: int, days: Sequence[str], shares: Sequence[float], statuses: Sequence[str], names: Sequence[str]) -> None:
    """One rectangle for each run of days that look alike."""
    looks = [
        "gone" if s == "missing" else "whole" if s == "complete" and c >= 1 else "holes" for s, c in zip(statuses, shares, strict=True)
    ]
    fill = {"whole": (CHART["tint"], ""), "holes": (CHART["spare"], "////"), "gone": (CHART["card"], "xxxx")}
    begin = 0
    for place in range(1, len(looks) + 1):
        if place < len(looks) and looks[place] == looks[begin] and names.index(days[place]) == names.index(days[place - 1]) + 1:
            continue
        colour, hatch = fill[looks[begin]]
        width = names.index(days[place - 1]) - names.index(days[begin]) + 1
        left = names.index(days[begin])
        axes.barh(row, width, left=left, height=0.62, color=colour, hatch=hatch, edgecolor=_EDGES[colour], linewidth=0.6)
        begin = place


def week_profile(profile: pd.DataFrame) -> Picture:
    """When the cluster is idle: P95 of every hour of the week in percent of the busiest hour, one panel per resource.

    ``profile`` has the columns weekday (0 is Monday), hour (0-23, UTC), resource, p95 and requested [cores | bytes]; an hour without a row
    or with a NaN is left empty.
    """
    panels = {str(r): part[part["p95"].notna()] for r, part in profile.groupby("resource", sort=True)}
    panels = {r: part for r, part in panels.items() if len(part)}
    alt = "When the cluster is idle, by hour of the week (UTC). " + " ".join(_week_said(r, part) for r, part in panels.items())

    def draw(figure: Figure, high: float) -> None:
        above = 0.82
        for resource, part in panels.items():
            axes = _panel(figure, high, 1.0, 8.2, len(_WEEK), top=above)
            _hours(axes, resource, part)
            above += len(_WEEK) * _ROW + 0.5

    rows = len(_WEEK) * len(panels)
    note = "Each number: P95 of that hour in percent of the busiest hour. Hours in UTC." if panels else ""
    said = alt if panels else f"{alt}No hour was measured."
    return _picture("When the cluster is idle", said, rows, draw, note, top=0.82 if panels else 0.5, extra=0.5 * max(len(panels) - 1, 0))


def _week_said(resource: str, part: pd.DataFrame) -> str:
    """Busiest and quietest hour, with what is requested in the busiest."""
    ordered = part.sort_values(["p95", "weekday", "hour"], ascending=[False, True, True]).to_dict("records")
    (busy, quiet), most = (ordered[0], ordered[-1]), float(ordered[0]["p95"])
    busiest, quietest = (f"{_WEEK[int(row['weekday']) % 7]} {int(row['hour']):02d}:00" for row in (busy, quiet))
    below = f" ({formats.share(quiet['p95'] / most)} of it)" if most > 0 else ""
    asked = f"; requested {formats.total(resource, busy['requested'])}" if formats.known(busy["requested"]) else ""
    return (
        f"{formats.resource_name(resource)}: busiest {busiest} with {formats.total(resource, most)}, "
        f"quietest {quietest} with {formats.total(resource, quiet['p95'])}{below}{asked}."
    )


def _hours(axes: Axes, resource: str, part: pd.DataFrame) -> None:
    """One square for each hour with its number on it; what was not measured stays empty."""
    axes.set_xlim(0, 24)
    most = float(part["p95"].max())
    head = f"{formats.resource_name(resource)}, 100 is {formats.total(resource, most)}"
    axes.text(0, -1.05, head, fontweight="bold", color=CHART["ink"])
    for row in part.to_dict("records"):
        day, hour, share = int(row["weekday"]), int(row["hour"]), float(row["p95"]) / most if most > 0 else 0.0
        ground, ink = HEAT[min(int(share * len(HEAT)), len(HEAT) - 1)]
        axes.barh(day, 1, left=hour, height=1, color=ground, edgecolor=CHART["card"], linewidth=1)
        axes.text(hour + 0.5, day, f"{share * 100:.0f}", ha="center", va="center", fontsize=7.5, color=ink)
    for place, name in enumerate(_WEEK):
        axes.text(-0.2, place, name, ha="right", va="center", color=CHART["ink"])
    for hour in range(0, 24, 3):
        axes.text(hour, -0.6, f"{hour:02d}", ha="left", fontsize=7.5, color=CHART["quiet"])


def _panel(figure: Figure, high: float, left: float, width: float, rows: int, *, top: float) -> Axes:
    """Axes for rows 0, 1, ... from above, placed in inches from the left and from the top."""
    tall = max(rows, 1) * _ROW
    axes = figure.add_axes((left / _WIDE, (high - top - tall) / high, width / _WIDE, tall / high))
    axes.set_ylim(max(rows, 1) - 0.5, -0.5)
    axes.set_axis_off()
    return axes


def _key(figure: Figure, high: float, entries: Sequence[tuple[str, str, str, str]]) -> None:
    """What the marks mean, in one line below the title."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = []
    for kind, colour, hatch, label in entries:
        if kind == "patch":
            edge = _EDGES.get(colour, CHART["card"])
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


def _picture(
    title: str, alt: str, rows: int, draw: Callable[[Figure, float], None], note: str = "", *, top: float, extra: float = 0.0
) -> Picture:
    """The figure drawn, saved and made fit to stand in a page with others."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    high = top + max(rows, 1) * _ROW + extra + (0.4 if note else 0.14)
    digest = hashlib.sha256(f"{title}\x00{alt}".encode("utf-8", "surrogatepass")).hexdigest()[:8]
    with rc_context(_STYLE | {"svg.hashsalt": digest}), warnings.catch_warnings():
        # the browser has the glyphs that the measuring font lacks
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font", category=UserWarning)
        figure = Figure(figsize=(_WIDE, high), facecolor=CHART["card"])
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
