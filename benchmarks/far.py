"""``python -m benchmarks.far``: what distance costs. The same migrations over lines of several lengths, in one run.

Between the tool and each server stands a `Line`. Runs are compared with those of the same run whose lines have no
delay; proxies stand there too. ``--rate`` adds lines of that many Mbit/s, and shows how full they were kept.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Literal

import yaml

from mssql_pg_migrate.errors import MigrationError
from mssql_pg_migrate.jobs.run import Migration

from .bench import stderr
from .ends import Ends, open_ends
from .line import Line, Traffic
from .text import table
from .whole import MODES, BenchmarkError, Case, Run, Runner

Place = Literal["source", "target", "both"]
TINY_ROWS = 3
_TINY_DATABASE = "TinyTables"


@dataclass(frozen=True)
class Far:
    """One migration over lines: ``delay`` in ms of round trip, ``mbit`` None for a line without a rate."""

    scope: str
    mode: str
    place: Place
    delay: float
    mbit: float | None = None


@dataclass(frozen=True)
class Outcome:
    """How it went, and what the two lines carried."""

    run: Run
    source: Traffic
    target: Traffic
    full: float | None = None
    """The part of the line's rate that was used, between the first 2 and the last 2 per cent of the bytes."""


class Lines:
    """The two lines of all runs; each case sets their delay and rate."""

    def __init__(self, source: Line, target: Line) -> None:
        self.source = source
        self.target = target

    def set(self, far: Far) -> None:
        """Make the lines as that case has them."""
        for line, name in ((self.source, "source"), (self.target, "target")):
            chosen = far.place in (name, "both")
            line.round_trip = far.delay / 1000 if chosen else 0.0
            line.rate = far.mbit * 125_000 if chosen and far.mbit else None


@contextmanager
def behind_lines(ends: Ends) -> Iterator[tuple[Ends, Lines]]:
    """The same ends, to be reached through lines only."""
    with ExitStack() as stack:
        source = stack.enter_context(Line(ends.source["host"], ends.source["port"]))
        target = stack.enter_context(Line(ends.target["host"], ends.target["port"]))
        far = replace(
            ends,
            source={**ends.source, "host": source.host, "port": source.port},
            target={**ends.target, "host": target.host, "port": target.port},
        )
        yield far, Lines(source, target)


def tiny_tables(count: int) -> str:
    """A script for a database of so many tables, every second one empty, the others of three rows."""
    parts = [f"CREATE DATABASE {_TINY_DATABASE};\nGO\nUSE {_TINY_DATABASE};\nGO\n"]
    for number in range(count):
        name = f"dbo.Tiny{number}"
        parts.append(
            f"CREATE TABLE {name} (Id int NOT NULL CONSTRAINT PK_Tiny{number} PRIMARY KEY, Name nvarchar(50) NULL,"
            f" Made datetime NOT NULL);\n"
        )
        if number % 2:
            rows = ", ".join(f"({row}, N'row {row}', '2024-01-0{row}')" for row in range(1, TINY_ROWS + 1))
            parts.append(f"INSERT INTO {name} VALUES {rows};\n")
        if number % 50 == 49:
            parts.append("GO\n")
    return "".join(parts)


class FarBenchmark:
    """Runs the cases, interleaved, ``repeats`` times."""

    def __init__(
        self, ends: Ends, lines: Lines, cases: Sequence[Far], *, tables: int, settings: dict[str, Any]
    ) -> None:
        self._ends = ends
        self._lines = lines
        self._cases = cases
        self._tables = tables
        self._settings = settings
        self._outcomes: dict[Far, list[Outcome]] = {case: [] for case in cases}

    def measure(self, repeats: int) -> dict[Far, list[Outcome]]:
        """Every case that often. Raises BenchmarkError, MigrationError."""
        document = self._ends.document(reader="auto", mode="drop_recreate", **self._settings)
        plan = Migration(self._ends.config(document)).plan()
        tables = [item.table for item in plan.tables]
        rows = sum(table.source.row_estimate for table in tables)
        with tempfile.TemporaryDirectory(prefix="mpm-far-") as name:
            runner = Runner(self._ends, Path(name), self._settings)
            for number in range(repeats + 1):
                if number == 0:
                    stderr("once for nothing: files and bytecode are in memory from here on")
                for far in self._cases if number else self._cases[:1]:
                    case = Case("auto", far.scope, far.mode, None)
                    self._lines.set(replace(far, delay=0.0, mbit=None))
                    runner.prepare(case, tables)
                    self._lines.set(far)
                    outcome = self._one(runner, case, far, rows)
                    self._lines.set(replace(far, delay=0.0, mbit=None))
                    if number:
                        self._outcomes[far].append(outcome)
                        stderr(_told(far, outcome))
        return self._outcomes

    def _one(self, runner: Runner, case: Case, far: Far, rows: int) -> Outcome:
        lines = self._lines
        before = lines.source.traffic(), lines.target.traffic()
        meter = _Fullness(lines, far) if far.mbit else None
        if far.scope == "tiny":
            run = runner.run_database(_TINY_DATABASE, case, self._tables // 2 * TINY_ROWS)
        else:
            run = runner.run(case, [], rows)
        full = meter.end() if meter else None
        after = lines.source.traffic(), lines.target.traffic()
        return Outcome(run, after[0].since(before[0]), after[1].since(before[1]), full)


class _Fullness:
    """How full a line with a rate was: bytes of the busier direction in the middle of the time rows went over it."""

    def __init__(self, lines: Lines, far: Far) -> None:
        self._line = lines.source if far.place in ("source", "both") else lines.target
        self._way = "down" if self._line is lines.source else "up"
        self._rate = (far.mbit or 0.0) * 125_000
        self._samples: list[tuple[float, int]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._ended.wait(0.1):
            self._samples.append((time.monotonic(), getattr(self._line.traffic(), self._way)))

    def end(self) -> float | None:
        """The share of the rate between 2 and 98 per cent of the bytes; None when that was too short to tell."""
        self._ended.set()
        self._thread.join()
        if len(self._samples) < 3:
            return None
        least, most = self._samples[0][1], self._samples[-1][1]
        low, high = least + (most - least) * 0.02, least + (most - least) * 0.98
        middle = [sample for sample in self._samples if low <= sample[1] <= high]
        if len(middle) < 10:
            return None
        (first, start), (last, end) = middle[0], middle[-1]
        return (end - start) / (last - first) / self._rate


def _told(far: Far, outcome: Outcome) -> str:
    line = f"{far.mbit:g} Mbit/s " if far.mbit else ""
    return (
        f"  {far.scope} {far.mode} {far.place} {line}{far.delay:g} ms: {outcome.run.seconds:.2f} s, CPU"
        f" {outcome.run.tool_cpu:.2f} s, turns {outcome.source.turns} + {outcome.target.turns}"
    )


def report(outcomes: dict[Far, list[Outcome]]) -> list[str]:
    """The table; ``speed`` is the time without delay over the time with it, in per cent."""
    seconds = {far: median(item.run.seconds for item in found) for far, found in outcomes.items() if found}
    lines = []
    for far, taken in seconds.items():
        near = [near for near in seconds if (near.scope, near.mode, near.delay, near.mbit) == (*_key(far), 0.0, None)]
        speed = f"{100 * seconds[near[0]] / taken:.0f} %" if near else ""
        last = outcomes[far][-1]
        lines.append(
            [
                far.scope,
                far.mode,
                far.place if far.delay or far.mbit else "-",
                f"{far.delay:g} ms" + (f", {far.mbit:g} Mbit/s" if far.mbit else ""),
                f"{taken:.2f}",
                speed,
                f"{median(item.run.tool_cpu for item in outcomes[far]):.2f}",
                f"{max(item.run.peak_bytes for item in outcomes[far]) >> 20}",
                f"{last.source.turns} + {last.target.turns}",
                f"{100 * last.full:.0f} %" if last.full is not None else "",
            ]
        )
    heads = ["scope", "mode", "far", "line", "s", "speed", "CPU s", "MiB", "turns", "line full"]
    return list(table(heads, lines))


def _key(far: Far) -> tuple[str, str]:
    return far.scope, far.mode


def _cases(options: argparse.Namespace) -> list[Far]:
    delays = [float(item) for item in options.delays.split(",")]
    cases: list[Far] = []
    scopes = [("full", mode) for mode in MODES if mode in options.modes.split(",")]
    if options.tables:
        scopes += [("tiny", mode) for mode in ("drop_recreate", "truncate") if mode in options.modes.split(",")]
    for scope, mode in scopes:
        for delay in delays:
            places = options.places.split(",") if delay else ["both"]
            cases += [Far(scope, mode, place, delay) for place in places]
        if scope == "full" and options.rate:
            cases.append(Far(scope, mode, "source", max(delays), options.rate))
            cases.append(Far(scope, mode, "target", max(delays), options.rate))
    return cases


def _setting(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    return name, yaml.safe_load(value)


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit status: 1 when a migration failed."""
    options = _parser().parse_args(arguments)
    try:
        with open_ends(
            source_url=options.source,
            target_url=options.target,
            rows=options.rows,
            more=tiny_tables(options.tables) if options.tables and options.source is None else "",
        ) as ends:
            if options.source is not None:
                options.tables = 0
            with behind_lines(ends) as (far, lines):
                settings = {
                    key: yaml.safe_load(value) for key, _, value in (item.partition("=") for item in options.set)
                }
                benchmark = FarBenchmark(far, lines, _cases(options), tables=options.tables, settings=settings)
                outcomes = benchmark.measure(options.repeats)
    except (BenchmarkError, MigrationError, ValueError) as error:
        stderr(f"{type(error).__name__}: {error}")
        return 1
    print("\n".join(report(outcomes)))
    if options.json is not None:
        document = [{**asdict(far), "runs": [asdict(item) for item in found]} for far, found in outcomes.items()]
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.far", description=__doc__)
    add = parser.add_argument
    add("--source", metavar="URL", help="mssql://user:password@host:port/database (default: the sandbox)")
    add("--target", metavar="URL", help="postgresql://user:password@host/database; schema mpm_benchmark is used")
    add("--rows", type=int, default=2_000_000, help="rows of the generated database (default 2,000,000)")
    add("--tables", type=int, default=1000, help="tiny tables, 0 for none (default 1,000; own source only)")
    add("--delays", default="0,10,40,100", help="round trips in ms (default 0,10,40,100)")
    add("--places", default="source,target,both", help="which server is far (default source,target,both)")
    add("--modes", default=",".join(MODES))
    add("--rate", type=float, help="also lines of so many Mbit/s, at the longest delay")
    add("--repeats", type=int, default=1, help="rounds (default 1); medians are shown")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="a key of the migration section, for trying")
    add("--json", type=Path, metavar="FILE", help="write every run as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
