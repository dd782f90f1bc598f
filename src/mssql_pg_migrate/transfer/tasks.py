"""A range task: plain, picklable data in, a plain result out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..mapping.objects import MappedTable
from ..model import KeyRange
from ..source.settings import SourceSettings
from ..target.connect import TargetSettings
from ..target.ledger import RangeProgress
from .writer import WriteOptions

RangeStatus: TypeAlias = Literal["done", "stopped", "restart", "unsupported"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one process may use for all its range tasks together."""

    source_connections: int
    target_connections: int
    parallel_readers: int
    """Concurrent source reads of one table."""
    parallel_writers: int
    """Concurrent target writes of one table."""
    buffer_bytes: int
    """Bytes of chunks between source and target."""
    read_ahead: int
    """Chunks of one range waiting to be written."""
    retries: int
    in_flight: int = 1
    """Chunks of one range that may be on their way to the target at once, as far as there are connections."""


@dataclass(frozen=True, slots=True)
class RangeTask:
    """Carry one key range, from where the ledger says it is."""

    run_id: str
    ledger_schema: str
    table_id: int
    generation: int
    unlogged: bool
    display: str
    """The table's name in events and messages."""
    table: MappedTable
    range: KeyRange
    start: RangeProgress
    resumable: bool
    """Whether reading can go on after any chunk."""
    reader: str
    """Which of its source's readers carries it."""
    source: SourceSettings
    target: TargetSettings
    write: WriteOptions
    limits: Limits
    chunk_rows: int
    chunk_bytes: int
    on_nul: Literal["error", "strip"] = "error"


@dataclass(frozen=True, slots=True)
class RangeOutcome:
    """How a range task ended. Counts are the range's totals, earlier attempts included.

    ``restart`` asks for the whole table to begin again (no key to resume by), ``unsupported`` for another reader to
    go on; the reason is ``detail``.
    """

    range_id: int
    status: RangeStatus
    rows: int
    skipped: int
    bytes: int = 0
    """COPY bytes written by this task."""
    retries: int = 0
    detail: str | None = None
