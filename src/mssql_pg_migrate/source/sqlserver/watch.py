"""Statements of ours that wait for SQL Server: noticed, and told with who holds the lock where the login may see it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ...events import EventSink, Waiting
from ...waiting import REPEAT, Watch, clock
from ..settings import SqlServerSettings
from .connect import connect_source
from .dbapi import Connection, Cursor, DriverCursor

if TYPE_CHECKING:
    import pyarrow as pa

_REQUESTS = """
SELECT r.session_id, r.blocking_session_id, s.program_name, s.status, s.open_transaction_count,
    DATEDIFF(second, CASE WHEN s.status = N'sleeping' THEN s.last_request_end_time ELSE s.last_request_start_time END,
        GETDATE())
FROM sys.dm_exec_requests AS r
LEFT JOIN sys.dm_exec_sessions AS s ON s.session_id = r.blocking_session_id
WHERE r.session_id IN ({sessions}) OR r.blocking_session_id <> 0
"""
"""Microsoft, "sys.dm_exec_requests" (blocking_session_id: 0 or NULL where nobody blocks, negative where it is no
session) and "sys.dm_exec_sessions". Both show others' sessions to holders of VIEW SERVER STATE only, from SQL
Server 2022 on of VIEW SERVER PERFORMANCE STATE; everybody else sees the session that asks."""
_DEPTH = 8


class Line:
    """One connection as the watch sees it. ``with line.at("reading the columns"):`` frames a call of the server."""

    def __init__(self) -> None:
        self.busy_since: float | None = None
        self.doing = ""
        self.table: str | None = None
        self.session: int | None = None
        """The server's session id."""
        self.closed = False

    def at(self, doing: str, table: str | None = None) -> Line:
        """Name what the calls from now on do, and the table that they read."""
        self.doing, self.table = doing, table
        return self

    def __enter__(self) -> None:
        self.busy_since = time.monotonic()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.busy_since = None

    def register(self, settings: SqlServerSettings, connection: Connection) -> None:
        """Have the settings' watch, if they have one, look after this connection."""
        if settings.watch is None:
            return
        self.session = session_id(connection)
        settings.watch.add(self)


def session_id(connection: Connection) -> int | None:
    """The server's number of the session; None where it does not tell."""
    cursor = connection.cursor()
    try:
        with suppress(Exception):  # a server that does not tell it cannot be asked about it later either
            cursor.execute("SELECT @@SPID AS session_id")
            found = cursor.fetchone()
            return None if found is None else int(found[0])
        return None
    finally:
        cursor.close()


class WatchedCursor:
    """A cursor whose calls are framed by a line (see `dbapi.DriverCursor`)."""

    def __init__(self, cursor: DriverCursor, line: Line) -> None:
        self._cursor = cursor
        self._line = line

    @property
    def description(self) -> Sequence[Any] | None:
        """The result's columns."""
        return self._cursor.description

    @property
    def messages(self) -> Sequence[tuple[str, str]]:
        """Diagnostic records."""
        return self._cursor.messages

    def execute(self, operation: str) -> object:
        """Run a statement."""
        with self._line:
            return self._cursor.execute(operation)

    def fetchone(self) -> Sequence[Any] | None:
        """The next row."""
        with self._line:
            return self._cursor.fetchone()

    def fetchall(self) -> Sequence[Sequence[Any]]:
        """All rows that are left."""
        with self._line:
            return self._cursor.fetchall()

    def nextset(self) -> object:
        """Go on to the batch's next result."""
        with self._line:
            return self._cursor.nextset()

    def arrow_batch(self, rows: int) -> pa.RecordBatch:
        """Up to that many rows."""
        with self._line:
            return self._cursor.arrow_batch(rows)

    def close(self) -> None:
        """End the statement."""
        self._cursor.close()


@dataclass(frozen=True, slots=True)
class _Holder:
    """Who blocks a request, as the server tells it."""

    session: int
    application: str | None
    status: str | None
    transactions: int | None
    seconds: int | None
    """Since when it is in that status."""


class SourceWatch(Watch[Line]):
    """Asks over a connection of its own, opened only while a call lasts and ``limit`` leaves room for it."""

    def __init__(self, settings: SqlServerSettings, emit: EventSink, limit: int | None) -> None:
        super().__init__(emit)
        self._settings = settings
        self._limit = limit
        self._asking: Connection | None = None
        self._blind = False
        """The login does not see other sessions: no use in asking."""

    def explain(self, late: Sequence[Line], open_sessions: int) -> dict[Line, Waiting]:
        """Those that somebody blocks; where that cannot be known, all of them."""
        holders = self._holders(late, open_sessions)
        found = {}
        now = time.monotonic()
        for line in late:
            since = line.busy_since
            if since is None:
                continue
            if holders is None or line.session not in holders:
                found[line] = describe(line.doing, None, None, seconds=now - since)
            elif (holder := holders[line.session]) is not None:
                found[line] = describe(line.doing, line.table, holder, seconds=now - since)
        return found

    def rest(self) -> None:
        """Close the connection."""
        connection, self._asking = self._asking, None
        if connection is not None:
            with suppress(Exception):  # it may be broken
                connection.close()

    def _holders(self, late: Sequence[Line], open_sessions: int) -> dict[int, _Holder | None] | None:
        """Session -> who blocks it, None for nobody; None when the server does not tell."""
        sessions = [line.session for line in late if line.session is not None]
        if self._blind or not sessions:
            return None
        try:
            if self._asking is None:
                if self._limit is not None and open_sessions >= self._limit:
                    return None
                self._asking = connect_source(replace(self._settings, watch=None))
            rows = _ask(self._asking.cursor(), sessions)
        except Exception:
            self.rest()
            return None
        blocked = {int(row[0]): _Holder(int(row[1] or 0), *row[2:]) for row in rows}
        self._blind = not blocked.keys() & set(sessions)
        return {session: _root(session, blocked) for session in sessions if session in blocked}


def _ask(cursor: Cursor, sessions: Sequence[int]) -> Sequence[Sequence[Any]]:
    try:
        cursor.execute(_REQUESTS.format(sessions=", ".join(map(str, sessions))))
        return cursor.fetchall()
    finally:
        cursor.close()


def _root(session: int, blocked: dict[int, _Holder]) -> _Holder | None:
    """The one that keeps all before it in the queue waiting; None where nobody blocks."""
    found = blocked[session]
    for _ in range(_DEPTH):
        further = blocked.get(found.session)
        if further is None or not further.session:
            break
        found = further
    return found if found.session else None


_NO_SESSION = {-2: "an orphaned distributed transaction", -3: "a transaction whose recovery is deferred"}


def describe(doing: str, table: str | None, holder: _Holder | None, *, seconds: float) -> Waiting:
    """The event: ``waiting for dbo.a, held by session 52 (app, sleeping with an open transaction since 12:03:04)``."""
    what = table or f"the source: {doing}"
    text = f"still waiting for {what} after {seconds:.0f} s" if seconds >= REPEAT else f"waiting for {what}"
    if holder is None:
        return Waiting(side="source", text=text, seconds=seconds, waits_for=table)
    since = None if holder.seconds is None else datetime.now().astimezone() - timedelta(seconds=holder.seconds)
    state = holder.status
    if state == "sleeping" and holder.transactions:
        state = "sleeping with an open transaction"
    if holder.session < 0:
        who = _NO_SESSION.get(holder.session, "a latch whose owner the server does not know")
    else:
        at = f"{state} since {clock(since)}" if state and since else state
        known = [part for part in (holder.application, at) if part]
        who = f"session {holder.session}" + (f" ({', '.join(known)})" if known else "")
    return Waiting(
        side="source",
        text=f"{text}, held by {who}",
        seconds=seconds,
        waits_for=table,
        held_by=holder.session if holder.session > 0 else None,
        application=holder.application or None,
        state=state,
        since=None if since is None else since.timestamp(),
    )
