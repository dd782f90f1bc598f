"""Rows of BCP data files, written value by value: the other direction of the compiled reader, sharing nothing with it.

Prefix lengths: "Specify Prefix Length in Data Files by Using bcp", with what files of real servers do otherwise (char
NOT NULL has no length, bit always has one, all text is UTF-16). Values: [MS-BCP], that is to say the forms of TDS.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Context, Decimal
from typing import Any

MAX = -1
_EXACT = Context(prec=60)
FIXED = ("tinyint", "smallint", "int", "bigint", "real", "float", "smallmoney", "money", "smalldatetime", "datetime")
SCALED = ("date", "time", "datetime2", "datetimeoffset")
TEXTS = ("char", "varchar", "nchar", "nvarchar", "text", "ntext", "xml", "sysname")
LONG = ("xml", "geography", "geometry", "hierarchyid", "sql_variant")


@dataclass(frozen=True)
class Column:
    """A column of a data file: its type's name, and what was declared with it (length in characters or bytes)."""

    type: str
    nullable: bool = False
    length: int = 0
    precision: int = 0
    scale: int = 0
    name: str = "c"


def field(column: Column, value: Any) -> bytes:
    """One value with its prefix.

    Numbers, text, bytes and UUIDs are themselves, a date is a `date`, time(s) its 100 ns units since midnight,
    datetime2(s) and datetimeoffset(s) a pair of both (and the offset in minutes), datetime the days since 1900-01-01
    and 1/300 seconds, smalldatetime the days and minutes.
    """
    kind = column.type
    if kind in FIXED or kind in SCALED:
        if not column.nullable:
            return small(column, value)
        return b"\xff" if value is None else _counted("B", small(column, value))
    if kind in ("bit", "decimal", "numeric", "uniqueidentifier"):
        return b"\xff" if value is None else _counted("B", small(column, value))
    data = None if value is None else value.encode("utf-16-le", "surrogatepass") if kind in TEXTS else bytes(value)
    if kind == "char" and not column.nullable:
        assert data is not None
        assert len(data) == 2 * column.length
        return data
    form = "q" if column.length == MAX or kind in LONG else "i" if kind in ("text", "ntext", "image") else "H"
    if data is None:
        return b"\xff" * struct.calcsize(form)
    return _counted(form, data)


def rows(columns: Sequence[Column], values: Iterable[Sequence[Any]]) -> bytes:
    """A data file."""
    return b"".join(field(c, v) for row in values for c, v in zip(columns, row, strict=True))


def _counted(form: str, data: bytes) -> bytes:
    return struct.pack(f"<{form}", len(data)) + data


def small(column: Column, value: Any) -> bytes:
    """The bytes of a value of a fixed size."""
    kind, scale = column.type, column.scale
    plain = {"tinyint": "B", "smallint": "h", "int": "i", "bigint": "q", "real": "f", "float": "d", "bit": "B"}
    if kind in plain:
        return struct.pack(f"<{plain[kind]}", value)
    if kind == "smallmoney":
        return struct.pack("<i", _unscaled(value, 4))
    if kind == "money":
        number = _unscaled(value, 4) & 0xFFFF_FFFF_FFFF_FFFF
        return struct.pack("<II", number >> 32, number & 0xFFFF_FFFF)
    if kind in ("decimal", "numeric"):
        number = _unscaled(value, scale)
        return struct.pack("<BBB", column.precision, scale, number >= 0) + abs(number).to_bytes(16, "little")
    if kind == "uniqueidentifier":
        return uuid.UUID(str(value)).bytes_le
    if kind == "datetime":
        return struct.pack("<iI", *value)
    if kind == "smalldatetime":
        return struct.pack("<HH", *value)
    if kind == "date":
        return _day(value)
    if kind == "time":
        return _ticks(value, scale)
    if kind == "datetime2":
        return _ticks(value[1], scale) + _day(value[0])
    assert kind == "datetimeoffset", kind
    return _ticks(value[1], scale) + _day(value[0]) + struct.pack("<h", value[2])


def _unscaled(value: Any, scale: int) -> int:
    return int(Decimal(value).scaleb(scale, _EXACT))


def _day(value: date) -> bytes:
    return (value.toordinal() - 1).to_bytes(3, "little")


def _ticks(ticks: int, scale: int) -> bytes:
    size = 3 if scale <= 2 else 4 if scale <= 4 else 5
    return (ticks // 10 ** (7 - scale)).to_bytes(size, "little")
