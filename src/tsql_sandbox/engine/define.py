"""CREATE, ALTER and DROP: what a statement changes is locked, then changed."""

from __future__ import annotations

from ..tsql import nodes as n
from ..tsql import statements as sm
from . import ddl, ddl_alter, ddl_objects
from .state import SessionState


def run(session: SessionState, statement: sm.Statement) -> None:
    """Run a statement that defines things.

    Raises:
        SqlError: it cannot, or may not.
    """
    _lock(session, statement)
    with session.server.lock:
        session.changing()
        if isinstance(statement, sm.CreateTable):
            ddl.create_table(session, statement)
        elif isinstance(statement, sm.AlterTable):
            ddl_alter.alter_table(session, statement)
        elif isinstance(statement, sm.CreateIndex):
            ddl.create_index(session, session.table(statement.table), statement.index)
        elif isinstance(statement, sm.AlterIndex):
            ddl.alter_index(session, statement)
        else:
            ddl_objects.run(session, statement)
        session.database.changed()


def _lock(session: SessionState, statement: sm.Statement) -> None:
    """Wait for the objects a statement changes before the catalog is held; Sch-M blocks all others until the end.

    Raises:
        Relocked: one had to be waited for.
    """
    names: list[n.Name] = []
    if isinstance(statement, sm.CreateTable | sm.AlterTable):
        names = [statement.name]
    elif isinstance(statement, sm.CreateIndex | sm.AlterIndex):
        names = [statement.table]
    elif isinstance(statement, sm.Drop):
        names = statement.parents if statement.kind == "INDEX" else statement.names if statement.kind in _HELD else []
    elif isinstance(statement, sm.CreateModule):
        names = [statement.name]
    elif isinstance(statement, sm.CreateObject | sm.Permission):
        return
    kept = [name for name in names if not name[-1].startswith(("#", "@"))]
    if names and not kept:
        return
    for name in kept:
        item = session.find_object(name)
        if item is not None:
            session.lock(item, "Sch-M")
            if isinstance(statement, sm.Drop) and statement.kind != "INDEX":
                session.hidden.add((session.database.database_id, name[-1].lower()))
    session.lock_catalog()


_HELD = frozenset(("TABLE", "VIEW", "PROCEDURE", "FUNCTION", "TRIGGER", "SEQUENCE", "SYNONYM"))
