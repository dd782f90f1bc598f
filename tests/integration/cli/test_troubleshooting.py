"""Every error of docs/troubleshooting.md is provoked and recognised by the words the page shows."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mssql_pg_migrate.config import Config, config_from_dict
from mssql_pg_migrate.errors import MigrationError
from mssql_pg_migrate.events import AnyEvent, Waiting
from mssql_pg_migrate.jobs.run import Migration
from mssql_pg_migrate.tds.prelogin import Encryption
from scripted_server import ScriptedServer, make_certificate

PAGE = Path(__file__).parents[3] / "docs" / "troubleshooting.md"
TABLES = """
CREATE TABLE dbo.orders (id int NOT NULL PRIMARY KEY, note nvarchar(50));
CREATE TABLE dbo.keyless (id int NOT NULL);
INSERT INTO dbo.orders VALUES (1, N'first'), (2, N'second');
"""


def sections() -> dict[str, str]:
    """Heading -> what its first code block shows."""
    found = {}
    for part in re.split(r"^### ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        heading, _, body = part.partition("\n")
        block = re.search(r"```\n(.*?)```", body, re.DOTALL)
        assert block, f"no error text under {heading!r}"
        found[heading.strip()] = block.group(1)
    return found


class Bench:
    """Two databases, and runs over them that go wrong."""

    def __init__(self, source, target, folder: Path) -> None:
        self.source, self.target, self.folder = source, target, folder
        server = source.server
        self.data: dict[str, dict[str, Any]] = {
            "source": {
                "type": "mssql", "host": server.host, "port": server.port, "database": source.name,
                "user": server.user, "password": server.password, "encrypt": str(server.encrypt).lower(),
                "trust_server_cert": True, "login_timeout": 5,
            },
            "target": {
                "type": "postgres", "host": target.host, "port": target.port, "database": target.name,
                "user": target.user, "password": target.password, "ssl_mode": "prefer",
            },
            "migration": {"include_tables": ["orders"], "retries": 2},
        }  # fmt: skip
        self.state = folder / "migration.state"

    def config(self, **changes: Any) -> Config:
        """``section__key=value`` changes a key; None takes it away."""
        data = {name: dict(values) for name, values in self.data.items()}
        for name, value in changes.items():
            section, key = name.split("__")
            if value is None:
                data[section].pop(key, None)
            else:
                data[section][key] = value
        return config_from_dict(data, environment={})

    def failure(self, work: Callable[[], Any]) -> str:
        with pytest.raises(MigrationError) as caught:
            work()
        return str(caught.value)

    def refused(self, **changes: Any) -> str:
        """What a run with these changes is refused with."""
        return self.failure(lambda: Migration(self.config(**changes)).run())

    def failed_table(self, **changes: Any) -> str:
        """The error of the table that fails in such a run."""
        result = Migration(self.config(**changes)).run()
        (table,) = result.failed_tables
        return table.error or ""

    def problems(self, **changes: Any) -> str:
        result = Migration(self.config(**changes)).run()
        assert result.exit_code == 4
        return "\n".join(result.problems)

    def run_with_state(self, **changes: Any):
        return Migration(self.config(**changes), state_file=self.state).run()


@pytest.fixture
def bench(source_db, target_db, tmp_path) -> Bench:
    source_db.execute_script(TABLES)
    return Bench(source_db, target_db, tmp_path)


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


PROVOKED: dict[str, Callable[[Bench], str]] = {}


def provokes(heading: str):
    def keep(function: Callable[[Bench], str]) -> Callable[[Bench], str]:
        PROVOKED[heading] = function
        return function

    return keep


# -- configuration -----------------------------------------------------------------------------------------------------


@provokes("The configuration file is not found")
def _no_file(bench: Bench) -> str:
    return bench.failure(lambda: Config.load(bench.folder / "config.yaml"))


def _load(bench: Bench, text: str) -> str:
    path = bench.folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return bench.failure(lambda: Config.load(path, environment={}))


_FILE = """\
source: {type: mssql, host: h, database: d, user: u, password: p}
target: {type: postgres, host: h, database: d, user: u, password: "${POSTGRES_PASSWORD}"}
migration:
  worker: 4
"""


@provokes("An environment variable is not set")
def _unset(bench: Bench) -> str:
    return _load(bench, _FILE.replace("worker:", "workers:"))


@provokes("A key is misspelt")
def _misspelt(bench: Bench) -> str:
    return _load(bench, _FILE.replace("${POSTGRES_PASSWORD}", "p"))


@provokes("No table is selected")
def _nothing(bench: Bench) -> str:
    return bench.refused(migration__include_tables=["there_is_none"])


# -- connections -------------------------------------------------------------------------------------------------------


@provokes("SQL Server refuses the connection")
def _refused(bench: Bench) -> str:
    return bench.refused(source__host="127.0.0.1", source__port=closed_port())


@provokes("The name of the server is unknown")
def _unknown_host(bench: Bench) -> str:
    return bench.refused(source__host="mssql.does-not-exist.invalid")


@provokes("SQL Server does not accept the login")
def _wrong_password(bench: Bench) -> str:
    return bench.refused(source__password="wrong")


@provokes("The source database cannot be opened")
def _no_database(bench: Bench) -> str:
    return bench.refused(source__database="there_is_none")


@provokes("The certificate of SQL Server is not trusted")
def _certificate(bench: Bench) -> str:
    return bench.refused(source__encrypt="true", source__trust_server_cert=False)


@provokes("SQL Server's TLS is too old")
def _old_tls(bench: Bench) -> str:
    certificate = make_certificate(bench.folder)[1]
    with ScriptedServer(encryption=Encryption.ON, certificate=certificate, old_tls=True) as server:
        return bench.refused(source__host="127.0.0.1", source__port=server.port)


@provokes("encrypt: strict with a server that is too old for it")
def _strict(bench: Bench) -> str:
    with ScriptedServer() as server:
        return bench.refused(source__host="127.0.0.1", source__port=server.port, source__encrypt="strict")


@provokes("PostgreSQL cannot be reached")
def _target_down(bench: Bench) -> str:
    return bench.refused(target__host="127.0.0.1", target__port=closed_port())


@provokes("PostgreSQL does not offer TLS")
def _no_tls(bench: Bench) -> str:
    if bench.target.execute("SHOW ssl") == [("on",)]:
        pytest.skip("this PostgreSQL offers TLS")
    return bench.refused(target__ssl_mode="require")


@provokes("The target database does not exist")
def _no_target(bench: Bench) -> str:
    return bench.refused(target__database="there_is_none")


@provokes("Too many connections")
def _too_many(bench: Bench) -> str:
    role = f"crowded_{bench.target.name}"
    bench.target.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'pw' CONNECTION LIMIT 0")
    try:
        return bench.refused(target__user=role, target__password="pw")
    finally:
        bench.target.execute(f"DROP ROLE {role}")


# -- the plan ----------------------------------------------------------------------------------------------------------


@provokes("No primary key in upsert mode")
def _no_key(bench: Bench) -> str:
    return bench.refused(migration__target_mode="upsert", migration__include_tables=["keyless"])


@provokes("The target's table does not fit")
def _no_fit(bench: Bench) -> str:
    bench.target.execute("CREATE TABLE public.orders (id int PRIMARY KEY)")
    return bench.refused(migration__target_mode="truncate")


@provokes("Other tables reference one that is to be emptied")
def _referenced(bench: Bench) -> str:
    bench.target.execute("CREATE TABLE public.orders (id int PRIMARY KEY, note varchar(50))")
    bench.target.execute("CREATE TABLE public.invoices (id int PRIMARY KEY, order_id int REFERENCES public.orders)")
    return bench.refused(migration__target_mode="truncate")


@provokes("One table of many cannot be carried")
def _one_of_many(bench: Bench) -> str:
    bench.source.execute_script("CREATE TABLE dbo.good (id int NOT NULL PRIMARY KEY)")
    bench.target.execute("CREATE TYPE good AS ENUM ('a')")
    return bench.refused(migration__include_tables=["orders", "good"])


@provokes("The source has no such schema")
def _no_schema(bench: Bench) -> str:
    return bench.refused(source__schema="sales")


# -- rows --------------------------------------------------------------------------------------------------------------


@provokes("A text holds a zero character")
def _zero(bench: Bench) -> str:
    bench.source.execute_script("INSERT INTO dbo.orders VALUES (77, N'a' + NCHAR(0) + N'b')")
    return bench.failed_table()


@provokes("The login may not read a table")
def _no_select(bench: Bench) -> str:
    server = bench.source.server
    bench.source.execute_script(
        "CREATE LOGIN reader_ts WITH PASSWORD = 'Read-0nly-pw'\nCREATE USER reader_ts FOR LOGIN reader_ts"
        "\nGRANT VIEW DEFINITION TO reader_ts"
    )
    try:
        return bench.refused(source__user="reader_ts", source__password="Read-0nly-pw")
    finally:
        server.execute_script("DROP LOGIN reader_ts")


@provokes("The target role may not create tables")
def _no_create(bench: Bench) -> str:
    role = f"weak_{bench.target.name}"
    bench.target.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'pw'")
    bench.target.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    try:
        return bench.refused(target__user=role, target__password="pw")
    finally:
        bench.target.execute(f"DROP OWNED BY {role}")
        bench.target.execute(f"DROP ROLE {role}")


@provokes("The target is read-only")
def _read_only(bench: Bench) -> str:
    name = bench.target.name
    bench.target.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    try:
        return bench.refused()
    finally:
        with bench.target.connect() as connection:
            connection.execute("SET default_transaction_read_only = off")
            connection.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')


@provokes("The target holds a row with this key already")
def _duplicate(bench: Bench) -> str:
    bench.target.execute("CREATE TABLE public.orders (id int PRIMARY KEY, note varchar(50) UNIQUE)")
    bench.source.execute_script("INSERT INTO dbo.orders VALUES (3, N'first')")
    return bench.failed_table(migration__target_mode="truncate")


# -- afterwards --------------------------------------------------------------------------------------------------------


@provokes("A foreign key does not hold")
def _foreign_key(bench: Bench) -> str:
    bench.source.execute_script(
        "CREATE TABLE dbo.lines (id int NOT NULL PRIMARY KEY, order_id int NOT NULL)"
        "\nINSERT INTO dbo.lines VALUES (1, 42)"
        "\nALTER TABLE dbo.lines WITH NOCHECK ADD CONSTRAINT FK_lines_orders FOREIGN KEY (order_id)"
        " REFERENCES dbo.orders (id)\nALTER TABLE dbo.lines NOCHECK CONSTRAINT FK_lines_orders"
    )
    bench.target.execute(
        "CREATE TABLE public.orders (id int PRIMARY KEY, note varchar(50));"
        "CREATE TABLE public.lines (id int PRIMARY KEY, order_id int REFERENCES public.orders)"
    )
    return bench.problems(migration__target_mode="truncate", migration__include_tables=["orders", "lines"])


@provokes("Source and target differ")
def _different(bench: Bench) -> str:
    from mssql_pg_migrate.cli.documents import validation_fields

    Migration(bench.config()).run()
    bench.target.execute("DELETE FROM public.orders WHERE id = 2")
    return str(validation_fields(Migration(bench.config()).validate())["error"])


# -- state -------------------------------------------------------------------------------------------------------------


@provokes("Config hash mismatch")
def _hash(bench: Bench) -> str:
    bench.run_with_state()
    changed = bench.config(target__schema="other")
    return bench.failure(lambda: Migration(changed, state_file=bench.state).resume())


@provokes("The state file does not exist")
def _no_state(bench: Bench) -> str:
    return bench.failure(lambda: Migration(bench.config(), state_file=bench.state).resume())


def _unfinish(bench: Bench) -> None:
    """A run that failed half way, its ledger in place."""
    bench.source.execute_script("INSERT INTO dbo.orders VALUES (77, N'a' + NCHAR(0) + N'b')")
    assert bench.run_with_state(migration__chunk_size=1).exit_code == 3


@provokes("The ledger is gone")
def _no_ledger(bench: Bench) -> str:
    _unfinish(bench)
    tables = [name for (name,) in bench.target.execute(r"SELECT tablename FROM pg_tables WHERE tablename ~ '^_mpm_'")]
    bench.target.execute(f"DROP TABLE {', '.join(tables)} CASCADE")
    return bench.failure(lambda: Migration(bench.config(), state_file=bench.state).resume())


@provokes("A source table has changed since")
def _changed(bench: Bench) -> str:
    _unfinish(bench)
    bench.source.execute_script("ALTER TABLE dbo.orders ADD extra int")
    return bench.failure(lambda: Migration(bench.config(), state_file=bench.state).resume())


@provokes("Another run is at work")
def _locked(bench: Bench) -> str:
    from mssql_pg_migrate.target.lock import lock_key

    with bench.target.connect() as holder:
        holder.execute("SELECT pg_advisory_lock(%s)", (lock_key("public"),))
        return bench.refused()


# -- local files -------------------------------------------------------------------------------------------------------


@provokes("The state file cannot be written")
def _unwritable(bench: Bench) -> str:
    (bench.folder / "file").write_text("where a folder is needed")
    bench.state = bench.folder / "file" / "migration.state"
    return bench.failure(bench.run_with_state)


# -- not an error -----------------------------------------------------------------------------------------------------


@provokes("It waits")
def _waits(bench: Bench) -> str:
    said: list[str] = []
    bench.target.execute("CREATE TABLE orders (id int PRIMARY KEY, note varchar(50))")
    with bench.target.connect() as holder, holder.transaction():
        holder.execute("LOCK TABLE orders")

        def listen(event: AnyEvent) -> None:
            if isinstance(event, Waiting):
                said.append(event.text)
                holder.cancel()
                holder.close()

        Migration(bench.config(migration__target_mode="truncate"), on_event=listen).run()
    return " ".join(said)


# -- the page ----------------------------------------------------------------------------------------------------------

_ELSEWHERE = {
    "Microsoft's driver cannot be loaded": "source/sqlserver/connect.py",
    "Out of memory": "cli/execution.py",
    "A server stays away": "transfer/retry.py",
    "The disk of PostgreSQL is full": "target/classify.py",
    "A table goes through the slower reader": "transfer/tablework.py",
}
"""Errors that need a broken machine: their words are looked for in the module that writes them."""


def test_every_error_of_the_page_is_checked():
    assert set(sections()) == set(PROVOKED) | set(_ELSEWHERE)


def pieces(shown: str) -> list[str]:
    """What a block shows, without what differs from case to case (quoted names, numbers, addresses, `...`)."""
    names = r"\bdbo\.\w+|\bSourceDB\b|\bOrders\b|\S+\.(?:example\.com|yaml|state)\S*"
    varying = rf"{names}|\.\.\.|'[^']*'|\"[^\"]*\"|\([^)]*\)|\S*\d\S*|\n"
    parts = [part.strip(" .,;:") for part in re.split(varying, shown)]
    return [part for part in parts if len(part) > 3]


@pytest.mark.parametrize("heading", list(PROVOKED))
def test_the_page_shows_the_error_as_it_is(bench, heading):
    shown = pieces(sections()[heading])
    assert shown
    said = PROVOKED[heading](bench)
    assert bench.source.server.password not in said or len(bench.source.server.password) < 4
    for piece in shown:
        assert piece in said, f"{piece!r} of the page is not in {said!r}"


@pytest.mark.parametrize("heading", list(_ELSEWHERE))
def test_the_page_shows_the_words_of_the_code(heading):
    source = Path(__file__).parents[3] / "src" / "mssql_pg_migrate" / _ELSEWHERE[heading]
    code = re.sub(r'"\s*\n\s*f?"', "", source.read_text(encoding="utf-8")).replace("{chosen.name}", "driver")
    for piece in pieces(sections()[heading]):
        assert piece in code, f"{piece!r} is not in {source}"
