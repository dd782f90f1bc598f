"""The two ends of a command: settings whose sessions tell when they wait."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..config.models import Config
    from ..config.tuning import Tuning
    from ..events import EventSink
    from ..source.settings import SourceSettings
    from ..source.source import Source
    from ..target.connect import TargetSettings


class Ends:
    """Source and target of a configuration; nothing is open until it is asked for."""

    def __init__(self, config: Config, on_event: EventSink) -> None:
        self._config = config
        self._emit = on_event

    @cached_property
    def _tuning(self) -> Tuning:
        from ..config.tuning import tune

        return tune(self._config)

    @cached_property
    def source_settings(self) -> SourceSettings:
        """How to reach the source."""
        from ..source.open import watched

        settings = self._config.source.settings()
        return watched(settings, self._emit, limit=self._tuning.max_mssql_connections)

    @cached_property
    def source(self) -> Source:
        """The source itself."""
        from ..source.open import open_source

        return open_source(self.source_settings)

    @cached_property
    def target(self) -> TargetSettings:
        """How to reach the target."""
        from ..target.watch import watched

        return watched(self._config.target.settings(), self._emit, limit=self._tuning.max_pg_connections)
