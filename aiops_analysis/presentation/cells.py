"""Parts of tables: captions, heads, cells with the value they are sorted by, and the cells of a recommendation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from aiops_analysis.core.reasons import Reason
from aiops_analysis.presentation import formats
from aiops_analysis.presentation.escape import Html, element, join, name, text
from aiops_analysis.presentation.series import sparkline
from aiops_analysis.presentation.style import LAB_CSS

__all__ = [
    "CHANGES",
    "Column",
    "Table",
    "body",
    "cell",
    "change_cell",
    "daily_cell",
    "measured_cell",
    "move_cell",
    "namespace_cell",
    "number_cell",
    "p95_cell",
    "paper_cell",
    "paragraph",
    "reasons_of",
    "records",
    "request_text",
    "sentences",
    "table",
    "workload_cell",
]

CHANGES = {"decrease": "▼ decrease", "increase": "▲ increase", "keep": "= keep", "undetermined": "? not sized"}
_SINCE = {"new": "new", "changed": "changed", "reversed": "reversed"}  # "same" and "" are not news
_EFFECT = {"in place": "resizable in place", "restart": "restarts pods"}


@dataclass(frozen=True)
class Table:
    """Static HTML that JupyterLab and the report show alike; ``title`` is what it says as plain text."""

    html: Html
    title: str

    def __repr__(self) -> str:
        return f"Table: {self.title}"

    def _repr_html_(self) -> str:
        # the report has its own style sheet and drops this one
        return f'<div class="aiops"><style>{LAB_CSS}</style>{self.html}</div>'


@dataclass(frozen=True)
class Column:
    """Head of a column; ``note`` is its second line, a unit for example."""

    title: str
    number: bool = False
    note: str = ""  # second line of the head: a unit
    plain: bool = False  # nothing to sort by


def cell(*content: object, sort: object = None, number: bool = False, head: bool = False, kind: str = "") -> Html:
    """One cell; ``sort`` is what it is sorted by when that is not its text ("" is "not known", always last)."""
    classes = " ".join(part for part in ("number" if number else "", kind) if part) or None
    attributes = {"scope": "row" if head else None, "class": classes, "data-sort": sort}
    return element("th" if head else "td", attributes, *content)


def number_cell(shown: object, value: Any, small: object = "") -> Html:
    """A number as shown, sorted by its value; one that is not known sorts last."""
    return cell(shown, element("small", None, small) if small else "", sort=repr(float(value)) if formats.known(value) else "", number=True)


def paragraph(words: str) -> Table:
    """One or more plain paragraphs (an empty line parts them)."""
    return Table(join(element("p", {"class": "lead"}, part) for part in words.split("\n\n") if part.strip()), words[:80])


def _heads(columns: Sequence[Column]) -> Html:
    cells = (
        element(
            "th",
            {"scope": "col", "class": " ".join(k for k, on in (("number", c.number), ("plain", c.plain)) if on) or None},
            c.title,
            element("small", None, c.note) if c.note else "",
        )
        for c in columns
    )
    return element("thead", None, element("tr", None, *cells))


def table(
    caption: str, columns: Sequence[Column], bodies: Iterable[Html], *, sortable: bool = False, note: str = "", kind: str = ""
) -> Html:
    """A table in a box that scrolls sideways on its own; ``kind`` is one more class of it."""
    inside = element("caption", None, caption, element("small", None, note) if note else "")
    classes = " ".join(part for part in ("sortable" if sortable else "", kind) if part) or None
    table = element("table", {"class": classes}, inside, _heads(columns), *bodies)
    return element("div", {"class": "wide", "role": "region", "aria-label": caption, "tabindex": 0}, table)


def body(rows: Iterable[Sequence[Html]]) -> Html:
    """Rows of cells."""
    return element("tbody", None, *(element("tr", None, *row) for row in rows))


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame by column name."""
    return frame.to_dict("records")


def reasons_of(row: Mapping[str, Any]) -> list[Reason]:
    """The reasons of a row, in order."""
    found = row["reasons"]
    return list(found) if isinstance(found, list | tuple) else []


def sentences(found: Iterable[Reason]) -> Html:
    """Each different sentence once, as a list."""
    said = dict.fromkeys(reason.message for reason in found)
    if not said:
        return Html("")
    return element("ul", {"class": "why"}, *(element("li", None, text(message[:400])) for message in said))


def workload_cell(row: Mapping[str, Any]) -> Html:
    """Workload, and below it kind and container; the head says so once."""
    container = [", ", name(row["container"])] if row["container"] else []  # a whole workload has none
    where = join([name(row["workload_kind"]), *container])
    return cell(element("bdi", None, name(row["workload"])), element("small", None, where), sort=str(row["workload"])[:80], head=True)


def namespace_cell(row: Mapping[str, Any]) -> Html:
    """The namespace, apart from the reading direction around it."""
    return cell(element("bdi", None, name(row["namespace"])))


def request_text(row: Mapping[str, Any], column: str, absent: str) -> str:
    """A request or limit, or the word for one that is not there."""
    value = row[column]
    return formats.amount(str(row["resource"]), value) if formats.known(value) else absent


def move_cell(row: Mapping[str, Any]) -> Html:
    """Request now and recommended, and the limit below it; only today's when nothing is recommended. Sorted by the new request.

    Where a HorizontalPodAutoscaler scales on the resource, its target stands with each request: they change together.
    """
    then = row["guarded_request"] if row["change"] != "undetermined" else row["current_request"]
    limit = element("small", None, "limit ", _move(row, "limit", "none"))
    pair = "pair" if formats.known(row["hpa_target"]) else ""
    return cell(_move(row, "request", "not set"), limit, sort=repr(float(then)) if formats.known(then) else "", number=True, kind=pair)


def _move(row: Mapping[str, Any], which: str, absent: str) -> Html:
    """One amount, or two with an arrow, the recommended one in bold."""
    now, then = (request_text(row, f"{when}_{which}", absent) for when in ("current", "guarded"))
    if which == "request" and formats.known(row["hpa_target"]):
        goal = row["hpa_target_new"] if formats.known(row["hpa_target_new"]) else row["hpa_target"]
        now, then = (f"{n}, target\u00a0{formats.percent(t)}" for n, t in ((now, row["hpa_target"]), (then, goal)))
    if row["change"] == "undetermined":
        return text(now)
    target = element("strong", None, then)
    return target if now == then else join([f"{now} → ", target])


def change_cell(row: Mapping[str, Any]) -> Html:
    """The change in a word and a sign; below it the grade, how it takes effect, and what the last run said when that was something else."""
    change, told = str(row["change"]), _SINCE.get(str(row["stability"]), "")
    if told and formats.known(row["previous_request"]):
        told = f"{told}, was {request_text(row, 'previous_request', '')}"
    lines = [", ".join(part for part in (str(row["grade"]), _EFFECT.get(str(row["takes_effect"]), "")) if part), told]
    small = (element("small", None, line) for line in lines if line)
    return cell(CHANGES.get(change, change), *small, sort=change, kind=f"change-{change}" if change in CHANGES else "")


def p95_cell(row: Mapping[str, Any]) -> Html:
    """The P95 and the largest value, of how many runs when the container belongs to a Job."""
    resource, runs = str(row["resource"]), int(row["runs"])
    below = element("small", None, f"max {formats.amount(resource, row['max'])}")
    of = element("small", None, f"of {formats.count(runs, 'run', 'runs')}") if runs else ""
    value = row["p95"]
    return cell(formats.amount(resource, value), of, below, sort=repr(float(value)) if formats.known(value) else "", number=True)


def paper_cell(row: Mapping[str, Any]) -> Html:
    """Paper saving with its factors: amount freed, unit price, replicas."""
    if not formats.known(row["paper"]):
        return number_cell(formats.UNKNOWN, None)
    less = row["current_request"] - row["guarded_request"]
    factors = (
        f"{formats.per_month(str(row['resource']), less)} × {row['unit_price']:,.2f} × {row['replicas']:.3g}"
        if formats.known(less) and less != 0
        else ""
    )
    return number_cell(formats.money(row["paper"]), row["paper"], factors.replace("-", "−"))


def measured_cell(row: Mapping[str, Any], column: str) -> Html:
    """A measured amount of the row's resource."""
    return number_cell(formats.amount(str(row["resource"]), row[column]), row[column])


def daily_cell(row: Mapping[str, Any]) -> Html:
    """The daily P95 against the request, drawn and in words."""
    resource, values = str(row["resource"]), [float(v) for v in row["daily_p95"]] if isinstance(row["daily_p95"], list | tuple) else []
    seen = [v for v in values if formats.known(v)]
    if not seen:
        return cell(formats.UNKNOWN)
    label = f"daily P95 from {formats.amount(resource, min(seen))} to {formats.amount(resource, max(seen))}, " + (
        f"request {formats.amount(resource, row['current_request'])}" if formats.known(row["current_request"]) else "no request"
    )
    return cell(sparkline(values, row["current_request"], label), kind="spark")
