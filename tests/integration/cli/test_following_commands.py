"""cutover, its rehearsal, and the repair of validate: the commands as a user types them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from running import Tool, assert_equal_rows
from servers import MssqlDatabase, PgDatabase

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "output.schema.json").read_text())
TABLES = ["Parent", "Child"]


@pytest.fixture
def tool(tmp_path: Path, source_db: MssqlDatabase, target_db: PgDatabase) -> Tool:
    """A loaded target that follows its source by comparing."""
    source_db.execute_script(
        "CREATE TABLE dbo.Parent (id int IDENTITY(1,1) PRIMARY KEY, name nvarchar(50) NULL);"
        " CREATE TABLE dbo.Child (id int PRIMARY KEY, parent int NOT NULL REFERENCES dbo.Parent (id));"
        " INSERT INTO dbo.Parent (name) VALUES (N'one'), (N'two'), (N'three');"
        " INSERT INTO dbo.Child VALUES (1, 1), (2, 3)"
    )
    tool = Tool(tmp_path, source_db, target_db, target_mode="drop_recreate")
    tool.data["sync"] = {"method": "compare", "interval": 0.5}
    tool.write()
    tool.result("run")
    return tool


def checked(document: dict[str, Any]) -> dict[str, Any]:
    """The document, held against the schema of docs/."""
    jsonschema.validate(document, SCHEMA)
    return document


def test_from_changes_to_go(tool: Tool, source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path) -> None:
    source_db.execute_script(
        "INSERT INTO dbo.Parent (name) VALUES (N'four'); DELETE FROM dbo.Child WHERE id = 1;"
        " DELETE FROM dbo.Parent WHERE id = 1; SET IDENTITY_INSERT dbo.Parent ON;"
        " INSERT INTO dbo.Parent (id, name) VALUES (90, N'ninety'); SET IDENTITY_INSERT dbo.Parent OFF;"
        " DELETE FROM dbo.Parent WHERE id = 90"
    )
    rehearsal = checked(tool.result("cutover", "--rehearse"))
    assert rehearsal["go"]
    assert rehearsal["changes"] == 3
    assert "sequences" not in [step["name"] for step in rehearsal["steps"]]
    page = tmp_path / "cutover.html"
    document = checked(tool.result("cutover", "--wait-for", "quiet", "--report", str(page)))
    assert document["go"]
    assert document["reasons"] == []
    assert "Cutover report: GO" in page.read_text()
    assert_equal_rows(source_db, target_db, TABLES)
    [(identity,)] = target_db.execute("INSERT INTO \"Parent\" (name) VALUES ('next') RETURNING id")
    assert identity == 91, "the target goes on where the source was"
    statistics = target_db.execute("SELECT count(*) FROM pg_stats WHERE tablename = 'Parent'")
    assert statistics[0][0] > 0


def test_no_go(tool: Tool, target_db: PgDatabase) -> None:
    """A constraint that the rows break: exit code 4, with the constraint and the row."""
    target_db.execute('ALTER TABLE "Parent" ADD CONSTRAINT short CHECK (length(name) < 4) NOT VALID')
    document = checked(tool.result("cutover", expect=4))
    assert not document["go"]
    assert "constraint short of public.Parent is violated" in document["reasons"][0]
    text = tool.run("cutover")
    assert text.returncode == 4
    assert "NO-GO" in text.stdout


def test_a_row_that_cannot_be_applied_is_a_no_go(tool: Tool, source_db: MssqlDatabase, target_db: PgDatabase) -> None:
    target_db.execute('ALTER TABLE "Parent" ADD CONSTRAINT short CHECK (length(name) < 9)')
    source_db.execute_script("INSERT INTO dbo.Parent (name) VALUES (N'much too long')")
    document = checked(tool.result("cutover", expect=4))
    assert not document["go"]
    assert "a pass cannot be applied" in document["reasons"][0]
    assert "much too long" in document["reasons"][0]


def test_repair_touches_only_what_differs(tool: Tool, source_db: MssqlDatabase, target_db: PgDatabase) -> None:
    untouched = target_db.execute('SELECT xmin::text FROM "Parent" WHERE id = 2')
    target_db.execute(
        'UPDATE "Parent" SET name = \'spoilt\' WHERE id = 3; DELETE FROM "Child" WHERE id = 1;'
        ' INSERT INTO "Child" VALUES (50, 2)'
    )
    assert not checked(tool.result("validate", "--checksum", expect=4))["equal"]
    document = checked(tool.result("validate", "--checksum", "--repair"))
    assert document["equal"]
    assert document["repaired"] == [
        {"table": "Child", "inserted": 1, "updated": 0, "deleted": 1},
        {"table": "Parent", "inserted": 0, "updated": 1, "deleted": 0},
    ]
    assert_equal_rows(source_db, target_db, TABLES)
    assert target_db.execute('SELECT xmin::text FROM "Parent" WHERE id = 2') == untouched
    again = checked(tool.result("validate", "--checksum", "--repair"))
    assert again["repaired"] == []


def test_sync_commands(tool: Tool, source_db: MssqlDatabase) -> None:
    assert checked(tool.result("sync"))["changes"] == 0
    source_db.execute_script("UPDATE dbo.Parent SET name = N'x' WHERE id = 2")
    document = checked(tool.result("sync"))
    assert document["tables"] == [{"table": "Parent", "inserted": 0, "updated": 1, "deleted": 0}]
    status = checked(tool.result("sync", "status"))
    assert {table["table"]: table["changes"] for table in status["tables"]} == {"Child": 0, "Parent": 1}
    assert "1 row brought over" not in tool.run("sync").stdout
    prepared = checked(tool.result("sync", "prepare"))
    assert any("ENABLE CHANGE_TRACKING" in statement for statement in prepared["statements"])
    for wrong in (["status", "--watch"], ["--apply"], ["--interval", "5s"]):
        assert tool.run("sync", *wrong).returncode == 1
    assert "--interval 5x: must be a duration" in tool.run("sync", "--watch", "--interval", "5x").stderr


def test_watch_goes_on_until_stopped(tool: Tool, source_db: MssqlDatabase, target_db: PgDatabase) -> None:
    import signal
    import time

    process = tool.start("sync", "--watch", "--interval", "200ms")
    try:
        for number in range(3):
            source_db.execute_script(f"UPDATE dbo.Parent SET name = N'w{number}' WHERE id = 2")
            deadline = time.monotonic() + 30
            while target_db.execute('SELECT name FROM "Parent" WHERE id = 2') != [(f"w{number}",)]:
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.05)
        busy = tool.run("sync")
        assert busy.returncode == 6
        assert "another run is writing" in busy.stderr
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 5
    assert "pass " in errors


def test_cutover_waits_for_a_read_only_source(tool: Tool, source_db: MssqlDatabase, target_db: PgDatabase) -> None:
    import time

    process = tool.start("cutover", "--wait-for", "read_only", "--output-json")
    source_db.execute_script("UPDATE dbo.Parent SET name = N'last' WHERE id = 2")
    deadline = time.monotonic() + 30
    while target_db.execute('SELECT name FROM "Parent" WHERE id = 2') != [("last",)]:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    try:
        source_db.execute_script(f"ALTER DATABASE [{source_db.name}] SET READ_ONLY WITH ROLLBACK IMMEDIATE")
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert checked(json.loads(output))["go"]
        with pytest.raises(Exception, match="because the database is read-only"):
            source_db.execute_script("DELETE FROM dbo.Child")
    finally:
        source_db.execute_script(f"ALTER DATABASE [{source_db.name}] SET READ_WRITE")
    source_db.execute_script("DELETE FROM dbo.Child")
