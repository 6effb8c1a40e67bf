"""A cluster nobody here tuned to: the shared generator's model in a real Prometheus, and what it means, computed apart from the package.

``build_blocks`` makes a folder of TSDB blocks of a cluster of any size, length, seed and end. ``Truth`` computes the same numbers from the
raw samples with numpy alone: rate() with its extrapolation as Prometheus 2 documents it, closed ranges, the largest of the duplicates,
samples after a pod's end left out, and so are those that are more than 1.05 times what the pod's node has.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import numpy as np

__all__ = ["END", "TOOL", "Truth", "build_blocks", "why_not"]

TOOL = Path(__file__).resolve().parents[2] / "shared" / "tools" / "cluster"
END = datetime(2026, 11, 2, tzinfo=UTC)
STEP, RANGE, LOOKBACK = 300, 300, 300
_METRICS = ("container_cpu_usage_seconds_total", "container_memory_working_set_bytes", "kube_pod_status_phase")


def why_not() -> str:
    """Why the generator cannot run here; "" when it can."""
    if not (TOOL / "clustergen.py").is_file():
        return "the shared cluster generator is not beside this checkout"
    if importlib.util.find_spec("polars") is None:
        return "polars is not installed, the cluster generator needs it"
    return ""


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("clustergen", TOOL / "clustergen.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build_blocks(folder: Path, promtool: Path, containers: int = 60, days: int = 14, seed: int = 3, end: datetime = END) -> None:
    """Make ``folder``/model.json and ``folder``/tsdb."""
    folder.mkdir(parents=True, exist_ok=True)
    shape = ["--containers", str(containers), "--days", str(days), "--seed", str(seed), "--end", str(int(end.timestamp()))]
    model = [sys.executable, str(TOOL / "clustergen.py"), "model", *shape, "--out", str(folder)]
    subprocess.run(model, check=True, capture_output=True)
    path = f"{promtool.parent}:{os.environ['PATH']}"
    bash = shutil.which("bash")
    assert bash is not None
    subprocess.run(
        [bash, str(TOOL / "backfill.sh"), str(folder)],
        check=True,
        capture_output=True,
        env=os.environ | {"PYTHON": sys.executable, "PATH": path},
    )


def rate(stamps: np.ndarray, values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Prometheus 2's rate(...[5m]) of one counter at the times ``at``, NaN where it gives nothing."""
    drops = np.concatenate([[0.0], np.cumsum(np.where(np.diff(values) < 0, values[:-1], 0.0))])
    out = np.full(len(at), np.nan)
    first = np.searchsorted(stamps, at - RANGE, "left")
    last = np.searchsorted(stamps, at, "right") - 1
    for i in np.flatnonzero(last - first >= 1):
        a, b = first[i], last[i]
        increase = values[b] - values[a] + drops[b] - drops[a]
        sampled = float(stamps[b] - stamps[a])
        spacing = sampled / (b - a)
        to_start, to_end = float(stamps[a] - (at[i] - RANGE)), float(at[i] - stamps[b])
        if increase > 0 and values[a] >= 0:
            to_start = min(to_start, sampled * (values[a] / increase))
        covered = sampled + sum(gap if gap < spacing * 1.1 else spacing / 2 for gap in (to_start, to_end))
        out[i] = increase * (covered / sampled) / RANGE
    return out


def largest(stamps: np.ndarray, values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Prometheus 2's max_over_time(...[5m]) of one gauge at the times ``at``."""
    out = np.full(len(at), np.nan)
    first = np.searchsorted(stamps, at - RANGE, "left")
    last = np.searchsorted(stamps, at, "right")
    for i in np.flatnonzero(last > first):
        out[i] = values[first[i] : last[i]].max()
    return out


class Truth:
    """The samples of each workload's container by day, from the raw series of the model."""

    def __init__(self, folder: Path) -> None:
        import json

        tool = _generator()
        self.model = json.loads((folder / "model.json").read_text())
        self.days, start = self.model["days"], self.model["t0"]
        self.at = np.arange(start + STEP, start + self.days * 86_400 + 1, STEP)
        raw = self._raw(tool)
        self.pods = {(w["ns"], p["name"]): (w["kind"], w["name"]) for w in self.model["workloads"] for p in w["pods"]}
        seen = self._last_seen(raw["kube_pod_status_phase"])
        size = {node["name"]: (node["cpu"], node["mem"]) for node in self.model["nodes"]}
        self.size = {(w["ns"], p["name"]): size[p["node"]] for w in self.model["workloads"] for p in w["pods"]}
        self.dropped: dict[tuple[str, ...], int] = defaultdict(int)
        self.cpu = self._by_container(raw["container_cpu_usage_seconds_total"], rate, seen, 0)
        self.memory = self._by_container(raw["container_memory_working_set_bytes"], largest, seen, 1)

    def _raw(self, tool: ModuleType) -> dict[str, dict[tuple[str, ...], tuple[np.ndarray, np.ndarray]]]:
        """Series by their identifying labels, joined over the windows that the backfill wrote."""
        emitter = tool.Emitter(self.model, 60, 240)
        width = 18 * 3600
        t0, t1 = self.model["t0"], self.model["t1"]
        parts: dict[str, dict[tuple[str, ...], list]] = {name: defaultdict(list) for name in _METRICS}
        for k in range(t0 // width, (t1 - 1) // width + 1):
            for name, items in emitter.series(max(k * width, t0), min((k + 1) * width, t1)).items():
                if name in _METRICS:
                    for text, stamps, values in items:
                        labels = dict(pair.split('="') for pair in text[:-1].split('",'))
                        key = tuple(labels.get(n, "") for n in ("namespace", "pod", "container", "id", "uid"))
                        if name == "kube_pod_status_phase" or labels["container"]:
                            parts[name][key].append((stamps, values))
        return {
            name: {key: tuple(np.concatenate([p[i] for p in pieces]) for i in (0, 1)) for key, pieces in series.items()}
            for name, series in parts.items()
        }

    def _last_seen(self, phase: dict) -> dict[tuple[str, str, int], int]:
        """By namespace, pod and day: the index of the last step at whose end kube-state-metrics still showed the pod."""
        out: dict[tuple[str, str, int], int] = {}
        for key, (stamps, _) in phase.items():
            newest = np.searchsorted(stamps, self.at, "right") - 1
            there = (newest >= 0) & (stamps[np.maximum(newest, 0)] >= self.at - LOOKBACK)
            for index in np.flatnonzero(there):
                name = key[0], key[1], int(index) // 288
                out[name] = max(out.get(name, -1), int(index))
        return out

    def _by_container(self, series: dict, function, seen: dict, resource: int) -> dict[tuple[str, ...], list[np.ndarray]]:
        """Samples [steps] of each pod, the largest of equal (namespace, pod, container), by workload-container."""
        pods: dict[tuple[str, str, str], np.ndarray] = {}
        for key, (stamps, values) in series.items():
            name = key[:3]
            with np.errstate(invalid="ignore"):
                pods[name] = np.fmax(pods.get(name, np.full(len(self.at), np.nan)), function(stamps, np.asarray(values, float), self.at))
        out: dict[tuple[str, ...], list[np.ndarray]] = defaultdict(list)
        for (namespace, pod, container), values in sorted(pods.items()):
            for day in range(self.days):
                last = seen.get((namespace, pod, day))
                if last is not None:
                    values[last + 1 : (day + 1) * 288] = np.nan
            kind, workload = self.pods[namespace, pod]
            with np.errstate(invalid="ignore"):
                impossible = values > 1.05 * self.size[namespace, pod][resource]
            values[impossible] = np.nan
            self.dropped[namespace, kind, workload, container] += int(impossible.sum())
            out[namespace, kind, workload, container].append(values)
        return out
