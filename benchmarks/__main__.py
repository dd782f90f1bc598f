"""``python -m benchmarks``: measure, print a table, write JSON."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import yaml

from mssql_pg_migrate.errors import MigrationError

from .bench import Benchmark, Options, stderr
from .ends import open_ends
from .text import report
from .whole import MODES, BenchmarkError

DEFAULT_ROWS = 1_000_000
QUICK_ROWS = 100_000
QUICK_SECONDS = 90.0


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit status: 1 when a migration failed."""
    options = _parser().parse_args(arguments)
    rows = options.rows or (QUICK_ROWS if options.quick else DEFAULT_ROWS)
    try:
        with open_ends(
            source_url=options.source,
            target_url=options.target,
            rows=rows,
            postgres=options.postgres,
            source_pid=options.source_pid,
            target_pid=options.target_pid,
        ) as ends:
            result = Benchmark(ends, _chosen(options), stderr).measure()
    except (BenchmarkError, MigrationError, ValueError) as error:
        stderr(f"{type(error).__name__}: {error}")
        return 1
    print("\n".join(report(result)))
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


def _chosen(options: argparse.Namespace) -> Options:
    own_source = options.source is None
    tls: tuple[bool | None, ...] = (False, True) if own_source else (None,)
    if options.tls is not None:
        tls = {"no": (False,), "yes": (True,), "both": (False, True)}[options.tls]
    shapes = Options().shapes if not options.shape else dict(item.split("=", 1) for item in options.shape)
    return Options(
        repeats=options.repeats or (1 if options.quick else 3),
        readers=tuple(options.readers.split(",")),
        modes=tuple(mode for mode in MODES if mode in options.modes.split(",")),
        scopes=tuple(options.scopes.split(",")) if options.scopes else ("full", *shapes),
        shapes=shapes,
        tls=tls,
        settings=dict(_setting(item) for item in options.set),
        brief=options.quick,
        seconds=options.seconds or (QUICK_SECONDS if options.quick else None),
    )


def _setting(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    return name, yaml.safe_load(value)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--source", metavar="URL", help="mssql://user:password@host:port/database?encrypt=true (default: the sandbox)")
    add("--target", metavar="URL", help="postgresql://user:password@host/database; schema mpm_benchmark is used")
    add("--source-pid", type=int, help="the source's process, where it is on this machine, to count its CPU")
    add("--target-pid", type=int, help="the target's postmaster, likewise")
    add("--postgres", choices=("any", "wheel", "path"), default="any", help="which PostgreSQL is started as target")
    add("--rows", type=int, help=f"rows of the generated database (default {DEFAULT_ROWS:,})")
    add("--quick", action="store_true", help=f"{QUICK_ROWS:,} rows, one round: below two minutes")
    add("--repeats", type=int, help="rounds (default 3); medians are shown")
    add("--seconds", type=float, help="begin no further round after that time")
    add("--readers", default="wire,driver")
    add("--modes", default=",".join(MODES))
    add("--scopes", help="of full, narrow, medium, wide (default all)")
    add("--shape", action="append", metavar="NAME=TABLE", help="a scope of one table (default the generated ones)")
    add("--tls", choices=("no", "yes", "both"), help="encryption of the source's connections")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="a key of the migration section, for trying")
    add("--json", type=Path, metavar="FILE", help="write the result as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
