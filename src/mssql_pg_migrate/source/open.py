"""From settings to the source they describe: the one place that knows the kinds of sources."""

from __future__ import annotations

from .settings import SourceSettings
from .source import Source


def open_source(settings: SourceSettings) -> Source:
    """The source of these settings. Nothing is connected to: its sessions and readers do that."""
    from .sqlserver.source import SqlServerSource

    return SqlServerSource(settings)
