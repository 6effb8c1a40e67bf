"""Where pods ran: node pools, the largest node of those, and whether a running pod can be resized there (methods.md A9)."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import pandas as pd

from aiops_analysis.core.schema import GROUP
from aiops_analysis.core.window import DAY

__all__ = ["IN_PLACE_SINCE", "pool_of_pods", "with_placement"]

#: Kubernetes resizes running pods by default since this version (beta; general availability in 1.35).
IN_PLACE_SINCE = (1, 33)
_VERSION = re.compile(r"v?(\d+)\.(\d+)")


def pool_of_pods(inventory: pd.DataFrame, nodes: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Node pool of each (namespace, pod), "" where the node is unknown."""
    pools = dict(zip(nodes["node"], nodes["pool"], strict=True))
    where = zip(inventory["namespace"], inventory["pod"], inventory["node"], strict=True)
    return {(namespace, pod): pools.get(node, "") for namespace, pod, node in where}


def with_placement(facts: pd.DataFrame, inventory: pd.DataFrame, nodes: pd.DataFrame) -> pd.DataFrame:
    """FACTS with ``pools``, ``largest_node``, ``largest_node_memory`` and ``resize`` from the newest facts of the nodes."""
    newest = nodes.sort_values("last_seen").drop_duplicates("node", keep="last")
    last = inventory["last_seen"].groupby([inventory[name] for name in GROUP]).transform("max")
    at_end = inventory[inventory["last_seen"] == last]
    sizes = _room(newest, at_end)
    largest_cpu, largest_memory = sizes["cpu_allocatable"].to_dict(), sizes["memory_allocatable"].to_dict()
    pool_of = pool_of_pods(at_end, newest)
    pods = at_end.drop_duplicates([*GROUP, "pod"])
    counted: dict[tuple[str, ...], dict[str, int]] = {}
    for row in pods.itertuples():
        pool = pool_of[row.namespace, row.pod]
        group = counted.setdefault(tuple(getattr(row, name) for name in GROUP), {})
        group[pool] = group.get(pool, 0) + 1
    keys = list(zip(*(facts[name] for name in GROUP), strict=True))
    pools = [sorted(counted.get(key, {}).items()) for key in keys]
    return facts.assign(
        pools=pools,
        largest_node=[_largest(found, largest_cpu) for found in pools],
        largest_node_memory=[_largest(found, largest_memory) for found in pools],
        resize="in place" if _in_place(newest[newest["last_seen"] > newest["last_seen"].max() - DAY]) else "",
    )


def _room(nodes: pd.DataFrame, at_end: pd.DataFrame) -> pd.DataFrame:
    """The most that one pod can get in each pool: allocatable less what DaemonSets ask for on that node [cores | bytes]."""
    asked = {"cpu_allocatable": "cpu_request", "memory_allocatable": "memory_request"}
    everywhere = at_end[(at_end["workload_kind"] == "DaemonSet") & (at_end["role"] != "init")].groupby("node")[list(asked.values())].sum()
    beside = everywhere.reindex(nodes["node"]).fillna(0.0)
    free = nodes[["pool"]].assign(**{size: nodes[size].to_numpy() - beside[request].to_numpy() for size, request in asked.items()})
    return free.groupby("pool")[list(asked)].max()


def _largest(pools: list[tuple[str, int]], sizes: Mapping[str, float]) -> float:
    """The largest node of the pools, NaN when one of them is unknown."""
    found = [sizes.get(pool, np.nan) for pool, _ in pools]
    return max(found) if found and not any(np.isnan(found)) else np.nan


def _in_place(nodes: pd.DataFrame) -> bool:
    """True when every node's kubelet resizes running pods."""
    versions = [_VERSION.match(text) for text in nodes["version"]]
    return bool(versions) and all(m is not None and (int(m[1]), int(m[2])) >= IN_PLACE_SINCE for m in versions)
