"""The process in which Microsoft's driver reads what the wire reader is compared with (see `judge`).

It is told what to do on its standard input and answers on its standard output, both in pickles: at the other end is the
process that started it. Messages are ``(session, verb, argument)``; each has one answer, ``(session, result or error,
usable)``. The end of its input is the end of the process.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import sys
import threading
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from ...errors import MigrationError, TransferError
from ..reader import Chunk, ReadRequest
from ..settings import SqlServerSettings

if TYPE_CHECKING:
    from .driver import DriverReader

Answer: TypeAlias = "tuple[int, Chunk | int | MigrationError | None, bool]"


def main() -> None:
    """Serve until the input ends. Never returns: threads in the driver would keep the process alive."""
    for number in (signal.SIGINT, signal.SIGTERM):  # meant for the process that started this one, which will end it
        signal.signal(number, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no answer
    _serve(sys.stdin.buffer, answers)
    os._exit(0)


def _serve(messages: BinaryIO, answers: BinaryIO) -> None:
    lock = threading.Lock()

    def answer(message: Answer) -> None:
        data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        with lock:
            answers.write(data)
            answers.flush()

    sessions: dict[int, _Session] = {}
    while True:
        try:
            session, verb, argument = pickle.load(messages)
        except (EOFError, pickle.UnpicklingError):  # the other process is gone, perhaps in the middle of a message
            return
        if verb == "open":
            sessions[session] = _Session(session, answer)
        if session in sessions:
            sessions[session].todo.put((verb, argument))
        if verb == "close":
            sessions.pop(session, None)


class _Session(threading.Thread):
    """One connection through the driver, in a thread of its own."""

    def __init__(self, number: int, answer: Callable[[Answer], None]) -> None:
        super().__init__(daemon=True)
        self.todo: queue.SimpleQueue[tuple[str, object]] = queue.SimpleQueue()
        self._number = number
        self._answer = answer
        self._reader: DriverReader | None = None
        self._chunks: Generator[Chunk, None, None] | None = None
        self.start()

    def run(self) -> None:
        """The thread's body."""
        verb = ""
        result: Chunk | int | MigrationError | None
        while verb != "close":
            verb, argument = self.todo.get()
            try:
                result = self._do(verb, argument)
            except MigrationError as error:
                result = error
            except Exception as error:
                result = TransferError(f"Microsoft's driver, comparing: {type(error).__name__}: {error}")
            self._answer((self._number, result, self._reader is not None and self._reader.usable))

    def _do(self, verb: str, argument: object) -> Chunk | int | None:
        if verb == "open" and isinstance(argument, tuple):
            return self._open(*argument)
        if self._reader is None:
            return None
        if verb == "start" and isinstance(argument, ReadRequest):
            self._chunks = self._reader.chunks(argument)
        if verb in ("start", "next") and self._chunks is not None:
            chunk = next(self._chunks, None)
            return None if chunk is None else Chunk(bytes(chunk.data), chunk.rows, chunk.last_key)
        if self._chunks is not None:
            self._chunks.close()
            self._chunks = None
        if verb == "close":
            self._reader.close()
        return None

    def _open(self, settings: SqlServerSettings, known: bool, ask: bool) -> int | None:
        """Connect; the server's session id if asked for. ``known``: the database was opened before."""
        from .connect import remember
        from .driver import DriverReader
        from .watch import session_id

        if known:
            remember(settings)
        self._reader = DriverReader(settings)
        return session_id(self._reader.connection) if ask else None
