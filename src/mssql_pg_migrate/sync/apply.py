"""Staged changes of many tables, brought over in one transaction of the target so that every constraint holds.

The order: rows that nothing refers to are deleted, children first; rows are inserted and updated, parents first; the
other deletes follow, when their children have moved away. A foreign key in a circle of tables is deferred to the end
of the transaction. A unique index that two rows would run into (values swapped between them, or handed on to a new
row) is left by the rows concerned first, or, where none of its columns may be NULL, dropped and made again within the
transaction. No delete is ever left to a cascade of the target: one that would take along a row that the source keeps
is an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import TransferError
from ..target.classify import translate, translated
from ..target.ddl import qualified, quote_ident
from ..target.relations import ForeignKeyFact, Relations, TableName, UniqueFact, root_of_index, set_triggers
from ..transfer.plan import foreign_key_levels
from . import statements
from .statements import StagedTable

if TYPE_CHECKING:
    import psycopg

_ACTS = {"c": "delete", "n": "set to NULL", "d": "set to its default"}
"""What a foreign key's ON DELETE does to rows, by confdeltype."""


@dataclass(slots=True)
class Applied:
    """Rows of one table that a pass changed in the target."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.inserted + self.updated + self.deleted


@dataclass(slots=True)
class _Ways:
    """Unique indexes that need a way round in this transaction: (table, index name)."""

    parked: set[tuple[TableName, str]] = field(default_factory=set)
    dropped: set[tuple[TableName, str]] = field(default_factory=set)


def apply(
    connection: psycopg.Connection[Any],
    staged: Sequence[StagedTable],
    relations: Relations,
    *,
    fire_triggers: bool = False,
) -> dict[TableName, Applied]:
    """Bring the staged rows of all tables over; call inside a transaction, which is the caller's to commit.

    Raises DataError or TransferError (by table, column and row) when PostgreSQL refuses a row, TransientError when
    the same may succeed later; the caller's transaction must then be rolled back: nothing is applied.
    """
    import psycopg

    for item in staged:
        with translated(item.table.full_name, "counting the staged rows"):
            connection.execute(statements.keep_the_living(item).encode())
            connection.execute(f"ANALYZE {item.relation}")
    ways = _Ways()
    with _triggers_off(connection, [] if fire_triggers else staged, relations):
        while True:
            try:
                with connection.transaction():
                    return _Pass(connection, staged, relations, ways).run()
            except psycopg.errors.UniqueViolation as error:
                if not _go_round(connection, error, staged, relations, ways):
                    raise translate(error, table=_table_of(error), doing="applying changes") from error
            except psycopg.Error as error:
                raise translate(error, table=_table_of(error), doing="applying changes") from error


def _table_of(error: psycopg.Error) -> str | None:
    schema, table = error.diag.schema_name, error.diag.table_name
    return f"{schema}.{table}" if schema and table else None


def _go_round(
    connection: psycopg.Connection[Any],
    error: psycopg.Error,
    staged: Sequence[StagedTable],
    relations: Relations,
    ways: _Ways,
) -> bool:
    """Choose another way for the unique index that refused a row; False when there is none left."""
    refused = (error.diag.schema_name or "", error.diag.table_name or "")
    table, name = root_of_index(connection, refused, error.diag.constraint_name or "")
    place = (table, name)
    unique = next((fact for fact in relations.uniques.get(table, ()) if fact.name == place[1]), None)
    if unique is None or unique.primary or place in ways.dropped or table not in {item.name for item in staged}:
        return False
    if unique.parkable is not None and place not in ways.parked:
        ways.parked.add(place)
    else:
        ways.parked.discard(place)
        ways.dropped.add(place)
    return True


@contextmanager
def _triggers_off(
    connection: psycopg.Connection[Any], staged: Sequence[StagedTable], relations: Relations
) -> Iterator[None]:
    """User triggers of the tables do not fire for rows that only repeat what happened at the source."""
    for item in staged:
        try:
            with translated(item.table.full_name, "switching triggers off"):
                set_triggers(connection, item.name, relations.triggers.get(item.name, ()), on=False)
        except TransferError as error:
            if error.retryable:
                raise
            hint = "let the sync's user own the table, or let its triggers fire (sync.fire_triggers: true)"
            raise TransferError(error.message, table=item.table.full_name, hint=hint) from error
    yield
    with translated(None, "switching triggers on again"):
        for item in staged:
            set_triggers(connection, item.name, relations.triggers.get(item.name, ()), on=True)


class _Pass:
    """One attempt, inside a savepoint."""

    def __init__(
        self, connection: psycopg.Connection[Any], staged: Sequence[StagedTable], relations: Relations, ways: _Ways
    ) -> None:
        self._connection = connection
        self._relations = relations
        self._ways = ways
        self._staged = {item.name: item for item in staged}
        self._parents_first, self._circular = _order(staged, relations)
        self._applied = {item.name: Applied() for item in staged}
        self._set_aside: list[ForeignKeyFact] = []

    def run(self) -> dict[TableName, Applied]:
        """All steps; psycopg errors pass through."""
        dropped = self._drop_uniques()
        self._defer()
        for item in reversed(self._parents_first):
            statement = statements.delete_free(item, self._relations.referring(item.name))
            self._applied[item.name].deleted += self._count(statement)
        for item in self._parents_first:
            self._write(item)
        for item in reversed(self._parents_first):
            self._refuse_cascades(item)
            self._applied[item.name].deleted += self._count(statements.delete(item))
        self._settle()
        for table, unique in dropped:
            self._connection.execute(statements.create_unique(table, unique))
        for key in self._set_aside:
            self._connection.execute(
                f"ALTER TABLE {qualified(*key.child)} ADD CONSTRAINT {quote_ident(key.name)} {key.definition}"
            )
        return self._applied

    def _count(self, statement: str) -> int:
        return self._connection.execute(statement.encode()).rowcount

    def _write(self, item: StagedTable) -> None:
        """Insert and update. A row that refers to a new one of its own table needs that one first; otherwise updates
        go first, since a new row may take a unique value that an old one gives up."""
        applied = self._applied[item.name]
        for unique in self._relations.uniques.get(item.name, ()):
            if (item.name, unique.name) in self._ways.parked:
                self._connection.execute(statements.park(item, unique).encode())
        update = statements.update(item)
        refers_to_itself = any(key.child == key.parent == item.name for key in self._relations.foreign_keys)
        if refers_to_itself:
            applied.inserted += self._count(statements.insert(item))
        if update is not None:
            applied.updated += self._count(update)
        if not refers_to_itself:
            applied.inserted += self._count(statements.insert(item))

    def _refuse_cascades(self, item: StagedTable) -> None:
        for key in self._relations.referring(item.name):
            if key.on_delete not in _ACTS:
                continue
            query = statements.children_left(item, key, self._staged.get(key.child))
            row = self._connection.execute(query.encode()).fetchone()
            if row is not None:
                raise TransferError(
                    f"table {item.table.full_name}: deleting a row that the source deleted would"
                    f" {_ACTS[key.on_delete]} rows of {'.'.join(key.child)} that the source keeps, through foreign key"
                    f" {key.name}; for example {row[0]}",
                    table=item.table.full_name,
                    hint=f"include {'.'.join(key.child)} in the sync, or bring its rows in line first",
                )

    def _drop_uniques(self) -> list[tuple[TableName, UniqueFact]]:
        """Drop the unique indexes that no other way goes round, foreign keys to their columns first."""
        dropped = []
        for table, name in sorted(self._ways.dropped):
            unique = next(fact for fact in self._relations.uniques[table] if fact.name == name)
            for key in self._relations.referring(table):
                if set(key.referenced) == set(unique.columns) and key not in self._set_aside:
                    self._connection.execute(
                        f"ALTER TABLE {qualified(*key.child)} DROP CONSTRAINT {quote_ident(key.name)}"
                    )
                    self._set_aside.append(key)
            self._connection.execute(statements.drop_unique(table, unique))
            dropped.append((table, unique))
        return dropped

    def _defer(self) -> None:
        """Foreign keys in a circle of tables are checked at the end."""
        for key in self._deferred:
            if not key.deferrable:
                self._alter(key, "DEFERRABLE INITIALLY DEFERRED")
            else:
                self._connection.execute(f"SET CONSTRAINTS {qualified(key.child[0], key.name)} DEFERRED")

    def _settle(self) -> None:
        """Check what was deferred, by the target's own definition too, and leave the constraints as they were.

        A table with checks that are still to come cannot be altered (unique indexes, triggers).
        """
        self._connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for key in self._deferred:
            if not key.deferrable:
                self._alter(key, "NOT DEFERRABLE")

    @property
    def _deferred(self) -> list[ForeignKeyFact]:
        return [key for key in self._circular if key not in self._set_aside]

    def _alter(self, key: ForeignKeyFact, what: str) -> None:
        self._connection.execute(f"ALTER TABLE {qualified(*key.child)} ALTER CONSTRAINT {quote_ident(key.name)} {what}")


def _order(staged: Sequence[StagedTable], relations: Relations) -> tuple[list[StagedTable], list[ForeignKeyFact]]:
    """The tables, parents first, and the foreign keys between them for which no order can serve."""
    numbers = {item.name: number for number, item in enumerate(staged)}
    edges: dict[int, set[int]] = {number: set() for number in numbers.values()}
    between = [
        key
        for key in relations.foreign_keys
        if key.child in numbers and key.parent in numbers and key.child != key.parent
    ]
    for key in between:
        edges[numbers[key.child]].add(numbers[key.parent])
    levels, circular = foreign_key_levels(edges)
    ordered = sorted(staged, key=lambda item: (levels[numbers[item.name]], item.name))
    return ordered, [key for key in between if (numbers[key.child], numbers[key.parent]) in circular]
