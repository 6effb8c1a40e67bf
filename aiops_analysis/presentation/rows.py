"""What stands under a row of the recommendations: why it is so, and folded below it the days, the levels, the events and the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from aiops_analysis.core.window import Window
from aiops_analysis.presentation import formats
from aiops_analysis.presentation.cells import records
from aiops_analysis.presentation.escape import Html, element, join, name, text
from aiops_analysis.presentation.series import Level, Marks, series

__all__ = ["EVENTS", "Around", "Seen", "more", "opened"]

#: Kinds of events in the order of their strips, with their words for one and for many.
EVENTS = {
    "rollout": ("rollout", "rollouts"),
    "oom_kill": ("kill for memory", "kills for memory"),
    "restart": ("restart", "restarts"),
    "eviction": ("eviction", "evictions"),
    "decision": ("decision", "decisions"),
}
_MOST_DAYS = 8  # dates that are named of one kind of event; the marks show all of them

Seen = tuple[str, str, float]  # kind, ISO day, count


@dataclass(frozen=True)
class Around:
    """What a row does not hold itself: the days of the window, and the events by container and resource ("" is both)."""

    days: tuple[str, ...] = ()
    events: Mapping[tuple[str, ...], Sequence[Seen]] = field(default_factory=dict)
    currency: str = ""

    @classmethod
    def of(cls, events: pd.DataFrame | None, window: Window | None, currency: str = "") -> Around:
        """Events (namespace, workload_kind, workload, container, resource, day, kind, count) made ready to be looked up row by row."""
        found: dict[tuple[str, ...], list[Seen]] = {}
        for row in records(events) if events is not None else ():
            key = tuple(str(row[part]) for part in ("namespace", "workload_kind", "workload", "container", "resource"))
            found.setdefault(key, []).append((str(row["kind"]), str(row["day"])[:10], float(row["count"])))
        return cls(tuple(day.isoformat() for day in window.days()) if window else (), found, currency)

    def seen(self, row: Mapping[str, Any]) -> list[Seen]:
        """The events of a row, by day."""
        key = tuple(str(row[part]) for part in ("namespace", "workload_kind", "workload", "container"))
        both = [*self.events.get((*key, ""), ()), *self.events.get((*key, str(row["resource"])), ())]
        return sorted(both, key=lambda one: (one[1], one[0]))


def more(width: int, *content: Html) -> Html:
    """A second line of a row over the whole width; nothing without content."""
    shown = join(content)
    return element("tr", {"class": "more"}, element("td", {"colspan": width}, shown)) if shown else Html("")


def opened(row: Mapping[str, Any], around: Around) -> Html:
    """The folded part of a row: drawn days, then events in words, then numbers."""
    resource, values = str(row["resource"]), _values(row)
    seen = around.seen(row)
    said = _events_said(seen)
    alt = " ".join(part for part in (_days_said(resource, values), _levels_said(row), said) if part)
    ends = (formats.day(around.days[0]), formats.day(around.days[-1])) if around.days else ("first day", "last day")
    drawn = series(values, _levels(row), _marks(seen, around.days), ends, alt)
    counted = [_counted(kind, seen) for kind in EVENTS if any(one[0] == kind for one in seen)]
    head = join(
        [", ".join([formats.count(len(values), "day", "days"), *counted]), " of ", name(row["workload"], 40), f", {_what(resource)}"]
    )
    words = [element("p", None, said)] if said else []
    beside = element("div", None, *words, _numbers(row, around.currency))
    return element("details", {"class": "row"}, element("summary", None, head), element("div", {"class": "opened"}, drawn, beside))


def _what(resource: str) -> str:
    return formats.resource_name(resource) if resource == "cpu" else formats.resource_name(resource).lower()


def _values(row: Mapping[str, Any]) -> list[float]:
    found = row["daily_p95"]
    return [float(v) for v in found] if isinstance(found, list | tuple) else []


def _days_said(resource: str, values: Sequence[float]) -> str:
    known = [v for v in values if formats.known(v)]
    if not known:
        return "No day has a value."
    gaps = f", {formats.count(len(values) - len(known), 'day', 'days')} without samples" if len(known) < len(values) else ""
    return f"Daily P95 of {formats.amount(resource, min(known))} to {formats.amount(resource, max(known))}{gaps}."


def _levels(row: Mapping[str, Any]) -> list[Level]:
    """Request today and recommended, and the P95 of the window; one line when the request stays."""
    resource, now, then = str(row["resource"]), row["current_request"], row["guarded_request"]
    stays = formats.known(now) and now == then
    found = [Level("now", now, f"request {'stays' if stays else 'now'} {formats.amount(resource, now)}")]
    if formats.known(then) and not stays and row["change"] != "undetermined":
        found.append(Level("new", then, f"recommended {formats.amount(resource, then)}"))
    return [*found, Level("p95", row["p95"], f"P95 {formats.amount(resource, row['p95'])}")]


def _levels_said(row: Mapping[str, Any]) -> str:
    said = ", ".join(level.label for level in _levels(row) if formats.known(level.value))
    return f"{said[:1].upper()}{said[1:]}." if said else ""


def _counted(kind: str, seen: Sequence[Seen]) -> str:
    return formats.count(int(sum(count for one, _, count in seen if one == kind and formats.known(count))), *EVENTS[kind])


def _marks(seen: Sequence[Seen], days: Sequence[str]) -> list[Marks]:
    """One strip for each kind of event; days outside the window have no place."""
    at = {day: place for place, day in enumerate(days)}
    kinds = [kind for kind in EVENTS if days and any(one == kind for one, _, _ in seen)]
    return [Marks(_counted(kind, seen), tuple(at[day] for one, day, _ in seen if one == kind and day in at)) for kind in kinds]


def _events_said(seen: Sequence[Seen]) -> str:
    """Each kind with its days: "Kills for memory: 3 on 5 October 2026, 9 October 2026."."""
    said = []
    for kind, (_, many) in EVENTS.items():
        days = [(f"{count:,.0f} on " if count > 1 else "") + formats.day(day) for one, day, count in seen if one == kind]
        left = f" and on {formats.count(len(days) - _MOST_DAYS, 'more day', 'more days')}" if len(days) > _MOST_DAYS else ""
        if days:
            said.append(f"{many[:1].upper()}{many[1:]}: {', '.join(days[:_MOST_DAYS])}{left}.")
    return " ".join(said)


def _numbers(row: Mapping[str, Any], currency: str) -> Html:
    """The numbers of a row by label; one that is not known and rarely set is left out."""
    resource = str(row["resource"])
    always = (("P50", "p50"), ("P95", "p95"), ("P99", "p99"), ("Max", "max"), ("Upper bound of the P95", "upper"))
    found: list[tuple[str, object]] = [(label, formats.amount(resource, row[column])) for label, column in always]
    found += [("Grade", str(row["grade"])), ("Completeness", formats.share(row["completeness"]))]
    compared = (("KRR-like", "krr_request"), ("VPA-like", "vpa_request"), ("Plain rule", "rule_request"))
    found += [(label, formats.amount(resource, row[column])) for label, column in compared]
    rare = (("P95 in business hours", "business_p95"), ("P95 of the hottest pod", "hot_p95"), ("Last run recommended", "previous_request"))
    found += [(label, formats.amount(resource, row[column])) for label, column in rare if formats.known(row[column])]
    found += _settings(row)
    if currency and formats.known(row["paper"]):
        found.append(("Paper saving a month", formats.money(row["paper"], currency)))
    pairs = (element("div", None, element("dt", None, label), element("dd", None, text(value))) for label, value in found)
    return element("dl", {"class": "numbers"}, *pairs)


def _settings(row: Mapping[str, Any]) -> list[tuple[str, object]]:
    """What only some rows have: autoscaler, runs, pool, how a change arrives, what the last run said."""
    found: list[tuple[str, object]] = []
    if row["hpa"]:
        found.append(("Autoscaler", name(row["hpa"])))
    if formats.known(row["hpa_target"]):
        new = f" → {formats.percent(row['hpa_target_new'])}" if formats.known(row["hpa_target_new"]) else ""
        found.append(("Its target", f"{formats.percent(row['hpa_target'])}{new}"))
    if row["runs"]:
        found.append(("Runs", f"{row['runs']:,}"))
    named = (("Pool that decided", "pool"), ("Takes effect", "takes_effect"), ("Since the last run", "stability"))
    return found + [(label, name(row[column])) for label, column in named if row[column]]
