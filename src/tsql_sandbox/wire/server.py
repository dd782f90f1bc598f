"""The listening server: a thread for each connection."""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from types import TracebackType

import duckdb

from mssql_pg_migrate.tds.tls import TDS8_ALPN

from ..engine.engine import Engine
from ..faults import Counters, Faults
from .certificate import tls_context
from .conversation import Conversation

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
_BACKLOG = 128
_SEND_BUFFER = 1 << 20
_BATCH, _RPC = b"\x01", b"\x03"
"""First bytes of packets that begin a request."""


class TdsServer:
    """A sandbox server inside this process, on the loopback interface only.

    Do not use it from the same process through a driver that holds Python's global lock while it waits for the
    network, as mssql-python does: both would wait for ever. `SandboxServer` runs it in a process of its own.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        user: str = "sa",
        password: str = "Sandbox!1",
        tls: bool = True,
        force_encryption: bool = False,
        engine: Engine | None = None,
    ) -> None:
        self.engine = engine or Engine()
        self.engine.add_login(user, password, sysadmin=True)
        self.host = LOOPBACK
        self.tls = tls_context() if tls else None
        self.force_encryption = force_encryption
        self._listener = socket.create_server((LOOPBACK, port), backlog=_BACKLOG)
        self.port: int = self._listener.getsockname()[1]
        self._stopping = threading.Event()
        self._paused_until = 0.0
        self._conversations: set[Conversation] = set()
        self._busy: set[Conversation] = set()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    @property
    def faults(self) -> Faults:
        """Where faults are asked for."""
        return self.engine.faults

    @property
    def counters(self) -> Counters:
        """Who is connected."""
        return self.engine.counters

    def strict_tls(self) -> ssl.SSLContext:
        """The context of TDS 8.0, where TLS comes first."""
        return tls_context(strict=True, alpn=TDS8_ALPN)

    def start(self) -> TdsServer:
        """Begin to serve; returns at once."""
        for target in (self._accept, self._watch):
            thread = threading.Thread(target=target, daemon=True, name=f"sandbox-{target.__name__}")
            thread.start()
            self._threads.append(thread)
        return self

    def stop(self) -> None:
        """End all connections and stop listening."""
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.disconnect_all()
        for thread in self._threads:
            thread.join(5)
        deadline = time.monotonic() + 5
        while self._conversations and time.monotonic() < deadline:
            time.sleep(0.01)
        self.engine.close()

    def disconnect_all(self) -> None:
        """Cut every connection, as a server that dies does."""
        with self._lock:
            conversations = list(self._conversations)
        for conversation in conversations:
            with contextlib.suppress(OSError):
                conversation.socket.shutdown(socket.SHUT_RDWR)
            if conversation.session is not None:
                with contextlib.suppress(duckdb.Error):
                    conversation.session.connection.interrupt()

    def pause(self, seconds: float) -> None:
        """Cut every connection and every new one for a while, as a server that restarts does."""
        self._paused_until = time.monotonic() + seconds
        self.disconnect_all()

    def __enter__(self) -> TdsServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- threads ---

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            if time.monotonic() < self._paused_until:
                sock.close()
                continue
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
            conversation = Conversation(self, self.watching, sock)
            with self._lock:
                self._conversations.add(conversation)
            threading.Thread(target=self._serve, args=(conversation,), daemon=True, name="sandbox-connection").start()

    def _serve(self, conversation: Conversation) -> None:
        try:
            conversation.run()
        except Exception:
            log.exception("a connection of the sandbox failed")
        finally:
            with self._lock:
                self._conversations.discard(conversation)

    @contextlib.contextmanager
    def watching(self, conversation: Conversation) -> Iterator[None]:
        """While a request runs, DuckDB is interrupted when the client sends something (a cancel) or goes."""
        with self._lock:
            self._busy.add(conversation)
        try:
            yield
        finally:
            with self._lock:
                self._busy.discard(conversation)

    def _watch(self) -> None:
        while not self._stopping.wait(0.1):
            with self._lock:
                busy = {conversation.socket: conversation for conversation in self._busy}
            try:
                readable = select.select(list(busy), [], [], 0)[0] if busy else []
            except (OSError, ValueError):
                continue
            for sock in readable:
                session = busy[sock].session
                if session is not None and _ends_request(sock):
                    with contextlib.suppress(duckdb.Error):
                        session.connection.interrupt()


def _ends_request(sock: socket.socket) -> bool:
    """Whether what has arrived meanwhile is a cancel, the end of the connection, or hidden by TLS.

    A quick client's next request may be here before the thread has noted the end of the last one.
    """
    try:
        first = sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return first not in (_BATCH, _RPC)
