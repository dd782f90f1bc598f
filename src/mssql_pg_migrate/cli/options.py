"""The global options, accepted before the command as the guide has them, and after it as people type them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import click
from click.core import ParameterSource

GLOBAL_HEADING = "Global options (before or after the command)"


@dataclass(frozen=True, slots=True)
class GlobalOptions:
    """Their values; the field names are those of click's parameters."""

    config: Path = Path("config.yaml")
    state_file: Path | None = None
    output_json: bool = False
    log_format: Literal["text", "json"] = "text"
    verbosity: str = "info"
    shutdown_timeout: float = 60.0
    progress: bool = False

    @property
    def machine(self) -> bool:
        """Whether stdout is read by a program: then it carries one line of JSON instead of text.

        ``--progress`` and ``--log-format json`` ask for it too, so that ``2>&1 | jq`` never meets anything else.
        """
        return self.output_json or self.progress or self.log_format == "json"


def _not_empty(_context: click.Context, parameter: click.Parameter, value: Path | None) -> Path | None:
    """``--state-file "$STATE"`` with a variable that is not set would name the current folder."""
    if value == Path():
        raise click.BadParameter("must not be empty.", param=parameter)
    return value


def global_parameters() -> list[click.Option]:
    """Fresh click options, for the group and for every command."""
    return [
        click.Option(
            ["-c", "--config"],
            type=click.Path(path_type=Path),
            metavar="PATH",
            default=Path("config.yaml"),
            show_default="config.yaml",
            help="Config file path.",
        ),
        click.Option(
            ["--state-file"],
            type=click.Path(path_type=Path, dir_okay=False),
            metavar="PATH",
            callback=_not_empty,
            help="State file for resume capability.",
        ),
        click.Option(["--output-json"], is_flag=True, help="Output results as JSON (one document on stdout)."),
        click.Option(
            ["--log-format"],
            type=click.Choice(["text", "json"], case_sensitive=False),
            default="text",
            show_default=True,
            help="Log format.",
        ),
        click.Option(
            ["--verbosity"],
            type=click.Choice(["debug", "info", "warn", "error"], case_sensitive=False),
            default="info",
            show_default=True,
            help="Log level.",
        ),
        click.Option(
            ["--shutdown-timeout"],
            type=click.FloatRange(min=0, max=86_400),
            metavar="SEC",
            default=60.0,
            show_default="60",
            help="Graceful shutdown timeout: seconds that chunks under way may take after a signal.",
        ),
        click.Option(["--progress"], is_flag=True, help="Print progress as JSON lines (on stderr)."),
    ]


GLOBAL_NAMES = frozenset(field.name for field in fields(GlobalOptions))


def _given(context: click.Context) -> dict[str, Any]:
    """The global options of this context that were typed, removed from its parameters."""
    values = {name: context.params.pop(name) for name in GLOBAL_NAMES & set(context.params)}
    return {
        name: value
        for name, value in values.items()
        if context.get_parameter_source(name) not in (ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP)
    }


class ToolCommand(click.Command):
    """A command that takes the global options too; its callback gets ``options`` first."""

    def __init__(self, *arguments: Any, **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self.params.extend(global_parameters())

    def invoke(self, ctx: click.Context) -> Any:
        before = ctx.obj if isinstance(ctx.obj, GlobalOptions) else GlobalOptions()
        options = replace(before, **_given(ctx))
        assert self.callback is not None
        return ctx.invoke(self.callback, options, **ctx.params)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        own = [parameter for parameter in self.get_params(ctx) if parameter.name not in GLOBAL_NAMES]
        shared = [parameter for parameter in self.get_params(ctx) if parameter.name in GLOBAL_NAMES]
        _write_options("Options", own, ctx, formatter)
        _write_options(GLOBAL_HEADING, shared, ctx, formatter)


class ToolGroup(click.Group):
    """The program itself: keeps the global options for the command."""

    command_class = ToolCommand

    def __init__(self, *arguments: Any, **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self.params.extend(global_parameters())

    def invoke(self, ctx: click.Context) -> Any:
        ctx.obj = replace(GlobalOptions(), **_given(ctx))
        return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """In the order in which they were added: that of a user's day, not of the alphabet."""
        return list(self.commands)


def _write_options(
    heading: str, parameters: Sequence[click.Parameter], ctx: click.Context, formatter: click.HelpFormatter
) -> None:
    records = [record for record in (parameter.get_help_record(ctx) for parameter in parameters) if record]
    if records:
        with formatter.section(heading):
            formatter.write_dl(records)
