"""Cutting a table into key ranges of about equal row counts.

Boundaries are keys that exist, found on the server in the key's own order, so gaps, skew, collations and SQL Server's
order of uniqueidentifier need no arithmetic here. Two ways:

- **sample**: the keys of randomly chosen pages (TABLESAMPLE), ordered, and every n-th of them. Reads a few thousand
  pages of a table of any size; ranges are equal within several percent.
- **scan**: one ordered pass over the whole key, every n-th row. Exact, and for servers and tables without TABLESAMPLE.

However the boundaries are chosen, the ranges ``(None, b1], (b1, b2], ... (bn, None]`` cover every possible key once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

from ...mapping.objects import MappedTable
from ...model import Column, Key, KeyRange, KeyValue
from . import classify
from .dbapi import Connection, DriverCursor
from .query import KeyField, is_finer_than_arrow, order_by
from .sample import MOST_SAMPLED, pages
from .tsql import qualified_name, quote_name

log = logging.getLogger(__name__)

_SAMPLED_PAGES_PER_RANGE = 200
_LEAST_SAMPLED_ROWS = 50
"""Sampled rows per range below which the boundaries would be chance."""
_SCAN_STEPS_PER_RANGE = 8
_FETCH = 8192
_INTEGERS = frozenset(("tinyint", "smallint", "int", "bigint"))


def plan_ranges(
    connection: Connection, table: MappedTable, *, max_ranges: int, min_rows: int, row_estimate: int
) -> list[KeyRange]:
    """At most ``max_ranges`` ranges of about equal size, none expected to be smaller than ``min_rows`` rows.

    A table without a range key, or too small to be cut, is one range. Raises TransientError and TransferError.
    """
    wanted = min(max_ranges, row_estimate // max(1, min_rows))
    if table.range_key is None or wanted < 2:
        return [KeyRange(0, row_estimate=row_estimate)]
    boundaries = _boundaries(connection, table, table.range_key, wanted, row_estimate)
    ends: list[KeyValue | None] = [None, *boundaries, None]
    share = row_estimate // (len(boundaries) + 1)
    return [
        KeyRange(number, after=after, upto=upto, row_estimate=share)
        for number, (after, upto) in enumerate(pairwise(ends))
    ]


def reads_keys_as_arrow(table: MappedTable) -> bool:
    """Whether the connection must be the driver's, with its Arrow batches: integer keys are read without."""
    key = table.range_key
    return key is not None and not all(_is_integer(table.source.column(part.name)) for part in key.columns)


def _is_integer(column: Column) -> bool:
    return column.type.name in _INTEGERS


def _boundaries(connection: Connection, table: MappedTable, key: Key, ranges: int, rows: int) -> list[KeyValue]:
    part = _sampled_part(table, ranges, rows)
    if part < MOST_SAMPLED:
        found = _sample(connection, table, key, ranges, part)
        if found is not None:
            return found
    return _scan(connection, table, key, ranges, rows)


def _sampled_part(table: MappedTable, ranges: int, rows: int) -> float:
    """The part of a table's pages that a sample for so many ranges reads."""
    return _SAMPLED_PAGES_PER_RANGE * ranges / pages(table.source, rows)


def _sample(connection: Connection, table: MappedTable, key: Key, ranges: int, part: float) -> list[KeyValue] | None:
    """Boundaries from a sample of pages; None when the server has no TABLESAMPLE or the sample is too thin."""
    inner = (
        f"SELECT {_inner_columns(key)}, ROW_NUMBER() OVER (ORDER BY {order_by(key)}) AS rank_,"
        f" COUNT_BIG(*) OVER () AS total_ FROM {qualified_name(table.source.schema, table.source.name)}"
        f" TABLESAMPLE SYSTEM ({max(part * 100, 0.0001):.4f} PERCENT)"
    )
    fields, columns = _outer_columns(table, key)
    sql = (
        f"SELECT {columns}, q.total_ FROM ({inner}) AS q"
        f" WHERE (q.rank_ * {ranges}) / q.total_ > ((q.rank_ - 1) * {ranges}) / q.total_ ORDER BY q.rank_"
    )
    try:
        rows = _fetch(connection, sql, fields)
    except Exception as error:
        found = classify.describe(error)
        if found.transient:
            raise classify.to_migration_error(error, table=table.source.full_name) from error
        log.info("%s: no sample (%s); its key is scanned for ranges", table.source.full_name, found)
        return None
    if rows.count < ranges or rows.last_of_first() < ranges * _LEAST_SAMPLED_ROWS:
        return None
    # The last of them is the sample's last row: what follows it belongs to the last range too.
    return [rows.key(row) for row in range(ranges - 1)]


def _scan(connection: Connection, table: MappedTable, key: Key, ranges: int, rows: int) -> list[KeyValue]:
    """Boundaries from an ordered pass over the key, whatever the estimate was worth."""
    step = max(1, rows // (ranges * _SCAN_STEPS_PER_RANGE))
    inner = (
        f"SELECT {_inner_columns(key)}, ROW_NUMBER() OVER (ORDER BY {order_by(key)}) AS rank_"
        f" FROM {qualified_name(table.source.schema, table.source.name)}"
    )
    fields, columns = _outer_columns(table, key)
    sql = f"SELECT {columns} FROM ({inner}) AS q WHERE q.rank_ % {step} = 0 ORDER BY q.rank_"
    try:
        found = _fetch(connection, sql, fields)
    except Exception as error:
        raise classify.to_migration_error(error, table=table.source.full_name) from error
    # Row r ends the first (r + 1) * step rows of about (count + 1/2) * step: take those nearest to equal parts.
    count = found.count
    chosen = sorted({round(number * (count + 0.5) / ranges) - 1 for number in range(1, ranges)})
    return [found.key(row) for row in chosen if 0 <= row < count]


def _inner_columns(key: Key) -> str:
    return ", ".join(f"{quote_name(part.name)} AS k{position}" for position, part in enumerate(key.columns))


def _outer_columns(table: MappedTable, key: Key) -> tuple[list[KeyField], str]:
    """The key's columns as `driver.key_text` reads them, from the derived table ``q``."""
    fields: list[KeyField] = []
    items: list[str] = []
    for number, part in enumerate(key.columns):
        column = table.source.column(part.name)
        position = len(items)
        if column.type.name == "uniqueidentifier":
            items.append(f"CAST(q.k{number} AS binary(16)) AS k{number}")
        else:
            items.append(f"q.k{number}")
        nanosecond = None
        if is_finer_than_arrow(column.type):
            nanosecond = len(items)
            items.append(f"DATEPART(nanosecond, q.k{number}) AS n{number}")
        fields.append(KeyField(column, position, nanosecond))
    return fields, ", ".join(items)


@dataclass(frozen=True, slots=True)
class _Rows:
    """A small result: how many rows, the key in each of them, and the last value, a number, of the first one."""

    count: int
    key: Callable[[int], KeyValue]
    last_of_first: Callable[[], int]


def _fetch(connection: Connection, sql: str, fields: list[KeyField]) -> _Rows:
    """All rows of a small result."""
    cursor = connection.cursor()
    try:
        cursor.execute(sql)
        if all(_is_integer(field.column) for field in fields):
            rows = cursor.fetchall()
            classify.check_complete(cursor)
            return _Rows(
                len(rows),
                lambda row: tuple(str(int(rows[row][field.position])) for field in fields),
                lambda: int(rows[0][-1]),
            )
        found = _arrow_rows(cast(DriverCursor, cursor), fields)
        classify.check_complete(cursor)
        return found
    finally:
        cursor.close()


def _arrow_rows(cursor: DriverCursor, fields: list[KeyField]) -> _Rows:
    """The rest of a result, keys as the driver reader has them; Arrow takes long to import and is not always needed."""
    import pyarrow as pa

    from .driver import key_text

    batches = [cursor.arrow_batch(_FETCH)]
    while batches[-1].num_rows == _FETCH:
        batches.append(cursor.arrow_batch(_FETCH))
    batch = batches[0] if len(batches) == 1 else pa.Table.from_batches(batches).combine_chunks().to_batches()[0]
    return _Rows(
        batch.num_rows,
        lambda row: tuple(key_text(batch, field, row) for field in fields),
        lambda: int(batch.column(batch.num_columns - 1)[0].as_py()),
    )
