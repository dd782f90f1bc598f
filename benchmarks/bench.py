"""One benchmark from its servers to its result."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mssql_pg_migrate import __version__
from mssql_pg_migrate.jobs.run import Migration
from mssql_pg_migrate.mapping.objects import MappedTable
from mssql_pg_migrate.mapping.quoting import quote_ident
from mssql_pg_migrate.target.connect import connect_target

from .ends import SCHEMA, Ends
from .figures import Summary, figures, median_part, summarize
from .meters import ProcessMeter
from .parts import Part, Recording, drain, load, record
from .whole import Case, Run, Runner

Say = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """What is measured. ``shapes`` names single tables; ``tls`` the encryptions tried (None: as the URL says)."""

    repeats: int = 3
    readers: tuple[str, ...] = ("wire", "driver")
    modes: tuple[str, ...] = ("drop_recreate", "truncate", "upsert_unchanged", "upsert_empty")
    scopes: tuple[str, ...] = ("full", "narrow", "medium", "wide")
    shapes: dict[str, str] = field(default_factory=lambda: {"narrow": "Votes", "medium": "Comments", "wide": "Posts"})
    tls: tuple[bool | None, ...] = (False, True)
    settings: dict[str, Any] = field(default_factory=dict)
    """Keys of ``migration`` for every run."""
    brief: bool = False
    """All modes for the full database only, TLS for the first reader only."""
    seconds: float | None = None
    """No further round begins after that time."""


class Benchmark:
    """Measures between two ends; ``say`` is told of progress."""

    def __init__(self, ends: Ends, options: Options, say: Say) -> None:
        self._ends = ends
        self._options = options
        self._say = say
        self._source = ProcessMeter(ends.source_pid)
        self._target = ProcessMeter(ends.target_pid)
        self._runs: dict[Case, list[Run]] = {}
        self._empty: dict[tuple[str, int], list[Run]] = {}
        self._drains: dict[str, list[Part]] = {}
        self._loads: dict[str, list[tuple[Part, Part]]] = {}

    def measure(self) -> dict[str, Any]:
        """Everything, as plain data.

        Raises:
            BenchmarkError: a migration failed.
            MigrationError: a server could not be reached.
        """
        started = time.monotonic()
        options = self._options
        with tempfile.TemporaryDirectory(prefix="mpm-bench-") as name:
            folder = Path(name)
            self._say("recording the rows")
            scopes = self._record(folder)
            runner = Runner(self._ends, folder, options.settings)
            rounds = 0
            try:
                self._empties(runner, (1,))  # once for nothing: files and bytecode are in memory from here on
                self._empty.clear()
                while rounds < options.repeats:
                    if rounds and options.seconds and time.monotonic() - started > options.seconds:
                        self._say(f"time is up after {rounds} rounds")
                        break
                    rounds += 1
                    self._say(f"round {rounds} of {options.repeats}: each side alone")
                    self._parts(scopes)
                    self._empties(runner)
                    for case in self._cases(scopes):
                        self._whole(runner, case, scopes[case.scope])
            finally:
                self._clean()
        return self._result(scopes, rounds)

    # -- measurements ----------------------------------------------------------------------------------------------

    def _record(self, folder: Path) -> dict[str, list[Recording]]:
        """The rows of all tables, once; by scope."""
        config = self._ends.config(
            self._ends.document(reader="auto", mode="drop_recreate", tls=self._options.tls[0], **self._options.settings)
        )
        settings = config.source.settings()
        reader = self._options.readers[0]
        recordings = [
            record(plan.table, settings, reader, folder / f"{number}.copy")
            for number, plan in enumerate(Migration(config).plan().tables)
        ]
        scopes = {"full": recordings} if "full" in self._options.scopes else {}
        for shape, table in self._options.shapes.items():
            chosen = [item for item in recordings if item.table.source.name == table]
            if shape in self._options.scopes and chosen:
                scopes[shape] = chosen
        return scopes

    def _parts(self, scopes: dict[str, list[Recording]]) -> None:
        for tls in self._options.tls:
            document = self._ends.document(reader="auto", mode="drop_recreate", tls=tls)
            config = self._ends.config(document)
            for scope, recordings in scopes.items():
                name = f"{scope} TLS" if tls else scope
                part = drain(recordings, config.source.settings(), self._source)
                self._drains.setdefault(name, []).append(part)
        for scope, recordings in scopes.items():
            parts = load(recordings, config.target.settings(), self._target, connections=_cores())
            self._loads.setdefault(scope, []).append(parts)

    def _empties(self, runner: Runner, sizes: tuple[int, ...] = (1, 10)) -> None:
        """Ten empty tables and one: what a run costs before its first row."""
        if self._ends.empty_database is None:
            return
        for reader in self._options.readers:
            for tables in sizes:
                case = Case(reader, "empty", "drop_recreate", self._options.tls[0])
                runner.prepare(case, [])
                run = runner.run_empty(case, tuple(f"Empty{number}" for number in range(1, tables + 1)))
                self._empty.setdefault((reader, tables), []).append(run)

    def _cases(self, scopes: dict[str, list[Recording]]) -> list[Case]:
        options = self._options
        cases = []
        for tls in options.tls:
            for reader in options.readers:
                for scope in scopes:
                    # With TLS only the way through the network differs: one mode shows it.
                    again = bool(tls) and len(options.tls) > 1
                    modes = options.modes[:1] if again or (options.brief and scope != "full") else options.modes
                    if again and options.brief and reader != options.readers[0]:
                        continue
                    cases += [Case(reader, scope, mode, tls) for mode in modes]
        return cases

    def _whole(self, runner: Runner, case: Case, recordings: Sequence[Recording]) -> None:
        tables: list[MappedTable] = [item.table for item in recordings]
        runner.prepare(case, tables)
        run = runner.run(case, tables, sum(item.rows for item in recordings))
        self._runs.setdefault(case, []).append(run)
        self._say(
            f"  {case.scope} {case.mode} {case.reader}{' TLS' if case.tls else ''}: {run.seconds:.2f} s,"
            f" tool CPU {run.tool_cpu:.2f} s"
        )

    def _clean(self) -> None:
        config = self._ends.config(self._ends.document(reader="auto", mode="drop_recreate"))
        with connect_target(config.target.settings(), purpose="benchmark") as connection:
            connection.execute(f"DROP SCHEMA IF EXISTS {quote_ident(SCHEMA)} CASCADE".encode())

    # -- result ----------------------------------------------------------------------------------------------------

    def _result(self, scopes: dict[str, list[Recording]], rounds: int) -> dict[str, Any]:
        summaries = [summarize(case, runs) for case, runs in self._runs.items()]
        empty: dict[tuple[str, int], Summary] = {
            key: summarize(Case(key[0], "empty", "drop_recreate", None), runs) for key, runs in self._empty.items()
        }
        drains = {name: median_part(parts) for name, parts in self._drains.items()}
        loads = {
            name: (median_part([first for first, _ in parts]), median_part([second for _, second in parts]))
            for name, parts in self._loads.items()
        }
        largest = scopes.get("full") or max(scopes.values(), key=lambda items: sum(item.rows for item in items))
        cores = _cores()
        return {
            "version": __version__,
            "machine": {
                "cores": cores,
                "system": f"{platform.system()} {platform.machine()}",
                "python": platform.python_version(),
            },
            "source": self._ends.source_name,
            "target": f"{self._ends.target_name} {self._target_version()}",
            "rows": sum(item.rows for item in largest),
            "repeats": rounds,
            "settings": self._options.settings,
            "drain": {name: asdict(part) for name, part in drains.items()},
            "copy": {name: asdict(copied) for name, (copied, _) in loads.items()},
            "keys": {name: asdict(keys) for name, (_, keys) in loads.items()},
            "runs": [
                {**summary.document(), "all": [asdict(run) for run in self._runs[summary.case]]}
                for summary in summaries
            ],
            "empty": [
                {"tables": tables, "reader": reader, **_without_case(summary)}
                for (reader, tables), summary in empty.items()
            ],
            "figures": [item.document() for item in figures(summaries, empty, drains, loads, cores)],
        }

    def _target_version(self) -> str:
        config = self._ends.config(self._ends.document(reader="auto", mode="drop_recreate"))
        with closing(connect_target(config.target.settings(), purpose="benchmark")) as connection:
            row = connection.execute("SHOW server_version").fetchone()
        return str(row[0]) if row else ""


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _without_case(summary: Summary) -> dict[str, Any]:
    return {name: value for name, value in asdict(summary).items() if name not in ("case", "rows", "bytes")}


def stderr(text: str) -> None:
    """Progress, for people who wait."""
    print(text, file=sys.stderr, flush=True)
