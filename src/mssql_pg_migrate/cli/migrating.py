"""``run`` and ``resume``: events to their listeners, signals to the migration, the result to the screen."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..errors import Cancelled, ConnectionFailed, IoError, MigrationError
from ..events import AnyEvent, EventSink
from .documents import broken_run_fields, run_fields
from .execution import Execution, Outcome
from .logs import EventLogger
from .render import run_blocks

if TYPE_CHECKING:
    from ..config import Config
    from ..jobs.run import Migration
    from ..results import RunResult
    from .options import GlobalOptions

PATIENCE = 10.0
"""Seconds beyond the shutdown timeout, and after a second signal, before the process ends itself."""


class Display(Protocol):
    """Something that shows a run while it goes."""

    def start(self) -> None:
        """Before the first event."""

    def stop(self) -> None:
        """After the last one; idempotent."""


class Events:
    """The event sink of a command: the tracker first, then everybody else. Never raises."""

    def __init__(self, execution: Execution, *, milestones: bool = True) -> None:
        self._execution = execution
        self.sinks: list[EventSink] = [execution.tracker, EventLogger(execution.logger, milestones=milestones)]

    def __call__(self, event: AnyEvent) -> None:
        for sink in self.sinks:
            try:
                sink(event)
            except Exception:  # a listener's fault must not end a migration
                self._execution.logger.debug("an event could not be shown", exc_info=True)


def migrate(
    execution: Execution, config: Config, work: Callable[[Migration], RunResult], report: Path | None
) -> Outcome:
    """Carry out ``work`` on a Migration of ``config``. Raises MigrationError."""
    from ..jobs.run import Migration

    options = execution.options
    display, sink = _display(execution)
    events = Events(execution, milestones=display is None)
    if sink is not None:
        events.sinks.append(sink)
    reporter = None if report is None else _Reporter(report, config)
    if reporter is not None:
        events.sinks.append(reporter.recorder)
    migration = Migration(
        config, state_file=options.state_file, on_event=events, shutdown_timeout=options.shutdown_timeout
    )
    execution.on_error_fields = lambda: broken_run_fields(execution.tracker.snapshot())
    stopper = execution.on_signal = Stopper(execution, migration)
    if options.state_file is None:
        execution.logger.info("no --state-file: if this run is interrupted it cannot be resumed")
    if display is not None:
        execution.before_exit.append(display.stop)
        display.start()
    try:
        result = work(migration)
    except MigrationError as error:
        if reporter is not None:
            with suppress(IoError):
                reporter.write(migration, None, error)
        if stopper.stopping and isinstance(error, ConnectionFailed):
            # It was told to stop while it waited for a server.
            raise Cancelled(f"stopped; meanwhile: {error.message}") from error
        raise
    finally:
        if display is not None:
            display.stop()
    fields = run_fields(result)
    outcome = Outcome(
        status=result.status,
        exit_code=result.exit_code,
        fields=fields,
        blocks=run_blocks(result, resume=_resume_command(options, execution.addresses)),
        complaint=fields.get("error"),
    )
    if reporter is not None:
        try:
            reporter.write(migration, result, None)
            fields["report"] = str(report)
        except IoError as error:
            execution.logger.error("%s", error)
            outcome.exit_code = outcome.exit_code or error.exit_code
    return outcome


def _resume_command(options: GlobalOptions, addresses: Sequence[str] = ()) -> str | None:
    """The command that goes on with an interrupted run (without its schema overrides), None without a state file."""
    if options.state_file is None:
        return None
    words = ["--state-file", str(options.state_file), "resume", *addresses]
    if not addresses:
        words = ["-c", str(options.config), *words]
    return f"mssql-pg-migrate {shlex.join(words)}"


class _Reporter:
    """``--report``: refuses a place that cannot be written before the run instead of after it."""

    def __init__(self, path: Path, config: Config) -> None:
        from ..report import ReportRecorder

        folder = path.absolute().parent
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            raise IoError(f"the report {path} cannot be written: no folder {folder} to write to", retryable=False)
        self._path = path
        self._source = config.source.label
        self._target = f"{config.target.host}:{config.target.port}/{config.target.database}"
        self.recorder = ReportRecorder()

    def write(self, migration: Migration, result: RunResult | None, error: MigrationError | None) -> None:
        """Write the page. Raises IoError."""
        from ..report import write_report

        notes = migration.planned.notes if migration.planned is not None else ()
        write_report(
            self._path, self.recorder, result, notes=notes, source=self._source, target=self._target, error=error
        )


def _display(execution: Execution) -> tuple[Display | None, EventSink | None]:
    """JSON lines where asked for, a bar on a terminal, nothing when piped."""
    options = execution.options
    if options.progress:
        from .progress_lines import ProgressLines

        lines = ProgressLines(execution.tracker, execution.redactor)
        return lines, lines
    if options.log_format == "text" and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        from .progress_bar import ProgressBar

        return ProgressBar(execution.tracker), None
    return None, None


class Stopper:
    """What signals do to a run: the first stops it gracefully, the second at once, the third ends the process.

    The ledger makes each of them safe: what is committed stays, the rest is undone by the servers.
    """

    def __init__(self, execution: Execution, migration: Migration) -> None:
        self._execution = execution
        self._migration = migration
        self.stopping = False

    def __call__(self, count: int, number: signal.Signals) -> None:
        logger, timeout = self._execution.logger, self._execution.options.shutdown_timeout
        self.stopping = True
        if count == 1:
            logger.warning(
                "%s: stopping; chunks under way may finish within %g s (another signal stops at once)",
                number.name,
                timeout,
            )
            self._later(timeout + PATIENCE, self._insist)
            self._migration.cancel()
        elif count == 2:
            logger.warning("%s again: stopping at once", number.name)
            self._insist()
        else:
            self._execution.abort(Cancelled("stopped at once; what is committed stays"))

    def _insist(self) -> None:
        self._later(PATIENCE, self._give_up)
        self._migration.cancel(now=True)

    def _give_up(self) -> None:
        self._execution.abort(Cancelled("stopped; a server did not answer any more, what is committed stays"))

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        timer = threading.Timer(seconds, action)
        timer.daemon = True
        timer.start()
