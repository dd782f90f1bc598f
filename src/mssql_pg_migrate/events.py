"""What a run tells the outside while it goes: plain events for the progress bar, JSON lines, TUI, report and API."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Phase: TypeAlias = Literal[
    "connect", "extract", "plan", "prepare", "transfer", "indexes", "constraints", "finish", "validate"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """The tables are known; ``tables`` maps the table's display name to its estimated rows."""

    run_id: str
    mode: str
    resumed: bool
    tables: dict[str, int]
    at: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseStarted:
    """The run (``table`` None) or one table enters a phase."""

    phase: Phase
    table: str | None = None
    detail: str | None = None
    at: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableStarted:
    """Rows of a table begin to move; ``rows_before`` were there already (resume)."""

    table: str
    estimated_rows: int
    ranges: int
    reader: str
    rows_before: int = 0
    at: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkCommitted:
    """One chunk is committed together with its ledger row.

    ``rows`` were read, ``skipped`` of them were there unchanged; ``range_rows`` and ``range_skipped`` are the range's
    totals so far, all attempts of the run included (what a display should sum up).
    """

    table: str
    range_id: int
    rows: int
    bytes: int
    skipped: int = 0
    range_rows: int = 0
    range_skipped: int = 0
    last_key: tuple[str, ...] | None = None
    at: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeFinished:
    """A range has no more rows."""

    table: str
    range_id: int
    rows: int
    skipped: int = 0
    at: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableReset:
    """A table begins again from nothing (no key to resume by, or its rows were lost with an unlogged table)."""

    table: str
    reason: str
    at: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFinished:
    """All rows of a table are there, or it failed for good (``error``). ``rows_before`` of them were when it began."""

    table: str
    rows: int
    rows_before: int = 0
    skipped: int
    seconds: float
    error: str | None = None
    at: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """A chunk, connection or statement is tried again after ``delay`` seconds."""

    table: str | None
    reason: str
    attempt: int
    delay: float
    at: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A call to a server lasts because somebody holds a lock; told after some seconds and every half minute.

    ``text`` is the whole sentence. What the server does not tell (who it is needs rights) is None.
    """

    side: Literal["source", "target"]
    text: str
    seconds: float
    """How long the call lasts already."""
    waits_for: str | None = None
    """The table, ``schema.name`` in the server's names."""
    held_by: int | None = None
    """The session that holds it: PostgreSQL's process id, SQL Server's session id."""
    application: str | None = None
    state: str | None = None
    """What the holder does, in the server's word: ``idle in transaction``, ``active``, ``sleeping``."""
    since: float | None = None
    """When the holder came into that state."""
    at: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Something to log; ``level`` as in ``--verbosity``."""

    level: Literal["debug", "info", "warn", "error"]
    text: str
    table: str | None = None
    at: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished:
    """The last event of a run."""

    run_id: str
    status: Literal["completed", "failed", "cancelled"]
    seconds: float
    rows: int
    skipped: int
    at: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncPassFinished:
    """A pass of the sync is applied."""

    number: int
    tables: dict[str, int]
    """Rows inserted, updated and deleted, of the tables where there were any."""
    compared: list[str]
    """Tables whose contents were compared."""
    seconds: float
    moment: float
    """The source's time (Unix seconds) that the target stands for now."""
    at: float = field(default_factory=time.time)


AnyEvent: TypeAlias = (
    RunStarted
    | PhaseStarted
    | TableStarted
    | ChunkCommitted
    | RangeFinished
    | TableReset
    | TableFinished
    | Retry
    | Waiting
    | Message
    | RunFinished
    | SyncPassFinished
)
EventSink: TypeAlias = Callable[[AnyEvent], None]
"""Called from any thread, must return quickly and not raise."""
