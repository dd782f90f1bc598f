"""Locks: who waits for whom, until when, and what the dynamic management views show of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox_tools import Answer, RawClient
from servers import MssqlDatabase, MssqlServer
from tsql_sandbox.process import wait_for

pytestmark = pytest.mark.sandbox_only
PASSWORD = "R3ader!pw"


class Asking:
    """A request that runs on a thread."""

    def __init__(self, client: RawClient, sql: str) -> None:
        self.answer: Answer | None = None
        self._client = client
        self._thread = threading.Thread(target=self._run, args=(sql,), daemon=True)
        self._thread.start()

    def _run(self, sql: str) -> None:
        self.answer = self._client.run(sql)

    def result(self) -> Answer:
        self._thread.join(10)
        assert self.answer is not None, "it still waits"
        return self.answer


@pytest.fixture(scope="module")
def place(mssql: MssqlServer) -> Iterator[MssqlDatabase]:
    database = mssql.new_database()
    database.execute_script("ALTER DATABASE CURRENT SET READ_COMMITTED_SNAPSHOT OFF")
    yield database
    database.drop()


@pytest.fixture(autouse=True)
def _table(place: MssqlDatabase) -> None:
    place.execute_script("DROP TABLE IF EXISTS t, made\nGO\nCREATE TABLE t (a int)\nGO\nINSERT t VALUES (1)")


@pytest.fixture
def one(place: MssqlDatabase) -> Iterator[RawClient]:
    with RawClient(place.server, place.name, app_name="holder") as client:
        yield client


@pytest.fixture
def two(place: MssqlDatabase) -> Iterator[RawClient]:
    with RawClient(place.server, place.name, app_name="waiter") as client:
        yield client


@pytest.fixture
def eye(place: MssqlDatabase) -> Iterator[RawClient]:
    with RawClient(place.server, "master", app_name="eye") as client:
        yield client


def waits(eye: RawClient) -> list[list[Any]]:
    """The requests that wait: who, behind whom, the type of wait."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        rows = eye.rows(
            "SELECT session_id, blocking_session_id, wait_type, wait_time, command, status FROM sys.dm_exec_requests"
            " WHERE blocking_session_id <> 0"
        )
        if rows:
            return rows
        time.sleep(0.02)
    raise AssertionError("nothing waits")


def spid(client: RawClient) -> int:
    return int(client.rows("SELECT @@SPID")[0][0])


HELD = [
    # what one does, what two asks, the wait
    ("ALTER TABLE t ADD b int", "SELECT a FROM t", "LCK_M_SCH_S"),
    ("ALTER TABLE t ADD b int", "SELECT a FROM t WITH (NOLOCK)", "LCK_M_SCH_S"),
    ("TRUNCATE TABLE t", "SELECT COUNT(*) FROM t", "LCK_M_SCH_S"),
    ("UPDATE t SET a = 2", "SELECT a FROM t", "LCK_M_S"),
    ("INSERT t VALUES (2)", "SELECT a FROM t", "LCK_M_S"),
    ("DELETE t", "SELECT a FROM t", "LCK_M_S"),
    ("SELECT a FROM t WITH (TABLOCKX)", "SELECT a FROM t", "LCK_M_IS"),
    ("SELECT a FROM t WITH (TABLOCK, HOLDLOCK)", "INSERT t VALUES (3)", "LCK_M_IX"),
    ("INSERT t VALUES (2)", "ALTER TABLE t ADD b int", "LCK_M_SCH_M"),
    ("ALTER TABLE t ADD b int", "INSERT t (a) VALUES (3)", "LCK_M_SCH_S"),
    ("CREATE INDEX i ON t (a)", "UPDATE t SET a = 5", "LCK_M_SCH_S"),
    ("DROP TABLE t", "SELECT a FROM t", None),
    ("CREATE TABLE made (a int)", "SELECT COUNT(*) FROM sys.tables", None),
]


@pytest.mark.parametrize(("held", "asked", "kind"), HELD)
def test_a_request_waits_until_the_transaction_ends(
    one: RawClient, two: RawClient, eye: RawClient, held: str, asked: str, kind: str | None
) -> None:
    holder, waiter = spid(one), spid(two)
    assert one.run(f"BEGIN TRAN; {held}").errors == []
    asking = Asking(two, asked)
    ((session, blocker, wait_type, _, command, status),) = waits(eye)
    assert (session, blocker, status) == (waiter, holder, "suspended")
    assert kind is None or wait_type == kind
    assert command == asked.split(" WITH")[0].split()[0] or command.startswith("ALTER")
    assert asking.answer is None
    assert one.run("ROLLBACK").errors == []
    assert asking.result().errors == []


def test_what_was_waited_for_is_seen(one: RawClient, two: RawClient, eye: RawClient) -> None:
    one.run("BEGIN TRAN; UPDATE t SET a = 7; ALTER TABLE t ADD b int NOT NULL DEFAULT 3")
    asking = Asking(two, "SELECT * FROM t")
    waits(eye)
    one.run("COMMIT")
    assert asking.result().rows == [[[7, 3]]]
    one.run("BEGIN TRAN; DROP TABLE t")
    asking = Asking(two, "SELECT * FROM t")
    waits(eye)
    one.run("COMMIT")
    assert asking.result().numbers == [208]


def test_who_does_not_wait(place: MssqlDatabase, one: RawClient, two: RawClient) -> None:
    one.run("BEGIN TRAN; UPDATE t SET a = 2")
    assert two.rows("SELECT a FROM t WITH (NOLOCK)") == [[1]]
    two.run("SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED")
    assert two.run("SELECT a FROM t").errors == []
    two.run("SET TRANSACTION ISOLATION LEVEL SNAPSHOT")
    assert two.rows("SELECT a FROM t") == [[1]]
    assert two.run("SET TRANSACTION ISOLATION LEVEL READ COMMITTED; DROP TABLE IF EXISTS other").errors == []
    assert two.run("INSERT t VALUES (9)").errors == []
    place.execute_script("ALTER DATABASE CURRENT SET READ_COMMITTED_SNAPSHOT ON")
    try:
        assert len(two.rows("SELECT a FROM t")) == 2
    finally:
        place.execute_script(f"ALTER DATABASE [{place.name}] SET READ_COMMITTED_SNAPSHOT OFF WITH ROLLBACK IMMEDIATE")


def test_a_call_of_a_procedure_waits_too(one: RawClient, two: RawClient, eye: RawClient) -> None:
    one.run("BEGIN TRAN; SELECT * INTO made FROM t")
    asking = Asking(two, "EXEC sp_rename 'dbo.made', 'other'")
    waits(eye)
    one.run("COMMIT")
    assert asking.result().errors == []
    assert two.rows("SELECT a FROM other") == [[1]]
    one.run("BEGIN TRAN; SELECT * INTO made FROM t; SELECT a FROM made; ROLLBACK; DROP TABLE other")
    assert two.run("SELECT a FROM made").numbers == [208]


def test_the_time_a_wait_may_take(one: RawClient, two: RawClient) -> None:
    one.run("BEGIN TRAN; UPDATE t SET a = 2")
    answer = two.run("SET LOCK_TIMEOUT 200; SELECT a FROM t; SELECT @@LOCK_TIMEOUT")
    assert answer.numbers == [1222]
    assert answer.rows[-1] == [[200]]
    assert two.run("SET LOCK_TIMEOUT 0; SELECT a FROM t").numbers == [1222]


def test_a_wait_can_be_cancelled(one: RawClient, two: RawClient, eye: RawClient) -> None:
    one.run("BEGIN TRAN; UPDATE t SET a = 2")
    asking = Asking(two, "SELECT a FROM t")
    waits(eye)
    two.attention()
    assert asking.result().rows == []
    one.run("ROLLBACK")
    assert two.rows("SELECT a FROM t") == [[1]]


def test_who_waits_in_a_circle_is_the_victim(
    place: MssqlDatabase, one: RawClient, two: RawClient, eye: RawClient
) -> None:
    place.execute_script("CREATE TABLE made (a int)")
    one.run("BEGIN TRAN; UPDATE t SET a = 2")
    two.run("BEGIN TRAN; INSERT made VALUES (1)")
    asking = Asking(one, "SELECT a FROM made")
    waits(eye)
    assert two.run("SELECT a FROM t").numbers == [1205]
    assert two.rows("SELECT @@TRANCOUNT") == [[0]]
    assert asking.result().rows == [[]]


def test_a_connection_that_goes_gives_its_locks_back(place: MssqlDatabase, two: RawClient, eye: RawClient) -> None:
    holder = RawClient(place.server, place.name)
    holder.run("BEGIN TRAN; UPDATE t SET a = 2")
    asking = Asking(two, "SELECT a FROM t")
    waits(eye)
    holder.close()
    assert asking.result().rows == [[[1]]]


def test_the_views_show_locks_and_transactions(one: RawClient, eye: RawClient) -> None:
    one.run("BEGIN TRAN; UPDATE t SET a = 2")
    holder = spid(one)
    assert eye.rows(
        "SELECT l.request_mode, l.request_status, s.program_name, s.status, s.open_transaction_count"
        " FROM sys.dm_tran_locks l JOIN sys.dm_exec_sessions s ON s.session_id = l.request_session_id"
        f" WHERE l.request_session_id = {holder}"
    ) == [["IX", "GRANT", "holder", "sleeping", 1]]
    assert eye.rows(
        "SELECT DATEDIFF(second, a.transaction_begin_time, GETDATE()) FROM sys.dm_tran_session_transactions t"
        f" JOIN sys.dm_tran_active_transactions a ON a.transaction_id = t.transaction_id WHERE t.session_id = {holder}"
    )[0][0] in range(10)
    asking = Asking(one, "WAITFOR DELAY '00:00:01.5'")
    seen = f"SELECT command, wait_type, status FROM sys.dm_exec_requests WHERE session_id = {holder}"
    assert wait_for(lambda: eye.rows(seen) == [["WAITFOR", "WAITFOR", "suspended"]])
    asking.result()


def test_without_view_server_state_only_the_own_session_is_seen(place: MssqlDatabase, one: RawClient) -> None:
    name = f"state_{place.name}"
    place.execute_script(f"CREATE LOGIN {name} WITH PASSWORD = '{PASSWORD}'\nGO\nCREATE USER {name} FOR LOGIN {name}")
    try:
        with RawClient(place.server, place.name, user=name, password=PASSWORD) as client:
            own = spid(client)
            for view in ("sys.dm_exec_sessions", "sys.dm_exec_requests"):
                assert client.rows(f"SELECT session_id FROM {view}") == [[own]]
            assert client.run("SELECT * FROM sys.dm_tran_locks").numbers == [300]
            assert client.run("SELECT * FROM sys.dm_os_waiting_tasks").numbers == [300]
            place.execute_script(f"USE master\nGO\nGRANT VIEW SERVER STATE TO {name}")
            assert [spid(one)] in client.rows("SELECT session_id FROM sys.dm_exec_sessions")
            assert client.run("SELECT * FROM sys.dm_tran_locks").errors == []
    finally:
        place.execute_script(f"DROP USER {name}\nGO\nDROP LOGIN {name}")
