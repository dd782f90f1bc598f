"""What a run needs that the target's server, database or role may refuse, as sentences.

Asked by the plan and by health-check, so that both say the same before anything is touched. A pooler that does not keep
sessions is found out earlier, by `connect.connect_target`. Asks only; changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .ddl import quote_ident
from .inspect import ExistingTable

if TYPE_CHECKING:
    import psycopg


@dataclass(frozen=True, slots=True)
class Needs:
    """What a run will do that takes a right beyond those on the tables."""

    schemas: Sequence[str]
    """Where it looks for tables; those that are missing are created."""
    creates_in: Collection[str]
    """Those of them in which it creates something: its ledger, tables, sequences, views."""
    extensions: Sequence[str] = ()
    stages: bool = False
    """Whether rows are merged, through temporary tables."""


def read_only_reason(connection: psycopg.Connection[Any]) -> str | None:
    """Why nothing can be written in the session, None when it can. Raises psycopg errors."""
    row = connection.execute(
        "SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only') = 'on'"
    ).fetchone()
    assert row is not None
    if row[0]:
        return "nothing can be written: the server is a standby, which is read-only; connect to the primary"
    if row[1]:
        return (
            "nothing can be written: default_transaction_read_only is on for this user or database; reset it, or"
            " connect as another user"
        )
    return None


def missing_abilities(connection: psycopg.Connection[Any], needs: Needs) -> list[str]:
    """All that the session may not do of what the run needs, rights on existing tables aside."""
    problems = []
    reason = read_only_reason(connection)
    if reason is not None:
        problems.append(reason)
    problems += _schema_problems(connection, needs)
    if needs.stages and not _may(connection, "TEMP"):
        problems.append(
            "the user may not create temporary tables, through which rows are merged:"
            f" GRANT TEMPORARY ON DATABASE {_database(connection)}"
        )
    return problems + _extension_problems(connection, needs.extensions)


def closed_schemas(connection: psycopg.Connection[Any], schemas: Sequence[str]) -> list[str]:
    """Those of the schemas that the role may not look into (no USAGE)."""
    rows = connection.execute(
        "SELECT nspname FROM pg_catalog.pg_namespace WHERE nspname = ANY (%s)"
        " AND NOT has_schema_privilege(oid, 'USAGE') ORDER BY 1",
        (list(schemas),),
    )
    return [row[0] for row in rows]


def _may(connection: psycopg.Connection[Any], privilege: str) -> bool:
    row = connection.execute("SELECT has_database_privilege(current_database(), %s)", (privilege,)).fetchone()
    return row is not None and bool(row[0])


def _database(connection: psycopg.Connection[Any]) -> str:
    return quote_ident(connection.info.dbname)


def _schema_problems(connection: psycopg.Connection[Any], needs: Needs) -> Iterator[str]:
    for schema, exists, may_create, may_use, may_make, role, name in connection.execute(
        "SELECT s.name, n.oid IS NOT NULL, coalesce(has_schema_privilege(n.oid, 'CREATE'), false),"
        " coalesce(has_schema_privilege(n.oid, 'USAGE'), false), has_database_privilege(current_database(), 'CREATE'),"
        " quote_ident(current_user), quote_ident(s.name)"
        " FROM unnest(%s::text[]) AS s (name) LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = s.name",
        (list(needs.schemas),),
    ).fetchall():
        if not exists and not may_make:
            yield (
                f"schema {schema} does not exist and the user may not create it:"
                f" GRANT CREATE ON DATABASE {_database(connection)} TO {role}, or create it"
            )
        elif exists and schema in needs.creates_in and not (may_create and may_use):
            yield (f"the user may not create tables in schema {schema}: GRANT USAGE, CREATE ON SCHEMA {name} TO {role}")
        elif exists and not may_use:
            yield f"the user may not use the tables of schema {schema}: GRANT USAGE ON SCHEMA {name} TO {role}"


def _extension_problems(connection: psycopg.Connection[Any], extensions: Sequence[str]) -> list[str]:
    """Trusted extensions (citext) can be created by whoever may create schemas in the database."""
    if not extensions:
        return []
    rows = connection.execute(
        "SELECT e.name FROM unnest(%s::text[]) AS e (name)"
        " WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_extension x WHERE x.extname = e.name)"
        " AND NOT has_database_privilege(current_database(), 'CREATE')",
        (list(extensions),),
    )
    return [
        f"the user may not create the extension {name}: have it created, or"
        f" GRANT CREATE ON DATABASE {_database(connection)}"
        for (name,) in rows
    ]


def table_problem(found: ExistingTable, needed: Collection[str], *, fed: bool) -> str | None:
    """What the user may not do with a table that is there, None when all that is ``needed`` may be done.

    ``needed`` holds ``ExistingTable.rights``; ``fed``: the run sets its identity past the rows.
    """
    missing = set(needed) - found.rights
    if missing & {"OWN", "DROP"}:
        reason = f"must be owned by the target user, its owner is {found.owner}"
    elif missing:
        reason = f"the target user lacks {', '.join(sorted(missing))} on it"
    elif "INSERT" in needed and found.row_security:
        reason = "row-level security is in force for the target user, PostgreSQL takes no COPY then: BYPASSRLS"
    elif fed and found.locked_sequences:
        sequences = ", ".join(found.locked_sequences)
        reason = f"the target user may not set its identity past the rows: GRANT UPDATE ON SEQUENCE {sequences}"
    else:
        return None
    return f"{found.full_name}: {reason}"
