"""The wire reader is trusted with a table only after it has given the same bytes as Microsoft's driver.

The first rows of the table, in key order, are read both ways. What must be equal is what PostgreSQL would be sent: the
COPY tuples, and the key that a resume would start from.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Literal

from ...errors import ConnectionFailed, DataError, MigrationError, TransferError, TransientError
from ...mapping.objects import MappedTable
from ...model import KeyRange, KeyValue
from ..reader import OnNul, ReadRequest, tuples
from ..source import UseReader
from . import wire
from .wire_connect import WireUnsupported

_ENOUGH = 4 << 20
"""Bytes of COPY data that are proof enough: two hundred rows of (max) values would be too many for memory."""
_ATTEMPTS = 2
"""A row that changes between the two reads looks like a difference; the next attempt does not show it."""


@dataclass(frozen=True, slots=True)
class _Rows:
    """What one reader made of the rows, or the data error it ended with."""

    data: bytes = b""
    rows: int = 0
    last_key: KeyValue | None = None
    error: DataError | None = None


def prove(
    table: MappedTable,
    use: UseReader,
    *,
    rows: int = 200,
    on_nul: OnNul = "error",
    compare: bool = True,
) -> str | None:
    """Whether the wire reader can carry a table: None when it can, else the reason in words.

    Without ``compare`` the driver is not asked: the wire reader only has to be able to read the rows. A data error that
    both readers report (a value PostgreSQL cannot hold) is not held against the wire reader.

    Raises:
        TransientError, ConnectionFailed: the source could not be read; with ``compare`` only when the driver could not
            either.
    """
    reason = wire.unavailable()
    if reason is not None:
        return reason
    request = ReadRequest(table=table, range=KeyRange(id=0), chunk_bytes=_ENOUGH, on_nul=on_nul, limit=rows)
    reason = None
    if compare and table.source.row_estimate == 0 and _seen_empty(use, request):
        return None
    for _ in range(_ATTEMPTS):
        expected = _read(use, "driver", request) if compare else None
        seen = expected.rows if expected is not None and expected.rows else rows
        try:
            found = _read(use, "wire", replace(request, limit=seen), whole=compare)
        except WireUnsupported as error:
            return error.message
        except (ConnectionFailed, TransientError) as error:
            if not compare or isinstance(error, TransientError):
                raise
            return f"the wire reader has no connection: {error.message}"
        except TransferError as error:
            return error.message
        reason = _difference(table, expected, found) if expected is not None else None
        if reason is None:
            return None
    return reason


def _seen_empty(use: UseReader, request: ReadRequest) -> bool:
    """Whether the wire reader too, and not only the catalog, says that there is no row: nothing could be compared."""
    try:
        found = _read(use, "wire", request)
    except MigrationError:  # whatever it is, the comparison will name it
        return False
    return not found.rows and found.error is None


def _read(use: UseReader, kind: Literal["driver", "wire"], request: ReadRequest, *, whole: bool = False) -> _Rows:
    """The rows of a request; unless ``whole``, no more once they are enough bytes."""
    with use(kind) as reader:
        data = bytearray()
        rows = 0
        last_key = None
        chunks = reader.chunks(request)
        try:
            for chunk in chunks:
                data += chunk.data
                rows += chunk.rows
                last_key = chunk.last_key
                if len(data) >= _ENOUGH and not whole:
                    break
        except DataError as error:
            return _Rows(error=error)
        finally:
            chunks.close()
        return _Rows(bytes(data), rows, last_key)


def _difference(table: MappedTable, driver: _Rows, found: _Rows) -> str | None:
    """In which field the two differ, in words; None when they are equal."""
    if driver.error is not None or found.error is not None:
        return _error_difference(driver.error, found.error)
    if driver.data == found.data:
        if driver.last_key != found.last_key:
            return f"the two readers see different keys: driver {driver.last_key}, wire {found.last_key}"
        return None
    columns = table.copied_columns
    vectors = frozenset(position for position, column in enumerate(columns) if column.encoding == "vector")
    expected, actual = _comparable(driver.data, vectors), _comparable(found.data, vectors)
    if expected == actual and driver.last_key == found.last_key:
        return None
    if table.range_key is None and sorted(expected, key=_order) == sorted(actual, key=_order):
        return None  # nothing orders the rows of a table without a key
    for number, (left, right) in enumerate(zip(expected, actual, strict=False), 1):
        for column, one, other in zip(columns, left, right, strict=False):
            if one != other:
                kind = f"{column.source.name} ({column.source.type})"
                return f"the two readers differ in column {kind} of row {number}: {_shown(one)} and {_shown(other)}"
    return f"the two readers see {len(expected)} and {len(actual)} rows"


def _error_difference(driver: DataError | None, found: DataError | None) -> str | None:
    if driver is not None and found is not None:
        return None
    if driver is None:
        return f"the wire reader refuses a value that the driver takes: {found}"
    return f"the driver refuses a value that the wire reader takes: {driver}"


def _comparable(data: bytes, vectors: frozenset[int]) -> list[tuple[bytes | None, ...]]:
    """COPY tuples as tuples of fields; of vectors, at these positions, the driver knows eight digits of each value, and
    more are not compared."""
    rows = tuples(data)
    if not vectors:
        return rows
    return [
        tuple(_eight_digits(field) if at in vectors and field else field for at, field in enumerate(row))
        for row in rows
    ]


def _eight_digits(vector: bytes) -> bytes:
    """The values of a vector (pgvector's binary form) as SQL Server writes them."""
    (count,) = struct.unpack_from(">H", vector)
    return ",".join(f"{value:.7e}" for value in struct.unpack_from(f">{count}f", vector, 4)).encode()


def _order(row: tuple[bytes | None, ...]) -> list[tuple[bool, bytes]]:
    return [(field is not None, field or b"") for field in row]


def _shown(field: bytes | None) -> str:
    if field is None:
        return "NULL"
    return f"0x{field[:40].hex()}{'...' if len(field) > 40 else ''}"
