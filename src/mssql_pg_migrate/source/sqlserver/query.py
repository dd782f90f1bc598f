"""The SELECT that reads a key range.

Complete T-SQL with literals, for SQL Server 2012 and later: a range is one ordered, seekable statement, without OFFSET
and without parameters (a parameter's type could keep the server from using the index).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ...mapping.objects import MappedTable
from ...mapping.types import map_type
from ...model import Column, Key, KeyValue, SqlType, Table
from ..reader import ReadRequest
from .key_literals import literal
from .tsql import qualified_name, quote_name

Variant = Literal["driver", "wire"]


@dataclass(frozen=True, slots=True)
class KeyField:
    """Where a result carries the exact value of one key column.

    ``position`` is the 0-based result column with the value. ``nanosecond``, where not None, is the result column with
    ``DATEPART(nanosecond, ...)`` of it, for values that Arrow cannot hold exactly (100 ns in microseconds).
    """

    column: Column
    position: int
    nanosecond: int | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """The result columns of `build_select`: first the COPY fields, in the order of ``copied_columns``, then extra ones.

    ``extra`` are the T-SQL expressions of the extra columns (key values that no COPY field carries exactly); readers
    must not put them into COPY tuples.
    """

    fields: int
    extra: tuple[str, ...]
    key: tuple[KeyField, ...]


def layout(table: MappedTable, variant: Variant) -> Layout:
    """Which columns a SELECT of the table returns and where its key values are."""
    copied = table.copied_columns
    positions = {column.source.name: position for position, column in enumerate(copied)}
    extra: list[str] = []
    fields: list[KeyField] = []
    for part in table.range_key.columns if table.range_key else ():
        column = table.source.column(part.name)
        position = positions.get(column.name)
        if position is None:  # a generated column of the target: not copied, but part of the key
            position = len(copied) + len(extra)
            extra.append(_raw_select(column, variant))
        nanosecond = None
        if variant == "driver" and is_finer_than_arrow(column.type):
            nanosecond = len(copied) + len(extra)
            extra.append(f"DATEPART(nanosecond, {quote_name(column.name)})")
        fields.append(KeyField(column, position, nanosecond))
    return Layout(fields=len(copied), extra=tuple(extra), key=tuple(fields))


def is_finer_than_arrow(sql_type: SqlType) -> bool:
    """Whether Microsoft's driver loses part of a value in its Arrow form (100 ns units become microseconds)."""
    return sql_type.name in ("datetime2", "datetimeoffset") and sql_type.scale == 7


def _raw_select(column: Column, variant: Variant) -> str:
    """A key column that is no COPY field, as a field of its type would be selected: the driver's own conversion of a
    code page would change some characters."""
    quoted = quote_name(column.name)
    return map_type(column).driver_select.format(c=quoted) if variant == "driver" else quoted


def build_select(request: ReadRequest, *, variant: Variant, replaced: Mapping[int, str] | None = None) -> str:
    """The statement that returns the rows of a request, in key order where the table has a range key.

    ``replaced`` gives other expressions (complete, no ``{c}``) for some result columns, by position.

    Raises:
        ValueError: a key text of the request is not of its column's type (a damaged state or ledger).
    """
    table = request.table
    shape = layout(table, variant)
    expressions = [
        (column.driver_select if variant == "driver" else column.wire_select).format(c=quote_name(column.source.name))
        for column in table.copied_columns
    ]
    expressions += shape.extra
    for position, expression in (replaced or {}).items():
        expressions[position] = expression
    top = f"TOP ({request.limit}) " if request.limit is not None else ""
    parts = [f"SELECT {top}{', '.join(expressions)}"]
    parts.append(f"FROM {request.relation or qualified_name(table.source.schema, table.source.name)}")
    if table.range_key is not None:
        after = request.after if request.after is not None else request.range.after
        where = range_predicate(table.source, table.range_key, after, request.range.upto)
        if where:
            parts.append(f"WHERE {where}")
        parts.append(f"ORDER BY {order_by(table.range_key)}")
    return "\n".join(parts)


def order_by(key: Key) -> str:
    """The key's columns in the direction of its index."""
    return ", ".join(quote_name(part.name) + (" DESC" if part.descending else "") for part in key.columns)


def range_predicate(table: Table, key: Key, after: KeyValue | None, upto: KeyValue | None) -> str:
    """The condition of ``(after, upto]`` in the key's order; empty when both are None.

    Leading columns in which both ends agree become equalities; each remaining end is written as
    ``a >= x AND (a > x OR (a = x AND b > y))``: the first term lets the server seek.

    Raises:
        ValueError: an end has another number of columns than the key, or a text not of its column's type.
    """
    columns = [_Part(quote_name(part.name), table.column(part.name).type, part.descending) for part in key.columns]
    for end in (after, upto):
        if end is not None and len(end) != len(columns):
            raise ValueError(f"key {key.name} of {table.full_name} has {len(columns)} columns, not {len(end)}")
    common = 0
    if after is not None and upto is not None:
        while common < len(columns) - 1 and after[common] == upto[common]:
            common += 1
    terms = []
    if after is not None:
        terms += [part.compare("=", text) for part, text in zip(columns[:common], after[:common], strict=True)]
        terms.append(_beyond(columns[common:], after[common:], inclusive=False, lower=True))
    if upto is not None:
        terms.append(_beyond(columns[common:], upto[common:], inclusive=True, lower=False))
    return " AND ".join(terms)


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    type: SqlType
    descending: bool

    def compare(self, operator: str, text: str) -> str:
        return f"{self.name} {operator} {literal(self.type, text)}"

    def operator(self, lower: bool) -> str:
        """``>`` towards the end of the key's order, ``<`` towards its start."""
        return ">" if lower != self.descending else "<"


def _beyond(columns: Sequence[_Part], end: Sequence[str], *, inclusive: bool, lower: bool) -> str:
    """Rows after (``lower``) or before an end in the key's order; ``inclusive`` takes the end itself too."""
    first, text = columns[0], end[0]
    strict = first.operator(lower)
    if len(columns) == 1:
        return first.compare(strict + "=" if inclusive else strict, text)
    rest = _tail(columns[1:], end[1:], inclusive=inclusive, lower=lower)
    return (
        f"{first.compare(strict + '=', text)}"
        f" AND ({first.compare(strict, text)} OR ({first.compare('=', text)} AND {rest}))"
    )


def _tail(columns: Sequence[_Part], end: Sequence[str], *, inclusive: bool, lower: bool) -> str:
    first, text = columns[0], end[0]
    strict = first.operator(lower)
    if len(columns) == 1:
        return first.compare(strict + "=" if inclusive else strict, text)
    rest = _tail(columns[1:], end[1:], inclusive=inclusive, lower=lower)
    return f"({first.compare(strict, text)} OR ({first.compare('=', text)} AND {rest}))"
