"""Costs of a window by namespace, workload, node pool or place, with efficiency in OpenCost's words; every ratio is a ratio of sums."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from aiops_analysis.analysis.costs import PLACE
from aiops_analysis.core.errors import UsageError
from aiops_analysis.core.schema import RESOURCES
from aiops_analysis.core.schema_money import COSTS

__all__ = ["by_namespace", "by_pool", "by_workload", "group_costs"]

_AMOUNTS = tuple(name for name, kind in COSTS.columns.items() if kind == "float64")
_LABELS = ("day", "namespace", "workload_kind", "workload")
_POOL = {"pool": "str", "price_basis": "str"} | dict.fromkeys(
    ("nodes", "node_hours", "cost", "workload_cost", "cpu_idle_cost", "memory_idle_cost", "idle_cost", "idle_share"), "float64"
)


def group_costs(costs: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """COSTS or ALLOCATION of a window summed by some of their columns, the costliest first.

    by : day, namespace, workload_kind, workload, pool; of an ALLOCATION also zone, instance_type, capacity_type. The history holds no
    labels of pods, so a team is its namespaces. Columns: ``by``, the amounts of COSTS, ``carried`` (cost and shared cost of what is not
    shared itself), ``share`` of the whole workload cost, ``cpu_efficiency`` and ``memory_efficiency`` (usage / request where usage was
    measured; 1 where nothing is asked for and something used; NaN where neither was), ``efficiency`` (both, weighted by their cost).
    Raises UsageError for another column.
    """
    there = [name for name in (*_LABELS, *PLACE) if name in costs.columns]
    wrong = [name for name in by if name not in there]
    if wrong or not by:
        text = f"costs are kept by {', '.join(there)}, got {', '.join(wrong) or 'nothing'}"
        raise UsageError(f"{text}; labels of pods are not in the history")
    work = costs.assign(carried=costs["cost"].where(~costs["shared"]) + costs["shared_cost"].where(~costs["shared"]))
    for r in RESOURCES:
        seen = costs[f"{r}_usage_hours"].notna()
        asked = costs.get(f"{r}_asked_hours", costs[f"{r}_request_hours"])
        work[f"_{r}"] = asked.where(seen)
    names = [*_AMOUNTS, "carried", *(f"_{r}" for r in RESOURCES)]
    out = work.groupby(list(by), sort=True)[names].sum(min_count=1).reset_index()
    whole = float(costs["cost"].sum(min_count=1))
    out = out.assign(carried=out["carried"].fillna(0.0), share=out["cost"] / whole if whole > 0 else np.nan)
    for r in RESOURCES:
        asked, used = out[f"_{r}"], out[f"{r}_usage_hours"]
        out[f"{r}_efficiency"] = (used / asked.where(asked > 0)).mask((asked == 0) & (used > 0), 1.0)
    weight = pd.concat([out[f"{r}_cost"].where(out[f"{r}_efficiency"].notna()) for r in RESOURCES], axis=1)
    rated = pd.concat([out[f"{r}_cost"] * out[f"{r}_efficiency"] for r in RESOURCES], axis=1)
    cost = weight.sum(axis=1, min_count=1)
    out = out.assign(efficiency=rated.sum(axis=1, min_count=1) / cost.where(cost > 0)).drop(columns=[f"_{r}" for r in RESOURCES])
    return out.sort_values(["cost", *by], ascending=[False, *(True for _ in by)], kind="stable", ignore_index=True)


def by_namespace(costs: pd.DataFrame) -> pd.DataFrame:
    """What each namespace costs in the window; see ``group_costs``."""
    return group_costs(costs, ["namespace"])


def by_workload(costs: pd.DataFrame) -> pd.DataFrame:
    """What each workload costs in the window; see ``group_costs``."""
    return group_costs(costs, ["namespace", "workload_kind", "workload"])


def by_pool(nodes: pd.DataFrame) -> pd.DataFrame:
    """NODE_COSTS of a window by pool, the costliest first: ``nodes`` is their mean number over the days of the frame.

    idle_share = idle cost / what the nodes cost. A day of unknown cost makes the pool's unknown.
    """
    if not len(nodes):
        return pd.DataFrame({name: pd.Series([], dtype=kind) for name, kind in _POOL.items()})
    hours = 24.0 * nodes["day"].nunique()
    amounts = ["node_hours", "cost", "workload_cost", "cpu_idle_cost", "memory_idle_cost", "idle_cost"]
    grouped = nodes.groupby("pool", sort=True)
    out = pd.DataFrame({name: grouped[name].sum().where(grouped[name].count() == grouped.size()) for name in amounts})
    out["price_basis"] = grouped["price_basis"].agg(_named_once)
    out = out.assign(nodes=out["node_hours"] / hours, idle_share=out["idle_cost"] / out["cost"].where(out["cost"] > 0)).reset_index()
    return out[list(_POOL)].astype(_POOL).sort_values(["cost", "pool"], ascending=[False, True], kind="stable", ignore_index=True)


def _named_once(texts: pd.Series) -> str:
    return ", ".join(sorted({one for text in texts for one in text.split(", ") if one}))
