"""Conversions to dates and times: how SQL Server rounds them, and how PostgreSQL is brought to do the same.

Microsoft's pages on time, datetime2, datetimeoffset and smalldatetime: a coarser scale rounds the fraction up at its
half; a time that would be rounded to midnight is 00:00:00. PostgreSQL's own rounding makes 24:00:00 of it, and rounds
halves before the year 2000 down, since it counts from there.
"""

from __future__ import annotations

from dataclasses import replace

from ..model import SqlType
from .literals import temporal_from_days, temporal_literal
from .parse import Untranslatable
from .values import DATETIME2, Value, kind_of

_STYLES = (None, 0, 20, 23, 112, 120, 121, 126)
"""Styles in which CONVERT reads a constant like CAST does."""
_TICK_SCALES = {"smalldatetime": 0, "datetime": 3}
_TRUNCATED = {0: ("second", "500 milliseconds"), 3: ("milliseconds", "500 microseconds")}
"""Scale -> the field of date_trunc, and half of it."""
_CYCLES = "interval '730485 days'"
"""Five times the 400 years after which the calendar repeats itself."""


def to_temporal(value: Value, target: SqlType, style: int | None) -> Value:
    """The value as a date, time or date-time type.

    Raises:
        Untranslatable: PostgreSQL would give another value for some input, or there is no such conversion.
    """
    if isinstance(value.literal, str):
        if style not in _STYLES:
            raise Untranslatable(f"style {style} of CONVERT is not translated")
        return temporal_literal(value.literal, target)
    if isinstance(value.literal, int):
        return temporal_from_days(value.literal, target)
    kind = kind_of(target)
    if value.kind == "offset" and kind != "offset":
        if not value.clock:
            raise Untranslatable("a datetimeoffset's local time is not kept in timestamptz")
        value = Value("LOCALTIMESTAMP", DATETIME2, immutable=False, clock=True)
    if kind == "date" and value.kind in ("date", "datetime"):
        return value if value.kind == "date" else value.derived(f"{value.operand}::date", target)
    if kind == "time" and value.kind in ("time", "datetime"):
        return _to_time(value, target)
    if kind == "datetime" and value.kind in ("date", "datetime"):
        return _to_datetime(value, target)
    if kind == "offset" and value.kind == "offset":
        return _to_offset(value, target)
    if kind == "offset" and value.kind in ("date", "datetime"):
        # A value without an offset gets +00:00.
        local = value if value.kind == "date" else _to_datetime(value, replace(DATETIME2, scale=target.scale))
        through = f"{local.operand}::timestamp" if value.kind == "date" else local.operand
        return value.derived(f"({through} AT TIME ZONE 'UTC')", target)
    raise Untranslatable(f"{value.type} becomes {target} in a way PostgreSQL does not know")


def _scale(sql_type: SqlType) -> int:
    return _TICK_SCALES.get(sql_type.name, sql_type.scale)


def _fits(value: Value, target: SqlType) -> bool:
    """Whether nothing is rounded.

    Raises:
        Untranslatable: the seventh decimal decides, which PostgreSQL does not keep.
    """
    have, want = _scale(value.type), _scale(target)
    if have <= want or (value.clock and want >= 3):
        return True
    if want == 6:
        raise Untranslatable(f"{target} rounds by the seventh decimal of seconds, which PostgreSQL does not keep")
    return False


def _to_time(value: Value, target: SqlType) -> Value:
    exact = _fits(value, target)
    if value.kind == "time":
        if exact:
            return replace(value, type=target)
        return value.derived(f"('2000-01-01'::date + {value.operand})::timestamp({target.scale})::time", target)
    if exact:
        return value.derived(f"{value.operand}::time", target)
    # The date is gone before the rounding, so that every fraction is one after the year 2000.
    return value.derived(f"('2000-01-01'::date + {value.operand}::time)::timestamp({target.scale})::time", target)


def _to_datetime(value: Value, target: SqlType) -> Value:
    if value.kind == "date":
        return replace(value, sql=f"{value.operand}::timestamp", type=target, atomic=True)
    if target.name == "smalldatetime":
        return _to_minute(value, target)
    if value.type.name == target.name == "datetime" or _fits(value, target):
        return replace(value, type=target)
    if target.name == "datetime":
        raise Untranslatable("datetime rounds to 1/300 s, PostgreSQL does not")
    if value.clock:  # it stands after the year 2000
        return value.derived(f"{value.operand}::timestamp({target.scale})", target)
    return value.derived(_rounded_up(value.operand, target.scale), target)


def _to_minute(value: Value, target: SqlType) -> Value:
    """smalldatetime: 29.998 seconds are rounded down, 29.999 up ("smalldatetime"), which datetime tells apart."""
    if value.type.name == "smalldatetime":
        return value
    if value.type.name == "datetime2" and value.type.scale > 2 and not value.clock:
        raise Untranslatable("smalldatetime rounds 29.999 seconds up, PostgreSQL half a minute")
    return value.derived(f"date_trunc('minute', {value.operand} + interval '30 seconds')", target)


def _rounded_up(sql: str, scale: int) -> str:
    """A timestamp rounded to ``scale`` decimals of seconds, halves up; the last one stays within the year 9999.

    The source cannot hold what is rounded beyond 9999-12-31: where it fails to, no row has a value to compare with.
    """
    if scale in _TRUNCATED:
        field, half = _TRUNCATED[scale]
        rounded = f"date_trunc('{field}', {sql} + interval '{half}')"
    else:
        rounded = f"({sql} + {_CYCLES})::timestamp({scale}) - {_CYCLES}"
    last = f"9999-12-31 23:59:59{'.' + '9' * scale if scale else ''}"
    beyond = f"9999-12-31 23:59:59.{'9' * scale}5"
    return f"CASE WHEN {sql} >= '{beyond}' THEN '{last}'::timestamp ELSE {rounded} END"


def _to_offset(value: Value, target: SqlType) -> Value:
    if _fits(value, target):
        return replace(value, type=target)
    if value.clock:
        return value.derived(f"{value.operand}::timestamptz({target.scale})", target)
    rounded = _rounded_up(f"({value.operand} AT TIME ZONE 'UTC')", target.scale)
    return value.derived(f"({rounded} AT TIME ZONE 'UTC')", target)
