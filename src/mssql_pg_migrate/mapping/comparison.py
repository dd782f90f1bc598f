"""Comparisons and LIKE: both sides so that PostgreSQL's operator decides as T-SQL's does.

SQL Server ignores trailing blanks, and case under a ``_CI`` collation; with ``exact_text`` both are written out
(``lower``, ``rtrim``), else the target's own comparison is used and a remark says so.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from . import casts
from .arithmetic import Arithmetic
from .collation_names import FoldFunction, fold_constant, fold_sql
from .like import translate_pattern
from .literals import number_from_text, text_literal
from .parse import Untranslatable
from .values import (
    BIGINT,
    DATETIME,
    INT,
    NUMERIC_KINDS,
    TEMPORAL_KINDS,
    Predicate,
    Value,
    is_unicode,
)


class Comparison(Arithmetic):
    """The conditions of `expressions.ExpressionTranslator` that compare values."""

    def compare(self, operator: str, left: Value, right: Value) -> Predicate:
        """A comparison as T-SQL makes it."""
        mine, theirs = self._comparable(operator, left, right)
        if operator in (">", "<") and theirs == "''" and left.kind == right.kind == "str":
            operator = "<>"
        return Predicate(f"{mine} {operator} {theirs}", left.immutable and right.immutable)

    def _comparable(self, operator: str, left: Value, right: Value) -> tuple[str, str]:
        """Both sides so that PostgreSQL's operator compares them as T-SQL's does."""
        if left.kind == "null" or right.kind == "null":
            raise Untranslatable("a comparison with NULL is never true")
        kinds = (left.kind, right.kind)
        if kinds == ("str", "str"):
            return self._comparable_text(operator, left, right)
        if "other" in kinds or "bin" in kinds:
            raise Untranslatable(f"{left.type} and {right.type} are not compared alike")
        self._watch_times(operator, left, right)
        left, right = self._alike(left, right), self._alike(right, left)
        if left.kind == "uuid" and operator not in ("=", "<>"):
            raise Untranslatable("SQL Server orders uniqueidentifier by other bytes first")
        return left.operand, right.operand

    def _alike(self, value: Value, other: Value) -> Value:
        """``value`` converted to compare with ``other``; the higher type decides."""
        if value.kind == "str":
            if not isinstance(value.literal, str):
                raise Untranslatable(f"text is compared with {other.type}")
            target = other.type
            if other.kind in ("datetime", "offset", "time"):
                target = replace(target, scale=7) if target.name not in ("datetime", "smalldatetime") else target
            if other.kind == "int" and "." not in value.literal:
                target = BIGINT if abs(number_from_text(value.literal)) > 2**31 - 1 else INT
            return casts.convert(value, target, explicit=False)
        if other.kind == "str":
            return value
        if value.kind == "bit" and other.kind != "bit":
            return value if other.literal in (0, 1) else casts.convert(value, INT)
        if other.kind == "bit":
            return casts.convert(value, other.type) if value.literal in (0, 1) else value
        if other.kind in TEMPORAL_KINDS and isinstance(value.literal, int):
            return casts.convert(value, DATETIME, explicit=False)
        if value.kind in NUMERIC_KINDS and other.kind in NUMERIC_KINDS:
            if other.type.name == "real" and value.kind != "float" and not _is_exact_real(value):
                return casts.convert(value, other.type)  # PostgreSQL would compare both as double precision
            return value
        if value.kind == other.kind:
            return value
        if {value.kind, other.kind} == {"date", "datetime"}:
            return value
        if other.kind == "offset" and value.kind in ("date", "datetime"):
            return casts.convert(value, other.type, explicit=False)
        if value.kind == "offset" and other.kind in ("date", "datetime"):
            return value
        raise Untranslatable(f"{value.type} and {other.type} are not compared alike")

    def _watch_times(self, operator: str, left: Value, right: Value) -> None:
        """Told of every comparison: of times that PostgreSQL keeps to the microsecond only, and of datetime's thirds.

        ``column < constant`` and ``column >= constant`` are decided alike by what is kept.
        """
        for mine, theirs, exact in ((left, right, ("<", ">=")), (right, left, (">", "<="))):
            if theirs.clock or mine.clock or not _is_fine(mine):
                continue
            if theirs.type.name in ("datetime", "smalldatetime"):
                self.watch_thirds(mine.type)
            constant = isinstance(theirs.literal, (str, int)) and not _SEVENTH.search(str(theirs.literal))
            if mine.type.scale == 7 and not ((constant or theirs.kind == "date") and operator in exact):
                self.remark("times less than a microsecond apart are equal: the seventh decimal is not kept")

    def _comparable_text(self, operator: str, left: Value, right: Value) -> tuple[str, str]:
        if operator not in ("=", "<>") and not self._orders_alike(operator, left, right):
            raise Untranslatable("text is ordered by the source's collation")
        how = self.sensitivity(left, right)
        if not self.exact_text:
            if not how.case and left.plain_text is None and right.plain_text is None:
                self.remark("text is compared with its case, the source ignores it")
            elif how.turkic and not how.case:
                self.remark("ı, i, I and İ are compared by the target's rules, which may not be those of Turkish")
            return left.operand, right.operand
        if not how.accent:
            self.remark("accents are told apart where the source's collation ignores them")
        fold: FoldFunction | None = None
        if not how.case:
            fold = left.folded or right.folded or "lower"
            self.folding(left, right)
        return _normalised(left, fold, turkic=how.turkic), _normalised(right, fold, turkic=how.turkic)

    @staticmethod
    def _orders_alike(operator: str, left: Value, right: Value) -> bool:
        """``x > ''`` is x <> '' in any collation."""
        return (operator == ">" and right.literal == "") or (operator == "<" and left.literal == "")

    # -- LIKE -------------------------------------------------------------------------------------------------------

    def _predicate_like(self, node: Any, escape: str | None = None) -> Predicate:
        value, pattern = self.value(node.this), self.value(node.expression)
        if value.kind != "str" or not isinstance(pattern.literal, str):
            raise Untranslatable("LIKE with a pattern that is no constant")
        how = self.sensitivity(value, pattern)
        ignore_case = not how.case and (self.exact_text or value.plain_text is not None)
        if ignore_case:
            self.folding(pattern)
        if not how.case and not ignore_case:
            self.remark("text is compared with its case, the source ignores it")
        wanted, text = pattern.literal, value.text
        turkic = ignore_case and how.turkic and not set("iIıİ").isdisjoint(wanted)
        if turkic:
            folded = fold_constant(wanted, "lower", turkic=True, unicode=self.abilities.folds_unicode)
            if folded is None or "[" in wanted or (escape and escape.lower() != escape):
                raise Untranslatable("its pattern has letters that Turkish folds in its own way")
            wanted, ignore_case, text = folded, False, fold_sql(text, "lower", turkic=True)
        if "_" in wanted or "[^" in wanted:
            self.counting(value)
        unicode = any(is_unicode(side.type) for side in (value, pattern))
        found = translate_pattern(
            wanted, escape, ignore_case=ignore_case, binary=how.binary, ignore_blanks=not unicode
        )  # fmt: skip
        if not how.accent:
            self.remark("accents are told apart where the source's collation ignores them")
        if found.letter_ranges:
            self.remark("letter ranges of the pattern mean ASCII letters only")
        if turkic:
            text = f"rtrim({text})" if found.trim else fold_sql(self.padded(value).text, "lower", turkic=True)
        else:
            text = f"rtrim({value.text})" if found.trim else self.padded(value).text
        negated = "NOT " if node.args.get("negate") else ""
        operator = f"!{found.operator}" if negated and found.operator.startswith("~") else negated + found.operator
        return Predicate(f"{text} {operator} {found.operand}", value.immutable)

    def _predicate_escape(self, node: Any) -> Predicate:
        escape = self.value(node.expression).literal
        if type(node.this).__name__ != "Like" or not isinstance(escape, str) or len(escape) != 1:
            raise Untranslatable("ESCAPE with something that is no single character")
        return self._predicate_like(node.this, escape)


def _is_exact_real(value: Value) -> bool:
    """Whether a constant is the same number as real and as double precision."""
    return isinstance(value.literal, int) and abs(value.literal) <= 2**24


_SEVENTH = re.compile(r"\.\d{6}[1-9]")
"""A constant that ends between two microseconds."""


def _is_fine(value: Value) -> bool:
    """Whether a value (no constant) may show more than the milliseconds of a datetime."""
    name, scale = value.type.name, value.type.scale
    return name in ("time", "datetime2", "datetimeoffset") and scale > 3 and value.literal is None


def _normalised(value: Value, fold: FoldFunction | None, *, turkic: bool) -> str:
    """Text without what the source's comparison ignores: trailing blanks, and with ``fold`` case."""
    if isinstance(value.literal, str):
        text = value.literal.rstrip(" ")
        if fold is None or text.lower() == text.upper():
            return text_literal(text)
        constant = fold_constant(text, fold, turkic=turkic)
        return fold_sql(text_literal(text), fold, turkic=turkic) if constant is None else text_literal(constant)
    if fold is None or value.folded == fold:
        return value.text if value.trimmed else f"rtrim({value.text})"
    return fold_sql(value.text if value.trimmed else f"rtrim({value.text})", fold, turkic=turkic)
