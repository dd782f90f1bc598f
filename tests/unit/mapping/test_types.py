"""The type table against the guide's type reference, and what it says of columns it cannot carry."""

from __future__ import annotations

import pytest

from mssql_pg_migrate.mapping.types import RULES, UnsupportedColumn, map_type
from mssql_pg_migrate.model import Column, SqlType

GUIDE = [
    (SqlType("bit"), "boolean"),
    (SqlType("tinyint"), "smallint"),
    (SqlType("smallint"), "smallint"),
    (SqlType("int"), "integer"),
    (SqlType("bigint"), "bigint"),
    (SqlType("decimal", precision=38, scale=10), "numeric(38,10)"),
    (SqlType("numeric", precision=5, scale=0), "numeric(5,0)"),
    (SqlType("money", precision=19, scale=4), "numeric(19,4)"),
    (SqlType("smallmoney", precision=10, scale=4), "numeric(10,4)"),
    (SqlType("float", precision=53), "double precision"),
    (SqlType("real", precision=24), "real"),
    (SqlType("char", max_length=10), "char(10)"),
    (SqlType("varchar", max_length=8000), "varchar(8000)"),
    (SqlType("varchar", max_length=-1), "text"),
    (SqlType("nchar", max_length=20), "char(10)"),
    (SqlType("nvarchar", max_length=8000), "varchar(4000)"),
    (SqlType("nvarchar", max_length=-1), "text"),
    (SqlType("text", max_length=16), "text"),
    (SqlType("ntext", max_length=16), "text"),
    (SqlType("datetime", scale=3), "timestamp"),
    (SqlType("datetime2", scale=7), "timestamp"),
    (SqlType("smalldatetime"), "timestamp"),
    (SqlType("date"), "date"),
    (SqlType("time", scale=0), "time"),
    (SqlType("datetimeoffset", scale=7), "timestamptz"),
    (SqlType("uniqueidentifier", max_length=16), "uuid"),
    (SqlType("binary", max_length=8), "bytea"),
    (SqlType("varbinary", max_length=100), "bytea"),
    (SqlType("varbinary", max_length=-1), "bytea"),
    (SqlType("image", max_length=16), "bytea"),
    (SqlType("xml", max_length=-1), "text"),
    (SqlType("geometry", max_length=-1), "text"),
    (SqlType("geography", max_length=-1), "text"),
]


@pytest.mark.parametrize(("source", "target"), GUIDE, ids=lambda value: str(value))
def test_target_types_are_those_of_the_guide(source: SqlType, target: str) -> None:
    assert map_type(Column("c", source)).pg_type == target


@pytest.mark.parametrize("name", ["timestamp", "hierarchyid", "sql_variant", "json", "vector"])
def test_types_the_guide_leaves_out_have_a_rule(name: str) -> None:
    assert map_type(Column("c", SqlType(name, max_length=8))).pg_type in ("bytea", "text", "json")


@pytest.mark.parametrize(
    ("kind", "lossy"),
    [
        (SqlType("datetime2", scale=7), True),
        (SqlType("datetime2", scale=6), False),
        (SqlType("time", scale=7), True),
        (SqlType("time", scale=3), False),
        (SqlType("datetimeoffset", scale=0), True),
        (SqlType("datetime", scale=3), False),
        (SqlType("geometry", max_length=-1), True),
        (SqlType("sql_variant"), True),
        (SqlType("int"), False),
        (SqlType("decimal", precision=38, scale=38), False),
    ],
    ids=str,
)
def test_what_is_lost_is_said(kind: SqlType, lossy: bool) -> None:
    assert (map_type(Column("c", kind)).lossy is not None) is lossy


def test_both_losses_of_a_fine_datetimeoffset_are_said() -> None:
    lossy = map_type(Column("c", SqlType("datetimeoffset", scale=7))).lossy
    assert lossy is not None
    assert "offset" in lossy
    assert "seventh" in lossy


def test_a_clr_type_is_carried_as_its_text() -> None:
    mapped = map_type(Column("c", SqlType("Point", max_length=-1, alias="dbo.Point")))
    assert (mapped.pg_type, mapped.driver_select, mapped.encoding) == ("text", "{c}.ToString()", "text")
    assert mapped.lossy is not None


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (Column("c", SqlType("int"), encrypted=True), "encrypted"),
        (Column("c", SqlType("xml", max_length=-1), column_set=True), "pseudo"),
        (Column("$node_id", SqlType("nvarchar", max_length=2000), graph_type=2), "pseudo"),
        (Column("c", SqlType("novelty")), "unknown"),
    ],
)
def test_columns_that_cannot_be_carried_say_why(column: Column, kind: str) -> None:
    with pytest.raises(UnsupportedColumn) as caught:
        map_type(column)
    assert caught.value.kind == kind
    assert caught.value.reason


@pytest.mark.parametrize("name", sorted(RULES))
def test_every_select_expression_holds_the_column_and_nothing_else_to_fill(name: str) -> None:
    mapped = map_type(Column("c", SqlType(name, max_length=20)))
    for template in (mapped.driver_select, mapped.wire_select):
        assert "{c}" in template
        assert "[x]" in template.format(c="[x]")


def test_the_driver_gets_help_with_uniqueidentifier_and_the_wire_reader_does_not() -> None:
    mapped = map_type(Column("id", SqlType("uniqueidentifier", max_length=16)))
    assert mapped.driver_select == "CAST({c} AS binary(16))"
    assert mapped.wire_select == "{c}"


@pytest.mark.parametrize(
    ("kind", "select"),
    [
        (SqlType("varchar", max_length=10), "CAST({c} AS nvarchar(10))"),
        (SqlType("char", max_length=4000), "CAST({c} AS nvarchar(4000))"),
        (SqlType("varchar", max_length=4001), "CAST({c} AS nvarchar(max))"),
        (SqlType("varchar", max_length=-1), "CAST({c} AS nvarchar(max))"),
        (SqlType("text", max_length=16), "CAST({c} AS nvarchar(max))"),
        (SqlType("nvarchar", max_length=20), "{c}"),
    ],
    ids=str,
)
def test_the_server_converts_text_of_a_code_page_for_the_driver(kind: SqlType, select: str) -> None:
    mapped = map_type(Column("c", kind))
    assert (mapped.driver_select, mapped.wire_select) == (select, "{c}")
