"""Weekly aggregates written at the end of every pull, so that trends survive the pruning of days (methods.md C1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta

import numpy as np
import pandas as pd

from aiops_analysis.analysis.allocation import init_extra
from aiops_analysis.core.schema import GROUP, RESOURCES, WEEKLY_CONTAINERS, WEEKLY_POOLS, check, empty
from aiops_analysis.core.window import STEP, Window, day_start, steps_of
from aiops_analysis.history.days import read_day
from aiops_analysis.history.inventory import read_frame
from aiops_analysis.history.store import Store
from aiops_analysis.history.weekly import replace_weeks, week_of
from aiops_analysis.workflows.measure import METRIC_OF, step_spans, usage_of

__all__ = ["week_containers", "week_pools", "write_weeks"]

_HOUR = 3600 // STEP
_MOST_SEEN = 0.9


def write_weeks(store: Store, days: Iterable[date]) -> None:
    """Make the weekly rows of every week that one of the days belongs to again, from the days that are there."""
    weeks = sorted({week_of(day) for day in days})
    if not weeks:
        return
    containers = [week_containers(store, week) for week in weeks]
    pools = [week_pools(store, week) for week in weeks]
    replace_weeks(store, "containers", weeks, pd.concat(containers, ignore_index=True))
    replace_weeks(store, "pools", weeks, pd.concat(pools, ignore_index=True))


def week_containers(store: Store, week: date) -> pd.DataFrame:
    """WEEKLY_CONTAINERS of one week: quantiles of the pooled samples, mean request, pod-hours."""
    window = Window.of_days(week + timedelta(days=6), 7)
    inventory = read_frame(store, "inventory", window.days())
    hours = (inventory["last_seen"] - inventory["first_seen"]).dt.total_seconds() / 3600
    frames = []
    for resource in RESOURCES:
        usage = usage_of(store, window, resource)
        if not len(usage):
            continue
        asked = inventory[f"{resource}_request"]
        grouped = inventory.assign(hours=hours, weighted=asked * hours, known=hours.where(asked.notna())).groupby(
            list(GROUP), as_index=False
        )
        pods = grouped.agg(pod_hours=("hours", "sum"), weighted=("weighted", "sum"), known=("known", "sum"))
        pods = pods.assign(request=pods["weighted"] / pods["known"].where(pods["known"] > 0))
        frames.append(usage.merge(pods[[*GROUP, "pod_hours", "request"]], on=list(GROUP), how="left"))
    if not frames:
        return empty(WEEKLY_CONTAINERS)
    return check(pd.concat(frames, ignore_index=True).assign(week=week.isoformat()), WEEKLY_CONTAINERS)


def week_pools(store: Store, week: date) -> pd.DataFrame:
    """WEEKLY_POOLS of one week: sums over a pool at 5 minutes, their hourly maximum, and of those the weekly P95; plain means beside."""
    days = [week + timedelta(days=n) for n in range(7)]
    parts = [rows for day in days if store.manifest("nodes", day) is not None for rows in _pool_day(store, day)]
    if not parts:
        return empty(WEEKLY_POOLS)
    rows = []
    for key in sorted({(pool, resource) for pool, resource, _ in parts}):
        series = [s for pool, resource, s in parts if (pool, resource) == key]
        joined = {name: np.concatenate([s[name] for s in series]) for name in series[0]}
        rows.append({"week": week.isoformat(), "pool": key[0], "resource": key[1], "days": len(series), **_summary(joined)})
    return check(pd.DataFrame(rows), WEEKLY_POOLS)


def _summary(series: dict[str, np.ndarray]) -> dict[str, float]:
    out = {}
    for name in ("usage", "request"):
        hourly = np.fmax.reduce(series[name].reshape(-1, _HOUR), axis=1)
        seen = hourly[np.isfinite(hourly)]
        out[f"{name}_p95"] = float(np.quantile(seen, 0.95)) if len(seen) else np.nan
    for name in ("usage", "request", "allocatable", "nodes", "pods"):
        seen = series[name][np.isfinite(series[name])]
        out[f"{name}_mean"] = float(seen.mean()) if len(seen) else np.nan
    return out


def _pool_day(store: Store, day: date) -> list[tuple[str, str, dict[str, np.ndarray]]]:
    """Step series of one day for each pool and resource: usage, request, allocatable, nodes, pods."""
    nodes, inventory = read_frame(store, "nodes", [day]), read_frame(store, "inventory", [day])
    pool_of = dict(zip(nodes["node"], nodes["pool"], strict=True))
    pools = sorted(set(pool_of.values()))
    node_pool = nodes["node"].map(pool_of)
    pod_pool = inventory["node"].map(pool_of)
    pod_node = dict(zip(zip(inventory["namespace"], inventory["pod"], strict=True), pod_pool, strict=True))
    node_spans, pod_spans = step_spans(nodes, day_start(day)), step_spans(inventory, day_start(day))
    per_pod = ~inventory.duplicated(["namespace", "pod", "uid", "first_seen"]).to_numpy()
    extra = init_extra(inventory)
    extra_pool, extra_spans = extra["node"].map(pool_of), step_spans(extra, day_start(day))
    running = (inventory["role"] != "init").to_numpy()
    count_nodes = _stacked(pools, node_pool, np.ones(len(nodes)), *node_spans)
    expected = _stacked(pools, pod_pool, running.astype(float), *pod_spans)
    count_pods = _stacked(pools, pod_pool[per_pod], np.ones(int(per_pod.sum())), pod_spans[0][per_pod], pod_spans[1][per_pod])
    out = []
    for resource in RESOURCES:
        labels, samples = read_day(store, METRIC_OF[resource], day)
        where = [pod_node.get(pod) for pod in zip(labels["namespace"], labels["pod"], strict=True)]
        usage = _usage(pools, where, samples, expected)
        asked = inventory[f"{resource}_request"].fillna(0.0).where(running, 0.0).to_numpy()
        request = _stacked(pools, pod_pool, asked, *pod_spans) + _stacked(
            pools, extra_pool, extra[f"{resource}_request"].to_numpy(float), *extra_spans
        )
        allocatable = _stacked(pools, node_pool, nodes[f"{resource}_allocatable"].fillna(0.0).to_numpy(), *node_spans)
        for i, pool in enumerate(pools):
            series = {
                "usage": usage[i],
                "request": request[i],
                "allocatable": allocatable[i],
                "nodes": count_nodes[i],
                "pods": count_pods[i],
            }
            out.append((pool, resource, series))
    return out


def _stacked(pools: Sequence[str], where: pd.Series, values: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Sum of interval values at each step by pool [pools, steps]."""
    number = {pool: i for i, pool in enumerate(pools)}
    edges = np.zeros((len(pools), steps_of() + 1))
    known = where.notna().to_numpy()
    rows = where[known].map(number).to_numpy(np.int64)
    np.add.at(edges, (rows, first[known]), values[known])
    np.add.at(edges, (rows, last[known]), -values[known])
    return np.cumsum(edges, axis=1)[:, :-1]


def _usage(pools: Sequence[str], where: Sequence[object], samples: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Sum of usage at each step by pool; a step at which more than a tenth of the running containers miss is missing (methods.md I-5)."""
    out = np.full((len(pools), steps_of()), np.nan)
    for i, pool in enumerate(pools):
        rows = np.array([w == pool for w in where], bool)
        if rows.any():
            part = samples[rows]
            total = np.nansum(part, axis=0, dtype=np.float64)
            seen = np.isfinite(part).sum(axis=0)
            out[i] = np.where((seen > 0) & (seen >= _MOST_SEEN * expected[i]), total, np.nan)
    return out
