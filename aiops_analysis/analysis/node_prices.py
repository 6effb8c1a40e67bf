"""What an hour of each node costs, by which price, split into cores and GiB (methods.md B1, B6).

Sources in this order: what was billed for the node, the most specific row of the price list, unit prices times capacity. A node that
none of them prices has NaN, never 0. GPUs: NODES does not tell them, so the price of a GPU node is split over its cores and GiB alone,
which makes these too dear there, and a GPU node priced by unit prices lacks its GPUs.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from aiops_analysis.analysis.savings import PriceBook, split_node_price
from aiops_analysis.core.pricing import OPENCOST, PriceList, PriceRow
from aiops_analysis.core.schema import NODES, check
from aiops_analysis.core.schema_money import BILLED, NODE_PRICES
from aiops_analysis.core.units import GIB

__all__ = [
    "BASES",
    "commitments",
    "core_differences",
    "newest_nodes",
    "node_hours",
    "node_prices",
    "node_sizes",
    "pool_rates",
    "priced_share",
]

#: Where a price is from, the best first; "" is no price.
BASES = ("billing", "sheet", "list", "default", "")
_SHEET, _DEFAULT = "price-sheet", OPENCOST.name
_BILLED_SOURCE = "billing export"
#: Regions in zones: us-east-1c of AWS, us-central1-a of Google Cloud, eastus-1 of Azure.
_REGIONS = (re.compile(r"([a-z]+(?:-[a-z]+)+-\d+)[a-z]"), re.compile(r"([a-z]+-[a-z]+\d+)-[a-z]"), re.compile(r"([a-z]+\d?)-\d"))
#: A Google Cloud type names its cores.
_CORES = re.compile(r"[a-z]\w*-(?:standard|highcpu|highmem|ultramem|megamem|hypermem)-(\d{1,4})(?:-\w+)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Node:
    """What of a node a price row can match; texts without regard to case where clouds write them in any."""

    name: str
    pool: str
    instance_type: str
    region: str
    zone: str
    capacity_type: str  # "" counts as on-demand
    said: bool  # the node says its capacity type
    provider_id: str
    labels: Mapping[str, Any]
    cpu: float
    gib: float


def node_prices(
    nodes: pd.DataFrame, prices: PriceList, billed: pd.DataFrame | None = None, *, billed_source: str = _BILLED_SOURCE
) -> pd.DataFrame:
    """NODE_PRICES of every node of NODES, by its newest facts, in the order of the names.

    The price of a machine is split in the ratio of the list's own unit prices, or of the default ones, over the CAPACITY that the node
    itself reports, also where its type is sold with another number of cores (``core_differences``): only then do all its cores together
    cost what the node costs. A row with unit prices needs no ratio. A node that does not say its capacity type counts as on-demand.
    A spot node without a price of its own is priced by the spot unit prices, never by a row for on-demand machines.
    BILLED beats the list where its price is above 0. Raises SchemaError.
    """
    frame = check(nodes, NODES)
    paid = _billed(billed)
    index = _Index(prices)
    book = _ratio(prices)
    rows = [_priced(node, prices, index, book, paid, billed_source) for node in _newest(frame)]
    return check(pd.DataFrame(rows, columns=list(NODE_PRICES.columns)), NODE_PRICES)


def _billed(billed: pd.DataFrame | None) -> dict[str, tuple[float, str]]:
    """Price and match of the nodes with a usable bill."""
    if billed is None:
        return {}
    frame = check(billed, BILLED)
    good = frame[np.isfinite(frame["price_hour"]) & (frame["price_hour"] > 0)]
    return {row.node: (row.price_hour, row.matched_by) for row in good.itertuples()}


def _ratio(prices: PriceList) -> PriceBook:
    """The book whose ratio splits a node's price."""
    own = prices.cpu_hour > 0 and prices.memory_hour > 0
    source = prices if own else OPENCOST
    return PriceBook(source.name, source.source, prices.currency, source.cpu_hour, source.memory_hour)


def _newest(nodes: pd.DataFrame) -> list[_Node]:
    newest = newest_nodes(nodes).sort_values("node")
    return [
        _Node(
            name=row.node,
            pool=row.pool,
            instance_type=row.instance_type.casefold(),
            region=(row.region or _region(row.zone, row.provider_id)).casefold(),
            zone=row.zone.casefold(),
            capacity_type=row.capacity_type or "on-demand",
            said=bool(row.capacity_type),
            provider_id=row.provider_id.casefold(),
            labels=_labels(row.labels),
            cpu=cpu,
            gib=memory / GIB,
        )
        for row, cpu, memory in zip(newest.itertuples(), node_sizes(newest, "cpu"), node_sizes(newest, "memory"), strict=True)
    ]


def newest_nodes(nodes: pd.DataFrame) -> pd.DataFrame:
    """The newest facts of each node of NODES."""
    return nodes.sort_values("last_seen", kind="stable").drop_duplicates("node", keep="last")


def node_sizes(nodes: pd.DataFrame, resource: str) -> pd.Series:
    """What NODES have of a resource: the capacity, or what is allocatable where that is all they tell [cores | bytes]."""
    return nodes[f"{resource}_capacity"].fillna(nodes[f"{resource}_allocatable"])


def _region(zone: str, provider_id: str) -> str:
    """The region of a node that does not say it, from its zone or its provider id; "" when they do not say it either."""
    path = provider_id.split("/")[3:-1] if provider_id.startswith(("aws://", "gce://")) else []
    for text in (zone, *path):
        for pattern in _REGIONS:
            if match := pattern.fullmatch(text):
                return match[1]
    return ""


def _labels(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


class _Index:
    """Price rows by type, so that a list of 25,000 is not walked through for every node."""

    def __init__(self, prices: PriceList) -> None:
        self._rows: dict[str, list[tuple[int, PriceRow]]] = defaultdict(list)
        for number, row in enumerate(prices.rows):
            self._rows[row.instance_type.casefold()].append((number, row))

    def best(self, node: _Node) -> PriceRow | None:
        """The most specific row that matches, the first of equals; None without one."""
        kinds = {"", node.instance_type}
        found = [(_rank(row), -number, row) for kind in kinds for number, row in self._rows.get(kind, ()) if _matches(row, node)]
        return max(found, key=lambda one: one[:2])[2] if found else None


def _matches(row: PriceRow, node: _Node) -> bool:
    """Whether everything that a row says is true of a node."""
    label, value = row.label
    return (
        (not row.instance_type or row.instance_type.casefold() == node.instance_type)
        and (not row.region or row.region.casefold() == node.region)
        and (not row.zone or row.zone.casefold() == node.zone)
        and (not row.capacity_type or row.capacity_type == node.capacity_type)
        and (not row.pool or row.pool == node.pool)
        and (not row.node or row.node == node.name)
        and (not row.provider_id or _same_machine(row.provider_id.casefold(), node.provider_id))
        and (not label or node.labels.get(label) == value)
    )


def _same_machine(given: str, provider_id: str) -> bool:
    """Whether a list's provider id is of a node: whole, without its scheme, or its last part alone."""
    if not provider_id:
        return False
    path = provider_id.partition("://")[2]
    return given in (provider_id, path, path.lstrip("/"), path.rpartition("/")[2])


def _rank(row: PriceRow) -> tuple[bool, ...]:
    """How specific a row is: one node, a label, a pool, a type, a zone, a region, a capacity type."""
    one = bool(row.node or row.provider_id)
    return one, bool(row.label[0]), bool(row.pool), bool(row.instance_type), bool(row.zone), bool(row.region), bool(row.capacity_type)


def _priced(
    node: _Node, prices: PriceList, index: _Index, book: PriceBook, paid: Mapping[str, tuple[float, str]], billed_source: str
) -> dict[str, object]:
    """One row of NODE_PRICES."""
    about: dict[str, object] = {"node": node.name, "pool": node.pool, "matched_by": ""}
    if node.name in paid:
        price, matched = paid[node.name]
        return about | _split(price, node, book) | {"basis": "billing", "source": billed_source, "matched_by": matched}
    basis = {_SHEET: "sheet", _DEFAULT: "default"}.get(prices.name, "list")
    row = index.best(node)
    if row is not None:
        return about | _of_row(row, node, book) | {"basis": basis, "source": prices.source, "matched_by": _common(row, node)}
    for source in (prices, OPENCOST):
        cpu, memory, said = _units(source, node)
        if cpu > 0 and memory > 0 and source.currency == prices.currency:
            own = basis if source is prices else "default"
            return about | _by_units(cpu, memory, node) | {"basis": own, "source": said}
    return about | {"price_hour": math.nan, "cpu_hour": math.nan, "memory_hour": math.nan, "basis": "", "source": ""}


def _units(prices: PriceList, node: _Node) -> tuple[float, float, str]:
    """Unit prices for a node [currency per core | GiB and hour], those of spot machines where it is one and the list has them; source."""
    if node.capacity_type == "spot" and prices.spot_cpu_hour > 0 and prices.spot_memory_hour > 0:
        said = prices.source.replace("on demand", "spot")
        return prices.spot_cpu_hour, prices.spot_memory_hour, said if said != prices.source else f"{said}, spot"
    return prices.cpu_hour, prices.memory_hour, prices.source


def _of_row(row: PriceRow, node: _Node, book: PriceBook) -> dict[str, object]:
    """A machine's price, split; or its unit prices, added up. A row with both has its own ratio."""
    own = row.cpu_hour > 0 and row.memory_hour > 0
    if not math.isfinite(row.price_hour):
        return _by_units(row.cpu_hour, row.memory_hour, node)
    return _split(row.price_hour, node, PriceBook(book.name, book.source, book.currency, row.cpu_hour, row.memory_hour) if own else book)


def _split(price: float, node: _Node, book: PriceBook) -> dict[str, object]:
    """A node's price with its share of a core and of a GiB, NaN when the node does not say how large it is."""
    sized = node.cpu > 0 and node.gib > 0
    cpu, memory = split_node_price(price, node.cpu, node.gib, book) if sized else (math.nan, math.nan)
    return {"price_hour": price, "cpu_hour": cpu, "memory_hour": memory}


def _by_units(cpu: float, memory: float, node: _Node) -> dict[str, object]:
    """Unit prices times capacity; the price is NaN when the node does not say how large it is."""
    return {"price_hour": node.cpu * cpu + node.gib * memory, "cpu_hour": cpu, "memory_hour": memory}


def _common(row: PriceRow, node: _Node) -> str:
    """What a row and a node have in common, in words."""
    parts = [
        ("node", row.node),
        ("provider id", row.provider_id),
        ("label", "=".join(row.label) if row.label[0] else ""),
        ("pool", row.pool),
        ("type", row.instance_type),
        ("zone", row.zone),
        ("region", row.region),
    ]
    said = [f"{name} {text}" for name, text in parts if text]
    if row.capacity_type:
        said.append(row.capacity_type if node.said else f"{row.capacity_type} (the node does not say)")
    return ", ".join(said)


def core_differences(nodes: pd.DataFrame, prices: PriceList) -> pd.DataFrame:
    """Nodes that report another number of cores than their type is sold with: node, instance_type, reported, listed [cores].

    The number sold is that of the price row, else the one in a Google Cloud type's name. A GKE node without simultaneous multithreading
    is the usual case: a c2d-standard-112 then reports 56 cores, and each of them costs twice as much.
    """
    frame = check(nodes, NODES)
    index = _Index(prices)
    kinds = dict(zip(frame["node"], frame["instance_type"], strict=True))
    rows = []
    for node in _newest(frame):
        row = index.best(node)
        listed = row.cpu if row is not None and math.isfinite(row.cpu) else _named_cores(node.instance_type)
        if math.isfinite(listed) and math.isfinite(node.cpu) and round(listed) != round(node.cpu):
            rows.append({"node": node.name, "instance_type": kinds[node.name], "reported": node.cpu, "listed": listed})
    return pd.DataFrame(rows, columns=["node", "instance_type", "reported", "listed"])


def _named_cores(kind: str) -> float:
    match = _CORES.fullmatch(kind)
    return float(match[1]) if match else math.nan


def node_hours(nodes: pd.DataFrame) -> pd.Series:
    """Hours that each node of NODES was there, its runs of equal facts added up."""
    frame = check(nodes, NODES)
    hours = (frame["last_seen"] - frame["first_seen"]).dt.total_seconds() / 3600
    return hours.groupby(frame["node"]).sum().rename("hours")


def priced_share(priced: pd.DataFrame, nodes: pd.DataFrame) -> dict[str, float]:
    """Share of the node-hours [0-1] that each basis prices, "" for hours without a price; empty without a node-hour."""
    frame = check(priced, NODE_PRICES)
    hours = frame["node"].map(node_hours(nodes)).astype("float64").fillna(0.0)
    total = hours.sum()
    if not total > 0:
        return {}
    # a price without a size is no price of an hour either
    basis = frame["basis"].where(np.isfinite(frame["price_hour"]), "")
    found = hours.groupby(basis).sum() / total
    return {name: min(float(found[name]), 1.0) for name in BASES if found.get(name, 0.0) > 0}


def pool_rates(priced: pd.DataFrame, nodes: pd.DataFrame) -> pd.DataFrame:
    """What an hour costs in each pool: pool, cpu_hour, memory_hour, price_hour, source.

    Means over the hours of the nodes that have a price; a core's and a GiB's are weighted by the nodes' sizes too, so that a pool's
    cores and GiB together cost what its nodes cost. NaN where no node of the pool has a price. ``source`` names the price of most hours
    first.
    """
    frame = check(priced, NODE_PRICES)
    newest = newest_nodes(check(nodes, NODES)).set_index("node")
    hours = frame["node"].map(node_hours(nodes)).astype("float64").fillna(0.0).to_numpy(float)
    weights = {
        "cpu_hour": hours * frame["node"].map(node_sizes(newest, "cpu")).to_numpy(float),
        "memory_hour": hours * frame["node"].map(node_sizes(newest, "memory")).to_numpy(float),
        "price_hour": hours,
    }
    rows = []
    for pool in sorted(set(frame["pool"])):
        here = (frame["pool"] == pool).to_numpy()
        row: dict[str, object] = {"pool": pool}
        for name, weight in weights.items():
            row[name] = _mean(frame[name].to_numpy(float)[here], weight[here])
        row["source"] = "; ".join(_sources(frame.loc[here, "source"], hours[here]))
        rows.append(row)
    return pd.DataFrame(rows, columns=["pool", "cpu_hour", "memory_hour", "price_hour", "source"])


def _mean(values: np.ndarray, weights: np.ndarray) -> float:
    """The weighted mean of what is there, NaN when nothing is."""
    good = np.isfinite(values) & np.isfinite(weights) & (weights > 0)
    return float(np.average(values[good], weights=weights[good])) if good.any() else math.nan


def _sources(names: pd.Series, hours: np.ndarray) -> list[str]:
    found = pd.Series(hours, index=names.to_numpy()).groupby(level=0).sum()
    return [str(name) for name in found.sort_values(ascending=False, kind="stable").index if name]


def commitments(prices: PriceList, nodes: pd.DataFrame) -> dict[str, tuple[int, date]]:
    """Pool -> machines that are paid for whether they are used or not, and until when; the latest date where there are several.

    Only what runs beyond the newest facts of NODES counts. A commitment of a type that several pools have is spread over them by their
    nodes at the end, the largest remainders first: no pool is promised that another one already uses up.
    """
    frame = check(nodes, NODES)
    if not len(frame):
        return {}
    end = frame["last_seen"].max()
    present = set(frame.loc[frame["last_seen"] == end, "node"])
    there = [node for node in _newest(frame) if node.name in present]
    found: dict[str, tuple[int, date]] = {}
    for row in prices.rows:
        if row.committed_nodes > 0 and row.committed_until is not None and row.committed_until >= end.date():
            for pool, count in _spread(row, there):
                before, until = found.get(pool, (0, row.committed_until))
                found[pool] = before + count, max(until, row.committed_until)
    return found


def _spread(row: PriceRow, nodes: Sequence[_Node]) -> Iterator[tuple[str, int]]:
    """A commitment by pool."""
    if row.pool:
        yield row.pool, row.committed_nodes
        return
    sizes: dict[str, int] = defaultdict(int)
    for node in nodes:
        if _matches(row, node):
            sizes[node.pool] += 1
    total = sum(sizes.values())
    if not total:
        return
    exact = {pool: row.committed_nodes * size / total for pool, size in sizes.items()}
    counts = {pool: math.floor(value) for pool, value in exact.items()}
    rest = row.committed_nodes - sum(counts.values())
    for pool in sorted(exact, key=lambda name: (counts[name] - exact[name], name))[:rest]:
        counts[pool] += 1
    yield from ((pool, count) for pool, count in sorted(counts.items()) if count)
