"""What the two servers say about themselves while the wizard runs: enough to offer schemas and tables to pick."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..source.settings import SourceSettings
    from ..source.source import SourceLook
    from ..target.connect import TargetSettings


@dataclass(frozen=True, slots=True)
class TargetLook:
    """The target database at a glance."""

    version: str
    schemas: tuple[str, ...]
    tables: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Schema -> its tables."""
    may_create: dict[str, bool] = field(default_factory=dict)
    """Schema -> whether the role may create tables in it."""
    may_create_schemas: bool = True


def look_at_source(settings: SourceSettings) -> SourceLook:
    """Connect and list the tables.

    Raises:
        ConnectionFailed, SchemaError, TransferError: as the run itself would.
    """
    from ..source.open import open_source

    with closing(open_source(settings).connect()) as session:
        return session.look()


def look_at_target(settings: TargetSettings) -> TargetLook:
    """Connect, list schemas and tables, and see what the role may create.

    Raises:
        ConnectionFailed: the server cannot be reached or refuses the login.
    """
    from ..target.connect import connect_target, read_server_facts

    with connect_target(settings, purpose="init") as connection:
        facts = read_server_facts(connection)
        schemas = connection.execute(
            "SELECT n.nspname, has_schema_privilege(n.oid, 'CREATE') FROM pg_catalog.pg_namespace n"
            " WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY n.nspname"
        ).fetchall()
        found = connection.execute(
            "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c"
            " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
            " ORDER BY c.relname"
        ).fetchall()
        row = connection.execute("SELECT has_database_privilege(current_database(), 'CREATE')").fetchone()
    tables: dict[str, list[str]] = {}
    for schema, table in found:
        tables.setdefault(schema, []).append(table)
    return TargetLook(
        version=facts.version,
        schemas=tuple(name for name, _ in schemas),
        tables={schema: tuple(names) for schema, names in tables.items()},
        may_create={name: bool(may) for name, may in schemas},
        may_create_schemas=bool(row and row[0]),
    )
