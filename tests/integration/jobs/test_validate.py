"""`validate` against real servers: every planted difference is found and named, and equal data is left alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from mssql_pg_migrate.events import AnyEvent, Message, PhaseStarted
from servers import MssqlDatabase, MssqlServer, PgDatabase, PgServer
from validation_cases import KEYS, MANY, SMALL_RANGES, TABLES, TYPES, Pair, copy_of, numbers, source_script


@pytest.fixture(scope="module")
def migrated(mssql: MssqlServer, pg: PgServer) -> Iterator[Pair]:
    """The source, and a target that holds the same; not to be changed."""
    pair = Pair(mssql.new_database(), pg.new_database())
    pair.source.execute_script(source_script())
    pair.run()
    yield pair
    pair.source.drop()
    pair.target.drop()


@pytest.fixture
def pair(migrated: Pair, pg: PgServer) -> Iterator[Pair]:
    """The source, and a target of the test's own that holds the same."""
    target = copy_of(pg, migrated.target)
    yield Pair(migrated.source, target)
    target.drop()


# --- equal data -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reader", ["auto", "wire", "driver"])
def test_equal_data_of_all_types_is_quiet(migrated: Pair, reader: str) -> None:
    events: list[AnyEvent] = []
    report = migrated.validate(reader=reader, events=events)
    assert {table.table: table.error for table in report.tables if not table.equal} == {}
    assert report.equal
    assert {table.table for table in report.tables} == TABLES
    assert {numbers(table) for table in report.tables if table.table != "Heap"} == {(0, 0, 0)}
    counts = {table.table: (table.source_rows, table.target_rows) for table in report.tables}
    assert counts["Many"] == (MANY, MANY)
    assert counts["Everything"] == (2 * len(TYPES), 2 * len(TYPES))
    assert counts["Nothing"] == (0, 0)
    assert events[0] == PhaseStarted(phase="validate", at=events[0].at)
    assert not [event for event in events if isinstance(event, Message) and event.level == "warn"]


@pytest.mark.parametrize(
    "options",
    [
        {"target_mode": "truncate", "use_binary_copy": False},
        {"target_mode": "upsert", "exclude_tables": ["Heap"]},
        {"collation": "citext", "identifier_case": "snake", "use_unlogged_tables": True},
    ],
    ids=lambda options: "-".join(str(value) for value in options.values()),
)
def test_equal_after_every_kind_of_run(migrated: Pair, target_db: PgDatabase, options: dict[str, Any]) -> None:
    pair = Pair(migrated.source, target_db)
    pair.run(**options)
    report = pair.validate(**options)
    assert {table.table: (table.error, numbers(table)) for table in report.tables if not table.equal} == {}


def test_counts(pair: Pair) -> None:
    report = pair.validate(checksum=False)
    assert report.equal
    assert not report.checksum
    pair.target.execute('DELETE FROM "Many" WHERE "Id" = 17')
    pair.target.execute("UPDATE \"KeyInt\" SET v = 'other'")
    report = pair.validate(checksum=False)
    assert [table.table for table in report.tables if not table.equal] == ["Many"]
    many = next(table for table in report.tables if table.table == "Many")
    assert (many.source_rows, many.target_rows) == (MANY, MANY - 1)
    assert numbers(many) == (None, None, None)


# --- planted differences ----------------------------------------------------------------------------------------------


def test_the_smallest_change_of_every_type_is_found(pair: Pair) -> None:
    """Each type in a row of its own, where nothing else differs: as many changed rows as types."""
    for number, (declared, _, change) in enumerate(TYPES):
        name = f'"c{number}"'
        rows = pair.target.execute(
            f'UPDATE "Everything" SET {name} = {change.format(c=name)} WHERE "Id" = {number} RETURNING 1'
        )
        assert len(rows) == 1, declared
    check = pair.check("Everything", reader="wire")
    assert numbers(check) == (0, 0, len(TYPES))
    assert not check.equal
    assert check.sample_keys == {"changed": [f"Id={number}" for number in range(10)]}


def test_null_is_no_value(pair: Pair) -> None:
    """Values set to NULL, and NULLs set to a value, of every type."""
    for number in range(len(TYPES)):
        name = f'"c{number}"'
        other = f'(SELECT {name} FROM "Everything" WHERE "Id" = 0)'
        pair.target.execute(f'UPDATE "Everything" SET {name} = {other} WHERE "Id" = {1000 + number}')
        pair.target.execute(f'UPDATE "Everything" SET {name} = NULL WHERE "Id" = {number} AND "Id" > 0')
    assert numbers(pair.check("Everything")) == (0, 0, 2 * len(TYPES) - 1)


def test_padding_of_char_is_no_difference(pair: Pair) -> None:
    """char(n) written without its blanks reads the same; varchar with one more does not."""
    char, varchar = (
        next(n for n, (kind, _, _) in enumerate(TYPES) if kind == want) for want in ("char(5)", "varchar(20)")
    )
    pair.target.execute(f'UPDATE "Everything" SET "c{char}" = trim("c{char}")')
    pair.target.execute(f'ALTER TABLE "Everything" ALTER "c{char}" TYPE char(9)')
    assert pair.check("Everything").equal
    pair.target.execute(f'UPDATE "Everything" SET "c{varchar}" = "c{varchar}" || \' \' WHERE "Id" = 3')
    assert numbers(pair.check("Everything")) == (0, 0, 1)


def test_keys_of_all_types_are_named(pair: Pair) -> None:
    """In each of the tables one row is changed, then lost."""
    values = {}
    for table, (_, literals, named) in KEYS.items():
        name = named.partition("=")[0]
        (row,) = pair.source.query(f"SELECT {name} FROM dbo.{table} WHERE {name} = {literals[0]}")
        values[table] = row[0]
        pair.target.execute(f'UPDATE "{table}" SET v = v || \'!\' WHERE "{name}" = %s', row)
    report = pair.validate(include_tables=list(KEYS))
    assert {check.table: (numbers(check), check.sample_keys) for check in report.tables} == {
        table: ((0, 0, 1), {"changed": [named]}) for table, (_, _, named) in KEYS.items()
    }
    for table, (_, _, named) in KEYS.items():
        name = named.partition("=")[0]
        pair.target.execute(f'DELETE FROM "{table}" WHERE "{name}" = %s', (values[table],))
    report = pair.validate(include_tables=list(KEYS))
    assert {check.table: (numbers(check), check.sample_keys) for check in report.tables} == {
        table: ((1, 0, 0), {"missing": [named]}) for table, (_, _, named) in KEYS.items()
    }
    assert [(check.source_rows, check.target_rows) for check in report.tables if check.table == "KeyInt"] == [(3, 2)]


def test_composite_keys(pair: Pair) -> None:
    pair.target.execute("UPDATE \"KeyTwo\" SET v = 'y' WHERE a = '2020-01-01' AND b = 2")
    pair.target.execute("UPDATE \"KeyTwo\" SET b = 5 WHERE a = '2020-01-02'")
    check = pair.check("KeyTwo")
    assert numbers(check) == (1, 1, 1)
    assert check.sample_keys == {
        "missing": ["b=1, a=2020-01-02"],
        "extra": ["b=5, a=2020-01-02"],
        "changed": ["b=2, a=2020-01-01"],
    }


def test_swapped_values_are_found(pair: Pair) -> None:
    """Two rows exchange a value: every column still holds the same values, in the same number."""
    pair.target.execute(
        'UPDATE "Many" AS m SET v = o.v FROM "Many" AS o WHERE m."Id" IN (10, 20) AND o."Id" = 30 - m."Id"'
    )
    check = pair.check("Many")
    assert numbers(check) == (0, 0, 2)
    assert check.sample_keys == {"changed": ["Id=10", "Id=20"]}


def test_rows_without_a_key_are_counted(pair: Pair) -> None:
    """One of two equal rows lost, another one doubled, a third one changed."""
    pair.target.execute('DELETE FROM "Heap" WHERE ctid = (SELECT min(ctid) FROM "Heap" WHERE a = 1)')
    pair.target.execute('INSERT INTO "Heap" SELECT * FROM "Heap" WHERE a IS NULL LIMIT 1')
    pair.target.execute('UPDATE "Heap" SET e = 0 WHERE a = 2')
    check = pair.check("Heap")
    assert numbers(check) == (2, 2, None)
    assert (check.source_rows, check.target_rows) == (5, 5)
    assert check.sample_keys == {
        "missing": ["a=1, b=twice, c=NULL, d=1", "a=2, b=NULL, c=2020-01-01T00:00:00.000000, d=0"],
        "extra": ["a=2, b=NULL, c=2020-01-01T00:00:00.000000, d=0", "a=NULL, b=NULL, c=NULL, d=NULL"],
    }


# --- much data --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reader", ["auto", "driver"])
def test_tables_read_in_parts(pair: Pair, reader: str) -> None:
    """Several ranges of the source and several page ranges of the target."""
    options = {**SMALL_RANGES, "reader": reader}
    assert pair.check("Many", **options).equal
    pair.target.execute('DELETE FROM "Many" WHERE "Id" IN (1, 2000)')
    pair.target.execute("INSERT INTO \"Many\" VALUES (-1, 'row', NULL), (999999, 'row', NULL)")
    pair.target.execute('UPDATE "Many" SET v = \'Row\' WHERE "Id" IN (500, 501, 4096)')
    check = pair.check("Many", **options)
    assert numbers(check) == (2, 2, 3)
    assert not check.estimated
    assert check.sample_keys == {
        "missing": ["Id=1", "Id=2000"],
        "extra": ["Id=999999", "Id=-1"],
        "changed": ["Id=500", "Id=501", "Id=4096"],
    }


def test_too_many_differences_are_estimated(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """With memory for few rows some of the rows stand for all, and the report says so."""
    monkeypatch.setattr("mssql_pg_migrate.jobs.validate._MATCH_ROWS", (200, 200))
    pair.target.execute('UPDATE "Many" SET v = upper(v)')
    check = pair.check("Many")
    assert check.estimated
    assert not check.equal
    assert check.changed is not None
    assert MANY * 0.7 < check.changed < MANY * 1.3
    assert (check.missing, check.extra) == (0, 0)
    assert len(check.sample_keys["changed"]) == 10
    pair.target.execute('UPDATE "Many" SET v = CASE WHEN "Id" % 100 = 1 THEN v ELSE lower(v) END')
    check = pair.check("Many")
    assert numbers(check) == (0, 0, 41)
    assert not check.estimated


def test_extra_rows_are_no_fault_after_upsert(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows deleted in the source stay in the target; what is missing or changed is found among many of them."""
    monkeypatch.setattr("mssql_pg_migrate.jobs.validate._MATCH_ROWS", (150, 150))
    upsert = {"target_mode": "upsert"}
    pair.target.execute("INSERT INTO \"Many\" SELECT -i, 'old', NULL FROM generate_series(1, 900) i")
    check = pair.check("Many", **upsert)
    assert check.equal
    assert numbers(check) == (0, 900, 0)
    assert not check.estimated
    assert not pair.check("Many").equal
    report = pair.validate(checksum=False, include_tables=["Many"], **upsert)
    assert report.equal
    assert not pair.validate(checksum=False, include_tables=["Many"]).equal

    pair.target.execute('DELETE FROM "Many" WHERE "Id" = 1234')
    check = pair.check("Many", **upsert)
    assert not check.equal
    assert check.missing is not None
    assert check.missing >= 1
    assert check.sample_keys["missing"] == ["Id=1234"]
    pair.target.execute('DELETE FROM "Many" WHERE "Id" < 0')
    assert not pair.validate(checksum=False, include_tables=["Many"], **upsert).equal


# --- the target as users have it --------------------------------------------------------------------------------------


def test_wider_types_in_the_target(pair: Pair) -> None:
    """Columns that were widened, and a text column of another kind, hold equal values."""
    wider = {"tinyint": "bigint", "smallint": "numeric", "int": "numeric(20,5)", "bigint": "numeric", "real": "float8"}
    wider |= {"numeric(9,2)": "numeric", "varchar(20)": "text", "nvarchar(20)": "text"}
    numbered = {declared: number for number, (declared, _, _) in enumerate(TYPES)}
    for declared, other in wider.items():
        name = f'"c{numbered[declared]}"'
        pair.target.execute(f'ALTER TABLE "Everything" ALTER {name} TYPE {other} USING {name}::{other}')
    assert numbers(pair.check("Everything")) == (0, 0, 0)
    for declared in ("tinyint", "smallint", "int", "bigint", "real", "numeric(9,2)"):
        name = f'"c{numbered[declared]}"'
        pair.target.execute(f'UPDATE "Everything" SET {name} = {name} + 1 WHERE "Id" = {numbered[declared]}')
    # beyond bigint's own range float8 and numeric still differ by one
    assert numbers(pair.check("Everything")) == (0, 0, 6)


def test_generated_columns_are_not_compared(pair: Pair) -> None:
    pair.target.execute('ALTER TABLE "KeyInt" DROP COLUMN v')
    pair.target.execute('ALTER TABLE "KeyInt" ADD COLUMN v text GENERATED ALWAYS AS (\'x\' || "Id") STORED')
    assert pair.check("KeyInt").equal


@pytest.mark.parametrize("key", ["Id int NOT NULL PRIMARY KEY", "Id int NOT NULL"])
def test_what_both_sides_compute_is_compared_by_column(
    source_db: MssqlDatabase, target_db: PgDatabase, key: str
) -> None:
    source_db.execute_script(
        f"CREATE TABLE dbo.Line ({key}, Quantity int NOT NULL, Price int NOT NULL,"
        " Twice AS (Quantity * 2), Total AS (Quantity * Price), Same AS (Quantity + Price));\nGO\n"
        "INSERT INTO dbo.Line (Id, Quantity, Price) VALUES (1, 10, 5), (2, 20, 6), (3, 30, 7), (4, 40, 8);"
    )
    made = Pair(source_db, target_db)
    made.run()
    generated = "SELECT count(*) FROM pg_attribute WHERE attrelid = '\"Line\"'::regclass AND attgenerated = 's'"
    assert target_db.execute(generated) == [(3,)]
    assert made.check("Line").equal
    for column, expression in (
        ("Twice", '"Quantity" * 2 + ("Id" % 2)'),
        ("Total", '"Quantity" * "Price" - ("Id" / 4)'),
    ):
        target_db.execute(f'ALTER TABLE "Line" DROP COLUMN "{column}"')
        target_db.execute(f'ALTER TABLE "Line" ADD "{column}" int GENERATED ALWAYS AS ({expression}) STORED')
    check = made.check("Line")
    assert not check.equal
    keyed = "PRIMARY" in key
    assert numbers(check) == ((0, 0, 0) if keyed else (0, 0, None))
    found = {
        column.column: (column.rows, [name.split(",")[0] for name in column.sample_keys]) for column in check.computed
    }
    assert found == {"Twice": (2, ["Id=1", "Id=3"]), "Total": (1, ["Id=4"])}
    if keyed:  # beside what differs in the data itself
        target_db.execute('UPDATE "Line" SET "Price" = 9 WHERE "Id" = 2')
        target_db.execute('DELETE FROM "Line" WHERE "Id" = 3')
        check = made.check("Line")
        assert (numbers(check), check.sample_keys) == ((1, 0, 1), {"missing": ["Id=3"], "changed": ["Id=2"]})
        found = {item.column: (item.rows, item.sample_keys) for item in check.computed}
        assert found == {"Twice": (1, ["Id=1"]), "Total": (2, ["Id=2", "Id=4"]), "Same": (1, ["Id=2"])}


def test_a_computed_column_that_is_plain_in_the_target_is_compared(
    source_db: MssqlDatabase, target_db: PgDatabase
) -> None:
    source_db.execute_script(
        "CREATE TABLE dbo.Line (Id int NOT NULL PRIMARY KEY, Quantity int NOT NULL, Twice AS (Quantity * 2));\nGO\n"
        "INSERT INTO dbo.Line (Id, Quantity) VALUES (1, 10), (2, 20);"
    )
    target_db.execute('CREATE TABLE "Line" ("Id" int PRIMARY KEY, "Quantity" int NOT NULL, "Twice" int)')
    kept = Pair(source_db, target_db)
    kept.run(target_mode="truncate")
    assert target_db.execute('SELECT "Twice" FROM "Line" ORDER BY "Id"') == [(20,), (40,)]
    assert kept.check("Line", target_mode="truncate").equal
    target_db.execute('UPDATE "Line" SET "Twice" = 41 WHERE "Id" = 2')
    check = kept.check("Line", target_mode="truncate")
    assert numbers(check) == (0, 0, 1)
    assert check.sample_keys == {"changed": ["Id=2"]}


def test_a_partitioned_target(pair: Pair) -> None:
    pair.target.execute('ALTER TABLE "Many" RENAME TO old')
    pair.target.execute('CREATE TABLE "Many" ("Id" int, v text, g uuid) PARTITION BY RANGE ("Id")')
    pair.target.execute('CREATE TABLE low PARTITION OF "Many" FOR VALUES FROM (MINVALUE) TO (1000)')
    pair.target.execute('CREATE TABLE high PARTITION OF "Many" FOR VALUES FROM (1000) TO (MAXVALUE)')
    pair.target.execute('INSERT INTO "Many" SELECT "Id", v, g FROM old')
    assert pair.check("Many", **SMALL_RANGES).equal


@pytest.mark.parametrize("checksum", [True, False])
def test_what_cannot_be_compared_says_why_and_the_rest_goes_on(pair: Pair, checksum: bool) -> None:
    pair.target.execute('DROP TABLE "Heap"')
    pair.target.execute('ALTER TABLE "KeyText" DROP COLUMN v')
    pair.target.execute('ALTER TABLE "KeyInt" ALTER v TYPE jsonb USING to_jsonb(v)')
    report = pair.validate(checksum=checksum)
    found = {table.table: table for table in report.tables}
    wrong = {"Heap", "KeyText", "KeyInt"} if checksum else {"Heap"}
    assert {name for name, table in found.items() if not table.equal} == wrong
    assert "the target has no table public.Heap" in str(found["Heap"].error)
    assert (found["Heap"].source_rows, found["Heap"].target_rows) == (5, None)
    if checksum:
        assert 'lacks the column "v"' in str(found["KeyText"].error)
        assert '"v" as jsonb' in str(found["KeyInt"].error)


def test_a_table_the_source_refuses(source_db: MssqlDatabase, target_db: PgDatabase) -> None:
    """U+0000 in a text is an error, or stripped on both sides, as in a run."""
    source_db.execute_script(
        "CREATE TABLE dbo.Nul (Id int NOT NULL PRIMARY KEY, v nvarchar(20));\n"
        "CREATE TABLE dbo.Fine (Id int NOT NULL PRIMARY KEY);\nGO\n"
        "INSERT INTO dbo.Nul VALUES (1, N'a' + NCHAR(0) + N'b');\nINSERT INTO dbo.Fine VALUES (1);"
    )
    other = Pair(source_db, target_db)
    other.run(on_nul="strip")
    assert other.validate(on_nul="strip").equal
    report = other.validate()
    found = {table.table: table for table in report.tables}
    assert found["Fine"].equal
    assert not found["Nul"].equal
    assert "U+0000" in str(found["Nul"].error)
    target_db.execute("UPDATE \"Nul\" SET v = 'abc'")
    assert numbers(other.check("Nul", on_nul="strip")) == (0, 0, 1)


# --- without compiled code --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("without", ["digest", "libpq"])
def test_the_slow_ways_find_the_same(pair: Pair, monkeypatch: pytest.MonkeyPatch, without: str) -> None:
    if without == "digest":
        monkeypatch.setitem(sys.modules, "mssql_pg_migrate._kernel._digest", None)
    else:
        monkeypatch.setattr("mssql_pg_migrate.validation.copy_out._libpq", lambda: None)
    report = pair.validate()
    assert report.equal
    pair.target.execute('UPDATE "Many" SET v = \'Row\' WHERE "Id" = 77')
    pair.target.execute('DELETE FROM "Many" WHERE "Id" = 4000')
    check = pair.check("Many", **SMALL_RANGES)
    assert numbers(check) == (1, 0, 1)
    assert check.sample_keys == {"missing": ["Id=4000"], "changed": ["Id=77"]}
    assert numbers(pair.check("Everything")) == (0, 0, 0)
