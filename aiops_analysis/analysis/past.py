"""The history as slices, days or whole weeks: what pods asked for and which nodes there were, by node pool (methods.md B3).

A slice is a stored day, or a week of which only the weekly rows are left. Its hours are those in which nodes were seen, so a day of
23 measured hours counts as 23 hours of both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property

import numpy as np
import pandas as pd

from aiops_analysis.core.contract import Contract, check
from aiops_analysis.core.schema import GROUP

__all__ = ["ASKED", "RATES", "RESOURCES_OF", "SLICES", "STANDING", "Past", "past_of"]

#: What the running containers of one workload-container asked for in one slice and node pool; init containers are left out.
ASKED = Contract(
    "asked",
    {
        "start": "int64",  # ordinal of the slice's first day
        "pool": "str",  # "" where the pods had no node
        "namespace": "str",
        "workload_kind": "str",
        "workload": "str",
        "container": "str",
        "pod_hours": "float64",
        "cpu": "float64",  # [core hours] requested
        "memory": "float64",  # [GiB hours] requested
    },
    ("start", "pool", *GROUP),
)

#: The nodes of one pool in one slice.
STANDING = Contract(
    "standing nodes",
    {
        "start": "int64",
        "pool": "str",
        "node_hours": "float64",
        "cpu": "float64",  # [core hours] allocatable, NaN when not known
        "memory": "float64",  # [GiB hours] allocatable
        "cost": "float64",  # [currency] at today's node prices, NaN when a node has none
        "cost_before": "float64",  # [currency] at the node prices of the baseline period
    },
    ("start", "pool"),
)

#: The slices themselves.
#: ``hours`` are those in which nodes were seen, 0 where requests are known and nodes are not.
SLICES = Contract("slices", {"start": "int64", "days": "int64", "hours": "float64"}, ("start",))

#: Unit prices of the baseline period by pool.
RATES = Contract("rates", {"pool": "str", "cpu_hour": "float64", "memory_hour": "float64"}, ("pool",))

RESOURCES_OF = ("cpu", "memory")


@dataclass(frozen=True, eq=False)
class Past:
    """Slices in order of time; arrays are [pools, slices].

    ``asked`` rows carry the number of their slice (``at``), of their pool (``number``, -1 without one) and of their workload-container
    (``group``), which is the row of ``groups``.
    """

    start: np.ndarray  # ordinals
    days: np.ndarray
    hours: np.ndarray
    pools: tuple[str, ...]
    node_hours: np.ndarray
    cpu: np.ndarray
    memory: np.ndarray
    cost: np.ndarray
    cost_before: np.ndarray
    rates: np.ndarray  # [pools, (cpu, memory)] currency per core or GiB and hour
    asked: pd.DataFrame
    groups: pd.DataFrame  # GROUP, one row per workload-container

    @cached_property
    def totals(self) -> dict[str, np.ndarray]:
        """``pod_hours``, ``cpu`` and ``memory`` over all pools [groups, slices]."""
        return {name: self.grid(name, np.ones(len(self.asked), bool)) for name in ("pod_hours", *RESOURCES_OF)}

    def grid(self, name: str, mask: np.ndarray) -> np.ndarray:
        """The sum of a column of the masked ``asked`` rows [groups, slices]."""
        shape = (len(self.groups), len(self.start))
        flat = self.asked["group"].to_numpy()[mask] * shape[1] + self.asked["at"].to_numpy()[mask]
        return np.asarray(np.bincount(flat, self.asked[name].to_numpy()[mask], shape[0] * shape[1])).reshape(shape)

    def as_one(self) -> Past:
        """The same history with all node pools as one."""
        weight = self.node_hours.sum(axis=1, keepdims=True)
        priced = np.isfinite(self.rates) & (weight > 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            rates = np.where(priced, self.rates * weight, 0.0).sum(axis=0) / np.where(priced, weight, 0.0).sum(axis=0)
        sums = {name: getattr(self, name).sum(axis=0, keepdims=True) for name in ("node_hours", "cpu", "memory", "cost", "cost_before")}
        placed = self.asked.assign(number=np.where(self.asked["number"] >= 0, 0, -1))
        return replace(self, pools=("",), rates=rates[None, :], asked=placed, **sums)

    def between(self, first: int, end: int) -> np.ndarray:
        """Which slices with known nodes lie wholly in the half-open range of ordinals."""
        return np.asarray((self.start >= first) & (self.start + self.days <= end) & (self.hours > 0))

    def last_before(self, end: int, days: int, reach: int) -> np.ndarray:
        """Which slices are the newest before ``end`` that make up at most ``days`` days, none of them older than ``reach`` days."""
        out = np.zeros(len(self.start), bool)
        total = 0
        for i in reversed(np.flatnonzero(self.between(end - reach, end)).tolist()):
            if total + self.days[i] > days:
                break
            out[i] = True
            total += int(self.days[i])
        return out

    def measured(self, mask: np.ndarray) -> int:
        """Measured days of some slices."""
        return int(self.days[mask].sum())

    def day(self, at: int) -> date:
        """The first day of a slice."""
        return date.fromordinal(int(self.start[at]))


def past_of(slices: pd.DataFrame, asked: pd.DataFrame, standing: pd.DataFrame, rates: pd.DataFrame) -> Past:
    """The history of SLICES, ASKED, STANDING and RATES; pools are those that ever had a node. Raises SchemaError."""
    when = check(slices, SLICES).sort_values("start", ignore_index=True)
    nodes, rows, prices = check(standing, STANDING), check(asked, ASKED), check(rates, RATES).set_index("pool")
    pools = tuple(sorted(set(nodes["pool"])))
    at = {int(start): i for i, start in enumerate(when["start"])}
    number = {pool: i for i, pool in enumerate(pools)}
    grids = {name: np.zeros((len(pools), len(when))) for name in ("node_hours", "cpu", "memory", "cost", "cost_before")}
    where = ([number[pool] for pool in nodes["pool"]], [at[int(start)] for start in nodes["start"]])
    for name, grid in grids.items():
        grid[where] = nodes[name].to_numpy()
    known = prices.reindex(list(pools))
    codes, groups = pd.MultiIndex.from_frame(rows[list(GROUP)]).factorize(sort=True)
    places = {"at": rows["start"].map(at), "number": rows["pool"].map(number).fillna(-1), "group": codes}
    return Past(
        start=when["start"].to_numpy(),
        days=when["days"].to_numpy(),
        hours=when["hours"].to_numpy(),
        pools=pools,
        rates=known[["cpu_hour", "memory_hour"]].to_numpy(),
        asked=rows.assign(**{name: np.asarray(values).astype("int64") for name, values in places.items()}),
        groups=pd.DataFrame([list(key) for key in groups], columns=list(GROUP), dtype="str"),
        **grids,
    )
