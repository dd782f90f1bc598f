"""A login with db_datareader only: all rows, and every definition it may not see is named, never made up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from running import Tool, assert_equal_rows
from servers import MssqlDatabase, PgDatabase

SCRIPT = """
CREATE TABLE dbo.f (id int NOT NULL CONSTRAINT pk_f PRIMARY KEY, email nvarchar(50) NULL,
    deleted bit NOT NULL CONSTRAINT df_deleted DEFAULT 0, n int NULL CONSTRAINT ck_n CHECK (n > 0),
    twice AS (n * 2), kept AS (n + 1) PERSISTED NOT NULL)
CREATE UNIQUE INDEX ux ON dbo.f (email) WHERE deleted = 0 AND email IS NOT NULL
CREATE INDEX ix ON dbo.f (n)
CREATE SEQUENCE dbo.s AS int START WITH 7
GO
CREATE VIEW dbo.v AS SELECT id FROM dbo.f
GO
INSERT INTO dbo.f (id, email, deleted, n) VALUES (1, N'a', 0, 1), (2, N'a', 1, 2), (3, NULL, 0, 3), (4, NULL, 0, 4)
"""


@pytest.fixture
def reader(source_db: MssqlDatabase) -> Iterator[tuple[MssqlDatabase, str, str]]:
    login, password = f"reader_{source_db.name}", "Few-Rights-1"
    source_db.execute_script(SCRIPT)
    source_db.server.execute_script(f"CREATE LOGIN {login} WITH PASSWORD = '{password}'")
    source_db.execute_script(f"CREATE USER {login} FOR LOGIN {login}\nGO\nALTER ROLE db_datareader ADD MEMBER {login}")
    yield source_db, login, password
    source_db.execute_script(f"DROP USER {login}")
    source_db.server.execute_script(f"DROP LOGIN {login}")


def test_what_a_login_may_not_see_is_named(
    reader: tuple[MssqlDatabase, str, str], target_db: PgDatabase, tmp_path: Path
) -> None:
    source, login, password = reader
    tool = Tool(tmp_path, source, target_db, create_views=True)
    tool.data["source"] |= {"user": login, "password": password}
    tool.write()
    hidden = {
        note["object"]: note["severity"]
        for note in tool.result("plan")["plan"]["notes"]
        if "not visible to the login" in note["message"]
    }
    expected = ("dbo.f.deleted", "dbo.f.twice", "dbo.f.kept", "dbo.f index ux", "dbo.f constraint ck_n", "dbo.v")
    assert {name: hidden.get(name) for name in expected} == dict.fromkeys(expected, "not_carried")
    notes = tool.result("run")["notes"]
    assert any("sees only a part of" in note and "VIEW DEFINITION" in note for note in notes)
    assert_equal_rows(source, target_db, ["f"])
    indexes = target_db.execute("SELECT indexname FROM pg_indexes WHERE tablename = 'f' ORDER BY 1")
    assert indexes == [("ix",), ("pk_f",)], "an index without its filter is another index"
    assert tool.result("validate", "--checksum")["status"] == "completed"

    tool.state.unlink()
    source.execute_script(f"GRANT VIEW DEFINITION TO {login}")
    notes = tool.result("run")["notes"]
    assert not any("visible to" in note for note in notes)
    assert target_db.execute("SELECT count(*) FROM pg_indexes WHERE indexname = 'ux'") == [(1,)]
