"""What is wrong with a data file, in words: table, column, data file and row."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import TransferError
from ...model import Column
from .. import faults


def malformed(
    table: str, member: str, row: int, columns: Sequence[Column], fault: tuple[int, int, int]
) -> TransferError:
    """The bytes of a row are not what its columns tell; ``row`` counts from 1, ``fault`` is the transcoder's."""
    code, position, detail = fault
    column = columns[position] if 0 <= position < len(columns) else None
    what = f"column {column.name} ({column.type})" if column is not None else "its beginning"
    return TransferError(
        f"Table {table}, row {row} of {member}: {what} {faults.stream_reason(code, detail)}.",
        table=table,
        hint="The file is damaged, or not of these columns: copy or export the package again.",
    )


def refused(table: str, columns: Sequence[Column], error: ValueError) -> TransferError:
    """The transcoder cannot follow these columns; ``error`` is its own."""
    why, at = (*error.args, -1)[:2]
    column = f" column {columns[at].name}:" if isinstance(at, int) and 0 <= at < len(columns) else ""
    return TransferError(f"Table {table}:{column} {why}.", table=table)


def data_reason(code: int, detail: int) -> tuple[str, str]:
    """What a value holds that PostgreSQL cannot, and what to do about it."""
    return faults.data_reason(code, detail, correct="Correct the value in the source and export it again.")


def located(error: TransferError, table: str, member: str, row: int) -> TransferError:
    """A damaged member's error with the table, and the row up to which it was read."""
    if error.table is not None:
        return error
    return TransferError(f"Table {table}, row {row} of {member}: {error.message}", table=table, hint=error.hint)
