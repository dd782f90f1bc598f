"""Arithmetic of expressions: T-SQL's result types, rounding and the joining of text."""

from __future__ import annotations

from typing import Any

from . import casts
from .nodes import BITWISE
from .parse import Untranslatable
from .scope import Scope
from .values import (
    FLOAT,
    INT,
    MONEY,
    NUMERIC_KINDS,
    REAL,
    SMALLMONEY,
    Value,
    as_decimal,
    collation_of,
    common_type,
    decimal_result,
    is_unicode,
    text_length,
    varchar,
)


class Arithmetic(Scope):
    """The operators of `ExpressionTranslator`."""

    def _arithmetic(self, operator: str, node: Any) -> Value:
        left, right = self.value(node.this), self.value(node.expression)
        if left.kind == "str" and right.kind == "str" and operator == "+":
            return self.concatenated(left, right)
        if operator in "+-" and left.kind == "datetime" and right.kind == "int":
            return self._shift_days(operator, left, right)
        if left.kind == "bit" or right.kind == "bit":
            left, right = (casts.convert(side, INT) if side.kind == "bit" else side for side in (left, right))
        if left.kind not in NUMERIC_KINDS or right.kind not in NUMERIC_KINDS:
            raise Untranslatable(f"{left.type} {operator} {right.type} is not translated")
        return self._number_arithmetic(operator, left, right)

    def _number_arithmetic(self, operator: str, left: Value, right: Value) -> Value:
        immutable = left.immutable and right.immutable
        kinds = {left.kind, right.kind}
        if operator in "/%" and self.when_read and not right.literal:
            # PostgreSQL computes the column when the row comes in, which must not be refused for a value never read.
            right = right.derived(f"nullif({right.sql}, 0)")
        sql = f"{left.operand} {operator} {right.operand}"
        if "float" in kinds:
            if operator == "%":
                raise Untranslatable("% on float")
            floats = {side.type.name for side in (left, right) if side.kind == "float"}
            target = REAL if floats == {"real"} else FLOAT
            both = [casts.convert(side, target) for side in (left, right)]
            return Value(f"{both[0].operand} {operator} {both[1].operand}", target, immutable, atomic=False)
        if kinds == {"int"}:
            target = common_type([left, right])
            widened = [casts.convert(side, target) if side.literal is None else side for side in (left, right)]
            return Value(f"{widened[0].operand} {operator} {widened[1].operand}", target, immutable, atomic=False)
        if "decimal" not in kinds:
            return self._money_arithmetic(operator, left, right, sql)
        target, cut = decimal_result(operator, as_decimal(left), as_decimal(right))  # type: ignore[arg-type]
        if operator == "/":
            # SQL Server cuts the quotient off at its scale; numeric division alone would round, elsewhere.
            one = f"1{'0' * target.scale}::numeric"
            unit = f"0.{'0' * (target.scale - 1)}1"
            return Value(f"div({left.operand} * {one}, {right.sql}) * {unit}", target, immutable, atomic=False)
        if cut:
            sql = f"round({sql}, {target.scale})"
        return Value(sql, target, immutable, atomic=cut)

    def _money_arithmetic(self, operator: str, left: Value, right: Value, sql: str) -> Value:
        """Arithmetic in money, whose values are whole ten-thousandths.

        A quotient is cut off there ("money and smallmoney": rounding errors through truncation; the averages on the
        page of AVG end the same way), and so a tenth of a cent is lost before a later multiplication. The product of
        two is rounded; what becomes of halves no page says.
        """
        immutable = left.immutable and right.immutable
        target = MONEY if "money" in (left.type.name, right.type.name) else SMALLMONEY
        if operator in "+-" or (operator == "*" and len({left.kind, right.kind}) == 2):
            return Value(sql, target, immutable, atomic=False)
        if operator == "/":
            return Value(f"div({left.operand} * 10000.0, {right.sql}) * 0.0001", target, immutable, atomic=False)
        if operator == "*" and not self.stored:
            self.remark("a product of two amounts of money is rounded to four decimals, halves by PostgreSQL's rules")
            return Value(f"round({sql}, 4)", target, immutable)
        raise Untranslatable(f"{left.type} {operator} {right.type} rounds in a way of its own")

    def _shift_days(self, operator: str, left: Value, right: Value) -> Value:
        if left.type.name == "datetime2":
            raise Untranslatable("datetime2 and a number cannot be added")
        if isinstance(right.literal, int) and right.literal >= 0:
            interval = f"interval '{right.literal} days'"
        else:
            interval = f"{right.operand} * interval '1 day'"
        return Value(
            f"{left.operand} {operator} {interval}", left.type, left.immutable and right.immutable, atomic=False
        )

    def concatenated(self, left: Value, right: Value) -> Value:
        """Text + text: NULL when either is NULL, as with ||."""
        unicode = any(is_unicode(side.type) for side in (left, right))
        lengths = [text_length(side.type) for side in (left, right)]
        total = -1 if -1 in lengths else sum(lengths)
        limit = 4000 if unicode else 8000
        if total > limit:
            raise Untranslatable(f"the joined text may be longer than {limit} characters, where SQL Server cuts it off")
        collation = collation_of([left, right])
        sides = [self.padded(side) for side in (left, right)]
        sql = " || ".join(side.text for side in sides)
        return Value(
            sql,
            varchar(total, unicode=unicode, collation=collation, code_page=left.type.code_page or right.type.code_page),
            left.immutable and right.immutable,
            atomic=False,
            collated=left.collated or right.collated,
        )

    def _bitwise(self, operator: str, node: Any) -> Value:
        for side in (node.this, node.expression):
            # T-SQL gives & | ^ the precedence of + and -, sqlglot a lower one.
            if type(side).__name__ in ("Add", "Sub", *BITWISE):
                raise Untranslatable("bit operators and sums without parentheses")
        left, right = self.value(node.this), self.value(node.expression)
        if left.kind != "int" or right.kind != "int":
            raise Untranslatable(f"bit operators on {left.type} and {right.type}")
        target = common_type([left, right])
        return Value(
            f"{left.operand} {operator} {right.operand}", target, left.immutable and right.immutable, atomic=False
        )
