"""What is hard to keep equal: keys that the servers tell apart differently, large values, the target's own ideas."""

from __future__ import annotations

from typing import Any

import pytest

from mssql_pg_migrate import Config, Migration
from mssql_pg_migrate.errors import ConfigError
from running import assert_equal_rows
from servers import MssqlDatabase, PgDatabase
from unknowing import unknowing


class Followed:
    """A source with some tables, and the target that follows it by one method."""

    def __init__(self, source: MssqlDatabase, target: PgDatabase, method: str, script: str, tables: list[str]) -> None:
        self.source, self.target, self.tables, self.method = source, target, tables, method
        self.data: dict[str, Any] = {
            "source": source.section(),
            "target": target.section(),
            "migration": {"target_mode": "drop_recreate"},
            "sync": {"method": method, "compare_every": 0},
        }
        self.events: list[Any] = []
        source.execute_script(script)
        if method == "change_tracking":
            source.execute_script(
                f"ALTER DATABASE [{source.name}] SET CHANGE_TRACKING = ON"
                " (CHANGE_RETENTION = 2 DAYS, AUTO_CLEANUP = ON)"
            )
            source.execute_script(f"ALTER DATABASE [{source.name}] SET ALLOW_SNAPSHOT_ISOLATION ON")
            for table in tables:
                source.execute_script(f"ALTER TABLE dbo.{table} ENABLE CHANGE_TRACKING")

    def migration(self) -> Migration:
        """A new one, as each command has."""
        return Migration(Config.from_dict(self.data), on_event=self.events.append)

    def load(self) -> None:
        """The first load."""
        result = self.migration().run()
        assert result.exit_code == 0, result

    def carry(self, script: str) -> Any:
        """Change the source, make a pass, and hold both sides against each other; then a pass has nothing to do."""
        self.source.execute_script(script)
        result = self.migration().sync()
        assert_equal_rows(self.source, self.target, self.tables)
        assert self.migration().sync().changes == 0
        return result


KEYS = """
CREATE TABLE dbo.T1 (k nvarchar(20) COLLATE Latin1_General_CI_AS PRIMARY KEY, v int NULL, rv rowversion);
CREATE TABLE dbo.T2 (k datetime2(7) PRIMARY KEY, v int NULL, rv rowversion);
CREATE TABLE dbo.T3 (a decimal(12,3), b uniqueidentifier, c varchar(10) NOT NULL, v int NULL, rv rowversion,
    PRIMARY KEY (a, b, c));
CREATE TABLE dbo.T4 (a int, b int, rv rowversion, PRIMARY KEY (a, b));
CREATE TABLE dbo.T5 (k char(8) PRIMARY KEY, v nvarchar(max) NULL, rv rowversion);
INSERT INTO dbo.T1 (k, v) VALUES (N'abc', 1), (N'b', 2), (N'stra', 3);
INSERT INTO dbo.T2 (k, v) VALUES ('2020-01-01T00:00:00.0000010', 1), ('2021-01-01', 2);
INSERT INTO dbo.T3 (a, b, c, v) VALUES (1.5, '6F9619FF-8B86-D011-B42D-00C04FC964FF', 'x', 1);
INSERT INTO dbo.T4 (a, b) VALUES (1, 1), (1, 2);
INSERT INTO dbo.T5 (k, v) VALUES ('a', N'x'), ('b', N'y');
"""


@pytest.mark.parametrize("method", ["change_tracking", "compare"])
def test_keys(source_db: MssqlDatabase, target_db: PgDatabase, method: str) -> None:
    pair = Followed(source_db, target_db, method, KEYS, ["T1", "T3", "T4", "T5"])
    if method == "change_tracking":
        source_db.execute_script("ALTER TABLE dbo.T2 ENABLE CHANGE_TRACKING")
    pair.load()
    pair.carry("UPDATE dbo.T1 SET k = N'ABC' WHERE k = N'abc'")
    pair.carry("UPDATE dbo.T1 SET k = N'b ' WHERE k = N'b'")
    pair.carry("UPDATE dbo.T2 SET k = '2020-01-01T00:00:00.0000011', v = 7 WHERE v = 1")
    assert target_db.execute('SELECT v FROM "T2" ORDER BY 1') == [(2,), (7,)]
    pair.carry(
        "UPDATE dbo.T3 SET a = 2.5, c = 'X'; INSERT INTO dbo.T3 (a, b, c, v) VALUES"
        " (1.5, '6F9619FF-8B86-D011-B42D-00C04FC964FF', 'y', 3)"
    )
    pair.carry(
        "DELETE FROM dbo.T4 WHERE b = 1; INSERT INTO dbo.T4 (a, b) VALUES (2, 2); UPDATE dbo.T4 SET b = 9 WHERE a = 1;"
        " UPDATE dbo.T5 SET k = 'A', v = REPLICATE(CAST(N'ž' AS nvarchar(max)), 600000) WHERE k = 'a'"
    )
    pair.carry("DELETE FROM dbo.T1 WHERE k = N'ABC'; INSERT INTO dbo.T1 (k, v) VALUES (N'aBc', 5)")


GENERATED = """
CREATE TABLE dbo.T1 (Id int IDENTITY(1,1), K int PRIMARY KEY, A int NOT NULL, Twice AS A * 2 PERSISTED,
    [Text] nvarchar(50) NULL, F float NULL, rv rowversion);
INSERT INTO dbo.T1 (K, A, [Text], F) VALUES (1, 1, N'a' + NCHAR(0) + N'b', 0), (2, 2, N'c', -0.0), (3, 3, NULL, NULL);
"""


@pytest.mark.parametrize("method", ["rowversion", "compare"])
def test_generated_columns_nul_and_lower_names(source_db: MssqlDatabase, target_db: PgDatabase, method: str) -> None:
    pair = Followed(source_db, target_db, method, GENERATED, ["T1"])
    pair.data["migration"] |= {"on_nul": "strip", "identifier_case": "lower"}
    pair.load()

    def carry(script: str) -> None:
        source_db.execute_script(script)
        pair.migration().sync()
        text = "REPLACE([Text] COLLATE Latin1_General_BIN2, NCHAR(0), N'')"
        theirs = source_db.query(f"SELECT Id, K, A, Twice, {text}, F FROM dbo.T1 ORDER BY K")
        mine = target_db.execute("SELECT id, k, a, twice, text, f FROM t1 ORDER BY k")
        assert [tuple(row) for row in theirs] == mine
        assert pair.migration().sync().changes == 0

    carry("UPDATE dbo.T1 SET A = 50, [Text] = N'x' + NCHAR(0) + N'y' WHERE K = 1; DELETE FROM dbo.T1 WHERE K = 2")
    carry("INSERT INTO dbo.T1 (K, A) VALUES (2, 7)")


FORGOTTEN = [
    "SYSUTCDATETIME",
    "GETUTCDATE",
    "modify_date",
    "MIN_ACTIVE_ROWVERSION",
    "change_tracking_databases",
    "change_tracking_tables",
    "snapshot_isolation_state",
    "is_read_only",
]


@pytest.mark.parametrize("reader", ["auto", "driver"])
def test_a_server_that_knows_less(source_db: MssqlDatabase, target_db: PgDatabase, reader: str) -> None:
    pair = Followed(
        source_db,
        target_db,
        "rowversion",
        "CREATE TABLE dbo.R (id int PRIMARY KEY, v int, rv rowversion);"
        " CREATE TABLE dbo.W (id int PRIMARY KEY, at datetime2(3) NOT NULL); CREATE TABLE dbo.C (id int PRIMARY KEY);"
        " INSERT INTO dbo.R (id, v) VALUES (1, 1), (2, 2);"
        " INSERT INTO dbo.W VALUES (1, '2020-01-01'), (2, '2020-01-02');"
        " INSERT INTO dbo.C VALUES (1), (2)",
        ["R", "W", "C"],
    )
    pair.data["sync"] = {
        "compare_every": 0,
        "tables": {"R": {"method": "rowversion"}, "W": {"method": "watermark", "column": "at"}},
    }
    with unknowing(source_db.server.host, source_db.server.port, FORGOTTEN) as port:
        pair.data["source"] |= {"port": port, "reader": reader}
        pair.load()
        pair.carry(
            "UPDATE dbo.R SET v = 3 WHERE id = 1; DELETE FROM dbo.R WHERE id = 2; INSERT INTO dbo.W VALUES"
            " (3, '2020-01-03'); DELETE FROM dbo.W WHERE id = 1; DELETE FROM dbo.C WHERE id = 1;"
            " INSERT INTO dbo.C VALUES (7)"
        )
        status = pair.migration().sync_status()
        assert {table.table: table.method for table in status.tables} == {
            "R": "compare",
            "W": "watermark",
            "C": "compare",
        }
        assert any("MIN_ACTIVE_ROWVERSION" in note for note in status.notes)
        assert not pair.migration().sync_prepare().statements
        source_db.execute_script("ALTER TABLE dbo.R ADD extra int NULL")
        with pytest.raises(ConfigError, match="new columns"):
            pair.migration().sync()
