"""Connections to SQL Server through Microsoft's driver, and what their failures mean for the person who reads them."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import time
from collections.abc import Callable
from functools import cache
from typing import Any, cast

from ...errors import ConfigError, ConnectionFailed
from ...tds.dial import connect_tcp
from ..settings import SqlServerSettings
from . import driver_libraries
from .classify import TRANSIENT_NUMBERS, clean_message, number_of, sqlstate_of
from .dbapi import Connection, Cursor, DriverConnection
from .tls_failures import ends_strictly, refused_tls, tls_failure
from .tsql import unicode_literal

_ISOLATION_SQL = {
    "read_committed": "READ COMMITTED",
    "snapshot": "SNAPSHOT",
    "read_uncommitted": "READ UNCOMMITTED",
}

_INSTALL = (
    "Install the system libraries it links to: apt-get install libltdl7 libkrb5-3 libgssapi-krb5-2 (Debian, Ubuntu), "
    "dnf install libtool-ltdl krb5-libs (RHEL, Fedora), apk add libtool krb5-libs krb5-dev (Alpine)"
)

# Endpoints that accepted a TCP connection of this process once: the driver itself needs its whole login timeout to
# report a closed port or an unknown host, so the first connection asks the network directly.
_reached: set[tuple[str, int]] = set()

# Databases this process has been logged in to. The server that restarts or fails over refuses them as it refuses a
# misspelled one (4060), until it has recovered them.
_opened: set[tuple[str, str]] = set()


def keywords(settings: SqlServerSettings) -> dict[str, str]:
    """ODBC connection keywords, unquoted.

    Raises:
        ConfigError: ``options`` names a keyword the driver does not take.
    """
    words = {"Server": settings.server_keyword, "Database": settings.database}
    words["Encrypt"] = "strict" if settings.encrypt == "strict" else ("yes" if settings.encrypt else "no")
    words["TrustServerCertificate"] = "yes" if settings.trust_server_cert else "no"
    if settings.user:
        words["UID"] = settings.user
    if settings.password is not None and settings.user:
        words["PWD"] = settings.password
    if settings.authentication:
        words["Authentication"] = settings.authentication
    if settings.host_name_in_certificate:
        words["HostnameInCertificate"] = settings.host_name_in_certificate
    if settings.packet_size:
        words["PacketSize"] = str(settings.packet_size)
    known = _known_keywords()
    for name, value in settings.options:
        canonical = known.get(name.strip().lower())
        if canonical is None or canonical in ("Driver", "APP"):
            raise ConfigError(
                f"source option {name!r} is not a keyword of Microsoft's driver",
                hint=f"Keywords: {', '.join(sorted(set(known.values()) - {'Driver', 'APP'}))}.",
            )
        words[canonical] = value
    return words


def connect_source(settings: SqlServerSettings) -> DriverConnection:
    """A new autocommit connection for reading, a ``mssql_python.Connection``.

    The driver's own pool is off, so that a closed connection is closed on the server. The session reads in the
    isolation level of the settings, returns (max) values whole and speaks English (so that errors can be recognised).

    Raises:
        ConnectionFailed: with the reason and what to do, never with the password.
    """
    return connect_measured(settings)[0]


def connect_measured(settings: SqlServerSettings) -> tuple[DriverConnection, float]:
    """`connect_source`, and the seconds that one round trip took: that of setting up the session."""
    _check_reachable(settings)
    words = keywords(settings)
    _check_kerberos(settings, words)
    try:
        connection = _open(settings, words)
    except Exception as error:
        if getattr(error, "ddbc_error", None) == "":
            error = refused_tls(settings) or error
        raise _database_refused(settings, error) or connection_failed(settings, error) from None
    try:
        if settings.query_timeout:
            connection.timeout = settings.query_timeout
        round_trip = _prepare_session(connection, settings)
    except Exception as error:
        with contextlib.suppress(Exception):
            connection.close()
        raise connection_failed(settings, error) from None
    remember(settings)
    return cast(DriverConnection, connection), round_trip


def remember(settings: SqlServerSettings) -> None:
    """Call after a login: from now on, that the database cannot be opened is no mistake in the settings."""
    _opened.add((settings.address, settings.database))


def was_open(settings: SqlServerSettings) -> bool:
    """Whether this process has been logged in to the database."""
    return (settings.address, settings.database) in _opened


def _open(settings: SqlServerSettings, words: dict[str, str]) -> Any:
    connection_class = _connection_class(settings.application_name)
    before = _token_attribute(settings.access_token) if settings.access_token else None
    return connection_class("", autocommit=True, timeout=settings.login_timeout, attrs_before=before, **words)


def _token_attribute(token: str) -> dict[int, bytes]:
    """The driver's attribute SQL_COPT_SS_ACCESS_TOKEN (1256): byte length, then UTF-16 (msodbcsql.h, ACCESSTOKEN)."""
    data = token.encode("utf-16-le")
    return {1256: len(data).to_bytes(4, "little") + data}


def _database_refused(settings: SqlServerSettings, error: BaseException) -> ConnectionFailed | None:
    """Whether a failed login is really a missing database; None when it is not, or nobody can tell.

    SQL Server answers a login to a database it cannot open with two errors, 4060 and 18456, and the driver shows only
    the second. The same login without a database tells them apart.
    """
    if sqlstate_of(error) != "28000":
        return None
    words = keywords(settings)
    del words["Database"]
    try:
        connection = _open(settings, words)
    except Exception:
        return None  # the login itself is refused
    try:
        cursor = connection.cursor()
        cursor.execute(f"SELECT DB_ID({unicode_literal(settings.database)}) AS id")
        found = cursor.fetchone()
        exists = found is not None and found[0] is not None
    except Exception:
        exists = False
    finally:
        connection.close()
    where = f"on the source {settings.address}"
    if exists:
        message = f"{_sentence(_who(settings))} may not use database {settings.database!r} {where}."
        hint = "Create a user for the login in that database, or check source.database."
    else:
        message = f"There is no database {settings.database!r} {where} that {_who(settings)} can see."
        hint = "Check source.database."
    return ConnectionFailed(message, side="source", hint=hint, retryable=was_open(settings))


def _prepare_session(connection: Connection, settings: SqlServerSettings) -> float:
    cursor = connection.cursor()
    try:
        return set_options(settings, cursor.execute, Exception)
    finally:
        cursor.close()


def set_options(settings: SqlServerSettings, execute: Callable[[str], object], refusal: type[Exception]) -> float:
    """The options of a reading session, in one round trip where the server takes them so; the seconds of one.

    ``execute`` raises ``refusal`` for what the server refuses.
    """
    isolation = f"SET TRANSACTION ISOLATION LEVEL {_ISOLATION_SQL[settings.isolation]}"
    # Both are defaults on almost every server; one that does not know them is no worse off.
    others = ("SET TEXTSIZE 2147483647", "SET LANGUAGE us_english")
    began = time.monotonic()
    try:
        execute("; ".join((isolation, *others)))
    except refusal:
        began = time.monotonic()
        execute(isolation)
        seconds = time.monotonic() - began
        for statement in others:
            with contextlib.suppress(refusal):
                execute(statement)
        return seconds
    return time.monotonic() - began


def cancel_statement(cursor: Cursor | None) -> None:
    """Ask the server to end what another thread executes or fetches with this cursor of the driver (SQLCancel)."""
    handle = getattr(cursor, "hstmt", None)
    if handle is not None:
        with contextlib.suppress(Exception):  # the statement just ended
            handle._cancel()


def cancel_statements(connection: Connection) -> None:
    """`cancel_statement` for all cursors of a connection: closing it would wait for them."""
    for cursor in list(getattr(connection, "_cursors", ())):
        cancel_statement(cursor)


@cache
def _connection_class(application_name: str) -> Any:
    """The driver's connection class, with the application name that sys.dm_exec_sessions will show.

    The driver writes its own name into the connection string and has no public way to choose another one; where the
    method that builds the string is not there any more, its own name stays.
    """
    driver_libraries.supply_missing()
    import mssql_python
    from mssql_python.connection import Connection

    mssql_python.pooling(enabled=False)
    if hasattr(mssql_python, "native_provider") and not os.environ.get("MSSQL_PYTHON_NATIVE_PROVIDER"):
        # The ODBC driver, whatever the default will be: its successor (0.3) reads an empty image value as NULL.
        mssql_python.native_provider = "msodbcsql18"
    try:
        from mssql_python.connection_string_builder import _ConnectionStringBuilder

        build = Connection._construct_connection_string
    except (ImportError, AttributeError):
        return Connection

    class NamedConnection(Connection):
        def _construct_connection_string(self, connection_str: str = "", **kwargs: Any) -> tuple[str, dict[str, str]]:
            _, words = build(self, connection_str, **kwargs)
            words["APP"] = application_name
            return _ConnectionStringBuilder(words).build(), words

    return NamedConnection


@cache
def _known_keywords() -> dict[str, str]:
    from mssql_python.constants import _ALLOWED_CONNECTION_STRING_PARAMS

    return dict(_ALLOWED_CONNECTION_STRING_PARAMS)


def _check_kerberos(settings: SqlServerSettings, words: dict[str, str]) -> None:
    """Integrated authentication cannot work with stand-ins for the libraries it is done with.

    Raises:
        ConnectionFailed: it is asked for, and they are missing.
    """
    trusted = words.get("Trusted_Connection", "no").lower() in ("yes", "true", "1")
    if not trusted and words.get("Authentication", "").lower() != "activedirectoryintegrated":
        return
    missing = [name for name in driver_libraries.supply_missing() if name != driver_libraries.LOADER]
    if missing:
        raise ConnectionFailed(
            f"Integrated authentication on the source {settings.address} needs Kerberos, and this machine has no "
            f"{' and no '.join(missing)}.",
            side="source",
            hint=f"{_INSTALL}.",
            retryable=False,
        )


# --- failures --------------------------------------------------------------------------------------------------------


def _check_reachable(settings: SqlServerSettings) -> None:
    """Report an unknown host or a closed port at once, with the network's own reason.

    Raises:
        ConnectionFailed: the name does not resolve or nothing accepts connections there.
    """
    if settings.asks_browser:
        _resolve(settings, None)
        return
    endpoint = (settings.network_host, settings.port)
    if endpoint in _reached:
        return
    _resolve(settings, settings.port)
    try:
        connect_tcp(*endpoint, settings.login_timeout or None).close()
    except OSError as error:
        raise _unreachable(settings, error) from None
    _reached.add(endpoint)


def _resolve(settings: SqlServerSettings, port: int | None) -> None:
    try:
        socket.getaddrinfo(settings.network_host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ConnectionFailed(
            f"The source host {settings.network_host!r} is unknown: its name does not resolve to an address.",
            side="source",
            hint="Check source.host (and the DNS of this machine).",
        ) from None


def _unreachable(settings: SqlServerSettings, error: OSError) -> ConnectionFailed:
    if isinstance(error, ConnectionRefusedError):
        reason = "refuses connections: nothing listens there"
        hint = "Check source.port, and that SQL Server runs and has TCP/IP enabled."
    elif isinstance(error, TimeoutError):
        reason = f"does not answer within {settings.login_timeout} seconds"
        hint = "Check source.host and source.port, and firewalls between here and there."
    else:
        reason = f"cannot be reached ({error.strerror or error})"
        hint = "Check source.host and source.port."
    return ConnectionFailed(f"The source {settings.address} {reason}.", side="source", hint=hint)


def connection_failed(settings: SqlServerSettings, error: BaseException) -> ConnectionFailed:
    """A driver's failure to connect, in words for the person who has to act on it."""
    if isinstance(error, ConnectionFailed):
        return error
    text = clean_message(str(getattr(error, "ddbc_error", "") or error))
    for secret in (settings.password, settings.access_token):
        if secret:
            # As a word of its own: a password of one letter must not blank that letter everywhere.
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", text)
    where = f"the source {settings.address}"

    def failure(message: str, hint: str | None, *, retryable: bool) -> ConnectionFailed:
        return ConnectionFailed(message, side="source", hint=hint, retryable=retryable)

    number = number_of(text)
    if number == 4060:
        return failure(
            f"Database {settings.database!r} cannot be opened on {where}: {text}",
            f"Check source.database, and that {_who(settings)} is a user of it.",
            retryable=was_open(settings),
        )
    if number == 18456 or (sqlstate_of(error) == "28000" and number not in TRANSIENT_NUMBERS):
        return failure(
            f"Login failed for {_who(settings)} on {where}: {text}",
            "Check source.user and source.password, that the server allows this kind of login, and that the login may "
            f"use database {settings.database!r}.",
            retryable=False,
        )
    if re.search(r"Cannot open server .* requested by the login|Deny Public Network Access", text, re.IGNORECASE):
        return failure(  # 40615, 40914, 40532, 47073 of Azure SQL
            f"{_sentence(where)} does not let this machine in: {text}",
            "Add its address or network to the firewall rules of the Azure SQL server, and check source.host.",
            retryable=False,
        )
    refused = tls_failure(settings, where, text)
    if refused is not None:
        return failure(*refused, retryable=ends_strictly(settings, text) and was_open(settings))
    if re.search(r"Failed to load the driver", text, re.IGNORECASE):
        return failure(
            f"Microsoft's driver cannot be loaded, so {where} was not contacted: {text}",
            f"{_INSTALL}.",
            retryable=False,
        )
    if re.search(r"Locating Server/Instance", text, re.IGNORECASE):
        return failure(
            f"{_sentence(where)} cannot be found: {text}",
            "Check the instance name, that SQL Server Browser runs, and that UDP port 1434 is open; or name the port "
            "in source.port.",
            retryable=True,
        )
    if re.search(r"timeout expired|0x274C|0x102", text, re.IGNORECASE):
        return failure(
            f"{_sentence(where)} did not complete the login within {settings.login_timeout} seconds: {text}",
            "The server may be overloaded or starting; source.login_timeout gives it more time.",
            retryable=True,
        )
    return failure(f"Connecting to {where} failed: {text}", None, retryable=True)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _who(settings: SqlServerSettings) -> str:
    if settings.user:
        return f"user {settings.user!r}"
    return f"the {settings.authentication} identity" if settings.authentication else "this login"
