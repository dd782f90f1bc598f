"""Microsoft's driver in a process of its own, where it only judges the wire reader.

The driver brings Arrow and NumPy, some 80 MiB that a run has no other use for, and while it connects it lets no other
thread of its process run. So what it is compared with is read by a child process, several connections at a time, which
ends when nothing was to be compared for some seconds. It is told the password on its standard input, never in its
arguments. Where no process can be started, the driver reads in this one.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import pickle
import queue
import subprocess
import sys
import threading
import weakref
from collections.abc import Generator
from typing import TypeAlias

from ...errors import MigrationError, TransientError
from ..reader import Chunk, Reader, ReadRequest
from ..settings import SqlServerSettings
from .connect import was_open
from .watch import Line

_LINGER = 10.0
"""Seconds without a question after which the process ends. The next question starts another, for 0.4 s of CPU."""
_SECONDS_TO_END = 2.0
_START = (
    "import sys; sys.path[:] = sys.argv[1:]; from mssql_pg_migrate.source.sqlserver.judge_process import main; main()"
)
_Result: TypeAlias = "Chunk | int | None"
_LOG = logging.getLogger(__name__)


class JudgeLost(Exception):
    """The process could not be started, or ended by itself."""


class Judge:
    """Opens readers through the driver in the child process, which it starts and ends. Thread safe."""

    def __init__(self, settings: SqlServerSettings, *, linger: float = _LINGER) -> None:
        """``linger``: seconds without a question after which the process ends."""
        self._settings = settings
        self._linger = linger
        self._process: _Process | None = None
        self._lost = False
        self._busy = 0
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()

    def open_reader(self) -> Reader:
        """A reader through the driver, there or here. Raises ConnectionFailed."""
        if not self._lost:
            try:
                return JudgeReader(self, self._settings)
            except JudgeLost as error:
                self.lost(error)
        from .driver import DriverReader

        return DriverReader(self._settings)

    def lost(self, error: JudgeLost) -> None:
        """From now on the driver reads in this process."""
        self._lost = True
        _LOG.debug("the wire reader is compared with the driver in this process: %s", error)

    def begin(self) -> _Process:
        """The process for a question; `end` must follow. Raises JudgeLost."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if self._process is None or self._process.ended:
                self._process = _Process()
            self._busy += 1
            return self._process

    def end(self) -> None:
        """The question is answered."""
        with self._lock:
            self._busy -= 1
            if not self._busy and self._process is not None:
                self._timer = threading.Timer(self._linger, self._rest)
                self._timer.daemon = True
                self._timer.start()

    def _rest(self) -> None:
        with self._lock:
            if self._busy or self._process is None:
                return
            process, self._process = self._process, None
        process.end()


class JudgeReader:
    """One connection of the driver in the child process (see `reader.Reader`); opened again when the process ended."""

    name = "driver"

    def __init__(self, judge: Judge, settings: SqlServerSettings) -> None:
        """Connect. Raises JudgeLost, ConnectionFailed."""
        self._judge = judge
        self._settings = settings
        self._line = Line()
        self._session: _Session | None = None
        self._usable = True
        self._cancelled = False
        process = judge.begin()
        try:
            self._connect(process, "connecting")
        except BaseException:
            self.close()
            raise
        finally:
            judge.end()

    @property
    def usable(self) -> bool:
        """Whether it may serve another request."""
        return self._usable and not self._cancelled

    def chunks(self, request: ReadRequest) -> Generator[Chunk, None, None]:
        """Stream the rows of ``request``; see `reader.Reader.chunks`."""
        name = request.table.source.full_name
        try:
            process = self._judge.begin()
        except JudgeLost as error:
            raise self._gone(error, name) from None
        try:
            session = self._connect(process, name)
            with self._line.at(f"reading {name}", name):
                chunk = session.ask("start", request)
            while isinstance(chunk, Chunk):
                yield chunk
                with self._line:
                    chunk = session.ask("next")
        except GeneratorExit:
            with contextlib.suppress(JudgeLost, MigrationError):  # then it is not usable
                session.ask("stop")
            raise
        except JudgeLost as error:
            raise self._gone(error, name) from None
        finally:
            self._usable = self._usable and self._session is not None and self._session.usable
            self._judge.end()

    def _connect(self, process: _Process, name: str) -> _Session:
        """The session in that process. Raises ConnectionFailed, JudgeLost, TransientError when cancelled."""
        if self._session is None or self._session.process is not process:
            watch = self._settings.watch
            self._session = _Session(process)
            if self._cancelled:
                raise TransientError(f"Reading {name} was cancelled.", side="source")
            argument = (self._settings, was_open(self._settings), watch is not None)
            found = self._session.ask("open", argument)
            self._line.session = found if isinstance(found, int) else None
            if watch is not None:
                watch.add(self._line)
        return self._session

    def _gone(self, error: JudgeLost, table: str) -> TransientError:
        self._usable = False
        if not self._cancelled:
            self._judge.lost(error)
        return TransientError(f"Reading {table}: {error}", side="source", table=table)

    def cancel(self) -> None:
        """End a running ``chunks`` at once, from another thread, whatever the driver is doing.

        The process ends with it: a command that is not stopped as a whole starts another.
        """
        self._cancelled = True
        if self._session is not None:
            self._session.cancel()

    def close(self) -> None:
        """Close the connection; idempotent."""
        self._line.closed = True
        self._usable = False
        session, self._session = self._session, None
        if session is not None:
            session.close()


class _Session:
    """One of the process's connections: a question, then its answer."""

    def __init__(self, process: _Process) -> None:
        self.process = process
        self.usable = True
        self.answers: queue.SimpleQueue[tuple[_Result | Exception, bool]] = queue.SimpleQueue()
        self._number = process.add(self)

    def ask(self, verb: str, argument: object = None) -> _Result:
        """Raises what the driver reader raised there, JudgeLost, TransientError when cancelled meanwhile."""
        if self.usable:
            self.process.send(self._number, verb, argument)
        result, self.usable = self.answers.get()
        if isinstance(result, Exception):
            raise result
        return result

    def cancel(self) -> None:
        """Its question ends, and there will be no other."""
        self.usable = False
        self.answers.put((TransientError("Reading the source was cancelled.", side="source"), False))
        self.process.kill()

    def close(self) -> None:
        """Close the connection, without waiting for it."""
        self.usable = False
        self.process.remove(self._number)


class _Process:
    """The child process and its two pipes. Thread safe."""

    def __init__(self) -> None:
        """Start it. Raises JudgeLost."""
        if getattr(sys, "frozen", False):
            raise JudgeLost("this program is no Python that could run another one")
        command = [sys.executable, "-c", _START, *sys.path]
        try:
            self._child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        except (OSError, ValueError, TypeError) as error:  # no executable: Python is embedded
            raise JudgeLost(f"no process can be started: {error}") from None
        self.ended = False
        self._sessions: dict[int, _Session] = {}
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        weakref.finalize(self, _kill, self._child)  # at the latest when this process ends
        threading.Thread(target=self._listen, name="judge", daemon=True).start()

    def add(self, session: _Session) -> int:
        """Its number. Raises JudgeLost."""
        with self._lock:
            if self.ended:
                raise self._why()
            number = next(self._numbers)
            self._sessions[number] = session
            return number

    def remove(self, number: int) -> None:
        """Have a session closed; nobody waits for its answers any more."""
        self._sessions.pop(number, None)
        with contextlib.suppress(JudgeLost):
            self.send(number, "close", None)

    def send(self, number: int, verb: str, argument: object) -> None:
        """Raises JudgeLost."""
        data = pickle.dumps((number, verb, argument), pickle.HIGHEST_PROTOCOL)
        pipe = self._child.stdin
        if not self._writing.acquire(timeout=_SECONDS_TO_END):
            self.kill()  # the driver holds its lock, and nobody there reads messages
            raise self._why()
        try:
            if pipe is not None:
                pipe.write(data)
                pipe.flush()
        except (OSError, ValueError):  # broken, or closed
            raise self._why() from None
        finally:
            self._writing.release()

    def _listen(self) -> None:
        pipe = self._child.stdout
        with contextlib.suppress(EOFError, OSError, ValueError, pickle.UnpicklingError):
            while pipe is not None:
                number, result, usable = pickle.load(pipe)
                with self._lock:
                    session = self._sessions.get(number)
                if session is not None:
                    session.answers.put((result, usable))
        self._child.kill()  # ended already, unless it wrote what is no answer
        self._child.wait()
        with self._lock:
            self.ended = True
            waiting = list(self._sessions.values())
        for session in waiting:
            session.answers.put((self._why(), False))

    def _why(self) -> JudgeLost:
        return JudgeLost(f"the process of Microsoft's driver has ended (exit code {self._child.poll()})")

    def kill(self) -> None:
        """End it at once; whoever waits for an answer gets JudgeLost."""
        self.ended = True
        self._child.kill()

    def end(self) -> None:
        """Have it end; killed if it does not."""
        with self._writing, contextlib.suppress(OSError):
            if self._child.stdin is not None:
                self._child.stdin.close()
        try:
            self._child.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._child.kill()


def _kill(child: subprocess.Popen[bytes]) -> None:
    """Waited for, so that its time counts as that of the command that started it."""
    child.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(_SECONDS_TO_END)
