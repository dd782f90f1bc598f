"""The functions of dates and times."""

from __future__ import annotations

import calendar
import datetime as dt

from mssql_pg_migrate.tds import times
from mssql_pg_migrate.tds.times import TICKS_PER_DAY, TICKS_PER_SECOND

from ..errors import SqlError, Unsupported
from ..tsql import nodes as n
from ..values import sqltypes as st
from ..values.datetimes import TICKS_PER_MINUTE
from ..values.sqltypes import SqlType
from .casts import Ex, cast, constant
from .context import Compiling
from .scope import Scope

_NOW = {
    "GETDATE": ("datetime", False),
    "CURRENT_TIMESTAMP": ("datetime", False),
    "GETUTCDATE": ("datetime", True),
    "SYSDATETIME": ("datetime2", False),
    "SYSUTCDATETIME": ("datetime2", True),
    "SYSDATETIMEOFFSET": ("datetimeoffset", False),
}
_PARTS = {
    "YY": "YEAR", "YYYY": "YEAR", "QQ": "QUARTER", "Q": "QUARTER", "MM": "MONTH", "M": "MONTH", "DY": "DAYOFYEAR",
    "Y": "DAYOFYEAR", "DD": "DAY", "D": "DAY", "WK": "WEEK", "WW": "WEEK", "DW": "WEEKDAY", "W": "WEEKDAY",
    "HH": "HOUR", "MI": "MINUTE", "N": "MINUTE", "SS": "SECOND", "S": "SECOND", "MS": "MILLISECOND",
    "MCS": "MICROSECOND", "NS": "NANOSECOND", "TZ": "TZOFFSET", "ISOWK": "ISO_WEEK", "ISOWW": "ISO_WEEK",
}  # fmt: skip
_UNITS = {
    "DAY": TICKS_PER_DAY,
    "DAYOFYEAR": TICKS_PER_DAY,
    "WEEKDAY": TICKS_PER_DAY,
    "WEEK": 7 * TICKS_PER_DAY,
    "HOUR": 3600 * TICKS_PER_SECOND,
    "MINUTE": TICKS_PER_MINUTE,
    "SECOND": TICKS_PER_SECOND,
    "MILLISECOND": 10_000,
    "MICROSECOND": 10,
}
_EXTRACT = {
    "YEAR": "year", "QUARTER": "quarter", "MONTH": "month", "DAY": "day", "DAYOFYEAR": "dayofyear",
    "ISO_WEEK": "weekofyear",
}  # fmt: skip
_OTHERS = [
    "DATEADD",
    "DATEDIFF",
    "DATEDIFF_BIG",
    "DATEPART",
    "DATENAME",
    "YEAR",
    "MONTH",
    "DAY",
    "EOMONTH",
    "DATEFROMPARTS",
    "DATETIME2FROMPARTS",
    "DATETIMEFROMPARTS",
    "ISDATE",
    "SWITCHOFFSET",
    "TODATETIMEOFFSET",
]
NAMES = frozenset((*_NOW, *_OTHERS))
_OPEN = st.make("datetime2", 7)


def call(compiler: Compiling, expr: n.Call, scope: Scope) -> Ex:
    """A function of dates and times.

    Raises:
        Unsupported: one the sandbox lacks.
        SqlError: 155, the date part is unknown.
    """
    name = expr.name
    if name in _NOW:
        return now(*_NOW[name])
    if name in ("DATEADD", "DATEDIFF", "DATEDIFF_BIG", "DATEPART", "DATENAME"):
        part = _part(expr.arguments[0])
        arguments = [compiler.value(item, scope) for item in expr.arguments[1:]]
        if name == "DATEADD":
            return _dateadd(part, *arguments)
        if name.startswith("DATEDIFF"):
            return _datediff(part, arguments[0], arguments[1], name)
        return _datename(part, arguments[0]) if name == "DATENAME" else _datepart(part, arguments[0])
    arguments = [compiler.value(item, scope) for item in expr.arguments]
    if name in ("YEAR", "MONTH", "DAY"):
        return _datepart(name, arguments[0])
    if name == "EOMONTH":
        ticks = _ticks(arguments[0])
        months = cast(arguments[1], st.BIGINT).sql if len(arguments) > 1 else "0"
        return Ex(f"end_of_month({ticks}, {months})", st.make("date"))
    if name == "ISDATE":
        return Ex(f"CAST(({cast(arguments[0], st.DATETIME, trying=True).sql}) IS NOT NULL AS INTEGER)", st.INT)
    if name.endswith("FROMPARTS"):
        return _from_parts(name, arguments)
    return _offsets(name, arguments)


def now(name: str, utc: bool) -> Ex:
    """The time of the statement as a constant."""
    moment = dt.datetime.now(dt.timezone.utc)
    local = moment.astimezone()
    offset = int((local.utcoffset() or dt.timedelta()).total_seconds() // 60)
    ticks = times.ticks_of(moment)
    if name == "datetimeoffset":
        return constant((ticks, offset), st.make(name, 7))
    if not utc:
        ticks += offset * TICKS_PER_MINUTE
    return cast(constant(ticks, _OPEN), st.make(name))


def _part(expr: n.Expr) -> str:
    name = expr.parts[-1].upper() if isinstance(expr, n.Column) else ""
    name = _PARTS.get(name, name)
    if name not in (*_PARTS.values(),):
        raise SqlError(155, f"'{name}' is not a recognized datepart option.")
    return name


def _plain(ex: Ex) -> Ex:
    """A value as datetime2(7); the local time of a datetimeoffset. Numbers count days from 1900."""
    if ex.type is not None and ex.type.name in st.NUMBERS:
        ex = cast(ex, st.DATETIME)
    return cast(ex, _OPEN)


def _ticks(ex: Ex) -> str:
    return _plain(ex).sql


def _result_type(ex: Ex) -> SqlType:
    if ex.type is None or ex.type.name not in st.TIMES:
        return st.DATETIME
    return ex.type


def _dateadd(part: str, amount: Ex, moment: Ex) -> Ex:
    kind = _result_type(moment)
    count = cast(amount, st.BIGINT).sql
    if kind.name == "datetimeoffset":
        sql = f"{{'u': ({moment.sql}).u + {count} * {_UNITS.get(part, 0)}, 'o': ({moment.sql}).o}}"
        if part not in _UNITS:
            raise Unsupported(f"DATEADD of {part} to a datetimeoffset")
        return Ex(f"CASE WHEN {moment.sql} IS NULL THEN NULL ELSE {sql} END", kind)
    ticks = _ticks(moment)
    if part in _UNITS:
        sql = f"({ticks} + {count} * {_UNITS[part]})"
    elif part in ("YEAR", "QUARTER", "MONTH"):
        months = {"YEAR": 12, "QUARTER": 3, "MONTH": 1}[part]
        sql = f"add_months({ticks}, {count} * {months})"
    else:
        raise Unsupported(f"DATEADD of {part}")
    return cast(Ex(sql, _OPEN), kind)


def _datediff(part: str, start: Ex, end: Ex, name: str) -> Ex:
    result = st.INT if name == "DATEDIFF" else st.BIGINT
    first, second = _ticks(start), _ticks(end)
    if part in _UNITS and part != "WEEK":
        unit = _UNITS[part]
        sql = f"({second} // {unit} - {first} // {unit})"
    elif part == "WEEK":
        # Weeks begin on Sundays; 0001-01-01 was a Monday.
        sql = f"(({second} // {TICKS_PER_DAY} + 1) // 7 - ({first} // {TICKS_PER_DAY} + 1) // 7)"
    elif part in ("YEAR", "QUARTER", "MONTH"):
        sql = f"({_count(part, second)} - {_count(part, first)})"
    else:
        raise Unsupported(f"DATEDIFF of {part}")
    return Ex(f"CAST({sql} AS {result.storage})", result)


def _date(ticks: str) -> str:
    return f"(DATE '0001-01-01' + CAST({ticks} // {TICKS_PER_DAY} AS INTEGER))"


def _count(part: str, ticks: str) -> str:
    date = _date(ticks)
    if part == "YEAR":
        return f"year({date})"
    return f"(year({date}) * 4 + quarter({date}))" if part == "QUARTER" else f"(year({date}) * 12 + month({date}))"


def _datepart(part: str, moment: Ex) -> Ex:
    ticks = _ticks(moment)
    if part in _EXTRACT:
        sql = f"{_EXTRACT[part]}({_date(ticks)})"
    elif part == "WEEKDAY":
        sql = f"(({ticks} // {TICKS_PER_DAY} + 1) % 7 + 1)"
    elif part == "WEEK":
        date = _date(ticks)
        first = f"(dayofweek(make_date(year({date}), 1, 1)))"
        sql = f"((dayofyear({date}) + {first} - 1) // 7 + 1)"
    elif part == "NANOSECOND":
        sql = f"({ticks} % {TICKS_PER_SECOND} * 100)"
    elif part == "TZOFFSET":
        sql = f"({moment.sql}).o" if moment.type and moment.type.name == "datetimeoffset" else "0"
    else:
        unit = _UNITS[part]
        size = {"HOUR": 24, "MINUTE": 60, "SECOND": 60}.get(part)
        sql = f"({ticks} // {unit} % {size})" if size else f"({ticks} % {TICKS_PER_SECOND} // {unit})"
    return Ex(f"CAST({sql} AS INTEGER)", st.INT, moment.nullable)


def _datename(part: str, moment: Ex) -> Ex:
    kind = st.make("nvarchar", 30)
    if part in ("MONTH", "WEEKDAY"):
        function = "monthname" if part == "MONTH" else "dayname"
        return Ex(f"{function}({_date(_ticks(moment))})", kind)
    return cast(_datepart(part, moment), kind)


def _from_parts(name: str, arguments: list[Ex]) -> Ex:
    values = [cast(item, st.BIGINT).sql for item in arguments]
    days = f"(make_date({values[0]}, {values[1]}, {values[2]}) - DATE '0001-01-01')"
    if name == "DATEFROMPARTS":
        return Ex(f"CAST({days} AS INTEGER)", st.make("date"))
    clock = f"({values[3]} * 3600 + {values[4]} * 60 + {values[5]}) * {TICKS_PER_SECOND}"
    if name == "DATETIMEFROMPARTS":
        sql = f"({days} * {TICKS_PER_DAY} + {clock} + {values[6]} * 10000)"
        return cast(Ex(sql, _OPEN), st.DATETIME)
    scale = arguments[7].const if arguments[7].is_const else 7
    unit = 10 ** (7 - int(scale))
    return Ex(f"({days} * {TICKS_PER_DAY} + {clock} + {values[6]} * {unit})", st.make("datetime2", int(scale)))


def _offsets(name: str, arguments: list[Ex]) -> Ex:
    if name not in ("SWITCHOFFSET", "TODATETIMEOFFSET") or not arguments[1].is_const:
        raise Unsupported(name)
    zone = arguments[1].const
    if isinstance(zone, str):
        hours, _, minutes = zone[1:].partition(":")
        zone = (int(hours) * 60 + int(minutes or 0)) * (-1 if zone[0] == "-" else 1)
    if name == "SWITCHOFFSET":
        source = cast(arguments[0], st.make("datetimeoffset", 7))
        sql = f"{{'u': ({source.sql}).u, 'o': {zone}::SMALLINT}}"
        return Ex(f"CASE WHEN {source.sql} IS NULL THEN NULL ELSE {sql} END", source.type)
    plain = _plain(arguments[0])
    sql = f"{{'u': {plain.sql} - {zone * TICKS_PER_MINUTE}, 'o': {zone}::SMALLINT}}"
    return Ex(f"CASE WHEN {plain.sql} IS NULL THEN NULL ELSE {sql} END", st.make("datetimeoffset", 7))


def add_months(ticks: int, months: int) -> int:
    """Ticks some months later; the day is cut to the month's last."""
    days, rest = divmod(ticks, TICKS_PER_DAY)
    date = times.date_of(days)
    index = date.year * 12 + date.month - 1 + months
    year, month = divmod(index, 12)
    day = min(date.day, calendar.monthrange(year, month + 1)[1])
    return times.days_of(year, month + 1, day) * TICKS_PER_DAY + rest


def end_of_month(ticks: int, months: int) -> int:
    """The last day of the month some months later, in days since 0001-01-01."""
    date = times.date_of(add_months(ticks, months) // TICKS_PER_DAY)
    return times.days_of(date.year, date.month, calendar.monthrange(date.year, date.month)[1])
