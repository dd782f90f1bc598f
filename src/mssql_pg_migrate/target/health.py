"""Facts about the target for health-check: is it there, how is it reached, how much room does it have?

Asks only; changes nothing.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .connect import ServerFacts, read_server_facts

if TYPE_CHECKING:
    import psycopg

_PINGS = 5


@dataclass(frozen=True, slots=True)
class TargetHealth:
    """What a connection shows of its server. ``latency_ms`` is the median round trip of an empty query."""

    facts: ServerFacts
    database: str
    user: str
    latency_ms: float
    tls: str | None
    """Version and cipher of the connection's TLS, None without."""
    free_connections: int
    """How many more sessions this user may open."""


def check_health(connection: psycopg.Connection[Any]) -> TargetHealth:
    """Ask an open session. Raises psycopg errors."""
    row = _one(connection, "SELECT current_database(), current_user")
    return TargetHealth(
        facts=read_server_facts(connection),
        database=row[0],
        user=row[1],
        latency_ms=_latency(connection),
        tls=_tls(connection),
        free_connections=_free_connections(connection),
    )


def _one(connection: psycopg.Connection[Any], sql: str, parameters: Sequence[Any] | None = None) -> Any:
    row = connection.execute(sql.encode(), parameters).fetchone()
    assert row is not None
    return row


def _latency(connection: psycopg.Connection[Any]) -> float:
    times = []
    for _ in range(_PINGS):
        start = time.perf_counter()
        connection.execute("SELECT 1")
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


def _tls(connection: psycopg.Connection[Any]) -> str | None:
    """What this side of the connection has; a pooler in between may speak otherwise to the server."""
    if not connection.pgconn.ssl_in_use:
        return None
    row = connection.execute("SELECT version, cipher FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl").fetchone()
    return f"{row[0]} ({row[1]})" if row is not None and row[0] else "in use"


def _free_connections(connection: psycopg.Connection[Any]) -> int:
    """The least of what the server, the database and the role leave (-1 in the catalogs: no limit)."""
    row = _one(
        connection,
        "SELECT current_setting('max_connections')::int"
        " - CASE WHEN r.rolsuper THEN 0 ELSE current_setting('superuser_reserved_connections')::int"
        " + coalesce(current_setting('reserved_connections', true)::int, 0) END"
        # Of other roles' sessions a plain role sees user and database only; background workers have not both.
        " - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        " OR backend_type IS NULL AND usesysid IS NOT NULL AND datid IS NOT NULL)::int,"
        " d.datconnlimit, (SELECT count(*) FROM pg_stat_activity WHERE datid = d.oid)::int,"
        " r.rolconnlimit, (SELECT count(*) FROM pg_stat_activity WHERE usesysid = r.oid)::int, r.rolsuper"
        " FROM pg_roles r, pg_database d WHERE r.rolname = current_user AND d.datname = current_database()",
    )
    free, of_database, in_database, of_role, by_role, superuser = row
    if not superuser and of_database >= 0:
        free = min(free, of_database - in_database)
    if not superuser and of_role >= 0:
        free = min(free, of_role - by_role)
    return max(int(free), 0)
