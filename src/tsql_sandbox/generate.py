"""Making the generated database: its schema by T-SQL, its rows as ready bytes."""

from __future__ import annotations

from .catalog.model import Table
from .engine.engine import Engine
from .engine.results import Sink
from .engine.session import Session
from .generator.rowstore import RowStore
from .generator.stackoverflow import SCHEMA, Generator


def generate(engine: Engine, rows: int, database: str = "StackOverflow2010", seed: int = 2010) -> dict[str, int]:
    """Make the database with its ten tables; table name -> rows.

    Raises:
        SqlError: a database of that name is there already.
    """
    home = engine.create_database(database)
    admin = next(login for login in engine.logins() if login.sysadmin)
    session = Session(engine, admin, home)
    session.sink = Sink()
    try:
        session.run_batch(SCHEMA)
        generator = Generator(rows, seed)
        counts: dict[str, int] = {}
        for name, count in generator.counts.items():
            table = home.find(("dbo", name))
            assert isinstance(table, Table)
            table.ready = RowStore(engine.duckdb, table, generator)
            counts[name] = count
            identity = table.identity.identity if table.identity is not None else None
            if identity is not None:
                identity.last = int(generator.ids[name][-1])
        home.changed()
        for name in ("LinkTypes", "PostTypes", "VoteTypes"):
            counts[name] = session.query_rows(f"SELECT count(*) FROM {session.table(('dbo', name)).physical}")[0][0]
        return counts
    finally:
        session.close()
