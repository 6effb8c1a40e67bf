"""P95 by local hours, weekend dips, the week of sums; and real traces against pandas alone."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiops_analysis.analysis.hours import HoursPolicy
from aiops_analysis.analysis.profile import PROFILE, WEEK, Totals, profile_of_block, totals_of_block, week_of
from aiops_analysis.core.errors import SchemaError
from aiops_analysis.core.schema import LABELS, check
from aiops_analysis.core.window import Window

WINDOW = Window.of_days(date(2026, 11, 15), 14)  # Monday 2 to Sunday 15 November
REAL = Path(__file__).parents[2] / "shared" / "realdata" / "bitbrains_rnd" / "dev_47vms.parquet"
WORKING = [0, 1, 2, 3, 4, 7, 8, 9, 10, 11]
FREE = [5, 6, 12, 13]


def labels(rows: list[tuple[str, str]]) -> pd.DataFrame:
    """Rows of (workload, pod)."""
    return pd.DataFrame([("shop", "Deployment", workload, pod, "app") for workload, pod in rows], columns=list(LABELS)).astype("str")


def profile(rows: list[tuple[str, str]], day: list[int], samples: object, hours: HoursPolicy | None = None, **more: object) -> pd.DataFrame:
    matrix = np.asarray(samples, np.float32)
    return profile_of_block(labels(rows), np.asarray(day), matrix, window=WINDOW, resource="cpu", hours=hours, **more)  # type: ignore[arg-type]


def fortnight(business: float, off: float, weekend: float) -> np.ndarray:
    """Fourteen days of one pod that uses three amounts."""
    out = np.full((14, 288), off, np.float32)
    out[WORKING, 96:216] = business
    out[FREE] = weekend
    return out


def test_business_night_and_weekend_worked_out_by_hand() -> None:
    row = profile([("api", "a")] * 14, list(range(14)), fortnight(8.0, 2.0, 1.0)).iloc[0]
    # business hours hold only 8, nights and weekends never do
    assert (row["business_p95"], row["off_p95"], row["weekend_p95"], row["night_p95"]) == (8.0, 2.0, 1.0, 2.0)
    # weekdays: 1200 of 2880 samples are 8
    assert (row["weekday_p95"], row["weekend_ratio"], row["weekends"], row["weekend_dip"]) == (8.0, 0.125, 2, True)
    assert (row["samples_business"], row["samples_off"]) == (1200, 14 * 288 - 1200)
    assert row["off_idle"] == 0.0  # a tenth of 8 is 0.8


def test_the_quantile_is_interpolated_like_everywhere_else() -> None:
    day = np.zeros(288)
    day[96:216] = np.random.default_rng(2).permutation(np.arange(1, 121))
    row = profile([("api", "a")], [0], [day]).iloc[0]
    assert row["business_p95"] == pytest.approx(1 + 0.95 * 119)  # rank 0.95 x (120 - 1) of 1..120
    assert row["weekday_p95"] == pytest.approx(np.quantile(day, 0.95))
    assert np.isnan(row["weekend_p95"])
    assert np.isnan(row["weekend_ratio"])
    assert not row["weekend_dip"]


def test_f17_missing_is_not_zero_and_an_hour_without_samples_has_no_number() -> None:
    days = fortnight(8.0, 2.0, 1.0)
    days[:, 96:216] = np.nan  # never seen in business hours, nor at that time of weekends
    row = profile([("api", "a")] * 14, list(range(14)), days).iloc[0]
    assert np.isnan(row["business_p95"])
    assert np.isnan(row["off_idle"])
    assert (row["samples_business"], row["off_p95"], row["weekend_p95"]) == (0, 2.0, 1.0)


def test_one_weekend_is_no_habit_and_a_sliver_is_no_weekend() -> None:
    days = fortnight(8.0, 2.0, 1.0)
    one = profile([("api", "a")] * 9, list(range(9)), days[:9]).iloc[0]
    assert (one["weekends"], one["weekend_ratio"], one["weekend_dip"]) == (1, 0.125, False)
    thin = days.copy()
    thin[12:, :] = np.nan
    thin[12, :143] = 1.0  # 11 h 55 min of the second weekend
    assert profile([("api", "a")] * 14, list(range(14)), thin).iloc[0]["weekends"] == 1
    thin[12, 143] = 1.0
    assert profile([("api", "a")] * 14, list(range(14)), thin).iloc[0]["weekends"] == 2
    # in New York the window ends on Sunday 19:00 and begins on Sunday 19:00: that first sliver is no weekend
    abroad = profile([("api", "a"), ("api", "b"), ("api", "c")] * 14, np.repeat(range(14), 3).tolist(), np.repeat(days, 3, axis=0),
                     HoursPolicy(zone="America/New_York")).iloc[0]  # fmt: skip
    assert abroad["weekends"] == 2


def test_a_dip_is_below_half_and_nothing_over_nothing_is_no_ratio() -> None:
    at_half = profile([("api", "a")] * 14, list(range(14)), fortnight(8.0, 2.0, 4.0)).iloc[0]
    assert (at_half["weekend_ratio"], at_half["weekend_dip"]) == (0.5, False)
    zero = profile([("api", "a")] * 14, list(range(14)), fortnight(0.0, 0.0, 0.0)).iloc[0]
    assert np.isnan(zero["weekend_ratio"])
    assert (zero["off_p95"], zero["off_idle"], zero["weekend_dip"]) == (0.0, 1.0, False)


def test_idle_share_outside_business_hours() -> None:
    days = fortnight(1.0, 0.5, 0.1)  # 0.1 is a tenth of the business P95: idle; 0.1 in float32 is a hair above 0.1
    row = profile([("api", "a")] * 14, list(range(14)), days, HoursPolicy(idle_level=float(np.float32(0.1)))).iloc[0]
    assert row["off_idle"] == pytest.approx(4 * 288 / (14 * 288 - 1200))


def test_f14_impossible_values_are_left_out() -> None:
    days = fortnight(8.0, 2.0, 1.0)
    days[0, 96:216] = [np.inf, -1.0, 70.0] * 40
    row = profile([("api", "a")] * 14, list(range(14)), days, largest=64.0).iloc[0]
    assert (row["samples_business"], row["business_p95"]) == (1080, 8.0)


def test_groups_of_different_days_and_pods_are_apart_and_sorted() -> None:
    days = fortnight(8.0, 2.0, 1.0)
    rows = [("web", "w")] + [("api", "b"), ("api", "a")] * 14 + [("new", "n")]
    day = [3, *np.repeat(range(14), 2).tolist(), 13]
    samples = np.vstack([days[3:4] * 10, np.repeat(days, 2, axis=0), days[13:14] * 3])
    got = profile(rows, day, samples)
    assert got["workload"].tolist() == ["api", "new", "web"]
    assert got["business_p95"].tolist()[::2] == [8.0, 80.0]
    assert got["samples_business"].tolist() == [2400, 0, 120]
    assert got["weekend_p95"].tolist()[:2] == [1.0, 3.0]
    order = np.random.default_rng(5).permutation(len(rows))
    shuffled = profile([rows[i] for i in order], [day[i] for i in order], samples[order])
    pd.testing.assert_frame_equal(got, shuffled)


def test_nothing_in_nothing_out_and_arguments_are_checked() -> None:
    assert len(profile_of_block(labels([]), np.empty(0, np.int32), np.empty((0, 288), np.float32), window=WINDOW, resource="cpu")) == 0
    with pytest.raises(SchemaError, match="one label row"):
        profile([("api", "a")], [0, 1], np.ones((1, 288)))
    with pytest.raises(SchemaError, match="days from 0 to 13"):
        profile([("api", "a")], [14], np.ones((1, 288)))


def test_the_arguments_are_not_changed() -> None:
    days = fortnight(8.0, 2.0, 1.0)
    days[0, 0], days[1, 1] = np.inf, np.nan
    before, names = days.copy(), labels([("api", "a")] * 14)
    profile_of_block(names, np.arange(14), days, window=WINDOW, resource="cpu")
    totals_of_block(np.arange(14), days, days=14)
    np.testing.assert_array_equal(before, days)
    pd.testing.assert_frame_equal(names, labels([("api", "a")] * 14))


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    missing=st.sampled_from([0.0, 0.01, 0.5, 0.98]),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/New_York"]),
)
def test_equal_to_numpy_for_any_samples(seed: int, missing: float, zone: str) -> None:
    rng = np.random.default_rng(seed)
    pods = [("api", "a"), ("api", "b"), ("web", "c")]
    rows = [pod for pod in pods for _ in range(14)]
    day = np.tile(np.arange(14), 3)
    keep = np.flatnonzero(rng.random(len(day)) < 0.8)
    if not len(keep):
        return
    samples = rng.lognormal(-2, 1, (len(day), 288)).astype(np.float32)
    samples[rng.random(samples.shape) < missing] = np.nan
    hours = HoursPolicy(zone=zone)
    got = profile_of_block(labels([rows[i] for i in keep]), day[keep], samples[keep], window=WINDOW, resource="cpu", hours=hours)
    utc = pd.date_range(WINDOW.start, periods=14 * 288, freq="5min").tz_convert(zone)
    business = ((utc.day_of_week < 5) & (utc.hour >= 8) & (utc.hour < 18)).reshape(14, 288)
    for _, row in got.iterrows():
        mine = [i for i in keep if rows[i][0] == row["workload"]]
        for name, mask in (("business", business), ("off", ~business)):
            values = np.concatenate([samples[i][mask[day[i]]] for i in mine]).astype(np.float64)
            values = values[~np.isnan(values)]
            wanted = np.quantile(values, 0.95) if len(values) else np.nan
            np.testing.assert_allclose(row[f"{name}_p95"], wanted, rtol=1e-12)
            assert row[f"samples_{name}"] == len(values)


def test_the_week_is_of_sums_not_a_sum_of_quantiles() -> None:
    # two containers that take turns: each has a P95 of 4, together they never use more than 5
    first, second = np.full((14, 288), 1.0, np.float32), np.full((14, 288), 4.0, np.float32)
    first[:, ::2], second[:, ::2] = 4.0, 1.0
    day = np.arange(14)
    totals = totals_of_block(np.concatenate([day, day]), np.vstack([first, second]), days=14)
    asked = np.full((14, 288), 8.0)
    asked[:7] = 6.0
    week = week_of(totals, asked, window=WINDOW, resource="cpu")
    assert len(check(week, WEEK)) == 168
    assert week["p95"].unique().tolist() == [5.0]
    assert week["requested"].unique().tolist() == [7.0]  # one Monday at 6, one at 8
    assert week.iloc[[0, 167]][["weekday", "hour"]].to_numpy().tolist() == [[0, 0], [6, 23]]


def test_a_cell_of_the_week_by_hand() -> None:
    samples = np.ones((14, 288), np.float32)
    samples[0, 120:132] = np.arange(1, 13)  # the first Monday, 10:00
    samples[7, 120:132] = np.arange(13, 25)
    week = week_of(totals_of_block(np.arange(14), samples, days=14), np.full((14, 288), np.nan), window=WINDOW, resource="cpu")
    cell = week[(week["weekday"] == 0) & (week["hour"] == 10)].iloc[0]
    assert cell["p95"] == pytest.approx(1 + 0.95 * 23)  # rank 0.95 x 23 of 1..24
    assert week["requested"].isna().all()


def test_f17_a_step_in_which_more_than_a_tenth_is_missing_is_left_out_of_the_week() -> None:
    samples = np.ones((40, 288), np.float32)
    day = np.repeat([0, 1], 20)
    samples[[0, 1], 10] = np.nan  # 2 of 20: a tenth, still a sum
    samples[[0, 1, 2], 20] = np.nan  # 3 of 20
    samples[0, 200:] = np.nan  # the series ended, it does not miss
    totals = totals_of_block(day, samples, days=3)
    usable = totals.usable()
    assert (usable[0, 10], usable[0, 201], usable[0, 0]) == (18.0, 19.0, 20.0)
    assert np.isnan(usable[0, 20])
    assert np.isnan(usable[2]).all()
    both = totals + totals
    assert (both.value[1, 0], both.seen[1, 0], both.expected[1, 0]) == (40.0, 40, 40)


def test_a_week_needs_the_matrices_of_its_window() -> None:
    nothing = Totals(np.zeros((14, 288)), np.zeros((14, 288), np.int64), np.zeros((14, 288), np.int64))
    assert week_of(nothing, np.zeros((14, 288)), window=WINDOW, resource="cpu")["p95"].isna().all()
    with pytest.raises(SchemaError, match="a week needs"):
        week_of(nothing, np.zeros((13, 288)), window=WINDOW, resource="cpu")


@pytest.fixture(scope="module")
def real() -> pd.DataFrame:
    if not REAL.is_file():
        pytest.skip("the shared real data is not beside this checkout")
    frame = pd.read_parquet(REAL, columns=["vm", "timestamp_s", "cpu_usage_mhz"])
    at = pd.to_datetime(frame["timestamp_s"] // 300 * 300, unit="s", utc=True)
    return frame.assign(at=at, vm=frame["vm"].astype("int64").astype("str")).drop_duplicates(["vm", "at"])


def test_real_traces_agree_with_pandas_alone(real: pd.DataFrame) -> None:
    window = Window(datetime(2013, 7, 1, tzinfo=UTC), datetime(2013, 9, 30, tzinfo=UTC))
    used = real[(real["at"] >= window.start) & (real["at"] < window.end)]
    grid = pd.date_range(window.start, window.end, freq="5min", inclusive="left")
    wide = used.pivot(index="at", columns="vm", values="cpu_usage_mhz").reindex(grid)
    samples = wide.to_numpy(np.float32).T.reshape(-1, 288)
    days = len(samples) // wide.shape[1]
    names = labels([(vm, vm) for vm in wide.columns for _ in range(days)])
    day = np.tile(np.arange(days), wide.shape[1])
    hours = HoursPolicy(zone="Europe/Amsterdam")
    got = profile_of_block(names, day, samples, window=window, resource="cpu", hours=hours).set_index("workload")

    local = used.assign(local=used["at"].dt.tz_convert("Europe/Amsterdam"), value=used["cpu_usage_mhz"].astype("float32").astype("float64"))
    local = local.assign(weekend=local["local"].dt.day_of_week >= 5, hour=local["local"].dt.hour)
    local = local.assign(business=~local["weekend"] & local["hour"].between(8, 17), night=(local["hour"] >= 22) | (local["hour"] < 6))
    for name, rows in (
        ("business", local[local["business"]]),
        ("off", local[~local["business"]]),
        ("weekend", local[local["weekend"]]),
        ("weekday", local[~local["weekend"]]),
        ("night", local[local["night"]]),
    ):
        wanted = rows.groupby("vm")["value"].quantile(0.95)
        np.testing.assert_allclose(got[f"{name}_p95"].to_numpy(), wanted.reindex(got.index).to_numpy(), rtol=1e-9, err_msg=name)
    assert got["samples_business"].sum() == local["business"].sum()
    wanted_ratio = local[local["weekend"]].groupby("vm")["value"].quantile(0.95) / local[~local["weekend"]].groupby("vm")["value"].quantile(
        0.95
    )
    assert got["weekend_dip"].sum() == (wanted_ratio < 0.5).sum() > 0  # a dozen of these development machines rest at weekends
    assert got["weekends"].max() == 13


def test_real_week_agrees_with_pandas_alone(real: pd.DataFrame) -> None:
    window = Window.of_days(date(2013, 7, 14), 14)
    used = real[(real["at"] >= window.start) & (real["at"] < window.end)]
    wide = used.pivot(index="at", columns="vm", values="cpu_usage_mhz").reindex(
        pd.date_range(window.start, window.end, freq="5min", inclusive="left")
    )
    samples = wide.to_numpy(np.float32).T.reshape(-1, 288)
    day = np.tile(np.arange(14), wide.shape[1])
    week = week_of(totals_of_block(day, samples, days=14), np.full((14, 288), np.nan), window=window, resource="cpu")
    # a machine runs on a day from its first to its last sample of it
    by_day = wide.groupby(wide.index.date)
    runs = by_day.transform(lambda column: column.ffill().notna() & column.bfill().notna()).sum(axis=1)
    sums = wide.astype("float32").astype("float64").sum(axis=1, min_count=1).where(wide.notna().sum(axis=1) >= 0.9 * runs)
    wanted = sums.groupby([sums.index.day_of_week, sums.index.hour]).quantile(0.95)
    np.testing.assert_allclose(week["p95"].to_numpy(), wanted.to_numpy(), rtol=1e-6)


def test_the_contracts() -> None:
    row = profile([("api", "a")] * 14, list(range(14)), fortnight(8.0, 2.0, 1.0))
    assert list(check(row, PROFILE).columns) == list(PROFILE.columns)
