"""The generated pages of docs/ are up to date and say what they should."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from tools import docsgen

from mssql_pg_migrate.cli.app import program
from mssql_pg_migrate.config.load import sections
from mssql_pg_migrate.config.models import Config, HookSet
from mssql_pg_migrate.mapping.types import RULES

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("name", ["configuration.md", "cli.md", "types.md"])
def test_up_to_date(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == docsgen.pages(DOCS)[DOCS / name], "run: make docs"


def test_check_finds_a_stale_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = "<!-- type table -->\nstale table\n<!-- end of type table -->\n"
    (tmp_path / "types.md").write_text(f"# Types\n\n{table}\nrest\n")
    assert docsgen.main(["--check", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("is stale") == 3
    assert not (tmp_path / "cli.md").exists()
    assert docsgen.main([str(tmp_path)]) == 0
    assert docsgen.main(["--check", str(tmp_path)]) == 0
    text = (tmp_path / "types.md").read_text()
    assert "stale table" not in text
    assert text.endswith("<!-- end of type table -->\n\nrest\n")


def test_every_key_is_there() -> None:
    page = (DOCS / "configuration.md").read_text()
    for section in (*sections(Config).values(), HookSet):
        for name, field in section.model_fields.items():
            assert f"| `{field.alias or name}` |" in page
    assert "``" not in page.replace("```", "").replace("``* & ! % @ ` # | > { [``", "")


def test_every_command_and_option_is_there() -> None:
    page = (DOCS / "cli.md").read_text()
    for name, command in program.commands.items():
        assert f"\n## {name}\n" in page
        for parameter in command.params:
            if isinstance(parameter, click.Argument):  # said by the examples
                assert isinstance(parameter.type, click.Choice)
                assert all(f" {name} {choice}\n" in page for choice in parameter.type.choices)
            else:
                assert all(f"`{option}`" in page for option in parameter.opts)
    assert "\x08" not in page


def test_every_type_is_there() -> None:
    page = (DOCS / "types.md").read_text()
    for name in RULES:
        assert re.search(rf"^\| `{name}(\(.*\))?` \|", page, re.MULTILINE)


@pytest.mark.parametrize("name", ["configuration.md", "cli.md", "types.md"])
def test_tables_are_whole(name: str) -> None:
    """Every row of a table has as many cells as its heading."""
    expected = None
    for line in (DOCS / name).read_text().splitlines():
        if not line.startswith("|"):
            expected = None
            continue
        cells = len(re.findall(r"(?<!\\)\|", line))
        expected = expected or cells
        assert cells == expected, line
