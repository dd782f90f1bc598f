"""Ranges over random keys of every kind: together they are the table, each row once, and about equal in size."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from mssql_pg_migrate.mapping.objects import MappedTable
from mssql_pg_migrate.model import KeyRange, KeyValue
from mssql_pg_migrate.source.reader import ReadRequest
from mssql_pg_migrate.source.sqlserver import ranges
from mssql_pg_migrate.source.sqlserver.connect import connect_source
from mssql_pg_migrate.source.sqlserver.driver import DriverReader
from mssql_pg_migrate.source.sqlserver.ranges import plan_ranges
from servers import MssqlDatabase
from source_tools import fields, settings_of, tables_of

ROWS = 900
WORDS = ("", "a", "B", "b ", "ab", "Ab-c", "_", "é", "Z", "ß", "日本", "😀", "O'Brien", "x\\y", "~", " lead")


@dataclass(frozen=True)
class Kind:
    """Columns of a key, their order in the index, and a maker of one row's literals."""

    name: str
    columns: tuple[tuple[str, str], ...]
    order: str
    make: Callable[[random.Random], tuple[str, ...]]


def _word(chance: random.Random) -> str:
    return "".join(chance.choice(WORDS) for _ in range(chance.randint(0, 3)))


def _quoted(text: str) -> str:
    return "N'" + text.replace("'", "''") + "'"


def _moment(chance: random.Random) -> str:
    day = f"{chance.randint(1, 9999):04d}-{chance.randint(1, 12):02d}-{chance.randint(1, 28):02d}"
    return f"'{day}T{chance.randint(0, 23):02d}:{chance.randint(0, 59):02d}:00.{chance.randint(0, 10**6):06d}'"


def _clock(chance: random.Random) -> str:
    return f"'{chance.randint(0, 23):02d}:{chance.randint(0, 59):02d}:59.{chance.randint(0, 10**7 - 1):07d}'"


KINDS = [
    Kind("int", (("k", "int"),), "k", lambda c: (str(c.randint(-(2**31), 2**31 - 1)),)),
    Kind("descending", (("k", "int"),), "k DESC", lambda c: (str(c.randint(0, 10**6)),)),
    Kind("bigint", (("k", "bigint"),), "k", lambda c: (str(c.randint(-(2**63), 2**63 - 1)),)),
    Kind("gapped", (("k", "int"),), "k", lambda c: (str(c.choice((0, 10**6, 10**9)) + c.randint(0, 5000)),)),
    Kind("skewed", (("k", "int"),), "k", lambda c: (str(int(c.paretovariate(0.3)) % 2**31),)),
    Kind(
        "composite",
        (("a", "smallint"), ("b", "nvarchar(20)"), ("c", "int")),
        "a, b DESC, c",
        lambda c: (str(c.randint(-1, 1)), _quoted(c.choice(("x", "Y", "z"))), str(c.randint(0, 10**4))),
    ),
    Kind("one_tenant", (("a", "int"), ("b", "int")), "a, b", lambda c: ("7", str(c.randint(0, 10**6)))),
    Kind(
        "uniqueidentifier",
        (("k", "uniqueidentifier"),),
        "k",
        lambda c: (f"'{uuid.UUID(int=c.getrandbits(128))}'",),
    ),
    Kind("nvarchar", (("k", "nvarchar(40)"),), "k", lambda c: (_quoted(_word(c) + str(c.randint(0, 400))),)),
    Kind(
        "varchar_ci",
        (("k", "varchar(40) COLLATE Latin1_General_CI_AS"),),
        "k",
        lambda c: (_quoted("".join(c.choice("aAbBéÉ'_- ") for _ in range(6)).strip()),),
    ),
    Kind("datetime2", (("k", "datetime2(7)"),), "k", lambda c: (_moment(c),)),
    Kind("time", (("k", "time(7)"),), "k DESC", lambda c: (_clock(c),)),
    Kind("time_last", (("a", "int"), ("k", "time(7)")), "a, k", lambda c: (str(c.randint(1, 3)), _clock(c))),
    Kind(
        "datetimeoffset",
        (("k", "datetimeoffset(7)"),),
        "k",
        lambda c: (_moment(c)[:-1] + f"{c.randint(0, 9)}{c.choice(('+14:00', '-05:30', '+00:00'))}'",),
    ),
    Kind(
        "decimal",
        (("k", "decimal(30, 5)"),),
        "k",
        lambda c: (f"'{c.randint(-(10**24), 10**24)}.{c.randint(0, 99999):05d}'",),
    ),
    Kind("binary", (("k", "varbinary(8)"),), "k", lambda c: (f"0x{c.randbytes(c.randint(1, 8)).hex()}",)),
]


def fill(database: MssqlDatabase, kind: Kind, seed: int) -> int:
    """A table ``dbo.T`` with random keys of that kind; its number of rows (equal keys are left out)."""
    chance = random.Random(seed)
    names = [name for name, _ in kind.columns]
    columns = ", ".join(f"{name} {declared} NOT NULL" for name, declared in kind.columns)
    database.execute_script(
        f"CREATE TABLE dbo.T (n int NOT NULL, {columns}, CONSTRAINT PK_T PRIMARY KEY CLUSTERED ({kind.order}))\nGO\n"
        f"CREATE TABLE dbo.Raw (n int NOT NULL, {columns})"
    )
    connection = database.connect()
    cursor = connection.cursor()
    made = [kind.make(chance) for _ in range(ROWS)]
    for start in range(0, len(made), 300):
        rows = ", ".join(
            f"({start + number}, {', '.join(values)})" for number, values in enumerate(made[start : start + 300])
        )
        cursor.execute(f"INSERT INTO dbo.Raw (n, {', '.join(names)}) VALUES {rows}")
    # The server decides which keys are equal (case, accents, trailing blanks).
    cursor.execute(
        f"INSERT INTO dbo.T (n, {', '.join(names)}) SELECT q.n, {', '.join('q.' + name for name in names)} FROM"
        f" (SELECT r.*, ROW_NUMBER() OVER (PARTITION BY {', '.join(names)} ORDER BY n) AS copy_ FROM dbo.Raw AS r) AS q"
        " WHERE q.copy_ = 1"
    )
    cursor.execute("SELECT COUNT(*) FROM dbo.T")
    count = int(cursor.fetchone()[0])
    connection.close()
    return count


def rows_of(reader: DriverReader, table: MappedTable, part: KeyRange, after: KeyValue | None = None) -> list[Any]:
    """Row numbers of a range, in the order read."""
    request = ReadRequest(table=table, range=part, after=after, chunk_rows=97)
    return [row[0] for row in fields(reader.chunks(request))]


SAMPLED = ("one_tenant", "uniqueidentifier", "nvarchar", "datetime2")
CASES = [(kind, "scan") for kind in KINDS] + [(kind, "sample") for kind in KINDS if kind.name in SAMPLED]


@pytest.mark.parametrize(("kind", "way"), CASES, ids=[f"{kind.name}-{way}" for kind, way in CASES])
def test_ranges_are_the_table_each_row_once(
    source_db: MssqlDatabase, kind: Kind, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ways of finding boundaries are made to serve a small table."""
    monkeypatch.setattr(ranges, "_sampled_part", lambda *_: 1.0 if way == "scan" else 0.29)
    monkeypatch.setattr(ranges, "_LEAST_SAMPLED_ROWS", 1)
    count = fill(source_db, kind, seed=len(kind.name) if way == "scan" else 7)
    table = tables_of(source_db)["dbo.T"]
    assert table.range_key is not None
    settings = settings_of(source_db)
    connection = connect_source(settings)
    try:
        parts = plan_ranges(connection, table, max_ranges=6, min_rows=10, row_estimate=count)
    finally:
        connection.close()
    assert parts[0].after is None
    assert parts[-1].upto is None
    assert [part.id for part in parts] == list(range(len(parts)))
    reader = DriverReader(settings)
    try:
        whole = rows_of(reader, table, KeyRange(0))
        pieces = [rows_of(reader, table, part) for part in parts]
        assert len(whole) == count
        assert [row for piece in pieces for row in piece] == whole
        if way == "scan":
            assert len(parts) == 6
            assert max(map(len, pieces)) <= 1.4 * count / 6
        check_resume(reader, table, whole)
    finally:
        reader.close()


def check_resume(reader: DriverReader, table: MappedTable, whole: list[Any]) -> None:
    """Reading goes on exactly after the key of any chunk."""
    seen = 0
    for chunk in list(reader.chunks(ReadRequest(table=table, range=KeyRange(0), chunk_rows=211))):
        seen += chunk.rows
        assert rows_of(reader, table, KeyRange(0), chunk.last_key) == whole[seen:]


def test_a_small_table_and_one_without_key_are_one_range(source_db: MssqlDatabase) -> None:
    source_db.execute_script(
        "CREATE TABLE dbo.Small (id int NOT NULL PRIMARY KEY)\nGO\nCREATE TABLE dbo.Heap (x int NULL)"
    )
    tables = tables_of(source_db)
    connection = connect_source(settings_of(source_db))
    try:
        for name, rows in (("dbo.Small", 15), ("dbo.Heap", 10**9)):
            (part,) = plan_ranges(connection, tables[name], max_ranges=8, min_rows=10, row_estimate=rows)
            assert part == KeyRange(0, None, None, rows)
    finally:
        connection.close()


@pytest.mark.parametrize("estimate", [0, 40, 5_000, 10**6])
def test_a_wrong_estimate_costs_balance_but_no_row(source_db: MssqlDatabase, estimate: int) -> None:
    source_db.execute_script("CREATE TABLE dbo.T (id int NOT NULL PRIMARY KEY)")
    connection = source_db.connect()
    cursor = connection.cursor()
    cursor.execute(f"INSERT INTO dbo.T VALUES {', '.join(f'({number})' for number in range(500))}")
    connection.close()
    table = tables_of(source_db)["dbo.T"]
    settings = settings_of(source_db)
    source = connect_source(settings)
    try:
        parts = plan_ranges(source, table, max_ranges=4, min_rows=10, row_estimate=estimate)
    finally:
        source.close()
    assert 1 <= len(parts) <= 4
    reader = DriverReader(settings)
    try:
        found = [row for part in parts for row in rows_of(reader, table, part)]
    finally:
        reader.close()
    assert found == [number.to_bytes(4, "big") for number in range(500)]


def test_a_sample_that_fails_or_is_too_thin_becomes_a_scan(
    source_db: MssqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    source_db.execute_script("CREATE TABLE dbo.T (id int NOT NULL PRIMARY KEY)")
    source_db.execute_script("INSERT INTO dbo.T VALUES (1), (2), (3), (4)")
    table = tables_of(source_db)["dbo.T"]
    source = connect_source(settings_of(source_db))
    try:
        monkeypatch.setattr(ranges, "MOST_SAMPLED", 10)
        for part in (0.29, 2.0):  # 29 per cent of four rows; 200 per cent, which no server takes
            monkeypatch.setattr(ranges, "_sampled_part", lambda *_, part=part: part)
            parts = plan_ranges(source, table, max_ranges=2, min_rows=1, row_estimate=4)
            assert parts == [KeyRange(0, None, ("2",), 2), KeyRange(1, ("2",), None, 2)]
    finally:
        source.close()
