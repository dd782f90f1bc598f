"""The rows of the catalog views, as mappings from column name to value; what is missing is NULL, or 0 for a bit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..values import sqltypes as st
from ..values.sqltypes import SqlType
from ..values.variants import wrap
from .model import (
    NO_SCHEMA,
    Column,
    Module,
    SchemaObject,
    Table,
)
from .session import CatalogSession

Row = dict[str, Any]

_KINDS = {
    "U": "USER_TABLE",
    "V": "VIEW",
    "P": "SQL_STORED_PROCEDURE",
    "FN": "SQL_SCALAR_FUNCTION",
    "IF": "SQL_INLINE_TABLE_VALUED_FUNCTION",
    "TF": "SQL_TABLE_VALUED_FUNCTION",
    "TR": "SQL_TRIGGER",
    "SN": "SYNONYM",
    "SO": "SEQUENCE_OBJECT",
    "PK": "PRIMARY_KEY_CONSTRAINT",
    "UQ": "UNIQUE_CONSTRAINT",
    "F": "FOREIGN_KEY_CONSTRAINT",
    "C": "CHECK_CONSTRAINT",
    "D": "DEFAULT_CONSTRAINT",
    "TT": "TYPE_TABLE",
}
_TEMPORAL = {0: "NON_TEMPORAL_TABLE", 1: "HISTORY_TABLE", 2: "SYSTEM_VERSIONED_TEMPORAL_TABLE"}
_GENERATED = {
    0: "NOT_APPLICABLE",
    1: "AS_ROW_START",
    2: "AS_ROW_END",
    7: "AS_TRANSACTION_ID_START",
    8: "AS_TRANSACTION_ID_END",
    9: "AS_SEQUENCE_NUMBER_START",
    10: "AS_SEQUENCE_NUMBER_END",
}
_GRAPH = {
    1: "GRAPH_ID",
    2: "GRAPH_ID_COMPUTED",
    3: "GRAPH_FROM_ID",
    4: "GRAPH_FROM_OBJ_ID",
    5: "GRAPH_FROM_ID_COMPUTED",
    6: "GRAPH_TO_ID",
    7: "GRAPH_TO_OBJ_ID",
    8: "GRAPH_TO_ID_COMPUTED",
}
_NAME = st.make("nvarchar", 128)
PAGE = 8192


def nothing(_session: CatalogSession) -> Iterator[Row]:
    """No rows."""
    return iter(())


def databases(session: CatalogSession) -> Iterator[Row]:
    """sys.databases: master, tempdb and the current one for everybody, the others by VIEW ANY DATABASE."""
    for item in session.server.databases():
        if not session.sees_database(item):
            continue
        yield {
            "name": item.name,
            "database_id": item.database_id,
            "create_date": item.created,
            "compatibility_level": 160,
            "collation_name": item.collation,
            "user_access": 0,
            "user_access_desc": "MULTI_USER",
            "state": 0,
            "state_desc": "ONLINE",
            "recovery_model": 3,
            "recovery_model_desc": "SIMPLE",
            "snapshot_isolation_state": int(item.snapshot_allowed),
            "snapshot_isolation_state_desc": "ON" if item.snapshot_allowed else "OFF",
            "is_read_only": int(item.read_only),
            "is_read_committed_snapshot_on": int(item.read_committed_snapshot),
            "containment": 0,
        }


def sysdatabases(session: CatalogSession) -> Iterator[Row]:
    """sysdatabases."""
    for item in filter(session.sees_database, session.server.databases()):
        yield {"name": item.name, "dbid": item.database_id, "crdate": item.created, "cmptlevel": 160}


def sysaltfiles(_session: CatalogSession) -> Iterator[Row]:
    """sysaltfiles: one made-up file, from whose folder old scripts build the paths of their own."""
    yield {"fileid": 1, "dbid": 1, "name": "master", "filename": "/sandbox/master.mdf"}


def schemas(session: CatalogSession) -> Iterator[Row]:
    """sys.schemas."""
    for number, name in session.database.schemas.items():
        yield {"name": name, "schema_id": number, "principal_id": 1 if number > 4 else number}


def types(session: CatalogSession) -> Iterator[Row]:
    """sys.types."""
    collation = session.database.collation
    for system in st.SYSTEM_TYPES.values():
        clr = system.name in st.CLR
        yield {
            "name": system.name,
            "system_type_id": system.system_type_id,
            "user_type_id": system.user_type_id,
            "schema_id": 4,
            "max_length": system.max_length,
            "precision": system.precision,
            "scale": system.scale,
            "collation_name": collation if system.name in st.CHARACTER else None,
            "is_nullable": int(system.name not in ("sysname", "timestamp")),
            "is_assembly_type": int(clr),
            "default_object_id": 0,
            "rule_object_id": 0,
        }
    for item in session.database.types.values():
        if not session.sight.sees_schema(item.schema_id):
            continue
        base = item.base
        yield {
            "name": item.name,
            "system_type_id": 243 if item.table else base.system.system_type_id,
            "user_type_id": item.user_type_id,
            "schema_id": item.schema_id,
            "max_length": -1 if item.table else base.length,
            "precision": base.precision,
            "scale": base.scale,
            "collation_name": base.collation,
            "is_nullable": int(item.nullable),
            "is_user_defined": 1,
            "is_table_type": int(item.table is not None),
            "default_object_id": item.bound.object_id if item.bound else 0,
            "rule_object_id": 0,
        }


def table_types(session: CatalogSession) -> Iterator[Row]:
    """sys.table_types."""
    tables = {item.user_type_id: item.table for item in session.database.types.values() if item.table is not None}
    for row in types(session):
        if row["user_type_id"] in tables:
            yield {**row, "type_table_object_id": tables[row["user_type_id"]].object_id}


def assembly_types(session: CatalogSession) -> Iterator[Row]:
    """sys.assembly_types."""
    classes = {"geometry": "SqlGeometry", "geography": "SqlGeography", "hierarchyid": "SqlHierarchyId"}
    for row in types(session):
        if row.get("is_assembly_type"):
            yield {**row, "assembly_id": 1, "assembly_class": f"Microsoft.SqlServer.Types.{classes[row['name']]}"}


def object_row(item: SchemaObject) -> Row:
    modified = getattr(item, "modified", item.created)
    return {
        "name": item.name,
        "object_id": item.object_id,
        "schema_id": item.schema_id,
        "parent_object_id": item.parent_id,
        "type": item.kind.ljust(2),
        "type_desc": _KINDS[item.kind],
        "create_date": item.created,
        "modify_date": modified,
        "is_system_named": int(item.system_named),
    }


def objects(session: CatalogSession) -> Iterator[Row]:
    """sys.objects: without triggers on the database ("sys.objects")."""
    return (object_row(item) for item in session.sight.objects() if item.schema_id != NO_SCHEMA)


def system_object(name: str, number: int) -> Row:
    """The row of sys.all_objects of a catalog view."""
    return {
        "name": name,
        "object_id": number,
        "schema_id": 4,
        "parent_object_id": 0,
        "type": "V ",
        "type_desc": "VIEW",
        "is_ms_shipped": 1,
    }


def system_column(number: int, name: str, column_id: int, kind: SqlType) -> Row:
    """The row of sys.all_columns of a column of a catalog view."""
    return column_row(SchemaObject(number, 4, "", "V"), Column(name, kind, column_id))


def spt_values(_session: CatalogSession) -> Iterator[Row]:
    """spt_values: the numbers from 0 to 2047, for scripts that want numbers."""
    return ({"number": number, "type": "P  ", "status": 0} for number in range(2048))


def sysobjects(session: CatalogSession) -> Iterator[Row]:
    """sysobjects."""
    for item in session.sight.objects():
        if item.schema_id == NO_SCHEMA:
            continue
        yield {
            "name": item.name,
            "id": item.object_id,
            "xtype": item.kind.ljust(2),
            "uid": item.schema_id,
            "parent_obj": item.parent_id,
            "crdate": item.created,
            "type": {"PK": "K ", "UQ": "K "}.get(item.kind, item.kind.ljust(2)),
            "sysstat": {"U": 3, "V": 2, "P": 4, "TR": 8}.get(item.kind, 0),
        }


def tables(session: CatalogSession) -> Iterator[Row]:
    """sys.tables."""
    for item in session.sight.tables():
        yield {
            **object_row(item),
            "lob_data_space_id": 0,
            "max_column_id_used": item.next_column_id - 1,
            "uses_ansi_nulls": 1,
            "text_in_row_limit": 0,
            "lock_escalation": 0,
            "lock_escalation_desc": "TABLE",
            "is_memory_optimized": int(item.memory_optimized),
            "durability": 0,
            "durability_desc": "SCHEMA_AND_DATA",
            "temporal_type": item.temporal_type,
            "temporal_type_desc": _TEMPORAL[item.temporal_type],
            "history_table_id": item.history_id or None,
            "is_node": int(item.graph == "NODE"),
            "is_edge": int(item.graph == "EDGE"),
            "ledger_type": 0,
            "ledger_type_desc": "NON_LEDGER_TABLE",
        }


def with_columns(session: CatalogSession) -> Iterator[tuple[SchemaObject, list[Column]]]:
    for item in session.sight.objects():
        if isinstance(item, Table | Module) and item.columns:
            yield item, item.columns


def column_row(item: SchemaObject, column: Column) -> Row:
    kind = column.type
    user = column.user_type
    return {
        "object_id": item.object_id,
        "name": column.name,
        "column_id": column.column_id,
        "system_type_id": kind.system.system_type_id,
        "user_type_id": user.user_type_id if user else kind.system.user_type_id,
        "max_length": kind.length,
        "precision": kind.precision,
        "scale": kind.scale,
        "collation_name": kind.collation if kind.name in st.CHARACTER else None,
        "is_nullable": int(column.nullable),
        "is_ansi_padded": int(kind.name in ("char", "varchar", "binary", "varbinary", "nchar", "nvarchar")),
        "is_rowguidcol": int(column.rowguid),
        "is_identity": int(column.identity is not None),
        "is_computed": int(column.computed),
        "is_filestream": int(column.filestream),
        "xml_collection_id": column.xml_collection,
        "default_object_id": column.filling.object_id if column.filling else 0,
        "rule_object_id": 0,
        "is_sparse": int(column.sparse),
        "is_column_set": int(column.column_set),
        "generated_always_type": column.generated_always,
        "generated_always_type_desc": _GENERATED[column.generated_always],
        "encryption_type": 1 if column.encrypted else None,
        "encryption_type_desc": "DETERMINISTIC" if column.encrypted else None,
        "encryption_algorithm_name": "AEAD_AES_256_CBC_HMAC_SHA_256" if column.encrypted else None,
        "column_encryption_key_id": 1 if column.encrypted else None,
        "is_hidden": int(column.hidden),
        "is_masked": int(column.masked is not None),
        "graph_type": column.graph_type,
        "graph_type_desc": _GRAPH.get(column.graph_type or 0),
        "vector_dimensions": (kind.length - 8) // 4 if kind.name == "vector" else None,
        "vector_base_type": 0 if kind.name == "vector" else None,
        "vector_base_type_desc": "float32" if kind.name == "vector" else None,
    }


def columns(session: CatalogSession) -> Iterator[Row]:
    """sys.columns."""
    for item, found in with_columns(session):
        for column in found:
            yield column_row(item, column)


def variant(value: int | None, kind: SqlType) -> bytes | None:
    from ..values.convert import convert

    if value is None:
        return None
    return wrap(convert(value, st.BIGINT if abs(value) < 1 << 63 else st.make("decimal", 38, 0), kind), kind)


def identity_columns(session: CatalogSession) -> Iterator[Row]:
    """sys.identity_columns."""
    for item, found in with_columns(session):
        for column in found:
            identity = column.identity
            if identity is not None:
                yield {
                    **column_row(item, column),
                    "seed_value": variant(identity.seed, column.type),
                    "increment_value": variant(identity.increment, column.type),
                    "last_value": variant(identity.last, column.type),
                    "is_not_for_replication": int(identity.not_for_replication),
                }


def computed_columns(session: CatalogSession) -> Iterator[Row]:
    """sys.computed_columns."""
    for item, found in with_columns(session):
        for column in found:
            if column.computed:
                yield {
                    **column_row(item, column),
                    "definition": column.definition if session.sight.defines(item) else None,
                    "uses_database_collation": 0,
                    "is_persisted": int(column.persisted),
                }


def masked_columns(session: CatalogSession) -> Iterator[Row]:
    """sys.masked_columns."""
    for item, found in with_columns(session):
        for column in found:
            if column.masked is not None:
                yield {**column_row(item, column), "masking_function": column.masked}


def of_kind(session: CatalogSession, kind: type[Any]) -> Iterable[Any]:
    return (item for item in session.sight.objects() if isinstance(item, kind))
