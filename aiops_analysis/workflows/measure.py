"""Run the pure functions of the analysis floor over the buckets of the history, in a small pool of threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from typing import TypeVar

import numpy as np
import pandas as pd

from aiops_analysis.analysis.usage import usage_of_block
from aiops_analysis.core.schema import GROUP, METRICS, USAGE, check, empty
from aiops_analysis.core.window import STEP, Window
from aiops_analysis.history.days import Block, block
from aiops_analysis.history.inventory import ASKED
from aiops_analysis.history.store import Store

__all__ = ["ALL_KINDS", "METRIC_OF", "over_buckets", "step_spans", "sums", "usage_of"]

T = TypeVar("T")

#: Everything of a day that a metrics server answers.
ALL_KINDS = (*ASKED, *METRICS)
#: The measured series behind each resource.
METRIC_OF = {"cpu": "cpu_usage", "memory": "memory_working_set"}


def over_buckets(store: Store, metric: str, days: Sequence[date], function: Callable[[Block], T], *, workers: int = 2) -> list[T]:
    """``function`` of each bucket of a window, in bucket order whatever the number of workers; raises StoreCorrupt."""
    manifests = store.manifests(metric, days)
    buckets = max((m.buckets for m in manifests.values()), default=1)

    def one(bucket: int) -> T:
        return function(block(store, metric, days, bucket, buckets, manifests))

    if buckets == 1 or workers == 1:
        return [one(bucket) for bucket in range(buckets)]
    with ThreadPoolExecutor(workers, thread_name_prefix="bucket") as pool:
        return list(pool.map(one, range(buckets)))


def step_spans(frame: pd.DataFrame, start: datetime) -> tuple[np.ndarray, np.ndarray]:
    """First step and step after the last of each interval (first_seen, last_seen), counted from ``start``."""
    base = pd.Timestamp(start)
    first = ((frame["first_seen"] - base).dt.total_seconds() // STEP).to_numpy(np.int64)
    last = ((frame["last_seen"] - base).dt.total_seconds() // STEP).to_numpy(np.int64)
    return first, last


def usage_of(
    store: Store, window: Window, resource: str, *, pools: Mapping[tuple[str, str], str] | None = None, workers: int = 2
) -> pd.DataFrame:
    """USAGE of every workload-container of a window for cpu or memory; raises StoreCorrupt.

    ``pools`` is the node pool of each (namespace, pod): DaemonSets are then measured by pool too (methods.md A9).
    """
    days = list(window.days())

    def one(part: Block) -> pd.DataFrame:
        usage = usage_of_block(part.labels, part.day, part.samples, window=window, resource=resource)
        return usage if pools is None else _by_pool(usage, part, pools, window, resource)

    frames = [frame for frame in over_buckets(store, METRIC_OF[resource], days, one, workers=workers) if len(frame)]
    return pd.concat(frames, ignore_index=True).sort_values(list(GROUP), kind="stable", ignore_index=True) if frames else empty(USAGE)


def _by_pool(usage: pd.DataFrame, part: Block, pools: Mapping[tuple[str, str], str], window: Window, resource: str) -> pd.DataFrame:
    """USAGE whose DaemonSets know the node pool with the highest pooled P95."""
    rows = np.flatnonzero((part.labels["workload_kind"] == "DaemonSet").to_numpy())
    if not len(rows):
        return usage
    labels = part.labels.iloc[rows]
    where = pd.Series([pools.get(pod, "") for pod in zip(labels["namespace"], labels["pod"], strict=True)], index=labels.index)
    # the pool becomes part of the workload's name for as long as this takes; no name holds a NUL
    named = labels.assign(workload=labels["workload"] + "\x00" + where)
    each = usage_of_block(named, part.day[rows], part.samples[rows], window=window, resource=resource)
    split = each["workload"].str.split("\x00", n=1, expand=True)
    each = each.assign(workload=split[0], pool=split[1], pool_p95=each["p95"])
    hottest = (
        each[each["pool"] != ""].sort_values(["pool_p95", "pool"], ascending=[False, True], kind="stable").drop_duplicates(list(GROUP))
    )
    found = usage.drop(columns=["pool", "pool_p95"]).merge(hottest[[*GROUP, "pool", "pool_p95"]], on=list(GROUP), how="left")
    return check(found.assign(pool=found["pool"].fillna("")), USAGE)


def sums(store: Store, metric: str, days: Sequence[date], *, workers: int = 2) -> pd.DataFrame:
    """Sum over the window of a counted metric per workload-container: GROUP and ``total``; a series that was never seen has no row."""

    def one(part: Block) -> pd.DataFrame:
        totals = np.nansum(part.samples, axis=1, dtype=np.float64)
        seen = np.isfinite(part.samples).any(axis=1)
        frame = part.labels[list(GROUP)].assign(total=totals)[seen]
        return frame.groupby(list(GROUP), as_index=False, sort=True)["total"].sum()

    frames = [frame for frame in over_buckets(store, metric, days, one, workers=workers) if len(frame)]
    columns: Mapping[str, str] = dict.fromkeys(GROUP, "str") | {"total": "float64"}
    if not frames:
        return pd.DataFrame({name: pd.Series([], dtype=kind) for name, kind in columns.items()})
    return pd.concat(frames, ignore_index=True).astype(columns)
