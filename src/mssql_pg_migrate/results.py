"""What the commands return: plain data, printed by the CLI and returned by the Python API."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Literal, Protocol, TypeAlias, TypeVar

TableStatus: TypeAlias = Literal["completed", "failed", "cancelled", "pending"]


@dataclass(slots=True)
class TableResult:
    """One table of a run. ``rows`` counts rows read and committed by all attempts, ``skipped`` the unchanged ones."""

    table: str
    status: TableStatus
    rows: int = 0
    rows_before: int = 0
    """Those of ``rows`` that earlier attempts had carried already."""
    skipped: int = 0
    seconds: float = 0.0
    bytes: int = 0
    reader: str | None = None
    reader_reason: str | None = None
    """Why the driver carried a table that ``auto`` would have given to the wire reader."""
    ranges: int = 1
    error: str | None = None
    error_kind: str | None = None
    exit_code: int = 0
    """The guide's code for ``error``."""
    retryable: bool = False
    retries: int = 0

    @property
    def rows_moved(self) -> int:
        """By this attempt, without what earlier ones had carried."""
        return max(self.rows - self.rows_before, 0)

    @property
    def rows_per_second(self) -> float:
        """Of this attempt; 0 when nothing was timed."""
        return self.rows_moved / self.seconds if self.seconds > 0 else 0.0


class Counted(Protocol):
    """Rows of a table: read and committed by all attempts, and those of them that were there unchanged."""

    rows: int
    skipped: int


C = TypeVar("C", bound=Counted)


class RowTotals(Generic[C]):
    """Sums over ``tables``."""

    __slots__ = ()
    tables: list[C]

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(table.rows for table in self.tables)

    @property
    def skipped(self) -> int:
        """Unchanged ones of them."""
        return sum(table.skipped for table in self.tables)


def by_reason(tables: Iterable[tuple[str, str | None]]) -> dict[str, list[str]]:
    """Reason -> the names of the tables that it concerns, from (name, reason or None)."""
    found: dict[str, list[str]] = {}
    for name, reason in tables:
        if reason:
            found.setdefault(reason, []).append(name)
    return found


@dataclass(slots=True)
class RunResult(RowTotals[TableResult]):
    """The outcome of ``run`` and ``resume``."""

    run_id: str
    status: Literal["completed", "failed", "cancelled", "invalid"]
    mode: str
    resumed: bool
    seconds: float
    tables: list[TableResult] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """Constraints and objects that could not be created, each a full sentence."""
    notes: list[str] = field(default_factory=list)
    """What was not carried over, renamed or lossy, as in the plan."""
    retries: int = 0
    peak_memory_bytes: int = 0
    exit_code: int = 0

    @property
    def rows_per_second(self) -> float:
        """Of this attempt, without what earlier ones had carried."""
        return sum(table.rows_moved for table in self.tables) / self.seconds if self.seconds > 0 else 0.0

    @property
    def failed_tables(self) -> list[TableResult]:
        return [table for table in self.tables if table.status == "failed"]


@dataclass(slots=True)
class ColumnCheck:
    """A column that both sides compute, and not to the same values."""

    column: str
    rows: int
    """Rows whose values differ."""
    sample_keys: list[str]
    estimated: bool = False


@dataclass(slots=True)
class TableCheck:
    """One table of ``validate``; counts are exact. Checksum fields stay None for a plain count check."""

    table: str
    source_rows: int | None
    target_rows: int | None
    equal: bool
    missing: int | None = None
    extra: int | None = None
    changed: int | None = None
    sample_keys: dict[str, list[str]] = field(default_factory=dict)
    """``missing``, ``extra``, ``changed`` -> a few keys as text."""
    estimated: bool = False
    """Whether so many rows differ that their numbers are projected from a part of them."""
    computed: list[ColumnCheck] = field(default_factory=list)
    """Differing computed columns; ``missing``, ``extra`` and ``changed`` are about the others."""
    error: str | None = None


@dataclass(slots=True)
class ValidationReport:
    """The outcome of ``validate``."""

    checksum: bool
    tables: list[TableCheck]
    seconds: float

    @property
    def equal(self) -> bool:
        return all(table.equal for table in self.tables)


@dataclass(frozen=True, slots=True)
class CutoverStep:
    """One step, and how long it took."""

    name: str
    seconds: float
    detail: str


@dataclass(slots=True)
class CutoverReport:
    """GO, or the reasons why not."""

    rehearsal: bool
    reasons: list[str] = field(default_factory=list)
    steps: list[CutoverStep] = field(default_factory=list)
    tables: list[TableCheck] = field(default_factory=list)
    passes: int = 0
    changes: int = 0
    seconds: float = 0.0

    @property
    def go(self) -> bool:
        """Whether the target may take over."""
        return not self.reasons

    @property
    def downtime(self) -> float:
        """Seconds that the application would stand still: every step but the waiting before it."""
        return sum(step.seconds for step in self.steps if step.name != "wait")


@dataclass(slots=True)
class SideHealth:
    """One side of ``health-check``."""

    side: Literal["source", "target"]
    ok: bool
    server: str
    version: str | None = None
    latency_ms: float | None = None
    tls: str | None = None
    facts: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    error: str | None = None
    retryable: bool = False
    """Whether ``error`` may pass by itself."""


@dataclass(slots=True)
class HealthReport:
    """The outcome of ``health-check``."""

    sides: list[SideHealth]

    @property
    def ok(self) -> bool:
        return all(side.ok for side in self.sides)


def peak_memory() -> int:
    """Peak resident bytes of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux: ru_maxrss would begin with the peak of the process that started this one
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows has no such module
        import psutil

        return int(getattr(psutil.Process().memory_info(), "peak_wset", 0))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
