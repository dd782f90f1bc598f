"""The rows of the catalog views, as mappings from column name to value; what is missing is NULL, or 0 for a bit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ..tsql.definitions import quote
from ..values import sqltypes as st
from ..values.sqltypes import SqlType
from ..values.variants import wrap
from .model import (
    CheckConstraint,
    Column,
    DefaultConstraint,
    ForeignKey,
    Index,
    Module,
    SchemaObject,
    Sequence,
    Synonym,
    Table,
)

if TYPE_CHECKING:
    from ..engine.session import Session

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
_INDEX_TYPES = {
    "HEAP": 0,
    "CLUSTERED": 1,
    "NONCLUSTERED": 2,
    "XML": 3,
    "SPATIAL": 4,
    "CLUSTERED COLUMNSTORE": 5,
    "NONCLUSTERED COLUMNSTORE": 6,
    "NONCLUSTERED HASH": 7,
}
_ACTIONS = {"NO_ACTION": 0, "CASCADE": 1, "SET_NULL": 2, "SET_DEFAULT": 3}
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
_INT = st.make("int")
_NAME = st.make("nvarchar", 128)
PAGE = 8192


def nothing(_session: Session) -> Iterator[Row]:
    """No rows."""
    return iter(())


def databases(session: Session) -> Iterator[Row]:
    """sys.databases."""
    for item in session.server.databases():
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
            "snapshot_isolation_state": 1,
            "snapshot_isolation_state_desc": "ON",
            "is_read_committed_snapshot_on": 1,
            "containment": 0,
        }


def sysdatabases(session: Session) -> Iterator[Row]:
    """sysdatabases."""
    for item in session.server.databases():
        yield {"name": item.name, "dbid": item.database_id, "crdate": item.created, "cmptlevel": 160}


def sysaltfiles(_session: Session) -> Iterator[Row]:
    """sysaltfiles: one made-up file, from whose folder old scripts build the paths of their own."""
    yield {"fileid": 1, "dbid": 1, "name": "master", "filename": "/sandbox/master.mdf"}


def schemas(session: Session) -> Iterator[Row]:
    """sys.schemas."""
    for number, name in session.database.schemas.items():
        yield {"name": name, "schema_id": number, "principal_id": 1 if number > 4 else number}


def types(session: Session) -> Iterator[Row]:
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
            "default_object_id": 0,
            "rule_object_id": 0,
        }


def table_types(session: Session) -> Iterator[Row]:
    """sys.table_types."""
    tables = {item.user_type_id: item.table for item in session.database.types.values() if item.table is not None}
    for row in types(session):
        if row["user_type_id"] in tables:
            yield {**row, "type_table_object_id": tables[row["user_type_id"]].object_id}


def assembly_types(session: Session) -> Iterator[Row]:
    """sys.assembly_types."""
    classes = {"geometry": "SqlGeometry", "geography": "SqlGeography", "hierarchyid": "SqlHierarchyId"}
    for row in types(session):
        if row.get("is_assembly_type"):
            yield {**row, "assembly_id": 1, "assembly_class": f"Microsoft.SqlServer.Types.{classes[row['name']]}"}


def _object(item: SchemaObject) -> Row:
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


def objects(session: Session) -> Iterator[Row]:
    """sys.objects."""
    return (_object(item) for item in session.database.objects.values())


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
    return _column(SchemaObject(number, 4, "", "V"), Column(name, kind, column_id))


def spt_values(_session: Session) -> Iterator[Row]:
    """spt_values: the numbers from 0 to 2047, for scripts that want numbers."""
    return ({"number": number, "type": "P  ", "status": 0} for number in range(2048))


def sysobjects(session: Session) -> Iterator[Row]:
    """sysobjects."""
    for item in session.database.objects.values():
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


def tables(session: Session) -> Iterator[Row]:
    """sys.tables."""
    for item in session.database.tables():
        yield {
            **_object(item),
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


def _with_columns(session: Session) -> Iterator[tuple[SchemaObject, list[Column]]]:
    for item in session.database.objects.values():
        if isinstance(item, Table | Module) and item.columns:
            yield item, item.columns


def _column(item: SchemaObject, column: Column) -> Row:
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
        "default_object_id": column.default.object_id if column.default else 0,
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


def columns(session: Session) -> Iterator[Row]:
    """sys.columns."""
    for item, found in _with_columns(session):
        for column in found:
            yield _column(item, column)


def _variant(value: int | None, kind: SqlType) -> bytes | None:
    from ..values.convert import convert

    if value is None:
        return None
    return wrap(convert(value, st.BIGINT if abs(value) < 1 << 63 else st.make("decimal", 38, 0), kind), kind)


def identity_columns(session: Session) -> Iterator[Row]:
    """sys.identity_columns."""
    for item, found in _with_columns(session):
        for column in found:
            identity = column.identity
            if identity is not None:
                yield {
                    **_column(item, column),
                    "seed_value": _variant(identity.seed, column.type),
                    "increment_value": _variant(identity.increment, column.type),
                    "last_value": _variant(identity.last, column.type),
                    "is_not_for_replication": int(identity.not_for_replication),
                }


def computed_columns(session: Session) -> Iterator[Row]:
    """sys.computed_columns."""
    for item, found in _with_columns(session):
        for column in found:
            if column.computed:
                yield {
                    **_column(item, column),
                    "definition": column.definition,
                    "uses_database_collation": 0,
                    "is_persisted": int(column.persisted),
                }


def masked_columns(session: Session) -> Iterator[Row]:
    """sys.masked_columns."""
    for item, found in _with_columns(session):
        for column in found:
            if column.masked is not None:
                yield {**_column(item, column), "masking_function": column.masked}


# --- indexes and constraints -----------------------------------------------------------------------------------


def _with_indexes(session: Session) -> Iterator[tuple[Table | Module, Index]]:
    for item in session.database.objects.values():
        if isinstance(item, Table | Module):
            for index in item.indexes:
                yield item, index


def _is_heap(item: Table) -> bool:
    return not any(index.kind in ("CLUSTERED", "CLUSTERED COLUMNSTORE") for index in item.indexes)


def indexes(session: Session) -> Iterator[Row]:
    """sys.indexes, heaps included."""
    for table in session.database.tables():
        if _is_heap(table):
            yield {"object_id": table.object_id, "index_id": 0, "type": 0, "type_desc": "HEAP", "data_space_id": 1}
    for item, index in _with_indexes(session):
        yield {
            "object_id": item.object_id,
            "name": index.name,
            "index_id": index.index_id,
            "type": _INDEX_TYPES[index.kind],
            "type_desc": index.kind,
            "is_unique": int(index.unique),
            "data_space_id": 1,
            "ignore_dup_key": int(index.ignore_dup_key),
            "is_primary_key": int(index.primary),
            "is_unique_constraint": int(index.constraint is not None and not index.primary),
            "fill_factor": index.fill_factor,
            "is_disabled": int(index.disabled),
            "allow_row_locks": 1,
            "allow_page_locks": 1,
            "has_filter": int(index.filter is not None),
            "filter_definition": index.filter,
        }


def index_columns(session: Session) -> Iterator[Row]:
    """sys.index_columns."""
    for item, index in _with_indexes(session):
        columnstore = index.kind.endswith("COLUMNSTORE")
        keys = [(column_id, descending, False) for column_id, descending in index.columns]
        included = [(column_id, False, True) for column_id in index.included]
        if columnstore and not keys:
            keys = [(column.column_id, False, False) for column in item.columns]
        for number, (column_id, descending, is_included) in enumerate([*keys, *included], 1):
            yield {
                "object_id": item.object_id,
                "index_id": index.index_id,
                "index_column_id": number,
                "column_id": column_id,
                "key_ordinal": 0 if is_included or columnstore else number,
                "partition_ordinal": 0,
                "is_descending_key": int(descending),
                "is_included_column": int(is_included or columnstore),
                "column_store_order_ordinal": 0,
            }


def _indexes_of(session: Session, kind: str) -> Iterator[Row]:
    return (row for row in indexes(session) if row["type_desc"] == kind)


def xml_indexes(session: Session) -> Iterator[Row]:
    """sys.xml_indexes."""
    return (
        {**row, "xml_index_type": 0, "xml_index_type_description": "PRIMARY_XML"} for row in _indexes_of(session, "XML")
    )


def spatial_indexes(session: Session) -> Iterator[Row]:
    """sys.spatial_indexes."""
    return ({**row, "spatial_index_type": 1} for row in _indexes_of(session, "SPATIAL"))


def fulltext_indexes(session: Session) -> Iterator[Row]:
    """sys.fulltext_indexes."""
    for table in session.database.tables():
        if table.fulltext is not None:
            yield {"object_id": table.object_id, "unique_index_id": table.fulltext[0], "is_enabled": 1}


def fulltext_index_columns(session: Session) -> Iterator[Row]:
    """sys.fulltext_index_columns."""
    for table in session.database.tables():
        for column_id in table.fulltext[1] if table.fulltext is not None else ():
            yield {"object_id": table.object_id, "column_id": column_id, "language_id": 1033}


def key_constraints(session: Session) -> Iterator[Row]:
    """sys.key_constraints."""
    for _, index in _with_indexes(session):
        if index.constraint is not None:
            yield {**_object(index.constraint), "unique_index_id": index.index_id, "is_enforced": 1}


def _of_kind(session: Session, kind: type[Any]) -> Iterable[Any]:
    return (item for item in session.database.objects.values() if isinstance(item, kind))


def foreign_keys(session: Session) -> Iterator[Row]:
    """sys.foreign_keys."""
    for item in _of_kind(session, ForeignKey):
        yield {
            **_object(item),
            "referenced_object_id": item.referenced_id,
            "key_index_id": item.key_index_id,
            "is_disabled": int(item.disabled),
            "is_not_for_replication": int(item.not_for_replication),
            "is_not_trusted": int(item.not_trusted),
            "delete_referential_action": _ACTIONS[item.on_delete],
            "delete_referential_action_desc": item.on_delete,
            "update_referential_action": _ACTIONS[item.on_update],
            "update_referential_action_desc": item.on_update,
        }


def foreign_key_columns(session: Session) -> Iterator[Row]:
    """sys.foreign_key_columns."""
    for item in _of_kind(session, ForeignKey):
        for number, (own, referenced) in enumerate(item.columns, 1):
            yield {
                "constraint_object_id": item.object_id,
                "constraint_column_id": number,
                "parent_object_id": item.parent_id,
                "parent_column_id": own,
                "referenced_object_id": item.referenced_id,
                "referenced_column_id": referenced,
            }


def check_constraints(session: Session) -> Iterator[Row]:
    """sys.check_constraints."""
    for item in _of_kind(session, CheckConstraint):
        yield {
            **_object(item),
            "is_disabled": int(item.disabled),
            "is_not_for_replication": int(item.not_for_replication),
            "is_not_trusted": int(item.not_trusted),
            "parent_column_id": item.column_id,
            "definition": item.definition,
        }


def default_constraints(session: Session) -> Iterator[Row]:
    """sys.default_constraints."""
    for item in _of_kind(session, DefaultConstraint):
        yield {**_object(item), "parent_column_id": item.column_id, "definition": item.definition}


# --- sizes -----------------------------------------------------------------------------------------------------


def partitions(session: Session) -> Iterator[Row]:
    """sys.partitions: one a heap or index, with the rows it has now."""
    for table in session.database.tables():
        count = session.row_count(table)
        numbers = [index.index_id for index in table.indexes if index.kind not in ("XML", "SPATIAL")]
        for number in ([0] if _is_heap(table) else []) + numbers:
            yield {
                "partition_id": table.object_id * 1000 + number,
                "object_id": table.object_id,
                "index_id": number,
                "partition_number": 1,
                "hobt_id": table.object_id * 1000 + number,
                "rows": count,
                "filestream_filegroup_id": 0,
                "data_compression": 0,
                "data_compression_desc": "NONE",
            }


def allocation_units(session: Session) -> Iterator[Row]:
    """sys.allocation_units: pages estimated from the rows and the widths of the columns."""
    for table in session.database.tables():
        width = sum(100 if c.type.length < 0 else min(c.type.length, 100) for c in table.columns) + 10
        pages = session.row_count(table) * width // PAGE + 1
        number = 0 if _is_heap(table) else 1
        yield {
            "allocation_unit_id": table.object_id * 1000 + number,
            "type": 1,
            "type_desc": "IN_ROW_DATA",
            "container_id": table.object_id * 1000 + number,
            "data_space_id": 1,
            "total_pages": pages,
            "used_pages": pages,
            "data_pages": pages,
        }


# --- the rest --------------------------------------------------------------------------------------------------


def extended_properties(session: Session) -> Iterator[Row]:
    """sys.extended_properties."""
    names = {0: "DATABASE", 1: "OBJECT_OR_COLUMN", 3: "SCHEMA", 6: "TYPE", 7: "INDEX"}
    for item in session.database.properties:
        yield {
            "class": item.kind,
            "class_desc": names.get(item.kind),
            "major_id": item.major_id,
            "minor_id": item.minor_id,
            "name": item.name,
            "value": item.value,
        }


def list_properties(session: Session, arguments: list[Any]) -> list[Row]:
    """fn_listextendedproperty for the level of a table or its columns."""
    name, _, schema, _, table_name, level2, column = [*arguments, *[None] * 7][:7]
    item = session.database.find((schema or "dbo", table_name)) if table_name else None
    if not isinstance(item, Table):
        return []
    found: list[Row] = []
    for entry in session.database.properties:
        if entry.kind != 1 or entry.major_id != item.object_id or (name and entry.name.lower() != name.lower()):
            continue
        if level2 is None and entry.minor_id == 0:
            found.append({"objtype": "TABLE", "objname": item.name, "name": entry.name, "value": entry.value})
        elif level2 is not None and entry.minor_id > 0:
            label = item.by_id(entry.minor_id).name
            if column is None or column.lower() == label.lower():
                found.append({"objtype": "COLUMN", "objname": label, "name": entry.name, "value": entry.value})
    return found


def sequences(session: Session) -> Iterator[Row]:
    """sys.sequences."""
    for item in _of_kind(session, Sequence):
        kind = item.type
        yield {
            **_object(item),
            "start_value": _variant(item.start, kind),
            "increment": _variant(item.increment, kind),
            "minimum_value": _variant(item.minimum, kind),
            "maximum_value": _variant(item.maximum, kind),
            "is_cycling": int(item.cycle),
            "is_cached": int(item.cache != 0),
            "cache_size": item.cache or None,
            "system_type_id": kind.system.system_type_id,
            "user_type_id": item.user_type.user_type_id if item.user_type else kind.system.user_type_id,
            "precision": kind.precision,
            "scale": kind.scale,
            "current_value": _variant(item.current, kind),
            "last_used_value": _variant(item.current, kind) if item.used else None,
        }


def _modules(session: Session, *kinds: str) -> Iterator[Module]:
    return (item for item in _of_kind(session, Module) if item.kind in kinds)


def views(session: Session) -> Iterator[Row]:
    """sys.views."""
    return (_object(item) for item in _modules(session, "V"))


def procedures(session: Session) -> Iterator[Row]:
    """sys.procedures."""
    return (_object(item) for item in _modules(session, "P"))


def triggers(session: Session) -> Iterator[Row]:
    """sys.triggers."""
    for item in _modules(session, "TR"):
        yield {
            **_object(item),
            "parent_class": 1 if item.parent_id else 0,
            "parent_class_desc": "OBJECT_OR_COLUMN" if item.parent_id else "DATABASE",
            "parent_id": item.parent_id,
            "is_disabled": int(item.disabled),
            "is_instead_of_trigger": int("INSTEAD OF" in item.text.upper()),
        }


def sql_modules(session: Session) -> Iterator[Row]:
    """sys.sql_modules."""
    for item in _of_kind(session, Module):
        yield {
            "object_id": item.object_id,
            "definition": None if item.node is not None and item.node.encrypted else item.text,
            "uses_ansi_nulls": 1,
            "uses_quoted_identifier": 1,
            "is_schema_bound": int(item.node is not None and item.node.schema_bound),
        }


def parameters(session: Session) -> Iterator[Row]:
    """sys.parameters of procedures."""
    for item in _modules(session, "P"):
        for number, (name, _, default, output) in enumerate(item.node.parameters if item.node else (), 1):
            yield {
                "object_id": item.object_id,
                "name": name,
                "parameter_id": number,
                "is_output": int(output),
                "has_default_value": int(default is not None),
            }


def synonyms(session: Session) -> Iterator[Row]:
    """sys.synonyms."""
    for item in _of_kind(session, Synonym):
        yield {**_object(item), "base_object_name": ".".join(quote(part) for part in item.base)}


def periods(session: Session) -> Iterator[Row]:
    """sys.periods."""
    for table in session.database.tables():
        if table.period is not None:
            yield {
                "name": "SYSTEM_TIME",
                "period_type": 1,
                "period_type_desc": "SYSTEM_TIME_PERIOD",
                "object_id": table.object_id,
                "start_column_id": table.period[0],
                "end_column_id": table.period[1],
            }


def data_spaces(_session: Session) -> Iterator[Row]:
    """sys.data_spaces."""
    yield {"name": "PRIMARY", "data_space_id": 1, "type": "FG", "type_desc": "ROWS_FILEGROUP", "is_default": 1}


def xml_schema_collections(session: Session) -> Iterator[Row]:
    """sys.xml_schema_collections."""
    yield {"xml_collection_id": 1, "schema_id": 4, "name": "sys", "create_date": session.database.created}
    for number, (schema, name) in session.database.xml_collections.items():
        yield {"xml_collection_id": number, "schema_id": schema, "name": name, "create_date": session.database.created}


def database_principals(session: Session) -> Iterator[Row]:
    """sys.database_principals."""
    for item in session.database.principals.values():
        role = item.kind == "R"
        yield {
            "name": item.name,
            "principal_id": item.principal_id,
            "type": item.kind,
            "type_desc": "DATABASE_ROLE" if role else "SQL_USER",
            "default_schema_name": None if role else "dbo",
            "create_date": session.database.created,
            "is_fixed_role": int(role and item.principal_id >= 16384),
        }


def database_permissions(session: Session) -> Iterator[Row]:
    """sys.database_permissions."""
    classes = {"DATABASE": (0, "DATABASE"), "OBJECT": (1, "OBJECT_OR_COLUMN"), "SCHEMA": (3, "SCHEMA")}
    for (name, permission, kind, major), state in session.database.permissions.items():
        principal = session.database.principals.get(name)
        number, label = classes[kind]
        yield {
            "class": number,
            "class_desc": label,
            "major_id": major,
            "minor_id": 0,
            "grantee_principal_id": principal.principal_id if principal else None,
            "permission_name": permission,
            "state": state[0],
            "state_desc": state,
        }


def server_principals(session: Session) -> Iterator[Row]:
    """sys.server_principals."""
    for number, login in enumerate(session.server.logins(), 1):
        yield {"name": login.name, "principal_id": number, "type": "S", "type_desc": "SQL_LOGIN"}


# --- INFORMATION_SCHEMA ----------------------------------------------------------------------------------------


def information_tables(session: Session) -> Iterator[Row]:
    """INFORMATION_SCHEMA.TABLES."""
    database = session.database
    for item in database.objects.values():
        if item.kind in ("U", "V"):
            yield {
                "TABLE_CATALOG": database.name,
                "TABLE_SCHEMA": database.schemas[item.schema_id],
                "TABLE_NAME": item.name,
                "TABLE_TYPE": "VIEW" if item.kind == "V" else "BASE TABLE",
            }


def information_columns(session: Session) -> Iterator[Row]:
    """INFORMATION_SCHEMA.COLUMNS."""
    database = session.database
    for item, found in _with_columns(session):
        if item.kind not in ("U", "V"):
            continue
        for number, column in enumerate(found, 1):
            kind = column.type
            text = kind.name in st.TEXTUAL or kind.name in st.BINARY
            numeric = kind.name in st.NUMBERS and kind.name != "bit"
            yield {
                "TABLE_CATALOG": database.name,
                "TABLE_SCHEMA": database.schemas[item.schema_id],
                "TABLE_NAME": item.name,
                "COLUMN_NAME": column.name,
                "ORDINAL_POSITION": number,
                "COLUMN_DEFAULT": column.default.definition if column.default else None,
                "IS_NULLABLE": "YES" if column.nullable else "NO",
                "DATA_TYPE": kind.name,
                "CHARACTER_MAXIMUM_LENGTH": kind.chars if text else None,
                "CHARACTER_OCTET_LENGTH": kind.length if text else None,
                "NUMERIC_PRECISION": kind.precision if numeric else None,
                "NUMERIC_SCALE": kind.scale if numeric else None,
                "DATETIME_PRECISION": kind.scale if kind.name in st.TIMES else None,
                "COLLATION_NAME": kind.collation if kind.name in st.CHARACTER else None,
            }


def information_schemata(session: Session) -> Iterator[Row]:
    """INFORMATION_SCHEMA.SCHEMATA."""
    for name in session.database.schemas.values():
        yield {"CATALOG_NAME": session.database.name, "SCHEMA_NAME": name, "SCHEMA_OWNER": "dbo"}
