"""SQL Server's side of a comparison: counts, and digests of tables read in key ranges by the product's own readers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

from ..errors import TransferError
from ..mapping.objects import MappedTable
from ..model import KeyRange
from ..source.reader import Reader, ReadRequest
from ..source.sqlserver.connect import SourceSettings
from ..source.sqlserver.driver import DriverReader
from ..source.sqlserver.tsql import qualified_name
from ..transfer.context import SourceControl, open_reader
from ..transfer.pool import Pool
from ..transfer.tasks import ReaderKind
from .columns import Comparison
from .digest import Digest, malformed

PROOF_ROWS = 200
"""Rows read both ways before the wire reader is trusted with a table."""


class SourceSide:
    """Questions to the source, over at most ``connections`` connections.

    ``reader`` is ``auto``, ``wire`` or ``driver``, as for a run.
    """

    def __init__(
        self,
        settings: SourceSettings,
        connections: int,
        *,
        reader: str,
        on_nul: Literal["error", "strip"],
        chunk_rows: int,
        chunk_bytes: int,
    ) -> None:
        self._settings = settings
        self._reader = reader
        self._on_nul = on_nul
        self._chunk_rows = chunk_rows
        self._chunk_bytes = chunk_bytes
        self._pool: Pool[Reader | SourceControl] = Pool(max(1, connections), usable=lambda reader: reader.usable)

    def count(self, table: MappedTable) -> int:
        """The exact number of rows. Raises TransferError, TransientError, ConnectionFailed."""
        source = table.source
        with self._pool.use("driver", partial(open_reader, "driver", self._settings)) as reader:
            assert isinstance(reader, DriverReader)
            sql = f"SELECT COUNT_BIG(*) AS row_count FROM {qualified_name(source.schema, source.name)}"
            try:
                return reader.count(sql, source.full_name)
            finally:
                reader.close_cursor()

    def ranges(self, table: MappedTable, wanted: int) -> list[KeyRange]:
        """About ``wanted`` key ranges of equal size; one where the table has no usable key."""
        rows = table.source.row_estimate
        if wanted < 2 or table.range_key is None:
            return [KeyRange(0, row_estimate=rows)]
        from ..source.sqlserver.ranges import plan_ranges

        with self._pool.use("control", partial(SourceControl.open, self._settings)) as control:
            assert isinstance(control, SourceControl)
            return plan_ranges(control, table, max_ranges=wanted, min_rows=1, row_estimate=rows)

    def choose_reader(self, table: MappedTable) -> tuple[ReaderKind, str | None]:
        """The reader that can read the table, and why it is not the wire reader where that was possible."""
        if self._reader == "driver" or (self._reader == "auto" and table.source.row_estimate <= PROOF_ROWS):
            return "driver", None  # so few rows would be read for the proof alone
        from ..source.sqlserver.proof import prove

        def use(kind: ReaderKind) -> object:
            return self._pool.use(kind, partial(open_reader, kind, self._settings))

        reason = prove(
            table,
            use,  # type: ignore[arg-type]
            rows=PROOF_ROWS,
            on_nul=self._on_nul,
            compare=self._reader == "auto",
        )
        return ("wire", None) if reason is None else ("driver", reason)

    def digest(
        self,
        table: MappedTable,
        comparison: Comparison,
        part: KeyRange,
        reader: ReaderKind,
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
        with self._pool.use(reader, partial(open_reader, reader, self._settings)) as connection:
            assert not isinstance(connection, SourceControl)
            chunks = connection.chunks(request)
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
        self._pool.close(abort=lambda reader: reader.cancel())

    def close(self) -> None:
        """Close all connections; idempotent."""
        self._pool.close()
