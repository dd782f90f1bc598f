"""What functions ask of the compiler that compiles them."""

from __future__ import annotations

from typing import Protocol

from ..catalog.database import Database
from ..tsql import nodes as n
from .casts import Ex
from .scope import Scope
from .session import CompilerSession


class Compiling(Protocol):
    """A compiler of expressions, as the modules of functions see it."""

    session: CompilerSession
    database: Database

    def value(self, expr: n.Expr, scope: Scope) -> Ex:
        """A value."""
        ...

    def predicate(self, expr: n.Expr, scope: Scope) -> str:
        """A condition as SQL."""
        ...

    def compare(self, operator: str, left: Ex, right: Ex) -> str:
        """Two values compared."""
        ...

    def key(self, ex: Ex) -> str:
        """The form of a value by which it compares, sorts and groups."""
        ...

    def text_key(self, sql: str, collation: str | None) -> str:
        """The form of a text by which it compares under a collation."""
        ...
