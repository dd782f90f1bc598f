"""The terminal UI on a screen of 80x24, driven by keys. A replayed run stands in for the migration: what is tested is
what the screen shows and which key does what; ``tests/integration/test_tui_run.py`` runs it against servers."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, RichLog, Static

from mssql_pg_migrate.config import Config, config_from_dict
from mssql_pg_migrate.errors import ConfigError, ConnectionFailed
from mssql_pg_migrate.events import RangeFinished, TableFinished
from mssql_pg_migrate.mapping.objects import Note
from mssql_pg_migrate.state import RunState, StateKeeper, TableState, utc_now
from mssql_pg_migrate.tui import default_state_file, run_tui
from mssql_pg_migrate.tui.app import MigrationApp
from mssql_pg_migrate.tui.dialogs import Question, Reading
from mssql_pg_migrate.tui.session import Session
from sample_run import START, TABLES, sample_events, sample_result

SECRET = "hunter2"
RUN = "5f0c7a52-0000-4000-8000-2b1d2f9b7c12"


class ReplayedMigration:
    """Plays the sample run's events; stops like the real one when it is cancelled."""

    speed = 40.0
    fails: str | None = None
    refuses: Exception | None = None
    exists = True

    def __init__(self, config, *, state_file, on_event, shutdown_timeout) -> None:
        self.config, self.state_file, self.emit = config, state_file, on_event
        self.timeout = shutdown_timeout
        self.stop = threading.Event()
        self.now = False

    def plan(self):
        if self.refuses is not None:
            raise self.refuses
        tables = tuple(
            SimpleNamespace(
                display=table.name,
                action="recreate" if self.exists else "create",
                table=SimpleNamespace(source=SimpleNamespace(row_estimate=table.rows)),
            )
            for table in TABLES
        )
        notes = (Note("not_carried", "dbo.trg_Audit", "triggers are not migrated"), Note("info", "dbo.x", "quiet"))
        return SimpleNamespace(errors=(), notes=notes, source="src", target="dst", tables=tables)

    def run(self):
        begin = time.time()
        keeper = StateKeeper(self.state_file, RunState(RUN, self.config.hash, started_at=utc_now()))
        keeper.state.tables = {table.name: TableState(total_rows=table.rows) for table in TABLES}
        keeper.write()
        for event in sample_events(failed=self.fails):
            at = begin + (event.at - START) / self.speed
            if self.stop.wait(max(at - time.time(), 0)):
                keeper.close("cancelled")
                result = sample_result()
                result.status, result.exit_code = "cancelled", 5
                return result
            self.emit(replace(event, at=at))
        keeper.close("failed" if self.fails else "completed")
        return sample_result(failed=self.fails)

    resume = run

    def cancel(self, *, now=False):
        self.now = now
        self.stop.set()


class Slow(ReplayedMigration):
    """Slow enough to press keys meanwhile."""

    speed = 1.0


@pytest.fixture
def config() -> Config:
    login = {"database": "StackOverflow2010", "user": "u", "password": SECRET}
    return config_from_dict(
        {
            "source": {"type": "mssql", "host": "mssql.example.com", **login},
            "target": {"type": "postgres", "host": "pg.example.com", **login},
        }
    )


def show(
    config: Config,
    folder: Path,
    script: Callable[[MigrationApp, Pilot[int]], Awaitable[None]],
    *,
    size: tuple[int, int] = (80, 24),
    make: type[ReplayedMigration] = ReplayedMigration,
) -> MigrationApp:
    async def play() -> MigrationApp:
        app = MigrationApp(Session(config, folder / "x.state", make=make), report_path=folder / "x.html")
        async with app.run_test(size=size) as pilot:
            await until(app, pilot, "ready", "refused")
            await script(app, pilot)
        return app

    app = asyncio.run(play())
    session = app._session
    if session.busy:
        session.cancel()
    assert session.wait(10)
    return app


async def until(app: MigrationApp, pilot: Pilot[int], *states: str) -> None:
    for _ in range(200):
        if app._session.state in states and app._state == app._session.state:
            await pilot.pause()
            return
        await pilot.pause(0.05)
    raise AssertionError(f"still {app._session.state}, not {states}")


async def until_rows_move(app: MigrationApp, pilot: Pilot[int]) -> None:
    for _ in range(200):
        if app._session.recorder.history().moved:
            await pilot.pause(0.3)
            return
        await pilot.pause(0.02)
    raise AssertionError("no rows moved")


async def until_logged(app: MigrationApp, pilot: Pilot[int], words: str) -> None:
    for _ in range(100):
        if words in log_text(app):
            return
        await pilot.pause(0.05)
    raise AssertionError(f"{words!r} not in {log_text(app)!r}")


def screen_text(app: MigrationApp) -> str:
    return "\n".join("".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips())


def cells(app: MigrationApp) -> dict[str, list[str]]:
    table = app.query_one(DataTable)
    rows = [[str(cell) for cell in table.get_row_at(index)] for index in range(table.row_count)]
    return {row[0]: row[1:] for row in rows}


def log_text(app: MigrationApp) -> str:
    return " ".join(strip.text.strip() for strip in app.query_one(RichLog).lines)


def status(app: MigrationApp) -> str:
    return str(app.query_one("#status", Static).render())


def test_before_the_start_the_plan_is_shown(config, tmp_path):
    async def script(app, pilot):
        await pilot.pause(0.3)
        assert list(cells(app)) == [table.name for table in TABLES]
        assert cells(app)["Votes"][0] == "waiting"
        await until_logged(app, pilot, "triggers are not migrated")
        assert "quiet" not in log_text(app)
        assert "Ready" in status(app)

    show(config, tmp_path, script)


@pytest.mark.parametrize("size", [(80, 24), (70, 20), (120, 40), (200, 60)])
def test_everything_fits_the_screen(config, tmp_path, size):
    async def script(app, pilot):
        await pilot.press("s", "y")
        await until_rows_move(app, pilot)
        text = screen_text(app)
        lines = text.splitlines()
        assert len(lines) == size[1]
        assert {len(line) for line in lines} == {size[0]}
        for words in ("StackOverflow2010", "Move rows", "Posts", "moving", "rows/s", " %", "q Quit"):
            assert words in text, words
        assert "Rows/s" in text, "the last column is cut off"
        assert SECRET not in text

    show(config, tmp_path, script, size=size, make=Slow)


def test_a_run_to_the_end(config, tmp_path):
    async def script(app, pilot):
        await pilot.press("s")
        assert isinstance(app.screen, Question)
        assert "dropped" in screen_text(app)
        await pilot.press("y")
        await until(app, pilot, "completed")
        assert all(row[0] == "✓ complete" and "100 %" in row[1] for row in cells(app).values())
        assert "Completed" in status(app)
        await until_logged(app, pilot, "1,929,015 rows of 7 tables")
        await pilot.press("w")
        await pilot.pause()
        await until_logged(app, pilot, "report written")
        await pilot.press("q")

    app = show(config, tmp_path, script)
    assert app.return_value == 0
    assert "Migration report" in (tmp_path / "x.html").read_text(encoding="utf-8")


def test_no_is_the_default_when_tables_would_be_dropped(config, tmp_path):
    async def script(app, pilot):
        await pilot.press("s", "enter")
        await pilot.pause()
        assert app._session.state == "ready"

    show(config, tmp_path, script)


def test_pause_and_resume(config, tmp_path):
    class Pausable(ReplayedMigration):
        speed = 4.0

    async def script(app, pilot):
        await pilot.press("s", "y")
        await until_rows_move(app, pilot)
        await pilot.press("p")
        await until(app, pilot, "paused")
        assert app._session._migration.now is False
        await until_logged(app, pilot, "r goes on")
        assert app.check_action("resume", ()) is True
        assert app.check_action("pause", ()) is None
        Pausable.speed = 400.0
        await pilot.press("r")
        await until(app, pilot, "running", "completed")
        await until(app, pilot, "completed")
        assert app.check_action("resume", ()) is None

    show(config, tmp_path, script, make=Pausable)


def test_cancel_asks_and_cuts_off(config, tmp_path):
    async def script(app, pilot):
        await pilot.press("s", "y")
        await until_rows_move(app, pilot)
        await pilot.press("c", "n")
        assert app._session.state == "running"
        await pilot.press("c", "y")
        await until(app, pilot, "cancelled")
        assert app._session._migration.now is True
        await until_logged(app, pilot, "what is committed stays")
        await pilot.press("q")

    assert show(config, tmp_path, script, make=Slow).return_value == 5


def test_quitting_under_way_pauses_first(config, tmp_path):
    async def script(app, pilot):
        await pilot.press("s", "y")
        await until_rows_move(app, pilot)
        await pilot.press("q")
        assert isinstance(app.screen, Question)
        await pilot.press("y")
        for _ in range(100):
            if not app.is_running:
                break
            await pilot.pause(0.05)

    app = show(config, tmp_path, script, make=Slow)
    assert app.return_value == 5
    assert app._session.state == "paused"


def test_sigterm_pauses_and_quits(config, tmp_path):
    async def script(app, pilot):
        await pilot.press("s", "y")
        await until_rows_move(app, pilot)
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(100):
            if not app.is_running:
                break
            await pilot.pause(0.05)

    app = show(config, tmp_path, script, make=Slow)
    assert app.return_value == 5
    assert app._session.state == "paused"


def test_a_failed_table_is_on_top_and_says_why(config, tmp_path):
    class Failing(ReplayedMigration):
        fails = "Comments"

    async def script(app, pilot):
        await pilot.press("s", "y")
        await until(app, pilot, "failed")
        assert next(iter(cells(app))) == "Comments"
        assert cells(app)["Comments"][0] == "✕ failed"
        await until_logged(app, pilot, "zero character")
        table = app.query_one(DataTable)
        table.move_cursor(row=0)
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, Reading)
        assert "Id=77 holds a zero" in screen_text(app)
        assert "character" in screen_text(app)
        await pilot.press("escape")
        assert app.check_action("resume", ()) is True
        await pilot.press("q")

    assert show(config, tmp_path, script, make=Failing).return_value == 3


def test_a_server_that_is_away_can_be_tried_again(config, tmp_path):
    class Away(ReplayedMigration):
        refuses: Exception | None = ConnectionFailed("the source h:1433 refuses connections", side="source")

    async def script(app, pilot):
        assert app._session.state == "refused"
        await until_logged(app, pilot, "refuses connections")
        Away.refuses = None
        await pilot.press("s")
        await until(app, pilot, "ready")
        assert len(cells(app)) == len(TABLES)

    show(config, tmp_path, script, make=Away)


def test_an_unexpected_exception_ends_the_run_not_the_screen(config, tmp_path):
    class Broken(ReplayedMigration):
        def run(self):
            raise ZeroDivisionError("by zero")

    async def script(app, pilot):
        await pilot.press("s", "y")
        await until(app, pilot, "failed")
        await until_logged(app, pilot, "unexpected ZeroDivisionError: by zero")

    show(config, tmp_path, script, make=Broken)


def test_an_unfinished_run_is_offered(config, tmp_path):
    keeper = StateKeeper(tmp_path / "x.state", RunState(RUN, config.hash, started_at=utc_now()))
    keeper.close("cancelled")

    async def script(app, pilot):
        await pilot.pause(0.3)
        await until_logged(app, pilot, f"run {RUN} is not finished")
        assert app.check_action("resume", ()) is True
        await pilot.press("s")
        assert "unfinished run is given up" in screen_text(app)

    show(config, tmp_path, script)


def test_help_and_its_keys(config, tmp_path):
    async def script(app, pilot):
        await pilot.press("question_mark")
        assert isinstance(app.screen, Reading)
        assert "resume a paused" in screen_text(app)
        await pilot.press("escape")
        assert not isinstance(app.screen, Reading)

    show(config, tmp_path, script)


def test_many_tables_and_odd_names(config, tmp_path):
    names = ["[b]bold[/b]", "データ表", "x" * 120, *(f"Table {number}" for number in range(400))]

    class Many(ReplayedMigration):
        def plan(self):
            made = super().plan()
            made.tables = tuple(
                SimpleNamespace(display=name, action="create", table=made.tables[0].table) for name in names
            )
            return made

        def run(self):
            for name in names:
                self.emit(RangeFinished(table=name, range_id=0, rows=0))
                self.emit(TableFinished(table=name, rows=5, skipped=0, seconds=0.1))
            return sample_result()

    async def script(app, pilot):
        await pilot.pause(0.3)
        assert len(cells(app)) == len(names)
        assert "[b]bold[/b]" in screen_text(app)
        await pilot.press("s", "y")
        await until(app, pilot, "completed")
        await pilot.resize_terminal(100, 30)
        await pilot.pause(0.3)
        assert cells(app)["データ表"][0] == "✓ complete"

    show(config, tmp_path, script, make=Many)


def test_without_a_terminal(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    with pytest.raises(ConfigError, match="there is none"):
        run_tui(tmp_path / "config.yaml")


def test_the_state_file_is_beside_the_configuration():
    assert default_state_file(Path("/etc/m/config.yaml")) == Path("/etc/m/config.yaml.state")
