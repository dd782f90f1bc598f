"""Faults on request strike where and as often as asked; counters tell who was connected."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest

from sandbox_tools import RawClient
from servers import MssqlDatabase, MssqlServer
from tsql_sandbox import SandboxServer

pytestmark = pytest.mark.sandbox_only

ROWS = 5000


@pytest.fixture(scope="module")
def place(mssql: MssqlServer) -> Iterator[MssqlDatabase]:
    database = mssql.new_database()
    database.execute_script(
        "CREATE TABLE orders (id int PRIMARY KEY, t nvarchar(20)); CREATE TABLE calm (id int PRIMARY KEY)\nGO\n"
        "INSERT calm VALUES (1), (2), (3)\nGO\n"
        f"INSERT orders SELECT TOP ({ROWS}) a.number * 2048 + b.number, N'text' FROM master..spt_values a"
        " CROSS JOIN master..spt_values b WHERE a.number < 3"
    )
    yield database
    database.drop()


@pytest.fixture
def sandbox(place: MssqlDatabase) -> SandboxServer:
    assert place.server.sandbox is not None
    return place.server.sandbox


def connect(place: MssqlDatabase, app_name: str = "raw") -> RawClient:
    return RawClient(place.server, place.name, app_name=app_name)


def received_before_the_end(client: RawClient) -> int:
    """Bytes of an answer until the connection ends."""
    size = 0
    while data := client.socket.recv(1 << 16):
        size += len(data)
    return size


class TestDrop:
    def test_after_some_rows_and_once(self, place: MssqlDatabase, sandbox: SandboxServer) -> None:
        sandbox.faults.drop("orders", after_rows=1000)
        with connect(place) as client:
            client.send("SELECT id FROM orders ORDER BY id")
            size = received_before_the_end(client)
        # A row is a token byte and four of the number; the connection ends at the thousandth, whole packets or not.
        assert 1000 * 5 <= size <= 1000 * 5 + 400
        with connect(place) as client:
            assert len(client.rows("SELECT id FROM orders")) == ROWS

    def test_before_the_first_row_and_several_times(self, place: MssqlDatabase, sandbox: SandboxServer) -> None:
        sandbox.faults.drop("ord*", times=2)
        for expected in (True, True, False):
            with connect(place) as client:
                assert len(client.rows("SELECT COUNT(*) FROM calm")) == 1
                client.send("SELECT TOP (1) id FROM orders")
                assert (client.socket.recv(1) == b"") == expected
        assert [hit["kind"] for hit in sandbox.faults.hits] == ["drop", "drop"]

    def test_a_driver_sees_a_lost_connection(self, place: MssqlDatabase, sandbox: SandboxServer) -> None:
        connection = place.connect()
        cursor = connection.cursor()
        sandbox.faults.drop("orders", after_rows=3000)
        cursor.execute("SELECT id, t FROM orders ORDER BY id")
        # mssql-python takes the loss for the end of the rows and tells of it in the cursor's messages only.
        assert len(cursor.fetchall()) == 3000
        assert any("08S01" in state for state, _ in cursor.messages)
        with pytest.raises(Exception, match=r"(?i)communication link"):
            cursor.execute("SELECT 1")
        with contextlib.suppress(Exception):
            connection.close()


class TestErrors:
    @pytest.mark.parametrize(
        ("number", "ends"), [(1205, False), (40501, True), (10928, True), (1222, False), (51234, False)]
    )
    def test_any_number_after_some_rows(
        self, place: MssqlDatabase, sandbox: SandboxServer, number: int, ends: bool
    ) -> None:
        sandbox.faults.error(number, "orders", after_rows=2500)
        with connect(place) as client:
            answer = client.run("SELECT id FROM orders ORDER BY id")
            assert answer.numbers == [number]
            assert len(answer.rows[0]) == 2500
            assert answer.done[-1].failed
            if ends:
                assert client.socket.recv(1) == b""
            else:
                assert len(client.rows("SELECT id FROM orders")) == ROWS

    def test_set_over_tds(self, place: MssqlDatabase) -> None:
        with connect(place) as client:
            assert (
                client.run("EXEC sandbox_fault 'error', @number = 1205, @table = 'orders', @after_rows = 7").errors
                == []
            )
            answer = client.run("SELECT id FROM orders ORDER BY id")
            assert (answer.numbers, len(answer.rows[0])) == ([1205], 7)
            client.run("EXEC sandbox_fault 'error', @table = 'orders', @times = 0")
            assert client.run("SELECT id FROM orders").numbers == [1205]
            client.run("EXEC sandbox_fault 'clear'")
            assert client.run("SELECT TOP (1) id FROM orders").errors == []
            assert client.run("EXEC sandbox_fault 'explode'").numbers == [50000]
            assert client.run("EXEC sandbox_fault 'drop', @nonsense = 1").numbers == [50000]

    def test_only_one_application_or_statement(self, place: MssqlDatabase, sandbox: SandboxServer) -> None:
        sandbox.faults.error(1205, "orders", app="nightly*")
        sandbox.faults.error(1222, "calm", statement="*where id = 2*")
        with connect(place, "raw") as one, connect(place, "nightly load") as other:
            assert one.run("SELECT TOP (1) id FROM orders").errors == []
            assert other.run("SELECT TOP (1) id FROM orders").numbers == [1205]
            assert one.run("SELECT id FROM calm WHERE id = 1").errors == []
            assert one.run("SELECT id FROM calm WHERE id = 2").numbers == [1222]


class TestLogins:
    def test_refused_so_many_times(self, place: MssqlDatabase, sandbox: SandboxServer) -> None:
        sandbox.faults.refuse_login(times=2)
        sandbox.faults.refuse_login(40613, times=1)
        numbers = []
        for _ in range(4):
            with connect(place) as client:
                numbers.append(client.login.numbers)
        assert numbers == [[18456], [18456], [40613], []]


class TestPace:
    def test_a_stall_in_the_middle(self, place: MssqlDatabase, sandbox: SandboxServer) -> None:
        sandbox.faults.stall(2.0, "orders", after_rows=100)
        with connect(place) as client, connect(place) as other:
            started = time.monotonic()
            client.send("SELECT id FROM orders ORDER BY id")
            assert len(other.rows("SELECT id FROM calm")) == 3
            assert time.monotonic() - started < 1.9  # the other client does not wait
            assert len(client.receive().rows[0]) == ROWS
            assert time.monotonic() - started > 1.95

    def test_a_slow_line(self, place: MssqlDatabase, sandbox: SandboxServer) -> None:
        sandbox.faults.slow(10_000, "orders", times=1)
        with connect(place) as client:
            started = time.monotonic()
            assert len(client.rows("SELECT id FROM orders ORDER BY id")) == ROWS
            slow = time.monotonic() - started
            assert slow > 1.6
            started = time.monotonic()
            client.rows("SELECT id FROM orders ORDER BY id")
            assert time.monotonic() - started < slow


class TestServer:
    def test_disconnect_and_pause(self) -> None:
        with SandboxServer() as server:
            source = MssqlServer(server.host, server.port, server.user, server.password, sandbox=server)
            source.execute_script("CREATE DATABASE kept\nGO\nUSE kept; CREATE TABLE t (a int); INSERT t VALUES (1)")
            client = RawClient(source, "kept")
            server.disconnect_all()
            assert client.socket.recv(1) == b""
            client.close()
            server.pause(0.5)
            with pytest.raises(ConnectionError):
                RawClient(source, "kept")
            time.sleep(0.6)
            with RawClient(source, "kept") as client:
                assert client.rows("SELECT a FROM t") == [[1]]

    def test_a_killed_server_is_gone_and_starts_again_on_its_port(self) -> None:
        server = SandboxServer().start()
        port = server.port
        server.kill()
        server.start()
        assert server.port == port
        assert server.connections() == 0
        server.stop()

    def test_the_process_ends_with_its_parent(self) -> None:
        server = SandboxServer().start()
        process = server._process
        assert process is not None
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(10) == 0
        server.stop()

    def test_the_password_is_not_on_the_command_line(self, sandbox: SandboxServer) -> None:
        from pathlib import Path

        command = Path(f"/proc/{sandbox.pid}/cmdline").read_bytes() if Path("/proc").exists() else b""
        assert sandbox.password.encode() not in command


class TestCounters:
    def test_connections_by_login_and_application(self, place: MssqlDatabase, sandbox: SandboxServer) -> None:
        sandbox.reset_counters(keep_statements=True)
        with connect(place, "counted"), connect(place, "counted") as client:
            client.run("SELECT 'marked'")
            row = next(row for row in sandbox.counters()["logins"] if row["app_name"] == "counted")
            assert (row["connections"], row["most_connections"], row["logins"]) == (2, 2, 2)
            over_tds = client.rows("EXEC sandbox_counters")
            assert [row[2:] for row in over_tds if row[1] == "counted"] == [[2, 2, 2]]
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            row = next(row for row in sandbox.counters()["logins"] if row["app_name"] == "counted")
            if row["connections"] == 0:
                break
        assert (row["connections"], row["most_connections"]) == (0, 2)
        assert "SELECT 'marked'" in sandbox.statements()
        sandbox.reset_counters()
