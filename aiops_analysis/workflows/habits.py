"""When the cluster is used: the hour-of-week profile of every workload-container, the week of the whole cluster, and what is idle."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aiops_analysis.analysis.hours import HoursPolicy
from aiops_analysis.analysis.idle import IdlePolicy, idle_workloads
from aiops_analysis.analysis.profile import PROFILE, WEEK, Totals, profile_of_block, totals_of_block, week_of
from aiops_analysis.core.names import visible
from aiops_analysis.core.schema import GROUP, RESOURCES, check, empty
from aiops_analysis.core.window import Window, steps_of
from aiops_analysis.history.days import Block
from aiops_analysis.history.inventory import read_frame
from aiops_analysis.history.store import Store
from aiops_analysis.workflows.measure import METRIC_OF, over_buckets, step_spans

__all__ = ["Habits", "Idle", "habits_of", "idle_of", "with_business"]

_MOST_NAMED = 5
#: What a finding says of its workloads, in the order in which findings are told.
_SAID = {
    "abandoned": "abandoned, with next to no CPU and no request",
    "possibly_abandoned": "possibly abandoned, with next to no CPU (no request metric was read: check before deleting)",
    "off_hours": "idle outside business hours, in namespaces that look like non-production",
    "weekend_dip": "quiet at weekends",
}


@dataclass(frozen=True)
class Habits:
    """PROFILE of every workload-container and WEEK of the cluster, of both resources, and the hours that they were made with."""

    profile: pd.DataFrame
    week: pd.DataFrame
    hours: HoursPolicy


def habits_of(
    store: Store, window: Window, hours: HoursPolicy | None = None, *, inventory: pd.DataFrame | None = None, workers: int = 2
) -> Habits:
    """The habits of a window; each block of the history is read once, ``inventory`` not again where it is given. Raises StoreCorrupt."""
    policy = hours or HoursPolicy()
    days = list(window.days())
    asked = _requested(store, window, read_frame(store, "inventory", days) if inventory is None else inventory)
    profiles, weeks = [], []
    for resource in RESOURCES:

        def one(part: Block, resource: str = resource) -> tuple[pd.DataFrame, Totals]:
            profile = profile_of_block(part.labels, part.day, part.samples, window=window, resource=resource, hours=policy)
            return profile, totals_of_block(part.day, part.samples, days=len(days))

        found = over_buckets(store, METRIC_OF[resource], days, one, workers=workers)
        profiles += [profile for profile, _ in found if len(profile)]
        totals = functools.reduce(operator.add, (total for _, total in found))
        weeks.append(week_of(totals, asked[resource], window=window, resource=resource, hours=policy))
    profile = check(pd.concat(profiles, ignore_index=True), PROFILE) if profiles else empty(PROFILE)
    profile = profile.sort_values(["resource", *GROUP], kind="stable", ignore_index=True)
    return Habits(profile, check(pd.concat(weeks, ignore_index=True), WEEK), policy)


@dataclass(frozen=True)
class Idle:
    """IDLE: one row per finding; and the findings of the run, each with the paper saving of all its rows."""

    workloads: pd.DataFrame
    findings: tuple[Mapping[str, object], ...]


def idle_of(
    habits: Habits,
    recommendations: pd.DataFrame,
    usage: pd.DataFrame,
    facts: pd.DataFrame,
    *,
    currency: str,
    policy: IdlePolicy | None = None,
    requests: pd.DataFrame | None = None,
) -> Idle:
    """What could be switched off, of priced RECOMMENDATIONS, USAGE and FACTS of the same window; see ``idle_workloads``."""
    frame = idle_workloads(recommendations, usage, facts, habits.profile, hours=habits.hours, policy=policy, requests=requests)
    return Idle(frame, tuple(_findings(frame, currency)))


def _findings(idle: pd.DataFrame, currency: str) -> Iterator[dict[str, object]]:
    for finding, said in _SAID.items():
        rows = idle[idle["finding"] == finding]
        if not len(rows):
            continue
        names = list(dict.fromkeys(f"{row.namespace}/{row.workload}" for row in rows.itertuples()))
        saving = float(rows["saving"].sum(min_count=1))
        named = ", ".join(visible(name, 120) for name in names[:_MOST_NAMED])
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        money = "" if np.isnan(saving) else f". On paper {saving:,.2f} {currency} a month, not to be added to right-sizing"
        message = f"{said}: {len(names)} {'workload' if len(names) == 1 else 'workloads'}, {named}{more}{money}"
        data = {"workloads": names, "saving_month": None if np.isnan(saving) else saving}
        yield {"code": finding, "message": message, "data": data}


def with_business(recommendations: pd.DataFrame, habits: Habits) -> pd.DataFrame:
    """RECOMMENDATIONS with ``business_p95`` filled where business hours were measured and the row shows its other quantiles."""
    on = [*GROUP, "resource"]
    found = recommendations[on].merge(habits.profile[[*on, "business_p95"]], on=on, how="left")["business_p95"].to_numpy()
    return recommendations.assign(business_p95=np.where(recommendations["pooled_p95"].notna(), found, np.nan))


def _requested(store: Store, window: Window, inventory: pd.DataFrame) -> dict[str, np.ndarray]:
    """Sum of the requests of running containers at each step [UTC days, steps], NaN on days without inventory.

    An init container that has ended asks for nothing; one that keeps running (a native sidecar) counts.
    """
    days = list(window.days())
    steps = steps_of()
    known = np.array([store.manifest("inventory", day) is not None for day in days])
    inventory = inventory[inventory["role"] != "init"]
    first, last = (np.clip(edge, 0, len(days) * steps) for edge in step_spans(inventory, window.start))
    out = {}
    for resource in RESOURCES:
        request = inventory[f"{resource}_request"].fillna(0.0).to_numpy()
        edges = np.bincount(first, request, len(days) * steps + 1) - np.bincount(last, request, len(days) * steps + 1)
        total = np.maximum(np.cumsum(edges)[:-1], 0.0).reshape(len(days), steps)  # a sum of floats may end a hair below 0
        out[resource] = np.where(known[:, None], total, np.nan)
    return out
