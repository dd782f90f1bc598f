"""The assembly of catalog rows into the model."""

from __future__ import annotations

from typing import Any

import pytest

from mssql_pg_migrate.model import HIDDEN, Check, Computed, Default, Loss, SqlType
from mssql_pg_migrate.source.sqlserver import catalog_sql as q
from mssql_pg_migrate.source.sqlserver.catalog_build import TableParts, build_tables
from mssql_pg_migrate.source.sqlserver.catalog_code import build_sequences
from mssql_pg_migrate.source.sqlserver.catalog_properties import Descriptions
from mssql_pg_migrate.source.sqlserver.catalog_types import TypeTable


def type_row(user: int, system: int, name: str, **more: Any) -> dict[str, Any]:
    row = dict.fromkeys(q.TYPES.names)
    row |= {
        "user_type_id": user, "system_type_id": system, "name": name, "schema_name": "sys", "max_length": 0,
        "precision": 0, "scale": 0, "is_nullable": 1, "is_user_defined": 0, "is_assembly_type": 0, "is_table_type": 0,
    }  # fmt: skip
    return row | more


TYPES = TypeTable(
    [
        type_row(1, 1, "nvarchar"),
        type_row(2, 2, "INT"),
        type_row(3, 1, "sysname"),
        type_row(4, 9, "geography", is_assembly_type=1),
        type_row(5, 1, "Phone", schema_name="dbo", is_user_defined=1, max_length=40, collation_name="C"),
        type_row(6, 9, "Point", schema_name="dbo", is_user_defined=1, is_assembly_type=1),
        type_row(7, 243, "Rows", schema_name="dbo", is_user_defined=1, is_table_type=1),
        type_row(165, 165, "varbinary"),
        type_row(255, 165, "vector"),
        type_row(16543, 16543, "sysname"),
    ],
    [{"collation_name": "C", "code_page": 1252}],
)


def resolved(user: int, system: int, **more: Any) -> SqlType:
    row = {"user_type_id": user, "system_type_id": system, "precision": 0, "scale": 0, "max_length": 20}
    return TYPES.resolve(row | more)


def test_types_are_found_by_id_whatever_the_ids_are() -> None:
    assert resolved(2, 2) == SqlType("int", max_length=20)
    assert resolved(3, 1).name == "nvarchar"
    assert resolved(16543, 16543).name == "nvarchar"
    assert resolved(3, 1).alias is None
    assert resolved(4, 9).name == "geography"
    assert resolved(255, 165).name == "vector", "a vector has the system_type_id of varbinary, and is none"
    assert resolved(165, 165).name == "varbinary"
    assert resolved(1, 1, collation_name="C").code_page == 1252


def test_alias_and_clr_types_keep_their_own_names() -> None:
    assert (resolved(5, 1).name, resolved(5, 1).alias) == ("nvarchar", "dbo.Phone")
    assert (resolved(6, 9).name, resolved(6, 9).alias) == ("Point", "dbo.Point")
    assert resolved(99, 98).name == "type 98"


def test_alias_types_are_listed_without_clr_and_table_types() -> None:
    (phone,) = TYPES.alias_types(None)
    assert (phone.schema, phone.name, phone.base.name, phone.base.max_length) == ("dbo", "Phone", "nvarchar", 40)
    assert TYPES.alias_types(frozenset({"other"})) == ()


def test_missing_newer_columns_are_replaced_by_their_fallback() -> None:
    newer = q.TABLES.newer[0]
    full, reduced = q.TABLES.sql(), q.TABLES.sql([newer])
    assert "t.temporal_type" in full
    assert "0 AS temporal_type" in reduced
    assert len(q.TABLES.names) == full.split(" FROM ")[0].count(",") + 1


@pytest.mark.parametrize(
    "query", [value for value in vars(q).values() if isinstance(value, q.CatalogQuery)], ids=lambda query: query.subject
)
def test_result_columns_have_distinct_names(query: q.CatalogQuery) -> None:
    assert len(set(query.names)) == len(query.names)
    assert all(name.isidentifier() for name in query.names)


def row_of(query: q.CatalogQuery, **values: Any) -> dict[str, Any]:
    """A row of a query; what is not named is 0 or, for names, empty."""
    return {name: values.get(name, "" if "name" in name else 0) for name in query.names}


def test_what_a_ledger_dropped_is_not_there() -> None:
    """A ledger database renames what is dropped and keeps it: MSSQL_DroppedLedgerTable_T_..."""
    types = TypeTable([type_row(56, 56, "int")])
    at: dict[str, Any] = {"user_type_id": 56, "system_type_id": 56}
    parts = TableParts(
        tables=[
            row_of(q.TABLES, object_id=1, schema_name="dbo", name="Kept"),
            row_of(q.TABLES, object_id=2, schema_name="dbo", name="MSSQL_Dropped_T", is_dropped_ledger_table=1),
        ],
        columns=[
            row_of(q.COLUMNS, object_id=1, column_id=1, name="id", **at),
            row_of(q.COLUMNS, object_id=1, column_id=2, name="MSSQL_Dropped", is_dropped_ledger_column=1, **at),
            row_of(q.COLUMNS, object_id=2, column_id=1, name="id", **at),
        ],
        indexes=[],
        index_columns=[],
    )
    notes: list[str] = []
    (table,) = build_tables(parts, types, None, notes, [])
    assert (table.name, [column.name for column in table.columns]) == ("Kept", ["id"])
    assert notes == ["dbo.MSSQL_Dropped_T is a ledger table that was dropped; it is not migrated."]


def test_an_xml_schema_collection_is_named() -> None:
    table = dict.fromkeys(q.TABLES.names) | {"object_id": 1, "schema_name": "dbo", "name": "T"}
    column = dict.fromkeys(q.COLUMNS.names) | {"object_id": 1, "user_type_id": 2, "system_type_id": 2}
    parts = TableParts(
        tables=[table],
        columns=[column | {"column_id": 1, "name": "x"}],
        indexes=[],
        index_columns=[],
        xml_schemas=[row_of(q.XML_SCHEMAS, object_id=1, column_id=1, schema_name="dbo", name="Orders")],
    )
    (found,) = build_tables(parts, TYPES, None, [], [])
    assert found.columns[0].bound == ("XML schema collection dbo.Orders: PostgreSQL does not validate the column",)


def bound_row(column_id: int, kind: str, name: str, definition: str | None) -> dict[str, Any]:
    return {
        "object_id": 1, "column_id": column_id, "schema_name": "dbo", "name": name, "type": f"{kind} ",
        "definition": definition,
    }  # fmt: skip


def test_stand_alone_defaults_and_rules_are_found_by_their_binding() -> None:
    table = dict.fromkeys(q.TABLES.names) | {"object_id": 1, "schema_name": "dbo", "name": "T"}
    column = dict.fromkeys(q.COLUMNS.names) | {"object_id": 1, "user_type_id": 2, "system_type_id": 2}
    parts = TableParts(
        tables=[table],
        columns=[column | {"column_id": number, "name": f"c{number}"} for number in range(1, 6)],
        indexes=[],
        index_columns=[],
        defaults=[{"parent_object_id": 1, "parent_column_id": 1, "name": "DF", "definition": "((1))"}],
        bound=[
            bound_row(1, "D", "DF", None),  # a constraint, on a server that does not show whose it is
            bound_row(2, "D", "ZERO", "-- old\nCREATE  DEFAULT [dbo].[ZE]]RO] AS 0 ;\n"),
            bound_row(3, "D", "TODAY", "create default today as\n getdate()"),
            bound_row(4, "D", "SECRET", None),
            bound_row(2, "R", "POSITIVE", "CREATE RULE POSITIVE AS @x > 0"),
        ],
        fulltext=[{"object_id": 1, "column_id": 5}],
    )
    (found,) = build_tables(parts, TYPES, None, [], [])
    assert [column.default for column in found.columns] == [
        Default("DF", "((1))"),
        Default("ZERO", "(0)"),
        Default("TODAY", "(getdate())"),
        Default("SECRET", HIDDEN),
        None,
    ]
    assert [text.split(",")[0] for column in found.columns for text in column.bound] == ["rule dbo.POSITIVE"]
    assert found.columns[1].bound
    assert found.fulltext == ("c5",)


def test_null_in_place_of_a_definition_is_something_the_login_may_not_see() -> None:
    """What SQL Server shows a login with SELECT and without VIEW DEFINITION."""
    at: dict[str, Any] = {"object_id": 1, "user_type_id": 56, "system_type_id": 56}
    parts = TableParts(
        tables=[row_of(q.TABLES, object_id=1, schema_name="dbo", name="T")],
        columns=[
            row_of(q.COLUMNS, column_id=1, name="a", default_object_id=11, **at),
            row_of(q.COLUMNS, column_id=2, name="b", is_computed=1, **at),
            row_of(q.COLUMNS, column_id=3, name="c", default_object_id=12, rule_object_id=13, **at),
            row_of(q.COLUMNS, column_id=4, name="x", xml_collection_id=14, **at),
            row_of(q.COLUMNS, column_id=5, name="plain", **at),
        ],
        indexes=[
            row_of(q.INDEXES, object_id=1, index_id=2, name="filtered", has_filter=1, filter_definition=None),
            row_of(q.INDEXES, object_id=1, index_id=3, name="whole", has_filter=0, filter_definition=None),
        ],
        index_columns=[],
        computed=[{"object_id": 1, "column_id": 2, "definition": None, "is_persisted": 1}],
        defaults=[{"parent_object_id": 1, "parent_column_id": 1, "name": "DF", "definition": None}],
        checks=[row_of(q.CHECKS, parent_object_id=1, name="CK", definition=None)],
        foreign_keys=[row_of(q.FOREIGN_KEYS, name="FK", parent_object_id=1, referenced_object_id=99)],
    )
    losses: list[Loss] = []
    (table,) = build_tables(parts, TypeTable([type_row(56, 56, "int")]), None, [], losses)
    a, b, c, x, plain = table.columns
    assert a.default == Default("DF", HIDDEN)
    assert b.computed == Computed(HIDDEN, persisted=True)
    assert c.default == Default("", HIDDEN), "bound by sp_bindefault to what the login does not see"
    assert [text.split(",")[0] for text in (*c.bound, *x.bound)] == ["a rule bound to it", "XML schema collection"]
    assert (plain.default, plain.computed, plain.bound) == (None, None, ())
    assert [index.filter for index in table.indexes] == [HIDDEN, None]
    assert table.checks == (Check("CK", HIDDEN),)
    (lost,) = losses
    assert (lost.object, lost.table) == ("dbo.T constraint FK", "dbo.T")


def test_a_sequence_without_visible_values_is_named() -> None:
    losses: list[Loss] = []
    row = dict.fromkeys(q.SEQUENCES.names) | {"schema_name": "dbo", "name": "S"}
    assert build_sequences([row], TYPES, Descriptions([]), None, losses) == ()
    (lost,) = losses
    assert lost.object == "dbo.S"
    assert "not visible to the login" in lost.message
