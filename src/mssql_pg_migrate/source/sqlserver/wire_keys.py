"""Key values as they stand in a TDS row, to the exact texts of `keys`."""

from __future__ import annotations

from ...model import SqlType
from ...tds import types as t
from ...tds.collations import holes_of
from ...tds.metadata import TypeInfo
from .. import keys
from .wire_columns import code_page

UTF8_PAGE = 65001
_DAYS_TO_1900 = 693_595


def key_text(raw: bytes, info: TypeInfo, sql_type: SqlType) -> str:
    """The canonical text of a key value.

    ``raw`` is the value without its length prefix, ``info`` its type on the wire, ``sql_type`` the declared type,
    whose scale the text follows.

    Raises:
        ValueError: the type cannot be a key.
    """
    kind = info.type_id
    scale = keys.scale_of(sql_type)
    if kind in (t.BIT, t.BITN):
        return "1" if raw[0] else "0"
    if kind in (t.INT1, t.INT2, t.INT4, t.INT8, t.INTN):
        return str(raw[0] if len(raw) == 1 else int.from_bytes(raw, "little", signed=True))
    if kind in t.DECIMALS:
        number = int.from_bytes(raw[1:], "little")
        return keys.format_decimal(number if raw[0] else -number, info.scale)
    if kind in (t.MONEY, t.MONEY4, t.MONEYN):
        data = raw if len(raw) == 4 else raw[4:] + raw[:4]
        return keys.format_decimal(int.from_bytes(data, "little", signed=True), 4)
    if kind == t.GUID:
        return keys.format_uniqueidentifier(raw)
    if kind in (t.BIGBINARY, t.BIGVARBINARY):
        return keys.format_binary(raw)
    if kind in (t.NCHAR, t.NVARCHAR):
        return keys.format_text(raw.decode("utf-16-le", "surrogatepass"))
    if kind in (t.BIGCHAR, t.BIGVARCHAR):
        return keys.format_text(_narrow_text(raw, info, sql_type))
    return _moment(raw, info, scale)


def _narrow_text(raw: bytes, info: TypeInfo, sql_type: SqlType) -> str:
    """Text of the code page that the transcoder was told too."""
    page = code_page(info.collation, sql_type.code_page)
    if page is None:
        raise ValueError("the code page of the key is not known for sure")
    codec = "utf-8" if page == UTF8_PAGE else f"cp{page}"
    return raw.decode(codec, holes_of(codec))


def _moment(raw: bytes, info: TypeInfo, scale: int) -> str:
    kind = info.type_id
    if kind == t.DATEN:
        return keys.format_date(int.from_bytes(raw, "little"))
    if kind in (t.DATETIME, t.DATETIME4, t.DATETIMEN):
        return _old_datetime(raw, scale)
    if kind not in t.SCALED_TIME:
        raise ValueError(f"type {kind:#04x} cannot be a key")
    size = t.time_size(info.scale)
    ticks = int.from_bytes(raw[:size], "little") * 10 ** (7 - info.scale)
    if kind == t.TIMEN:
        return keys.format_time(ticks, scale)
    days = int.from_bytes(raw[size : size + 3], "little")
    if kind == t.DATETIME2N:
        return keys.format_datetime(days, ticks, scale)
    return keys.format_datetimeoffset(days, ticks, scale)


def _old_datetime(raw: bytes, scale: int) -> str:
    if len(raw) == 4:
        days, minutes = int.from_bytes(raw[:2], "little"), int.from_bytes(raw[2:], "little")
        return keys.format_datetime(days + _DAYS_TO_1900, minutes * 60 * keys.TICKS_PER_SECOND, scale)
    days, thirds = int.from_bytes(raw[:4], "little", signed=True), int.from_bytes(raw[4:], "little")
    millis = (thirds * 10 + 1) // 3
    return keys.format_datetime(days + _DAYS_TO_1900, millis * 10_000, scale)
