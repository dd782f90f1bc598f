"""The order of the packages: who may import whom."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src"
PRODUCT = "mssql_pg_migrate"
ENTRANCES = frozenset({PRODUCT, f"{PRODUCT}.__main__"})
"""What users import and run: it opens the doors to rooms further up."""


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


def room(module: str) -> str:
    """The package of the table that a module is in; ``plain`` for the data of the root."""
    parts = module.split(".")
    if parts[0] != PRODUCT:
        return parts[0]
    if len(parts) > 2 and (SRC / PRODUCT / parts[1] / parts[2]).is_dir():
        return "/".join(parts[1:3])
    if len(parts) > 1 and (SRC / PRODUCT / parts[1]).is_dir():
        return parts[1]
    return "plain"


@cache
def table() -> dict[str, frozenset[str]]:
    """``docs/architecture.md``: package -> the packages it may import."""
    text = (SRC.parent / "docs/architecture.md").read_text(encoding="utf-8")
    rows = text.partition("| package | may import |\n| --- | --- |\n")[2].partition("\n\n")[0].splitlines()
    found: dict[str, frozenset[str]] = {}
    for row in rows:
        names, allowed = (
            frozenset(word.strip("` ") for word in cell.split(",") if word.strip("` "))
            for cell in row.strip("|").split("|")
        )
        found.update(dict.fromkeys(names, allowed))
    return found


def circles(modules: Iterable[str]) -> list[list[str]]:
    """The groups of files that import each other in a circle (Tarjan's strongly connected components)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for other in imports()[module]:
            if other not in index:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], index[other])
        if low[module] == index[module]:
            group = stack[stack.index(module) :]
            del stack[-len(group) :]
            if len(group) > 1:
                found.append(sorted(group))

    for module in modules:
        if module not in index:
            visit(module)
    return found


def test_the_table_names_every_package_once() -> None:
    packages = {room(module) for module in FILES}
    assert set(table()) == packages
    assert set().union(*table().values()) <= packages


@pytest.mark.parametrize("package", sorted({room(module) for module in FILES}))
def test_imports_go_one_way(package: str) -> None:
    allowed = {package, *table()[package]}
    for module in FILES:
        if room(module) == package and module not in ENTRANCES:
            wrong = [name for name in imports()[module] if room(name) not in allowed]
            assert not wrong, f"{module} imports {wrong}"


def test_the_sandbox_uses_of_the_product_its_protocol_only() -> None:
    for module in FILES:
        if not module.startswith(PRODUCT):
            inside = [name for name in imports()[module] if name.startswith(PRODUCT)]
            assert all(name.startswith(f"{PRODUCT}.tds") for name in inside), f"{module} imports {inside}"


def test_no_file_imports_itself_by_a_detour() -> None:
    assert circles(FILES) == []


def _sandbox_floors() -> dict[str, frozenset[str]]:
    """The table in the sandbox's own page: floor -> the floors it may import."""
    text = (SRC / "tsql_sandbox/README.md").read_text(encoding="utf-8")
    rows = (
        text.partition("| floor | subject | may import |\n| --- | --- | --- |\n")[2].partition("\n\n")[0].splitlines()
    )
    found: dict[str, frozenset[str]] = {}
    for row in rows:
        names, _, allowed = (
            frozenset(word.strip("` ") for word in cell.split(",") if word.strip("` "))
            for cell in row.strip("|").split("|")
        )
        found.update({name: allowed | {name} for name in names})
    return found


def test_the_sandbox_keeps_its_floors() -> None:
    floors = _sandbox_floors()
    for module in FILES:
        floor, *_ = module.split(".")[1:] or [""]
        if module.startswith("tsql_sandbox.") and floor:
            below = {name.split(".")[1] for name in imports()[module] if name.startswith("tsql_sandbox.")}
            assert below <= floors[floor], f"{module} imports {below - floors[floor]}"


def test_only_the_factory_knows_the_kinds_of_sources() -> None:
    kinds = tuple(
        f"mssql_pg_migrate.source.{path.parent.name}"
        for path in (SRC / "mssql_pg_migrate/source").glob("*/__init__.py")
    )
    assert "mssql_pg_migrate.source.sqlserver" in kinds
    for module, imported in imports().items():
        if module.startswith(kinds) or module == f"{PRODUCT}.source.open":
            continue
        inside = [name for name in imported if name.startswith(kinds)]
        assert not inside, f"{module} goes past the seam: {inside}"
