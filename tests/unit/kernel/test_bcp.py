"""BCP data files through the transcoder: every type at its edges, every way to cut them, every lie in them."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bcp_rows import FIXED, MAX, SCALED, Column, rows
from kernel_oracle import DAY, FIELDS
from mssql_pg_migrate import model
from mssql_pg_migrate._kernel import _native
from mssql_pg_migrate.source.bacpac.columns import column_spec

D = Decimal
LAST_TICK = 864_000_000_000 - 1
LAST_DAY = date(9999, 12, 31)
ODD = uuid.UUID("6F9619FF-8B86-D011-B42D-00C04FC964FF")
NULL = b"\xff\xff\xff\xff"


def declared(column: Column) -> model.Column:
    """The column as the catalog has it."""
    wide = column.type in ("nchar", "nvarchar")
    length = column.length if column.length == MAX else column.length * (2 if wide else 1)
    if column.type in ("xml", "text", "ntext", "image"):
        length = MAX
    kind = model.SqlType(column.type, length, column.precision, column.scale)
    return model.Column(column.name, kind, nullable=column.nullable)


def spec(column: Column, encoding: str | None) -> tuple[int, ...]:
    """What the transcoder is told."""
    return column_spec(declared(column), encoding)


class Result:
    """What came out of one data file, or of several one after the other."""

    def __init__(
        self, specs: Sequence[tuple[int, ...]], files: Sequence[bytes], *, step: int = 1 << 20, max_rows: int = 1 << 40
    ) -> None:
        core = _native.Transcoder(specs, bcp=True)  # type: ignore[arg-type]
        self.chunks: list[tuple[bytes, int]] = []
        self.fault = (0, -1, 0)
        self.status = _native.END
        for data in files:
            core.again()
            self._read(core, data, step, max_rows)
            if self.status != _native.END:
                self.fault = core.fault()
                break
        taken = core.take()
        if taken is not None:
            self.chunks.append((bytes(taken[0]), taken[1]))
        self.copy = b"".join(data for data, _ in self.chunks)
        self.rows = sum(count for _, count in self.chunks)

    def _read(self, core: _native.Transcoder, data: bytes, step: int, max_rows: int) -> None:
        at = received = 0
        while True:
            self.status = core.run(received, max_rows, 1 << 40)
            received = 0
            if self.status == _native.CHUNK:
                taken = core.take()
                assert taken is not None
                self.chunks.append((bytes(taken[0]), taken[1]))
            elif self.status != _native.INPUT:
                return
            elif at == len(data):
                core.finish()
            else:
                view = memoryview(core)
                received = min(step, len(view), len(data) - at)
                view[:received] = data[at : at + received]
                at += received


def expected(encoding: str, column: Column, value: Any) -> bytes:
    """The COPY field of a value."""
    if value is None:
        return NULL
    data = FIELDS[encoding](_moment(column.type, value))
    return struct.pack(">i", len(data)) + data


def _moment(kind: str, value: Any) -> Any:
    """A date or time as the oracle of COPY fields takes it: days and 100 ns units since 0001-01-01."""
    if kind == "date":
        return value.toordinal() - 1
    if kind in ("datetime2", "datetimeoffset"):
        ticks = (value[0].toordinal() - 1) * DAY * 10 + value[1]
        return (ticks, value[2]) if kind == "datetimeoffset" else ticks
    if kind == "datetime":
        return ((value[0] + 693_595) * 86_400_000 + (value[1] * 10 + 1) // 3) * 10_000
    if kind == "smalldatetime":
        return ((value[0] + 693_595) * 1440 + value[1]) * 600_000_000
    return value


NINES = D("9" * 38)
NUMBERS: list[tuple[Column, str, list[Any]]] = [
    (Column("bit"), "bool", [True, False]),
    (Column("tinyint"), "int2", [0, 127, 128, 255]),
    (Column("smallint"), "int2", [-32768, -1, 0, 32767]),
    (Column("int"), "int4", [-(2**31), -1, 0, 2**31 - 1]),
    (Column("bigint"), "int8", [-(2**63), -1, 0, 2**63 - 1]),
    (Column("smallint"), "int4", [-32768, 32767]),
    (Column("int"), "numeric", [-(2**31), 2**31 - 1]),
    (Column("decimal", precision=38), "numeric", [NINES, NINES.copy_negate(), D(0), D(1), D(2**64), D(2**96)]),
    (Column("numeric", precision=38, scale=38), "numeric", [D("0." + "9" * 38), D("-1E-38"), D("0E-38")]),
    (Column("decimal", precision=5, scale=2), "numeric", [D("-999.99"), D("0.01"), D("100.00")]),
    (Column("decimal", precision=19, scale=4), "numeric", [D("123456789012345.6789"), D("10000.0000")]),
    (Column("money"), "numeric", [D("-922337203685477.5808"), D("922337203685477.5807"), D("0.0001")]),
    (Column("smallmoney"), "numeric", [D("-214748.3648"), D("214748.3647"), D("0.0000")]),
    (Column("real"), "float4", [1.5, -0.0, 3.4028234663852886e38, 1.401298464324817e-45]),
    (Column("float", precision=53), "float8", [1e300, -0.1, 5e-324]),
    (Column("real"), "float8", [1.5, 0.10000000149011612]),
    (Column("uniqueidentifier"), "uuid", [ODD, uuid.UUID(int=0), uuid.UUID(int=2**128 - 1)]),
]
TIMES: list[tuple[Column, str, list[Any]]] = [
    (Column("date"), "date", [date(1, 1, 1), date(1999, 12, 31), date(2000, 1, 1), LAST_DAY]),
    (Column("smalldatetime"), "timestamp", [(0, 0), (65535, 1439)]),
    (Column("datetime"), "timestamp", [(-53690, 0), (2958463, 25919999), (36524, 1), (36524, 2)]),
]
for scale in range(8):
    ticks = [v // 10 ** (7 - scale) * 10 ** (7 - scale) for v in (0, LAST_TICK, 452_967_891_234)]
    days = [date(1, 1, 2), LAST_DAY, date(1970, 1, 1)]
    TIMES += [
        (Column("time", scale=scale), "time", ticks),
        (Column("datetime2", scale=scale), "timestamp", list(zip(days, ticks, strict=True))),
        (Column("datetimeoffset", scale=scale), "timestamptz", list(zip(days, ticks, (840, -840, 0), strict=True))),
    ]
STRINGS: list[tuple[Column, str, list[Any]]] = [
    (Column("char", length=5), "text", ["ab   ", "     ", "Ğüşİı"]),
    (Column("nchar", length=4), "text", ["日本  ", "🚀  "]),
    (Column("varchar", length=8000), "text", ["café €", "", "x" * 8000, "สวัสดี"]),
    (Column("nvarchar", length=4000), "text", ["日本🚀", "", "é" * 4000, "\ufeff", "\uffff"]),
    (Column("varchar", length=MAX), "text", ["x" * 9000, "", "é" * 200_000]),
    (Column("nvarchar", length=MAX), "text", ["🚀" * 100_001, "", "plain"]),
    (Column("text"), "text", ["t", "", "é" * 100_000]),
    (Column("ntext"), "text", ["té", "", "🚀" * 70_000]),
    (Column("xml"), "text", ["<a>é</a>", "", "<b/>" * 100_000]),
    (Column("binary", length=4), "bytea", [b"\x00\xff\x00\x00", bytes(4)]),
    (Column("timestamp", length=8), "bytea", [bytes(range(8))]),
    (Column("varbinary", length=8000), "bytea", [b"", bytes(range(256)), bytes(8000)]),
    (Column("varbinary", length=MAX), "bytea", [b"", bytes(400_000), b"x"]),
    (Column("image"), "bytea", [b"\x01\x02", b"", bytes(100_000)]),
]
CASES = NUMBERS + TIMES + STRINGS


def _id(case: tuple[Column, str, list[Any]]) -> str:
    column, encoding, _ = case
    return f"{column.type}({column.length or column.precision},{column.scale}) {encoding}"


def _nullable(column: Column) -> Column:
    return Column(column.type, True, column.length, column.precision, column.scale)


@pytest.mark.parametrize("nullable", [False, True], ids=["not null", "null"])
@pytest.mark.parametrize(("column", "encoding", "values"), CASES, ids=map(_id, CASES))
def test_values_become_the_documented_fields(column: Column, encoding: str, values: list[Any], nullable: bool) -> None:
    """Between two other columns, whole and in pieces that cut every value, and again with the column passed over."""
    if nullable:
        column, values = _nullable(column), [*values, None]
    columns = [Column("int"), column, Column("bigint", nullable=True)]
    table = [[index, value, index if index % 2 else None] for index, value in enumerate(values)]
    data = rows(columns, table)
    specs = [spec(columns[0], "int4"), spec(column, encoding), spec(columns[2], "int8")]
    wanted = b"".join(
        struct.pack(">hii", 3, 4, index)
        + expected(encoding, column, value)
        + expected("int8", columns[2], index if index % 2 else None)
        for index, value in enumerate(values)
    )
    for step in (1 << 20, 7 if len(data) < 10_000 else 4093, 1 if len(data) < 3000 else 65_537):
        result = Result(specs, [data], step=step)
        assert result.status == _native.END, result.fault
        assert result.rows == len(table)
        assert result.copy == wanted
    passed_over = Result([specs[0], spec(column, None), specs[2]], [data], step=977)
    assert passed_over.rows == len(table)
    assert passed_over.copy == b"".join(
        struct.pack(">hii", 2, 4, index) + expected("int8", columns[2], index if index % 2 else None)
        for index in range(len(table))
    )


def test_bytes_as_a_real_server_wrote_them() -> None:
    """The first row of a table with a char, two nvarchar and a money, all NOT NULL."""
    data = bytes.fromhex(
        "01000000" "3700390035002d00370033002d003900380033003800"
        "1200430061007400680065007200690065006e00" "0800" "4100620065006c00" "00000000c0d0e312"
    )  # fmt: skip
    columns = [Column("int"), Column("char", length=11), Column("nvarchar", length=50), Column("nvarchar", length=50)]
    specs = [spec(c, e) for c, e in zip(columns, ("int4", "text", "text", "text"), strict=True)]
    result = Result([*specs, spec(Column("money"), "numeric")], [data])
    assert result.status == _native.END
    texts = [b"795-73-9838", b"Catherien", b"Abel"]
    assert result.copy == (
        struct.pack(">hii", 5, 4, 1)
        + b"".join(struct.pack(">i", len(text)) + text for text in texts)
        + struct.pack(">ihhHhhh", 12, 2, 1, 0, 4, 3, 1692)
    )


def test_chunks_go_over_the_ends_of_files() -> None:
    """Files hold whole rows; a chunk ends at its number of rows, in the middle of one or after several."""
    specs = [spec(Column("int"), "int4")]
    files = [rows([Column("int")], [[i] for i in range(part, part + 5)]) for part in (0, 5, 10)]
    result = Result(specs, files, max_rows=6)
    assert [count for _, count in result.chunks] == [6, 6, 3]
    assert result.copy == b"".join(struct.pack(">hii", 1, 4, i) for i in range(15))


def _one(column: Column, encoding: str, data: bytes) -> Result:
    return Result([spec(Column("int"), "int4"), spec(column, encoding)], [struct.pack("<i", 1) + data])


MALFORMED = [
    ("a length of another type", Column("int", nullable=True), "int4", b"\x08" + bytes(8), _native.F_LENGTH),
    ("a length of zero", Column("int", nullable=True), "int4", b"\x00", _native.F_LENGTH),
    ("NULL where there is none", Column("bit"), "bool", b"\xff", _native.F_NULL),
    ("NULL text where there is none", Column("nvarchar", length=9), "text", b"\xff\xff", _native.F_NULL),
    ("NULL (max) where there is none", Column("varchar", length=MAX), "text", b"\xff" * 8, _native.F_NULL),
    ("NULL image where there is none", Column("image"), "bytea", b"\xff" * 4, _native.F_NULL),
    ("a bit of two", Column("bit"), "bool", b"\x01\x02", _native.F_VALUE),
    ("a sign of two", Column("decimal", precision=9), "numeric", b"\x13\x09\x00\x02" + bytes(16), _native.F_VALUE),
    ("more decimals than declared", Column("decimal", precision=9, scale=1), "numeric",
     b"\x13\x09\x02\x01" + bytes(16), _native.F_VALUE),
    ("a precision of 39", Column("decimal", precision=9), "numeric", b"\x13\x27\x00\x01" + bytes(16), _native.F_VALUE),
    ("a day after the last", Column("date"), "date", b"\xff\xff\xff", _native.F_VALUE),
    ("a minute of the next day", Column("smalldatetime"), "timestamp", struct.pack("<HH", 1, 1440), _native.F_VALUE),
    ("longer than declared", Column("nvarchar", length=2), "text", b"\x06\x00" + b"a\x00" * 3, _native.F_LENGTH),
    ("a short binary NOT NULL", Column("binary", length=4), "bytea", b"\x03\x00abc", _native.F_LENGTH),
    ("half a character", Column("nvarchar", length=9), "text", b"\x03\x00a\x00b", _native.F_ODD_TEXT),
    ("half a character of many", Column("ntext"), "text", b"\x03\x00\x00\x00a\x00b", _native.F_ODD_TEXT),
    ("a length beyond 2 GB", Column("varbinary", length=MAX), "bytea", struct.pack("<q", 2**31), _native.F_LENGTH),
    ("a negative length", Column("varbinary", length=MAX), "bytea", struct.pack("<q", -2), _native.F_LENGTH),
    ("a negative short length", Column("image"), "bytea", struct.pack("<i", -2), _native.F_LENGTH),
    ("a value cut short", Column("varbinary", length=MAX), "bytea", struct.pack("<q", 9) + b"8", _native.F_TRUNCATED),
    ("a fixed text cut short", Column("char", length=4), "text", b"a\x00b\x00", _native.F_TRUNCATED),
    ("no value at all", Column("uniqueidentifier"), "uuid", b"", _native.F_TRUNCATED),
]  # fmt: skip


@pytest.mark.parametrize(
    ("column", "encoding", "data", "fault"), [c[1:] for c in MALFORMED], ids=[c[0] for c in MALFORMED]
)
def test_what_a_data_file_cannot_hold(column: Column, encoding: str, data: bytes, fault: int) -> None:
    """Every lie ends the file with its reason and column."""
    result = _one(column, encoding, data)
    assert (result.status, result.fault[0]) == (_native.MALFORMED, fault)
    assert result.fault[1] == 1
    assert result.rows == 0


@pytest.mark.parametrize(
    ("text", "fault"), [("a\0b", _native.F_NUL), ("\ud83d", _native.F_SURROGATE)], ids=["U+0000", "lone surrogate"]
)
@pytest.mark.parametrize("length", [20, MAX])
def test_what_postgresql_cannot_hold(text: str, fault: int, length: int) -> None:
    """Rows before it stay; the row with it is named by its number."""
    column = Column("nvarchar", length=length)
    data = rows([column], [["good"], ["good"], [text], ["never read"]])
    result = Result([spec(column, "text")], [data])
    assert (result.status, result.fault[0], result.rows) == (_native.DATA, fault, 2)


def test_marked_fields_are_told_with_their_places() -> None:
    """CLR values pass as bytes; the caller learns where each stands."""
    columns = [Column("int"), Column("hierarchyid", nullable=True)]
    specs = [spec(columns[0], "int4"), spec(columns[1], "text")]
    core = _native.Transcoder(specs, bcp=True)  # type: ignore[arg-type]
    data = rows(columns, [[1, b"\x58"], [2, None], [3, b""]])
    memoryview(core)[: len(data)] = data
    assert core.run(len(data), 1 << 40, 1 << 40) == _native.INPUT
    marks = core.marks()
    taken = core.take()
    assert taken is not None
    assert [(bytes(taken[0])[at : at + 4], column) for at, column in marks] == [
        (struct.pack(">i", 1), 1),
        (struct.pack(">i", 0), 1),
    ]
    assert core.marks() == []


def test_a_column_of_a_wrong_kind_is_refused() -> None:
    """Bytes do not become text by themselves."""
    for column, encoding in (
        (Column("varbinary", length=9), "text"),
        (Column("xml"), "bytea"),
        (Column("int"), "text"),
    ):
        with pytest.raises(ValueError, match="without a conversion"):
            _native.Transcoder([spec(column, encoding)], bcp=True)  # type: ignore[list-item]


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=400), step=st.integers(1, 50), seed=st.integers(0, 2**16))
def test_random_bytes_end_somehow_and_alike(data: bytes, step: int, seed: int) -> None:
    """Whatever the bytes are: an end or a reason, the same however they arrive."""
    kinds = [case[:2] for case in CASES]
    chosen = [kinds[(seed * 31 + i * 7) % len(kinds)] for i in range(1 + seed % 5)]
    specs = [
        spec(_nullable(column) if seed & 1 << i else column, encoding) for i, (column, encoding) in enumerate(chosen)
    ]
    whole, pieces = Result(specs, [data]), Result(specs, [data], step=step)
    assert whole.status in (_native.END, _native.DATA, _native.MALFORMED)
    assert (whole.status, whole.fault, whole.copy) == (pieces.status, pieces.fault, pieces.copy)


def test_every_type_name_has_a_case() -> None:
    """So that a new type is not forgotten here."""
    seen = {column.type for column, _, _ in CASES}
    assert seen >= set(FIXED) | set(SCALED) | {"bit", "decimal", "numeric", "uniqueidentifier"}
