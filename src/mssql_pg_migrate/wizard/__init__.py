"""``init``: asks, tests the connections as it goes, and writes a commented configuration without a password in it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .answers import Answers

__all__ = ["make_config", "run_wizard", "write_config"]

_BY_HAND = """\
Write the file by hand instead; this is enough to begin with:

  source:
    type: mssql
    host: mssql.example.com
    database: SourceDB
    user: migrator
    password: ${MSSQL_PASSWORD}
  target:
    type: postgres
    host: postgres.example.com
    database: target_db
    user: migrator
    password: ${POSTGRES_PASSWORD}

and try it with: mssql-pg-migrate -c FILE health-check"""


def run_wizard(output: Path, *, advanced: bool = False, force: bool = False) -> Path:
    """Ask everything and write ``output`` with mode 0600; returns its path.

    An existing file is replaced only with ``force`` or after asking.

    Raises:
        ConfigError: there is no terminal to ask on, or questionary is not installed.
        Cancelled: Ctrl-C, or the user gave up; nothing was written.
        IoError: the file cannot be written.
    """
    make_config(output, advanced=advanced, force=force)
    return Path(output)


def make_config(output: Path, *, advanced: bool = False, force: bool = False) -> Answers:
    """As ``run_wizard``, and return what was answered, with the passwords that were typed in."""
    from ..errors import Cancelled, ConfigError
    from . import prompts

    output = Path(output)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError("init asks questions and needs a terminal", hint=_BY_HAND)
    try:
        import questionary  # noqa: F401 - the questions need it
    except ImportError:
        raise ConfigError(
            "init needs the package questionary, which is not installed",
            hint="pip install 'mssql-pg-migrate[ui]', or write the configuration by hand (docs/configuration.md)",
        ) from None
    check_output(output)
    try:
        if output.exists() and not force and not prompts.confirm(f"{output} exists. Replace it?", default=False):
            raise Cancelled(f"{output} was left as it is; nothing was written")
        answers = ask(os.environ, advanced=advanced)
    except (KeyboardInterrupt, EOFError):
        raise Cancelled("init was stopped; nothing was written") from None
    write_config(output, answers)
    _say_what_next(output, answers)
    return answers


def ask(environment: os._Environ[str] | dict[str, str], *, advanced: bool) -> Answers:
    """The questions alone; Ctrl-C raises KeyboardInterrupt."""
    from .interview import Interview

    return Interview(environment, advanced=advanced).run()


def check_output(output: Path) -> None:
    """See before the first question that the file can be written. Raises IoError."""
    from ..errors import IoError

    folder = output.parent
    if output.is_dir():
        raise IoError(f"{output} is a directory", hint="give a file name: init -o config.yaml", retryable=False)
    if not folder.is_dir():
        raise IoError(f"{output} cannot be written: there is no folder {folder}", retryable=False)
    if not os.access(folder, os.W_OK):
        raise IoError(f"{output} cannot be written: no right to write in {folder}", retryable=False)


def write_config(output: Path, answers: Answers) -> None:
    """Write the file in one step, readable by its owner alone (0600). Raises IoError."""
    from ..errors import IoError
    from .render import render

    temporary = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(render(answers))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(output)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise IoError(f"{output} cannot be written: {error.strerror or error}", retryable=False) from None


def _say_what_next(output: Path, answers: Answers) -> None:
    from . import prompts
    from .answers import SECTIONS, Variable

    prompts.say()
    prompts.say(f"{output} is written (readable by you alone).", style="good")
    variables = [
        value.name for name in SECTIONS for value in answers.section(name).values() if isinstance(value, Variable)
    ]
    unset = [name for name in dict.fromkeys(variables) if name not in os.environ]
    if unset:
        prompts.say("It holds no password. Set in the environment:")
        for name in unset:
            prompts.say(f"  export {name}=...")
    command = f"mssql-pg-migrate -c {output}"
    prompts.say("Then:")
    prompts.say(f"  {command} health-check")
    prompts.say(f"  {command} run --dry-run    # the plan; changes nothing")
    prompts.say(f"  {command} run")
