"""Views: translated whole, in dependency order, or named with the reason."""

from __future__ import annotations

import re

import pytest

from mssql_pg_migrate.mapping.objects import MappedDatabase
from mssql_pg_migrate.model import Module
from schema_samples import catalog, column, mapped, notes, table

TABLES = (
    table(
        "Customers", column("CustomerID", "nchar(5)"), column("Name", "nvarchar(40)"), column("City", "nvarchar(15)")
    ),
    table(
        "Orders",
        column("OrderID", "int"),
        column("CustomerID", "nchar(5)"),
        column("Placed", "datetime"),
        column("Freight", "money"),
        column("Open", "bit"),
        column("Parent", "int"),
        column("Ref", "uniqueidentifier"),
    ),
    table("Lines", column("OrderID", "int"), column("Qty", "smallint"), column("Price", "decimal(10,2)")),
)


def view(name: str, select: str, *columns: str, head: str = "", schema: str = "dbo", **fields: object) -> Module:
    return Module(
        schema, name, "view", f"CREATE VIEW [{schema}].[{name}] {head}\nAS\n{select}", columns=columns, **fields
    )


def translate(*modules: Module, **options: object) -> MappedDatabase:
    return mapped(catalog(*TABLES, modules=modules), create_views=True, **options)


def flat(text: str) -> str:
    return re.sub(r"\s+", " ", text)


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        (
            "select OrderID from dbo.Orders where [Open] = 1",
            'SELECT "Orders"."OrderID" AS "OrderID" FROM "public"."Orders" AS "Orders" WHERE "Orders"."Open" = true',
        ),
        (
            "select o.OrderID, n = l.Qty * 2 from Orders o with (nolock) join Lines l on l.OrderID = o.OrderID",
            'SELECT "o"."OrderID" AS "OrderID", "l"."Qty"::integer * 2 AS "n" FROM "public"."Orders" AS "o"'
            ' JOIN "public"."Lines" AS "l" ON "l"."OrderID" = "o"."OrderID"',
        ),
        (
            "select top 3 OrderID from Orders order by Freight desc, OrderID",
            'SELECT "Orders"."OrderID" AS "OrderID" FROM "public"."Orders" AS "Orders"'
            ' ORDER BY "Orders"."Freight" DESC NULLS LAST, "OrderID" NULLS FIRST LIMIT 3',
        ),
        (
            "select top (100) percent OrderID from Orders order by Freight",
            'SELECT "Orders"."OrderID" AS "OrderID" FROM "public"."Orders" AS "Orders"',
        ),
        (
            "select OrderID, count(*) as n, avg(Qty) as a, sum(Price) as s from Lines"
            " group by OrderID having count(*) > 1",
            'SELECT "Lines"."OrderID" AS "OrderID", (count(*))::integer AS "n",'
            ' (sum("Lines"."Qty") / count("Lines"."Qty"))::integer AS "a", sum("Lines"."Price") AS "s"'
            ' FROM "public"."Lines" AS "Lines"'
            ' GROUP BY "Lines"."OrderID" HAVING (count(*))::integer > 1',
        ),
        (
            "select OrderID from Orders union all select OrderID from Lines",
            'SELECT "Orders"."OrderID" AS "OrderID" FROM "public"."Orders" AS "Orders" UNION ALL'
            ' SELECT "Lines"."OrderID" AS "OrderID" FROM "public"."Lines" AS "Lines"',
        ),
        (
            "select row_number() over (partition by CustomerID order by Placed desc) as rn from Orders",
            'SELECT row_number() OVER (PARTITION BY "Orders"."CustomerID" ORDER BY "Orders"."Placed" DESC NULLS LAST)'
            ' AS "rn" FROM "public"."Orders" AS "Orders"',
        ),
        (
            "select o.OrderID from Orders o where exists (select 1 from Lines l where l.OrderID = o.OrderID)",
            'SELECT "o"."OrderID" AS "OrderID" FROM "public"."Orders" AS "o" WHERE EXISTS ( SELECT 1'
            ' FROM "public"."Lines" AS "l" WHERE "l"."OrderID" = "o"."OrderID" )',
        ),
        (
            "select o.OrderID, x.Qty from Orders o outer apply (select top 1 l.Qty from Lines l"
            " where l.OrderID = o.OrderID order by l.Price) x",
            'SELECT "o"."OrderID" AS "OrderID", "x"."Qty" AS "Qty" FROM "public"."Orders" AS "o" LEFT JOIN LATERAL ('
            ' SELECT "l"."Qty" AS "Qty" FROM "public"."Lines" AS "l" WHERE "l"."OrderID" = "o"."OrderID"'
            ' ORDER BY "l"."Price" NULLS FIRST LIMIT 1 ) AS "x" ("Qty") ON true',
        ),
        (
            "with t (id, lvl) as (select OrderID, 0 from Orders where Parent is null union all"
            " select o.OrderID, t.lvl + 1 from Orders o join t on o.Parent = t.id) select id, lvl from t",
            'WITH RECURSIVE "t" ("id", "lvl") AS ( SELECT "Orders"."OrderID" AS "OrderID", 0 FROM "public"."Orders"'
            ' AS "Orders" WHERE "Orders"."Parent" IS NULL UNION ALL SELECT "o"."OrderID" AS "OrderID", "t"."lvl" + 1'
            ' FROM "public"."Orders" AS "o" JOIN "t" AS "t" ON "o"."Parent" = "t"."id" )'
            ' SELECT "t"."id" AS "id", "t"."lvl" AS "lvl" FROM "t" AS "t"',
        ),
        (
            "select c.CustomerID + '-' as k from Customers c",
            'SELECT rpad("c"."CustomerID"::text, 5) || \'-\' AS "k" FROM "public"."Customers" AS "c"',
        ),
        (
            "select null as nothing, 'x' as lit from Orders",
            'SELECT NULL::integer AS "nothing", \'x\' AS "lit" FROM "public"."Orders" AS "Orders"',
        ),
    ],
)
def test_views(select: str, expected: str) -> None:
    database = translate(view("V", select))
    assert [flat(item.select_sql) for item in database.views] == [expected], notes(database, "not_carried")


@pytest.mark.parametrize(
    ("select", "reason"),
    [
        ("select dbo.Total(OrderID) as t from Orders", "dbo.Total"),
        ("select * from dbo.OrdersOf(5) o", "it calls the table-valued function dbo.OrdersOf"),
        (
            "select o.OrderID from Orders o cross apply dbo.LinesOf(o.OrderID) l",
            "it calls the table-valued function dbo.LinesOf by APPLY",
        ),
        (
            "select j.x from Orders o cross apply openjson(o.Doc) with (x int '$.x') j",
            "its text, which uses OPENJSON, cannot be parsed",
        ),
        ("with xmlnamespaces ('a' as b) select OrderID from Orders", "uses XMLNAMESPACES"),
        ("select i from (values (1, 2), (3)) v (i, j)", "rows of different lengths"),
        ("select j.[value] from openjson('[]') j", "it calls the table-valued function OPENJSON"),
        (
            "select s.value from Orders cross apply string_split(CustomerID, ',') s",
            "table-valued function STRING_SPLIT",
        ),
        ("select x.y from Orders o cross apply o.Doc.nodes('/a') x(y)", "it calls nodes() of an XML value"),
        ("select OrderID from Orders for json path", "FOR JSON is not translated"),
        ("select OrderID from Orders for xml auto", "FOR XML is not translated"),
        ("select u.a from Orders unpivot (a for b in (OrderID, Parent)) u", "UNPIVOT is not translated"),
        ("select OrderID from Orders tablesample (10 percent)", "TABLESAMPLE is not translated"),
        ("select OrderID from Orders for system_time all", "FOR SYSTEM_TIME is not translated"),
        ("select Placed at time zone 'UTC' as z from Orders", "AT TIME ZONE is not translated"),
        ("select last_value(OrderID) ignore nulls over (order by Placed) as l from Orders", "IGNORE NULLS OVER"),
        (
            "select percentile_cont(0.5) within group (order by OrderID) over () as l from Orders",
            "PERCENTILE_CONT() OVER",
        ),
        ("select checksum_agg(OrderID) as l from Orders", "checksum_agg()"),
        ("select sum(OrderID) over w as l from Orders window w as (order by Placed)", "a named WINDOW"),
        ("select OrderID from openquery(other, 'select 1')", "table-valued function OPENQUERY"),
        ("select lag(OrderID, -1) over (order by Placed) as l from Orders", "LAG with a negative offset"),
        ("select len(1) as l from Orders", "view: LEN of int is not translated: LEN(1)"),
        ("select OrderID from Orders where CustomerID = 5", "view: text is compared with int: CustomerID = 5"),
        ("select stuff('a', 1, 1) as l from Orders", "STUFF with 3 arguments is not translated"),
        ("select power(CustomerID, 2) as l from Orders", "POWER of nchar(5) is not translated"),
        ("select OrderID from Orders where contains(CustomerID, 'x')", "CONTAINS()"),
        ("select a from Missing", "Missing, which is not carried"),
        ("select a from Other.dbo.T", "in another database"),
        ("select (select Name as n from Customers for xml path('')) as x", "FOR XML is not translated"),
        ("select OrderID from Orders order by OrderID offset 1 rows fetch next (select 1) rows only", "no constant"),
        ("select top 10 percent OrderID from Orders order by OrderID", "PERCENT"),
        ("select p.a from Orders pivot (sum(Freight) for OrderID in ([1],[2])) p", "PIVOT is not translated"),
        ("select max(Ref) as m from Orders", "MAX of uniqueidentifier"),
        ("select string_agg(Name, City) as n from Customers", "STRING_AGG with a separator that is no constant"),
        ("select x from (select 1) d", "without a name"),
        ("select OrderID from Orders, Lines", "ambiguous"),
    ],
)
def test_views_without_an_equal_are_named_not_guessed(select: str, reason: str) -> None:
    database = translate(view("V", select))
    assert database.views == ()
    (message,) = notes(database, "not_carried", "dbo.V")
    assert message.startswith("view: ")
    assert reason in message


def test_top_of_one_side_of_a_set_operation_is_not_that_of_the_whole() -> None:
    database = translate(
        view("Right", "select OrderID from Orders union all select top 5 OrderID from Orders"),
        view("Left", "select top 5 OrderID from Orders union all select OrderID from Orders"),
    )
    sql = {item.name: flat(item.select_sql) for item in database.views}
    plain = 'SELECT "Orders"."OrderID" AS "OrderID" FROM "public"."Orders" AS "Orders"'
    assert sql["Right"] == f"{plain} UNION ALL ({plain} LIMIT 5)"
    assert sql["Left"] == f"({plain} LIMIT 5) UNION ALL {plain}"


def test_a_comma_binds_less_tightly_than_a_join() -> None:
    (made,) = translate(
        view("V", "select a.OrderID from Orders a, Orders b full join Lines c on b.OrderID = c.OrderID")
    ).views
    assert flat(made.select_sql).endswith(
        'FROM "public"."Orders" AS "a" , "public"."Orders" AS "b"'
        ' FULL JOIN "public"."Lines" AS "c" ON "b"."OrderID" = "c"."OrderID"'
    )


def test_views_come_after_the_views_they_read() -> None:
    database = translate(
        view("A", "select OrderID from B"), view("B", "select OrderID from C"), view("C", "select OrderID from Orders")
    )
    assert [item.name for item in database.views] == ["C", "B", "A"]
    assert database.views[2].depends_on == ("public.B",)
    assert database.views[0].depends_on == ("public.Orders",)


def test_a_view_over_a_view_that_is_not_carried_is_named_too() -> None:
    database = translate(view("Top", "select n from Base"), view("Base", "select dbo.f(1) as n from Orders"))
    assert database.views == ()
    assert any("reads the view dbo.Base" in text for text in notes(database, "not_carried", "dbo.Top"))


def test_views_that_read_each_other_do_not_hang() -> None:
    database = translate(view("A", "select x from B"), view("B", "select x from A"))
    assert database.views == ()


def test_column_names_come_from_the_catalog_and_follow_identifier_case() -> None:
    source = view("OrderList", "select OrderID, Placed from Orders", "Id", "PlacedAt", head="(Id, PlacedAt)")
    (found,) = translate(source, identifier_case="snake").views
    assert (found.name, found.columns) == ("order_list", ("id", "placed_at"))
    assert 'FROM "public"."orders"' in found.select_sql
    assert '"Orders"."order_id"' in found.select_sql


def test_a_star_is_spelt_out() -> None:
    (found,) = translate(view("V", "select * from Lines")).views
    assert found.columns == ("OrderID", "Qty", "Price")


def test_an_encrypted_view_is_named() -> None:
    database = translate(Module("dbo", "Secret", "view", None))
    assert any("encrypted" in text for text in notes(database, "not_carried", "dbo.Secret"))


def test_differences_in_text_comparison_are_said() -> None:
    select = "select Name from Customers where City = 'London'"
    assert any("case" in text for text in notes(translate(view("V", select)), "warning", "dbo.V"))
    assert notes(translate(view("V", select), collation="citext"), "warning", "dbo.V") == []


def test_schemabinding_is_dropped_and_check_option_said() -> None:
    bound = view("V", "select OrderID from dbo.Orders", head="WITH SCHEMABINDING", indexed=True)
    database = translate(bound)
    assert len(database.views) == 1
    assert any("indexed view" in text for text in notes(database, "not_carried", "dbo.V"))
    checked = translate(view("V", "select OrderID from Orders where OrderID > 5\nWITH CHECK OPTION;"))
    assert len(checked.views) == 1
    assert any("CHECK OPTION" in text for text in notes(checked, "warning", "dbo.V"))


def test_a_view_reads_tables_of_its_own_schema_first() -> None:
    source = catalog(
        table("T", column("a", "int"), schema="sales"),
        table("T", column("b", "int")),
        modules=(view("V", "select a from T", schema="sales"), view("W", "select b from T", schema="sales")),
    )
    database = mapped(source, create_views=True)
    assert [item.full_name if hasattr(item, "full_name") else item.name for item in database.views] == ["V"]
    assert any("refers to b" in text for text in notes(database, "not_carried", "sales.W"))
