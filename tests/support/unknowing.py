"""A SQL Server that does not know some words: what the client writes passes through, with the words misspelled.

Every question and its refusal are real; only the name that is asked for does not exist.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence


@contextlib.contextmanager
def unknowing(host: str, port: int, words: Sequence[str]) -> Iterator[int]:
    """The port of such a server, in front of a real one without encryption."""
    listener = socket.create_server(("127.0.0.1", 0))
    open_sockets: list[socket.socket] = [listener]

    def relay(source: socket.socket, sink: socket.socket, forgotten: Sequence[str]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                for word in forgotten:
                    misspelled = word[:-1] + ("q" if word[-1].islower() else "Q")
                    data = data.replace(word.encode("utf-16-le"), misspelled.encode("utf-16-le"))
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection((host, port))
                open_sockets.extend((client, server))
                threading.Thread(target=relay, args=(client, server, words), daemon=True).start()
                threading.Thread(target=relay, args=(server, client, ()), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        for item in open_sockets:
            with contextlib.suppress(OSError):
                item.shutdown(socket.SHUT_RDWR)
            item.close()
