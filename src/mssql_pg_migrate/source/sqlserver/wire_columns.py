"""From the columns a server announces to what the transcoder is told, or the reason why it cannot serve them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from ...mapping.objects import MappedTable
from ...mapping.types import Encoding
from ...model import SqlType
from ...tds import types as t
from ...tds.collations import Collation
from ...tds.metadata import ColumnMetadata
from .query import Layout
from .wire_connect import WireUnsupported

ColumnSpec = tuple[int, int, int, int, int, int, int]
"""type id, length, precision, scale, code page, number of the encoding, position in the key (-1: none)."""

ENCODING_NUMBERS: dict[str, int] = {name: number for number, name in enumerate(get_args(Encoding))}
"""The order of `mapping.types.Encoding` is that of the transcoder."""
KEY_ONLY = len(ENCODING_NUMBERS)
"""The encoding of a column that is no COPY field."""

_CODE_PAGE_TYPES = frozenset((t.BIGVARCHAR, t.BIGCHAR, t.TEXT))
_NARROW_NAMES = ("char", "varchar", "text")

# LCIDs of Windows collations whose code page is 1252 ([MS-LCID], SQL Server's list of collations).
_WESTERN_LCIDS = frozenset(
    (
        0x0403, 0x0406, 0x0407, 0x0409, 0x040A, 0x040B, 0x040C, 0x040F, 0x0410, 0x0413, 0x0414, 0x0416, 0x0417,
        0x041D, 0x0421, 0x042D, 0x042E, 0x0436, 0x0438, 0x043B, 0x043E, 0x0441, 0x0452, 0x0456, 0x0462, 0x046F,
        0x047A, 0x047C, 0x047E, 0x0482, 0x0483, 0x0488, 0x0807, 0x0809, 0x080A, 0x080C, 0x0813, 0x0814, 0x0816,
        0x083B, 0x0C07, 0x0C09, 0x0C0A, 0x0C0C, 0x1009, 0x10407,
    )
)  # fmt: skip

_KEY_TYPES: dict[str, frozenset[int]] = {
    "bit": frozenset((t.BIT, t.BITN)),
    **dict.fromkeys(("tinyint", "smallint", "int", "bigint"), frozenset((t.INT1, t.INT2, t.INT4, t.INT8, t.INTN))),
    **dict.fromkeys(("decimal", "numeric"), frozenset((t.DECIMALN, t.NUMERICN))),
    **dict.fromkeys(("money", "smallmoney"), frozenset((t.MONEY, t.MONEY4, t.MONEYN))),
    "date": frozenset((t.DATEN,)),
    "time": frozenset((t.TIMEN,)),
    "datetime2": frozenset((t.DATETIME2N,)),
    **dict.fromkeys(("datetime", "smalldatetime"), frozenset((t.DATETIME, t.DATETIME4, t.DATETIMEN))),
    "datetimeoffset": frozenset((t.DATETIMEOFFSETN,)),
    "uniqueidentifier": frozenset((t.GUID,)),
    **dict.fromkeys(("char", "varchar"), frozenset((t.BIGCHAR, t.BIGVARCHAR))),
    **dict.fromkeys(("nchar", "nvarchar"), frozenset((t.NCHAR, t.NVARCHAR))),
    **dict.fromkeys(("binary", "varbinary"), frozenset((t.BIGBINARY, t.BIGVARBINARY))),
}
"""What a key column of each type must arrive as, for its text to be exact."""


def code_page(collation: bytes | None, declared: int | None) -> int | None:
    """The code page of character data: the collation's on the wire, which must agree with the catalog's.

    None when neither is known for sure, or they differ. ``declared`` 0 (a Unicode-only collation) says nothing.
    """
    found = None
    if collation is not None and len(collation) == 5:
        parts = Collation.decode(collation)
        western = parts.lcid in _WESTERN_LCIDS and not parts.sort_id
        # The table answers 1252 for whatever it does not know.
        if parts.code_page != 1252 or western or _western_sort(parts.sort_id):
            found = parts.code_page
    if declared:
        return declared if found in (None, declared) else None
    return found or None


def _western_sort(sort_id: int) -> bool:
    return 50 <= sort_id <= 54 or 71 <= sort_id <= 75 or 183 <= sort_id <= 186 or 210 <= sort_id <= 217


def column_specs(
    metadata: Sequence[ColumnMetadata], table: MappedTable, layout: Layout
) -> tuple[list[ColumnSpec], list[ColumnMetadata]]:
    """What the transcoder is told of each result column, and the metadata of the key's columns in key order.

    Raises:
        WireUnsupported: a column arrives as a type that does not become the wanted field without a conversion.
    """
    copied = table.copied_columns
    if len(metadata) != layout.fields + len(layout.extra):
        raise WireUnsupported(f"the server returns {len(metadata)} columns for {layout.fields + len(layout.extra)}")
    keys = {field.position: number for number, field in enumerate(layout.key)}
    specs: list[ColumnSpec] = []
    for position, info in enumerate(metadata):
        if position < layout.fields:
            column = copied[position]
            encoding = ENCODING_NUMBERS[column.encoding]
            declared: SqlType | None = column.source.type if column.wire_select == "{c}" else None
            name = column.source.name
        else:
            field = next(field for field in layout.key if field.position == position)
            encoding, declared, name = KEY_ONLY, field.column.type, field.column.name
        page = _page_of(info, declared, name)
        _check_scale(info, declared, name)
        key = keys.get(position, -1)
        specs.append((info.type_id, info.length & 0xFFFFFFFF, info.precision, info.scale, page, encoding, key))
    key_columns = []
    for field in layout.key:
        info = metadata[field.position]
        if info.type_id not in _KEY_TYPES.get(field.column.type.name, frozenset()):
            raise WireUnsupported(f"the key column {field.column.name} arrives as type 0x{info.type_id:02X}")
        key_columns.append(info)
    return specs, key_columns


def _page_of(info: ColumnMetadata, declared: SqlType | None, name: str) -> int:
    if info.type_id not in _CODE_PAGE_TYPES:
        return 0
    known = declared.code_page if declared is not None and declared.name in _NARROW_NAMES else None
    page = code_page(info.collation, known)
    if page is None:
        raise WireUnsupported(f"the code page of column {name} is not known for sure")
    return page


def _check_scale(info: ColumnMetadata, declared: SqlType | None, name: str) -> None:
    """PostgreSQL would round a numeric that arrives with more decimals than declared, silently."""
    if declared is not None and declared.name in ("decimal", "numeric") and info.scale != declared.scale:
        raise WireUnsupported(f"column {name} is {declared} and arrives with scale {info.scale}")
