"""What the compiled transcoder is told of the columns of a data file.

A data file holds a table's columns in their order, without the computed ones. How each value is framed follows from its
declared type and whether it may be NULL (see ``_kernel/bcp.c``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from ...errors import TransferError
from ...mapping.types import Encoding
from ...tds import types as t
from . import clr

if TYPE_CHECKING:
    from ...mapping.objects import MappedTable
    from ...model import Column, SqlType, Table

ColumnSpec = tuple[int, int, int, int, int, int, int]
"""type id, length in the file, precision, scale, nullable, number of the encoding, -1."""

_MAX = 0xFFFF
_TYPES: dict[str, int] = {
    "bit": t.BIT,
    "tinyint": t.INT1,
    "smallint": t.INT2,
    "int": t.INT4,
    "bigint": t.INT8,
    "real": t.FLOAT4,
    "float": t.FLOAT8,
    "money": t.MONEY,
    "smallmoney": t.MONEY4,
    "datetime": t.DATETIME,
    "smalldatetime": t.DATETIME4,
    "date": t.DATEN,
    "time": t.TIMEN,
    "datetime2": t.DATETIME2N,
    "datetimeoffset": t.DATETIMEOFFSETN,
    "decimal": t.DECIMALN,
    "numeric": t.NUMERICN,
    "uniqueidentifier": t.GUID,
    "char": t.BIGCHAR,
    "varchar": t.BIGVARCHAR,
    "nchar": t.NCHAR,
    "nvarchar": t.NVARCHAR,
    "text": t.TEXT,
    "ntext": t.NTEXT,
    "binary": t.BIGBINARY,
    "varbinary": t.BIGVARBINARY,
    "timestamp": t.BIGBINARY,
    "image": t.IMAGE,
    "xml": t.XML,
    "sql_variant": t.UDT,
    "hierarchyid": t.UDT,
    "geometry": t.UDT,
    "geography": t.UDT,
}
"""The type numbers of TDS. All types behind an 8-byte length that are read as bytes share one."""

ENCODING_NUMBERS: dict[str, int] = {name: number for number, name in enumerate(get_args(Encoding))}
_NO_FIELD = len(ENCODING_NUMBERS)
_REPLACED = _NO_FIELD + 1
"""Bytes that this package turns into text after the transcoder."""


class UnreadableColumn(TransferError):
    """A column whose values in the data files cannot be followed, so that no row of its table can."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a table's data files, for the transcoder.

    ``columns`` are the file's columns in order; ``texts`` tells how the marked ones become text, by position.
    """

    columns: tuple[Column, ...]
    specs: tuple[ColumnSpec, ...]
    texts: dict[int, Callable[[bytes], str]]


def stored_columns(table: Table) -> tuple[Column, ...]:
    """The columns that a table's data files hold: all but the computed ones."""
    return tuple(column for column in table.columns if column.computed is None)


def layout(table: MappedTable, member: str) -> Layout:
    """How the table's data files, of which ``member`` is the first, are read.

    Its copied columns become fields, in order, the others are passed over.

    Raises:
        UnreadableColumn: nothing tells how a column's values are written.
    """
    copied = {column.source.name: column.encoding for column in table.copied_columns}
    columns = stored_columns(table.source)
    stored = [column.name for column in columns if column.name in copied]
    if stored != list(copied):
        missing = ", ".join(name for name in copied if name not in stored) or "in another order"
        raise UnreadableColumn(
            f"Table {table.source.full_name}: the data files do not hold the column {missing}.",
            table=table.source.full_name,
        )
    for column in columns:
        check_readable(table.source.full_name, member, column)
    texts = {
        position: clr.TEXTS.get(column.type.name, _no_text)
        for position, column in enumerate(columns)
        if column.name in copied and _TYPES[column.type.name] == t.UDT
    }
    specs = tuple(column_spec(column, copied.get(column.name)) for column in columns)
    return Layout(columns, specs, texts)


def column_spec(column: Column, encoding: str | None) -> ColumnSpec:
    """One column of a data file for the transcoder; ``encoding`` None passes over its values."""
    declared = column.type
    kind = t.FLOAT4 if declared.name == "float" and 0 < declared.precision <= 24 else _TYPES[declared.name]
    if encoding is None:
        number = _NO_FIELD
    else:
        number = _REPLACED if kind == t.UDT else ENCODING_NUMBERS[encoding]
    return (kind, _length(declared), declared.precision, declared.scale, int(column.nullable), number, -1)


def _length(declared: SqlType) -> int:
    """The most bytes of a value in the file, where all text is UTF-16."""
    if declared.is_max:
        return _MAX
    if declared.name == "timestamp":
        return 8
    return declared.max_length * 2 if declared.name in ("char", "varchar") else declared.max_length


def check_readable(table: str, member: str, column: Column) -> None:
    """Raises UnreadableColumn: nothing tells how the values of the column of that table are written."""
    reason = None
    if column.type.name.startswith("Always Encrypted"):
        reason = "is Always Encrypted: the file holds ciphertext, which only clients that hold the key can read"
    elif column.column_set:
        reason = "is a column set, and no documentation tells how the columns of such a table are exported"
    elif column.graph_type is not None:
        reason = "is a pseudo-column of a graph table, and no documentation tells how these are exported"
    elif column.type.name not in _TYPES:
        reason = f"is {column.type}, whose form in a data file is not known"
    if reason is not None:
        raise UnreadableColumn(
            f"Table {table}, row 1 of {member}: column {column.name} {reason}.",
            table=table,
            hint="Exclude the table (migration.exclude_tables), or migrate it from a server.",
        )


def _no_text(_: bytes) -> str:
    raise clr.ClrError("is a sql_variant, whose form in a data file is not documented")
