"""Collects a run's events into a `RunHistory`: bounded memory, a few dictionary operations per event."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from ..events import (
    AnyEvent,
    ChunkCommitted,
    Message,
    Phase,
    PhaseStarted,
    RangeFinished,
    Retry,
    RunFinished,
    RunStarted,
    TableFinished,
    TableReset,
    TableStarted,
    Waiting,
)
from .history import Incident, PhaseMark, RunHistory, TableHistory, TableProgress, Tally, Throughput

MAX_BUCKETS = 600
"""Intervals of the throughput curve; when a run outgrows them, two become one and the interval doubles."""
FIRST_WIDTH = 0.25
"""Seconds of an interval at the beginning."""
MAX_INCIDENTS = 200
"""Of each kind."""
MAX_MARKS = 200
MAX_TALLIES = 300


@dataclass(slots=True)
class _Range:
    """``base``: the range's rows before this run touched it; they are part of the table's ``rows_before``."""

    base: int
    base_skipped: int
    rows: int = 0
    skipped: int = 0
    last: float | None = None
    """When its latest chunk was committed."""


@dataclass(slots=True)
class _Table:
    table: str
    estimated_rows: int = 0
    status: TableProgress = "pending"
    rows_before: int = 0
    ranges: int = 0
    seen: dict[int, _Range] = field(default_factory=dict)
    final: tuple[int, int] | None = None
    bytes: int = 0
    reader: str | None = None
    started: float | None = None
    finished: float | None = None
    retries: int = 0
    resets: int = 0
    error: str | None = None
    phase: Phase | None = None
    marks: list[PhaseMark] = field(default_factory=list)

    def history(self) -> TableHistory:
        moved = sum(item.rows - item.base for item in self.seen.values())
        skipped = sum(item.skipped - item.base_skipped for item in self.seen.values())
        rows = self.rows_before + moved
        if self.final is not None:
            rows, skipped = self.final
        return TableHistory(
            table=self.table,
            estimated_rows=self.estimated_rows,
            status=self.status,
            rows=rows,
            moved=moved,
            skipped=skipped,
            bytes=self.bytes,
            ranges=self.ranges,
            reader=self.reader,
            started=self.started,
            finished=self.finished,
            retries=self.retries,
            resets=self.resets,
            error=self.error,
            phase=self.phase,
            marks=tuple(self.marks),
        )


@dataclass(slots=True)
class _Tally:
    count: int
    first: float
    last: float
    waited: float


class ReportRecorder:
    """An event sink: call it with every event, from any thread; ``history`` may be asked at any time.

    Memory stays bounded however long the run is: the throughput curve has at most ``MAX_BUCKETS`` intervals, retries
    are counted per table and reason, and of warnings and errors the first ``MAX_INCIDENTS`` each are kept.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clear()

    def _clear(self) -> None:
        self._run: RunStarted | None = None
        self._end: RunFinished | None = None
        self._first: float | None = None
        self._last: float | None = None
        self._tables: dict[str, _Table] = {}
        self._phases: list[PhaseMark] = []
        self._width = FIRST_WIDTH
        self._rows: list[int] = []
        self._bytes: list[int] = []
        self._tallies: dict[tuple[str | None, str], _Tally] = {}
        self._incidents: list[Incident] = []
        self._kept: dict[str, int] = {}
        self._left_out = 0

    def __call__(self, event: AnyEvent) -> None:
        """Take one event."""
        with self._lock:
            if self._first is None:
                self._first = event.at
            self._last = event.at if self._last is None else max(self._last, event.at)
            self._take(event)

    def reset(self) -> None:
        """Forget everything, for another run."""
        with self._lock:
            self._clear()

    def history(self) -> RunHistory:
        """What is known now."""
        with self._lock:
            run, end = self._run, self._end
            return RunHistory(
                run_id=run.run_id if run else None,
                mode=run.mode if run else None,
                resumed=run.resumed if run else False,
                started=self._first,
                ended=self._last,
                status=end.status if end else None,
                tables=tuple(table.history() for table in self._tables.values()),
                phases=tuple(self._phases),
                throughput=Throughput(self._first or 0.0, self._width, tuple(self._rows), tuple(self._bytes)),
                retries=tuple(
                    Tally(table, reason, item.count, item.first, item.last, item.waited)
                    for (table, reason), item in self._tallies.items()
                ),
                incidents=tuple(self._incidents),
                incidents_left_out=self._left_out,
                phase=self._phases[-1].phase if self._phases else None,
            )

    # -- one event -------------------------------------------------------------------------------------------------

    def _take(self, event: AnyEvent) -> None:
        if isinstance(event, ChunkCommitted):
            self._chunk(event)
        elif isinstance(event, RangeFinished):
            item = self._range(event.table, event.range_id, event.rows, event.skipped)
            item.rows, item.skipped = event.rows, event.skipped
        elif isinstance(event, RunStarted):
            self._run = event
            for name, estimate in event.tables.items():
                self._table(name).estimated_rows = estimate
        elif isinstance(event, PhaseStarted):
            self._phase(event)
        elif isinstance(event, TableStarted):
            self._table_started(event)
        elif isinstance(event, TableFinished):
            self._table_finished(event)
        elif isinstance(event, TableReset):
            table = self._table(event.table)
            table.resets += 1
            table.rows_before = 0
            table.seen.clear()
            self._incident(Incident("reset", f"began again: {event.reason}", event.at, event.table))
        elif isinstance(event, Retry):
            self._retry(event)
        elif isinstance(event, Message):
            if event.level in ("warn", "error"):
                kind = "warn" if event.level == "warn" else "error"
                self._incident(Incident(kind, event.text, event.at, event.table))  # type: ignore[arg-type]
        elif isinstance(event, Waiting):
            self._incident(Incident("warn", event.text, event.at))
        elif isinstance(event, RunFinished):
            self._end = event

    def _table(self, name: str) -> _Table:
        """The table of that name; ``schema.name`` also finds the table that a run of one schema calls ``name``."""
        table = self._tables.get(name)
        if table is None and "." in name:
            table = self._tables.get(name.split(".", 1)[1])
        if table is None:
            table = self._tables[name] = _Table(name)
        return table

    def _range(self, table: str, number: int, base: int, base_skipped: int) -> _Range:
        seen = self._table(table).seen
        if number not in seen:
            seen[number] = _Range(base, base_skipped, base, base_skipped)
        return seen[number]

    def _chunk(self, event: ChunkCommitted) -> None:
        before, skipped_before = event.range_rows - event.rows, event.range_skipped - event.skipped
        item = self._range(event.table, event.range_id, before, skipped_before)
        item.rows, item.skipped = event.range_rows, event.range_skipped
        self._table(event.table).bytes += event.bytes
        # A chunk's rows came in since the one before it; the curve shows them there, not as a spike at its end.
        self._spread(item.last or self._table(event.table).started or event.at, event)
        item.last = event.at

    def _spread(self, begin: float, event: ChunkCommitted) -> None:
        origin = self._first if self._first is not None else event.at
        end = max(event.at - origin, 0.0)
        begin = min(max(begin - origin, 0.0), end)
        while end / self._width >= MAX_BUCKETS:
            self._rows = _pairs(self._rows)
            self._bytes = _pairs(self._bytes)
            self._width *= 2
        first, last = int(begin / self._width), int(end / self._width)
        missing = last + 1 - len(self._rows)
        if missing > 0:
            self._rows.extend([0] * missing)
            self._bytes.extend([0] * missing)
        rows = size = 0
        for index in range(first, last + 1):
            share = 1.0 if index == last else ((index + 1) * self._width - begin) / (end - begin)
            self._rows[index] += int(event.rows * share) - rows
            self._bytes[index] += int(event.bytes * share) - size
            rows, size = int(event.rows * share), int(event.bytes * share)

    def _phase(self, event: PhaseStarted) -> None:
        mark = PhaseMark(event.phase, event.at, event.detail)
        if event.table is None:
            self._phases.append(mark)
            return
        table = self._table(event.table)
        table.phase = event.phase
        if len(table.marks) < MAX_MARKS:
            table.marks.append(mark)

    def _table_started(self, event: TableStarted) -> None:
        table = self._table(event.table)
        table.status = "running"
        table.estimated_rows = event.estimated_rows
        table.ranges = event.ranges
        table.reader = event.reader
        table.rows_before = event.rows_before
        table.started = event.at

    def _table_finished(self, event: TableFinished) -> None:
        table = self._table(event.table)
        table.finished = event.at
        table.final = (event.rows, event.skipped)
        if table.started is None and event.seconds > 0:  # else an earlier attempt loaded it
            table.started = event.at - event.seconds
        table.status = "failed" if event.error is not None else "completed"
        table.error = event.error

    def _retry(self, event: Retry) -> None:
        if event.table is not None:
            self._table(event.table).retries += 1
        key = (event.table, event.reason)
        if key not in self._tallies and len(self._tallies) >= MAX_TALLIES:
            key = (None, "other reasons")
        tally = self._tallies.setdefault(key, _Tally(0, event.at, event.at, 0.0))
        tally.count += 1
        tally.last = max(tally.last, event.at)
        tally.waited += event.delay
        self._incident(Incident("retry", event.reason, event.at, event.table, event.delay))

    def _incident(self, incident: Incident) -> None:
        kept = self._kept.get(incident.kind, 0)
        if kept < MAX_INCIDENTS:
            self._kept[incident.kind] = kept + 1
            self._incidents.append(incident)
        elif incident.kind != "retry":  # every retry is in its tally
            self._left_out += 1


def _pairs(values: list[int]) -> list[int]:
    return [sum(values[index : index + 2]) for index in range(0, len(values), 2)]
