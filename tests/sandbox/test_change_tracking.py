"""Change Tracking, rowversions and what transactions see of each other."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox_tools import RawClient
from servers import MssqlDatabase, MssqlServer

pytestmark = pytest.mark.sandbox_only
PASSWORD = "R3ader!pw"


@pytest.fixture
def place(mssql: MssqlServer) -> Iterator[MssqlDatabase]:
    database = mssql.new_database()
    database.execute_script(
        "ALTER DATABASE CURRENT SET CHANGE_TRACKING = ON (CHANGE_RETENTION = 2 DAYS, AUTO_CLEANUP = ON)\nGO\n"
        "CREATE TABLE p (id int PRIMARY KEY, a nvarchar(20), b int, r rowversion)\nGO\n"
        "CREATE TABLE c (id int PRIMARY KEY, p int NULL REFERENCES p (id) ON DELETE CASCADE, v int)\nGO\n"
        "CREATE TABLE s (id int PRIMARY KEY, p int NULL REFERENCES p (id) ON DELETE SET NULL, r rowversion)\nGO\n"
        "ALTER TABLE p ENABLE CHANGE_TRACKING WITH (TRACK_COLUMNS_UPDATED = ON)\nGO\n"
        "ALTER TABLE c ENABLE CHANGE_TRACKING\nGO\nALTER TABLE s ENABLE CHANGE_TRACKING"
    )
    yield database
    database.drop()


@pytest.fixture
def raw(place: MssqlDatabase) -> Iterator[RawClient]:
    with RawClient(place.server, place.name) as client:
        yield client


@pytest.fixture
def other(place: MssqlDatabase) -> Iterator[RawClient]:
    with RawClient(place.server, place.name) as client:
        yield client


def version(raw: RawClient) -> int:
    return int(raw.rows("SELECT CHANGE_TRACKING_CURRENT_VERSION()")[0][0])


def changes(raw: RawClient, table: str, since: int) -> list[list[Any]]:
    return raw.rows(f"SELECT id, SYS_CHANGE_OPERATION FROM CHANGETABLE(CHANGES {table}, {since}) AS x ORDER BY id")


def test_what_a_change_is_called_depends_on_the_baseline(raw: RawClient) -> None:
    start = version(raw)
    raw.run("INSERT p (id, a) VALUES (1, N'x'), (2, N'y'); INSERT p (id, a) SELECT 3, N'z'")
    inserted = version(raw)
    assert inserted == start + 2
    raw.run("UPDATE p SET a = N'xx' WHERE id = 1; DELETE p WHERE id = 2; UPDATE p SET id = 30 WHERE id = 3")
    assert changes(raw, "p", start) == [[1, "I"], [2, "D"], [3, "D"], [30, "I"]]
    assert changes(raw, "p", inserted) == [[1, "U"], [2, "D"], [3, "D"], [30, "I"]]
    raw.run("INSERT p (id) VALUES (2)")
    assert changes(raw, "p", inserted)[1] == [2, "U"]
    assert changes(raw, "p", version(raw)) == []
    assert raw.rows("SELECT MAX(SYS_CHANGE_VERSION), COUNT(*) FROM CHANGETABLE(CHANGES p, NULL) AS x") == [
        [version(raw), 4]
    ]


def test_keys_that_change_places_are_updates(raw: RawClient) -> None:
    raw.run("INSERT p (id, b) VALUES (1, 10), (2, 20)")
    before = version(raw)
    raw.run("UPDATE p SET id = 3 - id")
    assert changes(raw, "p", before) == [[1, "U"], [2, "U"]]
    assert raw.rows("SELECT id, b FROM p ORDER BY id") == [[1, 20], [2, 10]]


def test_columns_and_context(raw: RawClient) -> None:
    raw.run("INSERT p (id, a, b) VALUES (1, N'x', 1)")
    before = version(raw)
    raw.run("DECLARE @c varbinary(128) = 0xCAFE; WITH CHANGE_TRACKING_CONTEXT (@c) UPDATE p SET b = 2 WHERE id = 1")
    query = f"SELECT SYS_CHANGE_COLUMNS, SYS_CHANGE_CONTEXT FROM CHANGETABLE(CHANGES p, {before}) AS x"
    ((mask, context),) = raw.rows(query)
    assert mask is not None
    assert context == b"\xca\xfe"
    raw.run("UPDATE p SET a = N'y' WHERE id = 1")
    ((wider, context),) = raw.rows(query)
    assert len(wider) > len(mask)
    assert context is None
    assert raw.run("WITH CHANGE_TRACKING_CONTEXT (0x01) SELECT 1").numbers == [22108]
    assert raw.run("WITH CHANGE_TRACKING_CONTEXT (N'x') DELETE p").numbers == [22109]


def test_rows_that_foreign_keys_change_are_tracked(raw: RawClient) -> None:
    raw.run(
        "INSERT p (id) VALUES (1), (2); INSERT c VALUES (10, 1, 0), (20, 2, 0); INSERT s (id, p) VALUES (5, 1), (6, 2)"
    )
    before = version(raw)
    stamps = raw.rows("SELECT r FROM s ORDER BY id")
    raw.run("DELETE p WHERE id = 1")
    assert changes(raw, "p", before) == [[1, "D"]]
    assert changes(raw, "c", before) == [[10, "D"]]
    assert changes(raw, "s", before) == [[5, "U"]]
    after = raw.rows("SELECT r, p FROM s ORDER BY id")
    assert after[0][0] > stamps[1][0]
    assert after[1] == [stamps[1][0], 2]


def test_a_version_is_one_of_a_committed_transaction(raw: RawClient, other: RawClient) -> None:
    before = version(raw)
    raw.run("BEGIN TRAN; INSERT p (id) VALUES (1); INSERT p (id) VALUES (2); UPDATE p SET b = 5 WHERE id = 1")
    assert version(other) == before
    assert changes(other, "p", before) == []
    other.run("INSERT p (id) VALUES (3)")
    raw.run("COMMIT")
    rows = other.rows(f"SELECT id, SYS_CHANGE_VERSION FROM CHANGETABLE(CHANGES p, {before}) AS x ORDER BY id")
    assert rows == [[1, before + 2], [2, before + 2], [3, before + 1]]
    raw.run("BEGIN TRAN; DELETE p; ROLLBACK")
    assert version(raw) == before + 2
    assert raw.run("INSERT p (id) VALUES (1)").numbers == [2627]
    assert version(raw) == before + 2


def test_a_snapshot_sees_one_moment_in_several_statements(raw: RawClient, other: RawClient) -> None:
    raw.run("INSERT p (id) VALUES (1)")
    before = version(raw)
    raw.run("SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRAN")
    assert version(raw) == before
    other.run("INSERT p (id) VALUES (2); INSERT c VALUES (1, 2, 0)")
    assert version(raw) == before
    assert changes(raw, "p", before) == changes(raw, "c", before) == []
    assert raw.rows("SELECT COUNT(*) FROM p") == [[1]]
    raw.run("COMMIT")
    assert changes(raw, "p", before) == [[2, "I"]]


def test_read_committed_sees_what_is_committed_by_each_statement(raw: RawClient, other: RawClient) -> None:
    raw.run("SET TRANSACTION ISOLATION LEVEL READ COMMITTED; BEGIN TRAN")
    assert raw.rows("SELECT COUNT(*) FROM p") == [[0]]
    other.run("INSERT p (id) VALUES (2)")
    assert raw.rows("SELECT COUNT(*) FROM p") == [[1]]
    raw.run("COMMIT")


def test_truncate_and_switching_on_again_make_positions_invalid(raw: RawClient) -> None:
    raw.run("INSERT s (id) VALUES (1)")
    position = version(raw)
    least = "SELECT CHANGE_TRACKING_MIN_VALID_VERSION(OBJECT_ID('s'))"
    assert raw.rows(least)[0][0] <= position
    raw.run("TRUNCATE TABLE s")
    assert raw.rows(least)[0][0] > position
    assert changes(raw, "s", 0) == []
    position = version(raw)
    assert raw.rows(least)[0][0] <= position
    raw.run("ALTER TABLE s DISABLE CHANGE_TRACKING; INSERT s (id) VALUES (2); ALTER TABLE s ENABLE CHANGE_TRACKING")
    assert raw.rows(least)[0][0] > position
    raw.run("BEGIN TRAN; TRUNCATE TABLE s; ROLLBACK")
    assert raw.rows(least)[0][0] <= version(raw)
    assert raw.rows("SELECT COUNT(*) FROM s") == [[1]]


def test_clean_up_moves_the_least_valid_version(raw: RawClient, other: RawClient) -> None:
    raw.run("INSERT p (id) VALUES (1); INSERT p (id) VALUES (2)")
    newest = version(raw)
    other.run("SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRAN")
    assert len(changes(other, "p", newest - 2)) == 2
    assert raw.run("EXEC sys.sp_flush_CT_internal_table_on_demand").errors == []
    assert len(changes(raw, "p", newest - 2)) == 2
    raw.run("EXEC sandbox_clean_changes @seconds = 0")
    assert changes(raw, "p", newest - 2) == []
    assert len(changes(other, "p", newest - 2)) == 2
    assert raw.rows("SELECT min_valid_version, cleanup_version FROM sys.change_tracking_tables")[0] == [newest, newest]
    assert version(raw) == newest
    raw.run("INSERT p (id) VALUES (3)")
    assert changes(raw, "p", newest) == [[3, "I"]]


def test_versions_of_single_rows(raw: RawClient) -> None:
    raw.run("INSERT p (id) VALUES (1), (2)")
    first = version(raw)
    raw.run("UPDATE p SET b = 1 WHERE id = 2")
    joined = "SELECT p.id, v.SYS_CHANGE_VERSION FROM p CROSS APPLY CHANGETABLE(VERSION p, (id), (p.id)) AS v ORDER BY 1"
    assert raw.rows(joined) == [[1, first], [2, first + 1]]
    assert raw.rows("SELECT COUNT(*) FROM CHANGETABLE(VERSION p, (id), (9)) AS v") == [[0]]
    raw.run("EXEC sandbox_clean_changes @seconds = 0")
    assert raw.rows(joined) == [[1, None], [2, None]]
    assert raw.run("SELECT * FROM CHANGETABLE(VERSION p, (a), (N'x')) AS v").numbers == [22111]


def test_what_is_refused(raw: RawClient, place: MssqlDatabase) -> None:
    raw.run("CREATE TABLE n (id int NOT NULL); CREATE TABLE k (id int CONSTRAINT pk_k PRIMARY KEY)")
    assert raw.run("ALTER TABLE n ENABLE CHANGE_TRACKING").numbers == [4997]
    assert raw.run("ALTER TABLE p ENABLE CHANGE_TRACKING").numbers == [4996]
    assert raw.run("ALTER TABLE k DISABLE CHANGE_TRACKING").numbers == [4998]
    assert raw.run("SELECT * FROM CHANGETABLE(CHANGES k, 0) AS x").numbers == [22105]
    assert raw.run("SELECT * FROM CHANGETABLE(CHANGES p, 0)").numbers == [22104]
    assert raw.run(f"ALTER DATABASE {place.name} SET CHANGE_TRACKING = OFF").numbers == [22115]
    assert raw.run(f"ALTER DATABASE {place.name} SET CHANGE_TRACKING = ON").numbers == [5088]
    raw.run("ALTER TABLE k ENABLE CHANGE_TRACKING")
    assert raw.run("ALTER TABLE k DROP CONSTRAINT pk_k").numbers == [3735]
    settings = "retention_period, retention_period_units_desc, is_auto_cleanup_on FROM sys.change_tracking_databases"
    assert raw.rows(f"SELECT {settings} WHERE database_id = DB_ID()") == [[2, "DAYS", True]]
    with RawClient(place.server) as master:
        assert master.run("ALTER DATABASE master SET CHANGE_TRACKING = ON").numbers == [5090]
        assert master.rows("SELECT CHANGE_TRACKING_CURRENT_VERSION()") == [[None]]


def test_seeing_changes_needs_a_right(raw: RawClient, place: MssqlDatabase) -> None:
    name = f"ct_{place.name}"
    raw.run(f"CREATE LOGIN {name} WITH PASSWORD = '{PASSWORD}'; CREATE USER {name} FOR LOGIN {name}")
    try:
        raw.run(f"ALTER ROLE db_datareader ADD MEMBER {name}")
        least = "SELECT CHANGE_TRACKING_MIN_VALID_VERSION(OBJECT_ID('p'))"
        with RawClient(place.server, place.name, user=name, password=PASSWORD) as client:
            assert client.run("SELECT * FROM CHANGETABLE(CHANGES p, 0) AS x").numbers == [229]
            assert client.rows(least) == [[None]]
            raw.run(f"GRANT VIEW CHANGE TRACKING ON dbo.p TO {name}")
            assert client.run("SELECT * FROM CHANGETABLE(CHANGES p, 0) AS x").errors == []
            assert client.rows(least)[0][0] is not None
    finally:
        raw.run(f"DROP USER {name}; DROP LOGIN {name}")


def test_the_lowest_active_rowversion(raw: RawClient, other: RawClient) -> None:
    ask = "SELECT CAST(@@DBTS AS bigint), CAST(MIN_ACTIVE_ROWVERSION() AS bigint)"
    other.run("INSERT p (id) VALUES (1)")
    ((used, lowest),) = raw.rows(ask)
    assert lowest == used + 1
    other.run("BEGIN TRAN; INSERT p (id) VALUES (2); UPDATE p SET b = 1 WHERE id = 1")
    raw.run("INSERT s (id) VALUES (7)")
    assert raw.rows(ask) == [[used + 3, used + 1]]
    assert raw.rows("SELECT CAST(r AS bigint) FROM s") == [[used + 3]]
    other.run("ROLLBACK")
    assert raw.rows(ask) == [[used + 3, used + 4]]
    stamps = [row[0] for row in raw.rows("SELECT CAST(r AS bigint) FROM p")]
    raw.run("UPDATE p SET b = b")
    assert [row[0] for row in raw.rows("SELECT CAST(r AS bigint) FROM p")] == [used + 4] != stamps


def test_two_writers_of_one_row(raw: RawClient, other: RawClient) -> None:
    raw.run("INSERT p (id, b) VALUES (1, 0)")
    raw.run("BEGIN TRAN; UPDATE p SET b = b + 1 WHERE id = 1")
    answers: list[list[int]] = []
    thread = threading.Thread(target=lambda: answers.append(other.run("UPDATE p SET b = b + 10 WHERE id = 1").numbers))
    thread.start()
    thread.join(0.3)
    assert answers == []
    raw.run("COMMIT")
    thread.join(10)
    assert answers == [[]]
    assert raw.rows("SELECT b FROM p") == [[11]]
    other.run("SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRAN; SELECT b FROM p")
    raw.run("UPDATE p SET b = 0")
    assert other.run("UPDATE p SET b = 1").numbers == [3960]


def test_changes_add_up_beside_writers(place: MssqlDatabase) -> None:
    """Following the changes in snapshots gives the table at each moment, whatever writers do meanwhile."""
    stop = threading.Event()
    failed: list[object] = []

    def write(seed: int) -> None:
        chance = random.Random(seed)
        with RawClient(place.server, place.name) as client:
            while not stop.is_set():
                first, second = chance.randrange(1, 40) * 3 + seed, chance.randrange(1, 40) * 3 + seed
                end = "ROLLBACK" if chance.random() < 0.2 else "COMMIT"
                numbers = client.run(
                    f"BEGIN TRAN; DELETE c WHERE id = {first}; INSERT c VALUES ({first}, NULL, {seed});"
                    f" UPDATE c SET v = v + 1 WHERE id = {second}; DELETE c WHERE id = {second + 3}; {end}"
                ).numbers
                if set(numbers) - {1205, 2627, 3902, 3903}:
                    failed.append(numbers)
                client.run("IF @@TRANCOUNT > 0 ROLLBACK")

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    try:
        copy: dict[int, int] = {}
        with RawClient(place.server, place.name) as reader:
            reader.run("SET TRANSACTION ISOLATION LEVEL SNAPSHOT")
            position = 0
            for _ in range(40):
                reader.run("BEGIN TRAN")
                upto = version(reader)
                found = reader.rows(
                    "SELECT x.id, x.SYS_CHANGE_OPERATION, c.v, x.SYS_CHANGE_VERSION"
                    f" FROM CHANGETABLE(CHANGES c, {position}) AS x LEFT JOIN c ON c.id = x.id"
                )
                for key, operation, value, at in found:
                    assert position < at <= upto
                    if operation == "D":
                        copy.pop(key, None)
                    else:
                        assert (operation == "I") == (key not in copy)
                        copy[key] = value
                assert {row[0]: row[1] for row in reader.rows("SELECT id, v FROM c")} == copy
                reader.run("COMMIT")
                position = upto
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)
    assert failed == []
    assert position > 40
