"""The program: commands, options, and what becomes of a command line that makes no sense."""

from __future__ import annotations

import os
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..version import __version__
from .options import GlobalOptions, ToolGroup

if TYPE_CHECKING:
    from ..errors import Cancelled, ConfigError, IoError
    from .execution import Execution, Outcome

HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


@click.group(cls=ToolGroup, context_settings=HELP, subcommand_metavar="COMMAND [ARGS]...")
@click.version_option(__version__, "--version", "-V", prog_name="mssql-pg-migrate")
def program() -> None:
    """Migrate SQL Server databases to PostgreSQL: headless, resumable, every row exactly once."""


def _add_commands() -> None:
    from . import commands

    for command in commands.ALL:
        program.add_command(command)


_add_commands()


def run(arguments: list[str]) -> int:
    """Carry out a command line and return the exit code; never raises for anything a user can cause."""
    _make_output_robust()
    if not arguments:  # before click, whose versions differ in whether this is an error
        click.echo(program.get_help(click.Context(program, info_name="mssql-pg-migrate")), err=True)
        return 1
    try:
        code = program.main(args=arguments, prog_name="mssql-pg-migrate", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.UsageError as error:
        return _usage(arguments, error)
    except click.ClickException as error:
        from ..errors import ConfigError

        return _refuse(arguments, ConfigError(error.format_message()))
    except (click.Abort, KeyboardInterrupt):
        from ..errors import Cancelled

        return _refuse(arguments, Cancelled("interrupted"))
    except OSError as error:  # click prints help and versions itself
        from ..errors import IoError
        from .streams import abandon

        abandon(sys.stdout)
        return _refuse(arguments, IoError(f"the result cannot be printed: {error.strerror}"))


def _make_output_robust() -> None:
    """Neither a name that the terminal's encoding lacks nor a closed stream (``>&-``) may end a migration."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for the life of the process
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        reconfigure: Any = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _usage(arguments: list[str], error: click.UsageError) -> int:
    from ..errors import ConfigError

    path = error.ctx.command_path if error.ctx is not None else "mssql-pg-migrate"
    return _refuse(arguments, ConfigError(error.format_message(), hint=f"see: {path} --help"))


def _refuse(arguments: list[str], error: ConfigError | Cancelled | IoError) -> int:
    """Report in the form that was asked for, as far as an unusable command line tells it."""
    from .execution import Execution

    options = _guess_options(arguments)

    def fail(_: Execution) -> Outcome:
        raise error

    names = [name for name in arguments if name in program.commands]
    return Execution(names[0] if names else "", options).run(fail)


def _guess_options(arguments: list[str]) -> GlobalOptions:
    if "--" in arguments:
        arguments = arguments[: arguments.index("--")]
    json_logs = "--log-format=json" in arguments or any(
        pair == ("--log-format", "json") for pair in pairwise(arguments)
    )
    return GlobalOptions(
        output_json="--output-json" in arguments,
        progress="--progress" in arguments,
        log_format="json" if json_logs else "text",
    )
