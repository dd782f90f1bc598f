"""The target made ready for rows, each change in one transaction with the ledger's word of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import StateError
from ..events import PhaseStarted
from ..target import ddl
from ..target.classify import translated
from ..target.ledger import Ledger, LedgerTable
from ..target.prepare import empty_tables, set_unlogged, suspend_foreign_key
from .fingerprint import fingerprint
from .plan import TablePlan

if TYPE_CHECKING:
    import psycopg

    from ..events import EventSink
    from ..preflight import RunPlan


class Preparation:
    """Prepares the tables of a run over its control connection; ``resume`` repeats only what is missing."""

    def __init__(self, connection: psycopg.Connection[Any], ledger: Ledger, plan: RunPlan, on_event: EventSink) -> None:
        self._connection = connection
        self._ledger = ledger
        self._plan = plan
        self._emit = on_event

    def enter_tables(self) -> None:
        """A new run: enter every table as planned."""
        with self._connection.transaction():
            for plan in self._plan.tables:
                self._ledger.add_table(
                    self._connection,
                    LedgerTable(
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
                    ),
                )

    def create_surroundings(self) -> None:
        """Schemas, extensions, collations and sequences the tables need; what exists already stays."""
        database = self._plan.database
        with translated("target", "creating schemas and sequences"), self._connection.transaction():
            for extension in database.extensions:
                self._connection.execute(ddl.create_extension(extension))
            for schema in database.schemas:
                if not self._schema_exists(schema):  # CREATE SCHEMA IF NOT EXISTS asks for the right even then
                    self._connection.execute(ddl.create_schema(schema))
            for statement in database.collations_sql:
                self._connection.execute(statement)
            for sequence in database.sequences:
                if not self._relation_exists(ddl.relation(sequence)):
                    self._connection.execute(ddl.create_sequence(sequence))

    def prepare_tables(self) -> None:
        """Bring every table that is still ``planned``, or holds nothing yet, into its starting state."""
        self._emit(PhaseStarted(phase="prepare"))
        entries = self._ledger.tables(self._connection)
        due = [plan for plan in self._plan.tables if self._due(plan, entries[plan.table_id])]
        with translated("target", "setting foreign keys aside"), self._connection.transaction():
            for schema, table, name in self._plan.suspended:
                suspend_foreign_key(self._connection, self._ledger, schema, table, name)
        together = [plan for plan in due if plan.action == "truncate"]
        with translated("target", "emptying the tables"), self._connection.transaction():
            # One statement: tables that reference one another can only be emptied together.
            empty_tables(self._connection, [plan.table for plan in together])
            for plan in together:
                if plan.restore_logged:
                    set_unlogged(self._connection, plan.table)
                self._set_prepared(plan)
        for plan in due:
            if plan.action != "truncate":
                with translated(plan.display, "preparing the table"), self._connection.transaction():
                    self._prepare(plan)

    def _due(self, plan: TablePlan, entry: LedgerTable) -> bool:
        if entry.status == "planned":
            return True
        if entry.status == "loaded" or plan.merges:
            return False
        # Prepared, but no chunk is known: an unlogged table may have lost its rows, or hold rows of a lost ledger.
        return not self._ledger.progress(self._connection, entry)

    def _prepare(self, plan: TablePlan) -> None:
        connection = self._connection
        if plan.merges:
            if plan.action == "create_merge":
                connection.execute(ddl.create_table(plan.table, if_not_exists=True, defaults=False))
                self._add_primary_key(plan)
        elif plan.action == "recreate" or self._relation_exists(ddl.relation(plan.table)):
            connection.execute(ddl.drop_table(plan.table.schema, plan.table.name, cascade=True))
            connection.execute(ddl.create_table(plan.table, unlogged=plan.unlogged, defaults=False))
        else:
            connection.execute(ddl.create_table(plan.table, unlogged=plan.unlogged, defaults=False))
        self._set_prepared(plan)

    def _schema_exists(self, schema: str) -> bool:
        return (
            self._connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (schema,)).fetchone() is not None
        )

    def _relation_exists(self, name: str) -> bool:
        row = self._connection.execute("SELECT to_regclass(%s)", (name,)).fetchone()
        return row is not None and row[0] is not None

    def _add_primary_key(self, plan: TablePlan) -> None:
        """ON CONFLICT needs the key before the first row."""
        key = plan.table.primary_key
        if key is None:
            raise StateError(f"table {plan.display} has no primary key, required for upsert mode")
        row = self._connection.execute(
            "SELECT 1 FROM pg_constraint WHERE conrelid = to_regclass(%s) AND contype = 'p'",
            (ddl.relation(plan.table),),
        ).fetchone()
        if row is None:
            self._connection.execute(ddl.add_primary_key(plan.table, key))

    def _set_prepared(self, plan: TablePlan) -> None:
        self._ledger.set_prepared(
            self._connection, plan.table_id, unlogged=plan.unlogged, restore_logged=plan.restore_logged
        )
