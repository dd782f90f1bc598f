"""TYPE_INFO, COLMETADATA and values of every type, both ways; answers of another server, where they are at hand."""

from __future__ import annotations

import json
import os
import struct
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mssql_pg_migrate.tds import times, tokens
from mssql_pg_migrate.tds import types as t
from mssql_pg_migrate.tds.buffer import ByteReader, NeedMoreData, ProtocolError
from mssql_pg_migrate.tds.collations import Collation, decode_char, encode_char
from mssql_pg_migrate.tds.metadata import (
    ColumnMetadata,
    TypeInfo,
    UdtInfo,
    XmlSchemaInfo,
    decode_colmetadata,
    decode_type_info,
    encode_colmetadata,
)
from mssql_pg_migrate.tds.values import (
    TICKS_PER_DAY,
    RowDecoder,
    Variant,
    decode_value,
    encode_plp,
    encode_value,
    payload_of,
    raw_value,
    read_plp,
)

LATIN = Collation.from_name("SQL_Latin1_General_CP1_CI_AS").encode()
UTF8 = Collation.from_name("Latin1_General_100_CI_AS_SC_UTF8").encode()
MAX_TICKS = (times.MAX_DAYS + 1) * TICKS_PER_DAY - 1


def info(kind: int, length: int = 0, **others: Any) -> TypeInfo:
    return TypeInfo(type_id=kind, length=length, **others)


def decimals(precision: int, scale: int) -> st.SearchStrategy[Decimal]:
    bound = 10**precision - 1
    return st.integers(-bound, bound).map(
        lambda number: Decimal((number < 0, tuple(map(int, str(abs(number)))), -scale))
    )


def any_text(limit: int) -> st.SearchStrategy[str]:
    # Lone surrogates included; a pair of them would be read as the character it is.
    return st.text(max_size=limit).map(
        lambda s: s.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    )


def thirds(value: int) -> int:
    days, third = divmod(value, 25_920_000)
    return days * TICKS_PER_DAY + (third * 100_000 + 1) // 3


CASES: dict[str, tuple[TypeInfo, st.SearchStrategy[Any]]] = {
    "tinyint": (info(t.INTN, 1), st.integers(0, 255)),
    "smallint": (info(t.INTN, 2), st.integers(-(1 << 15), (1 << 15) - 1)),
    "int": (info(t.INTN, 4), st.integers(-(1 << 31), (1 << 31) - 1)),
    "bigint": (info(t.INTN, 8), st.integers(-(1 << 63), (1 << 63) - 1)),
    "int not null": (info(t.INT4, 4), st.integers(-(1 << 31), (1 << 31) - 1)),
    "tinyint not null": (info(t.INT1, 1), st.integers(0, 255)),
    "bit": (info(t.BITN, 1), st.booleans()),
    "bit not null": (info(t.BIT, 1), st.booleans()),
    "real": (info(t.FLOATN, 4), st.floats(width=32, allow_nan=False)),
    "float": (info(t.FLOATN, 8), st.floats(allow_nan=False)),
    "money": (info(t.MONEYN, 8), decimals(18, 4)),
    "smallmoney": (info(t.MONEY4, 4), decimals(9, 4)),
    "decimal(38,0)": (info(t.DECIMALN, 17, precision=38), decimals(38, 0)),
    "decimal(38,38)": (info(t.NUMERICN, 17, precision=38, scale=38), decimals(38, 38)),
    "decimal(5,2)": (info(t.DECIMALN, 5, precision=5, scale=2), decimals(5, 2)),
    "date": (info(t.DATEN, 3), st.integers(0, times.MAX_DAYS)),
    "time(7)": (info(t.TIMEN, 5, scale=7), st.integers(0, TICKS_PER_DAY - 1)),
    "time(0)": (info(t.TIMEN, 3, scale=0), st.integers(0, 86_399).map(lambda s: s * 10_000_000)),
    "datetime2(7)": (info(t.DATETIME2N, 8, scale=7), st.integers(0, MAX_TICKS)),
    "datetime2(3)": (info(t.DATETIME2N, 7, scale=3), st.integers(0, MAX_TICKS // 10_000).map(lambda ms: ms * 10_000)),
    "datetimeoffset(7)": (
        info(t.DATETIMEOFFSETN, 10, scale=7),
        st.tuples(st.integers(TICKS_PER_DAY, MAX_TICKS - TICKS_PER_DAY), st.integers(-840, 840)),
    ),
    "datetime": (info(t.DATETIMEN, 8), st.integers(639_905 * 25_920_000, times.MAX_DAYS * 25_920_000).map(thirds)),
    "smalldatetime": (
        info(t.DATETIME4, 4),
        st.integers(0, 65_535 * 1440 + 1439).map(lambda minute: 693_595 * TICKS_PER_DAY + minute * 600_000_000),
    ),
    "uniqueidentifier": (info(t.GUID, 16), st.uuids()),
    "varbinary(50)": (info(t.BIGVARBINARY, 50), st.binary(max_size=50)),
    "varbinary(max)": (info(t.BIGVARBINARY, t.MAX_LENGTH), st.binary(max_size=300)),
    "image": (info(t.IMAGE, 0x7FFFFFFF), st.binary(max_size=50)),
    "nvarchar(50)": (info(t.NVARCHAR, 100, collation=LATIN), any_text(25)),
    "nvarchar(max)": (info(t.NVARCHAR, t.MAX_LENGTH, collation=LATIN), any_text(300)),
    "ntext": (info(t.NTEXT, 0x7FFFFFFE, collation=LATIN), any_text(50)),
    "varchar(50)": (
        info(t.BIGVARCHAR, 50, collation=LATIN),
        st.text(st.sampled_from([decode_char(bytes((b,)), LATIN) for b in range(256)]), max_size=50),
    ),
    "varchar(max) utf8": (
        info(t.BIGVARCHAR, t.MAX_LENGTH, collation=UTF8),
        st.text(st.characters(blacklist_categories=("Cs",)), max_size=50),
    ),
    "text": (info(t.TEXT, 0x7FFFFFFF, collation=LATIN), st.text("abc é€", max_size=50)),
    "xml": (info(t.XML, t.MAX_LENGTH), any_text(50).map(lambda s: s.lstrip("\ufeff"))),
    "json": (info(t.JSON, t.MAX_LENGTH), st.text(st.characters(blacklist_categories=("Cs",)), max_size=50)),
    "udt": (info(t.UDT, t.MAX_LENGTH, udt=UdtInfo("db", "sys", "geometry", "asm")), st.binary(max_size=50)),
    "vector": (info(t.VECTOR, 8 + 4 * 3), st.binary(min_size=20, max_size=20)),
}


class TestValues:
    @pytest.mark.parametrize("name", CASES)
    def test_round_trip(self, name: str) -> None:
        kind, values = CASES[name]

        @given(values)
        def check(value: Any) -> None:
            data = encode_value(kind, value)
            reader = ByteReader(data)
            assert decode_value(reader, kind) == value
            assert reader.remaining == 0
            assert raw_value(ByteReader(data + b"rest"), kind) == data

        check()

    @pytest.mark.parametrize("name", [name for name, (kind, _) in CASES.items() if kind.fixed_size is None])
    def test_null(self, name: str) -> None:
        kind, _ = CASES[name]
        data = encode_value(kind, None)
        assert decode_value(ByteReader(data), kind) is None
        assert payload_of(ByteReader(data), kind) is None

    def test_types_without_null_refuse_it(self) -> None:
        with pytest.raises(ValueError, match="NULL"):
            encode_value(info(t.INT4, 4), None)

    @pytest.mark.parametrize("name", CASES)
    def test_every_cut_asks_for_more(self, name: str) -> None:
        kind, values = CASES[name]

        @settings(max_examples=20)
        @given(values, st.floats(0, 1, exclude_max=True))
        def check(value: Any, part: float) -> None:
            data = encode_value(kind, value)
            for cut in (0, int(part * len(data)), len(data) - 1):
                with pytest.raises(NeedMoreData):
                    raw_value(ByteReader(data[:cut]), kind)

        check()

    def test_decimals_that_do_not_fit_are_refused(self) -> None:
        with pytest.raises(ValueError, match="decimals"):
            encode_value(info(t.DECIMALN, 5, precision=5, scale=1), Decimal("1.25"))

    @given(st.lists(st.binary(min_size=1, max_size=20), max_size=6), st.booleans())
    def test_plp_in_any_chunks(self, chunks: list[bytes], announced: bool) -> None:
        whole = b"".join(chunks)
        data = struct.pack("<Q", len(whole) if announced else t.PLP_UNKNOWN)
        data += b"".join(struct.pack("<I", len(chunk)) + chunk for chunk in chunks) + bytes(4)
        assert read_plp(ByteReader(data)) == whole
        assert read_plp(ByteReader(encode_plp(whole))) == whole

    def test_plp_whose_chunks_do_not_add_up_is_malformed(self) -> None:
        data = struct.pack("<QI", 5, 3) + b"abc" + bytes(4)
        with pytest.raises(ProtocolError):
            read_plp(ByteReader(data))


VARIANTS = (
    Variant(info(t.INT4, 4), -5),
    Variant(info(t.BIT, 1), True),
    Variant(info(t.FLOAT8, 8), 1.25),
    Variant(info(t.MONEY, 8), Decimal("12.3400")),
    Variant(info(t.DECIMALN, 9, precision=10, scale=2), Decimal("123.45")),
    Variant(info(t.NVARCHAR, 20, collation=LATIN), "né😀"),
    Variant(info(t.BIGVARCHAR, 10, collation=LATIN), "abc"),
    Variant(info(t.BIGVARBINARY, 10), b"\x00\x01"),
    Variant(info(t.GUID, 16), uuid.UUID(int=7)),
    Variant(info(t.DATEN, 3), 700_000),
    Variant(info(t.TIMEN, 5, scale=7), 1),
    Variant(info(t.DATETIME2N, 8, scale=7), TICKS_PER_DAY * 9),
    Variant(info(t.DATETIMEOFFSETN, 10, scale=7), (TICKS_PER_DAY * 9, -330)),
    Variant(info(t.DATETIME, 8), TICKS_PER_DAY * 700_000),
)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: hex(v.type.type_id))
def test_sql_variant(variant: Variant) -> None:
    kind = info(t.SQL_VARIANT, 8009)
    again = decode_value(ByteReader(encode_value(kind, variant)), kind)
    assert again.value == variant.value
    assert again.type.type_id == variant.type.type_id


class TestMetadata:
    COLUMNS = (
        ColumnMetadata(type_id=t.INT4, length=4, name="id", flags=16),
        ColumnMetadata(type_id=t.NVARCHAR, length=40, collation=LATIN, name="näme"),
        ColumnMetadata(type_id=t.BIGVARCHAR, length=t.MAX_LENGTH, collation=UTF8, name=""),
        ColumnMetadata(type_id=t.DECIMALN, length=17, precision=38, scale=10, name="d"),
        ColumnMetadata(type_id=t.DATETIMEOFFSETN, length=10, scale=7, name="o"),
        ColumnMetadata(type_id=t.TEXT, length=0x7FFFFFFF, collation=LATIN, name="t", table=("db", "dbo", "t")),
        ColumnMetadata(type_id=t.IMAGE, length=0x7FFFFFFF, name="i", table=("x",)),
        ColumnMetadata(type_id=t.XML, length=t.MAX_LENGTH, name="x", xml=XmlSchemaInfo("db", "dbo", "coll")),
        ColumnMetadata(type_id=t.UDT, length=892, name="u", udt=UdtInfo("db", "sys", "hierarchyid", "asm, v1")),
        ColumnMetadata(type_id=t.SQL_VARIANT, length=8009, name="v", user_type=3),
        ColumnMetadata(type_id=t.VECTOR, length=20, scale=0, name="w"),
    )

    def test_round_trip(self) -> None:
        data = encode_colmetadata(self.COLUMNS)
        again = tokens.read_tokens(data)[0]
        assert isinstance(again, tokens.Columns)
        assert again.columns == self.COLUMNS

    def test_every_cut_asks_for_more(self) -> None:
        data = encode_colmetadata(self.COLUMNS)
        for cut in range(1, len(data)):
            reader = ByteReader(data[:cut])
            with pytest.raises(NeedMoreData):
                tokens.read_token(reader)

    def test_no_metadata(self) -> None:
        assert decode_colmetadata(ByteReader(b"\xff\xff")) == []

    def test_unknown_types_and_scales_are_refused(self) -> None:
        for data in (b"\x99", bytes((t.TIMEN, 8))):
            with pytest.raises(ProtocolError):
                decode_type_info(ByteReader(data))

    def test_which_columns_arrive_in_chunks(self) -> None:
        assert [column.is_plp for column in self.COLUMNS] == [
            False,
            False,
            True,
            *[False] * 4,
            True,
            True,
            False,
            False,
        ]


class TestRows:
    COLUMNS = tuple(ColumnMetadata(type_id=t.INTN, length=4, name=f"c{i}") for i in range(11))

    @given(st.lists(st.one_of(st.none(), st.integers(-9, 9)), min_size=11, max_size=11))
    def test_row_and_nbcrow_say_the_same(self, values: list[int | None]) -> None:
        row = b"".join(encode_value(self.COLUMNS[0], value) for value in values)
        bits = sum(1 << i for i, value in enumerate(values) if value is None)
        short = bits.to_bytes(2, "little")
        short += b"".join(encode_value(self.COLUMNS[0], value) for value in values if value is not None)
        decoder = RowDecoder(self.COLUMNS)
        assert decoder.row(ByteReader(row)) == values
        assert decoder.nbc_row(ByteReader(short)) == values


class TestCollations:
    @pytest.mark.parametrize(
        ("name", "data", "page"),
        [
            ("SQL_Latin1_General_CP1_CI_AS", "0904d00034", 1252),
            ("Latin1_General_CI_AS", "0904d00000", 1252),
            ("Latin1_General_BIN2", "0904000200", 1252),
            ("Cyrillic_General_CI_AS", "1904d00000", 1251),
            ("Japanese_CI_AS", "1104d00000", 932),
            ("Latin1_General_100_CI_AS_SC_UTF8", "0904d02400", 65001),
        ],
    )
    def test_names_bytes_and_code_pages(self, name: str, data: str, page: int) -> None:
        collation = Collation.from_name(name)
        assert collation.code_page == page
        assert Collation.decode(collation.encode()) == collation
        if name != "Latin1_General_BIN2":
            assert collation.encode().hex() == data

    def test_what_is_ignored(self) -> None:
        assert Collation.from_name("Latin1_General_CI_AI").ignore_accent
        assert not Collation.from_name("Latin1_General_CS_AS").ignore_case
        assert Collation.from_name("Latin1_General_100_BIN2").is_binary

    def test_unknown_names_are_refused(self) -> None:
        for name in ("nonsense", "Latin1_General", "Klingon_CI_AS"):
            with pytest.raises(ValueError, match="unknown collation"):
                Collation.from_name(name)

    def test_every_byte_of_a_single_byte_page_survives(self) -> None:
        everything = bytes(range(256))
        assert encode_char(decode_char(everything, LATIN), LATIN) == everything

    def test_characters_a_page_lacks_become_question_marks(self) -> None:
        assert encode_char("a日b", LATIN) == b"a?b"


class TestTimes:
    @given(st.integers(0, times.MAX_DAYS), st.integers(0, TICKS_PER_DAY - 1))
    def test_text_and_objects_agree(self, days: int, ticks: int) -> None:
        whole = days * TICKS_PER_DAY + ticks
        moment = times.datetime_of(whole)
        assert times.format_datetime(whole, 6) == moment.strftime("%Y-%m-%d %H:%M:%S.%f").rjust(26, "0")
        assert times.ticks_of(moment) == whole // 10 * 10
        assert times.format_datetime(whole, 7)[:-1] == times.format_datetime(whole, 6)

    def test_offsets(self) -> None:
        assert times.format_datetimeoffset((0 + 50 * 600_000_000 * 60, -90), 0) == "0001-01-03 00:30:00 -01:30"


def captures() -> Iterator[dict[str, Any]]:
    place = os.environ.get("MSSQL_PG_MIGRATE_CAPTURES")
    if place:
        yield from json.loads(Path(place).read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", list(captures()), ids=lambda case: case["name"])
def test_answers_of_another_server(case: dict[str, Any]) -> None:
    reader = ByteReader(bytes.fromhex(case["response_hex"]), complete=True)
    columns: tuple[ColumnMetadata, ...] = ()
    rows: list[list[str | None]] = []
    while reader.remaining:
        if reader.data[reader.pos] in (tokens.ROW, tokens.NBCROW):
            compressed = reader.u8() == tokens.NBCROW
            decoder = RowDecoder(columns)
            values = decoder.nbc_row(reader) if compressed else decoder.row(reader)
            rows.append([_text(value, column) for value, column in zip(values, columns, strict=True)])
        else:
            token = tokens.read_token(reader)
            columns = token.columns if isinstance(token, tokens.Columns) else columns
    if case["rows"]:
        assert [column.name for column in columns] == case["columns"]
    expected = case["rows"] or []
    assert len(rows) == len(expected)
    for mine, theirs in zip(rows, expected, strict=True):
        for value, other, column in zip(mine, theirs, columns, strict=True):
            assert _comparable(value, column) == _comparable(other, column), (column.name, value, other)


def _text(value: Any, column: TypeInfo) -> str | None:
    """A value as the driver's text in the captures."""
    kind = column.type_id
    if value is None:
        return None
    if isinstance(value, Variant):
        return _text(value.value, value.type)
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, bool):
        return "true" if value else "false"
    if kind == t.DATEN:
        return times.format_date(value)
    if kind == t.TIMEN:
        return times.format_time(value, 6)
    if kind in (t.DATETIMEN, t.DATETIME2N):
        moment = times.datetime_of(value)
        if kind == t.DATETIMEN:
            # The driver shows datetime to the millisecond.
            moment = times.datetime_of((value + 5_000) // 10_000 * 10_000)
        return moment.isoformat()
    if kind == t.DATETIMEOFFSETN:
        return times.format_datetimeoffset(value, 6, "T").replace(" ", "")
    return str(value)


def _comparable(value: str | None, column: TypeInfo) -> Any:
    if value is None:
        return None
    if column.type_id == t.FLOATN:
        return struct.pack("<f", float(value)) if column.length == 4 else float(value)
    if column.type_id in (t.NUMERICN, t.DECIMALN, t.MONEYN):
        return Decimal(value)
    if column.type_id in (t.TIMEN, t.DATETIMEOFFSETN):
        head, dot, tail = value.partition(".")
        return head + (dot + tail).replace(".000000", "")
    return value
