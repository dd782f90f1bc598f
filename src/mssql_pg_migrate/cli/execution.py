"""How every command runs: logging set up, errors turned into one message and the guide's exit code, one result."""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import Cancelled, ConfigError, IoError, MigrationError, TransferError
from .documents import error_fields, frame
from .interrupt import SIGNALS, Interrupts
from .jsontext import one_line, speak_utf8
from .logs import ALL_TABLES, set_up
from .options import GlobalOptions
from .redact import Redactor
from .streams import abandon
from .tables import Block, show
from .tracker import Tracker

if TYPE_CHECKING:
    from ..config import Config


class InternalError(MigrationError):
    """Something nobody thought of (exit 3)."""

    exit_code = 3
    kind = "internal"


@dataclass(slots=True)
class Outcome:
    """What a command has to say: ``fields`` for the JSON document, ``blocks`` for people."""

    status: str = "completed"
    exit_code: int = 0
    fields: dict[str, Any] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)
    raw: str | None = None
    """Text for stdout as it is (SQL), instead of ``blocks``."""
    complaint: str | None = None
    """One line for stderr when there is no document."""


class Execution:
    """One command's surroundings: options, logger, tracker, and the one place that prints the result."""

    def __init__(self, command: str, options: GlobalOptions) -> None:
        self.command = command
        self.options = options
        self.addresses: tuple[str, ...] = ()
        """--from and --to, where they took the place of a config file."""
        self.redactor = Redactor()
        self.tracker = Tracker()
        self.logger = self._log_set_up()
        self.on_error_fields: Callable[[], dict[str, Any]] = dict
        """What the command adds to the document when an error ends it."""
        self.machine = options.machine
        """Whether the result is a JSON document; a command whose result is no report may decide otherwise."""
        self.on_signal: Callable[[int, signal.Signals], None] = self._leave
        """What a signal does; at first, and for commands that change nothing, it ends the process."""
        self.before_exit: list[Callable[[], None]] = []
        """Run before the process is ended at once (the terminal's cursor comes back)."""
        self._began = time.monotonic()
        self._printed = threading.Lock()
        self._ending: int | None = None
        """The thread that is about to end the process."""

    def _log_set_up(self) -> logging.Logger:
        options = self.options
        return set_up(
            verbosity=options.verbosity,
            log_format=options.log_format,
            redactor=self.redactor,
            tracker=self.tracker if options.progress else None,
        )

    def load_config(self, *, source_url: str | None = None, target_url: str | None = None, **overrides: Any) -> Config:
        """Read the configuration of ``-c``, or take the two addresses, and apply the command line's values.

        Raises ConfigError, IoError.
        """
        from ..config import Config

        if source_url is None and target_url is None:
            config = Config.load(self.options.config)
        elif source_url is None or target_url is None:
            raise ConfigError("--from and --to go together: both take the place of the config file")
        else:
            from ..config.urls import config_from_urls, without_password

            config = config_from_urls(source_url, target_url, environment=os.environ)
            self.addresses = ("--from", without_password(source_url), "--to", without_password(target_url))
        if any(value is not None for value in overrides.values()):
            config = config.with_overrides(**overrides)
        self.redactor.learn(config.secrets(), config.public_values())
        return config

    def run(self, body: Callable[[Execution], Outcome], *, signals: bool = True) -> int:
        """Carry out ``body``, print its result or its failure, return the exit code.

        ``signals`` False leaves SIGINT to Python (KeyboardInterrupt), for commands that talk with a person.
        """
        if not signals:
            # Either must run the ``finally`` of whoever has started servers.
            with suppress(ValueError):
                for number in SIGNALS:
                    signal.signal(number, signal.default_int_handler)
            return self._run(body, talks=True)
        with Interrupts(lambda count, number: self.on_signal(count, number)):
            return self._run(body)

    def _run(self, body: Callable[[Execution], Outcome], *, talks: bool = False) -> int:
        try:
            outcome = body(self)
        except MigrationError as error:
            outcome = self._failure(error)
        except KeyboardInterrupt:
            outcome = self._failure(Cancelled("interrupted"))
        except MemoryError:
            hint = "reduce memory_budget_percent, chunk_size, read_ahead_buffers or parallel_readers"
            outcome = self._failure(TransferError("Out of memory", hint=hint, retryable=True))
        except Exception as error:  # the last place that can turn it into a message
            if talks and isinstance(error, BrokenPipeError):
                return self._nobody_listens()
            outcome = self._failure(self._unexpected(error))
        return self.print(outcome)

    def abort(self, error: MigrationError) -> None:
        """Print the failure, from any thread, and end the process at once."""
        self._make_way()
        self._ending = threading.get_ident()
        for action in self.before_exit:
            with suppress(Exception):
                action()
        code = self.print(self._failure(error))
        logging.shutdown()
        os._exit(code)

    def _leave(self, _count: int, number: signal.Signals) -> None:
        self.abort(Cancelled(f"stopped by {number.name}"))

    def _make_way(self) -> None:
        """Wait for the end when another thread is ending the process: it prints the result and chooses the code."""
        while self._ending is not None and self._ending != threading.get_ident():
            time.sleep(1)

    def print(self, outcome: Outcome) -> int:
        """Print the result once, whoever comes first; returns the exit code."""
        self._make_way()
        if not self._printed.acquire(blocking=False):
            return outcome.exit_code
        try:
            sys.stderr.flush()
            if self.machine:
                # Airflow takes the last line of both streams for the result.
                self._complain(outcome.complaint)
                speak_utf8(sys.stdout)
                sys.stdout.write(f"{one_line(self._document(outcome))}\n")
                sys.stdout.flush()
                return outcome.exit_code
            if outcome.raw is not None:
                if not sys.stdout.isatty():
                    speak_utf8(sys.stdout)  # psql takes a file to be in the database's encoding
                sys.stdout.write(outcome.raw)
                sys.stdout.flush()
            elif outcome.blocks:
                show([self.redactor(block) if isinstance(block, str) else block for block in outcome.blocks])
            self._complain(outcome.complaint)
        except BrokenPipeError:
            self._nobody_listens()
        except OSError as error:
            abandon(sys.stdout)
            self._complain(f"the result cannot be printed: {error.strerror}")
            return outcome.exit_code or IoError.exit_code
        return outcome.exit_code

    def _document(self, outcome: Outcome) -> dict[str, Any]:
        from ..results import peak_memory

        document = frame(
            self.command,
            status=outcome.status,
            exit_code=outcome.exit_code,
            duration=time.monotonic() - self._began,
            peak_memory=peak_memory(),
        )
        if self.options.progress:  # every line has these two, this one included
            document.update({"table": ALL_TABLES, "rows_transferred": 0})
        document.update(outcome.fields)
        clean: dict[str, Any] = _redacted(document, self.redactor)
        return clean

    def _failure(self, error: MigrationError) -> Outcome:
        self._make_way()
        self._complain(str(error))
        self.logger.debug("where it happened", exc_info=error)
        status = "cancelled" if isinstance(error, Cancelled) else "failed"
        fields = {**self.on_error_fields(), **error_fields(error)}
        return Outcome(status=status, exit_code=error.exit_code, fields=fields)

    def _complain(self, text: str | None) -> None:
        """An error for the person in front of it: a plain line, or a log line where logs are JSON."""
        if not text:
            return
        if self.options.progress or self.options.log_format == "json":
            self.logger.error("%s", text)
            return
        with suppress(OSError):
            sys.stderr.write(f"Error: {self.redactor(text)}\n")
            sys.stderr.flush()

    def _unexpected(self, error: Exception) -> MigrationError:
        self.logger.debug("unexpected exception", exc_info=error)
        if isinstance(error, OSError) and (error.filename is not None or error.errno in _DISK):
            where = f"{error.filename}: " if error.filename is not None else ""
            return IoError(f"{where}{error.strerror or error}", hint="check disk space and permissions")
        text = " ".join(str(error).split()) or "no message"
        return InternalError(
            f"internal error: {type(error).__name__}: {text}",
            hint="run again with --verbosity debug for the details",
        )

    def _nobody_listens(self) -> int:
        """The reader of stdout went away (``| head``): not a failure; keep Python from complaining at exit."""
        abandon(sys.stdout)
        return 0


_DISK = frozenset({errno.ENOSPC, errno.EROFS, errno.EIO, getattr(errno, "EDQUOT", errno.ENOSPC)})


@contextmanager
def stdout_on_stderr(*, only_if: bool) -> Iterator[None]:
    """What this process and its children print meanwhile goes to stderr: stdout is kept for the document."""
    if not only_if:
        yield
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


_PROSE = frozenset({"error", "hint", "problems", "notes", "warnings", "message", "reader_reason"})
"""Fields with sentences, which may quote a server or a library; names and numbers are left alone."""


def _redacted(value: Any, redactor: Redactor, *, prose: bool = False) -> Any:
    if isinstance(value, str):
        return redactor(value) if prose else value
    if isinstance(value, dict):
        return {name: _redacted(item, redactor, prose=prose or name in _PROSE) for name, item in value.items()}
    if isinstance(value, list):
        return [_redacted(item, redactor, prose=prose) for item in value]
    return value
