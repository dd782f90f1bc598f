"""Running the tool as a user does, and comparing what arrived with what was sent, row by row."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import yaml

from servers import MssqlDatabase, PgDatabase


class Tool:
    """The command line over one configuration file and one state file."""

    def __init__(self, folder: Path, source: MssqlDatabase, target: PgDatabase, **migration: Any) -> None:
        self.folder = folder
        self.config = folder / "config.yaml"
        self.state = folder / "run.state"
        self.data: dict[str, Any] = {
            "source": source.section("${TEST_MSSQL_PASSWORD}"),
            "target": target.section("${TEST_POSTGRES_PASSWORD}"),
            "migration": migration,
        }
        self.environment = {
            **os.environ,
            "TEST_MSSQL_PASSWORD": source.server.password,
            "TEST_POSTGRES_PASSWORD": target.password,
        }
        self.write()

    def write(self) -> None:
        """Write the configuration file anew, after a change of ``data``."""
        self.config.write_text(yaml.safe_dump(self.data))

    def command(self, *arguments: str) -> list[str]:
        """The full command line."""
        options = ["-c", str(self.config), "--state-file", str(self.state)]
        return [sys.executable, "-m", "mssql_pg_migrate", *options, *arguments]

    def run(self, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Run to the end."""
        return subprocess.run(
            self.command(*arguments), env=self.environment, capture_output=True, text=True, timeout=timeout
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start in a process group of its own."""
        return subprocess.Popen(
            self.command(*arguments),
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def result(self, *arguments: str, expect: int = 0, timeout: float = 300) -> dict[str, Any]:
        """Run with --output-json; the document. Fails the test when the exit code is another."""
        done = self.run("--output-json", *arguments, timeout=timeout)
        assert done.returncode == expect, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        document: dict[str, Any] = json.loads(done.stdout)
        return document


def kill_tree(process: subprocess.Popen[str]) -> None:
    """``kill -9`` of a whole process group; waits for its end."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=20)


def assert_equal_rows(
    source: MssqlDatabase, target: PgDatabase, tables: list[str], *, schema: str = "public", source_schema: str = "dbo"
) -> None:
    """Every row of every table, as multisets: nothing lost, nothing twice, nothing changed."""
    for table in tables:
        sent = Counter(_plain(row) for row in source.query(f"SELECT * FROM [{source_schema}].[{table}]"))
        arrived = Counter(_plain(row) for row in target.execute(f'SELECT * FROM "{schema}"."{table}"'))
        missing, extra = sent - arrived, arrived - sent
        assert not missing, f"{table}: {sum(missing.values())} rows missing, for example {next(iter(missing))}"
        assert not extra, f"{table}: {sum(extra.values())} rows too many, for example {next(iter(extra))}"


def _plain(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(_value(value) for value in row)


def _value(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, UUID):
        return str(value).lower()
    if isinstance(value, Decimal):
        return value.normalize()
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        return value.astimezone(datetime.timezone.utc)
    return value


def no_ledger_left(target: PgDatabase) -> bool:
    """Whether a complete run has removed its ledger (temporary tables of crashed sessions are PostgreSQL's own)."""
    rows = target.execute("SELECT relname FROM pg_class WHERE relname LIKE '\\_mpm\\_%' AND relpersistence <> 't'")
    return not rows


def wait_for_rows(tool: Tool, process: subprocess.Popen[str]) -> None:
    """Wait until the state file of a started run shows rows. Fails the test when the run ends first."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        if tool.state.exists():
            tables = json.loads(tool.state.read_text())["tables"]
            if any(table["transferred_rows"] for table in tables.values()):
                return
        time.sleep(0.05)
    raise AssertionError("no row was moved within 30 s")
