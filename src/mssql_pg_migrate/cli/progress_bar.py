"""The progress display on a terminal: one line for the run, one for each table in flight."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from .tables import size
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

        self._console = Console(file=sys.stderr)
        self._live = Live(
            get_renderable=self._render,
            console=self._console,
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
        return render(self._tracker.snapshot(), self._console.width)


def render(snapshot: Snapshot, width: int = 80) -> Table:
    """The display for one moment, for a terminal of that many columns."""
    from rich.progress_bar import ProgressBar as Bar
    from rich.table import Table
    from rich.text import Text

    narrow = width < 72
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(ratio=3, no_wrap=True, overflow="ellipsis", min_width=20)
    grid.add_column(ratio=2, min_width=4)
    for _ in range(4 if narrow else 5):
        grid.add_column(justify="right", no_wrap=True)

    def add(name: Text, bar: object, percent: float | None, rows: int, rate: float, moved: int, times: str) -> None:
        cells = ["" if percent is None else f"{percent:.0f}%", f"{rows:,}", f"{rate:,.0f}/s" if rate else ""]
        grid.add_row(name, bar, *cells, *([] if narrow else [size(moved)]), times)  # type: ignore[arg-type]

    done = sum(table.status in ("completed", "indexes", "constraints") for table in snapshot.tables)
    total = snapshot.total
    add(
        Text(f"{snapshot.phase} {done}/{len(snapshot.tables)} tables", style="bold"),
        Bar(total=max(total, 1), completed=min(snapshot.rows, total)),
        100 * snapshot.rows / total if total else None,
        snapshot.rows,
        snapshot.rate,
        snapshot.bytes,
        _times(snapshot.elapsed, snapshot.remaining_seconds),
    )
    for table in _in_flight(snapshot.tables):
        moving = table.status == "transfer"
        most = max(table.total, 1)
        add(
            Text(f"  {table.name}"),
            Bar(total=most, completed=min(table.rows, most)) if moving else Text(table.status, style="dim"),
            table.percent if table.total else None,
            table.rows,
            table.rate if moving else 0.0,
            table.bytes,
            _times(None, table.remaining_seconds),
        )
    return grid


def _times(elapsed: float | None, remaining: float | None) -> str:
    """``1:05 ETA 0:40``: time gone, time left."""
    parts = [] if elapsed is None else [clock(elapsed)]
    if remaining is not None:
        parts.append(f"ETA {clock(remaining)}")
    return " ".join(parts)


def clock(seconds: float) -> str:
    """``0:05``, ``12:34``, ``1:02:03``."""
    whole = int(seconds)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d}"
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"


def _in_flight(tables: list[TableProgress]) -> list[TableProgress]:
    active = [table for table in tables if table.status in ("transfer", "indexes", "constraints")]
    return sorted(active, key=lambda table: (table.status != "transfer", -table.total))[:MOST_LINES]
