"""A history of a few containers and nodes, literal enough to work its cost out by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from aiops_analysis.core.schema import INVENTORY, LABELS, NODES, blank, check, empty
from aiops_analysis.core.schema_money import NODE_PRICES
from aiops_analysis.core.units import GIB
from aiops_analysis.core.window import Window, day_start
from aiops_analysis.history.days import commit_matrix
from aiops_analysis.history.inventory import commit_frame, read_frame
from aiops_analysis.history.store import Manifest, Store, open_store

__all__ = ["GIB", "container", "demo_prices", "node", "prices", "put", "stored"]

#: Series of a day: (namespace, kind, workload, pod, container) -> samples of 288 steps, or one number for all of them.
Series = Mapping[tuple[str, str, str, str, str], float | np.ndarray]


def stored(folder: Path) -> Store:
    """An empty history."""
    return open_store(folder, "tiny")


def container(
    day: date, workload: str = "web", first: int = 0, last: int = 288, cpu: float = 0.5, gib: float = 1.0, **more: object
) -> dict[str, object]:
    """A row of INVENTORY from a step of the day to another; namespace shop, node n1, one pod."""
    start = pd.Timestamp(day_start(day))
    row = blank(INVENTORY) | {"namespace": "shop", "workload_kind": "Deployment", "workload": workload, "container": "app", "role": "app"}
    row |= {"pod": f"{workload}-0", "uid": workload, "node": "n1", "cpu_request": cpu, "memory_request": gib * GIB}
    return row | {"first_seen": start + pd.Timedelta(minutes=5 * first), "last_seen": start + pd.Timedelta(minutes=5 * last)} | more


def node(day: date, name: str = "n1", pool: str = "general", first: int = 0, last: int = 288, **more: object) -> dict[str, object]:
    """A row of NODES: 4 cores and 16 GiB."""
    start = pd.Timestamp(day_start(day))
    row = blank(NODES) | {"node": name, "pool": pool, "cpu_capacity": 4.0, "memory_capacity": 16.0 * GIB, "zone": "a"}
    return row | {"first_seen": start + pd.Timedelta(minutes=5 * first), "last_seen": start + pd.Timedelta(minutes=5 * last)} | more


def prices(**of_node: tuple[float, float]) -> pd.DataFrame:
    """NODE_PRICES: node -> price of a core hour and of a GiB hour; the node's own is that of 4 cores and 16 GiB."""
    rows = [
        blank(NODE_PRICES)
        | {"node": name, "pool": "general", "price_hour": 4 * cpu + 16 * memory, "cpu_hour": cpu, "memory_hour": memory, "basis": "sheet"}
        for name, (cpu, memory) in of_node.items()
    ]
    return check(pd.DataFrame(rows), NODE_PRICES) if rows else empty(NODE_PRICES)


def put(
    store: Store,
    day: date,
    containers: Sequence[Mapping[str, object]] | None = (),
    nodes: Sequence[Mapping[str, object]] | None = (),
    cpu: Series | None = None,
    gib: Series | None = None,
) -> None:
    """Commit one day; None leaves a kind out."""
    with store.lock():
        for kind, contract, rows in (("inventory", INVENTORY, containers), ("nodes", NODES, nodes)):
            if rows is not None:
                commit_frame(store, Manifest(kind, day), check(pd.DataFrame(list(rows)), contract) if rows else empty(contract))
        for metric, series, unit in (("cpu_usage", cpu, 1.0), ("memory_working_set", gib, GIB)):
            if series is not None:
                labels = pd.DataFrame(list(series), columns=list(LABELS)).astype("str")
                samples = np.array([np.broadcast_to(np.asarray(values, float), 288) for values in series.values()]).reshape(-1, 288)
                commit_matrix(store, Manifest(metric, day), labels, (samples * unit).astype(np.float32))


def demo_prices(store: Store, window: Window) -> pd.DataFrame:
    """NODE_PRICES of the demo at the default prices."""
    nodes = read_frame(store, "nodes", window.days()).drop_duplicates("node")
    spot = nodes["capacity_type"] == "spot"
    cpu, memory = np.where(spot, 0.006655, 0.031611), np.where(spot, 0.000892, 0.004237)
    whole = cpu * nodes["cpu_capacity"] + memory * nodes["memory_capacity"] / GIB
    about = {"basis": "default", "source": "", "matched_by": ""}
    return check(nodes[["node", "pool"]].assign(price_hour=whole, cpu_hour=cpu, memory_hour=memory, **about), NODE_PRICES)
