"""What the rules of T-SQL's functions ask of the place an expression stands in, and what they share.

The rules know the place by this protocol only, so that imports go one way: the translators of `expressions` and
`queries` import the rules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from ..model import SqlType
from .collation_names import FoldFunction, Sensitivity
from .options import TargetAbilities
from .parse import Untranslatable
from .values import NUMERIC_KINDS, Predicate, Value


class Place(Protocol):
    """A translator, as the rules of functions see it; nodes are sqlglot's."""

    abilities: TargetAbilities
    exact_text: bool
    stored: bool
    when_read: bool

    def value(self, node: Any) -> Value:
        """A scalar expression."""

    def predicate(self, node: Any) -> Predicate:
        """A condition."""

    def padded(self, value: Value) -> Value:
        """Text with the trailing blanks that char(n) has in T-SQL."""

    def convert(self, value: Value, target: SqlType, style: int | None = None, *, explicit: bool = True) -> Value:
        """CONVERT, or an implicit conversion."""

    def compare(self, operator: str, left: Value, right: Value) -> Predicate:
        """A comparison as T-SQL makes it."""

    def choose(self, conditions: Sequence[Predicate], results: Sequence[Value]) -> Value:
        """CASE WHEN: one more result than conditions."""

    def as_member(self, value: Value, target: SqlType) -> Value:
        """A branch of CASE or COALESCE as the common type."""

    def remark(self, text: str) -> None:
        """Something the reader of the plan should know about this translation."""

    def sensitivity(self, *values: Value) -> Sensitivity:
        """How the source compares these texts."""

    def fold(self, sql: str, function: FoldFunction, *values: Value) -> str:
        """``sql`` in upper or lower case by the collation of ``values``."""

    def counting(self, value: Value) -> None:
        """Told of every text in which positions are counted: a pair of UTF-16 units is two in most collations."""

    def counts_units(self, value: Value) -> bool:
        """Whether the source counts UTF-16 units, and the text may hold characters of two."""

    def code_page(self, value: Value) -> int | None:
        """The code page of a char or varchar; None for Unicode, and where it is not known."""


Rule: TypeAlias = Callable[[Place, list[Any]], Value]


class UnfitArguments(Untranslatable):
    """A function is called in a way without a rule; the text goes on after the function's name."""

    def named(self, function: str) -> Untranslatable:
        """The same with the function's name."""
        return Untranslatable(f"{function.upper()} {self}")


def expect(arguments: Sequence[Any], *allowed: int) -> None:
    """Refuse a call with another number of arguments.

    Raises:
        UnfitArguments: it has one.
    """
    if len(arguments) not in allowed:
        number = len(arguments)
        raise UnfitArguments(f"with {number} argument{'' if number == 1 else 's'} is not translated")


def text_argument(place: Place, node: Any) -> Value:
    """An argument that must be text."""
    value = place.value(node)
    if value.kind != "str":
        raise UnfitArguments(f"of {value.type} is not translated")
    return value


def int_argument(place: Place, node: Any) -> Value:
    """An argument that must be an integer."""
    value = place.value(node)
    if value.kind != "int":
        raise UnfitArguments(f"with a {value.type} in place of an integer is not translated")
    return value


def number_argument(place: Place, node: Any) -> Value:
    """An argument that must be a number."""
    value = place.value(node)
    if value.kind not in NUMERIC_KINDS:
        raise UnfitArguments(f"of {value.type} is not translated")
    return value


def all_immutable(*values: Value) -> bool:
    """Whether none of them depends on the clock, the session or a setting."""
    return all(value.immutable for value in values)
