"""The JSON state file of the guide: what a person or a scheduler sees of a run, and the ticket for ``resume``.

The truth about rows is the ledger in the target; this file names the run, vouches for its configuration (hash) and
shows how far it is. It is replaced atomically (write, fsync, rename, fsync of the folder) and holds no secrets.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal, TypeAlias

from .errors import IoError, StateError
from .events import AnyEvent, ChunkCommitted, RangeFinished, TableFinished, TableReset, TableStarted

RunStatus: TypeAlias = Literal["running", "completed", "failed", "cancelled"]
Part: TypeAlias = Literal["schema", "data"]
WRITE_INTERVAL = 1.0
"""Seconds between two writes while chunks arrive."""


@dataclass(slots=True)
class PartitionState:
    """One range of a table."""

    status: str = "pending"
    rows_transferred: int = 0
    skipped: int = 0
    last_pk: str | None = None


@dataclass(slots=True)
class TableState:
    """One table; ``transferred_rows`` and ``skipped_rows`` are the sums over its partitions."""

    status: str = "pending"
    total_rows: int = 0
    partitions: dict[int, PartitionState] = field(default_factory=dict)
    error: str | None = None
    final_rows: int | None = None
    final_skipped: int | None = None

    @property
    def transferred_rows(self) -> int:
        if self.final_rows is not None:
            return self.final_rows
        return sum(partition.rows_transferred for partition in self.partitions.values())

    @property
    def skipped_rows(self) -> int:
        if self.final_skipped is not None:
            return self.final_skipped
        return sum(partition.skipped for partition in self.partitions.values())


@dataclass(slots=True)
class RunState:
    """The whole file."""

    run_id: str
    config_hash: str
    status: RunStatus = "running"
    started_at: str = ""
    updated_at: str = ""
    tables: dict[str, TableState] = field(default_factory=dict)
    only: Part | None = None
    """What the run was restricted to (``--schema-only``, ``--data-only``): resumed, it still is."""
    problems: list[str] = field(default_factory=list)
    """What a complete run could not create."""

    @property
    def finished(self) -> bool:
        """Whether there is nothing to resume."""
        return self.status == "completed"

    def to_json(self) -> dict[str, Any]:
        """The appendix format of the guide; ``error`` (of failed tables), ``only`` and ``problems`` only where set."""
        more: dict[str, Any] = {"only": self.only} if self.only else {}
        if self.problems:
            more["problems"] = self.problems
        return {
            "run_id": self.run_id,
            "config_hash": self.config_hash,
            "status": self.status,
            "started_at": self.started_at,
            "updated_at": self.updated_at,
            **more,
            "tables": {name: _table_json(table) for name, table in self.tables.items()},
        }


def _table_json(table: TableState) -> dict[str, Any]:
    data: dict[str, Any] = {
        "status": table.status,
        "total_rows": table.total_rows,
        "transferred_rows": table.transferred_rows,
        "skipped_rows": table.skipped_rows,
    }
    if table.error is not None:
        data["error"] = table.error
    partitions = sorted(table.partitions.items())
    if len(partitions) == 1 and partitions[0][1].last_pk is not None:
        data["last_pk"] = partitions[0][1].last_pk
    data["partitions"] = [
        {
            "partition_id": number,
            "status": partition.status,
            "last_pk": partition.last_pk,
            "rows_transferred": partition.rows_transferred,
        }
        for number, partition in partitions
    ]
    return data


def utc_now() -> str:
    """The present time as the file writes it: ``2025-01-15T10:30:00Z``."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_state(path: Path) -> RunState:
    """Read and check a state file. Raises StateError when it is absent, unreadable or not a state file."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StateError(
            f"state file {path} does not exist", hint="start with `run`; `resume` needs its file"
        ) from error
    except OSError as error:
        raise StateError(f"state file {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise StateError(
            f"state file {path} is not valid JSON: {error}", hint="delete it and start a new run"
        ) from error
    try:
        tables = {
            str(name): TableState(
                status=str(item["status"]),
                total_rows=int(item["total_rows"]),
                partitions={
                    int(part["partition_id"]): PartitionState(
                        str(part["status"]), int(part["rows_transferred"]), 0, part.get("last_pk")
                    )
                    for part in item.get("partitions", [])
                },
                final_rows=int(item["transferred_rows"]),
                final_skipped=int(item.get("skipped_rows", 0)),
            )
            for name, item in data["tables"].items()
        }
        status = data["status"]
        if status not in ("running", "completed", "failed", "cancelled"):
            raise ValueError(f"unknown status {status!r}")
        only = data.get("only")
        if only not in (None, "schema", "data"):
            raise ValueError(f"unknown restriction {only!r}")
        return RunState(
            str(uuid.UUID(data["run_id"])),
            str(data["config_hash"]),
            status,
            str(data["started_at"]),
            str(data["updated_at"]),
            tables,
            only,
            [str(problem) for problem in data.get("problems", [])],
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise StateError(
            f"state file {path} lacks what a state file has ({error!r})", hint="delete it and start a new run"
        ) from error


def existing_state(path: Path) -> RunState | None:
    """The state that a run would replace; None when the file does not exist or is empty.

    Raises StateError for a file that is not that of a run, which no run may replace; IoError.
    """
    try:
        if not path.exists():
            return None
        if not path.is_file():
            raise StateError(f"state file {path} is not a regular file", hint="name another path with --state-file")
        if path.stat().st_size == 0:
            return None
    except OSError as error:
        raise IoError(
            f"state file {path} cannot be reached: {error.strerror or error}", hint="correct the path or its rights"
        ) from error
    try:
        return read_state(path)
    except StateError as error:
        raise StateError(
            f"{path} is there and is not the state file of a run: it is not overwritten",
            hint="name another path with --state-file, or delete the file",
        ) from error


def resumable_state(path: Path, config_hash: str, only: Part | None) -> tuple[RunState | None, str | None]:
    """The state of an unfinished run of that configuration; else, where there is a state at all, why not that one.

    Raises StateError, IoError.
    """
    state = existing_state(path)
    if state is None:
        return None, None
    if state.finished:
        return None, "its run is complete"
    if state.only != only:
        return None, f"its run was to carry {state.only or 'schema and data'}{' only' if state.only else ''}"
    if state.config_hash != config_hash:
        return None, "it is of another configuration"
    return state, None


def write_state(path: Path, state: RunState) -> None:
    """Replace the file atomically and durably. Raises IoError; the old file is intact then."""
    state.updated_at = utc_now()
    text = json.dumps(state.to_json(), indent=2) + "\n"
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
        temporary = None
        if os.name == "posix":
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        raise IoError(
            f"state file {path} cannot be written: {error.strerror or error}",
            hint="free space or correct the path, then resume: the target's ledger knows every committed chunk",
        ) from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                Path(temporary).unlink()


class StateKeeper:
    """Follows the events of a run and keeps the file up to date, at most one write a second.

    ``path`` None keeps the state in memory only. A failed write is remembered in ``failure``, once, and reported
    through ``on_failure``: the run stops then (exit 7) rather than go on unseen.
    """

    def __init__(self, path: Path | None, state: RunState) -> None:
        self.state = state
        self.failure: IoError | None = None
        self.on_failure: Callable[[], None] = lambda: None
        self._path = path
        self._lock = threading.Lock()
        self._written = 0.0

    def write(self) -> None:
        """Write now; raises IoError."""
        with self._lock:
            self._write()

    def close(self, status: RunStatus) -> None:
        """Set the final status and write; raises IoError."""
        with self._lock:
            self.state.status = status
            self._write()

    def on_event(self, event: AnyEvent) -> None:
        """Take in one event; never raises."""
        with self._lock:
            urgent = self._apply(event)
            if urgent is None or self.failure is not None:
                return
            if urgent or time.monotonic() - self._written > WRITE_INTERVAL:
                try:
                    self._write()
                except IoError as error:
                    self.failure = error
                    self.on_failure()

    def _write(self) -> None:
        if self._path is not None:
            write_state(self._path, self.state)
        self._written = time.monotonic()

    def _apply(self, event: AnyEvent) -> bool | None:
        """None: nothing to write; False: write when it is time; True: write now."""
        tables = self.state.tables
        if isinstance(event, ChunkCommitted):
            part = tables[event.table].partitions.setdefault(event.range_id, PartitionState())
            part.status = "in_progress"
            part.rows_transferred, part.skipped = event.range_rows, event.range_skipped
            part.last_pk = None if event.last_key is None else ",".join(event.last_key)
            return False
        if isinstance(event, RangeFinished):
            part = tables[event.table].partitions.setdefault(event.range_id, PartitionState())
            part.status = "completed"
            part.rows_transferred, part.skipped = event.rows, event.skipped
            return False
        if isinstance(event, TableStarted):
            table = tables.setdefault(event.table, TableState())
            table.status, table.total_rows = "in_progress", event.estimated_rows
            table.final_rows = table.final_skipped = table.error = None
            for number in range(event.ranges):
                table.partitions.setdefault(number, PartitionState())
            return False
        if isinstance(event, TableReset):
            for part in tables[event.table].partitions.values():
                part.status, part.rows_transferred, part.skipped, part.last_pk = "pending", 0, 0, None
            return False
        if isinstance(event, TableFinished):
            table = tables.setdefault(event.table, TableState())
            table.status = "failed" if event.error else "completed"
            table.error = event.error
            if not event.error:
                table.final_rows, table.final_skipped = event.rows, event.skipped
                table.total_rows = max(table.total_rows, event.rows)
            return True
        return None
