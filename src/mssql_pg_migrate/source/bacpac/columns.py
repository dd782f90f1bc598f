"""What the compiled transcoder is told of the columns of a data file.

A data file holds a table's columns in their order, without the computed ones. How each value is framed follows from its
declared type and whether it may be NULL (see ``_kernel/bcp.c``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import TransferError
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
