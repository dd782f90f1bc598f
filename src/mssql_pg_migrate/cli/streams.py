"""stdout and stderr at the end of a command: what they cannot take is met here, not by the interpreter's own end."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO


def abandon(stream: TextIO) -> None:
    """Let what the stream still holds go nowhere: the interpreter flushes it at exit, and would exit with 120."""
    with suppress(OSError, ValueError):  # no descriptor: a stream of somebody's own
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)
    with suppress(OSError, ValueError):
        stream.flush()


def settle(code: int, *, failed: int) -> int:
    """Flush both streams and return the process's exit code: ``code``, or ``failed`` where a success cannot be told.

    A reader of stdout that went away is no failure, nor is a log that cannot be written.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        abandon(sys.stdout)
    except OSError as error:
        abandon(sys.stdout)
        code = code or failed
        with suppress(OSError):
            sys.stderr.write(f"Error: the result cannot be printed: {error.strerror}\n")
    try:
        sys.stderr.flush()
    except OSError:
        abandon(sys.stderr)
    return code
