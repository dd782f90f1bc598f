"""Every type at its ends, from the bytes a server sends to the text PostgreSQL shows, through both readers.

The values here are written as TDS tokens (see `scripted`), so that each is exactly the one meant: what SQL Server's own
parser would make of a literal is not part of it.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from mssql_pg_migrate.mapping.objects import MappedTable
from mssql_pg_migrate.mapping.types import MappedColumn, map_type
from mssql_pg_migrate.model import Column, Key, KeyColumn, KeyRange, SqlType, Table
from mssql_pg_migrate.source.reader import Reader, ReadRequest
from mssql_pg_migrate.source.sqlserver.driver import DriverReader
from mssql_pg_migrate.source.sqlserver.wire import WireReader, unavailable
from mssql_pg_migrate.tds import types as t
from mssql_pg_migrate.tds.metadata import ColumnMetadata as Info
from scripted import DONE, Raw, ScriptedServer, columns, row
from servers import PgServer
from source_tools import copy_into

LATIN1 = bytes.fromhex("0904d00034")
DAY = 864_000_000_000
LAST_DAY = 3_652_058
LONG = "\U0001f600é<p>\t\n\\" * 120_000
BIG = bytes(range(256)) * 4096


def decimal(unscaled: int, scale: int) -> Decimal:
    return Decimal((int(unscaled < 0), tuple(int(d) for d in str(abs(unscaled))), -scale))


def datetime(days: int, thirds: int) -> Raw:
    return Raw(b"\x08" + struct.pack("<iI", days, thirds))


@dataclass(frozen=True)
class Case:
    """A type, the values a server sends for it, and PostgreSQL's text of each.

    ``driver`` is what the server sends for the expression that the driver is given, where that is not the column.
    """

    type: SqlType
    info: Info
    values: list[Any]
    texts: list[str | None]
    driver: tuple[Info, list[Any]] | None = None


def text_case(kind: SqlType, info: Info, texts: list[str | None], shown: list[str | None] | None = None) -> Case:
    """A character type: in UTF-16 for the driver if the column itself is in a code page."""
    wide = None
    if info.type_id in (t.BIGCHAR, t.BIGVARCHAR, t.TEXT):
        size = t.MAX_LENGTH if kind.is_max or kind.name == "text" else kind.max_length * 2
        wide = (Info(type_id=t.NVARCHAR, length=size, collation=LATIN1), list(texts))
    return Case(kind, info, list(texts), shown or texts, wide)


GUIDS = [uuid.UUID("00112233-4455-6677-8899-aabbccddeeff"), uuid.UUID(int=0), uuid.UUID(int=2**128 - 1)]

CASES = [
    Case(SqlType("bit", 1), Info(type_id=t.BITN, length=1), [0, 1], ["false", "true"]),
    Case(SqlType("tinyint", 1), Info(type_id=t.INTN, length=1), [0, 255], ["0", "255"]),
    Case(SqlType("smallint", 2), Info(type_id=t.INTN, length=2), [-(2**15), 2**15 - 1], ["-32768", "32767"]),
    Case(SqlType("int", 4), Info(type_id=t.INTN, length=4), [-(2**31), 2**31 - 1], ["-2147483648", "2147483647"]),
    Case(
        SqlType("bigint", 8),
        Info(type_id=t.INTN, length=8),
        [-(2**63), 2**63 - 1],
        ["-9223372036854775808", "9223372036854775807"],
    ),
    *(
        Case(
            SqlType(name, precision=precision, scale=scale),
            Info(type_id=token, precision=precision, scale=scale),
            [decimal(value, scale) for value in unscaled],
            [format(decimal(value, scale), "f") for value in unscaled],
        )
        for name, token, precision, scale, unscaled in [
            ("decimal", t.DECIMALN, 38, 0, [10**38 - 1, -(10**38) + 1, 0, 1, 10**37, 10_000, -9999]),
            ("decimal", t.DECIMALN, 38, 38, [10**38 - 1, -1, 0, 10**37]),
            ("numeric", t.NUMERICN, 38, 10, [10**38 - 1, -(10**38) + 1, 1, 10**10, 99_990_000]),
            ("decimal", t.DECIMALN, 5, 5, [99_999, -1, 0]),
            ("decimal", t.DECIMALN, 19, 4, [10**19 - 1, 12_340_000, 10_000, 9999, 1]),
            ("numeric", t.NUMERICN, 1, 0, [9, -9, 0]),
        ]
    ),
    Case(
        SqlType("money", 8, 19, 4),
        Info(type_id=t.MONEYN, length=8),
        [Decimal("922337203685477.5807"), Decimal("-922337203685477.5808"), Decimal("0.0001"), Decimal(0)],
        ["922337203685477.5807", "-922337203685477.5808", "0.0001", "0.0000"],
    ),
    Case(
        SqlType("smallmoney", 4, 10, 4),
        Info(type_id=t.MONEYN, length=4),
        [Decimal("214748.3647"), Decimal("-214748.3648")],
        ["214748.3647", "-214748.3648"],
    ),
    Case(
        SqlType("float", 8, 53),
        Info(type_id=t.FLOATN, length=8),
        [1.7976931348623157e308, -1.7976931348623157e308, 5e-324, 0.1, -0.0],
        ["1.7976931348623157e+308", "-1.7976931348623157e+308", "5e-324", "0.1", "-0"],
    ),
    Case(
        SqlType("real", 4, 24),
        Info(type_id=t.FLOATN, length=4),
        [3.4028234663852886e38, 1.401298464324817e-45, 0.10000000149011612],
        ["3.4028235e+38", "1e-45", "0.1"],
    ),
    Case(
        SqlType("date", 3),
        Info(type_id=t.DATEN, length=3),
        [0, LAST_DAY, 719_161],
        ["0001-01-01", "9999-12-31", "1969-12-31"],
    ),
    Case(
        SqlType("time", 5, scale=7),
        Info(type_id=t.TIMEN, scale=7),
        [0, DAY - 1, 9],
        ["00:00:00", "23:59:59.999999", "00:00:00"],
    ),
    Case(SqlType("time", 3, scale=0), Info(type_id=t.TIMEN, scale=0), [DAY - 10_000_000], ["23:59:59"]),
    Case(
        SqlType("datetime", 8, scale=3),
        Info(type_id=t.DATETIMEN, length=8),
        [datetime(-53_690, 0), datetime(-53_690, 1), datetime(0, 2), datetime(-1, 25_919_999), datetime(2_958_463, 1)],
        [
            "1753-01-01 00:00:00",
            "1753-01-01 00:00:00.003",
            "1900-01-01 00:00:00.007",
            "1899-12-31 23:59:59.997",
            "9999-12-31 00:00:00.003",
        ],
    ),
    Case(
        SqlType("smalldatetime", 4),
        Info(type_id=t.DATETIMEN, length=4),
        [693_595 * DAY, (693_595 + 65_535) * DAY + 1439 * 600_000_000],
        ["1900-01-01 00:00:00", "2079-06-06 23:59:00"],
    ),
    Case(
        SqlType("datetime2", 8, scale=7),
        Info(type_id=t.DATETIME2N, scale=7),
        [0, (LAST_DAY + 1) * DAY - 1, 719_162 * DAY - 1],
        ["0001-01-01 00:00:00", "9999-12-31 23:59:59.999999", "1969-12-31 23:59:59.999999"],
    ),
    Case(
        SqlType("datetime2", 7, scale=3),
        Info(type_id=t.DATETIME2N, scale=3),
        [(LAST_DAY + 1) * DAY - 10_000],
        ["9999-12-31 23:59:59.999"],
    ),
    Case(
        SqlType("datetimeoffset", 10, scale=7),
        Info(type_id=t.DATETIMEOFFSETN, scale=7),
        [(0, 840), ((LAST_DAY + 1) * DAY - 1, -840), (719_162 * DAY - 1, -765), (719_162 * DAY + 10, 330)],
        [
            "0001-01-01 00:00:00+00",
            "9999-12-31 23:59:59.999999+00",
            "1969-12-31 23:59:59.999999+00",
            "1970-01-01 00:00:00.000001+00",
        ],
    ),
    Case(
        SqlType("uniqueidentifier", 16),
        Info(type_id=t.GUID, length=16),
        list(GUIDS),
        [str(guid) for guid in GUIDS],
        (Info(type_id=t.BIGBINARY, length=16), [guid.bytes_le for guid in GUIDS]),
    ),
    text_case(SqlType("char", 5), Info(type_id=t.BIGCHAR, length=5, collation=LATIN1), ["ab   ", "     ", "éé€éé"]),
    text_case(
        SqlType("varchar", 9), Info(type_id=t.BIGVARCHAR, length=9, collation=LATIN1), ["", " x ", "caf\u00e9 \u20ac"]
    ),
    text_case(
        SqlType("varchar", -1), Info(type_id=t.BIGVARCHAR, length=t.MAX_LENGTH, collation=LATIN1), ["", "é" * 9000]
    ),
    text_case(SqlType("text", 16), Info(type_id=t.TEXT, length=0x7FFFFFFF, collation=LATIN1, table=("T",)), ["t€", ""]),
    text_case(
        SqlType("nchar", 10),
        Info(type_id=t.NCHAR, length=10, collation=LATIN1),
        ["日    ", "\U0001f600   "],
        ["日    ", "\U0001f600    "],
    ),
    text_case(
        SqlType("nvarchar", 40),
        Info(type_id=t.NVARCHAR, length=40, collation=LATIN1),
        ["", " ", "日本🚀", "\U0010ffff\ufeff", "e\u0301", "\ufffd", "\x01\x1f\x7f\x85"],
    ),
    text_case(
        SqlType("nvarchar", -1), Info(type_id=t.NVARCHAR, length=t.MAX_LENGTH, collation=LATIN1), ["", "a", LONG]
    ),
    text_case(
        SqlType("ntext", 16), Info(type_id=t.NTEXT, length=0x7FFFFFFE, collation=LATIN1, table=("T",)), ["té🚀", ""]
    ),
    Case(
        SqlType("binary", 4),
        Info(type_id=t.BIGBINARY, length=4),
        [b"\0\xff\0\0", bytes(4)],
        ["\\x00ff0000", "\\x00000000"],
    ),
    Case(
        SqlType("varbinary", 8),
        Info(type_id=t.BIGVARBINARY, length=8),
        [b"", b"\0", b"\\x"],
        ["\\x", "\\x00", "\\x5c78"],
    ),
    Case(
        SqlType("varbinary", -1),
        Info(type_id=t.BIGVARBINARY, length=t.MAX_LENGTH),
        [b"", BIG],
        ["\\x", "\\x" + BIG.hex()],
    ),
    Case(SqlType("image", 16), Info(type_id=t.IMAGE, length=0x7FFFFFFF, table=("T",)), [b"\1\2"], ["\\x0102"]),
    Case(SqlType("timestamp", 8), Info(type_id=t.BIGBINARY, length=8), [bytes(7) + b"\1"], ["\\x0000000000000001"]),
    Case(
        SqlType("xml", -1),
        Info(type_id=t.NVARCHAR, length=t.MAX_LENGTH, collation=LATIN1),
        ["<a>é</a>", ""],
        ["<a>é</a>", ""],
        (Info(type_id=t.XML), ["\ufeff<a>é</a>", ""]),
    ),
]
ID = Info(type_id=t.INTN, length=4, name="id")


def answer_of(case: Case) -> Any:
    """Rows 0, 1, 2 ... with a case's values and, last, NULL; in the driver's form when the statement is its own."""
    kind = map_type(Column("c", case.type))
    helped = kind.driver_select.format(c="[c]")

    def answer(sql: str) -> Iterator[bytes]:
        info, values = case.info, case.values
        if case.driver is not None and f"[id], {helped}\n" in sql:
            info, values = case.driver
        infos = [ID, replace(info, name="c")]
        if "AS varbinary(" in sql:  # the driver reader looks closer at what shows U+FFFD
            infos[1] = Info(type_id=t.BIGVARBINARY, length=t.MAX_LENGTH, name="c")
            values = [None if value is None else value.encode("utf-16-le") for value in values]
        yield columns(*infos)
        for number, value in enumerate([*values, None]):
            yield row(infos, (number, value))
        yield DONE

    return answer


def table_of(case: Case) -> MappedTable:
    source = (Column("id", SqlType("int", 4), nullable=False), Column("c", case.type))
    targets = []
    for column in source:
        kind = map_type(column)
        targets.append(
            MappedColumn(column, column.name, kind.pg_type, kind.encoding, kind.driver_select, kind.wire_select)
        )
    key = Key("pk", (KeyColumn("id"),), primary=True)
    return MappedTable(Table("dbo", "T", source, primary_key=key), "public", "t", tuple(targets), range_key=key)


def data_of(reader: Reader, request: ReadRequest) -> bytes:
    try:
        return b"".join(bytes(chunk.data) for chunk in reader.chunks(request))
    finally:
        reader.close()


def shown(postgres: psycopg.Connection[Any], pg_type: str, data: bytes, copy_format: str) -> list[str | None]:
    """What PostgreSQL shows of a column of that type after the COPY."""
    postgres.execute("SET timezone = 'UTC'")
    postgres.execute(f"CREATE TEMP TABLE t (id integer, c {pg_type})")
    copy_into(postgres, "t", data, copy_format)
    # A cast to text drops the trailing blanks of a char: rpad brings them back.
    shape = f"rpad(c::text, {pg_type[5:-1]}, ' ')" if pg_type.startswith("char(") else "c::text"
    rows = postgres.execute(f"SELECT {shape} FROM t ORDER BY id").fetchall()
    postgres.execute("DROP TABLE t")
    return [found for (found,) in rows]


@pytest.fixture
def postgres(pg: PgServer) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(pg.conninfo(), autocommit=True) as connection:
        yield connection


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.type).replace("(", "_").rstrip(")"))
def test_values_arrive_exactly(case: Case, postgres: psycopg.Connection[Any]) -> None:
    request = ReadRequest(table=table_of(case), range=KeyRange(0))
    pg_type = request.table.columns[1].pg_type
    with ScriptedServer(answer_of(case)) as server:
        binary = data_of(DriverReader(server.settings()), request)
        text = data_of(DriverReader(server.settings()), replace(request, copy_format="text"))
        wire = data_of(WireReader(server.settings()), request) if unavailable() is None else None
    assert shown(postgres, pg_type, binary, "binary") == [*case.texts, None]
    assert shown(postgres, pg_type, text, "text") == [*case.texts, None]
    if wire is not None:
        assert wire == binary


def test_bytes_that_a_code_page_leaves_undefined_are_kept(postgres: psycopg.Connection[Any]) -> None:
    """The server converts them for the driver; the driver alone would make question marks of them."""
    case = Case(
        SqlType("varchar", 5, collation="SQL_Latin1_General_CP1_CI_AS", code_page=1252),
        Info(type_id=t.BIGVARCHAR, length=5, collation=LATIN1),
        [Raw(b"\x05\0\x81\x8d\x90\x9d\xc3")],
        ["\x81\x8d\x90\x9dÃ"],
        (Info(type_id=t.NVARCHAR, length=10, collation=LATIN1), ["\x81\x8d\x90\x9dÃ"]),
    )
    request = ReadRequest(table=table_of(case), range=KeyRange(0))
    with ScriptedServer(answer_of(case)) as server:
        data = data_of(DriverReader(server.settings()), request)
    assert shown(postgres, "varchar(5)", data, "binary") == [*case.texts, None]
