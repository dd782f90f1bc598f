"""T-SQL expressions of defaults, checks, filters and computed columns, translated to PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..model import Table
from ..typemap import MappedColumn
from .context import Context


class Untranslatable(Exception):
    """An expression has no PostgreSQL form of the same meaning; the text says why, as the end of a sentence."""


@dataclass(frozen=True, slots=True)
class Translation:
    """PostgreSQL text and what a reader of the plan should know about it."""

    sql: str
    remarks: tuple[str, ...] = ()


_SIMPLE = {"getdate()": "LOCALTIMESTAMP", "newid()": "gen_random_uuid()"}


class Translator:
    """Translates the expressions of one table."""

    def __init__(self, context: Context, table: Table, columns: Mapping[str, MappedColumn]) -> None:
        self._context = context

    def default(self, text: str, column: MappedColumn) -> Translation:
        bare = text.strip()
        while bare.startswith("(") and bare.endswith(")"):
            bare = bare[1:-1].strip()
        if bare in _SIMPLE:
            return Translation(_SIMPLE[bare])
        if bare.lstrip("-").replace(".", "", 1).isdigit():
            if column.pg_type == "boolean":
                return Translation("false" if bare == "0" else "true")
            if column.encoding in ("int2", "int4", "int8", "numeric"):
                return Translation(bare)
        raise Untranslatable("not translated")

    def check(self, text: str) -> Translation:
        raise Untranslatable("not translated")

    def computed(self, text: str, column: MappedColumn) -> Translation:
        raise Untranslatable("not translated")

    def filter(self, text: str, *, unique: bool) -> Translation:
        raise Untranslatable("not translated")

    def not_null_columns(self, text: str) -> frozenset[str]:
        return frozenset()
