"""A real PgBouncer between the tool and its target: found out before anything is touched, or good for a run."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from mssql_pg_migrate import Config, Migration
from mssql_pg_migrate.errors import ConnectionFailed
from pgbouncer import PGBOUNCER, pgbouncer
from running import Tool, assert_equal_rows, no_ledger_left
from servers import MssqlDatabase, PgDatabase

pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason="needs PgBouncer")
ROWS = """
CREATE TABLE dbo.items (id int NOT NULL CONSTRAINT pk_items PRIMARY KEY, v nvarchar(20) NULL)
GO
INSERT INTO dbo.items VALUES (1, N'a'), (2, N'ž'), (3, NULL)
"""
SENTENCE = "PgBouncer stands before it in {} mode, where locks, settings and temporary tables do not stay"


@pytest.mark.parametrize(("mode", "pool_size"), [("transaction", 20), ("transaction", 1), ("statement", 20)])
def test_a_pooler_that_lends_its_connections_is_refused_by_every_command(
    mode: str, pool_size: int, source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    source_db.execute_script(ROWS)
    target_db.execute("CREATE TABLE items (theirs int); INSERT INTO items VALUES (7)")
    with pgbouncer(target_db, mode, pool_size=pool_size) as pooled:
        for command, expected in (("run", 2), ("plan", 2), ("validate", 2), ("health-check", 2)):
            done = Tool(tmp_path, source_db, pooled).run(command)
            assert done.returncode == expected, (command, done.stdout, done.stderr)
            assert SENTENCE.format(mode) in done.stdout + done.stderr, command
            assert "connect to the server itself" in done.stdout + done.stderr, command
        assert "retryable" in (document := Tool(tmp_path, source_db, pooled).result("run", expect=2))
        assert document["retryable"] is False
        with psycopg.connect(pooled.conninfo, autocommit=True) as other:  # meets the sessions those had
            left = other.execute("SELECT current_setting('statement_timeout'), current_setting('TimeZone')").fetchone()
            assert other.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone() == (0,)
    fresh = target_db.execute("SELECT current_setting('statement_timeout'), current_setting('TimeZone')")
    assert [left] == fresh
    assert target_db.execute("SELECT theirs FROM items") == [(7,)]


def test_settings_of_the_pool_are_not_touched(source_db: MssqlDatabase, target_db: PgDatabase) -> None:
    target_db.execute(f'ALTER DATABASE "{target_db.name}" SET statement_timeout = 12345')
    with pgbouncer(target_db, "transaction", pool_size=2) as pooled:
        config = Config.from_dict({"source": source_db.section(), "target": pooled.section(), "migration": {}})
        with pytest.raises(ConnectionFailed, match="PgBouncer"):
            Migration(config).plan()
        with psycopg.connect(pooled.conninfo, autocommit=True) as other:
            assert other.execute("SHOW statement_timeout").fetchone() == ("12345ms",)


@pytest.mark.parametrize("pool_size", [20, 4])
def test_a_pooler_in_session_mode_carries_a_run(
    pool_size: int, source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    source_db.execute_script(ROWS)
    with pgbouncer(target_db, "session", pool_size=pool_size) as pooled:
        assert Tool(tmp_path, source_db, pooled).run("health-check").returncode == 0
        Tool(tmp_path, source_db, pooled, max_pg_connections=3).result("run")
        Tool(tmp_path, source_db, pooled, max_pg_connections=3, target_mode="upsert").result("run")
    assert_equal_rows(source_db, target_db, ["items"])
    assert no_ledger_left(target_db)
