"""Keys that ranges and resume can use, and the exact text of their values.

A range is a pair of keys, and what a run remembers of a range is the key of its last committed row. Keys leave the
server as text and go back as literals, so that text must be exact. Its canonical forms, one per type, are what both
readers produce and `literal` reads:

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

import re
import uuid
from datetime import date

from ..model import Column, Key, SqlType, Table
from . import tsql

_INTEGERS = ("tinyint", "smallint", "int", "bigint")
_DECIMALS = ("decimal", "numeric", "money", "smallmoney")
_NARROW_TEXT = ("char", "varchar")
_WIDE_TEXT = ("nchar", "nvarchar")
_BINARY = ("binary", "varbinary")
_DATETIMES = ("datetime", "smalldatetime", "datetime2", "datetimeoffset")

# Fixed scales of the types that do not declare one.
_SCALES = {"datetime": 3, "smalldatetime": 0, "money": 4, "smallmoney": 4}

TICKS_PER_SECOND = 10_000_000
"""SQL Server's finest unit of time is 100 ns."""

_DATE = r"\d{4}-\d\d-\d\d"
_TIME = r"\d\d:\d\d:\d\d(\.\d{1,7})?"
_FORMS = {
    "bit": re.compile(r"[01]"),
    "integer": re.compile(r"-?\d{1,19}"),
    "decimal": re.compile(r"-?\d{1,38}(\.\d{1,38})?"),
    "date": re.compile(_DATE),
    "time": re.compile(_TIME),
    "datetime": re.compile(f"{_DATE}T{_TIME}"),
    "datetimeoffset": re.compile(rf"{_DATE}T{_TIME}\+00:00"),
    "uniqueidentifier": re.compile(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}"),
    "binary": re.compile(r"0x([0-9A-F]{2})*"),
}
_BYTES_WIDTH = {"bit": 1, "tinyint": 1, "smallint": 2, "int": 4, "bigint": 8, "uniqueidentifier": 16}


# --- which key -------------------------------------------------------------------------------------------------------


def unusable_reason(column: Column) -> str | None:
    """Why a key that holds this column cannot serve ranges and resume; None when it can."""
    name = column.type.name
    if column.nullable:
        return f"{column.name} may be NULL"
    if column.encrypted:
        return f"{column.name} is Always Encrypted"
    if column.graph_type is not None:
        return f"{column.name} is a pseudo-column of a graph table"
    if name in ("float", "real"):
        return f"{column.name} is {name}, whose values have no exact literal"
    if name == "timestamp":
        return f"{column.name} is a rowversion, which every update changes"
    if column.type.is_max or not is_key_type(name):
        return f"{column.name} is {column.type}"
    return None


def is_key_type(name: str) -> bool:
    """Whether values of a type (without (max)) have an exact text and an order on the server."""
    return (
        name in ("bit", "date", "time", "uniqueidentifier")
        or name in _INTEGERS
        or name in _DECIMALS
        or name in _DATETIMES
        or name in _NARROW_TEXT
        or name in _WIDE_TEXT
        or name in _BINARY
    )


def candidate_keys(table: Table) -> tuple[Key, ...]:
    """All unique keys of a table that ranges could use, best first.

    Primary key, unique constraints, and unique indexes without a filter; enabled, every column not null and of an
    orderable type. A clustered one comes first, because reading in its order needs neither a sort nor a lookup per row;
    then the primary key; then the one with fewer and narrower columns.
    """
    keys = [*([table.primary_key] if table.primary_key else ()), *table.unique_keys]
    keys += [
        Key(name=index.name, columns=index.columns, primary=False, clustered=index.clustered)
        for index in table.indexes
        if index.unique and index.filter is None and not index.disabled and index.kind in ("CLUSTERED", "NONCLUSTERED")
    ]
    columns = {column.name: column for column in table.columns}

    def usable(key: Key) -> bool:
        return (
            bool(key.columns)
            and not key.disabled
            and all(part.name in columns and unusable_reason(columns[part.name]) is None for part in key.columns)
        )

    def width(key: Key) -> int:
        return sum(_width(columns[part.name].type) for part in key.columns)

    usable_keys = [key for key in keys if usable(key)]
    usable_keys.sort(key=lambda key: (not key.clustered, not key.primary, len(key.columns), width(key), key.name))
    return tuple(usable_keys)


def choose_range_key(table: Table) -> Key | None:
    """The key that ranges and resume use (see `candidate_keys`); None streams the table whole."""
    keys = candidate_keys(table)
    return keys[0] if keys else None


def _width(sql_type: SqlType) -> int:
    return _BYTES_WIDTH.get(sql_type.name, sql_type.max_length)


# --- value -> text ---------------------------------------------------------------------------------------------------


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


# --- text -> literal -------------------------------------------------------------------------------------------------


def literal(sql_type: SqlType, text: str) -> str:
    """A T-SQL expression for a key value, of exactly the column's type so that an index seek stays possible.

    Literals are language-neutral and carry the column's own type: a bare ``5000000000`` would be a decimal, a bare
    ``N'x'`` beside a varchar column would convert the column.

    Raises:
        ValueError: the text is not the canonical form of a value of the type.
    """
    name = sql_type.name
    if name in _NARROW_TEXT or name in _WIDE_TEXT:
        return _text_literal(sql_type, parse_text(text))
    if name == "bit":
        return f"CAST({_checked('bit', text)} AS bit)"
    if name in _INTEGERS:
        value = _checked("integer", text)
        return value if name == "int" and int(value) > -(2**31) else f"CAST({value} AS {name})"
    if name in ("money", "smallmoney"):
        return f"CAST({_checked('decimal', text)} AS {name})"
    if name in _DECIMALS:
        # As text, because a number of 38 digits gets a type of its own before it is cast.
        return f"CAST('{_checked('decimal', text)}' AS {name}({sql_type.precision},{sql_type.scale}))"
    if name == "uniqueidentifier":
        return f"CAST('{_checked(name, text)}' AS uniqueidentifier)"
    if name in _BINARY:
        return f"CAST({_checked('binary', text)} AS {name}({max(1, sql_type.max_length)}))"
    if name == "date":
        return f"CAST('{_checked('date', text)}' AS date)"
    if name in ("datetime", "smalldatetime"):
        return f"CONVERT({name}, '{_checked('datetime', text)}', 126)"
    if name in ("time", "datetime2", "datetimeoffset"):
        form = "datetime" if name == "datetime2" else name
        return f"CAST('{_checked(form, text)}' AS {name}({sql_type.scale}))"
    raise ValueError(f"{sql_type} cannot be a key")


def _checked(form: str, text: str) -> str:
    if _FORMS[form].fullmatch(text) is None:
        raise ValueError(f"{text!r} is not the text of a {form} key")
    return text


def _text_literal(sql_type: SqlType, value: str) -> str:
    if sql_type.name in _WIDE_TEXT:
        return tsql.unicode_literal(value)
    # ASCII is the same in every code page; other text must be converted to the column's own, which may not be that
    # of the database.
    if value.isascii() and tsql.quotable(value):
        return tsql.quoted(value)
    collate = f" COLLATE {sql_type.collation}" if sql_type.collation else ""
    return f"CAST({tsql.unicode_literal(value)}{collate} AS {sql_type.name}({max(1, sql_type.max_length)}))"
