"""The terminal UI: watch a migration, start, pause and resume it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..config.models import Config
    from .session import Session

__all__ = ["default_state_file", "run_tui"]


def default_state_file(config_path: Path) -> Path:
    """``config.yaml`` -> ``config.yaml.state`` beside it: pausing needs a state file."""
    return config_path.with_name(f"{config_path.name}.state")


def run_tui(config_path: Path, state_file: Path | None = None, shutdown_timeout: float = 60.0) -> int:
    """Show the UI until the user quits; the exit code of the run that ended last, 0 when none ran.

    A configuration that is not there is made first, by the questions of ``init``. Without ``state_file`` the state is
    kept in a file beside the configuration.

    Raises:
        ConfigError: there is no terminal, or the configuration is wrong.
        Cancelled: the questions were not answered to the end.
    """
    from ..errors import ConfigError

    config_path = Path(config_path)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError(
            "tui draws on a terminal, and there is none",
            hint="use run, with --progress or --log-format json where a program reads along",
        )
    config = _config(config_path)
    from .app import MigrationApp
    from .session import Session

    session = Session(config, state_file or default_state_file(config_path), shutdown_timeout=shutdown_timeout)
    app = MigrationApp(session, report_path=config_path.with_suffix(".report.html"))
    code = app.run()
    session.wait()
    _say_goodbye(session, config_path)
    return session.exit_code if code is None else code


def _config(config_path: Path) -> Config:
    from ..config import Config

    if config_path.exists():
        return Config.load(config_path)
    from ..wizard import make_config

    print(f"There is no {config_path} yet; a few questions make one.\n")
    answers = make_config(config_path)
    return Config.load(config_path, environment={**os.environ, **answers.secrets})


def _say_goodbye(session: Session, config_path: Path) -> None:
    """What stays on the terminal when the UI is gone."""
    from ..report.format import count, duration, plural

    result = session.result
    if result is not None and result.status != "cancelled":
        rows = f"{count(result.rows)} rows of {plural(len(result.tables), 'table')}"
        print(f"Run {result.run_id}: {result.status}, {rows} in {duration(result.seconds)}.")
        for table in result.failed_tables:
            print(f"  {table.error}")
    elif session.error is not None and session.state in ("failed", "refused"):
        print(session.error)
    if session.resumable() is not None:
        print(f"To go on: mssql-pg-migrate -c {config_path} --state-file {session.state_file} resume")
