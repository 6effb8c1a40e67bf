"""What an hour of each node really cost, from the charges of a billing export (methods.md B6).

A charge belongs to the hours that its machine lived in its period. A machine of several nodes (a scale set) shares each charge by
the hours of its nodes. What a period has outside the history is left to the time before or after, where the node lived on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aiops_analysis.analysis.provider_ids import Machines
from aiops_analysis.core.errors import UsageError
from aiops_analysis.core.schema import check, empty
from aiops_analysis.core.schema_money import BILLED
from aiops_analysis.core.spans import inside, merged
from aiops_analysis.core.window import STEP, Window

__all__ = ["ENOUGH", "Basis", "Matched", "basis_of", "billed_nodes"]

#: Share of the node hours that must match, below which the price sheet is used instead.
ENOUGH = 0.9
_LEAST_EFFECTIVE = 0.5  # EffectiveCost below this share of BilledCost is no amortised cost
_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Basis:
    """The one cost that figures are made of; ``why`` says why it is not EffectiveCost, or why that is doubtful, else ""."""

    name: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Matched:
    """BILLED and what it stands on. Node hours: of the nodes' lives in the window, as far as the history knows them."""

    frame: pd.DataFrame
    node_hours: float
    covered_hours: float  # of which the export covers
    matched_hours: float  # of which nodes with a billed price
    cost: float  # [currency] of those
    free: tuple[str, ...]  # nodes that are billed at zero or less: no price can be made of it

    @property
    def rate(self) -> float:
        """Matched share of the covered node hours; NaN where none is covered."""
        return self.matched_hours / self.covered_hours if self.covered_hours > 0 else float("nan")


def basis_of(charges: pd.DataFrame, purchases: int = 0, charged: int = 0, charged_without: int = 0) -> Basis:
    """EffectiveCost, or BilledCost where the export's EffectiveCost means nothing; one for all rows.

    charges : EffectiveCost and BilledCost of the matched rows. purchases : rows that buy commitments, which BilledCost would miss on
    the nodes. charged, charged_without : rows of the whole export that are billed, and those of them without EffectiveCost.
    It means nothing where its sum is below half of BilledCost, or where most billed rows have none: with rounded amounts the sum
    alone may look right. Raises UsageError where rows lack both.
    """
    effective, billed = charges["EffectiveCost"], charges["BilledCost"]
    if effective.isna().any():
        if billed.isna().any():
            raise UsageError("the export has charges of this cluster's nodes without EffectiveCost and without BilledCost; export it again")
        return Basis("BilledCost", f"{int(effective.isna().sum())} of {len(charges)} charges have no EffectiveCost")
    with_cost = billed > 0
    without = int((with_cost & (effective == 0)).sum())
    said = ""
    if effective.sum() < _LEAST_EFFECTIVE * billed.sum():
        said = f"EffectiveCost adds up to {effective.sum():,.2f} where BilledCost is {billed.sum():,.2f}"
    elif without > _LEAST_EFFECTIVE * with_cost.sum():
        said = f"{without} of {int(with_cost.sum())} billed charges have an EffectiveCost of 0"
    elif charged_without > _LEAST_EFFECTIVE * charged:
        said = f"{charged_without} of {charged} billed rows of the export have an EffectiveCost of 0"
    if said and purchases:
        said += ", but commitments are bought in this export, which BilledCost does not put on the nodes"
    elif said and billed.isna().any():
        said += ", but BilledCost is not always there"
    elif said:
        return Basis("BilledCost", said)
    return Basis("EffectiveCost", said)


def billed_nodes(
    charges: pd.DataFrame,
    machines: Machines,
    nodes: pd.DataFrame,
    window: Window,
    covered: tuple[np.ndarray, np.ndarray],
    resource_ids: Mapping[int, str] | None = None,
) -> Matched:
    """BILLED for the nodes whose machines are charged, and how much of the node hours that is.

    charges : key, start, end [Unix s], cost. covered : disjoint spans that the export knows of, ascending [Unix s].
    hours = life in the window that its machine's charge periods cover; cost = the charges' shares that fall into it.
    """
    lives = _lives(nodes, machines, window)
    if lives.empty:
        return Matched(empty(BILLED), 0.0, 0.0, 0.0, 0.0, ())
    charged = set(charges["key"].unique().tolist())
    lives["key"] = np.where(lives["key"].isin(list(charged)), lives["key"], lives["pool_key"])
    lives["hours"], lives["cost"] = 0.0, 0.0
    seen = float(lives["first"].min()), float(lives["last"].max())
    for key, rows in _by_key(charges):
        mine = np.flatnonzero(lives["key"].to_numpy() == key)
        if not len(mine):
            continue
        # a scale set or a pool: one sum per period, however many charges it is made of
        chosen = rows.groupby(["start", "end"], as_index=False, sort=True)["cost"].sum() if len(mine) > 1 else rows
        start, end, cost = (chosen[name].to_numpy(float) for name in ("start", "end", "cost"))
        first, last = lives["first"].to_numpy(float)[mine], lives["last"].to_numpy(float)[mine]
        lives.iloc[mine, lives.columns.get_loc("cost")] = (_shares(first, last, start, end, seen) * cost).sum(axis=1)
        lives.iloc[mine, lives.columns.get_loc("hours")] = inside(first, last, merged(start, end)) / _HOUR
    first, last = lives["first"].to_numpy(), lives["last"].to_numpy()
    frame, free = _frame(lives, machines, resource_ids or {})
    return Matched(
        frame,
        float((last - first).sum() / _HOUR),
        float(inside(first, last, covered).sum() / _HOUR),
        float(frame["hours"].sum()),
        float(frame["cost"].sum()),
        free,
    )


def _lives(nodes: pd.DataFrame, machines: Machines, window: Window) -> pd.DataFrame:
    """One row per machine of a node: from first to last sight in the window [Unix s].

    Between two sights it was there: a hole in the history is no hole in the bill. Runs without a providerID belong to the node's machine.
    """
    runs = pd.DataFrame({"node": nodes["node"], "provider_id": nodes["provider_id"]})
    for name, column in (("first", "first_seen"), ("last", "last_seen")):
        seconds = nodes[column].astype("datetime64[s, UTC]").astype("int64")
        runs[name] = seconds.clip(window.start.timestamp(), window.end.timestamp()).astype("float64")
    ids = machines.nodes.groupby("node")["provider_id"].agg(list).to_dict()
    alone = runs["provider_id"].eq("") & np.array([len(ids.get(node, ())) == 1 for node in runs["node"]], bool)
    runs.loc[alone, "provider_id"] = runs.loc[alone, "node"].map(lambda node: ids[node][0])
    hull = runs.groupby(["node", "provider_id"], sort=True).agg(first=("first", "min"), last=("last", "max")).reset_index()
    lives = hull.merge(machines.nodes, on=["node", "provider_id"], how="inner")
    return lives[lives["last"] > lives["first"]].reset_index(drop=True)


def _by_key(charges: pd.DataFrame) -> Iterator[tuple[int, pd.DataFrame]]:
    """The charges of each machine, in the order in which they were read."""
    for key, rows in charges.groupby("key", sort=True):
        yield int(str(key)), rows


def _shares(first: np.ndarray, last: np.ndarray, start: np.ndarray, end: np.ndarray, seen: tuple[float, float]) -> np.ndarray:
    """The share of each charge (columns) that falls into the life of each node (rows) of one machine.

    The rest of a period belongs to other nodes of the machine, and to the time beyond the first and the last moment of the history for
    a node that was there at that moment.
    """
    low, high = np.maximum(first[:, None], start), np.minimum(last[:, None], end)
    inner = np.maximum(high - low, 0)
    before = np.maximum(np.minimum(end, first[:, None]) - start, 0) * (first[:, None] <= seen[0] + STEP)
    after = np.maximum(end - np.maximum(start, last[:, None]), 0) * (last[:, None] >= seen[1] - STEP)
    total = (inner + before + after).sum(axis=0)
    return np.asarray(np.divide(inner, total, out=np.zeros_like(inner), where=total > 0))


def _frame(lives: pd.DataFrame, machines: Machines, resource_ids: Mapping[int, str]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """BILLED of the nodes with a price, and the names of those that are billed at nothing."""
    billed = lives[lives["hours"] > 0].sort_values("hours", ascending=False, kind="stable")
    if billed.empty:
        return empty(BILLED), ()
    frame = billed.groupby("node", sort=True).agg(cost=("cost", "sum"), hours=("hours", "sum"), key=("key", "first")).reset_index()
    frame["price_hour"] = frame["cost"] / frame["hours"]
    frame["resource_id"] = [resource_ids.get(int(key), "") for key in frame["key"]]
    frame["matched_by"] = [machines.how[int(key)] for key in frame["key"]]
    free = frame["cost"] <= 0
    return check(frame[~free], BILLED), tuple(frame.loc[free, "node"].tolist())
