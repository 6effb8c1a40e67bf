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
from aiops_analysis.core.window import day_start
from aiops_analysis.history.inventory import read_frame
from aiops_analysis.history.store import Store
from aiops_analysis.history.weekly import read_weekly, week_of

__all__ = ["Raw", "read_slices", "to_past"]

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
    """The slices from ``first`` through ``last``; a damaged day is named and left out."""
    stored = [day for day in store.days("inventory") if first <= day <= last]
    slices, asked, standing, machines, damaged = [], [], [], [], []
    for day in stored:
        try:
            inventory, nodes = read_frame(store, "inventory", [day]), read_frame(store, "nodes", [day])
        except StoreCorrupt as error:
            damaged.append(str(error))
            continue
        hours = _known_hours(inventory, nodes, day)
        slices.append((day.toordinal(), 1, hours))
        asked.append(_asked(inventory, nodes, day))
        if hours:
            standing.append(_standing(nodes, day))
            machines.append(nodes.assign(hours=_hours(nodes, day)))
    weeks = _free_weeks(stored, first, last)
    rows, asked_weekly, standing_weekly = _weekly(store, weeks, asked)
    return Raw(
        slices=pd.DataFrame([*slices, *rows], columns=list(SLICES.columns)),
        asked=pd.concat([*asked, *asked_weekly], ignore_index=True) if asked or asked_weekly else pd.DataFrame(columns=list(ASKED.columns)),
        standing=pd.concat([*standing, *standing_weekly], ignore_index=True) if standing or standing_weekly else _no_standing(),
        machines=_newest(machines),
        weeks=tuple(date.fromordinal(start) for start, _, _ in rows),
        damaged=tuple(damaged),
    )


def _no_standing() -> pd.DataFrame:
    return pd.DataFrame({"start": [], "pool": [], "node": [], "node_hours": [], "cpu": [], "memory": []})


def _hours(frame: pd.DataFrame, day: date) -> pd.Series:
    """Hours of each interval within its day."""
    start = pd.Timestamp(day_start(day))
    last = frame["last_seen"].clip(upper=start + pd.Timedelta(days=1))
    return ((last - frame["first_seen"].clip(lower=start)).dt.total_seconds() / 3600).clip(lower=0.0)


def _known_hours(inventory: pd.DataFrame, nodes: pd.DataFrame, day: date) -> float:
    """Hours of a day in which nodes were seen; 0 unless nearly all of the day is known of nodes and of pods."""
    if not len(inventory) or not len(nodes):
        return 0.0
    spans = []
    for frame in (inventory, nodes):
        span = pd.DataFrame({"first_seen": [frame["first_seen"].min()], "last_seen": [frame["last_seen"].max()]})
        spans.append(float(_hours(span, day).iloc[0]))
    return spans[1] if min(spans) >= _WHOLE else 0.0


def _asked(inventory: pd.DataFrame, nodes: pd.DataFrame, day: date) -> pd.DataFrame:
    """ASKED of one day."""
    running = inventory[inventory["role"] != "init"]
    pool_of = dict(zip(nodes["node"], nodes["pool"], strict=True))
    hours = _hours(running, day)
    rows = running[list(GROUP)].assign(
        start=day.toordinal(),
        pool=running["node"].map(pool_of).fillna(""),
        pod_hours=hours,
        cpu=running["cpu_request"].fillna(0.0) * hours,
        memory=running["memory_request"].fillna(0.0) / GIB * hours,
    )
    return rows.groupby(["start", "pool", *GROUP], as_index=False, sort=True)[["pod_hours", "cpu", "memory"]].sum()


def _standing(nodes: pd.DataFrame, day: date) -> pd.DataFrame:
    hours = _hours(nodes, day)
    rows = nodes[["pool", "node"]].assign(
        start=day.toordinal(),
        node_hours=hours,
        cpu=nodes["cpu_allocatable"] * hours,
        memory=nodes["memory_allocatable"] / GIB * hours,
    )
    return _sums(rows, ["start", "pool", "node"], ["node_hours", "cpu", "memory"])


def _sums(rows: pd.DataFrame, by: list[str], columns: list[str]) -> pd.DataFrame:
    """Sums by key; a sum with an unknown part is unknown."""
    keys = [rows[name] for name in by]
    return rows.groupby(keys)[columns].sum().mask(rows[columns].isna().groupby(keys).any()).reset_index()


def _newest(machines: Sequence[pd.DataFrame]) -> pd.DataFrame:
    if not machines:
        return pd.DataFrame({"node": [], "pool": [], "hours": []})
    rows = pd.concat(machines, ignore_index=True)
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


def _weekly(
    store: Store, weeks: Sequence[date], asked: Sequence[pd.DataFrame]
) -> tuple[list[tuple[int, int, float]], list[pd.DataFrame], list[pd.DataFrame]]:
    """Slices, ASKED and standing nodes of weeks from the weekly rows; only weeks of which all seven days were measured."""
    if not weeks:
        return [], [], []
    wanted = {week.isoformat() for week in weeks}
    pools, containers = read_weekly(store, "pools"), read_weekly(store, "containers")
    pools = pools[pools["week"].isin(wanted) & (pools["days"] == 7)]
    containers = containers[containers["week"].isin(set(pools["week"]))]
    if not len(pools) or not len(containers):
        return [], [], []
    return (
        [(date.fromisoformat(week).toordinal(), 7, 7 * 24.0) for week in sorted(set(containers["week"]))],
        [_asked_weekly(containers, pools, asked)],
        [_standing_weekly(pools[pools["week"].isin(set(containers["week"]))])],
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


def _asked_weekly(containers: pd.DataFrame, pools: pd.DataFrame, asked: Sequence[pd.DataFrame]) -> pd.DataFrame:
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


def _places(asked: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Share of the pod hours of each workload-container by pool, over the stored days."""
    if not asked:
        return pd.DataFrame({name: pd.Series([], dtype="str") for name in (*GROUP, "pool")} | {"share": pd.Series([], dtype="float64")})
    rows = pd.concat(asked, ignore_index=True)
    rows = rows[rows["pool"] != ""].groupby([*GROUP, "pool"], as_index=False)["pod_hours"].sum()
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
    weight = priced["node"].map(hours).fillna(0.0).clip(lower=1e-9)
    rows = priced[["pool"]].assign(weight=weight, **{name: priced[name] * weight for name in columns})
    sums = rows.groupby("pool")[["weight", *columns]].sum(min_count=1)
    return sums[list(columns)].div(sums["weight"], axis=0)


def _price_of(standing: pd.DataFrame, prices: pd.DataFrame, machines: pd.DataFrame) -> pd.Series:
    own = prices.loc[prices["price_hour"] > 0].set_index("node")["price_hour"]
    pool = _pool_means(prices, machines, ["price_hour"])["price_hour"]
    return standing["node"].map(own).fillna(standing["pool"].map(pool)).astype("float64")


def _rates(prices: pd.DataFrame, machines: pd.DataFrame) -> pd.DataFrame:
    means = _pool_means(prices[list(NODE_PRICES.columns)], machines, ["cpu_hour", "memory_hour"])
    return (
        means.reset_index()[list(RATES.columns)]
        if len(means)
        else pd.DataFrame({"pool": np.empty(0, "str"), "cpu_hour": [], "memory_hour": []})
    )
