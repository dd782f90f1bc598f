"""Only one run per target schema: a session advisory lock held by the run's control connection."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import Cancelled, StateError
from ..waiting import PATIENCE

if TYPE_CHECKING:
    import psycopg

PATIENT = 20.0
"""Seconds to wait where the holder is probably a dead session of the same run."""
SHORT = 3.0
"""Seconds to wait otherwise."""


def lock_key(schema: str) -> int:
    """A stable signed 64-bit advisory lock key for the schema's name (locks are per database anyway)."""
    digest = hashlib.sha256(f"mssql-pg-migrate:{schema}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def acquire(
    connection: psycopg.Connection[Any],
    schemas: tuple[str, ...],
    *,
    wait: float = SHORT,
    stopped: Callable[[float], bool] | None = None,
    on_wait: Callable[[str], None] | None = None,
) -> None:
    """Take the lock of each schema, in name order. Waits up to ``wait`` seconds for one to be released.

    A killed run's session lives until the server notices that its client is gone, which takes a moment. Raises
    StateError naming the session that holds the lock, Cancelled when ``stopped``, which sleeps, returns True.
    ``on_wait`` is told once, with a sentence, when it takes longer than a moment.
    """
    began = time.monotonic()
    deadline = began + wait
    for schema in sorted(set(schemas)):
        key = lock_key(schema)
        while True:
            row = connection.execute("SELECT pg_try_advisory_lock(%s)", (key,)).fetchone()
            if row and row[0]:
                break
            if time.monotonic() > deadline:
                raise StateError(
                    f"another run is writing to target schema {schema} ({_holder(connection, key)})",
                    hint="wait for it to end; if it is dead, end its session with pg_terminate_backend()",
                    retryable=True,
                )
            if on_wait is not None and time.monotonic() - began > PATIENCE:
                on_wait(f"waiting for target schema {schema}, held by {_holder(connection, key)}")
                on_wait = None
            if stopped is None:
                time.sleep(0.25)
            elif stopped(0.25):
                raise Cancelled("stopped while another run was writing to the target schema")


def _holder(connection: psycopg.Connection[Any], key: int) -> str:
    row = connection.execute(
        "SELECT a.pid, a.application_name, a.client_addr::text, a.backend_start::timestamptz(0)::text"
        " FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
        " WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1"
        " AND l.classid::bigint = %s AND l.objid::bigint = %s"
        " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        ((key >> 32) & 0xFFFFFFFF, key & 0xFFFFFFFF),
    ).fetchone()
    if row is None:
        return "its session has just changed"
    return f"session {row[0]} {row[1]!r} from {row[2] or 'local'} since {row[3]}"
