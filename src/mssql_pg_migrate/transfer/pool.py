"""A bounded pool of connections: never more open than allowed, broken ones replaced, idle ones reused."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from typing import Generic, Protocol, TypeVar, cast


class Closable(Protocol):
    """What a pool holds."""

    def close(self) -> None:
        """Close the connection; idempotent."""
        ...


T = TypeVar("T", bound=Closable)
S = TypeVar("S", bound=Closable)
_NOTICE = 0.1
"""Seconds a server is given to notice that a connection was closed, before another one takes its place."""


class PoolClosedError(Exception):
    """The pool was closed: the run is being stopped."""


class Pool(Generic[T]):
    """Up to ``limit`` open connections of any kinds together, each with one user at most.

    ``usable`` tells whether a returned connection may serve again. A connection whose user raised is closed. At the
    limit an idle connection of another kind makes room. Thread safe.
    """

    def __init__(self, limit: int, *, usable: Callable[[T], bool]) -> None:
        self.limit = limit
        self._usable = usable
        self._idle: list[tuple[Hashable, T]] = []
        self._in_use: dict[int, T] = {}
        self._open = 0
        self._closed = False
        self._changed = threading.Condition()

    @contextmanager
    def use(self, kind: Hashable, connect: Callable[[], S]) -> Iterator[S]:
        """A connection of that kind for the block, an idle one or a new one.

        Waits while ``limit`` are in use. Raises PoolClosedError, and what ``connect`` raises.
        """
        # ``kind`` stands for a type: all connections of a kind are made by the same ``connect``.
        connection = self._take(kind, cast("Callable[[], T]", connect))
        keep = False
        try:
            yield cast(S, connection)
            keep = True
        finally:
            self._give_back(kind, connection, keep=keep)

    def _take(self, kind: Hashable, connect: Callable[[], T]) -> T:
        evicted: T | None = None
        with self._changed:
            while True:
                if self._closed:
                    raise PoolClosedError("stopped")
                for index, (idle_kind, connection) in enumerate(self._idle):
                    if idle_kind == kind:
                        del self._idle[index]
                        self._in_use[id(connection)] = connection
                        return connection
                if self._open < self.limit:
                    self._open += 1
                    break
                if self._idle:
                    evicted = self._idle.pop(0)[1]
                    break
                self._changed.wait()
        try:
            if evicted is not None:
                _close(evicted)
                time.sleep(_NOTICE)
            connection = connect()
        except BaseException:
            with self._changed:
                self._open -= 1
                self._changed.notify()
            raise
        with self._changed:
            self._in_use[id(connection)] = connection
        return connection

    def _give_back(self, kind: Hashable, connection: T, *, keep: bool) -> None:
        keep = keep and not self._closed and self._usable(connection)
        if not keep:
            _close(connection)
        with self._changed:
            del self._in_use[id(connection)]
            if keep:
                self._idle.append((kind, connection))
            else:
                self._open -= 1
            self._changed.notify()

    def close_idle(self) -> None:
        """Close the connections nobody uses, to leave room for others."""
        with self._changed:
            idle, self._idle = self._idle, []
            self._open -= len(idle)
            self._changed.notify_all()
        for _, connection in idle:
            _close(connection)

    def close(self, abort: Callable[[T], None] | None = None) -> None:
        """Refuse further use and close idle connections; ``abort`` is called on those in use, to end them at once."""
        with self._changed:
            self._closed = True
            in_use = list(self._in_use.values())
            self._changed.notify_all()
        self.close_idle()
        if abort is not None:
            for connection in in_use:
                with suppress(Exception):  # it may be closed, or closing, already
                    abort(connection)


def _close(connection: Closable) -> None:
    with suppress(Exception):  # a connection that failed may fail to close as well
        connection.close()
