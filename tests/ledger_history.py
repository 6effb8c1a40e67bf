"""Small histories for the ledger, written through the store: who ran where on each day, and which nodes there were."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd

from aiops_analysis.core.decision import Choice, Decision
from aiops_analysis.core.pricing import PriceList
from aiops_analysis.core.schema import INVENTORY, NODES, Contract, blank, check, row_id
from aiops_analysis.history.inventory import commit_frame
from aiops_analysis.history.store import Manifest, Store, open_store
from aiops_analysis.sources.records import Folder, Record
from aiops_analysis.workflows.slices import Raw, slices_of

__all__ = ["CORE", "CUT", "NodeOf", "Run", "at", "choice", "cut", "day_of", "decision", "folder_of", "history", "in_memory", "nodes", "run"]

GIB = 2**30
CUT = date(2026, 9, 1)  # the day on which requests change in the tests
#: A core costs 1 a month and memory next to nothing, so a node of 4 cores costs 4.
CORE = PriceList("tests", "prices of the tests", "USD", cpu_hour=1 / 730, memory_hour=1e-15)


@dataclass(frozen=True)
class Run:
    """Pods of one container that ask for the same, on one day: ``count`` of them on ``node``, from hour to hour."""

    workload: str
    count: int
    cpu: float  # [cores] of one pod
    node: str = "n1"
    memory: float = math.nan  # [GiB]
    first: float = 0.0
    last: float = 24.0
    container: str = "app"
    kind: str = "Deployment"
    role: str = "app"
    namespace: str = "shop"


@dataclass(frozen=True)
class NodeOf:
    """A node on one day."""

    name: str
    pool: str = "blue"
    cores: float = 4.0
    first: float = 0.0
    last: float = 24.0
    capacity_type: str = "on-demand"


def at(day: date, hour: float) -> datetime:
    """An hour of a UTC day."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=hour)


def day_of(offset: int) -> date:
    """A day counted from the cut."""
    return CUT + timedelta(days=offset)


def run(workload: str, count: int, cpu: float, **given: object) -> Run:
    """Pods of one container."""
    return Run(workload, count, cpu, **given)  # type: ignore[arg-type]


def nodes(count: int, pool: str = "blue", cores: float = 4.0, **given: object) -> list[NodeOf]:
    """Equal nodes n1, n2, ... of a pool."""
    mark = "n" if pool == "blue" else f"{pool}-"
    return [NodeOf(f"{mark}{number}", pool, cores, **given) for number in range(1, count + 1)]  # type: ignore[arg-type]


def _pods(day: date, runs: Iterable[Run]) -> list[dict[str, object]]:
    return [
        blank(INVENTORY)
        | {
            "namespace": one.namespace,
            "pod": f"{one.workload}-{number}-{pod}"[:80],
            "uid": f"{number}-{pod}",
            "container": one.container,
            "role": one.role,
            "workload_kind": one.kind,
            "workload": one.workload,
            "node": one.node,
            "cpu_request": one.cpu,
            "memory_request": one.memory * GIB,
            "first_seen": at(day, one.first),
            "last_seen": at(day, one.last),
        }
        for number, one in enumerate(runs)
        for pod in range(one.count)
    ]


def _machines(day: date, machines: Iterable[NodeOf]) -> list[dict[str, object]]:
    return [
        blank(NODES)
        | {
            "node": one.name,
            "pool": one.pool,
            "capacity_type": one.capacity_type,
            "cpu_capacity": one.cores,
            "cpu_allocatable": one.cores,
            "memory_capacity": 16.0 * GIB,
            "memory_allocatable": 16.0 * GIB,
            "first_seen": at(day, one.first),
            "last_seen": at(day, one.last),
        }
        for one in machines
    ]


def _frame(rows: list[dict[str, object]], contract: Contract) -> pd.DataFrame:
    return check(pd.DataFrame(rows, columns=list(contract.columns)), contract)


def _rolled(pods: Callable[[int], Sequence[Run]], offset: int) -> list[Run]:
    """The pods of a day; on that of the cut a request that changes is the old one until two in the morning.

    So the day of the cut is neither of before nor of after.
    """
    if offset:
        return list(pods(offset))
    before = {(one.workload, one.container, one.node): one for one in pods(offset - 1)}
    out = []
    for one in pods(offset):
        old = before.get((one.workload, one.container, one.node))
        same = old is None or (old.cpu == one.cpu and (old.memory == one.memory or math.isnan(old.memory))) or one.first > 0
        out += [one] if same else [replace(old, last=2.0), replace(one, first=2.0)]
    return out


def history(
    root: Path,
    offsets: Iterable[int],
    pods: Callable[[int], Sequence[Run]],
    machines: Callable[[int], Sequence[NodeOf] | None],
    *,
    cluster: str = "prod",
) -> Store:
    """A store with the days at ``offsets`` from the cut; ``machines`` may give None for a day without node data."""
    store = open_store(root, cluster)
    with store.lock():
        for offset in offsets:
            day = day_of(offset)
            commit_frame(store, Manifest("inventory", day), _frame(_pods(day, _rolled(pods, offset)), INVENTORY))
            if (there := machines(offset)) is not None:
                commit_frame(store, Manifest("nodes", day), _frame(_machines(day, there), NODES))
    return store


def in_memory(
    offsets: Iterable[int], pods: Callable[[int], Sequence[Run]], machines: Callable[[int], Sequence[NodeOf] | None]
) -> Callable[[date, date], Raw]:
    """The same days as the store would give them, without files."""

    def read(first: date, last: date) -> Raw:
        days = [offset for offset in offsets if first <= day_of(offset) <= last]
        inventory = [row for offset in days for row in _pods(day_of(offset), _rolled(pods, offset))]
        there = [row for offset in days for row in _machines(day_of(offset), machines(offset) or ())]
        return slices_of([(_frame(inventory, INVENTORY), _frame(there, NODES))])

    return read


def cut(workload: str, before: float, after: float, **given: object) -> Choice:
    """A decided change of the CPU request [cores]."""
    return choice(workload, before, after, **given)


def choice(
    workload: str,
    before: float,
    after: float,
    *,
    resource: str = "cpu",
    container: str = "app",
    cluster: str = "prod",
    kind: str = "Deployment",
    namespace: str = "shop",
) -> Choice:
    """One change of a record; memory in GiB."""
    key = (cluster, namespace, kind, workload, container, resource)
    unit = GIB if resource == "memory" else 1.0
    nan = math.nan
    return Choice(row_id(key), key, "decrease" if after < before else "increase", before * unit, nan, after * unit, nan, nan, nan)


def decision(number: int, *choices: Choice, paper: float = math.nan, on: date = CUT - timedelta(days=2), **given: object) -> Decision:
    """An accepted record, written and decided on ``on``."""
    values = {
        "id": f"{number:04d}",
        "file": f"{number:04d}-x.md",
        "title": "x",
        "status": "accepted",
        "cluster": "prod",
        "dated": on,
        "decided_by": "A",
        "decided_on": on,
        "implemented_on": None,
        "superseded_by": "",
        "guard": None,
        "choices": choices,
        "paper": paper,
        "bankable": math.nan,
        "currency": "USD",
        "price_source": "",
        "evidence_file": "",
        "evidence_sha256": "",
    }
    return Decision(**(values | given))


def folder_of(*decisions: Decision) -> Folder:
    """A folder as if it had been read."""
    return Folder(Path("adr"), tuple(Record(one.file, one) for one in decisions))
