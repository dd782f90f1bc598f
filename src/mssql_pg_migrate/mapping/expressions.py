"""Scalar T-SQL expressions and conditions to PostgreSQL, over a syntax tree, type by type.

Only what is known to mean the same is translated: every node type and every function has its rule here or in
``functions``; anything else raises Untranslatable. Differences that the rules take care of:

* comparisons, of text above all: see `comparison`;
* ``+`` joins text, numbers keep T-SQL's result types (integer division, scale of decimals);
* bit is boolean, a condition is no value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from ..model import SqlType
from . import casts, functions
from .collation_names import UTF8, code_page_of
from .collation_names import sensitivity as read_sensitivity
from .comparison import Comparison
from .literals import text_literal
from .nodes import ARITHMETIC, BITWISE, COMPARISONS, check_arguments, describe, number_literal, sql_type_of
from .parse import Untranslatable
from .values import (
    BIGINT,
    DATETIME,
    NULL,
    NUMERIC_KINDS,
    Predicate,
    Value,
    common_type,
    fixed_length,
    kind_of,
    varchar,
    with_collation,
)


class ExpressionTranslator(Comparison):
    """Translates the expressions of one place; subclasses say what a column name means there."""

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
        self._change_code_page(value, name)
        if read_sensitivity(name).case:  # the column's citext or ICU collation does not apply
            value = replace(value, sql=value.item, plain_text=None)
        return with_collation(value, name)

    def _value_neg(self, node: Any) -> Value:
        value = self.value(node.this)
        # The smallest integers are written as minus a literal that is one too large for the type.
        if isinstance(value.literal, int):
            return number_literal(str(-value.literal))
        if isinstance(value.literal, Decimal) and value.kind == "money":
            negated = value.literal.copy_negate()
            return replace(value, sql=f"{negated:f}", literal=negated, atomic=negated >= 0)
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
        return self.convert(self.value(node.this), sql_type_of(node.args["to"]))

    def _value_convert(self, node: Any) -> Value:
        if node.args.get("safe"):
            return self._value_trycast(node)
        style = None
        if node.args.get("style") is not None:
            literal = self.value(node.args["style"]).literal
            if not isinstance(literal, int):
                raise Untranslatable("CONVERT with a style that is no constant")
            style = literal
        return self.convert(self.value(node.expression), sql_type_of(node.this), style)

    def _change_code_page(self, value: Value, collation: str) -> None:
        """COLLATE of a char or varchar also converts it to the code page of the new collation.

        Raises:
            Untranslatable: which may lack some of its characters.
        """
        page = self.code_page(value)
        if page is None or (isinstance(value.literal, str) and value.literal.isascii()):
            return
        wanted = code_page_of(collation)
        if wanted in (page, UTF8):
            return
        what = f"code page {wanted}" if wanted is not None else "a code page that is not known"
        text = f"COLLATE {collation} converts text of code page {page} to {what}, PostgreSQL keeps it as it is"
        if self.exact_text or self.stored:
            raise Untranslatable(text)
        self.remark(text)

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
        converted = self.convert(value, target, explicit=False)
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
        return functions.call(self, name, arguments)

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

    def _comparison(self, operator: str, node: Any) -> Predicate:
        if type(node.expression).__name__ in ("All", "Any"):
            raise Untranslatable("ALL and ANY are not translated")
        return self.compare(operator, self.value(node.this), self.value(node.expression))


def assigned(value: Value, target: SqlType) -> Value:
    """The value stored into a column of type ``target``."""
    if kind_of(target) == "other" and target.name not in ("xml", "json"):
        raise Untranslatable(f"the column's type {target.name} has no constants in PostgreSQL")
    return casts.convert(value, target, explicit=False)
