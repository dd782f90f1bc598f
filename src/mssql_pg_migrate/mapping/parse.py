"""T-SQL text to sqlglot's syntax tree, with function calls left as they are written.

sqlglot's own T-SQL dialect turns many functions into general nodes on parsing (GETDATE and CURRENT_TIMESTAMP become
one, a style number disappears). Here names and arguments stay raw, so that their exact T-SQL meaning can be looked up
and a new sqlglot release cannot change it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any


class Untranslatable(Exception):
    """An expression has no PostgreSQL form of the same meaning; the text says why, as the end of a sentence."""

    where: str | None = None
    """The T-SQL of the innermost expression it is about, where a query has many."""

    def located(self) -> str:
        """The text with that expression, unless it names what it is about: it calls, reads or refers to something."""
        text = str(self)
        if self.where is None or self.where in text or text.startswith("it "):
            return text
        return f"{text}: {self.where}"


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


@lru_cache(maxsize=4096)
def parse_expression(text: str) -> Any:
    """One scalar expression or condition. The tree is shared between equal texts: do not change it.

    Raises:
        Untranslatable: it cannot be parsed.
    """
    return _parse(_unlimited_text_casts(_arrays_as_lists(_without_check_keyword(_money_as_cast(text)))))


def parse_view(text: str) -> Any:
    """A CREATE VIEW statement.

    Raises:
        Untranslatable: it cannot be parsed.
    """
    return _parse(_money_as_cast(text))


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
    return _outside_quotes(text, lambda part: _MONEY.sub(r"CAST(\1 AS money)", part)) if "$" in text else text


def _unlimited_text_casts(text: str) -> str:
    """``x::varchar`` is PostgreSQL's notation, where it has no limit; T-SQL's CAST without a length means 30."""
    if "::" not in text:
        return text
    return _outside_quotes(text, lambda part: _TEXT_CAST.sub("::nvarchar(max)", part))


_TEXT_CAST = re.compile(r"::\s*(character varying|n?varchar|text|bpchar)\b(?!\s*\()", re.IGNORECASE)
_QUOTED = re.compile(r"('(?:[^']|'')*'|\[(?:[^\]]|\]\])*\]|\"(?:[^\"]|\"\")*\")")


def _outside_quotes(text: str, change: Callable[[str], str]) -> str:
    return "".join(part if index % 2 else change(part) for index, part in enumerate(_QUOTED.split(text)))


_ANY_ARRAY = re.compile(r"=\s*ANY\s*\(\s*\(?\s*ARRAY\s*\[", re.IGNORECASE)
_ARRAY_END = re.compile(r"\](?:\s*\)?\s*::[\w\s.\"]+\[\])?\s*\)")


def _arrays_as_lists(text: str) -> str:
    """``x = ANY (ARRAY['a', 'b'])``, as servers that are PostgreSQL inside show IN lists, written as IN again."""
    start = _ANY_ARRAY.search(text)
    if start is None:
        return text
    depth, position, quoted = 1, start.end(), False
    while position < len(text) and depth:
        char = text[position]
        if char == "'":
            quoted = not quoted
        elif not quoted:
            depth += {"[": 1, "]": -1}.get(char, 0)
        position += 1
    end = _ARRAY_END.match(text, position - 1)
    if end is None:
        return text
    inner = text[start.end() : position - 1]
    return f"{text[: start.start()]}IN ({inner}){_arrays_as_lists(text[end.end() :])}"


def _without_check_keyword(text: str) -> str:
    match = re.match(r"\s*CHECK\s*(?=\()", text, re.IGNORECASE)
    return text[match.end() :] if match else text
