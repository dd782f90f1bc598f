"""What the commands have in common: overrides, and how each is carried out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .options import GlobalOptions

if TYPE_CHECKING:
    from ..jobs.run import Migration
    from .execution import Execution, Outcome

F = TypeVar("F", bound=Callable[..., Any])

_OVERRIDES = (
    click.option(
        "--from",
        "source_url",
        metavar="SOURCE",
        help="Instead of a config file: the path of a .bacpac, or mssql://user@host/database.",
    ),
    click.option("--to", "target_url", metavar="URL", help="With --from: postgresql://user@host/database."),
    click.option("--source-schema", metavar="NAME", help="Override source schema (names separated by commas, or *)."),
    click.option("--target-schema", metavar="NAME", help="Override target schema."),
)


def execute(command: str, options: GlobalOptions, body: Callable[[Execution], Outcome], *, signals: bool = True) -> int:
    """Carry out a command's body and print its result; the exit code."""
    from .execution import Execution

    return Execution(command, options).run(body, signals=signals)


def with_schemas(function: F) -> F:
    """Add the options that override schemas."""
    for option in reversed(_OVERRIDES):
        function = option(function)
    return function


def read_only(execution: Execution, overrides: dict[str, Any]) -> Migration:
    """A Migration for a command that a signal may end at any moment: nothing is left half done."""
    from ..jobs.run import Migration
    from .migrating import Events

    config = execution.load_config(**overrides)
    events = Events(execution, milestones=not execution.options.progress)
    if execution.options.progress:
        from .progress_lines import ProgressLines

        events.sinks.append(ProgressLines(execution.tracker, execution.redactor))
    return Migration(
        config,
        state_file=execution.options.state_file,
        on_event=events,
        shutdown_timeout=execution.options.shutdown_timeout,
    )
