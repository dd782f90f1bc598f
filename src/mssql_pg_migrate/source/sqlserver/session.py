"""A connection for questions rather than rows: catalog, counts, range boundaries, health."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

from ...errors import TransferError, TransientError
from ...mapping.objects import MappedTable
from ...model import Catalog, KeyRange, Table
from ..changes import ChangeFacts
from ..reader import OnNul
from ..settings import SqlServerSettings
from ..source import Collision, Obstacle, SourceHealth, SourceLook, SourceTable
from . import catalog_sql as q
from .catalog import CatalogSession, read_catalog
from .change_facts import change_facts
from .classify import describe, to_migration_error
from .collisions import key_collision
from .connect import cancel_statements, connect_source
from .dbapi import DriverCursor
from .health import check_health, obstacles
from .ranges import plan_ranges
from .tsql import qualified_name
from .watch import Line, WatchedCursor

_NOT_OFFERED = frozenset({"sysdiagrams"})
"""The database diagram tool's own table, which is never migrated."""


class SqlServerSession:
    """See `source.SourceSession`. To the modules that ask the questions it is the `dbapi.Connection`."""

    def __init__(self, settings: SqlServerSettings) -> None:
        """Connect through Microsoft's driver. Raises ConnectionFailed."""
        self.usable = True
        self._settings = settings
        self._connection = connect_source(settings)
        self.line = Line()
        self.line.register(settings, self._connection)
        self._closed = False
        self._lock = threading.Lock()

    # -- the connection ------------------------------------------------------------------------------------------------

    def cursor(self) -> DriverCursor:
        """A cursor for one question. Raises TransientError after `cancel`."""
        if not self.usable:
            raise TransientError("The question to the source was cancelled.", side="source")
        return WatchedCursor(self._connection.cursor(), self.line)

    def cancel(self) -> None:
        """End its question soon, from another thread: where a key is scanned for ranges it may take minutes.

        The connection is left to the thread that uses it: closed here, it would be closed under a call of the driver,
        which does not survive that.
        """
        with self._lock:
            self.usable = False
            if not self._closed:
                cancel_statements(self._connection)

    def close(self) -> None:
        """Close the connection, by the thread that uses it; idempotent."""
        with self._lock:
            self.usable = False
            self.line.closed = True
            closed, self._closed = self._closed, True
        if not closed:
            self._connection.close()

    # -- questions -----------------------------------------------------------------------------------------------------

    def catalog(self, schemas: Sequence[str] | None) -> Catalog:
        """See `catalog.read_catalog`."""
        self.line.at("reading the catalog")
        return read_catalog(self, schemas)

    def look(self) -> SourceLook:
        """The tables, without their columns."""
        self.line.at("reading the tables")
        session = CatalogSession(self)
        version = session.scalar("SELECT CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128)) AS version")
        rows = {row["object_id"]: row["row_count"] for row in session.optional(q.ROWS)}
        tables = (
            SourceTable(row["schema_name"], row["name"], rows.get(row["object_id"]))
            for row in session.required(q.TABLES)
            if row["name"] not in _NOT_OFFERED
        )
        ordered = sorted(tables, key=lambda table: (table.schema, table.name.casefold()))
        return SourceLook(str(version or "unknown"), tuple(ordered))

    def health(self) -> SourceHealth:
        """See `health.check_health`."""
        self.line.at("asking for the server's state")
        return check_health(self, self._settings)

    def obstacles(self, tables: Iterable[Table]) -> tuple[Obstacle, ...]:
        """See `health.obstacles`."""
        self.line.at("trying to read each table")
        return obstacles(self, self._settings, tables)

    def change_facts(self, tables: Iterable[Table]) -> ChangeFacts:
        """See `change_facts.change_facts`."""
        return change_facts(self, self._settings.database, tables)

    def read_only(self) -> bool:
        """sys.databases.is_read_only (ALTER DATABASE ... SET READ_ONLY)."""
        return bool(CatalogSession(self).scalar("SELECT is_read_only FROM sys.databases WHERE database_id = DB_ID()"))

    def prepare(self, statement: str) -> None:
        """Run a statement that switches something on."""
        try:
            cursor = self.cursor()
            try:
                cursor.execute(statement)
            finally:
                cursor.close()
        except Exception as error:
            raise TransferError(
                f"the source refuses {statement}: {describe(error)}",
                hint="ask whoever owns the database to run it; nothing else is needed",
            ) from error

    def key_collision(self, table: MappedTable, on_nul: OnNul) -> Collision | None:
        """See `collisions.key_collision`."""
        self.line.at(f"comparing the keys of {table.source.full_name}", table.source.full_name)
        return key_collision(self, table, on_nul)

    def count(self, table: MappedTable) -> int:
        """``COUNT_BIG(*)``."""
        name = table.source.full_name
        self.line.at(f"counting the rows of {name}", name)
        sql = f"SELECT COUNT_BIG(*) AS row_count FROM {qualified_name(table.source.schema, table.source.name)}"
        try:
            found = CatalogSession(self).rows(sql)
        except Exception as error:
            if not self.usable:
                raise TransientError(f"Reading {name} was cancelled.", side="source", table=name) from error
            failure = to_migration_error(error, table=name)
            self.usable = not failure.retryable
            raise failure from error
        if not found:  # a count always has a row; without one, a stray cancellation reached this statement
            raise TransientError(f"Reading {name}: no result", side="source", table=name)
        return int(found[0][0])

    def resumable(self, table: MappedTable) -> bool:
        """A key the server can seek by is needed: there are no positions but keys."""
        return table.range_key is not None

    def plan_ranges(self, table: MappedTable, *, max_ranges: int, min_rows: int) -> list[KeyRange]:
        """See `ranges.plan_ranges`."""
        self.line.at(f"looking for ranges of {table.source.full_name}", table.source.full_name)
        return plan_ranges(
            self, table, max_ranges=max_ranges, min_rows=min_rows, row_estimate=table.source.row_estimate
        )
