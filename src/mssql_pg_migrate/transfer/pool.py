"""A bounded pool of connections: never more open than allowed, broken ones replaced, idle ones reused."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
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


class Lease(Generic[T]):
    """A connection lent until `release`."""

    def __init__(self, connection: T, give_back: Callable[..., None]) -> None:
        self.connection = connection
        self._give_back = give_back

    def release(self, *, keep: bool) -> None:
        """Give it back, to serve again or to be closed; once."""
        self._give_back(keep=keep)


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
        self._coming: Counter[Hashable] = Counter()
        self._expected: Counter[Hashable] = Counter()
        """By kind: connections being opened ahead, and users that wait for them."""
        self._closed = False
        self._waiting = 0
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

    def warm(self, kind: Hashable, connect: Callable[[], T], count: int) -> None:
        """Open connections of a kind ahead, as far as ``limit`` lets: all at once, in threads of their own.

        One that fails is nobody's: whoever needs it opens another, and is told why it cannot be.
        """
        for _ in range(count):
            with self._changed:
                if self._closed or self._open >= self.limit:
                    return
                self._open += 1
                self._coming[kind] += 1
            threading.Thread(target=self._open_ahead, args=(kind, connect), name="open", daemon=True).start()

    def _open_ahead(self, kind: Hashable, connect: Callable[[], T]) -> None:
        opened: T | None = None
        try:
            with suppress(Exception):
                opened = connect()
        finally:
            with self._changed:
                self._coming[kind] -= 1
                keep = opened is not None and not self._closed
                if keep and opened is not None:
                    self._idle.append((kind, opened))
                else:
                    self._open -= 1
                self._changed.notify_all()
        if opened is not None and not keep:
            _close(opened)

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
                if self._expected[kind] < self._coming[kind]:  # one is being opened that nobody else waits for
                    self._expected[kind] += 1
                    self._changed.wait()
                    self._expected[kind] -= 1
                    continue
                if self._open < self.limit:
                    self._open += 1
                    break
                if self._idle:
                    evicted = self._idle.pop(0)[1]
                    break
                self._waiting += 1
                self._changed.wait()
                self._waiting -= 1
        try:
            if evicted is not None:
                _close(evicted)
                time.sleep(_NOTICE)
            connection = connect()
        except BaseException:
            with self._changed:
                self._open -= 1
                self._changed.notify_all()
            raise
        with self._changed:
            self._in_use[id(connection)] = connection
        return connection

    def spare(self, kind: Hashable, connect: Callable[[], T]) -> Lease[T] | None:
        """An idle connection of a kind that nobody waits for; None, and one is opened ahead if it may be, without one.

        Raises PoolClosedError.
        """
        with self._changed:
            if self._closed:
                raise PoolClosedError("stopped")
            if not self._waiting:
                for index, (idle_kind, connection) in enumerate(self._idle):
                    if idle_kind == kind:
                        del self._idle[index]
                        self._in_use[id(connection)] = connection
                        return Lease(connection, partial(self._give_back, kind, connection))
            if self._waiting or self._coming[kind]:
                return None
        self.warm(kind, connect, 1)
        return None

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
            self._changed.notify_all()

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
