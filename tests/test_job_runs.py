"""Runs of Jobs and bounds of namespaces from answers of a server (methods.md A9)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from aiops_analysis.core.schema import BOUNDS, INVENTORY, RUNS, blank, check
from aiops_analysis.workflows.bounds import bounds_frame
from aiops_analysis.workflows.job_runs import runs_frame, whole_runs
from aiops_analysis.workflows.objects import owners_of

DAY = date(2026, 11, 1)
MIDNIGHT = int(pd.Timestamp("2026-11-01T00:00Z").timestamp())
POD = {"namespace": "shop", "pod": "night-1"}


@dataclass
class Valued:
    labels: list[dict[str, str]]
    values: np.ndarray


def one(labels, value):
    return Valued([labels], np.array([value], float))


NOTHING = Valued([], np.empty(0))
OWNERS = owners_of(
    [
        POD | {"owner_kind": "Job", "owner_name": "night-28"},
        {"namespace": "shop", "pod": "web-1", "owner_kind": "ReplicaSet", "owner_name": "web-a"},
    ],
    [],
    [{"namespace": "shop", "job_name": "night-28", "owner_kind": "CronJob", "owner_name": "night"}],
)


def answers(**given):
    return dict.fromkeys(("run_cpu", "run_memory", "run_start", "run_end", "run_outcome"), NOTHING) | given


def inventory(*rows):
    return check(pd.DataFrame([blank(INVENTORY) | row for row in rows], columns=list(INVENTORY.columns)), INVENTORY)


def test_a_run_has_its_precise_length_its_last_counters_and_its_end():
    box = POD | {"container": "report"}
    asked = answers(
        run_cpu=one(box, 90.0),
        run_memory=one(box, 5e8),
        run_start=one(POD, MIDNIGHT + 3600),
        run_end=one(POD, MIDNIGHT + 3780),
        run_outcome=one(POD | {"phase": "Failed"}, 1),
    )
    (row,) = runs_frame(DAY, asked, OWNERS, inventory()).to_dict("records")
    # three minutes, far below a step: the inventory alone would say five
    assert (row["end"] - row["start"]).total_seconds() == 180
    assert (row["workload_kind"], row["workload"], row["job"]) == ("CronJob", "night", "night-28")
    assert (row["cpu_seconds"], row["memory_max"], row["outcome"]) == (90.0, 5e8, "failed")


def test_without_its_times_a_run_is_as_long_as_it_was_seen():
    first, last = pd.Timestamp("2026-11-01T01:00Z"), pd.Timestamp("2026-11-01T01:35Z")
    seen = POD | {"container": "report", "workload_kind": "CronJob", "workload": "night", "first_seen": first, "last_seen": last}
    (row,) = runs_frame(DAY, answers(run_cpu=one(POD | {"container": "report"}, 60.0)), OWNERS, inventory(seen)).to_dict("records")
    assert (row["start"], row["end"], row["outcome"]) == (first, last, "running")
    assert np.isnan(row["memory_max"])


def test_only_pods_of_jobs_are_runs_and_only_on_the_days_they_ran():
    other = one({"namespace": "shop", "pod": "web-1", "container": "app"}, 5.0)
    start = one({"namespace": "shop", "pod": "web-1"}, MIDNIGHT)
    assert runs_frame(DAY, answers(run_cpu=other, run_start=start), OWNERS, inventory()).empty
    kept = answers(run_cpu=one(POD | {"container": "report"}, 1.0), run_start=one(POD, MIDNIGHT - 7200), run_end=one(POD, MIDNIGHT - 3600))
    assert runs_frame(DAY, kept, OWNERS, inventory()).empty


def test_a_run_over_midnight_is_one_run():
    def part(start, end, cpu, memory, outcome):
        row = blank(RUNS) | {"workload_kind": "CronJob", "workload": "night", "job": "j", "pod": "p", "container": "c", "outcome": outcome}
        return row | {"start": pd.Timestamp(start), "end": pd.Timestamp(end), "cpu_seconds": cpu, "memory_max": memory}

    days = [
        part("2026-11-01T23:00Z", "2026-11-02T00:00Z", 100.0, 7e8, "running"),
        part("2026-11-01T23:00Z", "2026-11-02T00:30Z", 160.0, 5e8, "succeeded"),
    ]
    (row,) = whole_runs(check(pd.DataFrame(days), RUNS)).to_dict("records")
    # the counter goes on over midnight, so its last value is all of it; the memory is the larger of both days
    assert (row["cpu_seconds"], row["memory_max"], row["outcome"]) == (160.0, 7e8, "succeeded")
    assert (row["end"] - row["start"]).total_seconds() == 5400


@dataclass
class Ranged:
    labels: list[dict[str, str]]
    samples: np.ndarray


def flat(*rows):
    return Ranged([labels for labels, _ in rows], np.array([[value] * 288 for _, value in rows], float).reshape(len(rows), 288))


def test_limit_ranges_and_quotas_are_intervals():
    box = {"namespace": "dev", "limitrange": "small", "type": "Container"}
    ranges = flat(
        (box | {"resource": "cpu", "constraint": "max"}, 1.0), (box | {"resource": "cpu", "constraint": "maxLimitRequestRatio"}, 4.0)
    )
    ranges.samples[0, 144:] = 2.0  # raised at noon
    quota = {"namespace": "dev", "resourcequota": "q"}
    quotas = flat(
        (quota | {"resource": "cpu", "type": "hard"}, 8.0),
        (quota | {"resource": "limits.memory", "type": "used"}, 5e9),
        (quota | {"resource": "pods", "type": "hard"}, 10.0),
    )
    got = bounds_frame(DAY, ranges, quotas)
    assert list(got.columns) == list(BOUNDS.columns)
    assert got[["kind", "resource", "field", "value"]].to_numpy().tolist() == [
        ["LimitRange", "cpu", "max", 1.0],
        ["LimitRange", "cpu", "max", 2.0],
        ["LimitRange", "cpu", "maxLimitRequestRatio", 4.0],
        ["ResourceQuota", "cpu", "requests.hard", 8.0],  # a plain "cpu" counts requests
        ["ResourceQuota", "memory", "limits.used", 5e9],
    ]
    assert got["last_seen"][0] == got["first_seen"][1] == pd.Timestamp("2026-11-01T12:00Z")
    assert bounds_frame(DAY, flat(), flat()).empty
