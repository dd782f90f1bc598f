"""The terminal UI and the report over a real migration: start, pause, resume by keys; every row arrives once."""

from __future__ import annotations

import asyncio

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable

from mssql_pg_migrate.config import Config, config_from_dict
from mssql_pg_migrate.jobs.run import Migration
from mssql_pg_migrate.report import ReportRecorder, render_report
from mssql_pg_migrate.tui.app import MigrationApp
from mssql_pg_migrate.tui.session import Session

ROWS = 100_000
TABLES = """
CREATE TABLE dbo.Digits (n int NOT NULL PRIMARY KEY);
INSERT INTO dbo.Digits VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9);
CREATE TABLE dbo.Big (Id int NOT NULL PRIMARY KEY, Label nvarchar(40) NOT NULL);
INSERT INTO dbo.Big (Id, Label)
SELECT a.n + 10 * b.n + 100 * c.n + 1000 * d.n + 10000 * e.n, N'row of the table'
FROM dbo.Digits AS a CROSS JOIN dbo.Digits AS b CROSS JOIN dbo.Digits AS c CROSS JOIN dbo.Digits AS d
CROSS JOIN dbo.Digits AS e;
"""


def configuration(source, target, **migration) -> Config:
    server = source.server
    return config_from_dict(
        {
            "source": {
                "type": "mssql", "host": server.host, "port": server.port, "database": source.name,
                "user": server.user, "password": server.password, "encrypt": "true" if server.encrypt else "false",
                "trust_server_cert": True,
            },
            "target": {
                "type": "postgres", "host": target.host, "port": target.port, "database": target.name,
                "user": target.user, "password": target.password, "ssl_mode": "prefer",
            },
            "migration": migration,
        },
        environment={},
    )  # fmt: skip


@pytest.fixture
def source(source_db):
    source_db.execute_script(TABLES)
    return source_db


async def until(app: MigrationApp, pilot: Pilot[int], *states: str) -> None:
    for _ in range(600):
        if app._session.state in states and app._state == app._session.state:
            await pilot.pause()
            return
        await pilot.pause(0.05)
    raise AssertionError(f"still {app._session.state}, not {states}: {app._session.error}")


def test_start_pause_and_resume_by_keys(source, target_db, tmp_path):
    config = configuration(source, target_db, chunk_size=500, retries=3)
    session = Session(config, tmp_path / "run.state")
    app = MigrationApp(session, report_path=tmp_path / "run.html")
    paused_at = []
    sandbox = source.server.sandbox
    if sandbox is not None:
        sandbox.faults.slow(1_000_000, "Big")  # four seconds: a run that is not over before the key is pressed

    async def play() -> None:
        async with app.run_test(size=(80, 24)) as pilot:
            await until(app, pilot, "ready")
            await pilot.press("s", "y")
            while session.recorder.history().moved < 2000 and session.busy:
                await pilot.pause(0.01)
            await pilot.press("p")
            await until(app, pilot, "paused", "completed")
            assert session.state == "paused"
            paused_at.append(target_db.execute('SELECT count(*) FROM public."Big"')[0][0])
            if sandbox is not None:
                sandbox.faults.clear()
            await pilot.press("r")
            await until(app, pilot, "completed", "failed")
            table = app.query_one(DataTable)
            rows = [[str(cell) for cell in table.get_row_at(index)] for index in range(table.row_count)]
            assert {row[0]: row[1] for row in rows} == {"Big": "✓ complete", "Digits": "✓ complete"}
            await pilot.press("w", "q")

    asyncio.run(play())
    assert session.wait(10)
    assert app.return_value == 0
    assert 0 < paused_at[0] < ROWS
    assert target_db.execute('SELECT count(*), count(DISTINCT "Id"), min("Id"), max("Id") FROM public."Big"') == [
        (ROWS, ROWS, 0, ROWS - 1)
    ]
    report = (tmp_path / "run.html").read_text(encoding="utf-8")
    assert "resumed run" in report
    assert f"{ROWS + 10:,} rows" in report


def test_the_report_of_a_run_counts_what_the_target_holds(source, target_db):
    recorder = ReportRecorder()
    config = configuration(source, target_db)
    result = Migration(config, on_event=recorder).run()
    assert result.status == "completed", result
    history = recorder.history()
    assert history.rows == history.moved == result.rows == ROWS + 10
    assert sum(history.throughput.rows) == ROWS + 10
    assert {table.table: table.rows for table in history.tables} == {"Big": ROWS, "Digits": 10}
    assert {table.status for table in history.tables} == {"completed"}
    page = render_report(recorder, result)
    assert "All 2 tables arrived: 100,010 rows" in page
    assert "PK_" in page or "Keys and indexes" in page


def test_the_report_of_a_run_that_could_not_begin(source, target_db):
    from mssql_pg_migrate.errors import ConnectionFailed

    config = configuration(source, target_db).model_copy()
    target = config.target.model_copy(update={"database": "there_is_no_such_database"})
    recorder = ReportRecorder()
    with pytest.raises(ConnectionFailed) as caught:
        Migration(config.model_copy(update={"target": target}), on_event=recorder).run()
    page = render_report(recorder, error=caught.value)
    assert "The run could not be carried out." in page
    assert "there_is_no_such_database" in page


def test_the_report_of_the_command_groups_what_is_not_carried_over(source, target_db, tmp_path, monkeypatch, capsys):
    import yaml

    from mssql_pg_migrate.cli.app import run

    source.execute_script("CREATE TRIGGER dbo.t ON dbo.Digits AFTER INSERT AS SET NOCOUNT ON")
    config = configuration(source, target_db)
    server = source.server
    monkeypatch.setenv("SOURCE_PW", server.password)
    monkeypatch.setenv("TARGET_PW", target_db.password)
    data = {
        "source": {
            "type": "mssql", "host": server.host, "port": server.port, "database": source.name, "user": server.user,
            "password": "${SOURCE_PW}", "encrypt": config.source.encrypt, "trust_server_cert": True,
        },
        "target": {
            "type": "postgres", "host": target_db.host, "port": target_db.port, "database": target_db.name,
            "user": target_db.user, "password": "${TARGET_PW}", "ssl_mode": "prefer",
        },
        "migration": {"include_tables": ["Digits"]},
    }  # fmt: skip
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    report = tmp_path / "r.html"
    assert run(["-c", str(tmp_path / "c.yaml"), "run", "--report", str(report)]) == 0
    page = report.read_text(encoding="utf-8")
    assert "Not carried over (1)" in page
    assert "trigger" in page.lower()
    assert server.password not in page
    capsys.readouterr()
