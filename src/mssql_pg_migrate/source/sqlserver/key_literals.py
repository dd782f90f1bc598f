"""Key values, from their exact text (`source.keys`) to T-SQL literals."""

from __future__ import annotations

import re

from ...model import SqlType
from ..keys import parse_text
from . import tsql

_INTEGERS = ("tinyint", "smallint", "int", "bigint")
_DECIMALS = ("decimal", "numeric", "money", "smallmoney")
_NARROW_TEXT = ("char", "varchar")
_WIDE_TEXT = ("nchar", "nvarchar")
_BINARY = ("binary", "varbinary")

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
