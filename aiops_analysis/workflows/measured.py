"""USAGE of a window as the review measures it: after rollouts, without start-ups, by node pool and by run (methods.md A8, A9)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from aiops_analysis.analysis.jobs import usage_of_runs
from aiops_analysis.analysis.policy import SizingPolicy
from aiops_analysis.analysis.rollouts import Kept, days_to_keep, rollout_day_of, rows_to_keep, starts_of, without_startup
from aiops_analysis.analysis.usage import usage_of_block
from aiops_analysis.core.schema import GROUP, RESOURCES, USAGE, check
from aiops_analysis.core.window import Window
from aiops_analysis.history.days import Block, block
from aiops_analysis.history.inventory import read_frame
from aiops_analysis.history.store import Store
from aiops_analysis.workflows.door import left_out_by_container
from aiops_analysis.workflows.job_runs import JOB_KINDS, whole_runs
from aiops_analysis.workflows.measure import METRIC_OF, usage_of
from aiops_analysis.workflows.placement import pool_of_pods

__all__ = ["usage_in"]

Group = tuple[str, ...]


@dataclass(frozen=True)
class _About:
    """What is known of the pods when their samples are measured."""

    window: Window
    policy: SizingPolicy
    pools: Mapping[tuple[str, str], str]
    rollouts: Mapping[Group, int]  # index of the day of the last rollout
    starts: pd.DataFrame


def usage_in(
    store: Store, window: Window, facts: pd.DataFrame, policy: SizingPolicy, inventory: pd.DataFrame | None = None
) -> pd.DataFrame:
    """USAGE of both resources: of DaemonSets also by node pool, of Jobs and CronJobs by run, and what was left out in ``dropped``.

    Days before the last rollout are left out where methods.md A8 says so (``cut``); the first minutes of a container count for memory
    only. ``inventory`` is that of the window where it was read before. Raises StoreCorrupt.
    """
    days = list(window.days())
    inventory = read_frame(store, "inventory", days) if inventory is None else inventory
    pools = pool_of_pods(inventory[inventory["workload_kind"] == "DaemonSet"], read_frame(store, "nodes", days))
    about = _About(window, policy, pools, _rollouts(facts, window), _starts(store, window, inventory))
    runs = whole_runs(read_frame(store, "runs", days))
    frames = []
    for resource in RESOURCES:
        usage = _by_steps(store, about, resource)
        frames += [usage[~usage["workload_kind"].isin(JOB_KINDS)], usage_of_runs(runs, window=window, resource=resource)]
    return check(pd.concat(frames, ignore_index=True), USAGE)


def _rollouts(facts: pd.DataFrame, window: Window) -> dict[Group, int]:
    keys = zip(*(facts[name] for name in GROUP), strict=True)
    found = {tuple(key): rollout_day_of(at, window) for key, at in zip(keys, facts["last_rollout"], strict=True)}
    return {key: day for key, day in found.items() if day is not None}


def _starts(store: Store, window: Window, inventory: pd.DataFrame) -> pd.DataFrame:
    """When containers started; restarts are few rows, so they are read at once."""
    days = list(window.days())
    manifests = store.manifests("restarts", days)
    whole = block(store, "restarts", days, 0, 1, manifests)
    return starts_of(inventory, whole.labels, whole.day, whole.samples, window=window)


def _by_steps(store: Store, about: _About, resource: str) -> pd.DataFrame:
    """USAGE of one resource, with what was left out at the door counted in ``dropped``."""

    def prepare(part: Block) -> Block:
        if resource == "memory" or not len(about.starts):
            return part
        return replace(part, samples=without_startup(part.labels, part.day, part.samples, about.starts))

    def refine(part: Block, usage: pd.DataFrame) -> pd.DataFrame:
        stays, found = _since_rollout(part, usage, about, resource)
        return _by_pool(part, stays, found, about, resource)

    usage = usage_of(store, about.window, resource, prepare=prepare, refine=refine)
    counts = left_out_by_container(store.manifests(METRIC_OF[resource], about.window.days()).values())
    keys = zip(*(usage[name] for name in GROUP), strict=True)
    return usage.assign(dropped=np.array([counts[tuple(key)] for key in keys], np.int64))


def _kept(usage: pd.DataFrame, about: _About) -> dict[Group, Kept]:
    """Which days count of each workload-container with a rollout in the window."""
    kept = {}
    for row in usage.itertuples():
        group = tuple(getattr(row, name) for name in GROUP)
        if group in about.rollouts:
            kept[group] = days_to_keep(
                row.daily_p95,
                about.rollouts[group],
                settled_days=int(about.policy.warn_rollout_days),
                tolerance=about.policy.rollout_tolerance,
                first_weekday=about.window.start.weekday(),
            )
    return kept


def _since_rollout(part: Block, usage: pd.DataFrame, about: _About, resource: str) -> tuple[np.ndarray, pd.DataFrame]:
    """The rows that count, and USAGE whose groups with a rollout are measured on the days that speak for what runs since."""
    kept = _kept(usage, about)
    keys = [tuple(key) for key in zip(*(usage[name] for name in GROUP), strict=True)]
    whole = usage.assign(rollout_ratio=[kept[key].ratio if key in kept else np.nan for key in keys])
    cut = {key: found for key, found in kept.items() if not all(found.mask)}
    stays = rows_to_keep(part.labels, part.day, cut)
    if not cut:
        return stays, whole
    rows = np.flatnonzero(stays & pd.MultiIndex.from_frame(part.labels[list(GROUP)]).isin(list(cut)))
    again = usage_of_block(part.labels.iloc[rows], part.day[rows], part.samples[rows], window=about.window, resource=resource)
    how = [tuple(key) for key in zip(*(again[name] for name in GROUP), strict=True)]
    before = whole.assign(key=keys).set_index("key")
    again = again.assign(
        cut=["changed" if cut[key].post_rollout else "settled" for key in how],
        rollout_ratio=[before.at[key, "rollout_ratio"] for key in how],
        # the whole course of days is still shown
        daily_p95=pd.Series([before.at[key, "daily_p95"] for key in how], dtype="object"),
    )
    rest = whole[[key not in cut for key in keys]]
    return stays, check(pd.concat([rest, again], ignore_index=True).sort_values(list(GROUP), kind="stable"), USAGE)


def _by_pool(part: Block, stays: np.ndarray, usage: pd.DataFrame, about: _About, resource: str) -> pd.DataFrame:
    """USAGE whose DaemonSets know the node pool with the highest pooled P95."""
    rows = np.flatnonzero(stays & (part.labels["workload_kind"] == "DaemonSet").to_numpy())
    if not len(rows):
        return usage
    labels = part.labels.iloc[rows]
    where = pd.Series([about.pools.get(pod, "") for pod in zip(labels["namespace"], labels["pod"], strict=True)], index=labels.index)
    # the pool becomes part of the workload's name for as long as this takes; no name holds a NUL
    named = labels.assign(workload=labels["workload"] + "\x00" + where)
    each = usage_of_block(named, part.day[rows], part.samples[rows], window=about.window, resource=resource)
    split = each["workload"].str.split("\x00", n=1, expand=True)
    each = each.assign(workload=split[0], pool=split[1], pool_p95=each["p95"])
    ordered = each[each["pool"] != ""].sort_values(["pool_p95", "pool"], ascending=[False, True], kind="stable")
    hottest = ordered.drop_duplicates(list(GROUP))
    found = usage.drop(columns=["pool", "pool_p95"]).merge(hottest[[*GROUP, "pool", "pool_p95"]], on=list(GROUP), how="left")
    return check(found.assign(pool=found["pool"].fillna("")), USAGE)
