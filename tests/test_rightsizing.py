"""Recommendations from tiny frames: the guide's numbers, refusals, guards, grades."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiops_analysis.analysis.policy import SizingPolicy, policy_of
from aiops_analysis.analysis.rightsizing import recommend
from aiops_analysis.core.reasons import Code
from aiops_analysis.core.schema import FACTS, RECOMMENDATIONS, USAGE, check
from aiops_analysis.core.units import GIB, MIB
from aiops_analysis.core.window import Window

WINDOW = Window.of_days(date(2026, 11, 28), 28)
START = datetime(2026, 11, 1, tzinfo=UTC)
WHO = {"namespace": "shop", "workload_kind": "Deployment", "workload": "web", "container": "app"}
DEFAULTS = {"str": "", "bool": False, "int64": 0, "float64": np.nan, "object": (), "datetime64[s, UTC]": pd.NaT}


def measured(resource="cpu", p95=0.05, **over):
    """28 whole days of flat usage: every quantile and the upper bound are the P95 unless said."""
    row = {name: DEFAULTS[kind] for name, kind in USAGE.columns.items()} | WHO
    row |= dict.fromkeys(("p50", "p90", "p95", "p99", "max", "lower", "upper"), p95)
    row |= {"resource": resource, "pods": 2, "days": 28, "steps": 28 * 288, "weekdays": 7, "samples": 56 * 288}
    row |= {"first_sample": START, "last_sample": START + timedelta(days=28), "daily_p95": [p95] * 28, "daily_max": [p95] * 28}
    return row | over


def stated(**over):
    row = {name: DEFAULTS[kind] for name, kind in FACTS.columns.items()} | WHO
    row |= {"cpu_request": 0.2, "cpu_limit": 1.0, "memory_request": 512 * MIB, "memory_limit": GIB, "qos": "Burstable", "running": True}
    row |= {"replicas": 2.0, "replicas_min": 2, "replicas_max": 2, "first_seen": START, "expected_steps": 28 * 288}
    return row | {"throttle_ratio": 0.0, "oom_kills": 0.0} | over


def frame(rows, contract):
    columns = {n: pd.Series([row[n] for row in rows], dtype=None if k == "object" else k) for n, k in contract.columns.items()}
    return check(pd.DataFrame(columns), contract)


def rows(usage, facts, policy=None):
    return recommend(frame(usage, USAGE), frame(facts, FACTS), policy or SizingPolicy(), cluster="prod", window=WINDOW)


def one(usage, facts=None, policy=None, **over):
    """The row of the resource of one usage row; ``over`` changes the facts."""
    got = rows([usage], [stated(**over)] if facts is None else facts, policy)
    return got[got["resource"] == usage["resource"]].iloc[0]


def codes(row):
    return [reason.code for reason in row["reasons"]]


@pytest.mark.parametrize(
    ("resource", "p95", "asked", "limit"),
    [
        ("cpu", 0.05, 0.1, 0.3),  # 2 x 50m; 6 x 50m is 300m, not the 325m of 0.05*6 in floats
        ("cpu", 0.045, 0.1, 0.275),  # 90m -> 100m; 270m -> 275m
        ("memory", 170 * MIB, 256 * MIB, 512 * MIB),  # 255Mi -> 256Mi; 510Mi -> 512Mi
    ],
)
def test_the_guides_numbers(resource, p95, asked, limit):
    got = one(measured(resource, p95))
    assert (got["rule_request"], got["rule_limit"]) == (asked, limit)
    assert (got["guarded_request"], got["guarded_limit"]) == (asked, limit)
    assert (got["grade"], got["change"]) == ("high", "decrease")


def test_overprovision_of_the_guide():
    # 155 of 200m, 450 of 500m and 854 of 1024Mi are above the P95
    assert one(measured(p95=0.045))["overprovision"] == pytest.approx(0.775)
    assert one(measured(p95=0.05), cpu_request=0.5)["overprovision"] == pytest.approx(0.90)
    assert one(measured("memory", 170 * MIB), memory_request=GIB)["overprovision"] == pytest.approx(0.834, abs=0.0005)


def test_f19_three_days_are_refused_with_the_date():
    got = one(measured(last_sample=START + timedelta(days=3), days=3, weekdays=3))
    assert got["grade"] == "refused"
    assert got[["rule_request", "rule_limit", "guarded_request", "guarded_limit"]].isna().all()
    assert (got["change"], got["enough_on"], codes(got)) == ("undetermined", "2026-11-08", [Code.SHORT_HISTORY])
    assert got["krr_request"] == 0.05


def test_f19_almost_seven_days_are_refused():
    steps = int(6.9 * 288)
    got = one(measured(last_sample=START + timedelta(days=6.9), steps=steps), expected_steps=steps)
    assert (codes(got), got["enough_on"]) == ([Code.SHORT_HISTORY], "2026-11-08")
    assert "6.9 days" in got["reasons"][0].message


def test_f19_seven_days_are_accepted():
    got = one(measured(last_sample=START + timedelta(days=7), steps=7 * 288), expected_steps=7 * 288)
    assert (got["grade"], got["enough_on"], codes(got)) == ("high", "", [Code.THIN_HISTORY])


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"cpu_request": np.nan, "cpu_limit": np.nan}, Code.NO_REQUEST),
        ({"cpu_request": 0.0}, Code.ZERO_REQUEST),
        ({"cpu_request": np.nan}, Code.LIMIT_WITHOUT_REQUEST),
        ({"cpu_request": 2.0}, Code.LIMIT_BELOW_REQUEST),
    ],
)
def test_f20_odd_settings_have_their_own_reason(facts, code):
    got = one(measured(), **facts)
    assert code in codes(got)
    assert np.isnan(got["overprovision"])
    assert got["rule_request"] == 0.1
    assert got["guarded_limit"] >= got["guarded_request"]


@pytest.mark.parametrize(
    ("kind", "facts", "code"),
    [
        ("Deployment", {"running": False}, Code.GONE),
        ("CronJob", {}, Code.FEW_RUNS),
        ("Node", {}, Code.OUT_OF_SCOPE),
        ("Deployment", {"out_of_scope": "GPU"}, Code.OUT_OF_SCOPE),
        ("Deployment", {"hpa": "web-hpa", "hpa_cpu": True}, Code.HPA_MANAGED),
    ],
)
def test_what_is_not_sized(kind, facts, code):
    got = one(measured(workload_kind=kind, samples=9), [stated(workload_kind=kind, **facts)])
    assert (got["grade"], codes(got), got["priority"]) == ("refused", [code], "")
    if code == Code.HPA_MANAGED:
        assert "web-hpa" in got["reasons"][0].message


def test_f17_completeness():
    assert codes(one(measured(steps=5600))) == [Code.LOW_COMPLETENESS]  # 5600/8064 = 0.694
    assert codes(one(measured(steps=6000))) == [Code.SOME_MISSING]  # 0.744
    # without an inventory: steps from the first to the last sample
    assert one(measured(steps=4032), facts=[])["completeness"] == pytest.approx(0.5)


def test_weekdays():
    assert codes(one(measured(weekdays=4))) == [Code.FEW_WEEKDAYS]
    # the window starts on a Sunday: days 0, 7, 14, 21
    seen = [np.nan if i % 7 == 0 else 0.05 for i in range(28)]
    assert codes(one(measured(weekdays=6, daily_p95=seen))) == [Code.WEEKEND_UNSEEN]


def test_f22_a_recent_rollout():
    end = START + timedelta(days=28)
    new = one(measured(), last_rollout=end - timedelta(hours=23))
    assert (codes(new), new["enough_on"]) == ([Code.RECENT_ROLLOUT], "2026-11-29")
    old = one(measured(), last_rollout=end - timedelta(days=6))
    assert (codes(old), old["grade"], old["guarded_request"]) == ([Code.RECENT_ROLLOUT, Code.STEP_CAPPED], "low", 0.1)
    assert codes(one(measured(), last_rollout=end - timedelta(days=7))) == []


def test_rows_are_the_union_of_both_frames():
    other = stated(workload="idle")
    got = rows([measured(), measured(workload="lone")], [stated(), other])
    assert got[["workload", "resource"]].to_numpy().tolist() == [[w, r] for w in ("idle", "lone", "web") for r in ("cpu", "memory")]
    by = got.set_index(["workload", "resource"])
    assert codes(by.loc[("idle", "cpu")]) == [Code.NO_SAMPLES]
    assert Code.NO_REQUEST in codes(by.loc[("lone", "cpu")])
    assert by.loc[("lone", "cpu"), "guarded_request"] == 0.1
    assert codes(by.loc[("web", "memory")]) == [Code.NO_SAMPLES]
    assert list(rows([], []).columns) == list(RECOMMENDATIONS.columns)


@pytest.mark.parametrize(
    ("upper", "saturated", "grade"),
    [(0.0575, False, "high"), (0.07, False, "medium"), (0.0701, False, "low"), (0.05, True, "low"), (np.nan, False, "low")],
)
def test_grades(upper, saturated, grade):
    assert one(measured(upper=upper, saturated=saturated))["grade"] == grade


def test_censored_never_decreases():
    # burst 0.3 x 1.2 = 360m -> 375m, today 200m/1000m
    got = one(measured(), throttle_ratio=0.26, burst_p999=0.3)
    assert (got["guarded_request"], got["guarded_limit"], got["change"], got["grade"]) == (0.375, 1.0, "increase", "low")
    assert (Code.CENSORED in codes(got), got["priority"]) == (True, "do first")
    for ratio in (0.25, 0.06):  # throttled, and known how much is needed: never less than today
        got = one(measured(), throttle_ratio=ratio)
        assert (got["guarded_request"], got["guarded_limit"], got["change"]) == (0.2, 1.0, "keep")
        assert codes(got) == [Code.THROTTLED]
    assert one(measured(), throttle_ratio=0.05)["change"] == "decrease"


def test_bursts_raise_the_limit():
    # 1.2 x 400m = 480m -> 500m, above the rule's 300m
    got = one(measured(), burst_p999=0.4)
    assert (got["rule_limit"], got["guarded_limit"], codes(got)) == (0.3, 0.5, [Code.BURSTY])


def test_killed_for_memory():
    # at the limit of 512Mi: max(512 + 100, 614.4) = 614.4 -> 624Mi; the request stays
    got = one(measured("memory", 100 * MIB), oom_kills=1.0, memory_request=256 * MIB, memory_limit=512 * MIB, mem_at_oom=500 * MIB)
    assert (got["guarded_request"] / MIB, got["guarded_limit"] / MIB, got["change"]) == (256, 624, "increase")
    assert Code.OOM_KILLED in codes(got)
    assert got["priority"] == "do first"


def test_the_peak_of_what_runs_alone():
    # 1.15 x 400 = 460 -> 464Mi, 1.2 x 400 = 480Mi; rule 150 -> 160Mi / 300 -> 304Mi
    usage = measured("memory", 100 * MIB, max=400 * MIB)
    alone = one(usage, replicas_max=1, memory_request=900 * MIB)
    assert (alone["guarded_request"] / MIB, alone["guarded_limit"] / MIB) == (464, 480)
    assert one(usage, memory_request=900 * MIB)["guarded_request"] == 160 * MIB  # two replicas: the rule


def test_a_leak_is_not_cut():
    # 100, 103, 106 ... Mi: 3 a day over a median of 140.5 is 2.1 %
    rising = [(100 + 3 * i) * MIB for i in range(28)]
    got = one(measured("memory", 100 * MIB, daily_max=rising))
    assert (got["guarded_request"], got["guarded_limit"], got["change"]) == (512 * MIB, GIB, "keep")
    assert Code.LEAK_SUSPECTED in codes(got)
    slow = [(100 + i) * MIB for i in range(28)]
    assert Code.LEAK_SUSPECTED not in codes(one(measured("memory", 100 * MIB, daily_max=slow)))


def test_java():
    assert one(measured("memory", 100 * MIB), jvm=True)["guarded_request"] == 512 * MIB
    cpu = one(measured(), jvm=True)
    assert (cpu["guarded_request"], cpu["guarded_limit"], codes(cpu)) == (0.1, 1.0, [Code.JVM])


def test_guaranteed_stays_guaranteed():
    got = one(measured(), qos="Guaranteed", cpu_request=0.5, cpu_limit=0.5)
    assert (got["guarded_request"], got["guarded_limit"], codes(got)) == (0.3, 0.3, [Code.QOS_GUARANTEED])


def test_the_hottest_pod():
    got = one(measured(hot_pod="web-1", hot_p95=0.0626))
    assert (got["p95"], got["pooled_p95"], codes(got)) == (0.0626, 0.05, [Code.IMBALANCED])
    assert got["rule_request"] == 0.15  # 125.2m -> 150m
    assert one(measured(hot_pod="web-1", hot_p95=0.0625))["p95"] == 0.05
    ordinal = measured(hot_pod="db-0", hot_p95=0.06, workload_kind="StatefulSet")
    assert one(ordinal, [stated(workload_kind="StatefulSet")])["p95"] == 0.06


def test_floor_cut_and_hysteresis():
    low = one(measured(p95=0.001), cpu_request=0.05)
    assert (low["rule_request"], low["guarded_request"]) == (0.025, 0.025)
    nothing = one(measured(p95=0.0), cpu_request=0.1)
    assert (nothing["rule_request"], nothing["guarded_request"], codes(nothing)) == (0.0, 0.025, [Code.FLOOR])
    capped = one(measured(upper=0.07), cpu_request=0.5, cpu_limit=0.5)  # medium: at least half of 500m
    assert (capped["guarded_request"], codes(capped)) == (0.25, [Code.STEP_CAPPED])
    assert one(measured(), cpu_request=0.5)["guarded_request"] == 0.1  # high
    kept = one(measured(), cpu_request=0.11)  # 10m are less than a step
    assert (kept["guarded_request"], kept["guarded_limit"], kept["change"], codes(kept)) == (0.11, 1.0, "keep", [Code.HYSTERESIS])
    assert one(measured(), cpu_request=0.125)["change"] == "decrease"  # a whole step


def test_too_little_is_increased():
    got = one(measured(p95=0.3))
    assert (got["change"], got["priority"], codes(got)) == ("increase", "do first", [Code.UNDER_REQUESTED])


def test_an_upper_bound_above_the_request_is_said():
    got = one(measured(upper=0.12))  # graded low, so that the limit of 1000m falls to 500m only
    assert codes(got) == [Code.STEP_CAPPED, Code.UPPER_EXCEEDS_REQUEST]
    assert got["guarded_limit"] == 0.5


def test_comparators():
    cpu = one(measured(p90=0.04))
    assert (cpu["krr_request"], cpu["vpa_request"]) == (0.05, 0.046)  # 50m; 1.15 x 40m
    memory = one(measured("memory", 300 * MIB, max=400 * MIB))
    assert (memory["krr_request"] / MIB, memory["vpa_request"] / MIB) == (460, 345)  # 1.15 x 400; 1.15 x P90 of daily peaks 300
    small = one(measured("memory", 10 * MIB))
    assert (small["krr_request"] / MIB, small["vpa_request"] / MIB) == (96, 239)  # 100 MB and 250 MB


def test_the_other_presets():
    krr = one(measured(), policy=policy_of("krr"))
    assert (krr["rule_request"], np.isnan(krr["rule_limit"]), np.isnan(krr["guarded_limit"])) == (0.05, True, True)
    vpa = one(measured(), policy=policy_of("vpa"))
    assert (vpa["rule_request"], vpa["rule_limit"]) == (0.058, 1.0)  # 57.5m -> 58m; the limit of today stays


def test_nothing_is_changed_and_order_does_not_matter():
    usage = frame([measured(), measured("memory", 100 * MIB), measured(workload="api")], USAGE)
    facts = frame([stated(), stated(workload="api")], FACTS)
    before = usage.copy(deep=True), facts.copy(deep=True)
    first = recommend(usage, facts, SizingPolicy(), cluster="prod", window=WINDOW)
    second = recommend(usage.iloc[::-1], facts.iloc[::-1], SizingPolicy(), cluster="prod", window=WINDOW)
    pd.testing.assert_frame_equal(usage, before[0])
    pd.testing.assert_frame_equal(facts, before[1])
    pd.testing.assert_frame_equal(first, second)
    assert first["id"].is_unique


@settings(max_examples=60, deadline=None)
@given(
    p95=st.floats(0, 64),
    asked=st.one_of(st.just(np.nan), st.floats(0, 64)),
    limit=st.one_of(st.just(np.nan), st.floats(0, 64)),
    ratio=st.floats(0, 1),
    burst=st.floats(0, 64),
    jvm=st.booleans(),
    qos=st.sampled_from(["Guaranteed", "Burstable"]),
)
def test_a_limit_is_never_below_the_request(p95, asked, limit, ratio, burst, jvm, qos):
    got = one(measured(p95=p95), cpu_request=asked, cpu_limit=limit, throttle_ratio=ratio, burst_p999=burst, jvm=jvm, qos=qos)
    assert not got["guarded_limit"] < got["guarded_request"]
    assert not got["rule_limit"] < got["rule_request"]


@settings(max_examples=60, deadline=None)
@given(tenths=st.integers(0, 640_000))
def test_rounding_is_exact(tenths):
    # in whole tenths of a millicore: the next multiple of 250 at or above twice the value
    got = one(measured(p95=tenths / 10_000))
    assert round(got["rule_request"] * 10_000) == -(-2 * tenths // 250) * 250
    assert round(got["rule_limit"] * 10_000) == -(-6 * tenths // 250) * 250
