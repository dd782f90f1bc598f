"""The control connection of a run: it holds the lock, keeps the ledger, and survives a restart of the target."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import MigrationError
from ..events import EventSink, Retry
from ..target import lock
from ..target.classify import translated
from ..target.connect import TargetSettings, connect_target
from .retry import Backoff

if TYPE_CHECKING:
    import psycopg

T = TypeVar("T")


class Control:
    """One connection at a time; when it is lost the next use opens another and takes the locks again.

    Use as a context manager: leaving it closes the connection and thereby releases the locks.
    """

    def __init__(
        self, settings: TargetSettings, *, retries: int, wait: Callable[[float], bool], on_event: EventSink
    ) -> None:
        self._settings = settings
        self._retries = retries
        self._wait = wait
        self._emit = on_event
        self._schemas: tuple[str, ...] = ()
        self._connection: psycopg.Connection[Any] | None = None

    def __enter__(self) -> Control:
        self._connection = connect_target(self._settings, purpose="control")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            self._connection.close()

    def lock(self, schemas: tuple[str, ...]) -> None:
        """Take the lock of each schema, now and after every reconnection. Raises StateError when another run has it."""
        self.call("locking the target schema", lambda connection: lock.acquire(connection, schemas))
        self._schemas = schemas

    def live(self) -> psycopg.Connection[Any]:
        """A connection that answers, with the locks held. Raises ConnectionFailed, StateError."""
        return self.call("reaching the target", lambda connection: connection)

    def call(self, doing: str, work: Callable[[psycopg.Connection[Any]], T]) -> T:
        """``work(connection)``, done again after a lost connection: it must bear that. Raises its errors translated."""
        backoff = Backoff(self._retries, self._wait)

        def attempt() -> T:
            with translated("target", doing):
                return work(self._open())

        def on_retry(error: MigrationError, delay: float) -> None:
            self._emit(Retry(table=None, reason=error.message, attempt=backoff.failures, delay=delay))

        return backoff.call(attempt, on_retry)

    def _open(self) -> psycopg.Connection[Any]:
        import psycopg

        connection = self._connection
        if connection is not None and not connection.closed:
            try:
                connection.execute("SELECT 1")
                return connection
            except psycopg.OperationalError:
                connection.close()
        self._connection = None
        connection = connect_target(self._settings, purpose="control")
        try:
            lock.acquire(connection, self._schemas)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection
