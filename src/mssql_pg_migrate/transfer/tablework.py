"""The work on a table before its first and after its last range; runs in the executor's threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from ..errors import MigrationError, StateError
from ..events import Message, Retry
from ..model import KeyRange
from ..source.open import open_source
from ..source.reader import OnNul, Reader
from ..source.settings import SourceSettings
from ..source.source import ChosenReader
from ..target import ddl
from ..target.classify import translated
from ..target.connect import TargetSettings
from ..target.exchange import StatementError, exchange
from ..target.ledger import MOVED, Ledger, LedgerMovedError, LedgerTable, RangeProgress, TableOverview
from ..target.prepare import empty_table
from ..target.session import LoadSession
from .context import WorkerContext, open_session
from .plan import TablePlan
from .pool import PoolClosedError
from .retry import Backoff
from .tasks import Limits, RangeOutcome, RangeTask
from .writer import WriteOptions

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TransferOptions:
    """What is the same for all tables of a run."""

    run_id: str
    ledger_schema: str
    source: SourceSettings
    target: TargetSettings
    limits: Limits
    write: WriteOptions
    chunk_rows: int
    chunk_bytes: int
    on_nul: OnNul


@dataclass(frozen=True, slots=True)
class OpenTable:
    """A table ready to be carried: its ranges are planned and stored, its reader is chosen."""

    ledger: LedgerTable
    reader: ChosenReader
    ranges: int
    tasks: tuple[RangeTask, ...]
    """Ranges not done yet."""
    done: dict[int, RangeOutcome]
    rows_before: int


class TableWork:
    """Opens and finishes tables; every method is safe to call again after a failure."""

    def __init__(
        self, options: TransferOptions, context: WorkerContext, known: Mapping[int, TableOverview] | None = None
    ) -> None:
        """``known`` is what the ledger said of tables just now: it serves for the first `open` of each."""
        self._options = options
        self._known = dict(known or {})
        self._context = context
        self._ledger = Ledger(options.ledger_schema, options.run_id)
        self._source = open_source(options.source)
        self._readers: dict[int, ChosenReader] = {}
        self._told: dict[str, str] = {}

    def open(self, plan: TablePlan) -> OpenTable:
        """Plan the ranges (or take the stored ones), choose the reader, make the tasks."""
        found = self._known.pop(plan.table_id, None) or self._look(plan)
        entry, progress = found.entry, found.progress
        ranges = found.ranges or self._plan(plan)
        if not plan.resumable and progress and not all(progress[item.id].done for item in ranges):
            return self.open_again(plan)
        reader = self._choose_reader(plan)
        options = self._options
        tasks = []
        done = {}
        for item in ranges:
            at = progress.get(item.id, RangeProgress())
            done[item.id] = RangeOutcome(item.id, "done" if at.done else "stopped", at.rows, at.skipped)
            if at.done:
                continue
            tasks.append(
                RangeTask(
                    run_id=options.run_id,
                    ledger_schema=options.ledger_schema,
                    table_id=plan.table_id,
                    generation=entry.generation,
                    unlogged=entry.unlogged,
                    display=plan.display,
                    table=plan.table,
                    range=item,
                    start=at,
                    resumable=plan.resumable,
                    reader=reader.name,
                    source=options.source,
                    target=options.target,
                    write=replace(options.write, upsert=plan.merges, partitioned=plan.partitioned),
                    limits=options.limits,
                    chunk_rows=options.chunk_rows,
                    chunk_bytes=options.chunk_bytes,
                    on_nul=options.on_nul,
                )
            )
        rows_before = sum(item.rows for item in progress.values())
        return OpenTable(entry, reader, len(ranges), tuple(tasks), done, rows_before)

    def open_again(self, plan: TablePlan) -> OpenTable:
        """Begin the table anew: a new generation, no chunks, and (but for upsert) no rows."""

        def reset(session: LoadSession) -> None:
            connection = session.connection
            entry = self._entry(session, plan)
            with connection.transaction():
                self._ledger.begin_again(connection, plan.table_id)
                if not plan.merges:
                    empty_table(connection, plan.table)
                connection.execute(
                    self._ledger.set_prepared(
                        plan.table_id, unlogged=entry.unlogged, restore_logged=entry.restore_logged
                    )
                )

        self._on_target(plan, "beginning the table again", reset)
        return self.open(plan)

    def use_other_reader(self, plan: TablePlan, reason: str) -> None:
        """From now on another reader carries the table. Raises ConfigError when none may."""
        self._readers[plan.table_id] = chosen = self._source.other_reader(plan.display, reason)
        self._tell_reader(plan, chosen)

    def finish(self, plan: TablePlan, opened: OpenTable) -> tuple[int, int] | None:
        """Declare the rows present, durably; (rows, skipped), or None when chunks turn out to be missing."""
        range_ids = frozenset(opened.done) | frozenset(task.range.id for task in opened.tasks)
        statements = [
            "BEGIN",
            "SET LOCAL synchronous_commit = on",
            self._ledger.set_loaded(opened.ledger, range_ids),
            # In the same transaction: from here on the rows no longer need the unlogged ledger.
            *([ddl.set_logged(plan.table, logged=True)] if opened.ledger.restore_logged else []),
            "COMMIT",
        ]
        uncertain = False

        def declare(session: LoadSession) -> tuple[int, int]:
            nonlocal uncertain
            if uncertain:
                entry = self._entry(session, plan)
                if entry.status == "loaded":
                    return entry.rows, entry.skipped
            uncertain = True
            try:
                rows, skipped = exchange(session.connection, statements)[2].first[:2]
            except StatementError as failed:
                if failed.error.sqlstate == MOVED and failed.position == 2:
                    raise LedgerMovedError("chunks are missing from the ledger") from None
                raise failed.error from None
            return int(rows or 0), int(skipped or 0)

        try:
            return self._on_target(plan, "completing the table", declare)
        except LedgerMovedError:
            return None

    def note_failed(self, plan: TablePlan) -> None:
        """Enter the failure in the ledger where that is possible; ``resume`` does not depend on it."""
        try:
            with self._context.target.use("load", self._connect) as session, translated(plan.display, "ledger"):
                self._ledger.set_failed(session.connection, plan.table_id)
        except (MigrationError, PoolClosedError) as error:
            self._context.emit(Message(level="debug", table=plan.display, text=f"failure not entered: {error}"))

    # -- pieces ----------------------------------------------------------------------------------------------------

    def _connect(self) -> LoadSession:
        return open_session(self._options.target)

    def _entry(self, session: LoadSession, plan: TablePlan) -> LedgerTable:
        entry = self._ledger.tables(session.connection).get(plan.table_id)
        if entry is None:
            raise StateError(f"table {plan.display}: the ledger in the target no longer knows this run")
        return entry

    def _look(self, plan: TablePlan) -> TableOverview:
        """What the ledger says of one table."""

        def look(session: LoadSession) -> TableOverview:
            connection = session.connection
            entry = self._entry(session, plan)
            return TableOverview(
                entry, self._ledger.ranges(connection, plan.table_id), self._ledger.progress(connection, entry)
            )

        return self._on_target(plan, "reading the ledger", look)

    def _plan(self, plan: TablePlan) -> tuple[KeyRange, ...]:
        """Plan the ranges of a table and store them."""
        planned: tuple[KeyRange, ...] = (KeyRange(0, row_estimate=plan.table.source.row_estimate),)
        if plan.max_ranges > 1 and plan.resumable:
            planned = self._plan_ranges(plan)

        def store(session: LoadSession) -> tuple[KeyRange, ...]:
            connection = session.connection
            try:
                self._ledger.set_ranges(connection, plan.table_id, planned)
                return planned
            except StatementError as failed:
                connection.execute("ROLLBACK")
                if failed.error.sqlstate == MOVED:
                    self._entry(session, plan)
                # A try whose COMMIT was not answered may have stored them.
                already = self._ledger.ranges(connection, plan.table_id)
                if not already:
                    raise failed.error from None
                return already

        return self._on_target(plan, "storing the plan", store)

    def _plan_ranges(self, plan: TablePlan) -> tuple[KeyRange, ...]:
        def ask() -> tuple[KeyRange, ...]:
            with self._context.source.use("session", self._source.connect) as session:
                return tuple(
                    session.plan_ranges(plan.table, max_ranges=plan.max_ranges, min_rows=plan.min_rows_per_range)
                )

        return self._retrying(plan, ask)

    def _choose_reader(self, plan: TablePlan) -> ChosenReader:
        if plan.table_id not in self._readers:
            self._readers[plan.table_id] = chosen = self._retrying(plan, lambda: self._choice(plan))
            self._tell_reader(plan, chosen)
        return self._readers[plan.table_id]

    def _choice(self, plan: TablePlan) -> ChosenReader:
        def use(name: str) -> AbstractContextManager[Reader]:
            return self._context.source.use(name, partial(self._source.open_reader, name))

        return self._source.choose_reader(
            plan.table,
            plan.display,
            use,
            copy_format=self._options.write.copy_format,
            on_nul=self._options.on_nul,
            purpose="transfer",
        )

    def _tell_reader(self, plan: TablePlan, chosen: ChosenReader) -> None:
        if not chosen.surprising or chosen.reason is None:
            return
        if not chosen.everywhere:
            text = f"table {plan.display} goes through the {chosen.name}: {chosen.reason}"
            self._context.emit(Message(level="warn", table=plan.display, text=text))
        elif self._told.setdefault(chosen.reason, plan.display) == plan.display:  # once, not for each table
            text = f"all tables go through the slower {chosen.name}: {chosen.reason}"
            self._context.emit(Message(level="warn", text=text))

    def _on_target(self, plan: TablePlan, doing: str, work: Callable[[LoadSession], T]) -> T:
        def attempt() -> T:
            with self._context.target.use("load", self._connect) as session, translated(plan.display, doing):
                return work(session)

        return self._retrying(plan, attempt)

    def _retrying(self, plan: TablePlan, work: Callable[[], T]) -> T:
        backoff = Backoff(self._options.limits.retries, self._context.stop.wait)

        def on_retry(error: MigrationError, delay: float) -> None:
            self._context.emit(Retry(table=plan.display, reason=error.message, attempt=backoff.failures, delay=delay))

        return backoff.call(work, on_retry)
