"""sqlglot's nodes: which are known, with what in them; the types and numbers they spell."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from ..model import SqlType
from .parse import Untranslatable
from .values import BIGINT, DATETIME, INT, Value, decimal_type

COMPARISONS = {"EQ": "=", "NEQ": "<>", "LT": "<", "LTE": "<=", "GT": ">", "GTE": ">="}
ARITHMETIC = {"Add": "+", "Sub": "-", "Mul": "*", "Div": "/", "Mod": "%"}
BITWISE = {"BitwiseAnd": "&", "BitwiseOr": "|", "BitwiseXor": "#"}


_TWO = frozenset({"this", "expression"})
_NODE_ARGUMENTS: dict[str, frozenset[str]] = {
    "Paren": frozenset({"this"}),
    "Literal": frozenset({"this", "is_string"}),
    "National": frozenset({"this"}),
    "Null": frozenset(),
    "HexString": frozenset({"this"}),
    "Column": frozenset({"this", "table", "db", "catalog"}),
    "Collate": _TWO,
    "Neg": frozenset({"this"}),
    "BitwiseNot": frozenset({"this"}),
    "Cast": frozenset({"this", "to"}),
    "Convert": frozenset({"this", "expression", "style", "safe"}),
    "TryCast": frozenset({"this", "to", "safe"}),
    "Case": frozenset({"this", "ifs", "default"}),
    "If": frozenset({"this", "true"}),
    "CurrentTimestamp": frozenset(),
    "CurrentUser": frozenset(),
    "SessionUser": frozenset(),
    "CurrentDate": frozenset(),
    "NextValueFor": frozenset({"this"}),
    "Anonymous": frozenset({"this", "expressions"}),
    "Trim": frozenset({"this"}),
    "Dot": _TWO,
    "And": _TWO,
    "Or": _TWO,
    "Not": frozenset({"this"}),
    "Is": _TWO,
    "Between": frozenset({"this", "low", "high"}),
    "In": frozenset({"this", "expressions", "query"}),
    "Like": _TWO | {"negate"},
    "Escape": _TWO,
    "Div": _TWO | {"typed", "safe"},
    **dict.fromkeys(COMPARISONS, _TWO),
    **dict.fromkeys(BITWISE, _TWO),
    **dict.fromkeys(("Add", "Sub", "Mul", "Mod"), _TWO),
}
"""The syntax tree's nodes that have a rule, with the arguments the rule looks at.

A node with anything else set is refused: a new sqlglot may keep part of the meaning in a new argument.
"""


def check_arguments(node: Any, allowed: frozenset[str] | None = None) -> None:
    """Refuse a node that carries more than its rule reads.

    Raises:
        Untranslatable: it does.
    """
    known = allowed if allowed is not None else _NODE_ARGUMENTS.get(type(node).__name__)
    present = {name for name, value in node.args.items() if value not in (None, False, [], ())}
    if known is not None and present - known:
        words = [_construct(node, name) for name in sorted(present - known)]
        raise Untranslatable(f"{next((word for word in words if word), describe(node))} is not translated")


_CONSTRUCTS = {
    "sample": "TABLESAMPLE",
    "version": "FOR SYSTEM_TIME",
    "rollup": "WITH ROLLUP",
    "cube": "WITH CUBE",
    "grouping_sets": "GROUPING SETS",
    "windows": "a named WINDOW",
    "into": "INTO",
    "method": "a join's method",
    "percent": "TOP with PERCENT",
}
"""Arguments of sqlglot's nodes that stand for a clause of T-SQL."""


def _construct(node: Any, argument: str) -> str | None:
    """The T-SQL clause an argument stands for, where it has a name."""
    value = node.args[argument]
    if argument in ("for_", "for"):
        return f"FOR {str(value.args.get('kind') or '').upper()}".rstrip()
    if argument == "pivots":
        return "UNPIVOT" if value[0].args.get("unpivot") else "PIVOT"
    if argument in ("order", "partition_by") and type(node).__name__ == "NextValueFor":
        return "NEXT VALUE FOR ... OVER"
    return _CONSTRUCTS.get(argument)


def number_literal(text: str) -> Value:
    """A numeric constant: int, decimal with just its digits, or float in E notation.

    Raises:
        Untranslatable: it has too many digits, or is a number and something else (``1e3-2`` without blanks).
    """
    if not re.fullmatch(r"-?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", text, re.IGNORECASE):
        raise Untranslatable(f"{text} is not translated")
    if "e" in text.lower():
        return Value(f"'{float(text)!r}'::double precision", SqlType("float", 8, 53))
    if "." in text:
        number = Decimal(text)
        _, digits, exponent = number.as_tuple()
        scale = -int(exponent)
        precision = max(len(digits), scale, 1)
        if precision > 38:
            raise Untranslatable(f"{text} has too many digits")
        return Value(f"{number:f}", decimal_type(precision, scale), literal=number, atomic=number >= 0)
    whole = int(text)
    if not -(2**31) <= whole < 2**31:
        # T-SQL takes larger constants as decimals.
        return Value(str(whole), decimal_type(len(str(abs(whole))), 0), literal=Decimal(whole), atomic=whole >= 0)
    return Value(str(whole), INT, literal=whole, atomic=whole >= 0)


_TYPE_NAMES = {
    "integer": "int", "int4": "int", "int8": "bigint", "int2": "smallint", "boolean": "bit", "bool": "bit",
    "character varying": "varchar", "bpchar": "char", "character": "char", "dec": "decimal", "double": "float",
    "double precision": "float", "udouble": "real", "timestamp": "rowversion", "uuid": "uniqueidentifier",
    "fixeddecimal": "money",
    "utinyint": "tinyint", "datetime2": "datetime2", "timestamptz": "datetimeoffset", "timestampltz": "datetimeoffset",
    "timestampntz": "datetime2", "smallmoney": "smallmoney", "text": "text", "blob": "varbinary",
}  # fmt: skip
_SIZES = {
    "bit": SqlType("bit", 1, 1),
    "tinyint": SqlType("tinyint", 1, 3),
    "smallint": SqlType("smallint", 2, 5),
    "int": INT,
    "bigint": BIGINT,
    "money": SqlType("money", 8, 19, 4),
    "smallmoney": SqlType("smallmoney", 4, 10, 4),
    "float": SqlType("float", 8, 53),
    "real": SqlType("real", 4, 24),
    "date": SqlType("date", 3, 10),
    "datetime": DATETIME,
    "smalldatetime": SqlType("smalldatetime", 4, 16),
    "uniqueidentifier": SqlType("uniqueidentifier", 16),
    "sysname": SqlType("nvarchar", 256),
    "xml": SqlType("xml", -1),
    "text": SqlType("varchar", -1),
    "ntext": SqlType("nvarchar", -1),
}


def sql_type_of(node: Any) -> SqlType:
    """The type of a CAST or CONVERT, with T-SQL's default lengths (30 characters, decimal(18,0))."""
    written = node.args.get("kind")
    qualified = isinstance(written, str) and "." in written
    written = written or getattr(node.this, "name", node.this)
    raw = str(written).split("(")[0].rpartition(".")[2].strip('"[] ').lower()
    sizes = [str(item.this.this if hasattr(item.this, "this") else item.this).lower() for item in node.expressions]
    name = _TYPE_NAMES.get(raw, raw)
    if name in _SIZES and not (name == "float" and sizes):
        return _SIZES[name]
    if any(not (size.isdigit() or size == "max") for size in sizes):
        raise Untranslatable(f"the type {raw} is not known")
    if name == "float":
        return _SIZES["real"] if int(sizes[0]) <= 24 else _SIZES["float"]
    if name in ("decimal", "numeric"):
        precision = int(sizes[0]) if sizes else 18
        return SqlType(name, 17, precision, int(sizes[1]) if len(sizes) > 1 else 0)
    if name in ("char", "varchar", "nchar", "nvarchar", "binary", "varbinary"):
        # sys.varchar is how a server that is PostgreSQL inside names the type: without a length it has no limit.
        default = -1 if qualified else 30
        length = -1 if sizes == ["max"] else int(sizes[0]) if sizes else default
        return SqlType(name, length * 2 if name[0] == "n" and length > 0 else length)
    if name in ("time", "datetime2", "datetimeoffset"):
        return SqlType(name, 10, 0, int(sizes[0]) if sizes else 7)
    raise Untranslatable(f"the type {raw} is not translated")


_NAMES = {
    "Rollup": "ROLLUP",
    "Cube": "CUBE",
    "GroupingSets": "GROUPING SETS",
    "AtTimeZone": "AT TIME ZONE",
    "IgnoreNulls": "IGNORE NULLS",
    "Select": "a subquery",
    "Subquery": "a subquery",
    "Exists": "EXISTS with a subquery",
    "Values": "a table of VALUES",
    "All": "ALL",
    "Any": "ANY",
    "TryCast": "TRY_CAST",
    "Distinct": "DISTINCT",
    "GroupConcat": "STRING_AGG",
}
"""Nodes that are called by their word in T-SQL rather than shown."""


def describe(node: Any) -> str:
    """What a message calls a node: a function or a construct by its name, anything else by its T-SQL, shortened."""
    name = type(node).__name__
    if name in _NAMES:
        return _NAMES[name]
    if name == "Anonymous":
        return f"{node.name.upper()}()"
    if name in ("WithinGroup", "Window"):
        return describe(node.this)
    return written(node)


def written(node: Any) -> str:
    """A node's T-SQL, shortened."""
    text = " ".join(node.sql(dialect="tsql").split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def table_function(node: Any) -> str:
    """The function a relation of FROM or APPLY calls, with its name: ``dbo.LinesOf``, ``OPENJSON``, ``nodes()``."""
    if type(node).__name__ == "Anonymous":
        return f"the table-valued function {str(node.this).upper()}"
    if type(node).__name__ == "Dot":
        names = [part.name for part in node.flatten()]
        if type(node.expression).__name__ == "Anonymous" and names[-1].lower() == "nodes":
            return "nodes() of an XML value"
        return f"the table-valued function {'.'.join(names)}"
    return f"the table-valued function {describe(node)}"
