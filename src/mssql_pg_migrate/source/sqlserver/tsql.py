"""T-SQL text: quoted identifiers and string literals."""

from __future__ import annotations

import re

# What cannot stand inside a quoted literal: NUL and lone surrogates (not text at all), and a backslash before a line
# end, which T-SQL takes as a line continuation and removes.
_UNQUOTABLE = re.compile("[\x00\ud800-\udfff]|\\\\\r?\n")


def quote_name(name: str) -> str:
    """An identifier in brackets."""
    return "[" + name.replace("]", "]]") + "]"


def qualified_name(schema: str, name: str) -> str:
    """``[schema].[name]``."""
    return f"{quote_name(schema)}.{quote_name(name)}"


def quotable(text: str) -> bool:
    """Whether a quoted literal can hold the text unchanged (else write its UTF-16 bytes: `utf16_literal`)."""
    return _UNQUOTABLE.search(text) is None


def quoted(text: str) -> str:
    """``'text'``, for text that is `quotable`."""
    return "'" + text.replace("'", "''") + "'"


def unicode_literal(text: str) -> str:
    """``N'text'``; its UTF-16 bytes cast to nvarchar where quotes cannot hold it."""
    if quotable(text):
        return "N" + quoted(text)
    return utf16_literal(text)


def utf16_literal(text: str) -> str:
    """Any UTF-16 text, lone surrogates and U+0000 included, as a CAST of its bytes."""
    data = text.encode("utf-16-le", "surrogatepass")
    length = str(max(1, len(data) // 2)) if len(data) <= 8000 else "max"
    return f"CAST(0x{data.hex().upper()} AS nvarchar({length}))"
