"""Recorded machines as a source that a pull can ask: each is a pod with one container of a workload of its own, on a node of its own.

What a machine is provisioned with plays its request and its node's capacity. A sample stands at the end of its step of five minutes, as a
server gives it; the samples of a range answer are written as the JSON of a server, in the order of the record, and read by the package.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from aiops_analysis.sources.matrices import Grid, read_matrix
from aiops_analysis.sources.prometheus import Flavour, RangeAnswer, RawSeries, Vector

__all__ = ["STEP", "Machines", "at_step_ends"]

STEP = 300
DAY = 86_400
_METRIC = re.compile(r"(container_cpu_usage_seconds_total|container_memory_working_set_bytes|kube_\w+|\bup)\b")


def at_step_ends(frame: pd.DataFrame) -> pd.DataFrame:
    """Samples (machine, stamp, cpu [cores], memory [bytes], cores, bytes provisioned) with their stamps at the end of their steps."""
    return frame.assign(stamp=-(-frame["stamp"] // STEP) * STEP)


@dataclass(frozen=True)
class Part:
    """One machine's samples of one day, in the order in which they were recorded."""

    name: str
    stamps: list[int]
    columns: dict[str, list[float]]

    def pairs(self, column: str) -> list[list]:
        """Times and values as a server writes them."""
        return [[stamp, repr(value)] for stamp, value in zip(self.stamps, self.columns[column], strict=True)]

    def held(self, column: str, at: Sequence[int]) -> list[list]:
        """What was provisioned at each time: the last known value, before the first sample the first one."""
        known = dict(zip(self.stamps, self.columns[column], strict=True))
        value, out = known[min(known)], []
        for stamp in at:
            value = known.get(stamp, value)
            out.append([stamp, repr(value)])
        return out


class Machines:
    """The source; ``frame`` as of at_step_ends, in the order in which samples were recorded.

    A machine is there for the whole of a day on which it has a sample; with ``together`` only at steps with one, as where one recorder
    stopped and started for everything.
    """

    url = "recorded machines"
    requests_made = 0

    def __init__(self, frame: pd.DataFrame, namespace: str = "hosting", *, together: bool = False) -> None:
        self.namespace, self.together = namespace, together
        self.days: dict[int, list[Part]] = {}
        names = ("cpu", "memory", "cores", "bytes")
        for (day, name), part in frame.groupby([(frame["stamp"] - 1) // DAY, "machine"], sort=True):
            columns = {column: part[column].tolist() for column in names}
            self.days.setdefault(day, []).append(Part(str(name), part["stamp"].tolist(), columns))

    def flavour(self) -> Flavour:
        return Flavour("recorded", "1")

    def matrix(self, query: str, at: datetime) -> list[tuple[list[datetime], list[float]]]:
        """How many machines had a sample at each mark of a subquery."""
        if "exported_" in query:
            return []
        days = int(re.search(r"\[(\d+)d:1h\]", query)[1])  # type: ignore[index]
        marks = [at - timedelta(hours=n) for n in range(24 * days)]
        counts = [float(sum(mark.timestamp() in part.stamps for part in self._of(mark))) for mark in marks]
        seen = [(mark, count) for mark, count in zip(marks, counts, strict=True) if count]
        return [([mark for mark, _ in seen], [count for _, count in seen])] if seen else []

    def series(self, query: str, at: datetime) -> list[RawSeries]:
        """No cluster label, no replica, and no raw samples to look at."""
        return []

    def instant(self, query: str, at: datetime) -> Vector:
        """Owners of the pods of the day before ``at``, where they run, and how many there are."""
        metric, parts = _metric(query), self._of(at)
        if query.startswith("count"):
            return Vector([{"namespace": self.namespace}], np.array([float(len(parts))]))
        more = {
            "kube_pod_owner": lambda name: {"owner_kind": "Deployment", "owner_name": name},
            "kube_pod_info": lambda name: {"node": f"host-{name}"},
        }.get(metric)
        labels = [self._pod(part.name) | more(part.name) for part in parts] if more else []
        return Vector(labels, np.ones(len(labels)))

    def range(
        self, query: str, start: datetime, end: datetime, step: int = STEP, parts: Sequence[str] = (), *, exact: bool = False
    ) -> RangeAnswer:
        """What a server would say of the steps from start to end."""
        grid = Grid(start.timestamp(), step, int((end - start).total_seconds()) // step + 1)
        columns = (grid.start + grid.step * np.arange(grid.count)).astype(int).tolist()
        series = [{"metric": m, "values": v} for m, v in self._series(_metric(query), self._of(end), columns) if v]
        body = {"status": "success", "data": {"resultType": "matrix", "result": series}}
        _, matrix = read_matrix(bytearray(json.dumps(body, separators=(",", ":")).encode()), grid, np.float64 if exact else np.float32)
        return RangeAnswer(matrix.labels, matrix.samples, odd=dict(matrix.odd), named=matrix.named)

    def _series(self, metric: str, parts: Sequence[Part], columns: Sequence[int]) -> Iterator[tuple[dict[str, str], list]]:
        if metric == "up":
            seen = {stamp for part in parts for stamp in part.stamps}
            yield {"job": "kubelet"}, [[stamp, "1"] for stamp in columns if stamp in seen]
            return
        for part in parts:
            pod, node = self._pod(part.name), {"node": f"host-{part.name}"}
            if metric == "container_cpu_usage_seconds_total":
                yield pod | {"container": "machine"}, part.pairs("cpu")
            elif metric == "container_memory_working_set_bytes":
                yield pod | {"container": "machine"}, part.pairs("memory")
            elif metric == "kube_pod_status_phase":
                yield pod, [[stamp, "1"] for stamp in (sorted(set(part.stamps)) if self.together else columns)]
            elif metric in ("kube_pod_container_resource_requests", "kube_node_status_capacity"):
                whose = node if metric == "kube_node_status_capacity" else pod | node | {"container": "machine"}
                for resource, column in (("cpu", "cores"), ("memory", "bytes")):
                    yield whose | {"resource": resource}, part.held(column, columns)

    def _of(self, end: datetime) -> list[Part]:
        """The machines of the day that ends at, or holds, this time."""
        return self.days.get((int(end.timestamp()) - 1) // DAY, [])

    def _pod(self, name: str) -> dict[str, str]:
        return {"namespace": self.namespace, "pod": name, "uid": f"uid-{name}"}


def _metric(query: str) -> str:
    """The metric that a query asks for, "" for bursts, which a record of five minutes does not hold."""
    found = _METRIC.search(query)
    return found[1] if found and "[1d:1m]" not in query else ""
