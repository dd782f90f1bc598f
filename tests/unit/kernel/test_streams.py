"""Packets, tokens and values cut anywhere; chunk limits; streams that are not TDS."""

from __future__ import annotations

import os
import random
import struct
from decimal import Decimal
from typing import Any

import pytest

from kernel_oracle import DONE, LATIN, UTF8, Col, nbc_row, packets, row, specs, ti, transcode, tuples
from mssql_pg_migrate._kernel import _native
from mssql_pg_migrate.tds import types as t

COLUMNS = [
    Col(ti(t.INT4, 4), "int4", key=0),
    Col(ti(t.INTN, 8), "int8"),
    Col(ti(t.DECIMALN, 17, 30, 5), "numeric"),
    Col(ti(t.DATETIMEN, 8), "timestamp"),
    Col(ti(t.NVARCHAR, 60, collation=LATIN), "text", key=1),
    Col(ti(t.NVARCHAR, 0xFFFF, collation=LATIN), "text"),
    Col(ti(t.BIGVARCHAR, 0xFFFF, collation=UTF8), "text"),
    Col(ti(t.NTEXT, 0x7FFFFFFE, collation=LATIN), "text"),
    Col(ti(t.BIGVARBINARY, 0xFFFF), "bytea"),
    Col(ti(t.BITN, 1), "bool"),
]
ROWS: list[list[Any]] = [
    [
        1,
        2**40,
        Decimal("12345.00000"),
        630_000_000_000_000_000,
        "key 🚀",
        "a🚀é" * 5,
        "b🚀é" * 4,
        "n🚀",
        b"\x00\xd1\xd2\xfd",
        True,
    ],
    [2, None, None, None, "", None, None, None, None, None],
    [3, -1, Decimal("-1.00000"), 630_000_000_000_000_000, "日本", "", "", "", b"", False],
]
STREAM = row(COLUMNS, ROWS[0]) + nbc_row(COLUMNS, ROWS[1]) + nbc_row(COLUMNS, ROWS[2]) + DONE
EXPECTED = tuples(COLUMNS, ROWS)


def check(raw: bytes, step: int) -> None:
    """The stream above comes out whole."""
    outcome = transcode(COLUMNS, raw, step=step)
    assert outcome.status == _native.TOKEN, outcome.fault
    assert outcome.copy == EXPECTED
    assert outcome.rows == len(ROWS)
    assert outcome.keys == (struct.pack("<i", 3), "日本".encode("utf-16-le"))


@pytest.mark.parametrize("step", [1, 2, 3, 5, 7, 8, 9, 13, 64, 1 << 20])
def test_reads_of_any_size(step: int) -> None:
    """However few bytes a read brings."""
    check(packets(STREAM), step)
    check(packets(STREAM, 11), step)


@pytest.mark.parametrize("size", range(1, 48))
def test_packets_of_any_size(size: int) -> None:
    """However small packets are: every token and length is cut somewhere."""
    check(packets(STREAM, size), 1 << 20)


def test_a_packet_boundary_at_every_offset() -> None:
    """Two packets, and an empty one between them, cut at each byte of the stream."""
    for at in range(1, len(STREAM)):
        raw = packets(STREAM[:at], last=False) + packets(b"", last=False) + packets(STREAM[at:])
        check(raw, 1 << 20)


def test_a_read_that_ends_at_every_offset() -> None:
    """Two reads, cut at each byte, packet headers included; the first may end inside the last token."""
    raw = packets(STREAM, 64)
    for at in range(1, len(raw)):
        core = _native.Transcoder(specs(COLUMNS))
        memoryview(core)[:at] = raw[:at]
        assert core.run(at, 1000, 1 << 30) in (_native.INPUT, _native.TOKEN)
        rest = len(raw) - at
        memoryview(core)[:rest] = raw[at:]
        assert core.run(rest, 1000, 1 << 30) == _native.TOKEN
        taken = core.take()
        assert taken is not None
        assert bytes(taken[0]) == EXPECTED


def test_the_stream_cut_short_at_every_offset() -> None:
    """A message that ends inside a row is an error; one whose rest has not come yet is not."""
    for at in range(1, len(STREAM) - len(DONE)):
        raw = packets(STREAM[:at])
        whole = at in (len(row(COLUMNS, ROWS[0])), len(STREAM) - len(DONE) - len(nbc_row(COLUMNS, ROWS[2])))
        outcome = transcode(COLUMNS, raw)
        assert outcome.status == (_native.END if whole else _native.MALFORMED)
        if not whole:
            assert outcome.fault[0] == _native.F_TRUNCATED
        assert transcode(COLUMNS, raw[:-1]).status == _native.INPUT
        assert EXPECTED.startswith(outcome.copy)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("piece", [1, 2, 3, 5, 1000])
def test_values_in_pieces(known: bool, piece: int) -> None:
    """PLP chunks that cut characters in two, with and without a total announced."""

    def plp(data: bytes) -> bytes:
        parts = [data[at : at + piece] for at in range(0, len(data), piece)]
        total = struct.pack("<Q", len(data) if known else t.PLP_UNKNOWN)
        return total + b"".join(struct.pack("<I", len(part)) + part for part in parts) + bytes(4)

    text = "x🚀é日" * 7 + "abcdefghijklmnopqrstuvwxyz" * 3
    columns = [
        Col(ti(t.NVARCHAR, 0xFFFF, collation=LATIN), "text"),
        Col(ti(t.BIGVARCHAR, 0xFFFF, collation=UTF8), "text"),
        Col(ti(t.BIGVARCHAR, 0xFFFF, collation=LATIN), "text"),
        Col(ti(t.BIGVARBINARY, 0xFFFF), "bytea"),
    ]
    stream = b"\xd1" + plp(text.encode("utf-16-le")) + plp(text.encode()) + plp(b"caf\xe9\x80") + plp(b"\xff\x00")
    expected = tuples(columns, [[text, text, "café€", b"\xff\x00"]])
    for size in (7, 32759):
        for step in (1, 1 << 20):
            outcome = transcode(columns, packets(stream + DONE, size), step=step)
            assert outcome.status == _native.TOKEN, outcome.fault
            assert outcome.copy == expected


def test_a_value_larger_than_all_buffers() -> None:
    """Twenty megabytes in one field, between small columns."""
    columns = [
        Col(ti(t.INT4, 4), "int4", key=0),
        Col(ti(t.NVARCHAR, 0xFFFF, collation=LATIN), "text"),
        Col(ti(t.INT4, 4), "int4"),
    ]
    text = "0123456789é" * 1_000_000
    rows = [[1, text, 2], [3, "x", 4]]
    outcome = transcode(columns, packets(b"".join(row(columns, values) for values in rows) + DONE), step=1 << 17)
    assert outcome.copy == tuples(columns, rows)


def test_chunks_end_at_rows_and_at_bytes() -> None:
    """A limit ends a chunk after the row that reaches it; one huge row still passes alone."""
    columns = [Col(ti(t.INT4, 4), "int4", key=0), Col(ti(t.NVARCHAR, 0xFFFF, collation=LATIN), "text")]
    rows = [[i, "x" * (5000 if i == 4 else 10)] for i in range(10)]
    raw = packets(b"".join(row(columns, values) for values in rows) + DONE)
    by_rows = transcode(columns, raw, max_rows=3)
    assert [chunk[1] for chunk in by_rows.chunks] == [3, 3, 3, 1]
    assert [chunk[2] for chunk in by_rows.chunks] == [(struct.pack("<i", i),) for i in (2, 5, 8, 9)]
    assert by_rows.copy == tuples(columns, rows)
    by_bytes = transcode(columns, raw, max_bytes=50)
    assert [chunk[1] for chunk in by_bytes.chunks] == [3, 2, 3, 2]
    assert by_bytes.copy == tuples(columns, rows)


def test_a_message_may_start_inside_a_packet() -> None:
    """What was read of a packet before the rows began is handed over."""
    core = _native.Transcoder(specs(COLUMNS))
    core.start(STREAM[:30], False)
    raw = packets(STREAM[30:])
    assert core.run(0, 1000, 1 << 30) == _native.INPUT
    memoryview(core)[: len(raw)] = raw
    assert core.run(len(raw), 1000, 1 << 30) == _native.TOKEN
    taken = core.take()
    assert taken is not None
    assert bytes(taken[0]) == EXPECTED


def test_tokens_between_rows_are_handed_out_whole() -> None:
    """A token cut by packets is joined on request, then the rows go on."""
    info = struct.pack("<BH", 0xAB, 300) + bytes(300)
    stream = row(COLUMNS, ROWS[0]) + info + row(COLUMNS, ROWS[2]) + DONE
    raw = packets(stream, 50)
    core = _native.Transcoder(specs(COLUMNS))
    memoryview(core)[: len(raw)] = raw
    assert core.run(len(raw), 1000, 1 << 30) == _native.TOKEN
    while len(core.token()) < len(info):
        assert core.extend(0) == _native.CHUNK
    assert core.token().startswith(info)
    core.skip(len(info))
    assert core.run(0, 1000, 1 << 30) == _native.TOKEN
    while len(core.token()) < len(DONE):
        assert core.extend(0) == _native.CHUNK
    assert core.token() == DONE
    core.skip(len(DONE))
    assert core.run(0, 1000, 1 << 30) == _native.END
    taken = core.take()
    assert taken is not None
    assert bytes(taken[0]) == tuples(COLUMNS, [ROWS[0], ROWS[2]])
    with pytest.raises(ValueError, match="not that many"):
        core.skip(1)


def test_the_rest_of_a_message_can_be_thrown_away() -> None:
    """After an attention: only the last token counts, in this message or in the next."""
    core = _native.Transcoder(specs(COLUMNS))
    acknowledged = b"\xfd\x20\x00\x00\x00" + bytes(8)
    raw = packets(STREAM[:-40] * 3 + DONE, 33) + packets(acknowledged)
    first = len(raw) // 2
    memoryview(core)[:first] = raw[:first]
    assert core.run(100, 1000, 1 << 30) == _native.INPUT
    assert core.discard(first - 100, 13) == _native.INPUT
    memoryview(core)[: len(raw) - first] = raw[first:]
    assert core.discard(len(raw) - first, 13) == _native.END
    assert core.token() == DONE
    core.again()
    assert core.discard(0, 13) == _native.END
    assert core.token() == acknowledged
    assert core.take() is None


# --- malformed --------------------------------------------------------------------------------------------------------


def faulty(columns: list[Col], payload: bytes) -> tuple[int, int, int]:
    """The fault of a stream that must have one."""
    outcome = transcode(columns, packets(payload + DONE))
    assert outcome.status == _native.MALFORMED
    assert outcome.fault == transcode(columns, packets(payload + DONE, 3), step=2).fault
    return outcome.fault


@pytest.mark.parametrize(
    ("column", "raw", "code", "detail"),
    [
        (Col(ti(t.INTN, 4), "int4"), "03 000000", _native.F_LENGTH, 3),
        (Col(ti(t.INTN, 4), "int4"), "08 0000000000000000", _native.F_LENGTH, 8),
        (Col(ti(t.DECIMALN, 5, 9, 0), "numeric"), "01 00", _native.F_LENGTH, 1),
        (Col(ti(t.DECIMALN, 5, 9, 0), "numeric"), "12" + "00" * 18, _native.F_LENGTH, 18),
        (Col(ti(t.GUID, 16), "uuid"), "08" + "00" * 8, _native.F_LENGTH, 8),
        (Col(ti(t.DATEN, 3), "date"), "03 dbb937", _native.F_VALUE, 3),
        (Col(ti(t.TIMEN, 3, 0, 0), "time"), "03 805101", _native.F_VALUE, 3),
        (Col(ti(t.DATETIME2N, 6, 0, 0), "timestamp"), "06 000000 dbb937", _native.F_VALUE, 6),
        (Col(ti(t.DATETIME2N, 6, 0, 0), "timestamp"), "06 805101 000000", _native.F_VALUE, 6),
        (Col(ti(t.DATETIMEN, 8), "timestamp"), "08 452effff 00000000", _native.F_VALUE, 8),
        (Col(ti(t.DATETIMEN, 8), "timestamp"), "08 00000000 00828b01", _native.F_VALUE, 8),
        (Col(ti(t.DATETIMEN, 8), "timestamp"), "08 80242d00 00000000", _native.F_VALUE, 8),
        (Col(ti(t.DATETIMEN, 4), "timestamp"), "04 0000 a005", _native.F_VALUE, 4),
        (Col(ti(t.NVARCHAR, 20, collation=LATIN), "text"), "0300 610062", _native.F_ODD_TEXT, 3),
        (Col(ti(t.NVARCHAR, 0xFFFF, collation=LATIN), "text"), "feff" + "ff" * 6 + "01000000 61 00000000", 7, 1),
        (Col(ti(t.NVARCHAR, 0xFFFF), "text"), "0400000000000000 02000000 6100 00000000", _native.F_PLP_TOTAL, 2),
        (Col(ti(t.NVARCHAR, 0xFFFF), "text"), "0200000000000000 04000000 61006100", _native.F_PLP_TOTAL, 4),
        (Col(ti(t.IMAGE, 10), "bytea"), "01 00 0000000000000000 ffffffff", _native.F_LENGTH, 0xFFFFFFFF),
    ],
)
def test_impossible_values(column: Col, raw: str, code: int, detail: int) -> None:
    """A length or a value that its type cannot have stops the stream and names the column."""
    if raw.startswith("feff"):
        raw = "fe" + "ff" * 7 + raw[16:]
        code = _native.F_ODD_TEXT
    columns = [Col(ti(t.INT4, 4), "int4"), column]
    assert faulty(columns, b"\xd1" + bytes(4) + bytes.fromhex(raw)) == (code, 1, detail)


def test_packets_that_are_none() -> None:
    """Another packet type, a length below a header's."""
    columns = [Col(ti(t.INT4, 4), "int4")]
    for raw, code, detail in (
        (b"\x03\x01\x00\x09\x00\x00\x00\x00\xd1", _native.F_PACKET_TYPE, 3),
        (b"\x04\x01\x00\x07\x00\x00\x00\x00\xd1", _native.F_PACKET_LENGTH, 7),
    ):
        outcome = transcode(columns, raw)
        assert outcome.status == _native.MALFORMED
        assert outcome.fault == (code, -1, detail)


def test_a_faulty_stream_stays_faulty() -> None:
    """No call after a fault makes the transcoder go on."""
    core = _native.Transcoder(specs([Col(ti(t.INTN, 4), "int4")]))
    raw = packets(b"\xd1\x03\x00\x00\x00" + DONE)
    memoryview(core)[: len(raw)] = raw
    for _ in range(3):
        assert core.run(0 if _ else len(raw), 10, 10) == _native.MALFORMED
    assert core.extend(0) == _native.MALFORMED
    assert core.discard(0, 13) == _native.MALFORMED


def test_arguments_out_of_range() -> None:
    """More bytes than the buffer holds, limits of zero, a payload that does not fit."""
    core = _native.Transcoder(specs(COLUMNS))
    room = len(memoryview(core))
    for arguments in ((room + 1, 1, 1), (-1, 1, 1), (0, 0, 1), (0, 1, 0)):
        with pytest.raises(ValueError, match="out of range"):
            core.run(*arguments)
    with pytest.raises(ValueError, match="does not fit"):
        core.start(bytes(room + 1), False)
    with pytest.raises(ValueError, match="out of range"):
        core.extend(room + 1)
    with pytest.raises(ValueError, match="out of range"):
        core.discard(room + 1, 0)


def test_flipped_bytes_never_crash() -> None:
    """Each byte of the stream set to other values: an outcome every time, and never more memory than the input."""
    seed = int(os.environ.get("KERNEL_SEED", "1"))
    random_ = random.Random(seed)
    for at in range(len(STREAM)):
        for value in {0, 1, 0x7F, 0x80, 0xFE, 0xFF, 0xD1, random_.randrange(256)}:
            changed = STREAM[:at] + bytes((value,)) + STREAM[at + 1 :]
            outcome = transcode(COLUMNS, packets(changed, random_.choice((5, 60, 32759))))
            assert outcome.status in range(6)
            assert len(outcome.copy) <= 20 * len(STREAM)
