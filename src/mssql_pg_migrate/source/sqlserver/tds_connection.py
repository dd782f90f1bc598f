"""A connection for questions through the tool's own TDS client, in the form of Microsoft's driver (`dbapi`).

It serves where rows and questions must share one session (a pass of the sync reads all tables at one moment), and
where only the client can log in. Results are read whole: questions have small answers.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

from ...tds import times
from ...tds import types as t
from ...tds.client import Answer, Client
from ...tds.metadata import ColumnMetadata
from ...tds.values import Variant


class TdsConnection:
    """An open session (see `dbapi.Connection`); used by one thread at a time, except ``cancel``."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def cursor(self) -> TdsCursor:
        """A new cursor; there is one answer at a time, and it is read whole."""
        return TdsCursor(self.client)

    def cancel(self) -> None:
        """End a statement under way, from another thread: the connection is broken, and given up."""
        self.client.abort()

    def close(self) -> None:
        """End the session; idempotent."""
        self.client.close()


class TdsCursor:
    """A statement and its rows (see `dbapi.Cursor`)."""

    messages: Sequence[tuple[str, str]] = ()
    """Always empty: an answer that was cut short raises."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._more: list[Answer] = []
        self._rows: list[tuple[Any, ...]] = []
        self.description: list[tuple[Any, ...]] | None = None

    def execute(self, operation: str) -> TdsCursor:
        """Run a statement. Raises ServerFailure (see `classify`), OSError or ProtocolError for a lost connection."""
        self._more = self._client.fetch(operation)[::-1]
        self.nextset()
        return self

    def nextset(self) -> bool:
        """Go on to the batch's next result; False when there is none."""
        if not self._more:
            self.description, self._rows = None, []
            return False
        answer = self._more.pop()
        self.description = [(column.name, *[None] * 5, column.nullable) for column in answer.columns]
        convert = [python_value(column) for column in answer.columns]
        self._rows = [
            tuple(None if value is None else make(value) for make, value in zip(convert, row, strict=True))
            for row in answer.rows
        ]
        self._rows.reverse()
        return True

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row."""
        return self._rows.pop() if self._rows else None

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows that are left."""
        rows, self._rows = self._rows[::-1], []
        return rows

    def close(self) -> None:
        """End the statement."""
        self._rows, self._more = [], []


def python_value(column: ColumnMetadata) -> Callable[[Any], Any]:
    """From a value as `tds.values` decodes it to the object Microsoft's driver gives for the column."""
    return _FORMS.get(column.type_id, _same)


def _same(value: Any) -> Any:
    return value


def _time(ticks: int) -> dt.time:
    return times.datetime_of(ticks).time()


def _offset(value: tuple[int, int]) -> dt.datetime:
    ticks, minutes = value
    zone = dt.timezone(dt.timedelta(minutes=minutes))
    return times.datetime_of(ticks).replace(tzinfo=dt.timezone.utc).astimezone(zone)


def _variant(value: Variant) -> Any:
    return None if value.value is None else _FORMS.get(value.type.type_id, _same)(value.value)


_FORMS: dict[int, Callable[[Any], Any]] = {
    t.DATEN: times.date_of,
    t.TIMEN: _time,
    t.DATETIME2N: times.datetime_of,
    **dict.fromkeys((t.DATETIME, t.DATETIME4, t.DATETIMEN), times.datetime_of),
    t.DATETIMEOFFSETN: _offset,
    t.SQL_VARIANT: _variant,
}
