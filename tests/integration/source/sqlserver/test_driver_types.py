"""Every type from T-SQL literals, through the source, the readers and COPY, to the text PostgreSQL shows."""

from __future__ import annotations

from typing import Any

import pytest

from mssql_pg_migrate.mapping.objects import MappedTable
from mssql_pg_migrate.mapping.types import RULES
from mssql_pg_migrate.model import KeyRange
from mssql_pg_migrate.source.reader import Reader, ReadRequest
from mssql_pg_migrate.source.sqlserver.driver import DriverReader
from mssql_pg_migrate.source.sqlserver.wire import WireReader, unavailable
from servers import MssqlDatabase, PgDatabase
from source_tools import copy_into, settings_of, tables_of

# declaration, then (T-SQL literal, PostgreSQL's text) pairs
TYPES: list[tuple[str, list[tuple[str, str]]]] = [
    ("bit", [("0", "false"), ("1", "true")]),
    ("tinyint", [("0", "0"), ("255", "255")]),
    ("smallint", [("-32768", "-32768"), ("32767", "32767")]),
    ("int", [("-2147483648", "-2147483648"), ("2147483647", "2147483647")]),
    ("bigint", [("-9223372036854775808", "-9223372036854775808"), ("9223372036854775807", "9223372036854775807")]),
    ("decimal(38,0)", [(f"'{'9' * 38}'", "9" * 38), (f"'-{'9' * 38}'", "-" + "9" * 38), ("0", "0")]),
    ("decimal(38,38)", [(f"'0.{'9' * 38}'", "0." + "9" * 38), (f"'-0.{'0' * 37}1'", "-0." + "0" * 37 + "1")]),
    ("numeric(10,4)", [("-999999.9999", "-999999.9999"), ("0.1", "0.1000"), ("10000", "10000.0000")]),
    ("money", [("922337203685477.5807", "922337203685477.5807"), ("-922337203685477.5808", "-922337203685477.5808")]),
    ("smallmoney", [("214748.3647", "214748.3647"), ("-214748.3648", "-214748.3648")]),
    ("float", [("1.7976931348623157E308", "1.7976931348623157e+308"), ("0.1E0", "0.1"), ("-2.5E-300", "-2.5e-300")]),
    ("real", [("3.4028235E38", "3.4028235e+38"), ("1.5E0", "1.5")]),
    ("char(5)", [("'ab'", "ab   "), ("''", "     "), ("'a b'", "a b  ")]),
    ("varchar(10)", [("''", ""), ("' x '", " x "), ("'caf' + CHAR(233)", "café")]),
    ("varchar(max)", [("''", ""), ("REPLICATE(CAST('xy' AS varchar(max)), 20000)", "xy" * 20_000)]),
    ("nchar(4)", [("N'日'", "日   ")]),
    ("nvarchar(20)", [("N''", ""), ("N'日本🚀'", "日本🚀"), ("N'a' + NCHAR(9) + N'\\\"'", 'a\t\\"')]),
    ("nvarchar(max)", [("N''", ""), ("REPLICATE(CAST(N'é🚀' AS nvarchar(max)), 175000)", "é🚀" * 175_000)]),
    ("text", [("'plain'", "plain")]),
    ("ntext", [("N'té🚀'", "té🚀")]),
    ("date", [("'0001-01-01'", "0001-01-01"), ("'9999-12-31'", "9999-12-31"), ("'1900-02-28'", "1900-02-28")]),
    ("time(0)", [("'23:59:59'", "23:59:59")]),
    ("time(3)", [("'12:34:56.789'", "12:34:56.789")]),
    ("time(7)", [("'00:00:00'", "00:00:00"), ("'23:59:59.999999'", "23:59:59.999999")]),
    (
        "datetime",
        [
            ("'1753-01-01T00:00:00'", "1753-01-01 00:00:00"),
            ("'2010-05-05T10:10:10.003'", "2010-05-05 10:10:10.003"),
            ("'2010-05-05T10:10:10.007'", "2010-05-05 10:10:10.007"),
            ("'9999-12-31T23:59:59.997'", "9999-12-31 23:59:59.997"),
        ],
    ),
    (
        "smalldatetime",
        [("'1900-01-01T00:00:00'", "1900-01-01 00:00:00"), ("'2079-06-06T23:59:00'", "2079-06-06 23:59:00")],
    ),
    ("datetime2(0)", [("'0001-01-01T00:00:00'", "0001-01-01 00:00:00")]),
    ("datetime2(3)", [("'9999-12-31T23:59:59.999'", "9999-12-31 23:59:59.999")]),
    ("datetime2(7)", [("'9999-12-31T23:59:59.999999'", "9999-12-31 23:59:59.999999")]),
    (
        "datetimeoffset(7)",
        [
            ("'2024-02-29T12:00:00.123456+05:30'", "2024-02-29 06:30:00.123456+00"),
            ("'2024-02-29T12:00:00-12:45'", "2024-03-01 00:45:00+00"),
        ],
    ),
    (
        "uniqueidentifier",
        [
            ("'6F9619FF-8B86-D011-B42D-00C04FC964FF'", "6f9619ff-8b86-d011-b42d-00c04fc964ff"),
            ("'00000000-0000-0000-0000-000000000001'", "00000000-0000-0000-0000-000000000001"),
        ],
    ),
    ("binary(4)", [("0x00FF", "\\x00ff0000")]),
    ("varbinary(10)", [("0x", "\\x"), ("0x00FF10", "\\x00ff10")]),
    (
        "varbinary(max)",
        [("CAST(REPLICATE(CAST('x' AS varchar(max)), 1000000) AS varbinary(max))", "\\x" + "78" * 1_000_000)],
    ),
    ("image", [("0x0102", "\\x0102")]),
    ("xml", [("N'<a>é</a>'", "<a>é</a>")]),
]


def column(position: int) -> str:
    return f"c{position}"


SCRIPT = (
    "CREATE TABLE dbo.Kinds (id int NOT NULL PRIMARY KEY, "
    + ", ".join(f"{column(position)} {declared} NULL" for position, (declared, _) in enumerate(TYPES))
    + ")\nGO\n"
    + "\nGO\n".join(
        f"INSERT INTO dbo.Kinds (id, {', '.join(column(p) for p in range(len(TYPES)))}) VALUES ({number}, "
        + ", ".join(pairs[number][0] if number < len(pairs) else "NULL" for _, pairs in TYPES)
        + ")"
        for number in range(max(len(pairs) for _, pairs in TYPES) + 1)
    )
)


def read(reader: Reader, table: MappedTable, copy_format: Any = "binary") -> bytes:
    try:
        request = ReadRequest(table=table, range=KeyRange(0), copy_format=copy_format)
        return b"".join(bytes(chunk.data) for chunk in reader.chunks(request))
    finally:
        reader.close()


def test_every_type_from_literal_to_postgresql(source_db: MssqlDatabase, target_db: PgDatabase) -> None:
    source_db.execute_script(SCRIPT)
    table = tables_of(source_db)["dbo.Kinds"]
    settings = settings_of(source_db)
    binary = read(DriverReader(settings), table)
    columns = ", ".join(f'"{one.name}" {one.pg_type}' for one in table.columns)
    with target_db.connect() as target:
        target.execute("SET timezone = 'UTC'")
        target.execute(f"CREATE TABLE kinds ({columns})")
        copy_into(target, "kinds", binary)
        for position, (declared, pairs) in enumerate(TYPES):
            rows = target.execute(f"SELECT {shape(declared, column(position))} FROM kinds ORDER BY id").fetchall()
            wanted = [text for _, text in pairs]
            assert [found for (found,) in rows] == wanted + [None] * (len(rows) - len(wanted)), declared
        before = target.execute("SELECT md5(string_agg(k::text, '' ORDER BY id)) FROM kinds AS k").fetchone()
        target.execute("TRUNCATE kinds")
        copy_into(target, "kinds", read(DriverReader(settings), table, "text"), "text")
        assert target.execute("SELECT md5(string_agg(k::text, '' ORDER BY id)) FROM kinds AS k").fetchone() == before
    if unavailable() is None:
        assert read(WireReader(settings), table) == binary


def shape(declared: str, name: str) -> str:
    """A column as text; a cast drops the trailing blanks of a char, rpad brings them back."""
    if declared.startswith(("char", "nchar")):
        return f"rpad({name}::text, {declared.split('(')[1].rstrip(')')}, ' ')"
    return f"{name}::text"


def test_values_of_sql_variant_keep_their_exact_text(source_db: MssqlDatabase, target_db: PgDatabase) -> None:
    source_db.execute_script(
        """
        CREATE TABLE dbo.Anything (id int NOT NULL PRIMARY KEY, v sql_variant NULL)
        GO
        INSERT INTO dbo.Anything VALUES
            (1, CAST(5 AS int)), (2, CAST(N'日本' AS nvarchar(10))), (3, CAST('x' AS varchar(5))),
            (4, CAST('2020-02-29T12:34:56.1234567' AS datetime2(7))), (5, CAST('2020-02-29T12:34:56.003' AS datetime)),
            (6, CAST(0x00FF AS varbinary(4))), (7, CAST(12.3400 AS money)), (8, CAST(1.50 AS decimal(10, 3))),
            (9, CAST('2020-02-29' AS date)), (10, CAST('6F9619FF-8B86-D011-B42D-00C04FC964FF' AS uniqueidentifier)),
            (11, NULL), (12, CAST(0.1E0 AS float)), (13, CAST('12:34:56' AS time(0))),
            (14, CAST('10:11:12.1234567' AS time(7))), (15, CAST('2020-02-29T12:34:56.5+05:30' AS datetimeoffset(3))),
            (16, CAST('2020-02-29T12:34:00' AS smalldatetime)), (17, CAST(-214748.3648 AS smallmoney)),
            (18, CAST(1 AS bit)), (19, CAST(-9223372036854775808 AS bigint)), (20, CAST('a' AS char(3))),
            (21, CAST(0x41 AS binary(3))), (22, CAST(922337203685477.5807 AS money)), (23, CAST(N'b' AS nchar(2))),
            (24, CAST('99999999999999999999999999999999999999' AS decimal(38, 0))), (25, CAST(255 AS tinyint))
        """
    )
    table = tables_of(source_db)["dbo.Anything"]
    data = read(DriverReader(settings_of(source_db)), table)
    with target_db.connect() as target:
        target.execute("CREATE TABLE anything (id integer, v text)")
        copy_into(target, "anything", data)
        found = dict(target.execute("SELECT id, v FROM anything").fetchall())
    number = found.pop(12)
    assert number is not None
    assert float(number) == 0.1
    assert found == {
        1: "5",
        2: "日本",
        3: "x",
        4: "2020-02-29T12:34:56.1234567",
        5: "2020-02-29T12:34:56.003",
        6: "0x00FF",
        7: "12.3400",
        8: "1.500",
        9: "2020-02-29",
        10: "6F9619FF-8B86-D011-B42D-00C04FC964FF",
        11: None,
        13: "12:34:56.0000000",
        14: "10:11:12.1234567",
        15: "2020-02-29T12:34:56.5000000+05:30",
        16: "2020-02-29T12:34:00",
        17: "-214748.3648",
        18: "1",
        19: "-9223372036854775808",
        20: "a  ",
        21: "0x410000",
        22: "922337203685477.5807",
        23: "b ",
        24: "9" * 38,
        25: "255",
    }


@pytest.mark.parametrize("style", ["3", "0"])
def test_a_float_in_a_sql_variant_keeps_its_digits_on_old_servers_too(source_db: MssqlDatabase, style: str) -> None:
    """Before SQL Server 2016 style 3 is processed as style 0, which writes six digits."""
    source_db.execute_script(
        """
        CREATE TABLE dbo.Numbers (id int NOT NULL PRIMARY KEY, v sql_variant NULL)
        GO
        INSERT INTO dbo.Numbers VALUES (1, CAST(1234567.890123 AS float)), (2, CAST(-1.25E-30 AS float)),
            (3, CAST(16777215 AS real)), (4, CAST(0 AS float)), (5, NULL)
        """
    )
    expression = RULES["sql_variant"].driver.format(c="[v]").replace(", 3)", f", {style})")
    rows = source_db.query(f"SELECT {expression} AS v FROM dbo.Numbers ORDER BY id")
    assert [None if text is None else float(text) for (text,) in rows] == [1234567.890123, -1.25e-30, 16777215, 0, None]


@pytest.mark.sandbox_only
def test_clr_types_arrive_as_text(source_db: MssqlDatabase, target_db: PgDatabase) -> None:
    """Not on every server: CLR types need Windows or a full SQL Server."""
    source_db.execute_script(
        """
        CREATE TABLE dbo.Places (id int NOT NULL PRIMARY KEY, h hierarchyid NULL, g geometry NULL, e geography NULL)
        GO
        INSERT INTO dbo.Places VALUES
            (1, hierarchyid::Parse('/1/3/'), geometry::STGeomFromText('POINT (1 2)', 0),
                geography::STGeomFromText('POINT (-122.34 47.65)', 4326)),
            (2, NULL, NULL, NULL)
        """
    )
    data = read(DriverReader(settings_of(source_db)), tables_of(source_db)["dbo.Places"])
    with target_db.connect() as target:
        target.execute("CREATE TABLE places (id integer, h text, g text, e text)")
        copy_into(target, "places", data)
        rows = target.execute("SELECT * FROM places ORDER BY id").fetchall()
    assert rows == [(1, "/1/3/", "POINT (1 2)", "POINT (-122.34 47.65)"), (2, None, None, None)]


def test_an_instant_after_the_year_9999_in_utc_arrives_in_both_forms(
    source_db: MssqlDatabase, target_db: PgDatabase
) -> None:
    source_db.execute_script(
        """
        CREATE TABLE dbo.Far (id int NOT NULL PRIMARY KEY, at datetimeoffset(6) NULL)
        GO
        INSERT INTO dbo.Far VALUES (1, '9999-12-31T23:59:59.999999-14:00'), (2, '0001-01-01T14:00:00+14:00'),
            (3, '2020-02-29T12:00:00+01:00'), (4, NULL)
        """
    )
    table = tables_of(source_db)["dbo.Far"]
    with target_db.connect() as target:
        target.execute("SET timezone = 'UTC'; CREATE TABLE binary_form (id integer, at timestamptz)")
        target.execute("CREATE TABLE text_form (id integer, at timestamptz)")
        for form, name in (("binary", "binary_form"), ("text", "text_form")):
            copy_into(target, name, read(DriverReader(settings_of(source_db)), table, form), form)
        found = target.execute("SELECT at::text FROM binary_form ORDER BY id").fetchall()
        assert found == target.execute("SELECT at::text FROM text_form ORDER BY id").fetchall()
    assert [text for (text,) in found] == [
        "10000-01-01 13:59:59.999999+00",
        "0001-01-01 00:00:00+00",
        "2020-02-29 11:00:00+00",
        None,
    ]
