"""The catalog on servers that know less: old versions without newer columns, views that are missing or refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mssql_pg_migrate.errors import SchemaError, TransientError
from mssql_pg_migrate.model import Catalog, Column, Identity, SqlType, Table
from mssql_pg_migrate.source.sqlserver import catalog_sql as q
from mssql_pg_migrate.source.sqlserver.catalog import read_catalog
from mssql_pg_migrate.source.sqlserver.connect import connect_source
from mssql_pg_migrate.source.sqlserver.health import access_problems
from mssql_pg_migrate.tds import types as t
from mssql_pg_migrate.tds.metadata import ColumnMetadata
from scripted import DONE, FAILED, ScriptedServer, columns, error, row

LATIN1 = bytes.fromhex("0904d00034")
QUERIES = [value for value in vars(q).values() if isinstance(value, q.CatalogQuery)]

# One table dbo.T (id int identity primary key, n nvarchar(10) null), without what came after SQL Server 2012.
ROWS: dict[str, list[dict[str, Any]]] = {
    "the schemas": [{"schema_id": 1, "name": "dbo"}],
    "the types": [
        {"user_type_id": 56, "system_type_id": 56, "schema_name": "sys", "name": "int", "max_length": 4},
        {"user_type_id": 231, "system_type_id": 231, "schema_name": "sys", "name": "nvarchar", "max_length": 8000},
    ],
    "the tables": [{"object_id": 9, "schema_name": "dbo", "name": "T"}],
    "the columns": [
        {"object_id": 9, "column_id": 1, "name": "id", "user_type_id": 56, "system_type_id": 56, "max_length": 4,
         "is_identity": 1},
        {"object_id": 9, "column_id": 2, "name": "n", "user_type_id": 231, "system_type_id": 231, "max_length": 20,
         "is_nullable": 1, "collation_name": "C"},
    ],
    "keys and indexes": [
        {"object_id": 9, "index_id": 1, "name": "PK_T", "type_desc": "CLUSTERED", "is_unique": 1, "is_primary_key": 1},
    ],
    "the columns of keys and indexes": [
        {"object_id": 9, "index_id": 1, "index_column_id": 1, "column_id": 1, "key_ordinal": 1},
    ],
}  # fmt: skip

OPTIONAL = [query.subject for query in QUERIES if query.subject not in ROWS]


def result(names: list[str], rows: list[dict[str, Any]]) -> Iterator[bytes]:
    """A result of int and, where names or values say so, nvarchar columns; what a row does not tell is 0 or NULL."""
    infos, empty = [], []
    for name in names:
        text = any(isinstance(found.get(name), str) for found in rows) or name.endswith(("name", "desc", "definition"))
        kind: dict[str, Any] = {"type_id": t.INTN, "length": 4}
        if text:
            kind = {"type_id": t.NVARCHAR, "length": 400, "collation": LATIN1}
        infos.append(ColumnMetadata(name=name, **kind))
        empty.append(None if text else 0)
    yield columns(*infos)
    for found in rows:
        yield row(infos, [found.get(name, missing) for name, missing in zip(names, empty, strict=True)])
    yield DONE


def old_server(refused: frozenset[str], number: int = 208) -> Any:
    """Answers as a server without any newer column, that refuses the queries of the given subjects."""

    def answer(sql: str) -> Iterator[bytes]:
        if "SERVERPROPERTY('ProductVersion')" in sql:
            yield from result(["name", "collation", "version"], [{"name": "db", "collation": "C", "version": "11.0.1"}])
            return
        known = next((query for query in QUERIES if sql.endswith(f" FROM {query.source}")), None)
        if known is None:  # a probe for a newer column, a count, a permission
            if sql.startswith("SELECT TOP (1) x."):
                yield error(207, "Invalid column name.") + FAILED
            else:
                yield from result(["x"], [{"x": 1}])
        elif any(f"{newer.alias}.{newer.name}" in sql for newer in known.newer):
            yield error(207, "Invalid column name.") + FAILED
        elif known.subject in refused:
            yield error(number, "Invalid object name.") + FAILED
        else:
            yield from result(list(known.names), ROWS.get(known.subject, []))

    return answer


def catalog_of(server: ScriptedServer) -> Catalog:
    connection = connect_source(server.settings())
    try:
        return read_catalog(connection)
    finally:
        connection.close()


def test_a_server_without_newer_columns_is_read_without_them() -> None:
    with ScriptedServer(old_server(frozenset())) as server:
        catalog = catalog_of(server)
    (table,) = catalog.tables
    assert table.primary_key is not None
    assert [part.name for part in table.primary_key.columns] == ["id"]
    assert (table.temporal, table.graph, table.column("n").hidden) == ("none", "none", False)
    assert table.column("id").identity == Identity(1, 1)
    assert table.row_estimate == 1
    assert catalog.notes == ()


def test_every_optional_view_may_be_missing_and_is_named() -> None:
    with ScriptedServer(old_server(frozenset(OPTIONAL))) as server:
        catalog = catalog_of(server)
    assert len(catalog.tables) == 1
    named = [subject for subject in OPTIONAL if any(subject in note for note in catalog.notes)]
    assert set(OPTIONAL) - set(named) == {"row-level security"}  # came in 2016: nothing is missing before


@pytest.mark.parametrize("subject", sorted(ROWS))
def test_what_nothing_can_be_migrated_without_is_an_error(subject: str) -> None:
    with ScriptedServer(old_server(frozenset({subject}))) as server, pytest.raises(SchemaError) as caught:
        catalog_of(server)
    assert subject in str(caught.value)
    assert "VIEW DEFINITION" in str(caught.value)


def test_a_passing_failure_is_not_taken_for_a_missing_view() -> None:
    def answer(sql: str) -> Iterator[bytes]:
        if "sys.extended_properties" in sql:
            yield error(40501, "The service is currently busy. Retry the request after 10 seconds.", 20) + FAILED
        else:
            yield from old_server(frozenset())(sql)

    with ScriptedServer(answer) as server, pytest.raises(TransientError):
        catalog_of(server)


def test_a_column_that_is_denied_in_a_table_that_is_granted() -> None:
    """HAS_PERMS_BY_NAME says of the table that it may be read; only the column's own entry says otherwise."""

    def answer(sql: str) -> Iterator[bytes]:
        if "HAS_PERMS_BY_NAME" in sql:
            yield from result(["object_id", "granted"], [{"object_id": n, "granted": 1} for n in (1, 2)])
        elif "sys.database_permissions" in sql:
            yield from result(["major_id"], [{"major_id": 2}])
        elif "[dbo].[Denied]" in sql:
            yield (
                error(230, "The SELECT permission was denied on the column 'pay' of the object 'Denied'.", 14) + FAILED
            )
        else:
            yield from result(["found"], [{"found": 0}])

    number = SqlType("int")
    tables = [
        Table("dbo", "Granted", (Column("id", number),), object_id=1),
        Table("dbo", "Denied", (Column("id", number), Column("pay", number)), object_id=2),
    ]
    with ScriptedServer(answer) as server:
        connection = connect_source(server.settings())
        try:
            (problem,) = access_problems(connection, tables)
        finally:
            connection.close()
    assert problem.name == "dbo.Denied"
    assert "'pay'" in problem.reason
