"""``health-check``: are both servers there, and could a run do there what it will have to?

Both sides are tried, whatever the other one says; a server that is down is a finding, not an exception. What a run
could not do (a table it may not read, a schema it may not create tables in) is an ``error`` of that side, what it
should know a warning.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import MigrationError
from ..results import HealthReport, SideHealth

if TYPE_CHECKING:
    import psycopg

    from ..config.models import Config
    from ..mapping.objects import MappedDatabase
    from ..model import Catalog

_LISTED = 10
"""Problems of one side that are written out."""


@dataclass(slots=True)
class _Selection:
    """What the source told of the tables a run would carry."""

    catalog: Catalog
    names: frozenset[str]


def health_check(config: Config) -> HealthReport:
    """Try both sides; never raises for a server that is down or refuses."""
    source, selection = _check_source(config)
    return HealthReport([source, _check_target(config, selection)])


# --- source -----------------------------------------------------------------------------------------------------------


def _check_source(config: Config) -> tuple[SideHealth, _Selection | None]:
    from ..source.sqlserver.connect import connect_source

    settings = config.source.settings()
    side = SideHealth("source", ok=False, server=f"{settings.address}/{settings.database}")
    try:
        connection = connect_source(settings)
    except MigrationError as error:
        side.error, side.retryable = str(error), error.retryable
        return side, None
    try:
        return side, _ask_source(config, connection, side)
    except MigrationError as error:
        side.error, side.retryable = str(error), error.retryable
        return side, None
    finally:
        connection.close()


def _ask_source(config: Config, connection: Any, side: SideHealth) -> _Selection:
    from ..source.sqlserver.health import access_problems, check_health
    from .plan import read_source

    found = check_health(connection, config.source.settings())
    side.version = found.version
    side.latency_ms = found.latency_ms
    side.tls = _source_tls(encrypted=found.encrypted, known=found.encryption_known)
    side.facts = {"product": found.product, "database": found.database, "login": found.login or "unknown"}
    catalog, names = read_source(config, connection)
    tables = [table for table in catalog.tables if table.full_name in names]
    side.facts["tables"] = f"{len(tables)}, about {sum(table.row_estimate for table in tables):,} rows"
    side.facts["reader"] = _reader(config)
    side.warnings.extend(catalog.notes)
    problems = []
    if config.source.isolation == "snapshot" and found.snapshot_allowed is False:
        problems.append(
            "isolation is snapshot, but the database does not allow it"
            " (ALTER DATABASE ... SET ALLOW_SNAPSHOT_ISOLATION ON)"
        )
    for problem in access_problems(connection, tables):
        text = f"table {problem.table} {problem.reason}"
        (side.warnings if problem.readable else problems).append(text)
    _conclude(side, problems)
    return _Selection(catalog, names)


def _source_tls(*, encrypted: bool, known: bool) -> str:
    text = "in use" if encrypted else "none after the login"
    return text if known else f"{text} (by the settings; the server does not tell)"


def _reader(config: Config) -> str:
    wanted = config.source.reader
    if wanted == "driver":
        return "driver, as configured"
    from ..source.sqlserver.wire import unavailable

    reason = unavailable()
    if reason is not None:
        return f"driver: {reason}"
    return "wire" if wanted == "wire" else "wire where it proves itself, else driver"


# --- target -----------------------------------------------------------------------------------------------------------


def _check_target(config: Config, selection: _Selection | None) -> SideHealth:
    import psycopg

    from ..target.connect import connect_target, redact

    settings = config.target.settings()
    side = SideHealth("target", ok=False, server=settings.label)
    try:
        with connect_target(settings, purpose="health") as connection:
            _ask_target(config, connection, side, selection)
    except MigrationError as error:
        side.error, side.retryable = str(error), error.retryable
    except psycopg.Error as error:
        side.error = redact(f"the server answered: {error}".strip(), settings.password)
        side.retryable = isinstance(error, psycopg.OperationalError)
    return side


def _ask_target(
    config: Config, connection: psycopg.Connection[Any], side: SideHealth, selection: _Selection | None
) -> None:
    from ..config.tuning import tune
    from ..target.health import check_health, missing_rights

    found = check_health(connection)
    facts = found.facts
    side.version, side.latency_ms, side.tls = facts.version, found.latency_ms, found.tls or "none"
    side.facts = {
        "database": found.database,
        "user": found.user,
        "encoding": facts.encoding,
        "lz4": "yes" if facts.lz4 else "no",
        "free connections": f"{found.free_connections} of {facts.max_connections}",
    }
    if facts.encoding != "UTF8":
        # Nor can it be asked about names that it has no characters for.
        side.error = (
            f"the database's encoding is {facts.encoding}: text arrives complete in UTF8 only (CREATE DATABASE ..."
            " ENCODING 'UTF8' TEMPLATE template0)"
        )
        return
    problems = []
    if found.read_only is not None:
        problems.append(f"nothing can be written: {found.read_only}")
    wanted = tune(config).max_pg_connections
    if found.free_connections < wanted:
        side.warnings.append(
            f"a run would open up to {wanted} connections, and the server has {found.free_connections} to spare:"
            " lower max_pg_connections"
        )
    database = _mapped(config, connection, selection)
    schemas = database.schemas if database else _configured_schemas(config)
    tables = database.tables if database else ()
    extensions = database.extensions if database else ()
    if database is None:
        side.warnings.append("rights on the tables were not checked: the source did not name them")
    problems += missing_rights(connection, config.migration.target_mode, schemas, tables, extensions)
    _conclude(side, problems)


def _mapped(config: Config, connection: psycopg.Connection[Any], selection: _Selection | None) -> MappedDatabase | None:
    if selection is None:
        return None
    from ..mapping.build import build
    from .plan import mapping_options

    return build(selection.catalog, mapping_options(config, selection.catalog, selection.names, connection))


def _configured_schemas(config: Config) -> tuple[str, ...]:
    """The target schemas as far as the configuration alone names them."""
    named = config.schema_mapping(config.source.schemas or ()).values()
    return tuple(dict.fromkeys(named)) or (config.target.schema_,)


def _conclude(side: SideHealth, problems: Sequence[str]) -> None:
    """A side without problems is well."""
    side.ok = not problems
    if problems:
        side.error = "; ".join(_shortened(problems))


def _shortened(problems: Sequence[str]) -> Iterable[str]:
    yield from problems[:_LISTED]
    if len(problems) > _LISTED:
        yield f"and {len(problems) - _LISTED} more"
