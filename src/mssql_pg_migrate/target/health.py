"""Facts about the target for health-check: is it there, how is it reached, may a run do there what it will have to?

Asks only; changes nothing.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..mapping.objects import MappedTable
from .connect import ServerFacts, read_server_facts
from .ddl import has_identity
from .inspect import read_locked_sequences

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
    read_only: str | None
    """Why nothing can be written, None when it can."""
    free_connections: int
    """How many more sessions this user may open."""


def check_health(connection: psycopg.Connection[Any]) -> TargetHealth:
    """Ask an open session. Raises psycopg errors."""
    row = _one(
        connection,
        "SELECT current_database(), current_user, pg_is_in_recovery(),"
        " current_setting('default_transaction_read_only') = 'on'",
    )
    read_only = None
    if row[2]:
        read_only = "the server is a standby, which is read-only"
    elif row[3]:
        read_only = "default_transaction_read_only is on for this user or database"
    return TargetHealth(
        facts=read_server_facts(connection),
        database=row[0],
        user=row[1],
        latency_ms=_latency(connection),
        tls=_tls(connection),
        read_only=read_only,
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


def missing_rights(
    connection: psycopg.Connection[Any],
    mode: str,
    schemas: Sequence[str],
    tables: Sequence[MappedTable],
    extensions: Sequence[str] = (),
) -> list[str]:
    """What the user may not do that a run in that mode needs, as sentences. Raises psycopg errors.

    ``drop_recreate`` drops tables, which takes their owner; ``truncate`` empties and fills them; ``upsert`` stages rows
    in temporary tables and merges them. Every mode keeps its ledger in the target schemas.
    """
    problems = _schema_problems(connection, schemas)
    if mode == "upsert" and not _one(connection, "SELECT has_database_privilege(current_database(), 'TEMP')")[0]:
        problems.append("the user may not create temporary tables: GRANT TEMPORARY ON DATABASE")
    problems += _extension_problems(connection, extensions)
    return problems + _table_problems(connection, mode, tables)


def _schema_problems(connection: psycopg.Connection[Any], schemas: Sequence[str]) -> list[str]:
    problems = []
    for schema, exists, may_create, may_use, may_make in connection.execute(
        "SELECT s.name, n.oid IS NOT NULL, coalesce(has_schema_privilege(n.oid, 'CREATE'), false),"
        " coalesce(has_schema_privilege(n.oid, 'USAGE'), false), has_database_privilege(current_database(), 'CREATE')"
        " FROM unnest(%s::text[]) AS s (name) LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = s.name",
        (list(schemas),),
    ):
        if not exists and not may_make:
            problems.append(
                f"schema {schema} does not exist and the user may not create it: GRANT CREATE ON DATABASE, or create it"
            )
        elif exists and not (may_create and may_use):
            problems.append(f"the user may not create tables in schema {schema}: GRANT USAGE, CREATE ON SCHEMA")
    return problems


def _extension_problems(connection: psycopg.Connection[Any], extensions: Sequence[str]) -> list[str]:
    """Trusted extensions (citext) can be created by whoever may create schemas in the database."""
    rows = connection.execute(
        "SELECT e.name FROM unnest(%s::text[]) AS e (name)"
        " WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_extension x WHERE x.extname = e.name)"
        " AND NOT has_database_privilege(current_database(), 'CREATE')",
        (list(extensions),),
    )
    return [
        f"the user may not create the extension {name}: have it created, or GRANT CREATE ON DATABASE"
        for (name,) in rows
    ]


_NEEDED = {"truncate": ("TRUNCATE", "INSERT"), "upsert": ("SELECT", "INSERT", "UPDATE")}


def _table_problems(connection: psycopg.Connection[Any], mode: str, tables: Sequence[MappedTable]) -> list[str]:
    needed = _NEEDED.get(mode, ())
    kept = [] if mode == "drop_recreate" else tables
    fed = {(table.schema, table.name) for table in kept if any(has_identity(column) for column in table.columns)}
    locked = read_locked_sequences(connection, kept)
    problems = []
    for schema, name, owns, granted, references in connection.execute(
        "SELECT n.nspname, c.relname, pg_has_role(c.relowner, 'USAGE'),"
        " ARRAY(SELECT p.name FROM unnest(%s::text[]) AS p (name) WHERE has_table_privilege(c.oid, p.name)),"
        " EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'f')"
        " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " JOIN unnest(%s::text[], %s::text[]) AS t (schema, name) ON t.schema = n.nspname AND t.name = c.relname"
        " WHERE c.relkind IN ('r', 'p') ORDER BY 1, 2",
        (list({*needed, "SELECT"}), [table.schema for table in tables], [table.name for table in tables]),
    ):
        wanted = (*needed, "SELECT") if (schema, name) in fed and "SELECT" not in needed else needed
        lacking = [right for right in wanted if right not in granted]
        if mode == "drop_recreate" and not owns:
            problems.append(f"table {schema}.{name} exists and belongs to another role: only its owner may drop it")
        elif lacking:
            problems.append(f"the user lacks {', '.join(lacking)} on table {schema}.{name}")
        elif mode == "truncate" and references and not owns:
            problems.append(
                f"table {schema}.{name} has foreign keys, which only its owner may set aside during the load"
            )
        elif (schema, name) in locked:
            sequences = ", ".join(locked[schema, name])
            problems.append(
                f"the user may not set the identity of table {schema}.{name} past the rows:"
                f" GRANT UPDATE ON SEQUENCE {sequences}"
            )
    return problems
