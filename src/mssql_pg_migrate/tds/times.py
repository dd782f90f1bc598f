"""Dates and times of `values` (integers of days and of 100 ns) as text and as Python's own objects."""

from __future__ import annotations

import datetime as dt

TICKS_PER_SECOND = 10_000_000
TICKS_PER_DAY = 86_400 * TICKS_PER_SECOND
MAX_DAYS = 3_652_058
"""Days from 0001-01-01 to 9999-12-31."""


def days_of(year: int, month: int, day: int) -> int:
    """Days from 0001-01-01.

    Raises:
        ValueError: there is no such day.
    """
    return dt.date(year, month, day).toordinal() - 1


def date_of(days: int) -> dt.date:
    """The date of a number of days."""
    return dt.date.fromordinal(days + 1)


def datetime_of(ticks: int) -> dt.datetime:
    """The datetime of a number of ticks, cut to microseconds."""
    days, rest = divmod(ticks, TICKS_PER_DAY)
    return dt.datetime.fromordinal(days + 1) + dt.timedelta(microseconds=rest // 10)


def ticks_of(value: dt.datetime) -> int:
    """Ticks of a datetime; its time zone is not looked at."""
    seconds = value.hour * 3600 + value.minute * 60 + value.second
    return (value.toordinal() - 1) * TICKS_PER_DAY + seconds * TICKS_PER_SECOND + value.microsecond * 10


def format_time(ticks: int, scale: int) -> str:
    """`hh:mm:ss[.fffffff]` with `scale` decimals."""
    seconds, fraction = divmod(ticks, TICKS_PER_SECOND)
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{text}.{fraction // 10 ** (7 - scale):0{scale}}" if scale else text


def format_date(days: int) -> str:
    """`yyyy-mm-dd`."""
    return date_of(days).isoformat()


def format_datetime(ticks: int, scale: int, separator: str = " ") -> str:
    """`yyyy-mm-dd hh:mm:ss[.fffffff]`."""
    days, rest = divmod(ticks, TICKS_PER_DAY)
    return f"{format_date(days)}{separator}{format_time(rest, scale)}"


def format_offset(minutes: int) -> str:
    """`+hh:mm`."""
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


def format_datetimeoffset(value: tuple[int, int], scale: int, separator: str = " ") -> str:
    """`yyyy-mm-dd hh:mm:ss[.fffffff] +hh:mm`, in the value's own zone."""
    ticks, offset = value
    local = ticks + offset * 60 * TICKS_PER_SECOND
    return f"{format_datetime(local, scale, separator)} {format_offset(offset)}"
