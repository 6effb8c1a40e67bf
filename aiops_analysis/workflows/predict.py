"""What changed manifests cost a month against what runs now, and whether their pods fit on the present nodes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from aiops_analysis.analysis.node_prices import node_sizes
from aiops_analysis.analysis.room import Placement, Room, allowed, at_end, place, present, requests_of_pods, rooms, unknown_rules
from aiops_analysis.core.errors import NotEnoughData
from aiops_analysis.core.manifest import INJECTED, Asked
from aiops_analysis.core.pricing import HOURS_PER_MONTH
from aiops_analysis.core.schema import RESOURCES
from aiops_analysis.core.units import GIB
from aiops_analysis.core.window import Window
from aiops_analysis.history.inventory import read_frame
from aiops_analysis.history.store import Store
from aiops_analysis.workflows.job_runs import JOB_KINDS
from aiops_analysis.workflows.pricing import Priced

__all__ = ["Predicted", "Prediction", "predicted"]

_OWNER = ["namespace", "workload_kind", "workload"]
_NAN = math.nan


@dataclass(frozen=True)
class Predicted:
    """One workload of a manifest beside what runs of it; requests are of one pod, effective; money is [currency / month]."""

    namespace: str
    kind: str
    name: str
    state: str  # new | changed | same
    pods_now: float  # at the end of the history; of a Job the mean that runs
    pods_then: float
    cpu_now: float  # [cores]
    cpu_then: float
    memory_now: float  # [bytes]
    memory_then: float
    month_now: float
    month_then: float
    wanted: int  # pods that must find a node
    placed: int  # of which a node has room for
    fits: str  # yes | no | unknown
    why: str  # what is missing, "" when they fit
    unknown: tuple[str, ...]  # rules that are not known or not checked
    notes: tuple[str, ...]

    @property
    def difference(self) -> float:
        """What it costs more than now [currency / month]; NaN when not known."""
        return self.month_then - self.month_now


@dataclass(frozen=True)
class Prediction:
    """Every workload of some manifests, and where the figures are from."""

    cluster: str
    day: str  # ISO date of the newest facts
    currency: str
    price_source: str
    workloads: tuple[Predicted, ...]
    others: Mapping[str, int]  # kinds of objects that ask for nothing
    findings: tuple[Mapping[str, object], ...]

    @property
    def difference(self) -> float:
        """What everything costs more than now [currency / month], as far as it is known; NaN when nothing is."""
        known = [one.difference for one in self.workloads if math.isfinite(one.difference)]
        return math.fsum(known) if known else _NAN

    @property
    def without_cost(self) -> tuple[Predicted, ...]:
        """Workloads whose cost is not known."""
        return tuple(one for one in self.workloads if not math.isfinite(one.difference))

    @property
    def unschedulable(self) -> int:
        """Pods that fit on no present node."""
        return sum(one.wanted - one.placed for one in self.workloads if one.fits == "no")


def predicted(store: Store, window: Window, asked: Sequence[Asked], priced: Priced, others: Mapping[str, int]) -> Prediction:
    """Cost and room of manifests by the newest facts of a window.

    Cost = effective requests x pods x unit price x 730 h; limits cost nothing. A Job costs what it costs while it runs: the mean number of
    its pods over the window counts, and one that never ran has no known cost. Raises NotEnoughData without an inventory.
    """
    inventory = read_frame(store, "inventory", window.days())
    if not len(inventory):
        raise NotEnoughData(f"the history of cluster {store.cluster!r} holds no pods of the window; run: aiops-analysis pull")
    newest = at_end(inventory)
    asked, beside_it = _with_injected(asked, newest)
    pods, nodes = requests_of_pods(newest), present(read_frame(store, "nodes", window.days()))
    look = _Look(pods, _last_of_jobs(inventory), nodes, priced, _mean_pods(inventory, window), _scaled(store, window), beside_it)
    counts = {one.key: look.count(one) for one in asked}
    free = rooms(nodes, pods, without=counts)
    where = place([(one, _whole(counts[one.key].then)) for one in asked], free)
    beside = rooms(nodes, pods)
    found = [look.predict(one, counts[one.key], where[one.key], free, beside) for one in asked]
    return Prediction(
        cluster=store.cluster,
        day=str(newest["last_seen"].max().date()) if newest["last_seen"].max() < window.end else str(list(window.days())[-1]),
        currency=priced.currency,
        price_source=priced.book.source,
        workloads=tuple(sorted(found, key=lambda one: (one.namespace, one.kind, one.name))),
        others=dict(others),
        findings=priced.findings,
    )


def _with_injected(asked: Sequence[Asked], newest: pd.DataFrame) -> tuple[list[Asked], dict[tuple[str, str, str], str]]:
    """Manifests with what a mesh adds to their running pods, which no change of a manifest takes away, and its names by workload."""
    mine = newest[newest["container"].isin(INJECTED) & (newest["role"] != "init")]
    cpu, memory = (mine[f"{name}_request"].fillna(mine[f"{name}_limit"]).fillna(0.0) for name in RESOURCES)
    means = mine.assign(cpu=cpu, memory=memory).groupby([*_OWNER, "container"])[["cpu", "memory"]].mean()
    out: list[Asked] = []
    names: dict[tuple[str, str, str], str] = {}
    for one in asked:
        added = [row for row in means.itertuples() if row.Index[:3] == one.key and one.containers and row.Index[3] not in one.containers]
        cpu_of, memory_of = (one.cpu + sum(row.cpu for row in added), one.memory + sum(row.memory for row in added))
        out.append(replace(one, cpu=cpu_of, memory=memory_of) if added else one)
        if added:
            names[one.key] = ", ".join(row.Index[3] for row in added)
    return out, names


def _whole(pods: float) -> int:
    return math.ceil(pods) if math.isfinite(pods) else 0


def _mean_pods(inventory: pd.DataFrame, window: Window) -> dict[tuple[str, ...], float]:
    """Mean running pods of Jobs and CronJobs: their pod-hours over the hours that the history knows."""
    jobs = inventory[inventory["workload_kind"].isin(JOB_KINDS)]
    pods = jobs.groupby([*_OWNER, "pod", "uid"], as_index=False).agg(first=("first_seen", "min"), last=("last_seen", "max"))
    hours = pods.assign(hours=(pods["last"] - pods["first"]).dt.total_seconds() / 3600).groupby(_OWNER)["hours"].sum()
    known = inventory["last_seen"].max() - max(inventory["first_seen"].min(), pd.Timestamp(window.start))
    total = known.total_seconds() / 3600
    return {key: value / total for key, value in hours.items()} if total > 0 else {}


def _last_of_jobs(inventory: pd.DataFrame) -> pd.DataFrame:
    """The requests of the pods of each Job and CronJob that were there last."""
    jobs = inventory[inventory["workload_kind"].isin(JOB_KINDS)]
    last = jobs.groupby(_OWNER)["last_seen"].transform("max")
    return requests_of_pods(jobs[jobs["last_seen"] == last])


def _scaled(store: Store, window: Window) -> dict[tuple[str, str, str], str]:
    """Workloads that an autoscaler scales at the end of the window, by its name."""
    hpas = read_frame(store, "hpas", window.days())
    there = hpas[hpas["last_seen"] == hpas["last_seen"].max()]
    return {(row.namespace, row.target_kind, row.target): row.hpa for row in there.itertuples()}


@dataclass(frozen=True)
class _Count:
    """Pods of a workload now and then."""

    now: float
    then: float
    note: str = ""


@dataclass(frozen=True)
class _Look:
    """What the history says that every workload is compared with."""

    pods: pd.DataFrame  # that are there
    jobs: pd.DataFrame  # the last ones of each Job, which may have ended
    nodes: pd.DataFrame
    priced: Priced
    mean_pods: Mapping[tuple[str, ...], float]
    scaled: Mapping[tuple[str, str, str], str]
    injected: Mapping[tuple[str, str, str], str]

    def of(self, one: Asked) -> pd.DataFrame:
        """The pods of a workload that are there, or were there last of a Job."""
        pods = self.jobs if one.kind in JOB_KINDS else self.pods
        mask = pd.Series(True, index=pods.index)
        for name, part in zip(_OWNER, one.key, strict=True):
            mask &= pods[name] == part
        return pods[mask]

    def count(self, one: Asked) -> _Count:
        """Pods now and then; what an autoscaler or the nodes decide is not the manifest's to say."""
        now = float(len(self.of(one)))
        if one.kind in JOB_KINDS:
            return _Count(self.mean_pods.get(one.key, 0.0), float(one.replicas or 0))
        if one.kind == "DaemonSet":
            return _Count(now, now or _NAN)  # the nodes say it, where they are known
        if now and (hpa := self.scaled.get(one.key)):
            says = f", not the {one.replicas} of the manifest" if one.replicas not in (None, int(now)) else ""
            return _Count(now, now, f"scaled by the autoscaler {hpa}: its present {now:g} pods count{says}")
        if one.replicas is None:
            return _Count(now, now or 1.0, "" if not now else f"the manifest names no replicas: the present {now:g} count")
        return _Count(now, float(one.replicas))

    def predict(self, one: Asked, count: _Count, where: Placement, free: Sequence[Room], beside: Sequence[Room]) -> Predicted:
        """One workload, with its cost and its room."""
        mine = self.of(one)
        job = one.kind in JOB_KINDS
        pods_then = count.now if job else count.then
        if one.kind == "DaemonSet" and free:
            pods_then = float(where.wanted)
        cpu, memory = (float(mine[name].mean()) if len(mine) else _NAN for name in RESOURCES)
        prices = {resource: self._price(one, mine, free, resource) for resource in RESOURCES}
        ran = not job or count.now > 0
        month_then = _month(one.cpu, one.memory, pods_then, prices) if ran else _NAN
        month_now = _month(cpu, memory, count.now, prices) if len(mine) else 0.0
        same = len(mine) and round(cpu * 1000) == round(one.cpu * 1000) and round(memory) == round(one.memory) and count.now == pods_then
        notes = [*([count.note] if count.note else []), *self._notes(one, count, where, beside, len(mine))]
        return Predicted(
            namespace=one.namespace,
            kind=one.kind,
            name=one.name,
            state="same" if same else "changed" if len(mine) or count.now else "new",
            pods_now=count.now,
            pods_then=pods_then,
            cpu_now=cpu,
            cpu_then=one.cpu,
            memory_now=memory,
            memory_then=one.memory,
            month_now=month_now,
            month_then=month_then,
            wanted=where.wanted,
            placed=where.placed,
            fits="unknown" if not free else "no" if where.placed < where.wanted else "yes",
            why=where.why if free else "the history knows no nodes",
            unknown=tuple(dict.fromkeys(unknown_rules(one, free))),
            notes=tuple(notes),
        )

    def _notes(self, one: Asked, count: _Count, where: Placement, beside: Sequence[Room], running: int) -> Iterator[str]:
        if one.unset:
            yield f"no request is set for {', '.join(one.unset[:5])}: it costs nothing on paper and reserves nothing"
        if names := self.injected.get(one.key):
            yield f"{names} is added to its pods by somebody else and counts as it is now"
        if one.kind in JOB_KINDS:
            ran = f"the mean of {count.now:.3g} running pods of the window counts" if count.now else "how long it runs is not known"
            yield f"a Job costs only while it runs: {ran}"
        if one.kind == "Deployment" and running and where.wanted and where.placed == where.wanted:
            surge = place([(one, 1)], beside)[one.key]
            if beside and not surge.placed:
                yield "no node has room for a new pod beside the old ones: a rollout must let one of these go first"

    def _price(self, one: Asked, mine: pd.DataFrame, free: Sequence[Room], resource: str) -> float:
        """Price of a core or a GiB and hour where its pods run, or could run, weighted by the nodes' sizes; else of the whole cluster."""
        names = {room.node for room in free if not allowed(one, room)}
        there = set(mine["node"]) & names or names
        if not there:
            return float(getattr(self.priced.book, f"{resource}_hour"))
        table = self.priced.nodes[self.priced.nodes["node"].isin(there)]
        sizes = table["node"].map(node_sizes(self.nodes.set_index("node"), resource)).astype("float64")
        usable = table[f"{resource}_hour"].notna() & (sizes > 0)
        weights = sizes[usable]
        return float((table.loc[usable, f"{resource}_hour"] * weights).sum() / weights.sum()) if len(weights) else _NAN


def _month(cpu: float, memory: float, pods: float, prices: Mapping[str, float]) -> float:
    """Requests x pods x unit price [currency / month]; a resource that is not asked for needs no price."""
    parts = [(cpu, prices["cpu"]), (memory / GIB, prices["memory"])]
    return math.fsum(amount * price for amount, price in parts if amount) * pods * HOURS_PER_MONTH if pods else 0.0
