"""PostgreSQL's errors sorted by what can be done about them: do the chunk again, or tell the user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..errors import DataError, IoError, MigrationError, TransferError, TransientError

if TYPE_CHECKING:
    import psycopg

# Appendix A "PostgreSQL Error Codes": what passes by itself when the work is done again.
_TRANSIENT_CODES = frozenset(
    {
        "40001",  # serialization_failure
        "40P01",  # deadlock_detected
        "55P03",  # lock_not_available
        "55006",  # object_in_use
        "57P01",  # admin_shutdown
        "57P02",  # crash_shutdown
        "57P03",  # cannot_connect_now
        "57P05",  # idle_session_timeout
        "25P03",  # idle_in_transaction_session_timeout
        "53300",  # too_many_connections
        "53200",  # out_of_memory
        "53400",  # configuration_limit_exceeded
        "58000",  # system_error
        "XX000",  # internal_error, as some proxies answer during a failover
    }
)
_DATA_CLASSES = ("22", "23")
_ROW_TOO_BIG = "54000"
"""program_limit_exceeded: of a row that comes in, that it does not fit a page."""


def is_transient(error: psycopg.Error) -> bool:
    """Whether re-doing the same transaction may succeed: lost connections, deadlocks, restarts, back-pressure."""
    import psycopg

    code = error.sqlstate
    if code is None:
        return isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
    return code.startswith("08") or code in _TRANSIENT_CODES


def translate(error: psycopg.Error, *, table: str | None, doing: str) -> MigrationError:
    """The error of this project that says the same, naming the table, if any, and what was being done."""
    diagnostic = error.diag
    text = diagnostic.message_primary or str(error).strip() or type(error).__name__
    if diagnostic.message_detail:
        text += f" ({diagnostic.message_detail})"
    if diagnostic.context:
        text += f" [{diagnostic.context.splitlines()[0]}]"
    message = f"table {table}: {doing}: {text}" if table else f"{doing} in the target: {text}"
    if is_transient(error):
        return TransientError(message, side="target", code=error.sqlstate, table=table)
    code = error.sqlstate or ""
    if code == "53100":
        return IoError(f"{message} - the target server's disk is full", hint="free space there, then resume")
    if table and (code.startswith(_DATA_CLASSES) or code == _ROW_TOO_BIG):
        return DataError(message, table=table, column=diagnostic.column_name, hint=_DATA_HINTS.get(code))
    if code == "21000":
        hint = "two rows of the source have one primary key in the target, which compares keys otherwise (citext, say)"
        return TransferError(message, table=table, hint=hint)
    if code == "42501":
        return TransferError(
            message, table=table, hint="grant the target user the missing right, then try again (a run: resume)"
        )
    if code == "25006":
        hint = "the server is a standby, or read-only for this user: connect to the primary, then resume"
        return TransferError(message, table=table, hint=hint, retryable=True)
    return TransferError(message, table=table)


@contextmanager
def translated(table: str | None, doing: str) -> Iterator[None]:
    """Raise psycopg errors of the block as errors of this project."""
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        raise translate(error, table=table, doing=doing) from error


def is_of_one_row(error: psycopg.Error) -> bool:
    """Whether the error is about a value or the size of one row, and does not say which row."""
    code = error.sqlstate or ""
    return code.startswith("22") or code == _ROW_TOO_BIG


_DATA_HINTS = {
    "54000": "PostgreSQL keeps numbers, times and short texts of a row in one page: leave columns out of the source's"
    " table, or exclude the table",
    "23503": "a foreign key of the target refuses the row: load the referenced table too, or drop the constraint",
    "23505": "the target already holds a row with this key, or its unique constraint is stricter than the source's",
    "22001": "the target column is shorter than the source's value",
    "22003": "the target column's type is too small for the source's value",
}
