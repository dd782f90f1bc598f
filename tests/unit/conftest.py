"""What every unit test may rely on."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """The command line configures the package's logger; the next test must not find it changed."""
    loggers = [logging.getLogger(name) for name in ("mssql_pg_migrate", "py.warnings")]
    before = [(logger.handlers, logger.level, logger.propagate) for logger in loggers]
    yield
    logging.captureWarnings(False)
    for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)
