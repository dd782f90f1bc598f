"""SQL Server as a source, and which of its two readers carries a table."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Literal

from ...errors import ConfigError
from ...mapping.objects import MappedTable
from ..changes import ChangeSession
from ..reader import CopyFormat, OnNul, Reader, ReadLimits
from ..settings import SqlServerSettings
from ..source import ChosenReader, UseReader
from .judge import Judge
from .session import SqlServerSession

if TYPE_CHECKING:
    from .changes import SharedReader

PROOF_ROWS = 200
"""Rows read both ways before the wire reader is trusted with a table."""

_JUDGES = 3
"""Readers through the driver that prove the wire reader at a time: while one connects, the others wait."""
_DRIVER, _WIRE = "driver", "wire"
_JUDGE = "judge"
"""A reader through the driver in another process, for comparison only."""


class SqlServerSource:
    """See `source.Source`."""

    def __init__(self, settings: SqlServerSettings) -> None:
        self._settings = settings
        self._judges = threading.BoundedSemaphore(_JUDGES)
        self._judge = Judge(settings)

    @property
    def label(self) -> str:
        """Server and database."""
        return self._settings.label

    @property
    def readers(self) -> str:
        """Which readers will carry the rows, in words."""
        if self._settings.reader == "driver":
            return "driver, as configured"
        from .wire import unavailable

        reason = unavailable()
        if reason is not None:
            return f"driver: {reason}"
        return "wire" if self._settings.reader == "wire" else "wire where it proves itself, else driver"

    @property
    def fastest_reader(self) -> str:
        """The wire reader, unless it is not wanted or not there."""
        from .wire import unavailable

        return _DRIVER if self._settings.reader == "driver" or unavailable() else _WIRE

    @property
    def holds_rows(self) -> bool:
        """A server always may."""
        return True

    def discrepancy(self, rows: Mapping[str, int]) -> str | None:
        """Nothing is known beforehand: rows come and go while they are read."""
        del rows
        return None

    @property
    def likely_reader(self) -> str | None:
        """The wire reader where it can log in; connections through the driver let nobody else run meanwhile."""
        from .wire import unavailable
        from .wire_connect import unsupported

        if self._settings.reader == "driver" or unavailable() or unsupported(self._settings):
            return None
        return _WIRE

    def connect(self) -> SqlServerSession:
        """A new session. Raises ConnectionFailed, ConfigError."""
        return SqlServerSession(self._settings)

    def open_changes(self, name: str, *, one_moment: bool, limits: ReadLimits) -> ChangeSession:
        """See `changes.SqlServerChanges`. Raises ConnectionFailed, WireUnsupported."""
        from .changes import SqlServerChanges

        return SqlServerChanges(self._open(name), snapshot=one_moment, limits=limits)

    def open_reader(self, name: str) -> Reader:
        """A new ``wire`` or ``driver`` reader. Raises ConnectionFailed, WireUnsupported."""
        return self._judge.open_reader() if name == _JUDGE else self._open(name)

    def _open(self, name: str) -> SharedReader:
        if name == _WIRE:
            from .wire import WireReader

            return WireReader(self._settings)
        from .driver import DriverReader

        return DriverReader(self._settings)

    def choose_reader(
        self,
        table: MappedTable,
        name: str,
        use: UseReader,
        *,
        copy_format: CopyFormat,
        on_nul: OnNul,
        purpose: Literal["transfer", "comparison"],
    ) -> ChosenReader:
        """The wire reader where it is configured or has given the driver's bytes, see `proof`; else the driver."""
        wanted = self._settings.reader
        if wanted == "driver":
            return ChosenReader(_DRIVER)
        if copy_format == "text":
            return ChosenReader(_DRIVER, "use_binary_copy is off: the wire reader makes binary COPY only")
        exact = any(column.encoding == "vector" for column in table.copied_columns)  # the driver has eight digits of it
        if purpose == "comparison" and wanted == "auto" and table.source.row_estimate <= PROOF_ROWS and not exact:
            return ChosenReader(_DRIVER)  # so few rows would be read for the proof alone
        from .proof import prove

        reason = prove(table, partial(self._lend, use), rows=PROOF_ROWS, on_nul=on_nul, compare=wanted == "auto")
        if reason is None:
            return ChosenReader(_WIRE)
        return self._driver(reason) if purpose == "comparison" else self.other_reader(name, reason)

    @contextmanager
    def _lend(self, use: UseReader, name: str) -> Iterator[Reader]:
        judges = name == _DRIVER
        with self._judges if judges else nullcontext(), use(_JUDGE if judges else name) as reader:
            yield reader

    def other_reader(self, name: str, reason: str) -> ChosenReader:
        """The driver, unless only the wire reader is allowed: then raises ConfigError."""
        if self._settings.reader == "wire":
            raise ConfigError(f"table {name}: source.reader is wire, but {reason}", hint="set source.reader to auto")
        return self._driver(reason)

    @staticmethod
    def _driver(reason: str) -> ChosenReader:
        from .wire import unavailable

        return ChosenReader(_DRIVER, reason, surprising=True, everywhere=reason == unavailable())
