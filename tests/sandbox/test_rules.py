"""Rules of T-SQL that are easily got wrong, each from Microsoft's page named beside the code that keeps it."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from sandbox_tools import RawClient
from servers import MssqlDatabase, MssqlServer

pytestmark = pytest.mark.sandbox_only


@pytest.fixture(scope="module")
def place(mssql: MssqlServer) -> Iterator[MssqlDatabase]:
    database = mssql.new_database()
    yield database
    database.drop()


@pytest.fixture
def raw(place: MssqlDatabase) -> Iterator[RawClient]:
    with RawClient(place.server, place.name) as client:
        yield client


VALUES: list[tuple[str, list[Any]]] = [
    # a sum keeps the places of the integral part: scale 38 - max(p1 - s1, p2 - s2)
    ("CAST(1 AS decimal(38,10)) + CAST(1.5 AS decimal(38,10))", [Decimal("2.5000000000")]),
    ("CAST(1 AS decimal(38,10)) - CAST(0.0000000001 AS decimal(38,18))", [Decimal("0.9999999999")]),
    ("CAST(1 AS decimal(38,0)) + CAST(0.5 AS decimal(38,38))", [Decimal("2")]),
    ("CAST(1 AS decimal(30,10)) + CAST(1 AS decimal(20,15))", [Decimal("2.000000000000000")]),
    ("~CAST(1 AS bit), ~CAST(0 AS bit), ~CAST(5 AS tinyint), ~5", [False, True, 250, -6]),
    ("CAST(N'é' AS char(4)) + '|', DATALENGTH(CAST(N'é' AS char(4)))", ["é   |", 4]),
    ("NCHAR(0xD83D), NCHAR(0xD83D) + NCHAR(0xDE00), NCHAR(65536), NCHAR(-1)", ["\ud83d", "😀", None, None]),
    ("CHAR(128), CHAR(256), CHAR(-1), ASCII('€'), UNICODE(N'😀')", ["€", None, None, 128, 55357]),
    ("LEN(N'a😀'), CHARINDEX(N'b', N'a😀b'), REVERSE(N'a😀b')", [3, 4, "b\ude00\ud83da"]),
    ("LEN(N'a😀' COLLATE Latin1_General_100_CI_AS_SC), LEFT(N'😀b' COLLATE Latin1_General_100_CI_AS_SC, 1)", [2, "😀"]),
]


@pytest.mark.parametrize(("sql", "row"), VALUES, ids=[sql for sql, _ in VALUES])
def test_values(raw: RawClient, sql: str, row: list[Any]) -> None:
    assert raw.rows(f"SELECT {sql}") == [row]


LIKES = [
    ("'abc  ' LIKE 'abc'", True),
    ("'abc' LIKE 'abc '", False),
    ("'abc  ' LIKE 'abc '", True),
    ("'abc ' LIKE '%c'", True),
    ("N'abc  ' LIKE 'abc'", False),
    ("'abc  ' LIKE N'abc'", False),
    ("'abc  ' NOT LIKE 'abc'", False),
    ("N'😀' LIKE N'_'", False),
    ("N'😀' LIKE N'__'", True),
    ("N'x😀y' LIKE N'%😀_'", True),
    ("N'x😀y' LIKE N'x[a-z]%'", False),
    ("N'😀' COLLATE Latin1_General_100_CI_AS_SC LIKE N'_'", True),
    ("N'😀' LIKE N'_' COLLATE Latin1_General_100_CI_AS_SC", True),
]


@pytest.mark.parametrize(("condition", "true"), LIKES, ids=[condition for condition, _ in LIKES])
def test_like(raw: RawClient, condition: str, true: bool) -> None:
    assert (raw.run(f"SELECT 1 WHERE {condition}").rows == [[[1]]]) == true
    text, operator, pattern = condition.partition(" NOT LIKE ") if "NOT" in condition else condition.partition(" LIKE ")
    over_rows = f"SELECT 1 FROM (SELECT {text} AS t, {pattern} AS p) v WHERE t{operator}p"
    if "COLLATE" not in pattern:
        assert (raw.run(over_rows).rows == [[[1]]]) == true


def test_char_n_counts_bytes_and_is_padded_in_bytes(raw: RawClient) -> None:
    raw.run("DROP TABLE IF EXISTS c")
    raw.run(
        "CREATE TABLE c (z char(5) COLLATE Czech_CI_AS, h char(6) COLLATE Chinese_PRC_CI_AS,"
        " u char(6) COLLATE Latin1_General_100_CI_AS_SC_UTF8, v varchar(4) COLLATE Latin1_General_100_CI_AS_SC_UTF8)"
    )
    assert raw.run("INSERT c VALUES (N'žl', N'中', N'é', N'éé')").errors == []
    assert raw.rows("SELECT z + '|', h + '|', u + '|', DATALENGTH(z), DATALENGTH(h), DATALENGTH(u) FROM c") == [
        ["žl   |", "中    |", "é    |", 5, 6, 6]
    ]
    assert raw.run("INSERT c (v) VALUES (N'ééx')").numbers == [2628]
    assert raw.run("INSERT c (v) SELECT N'éé' + x FROM (VALUES (N'x')) v(x)").numbers == [2628]
    assert raw.rows("SELECT CAST(N'ééx' AS varchar(4)) COLLATE Czech_CI_AS") == [["ééx"]]
    assert raw.rows("SELECT CAST(u + N'中中' AS varchar(7)) FROM c WHERE u IS NOT NULL") == [["é    "]]


def test_a_recursive_table_keeps_its_names(raw: RawClient) -> None:
    raw.run(
        "DROP TABLE IF EXISTS emp; CREATE TABLE emp (Id int, Boss int); INSERT emp VALUES (1, NULL), (2, 1), (3, 2)"
    )
    answer = raw.run(
        "WITH r (who, above) AS (SELECT Id, Boss FROM emp WHERE Boss IS NULL"
        " UNION ALL SELECT e.Id, e.Boss FROM emp e JOIN r ON e.Boss = r.who) SELECT who, above FROM r ORDER BY who"
    )
    assert [column.name for column in answer.columns[0]] == ["who", "above"]
    assert answer.rows == [[[1, None], [2, 1], [3, 2]]]
    answer = raw.run("SELECT d.x, y FROM (SELECT Id, Boss FROM emp) d (x, y); SELECT ID FROM emp")
    assert [[column.name for column in columns] for columns in answer.columns] == [["x", "y"], ["Id"]]


def test_a_variable_gathers_the_rows(raw: RawClient) -> None:
    source = "FROM (VALUES ('a', 1), ('b', 2), ('c', 3)) v(x, i)"
    assert raw.rows(f"DECLARE @s varchar(9) = '', @n int = 0; SELECT @s = @s + x, @n += i {source}; SELECT @s, @n") == [
        ["abc", 6]
    ]
    assert raw.rows(f"DECLARE @s varchar(9) = ''; SELECT @s = x {source} ORDER BY i; SELECT @s, @@ROWCOUNT") == [
        ["c", 3]
    ]
    refused = f"DECLARE @s varchar(9) = ''; SELECT @s = @s + x {source} ORDER BY i + 1"
    assert raw.run(refused).numbers == [40517]


def test_drop_if_exists_of_what_is_not_there(raw: RawClient) -> None:
    for kind, name in [
        ("INDEX", "ix ON nothing"),
        ("TABLE", "nothing"),
        ("TABLE", "nowhere.nothing"),
        ("VIEW", "nothing"),
        ("TRIGGER", "nothing"),
        ("SEQUENCE", "nothing"),
        ("TYPE", "nothing"),
        ("SCHEMA", "nothing"),
        ("USER", "nobody"),
    ]:
        assert raw.run(f"DROP {kind} IF EXISTS {name}").errors == [], kind
    assert raw.run("DROP INDEX ix ON nothing").numbers == [3701]
    assert raw.run("DROP LOGIN nobody_there").numbers == [15151]


def test_a_conversion_that_is_tried_in_a_check(raw: RawClient) -> None:
    raw.run("DROP TABLE IF EXISTS k; CREATE TABLE k (a varchar(20), CHECK (TRY_CONVERT(int, a) IS NOT NULL))")
    assert raw.run("INSERT k VALUES ('x')").numbers == [547]
    assert raw.run("INSERT k SELECT 'x' + 'y'").numbers == [547]
    assert raw.run("INSERT k VALUES ('5')").errors == []
    assert raw.rows("SELECT TRY_CAST(x AS int), TRY_CONVERT(date, x) FROM (VALUES ('1'), ('a'), (NULL)) v(x)") == [
        [1, None],
        [None, None],
        [None, None],
    ]


PAGES = [
    ("Greek_CI_AS", b"\xaa\xd2\xff\xe1", "\uf8f9\uf8fa\uf8fbα"),
    ("Hebrew_CI_AS", b"\xd9\xfb\xff\xe0", "\uf88d\uf894\uf896א"),
    ("Thai_CI_AS", b"\xdb\xfc\xa1", "\uf8c1\uf8c5ก"),
    ("Estonian_CI_AS", b"\xa1\xa5\xe0", "\uf8fc\uf8fdą"),
    ("Chinese_PRC_CI_AS", b"\x80\xd6\xd0\xff", "€中\uf8f5"),
]


@pytest.mark.parametrize(("collation", "data", "text"), PAGES, ids=[page[0] for page in PAGES])
def test_bytes_without_a_character_come_back(mssql: MssqlServer, collation: str, data: bytes, text: str) -> None:
    with RawClient(mssql) as raw:
        name = f"pages_{collation}"
        raw.run(f"CREATE DATABASE {name} COLLATE {collation}")
        try:
            raw.run(f"USE {name}; CREATE TABLE p (a varchar(9)); INSERT p VALUES (CAST(0x{data.hex()} AS varchar(9)))")
            raw.run("INSERT p SELECT CAST(a AS nvarchar(9)) FROM p")
            assert (
                raw.rows("SELECT a, CAST(a AS nvarchar(9)), CAST(a AS varbinary(9)) FROM p") == [[text, text, data]] * 2
            )
        finally:
            raw.run(f"USE master; DROP DATABASE {name}")


def test_checksum_is_not_guessed(raw: RawClient) -> None:
    assert raw.run("SELECT CHECKSUM('abc')").numbers == [40517]
    assert len({row[0] for row in raw.rows("SELECT CHECKSUM(NEWID()) FROM (VALUES (1), (2), (3)) v(x)")}) == 3


def test_triggers_on_the_database_are_no_objects(raw: RawClient) -> None:
    raw.run("CREATE TRIGGER watch ON DATABASE FOR CREATE_TABLE AS PRINT 'x'")
    raw.run("CREATE TABLE watch (a int)")
    assert raw.rows("SELECT name, parent_class_desc FROM sys.triggers") == [["watch", "DATABASE"]]
    assert raw.rows("SELECT type FROM sys.objects WHERE name = 'watch'") == [["U "]]
    assert raw.run("DROP TABLE watch; DROP TRIGGER watch ON DATABASE").errors == []
    assert raw.rows("SELECT COUNT(*) FROM sys.triggers") == [[0]]
    assert raw.run("DROP TRIGGER watch ON DATABASE").numbers == [3701]
