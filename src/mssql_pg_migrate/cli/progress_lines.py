"""``--progress``: JSON lines on stderr while a run goes. Every line has ``table`` and ``rows_transferred``."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

from ..events import AnyEvent, PhaseStarted, RunFinished, RunStarted, TableFinished, TableStarted, Waiting
from .jsontext import one_line
from .logs import ALL_TABLES, timestamp
from .redact import Redactor
from .tracker import Snapshot, TableProgress, Tracker

INTERVAL = 0.8
"""Seconds between two lines of a table whose rows move: at least one a second arrives."""


class ProgressLines:
    """An event sink and a ticker; ``start`` and ``stop`` frame a run. Tell the tracker of an event first."""

    def __init__(self, tracker: Tracker, redactor: Redactor) -> None:
        self._tracker = tracker
        self._redactor = redactor
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to tick."""
        self._thread = threading.Thread(target=self._tick, name="progress", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the ticker."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def __call__(self, event: AnyEvent) -> None:
        if isinstance(event, RunStarted):
            self._write(
                ALL_TABLES,
                self._tracker.rows(),
                "run_started",
                event.at,
                run_id=event.run_id,
                mode=event.mode,
                resumed=event.resumed,
                tables=len(event.tables),
                total_rows=sum(event.tables.values()),
            )
        elif isinstance(event, PhaseStarted):
            self._write(
                ALL_TABLES if event.table is None else self._tracker.display_name(event.table),
                self._tracker.rows(event.table),
                "phase",
                event.at,
                phase=event.phase,
                detail=self._redactor(event.detail) if event.detail else None,
            )
        elif isinstance(event, (TableStarted, TableFinished)):
            table = next(item for item in self._tracker.snapshot().tables if item.name == event.table)
            kind = "table_started" if isinstance(event, TableStarted) else "table_finished"
            self._table(table, kind, event.at)
        elif isinstance(event, Waiting):
            self._write(
                ALL_TABLES,
                self._tracker.rows(),
                "waiting",
                event.at,
                side=event.side,
                message=self._redactor(event.text),
                seconds=round(event.seconds, 1),
                waits_for=event.waits_for,
                held_by=event.held_by,
                application=event.application,
                state=event.state,
                since=None if event.since is None else timestamp(event.since),
            )
        elif isinstance(event, RunFinished):
            self._write(
                ALL_TABLES,
                event.rows,
                "run_finished",
                event.at,
                run_id=event.run_id,
                status=event.status,
                skipped_rows=event.skipped,
                seconds=round(event.seconds, 3),
            )

    def _tick(self) -> None:
        while not self._stopped.wait(INTERVAL):
            self._report(self._tracker.snapshot())

    def _report(self, snapshot: Snapshot) -> None:
        now = time.time()
        for table in snapshot.tables:
            if table.status == "transfer":
                self._table(table, "progress", now)

    def _table(self, table: TableProgress, kind: str, at: float) -> None:
        remaining = table.remaining_seconds
        self._write(
            table.name,
            table.rows,
            kind,
            at,
            status=table.status,
            total_rows=table.total,
            skipped_rows=table.skipped,
            bytes=table.bytes,
            percent=round(table.percent, 1),
            rows_per_second=round(table.rate if table.seconds is None else table.rows / max(table.seconds, 0.001)),
            eta_seconds=None if remaining is None else round(remaining),
            seconds=None if table.seconds is None else round(table.seconds, 3),
            reader=table.reader,
            error=None if table.error is None else self._redactor(table.error),
        )

    def _write(self, table: str, rows: int, kind: str, at: float, **more: Any) -> None:
        line = {"table": table, "rows_transferred": rows, "event": kind, "timestamp": timestamp(at)}
        line |= {name: value for name, value in more.items() if value is not None}
        try:
            # One call for the whole line: other threads write to stderr as well.
            sys.stderr.write(f"{one_line(line)}\n")
            sys.stderr.flush()
        except (OSError, ValueError):
            # Nobody reads any more; the migration goes on without an audience.
            self._stopped.set()
