"""After the rows: defaults, keys, indexes, foreign keys, checks, sequences, comments and views.

Phases, one after the other, each over up to ``parallel`` connections:

1. defaults;
2. the indexes of primary keys, unique constraints and all others, largest table first (CREATE INDEX locks of one table
   do not exclude each other);
3. keys attached to their indexes (short exclusive locks, no scan);
4. foreign keys and checks added NOT VALID (short locks, no scan, one connection: no deadlocks in circles of tables);
5. both validated, one table per connection at a time (VALIDATE CONSTRAINT excludes itself on one table);
6. sequences and identities set past the data; comments; views.

Every step looks first at what is there, so that a resumed run repeats it without harm. A statement PostgreSQL refuses
is a `Problem`; the others go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import Cancelled
from ..events import EventSink
from ..mapping.objects import (
    MappedCheck,
    MappedDatabase,
    MappedForeignKey,
    MappedIndex,
    MappedKey,
    MappedTable,
)
from . import ddl, evidence, problems
from .ending import Ending
from .inspect import BuiltObjects, read_built_objects
from .jobs import JobPool
from .problems import FinalizeResult, Kind
from .statements import Order

if TYPE_CHECKING:
    import psycopg

_MIB = 1024 * 1024
_MIN_MAINTENANCE = 16 * _MIB
_MAX_MAINTENANCE = 2048 * _MIB
_SMALL = 8 * _MIB
"""Tables whose indexes cost less (`_cost`) are so soon done that their statements are sent together."""
_ROW_COST = 400
"""What sorting a row into an index takes, in bytes of table read in that time. Measured with PostgreSQL 18: 0.4 µs."""


def maintenance_settings(memory_bytes: int, parallel: int, *, parallel_workers: int | None = None) -> tuple[str, ...]:
    """SET statements for a session that builds indexes.

    ``memory_bytes`` is what all sessions together may use; a session's share is kept between 16 MiB and 2 GiB.
    PostgreSQL divides maintenance_work_mem among the workers of one CREATE INDEX itself.
    """
    share = max(_MIN_MAINTENANCE, min(_MAX_MAINTENANCE, memory_bytes // max(1, parallel)))
    statements = [f"SET maintenance_work_mem = '{share // 1024}kB'", "SET client_min_messages = 'error'"]
    if parallel_workers is not None:
        statements.append(f"SET max_parallel_maintenance_workers = {max(0, parallel_workers)}")
    return tuple(statements)


class Finalizer(Ending):
    """Finalizes the tables whose rows are in.

    Args:
        connect: opens an autocommit connection (``target.connect.connect_target``).
        database: all that the run creates.
        tables: those of ``database.tables`` whose rows arrived.
        existing: target full names (``schema.name``) of tables the run found and kept: their structure is not touched,
            only their identities are set past the data.
        parallel: connections at most.
        memory_bytes: maintenance memory of all sessions together.
        parallel_workers: max_parallel_maintenance_workers per session, None for the server's setting.
        on_event: told of phases, retries and problems, from any thread.
        stop: asked between statements.
        before_constraints: called once keys and indexes exist, before foreign keys and checks.
        replace_views: whether views that are there are replaced; else only missing ones are created.
    """

    def __init__(
        self,
        connect: Callable[[], psycopg.Connection[Any]],
        database: MappedDatabase,
        tables: Sequence[MappedTable],
        *,
        existing: Collection[str] = (),
        parallel: int = 2,
        memory_bytes: int = 256 * _MIB,
        parallel_workers: int | None = None,
        on_event: EventSink | None = None,
        stop: Callable[[], bool] | None = None,
        before_constraints: Callable[[], None] | None = None,
        replace_views: bool = True,
    ) -> None:
        super().__init__(on_event, database.tables)
        self._before_constraints = before_constraints
        self.database = database
        self.replace_views = replace_views
        self.loaded = list(tables)
        self.built = [table for table in tables if table.full_name not in existing]
        self._by_name = {table.full_name: table for table in self.loaded}
        self.pool = JobPool(
            connect,
            parallel,
            maintenance_settings(memory_bytes, parallel, parallel_workers=parallel_workers),
            stop,
            self.retry,
        )
        self._failed_keys: set[tuple[str, frozenset[str]]] = set()
        self._there = BuiltObjects()

    def run(self) -> FinalizeResult:
        """All phases. Never raises for a refused object; raises ConnectionFailed when the server stays away."""
        started = time.monotonic()
        try:
            self._look()
            self.phase("indexes")
            self._own_sequences()
            self._defaults()
            self._indexes()
            self._attach_keys()
            if self._before_constraints is not None and not self.pool.stopping:
                self._before_constraints()
            self.phase("constraints")
            self._add_constraints()
            self._validate()
            self.phase("finish")
            self.set_sequences()
            self.write_comments()
            self.create_views()
        except Cancelled:
            self.result.cancelled = True
        finally:
            self.pool.close()
            self.result.seconds = time.monotonic() - started
        return self.result

    def cancel(self) -> None:
        """Stop soon: end running statements, start no more; callable from any thread. ``run`` returns ``cancelled``."""
        self.pool.cancel()

    # -- phases ----------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        schemas = sorted({table.schema for table in self.built})
        (self._there,) = self.pool.run([lambda connection: read_built_objects(connection, schemas)])

    def _own_sequences(self) -> None:
        """The sequences behind decimal identities: there, and tied to their columns."""
        built = {table.full_name for table in self.built}

        def run(connection: psycopg.Connection[Any]) -> None:
            for sequence in self.database.sequences:
                if sequence.owner is not None and ".".join(sequence.owner[:2]) in built:
                    owner = ".".join(sequence.owner[:2])
                    create = ddl.create_sequence(sequence, if_not_exists=True)
                    if self.execute(connection, "sequence", owner, sequence.name, create):
                        self.execute(connection, "sequence", owner, sequence.name, ddl.own_sequence(sequence))

        self.pool.run([run])

    def _defaults(self) -> None:
        self.carry_out(
            [
                self.order("default", table.full_name, column.name, ddl.add_default(table, column))
                for table in self.built
                for column in table.columns
                if column.default_sql is not None and column.generated_sql is None and not column.identity
            ]
        )

    def _indexes(self) -> None:
        """Large ones first, one at a time on each connection; the many small ones together."""
        large: list[tuple[int, Callable[[psycopg.Connection[Any]], None]]] = []
        small: list[Order] = []
        for table in self.built:
            cost = _cost(table)
            indexes: list[MappedKey | MappedIndex] = [*_keys(table), *table.indexes]
            for index in indexes:
                if self._present(table, index):
                    continue
                if cost < _SMALL:
                    self.phase("indexes", table, index.name)
                    small.append(self._index_order(table, index))
                else:
                    large.append((cost, self._index_job(table, index)))
        large.sort(key=lambda job: -job[0])
        self.pool.run([job for _, job in large])
        self.carry_out(small)

    def _present(self, table: MappedTable, index: MappedKey | MappedIndex) -> bool:
        """Whether an earlier attempt has built it."""
        if isinstance(index, MappedKey):
            return self._there.has_constraint(table, index.name) or self._there.has_index(table, index.name)
        present = self._there.has_index(table, index.name)
        if present:
            self.count("present", "index")
        return present

    def _index_job(
        self, table: MappedTable, index: MappedKey | MappedIndex
    ) -> Callable[[psycopg.Connection[Any]], None]:
        order = self._index_order(table, index)

        def run(connection: psycopg.Connection[Any]) -> None:
            import psycopg

            self.phase("indexes", table, index.name)
            started = time.monotonic()
            try:
                connection.execute(order.statement.encode())
            except psycopg.Error as error:
                order.refused(connection, error)
                return
            order.accepted()
            self.took(table, index.name, time.monotonic() - started)

        return run

    def _index_order(self, table: MappedTable, index: MappedKey | MappedIndex) -> Order:
        """CREATE INDEX; a problem when PostgreSQL refuses."""
        kind, statement, by_hand, predicate = _index_statement(table, index)

        def accepted() -> None:
            if isinstance(index, MappedIndex):
                self.count("created", "index")

        def refused(connection: psycopg.Connection[Any], error: psycopg.Error) -> None:
            import psycopg

            if isinstance(error, psycopg.errors.UniqueViolation) and error.diag.schema_name != "pg_catalog":
                columns = tuple(column.name for column in index.columns)
                sample = evidence.duplicates(
                    connection, table, columns, predicate, nulls_equal=index.nulls_not_distinct
                )
                if not sample and error.diag.message_detail:
                    sample = (error.diag.message_detail,)
                self.report(problems.duplicate_rows(kind, table, index.name, columns, sample, by_hand))
            elif isinstance(error, (psycopg.errors.DuplicateTable, psycopg.errors.UniqueViolation)):
                # A session whose client is gone builds on: it was waited for, or had committed. In the first case the
                # refusal is that of a unique index of the catalog.
                if read_built_objects(connection, [table.schema]).has_index(table, index.name):
                    accepted()
                    return
                self.report(problems.name_taken(kind, table, index.name, by_hand))
            else:
                self.refuse(error, kind, table.full_name, index.name, by_hand)
            if isinstance(index, MappedKey) or index.unique:
                self._failed_keys.add((table.full_name, _column_set(index)))

        return Order(statement, accepted, refused)

    def _attach_keys(self) -> None:
        orders = []
        for table in self.built:
            for key in _keys(table):
                if self._there.has_constraint(table, key.name):
                    self.count("present", _key_kind(key))
                elif (table.full_name, _column_set(key)) not in self._failed_keys:
                    statement = ddl.attach_key(table, key)
                    failed = partial(self._failed_keys.add, (table.full_name, _column_set(key)))
                    orders.append(
                        self.order(_key_kind(key), table.full_name, key.name, statement, table=table, failed=failed)
                    )
        self.carry_out(orders)

    def _add_constraints(self) -> None:
        orders = []
        for table in self.built:
            for check in table.checks:
                statement = ddl.add_check(table, check, not_valid=True)
                orders += self._constraint_order("check", table, check.name, statement)
            for key in table.foreign_keys:
                if self._may_refer(table, key):
                    statement = ddl.add_foreign_key(table, key, not_valid=True)
                    orders += self._constraint_order("foreign_key", table, key.name, statement)
        self.carry_out(orders, parallel=False)

    def _constraint_order(self, kind: Kind, table: MappedTable, name: str, statement: str) -> list[Order]:
        if self._there.has_constraint(table, name):
            self.count("present", kind)
            return []
        created = partial(self._there.add_constraint, table, name, valid=False)
        return [self.order(kind, table.full_name, name, statement, table=table, created=created)]

    def _may_refer(self, table: MappedTable, key: MappedForeignKey) -> bool:
        """Whether the referenced table is in, with its key; a problem otherwise."""
        referenced = f"{key.referenced_schema}.{key.referenced_table}"
        reason = None
        if referenced not in self._by_name:
            reason = f"the rows of {referenced} did not arrive"
        elif (referenced, frozenset(key.referenced_columns)) in self._failed_keys:
            reason = f"the key of {referenced} ({', '.join(key.referenced_columns)}) could not be created"
        if reason is None:
            return True
        self.report(problems.not_referable(table, key, reason, ddl.add_foreign_key(table, key)))
        return False

    def _validate(self) -> None:
        """Large tables first, one per connection at a time; the constraints of the many small ones together."""
        large = []
        small: list[Order] = []
        for table in sorted(self.built, key=lambda table: -(table.source.size_bytes or table.source.row_estimate)):
            constraints: list[MappedCheck | MappedForeignKey] = [*table.checks, *table.foreign_keys]
            due = [c for c in constraints if not c.not_valid and self._there.needs_validation(table, c.name)]
            if due and _cost(table) < _SMALL:
                for constraint in due:
                    self.phase("constraints", table, constraint.name)
                    small.append(self._validation(table, constraint))
            elif due:
                large.append(self._validate_job(table, due))
        self.pool.run(large)
        self.carry_out(small)

    def _validate_job(
        self, table: MappedTable, constraints: Sequence[MappedCheck | MappedForeignKey]
    ) -> Callable[[psycopg.Connection[Any]], None]:
        def run(connection: psycopg.Connection[Any]) -> None:
            import psycopg

            for constraint in constraints:
                if not self._there.needs_validation(table, constraint.name):
                    continue
                self.phase("constraints", table, constraint.name)
                order = self._validation(table, constraint)
                started = time.monotonic()
                try:
                    connection.execute(order.statement.encode())
                except psycopg.Error as error:
                    order.refused(connection, error)
                    continue
                order.accepted()
                self.took(table, constraint.name, time.monotonic() - started)

        return run

    def _validation(self, table: MappedTable, constraint: MappedCheck | MappedForeignKey) -> Order:
        """VALIDATE CONSTRAINT; rows that violate it are a problem, and it stays NOT VALID."""
        statement = ddl.validate_constraint(table, constraint.name)

        def looked_at() -> None:
            self._there.add_constraint(table, constraint.name, valid=True)

        def refused(connection: psycopg.Connection[Any], error: psycopg.Error) -> None:
            import psycopg

            if isinstance(error, psycopg.errors.ForeignKeyViolation) and isinstance(constraint, MappedForeignKey):
                sample = evidence.orphans(connection, table, constraint)
                self.report(problems.orphan_rows(table, constraint, sample, statement))
            elif isinstance(error, psycopg.errors.CheckViolation) and isinstance(constraint, MappedCheck):
                sample = evidence.violations(connection, table, constraint)
                self.report(problems.violating_rows(table, constraint, sample, statement))
            else:
                kind: Kind = "check" if isinstance(constraint, MappedCheck) else "foreign_key"
                self.refuse(error, kind, table.full_name, constraint.name, statement)
            looked_at()

        return Order(statement, looked_at, refused)


def _cost(table: MappedTable) -> int:
    """About what building an index of the table takes, in bytes of table read in that time."""
    return table.source.row_estimate * _ROW_COST + (table.source.size_bytes or 0)


def _keys(table: MappedTable) -> list[MappedKey]:
    return [key for key in (table.primary_key, *table.unique_keys) if key is not None]


def _key_kind(key: MappedKey) -> Kind:
    return "primary_key" if key.primary else "unique"


def _column_set(key: MappedKey | MappedIndex) -> frozenset[str]:
    return frozenset(column.name for column in key.columns)


def _index_statement(table: MappedTable, index: MappedKey | MappedIndex) -> tuple[Kind, str, str, str | None]:
    """Kind, the statement to run, the one to repeat by hand, and the predicate."""
    if isinstance(index, MappedIndex):
        statement = ddl.create_index(table, index)
        return "index", statement, statement, index.filter_sql
    by_hand = ddl.add_primary_key(table, index) if index.primary else ddl.add_unique(table, index)
    return _key_kind(index), ddl.create_key_index(table, index), by_hand, None
