"""Migrate SQL Server databases to PostgreSQL, every row exactly once.

>>> from mssql_pg_migrate import Config, Migration
>>> result = Migration(Config.load("config.yaml")).run()  # doctest: +SKIP
"""

from __future__ import annotations

from .version import __version__

TYPE_CHECKING = False  # that of ``typing``, without its import

__all__ = ["Config", "Migration", "MigrationError", "__version__"]

if TYPE_CHECKING:
    from .config.models import Config
    from .errors import MigrationError
    from .jobs.run import Migration


def __getattr__(name: str) -> object:
    """Import on first use: ``import mssql_pg_migrate`` alone stays quick."""
    if name == "Config":
        from .config.models import Config

        return Config
    if name == "Migration":
        from .jobs.run import Migration

        return Migration
    if name == "MigrationError":
        from .errors import MigrationError

        return MigrationError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
