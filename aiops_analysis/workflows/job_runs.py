"""One row per run of a Job: how long, how much CPU, how much memory, and how it ended (methods.md A9, I-1)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import numpy as np
import pandas as pd

from aiops_analysis.core.schema import RUNS, check, empty
from aiops_analysis.core.window import DAY, day_start
from aiops_analysis.workflows.events import Valued
from aiops_analysis.workflows.objects import Owners

__all__ = ["JOB_KINDS", "runs_frame", "whole_runs"]

JOB_KINDS = ("Job", "CronJob")
_KEY = ["namespace", "workload_kind", "workload", "job", "pod", "container"]
_OUTCOME = {"Succeeded": "succeeded", "Failed": "failed"}


def runs_frame(day: date, answers: Mapping[str, Valued], owners: Owners, inventory: pd.DataFrame) -> pd.DataFrame:
    """RUNS of one day from the answers to ``promql.JOB_PODS``; a time that the server does not say is the inventory's, in steps.

    ``cpu_seconds`` is the last value of a counter that began with the container, so the first increments are not lost.
    """
    cpu, memory = _by_container(answers["run_cpu"]), _by_container(answers["run_memory"])
    start, end = _by_pod(answers["run_start"]), _by_pod(answers["run_end"])
    ended = {(m.get("namespace", ""), m.get("pod", "")): _OUTCOME.get(m.get("phase", ""), "") for m in answers["run_outcome"].labels}
    seen = _seen(inventory)
    rows = []
    for namespace, pod, container in sorted({*cpu, *memory}):
        kind, workload = owners.of(namespace, pod)
        known = seen.get((namespace, pod))
        if kind not in JOB_KINDS or (known is None and (namespace, pod) not in start):
            continue
        first, last = known or (start[namespace, pod], _stamp(day_start(day) + DAY))
        rows.append(
            {
                "namespace": namespace,
                "workload_kind": kind,
                "workload": workload,
                "job": owners.revision(namespace, pod),
                "pod": pod,
                "container": container,
                "start": start.get((namespace, pod), first),
                "end": end.get((namespace, pod), last),
                "cpu_seconds": cpu.get((namespace, pod, container), np.nan),
                "memory_max": memory.get((namespace, pod, container), np.nan),
                "outcome": ended.get((namespace, pod), "running"),
            }
        )
    if not rows:
        return empty(RUNS)
    frame = pd.DataFrame(rows)
    # a run that is kept for days after its end was measured on the day it ran
    there = frame["end"] > _stamp(day_start(day))
    return check(frame[there & (frame["end"] > frame["start"])], RUNS)


def whole_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """RUNS of several days with one row per run: a run over midnight has a row in each, whose counters go on."""
    if not len(runs):
        return runs
    ordered = runs.sort_values("end", kind="stable")
    out = ordered.groupby(_KEY, as_index=False, sort=True).agg(
        start=("start", "min"),
        end=("end", "max"),
        cpu_seconds=("cpu_seconds", "max"),
        memory_max=("memory_max", "max"),
        outcome=("outcome", "last"),
    )
    return check(out, RUNS)


def _stamp(moment: object) -> pd.Timestamp:
    return pd.Timestamp(moment).as_unit("s")  # type: ignore[arg-type]


def _by_container(answer: Valued) -> dict[tuple[str, str, str], float]:
    pairs = zip(answer.labels, answer.values, strict=True)
    return {(m.get("namespace", ""), m["pod"], m["container"]): float(v) for m, v in pairs if m.get("pod") and m.get("container")}


def _by_pod(answer: Valued) -> dict[tuple[str, str], pd.Timestamp]:
    pairs = zip(answer.labels, answer.values, strict=True)
    return {
        (m.get("namespace", ""), m.get("pod", "")): pd.Timestamp(int(v), unit="s", tz="UTC") for m, v in pairs if np.isfinite(v) and v > 0
    }


def _seen(inventory: pd.DataFrame) -> dict[tuple[str, str], tuple[pd.Timestamp, pd.Timestamp]]:
    jobs = inventory[inventory["workload_kind"].isin(JOB_KINDS)]
    spans = jobs.groupby(["namespace", "pod"]).agg(first=("first_seen", "min"), last=("last_seen", "max"))
    return {(str(key[0]), str(key[1])): (row.first, row.last) for key, row in zip(spans.index, spans.itertuples(index=False), strict=True)}
