"""The two readers against each other: same rows, same COPY bytes, same keys.

The rows come from a scripted TDS server, so every wire form of every type is there, fixed-length and nullable;
Microsoft's driver is the oracle.
"""

from __future__ import annotations

import pickle
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernel_cases import CASES
from kernel_oracle import Col
from kernel_results import results
from mssql_pg_migrate import _kernel
from mssql_pg_migrate.mapping.objects import MappedTable
from mssql_pg_migrate.mapping.types import MappedColumn, map_type
from mssql_pg_migrate.model import Column, Key, KeyColumn, KeyRange, SqlType, Table
from mssql_pg_migrate.source.reader import Reader, ReadRequest
from mssql_pg_migrate.source.sqlserver.driver import DriverReader
from mssql_pg_migrate.source.sqlserver.proof import prove
from mssql_pg_migrate.source.sqlserver.wire import WireReader
from mssql_pg_migrate.tds import types as t
from mssql_pg_migrate.tds.collations import Collation
from mssql_pg_migrate.tds.metadata import ColumnMetadata, TypeInfo, encode_colmetadata
from mssql_pg_migrate.tds.tokens import CMD_SELECT, DONE_COUNT, Done
from mssql_pg_migrate.tds.values import encode_value
from scripted import ScriptedServer

pytestmark = pytest.mark.skipif(_kernel.unavailable() is not None, reason="the transcoder is not built")

_INTS = {1: "tinyint", 2: "smallint", 4: "int", 8: "bigint"}
_FIXED = {
    t.BIT: "bit",
    t.BITN: "bit",
    t.INT1: "tinyint",
    t.INT2: "smallint",
    t.INT4: "int",
    t.INT8: "bigint",
    t.FLOAT4: "real",
    t.FLOAT8: "float",
    t.MONEY: "money",
    t.MONEY4: "smallmoney",
    t.DATETIME: "datetime",
    t.DATETIME4: "smalldatetime",
    t.GUID: "uniqueidentifier",
    t.DATEN: "date",
    t.IMAGE: "image",
    t.TEXT: "text",
    t.NTEXT: "ntext",
    t.XML: "xml",
}
_SIZED = {
    t.INTN: _INTS,
    t.FLOATN: {4: "real", 8: "float"},
    t.MONEYN: {4: "smallmoney", 8: "money"},
    t.DATETIMEN: {4: "smalldatetime", 8: "datetime"},
}
_STRINGS = {
    t.BIGCHAR: "char",
    t.BIGVARCHAR: "varchar",
    t.NCHAR: "nchar",
    t.NVARCHAR: "nvarchar",
    t.BIGBINARY: "binary",
    t.BIGVARBINARY: "varbinary",
}
_SCALED = {t.TIMEN: "time", t.DATETIME2N: "datetime2", t.DATETIMEOFFSETN: "datetimeoffset"}


def declared(info: TypeInfo) -> SqlType | None:
    """The column type that arrives as this; None for those that SQL Server 2022 does not have."""
    kind = info.type_id
    page = Collation.decode(info.collation).code_page if info.collation else None
    if kind in t.DECIMALS:
        return SqlType("decimal", precision=info.precision, scale=info.scale)
    if kind in _STRINGS:
        length = -1 if info.length == t.MAX_LENGTH else info.length
        return SqlType(_STRINGS[kind], max_length=length, code_page=page)
    if kind in _SCALED:
        return SqlType(_SCALED[kind], scale=info.scale)
    if kind in _SIZED:
        return SqlType(_SIZED[kind][info.length])
    return SqlType(_FIXED[kind], code_page=page) if kind in _FIXED else None


@dataclass
class Stored:
    """A table of the scripted server."""

    infos: list[tuple[str, TypeInfo]]
    rows: list[list[Any]]


def answer(folder: Path, sql: str) -> Iterator[bytes]:
    """A SELECT of all columns of a stored table, with the conversions that the driver's variant asks for."""
    name = re.search(r"FROM \[dbo\]\.\[(\w+)\]", sql)
    assert name is not None, sql
    stored: Stored = pickle.loads((folder / name[1]).read_bytes())
    infos, take = [], []
    for position, (column, info) in enumerate(stored.infos):
        as_bytes = f"CAST([{column}] AS binary(16))" in sql
        kind = TypeInfo(type_id=t.BIGBINARY, length=16) if as_bytes else info
        as_text = re.search(rf"CAST\(\[{column}\] AS nvarchar\((max|\d+)\)\)", sql)
        if as_text is not None:
            length = t.MAX_LENGTH if as_text[1] == "max" else int(as_text[1]) * 2
            kind = TypeInfo(type_id=t.NVARCHAR, length=length, collation=bytes.fromhex("0904d00034"))
        infos.append((column, kind))
        take.append((position, (lambda v: v.bytes_le) if as_bytes else (lambda v: v)))
    for position, (column, _) in enumerate(stored.infos):
        if f"DATEPART(nanosecond, [{column}])" in sql:
            infos.append(("", TypeInfo(type_id=t.INTN, length=4)))
            take.append((position, lambda v: (v[0] if isinstance(v, tuple) else v) % 10_000_000 * 100))
    yield encode_colmetadata(
        [
            ColumnMetadata(
                type_id=info.type_id,
                length=info.length or (17 if info.type_id in t.DECIMALS else 0),
                precision=info.precision,
                scale=info.scale,
                collation=info.collation,
                name=column,
            )
            for column, info in infos
        ]
    )
    top = re.match(r"SELECT TOP \((\d+)\)", sql)
    rows = stored.rows[: int(top[1])] if top else stored.rows
    for values in rows:
        parts = [b"\xd1"]
        for (_, info), (position, change) in zip(infos, take, strict=True):
            value = values[position]
            parts.append(encode_value(info, None if value is None else change(value)))
        yield b"".join(parts)
    yield Done(DONE_COUNT, CMD_SELECT, len(rows)).encode()


class Pair:
    """Both readers on one server, and a way to give it tables."""

    def __init__(self, folder: Path, server: ScriptedServer) -> None:
        self._folder = folder
        self._server = server
        self._readers: dict[str, Reader] = {
            "driver": DriverReader(server.settings()),
            "wire": WireReader(server.settings()),
        }

    def close(self) -> None:
        for reader in self._readers.values():
            reader.close()

    @contextmanager
    def use(self, kind: str) -> Iterator[Reader]:
        """A reader for the length of a with, as the run's pool hands it out."""
        yield self._readers[kind]

    def store(self, columns: list[tuple[str, TypeInfo]], rows: list[list[Any]], key: str | None) -> MappedTable:
        """A table of the server, mapped as a run would map it."""
        name = f"T{uuid.uuid4().hex}"
        (self._folder / name).write_bytes(pickle.dumps(Stored(columns, rows)))
        source, targets = [], []
        for column_name, info in columns:
            sql_type = declared(info)
            assert sql_type is not None
            column = Column(column_name, sql_type, nullable=column_name != key)
            kind = map_type(column)
            source.append(column)
            targets.append(
                MappedColumn(column, column_name, kind.pg_type, kind.encoding, kind.driver_select, kind.wire_select)
            )
        by = Key("pk", (KeyColumn(key),), primary=True) if key else None
        table = Table("dbo", name, tuple(source), primary_key=by)
        return MappedTable(table, "public", name, tuple(targets), range_key=by)

    def read(self, kind: str, table: MappedTable, rows: int) -> tuple[bytes, list[Any]]:
        """The bytes and the keys at the end of each chunk of that many rows."""
        data, keys = [], []
        request = ReadRequest(table=table, range=KeyRange(0), chunk_rows=rows)
        for chunk in self._readers[kind].chunks(request):
            data.append(bytes(chunk.data))
            keys.append((chunk.rows, chunk.last_key))
        assert self._server.heard, "its log is a pipe, which must be emptied"
        return b"".join(data), keys

    def compare(self, table: MappedTable) -> None:
        """Whole and in chunks, with the keys of all chunks."""
        expected, expected_keys = self.read("driver", table, 50_000)
        assert self.read("wire", table, 50_000) == (expected, expected_keys)
        assert self.read("wire", table, 1)[0] == expected


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("tables")
    with ScriptedServer(lambda sql: answer(folder, sql)) as server:
        both = Pair(folder, server)
        yield both
        both.close()


def natural(column: Col) -> bool:
    """Whether the transcoder's test case is what a run would do with the type."""
    sql_type = declared(column.info)
    return sql_type is not None and map_type(Column("c", sql_type)).encoding == column.encoding


KEY = ("Id", TypeInfo(type_id=t.INT4, length=4))
TYPED = [case for case in CASES if natural(case[1])]


@pytest.mark.parametrize(("column", "values"), [case[1:] for case in TYPED], ids=[case[0] for case in TYPED])
def test_every_type_at_its_edges(pair: Pair, column: Col, values: list[Any]) -> None:
    """Including NULL, the extremes, and values that only differ in the last digit."""
    rows = [[number, value] for number, value in enumerate(values)]
    pair.compare(pair.store([KEY, ("c", column.info)], rows, "Id"))


KEYED = [
    case
    for case in TYPED
    if case[1].info.type_id not in (t.FLOAT4, t.FLOAT8, t.FLOATN, t.IMAGE, t.TEXT, t.NTEXT, t.XML)
    and not case[1].info.is_plp
]


@pytest.mark.parametrize(("column", "values"), [case[1:] for case in KEYED], ids=[case[0] for case in KEYED])
def test_every_type_as_a_key(pair: Pair, column: Col, values: list[Any]) -> None:
    """The exact text of each key, from which a resume would go on."""
    table = pair.store([("k", column.info)], [], "k")
    for value in values:
        if value is None:
            continue
        table = pair.store([("k", column.info), ("n", KEY[1])], [[value, 1]], "k")
        expected = pair.read("driver", table, 1)
        assert expected[1][0][1] is not None
        assert pair.read("wire", table, 1) == expected


def test_keys_that_are_not_plain_text(pair: Pair) -> None:
    """Lone surrogates cannot be read as a value, but U+0000 stripped, and texts that look like escapes, are keys."""
    info = TypeInfo(type_id=t.NVARCHAR, length=40, collation=bytes.fromhex("0904d00034"))
    for value in ("\\x41", "\\", "a\\x", "trailing  ", "", "日本🚀"):
        table = pair.store([("k", info)], [[value]], "k")
        assert pair.read("wire", table, 1) == pair.read("driver", table, 1)


@settings(
    deadline=None,
    max_examples=80,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)
@given(results(), st.integers(1, 3))
def test_random_schemas_and_values(pair: Pair, result: tuple[list[Col], list[list[Any]], bytes], times: int) -> None:
    """Random columns and rows, also more rows than one fetch of the driver brings."""
    columns, rows, _ = result
    keep = [i for i, column in enumerate(columns) if natural(column)]
    named = [(f"c{i}", columns[i].info) for i in keep]
    table = pair.store(named, [[values[i] for i in keep] for values in rows * times], None)
    expected = pair.read("driver", table, 50_000)
    assert pair.read("wire", table, 50_000) == expected


def test_many_rows(pair: Pair) -> None:
    """More than a packet, a read and a fetch hold."""
    info = TypeInfo(type_id=t.NVARCHAR, length=100, collation=bytes.fromhex("0904d00034"))
    rows = [[number, f"row {number} é" if number % 7 else None] for number in range(20_000)]
    table = pair.store([KEY, ("s", info)], rows, "Id")
    driver, _ = pair.read("driver", table, 50_000)
    wire, keys = pair.read("wire", table, 3000)
    assert driver == wire
    assert [rows for rows, _ in keys] == [3000] * 6 + [2000]
    assert keys[-1] == (2000, ("19999",))


def test_the_proof_holds_and_does_not_hold(pair: Pair) -> None:
    """Equal bytes prove the reader; a type it does not know, or a difference, is told in words."""
    info = TypeInfo(type_id=t.NVARCHAR, length=100, collation=bytes.fromhex("0904d00034"))
    table = pair.store([KEY, ("s", info)], [[1, "a"], [2, None]], "Id")
    assert prove(table, pair.use) is None
    assert prove(table, pair.use, compare=False) is None
    wrong = TypeInfo(type_id=t.BIGVARCHAR, length=10, collation=bytes.fromhex("1904d00000"))
    cyrillic = pair.store([KEY, ("s", wrong)], [[1, "я"]], "Id")
    assert prove(cyrillic, pair.use) is None
    columns = list(cyrillic.columns)
    other = Column("s", SqlType("varchar", max_length=10, code_page=1252))
    columns[1] = MappedColumn(other, "s", "varchar(10)", "text")
    lying = MappedTable(cyrillic.source, "public", "t", tuple(columns), range_key=cyrillic.range_key)
    assert "code page of column s" in (prove(lying, pair.use) or "")


def test_the_proof_stays_small(pair: Pair) -> None:
    """A hundred values of 200 kB: a few are proof enough, and the connections serve on."""
    info = TypeInfo(type_id=t.NVARCHAR, length=t.MAX_LENGTH, collation=bytes.fromhex("0904d00034"))
    table = pair.store([KEY, ("s", info)], [[number, "x" * 200_000] for number in range(100)], "Id")
    assert prove(table, pair.use) is None
    assert prove(table, pair.use, compare=False) is None
    assert pair.read("wire", table, 50)[1] == [(50, ("49",)), (50, ("99",))]
