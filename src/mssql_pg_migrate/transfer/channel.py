"""A bounded hand-over from one producer to one consumer that either side may end."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Channel(Generic[T]):
    """At most ``capacity`` items wait. ``close`` wakes both sides; thread safe."""

    def __init__(self, capacity: int) -> None:
        self._capacity = max(1, capacity)
        self._items: deque[T] = deque()
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: T) -> bool:
        """Wait for room, then hand over; False when the channel is closed (the item is not taken)."""
        with self._changed:
            while len(self._items) >= self._capacity and not self._closed:
                self._changed.wait()
            if self._closed:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def get(self) -> T | None:
        """Wait for an item; None when the channel is closed."""
        with self._changed:
            while not self._items and not self._closed:
                self._changed.wait()
            if self._closed:
                return None
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def poll(self) -> T | None:
        """An item that is there already; None without one."""
        with self._changed:
            if not self._items or self._closed:
                return None
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def take_if(self, wanted: Callable[[T], bool], seconds: float) -> T | None:
        """The next item, if it comes within that time and is wanted; else it stays, and None."""
        with self._changed:
            if not self._items and not self._closed and seconds > 0:
                self._changed.wait(seconds)
            if self._closed or not self._items or not wanted(self._items[0]):
                return None
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def close(self) -> list[T]:
        """End the channel; returns what was still waiting. Idempotent."""
        with self._changed:
            self._closed = True
            left = list(self._items)
            self._items.clear()
            self._changed.notify_all()
            return left
