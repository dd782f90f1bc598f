"""Any result of a TDS server, as a hypothesis strategy."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from kernel_oracle import LATIN, UTF8, Col, nbc_row, row, ti
from mssql_pg_migrate.tds import types as t

DAY = 864_000_000_000
LAST = 3652058

_text = st.text(st.characters(min_codepoint=1, exclude_categories=("Cs",)), max_size=60)
_latin = st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=60).filter(
    lambda s: not any(0x80 <= ord(c) < 0xA0 for c in s)
)


def _ticks(scale: int, limit: int) -> st.SearchStrategy[int]:
    unit = 10 ** (7 - scale)
    return st.integers(0, limit // unit - 1).map(lambda n: n * unit)


@st.composite
def _decimal(draw: st.DrawFn) -> tuple[Col, st.SearchStrategy[Any]]:
    precision = draw(st.integers(1, 38))
    scale = draw(st.integers(0, precision))

    def value(digits: int) -> Decimal:
        return Decimal((digits < 0, tuple(map(int, str(abs(digits)))), -scale))

    top = 10**precision - 1
    return Col(ti(t.NUMERICN, 0, precision, scale), "numeric"), st.integers(-top, top).map(value)


@st.composite
def _time(draw: st.DrawFn) -> tuple[Col, st.SearchStrategy[Any]]:
    scale = draw(st.integers(0, 7))
    size = t.time_size(scale)
    kind = draw(st.sampled_from(["time", "datetime2", "datetimeoffset"]))
    if kind == "time":
        return Col(ti(t.TIMEN, size, 0, scale), "time"), _ticks(scale, DAY)
    days = st.integers(0, LAST)
    instant = st.tuples(days, _ticks(scale, DAY)).map(lambda v: v[0] * DAY + v[1])
    if kind == "datetime2":
        return Col(ti(t.DATETIME2N, size + 3, 0, scale), "timestamp"), instant
    return Col(ti(t.DATETIMEOFFSETN, size + 5, 0, scale), "timestamptz"), st.tuples(instant, st.integers(-840, 840))


def _fixed(kind: int, size: int, encoding: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.just((Col(ti(kind, size), encoding), values))


def _integers(size: int) -> st.SearchStrategy[int]:
    return st.integers(0, 255) if size == 1 else st.integers(-(2 ** (size * 8 - 1)), 2 ** (size * 8 - 1) - 1)


_money = st.integers(-(2**63), 2**63 - 1).map(lambda n: Decimal((n < 0, tuple(map(int, str(abs(n)))), -4)))
_smallmoney = st.integers(-(2**31), 2**31 - 1).map(lambda n: Decimal((n < 0, tuple(map(int, str(abs(n)))), -4)))

NULLABLE: st.SearchStrategy[tuple[Col, st.SearchStrategy[Any]]] = st.one_of(
    _fixed(t.BITN, 1, "bool", st.booleans()),
    *(_fixed(t.INTN, size, enc, _integers(size)) for size, enc in ((1, "int2"), (2, "int2"), (4, "int4"), (8, "int8"))),
    _fixed(t.INTN, 4, "int8", _integers(4)),
    _fixed(t.INTN, 8, "numeric", _integers(8)),
    _decimal(),
    _fixed(t.MONEYN, 8, "numeric", _money),
    _fixed(t.MONEYN, 4, "numeric", _smallmoney),
    _fixed(t.FLOATN, 4, "float4", st.floats(width=32, allow_nan=False)),
    _fixed(t.FLOATN, 8, "float8", st.floats(allow_nan=False)),
    _fixed(t.GUID, 16, "uuid", st.uuids(version=None).map(lambda u: uuid.UUID(int=u.int))),
    _fixed(t.DATEN, 3, "date", st.integers(0, LAST)),
    _time(),
    st.just((Col(ti(t.NVARCHAR, 400, collation=LATIN), "text"), _text)),
    st.just((Col(ti(t.NVARCHAR, 0xFFFF, collation=LATIN), "text"), _text)),
    st.just((Col(ti(t.NTEXT, 0x7FFFFFFE, collation=LATIN), "text"), _text)),
    st.just((Col(ti(t.BIGVARCHAR, 400, collation=LATIN), "text"), _latin)),
    st.just((Col(ti(t.BIGVARCHAR, 0xFFFF, collation=UTF8), "text"), _text)),
    _fixed(t.BIGVARBINARY, 100, "bytea", st.binary(max_size=100)),
    _fixed(t.BIGVARBINARY, 0xFFFF, "bytea", st.binary(max_size=300)),
    _fixed(t.IMAGE, 0x7FFFFFFF, "bytea", st.binary(max_size=300)),
)
NOT_NULL = st.one_of(
    _fixed(t.BIT, 1, "bool", st.booleans()),
    *(
        _fixed(kind, size, encoding, _integers(size))
        for kind, size, encoding in ((t.INT1, 1, "int2"), (t.INT2, 2, "int2"), (t.INT4, 4, "int4"), (t.INT8, 8, "int8"))
    ),
    _fixed(t.FLOAT8, 8, "float8", st.floats(allow_nan=False)),
)


@st.composite
def results(draw: st.DrawFn) -> tuple[list[Col], list[list[Any]], bytes]:
    """Columns, rows, and the rows as tokens, ROW or NBCROW as it comes."""
    columns: list[Col] = []
    cells: list[st.SearchStrategy[Any]] = []
    for _ in range(draw(st.integers(1, 10))):
        column, values = draw(st.one_of(NULLABLE, NOT_NULL))
        fixed = column.info.type_id in t.FIXED_SIZES
        columns.append(column)
        cells.append(values if fixed else st.none() | values)
    columns.append(Col(ti(t.INT4, 4), "int4", key=0))
    rows = [[*(draw(cell) for cell in cells), index] for index in range(draw(st.integers(1, 6)))]
    tokens = b"".join(draw(st.sampled_from([row, nbc_row]))(columns, values) for values in rows)
    return columns, rows, tokens
