"""What is wrong with a data file, in words: table, column, data file and row."""

from __future__ import annotations

from collections.abc import Sequence

from ... import _kernel
from ...errors import TransferError
from ...model import Column


def malformed(
    table: str, member: str, row: int, columns: Sequence[Column], fault: tuple[int, int, int]
) -> TransferError:
    """The bytes of a row are not what its columns tell; ``row`` counts from 1, ``fault`` is the transcoder's."""
    code, position, detail = fault
    column = columns[position] if 0 <= position < len(columns) else None
    what = f"column {column.name} ({column.type})" if column is not None else "its beginning"
    return TransferError(
        f"Table {table}, row {row} of {member}: {what} {_reason(code, detail)}.",
        table=table,
        hint="The file is damaged, or not of these columns: copy or export the package again.",
    )


def _reason(code: int, detail: int) -> str:
    native = _kernel.native()
    return {
        native.F_LENGTH: f"has a length that its type does not have ({detail})",
        native.F_VALUE: "has a value outside its type's range",
        native.F_NULL: "is NULL, which it may not be",
        native.F_ODD_TEXT: f"holds half a character ({detail} bytes)",
        native.F_TRUNCATED: "is cut short: the file ends inside the row",
    }.get(code, f"cannot be followed (fault {code}, detail {detail})")


def data_reason(code: int, detail: int) -> tuple[str, str]:
    """What a value holds that PostgreSQL cannot, and what to do about it."""
    native = _kernel.native()
    correct = "Correct the value in the source and export it again."
    if code == native.F_NUL:
        return (
            "holds the character U+0000, which PostgreSQL text cannot hold",
            "Set on_nul: strip to remove it, or correct the value in the source.",
        )
    if code == native.F_SURROGATE:
        return f"holds a lone surrogate (U+{detail:04X}), which is not text in UTF-8", correct
    return "is too long: PostgreSQL holds less than 1 GB in a value", correct


def located(error: TransferError, table: str, member: str, row: int) -> TransferError:
    """A damaged member's error with the table, and the row up to which it was read."""
    if error.table is not None:
        return error
    return TransferError(f"Table {table}, row {row} of {member}: {error.message}", table=table, hint=error.hint)
