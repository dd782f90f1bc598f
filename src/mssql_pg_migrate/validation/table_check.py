"""One table: counted, or compared row by row through digests, down to the keys that differ."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from ..errors import Cancelled, DataError, MigrationError
from ..events import EventSink, Message, PhaseStarted, Retry
from ..mapping.objects import MappedTable
from ..model import KeyRange
from ..results import ColumnCheck, TableCheck
from ..target.inspect import ExistingTable
from ..transfer.pool import PoolClosedError
from ..transfer.retry import Backoff
from .buckets import BucketTable, bits_for
from .columns import Comparison, NotComparable, compare_columns, reduced
from .digest import Digest, new_key, open_digest
from .matching import CATEGORIES, Differences, Matcher, Side
from .source_side import SourceSide
from .stop import Stop
from .target_side import TargetSide
from .texts import label_text

T = TypeVar("T")

PROGRESS_INTERVAL = 5.0
"""Seconds between two messages about a table under way."""
_ATTEMPTS = 3
"""Times a table is read when differences have gone before they could be named."""


@dataclass(frozen=True, slots=True)
class TableJob:
    """A table to check. ``existing`` is None when the target does not have it."""

    display: str
    table: MappedTable
    existing: ExistingTable | None
    parts: int
    """Into how many parts each side is cut at most."""


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """What is the same for all tables."""

    checksum: bool
    upsert: bool
    """Rows that only the target has are no fault: upsert never deletes."""
    retries: int
    streams: int
    """Parts of one side read at the same time when rows are matched."""
    match_limit: int
    """Rows kept in memory while they wait for their twin."""


@dataclass(slots=True)
class _Progress:
    """Rows digested so far of one table."""

    job: TableJob
    emit: EventSink
    rows: dict[Side, int] = field(default_factory=lambda: {"source": 0, "target": 0})
    last: float = field(default_factory=time.monotonic)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, side: Side, rows: int) -> None:
        with self.lock:
            self.rows[side] += rows
            now = time.monotonic()
            if now - self.last < PROGRESS_INTERVAL:
                return
            self.last = now
            text = (
                f"table {self.job.display}: {self.rows['source']:,} source and {self.rows['target']:,} target rows"
                f" compared, of about {self.job.table.source.row_estimate:,}"
            )
        self.emit(Message(level="info", table=self.job.display, text=text))


class TableChecker:
    """Checks tables; used by one thread per table, which hand the parts to the executors of the two sides."""

    def __init__(
        self,
        source: SourceSide,
        target: TargetSide,
        executors: dict[Side, Executor],
        options: CheckOptions,
        stop: Stop,
        emit: EventSink,
    ) -> None:
        self._source = source
        self._target = target
        self._executors = executors
        self._options = options
        self._stop = stop
        self._emit = emit
        self._one_match = threading.Lock()

    def check(self, job: TableJob) -> TableCheck:
        """The outcome of one table. Raises MigrationError when it cannot be read, Cancelled."""
        self._stop.check()
        self._emit(PhaseStarted(phase="validate", table=job.display))
        if job.existing is None:
            rows = self._retrying(job, partial(self._source.count, job.table))
            problem = f"the target has no table {job.table.full_name}"
            return TableCheck(job.display, rows, None, equal=False, error=problem)
        check = self._compare(job, job.existing) if self._options.checksum else self._count(job)
        self._tell(check)
        return check

    def _tell(self, check: TableCheck) -> None:
        counts = f"{check.source_rows:,} source rows, {check.target_rows:,} target rows"
        if check.equal:
            text = f"table {check.table}: equal ({counts})"
        else:
            text = f"table {check.table}: DIFFERENT ({counts})"
        self._emit(Message(level="info" if check.equal else "warn", table=check.table, text=text))

    # -- counts --------------------------------------------------------------------------------------------------------

    def _count(self, job: TableJob) -> TableCheck:
        source, target = self._both(
            [partial(self._retrying, job, partial(self._source.count, job.table))],
            [partial(self._retrying, job, partial(self._target.count, job.table))],
            self._stop.nested(),
        )
        equal = source[0] <= target[0] if self._options.upsert else source[0] == target[0]
        return TableCheck(job.display, source[0], target[0], equal=equal)

    # -- contents ------------------------------------------------------------------------------------------------------

    def _compare(self, job: TableJob, existing: ExistingTable) -> TableCheck:
        try:
            table, comparison = compare_columns(job.table, existing)
        except NotComparable as problem:
            counted = self._count(job)
            counted.equal, counted.error = False, f"{job.table.full_name} {problem}"
            return counted
        if not comparison.columns:
            return self._count(job)
        for name in comparison.incomparable:
            text = f"table {job.display}: computed column {name} is of another type in the target and not compared"
            self._emit(Message(level="warn", table=job.display, text=text))
        for name in comparison.unread:
            text = f"table {job.display}: computed column {name} is not compared: the source holds no values of it"
            self._emit(Message(level="info", table=job.display, text=text))
        reading = _Reading(
            job=job,
            table=table,
            comparison=comparison,
            key=new_key(),
            bits=bits_for(table.source.row_estimate),
            reader=self._retrying(job, partial(self._choose_reader, job, table)),
            ranges=self._retrying(job, partial(self._source.ranges, table, job.parts)),
            conditions=self._retrying(job, partial(self._target.parts, table, job.parts)),
        )
        return self._compare_readable(reading)

    def _compare_readable(self, reading: _Reading) -> TableCheck:
        """A computed column may hold what no text of PostgreSQL can, half a surrogate pair say: it differs, no more."""
        beyond: list[ColumnCheck] = []
        while True:
            try:
                check = self._compare_all(reading)
                break
            except DataError as error:
                column = reading.comparison.computed_named(error.column)
                if column is None or error.column is None:
                    raise
                self._emit(Message(level="warn", table=reading.job.display, text=error.message))
                beyond.append(ColumnCheck(error.column, 1, [error.key] if error.key else [], estimated=True))
                reading = reading.of(reading.comparison.without(column))
        check.computed[:0] = beyond
        check.equal = check.equal and not beyond
        return check

    def _compare_all(self, reading: _Reading) -> TableCheck:
        if not reading.comparison.computed:
            return self._compare_rows(reading)
        source, target = self._digest_both(reading)
        if not source.differing(target):
            return _equal(reading, source, target)
        return self._compare_computed(reading)

    def _compare_computed(self, reading: _Reading) -> TableCheck:
        """Something differs in a table that both sides compute columns of: the data, or which of these columns?"""
        check = self._compare_rows(reading.of(reading.comparison.without_computed()))
        keyed = reading.comparison.keyed
        if not keyed and not check.equal:
            return check  # without a key, a row that is not there is not told from one that is computed otherwise
        for column in reading.comparison.computed:
            found = self._compare_rows(reading.of(reading.comparison.of(column)))
            rows = (found.changed if keyed else found.missing) or 0
            if found.error is not None:
                check.equal, check.error = False, found.error
            elif rows:
                keys = found.sample_keys.get("changed" if keyed else "missing", [])
                check.equal = False
                check.computed.append(ColumnCheck(column.column.source.name, rows, keys, found.estimated))
        return check

    def _compare_rows(self, reading: _Reading) -> TableCheck:
        job = reading.job
        for _ in range(_ATTEMPTS):
            source, target = self._digest_both(reading)
            check = _equal(reading, source, target)
            differing = source.differing(target)
            if not differing:
                return check
            text = f"table {job.display}: contents differ; reading again to find the rows"
            self._emit(Message(level="info", table=job.display, text=text))
            with self._one_match:
                found, estimated = self._find_differences(reading, differing)
            if found:
                self._report(check, reading, found, estimated=estimated)
                return check
        check.equal, check.error = False, "the table is being changed: every reading shows other differences"
        return check

    def _choose_reader(self, job: TableJob, table: MappedTable) -> str:
        chosen = self._source.choose_reader(table, job.display)
        if chosen.reason is not None:
            text = f"table {job.display} is read through the {chosen.name}: {chosen.reason}"
            self._emit(Message(level="debug", table=job.display, text=text))
        return chosen.name

    def _report(self, check: TableCheck, reading: _Reading, found: Differences, *, estimated: bool) -> None:
        fields = reading.comparison.label_fields
        check.missing, check.extra = found.missing, found.extra
        check.changed = found.changed if reading.comparison.keyed else None
        check.estimated = estimated
        check.equal = not (found.missing or found.changed or (found.extra and not self._options.upsert))
        check.sample_keys = {
            category: [label_text(label, fields) for label in found.samples[category]]
            for category in CATEGORIES
            if found.samples.get(category)
        }

    def _digest_both(self, reading: _Reading) -> tuple[BucketTable, BucketTable]:
        """The bucket tables of both sides; a part that fails is read again alone."""
        job, stop = reading.job, self._stop.nested()
        progress = _Progress(job, self._emit)
        totals: dict[Side, BucketTable] = {"source": BucketTable(reading.bits), "target": BucketTable(reading.bits)}
        adding = threading.Lock()

        def add(side: Side, digest: Digest) -> None:
            part = BucketTable(reading.bits, digest.buckets())
            with adding:
                totals[side].add(part)

        def from_source(part: KeyRange) -> None:
            digest = reading.source_digest()
            step = _Step("source", digest, progress, stop)
            self._source.digest(reading.table, reading.comparison, part, reading.reader, digest, step)
            add("source", digest)

        def from_target(condition: str) -> None:
            digest = reading.target_digest()
            step = _Step("target", digest, progress, stop)
            self._target.digest(
                reading.table, reading.comparison, condition, digest, step, shared=len(reading.conditions) > 1
            )
            add("target", digest)

        self._both(
            [partial(self._retrying, job, partial(from_source, part)) for part in reading.ranges],
            [partial(self._retrying, job, partial(from_target, part)) for part in reading.conditions],
            stop,
        )
        return totals["source"], totals["target"]

    # -- differences ---------------------------------------------------------------------------------------------------

    def _find_differences(self, reading: _Reading, differing: list[int]) -> tuple[Differences, bool]:
        """What differs in those buckets, and whether it is an estimate from some of them.

        Where too many rows differ to keep them in memory, some of the buckets stand for all. In upsert mode that
        would not do, as rows that only the target has are no fault and may hide the ones that are: there the other
        buckets follow, pass by pass, until a fault is found or there is none.
        """
        remaining = list(differing)
        random.shuffle(remaining)
        size = len(remaining)
        found = Differences()
        covered = 0
        while remaining:
            chosen = remaining[:size]
            self._stop.check()
            matched, done = self._retrying(reading.job, partial(self._match, reading, chosen))
            found.add(matched)
            covered += len(done)
            size = len(done)
            remaining = remaining[len(done) :]
            if not self._options.upsert or found.missing or found.changed:
                break
        if not remaining:
            return found, False
        return found.scaled(len(differing) / covered), True

    def _match(self, reading: _Reading, buckets: Sequence[int]) -> tuple[Differences, tuple[int, ...]]:
        """Read both sides again and match the rows of those buckets, or of the first of them."""
        stop = self._stop.nested()
        progress = _Progress(reading.job, self._emit)
        matcher = Matcher(reading.bits, buckets, keyed=reading.comparison.keyed, limit=self._options.match_limit)

        def from_source(part: KeyRange) -> None:
            digest = reading.source_digest()
            step = _MatchStep("source", digest, progress, stop, matcher)
            self._source.digest(reading.table, reading.comparison, part, reading.reader, digest, step)
            step()

        def from_target(condition: str) -> None:
            digest = reading.target_digest()
            step = _MatchStep("target", digest, progress, stop, matcher)
            self._target.digest(
                reading.table, reading.comparison, condition, digest, step, shared=len(reading.conditions) > 1
            )
            step()

        # Threads of its own: one side may wait for the other, which must not wait for a thread.
        streams = self._options.streams
        with (
            ThreadPoolExecutor(min(streams, len(reading.ranges)), thread_name_prefix="match") as source,
            ThreadPoolExecutor(min(streams, len(reading.conditions)), thread_name_prefix="match") as target,
        ):
            futures: dict[Side, list[Future[Any]]] = {
                "source": [source.submit(from_source, part) for part in reading.ranges],
                "target": [target.submit(from_target, part) for part in reading.conditions],
            }
            for side, tasks in futures.items():
                _when_all_done(tasks, partial(matcher.finish, side))
            _collect([*futures["source"], *futures["target"]], stop)
        return matcher.result(), matcher.buckets

    # -- threads and failures ------------------------------------------------------------------------------------------

    def _both(
        self, source: Sequence[Callable[[], T]], target: Sequence[Callable[[], T]], stop: Stop
    ) -> tuple[list[T], list[T]]:
        """Run work of both sides; the first failure stops the rest of it and is raised."""
        futures = [self._executors["source"].submit(work) for work in source]
        futures += [self._executors["target"].submit(work) for work in target]
        results = _collect(futures, stop)
        return results[: len(source)], results[len(source) :]

    def _retrying(self, job: TableJob, work: Callable[[], T]) -> T:
        backoff = Backoff(self._options.retries, self._stop.wait)

        def on_retry(error: MigrationError, delay: float) -> None:
            self._emit(Retry(table=job.display, reason=error.message, attempt=backoff.failures, delay=delay))

        try:
            return backoff.call(work, on_retry)
        except PoolClosedError as error:
            raise Cancelled("the comparison was stopped") from error


def _equal(reading: _Reading, source: BucketTable, target: BucketTable) -> TableCheck:
    changed = 0 if reading.comparison.keyed else None
    return TableCheck(reading.job.display, source.rows, target.rows, equal=True, missing=0, extra=0, changed=changed)


@dataclass(frozen=True, slots=True)
class _Reading:
    """How the rows of one table are read and digested on both sides."""

    job: TableJob
    table: MappedTable
    comparison: Comparison
    key: bytes
    bits: int
    reader: str
    ranges: Sequence[KeyRange]
    conditions: Sequence[str]

    def of(self, comparison: Comparison) -> _Reading:
        """The same table, read and digested for some of its columns."""
        return replace(self, table=reduced(self.table, comparison.columns), comparison=comparison)

    def source_digest(self) -> Digest:
        """A new digest for a part of the source."""
        return open_digest(self.comparison.source_kinds, self.comparison.roles, self.key, self.bits)

    def target_digest(self) -> Digest:
        """A new digest for a part of the target."""
        return open_digest(self.comparison.target_kinds, self.comparison.roles, self.key, self.bits, header=True)


class _Step:
    """What happens every few megabytes: tell how far it is, and stop when that is wanted."""

    def __init__(self, side: Side, digest: Digest, progress: _Progress, stop: Stop) -> None:
        self._side = side
        self._digest = digest
        self._progress = progress
        self._stop = stop
        self._told = 0

    def __call__(self) -> None:
        self._stop.check()
        self._advance()

    def _advance(self) -> int:
        rows = self._digest.rows
        new, self._told = rows - self._told, rows
        self._progress.add(self._side, new)
        return new


class _MatchStep(_Step):
    """Also hands the listed rows to the matcher, and follows its selection."""

    def __init__(self, side: Side, digest: Digest, progress: _Progress, stop: Stop, matcher: Matcher) -> None:
        super().__init__(side, digest, progress, stop)
        self._matcher = matcher
        self._version, bitmap = matcher.selection()
        digest.select(bitmap)

    def __call__(self) -> None:
        self._stop.check()
        self._matcher.add(self._side, self._digest.take(), self._advance(), self._stop.is_set)
        if self._matcher.version != self._version:
            self._version, bitmap = self._matcher.selection()
            self._digest.select(bitmap)


def _when_all_done(futures: Sequence[Future[Any]], then: Callable[[], None]) -> None:
    """Call ``then`` when the last of the futures is done, however it ended."""
    left = len(futures)
    lock = threading.Lock()

    def done(_: Future[Any]) -> None:
        nonlocal left
        with lock:
            left -= 1
            last = left == 0
        if last:
            then()

    for future in futures:
        future.add_done_callback(done)


def _collect(futures: Sequence[Future[T]], stop: Stop) -> list[T]:
    """The results in order. The first failure stops the others, is waited for and raised."""
    _, pending = wait(futures, return_when=FIRST_EXCEPTION)
    if pending:
        stop.stop()
        for future in pending:
            future.cancel()
        wait(futures)
    failures = [error for future in futures if not future.cancelled() and (error := future.exception()) is not None]
    if failures:
        # A part that was stopped because of another one's failure is not the cause.
        raise next((error for error in failures if not isinstance(error, Cancelled)), failures[0])
    return [future.result() for future in futures]
