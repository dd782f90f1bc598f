"""The control connection of a run: it holds the lock, keeps the ledger, and survives a restart of the target."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import ConnectionFailed, MigrationError
from ..events import EventSink, Retry
from ..target import lock
from ..target.classify import translated
from ..target.connect import TargetSettings, connect_target
from .retry import Backoff

if TYPE_CHECKING:
    import psycopg

T = TypeVar("T")
_SOON = re.compile("starting up|shutting down|recovery mode|too many (clients|connections)|connection slots")
"""PostgreSQL's words for 57P03 and 53300, which a failed connection shows only as text."""


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
        self._connection = self._first()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            self._connection.close()

    def _first(self) -> psycopg.Connection[Any]:
        """The first connection: only a server that says it will be ready soon is waited for."""
        backoff = Backoff(self._retries, self._wait)
        while True:
            try:
                return connect_target(self._settings, purpose="control")
            except ConnectionFailed as error:
                if not error.retryable or not _SOON.search(error.message):
                    raise
                delay = backoff.next_delay(error)
                self._emit(Retry(table=None, reason=error.message, attempt=backoff.failures, delay=delay))
                backoff.sleep(delay)

    def lock(self, schemas: tuple[str, ...], *, patient: bool) -> None:
        """Take the lock of each schema, now and after every reconnection. Raises StateError when another run has it.

        ``patient`` waits for the server to notice that the session of a killed run is dead.
        """
        wait = lock.PATIENT if patient else lock.SHORT
        self.call(
            "locking the target schema",
            lambda connection: lock.acquire(connection, schemas, wait=wait, stopped=self._wait),
        )
        self._schemas = schemas

    def live(self) -> psycopg.Connection[Any]:
        """A connection that answers, with the locks held. Raises ConnectionFailed, StateError."""
        return self.call("reaching the target", lambda connection: connection)

    def call(self, doing: str, work: Callable[[psycopg.Connection[Any]], T]) -> T:
        """``work(connection)``, done again after a lost connection: it must bear that. Raises its errors translated."""
        backoff = Backoff(self._retries, self._wait)

        def attempt() -> T:
            with translated(None, doing):
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
            lock.acquire(connection, self._schemas, wait=lock.PATIENT)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection
