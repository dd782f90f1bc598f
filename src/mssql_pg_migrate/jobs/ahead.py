"""What a run will need soon, begun in a thread while it does something else: far servers answer late."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Generic, Protocol, TypeVar


class _Closable(Protocol):
    def close(self) -> None: ...


T = TypeVar("T", bound=_Closable)


class Opening(Generic[T]):
    """A connection that is being opened. Use as a context manager: leaving it closes a connection nobody took."""

    def __init__(self, connect: Callable[[], T]) -> None:
        self._connect = connect
        self._opened: T | None = None
        self._error: BaseException | None = None
        self._abandoned = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="open", daemon=True)
        self._thread.start()

    def __enter__(self) -> Opening[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._abandoned = True
            left, self._opened = self._opened, None
        if left is not None:
            with suppress(Exception):  # nobody used it
                left.close()

    def take(self) -> T:
        """The connection, which is the caller's from now on; once. Raises what opening it raised."""
        self._thread.join()
        with self._lock:
            opened, self._opened = self._opened, None
        if self._error is not None:
            raise self._error
        assert opened is not None
        return opened

    def _run(self) -> None:
        try:
            opened = self._connect()
        except BaseException as error:
            self._error = error
            return
        with self._lock:
            if not self._abandoned:
                self._opened = opened
                return
        with suppress(Exception):  # the run has ended meanwhile
            opened.close()
