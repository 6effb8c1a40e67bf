"""Prices of a cluster in a window: nodes, pools and the whole, and how much of the node time each source covers (methods.md B1)."""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from aiops_analysis.analysis.node_prices import (
    commitments,
    core_differences,
    newest_nodes,
    node_hours,
    node_prices,
    pool_rates,
    priced_share,
)
from aiops_analysis.analysis.savings import PriceBook
from aiops_analysis.core.errors import UsageError
from aiops_analysis.core.names import visible
from aiops_analysis.core.pricing import OPENCOST, PriceList
from aiops_analysis.core.schema import GROUP, RESOURCES
from aiops_analysis.core.window import Window
from aiops_analysis.history.inventory import read_frame
from aiops_analysis.history.store import Store

__all__ = ["ENOUGH", "LOUD", "BilledNodes", "Priced", "ReadBilled", "priced", "unit_prices"]

#: Share of the node-hours below which a list that was given matches too few to speak for the cluster.
ENOUGH = 0.9
#: Codes of findings that a command says aloud: the money is not by the prices that were given.
LOUD = frozenset({"no_node_matches", "few_nodes_matched", "nodes_without_price"})
_NAMED = 5  # kinds of nodes that a finding names
#: A source that ends with the kind of machine that it prices.
_KIND = re.compile(r"(.*\(.*), ([^,()]+)\)")
_WORDS = {"billing": "the billing export", "sheet": "the price sheet", "list": "the price list", "default": "default prices"}


class BilledNodes(Protocol):
    """What a billing export says about the nodes (workflows/billing.py)."""

    @property
    def frame(self) -> pd.DataFrame:
        """BILLED, without rows where too few node-hours were matched to use it."""

    @property
    def match_rate(self) -> float:
        """Share of the node-hours that it matches, NaN for none."""

    @property
    def currency(self) -> str:
        """Its one currency, "" when it does not say."""

    @property
    def source(self) -> str:
        """What is printed beside figures made with it."""

    @property
    def findings(self) -> Any:
        """What must be known of it, in the review's shape."""


#: Reads a billing export: path, NODES, window, and the currency that it must be in (None: its own) and the cluster's name.
ReadBilled = Callable[..., BilledNodes]


@dataclass(frozen=True)
class Priced:
    """What everything costs in one currency, and where the prices are from."""

    nodes: pd.DataFrame  # NODE_PRICES
    rates: pd.DataFrame  # of each pool: cpu_hour, memory_hour, price_hour, source
    book: PriceBook  # unit prices of the whole cluster, for what ran nobody knows where
    shares: Mapping[str, float]  # basis -> share of the node-hours, "" without a price
    commitments: Mapping[str, tuple[int, date]]  # pool -> machines that are paid for anyway, and until when
    findings: tuple[Mapping[str, object], ...]
    notes: tuple[str, ...]

    @property
    def currency(self) -> str:
        """The one currency of the report."""
        return self.book.currency

    @property
    def figures(self) -> dict[str, float | str]:
        """Plain figures for evidence.json: the source, the currency, and the share of the node-hours that each basis prices."""
        shares = {f"priced_by_{name or 'nothing'}": self.shares.get(name, 0.0) for name in ("billing", "sheet", "list", "default", "")}
        return {"price_source": self.book.source, "price_currency": self.currency, **(shares if self.shares else {})}


def priced(
    store: Store,
    window: Window,
    prices: PriceList = OPENCOST,
    billing: Path | None = None,
    *,
    currency: str = "",
    read: ReadBilled | None = None,
) -> Priced:
    """The prices of a cluster in a window: billing before the list, the list before default prices, NaN where nothing has a price.

    currency : the one that the report must be in, "" for that of the prices. read : reads ``billing``; the package's own reader by
    default. Raises UsageError for a second currency.
    """
    only_default = prices is OPENCOST and billing is not None
    if currency and currency != prices.currency and not only_default:
        raise UsageError(f"{prices.source} is in {prices.currency}, the report in {currency}; a report has one currency: give prices in it")
    nodes = read_frame(store, "nodes", window.days())
    bill = None
    if billing is not None:
        wanted = currency or None if only_default else prices.currency
        bill = (read or _reader())(billing, nodes, window, currency=wanted, cluster=store.cluster)
        prices = _with_bill(prices, bill, billing, only_default)
    table = node_prices(nodes, prices) if bill is None else node_prices(nodes, prices, bill.frame, billed_source=bill.source)
    shares = priced_share(table, nodes)
    found = (
        *(bill.findings if bill is not None else ()),
        *({"code": "price_list", "message": text, "data": {"source": prices.source}} for text in prices.warnings),
        *_findings(nodes, table, prices, shares),
    )
    return Priced(
        nodes=table,
        rates=pool_rates(table, nodes),
        book=_book(table, nodes, prices),
        shares=shares,
        commitments=commitments(prices, nodes),
        findings=found,
        notes=tuple(_notes(table, nodes, prices, shares, bill)),
    )


def _reader() -> ReadBilled:
    """The package's own reader of billing exports, imported when a bill is given."""
    found: ReadBilled = importlib.import_module("aiops_analysis.workflows.billing").read_billed
    return found


def _with_bill(prices: PriceList, bill: BilledNodes, path: Path, only_default: bool) -> PriceList:
    """The list for what the bill does not price. Raises UsageError for a bill in another currency than a list that was given."""
    if not bill.currency or bill.currency == prices.currency:
        return prices
    if only_default:  # nobody chose the default prices: in another currency they keep their ratio and lose their amounts
        return PriceList("no-list", f"no price list in {bill.currency}", bill.currency)
    name = visible(path.name, 80)
    raise UsageError(f"the billing export {name} is in {bill.currency}, {prices.source} in {prices.currency}; a report has one currency")


def _book(table: pd.DataFrame, nodes: pd.DataFrame, prices: PriceList) -> PriceBook:
    """Unit prices of the whole cluster, weighted by what its nodes have and how long; the list's own where no node has a price."""
    whole = pool_rates(table.assign(pool=""), nodes)
    if len(whole) and math.isfinite(whole["cpu_hour"].iloc[0]) and math.isfinite(whole["memory_hour"].iloc[0]):
        cpu, memory = whole[["cpu_hour", "memory_hour"]].iloc[0]
        own = table["basis"].isin(["sheet", "list"]).any()
        name = prices.name if own else "billing" if (table["basis"] == "billing").any() else OPENCOST.name
        return PriceBook(name, _source(table, nodes), prices.currency, float(cpu), float(memory))
    units = prices if (prices.cpu_hour > 0 and prices.memory_hour > 0) or prices.currency != OPENCOST.currency else OPENCOST
    return PriceBook(units.name, units.source, prices.currency, units.cpu_hour, units.memory_hour)


def _source(table: pd.DataFrame, nodes: pd.DataFrame) -> str:
    """Every source with its share of the node-hours, the largest first; the source alone when there is one."""
    hours = table["node"].map(node_hours(nodes)).astype("float64").fillna(0.0)
    by = hours.groupby(table["source"]).sum()
    by = by[by > 0].sort_values(ascending=False, kind="stable")
    if len(by) == 1 or not by.sum() > 0:
        return str(by.index[0] if len(by) else table["source"].iloc[0])
    parts = {str(name) or "no price": float(value / by.sum()) for name, value in by.items()}
    kinds = [_KIND.fullmatch(name) for name in parts]
    if all(kinds) and len({kind[1] for kind in kinds if kind}) == 1:  # one list, several kinds of machines: its name is said once
        said = [f"{kind[2]} for {_percent(share)}" for kind, share in zip(kinds, parts.values(), strict=True) if kind]
        return f"{kinds[0][1]}), {' and '.join(said)} of the node hours" if kinds[0] else ""
    return ", ".join(f"{name} for {_percent(share)}" for name, share in parts.items()) + " of the node hours"


def _percent(share: float) -> str:
    """A share as whole percent; neither nothing nor everything is claimed when it is not so."""
    return f"{min(max(round(share * 100), 1 if share > 0 else 0), 100 if share >= 1 else 99)} %"


def _notes(
    table: pd.DataFrame, nodes: pd.DataFrame, prices: PriceList, shares: Mapping[str, float], bill: BilledNodes | None
) -> Iterator[str]:
    """Which prices were used, in plain sentences."""
    if not shares:
        yield f"The history knows no nodes; every figure is at the unit prices of {prices.source}."
        return
    parts = [f"{_percent(share)} by {_WORDS[basis]}" for basis, share in shares.items() if basis]
    without = f"; {_percent(shares[''])} have no price" if "" in shares else ""
    yield f"Of the node hours {' and '.join(parts) or 'none'} are priced{without}. Source: {_source(table, nodes)}."
    if bill is not None:
        matched = _percent(bill.match_rate) if math.isfinite(bill.match_rate) else "none"
        yield f"The billing export matches {matched} of the node hours."
    yield (
        "A node's price is split into cores and GiB of its capacity in the ratio of the unit prices (OpenCost's method); "
        "GPUs, volumes, networks and the control plane are in none of these figures."
    )


def _findings(nodes: pd.DataFrame, table: pd.DataFrame, prices: PriceList, shares: Mapping[str, float]) -> Iterator[Mapping[str, object]]:
    """What a reader of the money must know, loudest first."""
    if not len(nodes):
        yield _finding("no_nodes", "the history holds no nodes of the window: money is requests times the unit prices", {})
        return
    hours = node_hours(nodes)
    newest = newest_nodes(nodes)
    about = newest.merge(table.drop(columns="pool"), on="node")
    about = about.assign(hours=about["node"].map(hours))
    yield from _matching(about, prices, shares)
    by_units = (about["capacity_type"] == "spot") & (about["matched_by"] == "") & (about["source"] == prices.source)
    if not (prices.spot_cpu_hour > 0) and by_units.any():
        message = f"{by_units.sum()} spot nodes are priced as on-demand ones: {prices.source} has no spot prices"
        yield _finding("spot_as_on_demand", message, {"nodes": int(by_units.sum())})
    if unsaid := int((about["capacity_type"] == "").sum()):
        message = f"{unsaid} of {len(about)} nodes do not say whether they are spot; they count as on-demand"
        yield _finding("capacity_type_unknown", message, {"nodes": unsaid})
    unsized = about[np.isfinite(about["price_hour"]) & ~np.isfinite(about["cpu_hour"])]
    if len(unsized):
        message = f"{len(unsized)} nodes have a price but do not say how large they are: they have no price of a core or a GiB"
        yield _finding("node_size_unknown", message, {"nodes": sorted(unsized["node"])[:_NAMED]})
    for (kind, reported, listed), group in core_differences(nodes, prices).groupby(["instance_type", "reported", "listed"], sort=True):
        message = (
            f"{len(group)} nodes of type {visible(str(kind), 60)} report {reported:g} cores, the type is sold with {listed:g}: "
            f"the price of the machine is kept and split over the {reported:g} cores that can be requested"
        )
        data = {"instance_type": str(kind), "reported": float(reported), "listed": float(listed), "nodes": len(group)}
        yield _finding("core_difference", message, data)


def _matching(about: pd.DataFrame, prices: PriceList, shares: Mapping[str, float]) -> Iterator[Mapping[str, object]]:
    """How much of the node time the prices that were given cover."""
    given = sum(shares.get(basis, 0.0) for basis in ("billing", "sheet", "list"))
    if prices.rows and not any(about["basis"].isin(["sheet", "list"])) and not shares.get("billing"):
        kinds = _kinds(about)
        message = f"NO NODE MATCHES {prices.source}: none of its {len(prices.rows)} rows is for {'; '.join(kinds)}"
        instead = "default prices are used instead" if shares.get("default") else "no money is shown"
        yield _finding("no_node_matches", f"{message}; {instead}", {"rows": len(prices.rows), "kinds": kinds})
    elif prices.rows and given < ENOUGH:
        rest = about[~about["basis"].isin(["billing", "sheet", "list"])]
        kinds = _kinds(rest)
        message = f"only {_percent(given)} of the node hours match {prices.source}; it has no row for {'; '.join(kinds)}"
        yield _finding("few_nodes_matched", message, {"share": given, "kinds": kinds})
    if shares.get(""):
        kinds = _kinds(about[about["basis"] == ""]) or _kinds(about[~np.isfinite(about["price_hour"])])
        message = f"{_percent(shares[''])} of the node hours have no price and no money is shown for them: {'; '.join(kinds)}"
        yield _finding("nodes_without_price", message, {"share": shares[""], "kinds": kinds})


def _kinds(about: pd.DataFrame) -> list[str]:
    """Kinds of nodes in words, those of most hours first."""
    by = about.groupby(["instance_type", "region", "capacity_type", "pool"], sort=True)["hours"].sum()
    by = by.sort_values(ascending=False, kind="stable")
    named = [
        ", ".join(visible(part, 60) for part in (kind or "unknown type", region or "unknown region", capacity, f"pool {pool}") if part)
        for kind, region, capacity, pool in by.index[:_NAMED]
    ]
    return [*named, f"{len(by) - _NAMED} more kinds"] if len(by) > _NAMED else named


def _finding(code: str, message: str, data: Mapping[str, object]) -> Mapping[str, object]:
    return {"code": code, "message": message, "data": dict(data)}


def unit_prices(facts: pd.DataFrame, rates: pd.DataFrame, book: PriceBook) -> pd.Series:
    """Price of a core or a GiB and hour for each container of FACTS and resource, by the pools that its pods run in (paper's ``unit``).

    The mean over its pods; the book's where nobody knows the pools. NaN where none of its pools has a price. Index: namespace,
    workload_kind, workload, container, resource.
    """
    known = {row.pool: {"cpu": row.cpu_hour, "memory": row.memory_hour} for row in rates.itertuples()}
    keys, values = [], []
    for row in facts.itertuples():
        pools = [(pool, pods) for pool, pods in row.pools if pool in known and pods > 0]
        for resource in RESOURCES:
            keys.append((*(getattr(row, name) for name in GROUP), resource))
            values.append(_of_pools(pools, known, resource) if pools else getattr(book, f"{resource}_hour"))
    index = pd.MultiIndex.from_tuples(keys, names=[*GROUP, "resource"])
    return pd.Series(values, index=index, dtype="float64", name="unit")


def _of_pools(pools: list[tuple[str, int]], known: Mapping[str, Mapping[str, float]], resource: str) -> float:
    found = [(known[pool][resource], pods) for pool, pods in pools if math.isfinite(known[pool][resource])]
    return sum(price * pods for price, pods in found) / sum(pods for _, pods in found) if found else math.nan
