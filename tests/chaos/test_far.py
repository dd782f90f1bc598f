"""Far servers, over a line that delays, stalls, resets and goes down: every row arrives once, the run goes on."""

from __future__ import annotations

import random
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from benchmarks.line import Line

from chaos_common import HEAP, LONG, SETTINGS, TABLES
from mssql_pg_migrate.demo.embedded_pg import EmbeddedPostgres
from running import Tool, assert_equal_rows, kill_tree, no_ledger_left, wait_for_rows
from servers import MssqlDatabase, PgDatabase, PgServer, pg_from_embedded

pytestmark = pytest.mark.chaos
ROUND_TRIP = 0.04
KILLS = 20 if LONG else 2
MODES: list[dict[str, Any]] = [
    {"target_mode": "drop_recreate"},
    {"target_mode": "truncate"},
    {"target_mode": "upsert", "exclude_tables": [HEAP]},
]


class FarTool(Tool):
    """The tool, whose servers are both behind lines of 40 ms."""

    def __init__(
        self, lines: ExitStack, folder: Path, source: MssqlDatabase, target: PgDatabase, **migration: Any
    ) -> None:
        super().__init__(folder, source, target, **migration)
        ends = self.data["source"], self.data["target"]
        self.source, self.target = (
            lines.enter_context(Line(end["host"], end["port"], round_trip=ROUND_TRIP)) for end in ends
        )
        for end, line in zip(ends, (self.source, self.target), strict=True):
            end.update(host=line.host, port=line.port)
        self.write()


@pytest.fixture
def lines() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def carried(case: dict[str, Any]) -> list[str]:
    return TABLES if "exclude_tables" in case else [*TABLES, HEAP]


@pytest.mark.parametrize("case", MODES, ids=lambda case: case["target_mode"])
def test_killed_at_a_distance_every_row_arrives_once(
    case: dict[str, Any], lines: ExitStack, chaos_source: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    if case["target_mode"] != "drop_recreate":
        # Tables that exist, hold other rows, and reference one another.
        near = Tool(tmp_path, chaos_source, target_db, exclude_tables=case.get("exclude_tables", []))
        near.result("run")
        target_db.execute("DELETE FROM by_two; DELETE FROM by_int WHERE id % 3 = 0; UPDATE by_int SET v = 'old'")
        near.state.unlink()
    tool = FarTool(lines, tmp_path, chaos_source, target_db, **SETTINGS, **case)
    pick = random.Random(case["target_mode"])
    killed, command = 0, "run"
    while killed < KILLS:
        process = tool.start(command)
        try:
            process.wait(pick.uniform(1.5, 5.0))
        except subprocess.TimeoutExpired:
            killed += 1
            kill_tree(process)
            command = "resume" if tool.state.exists() else "run"
            continue
        assert process.returncode == 0, process.communicate()
        break
    deadline = time.monotonic() + 120
    while (done := tool.run(command)).returncode != 0:
        assert time.monotonic() < deadline, done.stderr
    assert killed >= 1
    assert_equal_rows(chaos_source, target_db, carried(case))
    assert no_ledger_left(target_db)


@pytest.mark.parametrize("which", ["source", "target", "both"])
def test_a_line_that_stalls_and_resets_and_goes_down_costs_no_row(
    which: str, lines: ExitStack, chaos_source: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    tool = FarTool(lines, tmp_path, chaos_source, target_db, **{**SETTINGS, "chunk_size": 40})
    ill = [line for name, line in (("source", tool.source), ("target", tool.target)) if which in (name, "both")]
    process = tool.start("run")
    wait_for_rows(tool, process)
    cut = 0
    for _ in range(3 if LONG else 1):
        for line in ill:
            line.stall()
        time.sleep(20 if LONG else 2)
        for line in ill:
            line.flow()
        time.sleep(0.3)
        cut += sum(line.reset() for line in ill)
        time.sleep(0.3)
        for line in ill:
            line.down()
        time.sleep(5 if LONG else 1)
        for line in ill:
            line.up()
        time.sleep(0.5)
    output = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert cut > 0, "the run was over before a connection could be reset"
    assert_equal_rows(chaos_source, target_db, [*TABLES, HEAP])
    assert no_ledger_left(target_db)


@pytest.fixture(scope="module")
def durable_postgres() -> Iterator[PgServer]:
    """A PostgreSQL that may be crashed: what it calls committed must survive."""
    with EmbeddedPostgres(durable=True, settings={"shared_buffers": "32MB", "wal_writer_delay": "10s"}) as embedded:
        yield pg_from_embedded(embedded)


@pytest.mark.parametrize("case", MODES[::2], ids=lambda case: case["target_mode"])
def test_a_far_target_dies_while_commits_are_on_their_way(
    case: dict[str, Any], lines: ExitStack, chaos_source: MssqlDatabase, durable_postgres: PgServer, tmp_path: Path
) -> None:
    """Their answers never arrive, and without a flush some of the commits themselves are lost."""
    embedded = durable_postgres.embedded
    assert embedded is not None
    database = durable_postgres.new_database()
    try:
        tool = FarTool(lines, tmp_path, chaos_source, database, **{**SETTINGS, "chunk_size": 40}, **case, retries=20)
        process = tool.start("run")
        wait_for_rows(tool, process)
        for _ in range(4 if LONG else 1):
            tool.target.stall()  # answers on their way are held, and then lost
            threading.Event().wait(0.1)
            embedded.restart_after_crash()
            tool.target.reset()
            tool.target.flow()
            time.sleep(2)
        output = process.communicate(timeout=300)
        assert process.returncode == 0, output
        assert_equal_rows(chaos_source, database, carried(case))
        assert no_ledger_left(database)
    finally:
        database.drop()
