"""The commands. Each takes the global options first, does its work through ``Migration``, and returns an exit code.

Imports of anything heavy are inside the functions: ``--help`` needs none of it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .following_commands import ALL as FOLLOWING
from .options import GlobalOptions, ToolCommand
from .shared import execute, read_only, with_schemas

if TYPE_CHECKING:
    from ..jobs.run import Migration
    from .execution import Execution, Outcome

_WORKERS = click.option("--workers", type=click.IntRange(min=1, max=256), metavar="N", help="Override worker count.")


@click.command("run", cls=ToolCommand, short_help="Execute the migration.")
@click.option("--dry-run", is_flag=True, help="Validate without transferring data: show the plan, change nothing.")
@with_schemas
@_WORKERS
@click.option(
    "--auto-resume",
    is_flag=True,
    help="Go on with the run of the state file when it is unfinished and of this configuration; else start fresh.",
)
@click.option("--schema-only", is_flag=True, help="Create the tables and all that hangs on them, move no rows.")
@click.option("--data-only", is_flag=True, help="Move rows into tables that exist, create nothing.")
@click.option(
    "--report", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write an HTML report of the run."
)
def run_command(
    options: GlobalOptions,
    dry_run: bool,
    auto_resume: bool,
    schema_only: bool,
    data_only: bool,
    report: Path | None,
    **overrides: Any,
) -> int:
    """Execute the migration of the configuration.

    \b
    mssql-pg-migrate -c config.yaml run
    mssql-pg-migrate -c config.yaml run --dry-run
    mssql-pg-migrate -c config.yaml --state-file /tmp/migration.state run
    mssql-pg-migrate -c config.yaml --output-json run
    """
    if schema_only and data_only:
        raise click.UsageError("--schema-only and --data-only exclude each other.")
    if auto_resume and options.state_file is None:
        raise click.UsageError("--auto-resume needs --state-file.")

    def body(execution: Execution) -> Outcome:
        if dry_run:
            if report is not None:
                execution.logger.warning("a dry run has nothing to report: %s is not written", report)
            return _plan(execution, overrides, dry_run=True, data_only=data_only)

        def work(migration: Migration) -> Any:
            return migration.run(auto_resume=auto_resume, schema_only=schema_only, data_only=data_only)

        return _migrate(execution, overrides, work, report)

    return execute("run", options, body)


@click.command("resume", cls=ToolCommand, short_help="Continue an interrupted migration.")
@with_schemas
@_WORKERS
@click.option(
    "--report", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write an HTML report of the run."
)
def resume_command(options: GlobalOptions, report: Path | None, **overrides: Any) -> int:
    """Continue the interrupted migration of a state file.

    The configuration must be that of the run, tuning and passwords apart; the run id stays. Overrides of schemas must
    be given as they were for the run.

    \b
    mssql-pg-migrate -c config.yaml --state-file /tmp/migration.state resume
    """

    def body(execution: Execution) -> Outcome:
        if options.state_file is None:
            from ..errors import ConfigError

            raise ConfigError(
                "resume needs the state file of the interrupted run", hint="add --state-file PATH, as for run"
            )
        return _migrate(execution, overrides, lambda migration: migration.resume(), report)

    return execute("resume", options, body)


@click.command("plan", cls=ToolCommand, short_help="Show what a run would do.")
@with_schemas
@_WORKERS
def plan_command(options: GlobalOptions, **overrides: Any) -> int:
    """Show what a run would do: tables, ranges, types, renames, and what is not carried over. Changes nothing.

    What holds for many objects is one line with their number and the first names; --output-json names all.
    """
    return execute("plan", options, lambda execution: _plan(execution, overrides, dry_run=False))


@click.command("schema", cls=ToolCommand, short_help="Print the target's DDL.")
@click.option("--pre-data", is_flag=True, help="Only what comes before the data: schemas, types, tables.")
@click.option(
    "--post-data", is_flag=True, help="Only what comes after it: keys, indexes, constraints, sequences, views."
)
@with_schemas
def schema_command(options: GlobalOptions, pre_data: bool, post_data: bool, **overrides: Any) -> int:
    """Print the complete DDL of the target, for psql.

    \b
    mssql-pg-migrate -c config.yaml schema > target.sql
    """
    if pre_data and post_data:
        raise click.UsageError("--pre-data and --post-data exclude each other; without either all is printed.")

    def body(execution: Execution) -> Outcome:
        from ..target.ddl import script
        from .execution import Outcome

        execution.machine = options.output_json
        plan = read_only(execution, overrides).plan()
        wanted = {}
        if not post_data:
            wanted["pre_data"] = script(plan.database, post=False)
        if not pre_data:
            wanted["post_data"] = script(plan.database, pre=False)
        text = script(plan.database, pre=not post_data, post=not pre_data)
        return Outcome(fields=wanted, raw=text if text.endswith("\n") else f"{text}\n")

    return execute("schema", options, body)


@click.command("validate", cls=ToolCommand, short_help="Compare source and target.")
@click.option("--checksum", is_flag=True, help="Compare the contents too, down to the keys that differ.")
@click.option("--repair", is_flag=True, help="First bring rows that differ over (missing, changed, extra ones).")
@with_schemas
def validate_command(options: GlobalOptions, checksum: bool, repair: bool, **overrides: Any) -> int:
    """Compare exact row counts of source and target, with --checksum their contents. Exit code 4 when they differ.

    With --repair rows that differ are brought over first, all tables in one transaction; no other row is touched.
    """
    if repair and not checksum:
        raise click.UsageError("--repair goes with --checksum.")

    def body(execution: Execution) -> Outcome:
        from .documents import validation_fields
        from .execution import Outcome
        from .following import repair_blocks, repair_fields
        from .render import validation_blocks

        migration = read_only(execution, overrides)
        repaired = migration.repair() if repair else None
        report = migration.validate(checksum=checksum)
        return Outcome(
            status="completed" if report.equal else "invalid",
            exit_code=0 if report.equal else 4,
            fields=validation_fields(report) | (repair_fields(repaired) if repaired else {}),
            blocks=[*(repair_blocks(repaired) if repaired else ()), *validation_blocks(report)],
        )

    return execute("validate", options, body)


@click.command("health-check", cls=ToolCommand, short_help="Test both connections.")
@with_schemas
def health_check_command(options: GlobalOptions, **overrides: Any) -> int:
    """Reach both servers and look whether a run could work. Exit code 2 when either side fails."""

    def body(execution: Execution) -> Outcome:
        from .documents import health_fields
        from .execution import Outcome
        from .render import health_blocks

        report = read_only(execution, overrides).health_check()
        return Outcome(
            status="completed" if report.ok else "failed",
            exit_code=0 if report.ok else 2,
            fields=health_fields(report),
            blocks=health_blocks(report),
        )

    return execute("health-check", options, body)


@click.command("init", cls=ToolCommand, short_help="Make a configuration by answering questions.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PATH",
    default=Path("config.yaml"),
    show_default="config.yaml",
    help="Output file.",
)
@click.option("--advanced", is_flag=True, help="Show advanced tuning options.")
@click.option("-f", "--force", is_flag=True, help="Overwrite existing file without confirmation.")
def init_command(options: GlobalOptions, output: Path, advanced: bool, force: bool) -> int:
    """Ask for both databases, test the connections, and write a commented configuration."""

    def body(execution: Execution) -> Outcome:
        from ..wizard import run_wizard
        from .execution import Outcome

        execution.machine = options.output_json
        written = run_wizard(output, advanced=advanced, force=force)
        return Outcome(fields={"path": str(written)})

    return execute("init", options, _needing_ui(body), signals=False)


@click.command("tui", cls=ToolCommand, short_help="Terminal UI mode.")
def tui_command(options: GlobalOptions) -> int:
    """Interactive terminal UI with real-time progress monitoring."""
    if options.output_json or options.progress:
        raise click.UsageError("tui is for people; --output-json and --progress go with run.")

    def body(_: Execution) -> Outcome:
        from ..tui import run_tui

        return _ended_with(
            run_tui(
                config_path=options.config, state_file=options.state_file, shutdown_timeout=options.shutdown_timeout
            )
        )

    return execute("tui", options, _needing_ui(body), signals=False)


@click.command("demo", cls=ToolCommand, short_help="Migrate a sample database between two embedded servers.")
@click.option("--rows", type=click.IntRange(min=100), metavar="N", help="Rows of the sample database, about.")
@click.option("--keep", is_flag=True, help="Leave both servers up until Ctrl-C, and say how to reach them.")
def demo_command(options: GlobalOptions, rows: int | None, keep: bool) -> int:
    """Start a sandbox source and an embedded PostgreSQL, migrate ten tables, compare every row."""

    def body(execution: Execution) -> Outcome:
        from .execution import stdout_on_stderr

        try:
            import duckdb  # noqa: F401 - the sandbox's process needs it; here its absence can still be explained

            from ..demo.demo import run_demo
        except ModuleNotFoundError as error:
            raise _missing_extra(error, "sandbox", "the demo") from None
        execution.machine = options.output_json
        with stdout_on_stderr(only_if=options.output_json):
            return _ended_with(run_demo(rows=rows, keep=keep))

    return execute("demo", options, body, signals=False)


ALL: tuple[click.Command, ...] = (
    run_command,
    resume_command,
    validate_command,
    health_check_command,
    plan_command,
    schema_command,
    *FOLLOWING,
    init_command,
    tui_command,
    demo_command,
)


def _migrate(
    execution: Execution, overrides: dict[str, Any], work: Callable[[Migration], Any], report: Path | None
) -> Outcome:
    from .migrating import migrate

    return migrate(execution, execution.load_config(**overrides), work, report)


def _plan(execution: Execution, overrides: dict[str, Any], *, dry_run: bool, data_only: bool = False) -> Outcome:
    from ..errors import SchemaError
    from .documents import error_fields
    from .execution import Outcome
    from .render import plan_blocks

    plan = read_only(execution, overrides).plan(data_only=data_only)
    data = plan.to_dict()
    outcome = Outcome(
        fields={"dry_run": dry_run, "plan": data},
        blocks=plan_blocks(data, plan.tuning.rows()),
    )
    for warning in plan.tuning.warnings:
        execution.logger.warning("%s", warning)
    try:
        plan.refuse_errors()
    except SchemaError as error:
        outcome.status, outcome.exit_code = "failed", error.exit_code
        outcome.fields |= error_fields(error)
        outcome.complaint = str(error)
    return outcome


def _needing_ui(body: Callable[[Execution], Outcome]) -> Callable[[Execution], Outcome]:
    def wrapped(execution: Execution) -> Outcome:
        try:
            return body(execution)
        except ModuleNotFoundError as error:
            raise _missing_extra(error, "ui", "this command") from None

    return wrapped


def _ended_with(code: int) -> Outcome:
    """The outcome of a command that has told a person already how it went."""
    from .execution import Outcome

    kinds = {1: "config", 2: "connection", 4: "validation", 5: "cancelled", 6: "state", 7: "io"}
    if code == 0:
        return Outcome()
    kind = kinds.get(code, "transfer")
    fields = {"error": "see the messages on stderr", "error_type": kind, "retryable": kind in ("connection", "io")}
    return Outcome(status="cancelled" if code == 5 else "failed", exit_code=code, fields=fields)


def _missing_extra(error: ModuleNotFoundError, extra: str, what: str) -> Exception:
    """The advice to install an extra, when that is what is missing."""
    if (error.name or "").split(".")[0] == "mssql_pg_migrate":
        return error
    from ..errors import ConfigError

    return ConfigError(
        f"{what} needs the package {error.name}, which is not installed",
        hint=f"pip install 'mssql-pg-migrate[{extra}]'",
    )
