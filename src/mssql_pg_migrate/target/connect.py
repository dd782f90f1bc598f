"""Connections to PostgreSQL: one set of parameters, one way to open a session, messages a person can act on."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ..errors import ConnectionFailed
from .login import connection_failed
from .pooler import refuse_loose_pooling

if TYPE_CHECKING:
    import psycopg

    from ..waiting import Watch
    from .connection import WatchedConnection

SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]


@dataclass(frozen=True, slots=True)
class TargetSettings:
    """Everything needed to open a session; picklable, its repr hides the password."""

    host: str
    port: int
    database: str
    user: str
    password: str = field(repr=False)
    ssl_mode: SslMode = "prefer"
    ssl_root_cert: str | None = None
    ssl_cert: str | None = None
    ssl_key: str | None = None
    application_name: str = "mssql-pg-migrate"
    connect_timeout: int = 15
    """Seconds."""
    watch: Watch[WatchedConnection] | None = field(default=None, repr=False, compare=False)
    """Who tells of statements that wait; see ``target.watch.watched``."""

    def conninfo(self) -> dict[str, Any]:
        """libpq keywords. Keepalives let both sides notice a dead peer within about a minute."""
        keywords: dict[str, Any] = {
            "host": self.host,
            "port": self.port,
            "dbname": self.database,
            "user": self.user,
            "password": self.password,
            "sslmode": self.ssl_mode,
            "application_name": self.application_name,
            "connect_timeout": self.connect_timeout,
            "client_encoding": "UTF8",
            "keepalives": 1,
            "keepalives_idle": 20,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "tcp_user_timeout": 60_000,
        }
        for name, value in (
            ("sslrootcert", self.ssl_root_cert),
            ("sslcert", self.ssl_cert),
            ("sslkey", self.ssl_key),
        ):
            if value:
                keywords[name] = value
        return keywords

    @property
    def label(self) -> str:
        """``host:port/database``, for messages."""
        return f"{self.host}:{self.port}/{self.database}"


def connect_target(settings: TargetSettings, *, purpose: str | None = None) -> psycopg.Connection[Any]:
    """Open a session in autocommit mode, with dates and times in one fixed form.

    ``purpose`` is appended to the application name, so that ``pg_stat_activity`` tells who is who. Raises
    ConnectionFailed(side="target"), ``retryable`` unless the cause is a wrong password, user, database or certificate,
    or a pooler that does not keep sessions.
    """
    import psycopg

    from .connection import WatchedConnection

    keywords = settings.conninfo()
    if purpose:
        keywords["application_name"] = f"{settings.application_name} {purpose}"[:63]
    try:
        # Statements prepared without being asked to be would have to be forgotten again, a round trip each time.
        connection = WatchedConnection.connect(autocommit=True, prepare_threshold=None, **keywords)
    except psycopg.OperationalError as error:
        raise connection_failed(settings.label, keywords, redact(str(error).strip(), settings.password)) from error
    except UnicodeEncodeError as error:
        raise ConnectionFailed(
            f"cannot connect to PostgreSQL at {settings.label}: a connection parameter is not valid text",
            side="target",
            retryable=False,
        ) from error
    try:
        _set_up(settings, keywords, connection)
    except psycopg.OperationalError as error:
        connection.close()
        raise connection_failed(settings.label, keywords, redact(str(error).strip(), settings.password)) from error
    except BaseException:
        connection.close()
        raise
    if settings.watch is not None:
        settings.watch.add(connection)
    return connection


def round_trip(connection: psycopg.Connection[Any]) -> float:
    """Seconds that an empty question takes, at best: a busy machine answers some late."""
    taken: list[float] = []
    while len(taken) < 3 and (not taken or min(taken) > _SURELY_NEAR):
        began = time.monotonic()
        connection.execute("SELECT 1")
        taken.append(time.monotonic() - began)
    return min(taken)


_SURELY_NEAR = 0.002


_SETTINGS = (
    # A session whose client vanished must not hold its locks for hours: PostgreSQL checks the socket itself.
    "SELECT set_config('TimeZone', 'UTC', false), set_config('DateStyle', 'ISO, YMD', false),"
    " set_config('IntervalStyle', 'postgres', false), set_config('extra_float_digits', '3', false),"
    " set_config('statement_timeout', '0', false),"
    " set_config('tcp_keepalives_idle', '20', false), set_config('tcp_keepalives_interval', '10', false),"
    " set_config('tcp_keepalives_count', '3', false),"
    " set_config('idle_in_transaction_session_timeout', '600000', false),"
    " set_config('client_min_messages', 'warning', false),"
    # The ledger's locks and questions are made for it; stricter levels would turn away chunks side by side.
    " set_config('default_transaction_isolation', 'read committed', false),"
    # What the run calls done must survive a crash; load sessions, whose ledger tells, switch it off again.
    " CASE WHEN current_setting('synchronous_commit') = 'off'"
    " THEN set_config('synchronous_commit', 'on', false) END,"
    # Not every version has these. The control connection is idle while rows move, and holds the lock.
    " CASE WHEN current_setting('idle_session_timeout', true) IS NOT NULL"
    " THEN set_config('idle_session_timeout', '0', false) END,"
    " CASE WHEN current_setting('transaction_timeout', true) IS NOT NULL"
    " THEN set_config('transaction_timeout', '0', false) END,"
    # The operators of a type are found by the search path: without its schema, citext would compare as text does.
    " (SELECT set_config('search_path', concat_ws(', ', nullif(nullif(current_setting('search_path'), ''), '\"\"'),"
    " string_agg(DISTINCT quote_ident(n.nspname), ', ')), false) FROM pg_catalog.pg_extension e"
    " JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname IN ('citext', 'vector')"
    " AND n.nspname <> ALL (current_schemas(true)) AND has_schema_privilege(n.oid, 'USAGE') HAVING count(*) > 0)"
)
_keeping: set[tuple[Any, ...]] = set()
"""Servers behind a pooler that keeps a session on its server connection, as host, port, database and user."""


def _set_up(settings: TargetSettings, keywords: dict[str, Any], connection: psycopg.Connection[Any]) -> None:
    """Fix the session's settings, in the same round trip that shows whether a pooler is in between.

    A pooler answers the login with a process id of its own; nothing is set then before it is known to keep sessions.
    """
    direct = connection.execute(f"{_SETTINGS} WHERE pg_backend_pid() = {connection.info.backend_pid}".encode())
    if direct.fetchone() is not None:
        return
    place = (settings.host, settings.port, settings.database, settings.user)
    if place not in _keeping:
        refuse_loose_pooling(settings.label, keywords, connection)
        _keeping.add(place)
    connection.execute(_SETTINGS)


def redact(text: str, password: str) -> str:
    """The text without the password, should a library ever quote it."""
    return text.replace(password, "***") if password and len(password) > 2 else text


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What the run needs to know about the target server."""

    version_num: int
    """server_version_num, for example 160004."""
    version: str
    lz4: bool
    """Whether ``default_toast_compression = lz4`` is possible (PostgreSQL 14+ built with lz4)."""
    max_connections: int
    encoding: str
    extensions: frozenset[str]
    """Names that CREATE EXTENSION could install or that are installed."""
    icu: bool


def read_server_facts(connection: psycopg.Connection[Any]) -> ServerFacts:
    """Ask the server; never assume (lz4, ICU and extensions are build options)."""
    row = connection.execute(
        "SELECT current_setting('server_version_num')::int, current_setting('server_version'),"
        " coalesce((SELECT 'lz4' = ANY (enumvals) FROM pg_settings WHERE name = 'default_toast_compression'), false),"
        " current_setting('max_connections')::int,"
        " (SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database()),"
        " coalesce((SELECT array_agg(name::text) FROM pg_available_extensions), '{}'),"
        " EXISTS (SELECT 1 FROM pg_collation WHERE collprovider = 'i' AND collname LIKE '%-x-icu')"
    ).fetchone()
    assert row is not None
    return ServerFacts(row[0], row[1], row[2], row[3], row[4], frozenset(row[5]), row[6])
