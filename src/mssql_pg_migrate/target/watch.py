"""Statements of ours that wait for a lock of PostgreSQL: noticed, and told with who holds it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

import psycopg

from ..errors import MigrationError
from ..events import EventSink, Waiting
from ..waiting import REPEAT, Watch, clock
from .connect import TargetSettings, connect_target
from .connection import WatchedConnection

_QUESTION = """
WITH RECURSIVE queue (waiter, pid, place) AS (
    SELECT waiter.pid, blocking.pid, 1 FROM pg_stat_activity waiter, unnest(pg_blocking_pids(waiter.pid)) blocking(pid)
    WHERE waiter.pid = ANY (%s) AND waiter.wait_event_type = 'Lock'
    UNION
    SELECT queue.waiter, blocking.pid, queue.place + 1 FROM queue, unnest(pg_blocking_pids(queue.pid)) blocking(pid)
    WHERE queue.place < 8
)
SELECT DISTINCT ON (queue.waiter)
    queue.waiter, wanted.relation, queue.pid, holder.application_name, holder.state, holder.state_change
FROM queue
LEFT JOIN pg_stat_activity holder ON holder.pid = queue.pid
LEFT JOIN LATERAL (
    SELECT n.nspname || '.' || c.relname AS relation
    FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE l.pid = queue.waiter AND (NOT l.granted OR l.locktype = 'tuple')
    ORDER BY l.granted LIMIT 1
) wanted ON true
ORDER BY queue.waiter, queue.place DESC
"""
"""PostgreSQL's pages "System Information Functions" (pg_blocking_pids: prepared transactions are 0), "The Cumulative
Statistics System" (pg_stat_activity: own sessions are told in full, of others' only what needs no right) and "pg_locks"
(who waits for a row waits for a transaction, and holds the row's ``tuple`` lock meanwhile). Who waits
behind another that waits is told the one that keeps both."""


class TargetWatch(Watch[WatchedConnection]):
    """Asks over a connection of its own, opened only while a call lasts and ``limit`` leaves room for it."""

    def __init__(self, settings: TargetSettings, emit: EventSink, limit: int | None) -> None:
        super().__init__(emit)
        self._settings = settings
        self._limit = limit
        self._asking: psycopg.Connection[Any] | None = None

    def explain(self, late: Sequence[WatchedConnection], open_sessions: int) -> dict[WatchedConnection, Waiting]:
        """Those whose process waits for a lock. Without an answer, those that last very long."""
        began = {session: session.busy_since for session in late}
        try:
            rows = self._ask([session.info.backend_pid for session in late], open_sessions)
        except (psycopg.Error, MigrationError) as error:
            self.rest()
            return self._guess(began, str(error).strip().splitlines()[0])
        if rows is None:
            return self._guess(began, "max_pg_connections leaves no connection to ask for the reason")
        by_process = {row[0]: row[1:] for row in rows}
        found = {}
        for session, since in began.items():
            answer = by_process.get(session.info.backend_pid)
            if answer is not None and since is not None:
                found[session] = describe(*answer, seconds=time.monotonic() - since)
        return found

    def rest(self) -> None:
        """Close the connection."""
        connection, self._asking = self._asking, None
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()

    def _ask(self, processes: list[int], open_sessions: int) -> list[tuple[Any, ...]] | None:
        if self._asking is None or self._asking.closed:
            if self._limit is not None and open_sessions >= self._limit:
                return None
            self._asking = connect_target(replace(self._settings, watch=None), purpose="watch")
        return self._asking.execute(_QUESTION, (processes,)).fetchall()

    @staticmethod
    def _guess(began: dict[WatchedConnection, float | None], why: str) -> dict[WatchedConnection, Waiting]:
        now = time.monotonic()
        return {
            session: Waiting(
                side="target",
                text=f"waiting for the target: session {session.info.backend_pid} is at one statement for"
                f" {now - since:.0f} s ({why})",
                seconds=now - since,
            )
            for session, since in began.items()
            if since is not None and now - since >= REPEAT
        }


def watched(settings: TargetSettings, emit: EventSink, *, limit: int | None = None) -> TargetSettings:
    """The settings with which sessions are opened whose waiting is told to ``emit``.

    ``limit`` is the number of connections that all of them together may open, None for a few of them anyway.
    """
    return replace(settings, watch=TargetWatch(settings, emit, limit))


def describe(
    relation: str | None,
    process: int,
    application: str | None,
    state: str | None,
    since: datetime | None,
    *,
    seconds: float,
) -> Waiting:
    """The event: ``waiting for public.a, held by session 123 (psql, idle in transaction since 12:03:04)``."""
    if process == 0:  # PostgreSQL's sign for one that belongs to no session
        holder = "a prepared transaction (see pg_prepared_xacts)"
    else:
        known = [part for part in (application, _state(state, since)) if part]
        holder = f"session {process}" + (f" ({', '.join(known)})" if known else "")
    what = relation or "a lock of the target"
    told_before = seconds >= REPEAT
    begin = f"still waiting for {what} after {seconds:.0f} s" if told_before else f"waiting for {what}"
    return Waiting(
        side="target",
        text=f"{begin}, held by {holder}",
        seconds=seconds,
        waits_for=relation,
        held_by=process or None,
        application=application or None,
        state=state,
        since=None if since is None else since.timestamp(),
    )


def _state(state: str | None, since: datetime | None) -> str:
    """``idle in transaction since 12:03:04``, by this machine's clock; empty for what the server does not show."""
    return f"{state} since {clock(since)}" if state and since else state or ""
