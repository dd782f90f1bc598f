"""Which key ranges use, the canonical text of key values, and their T-SQL literals."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssql_pg_migrate.mapping import range_keys
from mssql_pg_migrate.model import Column, Index, Key, KeyColumn, SqlType, Table
from mssql_pg_migrate.source import keys
from mssql_pg_migrate.source.sqlserver import key_literals, tsql

INT = SqlType("int", max_length=4)
NVARCHAR = SqlType("nvarchar", max_length=100, collation="Latin1_General_CI_AS")
VARCHAR = SqlType("varchar", max_length=50, collation="Cyrillic_General_CI_AS", code_page=1251)


def column(name: str, kind: SqlType = INT, *, nullable: bool = False) -> Column:
    return Column(name, kind, nullable=nullable)


def key(name: str, *columns: str, primary: bool = False, clustered: bool = False, disabled: bool = False) -> Key:
    return Key(name, tuple(KeyColumn(c) for c in columns), primary=primary, clustered=clustered, disabled=disabled)


class TestChoice:
    def test_the_clustered_primary_key(self) -> None:
        table = Table(
            "dbo", "t", (column("id"), column("x")), primary_key=key("pk", "id", primary=True, clustered=True)
        )
        assert range_keys.choose_range_key(table) == table.primary_key

    def test_a_clustered_unique_key_before_a_nonclustered_primary_key(self) -> None:
        table = Table(
            "dbo",
            "t",
            (column("id", SqlType("uniqueidentifier", max_length=16)), column("seq")),
            primary_key=key("pk", "id", primary=True),
            indexes=(Index("cx", (KeyColumn("seq", descending=True),), unique=True, clustered=True, kind="CLUSTERED"),),
        )
        chosen = range_keys.choose_range_key(table)
        assert chosen is not None
        assert (chosen.name, chosen.columns) == ("cx", (KeyColumn("seq", descending=True),))

    def test_the_primary_key_before_another_unique_constraint(self) -> None:
        table = Table(
            "dbo",
            "t",
            (column("a"), column("b")),
            primary_key=key("pk", "b", primary=True),
            unique_keys=(key("uq", "a"),),
        )
        assert range_keys.choose_range_key(table) == table.primary_key

    def test_the_narrower_of_two_unique_constraints(self) -> None:
        wide, narrow = key("wide", "name"), key("narrow", "id")
        table = Table("dbo", "t", (column("id"), column("name", NVARCHAR)), unique_keys=(wide, narrow))
        assert range_keys.choose_range_key(table) == narrow

    @pytest.mark.parametrize(
        "bad",
        [
            column("id", SqlType("float")),
            column("id", SqlType("real")),
            column("id", SqlType("sql_variant")),
            column("id", SqlType("hierarchyid", max_length=892)),
            column("id", SqlType("timestamp", max_length=8)),
            column("id", SqlType("nvarchar", max_length=-1)),
            column("id", nullable=True),
            Column("id", INT, nullable=False, encrypted=True),
        ],
        ids=lambda c: str(c.type),
    )
    def test_unsuitable_columns_leave_the_next_key_or_none(self, bad: Column) -> None:
        primary = key("pk", "id", primary=True, clustered=True)
        assert range_keys.choose_range_key(Table("dbo", "t", (bad,), primary_key=primary)) is None
        other = Table("dbo", "t", (bad, column("b")), primary_key=primary, unique_keys=(key("uq", "b"),))
        assert range_keys.choose_range_key(other) == key("uq", "b")
        assert range_keys.unusable_reason(bad) is not None

    def test_filtered_disabled_and_columnstore_indexes_are_no_keys(self) -> None:
        columns = (KeyColumn("a"),)
        table = Table(
            "dbo",
            "t",
            (column("a"),),
            indexes=(
                Index("f", columns, unique=True, filter="([a]>(0))"),
                Index("d", columns, unique=True, disabled=True),
                Index("h", columns, unique=True, kind="NONCLUSTERED HASH"),
                Index("n", columns, unique=False),
            ),
        )
        assert range_keys.choose_range_key(table) is None

    def test_a_disabled_primary_key_is_none(self) -> None:
        table = Table("dbo", "t", (column("a"),), primary_key=key("pk", "a", primary=True, disabled=True))
        assert range_keys.choose_range_key(table) is None


class TestTexts:
    @given(st.integers(-(10**38) + 1, 10**38 - 1), st.integers(0, 38))
    def test_decimals(self, unscaled: int, scale: int) -> None:
        text = keys.format_decimal(unscaled, scale)
        digits = tuple(int(digit) for digit in str(abs(unscaled)))
        assert Decimal(text) == Decimal((int(unscaled < 0), digits, -scale))
        assert -int(Decimal(text).as_tuple().exponent) == scale
        assert ("." in text) == (scale > 0)

    @given(st.dates())
    def test_dates(self, day: dt.date) -> None:
        assert keys.format_date(day.toordinal() - 1) == day.isoformat()

    @given(st.datetimes())
    def test_datetime2_with_microseconds(self, moment: dt.datetime) -> None:
        midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        ticks = (moment - midnight) // dt.timedelta(microseconds=1) * 10
        assert keys.format_datetime(moment.toordinal() - 1, ticks, 6) == moment.isoformat(timespec="microseconds")
        assert keys.format_datetime(moment.toordinal() - 1, ticks, 7) == moment.isoformat(timespec="microseconds") + "0"
        assert keys.format_datetime(moment.toordinal() - 1, ticks, 0) == moment.isoformat(timespec="seconds")

    def test_the_last_tick_of_a_day(self) -> None:
        assert keys.format_time(863_999_999_999, 7) == "23:59:59.9999999"
        assert keys.format_time(863_999_999_999, 0) == "23:59:59"

    @given(st.uuids())
    def test_uniqueidentifiers(self, value: uuid.UUID) -> None:
        assert keys.format_uniqueidentifier(value.bytes_le) == str(value).upper()

    @given(st.text(st.characters(codec=None), max_size=30))
    def test_any_text_comes_back_and_fits_any_store(self, value: str) -> None:
        text = keys.format_text(value)
        assert keys.parse_text(text) == value
        assert "\0" not in text
        text.encode("utf-8")

    def test_text_that_looks_like_the_escaped_form(self) -> None:
        assert keys.parse_text(keys.format_text("\\x00")) == "\\x00"


LITERALS = [
    (SqlType("bit"), "1", "CAST(1 AS bit)"),
    (SqlType("tinyint"), "255", "CAST(255 AS tinyint)"),
    (INT, "42", "42"),
    (INT, "-2147483648", "CAST(-2147483648 AS int)"),
    (SqlType("bigint"), "-9223372036854775808", "CAST(-9223372036854775808 AS bigint)"),
    (SqlType("decimal", precision=10, scale=2), "-12.50", "CAST('-12.50' AS decimal(10,2))"),
    (SqlType("money", precision=19, scale=4), "922337203685477.5807", "CAST(922337203685477.5807 AS money)"),
    (SqlType("date"), "0001-01-01", "CAST('0001-01-01' AS date)"),
    (SqlType("time", scale=7), "23:59:59.9999999", "CAST('23:59:59.9999999' AS time(7))"),
    (SqlType("datetime", scale=3), "1753-01-01T00:00:00.003", "CONVERT(datetime, '1753-01-01T00:00:00.003', 126)"),
    (SqlType("smalldatetime"), "2079-06-06T23:59:00", "CONVERT(smalldatetime, '2079-06-06T23:59:00', 126)"),
    (
        SqlType("datetime2", scale=7),
        "9999-12-31T23:59:59.9999999",
        "CAST('9999-12-31T23:59:59.9999999' AS datetime2(7))",
    ),
    (
        SqlType("datetimeoffset", scale=0),
        "2020-02-29T12:00:00+00:00",
        "CAST('2020-02-29T12:00:00+00:00' AS datetimeoffset(0))",
    ),
    (
        SqlType("uniqueidentifier", max_length=16),
        "6F9619FF-8B86-D011-B42D-00C04FC964FF",
        "CAST('6F9619FF-8B86-D011-B42D-00C04FC964FF' AS uniqueidentifier)",
    ),
    (SqlType("binary", max_length=4), "0x00FF", "CAST(0x00FF AS binary(4))"),
    (SqlType("varbinary", max_length=4), "0x", "CAST(0x AS varbinary(4))"),
    (NVARCHAR, "O'Brien 😀", "N'O''Brien 😀'"),
    (NVARCHAR, keys.format_text("a\0"), "CAST(0x61000000 AS nvarchar(2))"),
    (NVARCHAR, keys.format_text("\ud800"), "CAST(0x00D8 AS nvarchar(1))"),
    (NVARCHAR, "a\\\nb", "CAST(0x61005C000A006200 AS nvarchar(4))"),
    (NVARCHAR, "", "N''"),
    (VARCHAR, "it's", "'it''s'"),
    (VARCHAR, "Жук", "CAST(N'Жук' COLLATE Cyrillic_General_CI_AS AS varchar(50))"),
    (
        VARCHAR,
        "a\\\r\nb",
        "CAST(CAST(0x61005C000D000A006200 AS nvarchar(5)) COLLATE Cyrillic_General_CI_AS AS varchar(50))",
    ),
]


@pytest.mark.parametrize(("kind", "text", "wanted"), LITERALS, ids=[f"{k}-{t!r}" for k, t, _ in LITERALS])
def test_literals_have_the_columns_own_type(kind: SqlType, text: str, wanted: str) -> None:
    assert key_literals.literal(kind, text) == wanted


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (INT, "1; DROP TABLE t"),
        (INT, "1.5"),
        (INT, ""),
        (SqlType("bit"), "2"),
        (SqlType("decimal", precision=5, scale=2), "1e5"),
        (SqlType("date"), "2020-01-01'"),
        (SqlType("uniqueidentifier"), "x" * 36),
        (SqlType("varbinary", max_length=4), "0xABC"),
        (SqlType("datetimeoffset", scale=7), "2020-01-01T00:00:00.0000000+05:00"),
        (NVARCHAR, "\\xZZ"),
        (SqlType("float"), "1.0"),
    ],
)
def test_a_damaged_key_text_is_refused(kind: SqlType, text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        key_literals.literal(kind, text)


@given(st.text(max_size=20))
def test_names_are_quoted_so_that_nothing_escapes(name: str) -> None:
    quoted = tsql.quote_name(name)
    assert quoted[0] == "["
    assert quoted[-1] == "]"
    assert quoted[1:-1].replace("]]", "") == name.replace("]", "")
