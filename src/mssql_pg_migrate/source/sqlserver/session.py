"""A connection for questions rather than rows: catalog, counts, range boundaries, health."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import cast

from ...errors import ConfigError, ConnectionFailed, DataError, TransferError, TransientError
from ...mapping.objects import MappedTable
from ...model import Catalog, KeyRange, Table
from ..changes import ChangeFacts
from ..reader import Chunk, OnNul, ReadRequest
from ..settings import SqlServerSettings
from ..source import Collision, Obstacle, SourceHealth, SourceLook, SourceTable
from . import catalog_sql as q
from .catalog import CatalogSession, read_catalog
from .change_facts import change_facts
from .classify import describe, to_migration_error
from .collisions import key_collision
from .connect import cancel_statements, connect_measured
from .dbapi import Connection, Cursor, DriverConnection, DriverCursor
from .health import check_health, obstacles
from .ranges import plan_ranges, reads_keys_as_arrow
from .sample import spread
from .tds_connection import TdsConnection
from .tsql import qualified_name
from .watch import Line, WatchedCursor
from .wire_connect import WireUnsupported, open_measured, unsupported

_NOT_OFFERED = frozenset({"sysdiagrams"})
"""The database diagram tool's own table, which is never migrated."""
_SAMPLE_BYTES = 2 << 20
"""Of a sample, however many rows that are."""


_SURELY_NEAR = 0.002
"""Seconds."""


def _round_trip(connection: Connection) -> float:
    cursor = connection.cursor()
    try:
        began = time.monotonic()
        with suppress(Exception):  # the first question will tell
            cursor.execute("SET TEXTSIZE 2147483647")  # as it is already
        return time.monotonic() - began
    finally:
        cursor.close()


def _connect(settings: SqlServerSettings) -> tuple[Connection, float]:
    """A connection through the tool's own client where it can log in, else through Microsoft's driver; its round trip.

    The client opens a session sooner, without the driver's libraries, and lets other threads run meanwhile. Where it
    fails the driver is asked, and says why. Raises ConnectionFailed.
    """
    if settings.reader != "driver" and unsupported(settings) is None:
        try:
            client, round_trip = open_measured(settings)
            return TdsConnection(client), round_trip
        except (WireUnsupported, ConnectionFailed):
            pass  # the driver's word counts
    return connect_measured(settings)


class SqlServerSession:
    """See `source.SourceSession`. To the modules that ask the questions it is the `dbapi.Connection`."""

    def __init__(self, settings: SqlServerSettings) -> None:
        """Connect. Raises ConnectionFailed."""
        self.usable = True
        self._settings = settings
        self._connection, self.round_trip = _connect(settings)
        self._driver: SqlServerSession | None = None
        """A session through the driver, for what only that can answer."""
        self.line = Line()
        self.line.register(settings, self._connection)
        for _ in range(2):
            if self.round_trip > _SURELY_NEAR:  # or the machine is busy
                self.round_trip = min(self.round_trip, _round_trip(self._connection))
        self._closed = False
        self._lock = threading.Lock()

    # -- the connection ------------------------------------------------------------------------------------------------

    def cursor(self) -> Cursor:
        """A cursor for one question. Raises TransientError after `cancel`."""
        if not self.usable:
            raise TransientError("The question to the source was cancelled.", side="source")
        # Where it is the client's, nobody asks for the driver's batches (`_by_driver`).
        return WatchedCursor(cast(DriverCursor, self._connection.cursor()), self.line)

    def cancel(self) -> None:
        """End its question soon, from another thread: where a key is scanned for ranges it may take minutes.

        The connection is left to the thread that uses it: closed here, it would be closed under a call of the driver,
        which does not survive that.
        """
        with self._lock:
            self.usable = False
            driver = self._driver
            if not self._closed:
                if isinstance(self._connection, TdsConnection):
                    self._connection.cancel()
                else:
                    cancel_statements(self._connection)
        if driver is not None:
            driver.cancel()

    def _by_driver(self) -> SqlServerSession:
        """This session or, where it goes through the tool's own client, one through the driver."""
        if not isinstance(self._connection, TdsConnection):
            return self
        with self._lock:
            if self._driver is None:
                self._driver = SqlServerSession(replace(self._settings, reader="driver"))
            return self._driver

    def close(self) -> None:
        """Close the connection, by the thread that uses it; idempotent."""
        with self._lock:
            self.usable = False
            self.line.closed = True
            closed, self._closed = self._closed, True
        if not closed:
            self._connection.close()
            if self._driver is not None:
                self._driver.close()

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
        """sys.databases.is_read_only (ALTER DATABASE ... SET READ_ONLY), or DATABASEPROPERTYEX, "Updateability".

        Raises ConfigError where the server tells neither: waiting for it would never end.
        """
        session = CatalogSession(self)
        flag = session.scalar("SELECT is_read_only FROM sys.databases WHERE database_id = DB_ID()")
        if flag is not None:
            return bool(flag)
        told = session.scalar(
            "SELECT CAST(DATABASEPROPERTYEX(DB_NAME(), 'Updateability') AS nvarchar(128)) AS updateability"
        )
        if told is None:
            raise ConfigError("the server does not tell whether the database is read-only", hint="--wait-for quiet")
        return str(told) == "READ_ONLY"

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
            self._by_driver() if reads_keys_as_arrow(table) else self,
            table,
            max_ranges=max_ranges,
            min_rows=min_rows,
            row_estimate=table.source.row_estimate,
        )

    def sample(self, table: MappedTable, rows: int, *, on_nul: OnNul, seconds: float) -> bytes:
        """Through the driver, over this connection: of some pages, or the first rows where the server samples none."""
        self.line.at(f"reading some rows of {table.source.full_name}", table.source.full_name)
        end = time.monotonic() + seconds
        first = ReadRequest(table=table, range=KeyRange(0), on_nul=on_nul, limit=rows, chunk_bytes=_SAMPLE_BYTES)
        relation = spread(table, rows)
        found = b""
        if relation is not None:
            try:
                found = self._few_rows(replace(first, relation=relation), end)
            except TransferError as error:
                if error.retryable or isinstance(error, DataError) or time.monotonic() >= end:
                    raise
        return found or self._few_rows(first, end)

    def _few_rows(self, request: ReadRequest, end: float) -> bytes:
        """The first megabytes of a request, in good time."""
        from .driver import DriverReader

        if isinstance(self._connection, TdsConnection):
            return self._by_driver()._few_rows(request, end)
        reader = DriverReader(self._settings, cast(DriverConnection, self._connection))
        late = threading.Timer(max(0.0, end - time.monotonic()), reader.cancel)
        late.daemon = True
        late.start()
        chunks = reader.chunks(request)
        try:
            return bytes(next(chunks, Chunk(b"", 0, None)).data)
        except TransientError as error:
            if not self.usable or time.monotonic() < end:
                raise
            name = request.table.source.full_name
            raise TransferError(f"Reading {name}: rows of it did not come in time", table=name) from error
        finally:
            late.cancel()
            chunks.close()
