"""The server's side of the conversation: tokens, transactions, prepared statements, cancelling, many clients."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mssql_pg_migrate.tds import tokens
from mssql_pg_migrate.tds import types as t
from mssql_pg_migrate.tds.metadata import TypeInfo
from mssql_pg_migrate.tds.packets import PacketType
from mssql_pg_migrate.tds.rpc import Parameter, RpcCall
from sandbox_tools import RawClient
from servers import MssqlDatabase, MssqlServer

pytestmark = pytest.mark.sandbox_only

TEXT = TypeInfo(type_id=t.NVARCHAR, length=8000, collation=bytes((9, 4, 0xD0, 0, 0x34)))
INT = TypeInfo(type_id=t.INTN, length=4)
MANY = "SELECT a.number, b.number FROM master..spt_values a CROSS JOIN master..spt_values b"


@pytest.fixture(scope="module")
def small(mssql: MssqlServer) -> Iterator[MssqlDatabase]:
    database = mssql.new_database()
    database.execute_script(
        "CREATE TABLE t (id int PRIMARY KEY, a nvarchar(10) NULL)\nGO\nINSERT t VALUES (1,N'x'),(2,NULL)"
    )
    yield database
    database.drop()


@pytest.fixture
def raw(small: MssqlDatabase) -> Iterator[RawClient]:
    with RawClient(small.server, small.name) as client:
        yield client


class TestLogin:
    def test_what_a_login_is_told(self, small: MssqlDatabase) -> None:
        with RawClient(small.server, small.name, packet_size=32767) as client:
            changes = {token.kind: token.new for token in client.login.others if isinstance(token, tokens.EnvChange)}
            assert changes[tokens.ENV_DATABASE] == small.name
            assert changes[tokens.ENV_PACKET_SIZE] == "32767"
            assert changes[tokens.ENV_COLLATION] == bytes((9, 4, 0xD0, 0, 0x34))
            assert any(isinstance(token, tokens.LoginAck) for token in client.login.others)

    def test_numbers_of_refusals(self, small: MssqlDatabase) -> None:
        with RawClient(small.server, small.name, password="wrong") as client:
            assert client.login.numbers == [18456]
        with RawClient(small.server, "nope") as client:
            assert client.login.numbers == [4060, 18456]

    def test_garbage_ends_the_connection_and_nothing_else(self, small: MssqlDatabase) -> None:
        for data in (b"GET / HTTP/1.1\r\n\r\n", bytes(100), b"\x16\x03\x01\x00\x05hello"):
            sock = socket.create_connection((small.server.host, small.server.port), timeout=10)
            with contextlib.suppress(OSError), sock:
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
                assert len(sock.recv(100)) < 100
        assert small.query("SELECT 1") == [(1,)]


class TestResults:
    def test_counts_and_ends(self, raw: RawClient) -> None:
        answer = raw.run("SELECT id FROM t; SELECT 1 WHERE 1 = 0; UPDATE t SET a = a WHERE id = 1")
        assert [(done.row_count, done.more) for done in answer.done] == [(2, True), (0, True), (1, False)]
        assert [done.command for done in answer.done] == [tokens.CMD_SELECT, tokens.CMD_SELECT, tokens.CMD_UPDATE]

    def test_nocount(self, raw: RawClient) -> None:
        answer = raw.run("SET NOCOUNT ON; UPDATE t SET a = a; SELECT 1")
        assert len(answer.done) == 1
        raw.run("SET NOCOUNT OFF")

    def test_not_null_columns_have_fixed_types_and_others_have_not(self, raw: RawClient) -> None:
        columns = raw.run("SELECT id, id + 1, a FROM t").columns[0]
        assert [column.type_id for column in columns] == [t.INT4, t.INT4, t.NVARCHAR]
        assert [column.nullable for column in columns] == [False, False, True]
        outer = raw.run("SELECT o.id FROM t LEFT JOIN t AS o ON o.id = t.id + 1").columns[0]
        assert outer[0].type_id == t.INTN

    def test_rows_with_many_nulls_are_compressed(self, raw: RawClient) -> None:
        nulls = ", ".join("CAST(NULL AS nvarchar(max))" for _ in range(20))
        answer = raw.run(f"SELECT 1, {nulls} UNION ALL SELECT 2, {nulls.replace('NULL', chr(39) + 'x' + chr(39))}")
        assert answer.compressed == 1
        assert answer.rows[0] == [[1, *[None] * 20], [2, *["x"] * 20]]

    def test_errors_a_batch_survives_and_errors_that_end_it(self, raw: RawClient) -> None:
        answer = raw.run("INSERT t VALUES (1, N'again'); SELECT 7")
        assert answer.numbers == [2627]
        assert answer.rows == [[[7]]]
        answer = raw.run("SELECT 1; SELECT * FROM nosuch; SELECT 2")
        assert answer.numbers == [208]
        assert answer.rows == [[[1]]]
        assert answer.done[-1].failed

    def test_lines_of_errors(self, raw: RawClient) -> None:
        assert raw.run("SELECT 1\n\nSELECT * FROM nosuch").errors[0].line == 3
        assert raw.run("SELECT 1\nSELEC 2").errors[0].line == 2

    def test_messages(self, raw: RawClient) -> None:
        answer = raw.run("PRINT N'ü'; RAISERROR('low %d', 5, 1, 7); RAISERROR('high', 16, 3); SELECT 1")
        assert [info.text for info in answer.infos] == ["ü", "low 7"]
        assert [(error.number, error.severity, error.state) for error in answer.errors] == [(50000, 16, 3)]
        assert answer.rows == [[[1]]]

    def test_what_the_sandbox_does_not_know_is_an_error_that_says_so(self, raw: RawClient) -> None:
        for sql, name in (
            ("SELECT FORMAT(1, 'x')", "FORMAT"),
            ("MERGE t USING t AS s ON 1=1", "MERGE"),
            ("DBCC x", "DBCC"),
        ):
            answer = raw.run(sql)
            assert answer.numbers == [40517]
            assert name in answer.errors[0].text
        assert raw.rows("SELECT 1") == [[1]]

    def test_use(self, raw: RawClient) -> None:
        answer = raw.run("USE master; SELECT DB_NAME()")
        assert answer.rows == [[["master"]]]
        assert any(isinstance(token, tokens.EnvChange) and token.new == "master" for token in answer.others)

    def test_an_old_lob_and_a_large_value_in_small_packets(self, small: MssqlDatabase) -> None:
        with RawClient(small.server, small.name, packet_size=512) as client:
            sql = "SELECT CAST(REPLICATE(CAST('x' AS varchar(max)), 70000) AS text)"
            sql += ", REPLICATE(CAST(N'ß' AS nvarchar(max)), 9999)"
            assert client.rows(sql) == [["x" * 70000, "ß" * 9999]]


class TestCalls:
    def test_prepare_execute_unprepare(self, raw: RawClient) -> None:
        prepared = raw.call(
            RpcCall(
                "sp_prepexec",
                (
                    Parameter("", INT, None, 1),
                    Parameter("", TEXT, "@a int"),
                    Parameter("", TEXT, "SELECT @a + 1"),
                    Parameter("", INT, 4),
                ),
            )
        )
        assert prepared.rows == [[[5]]]
        handle = next(token for token in prepared.others if isinstance(token, tokens.ReturnValue))
        number = int.from_bytes(handle.data[1:], "little")
        again = raw.call(RpcCall("sp_execute", (Parameter("", INT, number), Parameter("", INT, 9))))
        assert again.rows == [[[10]]]
        assert raw.call(RpcCall("sp_unprepare", (Parameter("", INT, number),))).errors == []
        assert raw.call(RpcCall("sp_execute", (Parameter("", INT, number), Parameter("", INT, 9)))).numbers == [8179]

    def test_executesql_and_several_calls_in_one_request(self, raw: RawClient) -> None:
        call = RpcCall(
            "sp_executesql",
            (Parameter("", TEXT, "SELECT @x"), Parameter("", TEXT, "@x nvarchar(20)"), Parameter("@x", TEXT, "ü")),
        )
        answer = raw.call(call, call)
        assert answer.rows == [[["ü"]], [["ü"]]]
        assert [done.token for done in answer.done].count(tokens.DONEPROC) == 2
        assert not answer.done[-1].more

    def test_server_cursors_are_refused(self, raw: RawClient) -> None:
        assert raw.call(RpcCall("sp_cursoropen", (Parameter("", TEXT, "SELECT 1"),))).numbers == [40517]

    def test_a_missing_procedure(self, raw: RawClient) -> None:
        assert raw.call(RpcCall("dbo.nosuch")).numbers == [2812]


class TestCancel:
    def test_in_the_middle_of_rows(self, raw: RawClient) -> None:
        raw.send(MANY)
        raw.stream.read_packet()
        raw.attention()
        ended = False
        while not ended:
            packet = raw.stream.read_packet()
            assert packet is not None
            ended = packet[0].is_last
        assert raw.rows("SELECT 1") == [[1]]

    def test_while_nothing_comes(self, raw: RawClient) -> None:
        started = time.monotonic()
        raw.send("WAITFOR DELAY '00:00:30'")
        raw.attention()
        assert raw.receive().done[-1].cancelled
        assert time.monotonic() - started < 10
        assert raw.rows("SELECT 1") == [[1]]

    def test_while_the_engine_computes(self, raw: RawClient) -> None:
        started = time.monotonic()
        raw.send(f"SELECT COUNT_BIG(*) FROM ({MANY}) AS x(a, b) CROSS JOIN ({MANY}) AS y(a, b) WHERE x.a * y.b % 7 = 3")
        time.sleep(0.3)
        raw.attention()
        assert raw.receive().done[-1].cancelled
        assert time.monotonic() - started < 15
        assert raw.rows("SELECT 1") == [[1]]

    def test_when_nothing_runs(self, raw: RawClient) -> None:
        raw.attention()
        answer = raw.receive()
        assert [done.cancelled for done in answer.done] == [True]
        assert raw.rows("SELECT 1") == [[1]]


class TestManyClients:
    def test_one_that_does_not_read_holds_up_nobody(self, small: MssqlDatabase) -> None:
        with RawClient(small.server, small.name) as idle:
            idle.send(MANY)
            time.sleep(0.2)
            started = time.monotonic()
            assert small.query("SELECT COUNT(*) FROM t") == [(2,)]
            assert time.monotonic() - started < 5

    def test_rows_are_sent_as_they_come_and_not_kept(self, small: MssqlDatabase) -> None:
        assert small.server.sandbox is not None
        pid = small.server.sandbox.pid
        with RawClient(small.server, small.name) as client:
            client.rows("SELECT 1")
            before = _memory(pid)
            client.send(
                "SELECT REPLICATE(N'x', 2000), a.number FROM master..spt_values a CROSS JOIN master..spt_values b"
            )
            time.sleep(1.5)
            assert _memory(pid) - before < 150_000_000

    def test_sixty_at_once(self, small: MssqlDatabase) -> None:
        failures: list[str] = []

        def work(number: int) -> None:
            try:
                with RawClient(small.server, small.name) as client:
                    for _ in range(3):
                        if client.rows(f"SELECT {number}, COUNT(*) FROM t") != [[number, 2]]:
                            failures.append(f"{number}: wrong answer")
            except Exception as error:
                failures.append(f"{number}: {error!r}")

        threads = [threading.Thread(target=work, args=(number,)) for number in range(60)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert failures == []

    def test_a_client_that_vanishes_leaves_no_session(self, small: MssqlDatabase) -> None:
        assert small.server.sandbox is not None
        before = small.server.sandbox.connections()
        client = RawClient(small.server, small.name)
        client.send(MANY)
        client.close()
        deadline = time.monotonic() + 10
        while small.server.sandbox.connections() > before and time.monotonic() < deadline:
            time.sleep(0.05)
        assert small.server.sandbox.connections() <= before


def _memory(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * 4096


class TestTransactions:
    def test_requests_of_drivers(self, raw: RawClient) -> None:
        head = struct.pack("<IIHQI", 22, 18, 2, 0, 1)
        raw.stream.write_message(PacketType.TRANSACTION_MANAGER, head + struct.pack("<HBB", 5, 2, 0))
        began = raw.receive()
        assert any(isinstance(x, tokens.EnvChange) and x.kind == tokens.ENV_BEGIN_TRANSACTION for x in began.others)
        raw.run("INSERT t VALUES (99, N'x')")
        raw.stream.write_message(PacketType.TRANSACTION_MANAGER, head + struct.pack("<HBB", 8, 0, 0))
        assert raw.receive().errors == []
        assert raw.rows("SELECT COUNT(*) FROM t WHERE id = 99") == [[0]]

    def test_rollback_takes_tables_and_rows_back(self, raw: RawClient) -> None:
        raw.run("BEGIN TRAN; CREATE TABLE temporary (a int); INSERT t VALUES (98, N'x'); ROLLBACK")
        assert raw.rows("SELECT COUNT(*) FROM sys.tables WHERE name = N'temporary'") == [[0]]
        assert raw.rows("SELECT COUNT(*), @@TRANCOUNT FROM t WHERE id = 98") == [[0, 0]]
        assert raw.run("INSERT t VALUES (98, N'x'); DELETE t WHERE id = 98").errors == []

    def test_uncommitted_rows_are_seen_by_nobody_else(self, small: MssqlDatabase) -> None:
        with RawClient(small.server, small.name) as one, RawClient(small.server, small.name) as other:
            one.run("BEGIN TRAN; INSERT t VALUES (97, N'x')")
            assert other.rows("SELECT COUNT(*) FROM t WHERE id = 97") == [[0]]
            one.run("COMMIT")
            assert other.rows("SELECT COUNT(*) FROM t WHERE id = 97") == [[1]]
            one.run("DELETE t WHERE id = 97")
