"""Key values as T-SQL literals, and quoted names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssql_pg_migrate.model import SqlType
from mssql_pg_migrate.source import keys
from mssql_pg_migrate.source.sqlserver import key_literals, tsql

INT = SqlType("int", max_length=4)
NVARCHAR = SqlType("nvarchar", max_length=100, collation="Latin1_General_CI_AS")
VARCHAR = SqlType("varchar", max_length=50, collation="Cyrillic_General_CI_AS", code_page=1251)


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
