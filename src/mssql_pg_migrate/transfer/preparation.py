"""The target made ready for rows, each change in one transaction with the ledger's word of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import Cancelled, MigrationError, StateError, TransferError
from ..events import PhaseStarted
from ..target import ddl
from ..target.classify import translated
from ..target.ledger import Ledger, LedgerTable
from ..target.prepare import empty_table, suspend_foreign_key
from .fingerprint import fingerprint
from .plan import TablePlan

if TYPE_CHECKING:
    import psycopg

    from ..events import EventSink
    from .plan import RunPlan


class Preparation:
    """Prepares the tables of a run. Every step can be done again: it looks first at what is there already."""

    def __init__(
        self, ledger: Ledger, plan: RunPlan, on_event: EventSink, stopped: Callable[[], bool] = lambda: False
    ) -> None:
        self._ledger = ledger
        self._plan = plan
        self._emit = on_event
        self._stopped = stopped

    def create_schemas(self, connection: psycopg.Connection[Any]) -> None:
        """The target schemas; the ledger is to be in the first of them."""
        for schema in self._plan.database.schemas:
            if not _schema_exists(connection, schema):  # CREATE SCHEMA IF NOT EXISTS asks for the right even then
                connection.execute(ddl.create_schema(schema))

    def enter_tables(self, connection: psycopg.Connection[Any]) -> None:
        """A new run: enter every table as planned. Within the caller's transaction."""
        for plan in self._plan.tables:
            entry = LedgerTable(
                table_id=plan.table_id,
                source=plan.table.source.full_name,
                target=plan.table.full_name,
                status="planned",
                generation=0,
                unlogged=plan.unlogged,
                restore_logged=plan.restore_logged,
                resumable=plan.resumable,
                action=plan.action,
                fingerprint=fingerprint(plan.table),
                trial=plan.trial,
            )
            self._ledger.add_table(connection, entry)

    def create_surroundings(self, connection: psycopg.Connection[Any]) -> None:
        """Extensions, schemas, collations and sequences the tables need; what exists already stays."""
        database = self._plan.database
        with connection.transaction():
            for extension in database.extensions:
                connection.execute(ddl.create_extension(extension))
            self.create_schemas(connection)
            for statement in database.collations_sql:
                connection.execute(statement)
            for sequence in database.sequences:
                if not _relation_exists(connection, ddl.relation(sequence)):
                    for statement in (ddl.create_sequence(sequence), *ddl.comment_on_sequence(sequence)):
                        connection.execute(statement.encode())

    def prepare_tables(self, connection: psycopg.Connection[Any]) -> dict[int, MigrationError]:
        """Bring every table that is still ``planned``, or holds nothing yet, into its starting state.

        Returns, by table id, why the server refuses that of single tables, which are left as they were.
        """
        self._emit(PhaseStarted(phase="prepare"))
        entries = self._ledger.tables(connection)
        if len(entries) < len(self._plan.tables):
            raise StateError("the ledger in the target no longer knows this run; start a new run")
        due = [plan for plan in self._plan.tables if self._due(connection, plan, entries[plan.table_id])]
        # A table that is dropped may refer to one that is emptied, which TRUNCATE would refuse.
        due.sort(key=lambda plan: not plan.built)
        again = {plan.table_id for plan in due if entries[plan.table_id].status != "planned" and not plan.merges}
        with translated(None, "setting foreign keys aside"), connection.transaction():
            for schema, table, name in self._plan.suspended:
                suspend_foreign_key(connection, self._ledger, schema, table, name)
        failed: dict[int, MigrationError] = {}
        for plan in due:
            if self._stopped():
                raise Cancelled("stopped while the tables were being prepared")
            try:
                # One transaction each: the server has room for the locks of some thousand tables only.
                with translated(plan.display, "preparing the table"), connection.transaction():
                    if plan.table_id in again:
                        # A session of a killed attempt may still commit its first chunk: wait for it, refuse others.
                        self._ledger.begin_again(connection, plan.table_id)
                    self._prepare(connection, plan)
            except TransferError as error:
                if error.retryable or self._stopped() or connection.closed:
                    raise
                failed[plan.table_id] = error
        return failed

    def _due(self, connection: psycopg.Connection[Any], plan: TablePlan, entry: LedgerTable) -> bool:
        if entry.status == "planned":
            return True
        if entry.status == "loaded":
            return self._ledger.emptied(connection, entry)
        if plan.merges:
            return False
        # Prepared, but no chunk is known: an unlogged table may have lost its rows, or hold rows of a lost ledger.
        return not self._ledger.progress(connection, entry)

    @staticmethod
    def _log_again(connection: psycopg.Connection[Any], plan: TablePlan) -> None:
        """An earlier run that was given up may have left the table unlogged."""
        if plan.unlogged:
            return
        row = connection.execute(
            "SELECT 1 FROM pg_class WHERE oid = to_regclass(%s) AND relpersistence = 'u' AND relkind = 'r'",
            (ddl.relation(plan.table),),
        ).fetchone()
        if row is not None:
            connection.execute(ddl.set_logged(plan.table, logged=True))

    def _prepare(self, connection: psycopg.Connection[Any], plan: TablePlan) -> None:
        if plan.merges:
            if plan.action == "create_merge":
                connection.execute(ddl.create_table(plan.table, if_not_exists=True, defaults=False))
                _add_primary_key(connection, plan)
            self._log_again(connection, plan)
        elif plan.action == "truncate":
            empty_table(connection, plan.table)
            if plan.restore_logged:
                connection.execute(ddl.set_logged(plan.table, logged=False))
            else:
                self._log_again(connection, plan)
        elif plan.action == "recreate" or _relation_exists(connection, ddl.relation(plan.table)):
            connection.execute(ddl.drop_table(plan.table.schema, plan.table.name, cascade=True))
            connection.execute(ddl.create_table(plan.table, unlogged=plan.unlogged, defaults=False))
        else:
            connection.execute(ddl.create_table(plan.table, unlogged=plan.unlogged, defaults=False))
        self._set_prepared(connection, plan)

    def _set_prepared(self, connection: psycopg.Connection[Any], plan: TablePlan) -> None:
        self._ledger.set_prepared(connection, plan.table_id, unlogged=plan.unlogged, restore_logged=plan.restore_logged)


def _schema_exists(connection: psycopg.Connection[Any], schema: str) -> bool:
    return connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (schema,)).fetchone() is not None


def _relation_exists(connection: psycopg.Connection[Any], name: str) -> bool:
    row = connection.execute("SELECT to_regclass(%s)", (name,)).fetchone()
    return row is not None and row[0] is not None


def _add_primary_key(connection: psycopg.Connection[Any], plan: TablePlan) -> None:
    """ON CONFLICT needs the key before the first row."""
    key = plan.table.primary_key
    if key is None:
        raise StateError(f"table {plan.display} has no primary key, required for upsert mode")
    row = connection.execute(
        "SELECT 1 FROM pg_constraint WHERE conrelid = to_regclass(%s) AND contype = 'p'",
        (ddl.relation(plan.table),),
    ).fetchone()
    if row is None:
        connection.execute(ddl.add_primary_key(plan.table, key))
