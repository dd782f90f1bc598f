"""SQL hooks: statements the user wants run on the target at fixed moments."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationInfo

from .keys import resolve

_LITERAL = re.compile(r"'(?:[^'\\]|\\.|'')*(?:'|\Z)|(\$(?:[^\W\d]\w*)?\$).*?(?:\1|\Z)", re.DOTALL)
"""A quoted text, or a dollar-quoted one."""
_WANTED = "must be SQL text, the path of a .sql file, or a list of these"


def without_literals(text: str) -> str:
    """SQL, or what a server quotes of it, with ``'...'`` in place of each literal: one may hold a password."""
    return _LITERAL.sub("'...'", text)


@dataclass(frozen=True, slots=True)
class Hook:
    """One hook: SQL text (may hold several statements), or the file that holds it."""

    sql: str | None = None
    file: str | None = None

    @property
    def label(self) -> str:
        """The file, or the beginning of the SQL without its literals, for logs and errors."""
        if self.file is not None:
            return self.file
        line = " ".join(without_literals(self.sql or "").split())
        return line if len(line) <= 60 else f"{line[:57]}..."

    def text(self) -> str:
        """The SQL. Raises OSError when the file has gone since the configuration was checked."""
        return self.sql if self.sql is not None else Path(self.file or "").read_text(encoding="utf-8-sig")


def parse_hooks(value: Any, info: ValidationInfo) -> tuple[Hook, ...]:
    """One text or a list of texts -> hooks. Raises ValueError."""
    if value is None:
        return ()
    items = [value] if isinstance(value, (str, Hook)) else value
    if not isinstance(items, (list, tuple)):
        raise ValueError(_WANTED)  # noqa: TRY004 - pydantic collects ValueError only
    return tuple(_hook(item, info) for item in items)


def _hook(item: Any, info: ValidationInfo) -> Hook:
    if isinstance(item, Hook):
        return item
    if not isinstance(item, str) or not item.strip():
        raise ValueError(_WANTED)
    text = item.strip()
    if text.lower().endswith(".sql") and "\n" not in text and ";" not in text:
        path = resolve(text, info)
        if not path.is_file():
            raise ValueError(f"there is no file {path}")
        return Hook(file=str(path))
    return Hook(sql=item)
