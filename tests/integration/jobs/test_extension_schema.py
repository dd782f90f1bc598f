"""Types of extensions that live in a schema of their own, off the search path, as managed servers have them."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from running import Tool, assert_equal_rows
from servers import MssqlDatabase, PgDatabase

SCRIPT = """
CREATE TABLE dbo.people (name nvarchar(40) COLLATE Latin1_General_CI_AS NOT NULL CONSTRAINT pk_people PRIMARY KEY,
    kind char(3) COLLATE Latin1_General_CI_AS NULL CONSTRAINT ck_kind CHECK (kind <> 'bad') DEFAULT 'abc')
GO
CREATE VIEW dbo.annas AS SELECT name FROM dbo.people WHERE name = 'ANNA'
GO
INSERT INTO dbo.people VALUES (N'Anna', 'x'), (N'Bob', NULL)
"""


@pytest.fixture
def elsewhere(target_db: PgDatabase) -> PgDatabase:
    try:
        target_db.execute("CREATE SCHEMA extensions; CREATE EXTENSION citext SCHEMA extensions")
    except psycopg.Error as error:
        pytest.skip(f"no citext here: {error}")
    return target_db


def test_citext_in_a_schema_off_the_search_path(
    source_db: MssqlDatabase, elsewhere: PgDatabase, tmp_path: Path
) -> None:
    source_db.execute_script(SCRIPT)
    tool = Tool(tmp_path, source_db, elsewhere, collation="citext", create_views=True)
    tool.result("run")
    assert_equal_rows(source_db, elsewhere, ["people"])
    declared = elsewhere.execute(
        "SELECT DISTINCT atttypid::regtype::text FROM pg_attribute WHERE attrelid = 'people'::regclass AND attnum > 0"
    )
    assert declared == [("extensions.citext",)]
    assert elsewhere.execute("SELECT name::text FROM annas") == [("Anna",)], "compared as the source does"
    with pytest.raises(psycopg.errors.UniqueViolation):
        elsewhere.execute("INSERT INTO people VALUES ('ANNA')")
    tool.state.unlink()

    source_db.execute_script("UPDATE dbo.people SET kind = 'new' WHERE name = N'anna'")
    tool.data["migration"]["target_mode"] = "upsert"
    tool.write()
    tool.result("run")
    assert elsewhere.execute("SELECT name::text, rtrim(kind::text) FROM people ORDER BY 1") == [
        ("Anna", "new"),
        ("Bob", None),
    ]
    assert tool.result("validate", "--checksum")["status"] == "completed"


def test_printed_ddl_names_the_schema_of_the_type(
    source_db: MssqlDatabase, elsewhere: PgDatabase, tmp_path: Path
) -> None:
    source_db.execute_script(SCRIPT)
    tool = Tool(tmp_path, source_db, elsewhere, collation="citext")
    printed = tool.run("schema").stdout
    assert '"name" "extensions".citext NOT NULL' in printed


def test_a_type_out_of_the_users_reach_is_told_by_the_plan(
    source_db: MssqlDatabase, elsewhere: PgDatabase, tmp_path: Path
) -> None:
    source_db.execute_script(SCRIPT)
    role = f"{elsewhere.name}_role"
    elsewhere.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'p'; GRANT ALL ON SCHEMA public TO {role}")
    elsewhere.execute(f"GRANT TEMPORARY ON DATABASE {elsewhere.name} TO {role}")
    tool = Tool(tmp_path, source_db, elsewhere, collation="citext")
    tool.data["target"] |= {"user": role, "password": "p"}
    tool.write()
    try:
        refused = tool.run("plan")
        assert "permission denied for schema extensions" in refused.stdout + refused.stderr
        assert "dbo.people" in refused.stdout + refused.stderr
        assert elsewhere.execute("SELECT 1 FROM pg_class WHERE relname = 'people'") == []
    finally:
        elsewhere.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
