"""The openb trace (Weng et al., ATC 2023) as shapes and kinds: read by the test of the packing and by its benchmark.

A pod runs from ``scheduled_time`` (its binding to a node) up to and without ``deletion_time``. At the trace's end the pods that still run
carry its last second as deletion_time, so that a last second has no pods: it is an end like any other. A pod counts as running only when it
was scheduled and its phase says that it ran: Running, or Succeeded for one that is done. Pending pods were never bound; Failed ones may
have been refused at any moment, so neither takes part in a packing; both are counted. The busiest instant is the first second with the most
CPU-only pods (num_gpu = 0). Pods are short-lived: there are 15. ``ever_together`` is the harder question that the trace also allows: all
CPU-only pods that ever ran, as if they had done so at once.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from aiops_analysis.core.bins import NodeKind, PodShape

__all__ = ["busiest_instant", "cpu_only", "ever_together", "node_kinds", "shapes_of"]

MI = 2**20
SLOTS = 110  # the kubelet's default; the trace does not say


def node_kinds(folder: Path, *, gpu: bool = True) -> list[NodeKind]:
    """The real node list, equal nodes as one kind with as many nodes as there are; without ``gpu`` only nodes that have none."""
    nodes = pd.read_csv(folder / "openb_node_list_all_node.csv.gz", keep_default_na=False)
    nodes = nodes if gpu else nodes[nodes["gpu"] == 0]
    groups = nodes.groupby(["cpu_milli", "memory_mib", "gpu", "model"])
    return [
        NodeKind(f"{cpu}m-{memory}Mi-{cards}x{model}", int(cpu), int(memory) * MI, SLOTS, int(cards), most=len(rows))
        for (cpu, memory, cards, model), rows in groups
    ]


def cpu_only(folder: Path) -> pd.DataFrame:
    """Pods that ask for no GPU, whatever became of them."""
    pods = pd.read_csv(folder / "openb_pod_list_default.csv.gz")
    return pods[pods["num_gpu"] == 0]


def ever_together(folder: Path) -> pd.DataFrame:
    """CPU-only pods that ran."""
    pods = cpu_only(folder)
    return pods[pods["pod_phase"].isin(["Running", "Succeeded"]) & pods["scheduled_time"].notna()]


def busiest_instant(folder: Path) -> tuple[float, pd.DataFrame, dict[str, int]]:
    """The second with the most running CPU-only pods, these pods, and how many never ran, by phase."""
    ran = ever_together(folder)
    starts, ends = np.sort(ran["scheduled_time"].to_numpy()), np.sort(ran["deletion_time"].to_numpy())
    running = np.arange(1, len(starts) + 1) - np.searchsorted(ends, starts, side="right")
    # several pods that start in one second: the last of them sees all
    instant = float(starts[int(running.argmax())])
    there = ran[(ran["scheduled_time"] <= instant) & (ran["deletion_time"] > instant)]
    pods = cpu_only(folder)
    refused = pods[~pods.index.isin(ran.index)]["pod_phase"].value_counts()
    return instant, there, {str(phase): int(count) for phase, count in refused.sort_index().items()}


def shapes_of(pods: pd.DataFrame) -> list[PodShape]:
    """Pods of one size are one shape."""
    return [
        PodShape(f"{cpu}m-{memory}Mi", len(rows), int(cpu), int(memory) * MI)
        for (cpu, memory), rows in pods.groupby(["cpu_milli", "memory_mib"])
    ]
