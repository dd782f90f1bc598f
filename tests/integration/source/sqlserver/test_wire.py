"""The wire reader on a source server: tables made by T-SQL, found through the catalog, read by both readers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from mssql_pg_migrate import _kernel
from mssql_pg_migrate.errors import ConnectionFailed, TransferError, TransientError
from mssql_pg_migrate.mapping.build import build
from mssql_pg_migrate.mapping.objects import MappedTable
from mssql_pg_migrate.mapping.options import MappingOptions
from mssql_pg_migrate.model import KeyRange, KeyValue
from mssql_pg_migrate.source.reader import Chunk, Reader, ReadRequest
from mssql_pg_migrate.source.settings import SqlServerSettings
from mssql_pg_migrate.source.sqlserver.catalog import read_catalog
from mssql_pg_migrate.source.sqlserver.connect import connect_source
from mssql_pg_migrate.source.sqlserver.driver import DriverReader
from mssql_pg_migrate.source.sqlserver.proof import prove
from mssql_pg_migrate.source.sqlserver.wire import WireReader
from mssql_pg_migrate.target.ddl import create_table
from servers import MssqlDatabase, MssqlServer, PgDatabase

pytestmark = pytest.mark.skipif(_kernel.unavailable() is not None, reason="the transcoder is not built")

SCRIPT = """
CREATE TABLE dbo.Everything (
    Id int NOT NULL PRIMARY KEY,
    a bit NULL, b tinyint NULL, c smallint NULL, d bigint NULL,
    e decimal(38,10) NULL, f numeric(5,2) NULL, g money NULL, h smallmoney NULL,
    i float NULL, j real NULL,
    k char(5) NULL, l varchar(20) NULL, m varchar(max) NULL, n nchar(4) NULL, o nvarchar(20) NULL, p nvarchar(max) NULL,
    q date NULL, r time(3) NULL, s datetime NULL, t smalldatetime NULL, u datetime2(6) NULL, v datetimeoffset(3) NULL,
    w uniqueidentifier NULL, x binary(4) NULL, y varbinary(20) NULL, z varbinary(max) NULL,
    aa xml NULL
);
INSERT INTO dbo.Everything VALUES
(1, 1, 255, -32768, 9223372036854775807, 1234567890123456789012345678.0123456789, -999.99, 922337203685477.5807,
 -214748.3648, 1e300, 1.5, 'ab', N'caf\u00e9', N'\u00e9t\u00e9', N'\u65e5', N'\u65e5\u672c\U0001f680', N'x',
 '9999-12-31', '23:59:59.999', '1753-01-01', '2079-06-06 23:59', '9999-12-31 23:59:59.999999',
 '2024-02-29 12:00:00.123 +05:30', '6F9619FF-8B86-D011-B42D-00C04FC964FF', 0x00ff, 0x, 0x0102, '<a>x</a>'),
(2, 0, 0, 32767, -9223372036854775808, -0.0000000001, 0.01, -0.0001, 0, -0.1, -1e-37, '', '', '', N'', N'', N'',
 '0001-01-01', '00:00', '2010-05-05 10:10:10.007', '1900-01-01', '0001-01-01', '2024-02-29 12:00:00 -12:45',
 '00000000-0000-0000-0000-000000000001', 0x, 0x00ff10, 0x, '<b/>');
INSERT INTO dbo.Everything (Id) VALUES (3);
GO
CREATE TABLE dbo.Composite (
    G uniqueidentifier NOT NULL, S nvarchar(30) NOT NULL, N int NOT NULL, V varchar(10) NULL,
    CONSTRAINT PK_Composite PRIMARY KEY (S, G, N)
);
INSERT INTO dbo.Composite (G, S, N, V)
SELECT CAST(CASE n % 3 WHEN 0 THEN '6F9619FF-8B86-D011-B42D-00C04FC964FF'
                       WHEN 1 THEN '00000000-0000-0000-0000-000000000001'
                       ELSE 'FFFFFFFF-0000-0000-0000-000000000000' END AS uniqueidentifier),
       N'key ' + CAST(n % 5 AS nvarchar(10)), n, 'v'
FROM (VALUES (1),(2),(3),(4),(5),(6),(7),(8),(9),(10),(11),(12),(13),(14),(15),(16),(17),(18),(19),(20)) AS t(n);
GO
CREATE TABLE dbo.Heap (A int NULL, B nvarchar(50) NULL);
INSERT INTO dbo.Heap VALUES (1, N'one'), (2, NULL), (NULL, N'three');
GO
CREATE TABLE dbo.Many (Id int NOT NULL PRIMARY KEY, Body nvarchar(max) NULL);
INSERT INTO dbo.Many
SELECT a.n * 100 + b.n * 10 + c.n, REPLICATE(CAST(N'body \u00e9 ' AS nvarchar(max)), a.n * 40)
FROM (VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)) AS a(n)
CROSS JOIN (VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)) AS b(n)
CROSS JOIN (VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)) AS c(n);
"""


class Source:
    """One database with tables, and the settings to reach it."""

    def __init__(self, database: MssqlDatabase) -> None:
        server = database.server
        self.settings = SqlServerSettings(
            host=server.host,
            port=server.port,
            database=database.name,
            user=server.user,
            password=server.password,
            encrypt=server.encrypt,
            trust_server_cert=True,
        )
        database.execute_script(SCRIPT)
        connection = connect_source(self.settings)
        try:
            catalog = read_catalog(connection, ["dbo"])
        finally:
            connection.close()
        self.tables = {table.source.name: table for table in build(catalog, MappingOptions()).tables}

    @contextmanager
    def use(self, kind: str, **changes: Any) -> Iterator[Reader]:
        """A reader of that kind for the length of a with."""
        settings = replace(self.settings, **changes)
        reader: Reader = WireReader(settings) if kind == "wire" else DriverReader(settings)
        try:
            yield reader
        finally:
            reader.close()

    def read(self, kind: str, name: str, **request: Any) -> list[Chunk]:
        """The chunks of a table."""
        with self.use(kind) as reader:
            return list(reader.chunks(ReadRequest(table=self.tables[name], range=KeyRange(0), **request)))


@pytest.fixture(scope="module")
def source(mssql: MssqlServer) -> Iterator[Source]:
    database = mssql.new_database()
    yield Source(database)
    database.drop()


def data(chunks: list[Chunk]) -> bytes:
    return b"".join(bytes(chunk.data) for chunk in chunks)


@pytest.mark.parametrize("name", ["Everything", "Composite", "Heap", "Many"])
def test_both_readers_see_the_same(source: Source, name: str) -> None:
    """Bytes and last key; and the proof says so."""
    driver, wire = source.read("driver", name), source.read("wire", name)
    assert sum(chunk.rows for chunk in wire) == {"Everything": 3, "Composite": 20, "Heap": 3, "Many": 1000}[name]
    if source.tables[name].range_key is not None:
        assert data(driver) == data(wire)
        assert driver[-1].last_key == wire[-1].last_key
    assert prove(source.tables[name], source.use) is None


def copied(target: PgDatabase, table: MappedTable, chunks: list[Chunk]) -> list[tuple[Any, ...]]:
    """The rows in PostgreSQL after a COPY of the chunks, as text."""
    with psycopg.connect(target.conninfo) as connection, connection.cursor() as cursor:
        cursor.execute(create_table(table))  # type: ignore[arg-type]
        relation = f'"{table.schema}"."{table.name}"'
        names = ", ".join(f'"{column.name}"' for column in table.copied_columns)
        with cursor.copy(f"COPY {relation} ({names}) FROM STDIN (FORMAT BINARY)") as copy:  # type: ignore[arg-type]
            copy.write(b"PGCOPY\n\xff\r\n\x00" + bytes(8))
            for chunk in chunks:
                copy.write(chunk.data)
            copy.write(b"\xff\xff")
        cursor.execute("SET TimeZone = 'UTC'")
        texts = ", ".join(f'"{column.name}"::text' for column in table.copied_columns)
        cursor.execute(f'SELECT {texts} FROM {relation} ORDER BY "Id"')  # type: ignore[arg-type]
        return cursor.fetchall()


def test_postgres_takes_the_bytes(source: Source, target_db: PgDatabase) -> None:
    """What PostgreSQL makes of them is what was inserted."""
    target_db.execute("CREATE SCHEMA IF NOT EXISTS dbo")
    first, second, third = copied(target_db, source.tables["Everything"], source.read("wire", "Everything"))
    assert first == (
        "1", "true", "255", "-32768", "9223372036854775807", "1234567890123456789012345678.0123456789", "-999.99",
        "922337203685477.5807", "-214748.3648", "1e+300", "1.5", "ab", "café", "été", "日", "日本🚀", "x",
        "9999-12-31", "23:59:59.999", "1753-01-01 00:00:00", "2079-06-06 23:59:00", "9999-12-31 23:59:59.999999",
        "2024-02-29 06:30:00.123+00", "6f9619ff-8b86-d011-b42d-00c04fc964ff", "\\x00ff0000", "\\x", "\\x0102",
        "<a>x</a>",
    )  # fmt: skip
    assert second[:12] == (
        "2", "false", "0", "32767", "-9223372036854775808", "-0.0000000001", "0.01", "-0.0001", "0.0000", "-0.1",
        "-1e-37", "",
    )  # fmt: skip
    assert second[17:23] == (
        "0001-01-01", "00:00:00", "2010-05-05 10:10:10.007", "1900-01-01 00:00:00", "0001-01-01 00:00:00",
        "2024-03-01 00:45:00+00",
    )  # fmt: skip
    assert third == ("3", *[None] * (len(third) - 1))


@pytest.mark.parametrize("rows", [1, 3, 7])
def test_a_read_goes_on_after_any_key(source: Source, rows: int) -> None:
    """Stopped after each chunk and begun again behind its key: every row once, in the server's own order."""
    whole = data(source.read("wire", "Composite"))
    parts: list[bytes] = []
    after: KeyValue | None = None
    with source.use("wire") as reader:
        while True:
            request = ReadRequest(
                table=source.tables["Composite"], range=KeyRange(0), after=after, chunk_rows=rows, limit=rows
            )
            chunks = list(reader.chunks(request))
            if not chunks:
                break
            parts += [bytes(chunk.data) for chunk in chunks]
            after = chunks[-1].last_key
    assert len(parts) == -(-20 // rows)
    assert b"".join(parts) == whole


def test_chunks_by_bytes(source: Source) -> None:
    """A chunk ends with the row that fills it."""
    chunks = source.read("wire", "Many", chunk_bytes=20_000)
    assert len(chunks) > 20
    assert all(len(chunk.data) >= 20_000 for chunk in chunks[:-1])
    assert all(len(chunk.data) < 25_000 for chunk in chunks)
    assert data(chunks) == data(source.read("wire", "Many"))


def test_an_encrypted_session(source: Source) -> None:
    """The same bytes through TLS; a certificate nobody vouches for is refused unless the settings say otherwise."""
    with source.use("wire", encrypt=True) as reader:
        chunks = list(reader.chunks(ReadRequest(table=source.tables["Many"], range=KeyRange(0))))
    assert data(chunks) == data(source.read("wire", "Many"))
    with (
        pytest.raises(ConnectionFailed, match="certificate"),
        source.use("wire", encrypt=True, trust_server_cert=False),
    ):
        pass


def test_logins_that_fail(source: Source) -> None:
    """In the same words as the driver's, and for good."""
    with pytest.raises(ConnectionFailed, match="Login failed") as caught, source.use("wire", password="wrong-one"):
        pass
    assert not caught.value.retryable
    assert "wrong-one" not in str(caught.value)
    with pytest.raises(ConnectionFailed, match="cannot be opened"), source.use("wire", database="no_such_database"):
        pass


def test_a_query_abandoned_half_way(source: Source) -> None:
    """The connection serves the next request at once."""
    request = ReadRequest(table=source.tables["Many"], range=KeyRange(0), chunk_rows=10)
    with source.use("wire") as reader:
        for _ in range(3):
            chunks = reader.chunks(request)
            assert next(chunks).rows == 10
            begin = time.monotonic()
            chunks.close()
            assert time.monotonic() - begin < 3
            assert reader.usable
        assert sum(chunk.rows for chunk in reader.chunks(request)) == 1000


def test_a_table_that_is_not_there(source: Source) -> None:
    """The server's error, with the table's name; the connection lives on."""
    table = source.tables["Heap"]
    gone = replace(table, source=replace(table.source, name="Gone"))
    with source.use("wire") as reader:
        with pytest.raises(TransferError, match="Gone") as caught:
            list(reader.chunks(ReadRequest(table=gone, range=KeyRange(0))))
        assert not isinstance(caught.value, TransientError)
        assert reader.usable
        assert len(list(reader.chunks(ReadRequest(table=table, range=KeyRange(0))))) == 1


@pytest.mark.sandbox_only
def test_faults_in_the_middle_of_rows(source: Source, mssql: MssqlServer) -> None:
    """A cut connection, a deadlock, throttling: a TransientError, and the rows before it are good."""
    assert mssql.sandbox is not None
    faults = mssql.sandbox.faults
    request = ReadRequest(table=source.tables["Many"], range=KeyRange(0), chunk_rows=100)
    whole = data(source.read("wire", "Many"))
    for code, inject in (
        (None, lambda: faults.drop(table="Many", after_rows=550)),
        ("1205", lambda: faults.error(1205, table="Many", after_rows=550)),
        ("10929", lambda: faults.error(10929, table="Many", after_rows=550)),
    ):
        inject()
        seen: list[Chunk] = []
        with source.use("wire") as reader, pytest.raises(TransientError) as caught:
            seen.extend(_collect(reader, request, seen))
        assert caught.value.code == code
        assert caught.value.side == "source"
        assert seen
        assert whole.startswith(data(seen))
        assert sum(chunk.rows for chunk in seen) <= 550


def _collect(reader: Reader, request: ReadRequest, into: list[Chunk]) -> list[Chunk]:
    for chunk in reader.chunks(request):
        into.append(chunk)
    return []


@pytest.mark.sandbox_only
def test_cancelling_a_read_that_stalls(source: Source, mssql: MssqlServer) -> None:
    """From another thread, at once."""
    assert mssql.sandbox is not None
    mssql.sandbox.faults.stall(20, table="Many", after_rows=500)
    with source.use("wire") as reader:
        timer = threading.Timer(0.5, reader.cancel)
        timer.start()
        begin = time.monotonic()
        with pytest.raises(TransientError, match="cancelled"):
            list(reader.chunks(ReadRequest(table=source.tables["Many"], range=KeyRange(0))))
        assert time.monotonic() - begin < 5
        timer.join()
        assert not reader.usable


@pytest.mark.sandbox_only
def test_who_is_connected(source: Source, mssql: MssqlServer) -> None:
    """The session shows the application's name; nothing stays behind after close."""
    assert mssql.sandbox is not None
    with source.use("wire", application_name="night run"):
        names = {login["app_name"]: login["connections"] for login in mssql.sandbox.counters()["logins"]}
        assert names["night run"] == 1
    for _ in range(50):
        names = {login["app_name"]: login["connections"] for login in mssql.sandbox.counters()["logins"]}
        if not names["night run"]:
            break
        time.sleep(0.05)
    assert names["night run"] == 0


def test_proof_of_a_table_that_the_wire_reader_cannot_reach(source: Source) -> None:
    """Where only the wire reader has no connection, the driver carries the table and the reason says why."""

    @contextmanager
    def use(kind: str) -> Iterator[Reader]:
        with source.use(kind, **({"password": "wrong"} if kind == "wire" else {})) as reader:
            yield reader

    assert "the wire reader has no connection" in (prove(source.tables["Heap"], use) or "")
    with pytest.raises(ConnectionFailed), suppress(AssertionError):
        prove(source.tables["Heap"], use, compare=False)
