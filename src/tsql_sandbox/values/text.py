"""Text as DuckDB can hold it.

SQL Server's nvarchar is any sequence of UTF-16 code units, DuckDB's VARCHAR is valid UTF-8. A code unit that is no
text by itself (a lone surrogate) is stored as a character of U+10F000..U+10F7FF, one for each surrogate; the
characters of that block are themselves stored as their two surrogates, so the mapping is exact both ways.
"""

from __future__ import annotations

import re

_BASE = 0x10F000
_TO_STORE = re.compile("[\ud800-\udfff\U0010f000-\U0010f7ff]")
_STORED = re.compile("[\U0010f000-\U0010f7ff]")


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x10000:
        return chr(_BASE + code - 0xD800)
    high, low = 0xD800 + (code - 0x10000 >> 10), 0xDC00 + (code & 0x3FF)
    return chr(_BASE + high - 0xD800) + chr(_BASE + low - 0xD800)


def to_storage(text: str) -> str:
    """Any Python string (lone surrogates included) as valid Unicode."""
    return _TO_STORE.sub(_escape, text) if _TO_STORE.search(text) else text


def from_storage(text: str) -> str:
    """The reverse of `to_storage`."""
    if not _STORED.search(text):
        return text
    units = _STORED.sub(lambda match: chr(0xD800 + ord(match.group()) - _BASE), text)
    return units.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def literal(text: str) -> str:
    """A DuckDB string literal; `text` in Python's form."""
    parts = to_storage(text).split("\0")
    quoted = ["'" + part.replace("'", "''") + "'" for part in parts]
    return quoted[0] if len(quoted) == 1 else "(" + " || chr(0) || ".join(quoted) + ")"


def units(text: str) -> int:
    """Length in UTF-16 code units."""
    return len(text) + sum(c > "\uffff" for c in text)


def cut(text: str, start: int, length: int) -> str:
    """`length` UTF-16 code units from `start` (from 0)."""
    if text.isascii() or units(text) == len(text):
        return text[start : start + length]
    data = text.encode("utf-16-le", "surrogatepass")
    return data[start * 2 : (start + length) * 2].decode("utf-16-le", "surrogatepass")


def identifier(name: str) -> str:
    """A DuckDB identifier, quoted."""
    return '"' + name.replace('"', '""') + '"'
