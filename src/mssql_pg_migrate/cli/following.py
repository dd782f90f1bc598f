"""What the commands that follow a source print: ``sync``, ``cutover`` and the repair of ``validate``."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .tables import Align, Block, TextTable, count, duration

if TYPE_CHECKING:
    from ..jobs.repair import RepairReport
    from ..jobs.sync import PrepareReport, SyncStatus
    from ..results import CutoverReport
    from ..sync.apply import Applied
    from ..sync.passes import PassResult

_RIGHT: Align = "right"


def pass_fields(result: PassResult) -> dict[str, Any]:
    """What ``sync`` adds to the document."""
    return {
        "pass": result.number,
        "moment": result.moment.isoformat(),
        "changes": result.changes,
        "seconds": round(result.seconds, 3),
        "tables": [{"table": name, **asdict(applied)} for name, applied in result.tables.items()],
        "compared": list(result.compared),
    }


def pass_blocks(result: PassResult) -> list[Block]:
    """The same for people."""
    text = (
        f"Pass {result.number}: {count(result.changes, 'row')} brought over in {duration(result.seconds)};"
        f" the target is the source as of {_time(result.moment)}"
    )
    blocks: list[Block] = [text]
    if result.tables:
        blocks.append(_changes(result.tables))
    if result.compared:
        blocks.append(f"Compared by contents: {', '.join(result.compared)}")
    return blocks


def pass_line(result: PassResult) -> str:
    """One line of ``sync --watch``."""
    tables = ", ".join(f"{name} {applied.total:,}" for name, applied in result.tables.items())
    return (
        f"pass {result.number}: {count(result.changes, 'row')}{f' ({tables})' if tables else ''}"
        f" in {duration(result.seconds)}, as of {_time(result.moment)}"
    )


def status_fields(status: SyncStatus) -> dict[str, Any]:
    """What ``sync status`` adds to the document."""
    last = status.last_pass
    return {
        "last_pass": None
        if last is None
        else {"pass": last.number, "moment": last.moment.isoformat(), "applied_at": last.applied_at.isoformat()},
        "tables": [
            {
                "table": table.table,
                "method": table.method,
                "position": table.position,
                "lag_seconds": None if table.lag_seconds is None else round(table.lag_seconds, 3),
                "pending": table.pending,
                "changes": table.applied,
                "changed_at": _iso(table.changed_at),
                "compared_at": _iso(table.compared_at),
                "stale": table.stale,
                "error": table.error,
            }
            for table in status.tables
        ],
        "notes": list(status.notes),
    }


def status_blocks(status: SyncStatus) -> list[Block]:
    """The same for people."""
    last = status.last_pass
    headline = "No pass has been made yet" if last is None else f"Pass {last.number}, as of {_time(last.moment)}"
    table = TextTable(
        ("Table", "Method", "Position", "Lag", "Waiting", "Rows", "Last change", "State"),
        ("left", "left", "left", _RIGHT, _RIGHT, _RIGHT, "left", "left"),
    )
    for item in status.tables:
        lag = "" if item.lag_seconds is None else duration(max(item.lag_seconds, 0.0))
        state = item.error or (f"will be compared: {item.stale}" if item.stale else "")
        table.add(
            item.table,
            item.method,
            item.position,
            lag,
            "" if item.pending is None else f"{item.pending:,}",
            f"{item.applied:,}",
            _time(item.changed_at),
            state or "follows",
        )
    return [headline, table, *_listed("Not promised:", status.notes)]


def prepare_fields(report: PrepareReport) -> dict[str, Any]:
    """What ``sync prepare`` adds to the document."""
    return asdict(report)


def prepare_blocks(report: PrepareReport) -> list[Block]:
    """The same for people."""
    blocks: list[Block] = []
    if report.applied:
        blocks += _listed("Carried out at the source:", report.applied)
    elif report.statements:
        blocks += _listed("These switch change tracking on (sync prepare --apply runs them):", report.statements)
    else:
        blocks.append("Nothing needs to be switched on at the source.")
    if report.recorded:
        tables = count(len(report.recorded), "table")
        blocks.append(f"Positions of {tables} are recorded; the next sync compares their contents.")
    return [*blocks, *_listed("Not promised:", report.notes)]


def repair_fields(report: RepairReport) -> dict[str, Any]:
    """What ``validate --repair`` adds to the document."""
    return {
        "repaired": [{"table": name, **asdict(applied)} for name, applied in report.tables.items()],
        "not_repaired": [{"table": name, "reason": reason} for name, reason in report.left.items()],
    }


def repair_blocks(report: RepairReport) -> list[Block]:
    """The same for people."""
    blocks: list[Block] = [f"Repair: {count(report.changes, 'row')} brought over"]
    if report.tables:
        blocks.append(_changes(report.tables))
    return [*blocks, *_listed("Not repaired:", [f"{name}: {reason}" for name, reason in report.left.items()])]


def cutover_fields(report: CutoverReport) -> dict[str, Any]:
    """What ``cutover`` adds to the document."""
    fields: dict[str, Any] = {
        "go": report.go,
        "rehearsal": report.rehearsal,
        "reasons": list(report.reasons),
        "passes": report.passes,
        "changes": report.changes,
        "downtime_seconds": round(report.downtime, 3),
        "steps": [asdict(step) for step in report.steps],
        "tables": [asdict(table) for table in report.tables],
    }
    if not report.go:
        fields |= {"error": "; ".join(report.reasons), "error_type": "validation", "retryable": False}
    return fields


def cutover_blocks(report: CutoverReport) -> list[Block]:
    """The same for people: the word last, where a terminal shows it."""
    table = TextTable(("Step", "Seconds", ""), ("left", _RIGHT, "left"))
    for step in report.steps:
        table.add(step.name, f"{step.seconds:.2f}", step.detail)
    blocks: list[Block] = [
        f"{count(report.passes, 'pass', 'passes')} brought {count(report.changes, 'row')}",
        table,
        *_listed("Reasons:", report.reasons),
    ]
    if report.rehearsal:
        blocks.append(f"A real cutover would take about {duration(report.downtime)} of standstill.")
    word = "GO" if report.go else "NO-GO"
    blocks.append(f"Rehearsal: {word}" if report.rehearsal else f"{word}: {_VERDICTS[report.go]}")
    return blocks


_VERDICTS = {
    True: "the target holds every row of the source, and may take over",
    False: "leave the application on the source",
}


def _changes(tables: dict[str, Applied]) -> TextTable:
    table = TextTable(("Table", "Inserted", "Updated", "Deleted"), ("left", _RIGHT, _RIGHT, _RIGHT))
    for name, applied in tables.items():
        table.add(name, f"{applied.inserted:,}", f"{applied.updated:,}", f"{applied.deleted:,}")
    return table


def _listed(heading: str, lines: list[str] | tuple[str, ...]) -> list[Block]:
    return ["\n".join([heading, *(f"  {line}" for line in lines)])] if lines else []


def _time(moment: datetime | None) -> str:
    return "" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
