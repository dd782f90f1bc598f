"""What the tests of `validate` share: a source of every type and kind of key, migrated once, and a copy per test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mssql_pg_migrate import Config, Migration
from mssql_pg_migrate.events import AnyEvent
from mssql_pg_migrate.jobs.validate import validate
from mssql_pg_migrate.results import TableCheck, ValidationReport
from servers import MssqlDatabase, PgDatabase, PgServer, fresh_name

LONG = "REPLICATE(CAST(N'é🚀 long ' AS nvarchar(max)), 3000)"
FLIP = "set_byte({c}, octet_length({c}) - 1, 255 - get_byte({c}, octet_length({c}) - 1))"
LATER = "{c} + interval '1 microsecond'"

TYPES: list[tuple[str, str, str]] = [
    ("bit", "1", "NOT {c}"),
    ("tinyint", "255", "{c} - 1"),
    ("smallint", "-32768", "{c} + 1"),
    ("int", "2147483647", "-{c}"),
    ("bigint", "-9223372036854775808", "{c} + 1"),
    ("decimal(38,10)", "'1234567890123456789012345678.0123456789'", "{c} + 0.0000000001"),
    ("numeric(9,2)", "1.50", "-{c}"),
    ("money", "922337203685477.5807", "{c} - 0.0001"),
    ("smallmoney", "-214748.3648", "{c} * 10 / 100"),
    ("float", "0.1E0", "0.10000000000000002"),
    ("real", "1.5E0", "1.5000001"),
    ("char(5)", "'ab'", "' ab'"),
    ("varchar(20)", "'abc'", "'abC'"),
    ("varchar(30)", "'blank '", "'blank'"),
    ("nchar(5)", "N'日本'", "'日木'"),
    ("nvarchar(20)", "N'a🚀'", "'a🚁'"),
    ("nvarchar(30)", "N''", "NULL"),
    ("nvarchar(max)", LONG, "overlay({c} placing 'x' from 17000 for 1)"),
    ("text", "'plain'", "'plaim'"),
    ("ntext", "N'té'", "'te' || chr(769)"),
    ("xml", "N'<a>é</a>'", "'<a>è</a>'"),
    ("date", "'9999-12-31'", "{c} - 1"),
    ("time(7)", "'23:59:59.9999999'", "{c} - interval '1 microsecond'"),
    ("datetime", "'2010-05-05T10:10:10.003'", LATER),
    ("smalldatetime", "'2079-06-06T23:59:00'", LATER),
    ("datetime2(7)", "'0001-01-01T00:00:00.1234567'", LATER),
    ("datetimeoffset(7)", "'2024-02-29T12:00:00.123456+05:30'", LATER),
    ("binary(4)", "0x00FF", FLIP),
    ("varbinary(20)", "0x00", "''"),
    ("varbinary(max)", "CAST(REPLICATE(CAST('x' AS varchar(max)), 100000) AS varbinary(max))", FLIP),
    ("uniqueidentifier", "'6F9619FF-8B86-D011-B42D-00C04FC964FF'", "'ff19966f-868b-11d0-b42d-00c04fc964ff'"),
]
"""Declaration, a value, and the smallest change of it in PostgreSQL ({c} is the column)."""

KEYS: dict[str, tuple[str, list[str], str]] = {
    "KeyInt": ("Id int", ["-5", "7", "9"], "Id=-5"),
    "KeyGuid": (
        "Id uniqueidentifier",
        [f"'{digit * 8}-0000-0000-0000-00000000000{digit}'" for digit in "1ab"],
        "Id=11111111-0000-0000-0000-000000000001",
    ),
    "KeyText": ("Code nvarchar(20) COLLATE Latin1_General_CI_AS", ["N'a b'", "N'ä'", "N'Z'"], "Code=a b"),
    "KeyChar": ("Code char(5)", ["'x'", "'xy'", "'Z'"], "Code=x"),
    "KeyDecimal": ("Amount decimal(20,4)", ["1.5", "20000", "-3"], "Amount=1.5000"),
    "KeyTime": ("At datetime2(3)", ["'2020-01-02T03:04:05.678'", "'2021-01-01'"], "At=2020-01-02T03:04:05.678"),
    "KeyBytes": ("Hash binary(4)", ["0x01FF0000", "0x02000000", "0x00000000"], "Hash=0x01FF0000"),
    "KeyFloat": ("X float", ["0.1E0", "2E0", "-3E0"], "X=0.1"),
}
"""Table -> its key column, key values, and how a report names the first of them."""


def source_script() -> str:
    """T-SQL of the whole source."""
    columns = ", ".join(f"c{number} {declared} NULL" for number, (declared, _, _) in enumerate(TYPES))
    values = ", ".join(value for _, value, _ in TYPES)
    nulls = ", ".join("NULL" for _ in TYPES)
    parts = [f"CREATE TABLE dbo.Everything (Id int NOT NULL CONSTRAINT PK_Everything PRIMARY KEY, {columns})", "GO"]
    parts += [f"INSERT INTO dbo.Everything VALUES ({number}, {values})" for number in range(len(TYPES))]
    parts += [f"INSERT INTO dbo.Everything VALUES ({1000 + number}, {nulls})" for number in range(len(TYPES))]
    for name, (declared, keys, _) in KEYS.items():
        parts.append(f"CREATE TABLE dbo.{name} ({declared} NOT NULL CONSTRAINT PK_{name} PRIMARY KEY, v nvarchar(20))")
        parts += ["GO", *(f"INSERT INTO dbo.{name} VALUES ({key}, N'value')" for key in keys)]
    parts.append(
        """
CREATE TABLE dbo.KeyTwo (b int NOT NULL, v nvarchar(20), a date NOT NULL, CONSTRAINT PK_KeyTwo PRIMARY KEY (a, b));
CREATE TABLE dbo.Heap (a int NULL, b nvarchar(max) NULL, c datetime2(7) NULL, d bit NULL, e int NULL);
CREATE TABLE dbo.Many (Id int NOT NULL CONSTRAINT PK_Many PRIMARY KEY, v nvarchar(40) NULL, g uniqueidentifier NULL);
CREATE TABLE dbo.Nothing (Id int NOT NULL CONSTRAINT PK_Nothing PRIMARY KEY);
GO
INSERT INTO dbo.KeyTwo VALUES (1, N'x', '2020-01-01'), (2, N'x', '2020-01-01'), (1, N'x', '2020-01-02');
INSERT INTO dbo.Heap VALUES (1, N'twice', NULL, 1, 1), (1, N'twice', NULL, 1, 1), (2, NULL, '2020-01-01', 0, NULL),
    (NULL, NULL, NULL, NULL, NULL), (NULL, NULL, NULL, NULL, NULL);
INSERT INTO dbo.Many VALUES (1, N'row', '00000000-0000-0000-0000-000000000001');
GO
"""
    )
    for power in range(12):
        name = f"N'row ' + CAST(Id + {2**power} AS nvarchar(12))"
        parts += [f"INSERT INTO dbo.Many SELECT Id + {2**power}, {name}, g FROM dbo.Many", "GO"]
    return "\n".join(parts)


MANY = 2**12
TABLES = {"Everything", "KeyTwo", "Heap", "Many", "Nothing", *KEYS}
SMALL_RANGES: dict[str, Any] = {
    "large_table_threshold": 1000,
    "min_rows_per_partition": 500,
    "max_partitions": 5,
    "chunk_size": 300,
}


@dataclass
class Pair:
    """A source and a target, and the calls of the tool on them."""

    source: MssqlDatabase
    target: PgDatabase

    def config(self, *, reader: str = "auto", **migration: Any) -> Config:
        """A configuration."""
        return Config.from_dict(
            {
                "source": {**self.source.section(), "reader": reader},
                "target": self.target.section(),
                "migration": migration,
            }
        )

    def run(self, **options: Any) -> None:
        """Migrate; the test fails when that does."""
        result = Migration(self.config(**options)).run()
        assert result.status == "completed", [table.error for table in result.failed_tables] + result.problems

    def validate(
        self,
        *,
        checksum: bool = True,
        events: list[AnyEvent] | None = None,
        stopped: Callable[[], bool] = lambda: False,
        **options: Any,
    ) -> ValidationReport:
        """Compare; events are appended to ``events``."""
        sink = (events if events is not None else []).append
        return validate(self.config(**options), checksum=checksum, on_event=sink, stopped=stopped)

    def check(self, table: str, **options: Any) -> TableCheck:
        """The comparison of one table's contents."""
        report = self.validate(include_tables=[table], **options)
        (found,) = report.tables
        assert found.table == table
        assert report.equal == found.equal
        return found


def copy_of(server: PgServer, template: PgDatabase) -> PgDatabase:
    """A database with the contents of another one."""
    name = fresh_name("dst")
    server.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template.name}"')
    return PgDatabase(server, name)


def numbers(check: TableCheck) -> tuple[int | None, int | None, int | None]:
    """Missing, extra, changed."""
    return check.missing, check.extra, check.changed
