"""Whether other machines of the cluster would be cheaper for a pool's pods: the instance mix of each pool (methods.md B5)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from aiops_analysis.analysis.fleet import Size
from aiops_analysis.analysis.instance_mix import Mix, cheapest_mix
from aiops_analysis.analysis.node_prices import newest_nodes
from aiops_analysis.analysis.pool_need import Need
from aiops_analysis.analysis.pools import own_size
from aiops_analysis.core.pricing import HOURS_PER_MONTH
from aiops_analysis.core.schema import check, empty
from aiops_analysis.core.schema_money import MIXES

__all__ = ["mixes_of"]

#: Pods of a pool above which its mix is not looked for: each try packs all of them.
MOST_PODS = 3000


def mixes_of(needs: Mapping[str, Need], after: Sequence[Size], nodes: pd.DataFrame, prices: pd.DataFrame) -> pd.DataFrame:
    """MIXES: the cheapest mix for each pool's pods of the sizes ``after``, of the machine types that the cluster has in its capacity type.

    nodes : NODES of the day, for types and what they leave to pods; prices : NODE_PRICES. Other types are no candidates, because nobody
    knows what they would leave to pods.
    """
    newest = newest_nodes(nodes).merge(prices, on="node", suffixes=("", "_"))
    rows = [_row(name, need, after, newest) for name, need in sorted(needs.items()) if need.pool.pods]
    return check(pd.DataFrame(rows), MIXES) if rows else empty(MIXES)


def _row(name: str, need: Need, after: Sequence[Size], nodes: pd.DataFrame) -> dict[str, object]:
    kinds = set(nodes.loc[nodes["pool"] == name, "capacity_type"])
    types = pd.DataFrame(_types(nodes[nodes["capacity_type"].isin(kinds)]), columns=["type", "cpu", "memory", "pods", "price"])
    shapes = need.pool.shapes(after)
    if sum(shape.count for shape in shapes) > MOST_PODS:
        found = Mix(why=f"more than {MOST_PODS:,} pods: not looked for")
    else:
        taken = [own_size(node, after) for node in need.pool.nodes]
        daemons = (max(t[0] for t in taken), max(t[1] for t in taken), max(t[2] for t in taken)) if taken else (0, 0, 0)
        found = cheapest_mix(shapes, types, daemons=daemons, zones=need.pool.zones)
    same = need.count(need.packed(after))
    now = sorted({node.instance_type for node in need.pool.nodes})
    return {
        "pool": name,
        "types_now": ", ".join(now),
        "same_nodes": same,
        "same_month": same * need.terms.node_month,
        "mix": ", ".join(f"{count} x {kind}" for kind, count in sorted(found.nodes.items())),
        "mix_month": _month(found.price_hour),
        "bound_month": _month(found.bound_hour),
        "candidates": len(types),
        "why": found.why,
    }


def _month(hourly: float) -> float:
    return hourly * HOURS_PER_MONTH if math.isfinite(hourly) else math.nan


def _types(nodes: pd.DataFrame) -> Iterator[tuple[str, int, int, int, float]]:
    """Each type with the least that one of its nodes leaves to pods, and its highest price: nobody is promised more."""
    known = nodes[nodes["instance_type"] != ""].dropna(subset=["cpu_allocatable", "memory_allocatable", "pods_allocatable", "price_hour"])
    for kind, part in known.groupby("instance_type", sort=True):
        cpu, memory, pods = (part[f"{what}_allocatable"].min() for what in ("cpu", "memory", "pods"))
        yield str(kind), int(cpu * 1000), int(memory), int(pods), float(part["price_hour"].max())
