"""Run the pure functions of the analysis floor over the buckets of the history, in a small pool of threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from typing import TypeVar

import numpy as np
import pandas as pd

from aiops_analysis.analysis.usage import usage_of_block
from aiops_analysis.core.schema import GROUP, METRICS, USAGE, empty
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
    store: Store,
    window: Window,
    resource: str,
    *,
    prepare: Callable[[Block], Block] | None = None,
    refine: Callable[[Block, pd.DataFrame], pd.DataFrame] | None = None,
    workers: int = 2,
) -> pd.DataFrame:
    """USAGE of every workload-container of a window for cpu or memory; raises StoreCorrupt.

    ``prepare`` changes a block before it is measured, ``refine`` its USAGE afterwards.
    """
    days = list(window.days())

    def one(part: Block) -> pd.DataFrame:
        part = part if prepare is None else prepare(part)
        usage = usage_of_block(part.labels, part.day, part.samples, window=window, resource=resource)
        return usage if refine is None else refine(part, usage)

    frames = [frame for frame in over_buckets(store, METRIC_OF[resource], days, one, workers=workers) if len(frame)]
    return pd.concat(frames, ignore_index=True).sort_values(list(GROUP), kind="stable", ignore_index=True) if frames else empty(USAGE)


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
