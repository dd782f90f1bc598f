"""``mssql-pg-migrate demo``: the main job on two embedded servers, with the commands a user would type."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tsql_sandbox.process import SandboxError, SandboxServer

from ..errors import IoError
from .embedded_pg import EmbeddedPostgres

DEFAULT_ROWS = 200_000
SOURCE_DATABASE = "StackOverflow2010"
TARGET_DATABASE = "stackoverflow"
_CONFIG = """\
# Written by `mssql-pg-migrate demo`: the sandbox as source, an embedded PostgreSQL as target.
source:
  type: mssql
  host: {source_host}
  port: {source_port}
  database: {source_database}
  user: {source_user}
  password: ${{DEMO_MSSQL_PASSWORD}}
  encrypt: true
  trust_server_cert: true
target:
  type: postgres
  host: {target_host}
  port: {target_port}
  database: {target_database}
  user: {target_user}
  password: ${{DEMO_POSTGRES_PASSWORD}}
  ssl_mode: prefer
migration:
  target_mode: drop_recreate
"""


def run_demo(*, rows: int | None, keep: bool) -> int:
    """Start both servers, run `run` and `validate --checksum` on a generated database; the exit code of the last.

    With ``keep`` the servers stay up until Ctrl-C. Raises IoError when a server does not start.
    """
    wanted = rows or DEFAULT_ROWS
    folder = Path(tempfile.mkdtemp(prefix="mssql-pg-migrate-demo-"))
    try:
        _say(f"Starting a TDS server with a StackOverflow2010-shaped database of about {wanted:,} rows ...")
        with SandboxServer(generate=wanted, generate_database=SOURCE_DATABASE) as source:
            _say(f"Starting PostgreSQL ... (source is at {source.host}:{source.port})")
            with EmbeddedPostgres() as target:
                return _migrate(source, target, folder, keep=keep)
    except SandboxError as error:
        raise IoError(f"the demo's servers did not start: {error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _migrate(source: SandboxServer, target: EmbeddedPostgres, folder: Path, *, keep: bool) -> int:
    import psycopg

    with psycopg.connect(target.url(), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{TARGET_DATABASE}"')
    config = folder / "demo.yaml"
    config.write_text(
        _CONFIG.format(
            source_host=source.host,
            source_port=source.port,
            source_database=SOURCE_DATABASE,
            source_user=source.user,
            target_host=target.host,
            target_port=target.port,
            target_database=TARGET_DATABASE,
            target_user=target.user,
        )
    )
    environment = {
        **os.environ,
        "DEMO_MSSQL_PASSWORD": source.password,
        "DEMO_POSTGRES_PASSWORD": target.password,
    }
    state = folder / "demo.state"
    started = time.monotonic()
    code = _type(["-c", str(config), "--state-file", str(state), "run"], environment)
    if code == 0:
        code = _type(["-c", str(config), "validate", "--checksum"], environment)
    if code != 0:
        _say(f"The demo failed with exit code {code}.")
        return code
    _say(
        f"\nEvery table arrived: counts and contents are equal ({time.monotonic() - started:.0f} s for both commands)."
        "\nFor a database of your own:"
        "\n  mssql-pg-migrate init"
        "\n  mssql-pg-migrate --state-file migration.state run"
    )
    if keep:
        _wait(target, config, environment)
    return 0


def _type(arguments: list[str], environment: dict[str, str]) -> int:
    """Run a command line of this tool as a user would, on this terminal."""
    _say(f"\n$ mssql-pg-migrate {shlex.join(arguments)}")
    return subprocess.run([sys.executable, "-m", "mssql_pg_migrate", *arguments], env=environment).returncode


def _wait(target: EmbeddedPostgres, config: Path, environment: dict[str, str]) -> None:
    names = ("DEMO_MSSQL_PASSWORD", "DEMO_POSTGRES_PASSWORD")
    exports = " ".join(f"{name}={shlex.quote(environment[name])}" for name in names)
    _say(
        f"\nBoth servers stay up until Ctrl-C.\n  psql {shlex.quote(target.url(TARGET_DATABASE))}"
        f"\n  export {exports}\n  mssql-pg-migrate -c {config} run"
    )
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        _say("\nStopping both servers.")


def _say(text: str) -> None:
    print(text, flush=True)
