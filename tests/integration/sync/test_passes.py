"""Passes of the sync against real servers: after each, the target is the source."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mssql_pg_migrate import Config, Migration
from mssql_pg_migrate.errors import ConfigError, MigrationError
from running import assert_equal_rows
from servers import MssqlDatabase, PgDatabase

SCHEMA = """
CREATE TABLE dbo.Parent (id int PRIMARY KEY, name nvarchar(50) NULL, amount decimal(12,2) NOT NULL, rv rowversion);
CREATE TABLE dbo.Child (id int PRIMARY KEY, parent int NOT NULL REFERENCES dbo.Parent (id) ON DELETE CASCADE,
    note varchar(max) NULL, changed datetime2(3) NOT NULL DEFAULT SYSUTCDATETIME(), rv rowversion);
"""
TABLES = ["Parent", "Child"]


class Pair:
    """A source that changes, a target that follows."""

    def __init__(self, source: MssqlDatabase, target: PgDatabase, **sync: Any) -> None:
        self.source = source
        self.target = target
        self.data = {
            "source": source.section(),
            "target": target.section(),
            "migration": {"target_mode": "drop_recreate"},
            "sync": sync,
        }
        self.events: list[Any] = []

    def migration(self) -> Migration:
        """A new one, as each command has."""
        return Migration(Config.from_dict(self.data), on_event=self.events.append)

    def run(self) -> None:
        """The first load."""
        result = self.migration().run()
        assert result.exit_code == 0, result

    def change(self, script: str) -> None:
        """What the application does."""
        self.source.execute_script(script)

    def track(self) -> None:
        """Change tracking, and passes of one moment."""
        name = self.source.name
        self.change(f"ALTER DATABASE [{name}] SET CHANGE_TRACKING = ON (CHANGE_RETENTION = 2 DAYS, AUTO_CLEANUP = ON)")
        self.change(f"ALTER DATABASE [{name}] SET ALLOW_SNAPSHOT_ISOLATION ON")
        for table in TABLES:
            self.change(f"ALTER TABLE dbo.{table} ENABLE CHANGE_TRACKING")

    def equal(self, tables: list[str] | None = None) -> None:
        """Every row of every table."""
        assert_equal_rows(self.source, self.target, tables or TABLES)


@pytest.fixture
def make(source_db: MssqlDatabase, target_db: PgDatabase) -> Callable[..., Pair]:
    source_db.execute_script(SCHEMA)
    source_db.execute_script(
        "INSERT INTO dbo.Parent (id, name, amount) VALUES (1, N'one', 1), (2, N'two', 2), (3, N'žluť', 3);"
        " INSERT INTO dbo.Child (id, parent, note) VALUES (10, 1, 'a'), (11, 1, NULL), (12, 3, 'c')"
    )

    def make_pair(**sync: Any) -> Pair:
        return Pair(source_db, target_db, **sync)

    return make_pair


CHANGES = [
    "UPDATE dbo.Parent SET name = N'changed', amount = 1.5 WHERE id = 1",
    "INSERT INTO dbo.Parent (id, name, amount) VALUES (4, NULL, 4);"
    " INSERT INTO dbo.Child (id, parent, note) VALUES (13, 4, 'd')",
    "UPDATE dbo.Child SET parent = 4, changed = SYSUTCDATETIME() WHERE id = 12; DELETE FROM dbo.Parent WHERE id = 3",
    "DELETE FROM dbo.Child WHERE id = 10",
    "DELETE FROM dbo.Parent WHERE id = 1",
    "INSERT INTO dbo.Parent (id, name, amount) VALUES (1, N'again', 9)",
    "UPDATE dbo.Child SET id = 99, changed = SYSUTCDATETIME() WHERE id = 13",
]


@pytest.mark.parametrize("method", ["change_tracking", "rowversion", "compare", "watermark"])
def test_changes_arrive(make: Callable[..., Pair], method: str) -> None:
    settings: dict[str, Any] = {"compare_every": 0}
    if method == "watermark":
        settings["tables"] = {"Child": {"method": "watermark", "column": "changed"}, "Parent": {"method": "rowversion"}}
    else:
        settings["method"] = method
    pair = make(**settings)
    if method == "change_tracking":
        pair.track()
    pair.run()
    pair.equal()
    first = pair.migration().sync()
    assert first.changes == 0
    for change in CHANGES:
        pair.change(change)
        result = pair.migration().sync()
        assert result.changes > 0
        pair.equal()
    assert pair.migration().sync().changes == 0
    status = pair.migration().sync_status()
    assert [table.stale for table in status.tables] == [None, None]
    assert status.last_pass is not None
    assert status.last_pass.number == len(CHANGES) + 2


def test_changes_during_the_load_are_not_lost(make: Callable[..., Pair]) -> None:
    """A row that changes after the positions are taken and after it was read comes with the first pass."""
    pair = make(method="compare")
    pair.run()
    pair.change("UPDATE dbo.Parent SET name = N'later' WHERE id = 2")
    assert pair.migration().sync().tables["Parent"].updated == 1
    pair.equal()


def test_without_positions(make: Callable[..., Pair], target_db: PgDatabase) -> None:
    pair = make(method="compare")
    with pytest.raises(ConfigError, match="follows nothing yet"):
        pair.migration().sync()
    del pair.data["sync"]
    pair.run()
    pair.data["sync"] = {"method": "compare"}
    with pytest.raises(ConfigError, match="follows nothing yet"):
        pair.migration().sync()
    target_db.execute('UPDATE "Parent" SET name = \'spoilt\' WHERE id = 1; DELETE FROM "Child" WHERE id = 10')
    target_db.execute("INSERT INTO \"Child\" (id, parent, changed, rv) VALUES (77, 1, now(), '')")
    report = pair.migration().sync_prepare(compare=True)
    assert report.recorded == ["Child", "Parent"]
    result = pair.migration().sync()
    assert sorted(result.compared) == ["Child", "Parent"]
    assert result.changes == 3
    pair.equal()


def test_rows_that_are_equal_are_not_touched(make: Callable[..., Pair], target_db: PgDatabase) -> None:
    pair = make(method="compare")
    pair.run()
    before = target_db.execute('SELECT id, xmin::text FROM "Parent" ORDER BY 1')
    target_db.execute("UPDATE \"Parent\" SET name = 'spoilt' WHERE id = 2")
    assert pair.migration().sync().tables["Parent"].updated == 1
    after = target_db.execute('SELECT id, xmin::text FROM "Parent" ORDER BY 1')
    assert [row for row in after if row[0] != 2] == [row for row in before if row[0] != 2]
    pair.equal()


def test_a_changed_definition_stops_the_sync(make: Callable[..., Pair]) -> None:
    pair = make(method="compare")
    pair.run()
    pair.change("ALTER TABLE dbo.Parent ADD extra int NULL")
    pair.change("UPDATE dbo.Parent SET extra = id")
    with pytest.raises(ConfigError, match=r"new columns: dbo\.Parent: extra"):
        pair.migration().sync()
    pair.data["sync"]["on_schema_change"] = "add_columns"
    pair.migration().sync()
    pair.equal()
    pair.change("ALTER TABLE dbo.Child DROP COLUMN note")
    with pytest.raises(MigrationError, match="column note is gone"):
        pair.migration().sync()


@pytest.mark.parametrize(
    ("sync", "message"),
    [
        ({"tables": {"Parrent": {"method": "compare"}}}, r"sync\.tables\.Parrent: no selected table"),
        ({"tables": {"Child": {"method": "watermark", "column": "chnged"}}}, "has no column chnged"),
        ({"tables": {"Child": {"method": "watermark", "column": "note"}}}, "cannot be a watermark"),
        ({"method": "change_tracking"}, "it is not on for this table"),
    ],
)
def test_settings_that_do_not_fit(make: Callable[..., Pair], sync: dict[str, Any], message: str) -> None:
    pair = make(**sync)
    with pytest.raises(ConfigError, match=message):
        pair.migration().run()


def test_a_truncated_table_is_compared_and_no_other(make: Callable[..., Pair]) -> None:
    """Change tracking knows nothing of TRUNCATE TABLE; the position is no longer valid afterwards."""
    pair = make(method="change_tracking")
    pair.track()
    pair.run()
    pair.change("TRUNCATE TABLE dbo.Child; INSERT INTO dbo.Child (id, parent) VALUES (11, 1), (50, 2)")
    result = pair.migration().sync()
    assert result.compared == ["Child"]
    assert any("the table was truncated" in getattr(event, "text", "") for event in pair.events)
    pair.equal()
    assert pair.migration().sync().compared == []


def test_change_tracking_switched_off_and_on_again(make: Callable[..., Pair]) -> None:
    pair = make(method="change_tracking")
    pair.track()
    pair.run()
    pair.change("ALTER TABLE dbo.Child DISABLE CHANGE_TRACKING")
    pair.change("DELETE FROM dbo.Child WHERE id = 10")
    with pytest.raises(ConfigError, match="not on for this table"):
        pair.migration().sync()
    pair.change("ALTER TABLE dbo.Child ENABLE CHANGE_TRACKING")
    assert pair.migration().sync().compared == ["Child"]
    pair.equal()


def test_a_position_of_the_future_is_a_restored_backup(make: Callable[..., Pair], target_db: PgDatabase) -> None:
    pair = make(method="change_tracking")
    pair.track()
    pair.run()
    target_db.execute("UPDATE _mpm_sync SET position = '999999'")
    target_db.execute("UPDATE \"Parent\" SET name = 'of another time' WHERE id = 2")
    result = pair.migration().sync()
    assert sorted(result.compared) == ["Child", "Parent"]
    assert result.changes == 1
    pair.equal()


def test_a_pass_without_changes_asks_no_table(make: Callable[..., Pair], source_db: MssqlDatabase) -> None:
    pair = make(method="change_tracking")
    pair.track()
    pair.run()
    sandbox = source_db.server.sandbox
    if sandbox is None:
        pytest.skip("only the sandbox lists statements")
    sandbox.reset_counters(keep_statements=True)
    assert pair.migration().sync().changes == 0
    asked = [statement for statement in sandbox.statements() if "CHANGETABLE" in statement or "[Parent]" in statement]
    assert asked == []


def test_prepare_switches_change_tracking_on(make: Callable[..., Pair]) -> None:
    pair = make(method="auto")
    pair.run()
    assert {table.method for table in pair.migration().sync_status().tables} == {"rowversion"}
    report = pair.migration().sync_prepare(apply=True, compare=True)
    assert len(report.applied) == 3
    pair.change("DELETE FROM dbo.Child WHERE id = 12")
    pair.migration().sync()
    pair.equal()
    assert {table.method for table in pair.migration().sync_status().tables} == {"change_tracking"}
    pair.change("DELETE FROM dbo.Child WHERE id = 11")
    result = pair.migration().sync()
    assert result.compared == []
    assert result.tables["Child"].deleted == 1
    pair.equal()


def test_two_syncs_exclude_each_other(make: Callable[..., Pair], target_db: PgDatabase) -> None:
    from mssql_pg_migrate.target.lock import lock_key

    pair = make(method="compare")
    pair.run()
    with target_db.connect() as other:
        other.execute("SELECT pg_advisory_lock(%s)", (lock_key("public"),))
        with pytest.raises(MigrationError, match="another run is writing to target schema public"):
            pair.migration().repair()


def test_a_better_method_that_turns_up_is_taken(make: Callable[..., Pair]) -> None:
    """A position of one method says nothing to another: the table is compared once, then followed by the new one."""
    pair = make(method="auto")
    pair.run()
    pair.migration().sync()
    pair.track()
    pair.change("DELETE FROM dbo.Child WHERE id = 12")
    assert sorted(pair.migration().sync().compared) == ["Child", "Parent"]
    pair.equal()
    pair.change("DELETE FROM dbo.Child WHERE id = 11")
    result = pair.migration().sync()
    assert result.compared == []
    assert result.tables["Child"].deleted == 1
    assert {table.method for table in pair.migration().sync_status().tables} == {"change_tracking"}


@pytest.mark.parametrize("method", ["change_tracking", "rowversion", "compare"])
def test_status_counts_what_waits(make: Callable[..., Pair], method: str) -> None:
    pair = make(method=method)
    pair.track()
    pair.run()
    pair.migration().sync()
    pair.change("UPDATE dbo.Parent SET amount = 5 WHERE id IN (1, 2)")
    waiting = {table.table: table.pending for table in pair.migration().sync_status().tables}
    assert waiting == ({"Parent": None, "Child": None} if method == "compare" else {"Parent": 2, "Child": 0})
