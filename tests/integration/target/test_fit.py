"""Does an existing target table fit, asked before anything is touched."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from mssql_pg_migrate.mapping.objects import MappedTable
from mssql_pg_migrate.mapping.options import Mode
from mssql_pg_migrate.target.fit import Fit, check_fit
from mssql_pg_migrate.target.inspect import ExistingTable, read_abilities, read_existing
from schema_samples import catalog, column, key, mapped, only_table, table


def existing(target: psycopg.Connection[Any], wanted: MappedTable) -> ExistingTable:
    found = read_existing(target, [wanted])
    return found[wanted.schema, wanted.name]


def fit_one(target: psycopg.Connection[Any], declared: str, pg_type: str, **fields: Any) -> Fit:
    """How a source column fits a target column of a type."""
    wanted = only_table(mapped(catalog(table("T", column("a", declared, **fields)))))
    target.execute(f'CREATE TABLE "T" (a {pg_type})')
    return check_fit(existing(target, wanted), wanted, "truncate")


@pytest.mark.parametrize(
    ("declared", "pg_type", "encoding", "select"),
    [
        ("int", "integer", "int4", None),
        ("smallint", "integer", "int4", "CAST({c} AS int)"),
        ("tinyint", "smallint", "int2", None),
        ("int", "bigint", "int8", "CAST({c} AS bigint)"),
        ("int", "numeric", "numeric", "CAST({c} AS decimal(10,0))"),
        ("int", "numeric(12,2)", "numeric", "CAST({c} AS decimal(10,0))"),
        ("bigint", "numeric(19,0)", "numeric", "CAST({c} AS decimal(19,0))"),
        ("bit", "boolean", "bool", None),
        ("decimal(10,2)", "numeric(10,2)", "numeric", None),
        ("decimal(10,2)", "numeric(14,4)", "numeric", None),
        ("decimal(10,2)", "numeric", "numeric", None),
        ("money", "numeric(19,4)", "numeric", None),
        ("real", "double precision", "float8", "CAST({c} AS float)"),
        ("float", "double precision", "float8", None),
        ("varchar(10)", "varchar(10)", "text", None),
        ("varchar(10)", "varchar(99)", "text", None),
        ("varchar(10)", "varchar", "text", None),
        ("varchar(10)", "text", "text", None),
        ("nvarchar(max)", "text", "text", None),
        ("char(4)", "char(4)", "text", None),
        ("char(4)", "char(8)", "text", None),
        ("char(4)", "varchar(4)", "text", None),
        ("nvarchar(10)", "short", "text", None),
        ("datetime", "timestamp", "timestamp", None),
        ("datetime", "timestamp(3)", "timestamp", None),
        ("smalldatetime", "timestamp(0)", "timestamp", None),
        ("datetime2(7)", "timestamp(6)", "timestamp", None),
        ("date", "date", "date", None),
        ("time(3)", "time(3)", "time", None),
        ("datetimeoffset(7)", "timestamptz", "timestamptz", None),
        ("uniqueidentifier", "uuid", "uuid", None),
        ("varbinary(max)", "bytea", "bytea", None),
    ],
)
def test_the_same_or_a_wider_type_fits(
    target: psycopg.Connection[Any], declared: str, pg_type: str, encoding: str, select: str | None
) -> None:
    """``select``: how a wider type is read; None where nothing changes."""
    target.execute("CREATE DOMAIN short AS varchar(20)")
    fit = fit_one(target, declared, pg_type)
    assert fit.problems == ()
    (found,) = fit.table.columns
    unchanged = only_table(mapped(catalog(table("T", column("a", declared))))).columns[0]
    assert found.encoding == encoding
    assert found.driver_select == (select or unchanged.driver_select)
    assert found.wire_select == (select or unchanged.wire_select)


@pytest.mark.parametrize(
    ("declared", "pg_type", "reason"),
    [
        ("int", "smallint", "too small for integer"),
        ("bigint", "integer", "too small for bigint"),
        ("bigint", "numeric(18,0)", "too small"),
        ("int", "text", "does not hold"),
        ("decimal(10,2)", "numeric(10,1)", "too small"),
        ("decimal(10,2)", "numeric(9,2)", "too small"),
        ("decimal(10,2)", "double precision", "does not hold"),
        ("float", "real", "does not hold"),
        ("varchar(10)", "varchar(9)", "too short"),
        ("nvarchar(max)", "varchar(4000)", "too short"),
        ("varchar(10)", "char(10)", "pad"),
        ("varchar(10)", "jsonb", "does not hold"),
        ("datetime", "timestamptz", "does not hold"),
        ("datetime", "date", "does not hold"),
        ("date", "timestamp", "does not hold"),
        ("datetime2(7)", "timestamp(3)", "keeps 3 decimals"),
        ("uniqueidentifier", "text", "does not hold"),
        ("bit", "integer", "does not hold"),
        ("nvarchar(30)", "short", "too short"),
    ],
)
def test_a_type_that_would_change_values_is_refused(
    target: psycopg.Connection[Any], declared: str, pg_type: str, reason: str
) -> None:
    target.execute("CREATE DOMAIN short AS varchar(20)")
    (problem,) = fit_one(target, declared, pg_type).problems
    assert 'column "a"' in problem
    assert reason in problem
    assert "dbo.T.a" in problem


def test_a_missing_column_is_named_with_its_look_alike(target: psycopg.Connection[Any]) -> None:
    wanted = only_table(mapped(catalog(table("T", column("OrderId", "int"), column("b", "int")))))
    target.execute('CREATE TABLE "T" (orderid int, b int)')
    (problem,) = check_fit(existing(target, wanted), wanted, "truncate").problems
    assert 'no column "OrderId"' in problem
    assert 'it has "orderid"' in problem


def test_extra_columns_must_fill_themselves(target: psycopg.Connection[Any]) -> None:
    wanted = only_table(mapped(catalog(table("T", column("a", "int")))))
    target.execute(
        'CREATE TABLE "T" (a int, free text, filled int NOT NULL DEFAULT 1, number int GENERATED ALWAYS AS IDENTITY,'
        " twice int GENERATED ALWAYS AS (a * 2) STORED, must int NOT NULL)"
    )
    (problem,) = check_fit(existing(target, wanted), wanted, "truncate").problems
    assert '"must" is NOT NULL without a default' in problem


def test_not_null_against_a_nullable_source_is_refused(target: psycopg.Connection[Any]) -> None:
    (problem,) = fit_one(target, "int", "integer NOT NULL").problems
    assert "the source allows NULL" in problem
    target.execute('DROP TABLE "T"')
    assert fit_one(target, "int", "integer NOT NULL", nullable=False).problems == ()


def test_a_generated_column_of_the_target_is_not_copied_and_said_so(target: psycopg.Connection[Any]) -> None:
    wanted = only_table(mapped(catalog(table("T", column("a", "int"), column("b", "int")))))
    target.execute('CREATE TABLE "T" (a int, b int GENERATED ALWAYS AS (a * 2) STORED)')
    fit = check_fit(existing(target, wanted), wanted, "truncate")
    assert fit.problems == ()
    assert [item.name for item in fit.table.copied_columns] == ["a"]
    assert any('"b" is generated' in text for text in fit.warnings)


def test_a_computed_column_the_target_has_as_a_plain_one_is_copied(target: psycopg.Connection[Any]) -> None:
    wanted = only_table(mapped(catalog(table("T", column("a", "int"), column("b", "int", computed="([a]*(2))")))))
    assert [item.name for item in wanted.copied_columns] == ["a"]
    target.execute('CREATE TABLE "T" (a int, b int)')
    fit = check_fit(existing(target, wanted), wanted, "truncate")
    assert [item.name for item in fit.table.copied_columns] == ["a", "b"]


def test_triggers_are_announced(target: psycopg.Connection[Any]) -> None:
    wanted = only_table(mapped(catalog(table("T", column("a", "int")))))
    target.execute(
        'CREATE TABLE "T" (a int);'
        " CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        ' CREATE TRIGGER audit BEFORE INSERT ON "T" FOR EACH ROW EXECUTE FUNCTION f()'
    )
    assert any("audit" in text for text in check_fit(existing(target, wanted), wanted, "truncate").warnings)


@pytest.mark.parametrize(("sql", "what"), [('CREATE VIEW "T" AS SELECT 1 AS a', "a view")])
def test_something_that_is_no_table_is_refused(target: psycopg.Connection[Any], sql: str, what: str) -> None:
    wanted = only_table(mapped(catalog(table("T", column("a", "int")))))
    target.execute(sql.encode())
    (problem,) = check_fit(existing(target, wanted), wanted, "truncate").problems
    assert what in problem


KEYED = table(
    "orders",
    column("id", "int", nullable=False),
    column("line", "int", nullable=False),
    column("n", "int"),
    primary_key=key("PK", "id", "line", primary=True),
)


@pytest.mark.parametrize(
    ("constraint", "fits"),
    [
        ("PRIMARY KEY (id, line)", True),
        ("PRIMARY KEY (line, id)", True),
        ("UNIQUE (id, line)", True),
        ("PRIMARY KEY (id)", False),
        ("UNIQUE (id, line, n)", False),
        ("UNIQUE (id, line) DEFERRABLE", False),
    ],
)
def test_upsert_needs_a_unique_constraint_over_exactly_the_key(
    target: psycopg.Connection[Any], constraint: str, fits: bool
) -> None:
    wanted = only_table(mapped(catalog(KEYED)))
    target.execute(f"CREATE TABLE orders (id int NOT NULL, line int NOT NULL, n int, {constraint})".encode())
    problems = check_fit(existing(target, wanted), wanted, "upsert").problems
    assert bool(problems) is not fits
    if not fits:
        assert "exactly (id, line)" in problems[0]
    assert check_fit(existing(target, wanted), wanted, "truncate").problems == ()


@pytest.mark.parametrize("index", ["(id, line) WHERE n > 0", "(id, (line + 0))"])
def test_a_partial_or_expression_index_is_not_enough_for_upsert(target: psycopg.Connection[Any], index: str) -> None:
    wanted = only_table(mapped(catalog(KEYED)))
    target.execute("CREATE TABLE orders (id int NOT NULL, line int NOT NULL, n int)")
    target.execute(f"CREATE UNIQUE INDEX ON orders {index}".encode())
    assert check_fit(existing(target, wanted), wanted, "upsert").problems != ()


def test_upsert_without_a_primary_key_says_it_in_the_guides_words(target: psycopg.Connection[Any]) -> None:
    wanted = only_table(mapped(catalog(table("orders", column("id", "int")))))
    target.execute("CREATE TABLE orders (id int UNIQUE)")
    problems = check_fit(existing(target, wanted), wanted, "upsert").problems
    assert problems == ("Table 'orders' has no primary key, required for upsert mode",)


@pytest.mark.parametrize(("mode", "expected"), [("truncate", 0), ("upsert", 1)])
def test_an_always_identity_outside_the_key_cannot_be_updated(
    target: psycopg.Connection[Any], mode: Mode, expected: int
) -> None:
    wanted = only_table(mapped(catalog(KEYED)))
    target.execute("CREATE TABLE orders (id int, line int, n int GENERATED ALWAYS AS IDENTITY, PRIMARY KEY (id, line))")
    # n is nullable in the source, an identity is not: aside from that
    problems = [text for text in check_fit(existing(target, wanted), wanted, mode).problems if "IDENTITY" in text]
    assert len(problems) == expected


def test_identity_and_defaults_are_the_targets_own(target: psycopg.Connection[Any]) -> None:
    wanted = only_table(
        mapped(catalog(table("T", column("a", "int", nullable=False, identity=(1, 1)), column("b", "int"))))
    )
    target.execute('CREATE TABLE "T" (a int GENERATED ALWAYS AS IDENTITY, b int DEFAULT 7)')
    fit = check_fit(existing(target, wanted), wanted, "truncate")
    assert fit.problems == ()
    assert fit.table.columns[0].identity
    assert fit.table.columns[1].default_sql == "7"


def test_what_is_read_of_a_table(target: psycopg.Connection[Any]) -> None:
    target.execute(
        'CREATE UNLOGGED TABLE "T" (a int PRIMARY KEY); CREATE TABLE p (a int PRIMARY KEY);'
        " CREATE TABLE c (a int REFERENCES p)"
    )
    wanted = mapped(
        catalog(table("T", column("a", "int")), table("p", column("a", "int")), table("x", column("a", "int")))
    )
    found = read_existing(target, wanted.tables)
    assert set(found) == {("public", "T"), ("public", "p")}
    assert found["public", "T"].unlogged
    assert not found["public", "T"].referenced_by_logged
    assert found["public", "p"].referenced_by_logged


def test_abilities_are_asked_not_assumed(target: psycopg.Connection[Any]) -> None:
    abilities = read_abilities(target)
    assert abilities.version_num == target.info.server_version
    assert abilities.encoding == "UTF8"
    assert abilities.nulls_not_distinct is (target.info.server_version >= 150000)
