"""The driver reader against answers written token by token: what goes wrong on the way, and what must not change."""

from __future__ import annotations

import dataclasses
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from mssql_pg_migrate.errors import DataError, TransferError, TransientError
from mssql_pg_migrate.mapping.objects import MappedTable
from mssql_pg_migrate.mapping.types import MappedColumn, map_type
from mssql_pg_migrate.model import Column, Key, KeyColumn, KeyRange, SqlType, Table
from mssql_pg_migrate.source.reader import Chunk, ReadRequest
from mssql_pg_migrate.source.sqlserver.driver import DriverReader
from mssql_pg_migrate.tds import types as t
from mssql_pg_migrate.tds.metadata import ColumnMetadata
from scripted import DONE, FAILED, Drop, ScriptedServer, columns, error, row
from servers import MssqlDatabase
from source_tools import fields, settings_of, tables_of

COLLATION = bytes.fromhex("0904d00034")
ID = ColumnMetadata(type_id=t.INTN, length=4, name="id")
TEXT = ColumnMetadata(type_id=t.NVARCHAR, length=80, collation=COLLATION, name="s")
LONG_TEXT = dataclasses.replace(TEXT, length=t.MAX_LENGTH)
BYTES = ColumnMetadata(type_id=t.BIGVARBINARY, length=80, name="s")

INT = Column("id", SqlType("int", max_length=4), nullable=False)
NVARCHAR = Column("s", SqlType("nvarchar", max_length=80))
NVARCHAR_MAX = Column("s", SqlType("nvarchar", max_length=-1))
DEADLOCK = error(
    1205,
    "Transaction (Process ID 52) was deadlocked on lock resources with another process and has been chosen as the"
    " deadlock victim. Rerun the transaction.",
    13,
)


def mapped(*source: Column, key: str | None = "id") -> MappedTable:
    targets = []
    for column in source:
        kind = map_type(column)
        targets.append(
            MappedColumn(column, column.name, kind.pg_type, kind.encoding, kind.driver_select, kind.wire_select)
        )
    by = Key("pk", (KeyColumn(key),), primary=True, clustered=True) if key else None
    return MappedTable(Table("dbo", "T", source, primary_key=by), "public", "t", tuple(targets), range_key=by)


def request(table: MappedTable, **more: Any) -> ReadRequest:
    return ReadRequest(table=table, range=KeyRange(0), **more)


def read(server: ScriptedServer, asked: ReadRequest) -> list[Chunk]:
    reader = DriverReader(server.settings())
    try:
        return list(reader.chunks(asked))
    finally:
        reader.close()


def numbered(count: int, info: ColumnMetadata = TEXT, text: str = "x") -> Iterator[bytes]:
    yield columns(ID, info)
    for number in range(count):
        yield row([ID, info], (number, f"{text}{number}"))


# --- failures of the server and the network ---------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [0, 1, 64, 1500])
def test_an_error_after_rows_is_never_taken_for_the_end(rows: int) -> None:
    def answer(_sql: str) -> Iterator[bytes]:
        yield from numbered(rows)
        yield DEADLOCK + FAILED

    with ScriptedServer(answer) as server, pytest.raises(TransientError) as caught:
        read(server, request(mapped(INT, NVARCHAR)))
    assert (caught.value.code, caught.value.table, caught.value.side) == ("1205", "dbo.T", "source")


def test_a_lasting_error_is_not_retryable_and_leaves_the_connection_usable() -> None:
    def answer(sql: str) -> Iterator[bytes]:
        if "TOP (1)" in sql:
            yield from numbered(1)
            yield DONE
        else:
            yield error(8134, "Divide by zero error encountered.") + FAILED

    with ScriptedServer(answer) as server:
        reader = DriverReader(server.settings())
        with pytest.raises(TransferError, match="Divide by zero") as caught:
            list(reader.chunks(request(mapped(INT, NVARCHAR))))
        assert not caught.value.retryable
        assert reader.usable
        assert sum(chunk.rows for chunk in reader.chunks(request(mapped(INT, NVARCHAR), limit=1))) == 1
        reader.close()
        assert not reader.usable


@pytest.mark.parametrize("info", [TEXT, LONG_TEXT], ids=["short", "max"])
def test_a_connection_that_dies_in_the_middle_is_transient(info: ColumnMetadata) -> None:
    def answer(_sql: str) -> Iterator[bytes]:
        yield from numbered(5000, info)
        raise Drop

    column = NVARCHAR if info is TEXT else NVARCHAR_MAX
    with ScriptedServer(answer) as server:
        reader = DriverReader(server.settings())
        arrived = 0
        with pytest.raises(TransientError):  # noqa: PT012 - the loop is what is tested
            for chunk in reader.chunks(request(mapped(INT, column), chunk_rows=500)):
                arrived += chunk.rows
                assert chunk.last_key == (str(arrived - 1),)
        assert arrived < 5000
        assert not reader.usable
        reader.close()


def test_cancel_ends_a_server_that_does_not_answer() -> None:
    def answer(_sql: str) -> Iterator[bytes]:
        yield from numbered(100)
        time.sleep(30)
        yield DONE

    with ScriptedServer(answer) as server:
        reader = DriverReader(server.settings())
        timer = threading.Timer(0.5, reader.cancel)
        timer.start()
        start = time.monotonic()
        # The server is asleep, so not even the cancellation is acknowledged: it answers once it is killed.
        killer = threading.Timer(1.5, server.stop)
        killer.start()
        with pytest.raises(TransientError):
            list(reader.chunks(request(mapped(INT, NVARCHAR))))
        assert time.monotonic() - start < 10
        timer.join()
        killer.join()
        reader.close()


def test_a_reader_closed_early_stops_the_server_and_goes_on() -> None:
    def answer(sql: str) -> Iterator[bytes]:
        yield from numbered(20 if "TOP" in sql else 2_000_000)
        yield DONE

    with ScriptedServer(answer) as server:
        reader = DriverReader(server.settings())
        chunks = reader.chunks(request(mapped(INT, NVARCHAR), chunk_rows=100))
        assert next(chunks).rows == 100
        chunks.close()
        assert "ATTENTION" in server.heard
        assert reader.usable
        assert sum(chunk.rows for chunk in reader.chunks(request(mapped(INT, NVARCHAR), limit=20))) == 20
        reader.close()


# --- chunks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("info", [TEXT, LONG_TEXT], ids=["short", "max"])
def test_chunks_end_at_their_limits_and_carry_their_last_key(info: ColumnMetadata) -> None:
    def answer(_sql: str) -> Iterator[bytes]:
        yield from numbered(10_001, info)
        yield DONE

    column = NVARCHAR if info is TEXT else NVARCHAR_MAX
    with ScriptedServer(answer) as server:
        by_rows = read(server, request(mapped(INT, column), chunk_rows=3000))
        by_size = read(server, request(mapped(INT, column), chunk_bytes=20_000))
    assert [chunk.rows for chunk in by_rows] == [3000, 3000, 3000, 1001]
    assert [chunk.last_key for chunk in by_rows] == [("2999",), ("5999",), ("8999",), ("10000",)]
    wanted = [(struct.pack(">i", number), f"x{number}".encode()) for number in range(10_001)]
    assert fields(by_rows) == wanted
    assert fields(by_size) == wanted
    # A first fetch, before the size of rows is known, may exceed the limit; later ones keep to it closely.
    assert max(len(chunk.data) for chunk in by_size[1:]) < 22_000
    assert len(by_size) > 8


def test_one_row_larger_than_the_limit_still_passes() -> None:
    big = "y" * 300_000

    def answer(_sql: str) -> Iterator[bytes]:
        yield columns(ID, LONG_TEXT)
        for number in range(20):
            yield row([ID, LONG_TEXT], (number, big))
        yield DONE

    with ScriptedServer(answer) as server:
        chunks = read(server, request(mapped(INT, NVARCHAR_MAX), chunk_bytes=1000))
    assert sum(chunk.rows for chunk in chunks) == 20
    assert all(chunk.rows == 1 for chunk in chunks[1:])
    assert fields(chunks) == [(struct.pack(">i", number), big.encode()) for number in range(20)]


def test_an_empty_table_has_no_chunks() -> None:
    def answer(_sql: str) -> Iterator[bytes]:
        yield columns(ID, TEXT) + DONE

    with ScriptedServer(answer) as server:
        assert read(server, request(mapped(INT, NVARCHAR))) == []
        assert "ORDER BY [id]" in server.heard[-1]


def test_text_copy_gives_lines() -> None:
    def answer(_sql: str) -> Iterator[bytes]:
        yield columns(ID, TEXT)
        yield row([ID, TEXT], (1, "a\tb\\")) + row([ID, TEXT], (2, None)) + DONE

    with ScriptedServer(answer) as server:
        (chunk,) = read(server, request(mapped(INT, NVARCHAR), copy_format="text"))
    assert bytes(chunk.data) == b"1\ta\\tb\\\\\n2\t\\N\n"


def test_a_key_of_100_nanoseconds_comes_back_whole() -> None:
    moment = Column("at", SqlType("datetime2", max_length=8, scale=7), nullable=False)
    info = ColumnMetadata(type_id=t.DATETIME2N, scale=7, name="at")
    last = 3_652_059 * 864_000_000_000 - 1

    def answer(_sql: str) -> Iterator[bytes]:
        yield columns(info, ID)
        yield row([info, ID], (last, 999_999_900)) + DONE

    with ScriptedServer(answer) as server:
        (chunk,) = read(server, request(mapped(moment, key="at")))
    assert chunk.last_key == ("9999-12-31T23:59:59.9999999",)
    cut = struct.pack(">q", (last // 10) - 730_119 * 86_400_000_000)
    assert fields([chunk]) == [(cut,)]


# --- text that PostgreSQL cannot hold ---------------------------------------------------------------------------------


def test_nul_characters_are_refused_by_name_or_stripped() -> None:
    def answer(_sql: str) -> Iterator[bytes]:
        yield from numbered(100)
        yield row([ID, TEXT], (100, "a\0b\0")) + row([ID, TEXT], (101, None)) + DONE

    table = mapped(INT, NVARCHAR)
    with ScriptedServer(answer) as server:
        with pytest.raises(DataError) as caught:
            read(server, request(table))
        stripped = fields(read(server, request(table, on_nul="strip")))
    found = caught.value
    assert (found.table, found.column, found.key) == ("dbo.T", "s", "id=100")
    assert "U+0000" in str(found)
    assert stripped[100:] == [(struct.pack(">i", 100), b"ab"), (struct.pack(">i", 101), None)]


def test_a_value_in_a_table_without_a_key_is_named_by_its_row() -> None:
    def answer(_sql: str) -> Iterator[bytes]:
        yield from numbered(3000)
        yield row([ID, TEXT], (3000, "a\0b")) + DONE

    with ScriptedServer(answer) as server, pytest.raises(DataError) as caught:
        read(server, request(mapped(INT, NVARCHAR, key=None)))
    assert "dbo.T.s in row 3001 as read holds the character U+0000" in str(caught.value)
    assert (caught.value.column, caught.value.key) == ("s", "row 3001 as read")


def test_a_value_that_does_not_fit_its_column_is_named_with_its_row() -> None:
    """The column was an int when the run was planned as smallint."""

    def answer(_sql: str) -> Iterator[bytes]:
        infos = [ID, dataclasses.replace(ID, name="n")]
        yield columns(*infos)
        for number in range(5):
            yield row(infos, (number, 40_000 if number == 3 else number))
        yield DONE

    table = mapped(INT, Column("n", SqlType("smallint", max_length=2), nullable=True))
    with ScriptedServer(answer) as server, pytest.raises(DataError) as caught:
        read(server, request(table))
    assert (caught.value.table, caught.value.column, caught.value.key) == ("dbo.T", "n", "id=3")
    assert "smallint" in str(caught.value)


def utf16(text: str) -> bytes:
    return text.encode("utf-16-le", "surrogatepass")


def replaying(texts: list[str | None]) -> Any:
    """Answers for a table of these texts by id: as text, or as UTF-16 bytes where the statement casts to varbinary."""

    def answer(sql: str) -> Iterator[bytes]:
        raw = "varbinary" in sql
        infos = [ID, BYTES if raw else TEXT]
        start = int(sql.split("[id] > ")[1].split()[0]) + 1 if "[id] > " in sql else 0
        yield columns(*infos)
        for number in range(start, len(texts)):
            value: Any = texts[number]
            yield row(infos, (number, utf16(value) if raw and value is not None else value))
        yield DONE

    return answer


def test_a_lone_surrogate_is_refused_with_its_key_though_the_driver_hides_it() -> None:
    texts: list[str | None] = [f"t{number}" for number in range(3000)]
    texts[2500] = "x\ud83dy"
    with ScriptedServer(replaying(texts)) as server, pytest.raises(DataError) as caught:
        read(server, request(mapped(INT, NVARCHAR), chunk_rows=1000))
    assert (caught.value.column, caught.value.key) == ("s", "id=2500")
    assert "surrogate" in str(caught.value)


def test_true_replacement_characters_pass_and_no_row_is_lost_or_repeated() -> None:
    texts: list[str | None] = [f"t{number} 😀" for number in range(4000)]
    texts[10] = texts[2500] = texts[3999] = "true \ufffd one"
    texts[2501] = None
    with ScriptedServer(replaying(texts)) as server:
        chunks = read(server, request(mapped(INT, NVARCHAR), chunk_rows=700))
        asked = server.heard
    assert fields(chunks) == [(struct.pack(">i", number), text and text.encode()) for number, text in enumerate(texts)]
    statements = [sql for sql in asked if sql.startswith("SELECT")]
    assert len(statements) == 2
    assert "CAST([s] AS varbinary(80))" in statements[1]


@pytest.mark.parametrize(("true", "fails"), [(2, False), (1, True)])
def test_without_a_key_the_server_counts_true_replacement_characters(true: int, fails: bool) -> None:
    count = ColumnMetadata(type_id=t.INTN, length=8, name="found")

    def answer(sql: str) -> Iterator[bytes]:
        if "REPLACE" in sql:
            yield columns(count) + row([count], (true,)) + DONE
            return
        yield columns(ID, TEXT)
        for number, text in enumerate(["a", "\ufffd", None, "b\ud800" if fails else "\ufffdb"]):
            yield row([ID, TEXT], (number, text))
        yield DONE

    with ScriptedServer(answer) as server:
        asked = request(mapped(INT, NVARCHAR, key=None))
        if fails:
            with pytest.raises(DataError, match=r"dbo\.T\.s .* about 1 lone"):
                read(server, asked)
        else:
            assert len(fields(read(server, asked))) == 4


def test_without_a_key_a_true_replacement_character_hides_no_lone_surrogate(source_db: MssqlDatabase) -> None:
    source_db.execute_script(
        "CREATE TABLE dbo.Good (v nvarchar(max) NULL)\nCREATE TABLE dbo.Bad (v nvarchar(max) NULL)\nGO\n"
        "INSERT INTO dbo.Good VALUES (CAST(0xFDFF6100FDFF AS nvarchar(max))), (NULL), (N'x'), (NCHAR(65533))\n"
        "INSERT INTO dbo.Bad VALUES (CAST(0xFDFF610000D8 AS nvarchar(max))), (N'x')"
    )
    tables = tables_of(source_db)
    reader = DriverReader(settings_of(source_db))
    try:
        good = fields(reader.chunks(ReadRequest(table=tables["dbo.Good"], range=KeyRange(0))))
        assert good == [("\ufffda\ufffd".encode(),), (None,), (b"x",), ("\ufffd".encode(),)]
        with pytest.raises(DataError, match=r"dbo\.Bad\.v .* about 1 lone surrogates"):
            list(reader.chunks(ReadRequest(table=tables["dbo.Bad"], range=KeyRange(0))))
    finally:
        reader.close()
