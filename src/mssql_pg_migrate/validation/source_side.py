"""The source's side of a comparison: counts, and digests of tables read in ranges by the readers a run uses."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

from ..errors import TransferError
from ..mapping.objects import MappedTable
from ..model import KeyRange
from ..source.reader import OnNul, Reader, ReadRequest
from ..source.source import ChosenReader, Source, SourceSession
from ..transfer.pool import Pool
from .columns import Comparison
from .digest import Digest, malformed


class SourceSide:
    """Questions to the source, over at most ``connections`` connections."""

    def __init__(self, source: Source, connections: int, *, on_nul: OnNul, chunk_rows: int, chunk_bytes: int) -> None:
        self._source = source
        self._on_nul: OnNul = on_nul
        self._chunk_rows = chunk_rows
        self._chunk_bytes = chunk_bytes
        self._pool: Pool[Reader | SourceSession] = Pool(max(1, connections), usable=lambda opened: opened.usable)

    def count(self, table: MappedTable) -> int:
        """The exact number of rows. Raises TransferError, TransientError, ConnectionFailed."""
        with self._pool.use("session", self._source.connect) as session:
            return session.count(table)

    def ranges(self, table: MappedTable, wanted: int) -> list[KeyRange]:
        """About ``wanted`` key ranges of equal size; one where the table has no usable key."""
        if wanted < 2:
            return [KeyRange(0, row_estimate=table.source.row_estimate)]
        with self._pool.use("session", self._source.connect) as session:
            return session.plan_ranges(table, max_ranges=wanted, min_rows=1)

    def choose_reader(self, table: MappedTable, name: str) -> ChosenReader:
        """The reader for a table that messages call ``name``."""
        return self._source.choose_reader(
            table, name, self._reader, copy_format="binary", on_nul=self._on_nul, purpose="comparison"
        )

    def _reader(self, name: str) -> AbstractContextManager[Reader]:
        return self._pool.use(name, partial(self._source.open_reader, name))

    def digest(
        self,
        table: MappedTable,
        comparison: Comparison,
        part: KeyRange,
        reader: str,
        digest: Digest,
        after_step: Callable[[], None],
    ) -> None:
        """Read the rows of one range into ``digest``; ``after_step`` is called after each chunk and may raise.

        Raises TransferError, DataError, TransientError, ConnectionFailed, and what ``after_step`` raises.
        """
        request = ReadRequest(
            table=table,
            range=part,
            chunk_rows=self._chunk_rows,
            chunk_bytes=self._chunk_bytes,
            on_nul=self._on_nul,
        )
        name = table.source.full_name
        with self._reader(reader) as opened:
            chunks = opened.chunks(request)
            try:
                for chunk in chunks:
                    try:
                        used, _ = digest.update(chunk.data)
                    except ValueError as error:
                        raise malformed(error, name, comparison.names, "source") from error
                    if used != len(chunk.data):
                        raise TransferError(f"table {name}: the source's reader sent half a row", table=name)
                    after_step()
            finally:
                chunks.close()

    def abort(self) -> None:
        """Stop at once: end what the connections in use are doing."""
        self._pool.close(abort=lambda opened: opened.cancel())

    def close(self) -> None:
        """Close all connections; idempotent."""
        self._pool.close()
