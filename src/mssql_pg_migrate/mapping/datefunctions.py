"""DATEADD, DATEDIFF, DATEPART and their kin, where PostgreSQL gives exactly the same."""

from __future__ import annotations

from typing import Any

from ..model import SqlType
from .parse import Untranslatable
from .rules import Place, Rule, UnfitArguments, all_immutable, expect, int_argument
from .values import DATE, DATETIME, DATETIME2, INT, Value

_PARTS = {
    "year": "year", "yy": "year", "yyyy": "year",
    "quarter": "quarter", "qq": "quarter", "q": "quarter",
    "month": "month", "mm": "month", "m": "month",
    "dayofyear": "dayofyear", "dy": "dayofyear", "y": "dayofyear",
    "day": "day", "dd": "day", "d": "day",
    "week": "week", "wk": "week", "ww": "week",
    "iso_week": "iso_week", "isowk": "iso_week", "isoww": "iso_week",
    "hour": "hour", "hh": "hour",
    "minute": "minute", "mi": "minute", "n": "minute",
    "second": "second", "ss": "second", "s": "second",
}  # fmt: skip
"""T-SQL's names and abbreviations; weekday is missing: it depends on SET DATEFIRST."""

_INTERVALS = {
    "year": ("1 year", 1),
    "quarter": ("1 month", 3),
    "month": ("1 month", 1),
    "dayofyear": ("1 day", 1),
    "day": ("1 day", 1),
    "week": ("7 days", 1),
    "hour": ("1 hour", 1),
    "minute": ("1 minute", 1),
    "second": ("1 second", 1),
}
_CLOCK_PARTS = ("hour", "minute", "second")


def _part(node: Any) -> str:
    name = str(node.name if hasattr(node, "name") else node).lower()
    part = _PARTS.get(name)
    if part is None:
        raise Untranslatable(f"the date part {name} is not translated")
    return part


def _when(place: Place, node: Any, constant: SqlType = DATETIME) -> Value:
    """A date or datetime; a constant text is read as datetime, by DATEDIFF as datetime2."""
    value = place.value(node)
    if isinstance(value.literal, (str, int)):
        value = place.convert(value, DATETIME if isinstance(value.literal, int) else constant)
    if value.kind not in ("date", "datetime"):
        raise UnfitArguments(f"of {value.type} is not translated")
    return value


def _dateadd(place: Place, arguments: list[Any]) -> Value:
    expect(arguments, 3)
    part = _part(arguments[0])
    count, when = place.value(arguments[1]), _when(place, arguments[2])
    if count.kind != "int" or part == "iso_week":
        raise UnfitArguments(f"of the part {part} and a {count.type} is not translated")
    unit, factor = _INTERVALS[part]
    if when.kind == "date" and part in _CLOCK_PARTS:
        raise UnfitArguments(f"of the part {part} on a date is not translated")
    if isinstance(count.literal, int):
        number, word = unit.split()
        amount = count.literal * factor * int(number)
        sign = "-" if amount < 0 else "+"
        word = word.rstrip("s") + ("" if abs(amount) == 1 else "s")
        sql = f"{when.operand} {sign} interval '{abs(amount)} {word}'"
    else:
        times = f"{count.operand} * {factor}" if factor != 1 else count.operand
        sql = f"{when.operand} + {times} * interval '{unit}'"
    if when.type.name == "smalldatetime" and part == "second":
        raise Untranslatable("smalldatetime would round the seconds away")
    immutable = when.immutable and count.immutable
    if when.kind == "date":
        return Value(f"({sql})::date", when.type, immutable)
    return Value(sql, when.type, immutable, atomic=False, clock=when.clock)


def _datediff(place: Place, arguments: list[Any]) -> Value:
    """DATEDIFF counts the boundaries between its two dates, not elapsed units."""
    expect(arguments, 3)
    part = _part(arguments[0])
    start, end = (_when(place, node, DATETIME2) for node in arguments[1:])
    immutable = start.immutable and end.immutable

    def field(name: str, value: Value) -> str:
        return f"extract({name} from {value.sql})::integer"

    if part in ("day", "dayofyear"):
        sql = f"{end.operand}::date - {start.operand}::date"
    elif part == "week":  # "DATEDIFF always uses Sunday as the first day of the week", as the one before the year 1 is
        weeks = [f"({value.operand}::date - '0001-12-31 BC'::date) / 7" for value in (end, start)]
        sql = f"{weeks[0]} - {weeks[1]}"
    elif part == "year":
        sql = f"{field('year', end)} - {field('year', start)}"
    elif part == "quarter":
        years = f"({field('year', end)} - {field('year', start)}) * 4"
        sql = f"{years} + {field('quarter', end)} - {field('quarter', start)}"
    elif part == "month":
        years = f"({field('year', end)} - {field('year', start)}) * 12"
        sql = f"{years} + {field('month', end)} - {field('month', start)}"
    elif part in _CLOCK_PARTS:
        seconds = {"hour": 3600, "minute": 60, "second": 1}[part]
        ends = [f"extract(epoch from date_trunc('{part}', {value.operand}::timestamp))" for value in (end, start)]
        sql = f"(({ends[0]} - {ends[1]}) / {seconds})::integer"
        return Value(sql, INT, immutable)
    else:
        raise UnfitArguments(f"of the part {part} is not translated")
    return Value(sql, INT, immutable, atomic=False)


def _datepart_of(part: str, value: Value) -> Value:
    if value.kind == "date" and part in _CLOCK_PARTS:
        raise Untranslatable(f"{part} of a date")
    if part == "second":
        return value.derived(f"floor(extract(second from {value.sql}))::integer", INT)
    if part == "week":
        raise Untranslatable("the week's number depends on SET DATEFIRST")
    field = {"dayofyear": "doy", "iso_week": "week"}.get(part, part)
    return value.derived(f"extract({field} from {value.sql})::integer", INT)


def _datepart(place: Place, arguments: list[Any]) -> Value:
    expect(arguments, 2)
    return _datepart_of(_part(arguments[0]), _when(place, arguments[1]))


def _one_part(part: str) -> Rule:
    def rule(place: Place, arguments: list[Any]) -> Value:
        expect(arguments, 1)
        return _datepart_of(part, _when(place, arguments[0]))

    return rule


def _eomonth(place: Place, arguments: list[Any]) -> Value:
    expect(arguments, 1, 2)
    value = _when(place, arguments[0])
    first = f"date_trunc('month', {value.operand}::timestamp)"
    if len(arguments) == 1:
        return value.derived(f"({first} + interval '1 month' - interval '1 day')::date", DATE)
    months = int_argument(place, arguments[1])
    sql = f"({first} + ({months.operand} + 1) * interval '1 month' - interval '1 day')::date"
    return Value(sql, DATE, all_immutable(value, months))


def _datefromparts(place: Place, arguments: list[Any]) -> Value:
    expect(arguments, 3)
    parts = [int_argument(place, node) for node in arguments]
    return Value(f"make_date({', '.join(part.sql for part in parts)})", DATE, all_immutable(*parts))


DATE_RULES: dict[str, Rule] = {
    "dateadd": _dateadd,
    "datediff": _datediff,
    "datepart": _datepart,
    "year": _one_part("year"),
    "month": _one_part("month"),
    "day": _one_part("day"),
    "eomonth": _eomonth,
    "datefromparts": _datefromparts,
}
