"""What the recorder makes of a run's events: totals that survive resumes, rewinds and resets; bounded memory."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from mssql_pg_migrate.events import (
    ChunkCommitted,
    Message,
    PhaseStarted,
    RangeFinished,
    Retry,
    RunStarted,
    TableFinished,
    TableReset,
    TableStarted,
    Waiting,
)
from mssql_pg_migrate.report import ReportRecorder
from mssql_pg_migrate.report.recorder import MAX_BUCKETS, MAX_INCIDENTS, MAX_TALLIES
from sample_run import START, TABLES, sample_events


def chunk(rows: int, total: int, *, table: str = "t", number: int = 0, skipped: int = 0, at: float = START):
    return ChunkCommitted(
        table=table, range_id=number, rows=rows, bytes=rows * 10, skipped=skipped, range_rows=total,
        range_skipped=skipped, at=at,
    )  # fmt: skip


def recorded(*events) -> ReportRecorder:
    recorder = ReportRecorder()
    for event in events:
        recorder(event)
    return recorder


def only_table(recorder: ReportRecorder):
    (table,) = recorder.history().tables
    return table


def test_a_whole_run():
    history = recorded(*sample_events()).history()
    assert [table.table for table in history.tables] == [table.name for table in TABLES]
    assert all(table.status == "completed" for table in history.tables)
    assert history.rows == history.moved == sum(table.rows for table in TABLES)
    assert sum(history.throughput.rows) == history.rows
    assert sum(history.throughput.bytes) == history.bytes
    assert history.status == "completed"
    assert history.retry_count == 2
    assert [mark.phase for mark in history.phases] == [
        "connect", "extract", "prepare", "transfer", "indexes", "constraints", "finish",
    ]  # fmt: skip


def test_resumed_ranges_count_only_what_this_run_moved():
    started = TableStarted(table="t", estimated_rows=1000, ranges=3, reader="wire", rows_before=400)
    table = only_table(
        recorded(
            started,
            chunk(50, 350, number=1),  # 300 of the 400 were this range's
            chunk(50, 400, number=1),
            chunk(20, 20, number=2),
            RangeFinished(table="t", range_id=1, rows=400),
            RangeFinished(table="t", range_id=0, rows=100),  # had nothing left
        )
    )
    assert (table.rows, table.moved) == (520, 120)
    assert table.share() == 0.52


def test_a_range_that_goes_back_is_not_counted_twice():
    started = TableStarted(table="t", estimated_rows=100, ranges=1, reader="wire")
    recorder = recorded(started, chunk(30, 30), chunk(30, 60), chunk(30, 60), chunk(30, 90))
    assert only_table(recorder).rows == 90


def test_a_table_that_begins_again_starts_from_nothing():
    started = TableStarted(table="t", estimated_rows=100, ranges=1, reader="driver", rows_before=40)
    recorder = recorded(started, chunk(30, 70), TableReset(table="t", reason="no key"), chunk(10, 10))
    table = only_table(recorder)
    assert (table.rows, table.resets) == (10, 1)


def test_the_final_count_is_the_ledgers():
    started = TableStarted(table="t", estimated_rows=7, ranges=1, reader="wire")
    recorder = recorded(started, chunk(5, 5), TableFinished(table="t", rows=9, skipped=4, seconds=1.0))
    table = only_table(recorder)
    assert (table.rows, table.skipped, table.share()) == (9, 4, 1.0)


def test_a_table_of_an_earlier_attempt_is_complete_but_not_this_runs_work():
    table = only_table(recorded(TableFinished(table="t", rows=9, skipped=0, seconds=0.0)))
    assert (table.status, table.rows, table.moved, table.started) == ("completed", 9, 0, None)


def test_finalization_speaks_of_qualified_names():
    run = RunStarted(run_id="r", mode="truncate", resumed=False, tables={"Orders": 1, "b.Other": 1})
    recorder = recorded(
        run,
        PhaseStarted(phase="indexes", table="dbo.Orders", detail="IX"),
        PhaseStarted(phase="indexes", table="b.Other", detail="IY"),
    )
    assert [table.table for table in recorder.history().tables] == ["Orders", "b.Other"]
    assert [[mark.detail for mark in table.marks] for table in recorder.history().tables] == [["IX"], ["IY"]]


@given(st.lists(st.tuples(st.floats(0, 1e7), st.integers(0, 10_000)), max_size=60))
def test_the_curve_keeps_every_row_however_long_the_run_is(chunks):
    recorder = ReportRecorder()
    total = 0
    for offset, rows in chunks:
        total += rows
        recorder(chunk(rows, total, at=START + offset))
    curve = recorder.history().throughput
    assert sum(curve.rows) == total
    assert len(curve.rows) == len(curve.bytes) <= MAX_BUCKETS


def test_a_chunks_rows_came_in_since_the_one_before():
    recorder = ReportRecorder()
    recorder(TableStarted(table="t", estimated_rows=1000, ranges=1, reader="wire", at=START))
    recorder(chunk(400, 400, at=START + 1))
    recorder(chunk(400, 800, at=START + 2))
    assert recorder.history().throughput.rows[:8] == (100,) * 8


def test_waiting_is_an_incident():
    recorder = ReportRecorder()
    recorder(Waiting(side="target", text="waiting for public.a", seconds=3.0, at=START))
    (incident,) = recorder.history().incidents
    assert (incident.kind, incident.text, incident.at) == ("warn", "waiting for public.a", START)


def test_memory_is_bounded():
    recorder = ReportRecorder()
    for number in range(3000):
        recorder(Retry(table="t", reason=f"reason {number}", attempt=1, delay=0.1, at=START + number))
        recorder(Message(level="warn", text=f"warning {number}", at=START + number))
    recorder(Message(level="error", text="the one that matters", at=START + 4000))
    history = recorder.history()
    assert history.retry_count == 3000
    assert len(history.retries) <= MAX_TALLIES + 1
    assert len(history.incidents) == 2 * MAX_INCIDENTS + 1
    assert history.incidents_left_out == 3000 - MAX_INCIDENTS
    assert history.incidents[-1].text == "the one that matters"


def test_events_may_come_from_many_threads():
    recorder = recorded(TableStarted(table="t", estimated_rows=8000, ranges=8, reader="wire"))

    def range_thread(number: int) -> None:
        for done in range(1, 1001):
            recorder(chunk(1, done, number=number))

    threads = [threading.Thread(target=range_thread, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        recorder.history()
    for thread in threads:
        thread.join()
    assert only_table(recorder).rows == sum(recorder.history().throughput.rows) == 8000
