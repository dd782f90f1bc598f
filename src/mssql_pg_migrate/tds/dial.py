"""A TCP connection to whichever address of a host answers.

The listener of an availability group has an address in each subnet, and only one of them is alive; a host may have an
IPv6 address that leads nowhere. Tried one after the other, each dead address would cost the whole timeout, once for
every connection.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import time
from typing import Any

_HEAD_START = 0.25
"""Seconds before the next address is tried too; it is tried at once where the one before has failed."""
_UNDER_WAY = (0, errno.EINPROGRESS, errno.EWOULDBLOCK, getattr(errno, "WSAEWOULDBLOCK", errno.EWOULDBLOCK))


def connect_tcp(host: str, port: int, timeout: float | None) -> socket.socket:
    """Connect; the socket has that timeout too (None: it waits for ever).

    Raises:
        OSError: the host is unknown, or none of its addresses accepts the connection (TimeoutError: in time).
    """
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    if len(addresses) == 1:
        return socket.create_connection((host, port), timeout=timeout)
    begun: list[socket.socket] = []
    try:
        winner = _first(addresses, begun, timeout)
        begun.remove(winner)
    finally:
        for sock in begun:
            sock.close()
    winner.settimeout(timeout)
    return winner


def _first(addresses: list[Any], begun: list[socket.socket], timeout: float | None) -> socket.socket:
    """The first of the addresses that answers; every socket that was made is in ``begun``."""
    deadline = time.monotonic() + timeout if timeout is not None else float("inf")
    failure: OSError = TimeoutError("timed out")
    waiting = list(addresses)
    with selectors.DefaultSelector() as selector:
        while waiting or selector.get_map():
            if waiting:
                try:
                    sock = _begin(waiting.pop(0), begun)
                except OSError as error:  # no route, or a family that this machine does not have
                    failure = error
                    continue
                selector.register(sock, selectors.EVENT_WRITE, sock)
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            patience = min(left, _HEAD_START) if waiting else left
            for key, _ in selector.select(None if patience == float("inf") else patience):
                ready: socket.socket = key.data
                code = ready.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code == 0:
                    return ready
                selector.unregister(ready)
                failure = OSError(code, os.strerror(code))
    raise failure


def _begin(address: Any, begun: list[socket.socket]) -> socket.socket:
    """Start to connect to one result of getaddrinfo. Raises OSError when that fails at once."""
    family, kind, protocol, _, where = address
    sock = socket.socket(family, kind, protocol)
    begun.append(sock)
    sock.setblocking(False)
    code = sock.connect_ex(where)
    if code not in _UNDER_WAY:
        raise OSError(code, os.strerror(code))
    return sock
