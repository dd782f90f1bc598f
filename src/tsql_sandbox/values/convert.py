"""CAST and CONVERT of T-SQL on Python values (the storage forms of `sqltypes`, text as Python strings)."""

from __future__ import annotations

import re
import struct
import uuid
from collections.abc import Callable
from decimal import ROUND_DOWN, ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Any

from mssql_pg_migrate.tds import times
from mssql_pg_migrate.tds.collations import DEFAULT_NAME, Collation, decode_char, encode_char

from ..errors import SqlError
from . import clr, datetimes, text, vectors
from . import sqltypes as st
from .guids import guid_to_storage, guid_to_wire
from .sqltypes import SqlType
from .variants import unwrap, wrap

_WIDE = Context(prec=80)
_RANGES = {
    "tinyint": (0, 255),
    "smallint": (-(1 << 15), (1 << 15) - 1),
    "int": (-(1 << 31), (1 << 31) - 1),
    "bigint": (-(1 << 63), (1 << 63) - 1),
}
_MONEY = re.compile(r"\s*([-+]?)\s*[$£€]?\s*([-+]?)([\d,]*(?:\.\d*)?)\s*")


def convert(value: Any, source: SqlType, target: SqlType, style: int | None = None) -> Any:
    """A value of one type as a value of another; NULL stays NULL.

    Raises:
        SqlError: the value does not fit, or the conversion is not allowed.
    """
    if value is None:
        return None
    handler = _TARGETS.get(target.name)
    if handler is None:
        raise SqlError(529, f"Explicit conversion from data type {source.name} to {target.name} is not allowed.")
    if source.name == "sql_variant" and target.name != "sql_variant":
        source, value = unwrap(value)
        if style is None and target.name in st.TEXTUAL and source.name in st.TIMES:
            # Not the default of the type inside: the conversion of a variant asks for style 0 by its number.
            style = 0
    return handler(value, source, target, style)


def from_duckdb(value: Any, kind: SqlType) -> Any:
    """A value fetched from DuckDB in Python's form."""
    if value is None:
        return None
    if kind.name in st.TEXTUAL:
        return text.from_storage(value)
    if kind.name == "datetimeoffset":
        return value["u"], value["o"]
    return value


def to_duckdb(value: Any, kind: str) -> Any:
    """A Python value in the form a DuckDB function of that class returns."""
    if value is None:
        return None
    if kind == "s":
        return text.to_storage(value)
    if kind == "d":
        return f"{value:f}"
    if kind == "o":
        return {"u": value[0], "o": value[1]}
    return value


def _not_allowed(source: SqlType, target: SqlType) -> SqlError:
    return SqlError(529, f"Explicit conversion from data type {source.name} to {target.name} is not allowed.")


def _overflow(target: SqlType) -> SqlError:
    return SqlError(8115, f"Arithmetic overflow error converting expression to data type {target.name}.")


# --- numbers ---------------------------------------------------------------------------------------------------


def _number(value: Any, source: SqlType, target: SqlType) -> Decimal | int | float:
    name = source.name
    if name in st.NUMBERS:
        return value  # type: ignore[no-any-return]
    if name in st.TEXTUAL:
        return _parse_number(value, source, target)
    if name in st.BINARY:
        return int.from_bytes(value[-8:], "big", signed=len(value) >= 8 or target.name == "int")
    if name in ("datetime", "smalldatetime"):
        days = Decimal(value - datetimes.DAYS_1900 * times.TICKS_PER_DAY) / times.TICKS_PER_DAY
        return float(days) if target.name in st.FLOATS else days
    raise _not_allowed(source, target)


def _parse_number(value: str, source: SqlType, target: SqlType) -> Decimal | int | float:
    stripped = value.strip(" \t\r\n")
    try:
        if target.name in st.INTEGERS:
            if target.name == "bit" and stripped.lower() in ("true", "false"):
                return int(stripped.lower() == "true")
            return int(stripped) if stripped else 0
        if target.name in st.FLOATS:
            return float(stripped or 0)
        if target.name in st.MONEY:
            match = _MONEY.fullmatch(stripped)
            if match is None:
                raise ValueError(stripped)
            sign = "-" if "-" in match[1] + match[2] else ""
            return Decimal(sign + (match[3].replace(",", "") or "0"))
        if "e" in stripped.lower():
            raise ValueError(stripped)
        return Decimal(stripped)
    except (ValueError, InvalidOperation):
        if target.name in st.INTEGERS:
            message = f"Conversion failed when converting the {source.name} value '{value}' to data type {target.name}."
            raise SqlError(245, message) from None
        number = 235 if target.name in st.MONEY else 8114
        message = f"Error converting data type {source.name} to {target.name}."
        raise SqlError(number, message) from None


def _to_integer(value: Any, source: SqlType, target: SqlType, _style: int | None) -> int:
    number = _number(value, source, target)
    if target.name == "bit":
        return int(number != 0)
    if isinstance(number, Decimal):
        rounding = ROUND_HALF_UP if source.name in st.MONEY or source.name in st.TIMES else ROUND_DOWN
        number = int(number.to_integral_value(rounding, _WIDE))
    elif isinstance(number, float):
        if number != number or abs(number) >= 1e19:
            raise _overflow(target)
        number = int(number)
    low, high = _RANGES[target.name]
    if not low <= number <= high:
        raise _overflow(target)
    return number


def exact(value: Any) -> Decimal:
    """A number as a decimal; floats by their 17 significant digits as SQL Server takes them."""
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)


def _to_decimal(value: Any, source: SqlType, target: SqlType, _style: int | None) -> Decimal:
    number = exact(_number(value, source, target))
    if not number.is_finite():
        raise _overflow(target)
    rounded = number.quantize(Decimal(1).scaleb(-target.scale), ROUND_HALF_UP, _WIDE)
    digits = rounded.adjusted() + 1 + target.scale if rounded else 0
    limit = {"money": 922337203685477, "smallmoney": 214748}.get(target.name)
    if limit is not None:
        scaled = int(rounded.scaleb(4, _WIDE))
        bound = (1 << 63) if target.name == "money" else (1 << 31)
        if not -bound <= scaled < bound:
            raise _overflow(target)
    elif digits > target.precision:
        raise _overflow(target)
    return rounded


def _to_float(value: Any, source: SqlType, target: SqlType, _style: int | None) -> float:
    number = float(_number(value, source, target))
    if target.name == "real":
        try:
            return float(struct.unpack("<f", struct.pack("<f", number))[0])
        except OverflowError:
            raise _overflow(target) from None
    return number


# --- text ------------------------------------------------------------------------------------------------------


def _to_text(value: Any, source: SqlType, target: SqlType, style: int | None) -> str:
    result = render(value, source, target, style)
    if target.name == "vector":
        return vectors.stored(result, (target.length - 8) // 4)
    if target.name in ("xml", "json", "text", "ntext"):
        return _strip_declaration(result) if target.name == "xml" else result
    if target.name not in st.UNICODE and not result.isascii():
        return _bytes_text(result, target)
    limit = target.chars
    if limit < 0:
        return result
    if target.name in ("char", "nchar"):
        return text.cut(result, 0, limit) + " " * (limit - text.units(result))
    if text.units(result) > limit and source.name in st.NUMBERS and source.name not in st.FLOATS:
        raise SqlError(8115, f"Arithmetic overflow error converting {source.name} to data type {target.name}.")
    return text.cut(result, 0, limit)


def _bytes_text(value: str, target: SqlType) -> str:
    """Text beyond ASCII as char or varchar: n counts bytes ("char and varchar"); no character is cut in two."""
    collation = collation_of(target)
    data = encode_char(value, collation)
    if target.length > 0 and len(data) > target.length:
        kept = decode_char(data, collation)
        while len(encode_char(kept, collation)) > target.length:
            over = len(encode_char(kept, collation)) - target.length
            kept = kept[: -max(over // 4, 1)]
        data = encode_char(kept, collation)
    if target.name == "char":
        data = data.ljust(target.length, b" ")
    return decode_char(data, collation)


def _strip_declaration(value: str) -> str:
    return re.sub(r"^\ufeff?\s*<\?xml[^>]*\?>\s*", "", value)


def collation_of(kind: SqlType) -> bytes:
    """The five bytes of a type's collation."""
    return Collation.from_name(kind.collation or DEFAULT_NAME).encode()


def render(value: Any, source: SqlType, target: SqlType, style: int | None) -> str:
    """A value as text, not yet cut or padded to a type."""
    name = source.name
    if name == "vector" and target.name != "vector":
        return vectors.shown(str(value))
    if name in st.TEXTUAL:
        return str(value)
    if name in st.INTEGERS:
        return str(int(value))
    if name in st.DECIMALS:
        return f"{value:f}"
    if name in st.MONEY:
        decimals = 4 if style == 2 else 2
        plain = value.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP, _WIDE)
        return f"{plain:,f}" if style == 1 else f"{plain:f}"
    if name in st.FLOATS:
        return _float_text(value, name, style)
    if name in st.TIMES:
        return datetimes.to_text(value, source, style)
    if name == "uniqueidentifier":
        return str(uuid.UUID(bytes_le=guid_to_wire(value))).upper()
    if name in st.BINARY:
        return _binary_text(value, target, style)
    if name == "hierarchyid":
        return clr.hierarchy_text(value)
    raise _not_allowed(source, target)


def _float_text(value: float, name: str, style: int | None) -> str:
    if style == 3:
        return _exponent(f"{value:.{17 if name == 'float' else 9}g}")
    if style in (1, 2):
        return _exponent(f"{value:.{7 if style == 1 else 15}e}")
    return _exponent(f"{value:.6g}")


def _exponent(value: str) -> str:
    mantissa, mark, exponent = value.partition("e")
    if not mark:
        return mantissa.removesuffix(".0")
    return f"{mantissa.removesuffix('.0')}e{exponent[0] if exponent[0] in '+-' else '+'}{exponent.lstrip('+-'):0>3}"


def _binary_text(value: bytes, target: SqlType, style: int | None) -> str:
    if style == 1:
        return "0x" + value.hex().upper()
    if style == 2:
        return value.hex().upper()
    if target.name in st.UNICODE:
        return (value + b"\x00" * (len(value) % 2)).decode("utf-16-le", "surrogatepass")
    return decode_char(value, collation_of(target))


# --- binary and the rest ---------------------------------------------------------------------------------------


def _to_binary(value: Any, source: SqlType, target: SqlType, style: int | None) -> bytes:
    data = _bytes(value, source, target, style)
    if target.name == "image" or target.is_max:
        return data
    size = target.length
    if target.name == "varbinary":
        return data[-size:] if source.name in st.NUMBERS else data[:size]
    if source.name in st.NUMBERS:
        return data[-size:].rjust(size, b"\x00")
    return data[:size].ljust(size, b"\x00")


def _bytes(value: Any, source: SqlType, target: SqlType, style: int | None) -> bytes:
    name = source.name
    if name in st.BINARY or name in st.CLR:
        return bytes(value)
    if name in st.TEXTUAL:
        if style in (1, 2):
            return _from_hex(value, style, source)
        if name in st.UNICODE:
            return str(value).encode("utf-16-le", "surrogatepass")
        return encode_char(value, collation_of(source))
    if name == "bit":
        return bytes((value,))
    if name in _RANGES:
        size = source.system.max_length
        return int(value).to_bytes(size, "big", signed=size > 1)
    if name == "uniqueidentifier":
        return guid_to_wire(value)
    if name in st.MONEY:
        size = source.system.max_length
        return int(value.scaleb(4)).to_bytes(size, "big", signed=True)
    if name in st.FLOATS:
        return struct.pack(">f" if name == "real" else ">d", value)
    if name in st.DECIMALS:
        number = int(value.scaleb(source.scale, _WIDE))
        size = 4 * -(-abs(number).bit_length() // 32) or 4
        head = bytes((source.precision, source.scale, 0, number >= 0))
        return head + abs(number).to_bytes(size, "little")
    raise _not_allowed(source, target)


def _from_hex(value: str, style: int, source: SqlType) -> bytes:
    digits = value
    if style == 1:
        if digits[:2].lower() != "0x":
            raise SqlError(8114, f"Error converting data type {source.name} to varbinary.")
        digits = digits[2:]
    try:
        return bytes.fromhex(digits)
    except ValueError:
        raise SqlError(8114, f"Error converting data type {source.name} to varbinary.") from None


def _to_guid(value: Any, source: SqlType, target: SqlType, _style: int | None) -> bytes:
    if source.name == "uniqueidentifier":
        return bytes(value)
    if source.name in st.BINARY:
        return guid_to_storage(bytes(value)[:16].ljust(16, b"\x00"))
    if source.name in st.TEXTUAL:
        try:
            return guid_to_storage(uuid.UUID(value.strip("{} ")[:36]).bytes_le)
        except ValueError:
            message = "Conversion failed when converting from a character string to uniqueidentifier."
            raise SqlError(8169, message) from None
    raise _not_allowed(source, target)


def _to_time(value: Any, source: SqlType, target: SqlType, style: int | None) -> Any:
    name = source.name
    if name in st.TEXTUAL:
        return datetimes.from_text(value, target, style or 0)
    if name in st.NUMBERS and target.name in ("datetime", "smalldatetime"):
        ticks = int((exact(value) * times.TICKS_PER_DAY).to_integral_value(ROUND_HALF_UP, _WIDE))
        return datetimes.to_timestamp(ticks + datetimes.DAYS_1900 * times.TICKS_PER_DAY, target)
    if name not in st.TIMES:
        raise _not_allowed(source, target)
    if name == "datetimeoffset":
        utc, offset = value
        if target.name == "datetimeoffset":
            return datetimes.round_ticks(utc, target.scale), offset
        ticks = utc + offset * datetimes.TICKS_PER_MINUTE
    elif name == "date":
        ticks = value * times.TICKS_PER_DAY
    elif name == "time":
        ticks = value + (0 if target.name == "time" else datetimes.DAYS_1900 * times.TICKS_PER_DAY)
    else:
        ticks = value
    if target.name == "date":
        return ticks // times.TICKS_PER_DAY
    if target.name == "time":
        return datetimes.round_time(ticks % times.TICKS_PER_DAY, target.scale)
    if target.name == "datetimeoffset":
        return datetimes.round_ticks(ticks, target.scale), 0
    return datetimes.to_timestamp(ticks, target)


def _to_variant(value: Any, source: SqlType, _target: SqlType, _style: int | None) -> bytes:
    return bytes(value) if source.name == "sql_variant" else wrap(value, source)


def _to_clr(value: Any, source: SqlType, target: SqlType, _style: int | None) -> bytes:
    if source.name in st.BINARY or source.name == target.name:
        return bytes(value)
    if source.name not in st.TEXTUAL:
        raise _not_allowed(source, target)
    if target.name == "hierarchyid":
        return clr.hierarchy_bytes(value)
    return clr.from_wkt(value, 0 if target.name == "geometry" else 4326, target.name == "geography")


_TARGETS: dict[str, Callable[[Any, SqlType, SqlType, int | None], Any]] = {
    **dict.fromkeys(st.INTEGERS, _to_integer),
    **dict.fromkeys(st.DECIMALS | st.MONEY, _to_decimal),
    **dict.fromkeys(st.FLOATS, _to_float),
    **dict.fromkeys(st.TEXTUAL, _to_text),
    **dict.fromkeys(st.BINARY, _to_binary),
    **dict.fromkeys(st.TIMES, _to_time),
    **dict.fromkeys(st.CLR, _to_clr),
    "uniqueidentifier": _to_guid,
    "sql_variant": _to_variant,
}
