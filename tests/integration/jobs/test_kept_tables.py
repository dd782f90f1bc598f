"""The plan of tables that stay: what the run will do, no more; and keys that will meet in the target."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from running import Tool
from servers import MssqlDatabase, PgDatabase

SHOP = """
CREATE TABLE dbo.customers (id int NOT NULL CONSTRAINT pk_customers PRIMARY KEY,
    name nvarchar(60) COLLATE Latin1_General_CI_AS NOT NULL CONSTRAINT uq_name UNIQUE,
    fine datetime2(7) NULL, version rowversion NOT NULL, guid uniqueidentifier DEFAULT NEWSEQUENTIALID(),
    place AS (PATINDEX('%[a-z]%', name)), CONSTRAINT ck_name CHECK (name LIKE N'[a-z]%'))
CREATE INDEX id ON dbo.customers (guid)
CREATE TABLE dbo.orders (id int NOT NULL CONSTRAINT pk_orders PRIMARY KEY, customer int NOT NULL)
ALTER TABLE dbo.orders WITH NOCHECK ADD CONSTRAINT fk_customer FOREIGN KEY (customer) REFERENCES dbo.customers (id)
ALTER TABLE dbo.orders NOCHECK CONSTRAINT fk_customer
CREATE INDEX id ON dbo.orders (customer)
GO
CREATE VIEW dbo.seen AS SELECT id, name FROM dbo.customers WHERE name LIKE N'a%'
GO
CREATE VIEW dbo.unseen AS SELECT PATINDEX('%[a-z]%', name) AS place FROM dbo.customers
GO
CREATE VIEW dbo.ordered AS SELECT id FROM dbo.orders
"""


def plan(tool: Tool) -> dict[str, Any]:
    found: dict[str, Any] = tool.result("run", "--dry-run")["plan"]
    return found


def lines(found: dict[str, Any]) -> list[str]:
    return [f"{note['object']}: {note['message']}" for note in found["notes"]]


@pytest.fixture
def shop(source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path) -> MssqlDatabase:
    source_db.execute_script(SHOP)
    Tool(tmp_path, source_db, target_db, create_views=True).result("run")
    return source_db


@pytest.mark.parametrize("mode", ["truncate", "upsert"])
def test_of_tables_that_stay_only_what_happens_to_the_rows_is_told(
    mode: str, shop: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    found = plan(Tool(tmp_path, shop, target_db, create_views=True, target_mode=mode))
    assert found["views"] == []
    assert sorted(text.partition(":")[0] for text in lines(found)) == ["dbo.customers.fine", "dbo.customers.version"]
    assert {note["severity"] for note in found["notes"]} == {"lossy"}
    for table in found["tables"]:
        assert [table[part] for part in ("indexes", "unique_keys", "foreign_keys", "checks")] == [[], [], [], []]


def test_of_tables_that_are_made_all_is_told(shop: MssqlDatabase, target_db: PgDatabase, tmp_path: Path) -> None:
    found = plan(Tool(tmp_path, shop, target_db, create_views=True))
    said = "\n".join(lines(found))
    assert sorted(found["views"]) == ["public.ordered", "public.seen"]
    for part in ("index becomes", "created NOT VALID", "dbo.unseen: view:", "take 'a' beside 'A'", "computed column"):
        assert part in said, part


@pytest.mark.parametrize("mode", ["truncate", "upsert"])
def test_what_the_run_makes_beside_tables_that_stay_is_told(
    mode: str, shop: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    target_db.execute("DROP TABLE orders CASCADE")
    found = plan(Tool(tmp_path, shop, target_db, create_views=True, target_mode=mode))
    assert found["views"] == ["public.ordered"]
    said = "\n".join(lines(found))
    assert "dbo.orders index id: index becomes" in said
    assert "dbo.orders constraint fk_customer: disabled in the source: created NOT VALID" in said
    assert "dbo.customers index" not in said
    assert "dbo.customers constraint" not in said
    assert "dbo.seen" not in said
    assert "take 'a' beside 'A'" not in said
    tables = {table["source"]: table for table in found["tables"]}
    assert tables["dbo.orders"]["foreign_keys"] == ["fk_customer"]
    assert tables["dbo.customers"]["checks"] == []


@pytest.mark.parametrize("mode", ["drop_recreate", "truncate", "upsert"])
def test_a_variant_key_in_which_1_and_text_1_meet_is_told_in_every_mode(
    mode: str, source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    source_db.execute_script(
        "CREATE TABLE dbo.v (k sql_variant NOT NULL CONSTRAINT pk_v PRIMARY KEY)\n"
        "INSERT INTO dbo.v VALUES (CAST(1 AS int))\nINSERT INTO dbo.v VALUES (CAST('1' AS varchar(5)))"
    )
    if mode == "truncate":
        target_db.execute("CREATE TABLE v (k text PRIMARY KEY)")
    tool = Tool(tmp_path, source_db, target_db, target_mode=mode)
    if mode == "drop_recreate":
        (note,) = [note for note in plan(tool)["notes"] if "would become one row" in note["message"]]
        assert note["severity"] == "warning"
        assert note["message"].endswith("the rows arrive, the primary key will not be there")
        document = tool.result("run", expect=4)
        assert document["rows_transferred"] == 2
        assert len(document["problems"]) == 1
    else:
        assert "2 rows have primary keys that differ only in the base type" in tool.result("run", expect=3)["error"]


@pytest.mark.parametrize(("collation", "told"), [("icu", True), ("citext", True), ("ignore", False)])
def test_trailing_blanks_of_keys_are_told(
    collation: str, told: bool, source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    if collation == "icu" and not target_db.execute("SELECT 1 FROM pg_collation WHERE collname LIKE '%-x-icu'"):
        pytest.skip("this PostgreSQL is built without ICU")
    text = "COLLATE Latin1_General_CI_AS NOT NULL"
    source_db.execute_script(
        f"CREATE TABLE dbo.a (k nvarchar(10) {text} CONSTRAINT pk_a PRIMARY KEY)\n"
        f"CREATE TABLE dbo.b (id int NOT NULL CONSTRAINT pk_b PRIMARY KEY, k nvarchar(10) {text}"
        " CONSTRAINT fk_a REFERENCES dbo.a (k))\n"
        "INSERT INTO dbo.a VALUES (N'x')\nINSERT INTO dbo.b VALUES (1, N'X ')"
    )
    tool = Tool(tmp_path, source_db, target_db, collation=collation)
    said = [text for text in lines(plan(tool)) if "trailing blank" in text]
    assert len(said) == told
    if told:
        assert said[0].endswith("dbo.a pk_a, dbo.b fk_a")
        (problem,) = tool.result("run", expect=4)["problems"]
        assert "fk_a" in problem, "it does not hold, as was told"
