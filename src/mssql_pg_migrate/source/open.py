"""From settings to the source they describe: the one place that knows the kinds of sources."""

from __future__ import annotations

from dataclasses import replace

from ..events import EventSink
from .settings import PackageSettings, SourceSettings
from .source import Source


def open_source(settings: SourceSettings) -> Source:
    """The source of these settings. Nothing is connected to: its sessions and readers do that."""
    if isinstance(settings, PackageSettings):
        from .bacpac.source import PackageSource

        return PackageSource(settings)
    from .sqlserver.source import SqlServerSource

    return SqlServerSource(settings)


def watched(settings: SourceSettings, emit: EventSink, *, limit: int | None = None) -> SourceSettings:
    """The settings of sessions and readers whose waiting is told to ``emit``.

    ``limit`` is the number of connections that all of them together may open, None for a few of them anyway.
    """
    if isinstance(settings, PackageSettings):
        return settings
    from .sqlserver.watch import SourceWatch

    return replace(settings, watch=SourceWatch(settings, emit, limit))
