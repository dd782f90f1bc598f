"""How much of a row PostgreSQL has to keep in one page: what a row takes at least, and what it may take.

PostgreSQL's documentation, "Database Page Layout" and "TOAST": a row lies in one page of 8,192 bytes. Values of
variable length can be moved out, leaving a pointer of 18 bytes, but short ones stay: the toaster looks at values longer
than that pointer, aligned (24 bytes). Values of fixed length always stay. SQL Server's limit of 8,060 bytes is counted
otherwise, so that a row may fit there and not here: decimals and short texts in hundreds of columns, for example.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .objects import MappedTable
from .types import Encoding, MappedColumn

MAX_ROW = 8160
"""MaxHeapTupleSize: 8,192 bytes less the page's header (24) and a line pointer (4), each aligned to 8."""
_HEADER = 23
_STAYS = 24
"""The longest value of variable length, its header of one byte included, that is never moved out."""
_UTF8 = 3
"""Bytes of UTF-8 for one UTF-16 unit or one byte of a code page, at most."""
_FIXED: dict[Encoding, tuple[int, int]] = {
    "bool": (1, 1),
    "int2": (2, 2),
    "int4": (4, 4),
    "float4": (4, 4),
    "date": (4, 4),
    "int8": (8, 8),
    "float8": (8, 8),
    "time": (8, 8),
    "timestamp": (8, 8),
    "timestamptz": (8, 8),
    "uuid": (16, 1),
}
"""typlen and typalign of the types of fixed length, by the form in which they are copied."""


@dataclass(frozen=True, slots=True)
class RowSize:
    """Bytes of a row that stay in its page, header included."""

    least: int
    most: int


def row_size(table: MappedTable) -> RowSize:
    """The least and the most that a row of the table takes in its page, all that can be moved out being out."""
    most = [_most(column) for column in table.columns]
    nullable = [column.nullable for column in table.columns]
    full = _header(0) + _length(most)
    if any(nullable):
        # One NULL costs a bit for every column: the row without its smallest nullable value may be the largest.
        smallest = min((size, index) for index, (size, _) in enumerate(most) if nullable[index])[1]
        rest = [item for index, item in enumerate(most) if index != smallest]
        full = max(full, _header(len(most)) + _length(rest))
    needed = [_least(column) for column in table.columns if not column.nullable]
    return RowSize(_header(len(most) if any(nullable) else 0) + _length(needed), full)


def _header(columns_with_nulls: int) -> int:
    return _aligned(_HEADER + (columns_with_nulls + 7) // 8, 8)


def _aligned(offset: int, alignment: int) -> int:
    return -(-offset // alignment) * alignment


def _length(parts: Iterable[tuple[int, int]]) -> int:
    """Values of those sizes and alignments one after the other; the whole is aligned to 8."""
    offset = 0
    for size, alignment in parts:
        offset = _aligned(offset, alignment) + size
    return _aligned(offset, 8)


def _most(column: MappedColumn) -> tuple[int, int]:
    fixed = _FIXED.get(column.encoding)
    if fixed is not None:
        return fixed
    longest = _longest(column)
    return (_STAYS if longest is None else min(1 + longest, _STAYS)), 1


def _least(column: MappedColumn) -> tuple[int, int]:
    fixed = _FIXED.get(column.encoding)
    if fixed is not None:
        return fixed
    return (3 if column.encoding == "numeric" else 1), 1


def _longest(column: MappedColumn) -> int | None:
    """Bytes of the longest value of a type of variable length, None where there is no bound worth counting."""
    kind = column.source.type
    if column.encoding == "numeric":
        precision, scale = {"money": (19, 4), "smallmoney": (10, 4)}.get(kind.name, (kind.precision, kind.scale))
        # Groups of four decimal digits on each side of the point, two bytes each, and two of weight and scale.
        return 2 + 2 * (-(-(precision - scale) // 4) + -(-scale // 4))
    if kind.is_max or kind.max_length <= 0:
        return None
    if kind.name in ("char", "varchar", "nchar", "nvarchar"):
        return kind.char_length * (1 if kind.code_page == 65001 else _UTF8)
    if kind.name in ("binary", "varbinary", "timestamp", "rowversion") or column.encoding == "vector":
        return kind.max_length
    return None
