"""What the screen shows, computed from a history: bars, rates, remaining time. Pure functions and small state."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from rich.text import Text

from ..report.charts import PHASE_NAMES
from ..report.format import clock, short_count
from ..report.history import RunHistory, TableHistory, Throughput
from .session import SessionState

WINDOW = 6.0
"""Seconds over which the present rate is taken."""


def bar(share: float, width: int, style: str) -> Text:
    """A bar of ``width`` cells, exact to half a cell; without colours, thick and thin still tell it apart."""
    halves = int(min(max(share, 0.0), 1.0) * width * 2)
    filled = "━" * (halves // 2) + ("╸" if halves % 2 else "")
    text = Text(filled, style=style, no_wrap=True)
    text.append("─" * (width - len(filled)), style="dim")
    return text


def percent(share: float) -> str:
    """``  7 %``; 100 only for all of it."""
    return f"{min(int(share * 100), 99) if share < 1 else 100:3d} %"


class Rates:
    """Rows per second now: of a name, over the last ``WINDOW`` seconds."""

    def __init__(self) -> None:
        self._samples: dict[str, deque[tuple[float, int]]] = {}

    def add(self, name: str, at: float, total: int) -> float:
        """Take a sample of a growing total; returns the rate. A total that shrank begins anew."""
        samples = self._samples.setdefault(name, deque())
        if samples and total < samples[-1][1]:
            samples.clear()
        samples.append((at, total))
        while len(samples) > 2 and samples[1][0] <= at - WINDOW:
            samples.popleft()
        (first, before), (last, after) = samples[0], samples[-1]
        return (after - before) / (last - first) if last > first else 0.0

    def clear(self) -> None:
        """Forget everything, for another run."""
        self._samples.clear()


@dataclass(frozen=True, slots=True)
class Overall:
    """The run as a whole."""

    rows: int
    expected: int
    share: float
    rate: float
    eta: float | None
    """Seconds; None while nothing moves or all rows are there."""


def overall(history: RunHistory, rate: float) -> Overall:
    """Progress over all tables; a complete table counts as it is, whatever was estimated."""
    expected = sum(
        table.rows if table.status == "completed" else max(table.estimated_rows, table.rows) for table in history.tables
    )
    rows = history.rows
    done = bool(history.tables) and all(table.status == "completed" for table in history.tables)
    share = 1.0 if done else min(rows / expected, 0.999) if expected else 0.0
    left = expected - rows
    return Overall(rows, expected, share, rate, left / rate if rate > 0 and left > 0 else None)


_STATES: dict[SessionState, tuple[str, str]] = {
    "planning": ("Reading both servers", "cyan"),
    "ready": ("Ready", "cyan"),
    "running": ("Running", "cyan"),
    "pausing": ("Pausing: chunks under way are being committed", "yellow"),
    "cancelling": ("Cancelling", "yellow"),
    "paused": ("Paused", "yellow"),
    "cancelled": ("Cancelled", "yellow"),
    "completed": ("Completed", "green"),
    "invalid": ("Completed with problems, see the log", "yellow"),
    "failed": ("Failed, see the log", "red"),
    "refused": ("Cannot run, see the log", "red"),
}


def status_line(state: SessionState, history: RunHistory, seconds: float, totals: Overall, mode: str) -> Text:
    """``● Moving rows · drop_recreate · 0:42 · ETA 1:10``."""
    words, colour = _STATES[state]
    if state == "running" and history.phase is not None:
        words = PHASE_NAMES[history.phase]
    text = Text("● ", style=colour, no_wrap=True, overflow="ellipsis")
    text.append(words, style=f"bold {colour}")
    text.append(f"  {mode}", style="dim")
    if seconds:
        text.append(f"  {clock(seconds)}")
    if state == "running" and totals.eta is not None:
        text.append(f"  ETA {clock(totals.eta)}", style="bold")
    retries = history.retry_count
    if retries:
        text.append(f"  {retries} {'retry' if retries == 1 else 'retries'}", style="yellow")
    return text


def overall_line(totals: Overall, width: int, state: SessionState) -> Text:
    """The run's bar with its numbers behind it."""
    numbers = f"{percent(totals.share)}  {short_count(totals.rows)} of {short_count(totals.expected)} rows"
    if state in ("running", "pausing"):
        numbers += f"  {short_count(totals.rate)}/s"
    style = {"completed": "green", "failed": "red", "invalid": "yellow"}.get(state, "cyan")
    text = bar(totals.share, max(width - len(numbers) - 2, 8), style)
    text.append(f" {numbers}")
    return text


def table_state(table: TableHistory, state: SessionState) -> tuple[str, str]:
    """(words, style) of a table's status."""
    if table.status == "failed":
        return "✕ failed", "bold red"
    if table.status == "completed":
        if state == "running" and table.phase in ("indexes", "constraints"):
            return {"indexes": "indexes", "constraints": "constraints"}[table.phase], "cyan"
        return "✓ complete", "green"
    if table.status == "running":
        return ("moving", "cyan") if state in ("running", "pausing") else ("stopped", "yellow")
    return "waiting", "dim"


def table_order(table: TableHistory) -> int:
    """Failed and moving tables first, then those that wait, complete ones last."""
    return {"failed": 0, "running": 1, "pending": 2, "completed": 3}[table.status]


def curve(throughput: Throughput, points: int) -> list[float]:
    """Rows per second for a sparkline: the last ``points`` intervals of half a second or more, the newest last."""
    group = max(1, round(0.5 / throughput.width)) if throughput.width > 0 else 1
    width = throughput.width * group
    rows = throughput.rows
    values = [sum(rows[index : index + group]) / width for index in range(0, len(rows) - group + 1, group)]
    return [0.0] * (points - len(values)) + values[-points:]
