"""Expressions and predicates of T-SQL."""

from __future__ import annotations

from decimal import Decimal

from ..values import sqltypes as st
from . import lexer
from . import nodes as n
from .parse_base import TokenParser

_COMPARISONS = ("=", "<>", "!=", "<", ">", "<=", ">=", "!<", "!>")
_NORMAL = {"!=": "<>", "!<": ">=", "!>": "<="}
_ADDITIVE = ("+", "-", "&", "|", "^")
_MULTIPLICATIVE = ("*", "/", "%")
_WITHOUT_PARENTHESES = ("CURRENT_TIMESTAMP", "CURRENT_USER", "SESSION_USER", "SYSTEM_USER", "USER")
_RESERVED_FUNCTIONS = ("LEFT", "RIGHT", "COALESCE", "NULLIF", "CONVERT", "UPDATE", "IDENTITY")
_CASTS = ("CAST", "TRY_CAST", "PARSE", "TRY_PARSE")
_CONVERTS = ("CONVERT", "TRY_CONVERT")
_CLR_STATICS = ("geometry", "geography", "hierarchyid")


class ExprParser(TokenParser):
    """Parses expressions; subqueries are the query parser's."""

    def expression(self) -> n.Expr:
        """An expression or predicate."""
        left = self._and()
        while self.accept("OR"):
            left = n.Binary("OR", left, self._and())
        return left

    def expressions(self) -> tuple[n.Expr, ...]:
        """Expressions with commas between them."""
        found = [self.expression()]
        while self.accept(","):
            found.append(self.expression())
        return tuple(found)

    # --- by precedence, weakest first ---

    def _and(self) -> n.Expr:
        left = self._not()
        while self.accept("AND"):
            left = n.Binary("AND", left, self._not())
        return left

    def _not(self) -> n.Expr:
        if self.accept("NOT"):
            return n.Unary("NOT", self._not())
        return self._predicate()

    def _predicate(self) -> n.Expr:
        if self.at("EXISTS", "("):
            self.take()
            return n.Exists(self._subquery())
        left = self._additive()
        while True:
            if self.at_any(*_COMPARISONS):
                left = self._comparison(left)
            elif self.at("IS"):
                self.take()
                negated = self.accept("NOT")
                self.expect("NULL")
                left = n.IsNull(left, negated)
            elif self.at_any("IN", "LIKE", "BETWEEN") or (
                self.at("NOT") and self.peek().upper in ("IN", "LIKE", "BETWEEN")
            ):
                left = self._membership(left, self.accept("NOT"))
            else:
                return left

    def _comparison(self, left: n.Expr) -> n.Expr:
        operator = self.take().upper
        operator = _NORMAL.get(operator, operator)
        if self.at_any("ALL", "ANY", "SOME"):
            quantifier = self.take().upper
            return n.Quantified(operator, left, "ALL" if quantifier == "ALL" else "ANY", self._subquery())
        return n.Binary(operator, left, self._additive())

    def _membership(self, left: n.Expr, negated: bool) -> n.Expr:
        if self.accept("LIKE"):
            pattern = self._additive()
            return n.Like(left, pattern, self._additive() if self.accept("ESCAPE") else None, negated)
        if self.accept("BETWEEN"):
            low = self._additive()
            self.expect("AND")
            return n.Between(left, low, self._additive(), negated)
        self.expect("IN")
        if self._nested_select():
            return n.In(left, self._subquery(), negated)
        self.expect("(")
        items = self.expressions()
        self.expect(")")
        return n.In(left, items, negated)

    def _nested_select(self) -> bool:
        distance = 0
        while self.peek(distance).upper == "(":
            distance += 1
        return distance > 0 and self.peek(distance).upper in ("SELECT", "WITH")

    def _additive(self) -> n.Expr:
        left = self._multiplicative()
        while self.at_any(*_ADDITIVE):
            operator = self.take().upper
            left = n.Binary(operator, left, self._multiplicative())
        return left

    def _multiplicative(self) -> n.Expr:
        left = self._unary()
        while self.at_any(*_MULTIPLICATIVE):
            operator = self.take().upper
            left = n.Binary(operator, left, self._unary())
        return left

    def _unary(self) -> n.Expr:
        if self.at_any("-", "+", "~"):
            operator = self.take().upper
            operand = self._unary()
            if operator == "-" and isinstance(operand, n.Literal) and isinstance(operand.value, int | Decimal | float):
                return n.Literal(negative(operand.value), operand.type)
            return operand if operator == "+" else n.Unary(operator, operand)
        return self._postfix(self._primary())

    def _postfix(self, operand: n.Expr) -> n.Expr:
        while True:
            if self.at("COLLATE"):
                self.take()
                operand = n.Collate(operand, self.take().value)
            elif self.at("AT", "TIME", "ZONE"):
                self.expect("AT", "TIME", "ZONE")
                operand = n.AtTimeZone(operand, self._postfix(self._primary()))
            elif self.at(".") and self.peek().kind in (lexer.IDENTIFIER, lexer.QUOTED):
                self.take()
                name = self.take().value
                operand = n.Method(operand, name, self._arguments() if self.at("(") else None)
            else:
                return operand

    def _arguments(self) -> tuple[n.Expr, ...]:
        self.expect("(")
        found = () if self.at(")") else self.expressions()
        self.expect(")")
        return found

    # --- primaries ---

    def _primary(self) -> n.Expr:
        token = self.token
        if token.kind in (lexer.IDENTIFIER, lexer.QUOTED):
            return self._word()
        if token.kind == lexer.VARIABLE:
            self.take()
            return n.Variable(token.value.lower())
        if token.upper == "(":
            if self._nested_select():
                return self._subquery_or_parenthesis()
            self.take()
            inner = self.expression()
            self.expect(")")
            return inner
        literal = self._literal()
        if literal is None:
            self.fail()
        return literal

    def _subquery_or_parenthesis(self) -> n.Expr:
        # "((SELECT ...) + 1)" opens like "((SELECT ...))" but is an expression.
        if self.peek().upper == "(":
            start = self.position
            self.take()
            inner = self.expression()
            if self.accept(")"):
                return inner
            self.position = start
        return n.Subquery(self._subquery())

    def _literal(self) -> n.Literal | None:
        token = self.token
        kind = token.kind
        if kind in (lexer.STRING, lexer.NATIONAL):
            self.take()
            return string_literal(token.value, kind == lexer.NATIONAL)
        if kind == lexer.NUMBER:
            self.take()
            return number_literal(token.value)
        if kind == lexer.HEX:
            self.take()
            digits = token.value[2:]
            data = bytes.fromhex("0" * (len(digits) % 2) + digits)
            return n.Literal(data, st.make("varbinary", -1 if len(data) > 8000 else max(len(data), 1)))
        if kind == lexer.MONEY:
            self.take()
            return n.Literal(Decimal(token.value[1:] or 0).quantize(Decimal("0.0001")), st.make("money"))
        return None

    def _word(self) -> n.Expr:
        word = self.token.upper
        following = self.peek().upper
        if word == "NULL":
            self.take()
            return n.Literal(None, None)
        if word == "DEFAULT":
            self.take()
            return n.Default()
        if word == "CASE":
            return self._case()
        if word in _CASTS and following == "(":
            return self._cast()
        if word in _CONVERTS and following == "(":
            return self._convert()
        if word == "NEXT" and following == "VALUE":
            self.expect("NEXT", "VALUE", "FOR")
            return n.NextValue(self.name())
        if word in _WITHOUT_PARENTHESES and following != ".":
            self.take()
            return n.Call(word)
        if word in _RESERVED_FUNCTIONS and following == "(":
            self.take()
            return self._call((word,))
        if self.token.value.lower() in _CLR_STATICS and following == "::":
            return self._static_method()
        if not self.at_name():
            self.fail()
        return self._named()

    def _named(self) -> n.Expr:
        # A dotted name is a column, until a part is followed by a parenthesis: then it is a function when it is a
        # schema's, and a method (of geometry, xml, ...) when the name before it is a column's.
        parts = [self.identifier()]
        while self.at("."):
            follows = self.peek()
            if follows.upper == "*":
                self.take()
                self.take()
                return n.Star(tuple(parts))
            if follows.upper == ".":
                self.take()
                parts.append("")
                continue
            if is_method(follows.value) and (self.peek(2).upper == "(" or is_property(follows.value)):
                break
            self.take()
            parts.append(self._part())
        if self.at("("):
            return self._call(tuple(parts))
        return n.Column(tuple(parts))

    def _call(self, parts: n.Name) -> n.Expr:
        self.expect("(")
        name = parts[0].upper() if len(parts) == 1 else ".".join(parts)
        distinct = self.accept("DISTINCT")
        self.accept("ALL")
        arguments: tuple[n.Expr, ...] = ()
        if self.at("*"):
            self.take()
            arguments = (n.Star(),)
        elif name == "TRIM":
            arguments = self._trim_arguments()
        elif not self.at(")"):
            arguments = self.expressions()
        self.expect(")")
        order: tuple[n.OrderItem, ...] = ()
        if self.accept("WITHIN", "GROUP"):
            self.expect("(")
            order = self.order_by()
            self.expect(")")
        window = self._window() if self.accept("OVER") else None
        return n.Call(name, arguments, distinct, window, order, parts)

    def _trim_arguments(self) -> tuple[n.Expr, ...]:
        self.accept_any("BOTH", "LEADING", "TRAILING")
        first = self.expression()
        return (self.expression(), first) if self.accept("FROM") else (first,)

    def _window(self) -> n.Window:
        self.expect("(")
        partition: tuple[n.Expr, ...] = ()
        if self.accept("PARTITION", "BY"):
            partition = self.expressions()
        order = self.order_by() if self.at("ORDER") else ()
        frame = ""
        if self.at_any("ROWS", "RANGE"):
            start = self.token.start
            while not self.at(")"):
                self.take()
            frame = self.text[start : self.token.start]
        self.expect(")")
        return n.Window(partition, order, frame)

    def order_by(self) -> tuple[n.OrderItem, ...]:
        """ORDER BY and its items."""
        self.expect("ORDER", "BY")
        items: list[n.OrderItem] = []
        while True:
            expr = self.expression()
            items.append(n.OrderItem(expr, self.accept_any("ASC", "DESC") == "DESC"))
            if not self.accept(","):
                return tuple(items)

    def _case(self) -> n.Expr:
        self.expect("CASE")
        operand = None if self.at("WHEN") else self.expression()
        branches: list[tuple[n.Expr, n.Expr]] = []
        while self.accept("WHEN"):
            condition = self.expression()
            self.expect("THEN")
            branches.append((condition, self.expression()))
        default = self.expression() if self.accept("ELSE") else None
        self.expect("END")
        return n.Case(operand, tuple(branches), default)

    def _cast(self) -> n.Expr:
        keyword = self.take().upper
        self.expect("(")
        operand = self.expression()
        self.expect("AS")
        kind = self.type_name()
        style = self.expression() if self.accept("USING") else None
        self.expect(")")
        return n.Cast(operand, kind, style, keyword)

    def _convert(self) -> n.Expr:
        keyword = self.take().upper
        self.expect("(")
        kind = self.type_name()
        self.expect(",")
        operand = self.expression()
        style = self.expression() if self.accept(",") else None
        self.expect(")")
        return n.Cast(operand, kind, style, keyword)

    def _static_method(self) -> n.Expr:
        kind = self.take().value.lower()
        self.expect("::")
        name = self.take().value
        return n.StaticMethod(kind, name, self._arguments() if self.at("(") else None)

    def _subquery(self) -> n.Query:
        self.expect("(")
        query = self.query()
        self.expect(")")
        return query

    def query(self) -> n.Query:
        """A query; the query parser's."""
        raise NotImplementedError


def negative(number: int | float | Decimal) -> int | float | Decimal:
    """A number with the other sign; Python's minus would round a long decimal."""
    return number.copy_negate() if isinstance(number, Decimal) else -number


_PROPERTIES = frozenset(("stsrid", "stx", "sty", "lat", "long", "hasz", "hasm", "isnull"))
_METHODS = _PROPERTIES | frozenset(
    """
    value query nodes exist modify stastext stasbinary stequals stgeometrytype stisvalid astextzm stnumpoints
    starea stlength tostring getlevel getancestor getdescendant isdescendantof makevalid stisempty
    """.split()  # noqa: SIM905
)


def is_method(name: str) -> bool:
    """Whether a name called behind a dot is a method of xml, geometry, geography or hierarchyid."""
    return name.lower() in _METHODS


def is_property(name: str) -> bool:
    """Whether a name behind a dot is a property of geometry or geography (`STSrid`)."""
    return name.lower() in _PROPERTIES


def string_literal(text: str, national: bool) -> n.Literal:
    """A string constant and its type."""
    units = len(text) + sum(c > "\uffff" for c in text)
    limit = 4000 if national else 8000
    return n.Literal(text, st.make("nvarchar" if national else "varchar", -1 if units > limit else max(units, 1)))


def number_literal(text: str) -> n.Literal:
    """A numeric constant and its type: int, then decimal; float with an exponent."""
    if "e" in text.lower():
        return n.Literal(float(text), st.FLOAT)
    if text.isdigit():
        number = int(text)
        if number < 1 << 31:
            return n.Literal(number, st.INT)
        return n.Literal(Decimal(number), st.make("numeric", len(str(number)), 0))
    whole, _, decimals = text.partition(".")
    precision = max(len(whole.lstrip("0")) + len(decimals), 1)
    return n.Literal(Decimal(text), st.make("numeric", precision, len(decimals)))
