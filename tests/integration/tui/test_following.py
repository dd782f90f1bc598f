"""The view of a sync over real servers: changes arrive while it is shown, and Escape ends it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from textual.widgets import DataTable, Static

from mssql_pg_migrate import Config, Migration
from mssql_pg_migrate.tui.app import MigrationApp
from mssql_pg_migrate.tui.following import FollowScreen
from mssql_pg_migrate.tui.session import Session
from servers import MssqlDatabase, PgDatabase


def configuration(source: MssqlDatabase, target: PgDatabase, **sync: Any) -> Config:
    return Config.from_dict({"source": source.section(), "target": target.section(), "migration": {}, "sync": sync})


def test_changes_are_shown(source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path) -> None:
    source_db.execute_script(
        "CREATE TABLE dbo.T (id int PRIMARY KEY, rv rowversion); INSERT INTO dbo.T (id) VALUES (1)"
    )
    config = configuration(source_db, target_db, interval="100ms", deletes="never")
    assert Migration(config).run().exit_code == 0
    app = MigrationApp(Session(config, tmp_path / "run.state"), report_path=tmp_path / "run.html")

    async def play() -> None:
        async with app.run_test(size=(100, 24)) as pilot:
            for _ in range(600):
                if not app._session.busy:
                    break
                await pilot.pause(0.05)
            await pilot.press("f")
            await pilot.pause(0.3)
            screen = app.screen
            assert isinstance(screen, FollowScreen)
            await asyncio.to_thread(source_db.execute_script, "INSERT INTO dbo.T (id) VALUES (2), (3)")
            table = screen.query_one(DataTable)
            for _ in range(600):
                if table.row_count and str(table.get_row_at(0)[3]) == "2":
                    break
                await pilot.pause(0.05)
            cells = [str(cell) for cell in table.get_row_at(0)]
            assert cells[:2] == ["T", "rowversion"]
            assert cells[3] == "2", screen.query_one("#follow-line", Static).render()
            assert target_db.execute('SELECT count(*) FROM "T"') == [(3,)]
            await pilot.press("escape")
            await pilot.pause()
            assert app.screen is not screen
            assert await asyncio.to_thread(screen._follower.wait, 20)

    asyncio.run(play())


def test_why_nothing_can_be_followed_is_shown(source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path) -> None:
    source_db.execute_script("CREATE TABLE dbo.T (id int PRIMARY KEY)")
    config = configuration(source_db, target_db)
    app = MigrationApp(Session(config, tmp_path / "run.state"), report_path=tmp_path / "run.html")

    async def play() -> None:
        async with app.run_test(size=(100, 24)) as pilot:
            for _ in range(600):
                if not app._session.busy:
                    break
                await pilot.pause(0.05)
            await pilot.press("f")
            for _ in range(600):
                line = str(app.screen.query_one("#follow-line", Static).render())
                if line.startswith("stopped"):
                    break
                await pilot.pause(0.05)
            assert "the target has no table public.T" in line

    asyncio.run(play())
