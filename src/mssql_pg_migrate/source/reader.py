"""The one interface of all readers: a range of a table in, chunks of COPY bytes out."""

from __future__ import annotations

import struct
from collections.abc import Generator
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from ..errors import TransferError
from ..mapping.objects import MappedTable
from ..model import KeyRange, KeyValue

CopyFormat: TypeAlias = Literal["binary", "text"]
OnNul: TypeAlias = Literal["error", "strip"]
"""What becomes of U+0000 in a text, which PostgreSQL cannot hold."""


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
    copy_format: CopyFormat = "binary"
    on_nul: OnNul = "error"
    limit: int | None = None
    """At most that many rows (a proof or a sample reads a few)."""
    relation: str | None = None
    """What to read instead of the table, in the source's own language: something with the table's columns."""


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """How chunks are cut, and what becomes of U+0000: what is the same for all tables of a session."""

    chunk_rows: int = 50_000
    chunk_bytes: int = 16 * 1024 * 1024
    on_nul: OnNul = "error"


@dataclass(slots=True)
class Chunk:
    """Rows ready for COPY.

    ``data`` holds whole tuples only: for ``binary`` without the file header and trailer, for ``text`` complete lines.
    ``last_key`` is where to go on after the last row, None when the table cannot be read on from there.
    """

    data: bytes | bytearray | memoryview
    rows: int
    last_key: KeyValue | None


def tuples(data: bytes) -> list[tuple[bytes | None, ...]]:
    """The fields of whole binary COPY tuples, None for NULL (PostgreSQL's page "COPY", section "Binary Format")."""
    rows: list[tuple[bytes | None, ...]] = []
    at = 0
    while at < len(data):
        (count,) = struct.unpack_from(">h", data, at)
        at += 2
        fields: list[bytes | None] = []
        for _ in range(count):
            (length,) = struct.unpack_from(">i", data, at)
            at += 4
            fields.append(None if length < 0 else data[at : at + length])
            at += max(length, 0)
        rows.append(tuple(fields))
    return rows


class ReaderUnsupported(TransferError):
    """This reader cannot carry the table, another one of its source can.

    The message is a reason for a log line. It may come between two chunks: what was yielded is good, and the other
    reader may go on after it.
    """


class Reader(Protocol):
    """Reads ranges of one source; used by one thread at a time, except ``cancel``."""

    name: str
    """One of the names its source chooses readers by."""

    @property
    def usable(self) -> bool:
        """Whether it may serve another request."""
        ...

    def chunks(self, request: ReadRequest) -> Generator[Chunk, None, None]:
        """Stream the rows of ``request`` in the order of its positions.

        Closing the generator early ends the query. Raises TransientError (the same request may be made again),
        ReaderUnsupported, DataError (a value PostgreSQL cannot hold), TransferError, ConnectionFailed.
        """
        ...

    def cancel(self) -> None:
        """End a running ``chunks`` soon, from another thread: it raises TransientError or stops."""
        ...

    def close(self) -> None:
        """Close the connection; idempotent."""
        ...
