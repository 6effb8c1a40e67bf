"""Paper savings: requests times price, never mixed with what a bill shows (methods.md B1, B3)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from aiops_analysis.analysis.allocation import init_floor
from aiops_analysis.analysis.priority import priorities
from aiops_analysis.core.errors import UsageError
from aiops_analysis.core.pricing import HOURS_PER_MONTH, OPENCOST
from aiops_analysis.core.reasons import Code, Reason
from aiops_analysis.core.schema import GROUP, RECOMMENDATIONS, check
from aiops_analysis.core.units import GIB

__all__ = ["DEFAULT_PRICES", "HOURS_PER_MONTH", "PriceBook", "paper", "split_node_price"]


@dataclass(frozen=True, slots=True)
class PriceBook:
    """Unit prices with where they are from; ``source`` is printed beside every figure made with them."""

    name: str
    source: str
    currency: str
    cpu_hour: float  # [currency per core and hour]
    memory_hour: float  # [currency per GiB and hour]

    def unit_price(self, resource: str) -> float:
        """Price of a core or a GiB [currency / month of 730 h]; NaN when it is missing, zero or negative, which no resource costs."""
        hourly = self.cpu_hour if resource == "cpu" else self.memory_hour
        return hourly * HOURS_PER_MONTH if math.isfinite(hourly) and hourly > 0 else math.nan


#: OpenCost's configs/default.json, which is based on Google Cloud's us-central1.
DEFAULT_PRICES = PriceBook(OPENCOST.name, OPENCOST.source, OPENCOST.currency, OPENCOST.cpu_hour, OPENCOST.memory_hour)


def split_node_price(price_hour: float, cpu: float, gib: float, prices: PriceBook = DEFAULT_PRICES) -> tuple[float, float]:
    """Hourly price of a core and of a GiB of a node that costs ``price_hour``, in the ratio of ``prices`` (OpenCost's GetNodeCost).

    cpu [cores], gib [GiB] : the node's capacity, not what is allocatable. Raises UsageError unless all three are above 0.
    """
    if not (price_hour > 0 and cpu > 0 and gib > 0):
        raise UsageError(f"a node price needs a price, cores and GiB above 0, got {price_hour}, {cpu} and {gib}")
    ratio = prices.cpu_hour / prices.memory_hour if prices.cpu_hour > 0 and prices.memory_hour > 0 else 10.0  # OpenCost's own fallback
    memory = price_hour / (cpu * ratio + gib)
    return ratio * memory, memory


def paper(recommendations: pd.DataFrame, prices: PriceBook, unit: pd.Series | None = None) -> pd.DataFrame:
    """RECOMMENDATIONS with money: ``unit_price``, ``request_cost``, ``paper``, ``paper_rule`` and ``priority`` filled.

    paper = (request today - guarded request) x mean running replicas x unit price; negative when more is needed, 0 for keep, NaN for a
    refused row, and for an init container, which asks only while nothing else of its pod runs; where that asks for more than the rest of
    the pod, a lower request saves only down to it (methods.md A9).
    unit : hourly price of a row's core or GiB by namespace, workload_kind, workload, container and resource, where it is known better
    than by the book; a NaN in it is a row without a price. Today's request is the limit where only that is set (as Kubernetes
    does) and 0 where nothing is. Without a usable price the money is NaN, never 0, and the row says ``no_price``. Raises SchemaError.
    """
    frame = check(recommendations, RECOMMENDATIONS)
    frame, shares = _beside_init(frame)
    price = _prices_of(frame, prices, unit)
    amount = frame["resource"].map({"cpu": 1.0, "memory": 1 / GIB}).astype("float64") * frame["replicas"]
    today = frame["current_request"].fillna(frame["current_limit"]).fillna(0.0)
    unpriced = price.isna()
    reasons = [
        [*found, _no_price(resource, prices)] if missing else list(found)
        for found, resource, missing in zip(frame["reasons"], frame["resource"], unpriced, strict=True)
    ]
    priced = frame.assign(
        unit_price=price,
        request_cost=(today * amount * price).where(frame["role"] != "init"),
        paper=(today - frame["guarded_request"]) * amount * price * shares,
        paper_rule=(today - frame["rule_request"]) * amount * price * shares,
        reasons=pd.Series(reasons, index=frame.index, dtype="object"),
    )
    return check(priced.assign(priority=priorities(priced)), RECOMMENDATIONS)


def _prices_of(frame: pd.DataFrame, prices: PriceBook, unit: pd.Series | None) -> pd.Series:
    """Price of a core or a GiB of each row [currency / month]."""
    price = frame["resource"].map({name: prices.unit_price(name) for name in ("cpu", "memory")}).astype("float64")
    if unit is None or not len(frame):
        return price
    keys = pd.MultiIndex.from_frame(frame[[*GROUP, "resource"]])
    own = pd.Series(unit.reindex(keys).to_numpy(float) * HOURS_PER_MONTH, index=frame.index)
    return own.where(own > 0).where(keys.isin(unit.index), price)


def _beside_init(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """The share of each row's change that changes its pod's effective request, and the rows with the reason where that is not all."""
    shares = pd.Series(1.0, index=frame.index)
    if not (frame["role"] == "init").any():
        return frame, shares
    by = ["namespace", "workload_kind", "workload", "resource"]
    today = frame["current_request"].fillna(frame["current_limit"]).fillna(0.0)
    sums = frame.assign(today=today, then=frame["guarded_request"].fillna(today))
    floor = init_floor(sums, by, ["today"])["today"]
    running = sums[sums["role"] != "init"].groupby(by)[["today", "then"]].sum().reindex(floor.index).fillna(0.0)
    effective = running["today"].clip(lower=floor) - running["then"].clip(lower=floor)
    change = running["today"] - running["then"]
    # what the init container covers today and then changes nothing of the pod's request, also where the parts cancel out
    covered = (running["today"] <= floor) & (running["then"] <= floor)
    share = (effective / change.where(change != 0)).fillna(1.0).mask(covered, 0.0)
    keys = pd.MultiIndex.from_frame(frame[by])
    found = share.reindex(keys).fillna(1.0).to_numpy()
    changes = frame["change"].isin(["increase", "decrease"]).to_numpy()
    reasons = [
        [*said, _dominated(part)] if part < 1 and moved else said
        for said, part, moved in zip(frame["reasons"], found.tolist(), changes.tolist(), strict=True)
    ]
    return frame.assign(reasons=pd.Series(reasons, index=frame.index, dtype="object")), pd.Series(found, index=frame.index)


def _dominated(share: float) -> Reason:
    message = f"An init container asks for more: only {share:.0%} of this change lowers what the pod asks for."
    return Reason(Code.INIT_DOMINATES, message, {"share": share})


def _no_price(resource: str, prices: PriceBook) -> Reason:
    given = prices.cpu_hour if resource == "cpu" else prices.memory_hour
    message = f"{prices.source} has no usable {resource} price ({given:g} an hour): no money is shown."
    if math.isfinite(prices.unit_price(resource)):
        message = "Nothing prices the nodes it runs on: no money is shown."
    return Reason(Code.NO_PRICE, message, {"price_hour": given, "source": prices.source})
