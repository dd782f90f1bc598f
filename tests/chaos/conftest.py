"""A migration worth interrupting: tables with every kind of key, small chunks, several ranges."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator

import pytest

from chaos_common import LONG
from servers import MssqlDatabase, MssqlServer

SCHEMA = """
CREATE TABLE dbo.by_int (id int NOT NULL CONSTRAINT pk_by_int PRIMARY KEY, v nvarchar(100) NULL, d datetime2(3) NULL,
    m decimal(12,4) NULL, flag bit NOT NULL)
CREATE TABLE dbo.by_two (a int NOT NULL, b varchar(20) NOT NULL, v nvarchar(200) NULL,
    CONSTRAINT pk_by_two PRIMARY KEY (a, b DESC), CONSTRAINT fk_by_two FOREIGN KEY (a) REFERENCES dbo.by_int (id))
CREATE TABLE dbo.by_uuid (id uniqueidentifier NOT NULL CONSTRAINT pk_by_uuid PRIMARY KEY, v varbinary(50) NULL)
CREATE TABLE dbo.by_text (code nvarchar(40) NOT NULL CONSTRAINT pk_by_text PRIMARY KEY, n bigint NULL)
CREATE TABLE dbo.wide (id bigint NOT NULL CONSTRAINT pk_wide PRIMARY KEY, body nvarchar(max) NULL)
CREATE TABLE dbo.heap (a int NULL, b nvarchar(100) NULL)
CREATE INDEX ix_by_int ON dbo.by_int (d)
"""


def _rows(count: int) -> dict[str, list[str]]:
    pick = random.Random(7)
    ids = pick.sample(range(-count * 3, count * 9), count)
    words = ["", "a", "Zoë", "日本", "🚀 up", "x" * 60, "it''s"]

    def text() -> str:
        return "NULL" if pick.random() < 0.1 else f"N'{pick.choice(words)} {pick.randrange(10**6)}'"

    return {
        "by_int": [
            f"({i}, {text()}, '20{pick.randrange(10, 24)}-03-0{pick.randrange(1, 9)}T10:11:12."
            f"{pick.randrange(1000):03}', {pick.randrange(10**7) / 10000:.4f}, {pick.randrange(2)})"
            for i in ids
        ],
        "by_two": [f"({pick.choice(ids)}, 'k{number:06}', {text()})" for number in range(count)],
        "by_uuid": [f"('{uuid.UUID(int=pick.getrandbits(128))}', 0x{pick.getrandbits(80):020x})" for _ in range(count)],
        "by_text": [f"(N'{pick.choice('abcXYZéß')}{number}', {number})" for number in range(count)],
        "wide": [
            f"({number * 7}, N'{pick.choice('aé日') * pick.randrange(1, 9000)}')" for number in range(count // 20)
        ],
        "heap": [f"({pick.randrange(50)}, {text()})" for _ in range(count // 2)],
    }


@pytest.fixture(scope="session")
def chaos_source(mssql: MssqlServer) -> Iterator[MssqlDatabase]:
    """The source database of all chaos tests; they only read it."""
    database = mssql.new_database()
    script = [SCHEMA]
    for table, rows in _rows(4000 if LONG else 1800).items():
        size = 20 if table == "wide" else 500
        for start in range(0, len(rows), size):
            script.append(f"INSERT INTO dbo.{table} VALUES\n" + ",\n".join(rows[start : start + size]))
    database.execute_script("\nGO\n".join(script))
    yield database
    database.drop()
