"""PostgreSQL text: quoted identifiers and string literals."""

from __future__ import annotations


def quote_ident(name: str) -> str:
    """A quoted identifier; always quoted, so that case and reserved words never matter.

    Raises:
        ValueError: the name is empty or holds U+0000, which no PostgreSQL identifier can.
    """
    if not name or "\0" in name:
        raise ValueError(f"{name!r} cannot be a PostgreSQL identifier")
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """A string literal, whatever ``standard_conforming_strings`` says.

    Raises:
        ValueError: the text holds U+0000.
    """
    if "\0" in text:
        raise ValueError("a PostgreSQL string cannot hold U+0000")
    quoted = "'" + text.replace("'", "''") + "'"
    return "E" + quoted.replace("\\", "\\\\") if "\\" in text else quoted


def qualified(schema: str, name: str) -> str:
    """``"schema"."name"``."""
    return f"{quote_ident(schema)}.{quote_ident(name)}"
