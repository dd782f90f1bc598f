"""``cutover``: the target takes over: last passes, constraints, sequences, comparison, and a word: GO or NO-GO."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ..errors import Cancelled, DataError, TransferError
from ..events import EventSink, Message, PhaseStarted
from ..results import CutoverReport, CutoverStep
from ..target.classify import is_transient
from ..target.connect import connect_target
from ..target.ddl import qualified, quote_ident
from ..target.finalize import Finalizer
from .sync import Following, Sync
from .validate import validate

if TYPE_CHECKING:
    import psycopg

    from ..config.models import Config

WaitFor: TypeAlias = Literal["read_only", "quiet"]
_MOST_PASSES = 50
"""Passes after which a source that goes on changing is a NO-GO."""
_QUIET = 2
"""Passes in a row without a change that count as quiet."""


class Cutover:
    """One cutover. ``wait(seconds)`` sleeps and returns True when it is to stop."""

    def __init__(self, config: Config, *, on_event: EventSink, wait: Callable[[float], bool]) -> None:
        self._config = config
        self._emit = on_event
        self._wait = wait
        self._sync = Sync(config, on_event=on_event, wait=wait)
        self._report = CutoverReport(rehearsal=False)

    def run(self, *, rehearse: bool = False, wait_for: WaitFor | None = None) -> CutoverReport:
        """All steps. ``rehearse`` changes nothing but what passes bring, and says how long the real one would take.

        Raises MigrationError for what prevents the cutover as such; what speaks against it is a reason in the report.
        """
        report = self._report = CutoverReport(rehearsal=rehearse)
        began = time.monotonic()
        try:
            self._steps(rehearse=rehearse, wait_for=wait_for)
        except (DataError, TransferError) as error:
            if error.retryable:
                raise
            report.reasons.append(f"a pass cannot be applied: {error}")  # nothing of it was
        report.seconds = time.monotonic() - began
        return report

    def _steps(self, *, rehearse: bool, wait_for: WaitFor | None) -> None:
        with self._sync.following(compare_now=True) as following:
            if wait_for is not None:
                with self._step("wait", f"until the source is {wait_for.replace('_', '-')}"):
                    self._await(following, wait_for)
            with self._step("passes", "until nothing is left"):
                self._last_passes(following)
            with self._step("constraints", "foreign keys and checks validated"):
                self._validate_constraints(following)
            if not rehearse:
                with self._step("sequences", "past the source's"):
                    self._set_sequences(following)
            with self._step("compare", "every row of every table"):
                self._compare()
            if not rehearse:
                with self._step("analyze", "statistics of the target"):
                    self._analyze(following)
            with self._step("last look", "has anything changed meanwhile?"):
                self._last_look(following)

    @contextmanager
    def _step(self, name: str, detail: str) -> Iterator[None]:
        if self._wait(0):
            raise Cancelled("the cutover was stopped", hint="nothing is lost: run it again")
        self._emit(PhaseStarted(phase="finish", detail=f"cutover: {name}"))
        began = time.monotonic()
        yield
        self._report.steps.append(CutoverStep(name, time.monotonic() - began, detail))

    # -- passes ----------------------------------------------------------------------------------------------------

    def _pass(self, following: Following) -> int:
        result = following.one_pass()
        self._report.passes += 1
        self._report.changes += result.changes
        return result.changes

    def _await(self, following: Following, wait_for: WaitFor) -> None:
        """Passes until the source is at rest; said aloud while it is not."""
        interval = self._sync.interval
        quiet = 0
        while True:
            changes = self._pass(following)
            quiet = quiet + 1 if changes == 0 else 0
            if wait_for == "quiet" and quiet >= _QUIET:
                return
            if wait_for == "read_only" and self._sync.source_read_only():
                return
            wanted = "to be read-only" if wait_for == "read_only" else "to rest"
            self._emit(Message(level="info", text=f"waiting for the source {wanted}; the last pass: {changes} rows"))
            if self._wait(interval):
                raise Cancelled("stopped while the source was still changing")

    def _last_passes(self, following: Following) -> None:
        for _ in range(_MOST_PASSES):
            if self._pass(following) == 0:
                return
        self._report.reasons.append(
            f"the source goes on changing: {_MOST_PASSES} passes in a row brought rows; what writes to it must stop"
        )

    def _last_look(self, following: Following) -> None:
        changes = self._pass(following)
        if changes and not self._report.rehearsal:
            self._report.reasons.append(
                f"{changes} rows changed at the source during the cutover: something still writes to it"
                " (they are in the target now); stop it and run cutover again"
            )

    # -- the target ------------------------------------------------------------------------------------------------

    def _validate_constraints(self, following: Following) -> None:
        """Constraints that were left NOT VALID hold for the rows that are there, or are a reason."""
        names = [table.target for table in following.plan.tables]
        loose = following.control.call("looking at constraints", lambda connection: _not_valid(connection, names))
        for schema, table, constraint in loose:
            problem = following.control.call(
                f"validating {constraint}", partial(_validate_constraint, table=(schema, table), name=constraint)
            )
            if problem is not None:
                self._report.reasons.append(problem)

    def _set_sequences(self, following: Following) -> None:
        database = self._sync.database(following.control)
        finalizer = Finalizer(
            partial(connect_target, self._sync.ends.target, purpose="finalize"),
            database,
            database.tables,
            existing={table.full_name for table in database.tables},
            on_event=self._emit,
        )
        with closing(finalizer.pool):
            finalizer.set_sequences()
        self._report.reasons += [problem.message for problem in finalizer.result.problems]

    def _compare(self) -> None:
        report = validate(self._config, checksum=True, on_event=self._emit, stopped=lambda: self._wait(0))
        self._report.tables = report.tables
        for table in report.tables:
            if table.equal:
                continue
            if self._report.rehearsal:
                text = f"table {table.table} differs now; while the source is written to, that is to be expected"
                self._emit(Message(level="info", table=table.table, text=text))
                continue
            found = [
                f"{number} {what}"
                for number, what in ((table.missing, "missing"), (table.changed, "changed"), (table.extra, "extra"))
                if number
            ]
            why = table.error or ", ".join(found)
            self._report.reasons.append(
                f"table {table.table} is not equal ({why}); validate --checksum --repair mends it"
            )

    def _analyze(self, following: Following) -> None:
        for table in following.plan.tables:
            statement = f"ANALYZE {qualified(*table.target)}"
            following.control.call("gathering statistics", partial(_execute, statement=statement))


def _execute(connection: psycopg.Connection[Any], *, statement: str) -> None:
    connection.execute(statement.encode())


def _not_valid(connection: psycopg.Connection[Any], tables: list[tuple[str, str]]) -> list[tuple[str, str, str]]:
    """Foreign keys and checks of the tables that are NOT VALID: (schema, table, constraint)."""
    names = [qualified(schema, name) for schema, name in tables]
    rows = connection.execute(
        "SELECT n.nspname, t.relname, c.conname FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid"
        " JOIN pg_namespace n ON n.oid = t.relnamespace WHERE c.contype IN ('c', 'f') AND NOT c.convalidated"
        " AND c.conrelid IN (SELECT to_regclass(name)::oid FROM unnest(%s::text[]) AS name) ORDER BY 1, 2, 3",
        (names,),
    ).fetchall()
    return [(row[0], row[1], row[2]) for row in rows]


def _validate_constraint(connection: psycopg.Connection[Any], *, table: tuple[str, str], name: str) -> str | None:
    """Why rows do not satisfy it; None when they do."""
    import psycopg

    try:
        connection.execute(f"ALTER TABLE {qualified(*table)} VALIDATE CONSTRAINT {quote_ident(name)}".encode())
    except psycopg.Error as error:
        if is_transient(error):
            raise
        detail = error.diag.message_detail or error.diag.message_primary or str(error).strip()
        return f"constraint {name} of {'.'.join(table)} is violated by the rows that are there: {detail}"
    return None
