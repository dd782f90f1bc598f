"""Listening for what is said about waiting."""

from __future__ import annotations

import time
from collections.abc import Callable

from mssql_pg_migrate.events import AnyEvent, Waiting


class Heard:
    """An event sink that can be waited on."""

    def __init__(self) -> None:
        self.waits: list[Waiting] = []

    def __call__(self, event: AnyEvent) -> None:
        if isinstance(event, Waiting):
            self.waits.append(event)

    def until(self, enough: Callable[[list[Waiting]], bool], within: float = 15.0) -> list[Waiting]:
        """What was told, as soon as it is enough."""
        deadline = time.monotonic() + within
        while not enough(self.waits) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert enough(self.waits), self.waits
        return list(self.waits)
