"""Nodes that can really go, pool by pool, and what they are worth on the bill: the second of the three numbers (methods.md B3, B4)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from aiops_analysis.analysis.fleet import Size
from aiops_analysis.analysis.node_autoscaler import takes_away
from aiops_analysis.analysis.pool_need import Need, shares
from aiops_analysis.core.reasons import Code
from aiops_analysis.core.schema import GROUP, check, empty
from aiops_analysis.core.schema_money import PACKING

__all__ = ["packing_frame", "packing_row", "split_bankable"]

_GRADES = ("high", "medium", "low")
#: Share of a pool's requests with unknown rules up to which its figure is still of medium grade.
_MEDIUM_UNKNOWN = 0.2
_MOST_NAMED = 3


def packing_frame(needs: Mapping[str, Need], after: Sequence[Size], *, elsewhere: Mapping[str, str] | None = None) -> pd.DataFrame:
    """PACKING: one row per pool, today against the sizes ``after`` the recommendations.

    nodes_after = max(ceil(calibration x model_after), model_after + headroom, floor), never counted below 0 freed; each pool is packed for
    itself. ``elsewhere``: a sentence per pool about pods that may run in others.
    """
    rows = [packing_row(need, after, (elsewhere or {}).get(name, "")) for name, need in sorted(needs.items())]
    return check(pd.DataFrame(rows), PACKING) if rows else empty(PACKING)


def packing_row(need: Need, after: Sequence[Size], elsewhere: str = "") -> dict[str, Any]:
    """One row of PACKING."""
    pool, terms = need.pool, need.terms
    packed = need.packed(after)
    model = need.count(packed)
    surge = need.surge_nodes(after, model)
    raw_now, raw = need.kept(need.model_now, need.surge_nodes(need.today, need.model_now)), need.kept(model, surge)
    freed = max(0, need.now - raw)
    # a pool that lacks headroom today is not said to grow; one whose pods ask for more is
    grown = max(0, raw - max(raw_now, need.now))
    removed = need.removed(after, freed)
    row = _about_pool(need) | {
        "lower_bound_after": need.bound(after),
        "model_after": model,
        "ffd_after": need.count(need.packed(after, order="cpu")),
        "cpu_part": _cpu_part(need, after) if freed else math.nan,
        "free_today": min(freed, max(0, need.now - raw_now)),
        "headroom": need.spare + surge,
        "nodes_after": need.now - freed + grown,
        "freed": freed,
        **_money(need, freed, removed),
        "committed_until": terms.until if _paid(need, freed) else "",
        "grade": _grade(need, bool(packed.unplaced or need.packed_now.unplaced)),
        "unknown": ", ".join(pool.unknown),
    }
    reasons = [*_about_counts(need, row, raw_now), *_about_removal(need, row, removed)]
    reasons += [*_about_money(need, row), *_about_rules(need, row, packed.why)]
    return row | {"reasons": [*reasons, elsewhere] if elsewhere else reasons}


def _about_pool(need: Need) -> dict[str, Any]:
    """What a row says of today and of the pool itself."""
    pool, terms = need.pool, need.terms
    share = shares(pool, need.today)
    return {
        "pool": pool.name,
        "instance_type": ", ".join(sorted({node.instance_type for node in pool.nodes if node.instance_type})),
        "nodes_now": need.now,
        "pods": sum(pool.pods.values()),
        "lower_bound_now": need.bound(need.today),
        "model_now": need.model_now,
        "binding": max(share, key=lambda name: share[name]) if pool.pods else "",
        "calibration": need.ratio[0] / need.ratio[1],
        "minimum": terms.minimum,
        "node_month": terms.node_month,
        "autoscaler": terms.autoscaler,
        "price_source": terms.price_source,
    }


def _money(need: Need, freed: int, removed: int) -> dict[str, float]:
    """What freed nodes are worth a month: taken away by themselves, if somebody shrinks the pool, and still paid for."""
    paid = _paid(need, freed)
    return {
        "bankable": math.fsum(need.saves(n) for n in range(1, removed + 1)) if takes_away(need.terms.autoscaler) else 0.0,
        "if_shrunk": math.fsum(need.saves(n) for n in range(1, freed + 1)),
        "committed": paid * need.terms.node_month if paid else 0.0,
    }


def _paid(need: Need, freed: int) -> int:
    return sum(need.paid(n) for n in range(1, freed + 1))


def _cpu_part(need: Need, after: Sequence[Size]) -> float:
    """How much of what had to fall was cpu: each resource down to the level at which the pool is full after the changes."""
    before, then = shares(need.pool, need.today), shares(need.pool, after)
    level = max(then["cpu"], then["memory"])
    cpu, memory = max(0.0, before["cpu"] - level), max(0.0, before["memory"] - level)
    if cpu + memory <= 0 or math.isinf(cpu) or math.isinf(memory):
        return 1.0 if before["cpu"] >= before["memory"] else 0.0
    return cpu / (cpu + memory)


def _grade(need: Need, unplaced: bool) -> str:
    """High only where every rule is known, all pods were placed and the model is near today's count."""
    place = 0
    if need.pool.unknown:
        place = 1 if need.pool.unknown_share <= _MEDIUM_UNKNOWN else 2
    if unplaced or need.now > 3 * max(need.model_now, 1):
        place += 1
    return _GRADES[min(place, 2)]


def _about_rules(need: Need, row: Mapping[str, Any], why: Mapping[str, str]) -> Iterator[str]:
    if need.pool.unknown:
        share = f" for {need.pool.unknown_share:.0%} of its requests" if need.pool.unknown_share else ""
        yield f"Not known{share}: {row['unknown']}. Pods count as bound to the pool in which they were seen, and to nothing else."
    now = need.packed_now.why
    for key in sorted(now)[:_MOST_NAMED]:
        yield f"{key} fits on no node of the model ({now[key]}), though it runs: it keeps its nodes."
    for key in sorted(why.keys() - now.keys())[:_MOST_NAMED]:
        yield f"With what is recommended {key} fits on no node of the pool ({why[key]}): it needs a larger node first."


def _about_counts(need: Need, row: Mapping[str, Any], raw_now: int) -> Iterator[str]:
    if not row["pods"]:
        yield f"No pod runs on its {_nodes(need.now)} but what every node has."
        return
    if need.now > 3 * need.model_now:
        yield (
            f"It has {_nodes(need.now)} where the model packs its pods into {need.model_now}: something that is not known keeps them, and "
            "the calibration is held at 3."
        )
    elif need.now < need.model_now:
        yield f"The model needs {_nodes(need.model_now)}, more than there are: the calibration is held at 1."
    if raw_now > need.now:
        yield f"With today's requests it lacks room for a lost node and a rollout: that takes {_nodes(raw_now)}, and it has {need.now}."
    if row["free_today"]:
        yield f"{_nodes(row['free_today'])} could go before any change."
    if row["nodes_after"] > need.now:
        yield f"After the changes its pods need {_nodes(row['nodes_after'])}, {row['nodes_after'] - need.now} more than today."
    if need.pinned and row["nodes_after"] == len(need.pinned):
        yield f"{_nodes(len(need.pinned))} hold pods that cannot be moved."


def _about_removal(need: Need, row: Mapping[str, Any], removed: int) -> Iterator[str]:
    freed, autoscaler = row["freed"], need.terms.autoscaler
    if not freed:
        yield "No node can go."
    elif autoscaler == "none":
        yield f"{_nodes(freed)} can go, but nothing removes them: bankable is 0 until someone shrinks the pool to {need.now - freed}."
    elif autoscaler == "unknown":
        yield (
            f"{_nodes(freed)} can go, but whether anything removes them is not known: bankable is 0 until someone shrinks the pool to "
            f"{need.now - freed}, or the parameter autoscaler names what does it."
        )
    elif removed < freed:
        yield (
            f"{_nodes(freed)} can go, Cluster Autoscaler would take {removed} by itself: it removes a node only when less than half of it "
            "is requested and its pods fit elsewhere. For the rest someone has to drain nodes."
        )
    else:
        who = autoscaler if autoscaler != "managed" else "the managed autoscaler"
        yield f"{_nodes(freed)} can go, and {who} takes {'it' if freed == 1 else 'them'} away."


def _about_money(need: Need, row: Mapping[str, Any]) -> Iterator[str]:
    paid = _paid(need, row["freed"])
    if paid:
        yield f"Of the freed, {_nodes(paid)} under a commitment until {need.terms.until}: still paid for, nothing is saved on them before."
    if row["freed"] and math.isnan(need.terms.node_month):
        yield "Nothing prices its nodes: no money is shown."
    there = math.fsum(need.present(n) for n in range(1, row["freed"] + 1))
    if abs(there - row["freed"]) > 1e-9:
        yield f"Its node count changes over the day: of the {row['freed']} freed, {there:.2f} are there on average, and those are priced."


def _nodes(count: int) -> str:
    return f"{count} node" if count == 1 else f"{count} nodes"


def split_bankable(packing: pd.DataFrame, recommendations: pd.DataFrame, facts: pd.DataFrame, *, number: str = "bankable") -> pd.Series:
    """Each row's part of the money of its pools' freed nodes [currency / month]: ``number`` is bankable or if_shrunk.

    A pool's money, less that of nodes that could go before any change, is parted between cpu and memory by what had to fall of each, and
    within a resource by what each row frees; a row gets no more than its paper, so that the sum is at most the pools'. Rows that free
    nothing get 0; NaN where no node of a row's pools is known, and where nothing is recommended.
    """
    money = {row.pool: _of_changes(row, number) for row in packing.itertuples()}
    parts = {row.pool: {"cpu": row.cpu_part, "memory": 1 - row.cpu_part} for row in packing.itertuples()}
    pools = {tuple(getattr(row, name) for name in GROUP): row.pools for row in facts.itertuples()}
    shares: list[dict[str, float]] = []
    known = []
    for row in recommendations.itertuples():
        found = {str(pool): float(pods) for pool, pods in pools.get(tuple(getattr(row, name) for name in GROUP), ()) if pool in money}
        every = sum(found.values())
        freed = _freed_by(row) if every else 0.0
        shares.append({pool: freed * pods / every for pool, pods in found.items()} if freed > 0 else {})
        known.append(bool(found) and row.change != "undetermined")
    totals: dict[tuple[str, str], float] = {}
    for resource, share in zip(recommendations["resource"], shares, strict=True):
        for pool, value in share.items():
            totals[pool, resource] = totals.get((pool, resource), 0.0) + value
    amounts = [
        math.fsum(money[p] * parts[p][resource] * value / totals[p, resource] for p, value in share.items() if money[p] != 0)
        for resource, share in zip(recommendations["resource"], shares, strict=True)
    ]
    paper = recommendations["paper"].to_numpy(float)
    capped = np.where(np.isnan(paper), amounts, np.minimum(amounts, np.maximum(paper, 0.0)))
    return pd.Series(np.where(known, capped, np.nan), index=recommendations.index, dtype="float64")


def _of_changes(row: Any, number: str) -> float:
    """The part of a pool's money that the changes bring [currency / month]."""
    return float(getattr(row, number)) * (row.freed - row.free_today) / row.freed if row.freed else 0.0


def _freed_by(row: Any) -> float:
    """What a row frees over its running replicas [cores | bytes], 0 where it frees nothing."""
    if row.change != "decrease" or row.decided or row.role == "init" or math.isnan(row.guarded_request):
        return 0.0
    today = row.current_limit if math.isnan(row.current_request) else row.current_request
    share = next((float(reason.data.get("share", 1.0)) for reason in row.reasons if reason.code == Code.INIT_DOMINATES), 1.0)
    freed = (today - row.guarded_request) * row.replicas * share
    return max(0.0, freed) if math.isfinite(freed) else 0.0
