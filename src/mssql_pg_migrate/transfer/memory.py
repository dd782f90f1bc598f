"""A bound on the bytes of chunks between source and target, for all ranges together."""

from __future__ import annotations

import threading
from collections.abc import Callable

_POLL = 0.5
"""Seconds between two looks at ``stopped`` while waiting."""


class MemoryGate:
    """A counting semaphore over bytes. One request larger than the whole budget passes when nothing else is held.

    A slow target thus stalls the readers instead of filling memory. Thread safe.
    """

    def __init__(self, budget: int) -> None:
        self.budget = max(budget, 1)
        self._held = 0
        self._closed = False
        self._changed = threading.Condition()

    def acquire(self, amount: int, stopped: Callable[[], bool] = lambda: False) -> bool:
        """Wait until ``amount`` bytes are free, then hold them; False when closed or ``stopped()`` meanwhile."""
        with self._changed:
            while not self._closed and self._held > 0 and self._held + amount > self.budget:
                if stopped():
                    return False
                self._changed.wait(_POLL)
            if self._closed:
                return False
            self._held += amount
            return True

    def adjust(self, before: int, after: int) -> None:
        """What was estimated as ``before`` bytes turned out to be ``after``; never waits."""
        with self._changed:
            self._held += after - before
            if after < before:
                self._changed.notify_all()

    def release(self, amount: int) -> None:
        """Give bytes back."""
        with self._changed:
            self._held -= amount
            self._changed.notify_all()

    @property
    def held(self) -> int:
        """Bytes held now."""
        return self._held

    def close(self) -> None:
        """Wake all waiters: the run is being stopped."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
