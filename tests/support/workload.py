"""An application that writes to a source while it is followed: transactions over several tables, some rolled back.

Two things hold in the source after every transaction: the balances add up to the entries, and every line has its order,
whose ``lines`` counts them.
"""

from __future__ import annotations

import random
import threading
from typing import Any

from mssql_pg_migrate.source.sqlserver.tds_connection import TdsConnection
from mssql_pg_migrate.tds.client import Client, ClientSettings
from servers import MssqlDatabase, PgDatabase

TABLES = ["account", "entry", "orders", "line"]
SCHEMA = """
CREATE TABLE dbo.account (id int PRIMARY KEY, code int NOT NULL UNIQUE, balance int NOT NULL, rv rowversion);
CREATE TABLE dbo.entry (id bigint IDENTITY(1,1) PRIMARY KEY, account int NOT NULL REFERENCES dbo.account (id),
    amount int NOT NULL, note nvarchar(max) NULL, rv rowversion);
CREATE TABLE dbo.orders (id int PRIMARY KEY, lines int NOT NULL, parent int NULL REFERENCES dbo.orders (id),
    rv rowversion);
CREATE TABLE dbo.line (orders int NOT NULL REFERENCES dbo.orders (id) ON DELETE CASCADE, no int NOT NULL,
    text nvarchar(40) NULL, rv rowversion, CONSTRAINT pk_line PRIMARY KEY (orders, no));
"""
ACCOUNTS = 40


def connect(source: MssqlDatabase) -> TdsConnection:
    """A connection of the application's."""
    server = source.server
    settings = ClientSettings(
        server.host, source.name, server.port, user=server.user, password=server.password, encrypt=server.encrypt,
        trust_server_cert=True, application_name="workload",
    )  # fmt: skip
    return TdsConnection(Client(settings))


def set_up(source: MssqlDatabase, *, change_tracking: bool) -> None:
    """The tables, and what the sync needs of the database."""
    source.execute_script(SCHEMA)
    rows = ", ".join(f"({number}, {number * 10}, 0)" for number in range(ACCOUNTS))
    source.execute_script(f"INSERT INTO dbo.account (id, code, balance) VALUES {rows}")
    source.execute_script(f"ALTER DATABASE [{source.name}] SET ALLOW_SNAPSHOT_ISOLATION ON")
    if change_tracking:
        source.execute_script(f"ALTER DATABASE [{source.name}] SET CHANGE_TRACKING = ON")
        for table in TABLES:
            source.execute_script(f"ALTER TABLE dbo.{table} ENABLE CHANGE_TRACKING")


class Workload:
    """Writes in a thread until stopped."""

    def __init__(self, source: MssqlDatabase, *, seed: int, pause: float = 0.0) -> None:
        self._source = source
        self._pick = random.Random(seed)
        self._pause = pause
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="workload", daemon=True)
        self._next_order = 0
        self._orders: dict[int, int] = {}
        self.transactions = 0
        self.error: BaseException | None = None

    def __enter__(self) -> Workload:
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()

    def stop(self) -> None:
        """The last transaction is over. Raises what ended the workload early."""
        self._stop.set()
        self._thread.join(60)
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            connection = connect(self._source)
            cursor = connection.cursor()
            while not self._stop.wait(self._pause):
                statements, done = self._pick.choice(
                    [self._transfer, self._transfer, self._new_order, self._change_order, self._drop_order, self._swap]
                )()
                if not statements:
                    continue
                rolled_back = self._pick.random() < 0.1
                end = "ROLLBACK" if rolled_back else "COMMIT"
                cursor.execute("; ".join(["BEGIN TRANSACTION", *statements, end]))
                if not rolled_back:
                    done()
                    self.transactions += 1
            connection.close()
        except BaseException as error:
            self.error = error

    def _transfer(self) -> tuple[list[str], Any]:
        one, other = self._pick.sample(range(ACCOUNTS), 2)
        amount = self._pick.randrange(1, 100)
        note = self._pick.choice(["NULL", "N'žluť'", "N'" + "x" * self._pick.randrange(9000) + "'"])
        statements = [
            f"UPDATE dbo.account SET balance = balance - {amount} WHERE id = {one}",
            f"UPDATE dbo.account SET balance = balance + {amount} WHERE id = {other}",
            f"INSERT INTO dbo.entry (account, amount, note) VALUES ({one}, -{amount}, {note})",
            f"INSERT INTO dbo.entry (account, amount, note) VALUES ({other}, {amount}, NULL)",
        ]
        return statements, lambda: None

    def _new_order(self) -> tuple[list[str], Any]:
        number, lines = self._next_order, self._pick.randrange(1, 5)
        self._next_order += 1
        parent = self._pick.choice([*self._orders, None, None])
        statements = [f"INSERT INTO dbo.orders (id, lines, parent) VALUES ({number}, {lines}, {parent or 'NULL'})"]
        rows = ", ".join(f"({number}, {position}, N'l{position}')" for position in range(lines))
        statements.append(f"INSERT INTO dbo.line (orders, no, text) VALUES {rows}")
        return statements, lambda: self._orders.update({number: lines})

    def _change_order(self) -> tuple[list[str], Any]:
        if not self._orders:
            return [], None
        number = self._pick.choice([*self._orders])
        last = self._orders[number]
        fresh = self._pick.randrange(1000, 10**6)
        statements = [
            f"UPDATE dbo.line SET text = N'c{fresh}' WHERE orders = {number}",
            f"INSERT INTO dbo.line (orders, no, text) VALUES ({number}, {fresh}, NULL)",
            f"UPDATE dbo.orders SET lines = lines + 1 WHERE id = {number}",
        ]
        return statements, lambda: self._orders.update({number: last + 1})

    def _drop_order(self) -> tuple[list[str], Any]:
        if len(self._orders) < 20:
            return [], None
        number = self._pick.choice([*self._orders])
        statements = [
            f"UPDATE dbo.orders SET parent = NULL WHERE parent = {number}",
            f"DELETE FROM dbo.line WHERE orders = {number}",
            f"DELETE FROM dbo.orders WHERE id = {number}",
        ]
        return statements, lambda: self._orders.pop(number)

    def _swap(self) -> tuple[list[str], Any]:
        one, other = self._pick.sample(range(ACCOUNTS), 2)
        statements = [
            f"UPDATE dbo.account SET code = -1 - code WHERE id IN ({one}, {other})",
            f"DECLARE @a int = (SELECT -1 - code FROM dbo.account WHERE id = {one});"
            f" DECLARE @b int = (SELECT -1 - code FROM dbo.account WHERE id = {other});"
            f" UPDATE dbo.account SET code = @b WHERE id = {one}; UPDATE dbo.account SET code = @a WHERE id = {other}",
        ]
        return statements, lambda: None


class Watcher:
    """Reads the target all the time: what holds in every state of the source must hold in every state of the target."""

    def __init__(self, target: PgDatabase) -> None:
        self._target = target
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)
        self.looks = 0
        self.broken: list[Any] = []

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        import psycopg

        while not self._stop.wait(0.02):
            try:
                [found] = self._target.execute(
                    "SELECT (SELECT coalesce(sum(balance), 0) FROM account),"
                    " (SELECT coalesce(sum(amount), 0) FROM entry),"
                    " (SELECT count(*) FROM account a WHERE a.balance <> (SELECT coalesce(sum(amount), 0) FROM entry e"
                    " WHERE e.account = a.id)),"
                    " (SELECT count(*) FROM line l WHERE NOT EXISTS (SELECT FROM orders o WHERE o.id = l.orders)),"
                    " (SELECT count(*) FROM orders o WHERE o.lines <> (SELECT count(*) FROM line l"
                    " WHERE l.orders = o.id))"
                )
            except psycopg.OperationalError:
                continue  # the server is down for a moment
            self.looks += 1
            if found[0] != found[1] or any(found[2:]):
                self.broken.append(found)
