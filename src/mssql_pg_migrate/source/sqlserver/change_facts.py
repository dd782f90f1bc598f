"""How the changes of a SQL Server database can be seen, and the statements that would let more of them be seen.

Microsoft's pages: "Enable and Disable Change Tracking", "sys.change_tracking_databases", "sys.change_tracking_tables",
"Manage Change Tracking" (rights), "HAS_PERMS_BY_NAME".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ...model import Table
from ..changes import ChangeFacts, TableFacts
from .catalog import CatalogSession
from .classify import describe, to_migration_error
from .dbapi import Connection
from .health import snapshot_allowed
from .tsql import qualified_name, quote_name

RETENTION_DAYS = 7
"""Asked for where change tracking is switched on: a sync that stands still over a long weekend goes on afterwards."""


_DATABASE = (
    "SELECT retention_period, retention_period_units_desc, is_auto_cleanup_on FROM sys.change_tracking_databases"
    " WHERE database_id = DB_ID()"
)


def change_facts(connection: Connection, database: str, tables: Iterable[Table]) -> ChangeFacts:
    """See `changes.ChangeFacts`. Raises TransientError when the source breaks off."""
    session = CatalogSession(connection)
    tables = tuple(tables)
    databases = _rows(session, _DATABASE)
    retention = _retention(databases)
    tracked = _tracked(session)
    may_see = _may_see(session)
    found = {}
    memory_optimized = []
    for table in tables:
        facts = _table_facts(table, table.object_id in tracked, may_see.get(table.object_id))
        if databases is None and not facts.tracked:  # the server knows no change tracking: no statement would help
            facts = replace(facts, enable=None, why_not="the server does not know change tracking")
        found[table.schema, table.name] = facts
        if table.memory_optimized:
            memory_optimized.append(table.full_name)
    allowed = bool(snapshot_allowed(connection))
    hint = None
    if not allowed:
        hint = f"ALTER DATABASE {quote_name(database)} SET ALLOW_SNAPSHOT_ISOLATION ON"
    elif memory_optimized:
        hint = f"memory-optimized tables cannot be read in a snapshot transaction: {', '.join(memory_optimized)}"
    enable = None
    if retention is None and databases is not None:
        enable = (
            f"ALTER DATABASE {quote_name(database)} SET CHANGE_TRACKING = ON"
            f" (CHANGE_RETENTION = {RETENTION_DAYS} DAYS, AUTO_CLEANUP = ON)"
        )
    return ChangeFacts(
        tracking=retention is not None,
        retention=retention,
        enable=enable,
        one_moment=allowed and not memory_optimized,
        one_moment_hint=hint,
        tables=found,
        rowversions=_lowest_rowversion(session, tables),
    )


def _table_facts(table: Table, tracked: bool, may_see: bool | None) -> TableFacts:
    rowversion = next((column.name for column in table.columns if column.type.name == "timestamp"), None)
    name = qualified_name(table.schema, table.name)
    if tracked:
        if may_see is False:
            why = "the login may not see its changes"
            return TableFacts(False, rowversion, f"GRANT VIEW CHANGE TRACKING ON {name} TO {{login}}", why)
        return TableFacts(True, rowversion, None)
    if table.primary_key is None:
        return TableFacts(False, rowversion, None, "change tracking needs a primary key")
    if table.memory_optimized:
        return TableFacts(False, rowversion, None, "change tracking does not cover memory-optimized tables")
    return TableFacts(False, rowversion, f"ALTER TABLE {name} ENABLE CHANGE_TRACKING")


def _retention(rows: list[tuple[Any, ...]] | None) -> str | None:
    """How long changes are kept; None where change tracking is off, or the server knows no such thing."""
    if not rows:
        return None
    period, unit, cleanup = rows[0]
    return f"{period} {str(unit).lower()}" if cleanup else "for ever (auto cleanup is off)"


def _tracked(session: CatalogSession) -> frozenset[int]:
    return frozenset(int(row[0]) for row in _rows(session, "SELECT object_id FROM sys.change_tracking_tables") or ())


def _may_see(session: CatalogSession) -> dict[int, bool]:
    """Whether the login has VIEW CHANGE TRACKING on the tracked tables, by object_id."""
    rows = _rows(
        session,
        "SELECT t.object_id, HAS_PERMS_BY_NAME(QUOTENAME(s.name) + N'.' + QUOTENAME(t.name), 'OBJECT',"
        " 'VIEW CHANGE TRACKING') AS may FROM sys.change_tracking_tables AS c"
        " JOIN sys.tables AS t ON t.object_id = c.object_id JOIN sys.schemas AS s ON s.schema_id = t.schema_id",
    )
    return {int(identity): bool(may) for identity, may in rows or () if may is not None}


def _lowest_rowversion(session: CatalogSession, tables: Iterable[Table]) -> bool:
    """Whether the server tells below which rowversion everything is committed ("MIN_ACTIVE_ROWVERSION")."""
    if not any(column.type.name == "timestamp" for table in tables for column in table.columns):
        return True
    return bool(_rows(session, "SELECT MIN_ACTIVE_ROWVERSION() AS lowest"))


def _rows(session: CatalogSession, sql: str) -> list[tuple[Any, ...]] | None:
    """The rows; None where the server refuses the question. Raises TransientError for a lost connection."""
    try:
        return session.rows(sql)
    except Exception as error:
        if describe(error).transient:
            raise to_migration_error(error) from error
        return None
