"""Which requests are too high or too low: charts of RECOMMENDATIONS."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from aiops_analysis.core.units import GIB
from aiops_analysis.presentation import formats
from aiops_analysis.presentation.charts.drawing import ROW, Picture, key, move, panel, picture
from aiops_analysis.presentation.style import CHART

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["before_after", "overprovision_by_namespace", "under_provisioned"]


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
            axes = panel(figure, high, 1.75 + place * 3.85, 2.35, len(shown), top=0.98)
            _share_bars(axes, parts[resource], shown, resource, with_names=place == 0)
        key(figure, high, [("patch", CHART["used"], "", "P95 usage"), ("patch", CHART["spare"], "////", "requested above the P95")])

    title = "Over-provisioned share of requests, by namespace"
    left = namespaces["namespace"].nunique() - len(shown)
    return picture(title, alt, len(shown), draw, f"{left} more namespaces are in the table" if left > 0 else "", top=0.98)


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
            axes = panel(figure, high, 2.95, 3.7, len(part), top=above)
            _move_rows(axes, part.to_dict("records"), resource, said)
            above += len(part) * ROW + 0.62
        marks = [("o", CHART["before"], "", "request today"), ("D", CHART["used"], "", "recommended"), ("|", CHART["ink"], "", "P95 usage")]
        if panels:
            key(figure, high, marks)

    rows = sum(len(part) for part in panels.values())
    return picture(title, alt, rows, draw, top=0.98 if panels else 0.5, extra=0.62 * max(len(panels) - 1, 0))


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
        axes.text(-largest * 0.025, place, _what(row, 18), ha="right", va="center", color=CHART["ink"])
        move(axes, place, now, then, used)
        axes.text(largest * 1.07, place, said(row), va="center", color=CHART["ink"])
