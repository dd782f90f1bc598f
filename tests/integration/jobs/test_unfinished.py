"""Runs that end in the middle: what ``resume`` and the next ``run`` make of what they left behind."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from mssql_pg_migrate import Config
from mssql_pg_migrate.config.hash import config_hash
from mssql_pg_migrate.state import RunState, utc_now, write_state
from mssql_pg_migrate.target import lock
from mssql_pg_migrate.target.ledger import Ledger
from running import Tool, assert_equal_rows, kill_tree, no_ledger_left
from servers import MssqlDatabase, PgDatabase

ITEMS = """
CREATE TABLE dbo.items (id int NOT NULL CONSTRAINT pk_items PRIMARY KEY, v int NOT NULL CONSTRAINT df_v DEFAULT 7,
    w varchar(20) NULL CONSTRAINT df_w DEFAULT 'x', number decimal(20,0) IDENTITY(5,1) NOT NULL)
CREATE INDEX ix_items ON dbo.items (v)
GO
INSERT INTO dbo.items (id, v) VALUES (1, 1), (2, 2)
"""
FAMILY = """
CREATE TABLE dbo.parents (id int NOT NULL CONSTRAINT pk_parents PRIMARY KEY)
CREATE TABLE dbo.children (id int NOT NULL CONSTRAINT pk_children PRIMARY KEY,
    parent int NOT NULL CONSTRAINT fk_parent REFERENCES dbo.parents (id))
GO
INSERT INTO dbo.parents VALUES (1)
INSERT INTO dbo.children VALUES (1, 1)
"""
GATE = {"before_data": "SELECT 1 / open FROM gate"}
"""A hook that ends the run, with the tables ready and no row in them, while the gate is closed."""


def close_gate(target: PgDatabase) -> None:
    target.execute("CREATE TABLE gate (open int); INSERT INTO gate VALUES (0)")


def open_gate(target: PgDatabase) -> None:
    target.execute("UPDATE gate SET open = 1")


def defaults(target: PgDatabase) -> dict[str, str | None]:
    rows = target.execute(
        "SELECT column_name, column_default FROM information_schema.columns WHERE table_name = 'items'"
    )
    return dict(rows)  # type: ignore[arg-type]


def persistence(target: PgDatabase, table: str = "items") -> str:
    return str(target.execute("SELECT relpersistence::text FROM pg_class WHERE relname = %s", (table,))[0][0])


@pytest.mark.parametrize("mode", ["drop_recreate", "truncate", "upsert"])
@pytest.mark.parametrize("command", ["resume", "run"])
def test_tables_of_an_unfinished_run_get_all_that_is_due_to_them(
    command: str, mode: str, source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    source_db.execute_script(ITEMS)
    close_gate(target_db)
    tool = Tool(tmp_path, source_db, target_db, target_mode=mode, use_unlogged_tables=True, hooks=GATE)
    tool.result("run", expect=3)
    open_gate(target_db)
    tool.result(command)
    assert_equal_rows(source_db, target_db, ["items"])
    found = defaults(target_db)
    assert found["v"] == "7"
    assert found["w"] is not None
    assert found["number"] is not None
    assert target_db.execute("INSERT INTO items (id) VALUES (9) RETURNING v, w, number") == [(7, "x", 7)]
    indexes = target_db.execute("SELECT indexname FROM pg_indexes WHERE tablename = 'items' ORDER BY 1")
    assert indexes == [("ix_items",), ("pk_items",)]
    assert target_db.execute("SELECT relname FROM pg_class WHERE relkind = 'S'") == [("items_number_seq",)]
    assert persistence(target_db) == "p"
    assert no_ledger_left(target_db)


@pytest.mark.parametrize("next_mode", ["truncate", "upsert"])
def test_a_table_an_unfinished_run_made_unlogged_is_logged_by_the_next(
    next_mode: str, source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    source_db.execute_script(ITEMS)
    Tool(tmp_path, source_db, target_db).result("run")
    close_gate(target_db)
    tool = Tool(tmp_path, source_db, target_db, target_mode="truncate", use_unlogged_tables=True, hooks=GATE)
    tool.result("run", expect=3)
    assert persistence(target_db) == "u"
    Tool(tmp_path, source_db, target_db, target_mode=next_mode).result("run")
    assert_equal_rows(source_db, target_db, ["items"])
    assert persistence(target_db) == "p"


def foreign_key(target: PgDatabase) -> list[tuple[Any, ...]]:
    return target.execute("SELECT conname, convalidated FROM pg_constraint WHERE contype = 'f'")


@pytest.mark.parametrize("next_mode", ["drop_recreate", "truncate", "upsert"])
def test_foreign_keys_an_unfinished_run_set_aside_are_valid_after_the_next(
    next_mode: str, source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    source_db.execute_script(FAMILY)
    Tool(tmp_path, source_db, target_db).result("run")
    close_gate(target_db)
    Tool(tmp_path, source_db, target_db, target_mode="truncate", hooks=GATE).result("run", expect=3)
    assert foreign_key(target_db) == []
    Tool(tmp_path, source_db, target_db, target_mode=next_mode).result("run")
    assert_equal_rows(source_db, target_db, ["parents", "children"])
    assert foreign_key(target_db) == [("fk_parent", True)]


@pytest.mark.parametrize("command", [["resume"], ["run", "--auto-resume", "--data-only"]], ids=["resume", "auto"])
def test_a_data_only_run_is_resumed_as_one(
    command: list[str], source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    source_db.execute_script(FAMILY)
    tool = Tool(tmp_path, source_db, target_db)
    tool.result("run", "--schema-only")
    target_db.execute("ALTER TABLE parents ALTER COLUMN id TYPE bigint; CREATE VIEW of_theirs AS SELECT * FROM parents")
    tool.state.unlink()
    password, tool.environment["TEST_MSSQL_PASSWORD"] = tool.environment["TEST_MSSQL_PASSWORD"], "wrong"
    tool.result("run", "--data-only", expect=2)
    tool.environment["TEST_MSSQL_PASSWORD"] = password
    tool.result(*command)
    assert target_db.execute("SELECT id FROM of_theirs") == [(1,)]
    assert_equal_rows(source_db, target_db, ["parents", "children"])
    assert foreign_key(target_db) == [("fk_parent", True)]


def test_schema_only_leaves_no_table_unlogged(source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path) -> None:
    source_db.execute_script(ITEMS)
    tool = Tool(tmp_path, source_db, target_db, use_unlogged_tables=True)
    tool.result("run", "--schema-only")
    assert persistence(target_db) == "p"
    tool.result("run", "--data-only")
    assert persistence(target_db) == "p"
    assert_equal_rows(source_db, target_db, ["items"])


def test_resume_of_a_complete_run_clears_the_ledger_it_could_not_drop(
    source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    """Killed between its last two steps, a run has said that it is complete and still has its ledger."""
    source_db.execute_script("CREATE SCHEMA sales\nGO\nCREATE TABLE sales.items (id int NOT NULL PRIMARY KEY)")
    tool = Tool(tmp_path, source_db, target_db)
    tool.data["source"]["schema"] = "*"
    tool.write()
    run_id = tool.result("run")["run_id"]
    (schema,) = target_db.execute("SELECT schemaname FROM pg_tables WHERE tablename = 'items'")[0]
    with target_db.connect() as connection:
        Ledger(str(schema), run_id).create(connection, config_hash="x", mode="truncate", tool_version="1")
        Ledger("public", str(uuid.uuid4())).create(connection, config_hash="x", mode="truncate", tool_version="1")
    tool.result("resume")
    rows = target_db.execute("SELECT schemaname FROM pg_tables WHERE tablename = '_mpm_run'")
    assert rows == ([("public",)] if schema != "public" else [])


def partly_failed(source: MssqlDatabase, target: PgDatabase, folder: Path, mode: str) -> Tool:
    """A run that found ``parents`` in the target, made ``children``, and could not carry a third table."""
    source.execute_script(f"{FAMILY}GO\nCREATE TABLE dbo.third (id int NOT NULL PRIMARY KEY)")
    source.execute_script("INSERT INTO dbo.third VALUES (1), (2)")
    target.execute("CREATE TABLE parents (id int PRIMARY KEY)")
    tool = Tool(folder, source, target, target_mode=mode, retries=1, workers=1)
    sandbox = source.server.sandbox
    assert sandbox is not None
    sandbox.faults.error(number=824, table="third", after_rows=1, times=0)
    tool.result("run", expect=3)
    sandbox.faults.clear()
    assert foreign_key(target) == [("fk_parent", True)]
    return tool


@pytest.mark.sandbox_only
@pytest.mark.parametrize("mode", ["truncate", "upsert"])
@pytest.mark.parametrize("command", ["resume", "run"])
def test_a_table_made_by_a_partly_failed_run_may_refer_to_one_that_was_there(
    command: str, mode: str, source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    tool = partly_failed(source_db, target_db, tmp_path, mode)
    if command == "run":
        source_db.execute_script("INSERT INTO dbo.parents VALUES (2)\nINSERT INTO dbo.children VALUES (2, 2)")
    tool.result(command)
    assert_equal_rows(source_db, target_db, ["parents", "children", "third"])
    assert foreign_key(target_db) == [("fk_parent", True)]
    assert no_ledger_left(target_db)


def kill_while_it_waits_for_locks(tool: Tool, target: PgDatabase, tables: str) -> None:
    """``kill -9`` of a run that prepares its tables and cannot have the first of them."""
    with target.connect(autocommit=False) as other:
        other.execute(f"LOCK {tables}".encode())
        process = tool.start("run")
        deadline = time.monotonic() + 30
        while target.execute("SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'relation'") == []:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        kill_tree(process)


@pytest.mark.parametrize("mode", ["truncate", "upsert"])
def test_a_table_that_was_only_planned_to_be_dropped_is_the_users_own(
    mode: str, source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    """The first run waits for a lock on the table until it is killed; what hangs on the table stays after the next."""
    source_db.execute_script(FAMILY)
    target_db.execute(
        "CREATE TABLE parents (id int CONSTRAINT theirs PRIMARY KEY, remark text);"
        " CREATE TABLE children (id int CONSTRAINT theirs_too PRIMARY KEY, parent int NOT NULL);"
        " CREATE VIEW seen AS TABLE parents; GRANT SELECT ON parents TO PUBLIC"
    )
    kill_while_it_waits_for_locks(Tool(tmp_path, source_db, target_db), target_db, "parents, children")
    while target_db.execute("SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'mssql-pg-migrate%'"):
        time.sleep(0.05)
    Tool(tmp_path, source_db, target_db, target_mode=mode).result("run")
    assert_equal_rows(source_db, target_db, ["children"])
    assert target_db.execute("SELECT * FROM seen") == [(1, None)]
    indexes = target_db.execute("SELECT indexname FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1")
    assert indexes == [("theirs",), ("theirs_too",)]


def test_a_table_the_user_makes_while_the_run_is_stopped_is_not_dropped_by_resume(
    source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    source_db.execute_script(FAMILY)
    target_db.execute("CREATE TABLE parents (id int PRIMARY KEY)")
    tool = Tool(tmp_path, source_db, target_db, target_mode="truncate")
    kill_while_it_waits_for_locks(tool, target_db, "parents")
    target_db.execute(
        "DROP TABLE IF EXISTS children; CREATE TABLE children (id int PRIMARY KEY, parent int NOT NULL);"
        " CREATE VIEW seen AS TABLE children"
    )
    target_db.execute("UPDATE _mpm_table SET status = 'planned', generation = 0 WHERE target = 'public.children'")
    tool.result("resume")
    assert target_db.execute("SELECT * FROM seen") == [(1, 1)]


@pytest.mark.parametrize("mode", ["truncate", "upsert"])
def test_only_missing_views_are_created_beside_tables_that_stay(
    mode: str, source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    source_db.execute_script(FAMILY)
    source_db.execute_script("CREATE VIEW dbo.by_hand AS SELECT id FROM dbo.parents")
    source_db.execute_script("CREATE VIEW dbo.missing AS SELECT id FROM dbo.children")
    Tool(tmp_path, source_db, target_db, create_views=True).result("run")
    target_db.execute(
        "CREATE OR REPLACE VIEW by_hand AS SELECT id FROM parents WHERE id > 0;"
        " COMMENT ON VIEW by_hand IS 'repaired'; DROP TABLE children CASCADE"
    )
    document = Tool(tmp_path, source_db, target_db, target_mode=mode, create_views=True).result("run")
    assert document["status"] == "completed"
    assert "id > 0" in str(target_db.execute("SELECT pg_get_viewdef('by_hand'::regclass)"))
    assert target_db.execute("SELECT * FROM missing") == [(1,)]


def test_what_a_given_up_run_leaves_is_named_and_logged(
    source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    """The next run has other tables: no run will come back to those of the first."""
    source_db.execute_script(FAMILY + ITEMS)
    target_db.execute("CREATE TABLE children (id int PRIMARY KEY, parent int NOT NULL)")
    close_gate(target_db)
    options = {"target_mode": "truncate", "use_unlogged_tables": True, "exclude_tables": ["parents"]}
    Tool(tmp_path, source_db, target_db, **options, hooks=GATE).result("run", expect=3)
    assert [persistence(target_db), persistence(target_db, "children")] == ["u", "u"]
    done = Tool(tmp_path, source_db, target_db, target_mode="truncate", include_tables=["parents"]).run("run")
    assert done.returncode == 0, done.stderr
    assert [persistence(target_db), persistence(target_db, "children")] == ["p", "p"]
    assert "public.items, of that run but not of this one: keys, indexes" in done.stderr
    assert "public.children, of that run but not of this one: rows may be missing" in done.stderr


def test_a_run_that_waited_for_another_plans_on_what_that_one_left(
    source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    """When it began there was no table: planned then, the run would make anew what the other one has finished."""
    source_db.execute_script(FAMILY)
    tool = Tool(tmp_path, source_db, target_db, target_mode="truncate")
    config = Config.load(tool.config, environment=tool.environment)
    write_state(tool.state, RunState(str(uuid.uuid4()), config_hash(config), started_at=utc_now()))
    with target_db.connect() as other:
        lock.acquire(other, ("public",))
        process = tool.start("resume")  # more patient than ``run``
        asking = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_try_advisory_lock%'"
        deadline = time.monotonic() + 20
        while target_db.execute(f"{asking} AND pid <> {other.info.backend_pid}") == [(0,)]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        other.execute(
            "CREATE TABLE parents (id int PRIMARY KEY); CREATE TABLE children (id int PRIMARY KEY,"
            " parent int NOT NULL CONSTRAINT fk_parent REFERENCES parents); CREATE VIEW theirs AS TABLE children"
        )
    output = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert target_db.execute("SELECT * FROM theirs") == [(1, 1)]
    assert foreign_key(target_db) == [("fk_parent", True)]


@pytest.mark.sandbox_only
def test_a_run_of_other_schemas_takes_its_tables_from_an_unfinished_one(
    source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    """Their ledgers are in different schemas: what the first one knows of the table is not true any more."""
    source_db.execute_script(
        "CREATE SCHEMA a\nGO\nCREATE SCHEMA b\nGO\nCREATE TABLE a.t (id int NOT NULL PRIMARY KEY)\n"
        "CREATE TABLE b.w (id int NOT NULL PRIMARY KEY)"
    )
    source_db.execute_script(f"INSERT INTO b.w VALUES {', '.join(f'({number})' for number in range(900))}")
    (tmp_path / "b").mkdir()
    both = Tool(tmp_path, source_db, target_db, chunk_size=100, retries=1)
    both.data["source"]["schema"] = ["a", "b"]
    both.write()
    sandbox = source_db.server.sandbox
    assert sandbox is not None
    sandbox.faults.error(number=824, table="w", after_rows=450, times=0)
    both.result("run", expect=3)
    sandbox.faults.clear()
    close_gate(target_db)
    one = Tool(tmp_path / "b", source_db, target_db, hooks=GATE)
    one.data["source"]["schema"], one.data["target"]["schema"] = "b", "b"
    one.write()
    done = one.run("run")
    assert done.returncode == 3
    assert "target table b.w is of another unfinished run too" in done.stderr
    both.result("resume")
    assert_equal_rows(source_db, target_db, ["w"], schema="b", source_schema="b")
    target_db.execute("DELETE FROM b.w WHERE id < 5; UPDATE gate SET open = 1")
    one.result("resume")
    assert_equal_rows(source_db, target_db, ["w"], schema="b", source_schema="b")
