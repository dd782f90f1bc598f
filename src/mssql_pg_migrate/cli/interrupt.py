"""SIGINT and SIGTERM: told to a thread at once, even while the main thread waits inside a database driver."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable
from types import FrameType, TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """While entered, ``on_signal(number_of_signals_so_far, signal)`` is called, in a thread, for each signal.

    Works from the main thread only; elsewhere (the API inside another program) it leaves signals alone.
    """

    def __init__(self, on_signal: Callable[[int, signal.Signals], None]) -> None:
        self._on_signal = on_signal
        self._count = 0
        self._previous: dict[signal.Signals, object] = {}
        self._reader: socket.socket | None = None
        self._writer: socket.socket | None = None
        self._wakeup = -1

    @property
    def count(self) -> int:
        """How many signals have come."""
        return self._count

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is not threading.main_thread():
            return self
        # C's signal handler writes the number to this descriptor whatever the interpreter is doing.
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in SIGNALS:
            self._previous[number] = signal.signal(number, _ignore)
        threading.Thread(target=self._watch, name="signals", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._writer is None:
            return
        for number, handler in self._previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # type: ignore[arg-type]
        signal.set_wakeup_fd(self._wakeup)
        self._writer.close()  # ends the watching thread
        self._writer = None

    def _watch(self) -> None:
        assert self._reader is not None
        with self._reader:
            while data := self._reader.recv(64):
                for value in data:
                    if value in SIGNALS:
                        self._count += 1
                        self._on_signal(self._count, signal.Signals(value))


def _ignore(number: int, frame: FrameType | None) -> None:
    """The thread acts; Python only must not end the process."""
