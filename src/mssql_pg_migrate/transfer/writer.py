"""Writing chunks: rows and ledger row in one transaction, again after a failure, never twice.

A chunk is one message: the transaction's beginning, the ledger's fence, COPY, merges, the ledger row, COMMIT. It costs
two waits for the server: for COPY's go-ahead and for the answers to all of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..errors import DataError, MigrationError, TransferError, TransientError
from ..mapping.objects import MappedTable
from ..source.reader import Chunk
from ..target.classify import is_of_one_row, translate
from ..target.copy import copy_pieces, copy_statement
from ..target.ddl import quote_literal, relation
from ..target.exchange import Reply, StatementError, exchange
from ..target.ledger import ChunkPosition, Ledger, LedgerMovedError, refused_chunk
from ..target.locate import refused_row
from ..target.session import LoadSession
from ..target.upsert import TOUCHED_NONE, MergeStatements, NewRows, merge_statements, merged, touched_so_far

if TYPE_CHECKING:
    import psycopg

    from .pool import Pool
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
    ) -> int:
        """Commit one chunk with its ledger row; returns how many of its rows were already there unchanged.

        Transient failures are repeated as ``backoff`` allows. A connection that died during COMMIT is answered by
        the ledger. Raises LedgerMovedError, TransferError, DataError, ConnectionFailed, Cancelled.
        """
        first = True

        def attempt() -> int:
            nonlocal first
            uncertain, first = not first, False
            with self._pool.use("load", self._connect) as session:
                return self._attempt(session, position, chunk, done=done, uncertain=uncertain)

        skipped = backoff.call(attempt, on_retry)
        backoff.progress()
        return skipped

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
        if failed.position == self._fence_position and failed.error.sqlstate == _DIVISION_BY_ZERO:
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
        rows = entry.chunk.rows
        if not rows:
            self._exchange(session, [], self._entered(entry), entry)
            return 0
        if self._merge is None:
            self._copied(session, entry)
            return 0
        if self._new_rows.guess(session.connection, self._table) and self._copied_as_new(session, entry):
            return 0
        batches = self._merge.batches(rows, self._options.upsert_batch_rows)
        skipped = f"{rows} - {touched_so_far()}"
        replies = self._exchange(
            session, [TOUCHED_NONE, self._stage, *batches], self._entered(entry, skipped=skipped), entry
        )
        done = merged(replies[-len(batches) - 2 : -2])
        self._new_rows.merged(done, rows)
        return rows - done.inserted - done.updated

    def _copied_as_new(self, session: LoadSession, entry: _Entry) -> bool:
        """COPY straight into the target; False, with nothing changed, when a row of the chunk is there already."""
        try:
            self._copied(session, entry)
        except StatementError as failed:
            if failed.error.sqlstate != _UNIQUE_VIOLATION or refused_chunk(failed.error):
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


@dataclass(frozen=True, slots=True)
class _Entry:
    """A chunk and its place in the ledger."""

    position: ChunkPosition
    chunk: Chunk
    done: bool


_DIVISION_BY_ZERO = "22012"
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
