"""When was measured, and when is the cluster idle: charts over days and hours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from aiops_analysis.presentation import formats
from aiops_analysis.presentation.charts.drawing import EDGES, ROW, Picture, key, panel, picture
from aiops_analysis.presentation.style import CHART, HEAT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["completeness", "week_profile"]

_WEEK = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def completeness(days: pd.DataFrame) -> Picture:
    """On which days each metric was measured (``review.days``): whole, with holes, or not stored."""
    metrics, names = list(dict.fromkeys(days["metric"])), sorted(set(days["day"]))
    whole, gone = int((days["status"] == "complete").sum()), int((days["status"] == "missing").sum())
    mean = float(days["completeness"].mean()) if len(days) else float("nan")
    alt = (
        f"Measured days by metric. {whole} of {len(days)} metric days are whole, {gone} are not stored; completeness {formats.share(mean)}."
    )

    def draw(figure: Figure, high: float) -> None:
        axes = panel(figure, high, 1.75, 5.6, len(metrics), top=0.78)
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
        key(figure, high, marks)

    return picture("Measured days, by metric", alt, len(metrics), draw, top=0.78, extra=0.22)


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
        axes.barh(row, width, left=left, height=0.62, color=colour, hatch=hatch, edgecolor=EDGES[colour], linewidth=0.6)
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
            axes = panel(figure, high, 1.0, 8.2, len(_WEEK), top=above)
            _hours(axes, resource, part)
            above += len(_WEEK) * ROW + 0.5

    rows = len(_WEEK) * len(panels)
    note = "Each number: P95 of that hour in percent of the busiest hour. Hours in UTC." if panels else ""
    said = alt if panels else f"{alt}No hour was measured."
    return picture("When the cluster is idle", said, rows, draw, note, top=0.82 if panels else 0.5, extra=0.5 * max(len(panels) - 1, 0))


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
