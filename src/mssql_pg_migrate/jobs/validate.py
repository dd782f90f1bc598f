"""``validate``: are source and target equal, by exact counts or by contents?

**Counts** (the default): ``COUNT_BIG(*)`` and ``count(*)`` of every selected table, in parallel.

**Contents** (``checksum``): both sides are read once, as binary COPY tuples: the source through the readers a run
uses, the target through ``COPY ... TO STDOUT``. Every row is reduced to a 128-bit hash of its values in a form both
sides share, and the hashes are added up in buckets chosen by the row's key, so that the order of the rows, which the
servers do not agree on, plays no part. Equal buckets are equal rows (``_kernel/rowhash.h`` has the odds). Where buckets
differ, the rows of just these are read again and matched by key: rows *missing* in the target, *extra* ones there, and
*changed* ones. Tables without a key are compared as multisets of rows, which has no notion of a changed row.

What is compared is what a run carries, and what PostgreSQL computes in place of a computed column of the source; times
are compared in microseconds, char(n) without its padding, and ``on_nul: strip`` applies. A table that is written to
while it is read shows that as differences.

**Equal** means: no row missing, none changed, and none extra. In upsert mode, which never deletes, extra rows are
counted and shown but are no fault (for plain counts: the target has at least as many rows as the source). A table that
cannot be read, or that the target lacks, is not equal and says why; the others are still checked.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from ..errors import Cancelled, ConnectionFailed, MigrationError
from ..events import EventSink, Message, PhaseStarted
from ..results import TableCheck, ValidationReport
from .ends import Ends

if TYPE_CHECKING:
    from ..config.models import Config
    from ..config.tuning import Tuning
    from ..validation.matching import Side
    from ..validation.stop import Stop
    from ..validation.table_check import TableChecker, TableJob

_MATCH_ROW_BYTES = 250
"""Memory of a row that waits for its twin, about."""
_MATCH_ROWS = (20_000, 1_000_000)
_POLL = 0.2
"""Seconds between two looks at ``stopped``."""


def validate(
    config: Config, *, checksum: bool, on_event: EventSink, stopped: Callable[[], bool] = lambda: False
) -> ValidationReport:
    """Compare every selected table; see the module's text. Reads both servers, changes neither.

    Tables come in the catalog's order. Raises ConfigError, SchemaError, ConnectionFailed for what concerns all tables,
    Cancelled once ``stopped()``.
    """
    from ..config.tuning import tune

    started = time.monotonic()
    tuning = tune(config)
    on_event(PhaseStarted(phase="validate"))
    ends = Ends(config, on_event)
    jobs, version_num = _jobs(config, ends)
    checks = _check_all(config, ends, tuning, jobs, version_num, checksum=checksum, on_event=on_event, stopped=stopped)
    return ValidationReport(checksum=checksum, tables=checks, seconds=time.monotonic() - started)


def _jobs(config: Config, ends: Ends) -> tuple[list[TableJob], int]:
    """The tables to check, and the target's server_version_num."""
    from ..mapping.build import build
    from ..target.connect import connect_target
    from ..target.inspect import read_abilities, read_existing
    from ..transfer.plan import display_names, range_count
    from ..validation.table_check import TableJob
    from .plan import mapping_options, read_source

    migration = config.migration
    with connect_target(ends.target, purpose="validate") as target:
        with closing(ends.source.connect()) as source:
            catalog, selected = read_source(config, source)
        options = mapping_options(config, catalog, selected, read_abilities(target))
        database = build(catalog, options)
        existing = read_existing(target, database.tables)
    names = display_names(database.tables)
    jobs = [
        TableJob(
            display=names[table.source.schema, table.source.name],
            table=table,
            existing=existing.get((table.schema, table.name)),
            parts=range_count(table.source.row_estimate, table.source.size_bytes, migration, migration.max_partitions),
        )
        for table in database.tables
    ]
    return jobs, options.abilities.version_num


def _check_all(
    config: Config,
    ends: Ends,
    tuning: Tuning,
    jobs: list[TableJob],
    version_num: int,
    *,
    checksum: bool,
    on_event: EventSink,
    stopped: Callable[[], bool],
) -> list[TableCheck]:
    from ..validation.digest import is_compiled
    from ..validation.source_side import SourceSide
    from ..validation.stop import Stop
    from ..validation.table_check import CheckOptions, TableChecker
    from ..validation.target_side import TargetSide

    migration = config.migration
    if checksum and not is_compiled():
        on_event(Message(level="warn", text="the compiled digest is not installed: comparing contents will be slow"))
    least, most = _MATCH_ROWS
    options = CheckOptions(
        checksum=checksum,
        upsert=migration.target_mode == "upsert",
        retries=migration.retries,
        streams=tuning.streams,
        match_limit=min(max(tuning.buffer_bytes // _MATCH_ROW_BYTES, least), most),
    )
    stop = Stop(stopped)
    with ExitStack() as stack:
        source = SourceSide(
            ends.source,
            tuning.max_mssql_connections,
            on_nul=migration.on_nul,
            chunk_rows=tuning.chunk_size,
            chunk_bytes=tuning.chunk_bytes,
        )
        stack.callback(source.close)
        target = TargetSide(ends.target, tuning.max_pg_connections, version_num)
        stack.callback(target.close)
        threads: dict[Side, int] = {
            "source": min(tuning.streams, tuning.max_mssql_connections),
            "target": min(tuning.streams, max(tuning.max_pg_connections - 1, 1)),
        }
        executors: dict[Side, Executor] = {
            side: stack.enter_context(ThreadPoolExecutor(count, thread_name_prefix=f"validate {side}"))
            for side, count in threads.items()
        }
        checker = TableChecker(source, target, executors, options, stop, on_event)

        def abort() -> None:
            stop.stop()
            source.abort()
            target.abort()

        tables = stack.enter_context(ThreadPoolExecutor(tuning.workers, thread_name_prefix="validate table"))
        return _run(checker, jobs, tables, stop, abort)


def _run(
    checker: TableChecker, jobs: list[TableJob], executor: Executor, stop: Stop, abort: Callable[[], None]
) -> list[TableCheck]:
    """Check the tables, largest first. A table that fails says so in its check; the others go on."""
    largest_first = sorted(jobs, key=lambda job: -(job.table.source.size_bytes or job.table.source.row_estimate))
    futures: dict[str, Future[TableCheck]] = {job.display: executor.submit(checker.check, job) for job in largest_first}
    try:
        _wait_for(set(futures.values()), stop)
    except BaseException:
        for future in futures.values():
            future.cancel()
        abort()
        raise
    failures: list[MigrationError] = []
    checks = []
    for job in jobs:
        error = futures[job.display].exception()
        if error is None:
            checks.append(futures[job.display].result())
            continue
        assert isinstance(error, MigrationError)
        if isinstance(error, Cancelled):
            raise error
        failures.append(error)
        checks.append(TableCheck(job.display, None, None, equal=False, error=str(error)))
    if failures and len(failures) == len(jobs) and all(isinstance(error, ConnectionFailed) for error in failures):
        raise failures[0]
    return checks


def _wait_for(pending: set[Future[TableCheck]], stop: Stop) -> None:
    """Until all are done. Raises Cancelled on the user's wish, and what is not a failure of one table."""
    while pending:
        done, pending = wait(pending, timeout=_POLL, return_when=FIRST_COMPLETED)
        if stop.is_set():
            raise Cancelled("the comparison was stopped")
        for future in done:
            error = future.exception()
            if error is not None and not isinstance(error, MigrationError):
                raise error
