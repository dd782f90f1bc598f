"""The three target modes as their users know them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from running import Tool, assert_equal_rows, no_ledger_left
from servers import MssqlDatabase, PgDatabase

SHOP = """
CREATE TABLE dbo.customers (id int IDENTITY(1,1) NOT NULL CONSTRAINT pk_customers PRIMARY KEY,
    name nvarchar(60) NOT NULL, parent int NULL CONSTRAINT fk_parent REFERENCES dbo.customers (id),
    rate float NULL, mail varchar(50) NULL CONSTRAINT uq_mail UNIQUE)
CREATE TABLE dbo.orders (id bigint NOT NULL CONSTRAINT pk_orders PRIMARY KEY, customer int NOT NULL
    CONSTRAINT fk_customer REFERENCES dbo.customers (id), note nvarchar(max) NULL, total decimal(12,2) NOT NULL
    CONSTRAINT ck_total CHECK (total >= 0))
CREATE INDEX ix_customer ON dbo.orders (customer)
GO
INSERT INTO dbo.customers (name, parent, rate, mail) VALUES (N'Ann', NULL, 0.5, 'ann@example.com'),
    (N'Bob', 1, NULL, NULL), (N'Zoë 🚀', 2, -1e300, 'zoe@example.com')
INSERT INTO dbo.orders VALUES (10, 1, N'first', 1.50), (11, 3, NULL, 0), (12, 2, N'', 99999.99)
"""
TABLES = ["customers", "orders"]


@pytest.fixture
def shop(source_db: MssqlDatabase) -> MssqlDatabase:
    source_db.execute_script(SHOP)
    return source_db


def run(tool: Tool, expect: int = 0) -> dict[str, Any]:
    return tool.result("run", expect=expect)


def test_drop_recreate_makes_tables_keys_and_sequences(
    shop: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    target_db.execute("CREATE TABLE customers (junk text); CREATE VIEW v AS SELECT junk FROM customers")
    tool = Tool(tmp_path, shop, target_db, include_tables=["customers", "orders", "order_lines"])
    done = tool.run("--output-json", "--verbosity", "warn", "run")
    document = json.loads(done.stdout)
    assert "WARN  customers: dropping it also drops view v" in done.stderr
    assert "WARN  include_tables: the pattern order_lines matches no table" in done.stderr
    assert document["rows_transferred"] == 6
    assert_equal_rows(shop, target_db, TABLES)
    assert target_db.execute("SELECT nextval(pg_get_serial_sequence('customers', 'id'))") == [(4,)]
    assert target_db.execute("SELECT 1 FROM pg_views WHERE viewname = 'v'") == []
    assert any("view" in note and "v" in note for note in document["notes"])
    assert no_ledger_left(target_db)


def test_what_a_dropped_table_takes_along_is_told_as_postgresql_tells_it(
    shop: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    target_db.execute(
        "CREATE SCHEMA other; CREATE TABLE customers (id serial PRIMARY KEY, up int REFERENCES customers (id), n int"
        " CHECK (n > 0)); CREATE INDEX ON customers (n); CREATE VIEW first AS SELECT * FROM customers;"
        " CREATE VIEW other.second AS SELECT id FROM first;"
        " CREATE MATERIALIZED VIEW third AS SELECT id FROM other.second;"
        " CREATE INDEX ON third (id); CREATE TABLE child (x int) INHERITS (customers);"
        " CREATE TABLE other.holder (h customers, k int); CREATE TABLE other.drawn (n int DEFAULT"
        " nextval('customers_id_seq')); CREATE TABLE other.ref (a int CONSTRAINT ref_a REFERENCES customers (id));"
        " CREATE FUNCTION f() RETURNS SETOF customers LANGUAGE sql AS 'SELECT * FROM customers';"
        " CREATE TABLE other.kept (i int);"
        " CREATE POLICY pol ON other.kept USING (EXISTS (SELECT 1 FROM public.customers WHERE id = i));"
        " CREATE RULE rul AS ON INSERT TO other.kept DO ALSO SELECT 1 FROM public.customers;"
        " CREATE VIEW unconcerned AS SELECT 1 AS one; COMMENT ON TABLE customers IS 'theirs'"
    )
    notices: list[str] = []
    with target_db.connect(autocommit=False) as connection:
        connection.add_notice_handler(lambda notice: notices.append(notice.message_detail or ""))
        connection.execute("DROP TABLE customers CASCADE")
        connection.rollback()
    expected = {line.removeprefix("drop cascades to ") for line in notices[0].splitlines()}
    assert len(expected) == 10
    document = Tool(tmp_path, shop, target_db).result("run", "--dry-run")
    told = {note["message"].removeprefix("dropping it also drops ") for note in document["plan"]["notes"]}
    assert expected - told == {"constraint ref_a on table other.ref"}
    assert {text for text in told - expected if "customers" not in text} == {"foreign key ref_a of table other.ref"}


def test_a_table_named_as_one_of_the_ledger_is_refused(
    shop: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    shop.execute_script("CREATE TABLE dbo._mpm_run (id int)")
    assert (
        "dbo._mpm_run: the name _mpm_run is that of" in Tool(tmp_path, shop, target_db).result("run", expect=3)["error"]
    )
    assert target_db.execute("SELECT FROM pg_class WHERE relname = '_mpm_run'") == []


def test_a_view_under_the_name_of_a_table_is_refused_before_anything_is_touched(
    shop: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    target_db.execute(
        "CREATE TABLE customers (x int); INSERT INTO customers VALUES (5); CREATE VIEW orders AS SELECT 1 AS a"
    )
    done = Tool(tmp_path, shop, target_db).run("run")
    assert done.returncode == 3
    assert "public.orders is a view in the target" in done.stderr
    assert target_db.execute("SELECT x FROM customers") == [(5,)]


@pytest.mark.parametrize(
    ("mode", "grant", "words"),
    [
        ("drop_recreate", "ALL", "public.orders: must be owned by the target user, its owner is"),
        ("truncate", "SELECT, INSERT", "public.orders: the target user lacks TRUNCATE on it"),
        ("upsert", "SELECT, INSERT", "public.orders: the target user lacks UPDATE on it"),
    ],
)
def test_a_right_the_target_user_lacks_is_told_before_anything_is_touched(
    mode: str, grant: str, words: str, shop: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    run(Tool(tmp_path, shop, target_db))
    role = f"loader_{target_db.name}"
    target_db.execute(
        f"CREATE ROLE {role} LOGIN PASSWORD 'Loader_pass_1'; GRANT ALL ON SCHEMA public TO {role};"
        f" ALTER TABLE orders DROP CONSTRAINT fk_customer; ALTER TABLE customers OWNER TO {role};"
        f" GRANT {grant} ON orders TO {role}"
    )
    tool = Tool(tmp_path, shop, target_db, target_mode=mode)
    tool.data["target"]["user"] = role
    tool.environment["TEST_POSTGRES_PASSWORD"] = "Loader_pass_1"
    tool.write()
    try:
        done = tool.run("run")
    finally:
        target_db.execute(f"REASSIGN OWNED BY {role} TO CURRENT_USER; DROP OWNED BY {role}; DROP ROLE {role}")
    assert done.returncode == 3, done.stderr
    assert words in done.stderr
    assert target_db.execute("SELECT count(*) FROM customers") == [(3,)]


@pytest.mark.parametrize(
    ("mode", "granted", "lacking"),
    [("truncate", "TRUNCATE, INSERT", "lacks SELECT"), ("upsert", "SELECT, INSERT, UPDATE", None)],
)
def test_a_user_who_may_not_set_the_identity_is_told_before_anything_is_touched(
    mode: str, granted: str, lacking: str | None, shop: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    run(Tool(tmp_path, shop, target_db))
    role = f"loader_{target_db.name}"
    target_db.execute(
        "ALTER TABLE orders DROP CONSTRAINT fk_customer; ALTER TABLE customers DROP CONSTRAINT fk_parent;"
        f" CREATE ROLE {role} LOGIN PASSWORD 'Loader_pass_1'; GRANT ALL ON SCHEMA public TO {role};"
        f" GRANT {granted} ON customers TO {role}; DELETE FROM customers WHERE id = 3"
    )
    tool = Tool(tmp_path, shop, target_db, target_mode=mode, include_tables=["customers"])
    tool.data["target"]["user"] = role
    tool.environment["TEST_POSTGRES_PASSWORD"] = "Loader_pass_1"
    tool.write()
    try:
        if lacking is not None:
            assert lacking in tool.result("run", expect=3)["error"]
            target_db.execute(f"GRANT SELECT ON customers TO {role}")
        words = "GRANT UPDATE ON SEQUENCE public.customers_id_seq"
        assert words in tool.result("run", expect=3)["error"]
        assert words in tool.result("health-check", expect=2)["error"]
        assert target_db.execute("SELECT count(*) FROM customers") == [(2,)]
        target_db.execute(f"GRANT UPDATE ON SEQUENCE customers_id_seq TO {role}")
        assert run(tool)["problems"] == []
    finally:
        target_db.execute(f"REASSIGN OWNED BY {role} TO CURRENT_USER; DROP OWNED BY {role}; DROP ROLE {role}")
    assert target_db.execute("SELECT nextval('customers_id_seq')") == [(4,)]


def test_a_partitioned_table_is_kept_and_filled(shop: MssqlDatabase, target_db: PgDatabase, tmp_path: Path) -> None:
    run(Tool(tmp_path, shop, target_db))
    target_db.execute(
        "DROP TABLE orders; CREATE TABLE orders (id bigint NOT NULL PRIMARY KEY, customer int NOT NULL, note text,"
        " total numeric(12,2) NOT NULL) PARTITION BY RANGE (id);"
        " CREATE TABLE low PARTITION OF orders FOR VALUES FROM (0) TO (11);"
        " CREATE TABLE high PARTITION OF orders FOR VALUES FROM (11) TO (100);"
        " INSERT INTO orders VALUES (11, 1, 'old', 1)"
    )
    document = run(Tool(tmp_path, shop, target_db, target_mode="upsert"))
    assert (document["rows_transferred"], document["skipped_rows"]) == (6, 3)
    assert_equal_rows(shop, target_db, TABLES)
    run(Tool(tmp_path, shop, target_db, target_mode="truncate", use_unlogged_tables=True))
    assert_equal_rows(shop, target_db, TABLES)
    assert target_db.execute("SELECT count(*) FROM low") == [(1,)]


def test_truncate_keeps_structure_rights_views_and_foreign_keys(
    shop: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    run(Tool(tmp_path, shop, target_db))
    target_db.execute(
        "CREATE VIEW names AS SELECT name FROM customers; GRANT SELECT ON orders TO PUBLIC;"
        " ALTER TABLE orders ADD COLUMN added text DEFAULT 'here'; ALTER TABLE orders ALTER COLUMN id TYPE numeric;"
        " UPDATE customers SET name = 'old'; DELETE FROM orders"
    )
    before = target_db.execute("SELECT oid FROM pg_class WHERE relname = 'orders'")
    document = run(Tool(tmp_path, shop, target_db, target_mode="truncate"))
    assert document["rows_transferred"] == 6
    assert target_db.execute("SELECT oid FROM pg_class WHERE relname = 'orders'") == before
    assert target_db.execute("SELECT name FROM names ORDER BY 1") == [("Ann",), ("Bob",), ("Zoë 🚀",)]
    assert target_db.execute("SELECT id, added FROM orders ORDER BY id") == [(10, "here"), (11, "here"), (12, "here")]
    keys = target_db.execute("SELECT conname, convalidated FROM pg_constraint WHERE contype = 'f' ORDER BY 1")
    assert keys == [("fk_customer", True), ("fk_parent", True)]
    assert target_db.execute("SELECT relacl::text FROM pg_class WHERE relname = 'orders'")[0][0] is not None


def test_truncate_makes_missing_tables(shop: MssqlDatabase, target_db: PgDatabase, tmp_path: Path) -> None:
    run(Tool(tmp_path, shop, target_db, target_mode="truncate"))
    assert_equal_rows(shop, target_db, TABLES)
    assert target_db.execute("SELECT count(*) FROM pg_constraint WHERE conname IN ('pk_orders', 'fk_customer')") == [
        (2,)
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("ALTER TABLE orders DROP COLUMN note", "note"),
        ("ALTER TABLE orders ALTER COLUMN customer TYPE smallint", "customer"),
        ("ALTER TABLE orders ADD COLUMN must text NOT NULL", "must"),
        ("CREATE TABLE lines (o bigint REFERENCES orders (id))", "lines"),
    ],
)
def test_truncate_refuses_what_does_not_fit_and_changes_nothing(
    change: str, words: str, shop: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    run(Tool(tmp_path, shop, target_db))
    if "ADD COLUMN must" in change:
        target_db.execute("CREATE TABLE spare AS TABLE orders; DELETE FROM orders")
    target_db.execute(change)
    before = target_db.execute("SELECT count(*) FROM customers")
    done = Tool(tmp_path, shop, target_db, target_mode="truncate").run("run")
    assert done.returncode == 3
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert target_db.execute("SELECT count(*) FROM customers") == before
    assert no_ledger_left(target_db)


def test_truncate_reports_rows_that_violate_a_foreign_key_of_the_target(
    shop: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    run(Tool(tmp_path, shop, target_db))
    shop.execute_script(
        "ALTER TABLE dbo.orders NOCHECK CONSTRAINT fk_customer\nGO\nINSERT INTO dbo.orders VALUES (13, 77, NULL, 1)"
    )
    document = run(Tool(tmp_path, shop, target_db, target_mode="truncate"), expect=4)
    assert any("fk_customer" in problem and "77" in problem for problem in document["problems"])
    assert target_db.execute("SELECT convalidated FROM pg_constraint WHERE conname = 'fk_customer'") == [(False,)]
    assert_equal_rows(shop, target_db, TABLES)
    # A scheduler that tries again with resume must not be told that all is well.
    again = Tool(tmp_path, shop, target_db, target_mode="truncate").result("resume", expect=4)
    assert (again["status"], again["problems"]) == ("invalid", document["problems"])
    assert again["rows_transferred"] == document["rows_transferred"]


def test_upsert_inserts_new_updates_changed_and_keeps_what_only_the_target_has(
    shop: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    first = run(Tool(tmp_path, shop, target_db, target_mode="upsert"))
    assert (first["rows_transferred"], first["skipped_rows"]) == (6, 0)
    assert_equal_rows(shop, target_db, TABLES)
    shop.execute_script(
        "UPDATE dbo.customers SET name = N'zoë 🚀' WHERE id = 3\nGO\n"
        "UPDATE dbo.orders SET note = N'' WHERE id = 11\nGO\n"
        "INSERT INTO dbo.orders VALUES (14, 3, N'new', 5)"
    )
    target_db.execute("INSERT INTO orders VALUES (99, 1, 'target only', 1)")
    second = run(Tool(tmp_path, shop, target_db, target_mode="upsert"))
    assert (second["rows_transferred"], second["skipped_rows"]) == (7, 4)
    assert target_db.execute("SELECT note FROM orders WHERE id = 99") == [("target only",)]
    target_db.execute("DELETE FROM orders WHERE id = 99")
    assert_equal_rows(shop, target_db, TABLES)


def test_upsert_takes_names_with_percent_signs(source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path) -> None:
    source_db.execute_script(
        "CREATE TABLE dbo.[%(first)s] ([100%] int NOT NULL PRIMARY KEY, [Discount %] varchar(10) NULL, [%s] int NULL)"
        "\nGO\n"
        "INSERT INTO dbo.[%(first)s] VALUES (1, 'a', 1), (2, 'b', NULL)"
    )
    tool = Tool(tmp_path, source_db, target_db, target_mode="upsert")
    run(tool)
    source_db.execute_script("UPDATE dbo.[%(first)s] SET [Discount %] = 'c' WHERE [100%] = 2")
    document = run(tool)
    assert (document["rows_transferred"], document["skipped_rows"]) == (2, 1)
    assert target_db.execute('SELECT * FROM "%(first)s" ORDER BY 1') == [(1, "a", 1), (2, "c", None)]


def test_unchanged_upsert_writes_nothing(shop: MssqlDatabase, target_db: PgDatabase, tmp_path: Path) -> None:
    shop.execute_script(
        "CREATE TABLE dbo.big (id int NOT NULL PRIMARY KEY, a nvarchar(50), b float, c datetime2(7), d varbinary(20))"
    )
    rows = [f"({n}, N'text {n}', {n}.5, '2020-01-01T00:00:00.1234567', 0x{n:08x})" for n in range(4000)]
    for start in range(0, len(rows), 1000):
        shop.execute_script("INSERT INTO dbo.big VALUES " + ",".join(rows[start : start + 1000]))
    tool = Tool(tmp_path, shop, target_db, target_mode="upsert", chunk_size=700)
    run(tool)
    target_db.execute("VACUUM ANALYZE")
    target_db.server.execute("CHECKPOINT")
    before = target_db.execute("SELECT pg_current_wal_lsn()::text, pg_database_size(current_database())")[0]
    updates = target_db.execute("SELECT sum(n_tup_upd) FROM pg_stat_user_tables")
    document = run(tool)
    assert document["rows_transferred"] == document["skipped_rows"] == 4006
    written = target_db.execute("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), %s::pg_lsn)", (before[0],))[0][0]
    # A server with full_page_writes also writes each page of its catalogs that the staging tables touch, once whole.
    whole_pages = target_db.execute("SHOW full_page_writes")[0][0] == "on"
    assert written < 0.05 * before[1] + (8 << 20 if whole_pages else 0)
    assert target_db.execute("SELECT sum(n_tup_upd) FROM pg_stat_user_tables") == updates


@pytest.mark.parametrize("mode", ["truncate", "upsert"])
def test_rows_against_constraints_the_source_has_disabled_arrive_every_time(
    shop: MssqlDatabase, target_db: PgDatabase, tmp_path: Path, mode: str
) -> None:
    shop.execute_script(
        "ALTER TABLE dbo.orders NOCHECK CONSTRAINT ck_total\nGO\n"
        "ALTER TABLE dbo.orders NOCHECK CONSTRAINT fk_customer\nGO\n"
        "INSERT INTO dbo.orders VALUES (13, 99, N'against both', -1)"
    )
    run(Tool(tmp_path, shop, target_db))
    shop.execute_script(
        "INSERT INTO dbo.orders VALUES (14, 98, NULL, -2)\nGO\nUPDATE dbo.orders SET total = -3 WHERE id = 13"
    )
    run(Tool(tmp_path, shop, target_db, target_mode=mode))
    assert_equal_rows(shop, target_db, TABLES)
    found = target_db.execute(
        "SELECT conname, convalidated FROM pg_constraint WHERE conrelid = 'orders'::regclass AND contype IN ('c', 'f')"
        " ORDER BY 1"
    )
    assert found == [("ck_total", False), ("fk_customer", False)]
    assert no_ledger_left(target_db)


def test_upsert_needs_primary_keys_and_a_unique_constraint(
    shop: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    shop.execute_script("CREATE TABLE dbo.logs (line nvarchar(10))")
    done = Tool(tmp_path, shop, target_db, target_mode="upsert").run("run")
    assert done.returncode == 3
    assert "Table 'logs' has no primary key, required for upsert mode\n  add a primary key" in done.stderr
    target_db.execute("CREATE TABLE customers (id int, name text, parent int, rate float8, mail text)")
    tool = Tool(tmp_path, shop, target_db, target_mode="upsert", exclude_tables=["logs"])
    done = tool.run("run")
    assert done.returncode == 3
    assert "unique" in done.stderr


@pytest.mark.parametrize("mode", ["drop_recreate", "truncate"])
def test_text_copy_gives_the_same_rows(mode: str, shop: MssqlDatabase, target_db: PgDatabase, tmp_path: Path) -> None:
    document = run(Tool(tmp_path, shop, target_db, target_mode=mode, use_binary_copy=False))
    assert {table["reader"] for table in document["tables"]} == {"driver"}
    assert_equal_rows(shop, target_db, TABLES)


@pytest.mark.parametrize("mode", ["drop_recreate", "truncate"])
def test_unlogged_tables_are_logged_afterwards(
    mode: str, shop: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    if mode == "truncate":
        run(Tool(tmp_path, shop, target_db))
    run(Tool(tmp_path, shop, target_db, target_mode=mode, use_unlogged_tables=True))
    assert_equal_rows(shop, target_db, TABLES)
    assert target_db.execute("SELECT relname FROM pg_class WHERE relpersistence = 'u'") == []


def test_schema_only_then_data_only(shop: MssqlDatabase, target_db: PgDatabase, tmp_path: Path) -> None:
    tool = Tool(tmp_path, shop, target_db)
    tool.result("run", "--schema-only")
    assert target_db.execute("SELECT count(*) FROM customers") == [(0,)]
    assert target_db.execute("SELECT count(*) FROM pg_constraint WHERE conname LIKE 'fk%'") == [(2,)]
    tool.result("run", "--data-only")
    assert_equal_rows(shop, target_db, TABLES)
    assert target_db.execute("SELECT count(*) FROM pg_constraint WHERE conname LIKE 'fk%' AND convalidated") == [(2,)]
    assert target_db.execute("SELECT nextval(pg_get_serial_sequence('customers', 'id'))") == [(4,)]


FAILING = {"before_constraints": "SELECT 1/0"}


@pytest.mark.parametrize("command", [("resume",), ("run", "--schema-only", "--auto-resume")])
def test_a_resumed_schema_only_run_moves_no_rows(
    command: tuple[str, ...], shop: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    first = Tool(tmp_path, shop, target_db, hooks=FAILING).result("run", "--schema-only", expect=3)
    document = Tool(tmp_path, shop, target_db).result(*command)
    assert (document["run_id"], document["resumed"], document["rows_transferred"]) == (first["run_id"], True, 0)
    assert target_db.execute("SELECT count(*) FROM customers") == [(0,)]
    assert target_db.execute("SELECT count(*) FROM pg_constraint WHERE conname LIKE 'fk%'") == [(2,)]


def test_a_resumed_data_only_run_creates_nothing(shop: MssqlDatabase, target_db: PgDatabase, tmp_path: Path) -> None:
    run(Tool(tmp_path, shop, target_db))
    target_db.execute("ALTER TABLE orders ALTER COLUMN id TYPE numeric; DROP INDEX ix_customer")
    Tool(tmp_path, shop, target_db, hooks=FAILING).result("run", "--data-only", expect=3)
    Tool(tmp_path, shop, target_db).result("resume")
    assert_equal_rows(shop, target_db, TABLES)
    assert target_db.execute("SELECT to_regclass('ix_customer')") == [(None,)]


def test_auto_resume_of_another_part_starts_afresh(shop: MssqlDatabase, target_db: PgDatabase, tmp_path: Path) -> None:
    first = Tool(tmp_path, shop, target_db, hooks=FAILING).result("run", "--schema-only", expect=3)
    document = Tool(tmp_path, shop, target_db).result("run", "--auto-resume")
    assert document["run_id"] != first["run_id"]
    assert_equal_rows(shop, target_db, TABLES)


@pytest.mark.parametrize("mode", ["truncate", "upsert"])
def test_schema_only_leaves_the_rows_of_tables_that_stay(
    mode: str, shop: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    run(Tool(tmp_path, shop, target_db))
    target_db.execute("DROP TABLE orders")
    Tool(tmp_path, shop, target_db, target_mode=mode).result("run", "--schema-only")
    assert target_db.execute("SELECT count(*) FROM customers") == [(3,)]
    assert target_db.execute("SELECT count(*) FROM orders") == [(0,)]


def test_a_dry_run_of_data_only_shows_what_data_only_does(
    shop: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    tool = Tool(tmp_path, shop, target_db)
    assert "does not exist" in tool.result("run", "--data-only", "--dry-run", expect=3)["error"]
    run(tool)
    plan = tool.result("run", "--data-only", "--dry-run")["plan"]
    assert {table["action"] for table in plan["tables"]} == {"truncate"}


def test_hooks_run_at_their_moments(shop: MssqlDatabase, target_db: PgDatabase, tmp_path: Path) -> None:
    target_db.execute("CREATE TABLE moments (id serial, what text, rows bigint, keys bigint)")
    note = (
        "INSERT INTO moments (what, rows, keys) SELECT '{}', (SELECT count(*) FROM orders),"
        " (SELECT count(*) FROM pg_constraint WHERE contype = 'f')"
    )
    names = ["before_data", "after_data", "before_constraints", "after_all"]
    run(Tool(tmp_path, shop, target_db, hooks={name: note.format(name) for name in names}))
    found = target_db.execute("SELECT what, rows, keys FROM moments ORDER BY id")
    assert found == [("before_data", 0, 0), ("after_data", 3, 0), ("before_constraints", 3, 0), ("after_all", 3, 2)]


def test_a_hook_that_fails_shows_none_of_its_literals(
    shop: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    tool = Tool(tmp_path, shop, target_db, hooks={"before_data": "ALTER ROLE nobody SET '${HOOK_SECRET}' PASSWORD x"})
    tool.environment["HOOK_SECRET"] = "hook-secret"
    done = tool.run("--verbosity", "debug", "--output-json", "run")
    assert done.returncode == 3
    assert "hook before_data (ALTER ROLE nobody SET '...' PASSWORD x) failed: syntax error" in done.stderr
    assert "hook-secret" not in done.stdout + done.stderr + tool.state.read_text()


def test_a_dry_run_changes_nothing(shop: MssqlDatabase, target_db: PgDatabase, tmp_path: Path) -> None:
    document = Tool(tmp_path, shop, target_db).result("run", "--dry-run")
    assert {table["source"] for table in document["plan"]["tables"]} == {"dbo.customers", "dbo.orders"}
    assert target_db.execute("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == [(0,)]


def test_a_table_the_login_may_not_read_is_told_before_anything_is_touched(
    shop: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    run(Tool(tmp_path, shop, target_db))
    shop.execute_script(
        f"CREATE LOGIN reader_{shop.name} WITH PASSWORD = 'Reader_pass_1'\nGO\n"
        f"CREATE USER reader_{shop.name} FOR LOGIN reader_{shop.name}\nGO\n"
        f"GRANT SELECT ON dbo.customers TO reader_{shop.name}\nGO\n"
        f"GRANT VIEW DEFINITION TO reader_{shop.name}"
    )
    tool = Tool(tmp_path, shop, target_db)
    tool.data["source"]["user"] = f"reader_{shop.name}"
    tool.data["source"]["password"] = "Reader_pass_1"
    tool.write()
    try:
        done = tool.run("run")
    finally:
        shop.execute_script(f"DROP USER reader_{shop.name}\nGO\nDROP LOGIN reader_{shop.name}")
    assert done.returncode == 3, done.stderr
    assert "dbo.orders" in done.stderr
    assert "permission" in done.stderr.lower()
    assert "Traceback" not in done.stderr
    assert target_db.execute("SELECT count(*) FROM customers") == [(3,)]


@pytest.mark.sandbox_only
@pytest.mark.parametrize("isolation", ["snapshot", "read_uncommitted"])
def test_a_memory_optimized_table_is_refused_before_anything_is_dropped(
    source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path, isolation: str
) -> None:
    """Under both isolation levels SQL Server refuses to read it."""
    source_db.execute_script(
        "CREATE TABLE fast (id int NOT NULL PRIMARY KEY NONCLUSTERED) WITH (MEMORY_OPTIMIZED = ON)"
    )
    target_db.execute("CREATE TABLE fast (id int PRIMARY KEY); INSERT INTO fast VALUES (1)")
    tool = Tool(tmp_path, source_db, target_db)
    tool.data["source"]["isolation"] = isolation
    tool.write()
    said = tool.result("run", expect=3)["error"]
    assert f"is memory-optimized, which isolation: {isolation} cannot read" in said
    assert said.count("dbo.fast") == 1, said
    assert target_db.execute("SELECT id FROM fast") == [(1,)]


def test_snapshot_isolation_that_is_not_allowed_is_told_before_anything_is_dropped(
    source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    """SQL Server answers 3952, and only when a table is read."""
    source_db.execute_script(
        "CREATE TABLE t (id int NOT NULL PRIMARY KEY)\nGO\nINSERT INTO t VALUES (2)\nGO\n"
        "ALTER DATABASE CURRENT SET ALLOW_SNAPSHOT_ISOLATION OFF"
    )
    target_db.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
    tool = Tool(tmp_path, source_db, target_db)
    tool.data["source"]["isolation"] = "snapshot"
    tool.write()
    assert "ALLOW_SNAPSHOT_ISOLATION" in tool.result("run", expect=3)["error"]
    assert target_db.execute("SELECT id FROM t") == [(1,)]
