"""Logging of the command line: to stderr, as text or JSON lines, without secrets."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Literal

from ..events import (
    AnyEvent,
    ChunkCommitted,
    Message,
    PhaseStarted,
    Retry,
    RunStarted,
    TableFinished,
    TableReset,
    TableStarted,
    Waiting,
)
from .jsontext import one_line, speak_utf8
from .redact import Redactor

if TYPE_CHECKING:
    from .tracker import Tracker

LOGGER = "mssql_pg_migrate"
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
_NAMES = {logging.DEBUG: "debug", logging.INFO: "info", logging.WARNING: "warn", logging.ERROR: "error"}
ALL_TABLES = "*"
"""Stands in ``table`` where a line is about the whole run."""


def level_name(level: int) -> str:
    """The guide's name of a logging level."""
    return _NAMES.get(level, "error" if level > logging.ERROR else "debug")


class _Formatter(logging.Formatter):
    def __init__(self, redactor: Redactor, *, tracebacks: bool) -> None:
        super().__init__()
        self._redactor = redactor
        self._tracebacks = tracebacks

    def formatException(self, ei: object) -> str:  # noqa: N802 - logging's name
        return super().formatException(ei) if self._tracebacks else ""  # type: ignore[arg-type]

    def formatStack(self, stack_info: str) -> str:  # noqa: N802 - logging's name
        return stack_info if self._tracebacks else ""

    def _exception(self, record: logging.LogRecord) -> str:
        if not record.exc_info or not self._tracebacks:
            return ""
        return self._redactor(self.formatException(record.exc_info))


class TextFormatter(_Formatter):
    """``12:34:56 INFO  message``."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        text = f"{at} {level_name(record.levelno).upper():<5} {self._redactor(record.getMessage())}"
        exception = self._exception(record)
        return f"{text}\n{exception}" if exception else text


class JsonFormatter(_Formatter):
    """One JSON object a line. With a tracker each line also has ``table`` and ``rows_transferred``."""

    def __init__(self, redactor: Redactor, *, tracebacks: bool, tracker: Tracker | None = None) -> None:
        super().__init__(redactor, tracebacks=tracebacks)
        self._tracker = tracker

    def format(self, record: logging.LogRecord) -> str:
        table: str | None = getattr(record, "table", None)
        line: dict[str, object] = {}
        if self._tracker is not None:
            line["table"] = table or ALL_TABLES
            line["rows_transferred"] = self._tracker.rows(table)
        elif table is not None:
            line["table"] = table
        line["event"] = "log"
        line["timestamp"] = timestamp(record.created)
        line["level"] = level_name(record.levelno)
        line["message"] = self._redactor(record.getMessage())
        exception = self._exception(record)
        if exception:
            line["exception"] = exception
        return one_line(line)


def timestamp(seconds: float) -> str:
    """RFC 3339 in UTC with milliseconds."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _StderrHandler(logging.Handler):
    """Writes to whatever ``sys.stderr`` is now: a progress bar on the terminal replaces it for a while."""

    def emit(self, record: logging.LogRecord) -> None:
        # A closed stderr must not end a migration.
        with suppress(OSError, ValueError):
            sys.stderr.write(f"{self.format(record)}\n")
            sys.stderr.flush()


def set_up(
    *,
    verbosity: str,
    log_format: Literal["text", "json"],
    redactor: Redactor,
    tracker: Tracker | None = None,
) -> logging.Logger:
    """Configure the package's logger and return it; may be called again.

    Python's warnings, and what libraries log from ``warn`` on (azure-identity, psycopg), leave in the same form.

    ``tracker`` is given with ``--progress``: then all lines are JSON with the fields that progress lines have.
    """
    level = LEVELS[verbosity]
    tracebacks = level <= logging.DEBUG
    formatter: logging.Formatter
    if log_format == "json" or tracker is not None:
        formatter = JsonFormatter(redactor, tracebacks=tracebacks, tracker=tracker)
        speak_utf8(sys.stderr)
    else:
        formatter = TextFormatter(redactor, tracebacks=tracebacks)
    handler = _StderrHandler()
    handler.setFormatter(formatter)
    logging.captureWarnings(True)
    for name, threshold in ((LOGGER, level), ("py.warnings", max(level, logging.WARNING))):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(threshold)
        logger.propagate = False
    foreign = _StderrHandler(max(level, logging.WARNING))
    foreign.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [*(known for known in root.handlers if not isinstance(known, _StderrHandler)), foreign]
    return logging.getLogger(LOGGER)


class EventLogger:
    """An event sink that logs. ``milestones`` False leaves out what progress lines tell anyway."""

    def __init__(self, logger: logging.Logger, *, milestones: bool) -> None:
        self._logger = logger
        self._milestones = milestones

    def __call__(self, event: AnyEvent) -> None:
        level, text, table = self._describe(event)
        if text:
            self._logger.log(level, "%s", text, extra={"table": table})

    def _describe(self, event: AnyEvent) -> tuple[int, str, str | None]:
        if isinstance(event, Message):
            named = event.table is None or event.table in event.text
            text = event.text if named else f"{event.table}: {event.text}"
            return LEVELS[event.level], text, event.table
        if isinstance(event, Retry):
            what = f"{event.table}: " if event.table else ""
            text = f"{what}attempt {event.attempt} failed, again in {event.delay:.1f} s: {event.reason}"
            return logging.WARNING, text, event.table
        if isinstance(event, Waiting):
            return logging.WARNING, event.text, None
        if isinstance(event, TableReset):
            return logging.WARNING, f"{event.table}: begins again: {event.reason}", event.table
        if isinstance(event, TableFinished) and event.error:
            return logging.ERROR, f"{event.table}: failed after {event.rows:,} rows: {event.error}", event.table
        if isinstance(event, ChunkCommitted):
            text = f"{event.table}: range {event.range_id}: {event.rows:,} rows committed ({event.range_rows:,} so far)"
            return logging.DEBUG, text, event.table
        return self._milestone(event)

    def _milestone(self, event: AnyEvent) -> tuple[int, str, str | None]:
        level = logging.INFO if self._milestones else logging.DEBUG
        if isinstance(event, RunStarted):
            what = "resumed" if event.resumed else "started"
            rows = sum(event.tables.values())
            text = f"run {event.run_id} {what}: {event.mode}, {len(event.tables)} tables, about {rows:,} rows"
            return logging.INFO, text, None
        if isinstance(event, PhaseStarted):
            detail = f": {event.detail}" if event.detail else ""
            if event.table is None:
                return level, f"phase {event.phase}{detail}", None
            return logging.DEBUG, f"{event.table}: {event.phase}{detail}", event.table
        if isinstance(event, TableStarted):
            ranges = f", {event.ranges} ranges" if event.ranges > 1 else ""
            before = f", {event.rows_before:,} are there" if event.rows_before else ""
            text = f"{event.table}: about {event.estimated_rows:,} rows{before}{ranges}, {event.reader} reader"
            return level, text, event.table
        if isinstance(event, TableFinished):
            speed = f", {(event.rows - event.rows_before) / event.seconds:,.0f} rows/s" if event.seconds > 0 else ""
            skipped = f" ({event.skipped:,} unchanged)" if event.skipped else ""
            text = f"{event.table}: {event.rows:,} rows{skipped} in {event.seconds:.1f} s{speed}"
            return level, text, event.table
        return logging.DEBUG, "", None
