"""The tables of the report: tables by duration, retries, and what did not arrive as it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from ..mapping.folding import NAMED, FoldedNote, fold
from ..results import by_reason
from .format import count, duration, plural, short_count, size
from .history import RunHistory, TableHistory

if TYPE_CHECKING:
    from ..mapping.objects import Note
    from ..results import TableResult

SLOWEST = 15
"""Tables shown at once; the others are folded away."""
FOLDED_NOTES = 30
"""Notes of one kind shown at once."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """One table, from the run's result where there is one, else from what was recorded."""

    name: str
    status: str
    rows: int
    skipped: int
    seconds: float
    bytes: int
    ranges: int
    reader: str | None
    reader_reason: str | None
    retries: int
    error: str | None
    retryable: bool
    moved: int

    @classmethod
    def of(cls, history: TableHistory | None, result: TableResult | None) -> TableRow:
        """Either may be missing, not both."""
        if result is not None:
            return cls(
                name=result.table,
                status=result.status,
                rows=result.rows,
                skipped=result.skipped,
                seconds=result.seconds,
                bytes=max(result.bytes, history.bytes if history else 0),
                ranges=result.ranges,
                reader=result.reader,
                reader_reason=result.reader_reason,
                retries=max(result.retries, history.retries if history else 0),
                error=result.error,
                retryable=result.retryable,
                moved=history.moved if history else 0,
            )
        assert history is not None
        seconds = (history.finished or 0.0) - (history.started or 0.0) if history.finished else 0.0
        status = "cancelled" if history.status == "running" else history.status
        return cls(
            name=history.table,
            status=status,
            rows=history.rows,
            skipped=history.skipped,
            seconds=seconds,
            bytes=history.bytes,
            ranges=history.ranges,
            reader=history.reader,
            reader_reason=None,
            retries=history.retries,
            error=history.error,
            retryable=False,
            moved=history.moved,
        )


_STATUS = {"completed": "✓ complete", "failed": "✕ failed", "cancelled": "■ stopped", "pending": "– not begun"}


def tables_section(tables: Sequence[TableRow]) -> str:
    """All tables, slowest first."""
    if not tables:
        return ""
    ordered = sorted(tables, key=lambda table: (-table.seconds, table.name))
    longest = ordered[0].seconds
    skipped = any(table.skipped for table in tables)
    head = (
        '<tr><th>Table</th><th>Status</th><th class="n">Rows</th>'
        + ('<th class="n">Unchanged</th>' if skipped else "")
        + '<th class="n">Data</th><th class="n">Rows/s</th><th class="n">Time</th><th></th>'
        '<th class="n">Ranges</th><th>Reader</th><th class="n">Retries</th></tr>'
    )
    rows = [_table_row(table, longest, skipped=skipped) for table in ordered]
    shown = f'<div class="scroll"><table><thead>{head}</thead><tbody>{"".join(rows[:SLOWEST])}</tbody></table></div>'
    if len(rows) > SLOWEST:
        shown += (
            f"<details><summary>{plural(len(rows) - SLOWEST, 'faster table')}</summary>"
            f'<div class="scroll"><table><thead>{head}</thead><tbody>{"".join(rows[SLOWEST:])}</tbody></table></div>'
            "</details>"
        )
    return f'<section><h2>Tables</h2><p class="lead">Slowest first.</p>{shown}{_reader_reasons(tables)}</section>'


def _table_row(table: TableRow, longest: float, *, skipped: bool) -> str:
    share = 100 * table.seconds / longest if longest > 0 else 0
    moved = table.moved or table.rows
    rate = short_count(moved / table.seconds) if table.seconds > 0 and moved else "–"
    cells = [
        f"<td>{escape(table.name)}</td>",
        f'<td class="nowrap st-{table.status}">{_STATUS[table.status]}</td>',
        f'<td class="n">{count(table.rows)}</td>',
        f'<td class="n">{count(table.skipped)}</td>' if skipped else "",
        f'<td class="n">{size(table.bytes) if table.bytes else "–"}</td>',
        f'<td class="n">{rate}</td>',
        f'<td class="n">{duration(table.seconds) if table.seconds else "–"}</td>',
        f'<td><span class="meter"><i style="width:{share:.1f}%"></i></span></td>',
        f'<td class="n">{table.ranges or "–"}</td>',
        f"<td>{escape(table.reader or '–')}</td>",
        f'<td class="n">{table.retries or "–"}</td>',
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _reader_reasons(tables: Sequence[TableRow]) -> str:
    found = by_reason((table.name, table.reader_reason) for table in tables)
    if not found:
        return ""
    items = "".join(f"<li>{escape(_names(names))}: {escape(reason)}</li>" for reason, names in sorted(found.items()))
    return f'<h3>Tables that the driver carried instead of the faster reader</h3><ul class="small">{items}</ul>'


def _names(names: Sequence[str], limit: int = 8) -> str:
    listed = ", ".join(names[:limit])
    return listed if len(names) <= limit else f"{listed} and {len(names) - limit} more"


def retries_section(history: RunHistory) -> str:
    """Retries by table and reason, tables that began again, and logged warnings."""
    parts = []
    if history.retries:
        start = history.started or 0.0
        rows = "".join(
            f"<tr><td>{escape(tally.table or 'the run')}</td><td>{escape(tally.reason)}</td>"
            f'<td class="n">{count(tally.count)}</td><td class="n">{duration(tally.waited)}</td>'
            f'<td class="n">{duration(tally.first - start)}</td><td class="n">{duration(tally.last - start)}</td></tr>'
            for tally in sorted(history.retries, key=lambda tally: -tally.count)
        )
        parts.append(
            '<div class="scroll"><table><thead><tr><th>Table</th><th>Reason</th><th class="n">Times</th>'
            '<th class="n">Waited</th><th class="n">First after</th><th class="n">Last after</th></tr></thead>'
            f"<tbody>{rows}</tbody></table></div>"
        )
    else:
        parts.append('<p class="lead">None: no connection was lost and no statement had to be repeated.</p>')
    resets = [incident for incident in history.incidents if incident.kind == "reset"]
    if resets:
        items = "".join(f"<li>{escape(item.table or '')} {escape(item.text)}</li>" for item in resets)
        parts.append(f"<h3>Tables that began again</h3><ul>{items}</ul>")
    messages = [incident for incident in history.incidents if incident.kind in ("warn", "error")]
    if messages:
        items = "".join(
            f"<li>{escape(f'{item.table}: ' if item.table and item.table not in item.text else '')}"
            f"{escape(item.text)}</li>"
            for item in messages
        )
        more = f"<p class=small>{plural(history.incidents_left_out, 'more')}</p>" if history.incidents_left_out else ""
        parts.append(
            f"<details><summary>{plural(len(messages), 'warning or error', 'warnings and errors')} in the log"
            f"</summary><ul>{items}</ul>{more}</details>"
        )
    return f"<section><h2>Retries</h2>{''.join(parts)}</section>"


_SEVERITIES = (
    ("error", "What prevents the run"),
    ("not_carried", "Not carried over"),
    ("lossy", "Changed on the way"),
    ("renamed", "Renamed"),
    ("warning", "Worth knowing"),
    ("info", "For information"),
)


def notes_section(notes: Sequence[Note], texts: Sequence[str], *, planned: bool) -> str:
    """What does not arrive as it was: the plan's notes by severity, or the result's texts where there are none."""
    groups: list[tuple[str, int, list[str]]] = []
    if notes:
        folded = fold(notes)
        for severity, heading in _SEVERITIES:
            found = [_note_line(line) for line in folded if line.severity == severity]
            if found:
                groups.append((heading, sum(note.severity == severity for note in notes), found))
    elif texts:
        groups.append(("", len(texts), [escape(text) for text in texts]))
    if not groups:
        if not planned:
            return ""
        inner = '<p class="lead">Everything that was selected was carried over as it is.</p>'
    else:
        inner = "".join(_note_group(*group) for group in groups)
    return f"<section><h2>What was not carried over, changed or renamed</h2>{inner}</section>"


def _note_line(line: FoldedNote) -> str:
    """A note as an item; one that concerns several objects names all of them, the later ones folded away."""
    if len(line.notes) == 1:
        return f"<b>{escape(line.objects[0])}</b>: {escape(line.message)}"
    first = ", ".join(escape(name) for name in line.objects[:NAMED])
    text = f"{escape(line.message)} ({count(len(line.notes))} times: <b>{first}</b>)"
    rest = line.objects[NAMED:]
    if rest:
        names = ", ".join(escape(name) for name in rest)
        text += f"<details><summary>{count(len(rest))} more</summary><p>{names}</p></details>"
    return text


def _note_group(heading: str, number: int, found: list[str]) -> str:
    title = f"<h3>{heading} ({count(number)})</h3>" if heading else ""
    shown = f"<ul>{''.join(f'<li>{item}</li>' for item in found[:FOLDED_NOTES])}</ul>"
    rest = found[FOLDED_NOTES:]
    if rest:
        items = "".join(f"<li>{item}</li>" for item in rest)
        shown += f"<details><summary>{plural(len(rest), 'more')}</summary><ul>{items}</ul></details>"
    return title + shown
