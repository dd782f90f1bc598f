"""Every type the transcoder knows, with values at its edges."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

from kernel_oracle import DAYS_TO_2000, LATIN, UTF8, Col, ti
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
