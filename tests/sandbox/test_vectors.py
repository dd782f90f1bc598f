"""vector: kept with every bit, shown as SQL Server 2025 shows it, refused where it would refuse."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from mssql_pg_migrate.tds.client import Client, ClientSettings
from sandbox_tools import RawClient
from servers import MssqlServer

pytestmark = pytest.mark.sandbox_only


@pytest.fixture(scope="module")
def raw(mssql: MssqlServer) -> Iterator[RawClient]:
    database = mssql.new_database()
    with RawClient(mssql, database.name) as client:
        yield client
    database.drop()


def test_a_vector_is_shown_with_eight_digits(raw: RawClient) -> None:
    raw.run("DROP TABLE IF EXISTS v; CREATE TABLE v (a vector(3)); INSERT v VALUES (' [0.1, -2, 3e38] '), (NULL)")
    text = "[1.0000000e-001,-2.0000000e+000,3.0000000e+038]"
    assert raw.rows("SELECT a, CAST(a AS nvarchar(max)), CONVERT(varchar(200), a) FROM v WHERE a IS NOT NULL") == [
        [text, text, text]
    ]
    assert raw.rows("SELECT COUNT(*) FROM v WHERE a IS NULL") == [[1]]


@pytest.mark.parametrize(
    ("text", "number"), [("[1, 2]", 42204), ("[1, 2, 3, 4]", 42204), ("1, 2, 3", 13670), ('[1, 2, "3"]', 13670)]
)
def test_what_is_no_vector_of_that_size_is_refused(raw: RawClient, text: str, number: int) -> None:
    raw.run("DROP TABLE IF EXISTS v; CREATE TABLE v (a vector(3))")
    assert raw.run(f"INSERT v VALUES ('{text}')").numbers == [number]


def test_a_client_that_asks_gets_the_binary_form(mssql: MssqlServer) -> None:
    """The tool's own client does."""
    settings = ClientSettings(
        host=mssql.host, port=mssql.port, user=mssql.user, password=mssql.password, encrypt=mssql.encrypt,
        trust_server_cert=True,
    )  # fmt: skip
    client = Client(settings)
    try:
        rows = client.query("SELECT CAST('[0.1, 8191.9995]' AS vector(2)) AS a")
        assert rows is not None
        (column,) = rows.columns
        assert (column.type_id, column.length, column.scale) == (0xF5, 16, 0)
        assert struct.pack("<2f", 0.1, 8191.9995) in bytes(rows.payload)
    finally:
        client.close()
