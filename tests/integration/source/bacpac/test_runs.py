"""Packages migrated as a user does: one command, all modes, interrupted and resumed, validated, broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from bcp_rows import MAX, Column
from packages import Table, element, prop, reference, relation, script, write_package
from servers import MssqlDatabase, PgDatabase, PgServer

pytestmark = pytest.mark.timeout(300)


class Tool:
    """The command line over a package and a target."""

    def __init__(self, folder: Path, path: Path, target: PgDatabase, kind: str = "bacpac", **migration: Any) -> None:
        self.config = folder / "config.yaml"
        self.state = folder / "run.state"
        section = target.section("${TEST_POSTGRES_PASSWORD}")
        data = {
            "source": {"type": kind, "path": str(path), "schema": "*"},
            "target": section,
            "migration": migration,
        }
        self.config.write_text(yaml.safe_dump(data))
        self.environment = {**os.environ, "TEST_POSTGRES_PASSWORD": target.password}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command to its end."""
        options = ["-c", str(self.config), "--state-file", str(self.state), "--output-json"]
        return tool(*options, *arguments, environment=self.environment)

    def result(self, *arguments: str) -> dict[str, Any]:
        """Its document; the command must succeed."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def tool(*arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the program."""
    command = [sys.executable, "-m", "mssql_pg_migrate", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)


ORDERS = Table(
    "Order Details",
    [
        Column("int", name="id"),
        Column("nvarchar", True, 40, name="Name"),
        Column("decimal", precision=9, scale=2, name="price"),
        Column("char", length=3, name="code"),
        Column("xml", True, name="doc"),
        Column("geography", True, name="place"),
        Column("varbinary", True, MAX, name="blob"),
        Column("datetime2", True, scale=7, name="at"),
    ],
    [
        [
            [number, f"Ü {number}", f"{number}.25", "abc", (None, "<a/>")[number % 2], None, b"0" * (number % 9), None]
            for number in range(part * 100, part * 100 + 100)
        ]
        for part in range(3)
    ],
    key=["id"],
    computed={"gross": "([price]*(2))"},
    properties={"id": {"IsIdentity": "True", "IdentitySeed": "0"}},
)  # fmt: skip
HEAP = Table("Heap", [Column("int", True, name="n")], [[[i] for i in range(50)] for _ in range(4)], schema="Sales")
FILTER = element(
    "SqlIndex",
    "[dbo].[Order Details].[IX_code]",
    prop("IsUnique", "False"),
    relation(
        "ColumnSpecifications",
        element("SqlIndexedColumnSpecification", None, relation("Column", reference("dbo", "Order Details", "code"))),
    ),
    relation("IndexedObject", reference("dbo", "Order Details")),
)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Two tables in two schemas, one without a key."""
    return write_package(tmp_path / "shop.bacpac", [ORDERS, HEAP], elements=FILTER)


def test_one_command_from_file_to_database(tmp_path: Path, package: Path, target_db: PgDatabase, pg: PgServer) -> None:
    """--from and --to, the password from PGPASSWORD; again, with the password in the URL, it is replaced."""
    plain = f"postgresql://{target_db.user}@{target_db.host}:{target_db.port}/{target_db.name}"
    environment = {**os.environ, "PGPASSWORD": target_db.password}
    done = tool("--output-json", "run", "--from", str(package), "--to", plain, environment=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    rows = {table["table"]: table["rows_transferred"] for table in result["tables"]}
    assert rows == {"dbo.Order Details": 300, "Sales.Heap": 200}
    assert target_db.execute('SELECT count(*), sum(price), max(gross), max(code) FROM dbo."Order Details"') == [
        (300, sum(number + 0.25 for number in range(300)), 598.5, "abc")
    ]
    assert target_db.execute('SELECT n, count(*) FROM "Sales"."Heap" GROUP BY n HAVING count(*) <> 4') == []
    target_db.execute("INSERT INTO dbo.\"Order Details\" (price, code) VALUES (1, 'x') RETURNING id")
    assert target_db.execute('SELECT max(id), max(gross) FROM dbo."Order Details"') == [(300, 598.5)]
    url = plain.replace("//postgres@", f"//postgres:{target_db.password}@")
    again = tool("run", "--from", str(package), "--to", url, environment={**os.environ})
    assert again.returncode == 0, again.stdout + again.stderr
    assert target_db.execute('SELECT count(*) FROM dbo."Order Details"') == [(300,)]
    del tmp_path, pg


def test_every_mode_and_command(tmp_path: Path, package: Path, target_db: PgDatabase) -> None:
    """plan, schema, run, validate with and without contents, truncate, upsert, health-check, a report."""
    new = Tool(tmp_path, package, target_db)
    plan = new.result("plan")["plan"]
    assert plan["source"] == str(package)
    assert {table["source"]: table["estimated_rows"] for table in plan["tables"]} == {
        "dbo.Order Details": 300,
        "Sales.Heap": 200,
    }
    assert 'CREATE TABLE "dbo"."Order Details"' in new.result("schema")["pre_data"]
    health = new.run("health-check")
    assert health.returncode == 0, health.stdout + health.stderr
    side = json.loads(health.stdout)["sides"][0]
    assert side["ok"]
    assert "500, 500 by Origin.xml" in json.dumps(side)
    report = tmp_path / "report.html"
    result = new.result("run", "--report", str(report))
    assert sum(table["rows_transferred"] for table in result["tables"]) == 500
    assert "shop.bacpac" in report.read_text()
    assert new.result("validate")["equal"]
    assert new.result("validate", "--checksum")["equal"]
    target_db.execute('UPDATE dbo."Order Details" SET price = 7 WHERE id = 5')
    differs = new.run("validate", "--checksum")
    assert differs.returncode == 4
    assert "id=5" in differs.stdout or '"5"' in differs.stdout
    for mode in ("truncate", "upsert"):
        again = Tool(
            tmp_path, package, target_db, target_mode=mode, exclude_tables=["Heap"] if mode == "upsert" else []
        )
        again.state.unlink(missing_ok=True)
        again.result("run")
        assert again.result("validate", "--checksum")["equal"]


def test_checks_are_tried_on_rows_of_the_package(tmp_path: Path, target_db: PgDatabase) -> None:
    """PostgreSQL has no seventh decimal; of computed columns a package holds no values to compare with."""
    moments = [
        [[number, (date(2000, 1, 1), number)] for number in range(part * 10, part * 10 + 10)] for part in range(3)
    ]
    table = Table(
        "Moments",
        [Column("int", name="id"), Column("datetime2", scale=7, name="at")],
        moments,
        key=["id"],
        computed={"twice": "([id]*(2))"},
    )
    checks = "".join(
        element(
            "SqlCheckConstraint",
            f"[dbo].[{name}]",
            script("CheckExpressionScript", definition),
            relation("DefiningTable", reference("dbo", "Moments")),
        )
        for name, definition in {
            "CK_At": "[at]>'1999-12-31' AND ([id]=(0) OR [at]>'2000-01-01T00:00:00.0000000')",
            "CK_Twice": "[twice]>=(0)",
            "CK_Id": "[id]>=(0)",
        }.items()
    )
    path = write_package(tmp_path / "moments.bacpac", [table], elements=checks)
    new = Tool(tmp_path, path, target_db)
    notes = new.result("plan")["plan"]["notes"]
    (found,) = [note for note in notes if "sample" in note["message"]]
    assert (found["severity"], found["object"]) == ("not_carried", "dbo.Moments constraint CK_At")
    assert "id=1" in found["message"]
    new.result("run")
    names = target_db.execute("SELECT conname FROM pg_constraint WHERE conname LIKE 'CK%' ORDER BY 1")
    assert names == [("CK_Id",), ("CK_Twice",)]


def test_a_damaged_table_fails_and_the_others_arrive(tmp_path: Path, package: Path, target_db: PgDatabase) -> None:
    """The error names file and row; the run does not go on with another package, a new one works."""
    bad = "Data/Sales.Heap/TableData-002-00000.BCP"
    whole = package.read_bytes()
    write_package(package, [ORDERS, HEAP], replaced={bad: b"\x04\x01\x00\x00\x00\x05"})
    new = Tool(tmp_path, package, target_db)
    done = new.run("run")
    assert done.returncode == 3, done.stdout + done.stderr
    result = json.loads(done.stdout)
    states = {table["table"]: table for table in result["tables"]}
    assert states["dbo.Order Details"]["rows_transferred"] == 300
    assert f"row 2 of {bad}: column n (int)" in done.stdout
    health = new.run("health-check")
    assert health.returncode == 2
    assert f"row 2 of {bad}" in health.stdout
    package.write_bytes(whole)
    resumed = new.run("resume")
    assert resumed.returncode == 6, resumed.stdout
    assert "Sales.Heap" in resumed.stdout
    new.state.unlink()
    assert sum(table["rows_transferred"] for table in new.result("run")["tables"]) == 500


def test_fewer_rows_than_the_export_had(tmp_path: Path, target_db: PgDatabase) -> None:
    """All tables arrive, and the result says that the package is not complete."""
    path = write_package(tmp_path / "x.bacpac", [ORDERS, HEAP], total=501)
    done = Tool(tmp_path, path, target_db).run("run")
    assert done.returncode == 4, done.stdout + done.stderr
    assert "held 500 rows, and its Origin.xml tells of 501" in done.stdout


def test_a_schema_package(tmp_path: Path, target_db: PgDatabase) -> None:
    """plan, schema and run --schema-only; rows are refused before anything is touched."""
    bare = [Table(table.name, table.columns, schema=table.schema, key=table.key) for table in (ORDERS, HEAP)]
    path = write_package(tmp_path / "shop.dacpac", bare, total=0)
    new = Tool(tmp_path, path, target_db, kind="dacpac")
    assert len(new.result("plan")["plan"]["tables"]) == 2
    refused = new.run("run")
    assert refused.returncode == 1
    assert "--schema-only" in refused.stdout
    assert target_db.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'dbo'") == [(0,)]
    new.result("run", "--schema-only")
    assert target_db.execute('SELECT count(*) FROM dbo."Order Details"') == [(0,)]


def test_configurations_that_are_wrong(tmp_path: Path, package: Path, target_db: PgDatabase) -> None:
    """Keys of servers beside a package, no path, no file, half an address."""
    environment = {**os.environ}
    cases = [
        ({"type": "bacpac"}, "source.path: is required"),
        ({"type": "bacpac", "path": "nowhere.bacpac"}, "there is no file"),
        ({"type": "bacpac", "path": str(package), "host": "h", "reader": "wire"}, "source.host: is not for a bacpac"),
        ({"type": "mssql", "path": str(package)}, "source.path: is for packages"),
    ]
    config = tmp_path / "config.yaml"
    for source, message in cases:
        config.write_text(yaml.safe_dump({"source": source, "target": target_db.section()}))
        done = tool("-c", str(config), "plan", environment=environment)
        assert done.returncode == 1
        assert message in done.stderr
    for arguments, message in (
        (["--from", str(package)], "--from and --to go together"),
        (["--from", str(package), "--to", "mysql://x"], "--to: must be postgresql://"),
        (["--from", "oracle://x", "--to", "postgresql://u@h/d"], "--from: must be the path of a package"),
        (["--from", str(package), "--to", "postgresql://u@h"], "target.database: is required"),
    ):
        done = tool("run", *arguments, environment=environment)
        assert done.returncode == 1, done.stderr
        assert message in done.stderr


def test_killed_and_resumed(tmp_path: Path, target_db: PgDatabase) -> None:
    """``kill -9`` in the middle of two large tables, one without a key: resume goes on, every row once."""
    columns = [Column("int", name="n"), Column("nvarchar", True, 200, name="t")]
    files = [[[number, f"{number} " * 20] for number in range(part * 20_000, (part + 1) * 20_000)] for part in range(8)]
    tables = [Table("Keyed", columns, files, key=["n"]), Table("Heap", columns, files)]
    path = write_package(tmp_path / "x.bacpac", tables)
    new = Tool(tmp_path, path, target_db, chunk_size=2000, workers=2)
    command = [sys.executable, "-m", "mssql_pg_migrate", "-c", str(new.config), "--state-file", str(new.state), "run"]
    with subprocess.Popen(command, env=new.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            with suppress(psycopg.Error):
                if target_db.execute('SELECT count(*) FROM dbo."Heap"')[0][0] > 10_000:
                    break
            time.sleep(0.02)
        process.kill()
    before = target_db.execute('SELECT (SELECT count(*) FROM dbo."Heap"), (SELECT count(*) FROM dbo."Keyed")')[0]
    assert 0 < sum(before) < 320_000
    result = new.result("resume")
    assert sum(table["rows_transferred"] for table in result["tables"]) == 320_000
    for name in ("Heap", "Keyed"):
        found = target_db.execute(f'SELECT count(*), count(DISTINCT n), min(n), max(n) FROM dbo."{name}"')
        assert found == [(160_000, 160_000, 0, 159_999)]
    assert new.result("validate", "--checksum")["equal"]


def test_keys_that_would_be_one_row(tmp_path: Path, target_db: PgDatabase) -> None:
    """upsert refuses them before anything is touched; drop_recreate warns, and all rows arrive without the key."""
    day = date(2026, 1, 1)
    rows = [[[(day, 1), 1]], [[(day, 9), 2]]]
    table = Table("T", [Column("datetime2", scale=7, name="at"), Column("int", name="n")], rows, key=["at"])
    path = write_package(tmp_path / "x.bacpac", [table])
    refused = Tool(tmp_path, path, target_db, target_mode="upsert").run("run")
    assert refused.returncode == 3, refused.stdout
    assert "rows 1 and 2 have primary keys that differ only in the seventh decimal of seconds" in refused.stdout
    assert target_db.execute("SELECT count(*) FROM pg_tables WHERE tablename = 'T'") == [(0,)]
    done = Tool(tmp_path, path, target_db).run("run")
    assert "the primary key will not be there" in done.stdout
    assert target_db.execute('SELECT count(*) FROM dbo."T"') == [(2,)]


def test_from_a_server(source_db: MssqlDatabase, target_db: PgDatabase) -> None:
    """``--from mssql://``, both passwords from the environment."""
    source_db.execute_script(
        "CREATE TABLE dbo.T (id int NOT NULL PRIMARY KEY, t nvarchar(20)); INSERT INTO dbo.T VALUES (1, N'ü')"
    )
    section = source_db.section()
    source = f"mssql://{section['user']}@{section['host']}:{section['port']}/{section['database']}"
    source += "?encrypt=false&trust_server_cert=true"
    target = f"postgresql://{target_db.user}@{target_db.host}:{target_db.port}/{target_db.name}"
    environment = {**os.environ, "MSSQL_PASSWORD": section["password"], "POSTGRES_PASSWORD": target_db.password}
    done = tool("--output-json", "run", "--from", source, "--to", target, environment=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert target_db.execute('SELECT * FROM public."T"') == [(1, "ü")]
