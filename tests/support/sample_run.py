"""An invented run as a stream of events, for tests of what shows a run: the report and the terminal UI."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from mssql_pg_migrate.events import (
    AnyEvent,
    ChunkCommitted,
    Message,
    PhaseStarted,
    RangeFinished,
    Retry,
    RunFinished,
    RunStarted,
    TableFinished,
    TableStarted,
)
from mssql_pg_migrate.results import RunResult, TableResult

START = 1_750_000_000.0


@dataclass(frozen=True)
class SampleTable:
    name: str
    rows: int
    row_bytes: int
    begin: float
    seconds: float
    ranges: int = 1
    indexes: tuple[str, ...] = ()


TABLES = (
    SampleTable("Posts", 372_000, 980, 1.2, 17.4, 4, ("PK_Posts", "IX_Posts_Owner")),
    SampleTable("Votes", 1_014_000, 38, 1.2, 9.8, 4, ("PK_Votes",)),
    SampleTable("Comments", 387_000, 210, 1.3, 10.9, 2, ("PK_Comments", "IX_Comments_Post")),
    SampleTable("Badges", 110_000, 44, 1.3, 2.1, 1, ("PK_Badges",)),
    SampleTable("Users", 29_900, 160, 3.5, 1.3, 1, ("PK_Users",)),
    SampleTable("PostLinks", 16_100, 40, 4.9, 0.5),
    SampleTable("VoteTypes", 15, 24, 5.5, 0.05),
)


def sample_events(tables: tuple[SampleTable, ...] = TABLES, *, failed: str | None = None) -> Iterator[AnyEvent]:
    """The events of one run in order of time; ``failed`` names a table that fails half way."""
    end = max(table.begin + table.seconds for table in tables)
    yield PhaseStarted(phase="connect", at=START)
    yield PhaseStarted(phase="extract", at=START + 0.3)
    estimates = {table.name: table.rows for table in tables}
    yield RunStarted(run_id="5f0c7a52-0000-4000-8000-2b1d2f9b7c11", mode="drop_recreate", resumed=False,
                     tables=estimates, at=START + 0.9)  # fmt: skip
    yield PhaseStarted(phase="prepare", at=START + 0.9)
    yield PhaseStarted(phase="transfer", at=START + 1.1)
    events: list[AnyEvent] = []
    for table in tables:
        events.extend(_table(table, fails=table.name == failed))
    yield from sorted(events, key=lambda event: event.at)
    yield PhaseStarted(phase="indexes", at=START + end + 0.1)
    for number, table in enumerate(tables):
        for index, name in enumerate(table.indexes):
            at = START + end + 0.2 + 0.9 * index + 0.1 * number
            yield PhaseStarted(phase="indexes", table=f"dbo.{table.name}", detail=name, at=at)
    yield PhaseStarted(phase="constraints", at=START + end + 3)
    yield PhaseStarted(phase="finish", at=START + end + 3.4)
    rows = sum(table.rows for table in tables)
    status = "failed" if failed else "completed"
    yield RunFinished(run_id="5f0c7a52-0000-4000-8000-2b1d2f9b7c11", status=status, seconds=end + 4, rows=rows,
                      skipped=0, at=START + end + 4)  # fmt: skip


def _table(table: SampleTable, *, fails: bool) -> Iterator[AnyEvent]:
    chance = random.Random(table.name)
    begin = START + table.begin
    yield TableStarted(table=table.name, estimated_rows=table.rows, ranges=table.ranges, reader="wire", at=begin)
    chunks = max(4, int(table.seconds * 12))
    done = 0
    for number in range(chunks):
        if fails and number > chunks // 2:
            break
        rows = table.rows * (number + 1) // chunks - table.rows * number // chunks
        done += rows
        at = begin + table.seconds * (number + chance.uniform(0.3, 1.0)) / chunks
        yield ChunkCommitted(table=table.name, range_id=0, rows=rows, bytes=rows * table.row_bytes,
                             range_rows=done, at=at)  # fmt: skip
    finish = begin + table.seconds * (0.5 if fails else 1)
    if table.name == "Votes":
        for attempt in (1, 2):
            yield Retry(table="Votes", reason="the source closed the connection (10054)", attempt=attempt,
                        delay=0.5 * attempt, at=begin + 4 + attempt)  # fmt: skip
    if fails:
        error = f"table {table.name}, column Body: the value of row Id=77 holds a zero character"
        yield Message(level="error", text=error, table=table.name, at=finish)
        yield TableFinished(table=table.name, rows=done, skipped=0, seconds=finish - begin, error=error, at=finish)
        return
    yield RangeFinished(table=table.name, range_id=0, rows=table.rows, at=finish)
    yield TableFinished(table=table.name, rows=table.rows, skipped=0, seconds=table.seconds, at=finish)


def sample_result(tables: tuple[SampleTable, ...] = TABLES, *, failed: str | None = None) -> RunResult:
    """The result that belongs to ``sample_events``."""
    results = []
    for table in tables:
        item = TableResult(table.name, "completed", rows=table.rows, seconds=table.seconds, reader="wire",
                           ranges=table.ranges, bytes=table.rows * table.row_bytes)  # fmt: skip
        if table.name == failed:
            item.status, item.exit_code, item.error_kind = "failed", 3, "data"
            item.rows, item.bytes, item.seconds = table.rows // 2, item.bytes // 2, table.seconds / 2
            item.error = f"table {table.name}, column Body: the value of row Id=77 holds a zero character"
        results.append(item)
    end = max(table.begin + table.seconds for table in tables)
    return RunResult(
        run_id="5f0c7a52-0000-4000-8000-2b1d2f9b7c11",
        status="failed" if failed else "completed",
        mode="drop_recreate",
        resumed=False,
        seconds=end + 4,
        tables=results,
        retries=2,
        peak_memory_bytes=312 * 1024 * 1024,
        exit_code=3 if failed else 0,
    )
