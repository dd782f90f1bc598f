"""The wire reader's own connection: settings and failures in the terms of the rest of the tool."""

from __future__ import annotations

import socket
import ssl

from ...errors import ConnectionFailed
from ...tds.buffer import ProtocolError
from ...tds.client import Client, EncryptionFailure, ServerFailure
from ..reader import ReaderUnsupported
from ..settings import SqlServerSettings
from . import connect
from .tds_settings import client_settings
from .tls_failures import ends_strictly, tls_reason

# Keywords of Microsoft's driver that the wire reader obeys too, or that change nothing for a reader.
_KNOWN_OPTIONS = frozenset(
    (
        "applicationintent",
        "connectretrycount",
        "connectretryinterval",
        "ipaddresspreference",
        "keepalive",
        "keepaliveinterval",
        "multisubnetfailover",
    )
)


class WireUnsupported(ReaderUnsupported):
    """The wire reader cannot carry this table, or cannot use this connection; the driver can.

    It may come before the first row or, when a value turns up that only the driver can convert, between two chunks.
    """


def unsupported(settings: SqlServerSettings) -> str | None:
    """Why these settings need Microsoft's driver; None when the wire reader can use them."""
    method = (settings.authentication or "").lower()
    if method not in ("", "sql", "sqlpassword") and settings.access_token is None:
        return f"authentication {settings.authentication} is done by Microsoft's driver"
    if settings.access_token is None and not settings.user:
        return "integrated authentication is done by Microsoft's driver"
    for name, _ in settings.options:
        if name.strip().lower() not in _KNOWN_OPTIONS:
            return f"the source option {name} is known to Microsoft's driver only"
    return None


def open_client(settings: SqlServerSettings) -> Client:
    """A new connection whose session reads as the driver's does. Raises as `open_measured`."""
    return open_measured(settings)[0]


def open_measured(settings: SqlServerSettings) -> tuple[Client, float]:
    """A new connection whose session reads as the driver's does, and the seconds of a round trip.

    Raises:
        WireUnsupported: the settings need the driver.
        ConnectionFailed: with the reason and what to do, never with the password.
    """
    reason = unsupported(settings)
    if reason is not None:
        raise WireUnsupported(reason)
    try:
        client = Client(client_settings(settings))
    except Exception as error:
        raise _connection_failed(settings, error) from None
    try:
        # The session options of `connect.connect_source`; those of ODBC come with the login itself.
        round_trip = connect.set_options(settings, client.execute, ServerFailure)
    except Exception as error:
        client.close()
        raise _connection_failed(settings, error) from None
    connect.remember(settings)
    return client, round_trip


def _connection_failed(settings: SqlServerSettings, error: Exception) -> ConnectionFailed:
    where = f"the source {settings.address}"
    if isinstance(error, socket.gaierror):
        return ConnectionFailed(
            f"The source host {settings.network_host!r} is unknown: its name does not resolve to an address.",
            side="source",
            hint="Check source.host (and the DNS of this machine).",
        )
    if isinstance(error, (ServerFailure, EncryptionFailure)):
        return connect.connection_failed(settings, error)
    if isinstance(error, ssl.SSLError):
        return connect.connection_failed(settings, ConnectionError(tls_reason(error)))
    if isinstance(error, ProtocolError):
        return ConnectionFailed(
            f"{where.capitalize()} does not speak TDS as expected: {error}.",
            side="source",
            hint="Check that source.host and source.port are those of SQL Server.",
            retryable=False,
        )
    if isinstance(error, OSError) and ends_strictly(settings, str(error)):
        return connect.connection_failed(settings, error)
    if isinstance(error, OSError):
        return connect._unreachable(settings, error)
    return connect.connection_failed(settings, error)
