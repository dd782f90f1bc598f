"""Functions are short and modules are of one subject; a long module says in its first lines why it is one."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"
MODULES = sorted(SRC.rglob("*.py"))
ROW_LOOP = "static int run_columns(tc *t)"
"""May have a few lines more: narrow rows were read 5 % slower when steps of it were functions of their own."""
C_FILES = sorted(path for place in (SRC, ROOT / "fuzz") for path in place.rglob("*.[ch]"))
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


def _too_long_in_c(text: str) -> list[str]:
    """Functions as they are laid out here: a brace alone in the first column opens and ends one."""
    found, begin = [], 0
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if line == "{":
            begin = number
        elif line == "}" and begin and number - begin + 2 > LONGEST_FUNCTION + 6 * (lines[begin - 1] == ROW_LOOP):
            found.append(f"{lines[begin - 1]} has {number - begin + 2} lines")
    return found


@pytest.mark.parametrize("path", C_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_lengths_in_c(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert _too_long_in_c(text) == []
    assert text.count("\n") <= MOST_LINES


def test_what_is_too_long_is_found() -> None:
    line = "    f();\n"
    assert _too_long_in_c("int f(void)\n{\n" + line * 58 + "}\n") == ["int f(void) has 61 lines"]
    assert _too_long_in_c("int f(void)\n{\n" + line * 57 + "}\n") == []
    body = "\n    pass" * LONGEST_FUNCTION
    assert _too_long(f"def f():{body}") == ["f has 61 lines"]
    assert _too_long(f"class C:\n  async def f():{body}") == ["f has 61 lines"]
    assert _too_long(f"def f():{body[9:]}") == []
    long = "\n" * (MOST_LINES + 1)
    assert _unexplained(long)
    assert not _unexplained(f'"""A table.\n\nOver 500 lines, because it is one table.\n"""{long}')
    assert not _unexplained("\n" * MOST_LINES)
