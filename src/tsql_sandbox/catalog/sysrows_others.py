"""Rows of the catalog views of properties, sequences, modules and principals, and of INFORMATION_SCHEMA."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..tsql.definitions import quote
from ..values import sqltypes as st
from .model import (
    DefaultConstraint,
    Module,
    Sequence,
    Synonym,
    Table,
)
from .session import CatalogSession
from .sysrows import Row, object_row, of_kind, variant, with_columns


def extended_properties(session: CatalogSession) -> Iterator[Row]:
    """sys.extended_properties."""
    names = {0: "DATABASE", 1: "OBJECT_OR_COLUMN", 3: "SCHEMA", 6: "TYPE", 7: "INDEX"}
    for item in session.database.properties:
        owner = session.database.objects.get(item.major_id) if item.kind in (1, 7) else None
        if owner is not None and not session.sight.sees(owner):
            continue
        yield {
            "class": item.kind,
            "class_desc": names.get(item.kind),
            "major_id": item.major_id,
            "minor_id": item.minor_id,
            "name": item.name,
            "value": item.value,
        }


def list_properties(session: CatalogSession, arguments: list[Any]) -> list[Row]:
    """fn_listextendedproperty for the level of a table or its columns."""
    name, _, schema, _, table_name, level2, column = [*arguments, *[None] * 7][:7]
    item = session.database.find((schema or "dbo", table_name)) if table_name else None
    if not isinstance(item, Table) or not session.sight.sees(item):
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


def sequences(session: CatalogSession) -> Iterator[Row]:
    """sys.sequences."""
    for item in of_kind(session, Sequence):
        kind = item.type
        yield {
            **object_row(item),
            "start_value": variant(item.start, kind),
            "increment": variant(item.increment, kind),
            "minimum_value": variant(item.minimum, kind),
            "maximum_value": variant(item.maximum, kind),
            "is_cycling": int(item.cycle),
            "is_cached": int(item.cache != 0),
            "cache_size": item.cache or None,
            "system_type_id": kind.system.system_type_id,
            "user_type_id": item.user_type.user_type_id if item.user_type else kind.system.user_type_id,
            "precision": kind.precision,
            "scale": kind.scale,
            "current_value": variant(item.current, kind),
            "last_used_value": variant(item.current, kind) if item.used else None,
        }


def _modules(session: CatalogSession, *kinds: str) -> Iterator[Module]:
    return (item for item in of_kind(session, Module) if item.kind in kinds)


def views(session: CatalogSession) -> Iterator[Row]:
    """sys.views."""
    return (object_row(item) for item in _modules(session, "V"))


def procedures(session: CatalogSession) -> Iterator[Row]:
    """sys.procedures."""
    return (object_row(item) for item in _modules(session, "P"))


def triggers(session: CatalogSession) -> Iterator[Row]:
    """sys.triggers."""
    for item in _modules(session, "TR"):
        yield {
            **object_row(item),
            "parent_class": 1 if item.parent_id else 0,
            "parent_class_desc": "OBJECT_OR_COLUMN" if item.parent_id else "DATABASE",
            "parent_id": item.parent_id,
            "is_disabled": int(item.disabled),
            "is_instead_of_trigger": int("INSTEAD OF" in item.text.upper()),
        }


def sql_modules(session: CatalogSession) -> Iterator[Row]:
    """sys.sql_modules."""
    for item in of_kind(session, Module):
        hidden = item.node is not None and item.node.encrypted
        yield {
            "object_id": item.object_id,
            "definition": None if hidden or not session.sight.defines(item) else item.text,
            "uses_ansi_nulls": 1,
            "uses_quoted_identifier": 1,
            "is_schema_bound": int(item.node is not None and item.node.schema_bound),
        }
    yield from defaults_of_their_own(session)


def defaults_of_their_own(session: CatalogSession) -> Iterator[Row]:
    """What sys.sql_modules has of defaults made by CREATE DEFAULT ("sys.sql_modules")."""
    for item in of_kind(session, DefaultConstraint):
        if not item.parent_id:
            shown = item.definition if session.sight.defines(item) else None
            yield {"object_id": item.object_id, "definition": shown, "uses_ansi_nulls": 0, "uses_quoted_identifier": 1}


def parameters(session: CatalogSession) -> Iterator[Row]:
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


def synonyms(session: CatalogSession) -> Iterator[Row]:
    """sys.synonyms."""
    for item in of_kind(session, Synonym):
        yield {**object_row(item), "base_object_name": ".".join(quote(part) for part in item.base)}


def periods(session: CatalogSession) -> Iterator[Row]:
    """sys.periods."""
    for table in session.sight.tables():
        if table.period is not None:
            yield {
                "name": "SYSTEM_TIME",
                "period_type": 1,
                "period_type_desc": "SYSTEM_TIME_PERIOD",
                "object_id": table.object_id,
                "start_column_id": table.period[0],
                "end_column_id": table.period[1],
            }


def change_tracking_databases(session: CatalogSession) -> Iterator[Row]:
    """sys.change_tracking_databases."""
    for item in filter(session.sees_database, session.server.databases()):
        if item.tracking is not None:
            yield {
                "database_id": item.database_id,
                "is_auto_cleanup_on": int(item.tracking.auto_cleanup),
                "retention_period": item.tracking.retention,
                "retention_period_units": item.tracking.units,
                "retention_period_units_desc": ("MINUTES", "HOURS", "DAYS")[item.tracking.units - 1],
            }


def change_tracking_tables(session: CatalogSession) -> Iterator[Row]:
    """sys.change_tracking_tables."""
    for table in session.sight.tables():
        if table.tracking is not None:
            yield {
                "object_id": table.object_id,
                "is_track_columns_updated_on": int(table.tracking.columns),
                "min_valid_version": table.tracking.min_valid,
                "begin_version": table.tracking.begin,
                "cleanup_version": table.tracking.cleanup,
            }


def data_spaces(_session: CatalogSession) -> Iterator[Row]:
    """sys.data_spaces."""
    yield {"name": "PRIMARY", "data_space_id": 1, "type": "FG", "type_desc": "ROWS_FILEGROUP", "is_default": 1}


def xml_schema_collections(session: CatalogSession) -> Iterator[Row]:
    """sys.xml_schema_collections."""
    yield {"xml_collection_id": 1, "schema_id": 4, "name": "sys", "create_date": session.database.created}
    for number, (schema, name) in session.database.xml_collections.items():
        if not session.sight.sees_schema(schema):
            continue
        yield {"xml_collection_id": number, "schema_id": schema, "name": name, "create_date": session.database.created}


def database_principals(session: CatalogSession) -> Iterator[Row]:
    """sys.database_principals."""
    for item in session.database.principals.values():
        if not session.sight.sees_principal(item):
            continue
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


def database_permissions(session: CatalogSession) -> Iterator[Row]:
    """sys.database_permissions."""
    objects = (1, "OBJECT_OR_COLUMN")
    classes = {"DATABASE": (0, "DATABASE"), "OBJECT": objects, "COLUMN": objects, "SCHEMA": (3, "SCHEMA")}
    for (name, permission, kind, major), state in session.database.permissions.items():
        if not session.sight.sees_permissions_of(name):
            continue
        principal = session.database.principals.get(name)
        number, label = classes[kind]
        yield {
            "class": number,
            "class_desc": label,
            "major_id": major >> 16 if kind == "COLUMN" else major,
            "minor_id": major & 0xFFFF if kind == "COLUMN" else 0,
            "grantee_principal_id": principal.principal_id if principal else None,
            "permission_name": permission,
            "state": state[0],
            "state_desc": state,
        }


def server_principals(session: CatalogSession) -> Iterator[Row]:
    """sys.server_principals."""
    for number, login in enumerate(session.server.logins(), 1):
        if login is not session.login and not session.server.holds(session.login, "ALTER ANY LOGIN"):
            continue
        yield {"name": login.name, "principal_id": number, "type": "S", "type_desc": "SQL_LOGIN"}


def information_tables(session: CatalogSession) -> Iterator[Row]:
    """INFORMATION_SCHEMA.TABLES."""
    database = session.database
    for item in session.sight.objects():
        if item.kind in ("U", "V"):
            yield {
                "TABLE_CATALOG": database.name,
                "TABLE_SCHEMA": database.schemas[item.schema_id],
                "TABLE_NAME": item.name,
                "TABLE_TYPE": "VIEW" if item.kind == "V" else "BASE TABLE",
            }


def information_columns(session: CatalogSession) -> Iterator[Row]:
    """INFORMATION_SCHEMA.COLUMNS."""
    database = session.database
    for item, found in with_columns(session):
        if item.kind not in ("U", "V"):
            continue
        defined = session.sight.defines(item)
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
                "COLUMN_DEFAULT": column.default.definition if column.default and defined else None,
                "IS_NULLABLE": "YES" if column.nullable else "NO",
                "DATA_TYPE": kind.name,
                "CHARACTER_MAXIMUM_LENGTH": kind.chars if text else None,
                "CHARACTER_OCTET_LENGTH": kind.length if text else None,
                "NUMERIC_PRECISION": kind.precision if numeric else None,
                "NUMERIC_SCALE": kind.scale if numeric else None,
                "DATETIME_PRECISION": kind.scale if kind.name in st.TIMES else None,
                "COLLATION_NAME": kind.collation if kind.name in st.CHARACTER else None,
            }


def information_schemata(session: CatalogSession) -> Iterator[Row]:
    """INFORMATION_SCHEMA.SCHEMATA."""
    for name in session.database.schemas.values():
        yield {"CATALOG_NAME": session.database.name, "SCHEMA_NAME": name, "SCHEMA_OWNER": "dbo"}
