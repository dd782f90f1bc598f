"""Statements that wait for a lock of PostgreSQL are told, with who holds it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
import pytest

from hearing import Heard
from mssql_pg_migrate.target import watch
from mssql_pg_migrate.target.connect import TargetSettings, connect_target
from mssql_pg_migrate.target.watch import watched
from servers import PgDatabase


def settings(database: PgDatabase, **fields: Any) -> TargetSettings:
    found = {"host": database.host, "port": database.port, "database": database.name}
    return TargetSettings(**{**found, "user": database.user, "password": database.password, **fields})


@contextmanager
def blocked(where: TargetSettings, sql: str) -> Iterator[threading.Thread]:
    """A session that executes the statement in a thread of its own; ended with the block."""
    with connect_target(where, purpose="load") as connection:
        thread = threading.Thread(target=lambda: connection.execute(sql))
        thread.start()
        yield thread
        thread.join(timeout=20)
        assert not thread.is_alive()


@pytest.fixture
def database(target_db: PgDatabase) -> PgDatabase:
    target_db.execute("CREATE TABLE a (id int PRIMARY KEY, v int)")
    target_db.execute("INSERT INTO a VALUES (1, 1)")
    target_db.execute('CREATE TABLE "B c" (id int)')
    return target_db


def test_tables_rows_and_advisory_locks_are_told_with_their_holder(database: PgDatabase) -> None:
    heard = Heard()
    where = watched(settings(database), heard, limit=10)
    with ExitStack() as stack:
        holder = stack.enter_context(psycopg.connect(database.conninfo, application_name="a report"))
        holder.execute('LOCK TABLE "B c"')
        holder.execute("UPDATE a SET v = 2 WHERE id = 1")
        holder.execute("SELECT pg_advisory_xact_lock(7)")
        waiting = stack.enter_context(ExitStack())
        for sql in ('SELECT * FROM "B c"', "UPDATE a SET v = 3 WHERE id = 1", "SELECT pg_advisory_lock(7)"):
            waiting.enter_context(blocked(where, sql))
        told = heard.until(lambda waits: len(waits) >= 3)
        assert {wait.waits_for for wait in told} == {"public.B c", "public.a", None}
        for wait in told:
            assert wait.held_by == holder.info.backend_pid
            what = wait.waits_for or "a lock of the target"
            who = f"session {holder.info.backend_pid} (a report, idle in transaction since "
            assert wait.text.startswith(f"waiting for {what}, held by {who}")
            assert wait.side == "target"
            assert wait.application == "a report"
            assert 3 <= wait.seconds < 15
            assert wait.since is not None
            assert abs(wait.since - time.time()) < 30
        time.sleep(4)
        assert len(heard.waits) == 3, "not every few seconds"
        holder.rollback()
    assert database.execute("SELECT v FROM a") == [(3,)]
    application = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '% watch'"
    deadline = time.monotonic() + 10
    while database.execute(application) != [(0,)]:
        assert time.monotonic() < deadline, "the connection that asked stays open"
        time.sleep(0.1)


def test_of_several_holders_the_first_in_the_queue_is_named(database: PgDatabase) -> None:
    heard = Heard()
    where = watched(settings(database), heard)
    with psycopg.connect(database.conninfo, application_name="first") as holder:
        holder.execute("SELECT * FROM a")
        with blocked(settings(database), "ALTER TABLE a ADD w int"):
            time.sleep(0.5)
            with blocked(where, "CREATE INDEX ON a (v)"):
                (wait,) = heard.until(lambda waits: len(waits) == 1)
                assert wait.application == "first"
                holder.rollback()


def test_a_long_statement_that_waits_for_nobody_is_not_told(database: PgDatabase) -> None:
    heard = Heard()
    with connect_target(watched(settings(database), heard)) as connection:
        connection.execute("SELECT pg_sleep(6)")
    assert not heard.waits


def test_a_role_that_sees_little_gets_the_session_anyway(database: PgDatabase) -> None:
    role = f"small_{database.name}"
    database.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'pw-of-small'")
    try:
        database.execute(f"GRANT SELECT ON a TO {role}")
        heard = Heard()
        where = watched(settings(database, user=role, password="pw-of-small"), heard)
        with psycopg.connect(database.conninfo) as holder:
            holder.execute("LOCK TABLE a")
            process = holder.info.backend_pid
            with blocked(where, "SELECT * FROM a"):
                (wait,) = heard.until(lambda waits: len(waits) == 1)
                holder.rollback()
        assert wait.held_by == process
        assert wait.text.startswith(f"waiting for public.a, held by session {process}")
        assert wait.state is None
    finally:
        database.execute(f"REVOKE ALL ON a FROM {role}")
        database.execute(f"DROP ROLE {role}")


def test_without_room_to_ask_a_very_long_statement_is_told(
    database: PgDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "REPEAT", 4.0)
    heard = Heard()
    with psycopg.connect(database.conninfo) as holder:
        holder.execute("LOCK TABLE a")
        with blocked(watched(settings(database), heard, limit=1), "SELECT * FROM a"):
            (wait,) = heard.until(lambda waits: len(waits) == 1)
            assert "max_pg_connections leaves no connection to ask" in wait.text
            holder.rollback()


def test_settings_travel_without_the_watch(database: PgDatabase) -> None:
    import pickle

    where = watched(settings(database), Heard())
    there = pickle.loads(pickle.dumps(where))
    assert there.watch is None
    assert there == where
    assert "watch" not in repr(where)
