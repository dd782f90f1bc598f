"""What the terminal UI computes: bars, rates, remaining time, log lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssql_pg_migrate.events import ChunkCommitted, Message, PhaseStarted, Retry, Waiting
from mssql_pg_migrate.report.history import RunHistory, TableHistory, Throughput
from mssql_pg_migrate.report.recorder import ReportRecorder
from mssql_pg_migrate.tui.log import describe
from mssql_pg_migrate.tui.view import (
    Rates,
    bar,
    curve,
    overall,
    overall_line,
    percent,
    status_line,
    table_order,
    table_state,
)
from sample_run import sample_events

EMPTY = Throughput(0.0, 0.25)


def history(*tables: TableHistory) -> RunHistory:
    return RunHistory(None, None, False, None, None, None, tables, (), EMPTY)


@given(st.floats(-1, 2), st.integers(1, 200))
def test_a_bar_always_fills_its_width(share, width):
    text = bar(share, width, "cyan")
    assert text.cell_len == width
    filled = text.plain.count("━")
    assert filled <= max(share, 0) * width + 1e-9 or filled == width
    assert (filled == width) == (share >= 1)


def test_a_hundred_percent_is_only_said_of_all():
    assert [percent(share) for share in (0, 0.005, 0.999, 1)] == ["  0 %", "  0 %", " 99 %", "100 %"]


def test_rates_look_back_a_few_seconds_only():
    rates = Rates()
    assert rates.add("t", 0.0, 0) == 0.0
    for second in range(1, 21):
        rate = rates.add("t", float(second), min(second, 10) * 100)
    assert rate == 0.0
    assert rates.add("t", 21.0, 1600) == pytest.approx(600 / 6, rel=0.2)
    assert rates.add("t", 22.0, 5) == 0.0, "a table that begins again is not negative"


def test_the_whole_run_counts_complete_tables_as_they_are():
    totals = overall(
        history(
            TableHistory("a", 100, "completed", rows=150),
            TableHistory("b", 200, "running", rows=50),
            TableHistory("c", 100),
        ),
        rate=25.0,
    )
    assert (totals.rows, totals.expected) == (200, 450)
    assert totals.eta == 10.0
    assert overall(history(TableHistory("a", 9, "completed", rows=3)), 0.0).share == 1.0
    assert overall(history(TableHistory("a", 0, "running", rows=3)), 0.0).share < 1.0
    assert overall(history(), 0.0).share == 0.0


@pytest.mark.parametrize("width", [20, 60, 78, 200])
def test_lines_of_the_whole_run(width):
    recorder = ReportRecorder()
    for event in sample_events():
        recorder(event)
        if isinstance(event, ChunkCommitted):
            break
    now = recorder.history()
    totals = overall(now, 1000.0)
    assert "rows" in overall_line(totals, width, "running").plain
    status = status_line("running", now, 42.0, totals, "upsert").plain
    assert "Move rows" in status
    assert "0:42" in status
    assert "ETA" in status


def test_states_of_a_table_are_told_by_words_not_only_by_colour():
    moving = TableHistory("t", 10, "running")
    assert table_state(moving, "running")[0] == "moving"
    assert table_state(moving, "paused")[0] == "stopped"
    done = TableHistory("t", 10, "completed", phase="indexes")
    assert table_state(done, "running")[0] == "indexes"
    assert table_state(done, "completed")[0] == "✓ complete"
    assert table_state(TableHistory("t", 10, "failed"), "failed")[0] == "✕ failed"
    order = [TableHistory("t", 1, status) for status in ("failed", "running", "pending", "completed")]
    assert [table_order(table) for table in order] == [0, 1, 2, 3]


def test_the_curve_has_a_point_per_column_and_leaves_out_the_open_interval():
    assert curve(EMPTY, 5) == [0.0] * 5
    assert curve(Throughput(0.0, 0.25, (10, 10, 20, 20, 7)), 4) == [0.0, 0.0, 40.0, 80.0]
    assert len(curve(Throughput(0.0, 2.0, tuple(range(600))), 60)) == 60


def test_log_lines():
    assert describe(Message(level="debug", text="x")) is None
    assert describe(PhaseStarted(phase="indexes", table="t", detail="IX")) is None
    line = describe(Retry(table="t", reason="deadlock", attempt=2, delay=1.5))
    assert line is not None
    assert (line.level, line.text) == ("warn", "t: deadlock; again in 1.5 s (attempt 2)")
    line = describe(Waiting(side="source", text="waiting for dbo.a", seconds=3.0))
    assert line is not None
    assert (line.level, line.text) == ("warn", "waiting for dbo.a")
    levels = [line.level for line in map(describe, sample_events(failed="Posts")) if line is not None]
    assert {"info", "good", "warn", "error"} == set(levels)
