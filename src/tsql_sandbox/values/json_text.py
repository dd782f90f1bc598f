"""JSON in text, as JSON_VALUE, JSON_QUERY and ISJSON read it.

Microsoft's pages: "JSON_VALUE", "JSON_QUERY", "ISJSON", "JSON Path Expressions". The text is read from its beginning:
of several properties of one name the first counts, and what is wrong behind the value that is found does not matter.
"""

from __future__ import annotations

import re

from ..errors import SqlError, Unsupported

_SPACE = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?")
_WORD = re.compile(r"true|false|null")
_ESCAPED = re.compile(r"\\(u[0-9a-fA-F]{4}|.)")
_SIMPLE = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_STEP = re.compile(r'\.(?:"((?:[^"\\]|\\.)*)"|([A-Za-z_][A-Za-z0-9_]*))|\[(\d+)\]')
_MODE = re.compile(r"\s*(?:(lax|strict)\s+)?\$")
MAX_DEPTH = 128
LONGEST = 4000


class _Text:
    def __init__(self, text: str) -> None:
        self.text = text

    def wrong(self, position: int) -> SqlError:
        shown = self.text[position] if position < len(self.text) else "."
        message = (
            f"JSON text is not properly formatted. Unexpected character '{shown}' is found at position {position}."
        )
        return SqlError(13609, message)

    def skip(self, position: int) -> int:
        match = _SPACE.match(self.text, position)
        return match.end() if match else position

    def at(self, position: int) -> str:
        return self.text[position] if position < len(self.text) else ""

    def match(self, pattern: re.Pattern[str], position: int) -> int:
        found = pattern.match(self.text, position)
        if found is None:
            raise self.wrong(position)
        return found.end()

    def scalar(self, position: int) -> int:
        first = self.at(position)
        pattern = _STRING if first == '"' else _WORD if first in "tfn" and first else _NUMBER
        return self.match(pattern, position)

    def value(self, position: int, depth: int = 0) -> int:
        """The end of the value that begins here."""
        if self.at(position) not in ("{", "["):
            return self.scalar(position)
        if depth > MAX_DEPTH:
            raise Unsupported("JSON that is nested deeper than 128 levels")
        end, _ = self.members(position, None, depth)
        return end

    def members(self, position: int, wanted: str | int | None, depth: int = 0) -> tuple[int, int | None]:
        """Go through an object or array; ends early, with its position, at the member that is wanted."""
        closing = "}" if self.at(position) == "{" else "]"
        position = self.skip(position + 1)
        index = 0
        if self.at(position) == closing:
            return position + 1, None
        while True:
            name: str | int = index
            if closing == "}":
                end = self.match(_STRING, position)
                name = unescaped(self.text[position:end])
                position = self.skip(end)
                if self.at(position) != ":":
                    raise self.wrong(position)
                position = self.skip(position + 1)
            if wanted is not None and name == wanted:
                return position, position
            position = self.skip(self.value(position, depth + 1))
            if self.at(position) == closing:
                return position + 1, None
            if self.at(position) != ",":
                raise self.wrong(position)
            position = self.skip(position + 1)
            index += 1


def unescaped(literal: str) -> str:
    """A JSON string with its quotes as the text it stands for; halves of surrogate pairs come together."""
    inner = literal[1:-1]
    if "\\" not in inner:
        return inner
    text = _ESCAPED.sub(_character, inner)
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _character(match: re.Match[str]) -> str:
    what = match.group(1)
    return chr(int(what[1:], 16)) if what[0] == "u" else _SIMPLE.get(what, what)


def _steps(path: str) -> tuple[bool, list[str | int]]:
    """A path as (strict, its steps)."""
    mode = _MODE.match(path)
    position = mode.end() if mode else 0
    steps: list[str | int] = []
    while mode is not None and position < len(path):
        step = _STEP.match(path, position)
        if step is None:
            break
        quoted, plain, index = step.groups()
        steps.append(int(index) if index is not None else plain if plain is not None else unescaped(f'"{quoted}"'))
        position = step.end()
    if mode is None or position < len(path):
        shown = path[position] if position < len(path) else "."
        message = (
            f"JSON path is not properly formatted. Unexpected character '{shown}' is found at position {position}."
        )
        raise SqlError(13607, message)
    return mode.group(1) == "strict", steps


def _find(text: str, steps: list[str | int]) -> tuple[str | None, _Text]:
    """The text of the value a path leads to, None where there is none (the whole text is right then)."""
    source = _Text(text)
    position = source.skip(0)
    if source.at(position) not in ("{", "["):
        raise source.wrong(position)
    for step in steps:
        opening = source.at(position)
        fits = opening == ("[" if isinstance(step, int) else "{")
        found = source.members(position, step)[1] if fits else None
        if found is None:
            _whole(source)
            return None, source
        position = found
    return text[position : source.value(position)], source


def _whole(source: _Text) -> None:
    end = source.skip(source.value(source.skip(0)))
    if end < len(source.text):
        raise source.wrong(end)


def json_value(text: str, path: str) -> str | None:
    """JSON_VALUE: the scalar at a path.

    Raises:
        SqlError: 13609 the text is not JSON, 13607 the path is none; of a strict path also 13608, 13623 and 13625.
    """
    strict, steps = _steps(path)
    found, _ = _find(text, steps)
    if found is None:
        if strict:
            raise SqlError(13608, "Property cannot be found on the specified JSON path.")
        return None
    if found[0] in "{[":
        if strict:
            raise SqlError(13623, "Scalar value cannot be found in the specified JSON path.")
        return None
    value = unescaped(found) if found[0] == '"' else None if found == "null" else found
    if value is not None and len(value.encode("utf-16-le", "surrogatepass")) > 2 * LONGEST:
        if strict:
            raise SqlError(13625, "String value in the specified JSON path would be truncated.")
        return None
    return value


def json_query(text: str, path: str) -> str | None:
    """JSON_QUERY: the object or array at a path, as it is written.

    Raises:
        SqlError: 13609 the text is not JSON, 13607 the path is none; of a strict path also 13608 and 13624.
    """
    strict, steps = _steps(path)
    found, _ = _find(text, steps)
    if found is not None and found[0] in "{[":
        return found
    if strict and found is None:
        raise SqlError(13608, "Property cannot be found on the specified JSON path.")
    if strict:
        raise SqlError(13624, "Object or array cannot be found in the specified JSON path.")
    return None


def is_json(text: str) -> bool:
    """ISJSON: whether a text is an object or an array."""
    source = _Text(text)
    try:
        if source.at(source.skip(0)) not in ("{", "["):
            return False
        _whole(source)
    except SqlError as error:
        if isinstance(error, Unsupported):
            raise
        return False
    return True
