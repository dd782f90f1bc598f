"""Rows that do not fit PostgreSQL's page: foreseen by the plan, and named by their key when they come."""

from __future__ import annotations

import bisect
import random
from pathlib import Path
from typing import Any

import psycopg
import pytest

from mssql_pg_migrate.mapping.build import build
from mssql_pg_migrate.mapping.objects import MappedTable
from mssql_pg_migrate.mapping.options import MappingOptions
from mssql_pg_migrate.mapping.rowsize import MAX_ROW, row_size
from mssql_pg_migrate.model import Catalog, Column, SqlType, Table
from mssql_pg_migrate.target import ddl
from running import Tool, assert_equal_rows
from servers import MssqlDatabase, PgDatabase

_TYPES: list[tuple[SqlType, str]] = [
    (SqlType("int", 4), "'2000000000'"),
    (SqlType("bigint", 8), "'9'"),
    (SqlType("smallint", 2), "'1'"),
    (SqlType("bit", 1), "'t'"),
    (SqlType("uniqueidentifier", 16), "'6F9619FF-8B86-D011-B42D-00C04FC964FF'"),
    (SqlType("decimal", 5, 9, 2), "'9999999.99'"),
    (SqlType("decimal", 17, 38, 10), "'" + "9" * 28 + "." + "9" * 10 + "'"),
    (SqlType("nvarchar", 8), "'" + "中" * 4 + "'"),
    (SqlType("nvarchar", 100), "'" + "a" * 23 + "'"),
    (SqlType("datetime2", 8, 27, 6), "'2026-01-01'"),
    (SqlType("date", 3), "'2026-01-01'"),
    (SqlType("varbinary", 10), "'\\x" + "ff" * 10 + "'"),
]
"""Types, and of each a value that takes most room in the page."""


def _mapped(columns: list[tuple[SqlType, str]]) -> MappedTable:
    table = Table(
        schema="public",
        name="w",
        columns=tuple(
            Column(name=f"c{number}", type=kind, nullable=False, ordinal=number + 1)
            for number, (kind, _) in enumerate(columns)
        ),
        row_estimate=1,
    )
    (mapped,) = build(Catalog("d", None, "16.0.1000.6", (table,)), MappingOptions()).tables
    return mapped


def _fits(target: psycopg.Connection[Any], columns: list[tuple[SqlType, str]]) -> tuple[int, bool]:
    """The most a row takes by the rule, and whether the server takes such a row."""
    table = _mapped(columns)
    with target.transaction(force_rollback=True):
        target.execute(ddl.create_table(table).encode())
        # As rows come: nothing is compressed before it is looked at, short values are stored as they are.
        values = ", ".join(value for _, value in columns)
        try:
            target.execute(f"INSERT INTO {ddl.relation(table)} VALUES ({values})".encode())
        except psycopg.errors.ProgramLimitExceeded:
            return row_size(table).most, False
    return row_size(table).most, True


@pytest.mark.parametrize("seed", range(4))
def test_the_rule_is_that_of_the_server(seed: int, target: psycopg.Connection[Any]) -> None:
    """Around the limit: the last column that fits by the rule fits, the next one does not."""
    chance = random.Random(seed)
    kinds = chance.sample(_TYPES, 3) if seed else [_TYPES[8]]
    columns = [chance.choice(kinds) for _ in range(1600)]
    few = bisect.bisect_right(range(1600), MAX_ROW, key=lambda count: row_size(_mapped(columns[:count])).most)
    columns = columns[:few]
    most, taken = _fits(target, columns)
    assert (most > MAX_ROW) == (not taken), (most, len(columns))
    most, taken = _fits(target, columns[:-1])
    assert most <= MAX_ROW
    assert taken, most


def plan_notes(tool: Tool) -> list[tuple[str, str]]:
    return [(note["severity"], note["message"]) for note in tool.result("run", "--dry-run")["plan"]["notes"]]


def test_a_table_of_which_no_row_fits_is_refused(
    source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    pairs = ", ".join(f"a{n} int NOT NULL DEFAULT 1, b{n} bigint NOT NULL DEFAULT 2" for n in range(511))
    source_db.execute_script(f"CREATE TABLE dbo.pairs (id int NOT NULL PRIMARY KEY, {pairs})")
    source_db.execute_script("INSERT INTO dbo.pairs (id) VALUES (1)")
    source_db.execute_script("CREATE TABLE dbo.other (id int NOT NULL PRIMARY KEY)")
    tool = Tool(tmp_path, source_db, target_db)
    document = tool.result("run", expect=3)
    assert "dbo.pairs: every row takes at least 8," in document["error"]
    assert 'exclude_tables: ["dbo.pairs"]' in document["hint"]
    assert "every row takes at least 8," in tool.result("health-check", expect=2)["error"]
    document = Tool(tmp_path, source_db, target_db, on_refused_table="skip").result("run", expect=3)
    assert {table["table"]: table["status"] for table in document["tables"]} == {
        "other": "completed",
        "pairs": "failed",
    }


@pytest.mark.parametrize(("mode", "binary"), [("drop_recreate", True), ("upsert", False)])
def test_a_row_that_does_not_fit_is_named_by_its_key(
    mode: str, binary: bool, source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    columns = ", ".join(f"c{n} nvarchar(4) NULL" for n in range(700))
    names, values = ", ".join(f"c{n}" for n in range(700)), ", ".join(["N'中文中文'"] * 700)
    source_db.execute_script(
        f"CREATE TABLE dbo.wide (area varchar(5) NOT NULL, id int NOT NULL, {columns}, PRIMARY KEY (area, id))"
    )
    rows = ", ".join(f"('n', {number})" for number in range(40))
    source_db.execute_script(f"INSERT INTO dbo.wide (area, id) VALUES {rows}")
    source_db.execute_script(f"INSERT INTO dbo.wide (area, id, {names}) VALUES ('n', 77, {values})")
    source_db.execute_script("INSERT INTO dbo.wide (area, id) VALUES ('n', 78), ('n', 79), ('s', 1)")
    source_db.execute_script("CREATE TABLE dbo.other (id int NOT NULL PRIMARY KEY)")
    tool = Tool(tmp_path, source_db, target_db, use_binary_copy=binary, target_mode=mode)
    assert any(severity == "warning" and "a row may take" in text for severity, text in plan_notes(tool))
    document = tool.result("run", expect=3)
    assert {table["table"]: table["status"] for table in document["tables"]} == {"other": "completed", "wide": "failed"}
    (failed,) = document["failed_tables"]
    assert "row is too big" in failed["error"]
    assert "(the row with area=n, id=77)" in failed["error"]
    assert failed["error_type"] == "data"
    source_db.execute_script("UPDATE dbo.wide SET c1 = NULL, c2 = NULL WHERE id = 77")
    source_db.execute_script(f"UPDATE dbo.wide SET {', '.join(f'c{n} = NULL' for n in range(300))} WHERE id = 77")
    tool.result("resume")
    assert_equal_rows(source_db, target_db, ["wide"])


def test_ordinary_tables_have_no_note(source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path) -> None:
    columns = ", ".join(f"c{n} nvarchar(200) NULL" for n in range(300))
    source_db.execute_script(f"CREATE TABLE dbo.usual (id int NOT NULL PRIMARY KEY, {columns})")
    assert plan_notes(Tool(tmp_path, source_db, target_db)) == []
