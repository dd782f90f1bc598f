"""T-SQL expressions and predicates into DuckDB SQL, typed."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache

from mssql_pg_migrate.tds.collations import DEFAULT_NAME, Collation

from ..catalog.database import Database
from ..errors import SqlError, Unsupported
from ..tsql import nodes as n
from ..values import sqltypes as st
from ..values.convert import convert
from ..values.datetimes import DAYS_1900
from ..values.sqltypes import SqlType
from . import casts, functions, methods
from .casts import Ex, cast, common_type, constant
from .outputs import CompiledQuery
from .patterns import like_regex, lone_units
from .scope import Scope
from .session import CompilerSession

_PREDICATES = (n.Exists, n.In, n.Between, n.Like, n.IsNull, n.Quantified)
_COMPARISONS = ("=", "<>", "<", ">", "<=", ">=")


_parsed = lru_cache(maxsize=256)(Collation.from_name)


class ExprCompiler:
    """Compiles the expressions of one statement in one session."""

    def __init__(self, session: CompilerSession) -> None:
        self.session: CompilerSession = session
        self.database: Database = session.database

    # --- types ---

    def type_of(self, name: n.TypeName, default_length: int = 1) -> SqlType:
        """The type of a type name; alias types are looked up. `default_length` is 30 in CAST and CONVERT.

        Raises:
            SqlError: 2715, there is none.
        """
        user = self.database.find_type(name.name)
        if user is not None and (len(name.name) > 1 or name.name[-1].lower() not in st.SYSTEM_TYPES):
            return user.base
        if len(name.name) > 1 and name.name[0].lower() not in ("sys", ""):
            raise SqlError(2715, f"Cannot find data type {'.'.join(name.name)}.")
        short = name.name[-1].lower()
        if short == "sysname":
            return st.make("nvarchar", 128, collation=self.database.collation)
        arguments = name.arguments
        sized = ("char", "varchar", "nchar", "nvarchar", "binary", "varbinary", "character", "char varying")
        if not arguments and default_length != 1 and short in sized:
            arguments = (default_length,)
        return st.with_collation(st.make(short, *arguments), self.database.collation)

    # --- expressions ---

    def value(self, expr: n.Expr, scope: Scope) -> Ex:
        """A value.

        Raises:
            SqlError: a name is unknown, or types do not fit.
            Unsupported: the sandbox cannot do it.
        """
        ex = self._value(expr, scope)
        replacement = scope.groups.get(ex.sql) if scope.groups else None
        return Ex(replacement, ex.type, True) if replacement is not None else ex

    def _value(self, expr: n.Expr, scope: Scope) -> Ex:
        if isinstance(expr, n.Literal):
            return constant(expr.value, self._collated(expr.type))
        if isinstance(expr, n.Column):
            return scope.resolve(expr.parts).ex()
        if isinstance(expr, n.Binary):
            return self._binary(expr, scope)
        if isinstance(expr, n.Call):
            return functions.call(self, expr, scope)
        if isinstance(expr, n.Cast):
            return self._cast(expr, scope)
        if isinstance(expr, n.Variable):
            return self.session.variable(expr.name)
        if isinstance(expr, n.Case):
            return self._case(expr, scope)
        if isinstance(expr, n.Unary):
            return self._unary(expr, scope)
        if isinstance(expr, n.Subquery):
            return self._subquery(expr, scope)
        if isinstance(expr, n.Collate):
            return self._collate(expr, scope)
        if isinstance(expr, n.Method):
            return methods.method(self, expr, scope)
        if isinstance(expr, n.StaticMethod):
            return methods.static_method(self, expr, scope)
        return self._rare(expr, scope)

    def _rare(self, expr: n.Expr, scope: Scope) -> Ex:
        if isinstance(expr, n.NextValue):
            return self.session.next_value(expr.sequence)
        if isinstance(expr, n.AtTimeZone):
            raise Unsupported("AT TIME ZONE")
        if isinstance(expr, _PREDICATES):
            raise SqlError(4145, "An expression of non-boolean type was expected, and a condition found.")
        if isinstance(expr, n.Default):
            raise SqlError(156, "Incorrect syntax near the keyword 'DEFAULT'.", 15)
        if isinstance(expr, n.Star):
            raise SqlError(102, "Incorrect syntax near '*'.", 15)
        del scope
        raise Unsupported(type(expr).__name__)

    def _collated(self, kind: SqlType | None) -> SqlType | None:
        return None if kind is None else st.with_collation(kind, kind.collation or self.database.collation)

    def query(self, query: n.Query, scope: Scope | None) -> CompiledQuery:
        """A subquery; the query compiler's."""
        raise NotImplementedError

    def _subquery(self, expr: n.Subquery, scope: Scope) -> Ex:
        compiled = self.query(expr.query, scope)
        if len(compiled.columns) != 1:
            raise SqlError(116, "Only one expression can be specified in the select list of a scalar subquery.")
        return Ex(f"({compiled.sql})", compiled.columns[0].type)

    def _unary(self, expr: n.Unary, scope: Scope) -> Ex:
        if expr.operator == "NOT":
            raise SqlError(4145, "An expression of non-boolean type was expected, and a condition found.")
        operand = self.value(expr.operand, scope)
        if operand.type is None or operand.type.name not in st.NUMBERS:
            raise SqlError(8117, f"Operand data type is invalid for the {expr.operator} operator.")
        if expr.operator == "-":
            if operand.is_const and operand.const is not None and operand.type.name not in ("bit", "tinyint"):
                negative = operand.const.copy_negate() if isinstance(operand.const, Decimal) else -operand.const
                return constant(negative, operand.type)  # (minus would round a decimal to 28 digits)
            kind = st.make("smallint") if operand.type.name in ("bit", "tinyint") else operand.type
            return Ex(f"CAST(-({cast(operand, kind).sql}) AS {kind.storage})", kind, operand.nullable)
        if operand.type.name not in st.INTEGERS:
            raise SqlError(8117, f"Operand data type {operand.type.name} is invalid for '~' operator.")
        # A bit has one binary place ("~ (Bitwise NOT)").
        inverted = f"(1 - {operand.sql})" if operand.type.name == "bit" else f"~({operand.sql})"
        return Ex(f"CAST({inverted} AS {operand.type.storage})", operand.type, operand.nullable)

    def _cast(self, expr: n.Cast, scope: Scope) -> Ex:
        kind = self.type_of(expr.type, 30)
        operand = self.value(expr.operand, scope)
        style = None
        if expr.style is not None:
            compiled = self.value(expr.style, scope)
            if not compiled.is_const:
                raise Unsupported("a style of CONVERT that is not a constant")
            style = compiled.const
        kind = st.with_collation(kind, operand.type.collation if operand.type and operand.type.collation else None)
        return cast(operand, kind, style, trying=expr.keyword.startswith("TRY"))

    def _collate(self, expr: n.Collate, scope: Scope) -> Ex:
        operand = self.value(expr.operand, scope)
        name = self.database.collation if expr.collation.lower() == "database_default" else expr.collation
        try:
            Collation.from_name(name)
        except ValueError:
            raise SqlError(448, f"Invalid collation '{name}'.") from None
        if operand.type is None or operand.type.name not in st.CHARACTER:
            raise SqlError(447, "Expression type is invalid for COLLATE clause.")
        kind = st.with_collation(operand.type, name)
        return Ex(operand.sql, kind, operand.nullable, operand.const, operand.column, True)

    def _case(self, expr: n.Case, scope: Scope) -> Ex:
        values = [self.value(value, scope) for _, value in expr.branches]
        if expr.default is not None:
            values.append(self.value(expr.default, scope))
        kind = common_type([value.type for value in values])
        if kind is None:
            raise SqlError(8133, "At least one of the result expressions in a CASE must not be the NULL constant.")
        parts = ["CASE"]
        for (condition, _), value in zip(expr.branches, values, strict=False):
            if expr.operand is not None:
                condition = n.Binary("=", expr.operand, condition)
            parts.append(f"WHEN {self.predicate(condition, scope)} THEN {cast(value, kind).sql}")
        if expr.default is not None:
            parts.append(f"ELSE {cast(values[-1], kind).sql}")
        nullable = expr.default is None or any(value.nullable for value in values)
        return Ex("(" + " ".join(parts) + " END)", kind, nullable)

    # --- arithmetic ---

    def _binary(self, expr: n.Binary, scope: Scope) -> Ex:
        operator = expr.operator
        if operator in _COMPARISONS or operator in ("AND", "OR"):
            raise SqlError(4145, "An expression of non-boolean type was expected, and a condition found.")
        left, right = self.value(expr.left, scope), self.value(expr.right, scope)
        if left.type is None and right.type is None:
            return casts.NULL
        if left.type is None:
            left = cast(left, right.type or st.INT)
        if right.type is None:
            right = cast(right, left.type or st.INT)
        assert left.type is not None
        assert right.type is not None
        if operator == "+" and {left.type.name, right.type.name} <= st.TEXTUAL | st.BINARY:
            return self._concatenate(left, right)
        if left.type.name in st.TIMES or right.type.name in st.TIMES:
            return self._date_arithmetic(operator, left, right)
        return self.arithmetic(operator, left, right)

    def _concatenate(self, left: Ex, right: Ex) -> Ex:
        assert left.type is not None
        assert right.type is not None
        kind = common_type([left.type, right.type])
        assert kind is not None
        if kind.name in st.BINARY:
            length = left.type.length + right.type.length
            target = st.make("varbinary", -1 if kind.length < 0 or length > 8000 else length)
        else:
            limit = 4000 if kind.name in st.UNICODE else 8000
            chars = left.type.chars + right.type.chars
            target = st.make(
                "nvarchar" if kind.name in st.UNICODE else "varchar",
                -1 if -1 in (left.type.chars, right.type.chars) else min(chars, limit),
                collation=left.type.collation or right.type.collation,
            )
        open_end = st.SqlType(target.name, -1, 0, 0, target.collation)
        first, second = cast(left, open_end), cast(right, open_end)
        if first.is_const and second.is_const:
            both = None if first.const is None or second.const is None else first.const + second.const
            return constant(convert(both, open_end, target), target)
        nullable = left.nullable or right.nullable
        return cast(Ex(f"({first.sql} || {second.sql})", open_end, nullable), target)

    def _date_arithmetic(self, operator: str, left: Ex, right: Ex) -> Ex:
        assert left.type is not None
        assert right.type is not None
        if operator not in "+-" or not {left.type.name, right.type.name} & {"datetime", "smalldatetime"}:
            raise SqlError(206, f"Operand type clash: {left.type.name} is incompatible with {right.type.name}")
        kind = left.type if left.type.name in ("datetime", "smalldatetime") else right.type
        first, second = (left, right) if kind is left.type else (right, left)
        if second.type is not None and second.type.name in st.NUMBERS:
            days = f"CAST(round(({second.sql}) * 864000000000.0) AS BIGINT)"
        else:
            base = DAYS_1900 * 864_000_000_000
            days = f"({cast(second, st.DATETIME).sql} - {base})"
        open_end = st.make("datetime2", 7)
        return cast(Ex(f"({first.sql} {operator} {days})", open_end, left.nullable or right.nullable), kind)

    def arithmetic(self, operator: str, left: Ex, right: Ex) -> Ex:
        """Numbers (or text that is one) with an operator between them."""
        assert left.type is not None
        assert right.type is not None
        kind = common_type([left.type, right.type])
        assert kind is not None
        if kind.name not in st.NUMBERS:
            raise SqlError(402, f"The data types {left.type.name} and {right.type.name} are incompatible here.")
        if kind.name == "bit":
            kind = st.make("tinyint")
        nullable = left.nullable or right.nullable
        if kind.name in st.DECIMALS:
            return self._decimal_arithmetic(operator, left, right, nullable)
        first, second = cast(left, kind).sql, cast(right, kind).sql
        if operator in "&|^":
            symbol = {"^": "xor"}.get(operator)
            sql = f"{symbol}({first}, {second})" if symbol else f"({first} {operator} {second})"
        elif operator == "/" and kind.name in st.MONEY:  # cut off at four decimals ("money and smallmoney": truncation)
            sql = f"decimal_divide(({first})::VARCHAR, ({second})::VARCHAR, 4)"
        elif operator == "/":
            sql = f"int_divide({first}, {second})" if kind.name in st.INTEGERS else f"({first} / nonzero({second}))"
        elif operator == "%":
            sql = f"({first} % nonzero({second}))"
        else:
            sql = f"({first} {operator} {second})"
        return Ex(f"CAST({sql} AS {kind.storage})", kind, nullable)

    def _decimal_arithmetic(self, operator: str, left: Ex, right: Ex, nullable: bool) -> Ex:
        first, second = _exact_operand(left), _exact_operand(right)
        if first.type is None or first.type.name not in st.DECIMALS:
            first = cast(first, second.type or st.INT)
        if second.type is None or second.type.name not in st.DECIMALS:
            second = cast(second, first.type or st.INT)
        assert first.type is not None
        assert second.type is not None
        kind = casts.arithmetic_type(operator, first.type, second.type)
        if operator == "/":
            return Ex(
                f"decimal_divide(({first.sql})::VARCHAR, ({second.sql})::VARCHAR, {kind.scale})::{kind.storage}",
                kind,
                nullable,
            )
        if operator == "%":
            return Ex(f"CAST(({first.sql}) % nonzero({second.sql}) AS {kind.storage})", kind, nullable)
        if operator == "*" and first.type.precision + second.type.precision > 38:
            return Ex(
                f"decimal_multiply(({first.sql})::VARCHAR, ({second.sql})::VARCHAR, {kind.scale})::{kind.storage}",
                kind,
                nullable,
            )
        if operator in "+-" and kind.precision == 38:
            wide = st.make("decimal", 38, kind.scale).storage
            return Ex(
                f"CAST(({first.sql})::{wide} {operator} ({second.sql})::{wide} AS {kind.storage})", kind, nullable
            )
        return Ex(f"CAST(({first.sql}) {operator} ({second.sql}) AS {kind.storage})", kind, nullable)

    # --- predicates ---

    def predicate(self, expr: n.Expr, scope: Scope) -> str:
        """A condition as DuckDB SQL.

        Raises:
            SqlError: 4145, the expression is a value.
        """
        if isinstance(expr, n.Binary) and expr.operator in ("AND", "OR"):
            return f"({self.predicate(expr.left, scope)} {expr.operator} {self.predicate(expr.right, scope)})"
        if isinstance(expr, n.Binary) and expr.operator in _COMPARISONS:
            return self.compare(expr.operator, self.value(expr.left, scope), self.value(expr.right, scope))
        if isinstance(expr, n.Unary) and expr.operator == "NOT":
            return f"(NOT {self.predicate(expr.operand, scope)})"
        if isinstance(expr, n.IsNull):
            return f"({self.value(expr.operand, scope).sql} IS {'NOT ' if expr.negated else ''}NULL)"
        if isinstance(expr, n.Between):
            operand = self.value(expr.operand, scope)
            low = self.compare(">=", operand, self.value(expr.low, scope))
            high = self.compare("<=", operand, self.value(expr.high, scope))
            return f"{'(NOT ' if expr.negated else '('}({low} AND {high}))"
        if isinstance(expr, n.In):
            return self._in(expr, scope)
        if isinstance(expr, n.Like):
            return self._like(expr, scope)
        if isinstance(expr, n.Exists):
            return f"EXISTS ({self.query(expr.query, scope).sql})"
        if isinstance(expr, n.Quantified):
            return self._quantified(expr, scope)
        raise SqlError(4145, "An expression of non-boolean type specified in a context where a condition is expected.")

    def compare(self, operator: str, left: Ex, right: Ex) -> str:
        """Two values compared as SQL Server compares them: in their common type, under their collation.

        Raises:
            SqlError: 402, the types cannot be compared.
        """
        if left.type is None or right.type is None:
            return "(NULL = 1)"
        kind = common_type([left.type, right.type])
        assert kind is not None
        if kind.name in ("xml", "text", "ntext", "image", "geometry", "geography") and operator:
            raise SqlError(402, f"The data types {left.type.name} and {right.type.name} are incompatible here.")
        if kind.name in st.TEXTUAL:
            collation = self._collation(left, right)
            wide = st.make("nvarchar", -1)
            first, second = cast(left, wide), cast(right, wide)
            return f"({self.text_key(first.sql, collation)} {operator} {self.text_key(second.sql, collation)})"
        if kind.name in st.BINARY:
            wide = st.make("varbinary", -1)
            return f"({cast(left, wide).sql} {operator} {cast(right, wide).sql})"
        if kind.name in st.DECIMALS:
            first, second = self._as_decimal(left), self._as_decimal(right)
            return f"({first.sql} {operator} {second.sql})"
        if kind.name in ("time", "datetime2", "datetimeoffset"):
            kind = st.make(kind.name, 7)
        first, second = cast(left, kind), cast(right, kind)
        return f"({self.key(first)} {operator} {self.key(second)})"

    @staticmethod
    def _as_decimal(ex: Ex) -> Ex:
        assert ex.type is not None
        if ex.type.name in st.NUMBERS:
            return ex
        return cast(ex, st.make("decimal", 38, 10))

    def _collation(self, left: Ex, right: Ex) -> str:
        for ex in (left, right):
            if ex.explicit_collation and ex.type is not None and ex.type.collation:
                return ex.type.collation
        for ex in (left, right):
            if ex.column is not None and ex.type is not None and ex.type.collation:
                return ex.type.collation
        for ex in (left, right):
            if ex.type is not None and ex.type.collation:
                return ex.type.collation
        return self.database.collation or DEFAULT_NAME

    @staticmethod
    def text_key(sql: str, collation: str | None) -> str:
        """The form of a text by which it compares and sorts under a collation."""
        parsed = _parsed(collation or DEFAULT_NAME)
        if parsed.is_binary or not parsed.ignore_case:
            return f"cs_ai({sql})" if parsed.ignore_accent else f"cs({sql})"
        folded = st.TURKIC_LOWER.format(sql) if st.is_turkic(collation) else sql
        return f"ci_ai({folded})" if parsed.ignore_accent else f"ci({folded})"

    def key(self, ex: Ex) -> str:
        """The form of a value by which it compares, sorts and groups."""
        if ex.type is not None and ex.type.name in st.TEXTUAL:
            return self.text_key(ex.sql, ex.type.collation or self.database.collation)
        if ex.type is not None and ex.type.name == "datetimeoffset":
            return f"({ex.sql}).u"
        return ex.sql

    def _in(self, expr: n.In, scope: Scope) -> str:
        operand = self.value(expr.operand, scope)
        if isinstance(expr.items, tuple):
            parts = [self.compare("=", operand, self.value(item, scope)) for item in expr.items]
            joined = " OR ".join(parts)
            return f"(NOT ({joined}))" if expr.negated else f"({joined})"
        compiled = self.query(expr.items, scope)
        if len(compiled.columns) != 1:
            raise SqlError(116, "Only one expression can be specified in the select list of a subquery of IN.")
        column = compiled.columns[0]
        if operand.type is None or column.type is None:
            return "(NULL = 1)"
        kind = common_type([operand.type, column.type])
        assert kind is not None
        inner = Ex(f"q.{column.sql}", column.type)
        collation = self._collation(operand, inner)
        first = self.key(cast(self._with_collation(operand, collation), self._open(kind, collation)))
        second = self.key(cast(self._with_collation(inner, collation), self._open(kind, collation)))
        return f"({first} {'NOT ' if expr.negated else ''}IN (SELECT {second} FROM ({compiled.sql}) q))"

    @staticmethod
    def _open(kind: SqlType, collation: str) -> SqlType:
        if kind.name in st.CHARACTER:
            return st.make("nvarchar", -1, collation=collation)
        return kind

    @staticmethod
    def _with_collation(ex: Ex, collation: str) -> Ex:
        kind = None if ex.type is None else st.with_collation(ex.type, collation)
        return Ex(ex.sql, kind, ex.nullable, ex.const, ex.column)

    def _quantified(self, expr: n.Quantified, scope: Scope) -> str:
        compiled = self.query(expr.query, scope)
        operand = self.value(expr.operand, scope)
        inner = Ex(f"q.{compiled.columns[0].sql}", compiled.columns[0].type)
        condition = self.compare(expr.operator, operand, inner)
        if expr.quantifier == "ANY":
            return f"EXISTS (SELECT 1 FROM ({compiled.sql}) q WHERE {condition})"
        return f"(NOT EXISTS (SELECT 1 FROM ({compiled.sql}) q WHERE NOT {condition}))"

    def _like(self, expr: n.Like, scope: Scope) -> str:
        """LIKE, by units of UTF-16 unless the collation knows supplementary characters ("LIKE", "Collation and Unicode
        support"). Trailing blanks of the text do not count when text and pattern are not national."""
        source, asked = self.value(expr.operand, scope), self.value(expr.pattern, scope)
        operand, pattern = cast(source, st.NVARCHAR_MAX), cast(asked, st.NVARCHAR_MAX)
        kinds = [ex.type for ex in (source, asked) if ex.type is not None]
        escape = ""
        if expr.escape is not None:
            compiled = self.value(expr.escape, scope)
            escape = str(compiled.const) if compiled.is_const else ""
            kinds += [compiled.type] if compiled.type is not None else []
        name = self._collation(source, asked)
        collation = _parsed(name)
        flags = "s" if collation.is_binary or not collation.ignore_case else "si"
        if flags == "si" and st.is_turkic(name):
            raise Unsupported("LIKE under a Turkish collation that ignores case")
        national = any(kind.name in st.UNICODE for kind in kinds)
        by_units = national and not st.is_supplementary(name)
        tail = "" if national else " *"
        if pattern.is_const:
            if pattern.const is None:
                return "(NULL = 1)"
            plain = pattern.const
            by_units = by_units and ("_" in plain or "[" in plain)
            regex = casts.literal(like_regex(lone_units(plain) if by_units else plain, escape) + tail, st.NVARCHAR_MAX)
        else:
            shown = f"split_pairs({pattern.sql})" if by_units else pattern.sql
            regex = f"(like_regex({shown}, {casts.literal(escape, st.NVARCHAR_MAX)}) || '{tail}')"
        text = f"in_units({operand.sql})" if by_units else operand.sql
        return f"{'(NOT ' if expr.negated else '('}regexp_full_match({text}, {regex}, '{flags}'))"


def _exact_operand(ex: Ex) -> Ex:
    """A number as a decimal; a whole constant as one of just its digits."""
    if ex.type is None or ex.type.name not in st.INTEGERS | st.MONEY:
        return ex
    if ex.is_const and isinstance(ex.const, int):
        return cast(ex, st.make("numeric", len(str(abs(ex.const))), 0))
    return cast(ex, casts.as_decimal(ex.type))
