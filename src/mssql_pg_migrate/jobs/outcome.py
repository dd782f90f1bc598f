"""What a run amounts to: the results of tables that did not arrive, the status, the exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import Cancelled, MigrationError, SchemaError, TransferError
from ..events import EventSink, Message, TableFinished
from ..results import RunResult, TableResult

if TYPE_CHECKING:
    import psycopg

    from ..source.source import Source
    from ..state import RunState
    from ..target.ledger import Ledger
    from ..transfer.plan import RunPlan


def new_result(plan: RunPlan, run_id: str, *, resumed: bool) -> RunResult:
    """The result of a run that has just begun: what does not arrive as it was, and nothing else yet."""
    return RunResult(
        run_id=run_id,
        status="completed",
        mode=plan.mode,
        resumed=resumed,
        seconds=0.0,
        notes=[f"{note.object}: {note.message}" for note in plan.notes if note.severity != "info"],
    )


def result_of_state(state: RunState, mode: str) -> RunResult:
    """The result of a run that was complete before: what it could not create is still missing."""
    tables = [
        TableResult(name, "completed", rows=table.transferred_rows, skipped=table.skipped_rows)
        for name, table in state.tables.items()
    ]
    return RunResult(state.run_id, "completed", mode, resumed=True, seconds=0.0, tables=tables, problems=state.problems)


def left_out(plan: RunPlan, unprepared: dict[int, MigrationError], emit: EventSink) -> list[TableResult]:
    """The results of tables that the plan leaves out, and of those whose tables could not be made ready."""
    results = [
        TableResult(name, "failed", error=text, error_kind=SchemaError.kind, exit_code=SchemaError.exit_code)
        for name, text in plan.refused
    ]
    for item in plan.tables:
        error = unprepared.get(item.table_id)
        if error is not None:
            results.append(TableResult(item.display, "failed", error=str(error)))
            results[-1].error_kind, results[-1].exit_code = error.kind, error.exit_code
    for result in results:
        emit(Message(level="error", table=result.table, text=result.error or ""))
        emit(TableFinished(table=result.table, rows=0, skipped=0, seconds=0.0, error=result.error))
    return results


def notice_emptied(
    connection: psycopg.Connection[Any],
    *,
    ledger: Ledger,
    plan: RunPlan,
    results: list[TableResult],
    emit: EventSink,
) -> None:
    """A crash of the target during the run empties unlogged tables, those that were complete too."""
    entries = ledger.tables(connection)
    for item, result in zip(plan.tables, results, strict=True):
        entry = entries.get(item.table_id)
        if result.status == "completed" and entry is not None and ledger.emptied(connection, entry):
            result.status, result.retryable = "failed", True
            result.error_kind, result.exit_code = TransferError.kind, TransferError.exit_code
            result.error = f"table {item.display}: UNLOGGED, the target's crash emptied it; resume the run"
            emit(Message(level="error", table=item.display, text=result.error))


def missing_rows(source: Source, plan: RunPlan, result: RunResult) -> list[str]:
    """What the source says of the numbers of rows that arrived, once all have."""
    if any(table.status != "completed" for table in result.tables):
        return []
    rows = {item.table.source.full_name: table.rows for item, table in zip(plan.tables, result.tables, strict=True)}
    problem = source.discrepancy(rows)
    return [problem] if problem is not None else []


def judge(result: RunResult, *, unwritten: MigrationError | None, stopped: bool) -> None:
    """The run's status and exit code from those of its tables; ``unwritten``: its state could not be saved."""
    failed = result.failed_tables
    untouched = [table.table for table in result.tables if table.status != "completed"]
    if unwritten is not None:
        result.status, result.exit_code = "failed", unwritten.exit_code
        result.problems.append(str(unwritten))
    elif stopped:
        result.status, result.exit_code = "cancelled", Cancelled.exit_code
    elif failed:
        codes = {table.exit_code for table in failed}
        result.status, result.exit_code = "failed", codes.pop() if len(codes) == 1 else 3
    elif untouched:  # never a success, whatever the reason may be
        result.status, result.exit_code = "failed", TransferError.exit_code
        result.problems.append(f"not carried: {', '.join(untouched)}; resume the run")
    elif result.problems:
        result.status, result.exit_code = "invalid", 4
