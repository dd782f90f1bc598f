"""Where the results of statements go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..compiler.outputs import OutputColumn
from ..errors import SqlError
from ..generator.rowstore import Slice


class Sink:
    """Takes results and throws them away: the base of the sink of a connection."""

    def columns(self, columns: Sequence[OutputColumn]) -> None:
        """A result begins."""

    def rows(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Rows of it, as DuckDB gives them."""

    def ready(self, found: Slice) -> int:
        """Rows that are ready tokens already, from their columns to the end of the statement; how many."""
        return found.last - found.first

    def done(self, count: int | None, command: str) -> None:
        """A statement is done; `count` rows were touched, None says that it does not count any."""

    def info(self, number: int, text: str) -> None:
        """A message that is no error."""

    def error(self, error: SqlError) -> None:
        """An error the batch survives."""

    def database_changed(self, old: str, new: str) -> None:
        """USE."""

    def output(self, name: str, value: Any, kind: Any) -> None:
        """The value of an output parameter."""

    def check(self) -> None:
        """Raise if the client has cancelled.

        Raises:
            SqlError: 3617, it has.
        """


class Collector(Sink):
    """Keeps the rows of the results, passes the rest on: for INSERT ... EXEC."""

    def __init__(self, outer: Sink) -> None:
        self.outer = outer
        self.results: list[tuple[list[OutputColumn], list[tuple[Any, ...]]]] = []

    def columns(self, columns: Sequence[OutputColumn]) -> None:
        """A result begins."""
        self.results.append((list(columns), []))

    def rows(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Rows of it."""
        self.results[-1][1].extend(rows)

    def info(self, number: int, text: str) -> None:
        """A message that is no error."""
        self.outer.info(number, text)

    def error(self, error: SqlError) -> None:
        """An error the batch survives."""
        self.outer.error(error)

    def check(self) -> None:
        """Raise if the client has cancelled."""
        self.outer.check()
