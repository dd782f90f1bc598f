"""When to stop: the user's wish, or a failure that makes the rest of a table pointless."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ..errors import Cancelled

_POLL = 0.1
"""Seconds between two looks at the user's wish while waiting."""


class Stop:
    """Asked between pieces of work; thread safe."""

    def __init__(self, stopped: Callable[[], bool]) -> None:
        self._stopped = stopped
        self._event = threading.Event()

    def stop(self) -> None:
        """Start nothing further."""
        self._event.set()

    def is_set(self) -> bool:
        """Whether to stop."""
        return self._event.is_set() or self._stopped()

    def check(self) -> None:
        """Raises Cancelled when it is time to stop."""
        if self.is_set():
            raise Cancelled("the comparison was stopped")

    def wait(self, seconds: float) -> bool:
        """Sleep; True as soon as it is time to stop."""
        end = time.monotonic() + seconds
        while not self.is_set():
            left = end - time.monotonic()
            if left <= 0:
                return False
            self._event.wait(min(left, _POLL))
        return True

    def nested(self) -> Stop:
        """A part of the work that may be stopped alone."""
        return Stop(self.is_set)
