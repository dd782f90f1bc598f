"""Translated expressions give SQL Server's values: each expectation is on one of Microsoft's pages, or follows from it.

The pages are named by their titles ("AVG (Transact-SQL)"); the value is computed by PostgreSQL.
"""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import replace
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mssql_pg_migrate.mapping.objects import MappedDatabase
from mssql_pg_migrate.model import Check, Column, Module
from mssql_pg_migrate.target import ddl
from mssql_pg_migrate.target.inspect import read_abilities
from schema_samples import CI, catalog, column, mapped, notes, only_table, table
from servers import MssqlServer, PgDatabase

UTF8 = "Latin1_General_100_CI_AS_SC_UTF8"
CHINESE = "Chinese_PRC_CI_AS"
TURKISH = "Turkish_CI_AS"
SC = "Latin1_General_100_CI_AS_SC"
PAGES = {UTF8: 65001, CHINESE: 936, TURKISH: 1254, CI: 1252}


def text_column(name: str, declared: str, collation: str = CI, **fields: Any) -> Column:
    """A text column with the code page of its collation, as the catalog has it."""
    made = column(name, declared, collation=collation, **fields)
    page = None if declared.startswith("n") else PAGES.get(collation, 1252)
    return replace(made, type=replace(made.type, code_page=page))


def created(target: psycopg.Connection[Any], database: MappedDatabase) -> MappedDatabase:
    for statement in (*ddl.pre_data(database), *ddl.post_data(database)):
        target.execute(statement.encode())
    return database


TIMES: list[tuple[str, str, str, Any, Any]] = [
    # "time (Transact-SQL)": the fraction is rounded to fit; a time of day has no 24:00:00.
    ("time(4)", "time(3)", "(CONVERT([time](3),[x]))", "12:34:54.1237", dt.time(12, 34, 54, 124000)),
    ("datetime", "time(0)", "(CONVERT([time](0),[x]))", "2000-01-01 23:59:59.997", dt.time(0)),
    ("datetime2(3)", "time(0)", "(CONVERT([time](0),[x]))", "1999-12-31 23:59:59.5", dt.time(0)),
    ("time(7)", "time(0)", "(CONVERT([time](0),[x]))", "23:59:59.5", dt.time(0)),
    ("time(7)", "time(5)", "(CONVERT([time](5),[x]))", "23:59:59.999994", dt.time(23, 59, 59, 999990)),
    # "datetime2 (Transact-SQL)": halves are rounded up, before the year 2000 as after it.
    ("datetime2(6)", "datetime2(0)", "(CONVERT([datetime2](0),[x]))", "1999-12-31 23:59:59.5", dt.datetime(2000, 1, 1)),
    ("datetime2(6)", "datetime2(0)", "(CONVERT([datetime2](0),[x]))", "1899-12-31 23:59:59.5", dt.datetime(1900, 1, 1)),
    ("datetime2(6)", "datetime2(3)", "(CONVERT([datetime2](3),[x]))", "1999-12-31 23:59:59.9995",
     dt.datetime(2000, 1, 1)),
    ("datetime2(6)", "datetime2(4)", "(CONVERT([datetime2](4),[x]))", "1999-12-31 23:59:59.99995",
     dt.datetime(2000, 1, 1)),
    ("datetime2(6)", "datetime2(4)", "(CONVERT([datetime2](4),[x]))", "0001-01-01 00:00:00.00005",
     dt.datetime(1, 1, 1, 0, 0, 0, 100)),
    ("datetime2(6)", "datetime2(1)", "(CONVERT([datetime2](1),[x]))", "2024-02-29 00:00:00.049999",
     dt.datetime(2024, 2, 29)),
    ("datetime2(7)", "datetime2(0)", "(CONVERT([datetime2](0),[x]))", "9999-12-31 23:59:59.999999",
     dt.datetime(9999, 12, 31, 23, 59, 59)),
    ("datetime2(7)", "datetime2(3)", "(CONVERT([datetime2](3),[x]))", None, None),
    # "smalldatetime (Transact-SQL)": 29.998 seconds are rounded down, 29.999 up.
    ("datetime", "smalldatetime", "(CONVERT([smalldatetime],[x]))", "1955-12-13 12:43:29.997",
     dt.datetime(1955, 12, 13, 12, 43)),
    ("datetime", "smalldatetime", "(CONVERT([smalldatetime],[x]))", "1955-12-13 12:43:30",
     dt.datetime(1955, 12, 13, 12, 44)),
]  # fmt: skip


def one_computed(x: Column, declared: str, definition: str, **options: Any) -> MappedDatabase:
    """A table of the column ``x`` and a computed column of that type."""
    result = column("result", declared, computed=definition, collation=x.type.collation)
    return mapped(catalog(table("T", x, result)), **options)


@pytest.mark.parametrize(("declared", "result", "definition", "value", "expected"), TIMES)
def test_times_are_rounded_as_in_the_source(
    target: psycopg.Connection[Any], declared: str, result: str, definition: str, value: Any, expected: Any
) -> None:
    database = created(target, one_computed(column("x", declared), result, definition))
    assert only_table(database).columns[1].generated_sql is not None, notes(database, "not_carried")
    target.execute('INSERT INTO "T" (x) VALUES (%s)', (value,))
    assert target.execute('SELECT result FROM "T"').fetchone() == (expected,)


@pytest.mark.parametrize(
    ("declared", "result", "definition", "reason"),
    [
        ("datetime2(7)", "datetime2(6)", "(CONVERT([datetime2](6),[x]))", "seventh decimal"),
        ("time(7)", "time(6)", "(CONVERT([time](6),[x]))", "seventh decimal"),
        ("datetimeoffset(7)", "datetimeoffset(6)", "(CONVERT([datetimeoffset](6),[x]))", "seventh decimal"),
        ("datetime2(3)", "smalldatetime", "(CONVERT([smalldatetime],[x]))", "29.999"),
        ("datetime", "datetime2(7)", "(CONVERT([datetime2](7),[x]))", "thirds"),
        ("datetime2(7)", "datetime", "(CONVERT([datetime],[x]))", "1/300"),
    ],
)
def test_a_rounding_that_postgresql_cannot_know_leaves_a_plain_column(
    declared: str, result: str, definition: str, reason: str
) -> None:
    database = one_computed(column("x", declared), result, definition)
    assert only_table(database).columns[1].copied
    assert any(reason in text for text in notes(database, "not_carried", "dbo.T.result"))


TEXTS: list[tuple[Column, str, str, Any, Any]] = [
    # "LEN", "DATALENGTH", "Collation and Unicode support": a surrogate pair counts two, one under _SC; bytes are bytes.
    (text_column("x", "nvarchar(20)"), "int", "(len([x]))", "a😀b  ", 4),
    (text_column("x", "nvarchar(20)"), "int", "(len([x]))", "😀😀😀", 6),
    (text_column("x", "nvarchar(20)", SC), "int", "(len([x]))", "a😀b  ", 3),
    (text_column("x", "nvarchar(20)"), "int", "(datalength([x]))", "a😀b  ", 12),
    (text_column("x", "nvarchar(20)", SC), "int", "(datalength([x]))", "a😀b  ", 12),
    (text_column("x", "nchar(6)"), "int", "(datalength([x]))", "ab", 12),
    (text_column("x", "nchar(6)"), "int", "(datalength([x]))", "a😀", 12),
    (text_column("x", "char(6)", CHINESE), "int", "(datalength([x]))", "中", 6),
    (text_column("x", "varchar(20)", UTF8), "int", "(datalength([x]))", "žluť", 6),
    (text_column("x", "varchar(20)", UTF8), "int", "(len([x]))", "žluť", 4),
    (text_column("x", "char(6)", UTF8), "int", "(datalength([x]))", "žlu", 6),
    (text_column("x", "char(6)", UTF8), "varchar(7)", "([x]+'|')", "žlu", "žlu  |"),
    # Turkish: i and İ are one letter in two cases, ı and I another.
    (text_column("x", "nvarchar(20)", TURKISH), "nvarchar(20)", "(upper([x]))", "title", "TİTLE"),
    (text_column("x", "nvarchar(20)", TURKISH), "nvarchar(20)", "(lower([x]))", "TITLE İ", "tıtle i"),
    (text_column("x", "varchar(20)", "Azeri_Latin_100_CI_AS"), "varchar(20)", "(upper([x]))", "i", "İ"),
    (text_column("x", "nvarchar(20)", TURKISH), "int", "(case when [x]='I' then (1) else (0) end)", "ı", 1),
    (text_column("x", "nvarchar(20)", TURKISH), "int", "(case when [x]='I' then (1) else (0) end)", "i", 0),
    (text_column("x", "nvarchar(20)", TURKISH), "int", "(case when [x]='title' then (1) else (0) end)", "TİTLE ", 1),
    (text_column("x", "nvarchar(20)", TURKISH), "int", "(case when [x] like 'I%' then (1) else (0) end)", "ırmak", 1),
    (text_column("x", "nvarchar(20)", TURKISH), "int", "(case when [x] like 'I%' then (1) else (0) end)", "irmak", 0),
    (text_column("x", "nvarchar(20)", TURKISH), "int", "(charindex('I',[x]))", "aiı", 3),
    (text_column("x", "nvarchar(20)", TURKISH), "int", "(case when [x] like 'DAĞ I_' then 1 else 0 end)", "dağ ıx", 1),
    # "STUFF"
    (text_column("x", "varchar(20)"), "varchar(26)", "(stuff([x],(2),(3),'ijklmn'))", "abcdef", "aijklmnef"),
    (text_column("x", "varchar(20)"), "varchar(21)", "(stuff([x],(0),(3),'z'))", "abcdef", None),
    (text_column("x", "varchar(20)"), "varchar(21)", "(stuff([x],(7),(1),'z'))", "abcdef", None),
    (text_column("x", "varchar(20)"), "varchar(21)", "(stuff([x],(2),(-1),'z'))", "abcdef", None),
    (text_column("x", "varchar(20)"), "varchar(21)", "(stuff([x],(2),(0),'z'))", "abcdef", "azbcdef"),
    (text_column("x", "varchar(20)"), "varchar(21)", "(stuff([x],(5),(99),'z'))", "abcdef", "abcdz"),
    (text_column("x", "varchar(20)"), "varchar(20)", "(stuff([x],(2),(3),NULL))", "abcdef", "aef"),
    # "Logical Functions - CHOOSE"
    (column("x", "int"), "varchar(9)", "(choose([x],'Manager','Director','Developer','Tester'))", 3, "Developer"),
    (column("x", "int"), "varchar(9)", "(choose([x],'Manager','Director','Developer','Tester'))", 5, None),
    (column("x", "int"), "varchar(9)", "(choose([x],'Manager','Director','Developer','Tester'))", 0, None),
    (column("x", "int"), "numeric(11,1)", "(choose([x],(1.5),[x]))", 2, Decimal("2.0")),
    # "POWER": an int stays one.
    (column("x", "int"), "int", "(power([x],(3)))", 2, 8),
    (column("x", "int"), "int", "(power([x],(3)))", -7, -343),
    (column("x", "tinyint"), "int", "(power([x],(2)))", 200, 40000),
    (column("x", "float"), "float", "(power([x],(3)))", 2.5, 15.625),
    (column("x", "real"), "float", "(power([x],(2)))", 1.5, 2.25),
    # "money and smallmoney": a quotient is cut off after four decimals (1.00 / 18.4172 = 0.054297...).
    (column("x", "money"), "money", "([x]/(3))", Decimal("20"), Decimal("6.6666")),
    (column("x", "money"), "money", "([x]/(3))", Decimal("-20"), Decimal("-6.6666")),
    (column("x", "money"), "money", "($1.0/[x])", Decimal("18.4172"), Decimal("0.0542")),
    (column("x", "money"), "money", "((100)*([x]/$339))", Decimal("100"), Decimal("29.4900")),
    (column("x", "smallmoney"), "smallmoney", "([x]/(7))", Decimal("1"), Decimal("0.1428")),
    # "JSON_QUERY" without a path is the text itself, NULL for a scalar.
    (text_column("x", "nvarchar(max)"), "nvarchar(max)", "(json_query([x]))", '{"a": [1,  2]}', '{"a": [1,  2]}'),
    (text_column("x", "nvarchar(max)"), "nvarchar(max)", "(json_query([x],'$'))", " [1] ", " [1] "),
    # A document PostgreSQL cannot read whole does not refuse the row (the plan warns of the NULL).
    (text_column("x", "nvarchar(max)"), "nvarchar(4000)", "(json_value([x],'$.a'))", '{"a": 1, "b": "\\ud83d"}', None),
    (text_column("x", "nvarchar(max)"), "nvarchar(4000)", "(json_value([x],'$.a'))", '{"a": 1, "b": "\\u0000"}', None),
    (text_column("x", "nvarchar(max)"), "nvarchar(4000)", "(json_value([x],'$.a'))", '{"a": 1, "a": 2}', None),
    (text_column("x", "nvarchar(max)"), "nvarchar(4000)", "(json_value([x],'$.a'))", '{"a": "\\ud83d\\ude00"}', "😀"),
]  # fmt: skip


@pytest.mark.parametrize(("x", "declared", "definition", "value", "expected"), TEXTS)
def test_a_computed_column_has_the_source_s_value(
    target: psycopg.Connection[Any], x: Column, declared: str, definition: str, value: Any, expected: Any
) -> None:
    abilities = read_abilities(target)
    if "json" in definition and not abilities.is_json:
        pytest.skip("IS JSON needs PostgreSQL 16")
    if "Ğ" in definition and not abilities.folds_unicode:
        pytest.skip("this database's locale folds ASCII letters only")
    database = created(target, one_computed(x, declared, definition, abilities=abilities))
    result = only_table(database).columns[1]
    assert result.generated_sql is not None, notes(database, "not_carried")
    target.execute('INSERT INTO "T" (x) VALUES (%s)', (value,))
    assert target.execute('SELECT result FROM "T"').fetchone() == (expected,)


SANDBOX_OTHERWISE = ("json_", "stuff([x],(0)", "stuff([x],(7)", "stuff([x],(2),(-1)")
"""What the sandbox does not do, or not as SQL Server's pages have it."""


def _sandbox_may_differ(x: Column, definition: str) -> bool:
    name, collation = x.type.name, (x.type.collation or "").lower()
    return (
        any(part in definition for part in SANDBOX_OTHERWISE)
        or ("money" in name and "/" in definition)
        or (name == "tinyint" and "power" in definition)
        or (name == "char" and "utf8" in collation)
        or (collation.endswith("_sc") and "(len(" in definition)
        or collation.startswith(("turkish", "azeri"))
    )


def _literal(value: Any) -> str:
    if isinstance(value, str):
        return "N'" + value.replace("'", "''") + "'"
    return "NULL" if value is None else str(value)


def test_the_source_has_the_values_expected_here(mssql: MssqlServer) -> None:
    """The expectations again, computed by the source server; a real one is held to all of them."""
    cases = [(column("x", declared), *rest) for declared, *rest in TIMES] + [tuple(case) for case in TEXTS]
    is_sandbox = "MSSQL_TEST_URL" not in os.environ
    database = mssql.new_database()
    connection = database.connect(autocommit=True)
    try:
        cursor = connection.cursor()
        for number, (x, _, definition, value, expected) in enumerate(cases):
            if (is_sandbox and _sandbox_may_differ(x, definition)) or "999999" in str(value):
                continue
            collate = f" COLLATE {x.type.collation}" if x.type.collation and "char" in x.type.name else ""
            cursor.execute(f"CREATE TABLE t{number} (x {x.type}{collate}, result AS {definition})")
            cursor.execute(f"INSERT INTO t{number} (x) VALUES ({_literal(value)})")
            cursor.execute(f"SELECT result FROM t{number}")
            assert cursor.fetchone()[0] == expected, (x.type, definition, value)
    finally:
        connection.close()
        database.drop()


CUTS: list[tuple[Column, str, str, str]] = [
    (text_column("x", "varchar(20)", UTF8), "varchar(3)", "(CONVERT([varchar](3),[x]))", "bytes of code page 65001"),
    (text_column("x", "varchar(20)", CHINESE), "char(4)", "(CONVERT([char](4),[x]))", "bytes of code page 936"),
    (text_column("x", "nvarchar(20)", CHINESE), "varchar(20)", "(CONVERT([varchar](20),[x]))", "code page 936"),
    (text_column("x", "varchar(20)", CHINESE), "int", "(datalength([x]))", "code page 936"),
    (text_column("x", "char(9)", CHINESE), "varchar(10)", "([x]+'|')", "code page 936"),
    (text_column("x", "varchar(9)"), "varchar(9)", "([x] collate Czech_CI_AS)", "to code page 1250"),
    (text_column("x", "varchar(9)", UTF8), "varchar(9)", "([x] collate Latin1_General_CI_AS)", "to code page 1252"),
    (text_column("x", "varchar(9)"), "varchar(9)", "([x] collate Klingon_CI_AS)", "not known"),
    (column("x", "decimal(9,2)"), "decimal(38,2)", "(power([x],(2)))", "computed in float"),
    (column("x", "money"), "money", "([x]*[x])", "rounds in a way of its own"),
]


@pytest.mark.parametrize(("x", "declared", "definition", "reason"), CUTS)
def test_what_postgresql_cannot_compute_is_a_plain_column(
    x: Column, declared: str, definition: str, reason: str
) -> None:
    database = one_computed(x, declared, definition)
    assert only_table(database).columns[1].copied
    assert any(reason in text for text in notes(database, "not_carried", "dbo.T.result"))


@pytest.mark.parametrize(
    ("x", "declared", "definition"),
    [
        (text_column("x", "varchar(9)"), "varchar(9)", "([x] collate Latin1_General_CS_AS)"),
        (text_column("x", "varchar(9)", UTF8), "nvarchar(9)", "(CONVERT([nvarchar](9),[x]))"),
        (text_column("x", "varchar(9)", UTF8), "varchar(27)", "(CONVERT([varchar](27),[x]))"),
        (text_column("x", "nvarchar(9)", UTF8), "varchar(27)", "(CONVERT([varchar](27),[x]))"),
        (text_column("x", "nvarchar(9)", SC), "nvarchar(5)", "(left([x],(5)))"),
    ],
)
def test_text_that_cannot_be_cut_needs_no_word(x: Column, declared: str, definition: str) -> None:
    database = one_computed(x, declared, definition)
    assert only_table(database).columns[1].generated_sql is not None, notes(database)
    assert notes(database, "warning") == []


COUNTED = "a character beyond U+FFFF, such as an emoji, counts once, where the source counts two"
SEVENTH = "times less than a microsecond apart are equal: the seventh decimal is not kept"


@pytest.mark.parametrize(
    ("x", "definition", "warning"),
    [
        (text_column("x", "nvarchar(9)"), "(left([x],(2))='ab')", COUNTED),
        (text_column("x", "nvarchar(9)"), "(substring([x],(2),(2))='ab')", COUNTED),
        (text_column("x", "nvarchar(9)"), "([x] like '_b')", COUNTED),
        (text_column("x", "nvarchar(9)"), "([x] like '%[^a]b')", COUNTED),
        (text_column("x", "nvarchar(9)"), "([x] like '[0-9]b%')", None),
        (text_column("x", "nvarchar(9)"), "(CONVERT([nvarchar](2),[x])='ab')", "beyond U+FFFF"),
        (text_column("x", "nvarchar(9)"), "(CONVERT([varchar](9),[x])='ab')", "the source makes ? of them"),
        (column("x", "datetime2(7)"), "([x]>'2000-01-01')", SEVENTH),
        (column("x", "datetime2(7)"), "([x]='2000-01-01')", SEVENTH),
        (column("x", "datetime2(7)"), "([x]<'9999-12-31 23:59:59.9999999')", SEVENTH),
        (column("x", "datetime2(7)"), "([x]<'2000-01-01' AND [x]>='1900-01-01')", None),
        (column("x", "datetime2(7)"), "([x]<=getdate())", None),
        (column("x", "datetime2(6)"), "([x]>'2000-01-01')", None),
        (column("x", "datetime"), "(CONVERT([datetime2](7),[x])>'2000-01-01')", ".0033333"),
        (text_column("x", "nvarchar(9)"), "(len([x])<=(3))", None),
        (text_column("x", "nvarchar(9)", "Lithuanian_CI_AS"), "([x]='y')", "Lithuanian"),
    ],
)
def test_a_check_that_may_differ_for_rare_data_says_so(x: Column, definition: str, warning: str | None) -> None:
    database = mapped(catalog(table("T", x, checks=(Check("CK", definition),))))
    assert len(only_table(database).checks) == 1, notes(database, "not_carried")
    found = notes(database, "warning")
    assert found == [] if warning is None else any(warning in text for text in found)


def test_a_check_of_the_length_counts_as_the_source_does(target: psycopg.Connection[Any]) -> None:
    database = mapped(catalog(table("T", text_column("x", "nvarchar(9)"), checks=(Check("CK", "(len([x])<=(3))"),))))
    created(target, database)
    target.execute('INSERT INTO "T" (x) VALUES (%s)', ("a😀 ",))
    for text in ("😀😀", "abcd"):
        with pytest.raises(psycopg.errors.CheckViolation):
            target.execute('INSERT INTO "T" (x) VALUES (%s)', (text,))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12))
def test_len_and_datalength_count_utf_16(module_db: PgDatabase, text: str) -> None:
    with module_db.connect() as connection:
        for function, expected in (("len", len(text.rstrip(" ").encode("utf-16-le")) // 2),
                                   ("datalength", len(text.encode("utf-16-le")))):  # fmt: skip
            database = one_computed(text_column("x", "nvarchar(50)"), "int", f"({function}([x]))")
            sql = only_table(database).columns[1].generated_sql
            found = connection.execute(f"SELECT {sql} FROM (SELECT %s::text AS x) AS t".encode(), (text,))
            assert found.fetchone() == (expected,)


@pytest.mark.parametrize("option", ["ignore", "citext", "icu"])
def test_a_default_of_char_is_padded_like_the_migrated_rows(target: psycopg.Connection[Any], option: Any) -> None:
    abilities = read_abilities(target)
    if option == "icu" and not abilities.nondeterministic_collations:
        pytest.skip("the server is built without ICU")
    made = text_column("code", "char(12)", default="('ab')")
    other = text_column("up", "char(4)", computed="(CONVERT([char](4),[code]))")
    database = created(
        target, mapped(catalog(table("T", column("i", "int"), made, other)), collation=option, abilities=abilities)
    )
    assert only_table(database).columns[2].generated_sql is not None
    target.execute('INSERT INTO "T" (i) VALUES (1)')
    assert target.execute('SELECT octet_length(code), octet_length(up) FROM "T"').fetchone() == (12, 4)


def test_a_turkish_target_is_recognised(module_db: PgDatabase) -> None:
    with module_db.connect() as connection:
        abilities = read_abilities(connection)
    assert not abilities.turkic
    assert not abilities.maps_whole_words or abilities.icu
    if not abilities.icu or abilities.version_num < 150000:
        pytest.skip("makes a database with an ICU locale")
    name = f"{module_db.name}_tr"
    module_db.execute(f"CREATE DATABASE \"{name}\" TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'tr'")
    try:
        with replace(module_db, name=name).connect() as connection:
            assert read_abilities(connection).turkic
            assert read_abilities(connection).maps_whole_words
            sql = only_table(one_computed(text_column("x", "nvarchar(9)", TURKISH), "nvarchar(9)", "(upper([x]))"))
            text = f"SELECT {sql.columns[1].generated_sql} FROM (SELECT 'iıIİ'::text AS x) AS t"
            assert connection.execute(text.encode()).fetchone() == ("İIIİ",)
    finally:
        module_db.execute(f'DROP DATABASE "{name}"')


def test_a_turkish_column_with_an_icu_collation_folds_as_turkish_does(target: psycopg.Connection[Any]) -> None:
    abilities = read_abilities(target)
    if not abilities.nondeterministic_collations:
        pytest.skip("the server is built without ICU")
    created(
        target,
        mapped(catalog(table("T", text_column("x", "nvarchar(9)", TURKISH))), collation="icu", abilities=abilities),
    )
    target.execute('INSERT INTO "T" (x) VALUES (%s), (%s), (%s), (%s)', ("ı", "I", "i", "İ"))
    assert target.execute('SELECT x FROM "T" WHERE x = \'i\' ORDER BY x COLLATE "C"').fetchall() == [("i",), ("İ",)]


# --- views -----------------------------------------------------------------------------------------------------------

VIEW_TABLE = table(
    "T",
    column("a", "int"),
    column("b", "int"),
    column("c", "int"),
    column("cash", "money"),
    column("small", "smallmoney"),
    column("single", "real"),
    column("num", "decimal(9,2)"),
    text_column("name", "nvarchar(20)"),
)


def view_rows(target: psycopg.Connection[Any], select: str, rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """What the translated view shows of these rows, in the order of its first column."""
    module = Module("dbo", "V", "view", f"create view V as {select}")
    database = mapped(
        catalog(VIEW_TABLE, modules=(module,)), create_views=True, abilities=read_abilities(target)
    )  # fmt: skip
    assert len(database.views) == 1, notes(database, "not_carried")
    created(target, database)
    for row in rows:
        names = ", ".join(f'"{name}"' for name in row)
        marks = ", ".join(["%s"] * len(row))
        target.execute(f'INSERT INTO "T" ({names}) VALUES ({marks})'.encode(), tuple(row.values()))
    return target.execute('SELECT * FROM "V" ORDER BY 1').fetchall()


# The table of the page of LAG.
LAG_ROWS = [dict(zip("abc", row, strict=True)) for row in
            [(1, 1, -3), (2, 2, 4), (3, 1, None), (4, 3, 1), (5, 2, None), (6, 1, 5)]]  # fmt: skip


def test_lag_converts_its_default_to_the_type_of_the_value(target: psycopg.Connection[Any]) -> None:
    """ "LAG (Transact-SQL)", example C."""
    select = "select a, b, c, lag(2*c, b*(select min(b) from T), -c/2.0) over (order by a) as i from T"
    found = [row[1:] for row in view_rows(target, select, LAG_ROWS)]
    assert found == [(1, -3, 1), (2, 4, -2), (1, None, 8), (3, 1, -6), (2, None, None), (1, 5, None)]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("lead(a) over (order by a)", [2, 3, 4, 5, 6, None]),
        ("lead(a, 2, 0) over (order by a)", [3, 4, 5, 6, 0, 0]),
        ("lag(a) over (partition by b order by a desc)", [3, 5, 6, None, None, None]),
        ("first_value(a) over (partition by b order by a)", [1, 2, 1, 4, 2, 1]),
        # "LAST_VALUE": without a frame it is the last of the rows so far.
        ("last_value(a) over (order by b)", [6, 5, 6, 4, 5, 6]),
        ("last_value(a) over (order by b, a rows between current row and unbounded following)", [4] * 6),
        ("first_value(a) over (order by a rows between 1 preceding and current row)", [1, 1, 2, 3, 4, 5]),
        ("sum(a) over (order by a rows 2 preceding)", [1, 3, 6, 9, 12, 15]),
        ("ntile(4) over (order by a)", [1, 1, 2, 2, 3, 4]),
        # "PERCENT_RANK", "CUME_DIST": NULL comes first, as the lowest value.
        ("percent_rank() over (order by c)", [0.4, 0.8, 0.0, 0.6, 0.0, 1.0]),
        ("cume_dist() over (order by b)", [0.5, 5 / 6, 0.5, 1.0, 5 / 6, 0.5]),
        ("row_number() over (order by (select null))", None),
    ],
)
def test_window_functions(target: psycopg.Connection[Any], expression: str, expected: list[Any] | None) -> None:
    rows = view_rows(target, f"select a, {expression} as x from T", LAG_ROWS)
    found = [row[1] for row in rows]
    assert sorted(found) == [1, 2, 3, 4, 5, 6] if expected is None else found == expected


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ("select v.i, v.t, v.d from (values (1, 'a', 1.5), (2, null, 2)) v(i, t, d)",
         [(1, "a", Decimal("1.5")), (2, None, Decimal("2.0"))]),
        ("select v.w, t.a from T t cross apply (values (t.b), (t.c)) v(w) where t.a = 1", [(-3, 1), (1, 1)]),
        ("select t.a, v.n from T t join (values (1, 'one'), (6, 'six')) v(i, n) on v.i = t.a",
         [(1, "one"), (6, "six")]),
        ("select b, grouping(b) as g, sum(a) as s from T where a < 4 group by rollup(b)",
         [(1, 0, 4), (2, 0, 2), (None, 1, 6)]),
        ("select b, a, grouping_id(b, a) as g from T where a < 2 group by b, a with cube",
         [(1, 1, 0), (1, None, 1), (None, 1, 2), (None, None, 3)]),
        ("select b, a, count(*) as n from T where a < 3 group by grouping sets ((b, a), ())",
         [(1, 1, 1), (2, 2, 1), (None, None, 2)]),
        ("select t.a, $2.5 * t.a as m from T t where t.a = 1", [(1, Decimal("2.5000"))]),
        ("select a, left('abcdef', charindex('d', 'abcdef') - 1) as l from T where a = 1", [(1, "abc")]),
    ],
)  # fmt: skip
def test_other_views(target: psycopg.Connection[Any], select: str, expected: list[Any]) -> None:
    assert sorted(view_rows(target, select, LAG_ROWS), key=repr) == sorted(expected, key=repr)


def test_blanks_of_a_code_page_of_several_bytes_are_said_in_views() -> None:
    source = table("T", text_column("c", "char(9)", CHINESE))
    module = Module("dbo", "V", "view", "create view V as select max(c) as m from T")
    database = mapped(catalog(source, modules=(module,)), create_views=True)
    assert len(database.views) == 1
    assert any("fill bytes of code page 936, in PostgreSQL characters" in text for text in notes(database, "warning"))


def prices(*values: str) -> list[dict[str, Any]]:
    return [{"a": 1, "cash": Decimal(value), "small": Decimal(value), "num": Decimal(value)} for value in values]


@pytest.mark.parametrize(
    ("expression", "rows", "expected"),
    [
        # "AVG (Transact-SQL)": 504 prices of 438.66625 on average are shown as 438.6662.
        ("avg(cash)", prices("438.6662", "438.6663"), Decimal("438.6662")),
        ("avg(small)", prices("0.0001", "0.0002"), Decimal("0.0001")),
        ("avg(cash)", prices("-0.0001", "-0.0002"), Decimal("-0.0001")),
        ("avg(num)", prices("1", "1", "0"), Decimal("0.666666")),
        ("avg(a)", [{"a": 1}, {"a": 2}], 1),
        ("sum(small)", prices("214748.3647", "214748.3647"), Decimal("429496.7294")),
        ("sum(cash) / count(*)", prices("10", "10", "0"), Decimal("6.6666")),
        # The product of two is rounded to four decimals.
        ("sum(cash * cash)", prices("18.4172"), Decimal("339.1933")),
        # A real keeps all of its bits: 1234567.8 is 1234567.75.
        ("sum(convert(money, single))", [{"a": 1, "single": 1234567.8}], Decimal("1234567.7500")),
        ("sum(cast(single as decimal(18,4)))", [{"a": 1, "single": 1234567.8}], Decimal("1234567.7500")),
        ("stdev(a)", [{"a": number} for number in (2, 4, 4, 4, 5, 5, 7, 9)], (32 / 7) ** 0.5),
        ("stdevp(a)", [{"a": number} for number in (2, 4, 4, 4, 5, 5, 7, 9)], 2.0),
        ("var(a)", [{"a": 1}, {"a": 2}, {"a": 4}], 7 / 3),
        ("varp(a)", [{"a": 1}, {"a": 3}], 1.0),
        ("stdev(a)", [{"a": 1}], None),
        ("varp(num)", prices("5"), 0.0),
        # "STRING_AGG": NULL is left out with its separator.
        ("string_agg(name, ';') within group (order by a desc)",
         [{"a": 1, "name": "x"}, {"a": 3, "name": None}, {"a": 2, "name": "y"}], "y;x"),
        ("string_agg(a, ',') within group (order by a)", [{"a": 10}, {"a": 9}], "9,10"),
        ("sum(power(a, 2))", [{"a": 3}, {"a": 4}], 25),
        ("greatest(max(a), 3, max(num))", [{"a": 1, "num": Decimal("2.5")}], Decimal("3.00")),
        ("least(max(a), 3)", [{"a": None}], 3),
        ("max(concat_ws(', ', name, null, N'x'))", [{"name": "q"}], "q, x"),
        ("max(concat_ws(', ', name, name))", [{"name": None}], ""),
        ("round(max(a), -2)", [{"a": 1250}], 1300),
        ("round(max(num), 0, 1)", prices("150.75"), Decimal("150.00")),
        ("round(max(num), -1)", prices("748.58"), Decimal("750.00")),
        ("sign(max(num))", prices("-748.58"), Decimal("-1")),
        ("max(round(single, 2))", [{"single": 1.255}], 1.25),
        ("log(max(a), 2)", [{"a": 8}], 3.0),
        ("log10(max(a))", [{"a": 1000}], 3.0),
        ("exp(log(max(a)))", [{"a": 10}], 10.0),
        ("pi()", [{"a": 1}], 3.141592653589793),
        # "DATEDIFF": boundaries; weeks begin on Sunday whatever DATEFIRST is, constants are read as datetime2.
        ("datediff(week, '2005-12-31 23:59:59.9999999', '2006-01-01 00:00:00.0000000')", [{"a": 1}], 1),
        ("datediff(week, '2024-01-07', '2024-01-13 23:59')", [{"a": 1}], 0),
        ("datediff(week, '2024-01-14', '2024-01-13')", [{"a": 1}], -1),
        ("datediff(day, '2036-03-01', '2036-02-28')", [{"a": 1}], -2),
        ("datediff(second, '2005-12-31 23:59:59.9999999', '2006-01-01')", [{"a": 1}], 1),
        ("eomonth('2024-01-31', 1)", [{"a": 1}], dt.date(2024, 2, 29)),
        ("eomonth('2024-03-31', -1)", [{"a": 1}], dt.date(2024, 2, 29)),
        ("max(len(stuff(name, 1, 1, 'xyz')))", [{"a": 1, "name": "q"}], 3),
    ],
)  # fmt: skip
def test_aggregates(
    target: psycopg.Connection[Any], expression: str, rows: list[dict[str, Any]], expected: Any
) -> None:
    ((found,),) = view_rows(target, f"select {expression} as x from T", rows)
    assert found == (pytest.approx(expected, rel=1e-14) if isinstance(expected, float) else expected)
