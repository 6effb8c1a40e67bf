"""What is said beside the costs of a window: how they were counted, and what in them is estimated, unknown or left out."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from aiops_analysis.analysis.costs import NodeBook, Pieces
from aiops_analysis.core.names import visible
from aiops_analysis.core.schema import RESOURCES
from aiops_analysis.core.window import STEP

__all__ = ["Counts", "named", "said_of"]

_MOST_NAMED = 5
_ENOUGH = 0.9  # of the container hours; less is a finding
_RULES = {
    "proportional": "spread over the other workloads in proportion to their own cost, day by day",
    "uniform": "spread over the other namespaces in equal parts, day by day",
    "none": "spread over nobody",
}

Finding = Mapping[str, object]


@dataclass(frozen=True)
class Counts:
    """What was counted on the way: pods that waited for a node, steps of samples outside every life, steps in which nobody was seen,
    and the days of which something is not stored."""

    waiting: int
    loose: int
    unseen: int
    missing: tuple[date, ...]
    no_inventory: tuple[date, ...]
    no_nodes: tuple[date, ...]


def named(names: Sequence[str]) -> str:
    """The first few names in a form that is safe to show, and how many more there are."""
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(visible(name, 120) for name in names[:_MOST_NAMED]) + more


def said_of(
    counts: Counts, pieces: Pieces, book: NodeBook, nodes: pd.DataFrame, shared: Collection[str], rule: str, allocation: pd.DataFrame
) -> tuple[dict[str, float], tuple[str, ...], tuple[Finding, ...]]:
    """Shares, notes and findings of the costs of a window; see ``Costs``."""
    shares = _shares(pieces, book)
    notes = (*_how(shared, rule, allocation), *_notes(counts, shares, nodes))
    return shares, notes, tuple(_findings(counts, shares, pieces, book))


def _shares(pieces: Pieces, book: NodeBook) -> dict[str, float]:
    hours = float(pieces.steps.sum())
    out = {f"measured_{r}": _ratio(float(pieces.measured[r].sum()), hours) for r in RESOURCES}
    out |= {f"unknown_{r}": _ratio(float(pieces.unknown[r].sum()), hours) for r in RESOURCES}
    cost = sum(((pieces.request[r] + pieces.excess[r]) * book.price_of(pieces.node, r) * _SCALE[r] for r in RESOURCES), np.zeros(1))
    return out | {"mean_price": _ratio(float(cost[~book.priced(pieces.node)].sum()), float(cost.sum())) if len(pieces.node) else np.nan}


_SCALE = {"cpu": 1.0, "memory": 2.0**-30}


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else np.nan


def _how(shared: Collection[str], rule: str, allocation: pd.DataFrame) -> Iterator[str]:
    """How the figures are made."""
    yield (
        "Cost of a container: max(request, usage) x the price of the node it ran on, every 5 minutes, in the hours it ran; "
        "no window is scaled to a month."
    )
    yield "Idle cost is what nodes cost beyond their containers, by pool and day and at least 0; it is in no workload's cost."
    there = sorted(set(shared) & set(allocation["namespace"]))
    if there:
        yield f"The cost of the shared namespaces {named(there)} is {_RULES[rule]}, in a column of its own."
        alone = allocation.groupby("day")["shared"].all()
        if rule != "none" and alone.any():
            yield f"On {_days(int(alone.sum()))} nothing but shared namespaces ran: nobody carries their cost."
    yield "The history keeps no labels of pods: costs are by namespace, workload, node pool, zone, instance type and capacity type."


def _notes(counts: Counts, shares: Mapping[str, float], nodes: pd.DataFrame) -> Iterator[str]:
    """What a reader should know of this window, and need not act on."""
    measured = [f"{shares[f'measured_{r}']:.1%} of the container hours for {name}" for r, name in (("cpu", "CPU"), ("memory", "memory"))]
    if not np.isnan(shares["measured_cpu"]):
        yield f"Usage was measured in {' and '.join(measured)}; where it was not, the request counts alone."
    if counts.waiting:
        yield f"{counts.waiting:,} pods waited for a node and were never measured: they cost nothing."
    if counts.loose:
        hours = counts.loose * STEP / 3600
        yield f"{hours:,.1f} container hours were measured outside what the inventory knows: they cost their usage."
    if counts.unseen:
        yield f"In {counts.unseen * STEP / 3600:,.1f} hours of the stored days no container was seen at all: what ran then is in no sum."
    split = nodes["workload_cost"] + nodes["idle_cost"]
    other = float((nodes["cost"] - split).clip(lower=0.0).sum())
    if other > 0.005 * float(nodes["cost"].sum()):
        yield f"{other:,.2f} of the node cost is for neither CPU nor memory (such as GPUs): it is in neither workload nor idle cost."


def _findings(counts: Counts, shares: Mapping[str, float], pieces: Pieces, book: NodeBook) -> Iterator[Finding]:
    """What makes the figures worse, and what to do about it."""
    if counts.missing:
        yield _of_days("cost_days_missing", counts.missing, "not stored: their cost is in no sum, pull them again")
    if counts.no_inventory:
        yield _of_days("cost_no_inventory", counts.no_inventory, "stored without inventory: containers cost their usage, without a pool")
    if counts.no_nodes:
        yield _of_days("cost_no_nodes", counts.no_nodes, "stored without nodes: node cost and idle cost are not known there")
    yield from _of_prices(shares, pieces, book)
    low = {r: shares[f"measured_{r}"] for r in RESOURCES if shares[f"measured_{r}"] < _ENOUGH}
    if low:
        text = " and ".join(f"{share:.0%} of the container hours ({r})" for r, share in low.items())
        yield {"code": "cost_unmeasured", "message": f"usage was measured in only {text}; elsewhere the request counts", "data": low}
    unknown = {r: shares[f"unknown_{r}"] for r in RESOURCES if shares[f"unknown_{r}"] >= 0.0005}
    if unknown:
        text = " and ".join(f"{share:.1%} of the container hours for {r}" for r, share in unknown.items())
        yield {"code": "cost_unknown", "message": f"neither a request nor a sample in {text}: their cost is not known", "data": unknown}


def _of_prices(shares: Mapping[str, float], pieces: Pieces, book: NodeBook) -> Iterator[Finding]:
    if not len(pieces.node):
        return
    if np.isnan(book.mean["cpu"]) or np.isnan(book.mean["memory"]):
        yield {"code": "cost_no_price", "message": "no node has a usable price, so no cost is shown", "data": {}}
        return
    ran = np.unique(pieces.node)
    without = sorted(str(book.names[n]) for n in ran[ran >= 0] if not book.known[n])
    share = shares["mean_price"]
    if share > 0:
        nodes = f": no price for {named(without)}" if without else ": their nodes are not known"
        message = f"{share:.1%} of the workload cost is priced by the cluster's mean{nodes}"
        yield {"code": "cost_mean_price", "message": message, "data": {"share": share, "nodes": without}}


def _of_days(code: str, days: Sequence[date], what: str) -> Finding:
    names = [day.isoformat() for day in days]
    message = f"{_days(len(days))} {'is' if len(days) == 1 else 'are'} {what} ({named(names)})"
    return {"code": code, "message": message, "data": {"days": names}}


def _days(count: int) -> str:
    return f"{count:,} {'day' if count == 1 else 'days'}"
