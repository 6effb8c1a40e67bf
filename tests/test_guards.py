"""Guards, refusals and rounding through ``recommend``: every boundary worked out by hand."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiops_analysis.analysis.policy import PRESETS, SizingPolicy
from aiops_analysis.analysis.rightsizing import recommend
from aiops_analysis.core.reasons import Code
from aiops_analysis.core.schema import FACTS, KEY, RECOMMENDATIONS, USAGE, blank, check, empty, row_id
from aiops_analysis.core.units import GIB, MIB
from aiops_analysis.core.window import Window

WINDOW = Window.of_days(date(2026, 11, 30), 28)  # 3 to 30 November
START, END = WINDOW.start, WINDOW.end
NAN = math.nan


def usage(resource: str = "cpu", p95: float = 0.05, **more: object) -> dict[str, object]:
    """A USAGE row of 28 whole days with a narrow interval."""
    base = blank(USAGE) | {"namespace": "todo", "workload_kind": "Deployment", "workload": "api", "container": "app", "resource": resource}
    base |= {"pods": 2, "days": 28, "steps": 28 * 288, "weekdays": 7, "samples": 56 * 288, "dropped": 0}
    base |= {"first_sample": START, "last_sample": END, "saturated": False, "hot_pod": "", "hot_p95": NAN}
    base |= {"p50": p95 * 0.8, "p90": p95 * 0.9, "p95": p95, "p99": p95 * 1.05, "max": p95 * 1.1, "lower": p95 * 0.98, "upper": p95 * 1.02}
    base |= {"daily_p95": [p95] * 28, "daily_max": [p95 * 1.1] * 28}
    return base | more


def facts(**more: object) -> dict[str, object]:
    """A FACTS row of two running pods, nothing special."""
    base = blank(FACTS)
    base |= {"namespace": "todo", "workload_kind": "Deployment", "workload": "api", "container": "app", "qos": "Burstable", "running": True}
    base |= {"cpu_request": 0.5, "cpu_limit": 2.0, "memory_request": 1.0 * GIB, "memory_limit": 4.0 * GIB}
    base |= {"replicas": 2.0, "replicas_min": 2.0, "replicas_max": 2.0, "first_seen": START, "expected_steps": 28.0 * 288}
    base |= {"throttle_ratio": 0.0, "oom_kills": 0.0, "restarts": 0.0}
    return base | more


def frame(contract, rows):
    if not rows:
        return empty(contract)
    out = pd.DataFrame(rows, columns=list(contract.columns))
    times = {name: pd.to_datetime(out[name], utc=True) for name, kind in contract.columns.items() if kind.startswith("datetime")}
    return check(out.assign(**times), contract)


def sized(used: list[dict[str, object]], said: list[dict[str, object]], policy: SizingPolicy | None = None) -> pd.DataFrame:
    return recommend(frame(USAGE, used), frame(FACTS, said), policy or SizingPolicy(), cluster="prod", window=WINDOW)


def one(used: dict[str, object], policy: SizingPolicy | None = None, **said: object) -> pd.Series:
    """The row of the resource of ``used``."""
    kind = {"workload_kind": used["workload_kind"]}
    out = sized([used], [facts(**kind, **said)], policy)
    return out[out["resource"] == used["resource"]].iloc[0]


def codes(row: pd.Series) -> set[str]:
    return {str(reason.code) for reason in row["reasons"]}


def numbers(row: pd.Series, which: str = "guarded") -> tuple[float, float]:
    """Request and limit in m or Mi."""
    unit = 1000 if row["resource"] == "cpu" else 1 / MIB
    return round(row[f"{which}_request"] * unit, 6), round(row[f"{which}_limit"] * unit, 6)


# --- the guide's numbers


def test_the_guides_backend() -> None:
    # 50m -> 2 x 50 = 100m, 6 x 50 = 300m; 170Mi -> 255 -> 256Mi, 510 -> 512Mi; over 500m: 90 %, over 1 GiB: (1024-170)/1024 = 83.4 %
    cpu, memory = one(usage()), one(usage("memory", 170.0 * MIB))
    assert numbers(cpu) == numbers(cpu, "rule") == (100, 300)
    assert numbers(memory) == numbers(memory, "rule") == (256, 512)
    assert (cpu["overprovision"], round(memory["overprovision"], 4)) == (pytest.approx(0.9), 0.834)
    assert (cpu["grade"], cpu["change"], memory["change"]) == ("high", "decrease", "decrease")
    assert codes(cpu) == codes(memory) == set()


def test_the_guides_frontend() -> None:
    # 45m -> 90m -> 100m, limit 270 -> 275m; (200-45)/200 = 77.5 %
    row = one(usage(p95=0.045), cpu_request=0.2, cpu_limit=0.5)
    assert numbers(row) == (100, 275)
    assert row["overprovision"] == pytest.approx(0.775)


def test_dust_of_floats_does_not_add_a_step() -> None:
    assert math.ceil(0.05 * 6 / 0.025) * 25 == 325  # the trap
    assert numbers(one(usage(p95=0.05000000001)), "rule") == (100, 300)
    assert numbers(one(usage(p95=float(np.float32(0.05)))), "rule") == (100, 300)


@settings(max_examples=25, deadline=None)
@given(st.floats(0.0001, 200), st.sampled_from(["cpu", "memory"]), st.floats(0.001, 64), st.booleans())
def test_rounding_never_goes_below_the_target_and_the_limit_holds_the_request(
    p95: float, resource: str, request: float, wide: bool
) -> None:
    scale, unit, step = (1.0, 1e-4, 0.025) if resource == "cpu" else (GIB, MIB / 10, 16 * MIB)
    used = usage(resource, p95 * scale, upper=p95 * scale * (2 if wide else 1.02))
    row = one(used, **{f"{resource}_request": request * scale, f"{resource}_limit": NAN})
    for factor, got in ((2.0 if resource == "cpu" else 1.5, row["rule_request"]), (6.0 if resource == "cpu" else 3.0, row["rule_limit"])):
        assert factor * (p95 * scale - unit / 2) <= got * (1 + 1e-12)  # the P95 is first rounded to a tenth of m or Mi
        assert got < factor * (p95 * scale + unit / 2) + step * (1 + 1e-12)
        assert abs(got / step - round(got / step)) < 1e-6
    assert not row["guarded_limit"] < row["guarded_request"]


def test_no_row_is_lost_and_the_order_is_that_of_the_key() -> None:
    used = [usage(workload=w, resource=r) for w in ("b", "a") for r in ("memory", "cpu")] + [usage(workload="only-usage")]
    said = [facts(workload=w) for w in ("c", "b", "a")]
    out = sized(used, said)
    assert out[["workload", "resource"]].to_numpy().tolist() == [[w, r] for w in ("a", "b", "c", "only-usage") for r in ("cpu", "memory")]
    assert out["id"].tolist() == [row_id([row[k] for k in KEY]) for row in out.to_dict("records")]
    assert set(out.loc[out["workload"] == "c", "grade"]) == {"refused"}
    assert {"no_samples"} == codes(out[out["workload"] == "c"].iloc[0])
    assert len(sized([], [])) == 0
    check(out, RECOMMENDATIONS)


def test_a_workload_without_inventory_is_not_called_gone() -> None:
    row = sized([usage()], []).iloc[0]
    assert row["change"] == "increase"  # from nothing that is known
    assert numbers(row) == (100, 300)
    assert "no_request" in codes(row)
    assert math.isnan(row["current_request"])
    assert row["completeness"] == 1.0


# --- enough data?


@pytest.mark.parametrize(
    ("days", "refused"),
    [(3.0, True), (6.9, True), (7 - 1 / 288, True), (7.0, False)],
)
def test_f19_short_history_is_refused_with_the_date_and_accepted_at_seven(days: float, refused: bool) -> None:
    first = END - timedelta(days=days)
    steps = round(days * 288)
    used = usage(first_sample=first, days=math.ceil(days), steps=steps, weekdays=min(7, math.ceil(days)))
    row = one(used, first_seen=first, expected_steps=float(steps))
    assert (row["grade"] == "refused") == refused
    if refused:
        assert codes(row) == {"short_history"}
        assert row["change"] == "undetermined"
        assert np.isnan([row[c] for c in ("rule_request", "rule_limit", "guarded_request", "guarded_limit", "overprovision")]).all()
        assert row["enough_on"] == (first + timedelta(days=7)).date().isoformat()
        assert "7.0" not in row["reasons"][0].message
    else:
        assert codes(row) == {"thin_history"}
        assert row["enough_on"] == ""


@pytest.mark.parametrize(
    ("share", "grade", "code"), [(0.69, "refused", "low_completeness"), (0.71, "high", "some_missing"), (0.9, "high", None)]
)
def test_f17_missing_samples_are_not_a_young_workload(share: float, grade: str, code: str | None) -> None:
    row = one(usage(steps=round(share * 28 * 288) + 1))
    assert row["grade"] == grade
    assert codes(row) == ({code} if code else set())
    assert row["completeness"] == pytest.approx(share, abs=1e-3)


def test_few_weekdays_and_a_weekend_that_was_not_seen() -> None:
    workdays = [0.05 if (START + timedelta(days=i)).weekday() < 5 else NAN for i in range(28)]
    row = one(usage(weekdays=5, days=20, daily_p95=workdays), expected_steps=20.0 * 288)
    assert (row["grade"], codes(row)) == ("high", {"weekend_unseen"})
    row = one(usage(weekdays=4, days=16))
    assert (row["grade"], codes(row)) == ("refused", {"few_weekdays"})


def test_a_rollout_of_hours_ago_is_refused_and_of_days_ago_lowers_the_grade() -> None:
    row = one(usage(), last_rollout=END - timedelta(hours=23))
    assert (row["grade"], row["enough_on"]) == ("refused", "2026-12-01")
    assert codes(row) == {"recent_rollout"}
    row = one(usage(), last_rollout=END - timedelta(days=3))
    assert (row["grade"], "recent_rollout" in codes(row)) == ("low", True)
    assert codes(one(usage(), last_rollout=END - timedelta(days=7))) == set()


@pytest.mark.parametrize(
    ("kind", "said", "code"),
    [
        ("CronJob", {"running": False}, "gone"),
        ("Job", {}, "few_runs"),
        ("Pod", {}, "out_of_scope"),
        ("Node", {}, "out_of_scope"),
        ("Deployment", {"out_of_scope": "GPU"}, "out_of_scope"),
        ("Deployment", {"running": False}, "gone"),
        ("Deployment", {"hpa": "api", "hpa_cpu": True, "hpa_cpu_target": 70.0}, "hpa_managed"),
    ],
)
def test_what_is_not_sized(kind: str, said: dict[str, object], code: str) -> None:
    row = one(usage(workload_kind=kind, samples=9), **said)
    assert (row["grade"], row["change"], row["enough_on"], codes(row)) == ("refused", "undetermined", "", {code})


def test_an_hpa_on_cpu_leaves_memory_to_the_rule() -> None:
    row = one(usage("memory", 170.0 * MIB), hpa="api", hpa_cpu=True, hpa_cpu_target=70.0)
    assert numbers(row) == (256, 512)


# --- odd requests


@pytest.mark.parametrize(
    ("request_", "limit", "code"),
    [(NAN, NAN, "no_request"), (NAN, 1.0, "limit_without_request"), (0.0, 1.0, "zero_request"), (0.5, 0.2, "limit_below_request")],
)
def test_f20_each_odd_request_has_its_own_reason(request_: float, limit: float, code: str) -> None:
    row = one(usage(), cpu_request=request_, cpu_limit=limit)
    assert code in codes(row)
    assert math.isnan(row["overprovision"])
    assert row["guarded_request"] == pytest.approx(0.1)
    assert not row["guarded_limit"] < row["guarded_request"]


# --- grade


@pytest.mark.parametrize(("ratio", "grade"), [(1.15, "high"), (1.16, "medium"), (1.40, "medium"), (1.41, "low")])
def test_the_grade_is_the_width_of_the_interval(ratio: float, grade: str) -> None:
    assert one(usage(p95=0.5, upper=0.5 * ratio))["grade"] == grade


def test_a_saturated_or_unknown_interval_is_low() -> None:
    assert one(usage(saturated=True))["grade"] == one(usage(upper=NAN))["grade"] == "low"


def test_an_upper_bound_above_the_request_is_said() -> None:
    row = one(usage(p95=0.1, upper=0.21), cpu_request=0.2)  # 2 x 100m = 200m
    assert "upper_exceeds_request" in codes(row)


# --- guards of CPU


def test_a_censored_container_gets_more_and_is_never_refused() -> None:
    # P99.9 of bursts 400m x 1.2 = 480 -> 500m; the rule's 100m and today's 150m are less
    row = one(usage(), cpu_request=0.15, cpu_limit=0.4, throttle_ratio=0.3, burst_p999=0.4)
    assert (numbers(row), row["change"], row["grade"]) == ((500, 500), "increase", "low")
    assert "censored" in codes(row)
    # without bursts: not less than today, and 1.2 x the limit that it ran into: 480 -> 500m
    row = one(usage(), cpu_request=0.15, cpu_limit=0.4, throttle_ratio=0.3)
    assert (numbers(row), row["change"]) == ((150, 500), "increase")


@pytest.mark.parametrize(("ratio", "request_"), [(0.05, 100), (0.06, 500), (0.25, 500)])
def test_a_throttled_container_never_gets_less(ratio: float, request_: int) -> None:
    row = one(usage(), throttle_ratio=ratio)
    assert numbers(row)[0] == request_
    assert ("throttled" in codes(row)) == (ratio > 0.05)
    assert row["guarded_limit"] >= (2.0 if ratio > 0.05 else 0.3)


def test_without_a_limit_throttling_is_not_known_and_not_zero() -> None:
    row = one(usage(), cpu_limit=NAN, throttle_ratio=NAN)
    assert "no_limit" in codes(row)
    assert math.isnan(row["throttle_ratio"])


def test_bursts_raise_the_limit() -> None:
    # 6 x 50m = 300m; bursts of 310m x 1.2 = 372 -> 375m
    row = one(usage(), burst_p999=0.31)
    assert (numbers(row), numbers(row, "rule")) == ((100, 375), (100, 300))
    assert codes(row) == {"bursty"}
    assert codes(one(usage(), burst_p999=0.3)) == set()


def test_the_hottest_pod_counts_when_the_pool_is_imbalanced() -> None:
    row = one(usage(hot_pod="api-1", hot_p95=0.0626))  # above 1.25 x 50m: 2 x 62.6 = 125.2 -> 150m
    assert (numbers(row)[0], row["p95"], row["pooled_p95"]) == (150, 0.0626, 0.05)
    assert codes(row) == {"imbalanced"}
    assert numbers(one(usage(hot_pod="api-1", hot_p95=0.0625)))[0] == 100
    row = one(usage(workload_kind="StatefulSet", hot_pod="db-0", hot_p95=0.055))  # ordinals are roles: 110 -> 125m
    assert (numbers(row)[0], codes(row)) == (125, {"ordinal"})


def test_java_counts_processors_by_the_cpu_limit() -> None:
    row = one(usage(), jvm=True)
    assert (numbers(row), codes(row)) == ((100, 1000), {"jvm"})


# --- guards of memory


def test_memory_peaks_fit_under_the_limit_and_into_a_single_replica() -> None:
    # peak 500Mi: 1.2 x 500 = 600 -> 608Mi over the rule's 512Mi; single: 1.15 x 500 = 575 -> 576Mi
    used = usage("memory", 170.0 * MIB, max=500.0 * MIB)
    assert numbers(one(used)) == (256, 608)
    row = one(used, replicas_max=1.0)
    assert (numbers(row), numbers(row, "rule"), codes(row)) == ((576, 608), (256, 512), {"peak_guard"})


def test_after_a_kill_memory_is_never_less_and_the_limit_grows() -> None:
    # killed at the limit of 512Mi: max(512 + 100, 1.2 x 512 = 614.4) -> 624Mi; the request stays at 400Mi, the rule says 256Mi
    row = one(usage("memory", 170.0 * MIB), memory_request=400.0 * MIB, memory_limit=512.0 * MIB, oom_kills=2.0, mem_at_oom=510.0 * MIB)
    assert (numbers(row), row["change"]) == ((400, 624), "increase")
    assert codes(row) == {"oom_killed"}
    assert row["priority"] == "do first"
    # killed at 128Mi: 128 + 100 = 228 -> 240Mi is more than a fifth
    row = one(usage("memory", 30.0 * MIB), memory_request=64.0 * MIB, memory_limit=128.0 * MIB, oom_kills=1.0)
    assert numbers(row)[1] == 240


def test_rising_memory_is_not_cut() -> None:
    rising = [100.0 * MIB * (1 + 0.05 * day) for day in range(28)]  # 5 of a median of 167.5: 3 % a day
    row = one(usage("memory", 170.0 * MIB, daily_max=rising, max=max(rising)))
    assert (numbers(row), codes(row) & {"leak_suspected"}) == ((1024, 4096), {"leak_suspected"})
    slow = [100.0 * MIB * (1 + 0.01 * day) for day in range(28)]  # 1 of 113.5: 0.9 % a day
    assert numbers(one(usage("memory", 170.0 * MIB, daily_max=slow)))[0] == 256
    steps = [100.0 * MIB, 170.0 * MIB] * 14  # no trend
    assert numbers(one(usage("memory", 170.0 * MIB, daily_max=steps)))[0] == 256


def test_a_java_heap_is_not_cut_but_may_grow() -> None:
    row = one(usage("memory", 170.0 * MIB), jvm=True)
    assert (numbers(row), row["change"], codes(row) & {"jvm"}) == ((1024, 4096), "keep", {"jvm"})
    row = one(usage("memory", 900.0 * MIB), jvm=True)
    assert (numbers(row)[0], row["change"]) == (1360, "increase")  # 1.5 x 900 = 1350 -> 1360Mi


# --- guards of both


def test_guaranteed_stays_guaranteed() -> None:
    row = one(usage(p95=0.05), qos="Guaranteed", cpu_request=0.5, cpu_limit=0.5)
    assert numbers(row) == (300, 300)  # the limit's value
    assert codes(row) == {"qos_guaranteed"}


def test_the_floor_of_the_policy() -> None:
    row = one(usage(p95=0.00004), cpu_limit=0.5)  # 0.4 tenths of a millicore round to nothing
    assert numbers(row, "rule") == (0, 0)
    assert (numbers(row), codes(row)) == ((25, 25), {"floor"})


def test_one_change_cuts_at_most_a_half_unless_the_grade_is_high() -> None:
    row = one(usage(upper=0.06))  # 1.2: medium; rule 100m/300m of 500m/2000m
    assert (numbers(row), row["grade"]) == ((250, 1000), "medium")
    assert codes(row) == {"step_capped"}
    assert numbers(one(usage()))[0] == 100


@pytest.mark.parametrize(("request_", "change"), [(0.2, "keep"), (0.22, "keep"), (0.25, "decrease"), (0.18, "keep"), (0.175, "increase")])
def test_small_changes_are_not_worth_a_rollout(request_: float, change: str) -> None:
    # the rule says 200m; less than 25m or 10 % away is kept, exactly 25m is not
    row = one(usage(p95=0.1), cpu_request=request_, cpu_limit=0.6)
    assert row["change"] == change
    assert row["guarded_request"] == (request_ if change == "keep" else 0.2)
    assert (row["priority"] == "") == (change == "keep")


def test_under_requested_is_first() -> None:
    row = one(usage(p95=0.3), cpu_request=0.2)
    assert (numbers(row)[0], row["change"], row["priority"]) == (600, "increase", "do first")
    assert codes(row) == {"under_requested"}
    assert row["overprovision"] == pytest.approx(-0.5)


def test_a_sidecar_is_named() -> None:
    assert codes(one(usage(), sidecar=True)) == {"sidecar"}


# --- other policies, comparators


def test_presets_and_comparators() -> None:
    cpu, memory = usage(), usage("memory", 170.0 * MIB, max=200.0 * MIB, daily_max=[200.0 * MIB] * 28)
    row = one(cpu, PRESETS["krr"])
    assert (row["rule_request"], math.isnan(row["rule_limit"])) == (0.05, True)  # P95, no limit
    row = one(memory, PRESETS["krr"])
    assert numbers(row, "rule") == (230, 230)  # 1.15 x 200
    assert numbers(one(memory, PRESETS["vpa"]), "rule")[0] == 230
    assert numbers(one(cpu, PRESETS["vpa"]), "rule")[0] == pytest.approx(52)  # 1.15 x P90 45m = 51.75
    for policy in PRESETS.values():  # the comparators do not depend on the policy; 250 MB is 238.4 -> 239Mi
        assert one(cpu, policy)[["krr_request", "vpa_request"]].tolist() == pytest.approx([0.05, 0.052])
        assert (one(memory, policy)[["krr_request", "vpa_request"]] / MIB).tolist() == [230, 239]


def test_nothing_is_changed() -> None:
    used = frame(USAGE, [usage(), usage("memory", 170.0 * MIB)])
    said = frame(FACTS, [facts(throttle_ratio=0.4, oom_kills=3.0)])
    before = used.copy(deep=True), said.copy(deep=True)
    first = recommend(used, said, SizingPolicy(), cluster="prod", window=WINDOW)
    pd.testing.assert_frame_equal(used, before[0])
    pd.testing.assert_frame_equal(said, before[1])
    pd.testing.assert_frame_equal(first, recommend(used, said, SizingPolicy(), cluster="prod", window=WINDOW))
    assert datetime(2026, 12, 1, tzinfo=UTC) == END
    assert Code.CENSORED in codes(first.iloc[0])
