"""Pooled quantiles, Woodruff bounds, hot pods and impossible values."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiops_analysis.analysis.statistics import quantile_of_sorted
from aiops_analysis.analysis.usage import usage_of_block
from aiops_analysis.core.errors import SchemaError
from aiops_analysis.core.schema import LABELS, USAGE, check
from aiops_analysis.core.window import Window

WINDOW = Window.of_days(date(2026, 11, 30), 14)  # Tuesday 17 to Monday 30 November
T95 = {1: 6.3138, 2: 2.9200, 5: 2.0150, 6: 1.9432, 13: 1.7709, 27: 1.7033}  # any printed table of Student's t


def labels(rows: list[tuple[str, str]]) -> pd.DataFrame:
    """Rows of (workload, pod)."""
    return pd.DataFrame([("shop", "Deployment", workload, pod, "app") for workload, pod in rows], columns=list(LABELS)).astype("str")


def usage(rows: list[tuple[str, str]], day: list[int], samples: object, **more: object) -> pd.DataFrame:
    matrix = np.asarray(samples, np.float32)
    return usage_of_block(labels(rows), np.asarray(day), matrix, window=WINDOW, resource="cpu", **more)  # type: ignore[arg-type]


def slow_bounds(days: list[np.ndarray]) -> tuple[float, float]:
    """Woodruff with day clusters as methods.md A5 writes it, with numpy's own quantile and a printed table."""
    x = np.concatenate(days).astype(np.float64)
    p = np.quantile(x, 0.95)
    f = [float(np.mean(d.astype(np.float64) > p)) for d in days]
    half = T95[len(f) - 1] * float(np.std(f, ddof=1)) / len(f) ** 0.5
    return float(np.quantile(x, max(0.0, 0.95 - half))), float(np.quantile(x, min(1.0, 0.95 + half)))


def test_quantiles_of_one_day_worked_out_by_hand() -> None:
    # 1..288 shuffled: rank q*287 from 0, so P50 = 1 + 143.5, P90 = 1 + 258.3, P95 = 1 + 272.65, P99 = 1 + 284.13
    values = np.random.default_rng(1).permutation(np.arange(1, 289))
    row = usage([("api", "api-0")], [3], [values]).iloc[0]
    assert [round(row[c], 6) for c in ("p50", "p90", "p95", "p99", "max")] == [144.5, 259.3, 273.65, 285.13, 288.0]
    assert (row["days"], row["steps"], row["samples"], row["pods"], row["weekdays"]) == (1, 288, 288, 1, 1)
    assert np.isnan(row["lower"])
    assert np.isnan(row["upper"])
    assert not row["saturated"]
    assert row["first_sample"] == datetime(2026, 11, 20, tzinfo=UTC)
    assert row["last_sample"] == datetime(2026, 11, 21, tzinfo=UTC)
    assert row["hot_pod"] == ""


def test_missing_is_not_zero_and_times_are_those_of_the_steps() -> None:
    day = np.full(288, np.nan)
    day[[12, 24]] = 2.0, 4.0  # 01:00 and 02:00
    row = usage([("api", "a")], [0], [day]).iloc[0]
    assert (row["p50"], row["samples"], row["steps"]) == (3.0, 2, 2)
    assert row["first_sample"] == datetime(2026, 11, 17, 1, 0, tzinfo=UTC)
    assert row["last_sample"] == datetime(2026, 11, 17, 2, 5, tzinfo=UTC)
    assert [i for i, v in enumerate(row["daily_p95"]) if not np.isnan(v)] == [0]
    assert len(row["daily_p95"]) == len(row["daily_max"]) == 14


def test_a_workload_without_any_sample_keeps_its_row() -> None:
    out = usage([("api", "a"), ("web", "b")], [0, 0], [np.full(288, np.nan), np.ones(288)])
    api = out.iloc[0]
    assert (len(out), api["workload"], api["samples"], api["days"], api["pods"], api["steps"]) == (2, "api", 0, 0, 0, 0)
    assert api[["p50", "p95", "max", "lower", "upper"]].isna().all()
    assert pd.isna(api["first_sample"])
    assert len(usage_of_block(labels([]), np.empty(0, np.int32), np.empty((0, 288), np.float32), window=WINDOW, resource="cpu")) == 0


def test_f14_impossible_values_are_left_out_and_counted() -> None:
    with np.errstate(over="ignore"):
        bad = np.array([np.nan, np.inf, -np.inf, -1.0, 1e308, 70.0, 64.0, 1.0]).astype(np.float32)
    day = np.concatenate([bad, np.full(280, 1.0)]).astype(np.float32)
    row = usage([("api", "a")], [0], [day], largest=64.0).iloc[0]
    # left out: two infinities, -1, 1e308 (infinite as float32) and 70 over the limit; the NaN is missing, not dropped
    assert (row["dropped"], row["samples"], row["max"], row["p50"]) == (5, 282, 64.0, 1.0)
    assert usage([("api", "a")], [0], [day]).iloc[0]["dropped"] == 4  # without a limit 70 may be true


@pytest.mark.parametrize(
    ("last", "days", "at", "first"),
    [
        (date(2028, 3, 1), 3, 1, datetime(2028, 2, 29, tzinfo=UTC)),  # a leap day
        (date(2027, 1, 1), 2, 1, datetime(2027, 1, 1, tzinfo=UTC)),  # the year ends
        (date(2026, 3, 30), 2, 0, datetime(2026, 3, 29, tzinfo=UTC)),  # clocks go forward in Europe: still 288 steps
    ],
)
def test_f18_days_are_utc_days_of_288_steps(last: date, days: int, at: int, first: datetime) -> None:
    window = Window.of_days(last, days)
    frame = usage_of_block(labels([("api", "a")]), np.array([at]), np.ones((1, 288), np.float32), window=window, resource="cpu")
    row = frame.iloc[0]
    assert (row["first_sample"], row["last_sample"]) == (first, first + timedelta(days=1))
    assert (row["steps"], row["days"], len(row["daily_p95"])) == (288, 1, days)


def test_pods_are_pooled_and_the_hottest_is_named() -> None:
    cold, hot, short = np.full(288, 1.0), np.full(288, 5.0), np.full(288, 9.0)
    short[100:] = np.nan  # 100 steps are not 24 hours
    out = usage([("api", "a"), ("api", "b"), ("api", "c")], [0, 0, 0], [cold, hot, short])
    row = out.iloc[0]
    assert (row["pods"], row["samples"], row["steps"], row["days"]) == (3, 676, 288, 1)
    assert (row["hot_pod"], row["hot_p95"], row["p95"]) == ("b", 5.0, 9.0)
    assert row["daily_p95"][0] == 9.0
    assert usage([("api", "a"), ("api", "b")], [0, 1], [cold, cold]).iloc[0]["hot_pod"] == "a"  # a tie goes to the first name


def test_f17_holes_lower_the_steps_that_were_seen() -> None:
    first, second = np.ones(288), np.ones(288)
    first[0:12] = np.nan  # an hour is missing in both pods,
    second[0:24] = np.nan  # a second hour in one
    row = usage([("api", "a"), ("api", "b"), ("api", "a")], [0, 0, 4], [first, second, np.ones(288)]).iloc[0]
    assert (row["steps"], row["days"], row["samples"]) == (276 + 288, 2, 276 + 264 + 288)
    assert row["last_sample"] == datetime(2026, 11, 22, tzinfo=UTC)


@pytest.mark.parametrize("count", [2, 3, 7, 14])
def test_bounds_equal_a_slow_reference(count: int) -> None:
    rng = np.random.default_rng(count)
    days = [rng.gamma(3, 0.02 * (1 + 0.4 * rng.random()), 288).astype(np.float32) for _ in range(count)]
    row = usage([("api", "a")] * count, list(range(count)), np.stack(days)).iloc[0]
    lower, upper = slow_bounds(days)
    assert row["lower"] == pytest.approx(lower, rel=1e-4)  # the table has four digits
    assert row["upper"] == pytest.approx(upper, rel=1e-4)
    assert row["lower"] <= row["p95"] <= row["upper"] <= row["max"]
    assert row["p95"] == np.quantile(np.concatenate(days).astype(np.float64), 0.95)


def test_bounds_count_pods_of_a_day_together_and_skip_days_without_samples() -> None:
    rng = np.random.default_rng(5)
    m = rng.gamma(3, 0.02, (6, 288)).astype(np.float32)
    m[2, 50:] = np.nan
    day = [0, 1, 2, 0, 1, 5]
    row = usage([("api", "a")] * 3 + [("api", "b")] * 3, day, m).iloc[0]
    parts = [m[np.asarray(day) == d].ravel() for d in (0, 1, 2, 5)]
    parts = [p[~np.isnan(p)] for p in parts]
    T95[3] = 2.3534
    lower, upper = slow_bounds(parts)
    assert (row["lower"], row["upper"]) == (pytest.approx(lower, rel=1e-4), pytest.approx(upper, rel=1e-4))


def test_saturated_when_the_upper_bound_is_the_maximum() -> None:
    # 13 calm days and one at ten times: all samples above the P95 fall on one day, so the bound reaches past 1
    m = np.random.default_rng(2).uniform(0.1, 0.2, (14, 288)).astype(np.float32)
    m[6] *= 10
    row = usage([("api", "a")] * 14, list(range(14)), m).iloc[0]
    assert row["saturated"]
    assert row["upper"] == row["max"]


def _trace(rng: np.random.Generator, days: int) -> np.ndarray:
    """The generator of methods.md A5: diurnal, weekday, AR(1) with phi .99, day shock, noise [millicores]."""
    n = days * 288
    step = np.arange(n)
    weekend = (step // 288) % 7 >= 5
    slow = np.empty(n)
    draws = rng.normal(0, 0.25 * np.sqrt(1 - 0.99**2), n)
    slow[0] = rng.normal(0, 0.25)
    for i in range(1, n):
        slow[i] = 0.99 * slow[i - 1] + draws[i]
    shock = np.repeat(rng.normal(0, 0.15, days), 288)
    level = 0.5 * np.sin(2 * np.pi * step / 288) + 0.25 * np.where(weekend, -0.75, 0.3)
    return np.asarray(50 * np.exp(level + slow + shock + rng.normal(0, 0.08, n)))


def test_the_upper_bound_covers_the_true_p95_about_as_often_as_published() -> None:
    # methods.md A5: 0.94 at 14 days. 60 runs: two standard errors are 0.06; the true P95 is that of 20 years of the same process.
    rng = np.random.default_rng(11)
    truth = float(np.quantile(np.concatenate([_trace(rng, 280) for _ in range(6)]), 0.95))
    rows = [(f"w{i:02d}", "a") for i in range(60) for _ in range(14)]
    samples = np.concatenate([_trace(rng, 14).reshape(14, 288) for _ in range(60)])
    out = usage(rows, list(range(14)) * 60, samples)
    covered = float((out["upper"] >= truth).mean())
    assert 0.86 <= covered <= 1.0
    assert 0.3 <= float((out["p95"] >= truth).mean()) <= 0.7  # the estimate itself is no bound


def test_row_order_pod_order_and_category_labels_do_not_matter() -> None:
    rng = np.random.default_rng(9)
    rows = [(f"w{i % 3}", f"p{i % 5}") for i in range(30)]
    day, m = [i // 3 % 10 for i in range(30)], rng.gamma(2, 1, (30, 288)).astype(np.float32)
    m[rng.random(m.shape) < 0.1] = np.nan
    expected = usage(rows, day, m)
    turn = rng.permutation(30)
    frame = labels([rows[i] for i in turn]).astype("category")
    out = usage_of_block(frame, np.asarray(day, np.int32)[turn], m[turn], window=WINDOW, resource="cpu")
    pd.testing.assert_frame_equal(out, expected)
    assert list(expected["workload"]) == ["w0", "w1", "w2"]
    check(expected, USAGE)


def test_chunks_of_many_workloads_give_the_same_as_one_alone() -> None:
    rng = np.random.default_rng(4)
    m = rng.gamma(2, 1, (700 * 14, 288)).astype(np.float32)  # more than one chunk of 2**20 values
    rows = [(f"w{i:03d}", "a") for i in range(700) for _ in range(14)]
    out = usage(rows, list(range(14)) * 700, m)
    for i in (0, 259, 260, 699):
        alone = usage([(f"w{i:03d}", "a")] * 14, list(range(14)), m[i * 14 : (i + 1) * 14])
        pd.testing.assert_frame_equal(out.iloc[[i]].reset_index(drop=True), alone)


def test_nothing_is_changed() -> None:
    m = np.array([[1.0, -1.0, np.inf, np.nan] * 72] * 2, np.float32)
    frame, day, before = labels([("api", "a"), ("api", "b")]), np.array([0, 1]), m.copy()
    kept = frame.copy()
    usage_of_block(frame, day, m, window=WINDOW, resource="cpu")
    np.testing.assert_array_equal(m, before)
    pd.testing.assert_frame_equal(frame, kept)
    assert day.tolist() == [0, 1]


def test_arguments_that_do_not_fit_are_refused() -> None:
    with pytest.raises(SchemaError, match="got 1, 2 and 1"):
        usage([("api", "a")], [0, 1], [np.ones(288)])
    with pytest.raises(SchemaError, match="days from 0 to 13"):
        usage([("api", "a")], [14], [np.ones(288)])


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats(0, 1e12, width=64), min_size=1, max_size=60),
    st.one_of(st.sampled_from([0.0, 0.5, 0.9, 0.95, 0.99, 1.0]), st.floats(0, 1)),
)
def test_a_quantile_equals_numpy_to_the_last_bit(values: list[float], share: float) -> None:
    padded = np.array([sorted(values) + [np.nan] * 3])
    assert quantile_of_sorted(padded, np.array([len(values)]), share)[0] == np.quantile(np.array(values), share)
