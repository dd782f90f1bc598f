"""What all range tasks of one process share: connections, the memory bound, the stop flag, the event sink."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from ..events import AnyEvent, EventSink
from ..source.reader import Reader
from ..source.source import SourceSession
from ..target.session import LoadSession
from .memory import MemoryGate
from .pool import Pool
from .tasks import Limits, RangeTask

if TYPE_CHECKING:
    from ..target.connect import TargetSettings


class StopFlag:
    """Asked before each chunk: has the run, or one table of it, been told to stop?"""

    def __init__(self) -> None:
        self._all = threading.Event()
        self._tables: set[int] = set()

    def stop(self) -> None:
        """Start no further chunk."""
        self._all.set()

    def stop_table(self, table_id: int) -> None:
        """Start no further chunk of that table: another of its ranges failed for good."""
        self._tables.add(table_id)

    def resume_table(self, table_id: int) -> None:
        """The table begins again."""
        self._tables.discard(table_id)

    def is_set(self, table_id: int | None = None) -> bool:
        """Whether to stop."""
        return self._all.is_set() or table_id in self._tables

    def wait(self, seconds: float) -> bool:
        """Sleep; True as soon as the run is told to stop."""
        return self._all.wait(seconds)


class TableSlots:
    """The reading and writing slots of one table: ``parallel_readers`` and ``write_ahead_writers``."""

    def __init__(self, limits: Limits) -> None:
        self.readers = threading.BoundedSemaphore(limits.parallel_readers)
        self.writers = threading.BoundedSemaphore(limits.parallel_writers)


class WorkerContext:
    """One per process and run."""

    def __init__(self, limits: Limits, on_event: EventSink | None = None) -> None:
        self.limits = limits
        self.stop = StopFlag()
        self.gate = MemoryGate(limits.buffer_bytes)
        self.source: Pool[Reader | SourceSession] = Pool(limits.source_connections, usable=lambda reader: reader.usable)
        self.target: Pool[LoadSession] = Pool(limits.target_connections, usable=lambda session: session.usable)
        self._on_event = on_event
        self._slots: dict[int, TableSlots] = {}
        self._lock = threading.Lock()

    def emit(self, event: AnyEvent) -> None:
        """Tell the outside, if anybody listens."""
        if self._on_event is not None:
            self._on_event(event)

    def slots(self, table_id: int) -> TableSlots:
        """The slots of a table, the same for all its ranges."""
        with self._lock:
            return self._slots.setdefault(table_id, TableSlots(self.limits))

    def abort(self) -> None:
        """Stop at once: end what the connections in use are doing. Committed chunks stay, the others are undone."""
        self.stop.stop()
        self.gate.close()
        self.source.close(abort=lambda reader: reader.cancel())
        self.target.close(abort=lambda session: session.abort())

    def close(self) -> None:
        """The work is over: close all connections."""
        self.gate.close()
        self.source.close()
        self.target.close()


def open_session(settings: TargetSettings) -> LoadSession:
    """A new load session; raises ConnectionFailed."""
    return LoadSession.open(settings)


_contexts: dict[str, WorkerContext] = {}
_contexts_lock = threading.Lock()


def install(run_id: str, context: WorkerContext) -> None:
    """Make ``context`` the one that range tasks of that run use in this process."""
    with _contexts_lock:
        _contexts[run_id] = context


def uninstall(run_id: str) -> None:
    """Forget the context of a run that is over."""
    with _contexts_lock:
        _contexts.pop(run_id, None)


def context_for(task: RangeTask) -> WorkerContext:
    """The context of the task's run; a process that has none (a remote worker) makes one from the task's limits."""
    with _contexts_lock:
        context = _contexts.get(task.run_id)
        if context is None:
            context = _contexts[task.run_id] = WorkerContext(task.limits)
        return context
