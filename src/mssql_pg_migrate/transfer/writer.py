"""Writing chunks: rows and ledger row in one transaction, again after a failure, never twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..errors import MigrationError, TransferError, TransientError
from ..mapping.objects import MappedTable
from ..source.reader import Chunk
from ..target.classify import translate
from ..target.copy import copy_statement, copy_tuples
from ..target.ddl import relation
from ..target.ledger import ChunkPosition, Ledger
from ..target.session import LoadSession
from ..target.upsert import MergeStatements, NewRows, merge_staged, merge_statements

if TYPE_CHECKING:
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

        connection = session.connection
        doing = f"{'merging' if self._merge else 'copying'} chunk {position.seq} of range {position.range_id}"
        try:
            if uncertain:
                committed = self._ledger.committed_chunk(
                    connection, position, last_key=chunk.last_key, rows=chunk.rows, done=done
                )
                if committed is not None:
                    return committed
            session.prepare(lz4=self._options.lz4, merge=self._merge)
            with connection.transaction():
                self._ledger.fence(connection, position)
                skipped = self._put_rows(session, chunk) if chunk.rows else 0
                self._ledger.add_chunk(
                    connection, position, last_key=chunk.last_key, rows=chunk.rows, skipped=skipped, done=done
                )
            return skipped
        except psycopg.errors.UniqueViolation as error:
            if (error.diag.table_name or "").startswith("_mpm_chunk"):
                # A session believed dead has committed this chunk: the next attempt finds it in the ledger.
                raise TransientError(
                    f"table {self._table.full_name}: {doing}: another session was faster",
                    side="target",
                    code=error.sqlstate,
                    table=self._table.full_name,
                ) from error
            raise translate(error, table=self._table.full_name, doing=doing) from error
        except psycopg.Error as error:
            raise translate(error, table=self._table.full_name, doing=doing) from error

    def _put_rows(self, session: LoadSession, chunk: Chunk) -> int:
        """Copy or merge the chunk; returns how many of its rows were there unchanged."""
        if self._merge is None:
            self._copy_in(session, self._copy, chunk)
            return 0
        if self._new_rows.guess(session.connection, self._table) and self._copied_as_new(session, chunk):
            return 0
        self._copy_in(session, self._stage, chunk)
        merged = merge_staged(session.connection, self._merge, chunk.rows, self._options.upsert_batch_rows)
        self._new_rows.merged(merged, chunk.rows)
        return chunk.rows - merged.inserted - merged.updated

    def _copied_as_new(self, session: LoadSession, chunk: Chunk) -> bool:
        """COPY straight into the target; False, with nothing changed, when a row of the chunk is there already."""
        import psycopg

        try:
            with session.connection.transaction():
                self._copy_in(session, self._copy, chunk)
        except psycopg.errors.UniqueViolation:
            self._new_rows.wrong()
            return False
        return True

    def _copy_in(self, session: LoadSession, statement: str, chunk: Chunk) -> None:
        copied = copy_tuples(session.connection, statement, chunk.data, self._options.copy_format)
        if copied != chunk.rows:
            raise TransferError(
                f"table {self._table.full_name}: the server kept {copied} of {chunk.rows} rows of a chunk",
                table=self._table.full_name,
                hint="a trigger or rule on the target table discards rows; disable it for the migration",
            )
