"""What a table has of its own is named before it is dropped; what the tool made itself, or will make again, is not."""

from __future__ import annotations

from pathlib import Path

from running import Tool
from servers import MssqlDatabase, PgDatabase

SHOP = """
CREATE TABLE dbo.customers (id int IDENTITY(1,1) NOT NULL CONSTRAINT pk_customers PRIMARY KEY,
    name nvarchar(20) NOT NULL CONSTRAINT df_name DEFAULT N'x',
    code decimal(20,0) NULL, mail varchar(50) NULL CONSTRAINT uq_mail UNIQUE)
CREATE INDEX ix_name ON dbo.customers (name)
CREATE TABLE dbo.orders (id decimal(20,0) IDENTITY(1,1) NOT NULL CONSTRAINT pk_orders PRIMARY KEY, customer int NOT NULL
    CONSTRAINT fk_customer REFERENCES dbo.customers (id), total decimal(12,2) CONSTRAINT ck_total CHECK (total >= 0),
    twice AS (total * 2) PERSISTED)
GO
EXEC sys.sp_addextendedproperty N'MS_Description', N'Those who buy', N'SCHEMA', N'dbo', N'TABLE', N'customers'
"""


def warnings(tool: Tool) -> list[str]:
    notes = tool.result("run", "--dry-run")["plan"]["notes"]
    return [f"{note['object']}: {note['message']}" for note in notes if "loses what it has" in note["message"]]


def test_tables_the_tool_has_made_have_nothing_of_their_own(
    source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    source_db.execute_script(SHOP)
    tool = Tool(tmp_path, source_db, target_db)
    tool.result("run")
    assert warnings(tool) == []


def test_everything_a_table_has_of_its_own_is_named(
    source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    source_db.execute_script(SHOP)
    tool = Tool(tmp_path, source_db, target_db)
    tool.result("run")
    role = f"reader_{target_db.name}"
    target_db.execute(
        f"CREATE ROLE {role}; GRANT SELECT ON customers TO {role}; GRANT UPDATE (name) ON customers TO PUBLIC;"
        " CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        " CREATE TRIGGER audit BEFORE INSERT ON customers FOR EACH ROW EXECUTE FUNCTION f();"
        " CREATE RULE hear AS ON UPDATE TO customers DO ALSO NOTIFY heard;"
        " ALTER TABLE customers ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON customers USING (true);"
        " ALTER TABLE customers ADD COLUMN remark text DEFAULT 'r'; ALTER TABLE customers ALTER code SET DEFAULT 7;"
        " CREATE INDEX by_hand ON customers (code);"
        " ALTER TABLE customers ADD CONSTRAINT short CHECK (length(name) < 99);"
        " CREATE STATISTICS both_of ON name, code FROM customers; CREATE PUBLICATION pub FOR TABLE customers;"
        " ALTER TABLE customers SET (fillfactor = 70); ALTER TABLE customers REPLICA IDENTITY FULL;"
        " COMMENT ON COLUMN customers.name IS 'theirs'"
    )
    try:
        (line,) = warnings(tool)
    finally:
        target_db.execute(f"DROP OWNED BY {role}; DROP ROLE {role}; DROP PUBLICATION pub")
    assert line.startswith("dbo.customers: dropping public.customers loses what it has: ")
    things = set(line.partition("has: ")[2].split("; "))
    assert things == {
        "trigger audit",
        "rule hear",
        "row-level security",
        "policy own",
        f"grants to PUBLIC, {role}",
        "column remark",
        "default code",
        "index by_hand",
        "constraint short",
        "statistics both_of",
        "publication pub",
        "storage parameters fillfactor=70",
        "replica identity",
        "comment name",
    }


def test_inheritance_partitioning_and_owners(source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path) -> None:
    source_db.execute_script("CREATE TABLE dbo.a (id int NOT NULL)")
    source_db.execute_script("CREATE TABLE dbo.b (id int NOT NULL)")
    source_db.execute_script("CREATE TABLE dbo.c (id int NOT NULL)")
    role = f"owner_{target_db.name}"
    target_db.execute(
        "CREATE TABLE elder (id int); CREATE TABLE a () INHERITS (elder);"
        " CREATE TABLE whole (id int) PARTITION BY LIST (id);"
        " CREATE TABLE b PARTITION OF whole DEFAULT; CREATE TABLE c (id int) PARTITION BY RANGE (id);"
        f" CREATE ROLE {role}; ALTER TABLE c OWNER TO {role}"
    )
    try:
        assert warnings(Tool(tmp_path, source_db, target_db)) == [
            "dbo.a: dropping public.a loses what it has: inheritance from elder",
            "dbo.b: dropping public.b loses what it has: place as a partition of whole",
            f"dbo.c: dropping public.c loses what it has: owner {role}; partitioning RANGE (id)",
        ]
    finally:
        target_db.execute(f"DROP TABLE c; DROP ROLE {role}")
