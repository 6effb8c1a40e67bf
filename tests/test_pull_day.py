"""One day's answers become frames and matrices: what is cleaned, cut and counted at the door (fault rows 9, 14, 15, 16, 17)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime

import numpy as np
import pytest

from aiops_analysis.core.errors import QueryTooLarge
from aiops_analysis.sources.promql import Scope
from aiops_analysis.workflows.pull_day import Split, day_questions, day_result

DAY = date(2026, 11, 1)
NAN = np.nan
POD = {"namespace": "shop", "pod": "web-1", "container": "app"}


@dataclass
class Ranged:
    labels: list[dict[str, str]] = field(default_factory=list)
    samples: np.ndarray = field(default_factory=lambda: np.empty((0, 288), np.float32))
    warnings: tuple[str, ...] = ()
    infos: tuple[str, ...] = ()
    odd: dict[str, int] = field(default_factory=dict)
    named: dict[tuple[tuple[str, str], ...], dict[str, int]] = field(default_factory=dict)


@dataclass
class Instant:
    labels: list[dict[str, str]] = field(default_factory=list)
    values: np.ndarray = field(default_factory=lambda: np.empty(0))
    warnings: tuple[str, ...] = ()
    infos: tuple[str, ...] = ()


class Script:
    """A source that answers each query text with what was written for it, else with nothing."""

    def __init__(self, **by_name):
        self.by_name = by_name
        self.asked: list[tuple[str, datetime, datetime]] = []

    def instant(self, query, at):
        return Instant()

    def range(self, query, start, end, step=300, parts=(), *, exact=False):
        self.asked.append((query, start, end))
        return Ranged(samples=np.empty((0, int((end - start).total_seconds()) // step + 1), np.float32))


def day(**by_name):
    questions = day_questions(Script(), DAY, Scope(), Split(), {})
    return day_result(DAY, questions, [by_name.get(q.name, q.ask()) for q in questions])


def row(values, labels=POD, width=288):
    samples = np.full((1, width), NAN, np.float32)
    samples[0, : len(values)] = values
    return Ranged([labels], samples)


def node(cores=4.0):
    return Ranged([{"node": "n1", "resource": "cpu", "unit": "core"}], np.full((1, 288), cores, np.float32))


def test_questions_cover_the_day_at_the_end_of_each_step():
    source = Script()
    for question in day_questions(source, DAY, Scope(), Split(), {}):
        question.ask()
    starts = {query.split("(")[1].split(" ")[0]: (start, end) for query, start, end in source.asked}
    assert {end for _, end in starts.values()} == {datetime(2026, 11, 2, tzinfo=UTC)}
    cpu = next((s, e) for q, s, e in source.asked if "cpu_usage_seconds_total" in q)
    assert cpu == (datetime(2026, 11, 1, 0, 5, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC))
    restarts = next((s, e) for q, s, e in source.asked if "restarts_total" in q)
    assert restarts[0] == datetime(2026, 11, 1, tzinfo=UTC)  # one value before the first step: events are differences


def test_f05_a_refused_instant_query_is_asked_by_namespace():
    class TooLarge(Script):
        def instant(self, query, at):
            if 'namespace="' not in query:
                raise QueryTooLarge("too many samples")
            name = query.split('namespace="')[1].split('"')[0]
            return Instant([POD | {"namespace": name}], np.array([0.5]))

    split = Split(((),), ("a", "b"))
    questions = day_questions(TooLarge(), DAY, Scope(), split, {})
    burst = next(q for q in questions if q.name == "burst_max").ask()
    assert [m["namespace"] for m in burst.labels] == ["a", "b"]
    assert burst.values.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(("value", "kind"), [(-1.0, "negative"), (4.3, "above_capacity"), (1e30, "above_capacity")])
def test_f14_an_impossible_value_is_missing_and_counted(value, kind):
    # 1.05 x 4 cores = 4.2 is the ceiling
    got = day(cpu_usage=row([0.1, value, 4.1]), node_capacity=node())
    np.testing.assert_array_equal(got.matrices["cpu_usage"][1][0, :3], np.array([0.1, NAN, 4.1], np.float32))
    assert [(d["kind"], d["count"], d["workload"]) for d in got.dropped["cpu_usage"]] == [(kind, 1, "web-1")]


def test_f14_an_impossible_burst_is_no_burst():
    """140 cores on a node of 4: neither it nor the P99.9 that contains it may raise a limit; 4.1 is within 1.05 x 4."""
    other = POD | {"pod": "web-2"}
    largest = Instant([POD, other], np.array([140.0, 4.1]))
    found = day(burst_max=largest, burst_p999=Instant([POD, other], np.array([90.0, 3.0])), node_capacity=node())
    burst = found.frames["burst"].set_index("pod")
    assert burst.loc["web-1", ["cpu_max", "cpu_p999"]].isna().all()
    assert burst.loc["web-2", ["cpu_max", "cpu_p999"]].tolist() == [4.1, 3.0]
    assert [(d["kind"], d["pod"]) for d in found.dropped["burst"]] == [("above_capacity", "web-1")]


def test_f14_what_the_source_left_out_is_counted_too():
    got = day(cpu_usage=Ranged([POD], np.zeros((1, 288), np.float32), odd={"nan": 3, "inf": 1, "duplicate": 0}))
    assert got.dropped["cpu_usage"] == ({"kind": "inf", "count": 1}, {"kind": "nan", "count": 3})


def test_f14_what_the_source_left_out_is_counted_by_series_where_it_says_which():
    """Of 5 odd values 3 are of our container; the others are of a series that is none of ours, and counted without a name."""
    named = {tuple(sorted(POD.items())): {"nan": 2, "duplicate": 1}, (("id", "/"),): {"nan": 2}}
    found = Ranged([POD], np.zeros((1, 288), np.float32), odd={"nan": 4, "duplicate": 1})
    found.named = named
    got = day(cpu_usage=found).dropped["cpu_usage"]
    assert [(d["kind"], d["count"], d.get("workload")) for d in got] == [("nan", 2, None), ("duplicate", 1, "web-1"), ("nan", 2, "web-1")]


def test_f16_two_things_under_one_name_are_left_out_by_name():
    """15 samples too many in 288 steps are above a twentieth (14.4), 14 are a stumble of a clock."""
    key = tuple(sorted(POD.items()))
    found = Ranged([POD], np.ones((1, 288), np.float32), odd={"crowded": 15}, named={key: {"crowded": 15}})
    got = day(cpu_usage=found)
    assert np.isnan(got.matrices["cpu_usage"][1]).all()
    assert [(d["kind"], d["count"], d["pod"]) for d in got.dropped["cpu_usage"]] == [
        ("crowded", 15, "web-1"),
        ("two_in_one", 288, "web-1"),
    ]
    few = Ranged([POD], np.ones((1, 288), np.float32), odd={"crowded": 14}, named={key: {"crowded": 14}})
    assert (day(cpu_usage=few).matrices["cpu_usage"][1] == 1).all()


def test_f16_rows_without_pod_or_container_are_none_of_ours():
    both = Ranged([POD, POD | {"container": ""}, {"id": "/"}], np.ones((3, 288), np.float32))
    assert day(cpu_usage=both).matrices["cpu_usage"][0]["container"].tolist() == ["app"]


def test_f15_restarts_are_differences_and_survive_a_reset():
    # raw 0 0 2 . 3 1: +2 at step 1 (0-based), +1 over the gap at step 3, a reset to 1 at step 4 counts 1
    got = day(restarts=row([0, 0, 2, NAN, 3, 1], width=289))
    labels, events = got.matrices["restarts"]
    assert labels["workload"].tolist() == ["web-1"]
    np.testing.assert_array_equal(events[0, :6], np.array([0, 2, NAN, 1, 1, NAN], np.float32))


def test_the_first_value_of_a_counter_is_no_event():
    got = day(restarts=row([NAN, 7, 7], width=289))
    assert len(got.matrices["restarts"][0]) == 0  # sparse: no event, no row


def test_a_kill_is_a_restart_whose_last_reason_is_oomkilled():
    # two restarts, the reason stays 1 after the first: both count; a restart before the reason does not
    got = day(restarts=row([0, 1, 1, 2, 2, 2, 3], width=289), oom_reason=row([NAN, NAN, NAN, 1, 1, 1, 1], width=289))
    np.testing.assert_array_equal(got.matrices["oom_kills"][1][0, :6], np.array([0, 0, 1, 0, 0, 1], np.float32))


def test_kills_unite_the_kernels_counter_without_double_counting():
    got = day(restarts=row([0, 1, 1], width=289), oom_reason=row([NAN, 1, 1], width=289), oom_events=row([0, 1, 2], width=289))
    np.testing.assert_array_equal(got.matrices["oom_kills"][1][0, :2], np.array([1, 1], np.float32))


def test_f17_a_step_at_which_a_job_is_wholly_gone_is_a_hole():
    up = np.full((2, 288), 3, np.float32)
    up[0, 100:112] = NAN  # the kubelets were not scraped for an hour
    got = day(targets=Ranged([{"job": "kubelet"}, {"job": "kube-state-metrics"}], up), cpu_usage=row([0.1] * 288))
    assert got.holes == 12
    assert got.targets == ((6, 100), (3, 12), (6, 176))


def test_f17_without_up_a_step_without_any_sample_is_a_hole():
    assert day(cpu_usage=row([0.1] * 200)).holes == 88
    assert day().holes == 0  # an empty cluster has no holes that anybody could know of


def test_a_container_that_is_gone_keeps_no_lingering_value():
    phase = Ranged(
        [{"namespace": "shop", "pod": "web-1", "uid": "u"}, {"namespace": "shop", "pod": "web-2", "uid": "v"}],
        np.array([[1.0] * 10 + [NAN] * 278, [1.0] * 288], np.float32),
    )
    pods = [
        {"namespace": "shop", "pod": p, "uid": u, "container": "app", "node": "n1", "resource": "cpu"}
        for p, u in (("web-1", "u"), ("web-2", "v"))
    ]
    requests = Ranged(pods, np.ones((2, 288), np.float32))
    usage = Ranged([POD, POD | {"pod": "web-2"}], np.ones((2, 288), np.float32))
    labels, samples = day(phase=phase, requests=requests, cpu_usage=usage).matrices["cpu_usage"]
    assert np.isfinite(samples).sum(axis=1).tolist() == [10, 288]
    assert labels["pod"].tolist() == ["web-1", "web-2"]


def test_f09_warnings_and_infos_are_kept_with_their_metric():
    asked = row([0.1])
    asked.warnings, asked.infos = ("store gone",), ("metric might not be a counter",)
    got = day(cpu_usage=asked)
    assert got.warnings["cpu_usage"] == ("store gone",)
    assert got.infos["cpu_usage"] == ("metric might not be a counter",)
    assert got.warnings["memory_working_set"] == ()
    assert "rate(container_cpu_usage_seconds_total" in got.queries["cpu_usage"]["cpu_usage"]
