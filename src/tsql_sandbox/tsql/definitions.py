"""Expressions as SQL Server stores their text: defaults, checks, computed columns, index filters.

`0` becomes `((0))`, `a > 0` becomes `([a]>(0))`, `getdate()` becomes `(getdate())`.
"""

from __future__ import annotations

from decimal import Decimal

from ..errors import Unsupported
from ..values import sqltypes as st
from . import nodes as n

_LEVELS = {"OR": 1, "AND": 2, "=": 4, "<>": 4, "<": 4, ">": 4, "<=": 4, ">=": 4}
_ADDITIVE = 5
_MULTIPLICATIVE = 6
_UNARY = 7


def definition(expr: n.Expr) -> str:
    """The stored text of a whole expression, in its outer parentheses."""
    return f"({render(expr)})"


def quote(name: str) -> str:
    """A name in brackets."""
    return "[" + name.replace("]", "]]") + "]"


def render(expr: n.Expr, level: int = 0) -> str:
    """The stored text of an expression inside one of the given precedence."""
    if isinstance(expr, n.Literal):
        return literal(expr)
    if isinstance(expr, n.Column):
        return ".".join(quote(part) for part in expr.parts)
    if isinstance(expr, n.Binary):
        return _binary(expr, level)
    if isinstance(expr, n.Unary):
        return _unary(expr, level)
    if isinstance(expr, n.Call):
        return _call(expr)
    if isinstance(expr, n.Cast):
        return _cast(expr)
    if isinstance(expr, n.Case):
        return _case(expr)
    predicate = _predicate(expr)
    if predicate is not None:
        own, text = predicate
        return f"({text})" if own < level else text
    return _special(expr)


def literal(expr: n.Literal) -> str:
    """A constant: numbers in parentheses, strings as they are."""
    value, kind = expr.value, expr.type
    if value is None or kind is None:
        return "NULL"
    if kind.name in st.TEXTUAL:
        quoted = "'" + str(value).replace("'", "''") + "'"
        return f"N{quoted}" if kind.name in st.UNICODE else quoted
    if kind.name in st.BINARY:
        return f"0x{value.hex().upper()}"
    if isinstance(value, float):
        mantissa, _, exponent = f"{value:.15e}".partition("e")
        return f"({mantissa.rstrip('0').rstrip('.')}e{int(exponent):+04d})"
    if isinstance(value, Decimal):
        return f"(${value:f})" if kind.name in st.MONEY else f"({value:f})"
    return f"({value})"


def _binary(expr: n.Binary, level: int) -> str:
    operator = expr.operator
    own = _LEVELS.get(operator, _MULTIPLICATIVE if operator in "*/%" else _ADDITIVE)
    left = render(expr.left, own)
    right = render(expr.right, own + 1 if own >= 4 else own)
    joined = f"{left} {operator} {right}" if operator in ("AND", "OR") else f"{left}{operator}{right}"
    return f"({joined})" if own < level else joined


def _unary(expr: n.Unary, level: int) -> str:
    if expr.operator == "NOT":
        text = f"NOT {render(expr.operand, 3)}"
        return f"({text})" if level > 3 else text
    return f"{expr.operator}{render(expr.operand, _UNARY)}"


def _call(expr: n.Call) -> str:
    arguments = ",".join("*" if isinstance(item, n.Star) else render(item) for item in expr.arguments)
    if len(expr.parts) > 1:
        return ".".join(quote(part) for part in expr.parts) + f"({arguments})"
    if expr.name == "CURRENT_TIMESTAMP":
        return "getdate()"
    if expr.name in ("CURRENT_USER", "USER", "SESSION_USER"):
        return "user_name()"
    if expr.name == "SYSTEM_USER":
        return "suser_sname()"
    if expr.name in ("DATEADD", "DATEDIFF", "DATEPART", "DATENAME") and isinstance(expr.arguments[0], n.Column):
        rest = ",".join(render(item) for item in expr.arguments[1:])
        return f"{expr.name.lower()}({expr.arguments[0].parts[0].lower()},{rest})"
    return f"{expr.name.lower()}({arguments})"


def type_text(kind: n.TypeName) -> str:
    """A type as stored inside a definition: `[varchar](10)`."""
    text = ".".join(quote(part.lower() if len(kind.name) == 1 else part) for part in kind.name)
    if kind.arguments:
        text += "(" + ",".join("max" if item == -1 else str(item) for item in kind.arguments) + ")"
    return text


def _cast(expr: n.Cast) -> str:
    keyword = "TRY_CAST" if expr.keyword.startswith("TRY") else "CONVERT"
    operand = render(expr.operand)
    if keyword == "TRY_CAST":
        return f"TRY_CAST({operand} AS {type_text(expr.type)})"
    style = "" if expr.style is None else f",{render(expr.style)}"
    return f"CONVERT({type_text(expr.type)},{operand}{style})"


def _case(expr: n.Case) -> str:
    text = "case"
    if expr.operand is not None:
        text += " " + render(expr.operand)
    for condition, value in expr.branches:
        text += f" when {render(condition)} then {render(value)}"
    if expr.default is not None:
        text += f" else {render(expr.default)}"
    return text + " end"


def _predicate(expr: n.Expr) -> tuple[int, str] | None:
    if isinstance(expr, n.IsNull):
        return 3, f"{render(expr.operand, 4)} IS {'NOT ' if expr.negated else ''}NULL"
    if isinstance(expr, n.Between):
        operand = render(expr.operand, 4)
        text = f"{operand}>={render(expr.low, 5)} AND {operand}<={render(expr.high, 5)}"
        return (3, f"NOT ({text})") if expr.negated else (2, text)
    if isinstance(expr, n.Like):
        escape = f" escape {render(expr.escape)}" if expr.escape is not None else ""
        text = f"{render(expr.operand, 4)} like {render(expr.pattern, 5)}{escape}"
        return 3, f"NOT {text}" if expr.negated else text
    if isinstance(expr, n.In) and isinstance(expr.items, tuple):
        # SQL Server keeps the alternatives last first.
        operand = render(expr.operand, 4)
        parts = [f"{operand}={render(item, 5)}" for item in reversed(expr.items)]
        text = " OR ".join(parts)
        if expr.negated:
            return 3, f"NOT ({text})"
        return (1 if len(parts) > 1 else 4), text
    return None


def _special(expr: n.Expr) -> str:
    if isinstance(expr, n.Collate):
        return f"{render(expr.operand, _UNARY)} collate {expr.collation}"
    if isinstance(expr, n.NextValue):
        return "NEXT VALUE FOR " + ".".join(quote(part) for part in expr.sequence)
    if isinstance(expr, n.Method):
        arguments = "" if expr.arguments is None else "(" + ",".join(map(render, expr.arguments)) + ")"
        return f"{render(expr.operand, _UNARY)}.[{expr.name}]{arguments}"
    if isinstance(expr, n.StaticMethod):
        arguments = "" if expr.arguments is None else "(" + ",".join(map(render, expr.arguments)) + ")"
        return f"[{expr.type}]::[{expr.name}]{arguments}"
    if isinstance(expr, n.AtTimeZone):
        return f"{render(expr.operand, _UNARY)} AT TIME ZONE {render(expr.zone)}"
    raise Unsupported(f"{type(expr).__name__.lower()} in a stored definition")


def filter_definition(expr: n.Expr) -> str:
    """The stored text of an index's filter, where IN stays IN."""
    if isinstance(expr, n.In) and isinstance(expr.items, tuple) and not expr.negated:
        return f"({render(expr.operand)} IN ({', '.join(map(render, expr.items))}))"
    if isinstance(expr, n.Binary) and expr.operator == "AND":
        left, right = filter_definition(expr.left)[1:-1], filter_definition(expr.right)[1:-1]
        return f"({left} AND {right})"
    return f"({render(expr)})"
