"""Events as lines of the log pane."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from ..events import (
    AnyEvent,
    Message,
    PhaseStarted,
    Retry,
    RunStarted,
    TableFinished,
    TableReset,
    TableStarted,
    Waiting,
)
from ..report.charts import PHASE_NAMES
from ..report.format import count, duration, plural

Level: TypeAlias = Literal["info", "good", "warn", "error"]


@dataclass(frozen=True, slots=True)
class LogLine:
    """One entry; ``text`` may hold line breaks."""

    level: Level
    text: str
    at: float = field(default_factory=time.time)


def describe(event: AnyEvent) -> LogLine | None:
    """The line for an event; None for those the log does not show."""
    if isinstance(event, Message):
        if event.level == "debug":
            return None
        return LogLine(event.level, event.text, event.at)
    if isinstance(event, RunStarted):
        how = "resumed" if event.resumed else "begins"
        tables = plural(len(event.tables), "table")
        return LogLine("info", f"run {event.run_id} {how}: {tables}, {event.mode}", event.at)
    if isinstance(event, PhaseStarted):
        return LogLine("info", PHASE_NAMES[event.phase], event.at) if event.table is None else None
    if isinstance(event, TableStarted):
        before = f", {count(event.rows_before)} there already" if event.rows_before else ""
        ranges = f", {plural(event.ranges, 'range')}" if event.ranges > 1 else ""
        return LogLine("info", f"{event.table}: {event.reader} reader{ranges}{before}", event.at)
    if isinstance(event, TableFinished):
        if event.error is not None:
            return None  # its message came before
        skipped = f", {count(event.skipped)} unchanged" if event.skipped else ""
        when = f"in {duration(event.seconds)}" if event.seconds > 0 else "were loaded before"
        text = f"{event.table}: {count(event.rows)} rows {when}{skipped}"
        return LogLine("good", text, event.at)
    if isinstance(event, TableReset):
        return LogLine("warn", f"{event.table} begins again: {event.reason}", event.at)
    if isinstance(event, Waiting):
        return LogLine("warn", event.text, event.at)
    if isinstance(event, Retry):
        table = f"{event.table}: " if event.table else ""
        text = f"{table}{event.reason}; again in {event.delay:.1f} s (attempt {event.attempt})"
        return LogLine("warn", text, event.at)
    return None
