"""Writing chunks: rows and ledger row in one transaction, again after a failure, never twice.

A chunk is one message: the transaction's beginning, the ledger's fence, COPY, merges, the ledger row, COMMIT. It costs
two waits for the server: for COPY's go-ahead and for the answers to all of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..errors import DataError, MigrationError, TransferError, TransientError
from ..mapping.objects import MappedTable
from ..source.reader import Chunk
from ..target.classify import is_of_one_row, translate
from ..target.copy import copy_pieces, copy_statement
from ..target.ddl import quote_literal, relation
from ..target.exchange import Reply, Sent, StatementError, exchange, send
from ..target.ledger import MOVED, ChunkPosition, Ledger, LedgerMovedError, refused_chunk
from ..target.locate import refused_row
from ..target.session import LoadSession
from ..target.upsert import TOUCHED_NONE, MergeStatements, NewRows, merge_statements, merged, touched_so_far

if TYPE_CHECKING:
    import psycopg

    from .pool import Lease, Pool
    from .retry import Backoff


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How rows reach the table; picklable."""

    upsert: bool = False
    partitioned: bool = False
    """Whether the target is a partitioned table."""
    copy_format: Literal["binary", "text"] = "binary"
    upsert_batch_rows: int = 2000
    lz4: bool = False
    """Set ``default_toast_compression = lz4``: new tables' TOAST values are compressed with it."""


class ChunkWriter:
    """Writes the chunks of one range, in order, through pooled sessions."""

    def __init__(
        self,
        pool: Pool[LoadSession],
        connect: Callable[[], LoadSession],
        ledger: Ledger,
        table: MappedTable,
        table_id: int,
        options: WriteOptions,
    ) -> None:
        self._pool = pool
        self._connect = connect
        self._ledger = ledger
        self._table = table
        self._options = options
        columns = tuple(column.name for column in table.copied_columns)
        into = relation(table)
        self._copy = copy_statement(into, columns, options.copy_format)
        self._may_discard = _discarding_triggers(table, partitioned=options.partitioned)
        self._discards = False
        """A trigger was found that may discard rows: they are counted before the transaction is committed."""
        self._fence_position = 0
        self._merge: MergeStatements | None = None
        if options.upsert:
            self._merge = merge_statements(table, table_id, partitioned=options.partitioned)
            self._stage = copy_statement(f"pg_temp.{self._merge.stage_name}", columns, options.copy_format)
            self._new_rows = NewRows()

    def write(
        self,
        position: ChunkPosition,
        chunk: Chunk,
        *,
        done: bool,
        backoff: Backoff,
        on_retry: Callable[[MigrationError, float], None],
        uncertain: bool = False,
    ) -> int:
        """Commit one chunk with its ledger row; returns how many of its rows were already there unchanged.

        Transient failures are repeated as ``backoff`` allows. A connection that died during COMMIT is answered by
        the ledger; so is, with ``uncertain``, what became of a chunk that `begin` had sent.

        Raises LedgerMovedError, TransferError, DataError, ConnectionFailed, Cancelled.
        """

        def attempt() -> int:
            nonlocal uncertain
            asked, uncertain = uncertain, True
            with self._pool.use("load", self._connect) as session:
                return self._attempt(session, position, chunk, done=done, uncertain=asked)

        skipped = backoff.call(attempt, on_retry)
        backoff.progress()
        return skipped

    # -- chunks on their way -------------------------------------------------------------------------------------------

    def begin(self, position: ChunkPosition, chunk: Chunk, *, done: bool, follows: bool) -> Pending | None:
        """Send a chunk without waiting for its answer, for `finish`; None when it has to be written by `write`.

        ``follows``: the chunk before may be on its way too. The server keeps their order: each holds a lock named by
        its number from before its COPY on, and waits, before its ledger row, for the lock of the one before. A chunk is
        sent only when that one's COPY has begun, so when its lock is held. Raises PoolClosedError.
        """
        if self._discards:
            return None
        lease = self._pool.spare("load", self._connect)
        if lease is None:
            return None
        pending = Pending(lease, chunk)
        session = lease.connection
        entry = _Entry(position, chunk, done)
        try:
            rows, end, pending.batches = self._way(session, entry)
            turn = [f"SELECT pg_advisory_xact_lock({self._lock(position, position.seq)})"]
            order = (
                [f"SELECT pg_advisory_xact_lock_shared({self._lock(position, position.seq - 1)})"] if follows else []
            )
            due = session.preparation(lz4=self._options.lz4, merge=self._merge)
            statements = [*due, "BEGIN", self._ledger.fence(position), *turn, *rows, *order, *end]
            data = copy_pieces(chunk.data, self._options.copy_format) if chunk.rows else None
            pending.sent = send(session.connection, statements, data)
        except BaseException as error:
            lease.release(keep=False)
            pending.released = True
            if not _of_the_server(error):
                raise
        return pending

    def finish(self, pending: Pending) -> int | None:
        """The answer to `begin`: how many rows were there unchanged; None when the chunk's fate is not known."""
        if pending.released or pending.sent is None:
            return None
        session = pending.lease.connection
        try:
            replies = pending.sent.finish()
        except BaseException as error:
            self.discard(pending)
            if not _of_the_server(error):
                raise
            if isinstance(error, StatementError):
                self._learn(error)
            return None
        session.prepared(self._merge)
        pending.released = True
        pending.lease.release(keep=True)
        if not pending.batches:
            return 0
        return self._unchanged(replies, pending.batches, pending.chunk.rows)

    def discard(self, pending: Pending) -> None:
        """Give up a chunk on its way: its session is closed, the ledger knows whether it arrived."""
        if not pending.released:
            pending.released = True
            pending.lease.release(keep=False)

    def _learn(self, failed: StatementError) -> None:
        if refused_chunk(failed.error) == "condition":
            self._discards = True
        elif self._merge is not None and self._is_there(failed):
            self._new_rows.wrong()

    def _lock(self, position: ChunkPosition, seq: int) -> int:
        """The advisory lock of a chunk."""
        name = f"{self._ledger.run_id}/{position.table_id}/{position.generation}/{position.range_id}/{seq}"
        return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)

    def _attempt(
        self, session: LoadSession, position: ChunkPosition, chunk: Chunk, *, done: bool, uncertain: bool
    ) -> int:
        import psycopg

        doing = f"{'merging' if self._merge else 'copying'} chunk {position.seq} of range {position.range_id}"
        entry = _Entry(position, chunk, done)
        try:
            if uncertain:
                committed = self._ledger.committed_chunk(
                    session.connection, position, last_key=chunk.last_key, rows=chunk.rows, done=done
                )
                if committed is not None:
                    return committed
            return self._put(session, entry)
        except StatementError as failed:
            raise self._located(session, chunk, self._meaning(failed, doing), failed.error) from failed.error
        except psycopg.Error as error:
            raise translate(error, table=self._table.full_name, doing=doing) from error

    def _located(self, session: LoadSession, chunk: Chunk, meaning: Exception, error: psycopg.Error) -> Exception:
        """A refused row is named by its key."""
        if not isinstance(meaning, DataError) or not is_of_one_row(error) or session.connection.closed:
            return meaning
        session.connection.execute("ROLLBACK")
        key = refused_row(session.connection, self._table, chunk.data, self._options.copy_format, error.sqlstate or "")
        if key is None:
            return meaning
        return DataError(
            f"{meaning.message} (the row with {key})",
            table=self._table.full_name,
            column=meaning.column,
            key=key,
            hint=meaning.hint,
        )

    def _meaning(self, failed: StatementError, doing: str) -> Exception:
        """What a failed statement says of the chunk."""
        if failed.position == self._fence_position and failed.error.sqlstate == MOVED:
            return LedgerMovedError("the table began anew in another attempt")
        refused = refused_chunk(failed.error)
        if refused == "unchained":
            return LedgerMovedError("the chunk before this one is missing from the ledger")
        if refused == "doubled":
            # A session believed dead has committed this chunk: the next attempt finds it in the ledger.
            return TransientError(
                f"table {self._table.full_name}: {doing}: another session was faster",
                side="target",
                code=failed.error.sqlstate,
                table=self._table.full_name,
            )
        return translate(failed.error, table=self._table.full_name, doing=doing)

    # -- the ways of a chunk, each one transaction ----------------------------------------------------------------

    def _put(self, session: LoadSession, entry: _Entry) -> int:
        """Copy or merge the chunk; returns how many of its rows were there unchanged."""
        if entry.chunk.rows and self._merge is None:
            self._copied(session, entry)
            return 0
        if entry.chunk.rows and self._guess(session) and self._copied_as_new(session, entry):
            return 0
        rows, end, batches = self._way(session, entry)
        replies = self._exchange(session, rows, end, entry)
        return self._unchanged(replies, batches, entry.chunk.rows) if batches else 0

    def _way(self, session: LoadSession, entry: _Entry) -> tuple[list[str], list[str], int]:
        """The statements that bring the rows in, the end of the transaction, and how many of the former are merges."""
        rows = entry.chunk.rows
        if not rows:
            return [], self._entered(entry), 0
        if self._merge is None or self._guess(session):
            return [self._copy], self._entered(entry, unless=self._may_discard), 0
        batches = self._merge.batches(rows, self._options.upsert_batch_rows)
        end = self._entered(entry, skipped=f"{rows} - {touched_so_far()}")
        return [TOUCHED_NONE, self._stage, *batches], end, len(batches)

    def _guess(self, session: LoadSession) -> bool:
        return self._new_rows.guess(session.connection, self._table)

    def _unchanged(self, replies: list[Reply], batches: int, rows: int) -> int:
        """Rows that the merges, whose replies have three values, left as they were."""
        merges = [reply for reply in replies if len(reply.first) == 3]
        assert len(merges) == batches
        done = merged(merges)
        self._new_rows.merged(done, rows)
        return rows - done.inserted - done.updated

    @staticmethod
    def _is_there(failed: StatementError) -> bool:
        """A row of the chunk is in the target already."""
        return failed.error.sqlstate == _UNIQUE_VIOLATION and refused_chunk(failed.error) is None

    def _copied_as_new(self, session: LoadSession, entry: _Entry) -> bool:
        """COPY straight into the target; False, with nothing changed, when a row of the chunk is there already."""
        try:
            self._copied(session, entry)
        except StatementError as failed:
            if not self._is_there(failed):
                raise
            session.connection.execute("ROLLBACK")
            self._new_rows.wrong()
            return False
        return True

    def _copied(self, session: LoadSession, entry: _Entry) -> None:
        """COPY straight into the target, and see that every row stayed."""
        if not self._discards:
            try:
                self._exchange(session, [self._copy], self._entered(entry, unless=self._may_discard), entry)
                return
            except StatementError as failed:
                if refused_chunk(failed.error) != "condition":
                    raise
            session.connection.execute("ROLLBACK")
            self._discards = True
        # A trigger may drop rows: the server's count is looked at before anything is committed.
        (*_, copied) = self._exchange(session, [self._copy], [], entry)
        if copied.rows != entry.chunk.rows:
            raise TransferError(
                f"table {self._table.full_name}: the server kept {copied.rows} of {entry.chunk.rows} rows of a chunk",
                table=self._table.full_name,
                hint="a trigger or rule on the target table discards rows; disable it for the migration",
            )
        exchange(session.connection, self._entered(entry))

    def _entered(self, entry: _Entry, *, skipped: str = "0", unless: str = "false") -> list[str]:
        """The end of the chunk's transaction."""
        chunk = entry.chunk
        row = self._ledger.add_chunk(
            entry.position, last_key=chunk.last_key, rows=chunk.rows, done=entry.done, skipped=skipped, unless=unless
        )
        return [row, "COMMIT"]

    def _exchange(self, session: LoadSession, rows: list[str], end: list[str], entry: _Entry) -> list[Reply]:
        """One message: what the session lacks, the beginning of the transaction, ``rows``, ``end``."""
        due = session.preparation(lz4=self._options.lz4, merge=self._merge)
        self._fence_position = len(due) + 1
        statements = [*due, "BEGIN", self._ledger.fence(entry.position), *rows, *end]
        replies = exchange(session.connection, statements, copy_pieces(entry.chunk.data, self._options.copy_format))
        session.prepared(self._merge)
        return replies


@dataclass(slots=True)
class Pending:
    """A chunk on its way, and the session it takes."""

    lease: Lease[LoadSession]
    chunk: Chunk
    sent: Sent | None = None
    batches: int = 0
    released: bool = False


def _of_the_server(error: BaseException) -> bool:
    """Whether the server refused a statement, or was lost."""
    import psycopg

    return isinstance(error, (StatementError, psycopg.Error))


@dataclass(frozen=True, slots=True)
class _Entry:
    """A chunk and its place in the ledger."""

    position: ChunkPosition
    chunk: Chunk
    done: bool


_UNIQUE_VIOLATION = "23505"


def _discarding_triggers(table: MappedTable, *, partitioned: bool) -> str:
    """A condition: a trigger of the table fires before rows are inserted, and so can discard them.

    pg_trigger.tgtype has bits for row (1), before (2) and insert (4). COPY holds a lock that keeps others from being
    created until the transaction's end.
    """
    name = f"{quote_literal(relation(table))}::regclass"
    members = f"tgrelid = {name}"
    if partitioned:
        members += f" OR tgrelid IN (SELECT relid FROM pg_partition_tree({name}))"
    return f"EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tgtype & 7 = 7 AND tgenabled <> 'D' AND ({members}))"
