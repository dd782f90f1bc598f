"""LIKE: random patterns match the same texts in PostgreSQL as T-SQL's rules say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mssql_pg_migrate.model import Check
from schema_samples import BIN, CI, CS, catalog, column, mapped, only_table, table
from servers import PgDatabase, PgServer

_LETTERS = "abcABZ019 -^%_[]\\.*+(é"


@pytest.fixture(scope="module")
def target(pg: PgServer) -> Iterator[psycopg.Connection[Any]]:
    """A connection to a database of the module's own."""
    database: PgDatabase = pg.new_database()
    with database.connect() as connection:
        yield connection
    database.drop()


def _elements(pattern: str) -> list[tuple[str, Any]] | None:
    """T-SQL's reading of a pattern; None where a class is unfinished or empty."""
    found: list[tuple[str, Any]] = []
    position = 0
    while position < len(pattern):
        char = pattern[position]
        position += 1
        if char in "%_":
            found.append((char, None))
        elif char != "[":
            found.append(("=", char))
        else:
            end = pattern.find("]", position)
            if end < 0:
                return None
            body = pattern[position:end]
            position = end + 1
            negated = body.startswith("^")
            members: set[str] = set()
            body = body[1:] if negated else body
            if not body:
                return None
            index = 0
            while index < len(body):
                if index + 2 < len(body) and body[index + 1] == "-":
                    members |= {chr(code) for code in range(ord(body[index]), ord(body[index + 2]) + 1)}
                    index += 3
                else:
                    members.add(body[index])
                    index += 1
            found.append(("^" if negated else "[", members))
    return found


def _matches(elements: list[tuple[str, Any]], text: str) -> bool:
    if not elements:
        return not text
    (kind, item), rest = elements[0], elements[1:]
    if kind == "%":
        return any(_matches(rest, text[start:]) for start in range(len(text) + 1))
    if not text:
        return False
    fits = kind == "_" or (kind == "=" and text[0] == item) or (kind == "[" and text[0] in item)
    fits = fits or (kind == "^" and text[0] not in item)
    return fits and _matches(rest, text[1:])


def _folded(elements: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    return [
        (kind, {char.lower() for char in item} if isinstance(item, set) else item and item.lower())
        for kind, item in elements
    ]


def _tsql_like(pattern: str, text: str, *, ignore_case: bool, unicode: bool) -> bool | None:
    elements = _elements(pattern)
    if elements is None:
        return None
    if ignore_case:
        elements, text = _folded(elements), text.lower()
    if unicode:
        return _matches(elements, text)
    ends = range(len(text.rstrip(" ")), len(text) + 1)
    return any(_matches(elements, text[:end]) for end in ends)


_CLASSES = st.sampled_from(
    ["[0-9]", "[a-c]", "[A-C]", "[^0-9]", "[^a]", "[abc]", "[%]", "[_]", "[[]", "[-a]", "[a-]", "[.*]"]
)
_PATTERNS = st.lists(st.one_of(st.sampled_from([*_LETTERS.replace("[", ""), "%", "_"]), _CLASSES), max_size=6).map(
    "".join
)
_TEXTS = st.text(st.sampled_from(_LETTERS), max_size=6)


@pytest.mark.parametrize(("declared", "collation"), [("varchar(20)", BIN), ("nvarchar(20)", BIN), ("varchar(20)", CI),
                                                     ("nvarchar(20)", CI), ("varchar(20)", CS)])  # fmt: skip
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pattern=_PATTERNS, texts=st.lists(_TEXTS, min_size=1, max_size=8))
def test_like(target: psycopg.Connection[Any], declared: str, collation: str, pattern: str, texts: list[str]) -> None:
    quoted = pattern.replace("'", "''")
    source = catalog(
        table("T", column("v", declared, collation=collation), checks=(Check("CK", f"([v] like '{quoted}')"),))
    )
    checks = only_table(mapped(source)).checks
    if not checks:
        return  # refused by name: always allowed
    condition = checks[0].expression_sql.replace("%", "%%")
    cast = f"SELECT v, ({condition}) FROM unnest(%s::text[]) AS v"
    unicode, ignore_case = declared.startswith("n"), collation == CI
    for text, found in target.execute(cast.encode(), (texts,)):
        expected = _tsql_like(pattern, text, ignore_case=ignore_case, unicode=unicode)
        assert found == expected, (pattern, text, checks[0].expression_sql)
