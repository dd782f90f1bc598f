"""``health-check``: are both servers there, and could a run do there what it will have to?

Both sides are tried, whatever the other one says; a server that is down is a finding, not an exception. What a run
could not do (a table it may not read, a schema it may not create tables in) is an ``error`` of that side, what it
should know a warning.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import MigrationError
from ..events import EventSink
from ..results import HealthReport, SideHealth
from ..transfer.plan import table_of
from .ends import Ends

if TYPE_CHECKING:
    import psycopg

    from ..config.models import Config
    from ..mapping.objects import Note
    from ..model import Catalog
    from ..source.source import Source, SourceSession

_LISTED = 10
"""Problems of one side that are written out."""


@dataclass(slots=True)
class _Selection:
    """What the source told of the tables a run would carry."""

    catalog: Catalog
    names: frozenset[str]


def health_check(config: Config, *, on_event: EventSink) -> HealthReport:
    """Try both sides; never raises for a server that is down or refuses. Waiting for a lock is told to ``on_event``."""
    ends = Ends(config, on_event)
    source, selection = _check_source(config, ends)
    return HealthReport([source, _check_target(config, selection, ends)])


# --- source -----------------------------------------------------------------------------------------------------------


def _check_source(config: Config, ends: Ends) -> tuple[SideHealth, _Selection | None]:
    source = ends.source
    side = SideHealth("source", ok=False, server=source.label)
    try:
        with closing(source.connect()) as session:
            return side, _ask_source(config, source, session, side)
    except MigrationError as error:
        side.error, side.retryable = str(error), error.retryable
        return side, None


def _ask_source(config: Config, source: Source, session: SourceSession, side: SideHealth) -> _Selection:
    from .plan import read_source

    found = session.health()
    side.version, side.latency_ms, side.tls = found.version, found.latency_ms, found.tls
    side.facts = dict(found.facts)
    catalog, names = read_source(config, session)
    tables = [table for table in catalog.tables if table.full_name in names]
    side.facts["tables"] = f"{len(tables)}, about {sum(table.row_estimate for table in tables):,} rows"
    side.facts["reader"] = source.readers
    side.warnings.extend(catalog.notes)
    problems = list(found.problems)
    for obstacle in session.obstacles(tables):
        text = f"{obstacle.kind} {obstacle.name} {obstacle.clause}"
        (side.warnings if obstacle.readable else problems).append(text)
    _conclude(side, problems)
    return _Selection(catalog, names)


# --- target -----------------------------------------------------------------------------------------------------------


def _check_target(config: Config, selection: _Selection | None, ends: Ends) -> SideHealth:
    import psycopg

    from ..target.connect import connect_target, redact

    settings = ends.target
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
    from ..target.access import Needs, missing_abilities
    from ..target.health import check_health

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
    wanted = tune(config).max_pg_connections
    if found.free_connections < wanted:
        side.warnings.append(
            f"a run would open up to {wanted} connections, and the server has {found.free_connections} to spare:"
            " lower max_pg_connections"
        )
    if selection is None:
        side.warnings.append("rights on the tables were not checked: the source did not name them")
        schemas = _configured_schemas(config)
        needs = Needs(schemas, schemas, stages=config.migration.target_mode == "upsert")
        problems = missing_abilities(connection, needs)
    else:
        problems = _plan_problems(config, connection, side, selection)
    _conclude(side, problems)


def _plan_problems(
    config: Config, connection: psycopg.Connection[Any], side: SideHealth, selection: _Selection
) -> list[str]:
    """What the plan of a run would be refused for, in its words; what refuses single tables only may be a warning."""
    from ..mapping.build import build
    from ..target.inspect import read_abilities
    from .plan import mapping_options
    from .tables import look_at_target

    # Raises for a database in another encoding, which cannot even be asked about names that it has no characters for.
    abilities = read_abilities(connection)
    database = build(selection.catalog, mapping_options(config, selection.catalog, selection.names, abilities))
    looked = look_at_target(config, connection, database)
    errors = [note for note in (*database.notes, *looked.notes) if note.severity == "error"]
    general = [note for note in errors if table_of(note.object, selection.names) is None]
    single = [note for note in errors if note not in general]
    if config.migration.on_refused_table == "skip":
        side.warnings.extend(f"left out: {_said(note)}" for note in single)
        return [_said(note) for note in general]
    return [_said(note) for note in (*general, *single)]


def _said(note: Note) -> str:
    return note.message if note.object == "target" else f"{note.object}: {note.message}"


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
