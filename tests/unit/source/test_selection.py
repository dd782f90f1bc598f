"""Choosing tables by pattern."""

from __future__ import annotations

import pytest

from mssql_pg_migrate.model import Table
from mssql_pg_migrate.source.selection import idle_patterns, select_tables

TABLES = tuple(
    Table(schema, name, ()) for schema, name in [("dbo", "Orders"), ("dbo", "orders_archive"), ("Sales", "Orders")]
)


@pytest.mark.parametrize(
    ("include", "exclude", "chosen"),
    [
        ([], [], ["dbo.Orders", "dbo.orders_archive", "Sales.Orders"]),
        (["ORDERS"], [], ["dbo.Orders", "Sales.Orders"]),
        (["sales.*"], [], ["Sales.Orders"]),
        (["*.orders"], [], ["dbo.Orders", "Sales.Orders"]),
        (["orders*"], ["*_ARCHIVE"], ["dbo.Orders", "Sales.Orders"]),
        ([], ["dbo.orders"], ["dbo.orders_archive", "Sales.Orders"]),
        (["order?"], [], ["dbo.Orders", "Sales.Orders"]),
        (["nothing"], [], []),
    ],
)
def test_patterns_match_names_in_any_case(include: list[str], exclude: list[str], chosen: list[str]) -> None:
    assert [table.full_name for table in select_tables(TABLES, include, exclude)] == chosen


def test_an_include_pattern_that_matches_nothing_is_found() -> None:
    assert idle_patterns(TABLES, ["ord*", "sales.orders", "sales_*", "hr.*"]) == ("sales_*", "hr.*")
