"""The commands for a source that goes on changing: ``sync`` and ``cutover``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import GlobalOptions, ToolCommand
from .shared import execute, read_only, with_schemas

if TYPE_CHECKING:
    from .execution import Execution, Outcome


@click.command("sync", cls=ToolCommand, short_help="Bring the source's changes over.")
@click.argument("action", required=False, type=click.Choice(["status", "prepare"]))
@click.option("--watch", is_flag=True, help="Go on until stopped, a pass every --interval.")
@click.option(
    "--interval", metavar="TIME", help="Time between two passes of --watch: 5s, 1m (default: sync.interval, 5s)."
)
@click.option("--apply", is_flag=True, help="prepare: run the statements at the source that let more changes be seen.")
@click.option(
    "--compare",
    is_flag=True,
    help="Compare the contents of every table; with prepare: follow a target that has no recorded positions.",
)
@with_schemas
def sync_command(
    options: GlobalOptions,
    action: str | None,
    watch: bool,
    interval: str | None,
    apply: bool,
    compare: bool,
    **overrides: Any,
) -> int:
    """Bring what changed at the source since the last pass over, in one transaction of the target.

    \b
    mssql-pg-migrate -c config.yaml sync prepare
    mssql-pg-migrate -c config.yaml sync
    mssql-pg-migrate -c config.yaml sync --watch --interval 5s
    mssql-pg-migrate -c config.yaml sync status

    `run` with a `sync` section in its configuration records where the changes begin. Nothing but the target holds how
    far the sync is: it may be killed at any moment and started anywhere.
    """
    if action is not None and (watch or interval is not None):
        raise click.UsageError(f"--watch and --interval do not go with sync {action}.")
    if apply and action != "prepare":
        raise click.UsageError("--apply goes with sync prepare.")
    if action == "status" and compare:
        raise click.UsageError("--compare does not go with sync status.")
    if interval is not None and not watch:
        raise click.UsageError("--interval goes with --watch.")
    if watch and compare:
        raise click.UsageError("--compare does not go with --watch; sync.compare_every says how often.")

    def body(execution: Execution) -> Outcome:
        if action == "status":
            return _status(execution, overrides)
        if action == "prepare":
            return _prepare(execution, overrides, apply=apply, compare=compare)
        if watch:
            return _watch(execution, overrides, interval)
        return _once(execution, overrides, compare=compare)

    return execute("sync", options, body)


def _once(execution: Execution, overrides: dict[str, Any], *, compare: bool) -> Outcome:
    from .execution import Outcome
    from .following import pass_blocks, pass_fields

    result = read_only(execution, overrides).sync(compare_all=compare)
    return Outcome(fields=pass_fields(result), blocks=pass_blocks(result))


def _watch(execution: Execution, overrides: dict[str, Any], interval: str | None) -> Outcome:
    from ..config.sync import seconds
    from ..errors import ConfigError
    from .execution import Outcome
    from .following import pass_line

    every = None
    if interval is not None:
        try:
            every = float(seconds(interval))
        except ValueError as error:
            raise ConfigError(f"--interval {interval}: {error}") from None
    migration = read_only(execution, overrides)
    passes = migration.sync_watch(interval=every, on_pass=lambda result: execution.logger.info("%s", pass_line(result)))
    return Outcome(fields={"passes": passes})


def _status(execution: Execution, overrides: dict[str, Any]) -> Outcome:
    from .execution import Outcome
    from .following import status_blocks, status_fields

    status = read_only(execution, overrides).sync_status()
    return Outcome(fields=status_fields(status), blocks=status_blocks(status))


def _prepare(execution: Execution, overrides: dict[str, Any], *, apply: bool, compare: bool) -> Outcome:
    from .execution import Outcome
    from .following import prepare_blocks, prepare_fields

    report = read_only(execution, overrides).sync_prepare(apply=apply, compare=compare)
    return Outcome(fields=prepare_fields(report), blocks=prepare_blocks(report))


@click.command("cutover", cls=ToolCommand, short_help="Let the target take over: GO or NO-GO.")
@click.option("--rehearse", is_flag=True, help="All but the last steps; say how long the real one would take.")
@click.option(
    "--wait-for",
    type=click.Choice(["read_only", "quiet"]),
    help="First go on with passes until the source database is read-only, or nothing changes any more.",
)
@click.option(
    "--report", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write an HTML report of it."
)
@with_schemas
def cutover_command(
    options: GlobalOptions, rehearse: bool, wait_for: str | None, report: Path | None, **overrides: Any
) -> int:
    """Passes until nothing is left, constraints validated, sequences set, contents compared: GO (exit code 0) or NO-GO
    (exit code 4) with the reasons. Stop the application that writes to the source first.

    \b
    mssql-pg-migrate -c config.yaml cutover --rehearse
    mssql-pg-migrate -c config.yaml cutover --wait-for read_only --report cutover.html
    """

    def body(execution: Execution) -> Outcome:
        from .execution import Outcome
        from .following import cutover_blocks, cutover_fields

        result = read_only(execution, overrides).cutover(rehearse=rehearse, wait_for=wait_for)  # type: ignore[arg-type]
        if report is not None:
            from ..report.cutover import write_cutover_report

            write_cutover_report(report, result)
        return Outcome(
            status="completed" if result.go else "invalid",
            exit_code=0 if result.go else 4,
            fields=cutover_fields(result),
            blocks=cutover_blocks(result),
        )

    return execute("cutover", options, body)


ALL: tuple[click.Command, ...] = (sync_command, cutover_command)
