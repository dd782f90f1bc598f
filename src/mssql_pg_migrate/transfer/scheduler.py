"""Which range runs when: tables in flight, ranges of each, failures contained to their table."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, field
from typing import Any

from ..errors import MigrationError, TransferError
from ..events import Message, PhaseStarted, TableFinished, TableReset, TableStarted
from ..results import TableResult
from .context import WorkerContext
from .plan import TablePlan
from .tablework import OpenTable, TableWork
from .tasks import RangeOutcome, RangeTask
from .worker import run_range

_POLL = 0.25
"""Seconds between looks at the stop flag while nothing completes; signals are handled meanwhile."""


@dataclass(slots=True)
class _Job:
    plan: TablePlan
    result: TableResult
    opened: OpenTable | None = None
    waiting: list[RangeTask] = field(default_factory=list)
    running: int = 0
    """Futures of this table under way: ranges, opening or finishing."""
    done: dict[int, RangeOutcome] = field(default_factory=dict)
    restart: str | None = None
    unsupported: bool = False
    started: float = 0.0
    attempts: int = 0
    finished: bool = False


class Scheduler:
    """Runs all tables of a run; owns no thread and no connection itself.

    Range tasks, plain data, go to ``executor``, which may be of other processes; opening and finishing tables goes to
    ``local`` (the same one unless given), which must be threads of this process.
    """

    def __init__(
        self,
        plans: list[TablePlan],
        work: TableWork,
        context: WorkerContext,
        executor: Executor,
        *,
        workers: int,
        local: Executor | None = None,
    ) -> None:
        self._queue = [_Job(plan, TableResult(plan.display, "pending")) for plan in plans]
        self._jobs = list(self._queue)
        self._work = work
        self._context = context
        self._ranges = executor
        self._local = local or executor
        self._workers = workers
        self._futures: dict[Future[Any], tuple[str, _Job]] = {}
        self._active: list[_Job] = []

    def run(self, *, shutdown_timeout: float) -> list[TableResult]:
        """Carry all tables; returns one result per table, in plan order.

        When the context is told to stop, ranges under way have ``shutdown_timeout`` seconds to finish their chunk;
        then their connections are cut (what was not committed is undone by the server).
        """
        deadline: float | None = None
        while self._queue or self._active:
            stopping = self._context.stop.is_set()
            if stopping:
                self._queue.clear()
                deadline = deadline or time.monotonic() + shutdown_timeout
                if time.monotonic() > deadline:
                    self._context.abort()
            else:
                self._submit()
            if not self._futures:
                break  # stopping: whatever is still active waits for nothing
            completed, _ = wait(self._futures, timeout=_POLL, return_when=FIRST_COMPLETED)
            for future in completed:
                kind, job = self._futures.pop(future)
                self._completed(kind, job, future)
        for job in self._jobs:
            if not job.finished:
                self._close(job, "cancelled" if job.started else "pending")
        return [job.result for job in self._jobs]

    # -- submitting ------------------------------------------------------------------------------------------------

    def _submit(self) -> None:
        while len(self._active) < self._workers:
            job = next((job for job in self._queue if self._level_free(job.plan.level)), None)
            if job is None:
                break
            self._queue.remove(job)
            self._active.append(job)
            job.started = time.monotonic()
            self._start(job, "open", self._work.open, job.plan)
        for job in self._active:
            limit = self._context.limits.parallel_readers
            while job.waiting and job.running < limit:
                self._start(job, "range", run_range, job.waiting.pop(0))

    def _level_free(self, level: int) -> bool:
        return all(job.finished or job.plan.level >= level for job in self._jobs)

    def _start(self, job: _Job, kind: str, function: Callable[..., Any], *arguments: Any) -> None:
        job.running += 1
        executor = self._ranges if kind == "range" else self._local
        self._futures[executor.submit(function, *arguments)] = (kind, job)

    # -- completing ------------------------------------------------------------------------------------------------

    def _completed(self, kind: str, job: _Job, future: Future[Any]) -> None:
        job.running -= 1
        try:
            result = future.result()
        except MigrationError as error:
            self._failed(job, error)
        except Exception as error:
            self._context.emit(Message(level="debug", table=job.plan.display, text=_traceback(error)))
            unexpected = TransferError(
                f"table {job.plan.display}: unexpected {type(error).__name__}: {error}", table=job.plan.display
            )
            unexpected.__cause__ = error
            self._failed(job, unexpected)
        else:
            if kind == "open":
                self._opened(job, result)
            elif kind == "range":
                self._range_ended(job, result)
            else:
                self._loaded(job, result)
        if job.running == 0 and not job.finished:
            self._advance(job)

    def _opened(self, job: _Job, opened: OpenTable) -> None:
        job.opened = opened
        job.waiting = list(opened.tasks)
        job.result.reader = opened.reader.name
        job.result.reader_reason = opened.reader.reason
        job.result.ranges = opened.ranges
        # Opened again, it may have fewer: a table that begins anew has none.
        before = job.result.rows_before if job.attempts else opened.rows_before
        job.result.rows_before = min(before, opened.rows_before)
        job.done = dict(opened.done)
        if job.attempts == 0:
            self._context.emit(PhaseStarted(phase="transfer", table=job.plan.display))
            self._context.emit(
                TableStarted(
                    table=job.plan.display,
                    estimated_rows=job.plan.table.source.row_estimate,
                    ranges=opened.ranges,
                    reader=opened.reader.name,
                    rows_before=opened.rows_before,
                )
            )

    def _range_ended(self, job: _Job, outcome: RangeOutcome) -> None:
        job.result.bytes += outcome.bytes
        job.result.retries += outcome.retries
        job.done[outcome.range_id] = outcome
        if outcome.status == "restart":
            job.restart = outcome.detail or "its ledger moved"
            job.waiting.clear()
            self._context.stop.stop_table(job.plan.table_id)
        elif outcome.status == "unsupported":
            # The reader met something it had not seen when it was chosen: another goes on from the last chunk.
            job.waiting.clear()
            self._context.stop.stop_table(job.plan.table_id)
            try:
                self._work.use_other_reader(job.plan, outcome.detail or "its reader gave up")
                job.unsupported = True
            except MigrationError as error:
                self._failed(job, error)

    def _failed(self, job: _Job, error: MigrationError) -> None:
        job.waiting.clear()
        self._context.stop.stop_table(job.plan.table_id)
        if job.result.error is None and not self._context.stop.is_set():
            job.result.error = str(error)
            job.result.error_kind = error.kind
            job.result.exit_code = error.exit_code
            job.result.retryable = error.retryable
            self._context.emit(Message(level="error", table=job.plan.display, text=str(error)))

    def _advance(self, job: _Job) -> None:
        """Nothing of the table is under way: what is next for it?"""
        if self._context.stop.is_set():
            self._close(job, "cancelled")
        elif job.result.error is not None:
            self._work.note_failed(job.plan)
            self._close(job, "failed")
        elif job.restart is not None:
            self._begin_again(job)
        elif job.unsupported:
            job.unsupported = False
            self._context.stop.resume_table(job.plan.table_id)
            self._start(job, "open", self._work.open, job.plan)
        elif not job.waiting and job.opened is not None:
            self._start(job, "finish", self._work.finish, job.plan, job.opened)

    def _begin_again(self, job: _Job) -> None:
        reason, job.restart = job.restart or "", None
        job.attempts += 1
        if job.attempts >= self._context.limits.retries:
            self._failed(
                job,
                TransferError(
                    f"table {job.plan.display}: began again {job.attempts} times, last because {reason}",
                    table=job.plan.display,
                    retryable=True,
                ),
            )
            self._advance(job)
            return
        self._context.emit(TableReset(table=job.plan.display, reason=reason))
        self._context.stop.resume_table(job.plan.table_id)
        job.done.clear()
        self._start(job, "open", self._work.open_again, job.plan)

    def _loaded(self, job: _Job, counts: tuple[int, int] | None) -> None:
        if counts is None:
            # A crash of the target took chunks that were believed committed: see what is missing, carry it again.
            job.attempts += 1
            if job.attempts >= self._context.limits.retries:
                job.restart = "committed chunks keep disappearing"
                return
            self._start(job, "open", self._work.open, job.plan)
            return
        job.result.rows, job.result.skipped = counts
        self._close(job, "completed")

    def _close(self, job: _Job, status: Any) -> None:
        job.finished = True
        result = job.result
        result.status = status
        if status != "completed":
            result.rows = sum(outcome.rows for outcome in job.done.values())
            result.skipped = sum(outcome.skipped for outcome in job.done.values())
        result.seconds = time.monotonic() - job.started if job.started else 0.0
        if job in self._active:
            self._active.remove(job)
        if status in ("completed", "failed"):
            self._context.emit(
                TableFinished(
                    table=result.table,
                    rows=result.rows,
                    rows_before=result.rows_before,
                    skipped=result.skipped,
                    seconds=result.seconds,
                    error=result.error,
                )
            )


def _traceback(error: BaseException) -> str:
    import traceback

    return "".join(traceback.format_exception(error))
