"""The same results as text for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..mapping.folding import fold
from ..mapping.objects import Note
from ..results import by_reason
from .tables import Align, Block, TextTable, count, duration, size

if TYPE_CHECKING:
    from ..results import HealthReport, RunResult, ValidationReport

_RIGHT: Align = "right"
_VERBS = {
    "completed": "completed",
    "failed": "FAILED",
    "cancelled": "stopped",
    "invalid": "completed, but not everything could be created",
}
_NOTES = (
    ("error", "These prevent the run"),
    ("not_carried", "Not carried over"),
    ("lossy", "Changed on the way"),
    ("renamed", "Renamed"),
    ("warning", "Warnings"),
    ("info", "Good to know"),
)


def run_blocks(result: RunResult, *, resume: str | None) -> list[Block]:
    """The summary of a run; ``resume`` is the command that would go on with it."""
    rows = f"{count(result.rows, 'row')}"
    if result.skipped:
        rows += f" ({result.skipped:,} unchanged)"
    verb = _VERBS[result.status]
    blocks: list[Block] = [
        f"Migration {verb}: {count(len(result.tables), 'table')}, {rows} in {duration(result.seconds)}"
        f" ({result.rows_per_second:,.0f} rows/s), peak memory {size(result.peak_memory_bytes)}",
        _run_table(result),
    ]
    blocks += _listed("Failed:", (f"{table.table}: {table.error}" for table in result.failed_tables))
    blocks += _listed("Not created:", result.problems)
    blocks += _listed("Read by the driver:", _reader_reasons(result))
    if result.notes:
        blocks.append(f"{count(len(result.notes), 'note')} on what arrives differently: see the command plan")
    if result.status in ("cancelled", "failed") and resume:
        blocks.append(f"Go on with: {resume}")
    return blocks


def _reader_reasons(result: RunResult) -> list[str]:
    """Each reason once, with the tables it concerns."""
    names = by_reason((table.table, table.reader_reason) for table in result.tables)
    everything = len(result.tables) > 1
    return [
        f"{'all tables' if everything and len(tables) == len(result.tables) else ', '.join(tables)}: {reason}"
        for reason, tables in names.items()
    ]


def _run_table(result: RunResult) -> TextTable:
    skipped = any(table.skipped for table in result.tables)
    headings = ["Table", "Rows", *(["Unchanged"] if skipped else []), "Time", "Rows/s", "Data", "Reader", "Status"]
    align: list[Align] = ["left", *[_RIGHT] * (len(headings) - 3), "left", "left"]
    table = TextTable(headings, align)
    for item in result.tables:
        cells = [item.table, f"{item.rows:,}", *([f"{item.skipped:,}"] if skipped else [])]
        cells += [duration(item.seconds), f"{item.rows_per_second:,.0f}", size(item.bytes), item.reader or ""]
        table.add(*cells, item.status)
    return table


def _listed(heading: str, lines: Iterable[str]) -> list[Block]:
    items = [f"  {line}" for line in lines]
    return [heading, *items] if items else []


def validation_blocks(report: ValidationReport) -> list[Block]:
    """The comparison, table by table."""
    what = "row counts and contents" if report.checksum else "row counts"
    bad = sum(not table.equal for table in report.tables)
    verdict = "equal" if report.equal else f"{count(bad, 'table')} of {len(report.tables)} differ"
    blocks: list[Block] = [
        f"Compared {what} of {count(len(report.tables), 'table')} in {duration(report.seconds)}: {verdict}"
    ]
    headings = ["Table", "Source", "Target"]
    if report.checksum:
        headings += ["Missing", "Extra", "Changed"]
    align: list[Align] = ["left", *[_RIGHT] * (len(headings) - 1), "left"]
    table = TextTable([*headings, "Result"], align)
    for item in report.tables:
        cells = [item.table, _number(item.source_rows), _number(item.target_rows)]
        if report.checksum:
            about = "about " if item.estimated else ""
            found = (item.missing, item.extra, item.changed)
            cells += [f"{about if value else ''}{_number(value)}" for value in found]
        table.add(*cells, "equal" if item.equal else item.error or "DIFFERENT")
    blocks.append(table)
    for item in report.tables:
        for kind, keys in item.sample_keys.items():
            if keys:
                blocks.append(f"{item.table}, {kind}: {', '.join(keys)}")
        for column in item.computed:
            about = "about " if column.estimated else ""
            rows = f"{about}{count(column.rows, 'row')}"
            named = ", ".join(column.sample_keys)
            blocks.append(f"{item.table}, computed column {column.column}, different in {rows}: {named}")
    return blocks


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def health_blocks(report: HealthReport) -> list[Block]:
    """Both sides, fact by fact."""
    blocks: list[Block] = []
    for side in report.sides:
        blocks.append(f"{side.side}: {'ok' if side.ok else 'FAILED'}  {side.server}")
        facts = {"version": side.version, "TLS": side.tls}
        if side.latency_ms is not None:
            facts["round trip"] = f"{side.latency_ms:.1f} ms"
        lines = [f"{name}: {value}" for name, value in {**facts, **side.facts}.items() if value]
        blocks += [f"  {line}" for line in lines]
        blocks += [f"  warning: {warning}" for warning in side.warnings]
        if side.error:
            blocks.append(f"  error: {side.error}")
    return blocks


def plan_blocks(plan: dict[str, Any], settings: Iterable[tuple[str, str, str]]) -> list[Block]:
    """The plan (``RunPlan.to_dict()``) and the values in force: (name, value, reason)."""
    tables = plan["tables"]
    rows = sum(table["estimated_rows"] for table in tables)
    known = [table["estimated_bytes"] for table in tables if table["estimated_bytes"] is not None]
    about = f"about {count(rows, 'row')}" + (f", {size(sum(known))}" if known else "")
    blocks: list[Block] = [
        f"Plan: {plan['source']} -> {plan['target']}, {plan['mode']}, {count(len(tables), 'table')}, {about}",
        _plan_table(tables),
        "Columns:",
        _column_table(tables),
    ]
    for kind in ("sequences", "views"):
        blocks += _listed(f"{kind.capitalize()}:", plan.get(kind, ()))
    folded = fold(Note(note["severity"], note["object"], note["message"]) for note in plan["notes"])
    for severity, heading in _NOTES:
        blocks += _listed(f"{heading}:", (line.text() for line in folded if line.severity == severity))
    table = TextTable(["Setting", "Value", "Why"], ["left", "right", "left"])
    for setting in settings:
        table.add(*setting)
    blocks += ["Settings in force:", table]
    return blocks


def _plan_table(tables: list[dict[str, Any]]) -> TextTable:
    text = TextTable(
        ["Source", "Target", "Action", "Rows", "Size", "Ranges", "Key", "Interrupted", "Indexes", "FKs", "Checks"],
        ["left", "left", "left", "right", "right", "right", "left", "left", "right", "right", "right"],
    )
    for table in tables:
        text.add(
            table["source"],
            table["target"],
            table["action"],
            f"{table['estimated_rows']:,}",
            "" if table["estimated_bytes"] is None else size(table["estimated_bytes"]),
            table["max_ranges"] if table["max_ranges"] == 1 else f"up to {table['max_ranges']}",
            ", ".join(table["range_key"] or ()) or "none",
            "goes on" if table["resumable"] else "begins again",
            len(table["indexes"]) + len(table["unique_keys"]),
            len(table["foreign_keys"]),
            len(table["checks"]),
        )
    return text


def _column_table(tables: list[dict[str, Any]]) -> TextTable:
    text = TextTable(
        ["Table", "Column", "Source type", "Target column", "Target type", "Note"],
        ["left", "left", "left", "left", "left", "left"],
    )
    for table in tables:
        for column in table["columns"]:
            notes = [column["lossy"] or "", "" if column["copied"] else "computed by PostgreSQL"]
            text.add(
                table["source"],
                column["source"],
                column["source_type"],
                column["target"],
                column["target_type"] + ("" if column["nullable"] else " NOT NULL"),
                "; ".join(note for note in notes if note),
            )
    return text
