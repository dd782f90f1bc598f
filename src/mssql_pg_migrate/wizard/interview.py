"""The questions of ``init``, in order: source, its schemas and tables, target, what to do. Connections are tested."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from ..errors import Cancelled, MigrationError
from ..source.selection import select_tables
from ..source.source import SourceLook, SourceTable
from . import prompts
from .advanced import ask_migration_details, ask_source_details, ask_target_details
from .answers import Answers, Variable, build, package_kind, problem_with, table_patterns
from .probe import TargetLook, look_at_source, look_at_target

Look = TypeVar("Look")

_MODES = (
    ("drop_recreate: make the tables new; existing ones are dropped", "drop_recreate"),
    ("truncate: keep existing tables, empty them and fill them again", "truncate"),
    ("upsert: keep existing rows, add new and update changed ones (needs primary keys)", "upsert"),
)
_ENTRA = (
    ("a SQL Server login (user and password)", "sql"),
    ("Microsoft Entra: what this machine is logged in with (ActiveDirectoryDefault)", "ActiveDirectoryDefault"),
    ("Microsoft Entra: managed identity (ActiveDirectoryMSI)", "ActiveDirectoryMSI"),
    ("Microsoft Entra: service principal (id and secret)", "ActiveDirectoryServicePrincipal"),
    ("Microsoft Entra: user and password (ActiveDirectoryPassword)", "ActiveDirectoryPassword"),
)


class Interview:
    """One pass through the questions. ``environment`` is where passwords are looked up first."""

    def __init__(self, environment: Mapping[str, str], *, advanced: bool) -> None:
        self._environment = environment
        self._advanced = advanced
        self.answers = Answers()

    def run(self) -> Answers:
        """Ask everything.

        Raises:
            KeyboardInterrupt: Ctrl-C.
            Cancelled: the user gave up on a connection.
        """
        prompts.say("SQL Server, the source", style="head")
        source = self._until_connected(self._ask_source, self._try_source)
        schemas = self._ask_schemas(source)
        tables = self._ask_tables(source, schemas)
        prompts.say()
        prompts.say("PostgreSQL, the target", style="head")
        target = self._until_connected(self._ask_target, self._try_target)
        self._ask_target_schema(target, schemas)
        prompts.say()
        prompts.say("The migration", style="head")
        self._ask_mode(target, tables)
        if self._advanced:
            ask_migration_details(self.answers, self._check)
        build(self.answers, self._environment)  # what was asked one by one must also fit together
        return self.answers

    # -- connections -------------------------------------------------------------------------------------------------

    def _until_connected(self, ask: Callable[[], None], attempt: Callable[[], Look]) -> Look | None:
        """Ask, connect, and let the user decide what to do about a failure; None to go on without a connection."""
        ask()
        while True:
            try:
                return attempt()
            except MigrationError as error:
                prompts.say(str(error), style="bad")
                action = self._after_failure(error)
            if action == "ask":
                ask()
            elif action == "skip":
                return None

    def _after_failure(self, error: MigrationError) -> str:
        choices = [("Change the answers", "ask"), ("Try again", "again")]
        text = str(error)
        if getattr(error, "side", "") == "source" and re.search(r"certificate", text, re.IGNORECASE):
            choices.insert(0, ("Accept this server's certificate (trust_server_cert: true, for test servers)", "trust"))
        if getattr(error, "side", "") == "target" and "does not support SSL" in text:
            choices.insert(0, ("Use TLS only where the server offers it (ssl_mode: prefer)", "prefer"))
        choices += [("Go on without a connection", "skip"), ("Give up; nothing is written", "stop")]
        chosen = prompts.choose("What now?", choices)
        if chosen == "trust":
            self.answers.source["trust_server_cert"] = True
        elif chosen == "prefer":
            self.answers.target["ssl_mode"] = "prefer"
        elif chosen == "stop":
            raise Cancelled("init was given up; nothing was written")
        return chosen

    def _try_source(self) -> SourceLook:
        package = "path" in self.answers.source
        prompts.say("Reading the package ..." if package else "Connecting to SQL Server ...")
        look = look_at_source(build(self.answers, self._environment, "source").source.settings())
        count, schemas = len(look.tables), len(look.schemas)
        found = "A package of" if package else "Connected:"
        prompts.say(f"{found} SQL Server {look.version}, {count} tables in {schemas} schemas.", style="good")
        return look

    def _try_target(self) -> TargetLook:
        prompts.say("Connecting to PostgreSQL ...")
        look = look_at_target(build(self.answers, self._environment, "target").target.settings())
        prompts.say(f"Connected: PostgreSQL {look.version}.", style="good")
        return look

    # -- source --------------------------------------------------------------------------------------------------------

    def _ask_source(self) -> None:
        old = self.answers.source
        source: dict[str, object] = {"type": "mssql"}
        before = str(old.get("path") or old.get("host", "localhost"))
        asked = prompts.text("Host, or the path of a .bacpac or .dacpac", before, check=self._place_problem)
        kind = package_kind(asked)
        if kind is not None:
            self.answers.source = {"type": kind, "path": str(Path(asked).expanduser().absolute())}
            return
        source["host"] = asked
        source["port"] = int(self._text("source", "port", "Port", old.get("port", 1433)))
        source["database"] = self._text("source", "database", "Database", old.get("database", ""))
        login = "sql"
        if self._advanced:
            login = prompts.choose("Log in with", _ENTRA, default=str(old.get("authentication", "sql")))
        if login != "sql":
            source["authentication"] = login
        if login in ("sql", "ActiveDirectoryPassword", "ActiveDirectoryServicePrincipal"):
            question = "Client id" if login == "ActiveDirectoryServicePrincipal" else "User"
            source["user"] = self._text("source", "user", question, old.get("user", ""))
            source["password"] = self._password("MSSQL_PASSWORD")
        if self._advanced:
            ask_source_details(source, old)
        elif "trust_server_cert" in old:
            source["trust_server_cert"] = old["trust_server_cert"]
        self.answers.source = source

    def _place_problem(self, text: str) -> str | None:
        """Why this is neither a host nor a package."""
        if package_kind(text) is None:
            return problem_with("source", "host", text, self._environment)
        return None if Path(text).expanduser().is_file() else f"there is no file {text}"

    def _ask_schemas(self, look: SourceLook | None) -> list[str]:
        if look is None:
            given = prompts.text(
                "Schemas to migrate, separated by commas (* for all)", "dbo", check=lambda text: _list_problem(text)
            )
            schemas = _split(given)
        elif len(look.schemas) <= 1:
            schemas = list(look.schemas) or ["dbo"]
            if look.schemas:
                prompts.say(f"All tables are in schema {schemas[0]}.")
            else:
                prompts.say("The database has no table that this login can see; dbo is taken.", style="bad")
        else:
            choices = [(f"{name} ({count} tables)", name) for name, count in look.schemas.items()]
            first = next(iter(look.schemas))
            schemas = prompts.pick("Schemas to migrate", choices, checked=[first], check="Pick at least one.")
        self.answers.source["schema"] = schemas[0] if len(schemas) == 1 else schemas
        return schemas

    def _ask_tables(self, look: SourceLook | None, schemas: list[str]) -> list[SourceTable]:
        """The tables that will be migrated, as far as known; sets the patterns."""
        tables = [table for table in look.tables if table.schema in schemas] if look is not None else []
        how = [("all of them", "all"), ("by name patterns, for example Sales*", "patterns")]
        if tables:
            how[1:1] = [("only those I pick", "only"), ("all but those I pick", "but")]
        chosen = prompts.choose(f"Which tables? ({len(tables)} are there)" if tables else "Which tables?", how)
        if chosen == "all":
            return tables
        if chosen == "patterns":
            return self._ask_patterns(tables)
        listed = [(_table_title(table, schemas), table) for table in tables]
        question = "Tables to migrate" if chosen == "only" else "Tables to leave out"
        picked = prompts.pick(question, listed, check="Pick at least one.")
        patterns = table_patterns([(table.schema, table.name) for table in picked], schemas)
        self.answers.migration["include_tables" if chosen == "only" else "exclude_tables"] = patterns
        return [table for table in tables if (table in picked) == (chosen == "only")]

    def _ask_patterns(self, tables: list[SourceTable]) -> list[SourceTable]:
        include = _split(prompts.text("Patterns of tables to migrate, separated by commas (empty: all)"))
        exclude = _split(prompts.text("Patterns of tables to leave out (empty: none)"))
        for key, patterns in (("include_tables", include), ("exclude_tables", exclude)):
            if patterns:
                self.answers.migration[key] = patterns
        if not tables:
            return []
        chosen = list(select_tables(tables, include, exclude))
        prompts.say(f"{len(chosen)} of {len(tables)} tables match.", style="" if chosen else "bad")
        return chosen

    # -- target ------------------------------------------------------------------------------------------------------

    def _ask_target(self) -> None:
        old = self.answers.target
        target: dict[str, object] = {"type": "postgres"}
        target["host"] = self._text("target", "host", "Host", old.get("host", "localhost"))
        target["port"] = int(self._text("target", "port", "Port", old.get("port", 5432)))
        target["database"] = self._text("target", "database", "Database", old.get("database", ""))
        target["user"] = self._text("target", "user", "User", old.get("user", "postgres"))
        target["password"] = self._password("POSTGRES_PASSWORD")
        if self._advanced:
            ask_target_details(target, old)
        elif "ssl_mode" in old:
            target["ssl_mode"] = old["ssl_mode"]
        self.answers.target = target

    def _ask_target_schema(self, look: TargetLook | None, schemas: list[str]) -> None:
        if len(schemas) != 1 or schemas == ["*"]:
            prompts.say("Each schema goes to one of the same name (schema_map in the file places them elsewhere).")
            wanted = schemas
        else:
            offers = look.schemas if look is not None else ()
            check = self._check("target", "schema")
            wanted = [prompts.text("Schema for the tables", "public", check=check, offers=offers)]
            self.answers.target["schema"] = wanted[0]
        if look is None:
            return
        for name in wanted:
            if name in look.may_create and not look.may_create[name]:
                prompts.say(f"The user may not create tables in schema {name}: GRANT CREATE ON SCHEMA.", style="bad")
            elif name not in look.may_create and not look.may_create_schemas and name != "*":
                prompts.say(f"Schema {name} does not exist and the user may not create it.", style="bad")

    # -- migration -----------------------------------------------------------------------------------------------------

    def _ask_mode(self, look: TargetLook | None, tables: list[SourceTable]) -> None:
        if look is not None and tables:
            single = self.answers.target.get("schema")
            there = sum(table.name in look.tables.get(str(single or table.schema), ()) for table in tables)
            if there:
                prompts.say(f"{there} of the {len(tables)} tables exist in the target already.")
        self.answers.migration = {
            "target_mode": prompts.choose("Target mode", _MODES),
            **self.answers.migration,
        }

    # -- small things ----------------------------------------------------------------------------------------------

    def _text(self, section: str, key: str, question: str, default: object) -> str:
        return prompts.text(question, str(default), check=self._check(section, key))

    def _check(self, section: str, key: str) -> prompts.Check:
        return lambda text: problem_with(section, key, text, self._environment)

    def _password(self, variable: str) -> Variable:
        """The password's variable; its value is asked for unless the environment has it."""
        if self._advanced:
            variable = prompts.text("Environment variable that holds the password", variable, check=_variable_problem)
        if variable in self._environment and prompts.confirm(f"Use the password in ${variable}?", default=True):
            self.answers.secrets.pop(variable, None)
            return Variable(variable)
        question = f"Password (to connect now; the file will only say ${{{variable}}})"
        self.answers.secrets[variable] = prompts.secret(question)
        return Variable(variable)


def _split(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _list_problem(text: str) -> str | None:
    names = _split(text)
    if not names:
        return "name at least one schema"
    return "either * alone or names" if "*" in names and len(names) > 1 else None


def _variable_problem(text: str) -> str | None:
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        return None
    return "letters, digits and _, not beginning with a digit"


def _table_title(table: SourceTable, schemas: list[str]) -> str:
    name = table.name if len(schemas) == 1 else f"{table.schema}.{table.name}"
    return name if table.rows is None else f"{name} ({table.rows:,} rows)"
