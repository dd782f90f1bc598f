"""Promised limits, measured where they matter: connections on the servers, memory of the tool's process."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import psutil
import pytest

from chaos_common import LONG
from running import Tool, assert_equal_rows
from servers import MssqlDatabase, PgDatabase

MIB = 1024 * 1024
KEYED = """
CREATE TABLE dbo.t{n} (id int NOT NULL PRIMARY KEY, v nvarchar(40))
GO
INSERT INTO dbo.t{n} VALUES {rows}
"""


def _fill(source: MssqlDatabase, tables: int, rows: int) -> None:
    values = ",".join(f"({number * 3}, N'value {number}')" for number in range(rows))
    source.execute_script("\nGO\n".join(KEYED.format(n=number, rows=values) for number in range(tables)))


@pytest.mark.sandbox_only
@pytest.mark.parametrize(("most_source", "most_target"), [(2, 2), (5, 4)])
def test_connection_limits_are_never_exceeded(
    most_source: int, most_target: int, source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    sandbox = source_db.server.sandbox
    assert sandbox is not None
    _fill(source_db, 5, 900)
    sandbox.reset_counters()
    tool = Tool(
        tmp_path,
        source_db,
        target_db,
        workers=4,
        parallel_readers=4,
        chunk_size=50,
        large_table_threshold=300,
        min_rows_per_partition=100,
        max_mssql_connections=most_source,
        max_pg_connections=most_target,
    )
    seen: list[int] = []
    done = threading.Event()

    def watch() -> None:
        with target_db.connect() as connection:
            while not done.wait(0.01):
                row = connection.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND application_name LIKE 'mssql-pg%%'",
                    (target_db.name,),
                ).fetchone()
                assert row is not None
                seen.append(row[0])

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        tool.result("run")
    finally:
        done.set()
        thread.join()
    # The tool's own: this process's driver keeps connections open in a pool.
    (most,) = [item["most_connections"] for item in sandbox.counters()["logins"] if "mssql-pg" in item["app_name"]]
    assert 1 <= most <= most_source
    assert 1 <= max(seen) <= most_target
    assert_equal_rows(source_db, target_db, [f"t{number}" for number in range(5)])


@pytest.mark.parametrize("reader", ["auto", "driver"])
def test_memory_stays_within_the_budget_with_1_mb_values(
    reader: str, source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    rows, budget = (2000, 1024 * MIB) if LONG else (200, 380 * MIB)
    source_db.execute_script(
        "CREATE TABLE dbo.big (id int NOT NULL PRIMARY KEY, body nvarchar(max) NULL, raw varbinary(max) NULL)\nGO\n"
        "INSERT INTO dbo.big VALUES (0, REPLICATE(CAST(N'xy' AS nvarchar(max)), 250000),"
        " CAST(REPLICATE(CAST('z' AS varchar(max)), 500000) AS varbinary(max)))"
    )
    have = 1
    while have < rows:
        more = min(have, rows - have)
        source_db.execute_script(f"INSERT INTO dbo.big SELECT id + {have}, body, raw FROM dbo.big WHERE id < {more}")
        have += more
    percent = max(1, budget * 100 // psutil.virtual_memory().total)
    tool = Tool(tmp_path, source_db, target_db, memory_budget_percent=percent)
    tool.data["source"]["reader"] = reader
    tool.write()
    document = tool.result("run", timeout=500 if LONG else 300)
    assert document["rows_transferred"] == rows
    assert document["peak_memory_bytes"] <= max(budget, psutil.virtual_memory().total * percent // 100)
    sums = target_db.execute("SELECT count(*), sum(length(body)), sum(length(raw)) FROM big")
    assert sums == [(rows, rows * 500_000, rows * 500_000)]


def test_a_small_run_stays_without_arrow(source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path) -> None:
    """Microsoft's driver, which only compares, is not loaded into the tool's process."""
    _fill(source_db, 3, 900)
    document = Tool(tmp_path, source_db, target_db).result("run")
    assert document["rows_transferred"] == 2700
    assert {table["reader"] for table in document["tables"]} == {"wire"}
    assert document["peak_memory_bytes"] <= 105 * MIB


@pytest.mark.sandbox_only
def test_a_slow_target_stalls_reading_instead_of_filling_memory(
    source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    source_db.execute_script(
        "CREATE TABLE dbo.big (id int NOT NULL PRIMARY KEY, body nvarchar(max) NULL)\nGO\n"
        "INSERT INTO dbo.big VALUES (0, REPLICATE(CAST(N'xy' AS nvarchar(max)), 250000))"
    )
    have = 1
    while have < 512:
        source_db.execute_script(f"INSERT INTO dbo.big SELECT id + {have}, body FROM dbo.big")
        have *= 2
    tool = Tool(tmp_path, source_db, target_db, target_mode="truncate")
    tool.result("run", "--schema-only")
    with target_db.connect(autocommit=False) as blocker:
        blocker.execute("LOCK TABLE big IN SHARE MODE")  # COPY has to wait, the rest goes on
        tool.data["migration"]["target_mode"] = "upsert"
        tool.write()
        process = tool.start("run")
        time.sleep(4)
        assert process.poll() is None
        memory = psutil.Process(process.pid).memory_info().rss
        blocker.rollback()
    output = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert memory < 330 * MIB  # all rows together are 256 MB of text, on top of the program itself
    assert target_db.execute("SELECT count(*), sum(length(body)) FROM big") == [(512, 512 * 500_000)]


def test_a_range_task_is_plain_data_that_any_executor_can_run(
    source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    """The same run with a pool of processes in place of the threads."""
    import multiprocessing

    from mssql_pg_migrate import Config, Migration

    _fill(source_db, 2, 900)
    tool = Tool(tmp_path, source_db, target_db, large_table_threshold=300, min_rows_per_partition=100, chunk_size=50)
    config = Config.load(tool.config, environment=tool.environment)
    used: list[str] = []

    def processes(threads: int) -> ProcessPoolExecutor:
        used.append("processes")
        return ProcessPoolExecutor(min(threads, 2), mp_context=multiprocessing.get_context("spawn"))

    result = Migration(config, executor=processes).run()
    assert used == ["processes"]
    assert result.exit_code == 0
    assert_equal_rows(source_db, target_db, ["t0", "t1"])
