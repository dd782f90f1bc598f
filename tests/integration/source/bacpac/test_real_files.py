"""Packages that SQL Server and Azure SQL wrote, from file to database (their folder: MSSQL_PG_MIGRATE_PACKAGES)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mssql_pg_migrate.source.bacpac.package import open_package
from servers import PgDatabase

_FOLDER = os.environ.get("MSSQL_PG_MIGRATE_PACKAGES")
PACKAGES = sorted(Path(_FOLDER).glob("*.bacpac")) if _FOLDER else []
pytestmark = [
    pytest.mark.skipif(not PACKAGES, reason="no packages (MSSQL_PG_MIGRATE_PACKAGES)"),
    pytest.mark.timeout(300),
]


@pytest.mark.parametrize("path", PACKAGES, ids=lambda path: path.name)
def test_from_file_to_database(path: Path, target_db: PgDatabase) -> None:
    """All rows that Origin.xml tells of arrive, equal to those of the package; the health check finds it whole."""
    url = f"postgresql://{target_db.user}@{target_db.host}:{target_db.port}/{target_db.name}"
    environment = {**os.environ, "PGPASSWORD": target_db.password}

    def tool(*arguments: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "mssql_pg_migrate", "--output-json", *arguments]
        command += ["--from", str(path), "--to", url]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=250, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    result = tool("run")
    rows = sum(table["rows_transferred"] for table in result["tables"])
    assert rows == open_package(str(path)).origin.rows
    assert tool("validate", "--checksum")["equal"]
    assert tool("health-check")["healthy"]
