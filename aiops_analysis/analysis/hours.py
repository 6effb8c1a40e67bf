"""Hours of the week in a local time zone: which steps of a window are business hours, night or weekend (methods.md I-10)."""

from __future__ import annotations

import difflib
from dataclasses import asdict, dataclass
from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aiops_analysis.core.errors import PolicyError
from aiops_analysis.core.window import Window, day_start

__all__ = ["Calendar", "HoursPolicy", "calendar_of"]

_DAY_S = 86_400
_LONGEST = 64  # characters of a zone's name that a message repeats

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class HoursPolicy:
    """When people work, in local time; days outside ``days`` are the weekend. Raises PolicyError for values that are impossible.

    ``dip`` and ``min_weekends`` say when a weekend dip is flagged, ``idle_level`` below which share of the business P95 a sample is idle.
    """

    zone: str = "UTC"  # IANA name
    days: tuple[int, ...] = (0, 1, 2, 3, 4)  # Monday is 0
    start: int = 8  # local hour at which business begins
    end: int = 18  # local hour at which it is over
    night_start: int = 22
    night_end: int = 6
    dip: float = 0.5  # weekend P95 / weekday P95
    min_weekends: int = 2
    idle_level: float = 0.1

    def __post_init__(self) -> None:
        _zone_of(self.zone)
        if not self.days or len(set(self.days)) != len(self.days) or not set(self.days) <= set(range(7)):
            raise PolicyError(f"business days are {ascii(self.days)[:60]}, expected some of 0 (Monday) to 6 (Sunday), each once")
        if not 0 <= self.start < self.end <= 24:
            raise PolicyError(f"business hours go from {self.start} to {self.end}, expected a start below the end, 0 to 24")
        if not (0 <= self.night_start <= 24 and 0 <= self.night_end <= 24):
            raise PolicyError(f"the night goes from {self.night_start} to {self.night_end}, expected hours from 0 to 24")
        if not (0 < self.dip <= 1 and 0 <= self.idle_level <= 1 and self.min_weekends >= 1):  # NaN too
            given = f"{self.dip}, {self.idle_level} and {self.min_weekends}"
            raise PolicyError(f"dip, idle_level and min_weekends are {given}, expected shares of 0 to 1 and at least 1 weekend")

    @property
    def off_share(self) -> float:
        """Share of a week outside business hours.

        >>> round(HoursPolicy().off_share * 168)
        118
        """
        return 1 - len(self.days) * (self.end - self.start) / 168

    def as_dict(self) -> dict[str, object]:
        """Plain types for evidence.json."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def _zone_of(name: str) -> tzinfo:
    """The zone of an IANA name; raises PolicyError, with the nearest name, for any other text."""
    if name == "UTC":
        return UTC  # needs no zone data
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        shown = ascii(name[:_LONGEST])
        close = difflib.get_close_matches(name[:_LONGEST], sorted(available_timezones()), n=1)
        hint = f"; did you mean {close[0]}?" if close else "; expected an IANA name such as Europe/Berlin"
        raise PolicyError(f"there is no time zone {shown}{hint}") from error


@dataclass(frozen=True, slots=True)
class Calendar:
    """What each step of a window is in local time, as matrices [UTC days, steps]; a step belongs to the hour in which it starts.

    weekend_run : number of the weekend that a step belongs to, -1 outside; a weekend that the window cuts is one as well.
    weekend_steps : steps in the window of each weekend.
    """

    weekday: NDArray[np.int8]
    hour: NDArray[np.int8]
    business: Bools
    weekend: Bools
    night: Bools
    weekend_run: NDArray[np.int64]
    weekend_steps: NDArray[np.int64]


def calendar_of(window: Window, policy: HoursPolicy, steps: int) -> Calendar:
    """The calendar of a window's days of ``steps`` steps. Every UTC day has the same number of steps.

    Where clocks change, a local hour has twice the steps or none; each step counts once, so that a day weighs what it has.
    """
    days = sum(1 for _ in window.days())
    seconds = np.arange(days * steps) * (_DAY_S // steps)
    begin = day_start(next(window.days()))
    local = (pd.Timestamp(begin) + pd.to_timedelta(seconds, unit="s")).tz_convert(_zone_of(policy.zone))
    weekday, hour = local.day_of_week.to_numpy(np.int8), local.hour.to_numpy(np.int8)
    working: Bools = np.isin(weekday, policy.days)
    weekend: Bools = ~working
    if policy.night_start <= policy.night_end:
        night = (hour >= policy.night_start) & (hour < policy.night_end)
    else:
        night = (hour >= policy.night_start) | (hour < policy.night_end)
    begins = weekend & ~np.concatenate([[False], weekend[:-1]])
    run = np.where(weekend, np.cumsum(begins) - 1, -1)
    shape = (days, steps)
    return Calendar(
        weekday=weekday.reshape(shape),
        hour=hour.reshape(shape),
        business=(working & (hour >= policy.start) & (hour < policy.end)).reshape(shape),
        weekend=weekend.reshape(shape),
        night=night.reshape(shape),
        weekend_run=run.reshape(shape),
        weekend_steps=np.bincount(run[weekend], minlength=1),
    )
