"""`validate` when servers fail, limits are tight, or the user stops it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from mssql_pg_migrate.errors import Cancelled, ConfigError, ConnectionFailed, TransientError
from mssql_pg_migrate.events import AnyEvent, Message, Retry
from mssql_pg_migrate.mapping.objects import MappedTable
from mssql_pg_migrate.target.inspect import read_existing
from mssql_pg_migrate.validation.columns import compare_columns
from mssql_pg_migrate.validation.digest import open_digest
from mssql_pg_migrate.validation.target_side import TargetSide
from servers import MssqlServer, PgDatabase, PgServer
from validation_cases import Pair, numbers

ROWS = 6000
PARTS: dict[str, Any] = {
    "large_table_threshold": 1000,
    "min_rows_per_partition": 500,
    "max_partitions": 6,
    "chunk_size": 500,
}


@pytest.fixture(scope="module")
def shop(mssql: MssqlServer, pg: PgServer) -> Iterator[Pair]:
    """Four tables, equal on both sides; not to be changed."""
    pair = Pair(mssql.new_database(), pg.new_database())
    numbers_from = "(SELECT TOP (1) 0 AS n) AS z"
    parts = []
    for name in ("One", "Two", "Three"):
        parts.append(f"CREATE TABLE dbo.{name} (Id int NOT NULL CONSTRAINT PK_{name} PRIMARY KEY, v nvarchar(200));")
        parts.append(f"GO\nINSERT INTO dbo.{name} SELECT 1, REPLICATE(N'x', 200) FROM {numbers_from};\nGO")
        size = 1
        while size < ROWS:
            more = min(size, ROWS - size)
            parts.append(f"INSERT INTO dbo.{name} SELECT Id + {size}, v FROM dbo.{name} WHERE Id <= {more};\nGO")
            size += more
    parts.append("CREATE TABLE dbo.Heap (v nvarchar(200));\nGO\nINSERT INTO dbo.Heap SELECT v FROM dbo.One;\nGO")
    pair.source.execute_script("\n".join(parts))
    pair.run()
    yield pair
    pair.source.drop()
    pair.target.drop()


@pytest.mark.sandbox_only
@pytest.mark.parametrize("reader", ["wire", "driver"])
@pytest.mark.parametrize("kind", ["drop", "deadlock"])
def test_a_source_that_fails_half_way_is_read_again(shop: Pair, mssql: MssqlServer, reader: str, kind: str) -> None:
    """The rows of the failed attempt do not count twice; a table without a key is simply read from its start."""
    assert mssql.sandbox is not None
    faults = mssql.sandbox.faults
    for table in ("One", "Heap"):
        if kind == "drop":
            faults.drop(table, after_rows=900, times=2, statement="SELECT [[]*")
        else:
            faults.error(1205, table, after_rows=900, times=2, statement="SELECT [[]*")
    events: list[AnyEvent] = []
    report = shop.validate(reader=reader, events=events, **PARTS)
    assert {table.table: (table.error, numbers(table)) for table in report.tables if not table.equal} == {}
    assert {table.table: table.source_rows for table in report.tables} == dict.fromkeys(
        ("One", "Two", "Three", "Heap"), ROWS
    )
    assert {event.table for event in events if isinstance(event, Retry)} >= {"One", "Heap"}
    assert len(faults.hits) == 4


@pytest.mark.sandbox_only
def test_a_table_that_keeps_failing_is_reported_alone(shop: Pair, mssql: MssqlServer) -> None:
    assert mssql.sandbox is not None
    mssql.sandbox.faults.error(208, "Two", times=0, statement="SELECT [[]*")
    report = shop.validate()
    found = {table.table: table for table in report.tables}
    assert {name for name, table in found.items() if table.equal} == {"One", "Three", "Heap"}
    assert "208" in str(found["Two"].error)
    assert not report.equal


@pytest.mark.sandbox_only
def test_a_failure_while_the_differences_are_searched(shop: Pair, mssql: MssqlServer, pg: PgServer) -> None:
    """The search begins again as a whole: no row is matched twice."""
    assert mssql.sandbox is not None
    faults = mssql.sandbox.faults
    pair = Pair(shop.source, _copy(pg, shop.target))
    try:
        pair.target.execute('UPDATE "One" SET v = \'y\' WHERE "Id" IN (5, 5500)')
        armed = threading.Event()

        def when_searching(event: AnyEvent) -> None:
            if isinstance(event, Message) and "reading again" in event.text and not armed.is_set():
                armed.set()
                faults.drop("One", after_rows=400, times=1, statement="SELECT [[]*")

        events: list[AnyEvent] = []

        class Sink(list[AnyEvent]):
            def append(self, event: AnyEvent) -> None:
                events.append(event)
                when_searching(event)

        report = pair.validate(events=Sink(), include_tables=["One"], **PARTS)
        (check,) = report.tables
        assert armed.is_set()
        assert len(faults.hits) == 1
        assert any(isinstance(event, Retry) for event in events)
        assert numbers(check) == (0, 0, 2)
        assert check.sample_keys == {"changed": ["Id=5", "Id=5500"]}
    finally:
        pair.target.drop()


def _copy(pg: PgServer, template: PgDatabase) -> PgDatabase:
    from validation_cases import copy_of

    return copy_of(pg, template)


# --- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.sandbox_only
@pytest.mark.parametrize("checksum", [True, False])
def test_connection_limits_hold(shop: Pair, mssql: MssqlServer, pg: PgServer, checksum: bool) -> None:
    assert mssql.sandbox is not None
    mssql.sandbox.reset_counters()
    most = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal most
        with psycopg.connect(pg.conninfo(), autocommit=True) as connection:
            while not done.is_set():
                row = connection.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = %s", (shop.target.name,)
                ).fetchone()
                assert row is not None
                most = max(most, row[0])

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        report = shop.validate(checksum=checksum, max_mssql_connections=2, max_pg_connections=2, **PARTS)
    finally:
        done.set()
        watcher.join()
    assert report.equal
    assert 1 <= most <= 2
    # the sandbox's own control connections are not among them
    assert mssql.sandbox.counters()["most_connections"] <= 2


# --- the target -------------------------------------------------------------------------------------------------------


def test_a_target_session_that_is_ended(pg: PgServer, target_db: PgDatabase, shop: Pair) -> None:
    """Ended in the middle of a COPY: a transient failure, and the pool opens another session."""
    target_db.execute(
        'CREATE TABLE "One" AS SELECT i AS "Id", repeat(md5(i::text), 20) AS v FROM generate_series(1, 20000) i'
    )
    table = _mapped(shop, "One")
    settings = Pair(shop.source, target_db).config().target.settings()
    side = TargetSide(settings, 4, 160000)
    with psycopg.connect(target_db.conninfo, autocommit=True) as connection:
        existing = read_existing(connection, [table])[table.schema, table.name]
    _, comparison = compare_columns(table, existing)

    def digest() -> Any:
        return open_digest(comparison.target_kinds, comparison.roles, bytes(range(40)), 6, header=True)

    def end_session() -> None:
        pg.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (target_db.name,))

    try:
        with pytest.raises(TransientError, match="reading rows"):
            side.digest(table, comparison, "", digest(), end_session, shared=False)
        made = digest()
        side.digest(table, comparison, "", made, lambda: None, shared=False)
        assert made.rows == 20_000
        # the shared snapshot's session dies as well: the next attempt gets another snapshot
        parts = side.parts(table, 3)
        assert len(parts) == 3
        end_session()
        time.sleep(0.3)
        rows = 0
        for part in parts:
            for attempt in range(3):
                made = digest()
                try:
                    side.digest(table, comparison, part, made, lambda: None, shared=True)
                    rows += made.rows
                    break
                except TransientError:
                    assert attempt < 2
        assert rows == 20_000
    finally:
        side.close()
    assert not _sessions(pg, target_db)


def _mapped(pair: Pair, name: str) -> MappedTable:
    from mssql_pg_migrate.jobs.ends import Ends
    from mssql_pg_migrate.jobs.validate import _jobs

    config = pair.config()
    jobs, _ = _jobs(config, Ends(config, lambda _: None))
    return next(job.table for job in jobs if job.display == name)


def _sessions(pg: PgServer, database: PgDatabase) -> list[tuple[Any, ...]]:
    """Sessions in a database, once those that are closing have gone."""
    rows: list[tuple[Any, ...]] = []
    for _ in range(50):
        rows = pg.execute("SELECT application_name FROM pg_stat_activity WHERE datname = %s", (database.name,))
        if not rows:
            return rows
        time.sleep(0.1)
    return rows


def test_an_error_of_the_server_in_the_middle_of_a_copy(shop: Pair, target_db: PgDatabase, pg: PgServer) -> None:
    """A view whose last row fails: the server's message names what is wrong."""
    target_db.execute(
        'CREATE VIEW "One" AS SELECT i AS "Id", (CASE WHEN i < 50000 THEN \'x\' ELSE (1 / (i - i))::text END) AS v'
        " FROM generate_series(1, 50000) i"
    )
    report = Pair(shop.source, target_db).validate(include_tables=["One"])
    (check,) = report.tables
    assert not check.equal
    assert "division by zero" in str(check.error)
    assert not _sessions(pg, target_db)


# --- the user ---------------------------------------------------------------------------------------------------------


@pytest.mark.sandbox_only
@pytest.mark.parametrize("checksum", [True, False])
def test_it_stops_when_it_is_told_to(shop: Pair, mssql: MssqlServer, pg: PgServer, checksum: bool) -> None:
    """Even while a server says nothing."""
    assert mssql.sandbox is not None
    mssql.sandbox.faults.stall(20, "One", times=0, statement="SELECT *")
    stop = threading.Event()
    threading.Timer(2.5, stop.set).start()
    started = time.monotonic()
    with pytest.raises(Cancelled):
        shop.validate(checksum=checksum, reader="wire", stopped=stop.is_set, include_tables=["One", "Two"])
    assert time.monotonic() - started < 12
    assert not _sessions(pg, shop.target)


def test_a_server_that_is_down_is_an_error_of_the_whole(shop: Pair) -> None:
    config = shop.config()
    other = config.model_copy(update={"target": config.target.model_copy(update={"port": 1})})
    from mssql_pg_migrate.jobs.validate import validate

    with pytest.raises(ConnectionFailed) as failed:
        validate(other, checksum=False, on_event=lambda _: None)
    assert failed.value.side == "target"
    assert failed.value.exit_code == 2
    with pytest.raises(ConfigError, match="no table"):
        shop.validate(include_tables=["nothing_like_this"])
