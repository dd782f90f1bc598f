"""MS_Description of everything that is created becomes a comment; what becomes none is counted by name."""

from __future__ import annotations

from pathlib import Path

from running import Tool
from servers import MssqlDatabase, PgDatabase

SCRIPT = """
CREATE SCHEMA sales
GO
CREATE TABLE sales.a (id int NOT NULL CONSTRAINT pk_a PRIMARY KEY, v int NULL CONSTRAINT df_v DEFAULT 1,
    CONSTRAINT uq_a UNIQUE (v), CONSTRAINT ck_a CHECK (v > 0), up int NULL CONSTRAINT fk_a REFERENCES sales.a (id))
CREATE INDEX ix_a ON sales.a (v)
CREATE SEQUENCE sales.s AS int START WITH 5
CREATE TYPE sales.lines AS TABLE (x int)
GO
CREATE VIEW sales.w AS SELECT id, v FROM sales.a
GO
CREATE PROCEDURE sales.p @x int AS SELECT @x
GO
"""
DESCRIBED = {
    "the database": "",
    "the schema": "'SCHEMA', 'sales'",
    "the table": "'SCHEMA', 'sales', 'TABLE', 'a'",
    "the column": "'SCHEMA', 'sales', 'TABLE', 'a', 'COLUMN', 'v'",
    "the key": "'SCHEMA', 'sales', 'TABLE', 'a', 'CONSTRAINT', 'pk_a'",
    "the key''s index": "'SCHEMA', 'sales', 'TABLE', 'a', 'INDEX', 'pk_a'",
    "the unique": "'SCHEMA', 'sales', 'TABLE', 'a', 'CONSTRAINT', 'uq_a'",
    "the check": "'SCHEMA', 'sales', 'TABLE', 'a', 'CONSTRAINT', 'ck_a'",
    "the reference": "'SCHEMA', 'sales', 'TABLE', 'a', 'CONSTRAINT', 'fk_a'",
    "the default": "'SCHEMA', 'sales', 'TABLE', 'a', 'CONSTRAINT', 'df_v'",
    "the index": "'SCHEMA', 'sales', 'TABLE', 'a', 'INDEX', 'ix_a'",
    "the sequence": "'SCHEMA', 'sales', 'SEQUENCE', 's'",
    "the view": "'SCHEMA', 'sales', 'VIEW', 'w'",
    "its column": "'SCHEMA', 'sales', 'VIEW', 'w', 'COLUMN', 'v'",
    "the procedure": "'SCHEMA', 'sales', 'PROCEDURE', 'p'",
}


def describe(source: MssqlDatabase) -> None:
    for text, place in DESCRIBED.items():
        levels = f", {place}" if place else ""
        source.execute_script(f"EXEC sp_addextendedproperty 'MS_Description', N'{text}'{levels}")
    for name in ("Description", "Caption"):
        source.execute_script(f"EXEC sp_addextendedproperty '{name}', N'x', {DESCRIBED['the table']}")
    source.execute_script(f"EXEC sp_addextendedproperty 'Description', N'x', {DESCRIBED['the column']}")


def comments(target: PgDatabase) -> set[str]:
    found = target.execute(
        "SELECT description FROM pg_description WHERE objoid >= 16384 UNION ALL"
        " SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"
    )
    return {text for (text,) in found if text is not None and text.startswith(("the ", "its "))}


def test_descriptions_become_comments_and_the_others_are_counted(
    source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    source_db.execute_script(SCRIPT)
    describe(source_db)
    tool = Tool(tmp_path, source_db, target_db, create_views=True)
    tool.data["source"]["schema"] = "*"
    tool.write()
    notes = tool.result("run")["notes"]
    created = {text.replace("''", "'") for text in DESCRIBED} - {"the default", "the procedure"}
    assert comments(target_db) == created
    where = target_db.execute(
        "SELECT obj_description('sales.ix_a'::regclass), obj_description('sales.s'::regclass),"
        " col_description('sales.w'::regclass, 2), obj_description('sales'::regnamespace)"
    )
    assert where == [("the index", "the sequence", "its column", "the schema")]
    (others,) = [note for note in notes if "extended properties other than" in note]
    assert others.endswith("Description (2), Caption (1)")
    (lost,) = [note for note in notes if "descriptions of what" in note]
    assert "defaults (1)" in lost
    assert "procedures (1)" in lost
    assert any("sales.lines: table type" in note for note in notes)


def test_descriptions_the_target_has_or_does_not_allow_stay_as_they_are(
    source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    source_db.execute_script(SCRIPT)
    describe(source_db)
    role = f"{target_db.name}_role"
    target_db.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'p'")
    target_db.execute(f"CREATE SCHEMA sales; GRANT ALL ON SCHEMA sales TO {role}")
    target_db.execute(f"COMMENT ON DATABASE {target_db.name} IS 'mine'")
    tool = Tool(tmp_path, source_db, target_db)
    tool.data["source"]["schema"] = "*"
    tool.data["target"] |= {"user": role, "password": "p"}
    tool.write()
    try:
        notes = tool.result("run")["notes"]
        assert any("has one of its own" in note for note in notes)
        assert any("sales: description of the schema" in note and "does not own" in note for note in notes)
        assert not {"the schema", "the database"} & comments(target_db)
        assert "the index" in comments(target_db)
    finally:
        target_db.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
