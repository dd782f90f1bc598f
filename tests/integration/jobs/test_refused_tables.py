"""One table does not decide for all: what refuses it stops the run with a way out, or only the table is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from running import Tool, assert_equal_rows, no_ledger_left
from servers import MssqlDatabase, PgDatabase

TABLES = """
CREATE TABLE dbo.good (id int NOT NULL CONSTRAINT pk_good PRIMARY KEY)
CREATE TABLE dbo.lines (id int NOT NULL CONSTRAINT pk_lines PRIMARY KEY, good int NOT NULL
    CONSTRAINT fk_good REFERENCES dbo.good (id))
CREATE TABLE dbo.other (id int NOT NULL CONSTRAINT pk_other PRIMARY KEY, v nvarchar(10) NULL)
GO
INSERT INTO dbo.good VALUES (1), (2)
INSERT INTO dbo.lines VALUES (10, 1), (11, 2)
INSERT INTO dbo.other VALUES (1, N'x')
"""


@pytest.fixture
def source(source_db: MssqlDatabase) -> MssqlDatabase:
    source_db.execute_script(TABLES)
    return source_db


def statuses(document: dict[str, Any]) -> dict[str, str]:
    return {table["table"]: table["status"] for table in document["tables"]}


@pytest.mark.parametrize("mode", ["drop_recreate", "truncate", "upsert"])
@pytest.mark.parametrize("kind", ["ENUM ('a')", "RANGE (subtype = int)", None])
def test_a_type_in_the_way_of_a_table(
    kind: str | None, mode: str, source: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    target_db.execute(f"CREATE TYPE good AS {kind}" if kind else "CREATE DOMAIN good AS int")
    target_db.execute("CREATE TABLE other (id int PRIMARY KEY, v text); INSERT INTO other VALUES (7, 'theirs')")
    tool = Tool(tmp_path, source, target_db, target_mode=mode)
    document = tool.result("run", expect=3)
    assert "public.good is a" in document["error"]
    assert "(a type) in the target" in document["error"]
    assert 'exclude_tables: ["dbo.good"]' in document["hint"]
    assert target_db.execute("SELECT * FROM other") == [(7, "theirs")], "nothing was touched"
    assert "good" in tool.result("health-check", expect=2)["error"]

    tool = Tool(tmp_path, source, target_db, target_mode=mode, exclude_tables=["dbo.good"])
    tool.result("run")
    assert_equal_rows(source, target_db, ["lines"])


def test_skip_leaves_the_table_out_and_resume_carries_it_when_the_cause_is_gone(
    source: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    target_db.execute("CREATE TYPE good AS ENUM ('a')")
    tool = Tool(tmp_path, source, target_db, on_refused_table="skip")
    document = tool.result("run", expect=3)
    assert statuses(document) == {"good": "failed", "lines": "completed", "other": "completed"}
    assert [failed["table"] for failed in document["failed_tables"]] == ["good"]
    assert any("left out (on_refused_table: skip)" in note for note in document["notes"])
    assert_equal_rows(source, target_db, ["lines", "other"])
    document = tool.result("resume", expect=3)
    assert statuses(document)["good"] == "failed"
    target_db.execute("DROP TYPE good")
    document = tool.result("resume")
    assert set(statuses(document).values()) == {"completed"}
    assert_equal_rows(source, target_db, ["good", "lines", "other"])
    keys = target_db.execute("SELECT conname, convalidated FROM pg_constraint WHERE contype = 'f'")
    assert keys == [("fk_good", True)]
    assert no_ledger_left(target_db)


def test_a_table_of_more_columns_than_postgresql_takes(
    source: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    sparse = ", ".join(f"c{number} int SPARSE NULL" for number in range(1600))
    source.execute_script(f"CREATE TABLE dbo.wide (id int NOT NULL PRIMARY KEY, {sparse})")
    document = Tool(tmp_path, source, target_db).result("run", expect=3)
    assert "dbo.wide: has 1601 columns, PostgreSQL allows 1600" in document["error"]
    assert 'exclude_tables: ["dbo.wide"]' in document["hint"]
    document = Tool(tmp_path, source, target_db, on_refused_table="skip").result("run", expect=3)
    assert statuses(document) == {"good": "completed", "lines": "completed", "other": "completed", "wide": "failed"}
    assert_equal_rows(source, target_db, ["good", "lines", "other"])


def test_skip_with_nothing_left_is_refused(source: MssqlDatabase, target_db: PgDatabase, tmp_path: Path) -> None:
    target_db.execute("CREATE TYPE good AS ENUM ('a')")
    options = {"on_refused_table": "skip", "include_tables": ["good"]}
    document = Tool(tmp_path, source, target_db, **options).result("run", expect=3)
    assert "(a type) in the target" in document["error"]
    assert document.get("hint") is None


def test_what_refuses_the_whole_run_is_not_skipped(
    source: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    target_db.execute(f'ALTER DATABASE "{target_db.name}" SET default_transaction_read_only = on')
    document = Tool(tmp_path, source, target_db, on_refused_table="skip").result("run", expect=3)
    assert "nothing can be written" in document["error"]


@pytest.mark.parametrize("mode", ["drop_recreate", "truncate"])
def test_a_statement_that_fails_for_one_table_fails_that_table_only(
    mode: str, source: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    """An event trigger refuses one CREATE TABLE: no plan can know."""
    target_db.execute(
        "CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() WHERE object_identity = 'public.other')"
        " THEN RAISE 'other is not wanted here'; END IF; END $$;"
        " CREATE EVENT TRIGGER refuse ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION refuse()"
    )
    tool = Tool(tmp_path, source, target_db, target_mode=mode)
    document = tool.result("run", expect=3)
    assert statuses(document) == {"good": "completed", "lines": "completed", "other": "failed"}
    (failed,) = [table for table in document["tables"] if table["status"] == "failed"]
    assert "table other: preparing the table: other is not wanted here" in failed["error"]
    assert_equal_rows(source, target_db, ["good", "lines"])
    target_db.execute("DROP EVENT TRIGGER refuse")
    assert set(statuses(tool.result("resume")).values()) == {"completed"}
    assert_equal_rows(source, target_db, ["good", "lines", "other"])
    assert no_ledger_left(target_db)


def test_a_rule_keeps_upsert_away_and_is_named_to_truncate(
    source: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    target_db.execute(
        "CREATE TABLE other (id int PRIMARY KEY, v text); CREATE TABLE heard (id int);"
        " CREATE RULE hear AS ON INSERT TO other DO ALSO INSERT INTO heard VALUES (NEW.id)"
    )
    options = {"include_tables": ["other"], "target_mode": "upsert"}
    document = Tool(tmp_path, source, target_db, **options).result("run", expect=3)
    assert "DROP RULE hear" in document["error"]
    document = Tool(tmp_path, source, target_db, include_tables=["other"], target_mode="truncate").result("run")
    assert any("its rules do not act on the rows (COPY): hear" in note for note in document["notes"])
    assert_equal_rows(source, target_db, ["other"])


def test_child_tables_that_truncate_empties_are_named(
    source: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    target_db.execute("CREATE TABLE other (id int PRIMARY KEY, v text); CREATE TABLE archive () INHERITS (other)")
    options = {"include_tables": ["other"], "target_mode": "truncate"}
    document = Tool(tmp_path, source, target_db, **options).result("run", "--dry-run")
    notes = [note["message"] for note in document["plan"]["notes"]]
    assert "public.other: its child tables are emptied with it: archive" in notes


@pytest.mark.parametrize("mode", ["drop_recreate", "truncate", "upsert"])
def test_a_table_of_almost_the_same_name_is_told(
    mode: str, source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    source_db.execute_script("CREATE TABLE dbo.Customers (Id int NOT NULL PRIMARY KEY)")
    target_db.execute("CREATE TABLE customers (id int PRIMARY KEY)")
    document = Tool(tmp_path, source_db, target_db, target_mode=mode).result("run", "--dry-run")
    notes = [note["message"] for note in document["plan"]["notes"]]
    text = 'the target has "customers", which is another table: "Customers" is made beside it (see identifier_case)'
    assert text in notes


def test_row_security_that_binds_the_user_is_told(source: MssqlDatabase, target_db: PgDatabase, tmp_path: Path) -> None:
    role = f"bound_{target_db.name}"
    target_db.execute(
        f"CREATE TABLE other (id int PRIMARY KEY, v text); ALTER TABLE other ENABLE ROW LEVEL SECURITY;"
        f" CREATE ROLE {role} LOGIN PASSWORD 'Bound_pass_1'; GRANT ALL ON SCHEMA public TO {role};"
        f" GRANT ALL ON other TO {role}"
    )
    tool = Tool(tmp_path, source, target_db, include_tables=["other"], target_mode="truncate")
    tool.data["target"]["user"] = role
    tool.environment["TEST_POSTGRES_PASSWORD"] = "Bound_pass_1"
    tool.write()
    try:
        assert "public.other: row-level security is in force" in tool.result("run", expect=3)["error"]
    finally:
        target_db.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
