"""Running statements one after the other: control flow, variables, transactions, errors."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence

import duckdb

from ..compiler.casts import cast, constant
from ..compiler.scope import Scope
from ..errors import SqlError, Unsupported
from ..locks import Relocked
from ..tsql import statements as sm
from ..values import sqltypes as st
from . import ddl, define, dml, insert, messages, procedures, selecting
from .flow import Break, Continue, Return
from .state import SessionState

_CONTINUES = frozenset((515, 547, 1222, 2601, 2627, 2628, 8134, 3701, 50000, 15233, 15135))
"""Errors after which a batch goes on with its next statement."""


def run(session: SessionState, statements: Sequence[sm.Statement]) -> None:
    """Run statements one after the other; INSERTs of values into the same table that follow each other together."""
    position = 0
    while position < len(statements):
        together = insert.alike(statements, position)
        if len(together) > 1 and not session.xact_abort:
            _begin_implicitly(session)
            session.changed_data = True
            if _run_together(session, together):
                position += len(together)
                continue
        run_one(session, statements[position])
        position += 1


@contextlib.contextmanager
def _atomic(session: SessionState, statement: sm.Statement) -> Iterator[None]:
    """A statement that changes tracked tables is a transaction, if it is not part of one: data and changes together."""
    tracks = isinstance(statement, sm.Change | sm.Truncate) or (
        isinstance(statement, sm.AlterTable) and statement.action.startswith("TRACKING")
    )
    if session.transaction_depth or session.database.tracking is None or not tracks:
        yield
        return
    session.begin()
    try:
        yield
    except BaseException:
        session.rollback()
        raise
    if session.transaction_depth:
        session.commit()


def _run_together(session: SessionState, statements: Sequence[sm.Insert]) -> bool:
    session.command = "INSERT"
    try:
        with _atomic(session, statements[0]):
            return insert.run_together(session, statements)
    except Relocked:
        return False
    finally:
        session.end_statement()


def _attempt(session: SessionState, statement: sm.Statement) -> None:
    while True:
        depth, changed = session.transaction_depth, session.changed_data
        try:
            if depth and not changed and isinstance(statement, _SEES_ROWS):
                session.refresh()
            with _atomic(session, statement):
                _dispatch(session, statement)
            return
        except Relocked:
            # Nothing has been done: locks come first.
            session.changed_data = changed
        except SqlError as error:
            # Under READ COMMITTED a writer waits for the row, then changes what it has become. DuckDB has no such wait:
            # who has changed nothing before begins anew when the others are done.
            wrote = isinstance(statement, sm.Change) and session.isolation == "READ COMMITTED"
            if error.number != 1205 or error.severity != 13 or not wrote or (depth and changed):
                raise
            _wait_for_writers(session)
            for _ in range(depth):
                session.begin()
        finally:
            session.end_statement()


_SEES_ROWS = (sm.SelectStatement, sm.Change)


def _wait_for_writers(session: SessionState) -> None:
    for place in session.conflicts:
        session.server.locks.acquire(session.spid, place, "IS", None, session.sink.check)
    session.server.locks.release(session.spid)


_COMMANDS: dict[type[sm.Statement], str] = {
    sm.SelectStatement: "SELECT",
    sm.Insert: "INSERT",
    sm.Update: "UPDATE",
    sm.Delete: "DELETE",
    sm.Truncate: "TRUNCATE TABLE",
    sm.CreateTable: "CREATE TABLE",
    sm.AlterTable: "ALTER TABLE",
    sm.CreateIndex: "CREATE INDEX",
    sm.AlterIndex: "ALTER INDEX",
    sm.Execute: "EXECUTE",
}


def _command(statement: sm.Statement) -> str:
    """What sys.dm_exec_requests calls a statement."""
    if isinstance(statement, sm.Simple):
        return statement.verb
    if isinstance(statement, sm.Drop):
        return f"DROP {statement.kind}"
    if isinstance(statement, sm.Transaction):
        return f"{statement.verb} TRANSACTION"
    return _COMMANDS.get(type(statement), "CONDITIONAL" if isinstance(statement, sm.If | sm.While) else "SET")


def run_one(session: SessionState, statement: sm.Statement) -> None:
    """Run a statement. Errors a batch survives are sent, others are raised."""
    session.sink.check()
    session.command = _command(statement)
    try:
        _attempt(session, statement)
        if not isinstance(statement, sm.If | sm.While | sm.Block):
            session.last_error = 0
    except SqlError as error:
        error.line = error.line or statement.line
        session.last_error = error.number
        aborts = session.xact_abort or error.number not in _CONTINUES or session.try_depth
        if session.transaction_depth and (session.xact_abort or error.number == 1205):
            session.rollback()
        if aborts:
            raise
        session.sink.error(error)
    except duckdb.Error as error:
        translated = session.failed(error)
        translated.line = statement.line
        raise translated from None


def _dispatch(session: SessionState, statement: sm.Statement) -> None:
    if isinstance(statement, sm.SelectStatement):
        _begin_implicitly(session)
        selecting.select(session, statement.query)
    elif isinstance(statement, sm.Insert | sm.Update | sm.Delete | sm.Truncate):
        _begin_implicitly(session)
        session.changed_data = True
        dml.run(session, statement)
    elif isinstance(statement, sm.If):
        if session.condition(statement.condition):
            run_one(session, statement.then)
        elif statement.otherwise is not None:
            run_one(session, statement.otherwise)
    elif isinstance(statement, sm.Block):
        run(session, statement.body)
    elif isinstance(statement, sm.While):
        _while(session, statement)
    elif isinstance(statement, sm.TryCatch):
        _try(session, statement)
    elif isinstance(statement, sm.Declare):
        _declare(session, statement)
    elif isinstance(statement, sm.SetVariable):
        session.assign(statement.name, session.compiler().value(statement.expr, Scope()))
    elif isinstance(statement, sm.SetOption):
        procedures.set_option(session, statement)
    elif isinstance(statement, sm.Transaction):
        _transaction(session, statement)
    elif isinstance(statement, sm.Execute):
        procedures.execute(session, statement)
    elif isinstance(statement, sm.ExecuteText):
        _execute_text(session, statement)
    elif isinstance(statement, sm.Simple):
        _simple(session, statement)
    else:
        _begin_implicitly(session)
        session.changed_data = True
        define.run(session, statement)


def _begin_implicitly(session: SessionState) -> None:
    if session.implicit_transactions and not session.transaction_depth:
        session.begin()


def _declare(session: SessionState, statement: sm.Declare) -> None:
    if statement.table is not None:
        ddl.create_table(session, statement.table)
        return
    for name, type_name, initial in statement.variables:
        kind = session.compiler().type_of(type_name)
        session.variables[name] = constant(None, kind)
        if initial is not None:
            session.assign(name, session.compiler().value(initial, Scope()))


def _while(session: SessionState, statement: sm.While) -> None:
    while session.condition(statement.condition):
        session.sink.check()
        try:
            run_one(session, statement.body)
        except Break:
            return
        except Continue:
            continue


def _try(session: SessionState, statement: sm.TryCatch) -> None:
    session.try_depth += 1
    try:
        run(session, statement.body)
    except SqlError as error:
        if error.severity >= 20 or error.number == 3617:
            raise
        session.try_depth -= 1
        before, session.caught = session.caught, error
        try:
            run(session, statement.handler)
        finally:
            session.caught = before
            session.try_depth += 1
    finally:
        session.try_depth -= 1


def _transaction(session: SessionState, statement: sm.Transaction) -> None:
    if statement.verb == "BEGIN":
        session.begin()
    elif statement.verb == "COMMIT":
        if not session.transaction_depth:
            raise SqlError(3902, "The COMMIT TRANSACTION request has no corresponding BEGIN TRANSACTION.")
        session.commit()
    elif statement.verb == "ROLLBACK":
        if not session.transaction_depth:
            raise SqlError(3903, "The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION.")
        session.rollback()
    else:
        raise Unsupported("savepoints")


def _execute_text(session: SessionState, statement: sm.ExecuteText) -> None:
    value, _ = session.scalar(statement.text)
    if value is not None:
        session.nested(str(value))


def _simple(session: SessionState, statement: sm.Simple) -> None:
    verb = statement.verb
    if verb == "USE":
        database = session.server.find_database(statement.text)
        if database is None:
            message = f"Database '{statement.text}' does not exist. Make sure that the name is entered correctly."
            raise SqlError(911, message)
        old = session.database.name
        session.use(database)
        session.sink.database_changed(old, database.name)
    elif verb == "PRINT":
        value, kind = session.scalar(statement.arguments[0])
        text = "" if value is None or kind is None else cast(constant(value, kind), st.NVARCHAR_MAX).const
        session.sink.info(0, str(text))
    elif verb == "RAISERROR":
        messages.raise_error(session, statement)
    elif verb == "THROW":
        messages.throw(session, statement)
    elif verb == "RETURN":
        value = session.scalar(statement.arguments[0])[0] if statement.arguments else 0
        raise Return(int(value or 0))
    elif verb == "BREAK":
        raise Break
    elif verb == "CONTINUE":
        raise Continue
    elif verb == "WAITFOR":
        _wait(session, str(session.scalar(statement.arguments[0])[0]))
    elif verb not in ("NOTHING", "CHECKPOINT"):
        raise Unsupported(verb)


def _wait(session: SessionState, delay: str) -> None:
    from ..values.datetimes import parse

    end = time.monotonic() + parse(delay)[1] / 10_000_000
    while (left := end - time.monotonic()) > 0:
        session.sink.check()
        time.sleep(min(left, 0.05))
