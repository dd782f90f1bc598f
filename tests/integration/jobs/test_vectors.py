"""vector of SQL Server 2025: pgvector's type where the target has it, exact to the last bit; its text elsewhere."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

from running import Tool
from servers import MssqlDatabase, PgDatabase

pytestmark = pytest.mark.sandbox_only
CHANCE = random.Random(7)


def float32(value: float) -> float:
    """The nearest float32."""
    return struct.unpack("<f", struct.pack("<f", value))[0]  # type: ignore[no-any-return]


# Eight digits do not tell 16777217.0 / 2 from its neighbours; the others are of every size.
ROWS: list[list[float] | None] = [
    [0.1, -2.0, 30.0],
    [9007.1992, 9007.1999, 8191.99951171875],
    [1.17549435e-38, 3.4028234e38, 0.0],
    None,
    *([float32(CHANCE.uniform(-1, 1) * 10 ** CHANCE.randint(-20, 20)) for _ in range(3)] for _ in range(40)),
]


@pytest.fixture
def vectors_db(target_db: PgDatabase) -> PgDatabase:
    if not target_db.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'"):
        pytest.skip("this PostgreSQL has no pgvector")
    return target_db


@pytest.fixture
def source(source_db: MssqlDatabase) -> MssqlDatabase:
    texts = ["NULL" if row is None else f"'[{', '.join(f'{one:.9g}' for one in row)}]'" for row in ROWS]
    values = ", ".join(f"({number}, {text})" for number, text in enumerate(texts))
    source_db.execute_script("CREATE TABLE dbo.Items (id int NOT NULL PRIMARY KEY, v vector(3) NULL)")
    source_db.execute_script(f"INSERT INTO dbo.Items VALUES {values}")
    return source_db


def arrived(target: PgDatabase) -> list[list[float] | None]:
    found = target.execute('SELECT v::text FROM "Items" ORDER BY id')
    return [None if text is None else [float32(float(one)) for one in text[1:-1].split(",")] for (text,) in found]


def wanted(digits: int) -> list[list[float] | None]:
    return [None if row is None else [float32(float(f"{float32(one):.{digits - 1}e}")) for one in row] for row in ROWS]


def test_the_wire_reader_brings_every_bit_of_a_vector(
    source: MssqlDatabase, vectors_db: PgDatabase, tmp_path: Path
) -> None:
    tool = Tool(tmp_path, source, vectors_db)
    (table,) = tool.result("run")["tables"]
    assert (table["reader"], table["reader_reason"]) == ("wire", None)
    declared = "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = '\"Items\"'::regclass"
    assert vectors_db.execute(f"{declared} AND attname = 'v'") == [("vector(3)",)]
    assert wanted(9) != wanted(8), "the rows tell nine digits from eight"
    assert arrived(vectors_db) == wanted(9)
    assert tool.result("validate", "--checksum")["status"] == "completed"

    tool.state.unlink()
    source.execute_script("UPDATE dbo.Items SET v = '[1, 2, 3]' WHERE id = 1")
    tool.data["migration"]["target_mode"] = "upsert"
    tool.write()
    assert tool.result("run")["skipped_rows"] == len(ROWS) - 1
    assert arrived(vectors_db)[1] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("binary", [True, False])
def test_the_driver_brings_eight_digits_and_the_plan_says_so(
    source: MssqlDatabase, vectors_db: PgDatabase, tmp_path: Path, binary: bool
) -> None:
    tool = Tool(tmp_path, source, vectors_db, use_binary_copy=binary)
    tool.data["source"]["reader"] = "driver"
    tool.write()
    notes = tool.result("run")["notes"]
    assert any("Microsoft's driver reads a vector with eight digits" in note for note in notes)
    assert arrived(vectors_db) == wanted(8)


def test_without_pgvector_a_vector_is_the_text_the_server_writes(
    source: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    role = f"{target_db.name}_role"  # who may not create the extension
    target_db.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'p'; GRANT ALL ON SCHEMA public TO {role}")
    tool = Tool(tmp_path, source, target_db)
    tool.data["target"] |= {"user": role, "password": "p"}
    tool.write()
    try:
        notes = tool.result("run")["notes"]
        assert any("a vector becomes its text as SQL Server writes it" in note for note in notes)
        ((text,),) = target_db.execute('SELECT v FROM "Items" WHERE id = 0')
        assert text == "[1.0000000e-001,-2.0000000e+000,3.0000000e+001]"
    finally:
        target_db.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_pgvector_in_a_schema_of_its_own(source: MssqlDatabase, vectors_db: PgDatabase, tmp_path: Path) -> None:
    vectors_db.execute("CREATE SCHEMA extensions; CREATE EXTENSION vector SCHEMA extensions")
    tool = Tool(tmp_path, source, vectors_db)
    tool.result("run")
    assert arrived(vectors_db) == wanted(9)
    for mode, unchanged in (("truncate", 0), ("upsert", len(ROWS))):
        tool.state.unlink()
        tool.data["migration"]["target_mode"] = mode
        tool.write()
        assert tool.result("run")["skipped_rows"] == unchanged
        assert arrived(vectors_db) == wanted(9)


def test_a_text_column_that_is_there_already_takes_the_text(
    source: MssqlDatabase, vectors_db: PgDatabase, tmp_path: Path
) -> None:
    vectors_db.execute('CREATE TABLE "Items" (id integer PRIMARY KEY, v text)')
    tool = Tool(tmp_path, source, vectors_db, target_mode="truncate")
    notes = tool.result("run")["notes"]
    assert any('"v" is text in the target: a vector becomes its text' in note for note in notes)
    assert arrived(vectors_db) == wanted(8)
    assert tool.result("validate", "--checksum")["status"] == "completed"
