"""Which key ranges use."""

from __future__ import annotations

import pytest

from mssql_pg_migrate.mapping import range_keys
from mssql_pg_migrate.model import Column, Index, Key, KeyColumn, SqlType, Table

INT = SqlType("int", max_length=4)
NVARCHAR = SqlType("nvarchar", max_length=100, collation="Latin1_General_CI_AS")


def column(name: str, kind: SqlType = INT, *, nullable: bool = False) -> Column:
    return Column(name, kind, nullable=nullable)


def key(name: str, *columns: str, primary: bool = False, clustered: bool = False, disabled: bool = False) -> Key:
    return Key(name, tuple(KeyColumn(c) for c in columns), primary=primary, clustered=clustered, disabled=disabled)


def test_the_clustered_primary_key() -> None:
    table = Table("dbo", "t", (column("id"), column("x")), primary_key=key("pk", "id", primary=True, clustered=True))
    assert range_keys.choose_range_key(table) == table.primary_key


def test_a_clustered_unique_key_before_a_nonclustered_primary_key() -> None:
    table = Table(
        "dbo",
        "t",
        (column("id", SqlType("uniqueidentifier", max_length=16)), column("seq")),
        primary_key=key("pk", "id", primary=True),
        indexes=(Index("cx", (KeyColumn("seq", descending=True),), unique=True, clustered=True, kind="CLUSTERED"),),
    )
    chosen = range_keys.choose_range_key(table)
    assert chosen is not None
    assert (chosen.name, chosen.columns) == ("cx", (KeyColumn("seq", descending=True),))


def test_the_primary_key_before_another_unique_constraint() -> None:
    table = Table(
        "dbo",
        "t",
        (column("a"), column("b")),
        primary_key=key("pk", "b", primary=True),
        unique_keys=(key("uq", "a"),),
    )
    assert range_keys.choose_range_key(table) == table.primary_key


def test_the_narrower_of_two_unique_constraints() -> None:
    wide, narrow = key("wide", "name"), key("narrow", "id")
    table = Table("dbo", "t", (column("id"), column("name", NVARCHAR)), unique_keys=(wide, narrow))
    assert range_keys.choose_range_key(table) == narrow


@pytest.mark.parametrize(
    "bad",
    [
        column("id", SqlType("float")),
        column("id", SqlType("real")),
        column("id", SqlType("sql_variant")),
        column("id", SqlType("hierarchyid", max_length=892)),
        column("id", SqlType("timestamp", max_length=8)),
        column("id", SqlType("nvarchar", max_length=-1)),
        column("id", nullable=True),
        Column("id", INT, nullable=False, encrypted=True),
    ],
    ids=lambda c: str(c.type),
)
def test_unsuitable_columns_leave_the_next_key_or_none(bad: Column) -> None:
    primary = key("pk", "id", primary=True, clustered=True)
    assert range_keys.choose_range_key(Table("dbo", "t", (bad,), primary_key=primary)) is None
    other = Table("dbo", "t", (bad, column("b")), primary_key=primary, unique_keys=(key("uq", "b"),))
    assert range_keys.choose_range_key(other) == key("uq", "b")
    assert range_keys.unusable_reason(bad) is not None


def test_filtered_disabled_and_columnstore_indexes_are_no_keys() -> None:
    columns = (KeyColumn("a"),)
    table = Table(
        "dbo",
        "t",
        (column("a"),),
        indexes=(
            Index("f", columns, unique=True, filter="([a]>(0))"),
            Index("d", columns, unique=True, disabled=True),
            Index("h", columns, unique=True, kind="NONCLUSTERED HASH"),
            Index("n", columns, unique=False),
        ),
    )
    assert range_keys.choose_range_key(table) is None


def test_a_disabled_primary_key_is_none() -> None:
    table = Table("dbo", "t", (column("a"),), primary_key=key("pk", "a", primary=True, disabled=True))
    assert range_keys.choose_range_key(table) is None
