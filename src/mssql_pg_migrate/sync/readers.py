"""Which of the source's readers serves the passes: one session reads all tables, so one reader must serve them all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TypeVar

from ..events import EventSink, Message
from ..source.changes import ChangeSession
from ..source.reader import Reader, ReaderUnsupported, ReadLimits
from ..source.source import Source
from .plan import SyncTablePlan

T = TypeVar("T")


class OtherReaderNeeded(Exception):
    """A table needs another reader than the session has: the pass begins again with that one."""


class SyncReaders:
    """Opens the sessions of passes. A table is proven once, before its first rows are used."""

    def __init__(self, source: Source, limits: ReadLimits, on_event: EventSink) -> None:
        self._source = source
        self._limits = limits
        self._emit = on_event
        self._name = source.fastest_reader
        self._proven: set[str] = set()

    def open(self, *, one_moment: bool) -> ChangeSession:
        """A session for one pass. Raises ConnectionFailed."""
        while True:
            try:
                return self._source.open_changes(self._name, one_moment=one_moment, limits=self._limits)
            except ReaderUnsupported as error:
                self._fall_back("the source", error.message)

    def use(self, work: Callable[[ChangeSession], T], *, one_moment: bool) -> T:
        """``work`` over a session of its own, from its beginning with another reader where one turns out to be needed.

        Raises what ``work`` raises otherwise, ConnectionFailed, and ConfigError when no other reader may serve.
        """
        while True:
            with closing(self.open(one_moment=one_moment)) as session:
                try:
                    return work(session)
                except OtherReaderNeeded:
                    continue
                except ReaderUnsupported as error:
                    self._fall_back(error.table or "a table", error.message)

    def prove(self, table: SyncTablePlan) -> None:
        """Make sure that the session's reader carries a table. Raises OtherReaderNeeded when it does not."""
        if table.name in self._proven:
            return
        chosen = self._source.choose_reader(
            table.followed.table,
            table.display,
            self._lend,
            copy_format="binary",
            on_nul=self._limits.on_nul,
            purpose="transfer",
        )
        self._proven.add(table.name)
        if chosen.name != self._name and chosen.reason is not None:
            self._name = chosen.name
            self._emit(
                Message(
                    level="info", table=table.display, text=f"all tables are read by {chosen.name}: {chosen.reason}"
                )
            )
            raise OtherReaderNeeded

    def _fall_back(self, name: str, reason: str) -> None:
        chosen = self._source.other_reader(name, reason)
        self._emit(Message(level="info", text=f"{chosen.name} reads all tables: {reason}"))
        self._name = chosen.name

    @contextmanager
    def _lend(self, name: str) -> Iterator[Reader]:
        with closing(self._source.open_reader(name)) as reader:
            yield reader
