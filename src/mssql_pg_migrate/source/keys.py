"""The exact text of key values.

A range is a pair of keys, and what a run remembers of a range is the key of its last committed row. Keys leave the
server as text and go back as literals, so that text must be exact. Its canonical forms, one per type, are what both
readers produce and `sqlserver.key_literals` reads:

=========================================  ==========================================================================
bit                                        ``0`` or ``1``
tinyint, smallint, int, bigint             decimal digits with an optional ``-``
decimal, numeric, money, smallmoney        digits, ``.`` and exactly as many decimals as the scale (no ``.`` at scale 0)
date                                       ``YYYY-MM-DD``
time(s)                                    ``HH:MM:SS.fffffff`` with exactly s decimals (no ``.`` at scale 0)
datetime2(s), datetime (s=3)               ``YYYY-MM-DDTHH:MM:SS.fffffff`` with exactly s decimals
smalldatetime                              ``YYYY-MM-DDTHH:MM:SS``
datetimeoffset(s)                          the UTC instant, as datetime2(s), then ``+00:00``
uniqueidentifier                           36 characters, upper case
binary, varbinary                          ``0x`` and upper-case hexadecimal digits
char, varchar, nchar, nvarchar             the value itself, trailing blanks included; a value that holds U+0000 or a
                                           lone surrogate, or begins with ``\\x``, is ``\\x`` and its UTF-16LE
                                           bytes in hexadecimal
=========================================  ==========================================================================

So a key's text never holds U+0000 or a lone surrogate and fits any UTF-8 store. Comparing keys is left to the server:
its collations and its order of uniqueidentifier are not rebuilt here.
"""

from __future__ import annotations

import uuid
from datetime import date

from ..model import SqlType

# Fixed scales of the types that do not declare one.
_SCALES = {"datetime": 3, "smalldatetime": 0, "money": 4, "smallmoney": 4}

TICKS_PER_SECOND = 10_000_000
"""SQL Server's finest unit of time is 100 ns."""


def scale_of(sql_type: SqlType) -> int:
    """Decimals of a type's values, for numbers and for seconds."""
    return _SCALES.get(sql_type.name, sql_type.scale)


def format_decimal(unscaled: int, scale: int) -> str:
    """The text of ``unscaled / 10**scale``."""
    sign, digits = ("-" if unscaled < 0 else ""), str(abs(unscaled))
    if scale == 0:
        return sign + digits
    digits = digits.rjust(scale + 1, "0")
    return f"{sign}{digits[:-scale]}.{digits[-scale:]}"


def format_date(days: int) -> str:
    """The text of a date, from its days since 0001-01-01."""
    return date.fromordinal(days + 1).isoformat()


def format_time(ticks: int, scale: int) -> str:
    """The text of a time of day, from its 100 ns units since midnight, cut to ``scale`` decimals."""
    seconds, fraction = divmod(ticks, TICKS_PER_SECOND)
    text = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return f"{text}.{fraction:07d}"[: 9 + scale] if scale else text


def format_datetime(days: int, ticks: int, scale: int) -> str:
    """The text of a datetime, smalldatetime or datetime2."""
    return f"{format_date(days)}T{format_time(ticks, scale)}"


def format_datetimeoffset(days: int, ticks: int, scale: int) -> str:
    """The text of a datetimeoffset, from its UTC date and time."""
    return f"{format_datetime(days, ticks, scale)}+00:00"


def format_uniqueidentifier(data: bytes) -> str:
    """The text of a uniqueidentifier, from its 16 bytes as SQL Server stores them (first three groups reversed)."""
    return str(uuid.UUID(bytes_le=data)).upper()


def format_binary(data: bytes) -> str:
    """The text of a binary value."""
    return f"0x{data.hex().upper()}"


def format_text(value: str) -> str:
    """The text of a character value (see the module's table for the ``\\x`` form)."""
    if value.startswith("\\x") or not _plain(value):
        return "\\x" + value.encode("utf-16-le", "surrogatepass").hex().upper()
    return value


def parse_text(text: str) -> str:
    """The character value that `format_text` wrote.

    Raises:
        ValueError: the text after ``\\x`` is not UTF-16 bytes in hexadecimal.
    """
    if text.startswith("\\x"):
        return bytes.fromhex(text[2:]).decode("utf-16-le", "surrogatepass")
    return text


def _plain(value: str) -> bool:
    return "\0" not in value and not any("\ud800" <= char <= "\udfff" for char in value)
