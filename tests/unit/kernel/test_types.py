"""Every type the transcoder knows, at its edges, against a second implementation and against fixed bytes."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from kernel_cases import CASES, DAY
from kernel_oracle import DONE, LATIN, Col, nbc_row, packets, row, specs, ti, transcode, tuples
from mssql_pg_migrate._kernel import _native
from mssql_pg_migrate.tds import types as t


@pytest.mark.parametrize(("column", "values"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_values_become_the_documented_fields(column: Col, values: list[Any]) -> None:
    """As ROW and as NBCROW, between two other columns."""
    columns = [Col(ti(t.INT4, 4), "int4"), column, Col(ti(t.INTN, 8), "int8")]
    rows = [[index, value, index if index % 2 else None] for index, value in enumerate(values)]
    for make in (row, nbc_row):
        stream = b"".join(make(columns, values) for values in rows)
        outcome = transcode(columns, packets(stream + DONE))
        assert outcome.status == _native.TOKEN, outcome.fault
        assert outcome.tokens == DONE
        assert outcome.rows == len(rows)
        assert outcome.copy == tuples(columns, rows)


@pytest.mark.parametrize(
    ("column", "raw", "expected"),
    [
        # Worked out by hand from the PostgreSQL and MS-TDS documents, not by either implementation.
        (Col(ti(t.DECIMALN, 5, 5, 2), "numeric"), "05 00 9f860100", "0002 0000 4000 0002 03e7 26ac"),
        (Col(ti(t.DECIMALN, 17, 5, 2), "numeric"), "05 01 01000000", "0001 ffff 0000 0002 0064"),
        (Col(ti(t.DECIMALN, 17, 5, 2), "numeric"), "02 00 00", "0000 0000 0000 0002"),
        (Col(ti(t.MONEYN, 8), "numeric"), "08 00000000 01000000", "0001 ffff 0000 0004 0001"),
        (Col(ti(t.DATETIMEN, 8), "timestamp"), "08 ac8e0000 01000000", "0000000000000bb8"),
        (Col(ti(t.DATETIMEN, 8), "timestamp"), "08 ac8e0000 02000000", "0000000000001b58"),
        (Col(ti(t.TIMEN, 5, 0, 7), "time"), "05 ffbf692ac9", "000000141dd75fff"),
        (Col(ti(t.GUID, 16), "uuid"), "10 ff19966f868b11d0b42d00c04fc964ff", "6f9619ff8b86d011b42d00c04fc964ff"),
        (Col(ti(t.NVARCHAR, 8, collation=LATIN), "text"), "0400 3dd880de", "f09f9a80"),
    ],
)
def test_fixed_bytes(column: Col, raw: str, expected: str) -> None:
    """Fields against bytes written down by hand."""
    outcome = transcode([column], packets(b"\xd1" + bytes.fromhex(raw) + DONE))
    assert outcome.status == _native.TOKEN, outcome.fault
    field = bytes.fromhex(expected)
    assert outcome.copy == struct.pack(">hi", 1, len(field)) + field


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (Col(ti(t.INT4, 4), "int2"), "does not become"),
        (Col(ti(t.INT4, 4), "text"), "does not become"),
        (Col(ti(t.INTN, 3), "int4"), "declared length"),
        (Col(ti(t.FLOAT8, 8), "float4"), "does not become"),
        (Col(ti(t.DATETIME2N, 8, 0, 8), "timestamp"), "scale"),
        (Col(ti(t.DECIMALN, 17, 38, 39), "numeric"), "scale"),
        (Col(ti(t.SQL_VARIANT, 8009), "text"), "not one of those known"),
        (Col(ti(t.UDT, 0xFFFF), "text"), "not one of those known"),
        (Col(ti(t.BIGVARCHAR, 5, collation=bytes.fromhex("1104d00000")), "text"), "code page"),
        (Col(ti(t.NVARCHAR, 0xFFFF, collation=LATIN), "text", key=0), "key"),
        (Col(ti(t.NVARCHAR, 0xFFFF, collation=LATIN), "none"), "field"),
        (Col(ti(t.INT4, 4), "int4", key=3), "key"),
    ],
)
def test_columns_that_are_refused(column: Col, reason: str) -> None:
    """An unsupported column is named when the transcoder is made."""
    with pytest.raises(ValueError, match=reason) as caught:
        _native.Transcoder(specs([Col(ti(t.INT4, 4), "int4"), column]))
    assert caught.value.args[1] == 1


def test_columns_read_for_the_key_only() -> None:
    """A column without a field is in the key and not in the tuple."""
    columns = [
        Col(ti(t.NVARCHAR, 20, collation=LATIN), "none", key=1),
        Col(ti(t.INT4, 4), "int4"),
        Col(ti(t.DATETIME2N, 8, 0, 7), "none", key=0),
        Col(ti(t.INTN, 4), "none"),
    ]
    rows = [["ab", 1, 5, None], ["cd", 2, 730000 * DAY + 7, 3]]
    outcome = transcode(columns, packets(b"".join(row(columns, values) for values in rows) + DONE))
    assert outcome.copy == tuples(columns, rows)
    assert outcome.keys == (struct.pack("<Q", 7)[:5] + struct.pack("<I", 730000)[:3], "cd".encode("utf-16-le"))


def test_a_result_needs_columns() -> None:
    """No columns, too many, and nonsense are errors of the caller."""
    with pytest.raises(ValueError, match="1 to 4096"):
        _native.Transcoder([])
    with pytest.raises(ValueError, match="1 to 4096"):
        _native.Transcoder([(0x38, 4, 0, 0, 0, 2, -1)] * 4097)
    with pytest.raises(TypeError):
        _native.Transcoder([[1, 2]])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="out of range"):
        _native.Transcoder([(0x38, 4, 0, 0, 0, 99, -1)])
