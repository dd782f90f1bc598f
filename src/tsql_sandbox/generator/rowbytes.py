"""Columns of numpy arrays into ROW and NBCROW tokens, many rows at once."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from mssql_pg_migrate.tds.metadata import TypeInfo

from ..values.sqltypes import null_bytes
from .stackoverflow import AnyColumn, DateColumn, IntColumn, TextColumn

Bytes2D = np.ndarray[Any, np.dtype[np.uint8]]


def encode_chunk(columns: list[AnyColumn], infos: list[TypeInfo]) -> tuple[bytes, np.ndarray[Any, np.dtype[np.int64]]]:
    """The tokens of some rows, and the length of each row's token.

    The bytes are those `rows.RowEncoder` makes of the same values.
    """
    bits = np.zeros(_size(columns[0]), np.uint64)
    for index, column in enumerate(columns):
        bits |= _missing(column).astype(np.uint64) << np.uint64(index)
    numbers, inverse = np.unique(bits, return_inverse=True)
    patterns = [[bool(number >> index & 1) for index in range(len(columns))] for number in numbers.tolist()]
    if any(isinstance(column, TextColumn) for column in columns):
        return _with_text(columns, infos, patterns, inverse)
    blocks: list[tuple[np.ndarray[Any, np.dtype[np.int64]], Bytes2D]] = []
    lengths = np.empty(len(inverse), np.int64)
    for number, pattern in enumerate(patterns):
        rows = np.flatnonzero(inverse == number)
        block = np.concatenate(_parts(columns, infos, pattern, rows), axis=1)
        lengths[rows] = block.shape[1]
        blocks.append((rows, block))
    starts = np.concatenate(([0], np.cumsum(lengths)[:-1]))
    out = np.empty(int(lengths.sum()), np.uint8)
    for rows, block in blocks:
        out[starts[rows][:, None] + np.arange(block.shape[1])] = block
    return out.tobytes(), lengths


def _size(column: AnyColumn) -> int:
    return len(column.days if isinstance(column, DateColumn) else column.values)


def _missing(column: AnyColumn) -> Any:
    if isinstance(column, TextColumn):
        return np.fromiter((value is None for value in column.values), np.bool_, len(column.values))
    if column.missing is not None:
        return column.missing
    return np.zeros(_size(column), np.bool_)


def _opening(infos: list[TypeInfo], pattern: Any) -> tuple[bytes, bool]:
    """Token byte and bitmap of rows with these NULLs; whether NULLs are left out (NBCROW)."""
    nulls = [null_bytes(info) for info in infos]
    bitmap = (len(infos) + 7) // 8
    if sum(len(null) for null, gone in zip(nulls, pattern, strict=True) if gone) > bitmap:
        bits = sum(1 << index for index, gone in enumerate(pattern) if gone)
        return b"\xd2" + bits.to_bytes(bitmap, "little"), True
    return b"\xd1", False


def _parts(columns: list[AnyColumn], infos: list[TypeInfo], pattern: Any, rows: Any) -> list[Bytes2D]:
    opening, compressed = _opening(infos, pattern)
    parts = [_constant(opening, len(rows))]
    for column, info, gone in zip(columns, infos, pattern, strict=True):
        if gone:
            parts += [] if compressed else [_constant(null_bytes(info), len(rows))]
            continue
        prefix = b"" if info.fixed_size is not None else bytes((info.length,))
        if prefix:
            parts.append(_constant(prefix, len(rows)))
        parts.append(_payload(column, rows))
    return parts


def _constant(data: bytes, count: int) -> Bytes2D:
    return np.broadcast_to(np.frombuffer(data, np.uint8), (count, len(data)))


def _payload(column: AnyColumn, rows: Any) -> Bytes2D:
    if isinstance(column, IntColumn):
        return np.asarray(column.values[rows].astype("<i4").view(np.uint8).reshape(-1, 4))
    assert isinstance(column, DateColumn)
    both = np.column_stack((column.days[rows], column.thirds[rows])).astype("<i4")
    return np.asarray(both.view(np.uint8).reshape(-1, 8))


def _with_text(
    columns: list[AnyColumn], infos: list[TypeInfo], patterns: Any, inverse: Any
) -> tuple[bytes, np.ndarray[Any, np.dtype[np.int64]]]:
    """As above where text makes every row its own length: row by row, of ready cells."""
    cells = [_cells(column, info) for column, info in zip(columns, infos, strict=True)]
    openings = [_opening(infos, pattern) for pattern in patterns]
    keep = [
        [index for index, gone in enumerate(pattern) if not (gone and compressed)]
        for pattern, (_, compressed) in zip(patterns, openings, strict=True)
    ]
    rows: list[bytes] = []
    for number, row in zip(inverse.tolist(), zip(*cells, strict=True), strict=True):
        rows.append(openings[number][0] + b"".join([row[index] for index in keep[number]]))
    return b"".join(rows), np.fromiter(map(len, rows), np.int64, len(rows))


def _cells(column: AnyColumn, info: TypeInfo) -> list[bytes]:
    null = null_bytes(info)
    if isinstance(column, TextColumn):
        if info.is_plp:
            return [null if value is None else _plp(value) for value in column.values]
        return [null if value is None else len(value).to_bytes(2, "little") + value for value in column.values]
    size = 4 if isinstance(column, IntColumn) else 8
    count = _size(column)
    data = _payload(column, slice(None)).tobytes()
    prefix = b"" if info.fixed_size is not None else bytes((info.length,))
    values = [prefix + data[i : i + size] for i in range(0, count * size, size)]
    if column.missing is None:
        return values
    return [null if gone else value for value, gone in zip(values, column.missing.tolist(), strict=True)]


_PLP_HEAD = struct.Struct("<QI").pack


def _plp(value: bytes) -> bytes:
    return _PLP_HEAD(len(value), len(value)) + value + (b"\x00\x00\x00\x00" if value else b"")
