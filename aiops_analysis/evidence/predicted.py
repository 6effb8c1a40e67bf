"""The comment of a pull request about manifests: what they cost a month against what runs now, and whether their pods fit."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from aiops_analysis.evidence.markdown import code, fitted, row, words
from aiops_analysis.presentation.formats import count, cpu, memory, money
from aiops_analysis.workflows.predict import Predicted, Prediction

__all__ = ["MOST", "predicted_json", "predicted_markdown"]

#: Characters; GitHub refuses bodies over 65,536.
MOST = 60_000
_TABLE, _LISTS = 30_000, 6_000  # characters of the table and of each list below it
_HEAD = ("workload", "pods", "CPU of a pod", "memory of a pod", "a month now", "a month then", "difference", "fits")


def predicted_json(found: Prediction, held: Sequence[str] = ()) -> dict[str, Any]:
    """The document of ``--json``; what is not known is null. ``held`` : what failed."""
    rows = [asdict(one) | {"difference": one.difference} for one in found.workloads]
    return {
        "schema": 1,
        "cluster": found.cluster,
        "day": found.day,
        "currency": found.currency,
        "price_source": found.price_source,
        "difference": found.difference,
        "without_cost": len(found.without_cost),
        "unschedulable": found.unschedulable,
        "failed": list(held),
        "workloads": rows,
        "others": dict(found.others),
        "findings": [dict(finding) for finding in found.findings],
    }


def predicted_markdown(found: Prediction, held: Sequence[str] = ()) -> str:
    """The Markdown of a comment, at most 60,000 characters; names are code, nothing of them is rendered. ``held`` : what failed."""
    rows = sorted(found.workloads, key=_order)
    table, more = fitted((_line(one, found.currency) for one in rows), _TABLE)
    parts = [
        f"<!-- aiops-analysis:{_key(found.cluster)} -->",
        f"## What this change asks of {code(found.cluster)}",
        _sentence(found),
        *(f"**Failed: {words(text)}**" for text in held),
        "\n".join([row(_HEAD), row(["---"] * len(_HEAD)), *table]),
    ]
    if more:
        parts.append(f"{count(more, 'more workload is', 'more workloads are')} in the JSON.")
    parts += [*_list("Pods that fit nowhere", _misfits(rows)), *_list("Not known or not checked", _unknown(rows))]
    parts += [*_list("Notes", _notes(rows)), *_list("About the prices", (words(str(one["message"])) for one in found.findings))]
    parts.append(_source(found))
    return "\n\n".join(parts) + "\n"


def _order(one: Predicted) -> tuple[bool, float, str, str, str]:
    """What does not fit first, then by money."""
    change = -abs(one.difference) if math.isfinite(one.difference) else 0.0
    return one.fits != "no", change, one.namespace, one.kind, one.name


def _key(cluster: str) -> str:
    return f"predict-{hashlib.sha256(cluster.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


def _place(one: Predicted) -> str:
    return f"{code(f'{one.namespace}/{one.name}')} {words(one.kind)}"


def _line(one: Predicted, currency: str) -> str:
    cells = [
        f"{_place(one)}{' (new)' if one.state == 'new' else ''}",
        _change(_pods(one.pods_now), _pods(one.pods_then), one),
        _change(cpu(one.cpu_now), cpu(one.cpu_then), one),
        _change(memory(one.memory_now), memory(one.memory_then), one),
        money(one.month_now),
        money(one.month_then),
        _signed(one.difference, currency),
        {"yes": "yes", "unknown": "unknown"}.get(one.fits, f"**{one.placed} of {one.wanted}**"),
    ]
    return row([cell.replace("\u00a0", " ") for cell in cells])


def _pods(pods: float) -> str:
    return f"{pods:.3g}" if math.isfinite(pods) else "–"


def _change(now: str, then: str, one: Predicted) -> str:
    return then if now == then or one.state == "new" else f"{now} → **{then}**"


def _signed(value: float, currency: str) -> str:
    shown = money(value, currency)
    return f"+{shown}" if math.isfinite(value) and value >= 0.005 else shown


def _sentence(found: Prediction) -> str:
    """The answer in one line."""
    parts = []
    if math.isfinite(found.difference):
        verb = "costs" if found.difference >= 0 else "saves"
        amount = money(abs(found.difference), found.currency).replace("\u00a0", " ")
        parts.append(f"It {verb} {amount} a month {'more ' if found.difference >= 0 else ''}on paper")
    if found.without_cost:
        parts.append(f"the cost of {count(len(found.without_cost), 'workload is', 'workloads are')} not known".replace("\u00a0", " "))
    if found.unschedulable:
        parts.append(f"{count(found.unschedulable, 'pod fits', 'pods fit')} on no present node")
    elif any(one.fits == "unknown" for one in found.workloads):
        parts.append("whether the pods fit is not known")
    else:
        parts.append("every pod fits on the present nodes")
    said = "; ".join(parts)
    return f"**{said[0].upper()}{said[1:]}.**"


def _misfits(rows: Sequence[Predicted]) -> Iterator[str]:
    return (f"{_place(one)}: {words(one.why)}" for one in rows if one.why)


def _unknown(rows: Sequence[Predicted]) -> Iterator[str]:
    """Rules by the workloads that they are about."""
    rules = dict.fromkeys(rule for one in rows for rule in one.unknown)
    for rule in rules:
        about = [one for one in rows if rule in one.unknown]
        whom = "all workloads" if len(about) == len(rows) else ", ".join(_place(one) for one in about[:5])
        yield f"{words(rule)}: {whom}{f' and {len(about) - 5} more' if len(about) > 5 and len(about) != len(rows) else ''}"


def _notes(rows: Sequence[Predicted]) -> Iterator[str]:
    return (f"{_place(one)}: {words(note)}" for one in rows for note in one.notes)


def _list(title: str, lines: Iterator[str]) -> Iterator[str]:
    kept, more = fitted((f"- {line}" for line in lines), _LISTS)
    if kept:
        yield "\n".join([f"**{title}**", "", *kept, *([f"- {more} more"] if more else [])])


def _source(found: Prediction) -> str:
    others = ", ".join(f"{words(kind)} ({number})" for kind, number in found.others.items())
    said = (
        "Cost is requests × pods × unit price × 730 h; limits, volumes and networks cost nothing here. "
        f"Prices: {words(found.price_source)}. It is money only when nodes come or go. "
        f"What runs is that of {found.day}; pods are placed one after the other on the free room of the nodes that there are, "
        "nothing that runs is moved, and an autoscaler may add nodes."
    )
    return f"<sub>{said}{f' Not looked at: {others}.' if others else ''}</sub>"
