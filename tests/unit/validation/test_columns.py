"""Which columns of a table are compared, in which form, and what tells its rows apart."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mssql_pg_migrate.mapping.objects import MappedTable
from mssql_pg_migrate.mapping.types import MappedColumn, map_type
from mssql_pg_migrate.model import Column, Computed, Key, KeyColumn, SqlType, Table
from mssql_pg_migrate.target.inspect import ExistingColumn, ExistingTable
from mssql_pg_migrate.validation.columns import NotComparable, compare_columns
from mssql_pg_migrate.validation.kinds import Kind, Role

INT = SqlType("int", 4)
BASES = {
    "bool": "bool", "int2": "int2", "int4": "int4", "int8": "int8", "numeric": "numeric", "float4": "float4",
    "float8": "float8", "text": "varchar", "bytea": "bytea", "uuid": "uuid", "date": "date", "time": "time",
    "timestamp": "timestamp", "timestamptz": "timestamptz",
}  # fmt: skip


def table(*types: SqlType, primary: tuple[int, ...] = (), ranged: tuple[int, ...] = ()) -> MappedTable:
    columns = tuple(Column(name=f"c{number}", type=kind, ordinal=number + 1) for number, kind in enumerate(types))

    def key(numbers: tuple[int, ...], *, is_primary: bool) -> Key | None:
        parts = tuple(KeyColumn(f"c{number}") for number in numbers)
        return Key("k", parts, primary=is_primary) if parts else None

    source = Table("dbo", "T", columns, primary_key=key(primary, is_primary=True))
    mapped = []
    for column in columns:
        rule = map_type(column)
        mapped.append(MappedColumn(source=column, name=column.name, pg_type=rule.pg_type, encoding=rule.encoding))
    return MappedTable(source, "public", "T", tuple(mapped), range_key=key(ranged, is_primary=False))


def existing(of: MappedTable, *, kind: str = "r", **bases: str) -> ExistingTable:
    columns = tuple(
        ExistingColumn(
            name=column.name,
            base=bases.get(column.name, BASES[column.encoding]),
            typmod=-1,
            display=bases.get(column.name, BASES[column.encoding]),
            not_null=False,
            default=None,
            identity="",
            generated=False,
        )
        for column in of.columns
    )
    return ExistingTable("public", "T", kind, False, False, columns, ())


def test_the_primary_key_comes_before_the_range_key() -> None:
    made = table(INT, INT, INT, primary=(1,), ranged=(0, 2))
    _, comparison = compare_columns(made, existing(made))
    assert comparison.keyed
    assert comparison.roles == (Role.DATA, Role.KEY, Role.DATA)
    assert [field.column.name for field in comparison.label_fields] == ["c1"]


def test_a_key_that_is_not_carried_is_no_key() -> None:
    made = table(INT, INT, primary=(0,), ranged=(1,))
    made = replace(made, columns=made.columns[1:])
    _, comparison = compare_columns(made, existing(made))
    assert comparison.keyed
    assert comparison.names == ("c1",)
    assert comparison.roles == (Role.KEY,)


def test_a_computed_column_is_compared_whether_the_target_computes_it_or_not() -> None:
    """A run copies it into a table that has it as a plain column, whatever the mapping would have created."""
    made = table(INT, INT, primary=(0,))
    source = replace(made.columns[1].source, computed=Computed("([c0]+(1))", persisted=False))
    computed_column = replace(made.columns[1], source=source, copied=False, generated_sql="c0 + 1")
    made = replace(made, columns=(made.columns[0], computed_column))
    plain = existing(made)
    read, comparison = compare_columns(made, plain)
    assert comparison.names == ("c0", "c1")
    assert [column.name for column in read.copied_columns] == ["c0", "c1"]

    computed = replace(plain, columns=(plain.columns[0], replace(plain.columns[1], generated=True)))
    read, comparison = compare_columns(made, computed)
    assert comparison.names == ("c0", "c1")
    assert [column.computed for column in comparison.columns] == [False, True]
    assert [column.name for column in read.copied_columns] == ["c0", "c1"]
    assert comparison.without_computed().names == ("c0",)
    assert comparison.of(comparison.columns[1]).names == ("c0", "c1")

    other = replace(existing(made, c1="uuid").columns[1], generated=True)
    _, comparison = compare_columns(made, replace(plain, columns=(plain.columns[0], other)))
    assert (comparison.names, comparison.incomparable) == (("c0",), ("c1",))

    _, comparison = compare_columns(made, replace(plain, columns=plain.columns[:1]))
    assert comparison.names == ("c0",), "nor is one that the target does without"


def test_without_a_key_the_first_columns_are_labels() -> None:
    made = table(*[INT] * 6)
    _, comparison = compare_columns(made, existing(made))
    assert not comparison.keyed
    assert comparison.roles == (*[Role.LABEL] * 4, Role.DATA, Role.DATA)
    assert all(field.cut for field in comparison.label_fields)


@pytest.mark.parametrize(
    ("sql_type", "base", "kinds"),
    [
        (INT, "int4", (Kind.RAW, Kind.RAW)),
        (INT, "int8", (Kind.INTEGER, Kind.INTEGER)),
        (INT, "int2", (Kind.INTEGER, Kind.INTEGER)),
        (INT, "numeric", (Kind.INT_NUMERIC, Kind.NUMERIC)),
        (SqlType("decimal", 9, 10, 2), "numeric", (Kind.NUMERIC, Kind.NUMERIC)),
        (SqlType("decimal", 9, 10, 0), "int8", (Kind.NUMERIC, Kind.INT_NUMERIC)),
        (SqlType("real", 4), "float8", (Kind.FLOAT, Kind.FLOAT)),
        (SqlType("float", 8), "float8", (Kind.RAW, Kind.RAW)),
        (SqlType("nchar", 10), "bpchar", (Kind.TRIMMED, Kind.TRIMMED)),
        (SqlType("nchar", 10), "text", (Kind.RAW, Kind.RAW)),
        (SqlType("nvarchar", 10), "bpchar", (Kind.TRIMMED, Kind.TRIMMED)),
        (SqlType("nvarchar", 10), "citext", (Kind.RAW, Kind.RAW)),
        (SqlType("datetimeoffset", 10, 34, 7), "timestamp", (Kind.RAW, Kind.RAW)),
        (SqlType("datetime", 8, 23, 3), "timestamptz", (Kind.RAW, Kind.RAW)),
        (SqlType("uniqueidentifier", 16), "uuid", (Kind.RAW, Kind.RAW)),
        (SqlType("xml", -1), "xml", (Kind.RAW, Kind.RAW)),
    ],
)
def test_kinds(sql_type: SqlType, base: str, kinds: tuple[Kind, Kind]) -> None:
    made = table(sql_type)
    _, comparison = compare_columns(made, existing(made, c0=base))
    assert (*comparison.source_kinds, *comparison.target_kinds) == kinds
    cast = "::text" if base == "xml" else ""
    assert comparison.columns[0].target_sql == f'"c0"{cast}'


@pytest.mark.parametrize(
    ("sql_type", "base"),
    [
        (INT, "text"),
        (INT, "float8"),
        (SqlType("nvarchar", 10), "jsonb"),
        (SqlType("uniqueidentifier", 16), "text"),
        (SqlType("bit", 1), "int4"),
        (SqlType("decimal", 9, 10, 2), "float8"),
        (SqlType("datetime", 8, 23, 3), "date"),
        (SqlType("time", 5, 16, 7), "interval"),
    ],
)
def test_types_without_a_common_form(sql_type: SqlType, base: str) -> None:
    made = table(INT, sql_type)
    with pytest.raises(NotComparable, match=f'"c1" as {base} in the target'):
        compare_columns(made, existing(made, c1=base))


def test_missing_and_computed_columns() -> None:
    made = table(INT, INT, primary=(0,))
    there = existing(made)
    with pytest.raises(NotComparable, match='lacks the column "c1"'):
        compare_columns(made, replace(there, columns=there.columns[:1]))
    computed = replace(there, columns=(there.columns[0], replace(there.columns[1], generated=True)))
    reduced, comparison = compare_columns(made, computed)
    assert comparison.names == ("c0",)
    assert [column.name for column in reduced.copied_columns] == ["c0"]
    with pytest.raises(NotComparable, match="not a table"):
        compare_columns(made, replace(there, kind="S"))
