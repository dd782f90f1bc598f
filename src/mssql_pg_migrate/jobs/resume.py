"""How a run takes possession of the ledger: a new run begins one, a resumed run joins its own again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import StateError
from ..events import EventSink, Message
from ..target.ledger import Constraint, Ledger, LedgerTable, take_over
from ..target.prepare import restore_foreign_keys, settle
from ..transfer.control import Control
from ..transfer.fingerprint import fingerprint
from ..transfer.plan import RunPlan, TablePlan, transfer_order
from ..transfer.preparation import Preparation
from ..version import __version__
from .tables import respect_foreign_keys

if TYPE_CHECKING:
    import psycopg

    from ..state import RunState

_START_NEW = "start a new run (delete the state file)"


def begin_run(control: Control, ledger: Ledger, plan: RunPlan, state: RunState, on_event: EventSink) -> RunPlan:
    """A new ledger with every table as planned. An unfinished earlier run gives way to it.

    Returns the plan, whose foreign keys to set aside include those that the earlier run had set aside.
    """
    control.call("creating schemas", lambda connection: Preparation(ledger, plan, on_event).create_schemas(connection))

    def begin(connection: psycopg.Connection[Any], entered: RunPlan) -> None:
        ledger.create(
            connection,
            config_hash=state.config_hash,
            mode=plan.mode,
            tool_version=__version__,
            tables=Preparation(ledger, entered, on_event).entries(),
        )
        _take_over(connection, ledger, entered, on_event)

    def enter(connection: psycopg.Connection[Any]) -> RunPlan:
        current = ledger.current_run(connection)
        if current is None or current[0] == ledger.run_id:  # the latter by a try that was cut off
            begin(connection, plan)
            return plan
        with connection.transaction():
            aside = _supersede(connection, ledger, current[0], plan, on_event)
            entered = _with_foreign_keys(connection, plan)
            begin(connection, entered)
            made = {(item.table.schema, item.table.name) for item in entered.tables if item.built}
            for constraint in aside:
                # This run adds it at its end, where it could not be put back now, and validates it if it was valid.
                if constraint[:2] not in made:
                    ledger.keep_constraint(connection, constraint)
        return entered

    return control.call("creating the ledger", enter)


def _with_foreign_keys(connection: psycopg.Connection[Any], plan: RunPlan) -> RunPlan:
    tables, suspended = respect_foreign_keys(connection, plan.mode, list(plan.tables))
    return replace(plan, tables=tuple(transfer_order(tables)), suspended=suspended)


def _supersede(
    connection: psycopg.Connection[Any], ledger: Ledger, run_id: str, plan: RunPlan, on_event: EventSink
) -> list[Constraint]:
    """Put back, not validated, the foreign keys an unfinished run had set aside; they are returned."""
    on_event(Message(level="warn", text=f"the unfinished run {run_id} is given up for this one"))
    aside = ledger.constraints(connection)
    mine = {item.table.full_name for item in plan.tables}
    for entry in Ledger(ledger.schema, run_id).tables(connection).values():
        if entry.target not in mine and entry.status != "planned":
            _leave(connection, entry, on_event)
    for problem in restore_foreign_keys(connection, ledger=ledger, validate=False):
        on_event(Message(level="warn", text=problem))
    return aside


def _leave(connection: psycopg.Connection[Any], entry: LedgerTable, on_event: EventSink) -> None:
    """A table of the run given up that is not one of this run: nobody will come back to complete it."""
    if not settle(connection, entry.target, logged=entry.restore_logged):
        return
    if entry.action in ("create", "recreate", "create_merge"):
        lacks = "keys, indexes, defaults, constraints and rows may be missing; drop it, or run with it again"
    elif entry.status == "loaded":
        return
    else:
        lacks = "rows may be missing; run with it again"
    on_event(Message(level="warn", text=f"target table {entry.target}, of that run but not of this one: {lacks}"))


def rejoin_run(control: Control, ledger: Ledger, plan: RunPlan, state: RunState, on_event: EventSink) -> RunPlan:
    """The plan as the interrupted run had it: table ids, actions and persistence come from its ledger.

    A run that died before it had a ledger begins under the same run id. Raises StateError when the ledger is of
    another run, or when the source's tables changed since.
    """
    current = control.call("reading the ledger", ledger.current_run)
    if current is None or current[0] != state.run_id:
        if any(table.transferred_rows for table in state.tables.values()):
            found = "there is none" if current is None else f"there is one of run {current[0]}"
            raise StateError(
                f"the ledger of run {state.run_id} is not in target schema {ledger.schema} ({found})",
                hint=f"its progress is unknown: {_START_NEW}",
            )
        return begin_run(control, ledger, plan, state, on_event)
    entries = {entry.source: entry for entry in control.call("reading the ledger", ledger.tables).values()}
    gone = set(entries) - {item.table.source.full_name for item in plan.tables}
    if gone:
        raise StateError(f"source table {min(gone)} is gone since the run began", hint=_START_NEW)
    fresh = max((entry.table_id for entry in entries.values()), default=-1) + 1
    tables: list[TablePlan] = []
    newcomers: list[TablePlan] = []
    for item in plan.tables:
        entry = entries.get(item.table.source.full_name)
        if entry is None and item.display in state.tables and state.tables[item.display].status == "failed":
            # Left out by an earlier attempt (on_refused_table: skip), it can be carried now.
            newcomers.append(replace(item, table_id=fresh + len(newcomers)))
        else:
            tables.append(_as_before(item, entry))
    plan = replace(plan, tables=(*tables, *newcomers))
    if newcomers:
        entering = Preparation(ledger, replace(plan, tables=tuple(newcomers)), on_event)
        control.call(
            "entering tables in the ledger", lambda connection: ledger.add_tables(connection, entering.entries())
        )
    control.call("reading other ledgers", lambda connection: _rejoin(connection, ledger, plan, on_event))
    return plan


def _rejoin(connection: psycopg.Connection[Any], ledger: Ledger, plan: RunPlan, on_event: EventSink) -> None:
    """The ledger follows what is planned now for tables that nothing was done with yet."""
    with connection.transaction():
        before = ledger.tables(connection)
        for item in plan.tables:
            entry = before.get(item.table_id)
            if entry is not None and entry.untouched and entry.action != item.action:
                ledger.set_action(connection, item.table_id, item.action)
    _take_over(connection, ledger, plan, on_event)


def _take_over(connection: psycopg.Connection[Any], ledger: Ledger, plan: RunPlan, on_event: EventSink) -> None:
    names = take_over(connection, ledger, [item.table.full_name for item in plan.tables])
    for name in names:
        text = f"target table {name} is of another unfinished run too, which begins it again when it is resumed"
        on_event(Message(level="warn", text=text))


def _as_before(plan: TablePlan, entry: LedgerTable | None) -> TablePlan:
    if entry is None or entry.fingerprint != fingerprint(plan.table):
        changed = "is new" if entry is None else "has other columns, types or keys"
        raise StateError(f"source table {plan.table.source.full_name} {changed} since the run began", hint=_START_NEW)
    if entry.untouched:  # the target's table, if there is one, is as the plan has just seen it
        return replace(plan, table_id=entry.table_id)
    return replace(
        plan,
        table_id=entry.table_id,
        action=entry.action,
        unlogged=entry.unlogged,
        restore_logged=entry.restore_logged,
    )
