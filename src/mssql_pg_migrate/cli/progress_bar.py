"""The progress display on a terminal: one line for the run, one for each table in flight."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from .tables import duration, size
from .tracker import Snapshot, TableProgress, Tracker

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live
    from rich.table import Table

REFRESH = 4
"""Times a second."""
MOST_LINES = 12


class ProgressBar:
    """Draws on stderr between ``start`` and ``stop``; what is logged meanwhile appears above it."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._live: Live | None = None

    def start(self) -> None:
        """Take over the bottom of the terminal."""
        from rich.console import Console
        from rich.live import Live

        self._live = Live(
            get_renderable=self._render,
            console=Console(file=sys.stderr),
            refresh_per_second=REFRESH,
            transient=True,
            redirect_stdout=False,
        )
        self._live.start()

    def stop(self) -> None:
        """Leave the terminal as it was."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _render(self) -> RenderableType:
        return render(self._tracker.snapshot())


def render(snapshot: Snapshot) -> Table:
    """The display for one moment."""
    from rich.progress_bar import ProgressBar as Bar
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 1))
    grid.add_column(ratio=2, no_wrap=True, overflow="ellipsis", min_width=12)
    grid.add_column(ratio=3, min_width=10)
    for _ in range(5):
        grid.add_column(justify="right", no_wrap=True)
    grid.expand = True
    remaining = snapshot.remaining_seconds
    done = sum(table.status in ("completed", "indexes", "constraints") for table in snapshot.tables)
    grid.add_row(
        Text(f"{snapshot.phase}  {done}/{len(snapshot.tables)} tables", style="bold"),
        Bar(total=max(snapshot.total, 1), completed=min(snapshot.rows, snapshot.total)),
        f"{100 * snapshot.rows / snapshot.total:.0f}%" if snapshot.total else "",
        f"{snapshot.rows:,} rows",
        f"{snapshot.rate:,.0f}/s",
        size(snapshot.bytes),
        f"{duration(snapshot.elapsed)}" + (f", {duration(remaining)} left" if remaining is not None else ""),
    )
    for table in _in_flight(snapshot.tables):
        left = table.remaining_seconds
        grid.add_row(
            Text(f"  {table.name}"),
            Bar(total=max(table.total, 1), completed=min(table.rows, max(table.total, 1)))
            if table.status == "transfer"
            else Text(table.status, style="dim"),
            f"{table.percent:.0f}%" if table.total else "",
            f"{table.rows:,} rows",
            f"{table.rate:,.0f}/s" if table.status == "transfer" else "",
            size(table.bytes),
            f"{duration(left)} left" if left is not None else "",
        )
    return grid


def _in_flight(tables: list[TableProgress]) -> list[TableProgress]:
    active = [table for table in tables if table.status in ("transfer", "indexes", "constraints")]
    return sorted(active, key=lambda table: (table.status != "transfer", -table.total))[:MOST_LINES]
