"""What following a source costs: ``python -m benchmarks.sync [--rows N]``.

One database, loaded once; then, each as a command of its own, side by side in one run: an ``upsert`` of the unchanged
database, passes of the sync by change tracking, rowversion and comparison without changes and with 0.1 % of the rows
changed, and a cutover. Ratios to the upsert are what counts; the machine's speed is not.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mssql_pg_migrate.demo.embedded_pg import EmbeddedPostgres
from tsql_sandbox.process import SandboxServer

from .meters import Command, run_command

_TABLES = 4
_SHARE = 1000
"""One row of so many is changed."""
_SCHEMA = """
CREATE TABLE dbo.t{n} (id int NOT NULL PRIMARY KEY, a int NOT NULL, b bigint NULL, d datetime2(3) NOT NULL,
    name nvarchar(60) NULL, amount decimal(12,2) NOT NULL, rv rowversion);
GO
INSERT INTO dbo.t{n} (id, a, b, d, name, amount)
SELECT value, value % 977, value * 3, DATEADD(second, value, CAST('2020-01-01' AS datetime2(3))),
    CONCAT(N'name of row ', value), CAST(value AS decimal(12,2)) / 7 FROM GENERATE_SERIES(1, {rows});
"""


@dataclass(frozen=True)
class Figure:
    """One command: what it did, seconds and CPU seconds of the tool, rows it changed."""

    name: str
    command: Command
    changes: int


class Bench:
    """Two servers and the commands between them."""

    def __init__(self, source: SandboxServer, target: EmbeddedPostgres, folder: Path) -> None:
        self._folder = folder
        self._config = folder / "config.yaml"
        self._environment = {
            **os.environ,
            "BENCH_MSSQL_PASSWORD": source.password,
            "BENCH_POSTGRES_PASSWORD": target.password,
        }
        self._data: dict[str, Any] = {
            "source": {
                "type": "mssql", "host": source.host, "port": source.port, "database": "follow", "user": source.user,
                "password": "${BENCH_MSSQL_PASSWORD}", "encrypt": False, "trust_server_cert": True,
            },
            "target": {
                "type": "postgres", "host": target.host, "port": target.port, "database": "postgres",
                "user": target.user, "password": "${BENCH_POSTGRES_PASSWORD}", "ssl_mode": "disable",
            },
            "migration": {"target_mode": "drop_recreate"},
            "sync": {"method": "change_tracking", "deletes": "never"},
        }  # fmt: skip

    def run(self, name: str, *arguments: str, mode: str = "drop_recreate", method: str = "change_tracking") -> Figure:
        """One command; ends the benchmark when it fails."""
        self._data["migration"]["target_mode"] = mode
        self._data["sync"]["method"] = method
        self._config.write_text(yaml.safe_dump(self._data))
        command = [sys.executable, "-m", "mssql_pg_migrate", "-c", str(self._config), "--output-json", *arguments]
        done = run_command(command, self._environment, self._folder)
        if done.code != 0:
            raise SystemExit(f"{name}: exit code {done.code}\n{done.errors[-2000:]}")
        changes = json.loads(done.output).get("changes", 0)
        figure = Figure(name, done, changes)
        print(
            f"{name:<44} {done.seconds:8.2f} s {done.cpu:8.2f} CPU s {done.peak_bytes / 2**20:6.0f} MiB {changes:>8,}"
        )
        return figure


def measure(rows: int) -> list[Figure]:
    """All commands, in order."""
    each = rows // _TABLES
    script = ["CREATE DATABASE follow", "USE follow", *(_SCHEMA.format(n=n, rows=each) for n in range(_TABLES))]
    script.append(
        "ALTER DATABASE follow SET CHANGE_TRACKING = ON; ALTER DATABASE follow SET ALLOW_SNAPSHOT_ISOLATION ON"
    )
    script += [f"ALTER TABLE dbo.t{n} ENABLE CHANGE_TRACKING" for n in range(_TABLES)]
    print(f"{rows:,} rows in {_TABLES} tables, one of {_SHARE:,} changed; tool only, the servers' CPU is not in it")
    with (
        tempfile.TemporaryDirectory() as folder,
        SandboxServer() as source,
        EmbeddedPostgres(settings={"synchronous_commit": "off", "shared_buffers": "256MB"}) as target,
    ):
        source.run_script("\nGO\n".join(script))
        bench = Bench(source, target, Path(folder))

        def change(seed: int) -> None:
            updates = "; ".join(
                f"UPDATE dbo.t{n} SET a = a + 1, amount = amount + 1 WHERE id % {_SHARE} = {seed}"
                for n in range(_TABLES)
            )
            source.run_script(f"USE follow\nGO\n{updates}")

        figures = [bench.run("run", "run"), bench.run("upsert, unchanged", "run", mode="upsert")]
        for number, method in enumerate(("change_tracking", "rowversion", "compare")):
            bench.run(f"  (positions of {method})", "sync", "prepare", "--compare", method=method)
            bench.run("  (compared once)", "sync", method=method)
            figures.append(bench.run(f"sync by {method}, unchanged", "sync", method=method))
            change(number)
            figures.append(bench.run(f"sync by {method}, 0.1 % changed", "sync", method=method))
        bench.run("  (positions)", "sync", "prepare", "--compare")
        bench.run("  (compared once)", "sync")
        figures.append(bench.run("cutover", "cutover"))
    return figures


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sync", description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000, help="rows of the database (default: 2,000,000)")
    figures = measure(parser.parse_args(arguments).rows)
    base = next(figure for figure in figures if figure.name == "upsert, unchanged").command
    print("\nratios to the unchanged upsert: time, CPU")
    for figure in figures:
        command = figure.command
        print(f"{figure.name:<44} {command.seconds / base.seconds:6.1%} {command.cpu / base.cpu:6.1%}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
