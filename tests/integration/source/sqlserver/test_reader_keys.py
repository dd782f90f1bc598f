"""Keys of every usable type: both readers give the same canonical text, and its literal is of the column's type."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from mssql_pg_migrate.mapping.objects import MappedTable
from mssql_pg_migrate.mapping.types import MappedColumn, map_type
from mssql_pg_migrate.model import Column, Key, KeyColumn, KeyRange, SqlType, Table
from mssql_pg_migrate.source.reader import Reader, ReadRequest
from mssql_pg_migrate.source.sqlserver.driver import DriverReader
from mssql_pg_migrate.source.sqlserver.key_literals import literal
from mssql_pg_migrate.source.sqlserver.wire import WireReader, unavailable
from mssql_pg_migrate.tds import types as t
from mssql_pg_migrate.tds.metadata import ColumnMetadata as Info
from scripted import DONE, Raw, ScriptedServer, columns, row

LATIN1 = bytes.fromhex("0904d00034")
DAY = 864_000_000_000
END = 3_652_059 * DAY
GUID = uuid.UUID("6f9619ff-8b86-d011-b42d-00c04fc964ff")
VARCHAR = SqlType("varchar", 20, collation="Latin1_General_CI_AS", code_page=1252)
NVARCHAR = SqlType("nvarchar", 40)
NTEXT40 = Info(type_id=t.NVARCHAR, length=40, collation=LATIN1)

# type, its wire form and value, the key's text, and (form, value) of the driver's expression where that differs
CASES: list[tuple[SqlType, Info, Any, str, tuple[Info, Any] | None]] = [
    (SqlType("bit", 1), Info(type_id=t.BITN, length=1), 1, "1", None),
    (SqlType("tinyint", 1), Info(type_id=t.INTN, length=1), 255, "255", None),
    (SqlType("smallint", 2), Info(type_id=t.INTN, length=2), -32768, "-32768", None),
    (SqlType("bigint", 8), Info(type_id=t.INTN, length=8), -(2**63), "-9223372036854775808", None),
    (
        SqlType("decimal", 17, 38, 10),
        Info(type_id=t.DECIMALN, precision=38, scale=10),
        Decimal("-0.0000000001"),
        "-0.0000000001",
        None,
    ),
    (
        SqlType("decimal", 17, 38, 5),
        Info(type_id=t.DECIMALN, precision=38, scale=5),
        Decimal("-" + "9" * 33 + ".12345"),
        "-" + "9" * 33 + ".12345",
        None,
    ),
    (SqlType("decimal", 17, 38, 0), Info(type_id=t.DECIMALN, precision=38, scale=0), Decimal(0), "0", None),
    (SqlType("numeric", 9, 18, 0), Info(type_id=t.NUMERICN, precision=18, scale=0), Decimal(10**17), str(10**17), None),
    (SqlType("money", 8, 19, 4), Info(type_id=t.MONEYN, length=8), Decimal("-5.5"), "-5.5000", None),
    (SqlType("smallmoney", 4, 10, 4), Info(type_id=t.MONEYN, length=4), Decimal(0), "0.0000", None),
    (SqlType("date", 3), Info(type_id=t.DATEN, length=3), 3_652_058, "9999-12-31", None),
    (SqlType("time", 5, 16, 7), Info(type_id=t.TIMEN, scale=7), DAY - 1, "23:59:59.9999999", None),
    (SqlType("time", 3, 8, 0), Info(type_id=t.TIMEN, scale=0), DAY - 10_000_000, "23:59:59", None),
    (
        SqlType("datetime", 8, 23, 3),
        Info(type_id=t.DATETIMEN, length=8),
        Raw(b"\x08" + struct.pack("<iI", -53_690, 2)),
        "1753-01-01T00:00:00.007",
        None,
    ),
    (
        SqlType("smalldatetime", 4, 16, 0),
        Info(type_id=t.DATETIMEN, length=4),
        693_595 * DAY + 600_000_000,
        "1900-01-01T00:01:00",
        None,
    ),
    (SqlType("datetime2", 8, 27, 7), Info(type_id=t.DATETIME2N, scale=7), END - 1, "9999-12-31T23:59:59.9999999", None),
    (SqlType("datetime2", 6, 19, 0), Info(type_id=t.DATETIME2N, scale=0), 0, "0001-01-01T00:00:00", None),
    (
        SqlType("datetimeoffset", 10, 34, 7),
        Info(type_id=t.DATETIMEOFFSETN, scale=7),
        (737_483 * DAY + 1_234_567, 330),
        "2020-02-29T00:00:00.1234567+00:00",
        None,
    ),
    (
        SqlType("uniqueidentifier", 16),
        Info(type_id=t.GUID, length=16),
        GUID,
        str(GUID).upper(),
        (Info(type_id=t.BIGBINARY, length=16), GUID.bytes_le),
    ),
    (SqlType("binary", 4), Info(type_id=t.BIGBINARY, length=4), b"\0\xff\0\1", "0x00FF0001", None),
    (SqlType("varbinary", 4), Info(type_id=t.BIGVARBINARY, length=4), b"", "0x", None),
    (NVARCHAR, NTEXT40, " O'Brien 🚀 ", " O'Brien 🚀 ", None),
    (NVARCHAR, NTEXT40, "", "", None),
    (NVARCHAR, NTEXT40, "\\x41", "\\x5C00780034003100", None),
    (SqlType("nchar", 8), Info(type_id=t.NCHAR, length=8, collation=LATIN1), "ab  ", "ab  ", None),
    (
        VARCHAR,
        Info(type_id=t.BIGVARCHAR, length=20, collation=LATIN1),
        "caf\u00e9 \u20ac",
        "caf\u00e9 \u20ac",
        (NTEXT40, "caf\u00e9 \u20ac"),
    ),
]


def table_of(kind: SqlType) -> MappedTable:
    column = Column("k", kind, nullable=False)
    target = map_type(column)
    mapped = MappedColumn(column, "k", target.pg_type, target.encoding, target.driver_select, target.wire_select)
    key = Key("pk", (KeyColumn("k"),), primary=True)
    return MappedTable(Table("dbo", "T", (column,), primary_key=key), "public", "t", (mapped,), range_key=key)


def last_key(reader: Reader, request: ReadRequest) -> tuple[str, ...] | None:
    try:
        (chunk,) = reader.chunks(request)
        return chunk.last_key
    finally:
        reader.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[3]}")
def test_a_key_comes_back_exactly(case: tuple[SqlType, Info, Any, str, tuple[Info, Any] | None]) -> None:
    kind, info, value, text, helped = case
    nanosecond = Info(type_id=t.INTN, length=4, name="n")

    def answer(sql: str) -> Iterator[bytes]:
        form, content = helped if helped is not None and "CAST(" in sql else (info, value)
        infos, values = [replace(form, name="k")], [content]
        if "DATEPART(nanosecond, [k])" in sql:
            ticks = content[0] if isinstance(content, tuple) else content
            infos.append(nanosecond)
            values.append(ticks % 10_000_000 * 100)
        yield columns(*infos) + row(infos, values) + DONE

    request = ReadRequest(table=table_of(kind), range=KeyRange(0))
    with ScriptedServer(answer) as server:
        found = last_key(DriverReader(server.settings()), request)
        wire = last_key(WireReader(server.settings()), request) if unavailable() is None else None
    assert found == (text,)
    if unavailable() is None:
        assert wire == found
    assert literal(kind, text)
