"""What is shown while a run goes: the tracker's sums, JSON lines, the bar."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import threading
import time
from typing import Any

import pytest
from rich.console import Console

from mssql_pg_migrate.cli import progress_lines
from mssql_pg_migrate.cli.progress_bar import ProgressBar, clock, render
from mssql_pg_migrate.cli.progress_lines import ProgressLines
from mssql_pg_migrate.cli.redact import Redactor
from mssql_pg_migrate.cli.tracker import Tracker
from mssql_pg_migrate.events import (
    AnyEvent,
    ChunkCommitted,
    PhaseStarted,
    Retry,
    RunFinished,
    RunStarted,
    TableFinished,
    TableReset,
    TableStarted,
)


def feed(*events: AnyEvent) -> Tracker:
    tracker = Tracker()
    for event in events:
        tracker(event)
    return tracker


def started(**tables: int) -> RunStarted:
    return RunStarted(run_id="r", mode="truncate", resumed=False, tables=tables)


def table(name: str, rows: int, before: int = 0) -> TableStarted:
    return TableStarted(table=name, estimated_rows=rows, ranges=2, reader="wire", rows_before=before)


def chunk(name: str, rows: int, so_far: int, range_id: int = 0, skipped: int = 0) -> ChunkCommitted:
    return ChunkCommitted(
        table=name,
        range_id=range_id,
        rows=rows,
        bytes=rows * 10,
        range_rows=so_far,
        skipped=skipped,
        range_skipped=skipped,
    )


class TestTracker:
    """The sum of the events."""

    def test_rows_of_two_ranges(self) -> None:
        tracker = feed(
            started(A=100, B=50), table("A", 100), chunk("A", 10, 10), chunk("A", 5, 5, 1), chunk("A", 7, 17)
        )
        snapshot = tracker.snapshot()
        assert (snapshot.rows, snapshot.bytes, snapshot.total) == (22, 220, 150)
        assert (tracker.rows("A"), tracker.rows("B"), tracker.rows("C"), tracker.rows()) == (22, 0, 0, 22)
        assert snapshot.tables[0].percent == 22.0

    def test_a_resumed_table_counts_what_was_there(self) -> None:
        assert feed(table("A", 100, before=60), chunk("A", 5, 35)).rows("A") == 65

    def test_a_commit_in_doubt_shows_up_in_the_next_chunk(self) -> None:
        assert feed(table("A", 100), chunk("A", 10, 10), chunk("A", 10, 30)).rows("A") == 30

    def test_a_reset_begins_again(self) -> None:
        tracker = feed(table("A", 100), chunk("A", 10, 10), TableReset(table="A", reason="x"), chunk("A", 4, 4))
        assert tracker.rows("A") == 4

    def test_phases_of_a_table(self) -> None:
        tracker = feed(started(A=10), table("A", 10), chunk("A", 12, 12))
        assert tracker.snapshot().tables[0].percent == 99.9  # more rows than estimated
        tracker(TableFinished(table="A", rows=12, skipped=2, seconds=1.0))
        assert (tracker.snapshot().tables[0].status, tracker.snapshot().skipped) == ("completed", 2)
        tracker(PhaseStarted(phase="indexes"))
        tracker(PhaseStarted(phase="indexes", table="A"))
        assert (tracker.snapshot().tables[0].status, tracker.snapshot().phase) == ("indexes", "indexes")
        tracker(RunFinished(run_id="r", status="completed", seconds=1, rows=12, skipped=2))
        assert tracker.snapshot().tables[0].status == "completed"

    def test_a_phase_may_name_the_table_with_its_schema(self) -> None:
        tracker = feed(started(Users=5, **{"Order.Lines": 1}), table("Users", 5), chunk("Users", 5, 5))
        tracker(PhaseStarted(phase="indexes", table="dbo.Users"))
        tracker(PhaseStarted(phase="indexes", table="dbo.Order.Lines"))
        tracker(PhaseStarted(phase="indexes", table="dbo.Unknown"))
        assert [item.status for item in tracker.snapshot().tables] == ["indexes", "indexes"]
        assert (tracker.rows("dbo.Users"), tracker.display_name("dbo.Users")) == (5, "Users")
        assert tracker.display_name("dbo.Unknown") == "dbo.Unknown"

    def test_a_failed_table_stays_failed(self) -> None:
        tracker = feed(table("A", 10), TableFinished(table="A", rows=1, skipped=0, seconds=1, error="x"))
        tracker(PhaseStarted(phase="constraints", table="A"))
        assert tracker.snapshot().tables[0].status == "failed"

    def test_speed_and_time_left(self) -> None:
        now = time.time()
        tracker = feed(started(A=1000))
        tracker(TableStarted(table="A", estimated_rows=1000, ranges=1, reader="wire", at=now - 4))
        for second in range(4):
            so_far = 100 * (second + 1)
            tracker(ChunkCommitted(table="A", range_id=0, rows=100, bytes=1, range_rows=so_far, at=now - 3 + second))
        snapshot = tracker.snapshot()
        assert 80 < snapshot.tables[0].rate < 110
        assert snapshot.remaining_seconds is not None
        assert 5 < snapshot.remaining_seconds < 9

    def test_old_speed_is_forgotten(self) -> None:
        tracker = feed(started(A=1000), table("A", 1000))
        tracker(ChunkCommitted(table="A", range_id=0, rows=100, bytes=1, range_rows=100, at=time.time() - 100))
        assert tracker.snapshot().rate == 0.0
        assert tracker.snapshot().remaining_seconds is None

    def test_retries(self) -> None:
        assert feed(Retry(table=None, reason="x", attempt=1, delay=1)).snapshot().retries == 1

    def test_many_threads(self) -> None:
        tracker = feed(*(table(str(name), 1000) for name in range(4)))

        def work(name: int) -> None:
            for so_far in range(1, 501):
                tracker(chunk(str(name), 1, so_far))
                if so_far % 50 == 0:
                    tracker.snapshot()

        threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert tracker.rows() == 2000


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


class TestLines:
    """--progress."""

    def send(self, tracker: Tracker, lines: ProgressLines, *events: AnyEvent) -> None:
        for event in events:
            tracker(event)
            lines(event)

    def test_every_line_has_table_and_rows(self, capsys: pytest.CaptureFixture[str]) -> None:
        tracker = Tracker()
        lines = ProgressLines(tracker, Redactor())
        self.send(
            tracker,
            lines,
            PhaseStarted(phase="extract"),
            started(A=10, B=5),
            table("A", 10),
            chunk("A", 10, 10),
            TableFinished(table="A", rows=10, skipped=0, seconds=2.0),
            table("B", 5),
            TableFinished(table="B", rows=2, skipped=0, seconds=1.0, error="poison"),
            PhaseStarted(phase="indexes", table="A", detail="PK"),
            RunFinished(run_id="r", status="failed", seconds=3.0, rows=12, skipped=0),
        )
        found = lines_of(capsys)
        assert [(line["event"], line["table"], line["rows_transferred"]) for line in found] == [
            ("phase", "*", 0),
            ("run_started", "*", 0),
            ("table_started", "A", 0),
            ("table_finished", "A", 10),
            ("table_started", "B", 0),
            ("table_finished", "B", 2),
            ("phase", "A", 10),
            ("run_finished", "*", 12),
        ]
        assert found[3]["rows_per_second"] == 5
        assert found[5]["error"] == "poison"
        assert found[5]["status"] == "failed"

    def test_at_least_one_line_a_second(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert progress_lines.INTERVAL < 1
        monkeypatch.setattr(progress_lines, "INTERVAL", 0.05)
        tracker = Tracker()
        lines = ProgressLines(tracker, Redactor())
        self.send(tracker, lines, started(A=10, B=10), table("A", 10), chunk("A", 1, 1))
        lines.start()
        time.sleep(0.3)
        lines.stop()
        ticks = [line for line in lines_of(capsys) if line["event"] == "progress"]
        assert len(ticks) >= 3
        assert {line["table"] for line in ticks} == {"A"}  # B has not begun
        assert {line["rows_transferred"] for line in ticks} == {1}
        assert {line["total_rows"] for line in ticks} == {10}

    def test_a_closed_stderr_does_not_matter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Closed(io.StringIO):
            def write(self, _: str) -> int:
                raise BrokenPipeError

        monkeypatch.setattr("sys.stderr", Closed())
        tracker = Tracker()
        self.send(tracker, ProgressLines(tracker, Redactor()), started(A=1))

    @pytest.mark.skipif(shutil.which("jq") is None, reason="needs jq")
    def test_the_guides_jq_example(self, capsys: pytest.CaptureFixture[str]) -> None:
        tracker = Tracker()
        awkward = 'Order "Details" \\ x'
        lines = ProgressLines(tracker, Redactor())
        self.send(
            tracker,
            lines,
            RunStarted(run_id="r", mode="truncate", resumed=False, tables={awkward: 5, "B": 1}),
            table(awkward, 5),
            TableFinished(table=awkward, rows=5, skipped=0, seconds=1, error='bad "value"\nin line 2'),
        )
        query = '.table + ": " + (.rows_transferred | tostring)'
        script = f"while read line; do echo \"$line\" | jq -r '{query}' || exit 1; done"
        text = capsys.readouterr().err
        done = subprocess.run(["bash", "-c", script], input=text, capture_output=True, text=True, check=True)
        assert done.stderr == ""
        assert len(done.stdout.splitlines()) == 3
        assert done.stdout.splitlines()[0] == "*: 0"


class TestBar:
    """The display on a terminal."""

    def drawn(self, tracker: Tracker, width: int) -> str:
        console = Console(file=io.StringIO(), width=width, force_terminal=False, color_system=None)
        console.print(render(tracker.snapshot(), width))
        return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]

    @pytest.mark.parametrize("width", [60, 80, 120, 200])
    def test_it_shows_the_run_and_its_tables(self, width: int) -> None:
        tracker = feed(
            started(Posts=1000, Users=10, Votes=5),
            PhaseStarted(phase="transfer"),
            table("Posts", 1000),
            chunk("Posts", 500, 500),
            TableFinished(table="Users", rows=10, skipped=0, seconds=1),
        )
        lines = self.drawn(tracker, width).splitlines()
        assert len(lines) == 2
        assert all(len(line) <= width for line in lines)
        assert "transfer" in lines[0]
        if width >= 80:
            assert "1/3" in lines[0]
            assert " 510 " in lines[0]
            assert "Posts" in lines[1]
            assert "50%" in lines[1]
            assert " 500 " in lines[1]

    def test_phases_after_the_rows(self) -> None:
        tracker = feed(
            started(A=1),
            TableFinished(table="A", rows=1, skipped=0, seconds=1),
            PhaseStarted(phase="indexes"),
            PhaseStarted(phase="indexes", table="A"),
        )
        lines = self.drawn(tracker, 100).splitlines()
        assert lines[0].startswith("indexes")
        assert "indexes" in lines[1]

    def test_eighty_columns_are_enough_for_large_numbers(self) -> None:
        names = ["PostsWithQuiteALongName", "Votes"]
        tracker = feed(started(**dict.fromkeys(names, 500_000_000)), *(table(name, 500_000_000) for name in names))
        now = time.time()
        for name in names:
            event = ChunkCommitted(
                table=name, range_id=0, rows=123_456_789, bytes=200 << 30, range_rows=123_456_789, at=now
            )
            tracker(event)
        lines = self.drawn(tracker, 80).splitlines()
        assert len(lines) == 3
        assert "246,913,578" in lines[0]
        assert "400.0 GiB" in lines[0]
        assert "PostsWithQuit" in lines[1]

    def test_clock(self) -> None:
        assert [clock(value) for value in (5, 754.9, 3723)] == ["0:05", "12:34", "1:02:03"]

    def test_many_tables_do_not_fill_the_screen(self) -> None:
        tracker = feed(*(table(f"t{number}", 10) for number in range(50)))
        assert len(self.drawn(tracker, 100).splitlines()) <= 13

    def test_before_anything_is_known(self) -> None:
        assert "connect" in self.drawn(Tracker(), 80)

    def test_start_and_stop(self, monkeypatch: pytest.MonkeyPatch) -> None:
        stream = io.StringIO()
        monkeypatch.setattr("sys.stderr", stream)
        bar = ProgressBar(feed(started(A=1)))
        bar.start()
        bar.stop()
        bar.stop()
