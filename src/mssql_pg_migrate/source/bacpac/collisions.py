"""Keys that are different in a package and equal in PostgreSQL, which keeps less of some values.

Upsert tells rows apart by the primary key as the target holds it: of two rows that differ only in what is not kept,
the second would overwrite the first. Where a key has such a column, its values are read beforehand, as COPY has them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import blake2b

from ...errors import MigrationError
from ...mapping.objects import MappedTable
from ...mapping.types import MappedColumn
from ...model import KeyRange
from ..reader import OnNul, ReadRequest
from ..source import Collision
from .rows import BcpReader

MOST_ROWS = 1_000_000
"""Of larger tables nothing is looked at: their keys would fill the memory."""
_TEXT = ("char", "varchar", "nchar", "nvarchar")


def key_collision(reader: BcpReader, table: MappedTable, on_nul: OnNul, usable: Callable[[], bool]) -> Collision | None:
    """Whether rows of the table have one key in the target; None when they have not, or the table cannot be read."""
    primary = table.source.primary_key
    if primary is None:
        return None
    names = {column.name for column in primary.columns}
    columns = tuple(column for column in table.copied_columns if column.source.name in names)
    lost = list(dict.fromkeys(part for part in (_lost(column, on_nul) for column in columns) if part is not None))
    if not lost:
        return None
    what = " and ".join(lost)
    if table.source.row_estimate > MOST_ROWS:
        return Collision(
            f"keys that differ only in {what} would become one row; they were not looked for, in so many rows", False
        )
    # The other columns are still in the files: they are passed over.
    keys = replace(table, columns=columns)
    try:
        pair = _equal_rows(lambda: _keys(reader, keys, on_nul, usable))
    except MigrationError:
        return None  # it fails again in the table's turn, and is told there
    if pair is None:
        return None
    return Collision(
        f"rows {pair[0]:,} and {pair[1]:,} have primary keys that differ only in {what}: they would become one row"
        " in the target; correct the keys in the source, or exclude the table",
        True,
    )


def _lost(column: MappedColumn, on_nul: OnNul) -> str | None:
    """What of a key column's values the target does not tell apart, None when all is kept."""
    kind = column.source.type
    if kind.name in ("time", "datetime2", "datetimeoffset") and kind.scale == 7:
        return "the seventh decimal of seconds"
    if kind.name not in _TEXT:
        return None
    if _folded(column):
        return "the case of letters"
    return "the characters U+0000 that on_nul: strip leaves out" if on_nul == "strip" else None


def _folded(column: MappedColumn) -> bool:
    """Whether the target alone takes letters of either case for equal."""
    return "citext" in column.pg_type and "CI" not in (column.source.type.collation or "").upper().split("_")


def _equal_rows(keys: Callable[[], Iterator[bytes]]) -> tuple[int, int] | None:
    """The first two rows with one key; rows count from 1."""
    seen: set[bytes] = set()
    for number, key in enumerate(keys(), 1):
        if key in seen:
            return next(first for first, other in enumerate(keys(), 1) if other == key), number
        seen.add(key)
    return None


def _keys(reader: BcpReader, table: MappedTable, on_nul: OnNul, usable: Callable[[], bool]) -> Iterator[bytes]:
    folded = [_folded(column) for column in table.columns]
    for chunk in reader.chunks(ReadRequest(table, KeyRange(0), on_nul=on_nul)):
        if not usable():
            return
        data, at = memoryview(chunk.data), 0
        while at < len(data):
            digest = blake2b(digest_size=16)
            at += 2
            for fold in folded:
                (size,) = struct.unpack_from(">i", data, at)
                value = bytes(data[at + 4 : at + 4 + max(size, 0)])
                at += 4 + len(value)
                if fold:
                    value = value.decode().lower().encode()
                digest.update(struct.pack(">q", len(value)) + value)
            yield digest.digest()
