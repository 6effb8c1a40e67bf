"""What a run of a Job used: the unit of Jobs and CronJobs is a run, not a step of time (methods.md A9)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aiops_analysis.analysis.usage import usage_of_block
from aiops_analysis.core.schema import LABELS, RUNS, USAGE, check, empty
from aiops_analysis.core.window import Window

__all__ = ["run_values", "usage_of_runs"]


def run_values(runs: pd.DataFrame, resource: str) -> NDArray[np.float64]:
    """What each of RUNS used: CPU seconds / length of the run [cores], or its largest working set [bytes]; NaN where not measured."""
    if resource == "memory":
        return np.asarray(runs["memory_max"], np.float64)
    length = np.asarray((runs["end"] - runs["start"]).dt.total_seconds(), np.float64)
    cpu = np.asarray(runs["cpu_seconds"], np.float64)
    rate: NDArray[np.float64] = np.divide(cpu, length, out=np.full(len(runs), np.nan), where=length > 0)
    return rate


def usage_of_runs(runs: pd.DataFrame, *, window: Window, resource: str) -> pd.DataFrame:
    """USAGE of each Job's or CronJob's container whose samples are the finished RUNS that ended in the window, one sample a run.

    Quantiles are across runs, days are clusters of the interval; ``samples`` is the number of runs. There is no hottest pod: a run is a
    pod. Raises SchemaError for frames that break their contract.
    """
    frame = check(runs, RUNS)
    start, end = pd.Timestamp(window.start), pd.Timestamp(window.end)
    finished = frame[frame["outcome"].isin(["succeeded", "failed"]) & (frame["end"] > start) & (frame["end"] <= end)]
    values = run_values(finished, resource)
    known = np.isfinite(values)
    finished, values = finished[known], values[known]
    if not len(finished):
        return empty(USAGE)
    # a run that ends at midnight belongs to the day that ends there
    day = ((finished["end"] - pd.Timedelta(seconds=1) - start).dt.total_seconds() // 86_400).to_numpy(np.int64)
    usage = usage_of_block(finished[list(LABELS)], day, values.astype(np.float32)[:, None], window=window, resource=resource)
    return check(usage.assign(hot_pod="", hot_p95=np.nan), USAGE)
