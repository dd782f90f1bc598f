"""The control connection of a run: it holds the lock, keeps the ledger, and survives a restart of the target."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ..errors import ConnectionFailed, MigrationError, StateError
from ..events import EventSink, Retry, Waiting
from ..target import lock
from ..target.classify import translated
from ..target.connect import TargetSettings, connect_target, round_trip
from ..target.login import SOON
from ..waiting import PATIENCE
from .retry import Backoff

if TYPE_CHECKING:
    import psycopg

    from ..target.ledger import Ledger

T = TypeVar("T")
_FRESH = 2.0
"""Seconds for which a connection that has answered is not asked whether it is there: far away that takes its time."""


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
        self._ledger: Ledger | None = None
        self._connection: psycopg.Connection[Any] | None = None
        self._stoppable: Literal["never", "later", "at once"] = "never"
        self._heard = 0.0
        """When the connection answered last."""

    def __enter__(self) -> Control:
        self._connection = self._first()
        self._heard = time.monotonic()
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
                if error.code not in SOON:
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
            lambda connection: lock.acquire(
                connection, schemas, wait=wait, stopped=self._wait, on_wait=self._tell_waiting
            ),
        )
        self._schemas = schemas

    def _tell_waiting(self, text: str) -> None:
        self._emit(Waiting(side="target", text=text, seconds=PATIENCE))

    def belongs_to(self, ledger: Ledger) -> None:
        """From now on the run owns that ledger: after a reconnection it must still be there, and be this run's."""
        self._ledger = ledger

    @contextmanager
    def stoppable(self, when: Literal["later", "at once"]) -> Iterator[None]:
        """The block's statements may take long, and may be ended: by the first ``cancel``, or only by one ``now``."""
        self._stoppable = when
        try:
            yield
        finally:
            self._stoppable = "never"

    def cancel(self, *, now: bool) -> None:
        """End the running statement, if it may be ended by now; callable from any thread."""
        connection = self._connection
        if connection is not None and (self._stoppable == "at once" or (now and self._stoppable == "later")):
            with suppress(Exception):  # the connection may be closing
                connection.cancel_safe(timeout=2.0)

    def round_trip(self) -> float:
        """Seconds that an empty question takes."""
        return self.call("reaching the target", round_trip)

    def live(self) -> psycopg.Connection[Any]:
        """A connection that answers, with the locks held. Raises ConnectionFailed, StateError."""
        self._heard = 0.0
        return self.call("reaching the target", lambda connection: connection)

    def call(self, doing: str, work: Callable[[psycopg.Connection[Any]], T]) -> T:
        """``work(connection)``, done again after a lost connection: it must bear that. Raises its errors translated."""
        backoff = Backoff(self._retries, self._wait)

        def attempt() -> T:
            with translated(None, doing):
                done = work(self._open())
            self._heard = time.monotonic()
            return done

        def on_retry(error: MigrationError, delay: float) -> None:
            self._emit(Retry(table=None, reason=error.message, attempt=backoff.failures, delay=delay))

        return backoff.call(attempt, on_retry)

    def _open(self) -> psycopg.Connection[Any]:
        import psycopg

        connection = self._connection
        if connection is not None and not connection.closed:
            if time.monotonic() - self._heard < _FRESH:
                return connection
            try:
                connection.execute("SELECT 1")
                return connection
            except psycopg.OperationalError:
                connection.close()
        self._connection = None
        connection = connect_target(self._settings, purpose="control")
        try:
            lock.acquire(connection, self._schemas, wait=lock.PATIENT, stopped=self._wait, on_wait=self._tell_waiting)
            if self._ledger is not None:
                self._check_ours(connection, self._ledger)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    @staticmethod
    def _check_ours(connection: psycopg.Connection[Any], ledger: Ledger) -> None:
        """Without its connection the run had no lock: another one may have begun, and ended, meanwhile."""
        current = ledger.current_run(connection)
        if current is not None and current[0] != ledger.run_id:
            raise StateError(
                f"run {current[0]} has taken over target schema {ledger.schema} while this one was cut off",
                hint="what this run wrote is superseded; resume the other one or start a new run",
            )
