"""Either server dies, cuts connections or refuses work in mid-run: the run goes on by itself, exactly once."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaos_common import HEAP, LONG, SETTINGS, TABLES
from mssql_pg_migrate.demo.embedded_pg import EmbeddedPostgres
from running import Tool, assert_equal_rows, no_ledger_left, wait_for_rows
from servers import MssqlDatabase, PgDatabase, PgServer, pg_from_embedded

pytestmark = [pytest.mark.chaos, pytest.mark.sandbox_only]


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[PgServer]:
    """A PostgreSQL that may be crashed, with fsync as in production: what it calls committed must survive."""
    with EmbeddedPostgres(durable=True, settings={"shared_buffers": "32MB", "wal_writer_delay": "10s"}) as embedded:
        yield pg_from_embedded(embedded)


@pytest.fixture
def mortal_db(own_postgres: PgServer) -> Iterator[PgDatabase]:
    database = own_postgres.new_database()
    yield database
    database.drop()


MODES: list[dict[str, Any]] = [
    {"target_mode": "drop_recreate"},
    {"target_mode": "drop_recreate", "use_unlogged_tables": True},
    {"target_mode": "upsert", "exclude_tables": [HEAP]},
]


@pytest.mark.parametrize("case", MODES, ids=["logged", "unlogged", "upsert"])
def test_postgres_crashes_and_comes_back(
    case: dict[str, Any], chaos_source: MssqlDatabase, mortal_db: PgDatabase, tmp_path: Path
) -> None:
    embedded = mortal_db.server.embedded
    sandbox = chaos_source.server.sandbox
    assert embedded is not None
    assert sandbox is not None
    tool = Tool(tmp_path, chaos_source, mortal_db, **SETTINGS, **case, retries=20)
    sandbox.faults.slow(150_000)
    process = tool.start("run")
    wait_for_rows(tool, process)
    crashes = 0
    pick = random.Random(3)
    while crashes < (8 if LONG else 2) and process.poll() is None:
        embedded.restart_after_crash()
        crashes += 1
        time.sleep(pick.uniform(1.2, 2.2))
    sandbox.faults.clear()
    output = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert crashes >= 1
    assert_equal_rows(chaos_source, mortal_db, TABLES if "exclude_tables" in case else [*TABLES, HEAP])
    assert no_ledger_left(mortal_db)
    assert mortal_db.execute("SELECT relname FROM pg_class WHERE relpersistence = 'u'") == []


def test_postgres_crashes_during_an_upsert_into_unlogged_tables(
    chaos_source: MssqlDatabase, mortal_db: PgDatabase, tmp_path: Path
) -> None:
    """The crash empties them: rows that arrived before it must come again, those of complete tables by ``resume``."""
    embedded, sandbox = mortal_db.server.embedded, chaos_source.server.sandbox
    assert embedded is not None
    assert sandbox is not None
    Tool(tmp_path, chaos_source, mortal_db, exclude_tables=[HEAP]).result("run", "--schema-only")
    for table in ["by_two", *(name for name in TABLES if name != "by_two")]:
        mortal_db.execute(f"ALTER TABLE {table} SET UNLOGGED")
    tool = Tool(tmp_path, chaos_source, mortal_db, **SETTINGS, target_mode="upsert", exclude_tables=[HEAP], retries=20)
    sandbox.faults.slow(150_000)
    process = tool.start("run")
    wait_for_rows(tool, process)
    time.sleep(0.5)
    embedded.restart_after_crash()
    sandbox.faults.clear()
    output = process.communicate(timeout=300)
    assert process.returncode in (0, 3), output
    tool.result("resume")
    assert_equal_rows(chaos_source, mortal_db, TABLES)


def test_postgres_backends_are_terminated_at_random(
    chaos_source: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    sandbox = chaos_source.server.sandbox
    assert sandbox is not None
    tool = Tool(tmp_path, chaos_source, target_db, **SETTINGS, retries=20)
    sandbox.faults.slow(400_000)
    process = tool.start("run")
    wait_for_rows(tool, process)
    done = threading.Event()
    killed: list[int] = []

    def terminate() -> None:
        while not done.wait(0.15):
            rows = target_db.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
                " AND application_name LIKE 'mssql-pg-migrate%%' AND random() < 0.2",
                (target_db.name,),
            )
            killed.append(len(rows))

    thread = threading.Thread(target=terminate)
    thread.start()
    time.sleep(12 if LONG else 4)
    done.set()
    thread.join()
    sandbox.faults.clear()
    output = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert sum(killed) > 0
    assert_equal_rows(chaos_source, target_db, [*TABLES, HEAP])


def test_source_connections_are_cut_in_mid_stream(
    chaos_source: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    sandbox = chaos_source.server.sandbox
    assert sandbox is not None
    tool = Tool(tmp_path, chaos_source, target_db, **SETTINGS)
    for table in TABLES:
        sandbox.faults.drop(table=table, after_rows=60, times=6)
    sandbox.faults.drop(table=HEAP, after_rows=300, times=2)
    document = tool.result("run")
    assert len(sandbox.faults.hits) >= 10
    assert document["retries"] > 0
    assert_equal_rows(chaos_source, target_db, [*TABLES, HEAP])


@pytest.mark.parametrize("number", [1205, 40501, 10928, 40197])
def test_deadlocks_and_throttling_are_waited_out(
    number: int, chaos_source: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    sandbox = chaos_source.server.sandbox
    assert sandbox is not None
    tool = Tool(tmp_path, chaos_source, target_db, **SETTINGS)
    for table in (*TABLES, HEAP):
        sandbox.faults.error(number=number, table=table, after_rows=70, times=2)
    document = tool.result("run")
    assert len(sandbox.faults.hits) >= 6
    assert document["status"] == "completed"
    assert_equal_rows(chaos_source, target_db, [*TABLES, HEAP])


def test_the_source_goes_away_for_a_while(chaos_source: MssqlDatabase, target_db: PgDatabase, tmp_path: Path) -> None:
    sandbox = chaos_source.server.sandbox
    assert sandbox is not None
    tool = Tool(tmp_path, chaos_source, target_db, **SETTINGS)
    sandbox.faults.slow(300_000)
    process = tool.start("run")
    wait_for_rows(tool, process)
    sandbox.pause(3.0)
    sandbox.faults.clear()
    output = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert_equal_rows(chaos_source, target_db, [*TABLES, HEAP])


def test_a_table_that_fails_for_good_does_not_stop_the_others(
    chaos_source: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    sandbox = chaos_source.server.sandbox
    assert sandbox is not None
    tool = Tool(tmp_path, chaos_source, target_db, **SETTINGS, retries=2)
    sandbox.faults.error(number=824, table="by_uuid", after_rows=40, times=0)
    document = tool.result("run", expect=3)
    failed = [item["table"] for item in document["failed_tables"]]
    assert failed == ["by_uuid"]
    assert "824" in str(document["failed_tables"])
    others = [table for table in (*TABLES, HEAP) if table != "by_uuid"]
    assert_equal_rows(chaos_source, target_db, others)
    sandbox.faults.clear()
    assert tool.result("resume")["status"] == "completed"
    assert_equal_rows(chaos_source, target_db, [*TABLES, HEAP])
    assert no_ledger_left(target_db)
