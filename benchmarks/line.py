"""A line between a program and a server: a TCP proxy that delays, caps the rate, stalls, drops and counts.

It delays without throttling: bytes are taken as they come and handed on half a round trip later, as many at once as a
window allows. A new connection costs one round trip more, for the handshake that the proxy's own socket hides. What
goes in each direction over all connections of a line shares its rate.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import TypeVar

T = TypeVar("T")
WINDOW = 8 << 20
"""Bytes of one connection and direction that may be under way: Linux' largest receive window is of that size."""
_READ = 256 << 10
_RATED_READ = 16 << 10
"""With a rate, smaller pieces: a piece is handed on when its last byte would have arrived."""


@dataclass
class Traffic:
    """What a line has carried: bytes to and from the server, connections, and turns.

    A turn is a change of direction, from the client to the server: over a long line each one costs a round trip.
    """

    up: int = 0
    down: int = 0
    connections: int = 0
    turns: int = 0

    def since(self, before: Traffic) -> Traffic:
        """The difference to an earlier copy."""
        return Traffic(
            self.up - before.up,
            self.down - before.down,
            self.connections - before.connections,
            self.turns - before.turns,
        )


class Line:
    """A proxy to ``host:port`` on a port of its own, ``port``, on 127.0.0.1; a context manager.

    ``round_trip`` is in seconds, ``rate`` in bytes a second and direction (None: as fast as the machine). All methods
    may be called from any thread.
    """

    def __init__(self, host: str, port: int, *, round_trip: float = 0.0, rate: float | None = None) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self.round_trip = round_trip
        self.rate = rate
        self._server = (host, port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="line", daemon=True)
        self._listener: socket.socket | None = None
        self._flowing = asyncio.Event()
        self._up = True
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._free = {"up": 0.0, "down": 0.0}
        self._traffic = Traffic()

    # -- life ------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Line:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Listen. Raises OSError."""
        listener = socket.create_server((self.host, 0), backlog=256)
        listener.setblocking(False)
        self._listener = listener
        self.port = listener.getsockname()[1]
        self._thread.start()
        self._call(lambda: self._flowing.set())

    def stop(self) -> None:
        """Reset what is left and end; idempotent."""
        if not self._thread.is_alive():
            return
        self._call(self._drop)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        assert self._listener is not None
        self._listener.close()
        self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        accepting = self._loop.create_task(self._accept())
        self._loop.run_forever()
        left = [accepting, *self._tasks]
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))

    def _call(self, work: Callable[[], T]) -> T:
        """``work()`` in the loop's thread; its result."""

        async def do() -> T:
            return work()

        return asyncio.run_coroutine_threadsafe(do(), self._loop).result(30)

    # -- what can befall a line ------------------------------------------------------------------------------------

    def stall(self) -> None:
        """Hand nothing on until `flow`; connections stay, new ones are taken but hear nothing."""
        self._call(self._flowing.clear)

    def flow(self) -> None:
        """Hand on again, what was held first."""
        self._call(self._flowing.set)

    def reset(self) -> int:
        """Reset every connection, at both ends, with what was under way; how many there were."""
        return self._call(self._drop)

    def down(self) -> None:
        """Reset every connection and refuse new ones until `up`."""

        def work() -> None:
            self._up = False
            self._drop()

        self._call(work)

    def up(self) -> None:
        """Take connections again."""

        def work() -> None:
            self._up = True

        self._call(work)

    def traffic(self) -> Traffic:
        """What was carried up to now, a copy."""
        return self._call(lambda: Traffic(**vars(self._traffic)))

    # -- the loop's thread -----------------------------------------------------------------------------------------

    def _drop(self) -> int:
        links = list(self._links)
        for link in links:
            link.reset()
        return len(links)

    async def _accept(self) -> None:
        assert self._listener is not None
        while True:
            client, _ = await self._loop.sock_accept(self._listener)
            if not self._up:
                _reset(client)
                continue
            task = self._loop.create_task(self._carry(client))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, client: socket.socket) -> None:
        """One connection from its beginning to its end."""
        opened = self._loop.time()
        server = socket.socket(socket.AF_INET6 if ":" in self._server[0] else socket.AF_INET, socket.SOCK_STREAM)
        for end in (client, server):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await self._loop.sock_connect(server, self._server)
        except OSError:
            _reset(client)
            server.close()
            return
        self._traffic.connections += 1
        link = _Link(client, server)
        self._links.add(link)
        try:
            link.tasks = [
                self._loop.create_task(job)
                for job in (
                    self._take(link, client, link.up, "up", opened),
                    self._hand_on(link.up, server),
                    self._take(link, server, link.down, "down", opened),
                    self._hand_on(link.down, client),
                )
            ]
            await asyncio.gather(*link.tasks)
        except (OSError, asyncio.CancelledError):
            link.reset()
        finally:
            self._links.discard(link)
            client.close()
            server.close()

    async def _take(self, link: _Link, source: socket.socket, queue: _Queue, way: str, opened: float) -> None:
        """Read what comes, and note when each piece is due at the other end."""
        handshake = opened + self.round_trip
        while True:
            data = await self._loop.sock_recv(source, _RATED_READ if self.rate else _READ)
            now = max(self._loop.time(), handshake)
            due = now + self.round_trip / 2
            if self.rate and data:
                self._free[way] = max(self._free[way], now) + len(data) / self.rate
                due = self._free[way] + self.round_trip / 2
            if way == "up" and data:
                self._traffic.up += len(data)
                if link.last != way:
                    self._traffic.turns += 1
            elif data:
                self._traffic.down += len(data)
            link.last = way
            queue.put(due, data)
            if not data:
                return
            while queue.bytes > WINDOW:
                queue.room.clear()
                await queue.room.wait()

    async def _hand_on(self, queue: _Queue, destination: socket.socket) -> None:
        """Deliver each piece when it is due."""
        while True:
            while not queue.pieces:
                queue.filled.clear()
                await queue.filled.wait()
            due, data = queue.pieces.popleft()
            wait = due - self._loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            if not self._flowing.is_set():
                await self._flowing.wait()
            if not data:
                destination.shutdown(socket.SHUT_WR)
                return
            await self._loop.sock_sendall(destination, data)
            queue.bytes -= len(data)
            queue.room.set()


@dataclass
class _Queue:
    """What is under way in one direction of one connection; an empty piece is the end."""

    pieces: deque[tuple[float, bytes]] = field(default_factory=deque)
    bytes: int = 0
    filled: asyncio.Event = field(default_factory=asyncio.Event)
    room: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, due: float, data: bytes) -> None:
        """Enter a piece."""
        self.pieces.append((due, data))
        self.bytes += len(data)
        self.filled.set()


@dataclass(eq=False)
class _Link:
    """One connection: two sockets, two queues, the four tasks between them."""

    client: socket.socket
    server: socket.socket
    up: _Queue = field(default_factory=_Queue)
    down: _Queue = field(default_factory=_Queue)
    last: str = "down"
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def reset(self) -> None:
        """Both ends see a reset."""
        for task in self.tasks:
            task.cancel()
        for end in (self.client, self.server):
            _reset(end)


def _reset(end: socket.socket) -> None:
    """Close a socket so that its peer sees a reset (SO_LINGER of 0 seconds); idempotent."""
    if end.fileno() >= 0:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.close()
