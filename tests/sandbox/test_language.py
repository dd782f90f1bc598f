"""T-SQL: what expressions, functions, statements and control flow give, as SQL Server does."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from sandbox_tools import RawClient
from servers import MssqlDatabase, MssqlServer

pytestmark = pytest.mark.sandbox_only
# ruff: noqa: E501  (tables of expressions read better with one case a line)


@pytest.fixture(scope="module")
def place(mssql: MssqlServer) -> Iterator[MssqlDatabase]:
    database = mssql.new_database()
    yield database
    database.drop()


@pytest.fixture
def raw(place: MssqlDatabase) -> Iterator[RawClient]:
    with RawClient(place.server, place.name) as client:
        yield client


EXPRESSIONS: list[tuple[str, Any]] = [
    # numbers
    ("7 / 2", 3),
    ("-7 / 2", -3),
    ("-7 % 3", -1),
    ("7.0 / 2", Decimal("3.500000")),
    ("1.0 / 3", Decimal("0.333333")),
    ("CAST(1 AS decimal(38,10)) / 3", Decimal("0.3333333333")),
    ("2.5 * 2.5", Decimal("6.25")),
    ("CAST(10 AS money) / 3", Decimal("3.3333")),
    ("CAST(20 AS money) / 3", Decimal("6.6666")),
    ("CAST(-0.0002 AS money) / 3", Decimal("0")),
    ("CAST(922337203685477.5807 AS money) / 7", Decimal("131762457669353.9401")),
    ("1e0 / 3", 1 / 3),
    ("5 & 3 | 8", 9),
    ("5 ^ 1", 4),
    ("~5", -6),
    ("'5' + 3", 8),
    ("CAST(2.9 AS int)", 2),
    ("CAST(-2.9 AS int)", -2),
    ("CAST($2.5 AS int)", 3),
    ("CAST(2.345 AS decimal(5,2))", Decimal("2.35")),
    ("ROUND(123.456, 1)", Decimal("123.500")),
    ("ROUND(1234, -2)", 1200),
    ("CEILING(1.2)", Decimal(2)),
    ("FLOOR(-1.2)", Decimal(-2)),
    ("POWER(2, 10)", 1024),
    ("ABS(-5)", 5),
    ("SIGN(-3)", -1),
    # text
    ("'a' + N'b'", "ab"),
    ("'a' + NULL", None),
    ("CONCAT('a', NULL, 1, N'b')", "a1b"),
    ("LEN('ab  ')", 2),
    ("LEN(N'🚀')", 2),
    ("DATALENGTH('ab  ')", 4),
    ("DATALENGTH(N'ab')", 4),
    ("SUBSTRING('abcdef', 2, 3)", "bcd"),
    ("SUBSTRING(N'a🚀b', 1, 3)", "a🚀"),
    ("LEFT('abc', 2) + RIGHT('abc', 2)", "abbc"),
    ("UPPER('aé') + LOWER('BÉ')", "AÉbé"),
    ("REPLACE('aXbx', 'x', '-')", "a-b-"),
    ("REPLICATE('ab', 2) + SPACE(1) + REVERSE('xy')", "abab yx"),
    ("CHARINDEX('C', 'abc')", 3),
    ("PATINDEX('%[0-9]%', 'ab3')", 3),
    ("STUFF('abcdef', 2, 3, 'x')", "axef"),
    ("UPPER(N'title ı' COLLATE Turkish_CI_AS)", "TİTLE I"),
    ("LOWER(N'TITLE İ' COLLATE Turkish_CI_AS)", "tıtle i"),
    ("UPPER(N'title' COLLATE Latin1_General_CI_AS)", "TITLE"),
    ("CASE WHEN N'I' COLLATE Turkish_CI_AS = N'ı' THEN 1 ELSE 0 END", 1),
    ("CASE WHEN N'I' COLLATE Turkish_CI_AS = N'i' THEN 1 ELSE 0 END", 0),
    ("CASE WHEN N'İ' COLLATE Turkish_100_CI_AI = N'i' THEN 1 ELSE 0 END", 1),
    ("CASE WHEN N'I' COLLATE Turkish_CS_AS = N'ı' THEN 1 ELSE 0 END", 0),
    ("STUFF('abc', 4, 1, 'x')", None),
    ("STUFF('abc', 0, 1, 'x')", None),
    ("STUFF('abc', 2, -1, 'x')", None),
    ("STUFF('abc', 2, 9, NULL)", "a"),
    ("REPLICATE('ab', LEN('abc') - 4)", None),
    ("REPLICATE('ab', LEN('abc') - 3)", ""),
    ("CHARINDEX(N'z', N'a😀b')", 0),
    ("CHARINDEX(N'z', REVERSE(N'a😀b'))", 0),
    ("LTRIM('  a ') + '|'", "a |"),
    ("QUOTENAME('a]b')", "[a]]b]"),
    ("CHAR(65) + NCHAR(8364)", "A€"),
    ("UNICODE(N'€')", 8364),
    # NULL and choices
    ("ISNULL(NULL, 'x')", "x"),
    ("COALESCE(NULL, NULL, 3)", 3),
    ("NULLIF(1, 1)", None),
    ("IIF(1 = 1, 'y', 'n')", "y"),
    ("CHOOSE(2, 'a', 'b')", "b"),
    ("CASE 3 WHEN 1 THEN 'a' WHEN 3 THEN 'c' END", "c"),
    ("CASE WHEN NULL = NULL THEN 1 ELSE 2 END", 2),
    # dates
    ("CONVERT(varchar(30), CAST('2024-02-29 12:34:56.789' AS datetime), 121)", "2024-02-29 12:34:56.790"),
    ("CONVERT(varchar(30), CAST('2024-02-29 12:34:56.1234567' AS datetime2(7)), 126)", "2024-02-29T12:34:56.1234567"),
    ("CONVERT(varchar(30), CAST('2024-02-29' AS datetime), 126)", "2024-02-29T00:00:00"),
    ("CONVERT(varchar(30), CAST('2024-02-29 12:34:56' AS datetime), 120)", "2024-02-29 12:34:56"),
    ("CONVERT(varchar(30), CAST('2024-02-29 12:34:56' AS datetime))", "Feb 29 2024 12:34PM"),
    ("CONVERT(varchar(8), CAST('2024-02-29' AS date), 112)", "20240229"),
    ("CONVERT(varchar(40), CAST('2024-02-29 12:00 +05:30' AS datetimeoffset(0)), 127)", "2024-02-29T06:30:00Z"),
    ("CAST(CAST('2024-02-29 12:00 +05:30' AS datetimeoffset(3)) AS nvarchar(40))", "2024-02-29 12:00:00.000 +05:30"),
    ("CAST(CAST('10:11:12.5' AS time(1)) AS varchar(20))", "10:11:12.5"),
    ("DATEDIFF(day, '2024-02-28', '2024-03-01')", 2),
    ("DATEDIFF(month, '2024-01-31', '2024-02-01')", 1),
    ("CONVERT(varchar(10), DATEADD(month, 1, CAST('2024-01-31' AS date)), 23)", "2024-02-29"),
    ("DATEPART(weekday, '2024-02-29')", 5),
    ("DATENAME(month, '2024-02-29')", "February"),
    ("YEAR('2024-02-29') * 100 + MONTH('2024-02-29')", 202402),
    ("CONVERT(varchar(10), EOMONTH('2024-02-01'), 23)", "2024-02-29"),
    ("DATEPART(nanosecond, CAST('2024-01-01 00:00:00.1234567' AS datetime2(7)))", 123456700),
    # binary and others
    ("CONVERT(varchar(10), 0x00FF, 1)", "0x00FF"),
    ("CONVERT(varchar(10), 0x00FF, 2)", "00FF"),
    ("CONVERT(varbinary(5), '0x00FF', 1)", b"\x00\xff"),
    ("CAST(258 AS varbinary(4))", b"\x00\x00\x01\x02"),
    ("CAST(0x0102 AS int)", 258),
    ("CAST(N'aé' AS varbinary(10))", "aé".encode("utf-16-le")),
    ("CAST('aé' AS varbinary(10))", "aé".encode("cp1252")),
    ("CAST(CAST('6F9619FF-8B86-D011-B42D-00C04FC964FF' AS uniqueidentifier) AS binary(16))",
     bytes.fromhex("FF19966F868B11D0B42D00C04FC964FF")),
    ("CAST(CAST(0xFF19966F868B11D0B42D00C04FC964FF AS uniqueidentifier) AS char(36))", "6F9619FF-8B86-D011-B42D-00C04FC964FF"),
    ("HASHBYTES('SHA2_256', 'abc')", bytes.fromhex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")),
    ("HASHBYTES('MD5', N'abc')", bytes.fromhex("ce1473cf80c6b3fda8e3dfc006adc315")),
    ("TRY_CAST('x' AS int)", None),
    ("TRY_CONVERT(int, '7')", 7),
    ("CAST(1.5 AS varchar(10)) + CAST(CAST(0.1 AS float) AS varchar(10))", "1.50.1"),
    ("CONVERT(varchar(30), CAST(1234567.891 AS money), 1)", "1,234,567.89"),
    ("CONVERT(nvarchar(50), CAST(0.1 AS float), 3)", "0.10000000000000001"),
    ("CAST(CAST(1 AS bit) AS varchar(5))", "1"),
    # the server
    ("CAST(SERVERPROPERTY('ProductMajorVersion') AS int)", 16),
    ("CAST(COLLATIONPROPERTY('Cyrillic_General_CI_AS', 'CodePage') AS int)", 1251),
    ("CAST(DATABASEPROPERTYEX(DB_NAME(), 'Collation') AS nvarchar(128))", "SQL_Latin1_General_CP1_CI_AS"),
    ("SUSER_SNAME()", "sa"),
    ("SCHEMA_NAME(1)", "dbo"),
    ("OBJECT_ID('no.such')", None),
    ("HAS_PERMS_BY_NAME(NULL, NULL, 'VIEW ANY DATABASE')", 1),
    ("TYPE_NAME(231)", "nvarchar"),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "value"), EXPRESSIONS, ids=[expression for expression, _ in EXPRESSIONS])
def test_expression(raw: RawClient, expression: str, value: Any) -> None:
    assert raw.rows(f"SELECT {expression}") == [[value]]


# The same over a column, where nothing is known beforehand.
COLUMNS: list[tuple[str, str, Any]] = [
    ("int", "a / 2", 3),
    ("int", "CAST(a AS varchar(5)) + 'x'", "7x"),
    ("decimal(10,2)", "a / 3", Decimal("2.333333")),
    ("decimal(10,2)", "CAST(a AS int)", 7),
    ("money", "CAST(a AS varchar(10))", "7.00"),
    ("float", "CAST(a AS decimal(5,1))", Decimal("7.0")),
    ("varchar(5)", "CAST(a AS int) + 1", 8),
    ("nvarchar(5)", "LEN(a) + DATALENGTH(a)", 3),
    ("varbinary(5)", "CONVERT(varchar(12), a, 2)", "00000007"),
    ("bigint", "a * 1000000000000", 7_000_000_000_000),
]


@pytest.mark.parametrize(("kind", "expression", "value"), COLUMNS)
def test_expression_over_a_column(raw: RawClient, kind: str, expression: str, value: Any) -> None:
    raw.run(f"DROP TABLE IF EXISTS e; CREATE TABLE e (a {kind}); INSERT e VALUES (7)")
    assert raw.rows(f"SELECT {expression} FROM e") == [[value]]


class TestQueries:
    @pytest.fixture(autouse=True)
    def table(self, raw: RawClient) -> None:
        raw.run("DROP TABLE IF EXISTS q; CREATE TABLE q (id int PRIMARY KEY, g nvarchar(5), n int)")
        raw.run("INSERT q VALUES (1,'a',10),(2,'A',NULL),(3,'b',30),(4,'b',40),(5,NULL,50)")

    @pytest.mark.parametrize(
        ("sql", "rows"),
        [
            ("SELECT TOP (2) id FROM q ORDER BY id DESC", [[5], [4]]),
            ("SELECT id FROM q ORDER BY id OFFSET 1 ROWS FETCH NEXT 2 ROWS ONLY", [[2], [3]]),
            ("SELECT COUNT(*), COUNT(n), SUM(n), AVG(n), MIN(g), MAX(n) FROM q", [[5, 4, 130, 32, "a", 50]]),
            ("SELECT COUNT_BIG(*) FROM q WHERE n > 10 AND NOT n = 40", [[2]]),
            ("SELECT COUNT(*) AS c FROM q GROUP BY g ORDER BY g", [[1], [2], [2]]),
            ("SELECT g FROM q GROUP BY g HAVING SUM(n) > 50 ORDER BY g", [["b"]]),
            (
                "SELECT id FROM (SELECT id, ROW_NUMBER() OVER (ORDER BY id) AS rn FROM q) AS x WHERE rn % 2 = 0",
                [[2], [4]],
            ),
            ("SELECT MAX(t) FROM (SELECT NTILE(2) OVER (ORDER BY id) AS t FROM q) AS x", [[2]]),
            ("SELECT id, SUM(n) OVER (PARTITION BY g ORDER BY id) FROM q WHERE g = 'b' ORDER BY 1", [[3, 30], [4, 70]]),
            ("SELECT a.id FROM q AS a JOIN q AS b ON b.id = a.id + 1 WHERE b.g = 'b' ORDER BY a.id", [[2], [3]]),
            ("SELECT a.id FROM q a LEFT JOIN q b ON b.id = a.id + 1 WHERE b.id IS NULL", [[5]]),
            ("SELECT id FROM q WHERE n = (SELECT MAX(n) FROM q)", [[5]]),
            ("SELECT id FROM q o WHERE EXISTS (SELECT 1 FROM q i WHERE i.id > o.id AND i.g = o.g)", [[1], [3]]),
            ("SELECT id FROM q WHERE id IN (SELECT id FROM q WHERE g IS NULL)", [[5]]),
            ("SELECT id FROM q WHERE id NOT IN (1, 2, 3) AND n BETWEEN 40 AND 45", [[4]]),
            ("SELECT 1 AS x UNION SELECT 1 UNION ALL SELECT 3 ORDER BY x DESC", [[3], [1]]),
            ("SELECT id FROM q EXCEPT SELECT id FROM q WHERE id > 1", [[1]]),
            ("WITH c AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM c WHERE n < 3) SELECT n FROM c", [[1], [2], [3]]),
            ("SELECT x.a FROM (VALUES (1, 'p'), (2, 'q')) AS x (a, b) WHERE b = 'q'", [[2]]),
            (
                "SELECT a.id, b.m FROM q a CROSS APPLY (SELECT MAX(n) AS m FROM q i WHERE i.g = a.g) b WHERE a.id = 3",
                [[3, 40]],
            ),
            ("SELECT STRING_AGG(CAST(id AS varchar(5)), ',') WITHIN GROUP (ORDER BY id DESC) FROM q", [["5,4,3,2,1"]]),
            ("SELECT TOP 1 WITH_ = id FROM q ORDER BY id", [[1]]),
            ("SELECT g FROM q WHERE (g > N'a' OR (g = N'a' AND id > 1)) ORDER BY g, id", [["A"], ["b"], ["b"]]),
        ],
    )
    def test_rows(self, raw: RawClient, sql: str, rows: list[list[Any]]) -> None:
        assert raw.rows(sql) == rows

    @pytest.mark.parametrize(
        ("sql", "number"),
        [
            ("SELECT nosuch FROM q", 207),
            ("SELECT x.id FROM q", 4104),
            ("SELECT id FROM q a JOIN q b ON a.id = b.id", 209),
            ("SELECT * FROM nosuch", 208),
            ("SELECT 1 2", 102),
            ("SELECT FROM q", 156),
            ("SELECT 'open", 105),
            ("SELECT 1 WHERE 1", 4145),
            ("SELECT @x", 137),
            ("SELECT 1 / (id - id) FROM q", 8134),
            ("SELECT CAST(g AS int) FROM q", 245),
            ("SELECT id + 2147483647 FROM q", 8115),
            ("SELECT SUM(g) FROM q", 8117),
            ("EXEC nosuch", 2812),
            ("USE nosuch", 911),
            ("SELECT 1 UNION SELECT 1, 2", 205),
        ],
    )
    def test_errors(self, raw: RawClient, sql: str, number: int) -> None:
        assert raw.run(sql).numbers == [number]


class TestChanges:
    def test_insert_update_delete(self, raw: RawClient) -> None:
        raw.run(
            "DROP TABLE IF EXISTS c; CREATE TABLE c (id int IDENTITY(10,5) PRIMARY KEY, a int DEFAULT 7, b AS a * 2)"
        )
        assert (
            raw.run("INSERT c DEFAULT VALUES; INSERT c (a) VALUES (1), (DEFAULT); INSERT c (a) SELECT 9").errors == []
        )
        assert raw.rows("SELECT * FROM c ORDER BY id") == [[10, 7, 14], [15, 1, 2], [20, 7, 14], [25, 9, 18]]
        assert raw.rows("SELECT CAST(SCOPE_IDENTITY() AS int), CAST(IDENT_CURRENT('c') AS int)") == [[25, 25]]
        raw.run("UPDATE c SET a += 1 WHERE id > 15")
        assert raw.rows("SELECT a, b FROM c ORDER BY id") == [[7, 14], [1, 2], [8, 16], [10, 20]]
        raw.run("UPDATE x SET x.a = y.a FROM c AS x JOIN c AS y ON y.id = x.id + 5 WHERE x.id = 10")
        assert raw.rows("SELECT a FROM c WHERE id = 10") == [[1]]
        raw.run("DELETE FROM c WHERE a = 1")
        assert raw.rows("SELECT COUNT(*) FROM c") == [[2]]
        raw.run("TRUNCATE TABLE c; INSERT c (a) VALUES (3)")
        assert raw.rows("SELECT id, a FROM c") == [[10, 3]]

    def test_identity_insert(self, raw: RawClient) -> None:
        raw.run("DROP TABLE IF EXISTS c; CREATE TABLE c (id int IDENTITY PRIMARY KEY, a int)")
        assert raw.run("INSERT c (id, a) VALUES (5, 1)").numbers == [544]
        assert (
            raw.run("SET IDENTITY_INSERT c ON; INSERT c (id, a) VALUES (5, 1); SET IDENTITY_INSERT c OFF").errors == []
        )
        raw.run("INSERT c (a) VALUES (2)")
        assert raw.rows("SELECT id FROM c ORDER BY id") == [[5], [6]]

    def test_constraints_hold_for_every_way_of_inserting(self, raw: RawClient) -> None:
        raw.run("DROP TABLE IF EXISTS child; DROP TABLE IF EXISTS parent")
        raw.run("CREATE TABLE parent (id int PRIMARY KEY); INSERT parent VALUES (1)")
        raw.run(
            "CREATE TABLE child (id int PRIMARY KEY, p int NULL REFERENCES parent (id) ON DELETE CASCADE,"
            " a int NOT NULL CHECK (a > 0))"
        )
        for values, number in (("1, 1, 0", 547), ("1, 2, 1", 547), ("1, 1, NULL", 515)):
            assert raw.run(f"INSERT child VALUES ({values})").numbers == [number]
            assert raw.run(f"INSERT child SELECT {values}").numbers == [number]
        assert raw.run("INSERT child VALUES (1, 1, 1), (2, NULL, 5)").errors == []
        assert raw.run("UPDATE child SET a = -1").numbers == [547]
        assert raw.run("UPDATE child SET p = 9 WHERE id = 1").numbers == [547]
        assert raw.run("DELETE parent").errors == []
        assert raw.rows("SELECT id FROM child") == [[2]]
        raw.run("ALTER TABLE child NOCHECK CONSTRAINT ALL")
        assert raw.run("UPDATE child SET a = -1, p = 9").errors == []
        assert raw.run("ALTER TABLE child WITH CHECK CHECK CONSTRAINT ALL").numbers == [547]
        assert raw.run("DROP TABLE parent").numbers == [3726]

    def test_many_inserts_in_a_batch_fail_one_by_one(self, raw: RawClient) -> None:
        raw.run("DROP TABLE IF EXISTS c; CREATE TABLE c (id int PRIMARY KEY)")
        answer = raw.run("INSERT c VALUES (1); INSERT c VALUES (1); INSERT c VALUES (2)")
        assert answer.numbers == [2627]
        assert raw.rows("SELECT id FROM c") == [[1], [2]]

    def test_rights(self, place: MssqlDatabase, raw: RawClient) -> None:
        raw.run(
            "DROP TABLE IF EXISTS secret; CREATE TABLE secret (a int); DROP TABLE IF EXISTS free; CREATE TABLE free (a int)"
        )
        raw.run("CREATE LOGIN reader WITH PASSWORD = 'R3ader!pw'; CREATE USER reader FOR LOGIN reader")
        raw.run("ALTER ROLE db_datareader ADD MEMBER reader; DENY SELECT ON dbo.secret TO reader")
        with RawClient(place.server, place.name, user="reader", password="R3ader!pw") as reader:
            assert reader.rows("SELECT COUNT(*) FROM free") == [[0]]
            answer = reader.run("SELECT * FROM secret")
            assert answer.numbers == [229]
            assert "SELECT permission was denied on the object 'secret'" in answer.errors[0].text
            assert reader.rows("SELECT HAS_PERMS_BY_NAME('dbo.secret', 'OBJECT', 'SELECT')") == [[0]]
            assert reader.run("INSERT free VALUES (1)").numbers == [229]
            assert reader.run("CREATE TABLE mine (a int)").numbers == [262]
        raw.run("REVOKE SELECT ON dbo.secret FROM reader")
        with RawClient(place.server, place.name, user="reader", password="R3ader!pw") as reader:
            assert reader.rows("SELECT COUNT(*) FROM secret") == [[0]]
        raw.run("DROP USER reader")
        with RawClient(place.server, place.name, user="reader", password="R3ader!pw") as reader:
            assert reader.login.numbers == [4060, 18456]


class TestControlFlow:
    def test_variables_loops_and_branches(self, raw: RawClient) -> None:
        answer = raw.run(
            "DECLARE @i int = 0, @s varchar(50) = '';"
            "WHILE @i < 5 BEGIN SET @i += 1; IF @i = 2 CONTINUE; IF @i = 4 BREAK; SET @s = @s + CAST(@i AS varchar(5)) END;"
            "SELECT @s, @i; SELECT @i = MAX(x) FROM (VALUES (7), (9)) v(x); SELECT @i, @@ROWCOUNT"
        )
        assert answer.rows == [[["13", 4]], [[9, 1]]]

    def test_try_and_catch(self, raw: RawClient) -> None:
        answer = raw.run(
            "BEGIN TRY SELECT 1 / 0; SELECT 'not here' END TRY BEGIN CATCH SELECT ERROR_NUMBER(), ERROR_MESSAGE() END CATCH"
        )
        assert answer.errors == []
        assert answer.rows[-1] == [[8134, "Divide by zero error encountered."]]
        assert raw.run("BEGIN TRY THROW 50001, 'mine', 2 END TRY BEGIN CATCH THROW END CATCH").numbers == [50001]

    def test_dynamic_text_procedures_and_temporary_tables(self, raw: RawClient) -> None:
        raw.run("DROP PROCEDURE IF EXISTS double_it")
        raw.run("CREATE PROCEDURE double_it @x int, @out int = 0 OUTPUT AS SET @out = @x * 2; SELECT @x; RETURN 3")
        answer = raw.run("DECLARE @o int, @r int; EXEC @r = double_it 4, @o OUTPUT; SELECT @o, @r")
        assert answer.rows == [[[4]], [[8, 3]]]
        answer = raw.run("EXEC ('SELECT 5'); EXEC sp_executesql N'SELECT @a', N'@a int', @a = 6")
        assert answer.rows == [[[5]], [[6]]]
        raw.run("CREATE TABLE #t (a int); INSERT #t EXEC ('SELECT 1 UNION ALL SELECT 2')")
        assert raw.rows("SELECT COUNT(*) FROM #t") == [[2]]
        assert raw.rows("DECLARE @t TABLE (a int); INSERT @t VALUES (1), (2); SELECT SUM(a) FROM @t") == [[3]]

    def test_temporary_tables_are_their_sessions_own(self, place: MssqlDatabase, raw: RawClient) -> None:
        raw.run("CREATE TABLE #mine (a int)")
        with RawClient(place.server, place.name) as other:
            assert other.run("SELECT * FROM #mine").numbers == [208]

    def test_sequences(self, raw: RawClient) -> None:
        raw.run("DROP SEQUENCE IF EXISTS s; CREATE SEQUENCE s AS int START WITH 5 INCREMENT BY 2 MAXVALUE 9")
        assert [raw.rows("SELECT NEXT VALUE FOR s")[0][0] for _ in range(3)] == [5, 7, 9]
        assert raw.run("SELECT NEXT VALUE FOR s").numbers == [11728]
        raw.run("DROP TABLE IF EXISTS f; DROP SEQUENCE s; CREATE SEQUENCE s START WITH 1")
        raw.run(
            "CREATE TABLE f (a bigint DEFAULT NEXT VALUE FOR s, b int); INSERT f (b) VALUES (1), (2); INSERT f (b) SELECT 3"
        )
        assert raw.rows("SELECT a FROM f ORDER BY b") == [[1], [2], [3]]
