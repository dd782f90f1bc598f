"""What the parts of a conversation ask of each other: small protocols, so that each is imported one way."""

from __future__ import annotations

import ssl
from typing import Protocol

from mssql_pg_migrate.tds.login7 import Login7
from mssql_pg_migrate.tds.packets import PacketStream
from mssql_pg_migrate.tds.tokens import ServerMessage

from ..engine.engine import Engine
from ..errors import SqlError


class Peer(Protocol):
    """A conversation as the sink of its results sees it."""

    stream: PacketStream
    login: Login7 | None

    def message(self, error: SqlError, is_error: bool = True) -> ServerMessage:
        """An error or message as a token."""
        ...

    def info(self, number: int, text: str) -> bytes:
        """A message that is no error, as a token."""
        ...

    def attention(self) -> bool:
        """Whether the client has cancelled, or gone."""
        ...


class Host(Protocol):
    """A server as its conversations see it."""

    engine: Engine
    tls: ssl.SSLContext | None
    force_encryption: bool

    def strict_tls(self) -> ssl.SSLContext:
        """The context of TDS 8.0."""
        ...
