"""One self-contained HTML page about a run, for the people who were not there: no scripts, no network."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import Cancelled, IoError
from ..version import __version__
from .charts import throughput, timeline
from .format import count, duration, plural, short_count, size
from .history import RunHistory
from .sections import TableRow, notes_section, retries_section, tables_section
from .style import CSS

if TYPE_CHECKING:
    from ..mapping.objects import Note
    from ..results import RunResult
    from .recorder import ReportRecorder


@dataclass(frozen=True, slots=True)
class _Facts:
    """The run in one place, whether it ended with a result, an error or not at all."""

    status: str
    history: RunHistory
    tables: list[TableRow]
    seconds: float
    result: RunResult | None
    error: BaseException | None

    @property
    def complete(self) -> int:
        return sum(table.status == "completed" for table in self.tables)

    @property
    def failed(self) -> list[TableRow]:
        return [table for table in self.tables if table.status == "failed"]

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)

    @property
    def skipped(self) -> int:
        return sum(table.skipped for table in self.tables)


def write_report(
    path: Path,
    recorder: ReportRecorder,
    result: RunResult | None = None,
    *,
    notes: Sequence[Note] = (),
    source: str | None = None,
    target: str | None = None,
    error: BaseException | None = None,
) -> None:
    """Write the report of a run, replacing the file in one step.

    ``result`` is what the run returned, or ``error`` what it raised. ``notes`` are the plan's (with their severities);
    without them the result's are shown. ``source`` and ``target`` name the databases for the title.

    Raises:
        IoError: the file cannot be written.
    """
    write_page(path, render_report(recorder, result, notes=notes, source=source, target=target, error=error))


def write_page(path: Path, page: str) -> None:
    """Write a page, replacing the file in one step. Raises IoError."""
    path = Path(path)
    temporary: str | None = None
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", suffix=".part", delete=False
        ) as file:
            temporary = file.name
            file.write(page)
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(path)
    except OSError as failure:
        if temporary is not None:
            with suppress(OSError):
                Path(temporary).unlink()
        raise IoError(
            f"The report {path} cannot be written: {failure.strerror or failure}.",
            hint="Check that its folder exists and has room; the run itself is not affected.",
            retryable=False,
        ) from failure


def render_report(
    recorder: ReportRecorder,
    result: RunResult | None = None,
    *,
    notes: Sequence[Note] = (),
    source: str | None = None,
    target: str | None = None,
    error: BaseException | None = None,
) -> str:
    """The page as text; arguments as for ``write_report``."""
    facts = _facts(recorder.history(), result, error)
    title = "Migration report"
    body = [
        _header(facts, source, target),
        _verdict(facts),
        _cards(facts),
        _failures(facts),
        _charts(facts),
        tables_section(facts.tables),
        retries_section(facts.history),
        notes_section(notes, result.notes if result is not None else (), planned=bool(facts.tables)),
        _footer(facts),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{title}: {escape(_STATUS[facts.status][0])}</title><style>{CSS}</style></head>\n<body><main>\n"
        + "\n".join(part for part in body if part)
        + "\n</main></body></html>\n"
    )


_STATUS = {
    "completed": ("Completed", "ok", "✓"),
    "invalid": ("Completed with problems", "warned", "!"),
    "failed": ("Failed", "bad", "✕"),
    "cancelled": ("Stopped", "warned", "■"),
    "running": ("Not finished", "warned", "■"),
}


def _facts(history: RunHistory, result: RunResult | None, error: BaseException | None) -> _Facts:
    known = {table.table: table for table in history.tables}
    if result is not None:
        status: str = result.status
        tables = [TableRow.of(known.get(item.table), item) for item in result.tables]
        seconds = result.seconds
    else:
        status = "cancelled" if isinstance(error, Cancelled) else "failed" if error else history.status or "running"
        tables = [TableRow.of(table, None) for table in history.tables]
        seconds = (history.ended or 0.0) - (history.started or 0.0)
    return _Facts(status, history, tables, seconds, result, error)


def _header(facts: _Facts, source: str | None, target: str | None) -> str:
    name, css, sign = _STATUS[facts.status]
    history, result = facts.history, facts.result
    mode = result.mode if result is not None else history.mode
    lines = []
    if source or target:
        lines.append(f"<b>{escape(source or 'SQL Server')}</b> → <b>{escape(target or 'PostgreSQL')}</b>")
    details = []
    if history.started:
        details.append(f"Started {_when(history.started)}")
    if mode:
        details.append(f"mode {escape(mode)}")
    if history.resumed or (result is not None and result.resumed):
        details.append("resumed run")
    lines.append(" · ".join(details))
    return (
        f"<header><div><h1>Migration report</h1>{''.join(f'<div class=route>{line}</div>' for line in lines if line)}"
        f'</div><div class="badge {css}">{sign} {name}</div></header>'
    )


def _when(at: float) -> str:
    moment = time.localtime(at)
    zone = time.strftime("%z", moment)
    return time.strftime("%Y-%m-%d %H:%M:%S", moment) + (f" (UTC{zone[:3]}:{zone[3:]})" if zone else "")


def _verdict(facts: _Facts) -> str:
    total = len(facts.tables)
    rate = f"{short_count(facts.rows / facts.seconds)} rows/s" if facts.seconds > 0 else ""
    onward = "What has arrived stays; <code>resume</code> goes on from there and moves nothing twice."
    more = ""
    if facts.error is not None and facts.status != "cancelled":
        text = "The run could not be carried out."
        more = onward if facts.rows else ""
    elif facts.status == "completed":
        if facts.skipped:
            text = (
                f"All {plural(total, 'table')} are up to date: {count(facts.rows)} rows compared,"
                f" {count(facts.rows - facts.skipped)} of them new or changed, in {duration(facts.seconds)}."
            )
        else:
            text = f"All {plural(total, 'table')} arrived: {count(facts.rows)} rows in {duration(facts.seconds)}."
            more = f"That is {rate} on average over the whole run." if rate else ""
    elif facts.status == "invalid":
        problems = len(facts.result.problems) if facts.result is not None else 0
        text = (
            f"All {count(facts.rows)} rows of {plural(total, 'table')} arrived in {duration(facts.seconds)}, but"
            f" {plural(problems, 'problem needs', 'problems need')} attention."
        )
        more = "The rows are complete; what is named below is not in place."
    elif facts.status == "failed":
        failed = plural(len(facts.failed), "table")
        text = f"{failed} of {count(total)} failed; {count(facts.complete)} arrived completely."
        more = onward
    else:
        text = f"The run was stopped: {count(facts.complete)} of {plural(total, 'table')} arrived completely."
        more = onward
    return f'<p class="verdict">{text}</p>' + (f"<p>{more}</p>" if more else "")


def _cards(facts: _Facts) -> str:
    result = facts.result
    cards = [
        (f"{count(facts.complete)} / {count(len(facts.tables))}", "tables complete"),
        (count(facts.rows), "rows in the target"),
        (duration(facts.seconds), "duration"),
    ]
    moved = facts.history.moved
    if facts.seconds > 0 and moved:
        cards.append((f"{short_count(moved / facts.seconds)}/s", "rows, on average"))
    if facts.skipped:
        cards.append((count(facts.skipped), "rows already up to date"))
    if facts.history.bytes:
        cards.append((size(facts.history.bytes), "data moved"))
    cards.append((count(max(facts.history.retry_count, result.retries if result else 0)), "retries"))
    if result is not None and result.peak_memory_bytes:
        cards.append((size(result.peak_memory_bytes), "memory at most"))
    inner = "".join(f'<div class="card"><b>{escape(value)}</b><span>{name}</span></div>' for value, name in cards)
    return f'<div class="cards">{inner}</div>' if facts.tables else ""


def _failures(facts: _Facts) -> str:
    """What went wrong, before anything else is shown."""
    parts = []
    if facts.error is not None:
        parts.append(f'<div class="error"><div>{escape(str(facts.error) or type(facts.error).__name__)}</div></div>')
    for table in facts.failed:
        again = " A retry may help." if table.retryable else ""
        parts.append(
            f'<div class="error"><b>Table {escape(table.name)}</b>'
            f"<div>{escape(table.error or 'no reason was given')}{again}</div></div>"
        )
    if facts.result is not None and facts.result.problems:
        items = "".join(f"<li>{escape(problem)}</li>" for problem in facts.result.problems)
        parts.append(f"<ul>{items}</ul>")
    if not parts:
        return ""
    return f"<section><h2>Problems</h2>{''.join(parts)}</section>"


def _charts(facts: _Facts) -> str:
    history = facts.history
    if not any(table.started is not None for table in history.tables):
        return ""
    chart, left_out = timeline(history)
    finishing = any(mark.phase == "indexes" for mark in history.phases)
    legend = [("--grey", "preparing"), ("--blue", "moving rows")]
    if finishing:
        legend += [("--teal", "keys and indexes"), ("--amber", "constraints"), ("--violet", "finishing")]
    if any(table.status == "running" for table in history.tables):
        legend.append(("--bluesoft", "not finished"))
    if facts.failed:
        legend.append(("--red", "failed"))
    keys = "".join(f'<span><i style="background:var({colour})"></i>{name}</span>' for colour, name in legend)
    rest = ""
    if left_out:
        rest = f'<p class="small">{plural(left_out, "shorter table is", "shorter tables are")} not drawn.</p>'
    parts = [
        '<section class="chart"><h2>Timeline</h2>'
        '<p class="lead">Each bar is one table, from its first row to its last.</p>'
        f'<div class="legend">{keys}</div><div class="scroll">{chart}</div>{rest}</section>'
    ]
    if history.throughput.rows:
        marked = any(incident.kind in ("retry", "reset") for incident in history.incidents)
        legend_text = " Triangles mark retries." if marked else ""
        parts.append(
            '<section class="chart"><h2>Throughput</h2>'
            f'<p class="lead">What was committed in the target, per second, over the same time.{legend_text}</p>'
            f'<div class="scroll">{throughput(history)}</div></section>'
        )
    return "\n".join(parts)


def _footer(facts: _Facts) -> str:
    run = facts.result.run_id if facts.result is not None else facts.history.run_id
    named = f"Run {escape(run)} · " if run else ""
    return f"<footer>{named}written by mssql-pg-migrate {escape(__version__)} on {_when(time.time())}</footer>"
