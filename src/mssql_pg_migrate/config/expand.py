"""``${NAME}`` in configuration values: replaced on parsed scalars, so no character of a value can break the file.

Forms: ``${NAME}``; ``${NAME:-default}`` (used when NAME is unset or empty); ``${NAME-default}`` (only when unset). A
default may hold further variables. ``$${`` stands for a literal ``${``. A ``$`` that no ``{`` follows is itself, and
what a variable holds is taken as it is: it is not expanded again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class ExpansionError(ValueError):
    """A variable is unset or the notation is broken; the text never quotes the value it is about."""


def has_variables(text: str) -> bool:
    """Whether ``expand`` would change or refuse the text."""
    return "${" in text


def expand(text: str, environment: Mapping[str, str]) -> str:
    """The text with its variables replaced. Raises ExpansionError."""
    result, _ = _expand(text, 0, environment, nested=False, wanted=True)
    return result


def _expand(text: str, position: int, environment: Mapping[str, str], *, nested: bool, wanted: bool) -> tuple[str, int]:
    """Expand from ``position`` to the end of the text, or to the ``}`` that ends a default when ``nested``.

    A default that is not ``wanted`` is only skipped: its variables may be unset. Returns the result and the position
    after it.
    """
    parts: list[str] = []
    while position < len(text):
        if text.startswith("$${", position):
            parts.append("${")
            position += 3
        elif text.startswith("${", position):
            value, position = _variable(text, position + 2, environment, wanted=wanted)
            parts.append(value)
        elif nested and text[position] == "}":
            return "".join(parts), position
        else:
            parts.append(text[position])
            position += 1
    if nested:
        raise ExpansionError("'${' is not closed by '}' (write $${ for a literal ${)")
    return "".join(parts), position


def _variable(text: str, position: int, environment: Mapping[str, str], *, wanted: bool) -> tuple[str, int]:
    """One variable whose name starts at ``position``; returns its value and the position after its ``}``."""
    match = _NAME.match(text, position)
    if match is None:
        raise ExpansionError("'${' is not followed by a variable name (write $${ for a literal ${)")
    name = match.group()
    position = match.end()
    current = environment.get(name)
    if text.startswith("}", position):
        if current is None and wanted:
            raise ExpansionError(f"environment variable {name} is not set")
        return current or "", position + 1
    for mark, use_default in ((":-", not current), ("-", current is None)):
        if text.startswith(mark, position):
            default, end = _expand(text, position + len(mark), environment, nested=True, wanted=wanted and use_default)
            return (default if use_default else current or ""), end + 1
    if position >= len(text):
        raise ExpansionError("'${' is not closed by '}' (write $${ for a literal ${)")
    raise ExpansionError("a variable is written ${NAME} or ${NAME:-default} (write $${ for a literal ${)")
