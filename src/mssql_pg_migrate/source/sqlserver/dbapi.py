"""What this package asks of a connection: the part of PEP 249 that questions need, and the driver's Arrow batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pyarrow as pa  # takes long to import


class Cursor(Protocol):
    """A statement and its rows."""

    @property
    def description(self) -> Sequence[Any] | None:
        """The result's columns; None when there is no result."""
        ...

    @property
    def messages(self) -> Sequence[tuple[str, str]]:
        """Diagnostic records: ``("[SQLSTATE] (number)", text)``."""
        ...

    def execute(self, operation: str, /) -> object:
        """Run a statement."""
        ...

    def fetchone(self) -> Sequence[Any] | None:
        """The next row."""
        ...

    def fetchall(self) -> Sequence[Sequence[Any]]:
        """All rows that are left."""
        ...

    def nextset(self) -> object:
        """Go on to the batch's next result; false when there is none."""
        ...

    def close(self) -> None:
        """End the statement."""
        ...


class DriverCursor(Cursor, Protocol):
    """Of Microsoft's driver."""

    def arrow_batch(self, rows: int, /) -> pa.RecordBatch:
        """Up to that many rows; fewer only at the end."""
        ...


class Connection(Protocol):
    """An open session."""

    def cursor(self) -> Cursor:
        """A new cursor."""
        ...

    def close(self) -> None:
        """End the session."""
        ...


class DriverConnection(Connection, Protocol):
    """Of Microsoft's driver."""

    def cursor(self) -> DriverCursor:
        """A new cursor."""
        ...
