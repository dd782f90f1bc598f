"""The benchmark's line does to a connection what it says: no more delay, no less, no byte changed."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3]))

from benchmarks.line import Line


class Echo(threading.Thread):
    """A server that sends back what it gets, on each of its connections."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.start()

    def run(self) -> None:
        """Take connections until the listener is closed."""
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    @staticmethod
    def _serve(connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(1 << 16):
                    connection.sendall(data)
            except OSError:
                return


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.listener.shutdown(socket.SHUT_RDWR)
    server.listener.close()


def ask(connection: socket.socket, data: bytes) -> bytes:
    """Send, and read as many bytes back, while sending goes on."""
    threading.Thread(target=connection.sendall, args=(data,), daemon=True).start()
    found = bytearray()
    while len(found) < len(data):
        more = connection.recv(1 << 16)
        assert more, "the line ended"
        found += more
    return bytes(found)


def first_byte(line: Line) -> bytes:
    """Connect, and wait to be told something."""
    with socket.create_connection((line.host, line.port), 10) as connection:
        return connection.recv(1)


def test_a_line_without_delay_carries_every_byte_and_counts_turns(echo: Echo) -> None:
    data = bytes(range(256)) * 40_000
    with Line("127.0.0.1", echo.port) as line, socket.create_connection((line.host, line.port), 10) as connection:
        assert ask(connection, b"a") == b"a"
        assert ask(connection, b"b") == b"b"
        assert line.traffic().turns == 2
        assert ask(connection, data) == data
        traffic = line.traffic()
    assert (traffic.up, traffic.down, traffic.connections) == (len(data) + 2, len(data) + 2, 1)


def test_delay_holds_for_each_turn_and_does_not_throttle(echo: Echo) -> None:
    with Line("127.0.0.1", echo.port, round_trip=0.1) as line:
        begin = time.monotonic()
        with socket.create_connection((line.host, line.port), 10) as connection:
            ask(connection, b"x")
            first = time.monotonic() - begin
            begin = time.monotonic()
            for _ in range(3):
                ask(connection, b"x")
            turns = time.monotonic() - begin
            begin = time.monotonic()
            ask(connection, bytes(6 << 20))
            bulk = time.monotonic() - begin
    assert first >= 0.2  # the handshake and the question
    assert 0.3 <= turns < 0.8
    assert bulk < 1.5


def test_the_rate_is_kept_over_all_connections(echo: Echo) -> None:
    with Line("127.0.0.1", echo.port, rate=2e6) as line:
        ends = [socket.create_connection((line.host, line.port), 10) for _ in range(2)]
        begin = time.monotonic()
        threads = [threading.Thread(target=ask, args=(end, bytes(500_000))) for end in ends]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.monotonic() - begin
        for end in ends:
            end.close()
    assert 0.5 <= seconds < 1.5  # 1 MB each way, both ways at once


def test_a_stalled_line_hands_on_later_what_it_held(echo: Echo) -> None:
    with Line("127.0.0.1", echo.port) as line, socket.create_connection((line.host, line.port), 10) as connection:
        ask(connection, b"x")
        line.stall()
        connection.sendall(b"held")
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(10)
        line.flow()
        connection.settimeout(10)
        assert connection.recv(10) == b"held"


def test_a_reset_is_a_reset_and_a_line_that_is_down_takes_nobody(echo: Echo) -> None:
    with Line("127.0.0.1", echo.port) as line:
        with socket.create_connection((line.host, line.port), 10) as connection:
            ask(connection, b"x")
            assert line.reset() == 1
            with pytest.raises(ConnectionResetError):
                connection.recv(10)
        line.down()
        with pytest.raises(ConnectionResetError):  # in connecting, or the first that is heard
            first_byte(line)
        line.up()
        with socket.create_connection((line.host, line.port), 10) as connection:
            assert ask(connection, b"x") == b"x"


def test_the_end_of_one_direction_is_handed_on(echo: Echo) -> None:
    with Line("127.0.0.1", echo.port) as line, socket.create_connection((line.host, line.port), 10) as connection:
        connection.sendall(b"last")
        connection.shutdown(socket.SHUT_WR)
        found = b""
        while data := connection.recv(100):
            found += data
        assert found == b"last"


def test_a_server_that_is_away_is_a_reset() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with Line("127.0.0.1", port) as line:
        with pytest.raises(ConnectionResetError):
            first_byte(line)
        assert line.traffic().connections == 0
