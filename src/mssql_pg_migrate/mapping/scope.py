"""What every translator knows of its place: the target's abilities, the collation, and what is to be said of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..model import SqlType
from . import casts, textcuts
from .collation_names import (
    FoldFunction,
    Sensitivity,
    code_page_of,
    counts_pairs_once,
    fold_sql,
    is_lithuanian,
)
from .collation_names import sensitivity as read_sensitivity
from .options import TargetAbilities
from .parse import Untranslatable
from .values import Predicate, Value, collation_of, is_unicode


class Scope:
    """State and remarks of one translation; the base of `expressions.ExpressionTranslator`."""

    def __init__(self, abilities: TargetAbilities, default_collation: str | None, *, exact_text: bool = True) -> None:
        self.abilities = abilities
        self.default_collation = default_collation
        self.exact_text = exact_text
        """Whether text is compared as the source does it, not by the target's own collation."""
        self.stored = False
        """Whether the value is kept in the target, where a difference would be one of data."""
        self.when_read = False
        """Whether the source computes the value only when it is read, and takes rows for which it fails (1/0)."""
        self.remarks: list[str] = []

    def value(self, node: Any) -> Value:
        """A scalar expression."""
        raise NotImplementedError

    def predicate(self, node: Any) -> Predicate:
        """A condition."""
        raise NotImplementedError

    def remark(self, text: str) -> None:
        """Something the reader of the plan should know about this translation."""
        if text not in self.remarks:
            self.remarks.append(text)

    # -- collations --------------------------------------------------------------------------------------------------

    def collation(self, *values: Value) -> str | None:
        """The collation T-SQL compares and folds these texts by."""
        return collation_of(values) or self.default_collation

    def sensitivity(self, *values: Value) -> Sensitivity:
        """How the source compares these texts."""
        collation = self.collation(*values)
        if is_lithuanian(collation):
            self.remark("the letters i and y are told apart, which Lithuanian collations sort as one letter's forms")
        return read_sensitivity(collation)

    def code_page(self, value: Value) -> int | None:
        """The code page of a char or varchar; None for Unicode, and where it is not known."""
        if value.kind != "str" or is_unicode(value.type):
            return None
        return value.type.code_page or code_page_of(value.type.collation or self.default_collation)

    def fold(self, sql: str, function: FoldFunction, *values: Value) -> str:
        """``sql`` in upper or lower case by the collation of ``values``."""
        turkic = self.sensitivity(*values).turkic
        self.folding(*values)
        if self.abilities.maps_whole_words:
            self.remark("this database's locale makes SS of ß and ς of a last Σ, the source maps each letter by itself")
        return fold_sql(sql, function, turkic=turkic)

    def folding(self, *values: Value) -> None:
        """Told of every text whose case is folded; with a constant of ASCII letters any locale does it alike."""
        if self.abilities.turkic and not read_sensitivity(self.collation(*values)).turkic:
            self.remark("this database's locale folds I to ı, where the source folds it to i")
        plain = any(isinstance(value.literal, str) and value.literal.isascii() for value in values)
        if not plain and not self.abilities.folds_unicode:
            self.remark("this database's locale folds the case of ASCII letters only, Ü and ü stay different")

    # -- what is counted ---------------------------------------------------------------------------------------------

    def counts_units(self, value: Value) -> bool:
        """Whether the source counts UTF-16 units, and the text may hold characters of two."""
        if not is_unicode(value.type) or value.literal is not None or self.abilities.encoding != "UTF8":
            return False
        return not counts_pairs_once(value.type.collation or self.default_collation)

    def counting(self, value: Value) -> None:
        """Told of every text in which positions are counted: a pair of UTF-16 units is two in most collations."""
        if self.counts_units(value):
            self.remark("a character beyond U+FFFF, such as an emoji, counts once, where the source counts two")

    # -- conversions -------------------------------------------------------------------------------------------------

    def padded(self, value: Value) -> Value:
        """Text with the trailing blanks that char(n) has in T-SQL."""
        if value.type.name == "nchar" and value.literal is None:
            self.remark("nchar is padded to characters, where the source counts one beyond U+FFFF as two")
        if value.kind != "str":
            return value
        try:
            return casts.padded(value)
        except Untranslatable as reason:
            if self.exact_text or self.stored:
                raise
            self.remark(f"{reason}, in PostgreSQL characters")
            return casts.padded(replace(value, type=replace(value.type, code_page=None)))

    def convert(self, value: Value, target: SqlType, style: int | None = None, *, explicit: bool = True) -> Value:
        """CONVERT, or with ``explicit`` False an implicit conversion.

        Raises:
            Untranslatable: PostgreSQL's conversion would give another value.
        """
        if explicit:
            textcuts.watch(self, value, target)
        if value.type.name == "datetime" and not value.clock and value.literal is None:
            self.watch_thirds(target)
        return casts.convert(value, target, style=style, explicit=explicit)

    def watch_thirds(self, target: SqlType) -> None:
        """Told of every datetime that meets a finer type: from SQL Server 2016 on its thirds show ("datetime2").

        Raises:
            Untranslatable: the value is stored.
        """
        if target.name not in ("time", "datetime2", "datetimeoffset") or target.scale <= 3:
            return
        if self.stored:
            raise Untranslatable(f"{target} shows the thirds of a datetime's hundredths, its own text rounds them")
        self.remark(f"a datetime that becomes {target} ends in .003, where SQL Server 2016 and later have .0033333")
