"""Bounded retries with exponential back-off and jitter."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeVar

from ..errors import Cancelled, ConnectionFailed, MigrationError, TransferError, TransientError

T = TypeVar("T")

FIRST_DELAY = 0.2
"""Seconds before the first retry."""
LONGEST_DELAY = 15.0
"""Seconds; with the default of 8 attempts a server may be away for about 40 s."""


class Backoff:
    """Counts consecutive failures of one piece of work; ``progress`` forgives the earlier ones.

    ``wait(seconds)`` sleeps and returns True when the run is being stopped.
    """

    def __init__(self, attempts: int, wait: Callable[[float], bool]) -> None:
        self._attempts = attempts
        self._wait = wait
        self._failures = 0
        self.total = 0

    def progress(self) -> None:
        """Work was done since the last failure."""
        self._failures = 0

    @property
    def failures(self) -> int:
        """Consecutive failures so far."""
        return self._failures

    def next_delay(self, error: MigrationError) -> float:
        """Seconds to wait before the next attempt; raises ``error``, made final, when none is left."""
        self._failures += 1
        self.total += 1
        if self._failures >= self._attempts:
            raise self._final(error) from error
        ceiling = min(LONGEST_DELAY, FIRST_DELAY * 2 ** (self._failures - 1))
        return random.uniform(ceiling / 2, ceiling)

    def sleep(self, seconds: float) -> None:
        """Raises Cancelled when the run is being stopped meanwhile."""
        if self._wait(seconds):
            raise Cancelled("stopped while waiting for a retry")

    def call(self, work: Callable[[], T], on_retry: Callable[[MigrationError, float], None]) -> T:
        """``work()``, repeated after transient failures. Raises its last error, or Cancelled."""
        while True:
            try:
                return work()
            except (TransientError, ConnectionFailed) as error:
                if not error.retryable:
                    raise
                self.sleep(0)  # a stop cuts off what is under way: that is no failure to tell of
                delay = self.next_delay(error)
                on_retry(error, delay)
                self.sleep(delay)

    def _final(self, error: MigrationError) -> MigrationError:
        text = f"{error.message} (gave up after {self._failures} attempts)"
        if isinstance(error, ConnectionFailed):
            return ConnectionFailed(text, side=error.side, hint=error.hint)
        table = error.table if isinstance(error, TransferError) else None
        return TransferError(text, table=table, hint=error.hint, retryable=True)
