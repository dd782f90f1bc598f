"""The relation of sampled rows: of pages where a table has many, of all rows where it has few."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from mssql_pg_migrate.mapping.objects import MappedTable
from mssql_pg_migrate.mapping.types import MappedColumn, map_type
from mssql_pg_migrate.model import Column, Key, KeyColumn, SqlType, Table
from mssql_pg_migrate.source.sqlserver.sample import spread

COLUMNS = (Column("id", SqlType("int", max_length=4), nullable=False), Column("t", SqlType("nvarchar", 20)))
BY_ID = Key("pk", (KeyColumn("id", descending=True),), primary=True)


def mapped(key: Key | None = BY_ID) -> MappedTable:
    kinds = [(column, map_type(column)) for column in COLUMNS]
    columns = tuple(MappedColumn(column, column.name, kind.pg_type, kind.encoding) for column, kind in kinds)
    return MappedTable(Table("dbo", "Orders", COLUMNS), "public", "orders", columns, range_key=key)


def of_size(table: MappedTable, rows: int, size: int | None) -> MappedTable:
    return replace(table, source=replace(table.source, row_estimate=rows, size_bytes=size))


def test_few_rows_are_all_taken() -> None:
    assert spread(of_size(mapped(), 100, None), 100) is None
    assert spread(of_size(mapped(), 140, None), 100) == "[dbo].[Orders]"


def test_of_a_small_table_every_nth_row_is_taken() -> None:
    assert spread(of_size(mapped(), 1000, 8192 * 10), 100) == (
        "(SELECT [id], [t] FROM (SELECT [id], [t], ROW_NUMBER() OVER (ORDER BY [id] DESC) AS [_mpm_rank]"
        " FROM [dbo].[Orders]) AS r WHERE r.[_mpm_rank] % 10 = 0) AS q"
    )


def test_of_a_large_table_some_pages_are_read() -> None:
    assert spread(of_size(mapped(), 1_000_000, 8192 * 10_000), 100) == (
        "(SELECT [id], [t] FROM (SELECT [id], [t], ROW_NUMBER() OVER (ORDER BY [id] DESC) AS [_mpm_rank]"
        " FROM [dbo].[Orders] TABLESAMPLE SYSTEM (1.0000 PERCENT)) AS r WHERE r.[_mpm_rank] % 100 = 0) AS q"
    )
    heap = spread(of_size(mapped(None), 1_000_000, None), 100) or ""
    assert "ROW_NUMBER() OVER (ORDER BY (SELECT NULL))" in heap
    assert heap.endswith("% 100 = 0) AS q")


@given(st.integers(1, 10**12), st.one_of(st.none(), st.integers(1, 10**15)), st.integers(1, 100_000))
def test_about_as_many_rows_are_taken_as_are_wanted(rows: int, size: int | None, limit: int) -> None:
    sql = spread(of_size(mapped(), rows, size), limit) or ""
    percent = float(sql.partition("SYSTEM (")[2].partition(" ")[0] or 100)
    step = int(sql.partition("_mpm_rank] % ")[2].partition(" ")[0] or 1)
    assert 0 < percent <= 100
    assert rows * percent / 100 / step >= min(limit, rows) * 0.4
