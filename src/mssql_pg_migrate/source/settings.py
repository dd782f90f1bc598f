"""How to reach a source, one class per kind: plain data that travels to workers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from ..waiting import Watch

Isolation: TypeAlias = Literal["read_committed", "snapshot", "read_uncommitted"]
SqlServerReader: TypeAlias = Literal["auto", "wire", "driver"]

DEFAULT_PORT = 1433
APPLICATION_NAME = "mssql-pg-migrate"


@dataclass(frozen=True, slots=True)
class SqlServerSettings:
    """How to reach and read a SQL Server database; plain and picklable, its repr shows no secret.

    ``host`` may be a name, an IPv4 or IPv6 address, or ``name\\instance`` (then SQL Server Browser is asked for the
    port unless ``port`` is not the default one). ``encrypt`` is True, False or ``strict`` (TDS 8.0).
    ``authentication`` and ``options`` are ODBC keywords of Microsoft's driver, for Entra ID
    (``ActiveDirectoryDefault``) and rarer needs (``ApplicationIntent``, ``MultiSubnetFailover``). Timeouts are in
    seconds; ``query_timeout`` 0 waits for ever.
    """

    host: str
    database: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    port: int = DEFAULT_PORT
    encrypt: bool | Literal["strict"] = True
    trust_server_cert: bool = False
    application_name: str = APPLICATION_NAME
    login_timeout: int = 15
    query_timeout: int = 0
    isolation: Isolation = "read_committed"
    authentication: str | None = None
    host_name_in_certificate: str | None = None
    packet_size: int | None = None
    options: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    access_token: str | None = field(default=None, repr=False)
    """A Microsoft Entra access token, instead of user and password."""
    reader: SqlServerReader = "auto"
    """Which reader carries the rows; ``auto``: the wire reader where it has proven itself."""
    watch: Watch[Any] | None = field(default=None, repr=False, compare=False)
    """Who tells of statements that wait; see ``open.watched``."""

    @property
    def label(self) -> str:
        """Server and database for messages."""
        return f"{self.address}/{self.database}"

    @property
    def address(self) -> str:
        """The server for messages: ``host:port``, or the named instance."""
        if self.asks_browser:
            return self.host
        return f"{self.host}:{self.port}"

    @property
    def asks_browser(self) -> bool:
        """Whether SQL Server Browser names the port."""
        return "\\" in self.host and self.port == DEFAULT_PORT

    @property
    def server_keyword(self) -> str:
        """The value of ODBC's Server keyword."""
        if self.asks_browser:
            return f"tcp:{self.host}"
        return f"tcp:{self.network_host},{self.port}"

    @property
    def network_host(self) -> str:
        """The host alone, an IPv6 address without brackets."""
        host = self.host.split("\\", 1)[0]
        return host[1:-1] if host.startswith("[") and host.endswith("]") else host


@dataclass(frozen=True, slots=True)
class PackageSettings:
    """Which package to read: a .bacpac, or a .dacpac, which has a schema and usually no rows."""

    path: str
    schema_only: bool = False
    """Only its schema is wanted."""

    @property
    def label(self) -> str:
        """The file, for messages."""
        return self.path


SourceSettings: TypeAlias = SqlServerSettings | PackageSettings
"""The settings of a source of any kind."""
