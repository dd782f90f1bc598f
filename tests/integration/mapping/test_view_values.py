"""Translated views show SQL Server's rows: each expectation is on one of Microsoft's pages, or follows from it.

The pages are named by their titles ("AVG (Transact-SQL)"); the rows are PostgreSQL's, and those of the source server.
"""

from __future__ import annotations

import datetime as dt
import os
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from mssql_pg_migrate.model import Module
from mssql_pg_migrate.target import ddl
from mssql_pg_migrate.target.inspect import read_abilities
from schema_samples import catalog, column, mapped, notes, table, text_column
from servers import MssqlServer

CHINESE = "Chinese_PRC_CI_AS"

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
    for statement in (*ddl.pre_data(database), *ddl.post_data(database)):
        target.execute(statement.encode())
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


WINDOWS: list[tuple[str, list[Any] | None]] = [
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
]  # fmt: skip


@pytest.mark.parametrize(("expression", "expected"), WINDOWS)
def test_window_functions(target: psycopg.Connection[Any], expression: str, expected: list[Any] | None) -> None:
    rows = view_rows(target, f"select a, {expression} as x from T", LAG_ROWS)
    found = [row[1] for row in rows]
    assert sorted(found) == [1, 2, 3, 4, 5, 6] if expected is None else found == expected


OTHERS: list[tuple[str, list[Any]]] = [
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
]  # fmt: skip


@pytest.mark.parametrize(("select", "expected"), OTHERS)
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


AGGREGATES: list[tuple[str, list[dict[str, Any]], Any]] = [
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
    ("-$1 / max(a)", [{"a": 3}], Decimal("-0.3333")),
    ("floor(cast(7 as decimal(15,0))) / max(a)", [{"a": 3}], Decimal("2.33333333333")),
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
]  # fmt: skip


@pytest.mark.parametrize(("expression", "rows", "expected"), AGGREGATES)
def test_aggregates(
    target: psycopg.Connection[Any], expression: str, rows: list[dict[str, Any]], expected: Any
) -> None:
    ((found,),) = view_rows(target, f"select {expression} as x from T", rows)
    assert found == (pytest.approx(expected, rel=1e-14) if isinstance(expected, float) else expected)


SANDBOX_OTHERWISE = ("greatest", "least", "log(max(a), 2)", "grouping", "rollup", "cube", "/ count", "$1 /")
"""What the sandbox does not do, or not as SQL Server's pages have it."""


def _literal(value: Any) -> str:
    return "NULL" if value is None else f"N'{value}'" if isinstance(value, str) else str(value)


def test_the_source_shows_the_rows_expected_here(mssql: MssqlServer) -> None:
    """The expectations again, computed by the source server; a real one is held to all of them."""
    cases: list[tuple[str, list[dict[str, Any]], list[Any] | None]] = [
        (f"select {expression} as x from T", rows, [(expected,)]) for expression, rows, expected in AGGREGATES
    ]
    for expression, values in WINDOWS:
        rows = None if values is None else list(enumerate(values, 1))
        cases.append((f"select a, {expression} as x from T", LAG_ROWS, rows))
    cases += [(select, LAG_ROWS, expected) for select, expected in OTHERS]
    database = mssql.new_database()
    connection = database.connect(autocommit=True)
    try:
        cursor = connection.cursor()
        columns = ", ".join(f"{item.name} {item.type}" for item in VIEW_TABLE.columns)
        cursor.execute(f"CREATE TABLE T ({columns})")
        for select, rows, expected in cases:
            if "MSSQL_TEST_URL" not in os.environ and any(part in select for part in SANDBOX_OTHERWISE):
                continue
            cursor.execute("DELETE FROM T")
            for row in rows:
                values = ", ".join(map(_literal, row.values()))
                cursor.execute(f"INSERT INTO T ({', '.join(row)}) VALUES ({values})")
            cursor.execute(select)
            found = sorted((tuple(row) for row in cursor.fetchall()), key=repr)
            for mine, theirs in zip(found, sorted(expected or [], key=repr), strict=expected is not None):
                assert mine == pytest.approx(theirs, rel=1e-14) if isinstance(theirs[-1], float) else mine == theirs, (
                    select
                )
    finally:
        connection.close()
        database.drop()
