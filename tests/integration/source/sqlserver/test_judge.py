"""The driver in a process of its own: what it reads, what it refuses, how it ends, and what goes on without it."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial

import psutil
import pytest

from hearing import Heard
from mssql_pg_migrate.errors import ConnectionFailed, DataError, MigrationError, TransientError
from mssql_pg_migrate.mapping.objects import MappedTable
from mssql_pg_migrate.model import KeyRange
from mssql_pg_migrate.source.open import watched
from mssql_pg_migrate.source.reader import Reader, ReadRequest
from mssql_pg_migrate.source.sqlserver.driver import DriverReader
from mssql_pg_migrate.source.sqlserver.judge import Judge, JudgeReader
from mssql_pg_migrate.source.sqlserver.source import SqlServerSource
from servers import MssqlDatabase, MssqlServer
from source_tools import settings_of, tables_of

SCRIPT = """
ALTER DATABASE CURRENT SET READ_COMMITTED_SNAPSHOT OFF
GO
CREATE TABLE dbo.a (id int NOT NULL PRIMARY KEY, s nvarchar(40))
GO
INSERT dbo.a VALUES (1, N'one'), (2, NULL), (3, N'three'), (4, N'four'), (5, N'five')
GO
CREATE TABLE dbo.nul (id int NOT NULL PRIMARY KEY, s nvarchar(40))
GO
INSERT dbo.nul VALUES (1, N'fine'), (7, N'a' + NCHAR(0) + N'b')
"""


@pytest.fixture(scope="module")
def database(mssql: MssqlServer) -> Iterator[MssqlDatabase]:
    found = mssql.new_database()
    found.execute_script(SCRIPT)
    yield found
    found.drop()


@pytest.fixture(scope="module")
def tables(database: MssqlDatabase) -> dict[str, MappedTable]:
    return tables_of(database)


def request(table: MappedTable, rows: int = 2) -> ReadRequest:
    return ReadRequest(table=table, range=KeyRange(None, None), chunk_rows=rows)


def read(reader: Reader, asked: ReadRequest) -> list[tuple[bytes, int, object]]:
    return [(bytes(chunk.data), chunk.rows, chunk.last_key) for chunk in reader.chunks(asked)]


def children() -> list[psutil.Process]:
    """Judges among this process's children."""
    found = []
    for child in psutil.Process().children():
        try:
            if any("judge_process" in word for word in child.cmdline()):
                found.append(child)
        except psutil.Error:
            continue
    return found


def until(holds: Callable[[], bool], seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


@contextmanager
def locked(database: MssqlDatabase) -> Iterator[Callable[[], None]]:
    """Table a, changed by a transaction that is open until the function is called."""
    with closing(database.connect()) as connection:
        cursor = connection.cursor()
        cursor.execute("BEGIN TRANSACTION")
        cursor.execute("UPDATE dbo.a SET s = N'other'")
        ended = threading.Event()

        def end() -> None:
            if not ended.is_set():
                ended.set()
                cursor.execute("ROLLBACK")

        try:
            yield end
        finally:
            end()


def test_it_reads_as_the_driver_does_and_ends_when_idle(
    database: MssqlDatabase, tables: dict[str, MappedTable]
) -> None:
    settings = settings_of(database)
    until(lambda: not children())
    asked = request(tables["dbo.a"])
    with closing(DriverReader(settings)) as here:
        expected = read(here, asked)
    assert len(expected) == 3
    judge = Judge(settings, linger=0.5)
    with closing(judge.open_reader()) as there, closing(judge.open_reader()) as other:
        assert isinstance(there, JudgeReader)
        assert read(there, asked) == expected
        first = there.chunks(asked)
        assert next(first).rows == 2
        assert read(other, asked) == expected  # while the first one is in the middle
        first.close()
        assert there.usable
        assert read(there, asked) == expected
        (child,) = children()
        assert settings.password
        assert settings.password not in " ".join([*child.cmdline(), *child.environ().values()])
        until(lambda: not child.is_running())
        assert read(there, asked) == expected  # by another process
        assert there.usable
    until(lambda: not children())


def test_errors_arrive_as_they_are(database: MssqlDatabase, tables: dict[str, MappedTable]) -> None:
    settings = settings_of(database)
    asked = request(tables["dbo.nul"])
    found: list[MigrationError] = []
    for make in (partial(DriverReader, settings), Judge(settings, linger=0.5).open_reader):
        with closing(make()) as reader:
            with pytest.raises(DataError) as refused:
                read(reader, asked)
            found.append(refused.value)
            assert reader.usable
    assert vars(found[0]) == vars(found[1])
    with pytest.raises(ConnectionFailed, match="Login failed") as failed:
        Judge(replace(settings, password="not the password"), linger=0.5).open_reader()
    assert "not the password" not in str(failed.value)


def test_a_process_that_is_killed_is_replaced_by_the_driver_here(
    database: MssqlDatabase, tables: dict[str, MappedTable], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "mssql_pg_migrate")
    until(lambda: not children())
    judge = Judge(settings_of(database), linger=0.5)
    asked = request(tables["dbo.a"])
    with closing(judge.open_reader()) as reader:
        chunks = reader.chunks(asked)
        next(chunks)
        (child,) = children()
        child.kill()
        with pytest.raises(TransientError, match="has ended"):
            list(chunks)
        assert not reader.usable
    with closing(judge.open_reader()) as reader:
        assert isinstance(reader, DriverReader)
        assert len(read(reader, asked)) == 3
    assert "in this process" in caplog.text


@pytest.mark.parametrize("executable", ["", "/nowhere/python", "/bin/false"])
def test_no_process_can_be_started(
    executable: str,
    database: MssqlDatabase,
    tables: dict[str, MappedTable],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG", "mssql_pg_migrate")
    monkeypatch.setattr(sys, "executable", executable)
    with closing(Judge(settings_of(database), linger=0.5).open_reader()) as reader:
        assert isinstance(reader, DriverReader)
        assert len(read(reader, request(tables["dbo.a"]))) == 3
    assert "in this process" in caplog.text


def test_waiting_is_told_and_cancelled(database: MssqlDatabase, tables: dict[str, MappedTable]) -> None:
    heard = Heard()
    judge = Judge(watched(settings_of(database), heard, limit=5), linger=0.5)
    failures: list[MigrationError] = []

    def work(reader: Reader) -> None:
        try:
            read(reader, request(tables["dbo.a"]))
        except MigrationError as error:
            failures.append(error)

    with closing(judge.open_reader()) as reader, locked(database):
        thread = threading.Thread(target=work, args=(reader,))
        thread.start()
        (wait,) = heard.until(lambda waits: len(waits) == 1)
        assert wait.text.startswith("waiting for dbo.a, held by session ")
        began = time.monotonic()
        reader.cancel()
        thread.join(20)
        assert time.monotonic() - began < 3
        assert not reader.usable
    assert [type(failure) for failure in failures] == [TransientError]
    with closing(judge.open_reader()) as reader:  # a comparison that was cancelled is no reason against the next
        assert isinstance(reader, JudgeReader)


def test_the_choice_counts_its_connections_through_use(database: MssqlDatabase, tables: dict[str, MappedTable]) -> None:
    """Both readers of a comparison are lent by whoever keeps the limit."""
    source = SqlServerSource(settings_of(database))
    lent: list[type[Reader]] = []

    @contextmanager
    def use(name: str) -> Iterator[Reader]:
        with closing(source.open_reader(name)) as reader:
            lent.append(type(reader))
            yield reader

    chosen = source.choose_reader(
        replace(tables["dbo.a"], source=replace(tables["dbo.a"].source, row_estimate=5)),
        "dbo.a",
        use,
        copy_format="binary",
        on_nul="error",
        purpose="transfer",
    )
    assert chosen.name == "wire"
    assert [kind.__name__ for kind in lent] == ["JudgeReader", "WireReader"]
