"""Is there a connection pooler between this process and the server, and does a session stay with its server?

A run keeps locks, settings and temporary tables in its sessions. A pooler in session mode gives each client a server
connection of its own for as long as it stays; in transaction (or statement) mode the next transaction may meet another
one, and what was set stays behind for other clients. That is found out before anything is set.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ..errors import ConnectionFailed

if TYPE_CHECKING:
    import psycopg

Pooling: TypeAlias = Literal["session", "transaction", "statement"]
_ROUNDS = 4
_PATIENCE = 5.0
"""Seconds a pooler may take to find a server connection for a client."""
_PID = b"SELECT pg_backend_pid()"
_PROBE = "-c mssql_pg_migrate.probe=1"
"""A setting PostgreSQL takes from anyone, and which PgBouncer does not know."""


def refuse_loose_pooling(label: str, keywords: Mapping[str, Any], first: psycopg.Connection[Any]) -> None:
    """Raise ConnectionFailed unless ``first`` keeps its server connection; ``keywords`` open another one beside it.

    Neither is left with anything set. Raises psycopg errors.
    """
    pooling = observe(first, keywords)
    if pooling == "session":
        return
    name = "PgBouncer" if _is_pgbouncer(keywords) else "a connection pooler"
    raise ConnectionFailed(
        f"cannot use PostgreSQL at {label}: {name} stands before it in {pooling} mode, where locks, settings and"
        f" temporary tables do not stay with a session",
        side="target",
        hint="connect to the server itself (a managed database has a direct address or port), or to a pool in session"
        " mode: target.host, target.port",
        retryable=False,
    )


def observe(first: psycopg.Connection[Any], keywords: Mapping[str, Any]) -> Pooling:
    """How the pooler behind an idle connection lends its server connections. Raises psycopg errors.

    In session mode the second client never meets the first one's server process, and the first one always does. In
    the other modes an idle client has none: the second one gets it, or the first one another one.
    """
    import psycopg

    with closing(psycopg.connect(autocommit=True, **keywords)) as second:
        for _ in range(_ROUNDS):
            mine = _ask(first, _PID)
            try:
                _ask(second, b"BEGIN")
            except psycopg.Error as error:
                if error.sqlstate == "08P01" or second.closed:  # PgBouncer: no transaction blocks in statement mode
                    return "statement"
                raise
            except TimeoutError:
                return "session"  # all server connections are taken, one of them by the idle first client
            if _ask(second, _PID) == mine:
                return "transaction"
            try:
                again = _ask(first, _PID)
            except TimeoutError:
                return "transaction"
            _ask(second, b"ROLLBACK")
            if again != mine:
                return "transaction"
    return "session"


def _is_pgbouncer(keywords: Mapping[str, Any]) -> bool:
    """By its own words about startup parameters that it does not pass on."""
    import psycopg

    try:
        psycopg.connect(**{**keywords, "options": _PROBE}).close()
    except psycopg.OperationalError as error:
        return "unsupported startup parameter" in str(error)
    return False


def _ask(connection: psycopg.Connection[Any], sql: bytes) -> bytes | None:
    """The first value of a query's answer. Raises TimeoutError when there is none in time, psycopg errors."""
    import psycopg
    from psycopg.pq import ExecStatus

    pgconn = connection.pgconn
    pgconn.send_query(sql)
    pgconn.flush()
    deadline = time.monotonic() + _PATIENCE
    value = None
    failed: psycopg.Error | None = None
    with selectors.DefaultSelector() as selector:
        selector.register(pgconn.socket, selectors.EVENT_READ)
        while True:
            while pgconn.is_busy():
                if not selector.select(max(deadline - time.monotonic(), 0)):
                    raise TimeoutError("the pooler does not answer")
                pgconn.consume_input()
            result = pgconn.get_result()
            if result is None:
                break
            if result.status == ExecStatus.TUPLES_OK:
                value = result.get_value(0, 0)
            elif result.status != ExecStatus.COMMAND_OK:
                failed = psycopg.errors.error_from_result(result)
    if failed is not None:
        raise failed
    return value
