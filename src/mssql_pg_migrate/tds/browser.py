"""SQL Server Browser: which TCP port a named instance listens on ([MC-SQLR])."""

from __future__ import annotations

import contextlib
import socket

from .buffer import ProtocolError

BROWSER_PORT = 1434
_CLNT_UCAST_INST = b"\x04"
_SVR_RESP = 0x05


def parse_response(data: bytes) -> dict[str, str]:
    """The name-value pairs of a SVR_RESP message, names in lower case.

    Raises:
        ProtocolError: the message is malformed.
    """
    if len(data) < 3 or data[0] != _SVR_RESP:
        raise ProtocolError("SQL Server Browser sent something that is not an answer")
    size = int.from_bytes(data[1:3], "little")
    parts = data[3 : 3 + size].decode("latin-1").split(";")
    return {name.lower(): value for name, value in zip(parts[::2], parts[1::2], strict=False) if name}


def instance_port(host: str, instance: str, *, timeout: float = 2.0, port: int = BROWSER_PORT) -> int:
    """The TCP port of ``host\\instance``. Asks each address of the host, twice.

    Raises:
        OSError: the host is unknown, or nobody answers (TimeoutError).
        ProtocolError: the answer names no TCP port.
    """
    request = _CLNT_UCAST_INST + instance.encode("latin-1", "replace") + b"\0"
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    for _ in range(2):
        for family, kind, protocol, _, address in addresses:
            with contextlib.suppress(OSError), socket.socket(family, kind, protocol) as sock:
                sock.settimeout(timeout)
                sock.connect(address)
                sock.send(request)
                found = parse_response(sock.recv(65536)).get("tcp", "")
                if not found.isdigit():
                    raise ProtocolError(f"instance {instance!r} on {host} does not listen on TCP")
                return int(found)
    raise TimeoutError(f"SQL Server Browser on {host} does not answer about instance {instance!r}")
