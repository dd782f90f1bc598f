"""Every type the transcoder knows, at its edges, against a second implementation and against fixed bytes."""

from __future__ import annotations

import struct
import uuid
from decimal import Decimal
from typing import Any

import pytest
from kernel_oracle import DAYS_TO_2000, DONE, LATIN, UTF8, Col, nbc_row, packets, row, specs, ti, transcode, tuples

from mssql_pg_migrate._kernel import _native
from mssql_pg_migrate.tds import types as t

D = Decimal
DAY = 864_000_000_000
"""Ticks of 100 ns in a day."""
LAST = 3652058
ZERO = uuid.UUID(int=0)
ODD = uuid.UUID("6F9619FF-8B86-D011-B42D-00C04FC964FF")


def nines(precision: int, scale: int) -> Decimal:
    """The greatest decimal(p,s)."""
    return Decimal((0, (9,) * precision, -scale))


DECIMALS = [
    (
        f"decimal({p},{s})",
        Col(ti(t.DECIMALN, 0, p, s), "numeric"),
        [nines(p, s), nines(p, s).copy_negate(), *small, None],
    )
    for p, s, small in [
        (1, 0, [D(0), D(1), D(-1)]),
        (4, 4, [D("0.0001"), D("-0.1000"), D("0.0000")]),
        (5, 2, [D("-999.99"), D("0.01"), D("100.00"), D("10.00")]),
        (9, 9, [D("0.000000001"), D("0.100000000")]),
        (10, 5, [D("10000.00000"), D("0.00001"), D("99999.99999"), D("10000.10000")]),
        (18, 0, [D(10000), D(100000000), D(10**17)]),
        (19, 4, [D("123456789012345.6789"), D("0.0001"), D("10000.0000")]),
        (20, 3, [D("0.001"), D("10000000.000")]),
        (28, 7, [D("1.0000000"), D("0.0000001"), D("18446744073709551.6160000")]),
        (29, 1, [D("1844674407370955161.6"), D("1844674407370955161.5")]),
        (38, 0, [D(10**37), D(1), D(2**64), D(2**96), D(2**96 - 1)]),
        (38, 38, [D("0.12345678901234567890123456789012345678"), D("0." + "0" * 37 + "1")]),
        (38, 19, [D("1.0000000000000000001"), D("1000000000000000000.0000000000000000000")]),
        (38, 37, [D("1." + "0" * 36 + "1"), D("0." + "0" * 36 + "9")]),
    ]
]

CASES: list[tuple[str, Col, list[Any]]] = [
    ("bit not null", Col(ti(t.BIT, 1), "bool"), [True, False]),
    ("bit", Col(ti(t.BITN, 1), "bool"), [True, False, None]),
    ("tinyint not null", Col(ti(t.INT1, 1), "int2"), [0, 127, 128, 255]),
    ("tinyint", Col(ti(t.INTN, 1), "int2"), [0, 255, None]),
    ("tinyint to int4", Col(ti(t.INTN, 1), "int4"), [0, 255, None]),
    ("tinyint to int8", Col(ti(t.INTN, 1), "int8"), [0, 255, None]),
    ("smallint not null", Col(ti(t.INT2, 2), "int2"), [-32768, -1, 0, 32767]),
    ("smallint", Col(ti(t.INTN, 2), "int2"), [-32768, 32767, None]),
    ("smallint to int4", Col(ti(t.INTN, 2), "int4"), [-32768, 32767, None]),
    ("smallint to int8", Col(ti(t.INT2, 2), "int8"), [-32768, 32767]),
    ("int not null", Col(ti(t.INT4, 4), "int4"), [-(2**31), -1, 0, 2**31 - 1]),
    ("int", Col(ti(t.INTN, 4), "int4"), [-(2**31), 2**31 - 1, None]),
    ("int to int8", Col(ti(t.INTN, 4), "int8"), [-(2**31), 2**31 - 1, None]),
    ("bigint not null", Col(ti(t.INT8, 8), "int8"), [-(2**63), -1, 0, 2**63 - 1]),
    ("bigint", Col(ti(t.INTN, 8), "int8"), [-(2**63), 2**63 - 1, None]),
    ("tinyint to numeric", Col(ti(t.INTN, 1), "numeric"), [0, 255, None]),
    ("int to numeric", Col(ti(t.INT4, 4), "numeric"), [-(2**31), 0, 10000, 2**31 - 1]),
    ("bigint to numeric", Col(ti(t.INTN, 8), "numeric"), [-(2**63), 2**63 - 1, 10**16, None]),
    *DECIMALS,
    ("money not null", Col(ti(t.MONEY, 8), "numeric"), [D("-922337203685477.5808"), D("922337203685477.5807")]),
    ("money", Col(ti(t.MONEYN, 8), "numeric"), [D("0.0001"), D("-0.0001"), D("0.0000"), D("1.0000"), None]),
    ("smallmoney not null", Col(ti(t.MONEY4, 4), "numeric"), [D("-214748.3648"), D("214748.3647")]),
    ("smallmoney", Col(ti(t.MONEYN, 4), "numeric"), [D("-0.0001"), D("9999.9999"), D("10000.0000"), None]),
    ("real not null", Col(ti(t.FLOAT4, 4), "float4"), [1.5, -0.0, 3.4028234663852886e38]),
    ("real", Col(ti(t.FLOATN, 4), "float4"), [1.401298464324817e-45, None]),
    ("real to float8", Col(ti(t.FLOATN, 4), "float8"), [1.5, 0.10000000149011612, None]),
    ("float not null", Col(ti(t.FLOAT8, 8), "float8"), [1e300, -0.1, 5e-324]),
    ("float", Col(ti(t.FLOATN, 8), "float8"), [2.2250738585072014e-308, None]),
    ("date", Col(ti(t.DATEN, 3), "date"), [0, LAST, DAYS_TO_2000, DAYS_TO_2000 - 1, 719162, 719161, None]),
    *(
        (
            f"{name}({scale})",
            Col(ti(kind, t.time_size(scale) + extra, 0, scale), encoding),
            [wrap(v // 10 ** (7 - scale) * 10 ** (7 - scale)) for v in ticks] + [None],
        )
        for scale in range(8)
        for name, kind, extra, encoding, ticks, wrap in (
            ("time", t.TIMEN, 0, "time", [0, DAY - 1, 452_967_891_234], int),
            ("datetime2", t.DATETIME2N, 3, "timestamp", [0, LAST * DAY + DAY - 1, 719162 * DAY - 1], int),
            (
                "datetimeoffset",
                t.DATETIMEOFFSETN,
                5,
                "timestamptz",
                [840 * 600_000_000, LAST * DAY, 719162 * DAY - 1],
                lambda v: (v, 840 if v % 2 else -720),
            ),
        )
    ),
    ("datetime not null", Col(ti(t.DATETIME, 8), "timestamp"), [639905 * DAY, LAST * DAY + 863_999_970_000]),
    ("datetime", Col(ti(t.DATETIMEN, 8), "timestamp"), [730000 * DAY + i * 33333 for i in range(12)] + [None]),
    ("smalldatetime not null", Col(ti(t.DATETIME4, 4), "timestamp"), [693595 * DAY]),
    ("smalldatetime", Col(ti(t.DATETIMEN, 4), "timestamp"), [759130 * DAY + 1439 * 600_000_000, None]),
    ("uniqueidentifier", Col(ti(t.GUID, 16), "uuid"), [ODD, ZERO, uuid.UUID(int=1), uuid.UUID(int=2**128 - 1), None]),
    ("char", Col(ti(t.BIGCHAR, 5, collation=LATIN), "text"), ["ab   ", "     ", None]),
    ("varchar", Col(ti(t.BIGVARCHAR, 20, collation=LATIN), "text"), ["café", "", " x ", "€", "\x81", None]),
    ("varchar utf8", Col(ti(t.BIGVARCHAR, 50, collation=UTF8), "text"), ["日本🚀é", "", "plain", None]),
    ("varchar(max)", Col(ti(t.BIGVARCHAR, 0xFFFF, collation=LATIN), "text"), ["x" * 9000, "é" * 100_000, "", None]),
    ("text", Col(ti(t.TEXT, 0x7FFFFFFF, collation=LATIN), "text"), ["t", "", "é" * 70_000, None]),
    ("nchar", Col(ti(t.NCHAR, 8, collation=LATIN), "text"), ["日   ", None]),
    ("nvarchar", Col(ti(t.NVARCHAR, 40, collation=LATIN), "text"), ["日本🚀", "", "plain", "\ufeff", "\uffff", None]),
    ("nvarchar(max)", Col(ti(t.NVARCHAR, 0xFFFF, collation=LATIN), "text"), ["é" * 5000, "🚀" * 50_001, "", None]),
    ("ntext", Col(ti(t.NTEXT, 0x7FFFFFFE, collation=LATIN), "text"), ["té", "", "🚀" * 30_000, None]),
    ("xml", Col(ti(t.XML, 0xFFFF), "text"), ["<a>x</a>", "", None]),
    ("json", Col(ti(t.JSON, 0xFFFF), "text"), ['{"a":"日本"}', None]),
    ("binary", Col(ti(t.BIGBINARY, 4), "bytea"), [b"\x00\xff\x00\x00", None]),
    ("varbinary", Col(ti(t.BIGVARBINARY, 8000), "bytea"), [b"", bytes(range(256)), bytes(8000), None]),
    ("varbinary(max)", Col(ti(t.BIGVARBINARY, 0xFFFF), "bytea"), [b"", bytes(200_000), b"x", None]),
    ("image", Col(ti(t.IMAGE, 0x7FFFFFFF), "bytea"), [b"\x01\x02", b"", bytes(100_000), None]),
]


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
