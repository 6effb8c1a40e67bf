"""Local hours of UTC steps: clock changes, leap days, weekends that a window cuts, impossible policies."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from aiops_analysis.analysis.hours import HoursPolicy, calendar_of
from aiops_analysis.core.errors import PolicyError
from aiops_analysis.core.window import Window


def test_business_night_and_weekend_of_a_week_in_utc() -> None:
    window = Window.of_days(date(2026, 11, 8), 7)  # Monday 2 to Sunday 8 November
    got = calendar_of(window, HoursPolicy(), 288)
    assert got.weekday[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert got.business.sum(axis=1).tolist() == [120] * 5 + [0, 0]  # 10 h of 12 steps
    assert np.flatnonzero(got.business[0]).tolist() == list(range(96, 216))  # 08:00 to 18:00
    assert got.weekend.sum() == 2 * 288
    assert got.night.sum(axis=1).tolist() == [96] * 7  # 22:00 to 06:00
    assert (got.weekend_run.max(), got.weekend_steps.tolist()) == (0, [576])
    assert round(HoursPolicy().off_share * 168) == 118


@pytest.mark.parametrize(
    ("day", "two_o_clock", "business"),
    [
        # clocks go forward on Sunday 29 March 2026, 01:00 UTC: no local 02:00 on that day
        (date(2026, 3, 29), 0, 0),
        # and back on Sunday 25 October 2026, 01:00 UTC: local 02:00 comes twice
        (date(2026, 10, 25), 24, 0),
        (date(2026, 3, 30), 12, 120),
        (date(2026, 10, 26), 12, 120),
        (date(2028, 2, 29), 12, 120),  # a leap day, a Tuesday
    ],
)
def test_f18_clock_changes_skip_or_double_an_hour(day: date, two_o_clock: int, business: int) -> None:
    window = Window.of_days(date.fromordinal(day.toordinal() + 1), 3)  # the day and the UTC days around it
    got = calendar_of(window, HoursPolicy(zone="Europe/Berlin"), 288)
    weekday = day.weekday()
    on_day = got.weekday.ravel() == weekday
    assert int((on_day & (got.hour.ravel() == 2)).sum()) == two_o_clock
    assert int((on_day & got.business.ravel()).sum()) == business
    assert got.hour.shape == (3, 288)
    # 23, 24 or 25 hours of 12 steps
    assert int(on_day.sum()) == 288 - 12 + two_o_clock


def test_business_hours_follow_the_clock_over_its_change() -> None:
    window = Window.of_days(date(2026, 3, 30), 4)  # Friday 27 to Monday 30 March
    got = calendar_of(window, HoursPolicy(zone="Europe/Berlin"), 288)
    # 08:00 is 07:00 UTC in winter and 06:00 UTC in summer
    assert (got.business[0].argmax(), got.business[3].argmax()) == (7 * 12, 6 * 12)


def test_a_zone_of_three_quarters_and_a_week_from_sunday() -> None:
    window = Window.of_days(date(2026, 11, 8), 7)
    got = calendar_of(window, HoursPolicy(zone="Asia/Kathmandu", days=(6, 0, 1, 2, 3)), 288)  # UTC+5:45, weekend Friday and Saturday
    assert got.hour[0, 0] == 5
    assert got.business[0].argmax() == (2 * 60 + 15) // 5  # 08:00 is 02:15 UTC
    assert set(got.weekday[got.weekend].tolist()) == {4, 5}


def test_the_first_and_the_last_weekend_are_cut_by_the_window() -> None:
    window = Window.of_days(date(2026, 11, 14), 7)  # Sunday 8 to Saturday 14 November
    got = calendar_of(window, HoursPolicy(), 288)
    assert got.weekend_steps.tolist() == [288, 288]
    assert (got.weekend_run[0].max(), got.weekend_run[-1].min(), got.weekend_run[1].max()) == (0, 1, -1)


def test_a_week_without_a_weekend() -> None:
    got = calendar_of(Window.of_days(date(2026, 11, 8), 7), HoursPolicy(days=(0, 1, 2, 3, 4, 5, 6)), 288)
    assert (got.weekend.any(), got.weekend_run.max()) == (False, -1)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"zone": "Europe/Berlim"}, "did you mean Europe/Berlin"),
        ({"zone": "../../etc/passwd"}, "no time zone"),
        ({"zone": "/etc/passwd"}, "no time zone"),
        ({"zone": "Europe"}, "no time zone"),
        ({"zone": ""}, "no time zone"),
        ({"zone": "a\x00b"}, "no time zone"),
        ({"zone": "x" * 5000}, "no time zone"),
        ({"days": ()}, "business days"),
        ({"days": (0, 0)}, "business days"),
        ({"days": (7,)}, "business days"),
        ({"start": 18, "end": 8}, "business hours"),
        ({"end": 25}, "business hours"),
        ({"night_start": -1}, "the night"),
        ({"dip": float("nan")}, "dip"),
        ({"min_weekends": 0}, "min_weekends"),
    ],
)
def test_f47_impossible_hours_are_refused(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(PolicyError, match=says) as caught:
        HoursPolicy(**wrong)  # type: ignore[arg-type]
    assert len(str(caught.value)) < 300


def test_plain_types_for_evidence() -> None:
    assert HoursPolicy().as_dict()["days"] == [0, 1, 2, 3, 4]
