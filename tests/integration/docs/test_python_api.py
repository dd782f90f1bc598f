"""The examples of docs/python-api.md run as they are printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

PAGE = Path(__file__).parents[3] / "docs" / "python-api.md"


def test_the_examples_run(source_db, target_db, tmp_path, monkeypatch, capsys):
    source_db.execute_script("CREATE TABLE dbo.Items (Id int NOT NULL PRIMARY KEY)")
    source_db.execute_script("INSERT INTO dbo.Items VALUES (1), (2)")
    server = source_db.server
    config = {
        "source": {
            "type": "mssql", "host": server.host, "port": server.port, "database": source_db.name,
            "user": server.user, "password": server.password, "encrypt": server.encrypt, "trust_server_cert": True,
        },
        "target": {
            "type": "postgres", "host": target_db.host, "port": target_db.port, "database": target_db.name,
            "user": target_db.user, "password": target_db.password, "ssl_mode": "prefer",
        },
    }  # fmt: skip
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 4
    space: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), space)
    shown = capsys.readouterr().out
    assert "completed 2 rows" in shown
    assert "RunFinished(" in shown, "the iterator ends with the run"
    assert (tmp_path / "report.html").stat().st_size > 5000
    assert "Migration report" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["plan", "run", "resume", "validate", "health_check", "cancel"])
def test_every_method_is_described(name):
    from mssql_pg_migrate import Migration

    assert callable(getattr(Migration, name))
    assert f"`{name}(" in PAGE.read_text(encoding="utf-8")


def test_links_of_the_pages_lead_somewhere():
    docs = PAGE.parent
    for page in ("deployment", "troubleshooting", "security", "migrating-from", "python-api"):
        text = (docs / f"{page}.md").read_text(encoding="utf-8")
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
            assert (docs / link).exists(), f"{page}.md links to {link}"
