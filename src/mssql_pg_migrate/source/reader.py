"""The one interface of both readers: a key range of a table in, chunks of COPY bytes out."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Literal, Protocol

from ..mapping.objects import MappedTable
from ..model import KeyRange, KeyValue


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """What to read: plain data, picklable.

    ``after`` is where to go on (exclusive), None for the range's own start. A chunk ends at ``chunk_rows`` rows or once
    it holds ``chunk_bytes`` bytes of COPY data, whichever comes first; one row larger than that still passes alone.
    """

    table: MappedTable
    range: KeyRange
    after: KeyValue | None = None
    chunk_rows: int = 50_000
    chunk_bytes: int = 16 * 1024 * 1024
    copy_format: Literal["binary", "text"] = "binary"
    on_nul: Literal["error", "strip"] = "error"
    limit: int | None = None
    """At most that many rows (the proof of the wire reader reads a few)."""


@dataclass(slots=True)
class Chunk:
    """Rows ready for COPY.

    ``data`` holds whole tuples only: for ``binary`` without the file header and trailer, for ``text`` complete lines.
    ``last_key`` is the key of the last row, None when the table has no range key.
    """

    data: bytes | bytearray | memoryview
    rows: int
    last_key: KeyValue | None


class Reader(Protocol):
    """Reads ranges over one source connection; used by one thread at a time, except ``cancel``."""

    name: str
    """``driver`` or ``wire``."""

    @property
    def usable(self) -> bool:
        """Whether the connection may serve another request."""
        ...

    def chunks(self, request: ReadRequest) -> Generator[Chunk, None, None]:
        """Stream the rows of ``request`` in key order.

        Closing the generator early ends the query. Raises TransientError (the same request may be made again),
        DataError (a value PostgreSQL cannot hold), TransferError, ConnectionFailed.
        """
        ...

    def cancel(self) -> None:
        """End a running ``chunks`` soon, from another thread: it raises TransientError or stops."""
        ...

    def close(self) -> None:
        """Close the connection; idempotent."""
        ...
