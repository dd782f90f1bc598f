"""T-SQL text to sqlglot's syntax tree, with function calls left as they are written.

sqlglot's own T-SQL dialect turns many functions into general nodes on parsing (GETDATE and CURRENT_TIMESTAMP become
one, a style number disappears). Here names and arguments stay raw, so that their exact T-SQL meaning can be looked up
and a new sqlglot release cannot change it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any


class Untranslatable(Exception):
    """An expression has no PostgreSQL form of the same meaning; the text says why, as the end of a sentence."""


@contextmanager
def bounded_depth() -> Iterator[None]:
    """Raise Untranslatable where an expression is nested deeper than Python's stack allows."""
    try:
        yield
    except RecursionError as error:
        raise Untranslatable("it is nested too deeply") from error


_MONEY = re.compile(r"(?<![\w\]\"'.])\$(\d+(?:\.\d*)?|\.\d+)")
_KEPT_PARSERS = ("CAST", "CONVERT", "TRY_CAST", "TRY_CONVERT", "STRING_AGG", "TRIM")


@lru_cache(maxsize=1)
def _dialect() -> type[Any]:
    import logging

    from sqlglot.dialects.tsql import TSQL
    from sqlglot.tokens import TokenType  # type: ignore[attr-defined]

    class RawTSQL(TSQL):
        """T-SQL whose parser gives no function a meaning, and tells real from float."""

        class Tokenizer(TSQL.Tokenizer):
            KEYWORDS = {**TSQL.Tokenizer.KEYWORDS, "REAL": TokenType.UDOUBLE}  # noqa: RUF012

        class Parser(TSQL.Parser):  # type: ignore[misc, valid-type]
            FUNCTIONS: dict[str, Any] = {}  # noqa: RUF012
            FUNCTION_PARSERS = {  # noqa: RUF012
                name: parser for name, parser in TSQL.Parser.FUNCTION_PARSERS.items() if name in _KEPT_PARSERS
            }

    logging.getLogger("sqlglot").setLevel(logging.ERROR)  # what it cannot parse is said in the plan
    return RawTSQL


def parse_expression(text: str) -> Any:
    """One scalar expression or condition.

    Raises:
        Untranslatable: it cannot be parsed.
    """
    return _parse(_without_check_keyword(_money_as_cast(text)))


def parse_view(text: str) -> Any:
    """A CREATE VIEW statement."""
    return _parse(text)


def _parse(text: str) -> Any:
    from sqlglot import parse
    from sqlglot.errors import SqlglotError

    try:
        statements = [statement for statement in parse(text, dialect=_dialect()) if statement is not None]
    except (SqlglotError, RecursionError) as error:
        raise Untranslatable("the expression cannot be parsed") from error
    if len(statements) != 1:
        raise Untranslatable("the expression cannot be parsed")
    return statements[0]


def _money_as_cast(text: str) -> str:
    """``$12.5`` is a money literal; a quote before it would make it part of a string, which the pattern looks for."""
    if "$" not in text:
        return text
    parts = re.split(r"('(?:[^']|'')*'|\[(?:[^\]]|\]\])*\]|\"(?:[^\"]|\"\")*\")", text)
    return "".join(part if index % 2 else _MONEY.sub(r"CAST(\1 AS money)", part) for index, part in enumerate(parts))


def _without_check_keyword(text: str) -> str:
    match = re.match(r"\s*CHECK\s*(?=\()", text, re.IGNORECASE)
    return text[match.end() :] if match else text
