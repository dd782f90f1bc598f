"""Facts about the source for health-check and for the plan: is it there, how is it reached, may it be read?"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Sequence

from ...model import Index, Key, Table
from ..settings import SqlServerSettings
from ..source import Obstacle, SourceHealth
from .catalog import CatalogSession
from .classify import describe, to_migration_error
from .dbapi import Connection
from .tsql import qualified_name, quote_name, unicode_literal

_PINGS = 5
_REMEDY = "grant the login what it lacks, or exclude the table"


def check_health(connection: Connection, settings: SqlServerSettings) -> SourceHealth:
    """Version, latency and encryption of an open source connection. Raises TransientError when it breaks."""
    session = CatalogSession(connection)
    version = session.scalar("SELECT CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128)) AS version")
    banner = session.scalar("SELECT @@VERSION AS version")
    # Needs VIEW SERVER STATE, which a migration login seldom has: without it the settings must do.
    option = session.scalar("SELECT encrypt_option FROM sys.dm_exec_connections WHERE session_id = @@SPID")
    encrypted = str(option).upper() == "TRUE" if option is not None else settings.encrypt is not False
    tls = "in use" if encrypted else "none after the login"
    return SourceHealth(
        version=str(version or "unknown"),
        latency_ms=_latency(session),
        tls=tls if option is not None else f"{tls} (by the settings; the server does not tell)",
        facts={
            "product": str(banner).splitlines()[0].strip() if banner else "unknown",
            "database": str(session.scalar("SELECT DB_NAME() AS name") or settings.database),
            "login": str(session.scalar("SELECT SUSER_SNAME() AS login") or "unknown"),
        },
    )


def obstacles(connection: Connection, settings: SqlServerSettings, tables: Iterable[Table]) -> tuple[Obstacle, ...]:
    """What the login, or the isolation level, keeps from being read. Raises TransientError when it breaks."""
    tables = tuple(tables)
    isolation = settings.isolation
    found: list[Obstacle] = []
    if isolation == "snapshot" and snapshot_allowed(connection) is False:
        remedy = "ALTER DATABASE ... SET ALLOW_SNAPSHOT_ISOLATION ON"
        found.append(Obstacle("database", settings.database, "does not allow isolation: snapshot", remedy))
    special = {table.full_name for table in tables if table.memory_optimized and isolation != "read_committed"}
    closed = access_problems(connection, tables)
    found.extend(problem for problem in closed if problem.name not in special)
    # Under read_uncommitted it depends on MEMORY_OPTIMIZED_ELEVATE_TO_SNAPSHOT, which the attempt to read has shown.
    refused = special if isolation == "snapshot" else special & {problem.name for problem in closed}
    for name in sorted(refused):
        found.append(Obstacle("table", name, f"is memory-optimized, which isolation: {isolation} cannot read"))
    return tuple(found)


def snapshot_allowed(connection: Connection) -> bool | None:
    """Whether the database allows snapshot isolation; None when the server does not tell."""
    state = CatalogSession(connection).scalar(
        "SELECT snapshot_isolation_state FROM sys.databases WHERE database_id = DB_ID()"
    )
    return None if state is None else int(state) in (1, 3)


def _latency(session: CatalogSession) -> float:
    times = []
    for _ in range(_PINGS):
        start = time.perf_counter()
        try:
            session.rows("SELECT 1 AS one")
        except Exception as error:
            raise to_migration_error(error) from error
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


def access_problems(connection: Connection, tables: Iterable[Table]) -> tuple[Obstacle, ...]:
    """The tables that the login may not read, or that it would read masked. Raises TransientError when it breaks."""
    session = CatalogSession(connection)
    tables = tuple(tables)
    granted = _granted(session, tables)
    problems: list[Obstacle] = []
    for table in tables:
        closed = _closed_by(table)
        if closed is not None:
            why = f"cannot be read: its clustered index {closed} is disabled (ALTER INDEX ... REBUILD)"
            problems.append(Obstacle("table", table.full_name, why, _REMEDY))
            continue
        # Which isolation levels may read a memory-optimized table depends on the server and on the database's options.
        if not granted.get(table.object_id) or table.memory_optimized:
            reason = _refusal(session, table)
            if reason is not None:
                problems.append(Obstacle("table", table.full_name, f"cannot be read: {reason}", _REMEDY))
                continue
        masked = [column.name for column in table.columns if column.masked]
        if masked and not _may_unmask(session, table):
            problems.append(
                Obstacle(
                    "table",
                    table.full_name,
                    f"would be read with masked values in {', '.join(masked)}: the login lacks the UNMASK permission",
                    _REMEDY,
                    readable=True,
                )
            )
    return tuple(problems)


def _closed_by(table: Table) -> str | None:
    """The disabled clustered index that keeps the server from reading a table (error 8655)."""
    keys = [*([table.primary_key] if table.primary_key else ()), *table.unique_keys]
    indexes: list[Key | Index] = [*keys, *table.indexes]
    return next((index.name for index in indexes if index.clustered and index.disabled), None)


def _granted(session: CatalogSession, tables: Sequence[Table]) -> dict[int, bool]:
    """Whether SELECT is granted on whole tables, by object_id; empty when the server does not tell.

    The right on a table says nothing of a DENY on one of its columns: such a table is not among the granted ones.
    """
    try:
        rows = session.rows(
            "SELECT t.object_id, HAS_PERMS_BY_NAME(QUOTENAME(s.name) + '.' + QUOTENAME(t.name), 'OBJECT', 'SELECT')"
            " AS granted FROM sys.tables AS t JOIN sys.schemas AS s ON s.schema_id = t.schema_id"
            " WHERE t.is_ms_shipped = 0"
        )
        denied = session.rows(
            "SELECT DISTINCT p.major_id FROM sys.database_permissions AS p"
            " WHERE p.class = 1 AND p.minor_id <> 0 AND p.state = 'D'"
        )
    except Exception as error:
        if describe(error).lost:
            raise to_migration_error(error) from error
        return {}
    wanted = {table.object_id for table in tables} - {object_id for (object_id,) in denied}
    return {object_id: bool(granted) for object_id, granted in rows if object_id in wanted}


def _refusal(session: CatalogSession, table: Table) -> str | None:
    """Try to read no row of every column (SELECT may be granted on columns); the server's words when it refuses."""
    columns = ", ".join(
        quote_name(column.name) for column in table.columns if column.graph_type is None and not column.column_set
    )
    try:
        name = qualified_name(table.schema, table.name)
        session.rows(f"SELECT COUNT(*) AS found FROM (SELECT TOP (0) {columns or '1 AS one'} FROM {name}) AS q")
        if table.memory_optimized:  # no row is no access
            session.rows(f"SELECT TOP (1) 1 AS one FROM {name}")
    except Exception as error:
        found = describe(error)
        if found.lost:
            raise to_migration_error(error, table=table.full_name) from error
        return str(found)
    return None


def _may_unmask(session: CatalogSession, table: Table) -> bool:
    """UNMASK on the database, or (SQL Server 2022 and later) on the table."""
    name = unicode_literal(qualified_name(table.schema, table.name))
    for sql in (
        "SELECT HAS_PERMS_BY_NAME(QUOTENAME(DB_NAME()), 'DATABASE', 'UNMASK') AS may",
        f"SELECT HAS_PERMS_BY_NAME({name}, 'OBJECT', 'UNMASK') AS may",
    ):
        if session.scalar(sql):
            return True
    return False
