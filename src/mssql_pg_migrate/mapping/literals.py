"""Constants: T-SQL's text forms of dates, times and numbers, and the PostgreSQL literals of the same value."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal, InvalidOperation

from ..model import SqlType
from .parse import Untranslatable
from .quoting import quote_literal
from .values import Value, kind_of

_ISO = re.compile(r"(\d{4})-(\d\d?)-(\d\d?)")
_COMPACT = re.compile(r"(\d{4})(\d\d)(\d\d)")
_SLASHED = re.compile(r"(\d\d?)[/.-](\d\d?)[/.-](\d{4})")
_CLOCK = re.compile(r"(\d\d?):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?\s*(am|pm)?", re.IGNORECASE)
_OFFSET = re.compile(r"(?:Z|\s*([+-])(\d\d):(\d\d))$")
_EPOCH = dt.date(1900, 1, 1)
"""Day 0 of datetime: an integer converted to datetime counts days from here."""


def text_literal(text: str) -> str:
    """A PostgreSQL string literal; U+0000 and half a surrogate pair have none."""
    try:
        text.encode()
        return quote_literal(text)
    except UnicodeEncodeError as error:
        raise Untranslatable("PostgreSQL text cannot hold half a surrogate pair") from error
    except ValueError as error:
        raise Untranslatable("PostgreSQL text cannot hold U+0000") from error


def number_from_text(text: str) -> Decimal:
    """The number T-SQL reads in a character constant (an empty one is 0)."""
    stripped = text.strip()
    if not stripped:
        return Decimal(0)
    if not re.fullmatch(r"[+-]?(\d+(\.\d*)?|\.\d+)", stripped):
        raise Untranslatable(f"{text!r} is not a number")
    try:
        return Decimal(stripped)
    except InvalidOperation as error:
        raise Untranslatable(f"{text!r} is not a number") from error


def temporal_literal(text: str, target: SqlType) -> Value:
    """A date or time constant as T-SQL reads it into ``target``, in whatever language the session has.

    Raises:
        Untranslatable: the text means different days in different languages, or is no date.
    """
    stripped = text.strip()
    kind = kind_of(target)
    if kind == "time":
        clock = _time_part(
            stripped.partition("T")[2] or stripped.rpartition(" ")[2] if _starts_with_date(stripped) else stripped
        )
        return Value(f"'{_clock_text(clock, target)}'::time", target)
    day, rest = _date_part(stripped)
    if kind == "date":
        if rest.strip():
            _time_part(rest.lstrip("T "))
        return Value(f"'{day.isoformat()}'::date", target)
    offset = ""
    if kind == "offset":
        found = _OFFSET.search(rest)
        if found:
            offset = f"{found[1] or '+'}{found[2] or '00'}:{found[3] or '00'}"
            rest = rest[: found.start()]
        else:
            offset = "+00:00"
    clock = _time_part(rest.lstrip("T ")) if rest.strip() else (0, 0, 0, 0)
    when = f"{day.isoformat()} {_clock_text(clock, target)}"
    if kind == "offset":
        return Value(f"'{when}{offset}'::timestamptz", target)
    return Value(f"'{when}'::timestamp", target)


def temporal_from_days(days: int, target: SqlType) -> Value:
    """An integer constant converted to datetime: days since 1900-01-01."""
    if target.name not in ("datetime", "smalldatetime"):
        raise Untranslatable(f"a number is no {target.name}")
    try:
        day = _EPOCH + dt.timedelta(days=days)
    except OverflowError as error:
        raise Untranslatable(f"{days} is out of the range of {target.name}") from error
    return Value(f"'{day.isoformat()} 00:00:00'::timestamp", target)


def _starts_with_date(text: str) -> bool:
    return any(pattern.match(text) for pattern in (_ISO, _SLASHED)) or bool(re.match(r"\d{8}(\D|$)", text))


def _date_part(text: str) -> tuple[dt.date, str]:
    match = _ISO.match(text) or _COMPACT.match(text)
    if match:
        year, month, day = (int(part) for part in match.groups())
    else:
        match = _SLASHED.match(text)
        if match is None:
            if _CLOCK.fullmatch(text):
                return _EPOCH, f" {text}"
            if not text:
                return _EPOCH, ""
            raise Untranslatable(f"{text!r} is not a date in a form every language reads alike")
        first, second, year = (int(part) for part in match.groups())
        if first == second or second > 12:
            month, day = first, second
        elif first > 12:
            month, day = second, first
        else:
            raise Untranslatable(f"{text!r} is a different day in different languages")
    try:
        return dt.date(year, month, day), text[match.end() :]
    except ValueError as error:
        raise Untranslatable(f"{text!r} is not a date") from error


def _time_part(text: str) -> tuple[int, int, int, int]:
    """Hours, minutes, seconds and 100 ns units."""
    match = _CLOCK.fullmatch(text.strip())
    if match is None:
        raise Untranslatable(f"{text!r} is not a time")
    hours, minutes, seconds = int(match[1]), int(match[2]), int(match[3] or 0)
    half = (match[5] or "").lower()
    if half:
        hours = hours % 12 + (12 if half == "pm" else 0)
    ticks = int((match[4] or "0").ljust(7, "0")[:7])
    if hours > 23 or minutes > 59 or seconds > 59:
        raise Untranslatable(f"{text!r} is not a time")
    return hours, minutes, seconds, ticks


def _clock_text(clock: tuple[int, int, int, int], target: SqlType) -> str:
    hours, minutes, seconds, ticks = clock
    if target.name == "smalldatetime":
        if seconds or ticks:
            raise Untranslatable("smalldatetime would round it to the minute")
    elif target.name == "datetime":
        # Thirds of a hundredth of a second, shown as .000, .003 and .007.
        units = (ticks * 3 + 50_000) // 100_000
        if units >= 300:
            raise Untranslatable("datetime would round it to the next second")
        ticks = (units * 10 + 1) // 3 * 10_000
    elif target.name in ("time", "datetime2", "datetimeoffset"):
        step = 10 ** (7 - target.scale)
        if ticks % step:
            raise Untranslatable(f"{target} would round it")
    # PostgreSQL keeps microseconds; finer digits are cut off, as for the data.
    fraction = f".{ticks // 10:06d}".rstrip("0").rstrip(".") if ticks >= 10 else ""
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{fraction}"
