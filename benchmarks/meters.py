"""Time, CPU and memory of processes: of a server that runs on, and of a command from start to end."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_SAMPLE_SECONDS = 0.02


class ProcessMeter:
    """CPU seconds of a process, its living children and those it has waited for; None without a process."""

    def __init__(self, pid: int | None) -> None:
        self._process = psutil.Process(pid) if pid is not None else None

    def cpu(self) -> float | None:
        """CPU seconds, user and system, from the beginning."""
        if self._process is None:
            return None
        total = _cpu(self._process, ended=True)
        for child in self._process.children(recursive=True):
            try:
                total += _cpu(child, ended=True)
            except psutil.NoSuchProcess:  # it ended meanwhile: a few milliseconds of a session at most
                continue
        return total


def _cpu(process: psutil.Process, *, ended: bool) -> float:
    times = process.cpu_times()
    total = times.user + times.system
    if ended:  # Linux alone knows what ended children used; elsewhere sessions that are gone are not counted
        total += getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return float(total)


def difference(after: float | None, before: float | None) -> float | None:
    """``after - before`` where both are known."""
    return None if after is None or before is None else after - before


@dataclass(frozen=True)
class Command:
    """How a command went: seconds, its CPU seconds, its largest resident size, exit code, standard output."""

    seconds: float
    cpu: float
    peak_bytes: int
    code: int
    output: str
    errors: str


def run_command(
    command: Sequence[str], environment: Mapping[str, str], folder: Path, *, timeout: float = 1800.0
) -> Command:
    """Run a command to its end. It is killed after ``timeout`` seconds; its exit code is negative then."""
    out, err = folder / "out", folder / "err"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        started = time.monotonic()
        process = subprocess.Popen(command, env=dict(environment), stdout=stdout, stderr=stderr)
        peak = _PeakMemory(process.pid)
        killer = threading.Timer(timeout, process.kill)
        killer.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        finally:
            killer.cancel()
        seconds = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
    own = usage.ru_maxrss if sys.platform == "darwin" else usage.ru_maxrss * 1024
    return Command(
        seconds,
        usage.ru_utime + usage.ru_stime,
        peak.end() or own,
        process.returncode,
        out.read_text(errors="replace"),
        err.read_text(errors="replace"),
    )


class _PeakMemory(threading.Thread):
    """The largest resident size of a process, from Linux's own high-water mark.

    ``ru_maxrss`` would not do: a child begins with that of the process it was forked from.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._status = Path(f"/proc/{pid}/status")
        self._ended = threading.Event()
        self._peak = 0
        self.start()

    def run(self) -> None:
        """The thread's body."""
        while not self._ended.wait(_SAMPLE_SECONDS):
            try:
                text = self._status.read_text()
            except OSError:
                return
            for line in text.splitlines():
                if line.startswith("VmHWM:"):
                    self._peak = max(self._peak, int(line.split()[1]) * 1024)

    def end(self) -> int:
        """Bytes; 0 where the system does not tell."""
        self._ended.set()
        self.join()
        return self._peak
