"""Time: half-open UTC windows, whole days of steps, and the texts people write for them (design.md section 2)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from aiops_analysis.core.errors import UsageError

__all__ = ["DAY", "SETTLE", "STEP", "Window", "day_start", "iso", "last_whole_day", "parse_duration", "parse_instant", "steps_of"]

STEP = 300  # [s] the step of the history
DAY = timedelta(days=1)
SETTLE = timedelta(minutes=10)  # the last minutes of a server are not settled (methods.md I-11)

_DURATION = re.compile(r"(\d{1,5})\s*(m|h|d|w)", re.ASCII)
_UNIT = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": DAY, "w": timedelta(weeks=1)}


def steps_of(step: int = STEP) -> int:
    """Number of steps of one UTC day; every day has the same, in every time zone.

    >>> steps_of(300)
    288
    """
    return 86_400 // step


def day_start(day: date) -> datetime:
    """Midnight UTC at which ``day`` begins."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC with a Z.

    >>> iso(datetime(2026, 11, 1, tzinfo=UTC))
    '2026-11-01T00:00:00Z'
    """
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open range ``[start, end)`` in UTC."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise UsageError(f"a window needs times with a zone, got {self.start} and {self.end}")
        if self.end <= self.start:
            raise UsageError(f"a window must end after it starts, got {iso(self.start)} to {iso(self.end)}")

    @classmethod
    def of_days(cls, last: date, days: int) -> Window:
        """The ``days`` whole UTC days that end with ``last``."""
        if days < 1:
            raise UsageError(f"a window needs at least 1 day, got {days}")
        end = day_start(last) + DAY
        return cls(end - days * DAY, end)

    def days(self) -> Iterator[date]:
        """The UTC days that the window touches, in order."""
        day = self.start.astimezone(UTC).date()
        while day_start(day) < self.end:
            yield day
            day += DAY

    def as_dict(self) -> dict[str, str]:
        """``{"start", "end"}`` in ISO 8601 UTC, as evidence.json holds it."""
        return {"start": iso(self.start), "end": iso(self.end)}


def last_whole_day(end: datetime) -> date:
    """The last UTC day that is over and settled at ``end``.

    >>> last_whole_day(datetime(2026, 11, 2, 0, 5, tzinfo=UTC))
    datetime.date(2026, 10, 31)
    """
    return (end.astimezone(UTC) - SETTLE).date() - DAY


def parse_duration(text: str) -> timedelta:
    """The duration of a text such as 14d, 48h or 2w.

    Raises UsageError for anything else, zero and signs included.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None or int(match[1]) == 0:
        raise UsageError(f"{text!r} is not a duration; expected for example 14d, 48h or 2w")
    return int(match[1]) * _UNIT[match[2]]


def parse_instant(text: str) -> datetime:
    """The UTC time of an ISO 8601 text; a date is its midnight UTC.

    Raises UsageError for a time without a zone, which would silently mean local time.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(f"{text!r} is not a date; expected for example 2026-11-01 or 2026-11-01T00:00:00Z") from None
    if moment.tzinfo is not None:
        return moment.astimezone(UTC)
    if len(text.strip()) > 10:
        raise UsageError(f"{text!r} has no time zone; add Z for UTC")
    return moment.replace(tzinfo=UTC)
