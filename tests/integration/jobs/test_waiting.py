"""A command that waits for a lock says so: on the log, as an event of `--progress`, to whoever calls the API."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from mssql_pg_migrate.events import AnyEvent, Waiting
from mssql_pg_migrate.target import lock
from mssql_pg_migrate.target.connect import TargetSettings
from mssql_pg_migrate.transfer.control import Control
from running import Tool
from servers import MssqlDatabase, PgDatabase

SCRIPT = """
CREATE TABLE dbo.a (id int NOT NULL CONSTRAINT PK_a PRIMARY KEY, v int);
INSERT INTO dbo.a VALUES (1, 10), (2, 20);
"""


@pytest.fixture
def tool(tmp_path: Path, source_db: MssqlDatabase, target_db: PgDatabase) -> Tool:
    source_db.execute_script(SCRIPT)
    target_db.execute("CREATE TABLE a (id int PRIMARY KEY, v int)")
    target_db.execute("INSERT INTO a VALUES (1, 10), (2, 20)")
    return Tool(tmp_path, source_db, target_db, target_mode="truncate")


def _seen(process: subprocess.Popen[str], found: Callable[[str], bool]) -> str:
    """The first line of stderr that is wanted; the others are read away."""
    assert process.stderr is not None
    patience = threading.Timer(30, process.kill)
    patience.start()
    lines = []
    for line in process.stderr:
        lines.append(line)
        if found(line):
            patience.cancel()
            return line
    raise AssertionError(f"ended with {process.wait()} and did not say it: {lines}")


@pytest.mark.parametrize("arguments", [["run"], ["validate"], ["validate", "--checksum"]])
def test_a_locked_table_of_the_target(tool: Tool, target_db: PgDatabase, arguments: list[str]) -> None:
    with psycopg.connect(target_db.conninfo, application_name="night job") as holder:
        holder.execute("LOCK TABLE a")
        process = tool.start("--progress", *arguments)
        event: dict[str, Any] = json.loads(_seen(process, lambda line: '"event": "waiting"' in line))
        holder.rollback()
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert event["waits_for"] == "public.a"
    assert event["application"] == "night job"
    assert event["state"] == "idle in transaction"
    assert event["message"].startswith(f"waiting for public.a, held by session {event['held_by']} (night job, ")
    assert {"table", "rows_transferred", "since", "seconds"} <= set(event)


@pytest.mark.sandbox_only  # the driver's session must not read from snapshots
@pytest.mark.parametrize("side", ["source", "target"])
def test_a_signal_ends_a_wait_of_the_plan_at_once(
    tmp_path: Path, source_db: MssqlDatabase, target_db: PgDatabase, side: str
) -> None:
    source_db.execute_script(SCRIPT)
    target_db.execute("CREATE TABLE a (id int, v int DEFAULT 7); INSERT INTO a VALUES (1, 10), (2, 20)")
    target_db.execute("CREATE POLICY own ON a USING (v > 0); CREATE RULE gone AS ON DELETE TO a DO INSTEAD NOTHING")
    target_db.execute("CREATE VIEW kept AS SELECT id FROM a")
    tool = Tool(tmp_path, source_db, target_db, target_mode="drop_recreate")
    with closing(source_db.connect()) as other, psycopg.connect(target_db.conninfo) as holder:
        if side == "target":
            holder.execute("LOCK TABLE a")
        else:
            other.cursor().execute("BEGIN TRANSACTION; CREATE TABLE dbo.made (id int)")
        process = tool.start("--progress", "run")
        _seen(process, lambda line: '"event": "waiting"' in line)
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=30)[1]  # much less than --shutdown-timeout
    assert process.returncode == 5
    assert "stopped before any row was moved" in told, told
    assert target_db.execute("SELECT count(*) FROM a") == [(2,)]


@pytest.mark.sandbox_only  # the driver's session must not read from snapshots
@pytest.mark.parametrize("command", ["plan", "health-check", "validate", "run"])
def test_a_catalog_of_the_source_that_is_being_changed(tool: Tool, source_db: MssqlDatabase, command: str) -> None:
    with closing(source_db.connect()) as holder:
        cursor = holder.cursor()
        cursor.execute("BEGIN TRANSACTION")
        cursor.execute("CREATE TABLE dbo.made (id int)")
        process = tool.start("--progress", command)
        event: dict[str, Any] = json.loads(_seen(process, lambda line: '"event": "waiting"' in line))
        cursor.execute("ROLLBACK")
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert event["side"] == "source"
    assert event["message"].startswith("waiting for the source: reading ")
    assert f"held by session {event['held_by']} (" in event["message"]


def test_the_log_of_people_has_the_line(tool: Tool, target_db: PgDatabase) -> None:
    with psycopg.connect(target_db.conninfo, application_name="night job") as holder:
        holder.execute("LOCK TABLE a")
        process = tool.start("run")
        line = _seen(process, lambda line: "waiting for" in line)
        holder.rollback()
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert " WARN  waiting for public.a, held by session " in line


def test_another_run_is_waited_for_aloud(target_db: PgDatabase) -> None:
    """A resumed run waits until the server notices that the killed run's session is dead."""
    told: list[Waiting] = []

    def listen(event: AnyEvent) -> None:
        if isinstance(event, Waiting):
            told.append(event)
            holder.close()

    with psycopg.connect(target_db.conninfo, autocommit=True, application_name="the other run") as holder:
        holder.execute("SELECT pg_advisory_lock(%s)", (lock.lock_key("public"),))
        settings = TargetSettings(
            target_db.host, target_db.port, target_db.name, target_db.user, target_db.password or ""
        )
        with Control(settings, retries=0, wait=threading.Event().wait, on_event=listen) as control:
            control.lock(("public",), patient=True)
    (wait,) = told
    assert wait.text.startswith("waiting for target schema public, held by session ")
    assert "the other run" in wait.text
