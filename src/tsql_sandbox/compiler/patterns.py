"""LIKE patterns as regular expressions."""

from __future__ import annotations

import re
from typing import Any

from ..values.text import from_storage, to_storage


def like_regex(pattern: str, escape: str = "") -> str:
    """A LIKE pattern as a regular expression."""
    parts: list[str] = []
    position = 0
    while position < len(pattern):
        char = pattern[position]
        position += 1
        if escape and char == escape and position < len(pattern):
            parts.append(re.escape(pattern[position]))
            position += 1
        elif char == "%":
            parts.append(".*")
        elif char == "_":
            parts.append(".")
        elif char == "[" and "]" in pattern[position:]:
            end = pattern.index("]", position)
            inside = pattern[position:end]
            negated = inside.startswith("^")
            body = re.sub(r"([\\\[\]^])", r"\\\1", inside[1:] if negated else inside)
            parts.append(f"[{'^' if negated else ''}{body}]" if body else "")
            position = end + 1
        else:
            parts.append(re.escape(char))
    return "".join(parts)


def lone_units(text: str) -> str:
    """Text with its supplementary characters as their two units."""
    if text.isascii() or max(text) < "\U00010000":
        return text
    return "".join(_units_of(character) for character in text)


def _units_of(character: str) -> str:
    code = ord(character) - 0x10000
    return character if code < 0 else chr(0xD800 + (code >> 10)) + chr(0xDC00 + (code & 0x3FF))


def split_pairs(text: str) -> str:
    """`lone_units` of a text in the form in which it is stored."""
    return to_storage(lone_units(from_storage(text)))


def like_regex_function(pattern: Any, escape: Any) -> str:
    """`like_regex` as a function in DuckDB."""
    return like_regex(pattern, escape or "")
