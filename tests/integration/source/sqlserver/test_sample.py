"""Rows from all over a table, for the trial of expressions: few questions, bounded in rows, bytes and time."""

from __future__ import annotations

import struct
import threading
import time

import pytest

from mssql_pg_migrate.errors import TransferError, TransientError
from mssql_pg_migrate.source.reader import tuples
from mssql_pg_migrate.source.sqlserver.session import SqlServerSession
from servers import MssqlDatabase
from source_tools import settings_of, tables_of

TABLES = """
CREATE TABLE dbo.Keyed (Id int NOT NULL PRIMARY KEY, t nvarchar(50) NOT NULL)
CREATE TABLE dbo.Heap (Id int NOT NULL, t nvarchar(50) NULL)
CREATE TABLE dbo.Small (Id int NOT NULL PRIMARY KEY)
CREATE TABLE dbo.Wide (Id int NOT NULL PRIMARY KEY, t nvarchar(max) NOT NULL)
CREATE TABLE dbo.Empty (Id int NOT NULL PRIMARY KEY)
GO
INSERT INTO dbo.Keyed SELECT value, CONCAT(N'row ', value) FROM GENERATE_SERIES(1, 30000)
INSERT INTO dbo.Heap SELECT value, NULL FROM GENERATE_SERIES(1, 30000)
INSERT INTO dbo.Small SELECT value FROM GENERATE_SERIES(1, 50)
INSERT INTO dbo.Wide SELECT value, REPLICATE(CAST(N'x' AS nvarchar(max)), 200000) FROM GENERATE_SERIES(1, 60)
"""


@pytest.fixture
def session(source_db: MssqlDatabase):
    source_db.execute_script(TABLES)
    opened = SqlServerSession(settings_of(source_db))
    yield opened
    opened.close()


def ids(session: SqlServerSession, source: MssqlDatabase, name: str, rows: int = 200) -> list[int]:
    table = tables_of(source)[f"dbo.{name}"]
    data = session.sample(table, rows, on_nul="error", seconds=30)
    return [struct.unpack(">i", fields[0] or b"")[0] for fields in tuples(data)]


@pytest.mark.parametrize("name", ["Keyed", "Heap"])
def test_a_large_table_is_sampled_from_end_to_end(
    name: str, session: SqlServerSession, source_db: MssqlDatabase
) -> None:
    found = ids(session, source_db, name)
    assert 20 <= len(found) <= 200
    assert len(set(found)) == len(found)
    quarters = {(number - 1) // 7500 for number in found}
    assert quarters == {0, 1, 2, 3}
    if name == "Keyed":
        assert found == sorted(found)


def test_a_small_table_is_read_whole(session: SqlServerSession, source_db: MssqlDatabase) -> None:
    assert ids(session, source_db, "Small") == list(range(1, 51))
    assert ids(session, source_db, "Empty") == []


def test_wide_rows_are_few(session: SqlServerSession, source_db: MssqlDatabase) -> None:
    assert 5 <= len(ids(session, source_db, "Wide")) <= 40
    assert session.count(tables_of(source_db)["dbo.Small"]) == 50, "the session answers on"


@pytest.mark.sandbox_only
def test_a_locked_table_is_not_waited_for(session: SqlServerSession, source_db: MssqlDatabase) -> None:
    tables = tables_of(source_db)
    holder = source_db.connect()
    try:
        for statement in ("BEGIN TRAN", "ALTER TABLE dbo.Keyed ADD extra int NULL"):
            holder.cursor().execute(statement).close()
        start = time.monotonic()
        with pytest.raises(TransferError, match="did not come in time") as caught:
            session.sample(tables["dbo.Keyed"], 100, on_nul="error", seconds=1)
        assert time.monotonic() - start < 10
        assert not isinstance(caught.value, TransientError)
        assert session.count(tables["dbo.Small"]) == 50
    finally:
        holder.close()
    assert len(session.sample(tables["dbo.Keyed"], 100, on_nul="error", seconds=30)) > 0


@pytest.mark.sandbox_only
def test_a_stop_ends_it(session: SqlServerSession, source_db: MssqlDatabase) -> None:
    table = tables_of(source_db)["dbo.Keyed"]
    holder = source_db.connect()
    try:
        for statement in ("BEGIN TRAN", "ALTER TABLE dbo.Keyed ADD extra int NULL"):
            holder.cursor().execute(statement).close()
        threading.Timer(0.5, session.cancel).start()
        start = time.monotonic()
        with pytest.raises(TransferError):
            session.sample(table, 100, on_nul="error", seconds=60)
        assert time.monotonic() - start < 20
        assert not session.usable
    finally:
        holder.close()
