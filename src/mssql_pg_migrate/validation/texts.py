"""Canonical key and label fields as text, for people: the forms of ``source.keys``, with the columns' names."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..mapping.types import Encoding, MappedColumn
from ..source import keys
from .kinds import LABEL_BYTES, Kind

_DAYS_TO_2000 = 730_119
"""From 0001-01-01; PostgreSQL counts from 2000-01-01."""
_MICROSECONDS_PER_DAY = 86_400_000_000
_LONGEST = 60
"""Characters of one value that are shown."""


@dataclass(frozen=True, slots=True)
class LabelField:
    """One field of a record: its column and its canonical kind; ``cut``: only its beginning may be there."""

    column: MappedColumn
    kind: Kind
    cut: bool = False


def label_text(label: bytes, fields: Sequence[LabelField]) -> str:
    """``Id=5, Name=x`` for the fields of a record."""
    parts = []
    at = 0
    for field in fields:
        size = int.from_bytes(label[at : at + 4], "big", signed=True)
        at += 4
        if size < 0:
            parts.append(f"{field.column.source.name}=NULL")
            continue
        there = _size_there(size, field)
        parts.append(f"{field.column.source.name}={_value_text(label[at : at + there], there < size, field)}")
        at += there
    return ", ".join(parts)


def _size_there(size: int, field: LabelField) -> int:
    if not field.cut or field.kind in (Kind.INTEGER, Kind.FLOAT, Kind.INT_NUMERIC):
        return size
    return min(size, LABEL_BYTES + (4 if field.kind is Kind.NUMERIC else 0))


def _value_text(value: bytes, cut: bool, field: LabelField) -> str:
    try:
        text = _FORMS[_form_of(field)](value, field.column)
    except (ValueError, OverflowError, struct.error):
        # A value that only PostgreSQL can hold, such as infinity.
        text = keys.format_binary(value)
    if len(text) > _LONGEST:
        text, cut = text[:_LONGEST], True
    return text + "..." if cut else text


def _form_of(field: LabelField) -> Encoding:
    if field.kind in (Kind.NUMERIC, Kind.INT_NUMERIC):
        return "numeric"
    if field.kind is Kind.INTEGER:
        return "int8"
    if field.kind is Kind.FLOAT:
        return "float8"
    return field.column.encoding


def _integer(value: bytes, _: MappedColumn) -> str:
    return str(int.from_bytes(value, "big", signed=True))


def _numeric(value: bytes, column: MappedColumn) -> str:
    """Canonical numeric: weight, sign, groups of base 10000."""
    weight, sign, *groups = struct.unpack(f">hH{(len(value) - 4) // 2}H", value[: len(value) // 2 * 2])
    if sign & 0xC000 == 0xC000:
        return {0xC000: "NaN", 0xD000: "Infinity", 0xF000: "-Infinity"}.get(sign, "NaN")
    decimals = max(4 * (len(groups) - 1 - weight), 0)
    unscaled = 0
    for group in groups:
        unscaled = unscaled * 10_000 + group
    if decimals == 0:
        unscaled *= 10_000 ** (weight + 1 - len(groups))
    scale = keys.scale_of(column.source.type) if column.source.type.name in _WITH_SCALE else 0
    if decimals > scale:
        dropped = 10 ** (decimals - scale)
        if unscaled % dropped:
            return keys.format_decimal(-unscaled if sign else unscaled, decimals)
        unscaled //= dropped
    else:
        unscaled *= 10 ** (scale - decimals)
    return keys.format_decimal(-unscaled if sign else unscaled, scale)


_WITH_SCALE = ("decimal", "numeric", "money", "smallmoney")


def _float4(value: bytes, _: MappedColumn) -> str:
    return repr(struct.unpack(">f", value)[0])


def _float8(value: bytes, _: MappedColumn) -> str:
    return repr(struct.unpack(">d", value)[0])


def _text(value: bytes, _: MappedColumn) -> str:
    return keys.format_text(value.decode("utf-8", "ignore"))


def _date(value: bytes, _: MappedColumn) -> str:
    return keys.format_date(int.from_bytes(value, "big", signed=True) + _DAYS_TO_2000)


def _time(value: bytes, column: MappedColumn) -> str:
    return keys.format_time(int.from_bytes(value, "big", signed=True) * 10, _time_scale(column))


def _timestamp(value: bytes, column: MappedColumn) -> str:
    days, microseconds = divmod(int.from_bytes(value, "big", signed=True), _MICROSECONDS_PER_DAY)
    return keys.format_datetime(days + _DAYS_TO_2000, microseconds * 10, _time_scale(column))


def _timestamptz(value: bytes, column: MappedColumn) -> str:
    return f"{_timestamp(value, column)}+00:00"


def _time_scale(column: MappedColumn) -> int:
    """Microseconds at most: the seventh decimal of the source is not in the target."""
    return min(keys.scale_of(column.source.type), 6)


_FORMS: dict[Encoding, Callable[[bytes, MappedColumn], str]] = {
    "bool": lambda value, _: str(int(value != b"\0")),
    "int2": _integer,
    "int4": _integer,
    "int8": _integer,
    "numeric": _numeric,
    "float4": _float4,
    "float8": _float8,
    "text": _text,
    "bytea": lambda value, _: keys.format_binary(value),
    "uuid": lambda value, _: str(uuid.UUID(bytes=value)).upper(),
    "date": _date,
    "time": _time,
    "timestamp": _timestamp,
    "timestamptz": _timestamptz,
    "vector": lambda value, _: keys.format_binary(value),
}
