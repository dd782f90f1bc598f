"""Dates and times between text and numbers as T-SQL's CAST and CONVERT do it."""

from __future__ import annotations

import re

from mssql_pg_migrate.tds import times
from mssql_pg_migrate.tds.times import TICKS_PER_DAY, TICKS_PER_SECOND, days_of

from ..errors import SqlError, Unsupported
from .sqltypes import SqlType

TICKS_PER_MINUTE = 60 * TICKS_PER_SECOND
DATETIME_MIN = days_of(1753, 1, 1) * TICKS_PER_DAY
MAX_TICKS = (times.MAX_DAYS + 1) * TICKS_PER_DAY - 1
DAYS_1900 = days_of(1900, 1, 1)

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_TIME = (
    r"(?P<h>\d{1,2})(?::(?P<m>\d{1,2})(?::(?P<s>\d{1,2})(?:[.:](?P<f>\d{1,9}))?)?)?"
    r"\s*(?P<ap>[AaPp][Mm])?(?:\s*(?P<z>[Zz]|[+-]\d{1,2}:\d{2}))?"
)
_DATES = tuple(
    re.compile(pattern + r"(?:(?:\s+|[Tt])" + _TIME + ")?")
    for pattern in (
        r"(?P<y>\d{4})(?P<mo>\d{2})(?P<d>\d{2})",
        r"(?P<y>\d{4})[-/.](?P<mo>\d{1,2})[-/.](?P<d>\d{1,2})",
        r"(?P<mo>\d{1,2})[-/.](?P<d>\d{1,2})[-/.](?P<y>\d{4}|\d{2})",
        r"(?P<mon>[A-Za-z]{3,9})\s+(?P<d>\d{1,2})\s*,?\s+(?P<y>\d{4}|\d{2})",
        r"(?P<d>\d{1,2})[\s-]+(?P<mon>[A-Za-z]{3,9})\s*,?[\s-]+(?P<y>\d{4}|\d{2})",
        r"(?P<y>\d{4})\s+(?P<mon>[A-Za-z]{3,9})\s+(?P<d>\d{1,2})",
    )
)
_TIME_ONLY = re.compile(_TIME)
_DAY_FIRST_STYLES = (3, 4, 5, 103, 104, 105, 13, 113)


def parse(text: str, style: int = 0) -> tuple[int | None, int, int | None]:
    """Text as (days since 0001-01-01 or None, ticks of the day, offset in minutes or None).

    Raises:
        SqlError: 241, it is no date or time.
    """
    text = text.strip()
    if not text:
        return DAYS_1900, 0, None
    for index, pattern in enumerate(_DATES):
        match = pattern.fullmatch(text)
        if match:
            parts = match.groupdict()
            if index == 2 and style in _DAY_FIRST_STYLES:
                parts["mo"], parts["d"] = parts["d"], parts["mo"]
            return _date(parts), *_clock(parts)
    match = _TIME_ONLY.fullmatch(text)
    if match and (match["m"] or match["ap"]):
        return None, *_clock(match.groupdict())
    raise _failed()


def _failed() -> SqlError:
    return SqlError(241, "Conversion failed when converting date and/or time from character string.")


def _date(parts: dict[str, str | None]) -> int:
    year = int(parts["y"] or 0)
    if len(parts["y"] or "") == 2:
        year += 2000 if year < 50 else 1900
    if parts.get("mon"):
        short = (parts["mon"] or "")[:3].lower()
        month = _MONTHS.index(short) + 1 if short in _MONTHS else 0
    else:
        month = int(parts["mo"] or 0)
    try:
        return days_of(year, month, int(parts["d"] or 0))
    except ValueError:
        raise _failed() from None


def _clock(parts: dict[str, str | None]) -> tuple[int, int | None]:
    if parts["h"] is None:
        return 0, None
    hour, minute, second = int(parts["h"]), int(parts["m"] or 0), int(parts["s"] or 0)
    if parts["ap"]:
        if not 1 <= hour <= 12:
            raise _failed()
        hour = hour % 12 + (12 if parts["ap"].lower() == "pm" else 0)
    if hour > 23 or minute > 59 or second > 59:
        raise _failed()
    digits = (parts["f"] or "0").ljust(9, "0")
    ticks = (hour * 3600 + minute * 60 + second) * TICKS_PER_SECOND + (int(digits) + 50) // 100
    zone = parts["z"]
    if zone is None:
        return ticks, None
    if zone in "Zz":
        return ticks, 0
    hours, minutes = zone[1:].split(":")
    return ticks, (int(hours) * 60 + int(minutes)) * (-1 if zone[0] == "-" else 1)


def from_text(text: str, kind: SqlType, style: int = 0) -> int | tuple[int, int]:
    """Text as a value of a date or time type, rounded to its scale.

    Raises:
        SqlError: 241 it is no date or time, 242 it is out of the type's range.
    """
    days, ticks, offset = parse(text, style)
    if kind.name == "time":
        return round_time(ticks, kind.scale)
    if days is None:
        days = DAYS_1900
    if kind.name == "date":
        return days
    whole = days * TICKS_PER_DAY + ticks
    if kind.name == "datetimeoffset":
        minutes = offset or 0
        return round_ticks(whole, kind.scale) - minutes * TICKS_PER_MINUTE, minutes
    if offset is not None and kind.name != "datetime2":
        whole -= offset * TICKS_PER_MINUTE
    return to_timestamp(whole, kind)


def to_timestamp(ticks: int, kind: SqlType) -> int:
    """Ticks rounded as datetime, smalldatetime or datetime2 does.

    Raises:
        SqlError: 242, the type does not reach that far.
    """
    if kind.name == "datetime":
        ticks = round_to_thirds(ticks)
        low, high = DATETIME_MIN, MAX_TICKS
    elif kind.name == "smalldatetime":
        # By way of datetime: 29.998 s are rounded down, 29.999 s are 30.000 s first and then rounded up.
        ticks = (round_to_thirds(ticks) + TICKS_PER_MINUTE // 2) // TICKS_PER_MINUTE * TICKS_PER_MINUTE
        low, high = DAYS_1900 * TICKS_PER_DAY, (DAYS_1900 + 65_536) * TICKS_PER_DAY - 1
    else:
        return round_ticks(ticks, kind.scale)
    if not low <= ticks <= high:
        raise SqlError(242, f"The conversion to a {kind.name} data type resulted in an out-of-range value.")
    return ticks


def round_to_thirds(ticks: int) -> int:
    """Ticks rounded to the 1/300 s of datetime."""
    days, rest = divmod(ticks, TICKS_PER_DAY)
    thirds = (rest * 3 + 50_000) // 100_000
    return days * TICKS_PER_DAY + (thirds * 100_000 + 1) // 3


def round_ticks(ticks: int, scale: int) -> int:
    """Ticks rounded to `scale` decimals of a second, half up; 9999-12-31 does not overflow."""
    unit: int = 10 ** (7 - scale)
    rounded = (ticks + unit // 2) // unit * unit
    return rounded if rounded <= MAX_TICKS else ticks // unit * unit


def round_time(ticks: int, scale: int) -> int:
    """A time of day rounded to its scale; it wraps at midnight."""
    return round_ticks(ticks, scale) % TICKS_PER_DAY


def to_text(value: int | tuple[int, int], kind: SqlType, style: int | None) -> str:
    """A date or time as text in a style of CONVERT.

    Raises:
        SqlError: 281, the style is not one for dates.
    """
    if isinstance(value, tuple):
        ticks, offset = value
        if style == 127:
            return _styled(ticks, kind, 126, None) + "Z"
        return _styled(ticks + offset * TICKS_PER_MINUTE, kind, 121 if style is None else style, offset)
    # "CAST and CONVERT", date and time styles: 121 is the default of the types that came with SQL Server 2008, 0 that
    # of datetime and smalldatetime.
    if kind.name == "date":
        return _styled(value * TICKS_PER_DAY, kind, 23 if style is None else style, None)
    if kind.name == "time":
        return _time_text(value, kind, style)
    if kind.name == "datetime2" and style is None:
        style = 121
    return _styled(value, kind, style or 0, None)


def _time_text(ticks: int, kind: SqlType, style: int | None) -> str:
    if style in (None, 21, 25, 121, 126, 127):
        return times.format_time(ticks, kind.scale)
    clock = times.format_time(ticks, 0)
    if style in (8, 20, 24, 108, 120):
        return clock
    if style in (0, 100):
        hour = int(clock[:2])
        return f"{(hour + 11) % 12 + 1}:{clock[3:5]}{'AM' if hour < 12 else 'PM'}"
    raise Unsupported(f"style {style} for a time")


def _styled(ticks: int, kind: SqlType, style: int, offset: int | None) -> str:
    scale = kind.scale
    days, rest = divmod(ticks, TICKS_PER_DAY)
    if kind.name == "smalldatetime" and style in (121, 25, 21, 126):
        scale = 0 if style == 126 else 3
    if kind.name == "datetime":
        # The third decimal of datetime is one of 0, 3 and 7.
        rest = (rest + 5_000) // 10_000 * 10_000
    date = times.date_of(days)
    year, month, day = date.year, date.month, date.day
    zone = "" if offset is None else " " + times.format_offset(offset)
    clock = times.format_time(rest, 0)
    if kind.name == "date":
        clock = ""
    full = times.format_time(rest, scale) if kind.name != "date" else ""
    if style in (21, 25, 121):
        return f"{date.isoformat()} {full}".rstrip() + zone
    if style in (126, 127):
        fraction = f".{full.partition('.')[2]}".rstrip(".") if rest % TICKS_PER_SECOND else ""
        text = date.isoformat() + (f"T{clock}{fraction}" if clock else "")
        if offset is not None:
            return text + times.format_offset(offset)
        return text
    if style in (20, 120):
        return f"{date.isoformat()} {clock}".rstrip() + zone
    hour = rest // TICKS_PER_SECOND // 3600
    tail = zone if style in (0, 100) else ""
    half = f"{(hour + 11) % 12 + 1:2}:{clock[3:5]}{'AM' if hour < 12 else 'PM'}" if clock else ""
    plain = {
        23: date.isoformat(),
        112: f"{year:04}{month:02}{day:02}",
        12: f"{year % 100:02}{month:02}{day:02}",
        111: f"{year:04}/{month:02}/{day:02}",
        101: f"{month:02}/{day:02}/{year:04}",
        1: f"{month:02}/{day:02}/{year % 100:02}",
        103: f"{day:02}/{month:02}/{year:04}",
        104: f"{day:02}.{month:02}.{year:04}",
        105: f"{day:02}-{month:02}-{year:04}",
        106: f"{day:02} {_MONTH_NAMES[month - 1]} {year:04}",
        107: f"{_MONTH_NAMES[month - 1]} {day:02}, {year:04}",
        110: f"{month:02}-{day:02}-{year:04}",
        108: clock,
        8: clock,
        24: clock,
        114: full.replace(".", ":"),
        14: full.replace(".", ":"),
        0: f"{_MONTH_NAMES[month - 1]} {day:2} {year:04} {half}".rstrip() + tail,
        100: f"{_MONTH_NAMES[month - 1]} {day:2} {year:04} {half}".rstrip() + tail,
        113: f"{day:02} {_MONTH_NAMES[month - 1]} {year:04} {full.replace('.', ':')}",
    }
    if style not in plain:
        raise SqlError(281, f"{style} is not a valid style number when converting from {kind.name} to text.")
    return plain[style]
