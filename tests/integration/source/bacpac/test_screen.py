"""A package in the terminal interface: run by keys; that it cannot be followed is said."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from bcp_rows import Column
from mssql_pg_migrate import Config
from mssql_pg_migrate.tui.app import MigrationApp
from mssql_pg_migrate.tui.session import Session
from packages import Table, write_package
from servers import PgDatabase

pytestmark = pytest.mark.timeout(200)


async def _until(app: MigrationApp, pilot: Pilot[int], *states: str) -> None:
    for _ in range(1200):
        if app._session.state in states:
            return
        await pilot.pause(0.05)
    raise AssertionError(f"still {app._session.state}: {app._session.error}")


def test_run_by_keys(tmp_path: Path, target_db: PgDatabase) -> None:
    """Plan, start, complete; then the key for following."""
    path = write_package(
        tmp_path / "shop.bacpac", [Table("T", [Column("int", name="n")], [[[1], [2], [3]]], key=["n"])]
    )
    config = Config.from_dict({"source": {"type": "bacpac", "path": str(path)}, "target": target_db.section()})
    app = MigrationApp(Session(config, tmp_path / "run.state"), report_path=tmp_path / "run.html")

    async def play() -> None:
        async with app.run_test(size=(100, 24)) as pilot:
            await _until(app, pilot, "ready")
            await pilot.press("s", "y")
            await _until(app, pilot, "completed", "failed")
            assert app._session.state == "completed", app._session.error
            for _ in range(600):
                if not app._session.busy:
                    break
                await pilot.pause(0.05)
            await pilot.press("f")
            line = ""
            for _ in range(600):
                await pilot.pause(0.05)
                found = app.screen.query("#follow-line")
                line = str(found.first(Static).render()) if found else line
                if line.startswith("stopped"):
                    break
            assert "a package does not change" in line
            await pilot.press("escape")

    asyncio.run(play())
    assert target_db.execute('SELECT count(*) FROM public."T"') == [(3,)]
