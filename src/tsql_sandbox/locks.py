"""Who holds which table, and who waits for it.

Microsoft, "Transaction Locking and Row Versioning Guide", lock modes and their compatibility. The sandbox locks tables
only: of a changed row it knows the table. Modes are

- `Sch-S` while a statement uses a table, compatible with everything but `Sch-M`;
- `IS` asked for by a reader that does not read row versions: it waits for changed rows, and keeps `Sch-S` only;
- `IX` of a transaction that has changed rows, until it ends;
- `S` and `X` of a whole table, by hints (TABLOCK, TABLOCKX), until the transaction ends;
- `Sch-M` of DDL and TRUNCATE, until the transaction ends.

Requests are served in the order in which they came. One that would wait in a circle is the victim (error 1205).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from .errors import SqlError

Resource = tuple[int, int]
"""Database id and object id; object 0 is the catalog of the database."""

CATALOG = 0
_CONFLICTS: dict[str, frozenset[str]] = {
    "Sch-S": frozenset(("Sch-M",)),
    "IS": frozenset(("IX", "X", "Sch-M")),
    "IX": frozenset(("S", "X", "Sch-M")),
    "S": frozenset(("IX", "X", "Sch-M")),
    "X": frozenset(("IS", "IX", "S", "X", "Sch-M")),
    "Sch-M": frozenset(("Sch-S", "IS", "IX", "S", "X", "Sch-M")),
}
_POLL_SECONDS = 0.05


class Relocked(Exception):
    """A lock had to be waited for: the statement begins anew, as the catalog may have changed."""


@dataclass(frozen=True)
class Wait:
    """A session that waits: for what, since when (monotonic seconds), and behind whom."""

    resource: Resource
    mode: str
    since: float
    blocker: int
    blocking_mode: str

    @property
    def wait_type(self) -> str:
        """The wait as sys.dm_os_wait_stats names it."""
        mode = self.mode
        if self.blocking_mode == "Sch-M" and mode != "Sch-M":
            mode = "Sch-S"
        elif mode == "IS" and self.blocking_mode == "IX":
            # The table is free for readers: the row is not.
            mode = "S"
        return "LCK_M_" + mode.upper().replace("-", "_")

    @property
    def milliseconds(self) -> int:
        """How long it has waited."""
        return int((time.monotonic() - self.since) * 1000)


class Locks:
    """The locks of a server. Sessions are known by their ids."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._held: dict[Resource, dict[int, set[str]]] = {}
        self._of: dict[int, set[tuple[Resource, str]]] = {}
        self._waiting: dict[int, Wait] = {}

    def acquire(
        self, session: int, resource: Resource, mode: str, timeout: float | None, check: Callable[[], None]
    ) -> bool:
        """Take a lock; returns whether that had to be waited for. `check` is called meanwhile and may raise.

        Raises:
            SqlError: 1222 after `timeout` seconds, 1205 when waiting would never end.
        """
        with self._condition:
            blocker = self._blocker(session, resource, mode)
            if blocker is None:
                self._grant(session, resource, mode)
                return False
            if timeout == 0:
                raise _timed_out()
            started = time.monotonic()
            try:
                while blocker is not None:
                    self._waiting[session] = Wait(resource, mode, started, *blocker)
                    self._refuse_circle(session)
                    left = None if timeout is None else started + timeout - time.monotonic()
                    if left is not None and left <= 0:
                        raise _timed_out()
                    self._pause(min(_POLL_SECONDS, _POLL_SECONDS if left is None else left), check)
                    blocker = self._blocker(session, resource, mode)
                self._grant(session, resource, mode)
            finally:
                self._waiting.pop(session, None)
                self._condition.notify_all()
            return True

    def _pause(self, seconds: float, check: Callable[[], None]) -> None:
        self._condition.wait(seconds)
        self._condition.release()
        try:
            check()
        finally:
            self._condition.acquire()

    def _grant(self, session: int, resource: Resource, mode: str) -> None:
        kept = "Sch-S" if mode == "IS" else mode
        self._held.setdefault(resource, {}).setdefault(session, set()).add(kept)
        self._of.setdefault(session, set()).add((resource, kept))

    def _blocker(self, session: int, resource: Resource, mode: str) -> tuple[int, str] | None:
        conflicts = _CONFLICTS[mode]
        holders = self._held.get(resource)
        if holders:
            for other, modes in holders.items():
                if other != session and not conflicts.isdisjoint(modes):
                    return other, sorted(conflicts & modes)[0] if "Sch-M" not in modes else "Sch-M"
        if self._waiting and not (holders and session in holders):
            mine = self._waiting.get(session)
            for other, wait in self._waiting.items():
                earlier = mine is None or wait.since < mine.since
                if other != session and wait.resource == resource and wait.mode in conflicts and earlier:
                    return other, wait.mode
        return None

    def _refuse_circle(self, session: int) -> None:
        seen: set[int] = set()
        current = session
        while current in self._waiting and current not in seen:
            seen.add(current)
            current = self._waiting[current].blocker
        if current == session:
            raise SqlError(
                1205,
                f"Transaction (Process ID {session}) was deadlocked on lock resources with another process and has "
                "been chosen as the deadlock victim. Rerun the transaction.",
                13,
            )

    def release(self, session: int, *modes: str) -> None:
        """Give locks back: those of some modes, or all."""
        mine = self._of.get(session)
        if not mine:
            return
        with self._condition:
            for place in [place for place in mine if not modes or place[1] in modes]:
                mine.discard(place)
                resource, mode = place
                held = self._held[resource]
                held[session].discard(mode)
                if not held[session]:
                    del held[session]
                    if not held:
                        del self._held[resource]
            if not mine:
                del self._of[session]
            if self._waiting:
                self._condition.notify_all()

    def held_by_others(self, session: int, resource: Resource) -> bool:
        """Whether another session holds anything of a resource."""
        holders = self._held.get(resource)
        return holders is not None and any(other != session for other in list(holders))

    def written(self, session: int) -> list[Resource]:
        """The tables a session has changed rows of in its open transaction."""
        return [resource for resource, mode in self._of.get(session, ()) if mode == "IX" and resource[1] != CATALOG]

    def waiting(self) -> dict[int, Wait]:
        """Who waits now, by session."""
        with self._condition:
            return dict(self._waiting)

    def all(self) -> list[tuple[int, Resource, str, str]]:
        """All locks: session, resource, mode, GRANT or WAIT."""
        with self._condition:
            held = [
                (session, resource, mode, "GRANT")
                for resource, holders in self._held.items()
                for session, modes in holders.items()
                for mode in sorted(modes)
            ]
            return held + [(session, wait.resource, wait.mode, "WAIT") for session, wait in self._waiting.items()]


def _timed_out() -> SqlError:
    return SqlError(1222, "Lock request time out period exceeded.")
