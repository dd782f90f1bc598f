"""The SELECT of a range: predicates by key direction, extra key columns, limits."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mssql_pg_migrate.mapping.objects import MappedTable
from mssql_pg_migrate.mapping.types import MappedColumn, map_type
from mssql_pg_migrate.model import Column, Key, KeyColumn, KeyRange, SqlType, Table
from mssql_pg_migrate.source.reader import ReadRequest
from mssql_pg_migrate.source.sqlserver.query import build_select, layout, range_predicate

INT = SqlType("int", max_length=4)


def mapped(*columns: Column, key: Key | None) -> MappedTable:
    table = Table("dbo", "Orders", columns, primary_key=key)
    targets = []
    for column in columns:
        kind = map_type(column)
        targets.append(
            MappedColumn(column, column.name, kind.pg_type, kind.encoding, kind.driver_select, kind.wire_select)
        )
    return MappedTable(table, "public", "orders", tuple(targets), range_key=key)


def request(table: MappedTable, **range_ends: tuple[str, ...]) -> ReadRequest:
    return ReadRequest(table=table, range=KeyRange(0, **range_ends))


ID = Column("id", INT, nullable=False)
BY_ID = Key("pk", (KeyColumn("id"),), primary=True)


def test_a_whole_table_in_key_order() -> None:
    sql = build_select(request(mapped(ID, Column("na]me", INT), key=BY_ID)), variant="driver")
    assert sql == "SELECT [id], [na]]me]\nFROM [dbo].[Orders]\nORDER BY [id]"


def test_a_table_without_key_is_streamed_as_it_comes() -> None:
    assert build_select(request(mapped(ID, key=None)), variant="wire") == "SELECT [id]\nFROM [dbo].[Orders]"


def test_a_range_goes_on_after_the_last_committed_key() -> None:
    asked = replace(request(mapped(ID, key=BY_ID), after=("10",), upto=("99",)), after=("50",), limit=7)
    assert build_select(asked, variant="driver") == (
        "SELECT TOP (7) [id]\nFROM [dbo].[Orders]\nWHERE [id] > 50 AND [id] <= 99\nORDER BY [id]"
    )


def test_a_descending_key_is_read_in_its_own_direction() -> None:
    key = Key("pk", (KeyColumn("id", descending=True),), primary=True)
    sql = build_select(request(mapped(ID, key=key), after=("99",), upto=("10",)), variant="driver")
    assert sql.endswith("WHERE [id] < 99 AND [id] >= 10\nORDER BY [id] DESC")


def test_ends_that_agree_in_leading_columns_become_equalities() -> None:
    columns = tuple(Column(name, INT, nullable=False) for name in "abc")
    key = Key("pk", tuple(KeyColumn(name) for name in "abc"), primary=True)
    table = Table("dbo", "t", columns)
    assert range_predicate(table, key, ("1", "2", "3"), ("1", "2", "9")) == (
        "[a] = 1 AND [b] = 2 AND [c] > 3 AND [c] <= 9"
    )


def test_a_key_finer_than_arrow_brings_its_nanoseconds_along() -> None:
    moment = Column("at", SqlType("datetime2", max_length=8, scale=7), nullable=False)
    table = mapped(moment, key=Key("pk", (KeyColumn("at"),), primary=True))
    assert build_select(request(table), variant="driver").startswith("SELECT [at], DATEPART(nanosecond, [at])\n")
    assert build_select(request(table), variant="wire").startswith("SELECT [at]\n")
    field = layout(table, "driver").key[0]
    assert (field.position, field.nanosecond) == (0, 1)


def test_a_key_column_that_postgresql_computes_is_read_beside_the_fields() -> None:
    table = mapped(ID, Column("x", SqlType("uniqueidentifier", max_length=16)), key=BY_ID)
    table = replace(table, columns=(replace(table.columns[0], copied=False), table.columns[1]))
    shape = layout(table, "driver")
    assert (shape.fields, shape.extra, shape.key[0].position) == (1, ("[id]",), 1)
    assert build_select(request(table), variant="driver").startswith("SELECT CAST([x] AS binary(16)), [id]\n")


def test_such_a_key_column_of_a_code_page_is_converted_by_the_server() -> None:
    """The driver's own conversion makes a question mark of byte 0x81 in 1252: a resume would begin elsewhere."""
    key = Key("pk", (KeyColumn("code"),), primary=True)
    code = Column("code", SqlType("varchar", max_length=12, collation="Latin1_General_CI_AS", code_page=1252))
    table = mapped(ID, code, key=key)
    table = replace(table, columns=(table.columns[0], replace(table.columns[1], copied=False)))
    assert layout(table, "driver").extra == ("CAST([code] AS nvarchar(12))",)
    assert layout(table, "wire").extra == ("[code]",)


def test_result_columns_can_be_replaced() -> None:
    sql = build_select(request(mapped(ID, key=None)), variant="driver", replaced={0: "CAST([id] AS varbinary(4))"})
    assert sql.startswith("SELECT CAST([id] AS varbinary(4))\n")


def test_a_key_with_another_number_of_values_is_refused() -> None:
    with pytest.raises(ValueError, match="has 1 columns, not 2"):
        build_select(request(mapped(ID, key=BY_ID), after=("1", "2")), variant="driver")


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_ranges_of_a_composite_key_cover_every_row_once(data: st.DataObject) -> None:
    """The predicates, evaluated in Python, against all keys of a small domain and random boundaries."""
    width = data.draw(st.integers(1, 3))
    directions = data.draw(st.lists(st.booleans(), min_size=width, max_size=width))
    names = "abc"[:width]
    table = Table("dbo", "t", tuple(Column(name, INT, nullable=False) for name in names))
    key = Key("pk", tuple(KeyColumn(name, down) for name, down in zip(names, directions, strict=True)), primary=True)
    rows = list(itertools.product(range(-1, 3), repeat=width))
    rows.sort(key=lambda row: tuple(-v if down else v for v, down in zip(row, directions, strict=True)))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(rows) - 1), max_size=5)))
    ends = [None, *(tuple(str(v) for v in rows[cut]) for cut in cuts), None]
    read: list[tuple[int, ...]] = []
    for after, upto in itertools.pairwise(ends):
        predicate = range_predicate(table, key, after, upto)
        read += [row for row in rows if _holds(predicate, dict(zip(names, row, strict=True)))]
    assert read == rows


def _holds(predicate: str, values: dict[str, int]) -> bool:
    if not predicate:
        return True
    python = predicate.replace(" = ", " == ").replace("AND", "and").replace("OR", "or")
    for name, value in values.items():
        python = python.replace(f"[{name}]", f"({value})")
    return bool(eval(python))
