"""Files that pages and comments name are there: a move that leaves a stale name behind is noticed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("src/*/README.md")])
PLACES = (ROOT, ROOT / "src" / "mssql_pg_migrate", ROOT / "src" / "tsql_sandbox")
NAME = re.compile(r"`([a-z_]+/[a-z_/*.]*[a-z_/](?:\.(?:py|c|h|sh))?)`")
"""``jobs/run.py``, ``tests/chaos/``: lower case, at least one folder."""
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_files_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    folders = {path.name for place in PLACES for path in place.iterdir() if path.is_dir()}
    named = [name for name in NAME.findall(text) if name.partition("/")[0] in folders]
    assert not [name for name in named if not any(_there(place, name) for place in PLACES)]


def _there(place: Path, name: str) -> bool:
    """Whether something is called so: ``transfer/context.open_reader`` is in context.py, ``values*.py`` a pattern."""
    return any(place.glob(name.rstrip("/"))) or (place / name).with_suffix(".py").exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert not [link for link in links if not (page.parent / link).exists()]
