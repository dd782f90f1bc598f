"""What ties rows of existing target tables together: foreign keys, unique indexes, triggers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from .ddl import qualified, quote_ident

if TYPE_CHECKING:
    import psycopg

TableName: TypeAlias = tuple[str, str]
"""(schema, table) in the target, unquoted."""


@dataclass(frozen=True, slots=True)
class ForeignKeyFact:
    """A foreign key as ``pg_constraint`` has it."""

    name: str
    child: TableName
    parent: TableName
    columns: tuple[str, ...]
    """Of the child, in the constraint's order."""
    referenced: tuple[str, ...]
    """Of the parent, in the same order."""
    on_delete: str
    """confdeltype: ``a`` no action, ``r`` restrict, ``c`` cascade, ``n`` set null, ``d`` set default."""
    deferrable: bool
    validated: bool
    definition: str
    """pg_get_constraintdef."""


@dataclass(frozen=True, slots=True)
class UniqueFact:
    """A unique index that is checked at each row: what two rows that swap their values run into."""

    name: str
    columns: tuple[str, ...]
    """Plain columns of its key; expressions are left out."""
    constraint: bool
    """Whether a constraint of the same name owns it."""
    primary: bool
    parkable: str | None
    """A nullable key column: set to NULL, a row leaves the index for the moment. None where there is none."""
    definition: str
    """What makes it again: pg_get_constraintdef of the constraint, or pg_get_indexdef."""


@dataclass(frozen=True, slots=True)
class TriggerFact:
    """A user trigger that would fire for rows coming in."""

    name: str
    always: bool
    """ENABLE ALWAYS: fires under any session_replication_role."""


@dataclass(frozen=True, slots=True)
class Relations:
    """The ties of some tables, those to tables outside included."""

    foreign_keys: tuple[ForeignKeyFact, ...]
    uniques: dict[TableName, tuple[UniqueFact, ...]]
    triggers: dict[TableName, tuple[TriggerFact, ...]]

    def referring(self, table: TableName) -> tuple[ForeignKeyFact, ...]:
        """Foreign keys whose parent the table is."""
        return tuple(key for key in self.foreign_keys if key.parent == table)


_TABLES = "SELECT to_regclass(name)::oid FROM unnest(%s::text[]) AS name WHERE to_regclass(name) IS NOT NULL"
_COLUMNS = (
    "(SELECT array_agg(a.attname::text ORDER BY k.n) FROM unnest({keys}) WITH ORDINALITY AS k (attnum, n)"
    " JOIN pg_attribute a ON a.attrelid = {table} AND a.attnum = k.attnum)"
)


def read_relations(connection: psycopg.Connection[Any], tables: Sequence[TableName]) -> Relations:
    """The foreign keys from or to the tables, their unique indexes and enabled user triggers."""
    names = [qualified(schema, name) for schema, name in tables]
    keys = connection.execute(
        "SELECT c.conname, cn.nspname, ct.relname, pn.nspname, pt.relname,"
        f" {_COLUMNS.format(keys='c.conkey', table='c.conrelid')},"
        f" {_COLUMNS.format(keys='c.confkey', table='c.confrelid')},"
        " c.confdeltype::text, c.condeferrable, c.convalidated, pg_get_constraintdef(c.oid)"
        " FROM pg_constraint c JOIN pg_class ct ON ct.oid = c.conrelid JOIN pg_namespace cn ON cn.oid = ct.relnamespace"
        " JOIN pg_class pt ON pt.oid = c.confrelid JOIN pg_namespace pn ON pn.oid = pt.relnamespace"
        f" WHERE c.contype = 'f' AND c.conparentid = 0 AND (c.conrelid IN ({_TABLES}) OR c.confrelid IN ({_TABLES}))"
        " ORDER BY 2, 3, 1",
        (names, names),
    ).fetchall()
    uniques = connection.execute(
        "SELECT n.nspname, t.relname, i.relname, (SELECT coalesce(array_agg(a.attname::text ORDER BY k.n), '{}')"
        " FROM unnest(x.indkey::int2[]) WITH ORDINALITY AS k (attnum, n)"
        " JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.attnum WHERE k.n <= x.indnkeyatts),"
        " c.oid IS NOT NULL, x.indisprimary, CASE WHEN pg_get_indexdef(x.indexrelid) NOT LIKE '%% NULLS NOT DISTINCT%%'"
        " THEN (SELECT min(a.attname::text) FROM pg_attribute a WHERE a.attrelid = x.indrelid AND NOT a.attnotnull"
        " AND a.attgenerated = '' AND a.attnum = ANY ((x.indkey::int2[])[0:x.indnkeyatts - 1])) END,"
        " coalesce(pg_get_constraintdef(c.oid), pg_get_indexdef(x.indexrelid))"
        " FROM pg_index x JOIN pg_class t ON t.oid = x.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace"
        " JOIN pg_class i ON i.oid = x.indexrelid"
        " LEFT JOIN pg_constraint c ON c.conindid = x.indexrelid AND c.conrelid = x.indrelid"
        " AND c.contype IN ('p', 'u')"
        f" WHERE x.indisunique AND x.indisvalid AND x.indimmediate AND x.indrelid IN ({_TABLES}) ORDER BY 1, 2, 3",
        (names,),
    ).fetchall()
    triggers = connection.execute(
        "SELECT n.nspname, t.relname, g.tgname, g.tgenabled = 'A' FROM pg_trigger g"
        " JOIN pg_class t ON t.oid = g.tgrelid JOIN pg_namespace n ON n.oid = t.relnamespace"
        f" WHERE NOT g.tgisinternal AND g.tgenabled IN ('O', 'A') AND g.tgrelid IN ({_TABLES}) ORDER BY 1, 2, 3",
        (names,),
    ).fetchall()
    by_table: dict[TableName, list[UniqueFact]] = {}
    for schema, table, name, columns, *rest in uniques:
        fact = UniqueFact(name, tuple(columns), *rest)
        by_table.setdefault((schema, table), []).append(fact)
    firing: dict[TableName, list[TriggerFact]] = {}
    for schema, table, name, always in triggers:
        firing.setdefault((schema, table), []).append(TriggerFact(name, always))
    return Relations(
        foreign_keys=tuple(
            ForeignKeyFact(row[0], (row[1], row[2]), (row[3], row[4]), tuple(row[5]), tuple(row[6]), *row[7:])
            for row in keys
        ),
        uniques={table: tuple(facts) for table, facts in by_table.items()},
        triggers={table: tuple(facts) for table, facts in firing.items()},
    )


def root_of_index(connection: psycopg.Connection[Any], table: TableName, index: str) -> tuple[TableName, str]:
    """The partitioned table and its index that an index of a partition belongs to; any other is its own."""
    row = connection.execute(
        "SELECT tn.nspname, t.relname, r.relname FROM pg_class i JOIN pg_namespace n ON n.oid = i.relnamespace"
        " JOIN pg_class r ON r.oid = coalesce(pg_partition_root(i.oid), i.oid)"
        " JOIN pg_index x ON x.indexrelid = r.oid JOIN pg_class t ON t.oid = x.indrelid"
        " JOIN pg_namespace tn ON tn.oid = t.relnamespace WHERE n.nspname = %s AND i.relname = %s",
        (table[0], index),
    ).fetchone()
    return ((row[0], row[1]), row[2]) if row is not None else (table, index)


def set_triggers(
    connection: psycopg.Connection[Any], table: TableName, triggers: Sequence[TriggerFact], *, on: bool
) -> None:
    """Switch the triggers off, or on again as they were; call inside a transaction (SHARE ROW EXCLUSIVE lock)."""
    for trigger in triggers:
        word = "DISABLE" if not on else "ENABLE ALWAYS" if trigger.always else "ENABLE"
        connection.execute(f"ALTER TABLE {qualified(*table)} {word} TRIGGER {quote_ident(trigger.name)}")
