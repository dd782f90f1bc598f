"""Targets with ideas of their own: partitions, identities, deferred keys, triggers, more columns, another owner."""

from __future__ import annotations

from typing import Any

import pytest

from mssql_pg_migrate import Config, Migration
from mssql_pg_migrate.errors import TransferError
from servers import MssqlDatabase, PgDatabase

SOURCE = """
CREATE TABLE dbo.P (region int, id int, u int NOT NULL, PRIMARY KEY (region, id), CONSTRAINT uq UNIQUE (region, u));
CREATE TABLE dbo.A (id int PRIMARY KEY, v int);
CREATE TABLE dbo.B (id int PRIMARY KEY, a int NOT NULL REFERENCES dbo.A (id), v int);
INSERT INTO dbo.P VALUES (1, 1, 10), (1, 2, 20), (2, 1, 10);
INSERT INTO dbo.A VALUES (1, 1), (2, 2);
INSERT INTO dbo.B VALUES (1, 1, 1);
"""
TARGET = """
CREATE TABLE "P" (region int, id int, u int NOT NULL, extra text NOT NULL DEFAULT 'mine', PRIMARY KEY (region, id),
    CONSTRAINT uq UNIQUE (region, u)) PARTITION BY LIST (region);
CREATE TABLE p1 PARTITION OF "P" FOR VALUES IN (1);
CREATE TABLE p2 PARTITION OF "P" FOR VALUES IN (2);
CREATE TABLE "A" (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v int, extra int NOT NULL DEFAULT 7);
CREATE TABLE "B" (id int PRIMARY KEY, a int NOT NULL REFERENCES "A" (id) DEFERRABLE INITIALLY DEFERRED, v int);
CREATE FUNCTION fired() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'a trigger fired'; END $$;
"""
COLUMNS = {"P": "region, id, u", "A": "id, v", "B": "id, a, v"}


def follow(source: MssqlDatabase, target: PgDatabase, method: str, mode: str) -> dict[str, Any]:
    """A configuration whose first load is done; with tables in the target, they are kept."""
    source.execute_script(SOURCE)
    if method == "change_tracking":
        source.execute_script(f"ALTER DATABASE [{source.name}] SET CHANGE_TRACKING = ON")
        for table in COLUMNS:
            source.execute_script(f"ALTER TABLE dbo.{table} ENABLE CHANGE_TRACKING")
    data: dict[str, Any] = {
        "source": source.section(),
        "target": target.section(),
        "migration": {"target_mode": mode},
        "sync": {"method": method},
    }
    assert migration(data).run().exit_code == 0
    return data


def migration(data: dict[str, Any]) -> Migration:
    """A new one, as each command has."""
    return Migration(Config.from_dict(data))


def assert_equal(source: MssqlDatabase, target: PgDatabase) -> None:
    """Every row, in the source's columns."""
    for table, columns in COLUMNS.items():
        theirs = sorted(map(tuple, source.query(f"SELECT {columns} FROM dbo.{table}")))
        assert theirs == sorted(target.execute(f'SELECT {columns} FROM "{table}"')), table


def test_tables_of_another_make(source_db: MssqlDatabase, target_db: PgDatabase) -> None:
    target_db.execute(TARGET)
    data = follow(source_db, target_db, "change_tracking", "truncate")
    for table in COLUMNS:
        target_db.execute(
            f'CREATE TRIGGER fired BEFORE INSERT OR UPDATE OR DELETE ON "{table}" FOR EACH ROW EXECUTE FUNCTION fired()'
        )
    for change in (
        "INSERT INTO dbo.A VALUES (3, 3); INSERT INTO dbo.B VALUES (2, 3, 5)",
        "UPDATE dbo.B SET a = 2; DELETE FROM dbo.A WHERE id = 1",
        "UPDATE dbo.P SET u = CASE u WHEN 10 THEN 20 ELSE 10 END WHERE region = 1",
    ):
        source_db.execute_script(change)
        migration(data).sync()
        assert_equal(source_db, target_db)
    assert target_db.execute("SELECT DISTINCT tgenabled FROM pg_trigger WHERE tgname = 'fired'") == [("O",)]
    assert target_db.execute("SELECT count(*) FROM pg_constraint WHERE conname = 'uq'") == [(1,)]


def test_a_delete_that_is_not_known_yet_is_in_the_way(source_db: MssqlDatabase, target_db: PgDatabase) -> None:
    """A unique value handed on from a deleted row to a new one, in a table whose method sees no deletes."""
    source_db.execute_script(
        "CREATE TABLE dbo.R (id int PRIMARY KEY, u int NOT NULL UNIQUE, rv rowversion);"
        " INSERT INTO dbo.R (id, u) VALUES (1, 1), (2, 2)"
    )
    data = follow(source_db, target_db, "auto", "drop_recreate")
    migration(data).sync()
    source_db.execute_script("DELETE FROM dbo.R WHERE id = 1; INSERT INTO dbo.R (id, u) VALUES (3, 1)")
    result = migration(data).sync()
    assert "R" in result.compared
    assert target_db.execute('SELECT id, u FROM "R" ORDER BY 1') == [(2, 2), (3, 1)]


def test_an_upsert_leaves_nothing_that_a_sync_would_not_find(source_db: MssqlDatabase, target_db: PgDatabase) -> None:
    data = follow(source_db, target_db, "change_tracking", "drop_recreate")
    source_db.execute_script("DELETE FROM dbo.P WHERE region = 2")
    data["migration"] = {"target_mode": "upsert"}
    assert migration(data).run().exit_code == 0
    migration(data).sync()
    assert_equal(source_db, target_db)


def test_triggers_of_somebody_else(source_db: MssqlDatabase, target_db: PgDatabase) -> None:
    """The error says what helps, and only tables with changes need it."""
    data = follow(source_db, target_db, "change_tracking", "drop_recreate")
    role = f"{target_db.name}_syncer"
    target_db.execute(
        "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;"
        ' CREATE TRIGGER nothing AFTER INSERT ON "A" FOR EACH ROW EXECUTE FUNCTION nothing();'
        f" CREATE ROLE {role} LOGIN PASSWORD 'of-the-sync'; GRANT USAGE, CREATE ON SCHEMA public TO {role};"
        f" GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"
    )
    try:
        data["target"] |= {"user": role, "password": "of-the-sync"}
        source_db.execute_script("INSERT INTO dbo.B VALUES (5, 1, 5)")
        assert migration(data).sync().changes == 1
        source_db.execute_script("INSERT INTO dbo.A VALUES (9, 3)")
        with pytest.raises(TransferError, match="must be owner of table A") as caught:
            migration(data).sync()
        assert "fire_triggers" in (caught.value.hint or "")
        data["sync"]["fire_triggers"] = True
        assert migration(data).sync().changes == 1
        assert_equal(source_db, target_db)
    finally:
        target_db.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
