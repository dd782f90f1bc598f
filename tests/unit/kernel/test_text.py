"""Character data: UTF-16, UTF-8 and code pages against Python's codecs, and what PostgreSQL cannot hold."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_oracle import DONE, LATIN, UTF8, Col, Outcome, packets, ti, transcode
from mssql_pg_migrate import _kernel
from mssql_pg_migrate._kernel import _native, generate_codepages
from mssql_pg_migrate.tds import types as t

KEY = Col(ti(t.INT4, 4), "int4", key=0)
UTF16_MAX = Col(ti(t.NVARCHAR, 0xFFFF, collation=LATIN), "text")
UTF16 = Col(ti(t.NVARCHAR, 8000, collation=LATIN), "text")
UTF8_MAX = Col(ti(t.BIGVARCHAR, 0xFFFF, collation=UTF8), "text")
UTF8_SHORT = Col(ti(t.BIGVARCHAR, 8000, collation=UTF8), "text")


def framed(column: Col, data: bytes, piece: int) -> bytes:
    """The value as it stands in a row; a (max) value in chunks of `piece` bytes."""
    if column.info.length != 0xFFFF:
        return struct.pack("<H", len(data)) + data
    parts = [data[at : at + piece] for at in range(0, len(data), piece)]
    return struct.pack("<Q", len(data)) + b"".join(struct.pack("<I", len(p)) + p for p in parts) + bytes(4)


def run(column: Col, data: bytes, *, piece: int = 1 << 20, strip_nul: bool = False) -> Outcome:
    """One row before, the value, the column of the key behind it."""
    stream = b"\xd1" + framed(column, b"", 1) + struct.pack("<i", 1)
    stream += b"\xd1" + framed(column, data, piece) + struct.pack("<i", 77)
    return transcode([column, KEY], packets(stream + DONE), strip_nul=strip_nul)


def text_of(outcome: Outcome) -> bytes:
    """The text of the second row's first field."""
    assert outcome.status == _native.TOKEN, outcome.fault
    assert outcome.rows == 2
    start = 2 + 4 + 8 + 2
    (length,) = struct.unpack_from(">i", outcome.copy, start)
    assert start + 4 + length + 8 == len(outcome.copy)
    return outcome.copy[start + 4 : start + 4 + length]


_any = st.characters(min_codepoint=1, exclude_categories=("Cs",))
texts = st.text(st.one_of(st.characters(min_codepoint=1, max_codepoint=127), _any))
long_texts = st.builds(lambda parts, n: "".join(parts) * n, st.lists(texts, max_size=8), st.integers(1, 12))


@given(long_texts, st.integers(1, 50))
def test_utf16_is_what_python_makes_of_it(text: str, piece: int) -> None:
    """Any text, in one piece and in pieces."""
    data = text.encode("utf-16-le")
    assert text_of(run(UTF16_MAX, data, piece=piece)) == text.encode()
    if len(data) <= 8000:
        assert text_of(run(UTF16, data)) == text.encode()


@given(long_texts, st.integers(1, 50))
def test_utf8_is_passed_on(text: str, piece: int) -> None:
    """Any text, in one piece and in pieces."""
    data = text.encode()
    assert text_of(run(UTF8_MAX, data, piece=piece)) == data
    if len(data) <= 8000:
        assert text_of(run(UTF8_SHORT, data)) == data


def test_every_position_of_a_character_in_a_run() -> None:
    """Each kind of character at each place of a block that is copied at once."""
    for char in ("é", "日", "🚀", "\x7f", "\x80", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\uffff", "\U0010ffff"):
        for at in range(40):
            text = "a" * at + char + "b" * 37
            assert text_of(run(UTF16, text.encode("utf-16-le"))) == text.encode()
            assert text_of(run(UTF8_SHORT, text.encode())) == text.encode()


@pytest.mark.parametrize("page", generate_codepages.CODE_PAGES)
def test_code_pages(page: int) -> None:
    """All bytes of a code page as Python decodes them; free bytes are refused, but for the C1 controls."""
    spec = (t.BIGVARCHAR, 8000, 0, 0, page, 7, -1)
    for byte in range(1, 256):
        data = bytes((byte,)) * 3
        core = _native.Transcoder([spec])
        raw = packets(b"\xd1" + struct.pack("<H", 3) + data + DONE)
        memoryview(core)[: len(raw)] = raw
        status = core.run(len(raw), 10, 1 << 20)
        try:
            text = data.decode(f"cp{page}")
        except UnicodeDecodeError:
            if byte >= 0xA0:
                assert status == _native.DATA
                assert core.fault() == (_native.F_UNMAPPED, 0, byte)
                continue
            text = chr(byte) * 3
        assert status == _native.TOKEN
        taken = core.take()
        assert taken is not None
        assert bytes(taken[0])[6:] == text.encode()


def test_the_tables_are_those_the_generator_writes() -> None:
    """codepages.h is not edited by hand."""
    header = Path(_kernel.__file__ or "").with_name("codepages.h")
    assert header.read_text(encoding="ascii") == generate_codepages.render()


@given(st.binary(max_size=60), st.integers(1, 7))
def test_bytes_that_may_not_be_utf8(data: bytes, piece: int) -> None:
    """Refused exactly when Python refuses them."""
    try:
        data.decode()
        valid = True
    except UnicodeDecodeError:
        valid = False
    for outcome in (run(UTF8_MAX, data, piece=piece), run(UTF8_SHORT, data)):
        if b"\0" in data and valid:
            assert (outcome.status, outcome.fault[0]) == (_native.DATA, _native.F_NUL)
        elif valid:
            assert text_of(outcome) == data
        else:
            assert outcome.status == _native.DATA
            assert outcome.fault[0] in (_native.F_UTF8, _native.F_NUL)


@given(st.lists(st.sampled_from([0x41, 0x42, 0xE9, 0xD83D, 0xDE80, 0xDBFF, 0xDC00, 0xFFFF]), max_size=40))
def test_units_that_may_not_be_utf16(units: list[int]) -> None:
    """Refused exactly when Python refuses them."""
    data = struct.pack(f"<{len(units)}H", *units)
    try:
        expected = data.decode("utf-16-le").encode()
    except UnicodeDecodeError:
        expected = None
    for piece in (1, 3, 1000):
        for column in (UTF16_MAX, UTF16):
            outcome = run(column, data, piece=piece)
            if expected is not None:
                assert text_of(outcome) == expected
            else:
                assert (outcome.status, outcome.fault[:2]) == (_native.DATA, (_native.F_SURROGATE, 0))
                assert 0xD800 <= outcome.fault[2] <= 0xDFFF


@pytest.mark.parametrize("column", [UTF16, UTF16_MAX, UTF8_SHORT, UTF8_MAX, Col(UTF8_SHORT.info, "text")])
@pytest.mark.parametrize("place", [0, 1, 7, 8, 15, 16, 17, 31, 32, 50])
def test_nul_is_an_error_or_is_stripped(column: Col, place: int) -> None:
    """U+0000 wherever it stands: its row is named by its key, which comes after it; or it vanishes."""
    text = "x" * place + "\0" + "y" * 40 + "é\0"
    data = text.encode("utf-16-le" if column.info.type_id == t.NVARCHAR else "utf-8")
    for piece in (1, 1000):
        outcome = run(column, data, piece=piece)
        assert outcome.status == _native.DATA
        assert outcome.fault == (_native.F_NUL, 0, 0)
        assert outcome.keys == (struct.pack("<i", 77),)
        assert outcome.rows == 1, "the good row before it is kept apart"
        assert text_of(run(column, data, piece=piece, strip_nul=True)) == text.replace("\0", "").encode()


def test_the_first_fault_of_a_row_is_reported() -> None:
    """Two bad columns: the first one is named."""
    columns = [UTF16, UTF8_SHORT, KEY]
    stream = b"\xd1" + framed(UTF16, b"\x3d\xd8", 1) + framed(UTF8_SHORT, b"\xff", 1) + struct.pack("<i", 5)
    outcome = transcode(columns, packets(stream + DONE))
    assert outcome.status == _native.DATA
    assert outcome.fault == (_native.F_SURROGATE, 0, 0xD83D)
    assert outcome.keys == (struct.pack("<i", 5),)
    assert outcome.copy == b""
