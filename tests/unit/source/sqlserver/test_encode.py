"""Arrow columns into COPY bytes: adaptation per encoding, binary tuples, text lines."""

from __future__ import annotations

import datetime as dt
import struct
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssql_pg_migrate.mapping.types import Encoding
from mssql_pg_migrate.source.sqlserver.encode import (
    Encoder,
    EncodingError,
    adapt,
    contains,
    first_unfit,
    longest,
    text_buffers,
)


def tuples(data: bytes, fields: int) -> Iterator[tuple[bytes | None, ...]]:
    """The fields of binary COPY tuples."""
    position = 0
    while position < len(data):
        (count,) = struct.unpack_from(">h", data, position)
        assert count == fields
        position += 2
        row: list[bytes | None] = []
        for _ in range(count):
            (size,) = struct.unpack_from(">i", data, position)
            position += 4
            row.append(None if size < 0 else data[position : position + size])
            position += max(size, 0)
        yield tuple(row)


def encoded(array: Any, encoding: Encoding) -> list[bytes | None]:
    data = Encoder([encoding], "binary").encode([adapt(array, encoding)], len(array))
    return [row[0] for row in tuples(data, 1)]


def lines(array: Any, encoding: Encoding) -> list[str]:
    data = Encoder([encoding], "text").encode([adapt(array, encoding)], len(array))
    return data.decode().split("\n")[:-1]


@given(st.lists(st.one_of(st.none(), st.uuids()), max_size=20), st.integers(0, 5))
def test_uniqueidentifiers_swap_their_first_groups(values: list[uuid.UUID | None], skip: int) -> None:
    array = pa.array([v and v.bytes_le for v in values], pa.large_binary())[skip:]
    assert encoded(array, "uuid") == [v and v.bytes for v in values[skip:]]
    assert lines(array, "uuid") == ["\\N" if v is None else str(v) for v in values[skip:]]


def test_a_uniqueidentifier_that_is_not_16_bytes_is_refused() -> None:
    with pytest.raises(EncodingError, match="16 bytes"):
        adapt(pa.array([b"short"], pa.large_binary()), "uuid")


def test_times_are_cut_to_microseconds_never_rounded() -> None:
    last = pa.array([86_399_999_999_900, 0, None], pa.time64("ns"))
    assert encoded(last, "time") == [struct.pack(">q", 86_399_999_999), struct.pack(">q", 0), None]
    assert lines(last, "time") == ["23:59:59.999999", "00:00:00.000000", "\\N"]


def test_timestamps_count_from_2000() -> None:
    moments = [
        dt.datetime(1, 1, 1),
        dt.datetime(1753, 1, 1, 0, 0, 0, 3000),
        dt.datetime(9999, 12, 31, 23, 59, 59, 999999),
    ]
    array = pa.array(moments, pa.timestamp("us"))
    epoch = dt.datetime(2000, 1, 1)
    wanted = [struct.pack(">q", (moment - epoch) // dt.timedelta(microseconds=1)) for moment in moments]
    assert encoded(array, "timestamp") == wanted
    assert encoded(array.cast(pa.timestamp("us", "+00:00")), "timestamptz") == wanted
    assert lines(array.cast(pa.timestamp("us", "+00:00")), "timestamptz") == [
        "0001-01-01 00:00:00.000000+00",
        "1753-01-01 00:00:00.003000+00",
        "9999-12-31 23:59:59.999999+00",
    ]


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (-62_135_596_800_000_001, "0001-12-31 23:59:59.999999+00 BC"),
        (-62_135_647_200_000_000, "0001-12-31 10:00:00.000000+00 BC"),
        (253_402_300_800_000_000, "10000-01-01 00:00:00.000000+00"),
        (253_402_351_199_999_999, "10000-01-01 13:59:59.999999+00"),
    ],
)
def test_instants_just_outside_the_years_1_to_9999_arrive(micros: int, text: str) -> None:
    """A datetimeoffset at the ends of its range, in UTC."""
    column = adapt(pa.array([micros, None, 0], pa.int64()).cast(pa.timestamp("us", "UTC")), "timestamptz")
    assert encoded(column, "timestamptz") == [
        struct.pack(">q", micros - 946_684_800_000_000),
        None,
        struct.pack(">q", -946_684_800_000_000),
    ]
    assert lines(column, "timestamptz") == [text, "\\N", "1970-01-01 00:00:00.000000+00"]


@given(st.lists(st.integers(-100_000, 100_000), min_size=1, max_size=40))
def test_the_first_value_that_does_not_fit_is_found(values: list[int]) -> None:
    bad = [position for position, value in enumerate(values) if not -32768 <= value <= 32767]
    array = pa.array(values, pa.int32())
    assert (first_unfit(array, "int2") if bad else None) == (bad[0] if bad else None)
    assert first_unfit(pa.array(["x"], pa.string()), "int2") is None, "the type is wrong, not a value"


@pytest.mark.parametrize(
    ("array", "encoding", "wanted"),
    [
        (pa.array([0, 255], pa.uint8()), "int2", [b"\0\0", b"\0\xff"]),
        (pa.array([-1], pa.int32()), "int8", [b"\xff" * 8]),
        (pa.array([7], pa.int16()), "float8", [struct.pack(">d", 7.0)]),
        (pa.array([1.5], pa.float32()), "float8", [struct.pack(">d", 1.5)]),
        (pa.array([12345], pa.int32()), "numeric", [struct.pack(">hhHH2h", 2, 1, 0, 0, 1, 2345)]),
        (pa.array([dt.date(2000, 1, 2)], pa.date32()), "timestamp", [struct.pack(">q", 86_400_000_000)]),
        (pa.array([True, False, None]), "bool", [b"\1", b"\0", None]),
    ],
)
def test_columns_may_widen_to_an_existing_target_type(
    array: Any, encoding: Encoding, wanted: list[bytes | None]
) -> None:
    assert encoded(array, encoding) == wanted


@pytest.mark.parametrize(
    ("array", "encoding"),
    [
        (pa.array([70_000], pa.int32()), "int2"),
        (pa.array([2**60], pa.int64()), "float8"),
        (pa.array([1.5]), "int4"),
        (pa.array([1.5]), "numeric"),
        (pa.array(["x"], pa.large_string()), "bytea"),
        (pa.array([True]), "int4"),
        (pa.array([0], pa.timestamp("us")), "timestamptz"),
    ],
)
def test_what_does_not_fit_exactly_is_refused(array: Any, encoding: Encoding) -> None:
    with pytest.raises(EncodingError):
        adapt(array, encoding)


@given(st.lists(st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))))
def test_text_lines_escape_what_copy_would_take_for_syntax(values: list[str | None]) -> None:
    array = pa.array(values, pa.large_string())
    data = Encoder(["text", "text"], "text").encode([array, array], len(values)).decode()
    rows = data.split("\n")
    assert rows.pop() == ""
    escapes = {"\\\\": "\\", "\\t": "\t", "\\n": "\n", "\\r": "\r"}

    def unescaped(field: str) -> str | None:
        if field == "\\N":
            return None
        out, position = "", 0
        while position < len(field):
            pair = field[position : position + 2]
            out += escapes.get(pair, field[position])
            position += 2 if pair in escapes else 1
        return out

    assert [[unescaped(field) for field in row.split("\t")] for row in rows] == [[v, v] for v in values]


def test_text_lines_of_every_encoding() -> None:
    cases: list[tuple[Any, Encoding, list[str]]] = [
        (pa.array([True, False, None]), "bool", ["t", "f", "\\N"]),
        (pa.array([1, -2, None], pa.int16()), "int2", ["1", "-2", "\\N"]),
        (pa.array([b"", b"\x00\xff", None], pa.large_binary()), "bytea", ["\\\\x", "\\\\x00ff", "\\N"]),
        (pa.array([Decimal("-0.10"), Decimal("1234.00")], pa.decimal128(38, 2)), "numeric", ["-0.10", "1234.00"]),
        (pa.array([dt.date(1, 1, 1), dt.date(9999, 12, 31)]), "date", ["0001-01-01", "9999-12-31"]),
        (pa.array([], pa.large_string()), "text", []),
    ]
    for array, encoding, wanted in cases:
        assert lines(array, encoding) == wanted


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_floats_in_text_lines_read_back_the_same(values: list[float]) -> None:
    assert [struct.pack(">d", float(line)) for line in lines(pa.array(values), "float8")] == [
        struct.pack(">d", value) for value in values
    ]


@given(st.lists(st.integers(-(10**38) + 1, 10**38 - 1), min_size=1), st.integers(0, 38))
def test_decimals_in_text_lines_are_exact(unscaled: list[int], scale: int) -> None:
    values = [Decimal((int(v < 0), tuple(map(int, str(abs(v)))), -scale)) for v in unscaled]
    found = [Decimal(line) for line in lines(pa.array(values, pa.decimal128(38, scale)), "numeric")]
    assert found == values


def test_a_table_without_copied_columns_has_empty_tuples() -> None:
    assert Encoder([], "binary").encode([], 3) == b"\0\0" * 3
    assert Encoder([], "text").encode([], 2) == b"\n\n"


def test_buffers_are_cut_to_their_content() -> None:
    array = pa.array(["ab", None, "cde", "f"], pa.large_string())[1:3]
    offsets, data = text_buffers(array)
    assert (offsets.tolist(), bytes(data)) == ([0, 0, 3], b"cde")
    assert contains(array, b"de")
    assert not contains(array, b"a")
    assert not contains(array, b"f")
    assert longest(array) == (1, 3)
    assert longest(array[:0]) == (0, 0)


def test_one_encoder_serves_batches_of_one_request() -> None:
    encoder = Encoder(["int4"], "binary")
    first = encoder.encode([pa.array([1], pa.int32())], 1)
    second = encoder.encode([pa.array([2], pa.int32())], 1)
    assert [row[0] for row in tuples(first + second, 1)] == [struct.pack(">i", 1), struct.pack(">i", 2)]
