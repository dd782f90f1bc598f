"""The plan tries what PostgreSQL will compute on rows of the source; what comes out differently is not carried."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mssql_pg_migrate import Config, Migration
from mssql_pg_migrate.transfer.plan import RunPlan
from running import Tool
from servers import MssqlDatabase, MssqlServer, PgDatabase

ODD = "2020-01-01T00:00:00.0000002"
"""PostgreSQL keeps no seventh decimal: this is no later than the moment below."""
MOMENTS = """
CREATE TABLE dbo.Moments (
    Id int NOT NULL CONSTRAINT PK_Moments PRIMARY KEY, At datetime2(7) NOT NULL, Amount int NOT NULL,
    Later AS (CASE WHEN At > '2020-01-01T00:00:00.0000001' THEN 1 ELSE 0 END),
    Twice AS (Amount * 2),
    CONSTRAINT CK_At CHECK (At > '2020-01-01T00:00:00.0000001'), CONSTRAINT CK_Amount CHECK (Amount >= 0))
"""


def fill(source: MssqlDatabase, odd: int | None, rows: int = 3) -> None:
    values = (f"({n}, '{ODD if n == odd else '2021-01-01'}', {n})" for n in range(1, rows + 1))
    source.execute_script(f"INSERT INTO dbo.Moments (Id, At, Amount) VALUES {', '.join(values)}")


def migration(source: MssqlDatabase, target: PgDatabase, **options: Any) -> Migration:
    return Migration(Config.from_dict({"source": source.section(), "target": target.section(), "migration": options}))


def said(plan: RunPlan) -> dict[str, str]:
    """What the plan does not carry, by object."""
    return {note.object: note.message for note in plan.notes if note.severity == "not_carried"}


def generated(target: PgDatabase) -> list[str]:
    sql = "SELECT attname FROM pg_attribute WHERE attrelid = '\"Moments\"'::regclass AND attgenerated <> '' ORDER BY 1"
    return [name for (name,) in target.execute(sql)]


def checks(target: PgDatabase) -> list[str]:
    sql = "SELECT conname FROM pg_constraint WHERE conrelid = '\"Moments\"'::regclass AND contype = 'c' ORDER BY 1"
    return [name for (name,) in target.execute(sql)]


def test_a_column_and_a_check_that_come_out_differently_are_not_carried(
    source_db: MssqlDatabase, target_db: PgDatabase
) -> None:
    source_db.execute_script(MOMENTS)
    fill(source_db, odd=2)
    tool = migration(source_db, target_db)
    found = said(tool.plan())
    assert found == {
        "dbo.Moments.Later": "computed column: PostgreSQL computes other values in one row of a sample: in Id=2 '0' and"
        " not '1'; a plain column with its data",
        "dbo.Moments constraint CK_At": "check ([At]>'2020-01-01T00:00:00.0000001'): its translation does not hold in"
        " one row of a sample that the source lets pass, as in Id=2",
    }
    result = tool.run()
    assert (result.status, result.problems) == ("completed", [])
    assert any("dbo.Moments.Later" in note for note in result.notes)
    assert (generated(target_db), checks(target_db)) == (["Twice"], ["CK_Amount"])
    assert target_db.execute('SELECT "Later" FROM "Moments" ORDER BY "Id"') == [(1,), (1,), (1,)]
    assert tool.validate(checksum=True).equal


def test_without_sampled_rows_nothing_is_tried(source_db: MssqlDatabase, target_db: PgDatabase) -> None:
    source_db.execute_script(MOMENTS)
    fill(source_db, odd=2)
    tool = migration(source_db, target_db, preflight_sample=0)
    assert said(tool.plan()) == {}
    result = tool.run()
    assert generated(target_db) == ["Later", "Twice"]
    assert [problem for problem in result.problems if "CK_At" in problem]
    report = tool.validate(checksum=True)
    (check,) = report.tables
    assert [(item.column, item.rows, item.sample_keys) for item in check.computed] == [("Later", 1, ["Id=2"])]


@pytest.mark.sandbox_only
def test_half_a_pair_that_the_source_computes_keeps_nothing_else_from_being_compared(
    source_db: MssqlDatabase, target_db: PgDatabase
) -> None:
    source_db.execute_script(
        "CREATE TABLE dbo.Moments (Id int NOT NULL PRIMARY KEY, N nvarchar(10), At datetime2(7) NOT NULL,"
        " Cut AS (LEFT(N, 2)), Later AS (CASE WHEN At > '2020-01-01T00:00:00.0000001' THEN 1 ELSE 0 END));\nGO\n"
        f"INSERT INTO dbo.Moments (Id, N, At) VALUES (1, N'abc', '2021-01-01'), (2, N'a\U0001f600', '{ODD}')"
    )
    tool = migration(source_db, target_db)
    plan = tool.plan()
    assert set(said(plan)) == {"dbo.Moments.Later"}
    (warning,) = (note for note in plan.notes if "some rows" in note.message)
    assert (warning.object, warning.severity) == ("dbo.Moments.Cut", "warning")
    assert "in the row with Id=2 holds a lone surrogate" in warning.message
    assert (tool.run().status, generated(target_db)) == ("completed", ["Cut"])
    (check,) = tool.validate(checksum=True).tables
    assert (check.error, check.equal, check.missing, check.extra, check.changed) == (None, False, 0, 0, 0)
    assert [(item.column, item.rows, item.sample_keys) for item in check.computed] == [("Cut", 1, ["Id=2"])]
    source_db.execute_script("UPDATE dbo.Moments SET N = N'ab' WHERE Id = 2")
    (check,) = tool.validate(checksum=True).tables
    assert (check.error, check.changed) == (None, 1)


def test_rows_are_taken_from_all_over_the_table(source_db: MssqlDatabase, target_db: PgDatabase) -> None:
    source_db.execute_script(MOMENTS)
    source_db.execute_script(
        "INSERT INTO dbo.Moments (Id, At, Amount)"
        f" SELECT value, CASE WHEN value > 15000 THEN '{ODD}' ELSE '2021-01-01' END, value"
        " FROM GENERATE_SERIES(1, 20000)"
    )
    note = said(migration(source_db, target_db, preflight_sample=100).plan())["dbo.Moments.Later"]
    assert "rows of a sample: in Id=1" in note, "the last quarter of the table was looked at"


def test_tables_that_stay_and_checks_nobody_vouches_for_are_not_tried(
    source_db: MssqlDatabase, target_db: PgDatabase
) -> None:
    source_db.execute_script(MOMENTS.replace(",\n    CONSTRAINT CK_At", "").partition(" CHECK (At >")[0] + ")")
    fill(source_db, odd=2)
    source_db.execute_script("ALTER TABLE dbo.Moments WITH NOCHECK ADD CONSTRAINT CK_Amount CHECK (Amount > 100)\nGO\n")
    tool = migration(source_db, target_db)
    assert list(said(tool.plan())) == ["dbo.Moments.Later"]
    tool.run()
    assert generated(target_db) == ["Twice"]
    assert said(migration(source_db, target_db, target_mode="truncate").plan()) == {}


@pytest.mark.parametrize(("before", "after"), [(2, None), (None, 2)])
def test_a_resumed_run_keeps_to_what_its_first_attempt_found(
    before: int | None, after: int | None, source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    source_db.execute_script(MOMENTS)
    fill(source_db, odd=before)
    target_db.execute("CREATE TABLE gate (open int); INSERT INTO gate VALUES (0)")
    tool = Tool(tmp_path, source_db, target_db, hooks={"before_data": "SELECT 1 / open FROM gate"})
    tool.result("run", expect=3)
    made = generated(target_db)
    assert made == (["Twice"] if before else ["Later", "Twice"])
    source_db.execute_script("DELETE FROM dbo.Moments")
    fill(source_db, odd=after)
    target_db.execute("UPDATE gate SET open = 1")
    # What PostgreSQL computes is then what it is; a check that does not hold is a problem of the run.
    result = tool.result("resume", expect=0 if before else 4)
    assert generated(target_db) == made
    assert target_db.execute('SELECT count(*) FROM "Moments"') == [(3,)]
    assert any("PostgreSQL computes other values" in note for note in result["notes"]) == (before is not None)


@pytest.mark.sandbox_only
@pytest.mark.parametrize(("number", "times"), [(1205, 1), (824, 0)])
def test_what_is_only_tried_fails_no_run(
    number: int, times: int, source_db: MssqlDatabase, target_db: PgDatabase, mssql: MssqlServer
) -> None:
    """A deadlock passes by itself; rows that cannot be read are said, and looked at by the run in its turn."""
    source_db.execute_script(MOMENTS)
    fill(source_db, odd=2, rows=300)
    assert mssql.sandbox is not None
    mssql.sandbox.faults.error(number, table="Moments", after_rows=5, times=times)
    plan = migration(source_db, target_db).plan()
    assert ("dbo.Moments.Later" in said(plan)) == (number == 1205)
    notes = [note.message for note in plan.notes if "were not tried" in note.message]
    assert len(notes) == (0 if number == 1205 else 1)
