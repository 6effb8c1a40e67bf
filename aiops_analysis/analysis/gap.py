"""Why a decision realised less than it promised: amounts that add up to the gap, and one plain sentence from the data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from aiops_analysis.analysis.applied import Applied, Step, wanted
from aiops_analysis.analysis.past import Past
from aiops_analysis.analysis.realised import Share, ratio_over, realised_over
from aiops_analysis.core.names import visible
from aiops_analysis.core.pricing import HOURS_PER_MONTH
from aiops_analysis.core.units import GIB, human_memory

__all__ = ["PARTS", "Nodes", "amount_of", "cause_of", "nodes_of", "parts_of", "work_of"]

#: The parts of a gap, in the order in which they are taken off the promise.
PARTS: Mapping[str, str] = {
    "basis": "other prices or numbers of pods than in the record",
    "work": "more (negative) or less work than in the baseline period",
    "applied": "applied in another way than decided",
    "replicas": "more pods than the work asks for",
    "late": "nodes left later than the change",
    "others": "taken by other workloads",
    "rest": "freed, but still on the nodes that stay",
}
_SMALL = 0.01  # of the promise


@dataclass(frozen=True, slots=True)
class Nodes:
    """Nodes of a decision's pools: means of both periods, whole nodes before and at the end, and when those that left did."""

    mean_before: float
    mean_after: float
    before: int
    end: int
    days_late: int
    gone: np.ndarray  # slices after they left

    @property
    def left(self) -> int:
        """Nodes that left, at least 0."""
        return max(self.before - self.end, 0)


def nodes_of(past: Past, share: Share) -> Nodes:
    """The nodes of the pools in which a decision's pods ran."""
    pools = [part.terms.pool for part in share.parts]
    with np.errstate(invalid="ignore", divide="ignore"):
        count = past.node_hours[pools].sum(axis=0) / past.hours
    baseline = np.any([part.terms.baseline for part in share.parts], axis=0) if share.parts else np.zeros(len(count), bool)
    then, now = (_mean(past.node_hours[pools].sum(axis=0), past.hours, mask) for mask in (baseline, share.reporting))
    old = np.flatnonzero(past.last_before(share.applied.begin, 7, 90))
    new = np.flatnonzero(share.reporting)
    if not len(old) or not len(new):
        return Nodes(then, now, 0, 0, 0, np.zeros(len(count), bool))
    before, end = (round(float(count[at[-1]])) for at in (old, new))
    low = count <= end + 0.5
    # the first slice from which on it stays so
    high = [at for at in new.tolist() if not low[at]]
    first = int(new[0]) if not high else high[-1] + 1
    gone = share.reporting & (np.arange(len(count)) > first)
    on = share.applied.on
    late = max(int(past.start[first]) - on.toordinal(), 0) if on is not None and high and first < len(count) else 0
    return Nodes(then, now, before, end, late, gone if high else share.reporting)


def _mean(values: np.ndarray, hours: np.ndarray, mask: np.ndarray) -> float:
    total = float(hours[mask].sum())
    return float(values[mask].sum()) / total if total > 0 else math.nan


def work_of(past: Past, share: Share) -> float:
    """Work now / in the baseline period, of the pools weighted by their nodes then."""
    ratios = [ratio_over(past, part.terms.work, part.terms.baseline, share.reporting) for part in share.parts]
    weights = [float(past.node_hours[part.terms.pool][part.terms.baseline].sum()) for part in share.parts]
    return sum(r * w for r, w in zip(ratios, weights, strict=True)) / sum(weights) if sum(weights) > 0 else math.nan


def parts_of(past: Past, share: Share, nodes: Nodes) -> dict[str, float]:
    """The gap promised - realised in parts [currency / month] that add up to it; empty when it is not known.

    Before the change the work of today would ask for (old request x pods then x work ratio); what really is asked is (request now x pods
    now). The difference is what the change left free, and of that a part went with nodes.
    """
    promised, realised, ratio = share.applied.decision.paper, share.realised, work_of(past, share)
    if not all(map(math.isfinite, (promised, realised, ratio))):
        return {}
    paper, applied, replicas = _by_request(past, share, ratio)
    free = paper * ratio - applied - replicas - realised
    room = max(free, 0.0)
    late = 0.0
    if nodes.left and nodes.days_late > 1 and nodes.gone.any():
        late = min(max(realised_over(past, share.applied, share.parts, nodes.gone) - realised, 0.0), room)
    others = min(room - late, sum(_grown(past, share)))
    return {
        "basis": promised - paper,
        "work": paper * (1 - ratio),
        "applied": applied,
        "replicas": replicas,
        "late": late,
        "others": others,
        "rest": free - late - others,
    }


def _by_request(past: Past, share: Share, ratio: float) -> tuple[float, float, float]:
    """Paper at the pods of the baseline period, and what another request and more pods took off it [currency / month]."""
    paper = applied = replicas = 0.0
    for cell in share.cells:
        for part in share.parts:
            pool, price = part.terms.pool, float(past.rates[part.terms.pool, cell.resource]) * HOURS_PER_MONTH
            then = _mean(cell.pods[pool], past.hours, part.terms.baseline)
            now = _mean(cell.pods[pool], past.hours, share.reporting)
            asked = _mean(cell.asked[pool], past.hours, share.reporting) / now if now > 0 else cell.after
            paper += (cell.before - cell.after) * then * price
            applied += (asked - cell.after) * then * ratio * price
            replicas += asked * (now - then * ratio) * price
    return paper, applied, replicas


def _grown(past: Past, share: Share) -> list[float]:
    """What other workloads ask for more, this decision's part of it by what it freed (cpu, memory) [currency / month]."""
    out = [0.0, 0.0]
    for part in share.parts:
        whole = float(part.all_freed[share.reporting].sum())
        weight = min(max(float(part.freed[share.reporting].sum()) / whole, 0.0), 1.0) if whole > 0 else 0.0
        for resource in range(2):
            price = float(past.rates[part.terms.pool, resource])
            out[resource] += float(part.terms.growth[resource]) * price * HOURS_PER_MONTH * weight
    return out


def cause_of(past: Past, share: Share, nodes: Nodes, parts: Mapping[str, float]) -> str:
    """The sentence of a measured decision: how it was applied, which nodes left and when, and where the freed requests went."""
    said = [_applied_words(share.applied, past), _nodes_words(past, share, nodes), _pods_words(past, share, nodes)]
    scale = max(abs(share.applied.decision.paper) * _SMALL, 1e-9)
    missing = sum(parts.values()) > scale
    if missing and parts["others"] > scale:
        said.append(_others_words(past, share))
    if missing and parts["rest"] > scale:
        before = any(parts[name] > scale for name in ("applied", "replicas", "late", "others"))
        stay = f"the {nodes.end} node{'s' if nodes.end != 1 else ''} that stay{'s' if nodes.end == 1 else ''}"
        said.append(f"{'the rest' if before or nodes.left else 'what was freed'} is free room on {stay}")
    return "; ".join(one for one in said if one)


def amount_of(step: Step, value: float) -> str:
    """An amount in cores or GiB for people."""
    if math.isnan(value):
        return "not known"
    return human_memory(value * GIB) if step.choice.resource == "memory" else f"{value * 1000:.4g}m"


def name_of(step: Step) -> str:
    """The change by the name of its container."""
    _, namespace, _, workload, container, resource = step.choice.key
    return f"{resource} of {'/'.join(visible(part, 60) for part in (namespace, workload, container))}"


def _applied_words(applied: Applied, past: Past) -> str:
    if applied.state == "whole":
        return "one request was cut further than decided" if any(one.progress > 1.02 for one in applied.steps) else ""
    if applied.state == "reverted":
        back = max(one.undone for one in applied.steps)
        return f"applied on {applied.on} and taken back on {past.day(back)}"
    open_ = [one for one in applied.steps if one.state != "whole"]
    words = [f"{name_of(one)} is {amount_of(one, one.now)} where {amount_of(one, wanted(one.choice)[1])} was decided" for one in open_[:3]]
    if applied.until:
        return f"its workload is gone since {_date(applied.until)}"
    return "applied in part: " + ", ".join(words) if words else ""


def _date(ordinal: int) -> str:
    from datetime import date

    return date.fromordinal(ordinal).isoformat()


def _nodes_words(past: Past, share: Share, nodes: Nodes) -> str:
    ratio = work_of(past, share)
    work = f"work {'rose' if ratio > 1 else 'fell'} to {ratio:.0%} of what it was".replace("%", " %")
    moved = math.isfinite(ratio) and abs(ratio - 1) >= 0.02
    gone_before = sum(part.terms.left_before for part in share.parts)
    earlier = f"; {gone_before:.1f} nodes had left before it and are not counted" if gone_before else ""
    if nodes.left:
        late = f", {nodes.days_late} days after the change" if nodes.days_late > 1 else ""
        less = f", while {work}" if moved else ""
        return f"{nodes.left} of {nodes.before} nodes left{late}{less}{earlier}"
    if moved and ratio > 1 and share.realised > 0:
        avoided = sum(float(part.terms.saved[share.reporting].sum()) / part.terms.price for part in share.parts if part.terms.price > 0)
        count = avoided / float(past.hours[share.reporting].sum())
        return f"{work} and the nodes went from {nodes.mean_before:.1f} to {nodes.mean_after:.1f}: {count:.1f} nodes were avoided{earlier}"
    grew = f"no node left, there are {nodes.end} where {nodes.before} were" if nodes.end > nodes.before else "no node left"
    return f"{grew}{f', while {work}' if moved else ''}{earlier}"


def _pods_words(past: Past, share: Share, nodes: Nodes) -> str:
    del nodes
    seen, then, now = set(), 0.0, 0.0
    for cell in share.cells:
        if cell.group in seen:
            continue
        seen.add(cell.group)
        for part in share.parts:
            then += _mean(cell.pods[part.terms.pool], past.hours, part.terms.baseline)
            now += _mean(cell.pods[part.terms.pool], past.hours, share.reporting)
    if not abs(now - then) >= max(0.25, 0.05 * then):
        return ""
    return f"{'replicas' if len(seen) == 1 else 'pods'} {'rose' if now > then else 'fell'} from {then:.3g} to {now:.3g}"


def _others_words(past: Past, share: Share) -> str:
    """How much of what was freed other workloads took, of the resource that they took most of in money."""
    grown = _grown(past, share)
    freed = [0.0, 0.0]
    for cell in share.cells:
        for part in share.parts:
            gap = cell.before * cell.pods[part.terms.pool] - cell.asked[part.terms.pool]
            freed[cell.resource] += _mean(gap, past.hours, share.reporting)
    resource = max(range(2), key=lambda number: grown[number] if freed[number] > 0 else -1.0)
    took = sum(float(part.terms.growth[resource]) for part in share.parts)
    unit = ("cores", "GiB")[resource]
    return f"{min(took, freed[resource]):.1f} of the {freed[resource]:.1f} {unit} freed were taken by other workloads"
