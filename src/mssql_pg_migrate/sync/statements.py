"""The SQL that brings staged changes of one table over. Pure text; `apply` runs it in the right order.

A staging table holds one row per changed source row: ``_mpm_op`` (``D`` for a row the source no longer has), then the
table's copied columns; of a deleted row only the key is filled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..mapping.objects import MappedTable
from ..source.changes import OPERATION
from ..target.ddl import qualified, quote_ident, relation
from ..target.relations import ForeignKeyFact, TableName, UniqueFact
from ..target.upsert import differs

DELETED = "D"


@dataclass(frozen=True, slots=True)
class StagedTable:
    """A table with changes in a staging table of the applying session."""

    table: MappedTable
    key: tuple[str, ...]
    """Target names of the columns that identify a row on both sides."""
    stage: str
    """Name of the temporary table, unquoted."""

    @property
    def name(self) -> TableName:
        """(schema, table) in the target."""
        return self.table.schema, self.table.name

    @property
    def relation(self) -> str:
        """The temporary table, quoted, for statements."""
        return f"pg_temp.{quote_ident(self.stage)}"

    @property
    def columns(self) -> tuple[str, ...]:
        """Target names of the staged columns, without the operation."""
        return tuple(column.name for column in self.table.copied_columns)


def create_stage(staged: StagedTable) -> str:
    """A temporary table with the target's own column types, gone with the transaction."""
    return (
        f"CREATE TEMPORARY TABLE {quote_ident(staged.stage)} ON COMMIT DROP AS"
        f" SELECT ''::text AS {OPERATION}, {_names(staged.columns)} FROM {relation(staged.table)} WITH NO DATA"
    )


def keep_the_living(staged: StagedTable) -> str:
    """A key that is staged as gone and as there is there: the source tells two keys apart that are one in the target
    (100 ns of datetime2, the spelling of citext), and the row moved from one to the other."""
    stage = staged.relation
    return (
        f"DELETE FROM {stage} d USING {stage} u WHERE d.{OPERATION} = '{DELETED}' AND u.{OPERATION} <> '{DELETED}'"
        f" AND {_pairs('d', staged.key, 'u', staged.key)}"
    )


def insert(staged: StagedTable) -> str:
    """Insert the staged rows whose key the target does not have."""
    overriding = " OVERRIDING SYSTEM VALUE" if any(column.identity for column in staged.table.columns) else ""
    return (
        f"INSERT INTO {relation(staged.table)} ({_names(staged.columns)}){overriding}"
        f" SELECT {_names(staged.columns, 's')} FROM {staged.relation} s WHERE s.{OPERATION} <> '{DELETED}'"
        f" AND NOT EXISTS (SELECT FROM {relation(staged.table)} t WHERE {_join(staged.key)})"
    )


def update(staged: StagedTable) -> str | None:
    """Update the target's rows that differ from the staged row of their key; None when there is nothing but the key.

    A key may be spelled otherwise under a case-insensitive comparison: that is a change of the key's text.
    """
    table = staged.table
    texts = [column for column in table.copied_columns if column.name in staged.key and column.encoding == "text"]
    values = [column for column in table.copied_columns if column.name not in staged.key]
    changing = [*values, *texts]
    if not values and not any(column.pg_type.endswith("citext") or column.collation_sql for column in texts):
        return None
    sets = ", ".join(f"{quote_ident(column.name)} = s.{quote_ident(column.name)}" for column in changing)
    changed = " OR ".join(differs(quote_ident(column.name), column.encoding, column.pg_type) for column in changing)
    return (
        f"UPDATE {relation(table)} t SET {sets} FROM {staged.relation} s"
        f" WHERE s.{OPERATION} <> '{DELETED}' AND {_join(staged.key)} AND ({changed})"
    )


def delete_free(staged: StagedTable, referring: Sequence[ForeignKeyFact]) -> str:
    """Delete the staged rows to be deleted to which no row of the target refers now."""
    conditions = []
    for key in referring:
        if key.child == staged.name:
            conditions.append(f"NOT EXISTS ({_remaining_children(staged, key)})")
        else:
            refers = _pairs("c", key.columns, "t", key.referenced)
            conditions.append(f"NOT EXISTS (SELECT FROM {qualified(*key.child)} c WHERE {refers})")
    return " AND ".join([delete(staged), *conditions])


def delete(staged: StagedTable) -> str:
    """Delete the staged rows to be deleted that are still there."""
    return f"DELETE FROM {relation(staged.table)} t USING {staged.relation} s WHERE {_gone(staged.key, 's', 't')}"


def children_left(staged: StagedTable, key: ForeignKeyFact, child: StagedTable | None) -> str:
    """One row that still refers to a row about to be deleted and is not to be deleted itself, as text.

    ``child`` is the staging of the foreign key's table, None when it has none. What a cascade of the target would
    take (or set to NULL) along, though the source keeps it.
    """
    if key.child == staged.name:
        return _remaining_children(staged, key, "c::text") + " LIMIT 1"
    refers = _pairs("c", key.columns, "t", key.referenced)
    staying = f" AND NOT EXISTS (SELECT FROM {child.relation} d WHERE {_gone(child.key, 'd', 'c')})" if child else ""
    return (
        f"SELECT c::text FROM {staged.relation} s JOIN {relation(staged.table)} t ON {_gone(staged.key, 's', 't')}"
        f" JOIN {qualified(*key.child)} c ON {refers} WHERE true{staying} LIMIT 1"
    )


def _remaining_children(staged: StagedTable, key: ForeignKeyFact, chosen: str = "") -> str:
    """Rows of a table that refers to itself: they stay, and the row they refer to is to be deleted."""
    target, stage = relation(staged.table), staged.relation
    return (
        f"SELECT {chosen} FROM {stage} e JOIN {target} p ON {_gone(staged.key, 'e', 'p')}"
        f" JOIN {target} c ON {_pairs('c', key.columns, 'p', key.referenced)}"
        f" WHERE NOT EXISTS (SELECT FROM {stage} d WHERE {_gone(staged.key, 'd', 'c')})"
    )


def park(staged: StagedTable, unique: UniqueFact) -> str:
    """Take the rows whose values in a unique index change out of it, by NULL in its nullable column."""
    assert unique.parkable is not None
    columns = {column.name: column for column in staged.table.copied_columns}
    changed = " OR ".join(
        differs(quote_ident(name), columns[name].encoding, columns[name].pg_type)
        for name in unique.columns
        if name in columns
    )
    return (
        f"UPDATE {relation(staged.table)} t SET {quote_ident(unique.parkable)} = NULL FROM {staged.relation} s"
        f" WHERE s.{OPERATION} <> '{DELETED}' AND {_join(staged.key)} AND ({changed or 'true'})"
    )


def drop_unique(table: TableName, unique: UniqueFact) -> str:
    """Drop a unique index, or the constraint that owns it."""
    if unique.constraint:
        return f"ALTER TABLE {qualified(*table)} DROP CONSTRAINT {quote_ident(unique.name)}"
    return f"DROP INDEX {qualified(table[0], unique.name)}"


def create_unique(table: TableName, unique: UniqueFact) -> str:
    """Make it again as it was."""
    if unique.constraint:
        return f"ALTER TABLE {qualified(*table)} ADD CONSTRAINT {quote_ident(unique.name)} {unique.definition}"
    return unique.definition


def _names(columns: Sequence[str], alias: str = "") -> str:
    prefix = f"{alias}." if alias else ""
    return ", ".join(f"{prefix}{quote_ident(name)}" for name in columns)


def _pairs(left: str, mine: Sequence[str], right: str, theirs: Sequence[str]) -> str:
    return " AND ".join(
        f"{left}.{quote_ident(a)} = {right}.{quote_ident(b)}" for a, b in zip(mine, theirs, strict=True)
    )


def _join(key: Sequence[str]) -> str:
    return _pairs("t", key, "s", key)


def _gone(key: Sequence[str], stage: str, row: str) -> str:
    return f"{stage}.{OPERATION} = '{DELETED}' AND {_pairs(row, key, stage, key)}"
