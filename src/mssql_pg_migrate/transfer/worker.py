"""One range, from source to target: a reading thread ahead, the calling thread writing behind it.

``run_range`` is what an executor runs; it takes and returns plain data.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

from ..errors import Cancelled, ConnectionFailed, MigrationError, TransientError
from ..events import ChunkCommitted, Message, RangeFinished, Retry
from ..model import KeyValue
from ..source.open import open_source
from ..source.reader import Chunk, Reader, ReaderUnsupported, ReadRequest
from ..target.classify import translated
from ..target.ledger import ChunkPosition, Ledger, LedgerMovedError, RangeProgress
from .channel import Channel
from .context import WorkerContext, context_for, open_session
from .pool import PoolClosedError
from .retry import Backoff
from .tasks import RangeOutcome, RangeStatus, RangeTask
from .writer import ChunkWriter, Pending


@dataclass(frozen=True, slots=True)
class _End:
    """No more rows: all read (``error`` None), stopped, or failed."""

    stopped: bool = False
    error: BaseException | None = None
    restart: str | None = None

    @property
    def clean(self) -> bool:
        """Whether every row was read."""
        return self.error is None and self.restart is None and not self.stopped


_Item: TypeAlias = "Chunk | _End"
_END_IS_NEAR = 0.05
"""Seconds: a reader that hands over less than a full chunk knows very soon that there is no more."""


def _is_clean_end(item: _Item) -> bool:
    return isinstance(item, _End) and item.clean


def run_range(task: RangeTask) -> RangeOutcome:
    """Carry one range from where its ledger says it is; see RangeOutcome for the ways it may end.

    Raises TransferError, DataError, ConnectionFailed when it failed for good.
    """
    context = context_for(task)
    mover = _RangeMover(task, context)
    try:
        return mover.run()
    except (PoolClosedError, Cancelled):
        return mover.outcome("stopped")
    except ReaderUnsupported as error:
        return mover.outcome("unsupported", error.message)


class _Producer(threading.Thread):
    """Reads chunks into the channel, opening the source again after the last one handed over when it fails."""

    def __init__(
        self, task: RangeTask, context: WorkerContext, channel: Channel[_Item], after: KeyValue | None
    ) -> None:
        super().__init__(name=f"read {task.display}/{task.range.id}", daemon=True)
        self._task = task
        self._context = context
        self._channel = channel
        self._after = after
        self._handed_over = 0
        self._backoff = Backoff(task.limits.retries, context.stop.wait)
        self._abandoned = False
        self._reader: Reader | None = None

    @property
    def retries(self) -> int:
        """Times the source had to be opened again."""
        return self._backoff.total

    def abandon(self) -> None:
        """The consumer is gone: end a read under way and return soon. From the consumer's thread."""
        self._abandoned = True
        reader = self._reader
        if reader is not None:
            with suppress(Exception):  # the reader may be closing by itself
                reader.cancel()
        self.join()

    def _stopped(self) -> bool:
        return self._abandoned or self._context.stop.is_set(self._task.table_id)

    def run(self) -> None:
        """The thread's body: ends with one _End in the channel."""
        while True:
            end: _End | None
            try:
                end = self._read()
            except (TransientError, ConnectionFailed) as error:
                end = self._after_failure(error)
            except PoolClosedError:
                end = _End(stopped=True)
            except BaseException as error:
                end = _End(error=error)
            if end is not None:
                self._channel.put(end)
                return

    def _after_failure(self, error: TransientError | ConnectionFailed) -> _End | None:
        """None: try again."""
        if self._stopped():
            return _End(stopped=True)
        if not error.retryable:
            return _End(error=error)
        if not self._task.resumable and self._handed_over:
            return _End(restart=str(error))
        try:
            delay = self._backoff.next_delay(error)
            self._context.emit(
                Retry(table=self._task.display, reason=error.message, attempt=self._backoff.failures, delay=delay)
            )
            self._backoff.sleep(delay)
        except Cancelled:
            return _End(stopped=True)
        except MigrationError as final:
            return _End(error=final)
        return None

    def _read(self) -> _End:
        task, context = self._task, self._context
        slots = context.slots(task.table_id)
        connect = partial(open_source(task.source).open_reader, task.reader)
        with slots.readers, context.source.use(task.reader, connect) as reader:
            self._reader = reader
            chunks = reader.chunks(self._request())
            try:
                while True:
                    if self._stopped() or not context.gate.acquire(task.chunk_bytes, self._stopped):
                        return _End(stopped=True)
                    held = task.chunk_bytes
                    try:
                        chunk = next(chunks, None)
                        if chunk is None:
                            return _End()
                        size = len(chunk.data)
                        context.gate.adjust(held, size)
                        held = size
                        if not self._channel.put(chunk):
                            return _End(stopped=True)
                        held = 0
                    finally:
                        if held:
                            context.gate.release(held)
                    self._handed_over += 1
                    self._after = chunk.last_key
                    self._backoff.progress()
            finally:
                chunks.close()
                self._reader = None

    def _request(self) -> ReadRequest:
        task = self._task
        return ReadRequest(
            table=task.table,
            range=task.range,
            after=self._after,
            chunk_rows=task.chunk_rows,
            chunk_bytes=task.chunk_bytes,
            copy_format=task.write.copy_format,
            on_nul=task.on_nul,
        )


@dataclass(slots=True)
class _Sent:
    """A chunk on its way to the target; ``slot``: it holds one of the table's writing slots."""

    chunk: Chunk
    pending: Pending
    done: bool
    slot: bool = True


class _RangeMover:
    """The writing side of a range, and what happens when the ledger turns out to be elsewhere."""

    def __init__(self, task: RangeTask, context: WorkerContext) -> None:
        self._task = task
        self._context = context
        self._ledger = Ledger(task.ledger_schema, task.run_id)
        self._connect = partial(open_session, task.target)
        self._writer = ChunkWriter(context.target, self._connect, self._ledger, task.table, task.table_id, task.write)
        self._progress = task.start
        self._bytes = 0
        self._retries = 0
        self._backoff = Backoff(task.limits.retries, context.stop.wait)

    def outcome(self, status: RangeStatus, detail: str | None = None) -> RangeOutcome:
        """The result as of now."""
        return RangeOutcome(
            self._task.range.id,
            status,
            self._progress.rows,
            self._progress.skipped,
            self._bytes,
            self._retries + self._backoff.total,
            detail,
        )

    def run(self) -> RangeOutcome:
        """Write until the range is done, going back to the ledger's position whenever it moved."""
        rewinds = Backoff(self._task.limits.retries, self._context.stop.wait)
        while not self._progress.done:
            before = self._progress.next_seq
            try:
                end = self._stream()
            except LedgerMovedError as moved:
                if self._progress.next_seq > before:
                    rewinds.progress()
                lost = TransientError(f"table {self._task.display}: {moved}", side="target", table=self._task.display)
                rewinds.sleep(rewinds.next_delay(lost))
                restart = self._rewind(rewinds)
                if restart is not None:
                    return restart
                continue
            if end.error is not None:
                raise end.error
            if end.restart is not None:
                return self.outcome("restart", end.restart)
            if end.stopped:
                return self.outcome("stopped")
        return self.outcome("done")

    def _rewind(self, backoff: Backoff) -> RangeOutcome | None:
        """Ask the ledger where the range is; an outcome when the range cannot go on from there."""

        def ask() -> RangeProgress:
            with (
                self._context.target.use("load", self._connect) as session,
                translated(self._task.display, "reading the ledger"),
            ):
                return self._ledger.range_progress(session.connection, self._position())

        try:
            self._progress = backoff.call(ask, self._on_retry)
        except LedgerMovedError as moved:
            return self.outcome("restart", str(moved))
        if not self._task.resumable and self._progress.next_seq > 0:
            return self.outcome("restart", "chunks were lost with the target's connection")
        self._context.emit(
            Message(
                level="warn",
                table=self._task.display,
                text=f"range {self._task.range.id} goes back to its last committed chunk ({self._progress.rows} rows)",
            )
        )
        return None

    def _position(self) -> ChunkPosition:
        task = self._task
        return ChunkPosition(task.table_id, task.generation, task.range.id, self._progress.next_seq, task.unlogged)

    def _stream(self) -> _End:
        """Read ahead and write until the reader ends; leaves no thread and no held memory behind."""
        channel: Channel[_Item] = Channel(self._task.limits.read_ahead)
        producer = _Producer(self._task, self._context, channel, self._progress.last_key)
        producer.start()
        way: deque[_Sent] = deque()
        try:
            while True:
                item = channel.poll() if way else channel.get()
                if item is None and way:
                    self._settle(way)  # nothing to send meanwhile
                    continue
                if item is None:
                    return _End(stopped=True)
                if isinstance(item, _End):
                    while way:
                        self._settle(way)
                    if item.clean:
                        self._finish()
                    return item
                end = channel.take_if(_is_clean_end, self._patience(item))
                self._send_on(item, way, done=end is not None)
                if isinstance(end, _End):
                    while way:
                        self._settle(way)
                    if self._progress.done:
                        self._tell_finished()
                        return end
                if self._context.stop.is_set(self._task.table_id):
                    while way:
                        self._settle(way)
                    return _End(stopped=True)
        finally:
            for sent in way:
                self._writer.discard(sent.pending)
                self._forget(sent)
            for left in channel.close():
                if isinstance(left, Chunk):
                    self._context.gate.release(len(left.data))
            producer.abandon()
            self._retries += producer.retries

    def _patience(self, chunk: Chunk) -> float:
        """Seconds to wait for the range's end behind what looks like its last chunk: one commit for both."""
        full = chunk.rows >= self._task.chunk_rows or len(chunk.data) >= self._task.chunk_bytes
        return 0.0 if full else _END_IS_NEAR

    def _send_on(self, chunk: Chunk, way: deque[_Sent], *, done: bool) -> None:
        """Write a chunk: without waiting for the answer where that may be, and there is a connection to spare."""
        limit = self._task.limits.in_flight
        held = True
        try:
            if limit > 1:
                sent = self._begin(chunk, len(way), done=done)
                if sent is not None:
                    way.append(sent)
                    held = False
                    if len(way) >= limit:
                        self._settle(way)
                    return
                while way:
                    self._settle(way)
            if not self._context.stop.is_set(self._task.table_id):
                self._write(chunk, done=done)
        finally:
            if held:
                self._context.gate.release(len(chunk.data))

    def _begin(self, chunk: Chunk, ahead: int, *, done: bool) -> _Sent | None:
        """Send a chunk behind ``ahead`` others that are not answered yet; None when it cannot be."""
        writers = self._context.slots(self._task.table_id).writers
        if not writers.acquire(blocking=False):
            return None
        position = replace(self._position(), seq=self._progress.next_seq + ahead)
        pending = None
        try:
            pending = self._writer.begin(position, chunk, done=done, follows=ahead > 0)
        finally:
            if pending is None:
                writers.release()
        return None if pending is None else _Sent(chunk, pending, done)

    def _settle(self, way: deque[_Sent]) -> None:
        """Wait for the answer to the first chunk on its way. Where it fails, it and all behind it are written anew."""
        first = way[0]
        skipped = self._writer.finish(first.pending)
        if skipped is not None:
            way.popleft()
            self._forget(first)
            self._backoff.progress()
            self._note(first.chunk, skipped, done=first.done)
            return
        for sent in way:
            self._writer.discard(sent.pending)
            self._free_slot(sent)
        while way:
            self._write(way[0].chunk, done=way[0].done, uncertain=True)
            self._forget(way.popleft())

    def _free_slot(self, sent: _Sent) -> None:
        if sent.slot:
            sent.slot = False
            self._context.slots(self._task.table_id).writers.release()

    def _forget(self, sent: _Sent) -> None:
        """Give back what a chunk on its way has held."""
        self._free_slot(sent)
        self._context.gate.release(len(sent.chunk.data))

    def _finish(self) -> None:
        """Mark the range as done: an empty chunk, so that the mark is part of the chain."""
        self._write(Chunk(b"", 0, self._progress.last_key), done=True)
        self._tell_finished()

    def _tell_finished(self) -> None:
        """The range is done, and the ledger says so."""
        progress = self._progress
        self._context.emit(
            RangeFinished(
                table=self._task.display, range_id=self._task.range.id, rows=progress.rows, skipped=progress.skipped
            )
        )

    def _write(self, chunk: Chunk, *, done: bool, uncertain: bool = False) -> None:
        with self._context.slots(self._task.table_id).writers:
            skipped = self._writer.write(
                self._position(),
                chunk,
                done=done,
                backoff=self._backoff,
                on_retry=self._on_retry,
                uncertain=uncertain,
            )
        self._note(chunk, skipped, done=done)

    def _note(self, chunk: Chunk, skipped: int, *, done: bool) -> None:
        """A chunk is committed."""
        before = self._progress
        self._progress = RangeProgress(
            before.next_seq + 1, chunk.last_key, before.rows + chunk.rows, before.skipped + skipped, done
        )
        self._bytes += len(chunk.data)
        if chunk.rows or not done:
            self._context.emit(
                ChunkCommitted(
                    table=self._task.display,
                    range_id=self._task.range.id,
                    rows=chunk.rows,
                    bytes=len(chunk.data),
                    skipped=skipped,
                    range_rows=self._progress.rows,
                    range_skipped=self._progress.skipped,
                    last_key=chunk.last_key,
                )
            )

    def _on_retry(self, error: MigrationError, delay: float) -> None:
        self._context.emit(
            Retry(table=self._task.display, reason=error.message, attempt=self._backoff.failures, delay=delay)
        )
