"""Connections that note since when they wait for their server: what `watch` looks at."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg


class WatchedConnection(psycopg.Connection[Any]):
    """A connection of psycopg's that notes since when it waits for its server."""

    busy_since: float | None = None

    def wait(self, *args: Any, **keywords: Any) -> Any:
        """As psycopg's, through which every call goes that talks to the server."""
        self.busy_since = time.monotonic()
        try:
            return super().wait(*args, **keywords)
        finally:
            self.busy_since = None


@contextmanager
def busy(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """The block calls libpq without psycopg: the connection waits for its server meanwhile."""
    if not isinstance(connection, WatchedConnection):
        yield
        return
    connection.busy_since = time.monotonic()
    try:
        yield
    finally:
        connection.busy_since = None
