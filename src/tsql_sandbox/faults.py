"""Faults on request, and counters to check limits by."""

from __future__ import annotations

import fnmatch
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import SqlError

KINDS = ("drop", "error", "stall", "slow", "refuse_login")

MESSAGES: dict[int, tuple[str, int]] = {
    # number -> text and severity
    1205: (
        "Transaction (Process ID 0) was deadlocked on lock resources with another process and has been chosen as the "
        "deadlock victim. Rerun the transaction.",
        13,
    ),
    1222: ("Lock request time out period exceeded.", 16),
    3960: ("Snapshot isolation transaction aborted due to update conflict.", 16),
    8645: ("A timeout occurred while waiting for memory resources to execute the query.", 17),
    10928: ("Resource ID: 1. The request limit for the database is 0 and has been reached.", 20),
    10929: ("Resource ID: 1. The server is currently too busy to support requests.", 20),
    18456: ("Login failed for user '{login}'.", 14),
    18452: ("Login failed. The login is from an untrusted domain.", 14),
    18486: ("Login failed for user '{login}' because the account is currently locked out.", 14),
    40197: ("The service has encountered an error processing your request. Please try again.", 20),
    40501: ("The service is currently busy. Retry the request after 10 seconds.", 20),
    40613: ("Database is not currently available. Please retry the connection later.", 20),
    4060: ('Cannot open database "{database}" requested by the login. The login failed.', 11),
    17: ("SQL Server does not exist or access denied.", 20),
}


@dataclass(frozen=True)
class Fault:
    """One fault. It strikes results whose query reads a table named like `table`, `times` times (0 is always)."""

    kind: str
    table: str = "*"
    statement: str = "*"
    app: str = "*"
    after_rows: int = 0
    times: int = 1
    number: int = 1205
    message: str = ""
    seconds: float = 0.0
    bytes_per_second: int = 0

    def sql_error(self, login: str = "", database: str = "") -> SqlError:
        """The error this fault sends."""
        text, severity = MESSAGES.get(self.number, (f"Error {self.number} was asked for.", 16))
        text = self.message or text.format(login=login, database=database)
        return SqlError(self.number, text, severity)


class Faults:
    """The faults of one server. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._left: list[int] = []
        self.hits: list[Fault] = []
        """Faults that have struck, in order."""

    # --- asking for faults ---

    def add(self, fault: Fault) -> None:
        """Ask for a fault.

        Raises:
            ValueError: there is no such kind.
        """
        if fault.kind not in KINDS:
            raise ValueError(f"unknown fault {fault.kind!r}: {', '.join(KINDS)}")
        with self._lock:
            self._faults.append(fault)
            self._left.append(fault.times)

    def drop(self, table: str = "*", after_rows: int = 0, times: int = 1, **others: Any) -> None:
        """Close the connection after so many rows of a result."""
        self.add(Fault("drop", table, after_rows=after_rows, times=times, **others))

    def error(self, number: int = 1205, table: str = "*", after_rows: int = 0, times: int = 1, **others: Any) -> None:
        """Send an error after so many rows of a result."""
        self.add(Fault("error", table, number=number, after_rows=after_rows, times=times, **others))

    def stall(self, seconds: float, table: str = "*", after_rows: int = 0, times: int = 1, **others: Any) -> None:
        """Send nothing for a while after so many rows."""
        self.add(Fault("stall", table, seconds=seconds, after_rows=after_rows, times=times, **others))

    def slow(self, bytes_per_second: int, table: str = "*", times: int = 0, **others: Any) -> None:
        """Send results no faster than this."""
        self.add(Fault("slow", table, bytes_per_second=bytes_per_second, times=times, **others))

    def refuse_login(self, number: int = 18456, times: int = 1, **others: Any) -> None:
        """Refuse logins."""
        self.add(Fault("refuse_login", number=number, times=times, **others))

    def clear(self) -> None:
        """Ask for no more faults and forget those that struck."""
        with self._lock:
            self._faults.clear()
            self._left.clear()
            self.hits.clear()

    def set_by_arguments(self, arguments: Mapping[str, str | None]) -> int:
        """`EXEC sandbox_fault 'kind', @table = ..., @after_rows = ...`; the kind `clear` clears.

        Raises:
            SqlError: 50000, an argument is unknown.
        """
        values = {name.lstrip("@"): value for name, value in arguments.items()}
        kind = values.pop("kind", None) or values.pop("1", None) or ""
        if kind == "clear":
            self.clear()
            return 0
        numbers = ("after_rows", "times", "number", "bytes_per_second")
        fields: dict[str, Any] = {}
        for name, value in values.items():
            if name not in Fault.__dataclass_fields__ or value is None:
                raise SqlError(50000, f"sandbox_fault has no parameter @{name}.")
            fields[name] = int(value) if name in numbers else float(value) if name == "seconds" else value
        if kind == "slow":
            fields.setdefault("times", 0)
        if kind == "refuse_login":
            fields.setdefault("number", 18456)
        try:
            self.add(Fault(kind, **fields))
        except ValueError as error:
            raise SqlError(50000, str(error)) from None
        return 0

    # --- striking ---

    def for_login(self, app: str) -> Fault | None:
        """The fault that strikes a login now."""
        return self._take(lambda fault: fault.kind == "refuse_login" and _like(app, fault.app))

    def for_result(self, tables: tuple[str, ...], statement: str, app: str) -> list[Fault]:
        """The faults that may strike a result; those that are counted are used up by `strike`."""
        if not tables:
            return []
        with self._lock:
            return [
                fault
                for fault in self._faults
                if fault.kind != "refuse_login"
                and any(_like(table, fault.table) for table in tables)
                and _like(statement, fault.statement)
                and _like(app, fault.app)
            ]

    def strike(self, fault: Fault) -> bool:
        """Use a fault up once; False when others have used it up meanwhile."""
        return self._take(lambda item: item is fault) is not None

    def _take(self, wanted: Any) -> Fault | None:
        with self._lock:
            for index, fault in enumerate(self._faults):
                if wanted(fault):
                    self.hits.append(fault)
                    if self._left[index]:
                        self._left[index] -= 1
                        if not self._left[index]:
                            del self._faults[index], self._left[index]
                    return fault
        return None


def _like(value: str, pattern: str) -> bool:
    return pattern == "*" or fnmatch.fnmatch(value.lower(), pattern.lower())


class Counters:
    """Who is connected, who has been, and what was asked. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now: Counter[tuple[str, str]] = Counter()
        self._most: Counter[tuple[str, str]] = Counter()
        self._logins: Counter[tuple[str, str]] = Counter()
        self._all = 0
        self.most_connections = 0
        """The most connections there were at one time, all logins and applications together."""
        self.statements: list[str] = []
        """Batches and calls in their order, kept while `keep_statements` is set."""
        self.keep_statements = False

    @property
    def connections(self) -> int:
        """Connections there are now."""
        return self._all

    def enter(self, login: str, app: str) -> None:
        """A login succeeded."""
        with self._lock:
            key = (login, app)
            self._now[key] += 1
            self._logins[key] += 1
            self._most[key] = max(self._most[key], self._now[key])
            self._all += 1
            self.most_connections = max(self.most_connections, self._all)

    def leave(self, login: str, app: str) -> None:
        """Its connection ended."""
        with self._lock:
            self._now[login, app] -= 1
            self._all -= 1

    def statement(self, text: str) -> None:
        """A batch or call arrived."""
        if self.keep_statements:
            with self._lock:
                self.statements.append(text)

    def rows(self) -> list[tuple[str, str, int, int, int]]:
        """(login, application, connections now, most at one time, logins) of each login and application."""
        with self._lock:
            return [(*key, self._now[key], self._most[key], count) for key, count in sorted(self._logins.items())]

    def reset(self) -> None:
        """Start counting anew from the connections there are."""
        with self._lock:
            self._most = Counter({key: count for key, count in self._now.items() if count})
            self._logins = Counter({key: count for key, count in self._now.items() if count})
            self.most_connections = self._all
            self.statements.clear()
