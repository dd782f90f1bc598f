"""Keys of a package that PostgreSQL takes for equal."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from bcp_rows import Column
from mssql_pg_migrate.mapping.build import build
from mssql_pg_migrate.mapping.objects import MappedTable
from mssql_pg_migrate.mapping.options import MappingOptions
from mssql_pg_migrate.source.bacpac import collisions
from mssql_pg_migrate.source.bacpac.source import PackageSession
from mssql_pg_migrate.source.settings import PackageSettings
from packages import Table, write_package

AT = Column("datetime2", scale=7, name="at")
NAME = Column("nvarchar", length=20, name="name")
ID = Column("int", name="id")


def opened(path: Path, table: Table, options: MappingOptions | None = None) -> tuple[PackageSession, MappedTable]:
    """A package of one table, and the table as it is mapped."""
    session = PackageSession(PackageSettings(str(write_package(path / "x.bacpac", [table]))))
    return session, build(session.catalog(None), options or MappingOptions()).tables[0]


def test_times_that_differ_in_the_seventh_decimal(tmp_path: Path) -> None:
    """Two rows of different files, other columns between; the message names both rows."""
    first, second = (datetime(2026, 1, 1), 1), (datetime(2026, 1, 1), 9)
    files = [[[1, first, "a"], [2, first, "b"]], [[3, (datetime(2026, 1, 1), 30), "c"], [2, second, "d"]]]
    session, table = opened(tmp_path, Table("T", [ID, AT, NAME], files, key=["id", "at"]))
    found = session.key_collision(table, "error")
    assert found is not None
    assert found.certain
    assert found.message.startswith("rows 2 and 4 have primary keys that differ only in the seventh decimal of seconds")


def test_keys_that_stay_apart(tmp_path: Path) -> None:
    """Times that differ in what is kept; a table whose key loses nothing is not read at all."""
    files = [[[1, (datetime(2026, 1, 1), 10), "a"], [1, (datetime(2026, 1, 1), 20), "a"]]]
    session, table = opened(tmp_path, Table("T", [ID, AT, NAME], files, key=["id", "at"]))
    assert session.key_collision(table, "error") is None
    plain = replace(table, source=replace(table.source, row_estimate=10**9))
    assert session.key_collision(plain, "error") is not None
    session, table = opened(tmp_path, Table("T", [ID, AT, NAME], files, key=["id"]))
    assert session.key_collision(table, "error") is None


def test_texts_without_their_zero_characters(tmp_path: Path) -> None:
    """on_nul: strip makes two of them equal."""
    session, table = opened(tmp_path, Table("T", [NAME], [[["a"], ["a\0"]]], key=["name"]))
    assert session.key_collision(table, "error") is None
    found = session.key_collision(table, "strip")
    assert found is not None
    assert "U+0000" in found.message


def test_case_that_the_target_does_not_tell_apart(tmp_path: Path) -> None:
    """A key of a case-sensitive collation that becomes citext."""
    session, table = opened(tmp_path, Table("T", [NAME], [[["Abc"], ["ÄB"], ["äb"]]], key=["name"]))
    column = table.columns[0]
    kind = replace(column.source.type, collation="Latin1_General_CS_AS")
    folded = replace(column, source=replace(column.source, type=kind), pg_type="citext")
    found = session.key_collision(replace(table, columns=(folded,)), "error")
    assert found is not None
    assert found.message.startswith("rows 2 and 3 have primary keys that differ only in the case of letters")


def test_very_large_tables_are_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said that they were not."""
    monkeypatch.setattr(collisions, "MOST_ROWS", 1)
    session, table = opened(tmp_path, Table("T", [AT], [[[(datetime(2026, 1, 1), 0)]] * 2], key=["at"]))
    found = session.key_collision(table, "error")
    assert found is not None
    assert not found.certain
