"""Lengths and ends of windows as they are typed."""

from __future__ import annotations

from datetime import datetime

from aiops_analysis.core.errors import UsageError
from aiops_analysis.core.window import DAY, day_start, iso, last_whole_day, parse_duration, parse_instant

__all__ = ["days_of", "end_of"]

_MOST_DAYS = 1100


def days_of(text: str | None) -> int | None:
    """A number of whole days, written 28 or 14d or 2w.

    Raises UsageError for anything else.
    """
    if text is None:
        return None
    days = int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else parse_duration(text) / DAY
    if days != int(days) or not 1 <= days <= _MOST_DAYS:
        raise UsageError(f"--days is {text!r}, expected whole days from 1 to {_MOST_DAYS} such as 28 or 14d")
    return int(days)


def end_of(text: str | None, now: datetime) -> datetime:
    """The UTC midnight at which a window ends; the newest settled day when no text is given.

    Raises UsageError for a time in the future.
    """
    if text is None:
        return day_start(last_whole_day(now)) + DAY
    asked = parse_instant(text)
    if asked > now:
        raise UsageError(f"--end is {iso(asked)}, which is in the future")
    return day_start(asked.date())
