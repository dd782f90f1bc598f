"""The JSON documents of ``--output-json``: plain data, described by docs/output.schema.json."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..errors import DataError, MigrationError, TransferError
from ..version import __version__
from .logs import ALL_TABLES

if TYPE_CHECKING:
    from ..results import HealthReport, RunResult, TableResult, ValidationReport
    from .tracker import Snapshot, TableProgress

_CAUSES_SHOWN = 5


def frame(command: str, *, status: str, exit_code: int, duration: float, peak_memory: int) -> dict[str, Any]:
    """What every document has; error fields are null until ``with_error`` fills them."""
    return {
        "command": command,
        "version": __version__,
        "status": status,
        "exit_code": exit_code,
        "error": None,
        "error_type": None,
        "retryable": False,
        "hint": None,
        "duration_seconds": round(duration, 3),
        "peak_memory_bytes": peak_memory,
    }


def error_fields(error: MigrationError) -> dict[str, Any]:
    """``error`` and its companions; ``table``, ``column`` and ``key`` where the error is about one."""
    fields: dict[str, Any] = {
        "error": error.message,
        "error_type": error.kind,
        "retryable": error.retryable,
        "hint": error.hint,
    }
    if isinstance(error, TransferError) and error.table is not None:
        fields["failed_table"] = error.table
    if isinstance(error, DataError):
        fields["failed_column"], fields["failed_key"] = error.column, error.key
    return fields


def run_fields(result: RunResult) -> dict[str, Any]:
    """What ``run`` and ``resume`` add."""
    fields: dict[str, Any] = {
        "table": ALL_TABLES,
        "rows_transferred": result.rows,
        "skipped_rows": result.skipped,
        "rows_per_second": round(result.rows_per_second, 1),
        "run_id": result.run_id,
        "mode": result.mode,
        "resumed": result.resumed,
        "retries": result.retries,
        "bytes": sum(table.bytes for table in result.tables),
        "tables": [_table(table) for table in result.tables],
        "failed_tables": [_failed(table) for table in result.failed_tables],
        "problems": list(result.problems),
        "notes": list(result.notes),
    }
    fields.update(_verdict(result))
    return fields


def _table(table: TableResult) -> dict[str, Any]:
    return {
        "table": table.table,
        "status": table.status,
        "rows_transferred": table.rows,
        "skipped_rows": table.skipped,
        "seconds": round(table.seconds, 3),
        "rows_per_second": round(table.rows_per_second, 1),
        "bytes": table.bytes,
        "ranges": table.ranges,
        "reader": table.reader,
        "reader_reason": table.reader_reason,
        "retries": table.retries,
        "error": table.error,
        "error_type": table.error_kind,
        "retryable": table.retryable,
    }


def _failed(table: TableResult) -> dict[str, Any]:
    return {
        "table": table.table,
        "error": table.error or "unknown",
        "error_type": table.error_kind or "transfer",
        "retryable": table.retryable,
    }


def _verdict(result: RunResult) -> dict[str, Any]:
    """Why a run that came to its end is not a success."""
    failed = result.failed_tables
    if result.status == "completed":
        return {}
    if result.status == "cancelled":
        return {
            "error": "stopped by request before all rows were there",
            "error_type": "cancelled",
            "retryable": True,
            "hint": "go on with: resume",
        }
    if result.status == "invalid":
        text = f"{len(result.problems)} constraints or objects could not be created"
        if result.problems:
            text += f": {'; '.join(result.problems[:_CAUSES_SHOWN])}"
        return {"error": text, "error_type": "validation", "retryable": False}
    if failed:
        causes = "; ".join(f"{table.table}: {table.error}" for table in failed[:_CAUSES_SHOWN])
        more = f"; and {len(failed) - _CAUSES_SHOWN} more" if len(failed) > _CAUSES_SHOWN else ""
        kinds = {table.error_kind or "transfer" for table in failed}
        return {
            "error": f"{len(failed)} of {len(result.tables)} tables failed: {causes}{more}",
            "error_type": kinds.pop() if len(kinds) == 1 else "transfer",
            "retryable": all(table.retryable for table in failed),
        }
    text = "; ".join(result.problems[:_CAUSES_SHOWN]) or "the run failed"
    return {"error": text, "error_type": "io" if result.exit_code == 7 else "transfer", "retryable": True}


def broken_run_fields(snapshot: Snapshot) -> dict[str, Any]:
    """What is known of a run that an error ended, by the events until then."""
    return {
        "table": ALL_TABLES,
        "rows_transferred": snapshot.rows,
        "skipped_rows": snapshot.skipped,
        "rows_per_second": round(snapshot.rows / snapshot.elapsed, 1) if snapshot.elapsed > 0 else 0.0,
        "run_id": snapshot.run_id,
        "mode": snapshot.mode,
        "resumed": None,
        "retries": snapshot.retries,
        "bytes": snapshot.bytes,
        "tables": [_progress(table) for table in snapshot.tables],
        "failed_tables": [
            {"table": table.name, "error": table.error, "error_type": "transfer", "retryable": False}
            for table in snapshot.tables
            if table.error is not None
        ],
        "problems": [],
        "notes": [],
    }


def _progress(table: TableProgress) -> dict[str, Any]:
    status = {"completed": "completed", "failed": "failed", "pending": "pending"}.get(table.status, "cancelled")
    if table.status in ("indexes", "constraints"):
        status = "completed"
    seconds = table.seconds or 0.0
    return {
        "table": table.name,
        "status": status,
        "rows_transferred": table.rows,
        "skipped_rows": table.skipped,
        "seconds": round(seconds, 3),
        "rows_per_second": round(table.rows / seconds, 1) if seconds > 0 else 0.0,
        "bytes": table.bytes,
        "ranges": None,
        "reader": table.reader,
        "reader_reason": None,
        "retries": None,
        "error": table.error,
        "error_type": "transfer" if table.error else None,
        "retryable": False,
    }


def validation_fields(report: ValidationReport) -> dict[str, Any]:
    """What ``validate`` adds."""
    fields: dict[str, Any] = {
        "equal": report.equal,
        "checksum": report.checksum,
        "tables": [asdict(table) for table in report.tables],
    }
    if not report.equal:
        different = [table.table for table in report.tables if not table.equal]
        fields |= {
            "error": f"{len(different)} of {len(report.tables)} tables differ: {', '.join(different[:20])}",
            "error_type": "validation",
            "retryable": False,
        }
    return fields


def health_fields(report: HealthReport) -> dict[str, Any]:
    """What ``health-check`` adds."""
    fields: dict[str, Any] = {"healthy": report.ok, "sides": [asdict(side) for side in report.sides]}
    bad = [side for side in report.sides if not side.ok]
    if bad:
        fields |= {
            "error": "; ".join(f"{side.side}: {side.error or 'not usable'}" for side in bad),
            "error_type": "connection",
            "retryable": all(side.retryable for side in bad),
        }
    return fields
