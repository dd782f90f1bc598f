"""Running DDL one statement at a time: refusals become problems, what may pass by itself goes back to the pool."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from ..events import EventSink, Message, Phase, PhaseStarted, Retry
from ..mapping.objects import MappedTable
from . import problems
from .classify import is_transient
from .exchange import each
from .inspect import read_built_objects
from .jobs import JobPool
from .problems import FinalizeResult, Kind, Problem

if TYPE_CHECKING:
    import psycopg

AT_ONCE = 100
"""Statements sent together at most: so many may still be carried out after a stop."""


@dataclass(frozen=True, slots=True)
class Order:
    """A statement to be carried out, and what follows from it."""

    statement: str
    accepted: Callable[[], None]
    refused: Callable[[psycopg.Connection[Any], psycopg.Error], None]
    """May raise the error again, when it may pass by itself."""


_WORTH_TELLING = 1.0
"""Seconds."""


class StatementRunner:
    """What the phases of finalizing share; its methods are called from the pool's threads."""

    pool: JobPool

    def __init__(self, on_event: EventSink | None, tables: Sequence[MappedTable]) -> None:
        self.on_event = on_event
        # Events name a table as the rest of the run does: without its schema where there is only one.
        single = len({table.source.schema for table in tables}) == 1
        self.labels = {table.full_name: table.source.name if single else table.source.full_name for table in tables}
        self.result = FinalizeResult()
        self.lock = threading.Lock()

    def execute(
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
            if table is not None and not is_transient(error) and self.is_there_now(connection, table, name):
                return True
            return self.refuse(error, kind, owner, name, statement)
        return True

    def order(
        self,
        kind: Kind,
        owner: str,
        name: str,
        statement: str,
        *,
        table: MappedTable | None = None,
        created: Callable[[], None] | None = None,
        failed: Callable[[], None] | None = None,
    ) -> Order:
        """What `execute` does, as an `Order` that counts what was created; one of the two is called afterwards."""

        def accepted() -> None:
            self.count("created", kind)
            if created is not None:
                created()

        def refused(connection: psycopg.Connection[Any], error: psycopg.Error) -> None:
            if table is not None and not is_transient(error) and self.is_there_now(connection, table, name):
                accepted()
                return
            self.refuse(error, kind, owner, name, statement)
            if failed is not None:
                failed()

        return Order(statement, accepted, refused)

    def carry_out(self, orders: Sequence[Order], *, parallel: bool = True) -> None:
        """Carry out orders, many a message, over the pool's connections (``parallel`` False: over one, in order)."""
        share = -(-len(orders) // self.pool.parallel) if parallel else len(orders)
        size = max(1, min(share, AT_ONCE))
        batches = [list(orders[start : start + size]) for start in range(0, len(orders), size)]
        jobs = [partial(self._carry_out, batch) for batch in batches]
        if parallel:
            self.pool.run(jobs)
        else:
            for job in jobs:
                self.pool.run([job])

    @staticmethod
    def _carry_out(left: list[Order], connection: psycopg.Connection[Any]) -> None:
        """Orders that are done leave the list: after a lost connection only the others are repeated."""
        import psycopg

        for outcome in each(connection, [order.statement for order in left]):
            if isinstance(outcome, psycopg.Error):
                left[0].refused(connection, outcome)
            else:
                left[0].accepted()
            del left[0]

    @staticmethod
    def is_there_now(connection: psycopg.Connection[Any], table: MappedTable, name: str) -> bool:
        """Whether the table has a constraint of that name by now."""
        return read_built_objects(connection, [table.schema]).has_constraint(table, name)

    def refuse(self, error: psycopg.Error, kind: Kind, owner: str, name: str, statement: str) -> bool:
        """Record a refusal; always False. Raises the error again when it may pass by itself, or means a stop."""
        import psycopg

        if is_transient(error) or isinstance(error, psycopg.errors.QueryCanceled):
            raise error
        self.report(problems.refused(error, kind, owner, name, statement))
        return False

    def count(self, what: Literal["created", "present"], kind: Kind) -> None:
        """One more object of a kind."""
        with self.lock:
            getattr(self.result, what)[kind] += 1

    def report(self, problem: Problem) -> None:
        """Keep a problem and tell the listener."""
        with self.lock:
            self.result.problems.append(problem)
        if self.on_event is not None:
            self.on_event(Message(level="error", text=problem.message, table=self.labels.get(problem.table)))

    def phase(self, phase: Phase, table: MappedTable | None = None, detail: str | None = None) -> None:
        """Tell the listener what begins."""
        if self.on_event is not None:
            label = self.labels.get(table.full_name) if table is not None else None
            self.on_event(PhaseStarted(phase=phase, table=label, detail=detail))

    def took(self, table: MappedTable, name: str, seconds: float) -> None:
        """Tell the listener of an index or a constraint that took its time."""
        if self.on_event is not None and seconds >= _WORTH_TELLING:
            label = self.labels.get(table.full_name, table.full_name)
            self.on_event(Message(level="info", text=f"{label}: {name} done in {seconds:.1f} s", table=label))

    def retry(self, reason: str, attempt: int, delay: float) -> None:
        """Tell the listener that a job is done again."""
        if self.on_event is not None:
            self.on_event(Retry(table=None, reason=reason, attempt=attempt, delay=delay))
