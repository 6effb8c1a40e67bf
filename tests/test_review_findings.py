"""Combinations of kinds, bounds, rollouts and old histories that once gave a wrong number or a wrong refusal."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from aiops_analysis.analysis.java import heap_need
from aiops_analysis.analysis.policy import SizingPolicy
from aiops_analysis.analysis.rightsizing import recommend
from aiops_analysis.core.schema import BOUNDS, FACTS, HPAS, INVENTORY, LABELS, NODES, USAGE, WORKLOADS, blank, check
from aiops_analysis.history.days import commit_matrix
from aiops_analysis.history.inventory import commit_frame
from aiops_analysis.history.store import Manifest, open_store
from aiops_analysis.sources import promql
from aiops_analysis.workflows.facts import facts_of
from aiops_analysis.workflows.measured import usage_in
from aiops_analysis.workflows.review import monthly
from tests.test_guards import END, GIB, MIB, NAN, WINDOW, codes, facts, frame, numbers, one, usage
from tests.test_kinds import bound, within
from tests.test_measured import DAYS, LAST, at, history, pod
from tests.test_measured import WINDOW as FORTNIGHT

# --- autoscalers and bounds --------------------------------------------------------------------------------------------------------


def test_a_container_without_facts_does_not_hide_the_workloads_hpa() -> None:
    # "agent" has samples from days of which no inventory is stored, and comes first in the alphabet
    used = [usage(container="agent"), usage(container="app")]
    said = [facts(container="app", hpa="web", hpa_cpu=True, hpa_cpu_target=60.0)]
    got = recommend(frame(USAGE, used), frame(FACTS, said), SizingPolicy(), cluster="prod", window=WINDOW)
    app = got[(got["container"] == "app") & (got["resource"] == "cpu")].iloc[0]
    assert (app["grade"], codes(app)) == ("refused", {"hpa_managed"})


def test_what_was_deleted_before_the_end_of_the_window_neither_scales_nor_bounds(tmp_path) -> None:
    store = history(tmp_path, pod("web-1", at(DAYS[0]), at(LAST, 24)), lambda *_: 0.1)
    row = {"namespace": "shop", "target_kind": "Deployment", "target": "web", "target_type": "utilization", "target_value": 70.0}
    row |= {"min_replicas": 1.0, "max_replicas": 5.0}
    with store.lock():
        for day in DAYS:
            scales = [{**row, "hpa": "web", "metric": "memory"}] + ([{**row, "hpa": "web", "metric": "cpu"}] if day < DAYS[5] else [])
            rows = [{**one, "first_seen": at(day), "last_seen": at(day, 24)} for one in scales]
            commit_frame(store, Manifest("hpas", day), pd.DataFrame(rows, columns=list(HPAS.columns)))
    got = facts_of(store, FORTNIGHT).iloc[0]
    assert (got["hpa_cpu"], got["hpa_memory"]) == (False, True)
    # the rule is 100m / 300m; the LimitRange of at most 50m went two weeks ago, another of at most 4 is there
    gone = bound("max", 0.05, name="old", last_seen=pd.Timestamp(END) - timedelta(days=14))
    row = within(usage(), [gone, bound("max", 4.0)])
    assert (numbers(row), codes(row)) == ((100, 300), set())


def test_what_is_gone_takes_no_room_of_the_quota() -> None:
    quota = bound("requests.hard", 1.3, kind="ResourceQuota", scope="", name="q")
    used = [usage(p95=0.3), usage(p95=0.3, workload="old")]
    said = [facts(), facts(workload="old", running=False)]  # it asked for 2 x 500m while it was there
    bounds = check(pd.DataFrame([quota], columns=list(BOUNDS.columns)), BOUNDS)
    got = recommend(frame(USAGE, used), frame(FACTS, said), SizingPolicy(), cluster="prod", window=WINDOW, bounds=bounds)
    api = got[(got["workload"] == "api") & (got["resource"] == "cpu")].iloc[0]
    # 2 x 600m = 1200m are within 1300m
    assert (numbers(api)[0], "quota" in codes(api)) == (600, False)


def test_a_limit_range_in_other_units_is_not_exceeded_by_rounding() -> None:
    # 1 GB is 953.67Mi: a manifest that says 954Mi would be turned away
    row = within(usage("memory", 400 * MIB), [bound("max", 1e9, "memory")])
    assert numbers(row) == (608, 953)
    # at most 10m, less than a step of 25m
    assert numbers(within(usage(p95=0.05), [bound("max", 0.01)])) == (10, 10)
    # the rule is 100m / 300m; a ratio of 1.125 allows 112.5m, which a manifest would round up to 113m
    assert within(usage(), [bound("maxLimitRequestRatio", 1.125)])["guarded_limit"] == 0.112


def test_a_throttled_container_that_nothing_can_be_given_keeps_what_it_has() -> None:
    # censored, but the LimitRange allows no more than today's 2 cores, and the request is not below today's
    row = within(usage(p95=0.9, max=0.99), [bound("max", 2.0)], throttle_ratio=0.5, cpu_request=2.0, cpu_limit=2.0)
    assert (row["guarded_request"], row["guarded_limit"], row["change"]) == (2.0, 2.0, "keep")
    assert {"censored", "clamped"} <= codes(row)


def test_a_heap_that_follows_its_limit_does_not_raise_it_for_ever() -> None:
    # 90 % x 1.25 = 112.5 % of the limit would be asked for again after each change
    assert heap_need("-XX:MaxRAMPercentage=90", 2.0 * GIB) == 2.0 * GIB


def test_after_a_kill_a_limit_without_a_request_is_not_undercut() -> None:
    # Kubernetes takes the limit of 1 GiB as request; the rule of 1.5 x 100Mi would be a cut after a kill
    row = one(usage("memory", 100 * MIB), memory_request=NAN, memory_limit=1.0 * GIB, oom_kills=2.0)
    # the limit: 1.2 x 1024 = 1228.8 -> 1232Mi
    assert (numbers(row), row["change"]) == ((1024, 1232), "increase")


# --- rollouts ----------------------------------------------------------------------------------------------------------------------


def office(name: str, first, last, **more):
    """A pod that is there from 8 to 18 hours on every day."""
    out = []
    for day in DAYS:
        if first <= at(day) < last:
            out += pod(f"{name}-{day.day}", at(day, 8), at(day, 18), **more)
    return out


@pytest.mark.parametrize("ago", [7, 9])
def test_f22_days_that_end_early_are_days_after_a_rollout(tmp_path, ago: int) -> None:
    # 10 h a day: `ago` - 1 or more days after the rollout, of which every step has a sample; seven of them span 6.4 x 24 h
    rolled = at(LAST) - timedelta(days=ago)
    pods = office("a", at(DAYS[0]), rolled) + office("b", rolled, at(LAST, 24), image="web:2", revision="web-b")
    pods += pod("end", at(LAST, 23), at(LAST, 24), image="web:2", revision="web-b")
    store = history(tmp_path, pods, lambda *_: 0.1)
    found = facts_of(store, FORTNIGHT)
    used = usage_in(store, FORTNIGHT, found, SizingPolicy())
    got = recommend(used, found, SizingPolicy(), cluster="prod", window=FORTNIGHT).set_index("resource").loc["memory"]
    assert used.set_index("resource").loc["memory", "cut"] == "settled"
    assert got["completeness"] == 1.0
    assert "low_completeness" not in codes(got)
    assert "short_history" not in codes(got)


def test_f22_seven_days_without_the_last_step_are_seven_days() -> None:
    # seven UTC days after the rollout, the last one without its last sample: 6.99 x 24 h
    used = usage(cut="settled", days=7, steps=2015, first_sample=END - timedelta(days=7), last_sample=END - timedelta(minutes=5))
    said = facts(settled_steps=2016.0, last_rollout=END - timedelta(days=8))
    got = recommend(frame(USAGE, [used]), frame(FACTS, [said]), SizingPolicy(), cluster="prod", window=WINDOW).iloc[0]
    assert (got["grade"] == "refused", codes(got) & {"short_history"}) == (False, set())


# --- histories ---------------------------------------------------------------------------------------------------------------------


def test_a_damaged_day_of_settings_is_moved_aside(tmp_path) -> None:
    store = history(tmp_path, pod("web-1", at(DAYS[0]), at(LAST, 24)), lambda *_: 0.1)
    with store.lock():
        done = commit_frame(store, Manifest("workloads", LAST), pd.DataFrame([], columns=list(WORKLOADS.columns)))
    (store.folder("workloads", LAST) / done.files[0].name).write_bytes(b"PAR1")
    review = monthly(store, FORTNIGHT, SizingPolicy())
    assert len(review.recommendations) == 2
    assert any("workloads" in str(finding["message"]) for finding in review.findings)


@pytest.mark.parametrize("kinds", [(), ("inventory",), ("inventory", "nodes")])
def test_a_history_of_fewer_kinds_is_reviewed(tmp_path, kinds) -> None:
    store = open_store(tmp_path, "prod")
    labels = pd.DataFrame([("shop", "Deployment", "web", "web-1", "app")], columns=list(LABELS), dtype="str")
    made = {"inventory": (INVENTORY, {"role": "app", "cpu_request": 1.0}), "nodes": (NODES, {"node": "n1", "pool": "p"})}
    with store.lock():
        for day in DAYS:
            for metric, value in (("cpu_usage", 0.1), ("memory_working_set", 1e8)):
                commit_matrix(store, Manifest(metric, day), labels, np.full((1, 288), value, np.float32))
            for kind in kinds:
                contract, more = made[kind]
                row = {**blank(contract), **{k: v for k, v in labels.iloc[0].items() if k in contract.columns}, **more}
                row |= {"first_seen": at(day), "last_seen": at(day, 24)}
                commit_frame(store, Manifest(kind, day), pd.DataFrame([row], columns=list(contract.columns)))
    review = monthly(store, FORTNIGHT, SizingPolicy())
    assert list(review.recommendations["grade"]) == ["high", "high"]


def test_a_pool_of_renewed_nodes_resizes_in_place(tmp_path) -> None:
    # the nodes of the old version went with the upgrade a week ago
    store = history(tmp_path, pod("web-1", at(DAYS[0]), at(LAST, 24), node="new"), lambda *_: 0.1)
    with store.lock():
        for day in DAYS:
            name, version = ("old", "v1.30.4") if day < date(2026, 11, 7) else ("new", "v1.34.1")
            row = blank(NODES) | {"node": name, "version": version, "pool": "p", "first_seen": at(day), "last_seen": at(day, 24)}
            commit_frame(store, Manifest("nodes", day), pd.DataFrame([row], columns=list(NODES.columns)))
    assert list(facts_of(store, FORTNIGHT)["resize"]) == ["in place"]


# --- questions ---------------------------------------------------------------------------------------------------------------------


def test_a_job_on_a_server_that_counts_each_processor_is_summed_over_them() -> None:
    query = promql.job_query("run_cpu", promql.Scope(per_cpu=True))
    assert "max by (namespace,pod,container,id) (sum without (cpu) (max_over_time(container_cpu_usage_seconds_total{" in query


def test_a_recorded_rate_is_not_taken_for_core_seconds() -> None:
    names = {"container_cpu_usage_seconds_total": "node_namespace_pod_container:container_cpu_usage_seconds_total:sum_irate"}
    query = promql.job_query("run_cpu", promql.Scope(), names=names)
    assert " < 0)" in query  # no rate is below 0: no answer instead of a rate divided by the length of the run
    assert " < 0" not in promql.job_query("run_cpu", promql.Scope())
