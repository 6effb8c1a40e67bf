"""The history read as slices: stored days where they are, weekly rows where days were pruned (design.md section 2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd

from aiops_analysis.analysis.past import ASKED, RATES, SLICES, STANDING, Past, past_of
from aiops_analysis.core.errors import StoreCorrupt
from aiops_analysis.core.schema import GROUP, RESOURCES
from aiops_analysis.core.schema_money import NODE_PRICES
from aiops_analysis.core.units import GIB
from aiops_analysis.history.inventory import read_frame
from aiops_analysis.history.store import Store
from aiops_analysis.history.weekly import read_weekly, week_of

__all__ = ["Raw", "read_slices", "slices_of", "to_past"]

_AT_ONCE = 28  # days read together
_STANDING = ["start", "pool", "node", "node_hours", "cpu", "memory"]
_EPOCH = pd.Timestamp("1970-01-01", tz="UTC")
_WHOLE = 0.9 * 24  # hours of a day that must be known for the day to be measured


@dataclass(frozen=True, eq=False)
class Raw:
    """What the history holds before it is priced.

    ``machines`` has one row per node of the stored days (columns of NODES, the newest facts) and its ``hours``; ``standing`` has a row
    per slice, pool and node, with node "" in weekly rows. ``weeks`` were read from weekly rows, ``damaged`` days could not be read.
    """

    slices: pd.DataFrame
    asked: pd.DataFrame
    standing: pd.DataFrame
    machines: pd.DataFrame
    weeks: tuple[date, ...]
    damaged: tuple[str, ...]


def read_slices(store: Store, first: date, last: date) -> Raw:
    """The slices from ``first`` through ``last``; a damaged day, or damaged weekly rows, are named and left out."""
    stored = [day for day in store.days("inventory") if first <= day <= last]
    parts, damaged = [], []
    for start in range(0, len(stored), _AT_ONCE):
        chunk = stored[start : start + _AT_ONCE]
        try:
            parts.append(_read(store, chunk))
        except StoreCorrupt:
            for day in chunk:
                try:
                    parts.append(_read(store, [day]))
                except StoreCorrupt as error:
                    damaged.append(str(error))
    days = slices_of(parts)
    weeks = _free_weeks(stored, first, last)
    try:
        rows, asked, standing = _weekly(store, weeks, days.asked)
    except StoreCorrupt as error:
        damaged.append(f"{error}; the weeks of which only it told are not known")
        rows, asked, standing = _weekly(store, (), days.asked)
    return Raw(
        slices=pd.concat([days.slices, rows], ignore_index=True),
        asked=pd.concat([days.asked, asked], ignore_index=True) if len(asked) else days.asked,
        standing=pd.concat([days.standing, standing], ignore_index=True) if len(standing) else days.standing,
        machines=days.machines,
        weeks=tuple(date.fromordinal(int(start)) for start in rows["start"]),
        damaged=tuple(damaged),
    )


def _read(store: Store, days: Sequence[date]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Inventory and nodes of some days."""
    return read_frame(store, "inventory", days), read_frame(store, "nodes", days)


def slices_of(parts: Iterable[tuple[pd.DataFrame, pd.DataFrame]]) -> Raw:
    """The slices of stored days, from INVENTORY and NODES frames of whole days."""
    slices, asked, standing, machines = [], [], [], []
    for inventory, nodes in parts:
        pods, there = _timed(inventory), _timed(nodes)
        known = _known_hours(pods, there)
        slices.append(known)
        asked.append(_asked(pods, there))
        measured = there[there["start"].isin(known.loc[known["hours"] > 0, "start"])]
        standing.append(_standing(measured))
        machines.append(measured)
    return Raw(
        slices=_joined(slices, list(SLICES.columns)),
        asked=_joined(asked, list(ASKED.columns)),
        standing=_joined(standing, _STANDING),
        machines=_newest(machines),
        weeks=(),
        damaged=(),
    )


def _joined(frames: Sequence[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    full = [frame for frame in frames if len(frame)]
    return pd.concat(full, ignore_index=True)[columns] if full else pd.DataFrame(columns=columns)


def _timed(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows with the ordinal of their day (``start``) and their ``hours`` in it."""
    day = frame["first_seen"].dt.floor("D")
    last = frame["last_seen"].clip(upper=day + pd.Timedelta(days=1))
    hours = ((last - frame["first_seen"]).dt.total_seconds() / 3600).clip(lower=0.0)
    ordinals = (day - _EPOCH).dt.days + date(1970, 1, 1).toordinal()
    return frame.assign(start=ordinals.astype("int64"), hours=hours, last=last)


def _known_hours(pods: pd.DataFrame, nodes: pd.DataFrame) -> pd.DataFrame:
    """SLICES of days: hours in which nodes were seen; 0 unless nearly all of the day is known of nodes and of pods."""
    spans = []
    for frame in (pods, nodes):
        by_day = frame.groupby("start").agg(first=("first_seen", "min"), last=("last", "max"))
        spans.append((by_day["last"] - by_day["first"]).dt.total_seconds() / 3600)
    seen, hours = spans[0], spans[1].reindex(spans[0].index).fillna(0.0)
    whole = (seen >= _WHOLE) & (hours >= _WHOLE)
    return pd.DataFrame({"start": seen.index.to_numpy(), "days": 1, "hours": hours.where(whole, 0.0).to_numpy()})


def _asked(pods: pd.DataFrame, nodes: pd.DataFrame) -> pd.DataFrame:
    """ASKED of days."""
    running = pods[pods["role"] != "init"]
    where = nodes.sort_values("last_seen", kind="stable").drop_duplicates(["start", "node"], keep="last")[["start", "node", "pool"]]
    rows = running.merge(where, on=["start", "node"], how="left")
    rows = rows[["start", *GROUP]].assign(
        pool=rows["pool"].fillna(""),
        pod_hours=rows["hours"],
        cpu=rows["cpu_request"].fillna(0.0) * rows["hours"],
        memory=rows["memory_request"].fillna(0.0) / GIB * rows["hours"],
    )
    return rows.groupby(["start", "pool", *GROUP], as_index=False, sort=True)[["pod_hours", "cpu", "memory"]].sum()


def _standing(nodes: pd.DataFrame) -> pd.DataFrame:
    """Node-hours and allocatable hours of each node by day."""
    rows = nodes[["start", "pool", "node"]].assign(
        node_hours=nodes["hours"],
        cpu=nodes["cpu_allocatable"] * nodes["hours"],
        memory=nodes["memory_allocatable"] / GIB * nodes["hours"],
    )
    return _sums(rows, ["start", "pool", "node"], ["node_hours", "cpu", "memory"])


def _sums(rows: pd.DataFrame, by: list[str], columns: list[str]) -> pd.DataFrame:
    """Sums by key; a sum with an unknown part is unknown."""
    keys = [rows[name] for name in by]
    return rows.groupby(keys)[columns].sum().mask(rows[columns].isna().groupby(keys).any()).reset_index()


def _newest(machines: Sequence[pd.DataFrame]) -> pd.DataFrame:
    full = [frame for frame in machines if len(frame)]
    if not full:
        return pd.DataFrame({"node": [], "pool": [], "hours": []})
    rows = pd.concat(full, ignore_index=True)
    total = rows.groupby("node")["hours"].sum()
    newest = rows.sort_values("last_seen", kind="stable").drop_duplicates("node", keep="last")
    return newest.assign(hours=newest["node"].map(total)).sort_values("node", ignore_index=True)


def _free_weeks(stored: Iterable[date], first: date, last: date) -> list[date]:
    """Whole weeks of the range of which no day is stored."""
    taken = {week_of(day) for day in stored}
    week = week_of(first + timedelta(days=6))
    out = []
    while week + timedelta(days=6) <= last:
        if week not in taken:
            out.append(week)
        week += timedelta(days=7)
    return out


def _weekly(store: Store, weeks: Sequence[date], asked: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Slices, ASKED and standing nodes of weeks from the weekly rows; only weeks of which all seven days were measured."""
    nothing = tuple(pd.DataFrame(columns=columns) for columns in (list(SLICES.columns), list(ASKED.columns), _STANDING))
    if not weeks:
        return nothing[0], nothing[1], nothing[2]
    wanted = {week.isoformat() for week in weeks}
    pools, containers = read_weekly(store, "pools"), read_weekly(store, "containers")
    pools = pools[pools["week"].isin(wanted) & (pools["days"] == 7)]
    containers = containers[containers["week"].isin(set(pools["week"]))]
    if not len(pools) or not len(containers):
        return nothing[0], nothing[1], nothing[2]
    known = sorted(set(containers["week"]))
    rows = [(date.fromisoformat(week).toordinal(), 7, 7 * 24.0) for week in known]
    return (
        pd.DataFrame(rows, columns=list(SLICES.columns)),
        _asked_weekly(containers, pools, asked),
        _standing_weekly(pools[pools["week"].isin(known)]),
    )


def _ordinal(weeks: pd.Series) -> pd.Series:
    return weeks.map({week: date.fromisoformat(week).toordinal() for week in weeks.unique()}).astype("int64")


def _standing_weekly(pools: pd.DataFrame) -> pd.DataFrame:
    hours = 7 * 24.0
    by = {resource: pools[pools["resource"] == resource].set_index(["week", "pool"]) for resource in RESOURCES}
    index = by["cpu"].index.union(by["memory"].index)
    nodes = by["cpu"]["nodes_mean"].reindex(index).fillna(by["memory"]["nodes_mean"].reindex(index)).fillna(0.0)
    out = pd.DataFrame(
        {
            "node_hours": nodes * hours,
            "cpu": by["cpu"]["allocatable_mean"].reindex(index) * hours,
            "memory": by["memory"]["allocatable_mean"].reindex(index) / GIB * hours,
        },
        index=index,
    ).reset_index()
    return out.assign(start=_ordinal(out["week"]), node="").drop(columns="week")


def _asked_weekly(containers: pd.DataFrame, pools: pd.DataFrame, asked: pd.DataFrame) -> pd.DataFrame:
    """ASKED of weeks. Weekly rows do not say where pods ran: that is taken from the stored days, else from the nodes of the week."""
    keys = ["week", *GROUP]
    parts = []
    for resource in RESOURCES:
        mine = containers[containers["resource"] == resource]
        unit = GIB if resource == "memory" else 1.0
        parts.append(mine[[*keys, "pod_hours"]].assign(**{resource: mine["request"].fillna(0.0) / unit * mine["pod_hours"]}))
    rows = parts[0].merge(parts[1], on=keys, how="outer", suffixes=("", "_too"))
    rows = (
        rows.assign(pod_hours=rows["pod_hours"].fillna(rows["pod_hours_too"]))
        .drop(columns="pod_hours_too")
        .fillna({"cpu": 0.0, "memory": 0.0})
    )
    placed = rows.merge(_places(asked), on=list(GROUP), how="left")
    unplaced = placed["share"].isna()
    nodes = pools[pools["resource"] == "cpu"].groupby(["week", "pool"], as_index=False)["nodes_mean"].sum()
    nodes = nodes.assign(share=nodes["nodes_mean"] / nodes.groupby("week")["nodes_mean"].transform("sum"))
    spread = placed[unplaced].drop(columns=["pool", "share"]).merge(nodes[["week", "pool", "share"]], on="week", how="inner")
    out = pd.concat([placed[~unplaced], spread], ignore_index=True)
    scaled = out.assign(start=_ordinal(out["week"]), **{name: out[name] * out["share"] for name in ("pod_hours", "cpu", "memory")})
    return scaled.groupby(["start", "pool", *GROUP], as_index=False)[["pod_hours", "cpu", "memory"]].sum()


def _places(asked: pd.DataFrame) -> pd.DataFrame:
    """Share of the pod hours of each workload-container by pool, over the stored days."""
    if not len(asked):
        return pd.DataFrame({name: pd.Series([], dtype="str") for name in (*GROUP, "pool")} | {"share": pd.Series([], dtype="float64")})
    rows = asked[asked["pool"] != ""].groupby([*GROUP, "pool"], as_index=False)["pod_hours"].sum()
    rows = rows[rows["pod_hours"] > 0]
    return rows.assign(share=rows["pod_hours"] / rows.groupby(list(GROUP))["pod_hours"].transform("sum")).drop(columns="pod_hours")


def to_past(raw: Raw, now: pd.DataFrame, before: pd.DataFrame | None = None) -> Past:
    """The slices with money: NODE_PRICES of today, and of the baseline period where they were others.

    A node without a price of its own, or of a weekly row, costs what the nodes of its pool cost on average.
    """
    standing = raw.standing
    by_time = {"cost": now, "cost_before": now if before is None else before}
    costs = {name: _price_of(standing, prices, raw.machines) * standing["node_hours"] for name, prices in by_time.items()}
    sums = ["node_hours", "cpu", "memory", *costs]
    nodes = _sums(standing.assign(**costs), ["start", "pool"], sums)
    return past_of(raw.slices, raw.asked, nodes[list(STANDING.columns)], _rates(by_time["cost_before"], raw.machines))


def _pool_means(prices: pd.DataFrame, machines: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Mean prices of a pool's priced nodes, weighted by their hours."""
    hours = machines.drop_duplicates("node").set_index("node")["hours"]
    priced = prices[prices["price_hour"] > 0]
    weight = priced["node"].map(hours).astype("float64").fillna(0.0).clip(lower=1e-9)
    rows = priced[["pool"]].assign(weight=weight, **{name: priced[name] * weight for name in columns})
    sums = rows.groupby("pool")[["weight", *columns]].sum(min_count=1)
    return sums[list(columns)].div(sums["weight"], axis=0)


def _price_of(standing: pd.DataFrame, prices: pd.DataFrame, machines: pd.DataFrame) -> pd.Series:
    own = prices.loc[prices["price_hour"] > 0].set_index("node")["price_hour"]
    pool = _pool_means(prices, machines, ["price_hour"])["price_hour"]
    return standing["node"].map(own).astype("float64").fillna(standing["pool"].map(pool).astype("float64"))


def _rates(prices: pd.DataFrame, machines: pd.DataFrame) -> pd.DataFrame:
    means = _pool_means(prices[list(NODE_PRICES.columns)], machines, ["cpu_hour", "memory_hour"])
    return (
        means.reset_index()[list(RATES.columns)]
        if len(means)
        else pd.DataFrame({"pool": np.empty(0, "str"), "cpu_hour": [], "memory_hour": []})
    )
