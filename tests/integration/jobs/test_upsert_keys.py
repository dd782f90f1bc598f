"""Upsert and the keys that the two servers do not compare alike: no row is lost to another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from running import Tool
from servers import MssqlDatabase, PgDatabase

COLLIDING = {
    "datetime2": (
        "a int NOT NULL, k datetime2(7) NOT NULL, PRIMARY KEY (a, k)",
        ("1, '2000-01-01T00:00:00.1234561'", "1, '2000-01-01T00:00:00.1234569'"),
        "the seventh decimal of seconds",
        "a=1, k=2000-01-01 00:00:00.123456",
    ),
    "time": (
        "k time(7) NOT NULL PRIMARY KEY",
        ("'23:59:59.9999990'", "'23:59:59.9999999'"),
        "the seventh decimal of seconds",
        "k=23:59:59.999999",
    ),
    "datetimeoffset": (
        "k datetimeoffset(7) NOT NULL PRIMARY KEY",
        ("'2000-01-01T00:00:00.0000001+02:00'", "'1999-12-31T22:00:00.0000002+00:00'"),
        "the seventh decimal of seconds",
        "k=1999-12-31 22:00:00.000000",
    ),
    "sql_variant": (
        "k sql_variant NOT NULL PRIMARY KEY",
        ("CAST(1 AS int)", "CAST(N'1' AS nvarchar(5))"),
        "the base type of a sql_variant",
        "k=1",
    ),
    "nul": (
        "k nvarchar(10) NOT NULL PRIMARY KEY",
        ("N'x'", "CAST(0x78000000 AS nvarchar(10))"),
        "the characters U+0000",
        "k=x",
    ),
}


def test_keys_that_would_fall_together_are_refused_beforehand(
    source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    """One row a chunk: each merge alone would be well, and the second row would overwrite the first."""
    for name, (columns, rows, _, _) in COLLIDING.items():
        source_db.execute_script(f"CREATE TABLE dbo.[{name}] ({columns})")
        for row in rows:
            source_db.execute_script(f"INSERT INTO dbo.[{name}] VALUES ({row})")
    done = Tool(tmp_path, source_db, target_db, target_mode="upsert", chunk_size=1, on_nul="strip").run("run")
    assert done.returncode == 3
    for name, (_, _, reason, key) in COLLIDING.items():
        assert f"dbo.{name}: 2 rows have primary keys that differ only in {reason}" in done.stderr
        assert f"({key})" in done.stderr
    assert target_db.execute("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace") == []


def test_keys_that_stay_apart_are_not_refused(source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path) -> None:
    """Letters that are equal in the source's collation are not in the target's."""
    source_db.execute_script(
        "CREATE TABLE dbo.T (a nvarchar(10) NOT NULL, k datetime2(7) NOT NULL, PRIMARY KEY (a, k))\nGO\n"
        "INSERT INTO dbo.T VALUES (N'x', '2000-01-01T00:00:00.0000001'), (N'X', '2000-01-01T00:00:00.0000002'),"
        " (N'x', '2000-01-01T00:00:00.0000012')"
    )
    result = Tool(tmp_path, source_db, target_db, target_mode="upsert", chunk_size=1).result("run")
    assert result["status"] == "completed"
    assert target_db.execute('SELECT count(*), count(DISTINCT k) FROM "T"') == [(3, 2)]


def test_a_key_that_is_all_of_a_row_is_spelled_anew(
    source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    try:
        target_db.execute("CREATE EXTENSION citext")
    except Exception as error:
        pytest.skip(f"no citext here: {error}")
    source_db.execute_script("CREATE TABLE dbo.T (k varchar(10) COLLATE Latin1_General_CI_AS NOT NULL PRIMARY KEY)")
    source_db.execute_script("INSERT INTO dbo.T VALUES ('abc'), ('def')")
    target_db.execute('CREATE TABLE "T" (k citext PRIMARY KEY)')
    tool = Tool(tmp_path, source_db, target_db, target_mode="upsert")
    tool.result("run")
    source_db.execute_script("UPDATE dbo.T SET k = 'ABC' WHERE k = 'abc'")
    assert tool.result("run")["skipped_rows"] == 1
    assert target_db.execute('SELECT k::text FROM "T" ORDER BY 1') == [("ABC",), ("def",)]

    source_db.execute_script("CREATE TABLE dbo.Exact (k varchar(10) COLLATE Latin1_General_CS_AS NOT NULL PRIMARY KEY)")
    source_db.execute_script("INSERT INTO dbo.Exact VALUES ('a'), ('A')")
    target_db.execute('CREATE TABLE "Exact" (k citext PRIMARY KEY)')
    done = tool.run("run")
    assert done.returncode == 3
    assert "2 rows have primary keys that differ only in the case of letters" in done.stderr
    assert target_db.execute('SELECT count(*) FROM "Exact"') == [(0,)]
