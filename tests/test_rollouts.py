"""Days after a rollout, by hand; the first minutes of a container."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pytest

from aiops_analysis.analysis.rollouts import Kept, days_to_keep, rollout_day_of, rows_to_keep, starts_of, without_startup
from aiops_analysis.core.errors import SchemaError
from aiops_analysis.core.schema import INVENTORY, LABELS, blank
from aiops_analysis.core.window import Window

NAN = math.nan
WINDOW = Window.of_days(date(2026, 11, 15), 14)  # Monday 2 to Sunday 15 November


def test_no_rollout_or_one_outside_the_window_keeps_everything() -> None:
    for day in (None, -1, 5, 99):
        got = days_to_keep([1.0] * 5, day)
        assert (got.mask, got.post_rollout, got.message) == ((True,) * 5, False, "")
        assert math.isnan(got.ratio)
    assert days_to_keep([], None).mask == ()


def test_a_settled_rollout_keeps_the_days_after_it_whatever_changed() -> None:
    # day 2 holds both images, so it belongs to neither; 7 days follow
    got = days_to_keep([1.0, 1.0, 5.0] + [1.0] * 7, 2)
    assert got.mask == (False, False, False) + (True,) * 7
    assert (got.days_after, got.ratio, got.post_rollout) == (7, 1.0, False)
    assert got.message == "Only the 7 days after the last rollout are measured."


@pytest.mark.parametrize(
    ("after", "ratio", "whole"),
    [
        ([1.25, 1.25], 1.25, True),  # just within a quarter
        ([1.26, 1.26], 1.26, False),
        ([0.75], 0.75, True),
        ([0.74], 0.74, False),
        ([0.1, 1.0, 9.0], 1.0, True),  # a median, not a mean
    ],
)
def test_few_days_after_are_compared_with_the_days_before(after: list[float], ratio: float, whole: bool) -> None:
    got = days_to_keep([1.0, 3.0, 1.0, 7.0, *after], 3)  # median before: 1; the 7 is of the rollout's day
    assert got.ratio == pytest.approx(ratio)
    assert got.post_rollout is not whole
    assert got.mask == ((True,) * (4 + len(after)) if whole else (False,) * 4 + (True,) * len(after))
    assert (got.message == "") is whole


def test_a_quarter_is_a_quarter_in_floats_too() -> None:
    assert not days_to_keep([0.04, 0.04, 0.05], 1).post_rollout
    assert not days_to_keep([0.28, 0.28, 0.35], 1).post_rollout


def test_the_message_says_how_many_days_and_the_data_why() -> None:
    got = days_to_keep([1.0, 1.0, 1.0, 2.0, 2.0], 2)
    assert got.message == "Post-rollout, 2 days: the daily P95 changed to 2.00 times, so days before are left out."
    assert got.data == {"days_after": 2, "ratio": 2.0, "rollout_day": 2}
    assert "1 day:" in days_to_keep([1.0, 1.0, 2.0], 1).message


def test_days_without_a_sample_count_for_neither_side() -> None:
    got = days_to_keep([NAN, 1.0, NAN, 1.0, 9.0, NAN, 1.1, NAN], 4)
    assert (got.days_after, got.ratio, got.mask) == (1, pytest.approx(1.1), (True,) * 8)
    eight_calendar_days = days_to_keep([1.0, 1.0] + [NAN] * 5 + [3.0] * 3, 1)
    assert (eight_calendar_days.days_after, eight_calendar_days.post_rollout) == (3, True)  # 8 days later, but 3 were seen
    for daily, day in (([1.0, 1.0, NAN], 1), ([NAN, NAN, 2.0], 1), ([1.0, 2.0], 1), ([1.0, 2.0], 0)):
        alone = days_to_keep(daily, day)  # nothing to compare with
        assert (alone.mask, alone.post_rollout) == ((True,) * len(daily), False)


def test_zero_medians() -> None:
    still = days_to_keep([0.0, 0.0, 0.0, 0.0], 1)
    assert (still.ratio, still.post_rollout) == (1.0, False)
    woke = days_to_keep([0.0, 0.0, 0.2], 1)
    assert (woke.ratio, woke.post_rollout, woke.data["ratio"]) == (math.inf, True, None)
    assert "was 0 before" in woke.message
    assert days_to_keep([0.2, 0.2, 0.0], 1).ratio == 0.0


def test_a_weekend_after_friday_is_compared_with_weekends() -> None:
    # three weeks from Monday: 10 on weekdays, 4 at weekends; rollout on the last Friday
    daily = ([10.0] * 5 + [4.0] * 2) * 3
    assert days_to_keep(daily, 18).post_rollout  # 4 against 10
    got = days_to_keep(daily, 18, first_weekday=0)
    assert (got.ratio, got.post_rollout) == (1.0, False)
    assert days_to_keep(daily[:14], 11, first_weekday=0).ratio == 1.0
    # no such weekday before: all days before are taken
    assert days_to_keep([10.0, 10.0, 4.0], 1, first_weekday=4).ratio == 0.4


def test_the_day_of_a_rollout() -> None:
    assert rollout_day_of(pd.NaT, WINDOW) is None
    assert rollout_day_of(pd.Timestamp("2026-11-02T00:00:00Z"), WINDOW) == 0
    assert rollout_day_of(pd.Timestamp("2026-11-15T23:55:00Z"), WINDOW) == 13
    assert rollout_day_of(pd.Timestamp("2026-11-01T23:55:00Z"), WINDOW) is None
    assert rollout_day_of(pd.Timestamp("2026-11-16T00:00:00Z"), WINDOW) is None


def labels(rows: list[tuple[str, str]]) -> pd.DataFrame:
    return pd.DataFrame([("shop", "Deployment", workload, pod, "app") for workload, pod in rows], columns=list(LABELS)).astype("str")


def test_f22_rows_of_days_that_are_left_out() -> None:
    names = labels([("api", "a"), ("api", "a"), ("web", "w"), ("api", "b")])
    kept = {("shop", "Deployment", "api", "app"): Kept((False, True), True, 2.0, 1)}
    assert rows_to_keep(names, np.array([0, 1, 0, 0]), kept).tolist() == [False, True, True, False]
    assert rows_to_keep(labels([]), np.empty(0, np.int32), kept).tolist() == []
    with pytest.raises(SchemaError, match="2 days"):
        rows_to_keep(names, np.array([0, 2, 0, 0]), kept)


def inventory(rows: list[tuple[str, str, datetime]]) -> pd.DataFrame:
    """Rows of (pod, uid, first seen)."""
    about = {"namespace": "shop", "container": "app", "role": "app"}
    frame = pd.DataFrame([blank(INVENTORY) | about | {"pod": pod, "uid": uid, "first_seen": at} for pod, uid, at in rows])
    return frame.astype({"first_seen": "datetime64[s, UTC]"})


def test_starts_are_births_and_restarts() -> None:
    begin, later = datetime(2026, 11, 2, tzinfo=UTC), datetime(2026, 11, 3, 1, 0, tzinfo=UTC)
    facts = inventory([("a", "1", begin), ("b", "2", later), ("b", "2", datetime(2026, 11, 4, tzinfo=UTC)), ("a", "9", later)])
    counted = np.zeros((1, 288), np.float32)
    counted[0, [7, 8]] = np.nan, 2.0
    got = starts_of(facts, labels([("api", "a")]), np.array([1]), counted, window=WINDOW)
    # pod a was there at the start, was made anew under its name at 01:00 of day 1 and restarted in step 8 of that day; b is born once
    assert got[["pod", "step"]].to_numpy().tolist() == [["a", 288 + 8], ["a", 288 + 12], ["b", 288 + 12]]
    nothing = starts_of(facts.iloc[:0], labels([]), np.empty(0, np.int32), np.empty((0, 288), np.float32), window=WINDOW)
    assert len(nothing) == 0


def test_the_first_five_minutes_are_missing_and_nothing_else() -> None:
    samples = np.ones((3, 288), np.float32)
    names = labels([("api", "a"), ("api", "a"), ("api", "b")])
    starts = pd.DataFrame({"namespace": "shop", "pod": ["a", "a"], "container": "app", "step": [100, 287]})
    got = without_startup(names, np.array([0, 1, 0]), samples, starts)
    # a start lies in its step: its five minutes end in the next one, over midnight too
    assert [np.flatnonzero(np.isnan(row)).tolist() for row in got] == [[100, 101, 287], [0], []]
    assert not np.isnan(samples).any()
    assert without_startup(names, np.array([0, 1, 0]), samples, starts.iloc[:0]).sum() == 3 * 288


def test_a_crash_loop_keeps_its_day() -> None:
    samples = np.ones((2, 288), np.float32)
    starts = pd.DataFrame(
        {"namespace": "shop", "pod": "a", "container": "app", "step": [*range(0, 130, 10), 300]}
    )  # 13 on day 0, 1 on day 1
    got = without_startup(labels([("api", "a")] * 2), np.array([0, 1]), samples, starts)
    assert np.isnan(got).sum(axis=1).tolist() == [0, 2]
    assert np.isnan(without_startup(labels([("api", "a")] * 2), np.array([0, 1]), samples, starts, most=13)).sum() == 28
