"""The target made ready for rows, each change in one transaction with the ledger's word of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import Cancelled, MigrationError, StateError, TransferError
from ..events import PhaseStarted
from ..target import ddl
from ..target.classify import translate, translated
from ..target.exchange import StatementError, exchange
from ..target.ledger import Ledger, LedgerTable
from ..target.prepare import suspend_foreign_key
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
        wanted = list(self._plan.database.schemas)
        found = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname = ANY (%s)", (wanted,)).fetchall()
        for schema in wanted:
            if (schema,) not in found:  # CREATE SCHEMA IF NOT EXISTS asks for the right even then
                connection.execute(ddl.create_schema(schema))

    def entries(self) -> list[LedgerTable]:
        """A new run's entries in the ledger: every table as planned."""
        return [
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
                trial=plan.trial,
            )
            for plan in self._plan.tables
        ]

    def create_surroundings(self, connection: psycopg.Connection[Any]) -> None:
        """Extensions, schemas, collations and sequences the tables need; what exists already stays."""
        database = self._plan.database
        self.create_schemas(connection)
        names = [ddl.relation(sequence) for sequence in database.sequences]
        found = _relations(connection, names) if names else {}
        statements = [
            *(ddl.create_extension(extension) for extension in database.extensions),
            *database.collations_sql,
        ]
        for sequence in database.sequences:
            if ddl.relation(sequence) not in found:
                statements += [ddl.create_sequence(sequence), *ddl.comment_on_sequence(sequence)]
        if statements:  # one message, one transaction
            connection.execute("; ".join(statements).encode())

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
        if self._plan.suspended:
            with translated(None, "setting foreign keys aside"), connection.pipeline(), connection.transaction():
                for schema, table, name in self._plan.suspended:
                    suspend_foreign_key(connection, self._ledger, schema, table, name)
        failed: dict[int, MigrationError] = {}
        for plan in [plan for plan in due if plan.table_id in again]:
            # A session of a killed attempt may still commit its first chunk: wait for it, refuse others.
            try:
                with translated(plan.display, "preparing the table"), connection.transaction():
                    self._ledger.begin_again(connection, plan.table_id)
            except TransferError as error:
                self._tolerate(connection, error)
                failed[plan.table_id] = error
        due = [plan for plan in due if plan.table_id not in failed]
        there = _relations(connection, [ddl.relation(plan.table) for plan in due])
        for start in range(0, len(due), _TOGETHER):
            if self._stopped():
                raise Cancelled("stopped while the tables were being prepared")
            failed |= self._prepare_some(connection, due[start : start + _TOGETHER], there)
        return failed

    def _tolerate(self, connection: psycopg.Connection[Any], error: TransferError) -> None:
        """Raise an error that is not one table's own."""
        if error.retryable or self._stopped() or connection.closed:
            raise error

    def _prepare_some(
        self, connection: psycopg.Connection[Any], plans: list[TablePlan], there: dict[str, _Relation]
    ) -> dict[int, MigrationError]:
        """Prepare tables together; where one is refused, each by itself."""
        try:
            self._prepare_together(connection, plans, there)
        except TransferError as error:
            self._tolerate(connection, error)
            if len(plans) == 1:
                return {plans[0].table_id: error}
            failed: dict[int, MigrationError] = {}
            for plan in plans:
                failed |= self._prepare_some(connection, [plan], there)
            return failed
        return {}

    def _prepare_together(
        self, connection: psycopg.Connection[Any], plans: list[TablePlan], there: dict[str, _Relation]
    ) -> None:
        """One transaction for some tables, in one message.

        Before it, another message waits for the locks of those that are emptied or dropped. A server does not notice
        while it waits that its client is gone: a run killed meanwhile must not touch a table afterwards.
        """
        statements: list[str] = []
        owners: list[TablePlan] = []
        for plan in plans:
            own = self._prepare(plan, there.get(ddl.relation(plan.table)))
            statements += own
            owners += [plan] * len(own)
        changed = [ddl.relation(plan.table) for plan in plans if not plan.merges and ddl.relation(plan.table) in there]
        begun = ["BEGIN"]
        locked = False
        try:
            if changed:
                exchange(connection, ["BEGIN", f"LOCK TABLE {', '.join(changed)} IN ACCESS EXCLUSIVE MODE"])
                locked = True
                begun = []
            exchange(connection, [*begun, *statements, "COMMIT"])
        except StatementError as failed:
            connection.execute("ROLLBACK")
            if changed and not locked:
                one = plans[0].display if len(plans) == 1 else None
                raise translate(failed.error, table=one, doing="locking the tables") from failed.error
            position = min(max(failed.position - len(begun), 0), len(owners) - 1)
            table = owners[position].display
            raise translate(failed.error, table=table, doing="preparing the table") from failed.error

    def _due(self, connection: psycopg.Connection[Any], plan: TablePlan, entry: LedgerTable) -> bool:
        if entry.status == "planned":
            return True
        if entry.status == "loaded":
            return self._ledger.emptied(connection, entry)
        if plan.merges:
            return False
        # Prepared, but no chunk is known: an unlogged table may have lost its rows, or hold rows of a lost ledger.
        return not self._ledger.progress(connection, entry)

    def _prepare(self, plan: TablePlan, found: _Relation | None) -> list[str]:
        """The statements that bring a table into its starting state, given what is there under its name."""
        table = plan.table
        # An earlier run that was given up may have left the table unlogged.
        logged = [ddl.set_logged(table, logged=True)] if found and found.left_unlogged and not plan.unlogged else []
        if plan.merges:
            own = logged
            if plan.action == "create_merge":
                own = [ddl.create_table(table, if_not_exists=True, defaults=False)]
                if found is None or not found.keyed:
                    own.append(_primary_key(plan))
                own += logged
        elif plan.action == "truncate":
            persistence = [ddl.set_logged(table, logged=False)] if plan.restore_logged else logged
            own = [f"TRUNCATE TABLE {ddl.relation(table)}", *persistence]
        else:
            dropped = plan.action == "recreate" or found is not None
            own = [ddl.drop_table(table.schema, table.name, cascade=True)] if dropped else []
            own.append(ddl.create_table(table, unlogged=plan.unlogged, defaults=False))
        prepared = self._ledger.set_prepared(plan.table_id, unlogged=plan.unlogged, restore_logged=plan.restore_logged)
        return [*own, prepared]


_TOGETHER = 50
"""Tables prepared by one transaction: the server has room for the locks of some thousand only."""


@dataclass(frozen=True, slots=True)
class _Relation:
    """What is in the target under a name."""

    left_unlogged: bool
    """An UNLOGGED table."""
    keyed: bool
    """It has a primary key."""


def _relations(connection: psycopg.Connection[Any], names: list[str]) -> dict[str, _Relation]:
    """What is there under each of the quoted names; nothing for those that are not."""
    rows = connection.execute(
        "SELECT given.name, c.relpersistence = 'u' AND c.relkind = 'r',"
        " EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'p')"
        " FROM unnest(%s::text[]) AS given (name) JOIN pg_class c ON c.oid = to_regclass(given.name)",
        (names,),
    ).fetchall()
    return {row[0]: _Relation(row[1], row[2]) for row in rows}


def _primary_key(plan: TablePlan) -> str:
    """ON CONFLICT needs the key before the first row."""
    key = plan.table.primary_key
    if key is None:
        raise StateError(f"table {plan.display} has no primary key, required for upsert mode")
    return ddl.add_primary_key(plan.table, key)
