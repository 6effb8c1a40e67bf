"""Realised savings: node-hours that a cluster no longer needs for the same work, split over the decisions behind them (methods.md B3).

realised = (node-hours per unit of work in the baseline period x work now - node-hours now) x node price of the baseline period, for the
node pools in which a decision's pods run: a node that left elsewhere was not freed by it. Node-hours are counted in nodes of the
baseline's mean size (within five percent nodes are equal), so that two nodes in the place of four half their size are no saving.

Decisions whose 90 days overlap in a pool share the baseline before the first of them, and each slice is split over them by freed
requests x hours x unit price; what other workloads freed (gone, fewer replicas, smaller without a record) takes its part and is nobody's.
Each share is capped at the decision's own requests x price. Nodes that had left before the first change are not split at all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aiops_analysis.analysis.applied import Applied, Step, wanted
from aiops_analysis.analysis.past import RESOURCES_OF, Past
from aiops_analysis.analysis.work import follows_nodes, unchanged, volume_of, work_in
from aiops_analysis.core.pricing import HOURS_PER_MONTH
from aiops_analysis.core.schema import GROUP

__all__ = [
    "BASELINE_DAYS",
    "HORIZONS",
    "LEAST_DAYS",
    "LONGEST",
    "Cell",
    "Line",
    "Part",
    "Share",
    "Terms",
    "cells_of",
    "cluster_line",
    "ratio_over",
    "realised_over",
    "shares_of",
]

LEAST_DAYS = 14
BASELINE_DAYS = 28
_REACH = 90  # days in which the baseline's measured days are looked for
LONGEST = 90  # days after a change that count for it
HORIZONS = (30, 60, 90)
_SAME_SIZE = 0.05
_WEEK = 7
_NOTHING = 1e-9  # [currency / month] what sums of floats leave


@dataclass(frozen=True, eq=False)
class Cell:
    """One change of a record in the history: pod hours and requested hours [pools, slices], what it freed [currency], by slice."""

    step: Step
    group: int  # row of Past.groups, -1 when it was never seen
    resource: int
    before: float  # [cores | GiB] of one pod
    after: float
    pods: np.ndarray
    asked: np.ndarray  # with the request kept between before and after
    freed: np.ndarray  # [currency] (before - asked) x hours x unit price


@dataclass(frozen=True, eq=False)
class Terms:
    """The formula of one pool and one group of decisions; arrays are by slice, money is of the slice."""

    pool: int
    baseline: np.ndarray
    reporting: np.ndarray
    work: np.ndarray
    rate: float  # node-hours per unit of work in the baseline period
    nodes: np.ndarray  # node-hours, in nodes of the baseline's mean size
    price: float  # [currency / hour] of a node in the baseline period
    saved: np.ndarray  # the formula
    to_split: np.ndarray  # the same without nodes that had left before the first change
    left_before: float  # nodes that had
    drop: np.ndarray  # (cpu, memory) [cores | GiB] that other workloads no longer ask for
    growth: np.ndarray  # that other workloads ask for more
    own_work: bool  # work of this pool; False when the cluster's was taken because the pool has none


@dataclass(frozen=True, eq=False)
class Part:
    """One decision in one pool, by slice [currency]: what its requests freed, what all decisions' did, its part of the formula."""

    terms: Terms
    freed: np.ndarray
    all_freed: np.ndarray
    part: np.ndarray


@dataclass(frozen=True, eq=False)
class Share:
    """What one decision realised, and the formula of each of its pools; money per month over the days after it was applied."""

    applied: Applied
    cells: tuple[Cell, ...]
    parts: tuple[Part, ...]
    reporting: np.ndarray
    realised: float
    by_horizon: Mapping[int, float]
    paper: float
    price_effect: float


@dataclass(frozen=True)
class Line:
    """All nodes of the cluster over the days that count for any decision, per month, and what of it decisions account for."""

    realised: float
    attributed: float
    price_effect: float
    work_ratio: float
    nodes_before: float
    nodes_after: float
    days_before: int
    days_after: int


def cells_of(applied: Applied, past: Past) -> tuple[Cell, ...]:
    """The changes of a record as arrays over the history."""
    index = {tuple(row): number for number, row in enumerate(past.groups[list(GROUP)].itertuples(index=False))}
    return tuple(_cell(step, past, index.get(step.choice.key[1:-1], -1)) for step in applied.steps)


def _cell(step: Step, past: Past, group: int) -> Cell:
    before, after = wanted(step.choice)
    resource = RESOURCES_OF.index(step.choice.resource)
    shape = (len(past.pools), len(past.start))
    rows = past.asked
    mine = ((rows["group"] == group) & (rows["number"] >= 0)).to_numpy(bool)
    flat = rows["number"].to_numpy()[mine] * shape[1] + rows["at"].to_numpy()[mine]
    pods, asked = (
        np.bincount(flat, rows[name].to_numpy()[mine], shape[0] * shape[1]).reshape(shape) for name in ("pod_hours", step.choice.resource)
    )
    kept = np.clip(asked, min(before, after) * pods, max(before, after) * pods)
    return Cell(step, group, resource, before, after, pods, kept, (before * pods - kept) * past.rates[:, [resource]])


def shares_of(past: Past, applied: Sequence[Applied], volume: pd.Series | None = None) -> dict[str, Share]:
    """What each applied record realised, by its id; those that were never applied have none."""
    timed = [one for one in applied if one.settled]
    cells = {one.decision.id: cells_of(one, past) for one in timed}
    given = None if volume is None else volume_of(past, volume)
    parts: dict[str, list[Part]] = {one.decision.id: [] for one in timed}
    for pool in range(len(past.pools)):
        here = [one for one in timed if any(cell.pods[pool].any() for cell in cells[one.decision.id])]
        for members in _groups(here):
            found = _terms(past, pool, members, [cell for one in members for cell in cells[one.decision.id]], given)
            for one, part in zip(members, _split(past, found, [cells[one.decision.id] for one in members]), strict=True):
                parts[one.decision.id].append(part)
    return {one.decision.id: _share(past, one, cells[one.decision.id], tuple(parts[one.decision.id])) for one in timed}


def _groups(applied: Sequence[Applied]) -> list[list[Applied]]:
    """Decisions whose 90 days overlap, in order of time."""
    out: list[list[Applied]] = []
    reach = 0
    for one in sorted(applied, key=lambda one: (one.begin, one.decision.number)):
        if not out or one.begin >= reach:
            out.append([])
        out[-1].append(one)
        reach = max(reach, one.settled + LONGEST)
    return out


def reporting_of(past: Past, one: Applied, days: int = LONGEST) -> np.ndarray:
    """The slices that count for a decision: after its last change began, at most ``days`` days, until its workloads were gone."""
    return past.between(one.settled, min(one.settled + days, one.until or one.settled + days))


def _terms(past: Past, pool: int, members: Sequence[Applied], cells: Sequence[Cell], volume: np.ndarray | None) -> Terms:
    """The formula for a pool: what the nodes were, what the work asks of them, what others freed or took."""
    baseline = past.last_before(min(one.begin for one in members), BASELINE_DAYS, _REACH)
    reporting = np.any([reporting_of(past, one) for one in members], axis=0)
    same = unchanged(past, baseline, reporting, {cell.group for cell in cells})
    own = True
    if volume is not None:
        baseline, reporting = baseline & np.isfinite(volume), reporting & np.isfinite(volume)
        work = np.nan_to_num(volume)
    else:
        work = work_in(past, same, pool)
        own = bool(work[baseline].sum() > 0)
        work = work if own else work_in(past, same, None)
    nodes, price = _standing(past, pool, baseline)
    rate = _over(nodes[baseline].sum(), work[baseline].sum())
    saved = (rate * work - nodes) * price
    left, per_hour = _left_before(past, pool, baseline, work, min(one.begin for one in members))
    drop, growth = _others(past, pool, baseline, reporting, same, cells, ratio_over(past, work, baseline, reporting))
    return Terms(
        pool=pool,
        baseline=baseline,
        reporting=reporting,
        work=work,
        rate=rate,
        nodes=nodes,
        price=price,
        saved=saved,
        to_split=saved - left / per_hour * work * price if left else saved,
        left_before=left,
        drop=drop,
        growth=growth,
        own_work=own,
    )


def _left_before(past: Past, pool: int, baseline: np.ndarray, work: np.ndarray, begin: int) -> tuple[float, float]:
    """Nodes that the last week before a change had less than its baseline, for no less work, and the baseline's work of an hour."""
    week = past.last_before(begin, _WEEK, _REACH) & baseline
    (nodes, mean), (late_nodes, late) = (
        (_over(past.node_hours[pool][mask].sum(), past.hours[mask].sum()), _over(work[mask].sum(), past.hours[mask].sum()))
        for mask in (baseline, week)
    )
    left = min(nodes - late_nodes, nodes - late_nodes * mean / late) if late > 0 else math.nan
    return (left if math.isfinite(left) and left >= max(0.5, 0.02 * nodes) else 0.0), mean


def _over(value: float, by: float) -> float:
    return float(value) / float(by) if by > 0 else math.nan


def ratio_over(past: Past, work: np.ndarray, before: np.ndarray, after: np.ndarray) -> float:
    """Work of an hour in some slices / in others; NaN where there is none."""
    return _over(_over(work[after].sum(), past.hours[after].sum()), _over(work[before].sum(), past.hours[before].sum()))


def _standing(past: Past, pool: int, baseline: np.ndarray) -> tuple[np.ndarray, float]:
    """Node-hours of each slice in nodes of the baseline's mean size, and the baseline's price of a node hour."""
    hours = past.node_hours[pool]
    price = _over(past.cost_before[pool][baseline].sum(), hours[baseline].sum())
    rates = past.rates[pool] if np.isfinite(past.rates[pool]).all() else np.array([1.0, 0.0])
    value = past.cpu[pool] * rates[0] + past.memory[pool] * rates[1]
    mean = _over(value[baseline].sum(), hours[baseline].sum())
    with np.errstate(invalid="ignore", divide="ignore"):
        size = value / hours / mean
    equal = ~np.isfinite(size) | (np.abs(size - 1) <= _SAME_SIZE)
    return hours * np.where(equal, 1.0, size), price


def _others(
    past: Past,
    pool: int,
    before: np.ndarray,
    after: np.ndarray,
    same: np.ndarray,
    cells: Sequence[Cell],
    ratio: float,
) -> tuple[np.ndarray, np.ndarray]:
    """What everything that is neither unchanged nor decided asks for less and for more (cpu, memory) [cores | GiB], as mean of an hour.

    A decided change frees nothing by fewer pods than before (less those that less work needs no more): that is counted here too.
    """
    here = (past.asked["number"] == pool).to_numpy(bool)
    free = ~same & ~follows_nodes(past)
    drop, growth = np.zeros(2), np.zeros(2)
    hours = [float(past.hours[mask].sum()) for mask in (before, after)]
    if min(hours) <= 0:
        return drop, growth
    for resource, name in enumerate(RESOURCES_OF):
        decided = {cell.group for cell in cells if cell.resource == resource}
        grid = past.grid(name, here)
        less = grid[:, before].sum(axis=1) / hours[0] - grid[:, after].sum(axis=1) / hours[1]
        counted = free & ~np.isin(np.arange(len(less)), list(decided))
        # what went and what came are set against each other: a workload under a new name frees nothing
        drop[resource], growth[resource] = max(less[counted].sum(), 0.0), max(-less[counted].sum(), 0.0)
        for cell in {cell.group: cell for cell in cells if cell.resource == resource}.values():
            then, now = (cell.pods[pool][mask].sum() / spent for mask, spent in zip((before, after), hours, strict=True))
            fewer = then * (min(ratio, 1.0) if math.isfinite(ratio) else 1.0) - now
            drop[resource] += max(cell.before * fewer, 0.0)
    return drop, growth


def _split(past: Past, terms: Terms, members: Sequence[Sequence[Cell]]) -> list[Part]:
    """The formula of a pool, split over the decisions by what each freed."""
    freed = np.array([np.sum([cell.freed[terms.pool] for cell in cells], axis=0) for cells in members])
    rates = past.rates[terms.pool]
    out = []
    up, down = freed.clip(min=0), (-freed).clip(min=0)
    others = [float(np.nansum(part * rates)) * past.hours for part in (terms.drop, terms.growth)]
    for number in range(len(members)):
        raises = freed[number][terms.reporting].sum() < 0
        mine, all_of = (down, others[1]) if raises else (up, others[0])
        whole = mine.sum(axis=0) + all_of
        with np.errstate(invalid="ignore", divide="ignore"):
            weight = np.where(whole > 0, mine[number] / whole, 0.0)
        out.append(Part(terms, freed[number], freed.sum(axis=0), (terms.saved if raises else terms.to_split) * weight))
    return out


def _share(past: Past, one: Applied, cells: tuple[Cell, ...], parts: tuple[Part, ...]) -> Share:
    """A decision's parts added up over its pools, capped at its own requests x price and at what was promised."""
    mask = np.all([reporting_of(past, one), *(part.terms.reporting for part in parts)], axis=0)
    measured_before = min((past.measured(part.terms.baseline) for part in parts), default=0) >= LEAST_DAYS
    end = int(past.start[-1] + past.days[-1])
    by_horizon = {}
    for days in HORIZONS:
        early = mask & reporting_of(past, one, days)
        enough = measured_before and end >= one.settled + days and past.measured(early) >= max(LEAST_DAYS, days // 2)
        by_horizon[days] = realised_over(past, one, parts, early) if enough else math.nan
    hours = float(past.hours[mask].sum())
    return Share(
        applied=one,
        cells=cells,
        parts=parts,
        reporting=mask,
        realised=realised_over(past, one, parts, mask) if measured_before and past.measured(mask) >= LEAST_DAYS else math.nan,
        by_horizon=by_horizon,
        paper=_over(sum(float(part.freed[mask].sum()) for part in parts), hours) * HOURS_PER_MONTH if parts else math.nan,
        price_effect=sum(price_effect(past, part.terms, mask) for part in parts) if parts else math.nan,
    )


def realised_over(past: Past, one: Applied, parts: Sequence[Part], mask: np.ndarray) -> float:
    """A decision's share of the formula over some slices [currency / month]; NaN where it cannot be computed."""
    hours = float(past.hours[mask].sum())
    if not parts or hours <= 0:
        return math.nan
    paper = got = 0.0
    for part in parts:
        own, mine = (float(values[mask].sum()) * HOURS_PER_MONTH / hours for values in (part.freed, part.part))
        paper += own
        got += mine if math.isnan(own) or math.isnan(mine) else min(max(mine, 0.0), own) if own >= 0 else max(min(mine, 0.0), own)
    promised = one.decision.paper
    if math.isfinite(promised):
        got = min(got, max(promised, 0.0)) if paper >= 0 else max(got, min(promised, 0.0))
    return 0.0 if abs(got) < _NOTHING else got


def price_effect(past: Past, terms: Terms, mask: np.ndarray) -> float:
    """(price now - price in the baseline period) x node-hours now [currency / month], never a saving."""
    hours = float(past.hours[mask].sum())
    paid = float(past.cost[terms.pool][mask].sum())
    effect = (paid - terms.price * float(terms.nodes[mask].sum())) * HOURS_PER_MONTH / hours if hours > 0 else math.nan
    return 0.0 if abs(effect) < _NOTHING else effect


def cluster_line(past: Past, shares: Sequence[Share], volume: pd.Series | None = None) -> Line | None:
    """The formula over all nodes of the cluster, and what of it the measured decisions account for; None when nothing was measured."""
    done = [one for one in shares if math.isfinite(one.realised)]
    if not done:
        return None
    whole = past.as_one()
    members = [one.applied for one in done]
    cells = [cell for one in members for cell in cells_of(one, whole)]
    terms = _terms(whole, 0, members, cells, None if volume is None else volume_of(past, volume))
    mask = terms.reporting
    hours = float(past.hours[mask].sum())
    month = HOURS_PER_MONTH / hours
    before = float(past.hours[terms.baseline].sum())
    return Line(
        realised=float(terms.saved[mask].sum()) * month,
        attributed=sum(one.realised * float(past.hours[one.reporting].sum()) for one in done) / hours,
        price_effect=price_effect(whole, terms, mask),
        work_ratio=ratio_over(past, terms.work, terms.baseline, mask),
        nodes_before=_over(whole.node_hours[0][terms.baseline].sum(), before),
        nodes_after=_over(whole.node_hours[0][mask].sum(), hours),
        days_before=past.measured(terms.baseline),
        days_after=past.measured(mask),
    )
