"""What operators do to a run: signals, full disks, two runs at once. Nothing is lost, and the exit code tells."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos_common import HEAP, SETTINGS, TABLES
from running import Tool, assert_equal_rows, kill_tree, no_ledger_left, wait_for_rows
from servers import MssqlDatabase, PgDatabase

pytestmark = [pytest.mark.chaos, pytest.mark.sandbox_only]


@pytest.fixture
def slow_source(chaos_source: MssqlDatabase) -> Iterator[MssqlDatabase]:
    sandbox = chaos_source.server.sandbox
    assert sandbox is not None
    sandbox.faults.slow(120_000)
    yield chaos_source
    sandbox.faults.clear()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_state_and_exits_5(
    number: signal.Signals, slow_source: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    tool = Tool(tmp_path, slow_source, target_db, **SETTINGS)
    process = tool.start("run")
    wait_for_rows(tool, process)
    process.send_signal(number)
    output = process.communicate(timeout=50)  # well before the shutdown timeout
    assert process.returncode == 5, output
    assert json.loads(tool.state.read_text())["status"] == "cancelled"
    slow_source.server.sandbox.faults.clear()  # type: ignore[union-attr]
    document = tool.result("run", "--auto-resume")
    assert document["run_id"] == json.loads(tool.state.read_text())["run_id"]
    assert_equal_rows(slow_source, target_db, [*TABLES, HEAP])


def test_a_second_signal_stops_at_once_and_is_as_safe(
    slow_source: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    sandbox = slow_source.server.sandbox
    assert sandbox is not None
    sandbox.faults.clear()
    sandbox.faults.stall(60, table="by_int", after_rows=100, times=0)
    sandbox.faults.slow(50_000)
    tool = Tool(tmp_path, slow_source, target_db, **SETTINGS)
    process = tool.start("run")
    wait_for_rows(tool, process)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    output = process.communicate(timeout=300)
    assert time.monotonic() - started < 15
    assert process.returncode == 5, output
    sandbox.faults.clear()
    tool.result("resume")
    assert_equal_rows(slow_source, target_db, [*TABLES, HEAP])


@pytest.mark.parametrize(
    ("hooks", "locked", "signals"),
    [
        ({}, "by_two", 1),  # while the tables are prepared
        ({"after_data": "LOCK TABLE gate"}, "gate", 2),
        ({"after_all": "LOCK TABLE gate"}, "gate", 2),
    ],
    ids=["prepare", "after_data", "after_all"],
)
def test_a_stop_does_not_wait_for_a_statement_on_the_control_connection(
    hooks: dict[str, str], locked: str, signals: int, chaos_source: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    only = {"include_tables": ["by_int", "by_two"]}
    Tool(tmp_path, chaos_source, target_db, **only).result("run")
    target_db.execute("CREATE TABLE gate (open int)")
    tool = Tool(tmp_path, chaos_source, target_db, target_mode="truncate", hooks=hooks, **only)
    with target_db.connect(autocommit=False) as other:
        other.execute(f"LOCK TABLE {locked}")
        process = tool.start("run")
        wait_until_blocked(target_db)
        started = time.monotonic()
        for _ in range(signals):
            process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
        output = process.communicate(timeout=60)
    assert time.monotonic() - started < 8
    assert process.returncode == 5, output
    assert json.loads(tool.state.read_text())["status"] == "cancelled"
    tool.result("resume")
    assert_equal_rows(chaos_source, target_db, ["by_int", "by_two"])
    assert target_db.execute("SELECT convalidated FROM pg_constraint WHERE contype = 'f'") == [(True,)]
    assert no_ledger_left(target_db)


def test_a_stop_ends_the_putting_back_of_foreign_keys(
    chaos_source: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    only = {"include_tables": ["by_int", "by_two"]}
    Tool(tmp_path, chaos_source, target_db, **only).result("run")
    target_db.execute("CREATE TABLE gate (open int)")
    hooks = {"after_data": "LOCK TABLE gate"}
    tool = Tool(tmp_path, chaos_source, target_db, target_mode="truncate", hooks=hooks, **only)
    with target_db.connect(autocommit=False) as gate, target_db.connect(autocommit=False) as other:
        gate.execute("LOCK TABLE gate")
        process = tool.start("run")
        wait_until_blocked(target_db)
        other.execute("LOCK TABLE by_int IN SHARE MODE")
        gate.rollback()
        wait_until_blocked(target_db, "ALTER TABLE%ADD CONSTRAINT%")
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        output = process.communicate(timeout=90)
    assert time.monotonic() - started < 8
    assert process.returncode == 5, output
    tool.result("resume")
    assert target_db.execute("SELECT convalidated FROM pg_constraint WHERE contype = 'f'") == [(True,)]
    assert no_ledger_left(target_db)


def wait_until_blocked(target: PgDatabase, statement: str = "%") -> None:
    """Wait until a session of the tool waits for a lock, with a statement like that."""
    deadline = time.monotonic() + 30
    while not target.execute(
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        " AND application_name LIKE 'mssql-pg-migrate%%' AND query LIKE %s",
        (statement,),
    ):
        assert time.monotonic() < deadline, "no statement of the tool waits for a lock"
        time.sleep(0.05)


def test_two_runs_on_one_schema_exclude_each_other(
    slow_source: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    tool = Tool(tmp_path, slow_source, target_db, **SETTINGS)
    process = tool.start("run")
    try:
        wait_for_rows(tool, process)
        (tmp_path / "second").mkdir()
        second = Tool(tmp_path / "second", slow_source, target_db, **SETTINGS)
        done = second.run("run", timeout=300)
        assert done.returncode == 6, done.stderr
        assert "another run" in done.stderr
        slow_source.server.sandbox.faults.clear()  # type: ignore[union-attr]
        output = process.communicate(timeout=300)
        assert process.returncode == 0, output
    finally:
        kill_tree(process)
    assert_equal_rows(slow_source, target_db, [*TABLES, HEAP])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB; skipped where this user may not mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    if subprocess.run([mount, "-t", "tmpfs", "-o", "size=1m,nr_inodes=64", "tmpfs", str(folder)]).returncode != 0:
        pytest.skip("mounting a small file system is not allowed here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_under_the_state_file_is_exit_7_and_resumable(
    slow_source: MssqlDatabase, target_db: PgDatabase, tmp_path: Path, small_disk: Path
) -> None:
    tool = Tool(tmp_path, slow_source, target_db, **SETTINGS)
    tool.state = small_disk / "run.state"
    process = tool.start("run")
    wait_for_rows(tool, process)
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 1024)
    output = process.communicate(timeout=300)
    assert process.returncode == 7, output
    assert "state file" in output[1]
    filler.unlink()
    slow_source.server.sandbox.faults.clear()  # type: ignore[union-attr]
    tool.result("resume")
    assert_equal_rows(slow_source, target_db, [*TABLES, HEAP])
    assert no_ledger_left(target_db)


def test_resume_refuses_another_configuration_and_takes_other_tuning(
    slow_source: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    tool = Tool(tmp_path, slow_source, target_db, **SETTINGS)
    process = tool.start("run")
    wait_for_rows(tool, process)
    kill_tree(process)
    slow_source.server.sandbox.faults.clear()  # type: ignore[union-attr]
    tool.data["migration"]["exclude_tables"] = ["wide"]
    tool.write()
    done = tool.run("resume")
    assert done.returncode == 6
    assert "Config hash mismatch" in done.stderr
    del tool.data["migration"]["exclude_tables"]
    tool.data["migration"]["chunk_size"] = 60
    tool.data["migration"]["workers"] = 1
    tool.write()
    tool.result("resume")
    assert_equal_rows(slow_source, target_db, [*TABLES, HEAP])
