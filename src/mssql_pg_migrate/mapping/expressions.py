"""Scalar T-SQL expressions and conditions to PostgreSQL, over a syntax tree, type by type.

Only what is known to mean the same is translated: every node type and every function has its rule here or in
``functions``; anything else raises Untranslatable. Differences that the rules take care of:

* text comparison: SQL Server ignores trailing blanks, and case under a ``_CI`` collation; with ``exact_text`` both are
  written out (``lower``, ``rtrim``), else the target's own comparison is used and a remark says so;
* ``+`` joins text, numbers keep T-SQL's result types (integer division, scale of decimals);
* bit is boolean, a condition is no value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from ..model import SqlType
from . import casts
from .arithmetic import Arithmetic
from .collation import Sensitivity
from .collation import sensitivity as read_sensitivity
from .like import translate_pattern
from .literals import number_from_text, text_literal
from .nodes import ARITHMETIC, BITWISE, COMPARISONS, check_arguments, describe, number_literal, sql_type_of
from .options import TargetAbilities
from .parse import Untranslatable
from .values import (
    BIGINT,
    DATETIME,
    INT,
    NULL,
    NUMERIC_KINDS,
    TEMPORAL_KINDS,
    Predicate,
    Value,
    collation_of,
    common_type,
    fixed_length,
    is_unicode,
    kind_of,
    varchar,
    with_collation,
)


class ExpressionTranslator(Arithmetic):
    """Translates the expressions of one place; subclasses say what a column name means there."""

    def __init__(self, abilities: TargetAbilities, default_collation: str | None, *, exact_text: bool = True) -> None:
        self.abilities = abilities
        self.default_collation = default_collation
        self.exact_text = exact_text
        self.stored = False
        """Whether the value is kept in the target, where a difference would be one of data."""
        self.when_read = False
        """Whether the source computes the value only when it is read, and takes rows for which it fails (1/0)."""
        self.remarks: list[str] = []

    # -- what depends on the place -----------------------------------------------------------------------------------

    def column(self, parts: Sequence[str]) -> Value:
        """The column of that (possibly qualified) name."""
        raise Untranslatable(f"it refers to {'.'.join(parts)}")

    def sequence(self, parts: Sequence[str]) -> str:
        """The quoted target name of a sequence."""
        raise Untranslatable(f"it refers to the sequence {'.'.join(parts)}")

    def special(self, node: Any) -> Value | None:
        """Nodes only some places allow (subqueries, aggregates); None when ``node`` is no such node."""
        del node
        return None

    def special_predicate(self, node: Any) -> Predicate | None:
        """Conditions only some places allow (EXISTS); None when ``node`` is no such node."""
        del node
        return None

    def remark(self, text: str) -> None:
        """Something the reader of the plan should know about this translation."""
        if text not in self.remarks:
            self.remarks.append(text)

    def folding(self, *values: Value) -> None:
        """Told of every text whose case is folded; with a constant of ASCII letters any locale does it alike."""
        plain = any(isinstance(value.literal, str) and value.literal.isascii() for value in values)
        if not plain and not self.abilities.folds_unicode:
            self.remark("this database's locale folds the case of ASCII letters only, Ü and ü stay different")

    def counting(self, value: Value) -> None:
        """Told of every text whose characters are counted: a pair of UTF-16 units is two in most collations."""
        if self.stored and is_unicode(value.type) and value.literal is None:
            self.remark("a character beyond U+FFFF, such as an emoji, counts once, where the source counts two")

    # -- values ------------------------------------------------------------------------------------------------------

    def value(self, node: Any) -> Value:
        """A scalar expression."""
        name = type(node).__name__
        check_arguments(node)
        handler: Callable[[Any], Value] | None = getattr(self, f"_value_{name.lower()}", None)
        if handler is not None:
            return handler(node)
        if name in ARITHMETIC:
            return self._arithmetic(ARITHMETIC[name], node)
        if name in BITWISE:
            return self._bitwise(BITWISE[name], node)
        special = self.special(node)
        if special is not None:
            return special
        raise Untranslatable(f"{describe(node)} is not translated")

    def _value_paren(self, node: Any) -> Value:
        return self.value(node.this)

    def _value_literal(self, node: Any) -> Value:
        if node.is_string:
            text = str(node.this)
            return Value(text_literal(text), varchar(max(1, len(text))), literal=text)
        return number_literal(str(node.this))

    def _value_national(self, node: Any) -> Value:
        text = str(node.this.this if hasattr(node.this, "this") else node.this)
        return Value(text_literal(text), varchar(max(1, len(text)), unicode=True), literal=text)

    def _value_null(self, _node: Any) -> Value:
        return Value("NULL", NULL)

    def _value_hexstring(self, node: Any) -> Value:
        digits = str(node.this)
        data = bytes.fromhex(digits if len(digits) % 2 == 0 else f"0{digits}")
        return Value(f"'\\x{data.hex()}'::bytea", SqlType("varbinary", max(1, len(data))), literal=data)

    def _value_column(self, node: Any) -> Value:
        parts = [part.name for part in node.parts]
        if len(parts) == 1 and not node.this.args.get("quoted") and parts[0].lower() in ("user",):
            return self._function("user_name", [])
        try:
            return self.column(parts)
        except Untranslatable:
            if parts != ["0x"]:  # sqlglot takes the binary constant of no bytes for a name
                raise
            return Value("'\\x'::bytea", SqlType("varbinary", 1), literal=b"")

    def _value_collate(self, node: Any) -> Value:
        value = self.value(node.this)
        if value.kind != "str":
            raise Untranslatable("COLLATE on something that is no text")
        name = node.expression.name
        if name.lower() == "database_default":
            name = self.default_collation or name
        if read_sensitivity(name).case:  # the column's citext or ICU collation does not apply
            value = replace(value, sql=value.item, plain_text=None)
        return with_collation(value, name)

    def _value_neg(self, node: Any) -> Value:
        value = self.value(node.this)
        # The smallest integers are written as minus a literal that is one too large for the type.
        if isinstance(value.literal, int):
            return number_literal(str(-value.literal))
        if isinstance(value.literal, Decimal):
            return number_literal(f"{value.literal.copy_negate():f}")
        if value.kind not in NUMERIC_KINDS or value.type.name == "tinyint":
            raise Untranslatable("minus on something that is no number")
        return value.derived(f"-{value.operand}", atomic=False)

    def _value_bitwisenot(self, node: Any) -> Value:
        value = self.value(node.this)
        if value.kind == "bit":
            return value.derived(f"NOT {value.operand}", atomic=False)
        if value.kind != "int" or value.type.name == "tinyint":
            raise Untranslatable("~ on something that is no integer")
        return value.derived(f"~{value.operand}", atomic=False)

    def _value_cast(self, node: Any) -> Value:
        return self._converted(self.value(node.this), sql_type_of(node.args["to"]), None)

    def _value_convert(self, node: Any) -> Value:
        if node.args.get("safe"):
            return self._value_trycast(node)
        style = None
        if node.args.get("style") is not None:
            literal = self.value(node.args["style"]).literal
            if not isinstance(literal, int):
                raise Untranslatable("CONVERT with a style that is no constant")
            style = literal
        return self._converted(self.value(node.expression), sql_type_of(node.this), style)

    def _converted(self, value: Value, target: SqlType, style: int | None) -> Value:
        if self.stored and is_unicode(value.type) and target.name in ("char", "varchar") and value.literal is None:
            self.remark("characters the source's code page lacks are kept, where the source makes ? of them")
        finer = target.name in ("time", "datetime2", "datetimeoffset") and target.scale > 3
        if self.stored and value.type.name == "datetime" and finer and not value.clock:
            raise Untranslatable(f"{target} shows the thirds of a datetime's hundredths, which its own text rounds")
        return casts.convert(value, target, style=style)

    def _value_trycast(self, _node: Any) -> Value:
        raise Untranslatable("TRY_CAST and TRY_CONVERT have no equal in PostgreSQL")

    def _value_case(self, node: Any) -> Value:
        operand = node.args.get("this")
        conditions = []
        for branch in node.args["ifs"]:
            check_arguments(branch)
            if operand is None:
                conditions.append(self.predicate(branch.this))
            else:
                conditions.append(self.compare("=", self.value(operand), self.value(branch.this)))
        results = [self.value(branch.args["true"]) for branch in node.args["ifs"]]
        default = node.args.get("default")
        results.append(Value("NULL", NULL) if default is None else self.value(default))
        return self.choose(conditions, results)

    def choose(self, conditions: Sequence[Predicate], results: Sequence[Value]) -> Value:
        """CASE WHEN: one more result than conditions."""
        target = common_type(list(results))
        same = [self.as_member(result, target) for result in results]
        text = " ".join(
            f"WHEN {condition.sql} THEN {result.item}" for condition, result in zip(conditions, same, strict=False)
        )
        if same[-1].sql != "NULL":
            text += f" ELSE {same[-1].item}"
        immutable = all(part.immutable for part in conditions) and all(part.immutable for part in same)
        return Value(f"CASE {text} END", target, immutable, collated=any(part.collated for part in same))

    def as_member(self, value: Value, target: SqlType) -> Value:
        """A branch of CASE or COALESCE as the common type."""
        converted = casts.convert(value, target, explicit=False)
        return self.padded(converted) if fixed_length(value.type) and not fixed_length(target) else converted

    def _value_trim(self, node: Any) -> Value:
        return self._function("trim", [node.this])

    def _value_currenttimestamp(self, _node: Any) -> Value:
        return self._function("getdate", [])

    def _value_currentuser(self, _node: Any) -> Value:
        return self._function("user_name", [])

    def _value_sessionuser(self, _node: Any) -> Value:
        return self._function("user_name", [])

    def _value_currentdate(self, _node: Any) -> Value:
        return casts.convert(Value("LOCALTIMESTAMP", DATETIME, immutable=False, clock=True), SqlType("date", 3, 10))

    def _value_nextvaluefor(self, node: Any) -> Value:
        parts = [part.name for part in node.this.parts]
        name = self.sequence(parts)
        return Value(f"nextval({text_literal(name)}::regclass)", BIGINT, immutable=False)

    def _value_anonymous(self, node: Any) -> Value:
        name = node.this.name if hasattr(node.this, "name") else str(node.this)
        return self._function(str(name).lower(), node.expressions)

    def _value_dot(self, node: Any) -> Value:
        """``[dbo].[f](...)`` and methods of CLR and XML types."""
        owner, call = node.this, node.expression
        if type(call).__name__ == "Anonymous" and owner.name.lower() in ("sys", "pg_catalog"):
            return self._value_anonymous(call)
        what = f"{owner.name}.{call.name if hasattr(call, 'name') else call}"
        raise Untranslatable(f"it calls {what}, which PostgreSQL does not have")

    def _function(self, name: str, arguments: list[Any]) -> Value:
        from .functions import call

        return call(self, name, arguments)

    # -- conditions --------------------------------------------------------------------------------------------------

    def predicate(self, node: Any) -> Predicate:
        """A condition."""
        name = type(node).__name__
        check_arguments(node)
        if name in COMPARISONS:
            return self._comparison(COMPARISONS[name], node)
        handler: Callable[[Any], Predicate] | None = getattr(self, f"_predicate_{name.lower()}", None)
        if handler is not None:
            return handler(node)
        special = self.special_predicate(node)
        if special is not None:
            return special
        raise Untranslatable(f"{describe(node)} is no condition PostgreSQL knows")

    def _predicate_paren(self, node: Any) -> Predicate:
        return self.predicate(node.this)

    def _predicate_and(self, node: Any) -> Predicate:
        return self._joined("AND", node)

    def _predicate_or(self, node: Any) -> Predicate:
        return self._joined("OR", node)

    def _joined(self, word: str, node: Any) -> Predicate:
        parts = [self.predicate(side) for side in node.flatten()]
        return Predicate(f" {word} ".join(part.operand for part in parts), all(part.immutable for part in parts))

    def _predicate_not(self, node: Any) -> Predicate:
        inner = node.this
        if type(inner).__name__ == "Is":
            value = self.value(inner.this)
            return Predicate(f"{value.operand} IS NOT NULL", value.immutable, atomic=True)
        part = self.predicate(inner)
        return Predicate(f"NOT {part.operand}", part.immutable)

    def _predicate_is(self, node: Any) -> Predicate:
        if type(node.expression).__name__ != "Null":
            raise Untranslatable(f"{describe(node)} is not translated")
        value = self.value(node.this)
        return Predicate(f"{value.operand} IS NULL", value.immutable, atomic=True)

    def _predicate_between(self, node: Any) -> Predicate:
        value = self.value(node.this)
        low = self.compare(">=", value, self.value(node.args["low"]))
        high = self.compare("<=", value, self.value(node.args["high"]))
        return Predicate(f"{low.operand} AND {high.operand}", low.immutable and high.immutable)

    def _predicate_in(self, node: Any) -> Predicate:
        if node.args.get("query") is not None or not node.expressions:
            special = self.special_predicate(node)
            if special is not None:
                return special
            raise Untranslatable("IN with a subquery is not translated here")
        value = self.value(node.this)
        items = [self.value(item) for item in node.expressions]
        pairs = [self._comparable("=", value, item) for item in items]
        immutable = value.immutable and all(item.immutable for item in items)
        if len({left for left, _ in pairs}) == 1:
            return Predicate(f"{pairs[0][0]} IN ({', '.join(right for _, right in pairs)})", immutable, atomic=True)
        return Predicate(" OR ".join(f"({left} = {right})" for left, right in pairs), immutable)

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
        unicode = any(is_unicode(side.type) for side in (value, pattern))
        found = translate_pattern(
            pattern.literal, escape, ignore_case=ignore_case, binary=how.binary, ignore_blanks=not unicode
        )
        if not how.accent:
            self.remark("accents are told apart where the source's collation ignores them")
        if found.letter_ranges:
            self.remark("letter ranges of the pattern mean ASCII letters only")
        text = f"rtrim({value.text})" if found.trim else self.padded(value).text
        negated = "NOT " if node.args.get("negate") else ""
        operator = f"!{found.operator}" if negated and found.operator.startswith("~") else negated + found.operator
        return Predicate(f"{text} {operator} {found.operand}", value.immutable)

    def _predicate_escape(self, node: Any) -> Predicate:
        escape = self.value(node.expression).literal
        if type(node.this).__name__ != "Like" or not isinstance(escape, str) or len(escape) != 1:
            raise Untranslatable("ESCAPE with something that is no single character")
        return self._predicate_like(node.this, escape)

    def _comparison(self, operator: str, node: Any) -> Predicate:
        if type(node.expression).__name__ in ("All", "Any"):
            raise Untranslatable("ALL and ANY are not translated")
        return self.compare(operator, self.value(node.this), self.value(node.expression))

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
                if target.name == "smalldatetime":
                    target = DATETIME
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

    # -- text --------------------------------------------------------------------------------------------------------

    def sensitivity(self, *values: Value) -> Sensitivity:
        """How the source compares these texts."""
        return read_sensitivity(collation_of(values) or self.default_collation)

    def _comparable_text(self, operator: str, left: Value, right: Value) -> tuple[str, str]:
        if operator not in ("=", "<>") and not self._orders_alike(operator, left, right):
            raise Untranslatable("text is ordered by the source's collation")
        how = self.sensitivity(left, right)
        if not self.exact_text:
            if not how.case and left.plain_text is None and right.plain_text is None:
                self.remark("text is compared with its case, the source ignores it")
            return left.operand, right.operand
        if not how.accent:
            self.remark("accents are told apart where the source's collation ignores them")
        fold = None
        if not how.case:
            fold = left.folded or right.folded or "lower"
            self.folding(left, right)
        return self._normalised(left, fold), self._normalised(right, fold)

    @staticmethod
    def _orders_alike(operator: str, left: Value, right: Value) -> bool:
        """``x > ''`` is x <> '' in any collation."""
        return (operator == ">" and right.literal == "") or (operator == "<" and left.literal == "")

    @staticmethod
    def _normalised(value: Value, fold: str | None) -> str:
        """Text without what the source's comparison ignores: trailing blanks, and with ``fold`` case."""
        if isinstance(value.literal, str):
            text = value.literal.rstrip(" ")
            if fold is None or text.lower() == text.upper():
                return text_literal(text)
            if text.isascii():
                return text_literal(text.lower() if fold == "lower" else text.upper())
            return f"{fold}({text_literal(text)})"
        if fold is None or value.folded == fold:
            return value.text if value.trimmed else f"rtrim({value.text})"
        return f"{fold}({value.text})" if value.trimmed else f"{fold}(rtrim({value.text}))"


def _is_exact_real(value: Value) -> bool:
    """Whether a constant is the same number as real and as double precision."""
    return isinstance(value.literal, int) and abs(value.literal) <= 2**24


def assigned(value: Value, target: SqlType) -> Value:
    """The value stored into a column of type ``target``."""
    if kind_of(target) == "other" and target.name not in ("xml", "json"):
        raise Untranslatable(f"the column's type {target.name} has no constants in PostgreSQL")
    return casts.convert(value, target, explicit=False)
