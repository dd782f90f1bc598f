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

import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Literal

from ..errors import Cancelled
from ..events import EventSink, Message, Phase, PhaseStarted, Retry
from ..mapping.objects import MappedCheck, MappedDatabase, MappedForeignKey, MappedIndex, MappedKey, MappedTable
from . import ddl, evidence, problems
from .classify import is_transient
from .inspect import BuiltObjects, read_built_objects
from .jobs import JobPool
from .problems import FinalizeResult, Kind, Problem

if TYPE_CHECKING:
    import psycopg

_MIB = 1024 * 1024
_MIN_MAINTENANCE = 16 * _MIB
_MAX_MAINTENANCE = 2048 * _MIB


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


class Finalizer:
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
        before_constraints: called once the indexes are built; what it raises ends the run.
        before_constraints: called once keys and indexes exist, before foreign keys and checks.
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
    ) -> None:
        self._before_constraints = before_constraints
        self._database = database
        self._loaded = list(tables)
        self._built = [table for table in tables if table.full_name not in existing]
        self._by_name = {table.full_name: table for table in self._loaded}
        self._on_event = on_event
        self._before_constraints = before_constraints
        self._pool = JobPool(
            connect,
            parallel,
            maintenance_settings(memory_bytes, parallel, parallel_workers=parallel_workers),
            stop,
            self._retry,
        )
        self._result = FinalizeResult()
        self._lock = threading.Lock()
        self._failed_keys: set[tuple[str, frozenset[str]]] = set()
        self._there = BuiltObjects()

    def run(self) -> FinalizeResult:
        """All phases. Never raises for a refused object; raises ConnectionFailed when the server stays away."""
        started = time.monotonic()
        try:
            self._look()
            self._phase("indexes")
            self._own_sequences()
            self._defaults()
            self._indexes()
            self._attach_keys()
            if self._before_constraints is not None:
                self._before_constraints()
            if self._before_constraints is not None and not self._pool.stopping:
                self._before_constraints()
            self._phase("constraints")
            self._add_constraints()
            self._validate()
            self._phase("finish")
            self._sequences()
            self._comments()
            self._views()
        except Cancelled:
            self._result.cancelled = True
        finally:
            self._pool.close()
            self._result.seconds = time.monotonic() - started
        return self._result

    def cancel(self) -> None:
        """Stop soon: end running statements, start no more; callable from any thread. ``run`` returns ``cancelled``."""
        self._pool.cancel()

    # -- phases ----------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        schemas = sorted({table.schema for table in self._built})
        (self._there,) = self._pool.run([lambda connection: read_built_objects(connection, schemas)])

    def _own_sequences(self) -> None:
        """The sequences behind decimal identities: there, and tied to their columns."""
        built = {table.full_name for table in self._built}

        def run(connection: psycopg.Connection[Any]) -> None:
            for sequence in self._database.sequences:
                if sequence.owner is not None and ".".join(sequence.owner[:2]) in built:
                    owner = ".".join(sequence.owner[:2])
                    create = ddl.create_sequence(sequence, if_not_exists=True)
                    if self._try(connection, "sequence", owner, sequence.name, create):
                        self._try(connection, "sequence", owner, sequence.name, ddl.own_sequence(sequence))

        self._pool.run([run])

    def _defaults(self) -> None:
        def job(table: MappedTable) -> Callable[[psycopg.Connection[Any]], None]:
            def run(connection: psycopg.Connection[Any]) -> None:
                for column in table.columns:
                    if column.default_sql is None or column.generated_sql is not None or column.identity:
                        continue
                    statement = ddl.add_default(table, column)
                    if self._try(connection, "default", table.full_name, column.name, statement):
                        self._count("created", "default")

            return run

        self._pool.run([job(table) for table in self._built])

    def _indexes(self) -> None:
        jobs: list[tuple[int, Callable[[psycopg.Connection[Any]], None]]] = []
        for table in self._built:
            size = table.source.size_bytes or table.source.row_estimate
            for key in _keys(table):
                jobs.append((size, self._key_index_job(table, key)))
            for index in table.indexes:
                jobs.append((size, self._index_job(table, index)))
        jobs.sort(key=lambda job: -job[0])
        self._pool.run([job for _, job in jobs])

    def _key_index_job(self, table: MappedTable, key: MappedKey) -> Callable[[psycopg.Connection[Any]], None]:
        def run(connection: psycopg.Connection[Any]) -> None:
            if self._there.has_constraint(table, key.name) or self._there.has_index(table, key.name):
                return
            self._phase("indexes", table, key.name)
            if not self._build(connection, table, key):
                self._failed_keys.add((table.full_name, _column_set(key)))

        return run

    def _index_job(self, table: MappedTable, index: MappedIndex) -> Callable[[psycopg.Connection[Any]], None]:
        def run(connection: psycopg.Connection[Any]) -> None:
            if self._there.has_index(table, index.name):
                self._count("present", "index")
                return
            self._phase("indexes", table, index.name)
            if self._build(connection, table, index):
                self._count("created", "index")
            elif index.unique:
                self._failed_keys.add((table.full_name, _column_set(index)))

        return run

    def _build(self, connection: psycopg.Connection[Any], table: MappedTable, index: MappedKey | MappedIndex) -> bool:
        """CREATE INDEX; False and a problem when PostgreSQL refuses."""
        import psycopg

        kind, statement, by_hand, predicate = _index_statement(table, index)
        try:
            connection.execute(statement.encode())
        except psycopg.errors.UniqueViolation as error:
            columns = tuple(column.name for column in index.columns)
            sample = evidence.duplicates(connection, table, columns, predicate, nulls_equal=index.nulls_not_distinct)
            if not sample and error.diag.message_detail:
                sample = (error.diag.message_detail,)
            self._problem(problems.duplicate_rows(kind, table, index.name, columns, sample, by_hand))
            return False
        except psycopg.errors.DuplicateTable:
            # After a lost connection the statement of the previous try may have been committed.
            if read_built_objects(connection, [table.schema]).has_index(table, index.name):
                return True
            self._problem(problems.name_taken(kind, table, index.name, by_hand))
            return False
        except psycopg.Error as error:
            self._refused(error, kind, table.full_name, index.name, by_hand)
            return False
        return True

    def _attach_keys(self) -> None:
        jobs = []
        for table in self._built:
            for key in _keys(table):
                if self._there.has_constraint(table, key.name):
                    self._count("present", _key_kind(key))
                elif (table.full_name, _column_set(key)) not in self._failed_keys:
                    jobs.append(self._attach_job(table, key))
        self._pool.run(jobs)

    def _attach_job(self, table: MappedTable, key: MappedKey) -> Callable[[psycopg.Connection[Any]], None]:
        def run(connection: psycopg.Connection[Any]) -> None:
            kind = _key_kind(key)
            statement = ddl.attach_key(table, key)
            if self._try(connection, kind, table.full_name, key.name, statement, table=table):
                self._count("created", kind)
            else:
                self._failed_keys.add((table.full_name, _column_set(key)))

        return run

    def _add_constraints(self) -> None:
        def run(connection: psycopg.Connection[Any]) -> None:
            for table in self._built:
                for check in table.checks:
                    statement = ddl.add_check(table, check, not_valid=True)
                    self._add_constraint(connection, "check", table, check.name, statement)
                for key in table.foreign_keys:
                    if self._may_refer(table, key):
                        statement = ddl.add_foreign_key(table, key, not_valid=True)
                        self._add_constraint(connection, "foreign_key", table, key.name, statement)

        self._pool.run([run])

    def _add_constraint(
        self, connection: psycopg.Connection[Any], kind: Kind, table: MappedTable, name: str, statement: str
    ) -> None:
        if self._there.has_constraint(table, name):
            self._count("present", kind)
        elif self._try(connection, kind, table.full_name, name, statement, table=table):
            self._count("created", kind)
            self._there.add_constraint(table, name, valid=False)

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
        self._problem(problems.not_referable(table, key, reason, ddl.add_foreign_key(table, key)))
        return False

    def _validate(self) -> None:
        jobs = []
        for table in sorted(self._built, key=lambda table: -(table.source.size_bytes or table.source.row_estimate)):
            constraints: list[MappedCheck | MappedForeignKey] = [*table.checks, *table.foreign_keys]
            constraints = [c for c in constraints if not c.not_valid and self._there.needs_validation(table, c.name)]
            if constraints:
                jobs.append(self._validate_job(table, constraints))
        self._pool.run(jobs)

    def _validate_job(
        self, table: MappedTable, constraints: Sequence[MappedCheck | MappedForeignKey]
    ) -> Callable[[psycopg.Connection[Any]], None]:
        def run(connection: psycopg.Connection[Any]) -> None:
            for constraint in constraints:
                if self._there.needs_validation(table, constraint.name):
                    self._phase("constraints", table, constraint.name)
                    self._validate_one(connection, table, constraint)
                    self._there.add_constraint(table, constraint.name, valid=True)

        return run

    def _validate_one(
        self, connection: psycopg.Connection[Any], table: MappedTable, constraint: MappedCheck | MappedForeignKey
    ) -> None:
        import psycopg

        statement = ddl.validate_constraint(table, constraint.name)
        try:
            connection.execute(statement.encode())
        except psycopg.errors.ForeignKeyViolation:
            assert isinstance(constraint, MappedForeignKey)
            sample = evidence.orphans(connection, table, constraint)
            self._problem(problems.orphan_rows(table, constraint, sample, statement))
        except psycopg.errors.CheckViolation:
            assert isinstance(constraint, MappedCheck)
            sample = evidence.violations(connection, table, constraint)
            self._problem(problems.violating_rows(table, constraint, sample, statement))
        except psycopg.Error as error:
            kind: Kind = "check" if isinstance(constraint, MappedCheck) else "foreign_key"
            self._refused(error, kind, table.full_name, constraint.name, statement)

    # -- sequences, comments, views --------------------------------------------------------------------------------

    def _sequences(self) -> None:
        jobs: list[Callable[[psycopg.Connection[Any]], None]] = []
        for table in self._loaded:
            for column in table.columns:
                if ddl.has_identity(column):
                    jobs.append(self._identity_job(table, column.name))
        for sequence in self._database.sequences:
            if sequence.owner is None:
                value, is_called = ddl.sequence_position(sequence)
                expression = f"{ddl.quote_literal(ddl.relation(sequence))}::regclass"
                statement = ddl.set_sequence_value(expression, value, is_called=is_called)
                name = f"{sequence.schema}.{sequence.name}"
                jobs.append(self._statement_job("sequence", name, sequence.name, statement))
        self._pool.run(jobs)

    def _identity_job(self, table: MappedTable, column_name: str) -> Callable[[psycopg.Connection[Any]], None]:
        column = next(column for column in table.columns if column.name == column_name)

        def run(connection: psycopg.Connection[Any]) -> None:
            import psycopg

            sequence = ddl.identity_sequence(table, column)
            try:
                found = connection.execute(
                    "SELECT s.seqmin, s.seqmax, s.seqrelid::regclass::text FROM pg_catalog.pg_sequence s"
                    f" WHERE s.seqrelid = {sequence}::regclass".encode()
                ).fetchone()
                if found is None:
                    return  # a table the run found: its column draws its values from elsewhere
                low, high, _ = found
                row = connection.execute(ddl.next_identity_value(table, column).encode()).fetchone()
                assert row is not None
                following = int(row[0])
                value = min(max(following, low), high)
                # Beyond the type: the next insert fails, as it does in the source.
                exhausted = following > high or following < low
                statement = ddl.set_sequence_value(sequence, value, is_called=exhausted)
                connection.execute(statement.encode())
                self._count("created", "sequence")
            except psycopg.Error as error:
                self._refused(error, "sequence", table.full_name, column_name, f"the identity of {column_name}")

        return run

    def _comments(self) -> None:
        def job(table: MappedTable) -> Callable[[psycopg.Connection[Any]], None]:
            def run(connection: psycopg.Connection[Any]) -> None:
                for statement in ddl.comments(table):
                    if self._try(connection, "comment", table.full_name, "comment", statement):
                        self._count("created", "comment")

            return run

        self._pool.run([job(table) for table in self._built if any(True for _ in ddl.comments(table))])

    def _views(self) -> None:
        """Views read each other: go round until a round creates none."""
        import psycopg

        waiting = list(self._database.views)
        refused: dict[str, psycopg.Error] = {}

        def run(connection: psycopg.Connection[Any]) -> None:
            nonlocal waiting
            progress = True
            while waiting and progress:
                progress = False
                for view in list(waiting):
                    try:
                        connection.execute(ddl.create_view(view, or_replace=True).encode())
                    except psycopg.Error as error:
                        if is_transient(error) or isinstance(error, psycopg.errors.QueryCanceled):
                            raise
                        refused[f"{view.schema}.{view.name}"] = error
                        continue
                    waiting.remove(view)
                    progress = True
                    self._count("created", "view")
                    comment = ddl.comment_on_view(view)
                    if comment is not None:
                        self._try(connection, "comment", f"{view.schema}.{view.name}", "comment", comment)

        if waiting:
            self._pool.run([run])
        for view in waiting:
            name = f"{view.schema}.{view.name}"
            self._refused(refused[name], "view", name, view.name, ddl.create_view(view))

    # -- statements ------------------------------------------------------------------------------------------------

    def _statement_job(
        self, kind: Kind, owner: str, name: str, statement: str
    ) -> Callable[[psycopg.Connection[Any]], None]:
        def run(connection: psycopg.Connection[Any]) -> None:
            if self._try(connection, kind, owner, name, statement):
                self._count("created", kind)

        return run

    def _try(
        self,
        connection: psycopg.Connection[Any],
        kind: Kind,
        owner: str,
        name: str,
        statement: str,
        *,
        table: MappedTable | None = None,
    ) -> bool:
        """Execute; a refusal becomes a problem and False, what may pass by itself goes up to the pool."""
        import psycopg

        try:
            connection.execute(statement.encode())
        except psycopg.Error as error:
            # After a lost connection the previous try may have been committed.
            if table is not None and not is_transient(error) and self._is_there_now(connection, table, name):
                return True
            return self._refused(error, kind, owner, name, statement)
        return True

    @staticmethod
    def _is_there_now(connection: psycopg.Connection[Any], table: MappedTable, name: str) -> bool:
        return read_built_objects(connection, [table.schema]).has_constraint(table, name)

    def _refused(self, error: psycopg.Error, kind: Kind, owner: str, name: str, statement: str) -> bool:
        """Record a refusal; always False. Raises the error again when it may pass by itself, or means a stop."""
        import psycopg

        if is_transient(error) or isinstance(error, psycopg.errors.QueryCanceled):
            raise error
        self._problem(problems.refused(error, kind, owner, name, statement))
        return False

    def _count(self, what: Literal["created", "present"], kind: Kind) -> None:
        with self._lock:
            getattr(self._result, what)[kind] += 1

    def _problem(self, problem: Problem) -> None:
        with self._lock:
            self._result.problems.append(problem)
        if self._on_event is not None:
            self._on_event(Message(level="error", text=problem.message, table=problem.table))

    def _phase(self, phase: Phase, table: MappedTable | None = None, detail: str | None = None) -> None:
        if self._on_event is not None:
            self._on_event(PhaseStarted(phase=phase, table=table.source.full_name if table else None, detail=detail))

    def _retry(self, reason: str, attempt: int, delay: float) -> None:
        if self._on_event is not None:
            self._on_event(Retry(table=None, reason=reason, attempt=attempt, delay=delay))


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
