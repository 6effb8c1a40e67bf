"""Why a period cost what it did beside the one before: the difference cause by cause, with the workloads that made it.

The causes are taken in this order, each at what the ones before it left (a Laspeyres step for the price, the rest at new prices):

1. price: the old request and usage of workloads in both periods at the new price of a core and a GiB, a move to other nodes included; and
   the old idle cost of a pool at its new prices.
2. new and gone workloads: their whole cost, at the prices they had.
3. replicas: the change of pod hours x the old mean request of a pod.
4. requests: what is left of the change of request hours: another request of a pod.
5. usage above requests: the change of what was used beyond the requests.
6. idle: the change of idle cost that the price does not explain.

The parts add up to the difference of workload cost + idle cost.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from aiops_analysis.core.names import visible
from aiops_analysis.core.schema import RESOURCES, check
from aiops_analysis.core.schema_money import BRIDGE

__all__ = ["CAUSES", "bridge", "total_cost"]

#: The rows of BRIDGE in their order; the first and the last are totals.
CAUSES = (
    "before",
    "price",
    "new workloads",
    "gone workloads",
    "replicas",
    "requests",
    "usage above requests",
    "idle",
    "after",
)

_WORKLOAD = ["namespace", "workload_kind", "workload"]
_MOST_NAMED = 3
_CENT = 0.005


def total_cost(costs: pd.DataFrame, nodes: pd.DataFrame) -> float:
    """Workload cost of COSTS + idle cost of NODE_COSTS; NaN when nothing of it is priced."""
    parts = [float(costs["cost"].sum(min_count=1)), float(nodes["idle_cost"].sum(min_count=1))]
    return float(np.nansum(parts)) if np.isfinite(parts).any() else float("nan")


def bridge(costs_before: pd.DataFrame, nodes_before: pd.DataFrame, costs_after: pd.DataFrame, nodes_after: pd.DataFrame) -> pd.DataFrame:
    """BRIDGE between the COSTS and NODE_COSTS of two periods of equal length; amounts are of the period, not of a month.

    Cost that is not known counts as nothing on either side, so ask for it with ``total_cost`` first.
    """
    parts = _of_workloads(_hours(costs_before, _WORKLOAD), _hours(costs_after, _WORKLOAD))
    moved, idle = _of_pools(costs_before, nodes_before, costs_after, nodes_after)
    parts["price"] = pd.concat([parts["price"], moved])
    parts["idle"] = idle
    amounts = {cause: float(part.sum()) for cause, part in parts.items()}
    amounts["before"] = float(np.nan_to_num(total_cost(costs_before, nodes_before)))
    amounts["after"] = float(np.nan_to_num(total_cost(costs_after, nodes_after)))
    rows = [{"cause": cause, "amount": amounts[cause], "detail": _largest(parts[cause]) if cause in parts else ""} for cause in CAUSES]
    return check(pd.DataFrame(rows), BRIDGE)


def _hours(costs: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Pod hours; request and allocated hours and cost of both resources, by workload or pool; what is not known is 0."""
    names = [f"{r}_{what}" for r in RESOURCES for what in ("request_hours", "allocated_hours", "cost")]
    return costs.groupby(by)[["pod_hours", *names]].sum()


def _of_workloads(old: pd.DataFrame, new: pd.DataFrame) -> dict[str, pd.Series]:
    """What each workload adds to each cause but idle."""
    keys = old.index.union(new.index)
    stays = keys.isin(old.index) & keys.isin(new.index)
    before, after = old.reindex(keys, fill_value=0.0), new.reindex(keys, fill_value=0.0)
    zero = pd.Series(0.0, index=keys)
    parts = dict.fromkeys(("price", "replicas", "requests", "usage above requests"), zero)
    whole = {name: frame[[f"{r}_cost" for r in RESOURCES]].sum(axis=1) for name, frame in (("before", before), ("after", after))}
    for r in RESOURCES:
        price = _price(after, r).fillna(_price(before, r)).fillna(0.0)
        pods, ask = after["pod_hours"] - before["pod_hours"], before[f"{r}_request_hours"]
        replicas = price * pods * (ask / before["pod_hours"].where(before["pod_hours"] > 0)).fillna(0.0)
        requested = price * (after[f"{r}_request_hours"] - ask)
        allocated = price * (after[f"{r}_allocated_hours"] - before[f"{r}_allocated_hours"])
        steps = {
            "price": price * before[f"{r}_allocated_hours"] - before[f"{r}_cost"],
            "replicas": replicas,
            "requests": requested - replicas,
            "usage above requests": allocated - requested,
        }
        parts = {cause: parts[cause] + step.where(stays, 0.0) for cause, step in steps.items()}
    parts["new workloads"] = whole["after"].where(~keys.isin(old.index), 0.0)
    parts["gone workloads"] = -whole["before"].where(~keys.isin(new.index), 0.0)
    names = [f"{namespace}/{workload}" for namespace, _, workload in keys]
    return {cause: part.set_axis(names) for cause, part in parts.items()}


def _price(hours: pd.DataFrame, resource: str) -> pd.Series:
    """Mean price of a core hour or GiB hour, NaN where there is none."""
    allocated = hours[f"{resource}_allocated_hours"]
    return hours[f"{resource}_cost"] / allocated.where(allocated > 0)


def _of_pools(
    costs_before: pd.DataFrame, nodes_before: pd.DataFrame, costs_after: pd.DataFrame, nodes_after: pd.DataFrame
) -> tuple[pd.Series, pd.Series]:
    """What the idle cost of each pool adds to price and to idle."""
    names = ["idle_cost", *(f"{r}_idle_cost" for r in RESOURCES)]
    old, new = (nodes.groupby("pool")[names].sum() for nodes in (nodes_before, nodes_after))
    keys = old.index.union(new.index)
    before, after = old.reindex(keys, fill_value=0.0), new.reindex(keys, fill_value=0.0)
    moved = pd.Series(0.0, index=keys)
    was, now = _hours(costs_before, ["pool"]).reindex(keys), _hours(costs_after, ["pool"]).reindex(keys)
    for r in RESOURCES:
        ratio = _price(now, r) / _price(was, r)
        moved += before[f"{r}_idle_cost"] * (ratio.where(np.isfinite(ratio)).fillna(1.0) - 1.0)
    labels = [f"idle nodes of {pool or 'an unknown pool'}" for pool in keys]
    rest = after["idle_cost"] - before["idle_cost"] - moved
    return moved.set_axis(labels), rest.set_axis(labels)


def _largest(part: pd.Series) -> str:
    """The largest contributions by name, in the order of their size."""
    order: np.ndarray = np.lexsort((part.index.to_numpy(str), -part.abs().to_numpy()))[:_MOST_NAMED] if len(part) else np.empty(0, int)
    return ", ".join(f"{visible(str(part.index[n]), 120)} {part.iloc[n]:+,.2f}" for n in order if abs(part.iloc[n]) >= _CENT)
