"""Which row of a chunk the server refuses: found by copying parts of it into a temporary table, all of it undone.

COPY names a line only where it fails while reading one; a row that does not fit its page fails later, in a batch. The
work is done once, after the failure, and costs about what copying the chunk twice costs.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from ..mapping.objects import MappedTable
from .copy import copy_statement, copy_tuples
from .ddl import quote_ident, relation

if TYPE_CHECKING:
    import psycopg

CopyFormat = Literal["binary", "text"]
_COPY = "pg_temp._mpm_refused"
_KEY = "pg_temp._mpm_key"


def refused_row(
    connection: psycopg.Connection[Any],
    table: MappedTable,
    data: bytes | bytearray | memoryview,
    copy_format: CopyFormat,
    sqlstate: str,
) -> str | None:
    """``column=value`` text of the key of the first row that is refused with that SQLSTATE; its number without a key.

    None when no row of the chunk is refused outside its target table (a trigger may refuse it there), or when the
    session may not look. ``connection`` must be outside a transaction and is left so. Never raises psycopg errors.
    """
    import psycopg

    rows = split_rows(data, copy_format)
    columns = tuple(column.name for column in table.copied_columns)
    into = copy_statement(_COPY, columns, copy_format)

    def refused(low: int, high: int) -> bool:
        try:
            with connection.transaction():
                copy_tuples(connection, into, b"".join(rows[low:high]), copy_format)
                connection.execute(f"TRUNCATE {_COPY}")
        except psycopg.Error as error:
            if connection.closed:
                raise
            return error.sqlstate == sqlstate
        return False

    try:
        with connection.transaction(force_rollback=True):
            connection.execute(
                f"CREATE TEMPORARY TABLE _mpm_refused (LIKE {relation(table)} INCLUDING GENERATED INCLUDING STORAGE)"
            )
            low, high = 0, len(rows)
            if not refused(low, high):
                return None
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (low, middle) if refused(low, middle) else (middle, high)
            return _key(connection, table, rows[low], copy_format) or f"number {low + 1} of the chunk"
    except psycopg.Error:
        return None  # the refusal itself is told in any case


def split_rows(data: bytes | bytearray | memoryview, copy_format: CopyFormat) -> list[bytes]:
    """The tuples of a chunk (``Chunk.data``), each whole."""
    raw = bytes(data)
    if copy_format == "text":
        return [line + b"\n" for line in raw.split(b"\n")[:-1]]
    rows, start = [], 0
    while start < len(raw):
        end = _fields(raw, start)[-1][1]
        rows.append(raw[start:end])
        start = end
    return rows


def _fields(raw: bytes, start: int) -> list[tuple[int, int]]:
    """From and to of each field of a binary tuple, its length word included (COPY, "Binary Format", "Tuples")."""
    (count,) = struct.unpack_from(">h", raw, start)
    fields, at = [], start + 2
    for _ in range(count):
        (length,) = struct.unpack_from(">i", raw, at)
        end = at + 4 + max(length, 0)
        fields.append((at, end))
        at = end
    return fields


def _key(connection: psycopg.Connection[Any], table: MappedTable, row: bytes, copy_format: CopyFormat) -> str | None:
    """The row's key, its values as the server shows them."""
    key = table.source.primary_key or table.range_key
    copied = table.copied_columns
    wanted = {part.name for part in key.columns} if key is not None else set()
    places = [index for index, column in enumerate(copied) if column.source.name in wanted]
    if not places or len(places) != len(wanted):
        return None
    names = tuple(copied[index].name for index in places)
    listed = ", ".join(map(quote_ident, names))
    connection.execute(f"CREATE TEMPORARY TABLE _mpm_key AS SELECT {listed} FROM {_COPY} WITH NO DATA".encode())
    copy_tuples(connection, copy_statement(_KEY, names, copy_format), _part(row, places, copy_format), copy_format)
    shown = ", ".join(f"{quote_ident(name)}::text" for name in names)
    values = connection.execute(f"SELECT {shown} FROM {_KEY}".encode()).fetchone()
    assert values is not None
    return ", ".join(f"{copied[index].source.name}={value}" for index, value in zip(places, values, strict=True))


def _part(row: bytes, places: Sequence[int], copy_format: CopyFormat) -> bytes:
    """A tuple of those fields of another one."""
    if copy_format == "text":
        fields = row.rstrip(b"\n").split(b"\t")
        return b"\t".join(fields[index] for index in places) + b"\n"
    bounds = _fields(row, 0)
    return struct.pack(">h", len(places)) + b"".join(row[slice(*bounds[index])] for index in places)
