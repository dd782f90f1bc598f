"""The generated StackOverflow2010-shaped database: ready rows and DuckDB tell the same, and quickly."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from mssql_pg_migrate.tds import tokens
from mssql_pg_migrate.tds.packets import PacketType
from mssql_pg_migrate.tds.rpc import encode_batch
from sandbox_tools import RawClient
from servers import MssqlServer, mssql_from_sandbox
from tsql_sandbox import SandboxServer

pytestmark = pytest.mark.sandbox_only


TABLES = ("Badges", "Comments", "LinkTypes", "PostLinks", "Posts", "PostTypes", "Tags", "Users", "Votes", "VoteTypes")
READY = ("Badges", "Comments", "PostLinks", "Posts", "Tags", "Users", "Votes")


@pytest.fixture(scope="module")
def server() -> Iterator[MssqlServer]:
    with SandboxServer(generate=20_000, generate_database="so") as sandbox:
        yield mssql_from_sandbox(sandbox)


@pytest.fixture
def raw(server: MssqlServer) -> Iterator[RawClient]:
    with RawClient(server, "so", packet_size=32767) as client:
        yield client


def test_ten_tables_in_proportion(raw: RawClient) -> None:
    names = [row[0] for row in raw.rows("SELECT name FROM sys.tables ORDER BY name")]
    assert names == sorted(TABLES, key=str.lower)
    counts = {name: raw.rows(f"SELECT COUNT(*) FROM dbo.{name}")[0][0] for name in TABLES}
    assert 19_900 <= sum(counts.values()) <= 20_100
    assert counts["Votes"] > counts["Comments"] > counts["Posts"] > counts["Badges"] > counts["Users"]
    rows = raw.rows(
        "SELECT OBJECT_NAME(object_id), SUM(rows) FROM sys.partitions WHERE index_id = 1 GROUP BY object_id"
    )
    assert {row[0]: row[1] for row in rows} == counts


@pytest.mark.parametrize("table", READY)
def test_ready_rows_are_those_of_the_engine_byte_for_byte(raw: RawClient, table: str) -> None:
    columns = [
        row[0]
        for row in raw.rows(f"SELECT name FROM sys.columns WHERE object_id = OBJECT_ID('{table}') ORDER BY column_id")
    ]
    listed = ", ".join(f"[{name}]" for name in columns)
    ready = raw.run(f"SELECT {listed} FROM [dbo].[{table}] ORDER BY [Id]")
    engine = raw.run(f"SELECT {listed} FROM [dbo].[{table}] WHERE 1 = 1 ORDER BY [Id]")
    assert ready.rows[0] == engine.rows[0]
    assert ready.payload == engine.payload
    assert ready.compressed == engine.compressed


@pytest.mark.parametrize(
    "condition",
    [
        "[Id] > 100",
        "[Id] <= CAST(500 AS int)",
        "[Id] > 100 AND [Id] <= 500",
        "t.Id BETWEEN 100 AND 500",
        "500 > Id AND (Id >= 2)",
        "[Id] = 1",
        "[Id] > 2147483646",
        "[Id] > -5 AND [Id] < 1",
    ],
)
@pytest.mark.parametrize("top", ["", "TOP (7) "])
def test_ranges(raw: RawClient, condition: str, top: str) -> None:
    ready = raw.run(f"SELECT {top}* FROM dbo.Votes AS t WHERE {condition} ORDER BY Id")
    engine = raw.run(f"SELECT {top}* FROM dbo.Votes AS t WHERE {condition} AND 1 = 1 ORDER BY Id")
    assert ready.rows == engine.rows
    assert ready.done == engine.done


def test_other_queries_fall_back(raw: RawClient) -> None:
    ids = [row[0] for row in raw.rows("SELECT Id FROM Votes ORDER BY Id")]
    assert [row[0] for row in raw.rows("SELECT Id FROM Votes ORDER BY Id DESC")] == ids[::-1]
    assert raw.rows("SELECT MIN(Id), MAX(Id), COUNT_BIG(*) FROM Votes") == [[ids[0], ids[-1], len(ids)]]
    halves = raw.rows(
        "SELECT MAX(Id) FROM (SELECT Id, NTILE(2) OVER (ORDER BY Id) AS n FROM Votes) AS q GROUP BY n ORDER BY 1"
    )
    assert halves[0][0] == ids[(len(ids) + 1) // 2 - 1]
    assert (
        raw.rows("SELECT COUNT(*) FROM Posts AS p JOIN Users AS u ON u.Id = p.OwnerUserId WHERE p.PostTypeId = 1")[0][0]
        > 0
    )


def test_keys_have_gaps_values_have_nulls_and_text_is_not_only_ascii(raw: RawClient) -> None:
    count, last = raw.rows("SELECT COUNT(*), MAX(Id) FROM Votes")[0]
    assert last > count * 1.2
    nulls, bodies, longest = raw.rows("SELECT COUNT(*) - COUNT(Title), AVG(LEN(Body)), MAX(LEN(Body)) FROM Posts")[0]
    assert nulls > 0
    assert 300 < bodies < 2000
    assert longest > 4000
    texts = "".join(row[0] for row in raw.rows("SELECT Text FROM Comments"))
    assert not texts.isascii()
    assert "🚀" in texts
    assert 100 < len(texts) / raw.rows("SELECT COUNT(*) FROM Comments")[0][0] < 250


def test_the_same_seed_gives_the_same_rows_and_another_does_not(server: MssqlServer) -> None:
    assert server.sandbox is not None
    sums = []
    for seed in (7, 7, 8):
        server.sandbox.generate(3000, database=f"seed{len(sums)}", seed=seed)
        with RawClient(server, f"seed{len(sums)}") as client:
            sums.append(
                [client.run(f"SELECT * FROM {table} ORDER BY Id").payload for table in ("Posts", "Users", "Votes")]
            )
    assert sums[0] == sums[1]
    assert sums[0] != sums[2]


def test_a_changed_table_becomes_an_ordinary_one(server: MssqlServer) -> None:
    assert server.sandbox is not None
    server.sandbox.generate(2000, database="changed")
    with RawClient(server, "changed") as client:
        before = client.rows("SELECT * FROM Votes ORDER BY Id")
        assert client.run("UPDATE Votes SET VoteTypeId = 99 WHERE Id = 1").errors == []
        assert client.run("INSERT Votes (PostId, VoteTypeId, CreationDate) VALUES (1, 2, '2010-01-01')").errors == []
        after = client.rows("SELECT * FROM Votes ORDER BY Id")
        assert after[0][4] == 99
        assert after[1:-1] == before[1:]
        assert after[-1][0] == before[-1][0] + 1
        assert client.run("DROP TABLE Posts").errors == []


def test_faults_strike_ready_rows_too(server: MssqlServer, raw: RawClient) -> None:
    assert server.sandbox is not None
    server.sandbox.faults.error(1205, "Votes", after_rows=1234)
    answer = raw.run("SELECT * FROM Votes ORDER BY Id")
    assert (answer.numbers, len(answer.rows[0])) == ([1205], 1234)
    server.sandbox.faults.drop("Votes", after_rows=2000)
    raw.send("SELECT * FROM Votes ORDER BY Id")
    raw.socket.settimeout(10)
    while raw.socket.recv(1 << 16):
        pass


def test_a_cancel_between_ready_rows_leaves_the_connection_usable(server: MssqlServer) -> None:
    assert server.sandbox is not None
    server.sandbox.generate(60_000, database="large")
    with RawClient(server, "large", packet_size=32767) as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
        client.send("SELECT * FROM Posts ORDER BY Id")
        client.stream.read_packet()
        client.attention()
        answer = None
        payload = b""
        while answer is None:
            packet = client.stream.read_packet()
            assert packet is not None
            payload += packet[1]
            answer = packet if packet[0].is_last else None
        assert tokens.Done(tokens.DONE_ATTENTION).encode() == payload[-13:]
        assert client.rows("SELECT 1") == [[1]]


def test_five_million_narrow_rows_a_second_and_more(server: MssqlServer) -> None:
    assert server.sandbox is not None
    server.sandbox.generate(400_000, database="speed")
    with RawClient(server, "speed", packet_size=32767) as client:
        count = client.rows("SELECT COUNT(*) FROM Votes")[0][0]
        best = 0.0
        buffer = memoryview(bytearray(1 << 20))
        for _ in range(5):
            started = time.perf_counter()
            client.stream.write_message(PacketType.SQL_BATCH, encode_batch("SELECT * FROM Votes ORDER BY Id"))
            tail = b""
            while not (tail[:1] == b"\xfd" and int.from_bytes(tail[5:13], "little") == count):
                size = client.socket.recv_into(buffer)
                tail = (tail + bytes(buffer[max(0, size - 13) : size]))[-13:]
            best = max(best, count / (time.perf_counter() - started))
    assert best > 5_000_000, f"{best:,.0f} rows/s"
