"""What a run looks like from outside: the sum of its events, for progress lines, bars and final documents."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from ..events import (
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
from ..results import RowTotals

Status: TypeAlias = Literal["pending", "transfer", "indexes", "constraints", "completed", "failed"]

RATE_WINDOW = 8.0
"""Seconds over which the present speed is measured."""


@dataclass(slots=True)
class TableProgress:
    """One table. ``rows`` includes those of earlier attempts of the run, ``total`` is an estimate."""

    name: str
    total: int
    rows: int = 0
    skipped: int = 0
    bytes: int = 0
    status: Status = "pending"
    reader: str | None = None
    started: float | None = None
    """Seconds since the epoch."""
    seconds: float | None = None
    error: str | None = None
    rate: float = 0.0
    """Rows per second over the last few seconds."""

    @property
    def percent(self) -> float:
        """0 to 100; an estimate that turns out too low counts as nearly done."""
        if self.status in ("completed", "indexes", "constraints"):
            return 100.0
        if self.total <= 0:
            return 0.0
        return min(100.0 * self.rows / self.total, 99.9)

    @property
    def remaining_seconds(self) -> float | None:
        """An estimate; None while nothing is known."""
        return _remaining(self)


@dataclass(slots=True)
class Snapshot(RowTotals[TableProgress]):
    """The state of a run at one moment, safe to read at leisure."""

    tables: list[TableProgress]
    phase: str
    elapsed: float
    rate: float
    run_id: str | None = None
    mode: str | None = None
    retries: int = 0

    @property
    def bytes(self) -> int:
        return sum(table.bytes for table in self.tables)

    @property
    def total(self) -> int:
        """Estimated rows of all tables, never fewer than have arrived."""
        return sum(max(table.total, table.rows) for table in self.tables)

    @property
    def remaining_seconds(self) -> float | None:
        """An estimate; None while nothing is known."""
        return _remaining(self)


def _remaining(moving: TableProgress | Snapshot) -> float | None:
    if moving.rate <= 0 or moving.total <= moving.rows:
        return None
    return (moving.total - moving.rows) / moving.rate


@dataclass(slots=True)
class _Meter:
    """Rows per second over a sliding window."""

    points: deque[tuple[float, int]] = field(default_factory=deque)
    sum: int = 0

    def add(self, at: float, rows: int) -> None:
        self.points.append((at, rows))
        self.sum += rows

    def rate(self, now: float, since: float | None) -> float:
        while self.points and self.points[0][0] < now - RATE_WINDOW:
            self.sum -= self.points.popleft()[1]
        if not self.points:
            return 0.0
        span = RATE_WINDOW if since is None else min(RATE_WINDOW, now - since)
        return self.sum / max(span, 0.25)


class Tracker:
    """An event sink that can be asked for a Snapshot. Thread safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tables: dict[str, TableProgress] = {}
        self._ranges: dict[tuple[str, int], tuple[int, int]] = {}
        self._meters: dict[str, _Meter] = {}
        self._all = _Meter()
        self._began = time.time()
        self._moving_since: float | None = None
        self._phase = "connect"
        self._run_id: str | None = None
        self._mode: str | None = None
        self._retries = 0

    def __call__(self, event: AnyEvent) -> None:
        with self._lock:
            self._apply(event)

    def snapshot(self) -> Snapshot:
        """A copy of the present state."""
        now = time.time()
        with self._lock:
            tables = [
                replace(table, rate=self._meters[name].rate(now, table.started) if name in self._meters else 0.0)
                for name, table in self._tables.items()
            ]
            return Snapshot(
                tables=tables,
                phase=self._phase,
                elapsed=now - self._began,
                rate=self._all.rate(now, self._moving_since),
                run_id=self._run_id,
                mode=self._mode,
                retries=self._retries,
            )

    def rows(self, table: str | None = None) -> int:
        """Rows of one table (0 when it is unknown), or of all."""
        with self._lock:
            if table is None:
                return sum(item.rows for item in self._tables.values())
            found = self._known(table)
            return 0 if found is None else found.rows

    def display_name(self, table: str) -> str:
        """The name under which a table is shown: phases may call ``dbo.Users`` what the run shows as ``Users``."""
        with self._lock:
            found = self._known(table)
            return table if found is None else found.name

    def _known(self, name: str) -> TableProgress | None:
        found = self._tables.get(name)
        return found if found is not None else self._tables.get(name.partition(".")[2])

    def _table(self, name: str) -> TableProgress:
        return self._tables.setdefault(name, TableProgress(name, 0))

    def _apply(self, event: AnyEvent) -> None:
        if isinstance(event, ChunkCommitted):
            self._chunk(event)
        elif isinstance(event, RunStarted):
            self._run_id, self._mode = event.run_id, event.mode
            for name, total in event.tables.items():
                self._table(name).total = total
        elif isinstance(event, TableStarted):
            table = self._table(event.table)
            table.status, table.reader, table.error = "transfer", event.reader, None
            table.total, table.rows, table.started = event.estimated_rows, event.rows_before, event.at
            self._moving_since = self._moving_since or event.at
        elif isinstance(event, TableReset):
            table = self._table(event.table)
            table.rows = table.skipped = table.bytes = 0
            for key in [key for key in self._ranges if key[0] == event.table]:
                del self._ranges[key]
        elif isinstance(event, TableFinished):
            table = self._table(event.table)
            table.rows, table.skipped = event.rows, event.skipped
            table.seconds, table.error = event.seconds, event.error
            table.status = "failed" if event.error else "completed"
            if not event.error:
                table.total = event.rows
        elif isinstance(event, PhaseStarted):
            if event.table is None:
                self._phase = event.phase
            elif event.phase in ("indexes", "constraints"):
                known = self._known(event.table)
                if known is not None and known.status != "failed":
                    known.status = "indexes" if event.phase == "indexes" else "constraints"
        elif isinstance(event, Retry):
            self._retries += 1
        elif isinstance(event, RunFinished):
            self._phase = "finish"
            if event.status == "completed":
                for table in self._tables.values():
                    if table.status in ("indexes", "constraints"):
                        table.status = "completed"

    def _chunk(self, event: ChunkCommitted) -> None:
        """A range's own total is the truth: a chunk whose commit was in doubt may show up in the next one only."""
        key = (event.table, event.range_id)
        before = self._ranges.get(key)
        if before is None or event.range_rows < before[0]:
            rows, skipped = event.rows, event.skipped
        else:
            rows, skipped = event.range_rows - before[0], event.range_skipped - before[1]
        self._ranges[key] = (event.range_rows, event.range_skipped)
        table = self._table(event.table)
        table.rows += rows
        table.skipped += skipped
        table.bytes += event.bytes
        self._meters.setdefault(event.table, _Meter()).add(event.at, rows)
        self._all.add(event.at, rows)
        self._moving_since = self._moving_since or event.at
