"""Text for people: complete when piped, fitted on a terminal."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest

from mssql_pg_migrate.cli import render
from mssql_pg_migrate.cli.tables import TextTable, count, duration, plain, show, size
from mssql_pg_migrate.results import HealthReport, RunResult, SideHealth, TableCheck, TableResult, ValidationReport


class Terminal(io.StringIO):
    """A stdout that is a terminal, 60 columns wide."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (5 << 20, "5.0 MiB"),
        (3 << 30, "3.0 GiB"),
        (1 << 41, "2,048.0 GiB"),
    ],
)
def test_size(value: int, text: str) -> None:
    assert size(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.00 s"),
        (0.456, "0.46 s"),
        (12.34, "12.3 s"),
        (59.96, "1 min 00 s"),
        (245, "4 min 05 s"),
        (7830, "2 h 10 min"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_count() -> None:
    assert (count(1, "row"), count(0, "row"), count(1234, "row")) == ("1 row", "0 rows", "1,234 rows")
    assert count(2, "index", "indexes") == "2 indexes"


def test_a_plain_table_is_never_cut() -> None:
    long = "x" * 500
    table = TextTable(["Name", "Rows"], ["left", "right"])
    table.add(long, 5)
    table.add("two\nlines", None)
    text = plain(["Heading", table])
    assert text.splitlines() == [
        "Heading",
        "",
        "Name" + " " * 498 + "Rows",
        "-" * 500 + "  ----",
        long + "     5",
        "two lines",
    ]


def test_a_terminal_gets_folded_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    table = TextTable(["Name", "Rows"], ["left", "right"])
    table.add("[bold]x[/bold]" + "y" * 200, 5)
    show(["[red]as it is[/red]", table])
    text = terminal.getvalue()
    assert "[red]as it is[/red]" in text
    assert "[bold]x[/bold]" in text
    assert text.count("y") == 200


def run_result(**changes: Any) -> RunResult:
    tables = [TableResult("Users", "completed", rows=1234567, seconds=2.0, bytes=5 << 20, reader="wire")]
    values: dict[str, Any] = {
        "run_id": "r",
        "status": "completed",
        "mode": "truncate",
        "resumed": False,
        "seconds": 3.0,
        "tables": tables,
        "peak_memory_bytes": 150 << 20,
    }
    return RunResult(**{**values, **changes})


def test_a_run() -> None:
    text = plain(render.run_blocks(run_result(), resume=None))
    assert text.splitlines()[0] == (
        "Migration completed: 1 table, 1,234,567 rows in 3.0 s (411,522 rows/s), peak memory 150.0 MiB"
    )
    assert "Users  1,234,567  2.0 s  617,284  5.0 MiB  wire    completed" in text
    assert "Unchanged" not in text


def test_a_failed_run_says_what_to_do_next() -> None:
    result = run_result(status="failed", problems=["FK_x: orphans"], notes=["a", "b"])
    result.tables.append(TableResult("Posts", "failed", rows=5, skipped=2, error="duplicate key"))
    text = plain(render.run_blocks(result, resume="mssql-pg-migrate resume"))
    assert "Migration FAILED" in text
    assert "  Posts: duplicate key" in text
    assert "  FK_x: orphans" in text
    assert "2 notes" in text
    assert "Go on with: mssql-pg-migrate resume" in text
    assert "Unchanged" in text


def test_validation() -> None:
    checks = [
        TableCheck("A", 5, 5, True, 0, 0, 0),
        TableCheck("B", 1000, 999, False, 1, 0, 0, {"missing": ["Id=3"], "extra": []}),
        TableCheck("C", 1, None, False, error="no target table"),
        TableCheck("D", 9000, 9000, False, 0, 0, 8123, estimated=True),
    ]
    text = plain(render.validation_blocks(ValidationReport(True, checks, 0.5)))
    assert text.startswith("Compared row counts and contents of 4 tables in 0.50 s: 3 tables of 4 differ\n")
    assert "about 8,123  DIFFERENT" in text
    assert "B, missing: Id=3" in text
    assert "no target table" in text
    lines = plain(render.validation_blocks(ValidationReport(False, checks[:1], 0.5))).splitlines()
    assert lines[0].endswith("equal")
    assert lines[2].split() == ["Table", "Source", "Target", "Result"]


def test_health() -> None:
    sides = [
        SideHealth("source", True, "h:1433/d", "16.0.1", 1.25, "TLSv1.3", {"tables": "10"}, ["old"]),
        SideHealth("target", False, "t:5432/d", error="refused"),
    ]
    assert plain(render.health_blocks(HealthReport(sides))).splitlines() == [
        "source: ok  h:1433/d",
        "  version: 16.0.1",
        "  TLS: TLSv1.3",
        "  round trip: 1.2 ms",
        "  tables: 10",
        "  warning: old",
        "target: FAILED  t:5432/d",
        "  error: refused",
    ]


def test_a_plan() -> None:
    column = {
        "source": "At",
        "source_type": "datetime2(7)",
        "target": "At",
        "target_type": "timestamp",
        "nullable": False,
        "copied": True,
        "lossy": "100 ns become microseconds",
    }
    plan = {
        "mode": "drop_recreate",
        "source": "s:1433/d",
        "target": "t:5432/d",
        "tables": [
            {
                "source": "dbo.Posts",
                "target": "public.Posts",
                "action": "create",
                "estimated_rows": 12345,
                "estimated_bytes": 1 << 20,
                "max_ranges": 4,
                "range_key": ["Id"],
                "resumable": True,
                "unlogged": False,
                "columns": [column],
                "indexes": ["a"],
                "unique_keys": [],
                "foreign_keys": [],
                "checks": [],
            }
        ],
        "views": ["public.V"],
        "sequences": [],
        "notes": [
            {"severity": "renamed", "object": "dbo.Posts index X", "message": "becomes X_1"},
            {"severity": "not_carried", "object": "dbo.T1", "message": "is a trigger"},
            *({"severity": "lossy", "object": f"dbo.P.c{number}", "message": "is cut"} for number in range(5)),
        ],
    }
    text = plain(render.plan_blocks(plan, [("workers", "4", "configured")]))
    assert text.startswith("Plan: s:1433/d -> t:5432/d, drop_recreate, 1 table, about 12,345 rows, 1.0 MiB\n")
    for expected in (
        "dbo.Posts  public.Posts  create  12,345  1.0 MiB  up to 4  Id   goes on",
        "datetime2(7)  At             timestamp NOT NULL  100 ns become microseconds",
        "Views:\n  public.V\n",
        "Not carried over:\n  dbo.T1: is a trigger\n",
        "Renamed:\n  dbo.Posts index X: becomes X_1\n",
        "  is cut (5 times: dbo.P.c0, dbo.P.c1, dbo.P.c2 and 2 more; see --output-json for all)\n",
        "workers      4  configured",
    ):
        assert expected in text
    assert text.index("Not carried over") < text.index("Renamed")


def test_the_command_that_goes_on_names_both_files() -> None:
    from mssql_pg_migrate.cli.migrating import _resume_command
    from mssql_pg_migrate.cli.options import GlobalOptions

    assert _resume_command(GlobalOptions()) is None
    options = GlobalOptions(config=Path("a b.yaml"), state_file=Path("s.state"))
    assert _resume_command(options) == "mssql-pg-migrate -c 'a b.yaml' --state-file s.state resume"
