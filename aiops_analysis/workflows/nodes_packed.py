"""Node packing of a review: what can be banked, the next nodes, what is in their way, and what a reader must know first (methods.md B4)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

import pandas as pd

from aiops_analysis.analysis.bankable import packing_frame, split_bankable
from aiops_analysis.analysis.blockers import blockers
from aiops_analysis.analysis.fleet import changes_of, sizes_of
from aiops_analysis.analysis.next_node import next_nodes
from aiops_analysis.analysis.node_autoscaler import autoscalers
from aiops_analysis.analysis.pool_need import Need, Terms
from aiops_analysis.analysis.pools import Pool, may_move, pools_of
from aiops_analysis.core.pricing import HOURS_PER_MONTH
from aiops_analysis.core.schema import check, empty
from aiops_analysis.core.schema_money import BLOCKERS, MIXES, NEXT_NODES, NODE_PRICES, PACKING
from aiops_analysis.core.window import Window
from aiops_analysis.history.store import Store
from aiops_analysis.workflows.mixes import mixes_of
from aiops_analysis.workflows.pods import Crew, crew_of

__all__ = ["Packed", "packed"]

_MOST_NAMED = 5


@dataclass(frozen=True)
class Packed:
    """Frames of core.schema_money; ``bankable`` and ``if_shrunk`` are each recommendation's part [currency / month], NaN unknown."""

    packing: pd.DataFrame
    next_nodes: pd.DataFrame
    blockers: pd.DataFrame
    mixes: pd.DataFrame
    findings: tuple[Mapping[str, object], ...]
    bankable: pd.Series
    if_shrunk: pd.Series


def packed(
    store: Store,
    window: Window,
    recommendations: pd.DataFrame,
    facts: pd.DataFrame,
    inventory: pd.DataFrame,
    node_prices: pd.DataFrame,
    *,
    autoscaler: str = "",
    minimum: Mapping[str, int] | None = None,
    commitments: Mapping[str, tuple[int, date | None]] | None = None,
) -> Packed:
    """Today's pods and those after the recommendations, packed into the node pools of the window's last day.

    ``autoscaler``: overrides what is found (node_autoscaler.AUTOSCALERS); ``minimum``: smallest size by pool; ``commitments``: nodes by
    pool that are paid for until a date, used or not. Without nodes everything is empty and the rows' money NaN, never 0.
    Raises StoreCorrupt and UsageError.
    """
    crew = crew_of(store, window, inventory)
    if crew is None or not crew.fleet.nodes:
        message = "nothing is known about nodes and what runs on them: what can be banked is not computed, paper is all there is"
        unknown = pd.Series(math.nan, index=recommendations.index, dtype="float64")
        finding: Mapping[str, object] = {"code": "no_nodes_known", "message": message, "data": {}}
        return Packed(empty(PACKING), empty(NEXT_NODES), empty(BLOCKERS), empty(MIXES), (finding,), unknown, unknown)
    prices = check(node_prices, NODE_PRICES)
    held = {pool: (count, until) for pool, (count, until) in (commitments or {}).items() if until is None or until >= window.end.date()}
    pools = pools_of(crew.fleet, _hourly(prices))
    programs = autoscalers(((name, pool.nodes) for name, pool in pools.items()), crew.inventory, autoscaler)
    today, after = sizes_of(crew.fleet, {}), sizes_of(crew.fleet, changes_of(recommendations))
    needs = {
        name: Need(pool, today, _terms(pool, crew, prices, programs[name], (minimum or {}).get(name, 0), held.get(name)))
        for name, pool in pools.items()
    }
    packing = packing_frame(needs, after, elsewhere=may_move(pools, crew.fleet))
    return Packed(
        packing,
        next_nodes(needs, crew.fleet, recommendations),
        blockers(needs, after),
        mixes_of(needs, after, crew.nodes, prices),
        tuple(_findings(crew, pools, packing, {*(minimum or {}), *held})),
        split_bankable(packing, recommendations, facts),
        split_bankable(packing, recommendations, facts, number="if_shrunk"),
    )


def _hourly(prices: pd.DataFrame) -> dict[str, float]:
    good = prices[prices["price_hour"] > 0]
    return dict(zip(good["node"], good["price_hour"].astype(float), strict=True))


def _terms(
    pool: Pool, crew: Crew, prices: pd.DataFrame, autoscaler: str, minimum: int, commitment: tuple[int, date | None] | None
) -> Terms:
    """What a pool is held to. Where its nodes have several prices the lowest counts: nobody can say which ones will go."""
    mine = prices[prices["node"].isin({node.name for node in pool.nodes}) & (prices["price_hour"] > 0)]
    count, until = commitment or (0, None)
    return Terms(
        autoscaler=autoscaler,
        minimum=max(0, minimum),
        committed=max(0, count),
        until="an unknown date" if commitment and until is None else until.isoformat() if until else "",
        node_month=float(mine["price_hour"].min()) * HOURS_PER_MONTH if len(mine) else math.nan,
        price_source=", ".join(sorted(set(mine["source"]))),
        day=crew.counts.get(pool.name, ()),
    )


def _findings(crew: Crew, pools: Mapping[str, Pool], packing: pd.DataFrame, named: set[str]) -> Iterator[Mapping[str, object]]:
    fleet = crew.fleet
    counts = {"pods_pending": fleet.pending, "pods_homeless": fleet.homeless, "nodes_unsized": len(fleet.unsized)}
    words = {
        "pods_pending": "of the pods of {day} had no node at the busiest instant: counted, not packed",
        "pods_homeless": "of the pods of {day} ran on nodes that the history does not know: counted, not packed",
        "nodes_unsized": "of the nodes have no known size and are left out",
    }
    for code, count in counts.items():
        if count:
            message = f"{count} {words[code].format(day=crew.day.isoformat())}"
            yield {"code": code, "message": message, "data": {"count": count}}
    blind = {name: pool.unknown_share for name, pool in pools.items() if pool.unknown}
    if blind:
        message = "the rules that bind pods to nodes are not all known for " + _listed(sorted(blind))
        message += ": what the packing frees is graded down; aiops-analysis collect asks the Kubernetes API for them"
        yield {"code": "scheduling_unknown", "message": message, "data": {"pools": blind}}
    unknown = sorted(packing.loc[packing["autoscaler"] == "unknown", "pool"])
    if unknown:
        message = f"whether anything takes empty nodes away is not known for {_listed(unknown)}: bankable is 0 there; "
        message += "set nodes.autoscaler in aiops.toml where it is known"
        yield {"code": "autoscaler_unknown", "message": message, "data": {"pools": unknown}}
    strange = sorted(named - set(pools))
    if strange:
        message = f"a minimum or a commitment names a pool that has no nodes: {_listed(strange)}; the pools are {_listed(sorted(pools))}"
        yield {"code": "pool_without_nodes", "message": message, "data": {"pools": strange}}


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_MOST_NAMED]) + (f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else "")
