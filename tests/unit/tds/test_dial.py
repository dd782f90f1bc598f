"""Connecting to a host that has several addresses, over real sockets of the loopback network."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from mssql_pg_migrate.tds.dial import connect_tcp

ALIVE, DEAD, CLOSED = "127.0.0.1", "127.0.0.2", "127.0.0.3"


@pytest.fixture
def port() -> Iterator[int]:
    """A port on which ALIVE answers, DEAD lets every attempt time out and CLOSED refuses."""
    with ExitStack() as stack:
        alive = stack.enter_context(socket.create_server((ALIVE, 0)))
        number: int = alive.getsockname()[1]
        try:
            dead = stack.enter_context(socket.create_server((DEAD, number), backlog=0))
        except OSError:
            pytest.skip("this system has one loopback address")
        for _ in range(8):  # a full queue: the system does not answer any more
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(dead.getsockname())
        yield number


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses of the host ``listener``, in the order in which a name server might give them."""
    addresses: list[str] = []
    real = socket.getaddrinfo

    def lookup(host: str, *more: object, **options: object) -> list[object]:
        names = addresses if host == "listener" else [host]
        return [one for name in names for one in real(name, *more, **options)]  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    return addresses


@pytest.mark.parametrize("before", [[DEAD], [CLOSED], [CLOSED, DEAD], []])
def test_the_address_that_answers_is_taken(listener: list[str], port: int, before: list[str]) -> None:
    listener.extend([*before, ALIVE])
    start = time.monotonic()
    with connect_tcp("listener", port, 10) as sock:
        assert sock.getpeername() == (ALIVE, port)
        assert sock.gettimeout() == 10
    assert time.monotonic() - start < 5


def test_no_address_answers(listener: list[str], port: int) -> None:
    listener.extend([CLOSED, CLOSED])
    with pytest.raises(ConnectionRefusedError):
        connect_tcp("listener", port, 10)
    listener.append(DEAD)
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        connect_tcp("listener", port, 1)
    assert time.monotonic() - start < 5
