"""JSON on one line, made to survive shells.

Quotes, backslashes and control characters inside strings are written as ``\\uXXXX``. A shell's ``read`` and ``echo``
take backslashes away; what is left (``u0022``) is ugly but still valid JSON, while every real parser sees the exact
text.
"""

from __future__ import annotations

import json
import re
from typing import Any, TextIO

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|.)")
_LONG = {
    '"': "u0022",
    "\\": "u005c",
    "/": "u002f",
    "b": "u0008",
    "f": "u000c",
    "n": "u000a",
    "r": "u000d",
    "t": "u0009",
}


def one_line(value: Any) -> str:
    """The value as a single line of JSON, non-ASCII text as it is. ``value`` must be plain data."""
    text = json.dumps(_plain(value), ensure_ascii=False, separators=(", ", ": "), allow_nan=False, default=str)
    # Separators of lines that JSON allows in strings but line-oriented tools break at.
    text = text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").replace("\x85", "\\u0085")
    return _STRING.sub(lambda match: _ESCAPE.sub(_long_escape, match.group()), text)


def speak_utf8(stream: TextIO) -> None:
    """Let a stream that will carry JSON or SQL carry UTF-8, whatever the locale says (RFC 8259, section 8.1)."""
    reconfigure: Any = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(encoding="utf-8", errors="backslashreplace")


def _long_escape(match: re.Match[str]) -> str:
    escape = match.group()
    return escape if escape[1] == "u" else "\\" + _LONG[escape[1]]


def _plain(value: Any) -> Any:
    """Lone surrogates cannot be printed: replace them. Infinite numbers are not JSON: null."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if isinstance(value, dict):
        return {str(_plain(str(key))): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
