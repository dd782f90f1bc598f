"""The rows of one run on their way: connections opened ahead, ranges scheduled, what arrived told table by table."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from ..events import EventSink, PhaseStarted, TableFinished
from ..results import TableResult
from ..target.connect import read_server_facts
from ..transfer import context as contexts
from ..transfer.context import WorkerContext, open_session
from ..transfer.scheduler import Scheduler
from ..transfer.tablework import TableWork, TransferOptions
from ..transfer.tasks import Limits
from ..transfer.writer import WriteOptions
from .outcome import notice_emptied

if TYPE_CHECKING:
    import psycopg

    from ..config.models import MigrationConfig
    from ..target.ledger import Ledger, LedgerTable, TableOverview
    from ..transfer.control import Control
    from ..transfer.plan import RunPlan
    from .ends import Ends


class Moving:
    """What all ranges of a run share in this process. Close it; `stop` may come from any thread.

    ``executor`` makes, from a number of ranges in flight, what runs the ranges; None: threads of this process.
    """

    def __init__(
        self,
        plan: RunPlan,
        migration: MigrationConfig,
        ends: Ends,
        *,
        on_event: EventSink,
        executor: Callable[[int], Executor] | None,
        shutdown_timeout: float,
    ) -> None:
        self._migration = migration
        self._ends = ends
        self._emit = on_event
        self._executor = executor
        self._shutdown_timeout = shutdown_timeout
        self._context = WorkerContext(_limits(plan, migration), on_event)

    def open_ahead(self, plan: RunPlan) -> None:
        """Begin to open the connections that rows will go through: the tables are prepared meanwhile."""
        if self._executor is not None:  # ranges in other processes have connections of their own
            return
        source, limits, tuning = self._ends.source, self._context.limits, plan.tuning
        wanted = min(tuning.streams, sum(item.max_ranges for item in plan.tables))
        sessions = wanted if tuning.chunks_in_flight == 1 else 3 * wanted // 2
        self._context.target.warm("load", partial(open_session, self._ends.target), sessions)
        if source.likely_reader is not None:
            open_reader = partial(source.open_reader, source.likely_reader)
            self._context.source.warm(source.likely_reader, open_reader, min(wanted, limits.source_connections - 1))

    def stop(self, *, now: bool) -> None:
        """Start no further chunk; with ``now`` those under way are cut off."""
        self._context.stop.stop()
        if now:
            self._context.abort()

    def close(self) -> None:
        """Close all connections; idempotent."""
        self._context.close()

    def carry(self, control: Control, ledger: Ledger, plan: RunPlan) -> list[TableResult]:
        """Move the rows of every table that the ledger does not know as loaded; results in the plan's order."""
        self._emit(PhaseStarted(phase="transfer"))
        known = control.call("reading the ledger", partial(_ranges_and_progress, ledger=ledger, plan=plan))
        loaded = {number: item.entry for number, item in known.items() if item.entry.status == "loaded"}
        for item in plan.tables:
            if item.table_id in loaded:  # by an earlier attempt: who watches this one must not wait for it
                entry = loaded[item.table_id]
                self._emit(TableFinished(table=item.display, rows=entry.rows, skipped=entry.skipped, seconds=0.0))
        lz4 = control.call("asking the target", read_server_facts).lz4
        contexts.install(ledger.run_id, self._context)
        try:
            carried = self._schedule(plan, self._options(plan, ledger, lz4=lz4), known, set(loaded))
        finally:
            contexts.uninstall(ledger.run_id)
            self.close()
        results = [
            _loaded_before(item.display, loaded[item.table_id]) if item.table_id in loaded else carried[item.display]
            for item in plan.tables
        ]
        if not self._context.stop.is_set():
            notice = partial(notice_emptied, ledger=ledger, plan=plan, results=results, emit=self._emit)
            control.call("reading the ledger", notice)
        return results

    def _options(self, plan: RunPlan, ledger: Ledger, *, lz4: bool) -> TransferOptions:
        tuning, migration = plan.tuning, self._migration
        return TransferOptions(
            run_id=ledger.run_id,
            ledger_schema=ledger.schema,
            source=self._ends.source_settings,
            target=self._ends.target,
            limits=self._context.limits,
            write=WriteOptions(
                copy_format="binary" if migration.use_binary_copy else "text",
                upsert_batch_rows=migration.upsert_batch_size,
                lz4=lz4,
            ),
            chunk_rows=tuning.chunk_size,
            chunk_bytes=tuning.chunk_bytes,
            on_nul=migration.on_nul,
        )

    def _schedule(
        self, plan: RunPlan, options: TransferOptions, known: dict[int, TableOverview], loaded: set[int]
    ) -> dict[str, TableResult]:
        tuning = plan.tuning
        with ExitStack() as stack:
            local = stack.enter_context(ThreadPoolExecutor(tuning.streams + 1, thread_name_prefix="range"))
            executor = stack.enter_context(self._executor(tuning.streams)) if self._executor else local
            scheduler = Scheduler(
                [item for item in plan.tables if item.table_id not in loaded],
                TableWork(options, self._context, known),
                self._context,
                executor,
                workers=tuning.workers,
                local=local,
            )
            return {result.table: result for result in scheduler.run(shutdown_timeout=self._shutdown_timeout)}


def _limits(plan: RunPlan, migration: MigrationConfig) -> Limits:
    tuning = plan.tuning
    upsert = plan.mode == "upsert"
    return Limits(
        source_connections=tuning.max_mssql_connections,
        target_connections=tuning.max_pg_connections - 1,  # one is the control connection
        parallel_readers=tuning.parallel_readers,
        parallel_writers=tuning.upsert_parallel_tasks if upsert else tuning.write_ahead_writers,
        buffer_bytes=tuning.buffer_bytes,
        read_ahead=tuning.read_ahead_buffers,
        retries=migration.retries,
        in_flight=tuning.chunks_in_flight,
    )


def _loaded_before(name: str, entry: LedgerTable) -> TableResult:
    """The result of a table that an earlier attempt has carried."""
    return TableResult(name, "completed", rows=entry.rows, rows_before=entry.rows, skipped=entry.skipped)


def _ranges_and_progress(
    connection: psycopg.Connection[Any], *, ledger: Ledger, plan: RunPlan
) -> dict[int, TableOverview]:
    """What the ledger says of all tables; those that are read as one range have it stored from here on."""
    single = {
        item.table_id: item.table.source.row_estimate
        for item in plan.tables
        if item.max_ranges <= 1 or not item.resumable
    }
    return ledger.overview(connection, single)
