"""Expressions computed over sampled rows: equal values pass, whatever the type; what differs is named with a row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from mssql_pg_migrate.mapping.objects import MappedCheck, MappedDatabase, MappedTable
from mssql_pg_migrate.mapping.types import Encoding, MappedColumn
from mssql_pg_migrate.model import Check, Column, Key, KeyColumn, SqlType, Table
from mssql_pg_migrate.source.reader import tuples
from mssql_pg_migrate.target.sampled import Difference, SampleTrial, TimeUp, sampled, trials
from servers import PgDatabase

TYPES: dict[str, tuple[Encoding, str]] = {
    "boolean": ("bool", "true"),
    "smallint": ("int2", "-32768"),
    "integer": ("int4", "2147483647"),
    "bigint": ("int8", "-9223372036854775808"),
    "numeric(38,10)": ("numeric", "-1234567890123456789012345678.0000000001"),
    "real": ("float4", "1.1"),
    "double precision": ("float8", "'-0.0'"),
    "text": ("text", "E'100% \\\\ \"x\" \\n'"),
    "varchar(5)": ("text", "'ab  '"),
    "char(5)": ("text", "'ab'"),
    "bytea": ("bytea", "'\\x00ff'"),
    "uuid": ("uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"),
    "date": ("date", "'0001-01-01'"),
    "time": ("time", "'23:59:59.999999'"),
    "timestamp(3)": ("timestamp", "'9999-12-31 23:59:59.997'"),
    "timestamptz": ("timestamptz", "'2020-02-29 12:00:00.123456+14'"),
    "json": ("text", "'{\"a\": [1, 2]}'"),
}


def mapped_column(name: str, pg_type: str, encoding: Encoding, generated: str | None = None) -> MappedColumn:
    source = Column(name, SqlType("int"))
    return MappedColumn(source, name, pg_type, encoding, generated_sql=generated, copied=generated is None)


def mapped_table(*columns: MappedColumn, checks: tuple[tuple[str, str, bool], ...] = ()) -> MappedTable:
    key = Key("PK", (KeyColumn(columns[0].name),), primary=True)
    source = Table("dbo", "T", tuple(column.source for column in columns), primary_key=key)
    made = tuple(MappedCheck(Check(name, name), name, sql, not_valid) for name, sql, not_valid in checks)
    return MappedTable(source, "public", "T", columns, primary_key=None, checks=made)


ID = mapped_column("Id", "integer", "int4")


def compare(connection: psycopg.Connection[Any], table: MappedTable, rows: str, **options: Any) -> list[Difference]:
    """The differences over the rows of a query, which travel as the bytes of a COPY, as a reader gives them."""
    tried = trials(table)
    with connection.cursor().copy(f"COPY ({rows}) TO STDOUT (FORMAT binary)") as copy:
        data = b"".join(bytes(block) for block in copy)
    with SampleTrial(connection, MappedDatabase((table,), **options), 5).session() as trial:
        return trial.compare(sampled(table, tried), tried, tuples(data[19:-2]))


def test_values_of_every_type_come_through_as_they_are(target: psycopg.Connection[Any]) -> None:
    columns = [
        mapped_column(f'c"{number} %', pg_type, encoding, generated=f'"c""{number} %"')
        for number, (pg_type, (encoding, _)) in enumerate(TYPES.items())
    ]
    values = ", ".join(f"({literal})::{pg_type}" for pg_type, (_, literal) in TYPES.items())
    nulls = ", ".join(f"NULL::{pg_type}" for pg_type in TYPES)
    assert compare(target, mapped_table(ID, *columns), f"SELECT 1, {values} UNION ALL SELECT 2, {nulls}") == []


@pytest.mark.parametrize(("pg_type", "encoding", "literal"), [(name, *rest) for name, rest in TYPES.items()])
def test_a_value_that_is_missing_is_told(
    pg_type: str, encoding: Encoding, literal: str, target: psycopg.Connection[Any]
) -> None:
    table = mapped_table(ID, mapped_column("c", pg_type, encoding, generated="NULL"))
    (found,) = compare(target, table, f"SELECT 7, ({literal})::{pg_type}")
    assert (found.trial.name, found.row, found.rows, found.target) == ("c", "Id=7", 1, None)
    assert found.source is not None


def test_the_first_row_that_differs_is_shown_and_all_are_counted(target: psycopg.Connection[Any]) -> None:
    table = mapped_table(
        ID,
        mapped_column("Name", "text", "text"),
        mapped_column("Good", "text", "text", generated='upper("Name")'),
        mapped_column("Bad", "integer", "int4", generated='"Id" / 3'),
        checks=(
            ("holds", '"Id" > 0', False),
            ("fails", "\"Name\" LIKE 'n%'", False),
            ("unknown", '"Id" > NULL', False),
            ("untrusted", '"Id" < 0', True),
        ),
    )
    rows = (
        "SELECT n, CASE WHEN n = 5 THEN 'm' ELSE 'n' END, CASE WHEN n = 5 THEN 'M' ELSE 'N' END,"
        " CASE WHEN n >= 8 THEN -1 ELSE n / 3 END FROM generate_series(1, 10) AS n"
    )
    bad, fails = compare(target, table, rows)
    assert bad.clause == "PostgreSQL computes other values in 3 rows of a sample: in Id=8 '2' and not '-1'"
    text = "its translation does not hold in one row of a sample that the source lets pass, as in Id=5"
    assert (fails.trial.name, fails.clause) == ("fails", text)


@pytest.mark.parametrize("at", [1, 2, 37, 64, 100])
def test_a_row_that_cannot_be_computed_is_found(at: int, target: psycopg.Connection[Any]) -> None:
    table = mapped_table(
        ID,
        mapped_column("n", "integer", "int4"),
        mapped_column("Inverse", "integer", "int4", generated='1 / "n"'),
        mapped_column("Wrong", "integer", "int4", generated='"n" + 1'),
        checks=(("small", '100 / "n" < 1000', False),),
    )
    rows = f"SELECT i, CASE WHEN i = {at} THEN 0 ELSE 1 END, 1, 2 FROM generate_series(1, 100) AS i"
    found = {item.trial.name: item for item in compare(target, table, rows)}
    assert found.keys() == {"Inverse", "Wrong", "small"}
    for name in ("Inverse", "small"):
        assert found[name].clause == f"PostgreSQL cannot compute it for the row Id={at}: division by zero"
    assert (found["Wrong"].row, found["Wrong"].rows) == (f"Id={at}", 1)


def test_a_text_too_long_for_its_column_is_not_cut(target: psycopg.Connection[Any]) -> None:
    table = mapped_table(ID, mapped_column("c", "varchar(3)", "text", generated="'abcd'"))
    (found,) = compare(target, table, "SELECT 1, 'abc'::varchar(3)")
    assert (found.source, found.target) == ("abc", "abcd")


def test_collations_of_the_run_are_there_and_leave_no_trace(target_db: PgDatabase) -> None:
    name = 'pg_temp."ci"'
    statement = f'CREATE COLLATION {name} FROM "C"'
    column = MappedColumn(Column("n", SqlType("nvarchar", 20)), "n", "varchar(10)", "text", collation_sql=name)
    same = mapped_column("Same", "integer", "int4", generated="CASE WHEN \"n\" = 'abc' THEN 1 ELSE 0 END")
    with target_db.connect() as connection:
        table = mapped_table(ID, column, same)
        assert compare(connection, table, "SELECT 1, 'abc'::varchar(10), 1", collations_sql=(statement,)) == []
        assert connection.execute("SELECT count(*) FROM pg_collation WHERE collname = 'ci'").fetchone() == (0,)
        assert connection.execute("SHOW statement_timeout").fetchone() == ("0",)


def test_a_type_that_is_not_there_is_said(target: psycopg.Connection[Any]) -> None:
    table = mapped_table(ID, mapped_column("c", "no_such_type", "text", generated="'x'"))
    with pytest.raises(LookupError, match="no_such_type"):
        compare(target, table, "SELECT 1, 'x'")


def test_the_time_of_a_question_is_bounded(target: psycopg.Connection[Any]) -> None:
    table = mapped_table(ID, mapped_column("c", "integer", "int4", generated="(SELECT 1 FROM pg_sleep(30))"))
    with pytest.raises(TimeUp):
        compare(target, table, "SELECT 1, 1")
    assert target.execute("SELECT 1").fetchone() == (1,)


@pytest.fixture
def nobody(target_db: PgDatabase) -> Iterator[str]:
    """A role that may connect, and not even make temporary tables."""
    role = f"nobody_{target_db.name}"
    target_db.execute(f"REVOKE TEMPORARY ON DATABASE {target_db.name} FROM PUBLIC; CREATE ROLE {role}")
    yield role
    target_db.execute(f"DROP ROLE {role}")


def test_no_right_is_needed(nobody: str, target_db: PgDatabase) -> None:
    table = mapped_table(ID, mapped_column("Twice", "integer", "int4", generated='"Id" * 2'))
    with target_db.connect() as connection:
        connection.execute(f"SET ROLE {nobody}")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE TEMPORARY TABLE t (i int)")
        (found,) = compare(connection, table, "SELECT 3, 7")
    assert (found.source, found.target) == ("7", "6")
