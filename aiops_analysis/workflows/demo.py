"""The demo history: the seeded cluster of sources.demo written through the store, the same bytes every time."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from aiops_analysis.core.schema import METRICS
from aiops_analysis.core.window import DAY, day_start, iso
from aiops_analysis.history.days import commit_matrix
from aiops_analysis.history.inventory import commit_frame
from aiops_analysis.history.store import Manifest, Store, open_store
from aiops_analysis.sources.demo import DemoCluster
from aiops_analysis.workflows.weeks import write_weeks

__all__ = ["CLUSTER", "build_demo"]

CLUSTER = "demo"
_LOOKED = 2  # of the last days: on so many the Kubernetes API was asked too, as by `collect --once`


def build_demo(root: Path, *, seed: int = 7, told: Callable[[str], None] | None = None) -> Store:
    """Write the demo cluster's history below ``root``, in place of what is there under its name."""
    cluster = DemoCluster(seed=seed)
    store = open_store(root, CLUSTER)
    shutil.rmtree(store.path, ignore_errors=True)
    days = list(cluster.days)
    source = {"flavour": "demo", "version": f"seed {seed}", "url": ""}
    pulled_at = iso(day_start(days[-1]) + DAY)
    with store.lock():
        for day in days:
            targets = _runs(cluster.targets(day))
            about = Manifest("", day, road="demo", source=source, pulled_at=pulled_at)
            frames = {
                "inventory": cluster.inventory(day),
                "nodes": cluster.nodes(day),
                "hpas": cluster.hpas(day),
                "burst": cluster.burst(day),
                "runs": cluster.runs(day),
                "bounds": cluster.bounds(day),
            }
            if day in days[-_LOOKED:]:
                frames["workloads"] = cluster.workloads(day)
            for kind, frame in frames.items():
                commit_frame(store, replace(about, metric=kind), frame)
            matrices = cluster.matrices(day)
            for metric in METRICS:
                mine = replace(about, metric=metric, targets=targets if metric == "cpu_usage" else None)
                commit_matrix(store, mine, *matrices[metric])
            if told is not None:
                told(f"{day}: {sum(len(m[0]) for m in matrices.values())} series")
        write_weeks(store, days)
    return store


def _runs(targets: np.ndarray) -> tuple[tuple[int, int], ...]:
    parts = np.split(targets, np.flatnonzero(np.diff(targets)) + 1)
    return tuple((int(part[0]), len(part)) for part in parts)
