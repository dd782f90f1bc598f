"""Questions through the tool's own client have the answers that Microsoft's driver gives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mssql_pg_migrate.errors import TransientError
from mssql_pg_migrate.source.sqlserver.catalog import read_catalog
from mssql_pg_migrate.source.sqlserver.classify import describe, to_migration_error
from mssql_pg_migrate.source.sqlserver.tds_connection import TdsConnection
from mssql_pg_migrate.tds.client import Client, ClientSettings, ServerFailure
from servers import MssqlDatabase

QUESTIONS = [
    "SELECT 1 AS a, CAST(2 AS bigint) AS b, CAST(3 AS tinyint) AS c, CAST(NULL AS int) AS d",
    "SELECT CAST(1 AS bit) AS a, CAST(12.5 AS decimal(9,2)) AS b, CAST(-3.1234 AS money) AS c, CAST(0.5 AS real) AS d",
    "SELECT N'žluť 😀' AS a, CAST('é' AS varchar(10)) AS b, CAST(REPLICATE(N'x', 9000) AS nvarchar(max)) AS c",
    "SELECT 0x00FF AS a, CAST(0x01 AS varbinary(max)) AS b",
    "SELECT CAST('2024-02-29' AS date) AS a, CAST('10:11:12.1234567' AS time(7)) AS b",
    "SELECT CAST('2024-02-29T10:11:12.1234567' AS datetime2(7)) AS a",
    "SELECT CAST('1999-12-31T23:59:00' AS smalldatetime) AS a",
    "SELECT CAST('2024-02-29T10:11:12.123+05:30' AS datetimeoffset(3)) AS a",
    "SELECT name, object_id, is_published FROM sys.tables WHERE 1 = 0",
    "DECLARE @n int = 3; SELECT @n AS n; SELECT 2 AS second",
]


@pytest.fixture
def connection(source_db: MssqlDatabase) -> Iterator[TdsConnection]:
    server = source_db.server
    client = Client(
        ClientSettings(
            server.host, source_db.name, server.port, user=server.user, password=server.password,
            encrypt=server.encrypt, trust_server_cert=True,
        )
    )  # fmt: skip
    connection = TdsConnection(client)
    yield connection
    connection.close()


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_drivers_answers(source_db: MssqlDatabase, connection: TdsConnection, question: str) -> None:
    cursor = connection.cursor().execute(question)
    expected = source_db.connect()
    try:
        reference = expected.cursor()
        reference.execute(question)
        rows = [tuple(row) for row in reference.fetchall()]
        assert cursor.description is not None
        assert [column[0] for column in cursor.description] == [column[0] for column in reference.description]
    finally:
        expected.close()
    found = cursor.fetchall()
    assert found == rows
    assert [[type(value) for value in row] for row in found] == [[type(value) for value in row] for row in rows]


def test_the_same_catalog(source_db: MssqlDatabase, connection: TdsConnection) -> None:
    source_db.execute_script(
        "CREATE TABLE dbo.P (id int IDENTITY(5, 2) PRIMARY KEY, name nvarchar(40) NOT NULL DEFAULT N'x', v AS id * 2);"
        " CREATE TABLE dbo.C (id bigint PRIMARY KEY, p int REFERENCES dbo.P, CONSTRAINT ck CHECK (p > 0));"
        " CREATE UNIQUE INDEX ux ON dbo.C (p) WHERE p IS NOT NULL; CREATE SEQUENCE dbo.S START WITH 7;"
    )
    expected = source_db.connect()
    try:
        assert read_catalog(connection) == read_catalog(expected)
    finally:
        expected.close()


def test_statements_without_rows_and_errors(connection: TdsConnection) -> None:
    assert connection.cursor().execute("SET TEXTSIZE 2147483647").description is None
    with pytest.raises(ServerFailure, match="nothing_here") as caught:
        connection.cursor().execute("SELECT * FROM nothing_here")
    assert describe(caught.value).number == 208
    assert connection.cursor().execute("SELECT 5 AS n").fetchone() == (5,)


def test_a_transaction_is_one_session(source_db: MssqlDatabase, connection: TdsConnection) -> None:
    source_db.execute_script("CREATE TABLE dbo.T (id int PRIMARY KEY)")
    connection.cursor().execute("BEGIN TRANSACTION; INSERT INTO dbo.T VALUES (1)")
    assert connection.cursor().execute("SELECT id FROM dbo.T").fetchall() == [(1,)]
    connection.cursor().execute("ROLLBACK")
    assert connection.cursor().execute("SELECT id FROM dbo.T").fetchall() == []


@pytest.mark.sandbox_only
def test_a_connection_cut_in_the_middle(source_db: MssqlDatabase, connection: TdsConnection) -> None:
    sandbox = source_db.server.sandbox
    assert sandbox is not None
    source_db.execute_script("CREATE TABLE dbo.T (id int PRIMARY KEY); INSERT INTO dbo.T VALUES (1), (2), (3)")
    sandbox.faults.drop(table="T", after_rows=1)
    with pytest.raises(OSError) as caught:  # noqa: PT011 - any way in which a socket ends
        connection.cursor().execute("SELECT id FROM dbo.T")
    assert isinstance(to_migration_error(caught.value), TransientError)
