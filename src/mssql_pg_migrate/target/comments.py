"""Descriptions of schemas and of the database: written where the target has none and the user may."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..mapping.objects import MappedDatabase, Note

if TYPE_CHECKING:
    import psycopg

_STANDARD = ("standard public schema", "default administrative connection database")
"""What PostgreSQL itself says of the schema public and of the database postgres."""


def with_allowed_comments(
    connection: psycopg.Connection[Any], database: MappedDatabase, description: str | None
) -> MappedDatabase:
    """``database`` with those comments on schemas, and on the target database, that the run will write.

    ``description`` is the source database's. A note names what is not written: another comment is there, or the user
    owns neither. Schemas that are not there yet will be the user's.
    """
    notes: list[Note] = []
    schemas = []
    there = {
        name: (owned, comment)
        for name, owned, comment in connection.execute(
            "SELECT nspname, pg_has_role(nspowner, 'USAGE'), obj_description(oid, 'pg_namespace')"
            " FROM pg_catalog.pg_namespace WHERE nspname = ANY (%s)",
            ([name for name, _ in database.schema_comments],),
        )
    }
    for name, text in database.schema_comments:
        owned, comment = there.get(name, (True, None))
        if _may_write(notes, "schema", name, text, owned=owned, comment=comment):
            schemas.append((name, text))
    own = None
    if description:
        row = connection.execute(
            "SELECT datname, pg_has_role(datdba, 'USAGE'), shobj_description(oid, 'pg_database')"
            " FROM pg_catalog.pg_database WHERE datname = current_database()"
        ).fetchone()
        assert row is not None
        if _may_write(notes, "database", row[0], description, owned=row[1], comment=row[2]):
            own = (row[0], description)
    return replace(database, schema_comments=tuple(schemas), comment=own, notes=(*database.notes, *notes))


def _may_write(notes: list[Note], kind: str, name: str, text: str, *, owned: bool, comment: str | None) -> bool:
    if comment not in (None, text, *_STANDARD):
        notes.append(Note("not_carried", name, f"description of the {kind}: the target's {kind} has one of its own"))
        return False
    if not owned:
        notes.append(Note("not_carried", name, f"description of the {kind}: the target user does not own the {kind}"))
    return owned
