"""Whole migrations, as a user runs them: the command line in a process of its own, measured from outside."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mssql_pg_migrate.mapping.objects import MappedTable
from mssql_pg_migrate.mapping.quoting import quote_ident
from mssql_pg_migrate.target.connect import connect_target
from mssql_pg_migrate.target.ddl import relation

from .ends import SCHEMA, Ends
from .meters import ProcessMeter, difference, run_command
from .parts import settle

MODES = ("drop_recreate", "truncate", "upsert_unchanged", "upsert_empty")
"""In the order they are run: each but the first needs the tables that the first has made."""
_SETTLE_SECONDS = 0.1


class BenchmarkError(RuntimeError):
    """A migration failed, or did not carry what it was to carry."""


@dataclass(frozen=True)
class Case:
    """What is migrated, and how. ``scope`` names a set of tables, ``full`` all of them."""

    reader: str
    scope: str
    mode: str
    tls: bool | None


@dataclass(frozen=True)
class Run:
    """One migration: seconds from start to end of the process, CPU seconds of each side, the tool's peak memory."""

    seconds: float
    rows: int
    bytes: int
    tool_cpu: float
    source_cpu: float | None
    target_cpu: float | None
    peak_bytes: int


class Runner:
    """Runs cases between two ends; files go into ``folder``."""

    def __init__(self, ends: Ends, folder: Path, settings: Mapping[str, Any]) -> None:
        self._ends = ends
        self._folder = folder
        self._settings = dict(settings)
        self._source = ProcessMeter(ends.source_pid)
        self._target = ProcessMeter(ends.target_pid)

    def prepare(self, case: Case, tables: list[MappedTable]) -> None:
        """Bring the target into the state that the mode begins with."""
        settings = self._ends.config(self._document(case, tables)).target.settings()
        with connect_target(settings, purpose="benchmark") as connection:
            if case.mode == "drop_recreate":
                connection.execute(f"DROP SCHEMA IF EXISTS {quote_ident(SCHEMA)} CASCADE".encode())
            elif case.mode == "upsert_empty":
                names = ", ".join(relation(table) for table in tables)
                connection.execute(f"TRUNCATE {names}".encode())
            settle(connection)

    def run(self, case: Case, tables: list[MappedTable], rows: int) -> Run:
        """Migrate, and see that all ``rows`` were carried.

        Raises:
            BenchmarkError: the run failed, or its counts are others.
        """
        return self._run(case, self._document(case, tables), rows)

    def run_empty(self, case: Case, tables: tuple[str, ...]) -> Run:
        """Migrate some of the empty tables. Raises BenchmarkError."""
        return self.run_database(str(self._ends.empty_database), case, 0, include_tables=list(tables))

    def run_database(self, database: str, case: Case, rows: int, **migration: Any) -> Run:
        """Migrate another database of the source, with these keys of ``migration`` too. Raises BenchmarkError."""
        document = self._document(case, [])
        document["source"]["database"] = database
        document["migration"].update(migration)
        return self._run(case, document, rows)

    def _run(self, case: Case, document: dict[str, Any], rows: int) -> Run:
        config, state = self._folder / "config.yaml", self._folder / "run.state"
        self._ends.write(document, config)
        state.unlink(missing_ok=True)
        command = [sys.executable, "-m", "mssql_pg_migrate", "-c", str(config), "--state-file", str(state)]
        command += ["--output-json", "--verbosity", "warn", "run"]
        source, target = self._source.cpu(), self._target.cpu()
        done = run_command(command, self._environment(), self._folder)
        time.sleep(_SETTLE_SECONDS)  # sessions end a little after their client
        if done.code != 0:
            raise BenchmarkError(f"{case}: exit code {done.code}\n{done.output[-2000:]}\n{done.errors[-2000:]}")
        result = json.loads(done.output)
        _check(case, result, rows)
        return Run(
            done.seconds,
            result["rows_transferred"],
            result["bytes"],
            done.cpu,
            difference(self._source.cpu(), source),
            difference(self._target.cpu(), target),
            done.peak_bytes,
        )

    def _environment(self) -> dict[str, str]:
        """An installed program has its bytecode: where none is to be written, it is kept for the benchmark's time."""
        environment = {**os.environ, **self._ends.secrets}
        if environment.pop("PYTHONDONTWRITEBYTECODE", ""):
            environment["PYTHONPYCACHEPREFIX"] = str(self._folder / "bytecode")
        return environment

    def _document(self, case: Case, tables: list[MappedTable]) -> dict[str, Any]:
        mode = "upsert" if case.mode.startswith("upsert") else case.mode
        settings = dict(self._settings)
        if case.scope != "full" and tables:
            settings["include_tables"] = [table.source.name for table in tables]
        return self._ends.document(reader=case.reader, mode=mode, tls=case.tls, **settings)


def _check(case: Case, result: Mapping[str, Any], rows: int) -> None:
    carried, skipped = result["rows_transferred"], result["skipped_rows"]
    if carried != rows:
        raise BenchmarkError(f"{case}: {carried} rows were carried of {rows}")
    if case.mode == "upsert_unchanged" and skipped != carried:
        raise BenchmarkError(f"{case}: {carried - skipped} rows were written again though nothing had changed")
    if case.mode != "upsert_unchanged" and skipped:
        raise BenchmarkError(f"{case}: {skipped} rows were skipped in an empty table")
    others = {table["table"] for table in result["tables"] if table["reader"] not in (None, case.reader)}
    if case.reader in ("wire", "driver") and others:
        raise BenchmarkError(f"{case}: other readers carried {', '.join(sorted(others))}")
