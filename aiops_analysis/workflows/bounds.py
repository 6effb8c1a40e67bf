"""What a namespace allows: LimitRanges and quotas of one day, one row per run of equal values (methods.md A9)."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd

from aiops_analysis.core.schema import BOUNDS, check, empty
from aiops_analysis.core.window import STEP, day_start
from aiops_analysis.history.inventory import runs
from aiops_analysis.workflows.objects import Answer

__all__ = ["bounds_frame"]

_FIELDS = ("min", "max", "default", "defaultRequest", "maxLimitRequestRatio")


def bounds_frame(day: date, limit_ranges: Answer, quotas: Answer) -> pd.DataFrame:
    """BOUNDS of one day from kube_limitrange and kube_resourcequota."""
    rows, series = [], []
    for m, values in zip(limit_ranges.labels, limit_ranges.samples, strict=True):
        if m.get("constraint") in _FIELDS and m.get("type") in ("Container", "Pod"):
            rows.append((m.get("namespace", ""), "LimitRange", m.get("limitrange", ""), m["type"], m.get("resource", ""), m["constraint"]))
            series.append(values)
    for m, values in zip(quotas.labels, quotas.samples, strict=True):
        side, _, resource = m.get("resource", "").rpartition(".")
        if m.get("type") in ("hard", "used") and side in ("", "requests", "limits") and resource in ("cpu", "memory"):
            # a plain "cpu" is the sum of requests, as Kubernetes counts it
            rows.append(
                (m.get("namespace", ""), "ResourceQuota", m.get("resourcequota", ""), "", resource, f"{side or 'requests'}.{m['type']}")
            )
            series.append(values)
    if not rows:
        return empty(BOUNDS)
    values = np.stack(series)[:, None, :].astype(np.float64)
    row, first, last = runs(values, np.isfinite(values[:, 0]))
    base = pd.Timestamp(day_start(day)).as_unit("s")
    frame = pd.DataFrame([rows[r] for r in row], columns=["namespace", "kind", "name", "scope", "resource", "field"]).assign(
        value=values[row, 0, first],
        first_seen=base + pd.to_timedelta(first * STEP, unit="s"),
        last_seen=base + pd.to_timedelta((last + 1) * STEP, unit="s"),
    )
    return check(frame, BOUNDS)
