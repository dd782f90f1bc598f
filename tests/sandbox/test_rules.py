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
        ("DEFAULT", "nothing"),
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


JSON: list[tuple[str, str, Any]] = [
    ('{"a":{"b":[1,2.50,"x\\u00e9\\ud83d\\ude00"]}}', "$.a.b[2]", "xé😀"),
    ('{"a":{"b":[1,2.50]}}', "$.a.b[1]", "2.50"),
    ('{"a":1,"a":2}', "$.a", "1"),
    ('{"a":true,"b":null}', "$.a", "true"),
    ('{"a":true,"b":null}', "$.b", None),
    ('{"a b":"q"}', '$."a b"', "q"),
    ('{"a":1}', "lax $.b", None),
    ('{"a":[1]}', "$.a", None),
    ('{"a":[1]}', "$.a.b", None),
    ('{"a":"\\ud83d"}', "$.a", "\ud83d"),
    ('{"a":1} and the rest', "$.a", "1"),
]


@pytest.mark.parametrize(("document", "path", "value"), JSON, ids=[f"{d} {p}" for d, p, _ in JSON])
def test_json_value(raw: RawClient, document: str, path: str, value: Any) -> None:
    assert raw.rows(f"SELECT JSON_VALUE(N'{document}', '{path}')") == [[value]]
    assert raw.rows(f"SELECT JSON_VALUE(d, p) FROM (SELECT N'{document}' AS d, N'{path}' AS p) v") == [[value]]


def test_json_that_is_wrong(raw: RawClient) -> None:
    assert raw.run("SELECT JSON_VALUE('{\"a\":1', '$.b')").numbers == [13609]
    assert raw.run("SELECT JSON_VALUE('{\"a\":1}', '$a')").numbers == [13607]
    assert raw.run("SELECT JSON_VALUE('{\"a\":1}', 'strict $.b')").numbers == [13608]
    assert raw.run("SELECT JSON_VALUE('{\"a\":[]}', 'strict $.a')").numbers == [13623]
    assert raw.run("SELECT JSON_QUERY('{\"a\":1}', 'strict $.a')").numbers == [13624]
    assert raw.rows(
        "SELECT JSON_QUERY('{\"a\": [1, 2]}', '$.a'), ISJSON('[]'), ISJSON('1'), ISJSON('{a'), ISJSON(NULL)"
    ) == [["[1, 2]", 1, 0, 0, None]]
    raw.run("DROP TABLE IF EXISTS j, i; CREATE TABLE j (d nvarchar(99), a AS JSON_VALUE(d, '$.a'))")
    raw.run("CREATE TABLE i (d nvarchar(99), CHECK (ISJSON(d) = 1))")
    assert raw.run("INSERT i VALUES (N'{')").numbers == [547]
    raw.run('INSERT j (d) VALUES (N\'{"a":"x"}\')')
    assert raw.rows("SELECT a FROM j") == [["x"]]


def test_pivot_and_unpivot(raw: RawClient) -> None:
    raw.run("DROP TABLE IF EXISTS o; CREATE TABLE o (y int, q nvarchar(2), v int)")
    raw.run("INSERT o VALUES (1, 'a', 10), (1, 'b', 20), (1, 'a', 5), (2, 'b', 7), (2, 'c', NULL)")
    answer = raw.run("SELECT * FROM o PIVOT (SUM(v) FOR q IN ([a], [b], [d])) AS p ORDER BY y")
    assert [column.name for column in answer.columns[0]] == ["y", "a", "b", "d"]
    assert answer.rows == [[[1, 15, 20, None], [2, None, 7, None]]]
    assert raw.rows("SELECT [c], [a] FROM (SELECT q, v FROM o) s PIVOT (COUNT(v) FOR q IN ([a], [c])) p") == [[0, 2]]
    turned = "(SELECT 1 AS k, 5 AS x, CAST(NULL AS int) AS y, 7 AS z) s UNPIVOT (v FOR n IN (x, y, z)) AS u"
    assert raw.rows(f"SELECT k, n, v FROM {turned} ORDER BY n") == [[1, "x", 5], [1, "z", 7]]
    assert raw.run("SELECT * FROM o PIVOT (SUM(v) FOR nothing IN ([a])) AS p").numbers == [207]


def test_defaults_of_their_own(raw: RawClient) -> None:
    raw.run("DROP TABLE IF EXISTS bd; CREATE TABLE bd (a int, b int NULL, c int NULL CONSTRAINT df_c DEFAULT 1)")
    assert raw.run("CREATE DEFAULT dbo.d5 AS 5").errors == []
    assert (
        raw.run("EXEC sp_bindefault 'dbo.d5', 'dbo.bd.b'; INSERT bd (a) VALUES (1); INSERT bd (a) SELECT 2").errors
        == []
    )
    assert raw.rows("SELECT a, b FROM bd ORDER BY a") == [[1, 5], [2, 5]]
    assert raw.run("EXEC sp_bindefault 'dbo.d5', 'dbo.bd.c'").numbers == [15103]
    assert raw.rows("SELECT type, parent_object_id FROM sys.objects WHERE name = 'd5'") == [["D ", 0]]
    assert raw.rows("SELECT name FROM sys.default_constraints WHERE name IN ('d5', 'df_c')") == [["df_c"]]
    assert raw.rows("SELECT definition FROM sys.sql_modules WHERE object_id = OBJECT_ID('d5')") == [
        ["CREATE DEFAULT dbo.d5 AS 5"]
    ]
    assert raw.rows(
        "SELECT OBJECT_NAME(default_object_id) FROM sys.columns WHERE object_id = OBJECT_ID('bd') AND name = 'b'"
    ) == [["d5"]]
    assert raw.run("DROP DEFAULT d5").numbers == [3716]
    assert raw.run("EXEC sp_unbindefault 'bd.b'; DROP DEFAULT d5; INSERT bd (a) VALUES (3)").errors == []
    assert raw.rows("SELECT b FROM bd WHERE a = 3") == [[None]]
    raw.run("CREATE TYPE six FROM int NULL; CREATE TABLE be (a int, m six)")
    raw.run("CREATE DEFAULT d6 AS 6")
    raw.run("EXEC sp_bindefault 'd6', 'six'; CREATE TABLE bf (a int, m six)")
    raw.run("INSERT be (a) VALUES (1); INSERT bf (a) VALUES (1)")
    assert raw.rows("SELECT be.m, bf.m FROM be, bf") == [[6, 6]]
    assert raw.run("EXEC sp_bindefault 'nothing', 'bd.b'").numbers == [15016]


def test_rights_on_columns(place: MssqlDatabase, raw: RawClient) -> None:
    name = f"cols_{place.name}"
    raw.run(
        "DROP TABLE IF EXISTS pay; CREATE TABLE pay (id int, who varchar(9), sum int); INSERT pay VALUES (1, 'x', 5)"
    )
    raw.run("CREATE VIEW all_pay AS SELECT id, sum FROM pay")
    raw.run(f"CREATE LOGIN {name} WITH PASSWORD = 'C0lumns!'; CREATE USER {name} FOR LOGIN {name}")
    try:
        raw.run(f"GRANT SELECT, UPDATE ON pay TO {name}; DENY SELECT (sum), UPDATE (who) ON pay TO {name}")
        with RawClient(place.server, place.name, user=name, password="C0lumns!") as client:
            assert client.rows("SELECT id, who FROM pay") == [[1, "x"]]
            assert client.rows("SELECT COUNT(*) FROM pay") == [[1]]
            for query in ("SELECT sum FROM pay", "SELECT * FROM pay", "SELECT 1 FROM pay p WHERE p.sum > 1"):
                answer = client.run(query)
                assert answer.numbers == [230]
                assert "on the column 'sum' of the object 'pay'" in answer.errors[0].text
            assert client.run("UPDATE pay SET who = 'y'").numbers == [230]
            assert client.run("UPDATE pay SET id = 2 WHERE id = 1").errors == []
            assert client.rows("SELECT minor_id FROM sys.database_permissions WHERE state = 'D' ORDER BY 1") == [
                [2],
                [3],
            ]
            raw.run(f"REVOKE SELECT, UPDATE ON pay FROM {name}; GRANT SELECT ON pay (id) TO {name}")
            assert client.rows("SELECT id FROM pay") == [[2]]
            assert client.run("SELECT who FROM pay").numbers == [230]
            raw.run(f"REVOKE SELECT ON pay (id) FROM {name}")
            assert client.run("SELECT id FROM pay").numbers == [229]
            raw.run(f"GRANT SELECT ON all_pay TO {name}")
            assert client.rows("SELECT sum FROM all_pay") == [[5]]
            assert raw.run(f"DENY INSERT (id) ON pay TO {name}").numbers == [1020]
    finally:
        raw.run(f"DROP USER {name}; DROP LOGIN {name}")


def test_names_in_a_database_that_knows_the_case(mssql: MssqlServer) -> None:
    with RawClient(mssql) as raw:
        raw.run("CREATE DATABASE cased COLLATE Latin1_General_CS_AS")
        try:
            assert (
                raw.run("USE cased; CREATE TABLE T (Id int, ID int, CHECK (Id < ID)); CREATE TABLE t (x int)").errors
                == []
            )
            assert raw.run("CREATE SCHEMA S; CREATE TYPE Kind FROM int; CREATE TYPE kind FROM int").errors == []
            raw.run("INSERT T VALUES (1, 2); INSERT t VALUES (3)")
            assert raw.run("INSERT T VALUES (2, 1)").numbers == [547]
            answer = raw.run("SELECT a.ID, A.x, a.Id FROM T a JOIN t A ON A.x > a.Id ORDER BY a.ID")
            assert answer.rows == [[[2, 3, 1]]]
            assert [column.name for column in answer.columns[0]] == ["ID", "x", "Id"]
            assert raw.run("SELECT iD FROM T").numbers == [207]
            assert raw.run("SELECT a.Id FROM T A").numbers == [4104]
            assert raw.run("SELECT X FROM t").numbers == [207]
            assert raw.run("SELECT * FROM s.T").numbers == [208]
            assert raw.rows("SELECT COUNT(*) FROM sys.tables WHERE name = 'T'") == [[1]]
            assert raw.rows("SELECT OBJECT_NAME(OBJECT_ID('t')), OBJECT_ID('dbo.TT')") == [["t", None]]
            raw.run("UPDATE T SET Id = 0 WHERE ID = 2; DROP TABLE t")
            assert raw.rows("SELECT Id, ID FROM T") == [[0, 2]]
        finally:
            raw.run("USE master; DROP DATABASE cased")
