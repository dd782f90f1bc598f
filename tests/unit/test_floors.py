"""The order of the packages: who may import whom."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

SRC = Path(__file__).parents[2] / "src"


def _module(path: Path) -> str:
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {_module(path): path for path in SRC.rglob("*.py")}


def _imported(module: str) -> Iterator[str]:
    """Every module of this repository that a file imports, wherever in the file the statement is."""
    path = FILES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (item.name for item in node.names if item.name in FILES)
        elif isinstance(node, ast.ImportFrom):
            names = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*names, *([node.module] if node.module else [])])
            for item in node.names:
                found = f"{base}.{item.name}" if f"{base}.{item.name}" in FILES else base
                if found in FILES:
                    yield found


@cache
def imports() -> dict[str, frozenset[str]]:
    """Module -> the modules it imports."""
    return {module: frozenset(_imported(module)) - {module} for module in FILES}


def test_only_the_factory_knows_the_kinds_of_sources() -> None:
    kinds = tuple(
        f"mssql_pg_migrate.source.{path.parent.name}"
        for path in (SRC / "mssql_pg_migrate/source").glob("*/__init__.py")
    )
    assert "mssql_pg_migrate.source.sqlserver" in kinds
    for module, imported in imports().items():
        if module.startswith(kinds) or module == "mssql_pg_migrate.source.open":
            continue
        inside = [name for name in imported if name.startswith(kinds)]
        assert not inside, f"{module} goes past the seam: {inside}"
