"""What can be saved, what was, and why the bill moved: charts of the three numbers, of two periods, and of node pools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from aiops_analysis.presentation import formats
from aiops_analysis.presentation.charts.drawing import EDGES, ROW, Picture, key, move, panel, picture
from aiops_analysis.presentation.style import CHART

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["bridge", "node_pools", "three_numbers"]


@dataclass(frozen=True, slots=True)
class _Bar:
    figure: str
    words: str
    look: str
    hatch: str = ""


_OPEN = (_Bar("paper_month", "Paper", "spare", "////"), _Bar("bankable_month", "Bankable", "used"))
_SHRUNK = _Bar("if_shrunk_month", "if the pools are shrunk", "tint")
_DONE = (_Bar("promised_month", "Promised on paper", "spare", "////"), _Bar("realised_month", "Realised", "used"))


def three_numbers(figures: Mapping[str, float | int | str | None]) -> Picture:
    """How much of the paper saving can be banked, and how much of what was promised was realised (figures of a review).

    Two panels that are not to be added: recommendations still open, and decisions that were applied.
    """
    currency = str(figures.get("currency") or "")
    panels = _panels(figures)
    said = [
        f"{title}: " + ", ".join(f"{b.words.lower()} {_said(_value(figures, b.figure), currency)}" for b in bars) for title, bars in panels
    ]
    values = [_value(figures, bar.figure) for _, bars in panels for bar in bars]
    most = max((value for value in values if formats.known(value)), default=0.0)

    def draw(figure: Figure, high: float) -> None:
        above = 0.82
        for title, bars in panels:
            axes = panel(figure, high, 2.6, 4.9, len(bars), top=above)
            _bars(axes, title, [(bar, _value(figures, bar.figure)) for bar in bars], most if most > 0 else 1.0, currency)
            above += len(bars) * ROW + 0.62

    alt = "Three numbers, a month. " + "; ".join(said) + ". The panels are not to be added."
    note = "Money a month. What is still open and what was decided are different recommendations: do not add them."
    return picture("Paper, bankable, realised", alt, len(values), draw, note, top=0.82, extra=0.62 * (len(panels) - 1))


def _bars(axes: Axes, title: str, rows: Sequence[tuple[_Bar, float]], most: float, currency: str) -> None:
    axes.set_xlim(0, most)
    axes.text(-0.53 * most, -0.85, title, fontweight="bold", color=CHART["ink"])
    for place, (bar, value) in enumerate(rows):
        axes.text(-0.02 * most, place, bar.words, ha="right", va="center", color=CHART["ink"])
        beside = max(value, 0.0) if formats.known(value) else 0.0
        if beside > 0:
            edge = EDGES.get(CHART[bar.look], CHART["card"])
            axes.barh(place, value, height=0.62, color=CHART[bar.look], hatch=bar.hatch, edgecolor=edge, linewidth=0.6)
        axes.text(beside + 0.02 * most, place, _said(value, currency), va="center", color=CHART["ink"])


def _panels(figures: Mapping[str, object]) -> list[tuple[str, tuple[_Bar, ...]]]:
    """The bars that have something to say: a third one where nothing takes nodes away, a second panel once a decision was applied."""
    bankable = _value(figures, "bankable_month")
    more = _value(figures, "if_shrunk_month") > (bankable if formats.known(bankable) else 0.0)
    out: list[tuple[str, tuple[_Bar, ...]]] = [("Recommendations still open", (*_OPEN, _SHRUNK) if more else _OPEN)]
    if formats.known(_value(figures, "realised_month")):
        out.append(("Decisions that were applied", _DONE))
    return out


def _value(figures: Mapping[str, object], name: str) -> float:
    value = figures.get(name)
    return float(value) if isinstance(value, int | float) else float("nan")


def _said(value: float, currency: str) -> str:
    return formats.money(value, currency) if formats.known(value) else "not known yet"


def bridge(parts: pd.DataFrame, currency: str = "", words: str = "") -> Picture:
    """Why the cost of this period is not that of the period before (BRIDGE), cause by cause; ``words`` names the two periods."""
    rows = parts.to_dict("records")
    if not rows:
        return picture("Why the cost moved", "Why the cost moved. There is no earlier period to compare with.", 0, _nothing, top=0.5)
    spans, at = [], 0.0
    for row in rows:
        amount = float(row["amount"])
        whole = row["cause"] in ("before", "after")
        spans.append((0.0 if whole else at, amount))
        at = amount if whole else at + amount
    before, after = float(rows[0]["amount"]), float(rows[-1]["amount"])
    moved = sorted(rows[1:-1], key=lambda row: -abs(float(row["amount"])))
    largest = ", ".join(f"{row['cause']} {_signed(row['amount'], currency)}" for row in moved[:3])
    alt = (
        f"Why the cost moved. {words} {formats.money(before, currency)} before, {formats.money(after, currency)} after; largest: {largest}."
    )

    def draw(figure: Figure, high: float) -> None:
        axes = panel(figure, high, 2.1, 4.4, len(rows), top=0.62)
        _waterfall(axes, rows, spans, currency)
        marks = [("patch", CHART["before"], "", "cost"), ("patch", CHART["short"], "xxxx", "more"), ("patch", CHART["used"], "", "less")]
        key(figure, high, marks)

    return picture("Why the cost moved", alt, len(rows), draw, words, top=0.62, extra=0.24)


def _waterfall(axes: Axes, rows: Sequence[Mapping[str, Any]], spans: Sequence[tuple[float, float]], currency: str) -> None:
    edges = [edge for start, amount in spans for edge in (start, start + amount)]
    # the causes are small beside the whole: the axis starts where they do, and says so with a broken foot
    low = min(min(start, start + amount) for start, amount in spans[1:-1]) if len(spans) > 2 else 0.0
    foot = max(low - (max(edges) - low) * 0.25, 0.0)
    wide = max(edges) - foot or 1.0
    axes.set_xlim(foot, foot + wide)
    for place, (row, (start, amount)) in enumerate(zip(rows, spans, strict=True)):
        whole = row["cause"] in ("before", "after")
        left, right = sorted((start, start + amount))
        colour, hatch = ("before", "") if whole else ("short", "xxxx") if amount > 0 else ("used", "")
        begin = max(left, foot)
        axes.barh(place, right - begin, left=begin, height=0.62, color=CHART[colour], hatch=hatch, edgecolor=CHART["card"], linewidth=0.6)
        axes.text(
            foot - wide * 0.03,
            place,
            formats.CAUSE_WORDS.get(str(row["cause"]), str(row["cause"])),
            ha="right",
            va="center",
            color=CHART["ink"],
        )
        shown = formats.money(amount, currency) if whole else _signed(amount, currency)
        axes.text(foot + wide * 1.03, place, shown, va="center", color=CHART["ink"])
    if foot > 0:
        axes.text(foot, len(rows) - 0.35, f"bars start at {formats.money(foot, currency)}", fontsize=7.5, va="top", color=CHART["quiet"])


def _signed(amount: float, currency: str) -> str:
    return ("+" if amount > 0 else "") + formats.money(amount, currency)


def _nothing(figure: Figure, high: float) -> None:
    """Nothing to draw."""


def node_pools(packing: pd.DataFrame, top: int = 12) -> Picture:
    """Which pools could do with fewer nodes (PACKING): nodes now, needed after the recommendations, and the bound nothing can beat."""
    found = packing.sort_values(["freed", "pool"], ascending=[False, True]).head(top)
    rows = found.to_dict("records")
    freed = int(found["freed"].sum())
    named = [
        f"{formats.short(r['pool'], 30)} {r['nodes_now']} → {r['nodes_after']}" for r in rows[:4] if r["nodes_after"] != r["nodes_now"]
    ]
    alt = f"Nodes by pool. {formats.count(freed, 'node', 'nodes')} could go" + (": " + ", ".join(named) if named else "") + "."

    def draw(figure: Figure, high: float) -> None:
        axes = panel(figure, high, 2.1, 4.6, len(rows), top=0.62)
        most = max((max(int(row["nodes_now"]), int(row["nodes_after"])) for row in rows), default=1)
        axes.set_xlim(0, most * 1.04)
        for place, row in enumerate(rows):
            now, then, bound = row["nodes_now"], row["nodes_after"], row["lower_bound_after"]
            axes.text(-0.03 * most, place, formats.short(row["pool"], 24), ha="right", va="center", color=CHART["ink"])
            move(axes, place, float(now), float(then), float(bound) if bound else None)
            axes.text(most * 1.07, place, f"{now} → {then}" if now != then else f"{now}, none can go", va="center", color=CHART["ink"])
        if rows:
            marks = [("o", CHART["before"], "", "nodes now"), ("D", CHART["used"], "", "nodes with the recommendations")]
            key(figure, high, [*marks, ("|", CHART["ink"], "", "what no packing can beat")])

    return picture("How many nodes does each pool need?", alt, len(rows), draw, top=0.62 if rows else 0.5)
