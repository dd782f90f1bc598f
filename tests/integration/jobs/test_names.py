"""Names that PostgreSQL makes by itself, and names the target already has: all arrive, none collides."""

from __future__ import annotations

from pathlib import Path

from running import Tool, assert_equal_rows
from servers import MssqlDatabase, PgDatabase

COLLIDING = """
CREATE TABLE dbo.[order] (item_id numeric(18,0) IDENTITY PRIMARY KEY, v int)
CREATE TABLE dbo.order_item (id numeric(18,0) IDENTITY(5000,1) PRIMARY KEY, v int)
CREATE TABLE dbo.a (id int IDENTITY PRIMARY KEY, v int)
CREATE TABLE dbo.a_id_seq (id int PRIMARY KEY, v int)
CREATE TABLE dbo.b (id_x int IDENTITY(10,1) PRIMARY KEY, v int)
CREATE TABLE dbo.b_id (x bigint IDENTITY(70,10) PRIMARY KEY, v int)
CREATE TABLE dbo.c (id numeric(9,0) IDENTITY(3,1) CONSTRAINT c_id_seq1 PRIMARY KEY, v int)
CREATE SEQUENCE dbo.c_id_seq AS int START WITH 900
CREATE TABLE dbo._a (id int NOT NULL CONSTRAINT _a_pkey PRIMARY KEY, v int)
CREATE TABLE dbo.__a (id int NOT NULL CONSTRAINT _mpm_table PRIMARY KEY, v int)
CREATE TABLE dbo.d (id int NOT NULL, v int NOT NULL, CONSTRAINT d_id_not_null CHECK (id > 0),
    CONSTRAINT d_v_not_null1 UNIQUE (v), CONSTRAINT d_pkey PRIMARY KEY (id))
CREATE INDEX _mpm_run_pkey ON dbo.a (v)
CREATE INDEX b_pkey ON dbo.a (v)
CREATE INDEX a_id_seq ON dbo.b (v)
GO
INSERT INTO dbo.[order] (v) VALUES (1), (2)
INSERT INTO dbo.order_item (v) VALUES (1), (2), (3)
INSERT INTO dbo.a (v) VALUES (1), (2), (3)
INSERT INTO dbo.a_id_seq VALUES (1, 1)
INSERT INTO dbo.b (v) VALUES (1)
INSERT INTO dbo.b_id (v) VALUES (1), (2)
INSERT INTO dbo.c (v) VALUES (1)
INSERT INTO dbo._a VALUES (1, 1)
INSERT INTO dbo.__a VALUES (1, 1), (2, 2)
INSERT INTO dbo.d VALUES (1, 1)
"""
TABLES = ["order", "order_item", "a", "a_id_seq", "b", "b_id", "c", "_a", "__a", "d"]
NEXT = {"order": ("item_id", 3), "order_item": ("id", 5003), "a": ("id", 4), "b": ("id_x", 11), "b_id": ("x", 90),
        "c": ("id", 4)}  # fmt: skip


def assert_identities_go_on(target: PgDatabase, step: int = 0) -> None:
    for table, (column, following) in NEXT.items():
        sql = f"""INSERT INTO "{table}" (v) VALUES (99) RETURNING {column}"""
        expected = following + step * (10 if table == "b_id" else 1)
        assert target.execute(sql) == [(expected,)], table


def test_every_relation_and_every_identity_has_a_name_of_its_own(
    source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    source_db.execute_script(COLLIDING)
    tool = Tool(tmp_path, source_db, target_db)
    first = tool.result("run")
    assert_equal_rows(source_db, target_db, TABLES)
    assert_identities_go_on(target_db)
    assert target_db.execute("SELECT nextval('c_id_seq')") == [(900,)]
    renamed = [note for note in first["notes"] if "becomes" in str(note) and "identity" in str(note)]
    assert renamed, "a sequence that is not called as PostgreSQL would is named"
    found = target_db.execute("SELECT conrelid::regclass::text, conname FROM pg_constraint WHERE contype IN ('c', 'u')")
    assert {("d", "d_id_not_null"), ("d", "d_v_not_null1")} <= set(found)

    # The second run finds what the first one made, and uses the same names.
    names = target_db.execute("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1")
    tool.state.unlink()
    tool.result("run")
    assert_equal_rows(source_db, target_db, TABLES)
    assert_identities_go_on(target_db)
    again = target_db.execute("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1")
    assert again == names


def test_what_the_target_already_has_keeps_its_name(
    source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    source_db.execute_script(
        """
CREATE TABLE dbo.a (id int IDENTITY CONSTRAINT pk_a PRIMARY KEY, v int CONSTRAINT uq_a UNIQUE)
CREATE TABLE dbo.b (id numeric(9,0) IDENTITY CONSTRAINT pk_b PRIMARY KEY, v int)
CREATE SEQUENCE dbo.s AS int START WITH 40
CREATE SEQUENCE dbo.r AS int START WITH 50
CREATE INDEX ix_a ON dbo.a (v)
GO
CREATE VIEW dbo.w AS SELECT id FROM dbo.a
GO
INSERT INTO dbo.a (v) VALUES (1), (2)
INSERT INTO dbo.b (v) VALUES (1)
"""
    )
    target_db.execute(
        "CREATE TABLE a_id_seq (kept text); CREATE SEQUENCE b_id_seq START 7; CREATE TABLE keep (x int);"
        " CREATE INDEX ix_a ON keep (x); CREATE VIEW uq_a AS SELECT 1 AS one; CREATE TABLE w (kept text);"
        " CREATE TABLE t (s serial); ALTER SEQUENCE t_s_seq RENAME TO s; CREATE TABLE r (kept text)"
    )
    tool = Tool(tmp_path, source_db, target_db, create_views=True)
    for _ in range(2):
        tool.result("run")
        tool.state.unlink()
        assert_equal_rows(source_db, target_db, ["a", "b"])
        assert target_db.execute("INSERT INTO a (v) VALUES (9) RETURNING id") == [(3,)]
        assert target_db.execute("INSERT INTO b (v) VALUES (9) RETURNING id") == [(2,)]
        made = target_db.execute(
            "SELECT relkind::text, count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " AND relname ~ '_[0-9a-f]{8}$' GROUP BY 1 ORDER BY 1"
        )
        assert made == [("S", 4), ("i", 2), ("v", 1)]
    kept = "SELECT relkind::text FROM pg_class WHERE oid = to_regclass(%s)"
    assert [target_db.execute(kept, (name,))[0][0] for name in ("a_id_seq", "b_id_seq", "ix_a", "uq_a", "w", "r")] == [
        "r", "S", "i", "v", "r", "r",
    ]  # fmt: skip
    assert target_db.execute("SELECT nextval('b_id_seq')") == [(7,)]
    assert target_db.execute("INSERT INTO t DEFAULT VALUES RETURNING s") == [(1,)]
