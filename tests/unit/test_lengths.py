"""Functions are short and modules are of one subject; a long module says in its first lines why it is one."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src"
MODULES = sorted(SRC.rglob("*.py"))
MOST_LINES = 500
LONGEST_FUNCTION = 60
REASON = f"over {MOST_LINES} lines"
"""What the docstring of a longer module contains, with the reason: ``Over 500 lines, because ...``."""


def _too_long(text: str) -> list[str]:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [
        f"{node.name} has {length} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, functions) and (length := (node.end_lineno or 0) - node.lineno + 1) > LONGEST_FUNCTION
    ]


def _unexplained(text: str) -> bool:
    return text.count("\n") > MOST_LINES and REASON not in (ast.get_docstring(ast.parse(text)) or "").lower()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SRC)))
def test_lengths(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert _too_long(text) == []
    assert not _unexplained(text), f"split it, or begin its docstring's reason with: O{REASON[1:]}"


def test_what_is_too_long_is_found() -> None:
    body = "\n    pass" * LONGEST_FUNCTION
    assert _too_long(f"def f():{body}") == ["f has 61 lines"]
    assert _too_long(f"class C:\n  async def f():{body}") == ["f has 61 lines"]
    assert _too_long(f"def f():{body[9:]}") == []
    long = "\n" * (MOST_LINES + 1)
    assert _unexplained(long)
    assert not _unexplained(f'"""A table.\n\nOver 500 lines, because it is one table.\n"""{long}')
    assert not _unexplained("\n" * MOST_LINES)
