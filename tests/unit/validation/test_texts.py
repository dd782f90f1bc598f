"""Keys of differing rows as text: the forms of ``source.keys``, from the canonical fields of the digest."""

from __future__ import annotations

import struct
import uuid
from datetime import date, datetime, timedelta

import pytest

from mssql_pg_migrate._kernel._digest import Digest
from mssql_pg_migrate.mapping.types import MappedColumn, map_type
from mssql_pg_migrate.model import Column, SqlType
from mssql_pg_migrate.validation.kinds import Kind, Role
from mssql_pg_migrate.validation.texts import LabelField, label_text

KEY = bytes(range(40))


def mapped(name: str, sql_type: SqlType) -> MappedColumn:
    column = Column(name=name, type=sql_type)
    rule = map_type(column)
    return MappedColumn(source=column, name=name, pg_type=rule.pg_type, encoding=rule.encoding)


def numeric(weight: int, sign: int, scale: int, *groups: int) -> bytes:
    return struct.pack(f">HhHH{len(groups)}H", len(groups), weight, sign, scale, *groups)


def listed(fields: list[tuple[MappedColumn, Kind, bytes | None]], role: Role) -> str:
    """Through the digest, as it lists them."""
    digest = Digest(bytes(kind for _, kind, _ in fields), bytes([role] * len(fields)), KEY, 0)
    digest.select(b"\1")
    data = struct.pack(">h", len(fields))
    for _, _, value in fields:
        data += b"\xff" * 4 if value is None else struct.pack(">i", len(value)) + value
    digest.update(data)
    (record,) = digest.take()
    labels = [LabelField(column, kind, cut=role is Role.LABEL) for column, kind, _ in fields]
    return label_text(record[4:-16], labels)


DAYS = (date(1996, 2, 29) - date(2000, 1, 1)).days
MICROSECONDS = (datetime(1996, 2, 29, 23, 59, 59, 123456) - datetime(2000, 1, 1)) // timedelta(microseconds=1)


@pytest.mark.parametrize("role", [Role.KEY, Role.LABEL])
@pytest.mark.parametrize(
    ("sql_type", "kind", "value", "text"),
    [
        (SqlType("int", 4), Kind.RAW, struct.pack(">i", -5), "-5"),
        (SqlType("int", 4), Kind.INTEGER, struct.pack(">i", -5), "-5"),
        (SqlType("bigint", 8), Kind.INT_NUMERIC, struct.pack(">q", -(2**63)), "-9223372036854775808"),
        (SqlType("tinyint", 1), Kind.INT_NUMERIC, struct.pack(">h", 0), "0"),
        (SqlType("int", 4), Kind.INT_NUMERIC, struct.pack(">i", 120_000_000), "120000000"),
        (SqlType("bit", 1), Kind.RAW, b"\1", "1"),
        (SqlType("decimal", 9, 10, 3), Kind.NUMERIC, numeric(0, 0x4000, 3, 12, 5000), "-12.500"),
        (SqlType("decimal", 9, 10, 0), Kind.NUMERIC, numeric(2, 0, 0, 7), "700000000"),
        (SqlType("decimal", 17, 38, 10), Kind.NUMERIC, numeric(-2, 0, 10, 12), "0.0000001200"),
        (SqlType("money", 8, 19, 4), Kind.NUMERIC, numeric(0, 0, 4), "0.0000"),
        (SqlType("decimal", 9, 10, 1), Kind.NUMERIC, numeric(0, 0, 3, 1, 2340), "1.2340"),
        (SqlType("decimal", 9, 10, 1), Kind.NUMERIC, numeric(0, 0xC000, 0), "NaN"),
        (SqlType("float", 8), Kind.FLOAT, struct.pack(">f", 0.5), "0.5"),
        (SqlType("real", 4), Kind.RAW, struct.pack(">f", 0.5), "0.5"),
        (SqlType("nvarchar", 40), Kind.RAW, "Žluťoučký".encode(), "Žluťoučký"),
        (SqlType("nchar", 40), Kind.TRIMMED, b"ab  ", "ab"),
        (SqlType("varbinary", 40), Kind.RAW, b"\0\xab", "0x00AB"),
        (
            SqlType("uniqueidentifier", 16),
            Kind.RAW,
            uuid.UUID("6f9619ff-8b86-d011-b42d-00c04fc964ff").bytes,
            "6F9619FF-8B86-D011-B42D-00C04FC964FF",
        ),
        (SqlType("date", 3), Kind.RAW, struct.pack(">i", DAYS), "1996-02-29"),
        (SqlType("time", 5, 16, 7), Kind.RAW, struct.pack(">q", 86_399_123_456), "23:59:59.123456"),
        (SqlType("datetime2", 8, 27, 7), Kind.RAW, struct.pack(">q", MICROSECONDS), "1996-02-29T23:59:59.123456"),
        (SqlType("datetime2", 6, 19, 0), Kind.RAW, struct.pack(">q", MICROSECONDS), "1996-02-29T23:59:59"),
        (SqlType("datetime", 8, 23, 3), Kind.RAW, struct.pack(">q", MICROSECONDS), "1996-02-29T23:59:59.123"),
        (
            SqlType("datetimeoffset", 10, 34, 7),
            Kind.RAW,
            struct.pack(">q", MICROSECONDS),
            "1996-02-29T23:59:59.123456+00:00",
        ),
        (SqlType("date", 3), Kind.RAW, struct.pack(">i", 2**31 - 1), "0x7FFFFFFF"),
    ],
)
def test_forms(role: Role, sql_type: SqlType, kind: Kind, value: bytes, text: str) -> None:
    assert listed([(mapped("Id", sql_type), kind, value)], role) == f"Id={text}"


def test_several_columns_and_null() -> None:
    fields = [
        (mapped("a", SqlType("int", 4)), Kind.RAW, struct.pack(">i", 1)),
        (mapped("b", SqlType("nvarchar", 20)), Kind.RAW, None),
        (mapped("c", SqlType("nvarchar", 20)), Kind.RAW, b""),
    ]
    assert listed(fields, Role.KEY) == "a=1, b=NULL, c="


def test_long_values_are_cut() -> None:
    text = mapped("t", SqlType("nvarchar", -1))
    number = mapped("n", SqlType("int", 4))
    fields = [(text, Kind.RAW, "ä".encode() * 500), (number, Kind.RAW, struct.pack(">i", 7))]
    assert listed(fields, Role.LABEL) == f"t={'ä' * 24}..., n=7"
    assert listed(fields, Role.KEY) == f"t={'ä' * 60}..., n=7"
