"""Every type keeps every value, sorts and compares as in SQL Server."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from mssql_pg_migrate.tds.values import Variant
from sandbox_tools import RawClient
from servers import MssqlDatabase, MssqlServer

pytestmark = pytest.mark.sandbox_only
# ruff: noqa: E501  (tables of values read better with one case a line)

DAY = 864_000_000_000
D1753, D1900, D9999 = 639_905, 693_595, 3_652_058


@pytest.fixture(scope="module")
def place(mssql: MssqlServer) -> Iterator[MssqlDatabase]:
    database = mssql.new_database()
    yield database
    database.drop()


@pytest.fixture(scope="module")
def raw(place: MssqlDatabase) -> Iterator[RawClient]:
    with RawClient(place.server, place.name) as client:
        yield client


CASES: list[tuple[str, list[tuple[str, Any]]]] = [
    ("bit", [("0", False), ("1", True), ("7", True), ("'true'", True)]),
    ("tinyint", [("0", 0), ("255", 255)]),
    ("smallint", [("-32768", -32768), ("32767", 32767)]),
    ("int", [("-2147483648", -2147483648), ("2147483647", 2147483647), ("'42'", 42)]),
    ("bigint", [("-9223372036854775808", -(1 << 63)), ("9223372036854775807", (1 << 63) - 1)]),
    ("decimal(38,0)", [("-" + "9" * 38, Decimal("-" + "9" * 38)), ("1", Decimal(1))]),
    ("decimal(38,38)", [("0." + "9" * 38, Decimal("0." + "9" * 38))]),
    ("numeric(10,2)", [("1.005", Decimal("1.01")), ("-1.005", Decimal("-1.01")), ("1e2", Decimal("100.00"))]),
    ("money", [("-922337203685477.5808", Decimal("-922337203685477.5808")), ("0.0001", Decimal("0.0001"))]),
    ("smallmoney", [("214748.3647", Decimal("214748.3647")), ("-214748.3648", Decimal("-214748.3648"))]),
    ("real", [("3.4e38", 3.3999999521443642e38), ("-1.5", -1.5)]),
    (
        "float",
        [("1.7976931348623157e308", 1.7976931348623157e308), ("2.2250738585072014e-308", 2.2250738585072014e-308)],
    ),
    ("char(5)", [("'ab'", "ab   "), ("''", "     "), ("'ab  '", "ab   ")]),
    ("varchar(10)", [("'ab '", "ab "), ("''", ""), ("'café €'", "café €"), ("N'日'", "?")]),
    ("nchar(4)", [("N'日'", "日   "), ("N'🚀'", "🚀  ")]),
    ("nvarchar(10)", [("N'🚀x '", "🚀x "), ("NCHAR(55357)", "\ud83d"), ("N'a' + NCHAR(0) + N'b'", "a\0b")]),
    ("nvarchar(max)", [("REPLICATE(CAST(N'🚀' AS nvarchar(max)), 100000)", "🚀" * 100_000), ("N''", "")]),
    ("varchar(max)", [("REPLICATE(CAST('x' AS varchar(max)), 1000000)", "x" * 1_000_000)]),
    ("varchar(10) COLLATE Cyrillic_General_CI_AS", [("N'Привет'", "Привет")]),
    ("varchar(20) COLLATE Latin1_General_100_CI_AS_SC_UTF8", [("N'日本🚀'", "日本🚀")]),
    ("text", [("'old'", "old")]),
    ("ntext", [("N'öld🚀'", "öld🚀")]),
    ("xml", [("N'<a>x</a>'", "<a>x</a>"), ("'<?xml version=\"1.0\"?><b/>'", "<b/>")]),
    ("binary(4)", [("0x00FF", b"\x00\xff\x00\x00")]),
    ("varbinary(10)", [("0x", b""), ("0x0001", b"\x00\x01"), ("5", b"\x00\x00\x00\x05")]),
    ("varbinary(max)", [("0x" + "ab" * 9000, b"\xab" * 9000)]),
    ("image", [("0x0102", b"\x01\x02")]),
    ("date", [("'0001-01-01'", 0), ("'9999-12-31'", D9999), ("'20240229'", 738_944)]),
    ("time(7)", [("'23:59:59.9999999'", DAY - 1), ("'00:00:00'", 0)]),
    ("time(0)", [("'12:34:56.5'", 452_970_000_000), ("'23:59:59.9'", 0)]),
    ("datetime", [("'1753-01-01'", D1753 * DAY), ("'9999-12-31 23:59:59.997'", D9999 * DAY + DAY - 33_333)]),
    (
        "datetime",
        [
            ("'2000-01-01 00:00:00.001'", 730_119 * DAY),
            ("'2000-01-01 00:00:00.002'", 730_119 * DAY + 33_333),
            ("'2000-01-01 00:00:00.005'", 730_119 * DAY + 66_667),
            ("'2000-01-01T23:59:59.999'", 730_120 * DAY),
        ],
    ),
    (
        "smalldatetime",
        [("'2079-06-06 23:59:00'", (D1900 + 65535) * DAY + 863_400_000_000), ("'1900-01-01'", D1900 * DAY)],
    ),
    (
        "smalldatetime",
        [
            ("'2000-01-01 12:00:29.998'", 730_119 * DAY + DAY // 2),
            ("'2000-01-01 12:00:30'", 730_119 * DAY + DAY // 2 + 600_000_000),
        ],
    ),
    ("datetime2(7)", [("'0001-01-01'", 0), ("'9999-12-31 23:59:59.9999999'", (D9999 + 1) * DAY - 1)]),
    ("datetime2(3)", [("'2024-02-29 12:34:56.7895'", 738_944 * DAY + 452_967_900_000)]),
    (
        "datetimeoffset(7)",
        [("'2024-02-29 12:00:00.1234567 +05:30'", (738_944 * DAY + DAY // 2 + 1_234_567 - 330 * 600_000_000, 330))],
    ),
    ("datetimeoffset(0)", [("'2024-02-29 12:00:00 -14:00'", (738_944 * DAY + DAY // 2 + 840 * 600_000_000, -840))]),
    ("uniqueidentifier", [("'6F9619FF-8B86-D011-B42D-00C04FC964FF'", UUID("6F9619FF-8B86-D011-B42D-00C04FC964FF"))]),
    (
        "geometry",
        [("geometry::STGeomFromText('POINT (1 2)', 7)", bytes.fromhex("07000000010c000000000000f03f0000000000000040"))],
    ),
    ("hierarchyid", [("hierarchyid::GetRoot()", b""), ("'/1/'", b"\x58")]),
    ("json", [("N'{\"a\":1}'", '{"a":1}')]),
]


@pytest.mark.parametrize(("kind", "values"), CASES, ids=[kind for kind, _ in CASES])
def test_values_go_in_and_come_out(raw: RawClient, kind: str, values: list[tuple[str, Any]]) -> None:
    raw.run("DROP TABLE IF EXISTS v")
    assert (
        raw.run(f"CREATE TABLE v (i int NOT NULL, a {kind} NULL, b {kind.replace(' NULL', '')} NOT NULL)").errors == []
    )
    for number, (literal, _) in enumerate(values):
        assert raw.run(f"INSERT v VALUES ({number}, {literal}, {literal})").errors == []
    first = values[0][0]
    assert raw.run(f"INSERT v VALUES ({len(values)}, NULL, {first})").errors == []
    # By way of a query, where DuckDB and not the constant folding does the work.
    assert raw.run("SELECT i + 100 AS i, a, b INTO w FROM v; INSERT v SELECT i, a, b FROM w; DROP TABLE w").errors == []
    expected = [[n, value, value] for n, (_, value) in enumerate(values)] + [[len(values), None, values[0][1]]]
    expected += [[row[0] + 100, *row[1:]] for row in expected]
    assert raw.rows("SELECT * FROM v ORDER BY i") == expected


@pytest.mark.parametrize(
    ("kind", "literal", "number"),
    [
        ("tinyint", "256", 8115),
        ("tinyint", "-1", 8115),
        ("smallint", "'40000'", 8115),
        ("int", "'x'", 245),
        ("decimal(4,2)", "100", 8115),
        ("money", "922337203685477.5808", 8115),
        ("varchar(2)", "'abc'", 2628),
        ("nvarchar(2)", "N'🚀x'", 2628),
        ("varbinary(1)", "0x0102", 2628),
        ("date", "'2023-02-29'", 241),
        ("datetime", "'1752-12-31'", 242),
        ("smalldatetime", "'2079-06-07'", 242),
        ("uniqueidentifier", "'6F96'", 8169),
        ("hierarchyid", "'1/2'", 6522),
    ],
)
def test_what_does_not_fit_is_refused(raw: RawClient, kind: str, literal: str, number: int) -> None:
    raw.run("DROP TABLE IF EXISTS v")
    raw.run(f"CREATE TABLE v (a {kind})")
    assert raw.run(f"INSERT v VALUES ({literal})").numbers == [number]
    assert raw.run(f"INSERT v SELECT x FROM (SELECT {literal} AS x) AS q").numbers == [number]
    assert raw.rows("SELECT COUNT(*) FROM v") == [[0]]


def ordered(raw: RawClient, kind: str, literals: list[str]) -> list[Any]:
    raw.run("DROP TABLE IF EXISTS v")
    raw.run(f"CREATE TABLE v (a {kind})")
    values = ", ".join(f"({literal})" for literal in literals)
    assert raw.run(f"INSERT v VALUES {values}").errors == []
    return [row[0] for row in raw.rows("SELECT a FROM v ORDER BY a")]


class TestOrder:
    def test_null_comes_first_and_last_when_descending(self, raw: RawClient) -> None:
        assert ordered(raw, "int", ["2", "NULL", "1"]) == [None, 1, 2]
        assert [row[0] for row in raw.rows("SELECT a FROM v ORDER BY a DESC")] == [2, 1, None]

    def test_uniqueidentifiers_by_their_last_bytes_first(self, raw: RawClient) -> None:
        texts = [
            "01000000-0000-0000-0000-000000000000",
            "10000000-0000-0000-0000-000000000000",
            "00010000-0000-0000-0000-000000000000",
            "00000000-0100-0000-0000-000000000000",
            "00000000-0000-0100-0000-000000000000",
            "00000000-0000-0000-0001-000000000000",
            "00000000-0000-0000-0100-000000000000",
            "00000000-0000-0000-0000-000000000001",
            "00000000-0000-0000-0000-010000000000",
        ]
        # Groups weigh more from left to right; inside the first three, whose bytes are stored the other way round,
        # the last byte as written is the first to count.
        expected = texts
        found = ordered(raw, "uniqueidentifier", [f"'{text}'" for text in reversed(texts)])
        assert [str(value) for value in found] == expected
        middle = raw.rows(f"SELECT COUNT(*) FROM v WHERE a > '{texts[4]}'")
        assert middle == [[4]]
        assert [str(x) for x in raw.rows("SELECT MIN(a), MAX(a) FROM v")[0]] == [expected[0], expected[-1]]

    def test_text_without_case_and_trailing_blanks(self, raw: RawClient) -> None:
        assert ordered(raw, "nvarchar(9)", ["N'b'", "N'A'", "N'a '", "N'C'"])[0].strip().lower() == "a"
        assert raw.rows("SELECT COUNT(*) FROM v WHERE a = 'a'") == [[2]]
        assert raw.rows("SELECT COUNT(*) FROM v WHERE a IN ('A', 'c ')") == [[3]]
        assert raw.rows("SELECT COUNT(DISTINCT a) FROM v") == [[3]]
        assert raw.rows("SELECT COUNT(*) FROM (SELECT a FROM v GROUP BY a) AS q") == [[3]]
        assert len(raw.rows("SELECT DISTINCT a FROM v")) == 3
        assert raw.rows("SELECT COUNT(*) FROM v JOIN (SELECT 'B' AS x) AS q ON q.x = v.a") == [[1]]
        assert raw.rows("SELECT COUNT(*) FROM v WHERE a LIKE '[A-B]%'") == [[3]]

    def test_binary_and_sensitive_collations(self, raw: RawClient) -> None:
        assert ordered(raw, "varchar(5) COLLATE Latin1_General_BIN2", ["'b'", "'A'", "'a'", "'B'"]) == [
            "A",
            "B",
            "a",
            "b",
        ]
        assert raw.rows("SELECT COUNT(*) FROM v WHERE a = 'a'") == [[1]]
        assert raw.rows("SELECT COUNT(*) FROM v WHERE a = 'a' COLLATE Latin1_General_CI_AS") == [[2]]
        ordered(raw, "nvarchar(5) COLLATE Latin1_General_CI_AI", ["N'é'", "N'E'"])
        assert raw.rows("SELECT COUNT(*) FROM v WHERE a = 'e'") == [[2]]

    def test_datetimeoffsets_by_their_instant(self, raw: RawClient) -> None:
        values = ["'2024-01-01 12:00 +05:00'", "'2024-01-01 08:00 +00:00'", "'2024-01-01 06:00 -02:00'"]
        assert ordered(raw, "datetimeoffset(0)", values)[0][1] == 300
        assert raw.rows("SELECT COUNT(*) FROM v WHERE a = '2024-01-01 08:00 +00:00'") == [[2]]
        assert raw.rows("SELECT COUNT(DISTINCT a) FROM v") == [[2]]

    def test_unique_keys_compare_like_that(self, raw: RawClient) -> None:
        raw.run("DROP TABLE IF EXISTS v; CREATE TABLE v (a nvarchar(9) NULL UNIQUE, d datetimeoffset(0) NULL)")
        assert raw.run("INSERT v VALUES (N'Key', NULL)").errors == []
        assert raw.run("INSERT v VALUES (N'kEY ', NULL)").numbers == [2627]
        assert raw.run("INSERT v SELECT N'KEY', NULL").numbers == [2627]
        assert raw.run("INSERT v VALUES (NULL, NULL); INSERT v VALUES (NULL, NULL)").numbers == [2627]
        assert raw.run("UPDATE v SET a = N'key' WHERE a IS NULL").numbers == [2627]


VARIANTS = [
    ("CAST(5 AS int)", "int", 5),
    ("CAST(1 AS bit)", "bit", True),
    ("CAST(1.25 AS decimal(5,2))", "decimal", Decimal("1.25")),
    ("CAST(N'né' AS nvarchar(10))", "nvarchar", "né"),
    ("CAST('ab' AS varchar(10))", "varchar", "ab"),
    ("CAST('2024-02-29 01:02:03' AS datetime2(0))", "datetime2", 738_944 * DAY + 37_230_000_000),
    (
        "CAST('6F9619FF-8B86-D011-B42D-00C04FC964FF' AS uniqueidentifier)",
        "uniqueidentifier",
        UUID("6F9619FF-8B86-D011-B42D-00C04FC964FF"),
    ),
    ("CAST(0x01 AS varbinary(5))", "varbinary", b"\x01"),
    ("CAST(1.5 AS float)", "float", 1.5),
    ("CAST(2.5 AS money)", "money", Decimal("2.5000")),
]


@pytest.mark.parametrize(("literal", "base", "value"), VARIANTS, ids=[base for _, base, _ in VARIANTS])
def test_sql_variant(raw: RawClient, literal: str, base: str, value: Any) -> None:
    raw.run("DROP TABLE IF EXISTS v")
    raw.run("CREATE TABLE v (a sql_variant)")
    raw.run(f"INSERT v VALUES ({literal}); INSERT v VALUES (NULL)")
    rows = raw.rows("SELECT a, CAST(SQL_VARIANT_PROPERTY(a, 'BaseType') AS nvarchar(20)) FROM v WHERE a IS NOT NULL")
    assert isinstance(rows[0][0], Variant)
    assert (rows[0][0].value, rows[0][1]) == (value, base)


STYLE_0 = [
    ("CAST('10:11:12.1234567' AS time)", "10:11AM"),
    ("CAST('00:05:00' AS time(0))", "12:05AM"),
    ("CAST('2024-02-09' AS date)", "Feb  9 2024"),
    ("CAST('2024-02-29 13:02:03.5' AS datetime2(3))", "Feb 29 2024  1:02PM"),
    ("CAST('2024-02-29 13:02:03.5 +01:00' AS datetimeoffset(0))", "Feb 29 2024  1:02PM +01:00"),
    ("CAST('2024-02-29 13:02:03' AS datetime)", "Feb 29 2024  1:02PM"),
]


@pytest.mark.parametrize(("literal", "text"), STYLE_0)
def test_a_variant_with_a_date_or_time_becomes_text_in_style_0(raw: RawClient, literal: str, text: str) -> None:
    raw.run("DROP TABLE IF EXISTS v")
    raw.run(f"CREATE TABLE v (a sql_variant); INSERT v VALUES ({literal})")
    assert raw.rows("SELECT CAST(a AS nvarchar(50)), CONVERT(varchar(max), a) FROM v") == [[text, text]]
    assert raw.rows(f"SELECT CONVERT(varchar(50), {literal}, 0), CONVERT(varchar(50), {literal}, 100)") == [[text] * 2]


def test_a_time_keeps_its_seconds_in_its_own_default_style(raw: RawClient) -> None:
    raw.run("DROP TABLE IF EXISTS v")
    raw.run("CREATE TABLE v (a sql_variant, b time(7)); INSERT v VALUES (CAST('10:11:12.1234567' AS time), '10:11:12')")
    assert raw.rows("SELECT CONVERT(varchar(50), a, 121), CONVERT(varchar(50), CAST(a AS time(7)), 121) FROM v") == [
        ["10:11:12.1234567", "10:11:12.1234567"]
    ]
    assert raw.rows("SELECT CAST(b AS varchar(50)), CONVERT(varchar(50), b, 108) FROM v") == [
        ["10:11:12.0000000", "10:11:12"]
    ]
    assert raw.run("SELECT CONVERT(varchar(50), b, 112) FROM v").numbers == [40517]


class TestOthers:
    def test_rowversion_grows_with_every_change(self, raw: RawClient) -> None:
        raw.run("DROP TABLE IF EXISTS v; CREATE TABLE v (a int, r rowversion)")
        raw.run("INSERT v (a) VALUES (1), (2)")
        first = raw.rows("SELECT r FROM v ORDER BY a")
        raw.run("UPDATE v SET a = 1 WHERE a = 1")
        second = raw.rows("SELECT r FROM v ORDER BY a")
        assert first[0] < first[1] < second[0]
        assert second[1] == first[1]
        assert raw.run("INSERT v (a, r) VALUES (1, 0x01)").numbers == [273]

    def test_geometry(self, raw: RawClient) -> None:
        for text in ("POINT (1 2)", "LINESTRING (0 0, 1.5 -1, 2 2)", "POLYGON ((0 0, 3 0, 3 3, 0 0), (1 1, 2 1, 2 2, 1 1))",
                     "MULTIPOINT ((1 2), (3 4))", "GEOMETRYCOLLECTION (POINT (1 2), LINESTRING (0 0, 1 1))", "POINT EMPTY"):  # fmt: skip
            for kind, srid in (("geometry", 0), ("geography", 4326)):
                raw.run("DROP TABLE IF EXISTS v")
                raw.run(f"CREATE TABLE v (g {kind}); INSERT v VALUES ({kind}::STGeomFromText('{text}', {srid}))")
                assert raw.rows("SELECT g.STAsText(), g.STSrid FROM v") == [[text, srid]]

    def test_hierarchyid(self, raw: RawClient) -> None:
        raw.run("DROP TABLE IF EXISTS v; CREATE TABLE v (h hierarchyid)")
        paths = ["/", "/1/", "/1/1/", "/1/2.5/", "/2/", "/10/", "/100/", "/5000/", "/-5/"]
        for path in paths:
            assert raw.run(f"INSERT v VALUES ('{path}')").errors == []
        found = [row[0] for row in raw.rows("SELECT h.ToString() FROM v ORDER BY h")]
        assert found == ["/", "/-5/", "/1/", "/1/1/", "/1/2.5/", "/2/", "/10/", "/100/", "/5000/"]
        assert raw.rows("SELECT h.GetLevel() FROM v WHERE h = '/1/2.5/'") == [[2]]
