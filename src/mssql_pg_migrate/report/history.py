"""What is known of a run at one moment: plain data, made by ``recorder.ReportRecorder``. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from ..events import Phase

TableProgress: TypeAlias = Literal["pending", "running", "completed", "failed"]


@dataclass(frozen=True, slots=True)
class PhaseMark:
    """The run or a table entered a phase; ``detail`` names the index or constraint being built. Unix seconds."""

    phase: Phase
    at: float
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Incident:
    """A retry, a table that began again, or a logged warning or error."""

    kind: Literal["retry", "reset", "warn", "error"]
    text: str
    at: float
    table: str | None = None
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Tally:
    """How often the same thing happened to the same table."""

    table: str | None
    reason: str
    count: int
    first: float
    last: float
    waited: float
    """Seconds spent waiting before the attempts."""


@dataclass(frozen=True, slots=True)
class TableHistory:
    """One table. ``rows`` is all that is in the target, ``moved`` what this run read; times are Unix seconds."""

    table: str
    estimated_rows: int
    status: TableProgress = "pending"
    rows: int = 0
    moved: int = 0
    skipped: int = 0
    bytes: int = 0
    ranges: int = 0
    reader: str | None = None
    started: float | None = None
    finished: float | None = None
    retries: int = 0
    resets: int = 0
    error: str | None = None
    phase: Phase | None = None
    marks: tuple[PhaseMark, ...] = ()

    def share(self) -> float:
        """0 to 1: how much of the table is there. A completed table is 1 whatever the estimate was."""
        if self.status == "completed":
            return 1.0
        if self.estimated_rows <= 0:
            return 0.0
        return min(self.rows / self.estimated_rows, 0.999 if self.status == "running" else 1.0)


@dataclass(frozen=True, slots=True)
class Throughput:
    """Rows and bytes committed per interval: ``rows[i]`` in ``[start + i*width, start + (i+1)*width)`` seconds."""

    start: float
    width: float
    rows: tuple[int, ...] = ()
    bytes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class RunHistory:
    """One run, as far as it came. Tables are in the order in which they became known."""

    run_id: str | None
    mode: str | None
    resumed: bool
    started: float | None
    ended: float | None
    status: str | None
    """``completed``, ``failed`` or ``cancelled`` once the run is over, None before."""
    tables: tuple[TableHistory, ...]
    phases: tuple[PhaseMark, ...]
    throughput: Throughput
    retries: tuple[Tally, ...] = ()
    incidents: tuple[Incident, ...] = ()
    incidents_left_out: int = 0
    phase: Phase | None = field(default=None)

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)

    @property
    def moved(self) -> int:
        """Rows this run read; the rest was there before it was resumed."""
        return sum(table.moved for table in self.tables)

    @property
    def bytes(self) -> int:
        return sum(table.bytes for table in self.tables)

    @property
    def retry_count(self) -> int:
        return sum(tally.count for tally in self.retries)
