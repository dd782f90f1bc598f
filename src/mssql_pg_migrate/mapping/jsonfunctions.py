"""T-SQL's functions over JSON text, by PostgreSQL's json operators (IS JSON: PostgreSQL 16).

PostgreSQL reads a document whole: one with ``\\u0000`` or half a surrogate pair anywhere is an error to it, and of two
members of one name it takes the last, where SQL Server reads as far as it must and takes the first. IS JSON WITH
UNIQUE KEYS is false for all of these, so the rules give NULL there instead of failing, and say so.
"""

from __future__ import annotations

import re
from typing import Any

from .rules import Place, Rule, UnfitArguments, expect, text_argument
from .values import INT, Value, varchar


def _need_is_json(place: Place) -> None:
    if not place.abilities.is_json:
        raise UnfitArguments("needs IS JSON, which came with PostgreSQL 16")


def _isjson(place: Place, arguments: list[Any]) -> Value:
    expect(arguments, 1)
    value = text_argument(place, arguments[0])
    _need_is_json(place)
    text = value.text
    return value.derived(
        f"CASE WHEN {text} IS JSON OBJECT OR {text} IS JSON ARRAY THEN 1 WHEN {text} IS NOT NULL THEN 0 END", INT
    )


def _path(node: Any) -> list[str]:
    """``$.a.b`` or ``$.a[0]`` as the elements of a PostgreSQL text[]; empty for the whole document."""
    path = node.literal if isinstance(node, Value) else None
    if not isinstance(path, str) or not re.fullmatch(r"(lax\s+)?\$((\.[A-Za-z_]\w*)|(\[\d+\]))*", path):
        raise UnfitArguments("with a path that is not a plain chain of names is not translated")
    steps = re.findall(r"\.([A-Za-z_]\w*)|\[(\d+)\]", path)
    return [name or index for name, index in steps]


def _at(value: Value, path: list[str], operator: str = "#>") -> str:
    return f"({value.text}::json {operator} '{{{','.join(path)}}}')"


def _through_arrays(value: Value, path: list[str]) -> str:
    """What ``[0]`` is taken of must be an array: to PostgreSQL it is the member "0" of an object, too."""
    above = [path[:position] for position, step in enumerate(path) if step.isdigit()]
    return "".join(f"json_typeof{_at(value, steps)} = 'array' AND " for steps in above)


def _guarded(place: Place, value: Value, sql: str) -> str:
    """NULL for text that PostgreSQL does not read as the source does.

    For text that is no JSON, too: SQL Server computes such a column only when it is read, PostgreSQL when a row comes
    in, which one bad text must not prevent.
    """
    _need_is_json(place)
    place.remark(
        "NULL for a JSON document that has two members of one name, \\u0000 or half a surrogate pair anywhere:"
        " PostgreSQL does not read these as the source does"
    )
    return f"CASE WHEN {value.text} IS JSON WITH UNIQUE KEYS THEN {sql} END"


def _json_value(place: Place, arguments: list[Any]) -> Value:
    """A scalar as text; NULL where the path leads to an object, an array, nothing, or more than 4000 characters."""
    expect(arguments, 2)
    value, path = text_argument(place, arguments[0]), _path(place.value(arguments[1]))
    found, arrays = _at(value, path, "#>>"), _through_arrays(value, path)
    scalar = f"json_typeof{_at(value, path)} NOT IN ('object', 'array')"
    inner = f"CASE WHEN {arrays}{scalar} AND length({found}) <= 4000 THEN {found} END"
    return value.derived(_guarded(place, value, inner), varchar(4000, unicode=True, collation=value.type.collation))


def _json_query(place: Place, arguments: list[Any]) -> Value:
    """An object or array as it is written; NULL for scalars. Without a path, or with ``$``, the text itself."""
    expect(arguments, 1, 2)
    value = text_argument(place, arguments[0])
    path = _path(place.value(arguments[1])) if len(arguments) == 2 else []
    target = varchar(-1, unicode=True, collation=value.type.collation)
    if not path:
        _need_is_json(place)
        text = value.text
        return value.derived(f"CASE WHEN {text} IS JSON OBJECT OR {text} IS JSON ARRAY THEN {text} END", target)
    at, arrays = _at(value, path), _through_arrays(value, path)
    inner = f"CASE WHEN {arrays}json_typeof{at} IN ('object', 'array') THEN {at}::text END"
    return value.derived(_guarded(place, value, inner), target)


JSON_RULES: dict[str, Rule] = {
    "isjson": _isjson,
    "json_value": _json_value,
    "json_query": _json_query,
}
