"""Clients nobody here wrote connect, plain and encrypted, and read the same values."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from servers import MssqlDatabase, MssqlServer
from tsql_sandbox import SandboxServer

pytestmark = pytest.mark.sandbox_only

SCRIPT = """
CREATE TABLE dbo.Things (
    Id int IDENTITY(1,1) NOT NULL CONSTRAINT PK_Things PRIMARY KEY, Name nvarchar(40) NOT NULL, Price money NULL,
    Exact decimal(20,6) NULL, Made datetime2(3) NULL, Day date NULL, Mark uniqueidentifier NULL,
    Data varbinary(20) NULL, Flag bit NULL, Ratio float NULL, Big nvarchar(max) NULL, Old text NULL,
    Narrow varchar(20) NULL)
GO
INSERT INTO dbo.Things (Name, Price, Exact, Made, Day, Mark, Data, Flag, Ratio, Big, Old, Narrow) VALUES
    (N'Größe 🚀', 12.34, -1.000001, '2024-02-29 12:34:56.789', '0001-01-01', '6F9619FF-8B86-D011-B42D-00C04FC964FF',
     0x00FF, 1, 1.5, REPLICATE(CAST(N'é' AS nvarchar(max)), 9000), 'old', 'café'),
    (N'', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
"""
VALUES = (
    1,
    "Größe 🚀",
    Decimal("12.34"),
    Decimal("-1.000001"),
    dt.datetime(2024, 2, 29, 12, 34, 56, 789000),
    dt.date(1, 1, 1),
    UUID("6F9619FF-8B86-D011-B42D-00C04FC964FF"),
    b"\x00\xff",
    True,
    1.5,
    "é" * 9000,
    "old",
    "café",
)
CATALOG = """
SELECT t.name, c.name, y.name FROM sys.tables AS t JOIN sys.columns AS c ON c.object_id = t.object_id
JOIN sys.types AS y ON y.user_type_id = c.user_type_id WHERE t.name = N'Things' AND c.column_id <= 3
ORDER BY c.column_id
"""


@pytest.fixture(scope="module")
def things(mssql: MssqlServer) -> Iterator[MssqlDatabase]:
    database = mssql.new_database()
    database.execute_script(SCRIPT)
    yield database
    database.drop()


@pytest.mark.parametrize("encrypt", [False, True])
class TestMssqlPython:
    def test_values_and_catalog(self, things: MssqlDatabase, encrypt: bool) -> None:
        connection = things.connect(encrypt=encrypt)
        cursor = connection.cursor()
        cursor.execute("SELECT * FROM dbo.Things WHERE Id = ?", 1)
        assert [tuple(row) for row in cursor.fetchall()] == [VALUES]
        cursor.execute("SELECT * FROM dbo.Things ORDER BY Id DESC")
        assert tuple(cursor.fetchone()) == (2, "", *[None] * 11)
        cursor.execute(CATALOG)
        assert [tuple(row) for row in cursor.fetchall()] == [
            ("Things", "Id", "int"),
            ("Things", "Name", "nvarchar"),
            ("Things", "Price", "money"),
        ]
        connection.close()

    def test_arrow(self, things: MssqlDatabase, encrypt: bool) -> None:
        connection = things.connect(encrypt=encrypt)
        cursor = connection.cursor()
        cursor.execute("SELECT Id, Name, Price, Made, Data, Big FROM dbo.Things ORDER BY Id")
        table = cursor.arrow()
        assert table.column("Name").to_pylist() == ["Größe 🚀", ""]
        assert table.column("Price").to_pylist() == [Decimal("12.3400"), None]
        assert table.column("Made").to_pylist() == [VALUES[4], None]
        assert table.column("Big").to_pylist() == ["é" * 9000, None]
        connection.close()

    def test_parameters_of_every_kind(self, things: MssqlDatabase, encrypt: bool) -> None:
        connection = things.connect(encrypt=encrypt)
        cursor = connection.cursor()
        values: tuple[Any, ...] = (5, "ü😀", Decimal("1.25"), VALUES[4], dt.date(2020, 1, 2), b"\x01", True, 2.5, None)
        cursor.execute("SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?", values)
        assert tuple(cursor.fetchone()) == values
        connection.close()

    def test_transactions(self, things: MssqlDatabase, encrypt: bool) -> None:
        connection = things.connect(encrypt=encrypt, autocommit=False)
        cursor = connection.cursor()
        cursor.execute("INSERT INTO dbo.Things (Name) VALUES (N'gone')")
        connection.rollback()
        cursor.execute("SELECT COUNT(*) FROM dbo.Things WHERE Name = N'gone'")
        assert cursor.fetchone()[0] == 0
        connection.rollback()
        connection.close()

    def test_an_abandoned_result_does_not_break_the_connection(self, things: MssqlDatabase, encrypt: bool) -> None:
        connection = things.connect(encrypt=encrypt)
        cursor = connection.cursor()
        cursor.execute("SELECT a.number, b.number FROM master..spt_values a CROSS JOIN master..spt_values b")
        assert cursor.fetchone() is not None
        cursor.close()
        cursor = connection.cursor()
        cursor.execute("SELECT 1")
        assert cursor.fetchone()[0] == 1
        connection.close()

    def test_executemany(self, things: MssqlDatabase, encrypt: bool) -> None:
        connection = things.connect(encrypt=encrypt)
        cursor = connection.cursor()
        cursor.execute("CREATE TABLE #many (a int PRIMARY KEY, b nvarchar(20))")
        cursor.executemany("INSERT INTO #many VALUES (?, ?)", [(i, f"row {i}") for i in range(50)])
        cursor.execute("SELECT COUNT(*), MAX(b) FROM #many")
        assert tuple(cursor.fetchone()) == (50, "row 9")
        connection.close()


@pytest.mark.parametrize("encrypt", [False, True])
def test_python_tds(things: MssqlDatabase, tmp_path: Path, encrypt: bool) -> None:
    pytds = pytest.importorskip("pytds")
    options: dict[str, Any] = {}
    if encrypt:
        assert things.server.sandbox is not None
        (tmp_path / "ca.pem").write_text(things.server.sandbox.certificate())
        options = {"cafile": str(tmp_path / "ca.pem"), "validate_host": True}
    with pytds.connect(
        "localhost" if encrypt else things.server.host,
        database=things.name,
        user=things.server.user,
        password=things.server.password,
        port=things.server.port,
        autocommit=True,
        **options,
    ) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT * FROM dbo.Things WHERE Id = %s", (1,))
        assert cursor.fetchall() == [VALUES]
        cursor.execute(CATALOG)
        assert [row[1] for row in cursor.fetchall()] == ["Id", "Name", "Price"]
        cursor.execute("SELECT TOP (1) Name FROM dbo.Things ORDER BY Id DESC")
        assert cursor.fetchall() == [("",)]


def freetds(program: str, things: MssqlDatabase, folder: Path, encryption: str, sql: str) -> str:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} of FreeTDS is not installed")
    config = folder / "freetds.conf"
    config.write_text(
        f"[sandbox]\nhost = {things.server.host}\nport = {things.server.port}\ntds version = 7.4\n"
        f"encryption = {encryption}\nclient charset = UTF-8\n"
    )
    login = ["-U", things.server.user, "-P", things.server.password, "-D", things.name]
    done = subprocess.run(
        [path, "-S", "sandbox", *login, *(["-t", "|", "-q"] if program == "bsqldb" else [])],
        input=sql,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "FREETDSCONF": str(config), "LC_ALL": "C.UTF-8"},
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("encryption", ["off", "request", "require"])
def test_tsql(things: MssqlDatabase, tmp_path: Path, encryption: str) -> None:
    sql = "SELECT Id, Name, Price, Exact, Mark, Flag, Narrow FROM dbo.Things WHERE Id = 1\n"
    sql += "SELECT * FROM nosuch\ngo\nexit\n"
    said = freetds("tsql", things, tmp_path, encryption, sql)
    assert "1\tGröße 🚀\t12.3400\t-1.000001\t6F9619FF-8B86-D011-B42D-00C04FC964FF\t1\tcafé" in said
    assert "Msg 208" in said
    assert "Invalid object name 'nosuch'." in said
    catalog = freetds("tsql", things, tmp_path, encryption, f"{CATALOG}\ngo\nexit\n")
    assert "Things\tPrice\tmoney" in catalog


def test_bsqldb(things: MssqlDatabase, tmp_path: Path) -> None:
    said = freetds("bsqldb", things, tmp_path, "off", "SELECT Id, Name, Price FROM dbo.Things ORDER BY Id\ngo\n")
    assert "1|Größe 🚀|12.34" in said


def test_fisql(things: MssqlDatabase, tmp_path: Path) -> None:
    said = freetds("fisql", things, tmp_path, "off", "SELECT Narrow FROM dbo.Things WHERE Id = 1\ngo\nquit\n")
    assert "café" in said


class TestRefusals:
    def test_wrong_password(self, mssql: MssqlServer) -> None:
        import mssql_python

        with pytest.raises(Exception, match="Login failed for user"):
            mssql_python.connect(mssql.connection_string().replace(mssql.password, "wrong"))

    def test_missing_database(self, mssql: MssqlServer) -> None:
        import mssql_python

        with pytest.raises(Exception, match=r"Login failed|Cannot open database"):
            mssql_python.connect(mssql.connection_string("no such database"))


class TestEncryption:
    def test_strict_with_a_certificate_that_is_checked(self, mssql: MssqlServer, tmp_path: Path) -> None:
        import mssql_python

        assert mssql.sandbox is not None
        (tmp_path / "server.pem").write_text(mssql.sandbox.certificate())
        options = f"Encrypt=strict;ServerCertificate={tmp_path / 'server.pem'}"
        text = mssql.connection_string().replace("Encrypt=no;TrustServerCertificate=yes", options)
        connection = mssql_python.connect(text.replace(mssql.host, "localhost"))
        cursor = connection.cursor()
        cursor.execute("SELECT 1")
        assert cursor.fetchone()[0] == 1
        connection.close()

    def test_a_server_that_insists_and_one_that_cannot(self) -> None:
        import mssql_python

        with SandboxServer(force_encryption=True) as server:
            connection = mssql_python.connect(server.connection_string(encrypt=False))
            cursor = connection.cursor()
            cursor.execute("SELECT 1")
            assert cursor.fetchone()[0] == 1
            connection.close()
        with SandboxServer(tls=False) as server:
            mssql_python.connect(server.connection_string(encrypt=False)).close()
            with pytest.raises(Exception, match="Encryption not supported"):
                mssql_python.connect(server.connection_string(encrypt=True))
