"""A small pool that runs DDL jobs over several connections, does them again when a connection is lost, and can stop."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import Cancelled, MigrationError
from .classify import is_transient

if TYPE_CHECKING:
    import psycopg

T = TypeVar("T")
Job = Callable[["psycopg.Connection[Any]"], T]

_ATTEMPTS = 6
_FIRST_DELAY = 0.5
"""Seconds; doubled each time, so that a server has about 15 s to restart."""


class JobPool:
    """Runs jobs over up to ``parallel`` connections of its own, each opened when first needed.

    ``connect`` returns an autocommit connection; ``settings`` are statements run once on each. A job must be safe to
    run again: after a lost connection nobody knows whether its last statement took effect.
    """

    def __init__(
        self,
        connect: Callable[[], psycopg.Connection[Any]],
        parallel: int,
        settings: Sequence[str] = (),
        stop: Callable[[], bool] | None = None,
        on_retry: Callable[[str, int, float], None] | None = None,
    ) -> None:
        self._connect = connect
        self.parallel = max(1, parallel)
        self._settings = tuple(settings)
        self._stop_asked = stop
        self._on_retry = on_retry
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._idle: list[psycopg.Connection[Any]] = []
        self._busy: set[psycopg.Connection[Any]] = set()

    @property
    def stopping(self) -> bool:
        """Whether no further job should start."""
        return self._stopped.is_set() or (self._stop_asked is not None and self._stop_asked())

    def run(self, jobs: Sequence[Job[T]]) -> list[T]:
        """All jobs, in the given order as far as connections allow; results in that order.

        Raises:
            Cancelled: the pool was told to stop.
            MigrationError: the server stayed away (ConnectionFailed).
            psycopg.Error: a job let one through that doing it again did not cure.
        """
        if not jobs:
            return []
        if len(jobs) == 1 or self.parallel == 1:
            return [self._run_one(job) for job in jobs]
        with ThreadPoolExecutor(min(self.parallel, len(jobs)), thread_name_prefix="ddl") as executor:
            futures = [executor.submit(self._run_one, job) for job in jobs]
            try:
                return [future.result() for future in futures]
            except BaseException:
                for future in futures:
                    future.cancel()
                raise

    def cancel(self) -> None:
        """Start nothing more and end the running statements; callable from any thread."""
        self._stopped.set()
        with self._lock:
            busy = list(self._busy)
        for connection in busy:
            connection.cancel_safe(timeout=2.0)

    def close(self) -> None:
        """Close the connections; idempotent."""
        with self._lock:
            connections, self._idle = self._idle, []
        for connection in connections:
            connection.close()

    def _run_one(self, job: Job[T]) -> T:
        import psycopg

        attempt = 0
        while True:
            if self.stopping:
                raise Cancelled("stopped before all keys, indexes and constraints were created")
            attempt += 1
            try:
                connection = self._take()
                try:
                    return job(connection)
                finally:
                    self._give_back(connection)
            except psycopg.errors.QueryCanceled as error:
                if self.stopping:
                    raise Cancelled("stopped while keys, indexes and constraints were being created") from error
                raise
            except psycopg.Error as error:
                if attempt == _ATTEMPTS or not is_transient(error):
                    raise
                self._pause(error, attempt)
            except MigrationError as error:
                if attempt == _ATTEMPTS or not error.retryable or isinstance(error, Cancelled):
                    raise
                self._pause(error, attempt)

    def _pause(self, error: Exception, attempt: int) -> None:
        delay = _FIRST_DELAY * 2 ** (attempt - 1) * random.uniform(0.8, 1.2)
        if self._on_retry is not None:
            self._on_retry(str(error).strip().splitlines()[0] if str(error).strip() else repr(error), attempt, delay)
        self._stopped.wait(delay)

    def _take(self) -> psycopg.Connection[Any]:
        with self._lock:
            if self._idle:
                connection = self._idle.pop()
                self._busy.add(connection)
                return connection
        connection = self._connect()
        if self._settings:
            connection.execute("; ".join(self._settings).encode())
        with self._lock:
            self._busy.add(connection)
        return connection

    def _give_back(self, connection: psycopg.Connection[Any]) -> None:
        from psycopg.pq import TransactionStatus

        usable = not connection.closed and connection.info.transaction_status == TransactionStatus.IDLE
        with self._lock:
            self._busy.discard(connection)
            if usable:
                self._idle.append(connection)
        if not usable:
            connection.close()
