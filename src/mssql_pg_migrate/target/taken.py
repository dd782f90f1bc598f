"""Names the target already has for something else: what the run creates gets other ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from ..mapping.names import default_object_name
from ..mapping.objects import MappedDatabase, MappedTable

if TYPE_CHECKING:
    import psycopg

_Kind = Literal["index", "identity", "sequence", "view"]
_Wanted = tuple[str, str, _Kind, "tuple[str, str] | None"]
"""Schema, name, kind and, of an index or of a sequence behind an identity, the (schema, name) of its table."""

_RELATIONS = (
    "SELECT n.nspname, c.relname, c.relkind::text, tn.nspname, t.relname"
    " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " LEFT JOIN pg_catalog.pg_index x ON x.indexrelid = c.oid"
    " LEFT JOIN pg_catalog.pg_depend d ON c.relkind = 'S' AND d.classid = 'pg_catalog.pg_class'::regclass"
    " AND d.objid = c.oid AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.deptype IN ('a', 'i')"
    " LEFT JOIN pg_catalog.pg_class t ON t.oid = coalesce(x.indrelid, d.refobjid)"
    " LEFT JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace"
    " WHERE n.nspname = ANY (%s) AND c.relname = ANY (%s)"
)


def read_taken(
    connection: psycopg.Connection[Any], database: MappedDatabase, *, unfinished: bool
) -> dict[str, frozenset[str]]:
    """Names of indexes, sequences and views of the run that other relations of the target have, by target schema.

    What the run replaces or goes on with is not among them: indexes of its tables, the sequences of its identities,
    sequences and views of the same name that belong to no column. ``unfinished``: a run has stopped midway, and a
    sequence meant for an identity may be there without its table. Tables are looked at elsewhere: their names are never
    changed for what the target has.
    """
    wanted = list(_wanted(database))
    schemas, names = sorted({item[0] for item in wanted}), sorted({item[1] for item in wanted})
    found = {
        (schema, name): (kind, None if table is None else (table_schema, table))
        for schema, name, kind, table_schema, table in connection.execute(_RELATIONS, (schemas, names))
    }
    ours = {(table.schema, table.name) for table in database.tables}
    taken: dict[str, set[str]] = defaultdict(set)
    for schema, name, kind, table in wanted:
        there = found.get((schema, name))
        if there is not None and not _same(kind, table, *there, ours=ours, unfinished=unfinished):
            taken[schema].add(name)
    return {schema: frozenset(items) for schema, items in taken.items()}


def _same(
    kind: _Kind,
    table: tuple[str, str] | None,
    relkind: str,
    owner: tuple[str, str] | None,
    *,
    ours: set[tuple[str, str]],
    unfinished: bool,
) -> bool:
    """Whether the relation that is there is what the run wants to have, or goes before the run needs the name."""
    if kind == "index":  # built last: all tables of the run are there anew by then, or stay as they are
        return owner in ours
    if kind == "identity":
        return relkind == "S" and (owner == table or (owner is None and unfinished))
    if kind == "sequence":
        return relkind == "S" and owner is None
    return relkind == "v"


def _wanted(database: MappedDatabase) -> Iterator[_Wanted]:
    for table in database.tables:
        place = (table.schema, table.name)
        for key in (table.primary_key, *table.unique_keys):
            if key is not None:
                yield table.schema, key.name, "index", place
        for index in table.indexes:
            yield table.schema, index.name, "index", place
        yield from _identities(table)
    for sequence in database.sequences:
        if sequence.owner is not None:
            yield sequence.schema, sequence.name, "identity", sequence.owner[:2]
        else:
            yield sequence.schema, sequence.name, "sequence", None
    for view in database.views:
        yield view.schema, view.name, "view", None


def _identities(table: MappedTable) -> Iterator[_Wanted]:
    for column in table.columns:
        if column.identity:
            own = column.sequence or (table.schema, default_object_name(table.name, column.name, "seq"))
            yield *own, "identity", (table.schema, table.name)
