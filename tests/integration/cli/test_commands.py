"""The command line against real servers: the guide's examples as printed, exit codes, signals, streams."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from mssql_pg_migrate import _kernel
from servers import MssqlDatabase, MssqlServer, PgDatabase, PgServer

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "output.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
SCRIPT = """
CREATE TABLE dbo.Users (Id int NOT NULL IDENTITY(1,1) CONSTRAINT PK_Users PRIMARY KEY, Name nvarchar(50) NOT NULL,
    Made datetime2(7) NULL);
CREATE TABLE dbo.[Order "Details"] (Id int NOT NULL CONSTRAINT PK_Order PRIMARY KEY, UserId int NULL
    CONSTRAINT FK_Order_User REFERENCES dbo.Users (Id), Note nvarchar(max) NULL);
CREATE INDEX IX_Order_User ON dbo.[Order "Details"] (UserId);
GO
INSERT INTO dbo.Users (Name, Made) VALUES (N'Ann', '2020-01-02T03:04:05.1234567'), (N'Zoë', NULL), (N'漢字', NULL);
INSERT INTO dbo.[Order "Details"] (Id, UserId, Note) VALUES (1, 1, N'x'), (2, 2, N'say "hi"\\'), (3, NULL, NULL);
GO
"""
ROWS = 6


@dataclass
class Shop:
    """A source and a target database, and a folder with a configuration for them."""

    folder: Path
    source: MssqlDatabase
    target: PgDatabase

    def configure(self, name: str = "config.yaml", **sections: dict[str, Any]) -> Path:
        """Write the configuration; passwords come from the environment as in the guide."""
        data: dict[str, dict[str, Any]] = {
            "source": self.source.section("${MSSQL_PASSWORD}"),
            "target": self.target.section("${POSTGRES_PASSWORD}"),
            "migration": {},
        }
        for section, changes in sections.items():
            data[section].update(changes)
        path = self.folder / name
        path.write_text(json.dumps(data))
        return path

    @property
    def environment(self) -> dict[str, str]:
        """Passwords, and the installed command on the path."""
        return {
            **os.environ,
            "MSSQL_PASSWORD": self.source.server.password,
            "POSTGRES_PASSWORD": self.target.password,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the command."""
        return subprocess.Popen(
            [sys.executable, "-m", "mssql_pg_migrate", *arguments],
            cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def finish(self, process: subprocess.Popen[str], within: float = 300) -> tuple[int, str, str]:
        """Exit code, stdout, stderr of a process; see ``checked``."""
        try:
            out, err = process.communicate(timeout=within)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        return self.checked(process.returncode, out, err)

    def checked(self, code: int, out: str, err: str) -> tuple[int, str, str]:
        """The same; no traceback and no password is in either text."""
        assert "Traceback" not in out + err
        for secret in (self.source.server.password, self.target.password):
            assert len(secret) < 4 or secret == self.target.user or secret not in out + err
        return code, out, err

    def tool(self, *arguments: str) -> tuple[int, str, str]:
        """Run the command to its end, within this process: starting one takes longer than most of these runs."""
        from mssql_pg_migrate.cli.app import run

        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(self.folder)
            for name, value in self.environment.items():
                patch.setenv(name, value)
            code = run(list(arguments))
        return self.checked(code, out.getvalue(), err.getvalue())

    def document(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """The checked JSON document of a command that must end with ``code``."""
        found, out, err = self.tool(*arguments)
        assert found == code, err
        data: dict[str, Any] = json.loads(out)
        VALIDATOR.validate(data)
        return data

    def shell(self, script: str) -> str:
        """The output of a shell script, which must succeed."""
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail\n{script}"],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def counts(self) -> list[int]:
        """Rows of both target tables."""
        return [
            self.target.execute(f"SELECT count(*) FROM {name}")[0][0] for name in ('"Users"', '"Order ""Details"""')
        ]


@pytest.fixture(scope="module")
def shop_source(mssql: MssqlServer) -> Iterator[MssqlDatabase]:
    database = mssql.new_database()
    database.execute_script(SCRIPT)
    yield database
    database.drop()


@pytest.fixture
def shop(tmp_path: Path, shop_source: MssqlDatabase, target_db: PgDatabase) -> Shop:
    found = Shop(tmp_path, shop_source, target_db)
    found.configure()
    return found


needs_jq = pytest.mark.skipif(shutil.which("jq") is None or shutil.which("bash") is None, reason="needs bash and jq")


class TestTheGuidesExamples:
    """As printed there, with the installed command."""

    def test_dry_run_changes_nothing(self, shop: Shop) -> None:
        code, out, _ = shop.tool("-c", "config.yaml", "run", "--dry-run")
        assert code == 0
        assert out.startswith("Plan: ")
        assert "datetime2(7)" in out
        assert "min(max(cores/2, 4), 8)" in out
        assert shop.target.execute("SELECT count(*) FROM pg_class WHERE relname IN ('Users', '_mpm_run')") == [(0,)]

    def test_basic_migration(self, shop: Shop) -> None:
        code, out, err = shop.finish(shop.start("-c", "config.yaml", "run"))
        assert code == 0
        assert out.startswith("Migration completed: 2 tables, 6 rows in ")
        assert "run " in err
        assert shop.counts() == [3, 3]

    def test_without_the_compiled_part_it_runs_and_says_so_once(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_kernel, "_module", None)
        monkeypatch.setattr(_kernel, "_reason", "the compiled transcoder is not installed")
        code, out, err = shop.tool("run")
        assert code == 0
        assert shop.counts() == [3, 3]
        assert err.count("the compiled transcoder is not installed") == 1
        assert "all tables go through the slower driver: the compiled" in err
        assert out.count("the compiled transcoder is not installed") == 1
        assert "all tables: the compiled" in out

    def test_with_resume_capability(self, shop: Shop) -> None:
        assert shop.tool("-c", "config.yaml", "--state-file", "migration.state", "run")[0] == 0
        state = json.loads((shop.folder / "migration.state").read_text())
        assert state["status"] == "completed"
        document = shop.document("-c", "config.yaml", "--state-file", "migration.state", "--output-json", "resume")
        assert document["run_id"] == state["run_id"]
        assert document["rows_transferred"] == ROWS

    def test_json_output_for_airflow(self, shop: Shop) -> None:
        document = shop.document("-c", "config.yaml", "--output-json", "run")
        assert (document["status"], document["rows_transferred"], document["mode"]) == ("completed", 6, "drop_recreate")
        assert {table["table"]: table["rows_transferred"] for table in document["tables"]} == {
            "Users": 3,
            'Order "Details"': 3,
        }
        assert document["peak_memory_bytes"] > 10_000_000

    def test_the_airflow_task(self, shop: Shop) -> None:
        """BashOperator merges both streams and keeps the last line for XCom."""
        text = shop.shell(
            "mssql-pg-migrate \\\n -c config.yaml \\\n --state-file run.state \\\n"
            " --output-json \\\n --progress \\\n run 2>&1"
        )
        lines = [json.loads(line) for line in text.splitlines()]
        VALIDATOR.validate(lines[-1])
        assert lines[-1]["status"] == "completed"
        assert all("table" in line and "rows_transferred" in line for line in lines)
        text = shop.shell("mssql-pg-migrate -c config.yaml --output-json validate 2>/dev/null")
        assert json.loads(text)["equal"] is True

    @needs_jq
    def test_progress_monitoring(self, shop: Shop) -> None:
        text = shop.shell(
            "mssql-pg-migrate -c config.yaml --progress run 2>&1 | \\\n"
            '    while read line; do echo "$line" | jq -r \'.table + ": " + (.rows_transferred | tostring)\'; done'
        )
        lines = text.splitlines()
        assert "Users: 3" in lines
        assert lines[-1] == "*: 6"
        assert all(line.rpartition(": ")[2].isdigit() for line in lines)

    @needs_jq
    def test_json_log_format_for_parsing(self, shop: Shop) -> None:
        text = shop.shell("mssql-pg-migrate -c config.yaml --log-format json run 2>&1 | jq -c '[.level, .status]'")
        lines = [json.loads(line) for line in text.splitlines()]
        assert lines[-1] == [None, "completed"]
        assert {level for level, _ in lines[:-1]} == {"info"}

    def test_debug_logging(self, shop: Shop) -> None:
        code, _, err = shop.tool("-c", "config.yaml", "--verbosity", "debug", "run")
        assert code == 0
        assert "DEBUG" in err

    def test_validate(self, shop: Shop) -> None:
        shop.tool("run")
        code, out, _ = shop.tool("-c", "config.yaml", "validate")
        assert code == 0
        assert "equal" in out
        shop.target.execute('DELETE FROM "Order ""Details""" WHERE "Id" = 2')
        document = shop.document("-c", "config.yaml", "--output-json", "validate", code=4)
        assert document["error"] == '1 of 2 tables differ: Order "Details"'

    def test_validate_contents(self, shop: Shop) -> None:
        shop.tool("run")
        assert shop.document("--output-json", "validate", "--checksum")["equal"] is True
        shop.target.execute("""UPDATE "Users" SET "Name" = 'Zoe' WHERE "Id" = 2""")
        document = shop.document("--output-json", "validate", "--checksum", code=4)
        users = next(table for table in document["tables"] if table["table"] == "Users")
        assert (users["changed"], users["missing"], users["extra"]) == (1, 0, 0)
        assert any("2" in key for key in users["sample_keys"]["changed"])

    def test_health_check(self, shop: Shop) -> None:
        code, out, _ = shop.tool("-c", "config.yaml", "health-check")
        assert code == 0
        assert "source: ok" in out
        assert "target: ok" in out
        document = shop.document("--output-json", "health-check")
        assert [side["side"] for side in document["sides"]] == ["source", "target"]


class TestPlanAndSchema:
    """plan, run --dry-run, schema."""

    def test_plan_as_json(self, shop: Shop) -> None:
        plan = shop.document("plan", "--output-json")["plan"]
        users = next(table for table in plan["tables"] if table["source"] == "dbo.Users")
        assert users["target"] == "public.Users"
        made = next(column for column in users["columns"] if column["source"] == "Made")
        assert (made["source_type"], made["target_type"]) == ("datetime2(7)", "timestamp")
        assert made["lossy"]
        assert plan["tuning"]["workers"]["value"] >= 1
        assert shop.document("run", "--dry-run", "--output-json")["dry_run"] is True

    def test_overrides(self, shop: Shop) -> None:
        plan = shop.document("plan", "--output-json", "--target-schema", "app", "--workers", "3")["plan"]
        assert plan["tuning"]["workers"]["value"] == 3
        assert {table["target"].split(".")[0] for table in plan["tables"]} == {"app"}

    def test_a_schema_that_is_not_there(self, shop: Shop) -> None:
        code, _, err = shop.tool("plan", "--source-schema", "nowhere")
        assert code in (1, 3)
        assert "nowhere" in err

    def test_the_printed_schema_is_complete(self, shop: Shop, pg: PgServer) -> None:
        code, out, _ = shop.tool("schema")
        assert code == 0
        parts = [shop.tool("schema", part)[1] for part in ("--pre-data", "--post-data")]
        assert "CREATE TABLE" in parts[0]
        assert "CREATE TABLE" not in parts[1]
        assert "PRIMARY KEY" in parts[1]
        for texts in ([out], parts):
            database = pg.new_database()
            try:
                with database.connect() as connection:
                    for text in texts:
                        connection.execute(text)
                    found = connection.execute(
                        "SELECT count(*) FROM pg_constraint WHERE contype IN ('p', 'f')"
                        " AND connamespace = 'public'::regnamespace"
                    )
                    assert found.fetchone() == (3,)
            finally:
                database.drop()

    def test_upsert_needs_primary_keys(self, shop: Shop, source_db: MssqlDatabase) -> None:
        source_db.execute_script("CREATE TABLE dbo.orders (a int NULL)")
        shop.configure(source={"database": source_db.name}, migration={"target_mode": "upsert"})
        code, _, err = shop.tool("run")
        assert code == 3
        assert "'orders' has no primary key, required for upsert mode" in err
        document = shop.document("plan", "--output-json", code=3)
        assert document["plan"]["tables"]
        assert "has no primary key" in document["error"]


class TestFailures:
    """One clear message and the guide's exit code."""

    @pytest.mark.parametrize("command", ["run", "validate", "health-check"])
    @pytest.mark.parametrize("side", ["source", "target"])
    def test_wrong_password(self, shop: Shop, side: str, command: str) -> None:
        if side == "target" and shop.target.server.embedded is not None and not shop.target.password:
            pytest.skip("this target trusts everybody")
        shop.configure(**{side: {"password": "wrong-password-77"}})
        code, out, err = shop.tool(command)
        assert code == 2
        assert "wrong-password-77" not in out + err
        assert side in out + err
        if command == "health-check":
            _, out, _ = shop.tool("--output-json", command)
            VALIDATOR.validate(json.loads(out))
            assert json.loads(out)["retryable"] is False

    @pytest.mark.parametrize("side", ["source", "target"])
    def test_missing_database(self, shop: Shop, side: str) -> None:
        shop.configure(**{side: {"database": "no_such_database"}})
        code, _, err = shop.tool("run")
        assert code == 2
        assert "no_such_database" in err

    def test_a_poisoned_table_fails_alone(self, shop: Shop, source_db: MssqlDatabase) -> None:
        source_db.execute_script(
            "CREATE TABLE dbo.Good (Id int NOT NULL PRIMARY KEY, T nvarchar(20));\n"
            "CREATE TABLE dbo.Bad (Id int NOT NULL PRIMARY KEY, T nvarchar(20));\nGO\n"
            "INSERT INTO dbo.Good VALUES (1, N'a');\n"
            "INSERT INTO dbo.Bad VALUES (1, N'a'), (7, N'b' + NCHAR(0) + N'c');\n"
        )
        shop.configure(source={"database": source_db.name})
        document = shop.document("run", "--output-json", code=3)
        assert document["status"] == "failed"
        assert [table["table"] for table in document["failed_tables"]] == ["Bad"]
        assert (document["error_type"], document["retryable"]) == ("data", False)
        assert "7" in document["error"]
        assert {table["table"]: table["status"] for table in document["tables"]} == {
            "Good": "completed",
            "Bad": "failed",
        }
        code, out, err = shop.tool("run")
        assert code == 3
        assert "Migration FAILED" in out
        assert "Error: 1 of 2 tables failed: Bad: " in err

    def test_a_state_file_that_cannot_be_written(self, shop: Shop) -> None:
        (shop.folder / "file").write_text("")
        document = shop.document("--state-file", "file/x.state", "run", "--output-json", code=7)
        assert document["error_type"] == "io"

    def test_another_configuration_cannot_be_resumed(self, shop: Shop) -> None:
        shop.tool("--state-file", "s.state", "run")
        shop.configure(migration={"create_indexes": False})
        code, _, err = shop.tool("--state-file", "s.state", "resume")
        assert code == 6
        assert "Config hash mismatch" in err


def test_the_report(shop: Shop) -> None:
    document = shop.document("run", "--output-json", "--report", "report.html")
    assert document["report"] == "report.html"
    page = (shop.folder / "report.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert "Users" in page
    assert shop.source.server.password not in page


# -- long enough to be watched and interrupted -------------------------------------------------------------------------

LONG_ROWS = 6000


@pytest.fixture(scope="module")
def long_source(mssql: MssqlServer) -> Iterator[MssqlDatabase]:
    database = mssql.new_database()
    script = ["CREATE TABLE dbo.Events (Id int NOT NULL PRIMARY KEY, Body nvarchar(200) NOT NULL);"]
    for start in range(0, LONG_ROWS, 1000):
        rows = ",".join(f"({number}, N'{'x' * 90}')" for number in range(start, start + 1000))
        script.append(f"GO\nINSERT INTO dbo.Events VALUES {rows};")
    database.execute_script("\n".join(script))
    yield database
    database.drop()


@pytest.fixture
def long_run(tmp_path: Path, mssql: MssqlServer, long_source: MssqlDatabase, target_db: PgDatabase) -> Shop:
    """A migration of one table that takes a few seconds, in chunks of 500 rows."""
    if mssql.sandbox is None:
        pytest.skip("needs a source that can be slowed down")
    mssql.sandbox.faults.slow(400_000, table="Events")
    found = Shop(tmp_path, long_source, target_db)
    found.configure(migration={"chunk_size": 500, "read_ahead_buffers": 1})
    return found


@pytest.mark.sandbox_only
class TestWhileRowsMove:
    """Progress lines and signals in mid-stream."""

    def test_a_line_at_least_every_second(self, long_run: Shop) -> None:
        process = long_run.start("--progress", "run")
        assert process.stderr is not None
        moments: list[float] = []
        rows: list[int] = []
        for text in process.stderr:
            line = json.loads(text)
            if line["table"] == "Events":
                moments.append(time.monotonic())
                rows.append(line["rows_transferred"])
            if line["event"] == "table_finished":
                break
        long_run.finish(process)
        assert rows[-1] == LONG_ROWS
        assert rows == sorted(rows)
        assert len(set(rows)) > 2, "nothing was seen to move"
        assert max(after - before for before, after in pairwise(moments)) < 1.3

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_stop_and_go_on(self, long_run: Shop, number: signal.Signals) -> None:
        process = long_run.start("--state-file", "s.state", "--output-json", "--progress", "run")
        self._wait_for_rows(process)
        process.send_signal(number)
        code, out, _ = long_run.finish(process, within=20)
        document = json.loads(out)
        VALIDATOR.validate(document)
        assert (code, document["status"]) == (5, "cancelled")
        moved = document["rows_transferred"]
        assert 0 < moved < LONG_ROWS
        state = json.loads((long_run.folder / "s.state").read_text())
        assert state["status"] == "cancelled"
        assert state["tables"]["Events"]["transferred_rows"] == moved
        assert long_run.target.execute('SELECT count(*) FROM "Events"') == [(moved,)]
        assert long_run.source.server.sandbox is not None
        long_run.source.server.sandbox.faults.clear()
        document = long_run.document("--state-file", "s.state", "--output-json", "resume")
        assert (document["run_id"], document["resumed"]) == (state["run_id"], True)
        assert document["rows_transferred"] == LONG_ROWS
        for timed in (document["tables"][0], {**document, "seconds": document["tables"][0]["seconds"]}):
            # The speed is that of this attempt, without the rows that were there.
            assert timed["rows_per_second"] * timed["seconds"] <= 1.01 * (LONG_ROWS - moved)
        assert long_run.target.execute('SELECT count(*), count(DISTINCT "Id") FROM "Events"') == [
            (LONG_ROWS, LONG_ROWS)
        ]

    def test_a_second_signal_stops_at_once(self, long_run: Shop) -> None:
        process = long_run.start("--state-file", "s.state", "--output-json", "--progress", "run")
        self._wait_for_rows(process)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        code, out, _ = long_run.finish(process, within=20)
        assert time.monotonic() - began < 5
        assert code == 5
        VALIDATOR.validate(json.loads(out))
        assert long_run.source.server.sandbox is not None
        long_run.source.server.sandbox.faults.clear()
        document = long_run.document("--state-file", "s.state", "--output-json", "run", "--auto-resume")
        assert (document["resumed"], document["rows_transferred"]) == (True, LONG_ROWS)
        assert long_run.target.execute('SELECT count(*), count(DISTINCT "Id") FROM "Events"') == [
            (LONG_ROWS, LONG_ROWS)
        ]

    def _wait_for_rows(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        for text in process.stderr:
            line = json.loads(text)
            if line["table"] == "Events" and line["rows_transferred"] > 0:
                return
        pytest.fail("no row was seen to move")
