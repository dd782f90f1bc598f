"""The configuration as typed, immutable models: every key, its default, its bounds and its meaning.

``Config.load(path)`` reads a file, ``Config.from_dict(data)`` takes plain data; both raise InvalidConfig with every
problem at once. Values that are not set and can be tuned are None here; ``tuning.tune`` finds them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, SecretStr, model_validator

from ..source.settings import Isolation, SqlServerReader
from .hash import config_hash
from .hooks import Hook, parse_hooks
from .keys import AnyCase, Auto, ExistingFile, Host, Key, KeyProblems, Kind, OneOrMany, Port, Secret, Section, Text
from .load import read_document, read_file, values_set, with_values
from .problems import InvalidConfig, Problem
from .sync import SyncConfig
from .values import (
    Authentication,
    Encrypt,
    Patterns,
    SslMode,
    TargetMode,
    Threads,
    authentication_name,
    encrypt_choice,
    schema_list,
    source_problems,
)

if TYPE_CHECKING:
    from ..source.settings import SourceSettings
    from ..target.connect import TargetSettings


def _revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


class Source(Section):
    """``source``: the SQL Server database to read, or the package it was exported to."""

    type: Annotated[
        Literal["mssql", "sqlserver", "bacpac", "dacpac"],
        AnyCase,
        Key(
            "Kind of the source: `mssql` or `sqlserver` (the same) for a server, `bacpac` for an exported package,"
            " `dacpac` for the schema of one.",
            extra=False,
        ),
    ]
    path: Annotated[
        ExistingFile,
        Key("The package, for `bacpac` and `dacpac`, which take this key and `schema` only.", in_hash=True),
    ] = None
    host: Annotated[Host | None, Key("Host name or IP address. Required for a server.", in_hash=True, extra=False)] = (
        None
    )
    port: Annotated[Port, Key("TCP port.", in_hash=True, extra=False)] = 1433
    database: Annotated[Text | None, Key("Name of the database. Required for a server.", in_hash=True, extra=False)] = (
        None
    )
    user: Annotated[
        Text | None, Key("Login name. Required unless `authentication` or `access_token` needs none.", extra=False)
    ] = None
    password: Annotated[
        Secret | None, Key("Password. Required as `user` is; best given as `${MSSQL_PASSWORD}`.", extra=False)
    ] = None
    schema_: Annotated[
        tuple[Text, ...],
        OneOrMany,
        AfterValidator(schema_list),
        Kind('name, list, or `"*"`'),
        Key('Schema to migrate; a list of schemas; or `"*"` for all of them.', in_hash=True, extra=False),
    ] = Field(("dbo",), alias="schema")
    encrypt: Annotated[
        Encrypt,
        BeforeValidator(encrypt_choice),
        Key("TLS: `true`, `false` (only the login is encrypted), or `strict` (TDS 8.0).", extra=False),
    ] = "true"
    trust_server_cert: Annotated[bool, Key("Accept any certificate of the server. For development.", extra=False)] = (
        False
    )
    host_name_in_certificate: Annotated[
        Text | None, Key("Name to expect in the server's certificate, where it is not `host`.")
    ] = None
    reader: Annotated[
        SqlServerReader,
        AnyCase,
        Key(
            "Which reader carries the rows: `wire` (fast), `driver` (Microsoft's), or `auto`: wire where it has proven"
            " to give the same bytes as the driver."
        ),
    ] = "auto"
    isolation: Annotated[
        Isolation,
        AnyCase,
        Key(
            "Isolation of the reads. `snapshot` sees one moment of each range and needs ALLOW_SNAPSHOT_ISOLATION;"
            " `read_uncommitted` can skip and repeat rows."
        ),
    ] = "read_committed"
    application_name: Annotated[Text, Field(max_length=128), Key("Name shown in the server's session list.")] = (
        "mssql-pg-migrate"
    )
    login_timeout: Annotated[int, Field(ge=1, le=3600), Key("Seconds to wait for a connection.")] = 15
    authentication: Annotated[
        Authentication,
        BeforeValidator(authentication_name),
        Key(
            "`sql` (login and password) or one of the Microsoft Entra methods of the driver, for example"
            " `ActiveDirectoryDefault`, `ActiveDirectoryMSI`, `ActiveDirectoryServicePrincipal`."
        ),
    ] = "sql"
    access_token: Annotated[
        Secret | None, Key("A Microsoft Entra access token to log in with, instead of user and password.")
    ] = None

    options: Annotated[
        dict[str, Text],
        BeforeValidator(lambda value: {} if value is None else value),
        Key(
            "Further keywords for Microsoft's driver, for example `{ApplicationIntent: ReadOnly}` or"
            " `{MultiSubnetFailover: yes}`. With most others the driver does all the reading."
        ),
    ] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _complete(self) -> Source:
        given = values_set(self)
        problems = source_problems(given)
        if problems:
            raise KeyProblems(problems)
        return self

    @property
    def label(self) -> str:
        """What is read, for messages: server and database, or the file."""
        return self.settings().label

    @property
    def schemas(self) -> tuple[str, ...] | None:
        """The schemas to migrate, None for all."""
        return None if self.schema_ == ("*",) else self.schema_

    def settings(self) -> SourceSettings:
        """How to reach and read it: for ``source.open``."""
        from ..source.settings import PackageSettings, SqlServerSettings

        if self.path is not None:
            return PackageSettings(self.path, schema_only=self.type == "dacpac")
        assert self.host is not None
        assert self.database is not None
        return SqlServerSettings(
            host=self.host,
            port=self.port,
            database=self.database,
            user=self.user,
            password=_revealed(self.password),
            access_token=_revealed(self.access_token),
            encrypt="strict" if self.encrypt == "strict" else self.encrypt == "true",
            trust_server_cert=self.trust_server_cert,
            host_name_in_certificate=self.host_name_in_certificate,
            application_name=self.application_name,
            login_timeout=self.login_timeout,
            isolation=self.isolation,
            authentication=None if self.authentication == "sql" else self.authentication,
            options=tuple(self.options.items()),
            reader=self.reader,
        )


class Target(Section):
    """``target``: the PostgreSQL database to fill."""

    type: Annotated[
        Literal["postgres", "postgresql"],
        AnyCase,
        Key("Kind of the target: `postgres` or `postgresql`, the same.", extra=False),
    ]
    host: Annotated[Host, Key("Host name, IP address, or directory of a Unix socket.", in_hash=True, extra=False)]
    port: Annotated[Port, Key("TCP port.", in_hash=True, extra=False)] = 5432
    database: Annotated[Text, Key("Name of the database; it must exist.", in_hash=True, extra=False)]
    user: Annotated[Text, Key("Role to log in as.", extra=False)]
    password: Annotated[
        Secret, Key('Best given as `${POSTGRES_PASSWORD}`; `""` where the server asks for none.', extra=False)
    ]
    schema_: Annotated[
        Text,
        Key(
            "Schema to create the tables in. With several source schemas each goes to a schema of its own name instead,"
            " unless `schema_map` says otherwise.",
            in_hash=True,
            extra=False,
        ),
    ] = Field("public", alias="schema")
    schema_map: Annotated[
        dict[str, Text],
        BeforeValidator(lambda value: {} if value is None else value),
        Key("Target schema for each source schema named: `{dbo: public, Sales: sales}`.", in_hash=True),
    ] = Field(default_factory=dict)
    ssl_mode: Annotated[
        SslMode,
        AnyCase,
        Key(
            "TLS as libpq has it: `disable`, `allow`, `prefer`, `require`, `verify-ca`, `verify-full`. Only the last"
            " two check the server's certificate.",
            extra=False,
        ),
    ] = "require"
    ssl_root_cert: Annotated[ExistingFile, Key("PEM file of the authority for `verify-ca` and `verify-full`.")] = None
    ssl_cert: Annotated[ExistingFile, Key("PEM file of the client certificate, where the server asks for one.")] = None
    ssl_key: Annotated[ExistingFile, Key("Key file of the client certificate.")] = None
    application_name: Annotated[Text, Field(max_length=40), Key("Name shown in `pg_stat_activity`.")] = (
        "mssql-pg-migrate"
    )
    connect_timeout: Annotated[int, Field(ge=2, le=3600), Key("Seconds to wait for a connection.")] = 15

    @model_validator(mode="after")
    def _certificates(self) -> Target:
        if (self.ssl_cert is None) != (self.ssl_key is None):
            raise KeyProblems([("ssl_cert", "ssl_cert and ssl_key belong together")])
        return self

    def settings(self) -> TargetSettings:
        """The connection's parameters for ``target.connect``."""
        from ..target.connect import TargetSettings

        return TargetSettings(
            host=self.host,
            port=self.port,
            database=self.database,
            user=self.user,
            password=self.password.get_secret_value(),
            ssl_mode=self.ssl_mode,
            ssl_root_cert=self.ssl_root_cert,
            ssl_cert=self.ssl_cert,
            ssl_key=self.ssl_key,
            application_name=self.application_name,
            connect_timeout=self.connect_timeout,
        )


Hooks: TypeAlias = Annotated[tuple[Hook, ...], BeforeValidator(parse_hooks), Kind("SQL, path, or a list")]


class HookSet(Section):
    """``migration.hooks``: SQL for the target at four moments. Each is one text or a list; a text that ends in ``.sql``
    is the path of a file."""

    before_data: Annotated[Hooks, Key("Before the first row, when the tables exist.")] = ()
    after_data: Annotated[Hooks, Key("When all rows have arrived.")] = ()
    before_constraints: Annotated[Hooks, Key("When the keys and indexes exist, before foreign keys and checks.")] = ()
    after_all: Annotated[Hooks, Key("At the very end of a run without failures.")] = ()


class MigrationConfig(Section):
    """``migration``: what is done, and how hard."""

    target_mode: Annotated[
        TargetMode, AnyCase, Key("`drop_recreate`, `truncate` or `upsert`.", in_hash=True, extra=False)
    ] = "drop_recreate"
    workers: Annotated[
        Threads,
        Key(
            "Tables transferred at the same time; 16 where a round trip to a server takes 8 ms or more.",
            automatic="min(max(cores/2, 4), 8)",
            extra=False,
        ),
    ] = None
    chunk_size: Annotated[
        Annotated[int, Field(ge=1, le=10_000_000)] | None,
        Auto,
        Key(
            "Rows per chunk: one COPY and one commit. A chunk of wide rows ends earlier, by its bytes.",
            automatic="from memory and memory_budget_percent",
            extra=False,
        ),
    ] = None
    parallel_readers: Annotated[
        Threads,
        Key("Concurrent reads of one large table.", automatic="min(max(cores, 8), 16)", extra=False),
    ] = None
    write_ahead_writers: Annotated[
        Threads,
        Key("Concurrent writes of one table.", automatic="min(max(2*cores/3, 6), 12)", extra=False),
    ] = None
    memory_budget_percent: Annotated[
        int,
        Field(ge=1, le=95),
        Key("Share of the memory (of the container, where there is a limit) the tool may use.", extra=False),
    ] = 70
    read_ahead_buffers: Annotated[
        Annotated[int, Field(ge=1, le=1024)] | None,
        Auto,
        Key("Chunks that may wait between reading and writing.", automatic="8 to 32, by memory", extra=False),
    ] = None
    large_table_threshold: Annotated[
        int, Field(ge=1), Key("Tables with more rows are read in several ranges.", extra=False)
    ] = 5_000_000
    max_partitions: Annotated[int, Field(ge=1, le=1024), Key("Most ranges of one table.", extra=False)] = 12
    min_rows_per_partition: Annotated[int, Field(ge=1), Key("Fewest rows of one range.", extra=False)] = 200_000
    max_mssql_connections: Annotated[
        Annotated[int, Field(ge=1, le=1000)] | None,
        Auto,
        Key("Connections to SQL Server that are never exceeded.", automatic="from workers and readers", extra=False),
    ] = None
    max_pg_connections: Annotated[
        Annotated[int, Field(ge=2, le=1000)] | None,
        Auto,
        Key("Connections to PostgreSQL that are never exceeded.", automatic="from workers and writers", extra=False),
    ] = None
    use_binary_copy: Annotated[
        bool, Key("Binary COPY format; `false` uses the text format, with the same result.", extra=False)
    ] = True
    use_unlogged_tables: Annotated[
        bool,
        Key("Load into UNLOGGED tables and make them LOGGED at the end.", in_hash=True, extra=False),
    ] = False
    copy_buffer_rows: Annotated[
        int,
        Field(ge=1),
        Key(
            "Accepted for compatibility, without effect: COPY data goes to the server in blocks of bytes.",
            extra=False,
        ),
    ] = 10_000
    upsert_batch_size: Annotated[int, Field(ge=1), Key("Rows merged by one statement in upsert mode.", extra=False)] = (
        2000
    )
    upsert_parallel_tasks: Annotated[
        int, Field(ge=1, le=256), Key("Concurrent merges of one table in upsert mode.", extra=False)
    ] = 4
    include_tables: Annotated[
        Patterns,
        Key("Globs of the tables to migrate; none means all. Case does not matter.", in_hash=True, extra=False),
    ] = ()
    exclude_tables: Annotated[
        Patterns, Key("Globs of tables to leave out, also of the included ones.", in_hash=True, extra=False)
    ] = ()
    create_indexes: Annotated[
        bool, Key("Create indexes and unique constraints (the primary key is always there).", in_hash=True, extra=False)
    ] = True
    create_foreign_keys: Annotated[bool, Key("Create foreign keys.", in_hash=True, extra=False)] = True
    create_check_constraints: Annotated[bool, Key("Create check constraints.", in_hash=True, extra=False)] = True
    create_views: Annotated[bool, Key("Create the views that can be translated.", in_hash=True)] = False
    on_refused_table: Annotated[
        Literal["stop", "skip"],
        AnyCase,
        Key(
            "A table that cannot be carried (more columns than PostgreSQL takes, a right that is missing): the run is"
            " refused before anything is touched, or goes on without the table, which is `failed` in the result."
        ),
    ] = "stop"
    on_nul: Annotated[
        Literal["error", "strip"],
        AnyCase,
        Key("A zero character in a text, which PostgreSQL cannot hold: an error, or left out.", in_hash=True),
    ] = "error"
    preflight_sample: Annotated[
        int,
        Field(ge=0, le=100_000),
        Key(
            "Rows of each new table on which the plan tries its computed columns and checks in PostgreSQL: one that"
            " comes out otherwise than in the source is not carried. `0` tries none."
        ),
    ] = 1000
    identifier_case: Annotated[
        Literal["preserve", "lower", "snake"],
        AnyCase,
        Key("Names in the target: as they are, in lower case, or `snake_case`.", in_hash=True),
    ] = "preserve"
    collation: Annotated[
        Literal["ignore", "citext", "icu"],
        AnyCase,
        Key(
            "What becomes of a case-insensitive column: nothing, `citext`, or a nondeterministic ICU collation.",
            in_hash=True,
        ),
    ] = "ignore"
    hooks: Annotated[
        HookSet,
        BeforeValidator(lambda value: {} if value is None else value),
        Key("SQL to run on the target at four moments."),
    ] = Field(default_factory=HookSet)
    retries: Annotated[
        int,
        Field(ge=1, le=100),
        Key("Attempts for one chunk before its table fails (lost connections, deadlocks, throttling)."),
    ] = 8


class Config(Section):
    """A whole configuration."""

    source: Annotated[Source, Key("The SQL Server database to read.")]
    target: Annotated[Target, Key("The PostgreSQL database to fill.")]
    migration: Annotated[
        MigrationConfig,
        BeforeValidator(lambda value: {} if value is None else value),
        Key("What is done, and how hard."),
    ] = Field(default_factory=MigrationConfig)

    sync: Annotated[
        SyncConfig | None,
        Key("How the target follows the source after the run. With it, `run` records every table's position first."),
    ] = None

    _file: str | None = PrivateAttr(default=None)

    @classmethod
    def load(cls, path: str | Path, *, environment: Mapping[str, str] | None = None) -> Config:
        """Read a YAML or JSON file. Raises InvalidConfig (every problem at once) and IoError."""
        config = read_file(cls, path, environment=environment)
        config._file = str(path)
        return config

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, environment: Mapping[str, str] | None = None) -> Config:
        """Check plain data, ``${NAME}`` included. Raises InvalidConfig with every problem at once."""
        return read_document(cls, data, environment=environment)

    def with_overrides(
        self, *, source_schema: str | None = None, target_schema: str | None = None, workers: int | None = None
    ) -> Config:
        """A copy with the command line's values. ``source_schema`` may list names separated by commas.

        A target schema given this way also wins over ``schema_map``.
        """
        values: dict[str, tuple[str, object]] = {}
        if source_schema is not None:
            names = [name.strip() for name in source_schema.split(",") if name.strip()]
            values["source.schema"] = ("--source-schema", names)
        if target_schema is not None:
            chosen = values["source.schema"][1] if source_schema is not None else self.source.schema_
            if not isinstance(chosen, (list, tuple)) or len(chosen) != 1 or chosen[0] == "*":
                reason = "needs a single source schema; use target.schema_map in the configuration to place several"
                raise InvalidConfig("command line", [Problem("--target-schema", reason)])
            values["target.schema"] = ("--target-schema", target_schema)
            values["target.schema_map"] = ("--target-schema", {})
        if workers is not None:
            values["migration.workers"] = ("--workers", workers)
        changed = with_values(self, values)
        changed._file = self._file
        return changed

    @property
    def file(self) -> str | None:
        """The file this was read from, None for plain data."""
        return self._file

    @property
    def hash(self) -> str:
        """``sha256:...`` over what decides the data (``config.hash``)."""
        return config_hash(self)

    def secrets(self) -> tuple[str, ...]:
        """Every secret value, for the log filter that removes them."""
        held = (self.source.password, self.source.access_token, self.target.password)
        return tuple(secret.get_secret_value() for secret in held if secret is not None)

    def public_values(self) -> frozenset[str]:
        """Texts that are no secret even where a password is the same: names, hosts."""
        source, target = self.source, self.target
        values = {source.host, source.database, source.user, source.path, *source.schema_, source.application_name}
        values |= {target.host, target.database, target.user, target.schema_, target.application_name}
        return frozenset(value for value in values if value)

    def schema_mapping(self, source_schemas: Iterable[str]) -> dict[str, str]:
        """Source schema -> target schema for those that the configuration places somewhere.

        One configured source schema goes to ``target.schema``; several keep their own names and are left out here;
        ``target.schema_map`` comes before both. Its names are compared as SQL Server mostly does: without case.
        """
        wanted = {name.lower(): target for name, target in self.target.schema_map.items()}
        single = self.source.schemas is not None and len(self.source.schemas) == 1
        placed: dict[str, str] = {}
        for name in source_schemas:
            if name.lower() in wanted:
                placed[name] = wanted[name.lower()]
            elif single:
                placed[name] = self.target.schema_
        return placed
