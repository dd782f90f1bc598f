"""Statements that wait for SQL Server are told: with who holds the lock, or with what we were about to do."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from hearing import Heard
from mssql_pg_migrate.model import KeyRange
from mssql_pg_migrate.source.open import open_source, watched
from mssql_pg_migrate.source.reader import ReadRequest
from servers import MssqlDatabase, MssqlServer
from source_tools import settings_of, tables_of

_PASSWORD = "R3ader!pw"


@pytest.fixture(scope="module")
def database(mssql: MssqlServer) -> Iterator[MssqlDatabase]:
    found = mssql.new_database()
    found.execute_script("ALTER DATABASE CURRENT SET READ_COMMITTED_SNAPSHOT OFF")
    found.execute_script("CREATE TABLE a (id int NOT NULL PRIMARY KEY, v int)\nGO\nINSERT a VALUES (1, 1), (2, 2)")
    yield found
    found.drop()


@contextmanager
def held(database: MssqlDatabase, sql: str) -> Iterator[tuple[int, Callable[[], None]]]:
    """A transaction of somebody else's that did the statement: its session, and how to end it."""
    with closing(database.connect()) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT @@SPID")
        session = int(cursor.fetchone()[0])
        cursor.execute("BEGIN TRANSACTION")
        cursor.execute(sql)
        ended = threading.Event()

        def end() -> None:
            if not ended.is_set():
                ended.set()
                cursor.execute("ROLLBACK")

        try:
            yield session, end
        finally:
            end()


def _aside(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.mark.parametrize("kind", ["driver", "wire"])
def test_a_reader_that_waits_for_a_lock(database: MssqlDatabase, kind: str) -> None:
    heard = Heard()
    table = tables_of(database)["dbo.a"]
    source = open_source(watched(settings_of(database), heard, limit=5))
    rows: list[int] = []
    with closing(source.open_reader(kind)) as reader:
        request = ReadRequest(table=table, range=KeyRange(None, None))
        with held(database, "UPDATE dbo.a SET v = 3") as (session, end):
            thread = _aside(lambda: rows.extend(chunk.rows for chunk in reader.chunks(request)))
            (wait,) = heard.until(lambda waits: len(waits) == 1)
            end()
            thread.join(20)
    assert sum(rows) == 2
    assert wait.side == "source"
    assert (wait.waits_for, wait.held_by) == ("dbo.a", session)
    assert wait.text.startswith(f"waiting for dbo.a, held by session {session} (")
    assert "sleeping with an open transaction since " in wait.text
    assert wait.since is not None
    assert abs(wait.since - time.time()) < 60


@pytest.mark.sandbox_only
def test_the_catalog_that_waits_and_a_login_that_sees_no_other_session(database: MssqlDatabase) -> None:
    login = f"small_{database.name}"
    database.execute_script(
        f"CREATE LOGIN {login} WITH PASSWORD = '{_PASSWORD}'\nGO\nCREATE USER {login} FOR LOGIN {login}"
    )
    heard = Heard()
    settings = watched(settings_of(database, user=login, password=_PASSWORD), heard)
    found: list[Any] = []
    with (
        closing(open_source(settings).connect()) as session,
        held(database, "CREATE TABLE made (a int)") as (_, end),
    ):
        thread = _aside(lambda: found.append(session.catalog(None)))
        (wait,) = heard.until(lambda waits: len(waits) == 1)
        end()
        thread.join(20)
    assert found
    assert wait.text.startswith("waiting for the source: reading ")
    assert "held by" not in wait.text
    assert wait.held_by is None


def test_settings_travel_without_the_watch(database: MssqlDatabase) -> None:
    settings = watched(settings_of(database), Heard())
    there = pickle.loads(pickle.dumps(settings))
    assert there.watch is None
    assert there == settings
