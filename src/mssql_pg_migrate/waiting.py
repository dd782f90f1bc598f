"""Waiting is told: calls to a server that last are noticed by a thread beside them, and what they wait for is asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Generic, Protocol, TypeVar
from weakref import WeakSet

from .events import EventSink, Message, Waiting

PATIENCE = 3.0
"""Seconds that a call may last before anybody asks what it waits for, and between two such questions."""
REPEAT = 30.0
"""Seconds after which a wait is told again."""
_TICK = 1.0


def clock(moment: datetime) -> str:
    """The moment by this machine's clock, with its date unless that is today's."""
    there = moment.astimezone()
    today = there.date() == datetime.now().astimezone().date()
    return f"{there:%H:%M:%S}" if today else f"{there:%Y-%m-%d %H:%M:%S}"


class Session(Protocol):
    """A connection that is watched. Its calls note their time and nothing else: they cost nothing."""

    busy_since: float | None
    """``time.monotonic()`` when the call under way began, None between calls."""

    @property
    def closed(self) -> bool:
        """Whether it will make no more calls."""
        ...


S = TypeVar("S", bound=Session)


class Watch(Generic[S]):
    """Looks after the sessions of one side of a command; ``explain`` is the side's own part.

    Its thread lives as long as there are sessions. Travels to another process as None: nobody listens there.
    """

    def __init__(self, emit: EventSink) -> None:
        self._emit = emit
        self._sessions: WeakSet[S] = WeakSet()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()

    def add(self, session: S) -> None:
        """Look after the session until it is closed."""
        with self._lock:
            self._sessions.add(session)
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="watch", daemon=True)
                self._thread.start()

    def explain(self, late: Sequence[S], open_sessions: int) -> dict[S, Waiting]:
        """What those sessions wait for, of ``open_sessions`` that there are; those that only take long are left out."""
        raise NotImplementedError

    def rest(self) -> None:
        """Called when no call lasts: give back what ``explain`` needed."""

    def _look(self) -> None:
        asked: dict[int, float] = {}
        """Session -> when it may be asked for again."""
        told: dict[int, float] = {}
        """Session -> since when the call lasts that was told of."""
        while True:
            time.sleep(_TICK)
            with self._lock:
                sessions = [session for session in self._sessions if not session.closed]
                if not sessions:
                    self._thread = None
                    break
            now = time.monotonic()
            late = [session for session in sessions if now - (session.busy_since or now) >= PATIENCE]
            if not late:
                self.rest()
            due = [session for session in late if _due(session, asked, told, now)]
            if not due:
                continue
            try:
                found = self.explain(due, len(sessions))
            except Exception as error:  # to tell of waiting is a service: it must not end more than itself
                self._emit(Message(level="debug", text=f"cannot ask what calls wait for: {error!r}"))
                found = {}
            for session in due:
                since, waiting = session.busy_since, found.get(session)
                asked[id(session)] = now + (PATIENCE if waiting is None else REPEAT)
                if waiting is not None and since is not None:
                    told[id(session)] = since
                    self._emit(waiting)
        self.rest()


def _due(session: Session, asked: dict[int, float], told: dict[int, float], now: float) -> bool:
    """Whether to ask for the session: its call is another than the one told of, or that was some time ago."""
    key = id(session)
    if key in told and told[key] != session.busy_since:
        del told[key]
        asked.pop(key, None)
    return now >= asked.get(key, 0.0)
